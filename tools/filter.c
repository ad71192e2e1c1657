/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr filter: some records of shards into a new set, in their order. The table of classes stays whole, so that
 * labels mean what they did. */
#include <stdlib.h>

#include "tools/command.h"
#include "tools/json.h"
#include "tools/record_filter.h"
#include "tools/set_output.h"

struct filter_options {
	const char *output;
	struct set_output_options set;
	struct record_filter filter;
	bool json;
};

static const struct option_spec spec[] = {
	OPTION_GROUP("Records"),
	RECORD_FILTER_OPTIONS(struct filter_options, filter),
	OPTION_STRING(struct filter_options, filter.not_classes, "not-class", "NAMES", NULL,
		"leave these classes out, named as with --class"),
	OPTION_STRING(struct filter_options, filter.match, "match", "REGEX", NULL,
		"take only records whose key has a part that fits this extended regular expression"),
	OPTION_U64(struct filter_options, filter.min_side, "min-side", "PIXELS", "0", 0, SHARD_MAX_SIDE,
		"take only images whose short side has at least this many pixels"),
	OPTION_U64(struct filter_options, filter.max_side, "max-side", "PIXELS", "0", 0, SHARD_MAX_SIDE,
		"take only images whose long side has at most this many pixels; 0: any"),
	OPTION_U64(struct filter_options, filter.limit_per_class, "limit-per-class", "N", "0", 0, UINT64_MAX,
		"take only the first N of each class (and of those without one); 0: all"),
	OPTION_GROUP("Output"),
	OPTION_STRING(struct filter_options, output, "output", "FILE", NULL,
		"the shard or set to write; appears whole or not at all", .letter = 'o', .required = true),
	SET_OUTPUT_OPTIONS(struct filter_options, set),
	OPTION_FLAG(
		struct filter_options, json, "json", NULL, "print a summary as one JSON object", .incidental = true),
};

const struct option_table command_filter_table = {
	.command = "filter",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Writes those records of shards that all given options allow into a new shard or set, in their order, "
		 "images byte for byte. All classes keep their numbers, also those that no record has any more.",
	.operands = "SHARD",
	.operand_help = "a shard, or the manifest of a set",
	.operand_min = 1,
	.operand_max = OPTIONS_ANY,
	.examples = "ringclr filter train.ring --class 'cat,dog' -o pets.ring\n"
		    "ringclr filter train.json --min-side 224 --limit-per-class 100 --shard-size 1G -o large.ring\n"
		    "ringclr filter train.ring --match '^2024/' -o this-year.ring\n",
};

static int copy_record(void *ctx, uint64_t number, const struct shard_record_in *record, struct error *err)
{
	(void)number;
	return shard_set_writer_add(ctx, record, err);
}

static int filter_run(const struct options *given, const struct filter_options *options, const struct input_sets *sets,
	struct shard_set_result *result, double *seconds, struct error *err)
{
	struct record_selection selection = {0};
	char *origin = set_output_origin("filter", "", given->operands, given->operand_count, err);
	int rc = origin == NULL ? err->code : record_filter_select(&options->filter, sets, &selection, err);
	if (rc == 0) {
		struct shard_set_writer *writer =
			set_output_create(&options->set, options->output, origin, sets, selection.count, err);
		rc = writer == NULL
			     ? err->code
			     : record_selection_walk(&selection, sets, "filtering", copy_record, writer, seconds, err);
		if (rc == 0)
			rc = shard_set_writer_finish(writer, result, err);
		else
			shard_set_writer_abandon(writer, false);
		record_selection_free(&selection);
	}
	free(origin);
	return rc;
}

int command_filter(int argc, char **argv)
{
	struct options options;
	struct filter_options filter = {.output = NULL};
	struct error err = {0};
	int status = options_parse(&options, &command_filter_table, &filter, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct shard_set_result result = {.records = 0};
	double seconds = 0;
	struct input_sets *sets = input_sets_open(options.operands, options.operand_count, &err);
	int rc = sets == NULL ? err.code : filter_run(&options, &filter, sets, &result, &seconds, &err);
	if (rc == 0) {
		set_output_print(&result, result.path, seconds);
		cJSON *object = filter.json ? set_output_json(&result, result.path) : NULL;
		if (object != NULL)
			cJSON_AddNumberToObject(object, "input_records", (double)input_sets_records(sets));
		status = object == NULL ? EXIT_OK : json_print(object);
	} else {
		status = command_fail("filter", &err);
	}
	free(result.path);
	input_sets_close(sets);
	options_free(&options);
	return status;
}
