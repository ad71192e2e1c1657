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
	struct tensor out = tensor_at(step->out->data, at), in = tensor_at(step->in->data, at);
	if (skip == NULL)
		kernels->passes->bn_relu(out, in, bn, pixels, channels);
	else if (skip->bn == NULL)
		kernels->passes->join(out, in, bn, tensor_at(skip->data, at), pixels, channels);
	else
		kernels->passes->join2(
			out, in, bn, tensor_at(skip->data, at), batchnorm_forward(skip->bn), pixels, channels);
}

/* Pointers to the pixels under the window of output pixel (y, x); their number. */
static size_t window(const struct value *in, struct tensor image, unsigned y, unsigned x, size_t offsets[POOL_TAPS],
	struct tensor taps[POOL_TAPS])
{
	size_t count = 0;
	for (unsigned iy = y == 0 ? 0 : 2 * y - 1; iy <= 2 * y + 1 && iy < in->height; iy++) {
		for (unsigned ix = x == 0 ? 0 : 2 * x - 1; ix <= 2 * x + 1 && ix < in->width; ix++) {
			offsets[count] = ((size_t)iy * in->width + ix) * in->channels;
			taps[count] = tensor_at(image, offsets[count]);
			count++;
		}
	}
	return count;
}

static void pool_max_row(const struct step *step, const struct kernels *kernels, uint32_t row)
{
	const struct value *in = step->in, *out = step->out;
	struct tensor image = tensor_at(in->data, row * pixels_of(in) * in->channels), taps[POOL_TAPS];
	struct tensor to = tensor_at(out->data, row * pixels_of(out) * out->channels);
	size_t offsets[POOL_TAPS];
	for (unsigned y = 0; y < out->height; y++) {
		for (unsigned x = 0; x < out->width; x++, to = tensor_at(to, out->channels)) {
			size_t count = window(in, image, y, x, offsets, taps);
			kernels->passes->pool_max(to, taps, count, batchnorm_forward(in->bn), out->channels);
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
			kernels->passes->pool_mean((float *)out->data.data + row * channels,
				tensor_at(in->data, row * pixels * channels), pixels, channels);
		break;
	case STEP_OUTPUT:
		kernels->passes->bn_apply(tensor_at(out->data, rows.first * channels),
			tensor_at(in->data, rows.first * channels), batchnorm_forward(in->bn), rows.end - rows.first,
			channels);
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

/* Masks and sums of the finished gradient of a value, by what made it. */
static void finish_job(const struct value *value, size_t at, struct finish_job *job)
{
	const struct step *producer = value->producer;
	if (producer->kind == STEP_CONV) {
		job->bn = batchnorm_forward(value->bn);
		job->y = tensor_at(value->data, at);
		job->mean = value->bn->mean;
	} else if (producer->kind == STEP_JOIN) {
		const struct value *in = producer->in, *skip = producer->skip;
		job->z = tensor_at(value->data, at);
		job->y = tensor_at(in->data, at);
		job->mean = in->bn->mean;
		if (skip != NULL && skip->bn != NULL) {
			job->y2 = tensor_at(skip->data, at);
			job->mean2 = skip->bn->mean;
		}
	}
}

void value_finish_tile(void *ctx, size_t task, const float *tile, size_t first, size_t pixels, float *lanes)
{
	const struct value_finish *finish = ctx;
	const struct value *value = finish->value;
	unsigned channels = value->channels;
	for (size_t done = 0; done < pixels; done += FINISH_PIXELS) {
		size_t at = (first + done) * channels;
		struct finish_job job = {
			.g = tile + done * channels,
			.dx = tensor_at(value->grad, at),
			.add = finish->add,
			.s1 = lanes,
			.s2 = lanes + channels,
			.s3 = lanes + 2 * channels,
			.pixels = pixels - done < FINISH_PIXELS ? pixels - done : FINISH_PIXELS,
			.channels = channels,
		};
		if (finish->finishes)
			finish_job(value, at, &job);
		finish->workspace->kernels->passes->finish(&job);
		if (job.y.data != NULL)
			batchnorm_add_sums(finish->workspace, task, lanes, job.y2.data != NULL ? 3 : 2, channels);
	}
}

/* The gradient of one image of a max-pool's input, into scratch. */
static void pool_max_row_backward(const struct step *step, const struct kernels *kernels, uint32_t row, float *dx)
{
	const struct value *in = step->in, *out = step->out;
	size_t in_floats = pixels_of(in) * in->channels, offsets[POOL_TAPS];
	struct tensor image = tensor_at(in->data, row * in_floats), taps[POOL_TAPS];
	struct tensor g = tensor_at(out->grad, row * pixels_of(out) * out->channels);
	float *gtaps[POOL_TAPS];
	memset(dx, 0, in_floats * sizeof(float));
	for (unsigned y = 0; y < out->height; y++) {
		for (unsigned x = 0; x < out->width; x++, g = tensor_at(g, out->channels)) {
			size_t count = window(in, image, y, x, offsets, taps);
			for (size_t t = 0; t < count; t++)
				gtaps[t] = dx + offsets[t];
			kernels->passes->pool_max_backward(
				gtaps, taps, count, g, batchnorm_forward(in->bn), out->channels);
		}
	}
}

size_t pool_step_scratch(const struct step *step)
{
	return (pixels_of(step->in) + 3) * step->in->channels * sizeof(float);
}

static void backward_task(void *ctx, size_t task, unsigned thread)
{
	const struct pool_sweep *sweep = ctx;
	const struct step *step = sweep->step;
	const struct kernels *kernels = sweep->workspace->kernels;
	struct workspace_rows rows = workspace_task(&sweep->split, task);
	const struct value *in = step->in, *out = step->out;
	size_t channels = in->channels, pixels = pixels_of(in);
	struct value_finish finish = {in, sweep->workspace, .add = false, .finishes = true};
	float *lanes = workspace_scratch(sweep->workspace, thread), *dx = lanes + 3 * channels;
	batchnorm_clear(sweep->workspace, task, in->channels);
	for (uint32_t row = rows.first; row < rows.end; row++) {
		if (step->kind == STEP_POOL_MAX)
			pool_max_row_backward(step, kernels, row, dx);
		else
			kernels->passes->pool_mean_backward(
				dx, (const float *)out->grad.data + row * channels, pixels, channels);
		value_finish_tile(&finish, task, dx, row * pixels, pixels, lanes);
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
	struct finish_job job = {
		.g = sweep->dz + at,
		.dx = tensor_at(in->grad, at),
		.y = tensor_at(in->data, at),
		.mean = in->bn->mean,
		.s1 = lanes,
		.s2 = lanes + channels,
		.pixels = n,
		.channels = channels,
	};
	batchnorm_clear(sweep->workspace, task, in->channels);
	sweep->workspace->kernels->passes->finish(&job);
	batchnorm_add_sums(sweep->workspace, task, lanes, 2, in->channels);
}

size_t output_step_backward(const struct step *step, struct workspace *workspace, const float *dz, uint32_t rows)
{
	struct pool_sweep sweep = {step, workspace, workspace_split(rows, 1), dz};
	team_for(workspace->team, sweep.split.tasks, output_task, &sweep);
	return sweep.split.tasks;
}
