/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast kernels, written once with GNU vectors and compiled once per instruction set.
 *
 * The products keep a tile of c in registers: MR rows by NR vectors, as many as the registers hold (24 of 32 with
 * AVX-512, 12 of 16 otherwise). Each k loads NR vectors of b and MR single floats of a, spread over a vector: a needs
 * no packing, which is what lets convolutions skip im2col. Narrow matrices (one vector wide) get taller tiles, so they
 * run as fast as wide ones.
 *
 * The passes over [pixels][channels] walk down a strip of up to four vectors of channels, coefficients held in
 * registers. A last strip of fewer channels than a vector goes through partial loads and stores: nothing outside is
 * touched.
 */
#include "model/kernels.h"

#include <string.h>

#if defined(ISA_avx512)
#define LANES 16
#elif defined(ISA_avx2)
#define LANES 8
#else
#define LANES 4
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t mask __attribute__((vector_size(LANES * 4)));
typedef vec unaligned_vec __attribute__((aligned(4), may_alias));

INLINE vec load(const float *p)
{
	return *(const unaligned_vec *)p;
}

INLINE void store(float *p, vec v)
{
	*(unaligned_vec *)p = v;
}

/* The first n floats; the rest are zero. n is LANES, and then known at compile time, but for a strip's end. */
INLINE vec load_n(const float *p, size_t n)
{
	if (n == LANES)
		return load(p);
	vec v = {0};
	memcpy(&v, p, n * sizeof(float));
	return v;
}

INLINE void store_n(float *p, vec v, size_t n)
{
	if (n == LANES)
		store(p, v);
	else
		memcpy(p, &v, n * sizeof(float));
}

INLINE vec splat(float x)
{
	return x - (vec){0};
}

/* v where m, zero elsewhere. */
INLINE vec keep(mask m, vec v)
{
	return (vec)(m & (mask)v);
}

/* NaN goes through, so that a diverged net is seen in its output. */
INLINE vec relu(vec x)
{
	return keep(~(x <= (vec){0}), x);
}

/* ------------------------------------------------------------------------------------------------ matrix products */

#define TILE_MAX 24

/* One tile: rows [row, row + mr) of which the first `valid` exist; the others repeat the last and are not stored. */
INLINE void gemm_tile(const struct gemm_job *job, size_t row, size_t valid, const unsigned mr, const unsigned nr)
{
	const float *a[TILE_MAX];
	vec acc[TILE_MAX];
	for (unsigned r = 0; r < mr; r++)
		a[r] = job->a + job->a_offset[row + (r < valid ? r : valid - 1)];
#pragma GCC unroll 24
	for (unsigned i = 0; i < mr * nr; i++)
		acc[i] = (vec){0};

	const float *b = job->b;
	for (size_t s = 0; s < job->segment_count; s++) {
		size_t end = (size_t)job->segments[s].offset + job->segments[s].length;
		for (size_t k = job->segments[s].offset; k < end; k++) {
			vec bv[4];
#pragma GCC unroll 4
			for (unsigned j = 0; j < nr; j++)
				bv[j] = load(b + j * LANES);
#pragma GCC unroll 24
			for (unsigned r = 0; r < mr; r++) {
				vec x = splat(a[r][k]);
#pragma GCC unroll 4
				for (unsigned j = 0; j < nr; j++)
					acc[r * nr + j] += x * bv[j];
			}
			b += nr * LANES;
		}
	}

	const bool whole = job->cols == nr * LANES;
#pragma GCC unroll 24
	for (unsigned r = 0; r < mr; r++) {
		if (r >= valid)
			continue;
		float *c = job->c + job->c_offset[row + r];
#pragma GCC unroll 4
		for (unsigned j = 0; j < nr; j++) {
			size_t n = LANES;
			if (!whole) {
				if (job->cols <= j * LANES)
					continue;
				n = job->cols - j * LANES < LANES ? job->cols - j * LANES : LANES;
			}
			vec v = acc[r * nr + j];
			if (job->add)
				v += load_n(c + j * LANES, n);
			store_n(c + j * LANES, v, n);
		}
	}
}

INLINE void gemm_rows(const struct gemm_job *job, const unsigned mr, const unsigned nr)
{
	for (size_t row = 0; row < job->rows; row += mr)
		gemm_tile(job, row, job->rows - row < mr ? job->rows - row : mr, mr, nr);
}

static void gemm(const struct gemm_job *job)
{
#if LANES == 16
	if (job->width == 4 * LANES)
		gemm_rows(job, 6, 4);
	else if (job->width == 2 * LANES)
		gemm_rows(job, 12, 2);
	else
		gemm_rows(job, 24, 1);
#else
	if (job->width == 2 * LANES)
		gemm_rows(job, 6, 2);
	else
		gemm_rows(job, 12, 1);
#endif
}

INLINE void outer_tile(const struct outer_job *job, size_t row, const unsigned mr, const unsigned nr)
{
	vec acc[TILE_MAX];
#pragma GCC unroll 24
	for (unsigned i = 0; i < mr * nr; i++)
		acc[i] = (vec){0};
	const float *b = job->b, *a0 = job->a + row;
	for (size_t p = 0; p < job->pixels; p++, b += job->b_stride) {
		const float *a = a0 + job->a_offset[p];
		vec bv[4];
#pragma GCC unroll 4
		for (unsigned j = 0; j < nr; j++)
			bv[j] = load(b + j * LANES);
#pragma GCC unroll 24
		for (unsigned r = 0; r < mr; r++) {
			vec x = splat(a[r]);
#pragma GCC unroll 4
			for (unsigned j = 0; j < nr; j++)
				acc[r * nr + j] += x * bv[j];
		}
	}
	float *c = job->c + row * nr * LANES;
#pragma GCC unroll 24
	for (unsigned i = 0; i < mr * nr; i++)
		store(c + i * LANES, job->add ? acc[i] + load(c + i * LANES) : acc[i]);
}

INLINE void outer_rows(const struct outer_job *job, const unsigned mr, const unsigned nr)
{
	size_t row = 0;
	for (; row + mr <= job->rows; row += mr)
		outer_tile(job, row, mr, nr);
	for (; row + 4 <= job->rows; row += 4)
		outer_tile(job, row, 4, nr);
	for (; row < job->rows; row++)
		outer_tile(job, row, 1, nr);
}

static void outer(const struct outer_job *job)
{
#if LANES == 16
	if (job->width == 4 * LANES)
		outer_rows(job, 6, 4);
	else if (job->width == 2 * LANES)
		outer_rows(job, 12, 2);
	else
		outer_rows(job, 24, 1);
#else
	if (job->width == 2 * LANES)
		outer_rows(job, 6, 2);
	else
		outer_rows(job, 12, 1);
#endif
}

/* ------------------------------------------------------------------------------- passes over [pixels][channels] */

/* Calls strip(first channel, vectors, lanes in use of each vector, ...) until every channel is covered. */
#define STRIPS(strip, channels, ...)                                                                                   \
	do {                                                                                                           \
		size_t c_ = 0;                                                                                         \
		for (; c_ + 4 * LANES <= (channels); c_ += 4 * LANES)                                                  \
			strip(c_, 4, LANES, __VA_ARGS__);                                                              \
		if (c_ + 2 * LANES <= (channels)) {                                                                    \
			strip(c_, 2, LANES, __VA_ARGS__);                                                              \
			c_ += 2 * LANES;                                                                               \
		}                                                                                                      \
		if (c_ + LANES <= (channels)) {                                                                        \
			strip(c_, 1, LANES, __VA_ARGS__);                                                              \
			c_ += LANES;                                                                                   \
		}                                                                                                      \
		if (c_ < (channels))                                                                                   \
			strip(c_, 1, (channels)-c_, __VA_ARGS__);                                                      \
	} while (0)

/* For each of a strip's vectors: o is its first channel. */
#define EACH_VECTOR _Pragma("GCC unroll 4") for (unsigned j = 0; j < nv; j++)

struct bn_vectors {
	vec mean[4], scale[4], beta[4];
};

INLINE struct bn_vectors bn_load(struct bn_forward bn, size_t c, const unsigned nv, size_t n)
{
	struct bn_vectors v;
	EACH_VECTOR
	{
		v.mean[j] = load_n(bn.mean + c + j * LANES, n);
		v.scale[j] = load_n(bn.scale + c + j * LANES, n);
		v.beta[j] = load_n(bn.beta + c + j * LANES, n);
	}
	/* cppcheck-suppress uninitvar ; the loop of EACH_VECTOR has set the first nv of each, and no more are used */
	return v;
}

INLINE vec normalise(const struct bn_vectors *bn, unsigned j, vec y)
{
	return (y - bn->mean[j]) * bn->scale[j] + bn->beta[j];
}

INLINE void bn_apply_strip(size_t c, const unsigned nv, size_t n, float *z, const float *y, struct bn_forward bn,
	size_t pixels, size_t channels, const bool rectify)
{
	struct bn_vectors k = bn_load(bn, c, nv, n);
	for (size_t i = c; i < pixels * channels; i += channels) {
		EACH_VECTOR
		{
			vec x = normalise(&k, j, load_n(y + i + j * LANES, n));
			store_n(z + i + j * LANES, rectify ? relu(x) : x, n);
		}
	}
}

static void bn_apply(float *z, const float *y, struct bn_forward bn, size_t pixels, size_t channels)
{
	STRIPS(bn_apply_strip, channels, z, y, bn, pixels, channels, false);
}

static void bn_relu(float *z, const float *y, struct bn_forward bn, size_t pixels, size_t channels)
{
	STRIPS(bn_apply_strip, channels, z, y, bn, pixels, channels, true);
}

INLINE void join_strip(size_t c, const unsigned nv, size_t n, float *z, const float *y, struct bn_forward bn,
	const float *skip, size_t pixels, size_t channels)
{
	struct bn_vectors k = bn_load(bn, c, nv, n);
	for (size_t i = c; i < pixels * channels; i += channels) {
		EACH_VECTOR
		{
			size_t o = i + j * LANES;
			store_n(z + o, relu(normalise(&k, j, load_n(y + o, n)) + load_n(skip + o, n)), n);
		}
	}
}

static void join(float *z, const float *y, struct bn_forward bn, const float *skip, size_t pixels, size_t channels)
{
	STRIPS(join_strip, channels, z, y, bn, skip, pixels, channels);
}

INLINE void join2_strip(size_t c, const unsigned nv, size_t n, float *z, const float *y, struct bn_forward bn,
	const float *y2, struct bn_forward bn2, size_t pixels, size_t channels)
{
	struct bn_vectors k = bn_load(bn, c, nv, n), k2 = bn_load(bn2, c, nv, n);
	for (size_t i = c; i < pixels * channels; i += channels) {
		EACH_VECTOR
		{
			size_t o = i + j * LANES;
			vec x = normalise(&k, j, load_n(y + o, n)) + normalise(&k2, j, load_n(y2 + o, n));
			store_n(z + o, relu(x), n);
		}
	}
}

static void join2(float *z, const float *y, struct bn_forward bn, const float *y2, struct bn_forward bn2, size_t pixels,
	size_t channels)
{
	STRIPS(join2_strip, channels, z, y, bn, y2, bn2, pixels, channels);
}

INLINE void moments_strip(
	size_t c, const unsigned nv, size_t n, float *d1, float *d2, const float *y, size_t pixels, size_t channels)
{
	vec first[4], sum[4], square[4];
	EACH_VECTOR
	{
		first[j] = load_n(y + c + j * LANES, n);
		sum[j] = square[j] = (vec){0};
	}
	for (size_t i = c; i < pixels * channels; i += channels) {
		EACH_VECTOR
		{
			vec d = load_n(y + i + j * LANES, n) - first[j];
			sum[j] += d;
			square[j] += d * d;
		}
	}
	EACH_VECTOR
	{
		store_n(d1 + c + j * LANES, sum[j], n);
		store_n(d2 + c + j * LANES, square[j], n);
	}
}

static void moments(float *d1, float *d2, const float *y, size_t pixels, size_t channels)
{
	STRIPS(moments_strip, channels, d1, d2, y, pixels, channels);
}

INLINE void bn_backward_strip(size_t c, const unsigned nv, size_t n, float *dy, size_t dy_stride, const float *dz,
	const float *y, size_t stride, struct bn_backward bn, size_t pixels)
{
	vec mean[4], ka[4], kb[4], kc[4];
	EACH_VECTOR
	{
		mean[j] = load_n(bn.mean + c + j * LANES, n);
		ka[j] = load_n(bn.a + c + j * LANES, n);
		kb[j] = load_n(bn.b + c + j * LANES, n);
		kc[j] = load_n(bn.c + c + j * LANES, n);
	}
	for (size_t p = 0; p < pixels; p++) {
		EACH_VECTOR
		{
			size_t o = p * stride + c + j * LANES;
			vec x = ka[j] * load_n(dz + o, n) + (kb[j] * (load_n(y + o, n) - mean[j]) + kc[j]);
			store_n(dy + p * dy_stride + c + j * LANES, x, n);
		}
	}
}

static void bn_backward(float *dy, size_t dy_stride, const float *dz, const float *y, size_t stride,
	struct bn_backward bn, size_t pixels, size_t channels)
{
	STRIPS(bn_backward_strip, channels, dy, dy_stride, dz, y, stride, bn, pixels);
}

INLINE void grad_moments_strip(size_t c, const unsigned nv, size_t n, float *s1, float *s2, const float *g,
	const float *y, const float *mean, size_t pixels, size_t channels)
{
	vec m[4], sum[4], cross[4];
	EACH_VECTOR
	{
		m[j] = load_n(mean + c + j * LANES, n);
		sum[j] = cross[j] = (vec){0};
	}
	for (size_t i = c; i < pixels * channels; i += channels) {
		EACH_VECTOR
		{
			vec x = load_n(g + i + j * LANES, n);
			sum[j] += x;
			cross[j] += x * (load_n(y + i + j * LANES, n) - m[j]);
		}
	}
	EACH_VECTOR
	{
		store_n(s1 + c + j * LANES, sum[j], n);
		store_n(s2 + c + j * LANES, cross[j], n);
	}
}

static void grad_moments(
	float *s1, float *s2, const float *g, const float *y, const float *mean, size_t pixels, size_t channels)
{
	STRIPS(grad_moments_strip, channels, s1, s2, g, y, mean, pixels, channels);
}

INLINE void relu_moments_strip(size_t c, const unsigned nv, size_t n, float *s1, float *s2, float *g, const float *y,
	struct bn_forward bn, size_t pixels, size_t channels)
{
	struct bn_vectors k = bn_load(bn, c, nv, n);
	vec sum[4], cross[4];
	EACH_VECTOR
	{
		sum[j] = cross[j] = (vec){0};
	}
	for (size_t i = c; i < pixels * channels; i += channels) {
		EACH_VECTOR
		{
			size_t o = i + j * LANES;
			vec v = load_n(y + o, n);
			vec x = keep(~(normalise(&k, j, v) <= (vec){0}), load_n(g + o, n));
			store_n(g + o, x, n);
			sum[j] += x;
			cross[j] += x * (v - k.mean[j]);
		}
	}
	EACH_VECTOR
	{
		store_n(s1 + c + j * LANES, sum[j], n);
		store_n(s2 + c + j * LANES, cross[j], n);
	}
}

static void relu_moments(
	float *s1, float *s2, float *g, const float *y, struct bn_forward bn, size_t pixels, size_t channels)
{
	STRIPS(relu_moments_strip, channels, s1, s2, g, y, bn, pixels, channels);
}

INLINE void join_moments_strip(size_t c, const unsigned nv, size_t n, float *s1, float *s2, float *s3, float *g,
	const float *z, const float *y, const float *mean, const float *y2, const float *mean2, size_t pixels,
	size_t channels, const bool two)
{
	vec m[4], m2[4], sum[4], cross[4], cross2[4];
	EACH_VECTOR
	{
		m[j] = load_n(mean + c + j * LANES, n);
		m2[j] = two ? load_n(mean2 + c + j * LANES, n) : (vec){0};
		sum[j] = cross[j] = cross2[j] = (vec){0};
	}
	for (size_t i = c; i < pixels * channels; i += channels) {
		EACH_VECTOR
		{
			size_t o = i + j * LANES;
			vec x = keep(~(load_n(z + o, n) <= (vec){0}), load_n(g + o, n));
			store_n(g + o, x, n);
			sum[j] += x;
			cross[j] += x * (load_n(y + o, n) - m[j]);
			if (two)
				cross2[j] += x * (load_n(y2 + o, n) - m2[j]);
		}
	}
	EACH_VECTOR
	{
		store_n(s1 + c + j * LANES, sum[j], n);
		store_n(s2 + c + j * LANES, cross[j], n);
		if (two)
			store_n(s3 + c + j * LANES, cross2[j], n);
	}
}

static void join_moments(float *s1, float *s2, float *s3, float *g, const float *z, const float *y, const float *mean,
	const float *y2, const float *mean2, size_t pixels, size_t channels)
{
	if (y2 == NULL)
		STRIPS(join_moments_strip, channels, s1, s2, s3, g, z, y, mean, y2, mean2, pixels, channels, false);
	else
		STRIPS(join_moments_strip, channels, s1, s2, s3, g, z, y, mean, y2, mean2, pixels, channels, true);
}

INLINE void pool_max_strip(
	size_t c, const unsigned nv, size_t n, float *z, const float *const taps[], size_t count, struct bn_forward bn)
{
	struct bn_vectors k = bn_load(bn, c, nv, n);
	EACH_VECTOR
	{
		vec best = {0};
		for (size_t t = 0; t < count; t++) {
			vec x = normalise(&k, j, load_n(taps[t] + c + j * LANES, n));
			mask m = ~(x <= best);
			best = keep(m, x) + keep(~m, best);
		}
		store_n(z + c + j * LANES, best, n);
	}
}

static void pool_max(float *z, const float *const taps[], size_t count, struct bn_forward bn, size_t channels)
{
	STRIPS(pool_max_strip, channels, z, taps, count, bn);
}

INLINE void pool_max_backward_strip(size_t c, const unsigned nv, size_t n, float *const gtaps[],
	const float *const taps[], size_t count, const float *g, struct bn_forward bn)
{
	struct bn_vectors k = bn_load(bn, c, nv, n);
	EACH_VECTOR
	{
		size_t o = c + j * LANES;
		vec best = relu(normalise(&k, j, load_n(taps[0] + o, n)));
		for (size_t t = 1; t < count; t++) {
			vec x = normalise(&k, j, load_n(taps[t] + o, n));
			mask m = ~(x <= best);
			best = keep(m, x) + keep(~m, best);
		}
		vec left = load_n(g + o, n); /* what no earlier tap has taken */
		for (size_t t = 0; t < count; t++) {
			mask m = relu(normalise(&k, j, load_n(taps[t] + o, n))) == best;
			store_n(gtaps[t] + o, load_n(gtaps[t] + o, n) + keep(m, left), n);
			left = keep(~m, left);
		}
	}
}

static void pool_max_backward(float *const gtaps[], const float *const taps[], size_t count, const float *g,
	struct bn_forward bn, size_t channels)
{
	STRIPS(pool_max_backward_strip, channels, gtaps, taps, count, g, bn);
}

INLINE void pool_mean_strip(
	size_t c, const unsigned nv, size_t n, float *z, const float *x, size_t pixels, size_t channels)
{
	vec sum[4];
	EACH_VECTOR
	{
		sum[j] = (vec){0};
	}
	for (size_t i = c; i < pixels * channels; i += channels) {
		EACH_VECTOR
		{
			sum[j] += load_n(x + i + j * LANES, n);
		}
	}
	EACH_VECTOR
	{
		store_n(z + c + j * LANES, sum[j] / splat((float)pixels), n);
	}
}

static void pool_mean(float *z, const float *x, size_t pixels, size_t channels)
{
	STRIPS(pool_mean_strip, channels, z, x, pixels, channels);
}

INLINE void pool_mean_backward_strip(
	size_t c, const unsigned nv, size_t n, float *g, const float *dz, size_t pixels, size_t channels)
{
	EACH_VECTOR
	{
		vec x = load_n(dz + c + j * LANES, n) / splat((float)pixels);
		for (size_t p = 0; p < pixels; p++)
			store_n(g + p * channels + c + j * LANES, x, n);
	}
}

static void pool_mean_backward(float *g, const float *dz, size_t pixels, size_t channels)
{
	STRIPS(pool_mean_backward_strip, channels, g, dz, pixels, channels);
}

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)
#define TEXT_(a)    #a
#define TEXT(a)	    TEXT_(a)

const struct kernels JOIN(kernels_, ISA) = {
	.name = TEXT(ISA),
	.lanes = LANES,
#if LANES == 16
	.panels = {64, 32, 16},
#else
	.panels = {2 * LANES, LANES, 0},
#endif
	.gemm = gemm,
	.outer = outer,
	.bn_apply = bn_apply,
	.bn_relu = bn_relu,
	.join = join,
	.join2 = join2,
	.moments = moments,
	.bn_backward = bn_backward,
	.grad_moments = grad_moments,
	.relu_moments = relu_moments,
	.join_moments = join_moments,
	.pool_max = pool_max,
	.pool_max_backward = pool_max_backward,
	.pool_mean = pool_mean,
	.pool_mean_backward = pool_mean_backward,
};
