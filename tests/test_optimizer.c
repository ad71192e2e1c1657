/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LARS, SGD and Adam over 100 steps against their formulas in float64 and against stored values from PyTorch.
 *
 * test_optimizer --dump DIR writes, for test_torch_loss.py, KIND_DIMS.start, .grads [100][count] and .end (float32) of
 * KIND lars, sgd, adam and DIMS 1, 2. Step s has rate 0.1 (1 + s % 7).
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

#include "model/optimizer.h"
#include "tests/golden/loss_golden.h"
#include "tests/helper_train.h"

enum { STEPS = 100, MOST = 1031 };

static const struct optimizer_config configs[] = {
	{.kind = OPTIMIZER_LARS, .momentum = 0.9, .weight_decay = 1e-3, .trust = 0.001},
	{.kind = OPTIMIZER_SGD, .momentum = 0.9, .weight_decay = 1e-3, .trust = 0.001},
	{.kind = OPTIMIZER_ADAM, .momentum = 0.9, .weight_decay = 1e-3, .trust = 0.001},
};
static const char *const names[] = {"lars", "sgd", "adam"};

static double rate_at(unsigned step)
{
	return 0.1 * (1 + step % 7);
}

struct tensor {
	float value[MOST], grad[MOST], first[MOST], second[MOST];
	double value64[MOST], first64[MOST], second64[MOST];
};

/* The formulas of optimizer.h, in float64. */
static void reference_step(
	const struct optimizer_config *config, struct tensor *t, size_t count, bool adapt, double rate, unsigned step)
{
	double g[MOST], value_norm = 0, grad_norm = 0, trust = 1, steps = step + 1;
	for (size_t i = 0; i < count; i++) {
		g[i] = (double)t->grad[i] + (adapt ? config->weight_decay * t->value64[i] : 0);
		value_norm += t->value64[i] * t->value64[i];
		grad_norm += g[i] * g[i];
	}
	if (adapt && value_norm > 0 && grad_norm > 0)
		trust = 0.001 * sqrt(value_norm) / sqrt(grad_norm);
	for (size_t i = 0; i < count; i++) {
		double *w = &t->value64[i], *v = &t->first64[i], *u = &t->second64[i];
		if (config->kind == OPTIMIZER_LARS) {
			*v = 0.9 * *v + rate * trust * g[i];
			*w -= *v;
		} else if (config->kind == OPTIMIZER_SGD) {
			*v = 0.9 * *v + g[i];
			*w -= rate * (g[i] + 0.9 * *v);
		} else {
			*v = 0.9 * *v + 0.1 * g[i];
			*u = 0.999 * *u + 0.001 * g[i] * g[i];
			double mean = *v / (1 - pow(0.9, steps)), square = *u / (1 - pow(0.999, steps));
			*w -= rate * mean / (sqrt(square) + 1e-8);
		}
	}
}

enum start { START_RANDOM, START_ZERO_VALUE, START_ZERO_GRAD, START_ZERO_BOTH };

static void run_against_reference(const struct optimizer_config *config, size_t count, bool adapt, enum start start)
{
	struct tensor *t = calloc(1, sizeof *t);
	assert_non_null(t);
	if (start == START_RANDOM || start == START_ZERO_GRAD)
		helper_fill(t->value, count, 77);
	for (size_t i = 0; i < count; i++)
		t->value64[i] = (double)t->value[i];
	struct optimizer_tensor tensor = {.value = t->value,
		.grad = t->grad,
		.first = t->first,
		.second = config->kind == OPTIMIZER_ADAM ? t->second : NULL,
		.count = count,
		.adapt = adapt};
	for (unsigned step = 0; step < STEPS; step++) {
		bool zero = start == START_ZERO_BOTH || (start == START_ZERO_GRAD && step % 3 != 2);
		memset(t->grad, 0, sizeof t->grad);
		if (!zero)
			helper_fill(t->grad, count, 1000 + step);
		reference_step(config, t, count, adapt, rate_at(step), step);
		optimizer_update(config, &tensor, rate_at(step), step);
		double off = 0, size = 0;
		for (size_t i = 0; i < count; i++) {
			off += pow((double)t->value[i] - t->value64[i], 2);
			size += pow(t->value64[i], 2);
		}
		if (!(sqrt(off) <= 5e-6 * sqrt(size)))
			fail_msg("%s, %zu values, adapt %d, start %d, step %u: off by %.2g of %.2g",
				names[config->kind], count, adapt, (int)start, step, sqrt(off), sqrt(size));
	}
	free(t);
}

static void test_formulas(void **state)
{
	(void)state;
	static const size_t counts[] = {1, 7, 8, 9, 64, 1031};
	for (size_t k = 0; k < 3; k++)
		for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
			for (int adapt = 0; adapt < 2; adapt++)
				run_against_reference(&configs[k], counts[c], adapt, START_RANDOM);
}

static void test_zero_norms(void **state)
{
	(void)state;
	for (size_t k = 0; k < 3; k++)
		for (int adapt = 0; adapt < 2; adapt++)
			for (int start = START_ZERO_VALUE; start <= START_ZERO_BOTH; start++)
				run_against_reference(&configs[k], 33, adapt, (enum start)start);
}

/* Without decay and with a zero gradient both norms meet their special case: trust 1, nothing moves. */
static void test_zero_gradient_stands_still(void **state)
{
	(void)state;
	struct optimizer_config config = configs[OPTIMIZER_LARS];
	config.weight_decay = 0;
	float value[5] = {1, -2, 3, 0, 5}, grad[5] = {0}, first[5] = {0};
	struct optimizer_tensor tensor = {.value = value, .grad = grad, .first = first, .count = 5, .adapt = true};
	optimizer_update(&config, &tensor, 1, 0);
	static const float same[5] = {1, -2, 3, 0, 5};
	assert_memory_equal(value, same, sizeof same);
}

/* LARS forgets the gradient's scale where trust applies, and only there. */
static void test_trust_is_scale_free(void **state)
{
	(void)state;
	struct optimizer_config config = configs[OPTIMIZER_LARS];
	config.weight_decay = 0;
	for (int adapt = 0; adapt < 2; adapt++) {
		float moved[2];
		for (int scale = 0; scale < 2; scale++) {
			float value[2] = {3, 4}, grad[2] = {0, scale ? 1024.0f : 1.0f}, first[2] = {0};
			struct optimizer_tensor tensor = {
				.value = value, .grad = grad, .first = first, .count = 2, .adapt = adapt};
			optimizer_update(&config, &tensor, 0.5, 0);
			assert_true(value[0] == 3);
			moved[scale] = first[1];
		}
		/* 0.5 * 0.001 * |(3, 4)| against 0.5 g */
		assert_true(moved[0] == (adapt ? 0.0025f : 0.5f));
		assert_true(moved[1] == (adapt ? 0.0025f : 512.0f));
	}
}

/* Values that PyTorch gave in float64 (tests/golden/make_loss.py). */
static void test_golden(void **state)
{
	(void)state;
	static const char *const kinds[] = {"LARS", "SGD", "Adam"};
	for (size_t k = 0; k < sizeof golden_train / sizeof *golden_train; k++) {
		const struct golden_train *golden = &golden_train[k];
		size_t kind = 0;
		while (strcmp(kinds[kind], golden->kind) != 0)
			kind++;
		float value[12] = {0}, grad[12] = {0}, first[12] = {0}, second[12] = {0};
		struct optimizer_tensor tensor = {.value = value,
			.grad = grad,
			.first = first,
			.second = second,
			.count = 12,
			.adapt = golden->adapt};
		helper_fill(value, 12, golden->seed);
		for (unsigned step = 0; step < STEPS; step++) {
			helper_fill(grad, 12, golden->seed + 1 + step);
			optimizer_update(&configs[kind], &tensor, rate_at(step), step);
		}
		double off = helper_relative(value, golden->value, 12);
		if (!(off < 2e-6))
			fail_msg("%s, adapt %d: off by %.2g", golden->kind, golden->adapt, off);
	}
}

/* A net's parameters, through the interface that training uses. */
static void test_net(void **state)
{
	(void)state;
	struct error err = {0};
	struct arena *arena = arena_create(0, &err);
	assert_non_null(arena);
	struct net_config shape = {
		.depth = 18, .width = 0.125f, .size = 8, .head = NET_HEAD_MLP2, .max_rows = 4, .training = true};
	struct net *net = net_create(arena, &shape, 1, &err);
	assert_non_null(net);
	net_init(net, 1);
	for (size_t k = 0; k < 3; k++) {
		struct optimizer *optimizer = optimizer_create(arena, net, &configs[k], &err);
		assert_non_null(optimizer);
		size_t params = net_param_count(net), per = k == OPTIMIZER_ADAM ? 2 : 1;
		assert_true(params > 0);
		assert_int_equal(optimizer_state_count(optimizer), params * per);
		for (size_t i = 0; i < params; i++) {
			struct param *param = net_param(net, i);
			char name[96], want[96];
			float *value;
			size_t count;
			float *expected = calloc(param->count, sizeof(float)),
			      *grad = calloc(param->count, sizeof(float));
			float *moments = calloc(2 * param->count, sizeof(float));
			assert_true(expected && grad && moments);
			helper_fill(param->grad, param->count, (uint32_t)i);
			memcpy(expected, param->value, param->count * sizeof(float));
			memcpy(grad, param->grad, param->count * sizeof(float));
			struct optimizer_tensor tensor = {.value = expected,
				.grad = grad,
				.first = moments,
				.second = moments + param->count,
				.count = param->count,
				.adapt = param->kind == PARAM_CONV || param->kind == PARAM_DENSE};
			optimizer_update(&configs[k], &tensor, 0.1, 0);
			optimizer_apply(optimizer, i, 0.1, 0);
			assert_memory_equal(expected, param->value, param->count * sizeof(float));
			optimizer_state(optimizer, i * per, name, &value, &count);
			snprintf(want, sizeof want, "%s.%s", k == OPTIMIZER_ADAM ? "adam_m" : "momentum", param->name);
			assert_string_equal(name, want);
			assert_int_equal(count, param->count);
			assert_memory_equal(value, moments, count * sizeof(float));
			if (k == OPTIMIZER_ADAM) {
				optimizer_state(optimizer, i * per + 1, name, &value, &count);
				snprintf(want, sizeof want, "adam_v.%s", param->name);
				assert_string_equal(name, want);
				assert_memory_equal(value, moments + count, count * sizeof(float));
			}
			free(expected);
			free(grad);
			free(moments);
		}
	}
	arena_destroy(arena);
}

static void test_parse(void **state)
{
	(void)state;
	struct error err = {0};
	enum optimizer_kind kind;
	for (int k = 0; k < 3; k++) {
		assert_int_equal(optimizer_parse(names[k], &kind, &err), 0);
		assert_int_equal(kind, k);
	}
	assert_int_equal(optimizer_parse("LARS", &kind, &err), ERROR_USAGE);
	assert_non_null(strstr(err.message, "LARS"));
	assert_non_null(strstr(err.message, "lars, sgd or adam"));
}

static int dump(const char *dir)
{
	enum { COUNT = 60 };
	static float grads[STEPS][COUNT];
	for (unsigned kind = 0; kind < 3; kind++)
		for (unsigned dims = 1; dims <= 2; dims++) {
			char name[64];
			float value[COUNT], grad[COUNT], first[COUNT] = {0}, second[COUNT] = {0};
			struct optimizer_tensor tensor = {.value = value,
				.grad = grad,
				.first = first,
				.second = second,
				.count = COUNT,
				.adapt = dims > 1};
			helper_fill(value, COUNT, 5 + kind);
			snprintf(name, sizeof name, "%s_%u.start", names[kind], dims);
			helper_dump(dir, name, value, sizeof value);
			for (unsigned step = 0; step < STEPS; step++) {
				helper_fill(grad, COUNT, 100 * (kind + 3 * dims) + step);
				memcpy(grads[step], grad, sizeof grad);
				optimizer_update(&configs[kind], &tensor, rate_at(step), step);
			}
			snprintf(name, sizeof name, "%s_%u.grads", names[kind], dims);
			helper_dump(dir, name, grads, sizeof grads);
			snprintf(name, sizeof name, "%s_%u.end", names[kind], dims);
			helper_dump(dir, name, value, sizeof value);
		}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--dump") == 0)
		return dump(argv[2]);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formulas),
		cmocka_unit_test(test_zero_norms),
		cmocka_unit_test(test_zero_gradient_stands_still),
		cmocka_unit_test(test_trust_is_scale_free),
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_net),
		cmocka_unit_test(test_parse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
