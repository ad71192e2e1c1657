/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolution steps against a naive float64 convolution: forward with and without BN-ReLU in front, data gradient
 * (overwriting and adding), weight gradient; over kernels, strides, pads, odd sizes and channel counts, on every
 * instruction set, and with the same bits on any team.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "model/conv.h"
#include "pipeline/cpu.h"
#include "pipeline/philox.h"
#include "tests/helper_net.h"

/* fp32 sums of a few thousand terms in blocks: measured up to 6e-7 of the norm. */
static const double TOLERANCE = 2e-6;

enum { THREADS_MAX = 8 };

struct problem {
	struct conv_shape shape;
	uint32_t rows;
	size_t x_count, y_count, w_count;
	float *x, *w, *y, *dz, *dx, *dx_start, *grad;
	double *act, *y64, *dy64, *dx64, *grad64; /* act: what the convolution sees, relu(bn(x)) */
	struct batchnorm bn_in, bn_out;
};

static float *floats(size_t count, uint64_t stream, float low, float high)
{
	float *out = malloc(count * sizeof(float));
	assert_non_null(out);
	helper_net_fill(out, count, stream, low, high);
	return out;
}

static void make_bn(struct batchnorm *bn, unsigned channels, uint64_t stream)
{
	*bn = (struct batchnorm){.channels = channels,
		.mean = floats(channels, stream, -0.5f, 0.5f),
		.scale = floats(channels, stream + 1, 0.5f, 1.5f),
		.shift = floats(channels, stream + 2, -0.5f, 0.5f),
		.a = floats(channels, stream + 3, 0.5f, 1.5f),
		.b = floats(channels, stream + 4, -0.2f, 0.2f),
		.c = floats(channels, stream + 5, -0.2f, 0.2f)};
}

static void free_bn(struct batchnorm *bn)
{
	free(bn->mean);
	free(bn->scale);
	free(bn->shift);
	free(bn->a);
	free(bn->b);
	free(bn->c);
}

/* Index of the input pixel under output (row, oy, ox) and tap (ky, kx); -1 outside. */
static long input_pixel(const struct conv_shape *s, size_t row, unsigned oy, unsigned ox, unsigned ky, unsigned kx)
{
	long y = (long)(oy * s->stride + ky) - (long)s->pad, x = (long)(ox * s->stride + kx) - (long)s->pad;
	if (y < 0 || x < 0 || y >= (long)s->in_h || x >= (long)s->in_w)
		return -1;
	return ((long)row * (long)s->in_h + y) * (long)s->in_w + x;
}

/* All three results at once: y += act w, dx += w dy, grad += act dy. */
static void naive(struct problem *p)
{
	const struct conv_shape *s = &p->shape;
	memset(p->y64, 0, p->y_count * sizeof(double));
	memset(p->grad64, 0, p->w_count * sizeof(double));
	memset(p->dx64, 0, p->x_count * sizeof(double));
	size_t pixels = (size_t)p->rows * s->out_h * s->out_w;
	for (size_t pixel = 0; pixel < pixels; pixel++) {
		unsigned ox = (unsigned)(pixel % s->out_w), oy = (unsigned)(pixel / s->out_w % s->out_h);
		size_t row = pixel / s->out_w / s->out_h;
		for (unsigned tap = 0; tap < s->kernel * s->kernel; tap++) {
			long in = input_pixel(s, row, oy, ox, tap / s->kernel, tap % s->kernel);
			for (size_t o = 0; in >= 0 && o < s->out_c; o++) {
				size_t w = (o * s->kernel * s->kernel + tap) * s->in_c, x = (size_t)in * s->in_c;
				double dy = p->dy64[pixel * s->out_c + o], sum = 0.0;
				for (size_t c = 0; c < s->in_c; c++) {
					sum += p->act[x + c] * (double)p->w[w + c];
					p->dx64[x + c] += (double)p->w[w + c] * dy;
					p->grad64[w + c] += p->act[x + c] * dy;
				}
				p->y64[pixel * s->out_c + o] += sum;
			}
		}
	}
}

static void make_problem(struct problem *p, struct conv_shape shape, uint32_t rows, bool lazy, uint64_t stream)
{
	memset(p, 0, sizeof *p);
	p->shape = shape;
	p->rows = rows;
	p->x_count = (size_t)rows * shape.in_h * shape.in_w * shape.in_c;
	p->y_count = (size_t)rows * shape.out_h * shape.out_w * shape.out_c;
	p->w_count = (size_t)shape.out_c * shape.kernel * shape.kernel * shape.in_c;
	p->x = floats(p->x_count, stream, -1.0f, 1.0f);
	p->w = floats(p->w_count, stream + 10, -1.0f, 1.0f);
	p->dz = floats(p->y_count, stream + 20, -1.0f, 1.0f);
	p->dx_start = floats(p->x_count, stream + 30, -1.0f, 1.0f);
	p->y = floats(p->y_count, stream + 40, -1.0f, 1.0f);
	p->dx = malloc(p->x_count * sizeof(float));
	p->grad = malloc(p->w_count * sizeof(float));
	p->act = malloc(p->x_count * sizeof(double));
	p->y64 = malloc(p->y_count * sizeof(double));
	p->dy64 = malloc(p->y_count * sizeof(double));
	p->dx64 = malloc(p->x_count * sizeof(double));
	p->grad64 = malloc(p->w_count * sizeof(double));
	make_bn(&p->bn_in, shape.in_c, stream + 50);
	make_bn(&p->bn_out, shape.out_c, stream + 60);
	for (size_t i = 0; i < p->x_count; i++) {
		size_t c = i % shape.in_c;
		double z = ((double)p->x[i] - (double)p->bn_in.mean[c]) * (double)p->bn_in.scale[c] +
			   (double)p->bn_in.shift[c];
		p->act[i] = !lazy ? (double)p->x[i] : z > 0.0 ? z : 0.0;
	}
	for (size_t i = 0; i < p->y_count; i++) {
		size_t c = i % shape.out_c;
		p->dy64[i] = (double)p->bn_out.a[c] * (double)p->dz[i] +
			     (double)p->bn_out.b[c] * ((double)p->y[i] - (double)p->bn_out.mean[c]) +
			     (double)p->bn_out.c[c];
	}
	naive(p);
}

static void free_problem(struct problem *p)
{
	float *singles[] = {p->x, p->w, p->dz, p->dx_start, p->y, p->dx, p->grad};
	double *doubles[] = {p->act, p->y64, p->dy64, p->dx64, p->grad64};
	for (size_t i = 0; i < sizeof singles / sizeof singles[0]; i++)
		free(singles[i]);
	for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++)
		free(doubles[i]);
	free_bn(&p->bn_in);
	free_bn(&p->bn_out);
}

/* Counts pixels of dx that the epilogue was shown: each must come once. */
struct seen {
	size_t pixels[WORKSPACE_TASKS_MAX];
	const float *dx;
	unsigned channels;
};

static void count_pixels(void *ctx, size_t task, float *dx, size_t first, size_t pixels, float *lanes)
{
	struct seen *seen = ctx;
	assert_ptr_equal(dx, seen->dx + first * seen->channels);
	memset(lanes, 0xff, 3 * seen->channels * sizeof(float)); /* the epilogue owns its lanes */
	seen->pixels[task] += pixels;
}

struct runner {
	struct arena *arena;
	struct team *team;
	struct workspace workspace;
	struct conv conv;
};

static void make_runner(struct runner *r, const struct problem *p, bool lazy, enum cpu_isa isa, unsigned threads)
{
	struct error err = {0};
	memset(r, 0, sizeof *r);
	r->arena = arena_create(0, &err);
	r->team = team_create(threads, NULL, &err);
	assert_non_null(r->arena);
	assert_non_null(r->team);
	r->workspace.kernels = kernels_for(isa);
	assert_int_equal(conv_plan(&r->conv, &p->shape, lazy, true, true, &r->workspace, r->arena, &err), 0);
	assert_int_equal(workspace_alloc(&r->workspace, r->arena, threads, &err), 0);
	r->workspace.team = r->team;
	/* Whatever scratch held before must not show. */
	memset(r->workspace.scratch, 0xff, threads * r->workspace.scratch_floats * sizeof(float));
	memset(r->workspace.weights, 0xff, r->workspace.weight_floats * sizeof(float));
	memset(r->workspace.partials, 0xff, r->workspace.partial_floats * sizeof(float));
}

static void free_runner(struct runner *r)
{
	team_destroy(r->team);
	arena_destroy(r->arena);
}

/* y is overwritten by forward, but backward needs the y that dy64 was made from: forward goes to a copy. */
static void run(struct runner *r, struct problem *p, bool lazy, bool add, float *y)
{
	struct conv_source source = {p->x, lazy ? &p->bn_in : NULL};
	struct conv_gradient gradient = {p->dz, p->y, &p->bn_out};
	struct seen seen = {.dx = p->dx, .channels = p->shape.in_c};
	memset(y, 0xff, p->y_count * sizeof(float));
	memset(p->grad, 0xff, p->w_count * sizeof(float));
	if (add)
		memcpy(p->dx, p->dx_start, p->x_count * sizeof(float));
	else
		memset(p->dx, 0xff, p->x_count * sizeof(float));
	conv_forward(&r->conv, &r->workspace, source, p->w, y, p->rows, false);
	size_t tasks =
		conv_backward_data(&r->conv, &r->workspace, gradient, p->w, p->dx, add, p->rows, count_pixels, &seen);
	conv_backward_weights(&r->conv, &r->workspace, gradient, source, p->grad, p->rows);
	size_t pixels = 0;
	for (size_t t = 0; t < tasks; t++)
		pixels += seen.pixels[t];
	assert_int_equal(pixels, p->x_count / p->shape.in_c);
}

static void check_distance(const char *what, const struct problem *p, const float *a, const double *b, size_t count)
{
	double distance = helper_distance(a, b, count);
	if (!(distance <= TOLERANCE)) {
		const struct conv_shape *s = &p->shape;
		fail_msg("%s: %g off; %u rows of %ux%ux%u -> %u, kernel %u stride %u pad %u", what, distance, p->rows,
			s->in_h, s->in_w, s->in_c, s->out_c, s->kernel, s->stride, s->pad);
	}
}

static void check_problem(
	struct conv_shape shape, uint32_t rows, bool lazy, bool add, enum cpu_isa isa, uint64_t stream)
{
	struct problem p;
	struct runner r;
	make_problem(&p, shape, rows, lazy, stream);
	make_runner(&r, &p, lazy, isa, 2);
	float *y = malloc(p.y_count * sizeof(float));
	run(&r, &p, lazy, add, y);
	for (size_t i = 0; add && i < p.x_count; i++)
		p.dx64[i] += (double)p.dx_start[i];
	check_distance("forward", &p, y, p.y64, p.y_count);
	check_distance("data gradient", &p, p.dx, p.dx64, p.x_count);
	check_distance("weight gradient", &p, p.grad, p.grad64, p.w_count);
	free(y);
	free_runner(&r);
	free_problem(&p);
}

static struct conv_shape shape_of(
	unsigned h, unsigned w, unsigned in, unsigned out, unsigned kernel, unsigned stride, unsigned pad)
{
	return (struct conv_shape){h, w, in, (h + 2 * pad - kernel) / stride + 1, (w + 2 * pad - kernel) / stride + 1,
		out, kernel, stride, pad};
}

/* The shapes that nets are made of, and their edges. */
static void test_known_shapes(void **state)
{
	const struct {
		unsigned h, w, in, out, kernel, stride, pad;
		uint32_t rows;
	} cases[] = {
		{32, 32, 3, 16, 3, 1, 1, 2},   /* CIFAR stem */
		{37, 35, 3, 64, 7, 2, 3, 2},   /* ImageNet stem, odd */
		{16, 16, 16, 16, 3, 1, 1, 3},  /* narrow block */
		{8, 8, 64, 128, 3, 2, 1, 5},   /* strided block */
		{7, 7, 64, 64, 3, 1, 1, 70},   /* more rows than tasks */
		{8, 8, 32, 64, 1, 2, 0, 3},    /* downsample */
		{1, 1, 512, 128, 1, 1, 0, 33}, /* dense */
		{1, 1, 7, 5, 3, 1, 1, 1},      /* one pixel, all border */
		{2, 2, 8, 8, 3, 2, 1, 9},      /* smaller than the kernel */
		{4, 4, 130, 70, 3, 1, 1, 4},   /* panels that end early */
		{1, 1, 1, 1, 1, 1, 0, 1},      /* the least */
		{90, 90, 40, 24, 3, 1, 1, 1},  /* bands of one image, forward and backward */
		{91, 90, 24, 40, 3, 2, 1, 1},  /* strided bands, odd height */
		{120, 64, 64, 8, 1, 1, 0, 1},  /* bands without packing */
		{5, 5, 4, 4, 1, 3, 0, 2},      /* most pixels reached by no tap */
		{6, 6, 256, 256, 3, 1, 1, 9},  /* columns in groups, few splits */
	};
	(void)state;
	for (enum cpu_isa isa = CPU_PORTABLE; isa <= cpu_detect(); isa++) {
		for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
			struct conv_shape shape = shape_of(cases[i].h, cases[i].w, cases[i].in, cases[i].out,
				cases[i].kernel, cases[i].stride, cases[i].pad);
			check_problem(shape, cases[i].rows, i % 2 == 0, i % 3 == 0, isa, 100 * i);
			if (cases[i].kernel == 1)
				check_problem(shape, cases[i].rows, i % 2 == 1, false, isa, 100 * i + 1);
		}
	}
}

static void test_random_shapes(void **state)
{
	struct philox random = philox_stream(3, 0, 0, 0, PHILOX_TEST);
	(void)state;
	for (uint64_t i = 0; i < 120; i++) {
		unsigned kernel = 1 + philox_below(&random, 5), stride = 1 + philox_below(&random, 3);
		unsigned pad = philox_below(&random, kernel), least = kernel > 2 * pad ? kernel - 2 * pad : 1;
		unsigned h = least + philox_below(&random, 12), w = least + philox_below(&random, 12);
		unsigned in = 1 + philox_below(&random, 40), out = 1 + philox_below(&random, 100);
		uint32_t rows = 1 + philox_below(&random, 5);
		enum cpu_isa isa = (enum cpu_isa)philox_below(&random, (uint32_t)cpu_detect() + 1);
		bool lazy = philox_below(&random, 2) == 1, add = philox_below(&random, 2) == 1;
		check_problem(shape_of(h, w, in, out, kernel, stride, pad), rows, lazy, add, isa, 10000 + 100 * i);
	}
}

/* Threads, and what scratch memory held, change no bit. */
static void test_any_team(void **state)
{
	const unsigned teams[] = {1, 2, 3, THREADS_MAX};
	(void)state;
	struct problem p;
	make_problem(&p, shape_of(9, 9, 20, 72, 3, 2, 1), 67, true, 5);
	size_t total = p.y_count + p.x_count + p.w_count;
	float *first = malloc(total * sizeof(float)), *now = malloc(total * sizeof(float));
	for (size_t t = 0; t < sizeof teams / sizeof teams[0]; t++) {
		struct runner r;
		make_runner(&r, &p, true, cpu_detect(), teams[t]);
		float *out = t == 0 ? first : now;
		run(&r, &p, true, false, out);
		memcpy(out + p.y_count, p.dx, p.x_count * sizeof(float));
		memcpy(out + p.y_count + p.x_count, p.grad, p.w_count * sizeof(float));
		assert_memory_equal(out, first, total * sizeof(float));
		free_runner(&r);
	}
	free(first);
	free(now);
	free_problem(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_shapes),
		cmocka_unit_test(test_random_shapes),
		cmocka_unit_test(test_any_team),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
