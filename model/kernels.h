/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of compute kernels, one set per instruction set, all with the same meaning as kernels_reference.
 *
 *   products    two matrix products carry the convolutions. Neither needs an im2col matrix: rows are found through
 *               tables of offsets, so a row may be the patch of a padded image, a pixel of a tensor as it lies, or a
 *               tile of one Winograd point
 *   passes      what is done once to every element of a [pixels][channels] block, coefficients per channel
 *   transforms  into and out of Winograd's domain
 *
 * Every kernel sums in an order fixed by its arguments, so results depend on the table but never on threads or
 * addresses.
 */
#ifndef RINGCLR_MODEL_KERNELS_H
#define RINGCLR_MODEL_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/element.h"
#include "pipeline/cpu.h"

/* ------------------------------------------------------------------------------------------------ matrix products */

/*
 * Products multiply 4-byte units: with fp32 a unit is one number; with bf16 it is a pair of neighbours in k, of which
 * both products are added to a float. All lengths and offsets of a and b are in units.
 */

/* A run of consecutive k that is also consecutive in memory behind every row's start. */
struct gemm_segment {
	uint32_t offset; /* units from the row's start */
	uint32_t length; /* units */
};

/* c[row][0..cols) (+)= sum over k of a[row][k] b[k][0..cols), where row r of a starts at a + a_offset[r] and its k run
 * through the segments, and row r of c starts at c + c_offset[r]. b is one packed panel: [k][width], zero beyond cols.
 */
struct gemm_job {
	enum element element; /* of a and b */
	const void *a;
	const uint32_t *a_offset;
	const struct gemm_segment *segments;
	size_t segment_count;
	const void *b;
	unsigned width; /* one of the table's panel widths */
	unsigned cols;	/* 1..width */
	float *c;
	const uint32_t *c_offset; /* floats */
	size_t rows;
	bool add; /* false: c is overwritten */
};

/* c[m][0..width) (+)= sum over pixels p of a[a_offset[p] + m] b[p][0..width): m < rows. b's pixels lie `b_stride`
 * units apart; c is [rows][width]. All `width` columns of b are read and of c are written. With bf16 a unit is a pair
 * of neighbours in p. */
struct outer_job {
	enum element element;
	const void *a;
	const uint32_t *a_offset;
	const void *b;
	size_t b_stride;
	size_t pixels; /* units */
	size_t rows;
	unsigned width;
	float *c;
	bool add;
};

struct products {
	void (*gemm)(const struct gemm_job *job);
	void (*outer)(const struct outer_job *job);
	/* out[pixel / 2][columns][2] from in [pixel][stride]: pairs for outer(). An odd last pixel is paired with zero.
	 * bf16; pixel p of `in` starts at in + in_offset[p], or at p * in_stride where in_offset is NULL. */
	void (*pair)(bf16 *out, const bf16 *in, const uint32_t *in_offset, size_t in_stride, size_t pixels,
		size_t columns, size_t out_columns);
};

/* --------------------------------------------------------------------------------- passes over [pixels][channels] */

/* Per channel: z = (y - mean) scale + beta. */
struct bn_forward {
	const float *mean, *scale, *beta;
};

/* Per channel: dy = a dz + b (y - mean) + c. */
struct bn_backward {
	const float *mean, *a, *b, *c;
};

/* What a convolution's data gradient still goes through, while its tile is in cache; s1, s2, s3: sums per channel. */
struct finish_job {
	const float *g;	      /* [pixels][channels] */
	struct tensor dx;     /* out */
	bool add;	      /* what dx held is added to g first */
	struct tensor z;      /* data NULL: no mask; else g is zeroed where z <= 0 */
	struct bn_forward bn; /* mean NULL: no mask; else g is zeroed where bn(y) <= 0 */
	struct tensor y, y2;  /* data NULL: no sums; s1 = sum g, s2 = sum g (y - mean), s3 = sum g (y2 - mean2) */
	const float *mean, *mean2;
	float *s1, *s2, *s3;
	size_t pixels, channels;
};

struct passes {
	/* z = y in another type; z = bn(y); z = relu(bn(y)). */
	void (*convert)(struct tensor z, struct tensor y, size_t count);
	void (*bn_apply)(struct tensor z, struct tensor y, struct bn_forward bn, size_t pixels, size_t channels);
	void (*bn_relu)(struct tensor z, struct tensor y, struct bn_forward bn, size_t pixels, size_t channels);
	/* z = relu(bn(y) + skip); z = relu(bn(y) + bn2(y2)). All of one type. */
	void (*join)(struct tensor z, struct tensor y, struct bn_forward bn, struct tensor skip, size_t pixels,
		size_t channels);
	void (*join2)(struct tensor z, struct tensor y, struct bn_forward bn, struct tensor y2, struct bn_forward bn2,
		size_t pixels, size_t channels);

	/* Writes y in its type, and takes moments of what was written about the block's first pixel:
	 * d1[c] = sum of (y - y[0][c]), d2[c] = sum of (y - y[0][c])^2. */
	void (*store_moments)(struct tensor y, const float *tile, float *d1, float *d2, size_t pixels, size_t channels);

	/* dy from dz and y; dz and y are [pixels][stride], dy is [pixels][dy_stride]; `channels` of each are used. */
	void (*bn_backward)(struct tensor dy, size_t dy_stride, struct tensor dz, struct tensor y, size_t stride,
		struct bn_backward bn, size_t pixels, size_t channels);

	void (*finish)(const struct finish_job *job);

	/* z[c] = max over taps of relu(bn(tap[c])). Its backward adds g[c] to the first tap that holds the maximum;
	 * gtaps are floats. */
	void (*pool_max)(
		struct tensor z, const struct tensor taps[], size_t count, struct bn_forward bn, size_t channels);
	void (*pool_max_backward)(float *const gtaps[], const struct tensor taps[], size_t count, struct tensor g,
		struct bn_forward bn, size_t channels);

	/* z[c] = mean over pixels. Its backward: g[p][c] = dz[c] / pixels. */
	void (*pool_mean)(float *z, struct tensor x, size_t pixels, size_t channels);
	void (*pool_mean_backward)(float *g, const float *dz, size_t pixels, size_t channels);
};

/* ----------------------------------------------------------------------------------------- Winograd's transforms */

/*
 * F(m x m, 3 x 3), m 2 or 4, n = m + 2 (Lavin and Gray 2016, arXiv 1509.09308): an output tile of m x m pixels comes
 * from n x n input pixels as
 *     y = A^T [ (G w G^T) . (B^T x B) ] A,
 * the dot being a product per point, summed over input channels. Its adjoints give the gradients: of the weights
 *     dw = G^T [ (A dy A^T) . (B^T x B) ] G.
 * V, Z, M and dU are [point][tile][...]; `point_stride` is the distance of two points in elements.
 */
enum { WINOGRAD_POINTS_MAX = 36 };

/* v[point][tile][channel] = B^T x B of the n x n pixels from x + x_offset[tile] on. Pairs: v is
 * [point][tile / 2][channel][2], for outer() in bf16; an odd last tile is paired with zero. v is fp32, or with m 2
 * bf16; pairs are bf16. */
struct winograd_in_job {
	unsigned m;
	const float *x;
	const uint32_t *x_offset;
	size_t row_stride, pixel_stride;
	size_t tiles, channels;
	struct tensor v;
	size_t tile_stride, point_stride; /* elements; a pair of tiles takes two tile_strides */
	bool pairs;
};

/* y = A^T M A, written to the pixels that exist: `rows` x `cols` of the m x m. */
struct winograd_tile {
	uint32_t offset; /* of its first pixel in y, floats */
	uint8_t rows, cols;
};

struct winograd_out_job {
	unsigned m;
	const float *products; /* [point][tile][width] */
	size_t point_stride;
	unsigned width, cols; /* `cols` of the `width` channels exist */
	const struct winograd_tile *tile;
	size_t tiles;
	float *y;
	size_t row_stride, pixel_stride;
};

struct transforms {
	void (*in)(const struct winograd_in_job *job);
	/* As in(), but v = A x A^T of the m x m pixels: Z from dy. */
	void (*gradient)(const struct winograd_in_job *job);
	void (*out)(const struct winograd_out_job *job);
	/* u[point][lane] = G w G^T of w[9][lane], for `lanes` (the table's) columns at once. A bf16 u takes pairs, of w
	 * and the next input channel's w2: u[point][lane][2]. point_stride in elements. */
	void (*weights)(unsigned m, struct tensor u, size_t point_stride, const float *w, const float *w2);
	/* dw[9][lane] = G^T du G of du[point][lane], whose points lie point_stride floats apart. */
	void (*weight_gradient)(unsigned m, float *dw, const float *du, size_t point_stride);
};

/* --------------------------------------------------------------------------------------------------------- tables */

struct kernels {
	const char *name;
	unsigned lanes;	    /* floats of one vector */
	unsigned panels[3]; /* widths of packed panels, falling; 0: none */
	const struct products *products;
	const struct passes *passes;
	const struct transforms *transforms;
};

/* Scalar, readable, sums in double: what the others are tested against. */
extern const struct kernels kernels_reference;

const struct kernels *kernels_for(enum cpu_isa isa);

/* The width of the panel that comes next when `left` columns are not packed yet. */
unsigned kernels_panel(const struct kernels *kernels, unsigned left);

/* Columns of all panels of a matrix with `cols` columns. */
size_t kernels_padded(const struct kernels *kernels, unsigned cols);

#endif
