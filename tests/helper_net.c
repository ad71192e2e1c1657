/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helper_net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "pipeline/philox.h"

void net_fixture_create(struct net_fixture *fixture, const struct net_config *config, unsigned threads)
{
	struct error err = {0};
	fixture->arena = arena_create(0, &err);
	assert_non_null(fixture->arena);
	fixture->team = team_create(threads, NULL, &err);
	assert_non_null(fixture->team);
	fixture->net = net_create(fixture->arena, config, threads, &err);
	assert_string_equal(err.message, "");
	assert_non_null(fixture->net);
	arena_seal(fixture->arena);
}

void net_fixture_destroy(struct net_fixture *fixture)
{
	team_destroy(fixture->team);
	arena_destroy(fixture->arena);
}

void helper_net_fill(float *out, size_t count, uint64_t stream, float low, float high)
{
	struct philox random = philox_stream(1, 0, stream, 0, PHILOX_TEST);
	for (size_t i = 0; i < count; i++)
		out[i] = philox_uniform(&random, low, high);
}

void helper_randomise(struct net *net, uint64_t seed)
{
	net_init(net, seed);
	for (size_t i = 0; i < net_param_count(net); i++) {
		struct param *param = net_param(net, i);
		float in = (float)param->count / (float)param->shape[0];
		if (param->kind == PARAM_DENSE)
			helper_net_fill(
				param->value, param->count, seed * 1000 + i, -sqrtf(3.0f / in), sqrtf(3.0f / in));
		if (param->kind == PARAM_GAMMA)
			helper_net_fill(param->value, param->count, seed * 1000 + i, 0.5f, 1.5f);
		if (param->kind == PARAM_BETA)
			helper_net_fill(param->value, param->count, seed * 1000 + i, -0.5f, 0.5f);
	}
}

double helper_distance(const float *a, const double *b, size_t count)
{
	double difference = 0.0, norm = 0.0;
	for (size_t i = 0; i < count; i++) {
		double d = (double)a[i] - b[i];
		difference += d * d;
		norm += b[i] * b[i];
	}
	return sqrt(norm > 0.0 ? difference / norm : difference);
}
