/* SPDX-License-Identifier: Apache-2.0 */
/* What inspect found, as text with bars, or as one JSON object. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/shard_format.h"
#include "tools/command.h"
#include "tools/inspect.h"
#include "tools/json.h"

/* Of more classes than this the text shows those with most and with fewest records. */
enum { CLASSES_SHOWN = 50, CLASSES_MOST = 20, CLASSES_FEWEST = 5 };

enum { BAR_CHARACTERS = 40 };

static double ratio(const struct inspect_summary *summary)
{
	return (double)summary->image_bytes / (double)summary->file_bytes;
}

/* ---- JSON ---- */

static void add_spread(cJSON *object, const char *name, const struct inspect_spread *spread)
{
	cJSON *entry = cJSON_AddObjectToObject(object, name);
	cJSON_AddNumberToObject(entry, "min", spread->min);
	cJSON_AddNumberToObject(entry, "median", spread->median);
	cJSON_AddNumberToObject(entry, "max", spread->max);
}

static void add_classes(cJSON *object, const struct shard_set *set, const struct inspect_summary *summary)
{
	cJSON_AddNumberToObject(object, "classes", summary->classes);
	cJSON *names = cJSON_AddArrayToObject(object, "class_names");
	cJSON *counts = cJSON_AddArrayToObject(object, "class_counts");
	for (uint32_t i = 0; i < summary->classes; i++) {
		cJSON_AddItemToArray(names, cJSON_CreateString(shard_class(shard_set_at(set, 0), i)));
		cJSON_AddItemToArray(counts, cJSON_CreateNumber((double)summary->class_counts[i]));
	}
	cJSON_AddNumberToObject(object, "unlabeled", (double)summary->unlabeled);
}

static void add_files(cJSON *object, const struct shard_set *set)
{
	cJSON *files = cJSON_AddArrayToObject(object, "files");
	for (unsigned s = 0; s < shard_set_count(set); s++) {
		const struct shard *shard = shard_set_at(set, s);
		cJSON *entry = cJSON_CreateObject();
		cJSON_AddStringToObject(entry, "path", shard_path(shard));
		cJSON_AddNumberToObject(entry, "records", shard_records(shard));
		cJSON_AddNumberToObject(entry, "blocks", shard_blocks(shard));
		cJSON_AddNumberToObject(entry, "file_bytes", (double)shard_file_bytes(shard));
		json_add_hash(entry, "fingerprint", shard_fingerprint(shard));
		cJSON_AddItemToArray(files, entry);
	}
}

static void add_codecs(cJSON *object, const char *name, const uint64_t numbers[SHARD_CODECS])
{
	cJSON *codecs = cJSON_AddObjectToObject(object, name);
	for (unsigned i = 0; i < SHARD_CODECS; i++)
		if (numbers[i] > 0)
			cJSON_AddNumberToObject(codecs, shard_codec_name((enum shard_codec)i), (double)numbers[i]);
}

static void add_sizes(cJSON *object, const struct inspect_summary *summary)
{
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
	cJSON *sides = cJSON_AddArrayToObject(object, "short_sides");
	for (unsigned i = 0; i < summary->side_count; i++) {
		cJSON *entry = cJSON_CreateObject();
		cJSON_AddNumberToObject(entry, "from", summary->sides[i].from);
		cJSON_AddNumberToObject(entry, "to", summary->sides[i].to);
		cJSON_AddNumberToObject(entry, "count", (double)summary->sides[i].count);
		cJSON_AddItemToArray(sides, entry);
	}
}

static void add_meta(cJSON *object, const struct inspect_summary *summary)
{
	if (!summary->has_meta) {
		cJSON_AddNullToObject(object, "meta");
		return;
	}
	cJSON *meta = cJSON_AddObjectToObject(object, "meta");
	cJSON_AddNumberToObject(meta, "looked_at", (double)summary->meta_looked);
	cJSON_AddNumberToObject(meta, "found", (double)summary->meta_found);
	cJSON *keys = cJSON_AddObjectToObject(meta, "keys");
	for (unsigned i = 0; i < summary->meta_key_count; i++)
		cJSON_AddNumberToObject(keys, summary->meta_keys[i].name, (double)summary->meta_keys[i].count);
}

int inspect_print_json(const struct shard_set *set, const struct inspect_summary *summary, const char *name)
{
	cJSON *object = cJSON_CreateObject();
	char version[16];
	snprintf(version, sizeof(version), "%d.%u", SHARD_VERSION_MAJOR, summary->version_minor);
	cJSON_AddStringToObject(object, "path", name);
	cJSON_AddStringToObject(object, "version", version);
	json_add_hash(object, "fingerprint", shard_set_fingerprint(set));
	cJSON_AddStringToObject(object, "origin", shard_origin(shard_set_at(set, 0)));
	cJSON_AddNumberToObject(object, "records", (double)summary->records);
	add_classes(object, set, summary);
	cJSON_AddNumberToObject(object, "file_bytes", (double)summary->file_bytes);
	cJSON_AddNumberToObject(object, "image_bytes", (double)summary->image_bytes);
	cJSON_AddNumberToObject(object, "raw_block_bytes", (double)summary->raw_block_bytes);
	cJSON_AddNumberToObject(object, "disk_block_bytes", (double)summary->disk_block_bytes);
	cJSON_AddNumberToObject(object, "ratio", ratio(summary));
	cJSON_AddNumberToObject(object, "decompress_mb_per_s", summary->decompress_mb_per_s);
	cJSON_AddNumberToObject(object, "dictionary_bytes", (double)summary->dictionary_bytes);
	cJSON_AddNumberToObject(object, "dictionary_memory_bytes", (double)summary->dictionary_memory);
	add_codecs(object, "codecs", summary->codecs);
	add_codecs(object, "codec_bytes", summary->codec_bytes);
	add_sizes(object, summary);
	cJSON_AddNumberToObject(object, "blocks", (double)summary->blocks);
	cJSON_AddNumberToObject(object, "stored_blocks", (double)summary->blocks_stored);
	cJSON_AddNumberToObject(object, "dictionary_blocks", (double)summary->blocks_dictionary);
	add_spread(object, "block_disk_bytes", &summary->block_disk_bytes);
	add_meta(object, summary);
	add_files(object, set);
	return json_print(object);
}

/* ---- text ---- */

/* A bar for `count` where the longest stands for `most`; what is there at all has a mark. */
static const char *bar(uint64_t count, uint64_t most)
{
	static const char marks[] = "########################################";
	static_assert(sizeof(marks) == BAR_CHARACTERS + 1, "a bar's marks");
	const uint64_t length = most == 0 ? 0 : (count * BAR_CHARACTERS + most - 1) / most;
	return marks + BAR_CHARACTERS - length;
}

static void print_codecs(const struct inspect_summary *summary)
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

static void print_sizes(const struct inspect_summary *summary)
{
	printf("width         %u to %u, median %u\n", summary->width.min, summary->width.max, summary->width.median);
	printf("height        %u to %u, median %u\n", summary->height.min, summary->height.max, summary->height.median);
	printf("frequent     ");
	for (unsigned i = 0; i < summary->frequent_count; i++)
		printf("%s %ux%u (%" PRIu64 ")", i > 0 ? "," : "", summary->frequent[i].width,
			summary->frequent[i].height, summary->frequent[i].count);
	printf("\nimage bytes   %u to %u, median %u\n", summary->record_bytes.min, summary->record_bytes.max,
		summary->record_bytes.median);
	uint64_t most = 0;
	for (unsigned i = 0; i < summary->side_count; i++)
		most = summary->sides[i].count > most ? summary->sides[i].count : most;
	puts("short side");
	for (unsigned i = 0; i < summary->side_count; i++)
		printf("  %5u to %5u  %8" PRIu64 "  %s\n", summary->sides[i].from, summary->sides[i].to,
			summary->sides[i].count, bar(summary->sides[i].count, most));
}

static void print_blocks(const struct inspect_summary *summary)
{
	printf("blocks        %" PRIu64 ", %" PRIu64 " stored as they are (%.0f%%), median %u bytes on disk\n",
		summary->blocks, summary->blocks_stored,
		summary->blocks > 0 ? 100.0 * (double)summary->blocks_stored / (double)summary->blocks : 0.0,
		summary->block_disk_bytes.median);
	if (summary->dictionaries == 1)
		printf("dictionary    %" PRIu64 " bytes, used by %" PRIu64 " blocks; %" PRIu64 " bytes of memory\n",
			summary->dictionary_bytes, summary->blocks_dictionary, summary->dictionary_memory);
	else if (summary->dictionaries > 1)
		printf("dictionaries  %u of %" PRIu64 " bytes together, used by %" PRIu64 " blocks; %" PRIu64
		       " bytes of memory\n",
			summary->dictionaries, summary->dictionary_bytes, summary->blocks_dictionary,
			summary->dictionary_memory);
	if (summary->decompress_mb_per_s > 0)
		printf("decompress    %.0f MB/s, one thread\n", summary->decompress_mb_per_s);
}

static void print_meta(const struct inspect_summary *summary)
{
	if (!summary->has_meta)
		return;
	printf("metadata      with %" PRIu64 " of %" PRIu64 " records%s", summary->meta_found, summary->meta_looked,
		summary->meta_looked < summary->records ? " that were looked at" : "");
	for (unsigned i = 0; i < summary->meta_key_count; i++)
		printf("%s %.60s (%" PRIu64 ")", i > 0 ? "," : ":", summary->meta_keys[i].name,
			summary->meta_keys[i].count);
	putchar('\n');
}

struct class_count {
	uint64_t count;
	uint32_t label;
};

/* Most records first, then by label. */
static int compare_classes(const void *a, const void *b)
{
	const struct class_count *x = a, *y = b;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return (x->label > y->label) - (x->label < y->label);
}

static void print_class(const struct shard_set *set, const struct class_count *class, uint64_t most)
{
	printf("  %6u  %8" PRIu64 "  %-*s  %s\n", class->label, class->count, BAR_CHARACTERS, bar(class->count, most),
		shard_class(shard_set_at(set, 0), class->label));
}

static int print_classes(const struct shard_set *set, const struct inspect_summary *summary)
{
	const uint32_t classes = summary->classes;
	struct class_count *counts = calloc((size_t)classes + 1, sizeof(*counts));
	if (counts == NULL) {
		fputs("ringclr inspect: out of memory for the classes\n", stderr);
		return EXIT_FAILED;
	}
	uint64_t most = 0;
	for (uint32_t i = 0; i < classes; i++) {
		counts[i] = (struct class_count){summary->class_counts[i], i};
		most = counts[i].count > most ? counts[i].count : most;
	}
	printf("classes       %u, %" PRIu64 " records without\n", classes, summary->unlabeled);
	const bool all = classes <= CLASSES_SHOWN;
	if (!all)
		qsort(counts, classes, sizeof(*counts), compare_classes);
	for (uint32_t i = 0; i < (all ? classes : CLASSES_MOST); i++)
		print_class(set, &counts[i], most);
	if (!all)
		printf("  ... %u classes between (--json has all) ...\n", classes - CLASSES_MOST - CLASSES_FEWEST);
	for (uint32_t i = all ? classes : classes - CLASSES_FEWEST; i < classes; i++)
		print_class(set, &counts[i], most);
	free(counts);
	return EXIT_OK;
}

int inspect_print_text(const struct shard_set *set, const struct inspect_summary *summary, const char *name)
{
	const unsigned files = shard_set_count(set);
	printf("%s (", name);
	if (files > 1)
		printf("%u shards, ", files);
	printf("shard format %d.%u)\n", SHARD_VERSION_MAJOR, summary->version_minor);
	printf("records       %" PRIu64 "\n", summary->records);
	printf("file          %.2f MB for %.2f MB of images (%.2f times)\n", (double)summary->file_bytes * 1e-6,
		(double)summary->image_bytes * 1e-6, ratio(summary));
	for (unsigned s = 0; s < files && files > 1; s++)
		printf("  %10u records  %10.2f MB  %s\n", shard_records(shard_set_at(set, s)),
			(double)shard_file_bytes(shard_set_at(set, s)) * 1e-6, shard_path(shard_set_at(set, s)));
	print_codecs(summary);
	print_sizes(summary);
	print_blocks(summary);
	print_meta(summary);
	printf("fingerprint   %016" PRIx64 "\n", shard_set_fingerprint(set));
	printf("origin        %s\n", shard_origin(shard_set_at(set, 0)));
	if (print_classes(set, summary) != EXIT_OK)
		return EXIT_FAILED;
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
