/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbours against a sort of the whole bank, ties, and the vote against probe_knn()'s. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/neighbours.h"
#include "tests/helper_train.h"

struct near {
	double similarity;
	uint32_t index;
};

static int compare(const void *a, const void *b)
{
	const struct near *x = a, *y = b;
	if (x->similarity != y->similarity)
		return x->similarity > y->similarity ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

static void check_case(size_t bank_count, size_t query_count, unsigned dim, unsigned k, unsigned threads)
{
	struct helper_data bank = helper_data_create(bank_count, dim, 7, 0.5, 1);
	struct helper_data test = helper_data_create(query_count, dim, 7, 0.5, 2);
	struct team *team = helper_team(threads);
	struct error err = {0};
	struct probe_score score;
	assert_int_equal(probe_knn(team, &bank.probe, &test.probe, dim, 7, k, 0.1, &score, &err), 0);
	assert_int_equal(neighbours_normalize(bank.features, bank_count, dim, &err), 0);
	assert_int_equal(neighbours_normalize(test.features, query_count, dim, &err), 0);
	uint32_t *index = calloc(query_count * k, sizeof *index);
	float *similarity = calloc(query_count * k, sizeof *similarity);
	struct near *all = calloc(bank_count, sizeof *all);
	assert_true(index && similarity && all);
	assert_int_equal(neighbours_find(team, bank.features, bank_count, test.features, query_count, dim, k, index,
				 similarity, &err),
		0);
	size_t right = 0;
	double votes[7];
	for (size_t q = 0; q < query_count; q++) {
		for (size_t i = 0; i < bank_count; i++) {
			double sum = 0;
			for (unsigned c = 0; c < dim; c++)
				sum += (double)bank.features[i * dim + c] * (double)test.features[q * dim + c];
			all[i] = (struct near){sum, (uint32_t)i};
		}
		qsort(all, bank_count, sizeof *all, compare);
		for (unsigned i = 0; i < k; i++) {
			assert_true(fabs((double)similarity[q * k + i] - all[i].similarity) < 1e-6);
			assert_true(i == 0 || similarity[q * k + i] <= similarity[q * k + i - 1]);
			/* Two that float32 cannot tell apart may change places. */
			if ((i == 0 || all[i - 1].similarity - all[i].similarity > 1e-6) &&
				(i + 1 == bank_count || all[i].similarity - all[i + 1].similarity > 1e-6))
				assert_int_equal(index[q * k + i], all[i].index);
		}
		right += neighbours_vote(index + q * k, similarity + q * k, k, bank.labels, 7, 0.1, votes) ==
			 test.labels[q];
	}
	assert_true(fabs(100 * (double)right / (double)query_count - score.top1) < 1e-9);
	free(index);
	free(similarity);
	free(all);
	team_destroy(team);
	helper_data_destroy(&bank);
	helper_data_destroy(&test);
}

static void test_brute_force(void **state)
{
	(void)state;
	check_case(1, 3, 4, 1, 1);
	check_case(150, 70, 8, 150, 2);
	check_case(513, 65, 16, 20, 3);
	check_case(1100, 130, 16, 200, 2);
}

/* Of equal ones the lower number, wherever the tiles end. */
static void test_ties(void **state)
{
	(void)state;
	enum { BANK = 1300, K = 700 };
	float *bank = calloc(BANK * 2, sizeof *bank), query[2] = {0, 1};
	static uint32_t index[K];
	static float similarity[K];
	assert_non_null(bank);
	for (size_t i = 0; i < BANK; i++)
		bank[2 * i + 1] = i % 3 == 0 ? 1 : 0.5F;
	struct team *team = helper_team(1);
	struct error err = {0};
	assert_int_equal(neighbours_find(team, bank, BANK, query, 1, 2, K, index, similarity, &err), 0);
	for (unsigned i = 0; i < K; i++) {
		unsigned half = i - 434; /* 434 ones lie at multiples of 3 */
		assert_int_equal(index[i], i < 434 ? 3 * i : half / 2 * 3 + 1 + half % 2);
	}
	team_destroy(team);
	free(bank);
}

static void test_refused(void **state)
{
	(void)state;
	float rows[4] = {3, 4, 0, 0}, similarity[2];
	uint32_t index[2];
	struct error err = {0};
	assert_int_equal(neighbours_normalize(rows, 2, 2, &err), 0);
	assert_true(fabsf(rows[0] - 0.6F) < 1e-7F && fabsf(rows[1] - 0.8F) < 1e-7F && rows[2] == 0);
	struct team *team = helper_team(1);
	assert_int_equal(neighbours_find(team, rows, 2, rows, 1, 2, 3, index, similarity, &err), ERROR_USAGE);
	assert_int_equal(neighbours_find(team, rows, 2, rows, 1, 2, 0, index, similarity, &err), ERROR_USAGE);
	team_destroy(team);
	err = (struct error){0};
	rows[3] = INFINITY;
	assert_int_equal(neighbours_normalize(rows, 2, 2, &err), ERROR_NUMERIC);
	assert_non_null(strstr(err.message, "image 1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_brute_force),
		cmocka_unit_test(test_ties),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests_name("neighbours", tests, NULL, NULL);
}
