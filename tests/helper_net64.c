/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helper_net64.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct tensor {
	size_t rows, h, w, c;
	double *data;
};

struct pass {
	struct net *net;
	const struct net64_move *move;
};

static struct tensor make(size_t rows, size_t h, size_t w, size_t c)
{
	struct tensor t = {rows, h, w, c, calloc(rows * h * w * c, sizeof(double))};
	assert_non_null(t.data);
	return t;
}

static struct tensor copy(const struct tensor *t)
{
	struct tensor to = make(t->rows, t->h, t->w, t->c);
	memcpy(to.data, t->data, t->rows * t->h * t->w * t->c * sizeof(double));
	return to;
}

/* The parameter "module.part" in double, moved when it is the one; NULL when there is none. */
static double *values(const struct pass *pass, const char *module, const char *part)
{
	char name[128];
	snprintf(name, sizeof name, "%s.%s", module, part);
	const struct param *param = net_find_param(pass->net, name);
	if (param == NULL)
		return NULL;
	double *out = malloc(param->count * sizeof(double));
	assert_non_null(out);
	for (size_t k = 0; k < param->count; k++) {
		out[k] = (double)param->value[k];
		if (pass->move != NULL && pass->move->param == param)
			out[k] += pass->move->step * (double)pass->move->direction[k];
	}
	return out;
}

static void convolve_pixel(const struct tensor *x, const double *w, size_t kernel, size_t stride, size_t pad,
	size_t row, size_t oy, size_t ox, double *out, size_t channels)
{
	for (size_t ky = 0; ky < kernel; ky++) {
		for (size_t kx = 0; kx < kernel; kx++) {
			size_t y = oy * stride + ky - pad, xx = ox * stride + kx - pad; /* wraps when negative */
			if (y >= x->h || xx >= x->w)
				continue;
			const double *in = x->data + ((row * x->h + y) * x->w + xx) * x->c;
			for (size_t o = 0; o < channels; o++) {
				const double *tap = w + ((o * kernel + ky) * kernel + kx) * x->c;
				for (size_t c = 0; c < x->c; c++)
					out[o] += in[c] * tap[c];
			}
		}
	}
}

static struct tensor convolve(
	const struct pass *pass, const char *module, const struct tensor *x, size_t kernel, size_t stride, size_t pad)
{
	char name[128];
	snprintf(name, sizeof name, "%s.weight", module);
	const struct param *param = net_find_param(pass->net, name);
	assert_non_null(param);
	double *w = values(pass, module, "weight");
	struct tensor y = make(x->rows, (x->h + 2 * pad - kernel) / stride + 1, (x->w + 2 * pad - kernel) / stride + 1,
		param->shape[0]);
	for (size_t p = 0; p < y.rows * y.h * y.w; p++)
		convolve_pixel(x, w, kernel, stride, pad, p / y.w / y.h, p / y.w % y.h, p % y.w, y.data + p * y.c, y.c);
	free(w);
	return y;
}

/* In place. */
static void normalise(const struct pass *pass, const char *module, struct tensor *t, bool relu)
{
	double *gamma = values(pass, module, "weight"), *beta = values(pass, module, "bias");
	size_t pixels = t->rows * t->h * t->w;
	assert_non_null(gamma);
	for (size_t c = 0; c < t->c; c++) {
		double mean = 0.0, variance = 0.0;
		for (size_t p = 0; p < pixels; p++)
			mean += t->data[p * t->c + c] / (double)pixels;
		for (size_t p = 0; p < pixels; p++)
			variance += pow(t->data[p * t->c + c] - mean, 2.0) / (double)pixels;
		for (size_t p = 0; p < pixels; p++) {
			double *x = &t->data[p * t->c + c];
			*x = (*x - mean) / sqrt(variance + 1e-5) * gamma[c] + (beta == NULL ? 0.0 : beta[c]);
			*x = relu && *x < 0.0 ? 0.0 : *x;
		}
	}
	free(gamma);
	free(beta);
}

static struct tensor max_pool(const struct tensor *x)
{
	struct tensor y = make(x->rows, (x->h - 1) / 2 + 1, (x->w - 1) / 2 + 1, x->c);
	for (size_t i = 0; i < y.rows * y.h * y.w * y.c; i++) {
		size_t c = i % y.c, ox = i / y.c % y.w, oy = i / y.c / y.w % y.h, row = i / y.c / y.w / y.h;
		y.data[i] = -INFINITY;
		for (size_t tap = 0; tap < 9; tap++) {
			size_t iy = 2 * oy + tap / 3 - 1, ix = 2 * ox + tap % 3 - 1;
			if (iy < x->h && ix < x->w)
				y.data[i] = fmax(y.data[i], x->data[((row * x->h + iy) * x->w + ix) * x->c + c]);
		}
	}
	return y;
}

/* Consumes x. */
static struct tensor residual_block(
	const struct pass *pass, const char *name, struct tensor x, size_t stride, bool bottleneck)
{
	char conv[96], bn[96];
	struct tensor y = copy(&x);
	unsigned convs = bottleneck ? 3 : 2;
	for (unsigned i = 1; i <= convs; i++) {
		bool wide = !bottleneck || i == 2;
		snprintf(conv, sizeof conv, "%s.conv%u", name, i);
		snprintf(bn, sizeof bn, "%s.bn%u", name, i);
		size_t own_stride = i == (bottleneck ? 2u : 1u) ? stride : 1;
		struct tensor next = convolve(pass, conv, &y, wide ? 3 : 1, own_stride, wide ? 1 : 0);
		free(y.data);
		y = next;
		normalise(pass, bn, &y, i < convs);
	}
	struct tensor skip;
	if (stride != 1 || x.c != y.c) {
		snprintf(conv, sizeof conv, "%s.downsample.0", name);
		snprintf(bn, sizeof bn, "%s.downsample.1", name);
		skip = convolve(pass, conv, &x, 1, stride, 0);
		normalise(pass, bn, &skip, false);
	} else {
		skip = copy(&x);
	}
	for (size_t i = 0; i < y.rows * y.h * y.w * y.c; i++)
		y.data[i] = fmax(0.0, y.data[i] + skip.data[i]);
	free(skip.data);
	free(x.data);
	return y;
}

/* Consumes x: stem, blocks and the mean over pixels. */
static struct tensor encode(const struct pass *pass, const struct net_config *config, struct tensor x)
{
	bool imagenet = config->stem == NET_STEM_IMAGENET;
	struct tensor y = imagenet ? convolve(pass, "conv1", &x, 7, 2, 3) : convolve(pass, "conv1", &x, 3, 1, 1);
	free(x.data);
	normalise(pass, "bn1", &y, true);
	if (imagenet) {
		struct tensor pooled = max_pool(&y);
		free(y.data);
		y = pooled;
	}
	char name[64];
	for (unsigned stage = 1; stage <= 4; stage++) {
		for (unsigned i = 0;; i++) {
			snprintf(name, sizeof name, "layer%u.%u.conv1.weight", stage, i);
			if (net_find_param(pass->net, name) == NULL)
				break;
			snprintf(name, sizeof name, "layer%u.%u", stage, i);
			y = residual_block(pass, name, y, i == 0 && stage > 1 ? 2 : 1, config->depth >= 50);
		}
	}
	struct tensor h = make(y.rows, 1, 1, y.c);
	for (size_t i = 0; i < y.rows * y.h * y.w * y.c; i++)
		h.data[i / y.c / y.w / y.h * y.c + i % y.c] += y.data[i] / (double)(y.h * y.w);
	free(y.data);
	return h;
}

/* Consumes x: the projection head, or the classifier. */
static struct tensor project(const struct pass *pass, enum net_head head, struct tensor x)
{
	char dense[16], bn[16];
	bool classifier = net_is_classifier(head);
	unsigned layers = !classifier ? (unsigned)head : head == NET_HEAD_HIDDEN_CLASSIFIER ? 1 : 0;
	for (unsigned i = 0; i < layers; i++) {
		snprintf(dense, sizeof dense, "head.%u", 3 * i);
		snprintf(bn, sizeof bn, "head.%u", 3 * i + 1);
		struct tensor next = convolve(pass, dense, &x, 1, 1, 0);
		free(x.data);
		x = next;
		normalise(pass, bn, &x, classifier || i + 1 < layers);
	}
	if (!classifier)
		return x;
	struct tensor logits = convolve(pass, "fc", &x, 1, 1, 0);
	double *bias = values(pass, "fc", "bias");
	assert_non_null(bias);
	for (size_t i = 0; i < logits.rows * logits.c; i++)
		logits.data[i] += bias[i % logits.c];
	free(bias);
	free(x.data);
	return logits;
}

double net64_loss(const struct net64 *twin, const float *x, const float *target, const struct net64_move *move)
{
	const struct net_config *config = &twin->config;
	struct pass pass = {twin->net, move};
	struct tensor images = make(config->max_rows, config->size, config->size, 3);
	for (size_t i = 0; i < images.rows * images.h * images.w * 3; i++)
		images.data[i] = (double)x[i];
	struct tensor z = encode(&pass, config, images);
	z = project(&pass, config->head, z);
	double loss = 0.0;
	for (size_t i = 0; i < z.rows * z.c; i++)
		loss += pow(z.data[i] - (double)target[i], 2.0) / 2.0 / (double)z.rows;
	free(z.data);
	return loss;
}
