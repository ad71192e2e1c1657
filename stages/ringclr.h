/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr's loader as a library: shards in, batches of augmented views out, as floats. docs/C_INTERFACE.md has an
 * example and the rules in full.
 *
 *	struct ringclr_options options;
 *	ringclr_options_init(&options, sizeof options);
 *	options.batch = 128;
 *	struct ringclr *loader = ringclr_open(paths, 1, &options, message, sizeof message);
 *	const struct ringclr_batch *batch;
 *	int got;
 *	while ((got = ringclr_next(loader, &batch)) == 1) {
 *		... batch->data ...
 *		ringclr_release(loader, batch);
 *	}
 *	if (got < 0)
 *		fprintf(stderr, "%s\n", ringclr_error(loader));
 *	ringclr_close(loader);
 *
 * Same shards, same options, same batches: they are those that `ringclr train` learns from, whatever the number of
 * threads, the cache and the way of reading.
 *
 * Threads: every call but ringclr_close() may be made from any thread at any time; ringclr_close() when no other call
 * on that handle is under way. Handles know nothing of each other. A handle does not survive fork().
 * Ownership: what a call returns belongs to the handle and lives until ringclr_close(); a batch until
 * ringclr_release().
 */
#ifndef RINGCLR_H
#define RINGCLR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RINGCLR_VERSION "0.1.0"

#if defined(__GNUC__)
#define RINGCLR_API __attribute__((visibility("default")))
#else
#define RINGCLR_API
#endif

/* What calls return when they fail. */
enum ringclr_code {
	RINGCLR_USAGE = -1,	   /* an option or argument makes no sense */
	RINGCLR_IO = -2,	   /* the operating system could not read */
	RINGCLR_FORMAT = -3,	   /* not a shard */
	RINGCLR_VERSION_NEW = -4,  /* a newer format than this library reads */
	RINGCLR_DAMAGED = -5,	   /* bytes of a shard were changed or lost */
	RINGCLR_DECODE = -6,	   /* an image that its codec refuses */
	RINGCLR_MEMORY = -7,	   /* out of memory, or over options.mem_bytes */
	RINGCLR_MISMATCH = -8,	   /* shards of different data sets, or options that the data does not allow */
	RINGCLR_UNSUPPORTED = -10, /* the kernel or the processor does not offer it */
	RINGCLR_SYSTEM = -11,	   /* threads */
	RINGCLR_BUSY = -100	   /* the next batch needs the slot of one that is held, or that another thread waits
				      for: release that first; have as many slots as threads that wait */
};

/* AUTO: as `ringclr train` chooses: full where the images fit half of mem_bytes, or of the machine's memory, or are
 * large; else window. */
enum ringclr_order { RINGCLR_ORDER_AUTO, RINGCLR_ORDER_FULL, RINGCLR_ORDER_WINDOW, RINGCLR_ORDER_SEQUENTIAL };
/* AUTO: decoded where all of it fits, else packed. */
enum ringclr_cache { RINGCLR_CACHE_AUTO, RINGCLR_CACHE_NONE, RINGCLR_CACHE_PACKED, RINGCLR_CACHE_DECODED };
/* NEEDED: the part of an image that its crops need, a JPEG scaled where that suffices. */
enum ringclr_decode { RINGCLR_DECODE_NEEDED, RINGCLR_DECODE_FULL };
/* A damaged image: fail, or put the next good one in its place. */
enum ringclr_bad { RINGCLR_BAD_FAIL, RINGCLR_BAD_SKIP };
enum ringclr_engine { RINGCLR_ENGINE_AUTO, RINGCLR_ENGINE_URING, RINGCLR_ENGINE_PREAD };

/* Always begun by ringclr_options_init(). Later versions add fields at the end. */
struct ringclr_options {
	size_t bytes;	       /* of this struct as the program knows it */
	const char *views;     /* text, as of `ringclr train --views`. NULL: "simclr" */
	const char *isa;       /* "auto", "portable", "avx2", "avx512": of decoders and kernels. NULL: "auto" */
	double strength;       /* of simclr's colour jitter. Negative: 0.5, over 32 pixels 1 */
	double area_min;       /* of crops. 0.08 */
	uint64_t seed;	       /* of order and views. 1 */
	uint64_t limit_images; /* a fixed random subset of so many. 0: all */
	uint64_t epochs;       /* 0: no end */
	uint64_t first_batch;  /* to go on where an earlier run stopped. 0 */
	uint64_t mem_bytes;    /* refuse to open when more is needed; the cache takes what it leaves over. 0: no limit,
				  and half of the memory that is free for the cache */
	uint32_t size;	       /* side of the views in pixels. 32 */
	uint32_t batch;	       /* images. 256 */
	uint32_t slots;	       /* batches made ahead and held, together. 3 */
	uint32_t threads;      /* that decode and augment. 0: one per two processors */
	uint32_t window;       /* blocks, of RINGCLR_ORDER_WINDOW. 64 */
	uint32_t depth;	       /* reads in flight. 32 */
	int32_t order;	       /* enum ringclr_order. AUTO */
	int32_t cache;	       /* enum ringclr_cache. AUTO; with one epoch nothing is kept */
	int32_t decode;	       /* enum ringclr_decode. NEEDED */
	int32_t bad;	       /* enum ringclr_bad. FAIL */
	int32_t engine;	       /* enum ringclr_engine. AUTO */
	int32_t direct;	       /* 1: read with O_DIRECT, past the page cache. 0 */
	int32_t check_hashes;  /* 1: check every block's hash as it is read. 1 */
	int32_t short_last;    /* 1: the last batch may be short, so that every image comes (then epochs is 1, and
				  first_batch 0); 0: epochs are cut to whole batches. 0 */
};

/* Fills in the defaults, written above at the end of each comment. bytes: sizeof *options. */
RINGCLR_API void ringclr_options_init(struct ringclr_options *options, size_t bytes);

struct ringclr;

/* Opens shards of one data set and starts to load. options NULL: the defaults. On failure NULL, and why in error (one
 * line, cut to error_bytes; error may be NULL). Options, paths and texts may be freed afterwards. */
RINGCLR_API struct ringclr *ringclr_open(const char *const *paths, unsigned count,
	const struct ringclr_options *options, char *error, size_t error_bytes);

/* Ends the loading, also of batches that are held, and frees everything. NULL is allowed. */
RINGCLR_API void ringclr_close(struct ringclr *loader);

/* What is the same for all of a handle's life. Later versions add fields at the end. */
struct ringclr_info {
	uint64_t records;	    /* in the shards: numbers of records are below this */
	uint64_t images_per_epoch;  /* that come */
	uint64_t batches_per_epoch; /* batch n is the n % batches_per_epoch th of its epoch */
	uint64_t first_batch, end_batch;
	uint64_t memory_bytes; /* at most; much of it is only touched when it is needed */
	uint32_t views, size, batch, slots, classes;
	int32_t order;	    /* what was taken: enum ringclr_order, never AUTO */
	int32_t cache;	    /* what was taken: enum ringclr_cache, never AUTO */
	const char *engine; /* "uring" or "pread" */
	const char *isa;
};
RINGCLR_API const struct ringclr_info *ringclr_get_info(const struct ringclr *loader);

/* Later versions add fields at the end. */
struct ringclr_batch {
	uint64_t number; /* of the batch, from the run's start; `number + 1` is where to resume behind it */
	uint64_t epoch;
	uint32_t images; /* as options.batch; fewer only in a short last batch */
	uint32_t rows;	 /* from one view of an image to the next, in images: options.batch */
	uint32_t views, size;
	float *data; /* [views][rows][size][size][3] in [0,1]; the caller may write to it while it holds it */
	const uint64_t *records; /* [images] numbers of the images' records */
	const int32_t *labels;	 /* [images]; -1: none */
};

/* View `view` of the batch's image `image`: [size][size][3]. */
static inline float *ringclr_view(const struct ringclr_batch *batch, uint32_t view, uint32_t image)
{
	return batch->data + ((size_t)view * batch->rows + image) * batch->size * batch->size * 3;
}

/* Waits for the next batch: 1, and *batch is the caller's to hold until ringclr_release(); 0 at the end, or after
 * ringclr_stop(); or a negative code. Batches come in order, each once, to whichever thread asks.
 *
 * Batches are made in a ring of options.slots: number n needs the slot of number n - slots. Where that one is still
 * held, RINGCLR_BUSY comes back at once, and nothing is lost. Any other negative code is the end of the run, and
 * ringclr_error() says why. */
RINGCLR_API int ringclr_next(struct ringclr *loader, const struct ringclr_batch **batch);

/* Gives a batch back, in any order. 0, or RINGCLR_USAGE when it is not held (or not this handle's): nothing happens. */
RINGCLR_API int ringclr_release(struct ringclr *loader, const struct ringclr_batch *batch);

/* Ends the run early: a ringclr_next() that waits returns 0, as will all later ones. Batches that are held stay valid.
 */
RINGCLR_API void ringclr_stop(struct ringclr *loader);

/* Why the run failed, one line; "" while it has not. */
RINGCLR_API const char *ringclr_error(struct ringclr *loader);

/* Images that others came in place of so far (RINGCLR_BAD_SKIP). */
RINGCLR_API uint64_t ringclr_bad_images(const struct ringclr *loader);

/* NULL: there is no such label or record. */
RINGCLR_API const char *ringclr_class_name(const struct ringclr *loader, int32_t label);
RINGCLR_API const char *ringclr_key(const struct ringclr *loader, uint64_t record);

#ifdef __cplusplus
}
#endif

#endif
