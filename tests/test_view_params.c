/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the parameters of views are distributed, by chi-squared and Kolmogorov-Smirnov tests at fixed seeds. Thresholds
 * are those of p = 0.001: a sound generator at a given seed either always passes or never, and was seen to pass.
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

/* ---- further operations ---- */

static struct view_policies parse(const char *text, uint32_t size)
{
	const struct view_defaults defaults = {.size = size, .views = 1, .strength = 1, .area_min = 0.08F};
	struct view_policies policies;
	struct error err = {0};
	if (view_policies_parse(&policies, text, &defaults, "views", &err) != 0)
		fail_msg("%s", err.message);
	return policies;
}

/* The first drawn step of that kind; NULL: none. */
static const struct view_drawn *find(const struct view_params *params, enum view_op op)
{
	for (uint32_t i = 0; i < params->count; i++)
		if (params->drawn[i].op == op)
			return &params->drawn[i];
	return NULL;
}

static void probabilities_are_the_policys(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum view_op op;
		double probability;
	} cases[] = {{"crop vflip", VIEW_OP_VFLIP, 0.5}, {"crop flip@0.3", VIEW_OP_FLIP, 0.3},
		{"crop solarize", VIEW_OP_SOLARIZE, 0.2}, {"crop gray@0.05", VIEW_OP_GRAY, 0.05},
		{"crop cutout@0.4", VIEW_OP_CUTOUT, 0.4}, {"crop sobel@0.6", VIEW_OP_SOBEL, 0.6},
		{"crop noise@0.7", VIEW_OP_NOISE, 0.7}, {"crop hue@0.9", VIEW_OP_HUE, 0.9},
		{"crop brightness@0.1", VIEW_OP_BRIGHTNESS, 0.1}, {"crop contrast@0.2", VIEW_OP_CONTRAST, 0.2},
		{"crop saturation@0.8", VIEW_OP_SATURATION, 0.8}, {"crop rotate90@0.4", VIEW_OP_ROTATE90, 0.3},
		{"crop color@0.35", VIEW_OP_HUE, 0.35}, {"crop blur@0.15", VIEW_OP_BLUR, 0.15}};
	for (unsigned c = 0; c < sizeof cases / sizeof *cases; c++) {
		const struct view_policies policies = parse(cases[c].text, 32);
		unsigned hits = 0;
		for (unsigned i = 0; i < DRAWS; i++) {
			const struct view_params params = draw_params(&policies.view[0], 100, 80, i);
			hits += find(&params, cases[c].op) != NULL;
		}
		assert_frequency(hits, DRAWS, cases[c].probability, cases[c].text);
	}
	const struct view_policies never = parse("crop flip@0 vflip@0 gray@0 sobel@0 noise@0", 32);
	const struct view_policies always = parse("crop flip@1 vflip@1 gray@1 sobel noise", 32);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(draw_params(&never.view[0], 100, 80, i).count, 0);
		assert_int_equal(draw_params(&always.view[0], 100, 80, i).count, 5);
	}
}

static void values_of_the_new_operations(void **state)
{
	(void)state;
	static double factors[4][DRAWS], x[DRAWS], y[DRAWS], keys[DRAWS];
	const struct view_policies policies =
		parse("crop brightness(0.5) contrast(2) saturation(0.1) hue(0.3) rotate90 cutout(0.25) noise(0.2)", 64);
	unsigned quarters[4] = {0};
	for (unsigned i = 0; i < DRAWS; i++) {
		const struct view_params params = draw_params(&policies.view[0], 100, 80, i);
		static const double low[] = {0.5, 0, 0.9, -0.3}, high[] = {1.5, 3, 1.1, 0.3};
		for (unsigned k = 0; k < 4; k++)
			factors[k][i] =
				((double)find(&params, (enum view_op)(VIEW_OP_BRIGHTNESS + k))->value - low[k]) /
				(high[k] - low[k]);
		const struct view_drawn *turn = find(&params, VIEW_OP_ROTATE90), *cut = find(&params, VIEW_OP_CUTOUT),
					*noise = find(&params, VIEW_OP_NOISE);
		assert_true(turn == NULL || (turn->quarters >= 1 && turn->quarters <= 3));
		quarters[turn == NULL ? 0 : turn->quarters]++;
		/* The centre of a square of 16 around pixel 0..63, cut at the borders. */
		const uint32_t right = cut->hole.x + cut->hole.width, bottom = cut->hole.y + cut->hole.height;
		assert_true(right <= 64 && bottom <= 64 && cut->hole.width >= 8 && cut->hole.height >= 8);
		assert_true(cut->hole.width == 16 || (cut->hole.width < 16 && (cut->hole.x == 0 || right == 64)));
		assert_true(cut->hole.height == 16 || (cut->hole.height < 16 && (cut->hole.y == 0 || bottom == 64)));
		const uint32_t centre_x = cut->hole.x > 0 ? cut->hole.x + 8 : right - 8;
		const uint32_t centre_y = cut->hole.y > 0 ? cut->hole.y + 8 : bottom - 8;
		const double within = (double)noise->key[1] * 0x1p-32; /* spreads whole pixels over their width */
		x[i] = (centre_x + within) / 64;
		y[i] = (centre_y + (double)noise->key[0] * 0x1p-32) / 64;
		keys[i] = within;
		assert_true(noise->value == 0.2F);
	}
	for (unsigned k = 0; k < 4; k++) {
		assert_uniform(factors[k], DRAWS, "a factor alone");
		assert_frequency(quarters[k], DRAWS, 0.25, "a quarter turn");
	}
	assert_uniform(x, DRAWS, "x of cutout");
	assert_uniform(y, DRAWS, "y of cutout");
	assert_uniform(keys, DRAWS, "key of noise");
}

/* Whatever else a policy asks for, and in whatever order, an operation draws the same. */
static void operations_do_not_disturb_each_other(void **state)
{
	(void)state;
	static const char *const steps[] = {"flip", "vflip", "rotate90", "color", "brightness", "contrast",
		"saturation", "hue", "gray", "blur", "solarize", "cutout", "sobel", "noise"};
	enum { STEPS = sizeof steps / sizeof *steps };
	char all[300] = "crop", backwards[300] = "crop", one[100];
	for (unsigned s = 0; s < STEPS; s++) {
		snprintf(all + strlen(all), sizeof all - strlen(all), " %s", steps[s]);
		snprintf(backwards + strlen(backwards), sizeof backwards - strlen(backwards), " %s",
			steps[STEPS - 1 - s]);
	}
	const struct view_policies forth = parse(all, 64), back = parse(backwards, 64);
	for (unsigned i = 0; i < 500; i++) {
		const struct view_params a = draw_params(&forth.view[0], 100, 80, i);
		const struct view_params b = draw_params(&back.view[0], 100, 80, i);
		uint32_t from = 0, until = b.count;
		assert_int_equal(a.count, b.count);
		for (unsigned s = 0; s < STEPS; s++) {
			snprintf(one, sizeof one, "crop %s", steps[s]);
			const struct view_policies single = parse(one, 64);
			const struct view_params p = draw_params(&single.view[0], 100, 80, i);
			const size_t bytes = p.count * sizeof p.drawn[0];
			assert_memory_equal(&p, &a, offsetof(struct view_params, count));
			assert_memory_equal(p.drawn, a.drawn + from, bytes);
			assert_memory_equal(p.drawn, b.drawn + until - p.count, bytes);
			from += p.count;
			until -= p.count;
		}
		assert_int_equal(from, a.count);
	}
}

static bool same_drawn(const struct view_drawn *a, const struct view_drawn *b)
{
	return a->op == b->op && a->value == b->value && a->hole.x == b->hole.x && a->hole.y == b->hole.y &&
	       a->hole.width == b->hole.width && a->hole.height == b->hole.height;
}

/* An operation that comes again draws anew, and the first of its kind as if alone. */
static void a_second_time_draws_anew(void **state)
{
	(void)state;
	const struct view_policies once = parse("crop cutout hue noise flip", 64),
				   twice = parse("crop cutout cutout hue hue noise noise flip@1 flip", 64);
	unsigned flips = 0, same = 0, first_flips = 0, different[3] = {0};
	for (unsigned i = 0; i < DRAWS; i++) {
		const struct view_params a = draw_params(&once.view[0], 100, 80, i);
		const struct view_params b = draw_params(&twice.view[0], 100, 80, i);
		for (unsigned k = 0; k < 3; k++) {
			assert_memory_equal(&a.drawn[k], &b.drawn[2 * k], sizeof a.drawn[k]);
			different[k] += !same_drawn(&a.drawn[k], &b.drawn[2 * k + 1]);
		}
		flips += b.count == 8;
		first_flips += a.count == 4;
		same += (b.count == 8) == (a.count == 4);
	}
	for (unsigned k = 0; k < 3; k++)
		assert_true(different[k] > DRAWS * 0.99);
	assert_frequency(flips, DRAWS, 0.5, "the second flip");
	assert_frequency(first_flips, DRAWS, 0.5, "the first flip");
	assert_frequency(same, DRAWS, 0.5, "both flips are independent");
}

/* As never_changes, of the operations that came later. */
static void further_draws_never_change(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"crop 140,29 298x298 rotate 90 b0.44 c1.78 s1.73 h-0.20 cutout 145,93 79x112 noise 0.100 key e8c052eb "
		"11440f8b",
		"crop 194,52 263x263 vflip b1.12 c0.48 s1.69 h0.01 cutout 144,0 80x93 sobel noise 0.100 key dea9638a "
		"880fd337",
		"crop 191,24 291x291 vflip rotate 270 b0.20 c1.17 s0.91 h0.07 solarize 0.50 cutout 149,0 75x70 cutout "
		"120,52 45x45 noise 0.100 key 686400a2 bc247b12",
		"crop 99,84 288x288 vflip b1.14 c0.42 s0.97 h0.15 solarize 0.50 cutout 112,86 112x112 noise 0.100 key "
		"beb8af7a 65e88d63",
		"crop 26,80 269x269 rotate 180 b0.46 c0.66 s0.98 h-0.09 solarize 0.50 cutout 116,0 108x79 noise 0.100 "
		"key 66b7a1aa b3509a80",
	};
	const struct view_policies policies = parse("crop(0.2,0.5,1,1) vflip rotate90 brightness contrast saturation "
						    "hue solarize@0.5 cutout cutout(0.2)@0.5 sobel@0.5 noise",
		224);
	for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
		const struct view_params params = draw_params(&policies.view[0], 500, 375, 100 + i);
		char text[300];
		view_params_describe(&params, text, sizeof text);
		const struct view_drawn *noise = find(&params, VIEW_OP_NOISE);
		snprintf(text + strlen(text), sizeof text - strlen(text), " key %08x %08x", noise->key[0],
			noise->key[1]);
		assert_string_equal(text, lines[i]);
	}
}

static void custom_crops_and_whole(void **state)
{
	(void)state;
	const struct view_policies square = parse("crop(0.3,0.3,1,1)", 32), wide = parse("crop(0.1,0.9,20,30)", 32),
				   whole = parse("whole", 32), middle = parse("center(0.5)", 32);
	for (unsigned i = 0; i < 200; i++) {
		const struct view_params p = draw_params(&square.view[0], 200, 100, i);
		assert_true(p.width == 77 && p.height == 77); /* sqrt(0.3 * 20000) */
		const struct view_params narrow = draw_params(&wide.view[0], 10, 90, i);
		assert_true(narrow.width == 10 && narrow.height == 1 && narrow.y == 44); /* the fallback: 10 / 20 */
	}
	const struct view_params p = draw_params(&whole.view[0], 200, 100, 0);
	assert_true(p.x == 0 && p.y == 0 && p.width == 200 && p.height == 100 && p.count == 0);
	const struct view_params m = draw_params(&middle.view[0], 200, 100, 0);
	assert_true(m.x == 75 && m.y == 25 && m.width == 50 && m.height == 50);
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
	static const struct view_drawn steps[] = {{VIEW_OP_FLIP, 0, {{0}}}, {VIEW_OP_BRIGHTNESS, 1.1F, {{0}}},
		{VIEW_OP_CONTRAST, 0.92F, {{0}}}, {VIEW_OP_SATURATION, 1.3F, {{0}}}, {VIEW_OP_HUE, -0.04F, {{0}}},
		{VIEW_OP_GRAY, 0, {{0}}}, {VIEW_OP_BLUR, 0.8F, {{0}}}, {VIEW_OP_VFLIP, 0, {{0}}},
		{VIEW_OP_ROTATE90, 0, {.quarters = 3}}, {VIEW_OP_SOLARIZE, 0.5F, {{0}}},
		{VIEW_OP_CUTOUT, 0, {.hole = {1, 2, 3, 4}}}, {VIEW_OP_SOBEL, 0, {{0}}}, {VIEW_OP_NOISE, 0.1F, {{0}}}};
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
		cmocka_unit_test(probabilities_are_the_policys),
		cmocka_unit_test(values_of_the_new_operations),
		cmocka_unit_test(operations_do_not_disturb_each_other),
		cmocka_unit_test(a_second_time_draws_anew),
		cmocka_unit_test(further_draws_never_change),
		cmocka_unit_test(custom_crops_and_whole),
		cmocka_unit_test(leaves_the_stream_where_it_was),
		cmocka_unit_test(never_changes),
		cmocka_unit_test(describes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
