/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BN statistics and coefficients against float64 formulas, with channels far from zero, constant channels, single
 * pixels; tiles and tasks of any size give what one block gives; running statistics as PyTorch keeps them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/batchnorm.h"
#include "pipeline/cpu.h"
#include "tests/helper_net.h"

enum { CHANNELS = 37, PIXELS = 3000 };

struct fixture {
	struct arena *arena;
	struct workspace workspace;
	struct param gamma, beta;
	struct net_buffer mean, variance;
	struct batchnorm bn;
	float values[6][CHANNELS]; /* gamma, beta, their gradients, running mean and variance */
	float lanes[3 * CHANNELS];
	float *y;
};

static void setup(struct fixture *f, enum cpu_isa isa)
{
	struct error err = {0};
	memset(f, 0, sizeof *f);
	f->arena = arena_create(0, &err);
	assert_non_null(f->arena);
	f->workspace.kernels = kernels_for(isa);
	f->workspace.channels_max = CHANNELS + 5;
	f->workspace.weight_bytes = 1;
	assert_int_equal(workspace_alloc(&f->workspace, f->arena, 1, &err), 0);
	f->gamma = (struct param){.count = CHANNELS, .value = f->values[0], .grad = f->values[2]};
	f->beta = (struct param){.count = CHANNELS, .value = f->values[1], .grad = f->values[3]};
	f->mean = (struct net_buffer){.count = CHANNELS, .value = f->values[4]};
	f->variance = (struct net_buffer){.count = CHANNELS, .value = f->values[5]};
	f->bn = (struct batchnorm){.channels = CHANNELS,
		.gamma = &f->gamma,
		.beta = &f->beta,
		.running_mean = &f->mean,
		.running_var = &f->variance};
	assert_int_equal(batchnorm_alloc(&f->bn, f->arena, true, &err), 0);
	helper_net_fill(f->values[0], CHANNELS, 1, 0.5f, 1.5f);
	helper_net_fill(f->values[1], CHANNELS, 2, -0.5f, 0.5f);
	helper_net_fill(f->values[4], CHANNELS, 3, -0.5f, 0.5f);
	helper_net_fill(f->values[5], CHANNELS, 4, 0.5f, 1.5f);
	f->y = malloc(PIXELS * CHANNELS * sizeof(float));
	assert_non_null(f->y);
	helper_net_fill(f->y, PIXELS * CHANNELS, 5, -1.0f, 1.0f);
	for (size_t i = 0; i < PIXELS * CHANNELS; i++) {
		if (i % CHANNELS == 3)
			f->y[i] += 1000.0f; /* mean 1700 deviations from zero */
		if (i % CHANNELS == 4)
			f->y[i] = -7.25f;
		if (i % CHANNELS == 5)
			f->y[i] *= 1e-4f; /* variance below epsilon */
	}
}

static void teardown(struct fixture *f)
{
	free(f->y);
	arena_destroy(f->arena);
}

/* Feeds `pixels` in tiles of `tile` over `tasks` tasks. */
static void feed(struct fixture *f, size_t pixels, size_t tile, size_t tasks)
{
	float *stored = malloc(pixels * CHANNELS * sizeof(float));
	assert_non_null(stored);
	for (size_t t = 0; t < tasks; t++) {
		size_t first = pixels * t / tasks, end = pixels * (t + 1) / tasks;
		batchnorm_clear(&f->workspace, t, CHANNELS);
		for (size_t p = first; p < end; p += tile)
			batchnorm_store_tile(&f->workspace, t,
				tensor_at((struct tensor){stored, ELEMENT_FP32}, p * CHANNELS), f->y + p * CHANNELS,
				end - p < tile ? end - p : tile, CHANNELS, f->lanes);
	}
	assert_memory_equal(stored, f->y, pixels * CHANNELS * sizeof(float));
	free(stored);
	batchnorm_close(&f->bn, &f->workspace, tasks);
}

static void reference(const float *y, size_t pixels, size_t c, double *mean, double *variance)
{
	*mean = *variance = 0.0;
	for (size_t p = 0; p < pixels; p++)
		*mean += (double)y[p * CHANNELS + c] / (double)pixels;
	for (size_t p = 0; p < pixels; p++)
		*variance += pow((double)y[p * CHANNELS + c] - *mean, 2.0) / (double)pixels;
}

static void check_near(const char *what, size_t c, double found, double expected, double most)
{
	if (!(fabs(found - expected) <= most))
		fail_msg("channel %zu: %s %.9g, expected %.9g", c, what, found, expected);
}

static void check_forward(enum cpu_isa isa, size_t pixels, size_t tile, size_t tasks)
{
	struct fixture f;
	float before[2][CHANNELS];
	setup(&f, isa);
	memcpy(before[0], f.values[4], sizeof before[0]);
	memcpy(before[1], f.values[5], sizeof before[1]);
	feed(&f, pixels, tile, tasks);
	for (size_t c = 0; c < CHANNELS; c++) {
		double mean, variance;
		reference(f.y, pixels, c, &mean, &variance);
		double unbiased = variance * (double)pixels / (double)(pixels > 1 ? pixels - 1 : 1);
		double ulp = 1e-7 * fabs(mean); /* of the float that holds the mean */
		check_near("mean", c, (double)f.bn.mean[c], mean, ulp + 1e-6 * sqrt(variance));
		check_near("1 / deviation", c, f.bn.inv_std[c] * sqrt(variance + 1e-5), 1.0, 2e-6);
		check_near("scale", c, (double)f.bn.scale[c], (double)f.values[0][c] / sqrt(variance + 1e-5),
			2e-6 * (double)f.bn.scale[c]);
		check_near("shift", c, (double)f.bn.shift[c], (double)f.values[1][c], 0.0);
		check_near(
			"running mean", c, (double)f.values[4][c], 0.9 * (double)before[0][c] + 0.1 * mean, 1e-7 + ulp);
		check_near("running variance", c, (double)f.values[5][c], 0.9 * (double)before[1][c] + 0.1 * unbiased,
			2e-7);
	}
	teardown(&f);
}

static void test_forward(void **state)
{
	(void)state;
	for (enum cpu_isa isa = CPU_PORTABLE; isa <= cpu_detect(); isa++) {
		check_forward(isa, PIXELS, PIXELS, 1);
		check_forward(isa, PIXELS, 64, 1);
		check_forward(isa, PIXELS, 300, 7);
		check_forward(isa, PIXELS, 1, 64);
		check_forward(isa, 1, 1, 1);
		check_forward(isa, 2, 1, 2);
		check_forward(isa, 257, 257, 1);
	}
}

static void test_running(void **state)
{
	struct fixture f;
	(void)state;
	setup(&f, cpu_detect());
	batchnorm_use_running(&f.bn);
	for (size_t c = 0; c < CHANNELS; c++) {
		check_near("mean", c, (double)f.bn.mean[c], (double)f.values[4][c], 0.0);
		check_near("scale", c, (double)f.bn.scale[c],
			(double)f.values[0][c] / sqrt((double)f.values[5][c] + 1e-5), 1e-6);
	}
	f.bn.beta = NULL; /* the head's last */
	batchnorm_use_running(&f.bn);
	check_near("shift without beta", 0, (double)f.bn.shift[0], 0.0, 0.0);
	teardown(&f);
}

/* dgamma, dbeta and dy against the formulas in float64; dy's own sums over the batch are zero. */
static void check_backward(enum cpu_isa isa, size_t pixels, size_t tile)
{
	struct fixture f;
	setup(&f, isa);
	feed(&f, pixels, pixels, 1);
	float *dz = malloc(PIXELS * CHANNELS * sizeof(float)), *dy = malloc(PIXELS * CHANNELS * sizeof(float));
	helper_net_fill(dz, PIXELS * CHANNELS, 6, -1.0f, 1.5f);
	batchnorm_clear(&f.workspace, 0, CHANNELS);
	for (size_t p = 0; p < pixels; p += tile) {
		struct finish_job job = {
			.g = dz + p * CHANNELS,
			.dx = {dy, ELEMENT_FP32},
			.y = {f.y + p * CHANNELS, ELEMENT_FP32},
			.mean = f.bn.mean,
			.s1 = f.lanes,
			.s2 = f.lanes + CHANNELS,
			.pixels = pixels - p < tile ? pixels - p : tile,
			.channels = CHANNELS,
		};
		f.workspace.kernels->passes->finish(&job);
		batchnorm_add_sums(&f.workspace, 0, f.lanes, 2, CHANNELS);
	}
	batchnorm_close_backward(&f.bn, &f.workspace, 1, 1, (double)pixels);
	f.workspace.kernels->passes->bn_backward((struct tensor){dy, ELEMENT_FP32}, CHANNELS,
		(struct tensor){dz, ELEMENT_FP32}, (struct tensor){f.y, ELEMENT_FP32}, CHANNELS,
		batchnorm_backward(&f.bn), pixels, CHANNELS);
	for (size_t c = 0; c < CHANNELS; c++) {
		double mean, variance, sum = 0.0, cross = 0.0, n = (double)pixels, size = sqrt(n);
		reference(f.y, pixels, c, &mean, &variance);
		double inv = 1.0 / sqrt(variance + 1e-5);
		for (size_t p = 0; p < pixels; p++) {
			sum += (double)dz[p * CHANNELS + c];
			cross += (double)dz[p * CHANNELS + c] * ((double)f.y[p * CHANNELS + c] - mean) * inv;
		}
		double wide = c == 3 ? 100.0 : 1.0; /* y itself is rounded to 1 / 16000 of its deviation */
		check_near("dbeta", c, (double)f.values[3][c], sum, 1e-6 * size + 5e-7 * fabs(sum));
		check_near("dgamma", c, (double)f.values[2][c], cross, wide * 2e-6 * size);
		double scale = (double)f.values[0][c] * inv;
		for (size_t p = 0; p < pixels; p++) {
			size_t i = p * CHANNELS + c;
			double xhat = ((double)f.y[i] - mean) * inv;
			double expected = scale * ((double)dz[i] - sum / n - xhat * cross / n);
			check_near("dy", c, (double)dy[i], expected, wide * 1e-6 * scale);
		}
	}
	free(dz);
	free(dy);
	teardown(&f);
}

static void test_backward(void **state)
{
	(void)state;
	for (enum cpu_isa isa = CPU_PORTABLE; isa <= cpu_detect(); isa++) {
		check_backward(isa, PIXELS, 256);
		check_backward(isa, 10, 3);
		check_backward(isa, 1, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_running),
		cmocka_unit_test(test_backward),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
