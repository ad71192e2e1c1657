/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inverse DCT of 8x8 coefficients, in the integers of libjpeg's "islow": the algorithm of Loeffler, Ligtenberg and
 * Moschytz (ICASSP 1989) with 12 multiplications, constants of 13 bits, first down the columns, keeping 2 more bits,
 * then along the rows.
 *
 * Here the rotations are written as sums of two products, which is one instruction for 16-bit words (pmaddwd). The
 * results are the same as long as nothing overflows 16 bits, as in any image that an encoder wrote. Beyond that, where
 * damaged files lead, this wraps and saturates at the places where libjpeg-turbo's own x86 code does, so that those
 * come out the same too: one such place is that a block whose rows 1..7 are zero skips the first pass.
 */
#include "stages/jpeg_kernels_simd.h"
#include "stages/jpeg_words_simd.h"

enum {
	F_0_298 = 2446,
	F_0_390 = 3196,
	F_0_541 = 4433,
	F_0_765 = 6270,
	F_0_899 = 7373,
	F_1_175 = 9633,
	F_1_501 = 12299,
	F_1_847 = 15137,
	F_1_961 = 16069,
	F_2_053 = 16819,
	F_2_562 = 20995,
	F_3_072 = 25172,
	CONST_BITS = 13,
	PASS1_BITS = 2,
};

/* The upper or lower half of words that became 32 bits. */
struct wide {
	words low, high;
};

INLINE struct wide add(struct wide a, struct wide b)
{
	return (struct wide){W(add_epi32)(a.low, b.low), W(add_epi32)(a.high, b.high)};
}

INLINE struct wide sub(struct wide a, struct wide b)
{
	return (struct wide){W(sub_epi32)(a.low, b.low), W(sub_epi32)(a.high, b.high)};
}

INLINE struct wide interleave(words a, words b)
{
	return (struct wide){W(unpacklo_epi16)(a, b), W(unpackhi_epi16)(a, b)};
}

/* a * the factor for a + b * the factor for b */
INLINE struct wide products(struct wide ab, int for_a, int for_b)
{
	const words factors = words_pair(for_a, for_b);
	return (struct wide){W(madd_epi16)(ab.low, factors), W(madd_epi16)(ab.high, factors)};
}

INLINE struct wide shift_up(words a)
{
	return (struct wide){W(srai_epi32)(W(unpacklo_epi16)(words_zero(), a), 16 - CONST_BITS),
		W(srai_epi32)(W(unpackhi_epi16)(words_zero(), a), 16 - CONST_BITS)};
}

INLINE words descale(struct wide a, const int bits)
{
	return W(packs_epi32)(words_descale(a.low, bits), words_descale(a.high, bits));
}

/* One dimension, across the vectors. */
INLINE void transform(words v[8], const int bits)
{
	const struct wide in26 = interleave(v[2], v[6]);
	const struct wide even3 = products(in26, F_0_541 + F_0_765, F_0_541);
	const struct wide even2 = products(in26, F_0_541, F_0_541 - F_1_847);
	const struct wide even0 = shift_up(W(add_epi16)(v[0], v[4])), even1 = shift_up(W(sub_epi16)(v[0], v[4]));
	const struct wide even[4] = {add(even0, even3), add(even1, even2), sub(even1, even2), sub(even0, even3)};

	const struct wide z34 = interleave(W(add_epi16)(v[7], v[3]), W(add_epi16)(v[5], v[1]));
	const struct wide z3 = products(z34, F_1_175 - F_1_961, F_1_175);
	const struct wide z4 = products(z34, F_1_175, F_1_175 - F_0_390);
	const struct wide in71 = interleave(v[7], v[1]), in53 = interleave(v[5], v[3]);
	const struct wide odd[4] = {
		add(products(in71, -F_0_899, F_1_501 - F_0_899), z4),
		add(products(in53, -F_2_562, F_3_072 - F_2_562), z3),
		add(products(in53, F_2_053 - F_2_562, -F_2_562), z4),
		add(products(in71, F_0_298 - F_0_899, -F_0_899), z3),
	};
	for (unsigned i = 0; i < 4; i++) {
		v[i] = descale(add(even[i], odd[i]), bits);
		v[7 - i] = descale(sub(even[i], odd[i]), bits);
	}
}

INLINE void transpose(words v[8])
{
	words a[8], b[8];
	for (unsigned i = 0; i < 4; i++) {
		a[2 * i] = W(unpacklo_epi16)(v[i], v[i + 4]);
		a[2 * i + 1] = W(unpackhi_epi16)(v[i], v[i + 4]);
	}
	for (unsigned i = 0; i < 4; i++) {
		b[2 * i] = W(unpacklo_epi16)(a[i], a[i + 4]);
		b[2 * i + 1] = W(unpackhi_epi16)(a[i], a[i + 4]);
	}
	for (unsigned i = 0; i < 4; i++) {
		v[2 * i] = W(unpacklo_epi16)(b[i], b[i + 4]);
		v[2 * i + 1] = W(unpackhi_epi16)(b[i], b[i + 4]);
	}
}

/* Vector j gets rows 2j and 2j + 1 of the samples, from columns. */
INLINE void samples_of_columns(words rows[4], const words v[8])
{
	words a[4];
	for (unsigned i = 0; i < 4; i++)
		a[i] = W(packs_epi16)(v[i], v[i + 4]);
	const words c01 = W(unpacklo_epi8)(a[0], a[1]), c45 = W(unpackhi_epi8)(a[0], a[1]);
	const words c23 = W(unpacklo_epi8)(a[2], a[3]), c67 = W(unpackhi_epi8)(a[2], a[3]);
	const words left0 = W(unpacklo_epi16)(c01, c23), left4 = W(unpackhi_epi16)(c01, c23);
	const words right0 = W(unpacklo_epi16)(c45, c67), right4 = W(unpackhi_epi16)(c45, c67);
	rows[0] = W(unpacklo_epi32)(left0, right0);
	rows[1] = W(unpackhi_epi32)(left0, right0);
	rows[2] = W(unpacklo_epi32)(left4, right4);
	rows[3] = W(unpackhi_epi32)(left4, right4);
	for (unsigned i = 0; i < 4; i++)
		rows[i] = W(add_epi8)(rows[i], W(set1_epi8)(-128));
}

/* Two rows of all the group's blocks. */
INLINE void store_rows(uint8_t *samples, size_t stride, words rows)
{
#if JPEG_LANES == 4
	const words order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
	rows = _mm512_permutexvar_epi64(order, rows);
	_mm256_storeu_si256((__m256i *)samples, _mm512_castsi512_si256(rows));
	_mm256_storeu_si256((__m256i *)(samples + stride), _mm512_extracti64x4_epi64(rows, 1));
#elif JPEG_LANES == 2
	rows = _mm256_permute4x64_epi64(rows, 0xd8);
	_mm_storeu_si128((__m128i *)samples, _mm256_castsi256_si128(rows));
	_mm_storeu_si128((__m128i *)(samples + stride), _mm256_extracti128_si256(rows, 1));
#else
	_mm_storel_epi64((__m128i *)samples, rows);
	_mm_storel_epi64((__m128i *)(samples + stride), _mm_srli_si128(rows, 8));
#endif
}

/* The first pass where row 0 may overflow on the way: blocks that have nothing else only shift it, without saturating.
 * `row0` and `others` are the group's coefficients of row 0, multiplied, and all other rows or'ed. */
__attribute__((noinline)) static void skip_first_pass(words v[8], words row0, words others)
{
	int16_t rest[JPEG_LANES * 8], first[JPEG_LANES * 8], out[JPEG_LANES * 8];
	words_store(rest, others);
	words_store(first, row0);
	for (unsigned row = 0; row < 8; row++) {
		words_store(out, v[row]);
		for (unsigned lane = 0; lane < JPEG_LANES; lane++) {
			int any = 0;
			for (unsigned i = 0; i < 8; i++)
				any |= rest[lane * 8 + i];
			for (unsigned i = 0; i < 8 && any == 0; i++)
				out[lane * 8 + i] = (int16_t)((uint16_t)first[lane * 8 + i] << PASS1_BITS);
		}
		v[row] = words_load(out);
	}
}

/* Whether any word has bits beyond the lowest 16 - PASS1_BITS, aside from its sign. */
INLINE int overflows(words a)
{
	const words lost = W(srai_epi16)(W(adds_epi16)(a, W(set1_epi16)(1 << (15 - PASS1_BITS))), 15 - PASS1_BITS + 1);
#if JPEG_LANES == 4
	return _mm512_test_epi16_mask(lost, lost) != 0;
#elif JPEG_LANES == 2
	return !_mm256_testz_si256(lost, lost);
#else
	return _mm_movemask_epi8(_mm_cmpeq_epi16(lost, _mm_setzero_si128())) != 0xffff;
#endif
}

void ISA_NAME(jpeg_idct_8_)(
	uint8_t *samples, size_t stride, const int16_t *coefficients, const int16_t *quantisation, size_t groups)
{
	words scale[8];
	for (unsigned i = 0; i < 8; i++)
		scale[i] = words_lanes(_mm_loadu_si128((const __m128i *)(quantisation + (size_t)i * 8)));
	for (size_t g = 0; g < groups; g++) {
		const int16_t *in = coefficients + g * (JPEG_LANES * 64 + JPEG_GROUP_GAP);
		words v[8], others = words_zero(), rows[4];
		for (unsigned i = 0; i < 8; i++) {
			const words row = words_load(in + (size_t)i * 8 * JPEG_LANES);
			if (i > 0)
				others = words_or(others, row);
			v[i] = W(mullo_epi16)(row, scale[i]);
		}
		const words row0 = v[0];
		transform(v, CONST_BITS - PASS1_BITS);
		if (__builtin_expect(overflows(row0), 0))
			skip_first_pass(v, row0, others);
		transpose(v);
		transform(v, CONST_BITS + PASS1_BITS + 3);
		samples_of_columns(rows, v);
		for (size_t i = 0; i < 4; i++)
			store_rows(samples + g * 8 * JPEG_LANES + 2 * i * stride, stride, rows[i]);
	}
}
