/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inverse DCT to 4x4, 2x2 and 1x1 samples, as libjpeg's jidctred has it: the 8-point transform of which
 * neighbouring outputs are averaged, so that terms that cancel (rows and columns 4; in 2x2 all even ones) are left out.
 *
 * As in jpeg_idct_simd.c, 16-bit words wrap and saturate where libjpeg-turbo's x86 code has them.
 */
#include "stages/jpeg_kernels_simd.h"

#include <stdbool.h>

enum {
	F_0_211 = 1730,
	F_0_509 = 4176,
	F_0_601 = 4926,
	F_0_720 = 5906,
	F_0_765 = 6270,
	F_0_850 = 6967,
	F_0_899 = 7373,
	F_1_061 = 8697,
	F_1_272 = 10426,
	F_1_451 = 11893,
	F_1_847 = 15137,
	F_2_172 = 17799,
	F_2_562 = 20995,
	F_3_624 = 29692,
	CONST_BITS = 13,
	PASS1_BITS = 2,
};

/* 32-bit numbers wrap. */
INLINE uint32_t times(int32_t a, int32_t b)
{
	return (uint32_t)a * (uint32_t)b;
}

INLINE int32_t descale(uint32_t a, const int bits)
{
	return (int32_t)(a + (1U << (bits - 1))) >> bits;
}

INLINE int32_t saturate(int32_t a)
{
	a = a < INT16_MIN ? INT16_MIN : a;
	return a > INT16_MAX ? INT16_MAX : a;
}

INLINE uint8_t sample(int32_t a)
{
	a = a < -128 ? -128 : a;
	return (uint8_t)((a > 127 ? 127 : a) + 128);
}

INLINE int32_t dequantise(const int16_t *in, const int16_t *quantisation, size_t row, size_t column)
{
	return (int16_t)times(in[row * 8 * JPEG_LANES + column], quantisation[row * 8 + column]);
}

/* Four outputs of inputs 0, 1, 2, 3, 5, 6, 7. */
INLINE void transform_4(int32_t out[4], const int32_t in[8], const int bits)
{
	const uint32_t base = (uint32_t)in[0] << (CONST_BITS + 1);
	const uint32_t even = times(in[2], F_1_847) - times(in[6], F_0_765);
	const uint32_t odd0 =
		times(in[1], F_1_061) - times(in[3], F_2_172) + times(in[5], F_1_451) - times(in[7], F_0_211);
	const uint32_t odd2 =
		times(in[1], F_2_562) + times(in[3], F_0_899) - times(in[5], F_0_601) - times(in[7], F_0_509);
	out[0] = descale(base + even + odd2, bits);
	out[1] = descale(base - even + odd0, bits);
	out[2] = descale(base - even - odd0, bits);
	out[3] = descale(base + even - odd2, bits);
}

INLINE void block_4(uint8_t *samples, size_t stride, const int16_t *in, const int16_t *quantisation)
{
	int32_t work[4][8];
	int others = 0;
	for (size_t row = 1; row < 8; row++)
		for (size_t c = 0; c < 8 && row != 4; c++)
			others |= in[row * 8 * JPEG_LANES + c];
	for (size_t c = 0; c < 8; c++) {
		int32_t column[8], out[4];
		for (size_t row = 0; row < 8; row++)
			column[row] = dequantise(in, quantisation, row, c);
		transform_4(out, column, CONST_BITS - PASS1_BITS + 1);
		for (size_t row = 0; row < 4; row++)
			work[row][c] = others != 0 ? saturate(out[row]) : (int16_t)((uint32_t)column[0] << PASS1_BITS);
	}
	for (size_t row = 0; row < 4; row++) {
		int32_t out[4];
		transform_4(out, work[row], CONST_BITS + PASS1_BITS + 3 + 1);
		for (size_t c = 0; c < 4; c++)
			samples[row * stride + c] = sample(out[c]);
	}
}

INLINE uint32_t odd_2(int32_t in1, int32_t in3, int32_t in5, int32_t in7)
{
	return times(in1, F_3_624) - times(in3, F_1_272) + times(in5, F_0_850) - times(in7, F_0_720);
}

INLINE void block_2(uint8_t *samples, size_t stride, const int16_t *in, const int16_t *quantisation)
{
	static const uint8_t columns[5] = {0, 1, 3, 5, 7};
	int32_t work[2][8];
	for (size_t i = 0; i < 5; i++) {
		const size_t c = columns[i];
		const uint32_t base = (uint32_t)dequantise(in, quantisation, 0, c) << (CONST_BITS + 2);
		const uint32_t odd = odd_2(dequantise(in, quantisation, 1, c), dequantise(in, quantisation, 3, c),
			dequantise(in, quantisation, 5, c), dequantise(in, quantisation, 7, c));
		work[0][c] = descale(base + odd, CONST_BITS - PASS1_BITS + 2);
		work[1][c] = descale(base - odd, CONST_BITS - PASS1_BITS + 2);
	}
	for (size_t row = 0; row < 2; row++) {
		const int32_t *v = work[row];
		const uint32_t base = (uint32_t)v[0] << (CONST_BITS + 2);
		const uint32_t odd = odd_2(saturate(v[1]), saturate(v[3]), saturate(v[5]), saturate(v[7]));
		samples[row * stride] = sample(descale(base + odd, CONST_BITS + PASS1_BITS + 3 + 2));
		samples[row * stride + 1] = sample(descale(base - odd, CONST_BITS + PASS1_BITS + 3 + 2));
	}
}

/* Not vectorised in libjpeg-turbo: its table of 1024 entries wraps what is far out of range. */
INLINE void block_1(uint8_t *samples, size_t stride, const int16_t *in, const int16_t *quantisation)
{
	(void)stride;
	const int32_t mean = descale(times(in[0], quantisation[0]), 3);
	samples[0] = sample((int32_t)((uint32_t)mean << 22) >> 22);
}

#define EACH_BLOCK(size)                                                                                               \
	void ISA_NAME(jpeg_idct_##size##_)(uint8_t * samples, size_t stride, const int16_t *coefficients,              \
		const int16_t *quantisation, size_t groups)                                                            \
	{                                                                                                              \
		for (size_t g = 0; g < groups; g++)                                                                    \
			for (size_t b = 0; b < JPEG_LANES; b++)                                                        \
				block_##size(samples + (g * JPEG_LANES + b) * (size), stride,                          \
					coefficients + g * (JPEG_LANES * 64 + JPEG_GROUP_GAP) + b * 8, quantisation);  \
	}

EACH_BLOCK(4)
EACH_BLOCK(2)
EACH_BLOCK(1)
