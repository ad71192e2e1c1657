/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The known answers are the three of Random123's kat_vectors for philox4x32-10. The distribution tests draw from fixed
 * streams, so they always give the same numbers: a bound of five standard deviations cannot fail by chance later on.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "pipeline/philox.h"

static struct philox stream(uint64_t number)
{
	return philox_stream(42, 3, number, 1, PHILOX_TEST);
}

static void test_known_answers(void **state)
{
	(void)state;
	static const struct {
		uint32_t counter[4], key[2], out[4];
	} known[] = {
		{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff},
			{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
			{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		uint32_t out[4];
		philox4x32(known[i].counter, known[i].key, out);
		assert_memory_equal(out, known[i].out, sizeof(out));
	}
}

/* The mapping is part of every result: it may not change. */
static void test_stream_mapping(void **state)
{
	(void)state;
	struct philox random = philox_stream(0x1122334455667788, 0xABCDEF, 0x99AABBCCDDEEFF01, 0x5A, PHILOX_SYNTH);
	const uint32_t key[2] = {0x55667788, 0x11223344 ^ 5U << 24};
	for (uint32_t block = 0; block < 3; block++) {
		const uint32_t counter[4] = {block, 0xDDEEFF01, 0x99AABBCC, 0xABCDEF5A};
		uint32_t out[4];
		philox4x32(counter, key, out);
		for (int i = 0; i < 4; i++)
			assert_int_equal(philox_u32(&random), out[i]);
	}
	struct philox words = stream(0), pairs = stream(0);
	for (int i = 0; i < 10; i++) {
		uint64_t low = philox_u32(&words), high = philox_u32(&words);
		assert_true(philox_u64(&pairs) == (high << 32 | low));
	}
}

static void test_streams_differ(void **state)
{
	(void)state;
	struct philox base = philox_stream(7, 1, 2, 0, PHILOX_AUGMENT);
	struct philox others[] = {
		philox_stream(8, 1, 2, 0, PHILOX_AUGMENT),
		philox_stream(7 + ((uint64_t)1 << 32), 1, 2, 0, PHILOX_AUGMENT),
		philox_stream(7, 2, 2, 0, PHILOX_AUGMENT),
		philox_stream(7, 1, 3, 0, PHILOX_AUGMENT),
		philox_stream(7, 1, 2 + ((uint64_t)1 << 32), 0, PHILOX_AUGMENT),
		philox_stream(7, 1, 2, 1, PHILOX_AUGMENT),
		philox_stream(7, 1, 2, 0, PHILOX_PERMUTE),
	};
	uint64_t first = philox_u64(&base);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_true(philox_u64(&others[i]) != first);
}

/* Sum of (seen - expected)^2 / expected, in standard deviations from its mean. */
static double chi_squared_sigmas(const uint32_t *seen, int bins, double expected)
{
	double sum = 0;
	for (int i = 0; i < bins; i++)
		sum += (seen[i] - expected) * (seen[i] - expected) / expected;
	return (sum - (bins - 1)) / sqrt(2.0 * (bins - 1));
}

static void test_bytes_are_uniform(void **state)
{
	(void)state;
	enum { DRAWS = 1 << 20 };
	uint32_t seen[4][256] = {{0}};
	struct philox random = stream(1);
	for (int i = 0; i < DRAWS; i++) {
		uint32_t word = philox_u32(&random);
		for (int b = 0; b < 4; b++)
			seen[b][word >> (8 * b) & 0xFF]++;
	}
	for (int b = 0; b < 4; b++)
		assert_true(fabs(chi_squared_sigmas(seen[b], 256, DRAWS / 256.0)) < 5);
}

/* The first word of neighbouring streams, as the epoch's permutation takes it. */
static void test_neighbours_are_uniform(void **state)
{
	(void)state;
	enum { DRAWS = 1 << 18 };
	uint32_t seen[256] = {0}, step[256] = {0};
	uint32_t last = 0;
	for (int i = 0; i < DRAWS; i++) {
		struct philox random = stream((uint64_t)i);
		uint32_t word = philox_u32(&random);
		seen[word >> 24]++;
		step[(word - last) >> 24]++;
		last = word;
	}
	assert_true(fabs(chi_squared_sigmas(seen, 256, DRAWS / 256.0)) < 5);
	assert_true(fabs(chi_squared_sigmas(step, 256, DRAWS / 256.0)) < 5);
}

static void test_below(void **state)
{
	(void)state;
	struct philox random = stream(2);
	for (uint32_t bound = 1; bound < 2000; bound++)
		for (int i = 0; i < 20; i++)
			assert_true(philox_below(&random, bound) < bound);
	for (int i = 0; i < 1000; i++)
		assert_true(philox_below(&random, UINT32_MAX) < UINT32_MAX);

	enum { DRAWS = 600000 };
	uint32_t dice[6] = {0}, thirds[3] = {0};
	for (int i = 0; i < DRAWS; i++) {
		dice[philox_below(&random, 6)]++;
		/* Without the redraws one third would come twice as often as another. */
		thirds[philox_below(&random, 3U << 30) >> 30]++;
	}
	assert_true(fabs(chi_squared_sigmas(dice, 6, DRAWS / 6.0)) < 5);
	assert_true(fabs(chi_squared_sigmas(thirds, 3, DRAWS / 3.0)) < 5);
	/* The same within a third: the redraws must hit single values, not ranges. */
	uint32_t residue[3] = {0};
	for (int i = 0; i < DRAWS; i++)
		residue[philox_below(&random, 3U << 30) % 3]++;
	assert_true(fabs(chi_squared_sigmas(residue, 3, DRAWS / 3.0)) < 5);
}

static void test_uniform(void **state)
{
	(void)state;
	enum { DRAWS = 400000 };
	struct philox random = stream(3);
	uint32_t seen[100] = {0};
	for (int i = 0; i < DRAWS; i++) {
		float value = philox_uniform(&random, -2.5F, 7.5F);
		assert_true(value >= -2.5F && value < 7.5F);
		seen[(int)((value + 2.5F) * 10)]++;
	}
	assert_true(fabs(chi_squared_sigmas(seen, 100, DRAWS / 100.0)) < 5);
	/* Between 1e8 and its neighbour there is no float: half of the sums would round up to the neighbour. */
	for (int i = 0; i < 100; i++)
		assert_true(philox_uniform(&random, 1e8F, nextafterf(1e8F, 2e8F)) == 1e8F);
}

static void test_unit(void **state)
{
	(void)state;
	enum { DRAWS = 400000 };
	struct philox random = stream(4);
	uint32_t seen[100] = {0};
	uint64_t odd = 0;
	for (int i = 0; i < DRAWS; i++) {
		double value = philox_unit(&random);
		assert_true(value >= 0 && value < 1);
		seen[(int)(value * 100)]++;
		odd += (uint64_t)(value * 0x1p53) & 1; /* the last of the 53 bits is used */
	}
	assert_true(fabs(chi_squared_sigmas(seen, 100, DRAWS / 100.0)) < 5);
	assert_true(fabs((double)odd - DRAWS / 2.0) < 5 * sqrt(DRAWS / 4.0));
}

static void test_normal(void **state)
{
	(void)state;
	enum { DRAWS = 400000, BINS = 64 };
	struct philox random = stream(5);
	uint32_t seen[BINS] = {0};
	double sum = 0, squares = 0;
	for (int i = 0; i < DRAWS; i++) {
		double value = philox_normal(&random);
		assert_true(isfinite(value));
		sum += value;
		squares += value * value;
		/* Bins of equal probability, by the normal distribution function. */
		seen[(int)(0.5 * erfc(-value / sqrt(2.0)) * BINS)]++;
	}
	assert_true(fabs(sum / DRAWS) < 5 / sqrt(DRAWS));
	assert_true(fabs(squares / DRAWS - 1) < 5 * sqrt(2.0 / DRAWS));
	assert_true(fabs(chi_squared_sigmas(seen, BINS, (double)DRAWS / BINS)) < 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_stream_mapping),
		cmocka_unit_test(test_streams_differ),
		cmocka_unit_test(test_bytes_are_uniform),
		cmocka_unit_test(test_neighbours_are_uniform),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_uniform),
		cmocka_unit_test(test_unit),
		cmocka_unit_test(test_normal),
	};
	return cmocka_run_group_tests_name("philox", tests, NULL, NULL);
}
