/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weight gradients of 3x3 stride-1 convolutions from Winograd's points: the exact adjoint of the forward product,
 *     dU [point][in_c][out_c] = sum over tiles of V [point][tile][in_c] Z [point][tile][out_c],   dW = G^T dU G,
 * with V the transformed input, as in forward, and Z = A dy A^T.
 *
 * Up to 128 channels a task owns a split of the batch and goes through it in blocks whose V and Z fill the L2 cache,
 * adding to a dU of its own.
 *
 * Above, dU outgrows the cache. There the points of a whole chunk of the batch are made first, as
 *     V [in_c / 64][point][place][64], Z [out_c / 64][point][place][64],
 * and then each task takes one 64 x 64 block of dU over all of the chunk's tiles: it stays in the L2 cache until its
 * transformation back.
 *
 * Every block of tiles is summed from zero and then added, which keeps rounding errors small.
 */
#include <string.h>

#include "model/conv_internal.h"

enum {
	PRIVATE_CHANNELS = 128, /* most for a dU of one's own */
	BLOCK = 64,		/* side of a block of dU */
	CHUNK_TILES = 128,	/* of F(4x4) in a chunk; their V and Z fit the L3 cache */
	TRANSFORM_ROWS = 4,	/* rows that one transforming task takes at least */
};

/* ----------------------------------------------------------------------------------------------------------- plan */

static unsigned tiles_wanted(unsigned m, unsigned channels)
{
	if (m == 2)
		return 96;
	return channels <= 64 ? 32 : 48;
}

/* Bytes of V, Z and dU of a task with a dU of its own. */
struct private_sizes {
	size_t pack, v, z, du;
};

static struct private_sizes private_sizes(const struct conv *conv, const struct kernels *kernels)
{
	const struct conv_weights *weights = &conv->weights;
	const struct conv_shape *s = &conv->config.shape;
	const unsigned points = conv_winograd_points(&weights->winograd);
	const size_t bytes = element_bytes(weights->element);
	const struct conv_window *gradient = &weights->gradient;
	size_t dy = (size_t)weights->tiling.images * gradient->pack_h * gradient->pack_w * gradient->pack_c;
	return (struct private_sizes){
		.pack = conv_align(conv_max(conv_window_elements(&weights->tiling), dy) * sizeof(float)),
		.v = conv_align(points * weights->winograd.v_stride * bytes),
		.z = conv_align(points * weights->z_stride * bytes),
		.du = points * (size_t)s->in_c * kernels_padded(kernels, s->out_c) * sizeof(float),
	};
}

/* Rows that one task transforms, and the places for tiles, whole pairs in bf16, that `images` rows take. */
static uint32_t chunk_step(const struct conv_weights *weights)
{
	return weights->tiling.images > TRANSFORM_ROWS ? TRANSFORM_ROWS : weights->tiling.images;
}

static size_t chunk_places(const struct conv_weights *weights, uint32_t images)
{
	const unsigned unit = conv_unit(weights->element);
	size_t places = 0;
	for (unsigned band = 0; band < weights->tiling.bands; band++) {
		struct conv_place place = conv_place(&weights->tiling, 0, images, band);
		places += (conv_winograd_tiles(&weights->winograd, &place) + unit - 1) / unit * unit;
	}
	return places;
}

/* Where the points of a chunk lie: V then Z, each [block][point][place][BLOCK]. Points are kept a cache line apart,
 * against their falling into the same sets. */
struct chunk_layout {
	size_t places, point_stride, block_stride, z; /* elements */
};

static struct chunk_layout chunk_layout(const struct conv *conv, uint32_t rows)
{
	const struct conv_weights *weights = &conv->weights;
	const uint32_t step = chunk_step(weights);
	struct chunk_layout layout = {.places = rows / step * chunk_places(weights, step)};
	if (rows % step != 0)
		layout.places += chunk_places(weights, rows % step);
	layout.point_stride = layout.places * BLOCK + 64 / element_bytes(weights->element);
	layout.block_stride = conv_winograd_points(&weights->winograd) * layout.point_stride;
	layout.z = (conv->config.shape.in_c + BLOCK - 1) / BLOCK * layout.block_stride;
	return layout;
}

static size_t plan_chunk(struct conv *conv, struct workspace *workspace, struct private_sizes sizes)
{
	const struct conv_shape *s = &conv->config.shape;
	struct conv_weights *weights = &conv->weights;
	const unsigned m = weights->winograd.m, points = conv_winograd_points(&weights->winograd);
	const size_t image_tiles = (size_t)weights->winograd.tiles_w * ((s->out_h + m - 1) / m);
	const size_t wanted = m == 2 ? 4 * CHUNK_TILES : CHUNK_TILES;
	weights->chunk = (uint32_t)(wanted / image_tiles > 0 ? wanted / image_tiles : 1);
	weights->splits = 1;
	struct chunk_layout layout = chunk_layout(conv, weights->chunk);
	size_t z_blocks = (weights->gradient.pack_c + BLOCK - 1) / BLOCK;
	workspace->shared_bytes = conv_max(
		workspace->shared_bytes, (layout.z + z_blocks * layout.block_stride) * element_bytes(weights->element));
	size_t block = (size_t)points * BLOCK * BLOCK * sizeof(float);
	workspace->scratch_bytes = conv_max(workspace->scratch_bytes, conv_max(sizes.pack, block));
	return layout.places;
}

int conv_weights_winograd_plan(struct conv *conv, struct workspace *workspace, struct arena *arena, struct error *err)
{
	const struct conv_shape *s = &conv->config.shape;
	struct conv_weights *weights = &conv->weights;
	struct conv_winograd *winograd = &weights->winograd;
	struct conv_tiling *tiling = &weights->tiling;
	const unsigned channels = s->in_c > s->out_c ? s->in_c : s->out_c;
	const unsigned m = weights->element == ELEMENT_BF16 ? 2 : 4;
	*tiling = (struct conv_tiling){.lines = s->out_h, .width = s->out_w, .channels = s->out_c};
	conv_winograd_plan_tiling(winograd, tiling, weights->element, s->in_c, s->pad, tiles_wanted(m, channels));
	const unsigned tiles_w = winograd->tiles_w, band = (tiling->band + m - 1) / m;
	weights->gradient = (struct conv_window){s->out_h, s->out_w, s->out_c, .pack_h = band * m,
		.pack_w = tiles_w * m, .pack_c = (unsigned)kernels_padded(workspace->kernels, s->out_c),
		.step = band * m, .element = ELEMENT_FP32};
	int code = conv_winograd_plan_tiles(winograd, tiling, weights->element, arena, err);
	if (code < 0)
		return code;
	/* Pairs of an odd number of tiles need room for one more. */
	size_t even = winograd->tiles + winograd->tiles % 2, line = 64 / element_bytes(weights->element);
	winograd->v_stride = even * s->in_c + line;
	weights->z_stride = even * weights->gradient.pack_c + line;
	weights->z_offset = arena_alloc(arena, "plan", winograd->tiles, sizeof(uint32_t), 0, err);
	if (weights->z_offset == NULL)
		return ERROR_MEMORY;
	for (size_t t = 0; t < winograd->tiles; t++) {
		size_t x = t % tiles_w, y = t / tiles_w % band, image = t / tiles_w / band;
		size_t row = image * weights->gradient.pack_h + y * m;
		weights->z_offset[t] = (uint32_t)((row * weights->gradient.pack_w + x * m) * weights->gradient.pack_c);
	}
	struct private_sizes sizes = private_sizes(conv, workspace->kernels);
	size_t unit_step = s->in_c, units = winograd->tiles;
	if (channels > PRIVATE_CHANNELS) {
		units = plan_chunk(conv, workspace, sizes);
		unit_step = BLOCK;
	} else {
		workspace->scratch_bytes =
			conv_max(workspace->scratch_bytes, sizes.pack + sizes.v + sizes.z + sizes.du);
	}
	weights->unit_offset = arena_alloc(arena, "plan", units, sizeof(uint32_t), 0, err);
	if (weights->unit_offset == NULL)
		return ERROR_MEMORY;
	for (size_t i = 0; i < units; i++)
		weights->unit_offset[i] = (uint32_t)(i * unit_step);
	return 0;
}

/* ----------------------------------------------------------------------------------------------------- both kinds */

/* dW of channels [in, in + rows) and a panel of columns, from the panel of dU, [point][...][rows][width], whose points
 * lie point_stride floats apart. panels: [panel][tap][in_c][width]. */
static void transform_back(const struct conv *conv, const struct kernels *kernels, const float *du, size_t point_stride,
	unsigned in, unsigned rows, unsigned col, unsigned width, float *panels, bool add)
{
	const unsigned m = conv->weights.winograd.m, lanes = kernels->lanes;
	const size_t in_c = conv->config.shape.in_c;
	float *to = panels + 9 * in_c * col, dw[9 * 16];
	for (unsigned c = 0; c < rows; c++) {
		for (unsigned lane = 0; lane < width; lane += lanes) {
			kernels->transforms->weight_gradient(m, dw, du + c * width + lane, point_stride);
			for (size_t tap = 0; tap < 9; tap++) {
				float *line = to + (tap * in_c + in + c) * width + lane;
				for (unsigned i = 0; i < lanes; i++)
					line[i] = add ? line[i] + dw[tap * lanes + i] : dw[tap * lanes + i];
			}
		}
	}
}

/* ------------------------------------------------------------------------------------------------ a dU of one's own */

/* V or Z of a block, from its packed tile. */
static void block_points(
	const struct conv_weight_sweep *sweep, struct conv_place place, bool gradient, void *pack, void *points)
{
	const struct conv_weights *weights = &sweep->conv->weights;
	const struct kernels *kernels = sweep->workspace->kernels;
	const struct conv_window *window = gradient ? &weights->gradient : &weights->tiling.window;
	conv_pack(kernels, window, gradient ? &sweep->gradient : &sweep->source, pack, place);
	struct winograd_in_job job = {
		.m = weights->winograd.m,
		.x = pack,
		.x_offset = gradient ? weights->z_offset : weights->winograd.x_offset,
		.row_stride = (size_t)window->pack_w * window->pack_c,
		.pixel_stride = window->pack_c,
		.tiles = conv_winograd_tiles(&weights->winograd, &place),
		.channels = window->pack_c,
		.v = {points, weights->element},
		.tile_stride = window->pack_c,
		.point_stride = gradient ? weights->z_stride : weights->winograd.v_stride,
		.pairs = weights->element == ELEMENT_BF16,
	};
	if (gradient)
		kernels->transforms->gradient(&job);
	else
		kernels->transforms->in(&job);
}

static void add_block(
	const struct conv_weight_sweep *sweep, size_t tiles, const void *v, const void *z, float *du, bool add)
{
	const struct conv_weights *weights = &sweep->conv->weights;
	const struct conv_shape *s = &sweep->conv->config.shape;
	const struct kernels *kernels = sweep->workspace->kernels;
	const enum element element = weights->element;
	const unsigned unit = conv_unit(element);
	size_t padded = weights->gradient.pack_c;
	struct outer_job job = {.element = element,
		.a_offset = weights->unit_offset,
		.b_stride = padded,
		.pixels = (tiles + unit - 1) / unit,
		.rows = s->in_c,
		.add = add};
	for (unsigned p = 0; p < conv_winograd_points(&weights->winograd); p++) {
		job.a = element_at(v, element, p * weights->winograd.v_stride);
		for (unsigned col = 0; col < padded; col += job.width) {
			job.width = kernels_panel(kernels, (unsigned)padded - col);
			job.b = element_at(z, element, p * weights->z_stride + (size_t)col * unit);
			job.c = du + (p * padded + col) * s->in_c;
			kernels->products->outer(&job);
		}
	}
}

static void private_task(void *ctx, size_t split, unsigned thread)
{
	const struct conv_weight_sweep *sweep = ctx;
	const struct conv_weights *weights = &sweep->conv->weights;
	const struct conv_shape *s = &sweep->conv->config.shape;
	const struct kernels *kernels = sweep->workspace->kernels;
	struct private_sizes sizes = private_sizes(sweep->conv, kernels);
	void *pack = workspace_scratch(sweep->workspace, thread), *v = conv_after(pack, sizes.pack);
	void *z = conv_after(v, sizes.v);
	float *du = conv_after(z, sizes.z);
	struct workspace_rows rows = conv_weights_rows(sweep, split);
	bool add = false;
	for (uint32_t row = rows.first; row < rows.end;) {
		unsigned images = conv_tile_images(&weights->tiling, rows.end - row);
		for (unsigned band = 0; band < weights->tiling.bands; band++) {
			struct conv_place place = conv_place(&weights->tiling, row, images, band);
			block_points(sweep, place, false, pack, v);
			block_points(sweep, place, true, pack, z);
			add_block(sweep, conv_winograd_tiles(&weights->winograd, &place), v, z, du, add);
			add = true;
		}
		row += images;
	}
	size_t padded = weights->gradient.pack_c;
	unsigned width;
	for (unsigned col = 0; col < padded; col += width) {
		width = kernels_panel(kernels, (unsigned)padded - col);
		transform_back(sweep->conv, kernels, du + (size_t)col * s->in_c, padded * s->in_c, 0, s->in_c, col,
			width, conv_weights_partial(sweep, split), false);
	}
}

/* ------------------------------------------------------------------------------------------------ chunks and blocks */

static unsigned block_columns(unsigned channels, unsigned block)
{
	return channels - block * BLOCK < BLOCK ? channels - block * BLOCK : BLOCK;
}

/* Makes V (even tasks) or Z (odd ones) of a few rows. */
static void chunk_points_task(void *ctx, size_t task, unsigned thread)
{
	const struct conv_weight_sweep *sweep = ctx;
	const struct conv_weights *weights = &sweep->conv->weights;
	const struct kernels *kernels = sweep->workspace->kernels;
	const enum element element = weights->element;
	const struct chunk_layout layout = chunk_layout(sweep->conv, sweep->chunk_rows);
	const unsigned unit = conv_unit(element);
	const bool gradient = task % 2 == 1;
	const struct conv_window *window = gradient ? &weights->gradient : &weights->tiling.window;
	float *pack = workspace_scratch(sweep->workspace, thread);
	uint32_t step = chunk_step(weights), row = (uint32_t)(task / 2) * step;
	uint32_t images = sweep->chunk_rows - row < step ? sweep->chunk_rows - row : step;
	size_t first = task / 2 * chunk_places(weights, step);
	for (unsigned band = 0; band < weights->tiling.bands; band++) {
		struct conv_place place = conv_place(&weights->tiling, sweep->chunk_first + row, images, band);
		size_t tiles = conv_winograd_tiles(&weights->winograd, &place);
		conv_pack(kernels, window, gradient ? &sweep->gradient : &sweep->source, pack, place);
		for (unsigned block = 0; block * BLOCK < window->pack_c; block++) {
			size_t at = (gradient ? layout.z : 0) + block * layout.block_stride + first * BLOCK;
			struct winograd_in_job job = {
				.m = weights->winograd.m,
				.x = pack + (size_t)block * BLOCK,
				.x_offset = gradient ? weights->z_offset : weights->winograd.x_offset,
				.row_stride = (size_t)window->pack_w * window->pack_c,
				.pixel_stride = window->pack_c,
				.tiles = tiles,
				.channels = block_columns(window->pack_c, block),
				.v = {element_at(sweep->workspace->shared, element, at), element},
				.tile_stride = BLOCK,
				.point_stride = layout.point_stride,
				.pairs = unit > 1,
			};
			if (gradient)
				kernels->transforms->gradient(&job);
			else
				kernels->transforms->in(&job);
		}
		first += (tiles + unit - 1) / unit * unit;
	}
}

static void chunk_block_task(void *ctx, size_t task, unsigned thread)
{
	const struct conv_weight_sweep *sweep = ctx;
	const struct conv_weights *weights = &sweep->conv->weights;
	const struct kernels *kernels = sweep->workspace->kernels;
	const enum element element = weights->element;
	const struct chunk_layout layout = chunk_layout(sweep->conv, sweep->chunk_rows);
	const unsigned in_c = sweep->conv->config.shape.in_c, padded = weights->gradient.pack_c;
	const unsigned out_blocks = (padded + BLOCK - 1) / BLOCK, unit = conv_unit(element);
	const unsigned in_block = (unsigned)task / out_blocks, out_block = (unsigned)task % out_blocks;
	const unsigned rows = block_columns(in_c, in_block), columns = block_columns(padded, out_block);
	float *du = workspace_scratch(sweep->workspace, thread); /* [point][panel][rows][width] */
	struct outer_job job = {.element = element,
		.a_offset = weights->unit_offset,
		.b_stride = BLOCK,
		.pixels = layout.places / unit,
		.rows = rows};
	for (unsigned p = 0; p < conv_winograd_points(&weights->winograd); p++) {
		size_t at = p * layout.point_stride;
		job.a = element_at(sweep->workspace->shared, element, in_block * layout.block_stride + at);
		for (unsigned col = 0; col < columns; col += job.width) {
			size_t z = layout.z + out_block * layout.block_stride + at + (size_t)col * unit;
			job.width = kernels_panel(kernels, columns - col);
			job.b = element_at(sweep->workspace->shared, element, z);
			job.c = du + ((size_t)p * columns + col) * rows;
			kernels->products->outer(&job);
		}
	}
	for (unsigned col = 0; col < columns; col += job.width) {
		job.width = kernels_panel(kernels, columns - col);
		transform_back(sweep->conv, kernels, du + (size_t)col * rows, (size_t)columns * rows, in_block * BLOCK,
			rows, out_block * BLOCK + col, job.width, conv_weights_partial(sweep, 0),
			sweep->chunk_first > 0);
	}
}

void conv_weights_winograd(struct conv_weight_sweep *sweep)
{
	const struct conv_weights *weights = &sweep->conv->weights;
	struct team *team = sweep->workspace->team;
	if (weights->chunk == 0) {
		team_for(team, sweep->splits, private_task, sweep);
		return;
	}
	const uint32_t step = chunk_step(weights);
	size_t in_blocks = (sweep->conv->config.shape.in_c + BLOCK - 1) / BLOCK;
	size_t out_blocks = (weights->gradient.pack_c + BLOCK - 1) / BLOCK;
	for (uint32_t first = 0; first < sweep->rows; first += weights->chunk) {
		sweep->chunk_first = first;
		sweep->chunk_rows = sweep->rows - first < weights->chunk ? sweep->rows - first : weights->chunk;
		team_for(team, 2 * ((sweep->chunk_rows + step - 1) / step), chunk_points_task, sweep);
		team_for(team, in_blocks * out_blocks, chunk_block_task, sweep);
	}
}
