/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses how each pass of a convolution is computed, and runs the sweep that forward and data gradient share.
 *
 * A tile is a few whole images, or a band of lines of a large one, small enough for the L2 cache. Its operand is copied
 * once ("packed") into scratch with a border of zeros, and BN-apply + ReLU (forward) or BN's backward (data gradient)
 * on the way. The product makes the tile's output in scratch, always in floats. Then, still in cache, forward stores it
 * and takes its moments; a data gradient goes to the epilogue.
 *
 * Tiles depend on shapes and rows alone, so sums are the same for any team.
 */
#include "model/conv_internal.h"

#include <string.h>

/* Winograd's transforms pay from this many channels on. */
enum { WINOGRAD_CHANNELS = 16 };

static enum element multiplied(const struct conv_config *config)
{
	const struct conv_shape *s = &config->shape;
	bool halved = config->precision == PRECISION_BF16 && config->in == ELEMENT_BF16 && config->out == ELEMENT_BF16;
	return halved && s->in_c % 2 == 0 && s->out_c % 2 == 0 ? ELEMENT_BF16 : ELEMENT_FP32;
}

static enum conv_path choose_path(const struct conv_config *config)
{
	const struct conv_shape *s = &config->shape;
	if (s->kernel != 3 || s->stride != 1 || s->pad != 1 || config->choice == CONV_CHOICE_DIRECT)
		return CONV_DIRECT;
	bool pays = s->in_c >= WINOGRAD_CHANNELS && s->out_c >= WINOGRAD_CHANNELS;
	return pays || config->choice == CONV_CHOICE_WINOGRAD ? CONV_WINOGRAD : CONV_DIRECT;
}

const char *conv_path_name(enum conv_path path, enum element element)
{
	if (path == CONV_WINOGRAD)
		return element == ELEMENT_BF16 ? "winograd2 bf16" : "winograd4 fp32";
	return element == ELEMENT_BF16 ? "direct bf16" : "direct fp32";
}

size_t conv_window_elements(const struct conv_tiling *tiling)
{
	const struct conv_window *window = &tiling->window;
	return (size_t)tiling->images * window->pack_h * window->pack_w * window->pack_c;
}

static void need_scratch(const struct conv_product *product, struct workspace *workspace)
{
	size_t lanes = conv_align(3 * (size_t)product->out_c * sizeof(float)), bytes;
	if (product->path == CONV_WINOGRAD)
		bytes = conv_max(product->pack_bytes, product->tile_bytes) + conv_winograd_scratch_bytes(product);
	else
		bytes = product->pack_bytes + product->tile_bytes;
	workspace->scratch_bytes = conv_max(workspace->scratch_bytes, lanes + bytes);
}

static void finish_plan(struct conv_product *product, struct workspace *workspace, unsigned taps)
{
	const struct conv_tiling *tiling = &product->tiling;
	bool packed = product->path == CONV_WINOGRAD || !product->direct.in_place;
	if (packed)
		product->pack_bytes = conv_align(conv_window_elements(tiling) * element_bytes(tiling->window.element));
	product->tile_bytes =
		conv_align((size_t)tiling->images * tiling->band * tiling->width * tiling->channels * sizeof(float));
	need_scratch(product, workspace);
	size_t bytes = product->path == CONV_WINOGRAD ? conv_winograd_weight_bytes(product, workspace->kernels)
						      : conv_direct_weight_bytes(product, workspace->kernels, taps);
	workspace->weight_bytes = conv_max(workspace->weight_bytes, bytes);
}

static int plan_product(
	struct conv *conv, bool data, struct workspace *workspace, struct arena *arena, struct error *err)
{
	const struct conv_shape *s = &conv->config.shape;
	struct conv_product *product = data ? &conv->data : &conv->forward;
	int code;
	product->path = choose_path(&conv->config);
	product->element = multiplied(&conv->config);
	product->in_c = data ? s->out_c : s->in_c;
	product->out_c = data ? s->in_c : s->out_c;
	if (product->path == CONV_WINOGRAD)
		code = conv_winograd_plan(product, s, workspace->kernels, arena, err);
	else if (data)
		code = conv_direct_plan_data(conv, arena, err);
	else
		code = conv_direct_plan_forward(conv, arena, err);
	if (code < 0)
		return code;
	finish_plan(product, workspace, s->kernel * s->kernel);
	return 0;
}

int conv_plan(struct conv *conv, const struct conv_config *config, struct workspace *workspace, struct arena *arena,
	struct error *err)
{
	const struct conv_shape *s = &config->shape;
	memset(conv, 0, sizeof *conv);
	conv->config = *config;
	unsigned channels = s->in_c > s->out_c ? s->in_c : s->out_c;
	if (workspace->channels_max < channels)
		workspace->channels_max = channels;
	int code = plan_product(conv, false, workspace, arena, err);
	if (code == 0 && config->data_gradient)
		code = plan_product(conv, true, workspace, arena, err);
	if (code == 0 && config->weight_gradient)
		code = conv_weights_plan(conv, workspace, arena, err);
	return code;
}

/* ---------------------------------------------------------------------------------------------------------- tiles */

unsigned conv_tile_images(const struct conv_tiling *tiling, uint32_t left)
{
	uint32_t tiles = (left + tiling->images - 1) / tiling->images;
	return (unsigned)((left + tiles - 1) / tiles);
}

struct conv_place conv_place(const struct conv_tiling *tiling, uint32_t row, unsigned images, unsigned band)
{
	struct conv_place place = {row, images, band, band * tiling->band, tiling->band};
	if (place.lines > tiling->lines - place.first_line)
		place.lines = tiling->lines - place.first_line;
	return place;
}

/* One row of pixels of the operand, `pixel` being its first, without border. */
static void pack_row(const struct kernels *kernels, const struct conv_window *window,
	const struct conv_operand *operand, void *to, size_t pixel, size_t columns)
{
	const struct passes *passes = kernels->passes;
	size_t channels = window->channels, at = pixel * channels;
	struct tensor out = {to, window->element}, x = tensor_at(operand->x, at);
	if (operand->y.data != NULL)
		passes->bn_backward(out, window->pack_c, x, tensor_at(operand->y, at), channels,
			batchnorm_backward(operand->bn), columns, channels);
	else if (operand->bn != NULL)
		passes->bn_relu(out, x, batchnorm_forward(operand->bn), columns, channels);
	else
		passes->convert(out, x, columns * channels);
}

void conv_pack(const struct kernels *kernels, const struct conv_window *window, const struct conv_operand *operand,
	void *pack, struct conv_place place)
{
	const size_t bytes = element_bytes(window->element), pixel_bytes = window->pack_c * bytes;
	size_t left = window->border;
	size_t columns = window->pack_w - left < window->width ? window->pack_w - left : window->width;
	size_t right = window->pack_w - left - columns;
	for (unsigned i = 0; i < place.images * window->pack_h; i++) {
		long y = (long)(place.band * window->step + i % window->pack_h) - (long)window->border;
		char *to = (char *)pack + (size_t)i * window->pack_w * pixel_bytes;
		if (y < 0 || y >= (long)window->height) {
			memset(to, 0, window->pack_w * pixel_bytes);
			continue;
		}
		size_t image = place.row + i / window->pack_h;
		memset(to, 0, left * pixel_bytes);
		to += left * pixel_bytes;
		if (window->pack_c > window->channels)
			memset(to, 0, columns * pixel_bytes);
		pack_row(kernels, window, operand, to, (image * window->height + (size_t)y) * window->width, columns);
		memset(to + columns * pixel_bytes, 0, right * pixel_bytes);
	}
}

/* ---------------------------------------------------------------------------------------------------------- sweep */

struct sweep {
	const struct conv_product *product;
	struct workspace *workspace;
	struct workspace_split split;
	struct conv_operand operand;
	conv_epilogue *epilogue;
	void *ctx;
};

static void sweep_tile(const struct sweep *sweep, size_t task, struct conv_place place, void *scratch)
{
	const struct conv_product *product = sweep->product;
	const struct conv_tiling *tiling = &product->tiling;
	const struct conv_window *window = &tiling->window;
	float *lanes = scratch;
	float *out = conv_after(scratch, conv_align(3 * (size_t)product->out_c * sizeof(float)));
	if (product->path == CONV_WINOGRAD) {
		/* The output takes the place of the packed operand, which by then is transformed. */
		conv_pack(sweep->workspace->kernels, window, &sweep->operand, out, place);
		conv_winograd_tile(product, sweep->workspace, out, out,
			conv_after(out, conv_max(product->pack_bytes, product->tile_bytes)), place);
	} else if (product->direct.in_place) {
		size_t pixel = ((size_t)place.row * window->height + place.band * window->step) * window->width;
		const void *a = tensor_at(sweep->operand.x, pixel * window->channels).data;
		conv_direct_tile(product, sweep->workspace, a, out, place);
	} else {
		void *pack = conv_after(out, product->tile_bytes);
		conv_pack(sweep->workspace->kernels, window, &sweep->operand, pack, place);
		conv_direct_tile(product, sweep->workspace, pack, out, place);
	}
	size_t first = ((size_t)place.row * tiling->lines + place.first_line) * tiling->width;
	sweep->epilogue(sweep->ctx, task, out, first, (size_t)place.images * place.lines * tiling->width, lanes);
}

static void sweep_task(void *ctx, size_t task, unsigned thread)
{
	const struct sweep *sweep = ctx;
	const struct conv_tiling *tiling = &sweep->product->tiling;
	struct workspace_rows rows = workspace_task(&sweep->split, task);
	void *scratch = workspace_scratch(sweep->workspace, thread);
	batchnorm_clear(sweep->workspace, task, sweep->product->out_c);
	for (uint32_t row = rows.first; row < rows.end;) {
		unsigned images = conv_tile_images(tiling, rows.end - row);
		for (unsigned band = 0; band < tiling->bands; band++)
			sweep_tile(sweep, task, conv_place(tiling, row, images, band), scratch);
		row += images;
	}
}

static size_t run(struct sweep *sweep, uint32_t rows)
{
	sweep->split = workspace_split(rows, sweep->product->tiling.images);
	team_for(sweep->workspace->team, sweep->split.tasks, sweep_task, sweep);
	return sweep->split.tasks;
}

struct forward_store {
	struct workspace *workspace;
	struct tensor y;
	unsigned channels;
};

static void store_forward(void *ctx, size_t task, const float *tile, size_t first, size_t pixels, float *lanes)
{
	const struct forward_store *store = ctx;
	batchnorm_store_tile(store->workspace, task, tensor_at(store->y, first * store->channels), tile, pixels,
		store->channels, lanes);
}

size_t conv_forward(const struct conv *conv, struct workspace *workspace, struct conv_operand source,
	const float *weights, struct tensor y, uint32_t rows)
{
	struct forward_store store = {workspace, y, conv->forward.out_c};
	struct sweep sweep = {&conv->forward, workspace, {0}, source, store_forward, &store};
	if (conv->forward.path == CONV_WINOGRAD)
		conv_winograd_pack(&conv->forward, workspace, weights, false);
	else
		conv_direct_pack_forward(conv, workspace, weights);
	return run(&sweep, rows);
}

size_t conv_backward_data(const struct conv *conv, struct workspace *workspace, struct conv_operand gradient,
	const float *weights, uint32_t rows, conv_epilogue *epilogue, void *ctx)
{
	struct sweep sweep = {&conv->data, workspace, {0}, gradient, epilogue, ctx};
	if (conv->data.path == CONV_WINOGRAD)
		conv_winograd_pack(&conv->data, workspace, weights, true);
	else
		conv_direct_pack_data(conv, workspace, weights);
	return run(&sweep, rows);
}
