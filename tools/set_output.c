/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/set_output.h"

#include <inttypes.h>
#include <string.h>

#include "tools/command.h"

char *set_output_origin(
	const char *command, const char *settings, const char *const *inputs, unsigned count, struct error *err)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	if (out != NULL) {
		fprintf(out, "ringclr %s %s%s", RINGCLR_VERSION, command, settings);
		for (unsigned i = 0; i < count; i++) {
			const char *slash = strrchr(inputs[i], '/');
			fprintf(out, " %s", slash == NULL ? inputs[i] : slash + 1);
		}
		if (fclose(out) == 0)
			return text;
	}
	error_set(err, ERROR_MEMORY, "out of memory");
	return NULL;
}

struct shard_set_writer *set_output_create(const struct set_output_options *options, const char *path,
	const char *origin, const struct input_sets *sets, uint64_t records, struct error *err)
{
	const bool tune_block = options->block == OPTION_WORD(0), tune_level = options->zstd == OPTION_WORD(0);
	const struct shard_set_writer_config config = {
		.tuner = {.writer = {.path = path,
				  .classes = input_sets_class_names(sets),
				  .class_count = input_sets_classes(sets),
				  .block_bytes = tune_block ? 0 : options->block,
				  .zstd_level = tune_level ? 3 : (int)options->zstd,
				  .origin = origin,
				  .meta = input_sets_have_meta(sets)},
			.tune_block = tune_block,
			.tune_level = tune_level,
			.dictionary = options->dictionary == OPTION_WORD(0)   ? SHARD_DICTIONARY_AUTO
				      : options->dictionary == OPTION_WORD(1) ? SHARD_DICTIONARY_NONE
									      : options->dictionary,
			.records = records},
		.shard_bytes = options->shard_size};
	return shard_set_writer_create(&config, err);
}

void set_output_print(const struct shard_set_result *result, const char *path, double seconds)
{
	fprintf(stderr, "%s: %" PRIu64 " records in %.1f MB, %u %s, %.1f s\n", path, result->records,
		(double)result->file_bytes * 1e-6, result->shards, result->shards == 1 ? "shard" : "shards", seconds);
}

cJSON *set_output_json(const struct shard_set_result *result, const char *path)
{
	cJSON *object = cJSON_CreateObject();
	cJSON_AddStringToObject(object, "output", path);
	cJSON_AddNumberToObject(object, "records", (double)result->records);
	cJSON_AddNumberToObject(object, "shards", result->shards);
	cJSON_AddNumberToObject(object, "file_bytes", (double)result->file_bytes);
	cJSON_AddNumberToObject(object, "block_bytes", (double)result->choice.block_bytes);
	cJSON_AddNumberToObject(object, "zstd_level", result->choice.zstd_level);
	cJSON_AddNumberToObject(object, "dictionary_bytes", (double)result->choice.dictionary_bytes);
	return object;
}
