/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr inspect: what a data set holds. Blocks are not all read: `ringclr verify` does that. */
#include <stdio.h>
#include <stdlib.h>

#include "io/shard.h"
#include "tools/command.h"
#include "tools/inspect.h"
#include "tools/options.h"

enum { SHEET_MAX = 1000 };

struct inspect_options {
	bool json;
	uint64_t records, sheet_images;
	const char *sheet;
};

static const struct option_spec spec[] = {
	OPTION_FLAG(struct inspect_options, json, "json", NULL, "print one JSON object instead", .incidental = true),
	OPTION_U64(struct inspect_options, records, "records", "N", "0", 0, UINT32_MAX,
		"list the first N records instead, a line each: tab-separated values under a header or, with --json, "
		"JSON "
		"objects",
		.choices = "all"),
	OPTION_STRING(struct inspect_options, sheet, "sheet", "FILE", NULL,
		"also draw a contact sheet of images, spread over the classes, to this PNG file"),
	OPTION_U64(struct inspect_options, sheet_images, "sheet-images", "N", "60", 1, SHEET_MAX,
		"images on the contact sheet"),
};

const struct option_table command_inspect_table = {
	.command = "inspect",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about =
		"Says what a data set holds: records, classes, image sizes, codecs, blocks, compression, metadata and "
		"the "
		"fingerprint by which runs tell data sets apart. Only indexes are read, and a few blocks to measure "
		"how "
		"fast they decompress and to look for metadata, so it takes a moment whatever the size. Several shards "
		"are told as one data set.",
	.operands = "SHARD",
	.operand_help = "a shard, or the manifest of a set of shards (.json)",
	.operand_min = 1,
	.operand_max = OPTIONS_ANY,
	.examples = "ringclr inspect train.ring\n"
		    "ringclr inspect train.ring --sheet train.png\n"
		    "ringclr inspect train.ring --records all | cut -f 2,3\n"
		    "ringclr inspect train.ring --records all --json | jq -r 'select(.width < 64) | .key'\n"
		    "ringclr inspect train.ring --json | jq .class_counts\n",
};

static int print_summary(const struct shard_set *set, const char *name, bool json)
{
	struct inspect_summary summary;
	struct error err = {0};
	int code = EXIT_OK;
	if (inspect_summarize(set, &summary, &err) < 0)
		code = command_fail("inspect", &err);
	else
		code = (json ? inspect_print_json : inspect_print_text)(set, &summary, name);
	inspect_summary_free(&summary);
	return code;
}

int command_inspect(int argc, char **argv)
{
	struct options options;
	struct inspect_options inspect;
	struct error err = {0};
	char name[512];
	int status = options_parse(&options, &command_inspect_table, &inspect, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	snprintf(name, sizeof name, "%s%s", options.operands[0], options.operand_count > 1 ? " and others" : "");
	struct shard_set *set = shard_set_open(options.operands, options.operand_count, false, &err);
	if (set == NULL ||
		(inspect.sheet != NULL && inspect_sheet(set, name, inspect.sheet_images, inspect.sheet, &err) < 0))
		status = command_fail("inspect", &err);
	else if (inspect.records > 0)
		status = inspect_records(set, inspect.records, inspect.json);
	else
		status = print_summary(set, name, inspect.json);
	shard_set_close(set);
	options_free(&options);
	return status;
}
