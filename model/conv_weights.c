/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weight gradients: dW[k][out] = sum over pixels of patch[pixel][k] dy[pixel][out].
 *
 * The batch is cut into a fixed number of splits, and the columns into groups where weights are large; each task adds
 * its own sum, from register tiles that start at zero for every few pixels. The partial sums are then added in split
 * order and turned into [out][k]. Products come from the patches, below, or from Winograd's points
 * (conv_weights_winograd.c).
 *
 * In bf16 the product takes pairs of pixels, so for each tap the patches' pixels are copied as pairs first: little work
 * beside in_c x out_c multiplications for every one of them.
 */
#include <string.h>

#include "model/conv_internal.h"

enum {
	OUTER_UNITS = 6 * 1024, /* of dy that the product keeps in the L1 cache */
	REDUCE_BLOCK = 64,	/* rows of k that one reduction task takes */
};

/* ----------------------------------------------------------------------------------------------------------- plan */

/* The product's tiles are forward's, and so is the packed source. */
static int plan_direct(struct conv *conv, struct workspace *workspace, struct arena *arena, struct error *err)
{
	const struct conv_shape *s = &conv->config.shape;
	struct conv_weights *weights = &conv->weights;
	const struct conv_tiling *tiling = &conv->forward.tiling;
	const struct conv_phase *phase = conv->forward.direct.phases;
	const unsigned unit = conv_unit(weights->element);
	size_t pixels = (size_t)tiling->images * tiling->band * tiling->width;
	weights->tiling = *tiling;
	weights->in_place = conv->forward.direct.in_place;
	weights->a_offset = arena_alloc(arena, "plan", pixels, sizeof(uint32_t), 0, err);
	weights->unit_offset = arena_alloc(arena, "plan", pixels, sizeof(uint32_t), 0, err);
	if (weights->a_offset == NULL || weights->unit_offset == NULL)
		return ERROR_MEMORY;
	for (size_t p = 0; p < pixels; p++) {
		weights->a_offset[p] = phase->a_offset[p] * unit;
		weights->unit_offset[p] = (uint32_t)(p * s->in_c);
	}
	/* The packed source; dy; and in bf16 both as pairs. */
	size_t columns = pixels * weights->group_width, bytes = conv->forward.pack_bytes;
	bytes += unit * conv_align((columns + weights->group_width) * sizeof(float) / unit);
	if (unit > 1)
		bytes += conv_align((pixels + 1) * s->in_c * sizeof(bf16));
	workspace->scratch_bytes = conv_max(workspace->scratch_bytes, bytes);
	return 0;
}

/* Small weights are split over the batch (partial sums are cheap to add), large ones rather over columns. */
int conv_weights_plan(struct conv *conv, struct workspace *workspace, struct arena *arena, struct error *err)
{
	const struct conv_shape *s = &conv->config.shape;
	struct conv_weights *weights = &conv->weights;
	const size_t partials = 4 * 1024 * 1024, columns_from = 256 * 1024;
	size_t padded = kernels_padded(workspace->kernels, s->out_c);
	size_t count = (size_t)s->kernel * s->kernel * s->in_c * padded;
	weights->path = conv->forward.path;
	weights->element = conv->forward.element;
	weights->splits = 32;
	while (weights->splits > 4 && weights->splits * count > partials)
		weights->splits /= 2;
	weights->group_width = (unsigned)padded;
	/* Each group packs the source again: as few as still make some 16 tasks with 4 splits. */
	unsigned group = count > 8 * columns_from ? 128 : 256;
	if (count > columns_from && padded > group)
		weights->group_width = group;
	int code = weights->path == CONV_WINOGRAD ? conv_weights_winograd_plan(conv, workspace, arena, err)
						  : plan_direct(conv, workspace, arena, err);
	workspace->partial_floats = conv_max(workspace->partial_floats, weights->splits * count);
	return code;
}

/* --------------------------------------------------------------------------------------------------------- direct */

float *conv_weights_partial(const struct conv_weight_sweep *sweep, size_t split)
{
	const struct conv_shape *s = &sweep->conv->config.shape;
	size_t depth = (size_t)s->kernel * s->kernel * s->in_c;
	return sweep->workspace->partials + split * depth * kernels_padded(sweep->workspace->kernels, s->out_c);
}

struct workspace_rows conv_weights_rows(const struct conv_weight_sweep *sweep, size_t split)
{
	return (struct workspace_rows){(uint32_t)((uint64_t)sweep->rows * split / sweep->splits),
		(uint32_t)((uint64_t)sweep->rows * (split + 1) / sweep->splits)};
}

/* What a task works on: columns [col, col + cols) of its split's panels. */
struct weight_part {
	unsigned col, cols;
	float *panels;
	bool add;
};

/* Adds a tile's pixels to the group's panels. dy: [pixels][stride]. */
static void product_fp32(const struct conv_weight_sweep *sweep, const float *a, const float *dy, size_t stride,
	size_t pixels, struct weight_part part)
{
	const struct conv_shape *s = &sweep->conv->config.shape;
	const struct conv_weights *weights = &sweep->conv->weights;
	const struct kernels *kernels = sweep->workspace->kernels;
	size_t run = (size_t)s->kernel * s->in_c, depth = run * s->kernel;
	struct outer_job job = {.element = ELEMENT_FP32, .b_stride = stride, .rows = run};
	for (unsigned col = 0; col < part.cols; col += job.width) {
		job.width = kernels_panel(kernels, part.cols - col);
		size_t chunk = OUTER_UNITS / job.width;
		for (size_t done = 0; done < pixels; done += chunk) {
			job.pixels = pixels - done < chunk ? pixels - done : chunk;
			job.a_offset = weights->a_offset + done;
			job.b = dy + done * stride + col;
			job.add = part.add || done > 0;
			for (unsigned ky = 0; ky < s->kernel; ky++) {
				job.a = a + (size_t)ky * weights->tiling.window.pack_w * s->in_c;
				job.c = part.panels + depth * col + ky * run * job.width;
				kernels->products->outer(&job);
			}
		}
	}
}

/* The same from pairs: dy2 [pixels / 2][stride][2]; a2 is scratch for a tap's patches, [pixels / 2][in_c][2]. */
static void product_bf16(const struct conv_weight_sweep *sweep, const bf16 *a, bf16 *a2, const bf16 *dy2, size_t stride,
	size_t pixels, struct weight_part part)
{
	const struct conv_shape *s = &sweep->conv->config.shape;
	const struct conv_weights *weights = &sweep->conv->weights;
	const struct kernels *kernels = sweep->workspace->kernels;
	size_t taps = (size_t)s->kernel * s->kernel, depth = taps * s->in_c;
	struct outer_job job = {.element = ELEMENT_BF16, .a = a2, .b_stride = stride, .rows = s->in_c};
	for (size_t tap = 0; tap < taps; tap++) {
		size_t shift = (tap / s->kernel * weights->tiling.window.pack_w + tap % s->kernel) * s->in_c;
		kernels->products->pair(a2, a + shift, weights->a_offset, 0, pixels, s->in_c, s->in_c);
		for (unsigned col = 0; col < part.cols; col += job.width) {
			job.width = kernels_panel(kernels, part.cols - col);
			job.c = part.panels + depth * col + tap * s->in_c * job.width;
			size_t units = (pixels + 1) / 2, chunk = OUTER_UNITS / job.width;
			for (size_t done = 0; done < units; done += chunk) {
				job.pixels = units - done < chunk ? units - done : chunk;
				job.a_offset = weights->unit_offset + done;
				job.b = dy2 + (done * stride + col) * 2;
				job.add = part.add || done > 0;
				kernels->products->outer(&job);
			}
		}
	}
}

static void direct_tile(
	const struct conv_weight_sweep *sweep, struct conv_place place, char *scratch, struct weight_part part)
{
	const struct conv *conv = sweep->conv;
	const struct conv_weights *weights = &conv->weights;
	const struct conv_window *window = &weights->tiling.window;
	const struct kernels *kernels = sweep->workspace->kernels;
	const struct batchnorm *bn = sweep->gradient.bn;
	const unsigned out_c = conv->config.shape.out_c, unit = conv_unit(weights->element);
	size_t pixels = (size_t)place.images * place.lines * weights->tiling.width;
	size_t stride = kernels_padded(kernels, part.cols);
	size_t dy_bytes = conv_align((pixels + 1) * stride * element_bytes(weights->element));
	const void *a = scratch;
	if (weights->in_place) {
		size_t pixel = ((size_t)place.row * window->height + place.band * window->step) * window->width;
		a = tensor_at(sweep->source.x, pixel * window->channels).data;
	} else {
		conv_pack(kernels, window, &sweep->source, scratch, place);
		scratch += conv->forward.pack_bytes;
	}
	struct tensor dy = {scratch, weights->element};
	size_t from = ((size_t)place.row * weights->tiling.lines + place.first_line) * weights->tiling.width * out_c +
		      part.col;
	if (stride > part.cols)
		memset(dy.data, 0, pixels * stride * element_bytes(dy.element));
	kernels->passes->bn_backward(dy, stride, tensor_at(sweep->gradient.x, from), tensor_at(sweep->gradient.y, from),
		out_c, (struct bn_backward){bn->mean + part.col, bn->a + part.col, bn->b + part.col, bn->c + part.col},
		pixels, part.cols);
	if (unit == 1) {
		product_fp32(sweep, a, dy.data, stride, pixels, part);
		return;
	}
	bf16 *dy2 = (bf16 *)(scratch + dy_bytes);
	kernels->products->pair(dy2, dy.data, NULL, stride, pixels, stride, stride);
	product_bf16(sweep, a, (bf16 *)(scratch + 2 * dy_bytes), dy2, stride, pixels, part);
}

static void direct_task(void *ctx, size_t task, unsigned thread)
{
	const struct conv_weight_sweep *sweep = ctx;
	const struct conv_shape *s = &sweep->conv->config.shape;
	const struct conv_weights *weights = &sweep->conv->weights;
	size_t split = task / sweep->groups, depth = (size_t)s->kernel * s->kernel * s->in_c;
	struct weight_part part = {.col = (unsigned)(task % sweep->groups) * weights->group_width};
	part.cols = s->out_c - part.col < weights->group_width ? s->out_c - part.col : weights->group_width;
	part.panels = conv_weights_partial(sweep, split) + depth * part.col;
	struct workspace_rows rows = conv_weights_rows(sweep, split);
	for (uint32_t row = rows.first; row < rows.end;) {
		unsigned images = conv_tile_images(&weights->tiling, rows.end - row);
		for (unsigned band = 0; band < weights->tiling.bands; band++) {
			direct_tile(sweep, conv_place(&weights->tiling, row, images, band),
				workspace_scratch(sweep->workspace, thread), part);
			part.add = true;
		}
		row += images;
	}
}

/* ------------------------------------------------------------------------------------------------------------ sum */

/* Adds the splits' panels in order for a block of k, and writes them as [out][k]. */
static void reduce_task(void *ctx, size_t task, unsigned thread)
{
	const struct conv_weight_sweep *sweep = ctx;
	const struct conv_shape *s = &sweep->conv->config.shape;
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

void conv_backward_weights(const struct conv *conv, struct workspace *workspace, struct conv_operand gradient,
	struct conv_operand source, float *grad, uint32_t rows)
{
	const struct conv_weights *weights = &conv->weights;
	struct conv_weight_sweep sweep = {conv, workspace, gradient, source, grad, rows,
		.splits = weights->splits < rows ? weights->splits : rows,
		.groups = (conv->config.shape.out_c + weights->group_width - 1) / weights->group_width};
	size_t depth = (size_t)conv->config.shape.kernel * conv->config.shape.kernel * conv->config.shape.in_c;
	if (weights->path == CONV_WINOGRAD)
		conv_weights_winograd(&sweep);
	else
		team_for(workspace->team, (size_t)sweep.splits * sweep.groups, direct_task, &sweep);
	team_for(workspace->team, (depth + REDUCE_BLOCK - 1) / REDUCE_BLOCK, reduce_task, &sweep);
}
