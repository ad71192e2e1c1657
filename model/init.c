/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Initial weights (RECIPE: Networks). Each parameter draws from a stream of its own, keyed by a hash of its name: what
 * one gets does not depend on which others there are.
 *
 * Convolutions follow TensorFlow's variance_scaling (fan-in, scale 1, truncated normal): draws beyond two sigma are
 * drawn again, and sigma is divided by the deviation that truncation leaves, so that the variance is 1 / fan-in.
 */
#include "model/net_steps.h"
#include "pipeline/philox.h"

#include <math.h>
#include <string.h>

static const double TRUNCATED_DEVIATION = 0.87962566103423978;
static const double DENSE_DEVIATION = 0.01;

/* FNV-1a, 64 bits. */
static uint64_t hash_name(const char *name)
{
	uint64_t hash = 14695981039346656037u;
	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char)*name) * 1099511628211u;
	return hash;
}

static double truncated_normal(struct philox *stream)
{
	double x;
	do
		x = philox_normal(stream);
	while (fabs(x) > 2.0);
	return x;
}

static void fill(float *value, size_t count, float x)
{
	for (size_t i = 0; i < count; i++)
		value[i] = x;
}

/* The last BN of a residual block: bn2 of a basic block, bn3 of a bottleneck. */
static bool closes_block(const struct net *net, const char *name)
{
	const char *last = net->config.depth < 50 ? ".bn2.weight" : ".bn3.weight";
	size_t length = strlen(name), tail = strlen(last);
	return strncmp(name, "layer", 5) == 0 && length > tail && strcmp(name + length - tail, last) == 0;
}

void net_init(struct net *net, uint64_t seed)
{
	for (size_t i = 0; i < net->param_count; i++) {
		struct param *param = &net->params[i];
		struct philox stream = philox_stream(seed, 0, hash_name(param->name), 0, PHILOX_INIT);
		size_t fan_in = param->count / param->shape[0];
		switch (param->kind) {
		case PARAM_CONV:
			for (size_t k = 0; k < param->count; k++)
				param->value[k] =
					(float)(truncated_normal(&stream) / TRUNCATED_DEVIATION / sqrt((double)fan_in));
			break;
		case PARAM_DENSE:
			for (size_t k = 0; k < param->count; k++)
				param->value[k] = (float)(DENSE_DEVIATION * philox_normal(&stream));
			break;
		case PARAM_GAMMA:
			fill(param->value, param->count, closes_block(net, param->name) ? 0.0f : 1.0f);
			break;
		case PARAM_BETA:
		case PARAM_BIAS:
			fill(param->value, param->count, 0.0f);
			break;
		}
	}
	for (size_t i = 0; i < net->buffer_count; i++) {
		struct net_buffer *buffer = &net->buffers[i];
		fill(buffer->value, buffer->count, strstr(buffer->name, "running_var") != NULL ? 1.0f : 0.0f);
	}
}
