/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of ringclr inspect: statistics of a data set (inspect_stats.c), how they are told (inspect_print.c), its
 * records one by one (inspect_records.c), a picture (inspect_sheet.c). */
#ifndef RINGCLR_TOOLS_INSPECT_H
#define RINGCLR_TOOLS_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/shard.h"
#include "pipeline/error.h"

enum { INSPECT_FREQUENT = 5, INSPECT_SIDES = 20, INSPECT_META_KEYS = 16 };

struct inspect_spread {
	uint32_t min, median, max;
};

struct inspect_frequent {
	uint32_t width, height;
	uint64_t count;
};

/* Images whose short side is from `from` to `to`. */
struct inspect_sides {
	uint32_t from, to;
	uint64_t count;
};

struct inspect_meta_key {
	char *name; /* malloc'd */
	uint64_t count;
};

struct inspect_summary {
	uint64_t records, blocks, file_bytes, dictionary_bytes, dictionary_memory;
	uint32_t dictionaries; /* files that have one */
	uint64_t image_bytes, raw_block_bytes, disk_block_bytes, unlabeled;
	uint64_t codecs[SHARD_CODECS], codec_bytes[SHARD_CODECS];
	uint32_t classes;
	uint64_t *class_counts;
	struct inspect_spread width, height, record_bytes, block_disk_bytes;
	struct inspect_sides sides[INSPECT_SIDES]; /* those that have images */
	unsigned side_count;
	uint64_t blocks_stored, blocks_dictionary;
	double decompress_mb_per_s; /* of decompressed bytes, one thread; 0: no block is compressed */
	struct inspect_frequent frequent[INSPECT_FREQUENT];
	unsigned frequent_count;
	unsigned version_minor; /* the newest of the files' */
	bool has_meta;
	uint64_t meta_looked, meta_found;		      /* records that were looked at, and those with metadata */
	struct inspect_meta_key meta_keys[INSPECT_META_KEYS]; /* as they were met first */
	unsigned meta_key_count;
};

/* What the indexes say, the speed of decompression and a sample of metadata. Free it, whatever the result. */
int inspect_summarize(const struct shard_set *set, struct inspect_summary *summary, struct error *err);
void inspect_summary_free(struct inspect_summary *summary);

/* One JSON object; or text for people. They return the exit code. name: what the user called the set. */
int inspect_print_json(const struct shard_set *set, const struct inspect_summary *summary, const char *name);
int inspect_print_text(const struct shard_set *set, const struct inspect_summary *summary, const char *name);

/* The first `count` records, a line each: tab-separated under a header, or JSON. Returns the exit code. */
int inspect_records(const struct shard_set *set, uint64_t count, bool json);

/* Writes a PNG of `count` images or fewer, spread over the classes. */
int inspect_sheet(const struct shard_set *set, const char *name, uint64_t count, const char *path, struct error *err);

#endif
