/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels as anyone would write them: one scalar loop nest each, sums in double. The fast ones are tested against
 * these, and these against formulas in float64.
 */
#include <string.h>

#include "model/kernels.h"

static float get(struct tensor t, size_t i)
{
	return element_get(t.data, t.element, i);
}

static void set(struct tensor t, size_t i, float x)
{
	element_set(t.data, t.element, i, x);
}

/* NaN goes through, so that a diverged net is seen in its output. */
static float relu(float x)
{
	return x <= 0.0f ? 0.0f : x;
}

static float normalise(struct bn_forward bn, size_t c, float y)
{
	return (y - bn.mean[c]) * bn.scale[c] + bn.beta[c];
}

/* ------------------------------------------------------------------------------------------------ matrix products */

/* The product of two units: of two floats, or of two pairs. */
static double unit_product(enum element element, const void *a, size_t i, const void *b, size_t j)
{
	if (element == ELEMENT_FP32)
		return (double)((const float *)a)[i] * (double)((const float *)b)[j];
	const bf16 *x = (const bf16 *)a + 2 * i, *y = (const bf16 *)b + 2 * j;
	return (double)bf16_to_float(x[0]) * (double)bf16_to_float(y[0]) +
	       (double)bf16_to_float(x[1]) * (double)bf16_to_float(y[1]);
}

static void gemm(const struct gemm_job *job)
{
	for (size_t r = 0; r < job->rows; r++) {
		float *c = job->c + job->c_offset[r];
		for (unsigned n = 0; n < job->cols; n++) {
			double sum = job->add ? (double)c[n] : 0.0;
			size_t b = n;
			for (size_t s = 0; s < job->segment_count; s++) {
				size_t a = job->a_offset[r] + job->segments[s].offset;
				for (uint32_t k = 0; k < job->segments[s].length; k++, b += job->width)
					sum += unit_product(job->element, job->a, a + k, job->b, b);
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
				sum += unit_product(
					job->element, job->a, job->a_offset[p] + m, job->b, p * job->b_stride + n);
			*c = (float)sum;
		}
	}
}

static void pair(bf16 *out, const bf16 *in, const uint32_t *in_offset, size_t in_stride, size_t pixels, size_t columns,
	size_t out_columns)
{
	memset(out, 0, (pixels + 1) / 2 * 2 * out_columns * sizeof(bf16));
	for (size_t p = 0; p < pixels; p++) {
		size_t from = in_offset != NULL ? in_offset[p] : p * in_stride;
		for (size_t c = 0; c < columns; c++)
			out[(p / 2 * out_columns + c) * 2 + p % 2] = in[from + c];
	}
}

/* --------------------------------------------------------------------------------- passes over [pixels][channels] */

static void convert(struct tensor z, struct tensor y, size_t count)
{
	for (size_t i = 0; i < count; i++)
		set(z, i, get(y, i));
}

static void bn_apply(struct tensor z, struct tensor y, struct bn_forward bn, size_t pixels, size_t channels)
{
	for (size_t i = 0; i < pixels * channels; i++)
		set(z, i, normalise(bn, i % channels, get(y, i)));
}

static void bn_relu(struct tensor z, struct tensor y, struct bn_forward bn, size_t pixels, size_t channels)
{
	for (size_t i = 0; i < pixels * channels; i++)
		set(z, i, relu(normalise(bn, i % channels, get(y, i))));
}

static void join(
	struct tensor z, struct tensor y, struct bn_forward bn, struct tensor skip, size_t pixels, size_t channels)
{
	for (size_t i = 0; i < pixels * channels; i++)
		set(z, i, relu(normalise(bn, i % channels, get(y, i)) + get(skip, i)));
}

static void join2(struct tensor z, struct tensor y, struct bn_forward bn, struct tensor y2, struct bn_forward bn2,
	size_t pixels, size_t channels)
{
	for (size_t i = 0; i < pixels * channels; i++)
		set(z, i, relu(normalise(bn, i % channels, get(y, i)) + normalise(bn2, i % channels, get(y2, i))));
}

static void store_moments(struct tensor y, const float *tile, float *d1, float *d2, size_t pixels, size_t channels)
{
	for (size_t i = 0; i < pixels * channels; i++)
		set(y, i, tile[i]);
	for (size_t c = 0; c < channels; c++) {
		double sum = 0.0, square = 0.0;
		for (size_t p = 0; p < pixels; p++) {
			double d = (double)get(y, p * channels + c) - (double)get(y, c);
			sum += d;
			square += d * d;
		}
		d1[c] = (float)sum;
		d2[c] = (float)square;
	}
}

static void bn_backward(struct tensor dy, size_t dy_stride, struct tensor dz, struct tensor y, size_t stride,
	struct bn_backward bn, size_t pixels, size_t channels)
{
	for (size_t p = 0; p < pixels; p++) {
		for (size_t c = 0; c < channels; c++) {
			size_t i = p * stride + c;
			set(dy, p * dy_stride + c, bn.a[c] * get(dz, i) + bn.b[c] * (get(y, i) - bn.mean[c]) + bn.c[c]);
		}
	}
}

static void finish(const struct finish_job *job)
{
	const bool sums = job->y.data != NULL, two = job->y2.data != NULL;
	for (size_t c = 0; c < job->channels; c++) {
		double s1 = 0.0, s2 = 0.0, s3 = 0.0;
		for (size_t i = c; i < job->pixels * job->channels; i += job->channels) {
			float g = job->g[i];
			if (job->add)
				g += get(job->dx, i);
			if (sums && job->bn.mean != NULL && normalise(job->bn, c, get(job->y, i)) <= 0.0f)
				g = 0.0f;
			if (job->z.data != NULL && get(job->z, i) <= 0.0f)
				g = 0.0f;
			set(job->dx, i, g);
			s1 += (double)g;
			if (sums)
				s2 += (double)g * ((double)get(job->y, i) - (double)job->mean[c]);
			if (two)
				s3 += (double)g * ((double)get(job->y2, i) - (double)job->mean2[c]);
		}
		if (sums) {
			job->s1[c] = (float)s1;
			job->s2[c] = (float)s2;
		}
		if (two)
			job->s3[c] = (float)s3;
	}
}

static void pool_max(struct tensor z, const struct tensor taps[], size_t count, struct bn_forward bn, size_t channels)
{
	for (size_t c = 0; c < channels; c++) {
		float best = 0.0f;
		for (size_t t = 0; t < count; t++) {
			float x = normalise(bn, c, get(taps[t], c));
			best = x <= best ? best : x;
		}
		set(z, c, best);
	}
}

static void pool_max_backward(float *const gtaps[], const struct tensor taps[], size_t count, struct tensor g,
	struct bn_forward bn, size_t channels)
{
	for (size_t c = 0; c < channels; c++) {
		size_t best = 0;
		for (size_t t = 1; t < count; t++) {
			if (!(relu(normalise(bn, c, get(taps[t], c))) <= relu(normalise(bn, c, get(taps[best], c)))))
				best = t;
		}
		gtaps[best][c] += get(g, c);
	}
}

static void pool_mean(float *z, struct tensor x, size_t pixels, size_t channels)
{
	for (size_t c = 0; c < channels; c++) {
		double sum = 0.0;
		for (size_t p = 0; p < pixels; p++)
			sum += (double)get(x, p * channels + c);
		z[c] = (float)(sum / (double)pixels);
	}
}

static void pool_mean_backward(float *g, const float *dz, size_t pixels, size_t channels)
{
	for (size_t i = 0; i < pixels * channels; i++)
		g[i] = dz[i % channels] / (float)pixels;
}

/* ----------------------------------------------------------------------------------------- Winograd's transforms */

/* The matrices of F(2x2) and F(4x4), as Lavin and Gray print them. */
struct matrices {
	unsigned m, n;
	double bt[6][6], at[4][6], g[6][3];
};

static const struct matrices F2 = {2, 4, {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}},
	{{1, 1, 1, 0}, {0, 1, -1, -1}}, {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}}};

static const struct matrices F4 = {4, 6,
	{{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0}, {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0},
		{0, 4, 0, -5, 0, 1}},
	{{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}},
	{{1. / 4, 0, 0}, {-1. / 6, -1. / 6, -1. / 6}, {-1. / 6, 1. / 6, -1. / 6}, {1. / 24, 1. / 12, 1. / 6},
		{1. / 24, -1. / 12, 1. / 6}, {0, 0, 1}}};

/* v = B^T x B, or A x A^T when `gradient`. */
static void into_points(const struct winograd_in_job *job, bool gradient)
{
	const struct matrices *f = job->m == 2 ? &F2 : &F4;
	const unsigned size = gradient ? f->m : f->n;
	for (size_t at = 0; at < job->tiles * job->channels; at++) {
		size_t tile = at / job->channels, c = at % job->channels;
		for (unsigned p = 0; p < f->n * f->n; p++) {
			double sum = 0.0;
			for (unsigned i = 0; i < size * size; i++) {
				unsigned y = i / size, x = i % size;
				double left = gradient ? f->at[y][p / f->n] : f->bt[p / f->n][y];
				double right = gradient ? f->at[x][p % f->n] : f->bt[p % f->n][x];
				sum += left * right *
				       (double)job->x[job->x_offset[tile] + y * job->row_stride +
						      x * job->pixel_stride + c];
			}
			size_t to = job->pairs ? tile / 2 * 2 * job->tile_stride + 2 * c + tile % 2
					       : tile * job->tile_stride + c;
			set(job->v, p * job->point_stride + to, (float)sum);
			if (job->pairs && tile % 2 == 0 && tile + 1 == job->tiles)
				set(job->v, p * job->point_stride + to + 1, 0.0f);
		}
	}
}

static void transform_in(const struct winograd_in_job *job)
{
	into_points(job, false);
}

static void transform_gradient(const struct winograd_in_job *job)
{
	into_points(job, true);
}

static void transform_out(const struct winograd_out_job *job)
{
	const struct matrices *f = job->m == 2 ? &F2 : &F4;
	for (size_t at = 0; at < job->tiles * job->cols; at++) {
		size_t tile = at / job->cols, c = at % job->cols;
		for (unsigned y = 0; y < job->tile[tile].rows; y++) {
			for (unsigned x = 0; x < job->tile[tile].cols; x++) {
				double sum = 0.0;
				for (unsigned p = 0; p < f->n * f->n; p++)
					sum += f->at[y][p / f->n] * f->at[x][p % f->n] *
					       (double)job->products[p * job->point_stride + tile * job->width + c];
				job->y[job->tile[tile].offset + y * job->row_stride + x * job->pixel_stride + c] =
					(float)sum;
			}
		}
	}
}

/* One lane: the reference's vectors hold one float. */
static void transform_weights(unsigned m, struct tensor u, size_t point_stride, const float *w, const float *w2)
{
	const struct matrices *f = m == 2 ? &F2 : &F4;
	for (unsigned p = 0; p < f->n * f->n; p++) {
		double sum = 0.0, sum2 = 0.0;
		for (unsigned i = 0; i < 9; i++) {
			double factor = f->g[p / f->n][i / 3] * f->g[p % f->n][i % 3];
			sum += factor * (double)w[i];
			if (u.element == ELEMENT_BF16)
				sum2 += factor * (double)w2[i];
		}
		set(u, p * point_stride, (float)sum);
		if (u.element == ELEMENT_BF16)
			set(u, p * point_stride + 1, (float)sum2);
	}
}

static void transform_weight_gradient(unsigned m, float *dw, const float *du, size_t point_stride)
{
	const struct matrices *f = m == 2 ? &F2 : &F4;
	for (unsigned i = 0; i < 9; i++) {
		double sum = 0.0;
		for (unsigned p = 0; p < f->n * f->n; p++)
			sum += f->g[p / f->n][i / 3] * f->g[p % f->n][i % 3] * (double)du[p * point_stride];
		dw[i] = (float)sum;
	}
}

static const struct products products = {gemm, outer, pair};
static const struct passes passes = {convert, bn_apply, bn_relu, join, join2, store_moments, bn_backward, finish,
	pool_max, pool_max_backward, pool_mean, pool_mean_backward};
static const struct transforms transforms = {
	transform_in, transform_gradient, transform_out, transform_weights, transform_weight_gradient};

const struct kernels kernels_reference = {
	.name = "reference",
	.lanes = 1,
	.panels = {1, 0, 0},
	.products = &products,
	.passes = &passes,
	.transforms = &transforms,
};
