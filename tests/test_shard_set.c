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
#include "tests/helper_shard.h"

enum { RECORDS = 300, MANY_RECORDS = 8000, MOST_FILES = 40 };

static struct helper_records some_records(uint32_t count)
{
	struct philox random = philox_stream(7, 1, 0, 0, PHILOX_TEST);
	return helper_records_make(&random, "set", count, 3, 3000);
}

/* What the tests vary. */
struct how {
	uint64_t shard_bytes, identity;
	bool resume, tune, fill, append, meta;
	size_t dictionary;
};

static struct shard_set_writer *create(
	const char *path, const struct helper_records *records, const struct how *how, struct error *err)
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

static void add(struct shard_set_writer *writer, const struct helper_records *records, uint64_t from, uint64_t to)
{
	struct error err = {0};
	for (uint64_t i = from; i < to; i++)
		if (shard_set_writer_add(writer, &records->records[i], &err) != 0)
			fail_msg("%s", err.message);
}

static struct shard_set_result finish(struct shard_set_writer *writer)
{
	struct error err = {0};
	struct shard_set_result result;
	if (shard_set_writer_finish(writer, &result, &err) != 0)
		fail_msg("%s", err.message);
	return result;
}

static void write_all(const char *path, const struct helper_records *records, const struct how *how)
{
	struct error err = {0};
	struct shard_set_writer *writer = create(path, records, how, &err);
	if (writer == NULL)
		fail_msg("%s", err.message);
	add(writer, records, shard_set_writer_resumed(writer), records->count);
	struct shard_set_result result = finish(writer);
	assert_int_equal(result.records, records->count);
	assert_int_equal(access(result.path, F_OK), 0);
	free(result.path);
}

/* All files of a folder as one text: "name bytes\n" by name, then their bytes. malloc'd. */
static int name_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static char *folder_bytes(const char *folder, size_t *bytes)
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

static void assert_same_folders(const char *a, const char *b)
{
	size_t a_bytes, b_bytes;
	char *first = folder_bytes(a, &a_bytes), *second = folder_bytes(b, &b_bytes);
	assert_int_equal(a_bytes, b_bytes);
	assert_memory_equal(first, second, a_bytes);
	free(first);
	free(second);
}

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

static void assert_holds(const char *path, const struct helper_records *records)
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

/* ---- files of a set ---- */

static void test_sizes(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = some_records(RECORDS);
	const struct how how = {.shard_bytes = 100000};
	char *manifest_path = helper_path(place->folder, "t.json"), *path = helper_path(place->folder, "t.ring");
	struct error err = {0};
	write_all(path, &records, &how);
	assert_holds(manifest_path, &records);
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
	struct helper_records records = some_records(RECORDS);
	struct shard_writer_config config = {
		.path = place->path, .block_bytes = 8192, .zstd_level = 3, .origin = "test"};
	struct error err = {0};
	char *other = helper_path(place->folder, "other.ring");
	assert_int_equal(helper_shard_write(&records, &config, &err), 0);
	write_all(other, &records, &(struct how){0});
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
	struct helper_records old = some_records(RECORDS), new = some_records(RECORDS / 2);
	char *path = helper_path(place->folder, "t.ring"), *manifest = helper_path(place->folder, "t.json");
	struct error err = {0};
	for (int round = 0; round < 3; round++) {
		const struct helper_records *records = round % 2 == 0 ? &old : &new;
		write_all(path, records, &(struct how){.shard_bytes = round == 0 ? 100000 : 60000});
		assert_holds(manifest, records);
		struct shard_manifest read;
		assert_int_equal(shard_manifest_read(manifest, &read, &err), 0);
		assert_int_equal(helper_folder_entries(place->folder), read.count + 1);
		shard_manifest_free(&read);
	}
	/* The same set once more: its names are taken by itself. */
	write_all(path, &old, &(struct how){.shard_bytes = 60000});
	assert_holds(manifest, &old);
	free(path);
	free(manifest);
	helper_records_free(&old);
	helper_records_free(&new);
}

static void test_refused(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = some_records(40);
	char *path = helper_path(place->folder, "t.ring"), *json = helper_path(place->folder, "t.json");
	const struct how how = {.shard_bytes = 20000};
	struct error err = {0};
	/* Somebody else's JSON. */
	helper_file_write(json, "{\"a\": 1}", 8);
	assert_null(create(path, &records, &how, &err));
	assert_int_equal(err.code, ERROR_FORMAT);
	assert_non_null(strstr(err.message, "t.json"));
	unlink(json);
	/* Two writers. */
	err = (struct error){0};
	struct shard_set_writer *first = create(path, &records, &how, &err);
	assert_non_null(first);
	assert_null(create(path, &records, &how, &err));
	assert_int_equal(err.code, ERROR_IO);
	assert_non_null(strstr(err.message, "another program"));
	shard_set_writer_abandon(first, false);
	assert_int_equal(helper_folder_entries(place->folder), 0);
	/* Metadata where none was announced. */
	describe(&records);
	struct shard_set_writer *plain = create(path, &records, &(struct how){0}, &err);
	err = (struct error){0};
	assert_int_equal(shard_set_writer_add(plain, &records.records[0], &err), ERROR_USAGE);
	assert_non_null(strstr(err.message, "has metadata"));
	shard_set_writer_abandon(plain, true);
	for (uint32_t i = 0; i < records.count; i++)
		records.records[i].meta = NULL;
	/* A key in two shards. */
	err = (struct error){0};
	struct shard_set_writer *writer = create(path, &records, &how, &err);
	struct shard_set_result result;
	add(writer, &records, 0, 40);
	assert_int_equal(shard_set_writer_add(writer, &records.records[0], &err), 0);
	assert_int_equal(shard_set_writer_finish(writer, &result, &err), ERROR_USAGE);
	assert_non_null(strstr(err.message, records.records[0].key));
	assert_int_equal(helper_folder_entries(place->folder), 0);
	/* Files of others in the folder of unfinished work. */
	char *partial = helper_path(place->folder, "t.ring.partial"), *foreign = helper_path(partial, "thesis.tex");
	assert_int_equal(mkdir(partial, 0777), 0);
	helper_file_write(foreign, "x", 1);
	err = (struct error){0};
	assert_null(create(path, &records, &how, &err));
	assert_non_null(strstr(err.message, "thesis.tex"));
	assert_int_equal(access(foreign, F_OK), 0);
	free(path);
	free(json);
	free(partial);
	free(foreign);
	helper_records_free(&records);
}

/* ---- taking up ---- */

static const struct how ways[] = {
	{.shard_bytes = 0},
	{.shard_bytes = 60000},
	{.shard_bytes = 600000, .tune = true},
	{.shard_bytes = 60000, .meta = true, .fill = true},
	{.shard_bytes = 2000000, .dictionary = 2048, .fill = true},
};
enum { WAYS = sizeof ways / sizeof *ways };

struct expect {
	const struct helper_records *records;
	uint64_t next;
};

static int expect_key(void *ctx, uint64_t record, const char *key, size_t key_bytes, uint64_t hash)
{
	struct expect *expect = ctx;
	(void)hash;
	assert_int_equal(record, expect->next);
	const char *expected = expect->records->records[record].key;
	assert_int_equal(key_bytes, strlen(expected));
	assert_memory_equal(key, expected, key_bytes);
	expect->next++;
	return 0;
}

/* Goes on to the end and compares with `whole`, the folder of a run that was not stopped. Returns what was kept. */
static uint64_t take_up(const char *folder, const char *whole, const struct helper_records *records, struct how how)
{
	char *path = helper_path(folder, "t.ring");
	struct error err = {0};
	how.resume = true;
	struct shard_set_writer *writer = create(path, records, &how, &err);
	if (writer == NULL)
		fail_msg("%s", err.message);
	uint64_t resumed = shard_set_writer_resumed(writer);
	struct expect expect = {.records = records};
	assert_int_equal(shard_set_writer_each_resumed(writer, expect_key, &expect, &err), 0);
	assert_int_equal(expect.next, resumed);
	add(writer, records, resumed, records->count);
	struct shard_set_result result = finish(writer);
	assert_int_equal(result.records, records->count);
	free(result.path);
	assert_same_folders(folder, whole);
	free(path);
	return resumed;
}

/* Leaves a run after `added` records, as a kill would. */
static void leave(const char *folder, const struct helper_records *records, const struct how *how, uint64_t added)
{
	char *path = helper_path(folder, "t.ring");
	struct error err = {0};
	struct shard_set_writer *writer = create(path, records, how, &err);
	assert_non_null(writer);
	add(writer, records, 0, added);
	shard_set_writer_abandon(writer, true);
	free(path);
}

static void test_taken_up(void **state)
{
	(void)state;
	for (unsigned w = 0; w < WAYS; w++) {
		/* Where something is measured, more than the sample holds, so that something is written before the end.
		 */
		struct helper_records records =
			some_records(ways[w].tune || ways[w].dictionary > 0 ? MANY_RECORDS : RECORDS);
		char *whole = helper_folder_make(), *path = helper_path(whole, "t.ring");
		uint64_t most = 0;
		if (ways[w].meta)
			describe(&records);
		write_all(path, &records, &ways[w]);
		if (ways[w].meta) {
			char *json = helper_path(whole, "t.json");
			assert_holds(json, &records);
			free(json);
		}
		for (uint64_t added = 0; added <= records.count; added += records.count / 4) {
			char *folder = helper_folder_make();
			leave(folder, &records, &ways[w], added);
			uint64_t kept = take_up(folder, whole, &records, ways[w]);
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
	struct helper_records records = some_records(RECORDS);
	const struct how how = {.shard_bytes = 400000};
	char *whole = helper_folder_make(), *whole_path = helper_path(whole, "t.ring");
	write_all(whole_path, &records, &how);
	struct philox random = philox_stream(3, 3, 3, 3, PHILOX_TEST);
	for (int i = 0; i < 25; i++) {
		char *folder = helper_folder_make();
		leave(folder, &records, &how, RECORDS - 20);
		char *partial = helper_path(folder, "t.ring.partial"), *part = helper_path(partial, "00001.part");
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
		take_up(folder, whole, &records, how);
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
	struct helper_records records = some_records(RECORDS), fewer = some_records(RECORDS);
	const struct how how = {.identity = 1};
	struct how other = {.identity = 2, .resume = true};
	char *path = helper_path(place->folder, "t.ring");
	struct error err = {0};
	leave(place->folder, &records, &how, 200);
	assert_null(create(path, &records, &other, &err));
	assert_int_equal(err.code, ERROR_MISMATCH);
	/* It is still there for the right one; other classes are noticed even so. */
	fewer.class_count = 2;
	other.identity = 1;
	err = (struct error){0};
	assert_null(create(path, &fewer, &other, &err));
	assert_int_equal(err.code, ERROR_MISMATCH);
	err = (struct error){0};
	struct shard_set_writer *writer = create(path, &records, &other, &err);
	assert_non_null(writer);
	assert_true(shard_set_writer_resumed(writer) > 100);
	shard_set_writer_abandon(writer, true);
	/* Without resume it begins anew. */
	other.resume = false;
	writer = create(path, &records, &other, &err);
	assert_int_equal(shard_set_writer_resumed(writer), 0);
	shard_set_writer_abandon(writer, true);
	assert_int_equal(helper_folder_entries(place->folder), 0);
	fewer.class_count = 3;
	free(path);
	helper_records_free(&records);
	helper_records_free(&fewer);
}

/* ---- the commit, stopped after each of its steps ---- */

/* Puts a finished set back to where commit.json stands and `moved` of its shards have their names. */
static void step_back(const char *folder, unsigned moved)
{
	struct shard_manifest manifest;
	struct error err = {0};
	char *json = helper_path(folder, "t.json"), *partial = helper_path(folder, "t.ring.partial");
	char *commit = helper_path(partial, "commit.json");
	assert_int_equal(shard_manifest_read(json, &manifest, &err), 0);
	assert_int_equal(mkdir(partial, 0777), 0);
	assert_int_equal(rename(json, commit), 0);
	for (unsigned i = moved; i < manifest.count; i++) {
		char name[32];
		snprintf(name, sizeof name, "%05u.ring", i);
		char *from = helper_path(folder, manifest.parts[i].file), *to = helper_path(partial, name);
		assert_int_equal(rename(from, to), 0);
		free(from);
		free(to);
	}
	shard_manifest_free(&manifest);
	free(json);
	free(partial);
	free(commit);
}

static void test_commit_steps(void **state)
{
	(void)state;
	struct helper_records records = some_records(60), other = some_records(30);
	const struct how how = {.shard_bytes = 30000};
	char *whole = helper_folder_make(), *whole_path = helper_path(whole, "t.ring");
	write_all(whole_path, &records, &how);
	unsigned files = helper_folder_entries(whole) - 1;
	assert_true(files > 2 && files < MOST_FILES);
	for (unsigned moved = 0; moved <= files; moved++) {
		char *folder = helper_folder_make(), *path = helper_path(folder, "t.ring");
		char *json = helper_path(folder, "t.json");
		write_all(path, &records, &how);
		step_back(folder, moved);
		assert_int_equal(take_up(folder, whole, &records, how), records.count);
		/* Another run finds it: the set appears first, and then gives way to the new one. */
		step_back(folder, moved);
		struct error err = {0};
		struct shard_set_writer *writer = create(path, &other, &how, &err);
		assert_non_null(writer);
		assert_holds(json, &records);
		add(writer, &other, 0, other.count);
		struct shard_set_result result = finish(writer);
		free(result.path);
		assert_holds(json, &other);
		free(json);
		free(path);
		helper_folder_remove(folder);
	}
	free(whole_path);
	helper_folder_remove(whole);
	helper_records_free(&records);
	helper_records_free(&other);
}

/* ---- appending ---- */

static void append(const char *path, const struct helper_records *records, uint64_t from, uint64_t to, struct how how)
{
	struct error err = {0};
	how.append = true;
	struct shard_set_writer *writer = create(path, records, &how, &err);
	if (writer == NULL)
		fail_msg("%s", err.message);
	assert_int_equal(shard_set_writer_resumed(writer), from);
	struct expect expect = {.records = records};
	assert_int_equal(shard_set_writer_each_resumed(writer, expect_key, &expect, &err), 0);
	assert_int_equal(expect.next, from);
	add(writer, records, from, to);
	struct shard_set_result result = finish(writer);
	assert_int_equal(result.records, to);
	free(result.path);
}

static void test_append(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = some_records(RECORDS), first = records;
	for (unsigned w = 0; w < 3; w++) {
		struct how how = {.shard_bytes = w == 0 ? 60000 : 0, .dictionary = w == 2 ? 1024 : 0};
		char *path = helper_path(place->folder, "t.ring"), *json = helper_path(place->folder, "t.json");
		first.count = RECORDS / 3;
		write_all(path, &first, &how);
		unsigned files = helper_folder_entries(place->folder);
		append(path, &records, RECORDS / 3, RECORDS / 2, how);
		append(path, &records, RECORDS / 2, RECORDS, how);
		assert_holds(w == 0 ? json : path, &records);
		if (w > 0)
			assert_int_equal(helper_folder_entries(place->folder), files);
		/* What is refused changes nothing. */
		struct error err = {0};
		struct shard_set_result result;
		how.append = true;
		struct shard_set_writer *writer = create(path, &records, &how, &err);
		assert_int_equal(shard_set_writer_add(writer, &records.records[5], &err), 0);
		assert_int_equal(shard_set_writer_finish(writer, &result, &err), ERROR_USAGE);
		assert_non_null(strstr(err.message, records.records[5].key));
		err = (struct error){0};
		records.class_count--;
		assert_null(create(path, &records, &how, &err));
		assert_int_equal(err.code, ERROR_MISMATCH);
		records.class_count++;
		assert_holds(w == 0 ? json : path, &records);
		unlink(path);
		unlink(json);
		free(path);
		free(json);
	}
	char *nowhere = helper_path(place->folder, "nowhere.ring");
	struct error err = {0};
	assert_null(create(nowhere, &records, &(struct how){.append = true}, &err));
	assert_int_equal(err.code, ERROR_IO);
	free(nowhere);
	helper_records_free(&records);
}

/* ---- manifests from anywhere ---- */

static void test_bad_manifests(void **state)
{
	struct helper_place *place = *state;
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{"", "no manifest"},
		{"[]", "no manifest"},
		{"{\"format\": \"ringclr set\"}", "no manifest"},
		{"{\"format\": \"ringclr set\", \"version\": 2}", "use a newer ringclr"},
		{"{\"format\": \"ringclr set\", \"version\": 1}", "\"shards\" must list"},
		{"{\"format\": \"ringclr set\", \"version\": 1, \"shards\": []}", "\"shards\" must list"},
		{"{\"format\": \"ringclr set\", \"version\": 1, \"shards\": [{\"file\": \"../x\", \"records\": 1, "
		 "\"bytes\": 1, \"fingerprint\": \"0123456789abcdef\"}]}",
			"without slashes"},
		{"{\"format\": \"ringclr set\", \"version\": 1, \"shards\": [{\"file\": \"x.ring\", \"records\": -1, "
		 "\"bytes\": 1, \"fingerprint\": \"0123456789abcdef\"}]}",
			"needs file"},
		{"{\"format\": \"ringclr set\", \"version\": 1, \"shards\": [{\"file\": \"x.ring\", \"records\": 1, "
		 "\"bytes\": 1, \"fingerprint\": \"0123\"}]}",
			"needs file"},
		{"{\"format\": \"ringclr set\", \"version\": 1, \"shards\": [{\"file\": \"x.ring\", \"records\": 1, "
		 "\"bytes\": 1, \"fingerprint\": \"0123456789abcdef\"}], \"supersedes\": [\"/etc/passwd\"]}",
			"\"supersedes\" must list"},
		{"{\"format\": \"ringclr set\", \"version\": 1, \"shards\": [{\"file\": \"x.ring\", \"records\": 1, "
		 "\"bytes\": 1, \"fingerprint\": \"0123456789abcdef\"}]}",
			"x.ring"},
	};
	char *path = helper_path(place->folder, "m.json");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error err = {0};
		const char *paths[] = {path};
		helper_file_write(path, cases[i].text, strlen(cases[i].text));
		assert_null(shard_set_open(paths, 1, false, &err));
		if (strstr(err.message, cases[i].complaint) == NULL)
			fail_msg("case %zu: %s", i, err.message);
		assert_non_null(strstr(err.message, i + 1 < sizeof cases / sizeof *cases ? "m.json" : "x.ring"));
	}
	free(path);
}

/* A shard that is not the one that the manifest means. */
static void test_exchanged_shard(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = some_records(60);
	char *path = helper_path(place->folder, "t.ring"), *json = helper_path(place->folder, "t.json");
	write_all(path, &records, &(struct how){.shard_bytes = 30000});
	struct shard_manifest manifest;
	struct error err = {0};
	assert_int_equal(shard_manifest_read(json, &manifest, &err), 0);
	char *one = helper_path(place->folder, manifest.parts[0].file);
	struct shard_writer_config config = {.path = one, .block_bytes = 8192, .origin = "another"};
	struct helper_records fewer = some_records(59);
	assert_int_equal(helper_shard_write(&fewer, &config, &err), 0);
	const char *paths[] = {json};
	assert_null(shard_set_open(paths, 1, false, &err));
	assert_int_equal(err.code, ERROR_MISMATCH);
	assert_non_null(strstr(err.message, manifest.parts[0].file));
	shard_manifest_free(&manifest);
	free(one);
	free(path);
	free(json);
	helper_records_free(&records);
	helper_records_free(&fewer);
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
		cmocka_unit_test(test_commit_steps),
		cmocka_unit_test_setup_teardown(test_append, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_bad_manifests, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_exchanged_shard, helper_place_make, helper_place_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
