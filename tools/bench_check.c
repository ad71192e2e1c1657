/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before anything is timed: do the chosen kernels compute what the reference does?
 *
 * A small net of the same depth, width and stem is run forward and backward twice, by the scalar reference and by the
 * kernels to be measured, from the same weights, views and gradient of z. What is drawn for it keeps rounding from
 * growing on its way, so that a bound can tell it from a mistake:
 *
 *   - gamma is nowhere zero, or most gradients would be; beta is far above zero, so that few inputs of a ReLU are so
 *     close to zero that rounding decides their gradient. When one is all the same, other draws are tried: a mistake
 *     fails them all;
 *   - every view has colours of its own: equal rows would leave BatchNorm nothing but rounding to scale up;
 *   - the gradient of z is drawn, and the loss compared for itself;
 *   - bf16 is checked without the head, whose BatchNorm over a few pooled rows magnifies rounding some 50 times.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/philox.h"
#include "tools/bench.h"

enum { CHECK_VIEWS = 4, CHECK_SIZE = 64, CHECK_DRAWS = 3 };

/* Streams of one draw's random numbers, beside those of the weights' start and of the views (0). */
enum { DRAW_WEIGHTS = 1, DRAW_COLOURS, DRAW_GRADIENT };

static void draw_weights(struct net *net, uint64_t seed)
{
	for (size_t i = 0; i < net_param_count(net); i++) {
		struct param *param = net_param(net, i);
		struct philox random = philox_stream(seed, DRAW_WEIGHTS, i, 0, PHILOX_SYNTH);
		float reach = sqrtf(3.0f * (float)param->shape[0] / (float)param->count); /* variance 1 / inputs */
		for (size_t j = 0; j < param->count; j++) {
			if (param->kind == PARAM_DENSE)
				param->value[j] = philox_uniform(&random, -reach, reach);
			else if (param->kind == PARAM_GAMMA)
				param->value[j] = philox_uniform(&random, 0.5f, 1.5f);
			else if (param->kind != PARAM_CONV)
				param->value[j] = philox_uniform(&random, 1.5f, 2.5f);
		}
	}
}

/* Shifts each view's noise to lie between two colours. */
static void draw_colours(struct bench_net *bench, unsigned size, uint64_t seed)
{
	for (uint32_t row = 0; row < bench->rows; row++) {
		struct philox random = philox_stream(seed, DRAW_COLOURS, row, 0, PHILOX_SYNTH);
		float from[3], to[3];
		for (int c = 0; c < 3; c++) {
			from[c] = philox_uniform(&random, 0.0f, 1.0f);
			to[c] = philox_uniform(&random, 0.0f, 1.0f);
		}
		float *view = bench->x + (size_t)row * size * size * 3;
		for (size_t i = 0; i < (size_t)size * size * 3; i++)
			view[i] = from[i % 3] + (to[i % 3] - from[i % 3]) * view[i];
	}
}

/* Forward, loss, and backward of a drawn gradient. */
static void run_net(struct bench_net *bench, struct team *team, const struct net_config *config, uint64_t seed,
	struct loss_result *result)
{
	draw_weights(bench->net, seed);
	draw_colours(bench, config->size, seed);
	net_forward(bench->net, team, bench->x, bench->rows, NET_TRAIN, true);
	contrastive_loss_forward_backward(bench->loss, team, net_output(bench->net), bench->rows, bench->dz, result);
	struct philox random = philox_stream(seed, DRAW_GRADIENT, 0, 0, PHILOX_SYNTH);
	for (size_t i = 0; i < (size_t)bench->rows * net_output_dim(bench->net); i++)
		bench->dz[i] = philox_uniform(&random, -1.0f, 1.0f);
	net_backward(bench->net, team, bench->dz, bench_announce_nothing, NULL);
}

/* Squares of differences, and of what they are relative to. */
struct squares {
	double difference, reference;
};

static void add_squares(struct squares *sum, const float *a, const float *reference, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		double difference = (double)a[i] - reference[i];
		sum->difference += difference * difference;
		sum->reference += (double)reference[i] * reference[i];
	}
}

/* Relative error, root mean square; not a number where one of the values is not. */
static double relative(struct squares sum)
{
	return sqrt(sum.reference > 0 ? sum.difference / sum.reference : sum.difference);
}

/* The largest error of a gradient. Gamma and beta of one BatchNorm count as one tensor: what a BatchNorm further on
 * takes out again leaves beta with a gradient of rounding alone. */
static void compare_gradients(struct bench_check *check, struct net *net, struct net *reference)
{
	size_t count = net_param_count(net);
	for (size_t i = 0; i < count; i++) {
		const struct param *param = net_param(net, i);
		struct squares sum = {0};
		add_squares(&sum, param->grad, net_param(reference, i)->grad, param->count);
		if (param->kind == PARAM_GAMMA && i + 1 < count && net_param(net, i + 1)->kind == PARAM_BETA) {
			i++;
			add_squares(&sum, net_param(net, i)->grad, net_param(reference, i)->grad, param->count);
		}
		double error = relative(sum);
		if (error <= check->gradient)
			continue;
		check->gradient = error;
		snprintf(check->worst, sizeof check->worst, "%s", param->name);
		if (isnan(error))
			return;
	}
}

/* In fp32 some ten times what was seen over depths 18 to 152, widths and sizes; Winograd's transforms cost half a
 * digit. In bf16 every layer rounds to 3 digits, and what that moves through ReLUs and BatchNorms of a few rows grows
 * with the depth: gradients are up to 0.25 off with sound kernels, 1 and more with broken ones. */
static void set_bounds(struct bench_check *check, const struct net *net, enum precision precision)
{
	bool winograd = false;
	for (size_t i = 0; i < net_layer_count(net); i++) {
		struct net_layer layer = net_layer(net, i);
		for (int pass = NET_FORWARD; pass <= NET_WEIGHT_GRADIENT; pass++)
			winograd = winograd || (layer.path[pass] && strstr(layer.path[pass], "winograd"));
	}
	bool bf16 = precision == PRECISION_BF16;
	check->z_most = bf16 ? 8e-2 : winograd ? 3e-4 : 1e-4;
	check->gradient_most = bf16 ? 0.7 : winograd ? 3e-3 : 1e-3;
}

static int compare_nets(const struct net_config *config, struct team *team, struct arena *arena, uint64_t seed,
	struct bench_check *check, struct error *err)
{
	struct net_config plain = *config;
	plain.reference = true;
	plain.precision = PRECISION_FP32;
	plain.conv = CONV_CHOICE_DIRECT;
	struct bench_net chosen, reference;
	struct loss_result result, expected;
	if (bench_net_create(&chosen, arena, config, team_threads(team), seed, err) < 0 ||
		bench_net_create(&reference, arena, &plain, team_threads(team), seed, err) < 0)
		return err->code;
	set_bounds(check, chosen.net, config->precision);
	run_net(&chosen, team, config, seed, &result);
	run_net(&reference, team, config, seed, &expected);
	struct squares z = {0};
	add_squares(&z, net_output(chosen.net), net_output(reference.net),
		(size_t)reference.rows * net_output_dim(reference.net));
	check->z = relative(z);
	check->loss = fabs(result.loss - expected.loss) / fabs(expected.loss);
	check->gradient = 0;
	compare_gradients(check, chosen.net, reference.net);
	return 0;
}

/* Written so that what is not a number fails. */
static bool passed(const struct bench_check *check)
{
	return check->loss <= check->z_most && check->z <= check->z_most && check->gradient <= check->gradient_most;
}

int bench_check_run(const struct net_config *config, struct team *team, struct bench_check *check, struct error *err)
{
	bool bf16 = config->precision == PRECISION_BF16;
	struct net_config small = *config;
	small.size = config->size < CHECK_SIZE ? config->size : CHECK_SIZE;
	small.max_rows = CHECK_VIEWS;
	if (bf16)
		small.head = NET_HEAD_NONE;
	*check = (struct bench_check){.size = small.size, .views = small.max_rows};
	for (uint64_t draw = 1; draw <= CHECK_DRAWS; draw++) {
		struct arena *arena = arena_create(0, err);
		int code = arena ? compare_nets(&small, team, arena, draw, check, err) : err->code;
		arena_destroy(arena);
		if (code < 0 || passed(check))
			return code;
	}
	return error_set(err, ERROR_MISMATCH,
		"these kernels do not compute what the reference does: loss differs by %.2g, z by %.2g (at most %.2g), "
		"the gradient of %s by %.2g (at most %.2g); choose others by --conv, --precision or --isa, or measure "
		"all the same with --no-check",
		check->loss, check->z, check->z_most, check->worst, check->gradient, check->gradient_most);
}
