/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LARS, SGD with Nesterov momentum and Adam, one tensor at a time.
 *
 * Values, gradients and state are float32, as are the updates; norms are summed in float64 in LANES interleaved sums,
 * whose order depends on the tensor's size alone. LARS needs the norm of the decayed gradient before it can move
 * anything, so it is two passes; the others are one.
 */
#include "model/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LANES = 8 };

static const double adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8;

struct optimizer {
	struct optimizer_config config;
	struct net *net;
	size_t count;
	struct optimizer_tensor *tensor; /* [count], by parameter index */
};

struct norms {
	double value, grad;
};

static double lane_sum(const double lane[LANES])
{
	double sum = 0;
	for (unsigned l = 0; l < LANES; l++)
		sum += lane[l];
	return sum;
}

/* grad += decay * value, and the norms of both afterwards. */
static struct norms decay_and_norms(float *restrict grad, const float *restrict value, size_t count, float decay)
{
	double value_lane[LANES] = {0}, grad_lane[LANES] = {0};
	size_t whole = count - count % LANES;
	for (size_t i = 0; i < whole; i += LANES)
		for (unsigned l = 0; l < LANES; l++) {
			float w = value[i + l], g = grad[i + l] + decay * w;
			grad[i + l] = g;
			value_lane[l] += (double)w * (double)w;
			grad_lane[l] += (double)g * (double)g;
		}
	for (size_t i = whole; i < count; i++) {
		float w = value[i], g = grad[i] + decay * w;
		grad[i] = g;
		value_lane[i - whole] += (double)w * (double)w;
		grad_lane[i - whole] += (double)g * (double)g;
	}
	return (struct norms){sqrt(lane_sum(value_lane)), sqrt(lane_sum(grad_lane))};
}

static void update_lars(const struct optimizer_config *config, const struct optimizer_tensor *tensor, double rate)
{
	float *restrict value = tensor->value, *restrict grad = tensor->grad, *restrict velocity = tensor->first;
	double trust = 1;
	if (tensor->adapt) {
		struct norms norm = decay_and_norms(grad, value, tensor->count, (float)config->weight_decay);
		if (norm.value > 0 && norm.grad > 0)
			trust = config->trust * norm.value / norm.grad;
	}
	float momentum = (float)config->momentum, scale = (float)(rate * trust);
	for (size_t i = 0; i < tensor->count; i++) {
		velocity[i] = momentum * velocity[i] + scale * grad[i];
		value[i] -= velocity[i];
	}
}

static void update_sgd(const struct optimizer_config *config, const struct optimizer_tensor *tensor, double rate)
{
	float *restrict value = tensor->value, *restrict velocity = tensor->first;
	const float *restrict grad = tensor->grad;
	float decay = tensor->adapt ? (float)config->weight_decay : 0.0f;
	float momentum = (float)config->momentum, scale = (float)rate;
	for (size_t i = 0; i < tensor->count; i++) {
		float g = grad[i] + decay * value[i];
		velocity[i] = momentum * velocity[i] + g;
		value[i] -= scale * (g + momentum * velocity[i]);
	}
}

static void update_adam(
	const struct optimizer_config *config, const struct optimizer_tensor *tensor, double rate, uint64_t step)
{
	float *restrict value = tensor->value, *restrict first = tensor->first, *restrict second = tensor->second;
	const float *restrict grad = tensor->grad;
	double t = (double)step + 1;
	/* The moments' bias corrections, moved out of the loop. */
	float scale = (float)(rate / (1 - pow(adam_beta1, t)));
	float root_scale = (float)(1 / sqrt(1 - pow(adam_beta2, t)));
	float decay = tensor->adapt ? (float)config->weight_decay : 0.0f, epsilon = (float)adam_epsilon;
	float keep1 = (float)adam_beta1, keep2 = (float)adam_beta2;
	float take1 = (float)(1 - adam_beta1), take2 = (float)(1 - adam_beta2);
	for (size_t i = 0; i < tensor->count; i++) {
		float g = grad[i] + decay * value[i];
		first[i] = keep1 * first[i] + take1 * g;
		second[i] = keep2 * second[i] + take2 * (g * g);
		value[i] -= scale * first[i] / (sqrtf(second[i]) * root_scale + epsilon);
	}
}

void optimizer_update(
	const struct optimizer_config *config, const struct optimizer_tensor *tensor, double rate, uint64_t step)
{
	switch (config->kind) {
	case OPTIMIZER_LARS:
		update_lars(config, tensor, rate);
		break;
	case OPTIMIZER_SGD:
		update_sgd(config, tensor, rate);
		break;
	case OPTIMIZER_ADAM:
		update_adam(config, tensor, rate, step);
		break;
	}
}

struct optimizer *optimizer_create(
	struct arena *arena, struct net *net, const struct optimizer_config *config, struct error *err)
{
	static const char class_name[] = "optimizer";
	struct optimizer *optimizer = arena_alloc(arena, class_name, 1, sizeof *optimizer, 0, err);
	if (!optimizer)
		return NULL;
	*optimizer = (struct optimizer){.config = *config, .net = net, .count = net_param_count(net)};
	optimizer->tensor = arena_alloc(arena, class_name, optimizer->count, sizeof(struct optimizer_tensor), 0, err);
	if (!optimizer->tensor)
		return NULL;
	for (size_t i = 0; i < optimizer->count; i++) {
		const struct param *param = net_param(net, i);
		struct optimizer_tensor *tensor = &optimizer->tensor[i];
		*tensor = (struct optimizer_tensor){
			.value = param->value, .grad = param->grad, .count = param->count, .adapt = param->dims > 1};
		tensor->first = arena_alloc(arena, class_name, param->count, sizeof(float), 0, err);
		if (!tensor->first)
			return NULL;
		if (config->kind != OPTIMIZER_ADAM)
			continue;
		tensor->second = arena_alloc(arena, class_name, param->count, sizeof(float), 0, err);
		if (!tensor->second)
			return NULL;
	}
	return optimizer;
}

void optimizer_apply(struct optimizer *optimizer, size_t param_index, double rate, uint64_t step)
{
	optimizer_update(&optimizer->config, &optimizer->tensor[param_index], rate, step);
}

size_t optimizer_state_count(const struct optimizer *optimizer)
{
	return optimizer->config.kind == OPTIMIZER_ADAM ? 2 * optimizer->count : optimizer->count;
}

void optimizer_state(struct optimizer *optimizer, size_t index, char name[96], float **value, size_t *count)
{
	bool adam = optimizer->config.kind == OPTIMIZER_ADAM, second = adam && index % 2 == 1;
	size_t i = adam ? index / 2 : index;
	const char *prefix = !adam ? "momentum" : second ? "adam_v" : "adam_m";
	snprintf(name, 96, "%s.%s", prefix, net_param(optimizer->net, i)->name);
	*value = second ? optimizer->tensor[i].second : optimizer->tensor[i].first;
	*count = optimizer->tensor[i].count;
}

int optimizer_parse(const char *text, enum optimizer_kind *kind, struct error *err)
{
	if (strcmp(text, "lars") == 0)
		*kind = OPTIMIZER_LARS;
	else if (strcmp(text, "sgd") == 0)
		*kind = OPTIMIZER_SGD;
	else if (strcmp(text, "adam") == 0)
		*kind = OPTIMIZER_ADAM;
	else
		return error_set(err, ERROR_USAGE, "optimizer '%s': use lars, sgd or adam", text);
	return 0;
}
