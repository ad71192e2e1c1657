/* SPDX-License-Identifier: Apache-2.0 */
/* The online probe: against Nesterov's SGD written plainly, without labels for some, at any number of threads; and that
 * h is still what forward made when the probe reads it, behind backward. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stages/online_probe.h"
#include "tests/helper_net.h"
#include "tests/helper_train.h"

enum { IMAGES = 37, VIEWS = 2, ROWS = IMAGES * VIEWS, DIM = 9, CLASSES = 4, STEPS = 12, WEIGHTS = CLASSES * (DIM + 1) };

struct fixture {
	struct arena *arena;
	struct team *team;
	struct schedule schedule;
	struct online_probe *probe;
};

static void create(struct fixture *f, unsigned threads)
{
	struct error err = {0};
	f->arena = arena_create(0, &err);
	assert_non_null(f->arena);
	f->team = helper_team(threads);
	schedule_init(&f->schedule, 0.5, SCHEDULE_CONSTANT, IMAGES, (uint64_t)STEPS * IMAGES, 1, 0);
	f->probe = online_probe_create(f->arena, DIM, CLASSES, ROWS, &f->schedule, &err);
	assert_non_null(f->probe);
}

static void destroy(struct fixture *f)
{
	team_destroy(f->team);
	arena_destroy(f->arena);
}

/* Step k's batch: features [VIEWS][IMAGES][DIM] and labels, of which each third is missing when `missing`. */
struct made {
	float features[ROWS * DIM];
	int32_t labels[IMAGES];
	struct batch batch;
};

static void make(struct made *made, uint64_t step, bool missing)
{
	struct helper_data data = helper_data_create(ROWS, DIM, CLASSES, 1, step);
	memcpy(made->features, data.features, sizeof made->features);
	memcpy(made->labels, data.labels, sizeof made->labels);
	for (int i = 0; missing && i < IMAGES; i += 3)
		made->labels[i] = -1;
	made->batch = (struct batch){.images = IMAGES, .views = VIEWS, .capacity = IMAGES, .label = made->labels};
	helper_data_destroy(&data);
}

/* ---- The reference: a row at a time, in float64 ---- */

struct reference {
	double weight[WEIGHTS], momentum[WEIGHTS]; /* W, then the bias */
};

/* Adds a row's gradient; returns whether the row was known. */
static bool reference_row(const struct reference *r, const float *h, int32_t label, double *gradient)
{
	double logits[CLASSES], sum = 0;
	int best = 0;
	for (int c = 0; c < CLASSES; c++) {
		logits[c] = r->weight[CLASSES * DIM + c];
		for (int d = 0; d < DIM; d++)
			logits[c] += r->weight[c * DIM + d] * (double)h[d];
		best = logits[c] > logits[best] ? c : best;
	}
	for (int c = 0; c < CLASSES; c++)
		sum += exp(logits[c]);
	for (int c = 0; c < CLASSES; c++) {
		double slope = exp(logits[c]) / sum - (c == label);
		for (int d = 0; d < DIM; d++)
			gradient[c * DIM + d] += slope * (double)h[d];
		gradient[CLASSES * DIM + c] += slope;
	}
	return best == label;
}

static struct online_probe_step reference_step(struct reference *r, const struct made *made, double rate)
{
	double gradient[WEIGHTS] = {0};
	struct online_probe_step result = {0};
	for (int row = 0; row < ROWS; row++) {
		int32_t label = made->labels[row % IMAGES];
		if (label < 0)
			continue;
		result.rows++;
		result.hits += reference_row(r, made->features + row * DIM, label, gradient);
	}
	for (int i = 0; i < WEIGHTS; i++) {
		double g = gradient[i] / (double)result.rows;
		r->momentum[i] = 0.9 * r->momentum[i] + g;
		r->weight[i] -= rate * (g + 0.9 * r->momentum[i]);
	}
	return result;
}

/* ---- Tests ---- */

static void follow(bool missing)
{
	struct fixture f;
	struct reference reference = {0};
	create(&f, 2);
	for (uint64_t step = 0; step < STEPS; step++) {
		struct made made;
		make(&made, step, missing);
		struct online_probe_step ours = online_probe_learn(f.probe, f.team, made.features, &made.batch, step);
		struct online_probe_step theirs = reference_step(&reference, &made, schedule_rate(&f.schedule, step));
		assert_int_equal(ours.rows, missing ? 2 * (IMAGES - (IMAGES + 2) / 3) : ROWS);
		assert_int_equal(ours.rows, theirs.rows);
		assert_int_equal(ours.hits, theirs.hits);
	}
	struct probe_sgd_state state = online_probe_state(f.probe);
	assert_true(helper_relative(state.weight, reference.weight, (size_t)CLASSES * DIM) < 1e-5);
	assert_true(helper_relative(state.bias, reference.weight + (size_t)CLASSES * DIM, CLASSES) < 1e-5);
	assert_true(helper_relative(state.momentum, reference.momentum, WEIGHTS) < 1e-5);
	destroy(&f);
}

static void test_all_labelled(void **state)
{
	(void)state;
	follow(false);
}

static void test_some_unlabelled(void **state)
{
	(void)state;
	follow(true);
}

static void test_none_labelled(void **state)
{
	(void)state;
	struct fixture f;
	struct made made;
	create(&f, 1);
	make(&made, 0, false);
	online_probe_learn(f.probe, f.team, made.features, &made.batch, 0);
	struct probe_sgd_state probe = online_probe_state(f.probe);
	float weight[CLASSES * DIM], momentum[WEIGHTS];
	memcpy(weight, probe.weight, sizeof weight);
	memcpy(momentum, probe.momentum, sizeof momentum);
	for (int i = 0; i < IMAGES; i++)
		made.labels[i] = -1;
	struct online_probe_step step = online_probe_learn(f.probe, f.team, made.features, &made.batch, 1);
	assert_int_equal(step.rows, 0);
	assert_int_equal(step.hits, 0);
	assert_memory_equal(weight, probe.weight, sizeof weight);
	assert_memory_equal(momentum, probe.momentum, sizeof momentum);
	destroy(&f);
}

/* The same bits for any team, and features stay as they are. */
static void test_threads(void **state)
{
	(void)state;
	float first[CLASSES * DIM];
	for (unsigned threads = 1; threads <= 3; threads++) {
		struct fixture f;
		create(&f, threads);
		for (uint64_t step = 0; step < STEPS; step++) {
			struct made made;
			float before[ROWS * DIM];
			make(&made, step, step % 2);
			memcpy(before, made.features, sizeof before);
			online_probe_learn(f.probe, f.team, made.features, &made.batch, step);
			assert_memory_equal(before, made.features, sizeof before);
		}
		if (threads == 1)
			memcpy(first, online_probe_state(f.probe).weight, sizeof first);
		assert_memory_equal(first, online_probe_state(f.probe).weight, sizeof first);
		destroy(&f);
	}
}

static void test_features_after_backward(void **state)
{
	(void)state;
	enum { NET_ROWS = 12 };
	static const struct net_config configs[] = {
		{.depth = 18, .width = 0.125F, .size = 16, .head = NET_HEAD_MLP2, .head_dim = 8},
		{.depth = 18, .width = 0.125F, .size = 16, .head = NET_HEAD_NONE, .recompute = NET_RECOMPUTE},
		{.depth = 50, .width = 0.125F, .size = 16, .head = NET_HEAD_MLP3, .precision = PRECISION_BF16},
	};
	for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
		struct net_config config = configs[i];
		config.training = true;
		config.max_rows = NET_ROWS;
		config.isa = cpu_detect();
		struct net_fixture fixture;
		struct net_data data;
		net_fixture_create(&fixture, &config, 2);
		helper_randomise(fixture.net, 3);
		net_data_make(&data, fixture.net, &config);
		net_data_loss(&fixture, &data, NET_ROWS);
		size_t bytes = (size_t)NET_ROWS * net_feature_dim(fixture.net) * sizeof(float);
		float *before = malloc(bytes);
		assert_non_null(before);
		memcpy(before, net_features(fixture.net), bytes);
		assert_int_equal(net_backward(fixture.net, fixture.team, data.dz, NULL, NULL), 0);
		assert_memory_equal(before, net_features(fixture.net), bytes);
		free(before);
		net_data_free(&data);
		net_fixture_destroy(&fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_labelled),
		cmocka_unit_test(test_some_unlabelled),
		cmocka_unit_test(test_none_labelled),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_features_after_backward),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
