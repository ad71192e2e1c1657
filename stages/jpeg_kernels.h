/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What jpeg_decode.c does to many numbers at once, one table per instruction set, all with the same results.
 *
 * Coefficients come in groups of `lanes` blocks that interleave their rows: row r of block b of a group starts at
 * (r * lanes + b) * 8, so that one vector holds a row of each block. Behind each group lie JPEG_GROUP_GAP coefficients
 * that nobody reads.
 */
#ifndef RINGCLR_STAGES_JPEG_KERNELS_H
#define RINGCLR_STAGES_JPEG_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/cpu.h"

enum { JPEG_GROUP_GAP = 32, JPEG_COLOUR_STEP = 64, JPEG_LANES_MAX = 4 };

struct jpeg_kernels {
	unsigned lanes;
	/* idct[log2 of size]: samples of 1 << i a side from each 8x8 block, `groups` groups side by side. quantisation
	 * is in natural order. Rows of `samples` are `stride` bytes apart. */
	void (*idct[4])(uint8_t *samples, size_t stride, const int16_t *coefficients, const int16_t *quantisation,
		size_t groups);
	/* count samples become 2 * count of the same row: out[2i] = (3 in[i] + in[i - 1] + 1) / 4 and
	 * out[2i + 1] = (3 in[i] + in[i + 1] + 2) / 4. */
	void (*widen)(uint8_t *out, const uint8_t *in, size_t count);
	/* The same of in = 3 near + far, that is in two directions, with / 16 and roundings 8 and 7. */
	void (*widen_between)(uint8_t *out, const uint8_t *near, const uint8_t *far, size_t count);
	/* out[count][4]: R, G, B, 255 of YCbCr. Reads and writes up to the next multiple of JPEG_COLOUR_STEP. */
	void (*colour)(uint8_t *out, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, size_t count);
	void (*gray)(uint8_t *out, const uint8_t *y, size_t count);
};

const struct jpeg_kernels *jpeg_kernels_for(enum cpu_isa isa);

#endif
