/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels as anyone would write them: one scalar loop nest each, sums in double. The fast ones are tested against
 * these, and these against formulas in float64.
 */
#include "model/kernels.h"

/* NaN goes through, so that a diverged net is seen in its output. */
static float relu(float x)
{
	return x <= 0.0f ? 0.0f : x;
}

static float normalise(struct bn_forward bn, size_t c, float y)
{
	return (y - bn.mean[c]) * bn.scale[c] + bn.beta[c];
}

static void gemm(const struct gemm_job *job)
{
	for (size_t r = 0; r < job->rows; r++) {
		const float *a = job->a + job->a_offset[r];
		float *c = job->c + job->c_offset[r];
		for (unsigned n = 0; n < job->cols; n++) {
			const float *b = job->b + n;
			double sum = job->add ? (double)c[n] : 0.0;
			for (size_t s = 0; s < job->segment_count; s++) {
				for (uint32_t k = 0; k < job->segments[s].length; k++, b += job->width)
					sum += (double)a[job->segments[s].offset + k] * (double)*b;
			}
			c[n] = (float)sum;
		}
	}
}

static void outer(const struct outer_job *job)
{
	for (size_t m = 0; m < job->rows; m++) {
		for (unsigned n = 0; n < job->width; n++) {
			float *c = &job->c[m * job->width + n];
			double sum = job->add ? (double)*c : 0.0;
			for (size_t p = 0; p < job->pixels; p++)
				sum += (double)job->a[job->a_offset[p] + m] * (double)job->b[p * job->b_stride + n];
			*c = (float)sum;
		}
	}
}

static void bn_apply(float *z, const float *y, struct bn_forward bn, size_t pixels, size_t channels)
{
	for (size_t i = 0; i < pixels * channels; i++)
		z[i] = normalise(bn, i % channels, y[i]);
}

static void bn_relu(float *z, const float *y, struct bn_forward bn, size_t pixels, size_t channels)
{
	for (size_t i = 0; i < pixels * channels; i++)
		z[i] = relu(normalise(bn, i % channels, y[i]));
}

static void join(float *z, const float *y, struct bn_forward bn, const float *skip, size_t pixels, size_t channels)
{
	for (size_t i = 0; i < pixels * channels; i++)
		z[i] = relu(normalise(bn, i % channels, y[i]) + skip[i]);
}

static void join2(float *z, const float *y, struct bn_forward bn, const float *y2, struct bn_forward bn2, size_t pixels,
	size_t channels)
{
	for (size_t i = 0; i < pixels * channels; i++)
		z[i] = relu(normalise(bn, i % channels, y[i]) + normalise(bn2, i % channels, y2[i]));
}

static void moments(float *d1, float *d2, const float *y, size_t pixels, size_t channels)
{
	for (size_t c = 0; c < channels; c++) {
		double sum = 0.0, square = 0.0;
		for (size_t p = 0; p < pixels; p++) {
			double d = (double)y[p * channels + c] - (double)y[c];
			sum += d;
			square += d * d;
		}
		d1[c] = (float)sum;
		d2[c] = (float)square;
	}
}

static void bn_backward(float *dy, size_t dy_stride, const float *dz, const float *y, size_t stride,
	struct bn_backward bn, size_t pixels, size_t channels)
{
	for (size_t p = 0; p < pixels; p++) {
		for (size_t c = 0; c < channels; c++) {
			size_t i = p * stride + c;
			dy[p * dy_stride + c] = bn.a[c] * dz[i] + bn.b[c] * (y[i] - bn.mean[c]) + bn.c[c];
		}
	}
}

static void grad_moments(
	float *s1, float *s2, const float *g, const float *y, const float *mean, size_t pixels, size_t channels)
{
	for (size_t c = 0; c < channels; c++) {
		double sum = 0.0, cross = 0.0;
		for (size_t p = 0; p < pixels; p++) {
			size_t i = p * channels + c;
			sum += (double)g[i];
			cross += (double)g[i] * ((double)y[i] - (double)mean[c]);
		}
		s1[c] = (float)sum;
		s2[c] = (float)cross;
	}
}

static void relu_moments(
	float *s1, float *s2, float *g, const float *y, struct bn_forward bn, size_t pixels, size_t channels)
{
	for (size_t i = 0; i < pixels * channels; i++) {
		if (normalise(bn, i % channels, y[i]) <= 0.0f)
			g[i] = 0.0f;
	}
	grad_moments(s1, s2, g, y, bn.mean, pixels, channels);
}

static void join_moments(float *s1, float *s2, float *s3, float *g, const float *z, const float *y, const float *mean,
	const float *y2, const float *mean2, size_t pixels, size_t channels)
{
	for (size_t i = 0; i < pixels * channels; i++) {
		if (z[i] <= 0.0f)
			g[i] = 0.0f;
	}
	grad_moments(s1, s2, g, y, mean, pixels, channels);
	if (y2 != NULL)
		grad_moments(s1, s3, g, y2, mean2, pixels, channels);
}

static void pool_max(float *z, const float *const taps[], size_t count, struct bn_forward bn, size_t channels)
{
	for (size_t c = 0; c < channels; c++) {
		float best = 0.0f;
		for (size_t t = 0; t < count; t++) {
			float x = normalise(bn, c, taps[t][c]);
			best = x <= best ? best : x;
		}
		z[c] = best;
	}
}

static void pool_max_backward(float *const gtaps[], const float *const taps[], size_t count, const float *g,
	struct bn_forward bn, size_t channels)
{
	for (size_t c = 0; c < channels; c++) {
		size_t winner = 0;
		for (size_t t = 1; t < count; t++) {
			if (relu(normalise(bn, c, taps[t][c])) > relu(normalise(bn, c, taps[winner][c])))
				winner = t;
		}
		gtaps[winner][c] += g[c];
	}
}

static void pool_mean(float *z, const float *x, size_t pixels, size_t channels)
{
	for (size_t c = 0; c < channels; c++) {
		double sum = 0.0;
		for (size_t p = 0; p < pixels; p++)
			sum += (double)x[p * channels + c];
		z[c] = (float)(sum / (double)pixels);
	}
}

static void pool_mean_backward(float *g, const float *dz, size_t pixels, size_t channels)
{
	for (size_t i = 0; i < pixels * channels; i++)
		g[i] = dz[i % channels] / (float)pixels;
}

const struct kernels kernels_reference = {
	.name = "reference",
	.lanes = 4,
	.panels = {8, 4, 0},
	.gemm = gemm,
	.outer = outer,
	.bn_apply = bn_apply,
	.bn_relu = bn_relu,
	.join = join,
	.join2 = join2,
	.moments = moments,
	.bn_backward = bn_backward,
	.grad_moments = grad_moments,
	.relu_moments = relu_moments,
	.join_moments = join_moments,
	.pool_max = pool_max,
	.pool_max_backward = pool_max_backward,
	.pool_mean = pool_mean,
	.pool_mean_backward = pool_mean_backward,
};
