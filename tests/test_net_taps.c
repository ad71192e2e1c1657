/* SPDX-License-Identifier: Apache-2.0 */
/* What can be looked at in a net for evaluation: h, the head's first hidden layer and z, the layers between them
 * computed plainly in float64. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/helper_net.h"

enum { TAP_ROWS = 11, SIZE = 16, HEAD_DIM = 8 };

static struct net_config config_of(enum net_head head, bool training)
{
	return (struct net_config){.depth = 18,
		.width = 0.125F,
		.size = SIZE,
		.head = head,
		.head_dim = HEAD_DIM,
		.max_rows = TAP_ROWS,
		.training = training,
		.isa = cpu_detect()};
}

static void create(struct net_fixture *fixture, enum net_head head, bool training)
{
	struct net_config config = config_of(head, training);
	net_fixture_create(fixture, &config, 2);
	helper_randomise(fixture->net, 7);
	/* Running statistics that are not the initial ones, so that BN is seen to use them. */
	for (size_t i = 0; i < net_buffer_count(fixture->net); i++) {
		struct net_buffer *buffer = net_buffer(fixture->net, i);
		bool variance = strstr(buffer->name, "var") != NULL;
		helper_net_fill(buffer->value, buffer->count, 100 + i, variance ? 0.5F : -0.2F, variance ? 1.5F : 0.2F);
	}
}

static const float *value_of(struct net *net, const char *module, const char *part)
{
	char name[64];
	snprintf(name, sizeof name, "%s.%s", module, part);
	struct net_buffer *buffer = net_find_buffer(net, name);
	struct param *param = net_find_param(net, name);
	return buffer ? buffer->value : param ? param->value : NULL;
}

/* out[column] = bn(row of in times dense), and ReLU when wanted. */
static void layer(struct net *net, const double *in, unsigned from, const char *dense, const char *bn, double *out,
	unsigned to, bool relu)
{
	const float *weight = value_of(net, dense, "weight"), *gamma = value_of(net, bn, "weight"),
		    *beta = value_of(net, bn, "bias"), *mean = value_of(net, bn, "running_mean"),
		    *variance = value_of(net, bn, "running_var");
	for (unsigned c = 0; c < to; c++) {
		double sum = 0;
		for (unsigned i = 0; i < from; i++)
			sum += (double)weight[(size_t)c * from + i] * in[i];
		out[c] = (sum - (double)mean[c]) / sqrt((double)variance[c] + 1e-5) * (double)gamma[c] +
			 (beta ? (double)beta[c] : 0);
		out[c] = relu && out[c] < 0 ? 0 : out[c];
	}
}

static void check_head(enum net_head head)
{
	struct net_fixture f;
	create(&f, head, false);
	unsigned dim = net_tap_dim(f.net, NET_TAP_H);
	assert_int_equal(dim, net_feature_dim(f.net));
	assert_int_equal(net_tap_dim(f.net, NET_TAP_HEAD1), dim);
	assert_int_equal(net_tap_dim(f.net, NET_TAP_Z), HEAD_DIM);
	size_t pixels = (size_t)TAP_ROWS * SIZE * SIZE * 3;
	float *x = calloc(pixels, sizeof *x);
	double *h = calloc(dim, sizeof *h), *hidden = calloc(dim, sizeof *hidden), *z = calloc(dim, sizeof *z);
	assert_true(x && h && hidden && z);
	helper_net_fill(x, pixels, 1, 0, 1);
	net_forward(f.net, f.team, x, TAP_ROWS, NET_EVAL, true);
	assert_ptr_equal(net_tap(f.net, NET_TAP_H), net_features(f.net));
	assert_ptr_equal(net_tap(f.net, NET_TAP_Z), net_output(f.net));
	bool some = false, zero = false;
	for (size_t row = 0; row < TAP_ROWS; row++) {
		const float *ours = net_tap(f.net, NET_TAP_HEAD1) + row * dim,
			    *out = net_tap(f.net, NET_TAP_Z) + row * HEAD_DIM;
		for (unsigned c = 0; c < dim; c++)
			h[c] = (double)net_tap(f.net, NET_TAP_H)[row * dim + c];
		layer(f.net, h, dim, "head.0", "head.1", hidden, dim, true);
		assert_true(helper_distance(ours, hidden, dim) < 1e-5);
		for (unsigned c = 0; c < dim; c++) {
			some = some || ours[c] > 0;
			zero = zero || ours[c] == 0;
		}
		/* On from there, also the last layers are the net's. */
		if (head == NET_HEAD_MLP3) {
			memcpy(h, hidden, dim * sizeof *h);
			layer(f.net, h, dim, "head.3", "head.4", hidden, dim, true);
		}
		layer(f.net, hidden, dim, head == NET_HEAD_MLP3 ? "head.6" : "head.3",
			head == NET_HEAD_MLP3 ? "head.7" : "head.4", z, HEAD_DIM, false);
		assert_true(helper_distance(out, z, HEAD_DIM) < 1e-5);
	}
	assert_true(some && zero);
	free(x);
	free(h);
	free(hidden);
	free(z);
	net_fixture_destroy(&f);
}

static void test_two_layers(void **state)
{
	(void)state;
	check_head(NET_HEAD_MLP2);
}

static void test_three_layers(void **state)
{
	(void)state;
	check_head(NET_HEAD_MLP3);
}

/* Layers that a net does not have have no columns. */
static void test_absent(void **state)
{
	(void)state;
	static const struct {
		enum net_head head;
		bool training;
		unsigned head1, z;
	} nets[] = {{NET_HEAD_NONE, false, 0, 0}, {NET_HEAD_LINEAR, false, 0, HEAD_DIM},
		{NET_HEAD_MLP2, true, 0, HEAD_DIM}};
	for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
		struct net_fixture f;
		create(&f, nets[i].head, nets[i].training);
		assert_int_equal(net_tap_dim(f.net, NET_TAP_HEAD1), nets[i].head1);
		assert_int_equal(net_tap_dim(f.net, NET_TAP_Z), nets[i].z);
		net_fixture_destroy(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_layers),
		cmocka_unit_test(test_three_layers),
		cmocka_unit_test(test_absent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
