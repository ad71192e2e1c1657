/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of a data set as lines, for other programs: tab-separated values, or JSON objects. A line is written as
 * soon as it is made, so that a listing of millions of records takes no memory.
 *
 * Names are escaped (pipeline/escape.h): each line is one record, and each tab ends a column, whatever names there are.
 */
#include <inttypes.h>
#include <stdio.h>

#include "pipeline/escape.h"
#include "tools/command.h"
#include "tools/inspect.h"
#include "tools/json.h"

static void print_columns(const struct shard *shard, const struct shard_record *record, uint64_t number)
{
	printf("%" PRIu64 "\t", number);
	escape_print(stdout, record->key);
	putchar('\t');
	if (record->label >= 0)
		escape_print(stdout, shard_class(shard, (uint32_t)record->label));
	printf("\t%d\t%u\t%u\t%s\t%u\t%u\t%016" PRIx64 "\t", record->label, record->width, record->height,
		shard_codec_name((enum shard_codec)record->codec), record->bytes, record->block, record->hash);
	escape_print(stdout, shard_path(shard));
	putchar('\n');
}

static int print_object(const struct shard *shard, const struct shard_record *record, uint64_t number)
{
	cJSON *entry = cJSON_CreateObject();
	cJSON_AddNumberToObject(entry, "number", (double)number);
	cJSON_AddStringToObject(entry, "key", record->key);
	cJSON_AddNumberToObject(entry, "label", record->label);
	cJSON_AddNumberToObject(entry, "width", record->width);
	cJSON_AddNumberToObject(entry, "height", record->height);
	cJSON_AddStringToObject(entry, "codec", shard_codec_name((enum shard_codec)record->codec));
	cJSON_AddNumberToObject(entry, "bytes", record->bytes);
	cJSON_AddNumberToObject(entry, "block", record->block);
	json_add_hash(entry, "hash", record->hash);
	if (record->label >= 0)
		cJSON_AddStringToObject(entry, "class", shard_class(shard, (uint32_t)record->label));
	else
		cJSON_AddNullToObject(entry, "class");
	cJSON_AddStringToObject(entry, "file", shard_path(shard));
	return json_print(entry);
}

int inspect_records(const struct shard_set *set, uint64_t count, bool json)
{
	uint64_t number = 0;
	if (!json)
		puts("number\tkey\tclass\tlabel\twidth\theight\tcodec\tbytes\tblock\thash\tfile");
	for (unsigned s = 0; s < shard_set_count(set); s++) {
		const struct shard *shard = shard_set_at(set, s);
		for (uint32_t i = 0; i < shard_records(shard) && number < count; i++, number++) {
			if (!json)
				print_columns(shard, shard_record(shard, i), number);
			else if (print_object(shard, shard_record(shard, i), number) != EXIT_OK)
				return EXIT_FAILED;
			if (ferror(stdout))
				return EXIT_FAILED;
		}
	}
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
