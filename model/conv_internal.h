/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files conv*.c alone. */
#ifndef RINGCLR_MODEL_CONV_INTERNAL_H
#define RINGCLR_MODEL_CONV_INTERNAL_H

#include "model/conv.h"

/* One of a sweep's tiles: whole images from `row` on, or lines [first_line, first_line + lines) of one. */
struct conv_place {
	uint32_t row;
	unsigned images, band, first_line, lines;
};

/* Pieces of scratch, one behind the other, on cache lines. */
static inline size_t conv_align(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

static inline void *conv_after(void *memory, size_t bytes)
{
	return (char *)memory + bytes;
}

static inline size_t conv_max(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* Numbers of depth behind one another that make a unit of the products. */
static inline unsigned conv_unit(enum element element)
{
	return element == ELEMENT_BF16 ? 2 : 1;
}

/* conv.c */

/* Elements of a packed tile. */
size_t conv_window_elements(const struct conv_tiling *tiling);
/* Tiles of what is left of a task, as equal as they come: a small last one would run at half speed. */
unsigned conv_tile_images(const struct conv_tiling *tiling, uint32_t left);
struct conv_place conv_place(const struct conv_tiling *tiling, uint32_t row, unsigned images, unsigned band);
void conv_pack(const struct kernels *kernels, const struct conv_window *window, const struct conv_operand *operand,
	void *pack, struct conv_place place);

/* conv_direct.c */
int conv_direct_plan_forward(struct conv *conv, struct arena *arena, struct error *err);
int conv_direct_plan_data(struct conv *conv, struct arena *arena, struct error *err);
size_t conv_direct_weight_bytes(const struct conv_product *product, const struct kernels *kernels, unsigned taps);
/* Pack weights [out_c][taps][in_c] for the product. */
void conv_direct_pack_forward(const struct conv *conv, struct workspace *workspace, const float *weights);
void conv_direct_pack_data(const struct conv *conv, struct workspace *workspace, const float *weights);
/* The tile's output, [pixels][out_c], from its packed operand (or the operand itself, in place). */
void conv_direct_tile(const struct conv_product *product, const struct workspace *workspace, const void *a, float *out,
	struct conv_place place);

/* conv_winograd.c */
static inline unsigned conv_winograd_points(const struct conv_winograd *winograd)
{
	return (winograd->m + 2) * (winograd->m + 2);
}

/* Cuts an output of lines x width x channels into tiles of about `wanted` of Winograd's, and lays out the packed
 * operand, of the output's size with a border of `pad`. */
void conv_winograd_plan_tiling(struct conv_winograd *winograd, struct conv_tiling *tiling, enum element element,
	unsigned in_c, unsigned pad, unsigned wanted);
int conv_winograd_plan(struct conv_product *product, const struct conv_shape *shape, const struct kernels *kernels,
	struct arena *arena, struct error *err);
int conv_winograd_plan_tiles(struct conv_winograd *winograd, const struct conv_tiling *tiling, enum element element,
	struct arena *arena, struct error *err);
size_t conv_winograd_tiles(const struct conv_winograd *winograd, const struct conv_place *place);
size_t conv_winograd_weight_bytes(const struct conv_product *product, const struct kernels *kernels);
size_t conv_winograd_scratch_bytes(const struct conv_product *product);
void conv_winograd_pack(
	const struct conv_product *product, struct workspace *workspace, const float *weights, bool flipped);
void conv_winograd_tile(const struct conv_product *product, const struct workspace *workspace, const float *pack,
	float *out, void *scratch, struct conv_place place);

/* conv_weights.c */
struct conv_weight_sweep {
	const struct conv *conv;
	struct workspace *workspace;
	struct conv_operand gradient, source;
	float *grad;
	uint32_t rows;
	unsigned splits, groups;
	uint32_t chunk_first, chunk_rows; /* Winograd: rows that are being worked on */
};

int conv_weights_plan(struct conv *conv, struct workspace *workspace, struct arena *arena, struct error *err);
/* The panels of one split's partial sum: [panel][tap][in_c][width]. */
float *conv_weights_partial(const struct conv_weight_sweep *sweep, size_t split);
struct workspace_rows conv_weights_rows(const struct conv_weight_sweep *sweep, size_t split);

/* conv_weights_winograd.c */
int conv_weights_winograd_plan(struct conv *conv, struct workspace *workspace, struct arena *arena, struct error *err);
/* Fills the partial sums of all splits. */
void conv_weights_winograd(struct conv_weight_sweep *sweep);

#endif
