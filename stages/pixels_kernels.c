/* SPDX-License-Identifier: Apache-2.0 */
/* Picks the table of pixel kernels, and says what scratch they need. */
#include "stages/pixels_kernels.h"

#include <math.h>

extern const struct pixel_kernels pixel_kernels_portable, pixel_kernels_avx2, pixel_kernels_avx512,
	pixel_kernels_avx512bf16;

const struct pixel_kernels *pixel_kernels_for(enum cpu_isa isa)
{
	switch (isa) {
	case CPU_AVX512BF16:
		return &pixel_kernels_avx512bf16;
	case CPU_AVX512:
		return &pixel_kernels_avx512;
	case CPU_AVX2:
		return &pixel_kernels_avx2;
	case CPU_PORTABLE:
		break;
	}
	return &pixel_kernels_portable;
}

enum { WIDEST = 16 }; /* floats of the widest vector: PIXELS_PAD */

static size_t pad_up(size_t n)
{
	return (n + WIDEST - 1) / WIDEST * WIDEST;
}

static size_t taps_of(uint32_t in, uint32_t out)
{
	const double scale = (double)in / out;
	return (2 * (size_t)ceil(2 * (scale < 1 ? 1 : scale)) + 1 + 3) / 4 * 4;
}

/* As pixels_render_simd.c and resize_begin() lay it out: planes and blur's rows; lines of the source, two of them
 * weighted, and the weights. A pixel more a side: a rectangle may begin and end within one. */
size_t pixels_scratch_floats(uint32_t max_width, uint32_t max_height, uint32_t size)
{
	const size_t padded = pad_up(size);
	const size_t columns = taps_of(max_width + 1, size), rows = taps_of(max_height + 1, size);
	const size_t line = ((max_width + 1 + columns) * 4 / (4 * WIDEST) + 1) * 4 * WIDEST;
	return 4 * size * padded + 8 * padded + (rows + 2) * line + padded * (columns + rows + 4) + 2 * (size_t)WIDEST;
}
