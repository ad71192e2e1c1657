/* SPDX-License-Identifier: Apache-2.0 */
/* The generated data set's pictures: a pure function of (seed, split, index, size), balanced, and without a leak of the
 * class through anything but shape. What the command does with folders is in test_synth_command.sh. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/synth_draw.h"

enum { SIZE = 32, VALUES = SIZE * SIZE * 3, MAX_SIZE = 96 };

static void draw(uint64_t seed, enum synth_split split, uint64_t index, uint8_t *rgb)
{
	static float scratch[VALUES];
	synth_draw(seed, split, index, SIZE, scratch, rgb);
}

static void test_same_arguments_same_bytes(void **state)
{
	(void)state;
	uint8_t first[40][VALUES], again[VALUES];
	for (unsigned i = 0; i < 40; i++)
		draw(7, SYNTH_TRAIN, i, first[i]);
	/* Backwards, so that nothing may be carried from one picture to the next. */
	for (unsigned i = 40; i-- > 0;) {
		draw(7, SYNTH_TRAIN, i, again);
		assert_memory_equal(first[i], again, VALUES);
	}
}

/* Pinned, so that a change of the drawing is noticed: it needs a new SYNTH_VERSION. */
static void test_known_pictures(void **state)
{
	(void)state;
	uint8_t rgb[VALUES];
	uint64_t sum = 0;
	for (unsigned i = 0; i < 100; i++) {
		draw(1, SYNTH_TRAIN, i, rgb);
		for (unsigned j = 0; j < VALUES; j++)
			sum += (uint64_t)rgb[j];
	}
	/* Sums over 100 pictures: libm's last bits may move single pixels by one, never the sum by a thousandth. */
	const double mean = (double)sum / (100.0 * VALUES);
	print_message("mean of the first hundred pictures: %.3f\n", mean);
	assert_true(fabs(mean - 109.044) < 0.05);
}

static unsigned differing(const uint8_t *a, const uint8_t *b)
{
	unsigned count = 0;
	for (unsigned i = 0; i < VALUES; i++)
		count += abs((int)a[i] - (int)b[i]) > 8;
	return count;
}

static void test_seed_split_and_index_matter(void **state)
{
	(void)state;
	uint8_t base[VALUES], other[VALUES];
	draw(1, SYNTH_TRAIN, 3, base);
	draw(2, SYNTH_TRAIN, 3, other);
	assert_true(differing(base, other) > VALUES / 4);
	draw(1, SYNTH_TEST, 3, other);
	assert_true(differing(base, other) > VALUES / 4);
	draw(1, SYNTH_TRAIN, 3 + SYNTH_CLASSES, other);
	assert_true(differing(base, other) > VALUES / 4);
}

/* The same picture at twice the size: averaged down, it is the small one but for noise and edges. */
static void test_size_only_scales(void **state)
{
	(void)state;
	static float scratch[4 * VALUES];
	static uint8_t large[4 * VALUES];
	uint8_t small[VALUES];
	for (unsigned index = 0; index < 10; index++) {
		draw(5, SYNTH_TRAIN, index, small);
		synth_draw(5, SYNTH_TRAIN, index, 2 * SIZE, scratch, large);
		double sum = 0;
		for (unsigned row = 0; row < SIZE; row++)
			for (unsigned column = 0; column < SIZE; column++)
				for (unsigned c = 0; c < 3; c++) {
					const unsigned wide = 2 * SIZE * 3, at = 2 * row * wide + 2 * column * 3 + c;
					const double mean =
						(large[at] + large[at + 3] + large[at + wide] + large[at + wide + 3]) /
						4.0;
					sum += fabs(mean - small[(row * SIZE + column) * 3 + c]);
				}
		print_message("picture %u: mean difference %.2f\n", index, sum / VALUES);
		assert_true(sum / VALUES < 8.0);
	}
}

/*
 * No leak through colour or brightness. For every class, the mean over n pictures of each channel's mean is compared
 * with the mean over all classes, in standard errors. Under "no leak" each is about normal, so 30 numbers within 4.5 of
 * zero is what chance gives all but once in 5000 seeds; the seed is fixed. Contrast may differ by a few percent, with
 * the shape's area.
 */
static void test_no_leak_through_colour(void **state)
{
	(void)state;
	enum { PER_CLASS = 400, MEASURES = 4 };
	static double sum[SYNTH_CLASSES][MEASURES], squares[SYNTH_CLASSES][MEASURES];
	uint8_t rgb[VALUES];
	for (unsigned i = 0; i < PER_CLASS * SYNTH_CLASSES; i++) {
		draw(11, SYNTH_TRAIN, i, rgb);
		double measure[MEASURES] = {0};
		for (unsigned j = 0; j < VALUES; j++)
			measure[j % 3] += rgb[j] / (double)(SIZE * SIZE);
		const double mean = (measure[0] + measure[1] + measure[2]) / 3;
		for (unsigned j = 0; j < VALUES; j++)
			measure[3] += (rgb[j] - mean) * (rgb[j] - mean) / VALUES;
		measure[3] = sqrt(measure[3]);
		for (unsigned m = 0; m < MEASURES; m++) {
			sum[i % SYNTH_CLASSES][m] += measure[m];
			squares[i % SYNTH_CLASSES][m] += measure[m] * measure[m];
		}
	}
	for (unsigned m = 0; m < MEASURES; m++) {
		double all = 0;
		for (unsigned label = 0; label < SYNTH_CLASSES; label++)
			all += sum[label][m] / (PER_CLASS * SYNTH_CLASSES);
		for (unsigned label = 0; label < SYNTH_CLASSES; label++) {
			const double mean = sum[label][m] / PER_CLASS;
			const double variance = squares[label][m] / PER_CLASS - mean * mean;
			const double errors = (mean - all) / sqrt(variance / PER_CLASS);
			print_message("measure %u, %s: %.2f (all %.2f), %.1f standard errors\n", m,
				synth_class_name(label), mean, all, errors);
			if (m < 3)
				assert_true(fabs(errors) < 4.5);
			else
				assert_true(fabs(mean / all - 1) < 0.08);
		}
	}
}

/* Each shape's distance function: the right sign inside and out, and a slope of at most one, so that coverage is a
 * smooth edge of one pixel. Areas lie near each other. */
static void test_shapes(void **state)
{
	(void)state;
	enum { STEPS = 400 };
	double least = 9, most = 0;
	for (unsigned label = 0; label < SYNTH_CLASSES; label++) {
		unsigned inside = 0;
		for (unsigned i = 0; i < STEPS; i++)
			for (unsigned j = 0; j < STEPS; j++) {
				const float step = 3.0F / STEPS;
				const float x = -1.5F + step * ((float)i + 0.5F), y = -1.5F + step * ((float)j + 0.5F);
				const float here = synth_shape_distance(label, x, y);
				inside += here < 0;
				/* Nothing reaches out of the circle that is painted. */
				if (x * x + y * y > 1.4F * 1.4F)
					assert_true(here > 0);
				const float right = synth_shape_distance(label, x + step, y);
				const float down = synth_shape_distance(label, x, y + step);
				assert_true(fabsf(right - here) < 1.01F * step);
				assert_true(fabsf(down - here) < 1.01F * step);
			}
		const double area = inside * 9.0 / (STEPS * STEPS);
		print_message("%s: area %.2f\n", synth_class_name(label), area);
		least = fmin(least, area);
		most = fmax(most, area);
	}
	assert_true(least > 1.05);
	assert_true(most < 1.7);
}

static void test_classes_have_names(void **state)
{
	(void)state;
	for (unsigned a = 0; a < SYNTH_CLASSES; a++)
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(synth_class_name(a), synth_class_name(b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_arguments_same_bytes),
		cmocka_unit_test(test_known_pictures),
		cmocka_unit_test(test_seed_split_and_index_matter),
		cmocka_unit_test(test_size_only_scales),
		cmocka_unit_test(test_no_leak_through_colour),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_classes_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
