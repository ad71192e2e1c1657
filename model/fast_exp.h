/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e^x in float32 without a branch or a call, so that a loop over a row becomes vector code on every instruction set.
 *
 * x = n ln 2 + r with |r| <= ln 2 / 2; e^r is its Taylor polynomial of degree 7, 2^n is made from n's bits. Within 2
 * units in the last place on -86..88; 0 below (-infinity included), e^88 above; NaN stays NaN. e^0 is exactly 1.
 */
#ifndef RINGCLR_MODEL_FAST_EXP_H
#define RINGCLR_MODEL_FAST_EXP_H

#include <stdint.h>
#include <string.h>

static inline float fast_exp(float x)
{
	/* Adding 1.5 * 2^23 rounds to an integer and leaves that integer in the low bits of the sum. */
	const float round = 12582912.0f;
	float bounded = x < -86.0f ? -86.0f : x;
	bounded = bounded > 88.0f ? 88.0f : bounded;
	float shifted = bounded * 1.44269504f + round;
	float n = shifted - round;
	/* ln 2 in two parts, the first with few enough bits that its product with n is exact. */
	float r = (bounded - n * 0.693359375f) - n * -2.12194440e-4f;
	float p = 1.0f / 5040.0f;
	p = p * r + 1.0f / 720.0f;
	p = p * r + 1.0f / 120.0f;
	p = p * r + 1.0f / 24.0f;
	p = p * r + 1.0f / 6.0f;
	p = p * r + 0.5f;
	p = p * (r * r) + r;
	p = p + 1.0f;
	uint32_t bits;
	memcpy(&bits, &shifted, sizeof bits);
	bits = (bits << 23) + (127u << 23);
	float scale;
	memcpy(&scale, &bits, sizeof scale);
	float result = p * scale;
	return x < -86.0f ? 0.0f : result;
}

#endif
