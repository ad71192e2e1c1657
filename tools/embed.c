/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr embed: the features of every image of a shard, in the shard's order, as .npy. */
#include <inttypes.h>
#include <stdio.h>

#include "io/atomic_file.h"
#include "stages/encode.h"
#include "tools/command.h"
#include "tools/encoder.h"
#include "tools/json.h"
#include "tools/npy.h"
#include "tools/views_option.h"

struct embed_options {
	const char *output, *labels, *views;
	bool json;
	struct encoder_options encoder;
	struct runtime_options runtime;
};

static const struct option_spec spec[] = {
	OPTION_GROUP("Output"),
	OPTION_STRING(struct embed_options, output, "output", "FILE.npy", NULL, "float32 [images][dim]", .letter = 'o',
		.required = true),
	OPTION_STRING(struct embed_options, labels, "labels", "FILE.npy", NULL,
		"also write the labels, int32 [images]; -1: none"),
	OPTION_STRING(struct embed_options, views, "views", "TEXT", "center",
		"the one view of each image that is encoded; --seed is its random numbers'"),
	OPTION_FLAG(struct embed_options, json, "json", "no", "print the result as one JSON object"),
	ENCODER_OPTIONS(struct embed_options, encoder),
	RUNTIME_OPTIONS(struct embed_options, runtime),
};

const struct option_table command_embed_table = {
	.command = "embed",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Writes the features of every image (h, or --features; of its centre, or --views; BatchNorm in "
		 "inference "
		 "mode) in the "
		 "order of the "
		 "shard, for NumPy and "
		 "whatever reads its files.",
	.operands = "RUN|FILE.safetensors SHARD",
	.operand_help = "the encoder, then the shard; with --encoder random or pixels the shard alone will do",
	.operand_min = 1,
	.operand_max = 2,
	.notes = views_option_help,
	.examples = "ringclr embed run test.ring -o features.npy --labels labels.npy\n"
		    "ringclr embed --encoder random test.ring -o random.npy\n",
};

enum { EMBED_ROWS = 256 };

struct embed_job {
	struct embed_options options;
	struct options parsed;
	struct runtime runtime;
	struct shard_set *set;
	struct epoch_plan *plan;
	struct loader *loader;
	struct encoder encoder;
	struct atomic_file *features, *labels;
};

static int write_rows(void *ctx, uint64_t first, const struct batch *batch, const float *features, struct error *err)
{
	struct embed_job *job = ctx;
	(void)first;
	size_t bytes = (size_t)batch->images * job->encoder.dim * sizeof(float);
	int code = atomic_file_write(job->features, features, bytes, err);
	if (code == 0 && job->labels)
		code = atomic_file_write(job->labels, batch->label, batch->images * sizeof(int32_t), err);
	if (code == 0 && command_interrupted())
		code = error_set(err, ERROR_INTERRUPTED, "stopped; nothing was written");
	return code;
}

static int start_file(struct atomic_file **file, const char *path, const char *descr, unsigned dims,
	const uint64_t *shape, struct error *err)
{
	char header[NPY_HEADER_BYTES];
	npy_header(header, descr, dims, shape);
	*file = atomic_file_create(path, err);
	return *file ? atomic_file_write(*file, header, sizeof header, err) : err->code;
}

static int open_input(struct embed_job *job, struct error *err)
{
	const struct embed_options *o = &job->options;
	unsigned count = job->parsed.operand_count;
	const char *encoder = count == 2 ? job->parsed.operands[0] : NULL;
	int code = encoder_open(&job->encoder, &job->runtime, &o->encoder, encoder, EMBED_ROWS, err);
	if (code < 0)
		return code;
	job->set = runtime_open_shards(&job->runtime, &job->parsed.operands[count - 1], 1, err);
	struct epoch_plan_config plan = {.order = EPOCH_SEQUENTIAL};
	job->plan = job->set ? epoch_plan_create(job->set, &plan, err) : NULL;
	if (!job->plan)
		return err->code;
	struct loader_config config = runtime_loader_config(&job->runtime);
	config.set = job->set;
	config.plan = job->plan;
	config.batch = EMBED_ROWS;
	config.seed = o->encoder.seed;
	const struct view_defaults defaults = view_defaults_of(job->encoder.size, 1);
	if (views_option_parse(&config.policies, o->views, &defaults, 1, err) < 0)
		return err->code;
	job->loader = loader_create(job->runtime.arena, &config, err);
	if (!job->loader)
		return err->code;
	arena_seal(job->runtime.arena);
	return 0;
}

/* Gives both files their names, only when both are whole. */
static int finish_files(struct embed_job *job, struct error *err)
{
	struct atomic_file *features = job->features, *labels = job->labels;
	job->features = job->labels = NULL;
	int code = atomic_file_commit(features, err);
	if (code == 0 && labels)
		return atomic_file_commit(labels, err);
	atomic_file_abandon(labels);
	return code;
}

static int run_job(struct embed_job *job, struct error *err)
{
	const struct embed_options *o = &job->options;
	const struct command_output outputs[] = {{"--output", o->output}, {"--labels", o->labels}};
	int code = command_check_outputs(outputs, sizeof outputs / sizeof outputs[0], err);
	if (code == 0)
		code = runtime_start(&job->runtime, &o->runtime, err);
	if (code == 0)
		code = open_input(job, err);
	if (code < 0)
		return code;
	uint64_t shape[2] = {shard_set_records(job->set), job->encoder.dim};
	code = start_file(&job->features, o->output, "<f4", 2, shape, err);
	if (code == 0 && o->labels)
		code = start_file(&job->labels, o->labels, "<i4", 1, shape, err);
	if (code < 0)
		return code;
	loader_once(job->loader);
	code = encode_tap(job->loader, job->encoder.net, job->encoder.tap, job->runtime.team, job->runtime.placement,
		write_rows, job, err);
	return code < 0 ? code : finish_files(job, err);
}

static int print_result(const struct embed_job *job)
{
	uint64_t images = shard_set_records(job->set);
	if (!job->options.json) {
		command_note("embed", "%s: %" PRIu64 " x %u float32", job->options.output, images, job->encoder.dim);
		return EXIT_OK;
	}
	cJSON *result = cJSON_CreateObject();
	cJSON_AddStringToObject(result, "output", job->options.output);
	cJSON_AddNumberToObject(result, "images", (double)images);
	cJSON_AddNumberToObject(result, "dim", job->encoder.dim);
	return json_print(result);
}

int command_embed(int argc, char **argv)
{
	static struct embed_job job;
	job = (struct embed_job){0};
	int status = options_parse(&job.parsed, &command_embed_table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct error err = {0};
	status = run_job(&job, &err) < 0 ? command_fail("embed", &err) : print_result(&job);
	atomic_file_abandon(job.features);
	atomic_file_abandon(job.labels);
	loader_destroy(job.loader);
	epoch_plan_destroy(job.plan);
	shard_set_close(job.set);
	runtime_stop(&job.runtime);
	options_free(&job.parsed);
	return status;
}
