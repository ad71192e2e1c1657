/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Winograd's transforms (kernels.h has the formulas), written once with GNU vectors and compiled once per instruction
 * set. A vector holds one pixel's or point's neighbouring channels, so a two-dimensional transform is a one-dimensional
 * one down the columns, then one along the rows, each a handful of additions. The points of interpolation are 0, 1, -1
 * (2, -2) and infinity.
 */
#include "model/kernels.h"
#include "model/simd.h"

enum { N_MAX = 6 };

/* Each one-dimensional transform reads its input `stride` vectors apart, and writes its output likewise. */

/* B^T: n to n. */
INLINE void in_1d(vec *out, const vec *in, const unsigned stride, const unsigned m)
{
	const vec *x = in;
	const unsigned s = stride;
	if (m == 2) {
		vec x1 = x[s], x2 = x[2 * s];
		out[0] = x[0] - x2;
		out[s] = x1 + x2;
		out[2 * s] = x2 - x1;
		out[3 * s] = x1 - x[3 * s];
		return;
	}
	vec x0 = x[0], x1 = x[s], x2 = x[2 * s], x3 = x[3 * s], x4 = x[4 * s], x5 = x[5 * s];
	vec even = x4 - splat(4.0f) * x2, odd = x3 - splat(4.0f) * x1;
	vec even2 = x4 - x2, odd2 = splat(2.0f) * (x3 - x1);
	out[0] = splat(4.0f) * x0 + (x4 - splat(5.0f) * x2);
	out[s] = even + odd;
	out[2 * s] = even - odd;
	out[3 * s] = even2 + odd2;
	out[4 * s] = even2 - odd2;
	out[5 * s] = splat(4.0f) * x1 + (x5 - splat(5.0f) * x3);
}

/* A: m to n, the adjoint of out_1d(). */
INLINE void gradient_1d(vec *out, const vec *in, const unsigned stride, const unsigned m)
{
	const unsigned s = stride;
	vec y0 = in[0], y1 = in[s];
	if (m == 2) {
		out[0] = y0;
		out[s] = y0 + y1;
		out[2 * s] = y0 - y1;
		out[3 * s] = -y1;
		return;
	}
	vec y2 = in[2 * s], y3 = in[3 * s];
	vec even = y0 + y2, odd = y1 + y3;
	vec even2 = y0 + splat(4.0f) * y2, odd2 = splat(2.0f) * y1 + splat(8.0f) * y3;
	out[0] = y0;
	out[s] = even + odd;
	out[2 * s] = even - odd;
	out[3 * s] = even2 + odd2;
	out[4 * s] = even2 - odd2;
	out[5 * s] = y3;
}

/* A^T: n to m. */
INLINE void out_1d(vec *out, const vec *in, const unsigned stride, const unsigned m)
{
	const vec *x = in;
	const unsigned s = stride;
	vec sum = x[s] + x[2 * s], difference = x[s] - x[2 * s];
	if (m == 2) {
		vec x0 = x[0], x3 = x[3 * s];
		out[0] = x0 + sum;
		out[s] = difference - x3;
		return;
	}
	vec sum2 = x[3 * s] + x[4 * s], difference2 = x[3 * s] - x[4 * s];
	vec x0 = x[0], x5 = x[5 * s];
	out[0] = x0 + (sum + sum2);
	out[s] = difference + splat(2.0f) * difference2;
	out[2 * s] = sum + splat(4.0f) * sum2;
	out[3 * s] = difference + (splat(8.0f) * difference2 + x5);
}

/* G: 3 to n. */
INLINE void weights_1d(vec *out, const vec *in, const unsigned in_stride, const unsigned out_stride, const unsigned m)
{
	vec w0 = in[0], w1 = in[in_stride], w2 = in[2 * in_stride];
	const unsigned s = out_stride;
	if (m == 2) {
		vec even = splat(0.5f) * (w0 + w2), odd = splat(0.5f) * w1;
		out[0] = w0;
		out[s] = even + odd;
		out[2 * s] = even - odd;
		out[3 * s] = w2;
		return;
	}
	vec even = splat(-1.0f / 6.0f) * (w0 + w2), odd = splat(1.0f / 6.0f) * w1;
	vec even2 = splat(1.0f / 24.0f) * w0 + splat(1.0f / 6.0f) * w2, odd2 = splat(1.0f / 12.0f) * w1;
	out[0] = splat(0.25f) * w0;
	out[s] = even - odd;
	out[2 * s] = even + odd;
	out[3 * s] = even2 + odd2;
	out[4 * s] = even2 - odd2;
	out[5 * s] = w2;
}

/* G^T: n to 3, the adjoint of weights_1d(). */
INLINE void weight_gradient_1d(
	vec *out, const vec *in, const unsigned in_stride, const unsigned out_stride, const unsigned m)
{
	const unsigned s = in_stride;
	vec sum = in[s] + in[2 * s], difference = in[s] - in[2 * s];
	if (m == 2) {
		out[0] = in[0] + splat(0.5f) * sum;
		out[out_stride] = splat(0.5f) * difference;
		out[2 * out_stride] = in[3 * s] + splat(0.5f) * sum;
		return;
	}
	vec sum2 = in[3 * s] + in[4 * s], difference2 = in[3 * s] - in[4 * s];
	out[0] = splat(0.25f) * in[0] + (splat(1.0f / 24.0f) * sum2 - splat(1.0f / 6.0f) * sum);
	out[out_stride] = splat(1.0f / 12.0f) * difference2 - splat(1.0f / 6.0f) * difference;
	out[2 * out_stride] = in[5 * s] + splat(1.0f / 6.0f) * (sum2 - sum);
}

/* ------------------------------------------------------------------------------------------- tiles of activations */

/* The n x n points of one tile and one vector of channels. */
INLINE void tile_points(vec *points, const struct winograd_in_job *job, size_t tile, size_t c, size_t lanes,
	const unsigned m, const bool gradient)
{
	const unsigned n = m + 2, size = gradient ? m : n;
	size_t at = job->x_offset[tile] + c;
#pragma GCC unroll 6
	for (unsigned x = 0; x < size; x++) {
		vec column[N_MAX];
#pragma GCC unroll 6
		for (unsigned y = 0; y < size; y++)
			column[y] = load_n(job->x + at + y * job->row_stride + x * job->pixel_stride, lanes);
		vec done[N_MAX];
		if (gradient)
			gradient_1d(done, column, 1, m);
		else
			in_1d(done, column, 1, m);
#pragma GCC unroll 6
		for (unsigned y = 0; y < n; y++)
			points[y * n + x] = done[y];
	}
#pragma GCC unroll 6
	for (unsigned y = 0; y < n; y++) {
		if (gradient)
			gradient_1d(points + y * n, points + y * n, 1, m);
		else
			in_1d(points + y * n, points + y * n, 1, m);
	}
}

INLINE void tiles_strip(const struct winograd_in_job *job, size_t tile, size_t c, size_t lanes, const unsigned m,
	const bool gradient, const enum element to)
{
	const unsigned count = (m + 2) * (m + 2);
	vec points[WINOGRAD_POINTS_MAX];
	tile_points(points, job, tile, c, lanes, m, gradient);
	size_t at = tile * job->tile_stride + c;
#pragma GCC unroll 36
	for (unsigned p = 0; p < count; p++)
		store_e(job->v.data, to, p * job->point_stride + at, points[p], lanes);
}

INLINE void pairs_strip(
	const struct winograd_in_job *job, size_t tile, size_t c, size_t lanes, const unsigned m, const bool gradient)
{
	const unsigned count = (m + 2) * (m + 2);
	vec first[WINOGRAD_POINTS_MAX], second[WINOGRAD_POINTS_MAX];
	tile_points(first, job, tile, c, lanes, m, gradient);
	if (tile + 1 < job->tiles)
		tile_points(second, job, tile + 1, c, lanes, m, gradient);
	else
		memset(second, 0, sizeof second);
	bf16 *to = (bf16 *)job->v.data + tile * job->tile_stride + c * 2;
#pragma GCC unroll 36
	for (unsigned p = 0; p < count; p++) {
		bits both = round_bf16(first[p]) | round_bf16(second[p]) << 16;
		if (lanes == LANES)
			*(unaligned_bits *)(to + p * job->point_stride) = both;
		else
			memcpy(to + p * job->point_stride, &both, lanes * sizeof(uint32_t));
	}
}

INLINE void all_tiles(const struct winograd_in_job *job, const unsigned m, const bool gradient, const bool pairs,
	const enum element to)
{
	for (size_t tile = 0; tile < job->tiles; tile += pairs ? 2 : 1) {
		size_t c = 0;
		for (; c + LANES <= job->channels; c += LANES) {
			if (pairs)
				pairs_strip(job, tile, c, LANES, m, gradient);
			else
				tiles_strip(job, tile, c, LANES, m, gradient, to);
		}
		if (c < job->channels) {
			if (pairs)
				pairs_strip(job, tile, c, job->channels - c, m, gradient);
			else
				tiles_strip(job, tile, c, job->channels - c, m, gradient, to);
		}
	}
}

/* F(4x4) is for fp32 alone: its points lose too much in bf16. */
INLINE void transform(const struct winograd_in_job *job, const bool gradient)
{
	if (job->m == 4)
		all_tiles(job, 4, gradient, false, ELEMENT_FP32);
	else if (job->v.element == ELEMENT_FP32)
		all_tiles(job, 2, gradient, false, ELEMENT_FP32);
	else if (job->pairs)
		all_tiles(job, 2, gradient, true, ELEMENT_BF16);
	else
		all_tiles(job, 2, gradient, false, ELEMENT_BF16);
}

static void transform_in(const struct winograd_in_job *job)
{
	transform(job, false);
}

static void transform_gradient(const struct winograd_in_job *job)
{
	transform(job, true);
}

/* One tile and one vector of channels of the output. */
INLINE void out_strip(const struct winograd_out_job *job, size_t tile, size_t c, size_t lanes, const unsigned m)
{
	const unsigned n = m + 2;
	const float *from = job->products + tile * job->width + c;
	vec half[4 * N_MAX]; /* [m][n] */
#pragma GCC unroll 6
	for (unsigned x = 0; x < n; x++) {
		vec column[N_MAX], done[4];
#pragma GCC unroll 6
		for (unsigned y = 0; y < n; y++)
			column[y] = load(from + (y * n + x) * job->point_stride);
		out_1d(done, column, 1, m);
#pragma GCC unroll 4
		for (unsigned y = 0; y < m; y++)
			half[y * n + x] = done[y];
	}
	const struct winograd_tile *place = &job->tile[tile];
	float *to = job->y + place->offset + c;
	const bool whole = place->rows == m && place->cols == m;
#pragma GCC unroll 4
	for (unsigned y = 0; y < m; y++) {
		vec line[4];
		out_1d(line, half + y * n, 1, m);
#pragma GCC unroll 4
		for (unsigned x = 0; x < m; x++) {
			if (whole || (y < place->rows && x < place->cols))
				store_n(to + y * job->row_stride + x * job->pixel_stride, line[x], lanes);
		}
	}
}

INLINE void out_tiles(const struct winograd_out_job *job, const unsigned m)
{
	for (size_t tile = 0; tile < job->tiles; tile++) {
		size_t c = 0;
		for (; c + LANES <= job->cols; c += LANES)
			out_strip(job, tile, c, LANES, m);
		if (c < job->cols)
			out_strip(job, tile, c, job->cols - c, m);
	}
}

static void transform_out(const struct winograd_out_job *job)
{
	if (job->m == 4)
		out_tiles(job, 4);
	else
		out_tiles(job, 2);
}

/* -------------------------------------------------------------------------------------------------------- weights */

INLINE void weight_points(vec *points, const float *w, const unsigned m)
{
	const unsigned n = m + 2;
	vec in[9], half[N_MAX * 3];
#pragma GCC unroll 9
	for (unsigned i = 0; i < 9; i++)
		in[i] = load(w + i * LANES);
#pragma GCC unroll 3
	for (unsigned x = 0; x < 3; x++)
		weights_1d(half + x, in + x, 3, 3, m);
#pragma GCC unroll 6
	for (unsigned y = 0; y < n; y++)
		weights_1d(points + y * n, half + y * 3, 1, 1, m);
}

INLINE void weights_m(
	struct tensor u, size_t point_stride, const float *w, const float *w2, const unsigned m, const bool pairs)
{
	const unsigned count = (m + 2) * (m + 2);
	vec points[WINOGRAD_POINTS_MAX], second[WINOGRAD_POINTS_MAX];
	weight_points(points, w, m);
	if (pairs)
		weight_points(second, w2, m);
#pragma GCC unroll 36
	for (unsigned p = 0; p < count; p++) {
		if (pairs)
			*(unaligned_bits *)((bf16 *)u.data + p * point_stride) =
				round_bf16(points[p]) | round_bf16(second[p]) << 16;
		else
			store((float *)u.data + p * point_stride, points[p]);
	}
}

static void transform_weights(unsigned m, struct tensor u, size_t point_stride, const float *w, const float *w2)
{
	if (m == 4)
		weights_m(u, point_stride, w, w2, 4, false);
	else if (u.element == ELEMENT_BF16)
		weights_m(u, point_stride, w, w2, 2, true);
	else
		weights_m(u, point_stride, w, w2, 2, false);
}

INLINE void weight_gradient_m(float *dw, const float *du, size_t point_stride, const unsigned m)
{
	const unsigned n = m + 2;
	vec half[N_MAX * 3], out[9];
#pragma GCC unroll 6
	for (unsigned y = 0; y < n; y++) {
		vec line[N_MAX];
#pragma GCC unroll 6
		for (unsigned x = 0; x < n; x++)
			line[x] = load(du + (y * n + x) * point_stride);
		weight_gradient_1d(half + y * 3, line, 1, 1, m);
	}
#pragma GCC unroll 3
	for (unsigned x = 0; x < 3; x++)
		weight_gradient_1d(out + x, half + x, 3, 3, m);
#pragma GCC unroll 9
	for (unsigned i = 0; i < 9; i++)
		store(dw + i * LANES, out[i]);
}

static void transform_weight_gradient(unsigned m, float *dw, const float *du, size_t point_stride)
{
	if (m == 4)
		weight_gradient_m(dw, du, point_stride, 4);
	else
		weight_gradient_m(dw, du, point_stride, 2);
}

extern const struct transforms ISA_NAME(transforms_);
const struct transforms ISA_NAME(transforms_) = {
	.in = transform_in,
	.gradient = transform_gradient,
	.out = transform_out,
	.weights = transform_weights,
	.weight_gradient = transform_weight_gradient,
};
