/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr merge: several shards and sets into one, in the order they are named. Classes are united by name
 * (input_sets.h). Keys must be unique in the whole: that is checked before anything is written, on a list sorted by key
 * (16 bytes a record). With --prefix an input's keys get its file's name before them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"
#include "tools/json.h"
#include "tools/record_filter.h"
#include "tools/set_output.h"

struct merge_options {
	const char *output;
	struct set_output_options set;
	bool prefix, json;
};

static const struct option_spec spec[] = {
	OPTION_STRING(struct merge_options, output, "output", "FILE", NULL,
		"the shard or set to write; appears whole or not at all", .letter = 'o', .required = true),
	OPTION_FLAG(struct merge_options, prefix, "prefix", NULL,
		"put the input's name before its keys: the record cat/1.jpg of a.ring becomes a/cat/1.jpg"),
	SET_OUTPUT_OPTIONS(struct merge_options, set),
	OPTION_FLAG(struct merge_options, json, "json", NULL, "print a summary as one JSON object", .incidental = true),
};

const struct option_table command_merge_table = {
	.command = "merge",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Writes the records of several shards and sets into one, in the order in which they are named, images "
		 "byte for byte. Classes are the same where their names are: the first input's come first, then what "
		 "others add. Two records of one key are an error (--prefix makes them differ).",
	.operands = "SHARD",
	.operand_help = "a shard, or the manifest of a set",
	.operand_min = 1,
	.operand_max = OPTIONS_ANY,
	.examples = "ringclr merge cats.ring dogs.ring -o pets.ring\n"
		    "ringclr merge 2023.json 2024.json --shard-size 1G -o all.ring\n"
		    "ringclr merge a.ring b.ring --prefix -o both.ring\n",
};

struct merge {
	const struct options *given;
	const struct merge_options *options;
	const struct input_sets *sets;
	struct shard_set_writer *writer;
	char **prefixes; /* by input; NULL: none are added */
	char key[SHARD_MAX_KEY + 1];
};

static int out_of_memory(struct error *err)
{
	return error_set(err, ERROR_MEMORY, "out of memory for merging");
}

/* "a/" of "x/a.ring". Two inputs of one name would collide again. */
static int make_prefixes(struct merge *job, struct error *err)
{
	unsigned count = job->given->operand_count;
	job->prefixes = calloc(count, sizeof(*job->prefixes));
	if (job->prefixes == NULL)
		return out_of_memory(err);
	for (unsigned i = 0; i < count; i++) {
		const char *path = job->given->operands[i], *slash = strrchr(path, '/');
		const char *name = slash == NULL ? path : slash + 1, *dot = strrchr(name, '.');
		int bytes = (int)(dot == NULL || dot == name ? strlen(name) : (size_t)(dot - name));
		if (asprintf(&job->prefixes[i], "%.*s/", bytes, name) < 0) {
			job->prefixes[i] = NULL;
			return out_of_memory(err);
		}
		for (unsigned j = 0; j < i; j++)
			if (strcmp(job->prefixes[i], job->prefixes[j]) == 0)
				return error_set(err, ERROR_USAGE,
					"--prefix: '%s' and '%s' have the same name, so their keys would begin alike",
					job->given->operands[j], path);
	}
	return 0;
}

struct keyed {
	const char *key;
	uint64_t record;
};

static int compare_keyed(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;
	int order = strcmp(x->key, y->key);
	return order != 0 ? order : (x->record > y->record) - (x->record < y->record);
}

/* With prefixes, keys of different inputs differ (no input's prefix begins another's, as each ends with its only '/').
 */
static int check_keys(const struct merge *job, struct error *err)
{
	uint64_t count = input_sets_records(job->sets);
	struct keyed *keys = calloc(count + 1, sizeof(*keys));
	if (keys == NULL)
		return out_of_memory(err);
	for (uint64_t i = 0; i < count; i++) {
		struct input_record record;
		input_sets_locate(job->sets, i, &record);
		keys[i] = (struct keyed){.key = record.entry->key, .record = i};
	}
	if (count > 1)
		qsort(keys, count, sizeof(*keys), compare_keyed);
	int rc = 0;
	for (uint64_t i = 1; i < count && rc == 0; i++) {
		if (strcmp(keys[i - 1].key, keys[i].key) != 0)
			continue;
		struct input_record first, second;
		input_sets_locate(job->sets, keys[i - 1].record, &first);
		input_sets_locate(job->sets, keys[i].record, &second);
		if (job->prefixes == NULL || first.input == second.input)
			rc = error_set(err, ERROR_MISMATCH,
				"both '%s' and '%s' have a record '%.300s'; --prefix puts the inputs' names before "
				"keys, `ringclr filter` leaves some out",
				shard_path(first.shard), shard_path(second.shard), keys[i].key);
	}
	free(keys);
	return rc;
}

static int copy_record(void *ctx, uint64_t number, const struct shard_record_in *record, struct error *err)
{
	struct merge *job = ctx;
	if (job->prefixes == NULL)
		return shard_set_writer_add(job->writer, record, err);
	struct input_record place;
	struct shard_record_in renamed = *record;
	input_sets_locate(job->sets, number, &place);
	int bytes = snprintf(job->key, sizeof(job->key), "%s%s", job->prefixes[place.input], record->key);
	if (bytes >= (int)sizeof(job->key))
		return error_set(err, ERROR_UNSUPPORTED,
			"'%.300s': with a prefix the key is longer than the %d bytes that a key may have", record->key,
			SHARD_MAX_KEY);
	renamed.key = job->key;
	return shard_set_writer_add(job->writer, &renamed, err);
}

static int merge_run(struct merge *job, struct shard_set_result *result, double *seconds, struct error *err)
{
	const struct merge_options *options = job->options;
	const struct record_filter everything = {.classes = NULL};
	struct record_selection selection = {.count = 0};
	char *origin = set_output_origin(
		"merge", options->prefix ? " --prefix" : "", job->given->operands, job->given->operand_count, err);
	int rc = origin == NULL ? err->code : options->prefix ? make_prefixes(job, err) : 0;
	if (rc == 0)
		rc = check_keys(job, err);
	if (rc == 0)
		rc = record_filter_select(&everything, job->sets, &selection, err);
	if (rc == 0) {
		job->writer =
			set_output_create(&options->set, options->output, origin, job->sets, selection.count, err);
		rc = job->writer == NULL
			     ? err->code
			     : record_selection_walk(&selection, job->sets, "merging", copy_record, job, seconds, err);
		if (rc == 0)
			rc = shard_set_writer_finish(job->writer, result, err);
		else
			shard_set_writer_abandon(job->writer, false);
	}
	for (unsigned i = 0; job->prefixes != NULL && i < job->given->operand_count; i++)
		free(job->prefixes[i]);
	free(job->prefixes);
	record_selection_free(&selection);
	free(origin);
	return rc;
}

int command_merge(int argc, char **argv)
{
	struct options options;
	struct merge_options merge;
	struct error err = {0};
	int status = options_parse(&options, &command_merge_table, &merge, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct shard_set_result result = {.records = 0};
	double seconds = 0;
	struct input_sets *sets = input_sets_open(options.operands, options.operand_count, &err);
	struct merge job = {.given = &options, .options = &merge, .sets = sets};
	int rc = sets == NULL ? err.code : merge_run(&job, &result, &seconds, &err);
	if (rc == 0) {
		set_output_print(&result, result.path, seconds);
		cJSON *object = merge.json ? set_output_json(&result, result.path) : NULL;
		if (object != NULL)
			cJSON_AddNumberToObject(object, "classes", input_sets_classes(sets));
		status = object == NULL ? EXIT_OK : json_print(object);
	} else {
		status = command_fail("merge", &err);
	}
	free(result.path);
	input_sets_close(sets);
	options_free(&options);
	return status;
}
