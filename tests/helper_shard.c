/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/helper_shard.h"

#include "io/shard_set_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/helper_files.h"

static void fill(struct philox *random, unsigned char *data, size_t bytes)
{
	bool noise = philox_below(random, 2) == 0;
	unsigned char value = 0;
	for (size_t i = 0; i < bytes; i++) {
		if (noise || i % 97 == 0)
			value = (unsigned char)philox_u32(random);
		data[i] = value;
	}
}

static char *key_make(struct philox *random, const char *prefix, uint32_t number)
{
	char *key = NULL;
	int extra = (int)philox_below(random, 8) == 0 ? (int)philox_below(random, 3000) : (int)philox_below(random, 20);
	if (asprintf(&key, "%s/%u-%0*d.img", prefix, number, extra + 1, 0) < 0)
		abort();
	return key;
}

struct helper_records helper_records_make(
	struct philox *random, const char *prefix, uint32_t count, uint32_t class_count, size_t max_bytes)
{
	struct helper_records set = {.count = count, .class_count = class_count};
	set.records = calloc(count, sizeof *set.records);
	set.classes = calloc(class_count + 1, sizeof *set.classes);
	if (set.records == NULL || set.classes == NULL)
		abort();
	for (uint32_t i = 0; i < class_count; i++)
		if (asprintf(&set.classes[i], "class %u", i * 7) < 0)
			abort();
	for (uint32_t i = 0; i < count; i++) {
		struct shard_record_in *record = &set.records[i];
		size_t bytes = 1 + philox_below(random, (uint32_t)max_bytes);
		record->codec = (enum shard_codec)philox_below(random, SHARD_CODECS);
		record->width = 1 + philox_below(random, SHARD_MAX_SIDE);
		record->height = 1 + philox_below(random, SHARD_MAX_SIDE);
		if (record->codec == SHARD_RAW) {
			record->width = 1 + (uint32_t)(bytes / 3) % 50;
			record->height = 1 + (uint32_t)(bytes / 3) / record->width;
			bytes = 3 * (size_t)record->width * record->height;
		}
		unsigned char *data = malloc(bytes);
		if (data == NULL)
			abort();
		fill(random, data, bytes);
		record->data = data;
		record->bytes = bytes;
		record->key = key_make(random, prefix, i);
		record->label = (int32_t)philox_below(random, class_count + 1) - 1;
	}
	return set;
}

void helper_records_free(struct helper_records *records)
{
	for (uint32_t i = 0; i < records->count; i++) {
		free((void *)records->records[i].data);
		free((void *)records->records[i].key);
	}
	for (uint32_t i = 0; i < records->class_count; i++)
		free(records->classes[i]);
	free(records->records);
	free(records->classes);
}

int helper_shard_write(
	const struct helper_records *records, const struct shard_writer_config *config, struct error *err)
{
	struct shard_writer_config own = *config;
	own.classes = (const char *const *)records->classes;
	own.class_count = records->class_count;
	struct shard_writer *writer = shard_writer_create(&own, err);
	if (writer == NULL)
		return err->code;
	for (uint32_t i = 0; i < records->count; i++) {
		int rc = shard_writer_add(writer, &records->records[i], err);
		if (rc != 0) {
			shard_writer_abandon(writer);
			return rc;
		}
	}
	return shard_writer_finish(writer, err);
}

int helper_shard_tune(const struct helper_records *records, const struct shard_writer_config *config, size_t dictionary,
	struct error *err)
{
	struct shard_set_writer_config own = {
		.tuner = {.writer = *config, .dictionary = dictionary, .records = records->count}};
	struct shard_set_result result;
	own.tuner.writer.classes = (const char *const *)records->classes;
	own.tuner.writer.class_count = records->class_count;
	struct shard_set_writer *writer = shard_set_writer_create(&own, err);
	if (writer == NULL)
		return err->code;
	for (uint32_t i = 0; i < records->count; i++) {
		int rc = shard_set_writer_add(writer, &records->records[i], err);
		if (rc != 0) {
			shard_set_writer_abandon(writer, false);
			return rc;
		}
	}
	int rc = shard_set_writer_finish(writer, &result, err);
	if (rc == 0)
		free(result.path);
	return rc;
}

static void report_line(void *ctx, const char *line)
{
	struct helper_report *report = ctx;
	size_t used = strlen(report->text);
	report->lines++;
	snprintf(report->text + used, sizeof report->text - used, "%s\n", line);
}

int64_t helper_verify(const char *path, struct helper_report *report)
{
	struct error err = {0};
	report->lines = 0;
	report->text[0] = '\0';
	int64_t damages = shard_verify(path, report_line, report, &err);
	if (damages >= 0)
		assert_int_equal(damages, report->lines);
	else
		snprintf(report->text, sizeof report->text, "%s", err.message);
	return damages;
}

void helper_assert_sound(const char *path)
{
	struct helper_report report;
	int64_t damages = helper_verify(path, &report);
	if (damages != 0)
		fail_msg("%s", report.text);
}

unsigned char *helper_shard_small(const char *path, int zstd_level, size_t *bytes)
{
	struct error err = {0};
	static const char *const classes[] = {"cat", "dog"};
	unsigned char data[4000];
	struct philox random = philox_stream(3, 0, 0, 0, PHILOX_TEST);
	struct shard_writer_config config = {.path = path,
		.classes = classes,
		.class_count = 2,
		.block_bytes = 5000,
		.zstd_level = zstd_level,
		.origin = "test"};
	struct shard_writer *writer = shard_writer_create(&config, &err);
	assert_non_null(writer);
	for (int i = 0; i < 6; i++) {
		char key[40];
		for (size_t j = 0; j < sizeof data; j++)
			data[j] = (unsigned char)(i < 2 ? (uint32_t)i : philox_u32(&random));
		snprintf(key, sizeof key, "pictures/%d.jpg", i);
		struct shard_record_in record = {.key = key,
			.label = i % 3 - 1,
			.width = 100,
			.height = 80,
			.codec = SHARD_JPEG,
			.data = data,
			.bytes = i < 2 ? 1500 : 2200};
		assert_int_equal(shard_writer_add(writer, &record, &err), 0);
	}
	assert_int_equal(shard_writer_finish(writer, &err), 0);
	helper_assert_sound(path);
	return helper_file_read(path, bytes);
}
