/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr split: one set into parts, all of which appear at once: they are files of one folder, which is named when all
 * are written.
 *
 * Up to 16 parts are written in one pass over the inputs; more take more passes. So memory does not grow with the
 * parts (a writer holds the first 8 MiB of its records to choose by, and a block).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic_folder.h"
#include "tools/command.h"
#include "tools/json.h"
#include "tools/record_filter.h"
#include "tools/set_output.h"
#include "tools/split_parts.h"

enum { PARTS_AT_ONCE = 16 };

struct split_options {
	const char *output, *fractions, *names;
	uint64_t parts, seed;
	struct set_output_options set;
	bool by_class, json;
};

static const struct option_spec spec[] = {
	OPTION_GROUP("Parts (one of the first three)"),
	OPTION_STRING(struct split_options, fractions, "fractions", "LIST", NULL,
		"parts of these sizes, as 0.9,0.1: the same fractions of each class, by chance; what is left to 1 goes "
		"nowhere"),
	OPTION_U64(struct split_options, parts, "parts", "N", "0", 0, SPLIT_MAX_PARTS,
		"N parts of one size, one behind the other in the order of records; with --seed by chance, the same "
		"of each class"),
	OPTION_FLAG(struct split_options, by_class, "by-class", NULL,
		"a part for each class, called as the class, and 'unlabelled'"),
	OPTION_U64(struct split_options, seed, "seed", "N", "0", 0, UINT64_MAX,
		"of chance; with one seed a record goes where its key says, whatever the order"),
	OPTION_STRING(struct split_options, names, "names", "LIST", NULL,
		"names of the parts, as train,val; default: part-0, part-1"),
	OPTION_GROUP("Output"),
	OPTION_STRING(struct split_options, output, "output", "DIR", NULL,
		"a new folder for the parts, NAME.ring each (NAME.json with --shard-size); it appears whole or not at "
		"all",
		.letter = 'o', .required = true),
	SET_OUTPUT_OPTIONS(struct split_options, set),
	OPTION_FLAG(struct split_options, json, "json", NULL, "print a summary as one JSON object", .incidental = true),
};

const struct option_table command_split_table = {
	.command = "split",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Divides the records of shards among several new ones, images byte for byte; each part keeps their "
		 "order "
		 "and all classes. Up to 16 parts are written at a time, more take more passes over the inputs.",
	.operands = "SHARD",
	.operand_help = "a shard, or the manifest of a set",
	.operand_min = 1,
	.operand_max = OPTIONS_ANY,
	.examples = "ringclr split all.ring --fractions 0.9,0.1 --names train,val --seed 1 -o parts/\n"
		    "ringclr split all.ring --parts 8 -o eighths/\n"
		    "ringclr split all.json --by-class -o classes/\n",
};

struct split {
	const struct options *given;
	const struct split_options *options;
	const struct input_sets *sets;
	struct split_parts parts;
	struct atomic_folder *folder;
	uint32_t first; /* part of this pass */
	struct shard_set_writer *writers[PARTS_AT_ONCE];
	char *paths[PARTS_AT_ONCE];
	struct shard_set_result *results; /* by part; paths are in the partial folder */
	double seconds;
};

static int assign_parts(struct split *job, struct error *err)
{
	const struct split_options *options = job->options;
	bool fractions = options->fractions != NULL, parts = options->parts > 0;
	if (fractions + parts + options->by_class != 1)
		return error_set(err, ERROR_USAGE, "name one of --fractions, --parts and --by-class");
	if (options->by_class && options->names != NULL)
		return error_set(
			err, ERROR_USAGE, "--names is not for --by-class, whose parts are called as the classes");
	int rc;
	if (fractions)
		rc = split_by_fractions(&job->parts, job->sets, options->fractions, options->seed, err);
	else if (options->by_class)
		rc = split_by_class(&job->parts, job->sets, err);
	else if (options_given(job->given, "seed"))
		rc = split_evenly(&job->parts, job->sets, options->parts, options->seed, err);
	else
		rc = split_in_order(&job->parts, job->sets, options->parts, err);
	return rc == 0 ? split_name(&job->parts, options->names, err) : rc;
}

static int copy_record(void *ctx, uint64_t number, const struct shard_record_in *record, struct error *err)
{
	struct split *job = ctx;
	return shard_set_writer_add(job->writers[job->parts.of[number] - job->first], record, err);
}

static int open_writers(struct split *job, uint32_t count, const char *origin, struct error *err)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct split_part *part = &job->parts.parts[job->first + i];
		if (asprintf(&job->paths[i], "%s/%s.ring", atomic_folder_partial(job->folder), part->name) < 0) {
			job->paths[i] = NULL;
			return error_set(err, ERROR_MEMORY, "out of memory for the part '%.300s'", part->name);
		}
		job->writers[i] =
			set_output_create(&job->options->set, job->paths[i], origin, job->sets, part->records, err);
		if (job->writers[i] == NULL)
			return err->code;
	}
	return 0;
}

static int finish_writers(struct split *job, uint32_t count, int rc, struct error *err)
{
	for (uint32_t i = 0; i < count; i++) {
		if (rc == 0)
			rc = shard_set_writer_finish(job->writers[i], &job->results[job->first + i], err);
		else
			shard_set_writer_abandon(job->writers[i], false);
		job->writers[i] = NULL;
		free(job->paths[i]);
		job->paths[i] = NULL;
	}
	return rc;
}

/* Writes parts first to first + count - 1. */
static int write_pass(struct split *job, uint32_t count, const char *origin, struct error *err)
{
	uint64_t records = input_sets_records(job->sets);
	struct record_selection selection = {.records = records, .set = calloc(records / 8 + 1, 1)};
	if (selection.set == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for choosing records");
	for (uint64_t i = 0; i < records; i++) {
		uint32_t part = job->parts.of[i];
		if (part == SPLIT_LEFT_OUT || part < job->first || part - job->first >= count)
			continue;
		selection.set[i / 8] |= (unsigned char)(1u << i % 8);
		selection.count++;
	}
	double seconds = 0;
	int rc = open_writers(job, count, origin, err);
	if (rc == 0)
		rc = record_selection_walk(&selection, job->sets, "splitting", copy_record, job, &seconds, err);
	rc = finish_writers(job, count, rc, err);
	job->seconds += seconds;
	record_selection_free(&selection);
	return rc;
}

static char *describe(const struct split *job, struct error *err)
{
	const struct split_options *options = job->options;
	char settings[512] = " --by-class";
	if (options->fractions != NULL)
		snprintf(settings, sizeof(settings), " --fractions %.300s --seed %" PRIu64, options->fractions,
			options->seed);
	else if (options->parts > 0 && options_given(job->given, "seed"))
		snprintf(settings, sizeof(settings), " --parts %" PRIu64 " --seed %" PRIu64, options->parts,
			options->seed);
	else if (options->parts > 0)
		snprintf(settings, sizeof(settings), " --parts %" PRIu64, options->parts);
	return set_output_origin("split", settings, job->given->operands, job->given->operand_count, err);
}

static int split_run(struct split *job, struct error *err)
{
	int rc = assign_parts(job, err);
	if (rc != 0)
		return rc;
	char *origin = describe(job, err);
	job->results = calloc((size_t)job->parts.count + 1, sizeof(*job->results));
	if (origin == NULL || job->results == NULL)
		rc = error_set(err, ERROR_MEMORY, "out of memory for the parts");
	if (rc == 0) {
		job->folder = atomic_folder_create(job->options->output, err);
		rc = job->folder == NULL ? err->code : 0;
	}
	for (; rc == 0 && job->first < job->parts.count; job->first += PARTS_AT_ONCE) {
		uint32_t left = job->parts.count - job->first;
		rc = write_pass(job, left < PARTS_AT_ONCE ? left : PARTS_AT_ONCE, origin, err);
	}
	free(origin);
	if (rc == 0)
		return atomic_folder_commit(job->folder, err);
	atomic_folder_abandon(job->folder);
	return rc;
}

/* Results name files of the partial folder, which has its own name now. */
static int summarize(const struct split *job)
{
	cJSON *object = job->options->json ? cJSON_CreateObject() : NULL;
	cJSON *list = object != NULL ? cJSON_AddArrayToObject(object, "parts") : NULL;
	char path[8192];
	for (uint32_t i = 0; i < job->parts.count; i++) {
		const struct shard_set_result *result = &job->results[i];
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): every part is written, with a path */
		const char *slash = strrchr(result->path, '/'), *output = job->options->output;
		bool slashed = output[strlen(output) - 1] == '/';
		snprintf(path, sizeof(path), "%s%s%s", output, slashed ? "" : "/", slash + 1);
		set_output_print(result, path, job->seconds);
		if (list != NULL)
			cJSON_AddItemToArray(list, set_output_json(result, path));
	}
	if (job->parts.left_out > 0)
		fprintf(stderr, "%" PRIu64 " records are in no part\n", job->parts.left_out);
	if (object == NULL)
		return EXIT_OK;
	cJSON_AddNumberToObject(object, "left_out", (double)job->parts.left_out);
	return json_print(object);
}

int command_split(int argc, char **argv)
{
	struct options options;
	struct split_options split = {.output = NULL};
	struct error err = {0};
	int status = options_parse(&options, &command_split_table, &split, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct input_sets *sets = input_sets_open(options.operands, options.operand_count, &err);
	struct split job = {.given = &options, .options = &split, .sets = sets};
	int rc = sets == NULL ? err.code : split_run(&job, &err);
	status = rc == 0 ? summarize(&job) : command_fail("split", &err);
	for (uint32_t i = 0; job.results != NULL && i < job.parts.count; i++)
		free(job.results[i].path);
	free(job.results);
	split_parts_free(&job.parts);
	input_sets_close(sets);
	options_free(&options);
	return status;
}
