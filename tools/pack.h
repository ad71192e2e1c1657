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
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "io/shard.h"
#include "io/shard_format.h" /* SHARD_MAX_META */
#include "io/spill.h"
#include "pipeline/error.h"

enum {
	PACK_MAX_FILE_BYTES = 256 << 20, /* of one image as it lies in the input */
	PACK_MAX_PIXELS = 256 << 20,	 /* of one image once decoded */
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

enum pack_entry_flag { PACK_CLASS_KNOWN = 1 << 0 /* the source has said which class it is, or that it has none */ };

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
	const char *root; /* keep only what lies below; cleaned, without slashes at its ends; "" for all */
	struct spill *spill;
	const unsigned char *texts; /* the spill, as of the last pack_plan_end_input() */
	struct pack_entry *entries;
	size_t count, capacity;
	struct pack_sides labels, metas;
	struct pack_names names; /* of classes, before they have labels */
	char **classes;		 /* by label */
	uint32_t class_count;
	uint64_t ignored;    /* files that are no images, dotfiles, links */
	size_t input_first;  /* first entry of the input being walked */
	uint32_t input;	     /* number of the input being walked */
	bool folder_classes; /* some class is a folder's name */
	bool take_meta;	     /* .json files beside images are their metadata */
	bool has_meta;	     /* some entry has */
	char *deep_key;	     /* an image more than one folder below the root, or NULL */
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

/* ---- pack_classes.c ---- */

/* The number of a name, which is copied when it is new; or a negative code. */
int32_t pack_names_number(struct pack_names *names, const char *name, struct error *err);
void pack_names_free(struct pack_names *names);

/* After all inputs: the class table and every entry's label. classes_path (a name a line, in order of labels) may be
 * NULL. Fails when keys are not unique. */
int pack_plan_end(struct pack_plan *plan, const char *classes_path, struct error *err);

/* ---- pack_run.c ---- */

enum pack_codec { PACK_KEEP, PACK_RAW, PACK_WEBP, PACK_WEBP_LOSSLESS };

struct pack_settings {
	const char *const *inputs;
	const struct pack_source *const *sources; /* by input */
	enum pack_codec codec;
	float quality;
	uint32_t resize_short; /* 0: as they are */
	unsigned jobs;	       /* worker threads */
	bool skip_bad;
	bool show_progress;
};

struct pack_result {
	uint64_t written, skipped, source_bytes, image_bytes;
	cJSON *skips; /* array of {"key", "reason"} */
	double seconds;
	struct shard_choice choice;
};

/* Streams the plan's images into the writer; neither finishes nor abandons it. */
int pack_run(const struct pack_settings *settings, const struct pack_plan *plan, struct shard_tuner *writer,
	struct pack_result *result, struct error *err);

#endif
