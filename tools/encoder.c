/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/encoder.h"

#include <stdio.h>
#include <xxhash.h>

#include "stages/checkpoint.h"
#include "tools/model_options.h"
#include "tools/weights_file.h"

static int open_file(struct encoder *encoder, const char *path, struct checkpoint_about *about,
	struct safetensors **file, struct error *err)
{
	int code = weights_path(encoder->source, path, err);
	if (code < 0)
		return code;
	*file = safetensors_open(encoder->source, err);
	return *file ? checkpoint_about(encoder->source, *file, about, err) : err->code;
}

static int create_net(struct encoder *encoder, struct runtime *runtime, const struct encoder_options *options,
	struct checkpoint_about *about, uint32_t max_rows, struct error *err)
{
	struct net_config *config = &about->net;
	enum net_tap tap = (enum net_tap)options->features;
	if (config->depth == 0) {
		config->head = NET_HEAD_MLP2;
		config->width = (float)options->width;
		config->size = 32;
		if (net_parse_model(options->model, &config->depth, err) < 0)
			return err->code;
	}
	if (options->size)
		config->size = (unsigned)options->size;
	if (tap == NET_TAP_H)
		config->head = NET_HEAD_NONE;
	config->max_rows = max_rows;
	config->training = false;
	config->isa = runtime->isa;
	if (options->precision > 0)
		config->precision = model_precision(options->precision - 1, runtime->isa);
	if (options->conv > 0)
		config->conv = (enum conv_choice)(options->conv - 1);
	encoder->net = net_create(runtime->arena, config, team_threads(runtime->team), err);
	if (!encoder->net)
		return err->code;
	encoder->size = config->size;
	encoder->tap = tap;
	encoder->dim = net_tap_dim(encoder->net, tap);
	if (encoder->dim > 0)
		return 0;
	if (net_is_classifier(config->head))
		return error_set(err, ERROR_MISMATCH,
			"%s: was trained as a classifier and has no projection head; evaluate --features h",
			encoder->source);
	return error_set(err, ERROR_MISMATCH, "%s: %s; evaluate --features h%s", encoder->source,
		config->head == NET_HEAD_NONE ? "has no projection head"
					      : "its projection head is one layer, with none hidden in it",
		config->head == NET_HEAD_NONE ? "" : " or z");
}

int encoder_open(struct encoder *encoder, struct runtime *runtime, const struct encoder_options *options,
	const char *path, uint32_t max_rows, struct error *err)
{
	*encoder = (struct encoder){0};
	struct checkpoint_about about = {0};
	struct safetensors *file = NULL;
	int code = 0;
	if (!path && options->kind == ENCODER_TRAINED)
		return error_set(err, ERROR_USAGE,
			"name a run or a .safetensors file, or give --encoder random or --encoder pixels");
	if (options->kind == ENCODER_PIXELS && options->features != NET_TAP_H)
		return error_set(err, ERROR_USAGE, "--encoder pixels has no projection head to look at");
	if (path)
		code = open_file(encoder, path, &about, &file, err);
	if (code == 0 && options->kind != ENCODER_PIXELS)
		code = create_net(encoder, runtime, options, &about, max_rows, err);
	if (code < 0)
		goto out;
	if (options->kind == ENCODER_TRAINED) {
		code = checkpoint_load_net(encoder->source, file, encoder->net, err);
	} else if (options->kind == ENCODER_RANDOM) {
		net_init(encoder->net, options->seed);
		snprintf(encoder->source, sizeof encoder->source, "random");
	} else {
		encoder->size = options->size ? (unsigned)options->size : about.net.size ? about.net.size : 32;
		encoder->dim = 3 * encoder->size * encoder->size;
		snprintf(encoder->source, sizeof encoder->source, "pixels");
	}
out:
	safetensors_close(file);
	return code;
}

uint64_t encoder_hash(const struct encoder *encoder)
{
	XXH64_hash_t hash = 0;
	for (size_t i = 0; encoder->net && i < net_param_count(encoder->net); i++) {
		const struct param *param = net_param(encoder->net, i);
		hash = XXH3_64bits_withSeed(param->value, param->count * sizeof(float), hash);
	}
	for (size_t i = 0; encoder->net && i < net_buffer_count(encoder->net); i++) {
		const struct net_buffer *buffer = net_buffer(encoder->net, i);
		hash = XXH3_64bits_withSeed(buffer->value, buffer->count * sizeof(float), hash);
	}
	return hash;
}
