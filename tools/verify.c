/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr verify: every byte of shards against its hashes. */
#include <inttypes.h>
#include <stdio.h>

#include "io/shard.h"
#include "tools/command.h"
#include "tools/json.h"
#include "tools/options.h"

struct verify_options {
	bool json;
};

static const struct option_spec spec[] = {
	OPTION_FLAG(struct verify_options, json, "json", NULL, "print one JSON object instead", .incidental = true),
};

static const struct option_table table = {
	.command = "verify",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Reads shards from end to end and checks every hash, size and padding byte. Prints a line for each "
		 "damage, "
		 "naming the block or the record. Exit code 0: all are sound; 1: some are not.",
	.operands = "FILE",
	.operand_help = "a shard",
	.operand_min = 1,
	.operand_max = OPTIONS_ANY,
	.examples = "ringclr verify train.ring test.ring\n"
		    "ringclr verify --json data/*.ring | jq '.files[] | select(.sound | not)'\n",
};

struct report {
	cJSON *damages; /* NULL: print lines */
};

static void note_damage(void *ctx, const char *line)
{
	struct report *report = ctx;
	if (report->damages != NULL)
		cJSON_AddItemToArray(report->damages, cJSON_CreateString(line));
	else
		puts(line);
}

/* Returns whether the file is sound. files is NULL, or the JSON array that gets the file's object. */
static bool verify_file(const char *path, cJSON *files)
{
	struct error err = {0};
	struct report report = {.damages = NULL};
	cJSON *entry = NULL;
	if (files != NULL) {
		entry = cJSON_CreateObject();
		cJSON_AddStringToObject(entry, "path", path);
		report.damages = cJSON_AddArrayToObject(entry, "damages");
	}
	int64_t damages = shard_verify(path, note_damage, &report, &err);
	if (damages < 0)
		note_damage(&report, err.message);
	if (files != NULL) {
		cJSON_AddBoolToObject(entry, "sound", damages == 0);
		cJSON_AddItemToArray(files, entry);
	} else if (damages == 0) {
		printf("%s: sound\n", path);
	} else if (damages > 0) {
		printf("%s: %" PRId64 " damage%s\n", path, damages, damages > 1 ? "s" : "");
	}
	return damages == 0;
}

int command_verify(int argc, char **argv)
{
	struct options options;
	struct verify_options verify;
	int status = options_parse(&options, &table, &verify, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	cJSON *object = verify.json ? cJSON_CreateObject() : NULL;
	cJSON *files = verify.json ? cJSON_AddArrayToObject(object, "files") : NULL;
	bool sound = true;
	for (unsigned i = 0; i < options.operand_count; i++)
		sound = verify_file(options.operands[i], files) && sound;
	status = sound ? EXIT_OK : EXIT_FAILED;
	if (object != NULL) {
		cJSON_AddBoolToObject(object, "sound", sound);
		if (json_print(object) != EXIT_OK)
			status = EXIT_FAILED;
	}
	options_free(&options);
	return status;
}
