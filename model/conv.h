/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A convolution with what is fused to it, as one step over the batch in tiles:
 *   forward   [BN-apply + ReLU of the input -> convolution -> moments of the output]
 *   backward  [BN-backward of the output's gradient -> data gradient -> the caller's epilogue], and the weight
 * gradient. A dense layer is a convolution of 1x1 maps. conv.c has the algorithm.
 */
#ifndef RINGCLR_MODEL_CONV_H
#define RINGCLR_MODEL_CONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/batchnorm.h"
#include "model/kernels.h"
#include "model/workspace.h"
#include "pipeline/arena.h"
#include "pipeline/error.h"

struct conv_shape {
	unsigned in_h, in_w, in_c;
	unsigned out_h, out_w, out_c; /* out_h = (in_h + 2 pad - kernel) / stride + 1 */
	unsigned kernel, stride, pad;
};

/* What a step reads: data [rows][h][w][c] as it is, or, with bn, relu(bn(data)). */
struct conv_source {
	const float *data;
	const struct batchnorm *bn;
};

/* The gradient of y: dz [rows][out_h][out_w][out_c] as it is, or, with bn, taken through BN's backward with y. */
struct conv_gradient {
	const float *dz, *y;
	const struct batchnorm *bn;
};

/* Called on a finished tile of dx, [pixels][in_c], starting at pixel `first` of the batch; lanes: 3 in_c floats. */
typedef void conv_epilogue(void *ctx, size_t task, float *dx, size_t first, size_t pixels, float *lanes);

/* How a sweep cuts images: a tile is `images` whole images, or a band of `band` rows of one. */
struct conv_tiling {
	unsigned images;	 /* in a tile; 1 when banded */
	unsigned band, bands;	 /* rows of the swept grid in a band; bands of an image */
	unsigned pack_h, pack_w; /* of one packed image or band */
	size_t pack_floats;	 /* of one tile */
};

/* One residue class of input pixels modulo the stride: its gradient is a stride-1 convolution of dy with some of the
 * taps. */
struct conv_phase {
	unsigned y, x; /* the residues */
	unsigned tap_count;
	uint16_t *taps; /* ky * kernel + kx */
	struct gemm_segment *segments;
	size_t segment_count;
	uint32_t *a_offset, *c_offset; /* of the class's pixels in a tile */
};

struct conv {
	struct conv_shape shape;
	struct conv_tiling forward, data;
	bool direct;		       /* the input needs no packing */
	uint32_t *a_offset, *c_offset; /* of a forward tile's output pixels */
	struct gemm_segment *segments;
	size_t segment_count;

	struct conv_phase *phases; /* stride x stride of them; NULL: no data gradient */
	int tap_low;		   /* smallest row (and column) of dy that a phase reads, relative to its own */

	unsigned splits;      /* of the batch, for the weight gradient; 0: none */
	unsigned group_width; /* columns that one weight-gradient task takes */
};

/* lazy: the input comes with bn. Raises the workspace's needs. */
int conv_plan(struct conv *conv, const struct conv_shape *shape, bool lazy, bool data_gradient, bool weight_gradient,
	struct workspace *workspace, struct arena *arena, struct error *err);

/* y [rows][out_h][out_w][out_c] from weights [out_c][kernel][kernel][in_c]. moments: fills the sums of the returned
 * number of tasks for batchnorm_close(). */
size_t conv_forward(const struct conv *conv, struct workspace *workspace, struct conv_source source,
	const float *weights, float *y, uint32_t rows, bool moments);

/* dx (+)= the data gradient. The sums are cleared first; returns the number of tasks that epilogue saw. */
size_t conv_backward_data(const struct conv *conv, struct workspace *workspace, struct conv_gradient gradient,
	const float *weights, float *dx, bool add, uint32_t rows, conv_epilogue *epilogue, void *ctx);

void conv_backward_weights(const struct conv *conv, struct workspace *workspace, struct conv_gradient gradient,
	struct conv_source source, float *grad, uint32_t rows);

/* Shared by conv.c and conv_backward.c: runs the product of a packed matrix of `depth` rows and `cols` columns with a
 * tile. */
void conv_product(const struct kernels *kernels, struct gemm_job *job, const struct gemm_segment *segments,
	size_t segment_count, const float *packed, size_t depth, unsigned cols);
void conv_pack_source(const struct conv *conv, const struct kernels *kernels, struct conv_source source, float *pack,
	uint32_t row, unsigned images, unsigned band);
unsigned conv_tile_images(const struct conv_tiling *tiling, uint32_t left);

#endif
