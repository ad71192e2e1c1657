/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chroma to full width, and YCbCr to RGB, both rounded as in libjpeg.
 *
 * libjpeg's constants have 16 bits behind the point, and 1.402, 1.772 and 0.71414 do not fit in a signed word. With
 * x = cr - 128 and u = cb - 128
 *     r = y + x     + round(0.402 x)                   26345 / 65536
 *     b = y + 2u    - round(0.228 u)                  -14942 / 65536
 *     g = y - x     + round(-0.34414 u + 0.28586 x)   -22554, 18734 / 65536
 * where round((c x) / 65536) = (((c 2x) >> 16) + 1) >> 1.
 */
#include "stages/jpeg_kernels_simd.h"

#include <string.h>

static void widen(uint8_t *out, const uint8_t *in, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const unsigned here = 3U * in[i];
		const uint16_t pair =
			(uint16_t)((here + in[(ptrdiff_t)i - 1] + 1) >> 2 | (here + in[i + 1] + 2) >> 2 << 8);
		memcpy(out + 2 * i, &pair, sizeof pair);
	}
}

static void widen_between(uint8_t *restrict out, const uint8_t *near, const uint8_t *far, size_t count)
{
	enum { STEP = 256 };
	uint16_t sums[STEP + 2];
	for (size_t done = 0; done < count; done += STEP) {
		const size_t n = count - done < STEP ? count - done : STEP;
		for (size_t i = 0; i < n + 2; i++)
			sums[i] = (uint16_t)(3 * near[(ptrdiff_t)(done + i) - 1] + far[(ptrdiff_t)(done + i) - 1]);
		for (size_t i = 0; i < n; i++) {
			const uint16_t here = (uint16_t)(3 * sums[i + 1]);
			const uint16_t left = (uint16_t)((uint16_t)(here + sums[i] + 8) >> 4);
			const uint16_t right = (uint16_t)((uint16_t)(here + sums[i + 2] + 7) >> 4);
			const uint16_t pair = (uint16_t)(left | right << 8);
			memcpy(out + 2 * (done + i), &pair, sizeof pair);
		}
	}
}

/* The next 16 * JPEG_LANES bytes, in the order that makes store_pixels() write them in theirs. */
INLINE words load_samples(const uint8_t *p)
{
#if JPEG_LANES == 4
	const words order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
	return _mm512_permutexvar_epi32(order, words_load(p));
#elif JPEG_LANES == 2
	const words order = _mm256_set_epi32(7, 5, 3, 1, 6, 4, 2, 0);
	return _mm256_permutevar8x32_epi32(words_load(p), order);
#else
	return words_load(p);
#endif
}

INLINE void store_pixels(uint8_t *out, words r, words g, words b)
{
	const words full = W(set1_epi8)(-1);
	const words rg_low = W(unpacklo_epi8)(r, g), rg_high = W(unpackhi_epi8)(r, g);
	const words b_low = W(unpacklo_epi8)(b, full), b_high = W(unpackhi_epi8)(b, full);
	words_store(out, W(unpacklo_epi16)(rg_low, b_low));
	words_store(out + sizeof(words), W(unpackhi_epi16)(rg_low, b_low));
	words_store(out + 2 * sizeof(words), W(unpacklo_epi16)(rg_high, b_high));
	words_store(out + 3 * sizeof(words), W(unpackhi_epi16)(rg_high, b_high));
}

/* round(c twice / 131072) */
INLINE words rounded(words twice, int c)
{
	return W(srai_epi16)(W(add_epi16)(W(mulhi_epi16)(twice, W(set1_epi16)((short)c)), W(set1_epi16)(1)), 1);
}

INLINE words green(words pairs)
{
	return words_descale(W(madd_epi16)(pairs, words_pair(-22554, 18734)), 16);
}

INLINE void convert(words rgb[3], words y, words cb, words cr)
{
	const words u = W(sub_epi16)(cb, W(set1_epi16)(128)), x = W(sub_epi16)(cr, W(set1_epi16)(128));
	const words u2 = W(add_epi16)(u, u), x2 = W(add_epi16)(x, x);
	rgb[0] = W(add_epi16)(W(add_epi16)(y, x), rounded(x2, 26345));
	rgb[2] = W(add_epi16)(W(add_epi16)(y, u2), rounded(u2, -14942));
	const words mix = W(packs_epi32)(green(W(unpacklo_epi16)(u, x)), green(W(unpackhi_epi16)(u, x)));
	rgb[1] = W(add_epi16)(W(sub_epi16)(y, x), mix);
}

static void colour(uint8_t *out, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, size_t count)
{
	const size_t end = (count + JPEG_COLOUR_STEP - 1) / JPEG_COLOUR_STEP * JPEG_COLOUR_STEP;
	const words zero = words_zero();
	for (size_t i = 0; i < end; i += sizeof(words)) {
		const words ys = load_samples(y + i), us = load_samples(cb + i), xs = load_samples(cr + i);
		words low[3], high[3];
		convert(low, W(unpacklo_epi8)(ys, zero), W(unpacklo_epi8)(us, zero), W(unpacklo_epi8)(xs, zero));
		convert(high, W(unpackhi_epi8)(ys, zero), W(unpackhi_epi8)(us, zero), W(unpackhi_epi8)(xs, zero));
		store_pixels(out + 4 * i, W(packus_epi16)(low[0], high[0]), W(packus_epi16)(low[1], high[1]),
			W(packus_epi16)(low[2], high[2]));
	}
}

static void gray(uint8_t *out, const uint8_t *y, size_t count)
{
	const size_t end = (count + JPEG_COLOUR_STEP - 1) / JPEG_COLOUR_STEP * JPEG_COLOUR_STEP;
	for (size_t i = 0; i < end; i += sizeof(words)) {
		const words ys = load_samples(y + i);
		store_pixels(out + 4 * i, ys, ys, ys);
	}
}

const struct jpeg_kernels ISA_NAME(jpeg_kernels_) = {
	.lanes = JPEG_LANES,
	.idct = {ISA_NAME(jpeg_idct_1_), ISA_NAME(jpeg_idct_2_), ISA_NAME(jpeg_idct_4_), ISA_NAME(jpeg_idct_8_)},
	.widen = widen,
	.widen_between = widen_between,
	.colour = colour,
	.gray = gray,
};
