/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast way from decoded pixels to a view: crop, antialiased bicubic resize, flip, then operations on the colours
 * and blur, in as few walks over the view as their order allows. One table an instruction set; views.h has the readable
 * reference of each operation, and tests/test_pixels.c holds every table against it.
 *
 * Results differ from the reference's, and between instruction sets, in the last bits only: sums are taken in another
 * order and multiply-adds are fused (1e-6 at most on values in [0,1]). One instruction set gives the same bytes always.
 */
#ifndef RINGCLR_STAGES_PIXELS_KERNELS_H
#define RINGCLR_STAGES_PIXELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/cpu.h"

enum pixels_op_kind {
	PIXELS_BRIGHTNESS, /* value: factor */
	PIXELS_CONTRAST,   /* factor */
	PIXELS_SATURATION, /* factor */
	PIXELS_HUE,	   /* shift in turns, -0.5..0.5 */
	PIXELS_GRAY,
	PIXELS_SOLARIZE, /* threshold */
	PIXELS_BLUR,	 /* sigma in pixels; taps: odd, below 2 * size */
};

struct pixels_op {
	enum pixels_op_kind kind;
	float value;
	uint32_t taps;
};

enum { PIXELS_MAX_OPS = 32 };

/* Pixels of 3 or 4 bytes (R, G, B and perhaps one of no meaning), and the rectangle of them to resize. x, y, width and
 * height may be fractions where the image was decoded at a fraction of its size. */
struct pixels_source {
	const uint8_t *pixels;
	size_t stride_bytes;
	unsigned channels;
	double x, y, width, height;
};

struct pixel_kernels {
	const char *name;
	/* out: [size][size][3] in [0,1]: the source's rectangle resized, mirrored if `flip`, with the operations
	 * applied in order. source NULL: operations on what out holds. scratch: pixels_scratch_floats(), 64-byte
	 * aligned. */
	void (*render)(const struct pixels_source *source, uint32_t size, bool flip, const struct pixels_op *ops,
		size_t op_count, float *scratch, float *out);
};

const struct pixel_kernels *pixel_kernels_for(enum cpu_isa isa);

/* Enough for rectangles of up to that size. */
size_t pixels_scratch_floats(uint32_t max_width, uint32_t max_height, uint32_t size);

#endif
