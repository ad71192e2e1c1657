/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr import: a checkpoint from weights that others trained: torchvision's, timm's, or those of a method that
 * trains torchvision's ResNets.
 *
 * The encoder is found by its names (import_names.c), its prefix taken off, numbers of 16 and 64 bits become float32,
 * shapes are held against the net's. What such weights expect of their input is not in the file: nearly all were
 * trained on images normalised by ImageNet's mean and deviation, while ringclr feeds values in [0,1]. The checkpoint's
 * net then normalises its input itself (model/net_input.c says why that cannot go into the weights), so that every
 * command that reads the checkpoint does the right thing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"
#include "tools/import_names.h"
#include "tools/json.h"
#include "tools/options.h"
#include "tools/weights_file.h"

enum { INPUT_AUTO, INPUT_IMAGENET, INPUT_UNIT };
enum { LISTED = 6 }; /* ignored tensors that are named */

struct import_options {
	const char *output, *prefix, *mean, *deviation;
	uint64_t size;
	unsigned input;
	bool json;
};

static const struct option_spec spec[] = {
	OPTION_GROUP("Output"),
	OPTION_STRING(struct import_options, output, "output", "FILE.safetensors", NULL, "the checkpoint",
		.letter = 'o', .required = true),
	OPTION_FLAG(
		struct import_options, json, "json", "no", "print a summary as one JSON object", .incidental = true),
	OPTION_GROUP("Weights"),
	OPTION_STRING(struct import_options, prefix, "prefix", "TEXT", NULL,
		"what stands before the encoder's names (module.encoder_q.); without: found, where there is one only"),
	OPTION_CHOICE(struct import_options, input, "input", "auto|imagenet|unit", "auto",
		"what images the weights were trained on. imagenet: normalised by ImageNet's mean and deviation, as "
		"for "
		"nearly all of torchvision's and timm's; the net then does that itself. unit: values in [0,1], as "
		"ringclr's "
		"and the official SimCLR's. auto: as the file says, if ringclr wrote it, else imagenet"),
	OPTION_STRING(struct import_options, mean, "mean", "R,G,B", NULL,
		"with --deviation, in place of --input: the net takes this off its images (values in [0,1]),"),
	OPTION_STRING(struct import_options, deviation, "deviation", "R,G,B", NULL, "and then divides by this"),
	OPTION_U64(struct import_options, size, "size", "PIXELS", "0", 0, 4096,
		"side of the input that the checkpoint names; 0: as the file says, or 32 for the CIFAR stem and 224 "
		"for "
		"ImageNet's"),
};

const struct option_table command_import_table = {
	.command = "import",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about =
		"Makes a checkpoint, for eval, embed, export and train --init, of a ResNet-18, 34, 50, 101 or 152 in "
		"torchvision's "
		"names: torchvision's and timm's weights, MoCo's and others'. Prefixes are taken off, float16, "
		"bfloat16 and "
		"float64 become float32; heads are left out, and listed. PyTorch's .pth files must be converted first; "
		"docs/PYTORCH.md says how.",
	.operands = "WEIGHTS.safetensors",
	.operand_help = "the weights",
	.operand_min = 1,
	.operand_max = 1,
	.examples = "ringclr import resnet50.safetensors -o encoder.safetensors\n"
		    "ringclr import moco.safetensors --prefix module.encoder_q. -o encoder.safetensors\n",
};

struct import_job {
	struct import_options options;
	struct weights weights;
	char prefix[IMPORT_PREFIX];
	char listed[512]; /* the first ignored tensors */
	size_t tensors, ignored, converted;
};

/* Before names lose their prefix: what has none, and what is behind it but no layer's. */
static void list_ignored(struct import_job *job)
{
	const struct safetensors *file = job->weights.file;
	size_t length = strlen(job->prefix), used = 0;
	for (size_t i = 0; i < safetensors_count(file); i++) {
		const char *name = safetensors_at(file, i)->name;
		if (strncmp(name, job->prefix, length) == 0 && import_in_encoder(name + length))
			continue;
		if (job->ignored++ < LISTED && used < sizeof job->listed)
			used += (size_t)snprintf(
				job->listed + used, sizeof job->listed - used, "%s%.64s", used ? ", " : "", name);
	}
}

static int choose_input(struct import_job *job, struct error *err)
{
	const struct import_options *o = &job->options;
	struct net_config *net = &job->weights.about.net;
	bool ours = safetensors_metadata(job->weights.file, "producer") != NULL &&
		    strncmp(safetensors_metadata(job->weights.file, "producer"), "ringclr ", 8) == 0;
	const char *format = safetensors_metadata(job->weights.file, "format");
	ours = ours || (format != NULL && strncmp(format, "ringclr-", 8) == 0);
	if (o->mean) {
		if (!checkpoint_parse_colours(o->mean, net->input_mean) ||
			!checkpoint_parse_colours(o->deviation, net->input_deviation) ||
			!(net->input_deviation[0] > 0) || !(net->input_deviation[1] > 0) ||
			!(net->input_deviation[2] > 0))
			return error_set(err, ERROR_USAGE,
				"--mean %s --deviation %s: three numbers each, with commas between them, the latter "
				"above 0",
				o->mean, o->deviation);
		return 0;
	}
	if (o->input == INPUT_AUTO && ours)
		return 0;
	memset(net->input_mean, 0, sizeof net->input_mean);
	memset(net->input_deviation, 0, sizeof net->input_deviation);
	if (o->input == INPUT_IMAGENET || o->input == INPUT_AUTO)
		net_normalize_imagenet(net);
	return 0;
}

/* A tensor of a layer that the net does not have would change what the layers compute. */
static int check_places(const struct import_job *job, struct error *err)
{
	const struct safetensors *file = job->weights.file;
	for (size_t i = 0; i < safetensors_count(file); i++) {
		const char *name = safetensors_at(file, i)->name;
		if (import_in_encoder(name) && !import_has_place(job->weights.net, name))
			return error_set(err, ERROR_FORMAT,
				"%s: '%s%s' has no place in ResNet-%u: this is another net (with attention, as "
				"SE-ResNet or "
				"ECA-ResNet, or with biases)",
				job->weights.path, job->prefix, name, job->weights.about.net.depth);
	}
	return 0;
}

/* Nets with a ResNet's names and other widths, which checkpoint_load_net() would only call another shape. */
static int check_widths(const struct import_job *job, struct error *err)
{
	const struct safetensors *file = job->weights.file;
	const struct safetensor *wide = safetensors_find(file, "layer1.0.conv2.weight");
	const struct safetensor *first = safetensors_find(file, "layer1.0.conv1.weight");
	if (!wide || wide->dims != 4 || first->dims != 4 || job->weights.about.net.depth < 50)
		return 0;
	if (wide->shape[1] < wide->shape[0])
		return error_set(err, ERROR_UNSUPPORTED,
			"%s: its 3x3 convolutions have groups: this is a ResNeXt, which ringclr has not",
			job->weights.path);
	const struct safetensor *stem = safetensors_find(file, "conv1.weight");
	if (stem->dims == 4 && first->shape[0] > stem->shape[0])
		return error_set(err, ERROR_UNSUPPORTED,
			"%s: only the middle of its blocks is wide: this is a Wide ResNet (wide_resnet50_2), which "
			"ringclr has not; "
			"its --width is that of all layers",
			job->weights.path);
	return 0;
}

static int import_run(struct import_job *job, const char *operand, struct error *err)
{
	const struct import_options *o = &job->options;
	struct weights *weights = &job->weights;
	if ((o->mean == NULL) != (o->deviation == NULL) || (o->mean && o->input != INPUT_AUTO))
		return error_set(err, ERROR_USAGE, "--mean and --deviation go together, and in place of --input");
	int code = weights_path(weights->path, operand, err);
	if (code == 0) {
		weights->file = safetensors_open(weights->path, err);
		code = weights->file ? import_find_prefix(job->prefix, weights->path, weights->file, o->prefix, err)
				     : err->code;
	}
	if (code < 0)
		return code;
	list_ignored(job);
	safetensors_strip(weights->file, job->prefix);
	code = safetensors_to_f32(weights->file, &job->converted, err);
	if (code == 0)
		code = checkpoint_about(weights->path, weights->file, &weights->about, err);
	if (code == 0)
		code = check_widths(job, err);
	if (code == 0)
		code = choose_input(job, err);
	if (code < 0)
		return code;
	weights->about = (struct checkpoint_about){.net = weights->about.net}; /* not in the middle of a run */
	weights->about.net.head = NET_HEAD_NONE;
	if (o->size)
		weights->about.net.size = (unsigned)o->size;
	code = weights_load(weights, false, err);
	if (code == 0)
		code = check_places(job, err);
	if (code == 0)
		code = weights_check_numbers(weights, err);
	if (code == 0)
		code = checkpoint_save(o->output, weights->net, NULL, &weights->about, err);
	job->tensors = code == 0 ? net_param_count(weights->net) + net_buffer_count(weights->net) : 0;
	return code;
}

static void tell(const struct import_job *job)
{
	const struct net_config *net = &job->weights.about.net;
	char text[128], mean[CHECKPOINT_COLOURS], deviation[CHECKPOINT_COLOURS];
	weights_describe(net, text, sizeof text);
	fprintf(stderr, "%s: %s, input of %u pixels, %zu tensors\n", job->options.output, text, net->size,
		job->tensors);
	if (*job->prefix)
		fprintf(stderr, "taken off the names: '%s'\n", job->prefix);
	if (job->converted > 0)
		fprintf(stderr, "made float32: %zu tensors\n", job->converted);
	if (job->ignored > 0)
		fprintf(stderr, "left out: %s%s (%zu in all)\n", job->listed, job->ignored > LISTED ? ", ..." : "",
			job->ignored);
	checkpoint_colours(net->input_mean, mean);
	checkpoint_colours(net->input_deviation, deviation);
	if (net_normalizes(net))
		fprintf(stderr,
			"the net takes values in [0,1] and normalises them by mean %s and deviation %s (--input unit: "
			"it does not)\n",
			mean, deviation);
	else
		fprintf(stderr, "the net takes values in [0,1] as they are\n");
}

static int print_json(const struct import_job *job)
{
	cJSON *object = cJSON_CreateObject();
	cJSON_AddStringToObject(object, "output", job->options.output);
	weights_add_json(object, &job->weights.about.net);
	cJSON_AddNumberToObject(object, "tensors", (double)job->tensors);
	cJSON_AddStringToObject(object, "prefix", job->prefix);
	cJSON_AddNumberToObject(object, "converted", (double)job->converted);
	cJSON_AddNumberToObject(object, "ignored", (double)job->ignored);
	return json_print(object);
}

int command_import(int argc, char **argv)
{
	static struct import_job job;
	struct options parsed;
	struct error err = {0};
	job = (struct import_job){0};
	int status = options_parse(&parsed, &command_import_table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	status = EXIT_OK;
	if (import_run(&job, parsed.operands[0], &err) < 0) {
		status = command_fail("import", &err);
	} else {
		tell(&job);
		if (job.options.json)
			status = print_json(&job);
	}
	weights_close(&job.weights);
	options_free(&parsed);
	return status;
}
