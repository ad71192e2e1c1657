/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 *
 * A random number is a pure function of (seed, epoch, sample, view, use): never of a thread, of time or of how many
 * numbers were drawn elsewhere. A stream is that tuple with a position; drawing advances only the position.
 */
#ifndef RINGCLR_PIPELINE_PHILOX_H
#define RINGCLR_PIPELINE_PHILOX_H

#include <stdint.h>

/* What the numbers are for, so that two uses of one sample never share a stream. Part of every result: do not renumber.
 */
enum philox_use {
	PHILOX_AUGMENT = 1, /* one view's parameters */
	PHILOX_PERMUTE = 2, /* keys of the epoch's permutation */
	PHILOX_INIT = 3,    /* initial weights */
	PHILOX_SUBSET = 4,  /* which records --limit-images keeps */
	PHILOX_SYNTH = 5,   /* generated data set */
	PHILOX_PROBE = 6,   /* order of a linear probe's samples */
	PHILOX_TEST = 7,
};

struct philox {
	uint32_t key[2];
	uint32_t counter[4];
	uint32_t block[4];
	unsigned left; /* unused words of block */
};

/* out = Philox4x32-10(counter, key); the reference's known-answer vectors hold. */
void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Starts the stream of that tuple. epoch < 2^24 and view < 2^8 share one counter word; sample is 64 bits. */
struct philox philox_stream(uint64_t seed, uint32_t epoch, uint64_t sample, uint32_t view, enum philox_use use);

uint32_t philox_u32(struct philox *stream);
uint64_t philox_u64(struct philox *stream);
uint32_t philox_below(struct philox *stream, uint32_t bound);	    /* unbiased, 0 <= x < bound; bound > 0 */
float philox_uniform(struct philox *stream, float low, float high); /* 24-bit resolution, low <= x < high */
double philox_unit(struct philox *stream);			    /* 53-bit resolution, 0 <= x < 1 */
double philox_normal(struct philox *stream);			    /* mean 0, variance 1 (Box-Muller) */

#endif
