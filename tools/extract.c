/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr extract: records back to files, in a folder or a tar. All names are made and checked before the first file is
 * written (output_paths.h), and both kinds of output appear whole or not at all. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/command.h"
#include "tools/file_sink.h"
#include "tools/json.h"
#include "tools/output_image.h"
#include "tools/record_filter.h"

struct extract_options {
	const char *output;
	struct record_filter filter;
	enum output_raw raw_as;
	bool meta, json;
};

static const struct option_spec spec[] = {
	OPTION_GROUP("Output"),
	OPTION_STRING(struct extract_options, output, "output", "DIR|FILE.tar", NULL,
		"a new folder, or a tar where the name ends in .tar", .letter = 'o', .required = true),
	OUTPUT_RAW_OPTION(struct extract_options, raw_as),
	OPTION_FLAG(struct extract_options, meta, "meta", NULL,
		"write the records' metadata, too: a.json beside a.jpg, where there is any"),
	OPTION_FLAG(
		struct extract_options, json, "json", NULL, "print a summary as one JSON object", .incidental = true),
	OPTION_GROUP("Records"),
	RECORD_FILTER_OPTIONS(struct extract_options, filter),
};

const struct option_table command_extract_table = {
	.command = "extract",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Writes the images of shards as files. A file's name is the record's key, with an extension behind it "
		 "where the key's does not fit the image. Keys are not trusted: if one would lie outside the folder, "
		 "or two would be one file, it is named and nothing is written. The folder must be new or empty. "
		 "Folder or tar appear whole or not at all; what a killed run left in DIR.partial goes with the next.",
	.operands = "SHARD",
	.operand_help = "a shard, or the manifest of a set",
	.operand_min = 1,
	.operand_max = OPTIONS_ANY,
	.examples = "ringclr extract train.ring -o train/\n"
		    "ringclr extract train.json --class 'cat,dog' --limit 100 --meta -o pets.tar\n"
		    "ringclr extract a.ring b.ring --list wanted.txt -o wanted/\n",
};

struct extract {
	const struct extract_options *options;
	const struct input_sets *sets;
	struct record_selection selection;
	struct output_paths paths;
	struct file_sink *sink;
	uint64_t files, bytes;
	double seconds;
};

static int check_names(struct extract *job, struct error *err)
{
	bool meta = job->options->meta && input_sets_have_meta(job->sets);
	int rc = 0;
	for (uint64_t i = record_selection_next(&job->selection, 0); i < job->selection.records && rc == 0;
		i = record_selection_next(&job->selection, i + 1)) {
		struct input_record record;
		input_sets_locate(job->sets, i, &record);
		const struct output_path path =
			output_path_of(record.entry->key, (enum shard_codec)record.entry->codec, job->options->raw_as);
		const struct output_path beside = output_path_beside(&path, ".json");
		rc = output_paths_add(&job->paths, &path, err);
		if (rc == 0 && meta)
			rc = output_paths_add(&job->paths, &beside, err);
	}
	return rc == 0 ? output_paths_check(&job->paths, err) : rc;
}

static int add_file(
	struct extract *job, const struct output_path *path, const void *data, size_t bytes, struct error *err)
{
	char name[ATOMIC_FOLDER_MAX_PATH + 1];
	output_path_write(path, name);
	int rc = file_sink_add(job->sink, name, data, bytes, err);
	job->files++;
	job->bytes += bytes;
	return rc;
}

static int write_record(void *ctx, uint64_t number, const struct shard_record_in *record, struct error *err)
{
	(void)number;
	struct extract *job = ctx;
	const struct extract_options *options = job->options;
	const struct output_path path = output_path_of(record->key, record->codec, options->raw_as);
	struct output_image image;
	int rc = output_image_make(record, options->raw_as, &image, err);
	if (rc == 0)
		rc = add_file(job, &path, image.data, image.bytes, err);
	output_image_free(&image);
	if (rc == 0 && options->meta && record->meta != NULL) {
		const struct output_path beside = output_path_beside(&path, ".json");
		rc = add_file(job, &beside, record->meta, record->meta_bytes, err);
	}
	return rc;
}

static int extract_run(struct extract *job, struct error *err)
{
	int rc = record_filter_select(&job->options->filter, job->sets, &job->selection, err);
	if (rc == 0)
		rc = check_names(job, err);
	output_paths_free(&job->paths);
	if (rc != 0)
		return rc;
	job->sink = file_sink_create(job->options->output, err);
	if (job->sink == NULL)
		return err->code;
	rc = record_selection_walk(&job->selection, job->sets, "extracting", write_record, job, &job->seconds, err);
	if (rc == 0)
		return file_sink_commit(job->sink, err);
	file_sink_abandon(job->sink);
	return rc;
}

static int summarize(const struct extract *job)
{
	fprintf(stderr, "%s: %" PRIu64 " images, %" PRIu64 " files, %.1f MB, %.1f s\n", job->options->output,
		job->selection.count, job->files, (double)job->bytes * 1e-6, job->seconds);
	if (!job->options->json)
		return EXIT_OK;
	cJSON *object = cJSON_CreateObject();
	cJSON_AddStringToObject(object, "output", job->options->output);
	cJSON_AddNumberToObject(object, "records", (double)job->selection.count);
	cJSON_AddNumberToObject(object, "files", (double)job->files);
	cJSON_AddNumberToObject(object, "bytes", (double)job->bytes);
	cJSON_AddNumberToObject(object, "seconds", job->seconds);
	return json_print(object);
}

int command_extract(int argc, char **argv)
{
	struct options options;
	struct extract_options extract = {.output = NULL};
	struct error err = {0};
	int status = options_parse(&options, &command_extract_table, &extract, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct input_sets *sets = input_sets_open(options.operands, options.operand_count, &err);
	struct extract job = {.options = &extract, .sets = sets};
	int rc = sets == NULL ? err.code : extract_run(&job, &err);
	status = rc == 0 ? summarize(&job) : command_fail("extract", &err);
	record_selection_free(&job.selection);
	input_sets_close(sets);
	options_free(&options);
	return status;
}
