/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batch normalisation's statistics and coefficients.
 *
 * Forward: as a tile of y is stored from cache, its moments about its own first pixel are summed in float over at most
 * CHUNK pixels, and merged in double into the task's count, mean and sum of squared deviations (Chan, Golub, LeVeque
 * 1979). No square of a large mean is ever subtracted from another, so channels far from zero keep their digits.
 *
 * Backward: with xhat = (y - mean) inv_std and n pixels,
 *   dbeta = sum dz,  dgamma = sum dz xhat,  dy = gamma inv_std (dz - dbeta / n - xhat dgamma / n),
 * which per channel is dy = a dz + b (y - mean) + c: the next sweep applies it while it packs.
 *
 * A bias alone has mean 0 and scale 1, forward, and a 1, b 0, c 0, backward: y + beta and dz, bit for bit.
 */
#include "model/batchnorm.h"

#include <math.h>
#include <string.h>

static const double MOMENTUM = 0.9; /* of the running statistics */

enum { CHUNK = 256 }; /* pixels summed in float */

int batchnorm_alloc(struct batchnorm *bn, struct arena *arena, bool training, struct error *err)
{
	size_t n = bn->channels;
	float *forward = arena_alloc(arena, "batchnorm", 3 * n, sizeof(float), 0, err);
	bn->inv_std = arena_alloc(arena, "batchnorm", n, sizeof(double), 0, err);
	if (forward == NULL || bn->inv_std == NULL)
		return ERROR_MEMORY;
	bn->mean = forward;
	bn->scale = forward + n;
	bn->shift = forward + 2 * n;
	for (size_t i = 0; bn->gamma == NULL && i < n; i++) {
		bn->mean[i] = 0.0f;
		bn->scale[i] = 1.0f;
	}
	if (!training)
		return 0;
	float *backward = arena_alloc(arena, "batchnorm", 3 * n, sizeof(float), 0, err);
	if (backward == NULL)
		return ERROR_MEMORY;
	bn->a = backward;
	bn->b = backward + n;
	bn->c = backward + 2 * n;
	for (size_t i = 0; bn->gamma == NULL && i < n; i++) {
		bn->a[i] = 1.0f;
		bn->b[i] = bn->c[i] = 0.0f;
	}
	return 0;
}

void batchnorm_clear(struct workspace *workspace, size_t task, unsigned channels)
{
	double *sums = workspace_sums(workspace, task);
	for (unsigned i = 0; i < WORKSPACE_SUMS; i++)
		memset(sums + (size_t)i * workspace->channels_max, 0, channels * sizeof(double));
	workspace->counts[task] = 0.0;
}

/* Merges the group (n, mean, m2) into (total, mean[], m2[]). */
static void merge(double total, double *mean, double *m2, double n, double group_mean, double group_m2)
{
	double delta = group_mean - *mean, share = n / (total + n);
	*mean += delta * share;
	*m2 += group_m2 + delta * delta * total * share;
}

void batchnorm_store_tile(struct workspace *workspace, size_t task, struct tensor y, const float *tile, size_t pixels,
	unsigned channels, float *lanes)
{
	double *mean = workspace_sums(workspace, task), *m2 = mean + workspace->channels_max;
	float *d1 = lanes, *d2 = lanes + channels;
	for (size_t done = 0; done < pixels; done += CHUNK) {
		size_t count = pixels - done < CHUNK ? pixels - done : CHUNK;
		struct tensor chunk = tensor_at(y, done * channels);
		workspace->kernels->passes->store_moments(chunk, tile + done * channels, d1, d2, count, channels);
		double n = (double)count, inv_n = 1.0 / n, total = workspace->counts[task];
		for (unsigned c = 0; c < channels; c++) {
			double shift = (double)d1[c] * inv_n, first = (double)element_get(chunk.data, chunk.element, c);
			merge(total, &mean[c], &m2[c], n, first + shift, (double)d2[c] - (double)d1[c] * shift);
		}
		workspace->counts[task] = total + n;
	}
}

static void use_bias(struct batchnorm *bn)
{
	memcpy(bn->shift, bn->beta->value, bn->channels * sizeof(float));
}

static void set_forward(struct batchnorm *bn, unsigned c, double mean, double variance)
{
	bn->inv_std[c] = 1.0 / sqrt(variance + BATCHNORM_EPSILON);
	bn->mean[c] = (float)mean;
	bn->scale[c] = (float)((double)bn->gamma->value[c] * bn->inv_std[c]);
	bn->shift[c] = bn->beta == NULL ? 0.0f : bn->beta->value[c];
}

void batchnorm_close(struct batchnorm *bn, const struct workspace *workspace, size_t tasks)
{
	if (bn->gamma == NULL) {
		use_bias(bn);
		return;
	}
	float *running_mean = bn->running_mean->value, *running_var = bn->running_var->value;
	for (unsigned c = 0; c < bn->channels; c++) {
		double total = 0.0, mean = 0.0, m2 = 0.0;
		for (size_t t = 0; t < tasks; t++) {
			const double *sums = workspace_sums(workspace, t);
			merge(total, &mean, &m2, workspace->counts[t], sums[c], sums[workspace->channels_max + c]);
			total += workspace->counts[t];
		}
		if (m2 < 0.0) /* rounding of a constant channel */
			m2 = 0.0;
		set_forward(bn, c, mean, m2 / total);
		double unbiased = m2 / (total > 1.0 ? total - 1.0 : 1.0);
		running_mean[c] = (float)(MOMENTUM * (double)running_mean[c] + (1.0 - MOMENTUM) * mean);
		running_var[c] = (float)(MOMENTUM * (double)running_var[c] + (1.0 - MOMENTUM) * unbiased);
	}
}

void batchnorm_use_running(struct batchnorm *bn)
{
	if (bn->gamma == NULL) {
		use_bias(bn);
		return;
	}
	for (unsigned c = 0; c < bn->channels; c++)
		set_forward(bn, c, (double)bn->running_mean->value[c], (double)bn->running_var->value[c]);
}

void batchnorm_add_sums(struct workspace *workspace, size_t task, const float *sums, unsigned count, unsigned channels)
{
	for (unsigned i = 0; i < count; i++) {
		double *to = workspace_sums(workspace, task) + (size_t)i * workspace->channels_max;
		for (unsigned c = 0; c < channels; c++)
			to[c] += (double)sums[(size_t)i * channels + c];
	}
}

void batchnorm_close_backward(
	struct batchnorm *bn, const struct workspace *workspace, size_t tasks, unsigned cross, double pixels)
{
	for (unsigned c = 0; c < bn->channels; c++) {
		double sum = 0.0, with_y = 0.0;
		for (size_t t = 0; t < tasks; t++) {
			const double *sums = workspace_sums(workspace, t);
			sum += sums[c];
			with_y += sums[(size_t)cross * workspace->channels_max + c];
		}
		if (bn->gamma == NULL) {
			bn->beta->grad[c] = (float)sum;
			continue;
		}
		double dgamma = with_y * bn->inv_std[c], scale = (double)bn->scale[c];
		bn->gamma->grad[c] = (float)dgamma;
		if (bn->beta != NULL)
			bn->beta->grad[c] = (float)sum;
		bn->a[c] = bn->scale[c];
		bn->b[c] = (float)(-scale * bn->inv_std[c] * dgamma / pixels);
		bn->c[c] = (float)(-scale * sum / pixels);
	}
}
