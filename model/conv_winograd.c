/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Winograd product, forward and data gradient of 3x3 stride-1 convolutions (kernels.h has the formulas): F(4x4,
 * 3x3) in fp32 does a quarter of a direct convolution's multiplications, F(2x2, 3x3) in bf16 less than half.
 *
 * A tile of the sweep, packed with its border, becomes
 *     V [point][tile][in_c]           all points at once: the packed copy is read from cache
 *     M [point][tile][width]          per panel of output channels, one matrix product a point with U
 *     out [pixels][out_c]             the panel's columns
 * so that V and one panel of M stay in the L2 cache while U, [panel][point][in_c][width], streams through it. Lines of
 * V's and M's points are kept apart by one cache line, lest all points fall into the same sets.
 *
 * A data gradient is the same product of dy with the weights turned around: taps reversed, channels exchanged.
 */
#include "model/conv_internal.h"

#include <string.h>

/* Winograd's tiles in one of the sweep's, by input channels: V and M fill the L2 cache but for a panel of U. Deep
 * layers take more, for U is then read from beyond the L2 cache once for each. */
static unsigned tiles_wanted(unsigned m, unsigned in_c)
{
	if (m == 2)
		return 96;
	return in_c <= 128 ? 24 : 32;
}

void conv_winograd_plan_tiling(struct conv_winograd *winograd, struct conv_tiling *tiling, enum element element,
	unsigned in_c, unsigned pad, unsigned wanted)
{
	const unsigned m = element == ELEMENT_BF16 ? 2 : 4;
	const unsigned tiles_h = (tiling->lines + m - 1) / m, tiles_w = (tiling->width + m - 1) / m;
	unsigned band = tiles_h; /* lines of tiles */
	winograd->m = m;
	winograd->tiles_w = tiles_w;
	tiling->images = 1;
	if (tiles_h * tiles_w > wanted) {
		band = wanted / tiles_w > 0 ? wanted / tiles_w : 1;
		tiling->bands = (tiles_h + band - 1) / band;
		band = (tiles_h + tiling->bands - 1) / tiling->bands;
	} else {
		tiling->images = wanted / (tiles_h * tiles_w);
	}
	tiling->bands = (tiles_h + band - 1) / band;
	tiling->band = tiling->bands > 1 ? band * m : tiling->lines;
	tiling->window = (struct conv_window){.height = tiling->lines,
		.width = tiling->width,
		.channels = in_c,
		.pack_h = band * m + 2 * pad,
		.pack_w = tiles_w * m + 2 * pad,
		.pack_c = in_c,
		.border = pad,
		.step = band * m,
		.element = ELEMENT_FP32}; /* points are rounded once, when they are made */
}

int conv_winograd_plan_tiles(struct conv_winograd *winograd, const struct conv_tiling *tiling, enum element element,
	struct arena *arena, struct error *err)
{
	const struct conv_window *window = &tiling->window;
	const unsigned m = winograd->m, tiles_h = (tiling->band + m - 1) / m;
	winograd->tiles = (size_t)tiling->images * tiles_h * winograd->tiles_w;
	winograd->v_stride = winograd->tiles * window->pack_c + 64 / element_bytes(element);
	winograd->x_offset = arena_alloc(arena, "plan", winograd->tiles, sizeof(uint32_t), 0, err);
	winograd->a_offset = arena_alloc(arena, "plan", winograd->tiles, sizeof(uint32_t), 0, err);
	if (winograd->x_offset == NULL || winograd->a_offset == NULL)
		return ERROR_MEMORY;
	for (size_t t = 0; t < winograd->tiles; t++) {
		size_t x = t % winograd->tiles_w, y = t / winograd->tiles_w % tiles_h;
		size_t row = t / winograd->tiles_w / tiles_h * window->pack_h + y * m;
		winograd->x_offset[t] = (uint32_t)((row * window->pack_w + x * m) * window->pack_c);
		winograd->a_offset[t] = (uint32_t)(t * window->pack_c / conv_unit(element));
	}
	return 0;
}

/* Where the output of each tile goes, in bands of `lines` lines. */
static struct winograd_tile *plan_outputs(
	const struct conv_product *product, unsigned lines, struct arena *arena, struct error *err)
{
	const struct conv_winograd *winograd = &product->winograd;
	const struct conv_tiling *tiling = &product->tiling;
	const unsigned m = winograd->m, tiles_h = (lines + m - 1) / m;
	size_t count = (size_t)tiling->images * tiles_h * winograd->tiles_w;
	struct winograd_tile *out = arena_alloc(arena, "plan", count, sizeof *out, 0, err);
	for (size_t t = 0; out != NULL && t < count; t++) {
		unsigned x = (unsigned)(t % winograd->tiles_w) * m;
		unsigned y = (unsigned)(t / winograd->tiles_w % tiles_h) * m;
		size_t image = t / winograd->tiles_w / tiles_h;
		out[t].offset = (uint32_t)(((image * lines + y) * tiling->width + x) * product->out_c);
		out[t].rows = (uint8_t)(lines - y < m ? lines - y : m);
		out[t].cols = (uint8_t)(tiling->width - x < m ? tiling->width - x : m);
	}
	return out;
}

int conv_winograd_plan(struct conv_product *product, const struct conv_shape *shape, const struct kernels *kernels,
	struct arena *arena, struct error *err)
{
	struct conv_winograd *winograd = &product->winograd;
	struct conv_tiling *tiling = &product->tiling;
	const unsigned m = product->element == ELEMENT_BF16 ? 2 : 4;
	*tiling = (struct conv_tiling){.lines = shape->out_h, .width = shape->out_w, .channels = product->out_c};
	conv_winograd_plan_tiling(
		winograd, tiling, product->element, product->in_c, shape->pad, tiles_wanted(m, product->in_c));
	int code = conv_winograd_plan_tiles(winograd, tiling, product->element, arena, err);
	if (code < 0)
		return code;
	unsigned last = tiling->lines - (tiling->bands - 1) * tiling->band;
	winograd->tile = plan_outputs(product, tiling->band, arena, err);
	winograd->tile_last = last == tiling->band ? winograd->tile : plan_outputs(product, last, arena, err);
	winograd->m_stride = winograd->tiles * kernels->panels[0] + 16;
	winograd->c_offset = arena_alloc(arena, "plan", 3 * winograd->tiles, sizeof(uint32_t), 0, err);
	if (winograd->tile == NULL || winograd->tile_last == NULL || winograd->c_offset == NULL)
		return ERROR_MEMORY;
	for (size_t i = 0; i < 3; i++) {
		for (size_t t = 0; t < winograd->tiles; t++)
			winograd->c_offset[i * winograd->tiles + t] = (uint32_t)(t * kernels->panels[i]);
	}
	return 0;
}

size_t conv_winograd_tiles(const struct conv_winograd *winograd, const struct conv_place *place)
{
	return (size_t)place->images * ((place->lines + winograd->m - 1) / winograd->m) * winograd->tiles_w;
}

static size_t v_bytes(const struct conv_product *product)
{
	const struct conv_winograd *winograd = &product->winograd;
	return conv_align(conv_winograd_points(winograd) * winograd->v_stride * element_bytes(product->element));
}

size_t conv_winograd_scratch_bytes(const struct conv_product *product)
{
	const struct conv_winograd *winograd = &product->winograd;
	return v_bytes(product) + conv_align(conv_winograd_points(winograd) * winograd->m_stride * sizeof(float));
}

/* -------------------------------------------------------------------------------------------------------- weights */

size_t conv_winograd_weight_bytes(const struct conv_product *product, const struct kernels *kernels)
{
	return conv_winograd_points(&product->winograd) * (size_t)product->in_c *
	       kernels_padded(kernels, product->out_c) * element_bytes(product->element);
}

enum {
	PACK_DEPTH = 16, /* input channels that one packing task takes */
	LANES_MAX = 16,
};

struct winograd_pack {
	const struct conv_product *product;
	struct workspace *workspace;
	const float *weights; /* forward: [out][3][3][in]; flipped: in and out, as the product has them, exchanged */
	bool flipped;
};

/* w [input channel - first][tap][lane], zero beyond the last output channel. */
static void gather(
	const struct winograd_pack *pack, float *w, unsigned lanes, unsigned col, unsigned first, unsigned end)
{
	const struct conv_product *product = pack->product;
	const size_t in_c = product->in_c, out_c = product->out_c;
	memset(w, 0, PACK_DEPTH * 9 * lanes * sizeof(float));
	if (pack->flipped) {
		unsigned columns = product->out_c - col < lanes ? product->out_c - col : lanes;
		for (unsigned k = first; k < end; k++) {
			for (size_t tap = 0; tap < 9; tap++)
				memcpy(w + ((k - first) * 9 + tap) * lanes,
					pack->weights + (k * 9 + 8 - tap) * out_c + col, columns * sizeof(float));
		}
		return;
	}
	for (unsigned o = 0; o < lanes && col + o < product->out_c; o++) {
		for (size_t tap = 0; tap < 9; tap++) {
			const float *from = pack->weights + ((col + o) * 9 + tap) * in_c;
			for (unsigned k = first; k < end; k++)
				w[((k - first) * 9 + tap) * lanes + o] = from[k];
		}
	}
}

static void pack_task(void *ctx, size_t task, unsigned thread)
{
	const struct winograd_pack *pack = ctx;
	const struct conv_product *product = pack->product;
	const struct kernels *kernels = pack->workspace->kernels;
	const unsigned m = product->winograd.m, lanes = kernels->lanes, unit = conv_unit(product->element);
	unsigned first = (unsigned)task * PACK_DEPTH;
	unsigned end = product->in_c - first < PACK_DEPTH ? product->in_c : first + PACK_DEPTH;
	float w[(PACK_DEPTH + 1) * 9 * LANES_MAX];
	unsigned width;
	(void)thread;
	for (unsigned col = 0; col < product->out_c; col += width) {
		width = kernels_panel(kernels, product->out_c - col);
		size_t panel = conv_winograd_points(&product->winograd) * (size_t)product->in_c * col,
		       point_stride = (size_t)product->in_c * width;
		for (unsigned c = 0; c < width; c += lanes) {
			gather(pack, w, lanes, col + c, first, end);
			for (unsigned k = first; k < end; k += unit) {
				struct tensor u = tensor_at((struct tensor){pack->workspace->weights, product->element},
					panel + (size_t)k * width + c * unit);
				const float *wk = w + (k - first) * 9 * lanes;
				kernels->transforms->weights(m, u, point_stride, wk, wk + 9 * lanes);
			}
		}
	}
}

void conv_winograd_pack(
	const struct conv_product *product, struct workspace *workspace, const float *weights, bool flipped)
{
	struct winograd_pack pack = {product, workspace, weights, flipped};
	team_for(workspace->team, (product->in_c + PACK_DEPTH - 1) / PACK_DEPTH, pack_task, &pack);
}

/* -------------------------------------------------------------------------------------------------------- product */

static const uint32_t *panel_offsets(
	const struct conv_winograd *winograd, const struct kernels *kernels, unsigned width)
{
	size_t i = 0;
	while (kernels->panels[i] != width)
		i++;
	return winograd->c_offset + i * winograd->tiles;
}

void conv_winograd_tile(const struct conv_product *product, const struct workspace *workspace, const float *pack,
	float *out, void *scratch, struct conv_place place)
{
	const struct conv_winograd *winograd = &product->winograd;
	const struct conv_tiling *tiling = &product->tiling;
	const struct kernels *kernels = workspace->kernels;
	const enum element element = product->element;
	const unsigned points = conv_winograd_points(winograd);
	const size_t tiles = conv_winograd_tiles(winograd, &place);
	struct tensor v = {scratch, element};
	float *products = conv_after(scratch, v_bytes(product));
	struct winograd_in_job in = {
		.m = winograd->m,
		.x = pack,
		.x_offset = winograd->x_offset,
		.row_stride = (size_t)tiling->window.pack_w * product->in_c,
		.pixel_stride = product->in_c,
		.tiles = tiles,
		.channels = product->in_c,
		.v = v,
		.tile_stride = product->in_c,
		.point_stride = winograd->v_stride,
	};
	kernels->transforms->in(&in);

	struct gemm_segment segment = {0, product->in_c / conv_unit(element)};
	struct gemm_job job = {.element = element,
		.a_offset = winograd->a_offset,
		.segments = &segment,
		.segment_count = 1,
		.rows = tiles};
	bool last = place.first_line + place.lines == tiling->lines;
	for (unsigned col = 0; col < product->out_c; col += job.width) {
		job.width = kernels_panel(kernels, product->out_c - col);
		job.cols = job.width;
		job.c_offset = panel_offsets(winograd, kernels, job.width);
		const char *u = element_at(workspace->weights, element, points * (size_t)product->in_c * col);
		for (unsigned p = 0; p < points; p++) {
			job.a = tensor_at(v, p * winograd->v_stride).data;
			job.b = u + p * (size_t)product->in_c * job.width * element_bytes(element);
			job.c = products + p * winograd->m_stride;
			kernels->products->gemm(&job);
		}
		struct winograd_out_job output = {
			.m = winograd->m,
			.products = products,
			.point_stride = winograd->m_stride,
			.width = job.width,
			.cols = product->out_c - col < job.width ? product->out_c - col : job.width,
			.tile = last ? winograd->tile_last : winograd->tile,
			.tiles = tiles,
			.y = out + col,
			.row_stride = (size_t)tiling->width * product->out_c,
			.pixel_stride = product->out_c,
		};
		kernels->transforms->out(&output);
	}
}
