/* SPDX-License-Identifier: Apache-2.0 */
/* MosaicML's MDS data sets: index.json and the layout of a shard's samples. pack_mds.c describes the format. */
#ifndef RINGCLR_TOOLS_PACK_MDS_H
#define RINGCLR_TOOLS_PACK_MDS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"

enum {
	MDS_MAX_INDEX_BYTES = 16 << 20,
	MDS_MAX_SHARDS = 1 << 20,
	MDS_MAX_COLUMNS = 256,
	MDS_MAX_SAMPLES = 1 << 24, /* of one shard */
	MDS_MAX_NUMBER = 48,	   /* of a number as text */
};

enum mds_kind {
	MDS_OTHER, /* arrays, pickles, lists */
	MDS_BYTES,
	MDS_IMAGE, /* an encoded image */
	MDS_PIL,   /* an image's pixels */
	MDS_SIGNED,
	MDS_UNSIGNED,
	MDS_FLOAT,
	MDS_STR,
	MDS_STR_NUMBER, /* a number as text */
	MDS_JSON
};

struct mds_column {
	char *name;
	enum mds_kind kind;
	uint32_t bytes; /* of every value; 0: each sample says */
};

struct mds_shard {
	char *raw_name, *packed_name; /* below the index's folder; packed_name NULL: none */
	char *compression;	      /* what the index says; NULL: none */
	uint64_t raw_bytes;
	uint32_t samples;
	uint32_t column_count, variable_columns;
	struct mds_column *columns;
};

struct mds_index {
	struct mds_shard *shards;
	size_t count, capacity;
};

/* A number of a shard: 32 bits, the low byte first. */
static inline uint32_t mds_u32(const unsigned char *data)
{
	return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
}

/* name: of the index, for messages. */
int mds_index_parse(struct mds_index *index, const char *text, size_t bytes, const char *name, struct error *err);
void mds_index_free(struct mds_index *index);

/* Where a value lies in its sample. */
struct mds_extent {
	uint32_t offset, bytes;
};

/* sizes: the sample's first 4 * shard->variable_columns bytes; extents: one for each column. */
int mds_sample_extents(const struct mds_shard *shard, const unsigned char *sizes, uint32_t sample_bytes,
	struct mds_extent *extents, struct error *err);

/* A number (MDS_SIGNED, MDS_UNSIGNED, MDS_FLOAT) as JSON has it; false for NaN, infinity or a size that is none. */
bool mds_number_text(enum mds_kind kind, const unsigned char *data, size_t bytes, char text[MDS_MAX_NUMBER]);

/* Adds a value to object under the column's name. Kinds that JSON cannot hold, NaN and infinity are left out. */
int mds_add_value(
	cJSON *object, const struct mds_column *column, const unsigned char *data, size_t bytes, struct error *err);

/* The pixels of an MDS_PIL value; *rgb is malloc'd [height][width][3]. */
int mds_decode_pil(const unsigned char *data, size_t bytes, uint64_t max_pixels, unsigned char **rgb, uint32_t *width,
	uint32_t *height, struct error *err);

#endif
