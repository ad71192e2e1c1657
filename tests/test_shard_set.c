/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of shards: where files end, what a killed run leaves and how it is taken up, and that a manifest always names a
 * whole set. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/shard_manifest.h"
#include "io/shard_set_writer.h"
#include "tests/helper_files.h"
#include "tests/helper_set.h"
#include "tests/hostile_shard.h"

enum { RECORDS = 300, MANY_RECORDS = 8000 };

/* Gives every third record metadata; the texts live as long as the program. */
static void describe(struct helper_records *records)
{
	static char texts[MANY_RECORDS][80];
	for (uint32_t i = 0; i < records->count; i += 3) {
		snprintf(texts[i], sizeof texts[i], "{\"number\": %u, \"camera\": \"%.*s\"}", i, (int)(i % 30),
			"a camera of a very long name indeed");
		records->records[i].meta = texts[i];
		records->records[i].meta_bytes = strlen(texts[i]);
	}
}

/* ---- files of a set ---- */

static void test_sizes(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(RECORDS);
	const struct set_how how = {.shard_bytes = 100000};
	char *manifest_path = helper_path(place->folder, "t.json"), *path = helper_path(place->folder, "t.ring");
	struct error err = {0};
	set_write(path, &records, &how);
	set_assert_holds(manifest_path, &records);
	struct shard_manifest manifest;
	assert_int_equal(shard_manifest_read(manifest_path, &manifest, &err), 0);
	assert_true(manifest.count > 2);
	for (unsigned i = 0; i < manifest.count; i++) {
		char expected[64];
		snprintf(expected, sizeof expected, "t-%05u-of-%05u.ring", i, manifest.count);
		assert_string_equal(manifest.parts[i].file, expected);
		/* One block and one record more than it should, at most. */
		assert_true(manifest.parts[i].bytes <= how.shard_bytes + 8192 + 3 * 4096);
		assert_true(i + 1 == manifest.count || manifest.parts[i].bytes > how.shard_bytes / 2);
	}
	assert_int_equal(helper_folder_entries(place->folder), manifest.count + 1);
	shard_manifest_free(&manifest);
	free(path);
	free(manifest_path);
	helper_records_free(&records);
}

/* One shard is the same file, whichever way it was written. */
static void test_single(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(RECORDS);
	struct shard_writer_config config = {
		.path = place->path, .block_bytes = 8192, .zstd_level = 3, .origin = "test"};
	struct error err = {0};
	char *other = helper_path(place->folder, "other.ring");
	assert_int_equal(helper_shard_write(&records, &config, &err), 0);
	set_write(other, &records, &(struct set_how){0});
	size_t bytes, other_bytes;
	unsigned char *first = helper_file_read(place->path, &bytes), *second = helper_file_read(other, &other_bytes);
	assert_int_equal(bytes, other_bytes);
	assert_memory_equal(first, second, bytes);
	assert_int_equal(helper_folder_entries(place->folder), 2);
	free(first);
	free(second);
	free(other);
	helper_records_free(&records);
}

/* The new set takes the old one's place; whoever has read the old manifest before finds its files until then. */
static void test_replaced(void **state)
{
	struct helper_place *place = *state;
	struct helper_records old = set_records(RECORDS), new = set_records(RECORDS / 2);
	char *path = helper_path(place->folder, "t.ring"), *manifest = helper_path(place->folder, "t.json");
	struct error err = {0};
	for (int round = 0; round < 3; round++) {
		const struct helper_records *records = round % 2 == 0 ? &old : &new;
		set_write(path, records, &(struct set_how){.shard_bytes = round == 0 ? 100000 : 60000});
		set_assert_holds(manifest, records);
		struct shard_manifest read;
		assert_int_equal(shard_manifest_read(manifest, &read, &err), 0);
		assert_int_equal(helper_folder_entries(place->folder), read.count + 1);
		shard_manifest_free(&read);
	}
	/* The same set once more stays as it is; another gets other names. */
	size_t bytes, again_bytes;
	char *before = set_folder_bytes(place->folder, &bytes);
	set_write(path, &old, &(struct set_how){.shard_bytes = 60000});
	char *again = set_folder_bytes(place->folder, &again_bytes);
	assert_int_equal(bytes, again_bytes);
	assert_memory_equal(before, again, bytes);
	free(before);
	free(again);
	old.records[0].label = 0;
	old.records[1].label = 1;
	set_write(path, &old, &(struct set_how){.shard_bytes = 60000});
	set_assert_holds(manifest, &old);
	free(path);
	free(manifest);
	helper_records_free(&old);
	helper_records_free(&new);
}

static void test_refused(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(40);
	char *path = helper_path(place->folder, "t.ring"), *json = helper_path(place->folder, "t.json");
	const struct set_how how = {.shard_bytes = 20000};
	struct error err = {0};
	/* Somebody else's JSON. */
	helper_file_write(json, "{\"a\": 1}", 8);
	assert_null(set_create(path, &records, &how, &err));
	assert_int_equal(err.code, ERROR_FORMAT);
	assert_non_null(strstr(err.message, "t.json"));
	unlink(json);
	/* Two writers. */
	err = (struct error){0};
	struct shard_set_writer *first = set_create(path, &records, &how, &err);
	assert_non_null(first);
	assert_null(set_create(path, &records, &how, &err));
	assert_int_equal(err.code, ERROR_IO);
	assert_non_null(strstr(err.message, "another program"));
	/* Which does the first no harm, though it had written nothing yet. */
	set_add(first, &records, 0, 40);
	struct shard_set_result made = set_finish(first);
	assert_string_equal(made.path, json);
	set_assert_holds(json, &records);
	free(made.path);
	helper_folder_remove(place->folder);
	place->folder = helper_folder_make();
	free(path);
	free(json);
	path = helper_path(place->folder, "t.ring");
	json = helper_path(place->folder, "t.json");
	/* Metadata where none was announced. */
	describe(&records);
	struct shard_set_writer *plain = set_create(path, &records, &(struct set_how){0}, &err);
	err = (struct error){0};
	assert_int_equal(shard_set_writer_add(plain, &records.records[0], &err), ERROR_USAGE);
	assert_non_null(strstr(err.message, "has metadata"));
	shard_set_writer_abandon(plain, true);
	for (uint32_t i = 0; i < records.count; i++)
		records.records[i].meta = NULL;
	/* A key in two shards. */
	err = (struct error){0};
	struct shard_set_writer *writer = set_create(path, &records, &how, &err);
	struct shard_set_result result;
	set_add(writer, &records, 0, 40);
	assert_int_equal(shard_set_writer_add(writer, &records.records[0], &err), 0);
	assert_int_equal(shard_set_writer_finish(writer, &result, &err), ERROR_USAGE);
	assert_non_null(strstr(err.message, records.records[0].key));
	assert_int_equal(helper_folder_entries(place->folder), 0);
	/* Files of others in the folder of unfinished work. */
	char *partial = helper_path(place->folder, "t.json.partial"), *foreign = helper_path(partial, "thesis.tex");
	assert_int_equal(mkdir(partial, 0777), 0);
	helper_file_write(foreign, "x", 1);
	err = (struct error){0};
	assert_null(set_create(path, &records, &how, &err));
	assert_non_null(strstr(err.message, "thesis.tex"));
	assert_int_equal(access(foreign, F_OK), 0);
	free(path);
	free(json);
	free(partial);
	free(foreign);
	helper_records_free(&records);
}

/* ---- taking up ---- */

static const struct set_how ways[] = {
	{.shard_bytes = 0},
	{.shard_bytes = 60000},
	{.shard_bytes = 600000, .tune = true},
	{.shard_bytes = 60000, .meta = true, .fill = true},
	{.shard_bytes = 2000000, .dictionary = 2048, .fill = true},
};
enum { WAYS = sizeof ways / sizeof *ways };

static void test_taken_up(void **state)
{
	(void)state;
	for (unsigned w = 0; w < WAYS; w++) {
		/* Where something is measured, more than the sample holds, so that something is written before the end.
		 */
		struct helper_records records =
			set_records(ways[w].tune || ways[w].dictionary > 0 ? MANY_RECORDS : RECORDS);
		char *whole = helper_folder_make(), *path = helper_path(whole, "t.ring");
		uint64_t most = 0;
		if (ways[w].meta)
			describe(&records);
		set_write(path, &records, &ways[w]);
		if (ways[w].meta) {
			char *json = helper_path(whole, "t.json");
			set_assert_holds(json, &records);
			free(json);
		}
		for (uint64_t added = 0; added <= records.count; added += records.count / 4) {
			char *folder = helper_folder_make();
			set_leave(folder, &records, &ways[w], added);
			uint64_t kept = set_take_up(folder, whole, &records, ways[w]);
			assert_true(kept <= added);
			most = kept > most ? kept : most;
			helper_folder_remove(folder);
		}
		assert_true(most > records.count / 2);
		free(path);
		helper_folder_remove(whole);
		helper_records_free(&records);
	}
}

/* The unfinished shard cut anywhere, as by a power cut, or with its end overwritten. */
static void test_cut_part(void **state)
{
	(void)state;
	struct helper_records records = set_records(RECORDS);
	const struct set_how how = {.shard_bytes = 400000};
	char *whole = helper_folder_make(), *whole_path = helper_path(whole, "t.ring");
	set_write(whole_path, &records, &how);
	struct philox random = philox_stream(3, 3, 3, 3, PHILOX_TEST);
	for (int i = 0; i < 25; i++) {
		char *folder = helper_folder_make();
		set_leave(folder, &records, &how, RECORDS - 20);
		char *partial = helper_path(folder, "t.json.partial"), *part = helper_path(partial, "00001.part");
		if (access(part, F_OK) != 0) {
			free(part);
			part = helper_path(partial, "00000.part");
		}
		size_t bytes;
		unsigned char *data = helper_file_read(part, &bytes);
		/* What is overwritten lies behind header and class table: with those damaged, nothing is sure. */
		size_t least = i % 3 == 0 ? 8192 : 0;
		size_t cut = least + philox_below(&random, (uint32_t)(bytes - least) + 1);
		if (i % 3 == 0)
			memset(data + cut, 0xa5, bytes - cut);
		helper_file_write(part, data, i % 3 == 0 ? bytes : cut);
		set_take_up(folder, whole, &records, how);
		free(data);
		free(part);
		free(partial);
		helper_folder_remove(folder);
	}
	free(whole_path);
	helper_folder_remove(whole);
	helper_records_free(&records);
}

static void test_other_run(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(RECORDS), fewer = set_records(RECORDS);
	const struct set_how how = {.identity = 1};
	struct set_how other = {.identity = 2, .resume = true};
	char *path = helper_path(place->folder, "t.ring");
	struct error err = {0};
	set_leave(place->folder, &records, &how, 200);
	assert_null(set_create(path, &records, &other, &err));
	assert_int_equal(err.code, ERROR_MISMATCH);
	/* It is still there for the right one; other classes are noticed even so. */
	fewer.class_count = 2;
	other.identity = 1;
	err = (struct error){0};
	assert_null(set_create(path, &fewer, &other, &err));
	assert_int_equal(err.code, ERROR_MISMATCH);
	err = (struct error){0};
	struct shard_set_writer *writer = set_create(path, &records, &other, &err);
	assert_non_null(writer);
	assert_true(set_resumed(writer) > 100);
	shard_set_writer_abandon(writer, true);
	/* Without resume it begins anew. */
	other.resume = false;
	writer = set_create(path, &records, &other, &err);
	assert_int_equal(set_resumed(writer), 0);
	shard_set_writer_abandon(writer, true);
	assert_int_equal(helper_folder_entries(place->folder), 0);
	fewer.class_count = 3;
	free(path);
	helper_records_free(&records);
	helper_records_free(&fewer);
}

/* ---- appending ---- */

static void append(
	const char *path, const struct helper_records *records, uint64_t from, uint64_t to, struct set_how how)
{
	struct error err = {0};
	how.append = true;
	struct shard_set_writer *writer = set_create(path, records, &how, &err);
	if (writer == NULL)
		fail_msg("%s", err.message);
	assert_int_equal(set_resumed(writer), from);
	struct set_expect expect = {.records = records};
	assert_int_equal(shard_set_writer_each_resumed(writer, set_expect_key, &expect, &err), 0);
	assert_int_equal(expect.next, from);
	set_add(writer, records, from, to);
	struct shard_set_result result = set_finish(writer);
	assert_int_equal(result.records, to);
	free(result.path);
}

static void test_append(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(RECORDS), first = records;
	for (unsigned w = 0; w < 3; w++) {
		struct set_how how = {.shard_bytes = w == 0 ? 60000 : 0, .dictionary = w == 2 ? 1024 : 0};
		char *path = helper_path(place->folder, "t.ring"), *json = helper_path(place->folder, "t.json");
		first.count = RECORDS / 3;
		set_write(path, &first, &how);
		unsigned files = helper_folder_entries(place->folder);
		append(path, &records, RECORDS / 3, RECORDS / 2, how);
		append(path, &records, RECORDS / 2, RECORDS, how);
		set_assert_holds(w == 0 ? json : path, &records);
		if (w > 0)
			assert_int_equal(helper_folder_entries(place->folder), files);
		/* What is left off or refused changes nothing, and stays nowhere: an append cannot be taken up. */
		struct error err = {0};
		struct shard_set_result result;
		how.append = true;
		struct helper_records more = set_records(3 * RECORDS);
		files = helper_folder_entries(place->folder);
		struct shard_set_writer *stopped = set_create(path, &more, &how, &err);
		set_add(stopped, &more, RECORDS, more.count);
		shard_set_writer_abandon(stopped, true);
		assert_int_equal(helper_folder_entries(place->folder), files);
		helper_records_free(&more);
		struct shard_set_writer *writer = set_create(path, &records, &how, &err);
		assert_int_equal(shard_set_writer_add(writer, &records.records[5], &err), 0);
		assert_int_equal(shard_set_writer_finish(writer, &result, &err), ERROR_USAGE);
		assert_non_null(strstr(err.message, records.records[5].key));
		err = (struct error){0};
		records.class_count--;
		assert_null(set_create(path, &records, &how, &err));
		assert_int_equal(err.code, ERROR_MISMATCH);
		records.class_count++;
		set_assert_holds(w == 0 ? json : path, &records);
		unlink(path);
		unlink(json);
		free(path);
		free(json);
	}
	char *nowhere = helper_path(place->folder, "nowhere.ring");
	struct error err = {0};
	assert_null(set_create(nowhere, &records, &(struct set_how){.append = true}, &err));
	assert_int_equal(err.code, ERROR_IO);
	free(nowhere);
	helper_records_free(&records);
}

/* A shard like none that this program begins, though it is sound. */
static void test_append_other_front(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(40);
	char *path = helper_path(place->folder, "t.ring");
	size_t bytes = 0;
	struct error err = {0};
	const uint32_t unknown = 1;
	set_write(path, &records, &(struct set_how){0});
	unsigned char *shard = helper_file_read(path, &bytes);
	memcpy(shard + offsetof(struct shard_header_disk, optional_flags), &unknown, sizeof unknown);
	shard_sign(shard, bytes);
	helper_file_write(path, shard, bytes);
	set_assert_holds(path, &records);
	assert_null(set_create(path, &records, &(struct set_how){.append = true}, &err));
	assert_int_equal(err.code, ERROR_MISMATCH);
	assert_non_null(strstr(err.message, "ringclr merge"));
	assert_null(strstr(err.message, "unfinished"));
	assert_int_equal(helper_folder_entries(place->folder), 1);
	free(shard);
	free(path);
	helper_records_free(&records);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sizes, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_single, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_replaced, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_refused, helper_place_make, helper_place_remove),
		cmocka_unit_test(test_taken_up),
		cmocka_unit_test(test_cut_part),
		cmocka_unit_test_setup_teardown(test_other_run, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_append, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_append_other_front, helper_place_make, helper_place_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
