/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole nets: directional derivatives by central differences for every kind of block, stem and head; evaluation changes
 * nothing; gradients announced once, in the promised order, and none depends on a value
 * changed after its announcement; evaluation nets in shared memory agree with training nets.
 *
 * `test_net --run FOLDER` runs a net on tensors from files instead: tests/test_torch_net.py compares it with PyTorch.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/cpu.h"
#include "tests/helper_net.h"
#include "tests/helper_net64.h"

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

/* ----------------------------------------------------------------------------------------------- finite differences */

/* The derivative of the float64 net's loss along the direction. The step is far below the distance of most activations
 * to their ReLU's kink, and far above float64's noise. */
static double slope(const struct net64 *twin, const struct net_data *data, struct param *param, const float *direction)
{
	const double step = 1e-8;
	double up = net64_loss(twin, data->x, data->target, &(struct net64_move){param, direction, step});
	double down = net64_loss(twin, data->x, data->target, &(struct net64_move){param, direction, -step});
	return (up - down) / (2.0 * step);
}

/* Blocks that are built like one before them: they would only cost time. */
static bool is_repeat(const char *name)
{
	const char *block = strncmp(name, "layer", 5) == 0 ? strchr(name, '.') : NULL;
	return block != NULL && (block[1] > '1' || strncmp(name, "layer3", 6) == 0);
}

/*
 * For every parameter: along a direction made of the gradient's own signs and random sizes, the loss of a naive float64
 * net must change by <gradient, direction>: a sum without cancellation, so that a wrong or missing part of any element
 * shows. A gradient that is zero in exact arithmetic (a beta whose shift the next BN takes away) leaves rounding only:
 * hence the floor, relative to the loss. Measured, on any instruction set: 1e-6 at the median, 1e-5 at worst; where one
 * ReLU falls on the other side of zero in float, a few 1e-4.
 */
static void check_derivatives(struct net_config config)
{
	struct net_fixture f;
	struct net_data data;
	net_fixture_create(&f, &config, 2);
	net_data_make(&data, f.net, &config);
	helper_randomise(f.net, 7);
	struct net64 twin = {f.net, config};
	double loss = net_data_loss(&f, &data, config.max_rows);
	double loss64 = net64_loss(&twin, data.x, data.target, NULL);
	if (!(fabs(loss - loss64) <= 1e-5 * loss64))
		fail_msg("loss %.9g, in float64 %.9g", loss, loss64);
	net_backward(f.net, f.team, data.dz, NULL, NULL);
	for (size_t i = 0; i < net_param_count(f.net); i++) {
		struct param *param = net_param(f.net, i);
		if (is_repeat(param->name))
			continue;
		float *direction = malloc(param->count * sizeof(float));
		assert_non_null(direction);
		helper_net_fill(direction, param->count, 5000 + i, 0.1f, 1.0f);
		double expected = 0.0;
		for (size_t k = 0; k < param->count; k++) {
			if (param->grad[k] < 0.0f)
				direction[k] = -direction[k];
			expected += (double)param->grad[k] * (double)direction[k];
		}
		double found = slope(&twin, &data, param, direction);
		if (getenv("NET_VERBOSE"))
			fprintf(stderr, "%-32s %g %g  %g\n", param->name, expected, found, found / expected - 1.0);
		if (!(fabs(found - expected) <= 1e-3 * expected + 1e-5 * loss))
			fail_msg("%s: the loss rises by %g along a direction, its gradient says %g", param->name, found,
				expected);
		free(direction);
	}
	net_data_free(&data);
	net_fixture_destroy(&f);
}

static void test_derivatives_basic(void **state)
{
	(void)state;
	check_derivatives(small(18, NET_STEM_CIFAR, NET_HEAD_MLP2));
}

static void test_derivatives_winograd(void **state)
{
	(void)state;
	struct net_config config = small(18, NET_STEM_CIFAR, NET_HEAD_MLP2);
	config.conv = CONV_CHOICE_WINOGRAD;
	config.recompute = NET_RECOMPUTE;
	check_derivatives(config);
}

static void test_derivatives_basic_imagenet(void **state)
{
	(void)state;
	check_derivatives(small(18, NET_STEM_IMAGENET, NET_HEAD_MLP3));
}

static void test_derivatives_bottleneck(void **state)
{
	(void)state;
	struct net_config config = small(50, NET_STEM_CIFAR, NET_HEAD_LINEAR);
	config.size = 8;
	config.max_rows = 24; /* deeper, so worse conditioned with few rows in its last BNs */
	check_derivatives(config);
}

static void test_derivatives_no_head(void **state)
{
	(void)state;
	check_derivatives(small(18, NET_STEM_CIFAR, NET_HEAD_NONE));
}

static void test_derivatives_classifier(void **state)
{
	(void)state;
	check_derivatives(small(18, NET_STEM_CIFAR, NET_HEAD_CLASSIFIER));
	struct net_config config = small(18, NET_STEM_CIFAR, NET_HEAD_HIDDEN_CLASSIFIER);
	config.recompute = NET_RECOMPUTE;
	check_derivatives(config);
}

/* -------------------------------------------------------------------------------------------------------- behaviour */

static void test_evaluation_changes_nothing(void **state)
{
	struct net_fixture f;
	struct net_data data;
	(void)state;
	struct net_config config = small(18, NET_STEM_CIFAR, NET_HEAD_MLP2);
	net_fixture_create(&f, &config, 2);
	net_data_make(&data, f.net, &config);
	helper_randomise(f.net, 4);
	net_data_loss(&f, &data, config.max_rows); /* running statistics other than 0 and 1 */
	net_backward(f.net, f.team, data.dz, NULL, NULL);
	uint64_t before = 0, after = 0;
	for (size_t i = 0; i < net_param_count(f.net); i++)
		before = net_digest_floats(before, net_param(f.net, i)->value, net_param(f.net, i)->count);
	for (size_t i = 0; i < net_buffer_count(f.net); i++)
		before = net_digest_floats(before, net_buffer(f.net, i)->value, net_buffer(f.net, i)->count);
	net_forward(f.net, f.team, data.x, config.max_rows, NET_EVAL, true);
	for (size_t i = 0; i < net_param_count(f.net); i++)
		after = net_digest_floats(after, net_param(f.net, i)->value, net_param(f.net, i)->count);
	for (size_t i = 0; i < net_buffer_count(f.net); i++)
		after = net_digest_floats(after, net_buffer(f.net, i)->value, net_buffer(f.net, i)->count);
	assert_true(before == after);

	/* A row's result does not depend on the batch around it. */
	size_t dim = net_output_dim(f.net);
	float *z = malloc(data.z_count * sizeof(float)), *h = malloc(net_feature_dim(f.net) * sizeof(float));
	memcpy(z, net_output(f.net), data.z_count * sizeof(float));
	net_forward(f.net, f.team, data.x + 3 * data.x_count / config.max_rows, 1, NET_EVAL, true);
	assert_memory_equal(net_output(f.net), z + 3 * dim, dim * sizeof(float));
	memcpy(h, net_features(f.net), net_feature_dim(f.net) * sizeof(float));

	/* Without the head, h is the same. */
	net_forward(f.net, f.team, data.x, 1, NET_EVAL, false);
	net_forward(f.net, f.team, data.x + 3 * data.x_count / config.max_rows, 1, NET_EVAL, false);
	assert_memory_equal(net_features(f.net), h, net_feature_dim(f.net) * sizeof(float));
	free(z);
	free(h);
	net_data_free(&data);
	net_fixture_destroy(&f);
}

/* A net made for evaluation shares memory between layers; its results are those of the training net. */
static void test_evaluation_net(void **state)
{
	(void)state;
	const unsigned depths[] = {18, 50, 18};
	const enum net_head heads[] = {NET_HEAD_MLP2, NET_HEAD_MLP2, NET_HEAD_HIDDEN_CLASSIFIER};
	for (size_t d = 0; d < 3; d++) {
		struct net_fixture train, eval;
		struct net_data data;
		struct net_config config = small(depths[d], d == 0 ? NET_STEM_CIFAR : NET_STEM_IMAGENET, heads[d]);
		net_fixture_create(&train, &config, 2);
		net_data_make(&data, train.net, &config);
		config.training = false;
		net_fixture_create(&eval, &config, 2);
		assert_true(arena_used_bytes(eval.arena) < arena_used_bytes(train.arena) / 2);
		helper_randomise(train.net, 5);
		net_data_loss(&train, &data, config.max_rows);
		for (size_t i = 0; i < net_param_count(eval.net); i++) {
			assert_null(net_param(eval.net, i)->grad);
			memcpy(net_param(eval.net, i)->value, net_param(train.net, i)->value,
				net_param(eval.net, i)->count * sizeof(float));
		}
		for (size_t i = 0; i < net_buffer_count(eval.net); i++)
			memcpy(net_buffer(eval.net, i)->value, net_buffer(train.net, i)->value,
				net_buffer(eval.net, i)->count * sizeof(float));
		net_forward(train.net, train.team, data.x, config.max_rows, NET_EVAL, true);
		net_forward(eval.net, eval.team, data.x, config.max_rows, NET_EVAL, true);
		assert_memory_equal(net_output(eval.net), net_output(train.net), data.z_count * sizeof(float));
		assert_memory_equal(net_features(eval.net), net_features(train.net),
			config.max_rows * net_feature_dim(eval.net) * sizeof(float));

		/* The head afterwards is the head at once. */
		memcpy(data.dz, net_output(train.net), data.z_count * sizeof(float));
		net_forward(eval.net, eval.team, data.x, config.max_rows, NET_EVAL, false);
		memset((float *)net_output(eval.net), 0, data.z_count * sizeof(float));
		net_forward_head(eval.net, eval.team);
		assert_memory_equal(net_output(eval.net), data.dz, data.z_count * sizeof(float));
		net_data_free(&data);
		net_fixture_destroy(&train);
		net_fixture_destroy(&eval);
	}
}

struct announcements {
	struct net *net;
	size_t count, stop_after; /* 0: never */
	bool spoil;
	uint64_t hash;
};

static int announced(void *ctx, size_t index)
{
	struct announcements *a = ctx;
	struct param *param = net_param(a->net, index);
	assert_int_equal(index, net_backward_order(a->net)[a->count]);
	a->count++;
	a->hash = net_digest_floats(a->hash, param->grad, param->count);
	for (size_t k = 0; a->spoil && k < param->count; k++)
		param->value[k] = nanf("");
	return a->count == a->stop_after ? 42 : 0;
}

/* The optimizer may overwrite a value as soon as its gradient is announced: here it writes NaN. */
static void test_announcements(void **state)
{
	const enum net_head heads[] = {NET_HEAD_NONE, NET_HEAD_LINEAR, NET_HEAD_MLP2, NET_HEAD_MLP3,
		NET_HEAD_CLASSIFIER, NET_HEAD_HIDDEN_CLASSIFIER};
	(void)state;
	for (size_t h = 0; h < sizeof heads / sizeof heads[0]; h++) {
		struct net_fixture f;
		struct net_data data;
		struct net_config config =
			small(h % 2 == 0 ? 18 : 50, h < 2 ? NET_STEM_CIFAR : NET_STEM_IMAGENET, heads[h]);
		config.recompute = NET_KEEP_ALL; /* several backwards after one forward */
		net_fixture_create(&f, &config, 2);
		net_data_make(&data, f.net, &config);
		helper_randomise(f.net, 6);
		net_data_loss(&f, &data, config.max_rows);
		struct announcements calm = {.net = f.net}, spoiled = {.net = f.net, .spoil = true};
		struct announcements stopped = {.net = f.net, .stop_after = 5};
		assert_int_equal(net_backward(f.net, f.team, data.dz, announced, &stopped), 42);
		assert_int_equal(stopped.count, 5);
		assert_int_equal(net_backward(f.net, f.team, data.dz, announced, &calm), 0);
		assert_int_equal(calm.count, net_param_count(f.net));
		bool seen[512] = {false};
		for (size_t i = 0; i < calm.count; i++) {
			assert_false(seen[net_backward_order(f.net)[i]]);
			seen[net_backward_order(f.net)[i]] = true;
		}
		uint64_t after = net_digest(f.net, config.max_rows);
		assert_int_equal(net_backward(f.net, f.team, data.dz, announced, &spoiled), 0);
		assert_true(spoiled.hash == calm.hash);			  /* complete when announced, and unspoiled */
		assert_true(net_digest(f.net, config.max_rows) == after); /* and not touched afterwards */
		net_data_free(&data);
		net_fixture_destroy(&f);
	}
}

/* A smaller batch than max_rows is a net of its own: the same bits as from a net made for it. */
static void test_fewer_rows(void **state)
{
	(void)state;
	struct net_config config = small(18, NET_STEM_CIFAR, NET_HEAD_MLP2);
	struct net_fixture large, exact;
	struct net_data data;
	net_fixture_create(&large, &config, 2);
	net_data_make(&data, large.net, &config);
	config.max_rows = 6;
	net_fixture_create(&exact, &config, 2);
	helper_randomise(large.net, 8);
	helper_randomise(exact.net, 8);
	net_data_loss(&large, &data, 10);
	helper_randomise(large.net, 8);
	net_data_loss(&large, &data, 6);
	net_backward(large.net, large.team, data.dz, NULL, NULL);
	net_data_loss(&exact, &data, 6);
	net_backward(exact.net, exact.team, data.dz, NULL, NULL);
	assert_true(net_digest(large.net, 6) == net_digest(exact.net, 6));
	net_data_free(&data);
	net_fixture_destroy(&large);
	net_fixture_destroy(&exact);
}

/* ------------------------------------------------------------------------------------------------- structure, init */

static void test_structure(void **state)
{
	const struct {
		unsigned depth;
		size_t params; /* torchvision's counts, less fc, plus the 2-layer head's 5 tensors */
		unsigned dim;
		uint64_t multiply_adds; /* 224 px, published; the head adds its own */
	} cases[] = {{18, 60 + 5, 512, 1813561344}, {34, 108 + 5, 512, 3663249408}, {50, 159 + 5, 2048, 4087136256},
		{101, 312 + 5, 2048, 7799357440}, {152, 465 + 5, 2048, 11511578624}};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct net_fixture f;
		struct net_config config = {
			.depth = cases[i].depth, .width = 1.0f, .size = 224, .head = NET_HEAD_MLP2, .max_rows = 1};
		net_fixture_create(&f, &config, 1);
		uint64_t d = cases[i].dim;
		assert_int_equal(net_param_count(f.net), cases[i].params);
		assert_int_equal(net_feature_dim(f.net), d);
		assert_int_equal(net_output_dim(f.net), 128);
		assert_int_equal(net_flops(f.net), 2 * (cases[i].multiply_adds + d * d + d * 128));
		assert_non_null(net_find_param(f.net, "layer1.0.conv1.weight"));
		assert_non_null(net_find_param(f.net, "layer2.0.downsample.0.weight"));
		assert_non_null(net_find_param(f.net, "layer4.1.bn2.bias"));
		assert_non_null(net_find_param(f.net, "head.4.weight"));
		assert_null(net_find_param(f.net, "head.4.bias"));
		assert_non_null(net_find_buffer(f.net, "layer2.0.downsample.1.running_var"));
		assert_null(net_find_buffer(f.net, "fc.weight"));
		net_fixture_destroy(&f);
	}
}

static void moments_of(const struct param *param, double *mean, double *deviation, double *largest)
{
	double sum = 0.0, square = 0.0;
	*largest = 0.0;
	for (size_t k = 0; k < param->count; k++) {
		double x = (double)param->value[k];
		sum += x;
		square += x * x;
		*largest = fmax(*largest, fabs(x));
	}
	*mean = sum / (double)param->count;
	*deviation = sqrt(square / (double)param->count - *mean * *mean);
}

static void test_init(void **state)
{
	struct net_fixture f;
	double mean, deviation, largest;
	(void)state;
	struct net_config config = {.depth = 18, .width = 1.0f, .size = 32, .head = NET_HEAD_MLP2, .max_rows = 1};
	net_fixture_create(&f, &config, 1);
	net_init(f.net, 11);
	const struct param *conv = net_find_param(f.net, "layer4.1.conv2.weight"); /* 2.4 million draws */
	double fan_in = 512 * 9;
	moments_of(conv, &mean, &deviation, &largest);
	assert_true(fabs(mean) < 4.0 / sqrt(fan_in * (double)conv->count));
	assert_true(fabs(deviation * sqrt(fan_in) - 1.0) < 0.002);
	double cut = 2.0 / 0.87962566103423978 / sqrt(fan_in); /* where the normal is truncated */
	assert_true(largest <= cut * 1.000001 && largest > 0.999 * cut);
	moments_of(net_find_param(f.net, "head.0.weight"), &mean, &deviation, &largest);
	assert_true(fabs(deviation / 0.01 - 1.0) < 0.01 && largest > 0.04);
	assert_float_equal(net_find_param(f.net, "layer1.0.bn1.weight")->value[5], 1.0f, 0.0f);
	assert_float_equal(net_find_param(f.net, "layer1.0.bn2.weight")->value[5], 0.0f, 0.0f);
	assert_float_equal(net_find_param(f.net, "layer2.0.downsample.1.weight")->value[5], 1.0f, 0.0f);
	assert_float_equal(net_find_param(f.net, "layer1.0.bn1.bias")->value[5], 0.0f, 0.0f);
	assert_float_equal(net_find_param(f.net, "head.4.weight")->value[5], 1.0f, 0.0f);
	assert_float_equal(net_find_buffer(f.net, "bn1.running_mean")->value[5], 0.0f, 0.0f);
	assert_float_equal(net_find_buffer(f.net, "bn1.running_var")->value[5], 1.0f, 0.0f);

	/* A classifier's: torchvision's names and shapes; the bias 0, and none of BN's statistics. */
	struct net_fixture classifier;
	config.head = NET_HEAD_CLASSIFIER;
	config.head_dim = 1000;
	net_fixture_create(&classifier, &config, 1);
	net_init(classifier.net, 11);
	const struct param *fc = net_find_param(classifier.net, "fc.weight");
	const struct param *bias = net_find_param(classifier.net, "fc.bias");
	assert_true(fc->dims == 2 && fc->shape[0] == 1000 && fc->shape[1] == 512);
	assert_true(bias->dims == 1 && bias->shape[0] == 1000);
	moments_of(fc, &mean, &deviation, &largest);
	assert_true(fabs(deviation / 0.01 - 1.0) < 0.01 && largest > 0.04);
	moments_of(bias, &mean, &deviation, &largest);
	assert_true(largest == 0.0);
	assert_int_equal(net_param_count(classifier.net), 62);
	assert_null(net_find_buffer(classifier.net, "fc.running_mean"));
	assert_null(net_find_param(classifier.net, "head.0.weight"));
	net_fixture_destroy(&classifier);
	config.head = NET_HEAD_HIDDEN_CLASSIFIER;
	net_fixture_create(&classifier, &config, 1);
	assert_int_equal(net_param_count(classifier.net), 65);
	assert_non_null(net_find_param(classifier.net, "head.1.bias"));
	assert_non_null(net_find_param(classifier.net, "fc.bias"));
	net_fixture_destroy(&classifier);

	/* A tensor's draw depends on seed and name alone: not on the head beside it. */
	struct net_fixture other;
	config.head = NET_HEAD_NONE;
	net_fixture_create(&other, &config, 1);
	net_init(other.net, 11);
	assert_memory_equal(
		net_find_param(other.net, "layer4.1.conv2.weight")->value, conv->value, conv->count * sizeof(float));
	net_init(other.net, 12);
	assert_memory_not_equal(net_find_param(other.net, "layer4.1.conv2.weight")->value, conv->value, 64);
	net_fixture_destroy(&f);
	net_fixture_destroy(&other);
}

static void test_file_order(void **state)
{
	float value[2 * 2 * 3 * 4], file[48], back[48];
	(void)state;
	for (size_t i = 0; i < 48; i++)
		value[i] = (float)i;
	struct param param = {.kind = PARAM_CONV, .dims = 4, .shape = {2, 2, 3, 4}, .count = 48, .value = value};
	uint64_t shape[4];
	assert_int_equal(param_file_shape(&param, shape), 4);
	assert_true(shape[0] == 2 && shape[1] == 4 && shape[2] == 2 && shape[3] == 3);
	param_to_file_order(&param, file);
	for (size_t o = 0; o < 2; o++)
		for (size_t c = 0; c < 4; c++)
			for (size_t tap = 0; tap < 6; tap++)
				assert_true(file[(o * 4 + c) * 6 + tap] == value[(o * 6 + tap) * 4 + c]);
	param.value = back;
	param_from_file_order(&param, file);
	assert_memory_equal(back, value, sizeof back);
	param.kind = PARAM_DENSE;
	param_from_file_order(&param, value);
	assert_memory_equal(back, value, sizeof back);
}

static void test_bad_options(void **state)
{
	struct error err = {0};
	struct arena *arena = arena_create(0, &err);
	const struct net_config good = {.depth = 18, .width = 0.25f, .size = 32, .max_rows = 2, .training = true};
	(void)state;
	for (int i = 0; i < 9; i++) {
		struct net_config bad = good;
		if (i == 0)
			bad.depth = 20;
		if (i == 1)
			bad.width = 0.0f;
		if (i == 2)
			bad.width = nanf("");
		if (i == 3)
			bad.width = 1e9f;
		if (i == 4)
			bad.size = 0;
		if (i == 5)
			bad.max_rows = 0;
		if (i == 6)
			bad.head_dim = 1000000;
		if (i == 7)
			bad.size = 100000;
		if (i == 8)
			bad.head = NET_HEAD_CLASSIFIER; /* of how many classes? */
		memset(&err, 0, sizeof err);
		assert_null(net_create(arena, &bad, 1, &err));
		assert_int_equal(err.code, ERROR_USAGE);
	}
	unsigned depth = 0;
	enum net_stem stem = NET_STEM_AUTO;
	enum net_head head = NET_HEAD_NONE;
	assert_int_equal(net_parse_model("resnet101", &depth, NULL), 0);
	assert_int_equal(depth, 101);
	assert_int_equal(net_parse_stem("imagenet", &stem, NULL), 0);
	assert_int_equal(stem, NET_STEM_IMAGENET);
	assert_int_equal(net_parse_head("mlp3", &head, NULL), 0);
	assert_int_equal(head, NET_HEAD_MLP3);
	const char *wrong[] = {"", "resnet", "resnet20", "resnet18x", "18"};
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(net_parse_model(wrong[i], &depth, NULL), ERROR_USAGE);
	assert_int_equal(net_parse_stem("vgg", &stem, NULL), ERROR_USAGE);
	assert_int_equal(net_parse_head("mlp", &head, NULL), ERROR_USAGE);
	arena_destroy(arena);
}

/* Out of memory, at every allocation in turn, is an error and not a crash. */
static void test_memory_limit(void **state)
{
	(void)state;
	struct net_config config = small(18, NET_STEM_CIFAR, NET_HEAD_MLP2);
	struct net_fixture f;
	net_fixture_create(&f, &config, 2);
	size_t need = arena_used_bytes(f.arena);
	net_fixture_destroy(&f);
	for (size_t limit = 1; limit < need; limit += need / 97) {
		struct error err = {0};
		struct arena *arena = arena_create(limit, &err);
		assert_null(net_create(arena, &config, 2, &err));
		assert_int_equal(err.code, ERROR_MEMORY);
		arena_destroy(arena);
	}
}

/* ------------------------------------------------------------------------------------------------ the PyTorch twin */

static FILE *open_file(const char *folder, const char *kind, const char *name, const char *mode)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s%s", folder, kind, name);
	FILE *file = fopen(path, mode);
	if (file == NULL) {
		perror(path);
		exit(2);
	}
	return file;
}

static void load(const char *folder, const char *name, float *values, size_t count)
{
	FILE *file = open_file(folder, "", name, "rb");
	if (fread(values, sizeof(float), count, file) != count || fgetc(file) != EOF) {
		fprintf(stderr, "%s/%s: not %zu floats\n", folder, name, count);
		exit(2);
	}
	fclose(file);
}

static void save(const char *folder, const char *kind, const char *name, const float *values, size_t count)
{
	FILE *file = open_file(folder, kind, name, "wb");
	if (fwrite(values, sizeof(float), count, file) != count)
		exit(2);
	fclose(file);
}

static void save_step(const char *folder, struct net *net, uint32_t rows)
{
	const char *name;
	unsigned h, w, c;
	const float *block;
	for (size_t i = 0; (block = net_block_output(net, i, &name, &h, &w, &c)) != NULL; i++)
		save(folder, "block.", name, block, (size_t)rows * h * w * c);
	save(folder, "", "features", net_features(net), (size_t)rows * net_feature_dim(net));
	save(folder, "", "output", net_output(net), (size_t)rows * net_output_dim(net));
	for (size_t i = 0; i < net_param_count(net); i++) {
		struct param param = *net_param(net, i);
		float *out = malloc(param.count * sizeof(float));
		param.value = param.grad;
		param_to_file_order(&param, out);
		save(folder, "grad.", param.name, out, param.count);
		free(out);
	}
	for (size_t i = 0; i < net_buffer_count(net); i++)
		save(folder, "buffer.", net_buffer(net, i)->name, net_buffer(net, i)->value, net_buffer(net, i)->count);
}

/* FOLDER/config: depth width size stem head head_dim rows steps rate threads isa. In: x (NHWC), target, the parameters
 * by name. Out, all raw float32: the first step's blocks, features, output, gradients and running statistics; the
 * output in evaluation mode; the loss of every step of plain SGD. */
static int run_folder(const char *folder)
{
	struct net_config config = {.training = true, .recompute = NET_KEEP_ALL};
	unsigned stem, head, steps, threads, isa;
	float rate;
	FILE *file = open_file(folder, "", "config", "r");
	if (fscanf(file, "%u %f %u %u %u %u %u %u %f %u %u", &config.depth, &config.width, &config.size, &stem, &head,
		    &config.head_dim, &config.max_rows, &steps, &rate, &threads, &isa) != 11)
		return 2;
	fclose(file);
	config.stem = (enum net_stem)stem;
	config.head = (enum net_head)head;
	config.isa = isa < (unsigned)cpu_detect() ? (enum cpu_isa)isa : cpu_detect();
	struct net_fixture f;
	struct net_data data;
	net_fixture_create(&f, &config, threads);
	net_data_make(&data, f.net, &config);
	net_init(f.net, 0); /* for the running statistics */
	load(folder, "x", data.x, data.x_count);
	load(folder, "target", data.target, data.z_count);
	for (size_t i = 0; i < net_param_count(f.net); i++) {
		struct param *param = net_param(f.net, i);
		float *in = malloc(param->count * sizeof(float));
		load(folder, param->name, in, param->count);
		param_from_file_order(param, in);
		free(in);
	}
	float *losses = malloc(steps * sizeof(float));
	for (unsigned s = 0; s < steps; s++) {
		losses[s] = (float)net_data_loss(&f, &data, config.max_rows);
		net_backward(f.net, f.team, data.dz, NULL, NULL);
		if (s == 0) {
			save_step(folder, f.net, config.max_rows);
			net_forward(f.net, f.team, data.x, config.max_rows, NET_EVAL, true);
			save(folder, "", "evaluated", net_output(f.net), data.z_count);
		}
		for (size_t i = 0; i < net_param_count(f.net); i++) {
			struct param *param = net_param(f.net, i);
			for (size_t k = 0; k < param->count; k++)
				param->value[k] -= rate * param->grad[k];
		}
	}
	save(folder, "", "losses", losses, steps);
	free(losses);
	net_data_free(&data);
	net_fixture_destroy(&f);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_derivatives_basic),
		cmocka_unit_test(test_derivatives_winograd),
		cmocka_unit_test(test_derivatives_basic_imagenet),
		cmocka_unit_test(test_derivatives_bottleneck),
		cmocka_unit_test(test_derivatives_no_head),
		cmocka_unit_test(test_derivatives_classifier),
		cmocka_unit_test(test_evaluation_changes_nothing),
		cmocka_unit_test(test_evaluation_net),
		cmocka_unit_test(test_announcements),
		cmocka_unit_test(test_fewer_rows),
		cmocka_unit_test(test_structure),
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_file_order),
		cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_memory_limit),
	};
	if (argc == 3 && strcmp(argv[1], "--run") == 0)
		return run_folder(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
