/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helper_train.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/philox.h"

float helper_next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

void helper_fill(float *out, size_t count, uint32_t seed)
{
	for (size_t i = 0; i < count; i++)
		out[i] = helper_next(&seed);
}

void helper_dump(const char *dir, const char *name, const void *data, size_t size_bytes)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *file = fopen(path, "wb");
	if (!file || fwrite(data, 1, size_bytes, file) != size_bytes || fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

double helper_relative(const float *a, const double *b, size_t count)
{
	double difference = 0, size = 0;
	for (size_t i = 0; i < count; i++) {
		difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		size += b[i] * b[i];
	}
	return sqrt(difference / size);
}

double helper_cosine(const float *a, const float *b, unsigned dim)
{
	double ab = 0, aa = 0, bb = 0;
	for (unsigned c = 0; c < dim; c++) {
		ab += (double)a[c] * (double)b[c];
		aa += (double)a[c] * (double)a[c];
		bb += (double)b[c] * (double)b[c];
	}
	return ab / (fmax(sqrt(aa), 1e-12) * fmax(sqrt(bb), 1e-12));
}

struct helper_data helper_data_create(size_t count, unsigned dim, unsigned classes, double spread, uint64_t sample)
{
	struct helper_data data = {calloc(count * dim, sizeof(float)), calloc(count, sizeof(int32_t)), {0}};
	assert_true(data.features && data.labels);
	struct philox stream = philox_stream(1, 0, sample, 0, PHILOX_TEST);
	struct philox centres = philox_stream(1, 0, 1u << 20, 0, PHILOX_TEST);
	float *mean = calloc((size_t)classes * dim, sizeof(float));
	assert_non_null(mean);
	for (size_t i = 0; i < (size_t)classes * dim; i++)
		mean[i] = (float)(spread * philox_normal(&centres));
	for (size_t i = 0; i < count; i++) {
		data.labels[i] = (int32_t)philox_below(&stream, classes);
		for (unsigned c = 0; c < dim; c++)
			data.features[i * dim + c] =
				0.5f + (float)philox_normal(&stream) + mean[(size_t)data.labels[i] * dim + c];
	}
	free(mean);
	data.probe = (struct probe_data){.features = data.features, .labels = data.labels, .count = count};
	return data;
}

void helper_data_destroy(struct helper_data *data)
{
	free(data->features);
	free(data->labels);
}

struct team *helper_team(unsigned threads)
{
	struct error err = {0};
	struct team *team = team_create(threads, NULL, &err);
	assert_non_null(team);
	return team;
}
