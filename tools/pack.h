/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing, in two passes. The first walks every input by name and makes the plan: which images, in which order, of
 * which class. The second streams contents through reader, workers and writer (pack_run.c). Labels are known before the
 * first block is written, and an archive is never held in memory.
 */
#ifndef RINGCLR_TOOLS_PACK_H
#define RINGCLR_TOOLS_PACK_H

#include <assert.h>
#include <cjson/cJSON.h>
#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "io/epoch_plan.h"
#include "io/shard.h"
#include "io/shard_format.h" /* SHARD_MAX_META */
#include "io/shard_set_writer.h"
#include "io/spill.h"
#include "pipeline/error.h"

enum {
	PACK_MAX_FILE_BYTES = 256 << 20, /* of one image as it lies in the input */
	PACK_HEAD_BYTES = 16,		 /* enough to know an image by */
	PACK_MAX_LABEL_BYTES = 1024,	 /* of a .cls file */
	PACK_MAX_META_BYTES = SHARD_MAX_META,
};

/* One image. Texts are in the plan's spill, so that a record costs little memory however long its name is. */
struct pack_entry {
	uint64_t key;	  /* place of the key: the path in the input, "train/cat/0001.jpg" */
	uint64_t meta;	  /* place of a JSON object; 0: none */
	uint64_t ordinal; /* the source's own number: of the archive's entry, of the CIFAR record */
	uint32_t bytes;	  /* in the input, as far as it says; UINT32_MAX: more */
	uint32_t input;	  /* which IN */
	int32_t label;	  /* -1: none. Until pack_plan_end() the number of an interned class name */
	uint32_t flags;	  /* enum pack_entry_flag */
};
static_assert(sizeof(struct pack_entry) == 40, "memory for a record: 64 bytes, with all that is kept beside the plan");

enum pack_entry_flag {
	PACK_CLASS_KNOWN = 1 << 0, /* the source has said which class it is, or that it has none */
	PACK_VALIDATION = 1 << 1,  /* goes to the second output */
	PACK_LEFT_OUT = 1 << 2,	   /* --label-fraction does without it */
	PACK_WRITTEN = 1 << 3,	   /* an earlier run has written it; ordinal is the hash of its image */
	PACK_JUDGED = 1 << 4,	   /* an earlier run has found it bad or a duplicate */
	PACK_META_LINE = 1 << 5,   /* meta is an offset in the file of --meta (only while that is read) */
};

/* Files beside images, found by their stem (the path up to the first dot of the file name): places of texts, stem
 * first, contents behind it. Of the input being walked. */
struct pack_sides {
	uint64_t *places;
	size_t count, capacity;
};

/* Names, each once, numbered as they came. */
struct pack_names {
	char **names;
	uint32_t count;
	size_t capacity;
	uint32_t *slots; /* open addressing by hash: number + 1, or 0 */
	size_t slot_count;
};

struct pack_plan {
	const char *root;	   /* keep only what lies below; cleaned, without slashes at its ends; "" for all */
	const char *const *inputs; /* their paths, for messages; by struct pack_entry's input */
	struct spill *spill;
	const unsigned char *texts; /* the spill, as of the last pack_plan_end_input() */
	struct pack_entry *entries;
	size_t count, capacity;
	struct pack_sides labels, metas;
	struct pack_names names; /* of classes, before they have labels */
	char **classes;		 /* by label */
	uint32_t class_count;
	uint64_t ignored;	    /* files that are no images, dotfiles, links */
	size_t input_first;	    /* first entry of the input being walked */
	uint32_t input;		    /* number of the input being walked */
	bool folder_classes;	    /* some class is a folder's name */
	bool append;		    /* to a set that is there; --resume is not for that */
	bool take_meta;		    /* .json files beside images are their metadata */
	bool no_meta;		    /* nothing is */
	const regex_t *label_regex; /* its first group in a key is the class; NULL: none */
	uint64_t unmatched;	    /* keys that it does not match */
	bool has_meta;		    /* some entry has */
	bool shuffled;		    /* the records' order is a permutation of the entries' */
	uint32_t shuffle_key[4];
	uint64_t scanned_bytes; /* of the input being walked, where the source knows; for the progress line */
	char *deep_key;		/* an image more than one folder below the root, or NULL */
	/* Called for every file of the walk, or NULL; a negative code ends it. */
	int (*tick)(struct pack_plan *plan, struct error *err);
};

/* PACK_BAD: this image alone cannot be had (*err says why). */
enum { PACK_BAD = 1 };

/* What a source reads of an image. */
struct pack_contents {
	unsigned char *data; /* malloc'd */
	size_t bytes;
	bool pixels; /* data is RGB [height][width][3]; else an encoded image, and the size is not set */
	uint32_t width, height;
};

struct pack_source {
	const char *name;
	/* Whether an operand is this source's; status is NULL for "-", the standard input. */
	bool (*probe)(const char *path, const struct stat *status);
	/* Pass 1: offers every file to the plan. */
	int (*scan)(const char *path, struct pack_plan *plan, struct error *err);
	/* Pass 2: contents. *out is zero before; data is the caller's after result 0 and NULL after another. 0,
	 * PACK_BAD or a negative code that ends the run. */
	void *(*open)(const char *path, struct error *err);
	int (*read)(void *state, const struct pack_plan *plan, const struct pack_entry *entry,
		struct pack_contents *out, struct error *err);
	void (*close)(void *state);
	bool any_order; /* read() takes entries in any order; else in the plan's */
	bool side_meta; /* a .json file beside an image is its metadata */
};

extern const struct pack_source pack_source_folder, pack_source_archive, pack_source_cifar, pack_source_list,
	pack_source_mds, pack_source_mds_packed, pack_source_npy, pack_source_npz;

/* ---- pack_plan.c ---- */

/* Texts go to a spill beside `beside`. root is not copied. */
int pack_plan_create(struct pack_plan *plan, const char *root, const char *beside, struct error *err);

/* What a source does with a file, by its name: an enum pack_verdict, or a negative code. *key is malloc'd, the cleaned
 * path, where the verdict is not IGNORE. */
enum pack_verdict {
	PACK_IGNORE,
	PACK_LOOK,  /* pack_plan_add it */
	PACK_LABEL, /* pack_plan_add_label its contents */
	PACK_META   /* pack_plan_add_meta its contents */
};
int pack_plan_offer(struct pack_plan *plan, const char *path, char **key, struct error *err);

/* Whether a file is an image to pack, by its first bytes or its name. */
bool pack_is_image(const char *key, const void *head, size_t head_bytes);

/* All of these copy what they are given. Adds an entry when head (head_bytes of it; 0 when it could not be read) or the
 * name is an image's, else counts it as ignored. */
int pack_plan_add(struct pack_plan *plan, const char *key, const void *head, size_t head_bytes, uint64_t ordinal,
	uint64_t bytes, struct error *err);
int pack_plan_add_label(struct pack_plan *plan, const char *key, const char *text, size_t bytes, struct error *err);
/* A file over PACK_MAX_META_BYTES: give one byte more than that. It is an error only if an image has that stem. */
int pack_plan_add_meta(struct pack_plan *plan, const char *key, const char *text, size_t bytes, struct error *err);

/* An image of which the source knows all. */
struct pack_known {
	const char *key;
	const char *class_name; /* NULL: none */
	bool class_open;	/* class_name is NULL, and the class is found as that of a file */
	const char *meta;	/* JSON object text; NULL: none */
	uint64_t ordinal, bytes;
};
int pack_plan_add_known(struct pack_plan *plan, const struct pack_known *known, struct error *err);

/* After pack_plan_end_input(). Pointers live until the next entry is added. */
const char *pack_plan_key(const struct pack_plan *plan, const struct pack_entry *entry);
const char *pack_plan_meta(const struct pack_plan *plan, const struct pack_entry *entry); /* NULL: none */

/* After the scan of an input: finds classes. sorted: puts its entries in order of their keys. */
int pack_plan_end_input(struct pack_plan *plan, bool sorted, struct error *err);

void pack_plan_free(struct pack_plan *plan);

/* Doubles an array when it is full; false when memory is out. */
bool pack_grow(void *array, size_t count, size_t *capacity, size_t size_bytes);

static inline int pack_out_of_memory(struct error *err)
{
	error_set(err, ERROR_MEMORY, "out of memory while packing");
	return ERROR_MEMORY;
}

/* Takes "./", doubled slashes and leading slashes out of a path, in place. */
void pack_clean_path(char *path);

/* Length of the UTF-8 character at text, 0 when it is none. */
size_t pack_utf8_length(const unsigned char *text);

/* ---- pack_classes.c ---- */

/* The number of a name, which is copied when it is new; or a negative code. */
int32_t pack_names_number(struct pack_names *names, const char *name, struct error *err);
void pack_names_free(struct pack_names *names);

/* After all inputs: the class table and every entry's label. classes_path (a name a line, in order of labels) may be
 * NULL; where the plan has classes already, it is only who says so. Fails when keys are not unique. */
int pack_plan_end(struct pack_plan *plan, const char *classes_path, struct error *err);

/* The entry that the n-th record of the outputs is made of, n < count. O(1) memory. */
static inline struct pack_entry *pack_plan_at(const struct pack_plan *plan, uint64_t n)
{
	return &plan->entries[plan->shuffled ? epoch_permute(n, plan->count, plan->shuffle_key) : n];
}

/* ---- pack_meta.c ---- */

/* Metadata from a file of JSON objects, one a line, with the key of the image they are for. Between the last
 * pack_plan_end_input() and pack_plan_end(). *unknown counts lines that name no image. */
int pack_plan_read_meta(struct pack_plan *plan, const char *path, uint64_t *unknown, struct error *err);

/* ERROR_FORMAT unless text is one JSON object in UTF-8 of at most PACK_MAX_META_BYTES. */
int pack_meta_check(const char *key, const char *text, size_t bytes, struct error *err);

/* ---- pack_append.c: a set that is added to ---- */

/* Its classes become the plan's. Before pack_plan_end(). */
int pack_append_classes(struct pack_plan *plan, const char *set_path, struct error *err);
/* Keys that it has already: an error, or with `skip` left out, and counted in *skipped. After pack_plan_end(). 8 bytes
 * a record of the set. */
int pack_append_keys(struct pack_plan *plan, const char *set_path, bool skip, uint64_t *skipped, struct error *err);

/* ---- pack_select.c ---- */

struct pack_selection {
	double validation;		/* part of every class; 0: none */
	const char *validation_match;	/* regular expression for keys, or NULL */
	const char *validation_classes; /* names, separated by commas, or NULL */
	double label_fraction;		/* 1: all */
	uint64_t seed;
};

/* Sets the entries' flags. After pack_plan_end(). */
int pack_select(struct pack_plan *plan, const struct pack_selection *selection, struct error *err);

/* ---- pack_bad.c: what becomes of images that do not decode ---- */

enum pack_bad_policy { PACK_BAD_FAIL, PACK_BAD_SKIP, PACK_BAD_QUARANTINE };

struct pack_bad;
/* quarantine, report: folder and file, or NULL. */
struct pack_bad *pack_bad_create(
	enum pack_bad_policy policy, const char *quarantine, const char *report, struct error *err);
/* One bad image; data may be NULL. A negative code ends the run. */
int pack_bad_take(struct pack_bad *bad, const char *input, const char *key, const void *data, size_t bytes,
	const char *reason, struct error *err);
uint64_t pack_bad_count(const struct pack_bad *bad);
/* An array of {"key", "reason"}, of the first of them. Lives with bad. */
const cJSON *pack_bad_list(const struct pack_bad *bad);
int pack_bad_finish(struct pack_bad *bad, struct error *err); /* the report appears */
void pack_bad_destroy(struct pack_bad *bad);		      /* NULL is allowed */

/* ---- pack_output.c ---- */

enum { PACK_OUTPUTS = 2, /* training, validation */ PACK_LISTED = 1000 /* of bad images and duplicates, at most */ };

struct pack_outputs {
	struct shard_set_writer *writers[PACK_OUTPUTS]; /* NULL: none */
};

/* configs: of each output; path NULL: none. */
int pack_outputs_open(struct pack_outputs *outputs, const struct shard_set_writer_config *configs, struct error *err);
/* Marks the plan's entries that earlier runs have dealt with. */
int pack_outputs_resume(const struct pack_outputs *outputs, struct pack_plan *plan, struct error *err);
int pack_outputs_finish(struct pack_outputs *outputs, struct shard_set_result *results, struct error *err);
void pack_outputs_abandon(struct pack_outputs *outputs, bool keep);

/* ---- pack_dedupe.c ---- */

/* Finds equal images by XXH3-64 of their bytes; 8 bytes a record. The hashes are kept in the entries, which have no use
 * for their ordinals any more once they are read. */
struct pack_dedupe;
struct pack_dedupe *pack_dedupe_create(struct pack_plan *plan, struct error *err);
void pack_dedupe_destroy(struct pack_dedupe *dedupe); /* NULL is allowed */
/* The entry of the same image that came before, or NULL, and entry is kept. */
const struct pack_entry *pack_dedupe_find(struct pack_dedupe *dedupe, const struct pack_entry *entry);

/* ---- pack_run.c ---- */

enum pack_codec { PACK_KEEP, PACK_RAW, PACK_WEBP, PACK_WEBP_LOSSLESS, PACK_JPEG };
enum pack_dedupe_policy { PACK_DEDUPE_KEEP, PACK_DEDUPE_REPORT, PACK_DEDUPE_DROP };

struct pack_settings {
	const char *const *inputs;
	const struct pack_source *const *sources; /* by input */
	unsigned input_count;
	enum pack_codec codec;
	float quality;
	uint32_t resize_short; /* 0: as they are */
	uint64_t max_pixels;
	bool allow_truncated, apply_exif;
	enum pack_dedupe_policy dedupe;
	bool list_duplicates; /* on stdout, "key first-key" */
	const char *spill_folder;
	unsigned jobs; /* worker threads */
	bool show_progress;
};

struct pack_result {
	uint64_t written[PACK_OUTPUTS], source_bytes, image_bytes;
	uint64_t resumed;	   /* of written: by an earlier run */
	uint64_t truncated;	   /* taken all the same */
	uint64_t turned, unturned; /* had an orientation that was applied, or ignored */
	uint64_t duplicates;
	cJSON *duplicate_list; /* array of {"key", "first"}, of the first of them */
	double seconds;
};

/* ERROR_INTERRUPTED after Ctrl-C, else 0. */
int pack_interrupted(const struct pack_plan *plan, struct error *err);

/* Streams the plan's images into the outputs; neither finishes nor abandons them. */
int pack_run(const struct pack_settings *settings, struct pack_plan *plan, struct pack_bad *bad,
	const struct pack_outputs *outputs, struct pack_result *result, struct error *err);

#endif
