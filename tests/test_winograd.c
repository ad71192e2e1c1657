/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Winograd's transforms of every instruction set, twice: against the scalar reference, over channels that fill no
 * vector, odd tiles, clipped tiles, unaligned blocks, both types and pairs, with nothing written beyond; and put
 * together with products in float64 against what they are for, a plain 3x3 correlation and its weight gradient, which
 * no table knows of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "model/kernels.h"
#include "tests/helper_block.h"
#include "tests/helper_net.h"

enum { CHANNELS_MAX = 70, LANES_MAX = 16 };

#define NAMED(what, m) ((m) == 4 ? what " of F(4x4)" : what " of F(2x2)")

/* Most error of each transform, absolute, of numbers in [-1, 1). */
struct tolerance {
	double in, gradient, out, weights, weight_gradient;
};

static const struct tolerance TOLERANCES[] = {{1e-7, 1e-7, 2.5e-7, 1e-7, 2e-7}, {1e-5, 2e-5, 2e-5, 2e-8, 1e-7}};

static const struct tolerance *tolerance(unsigned m)
{
	return &TOLERANCES[m == 4];
}

/* -------------------------------------------------------------------------------------------- against the reference */

/* What V and Z are kept in. F(4x4) is for fp32 alone. */
static const struct form {
	unsigned m;
	enum element element;
	bool pairs;
} FORMS[] = {{2, ELEMENT_FP32, false}, {4, ELEMENT_FP32, false}, {2, ELEMENT_BF16, false}, {2, ELEMENT_BF16, true}};

enum { FORMS_COUNT = sizeof FORMS / sizeof FORMS[0] };

/* Tiles lie two abreast, in pixels with more channels than are used. The reference writes fp32. */
static void run_into(const struct kernels *k, const struct form *form, size_t tiles, size_t channels, bool gradient)
{
	const unsigned m = form->m, size = gradient ? m : m + 2, points = (m + 2) * (m + 2);
	const size_t pixel = channels + channels % 4, row = (m + size) * pixel, lines = (tiles + 1) / 2 * m + size - m;
	const size_t tile_stride = channels + channels % 3, even = tiles + tiles % 2;
	const size_t point_stride = even * tile_stride + 5;
	struct block x = block_random(
			     ELEMENT_FP32, (lines - 1) * row + (m + size - 1) * pixel + channels, 1, -1.0f, 1.0f),
		     v[2];
	uint32_t x_offset[8];
	for (size_t t = 0; t < tiles; t++)
		x_offset[t] = (uint32_t)(t / 2 * m * row + t % 2 * m * pixel);
	for (int w = 0; w < 2; w++) {
		v[w] = block_poisoned(w == 0 ? form->element : ELEMENT_FP32, points * point_stride);
		const struct transforms *t = (w == 0 ? k : &kernels_reference)->transforms;
		struct winograd_in_job job = {m, block_floats(&x), x_offset, row, pixel, tiles, channels, v[w].tensor,
			tile_stride, point_stride, form->pairs};
		(gradient ? t->gradient : t->in)(&job);
	}
	if (gradient)
		block_compare(NAMED("gradient", m), &v[0], &v[1], tolerance(m)->gradient);
	else
		block_compare(NAMED("in", m), &v[0], &v[1], tolerance(m)->in);
	block_free("in or gradient", &x);
}

static void check_into(const struct kernels *k)
{
	for (size_t channels = 1; channels <= CHANNELS_MAX; channels++) {
		for (size_t f = 0; f < FORMS_COUNT; f++) {
			for (size_t tiles = 1; tiles <= 5; tiles += 1 + channels % 2) {
				run_into(k, &FORMS[f], tiles, channels, false);
				run_into(k, &FORMS[f], tiles, channels, true);
			}
		}
	}
}

static void test_in_and_gradient(void **state)
{
	(void)state;
	block_each_table(check_into, true);
}

/* Panels of all channels; one tile of each number of rows and columns, side by side. */
static void run_out(const struct kernels *k, unsigned m, unsigned channels)
{
	const size_t tiles = m * m, row = tiles * m * channels;
	const unsigned points = (m + 2) * (m + 2);
	struct winograd_tile place[16];
	for (unsigned t = 0; t < tiles; t++)
		place[t] = (struct winograd_tile){t * m * channels, (uint8_t)(1 + t / m), (uint8_t)(1 + t % m)};
	struct block y[2] = {block_poisoned(ELEMENT_FP32, m * row), block_poisoned(ELEMENT_FP32, m * row)};
	unsigned width;
	for (unsigned col = 0; col < channels; col += width) {
		width = kernels_panel(k, channels - col);
		const size_t point_stride = tiles * width + 7;
		struct block products = block_random(ELEMENT_FP32, points * point_stride - 7, col, -1.0f, 1.0f);
		for (int w = 0; w < 2; w++) {
			struct winograd_out_job job = {m, block_floats(&products), point_stride, width,
				channels - col < width ? channels - col : width, place, tiles,
				block_floats(&y[w]) + col, row, channels};
			(w == 0 ? k : &kernels_reference)->transforms->out(&job);
		}
		block_free("out", &products);
	}
	block_compare(NAMED("out", m), &y[0], &y[1], tolerance(m)->out);
}

static void check_out(const struct kernels *k)
{
	for (unsigned channels = 1; channels <= CHANNELS_MAX; channels++) {
		run_out(k, 2, channels);
		run_out(k, 4, channels);
	}
}

static void test_out(void **state)
{
	(void)state;
	block_each_table(check_out, false);
}

/* The reference's vectors hold one lane, so it takes them one by one; and pairs, in fp32, one after the other. */
static void reference_weights(unsigned m, float *u, size_t step, const float *w, unsigned lanes, size_t point_stride)
{
	float column[9], points[WINOGRAD_POINTS_MAX];
	for (unsigned lane = 0; lane < lanes; lane++) {
		for (unsigned i = 0; i < 9; i++)
			column[i] = w[i * lanes + lane];
		kernels_reference.transforms->weights(m, (struct tensor){points, ELEMENT_FP32}, 1, column, NULL);
		for (unsigned p = 0; p < (m + 2) * (m + 2); p++)
			u[p * point_stride + lane * step] = points[p];
	}
}

static void run_weights(const struct kernels *k, unsigned m, enum element element, uint64_t stream)
{
	const unsigned lanes = k->lanes, points = (m + 2) * (m + 2), unit = element == ELEMENT_BF16 ? 2 : 1;
	const size_t point_stride = unit * lanes + 5, count = (points - 1) * point_stride + unit * lanes;
	struct block w[2], u[2] = {block_poisoned(element, count), block_poisoned(ELEMENT_FP32, count)};
	for (unsigned i = 0; i < 2; i++)
		w[i] = block_random(ELEMENT_FP32, 9 * lanes, stream + i, -1.0f, 1.0f);
	k->transforms->weights(
		m, u[0].tensor, point_stride, block_floats(&w[0]), unit == 2 ? block_floats(&w[1]) : NULL);
	for (unsigned i = 0; i < unit; i++)
		reference_weights(m, block_floats(&u[1]) + i, unit, block_floats(&w[i]), lanes, point_stride);
	block_compare(NAMED("weights", m), &u[0], &u[1], tolerance(m)->weights);
	block_free("weights", &w[0]);
	block_free("weights", &w[1]);
}

static void run_weight_gradient(const struct kernels *k, unsigned m, uint64_t stream)
{
	const unsigned lanes = k->lanes, points = (m + 2) * (m + 2);
	const size_t point_stride = lanes + 5;
	struct block du = block_random(ELEMENT_FP32, (points - 1) * point_stride + lanes, stream, -1.0f, 1.0f);
	struct block dw[2] = {block_poisoned(ELEMENT_FP32, 9 * lanes), block_poisoned(ELEMENT_FP32, 9 * lanes)};
	k->transforms->weight_gradient(m, block_floats(&dw[0]), block_floats(&du), point_stride);
	for (unsigned lane = 0; lane < lanes; lane++) {
		float column[9];
		kernels_reference.transforms->weight_gradient(m, column, block_floats(&du) + lane, point_stride);
		for (unsigned i = 0; i < 9; i++)
			block_floats(&dw[1])[i * lanes + lane] = column[i];
	}
	block_compare(NAMED("weight_gradient", m), &dw[0], &dw[1], tolerance(m)->weight_gradient);
	block_free("weight_gradient", &du);
}

static void check_weights(const struct kernels *k)
{
	for (uint64_t stream = 1; stream <= 50; stream++) {
		run_weights(k, 2, ELEMENT_FP32, stream);
		run_weights(k, 4, ELEMENT_FP32, stream);
		run_weights(k, 2, ELEMENT_BF16, stream);
		run_weight_gradient(k, 2, stream);
		run_weight_gradient(k, 4, stream);
	}
}

static void test_weights(void **state)
{
	(void)state;
	block_each_table(check_weights, true);
}

/* ------------------------------------------------------------------------------------- against what they are for */

enum { IN = 5, TILES = 6, SIDE_MAX = 6 };

/* Most relative error, in the Euclidean norm, of F(2x2) and F(4x4). */
static const double IDENTITY_TOLERANCE[] = {2e-7, 1.5e-6};

/* x, w and dy are random: one tile's x is [n][n][IN], dy and y are [m][m][lanes], w is [9][IN][lanes]. v, u, z and
 * products are [point][tile or IN][channels]. */
struct identity {
	unsigned m, n, points, lanes;
	float x[TILES * SIDE_MAX * SIDE_MAX * IN], w[9 * IN * LANES_MAX], dy[TILES * SIDE_MAX * SIDE_MAX * LANES_MAX];
	float v[WINOGRAD_POINTS_MAX * TILES * IN], u[WINOGRAD_POINTS_MAX * IN * LANES_MAX];
	float z[WINOGRAD_POINTS_MAX * TILES * LANES_MAX], products[WINOGRAD_POINTS_MAX * TILES * LANES_MAX];
};

static double x_at(const struct identity *id, size_t tile, unsigned y, unsigned x, unsigned c)
{
	return (double)id->x[((tile * id->n + y) * id->n + x) * IN + c];
}

/* v or z of all tiles, [point][tile][channels]. */
static void into(const struct kernels *k, const struct identity *id, bool gradient, float *points)
{
	const unsigned size = gradient ? id->m : id->n, channels = gradient ? id->lanes : IN;
	uint32_t offset[TILES];
	for (unsigned t = 0; t < TILES; t++)
		offset[t] = t * size * size * channels;
	struct winograd_in_job job = {id->m, gradient ? id->dy : id->x, offset, (size_t)size * channels, channels,
		TILES, channels, {points, ELEMENT_FP32}, channels, (size_t)TILES * channels, false};
	(gradient ? k->transforms->gradient : k->transforms->in)(&job);
}

static void check_correlation(const struct kernels *k, struct identity *id)
{
	const unsigned m = id->m, lanes = id->lanes;
	float y[TILES * 4 * 4 * LANES_MAX], column[9 * LANES_MAX];
	double plain[TILES * 4 * 4 * LANES_MAX];
	into(k, id, false, id->v);
	for (unsigned c = 0; c < IN; c++) {
		for (unsigned i = 0; i < 9 * lanes; i++)
			column[i] = id->w[(i / lanes * IN + c) * lanes + i % lanes];
		k->transforms->weights(
			m, (struct tensor){id->u + c * lanes, ELEMENT_FP32}, (size_t)IN * lanes, column, NULL);
	}
	for (unsigned at = 0; at < id->points * TILES * lanes; at++) {
		const unsigned row = at / lanes, p = row / TILES, o = at % lanes;
		double sum = 0.0;
		for (unsigned c = 0; c < IN; c++)
			sum += (double)id->v[row * IN + c] * (double)id->u[(p * IN + c) * lanes + o];
		id->products[at] = (float)sum;
	}
	struct winograd_tile place[TILES];
	for (unsigned t = 0; t < TILES; t++)
		place[t] = (struct winograd_tile){t * m * m * lanes, (uint8_t)m, (uint8_t)m};
	struct winograd_out_job job = {
		m, id->products, (size_t)TILES * lanes, lanes, lanes, place, TILES, y, (size_t)m * lanes, lanes};
	k->transforms->out(&job);

	for (unsigned at = 0; at < TILES * m * m * lanes; at++) {
		const unsigned pixel = at / lanes, tile = pixel / (m * m), py = pixel / m % m, px = pixel % m;
		plain[at] = 0.0;
		for (unsigned i = 0; i < 9 * IN; i++)
			plain[at] += x_at(id, tile, py + i / IN / 3, px + i / IN % 3, i % IN) *
				     (double)id->w[i * lanes + at % lanes];
	}
	double error = helper_distance(y, plain, (size_t)TILES * m * m * lanes);
	if (!(error < IDENTITY_TOLERANCE[m == 4]))
		fail_msg("%s: F(%u): a correlation's relative error is %.3g", k->name, m, error);
}

static void check_weight_gradient(const struct kernels *k, struct identity *id)
{
	const unsigned m = id->m, lanes = id->lanes;
	float dw[9 * IN * LANES_MAX], column[9 * LANES_MAX];
	double plain[9 * IN * LANES_MAX];
	into(k, id, false, id->v);
	into(k, id, true, id->z);
	for (unsigned at = 0; at < id->points * IN * lanes; at++) {
		const unsigned p = at / lanes / IN, c = at / lanes % IN, o = at % lanes;
		double sum = 0.0;
		for (unsigned t = 0; t < TILES; t++)
			sum += (double)id->v[(p * TILES + t) * IN + c] * (double)id->z[(p * TILES + t) * lanes + o];
		id->u[at] = (float)sum;
	}
	for (unsigned c = 0; c < IN; c++) {
		k->transforms->weight_gradient(m, column, id->u + c * lanes, (size_t)IN * lanes);
		for (unsigned i = 0; i < 9 * lanes; i++)
			dw[(i / lanes * IN + c) * lanes + i % lanes] = column[i];
	}

	for (unsigned at = 0; at < 9 * IN * lanes; at++) {
		const unsigned tap = at / lanes / IN, c = at / lanes % IN, o = at % lanes;
		plain[at] = 0.0;
		for (unsigned i = 0; i < TILES * m * m; i++)
			plain[at] += x_at(id, i / (m * m), i / m % m + tap / 3, i % m + tap % 3, c) *
				     (double)id->dy[i * lanes + o];
	}
	double error = helper_distance(dw, plain, (size_t)9 * IN * lanes);
	if (!(error < IDENTITY_TOLERANCE[m == 4]))
		fail_msg("%s: F(%u): a weight gradient's relative error is %.3g", k->name, m, error);
}

static void check_identity(const struct kernels *k)
{
	for (unsigned m = 2; m <= 4; m += 2) {
		static struct identity id;
		id.m = m;
		id.n = m + 2;
		id.points = id.n * id.n;
		id.lanes = k->lanes;
		helper_net_fill(id.x, sizeof id.x / sizeof id.x[0], 1, -1.0f, 1.0f);
		helper_net_fill(id.w, sizeof id.w / sizeof id.w[0], 2, -1.0f, 1.0f);
		helper_net_fill(id.dy, sizeof id.dy / sizeof id.dy[0], 3, -1.0f, 1.0f);
		check_correlation(k, &id);
		check_weight_gradient(k, &id);
	}
}

static void test_identity(void **state)
{
	(void)state;
	block_each_table(check_identity, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_and_gradient),
		cmocka_unit_test(test_out),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_identity),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
