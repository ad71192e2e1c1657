/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shards: `.ring` files. docs/SHARD_FORMAT.md is the specification of the bytes; shard_format.h has the structs on
 * disk.
 *
 * A shard is a header, blocks, an index and a footer. A block holds whole records, zstd-compressed together, or stored
 * as they are where compression gains less than 3%; it describes itself, so that a lost index can be rebuilt. A record
 * is one encoded image with a key, a label and its size in pixels. A shard of small records may have a dictionary: what
 * they have in common, from which zstd starts in each block.
 */
#ifndef RINGCLR_IO_SHARD_H
#define RINGCLR_IO_SHARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"

enum shard_codec { SHARD_RAW = 0 /* RGB, 8 bits, rows top to bottom */, SHARD_JPEG = 1, SHARD_WEBP = 2, SHARD_PNG = 3 };
enum {
	SHARD_CODECS = 4,
	SHARD_MAX_SIDE = 65535,
	SHARD_MAX_KEY = 4095,
	SHARD_BLOCK_ALIGN = 4096,
	SHARD_MAX_CLASSES = 1 << 20
};

const char *shard_codec_name(enum shard_codec codec); /* "raw", "jpeg", "webp", "png" */

/* ---- writing ---- */

struct shard_record_in {
	const char *key; /* unique name, UTF-8 without NUL, e.g. "train/cat/0001.jpg" */
	int32_t label;	 /* index into classes, or -1 */
	uint32_t width, height;
	enum shard_codec codec;
	const void *data;
	size_t bytes;
	const char *meta; /* a JSON object, UTF-8, SHARD_MAX_META bytes at most; NULL: none */
	size_t meta_bytes;
};

struct shard_writer_config {
	const char *path;
	const char *const *classes; /* names by label; may be NULL */
	uint32_t class_count;
	size_t block_bytes;	/* a block is closed when its records reach this; 0: 64 KiB */
	int zstd_level;		/* 0: store everything */
	bool fill_pages;	/* close blocks early where that leaves less padding */
	const void *dictionary; /* as ZDICT_trainFromBuffer() makes them, SHARD_MAX_DICTIONARY at most; copied; NULL:
				   none */
	size_t dictionary_bytes;
	const char *origin;	/* one line of provenance for the header, e.g. the command; may be NULL */
	bool meta;		/* records may have meta: the file gets a field table */
	bool single_dictionary; /* no copies of the dictionary between blocks, as before version 1.2 */
};

struct shard_writer;

struct shard_writer *shard_writer_create(const struct shard_writer_config *config, struct error *err);
/* Copies the record. Order of calls is order of records. */
int shard_writer_add(struct shard_writer *writer, const struct shard_record_in *record, struct error *err);
/* Writes index and footer, syncs, renames. Frees, whatever the result. On failure no file appears. */
int shard_writer_finish(struct shard_writer *writer, struct error *err);
void shard_writer_abandon(struct shard_writer *writer); /* NULL is allowed */

/* ---- writing, with what is best for the records: shard_set_writer.h ---- */

enum { SHARD_DICTIONARY_NONE = 0, SHARD_DICTIONARY_AUTO = 1, SHARD_DICTIONARY_MIN = 256 };

struct shard_tuner_config {
	struct shard_writer_config writer; /* dictionary is not used; strings live until the tuner's end */
	bool tune_block, tune_level;	   /* choose instead of the writer's; tune_block also fills pages */
	size_t dictionary;		   /* SHARD_DICTIONARY_NONE, _AUTO, or the bytes of one */
	uint64_t records;		   /* that will come, about */
};

struct shard_choice {
	size_t block_bytes, dictionary_bytes; /* 0: no dictionary */
	int zstd_level;
	bool measured;		 /* what follows is set */
	uint32_t sample_records; /* that were held; half of them were measured */
	double share,
		share_without; /* the file's part of the images' bytes if all are like these; without dictionary */
};

/* ---- reading ---- */

struct shard_block {	     /* one block, from the index */
	uint64_t offset;     /* of the block's header in the file; multiple of SHARD_BLOCK_ALIGN */
	uint32_t disk_bytes; /* header + payload, without the padding behind it */
	uint32_t raw_bytes;  /* payload once decompressed */
	uint32_t first_record, record_count;
	uint8_t compression; /* enum shard_compression */
};

struct shard_record { /* one record, from the index */
	uint32_t block;
	uint32_t offset; /* of its image bytes in the decompressed payload */
	uint32_t bytes;	 /* of its image */
	int32_t label;
	uint16_t width, height;
	uint8_t codec;
	uint64_t hash; /* XXH3-64 of its image bytes */
	const char *key;
};

struct shard;

/* Opens, reads footer and index, checks their hashes and every offset and size against the file. direct: O_DIRECT
 * (falls back by itself, with a line on stderr, where the file system refuses it). */
struct shard *shard_open(const char *path, bool direct, struct error *err);
void shard_close(struct shard *shard); /* NULL is allowed */

const char *shard_path(const struct shard *shard);
int shard_fd(const struct shard *shard);
uint64_t shard_file_bytes(const struct shard *shard);
uint32_t shard_records(const struct shard *shard);
uint32_t shard_blocks(const struct shard *shard);
uint32_t shard_classes(const struct shard *shard);
const char *shard_class(const struct shard *shard, uint32_t label);
bool shard_same_classes(const struct shard *a, const struct shard *b); /* the same names under the same labels */
const char *shard_origin(const struct shard *shard);
const struct shard_block *shard_block(const struct shard *shard, uint32_t block);
const struct shard_record *shard_record(const struct shard *shard, uint32_t record);
uint64_t shard_fingerprint(const struct shard *shard); /* hash of all that the index says, so of every record's bytes */
/* A block as it lies on disk, with its padding: whole pages, for descriptors that are O_DIRECT; `memory` has room for
 * shard_max_disk_bytes() and is aligned to SHARD_BLOCK_ALIGN where that is so. *bytes: what was read. */
int shard_read_block(const struct shard *shard, uint32_t block, void *memory, size_t *bytes, struct error *err);
size_t shard_max_disk_bytes(const struct shard *shard);	 /* of one block, rounded up to SHARD_BLOCK_ALIGN */
uint32_t shard_max_raw_bytes(const struct shard *shard); /* of one block */
uint32_t shard_max_record_bytes(const struct shard *shard);
uint32_t shard_dictionary_bytes(const struct shard *shard); /* as it lies in the file; 0: none */
size_t shard_dictionary_memory(const struct shard *shard);  /* of its form for decompressing, shared by all threads */
unsigned shard_version_minor(const struct shard *shard);
bool shard_has_meta(const struct shard *shard); /* its records may have metadata */

/* A decompressor: one per thread. */
struct shard_unpacker;
struct shard_unpacker *shard_unpacker_create(struct error *err);
void shard_unpacker_destroy(struct shard_unpacker *unpacker);

/* Checks a block as read from disk against its header, its hash and the index, then decompresses its payload to raw
 * (raw_bytes of it). check_hash false skips only the hash. ERROR_DAMAGED names file, block and first record. */
int shard_unpack(const struct shard *shard, uint32_t block, const void *disk, size_t disk_bytes,
	struct shard_unpacker *unpacker, void *raw, size_t raw_capacity, bool check_hash, struct error *err);

/* A slow, complete way to one record's bytes: a cursor for one call. *data is malloc'd. */
int shard_read_record(
	const struct shard *shard, uint32_t record, unsigned char **data, size_t *bytes, struct error *err);

/* Records with their bytes, in any order; as fast as blocks decompress where the order is the file's, because the block
 * of the last call is kept. One a thread. */
struct shard_cursor;
struct shard_cursor *shard_cursor_create(const struct shard *shard, struct error *err);
void shard_cursor_destroy(struct shard_cursor *cursor); /* NULL is allowed */
/* *out points into the cursor's memory and the shard's, until the next call; hashes are checked. meta ends without a
 * NUL. */
int shard_cursor_get(struct shard_cursor *cursor, uint32_t record, struct shard_record_in *out, struct error *err);

/* ---- checking ---- */

enum shard_verify_level {
	SHARD_VERIFY_INDEX, /* header, footer, class table, dictionary, field table, index, and the padding between */
	SHARD_VERIFY_BYTES, /* and every byte of the blocks, by hashes and index; nothing is decompressed */
	SHARD_VERIFY_FULL,  /* and what is in them: each record's entry and hash, its fields, its contents by check();
			       keys */
};

struct shard_verify_options {
	enum shard_verify_level level;
	unsigned jobs; /* threads that check blocks, 0 counts as 1. Each takes memory for a block as it lies in the file
			  (or 256 KiB) and, at level FULL, decompressed */
	/* NULL, or what is to be said of a record whose hash and entry are right: 0, or a negative code and what is
	 * wrong with image or metadata in *err. Called from the threads, job 0..jobs-1 each; record->key is not set. */
	int (*check)(void *ctx, unsigned job, const struct shard_record_in *record, struct error *err);
	/* NULL, or called by the calling thread, in the file's order whatever jobs is: once for each damage, with a
	 * line that names the block or record (of damages at one place a thousand have a line, and another tells how
	 * many follow); and as blocks are done. */
	void (*report)(void *ctx, const char *line);
	void (*progress)(void *ctx, uint64_t done_bytes, uint64_t file_bytes);
	void *ctx;
};

/* Returns the number of damages (0: sound), or a negative code when the file cannot be read at all or is no shard. From
 * level BYTES on every byte of the file is covered. */
int64_t shard_verify(const char *path, const struct shard_verify_options *options, struct error *err);

/* ---- several shards as one data set ---- */

struct shard_set;

/* Paths of shards, or of manifests of sets (*.json). Class tables must agree (same names in the same order), else
 * ERROR_MISMATCH. */
struct shard_set *shard_set_open(const char *const *paths, unsigned count, bool direct, struct error *err);
void shard_set_close(struct shard_set *set);
unsigned shard_set_count(const struct shard_set *set);
struct shard *shard_set_at(const struct shard_set *set, unsigned index);
uint64_t shard_set_records(const struct shard_set *set);
/* Which shard and which record of it the set's record number `record` is. */
void shard_set_locate(const struct shard_set *set, uint64_t record, unsigned *shard, uint32_t *local);
const struct shard_record *shard_set_record(const struct shard_set *set, uint64_t record);
/* Of one shard its own, of several the hash of theirs in order. */
uint64_t shard_set_fingerprint(const struct shard_set *set);

#endif
