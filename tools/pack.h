/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing, in two passes. The first walks every input by name and makes the plan: which images, in which order, of
 * which class. The second streams contents through reader, workers and writer (pack_run.c). Labels are known before the
 * first block is written, and an archive is never held in memory.
 */
#ifndef RINGCLR_TOOLS_PACK_H
#define RINGCLR_TOOLS_PACK_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/shard_set_writer.h"
#include "pipeline/error.h"

enum {
	PACK_MAX_FILE_BYTES = 256 << 20, /* of one image as it lies in the input */
	PACK_MAX_PIXELS = 256 << 20,	 /* of one image once decoded */
	PACK_HEAD_BYTES = 16,		 /* enough to know an image by */
	PACK_MAX_LABEL_BYTES = 1024,	 /* of a .cls file */
};

struct pack_entry {
	char *key;	  /* path in the input: "train/cat/0001.jpg" */
	char *class_name; /* NULL: no label */
	int32_t label;
	uint32_t input;	  /* which IN */
	uint64_t ordinal; /* the source's own number: of the archive's entry, of the CIFAR record */
	uint64_t bytes;
};

/* A label from a .cls file: for every image whose path is `stem` up to the first dot of its file name. */
struct pack_label {
	char *stem, *text;
};

struct pack_plan {
	const char *root; /* keep only what lies below; cleaned, without slashes at its ends; "" for all */
	struct pack_entry *entries;
	size_t count, capacity;
	struct pack_label *labels; /* of the input being walked */
	size_t label_count, label_capacity;
	char **classes; /* by label */
	uint32_t class_count;
	uint64_t bytes;	     /* of all entries */
	uint64_t ignored;    /* files that are no images, dotfiles, links */
	size_t input_first;  /* first entry of the input being walked */
	uint32_t input;	     /* number of the input being walked */
	bool folder_classes; /* some class is a folder's name */
	char *deep_key;	     /* an image more than one folder below the root, or NULL */
	/* Called for every file of the walk, or NULL; a negative code ends it. */
	int (*tick)(struct pack_plan *plan, struct error *err);
};

/* PACK_BAD: this image alone cannot be had (*err says why). */
enum { PACK_BAD = 1 };

struct pack_source {
	const char *name;
	/* Pass 1: offers every file to the plan. */
	int (*scan)(const char *path, struct pack_plan *plan, struct error *err);
	/* Pass 2: contents, in the plan's order. *data is malloc'd. 0, PACK_BAD or a negative code that ends the run.
	 */
	void *(*open)(const char *path, struct error *err);
	int (*read)(
		void *state, const struct pack_entry *entry, unsigned char **data, size_t *bytes, struct error *err);
	void (*close)(void *state);
	bool raw; /* contents are RGB pixels, 32 x 32 */
};

extern const struct pack_source pack_source_folder, pack_source_archive, pack_source_cifar;

/* Whether a file has the shape of a CIFAR binary batch. */
bool pack_source_cifar_probe(const char *path);

/* ---- pack_plan.c ---- */

/* What a source does with a file, by its name: an enum pack_verdict, or a negative code. *key is malloc'd, the cleaned
 * path, where the verdict is LOOK or LABEL. */
enum pack_verdict { PACK_IGNORE, PACK_LOOK /* pack_plan_add it */, PACK_LABEL /* pack_plan_add_label its contents */ };
int pack_plan_offer(struct pack_plan *plan, const char *path, char **key, struct error *err);

/* These take ownership of key. Adds an entry when head (head_bytes of it; 0 when it could not be read) or the name is
 * an image's, else counts it as ignored. */
int pack_plan_add(struct pack_plan *plan, char *key, const void *head, size_t head_bytes, uint64_t ordinal,
	uint64_t bytes, struct error *err);
int pack_plan_add_label(struct pack_plan *plan, char *key, const char *text, size_t bytes, struct error *err);

/* An entry of known class; class_name is copied. */
int pack_plan_add_known(
	struct pack_plan *plan, char *key, const char *class_name, uint64_t ordinal, uint64_t bytes, struct error *err);

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
int pack_run(const struct pack_settings *settings, const struct pack_plan *plan, struct shard_set_writer *writer,
	struct pack_result *result, struct error *err);

#endif
