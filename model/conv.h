/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A convolution with what is fused to it, as one sweep over the batch in tiles:
 *   forward   [BN-apply + ReLU of the input -> convolution -> moments of the output]
 *   backward  [BN-backward of the output's gradient -> data gradient -> the caller's epilogue], and the weight
 * gradient. A dense layer is a convolution of 1x1 maps.
 *
 *   conv.c                   what is computed how; the sweep that forward and data gradient share; packing of tiles
 *   conv_direct.c            products of patches read in place (implicit GEMM), any kernel and stride
 *   conv_winograd.c          products of Winograd's points, 3x3 stride 1
 *   conv_weights.c           weight gradients: the splits of the batch and their sum; the direct product
 *   conv_weights_winograd.c  the same from Winograd's points
 */
#ifndef RINGCLR_MODEL_CONV_H
#define RINGCLR_MODEL_CONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/batchnorm.h"
#include "model/kernels.h"
#include "model/net.h"
#include "model/workspace.h"
#include "pipeline/arena.h"
#include "pipeline/error.h"

struct conv_shape {
	unsigned in_h, in_w, in_c;
	unsigned out_h, out_w, out_c; /* out_h = (in_h + 2 pad - kernel) / stride + 1 */
	unsigned kernel, stride, pad;
};

struct conv_config {
	struct conv_shape shape;
	enum element in, out; /* what input and output are kept in, and their gradients */
	bool lazy;	      /* the input comes with BN */
	enum precision precision;
	enum conv_choice choice;
	bool data_gradient, weight_gradient;
};

/* What a sweep reads: x as it is, or, with bn, relu(bn(x)), or, with y too, x as the gradient of bn(y) taken through
 * BN's backward. */
struct conv_operand {
	struct tensor x, y;
	const struct batchnorm *bn;
};

/* Called on a finished tile of the data gradient, [pixels][in_c], which starts at pixel `first` of the batch; it is the
 * callee that stores it. lanes: scratch for 3 in_c floats. */
typedef void conv_epilogue(void *ctx, size_t task, const float *tile, size_t first, size_t pixels, float *lanes);

/* How the tile of an operand is copied ("packed"), with a border of zeros: [images][pack_h][pack_w][pack_c]. */
struct conv_window {
	unsigned height, width, channels; /* of the operand's images */
	unsigned pack_h, pack_w;
	unsigned pack_c; /* channels, or more: zeros */
	unsigned border; /* rows above and columns left of the image */
	unsigned step;	 /* the operand's rows from one band to the next */
	enum element element;
};

/* How a sweep cuts its output: a tile is `images` whole images, or a band of lines of one. */
struct conv_tiling {
	unsigned lines, width, channels; /* of the output's images */
	unsigned images;		 /* in a tile; 1 when banded */
	unsigned band, bands;		 /* lines of a band (the last may have fewer); bands of an image */
	struct conv_window window;
};

/* Output pixels that are found alike. Forward has one phase. A data gradient has one for each residue class of input
 * pixels modulo the stride: its gradient is a stride-1 convolution of dy with some of the taps. */
struct conv_phase {
	unsigned y, x; /* the residues */
	unsigned tap_count;
	uint16_t *taps; /* ky * kernel + kx */
	struct gemm_segment *segments;
	size_t segment_count, depth;   /* units */
	uint32_t *a_offset, *c_offset; /* of the phase's pixels in a tile */
};

struct conv_direct {
	bool in_place;	      /* the operand needs no packing */
	unsigned phases_side; /* stride of a data gradient, else 1: phases_side^2 phases */
	struct conv_phase *phases;
	int tap_low; /* smallest row (and column) of dy that a phase reads, relative to its own */
};

struct conv_winograd {
	unsigned m;				/* F(m x m, 3 x 3): 4 in fp32, 2 in bf16 */
	unsigned tiles_w;			/* Winograd's tiles in a line of them */
	size_t tiles;				/* most in one of the sweep's tiles */
	size_t v_stride, m_stride;		/* between points: elements of V, floats of M */
	uint32_t *x_offset;			/* of tiles in the packed operand */
	uint32_t *a_offset;			/* of tiles in one point of V, units */
	uint32_t *c_offset;			/* of tiles in one point of M, for panels of the widest kind */
	struct winograd_tile *tile, *tile_last; /* where outputs go; in an image's last band */
};

enum conv_path { CONV_DIRECT, CONV_WINOGRAD };

/* Forward, or data gradient: from an operand of in_c channels to an output of out_c. */
struct conv_product {
	enum conv_path path;
	enum element element; /* of what is multiplied */
	unsigned in_c, out_c;
	struct conv_tiling tiling;
	struct conv_direct direct;
	struct conv_winograd winograd;
	size_t pack_bytes, tile_bytes; /* of scratch: the packed operand; the output */
};

struct conv_weights {
	enum conv_path path;
	enum element element;
	unsigned splits;	   /* of the batch; 0: no weight gradient */
	unsigned group_width;	   /* direct: columns that one task takes */
	bool in_place;		   /* direct: the source needs no packing */
	struct conv_tiling tiling; /* of the output; its window is the source's */
	uint32_t *a_offset;	   /* direct: of the tile's pixels in the packed source, elements */
	uint32_t *unit_offset;	   /* i in_c: of tiles, or pairs of tiles or pixels, in what outer() reads */
	struct conv_winograd winograd;
	struct conv_window gradient; /* Winograd: the window of dy */
	uint32_t *z_offset;	     /* Winograd: of tiles in the packed dy */
	size_t z_stride;	     /* Winograd: between points of Z, elements */
	uint32_t chunk;		     /* Winograd: rows whose points are kept whole, in workspace->shared; 0: none are */
};

struct conv {
	struct conv_config config;
	struct conv_product forward, data;
	struct conv_weights weights;
};

/* Raises the workspace's needs. */
int conv_plan(struct conv *conv, const struct conv_config *config, struct workspace *workspace, struct arena *arena,
	struct error *err);

/* y [rows][out_h][out_w][out_c] from weights [out_c][kernel][kernel][in_c]. Fills the moments of the returned number of
 * tasks for batchnorm_close(). */
size_t conv_forward(const struct conv *conv, struct workspace *workspace, struct conv_operand source,
	const float *weights, struct tensor y, uint32_t rows);

/* Hands every tile of dx to the epilogue. The sums are cleared first; returns the number of tasks. */
size_t conv_backward_data(const struct conv *conv, struct workspace *workspace, struct conv_operand gradient,
	const float *weights, uint32_t rows, conv_epilogue *epilogue, void *ctx);

/* grad [out_c][kernel][kernel][in_c]. */
void conv_backward_weights(const struct conv *conv, struct workspace *workspace, struct conv_operand gradient,
	struct conv_operand source, float *grad, uint32_t rows);

/* How a pass is computed: "direct fp32", "winograd4 fp32", "winograd2 bf16". */
const char *conv_path_name(enum conv_path path, enum element element);

#endif
