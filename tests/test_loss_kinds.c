/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every contrastive loss and variant, and every metric, against a dense float64 reference, which is held against
 * central differences itself, and against closed forms. NT-Xent with normalised rows has more in test_loss.c.
 *
 * A semi-hard negative that lies on an edge to the last bit of float32 is taken or not by rounding. So inputs are drawn
 * until none does, or are small integers, whose products are exact: then negatives lie right on the edges, too.
 *
 * test_loss_kinds --dump DIR writes inputs and results for test_torch_loss.py instead: kinds_K.z, .dz (float32) and
 * kinds_K.meta (float64: kind, semi-hard, normalize, rows, dim, temperature, margin, loss, accuracy, entropy,
 * alignment, uniformity).
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

#include "model/loss.h"
#include "tests/helper_loss64.h"
#include "tests/helper_train.h"

#define ALL	  LOSS_NEGATIVES_ALL
#define SEMI_HARD LOSS_NEGATIVES_SEMI_HARD

static const struct loss_config variants[] = {
	{LOSS_NT_XENT, ALL, true, 0.5, 0},
	{LOSS_NT_XENT, ALL, false, 0.5, 0},
	{LOSS_NT_LOGISTIC, ALL, true, 0.5, 0},
	{LOSS_NT_LOGISTIC, ALL, false, 0.5, 0},
	{LOSS_NT_LOGISTIC, SEMI_HARD, true, 0.5, 0.4},
	{LOSS_NT_LOGISTIC, SEMI_HARD, false, 0.5, 0.75},
	{LOSS_MARGIN, ALL, true, 0.5, 0.4},
	{LOSS_MARGIN, ALL, false, 0.5, 0.75},
	{LOSS_MARGIN, SEMI_HARD, true, 0.5, 0.8},
	{LOSS_MARGIN, SEMI_HARD, false, 0.5, 0.75},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

struct kind_problem {
	struct loss_config config;
	uint32_t rows;
	unsigned dim;
	float *z, *dz;	   /* [rows][dim] */
	double *reference; /* [rows][dim] */
	double edge;	   /* of the reference: the least distance of a negative's similarity from an edge */
};

static struct kind_problem kind_create(struct loss_config config, uint32_t rows, unsigned dim)
{
	size_t count = (size_t)rows * dim;
	struct kind_problem p = {.config = config, .rows = rows, .dim = dim};
	p.z = calloc(count, sizeof(float));
	p.dz = calloc(count, sizeof(float));
	p.reference = calloc(count, sizeof(double));
	assert_true(p.z && p.dz && p.reference);
	helper_fill(p.z, count, rows * 31 + dim);
	return p;
}

static void kind_destroy(struct kind_problem *p)
{
	free(p->z);
	free(p->dz);
	free(p->reference);
}

static struct loss_result kind_compute(struct kind_problem *p, unsigned threads)
{
	struct error err = {0};
	struct arena *arena = arena_create(0, &err);
	struct team *team = team_create(threads, NULL, &err);
	assert_true(arena && team);
	struct contrastive_loss *loss = contrastive_loss_create(arena, &p->config, p->rows, p->dim, &err);
	assert_non_null(loss);
	struct loss_result result = {0};
	contrastive_loss_forward_backward(loss, team, p->z, p->rows, p->dz, &result);
	team_destroy(team);
	arena_destroy(arena);
	return result;
}

/* Makes the second views resemble the first. */
static void kind_correlate(struct kind_problem *p, float share)
{
	size_t half = (size_t)p->rows / 2 * p->dim;
	for (size_t i = 0; i < half; i++)
		p->z[half + i] = share * p->z[i] + (1 - share) * p->z[half + i];
}

/* ---- Comparing ---- */

static struct loss_result kind_reference(struct kind_problem *p)
{
	size_t count = (size_t)p->rows * p->dim;
	double *z = malloc(count * sizeof *z);
	assert_non_null(z);
	for (size_t i = 0; i < count; i++)
		z[i] = (double)p->z[i];
	struct loss_result result = helper_loss64(&p->config, p->rows, p->dim, z, p->reference, &p->edge);
	free(z);
	return result;
}

static void describe(const struct kind_problem *p, char *text, size_t capacity)
{
	snprintf(text, capacity, "%s, %s, %s, t %g, margin %g, %u x %u", loss_name(p->config.kind),
		p->config.negatives == ALL ? "all" : "semi-hard", p->config.normalize ? "normalised" : "raw",
		p->config.temperature, p->config.margin, p->rows, p->dim);
}

/* scale: of rounding errors, about the largest |s|. */
static void check_kind(struct kind_problem *p, double scale)
{
	char text[160];
	struct loss_result expected = kind_reference(p), result = kind_compute(p, 2);
	size_t count = (size_t)p->rows * p->dim;
	double norm = 0, off = helper_relative(p->dz, p->reference, count);
	for (size_t i = 0; i < count; i++)
		norm += p->reference[i] * p->reference[i];
	if (norm < 1e-20) { /* nothing to be relative to */
		off = 0;
		for (size_t i = 0; i < count; i++)
			off = fmax(off, (double)fabsf(p->dz[i]));
	}
	describe(p, text, sizeof text);
	if (!(fabs(result.loss - expected.loss) < 3e-7 * scale) || !(off < 3e-6 * scale))
		fail_msg("%s: loss %.9g, reference %.9g; gradient off by %.2g", text, result.loss, expected.loss, off);
	if (!(fabs(result.entropy - expected.entropy) < 1e-6 * scale) ||
		fabs(result.accuracy - expected.accuracy) > 1e-12)
		fail_msg("%s: entropy %.9g, reference %.9g; accuracy %g, reference %g", text, result.entropy,
			expected.entropy, result.accuracy, expected.accuracy);
	if (!(fabs(result.alignment - expected.alignment) < 1e-6) ||
		!(fabs(result.uniformity - expected.uniformity) < 2e-6))
		fail_msg("%s: alignment %.9g, reference %.9g; uniformity %.9g, reference %.9g", text, result.alignment,
			expected.alignment, result.uniformity, expected.uniformity);
}

/* Draws z until no negative lies on an edge. */
static void draw_off_edges(struct kind_problem *p, float share)
{
	for (uint32_t seed = 1; seed < 200; seed++) {
		helper_fill(p->z, (size_t)p->rows * p->dim, seed * 7919 + p->rows);
		kind_correlate(p, share);
		kind_reference(p);
		if (p->edge > 2e-6)
			return;
	}
	fail_msg("no draw without a negative on an edge");
}

static void test_dense(void **state)
{
	(void)state;
	static const uint32_t rows[] = {4, 6, 64, 66, 130};
	static const unsigned dims[] = {2, 7, 16, 33, 5};
	static const double temperatures[] = {1, 0.5, 0.1, 0.05, 2};
	for (unsigned v = 0; v < VARIANTS; v++)
		for (unsigned r = 0; r < 5; r++) {
			struct loss_config config = variants[v];
			config.temperature = temperatures[(r + v) % 5];
			struct kind_problem p = kind_create(config, rows[r], dims[r]);
			draw_off_edges(&p, r % 2 ? 0.5f : 0.0f);
			check_kind(&p, fmax(1, (config.normalize ? 1 : 8) / config.temperature));
			kind_destroy(&p);
		}
}

/* Small integers: several tiles across, and many negatives right on the edges, which are not taken. */
static void test_edges(void **state)
{
	(void)state;
	static const uint32_t rows[] = {70, 578, 1090};
	for (unsigned v = 0; v < VARIANTS; v++)
		for (unsigned r = 0; r < 3; r++) {
			struct loss_config config = variants[v];
			if (config.normalize)
				continue;
			config.margin = 3;
			config.temperature = 4;
			struct kind_problem p = kind_create(config, rows[r], 11);
			kind_correlate(&p, 0.4f);
			for (size_t i = 0; i < (size_t)p.rows * p.dim; i++)
				p.z[i] = roundf(2.5f * p.z[i]);
			check_kind(&p, 2);
			if (config.negatives == SEMI_HARD)
				assert_true(p.edge == 0);
			kind_destroy(&p);
		}
}

static void test_reference_differences(void **state)
{
	(void)state;
	enum { ROWS = 12, DIM = 5, COUNT = ROWS * DIM };
	for (unsigned v = 0; v < VARIANTS; v++) {
		double z[COUNT], gradient[COUNT], unused[COUNT], edge = 0, largest = 0;
		for (uint32_t seed = 1; edge < 1e-4; seed++) {
			float drawn[COUNT];
			helper_fill(drawn, COUNT, seed);
			for (size_t i = 0; i < COUNT; i++)
				z[i] = (double)drawn[i] + (i >= COUNT / 2 ? (double)drawn[i - COUNT / 2] : 0);
			helper_loss64(&variants[v], ROWS, DIM, z, gradient, &edge);
		}
		for (size_t i = 0; i < COUNT; i++) {
			double kept = z[i], step = 1e-6;
			z[i] = kept + step;
			double above = helper_loss64(&variants[v], ROWS, DIM, z, unused, &edge).loss;
			z[i] = kept - step;
			double below = helper_loss64(&variants[v], ROWS, DIM, z, unused, &edge).loss;
			z[i] = kept;
			assert_true(fabs((above - below) / (2 * step) - gradient[i]) < 1e-8);
			largest = fmax(largest, fabs(gradient[i]));
		}
		assert_true(largest > 1e-2);
	}
}

/* ---- Closed forms ---- */

/* Two pairs, identical within, orthogonal between: c is 1 to the positive, 0 to both negatives. */
static void test_two_pairs(void **state)
{
	(void)state;
	const double ln2 = log(2);
	static const double temperatures[] = {0.25, 0.5, 1};
	for (unsigned n = 0; n < 3; n++) {
		const double t = temperatures[n];
		const double near = helper_softplus(-1 / t), xent = log(1 + 2 * exp(-1 / t)); /* 0.2395448 at t = 0.5 */
		const struct {
			struct loss_config config;
			double loss;
		} cases[] = {
			{{LOSS_NT_XENT, ALL, true, t, 0}, xent},
			{{LOSS_NT_LOGISTIC, ALL, true, t, 0}, near + ln2},
			{{LOSS_NT_LOGISTIC, SEMI_HARD, true, t, 0.75}, near},
			{{LOSS_NT_LOGISTIC, SEMI_HARD, true, t, 1}, near}, /* right on the edge */
			{{LOSS_NT_LOGISTIC, SEMI_HARD, true, t, 1.5}, near + ln2},
			{{LOSS_MARGIN, ALL, true, t, 0.75}, 0},
			{{LOSS_MARGIN, ALL, true, t, 1.5}, 0.5},
			{{LOSS_MARGIN, SEMI_HARD, true, t, 1}, 0},
			{{LOSS_MARGIN, SEMI_HARD, true, t, 1.5}, 0.5},
		};
		for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
			struct kind_problem p = kind_create(cases[k].config, 4, 6);
			memset(p.z, 0, 24 * sizeof(float));
			p.z[0 * 6 + 1] = p.z[2 * 6 + 1] = 3.0f;
			p.z[1 * 6 + 4] = p.z[3 * 6 + 4] = 0.25f;
			struct loss_result result = kind_compute(&p, 1);
			assert_true(fabs(result.loss - cases[k].loss) < 1e-7);
			assert_true(result.accuracy == 1);
			double share = exp(-1 / t) / (1 + 2 * exp(-1 / t)); /* of a negative */
			assert_true(fabs(result.entropy - (xent + 2 * share / t)) < 1e-6);
			assert_true(result.alignment == 0);
			assert_true(fabs(result.uniformity - log((2 + 4 * exp(-4)) / 6)) < 1e-6);
			kind_destroy(&p);
		}
	}
}

/* All rows the same: the entropy of 2N - 1 equal numbers, and no direction to go. */
static void test_collapsed(void **state)
{
	(void)state;
	static const uint32_t rows[] = {4, 256, 600};
	for (unsigned v = 0; v < VARIANTS; v++)
		for (unsigned r = 0; r < 3; r++) {
			struct kind_problem p = kind_create(variants[v], rows[r], 8);
			const struct loss_config *config = &p.config;
			memset(p.z, 0, (size_t)rows[r] * 8 * sizeof(float));
			for (uint32_t i = 0; i < rows[r]; i++)
				p.z[i * 8 + 3] = 2.0f;
			double s = (config->normalize ? 1 : 4) / config->temperature, loss = 0;
			bool all = config->negatives == ALL;
			if (config->kind == LOSS_NT_XENT)
				loss = log(rows[r] - 1.0);
			else if (config->kind == LOSS_MARGIN)
				loss = all ? config->margin : 0; /* none is farther than the positive */
			else
				loss = helper_softplus(-s) + (all ? helper_softplus(s) : 0);
			struct loss_result result = kind_compute(&p, 2);
			assert_true(fabs(result.loss - loss) < 1e-6);
			assert_true(fabs(result.entropy - log(rows[r] - 1.0)) < 1e-9);
			assert_true(result.accuracy == 1.0 / rows[r]);
			assert_true(result.alignment == 0);
			assert_true(fabs(result.uniformity) < 1e-6);
			for (size_t i = 0; i < (size_t)rows[r] * 8 && config->normalize; i++)
				assert_true(fabsf(p.dz[i]) < 1e-7f);
			kind_destroy(&p);
		}
}

/* Rows at right angles: all similarities 0, all distances the square root of 2. */
static void test_orthogonal(void **state)
{
	(void)state;
	for (unsigned v = 0; v < VARIANTS; v++) {
		struct kind_problem p = kind_create(variants[v], 66, 66);
		memset(p.z, 0, sizeof(float) * 66 * 66);
		for (size_t i = 0; i < 66; i++)
			p.z[i * 66 + i] = 0.5f;
		struct loss_result result = kind_compute(&p, 1);
		assert_true(fabs(result.entropy - log(65)) < 1e-9);
		assert_true(fabs(result.alignment - 2) < 1e-12);
		assert_true(fabs(result.uniformity + 4) < 1e-6);
		kind_destroy(&p);
	}
}

static void test_one_pair(void **state)
{
	(void)state;
	for (unsigned v = 0; v < VARIANTS; v++) {
		struct kind_problem p = kind_create(variants[v], 2, 9);
		struct loss_result result = kind_compute(&p, 1);
		check_kind(&p, 8);
		assert_true(p.config.kind == LOSS_NT_LOGISTIC ? result.loss > 0 : result.loss == 0);
		assert_true(result.entropy == 0 && result.accuracy == 1);
		assert_true(fabs(result.uniformity + 2 * result.alignment) < 1e-5);
		for (size_t i = 0; i < 18 && p.config.kind != LOSS_NT_LOGISTIC; i++)
			assert_true(p.dz[i] == 0);
		kind_destroy(&p);
	}
}

static void test_temperatures(void **state)
{
	(void)state;
	static const double temperatures[] = {1e-3, 0.01, 30, 1e4};
	for (unsigned v = 0; v < VARIANTS; v++)
		for (unsigned k = 0; k < 4; k++) {
			struct loss_config config = variants[v];
			config.temperature = temperatures[k];
			struct kind_problem p = kind_create(config, 66, 12);
			draw_off_edges(&p, 0.5f);
			check_kind(&p, fmax(2, (config.normalize ? 1 : 8) / config.temperature));
			kind_destroy(&p);
		}
}

static void test_zero_rows(void **state)
{
	(void)state;
	for (unsigned v = 0; v < VARIANTS; v++) {
		struct kind_problem p = kind_create(variants[v], 72, 9);
		draw_off_edges(&p, 0.3f);
		float *zero = p.z + (size_t)17 * 9, *gradient = p.dz + (size_t)17 * 9;
		memset(zero, 0, 9 * sizeof(float));
		struct loss_result expected = kind_reference(&p), result = kind_compute(&p, 1);
		assert_true(fabs(result.loss - expected.loss) < 1e-6);
		assert_true(fabs(result.alignment - expected.alignment) < 1e-6);
		assert_true(fabs(result.uniformity - expected.uniformity) < 1e-6);
		/* The zero row's gradient may be 1e12 times the others': each kind against its own. */
		assert_true(helper_relative(gradient, p.reference + (size_t)17 * 9, 9) < 1e-5);
		assert_true(helper_relative(p.dz, p.reference, (size_t)17 * 9) < 1e-5);
		memset(p.z, 0, (size_t)72 * 9 * sizeof(float));
		result = kind_compute(&p, 1);
		assert_true(isfinite(result.loss) && fabs(result.entropy - log(71)) < 1e-9);
		assert_true(result.alignment == 0 && fabs(result.uniformity) < 1e-6);
		for (size_t i = 0; i < (size_t)72 * 9; i++)
			assert_true(p.dz[i] == 0);
		kind_destroy(&p);
	}
}

static void test_not_finite(void **state)
{
	(void)state;
	static const float bad[] = {NAN, INFINITY, -INFINITY};
	static const uint32_t rows[] = {2, 64, 1040};
	for (unsigned v = 0; v < VARIANTS; v++)
		for (unsigned r = 0; r < 3; r++)
			for (unsigned b = 0; b < 3; b++) {
				struct kind_problem p = kind_create(variants[v], rows[r], 8);
				p.z[b % 2 ? rows[r] * 8 - 1 : 0] = bad[b];
				assert_true(!isfinite(kind_compute(&p, 2).loss));
				kind_destroy(&p);
			}
}

/* ---- Any team, any loss, any batch before ---- */

static void assert_same_bits(struct loss_result a, struct loss_result b)
{
	assert_true(a.loss == b.loss && a.accuracy == b.accuracy && a.entropy == b.entropy &&
		    a.alignment == b.alignment && a.uniformity == b.uniformity);
}

static void test_team_invariance(void **state)
{
	(void)state;
	static const unsigned threads[] = {2, 3, 8};
	for (unsigned v = 0; v < VARIANTS; v++) {
		struct kind_problem p = kind_create(variants[v], 646, 20);
		size_t size = (size_t)p.rows * p.dim * sizeof(float);
		float *first = malloc(size);
		assert_non_null(first);
		kind_correlate(&p, 0.5f);
		struct loss_result one = kind_compute(&p, 1);
		memcpy(first, p.dz, size);
		for (size_t t = 0; t < 3; t++) {
			memset(p.dz, 0, size);
			assert_same_bits(kind_compute(&p, threads[t]), one);
			assert_memory_equal(first, p.dz, size);
		}
		free(first);
		kind_destroy(&p);
	}
}

/* The metrics look at z and the temperature, not at what is done about it. */
static void test_metrics_of_any_loss(void **state)
{
	(void)state;
	struct loss_result of[2] = {{0}};
	for (unsigned v = 0; v < VARIANTS; v++) {
		struct kind_problem p = kind_create(variants[v], 130, 24);
		kind_correlate(&p, 0.5f);
		struct loss_result result = kind_compute(&p, 2), *first = &of[p.config.normalize];
		if (variants[v].kind == LOSS_NT_XENT)
			*first = result;
		result.loss = first->loss;
		assert_same_bits(result, *first);
		kind_destroy(&p);
	}
	/* Alignment and uniformity are of normalised rows in any case. */
	assert_true(fabs(of[0].alignment - of[1].alignment) < 1e-6);
	assert_true(fabs(of[0].uniformity - of[1].uniformity) < 1e-6);
}

static void test_smaller_batch(void **state)
{
	(void)state;
	for (unsigned v = 0; v < VARIANTS; v++) {
		struct error err = {0};
		struct arena *arena = arena_create(0, &err);
		struct team *team = team_create(2, NULL, &err);
		assert_true(arena && team);
		struct contrastive_loss *loss = contrastive_loss_create(arena, &variants[v], 300, 16, &err);
		assert_non_null(loss);
		struct kind_problem large = kind_create(variants[v], 300, 16);
		struct kind_problem small = kind_create(variants[v], 74, 16);
		size_t size = (size_t)74 * 16 * sizeof(float);
		float *dz = malloc(size);
		assert_non_null(dz);
		struct loss_result alone = kind_compute(&small, 1), after;
		memcpy(dz, small.dz, size);
		contrastive_loss_forward_backward(loss, team, large.z, 300, large.dz, &after);
		contrastive_loss_forward_backward(loss, team, small.z, 74, small.dz, &after);
		assert_same_bits(after, alone);
		assert_memory_equal(dz, small.dz, size);
		free(dz);
		kind_destroy(&large);
		kind_destroy(&small);
		team_destroy(team);
		arena_destroy(arena);
	}
}

static void test_config_errors(void **state)
{
	(void)state;
	static const struct loss_config wrong[] = {
		{LOSS_NT_XENT, SEMI_HARD, true, 0.5, 0.4},
		{LOSS_MARGIN, SEMI_HARD, true, 0.5, 0},
		{LOSS_MARGIN, ALL, true, 0.5, -0.1},
		{LOSS_MARGIN, ALL, true, 0.5, NAN},
		{LOSS_NT_XENT, ALL, true, 0, 0},
		{LOSS_NT_LOGISTIC, ALL, true, INFINITY, 0},
		{LOSS_NT_LOGISTIC, ALL, true, NAN, 0},
	};
	struct error err = {0};
	struct arena *arena = arena_create(0, &err);
	assert_non_null(arena);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		err = (struct error){0};
		assert_null(contrastive_loss_create(arena, &wrong[i], 8, 4, &err));
		assert_int_equal(err.code, ERROR_USAGE);
	}
	arena_destroy(arena);
}

static int dump(const char *dir)
{
	static const uint32_t rows[] = {2, 66, 130, 530};
	unsigned k = 0;
	for (unsigned v = 0; v < VARIANTS; v++)
		for (unsigned r = 0; r < 4; r++, k++) {
			char name[32];
			struct loss_config config = variants[v];
			config.temperature = r % 2 ? 0.2 : 0.5;
			struct kind_problem p = kind_create(config, rows[r], r == 3 ? 64 : 16);
			size_t size = (size_t)p.rows * p.dim * sizeof(float);
			kind_correlate(&p, 0.5f);
			if (r < 3)
				draw_off_edges(&p, 0.5f);
			if (r == 3 && !config.normalize)
				for (size_t i = 0; i < (size_t)p.rows * p.dim; i++)
					p.z[i] = roundf(8 * p.z[i]) / 8; /* products are exact */
			struct loss_result result = kind_compute(&p, 2);
			double meta[] = {config.kind, config.negatives, config.normalize, p.rows, p.dim,
				config.temperature, config.margin, result.loss, result.accuracy, result.entropy,
				result.alignment, result.uniformity};
			snprintf(name, sizeof name, "kinds_%u.z", k);
			helper_dump(dir, name, p.z, size);
			snprintf(name, sizeof name, "kinds_%u.dz", k);
			helper_dump(dir, name, p.dz, size);
			snprintf(name, sizeof name, "kinds_%u.meta", k);
			helper_dump(dir, name, meta, sizeof meta);
			kind_destroy(&p);
		}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--dump") == 0)
		return dump(argv[2]);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dense),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_reference_differences),
		cmocka_unit_test(test_two_pairs),
		cmocka_unit_test(test_collapsed),
		cmocka_unit_test(test_orthogonal),
		cmocka_unit_test(test_one_pair),
		cmocka_unit_test(test_temperatures),
		cmocka_unit_test(test_zero_rows),
		cmocka_unit_test(test_not_finite),
		cmocka_unit_test(test_team_invariance),
		cmocka_unit_test(test_metrics_of_any_loss),
		cmocka_unit_test(test_smaller_batch),
		cmocka_unit_test(test_config_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
