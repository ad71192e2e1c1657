/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of shard_verify(): shard_verify.c checks what lies around the blocks, shard_verify_spans.c deals the blocks
 * out to threads, shard_verify_block.c checks one. */
#ifndef RINGCLR_IO_SHARD_VERIFY_INTERNAL_H
#define RINGCLR_IO_SHARD_VERIFY_INTERNAL_H

#include "io/shard_internal.h"

/* Lines for the caller, one after the other, each ending in a zero. */
struct verify_report {
	char *lines;
	size_t bytes, capacity;
	uint64_t told, untold; /* damages with and without a line: there is a limit, so that memory is bounded */
};
__attribute__((format(printf, 2, 3))) void verify_report_add(struct verify_report *report, const char *format, ...);

/* What is known of the file. Nothing of it changes while blocks are checked. */
struct verify_file {
	const char *path;
	int fd;
	uint64_t file_bytes;
	const struct shard_verify_options *options;
	bool header_sound, footer_sound, index_sound;
	struct shard_footer_disk footer; /* when only the header is sound: what it repeats is filled from there */
	struct shard_index index;
	struct shard_fields fields;
	bool fields_known; /* whether the file has fields, and which; else what lies behind images is not looked at */
	ZSTD_DDict *dictionary;
};

/* One thread's. */
struct verify_job {
	const struct verify_file *file;
	unsigned number;
	struct verify_report *report; /* where what is found now goes */
	ZSTD_DCtx *dctx;	      /* NULL where nothing is decompressed */
	unsigned char *disk, *raw;
	size_t disk_capacity, raw_capacity;
};

/* Grows a scratch buffer, which begins a page: the kernel copies whole pages faster. Sizes were bounded by the file's
 * size before. */
bool verify_scratch(unsigned char **buffer, size_t *capacity, size_t bytes);

bool verify_zero(const unsigned char *bytes, size_t count);

/* disk: the block with its padding, as the file has it. By what the index says of its number, or by a header that was
 * found in the file. */
void verify_block_by_index(struct verify_job *job, uint32_t block, const unsigned char *disk);
void verify_block_by_itself(struct verify_job *job, const struct shard_block_disk *header, const unsigned char *disk);

/* All blocks of the file, by the index or, where there is none, as they are found. Adds to *damages, and reports. 0, or
 * a negative code where the check itself could not go on. */
int verify_blocks(const struct verify_file *file, int64_t *damages, struct error *err);

/* Tells the caller, empties the report, and returns the number of damages. */
int64_t verify_report_flush(struct verify_report *report, const struct shard_verify_options *options);

#endif
