/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cross-entropy against a naive long double version, finite differences and numbers that PyTorch computed in float64;
 * against its closed forms; on any team.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/cross_entropy.h"
#include "tests/helper_train.h"

enum { ROWS_MAX = 200, CLASSES_MAX = 1000 };

struct fixture {
	struct arena *arena;
	struct cross_entropy *loss;
	float *logits, *dlogits;
	int32_t *labels;
	uint32_t rows;
	unsigned classes;
	struct cross_entropy_result result;
};

static void create(struct fixture *f, uint32_t rows, unsigned classes, float scale)
{
	struct error err = {0};
	*f = (struct fixture){.arena = arena_create(0, &err), .rows = rows, .classes = classes};
	assert_non_null(f->arena);
	f->loss = cross_entropy_create(f->arena, rows, classes, &err);
	assert_non_null(f->loss);
	size_t count = (size_t)rows * classes;
	f->logits = malloc(count * sizeof(float));
	f->dlogits = malloc(count * sizeof(float));
	f->labels = malloc(rows * sizeof(int32_t));
	assert_true(f->logits && f->dlogits && f->labels);
	helper_fill(f->logits, count, 7);
	for (size_t i = 0; i < count; i++)
		f->logits[i] *= scale;
	for (uint32_t i = 0; i < rows; i++)
		f->labels[i] = (int32_t)((i * 7 + 3) % classes);
}

static void destroy(struct fixture *f)
{
	free(f->logits);
	free(f->dlogits);
	free(f->labels);
	arena_destroy(f->arena);
}

static void compute(struct fixture *f, unsigned threads)
{
	struct team *team = helper_team(threads);
	cross_entropy_forward_backward(f->loss, team, f->logits, f->labels, f->rows, f->dlogits, &f->result);
	team_destroy(team);
}

/* The mean loss with logit `moved` shifted by `step`. */
static long double naive_loss(const struct fixture *f, size_t moved, long double step)
{
	long double total = 0;
	for (uint32_t i = 0; i < f->rows; i++) {
		long double sum = 0, own = 0;
		for (unsigned c = 0; c < f->classes; c++) {
			size_t at = (size_t)i * f->classes + c;
			long double logit = (long double)f->logits[at] + (at == moved ? step : 0);
			sum += expl(logit);
			own = (int32_t)c == f->labels[i] ? logit : own;
		}
		total += logl(sum) - own;
	}
	return total / f->rows;
}

static void test_naive(void **state)
{
	(void)state;
	static const struct {
		uint32_t rows;
		unsigned classes;
		float scale;
	} cases[] = {{1, 1, 1}, {1, 2, 1}, {3, 10, 5}, {31, 3, 20}, {33, 17, 1}, {200, 10, 0.1f}, {5, 1000, 3}};
	for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
		struct fixture f;
		create(&f, cases[k].rows, cases[k].classes, cases[k].scale);
		compute(&f, 2);
		long double expected = naive_loss(&f, SIZE_MAX, 0);
		assert_true(fabsl(f.result.loss - expected) <= 1e-14L * (1 + fabsl(expected)));
		size_t count = (size_t)f.rows * f.classes, step = count > 300 ? count / 300 : 1;
		for (size_t i = 0; i < count; i += step) {
			const long double h = 1e-5L;
			long double slope = (naive_loss(&f, i, h) - naive_loss(&f, i, -h)) / (2 * h);
			if (!(fabsl((long double)f.dlogits[i] - slope) <= 2e-7L * fabsl(slope) + 1e-10L / f.rows))
				fail_msg("gradient %zu: %.9g, by differences %.9Lg", i, (double)f.dlogits[i], slope);
		}
		uint32_t hits = 0;
		for (uint32_t i = 0; i < f.rows; i++) {
			const float *logits = f.logits + (size_t)i * f.classes;
			uint32_t larger = 0;
			for (unsigned c = 0; c < f.classes; c++)
				larger += logits[c] > logits[f.labels[i]];
			hits += larger == 0;
		}
		assert_true(f.result.accuracy == (double)hits / f.rows);
		destroy(&f);
	}
}

/* torch.nn.functional.cross_entropy() and its gradient in float64, of
 * [[0.5, -1.25, 2], [3, 3, -3], [-8, 0.125, 0]] with labels [2, 1, 0]; torch.float64, 1.13. */
static void test_torch(void **state)
{
	(void)state;
	static const float logits[9] = {0.5f, -1.25f, 2, 3, 3, -3, -8, 0.125f, 0};
	static const int32_t labels[3] = {2, 1, 0};
	static const double gradient[9] = {0.05894006070248143, 0.01024224677547881, -0.069182307477960239,
		0.16646035967722739, -0.16687297365610593, 0.00041261397887859205, -0.33328092099727352,
		0.17704194920039001, 0.15623897179688351};
	struct fixture f;
	create(&f, 3, 3, 1);
	memcpy(f.logits, logits, sizeof logits);
	memcpy(f.labels, labels, sizeof labels);
	compute(&f, 1);
	assert_true(fabs(f.result.loss - 3.2282546856820482) < 1e-14);
	for (size_t i = 0; i < 9; i++)
		assert_true(fabs((double)f.dlogits[i] - gradient[i]) <= 6e-8 * fabs(gradient[i]));
	assert_true(f.result.accuracy == 1.0 / 3); /* of the tie the first is taken */
	destroy(&f);
}

static void test_closed_forms(void **state)
{
	(void)state;
	struct fixture f;
	create(&f, 40, 10, 0);
	compute(&f, 2);
	assert_true(fabs(f.result.loss - log(10.0)) < 1e-15); /* nothing is known */
	assert_true(f.result.accuracy == 0.1);
	for (uint32_t i = 0; i < f.rows; i++)
		f.logits[i * 10 + (unsigned)f.labels[i]] = 50;
	compute(&f, 2);
	/* Well learned: the digits are still there, of the loss and of the label's own gradient. */
	assert_true(fabs(f.result.loss / (9 * exp(-50.0)) - 1) < 1e-12);
	assert_true(fabs((double)f.dlogits[f.labels[0]] / (-9 * exp(-50.0) / 40) - 1) < 1e-6);
	for (uint32_t i = 0; i < f.rows; i++)
		f.logits[i * 10 + (unsigned)f.labels[i]] = -3e38f; /* hopeless, but no overflow */
	compute(&f, 2);
	assert_true(isfinite(f.result.loss) && fabs(f.result.loss / 3e38 - 1) < 1e-6);
	f.logits[5] = nanf("");
	compute(&f, 2);
	assert_true(!isfinite(f.result.loss));
	f.logits[5] = INFINITY;
	compute(&f, 2);
	assert_true(!isfinite(f.result.loss));
	f.logits[5] = 0;
	f.logits[f.labels[0]] = INFINITY; /* as sure of the label as can be, and no number */
	compute(&f, 2);
	assert_true(!isfinite(f.result.loss));
	destroy(&f);
}

static void test_any_team(void **state)
{
	(void)state;
	struct fixture f;
	create(&f, 199, 37, 4);
	compute(&f, 1);
	struct cross_entropy_result one = f.result;
	size_t bytes = (size_t)f.rows * f.classes * sizeof(float);
	float *dlogits = malloc(bytes);
	assert_non_null(dlogits);
	memcpy(dlogits, f.dlogits, bytes);
	for (unsigned threads = 2; threads <= 5; threads++) {
		memset(f.dlogits, 0, bytes);
		compute(&f, threads);
		assert_memory_equal(f.dlogits, dlogits, bytes);
		assert_true(f.result.loss == one.loss && f.result.accuracy == one.accuracy);
	}
	free(dlogits);
	destroy(&f);
}

static void test_refused(void **state)
{
	(void)state;
	struct error err = {0};
	struct arena *arena = arena_create(4096, &err);
	assert_null(cross_entropy_create(arena, 0, 10, &err));
	assert_int_equal(err.code, ERROR_USAGE);
	err = (struct error){0};
	assert_null(cross_entropy_create(arena, 10, 0, &err));
	assert_int_equal(err.code, ERROR_USAGE);
	err = (struct error){0};
	assert_null(cross_entropy_create(arena, 1u << 20, 10, &err));
	assert_int_equal(err.code, ERROR_MEMORY);
	arena_destroy(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_naive),
		cmocka_unit_test(test_torch),
		cmocka_unit_test(test_closed_forms),
		cmocka_unit_test(test_any_team),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests_name("cross_entropy", tests, NULL, NULL);
}
