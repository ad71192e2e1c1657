/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr repair: a sound shard of what is whole in a damaged one. */
#include <inttypes.h>
#include <stdio.h>

#include "io/shard_repair.h"
#include "pipeline/escape.h"
#include "tools/class_file.h"
#include "tools/command.h"
#include "tools/json.h"
#include "tools/options.h"

struct repair_options {
	const char *output, *classes;
	bool json;
};

static const struct option_spec spec[] = {
	OPTION_STRING(struct repair_options, output, "output", "FILE", NULL,
		"the shard to write; appears whole or not at all", .letter = 'o', .required = true),
	OPTION_STRING(struct repair_options, classes, "classes", "FILE", NULL,
		"class names, one a line, in the order of their labels, for where the shard's are lost"),
	OPTION_FLAG(struct repair_options, json, "json", NULL, "print one JSON object instead", .incidental = true),
};

const struct option_table command_repair_table = {
	.command = "repair",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Reads a shard that was damaged or cut off and writes a sound one of every record in a whole block: a "
		 "lost header, footer or index is made again from the rest. Prints what is damaged and what is lost, "
		 "by key where the index survived, else by number. The original is never changed. Lost class names "
		 "become those of --classes, or \"0\", \"1\", ...; a lost dictionary takes the blocks with it that "
		 "were compressed with it. "
		 "Exit code 0: nothing was lost; 1: something was, and the rest is in the output, or nothing could be "
		 "salvaged, and there is none.",
	.operands = "SHARD",
	.operand_help = "a damaged shard",
	.operand_min = 1,
	.operand_max = 1,
	.examples = "ringclr verify train.ring\n"
		    "ringclr repair train.ring -o train-repaired.ring\n"
		    "ringclr repair train.ring -o train-repaired.ring --json | jq -r '.lost[].key'\n",
};

struct report {
	cJSON *notes, *lost; /* NULL: print lines */
};

static void report_note(void *ctx, const char *line)
{
	const struct report *report = ctx;
	if (report->notes != NULL) {
		cJSON_AddItemToArray(report->notes, cJSON_CreateString(line));
	} else {
		escape_print(stdout, line);
		putchar('\n');
	}
}

static void report_lost(void *ctx, const struct shard_lost *lost)
{
	const struct report *report = ctx;
	if (report->lost != NULL) {
		cJSON *entry = cJSON_CreateObject();
		cJSON_AddNumberToObject(entry, "block", lost->block);
		cJSON_AddNumberToObject(entry, "first_record", (double)lost->first_record);
		cJSON_AddNumberToObject(entry, "records", (double)lost->record_count);
		if (lost->key != NULL)
			cJSON_AddStringToObject(entry, "key", lost->key);
		cJSON_AddItemToArray(report->lost, entry);
	} else if (lost->key != NULL) {
		printf("lost: record %" PRIu64 " (block %u): ", lost->first_record, lost->block);
		escape_print(stdout, lost->key);
		putchar('\n');
	} else if (lost->record_count == 0) {
		printf("lost: something before block %u\n", lost->block);
	} else {
		printf("lost: records %" PRIu64 " to %" PRIu64 " (from block %u)\n", lost->first_record,
			lost->first_record + lost->record_count - 1, lost->block);
	}
}

static int poll_interrupt(void *ctx, struct error *err)
{
	(void)ctx;
	return command_interrupted() ? error_set(err, ERROR_INTERRUPTED, "interrupted; no output was written") : 0;
}

static void summary_add(cJSON *object, const char *in, const char *out, const struct shard_repaired *repaired)
{
	cJSON_AddStringToObject(object, "input", in);
	cJSON_AddStringToObject(object, "output", out);
	cJSON_AddBoolToObject(object, "whole", shard_repaired_whole(repaired));
	cJSON_AddNumberToObject(object, "records", (double)repaired->records);
	cJSON_AddNumberToObject(object, "blocks", (double)repaired->blocks);
	cJSON_AddNumberToObject(object, "records_lost", (double)repaired->records_lost);
	cJSON_AddNumberToObject(object, "blocks_lost", (double)repaired->blocks_lost);
	cJSON_AddBoolToObject(object, "end_unknown", repaired->end_unknown);
	cJSON_AddBoolToObject(object, "index_rebuilt", repaired->index_rebuilt);
	cJSON_AddBoolToObject(object, "classes_lost", repaired->classes_lost);
	cJSON_AddBoolToObject(object, "metadata_lost", repaired->metadata_lost);
}

static void summary_print(const char *out, const struct shard_repaired *repaired)
{
	printf("%s: %" PRIu64 " records of %" PRIu64 " blocks%s\n", out, repaired->records, repaired->blocks,
		repaired->index_rebuilt ? ", with a new index" : "");
}

static int tell_losses(const char *out, const struct shard_repaired *repaired)
{
	if (shard_repaired_whole(repaired))
		return EXIT_OK;
	command_note("repair",
		"not all was there: %" PRIu64 " records (%" PRIu64 " blocks) are lost%s%s%s; '%s' has the rest",
		repaired->records_lost, repaired->blocks_lost,
		repaired->end_unknown ? ", and how many more at the end nothing says" : "",
		repaired->classes_lost ? ", and the class names" : "",
		repaired->metadata_lost ? ", and some metadata" : "", out);
	return EXIT_FAILED;
}

int command_repair(int argc, char **argv)
{
	struct options options;
	struct repair_options repair;
	struct error err = {0};
	struct shard_repaired repaired = {0};
	int status = options_parse(&options, &command_repair_table, &repair, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	cJSON *object = repair.json ? cJSON_CreateObject() : NULL;
	struct report report = {
		.notes = repair.json ? cJSON_AddArrayToObject(object, "notes") : NULL,
		.lost = repair.json ? cJSON_AddArrayToObject(object, "lost") : NULL,
	};
	const struct shard_repair_report calls = {
		.note = report_note, .lost = report_lost, .poll = poll_interrupt, .ctx = &report};
	const char *in = options.operands[0];
	struct class_file file = {0};
	int rc = repair.classes != NULL ? class_file_read(&file, repair.classes, &err) : 0;
	const struct shard_class_names names = {.names = (const char *const *)file.names, .count = file.count};
	if (rc == 0)
		rc = shard_repair(in, repair.output, file.count > 0 ? &names : NULL, &calls, &repaired, &err);
	class_file_free(&file);
	if (rc < 0) {
		cJSON_Delete(object);
		status = command_fail("repair", &err);
	} else {
		status = EXIT_OK;
		if (object != NULL) {
			summary_add(object, in, repair.output, &repaired);
			status = json_print(object);
		} else {
			summary_print(repair.output, &repaired);
		}
		if (tell_losses(repair.output, &repaired) != EXIT_OK)
			status = EXIT_FAILED;
	}
	options_free(&options);
	return status;
}
