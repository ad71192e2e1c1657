/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolution without im2col: planning and the forward sweep (conv_backward.c has the gradients).
 *
 * A tile is a few whole images, or a band of rows of a large one, small enough for the L2 cache. Its input is copied
 * once
 * ("packed") into scratch with a zero border, and BN-apply + ReLU on the way. In NHWC a patch of that copy is, for each
 * kernel row, one run of kernel x in_c floats; a table gives where each output pixel's patch starts. So the product
 * reads patches in place: c[pixel][out] = sum over runs of a[pixel][k] b[k][out].
 *
 * Weights are packed per call into panels of one to four vectors of output channels, [panel][k][width]. The product
 * walks a panel in blocks of k that stay in the L1 cache while all pixels of the tile pass by.
 *
 * The moments of a tile's output are taken while it is in cache. Tiles depend on shapes and rows alone.
 */
#include "model/conv.h"

#include <string.h>

enum {
	TILE_PIXELS = 128,	 /* a tile takes whole images until it has that many output pixels */
	TILE_FLOATS = 96 * 1024, /* most of a packed tile, and of its output: they share the L2 cache with a panel */
	SEGMENT = 64,		 /* longest run of k in one segment */
	PANEL_FLOATS = 8 * 1024, /* a block of a panel: the L1 cache */
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

/* grid: rows of the swept image; pack rows of a band of b are b * step + extra; in, out: floats of a packed and of an
 * output row. */
static void plan_tiling(struct conv_tiling *tiling, unsigned grid, unsigned step, unsigned extra, size_t in, size_t out,
	unsigned pixels)
{
	unsigned band = grid;
	while (band > 1 && ((band * step + extra) * in > TILE_FLOATS || band * out > TILE_FLOATS))
		band--;
	tiling->bands = (grid + band - 1) / band;
	tiling->band = (grid + tiling->bands - 1) / tiling->bands;
	tiling->bands = (grid + tiling->band - 1) / tiling->band;
	tiling->pack_h = tiling->band * step + extra;
	tiling->images = 1;
	if (tiling->bands > 1)
		return;
	size_t image_in = tiling->pack_h * in, image_out = grid * out;
	while (tiling->images * pixels < TILE_PIXELS && (tiling->images + 1) * image_in <= TILE_FLOATS &&
		(tiling->images + 1) * image_out <= TILE_FLOATS)
		tiling->images++;
}

static int plan_forward(struct conv *conv, bool lazy, struct arena *arena, struct error *err)
{
	const struct conv_shape *s = &conv->shape;
	struct conv_tiling *tiling = &conv->forward;
	conv->direct = !lazy && s->kernel == 1 && s->pad == 0;
	tiling->pack_w = conv->direct ? s->in_w : (s->out_w - 1) * s->stride + s->kernel;
	plan_tiling(tiling, s->out_h, s->stride, conv->direct ? 0 : s->kernel - s->stride,
		(size_t)tiling->pack_w * s->in_c, (size_t)s->out_w * s->out_c, s->out_h * s->out_w);
	if (conv->direct)
		tiling->pack_h = s->in_h; /* the distance of whole images */
	tiling->pack_floats = conv->direct ? 0 : (size_t)tiling->images * tiling->pack_h * tiling->pack_w * s->in_c;

	size_t pixels = (size_t)tiling->images * tiling->band * s->out_w;
	conv->a_offset = arena_alloc(arena, "plan", pixels, sizeof(uint32_t), 0, err);
	conv->c_offset = arena_alloc(arena, "plan", pixels, sizeof(uint32_t), 0, err);
	size_t count = 0, row = (size_t)tiling->pack_w * s->in_c;
	for (unsigned ky = 0; ky < s->kernel; ky++)
		count = split_run(NULL, count, 0, s->kernel * s->in_c);
	conv->segments = arena_alloc(arena, "plan", count, sizeof(struct gemm_segment), 0, err);
	if (conv->a_offset == NULL || conv->c_offset == NULL || conv->segments == NULL)
		return ERROR_MEMORY;
	for (unsigned ky = 0; ky < s->kernel; ky++)
		conv->segment_count =
			split_run(conv->segments, conv->segment_count, (uint32_t)(ky * row), s->kernel * s->in_c);
	for (size_t p = 0; p < pixels; p++) {
		size_t x = p % s->out_w, y = p / s->out_w % tiling->band, image = p / s->out_w / tiling->band;
		conv->a_offset[p] =
			(uint32_t)((image * tiling->pack_h + y * s->stride) * row + x * s->stride * s->in_c);
		conv->c_offset[p] = (uint32_t)(p * s->out_c);
	}
	return 0;
}

/* Taps that reach input pixels of residue (y, x): oy = (iy + pad - ky) / stride must be whole. */
static int plan_phase(struct conv *conv, struct conv_phase *phase, struct arena *arena, struct error *err)
{
	const struct conv_shape *s = &conv->shape;
	const struct conv_tiling *tiling = &conv->data;
	unsigned rows = tiling->band, cols = (s->in_w - phase->x + s->stride - 1) / s->stride;
	size_t pixels = (size_t)tiling->images * rows * cols, row = (size_t)tiling->pack_w * s->out_c;
	phase->taps = arena_alloc(arena, "plan", (size_t)s->kernel * s->kernel, sizeof(uint16_t), 0, err);
	phase->segments = arena_alloc(arena, "plan", split_run(NULL, 0, 0, s->out_c) * s->kernel * s->kernel,
		sizeof(struct gemm_segment), 0, err);
	phase->a_offset = arena_alloc(arena, "plan", pixels, sizeof(uint32_t), 0, err);
	phase->c_offset = arena_alloc(arena, "plan", pixels, sizeof(uint32_t), 0, err);
	if (phase->taps == NULL || phase->segments == NULL || phase->a_offset == NULL || phase->c_offset == NULL)
		return ERROR_MEMORY;
	for (unsigned ky = (phase->y + s->pad) % s->stride; ky < s->kernel; ky += s->stride) {
		for (unsigned kx = (phase->x + s->pad) % s->stride; kx < s->kernel; kx += s->stride) {
			int oy = ((int)(phase->y + s->pad) - (int)ky) / (int)s->stride - conv->tap_low;
			int ox = ((int)(phase->x + s->pad) - (int)kx) / (int)s->stride - conv->tap_low;
			phase->taps[phase->tap_count++] = (uint16_t)(ky * s->kernel + kx);
			phase->segment_count = split_run(phase->segments, phase->segment_count,
				(uint32_t)((size_t)oy * row + (size_t)ox * s->out_c), s->out_c);
		}
	}
	/* The image's last row may be short of a residue: only whole images, and last bands, meet it. */
	unsigned image_rows = tiling->bands > 1 ? rows : (s->in_h - phase->y + s->stride - 1) / s->stride;
	size_t n = 0;
	for (unsigned image = 0; image < tiling->images; image++) {
		for (unsigned i = 0; i < image_rows; i++) {
			for (unsigned j = 0; j < cols; j++, n++) {
				size_t iy = (size_t)image * s->in_h + i * s->stride + phase->y;
				phase->a_offset[n] =
					(uint32_t)(((size_t)image * tiling->pack_h + i) * row + (size_t)j * s->out_c);
				phase->c_offset[n] =
					(uint32_t)((iy * s->in_w + (size_t)j * s->stride + phase->x) * s->in_c);
			}
		}
	}
	return 0;
}

static int plan_data(struct conv *conv, struct arena *arena, struct error *err)
{
	const struct conv_shape *s = &conv->shape;
	struct conv_tiling *tiling = &conv->data;
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
	conv->tap_low = low;
	unsigned extra = (unsigned)(high - low), grid = (s->in_h + s->stride - 1) / s->stride;
	tiling->pack_w = (s->in_w + s->stride - 1) / s->stride + extra;
	plan_tiling(tiling, grid, 1, extra, (size_t)tiling->pack_w * s->out_c, (size_t)s->in_w * s->in_c * s->stride,
		s->in_h * s->in_w);
	tiling->pack_floats = (size_t)tiling->images * tiling->pack_h * tiling->pack_w * s->out_c;
	conv->phases = arena_alloc(arena, "plan", (size_t)s->stride * s->stride, sizeof(struct conv_phase), 0, err);
	if (conv->phases == NULL)
		return ERROR_MEMORY;
	for (unsigned i = 0; i < s->stride * s->stride; i++) {
		conv->phases[i].y = i / s->stride;
		conv->phases[i].x = i % s->stride;
		int code = plan_phase(conv, &conv->phases[i], arena, err);
		if (code < 0)
			return code;
	}
	return 0;
}

static size_t max_size(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* Small weights are split over the batch (partial sums are cheap to add), large ones rather over columns. */
static void plan_weights(struct conv *conv, struct workspace *workspace)
{
	const struct conv_shape *s = &conv->shape;
	const size_t partials = 4 * 1024 * 1024, columns_from = 256 * 1024;
	size_t padded = kernels_padded(workspace->kernels, s->out_c);
	size_t count = (size_t)s->kernel * s->kernel * s->in_c * padded;
	conv->splits = 32;
	while (conv->splits > 4 && conv->splits * count > partials)
		conv->splits /= 2;
	conv->group_width = (unsigned)padded;
	if (count > columns_from && padded > 64)
		conv->group_width = 64;
	workspace->partial_floats = max_size(workspace->partial_floats, conv->splits * count);
	size_t pixels = (size_t)conv->forward.images * conv->forward.band * s->out_w;
	workspace->scratch_floats =
		max_size(workspace->scratch_floats, conv->forward.pack_floats + 16 + pixels * conv->group_width);
}

int conv_plan(struct conv *conv, const struct conv_shape *shape, bool lazy, bool data_gradient, bool weight_gradient,
	struct workspace *workspace, struct arena *arena, struct error *err)
{
	memset(conv, 0, sizeof *conv);
	conv->shape = *shape;
	size_t taps = (size_t)shape->kernel * shape->kernel;
	int code = plan_forward(conv, lazy, arena, err);
	if (code < 0)
		return code;
	workspace->weight_floats = max_size(
		workspace->weight_floats, taps * shape->in_c * kernels_padded(workspace->kernels, shape->out_c));
	workspace->scratch_floats =
		max_size(workspace->scratch_floats, conv->forward.pack_floats + 16 + 2 * (size_t)shape->out_c);
	unsigned channels = shape->in_c > shape->out_c ? shape->in_c : shape->out_c;
	if (workspace->channels_max < channels)
		workspace->channels_max = channels;
	if (weight_gradient)
		plan_weights(conv, workspace);
	if (!data_gradient)
		return 0;
	code = plan_data(conv, arena, err);
	if (code < 0)
		return code;
	workspace->weight_floats = max_size(
		workspace->weight_floats, taps * shape->out_c * kernels_padded(workspace->kernels, shape->in_c));
	workspace->scratch_floats =
		max_size(workspace->scratch_floats, conv->data.pack_floats + 16 + 3 * (size_t)shape->in_c);
	return 0;
}

/* Tiles of what is left of a task, as equal as they come: a small last one would run at half speed. */
unsigned conv_tile_images(const struct conv_tiling *tiling, uint32_t left)
{
	uint32_t tiles = (left + tiling->images - 1) / tiling->images;
	return (unsigned)((left + tiles - 1) / tiles);
}

/* Copies the tile's input with its zero border: [images][pack_h][pack_w][in_c]. */
void conv_pack_source(const struct conv *conv, const struct kernels *kernels, struct conv_source source, float *pack,
	uint32_t row, unsigned images, unsigned band)
{
	const struct conv_shape *s = &conv->shape;
	const struct conv_tiling *tiling = &conv->forward;
	size_t channels = s->in_c, left = s->pad;
	size_t columns = tiling->pack_w - left < s->in_w ? tiling->pack_w - left : s->in_w;
	size_t right = tiling->pack_w - left - columns;
	for (unsigned i = 0; i < images * tiling->pack_h; i++) {
		long y = (long)(band * tiling->band * s->stride + i % tiling->pack_h) - (long)s->pad;
		float *to = pack + (size_t)i * tiling->pack_w * channels;
		if (y < 0 || y >= (long)s->in_h) {
			memset(to, 0, tiling->pack_w * channels * sizeof(float));
			continue;
		}
		size_t pixel = ((size_t)(row + i / tiling->pack_h) * s->in_h + (size_t)y) * s->in_w;
		const float *from = source.data + pixel * channels;
		memset(to, 0, left * channels * sizeof(float));
		to += left * channels;
		if (source.bn != NULL)
			kernels->bn_relu(to, from, batchnorm_forward(source.bn), columns, channels);
		else
			memcpy(to, from, columns * channels * sizeof(float));
		memset(to + columns * channels, 0, right * channels * sizeof(float));
	}
}

void conv_product(const struct kernels *kernels, struct gemm_job *job, const struct gemm_segment *segments,
	size_t segment_count, const float *packed, size_t depth, unsigned cols)
{
	float *c = job->c;
	const bool add = job->add;
	for (unsigned col = 0; col < cols; col += job->width) {
		job->width = kernels_panel(kernels, cols - col);
		job->cols = cols - col < job->width ? cols - col : job->width;
		job->b = packed + depth * col;
		job->c = c + col;
		job->add = add;
		for (size_t s = 0; s < segment_count; s += job->segment_count) {
			size_t block = 0;
			job->segments = segments + s;
			job->segment_count = 0;
			do
				block += segments[s + job->segment_count++].length;
			while (s + job->segment_count < segment_count &&
				(block + segments[s + job->segment_count].length) * job->width <= PANEL_FLOATS);
			kernels->gemm(job);
			job->b += block * job->width;
			job->add = true;
		}
	}
}

struct forward_sweep {
	const struct conv *conv;
	struct workspace *workspace;
	struct workspace_split split;
	struct conv_source source;
	const float *weights; /* [out_c][depth] */
	float *y;
	bool moments;
};

static void pack_weights(void *ctx, size_t task, unsigned thread)
{
	const struct forward_sweep *sweep = ctx;
	const struct conv_shape *s = &sweep->conv->shape;
	size_t depth = (size_t)s->kernel * s->kernel * s->in_c, first = task * PACK_BLOCK;
	size_t end = depth - first < PACK_BLOCK ? depth : first + PACK_BLOCK;
	unsigned width;
	(void)thread;
	for (unsigned col = 0; col < s->out_c; col += width) {
		width = kernels_panel(sweep->workspace->kernels, s->out_c - col);
		for (size_t k = first; k < end; k++) {
			float *to = sweep->workspace->weights + depth * col + k * width;
			for (unsigned o = 0; o < width; o++)
				to[o] = col + o < s->out_c ? sweep->weights[(col + o) * depth + k] : 0.0f;
		}
	}
}

static void forward_tile(
	const struct forward_sweep *sweep, size_t task, uint32_t row, unsigned images, unsigned band, float *scratch)
{
	const struct conv *conv = sweep->conv;
	const struct conv_shape *s = &conv->shape;
	const struct conv_tiling *tiling = &conv->forward;
	const struct kernels *kernels = sweep->workspace->kernels;
	unsigned first = band * tiling->band;
	unsigned lines = s->out_h - first < tiling->band ? s->out_h - first : tiling->band;
	const float *a = scratch;
	if (conv->direct)
		a = sweep->source.data + ((size_t)row * s->in_h + first * s->stride) * s->in_w * s->in_c;
	else
		conv_pack_source(conv, kernels, sweep->source, scratch, row, images, band);
	struct gemm_job job = {
		.a = a,
		.a_offset = conv->a_offset,
		.c = sweep->y + ((size_t)row * s->out_h + first) * s->out_w * s->out_c,
		.c_offset = conv->c_offset,
		.rows = (size_t)images * lines * s->out_w,
	};
	float *y = job.c;
	conv_product(kernels, &job, conv->segments, conv->segment_count, sweep->workspace->weights,
		(size_t)s->kernel * s->kernel * s->in_c, s->out_c);
	if (sweep->moments)
		batchnorm_add_tile(sweep->workspace, task, y, job.rows, s->out_c, scratch + tiling->pack_floats);
}

static void forward_task(void *ctx, size_t task, unsigned thread)
{
	const struct forward_sweep *sweep = ctx;
	const struct conv_tiling *tiling = &sweep->conv->forward;
	struct workspace_rows rows = workspace_task(&sweep->split, task);
	float *scratch = workspace_scratch(sweep->workspace, thread);
	if (sweep->moments)
		batchnorm_clear(sweep->workspace, task, sweep->conv->shape.out_c);
	for (uint32_t row = rows.first; row < rows.end;) {
		unsigned images = conv_tile_images(tiling, rows.end - row);
		for (unsigned band = 0; band < tiling->bands; band++)
			forward_tile(sweep, task, row, images, band, scratch);
		row += images;
	}
}

size_t conv_forward(const struct conv *conv, struct workspace *workspace, struct conv_source source,
	const float *weights, float *y, uint32_t rows, bool moments)
{
	struct forward_sweep sweep = {
		conv, workspace, workspace_split(rows, conv->forward.images), source, weights, y, moments};
	size_t depth = (size_t)conv->shape.kernel * conv->shape.kernel * conv->shape.in_c;
	team_for(workspace->team, (depth + PACK_BLOCK - 1) / PACK_BLOCK, pack_weights, &sweep);
	team_for(workspace->team, sweep.split.tasks, forward_task, &sweep);
	return sweep.split.tasks;
}
