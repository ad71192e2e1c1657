/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors for the files *_simd.c, which are compiled once per instruction set (ISA_portable ... ISA_avx512bf16). */
#ifndef RINGCLR_MODEL_SIMD_H
#define RINGCLR_MODEL_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "model/element.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#if defined(ISA_avx512) || defined(ISA_avx512bf16)
#define LANES 16
#elif defined(ISA_avx2)
#define LANES 8
#else
#define LANES 4
#endif

#define INLINE static inline __attribute__((always_inline))

#define SIMD_JOIN_(a, b) a##b
#define SIMD_JOIN(a, b)	 SIMD_JOIN_(a, b)

/* The name of this instruction set's own copy of a symbol. */
#define ISA_NAME(prefix) SIMD_JOIN(prefix, ISA)

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t mask __attribute__((vector_size(LANES * 4)));
typedef uint32_t bits __attribute__((vector_size(LANES * 4)));
typedef bf16 halves __attribute__((vector_size(LANES * 2)));
typedef vec unaligned_vec __attribute__((aligned(4), may_alias));
typedef bits unaligned_bits __attribute__((aligned(2), may_alias));
typedef halves unaligned_halves __attribute__((aligned(2), may_alias));

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

/* Rounded to bf16, in the lower halves. */
INLINE bits round_bf16(vec v)
{
#if defined(__AVX512BF16__)
	return __builtin_convertvector((halves)_mm512_cvtneps_pbh((__m512)v), bits);
#else
	bits b = (bits)v, rounded = (b + 0x7fffu + (b >> 16 & 1u)) >> 16;
	bits nan = (bits)((b & 0x7fffffffu) > 0x7f800000u);
	return (rounded & ~nan) | ((b >> 16 | 0x40u) & nan);
#endif
}

INLINE vec widen_bf16(bits lower)
{
	return (vec)(lower << 16);
}

INLINE bits load_halves(const bf16 *p, size_t n)
{
	halves h = {0};
	if (n == LANES)
		h = *(const unaligned_halves *)p;
	else
		memcpy(&h, p, n * sizeof(bf16));
	return __builtin_convertvector(h, bits);
}

INLINE void store_halves(bf16 *p, bits lower, size_t n)
{
	halves h = __builtin_convertvector(lower, halves);
	if (n == LANES)
		*(unaligned_halves *)p = h;
	else
		memcpy(p, &h, n * sizeof(bf16));
}

/* Elements i .. i + n of a block of either type; the type is known where these are inlined. */
INLINE vec load_e(const void *p, const enum element element, size_t i, size_t n)
{
	if (element == ELEMENT_BF16)
		return widen_bf16(load_halves((const bf16 *)p + i, n));
	return load_n((const float *)p + i, n);
}

INLINE void store_e(void *p, const enum element element, size_t i, vec v, size_t n)
{
	if (element == ELEMENT_BF16)
		store_halves((bf16 *)p + i, round_bf16(v), n);
	else
		store_n((float *)p + i, v, n);
}

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

/* For each of a strip's vectors. */
#define EACH_VECTOR _Pragma("GCC unroll 4") for (unsigned j = 0; j < nv; j++)

#endif
