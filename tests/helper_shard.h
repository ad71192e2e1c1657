/* SPDX-License-Identifier: Apache-2.0 */
/* Shards for tests, made of random records. */
#ifndef RINGCLR_TESTS_HELPER_SHARD_H
#define RINGCLR_TESTS_HELPER_SHARD_H

#include "io/shard.h"
#include "pipeline/philox.h"

struct helper_records {
	uint32_t count;
	struct shard_record_in *records; /* key and data are owned by this struct */
	uint32_t class_count;
	char **classes;
};

/* Random keys ("<prefix>/..."), labels, sizes and bytes, half of them compressible. max_bytes bounds an image. */
struct helper_records helper_records_make(
	struct philox *random, const char *prefix, uint32_t count, uint32_t class_count, size_t max_bytes);
void helper_records_free(struct helper_records *records);

/* Writes them; path, block_bytes, zstd_level and origin come from config. */
int helper_shard_write(
	const struct helper_records *records, const struct shard_writer_config *config, struct error *err);

/* The same with a dictionary of so many bytes, trained on them; its other settings are left as they are. */
int helper_shard_tune(const struct helper_records *records, const struct shard_writer_config *config, size_t dictionary,
	struct error *err);

/* A shard with two classes, three blocks of two records each (the first compresses), and padding everywhere; about 30
 * KB. Level 0 stores the index too. Returns its bytes, malloc'd. */
unsigned char *helper_shard_small(const char *path, int zstd_level, size_t *bytes);

/* shard_verify() at level FULL, with its lines one after the other; a negative code's message instead. */
struct helper_report {
	int64_t lines;
	char text[20000];
};
int64_t helper_verify(const char *path, struct helper_report *report);
int64_t helper_verify_as(const char *path, enum shard_verify_level level, unsigned jobs, struct helper_report *report);
void helper_assert_sound(const char *path);

#endif
