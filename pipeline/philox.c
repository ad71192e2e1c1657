/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Philox4x32-10: ten rounds of two 32x32 -> 64 bit multiplications over a 128-bit counter, keyed by 64 bits that move
 * by a Weyl constant each round (Salmon et al. 2011, section 3.3).
 *
 * What a stream's tuple is mapped to:
 *
 *	key[0]     = seed, lower half
 *	key[1]     = seed, upper half, XOR use << 24
 *	counter[0] = number of the block of four words within the stream
 *	counter[1] = sample, lower half
 *	counter[2] = sample, upper half
 *	counter[3] = epoch << 8 | view
 *
 * Within one seed two tuples never share a (key, counter), and so never a block. The use lies in the seed's upper eight
 * bits, so that seeds below 2^56 do not meet each other's streams either. A stream holds 2^34 words. The words of a
 * block are drawn in order 0..3.
 */
#include "pipeline/philox.h"

#include <math.h>

enum { ROUNDS = 10 };

static const uint32_t MULTIPLIER_0 = 0xD2511F53U;
static const uint32_t MULTIPLIER_1 = 0xCD9E8D57U;
static const uint32_t WEYL_0 = 0x9E3779B9U; /* golden ratio */
static const uint32_t WEYL_1 = 0xBB67AE85U; /* sqrt(3) - 1 */

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
	uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
	uint32_t k0 = key[0], k1 = key[1];

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t product0 = (uint64_t)MULTIPLIER_0 * c0;
		uint64_t product1 = (uint64_t)MULTIPLIER_1 * c2;
		c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
		c1 = (uint32_t)product1;
		c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
		c3 = (uint32_t)product0;
		k0 += WEYL_0;
		k1 += WEYL_1;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

struct philox philox_stream(uint64_t seed, uint32_t epoch, uint64_t sample, uint32_t view, enum philox_use use)
{
	return (struct philox){
		.key = {(uint32_t)seed, (uint32_t)(seed >> 32) ^ (uint32_t)use << 24},
		.counter = {0, (uint32_t)sample, (uint32_t)(sample >> 32), epoch << 8 | view},
	};
}

uint32_t philox_u32(struct philox *stream)
{
	if (stream->left == 0) {
		philox4x32(stream->counter, stream->key, stream->block);
		stream->counter[0]++;
		stream->left = 4;
	}
	return stream->block[4 - stream->left--];
}

uint64_t philox_u64(struct philox *stream)
{
	uint64_t low = philox_u32(stream);
	return low | (uint64_t)philox_u32(stream) << 32;
}

/* Lemire, "Fast random integer generation in an interval" (2019): the upper half of a product, redrawn in the few cases
 * where the lower half shows that this result would come once too often. */
uint32_t philox_below(struct philox *stream, uint32_t bound)
{
	uint64_t product = (uint64_t)philox_u32(stream) * bound;
	if ((uint32_t)product < bound) {
		uint32_t threshold = -bound % bound; /* 2^32 mod bound */
		while ((uint32_t)product < threshold)
			product = (uint64_t)philox_u32(stream) * bound;
	}
	return (uint32_t)(product >> 32);
}

float philox_uniform(struct philox *stream, float low, float high)
{
	float unit = (float)(philox_u32(stream) >> 8) * 0x1p-24F;
	float value = low + unit * (high - low);
	/* The sum may round up to high, which is excluded. */
	return value < high ? value : nextafterf(high, low);
}

double philox_unit(struct philox *stream)
{
	return (double)(philox_u64(stream) >> 11) * 0x1p-53;
}

/* The cosine half of Box-Muller only: a stream keeps no second value, so its position alone says what comes next. */
double philox_normal(struct philox *stream)
{
	double radius = sqrt(-2.0 * log(1.0 - philox_unit(stream)));
	return radius * cos(2.0 * 3.14159265358979323846 * philox_unit(stream));
}
