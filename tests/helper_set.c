/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/helper_files.h"
#include "tests/helper_set.h"

struct helper_records set_records(uint32_t count)
{
	struct philox random = philox_stream(7, 1, 0, 0, PHILOX_TEST);
	return helper_records_make(&random, "set", count, 3, 3000);
}

struct shard_set_writer *set_create(
	const char *path, const struct helper_records *records, const struct set_how *how, struct error *err)
{
	const struct shard_set_writer_config config = {
		.tuner = {.writer = {.path = path,
				  .classes = (const char *const *)records->classes,
				  .class_count = records->class_count,
				  .block_bytes = how->tune ? 0 : 8192,
				  .zstd_level = 3,
				  .fill_pages = how->fill,
				  .meta = how->meta,
				  .origin = "test"},
			.tune_block = how->tune,
			.dictionary = how->dictionary,
			.records = records->count},
		.shard_bytes = how->shard_bytes,
		.resume = how->resume,
		.append = how->append,
		.identity = how->identity};
	return shard_set_writer_create(&config, err);
}

void set_add(struct shard_set_writer *writer, const struct helper_records *records, uint64_t from, uint64_t to)
{
	struct error err = {0};
	for (uint64_t i = from; i < to; i++)
		if (shard_set_writer_add(writer, &records->records[i], &err) != 0)
			fail_msg("%s", err.message);
}

struct shard_set_result set_finish(struct shard_set_writer *writer)
{
	struct error err = {0};
	struct shard_set_result result;
	if (shard_set_writer_finish(writer, &result, &err) != 0)
		fail_msg("%s", err.message);
	return result;
}

static int count_key(void *ctx, uint64_t record, const char *key, size_t key_bytes, uint64_t hash)
{
	(void)record, (void)key, (void)key_bytes, (void)hash;
	++*(uint64_t *)ctx;
	return 0;
}

uint64_t set_resumed(const struct shard_set_writer *writer)
{
	struct error err = {0};
	uint64_t count = 0;
	assert_int_equal(shard_set_writer_each_resumed(writer, count_key, &count, &err), 0);
	return count;
}

void set_write(const char *path, const struct helper_records *records, const struct set_how *how)
{
	struct error err = {0};
	struct shard_set_writer *writer = set_create(path, records, how, &err);
	if (writer == NULL)
		fail_msg("%s", err.message);
	set_add(writer, records, set_resumed(writer), records->count);
	struct shard_set_result result = set_finish(writer);
	assert_int_equal(result.records, records->count);
	assert_int_equal(access(result.path, F_OK), 0);
	free(result.path);
}

/* All files of a folder as one text: "name bytes\n" by name, then their bytes. malloc'd. */
static int name_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

char *set_folder_bytes(const char *folder, size_t *bytes)
{
	struct dirent **entries;
	char *all = NULL;
	int count = scandir(folder, &entries, NULL, name_order);
	FILE *out = open_memstream(&all, bytes);
	assert_true(count >= 0 && out != NULL);
	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.') {
			char *path = helper_path(folder, entries[i]->d_name);
			size_t size = 0;
			unsigned char *data = helper_file_read(path, &size);
			fprintf(out, "%s %zu\n", entries[i]->d_name, size);
			fwrite(data, 1, size, out);
			free(data);
			free(path);
		}
		free(entries[i]);
	}
	free(entries);
	assert_int_equal(fclose(out), 0);
	return all;
}

void set_assert_same_folders(const char *a, const char *b)
{
	size_t a_bytes, b_bytes;
	char *first = set_folder_bytes(a, &a_bytes), *second = set_folder_bytes(b, &b_bytes);
	assert_int_equal(a_bytes, b_bytes);
	assert_memory_equal(first, second, a_bytes);
	free(first);
	free(second);
}

void set_assert_holds(const char *path, const struct helper_records *records)
{
	struct error err = {0};
	struct shard_set *set = shard_set_open(&path, 1, false, &err);
	if (set == NULL)
		fail_msg("%s", err.message);
	assert_int_equal(shard_set_records(set), records->count);
	for (uint32_t i = 0; i < records->count; i++) {
		assert_string_equal(shard_set_record(set, i)->key, records->records[i].key);
		assert_int_equal(shard_set_record(set, i)->bytes, records->records[i].bytes);
	}
	uint32_t record = 0;
	for (unsigned i = 0; i < shard_set_count(set); i++) {
		struct shard *shard = shard_set_at(set, i);
		struct shard_cursor *cursor = shard_cursor_create(shard, &err);
		helper_assert_sound(shard_path(shard));
		for (uint32_t r = 0; r < shard_records(shard); r++, record++) {
			const struct shard_record_in *expected = &records->records[record];
			struct shard_record_in got;
			if (shard_cursor_get(cursor, r, &got, &err) != 0)
				fail_msg("%s", err.message);
			assert_memory_equal(got.data, expected->data, expected->bytes);
			assert_int_equal(got.meta != NULL, expected->meta != NULL);
			if (expected->meta != NULL) {
				assert_int_equal(got.meta_bytes, expected->meta_bytes);
				assert_memory_equal(got.meta, expected->meta, got.meta_bytes);
			}
		}
		shard_cursor_destroy(cursor);
	}
	shard_set_close(set);
}

/* Leaves a run after `added` records, as a kill would. */
void set_leave(const char *folder, const struct helper_records *records, const struct set_how *how, uint64_t added)
{
	char *path = helper_path(folder, "t.ring");
	struct error err = {0};
	struct shard_set_writer *writer = set_create(path, records, how, &err);
	assert_non_null(writer);
	set_add(writer, records, 0, added);
	shard_set_writer_abandon(writer, true);
	free(path);
}

int set_expect_key(void *ctx, uint64_t record, const char *key, size_t key_bytes, uint64_t hash)
{
	struct set_expect *expect = ctx;
	(void)hash;
	assert_int_equal(record, expect->next);
	const char *expected = expect->records->records[record].key;
	assert_int_equal(key_bytes, strlen(expected));
	assert_memory_equal(key, expected, key_bytes);
	expect->next++;
	return 0;
}

/* Goes on to the end and compares with `whole`, the folder of a run that was not stopped. Returns what was kept. */
uint64_t set_take_up(const char *folder, const char *whole, const struct helper_records *records, struct set_how how)
{
	char *path = helper_path(folder, "t.ring");
	struct error err = {0};
	how.resume = true;
	struct shard_set_writer *writer = set_create(path, records, &how, &err);
	if (writer == NULL)
		fail_msg("%s", err.message);
	uint64_t resumed = set_resumed(writer);
	struct set_expect expect = {.records = records};
	assert_int_equal(shard_set_writer_each_resumed(writer, set_expect_key, &expect, &err), 0);
	assert_int_equal(expect.next, resumed);
	set_add(writer, records, resumed, records->count);
	struct shard_set_result result = set_finish(writer);
	assert_int_equal(result.records, records->count);
	free(result.path);
	set_assert_same_folders(folder, whole);
	free(path);
	return resumed;
}
