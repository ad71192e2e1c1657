/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NT-Xent with normalised rows against closed forms, a dense float64 reference, finite differences and stored values
 * from PyTorch.
 *
 * The other losses, and the metrics, are in test_loss_kinds.c.
 *
 * test_loss --dump DIR writes inputs and results for test_torch_loss.py instead: ntxent_K.z, .dz (float32) and
 * ntxent_K.meta (float64: rows, dim, temperature, loss, accuracy).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/fast_exp.h"
#include "model/loss.h"
#include "tests/golden/loss_golden.h"
#include "tests/helper_train.h"

struct problem {
	uint32_t rows;
	unsigned dim;
	double temperature;
	float *z;	   /* [rows][dim] */
	float *dz;	   /* [rows][dim] */
	double *reference; /* [rows][dim] */
};

static struct problem problem_create(uint32_t rows, unsigned dim, double temperature)
{
	size_t count = (size_t)rows * dim;
	struct problem p = {.rows = rows, .dim = dim, .temperature = temperature};
	p.z = calloc(count, sizeof(float));
	p.dz = calloc(count, sizeof(float));
	p.reference = calloc(count, sizeof(double));
	assert_non_null(p.z);
	assert_non_null(p.dz);
	assert_non_null(p.reference);
	helper_fill(p.z, count, rows * 31 + dim);
	return p;
}

static void problem_destroy(struct problem *p)
{
	free(p->z);
	free(p->dz);
	free(p->reference);
}

static struct loss_config ntxent(double temperature)
{
	return (struct loss_config){.kind = LOSS_NT_XENT, .normalize = true, .temperature = temperature};
}

static struct loss_result compute(struct problem *p, unsigned threads)
{
	struct error err = {0};
	struct arena *arena = arena_create(0, &err);
	assert_non_null(arena);
	struct team *team = team_create(threads, NULL, &err);
	assert_non_null(team);
	struct loss_config config = ntxent(p->temperature);
	struct contrastive_loss *loss = contrastive_loss_create(arena, &config, p->rows, p->dim, &err);
	assert_non_null(loss);
	struct loss_result result = {0};
	contrastive_loss_forward_backward(loss, team, p->z, p->rows, p->dz, &result);
	team_destroy(team);
	arena_destroy(arena);
	return result;
}

static void normalise(const struct problem *p, double *unit, double *norm)
{
	for (size_t i = 0; i < p->rows; i++) {
		double sum = 0;
		for (size_t c = 0; c < p->dim; c++)
			sum += (double)p->z[i * p->dim + c] * (double)p->z[i * p->dim + c];
		norm[i] = sqrt(sum);
		for (size_t c = 0; c < p->dim; c++)
			unit[i * p->dim + c] = (double)p->z[i * p->dim + c] / fmax(norm[i], 1e-12);
	}
}

/* The loss by its definition, with the whole matrix in float64; reference: its gradient, by the chain rule step by
 * step. Returns the loss, and by *accuracy the share of rows whose first largest similarity is the positive's. */
static double dense(struct problem *p, double *accuracy)
{
	size_t rows = p->rows, dim = p->dim;
	double *unit = calloc(rows * dim, sizeof(double)), *norm = calloc(rows, sizeof(double));
	double *s = calloc(rows * rows, sizeof(double)), *ds = calloc(rows * rows, sizeof(double));
	double total = 0, hits = 0;
	assert_true(unit && norm && s && ds);
	normalise(p, unit, norm);
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < rows; j++)
			for (size_t c = 0; c < dim; c++)
				s[i * rows + j] += unit[i * dim + c] * unit[j * dim + c] / p->temperature;
	for (size_t i = 0; i < rows; i++) {
		size_t positive = (i + rows / 2) % rows, first = i == 0;
		double sum = 0;
		for (size_t j = 0; j < rows; j++) {
			sum += j == i ? 0 : exp(s[i * rows + j]);
			if (j != i && s[i * rows + j] > s[i * rows + first])
				first = j;
		}
		hits += first == positive;
		/* cppcheck-suppress invalidFunctionArg ; a sum of exponentials is positive */
		total += log(sum) - s[i * rows + positive];
		for (size_t j = 0; j < rows; j++)
			ds[i * rows + j] = ((j == i ? 0 : exp(s[i * rows + j]) / sum) - (j == positive)) / (double)rows;
	}
	for (size_t i = 0; i < rows; i++) {
		double *d = p->reference + i * dim, along = 0;
		for (size_t c = 0; c < dim; c++)
			d[c] = 0;
		for (size_t j = 0; j < rows; j++)
			for (size_t c = 0; c < dim; c++)
				d[c] += (ds[i * rows + j] + ds[j * rows + i]) * unit[j * dim + c] / p->temperature;
		for (size_t c = 0; c < dim && norm[i] >= 1e-12; c++)
			along += d[c] * unit[i * dim + c];
		for (size_t c = 0; c < dim; c++)
			d[c] = (d[c] - along * unit[i * dim + c]) / fmax(norm[i], 1e-12);
	}
	free(unit);
	free(norm);
	free(s);
	free(ds);
	*accuracy = hits / (double)rows;
	return total / (double)rows;
}

/* Makes the second views resemble the first, so that the positives stand out. */
static void correlate(struct problem *p)
{
	size_t half = (size_t)p->rows / 2 * p->dim;
	for (size_t i = 0; i < half; i++)
		p->z[half + i] = 0.3f * p->z[half + i] + p->z[i];
}

static void test_fast_exp(void **state)
{
	(void)state;
	double worst = 0;
	for (int i = 0; i <= 470000; i++) {
		const float x = -86 + 0.00037f * (float)i;
		double exact = exp((double)x);
		worst = fmax(worst, fabs((double)fast_exp(x) - exact) / exact);
	}
	assert_true(worst < 2 * 1.2e-7);
	assert_true(fast_exp(0) == 1.0f);
	assert_true(fast_exp(-INFINITY) == 0.0f);
	assert_true(fast_exp(-1e30f) == 0.0f);
	assert_true(isnan(fast_exp(NAN)));
}

static void test_closed_forms(void **state)
{
	(void)state;
	/* Two pairs, identical within, orthogonal between: ln(1 + 2 exp(-1/t)). */
	struct problem p = problem_create(4, 6, 0.5);
	memset(p.z, 0, 24 * sizeof(float));
	p.z[0 * 6 + 1] = p.z[2 * 6 + 1] = 3.0f;
	p.z[1 * 6 + 4] = p.z[3 * 6 + 4] = 0.25f;
	struct loss_result result = compute(&p, 1);
	assert_true(fabs(result.loss - 0.2395448) < 1e-7);
	assert_true(result.accuracy == 1);
	p.temperature = 1;
	assert_true(fabs(compute(&p, 1).loss - 0.5514447) < 1e-7);
	problem_destroy(&p);
	/* All rows the same: ln(2N - 1) at any temperature, and no direction to go. */
	static const uint32_t rows[] = {2, 4, 256, 600, 1024};
	for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
		p = problem_create(rows[k], 8, k % 2 ? 0.1 : 0.5);
		memset(p.z, 0, (size_t)rows[k] * 8 * sizeof(float));
		for (uint32_t i = 0; i < rows[k]; i++)
			p.z[i * 8 + 3] = 2.0f;
		result = compute(&p, 2);
		assert_true(fabs(result.loss - log(rows[k] - 1.0)) < 1e-9);
		for (size_t i = 0; i < (size_t)rows[k] * 8; i++)
			assert_true(fabsf(p.dz[i]) < 1e-7f);
		/* Every similarity ties. The first is column 0 (row 0: column 1), so row N alone is right, and row 0
		 * where N = 1. */
		assert_true(result.accuracy == (rows[k] == 2 ? 1 : 1.0 / rows[k]));
		problem_destroy(&p);
	}
}

static void test_single_pair(void **state)
{
	(void)state;
	struct problem p = problem_create(2, 16, 0.5);
	struct loss_result result = compute(&p, 1);
	assert_true(result.loss == 0);
	assert_true(result.accuracy == 1);
	for (size_t i = 0; i < 32; i++)
		assert_true(p.dz[i] == 0);
	problem_destroy(&p);
}

static void check_against_dense(struct problem *p, double loss_tolerance, double gradient_tolerance)
{
	double accuracy, loss = dense(p, &accuracy);
	struct loss_result result = compute(p, 2);
	double relative = helper_relative(p->dz, p->reference, (size_t)p->rows * p->dim);
	if (!(fabs(result.loss - loss) < loss_tolerance) || !(relative < gradient_tolerance) ||
		result.accuracy != accuracy)
		fail_msg("rows %u dim %u t %g: loss %.9g, reference %.9g; gradient off by %.2g; accuracy %g, "
			 "reference %g",
			p->rows, p->dim, p->temperature, result.loss, loss, relative, result.accuracy, accuracy);
}

static void test_dense_reference(void **state)
{
	(void)state;
	static const uint32_t rows[] = {4, 6, 62, 64, 66, 126, 128, 130, 510, 512, 514, 526, 578};
	static const unsigned dims[] = {2, 3, 16, 33, 128};
	static const double temperatures[] = {1, 0.5, 0.1, 0.05};
	for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
		for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
			struct problem p = problem_create(rows[r], dims[d], temperatures[(r + d) % 4]);
			if (r % 2)
				correlate(&p);
			check_against_dense(&p, 1e-7 / p.temperature, 2e-6 / p.temperature);
			problem_destroy(&p);
		}
	struct problem p = problem_create(1090, 24, 0.2); /* three tiles across, the last of 66 */
	correlate(&p);
	check_against_dense(&p, 1e-6, 1e-5);
	problem_destroy(&p);
}

static void test_one_column(void **state)
{
	(void)state;
	/* On a line u is +1 or -1 and does not move. */
	struct problem p = problem_create(70, 1, 0.5);
	double accuracy, loss = dense(&p, &accuracy);
	struct loss_result result = compute(&p, 2);
	assert_true(fabs(result.loss - loss) < 1e-6);
	assert_true(result.accuracy == accuracy);
	for (size_t i = 0; i < 70; i++)
		assert_true(fabsf(p.dz[i]) < 1e-6f);
	problem_destroy(&p);
}

/* The reference itself, by central differences of its loss. */
static void test_reference_differences(void **state)
{
	(void)state;
	struct problem p = problem_create(10, 5, 0.3);
	size_t count = 50;
	double accuracy, gradient[50];
	dense(&p, &accuracy);
	memcpy(gradient, p.reference, sizeof gradient);
	for (size_t i = 0; i < count; i++) {
		float kept = p.z[i], step = 1.0f / 1024;
		p.z[i] = kept + step;
		double above = dense(&p, &accuracy), x1 = (double)p.z[i];
		p.z[i] = kept - step;
		double below = dense(&p, &accuracy), x0 = (double)p.z[i];
		p.z[i] = kept;
		assert_true(fabs((above - below) / (x1 - x0) - gradient[i]) < 2e-5);
	}
	problem_destroy(&p);
}

/* The loss's own value and gradient, along random directions. */
static void test_finite_differences(void **state)
{
	(void)state;
	struct problem p = problem_create(130, 24, 0.5);
	size_t count = (size_t)p.rows * p.dim;
	correlate(&p);
	compute(&p, 1);
	float *start = malloc(count * sizeof *start), *gradient = malloc(count * sizeof *gradient);
	float *direction = malloc(count * sizeof *direction);
	assert_true(start && gradient && direction);
	memcpy(start, p.z, count * sizeof *start);
	memcpy(gradient, p.dz, count * sizeof *gradient);
	for (uint32_t trial = 0; trial < 5; trial++) {
		double along = 0, side[2];
		helper_fill(direction, count, trial);
		for (int s = 0; s < 2; s++) {
			for (size_t i = 0; i < count; i++)
				p.z[i] = start[i] + (s ? -0.01f : 0.01f) * direction[i];
			side[s] = compute(&p, 1).loss;
		}
		for (size_t i = 0; i < count; i++)
			along += (double)gradient[i] * (double)direction[i];
		assert_true(fabs((side[0] - side[1]) / 0.02 - along) < 2e-5);
		assert_true(fabs(along) > 1e-3);
	}
	free(start);
	free(gradient);
	free(direction);
	problem_destroy(&p);
}

static void test_team_invariance(void **state)
{
	(void)state;
	static const unsigned threads[] = {2, 3, 8};
	struct problem p = problem_create(646, 48, 0.1);
	size_t size = (size_t)p.rows * p.dim * sizeof(float);
	struct loss_result one = compute(&p, 1);
	float *first = malloc(size);
	assert_non_null(first);
	memcpy(first, p.dz, size);
	for (size_t t = 0; t < 3; t++) {
		memset(p.dz, 0, size);
		struct loss_result result = compute(&p, threads[t]);
		assert_true(result.loss == one.loss && result.accuracy == one.accuracy);
		assert_memory_equal(first, p.dz, size);
	}
	free(first);
	problem_destroy(&p);
}

/* Other images in other rows: the same loss, and each image's gradient moves with it. */
static void test_permutation(void **state)
{
	(void)state;
	struct problem p = problem_create(182, 20, 0.2), q = problem_create(182, 20, 0.2);
	uint32_t half = 91;
	for (uint32_t i = 0; i < half; i++) {
		uint32_t to = (i * 37 + 5) % half;
		for (uint32_t view = 0; view < 2; view++) /* the views change sides too */
			memcpy(q.z + (to + (1 - view) * half) * 20, p.z + (i + view * half) * 20, 20 * sizeof(float));
	}
	struct loss_result a = compute(&p, 2), b = compute(&q, 2);
	assert_true(fabs(a.loss - b.loss) < 1e-7);
	assert_true(a.accuracy == b.accuracy);
	for (uint32_t i = 0; i < half; i++)
		for (uint32_t view = 0; view < 2; view++)
			for (uint32_t c = 0; c < 20; c++) {
				float x = p.dz[(i + view * half) * 20 + c];
				float y = q.dz[((i * 37 + 5) % half + (1 - view) * half) * 20 + c];
				assert_true(fabsf(x - y) < 1e-7f);
			}
	problem_destroy(&p);
	problem_destroy(&q);
}

/* A power of two on z changes no bit of u: the same loss, and the gradient divided by it. */
static void test_scale(void **state)
{
	(void)state;
	struct problem p = problem_create(66, 12, 0.5), q = problem_create(66, 12, 0.5);
	for (size_t i = 0; i < (size_t)66 * 12; i++)
		q.z[i] = 16 * p.z[i];
	assert_true(compute(&p, 1).loss == compute(&q, 1).loss);
	for (size_t i = 0; i < (size_t)66 * 12; i++)
		assert_true(p.dz[i] == 16 * q.dz[i]);
	problem_destroy(&p);
	problem_destroy(&q);
}

static void test_zero_norm(void **state)
{
	(void)state;
	struct problem p = problem_create(72, 9, 0.5);
	memset(p.z + (size_t)17 * 9, 0, 9 * sizeof(float));
	double accuracy, loss = dense(&p, &accuracy);
	struct loss_result result = compute(&p, 1);
	assert_true(fabs(result.loss - loss) < 1e-6);
	/* The zero row's gradient is 1e12 times the others': hold each kind against its own. */
	assert_true(helper_relative(p.dz + (size_t)17 * 9, p.reference + (size_t)17 * 9, 9) < 1e-5);
	assert_true(helper_relative(p.dz, p.reference, (size_t)17 * 9) < 1e-5);
	assert_true(helper_relative(p.dz + (size_t)18 * 9, p.reference + (size_t)18 * 9, (size_t)54 * 9) < 1e-5);
	memset(p.z, 0, (size_t)72 * 9 * sizeof(float));
	assert_true(fabs(compute(&p, 1).loss - log(71)) < 1e-9);
	problem_destroy(&p);
}

static void test_not_finite(void **state)
{
	(void)state;
	static const float bad[] = {NAN, INFINITY, -INFINITY};
	static const uint32_t rows[] = {2, 64, 1040};
	for (size_t r = 0; r < 3; r++)
		for (size_t b = 0; b < 3; b++)
			for (uint32_t at = 0; at < 2; at++) {
				struct problem p = problem_create(rows[r], 8, 0.5);
				p.z[at ? rows[r] * 8 - 1 : 0] = bad[b];
				assert_true(!isfinite(compute(&p, 2).loss));
				problem_destroy(&p);
			}
	struct problem p = problem_create(600, 8, 0.5);
	for (size_t i = 0; i < (size_t)600 * 8; i++)
		p.z[i] = NAN;
	assert_true(!isfinite(compute(&p, 1).loss));
	problem_destroy(&p);
}

/* What an earlier, larger call left behind is of no account. */
static void test_smaller_batch(void **state)
{
	(void)state;
	struct error err = {0};
	struct arena *arena = arena_create(0, &err);
	struct team *team = team_create(2, NULL, &err);
	assert_true(arena && team);
	struct loss_config config = ntxent(0.5);
	struct contrastive_loss *loss = contrastive_loss_create(arena, &config, 700, 16, &err);
	assert_non_null(loss);
	struct problem large = problem_create(700, 16, 0.5), small = problem_create(74, 16, 0.5);
	size_t size = (size_t)74 * 16 * sizeof(float);
	float *dz = malloc(size);
	assert_non_null(dz);
	struct loss_result alone = compute(&small, 1), after;
	memcpy(dz, small.dz, size);
	contrastive_loss_forward_backward(loss, team, large.z, 700, large.dz, &after);
	contrastive_loss_forward_backward(loss, team, small.z, 74, small.dz, &after);
	assert_true(after.loss == alone.loss && after.accuracy == alone.accuracy);
	assert_memory_equal(dz, small.dz, size);
	free(dz);
	problem_destroy(&large);
	problem_destroy(&small);
	team_destroy(team);
	arena_destroy(arena);
}

static void test_create_errors(void **state)
{
	(void)state;
	struct error err = {0};
	struct arena *arena = arena_create(1 << 20, &err);
	struct loss_config config = ntxent(0.5);
	assert_non_null(arena);
	assert_null(contrastive_loss_create(arena, &config, 7, 16, &err));
	assert_int_equal(err.code, ERROR_USAGE);
	err = (struct error){0};
	assert_null(contrastive_loss_create(arena, &config, 0, 16, &err));
	assert_int_equal(err.code, ERROR_USAGE);
	err = (struct error){0};
	assert_null(contrastive_loss_create(arena, &config, 8, 0, &err));
	assert_int_equal(err.code, ERROR_USAGE);
	err = (struct error){0};
	assert_null(contrastive_loss_create(arena, &config, 1 << 20, 128, &err));
	assert_int_equal(err.code, ERROR_MEMORY);
	arena_destroy(arena);
}

/* Values that PyTorch gave in float64 (tests/golden/make_loss.py). */
static void test_golden(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof golden_ntxent / sizeof *golden_ntxent; k++) {
		const struct golden_ntxent *golden = &golden_ntxent[k];
		struct problem p = problem_create(golden->rows, golden->dim, golden->temperature);
		size_t count = (size_t)golden->rows * golden->dim;
		helper_fill(p.z, count, golden->seed);
		struct loss_result result = compute(&p, 1);
		assert_true(fabs(result.loss - golden->loss) < 1e-7 / golden->temperature);
		assert_true(helper_relative(p.dz, golden->gradient, count) < 2e-6);
		assert_true(fabs(result.accuracy - golden->accuracy) < 1e-12);
		problem_destroy(&p);
	}
}

static int dump(const char *dir)
{
	static const struct {
		uint32_t rows;
		unsigned dim;
		double temperature;
		bool correlated;
	} cases[] = {{2, 8, 0.5, false}, {64, 16, 0.5, true}, {130, 128, 0.1, true}, {514, 128, 0.5, false},
		{1026, 64, 0.05, true}};
	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		char name[32];
		struct problem p = problem_create(cases[k].rows, cases[k].dim, cases[k].temperature);
		size_t size = (size_t)p.rows * p.dim * sizeof(float);
		if (cases[k].correlated)
			correlate(&p);
		struct loss_result result = compute(&p, 2);
		double meta[] = {p.rows, p.dim, p.temperature, result.loss, result.accuracy};
		snprintf(name, sizeof name, "ntxent_%zu.z", k);
		helper_dump(dir, name, p.z, size);
		snprintf(name, sizeof name, "ntxent_%zu.dz", k);
		helper_dump(dir, name, p.dz, size);
		snprintf(name, sizeof name, "ntxent_%zu.meta", k);
		helper_dump(dir, name, meta, sizeof meta);
		problem_destroy(&p);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--dump") == 0)
		return dump(argv[2]);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fast_exp),
		cmocka_unit_test(test_closed_forms),
		cmocka_unit_test(test_single_pair),
		cmocka_unit_test(test_dense_reference),
		cmocka_unit_test(test_one_column),
		cmocka_unit_test(test_reference_differences),
		cmocka_unit_test(test_finite_differences),
		cmocka_unit_test(test_team_invariance),
		cmocka_unit_test(test_permutation),
		cmocka_unit_test(test_scale),
		cmocka_unit_test(test_zero_norm),
		cmocka_unit_test(test_not_finite),
		cmocka_unit_test(test_smaller_batch),
		cmocka_unit_test(test_create_errors),
		cmocka_unit_test(test_golden),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
