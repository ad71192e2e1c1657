/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/weights_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int weights_path(char path[WEIGHTS_PATH], const char *operand, struct error *err)
{
	struct stat status;
	const char *suffix = stat(operand, &status) == 0 && S_ISDIR(status.st_mode) ? "/checkpoint.safetensors" : "";
	if (snprintf(path, WEIGHTS_PATH, "%s%s", operand, suffix) >= WEIGHTS_PATH)
		return error_set(err, ERROR_USAGE, "%s: the path is too long", operand);
	return 0;
}

int weights_open(struct weights *weights, const char *operand, struct error *err)
{
	*weights = (struct weights){.file = NULL};
	int code = weights_path(weights->path, operand, err);
	if (code < 0)
		return code;
	weights->file = safetensors_open(weights->path, err);
	return weights->file ? checkpoint_about(weights->path, weights->file, &weights->about, err) : err->code;
}

int weights_load(struct weights *weights, bool with_head, struct error *err)
{
	struct net_config config = weights->about.net;
	if (!with_head)
		config.head = NET_HEAD_NONE;
	config.max_rows = 1;
	config.training = false;
	config.reference = true; /* it is never run */
	config.precision = PRECISION_FP32;
	weights->arena = arena_create(0, err);
	if (!weights->arena)
		return err->code;
	weights->net = net_create(weights->arena, &config, 1, err);
	return weights->net ? checkpoint_load_net(weights->path, weights->file, weights->net, err) : err->code;
}

void weights_close(struct weights *weights)
{
	safetensors_close(weights->file);
	arena_destroy(weights->arena);
	*weights = (struct weights){.file = NULL};
}

void weights_describe(const struct net_config *config, char *text, size_t capacity)
{
	snprintf(text, capacity, "ResNet-%u, width %g, %s stem", config->depth, (double)config->width,
		config->stem == NET_STEM_CIFAR ? "CIFAR" : "ImageNet");
}

static void add_colours(cJSON *object, const char *name, const float colours[3])
{
	cJSON *array = cJSON_AddArrayToObject(object, name);
	char text[32];
	for (unsigned c = 0; c < 3; c++) { /* in the few digits that the number was given with */
		snprintf(text, sizeof text, "%.7g", (double)colours[c]);
		cJSON_AddItemToArray(array, cJSON_CreateNumber(strtod(text, NULL)));
	}
}

void weights_add_json(cJSON *object, const struct net_config *config)
{
	char model[32];
	snprintf(model, sizeof model, "resnet%u", config->depth);
	cJSON_AddStringToObject(object, "model", model);
	cJSON_AddNumberToObject(object, "width", (double)config->width);
	cJSON_AddStringToObject(object, "stem", config->stem == NET_STEM_CIFAR ? "cifar" : "imagenet");
	cJSON_AddNumberToObject(object, "size", config->size);
	if (!net_normalizes(config))
		return;
	add_colours(object, "input_mean", config->input_mean);
	add_colours(object, "input_deviation", config->input_deviation);
}

static int check_values(const struct weights *weights, const char *name, const float *values, size_t count, float least,
	struct error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!isfinite(values[i]) || values[i] < least)
			return error_set(err, ERROR_NUMERIC,
				"%s: tensor '%s' holds %g at place %zu; these weights compute nothing", weights->path,
				name, (double)values[i], i);
	return 0;
}

int weights_check_numbers(const struct weights *weights, struct error *err)
{
	static const char variance[] = "running_var";
	for (size_t i = 0; i < net_param_count(weights->net); i++) {
		const struct param *param = net_param(weights->net, i);
		if (check_values(weights, param->name, param->value, param->count, -INFINITY, err) < 0)
			return err->code;
	}
	for (size_t i = 0; i < net_buffer_count(weights->net); i++) {
		const struct net_buffer *buffer = net_buffer(weights->net, i);
		float least = strstr(buffer->name, variance) != NULL ? 0 : -INFINITY;
		if (check_values(weights, buffer->name, buffer->value, buffer->count, least, err) < 0)
			return err->code;
	}
	return 0;
}
