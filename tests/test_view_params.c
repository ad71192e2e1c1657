/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the parameters of views are distributed, by chi-squared and Kolmogorov-Smirnov tests at fixed seeds. Thresholds
 *are those of p = 0.001: a sound generator at a given seed either always passes or never, and was seen to pass.
 *
 *	test_view_params --draw <sizes
 *
 * prints the crop "x y width height" drawn for each line "width height", for tests/test_torchvision_views.py.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stages/view_policy.h"

enum { DRAWS = 40000 };

/* A view of the recipe by its names: what was drawn of each operation. */
struct recipe_view {
	uint32_t x, y, width, height;
	bool flip, jitter, gray;
	uint8_t order[4]; /* brightness, contrast, saturation, hue: 0 to 3, as applied */
	float factor[4];
	float blur_sigma; /* 0: none */
};

static struct recipe_view draws[DRAWS];

static struct view_params draw_params(
	const struct view_policy *policy, uint32_t width, uint32_t height, uint64_t sample)
{
	const struct philox stream = philox_stream(2026, 3, sample, 1, PHILOX_AUGMENT);
	struct view_params params;
	view_params_draw(&params, policy, width, height, &stream);
	return params;
}

static struct recipe_view draw(const struct view_policy *policy, uint32_t width, uint32_t height, uint64_t sample)
{
	const struct view_params params = draw_params(policy, width, height, sample);
	struct recipe_view view = {params.x, params.y, params.width, params.height, .order = {0, 1, 2, 3}};
	unsigned colours = 0;
	for (uint32_t i = 0; i < params.count; i++) {
		const struct view_drawn *drawn = &params.drawn[i];
		switch (drawn->op) {
		case VIEW_OP_FLIP:
			view.flip = true;
			break;
		case VIEW_OP_GRAY:
			view.gray = true;
			break;
		case VIEW_OP_BLUR:
			view.blur_sigma = drawn->value;
			break;
		default:
			assert_true(drawn->op >= VIEW_OP_BRIGHTNESS && drawn->op <= VIEW_OP_HUE && colours < 4);
			view.jitter = true;
			view.order[colours++] = (uint8_t)(drawn->op - VIEW_OP_BRIGHTNESS);
			view.factor[drawn->op - VIEW_OP_BRIGHTNESS] = drawn->value;
		}
	}
	assert_true(colours == 0 || colours == 4);
	return view;
}

static void draw_all(const struct view_policy *policy, uint32_t width, uint32_t height)
{
	for (unsigned i = 0; i < DRAWS; i++)
		draws[i] = draw(policy, width, height, i);
}

/* ---- statistics ---- */

static int compare_doubles(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Largest distance between the sample's distribution function and the uniform one on [0,1], against 1.95 / sqrt(n). */
static void assert_uniform(double *sample, unsigned n, const char *what)
{
	double worst = 0;
	assert_true(n > 1000);
	qsort(sample, n, sizeof *sample, compare_doubles);
	for (unsigned i = 0; i < n; i++) {
		assert_true(sample[i] >= -1e-6 && sample[i] <= 1 + 1e-6);
		worst = fmax(worst, fmax(fabs(sample[i] - (double)i / n), fabs(sample[i] - (double)(i + 1) / n)));
	}
	if (worst > 1.95 / sqrt(n))
		fail_msg("%s: distance %g of %u, allowed %g", what, worst, n, 1.95 / sqrt(n));
}

/* Two samples, both sorted here: 1.95 sqrt((n + m) / nm). */
static void assert_same_distribution(double *a, unsigned n, double *b, unsigned m, const char *what)
{
	double worst = 0;
	unsigned j = 0;
	qsort(a, n, sizeof *a, compare_doubles);
	qsort(b, m, sizeof *b, compare_doubles);
	for (unsigned i = 0; i < n;) {
		const double value = a[i];
		while (i < n && a[i] <= value)
			i++;
		while (j < m && b[j] <= value)
			j++;
		worst = fmax(worst, fabs((double)i / n - (double)j / m));
	}
	const double allowed = 1.95 * sqrt((n + m) / ((double)n * m));
	if (worst > allowed)
		fail_msg("%s: distance %g, allowed %g", what, worst, allowed);
}

static void assert_frequency(unsigned hits, unsigned n, double probability, const char *what)
{
	const double off = (hits - n * probability) / sqrt(n * probability * (1 - probability));
	if (fabs(off) > 3.29)
		fail_msg("%s: %u of %u, %g standard deviations from %g", what, hits, n, off, probability);
}

/* ---- crops ---- */

static void area_and_aspect_are_uniform(void **state)
{
	(void)state;
	static double area[DRAWS], aspect[DRAWS], x[DRAWS], y[DRAWS];
	struct view_policy policy;
	const uint32_t side = 20000;
	view_policy_init(&policy, VIEW_SIMCLR, 224, 1);
	policy.steps[0].args[1] = 0.5; /* then every try fits, and no rejection bends the distributions */
	draw_all(&policy, side, side);
	for (unsigned i = 0; i < DRAWS; i++) {
		const struct recipe_view *p = &draws[i];
		const double fraction = (double)p->width * p->height / ((double)side * side);
		area[i] = (fraction - 0.08) / (0.5 - 0.08);
		aspect[i] = (log((double)p->width / p->height) - log(0.75)) / (log(4.0 / 3) - log(0.75));
		area[i] = fmin(fmax(area[i], 0), 1); /* rounding to whole pixels */
		aspect[i] = fmin(fmax(aspect[i], 0), 1);
		x[i] = (p->x + 0.5) / (side - p->width + 1);
		y[i] = (p->y + 0.5) / (side - p->height + 1);
	}
	assert_uniform(area, DRAWS, "area");
	assert_uniform(aspect, DRAWS, "log aspect");
	assert_uniform(x, DRAWS, "x");
	assert_uniform(y, DRAWS, "y");
}

/* torchvision's rule, with another generator and in its own words. */
static double plain_unit(void)
{
	static uint64_t bits = 88172645463325252;
	bits ^= bits << 13;
	bits ^= bits >> 7;
	bits ^= bits << 17;
	return (double)(bits >> 11) * 0x1p-53;
}

static void plain_crop(uint32_t width, uint32_t height, double *area, double *aspect, double *x, double *y)
{
	for (int tries = 0; tries < 10; tries++) {
		const double target = width * (double)height * (0.08 + 0.92 * plain_unit());
		const double ratio = pow(4.0 / 3, 2 * plain_unit() - 1);
		const double w = rint(sqrt(target * ratio)), h = rint(sqrt(target / ratio));
		if (w > 0 && h > 0 && w <= width && h <= height) {
			*area = w * h;
			*aspect = w / h;
			*x = floor(plain_unit() * (width - w + 1));
			*y = floor(plain_unit() * (height - h + 1));
			return;
		}
	}
	const double in = (double)width / height;
	const double w = in > 4.0 / 3 ? rint(height * 4.0 / 3) : width, h = in < 0.75 ? rint(width / 0.75) : height;
	*area = w * h;
	*aspect = w / h;
	*x = floor((width - w) / 2);
	*y = floor((height - h) / 2);
}

static void crops_follow_the_ten_tries_rule(void **state)
{
	(void)state;
	static const uint32_t sizes[][2] = {{500, 375}, {32, 32}, {300, 1000}, {60, 200}, {900, 200}};
	static double found[4][DRAWS], expected[4][DRAWS];
	static const char *const names[] = {"area", "aspect", "x", "y"};
	struct view_policy policy;
	view_policy_init(&policy, VIEW_SIMCLR, 224, 1);
	for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		draw_all(&policy, sizes[s][0], sizes[s][1]);
		for (unsigned i = 0; i < DRAWS; i++) {
			const struct recipe_view *p = &draws[i];
			found[0][i] = (double)p->width * p->height;
			found[1][i] = (double)p->width / p->height;
			found[2][i] = p->x;
			found[3][i] = p->y;
			plain_crop(sizes[s][0], sizes[s][1], &expected[0][i], &expected[1][i], &expected[2][i],
				&expected[3][i]);
		}
		for (unsigned k = 0; k < 4; k++)
			assert_same_distribution(found[k], DRAWS, expected[k], DRAWS, names[k]);
	}
}

static void assert_inside(const struct view_policy *policy, uint32_t width, uint32_t height, uint64_t sample)
{
	const struct recipe_view p = draw(policy, width, height, sample);
	if (p.width == 0 || p.height == 0 || p.width > width || p.height > height || p.x > width - p.width ||
		p.y > height - p.height)
		fail_msg("crop %u,%u %ux%u of an image of %ux%u", p.x, p.y, p.width, p.height, width, height);
}

static void crops_stay_inside(void **state)
{
	(void)state;
	static const enum view_policy_kind kinds[] = {VIEW_SIMCLR, VIEW_CROP_FLIP, VIEW_CENTER};
	static const uint32_t outs[] = {32, 224};
	for (unsigned k = 0; k < 6; k++) {
		struct view_policy policy;
		view_policy_init(&policy, kinds[k % 3], outs[k / 3], 1);
		for (uint32_t width = 1; width <= 48; width++)
			for (uint32_t height = 1; height <= 48; height++)
				for (unsigned trial = 0; trial < 3; trial++)
					assert_inside(&policy, width, height, trial);
		for (uint32_t n = 1; n <= 65535; n += n < 2000 ? 1 : 997) {
			assert_inside(&policy, 1, n, n);
			assert_inside(&policy, n, 1, n);
			assert_inside(&policy, n, 65535, n);
			assert_inside(&policy, 65535, 65535, n);
		}
	}
}

static void evaluation_takes_the_centre(void **state)
{
	(void)state;
	static const uint32_t cases[][7] = {
		/* out, image, then the crop */
		{32, 32, 32, 0, 0, 32, 32},
		{32, 40, 30, 5, 0, 30, 30},
		{224, 256, 256, 16, 16, 224, 224},
		{224, 500, 375, 86, 23, 328, 328},
		{96, 1, 9, 0, 4, 1, 1},
	};
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		const uint32_t *c = cases[i];
		struct view_policy policy;
		view_policy_init(&policy, VIEW_CENTER, c[0], 1);
		const struct recipe_view p = draw(&policy, c[1], c[2], 5);
		assert_int_equal(p.x, c[3]);
		assert_int_equal(p.y, c[4]);
		assert_int_equal(p.width, c[5]);
		assert_int_equal(p.height, c[6]);
		assert_false(p.flip || p.jitter || p.gray || p.blur_sigma > 0);
	}
}

/* ---- the rest of a view ---- */

static void probabilities(void **state)
{
	(void)state;
	static const float sides[] = {32, 224};
	for (unsigned s = 0; s < 2; s++) {
		struct view_policy policy;
		view_policy_init(&policy, VIEW_SIMCLR, (uint32_t)sides[s], 1);
		draw_all(&policy, 100, 80);
		unsigned flips = 0, jitters = 0, grays = 0, blurs = 0, both = 0, orders[4][4] = {{0}},
			 numbers[256] = {0};
		for (unsigned i = 0; i < DRAWS; i++) {
			const struct recipe_view *p = &draws[i];
			flips += p->flip;
			jitters += p->jitter;
			grays += p->gray;
			blurs += p->blur_sigma > 0;
			both += p->flip && p->gray;
			unsigned number = 0, seen = 0;
			for (unsigned k = 0; k < 4; k++) {
				assert_true(p->order[k] < 4);
				number = number * 4 + p->order[k];
				seen |= 1U << p->order[k];
				if (p->jitter)
					orders[k][p->order[k]]++;
			}
			assert_int_equal(seen, 15);
			numbers[number] += p->jitter;
		}
		assert_frequency(flips, DRAWS, 0.5, "flip");
		assert_frequency(jitters, DRAWS, 0.8, "jitter");
		assert_frequency(grays, DRAWS, 0.2, "gray");
		assert_frequency(both, DRAWS, 0.1, "flip and gray are independent");
		if (s == 0)
			assert_int_equal(blurs, 0);
		else
			assert_frequency(blurs, DRAWS, 0.5, "blur");
		for (unsigned k = 0; k < 16; k++)
			assert_frequency(orders[k / 4][k % 4], jitters, 0.25, "an operation's place");
		double chi_squared = 0;
		unsigned used = 0;
		for (unsigned i = 0; i < 256; i++) {
			used += numbers[i] > 0;
			if (numbers[i] > 0)
				chi_squared += pow(numbers[i] - jitters / 24.0, 2) / (jitters / 24.0);
		}
		assert_int_equal(used, 24);
		if (chi_squared > 49.73) /* p = 0.001 at 23 degrees of freedom */
			fail_msg("orders: chi-squared %g", chi_squared);
	}
}

static void factors_are_uniform(void **state)
{
	(void)state;
	static const float strengths[] = {0.125F, 0.5F, 1, 2};
	static double sample[DRAWS], sigma[DRAWS];
	static const char *const names[] = {"brightness", "contrast", "saturation", "hue"};
	for (unsigned s = 0; s < 4; s++) {
		struct view_policy policy;
		const double strength = (double)strengths[s];
		view_policy_init(&policy, VIEW_SIMCLR, 224, strengths[s]);
		draw_all(&policy, 100, 80);
		for (unsigned op = 0; op < 4; op++) {
			const double low = op == 3 ? -0.2 * strength : fmax(0, 1 - 0.8 * strength);
			const double high = op == 3 ? 0.2 * strength : 1 + 0.8 * strength;
			unsigned n = 0, blurs = 0;
			for (unsigned i = 0; i < DRAWS; i++) {
				if (draws[i].jitter)
					sample[n++] = ((double)draws[i].factor[op] - low) / (high - low);
				if (draws[i].blur_sigma > 0)
					sigma[blurs++] = ((double)draws[i].blur_sigma - 0.1) / 1.9;
			}
			assert_uniform(sample, n, names[op]);
			assert_uniform(sigma, blurs, "sigma");
		}
	}
}

static void crop_and_flip_alone(void **state)
{
	(void)state;
	struct view_policy full, part;
	view_policy_init(&full, VIEW_SIMCLR, 224, 1);
	view_policy_init(&part, VIEW_CROP_FLIP, 224, 1);
	for (unsigned i = 0; i < 1000; i++) {
		const struct recipe_view a = draw(&full, 300, 200, i), b = draw(&part, 300, 200, i);
		assert_true(a.x == b.x && a.y == b.y && a.width == b.width && a.height == b.height && a.flip == b.flip);
		assert_false(b.jitter || b.gray || b.blur_sigma > 0);
	}
}

static void leaves_the_stream_where_it_was(void **state)
{
	(void)state;
	struct view_policy policy;
	view_policy_init(&policy, VIEW_SIMCLR, 224, 1);
	struct philox used = philox_stream(1, 0, 5, 0, PHILOX_AUGMENT), fresh = used;
	struct view_params first, second;
	view_params_draw(&first, &policy, 300, 200, &used);
	view_params_draw(&second, &policy, 300, 200, &used);
	assert_memory_equal(&used, &fresh, sizeof used);
	assert_int_equal(first.count, second.count);
	assert_memory_equal(first.drawn, second.drawn, first.count * sizeof first.drawn[0]);
}

/* The same stream gives the same view for ever: these lines were printed once and may not change. */
static void never_changes(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"crop 15,5 479x361 c1.32 s1.04 h-0.03 b1.02",
		"crop 108,33 368x303 h0.16 s0.76 c0.52 b1.47 blur 1.0",
		"crop 65,0 429x373",
		"crop 179,27 222x179 b1.58 s0.59 c1.44 h0.04 blur 1.3",
	};
	struct view_policy policy;
	view_policy_init(&policy, VIEW_SIMCLR, 224, 1);
	for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
		const struct view_params params = draw_params(&policy, 500, 375, 100 + i);
		char text[200];
		view_params_describe(&params, text, sizeof text);
		assert_string_equal(text, lines[i]);
	}
}

static void describes(void **state)
{
	(void)state;
	static const struct view_drawn steps[] = {{VIEW_OP_FLIP, 0, {0}}, {VIEW_OP_BRIGHTNESS, 1.1F, {0}},
		{VIEW_OP_CONTRAST, 0.92F, {0}}, {VIEW_OP_SATURATION, 1.3F, {0}}, {VIEW_OP_HUE, -0.04F, {0}},
		{VIEW_OP_GRAY, 0, {0}}, {VIEW_OP_BLUR, 0.8F, {0}}, {VIEW_OP_VFLIP, 0, {0}},
		{VIEW_OP_ROTATE90, 0, {.quarters = 3}}, {VIEW_OP_SOLARIZE, 0.5F, {0}},
		{VIEW_OP_CUTOUT, 0, {.hole = {1, 2, 3, 4}}}, {VIEW_OP_SOBEL, 0, {0}}, {VIEW_OP_NOISE, 0.1F, {0}}};
	struct view_params params = {.x = 12, .y = 3, .width = 20, .height = 18, .count = 7};
	char text[200];
	memcpy(params.drawn, steps, sizeof steps);
	view_params_describe(&params, text, sizeof text);
	assert_string_equal(text, "crop 12,3 20x18 flip b1.10 c0.92 s1.30 h-0.04 gray blur 0.8");
	params.count = 13;
	view_params_describe(&params, text, sizeof text);
	assert_string_equal(text, "crop 12,3 20x18 flip b1.10 c0.92 s1.30 h-0.04 gray blur 0.8 vflip rotate 270 "
				  "solarize 0.50 cutout 1,2 3x4 sobel noise 0.100");
	view_params_describe(&params, text, 10);
	assert_string_equal(text, "crop 12,3");
}

static int print_crops(void)
{
	struct view_policy policy;
	uint32_t width, height;
	view_policy_init(&policy, VIEW_SIMCLR, 224, 1);
	while (scanf("%u %u", &width, &height) == 2) {
		const struct recipe_view p = draw(&policy, width, height, 0);
		printf("%u %u %u %u\n", p.x, p.y, p.width, p.height);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--draw") == 0)
		return print_crops();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(area_and_aspect_are_uniform),
		cmocka_unit_test(crops_follow_the_ten_tries_rule),
		cmocka_unit_test(crops_stay_inside),
		cmocka_unit_test(evaluation_takes_the_centre),
		cmocka_unit_test(probabilities),
		cmocka_unit_test(factors_are_uniform),
		cmocka_unit_test(crop_and_flip_alone),
		cmocka_unit_test(leaves_the_stream_where_it_was),
		cmocka_unit_test(never_changes),
		cmocka_unit_test(describes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
