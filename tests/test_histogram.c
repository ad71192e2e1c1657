/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.c: percentiles against sorting, the buckets' bounds, merging. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/histogram.h"
#include "pipeline/philox.h"

enum { VALUES = 5000 };

static int by_value(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
	return (a > b) - (a < b);
}

/* Buckets lie side by side, without gap or overlap, and each is at most a sixteenth of its start wide. */
static void test_buckets(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t start = histogram_bucket_start(i), next = histogram_bucket_start(i + 1);
		assert_true(next > start);
		assert_true(i < 16 ? next - start == 1 : (next - start) * 16 <= start);
		assert_int_equal(histogram_bucket(start), i);
		assert_int_equal(histogram_bucket(next - 1), i);
	}
	assert_int_equal(histogram_bucket_start(HISTOGRAM_BUCKETS), UINT64_C(1) << HISTOGRAM_TOP_LOG2);
	assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

/* Log-uniform over `octaves` octaves: every size of bucket is met. */
static void fill(uint64_t *values, struct histogram *histogram, double octaves, uint64_t seed)
{
	struct philox stream = philox_stream(seed, 0, 0, 0, PHILOX_TEST);
	for (unsigned i = 0; i < VALUES; i++) {
		values[i] = (uint64_t)exp2(octaves * (double)philox_uniform(&stream, 0, 1));
		histogram_add(histogram, values[i]);
	}
}

static void check_percentiles(const uint64_t *sorted, size_t count, const struct histogram *histogram)
{
	static const double shares[] = {0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1};
	for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
		double rank = ceil(shares[i] * (double)count);
		uint64_t exact = sorted[rank > 0 ? (size_t)rank - 1 : 0];
		uint64_t found = histogram_percentile(histogram, shares[i]);
		uint64_t error = found > exact ? found - exact : exact - found;
		assert_true(error * 32 <= exact);
		assert_true(found <= sorted[count - 1]);
	}
}

static void test_percentiles(void **state)
{
	(void)state;
	static uint64_t values[VALUES];
	static const double octaves[] = {3, 5, 10, 20, 39};
	for (size_t i = 0; i < sizeof octaves / sizeof octaves[0]; i++) {
		static struct histogram histogram;
		histogram = (struct histogram){0};
		fill(values, &histogram, octaves[i], i);
		qsort(values, VALUES, sizeof values[0], by_value);
		assert_int_equal(histogram_total(&histogram), VALUES);
		check_percentiles(values, VALUES, &histogram);
		/* Up to 15 exactly. */
		if (octaves[i] < 4)
			assert_int_equal(histogram_percentile(&histogram, 0.5), values[VALUES / 2 - 1]);
	}
}

static void test_few(void **state)
{
	(void)state;
	static struct histogram histogram;
	assert_int_equal(histogram_percentile(&histogram, 0.5), 0);
	assert_int_equal(histogram_total(&histogram), 0);
	histogram_add(&histogram, 983041);
	/* The middle of its bucket, which starts at 983040, lies above: the largest value seen is the answer. */
	for (int quarter = 0; quarter <= 4; quarter++)
		assert_int_equal(histogram_percentile(&histogram, quarter / 4.0), 983041);
	histogram_add(&histogram, UINT64_MAX);
	assert_int_equal(histogram_total(&histogram), 2);
	assert_true(histogram_percentile(&histogram, 1) >= histogram_bucket_start(HISTOGRAM_BUCKETS - 1));
}

/* Ranks to the item: half of four values do not exceed the second. */
static void test_ranks(void **state)
{
	(void)state;
	static struct histogram histogram;
	for (uint64_t value = 1; value <= 4; value++)
		histogram_add(&histogram, value);
	static const struct {
		double share;
		uint64_t value;
	} wanted[] = {{0, 1}, {0.25, 1}, {0.26, 2}, {0.5, 2}, {0.51, 3}, {0.75, 3}, {0.76, 4}, {1, 4}};
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
		assert_int_equal(histogram_percentile(&histogram, wanted[i].share), wanted[i].value);
}

/* Two merged are one that saw all values; a bucket that is full stays full. */
static void test_merge(void **state)
{
	(void)state;
	static uint64_t values[2][VALUES];
	static struct histogram parts[2], whole, merged;
	for (unsigned i = 0; i < 2; i++) {
		fill(values[i], &parts[i], 12 + 10 * i, 7 + i);
		histogram_merge(&merged, &parts[i]);
		for (unsigned k = 0; k < VALUES; k++)
			histogram_add(&whole, values[i][k]);
	}
	assert_memory_equal(&merged, &whole, sizeof whole);
	atomic_store(&merged.count[3], UINT32_MAX - 1);
	for (unsigned i = 0; i < 3; i++)
		histogram_add(&merged, 3);
	assert_true(atomic_load(&merged.count[3]) == UINT32_MAX);
	histogram_merge(&whole, &merged);
	assert_true(atomic_load(&whole.count[3]) == UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_few),
		cmocka_unit_test(test_ranks),
		cmocka_unit_test(test_merge),
	};
	return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
