/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gradients of a convolution (conv.c has the layout and the forward sweep).
 *
 * Data: input pixels are sorted by their residue modulo the stride. The pixels of one residue see a fixed subset of the
 * kernel's taps, and neighbours in that class see neighbours in dy: a stride-1 convolution of dy with those taps. So
 * each class is the same product as forward, from a copy of dy with a zero border, written to every stride-th pixel.
 * Tasks own whole images: no two write the same pixel.
 *
 * Weights: dW[k][out] = sum over pixels of patch[pixel][k] dy[pixel][out]. The batch is cut into a fixed number of
 * splits, and the columns into groups where weights are large; each task adds its own sum, from register tiles that
 * start at zero for every few pixels. The partial sums are then added in split order and turned into [out][k].
 */
#include "model/conv.h"

#include <string.h>

enum {
	OUTER_FLOATS = 6 * 1024, /* of dy that the weight product keeps in the L1 cache */
	REDUCE_BLOCK = 64,	 /* rows of k that one reduction task takes */
};

/* --------------------------------------------------------------------------------------------------- data gradient */

struct data_sweep {
	const struct conv *conv;
	struct workspace *workspace;
	struct workspace_split split;
	struct conv_gradient gradient;
	const float *weights; /* [out_c][kernel][kernel][in_c] */
	float *dx;
	bool add;
	conv_epilogue *epilogue;
	void *epilogue_ctx;
};

/* Packs tap number `task`, counted over the phases in turn: [panel of in_c][tap of the phase, out_c][width]. */
static void pack_tap(void *ctx, size_t task, unsigned thread)
{
	const struct data_sweep *sweep = ctx;
	const struct conv_shape *s = &sweep->conv->shape;
	const struct conv_phase *phase = sweep->conv->phases;
	const struct kernels *kernels = sweep->workspace->kernels;
	float *base = sweep->workspace->weights;
	size_t taps = (size_t)s->kernel * s->kernel;
	unsigned width;
	(void)thread;
	for (; task >= phase->tap_count; phase++) {
		task -= phase->tap_count;
		base += phase->tap_count * s->out_c * kernels_padded(kernels, s->in_c);
	}
	for (unsigned col = 0; col < s->in_c; col += width) {
		width = kernels_panel(kernels, s->in_c - col);
		unsigned cols = s->in_c - col < width ? s->in_c - col : width;
		float *to = base + ((size_t)phase->tap_count * col + task * width) * s->out_c;
		for (size_t o = 0; o < s->out_c; o++, to += width) {
			memcpy(to, sweep->weights + (o * taps + phase->taps[task]) * s->in_c + col,
				cols * sizeof(float));
			memset(to + cols, 0, (width - cols) * sizeof(float));
		}
	}
}

/* The tile's dy with its zero border: [images][pack_h][pack_w][out_c]. */
static void pack_gradient(const struct data_sweep *sweep, float *pack, uint32_t row, unsigned images, unsigned band)
{
	const struct conv_shape *s = &sweep->conv->shape;
	const struct conv_tiling *tiling = &sweep->conv->data;
	const struct conv_gradient *gradient = &sweep->gradient;
	size_t channels = s->out_c, left = (size_t)-sweep->conv->tap_low;
	size_t columns = tiling->pack_w - left < s->out_w ? tiling->pack_w - left : s->out_w;
	size_t right = tiling->pack_w - left - columns;
	for (unsigned i = 0; i < images * tiling->pack_h; i++) {
		long y = (long)(band * tiling->band + i % tiling->pack_h) - (long)left;
		float *to = pack + (size_t)i * tiling->pack_w * channels;
		if (y < 0 || y >= (long)s->out_h) {
			memset(to, 0, tiling->pack_w * channels * sizeof(float));
			continue;
		}
		size_t from = ((size_t)(row + i / tiling->pack_h) * s->out_h + (size_t)y) * s->out_w * channels;
		memset(to, 0, left * channels * sizeof(float));
		to += left * channels;
		sweep->workspace->kernels->bn_backward(to, channels, gradient->dz + from, gradient->y + from, channels,
			batchnorm_backward(gradient->bn), columns, channels);
		memset(to + columns * channels, 0, right * channels * sizeof(float));
	}
}

static void data_tile(
	const struct data_sweep *sweep, size_t task, uint32_t row, unsigned images, unsigned band, float *scratch)
{
	const struct conv *conv = sweep->conv;
	const struct conv_shape *s = &conv->shape;
	const struct conv_tiling *tiling = &conv->data;
	const struct kernels *kernels = sweep->workspace->kernels;
	unsigned first = band * tiling->band * s->stride;
	unsigned lines = s->in_h - first < tiling->band * s->stride ? s->in_h - first : tiling->band * s->stride;
	size_t pixel = ((size_t)row * s->in_h + first) * s->in_w, pixels = (size_t)images * lines * s->in_w;
	float *dx = sweep->dx + pixel * s->in_c;
	const float *packed = sweep->workspace->weights;
	pack_gradient(sweep, scratch, row, images, band);
	if (!sweep->add && s->kernel < s->stride)
		memset(dx, 0, pixels * s->in_c * sizeof(float)); /* pixels that no tap reaches */
	for (unsigned i = 0; i < s->stride * s->stride; i++) {
		const struct conv_phase *phase = &conv->phases[i];
		size_t depth = (size_t)phase->tap_count * s->out_c;
		const float *weights = packed;
		packed += depth * kernels_padded(kernels, s->in_c);
		if (phase->tap_count == 0 || lines <= phase->y || s->in_w <= phase->x)
			continue;
		unsigned phase_lines = (lines - phase->y + s->stride - 1) / s->stride;
		unsigned phase_cols = (s->in_w - phase->x + s->stride - 1) / s->stride;
		struct gemm_job job = {
			.a = scratch,
			.a_offset = phase->a_offset,
			.c = dx,
			.c_offset = phase->c_offset,
			.rows = (size_t)images * phase_lines * phase_cols,
			.add = sweep->add,
		};
		conv_product(kernels, &job, phase->segments, phase->segment_count, weights, depth, s->in_c);
	}
	if (sweep->epilogue != NULL)
		sweep->epilogue(sweep->epilogue_ctx, task, dx, pixel, pixels, scratch + tiling->pack_floats);
}

static void data_task(void *ctx, size_t task, unsigned thread)
{
	const struct data_sweep *sweep = ctx;
	const struct conv_tiling *tiling = &sweep->conv->data;
	struct workspace_rows rows = workspace_task(&sweep->split, task);
	float *scratch = workspace_scratch(sweep->workspace, thread);
	batchnorm_clear(sweep->workspace, task, sweep->conv->shape.in_c);
	for (uint32_t row = rows.first; row < rows.end;) {
		unsigned images = conv_tile_images(tiling, rows.end - row);
		for (unsigned band = 0; band < tiling->bands; band++)
			data_tile(sweep, task, row, images, band, scratch);
		row += images;
	}
}

size_t conv_backward_data(const struct conv *conv, struct workspace *workspace, struct conv_gradient gradient,
	const float *weights, float *dx, bool add, uint32_t rows, conv_epilogue *epilogue, void *ctx)
{
	struct data_sweep sweep = {
		conv, workspace, workspace_split(rows, conv->data.images), gradient, weights, dx, add, epilogue, ctx};
	team_for(workspace->team, (size_t)conv->shape.kernel * conv->shape.kernel, pack_tap, &sweep);
	team_for(workspace->team, sweep.split.tasks, data_task, &sweep);
	return sweep.split.tasks;
}

/* ------------------------------------------------------------------------------------------------- weight gradient */

struct weight_sweep {
	const struct conv *conv;
	struct workspace *workspace;
	struct conv_gradient gradient;
	struct conv_source source;
	float *grad;
	uint32_t rows;
	unsigned splits, groups;
};

/* Adds a tile's pixels to the group's panels. dy: [pixels][stride]. */
static void weight_product(const struct weight_sweep *sweep, const float *a, const float *dy, size_t stride,
	size_t pixels, unsigned cols, float *partial, bool add)
{
	const struct conv *conv = sweep->conv;
	const struct conv_shape *s = &conv->shape;
	const struct kernels *kernels = sweep->workspace->kernels;
	size_t run = (size_t)s->kernel * s->in_c, depth = run * s->kernel;
	struct outer_job job = {.b_stride = stride, .rows = run};
	for (unsigned col = 0; col < cols; col += job.width) {
		job.width = kernels_panel(kernels, cols - col);
		size_t chunk = OUTER_FLOATS / job.width;
		for (size_t done = 0; done < pixels; done += chunk) {
			job.pixels = pixels - done < chunk ? pixels - done : chunk;
			job.a_offset = conv->a_offset + done;
			job.b = dy + done * stride + col;
			job.add = add || done > 0;
			for (unsigned ky = 0; ky < s->kernel; ky++) {
				job.a = a + (size_t)ky * conv->forward.pack_w * s->in_c;
				job.c = partial + depth * col + ky * run * job.width;
				kernels->outer(&job);
			}
		}
	}
}

static void weight_tile(const struct weight_sweep *sweep, uint32_t row, unsigned images, unsigned band, unsigned col,
	unsigned cols, float *scratch, float *partial, bool add)
{
	const struct conv *conv = sweep->conv;
	const struct conv_shape *s = &conv->shape;
	const struct conv_tiling *tiling = &conv->forward;
	const struct kernels *kernels = sweep->workspace->kernels;
	unsigned first = band * tiling->band;
	unsigned lines = s->out_h - first < tiling->band ? s->out_h - first : tiling->band;
	size_t pixels = (size_t)images * lines * s->out_w, stride = kernels_padded(kernels, cols);
	const float *a = scratch;
	float *dy = scratch + (tiling->pack_floats + 15) / 16 * 16;
	if (conv->direct)
		a = sweep->source.data + ((size_t)row * s->in_h + first * s->stride) * s->in_w * s->in_c;
	else
		conv_pack_source(conv, kernels, sweep->source, scratch, row, images, band);
	size_t from = ((size_t)row * s->out_h + first) * s->out_w * s->out_c + col;
	if (stride > cols)
		memset(dy, 0, pixels * stride * sizeof(float));
	kernels->bn_backward(dy, stride, sweep->gradient.dz + from, sweep->gradient.y + from, s->out_c,
		(struct bn_backward){sweep->gradient.bn->mean + col, sweep->gradient.bn->a + col,
			sweep->gradient.bn->b + col, sweep->gradient.bn->c + col},
		pixels, cols);
	weight_product(sweep, a, dy, stride, pixels, cols, partial, add);
}

static void weight_task(void *ctx, size_t task, unsigned thread)
{
	const struct weight_sweep *sweep = ctx;
	const struct conv *conv = sweep->conv;
	const struct conv_shape *s = &conv->shape;
	size_t split = task / sweep->groups, depth = (size_t)s->kernel * s->kernel * s->in_c;
	unsigned col = (unsigned)(task % sweep->groups) * conv->group_width;
	unsigned cols = s->out_c - col < conv->group_width ? s->out_c - col : conv->group_width;
	float *partial = sweep->workspace->partials +
			 depth * (split * kernels_padded(sweep->workspace->kernels, s->out_c) + col);
	uint32_t first = (uint32_t)((uint64_t)sweep->rows * split / sweep->splits);
	uint32_t end = (uint32_t)((uint64_t)sweep->rows * (split + 1) / sweep->splits);
	float *scratch = workspace_scratch(sweep->workspace, thread);
	for (uint32_t row = first; row < end;) {
		unsigned images = conv_tile_images(&conv->forward, end - row);
		for (unsigned band = 0; band < conv->forward.bands; band++)
			weight_tile(sweep, row, images, band, col, cols, scratch, partial, row > first || band > 0);
		row += images;
	}
}

/* Adds the splits' panels in order for a block of k, and writes them as [out][k]. */
static void weight_reduce(void *ctx, size_t task, unsigned thread)
{
	const struct weight_sweep *sweep = ctx;
	const struct conv_shape *s = &sweep->conv->shape;
	const struct kernels *kernels = sweep->workspace->kernels;
	size_t depth = (size_t)s->kernel * s->kernel * s->in_c, first = task * REDUCE_BLOCK;
	size_t rows = depth - first < REDUCE_BLOCK ? depth - first : REDUCE_BLOCK;
	size_t split_floats = depth * kernels_padded(kernels, s->out_c);
	float sum[REDUCE_BLOCK * 64];
	unsigned width;
	(void)thread;
	for (unsigned col = 0; col < s->out_c; col += width) {
		width = kernels_panel(kernels, s->out_c - col);
		const float *from = sweep->workspace->partials + depth * col + first * width;
		memcpy(sum, from, rows * width * sizeof(float));
		for (unsigned split = 1; split < sweep->splits; split++) {
			from += split_floats;
			for (size_t i = 0; i < rows * width; i++)
				sum[i] += from[i];
		}
		for (unsigned o = 0; o < width && col + o < s->out_c; o++) {
			for (size_t k = 0; k < rows; k++)
				sweep->grad[(col + o) * depth + first + k] = sum[k * width + o];
		}
	}
}

void conv_backward_weights(const struct conv *conv, struct workspace *workspace, struct conv_gradient gradient,
	struct conv_source source, float *grad, uint32_t rows)
{
	struct weight_sweep sweep = {conv, workspace, gradient, source, grad, rows,
		.splits = conv->splits < rows ? conv->splits : rows,
		.groups = (conv->shape.out_c + conv->group_width - 1) / conv->group_width};
	size_t depth = (size_t)conv->shape.kernel * conv->shape.kernel * conv->shape.in_c;
	team_for(workspace->team, (size_t)sweep.splits * sweep.groups, weight_task, &sweep);
	team_for(workspace->team, (depth + REDUCE_BLOCK - 1) / REDUCE_BLOCK, weight_reduce, &sweep);
}
