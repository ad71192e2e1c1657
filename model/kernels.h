/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of compute kernels, one per instruction set, all with the same meaning as kernels_reference.
 *
 * Two matrix products carry the convolutions. Neither needs an im2col matrix: rows are found through tables of offsets,
 * so a row may be the patch of a padded image, a pixel of a tensor as it lies, or a pixel of one phase of a strided
 * gradient. The rest are passes over [pixels][channels] blocks that take their coefficients per channel.
 *
 * Every kernel sums in an order fixed by its arguments, so results depend on the table but never on threads or
 * addresses.
 */
#ifndef RINGCLR_MODEL_KERNELS_H
#define RINGCLR_MODEL_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/cpu.h"

/* A run of consecutive k that is also consecutive in memory behind every row's start. */
struct gemm_segment {
	uint32_t offset; /* floats from the row's start */
	uint32_t length; /* floats */
};

/* c[row][0..cols) (+)= sum over k of a[row][k] b[k][0..cols), where row r of a starts at a + a_offset[r] and its k run
 * through the segments, and row r of c starts at c + c_offset[r]. b is one packed panel: [k][width], zero beyond cols.
 */
struct gemm_job {
	const float *a;
	const uint32_t *a_offset;
	const struct gemm_segment *segments;
	size_t segment_count;
	const float *b;
	unsigned width; /* one of the table's panel widths */
	unsigned cols;	/* 1..width */
	float *c;
	const uint32_t *c_offset;
	size_t rows;
	bool add; /* false: c is overwritten */
};

/* c[m][0..width) (+)= sum over pixels p of a[a_offset[p] + m] b[p][0..width): m < rows. b's pixels lie `b_stride`
 * floats apart; c is [rows][width]. All `width` columns of b are read and of c are written. */
struct outer_job {
	const float *a;
	const uint32_t *a_offset;
	const float *b;
	size_t b_stride;
	size_t pixels;
	size_t rows;
	unsigned width;
	float *c;
	bool add;
};

/* Per channel: z = (y - mean) scale + beta. */
struct bn_forward {
	const float *mean, *scale, *beta;
};

/* Per channel: dy = a dz + b (y - mean) + c. */
struct bn_backward {
	const float *mean, *a, *b, *c;
};

struct kernels {
	const char *name;
	unsigned lanes;	    /* floats of one vector */
	unsigned panels[3]; /* widths of packed panels, falling; 0: none */

	void (*gemm)(const struct gemm_job *job);
	void (*outer)(const struct outer_job *job);

	/* z = bn(y); z = relu(bn(y)); z = relu(bn(y) + skip); z = relu(bn(y) + bn2(y2)). Blocks are [pixels][channels].
	 */
	void (*bn_apply)(float *z, const float *y, struct bn_forward bn, size_t pixels, size_t channels);
	void (*bn_relu)(float *z, const float *y, struct bn_forward bn, size_t pixels, size_t channels);
	void (*join)(float *z, const float *y, struct bn_forward bn, const float *skip, size_t pixels, size_t channels);
	void (*join2)(float *z, const float *y, struct bn_forward bn, const float *y2, struct bn_forward bn2,
		size_t pixels, size_t channels);

	/* Moments about the block's first pixel: d1[c] = sum of (y - y[0][c]), d2[c] = sum of (y - y[0][c])^2. */
	void (*moments)(float *d1, float *d2, const float *y, size_t pixels, size_t channels);

	/* dy from dz and y; dz and y are [pixels][stride], dy is [pixels][dy_stride]; `channels` of each are used. */
	void (*bn_backward)(float *dy, size_t dy_stride, const float *dz, const float *y, size_t stride,
		struct bn_backward bn, size_t pixels, size_t channels);

	/* s1[c] = sum of g, s2[c] = sum of g (y - mean). relu_moments first zeroes g where bn(y) <= 0. */
	void (*grad_moments)(float *s1, float *s2, const float *g, const float *y, const float *mean, size_t pixels,
		size_t channels);
	void (*relu_moments)(
		float *s1, float *s2, float *g, const float *y, struct bn_forward bn, size_t pixels, size_t channels);
	/* Zeroes g where z <= 0, then moments of g with y and, unless y2 is NULL, s3[c] = sum of g (y2 - mean2). */
	void (*join_moments)(float *s1, float *s2, float *s3, float *g, const float *z, const float *y,
		const float *mean, const float *y2, const float *mean2, size_t pixels, size_t channels);

	/* z[c] = max over taps of relu(bn(tap[c])). Its backward adds g[c] to the first tap that holds the maximum. */
	void (*pool_max)(float *z, const float *const taps[], size_t count, struct bn_forward bn, size_t channels);
	void (*pool_max_backward)(float *const gtaps[], const float *const taps[], size_t count, const float *g,
		struct bn_forward bn, size_t channels);

	/* z[c] = mean over pixels. Its backward: g[p][c] = dz[c] / pixels. */
	void (*pool_mean)(float *z, const float *x, size_t pixels, size_t channels);
	void (*pool_mean_backward)(float *g, const float *dz, size_t pixels, size_t channels);
};

extern const struct kernels
	kernels_reference; /* scalar, readable, sums in double: what the others are tested against */
extern const struct kernels kernels_portable, kernels_avx2, kernels_avx512;

const struct kernels *kernels_for(enum cpu_isa isa);

/* The width of the panel that comes next when `left` columns are not packed yet. */
unsigned kernels_panel(const struct kernels *kernels, unsigned left);

/* Columns of all panels of a matrix with `cols` columns. */
size_t kernels_padded(const struct kernels *kernels, unsigned cols);

#endif
