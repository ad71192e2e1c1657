/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolution steps against a naive float64 convolution: forward with and without BN-ReLU in front, data gradient,
 * weight gradient; direct and Winograd, fp32 and bf16; over kernels, strides, pads, odd sizes and channel counts, on
 * every instruction set, and with the same bits on any team.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/conv.h"
#include "pipeline/cpu.h"
#include "pipeline/philox.h"
#include "tests/helper_net.h"

/* Most relative RMS error of what is computed in fp32, directly or through Winograd's points, and in bf16. */
static const double TOLERANCE_DIRECT = 1e-6, TOLERANCE_WINOGRAD = 1e-5, TOLERANCE_BF16 = 5e-3;

/* ThreadSanitizer makes the naive convolution some fifty times slower. How threads share the work is the same with
 * every instruction set: there one will do. */
#ifdef __SANITIZE_THREAD__
enum { RANDOM_SHAPES = 8 };
#define FIRST_ISA cpu_detect()
#else
enum { RANDOM_SHAPES = 120 };
#define FIRST_ISA CPU_PORTABLE
#endif

enum { THREADS_MAX = 8 };

struct problem {
	struct conv_config config;
	struct conv_shape shape;
	uint32_t rows;
	size_t x_count, y_count, w_count;
	struct tensor x, y, dz; /* as they are kept; bf16 ones are rounded before float64 sees them */
	float *w, *dx, *grad;
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

static struct tensor random_tensor(enum element element, size_t count, uint64_t stream)
{
	float *from = floats(count, stream, -1.0f, 1.0f);
	struct tensor out = {malloc(count * element_bytes(element)), element};
	assert_non_null(out.data);
	for (size_t i = 0; i < count; i++)
		element_set(out.data, element, i, from[i]);
	free(from);
	return out;
}

static double get(struct tensor t, size_t i)
{
	return (double)element_get(t.data, t.element, i);
}

static void make_problem(struct problem *p, const struct conv_config *config, uint32_t rows, uint64_t stream)
{
	struct conv_shape shape = config->shape;
	memset(p, 0, sizeof *p);
	p->config = *config;
	p->shape = shape;
	p->rows = rows;
	p->x_count = (size_t)rows * shape.in_h * shape.in_w * shape.in_c;
	p->y_count = (size_t)rows * shape.out_h * shape.out_w * shape.out_c;
	p->w_count = (size_t)shape.out_c * shape.kernel * shape.kernel * shape.in_c;
	p->x = random_tensor(config->in, p->x_count, stream);
	p->w = floats(p->w_count, stream + 10, -1.0f, 1.0f);
	p->dz = random_tensor(config->out, p->y_count, stream + 20);
	p->y = random_tensor(config->out, p->y_count, stream + 40);
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
		double z = (get(p->x, i) - (double)p->bn_in.mean[c]) * (double)p->bn_in.scale[c] +
			   (double)p->bn_in.shift[c];
		p->act[i] = !config->lazy ? get(p->x, i) : z > 0.0 ? z : 0.0;
	}
	for (size_t i = 0; i < p->y_count; i++) {
		size_t c = i % shape.out_c;
		p->dy64[i] = (double)p->bn_out.a[c] * get(p->dz, i) +
			     (double)p->bn_out.b[c] * (get(p->y, i) - (double)p->bn_out.mean[c]) +
			     (double)p->bn_out.c[c];
	}
	naive(p);
}

static void free_problem(struct problem *p)
{
	void *singles[] = {p->x.data, p->w, p->dz.data, p->y.data, p->dx, p->grad};
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
	float *dx;
	unsigned channels;
};

static void keep_tile(void *ctx, size_t task, const float *tile, size_t first, size_t pixels, float *lanes)
{
	struct seen *seen = ctx;
	memcpy(seen->dx + first * seen->channels, tile, pixels * seen->channels * sizeof(float));
	memset(lanes, 0xff, 3 * seen->channels * sizeof(float)); /* the epilogue owns its lanes */
	seen->pixels[task] += pixels;
}

struct runner {
	struct arena *arena;
	struct team *team;
	struct workspace workspace;
	struct conv conv;
};

static void make_runner(struct runner *r, const struct problem *p, enum cpu_isa isa, unsigned threads)
{
	struct error err = {0};
	memset(r, 0, sizeof *r);
	r->arena = arena_create(0, &err);
	r->team = team_create(threads, NULL, &err);
	assert_non_null(r->arena);
	assert_non_null(r->team);
	r->workspace.kernels = kernels_for(isa);
	assert_int_equal(conv_plan(&r->conv, &p->config, &r->workspace, r->arena, &err), 0);
	assert_int_equal(workspace_alloc(&r->workspace, r->arena, threads, &err), 0);
	r->workspace.team = r->team;
	/* Whatever scratch held before must not show. */
	memset(r->workspace.scratch, 0xff, threads * r->workspace.scratch_bytes);
	memset(r->workspace.weights, 0xff, r->workspace.weight_bytes);
	if (r->workspace.shared != NULL)
		memset(r->workspace.shared, 0xff, r->workspace.shared_bytes);
	memset(r->workspace.partials, 0xff, r->workspace.partial_floats * sizeof(float));
}

static void free_runner(struct runner *r)
{
	team_destroy(r->team);
	arena_destroy(r->arena);
}

/* y is overwritten by forward, but backward needs the y that dy64 was made from: forward goes to a copy, in floats. */
static void run(struct runner *r, struct problem *p, float *y)
{
	struct conv_operand source = {.x = p->x, .bn = p->config.lazy ? &p->bn_in : NULL};
	struct conv_operand gradient = {p->dz, p->y, &p->bn_out};
	struct seen seen = {.dx = p->dx, .channels = p->shape.in_c};
	struct tensor out = {malloc(p->y_count * sizeof(float)), p->config.out};
	assert_non_null(out.data);
	memset(out.data, 0xff, p->y_count * sizeof(float));
	memset(p->grad, 0xff, p->w_count * sizeof(float));
	memset(p->dx, 0xff, p->x_count * sizeof(float));
	conv_forward(&r->conv, &r->workspace, source, p->w, out, p->rows);
	size_t tasks = conv_backward_data(&r->conv, &r->workspace, gradient, p->w, p->rows, keep_tile, &seen);
	conv_backward_weights(&r->conv, &r->workspace, gradient, source, p->grad, p->rows);
	size_t pixels = 0;
	for (size_t t = 0; t < tasks; t++)
		pixels += seen.pixels[t];
	assert_int_equal(pixels, p->x_count / p->shape.in_c);
	for (size_t i = 0; i < p->y_count; i++)
		y[i] = element_get(out.data, out.element, i);
	free(out.data);
}

static void check_distance(const char *what, const struct problem *p, enum cpu_isa isa, const char *path,
	const float *a, const double *b, size_t count, double tolerance)
{
	double distance = helper_distance(a, b, count);
	if (getenv("CONV_ERRORS") != NULL)
		printf("# %s %s %s: %.2g; %ux%ux%u -> %u\n", cpu_isa_name(isa), path, what, distance, p->shape.in_h,
			p->shape.in_w, p->shape.in_c, p->shape.out_c);
	if (!(distance <= tolerance)) {
		const struct conv_shape *s = &p->shape;
		fail_msg("%s, %s, %s: %g off; %u rows of %ux%ux%u -> %u, kernel %u stride %u pad %u", what, path,
			cpu_isa_name(isa), distance, p->rows, s->in_h, s->in_w, s->in_c, s->out_c, s->kernel, s->stride,
			s->pad);
	}
}

static double tolerance_of(enum conv_path path, enum element element, enum element kept)
{
	if (element == ELEMENT_BF16 || kept == ELEMENT_BF16)
		return TOLERANCE_BF16;
	return path == CONV_WINOGRAD ? TOLERANCE_WINOGRAD : TOLERANCE_DIRECT;
}

static void check_problem(const struct conv_config *config, uint32_t rows, enum cpu_isa isa, uint64_t stream)
{
	struct problem p;
	struct runner r;
	make_problem(&p, config, rows, stream);
	make_runner(&r, &p, isa, 2);
	float *y = malloc(p.y_count * sizeof(float));
	run(&r, &p, y);
	const struct conv *c = &r.conv;
	check_distance("forward", &p, isa, conv_path_name(c->forward.path, c->forward.element), y, p.y64, p.y_count,
		tolerance_of(c->forward.path, c->forward.element, config->out));
	check_distance("data gradient", &p, isa, conv_path_name(c->data.path, c->data.element), p.dx, p.dx64, p.x_count,
		tolerance_of(c->data.path, c->data.element, ELEMENT_FP32));
	check_distance("weight gradient", &p, isa, conv_path_name(c->weights.path, c->weights.element), p.grad,
		p.grad64, p.w_count, tolerance_of(c->weights.path, c->weights.element, ELEMENT_FP32));
	free(y);
	free_runner(&r);
	free_problem(&p);
}

/* Every way to compute one shape. */
static void check_shape(struct conv_shape shape, uint32_t rows, bool lazy, enum cpu_isa isa, uint64_t stream)
{
	struct conv_config config = {.shape = shape,
		.lazy = lazy,
		.data_gradient = true,
		.weight_gradient = true,
		.choice = CONV_CHOICE_DIRECT};
	bool winograd = shape.kernel == 3 && shape.stride == 1 && shape.pad == 1;
	for (int choice = CONV_CHOICE_DIRECT; choice <= (winograd ? CONV_CHOICE_WINOGRAD : CONV_CHOICE_DIRECT);
		choice++) {
		config.choice = (enum conv_choice)choice;
		config.in = config.out = ELEMENT_FP32;
		config.precision = PRECISION_FP32;
		check_problem(&config, rows, isa, stream);
		config.precision = PRECISION_BF16;
		config.out = ELEMENT_BF16; /* as a stem: images are floats */
		check_problem(&config, rows, isa, stream);
		config.in = ELEMENT_BF16;
		check_problem(&config, rows, isa, stream);
	}
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
		{32, 32, 16, 16, 3, 1, 1, 2},  /* bands of Winograd's tiles */
		{30, 29, 32, 48, 3, 1, 1, 2},  /* bands, the last one short of a tile */
		{7, 7, 144, 144, 3, 1, 1, 21}, /* points of the batch kept whole, an odd number of images and tiles */
	};
	(void)state;
	for (enum cpu_isa isa = FIRST_ISA; isa <= cpu_detect(); isa++) {
		for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
			struct conv_shape shape = shape_of(cases[i].h, cases[i].w, cases[i].in, cases[i].out,
				cases[i].kernel, cases[i].stride, cases[i].pad);
			check_shape(shape, cases[i].rows, i % 2 == 0, isa, 100 * i);
			if (cases[i].kernel == 1)
				check_shape(shape, cases[i].rows, i % 2 == 1, isa, 100 * i + 1);
		}
	}
}

static void test_random_shapes(void **state)
{
	struct philox random = philox_stream(3, 0, 0, 0, PHILOX_TEST);
	(void)state;
	for (uint64_t i = 0; i < RANDOM_SHAPES; i++) {
		unsigned kernel = 1 + philox_below(&random, 5), stride = 1 + philox_below(&random, 3);
		unsigned pad = philox_below(&random, kernel), least = kernel > 2 * pad ? kernel - 2 * pad : 1;
		unsigned h = least + philox_below(&random, 12), w = least + philox_below(&random, 12);
		unsigned in = 1 + philox_below(&random, 40), out = 1 + philox_below(&random, 100);
		uint32_t rows = 1 + philox_below(&random, 5);
		enum cpu_isa isa = (enum cpu_isa)philox_below(&random, (uint32_t)cpu_detect() + 1);
		bool lazy = philox_below(&random, 2) == 1;
		if (i % 2 == 0) /* half of them even, and such as Winograd takes */
			kernel = 3, stride = 1, pad = 1, in += in % 2, out += out % 2;
		check_shape(shape_of(h, w, in, out, kernel, stride, pad), rows, lazy, isa, 10000 + 100 * i);
	}
}

static void check_teams(const struct conv_config *config, uint32_t rows)
{
	const unsigned teams[] = {1, 2, 3, THREADS_MAX};
	struct problem p;
	make_problem(&p, config, rows, 5);
	size_t total = p.y_count + p.x_count + p.w_count;
	float *first = malloc(total * sizeof(float)), *now = malloc(total * sizeof(float));
	for (size_t t = 0; t < sizeof teams / sizeof teams[0]; t++) {
		struct runner r;
		make_runner(&r, &p, cpu_detect(), teams[t]);
		float *out = t == 0 ? first : now;
		run(&r, &p, out);
		memcpy(out + p.y_count, p.dx, p.x_count * sizeof(float));
		memcpy(out + p.y_count + p.x_count, p.grad, p.w_count * sizeof(float));
		assert_memory_equal(out, first, total * sizeof(float));
		free_runner(&r);
	}
	free(first);
	free(now);
	free_problem(&p);
}

/* Threads, and what scratch memory held, change no bit. */
static void test_any_team(void **state)
{
	(void)state;
	struct conv_config config = {.lazy = true, .data_gradient = true, .weight_gradient = true};
	for (int precision = PRECISION_FP32; precision <= PRECISION_BF16; precision++) {
		config.precision = (enum precision)precision;
		config.in = config.out = precision == PRECISION_BF16 ? ELEMENT_BF16 : ELEMENT_FP32;
		config.shape = shape_of(9, 9, 20, 72, 3, 2, 1);
		check_teams(&config, 67);
		config.shape = shape_of(9, 9, 20, 72, 3, 1, 1);
		check_teams(&config, 67);
		config.shape = shape_of(7, 7, 136, 72, 3, 1, 1);
		check_teams(&config, 67);
	}
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
