/* SPDX-License-Identifier: Apache-2.0 */
/*
 * However a net computes, the result is the same: the same bits on any team, and whether activations are kept or made
 * again; in bf16, what its roundings allow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/cpu.h"
#include "tests/helper_net.h"

static struct net_config small(unsigned depth, enum net_stem stem, enum net_head head)
{
	return (struct net_config){.depth = depth,
		.width = 0.125f,
		.size = stem == NET_STEM_IMAGENET ? 33 : 9,
		.stem = stem,
		.head = head,
		.head_dim = 12,
		.max_rows = 10,
		.training = true,
		.isa = cpu_detect()};
}

static uint64_t step_digest(struct net_config config, unsigned threads)
{
	struct net_fixture f;
	struct net_data data;
	net_fixture_create(&f, &config, threads);
	net_data_make(&data, f.net, &config);
	helper_randomise(f.net, 3);
	net_data_loss(&f, &data, config.max_rows);
	net_backward(f.net, f.team, data.dz, NULL, NULL);
	uint64_t hash = net_digest(f.net, config.max_rows);
	net_data_free(&data);
	net_fixture_destroy(&f);
	return hash;
}

static void test_any_team(void **state)
{
	(void)state;
	struct net_config config = small(50, NET_STEM_IMAGENET, NET_HEAD_MLP2);
	config.max_rows = 70;
	uint64_t one = step_digest(config, 1);
	assert_true(step_digest(config, 2) == one);
	assert_true(step_digest(config, 3) == one);
	assert_true(step_digest(config, 8) == one);
	config.precision = PRECISION_BF16;
	uint64_t halved = step_digest(config, 1);
	assert_true(halved != one);
	assert_true(step_digest(config, 3) == halved);
}

/* What is made again in backward is what was there, and memory that tensors share is never in use twice: any slip would
 * change bits. */
static void test_recompute(void **state)
{
	(void)state;
	const unsigned depths[] = {18, 34, 50};
	for (size_t i = 0; i < 12; i++) {
		struct net_config config = small(depths[i % 3], i % 2 == 0 ? NET_STEM_CIFAR : NET_STEM_IMAGENET,
			i % 4 == 3 ? NET_HEAD_NONE : NET_HEAD_MLP2);
		config.precision = i < 6 ? PRECISION_FP32 : PRECISION_BF16;
		config.recompute = NET_KEEP_ALL;
		uint64_t kept = step_digest(config, 2);
		config.recompute = NET_RECOMPUTE;
		assert_true(step_digest(config, 2) == kept);
		config.recompute = NET_RECOMPUTE_AUTO;
		assert_true(step_digest(config, 2) == kept);
	}
}

/* Leaves z and all gradients of a step, one behind the other; returns their number. */
static size_t run_step(struct net_config config, float **out)
{
	struct net_fixture f;
	struct net_data data;
	net_fixture_create(&f, &config, 2);
	net_data_make(&data, f.net, &config);
	helper_randomise(f.net, 3);
	/* Blocks that add little to what they get: a net that does not blow rounding up. */
	for (size_t i = 0; i < net_param_count(f.net); i++) {
		struct param *param = net_param(f.net, i);
		for (size_t k = 0; strstr(param->name, ".bn2.weight") != NULL && k < param->count; k++)
			param->value[k] *= 0.1f;
	}
	net_data_loss(&f, &data, config.max_rows);
	helper_net_fill(data.dz, data.z_count, 77, -1.0f, 1.0f);
	net_backward(f.net, f.team, data.dz, NULL, NULL);
	size_t count = data.z_count;
	for (size_t i = 0; i < net_param_count(f.net); i++)
		count += net_param(f.net, i)->count;
	*out = malloc(count * sizeof(float));
	assert_non_null(*out);
	memcpy(*out, net_output(f.net), data.z_count * sizeof(float));
	count = data.z_count;
	for (size_t i = 0; i < net_param_count(f.net); i++) {
		memcpy(*out + count, net_param(f.net, i)->grad, net_param(f.net, i)->count * sizeof(float));
		count += net_param(f.net, i)->count;
	}
	net_data_free(&data);
	net_fixture_destroy(&f);
	return count;
}

static void compare_steps(struct net_config one, struct net_config two, double z_most, double grad_most)
{
	float *found, *from;
	size_t count = run_step(one, &found), z_count = (size_t)one.max_rows * one.head_dim;
	assert_int_equal(run_step(two, &from), count);
	double *expected = malloc(count * sizeof(double));
	for (size_t k = 0; k < count; k++)
		expected[k] = (double)from[k];
	double z = helper_distance(found, expected, z_count);
	double grad = helper_distance(found + z_count, expected + z_count, count - z_count);
	if (getenv("NET_VERBOSE"))
		fprintf(stderr, "resnet%u, conv %d: z %g, gradients %g off\n", one.depth, (int)one.conv, z, grad);
	assert_true(z <= z_most);
	assert_true(grad <= grad_most);
	free(expected);
	free(found);
	free(from);
}

/* In bf16 a step equals the scalar reference's in bf16 but for the few numbers that round the other way, which so
 * narrow a net and its last BN blow up: z is 0.012 off, gradients 0.09. Against fp32 they are 0.03 and 0.33; PyTorch's
 * autocast of a ResNet-18 with such weights is 0.045 and 0.33 off. What one layer loses is test_conv's to hold. */
static void test_bf16(void **state)
{
	(void)state;
	for (int stem = NET_STEM_CIFAR; stem <= NET_STEM_IMAGENET; stem++) {
		struct net_config config = small(18, (enum net_stem)stem, NET_HEAD_MLP2);
		config.max_rows = 64;
		struct net_config reference = config, single = config;
		config.precision = reference.precision = PRECISION_BF16;
		reference.reference = true;
		config.conv = CONV_CHOICE_DIRECT;
		compare_steps(config, reference, 0.03, 0.2);
		config.conv = CONV_CHOICE_WINOGRAD;
		compare_steps(config, single, 0.06, 0.4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_team),
		cmocka_unit_test(test_recompute),
		cmocka_unit_test(test_bf16),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
