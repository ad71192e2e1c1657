/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr inspect: what the index of a shard says, and how fast some of its blocks decompress. Blocks are not all
 * read: `ringclr verify` does that. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/shard.h"
#include "io/shard_format.h"
#include "pipeline/meter.h"
#include "tools/command.h"
#include "tools/json.h"
#include "tools/options.h"

struct inspect_options {
	bool json;
	uint64_t list;
};

static const struct option_spec spec[] = {
	OPTION_FLAG(struct inspect_options, json, "json", NULL, "print one JSON object instead", .incidental = true),
	OPTION_U64(struct inspect_options, list, "list", "N", "0", 0, UINT64_MAX,
		"also list the first N records: number, size, codec, bytes, block, label, key"),
};

static const struct option_table table = {
	.command = "inspect",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about =
		"Says what a shard holds: records, classes, image sizes, codecs, blocks, compression and the "
		"fingerprint "
		"by which runs tell data sets apart. Only the index is read, and a few blocks to measure how fast they "
		"decompress, so it takes a moment whatever the size.",
	.operands = "FILE",
	.operand_help = "a shard",
	.operand_min = 1,
	.operand_max = 1,
	.examples = "ringclr inspect train.ring\n"
		    "ringclr inspect train.ring --list 10\n"
		    "ringclr inspect train.ring --json | jq .class_counts\n",
};

enum { FREQUENT = 5 };

/* What is decompressed to measure how fast that goes: about so many blocks, up to so many bytes. */
enum { SPEED_BLOCKS = 500, SPEED_BYTES = 256 << 20 };

struct spread {
	uint32_t min, median, max;
};

struct frequent {
	uint32_t width, height;
	uint64_t count;
};

struct summary {
	uint64_t image_bytes, raw_block_bytes, disk_block_bytes, unlabeled;
	uint64_t codecs[SHARD_CODECS], codec_bytes[SHARD_CODECS];
	uint64_t *class_counts;
	struct spread width, height, record_bytes, block_disk_bytes;
	uint32_t blocks_stored, blocks_dictionary;
	double decompress_mb_per_s; /* of decompressed bytes, one thread; 0: no block is compressed */
	struct frequent frequent[FREQUENT];
	unsigned frequent_count;
};

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* Sorts the values. The median of an even number is the lower of the two in the middle. */
static struct spread find_spread(uint32_t *values, uint32_t count)
{
	if (count == 0)
		return (struct spread){0};
	qsort(values, count, sizeof(*values), compare_u32);
	return (struct spread){values[0], values[(count - 1) / 2], values[count - 1]};
}

/* Keeps the list in falling order of counts. */
static void note_frequent(struct summary *summary, uint32_t size, uint64_t count)
{
	unsigned at = summary->frequent_count;
	while (at > 0 && summary->frequent[at - 1].count < count)
		at--;
	if (at == FREQUENT)
		return;
	unsigned kept = summary->frequent_count < FREQUENT ? summary->frequent_count : FREQUENT - 1;
	memmove(&summary->frequent[at + 1], &summary->frequent[at], (kept - at) * sizeof(struct frequent));
	summary->frequent[at] = (struct frequent){.width = size >> 16, .height = size & 0xffff, .count = count};
	summary->frequent_count = kept + 1;
}

/* values: scratch of `records` numbers. */
static void find_sizes(const struct shard *shard, struct summary *summary, uint32_t *values)
{
	uint32_t records = shard_records(shard);
	for (uint32_t i = 0; i < records; i++)
		values[i] = shard_record(shard, i)->width;
	summary->width = find_spread(values, records);
	for (uint32_t i = 0; i < records; i++)
		values[i] = shard_record(shard, i)->height;
	summary->height = find_spread(values, records);
	for (uint32_t i = 0; i < records; i++)
		values[i] = shard_record(shard, i)->bytes;
	summary->record_bytes = find_spread(values, records);
	for (uint32_t i = 0; i < records; i++)
		values[i] = (uint32_t)shard_record(shard, i)->width << 16 | shard_record(shard, i)->height;
	qsort(values, records, sizeof(*values), compare_u32);
	for (uint32_t i = 0, first = 0; i < records; i++) {
		if (i + 1 == records || values[i + 1] != values[first]) {
			note_frequent(summary, values[first], i + 1 - first);
			first = i + 1;
		}
	}
}

static int summarize(const struct shard *shard, struct summary *summary, struct error *err)
{
	uint32_t records = shard_records(shard), blocks = shard_blocks(shard);
	uint32_t *values = calloc((size_t)(records > blocks ? records : blocks) + 1, sizeof(*values));
	summary->class_counts = calloc((size_t)shard_classes(shard) + 1, sizeof(*summary->class_counts));
	if (values == NULL || summary->class_counts == NULL) {
		free(values);
		error_set(err, ERROR_MEMORY, "out of memory for the statistics of %u records", records);
		return ERROR_MEMORY;
	}
	for (uint32_t i = 0; i < records; i++) {
		const struct shard_record *record = shard_record(shard, i);
		summary->image_bytes += record->bytes;
		summary->codecs[record->codec]++;
		summary->codec_bytes[record->codec] += record->bytes;
		if (record->label < 0)
			summary->unlabeled++;
		else
			summary->class_counts[record->label]++;
	}
	for (uint32_t i = 0; i < blocks; i++) {
		const struct shard_block *block = shard_block(shard, i);
		summary->raw_block_bytes += block->raw_bytes;
		summary->disk_block_bytes += block->disk_bytes;
		summary->blocks_stored += block->compression == SHARD_STORED;
		summary->blocks_dictionary += block->compression == SHARD_ZSTD_DICTIONARY;
		values[i] = block->disk_bytes;
	}
	summary->block_disk_bytes = find_spread(values, blocks);
	find_sizes(shard, summary, values);
	free(values);
	return 0;
}

/* Decompresses what lies in memory, so that the disk does not count; blocks evenly over the file. */
static int time_blocks(const struct shard *shard, struct shard_unpacker *unpacker, unsigned char *disk,
	unsigned char *raw, struct summary *summary, struct error *err)
{
	uint32_t blocks = shard_blocks(shard), step = blocks / SPEED_BLOCKS + 1;
	uint64_t bytes = 0, spent_ns = 0;
	for (uint32_t b = 0; b < blocks && bytes < SPEED_BYTES; b += step) {
		const struct shard_block *block = shard_block(shard, b);
		if (block->compression == SHARD_STORED)
			continue;
		if (pread(shard_fd(shard), disk, block->disk_bytes, (off_t)block->offset) != block->disk_bytes)
			return error_set_errno(
				err, ERROR_IO, errno, "cannot read block %u of %s", b, shard_path(shard));
		uint64_t start_ns = meter_now_ns();
		int rc = shard_unpack(shard, b, disk, block->disk_bytes, unpacker, raw, block->raw_bytes, false, err);
		if (rc != 0)
			return rc;
		spent_ns += meter_now_ns() - start_ns;
		bytes += block->raw_bytes;
	}
	summary->decompress_mb_per_s = bytes == 0 ? 0 : (double)bytes * 1e3 / (double)(spent_ns + 1);
	return 0;
}

static int find_speed(const struct shard *shard, struct summary *summary, struct error *err)
{
	unsigned char *disk = malloc(shard_max_disk_bytes(shard)), *raw = malloc(shard_max_raw_bytes(shard));
	struct shard_unpacker *unpacker = shard_unpacker_create(err);
	int rc = unpacker == NULL ? err->code : 0;
	if (rc == 0 && (disk == NULL || raw == NULL)) {
		error_set(err, ERROR_MEMORY, "out of memory for a block of %s", shard_path(shard));
		rc = ERROR_MEMORY;
	}
	if (rc == 0) {
		memset(raw, 0, shard_max_raw_bytes(shard)); /* its pages are there before the clock runs */
		rc = time_blocks(shard, unpacker, disk, raw, summary, err);
	}
	shard_unpacker_destroy(unpacker);
	free(disk);
	free(raw);
	return rc;
}

static double ratio(const struct shard *shard, const struct summary *summary)
{
	return (double)summary->image_bytes / (double)shard_file_bytes(shard);
}

static void add_spread(cJSON *object, const char *name, const struct spread *spread)
{
	cJSON *entry = cJSON_AddObjectToObject(object, name);
	cJSON_AddNumberToObject(entry, "min", spread->min);
	cJSON_AddNumberToObject(entry, "median", spread->median);
	cJSON_AddNumberToObject(entry, "max", spread->max);
}

static void add_classes(cJSON *object, const struct shard *shard, const struct summary *summary)
{
	cJSON_AddNumberToObject(object, "classes", shard_classes(shard));
	cJSON *names = cJSON_AddArrayToObject(object, "class_names");
	cJSON *counts = cJSON_AddArrayToObject(object, "class_counts");
	for (uint32_t i = 0; i < shard_classes(shard); i++) {
		cJSON_AddItemToArray(names, cJSON_CreateString(shard_class(shard, i)));
		cJSON_AddItemToArray(counts, cJSON_CreateNumber((double)summary->class_counts[i]));
	}
	cJSON_AddNumberToObject(object, "unlabeled", (double)summary->unlabeled);
}

static void add_list(cJSON *object, const struct shard *shard, uint64_t count)
{
	cJSON *list = cJSON_AddArrayToObject(object, "list");
	for (uint32_t i = 0; i < count && i < shard_records(shard); i++) {
		const struct shard_record *record = shard_record(shard, i);
		cJSON *entry = cJSON_CreateObject();
		cJSON_AddStringToObject(entry, "key", record->key);
		cJSON_AddNumberToObject(entry, "label", record->label);
		cJSON_AddNumberToObject(entry, "width", record->width);
		cJSON_AddNumberToObject(entry, "height", record->height);
		cJSON_AddStringToObject(entry, "codec", shard_codec_name((enum shard_codec)record->codec));
		cJSON_AddNumberToObject(entry, "bytes", record->bytes);
		cJSON_AddNumberToObject(entry, "block", record->block);
		json_add_hash(entry, "hash", record->hash);
		cJSON_AddItemToArray(list, entry);
	}
}

static int print_json(const struct shard *shard, const struct summary *summary, uint64_t list)
{
	cJSON *object = cJSON_CreateObject();
	char version[16];
	snprintf(version, sizeof(version), "%d.%u", SHARD_VERSION_MAJOR, shard_version_minor(shard));
	cJSON_AddStringToObject(object, "path", shard_path(shard));
	cJSON_AddStringToObject(object, "version", version);
	json_add_hash(object, "fingerprint", shard_fingerprint(shard));
	cJSON_AddStringToObject(object, "origin", shard_origin(shard));
	cJSON_AddNumberToObject(object, "records", shard_records(shard));
	add_classes(object, shard, summary);
	cJSON_AddNumberToObject(object, "file_bytes", (double)shard_file_bytes(shard));
	cJSON_AddNumberToObject(object, "image_bytes", (double)summary->image_bytes);
	cJSON_AddNumberToObject(object, "raw_block_bytes", (double)summary->raw_block_bytes);
	cJSON_AddNumberToObject(object, "disk_block_bytes", (double)summary->disk_block_bytes);
	cJSON_AddNumberToObject(object, "ratio", ratio(shard, summary));
	cJSON_AddNumberToObject(object, "decompress_mb_per_s", summary->decompress_mb_per_s);
	cJSON_AddNumberToObject(object, "dictionary_bytes", shard_dictionary_bytes(shard));
	cJSON_AddNumberToObject(object, "dictionary_memory_bytes", (double)shard_dictionary_memory(shard));
	cJSON *codecs = cJSON_AddObjectToObject(object, "codecs");
	for (unsigned i = 0; i < SHARD_CODECS; i++) {
		if (summary->codecs[i] > 0)
			cJSON_AddNumberToObject(
				codecs, shard_codec_name((enum shard_codec)i), (double)summary->codecs[i]);
	}
	cJSON *bytes = cJSON_AddObjectToObject(object, "codec_bytes");
	for (unsigned i = 0; i < SHARD_CODECS; i++) {
		if (summary->codecs[i] > 0)
			cJSON_AddNumberToObject(
				bytes, shard_codec_name((enum shard_codec)i), (double)summary->codec_bytes[i]);
	}
	add_spread(object, "width", &summary->width);
	add_spread(object, "height", &summary->height);
	add_spread(object, "record_bytes", &summary->record_bytes);
	cJSON *sizes = cJSON_AddArrayToObject(object, "frequent_sizes");
	for (unsigned i = 0; i < summary->frequent_count; i++) {
		cJSON *entry = cJSON_CreateObject();
		cJSON_AddNumberToObject(entry, "width", summary->frequent[i].width);
		cJSON_AddNumberToObject(entry, "height", summary->frequent[i].height);
		cJSON_AddNumberToObject(entry, "count", (double)summary->frequent[i].count);
		cJSON_AddItemToArray(sizes, entry);
	}
	cJSON_AddNumberToObject(object, "blocks", shard_blocks(shard));
	cJSON_AddNumberToObject(object, "stored_blocks", summary->blocks_stored);
	cJSON_AddNumberToObject(object, "dictionary_blocks", summary->blocks_dictionary);
	add_spread(object, "block_disk_bytes", &summary->block_disk_bytes);
	if (list > 0)
		add_list(object, shard, list);
	return json_print(object);
}

static void print_codecs(const struct summary *summary)
{
	printf("codecs       ");
	for (unsigned i = 0; i < SHARD_CODECS; i++) {
		if (summary->codecs[i] > 0)
			printf(" %s %" PRIu64, shard_codec_name((enum shard_codec)i), summary->codecs[i]);
	}
	printf("\nof the bytes ");
	for (unsigned i = 0; i < SHARD_CODECS; i++) {
		if (summary->codecs[i] > 0)
			printf(" %s %.1f%%", shard_codec_name((enum shard_codec)i),
				100.0 * (double)summary->codec_bytes[i] / (double)summary->image_bytes);
	}
	putchar('\n');
}

static void print_text(const struct shard *shard, const struct summary *summary, uint64_t list)
{
	uint32_t classes = shard_classes(shard), blocks = shard_blocks(shard);
	printf("%s (shard format %d.%u)\n", shard_path(shard), SHARD_VERSION_MAJOR, shard_version_minor(shard));
	printf("records       %u\n", shard_records(shard));
	printf("file          %.2f MB for %.2f MB of images (%.2f times)\n", (double)shard_file_bytes(shard) * 1e-6,
		(double)summary->image_bytes * 1e-6, ratio(shard, summary));
	print_codecs(summary);
	printf("width         %u to %u, median %u\n", summary->width.min, summary->width.max, summary->width.median);
	printf("height        %u to %u, median %u\n", summary->height.min, summary->height.max, summary->height.median);
	printf("frequent     ");
	for (unsigned i = 0; i < summary->frequent_count; i++)
		printf("%s %ux%u (%" PRIu64 ")", i > 0 ? "," : "", summary->frequent[i].width,
			summary->frequent[i].height, summary->frequent[i].count);
	printf("\nimage bytes   %u to %u, median %u\n", summary->record_bytes.min, summary->record_bytes.max,
		summary->record_bytes.median);
	printf("blocks        %u, %u stored as they are (%.0f%%), median %u bytes on disk\n", blocks,
		summary->blocks_stored, blocks > 0 ? 100.0 * summary->blocks_stored / blocks : 0.0,
		summary->block_disk_bytes.median);
	if (shard_dictionary_bytes(shard) > 0)
		printf("dictionary    %u bytes, used by %u blocks; %zu bytes of memory\n",
			shard_dictionary_bytes(shard), summary->blocks_dictionary, shard_dictionary_memory(shard));
	if (summary->decompress_mb_per_s > 0)
		printf("decompress    %.0f MB/s, one thread\n", summary->decompress_mb_per_s);
	printf("fingerprint   %016" PRIx64 "\n", shard_fingerprint(shard));
	printf("origin        %s\n", shard_origin(shard));
	printf("classes       %u, %" PRIu64 " records without\n", classes, summary->unlabeled);
	for (uint32_t i = 0; i < classes; i++)
		printf("  %6u  %8" PRIu64 "  %s\n", i, summary->class_counts[i], shard_class(shard, i));
	for (uint32_t i = 0; i < list && i < shard_records(shard); i++) {
		const struct shard_record *record = shard_record(shard, i);
		printf("%u  %ux%u  %s  %u bytes  block %u  label %d  %s\n", i, record->width, record->height,
			shard_codec_name((enum shard_codec)record->codec), record->bytes, record->block, record->label,
			record->key);
	}
}

int command_inspect(int argc, char **argv)
{
	struct options options;
	struct inspect_options inspect;
	struct error err = {0};
	struct summary summary = {0};
	int status = options_parse(&options, &table, &inspect, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	struct shard *shard = shard_open(options.operands[0], false, &err);
	if (shard == NULL || summarize(shard, &summary, &err) < 0 || find_speed(shard, &summary, &err) < 0)
		status = command_fail("inspect", &err);
	else if (inspect.json)
		status = print_json(shard, &summary, inspect.list);
	else {
		print_text(shard, &summary, inspect.list);
		status = EXIT_OK;
	}
	free(summary.class_counts);
	shard_close(shard);
	options_free(&options);
	return status;
}
