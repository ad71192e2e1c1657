/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The products of every instruction set against the scalar reference, in fp32 and bf16: every remainder of rows, odd
 * widths and depths, unaligned blocks, rows in any order, outputs that held NaN before, and nothing written beyond
 * their ends. The reference sums in double and is checked by the tests of what is made of it. test_passes and
 * test_winograd are for the other tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "model/kernels.h"
#include "tests/helper_block.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const enum element ELEMENTS[] = {ELEMENT_FP32, ELEMENT_BF16};

/* Most error of a sum of products of numbers in [-1, 1), by fp32 and bf16, for each product. */
static const double PRODUCT_TOLERANCE[] = {7e-8, 2.5e-8};

struct product_size {
	enum element element;
	unsigned width, cols;
	size_t rows, segments, length;
	bool add;
};

static uint32_t *offsets(size_t count)
{
	uint32_t *out = malloc(count * sizeof *out);
	assert_non_null(out);
	return out;
}

static double product_tolerance(const struct product_size *size)
{
	size_t terms = size->segments * size->length * (size->element == ELEMENT_BF16 ? 2 : 1);
	return PRODUCT_TOLERANCE[size->element] * (double)terms;
}

static void run_gemm(const struct kernels *k, const struct product_size *size)
{
	const size_t depth = size->segments * size->length, columns = size->cols + 5, rows = size->rows;
	const size_t unit = size->element == ELEMENT_BF16 ? 2 : 1;
	struct block a = block_units(size->element, rows * 3 - 3 + (2 * size->segments - 1) * size->length, 1);
	struct block b = block_units(size->element, depth * size->width, 2);
	for (size_t i = 0; i < depth * size->width * unit; i++) {
		if (i / unit % size->width >= size->cols)
			element_set(b.tensor.data, size->element, i, 0.0f);
	}
	uint32_t *a_offset = offsets(rows), *c_offset = offsets(rows);
	for (size_t r = 0; r < rows; r++) { /* rows overlap and come in any order */
		a_offset[r] = (uint32_t)((rows - 1 - r) * 3);
		c_offset[r] = (uint32_t)((r + rows / 2) % rows * columns);
	}
	struct gemm_segment segments[3];
	for (size_t s = 0; s < size->segments; s++)
		segments[s] = (struct gemm_segment){(uint32_t)(s * size->length * 2), (uint32_t)size->length};
	struct block c[2];
	for (int w = 0; w < 2; w++) {
		c[w] = size->add ? block_random(ELEMENT_FP32, rows * columns, 3, -1.0f, 1.0f)
				 : block_poisoned(ELEMENT_FP32, rows * columns);
		struct gemm_job job = {size->element, a.tensor.data, a_offset, segments, size->segments, b.tensor.data,
			size->width, size->cols, block_floats(&c[w]), c_offset, rows, size->add};
		(w == 0 ? k : &kernels_reference)->products->gemm(&job);
	}
	block_compare(
		size->element == ELEMENT_BF16 ? "gemm of bf16" : "gemm of fp32", &c[0], &c[1], product_tolerance(size));
	block_free("gemm", &a);
	block_free("gemm", &b);
	free(a_offset);
	free(c_offset);
}

static void run_outer(const struct kernels *k, const struct product_size *size)
{
	const size_t pixels = size->length, stride = size->width + 3;
	struct block a = block_units(size->element, size->rows + (pixels - 1) * 5, 1);
	struct block b = block_units(size->element, (pixels - 1) * stride + size->width, 2);
	uint32_t *a_offset = offsets(pixels);
	for (size_t p = 0; p < pixels; p++)
		a_offset[p] = (uint32_t)((pixels - 1 - p) * 5);
	struct block c[2];
	for (int w = 0; w < 2; w++) {
		c[w] = size->add ? block_random(ELEMENT_FP32, size->rows * size->width, 3, -1.0f, 1.0f)
				 : block_poisoned(ELEMENT_FP32, size->rows * size->width);
		struct outer_job job = {size->element, a.tensor.data, a_offset, b.tensor.data, stride, pixels,
			size->rows, size->width, block_floats(&c[w]), size->add};
		(w == 0 ? k : &kernels_reference)->products->outer(&job);
	}
	block_compare(size->element == ELEMENT_BF16 ? "outer of bf16" : "outer of fp32", &c[0], &c[1],
		product_tolerance(size));
	block_free("outer", &a);
	block_free("outer", &b);
	free(a_offset);
}

/* Rows leave every remainder in tiles of up to 24; lengths take turns at adding. */
static void check_products_width(const struct kernels *k, enum element element, unsigned width)
{
	const unsigned lanes = k->lanes, cols[] = {1, lanes - 1, lanes, lanes + 1, width - lanes + 1, width - 1, width};
	const size_t lengths[] = {1, 2, 9, 40};
	for (size_t rows = 1; rows <= 30; rows++) {
		for (size_t l = 0; l < COUNT(lengths); l++) {
			struct product_size size = {element, width, width, rows, 1, lengths[l], l % 2 == 1};
			run_outer(k, &size);
			size.segments = 1 + (rows + l) % 3;
			for (size_t i = 0; i < COUNT(cols); i++) {
				size.cols = cols[i] < width ? cols[i] : width;
				run_gemm(k, &size);
			}
		}
	}
}

static void check_products(const struct kernels *k)
{
	for (size_t i = 0; i < 3; i++) {
		for (size_t e = 0; e < 2; e++) {
			if (k->panels[i] != 0)
				check_products_width(k, ELEMENTS[e], k->panels[i]);
		}
	}
}

static void test_products(void **state)
{
	(void)state;
	block_each_table(check_products, false);
}

static void run_pair(const struct kernels *k, size_t pixels, size_t columns, bool table, size_t more)
{
	const size_t stride = columns + 2, out_columns = columns + more;
	struct block in = block_random(ELEMENT_BF16, (pixels - 1) * stride + columns, 1, -1.0f, 1.0f), out[2];
	uint32_t *in_offset = offsets(pixels);
	for (size_t p = 0; p < pixels; p++)
		in_offset[p] = (uint32_t)((pixels - 1 - p) * stride);
	for (int w = 0; w < 2; w++) {
		out[w] = block_poisoned(ELEMENT_BF16, (pixels + 1) / 2 * 2 * out_columns);
		(w == 0 ? k : &kernels_reference)
			->products->pair(out[w].tensor.data, in.tensor.data, table ? in_offset : NULL, stride, pixels,
				columns, out_columns);
	}
	struct block expected = block_as(&out[1], ELEMENT_FP32);
	block_compare("pair", &out[0], &expected, 0.0);
	block_free("pair", &out[1]);
	block_free("pair", &in);
	free(in_offset);
}

static void check_pair(const struct kernels *k)
{
	for (size_t pixels = 1; pixels <= 5; pixels++) {
		for (size_t columns = 1; columns <= 70; columns++) {
			run_pair(k, pixels, columns, columns % 2 == 1, 0);
			run_pair(k, pixels, columns, columns % 2 == 0, 1 + columns % 16);
		}
	}
}

/* A formula first, for the reference is all that the others are compared with. */
static void test_pair(void **state)
{
	(void)state;
	const bf16 in[] = {1, 2, 99, 3, 4, 99, 5, 6, 99};
	const uint32_t from[] = {3, 0, 6};
	const bf16 straight[] = {1, 3, 2, 4, 0, 0, 5, 0, 6, 0, 0, 0}, shuffled[] = {3, 1, 4, 2, 0, 0, 5, 0, 6, 0, 0, 0};
	bf16 out[12];
	kernels_reference.products->pair(out, in, NULL, 3, 3, 2, 3);
	assert_memory_equal(out, straight, sizeof out);
	kernels_reference.products->pair(out, in, from, 0, 3, 2, 3);
	assert_memory_equal(out, shuffled, sizeof out);
	block_each_table(check_pair, false);
}

static void check_panels(const struct kernels *k)
{
	for (unsigned cols = 1; cols < 300; cols++) {
		unsigned done = 0;
		while (done < cols) {
			unsigned width = kernels_panel(k, cols - done);
			assert_true(width == k->panels[0] || width == k->panels[1] || width == k->panels[2]);
			done += width;
		}
		assert_int_equal(done, kernels_padded(k, cols));
		assert_true(done - cols < k->lanes);
	}
}

static void test_panels(void **state)
{
	(void)state;
	block_each_table(check_panels, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_products),
		cmocka_unit_test(test_pair),
		cmocka_unit_test(test_panels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
