/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax regression by SGD with Nesterov momentum: the linear evaluation's classifier. */
#include "model/probe_internal.h"

#include <stdlib.h>

#include "model/optimizer.h"

struct probe_sgd {
	size_t count; /* of weights and bias: classes * (dim + 1) */
	struct softmax *softmax;
	float *weights; /* [classes][dim], then the bias [classes] */
	float *grad;
	float *momentum;
	double *wide; /* the weights in float64, as they are multiplied */
	double *sum;  /* the gradient, likewise */
};

struct probe_sgd *probe_sgd_create(struct arena *arena, unsigned dim, unsigned classes, struct error *err)
{
	struct probe_sgd *probe = probe_alloc(arena, 1, sizeof *probe, err);
	if (!probe)
		return NULL;
	probe->count = (size_t)classes * ((size_t)dim + 1);
	probe->softmax = softmax_create_in(arena, dim, classes, err);
	probe->weights = probe_alloc(arena, probe->count, sizeof(float), err);
	probe->grad = probe_alloc(arena, probe->count, sizeof(float), err);
	probe->momentum = probe_alloc(arena, probe->count, sizeof(float), err);
	probe->wide = probe_alloc(arena, probe->count, sizeof(double), err);
	probe->sum = probe_alloc(arena, probe->count, sizeof(double), err);
	if (probe->softmax && probe->weights && probe->grad && probe->momentum && probe->wide && probe->sum)
		return probe;
	if (!arena)
		probe_sgd_destroy(probe);
	return NULL;
}

void probe_sgd_destroy(struct probe_sgd *probe)
{
	if (!probe)
		return;
	softmax_destroy(probe->softmax);
	free(probe->weights);
	free(probe->grad);
	free(probe->momentum);
	free(probe->wide);
	free(probe->sum);
	free(probe);
}

static const double *widen(struct probe_sgd *probe)
{
	for (size_t i = 0; i < probe->count; i++)
		probe->wide[i] = (double)probe->weights[i];
	return probe->wide;
}

double probe_sgd_step(struct probe_sgd *probe, struct team *team, const struct probe_data *batch, double rate)
{
	double loss = softmax_gradient(probe->softmax, team, batch, widen(probe), probe->sum);
	for (size_t i = 0; i < probe->count; i++)
		probe->grad[i] = (float)probe->sum[i];
	const struct optimizer_config config = {.kind = OPTIMIZER_SGD, .momentum = 0.9};
	const struct optimizer_tensor tensor = {
		.value = probe->weights, .grad = probe->grad, .first = probe->momentum, .count = probe->count};
	optimizer_update(&config, &tensor, rate, 0);
	return loss;
}

void probe_sgd_score(
	struct probe_sgd *probe, struct team *team, const struct probe_data *test, struct probe_score *score)
{
	softmax_score(probe->softmax, team, test, widen(probe), score);
}

struct probe_sgd_state probe_sgd_state(struct probe_sgd *probe)
{
	return (struct probe_sgd_state){
		.weight = probe->weights,
		.bias = probe->weights + softmax_ridged_count(probe->softmax),
		.momentum = probe->momentum,
	};
}
