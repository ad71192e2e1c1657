/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps between convolutions, forward and backward: joins of residual blocks, pooling, the net's output.
 *
 * They are passes over memory, so each does all that can be done while a tile is in cache. Backward of a join is no
 * step of its own: the data gradient that completes its value's gradient also undoes its ReLU and sums for its BNs
 * (value_finish_tile).
 */
#include "model/net_steps.h"

#include <string.h>

enum {
	POOL_TAPS = 9,
	FINISH_PIXELS = 256, /* pixels summed in float */
};

struct pool_sweep {
	const struct step *step;
	struct workspace *workspace;
	struct workspace_split split;
	const float *dz;
};

static size_t pixels_of(const struct value *value)
{
	return (size_t)value->height * value->width;
}

/* -------------------------------------------------------------------------------------------------------- forward */

static void join_rows(const struct step *step, const struct kernels *kernels, struct workspace_rows rows)
{
	size_t pixels = (rows.end - rows.first) * pixels_of(step->out), channels = step->out->channels;
	size_t at = rows.first * pixels_of(step->out) * channels;
	struct bn_forward bn = batchnorm_forward(step->in->bn);
	const struct value *skip = step->skip;
	float *out = step->out->data + at;
	const float *in = step->in->data + at;
	if (skip == NULL)
		kernels->bn_relu(out, in, bn, pixels, channels);
	else if (skip->bn == NULL)
		kernels->join(out, in, bn, skip->data + at, pixels, channels);
	else
		kernels->join2(out, in, bn, skip->data + at, batchnorm_forward(skip->bn), pixels, channels);
}

/* Pointers to the pixels under the window of output pixel (y, x); their number. */
static size_t window(const struct value *in, const float *image, unsigned y, unsigned x, size_t offsets[POOL_TAPS],
	const float *taps[POOL_TAPS])
{
	size_t count = 0;
	for (unsigned iy = y == 0 ? 0 : 2 * y - 1; iy <= 2 * y + 1 && iy < in->height; iy++) {
		for (unsigned ix = x == 0 ? 0 : 2 * x - 1; ix <= 2 * x + 1 && ix < in->width; ix++) {
			offsets[count] = ((size_t)iy * in->width + ix) * in->channels;
			taps[count] = image + offsets[count];
			count++;
		}
	}
	return count;
}

static void pool_max_row(const struct step *step, const struct kernels *kernels, uint32_t row)
{
	const struct value *in = step->in, *out = step->out;
	const float *image = in->data + row * pixels_of(in) * in->channels, *taps[POOL_TAPS];
	float *to = out->data + row * pixels_of(out) * out->channels;
	size_t offsets[POOL_TAPS];
	for (unsigned y = 0; y < out->height; y++) {
		for (unsigned x = 0; x < out->width; x++, to += out->channels) {
			size_t count = window(in, image, y, x, offsets, taps);
			kernels->pool_max(to, taps, count, batchnorm_forward(in->bn), out->channels);
		}
	}
}

static void forward_task(void *ctx, size_t task, unsigned thread)
{
	const struct pool_sweep *sweep = ctx;
	const struct step *step = sweep->step;
	const struct kernels *kernels = sweep->workspace->kernels;
	struct workspace_rows rows = workspace_task(&sweep->split, task);
	const struct value *in = step->in, *out = step->out;
	size_t channels = out->channels, pixels = pixels_of(in);
	(void)thread;
	switch (step->kind) {
	case STEP_JOIN:
		join_rows(step, kernels, rows);
		break;
	case STEP_POOL_MAX:
		for (uint32_t row = rows.first; row < rows.end; row++)
			pool_max_row(step, kernels, row);
		break;
	case STEP_POOL_MEAN:
		for (uint32_t row = rows.first; row < rows.end; row++)
			kernels->pool_mean(
				out->data + row * channels, in->data + row * pixels * channels, pixels, channels);
		break;
	case STEP_OUTPUT:
		kernels->bn_apply(out->data + rows.first * channels, in->data + rows.first * channels,
			batchnorm_forward(in->bn), rows.end - rows.first, channels);
		break;
	case STEP_CONV:
		break;
	}
}

void pool_step_forward(const struct step *step, struct workspace *workspace, uint32_t rows)
{
	struct pool_sweep sweep = {step, workspace, workspace_split(rows, 1), NULL};
	team_for(workspace->team, sweep.split.tasks, forward_task, &sweep);
}

/* ------------------------------------------------------------------------------------------------------- backward */

void value_finish_tile(void *ctx, size_t task, float *dx, size_t first, size_t pixels, float *lanes)
{
	const struct value_finish *finish = ctx;
	const struct value *value = finish->value;
	const struct step *producer = value->producer;
	const struct kernels *kernels = finish->workspace->kernels;
	unsigned channels = value->channels, count = 2;
	if (producer->kind != STEP_CONV && producer->kind != STEP_JOIN)
		return;
	for (size_t done = 0; done < pixels; done += FINISH_PIXELS) {
		size_t n = pixels - done < FINISH_PIXELS ? pixels - done : FINISH_PIXELS;
		size_t at = (first + done) * channels;
		float *g = dx + done * channels, *s1 = lanes, *s2 = lanes + channels, *s3 = lanes + 2 * channels;
		if (producer->kind == STEP_CONV) {
			kernels->relu_moments(s1, s2, g, value->data + at, batchnorm_forward(value->bn), n, channels);
		} else {
			const struct value *in = producer->in, *skip = producer->skip;
			bool two = skip != NULL && skip->bn != NULL;
			count = two ? 3 : 2;
			kernels->join_moments(s1, s2, s3, g, value->data + at, in->data + at, in->bn->mean,
				two ? skip->data + at : NULL, two ? skip->bn->mean : NULL, n, channels);
		}
		batchnorm_add_sums(finish->workspace, task, lanes, count, channels);
	}
}

static void pool_max_row_backward(const struct step *step, const struct kernels *kernels, uint32_t row)
{
	const struct value *in = step->in, *out = step->out;
	size_t in_floats = pixels_of(in) * in->channels, offsets[POOL_TAPS];
	const float *image = in->data + row * in_floats, *taps[POOL_TAPS];
	const float *g = out->grad + row * pixels_of(out) * out->channels;
	float *dx = in->grad + row * in_floats, *gtaps[POOL_TAPS];
	memset(dx, 0, in_floats * sizeof(float));
	for (unsigned y = 0; y < out->height; y++) {
		for (unsigned x = 0; x < out->width; x++, g += out->channels) {
			size_t count = window(in, image, y, x, offsets, taps);
			for (size_t t = 0; t < count; t++)
				gtaps[t] = dx + offsets[t];
			kernels->pool_max_backward(gtaps, taps, count, g, batchnorm_forward(in->bn), out->channels);
		}
	}
}

static void backward_task(void *ctx, size_t task, unsigned thread)
{
	const struct pool_sweep *sweep = ctx;
	const struct step *step = sweep->step;
	const struct kernels *kernels = sweep->workspace->kernels;
	struct workspace_rows rows = workspace_task(&sweep->split, task);
	const struct value *in = step->in, *out = step->out;
	size_t channels = in->channels, pixels = pixels_of(in);
	struct value_finish finish = {in, sweep->workspace};
	batchnorm_clear(sweep->workspace, task, in->channels);
	for (uint32_t row = rows.first; row < rows.end; row++) {
		float *dx = in->grad + row * pixels * channels;
		if (step->kind == STEP_POOL_MAX)
			pool_max_row_backward(step, kernels, row);
		else
			kernels->pool_mean_backward(dx, out->grad + row * channels, pixels, channels);
		value_finish_tile(&finish, task, dx, row * pixels, pixels, workspace_scratch(sweep->workspace, thread));
	}
}

size_t pool_step_backward(const struct step *step, struct workspace *workspace, uint32_t rows)
{
	struct pool_sweep sweep = {step, workspace, workspace_split(rows, 1), NULL};
	team_for(workspace->team, sweep.split.tasks, backward_task, &sweep);
	return sweep.split.tasks;
}

static void output_task(void *ctx, size_t task, unsigned thread)
{
	const struct pool_sweep *sweep = ctx;
	const struct value *in = sweep->step->in;
	struct workspace_rows rows = workspace_task(&sweep->split, task);
	size_t channels = in->channels, at = rows.first * channels, n = rows.end - rows.first;
	float *lanes = workspace_scratch(sweep->workspace, thread);
	batchnorm_clear(sweep->workspace, task, in->channels);
	memcpy(in->grad + at, sweep->dz + at, n * channels * sizeof(float));
	sweep->workspace->kernels->grad_moments(
		lanes, lanes + channels, in->grad + at, in->data + at, in->bn->mean, n, channels);
	batchnorm_add_sums(sweep->workspace, task, lanes, 2, in->channels);
}

size_t output_step_backward(const struct step *step, struct workspace *workspace, const float *dz, uint32_t rows)
{
	struct pool_sweep sweep = {step, workspace, workspace_split(rows, 1), dz};
	team_for(workspace->team, sweep.split.tasks, output_task, &sweep);
	return sweep.split.tasks;
}
