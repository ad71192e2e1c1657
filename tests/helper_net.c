/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helper_net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

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

void net_data_make(struct net_data *data, const struct net *net, const struct net_config *config)
{
	data->x_count = (size_t)config->max_rows * config->size * config->size * 3;
	data->z_count = (size_t)config->max_rows * net_output_dim(net);
	data->x = malloc(data->x_count * sizeof(float));
	data->target = malloc(data->z_count * sizeof(float));
	data->dz = malloc(data->z_count * sizeof(float));
	assert_non_null(data->x);
	assert_non_null(data->target);
	assert_non_null(data->dz);
	helper_net_fill(data->x, data->x_count, 901, 0.0f, 1.0f);
	helper_net_fill(data->target, data->z_count, 902, -2.0f, 2.0f);
}

void net_data_free(struct net_data *data)
{
	free(data->x);
	free(data->target);
	free(data->dz);
}

double net_data_loss(struct net_fixture *f, struct net_data *data, uint32_t rows)
{
	double loss = 0.0;
	net_forward(f->net, f->team, data->x, rows, NET_TRAIN, true);
	const float *z = net_output(f->net);
	for (size_t i = 0; i < (size_t)rows * net_output_dim(f->net); i++) {
		double d = (double)z[i] - (double)data->target[i];
		loss += 0.5 * d * d / rows;
		data->dz[i] = (float)(d / rows);
	}
	return loss;
}

uint64_t net_digest_floats(uint64_t hash, const float *values, size_t count)
{
	const unsigned char *bytes = (const unsigned char *)values;
	for (size_t i = 0; i < count * sizeof(float); i++)
		hash = (hash ^ bytes[i]) * 1099511628211u;
	return hash;
}

uint64_t net_digest(struct net *net, uint32_t rows)
{
	uint64_t hash = net_digest_floats(14695981039346656037u, net_output(net), (size_t)rows * net_output_dim(net));
	for (size_t i = 0; i < net_param_count(net); i++)
		hash = net_digest_floats(hash, net_param(net, i)->grad, net_param(net, i)->count);
	for (size_t i = 0; i < net_buffer_count(net); i++)
		hash = net_digest_floats(hash, net_buffer(net, i)->value, net_buffer(net, i)->count);
	return hash;
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
		if (param->kind == PARAM_BETA || param->kind == PARAM_BIAS)
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
