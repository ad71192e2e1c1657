/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The direct product, forward and data gradient: convolution without im2col (implicit GEMM).
 *
 * In NHWC a patch of the packed operand is, for each kernel row, one run of kernel x in_c numbers; a table gives where
 * each output pixel's patch starts. So the product reads patches in place:
 *     c[pixel][out] = sum over runs of a[pixel][k] b[k][out].
 *
 * Weights are packed per call into panels of one to four vectors of output channels, [panel][k][width], in bf16 as
 * pairs of k. The product walks a panel in blocks of k that stay in the L1 cache while all pixels of the tile pass by.
 *
 * Data gradient: input pixels are sorted by their residue modulo the stride. The pixels of one residue see a fixed
 * subset of the kernel's taps, and neighbours in that class see neighbours in dy: a stride-1 convolution of dy with
 * those taps. So each class ("phase") is the same product as forward, from a copy of dy with a zero border, written to
 * every stride-th pixel.
 */
#include <string.h>

#include "model/conv_internal.h"

enum {
	TILE_PIXELS = 128,	 /* a tile takes whole images until it has that many output pixels */
	TILE_FLOATS = 96 * 1024, /* most of a packed tile, and of its output: they share the L2 cache with a panel */
	SEGMENT = 64,		 /* longest run of k in one segment, units */
	PANEL_UNITS = 8 * 1024,	 /* a block of a panel: the L1 cache */
	PACK_BLOCK = 64,	 /* rows of k that one packing task takes */
};

/* Runs of k are cut so that blocks can be made of whole segments. */
static size_t split_run(struct gemm_segment *segments, size_t count, uint32_t offset, uint32_t length)
{
	for (uint32_t done = 0; done < length; done += SEGMENT) {
		uint32_t part = length - done < SEGMENT ? length - done : SEGMENT;
		if (segments != NULL)
			segments[count] = (struct gemm_segment){offset + done, part};
		count++;
	}
	return count;
}

/* grid: lines of the swept image, each `unit` lines of the output; a band of b needs b * stride + extra packed rows;
 * in, out: numbers of a packed row, and of an output line. */
static void plan_tiling(struct conv_tiling *tiling, unsigned grid, unsigned unit, unsigned stride, unsigned extra,
	size_t in, size_t out, unsigned pixels)
{
	struct conv_window *window = &tiling->window;
	unsigned band = grid;
	while (band > 1 && ((band * stride + extra) * in > TILE_FLOATS || band * unit * out > TILE_FLOATS))
		band--;
	tiling->bands = (grid + band - 1) / band;
	band = (grid + tiling->bands - 1) / tiling->bands;
	tiling->bands = (grid + band - 1) / band;
	window->pack_h = band * stride + extra;
	window->step = band * stride;
	tiling->band = band * unit;
	if (tiling->bands == 1)
		tiling->band = tiling->lines;
	tiling->images = 1;
	if (tiling->bands > 1)
		return;
	size_t image_in = window->pack_h * in, image_out = tiling->lines * out;
	while (tiling->images * pixels < TILE_PIXELS && (tiling->images + 1) * image_in <= TILE_FLOATS &&
		(tiling->images + 1) * image_out <= TILE_FLOATS)
		tiling->images++;
}

static int alloc_phase(
	struct conv_phase *phase, size_t taps, size_t segments, size_t pixels, struct arena *arena, struct error *err)
{
	phase->taps = arena_alloc(arena, "plan", taps, sizeof(uint16_t), 0, err);
	phase->segments = arena_alloc(arena, "plan", segments, sizeof(struct gemm_segment), 0, err);
	phase->a_offset = arena_alloc(arena, "plan", pixels, sizeof(uint32_t), 0, err);
	phase->c_offset = arena_alloc(arena, "plan", pixels, sizeof(uint32_t), 0, err);
	bool ok = phase->taps != NULL && phase->segments != NULL && phase->a_offset != NULL && phase->c_offset != NULL;
	return ok ? 0 : ERROR_MEMORY;
}

int conv_direct_plan_forward(struct conv *conv, struct arena *arena, struct error *err)
{
	const struct conv_shape *s = &conv->config.shape;
	struct conv_product *product = &conv->forward;
	struct conv_tiling *tiling = &product->tiling;
	const unsigned unit = conv_unit(product->element);
	product->direct.in_place =
		!conv->config.lazy && s->kernel == 1 && s->pad == 0 && conv->config.in == product->element;
	product->direct.phases_side = 1;
	unsigned pack_w = product->direct.in_place ? s->in_w : (s->out_w - 1) * s->stride + s->kernel;
	*tiling = (struct conv_tiling){.lines = s->out_h, .width = s->out_w, .channels = s->out_c};
	tiling->window = (struct conv_window){.height = s->in_h,
		.width = s->in_w,
		.channels = s->in_c,
		.pack_w = pack_w,
		.pack_c = s->in_c,
		.border = s->pad,
		.element = product->element};
	unsigned extra = product->direct.in_place || s->kernel < s->stride ? 0 : s->kernel - s->stride;
	plan_tiling(tiling, s->out_h, 1, s->stride, extra, (size_t)pack_w * s->in_c, (size_t)s->out_w * s->out_c,
		s->out_h * s->out_w);
	if (product->direct.in_place && tiling->bands == 1)
		tiling->window.pack_h = s->in_h; /* the distance of whole images */

	size_t pixels = (size_t)tiling->images * tiling->band * s->out_w, count = 0;
	uint32_t row = pack_w * s->in_c / unit, run = s->kernel * s->in_c / unit;
	for (unsigned ky = 0; ky < s->kernel; ky++)
		count = split_run(NULL, count, 0, run);
	struct conv_phase *phase = arena_alloc(arena, "plan", 1, sizeof *phase, 0, err);
	if (phase == NULL || alloc_phase(phase, 1, count, pixels, arena, err) < 0)
		return ERROR_MEMORY;
	product->direct.phases = phase;
	phase->tap_count = s->kernel * s->kernel;
	phase->depth = (size_t)run * s->kernel;
	for (unsigned ky = 0; ky < s->kernel; ky++)
		phase->segment_count = split_run(phase->segments, phase->segment_count, ky * row, run);
	for (size_t p = 0; p < pixels; p++) {
		size_t x = p % s->out_w, y = p / s->out_w % tiling->band, image = p / s->out_w / tiling->band;
		size_t packed_row = image * tiling->window.pack_h + y * s->stride;
		phase->a_offset[p] = (uint32_t)(packed_row * row + x * s->stride * s->in_c / unit);
		phase->c_offset[p] = (uint32_t)(p * s->out_c);
	}
	return 0;
}

/* Taps that reach input pixels of residue (y, x): oy = (iy + pad - ky) / stride must be whole. */
static int plan_phase(struct conv *conv, struct conv_phase *phase, struct arena *arena, struct error *err)
{
	const struct conv_shape *s = &conv->config.shape;
	const struct conv_product *product = &conv->data;
	const struct conv_tiling *tiling = &product->tiling;
	const int tap_low = product->direct.tap_low, stride = (int)s->stride;
	const unsigned unit = conv_unit(product->element);
	unsigned rows = (tiling->band + s->stride - 1) / s->stride,
		 cols = (s->in_w - phase->x + s->stride - 1) / s->stride;
	size_t pixels = (size_t)tiling->images * rows * cols, row = (size_t)tiling->window.pack_w * s->out_c / unit;
	uint32_t run = s->out_c / unit;
	if (alloc_phase(phase, (size_t)s->kernel * s->kernel, split_run(NULL, 0, 0, run) * s->kernel * s->kernel,
		    pixels, arena, err) < 0)
		return ERROR_MEMORY;
	for (unsigned ky = (phase->y + s->pad) % s->stride; ky < s->kernel; ky += s->stride) {
		for (unsigned kx = (phase->x + s->pad) % s->stride; kx < s->kernel; kx += s->stride) {
			int oy = ((int)(phase->y + s->pad) - (int)ky) / stride - tap_low;
			int ox = ((int)(phase->x + s->pad) - (int)kx) / stride - tap_low;
			phase->taps[phase->tap_count++] = (uint16_t)(ky * s->kernel + kx);
			phase->segment_count = split_run(phase->segments, phase->segment_count,
				(uint32_t)((size_t)oy * row + (size_t)ox * run), run);
		}
	}
	phase->depth = (size_t)phase->tap_count * run;
	/* The image's last row may be short of a residue: only whole images, and last bands, meet it. */
	unsigned image_rows = tiling->bands > 1 ? rows : (s->in_h - phase->y + s->stride - 1) / s->stride;
	size_t n = 0;
	for (unsigned image = 0; image < tiling->images; image++) {
		for (unsigned i = 0; i < image_rows; i++) {
			for (unsigned j = 0; j < cols; j++, n++) {
				size_t iy = (size_t)image * s->in_h + i * s->stride + phase->y;
				size_t packed_row = (size_t)image * tiling->window.pack_h + i;
				phase->a_offset[n] = (uint32_t)(packed_row * row + (size_t)j * run);
				phase->c_offset[n] =
					(uint32_t)((iy * s->in_w + (size_t)j * s->stride + phase->x) * s->in_c);
			}
		}
	}
	return 0;
}

int conv_direct_plan_data(struct conv *conv, struct arena *arena, struct error *err)
{
	const struct conv_shape *s = &conv->config.shape;
	struct conv_product *product = &conv->data;
	struct conv_tiling *tiling = &product->tiling;
	int low = 0, high = 0, stride = (int)s->stride;
	bool first = true;
	if (stride < 1)
		return error_set(err, ERROR_USAGE, "a convolution needs a stride of at least 1");
	for (int residue = 0; residue < stride; residue++) {
		for (int k = (residue + (int)s->pad) % stride; k < (int)s->kernel; k += stride) {
			int tap = (residue + (int)s->pad - k) / stride;
			low = first || tap < low ? tap : low;
			high = first || tap > high ? tap : high;
			first = false;
		}
	}
	unsigned extra = (unsigned)(high - low), grid = (s->in_h + s->stride - 1) / s->stride;
	product->direct.tap_low = low;
	product->direct.phases_side = s->stride;
	*tiling = (struct conv_tiling){.lines = s->in_h, .width = s->in_w, .channels = s->in_c};
	tiling->window = (struct conv_window){.height = s->out_h,
		.width = s->out_w,
		.channels = s->out_c,
		.pack_w = (s->in_w + s->stride - 1) / s->stride + extra,
		.pack_c = s->out_c,
		.border = (unsigned)-low,
		.element = product->element};
	plan_tiling(tiling, grid, s->stride, 1, extra, (size_t)tiling->window.pack_w * s->out_c,
		(size_t)s->in_w * s->in_c, s->in_h * s->in_w);
	product->direct.phases =
		arena_alloc(arena, "plan", (size_t)s->stride * s->stride, sizeof(struct conv_phase), 0, err);
	if (product->direct.phases == NULL)
		return ERROR_MEMORY;
	for (unsigned i = 0; i < s->stride * s->stride; i++) {
		product->direct.phases[i].y = i / s->stride;
		product->direct.phases[i].x = i % s->stride;
		int code = plan_phase(conv, &product->direct.phases[i], arena, err);
		if (code < 0)
			return code;
	}
	return 0;
}

/* -------------------------------------------------------------------------------------------------------- weights */

size_t conv_direct_weight_bytes(const struct conv_product *product, const struct kernels *kernels, unsigned taps)
{
	return (size_t)taps * product->in_c * kernels_padded(kernels, product->out_c) * element_bytes(product->element);
}

struct weight_pack {
	const struct conv *conv;
	struct workspace *workspace;
	const float *weights; /* [out_c][kernel][kernel][in_c] */
};

/* Element (k, column) of a packed panel: pairs of k lie together in bf16. */
static size_t panel_index(enum element element, size_t k, unsigned width, unsigned column)
{
	if (element == ELEMENT_BF16)
		return (k / 2 * width + column) * 2 + k % 2;
	return k * width + column;
}

static void pack_forward_task(void *ctx, size_t task, unsigned thread)
{
	const struct weight_pack *pack = ctx;
	const struct conv_shape *s = &pack->conv->config.shape;
	const enum element element = pack->conv->forward.element;
	size_t depth = (size_t)s->kernel * s->kernel * s->in_c, first = task * PACK_BLOCK;
	size_t end = depth - first < PACK_BLOCK ? depth : first + PACK_BLOCK;
	unsigned width;
	(void)thread;
	for (unsigned col = 0; col < s->out_c; col += width) {
		width = kernels_panel(pack->workspace->kernels, s->out_c - col);
		void *to = element_at(pack->workspace->weights, element, depth * col);
		for (unsigned o = 0; o < width; o++) {
			const float *from = pack->weights + (col + o) * depth;
			for (size_t k = first; k < end; k++)
				element_set(to, element, panel_index(element, k, width, o),
					col + o < s->out_c ? from[k] : 0.0f);
		}
	}
}

void conv_direct_pack_forward(const struct conv *conv, struct workspace *workspace, const float *weights)
{
	const struct conv_shape *s = &conv->config.shape;
	struct weight_pack pack = {conv, workspace, weights};
	size_t depth = (size_t)s->kernel * s->kernel * s->in_c;
	team_for(workspace->team, (depth + PACK_BLOCK - 1) / PACK_BLOCK, pack_forward_task, &pack);
}

/* Packs tap number `task`, counted over the phases in turn: [panel of in_c][tap of the phase, out_c][width]. */
static void pack_data_task(void *ctx, size_t task, unsigned thread)
{
	const struct weight_pack *pack = ctx;
	const struct conv_shape *s = &pack->conv->config.shape;
	const struct conv_phase *phase = pack->conv->data.direct.phases;
	const struct kernels *kernels = pack->workspace->kernels;
	const enum element element = pack->conv->data.element;
	size_t base = 0, taps = (size_t)s->kernel * s->kernel;
	unsigned width;
	(void)thread;
	for (; task >= phase->tap_count; phase++) {
		task -= phase->tap_count;
		base += phase->tap_count * s->out_c * kernels_padded(kernels, s->in_c);
	}
	for (unsigned col = 0; col < s->in_c; col += width) {
		width = kernels_panel(kernels, s->in_c - col);
		void *to =
			element_at(pack->workspace->weights, element, base + (size_t)phase->tap_count * s->out_c * col);
		for (size_t o = 0; o < s->out_c; o++) {
			const float *from = pack->weights + (o * taps + phase->taps[task]) * s->in_c + col;
			for (unsigned i = 0; i < width; i++)
				element_set(to, element, panel_index(element, task * s->out_c + o, width, i),
					col + i < s->in_c ? from[i] : 0.0f);
		}
	}
}

void conv_direct_pack_data(const struct conv *conv, struct workspace *workspace, const float *weights)
{
	struct weight_pack pack = {conv, workspace, weights};
	team_for(workspace->team, (size_t)conv->config.shape.kernel * conv->config.shape.kernel, pack_data_task, &pack);
}

/* -------------------------------------------------------------------------------------------------------- product */

/* out (+)= products of a packed matrix with a tile, panel by panel. */
static void multiply(const struct kernels *kernels, struct gemm_job *job, const struct conv_phase *phase,
	const void *packed, unsigned cols)
{
	float *c = job->c;
	for (unsigned col = 0; col < cols; col += job->width) {
		job->width = kernels_panel(kernels, cols - col);
		job->cols = cols - col < job->width ? cols - col : job->width;
		job->b = (const float *)packed + phase->depth * col;
		job->c = c + col;
		job->add = false;
		for (size_t s = 0; s < phase->segment_count; s += job->segment_count) {
			size_t block = 0;
			job->segments = phase->segments + s;
			job->segment_count = 0;
			do
				block += phase->segments[s + job->segment_count++].length;
			while (s + job->segment_count < phase->segment_count &&
				(block + phase->segments[s + job->segment_count].length) * job->width <= PANEL_UNITS);
			kernels->products->gemm(job);
			job->b = (const float *)job->b + block * job->width;
			job->add = true;
		}
	}
}

void conv_direct_tile(const struct conv_product *product, const struct workspace *workspace, const void *a, float *out,
	struct conv_place place)
{
	const struct conv_direct *direct = &product->direct;
	const struct conv_tiling *tiling = &product->tiling;
	const struct kernels *kernels = workspace->kernels;
	const unsigned side = direct->phases_side;
	const char *packed = workspace->weights;
	bool missed = false;
	for (unsigned i = 0; i < side * side; i++)
		missed = missed || direct->phases[i].tap_count == 0;
	if (missed) /* pixels that no tap reaches */
		memset(out, 0, (size_t)place.images * place.lines * tiling->width * product->out_c * sizeof(float));
	for (unsigned i = 0; i < side * side; i++) {
		const struct conv_phase *phase = &direct->phases[i];
		const char *weights = packed;
		packed += phase->depth * kernels_padded(kernels, product->out_c) * sizeof(float);
		if (phase->tap_count == 0 || place.lines <= phase->y || tiling->width <= phase->x)
			continue;
		unsigned lines = (place.lines - phase->y + side - 1) / side;
		unsigned columns = (tiling->width - phase->x + side - 1) / side;
		struct gemm_job job = {
			.element = product->element,
			.a = a,
			.a_offset = phase->a_offset,
			.c = out,
			.c_offset = phase->c_offset,
			.rows = (size_t)place.images * lines * columns,
		};
		multiply(kernels, &job, phase, weights, product->out_c);
	}
}
