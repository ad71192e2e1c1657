/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics of a data set. Nearly all come from the indexes; only the speed of decompression and the metadata, which
 * no index has, need blocks, and of those a sample evenly over the set.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/shard_format.h"
#include "pipeline/meter.h"
#include "tools/inspect.h"
#include "tools/json.h"

/* What is decompressed to measure how fast that goes: about so many blocks, up to so many bytes. */
enum { SPEED_BLOCKS = 500, SPEED_BYTES = 256 << 20 };

enum { META_RECORDS = 1000 };

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* Sorts the values. The median of an even number is the lower of the two in the middle. */
static struct inspect_spread find_spread(uint32_t *values, size_t count)
{
	if (count == 0)
		return (struct inspect_spread){0};
	qsort(values, count, sizeof(*values), compare_u32);
	return (struct inspect_spread){values[0], values[(count - 1) / 2], values[count - 1]};
}

/* Keeps the list in falling order of counts. */
static void note_frequent(struct inspect_summary *summary, uint32_t size, uint64_t count)
{
	unsigned at = summary->frequent_count;
	while (at > 0 && summary->frequent[at - 1].count < count)
		at--;
	if (at == INSPECT_FREQUENT)
		return;
	unsigned kept = summary->frequent_count < INSPECT_FREQUENT ? summary->frequent_count : INSPECT_FREQUENT - 1;
	memmove(&summary->frequent[at + 1], &summary->frequent[at], (kept - at) * sizeof(struct inspect_frequent));
	summary->frequent[at] = (struct inspect_frequent){.width = size >> 16, .height = size & 0xffff, .count = count};
	summary->frequent_count = kept + 1;
}

/* Sorted short sides into ranges, a half octave each where images usually are. */
static void find_sides(struct inspect_summary *summary, const uint32_t *sides, size_t count)
{
	static const uint32_t from[INSPECT_SIDES + 1] = {1, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024,
		1536, 2048, 3072, 4096, 8192, 16384, 32768, SHARD_MAX_SIDE + 1};
	size_t at = 0;
	for (unsigned i = 0; i < INSPECT_SIDES; i++) {
		const size_t first = at;
		while (at < count && sides[at] < from[i + 1])
			at++;
		if (at > first)
			summary->sides[summary->side_count++] =
				(struct inspect_sides){.from = from[i], .to = from[i + 1] - 1, .count = at - first};
	}
}

enum size_of_record { WIDTH, HEIGHT, BYTES, SHORT_SIDE, BOTH };

/* Fills values with one number of each record. */
static void fill_values(const struct shard_set *set, enum size_of_record which, uint32_t *values)
{
	for (unsigned s = 0; s < shard_set_count(set); s++) {
		const struct shard *shard = shard_set_at(set, s);
		for (uint32_t i = 0; i < shard_records(shard); i++) {
			const struct shard_record *record = shard_record(shard, i);
			const uint32_t width = record->width, height = record->height;
			const uint32_t value[] = {[WIDTH] = width,
				[HEIGHT] = height,
				[BYTES] = record->bytes,
				[SHORT_SIDE] = width < height ? width : height,
				[BOTH] = width << 16 | height};
			*values++ = value[which];
		}
	}
}

/* values: scratch of as many numbers as there are records. */
static void find_sizes(const struct shard_set *set, struct inspect_summary *summary, uint32_t *values)
{
	const size_t records = (size_t)summary->records;
	fill_values(set, WIDTH, values);
	summary->width = find_spread(values, records);
	fill_values(set, HEIGHT, values);
	summary->height = find_spread(values, records);
	fill_values(set, BYTES, values);
	summary->record_bytes = find_spread(values, records);
	fill_values(set, SHORT_SIDE, values);
	find_spread(values, records);
	find_sides(summary, values, records);
	fill_values(set, BOTH, values);
	find_spread(values, records);
	for (size_t i = 0, first = 0; i < records; i++) {
		if (i + 1 == records || values[i + 1] != values[first]) {
			note_frequent(summary, values[first], i + 1 - first);
			first = i + 1;
		}
	}
}

static void count_shard(const struct shard *shard, struct inspect_summary *summary, uint32_t *block_bytes)
{
	for (uint32_t i = 0; i < shard_records(shard); i++) {
		const struct shard_record *record = shard_record(shard, i);
		summary->image_bytes += record->bytes;
		summary->codecs[record->codec]++;
		summary->codec_bytes[record->codec] += record->bytes;
		if (record->label < 0)
			summary->unlabeled++;
		else
			summary->class_counts[record->label]++;
	}
	for (uint32_t i = 0; i < shard_blocks(shard); i++) {
		const struct shard_block *block = shard_block(shard, i);
		summary->raw_block_bytes += block->raw_bytes;
		summary->disk_block_bytes += block->disk_bytes;
		summary->blocks_stored += block->compression == SHARD_STORED;
		summary->blocks_dictionary += block->compression == SHARD_ZSTD_DICTIONARY;
		block_bytes[i] = block->disk_bytes;
	}
	summary->file_bytes += shard_file_bytes(shard);
	summary->dictionary_bytes += shard_dictionary_bytes(shard);
	summary->dictionary_memory += shard_dictionary_memory(shard);
	summary->dictionaries += shard_dictionary_bytes(shard) > 0;
	summary->has_meta = summary->has_meta || shard_has_meta(shard);
	if (shard_version_minor(shard) > summary->version_minor)
		summary->version_minor = shard_version_minor(shard);
}

static int count_all(const struct shard_set *set, struct inspect_summary *summary, struct error *err)
{
	summary->records = shard_set_records(set);
	summary->classes = shard_classes(shard_set_at(set, 0));
	for (unsigned s = 0; s < shard_set_count(set); s++)
		summary->blocks += shard_blocks(shard_set_at(set, s));
	/* A block has a record at least. */
	uint32_t *values = calloc((size_t)summary->records + 1, sizeof(*values));
	summary->class_counts = calloc((size_t)summary->classes + 1, sizeof(*summary->class_counts));
	if (values == NULL || summary->class_counts == NULL) {
		free(values);
		return error_set(err, ERROR_MEMORY, "out of memory for the statistics of %llu records",
			(unsigned long long)summary->records);
	}
	uint32_t *block_bytes = values;
	for (unsigned s = 0; s < shard_set_count(set); s++) {
		count_shard(shard_set_at(set, s), summary, block_bytes);
		block_bytes += shard_blocks(shard_set_at(set, s));
	}
	summary->block_disk_bytes = find_spread(values, (size_t)summary->blocks);
	find_sizes(set, summary, values);
	free(values);
	return 0;
}

/* ---- speed ---- */

struct speed {
	uint64_t step, bytes, spent_ns;
};

/* Decompresses what lies in memory, so that the disk does not count; every speed->step-th block. */
static int time_blocks(const struct shard *shard, struct shard_unpacker *unpacker, unsigned char *disk,
	unsigned char *raw, struct speed *speed, struct error *err)
{
	for (uint64_t b = 0; b < shard_blocks(shard) && speed->bytes < SPEED_BYTES; b += speed->step) {
		const struct shard_block *block = shard_block(shard, (uint32_t)b);
		if (block->compression == SHARD_STORED)
			continue;
		size_t disk_bytes = 0;
		int rc = shard_read_block(shard, (uint32_t)b, disk, &disk_bytes, err);
		if (rc != 0)
			return rc;
		uint64_t start_ns = meter_now_ns();
		rc = shard_unpack(shard, (uint32_t)b, disk, disk_bytes, unpacker, raw, block->raw_bytes, false, err);
		if (rc != 0)
			return rc;
		speed->spent_ns += meter_now_ns() - start_ns;
		speed->bytes += block->raw_bytes;
	}
	return 0;
}

static int time_shard(const struct shard *shard, struct speed *speed, struct error *err)
{
	unsigned char *disk = malloc(shard_max_disk_bytes(shard)), *raw = malloc(shard_max_raw_bytes(shard));
	struct shard_unpacker *unpacker = shard_unpacker_create(err);
	int rc = unpacker == NULL ? err->code : 0;
	if (rc == 0 && (disk == NULL || raw == NULL))
		rc = error_set(err, ERROR_MEMORY, "out of memory for a block of %s", shard_path(shard));
	if (rc == 0) {
		memset(raw, 0, shard_max_raw_bytes(shard)); /* its pages are there before the clock runs */
		rc = time_blocks(shard, unpacker, disk, raw, speed, err);
	}
	shard_unpacker_destroy(unpacker);
	free(disk);
	free(raw);
	return rc;
}

static int find_speed(const struct shard_set *set, struct inspect_summary *summary, struct error *err)
{
	struct speed speed = {.step = summary->blocks / SPEED_BLOCKS + 1};
	int rc = 0;
	if (summary->blocks_stored == summary->blocks)
		return 0;
	for (unsigned s = 0; s < shard_set_count(set) && speed.bytes < SPEED_BYTES && rc == 0; s++)
		rc = time_shard(shard_set_at(set, s), &speed, err);
	summary->decompress_mb_per_s = speed.bytes == 0 ? 0 : (double)speed.bytes * 1e3 / (double)(speed.spent_ns + 1);
	return rc;
}

/* ---- metadata ---- */

static void note_key(struct inspect_summary *summary, const char *name)
{
	for (unsigned i = 0; i < summary->meta_key_count; i++)
		if (strcmp(summary->meta_keys[i].name, name) == 0) {
			summary->meta_keys[i].count++;
			return;
		}
	char *copy = summary->meta_key_count < INSPECT_META_KEYS ? strdup(name) : NULL;
	if (copy != NULL)
		summary->meta_keys[summary->meta_key_count++] = (struct inspect_meta_key){.name = copy, .count = 1};
}

static void note_meta(struct inspect_summary *summary, const struct shard_record_in *record)
{
	summary->meta_looked++;
	if (record->meta == NULL)
		return;
	summary->meta_found++;
	cJSON *object = json_object(record->meta, record->meta_bytes);
	for (const cJSON *member = object != NULL ? object->child : NULL; member != NULL; member = member->next)
		note_key(summary, member->string);
	cJSON_Delete(object);
}

/* All records of a small set, else so many evenly over it. */
static int find_meta(const struct shard_set *set, struct inspect_summary *summary, struct error *err)
{
	const uint64_t step = (summary->records + META_RECORDS - 1) / META_RECORDS;
	uint64_t next = 0; /* in the shard */
	int rc = 0;
	for (unsigned s = 0; s < shard_set_count(set) && rc == 0; s++) {
		const struct shard *shard = shard_set_at(set, s);
		struct shard_cursor *cursor = shard_cursor_create(shard, err);
		rc = cursor == NULL ? err->code : 0;
		for (; next < shard_records(shard) && rc == 0; next += step) {
			struct shard_record_in record;
			rc = shard_cursor_get(cursor, (uint32_t)next, &record, err);
			if (rc == 0)
				note_meta(summary, &record);
		}
		next -= rc == 0 ? shard_records(shard) : 0;
		shard_cursor_destroy(cursor);
	}
	return rc;
}

int inspect_summarize(const struct shard_set *set, struct inspect_summary *summary, struct error *err)
{
	*summary = (struct inspect_summary){.records = 0};
	int rc = count_all(set, summary, err);
	if (rc == 0)
		rc = find_speed(set, summary, err);
	if (rc == 0 && summary->has_meta)
		rc = find_meta(set, summary, err);
	return rc;
}

void inspect_summary_free(struct inspect_summary *summary)
{
	for (unsigned i = 0; i < summary->meta_key_count; i++)
		free(summary->meta_keys[i].name);
	free(summary->class_counts);
}
