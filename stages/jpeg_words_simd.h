/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vectors of 16-bit words for jpeg_*_simd.c. Every lane of 128 bits is on its own in unpacking and packing, so code
 * written for one block (SSE2) works on two (AVX2) or four (AVX-512) at once.
 */
#ifndef RINGCLR_STAGES_JPEG_WORDS_SIMD_H
#define RINGCLR_STAGES_JPEG_WORDS_SIMD_H

#include <immintrin.h>
#include <stdint.h>

#define INLINE		 static inline __attribute__((always_inline))
#define SIMD_JOIN_(a, b) a##b
#define SIMD_JOIN(a, b)	 SIMD_JOIN_(a, b)
#define ISA_NAME(prefix) SIMD_JOIN(prefix, ISA)

#if defined(ISA_avx512) || defined(ISA_avx512bf16)
#define JPEG_LANES 4
#define W(name)	   SIMD_JOIN(_mm512_, name)
typedef __m512i words;
#define words_load(p)	  _mm512_loadu_si512(p)
#define words_store(p, v) _mm512_storeu_si512(p, v)
#define words_zero()	  _mm512_setzero_si512()
#define words_or(a, b)	  _mm512_or_si512(a, b)
#define words_lanes(x)	  _mm512_broadcast_i32x4(x)
#elif defined(ISA_avx2)
#define JPEG_LANES	  2
#define W(name)		  SIMD_JOIN(_mm256_, name)
typedef __m256i words;
#define words_load(p)	  _mm256_loadu_si256((const __m256i *)(p))
#define words_store(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define words_zero()	  _mm256_setzero_si256()
#define words_or(a, b)	  _mm256_or_si256(a, b)
#define words_lanes(x)	  _mm256_broadcastsi128_si256(x)
#else
#define JPEG_LANES	  1
#define W(name)		  SIMD_JOIN(_mm_, name)
typedef __m128i words;
#define words_load(p)	  _mm_loadu_si128((const __m128i *)(p))
#define words_store(p, v) _mm_storeu_si128((__m128i *)(p), v)
#define words_zero()	  _mm_setzero_si128()
#define words_or(a, b)	  _mm_or_si128(a, b)
#define words_lanes(x)	  (x)
#endif

/* (a, b) in every pair of words. */
INLINE words words_pair(int a, int b)
{
	return W(set1_epi32)((int)((uint32_t)b << 16 | ((uint32_t)a & 0xffff)));
}

/* Numbers of 32 bits, divided by 1 << bits and rounded. */
INLINE words words_descale(words a, const int bits)
{
	return W(sra_epi32)(W(add_epi32)(a, W(set1_epi32)(1 << (bits - 1))), _mm_cvtsi32_si128(bits));
}

#endif
