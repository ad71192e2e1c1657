/* SPDX-License-Identifier: Apache-2.0 */
/* What the shard's writer, reader and verifier share. Not for other modules: use shard.h. */
#ifndef RINGCLR_IO_SHARD_INTERNAL_H
#define RINGCLR_IO_SHARD_INTERNAL_H

#include <stdbool.h>
#include <zstd.h>

#include <xxhash.h>

#include "io/shard.h"
#include "io/shard_format.h"

static inline uint64_t shard_align(uint64_t bytes)
{
	return (bytes + SHARD_BLOCK_ALIGN - 1) / SHARD_BLOCK_ALIGN * SHARD_BLOCK_ALIGN;
}

/* Where the dictionary lies, or would, then the field table, and block 0. */
static inline uint64_t shard_dictionary_offset(const struct shard_footer_disk *footer)
{
	return SHARD_HEADER_BYTES + shard_align(footer->class_bytes);
}

static inline uint64_t shard_field_table_offset(const struct shard_footer_disk *footer)
{
	return shard_dictionary_offset(footer) + shard_align(footer->dictionary_bytes);
}

static inline uint64_t shard_blocks_offset(const struct shard_footer_disk *footer)
{
	return shard_field_table_offset(footer) + shard_align(footer->field_table_bytes);
}

/* Of a set, by those of its shards. */
static inline uint64_t shard_fingerprint_join(const uint64_t *prints, unsigned count)
{
	return count == 1 ? prints[0] : XXH3_64bits(prints, count * sizeof *prints);
}

/* What the footer repeats of the header: filled in from there, or compared. */
void shard_footer_repeat(struct shard_footer_disk *footer, const struct shard_header_disk *header);
bool shard_ends_agree(const struct shard_header_disk *header, const struct shard_footer_disk *footer);

/* NULL if a record's description is allowed, else what is wrong with it. Used on writing and on reading. */
const char *shard_record_fault(const char *key, size_t key_bytes, int64_t label, uint32_t class_count, uint64_t width,
	uint64_t height, unsigned codec, uint64_t bytes);

/* NULL if sizes and compression of a payload or index fit together, else what is wrong. dictionary: there is one. */
const char *shard_sizes_fault(uint32_t compression, bool dictionary, uint64_t disk_bytes, uint64_t raw_bytes);

/* Decompresses (or copies) disk to exactly raw_bytes. NULL, or what is wrong. dictionary is needed for
 * SHARD_ZSTD_DICTIONARY alone. */
const char *shard_expand(ZSTD_DCtx *dctx, uint32_t compression, const ZSTD_DDict *dictionary, const void *disk,
	size_t disk_bytes, void *raw, size_t raw_bytes);

struct shard_key {
	uint64_t hash; /* set by shard_duplicate_key */
	const char *key;
	uint32_t key_bytes;
	uint32_t record;
};
/* Sorts keys and returns one that stands there twice (the other is the next element), or NULL. */
const struct shard_key *shard_duplicate_key(struct shard_key *keys, size_t count);

/* pread until all of `bytes`; ERROR_IO, or ERROR_DAMAGED where the file ends before. */
int shard_pread(int fd, const char *path, void *memory, size_t bytes, uint64_t offset, struct error *err);

/* A copy of the dictionary as it lies between two blocks, with its padding. */
static inline uint64_t shard_copy_bytes(uint32_t dictionary_bytes)
{
	return shard_align(SHARD_BLOCK_HEADER_BYTES + (uint64_t)dictionary_bytes);
}
struct shard_block_disk shard_copy_header(uint32_t dictionary_bytes, uint64_t dictionary_hash);
/* Whether this can be the header of a copy: its own hash is right, and its sizes. */
bool shard_copy_header_sound(const struct shard_block_disk *header);
/* Reads the copy at `offset`, header and dictionary, and checks its padding: malloc'd; NULL where it is not whole. */
unsigned char *shard_copy_read(
	int fd, const char *path, uint64_t offset, uint64_t file_bytes, uint32_t *dictionary_bytes);

/* Whether so compressing bytes is allowed and pays: else they are stored. */
bool shard_worthwhile(uint32_t compression, size_t disk_bytes, size_t raw_bytes);

/* ---- pieces of opening, each checked against the file's size; the verifier calls them one by one ---- */

/* ERROR_FORMAT: no shard at all; ERROR_DAMAGED: short or changed; ERROR_VERSION: needs a newer program. */
int shard_load_header(
	int fd, const char *path, uint64_t file_bytes, struct shard_header_disk *header, struct error *err);
int shard_load_footer(
	int fd, const char *path, uint64_t file_bytes, struct shard_footer_disk *footer, struct error *err);

/* Names by label, one allocation: class_count pointers, then the bytes. */
int shard_load_classes(
	int fd, const char *path, const struct shard_footer_disk *footer, char ***classes, struct error *err);

/* *dictionary is NULL where the footer names none. Only a dictionary as zstd trains them is taken, not mere content. */
int shard_load_dictionary(
	int fd, const char *path, const struct shard_footer_disk *footer, ZSTD_DDict **dictionary, struct error *err);

/* The field table, as far as this program understands it. */
struct shard_fields {
	bool there;	    /* the file has one; then every block has fields behind its images */
	bool declared[256]; /* ids that records may use */
	bool unknown;	    /* it names others than this program knows */
	uint8_t meta_id;    /* 0: no record has metadata */
};
/* ERROR_VERSION: it has a required field that is unknown here. */
int shard_load_fields(int fd, const char *path, const struct shard_footer_disk *footer, struct shard_fields *fields,
	struct error *err);
const struct shard_fields *shard_fields(const struct shard *shard);

/* One record's fields at raw[*at], behind the block's images; *at moves behind them. NULL, or what is wrong. *meta
 * points into raw, or is NULL. */
const char *shard_record_fields(const struct shard_fields *fields, const unsigned char *raw, size_t raw_bytes,
	size_t *at, const char **meta, size_t *meta_bytes);

struct shard_index {
	struct shard_block *blocks;
	uint64_t *block_hashes;
	struct shard_record *records;
	char *keys; /* NUL-terminated, one after the other */
	uint32_t block_count, record_count;
	uint32_t max_disk_bytes, max_raw_bytes, max_record_bytes;
	uint64_t hash; /* of the decompressed bytes */
};
int shard_load_index(
	int fd, const char *path, const struct shard_footer_disk *footer, struct shard_index *index, struct error *err);
void shard_index_free(struct shard_index *index);

/* Compares a block as it lies on disk with what the index says. */
int shard_check_block(const char *path, const struct shard_index *index, uint32_t block, const void *disk,
	size_t disk_bytes, bool check_hash, struct error *err);

/* ERROR_DAMAGED, naming the block and the first and last of its records by number and key. */
int shard_damaged_block(
	const char *path, const struct shard_index *index, uint32_t block, const char *fault, struct error *err);

#endif
