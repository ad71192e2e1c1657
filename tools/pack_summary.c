/* SPDX-License-Identifier: Apache-2.0 */
/* What pack says at its end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/command.h"
#include "tools/json.h"
#include "tools/pack_options.h"

/* ---- --dry-run ---- */

/* [class][output]; what has no class comes last. NULL when memory is out. */
static uint64_t (*count_classes(const struct pack_plan *plan))[PACK_OUTPUTS]
{
	uint64_t(*counts)[PACK_OUTPUTS] = calloc(plan->class_count + (size_t)1, sizeof(*counts));
	for (size_t i = 0; i < plan->count && counts != NULL; i++) {
		const struct pack_entry *entry = &plan->entries[i];
		uint32_t label = entry->label >= 0 ? (uint32_t)entry->label : plan->class_count;
		if (!(entry->flags & PACK_LEFT_OUT))
			counts[label][(entry->flags & PACK_VALIDATION) != 0]++;
	}
	return counts;
}

static int print_plan(const struct pack_plan *plan, uint64_t (*counts)[PACK_OUTPUTS], bool split)
{
	uint64_t sums[PACK_OUTPUTS] = {0};
	printf(split ? "training  validation  class\n" : "images  class\n");
	for (uint32_t i = 0; i <= plan->class_count; i++) {
		const char *name = i < plan->class_count ? plan->classes[i] : "(no class)";
		sums[0] += counts[i][0];
		sums[1] += counts[i][1];
		if (i == plan->class_count && counts[i][0] + counts[i][1] == 0)
			continue;
		if (split)
			printf("%8" PRIu64 "  %10" PRIu64 "  %s\n", counts[i][0], counts[i][1], name);
		else
			printf("%6" PRIu64 "  %s\n", counts[i][0], name);
	}
	if (split)
		printf("%8" PRIu64 "  %10" PRIu64 "  all\n", sums[0], sums[1]);
	else
		printf("%6" PRIu64 "  all\n", sums[0]);
	return fflush(stdout);
}

static int print_plan_json(const struct pack_plan *plan, uint64_t (*counts)[PACK_OUTPUTS], bool split)
{
	cJSON *object = cJSON_CreateObject(), *classes = cJSON_AddArrayToObject(object, "classes");
	for (uint32_t i = 0; i <= plan->class_count; i++) {
		if (i == plan->class_count && counts[i][0] + counts[i][1] == 0)
			continue;
		cJSON *class = cJSON_CreateObject();
		if (i < plan->class_count)
			cJSON_AddStringToObject(class, "name", plan->classes[i]);
		else
			cJSON_AddNullToObject(class, "name");
		cJSON_AddNumberToObject(class, "records", (double)counts[i][0]);
		if (split)
			cJSON_AddNumberToObject(class, "validation_records", (double)counts[i][1]);
		cJSON_AddItemToArray(classes, class);
	}
	cJSON_AddNumberToObject(object, "ignored", (double)plan->ignored);
	return json_print(object);
}

int pack_summarize_plan(const struct pack_options *pack, const struct pack_plan *plan, struct error *err)
{
	uint64_t(*counts)[PACK_OUTPUTS] = count_classes(plan);
	bool split = false;
	for (size_t i = 0; i < plan->count && !split; i++)
		split = (plan->entries[i].flags & PACK_VALIDATION) != 0;
	if (counts == NULL)
		return pack_out_of_memory(err);
	int status = pack->json ? print_plan_json(plan, counts, split) : print_plan(plan, counts, split);
	free(counts);
	return status == 0 ? 0 : error_set(err, ERROR_IO, "cannot write to standard output");
}

/* ---- after the run ---- */

static void print_choice(const struct shard_choice *choice, uint64_t written)
{
	if (!choice->measured)
		return;
	fprintf(stderr, "chosen on the first %u images: blocks of %zu KiB, zstd level %d, ", choice->sample_records,
		choice->block_bytes >> 10, choice->zstd_level);
	if (choice->dictionary_bytes > 0)
		fprintf(stderr, "dictionary of %.1f KB", (double)choice->dictionary_bytes * 1e-3);
	else
		fprintf(stderr, "no dictionary");
	/* All images, or too few to go by: the line before says what became of them. */
	if (written > choice->sample_records) {
		fprintf(stderr, ": they take %.1f%% of their bytes", choice->share * 100);
		if (choice->dictionary_bytes > 0)
			fprintf(stderr, ", without dictionary %.1f%%", choice->share_without * 100);
	}
	fputc('\n', stderr);
}

static void print_count(uint64_t count, const char *text)
{
	if (count > 0)
		fprintf(stderr, "%" PRIu64 " %s\n", count, text);
}

static void print_counts(const struct pack_options *pack, const struct pack_plan *plan,
	const struct pack_result *result, const struct pack_bad *bad)
{
	print_count(result->resumed, "of these images were there from the earlier run");
	print_count(plan->ignored, "other files were ignored");
	print_count(pack_bad_count(bad), "bad images were left out");
	print_count(result->truncated, "images are cut short, and were taken (--allow-truncated)");
	print_count(result->turned, "images were turned the right way up (--exif apply)");
	print_count(result->unturned,
		"images have an orientation in their Exif data that was ignored: --exif apply turns them");
	print_count(result->duplicates,
		pack->dedupe == PACK_DEDUPE_DROP ? "duplicates were left out" : "images are duplicates of others");
}

static int print_json(const struct pack_options *pack, const struct pack_plan *plan, const struct pack_result *result,
	const struct pack_bad *bad, const struct shard_set_result *made)
{
	uint64_t records = result->written[0] + result->written[1];
	cJSON *object = cJSON_CreateObject();
	cJSON_AddStringToObject(object, "output", made[0].path);
	cJSON_AddNumberToObject(object, "records", (double)made[0].records);
	if (pack->append)
		cJSON_AddNumberToObject(object, "added", (double)result->written[0]);
	cJSON_AddNumberToObject(object, "shards", made[0].shards);
	cJSON_AddNumberToObject(object, "classes", plan->class_count);
	cJSON_AddNumberToObject(object, "skipped", (double)pack_bad_count(bad));
	cJSON_AddItemToObject(object, "skips", cJSON_Duplicate(pack_bad_list(bad), true));
	cJSON_AddNumberToObject(object, "duplicates", (double)result->duplicates);
	cJSON_AddItemToObject(object, "duplicate_list", cJSON_Duplicate(result->duplicate_list, true));
	cJSON_AddNumberToObject(object, "truncated", (double)result->truncated);
	cJSON_AddNumberToObject(object, "turned", (double)result->turned);
	cJSON_AddNumberToObject(object, "not_turned", (double)result->unturned);
	cJSON_AddNumberToObject(object, "ignored", (double)plan->ignored);
	cJSON_AddNumberToObject(object, "resumed", (double)result->resumed);
	cJSON_AddNumberToObject(object, "source_bytes", (double)result->source_bytes);
	cJSON_AddNumberToObject(object, "image_bytes", (double)result->image_bytes);
	cJSON_AddNumberToObject(object, "file_bytes", (double)made[0].file_bytes);
	cJSON_AddNumberToObject(object, "block_bytes", (double)made[0].choice.block_bytes);
	cJSON_AddNumberToObject(object, "zstd_level", made[0].choice.zstd_level);
	cJSON_AddNumberToObject(object, "dictionary_bytes", (double)made[0].choice.dictionary_bytes);
	json_add_hash(object, "fingerprint", made[0].fingerprint);
	if (made[1].path != NULL) {
		cJSON *validation = cJSON_AddObjectToObject(object, "validation");
		cJSON_AddStringToObject(validation, "output", made[1].path);
		cJSON_AddNumberToObject(validation, "records", (double)result->written[1]);
		cJSON_AddNumberToObject(validation, "shards", made[1].shards);
		cJSON_AddNumberToObject(validation, "file_bytes", (double)made[1].file_bytes);
		json_add_hash(validation, "fingerprint", made[1].fingerprint);
	}
	cJSON_AddNumberToObject(object, "seconds", result->seconds);
	cJSON_AddNumberToObject(object, "images_per_second", (double)records / (result->seconds + 1e-9));
	return json_print(object);
}

int pack_summarize(const struct pack_options *pack, const struct pack_plan *plan, const struct pack_result *result,
	const struct pack_bad *bad, const struct shard_set_result *made, struct error *err)
{
	double new_records = (double)(result->written[0] + result->written[1] - result->resumed);
	for (unsigned i = 0; i < PACK_OUTPUTS; i++) {
		if (made[i].path == NULL)
			continue;
		const char *path = made[i].path;
		fprintf(stderr, "%s: %" PRIu64 " images, %u classes, ", path, made[i].records, plan->class_count);
		if (pack->append)
			fprintf(stderr, "%" PRIu64 " of them new, ", result->written[i]);
		if (made[i].shards > 1)
			fprintf(stderr, "%u shards, ", made[i].shards);
		if (i == 0 && made[1].path == NULL && result->resumed == 0 && !pack->append)
			fprintf(stderr, "%.1f MB of images in ", (double)result->image_bytes * 1e-6);
		fprintf(stderr, "%.1f MB, %.1f s (%.0f images/s)\n", (double)made[i].file_bytes * 1e-6, result->seconds,
			new_records / (result->seconds + 1e-9));
		print_choice(&made[i].choice, result->written[i]);
	}
	print_counts(pack, plan, result, bad);
	if (!pack->json)
		return 0;
	return print_json(pack, plan, result, bad, made) == EXIT_OK ? 0 : error_set(err, ERROR_MEMORY, "out of memory");
}
