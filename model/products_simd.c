/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix products, written once with GNU vectors and compiled once per instruction set.
 *
 * They keep a tile of c in registers: MR rows by NR vectors, as many as the registers hold (24 of 32 with AVX-512, 12
 * of 16 otherwise). Each k loads NR vectors of b and MR single units of a, spread over a vector: a needs no packing,
 * which is what lets convolutions skip im2col. Narrow matrices (one vector wide) get taller tiles, so they run as fast
 * as wide ones.
 *
 * With bf16 a unit is a pair: vdpbf16ps multiplies both halves and adds both products to the float of its lane. Without
 * that instruction two multiply-adds on widened halves do the same.
 */
#include "model/kernels.h"
#include "model/simd.h"

#define TILE_MAX 24

/* acc += a b, `a` one unit for all lanes. */
INLINE vec multiply_add(vec acc, float a, vec b, const enum element element)
{
	if (element == ELEMENT_FP32)
		return acc + splat(a) * b;
	bits pair = (bits)splat(a);
#if defined(__AVX512BF16__)
	return (vec)_mm512_dpbf16_ps((__m512)acc, (__m512bh)pair, (__m512bh)b);
#else
	const uint32_t upper = 0xffff0000u;
	acc += (vec)(pair << 16) * (vec)((bits)b << 16);
	return acc + (vec)(pair & upper) * (vec)((bits)b & upper);
#endif
}

/* One tile: rows [row, row + mr) of which the first `valid` exist; the others repeat the last and are not stored. */
INLINE void gemm_tile(const struct gemm_job *job, size_t row, size_t valid, const unsigned mr, const unsigned nr,
	const enum element element)
{
	const float *a[TILE_MAX];
	vec acc[TILE_MAX];
	for (unsigned r = 0; r < mr; r++)
		a[r] = (const float *)job->a + job->a_offset[row + (r < valid ? r : valid - 1)];
#pragma GCC unroll 24
	for (unsigned i = 0; i < mr * nr; i++)
		acc[i] = (vec){0};

	const float *b = job->b;
	for (size_t s = 0; s < job->segment_count; s++) {
		size_t end = (size_t)job->segments[s].offset + job->segments[s].length;
		for (size_t k = job->segments[s].offset; k < end; k++) {
			vec bv[4];
#pragma GCC unroll 4
			for (unsigned j = 0; j < nr; j++)
				bv[j] = load(b + j * LANES);
#pragma GCC unroll 24
			for (unsigned r = 0; r < mr; r++) {
#pragma GCC unroll 4
				for (unsigned j = 0; j < nr; j++)
					acc[r * nr + j] = multiply_add(acc[r * nr + j], a[r][k], bv[j], element);
			}
			b += nr * LANES;
		}
	}

	const bool whole = job->cols == nr * LANES;
#pragma GCC unroll 24
	for (unsigned r = 0; r < mr; r++) {
		if (r >= valid)
			continue;
		float *c = job->c + job->c_offset[row + r];
#pragma GCC unroll 4
		for (unsigned j = 0; j < nr; j++) {
			size_t n = LANES;
			if (!whole) {
				if (job->cols <= j * LANES)
					continue;
				n = job->cols - j * LANES < LANES ? job->cols - j * LANES : LANES;
			}
			vec v = acc[r * nr + j];
			if (job->add)
				v += load_n(c + j * LANES, n);
			store_n(c + j * LANES, v, n);
		}
	}
}

/* Whole tiles, then one of just the rows that are left when tiles are low, or half tiles when they are high. */
INLINE void gemm_rows(const struct gemm_job *job, const unsigned mr, const unsigned nr, const enum element element)
{
	size_t row = 0, left;
	for (; row + mr <= job->rows; row += mr)
		gemm_tile(job, row, mr, mr, nr, element);
	for (; row < job->rows; row += mr / 2) {
		left = job->rows - row;
		if (mr == 6 && left <= 5) {
			switch (left) {
			case 5:
				gemm_tile(job, row, 5, 5, nr, element);
				return;
			case 4:
				gemm_tile(job, row, 4, 4, nr, element);
				return;
			case 3:
				gemm_tile(job, row, 3, 3, nr, element);
				return;
			case 2:
				gemm_tile(job, row, 2, 2, nr, element);
				return;
			default:
				gemm_tile(job, row, 1, 1, nr, element);
				return;
			}
		}
		gemm_tile(job, row, left < mr / 2 ? left : mr / 2, mr / 2, nr, element);
	}
}

INLINE void gemm_widths(const struct gemm_job *job, const enum element element)
{
#if LANES == 16
	if (job->width == 4 * LANES)
		gemm_rows(job, 6, 4, element);
	else if (job->width == 2 * LANES)
		gemm_rows(job, 12, 2, element);
	else
		gemm_rows(job, 24, 1, element);
#else
	if (job->width == 2 * LANES)
		gemm_rows(job, 6, 2, element);
	else
		gemm_rows(job, 12, 1, element);
#endif
}

static void gemm(const struct gemm_job *job)
{
	if (job->element == ELEMENT_BF16)
		gemm_widths(job, ELEMENT_BF16);
	else
		gemm_widths(job, ELEMENT_FP32);
}

INLINE void outer_tile(
	const struct outer_job *job, size_t row, const unsigned mr, const unsigned nr, const enum element element)
{
	vec acc[TILE_MAX];
#pragma GCC unroll 24
	for (unsigned i = 0; i < mr * nr; i++)
		acc[i] = (vec){0};
	const float *b = job->b, *a0 = (const float *)job->a + row;
	for (size_t p = 0; p < job->pixels; p++, b += job->b_stride) {
		const float *a = a0 + job->a_offset[p];
		vec bv[4];
#pragma GCC unroll 4
		for (unsigned j = 0; j < nr; j++)
			bv[j] = load(b + j * LANES);
#pragma GCC unroll 24
		for (unsigned r = 0; r < mr; r++) {
#pragma GCC unroll 4
			for (unsigned j = 0; j < nr; j++)
				acc[r * nr + j] = multiply_add(acc[r * nr + j], a[r], bv[j], element);
		}
	}
	float *c = job->c + row * nr * LANES;
#pragma GCC unroll 24
	for (unsigned i = 0; i < mr * nr; i++)
		store(c + i * LANES, job->add ? acc[i] + load(c + i * LANES) : acc[i]);
}

INLINE void outer_rows(const struct outer_job *job, const unsigned mr, const unsigned nr, const enum element element)
{
	size_t row = 0;
	for (; row + mr <= job->rows; row += mr)
		outer_tile(job, row, mr, nr, element);
	for (; row + 4 <= job->rows; row += 4)
		outer_tile(job, row, 4, nr, element);
	for (; row < job->rows; row++)
		outer_tile(job, row, 1, nr, element);
}

INLINE void outer_widths(const struct outer_job *job, const enum element element)
{
#if LANES == 16
	if (job->width == 4 * LANES)
		outer_rows(job, 6, 4, element);
	else if (job->width == 2 * LANES)
		outer_rows(job, 12, 2, element);
	else
		outer_rows(job, 24, 1, element);
#else
	if (job->width == 2 * LANES)
		outer_rows(job, 6, 2, element);
	else
		outer_rows(job, 12, 1, element);
#endif
}

static void outer(const struct outer_job *job)
{
	if (job->element == ELEMENT_BF16)
		outer_widths(job, ELEMENT_BF16);
	else
		outer_widths(job, ELEMENT_FP32);
}

static const bf16 *pixel_of(const bf16 *in, const uint32_t *in_offset, size_t in_stride, size_t pixel)
{
	return in + (in_offset != NULL ? in_offset[pixel] : pixel * in_stride);
}

INLINE void pair_columns(bf16 *out, const bf16 *first, const bf16 *second, size_t n, const bool two)
{
	bits both = load_halves(first, n);
	if (two)
		both |= load_halves(second, n) << 16;
	if (n == LANES)
		*(unaligned_bits *)out = both;
	else
		memcpy(out, &both, n * sizeof(uint32_t));
}

INLINE void pair_pixels(bf16 *out, const bf16 *first, const bf16 *second, size_t columns, const bool two)
{
	size_t c = 0;
	for (; c + LANES <= columns; c += LANES)
		pair_columns(out + 2 * c, first + c, second + c, LANES, two);
	if (c < columns)
		pair_columns(out + 2 * c, first + c, second + c, columns - c, two);
}

static void pair(bf16 *out, const bf16 *in, const uint32_t *in_offset, size_t in_stride, size_t pixels, size_t columns,
	size_t out_columns)
{
	for (size_t p = 0; p < pixels; p += 2, out += 2 * out_columns) {
		const bf16 *first = pixel_of(in, in_offset, in_stride, p);
		if (p + 1 < pixels)
			pair_pixels(out, first, pixel_of(in, in_offset, in_stride, p + 1), columns, true);
		else
			pair_pixels(out, first, first, columns, false);
		memset(out + 2 * columns, 0, 2 * (out_columns - columns) * sizeof(bf16));
	}
}

extern const struct products ISA_NAME(products_);
const struct products ISA_NAME(products_) = {.gemm = gemm, .outer = outer, .pair = pair};
