/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the shard's writer: shard_pending.c gathers records, shard_writer.c makes blocks of them, shard_ends.c what
 * stands before and behind them, shard_resume.c goes on with a file that was never finished. Not for other modules.
 */
#ifndef RINGCLR_IO_SHARD_WRITER_INTERNAL_H
#define RINGCLR_IO_SHARD_WRITER_INTERNAL_H

#include <zstd.h>

#include "io/atomic_file.h"
#include "io/shard_internal.h"
#include "io/spill.h"

struct shard_buffer {
	unsigned char *data;
	size_t bytes, capacity;
};

int shard_buffer_reserve(struct shard_buffer *buffer, size_t bytes, struct error *err);
/* Room must have been reserved. */
void shard_buffer_append(struct shard_buffer *buffer, const void *data, size_t bytes);

/* ---- shard_pending.c: records that are in no block yet ---- */

struct shard_pending {
	struct shard_buffer entries, images, fields; /* the three parts of a block's payload */
	bool has_fields;			     /* fields are written, if only to say that a record has none */
	uint32_t records;
};

/* The first records of those pending, and the bytes that they have in each part. */
struct shard_portion {
	uint32_t records;
	size_t entries, images, fields;
};

/* key_bytes: strlen of the record's key. */
int shard_pending_add(
	struct shard_pending *pending, const struct shard_record_in *record, size_t key_bytes, struct error *err);
size_t shard_pending_bytes(const struct shard_pending *pending);
/* Of a record that would be added. */
size_t shard_pending_more(const struct shard_pending *pending, const struct shard_record_in *record, size_t key_bytes);
struct shard_portion shard_portion_all(const struct shard_pending *pending);
/* The largest portion of not more than so many bytes, but one record at least. */
struct shard_portion shard_portion_within(const struct shard_pending *pending, size_t bytes);
size_t shard_portion_bytes(const struct shard_portion *portion);
void shard_pending_drop(struct shard_pending *pending, const struct shard_portion *portion);
void shard_pending_free(struct shard_pending *pending);

/* ---- shard_writer.c ---- */

/* The files that one writer writes, one after the other. */
struct shard_series {
	uint64_t limit_bytes; /* a file ends with the block that reaches this; 0: never */
	unsigned first;	      /* number of the first file */
	void *ctx;
	/* The file number `number`, open for writing from its start. */
	struct atomic_file *(*open)(void *ctx, unsigned number, struct error *err);
};

struct shard_writer {
	char *path;
	struct shard_series series;
	unsigned number;	  /* of the file in the series */
	struct atomic_file *file; /* NULL: dry, or the next file has no block yet */
	bool dry;
	uint64_t offset;    /* bytes written to the file, or counted */
	uint64_t next_copy; /* of the dictionary: before the first block from here on; UINT64_MAX: none */
	struct shard_header_disk header;
	struct shard_buffer front; /* header, class table, dictionary, field table, as they lie in each file */
	size_t block_bytes;
	bool fill_pages;
	int zstd_level;
	ZSTD_CCtx *cctx;
	struct shard_pending pending;
	struct shard_buffer raw, disk; /* scratch of one block */
	struct shard_buffer index_blocks;
	struct spill *index_records;
	uint32_t block_count, record_count; /* in blocks of this file */
	struct error failed;		    /* the first failure of a file: nothing goes after it */
};

/* A writer of a series. The first file is opened at once, but where `resume` is set: shard_writer_resume() does it. */
struct shard_writer *shard_writer_create_series(
	const struct shard_writer_config *config, const struct shard_series *series, bool resume, struct error *err);

/* Whether the file has reached its limit. */
bool shard_writer_full(const struct shard_writer *writer);
/* Ends the file; the next one begins with the next block. Pending records are its first. */
int shard_writer_next_file(struct shard_writer *writer, struct error *err);

/* Writes what is pending, ends the last file, frees; after a failure the writer is still there, to be left or
 * abandoned. A file without records is not made. */
int shard_writer_finish_series(struct shard_writer *writer, struct error *err);
/* Closes the unfinished file, which stays as it is. NULL is allowed. */
void shard_writer_leave(struct shard_writer *writer);

/* ---- shard_ends.c ---- */

/* Makes writer->header and writer->front. */
int shard_front_make(struct shard_writer *writer, const struct shard_writer_config *config, struct error *err);
/* Index and footer: writes them at writer->offset. */
int shard_back_write(struct shard_writer *writer, struct error *err);

/* The settings that a shard was made with, as far as it says: block size, origin, dictionary (in *dictionary,
 * malloc'd), metadata. Its classes are left alone. */
int shard_front_read(
	const struct shard *shard, struct shard_writer_config *config, unsigned char **dictionary, struct error *err);

/* Of next_copy in a new file. */
uint64_t shard_writer_first_copy(const struct shard_writer *writer);
/* Where a copy of the dictionary lies before a block that would begin at `offset`: the place from which the next one
 * does. */
uint64_t shard_copy_after(uint64_t offset);

int shard_writer_write(struct shard_writer *writer, const void *data, size_t bytes, struct error *err);

/* ---- shard_resume.c ---- */

/* Takes up file number `number`: keeps every whole block that `file` begins with, cuts off the rest. A file with
 * another front than this writer's is ERROR_MISMATCH. Takes `file` in any case. */
int shard_writer_resume(struct shard_writer *writer, unsigned number, struct atomic_file *file, struct error *err);

/* ---- dry writers, for measuring ---- */

/* Writes nothing; what it would have written is told at the end, in bytes. Finish frees, whatever the result. */
struct shard_writer *shard_writer_create_dry(const struct shard_writer_config *config, struct error *err);
int shard_writer_finish_dry(struct shard_writer *writer, uint64_t *bytes, struct error *err);

#endif
