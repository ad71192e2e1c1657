/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The passes over [pixels][channels], written once with GNU vectors and compiled once per instruction set.
 *
 * They walk down a strip of up to four vectors of channels, coefficients held in registers. A last strip of fewer
 * channels than a vector goes through partial loads and stores: nothing outside is touched. The types of the operands
 * are constants by the time a strip is compiled: BY_TYPE and BY_TYPES make one copy for each.
 */
#include "model/kernels.h"
#include "model/simd.h"

#define BY_TYPE(element, call)                                                                                         \
	do {                                                                                                           \
		if ((element) == ELEMENT_BF16)                                                                         \
			call(ELEMENT_BF16);                                                                            \
		else                                                                                                   \
			call(ELEMENT_FP32);                                                                            \
	} while (0)

/* Output and input types: all but fp32 into bf16's opposite exist in a net, and that one costs little. */
#define BY_TYPES(out, in, call)                                                                                        \
	do {                                                                                                           \
		if ((out) == ELEMENT_BF16 && (in) == ELEMENT_BF16)                                                     \
			call(ELEMENT_BF16, ELEMENT_BF16);                                                              \
		else if ((out) == ELEMENT_BF16)                                                                        \
			call(ELEMENT_BF16, ELEMENT_FP32);                                                              \
		else if ((in) == ELEMENT_BF16)                                                                         \
			call(ELEMENT_FP32, ELEMENT_BF16);                                                              \
		else                                                                                                   \
			call(ELEMENT_FP32, ELEMENT_FP32);                                                              \
	} while (0)

/* ---------------------------------------------------------------------------------------------------- forward */

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

INLINE void convert_block(void *z, const void *y, size_t count, const enum element to, const enum element from)
{
	size_t i = 0;
	for (; i + LANES <= count; i += LANES)
		store_e(z, to, i, load_e(y, from, i, LANES), LANES);
	if (i < count)
		store_e(z, to, i, load_e(y, from, i, count - i), count - i);
}

static void convert(struct tensor z, struct tensor y, size_t count)
{
#define CALL(TO, FROM) convert_block(z.data, y.data, count, TO, FROM)
	if (z.element == y.element)
		memcpy(z.data, y.data, count * element_bytes(y.element));
	else
		BY_TYPES(z.element, y.element, CALL);
#undef CALL
}

INLINE void bn_strip(size_t c, const unsigned nv, size_t n, void *z, const void *y, struct bn_forward bn, size_t pixels,
	size_t channels, const bool rectify, const enum element to, const enum element from)
{
	struct bn_vectors k = bn_load(bn, c, nv, n);
	for (size_t i = c; i < pixels * channels; i += channels) {
		EACH_VECTOR
		{
			vec x = normalise(&k, j, load_e(y, from, i + j * LANES, n));
			store_e(z, to, i + j * LANES, rectify ? relu(x) : x, n);
		}
	}
}

static void bn_apply(struct tensor z, struct tensor y, struct bn_forward bn, size_t pixels, size_t channels)
{
#define CALL(TO, FROM) STRIPS(bn_strip, channels, z.data, y.data, bn, pixels, channels, false, TO, FROM)
	BY_TYPES(z.element, y.element, CALL);
#undef CALL
}

static void bn_relu(struct tensor z, struct tensor y, struct bn_forward bn, size_t pixels, size_t channels)
{
#define CALL(TO, FROM) STRIPS(bn_strip, channels, z.data, y.data, bn, pixels, channels, true, TO, FROM)
	BY_TYPES(z.element, y.element, CALL);
#undef CALL
}

INLINE void join_strip(size_t c, const unsigned nv, size_t n, void *z, const void *y, struct bn_forward bn,
	const void *skip, size_t pixels, size_t channels, const enum element e)
{
	struct bn_vectors k = bn_load(bn, c, nv, n);
	for (size_t i = c; i < pixels * channels; i += channels) {
		EACH_VECTOR
		{
			size_t o = i + j * LANES;
			store_e(z, e, o, relu(normalise(&k, j, load_e(y, e, o, n)) + load_e(skip, e, o, n)), n);
		}
	}
}

static void join(
	struct tensor z, struct tensor y, struct bn_forward bn, struct tensor skip, size_t pixels, size_t channels)
{
#define CALL(E) STRIPS(join_strip, channels, z.data, y.data, bn, skip.data, pixels, channels, E)
	BY_TYPE(z.element, CALL);
#undef CALL
}

INLINE void join2_strip(size_t c, const unsigned nv, size_t n, void *z, const void *y, struct bn_forward bn,
	const void *y2, struct bn_forward bn2, size_t pixels, size_t channels, const enum element e)
{
	struct bn_vectors k = bn_load(bn, c, nv, n), k2 = bn_load(bn2, c, nv, n);
	for (size_t i = c; i < pixels * channels; i += channels) {
		EACH_VECTOR
		{
			size_t o = i + j * LANES;
			vec x = normalise(&k, j, load_e(y, e, o, n)) + normalise(&k2, j, load_e(y2, e, o, n));
			store_e(z, e, o, relu(x), n);
		}
	}
}

static void join2(struct tensor z, struct tensor y, struct bn_forward bn, struct tensor y2, struct bn_forward bn2,
	size_t pixels, size_t channels)
{
#define CALL(E) STRIPS(join2_strip, channels, z.data, y.data, bn, y2.data, bn2, pixels, channels, E)
	BY_TYPE(z.element, CALL);
#undef CALL
}

/* Statistics are of the numbers as they are kept: rounded. */
INLINE vec as_kept(vec v, const enum element e)
{
	return e == ELEMENT_BF16 ? widen_bf16(round_bf16(v)) : v;
}

INLINE void store_moments_strip(size_t c, const unsigned nv, size_t n, void *y, const float *tile, float *d1, float *d2,
	size_t pixels, size_t channels, const enum element e)
{
	vec first[4], sum[4], square[4];
	EACH_VECTOR
	{
		first[j] = as_kept(load_n(tile + c + j * LANES, n), e);
		sum[j] = square[j] = (vec){0};
	}
	for (size_t i = c; i < pixels * channels; i += channels) {
		EACH_VECTOR
		{
			vec v = as_kept(load_n(tile + i + j * LANES, n), e);
			vec d = v - first[j];
			sum[j] += d;
			square[j] += d * d;
			if (e == ELEMENT_BF16)
				store_halves((bf16 *)y + i + j * LANES, (bits)v >> 16, n);
			else
				store_n((float *)y + i + j * LANES, v, n);
		}
	}
	EACH_VECTOR
	{
		store_n(d1 + c + j * LANES, sum[j], n);
		store_n(d2 + c + j * LANES, square[j], n);
	}
}

static void store_moments(struct tensor y, const float *tile, float *d1, float *d2, size_t pixels, size_t channels)
{
#define CALL(E) STRIPS(store_moments_strip, channels, y.data, tile, d1, d2, pixels, channels, E)
	BY_TYPE(y.element, CALL);
#undef CALL
}

/* --------------------------------------------------------------------------------------------------- backward */

INLINE void bn_backward_strip(size_t c, const unsigned nv, size_t n, void *dy, size_t dy_stride, const void *dz,
	const void *y, size_t stride, struct bn_backward bn, size_t pixels, const enum element to,
	const enum element from)
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
			vec x = ka[j] * load_e(dz, from, o, n) + (kb[j] * (load_e(y, from, o, n) - mean[j]) + kc[j]);
			store_e(dy, to, p * dy_stride + c + j * LANES, x, n);
		}
	}
}

static void bn_backward(struct tensor dy, size_t dy_stride, struct tensor dz, struct tensor y, size_t stride,
	struct bn_backward bn, size_t pixels, size_t channels)
{
#define CALL(TO, FROM)                                                                                                 \
	STRIPS(bn_backward_strip, channels, dy.data, dy_stride, dz.data, y.data, stride, bn, pixels, TO, FROM)
	BY_TYPES(dy.element, dz.element, CALL);
#undef CALL
}

enum finish_kind {
	FINISH_PLAIN, /* no mask, no sums */
	FINISH_SUMS,  /* sums only: a BN without ReLU */
	FINISH_RELU,  /* mask of relu(bn(y)), sums */
	FINISH_JOIN,  /* mask of z, sums with y */
	FINISH_JOIN2, /* mask of z, sums with y and y2 */
};

INLINE void finish_strip(size_t c, const unsigned nv, size_t n, const struct finish_job *job,
	const enum finish_kind kind, const bool add, const enum element e)
{
	struct bn_vectors bn;
	vec mean[4], mean2[4], sum[4], cross[4], cross2[4];
	const bool two = kind == FINISH_JOIN2, sums = kind != FINISH_PLAIN;
	if (kind == FINISH_RELU)
		bn = bn_load(job->bn, c, nv, n);
	EACH_VECTOR
	{
		mean[j] = sums ? load_n(job->mean + c + j * LANES, n) : (vec){0};
		mean2[j] = two ? load_n(job->mean2 + c + j * LANES, n) : (vec){0};
		sum[j] = cross[j] = cross2[j] = (vec){0};
	}
	for (size_t i = c; i < job->pixels * job->channels; i += job->channels) {
		EACH_VECTOR
		{
			size_t o = i + j * LANES;
			vec x = load_n(job->g + o, n), y = {0};
			if (add)
				x += load_e(job->dx.data, e, o, n);
			if (sums)
				y = load_e(job->y.data, e, o, n);
			if (kind == FINISH_RELU)
				x = keep(~(normalise(&bn, j, y) <= (vec){0}), x);
			if (kind == FINISH_JOIN || kind == FINISH_JOIN2)
				x = keep(~(load_e(job->z.data, e, o, n) <= (vec){0}), x);
			store_e(job->dx.data, e, o, x, n);
			if (sums) {
				sum[j] += x;
				cross[j] += x * (y - mean[j]);
			}
			if (two)
				cross2[j] += x * (load_e(job->y2.data, e, o, n) - mean2[j]);
		}
	}
	EACH_VECTOR
	{
		if (sums) {
			store_n(job->s1 + c + j * LANES, sum[j], n);
			store_n(job->s2 + c + j * LANES, cross[j], n);
		}
		if (two)
			store_n(job->s3 + c + j * LANES, cross2[j], n);
	}
}

INLINE void finish_kinds(const struct finish_job *job, const enum finish_kind kind)
{
#define CALL_ADD(E) STRIPS(finish_strip, job->channels, job, kind, true, E)
#define CALL_SET(E) STRIPS(finish_strip, job->channels, job, kind, false, E)
	if (job->add)
		BY_TYPE(job->dx.element, CALL_ADD);
	else
		BY_TYPE(job->dx.element, CALL_SET);
#undef CALL_ADD
#undef CALL_SET
}

static void finish(const struct finish_job *job)
{
	if (job->y.data == NULL)
		finish_kinds(job, FINISH_PLAIN);
	else if (job->bn.mean != NULL)
		finish_kinds(job, FINISH_RELU);
	else if (job->z.data == NULL)
		finish_kinds(job, FINISH_SUMS);
	else if (job->y2.data == NULL)
		finish_kinds(job, FINISH_JOIN);
	else
		finish_kinds(job, FINISH_JOIN2);
}

/* ---------------------------------------------------------------------------------------------------- pooling */

INLINE void pool_max_strip(size_t c, const unsigned nv, size_t n, void *z, const struct tensor taps[], size_t count,
	struct bn_forward bn, const enum element e)
{
	struct bn_vectors k = bn_load(bn, c, nv, n);
	EACH_VECTOR
	{
		vec best = {0};
		for (size_t t = 0; t < count; t++) {
			vec x = normalise(&k, j, load_e(taps[t].data, e, c + j * LANES, n));
			mask m = ~(x <= best);
			best = keep(m, x) + keep(~m, best);
		}
		store_e(z, e, c + j * LANES, best, n);
	}
}

static void pool_max(struct tensor z, const struct tensor taps[], size_t count, struct bn_forward bn, size_t channels)
{
#define CALL(E) STRIPS(pool_max_strip, channels, z.data, taps, count, bn, E)
	BY_TYPE(z.element, CALL);
#undef CALL
}

INLINE void pool_max_backward_strip(size_t c, const unsigned nv, size_t n, float *const gtaps[],
	const struct tensor taps[], size_t count, const void *g, struct bn_forward bn, const enum element e)
{
	struct bn_vectors k = bn_load(bn, c, nv, n);
	EACH_VECTOR
	{
		size_t o = c + j * LANES;
		vec best = relu(normalise(&k, j, load_e(taps[0].data, e, o, n)));
		for (size_t t = 1; t < count; t++) {
			vec x = normalise(&k, j, load_e(taps[t].data, e, o, n));
			mask m = ~(x <= best);
			best = keep(m, x) + keep(~m, best);
		}
		vec left = load_e(g, e, o, n); /* what no earlier tap has taken */
		for (size_t t = 0; t < count; t++) {
			mask m = relu(normalise(&k, j, load_e(taps[t].data, e, o, n))) == best;
			store_n(gtaps[t] + o, load_n(gtaps[t] + o, n) + keep(m, left), n);
			left = keep(~m, left);
		}
	}
}

static void pool_max_backward(float *const gtaps[], const struct tensor taps[], size_t count, struct tensor g,
	struct bn_forward bn, size_t channels)
{
#define CALL(E) STRIPS(pool_max_backward_strip, channels, gtaps, taps, count, g.data, bn, E)
	BY_TYPE(g.element, CALL);
#undef CALL
}

INLINE void pool_mean_strip(size_t c, const unsigned nv, size_t n, float *z, const void *x, size_t pixels,
	size_t channels, const enum element e)
{
	vec sum[4];
	EACH_VECTOR
	{
		sum[j] = (vec){0};
	}
	for (size_t i = c; i < pixels * channels; i += channels) {
		EACH_VECTOR
		{
			sum[j] += load_e(x, e, i + j * LANES, n);
		}
	}
	EACH_VECTOR
	{
		store_n(z + c + j * LANES, sum[j] / splat((float)pixels), n);
	}
}

static void pool_mean(float *z, struct tensor x, size_t pixels, size_t channels)
{
#define CALL(E) STRIPS(pool_mean_strip, channels, z, x.data, pixels, channels, E)
	BY_TYPE(x.element, CALL);
#undef CALL
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

extern const struct passes ISA_NAME(passes_);
const struct passes ISA_NAME(passes_) = {
	.convert = convert,
	.bn_apply = bn_apply,
	.bn_relu = bn_relu,
	.join = join,
	.join2 = join2,
	.store_moments = store_moments,
	.bn_backward = bn_backward,
	.finish = finish,
	.pool_max = pool_max,
	.pool_max_backward = pool_max_backward,
	.pool_mean = pool_mean,
	.pool_mean_backward = pool_mean_backward,
};
