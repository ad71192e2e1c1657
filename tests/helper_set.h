/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of shards written, left unfinished and taken up again, for tests. All abort the test on what should not be. */
#ifndef RINGCLR_TESTS_HELPER_SET_H
#define RINGCLR_TESTS_HELPER_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "io/shard_set_writer.h"
#include "tests/helper_shard.h"

struct helper_records set_records(uint32_t count);

/* What the tests vary. */
struct set_how {
	uint64_t shard_bytes, identity;
	bool resume, tune, fill, append, meta;
	size_t dictionary;
};

/* NULL with *err where it is refused; this one aborts nothing. */
struct shard_set_writer *set_create(
	const char *path, const struct helper_records *records, const struct set_how *how, struct error *err);
void set_add(struct shard_set_writer *writer, const struct helper_records *records, uint64_t from, uint64_t to);
struct shard_set_result set_finish(struct shard_set_writer *writer); /* its path is the caller's */
/* Records that it found, and goes on behind. */
uint64_t set_resumed(const struct shard_set_writer *writer);
/* Writes all of a set. */
void set_write(const char *path, const struct helper_records *records, const struct set_how *how);

/* The set or shard is sound and has exactly these records. */
void set_assert_holds(const char *path, const struct helper_records *records);

/* All files of a folder as one text: "name bytes\n" by name, then their bytes. malloc'd. */
char *set_folder_bytes(const char *folder, size_t *bytes);
void set_assert_same_folders(const char *a, const char *b);

/* For shard_set_writer_each_resumed(): the keys are those of `records`, from `next` on. */
struct set_expect {
	const struct helper_records *records;
	uint64_t next;
};

int set_expect_key(void *ctx, uint64_t record, const char *key, size_t key_bytes, uint64_t hash);

/* Leaves a run that writes folder/t.ring after `added` records, as a kill would. */
void set_leave(const char *folder, const struct helper_records *records, const struct set_how *how, uint64_t added);
/* Goes on with it to the end and compares with `whole`, the folder of a run that was not stopped. Returns what was
 * kept. */
uint64_t set_take_up(const char *folder, const char *whole, const struct helper_records *records, struct set_how how);

#endif
