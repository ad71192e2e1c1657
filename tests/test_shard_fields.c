/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of shards and of records: what is known is read, what is unknown is passed over or refused by its name, and
 * what makes no sense is told. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/helper_files.h"
#include "tests/helper_made_shard.h"
#include "tests/hostile_shard.h"

enum { RECORDS = 5 };

/* A table with metadata (id 7), an optional field of records and one of the file; and records that have none of them,
 * one, or both. */
struct sample {
	struct made_bytes table, fields[RECORDS];
	struct made_shard made;
};

static const char *const metas[RECORDS] = {"{\"a\": 1}", NULL, "{}", "{\"b\": \"\xc3\xa4\"}", "{\"c\": [1, 2, 3]}"};

static struct sample *sample_make(void)
{
	struct sample *sample = calloc(1, sizeof *sample);
	made_field(&sample->table, 0, SHARD_FIELD_OF_FILE, "licence", "CC0");
	made_field(&sample->table, 7, 0, "meta", "application/json");
	made_field(&sample->table, 200, 0, "caption", "");
	for (uint32_t i = 0; i < RECORDS; i++) {
		if (i >= 2)
			made_record_field(&sample->fields[i], 200, i == 2 ? "" : "a picture");
		if (metas[i] != NULL)
			made_record_field(&sample->fields[i], 7, metas[i]);
	}
	sample->made = (struct made_shard){.table = &sample->table,
		.fields = sample->fields,
		.count = RECORDS,
		.block_records = 2,
		.origin = "hand"};
	return sample;
}

static struct shard *sample_open(const struct sample *sample, const char *path, struct error *err)
{
	size_t bytes = 0;
	unsigned char *file = made_shard(&sample->made, &bytes);
	helper_file_write(path, file, bytes);
	free(file);
	*err = (struct error){0};
	return shard_open(path, false, err);
}

static void assert_record(struct shard_cursor *cursor, uint32_t number)
{
	struct error err = {0};
	struct shard_record_in record;
	char text[20];
	if (shard_cursor_get(cursor, number, &record, &err) != 0)
		fail_msg("%s", err.message);
	snprintf(text, sizeof text, "key %u", number);
	assert_string_equal(record.key, text);
	assert_int_equal(record.label, number % 2);
	assert_int_equal(record.width, 4);
	assert_int_equal(record.height, 3);
	assert_int_equal(record.codec, SHARD_JPEG);
	snprintf(text, sizeof text, "img %u", number);
	assert_int_equal(record.bytes, strlen(text));
	assert_memory_equal(record.data, text, record.bytes);
	assert_int_equal(record.meta == NULL, metas[number] == NULL);
	assert_int_equal(record.meta_bytes, metas[number] == NULL ? 0 : strlen(metas[number]));
	if (metas[number] != NULL)
		assert_memory_equal(record.meta, metas[number], record.meta_bytes);
}

static void test_cursor(void **state)
{
	struct helper_place *place = *state;
	static const uint32_t order[] = {0, 1, 2, 3, 4, 0, 4, 1, 1, 3, 2};
	struct sample *sample = sample_make();
	struct error err = {0};
	struct shard *shard = sample_open(sample, place->path, &err);
	if (shard == NULL)
		fail_msg("%s", err.message);
	assert_int_equal(shard_blocks(shard), 3);
	assert_int_equal(shard_version_minor(shard), 2);
	assert_true(shard_has_meta(shard));
	assert_string_equal(shard_origin(shard), "hand");
	struct shard_cursor *cursor = shard_cursor_create(shard, &err);
	assert_non_null(cursor);
	for (size_t i = 0; i < sizeof order / sizeof *order; i++)
		assert_record(cursor, order[i]);
	struct shard_record_in record;
	assert_int_equal(shard_cursor_get(cursor, RECORDS, &record, &err), ERROR_USAGE);
	unsigned char *data = NULL;
	size_t bytes = 0;
	err = (struct error){0};
	assert_int_equal(shard_read_record(shard, 3, &data, &bytes, &err), 0);
	assert_int_equal(bytes, 5);
	assert_memory_equal(data, "img 3", 5);
	free(data);
	shard_cursor_destroy(cursor);
	shard_close(shard);
	free(sample);
}

/* A table without "meta" serves too, and so does a field called meta that is the file's. */
static void test_no_metadata(void **state)
{
	struct helper_place *place = *state;
	struct sample *sample = sample_make();
	struct error err = {0};
	sample->table.bytes = 0;
	made_field(&sample->table, 0, SHARD_FIELD_OF_FILE, "meta", "{}");
	made_field(&sample->table, 7, 0, "other", "");
	made_field(&sample->table, 200, 0, "caption", "");
	struct shard *shard = sample_open(sample, place->path, &err);
	if (shard == NULL)
		fail_msg("%s", err.message);
	assert_false(shard_has_meta(shard));
	struct shard_cursor *cursor = shard_cursor_create(shard, &err);
	struct shard_record_in record;
	assert_int_equal(shard_cursor_get(cursor, 0, &record, &err), 0);
	assert_null(record.meta);
	shard_cursor_destroy(cursor);
	shard_close(shard);
	free(sample);
}

static void test_required(void **state)
{
	struct helper_place *place = *state;
	static const uint8_t flags[] = {SHARD_FIELD_REQUIRED, SHARD_FIELD_REQUIRED | SHARD_FIELD_OF_FILE};
	for (size_t i = 0; i < 2; i++) {
		struct sample *sample = sample_make();
		struct error err = {0};
		made_field(&sample->table, i == 0 ? 9 : 0, flags[i], "encryption key", "x");
		assert_null(sample_open(sample, place->path, &err));
		assert_int_equal(err.code, ERROR_VERSION);
		assert_non_null(strstr(err.message, "'encryption key'"));
		assert_non_null(strstr(err.message, place->path));
		free(sample);
	}
	struct sample *sample = sample_make(); /* one that is known may be required */
	struct error err = {0};
	sample->table.data[8 + strlen("licence") + strlen("CC0") + 1] |= SHARD_FIELD_REQUIRED;
	struct shard *shard = sample_open(sample, place->path, &err);
	if (shard == NULL)
		fail_msg("%s", err.message);
	shard_close(shard);
	free(sample);
}

/* Tables that make no sense, under right hashes. */
static void test_tables(void **state)
{
	struct helper_place *place = *state;
	static char long_name[300];
	memset(long_name, 'n', sizeof long_name - 1);
	const struct {
		uint8_t id, flags;
		const char *name;
		const char *why;
	} cases[] = {
		{7, 0, "other", "an id stands there twice"},
		{8, 0, "meta", "a name stands there twice"},
		{0, SHARD_FIELD_OF_FILE, "caption", "a name stands there twice"},
		{0, 0, "other", "have an id"},
		{9, SHARD_FIELD_OF_FILE, "other", "have none"},
		{9, 0, "", "a name is empty"},
		{9, 0, long_name, "longer than 255"},
	};
	struct error err = {0};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sample *sample = sample_make();
		made_field(&sample->table, cases[i].id, cases[i].flags, cases[i].name, "");
		assert_null(sample_open(sample, place->path, &err));
		if (err.code != ERROR_FORMAT || strstr(err.message, cases[i].why) == NULL)
			fail_msg("case %zu: %s", i, err.message);
		assert_non_null(strstr(err.message, place->path));
		free(sample);
	}
	for (size_t bytes = 1; bytes < 8 + strlen("licence") + strlen("CC0"); bytes++) {
		struct sample *sample = sample_make();
		sample->table.bytes = bytes;
		assert_null(sample_open(sample, place->path, &err));
		assert_int_equal(err.code, ERROR_FORMAT);
		assert_non_null(strstr(err.message, "ends in an entry"));
		free(sample);
	}
	struct sample *sample = sample_make();
	sample->table.data[8] = '\0';
	assert_null(sample_open(sample, place->path, &err));
	assert_non_null(strstr(err.message, "zero byte"));
	sample->table.bytes = 0; /* a flag, and no table */
	assert_null(sample_open(sample, place->path, &err));
	assert_int_equal(err.code, ERROR_FORMAT);
	assert_non_null(strstr(err.message, "header"));
	free(sample);
}

/* Opens what `sample` describes and reads record `number`: it must be damage that says `why`. */
static void assert_damaged(const struct sample *sample, const char *path, uint32_t number, const char *why)
{
	struct error err = {0};
	struct shard_record_in record;
	char name[20];
	struct shard *shard = sample_open(sample, path, &err);
	if (shard == NULL)
		fail_msg("%s", err.message);
	struct shard_cursor *cursor = shard_cursor_create(shard, &err);
	assert_int_equal(shard_cursor_get(cursor, number, &record, &err), ERROR_DAMAGED);
	snprintf(name, sizeof name, "('key %u')", number);
	if (strstr(err.message, why) == NULL || strstr(err.message, name) == NULL || strstr(err.message, path) == NULL)
		fail_msg("%s", err.message);
	/* Other blocks can be read, and this one is not taken for read. */
	err = (struct error){0};
	assert_record(cursor, 0);
	assert_int_equal(shard_cursor_get(cursor, number, &record, &err), ERROR_DAMAGED);
	shard_cursor_destroy(cursor);
	shard_close(shard);
}

static void test_record_fields(void **state)
{
	struct helper_place *place = *state;
	struct sample *sample = sample_make();
	struct made_bytes *fields = &sample->fields[3];
	made_record_field(fields, 99, "?");
	assert_damaged(sample, place->path, 3, "a field that the field table does not name");
	fields->bytes = 0;
	made_record_field(fields, 7, "{}");
	made_record_field(fields, 7, "{}");
	assert_damaged(sample, place->path, 3, "a field twice");
	fields->bytes -= 1;
	assert_damaged(sample, place->path, 3, "end inside one");
	fields->bytes = 5;
	assert_damaged(sample, place->path, 3, "end inside one");
	fields->bytes = 0;
	made_record_field(fields, 7, "");
	assert_damaged(sample, place->path, 3, "empty or larger");
	free(sample);
}

/* The sizes before the records' fields, patched in the last block, which record 4 has for itself. */
static void test_section_sizes(void **state)
{
	struct helper_place *place = *state;
	static const struct {
		int change;
		const char *why;
	} cases[] = {{1, "do not fit the block"}, {-1, "end inside one"}, {1 << 30, "do not fit the block"}};
	struct sample *sample = sample_make();
	size_t bytes = 0;
	unsigned char *file = made_shard(&sample->made, &bytes);
	struct shard_footer_disk footer;
	memcpy(&footer, file + bytes - sizeof footer, sizeof footer);
	size_t block = footer.index_offset - SHARD_BLOCK_ALIGN, at = block + 64 + 24 + 5 + 5;
	uint32_t sound = 0;
	memcpy(&sound, file + at, sizeof sound);
	assert_int_equal(sound, sample->fields[4].bytes);
	for (size_t i = 0; i < 3; i++) {
		struct error err = {0};
		struct shard_record_in record;
		uint32_t changed = sound + (uint32_t)cases[i].change;
		memcpy(file + at, &changed, sizeof changed);
		shard_sign(file, bytes);
		memcpy(file + footer.index_offset + 2 * 32 + 8, file + block + 56, 8);
		shard_sign(file, bytes);
		helper_file_write(place->path, file, bytes);
		struct shard *shard = shard_open(place->path, false, &err);
		assert_non_null(shard);
		struct shard_cursor *cursor = shard_cursor_create(shard, &err);
		assert_int_equal(shard_cursor_get(cursor, 4, &record, &err), ERROR_DAMAGED);
		if (strstr(err.message, cases[i].why) == NULL)
			fail_msg("case %zu: %s", i, err.message);
		shard_cursor_destroy(cursor);
		shard_close(shard);
	}
	free(file);
	free(sample);
}

/* Header and footer about the table: bounds, hash, agreement. */
static void test_ends(void **state)
{
	struct helper_place *place = *state;
	struct sample *sample = sample_make();
	size_t size = 0;
	unsigned char *file = made_shard(&sample->made, &size), *patched = malloc(size);
	const size_t header = offsetof(struct shard_header_disk, field_table_bytes), footer = size - 128 + 100;
	const struct {
		size_t at;
		uint32_t value;
		const char *why;
	} cases[] = {
		{header, 0, "header makes no sense"},
		{header, (1 << 20) + 1, "header makes no sense"},
		{header, 10, "not of one file"},
		{footer, 10, "not of one file"},
		{footer, 0, "footer makes no sense (field table)"},
		{footer, (1 << 20) + 1, "footer makes no sense (field table)"},
		{offsetof(struct shard_header_disk, origin_bytes), 4009, "header makes no sense"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error err = {0};
		memcpy(patched, file, size);
		memcpy(patched + cases[i].at, &cases[i].value, 4);
		shard_sign(patched, size);
		helper_file_write(place->path, patched, size);
		assert_null(shard_open(place->path, false, &err));
		if (strstr(err.message, cases[i].why) == NULL)
			fail_msg("case %zu: %s", i, err.message);
		assert_true(err.code == ERROR_FORMAT || err.code == ERROR_DAMAGED);
	}
	struct error err = {0};
	file[8192 + 12] ^= 1;
	helper_file_write(place->path, file, size);
	assert_null(shard_open(place->path, false, &err));
	assert_int_equal(err.code, ERROR_DAMAGED);
	assert_non_null(strstr(err.message, "the field table is damaged (hash)"));
	free(patched);
	free(file);
	free(sample);
}

/* A file without fields may have an origin where those with fields describe their table. */
static void test_long_origin(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	char origin[SHARD_ORIGIN_CAPACITY_OLD + 1];
	memset(origin, 'o', sizeof origin - 1);
	origin[sizeof origin - 1] = '\0';
	struct made_shard made = {.count = 3, .block_records = 3, .origin = origin};
	size_t bytes = 0;
	unsigned char *file = made_shard(&made, &bytes);
	helper_file_write(place->path, file, bytes);
	free(file);
	struct shard *shard = shard_open(place->path, false, &err);
	if (shard == NULL)
		fail_msg("%s", err.message);
	assert_string_equal(shard_origin(shard), origin);
	assert_false(shard_has_meta(shard));
	shard_close(shard);
}

/* Anything changed in table and field sections, hashes made right again: no crash. */
static void test_hostile(void **state)
{
	struct helper_place *place = *state;
	struct sample *sample = sample_make();
	size_t size = 0, refused = 0, opened = 0;
	unsigned char *file = made_shard(&sample->made, &size), *hostile = malloc(size);
	for (uint32_t at = 8192; at < size; at++) {
		static const unsigned char values[] = {0, 1, 7, 0x7f, 0xff};
		if (at % SHARD_BLOCK_ALIGN > 300)
			continue;
		memcpy(hostile, file, size);
		hostile[at] = values[at % sizeof values];
		shard_sign(hostile, size);
		for (size_t block = 0; block < 3; block++) /* so that the index names the changed blocks */
			memcpy(hostile + 12288 + 3 * 4096 + block * 32 + 8, hostile + 12288 + block * 4096 + 56, 8);
		shard_sign(hostile, size);
		helper_file_write(place->path, hostile, size);
		int rc = shard_exercise(place->path);
		opened += rc == 0;
		refused += rc != 0;
	}
	assert_true(opened > 300 && refused > 100);
	free(hostile);
	free(file);
	free(sample);
}

/* --write FILE leaves the sample there. */
int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--write") == 0) {
		struct sample *sample = sample_make();
		size_t bytes = 0;
		unsigned char *file = made_shard(&sample->made, &bytes);
		helper_file_write(argv[2], file, bytes);
		free(file);
		free(sample);
		return 0;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cursor, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_no_metadata, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_required, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_tables, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_record_fields, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_section_sizes, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_ends, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_long_origin, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_hostile, helper_place_make, helper_place_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
