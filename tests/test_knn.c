/* SPDX-License-Identifier: Apache-2.0 */
/* kNN against a sort of the whole bank in float64, ties, chance, and refusals. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/probe.h"
#include "tests/helper_train.h"

struct ranked {
	double similarity;
	size_t index;
};

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->similarity != y->similarity)
		return x->similarity > y->similarity ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

/* kNN by sorting the whole bank, in float64. */
static struct probe_score brute_force(const struct probe_data *bank, const struct probe_data *test, unsigned dim,
	unsigned classes, unsigned k, double temperature)
{
	struct ranked *list = calloc(bank->count, sizeof *list);
	double *votes = calloc(classes, sizeof *votes);
	assert_true(list && votes);
	size_t top1 = 0, top5 = 0;
	for (size_t q = 0; q < test->count; q++) {
		unsigned label = (unsigned)test->labels[q], ahead = 0;
		for (size_t i = 0; i < bank->count; i++)
			list[i] = (struct ranked){
				helper_cosine(test->features + q * dim, bank->features + i * dim, dim), i};
		qsort(list, bank->count, sizeof *list, compare_ranked);
		memset(votes, 0, classes * sizeof *votes);
		for (size_t i = 0; i < k && i < bank->count; i++)
			votes[bank->labels[list[i].index]] += exp(list[i].similarity / temperature);
		for (unsigned c = 0; c < classes; c++)
			ahead += votes[c] > votes[label] || (c < label && votes[c] == votes[label]);
		top1 += ahead == 0 && votes[label] > 0;
		top5 += ahead < 5 && votes[label] > 0;
	}
	free(list);
	free(votes);
	return (struct probe_score){.top1 = 100 * (double)top1 / (double)test->count,
		.top5 = classes <= 5 ? 100 : 100 * (double)top5 / (double)test->count};
}

static void test_knn_brute_force(void **state)
{
	(void)state;
	static const struct {
		size_t bank, test;
		unsigned dim, classes, k;
	} cases[] = {{1, 3, 4, 2, 200}, {150, 70, 8, 3, 200}, {201, 64, 8, 12, 200}, {513, 65, 16, 12, 200},
		{512, 63, 3, 12, 1}, {1100, 130, 16, 12, 5}, {2000, 40, 24, 12, 20}, {700, 40, 24, 12, 700}};
	struct team *team = helper_team(2);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error err = {0};
		struct probe_score score, want;
		struct helper_data bank = helper_data_create(cases[i].bank, cases[i].dim, cases[i].classes, 0.5, 1);
		struct helper_data test = helper_data_create(cases[i].test, cases[i].dim, cases[i].classes, 0.5, 2);
		assert_int_equal(probe_knn(team, &bank.probe, &test.probe, cases[i].dim, cases[i].classes, cases[i].k,
					 0.1, &score, &err),
			0);
		want = brute_force(&bank.probe, &test.probe, cases[i].dim, cases[i].classes, cases[i].k, 0.1);
		if (score.top1 != want.top1 || score.top5 != want.top5)
			fail_msg("case %zu: %g, %g; by brute force %g, %g", i, score.top1, score.top5, want.top1,
				want.top5);
		helper_data_destroy(&bank);
		helper_data_destroy(&test);
	}
	team_destroy(team);
}

/* Equal similarities: the lower index is nearer, however many there are and wherever a selection falls. */
static void test_knn_ties(void **state)
{
	(void)state;
	enum { BANK = 1500 };
	float *features = calloc(BANK * 2, sizeof(float)), query[2] = {0, 3};
	int32_t *labels = calloc(BANK, sizeof(int32_t)), label = 1;
	assert_true(features && labels);
	for (size_t i = 0; i < BANK; i++) {
		features[2 * i + 1] = 1;
		labels[i] = i < 700 ? 0 : 1;
	}
	struct probe_data bank = {features, labels, BANK, NULL}, test = {query, &label, 1, NULL};
	struct team *team = helper_team(1);
	struct probe_score score;
	struct error err = {0};
	/* All 1500 tie: among the first 1399, label 0 has 700 votes and label 1 has 699; one more makes it a tie of
	 * classes; yet one more and label 1 wins. */
	static const struct {
		unsigned k;
		double top1;
	} cases[] = {{1, 0}, {700, 0}, {1399, 0}, {1400, 0}, {1401, 100}, {1500, 100}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(probe_knn(team, &bank, &test, 2, 2, cases[i].k, 0.1, &score, &err), 0);
		assert_true(score.top1 == cases[i].top1);
		assert_true(score.top5 == 100);
	}
	team_destroy(team);
	free(features);
	free(labels);
}

/* What a class without votes would get by its number is no hit. */
static void test_knn_no_votes(void **state)
{
	(void)state;
	float features[6] = {1, 0, 0, 1, 1, 1}, query[2] = {1, 0.1f};
	int32_t labels[3] = {5, 6, 7}, label = 0;
	struct probe_data bank = {features, labels, 3, NULL}, test = {query, &label, 1, NULL};
	struct team *team = helper_team(1);
	struct probe_score score;
	struct error err = {0};
	assert_int_equal(probe_knn(team, &bank, &test, 2, 8, 2, 0.1, &score, &err), 0);
	assert_true(score.top1 == 0 && score.top5 == 0);
	label = 7; /* second */
	assert_int_equal(probe_knn(team, &bank, &test, 2, 8, 2, 0.1, &score, &err), 0);
	assert_true(score.top1 == 0 && score.top5 == 100);
	label = 5;
	assert_int_equal(probe_knn(team, &bank, &test, 2, 8, 2, 1e-4, &score, &err), 0);
	assert_true(score.top1 == 100);
	team_destroy(team);
}

static void test_chance(void **state)
{
	(void)state;
	struct helper_data train = helper_data_create(2000, 24, 10, 0, 1),
			   test = helper_data_create(2000, 24, 10, 0, 2);
	struct team *team = helper_team(2);
	struct probe_score score;
	struct error err = {0};
	/* Deviation of 2000 draws at 10%: 0.67 points; at 50%: 1.12. Four of each. */
	assert_int_equal(probe_knn(team, &train.probe, &test.probe, 24, 10, 200, 0.1, &score, &err), 0);
	assert_true(fabs(score.top1 - 10) < 2.7 && fabs(score.top5 - 50) < 4.5);
	team_destroy(team);
	helper_data_destroy(&train);
	helper_data_destroy(&test);
}

static void test_errors(void **state)
{
	(void)state;
	enum { DIM = 4, CLASSES = 7 };
	struct team *team = helper_team(1);
	struct helper_data train = helper_data_create(30, DIM, CLASSES, 1, 1);
	struct helper_data test = helper_data_create(20, DIM, CLASSES, 1, 2);
	struct probe_data none = {0};
	struct probe_score score;
#define expect(want, text, call)                                                                                       \
	do {                                                                                                           \
		struct error err = {0};                                                                                \
		assert_int_equal(call, want);                                                                          \
		assert_int_equal(err.code, want);                                                                      \
		assert_non_null(strstr(err.message, text));                                                            \
	} while (0)
	expect(ERROR_USAGE, "train set is empty",
		probe_knn(team, &none, &test.probe, DIM, CLASSES, 5, 0.1, &score, &err));
	expect(ERROR_USAGE, "test set is empty",
		probe_knn(team, &train.probe, &none, DIM, CLASSES, 5, 0.1, &score, &err));
	expect(ERROR_USAGE, "temperature",
		probe_knn(team, &train.probe, &test.probe, DIM, CLASSES, 5, 0, &score, &err));
	expect(ERROR_USAGE, "k = 0", probe_knn(team, &train.probe, &test.probe, DIM, CLASSES, 0, 1, &score, &err));
	train.labels[3] = CLASSES;
	expect(ERROR_USAGE, "record 3 of the train set has label 7",
		probe_knn(team, &train.probe, &test.probe, DIM, CLASSES, 5, 0.1, &score, &err));
	train.labels[3] = 0;
	train.features[5 * DIM + 2] = NAN;
	expect(ERROR_NUMERIC, "record 5 of the train set",
		probe_knn(team, &train.probe, &test.probe, DIM, CLASSES, 5, 0.1, &score, &err));
#undef expect
	team_destroy(team);
	helper_data_destroy(&train);
	helper_data_destroy(&test);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_knn_brute_force),
		cmocka_unit_test(test_knn_ties),
		cmocka_unit_test(test_knn_no_votes),
		cmocka_unit_test(test_chance),
		cmocka_unit_test(test_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
