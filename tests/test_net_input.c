/* SPDX-License-Identifier: Apache-2.0 */
/* A net that normalises its images: the same bits, forward and backward, as one that is fed normalised images. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/cpu.h"
#include "tests/helper_net.h"

enum { ROWS = 6, SIDE = 16, HEAD = 16 };

static const float mean[3] = {0.485F, 0.456F, 0.406F}, deviation[3] = {0.229F, 0.224F, 0.225F};

static struct net_config small_net(unsigned depth, enum net_stem stem, bool normalizes)
{
	struct net_config config = {
		.depth = depth,
		.width = 0.125F,
		.size = SIDE,
		.stem = stem,
		.head = NET_HEAD_MLP2,
		.head_dim = HEAD,
		.max_rows = ROWS,
		.training = true,
		.isa = cpu_detect(),
	};
	if (normalizes) {
		memcpy(config.input_mean, mean, sizeof mean);
		memcpy(config.input_deviation, deviation, sizeof deviation);
	}
	return config;
}

/* What a forward and a backward leave; images are normalised here where the net does not. */
static uint64_t digest_of_step(unsigned depth, enum net_stem stem, bool normalizes, unsigned threads)
{
	struct net_config config = small_net(depth, stem, normalizes);
	struct net_fixture f;
	struct net_data data;
	net_fixture_create(&f, &config, threads);
	helper_randomise(f.net, 5);
	net_data_make(&data, f.net, &config);
	for (size_t i = 0; i < data.x_count && !normalizes; i++)
		data.x[i] = (data.x[i] - mean[i % 3]) / deviation[i % 3];
	net_data_loss(&f, &data, ROWS);
	net_backward(f.net, f.team, data.dz, NULL, NULL);
	uint64_t digest = net_digest(f.net, ROWS);
	net_data_free(&data);
	net_fixture_destroy(&f);
	return digest;
}

static void test_same_as_normalized_images(void **state)
{
	(void)state;
	static const struct {
		unsigned depth;
		enum net_stem stem;
	} cases[] = {{18, NET_STEM_CIFAR}, {18, NET_STEM_IMAGENET}, {50, NET_STEM_CIFAR}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint64_t expected = digest_of_step(cases[i].depth, cases[i].stem, false, 1);
		assert_true(digest_of_step(cases[i].depth, cases[i].stem, true, 1) == expected);
		assert_true(digest_of_step(cases[i].depth, cases[i].stem, true, 3) == expected);
	}
}

/* The caller's images stay as they are: the batch's slot may be read again. */
static void test_images_untouched(void **state)
{
	(void)state;
	struct net_config config = small_net(18, NET_STEM_CIFAR, true);
	struct net_fixture f;
	struct net_data data;
	net_fixture_create(&f, &config, 2);
	net_init(f.net, 1);
	net_data_make(&data, f.net, &config);
	float *copy = malloc(data.x_count * sizeof *copy);
	assert_non_null(copy);
	memcpy(copy, data.x, data.x_count * sizeof *copy);
	net_data_loss(&f, &data, ROWS);
	assert_memory_equal(copy, data.x, data.x_count * sizeof *copy);
	free(copy);
	net_data_free(&data);
	net_fixture_destroy(&f);
}

static void test_refused(void **state)
{
	(void)state;
	static const float wrong[][6] = {{0.5F, 0.5F, 0.5F, 1, 0, 1}, {0.5F, 0.5F, 0.5F, 1, 1, -1},
		{0, 0, 0, 1, 1, INFINITY}, {NAN, 0, 0, 1, 1, 1}, {0.5F, 0, 0, 0, 0, 0}, {0, 0, 0, NAN, 1, 1},
		{0, 0, 0, 0, 1, 0}, {0, INFINITY, 0, 1, 1, 1}};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		struct error err = {0};
		struct net_config config = small_net(18, NET_STEM_CIFAR, false);
		memcpy(config.input_mean, wrong[i], sizeof config.input_mean);
		memcpy(config.input_deviation, wrong[i] + 3, sizeof config.input_deviation);
		struct arena *arena = arena_create(0, &err);
		assert_non_null(arena);
		assert_null(net_create(arena, &config, 1, &err));
		assert_int_equal(err.code, ERROR_USAGE);
		assert_non_null(strstr(err.message, "normalisation"));
		arena_destroy(arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_normalized_images),
		cmocka_unit_test(test_images_untouched),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
