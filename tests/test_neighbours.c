/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbours against a sort of the whole bank, ties, and the vote; probe_knn() is in test_knn.c. */
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

struct found {
	unsigned k;
	struct neighbour *nearest; /* [queries][k] */
	unsigned *calls;	   /* [queries] */
};

static void keep(void *ctx, size_t query, const struct neighbour *nearest, unsigned thread)
{
	(void)thread;
	const struct found *found = ctx;
	memcpy(found->nearest + query * found->k, nearest, found->k * sizeof *nearest);
	found->calls[query]++;
}

static void check_case(size_t bank_count, size_t query_count, unsigned dim, unsigned k, unsigned threads)
{
	struct helper_data bank = helper_data_create(bank_count, dim, 7, 0.5, 1);
	struct helper_data test = helper_data_create(query_count, dim, 7, 0.5, 2);
	struct team *team = helper_team(threads);
	struct error err = {0};
	struct found found = {.k = k,
		.nearest = calloc(query_count * k, sizeof *found.nearest),
		.calls = calloc(query_count, sizeof *found.calls)};
	struct near *all = calloc(bank_count, sizeof *all);
	assert_true(found.nearest && found.calls && all);
	assert_int_equal(neighbours_find(team, dim, bank.features, bank_count, test.features, query_count, k, keep,
				 &found, &err),
		0);
	for (size_t q = 0; q < query_count; q++) {
		const struct neighbour *nearest = found.nearest + q * k;
		assert_int_equal(found.calls[q], 1);
		for (size_t i = 0; i < bank_count; i++)
			all[i] = (struct near){
				helper_cosine(bank.features + i * dim, test.features + q * dim, dim), (uint32_t)i};
		qsort(all, bank_count, sizeof *all, compare);
		for (unsigned i = 0; i < k; i++) {
			assert_true(fabs((double)nearest[i].similarity - all[i].similarity) < 1e-6);
			assert_true(i == 0 || nearest[i].similarity <= nearest[i - 1].similarity);
			/* Two that float32 cannot tell apart may change places. */
			if ((i == 0 || all[i - 1].similarity - all[i].similarity > 1e-6) &&
				(i + 1 == bank_count || all[i].similarity - all[i + 1].similarity > 1e-6))
				assert_int_equal(nearest[i].row, all[i].index);
		}
	}
	free(found.nearest);
	free(found.calls);
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

/* Of equal ones the lower row, wherever the tiles end and a selection falls. */
static void test_ties(void **state)
{
	(void)state;
	enum { BANK = 1300, K = 700 };
	float *bank = calloc(BANK * 2, sizeof *bank), query[2] = {0, 1};
	static struct neighbour nearest[K];
	unsigned calls = 0;
	assert_non_null(bank);
	for (size_t i = 0; i < BANK; i++) {
		bank[2 * i] = i % 3 == 0 ? 0 : 1;
		bank[2 * i + 1] = 1;
	}
	struct team *team = helper_team(1);
	struct error err = {0};
	struct found found = {.k = K, .nearest = nearest, .calls = &calls};
	assert_int_equal(neighbours_find(team, 2, bank, BANK, query, 1, K, keep, &found, &err), 0);
	for (unsigned i = 0; i < K; i++) {
		unsigned slanted = i - 434; /* 434 straight ones lie at multiples of 3 */
		assert_int_equal(nearest[i].row, i < 434 ? 3 * i : slanted / 2 * 3 + 1 + slanted % 2);
	}
	team_destroy(team);
	free(bank);
}

static void test_vote(void **state)
{
	(void)state;
	static const struct neighbour nearest[4] = {{0.9F, 3}, {0.8F, 0}, {0.8F, 1}, {0.7F, 2}};
	static const int32_t labels[4] = {1, 2, 2, 0};
	double votes[4];
	assert_int_equal(neighbours_vote(nearest, 4, labels, 4, 0.1, votes), 0); /* 1 against e^-1 + e^-2 */
	assert_true(fabs(votes[0] - 1) < 1e-12 && fabs(votes[1] - exp(-1)) < 1e-6 && votes[3] == 0);
	assert_true(fabs(votes[2] - exp(-1) - exp(-2)) < 1e-6);
	assert_int_equal(neighbours_vote(nearest, 4, labels, 4, 10, votes), 2);	      /* nearly a head count */
	assert_int_equal(neighbours_vote(nearest + 1, 2, labels, 4, 1e-6, votes), 1); /* a tie: the lower class */
}

static void test_refused(void **state)
{
	(void)state;
	float rows[4] = {3, 4, 0, 1};
	struct neighbour nearest[4];
	unsigned calls[2] = {0};
	struct found found = {.k = 2, .nearest = nearest, .calls = calls};
	struct team *team = helper_team(1);
	struct error err = {0};
	assert_int_equal(neighbours_find(team, 2, rows, 2, rows, 2, 3, keep, &found, &err), ERROR_USAGE);
	assert_int_equal(neighbours_find(team, 2, rows, 2, rows, 2, 0, keep, &found, &err), ERROR_USAGE);
	static const float broken[3][2] = {{1, INFINITY}, {NAN, 0}, {1e20F, 0}};
	for (size_t i = 0; i < 3; i++) {
		err = (struct error){0};
		assert_int_equal(neighbours_find(team, 2, rows, 2, broken[i], 1, 2, keep, &found, &err), ERROR_NUMERIC);
		assert_non_null(strstr(err.message, "record 0 of the test set"));
	}
	assert_int_equal(calls[0] + calls[1], 0);
	team_destroy(team);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_brute_force),
		cmocka_unit_test(test_ties),
		cmocka_unit_test(test_vote),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests_name("neighbours", tests, NULL, NULL);
}
