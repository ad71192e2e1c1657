/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr export: shards, and weights, as what other programs read. Each format has its file; class folders are here.
 * Formats of shards make a folder of many, formats of weights a file of one.
 */
#include "tools/export.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/command.h"
#include "tools/export_weights.h"
#include "tools/json.h"

enum { TO_WEBDATASET, TO_FOLDER, TO_MDS, TO_TORCHVISION, TO_ONNX };

struct export_options {
	const char *output, *prefix;
	uint64_t shard_size, zstd, size;
	struct record_filter filter;
	enum output_raw raw_as;
	unsigned to;
	bool json, with_head;
};

static const struct option_spec spec[] = {
	OPTION_GROUP("Output"),
	OPTION_CHOICE(struct export_options, to, "to", "webdataset|folder|mds|torchvision|onnx", "webdataset",
		"of shards: tars of WebDataset; a folder for each class, as of torchvision's ImageFolder; shards of "
		"MosaicML's StreamingDataset. Of weights: a state dict of torchvision's ResNet, as safetensors; an "
		"ONNX "
		"graph from images to features"),
	OPTION_STRING(struct export_options, output, "output", "DIR|FILE", NULL, "a new folder; of weights: the file",
		.letter = 'o', .required = true),
	OPTION_FLAG(
		struct export_options, json, "json", NULL, "print a summary as one JSON object", .incidental = true),
	OPTION_GROUP("Shards"),
	OPTION_SIZE(struct export_options, shard_size, "shard-size", "auto", 4096, 1 << 30,
		"a tar ends with the sample that reaches this; a shard of MDS has at most this, and takes as much "
		"memory. auto: 512M for tars, 64M for MDS",
		.choices = "auto"),
	OPTION_STRING(struct export_options, prefix, "prefix", "NAME", "shard", "tars are NAME-000000.tar and so on"),
	OPTION_U64(struct export_options, zstd, "zstd", "LEVEL", "0", 0, 19, "compress the shards of MDS; 0: do not"),
	OUTPUT_RAW_OPTION(struct export_options, raw_as),
	RECORD_FILTER_OPTIONS(struct export_options, filter),
	OPTION_GROUP("Weights"),
	OPTION_FLAG(struct export_options, with_head, "with-head", "no",
		"onnx: also give out z of the projection head, or the logits of a classifier"),
	OPTION_U64(
		struct export_options, size, "size", "PIXELS", "0", 0, 4096, "onnx: side of the input; 0: the file's"),
};

const struct option_table command_export_table = {
	.command = "export",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about =
		"Writes shards, or an encoder's weights, in a format of other programs; the folder or file appears "
		"whole or not at all. "
		"WebDataset: a.jpg, a.cls (the class's number) and a.json (metadata, key, class). Folder: class/key; a "
		"key that begins with its class stays as it is. MDS: columns image, key, label and, where there is "
		"any, "
		"meta. classes.txt names the classes by number (ImageFolder has numbers of its own, by the names' "
		"order). torchvision: the encoder's tensors under torchvision's names, without projection head and "
		"optimizer, and fc of a classifier. ONNX: float32 images [N,3,S,S], RGB, values in [0,1], to features "
		"[N,D]; opset 13. docs/PYTORCH.md has programs that read both.",
	.operands = "SHARD|RUN|FILE.safetensors",
	.operand_help = "shards, or manifests of sets; for torchvision and onnx one run's folder or file of weights",
	.operand_min = 1,
	.operand_max = OPTIONS_ANY,
	.examples = "ringclr export train.ring --to webdataset --shard-size 1G -o train-wds/\n"
		    "ringclr export train.json --to folder -o train/\n"
		    "ringclr export train.ring --to mds --zstd 3 -o train-mds/\n"
		    "ringclr export run --to torchvision -o encoder.safetensors\n"
		    "ringclr export run --to onnx -o encoder.onnx\n",
};

/* ---- class folders ---- */

static bool folder_name(const struct export_job *job, const struct input_record *record, struct output_path *path)
{
	const char *class_name = input_sets_class(job->sets, record->label), *key = record->entry->key;
	if (class_name == NULL)
		return false;
	*path = output_path_of(key, (enum shard_codec)record->entry->codec, job->raw_as);
	size_t bytes = strlen(class_name);
	if (strncmp(key, class_name, bytes) != 0 || key[bytes] != '/')
		path->folder = class_name;
	return true;
}

static int add_to_folder(void *ctx, uint64_t number, const struct shard_record_in *record, struct error *err)
{
	struct export_job *job = ctx;
	struct input_record place;
	struct output_path path;
	struct output_image image;
	char name[ATOMIC_FOLDER_MAX_PATH + 1];
	input_sets_locate(job->sets, number, &place);
	folder_name(job, &place, &path);
	output_path_write(&path, name);
	int rc = output_image_make(record, job->raw_as, &image, err);
	if (rc == 0)
		rc = atomic_folder_add(job->folder, name, image.data, image.bytes, err);
	job->bytes += image.bytes;
	output_image_free(&image);
	return rc;
}

static int export_folder(struct export_job *job, struct error *err)
{
	return record_selection_walk(job->selection, job->sets, "exporting", add_to_folder, job, &job->seconds, err);
}

/* ---- all formats ---- */

static const struct export_format formats[] = {
	[TO_WEBDATASET] = {.name = export_webdataset_name, .beside = ".json", .run = export_webdataset},
	[TO_FOLDER] = {.name = folder_name, .run = export_folder},
	[TO_MDS] = {.run = export_mds},
};

static int check_names(const struct export_job *job, const struct export_format *format, struct error *err)
{
	struct output_paths paths = {.count = 0};
	int rc = 0;
	for (uint64_t i = record_selection_next(job->selection, 0); i < job->selection->records && rc == 0;
		i = record_selection_next(job->selection, i + 1)) {
		struct input_record record;
		struct output_path path;
		input_sets_locate(job->sets, i, &record);
		bool named = format->name(job, &record, &path);
		if (named)
			rc = output_paths_add(&paths, &path, err);
		if (named && rc == 0 && format->beside != NULL) {
			const struct output_path beside = output_path_beside(&path, format->beside);
			rc = output_paths_add(&paths, &beside, err);
		}
		if (!named)
			rc = error_set(err, ERROR_FORMAT,
				"the record '%.300s' has no class, so no class folder (--class '*' takes only those "
				"with "
				"one)",
				record.entry->key);
	}
	if (rc == 0)
		rc = output_paths_check(&paths, err);
	output_paths_free(&paths);
	return rc;
}

/* The names by number; what is told by a class folder's name needs none. */
static int write_classes(const struct export_job *job, struct error *err)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	if (out == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for the names of the classes");
	int rc = 0;
	for (uint32_t i = 0; i < input_sets_classes(job->sets) && rc == 0; i++) {
		const char *name = input_sets_class(job->sets, (int32_t)i);
		if (strpbrk(name, "\r\n") != NULL)
			rc = error_set(err, ERROR_FORMAT, "class %u has a line break in its name", i);
		fprintf(out, "%s\n", name);
	}
	if (fclose(out) != 0)
		rc = error_set(err, ERROR_MEMORY, "out of memory for the names of the classes");
	if (rc == 0)
		rc = atomic_folder_add(job->folder, "classes.txt", text, bytes, err);
	free(text);
	return rc;
}

static int export_run(const struct export_options *options, struct export_job *job, struct record_selection *selection,
	struct error *err)
{
	const struct export_format *format = &formats[options->to];
	int rc = record_filter_select(&options->filter, job->sets, selection, err);
	if (rc == 0 && format->name != NULL)
		rc = check_names(job, format, err);
	if (rc == 0)
		job->folder = atomic_folder_create(options->output, err);
	if (rc == 0 && job->folder == NULL)
		rc = err->code;
	if (rc == 0)
		rc = format->run(job, err);
	if (rc == 0 && options->to != TO_FOLDER)
		rc = write_classes(job, err);
	if (rc == 0)
		return atomic_folder_commit(job->folder, err);
	atomic_folder_abandon(job->folder);
	return rc;
}

static int summarize(const struct export_options *options, const struct export_job *job)
{
	fprintf(stderr, "%s: %" PRIu64 " images, %.1f MB, %.1f s\n", options->output, job->selection->count,
		(double)job->bytes * 1e-6, job->seconds);
	if (!options->json)
		return EXIT_OK;
	cJSON *object = cJSON_CreateObject();
	cJSON_AddStringToObject(object, "output", options->output);
	cJSON_AddNumberToObject(object, "records", (double)job->selection->count);
	cJSON_AddNumberToObject(object, "shards", (double)job->shards);
	cJSON_AddNumberToObject(object, "bytes", (double)job->bytes);
	cJSON_AddNumberToObject(object, "seconds", job->seconds);
	return json_print(object);
}

/* ---- weights ---- */

static int export_weights(const struct export_options *options, const char *operand, struct error *err)
{
	struct weights weights;
	struct export_result result = {0};
	char text[128];
	int rc = weights_open(&weights, operand, err);
	if (rc == 0 && options->size != 0)
		weights.about.net.size = (unsigned)options->size;
	if (rc == 0)
		rc = weights_load(&weights, options->with_head, err);
	if (rc == 0)
		rc = weights_check_numbers(&weights, err);
	if (rc == 0)
		rc = options->to == TO_ONNX ? export_onnx(&weights, options->with_head, options->output, &result, err)
					    : export_torchvision(&weights, options->output, &result, err);
	struct net_config config = weights.about.net;
	weights_close(&weights);
	if (rc != 0)
		return command_fail("export", err);
	weights_describe(&config, text, sizeof text);
	fprintf(stderr, "%s: %s, %zu tensors, %.1f MB\n", options->output, text, result.tensors,
		(double)result.bytes * 1e-6);
	if (!options->json)
		return EXIT_OK;
	cJSON *object = cJSON_CreateObject();
	cJSON_AddStringToObject(object, "output", options->output);
	weights_add_json(object, &config);
	cJSON_AddNumberToObject(object, "tensors", (double)result.tensors);
	cJSON_AddNumberToObject(object, "bytes", (double)result.bytes);
	return json_print(object);
}

static bool for_weights(const struct export_options *options)
{
	return options->to >= TO_TORCHVISION;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);
	return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* A folder is a run's: shards are files. */
static bool names_weights(const char *operand)
{
	struct stat status;
	return ends_with(operand, ".safetensors") || (stat(operand, &status) == 0 && S_ISDIR(status.st_mode));
}

/* Shards where weights are wanted, or the other way round; options of the other kind. */
static int check_kind(const struct options *given, const struct export_options *options, struct error *err)
{
	static const char *const of_shards[] = {
		"shard-size", "prefix", "zstd", "raw-as", "class", "key", "list", "limit", NULL};
	static const char *const of_onnx[] = {"with-head", "size", NULL};
	bool weights = for_weights(options);
	const char *word = options->to == TO_ONNX ? "onnx" : "torchvision";
	for (const char *const *name = of_shards; weights && *name; name++)
		if (options_given(given, *name))
			return error_set(err, ERROR_USAGE, "--%s is for shards, not for --to %s", *name, word);
	for (const char *const *name = of_onnx; options->to != TO_ONNX && *name; name++)
		if (options_given(given, *name))
			return error_set(err, ERROR_USAGE, "--%s is for --to onnx only", *name);
	for (unsigned i = 0; i < given->operand_count; i++) {
		const char *operand = given->operands[i];
		if (!weights && names_weights(operand))
			return error_set(err, ERROR_USAGE,
				"%s holds weights, which go --to torchvision or --to onnx; the other formats are for "
				"shards",
				operand);
		if (weights && (ends_with(operand, ".ring") || ends_with(operand, ".json")))
			return error_set(err, ERROR_USAGE,
				"%s holds images; --to %s is for weights: a run's folder or a .safetensors file",
				operand, word);
	}
	if (weights && given->operand_count > 1)
		return error_set(err, ERROR_USAGE, "--to %s takes one run or file of weights, not %u", word,
			given->operand_count);
	return 0;
}

static int check_options(const struct options *given, const struct export_options *options, struct error *err)
{
	if (options_given(given, "zstd") && options->to != TO_MDS)
		return error_set(err, ERROR_USAGE, "--zstd is for --to mds only");
	if (options_given(given, "prefix") && options->to != TO_WEBDATASET)
		return error_set(err, ERROR_USAGE, "--prefix is for --to webdataset only");
	if (options_given(given, "shard-size") && options->to == TO_FOLDER)
		return error_set(err, ERROR_USAGE, "--shard-size is not for --to folder, which has no shards");
	if (strchr(options->prefix, '/') != NULL || *options->prefix == '\0' || strlen(options->prefix) > 200)
		return error_set(
			err, ERROR_USAGE, "--prefix %s: must be a file's name, without folders", options->prefix);
	return 0;
}

int command_export(int argc, char **argv)
{
	struct options options;
	struct export_options export = {.output = NULL};
	struct error err = {0};
	int status = options_parse(&options, &command_export_table, &export, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct record_selection selection = {.count = 0};
	struct export_job job = {.selection = &selection,
		.prefix = export.prefix,
		.raw_as = export.raw_as,
		.shard_bytes = export.shard_size != OPTION_WORD(0) ? export.shard_size
			       : export.to == TO_MDS		   ? UINT64_C(64) << 20
								   : UINT64_C(512) << 20,
		.zstd_level = (int)export.zstd};
	int rc = check_kind(&options, &export, &err);
	if (rc == 0 && for_weights(&export)) {
		status = export_weights(&export, options.operands[0], &err);
		options_free(&options);
		return status;
	}
	if (rc == 0)
		rc = check_options(&options, &export, &err);
	if (rc == 0) {
		job.sets = input_sets_open(options.operands, options.operand_count, &err);
		rc = job.sets == NULL ? err.code : export_run(&export, &job, &selection, &err);
	}
	status = rc == 0 ? summarize(&export, &job) : command_fail("export", &err);
	record_selection_free(&selection);
	input_sets_close(job.sets);
	options_free(&options);
	return status;
}
