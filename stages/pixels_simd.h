/* SPDX-License-Identifier: Apache-2.0 */
/* What the files pixels_*_simd.c share: shuffles of pixels and planes by vector width, and the resize's interface. */
#ifndef RINGCLR_STAGES_PIXELS_SIMD_H
#define RINGCLR_STAGES_PIXELS_SIMD_H

#include <stdbool.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "model/simd.h"
#include "stages/pixels_kernels.h"

enum {
	PIXELS_GROUP = LANES / 4, /* pixels of four floats in a vector */
	PIXELS_PAD = 16,	  /* floats; rows are padded to the widest vector on every instruction set */
};

/* Indices into the concatenation of two vectors. */
#if LANES == 16
#define RGBX_OF_RGB	 0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11
#define EACH_FOUR_TIMES	 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3
#define QUARTERS_EVEN	 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define QUARTERS_ODD	 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define LOWER_HALVES	 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define UPPER_HALVES	 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define REDS_THEN_GREENS 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29
#define BLUES		 2, 6, 10, 14, 18, 22, 26, 30, 2, 6, 10, 14, 18, 22, 26, 30
#define RG_OF_FIRST	 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5
#define B_OF_FIRST	 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15
#define RG_OF_SECOND	 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26
#define B_OF_SECOND	 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15
#define RG_OF_THIRD	 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0
#define B_OF_THIRD	 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31
#elif LANES == 8
#define RGBX_OF_RGB	 0, 1, 2, 2, 3, 4, 5, 5
#define EACH_FOUR_TIMES	 0, 0, 0, 0, 1, 1, 1, 1
#define LOWER_HALVES	 0, 1, 2, 3, 8, 9, 10, 11
#define UPPER_HALVES	 4, 5, 6, 7, 12, 13, 14, 15
#define REDS_THEN_GREENS 0, 4, 8, 12, 1, 5, 9, 13
#define BLUES		 2, 6, 10, 14, 2, 6, 10, 14
#define RG_OF_FIRST	 0, 8, 0, 1, 9, 0, 2, 10
#define B_OF_FIRST	 0, 1, 8, 3, 4, 9, 6, 7
#define RG_OF_SECOND	 0, 3, 11, 0, 4, 12, 0, 5
#define B_OF_SECOND	 10, 1, 2, 11, 4, 5, 12, 7
#define RG_OF_THIRD	 13, 0, 6, 14, 0, 7, 15, 0
#define B_OF_THIRD	 0, 13, 2, 3, 14, 5, 6, 15
#else
#define RGBX_OF_RGB	 0, 1, 2, 2
#define EACH_FOUR_TIMES	 0, 0, 0, 0
#define LOWER_HALVES	 0, 1, 4, 5
#define UPPER_HALVES	 2, 3, 6, 7
#define REDS_THEN_GREENS 0, 4, 1, 5
#define BLUES		 2, 6, 2, 6
#define RG_OF_FIRST	 0, 4, 0, 1
#define B_OF_FIRST	 0, 1, 4, 3
#define RG_OF_SECOND	 5, 0, 2, 6
#define B_OF_SECOND	 0, 5, 2, 3
#define RG_OF_THIRD	 0, 3, 7, 0
#define B_OF_THIRD	 6, 1, 2, 7
#endif
#define SHUFFLE(a, b, indices) __builtin_shufflevector(a, b, indices)

struct rgb {
	vec r, g, b; /* of LANES pixels that follow each other */
};

/* Comparisons and choices: what GNU vectors say of them does not become the processor's own instructions. */
#if LANES == 16
typedef __mmask16 lanes;
#define is_less(a, b)	   _mm512_cmp_ps_mask((__m512)(a), (__m512)(b), _CMP_LT_OQ)
#define is_equal(a, b)	   _mm512_cmp_ps_mask((__m512)(a), (__m512)(b), _CMP_EQ_OQ)
#define choose(m, yes, no) ((vec)_mm512_mask_blend_ps(m, (__m512)(no), (__m512)(yes)))
#define max_of(a, b)	   ((vec)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define min_of(a, b)	   ((vec)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define sum_of(v)	   _mm512_reduce_add_ps((__m512)(v))
#elif LANES == 8
typedef vec lanes;
#define is_less(a, b)	   ((vec)_mm256_cmp_ps((__m256)(a), (__m256)(b), _CMP_LT_OQ))
#define is_equal(a, b)	   ((vec)_mm256_cmp_ps((__m256)(a), (__m256)(b), _CMP_EQ_OQ))
#define choose(m, yes, no) ((vec)_mm256_blendv_ps((__m256)(no), (__m256)(yes), (__m256)(m)))
#define max_of(a, b)	   ((vec)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define min_of(a, b)	   ((vec)_mm256_min_ps((__m256)(a), (__m256)(b)))
INLINE float sum_of(vec v)
{
	return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
#else
typedef mask lanes;
#define is_less(a, b)  ((a) < (b))
#define is_equal(a, b) ((a) == (b))
INLINE vec choose(lanes m, vec yes, vec no)
{
	return (vec)(((mask)yes & m) | ((mask)no & ~m));
}
INLINE vec max_of(vec a, vec b)
{
	return choose(a > b, a, b);
}
INLINE vec min_of(vec a, vec b)
{
	return choose(a < b, a, b);
}
INLINE float sum_of(vec v)
{
	return (v[0] + v[2]) + (v[1] + v[3]);
}
#endif

INLINE vec clip(vec v)
{
	return min_of(max_of(v, (vec){0}), splat(1.0F));
}

/* v: LANES pixels of four floats. */
INLINE struct rgb split(const vec v[4])
{
	const vec first = SHUFFLE(v[0], v[1], REDS_THEN_GREENS), second = SHUFFLE(v[2], v[3], REDS_THEN_GREENS);
	return (struct rgb){
		.r = SHUFFLE(first, second, LOWER_HALVES),
		.g = SHUFFLE(first, second, UPPER_HALVES),
		.b = SHUFFLE(SHUFFLE(v[0], v[1], BLUES), SHUFFLE(v[2], v[3], BLUES), LOWER_HALVES),
	};
}

/* Past the caches, to an address aligned to the vector; stream_end() comes before another thread may read it. */
INLINE void stream(float *p, vec v)
{
#if LANES == 16
	_mm512_stream_ps(p, (__m512)v);
#elif LANES == 8
	_mm256_stream_ps(p, (__m256)v);
#elif defined(__SSE2__)
	_mm_stream_ps(p, (__m128)v);
#else
	store(p, v);
#endif
}

INLINE void stream_end(void)
{
#if defined(__SSE2__)
	_mm_sfence();
#endif
}

struct interleaved {
	vec v[3];
};

/* LANES pixels of three floats. */
INLINE struct interleaved interleave(struct rgb c)
{
	return (struct interleaved){{
		SHUFFLE(SHUFFLE(c.r, c.g, RG_OF_FIRST), c.b, B_OF_FIRST),
		SHUFFLE(SHUFFLE(c.r, c.g, RG_OF_SECOND), c.b, B_OF_SECOND),
		SHUFFLE(SHUFFLE(c.r, c.g, RG_OF_THIRD), c.b, B_OF_THIRD),
	}};
}

/* ---- pixels_resize_simd.c ---- */

struct resize_axis {
	uint32_t in, out, taps; /* source pixels that count, output pixels, weights of each: a multiple of 4, at first
				   the most there may be */
	float first; /* where the rectangle begins, in source pixels from the first that counts: 0 or a fraction */
	float scale, support;	 /* source pixels an output pixel; half the filter's width in source pixels */
	uint32_t *start, *count; /* [out rounded up to PIXELS_PAD] source pixels that an output pixel is made of */
	float *weights;		 /* [out rounded up][taps], zero behind the count */
};

struct resize {
	struct pixels_source source; /* pixels: of the first source pixel that counts */
	struct resize_axis columns, rows;
	size_t row_floats;   /* of a line of source pixels, padded */
	uint32_t ring_lines; /* source lines kept as floats: what an output row is made of at most */
	uint32_t next_line;  /* the first that was not converted yet */
	float *ring;	     /* [ring_lines][row_floats] */
	float *pair;	     /* [2][row_floats] two output rows at the source's width */
};

/* Lays the resize out in scratch and returns what is left of it. */
#define resize_begin ISA_NAME(pixels_resize_begin_)
float *resize_begin(
	struct resize *resize, const struct pixels_source *source, uint32_t size, bool flip, float *scratch);

/* Output rows y and, if y + 1 < size, y + 1, into planes: rows of plane c at planes[c] and stride further. Rows come in
 * order. */
#define resize_rows ISA_NAME(pixels_resize_rows_)
void resize_rows(struct resize *resize, uint32_t y, float *const planes[3], size_t stride);

#endif
