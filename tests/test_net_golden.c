/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A narrow ResNet-18 against numbers that PyTorch computed in float64 (tests/golden/net.txt, by make_net.py beside it):
 * blocks, output, every gradient, running statistics, and the losses of eight steps of SGD, on every instruction set.
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

enum { ROWS = 8, SIZE = 12, DIM = 10, STEPS = 8, PICKED = 8 };

static const float RATE = 0.0005f;

/* make_net.py's hash_uniform() and uniform(). */
static void uniform(float *out, uint32_t index, size_t count, double low, double high)
{
	for (size_t k = 0; k < count; k++) {
		uint32_t x = (uint32_t)(k + 1) * 2654435761u + (index + 1) * 2246822519u;
		x ^= x >> 15;
		x *= 2246822519u;
		x ^= x >> 13;
		x *= 3266489917u;
		x ^= x >> 16;
		out[k] = (float)(low + (high - low) * ((double)x / 4294967296.0));
	}
}

static void set_weights(struct net *net)
{
	for (size_t i = 0; i < net_param_count(net); i++) {
		struct param *param = net_param(net, i);
		float *file = malloc(param->count * sizeof(float));
		assert_non_null(file);
		double low = 0.5, high = 1.5;
		if (param->kind == PARAM_BETA) {
			low = -0.5;
			high = 0.5;
		} else if (param->dims > 1) {
			double fan_in = (double)param->count / (double)param->shape[0];
			high = sqrt(3.0 * (param->dims == 4 ? 2.0 : 1.0) / fan_in);
			low = -high;
		}
		uniform(file, (uint32_t)i, param->count, low, high);
		param_from_file_order(param, file);
		free(file);
	}
}

/* NHWC to PyTorch's NCHW. */
static void to_nchw(float *out, const float *in, size_t rows, size_t pixels, size_t channels)
{
	for (size_t i = 0; i < rows * pixels * channels; i++) {
		size_t c = i % channels, p = i / channels % pixels, row = i / channels / pixels;
		out[(row * channels + c) * pixels + p] = in[i];
	}
}

/* Our tensor of that name in PyTorch's order; its size. Grows no larger than `room`. */
static size_t find_tensor(struct net *net, const char *name, float *out, size_t room)
{
	const char *block_name;
	unsigned h, w, c;
	const float *block;
	for (size_t i = 0; (block = net_block_output(net, i, &block_name, &h, &w, &c)) != NULL; i++) {
		if (strncmp(name, "block.", 6) == 0 && strcmp(name + 6, block_name) == 0) {
			assert_true((size_t)ROWS * h * w * c <= room);
			to_nchw(out, block, ROWS, (size_t)h * w, c);
			return (size_t)ROWS * h * w * c;
		}
	}
	if (strcmp(name, "output") == 0) {
		memcpy(out, net_output(net), ROWS * DIM * sizeof(float));
		return ROWS * DIM;
	}
	const struct param *param = strncmp(name, "grad.", 5) == 0 ? net_find_param(net, name + 5) : NULL;
	if (param != NULL) {
		struct param grad = *param;
		assert_true(param->count <= room);
		grad.value = param->grad;
		param_to_file_order(&grad, out);
		return param->count;
	}
	const struct net_buffer *buffer = strncmp(name, "buffer.", 7) == 0 ? net_find_buffer(net, name + 7) : NULL;
	if (buffer == NULL)
		fail_msg("PyTorch's %s is not in the net", name);
	memcpy(out, buffer->value, buffer->count * sizeof(float));
	return buffer->count;
}

/* Compares with one line's norm and elements. An element may be off by 1e-4 of the tensor's root mean square, 1e-3 in
 * gradients. */
static void check_line(const char *name, const float *found, size_t count, size_t expected_count, double norm,
	const double picked[PICKED])
{
	double square = 0.0, most = 1e-4;
	if (strncmp(name, "grad.", 5) == 0 || strcmp(name, "losses") == 0)
		most = 1e-3;
	assert_int_equal(count, expected_count);
	for (size_t i = 0; i < count; i++)
		square += (double)found[i] * (double)found[i];
	if (!(fabs(sqrt(square) - norm) <= most * norm + 1e-6))
		fail_msg("%s: norm %.9g, PyTorch %.9g", name, sqrt(square), norm);
	for (size_t i = 0; i < PICKED; i++) {
		double a = (double)found[i * (count - 1) / 7], size = fabs(picked[i]) + norm / sqrt((double)count);
		if (!(fabs(a - picked[i]) <= most * size + 1e-6))
			fail_msg("%s[%zu]: %.9g, PyTorch %.9g", name, i * (count - 1) / 7, a, picked[i]);
	}
}

static FILE *open_golden(void)
{
	FILE *file = fopen("tests/golden/net.txt", "r");
	if (file == NULL)
		fail_msg("tests/golden/net.txt: run from the root of the checkout");
	return file;
}

static bool read_line(FILE *file, char name[64], size_t *count, double *norm, double picked[PICKED])
{
	if (fscanf(file, "%63s %zu %lf", name, count, norm) != 3)
		return false;
	for (size_t i = 0; i < PICKED; i++)
		assert_int_equal(fscanf(file, "%lf", &picked[i]), 1);
	return true;
}

/* Loss and dz of the target, as in make_net.py. */
static float loss_of(const float *z, const float *target, float *dz)
{
	double loss = 0.0;
	for (size_t i = 0; i < ROWS * DIM; i++) {
		double d = (double)z[i] - (double)target[i];
		loss += d * d / 2.0 / ROWS;
		dz[i] = (float)(d / ROWS);
	}
	return (float)loss;
}

/* Compares all lines but the last, the losses. */
static void check_first_step(struct net *net, FILE *file)
{
	enum { ROOM = 64 * 1024 };
	float *tensor = malloc(ROOM * sizeof(float));
	char name[64];
	size_t count, lines = 8 + 1 + net_param_count(net) + net_buffer_count(net);
	double norm, picked[PICKED];
	assert_non_null(tensor);
	for (size_t i = 0; i < lines; i++) {
		assert_true(read_line(file, name, &count, &norm, picked));
		check_line(name, tensor, find_tensor(net, name, tensor, ROOM), count, norm, picked);
	}
	free(tensor);
}

static void check_isa(enum cpu_isa isa)
{
	struct net_config config = {.depth = 18,
		.recompute = NET_KEEP_ALL,
		.width = 0.125f,
		.size = SIZE,
		.head = NET_HEAD_MLP2,
		.head_dim = DIM,
		.max_rows = ROWS,
		.training = true,
		.isa = isa};
	struct net_fixture f;
	static float x[ROWS * SIZE * SIZE * 3], target[ROWS * DIM], dz[ROWS * DIM], losses[STEPS];
	net_fixture_create(&f, &config, 2);
	net_init(f.net, 0);
	set_weights(f.net);
	uniform(x, 1000, ROWS * SIZE * SIZE * 3, 0.0, 1.0);
	uniform(target, 1001, ROWS * DIM, -2.0, 2.0);
	FILE *file = open_golden();
	for (unsigned step = 0; step < STEPS; step++) {
		net_forward(f.net, f.team, x, ROWS, NET_TRAIN, true);
		losses[step] = loss_of(net_output(f.net), target, dz);
		net_backward(f.net, f.team, dz, NULL, NULL);
		if (step == 0)
			check_first_step(f.net, file);
		for (size_t i = 0; i < net_param_count(f.net); i++) {
			struct param *param = net_param(f.net, i);
			for (size_t k = 0; k < param->count; k++)
				param->value[k] -= RATE * param->grad[k];
		}
	}
	char name[64];
	size_t count;
	double norm, picked[PICKED];
	assert_true(read_line(file, name, &count, &norm, picked));
	assert_string_equal(name, "losses");
	check_line(name, losses, STEPS, count, norm, picked);
	fclose(file);
	net_fixture_destroy(&f);
}

static void test_against_pytorch(void **state)
{
	(void)state;
	for (enum cpu_isa isa = CPU_PORTABLE; isa <= cpu_detect(); isa++)
		check_isa(isa);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_pytorch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
