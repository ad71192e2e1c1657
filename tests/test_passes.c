/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The passes of every instruction set against the scalar reference, from and to fp32 and bf16: single pixels, channels
 * that fill no vector, unaligned blocks, outputs that held NaN before, and nothing written beyond their ends. The
 * reference writes fp32 here; its own bf16 is compared like any other, and its rounding with the definition.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/kernels.h"
#include "tests/helper_block.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const enum element ELEMENTS[] = {ELEMENT_FP32, ELEMENT_BF16};

enum { MEAN, SCALE, BETA, MEAN2, SCALE2, BETA2, COEFFICIENTS, TAPS = 9 };

/* What the passes read: blocks of one type, gradients and coefficients in fp32. */
struct input {
	size_t pixels, channels, n;
	struct block y, y2, z;
	struct block g, k[COEFFICIENTS];
	struct bn_forward bn, bn2;
	struct bn_backward back;
};

/* Rounds down to a multiple of `step`, and adds `more`. */
static void coarsen(struct block *block, float step, float more)
{
	for (size_t i = 0; i < block->count; i++) {
		float x = element_get(block->tensor.data, block->tensor.element, i);
		element_set(block->tensor.data, block->tensor.element, i, floorf(x / step) * step + more);
	}
}

/* coarse: numbers so short that bn(y) is exact and never zero. All tables then agree on which is positive and which is
 * the greatest, and many are equal. */
static struct input make_input(enum element element, size_t pixels, size_t channels, bool coarse)
{
	struct input in = {.pixels = pixels, .channels = channels, .n = pixels * channels};
	in.y = block_random(element, in.n, 10, -2.0f, 2.0f);
	in.y2 = block_random(element, in.n, 11, -2.0f, 2.0f);
	in.z = block_random(element, in.n, 12, -2.0f, 2.0f);
	in.g = block_random(ELEMENT_FP32, in.n, 13, -2.0f, 2.0f);
	for (size_t i = 0; i < COEFFICIENTS; i++) {
		in.k[i] = block_random(ELEMENT_FP32, channels, 20 + i, -1.0f, 1.0f);
		if (coarse)
			coarsen(&in.k[i], 0.25f, i == BETA || i == BETA2 ? 1.0f / 64 : 0.0f);
	}
	if (coarse)
		coarsen(&in.y, 0.125f, 0.0f);
	float *k[COEFFICIENTS];
	for (size_t i = 0; i < COEFFICIENTS; i++)
		k[i] = block_floats(&in.k[i]);
	in.bn = (struct bn_forward){k[MEAN], k[SCALE], k[BETA]};
	in.bn2 = (struct bn_forward){k[MEAN2], k[SCALE2], k[BETA2]};
	in.back = (struct bn_backward){k[MEAN], k[SCALE], k[BETA], k[MEAN2]};
	return in;
}

static void free_input(struct input *in)
{
	struct block *blocks[] = {&in->y, &in->y2, &in->z, &in->g};
	for (size_t i = 0; i < COUNT(blocks); i++)
		block_free("a pass into its input", blocks[i]);
	for (size_t i = 0; i < COEFFICIENTS; i++)
		block_free("a pass into its coefficients", &in->k[i]);
}

static void run_convert(const struct passes *t, struct tensor z, const struct input *in)
{
	t->convert(z, in->y.tensor, in->n);
}

static void run_bn_apply(const struct passes *t, struct tensor z, const struct input *in)
{
	t->bn_apply(z, in->y.tensor, in->bn, in->pixels, in->channels);
}

static void run_bn_relu(const struct passes *t, struct tensor z, const struct input *in)
{
	t->bn_relu(z, in->y.tensor, in->bn, in->pixels, in->channels);
}

static void run_join(const struct passes *t, struct tensor z, const struct input *in)
{
	t->join(z, in->y.tensor, in->bn, in->z.tensor, in->pixels, in->channels);
}

static void run_join2(const struct passes *t, struct tensor z, const struct input *in)
{
	t->join2(z, in->y.tensor, in->bn, in->y2.tensor, in->bn2, in->pixels, in->channels);
}

/* All channels into lines of their own width. */
static void run_bn_backward(const struct passes *t, struct tensor dy, const struct input *in)
{
	t->bn_backward(dy, in->channels, in->z.tensor, in->y.tensor, in->channels, in->back, in->pixels, in->channels);
}

/* The channels but two, from the second on, into narrower lines with room for one more. */
static void run_bn_backward_part(const struct passes *t, struct tensor dy, const struct input *in)
{
	if (in->channels > 2)
		t->bn_backward(dy, in->channels - 1, tensor_at(in->z.tensor, 1), tensor_at(in->y.tensor, 1),
			in->channels, in->back, in->pixels, in->channels - 2);
}

static void run_pool_mean(const struct passes *t, struct tensor z, const struct input *in)
{
	t->pool_mean(z.data, in->y.tensor, in->pixels, in->channels);
}

static void run_pool_mean_backward(const struct passes *t, struct tensor g, const struct input *in)
{
	t->pool_mean_backward(g.data, in->bn.beta, in->pixels, in->channels);
}

enum output { ANY, SAME, FLOATS }; /* types that a pass writes: either, its input's, fp32 */

static const struct pass {
	const char *name;
	void (*run)(const struct passes *t, struct tensor out, const struct input *in);
	enum output output;
	double tolerance;
} PASSES[] = {
	{"convert", run_convert, ANY, 0.0},
	{"bn_apply", run_bn_apply, ANY, 1e-7},
	{"bn_relu", run_bn_relu, ANY, 1e-7},
	{"join", run_join, SAME, 4e-7},
	{"join2", run_join2, SAME, 4e-7},
	{"bn_backward", run_bn_backward, ANY, 4e-7},
	{"bn_backward of some channels", run_bn_backward_part, ANY, 4e-7},
	{"pool_mean", run_pool_mean, FLOATS, 1e-7},
	{"pool_mean_backward", run_pool_mean_backward, FLOATS, 0.0},
};

static void check_simple_passes(const struct kernels *k, const struct input *in)
{
	for (size_t i = 0; i < 2 * COUNT(PASSES); i++) {
		const struct pass *pass = &PASSES[i / 2];
		const enum element from = in->y.tensor.element, to = ELEMENTS[i % 2];
		if ((pass->output == SAME && to != from) || (pass->output == FLOATS && to != ELEMENT_FP32))
			continue;
		struct block found = block_poisoned(to, in->n), expected = block_poisoned(ELEMENT_FP32, in->n);
		pass->run(k->passes, found.tensor, in);
		pass->run(kernels_reference.passes, expected.tensor, in);
		block_compare(pass->name, &found, &expected, pass->tolerance);
	}
}

static void check_store_moments(const struct kernels *k, const struct input *in)
{
	struct block y[2], d[2][2];
	for (int w = 0; w < 2; w++) {
		y[w] = block_poisoned(in->y.tensor.element, in->n);
		for (int i = 0; i < 2; i++)
			d[i][w] = block_poisoned(ELEMENT_FP32, in->channels);
		(w == 0 ? k : &kernels_reference)
			->passes->store_moments(y[w].tensor, block_floats(&in->g), block_floats(&d[0][w]),
				block_floats(&d[1][w]), in->pixels, in->channels);
	}
	struct block tile = block_as(&in->g, ELEMENT_FP32);
	block_free("store_moments", &y[1]);
	block_compare("store_moments", &y[0], &tile, 0.0);
	block_compare("store_moments, first", &d[0][0], &d[0][1], 1e-6 * (double)in->pixels);
	block_compare("store_moments, second", &d[1][0], &d[1][1], 4e-6 * (double)in->pixels);
}

static const struct finish_kind {
	const char *name;
	bool bn, z, y, y2;
} FINISHES[] = {
	{"finish, plain", false, false, false, false},
	{"finish, sums", false, false, true, false},
	{"finish, relu", true, false, true, false},
	{"finish, join", false, true, true, false},
	{"finish, join2", false, true, true, true},
};

static void check_finish(const struct kernels *k, const struct input *in, const struct finish_kind *kind, bool add)
{
	const struct tensor none = {NULL, ELEMENT_FP32};
	const enum element element = in->y.tensor.element;
	struct block dx[2], s[3][2];
	dx[0] = add ? block_random(element, in->n, 30, -2.0f, 2.0f) : block_poisoned(element, in->n);
	dx[1] = block_as(&dx[0], ELEMENT_FP32);
	for (int w = 0; w < 2; w++) {
		for (int i = 0; i < 3; i++)
			s[i][w] = block_poisoned(ELEMENT_FP32, in->channels);
		struct finish_job job = {
			.g = block_floats(&in->g),
			.dx = dx[w].tensor,
			.add = add,
			.z = kind->z ? in->z.tensor : none,
			.bn = kind->bn ? in->bn : (struct bn_forward){NULL, NULL, NULL},
			.y = kind->y ? in->y.tensor : none,
			.y2 = kind->y2 ? in->y2.tensor : none,
			.mean = kind->y ? in->bn.mean : NULL,
			.mean2 = kind->y2 ? in->bn2.mean : NULL,
			.s1 = block_floats(&s[0][w]),
			.s2 = block_floats(&s[1][w]),
			.s3 = block_floats(&s[2][w]),
			.pixels = in->pixels,
			.channels = in->channels,
		};
		(w == 0 ? k : &kernels_reference)->passes->finish(&job);
	}
	block_compare(kind->name, &dx[0], &dx[1], 0.0);
	for (int i = 0; i < 3; i++)
		block_compare(kind->name, &s[i][0], &s[i][1], 4e-7 * (double)in->pixels);
}

static void check_pool_max(const struct kernels *k, const struct input *in)
{
	const size_t count = in->pixels < TAPS ? in->pixels : TAPS;
	struct tensor taps[TAPS];
	float *gtaps[TAPS];
	struct block z[2], g[2];
	for (size_t t = 0; t < count; t++)
		taps[t] = tensor_at(in->y.tensor, t * in->channels);
	for (int w = 0; w < 2; w++) {
		const struct passes *t = (w == 0 ? k : &kernels_reference)->passes;
		z[w] = block_poisoned(w == 0 ? in->y.tensor.element : ELEMENT_FP32, in->channels);
		g[w] = block_as(&in->g, ELEMENT_FP32);
		for (size_t i = 0; i < count; i++)
			gtaps[i] = block_floats(&g[w]) + i * in->channels;
		t->pool_max(z[w].tensor, taps, count, in->bn, in->channels);
		t->pool_max_backward(gtaps, taps, count, in->z.tensor, in->bn, in->channels);
	}
	block_compare("pool_max", &z[0], &z[1], 0.0);
	block_compare("pool_max_backward", &g[0], &g[1], 0.0);
}

static void check_passes_size(const struct kernels *k, enum element element, size_t pixels, size_t channels)
{
	struct input in = make_input(element, pixels, channels, false);
	check_simple_passes(k, &in);
	check_store_moments(k, &in);
	free_input(&in);
	in = make_input(element, pixels, channels, true);
	for (size_t i = 0; i < 2 * COUNT(FINISHES); i++)
		check_finish(k, &in, &FINISHES[i / 2], i % 2 == 1);
	check_pool_max(k, &in);
	free_input(&in);
}

static void check_passes(const struct kernels *k)
{
	const size_t pixels[] = {1, 2, 3, 9, 100}, channels[] = {1, 3, 7, 8, 15, 16, 17, 24, 33, 48, 64, 65, 100, 130};
	for (size_t i = 0; i < COUNT(pixels); i++) {
		for (size_t j = 0; j < COUNT(channels); j++) {
			check_passes_size(k, ELEMENT_FP32, pixels[i], channels[j]);
			check_passes_size(k, ELEMENT_BF16, pixels[i], channels[j]);
		}
	}
}

static void test_passes(void **state)
{
	(void)state;
	block_each_table(check_passes, true);
}

/* ------------------------------------------------------------------------------------------------ unusual numbers */

/* What a float is rounded to, by the definition: the nearer of two numbers, or the even one. */
static bf16 nearest(uint32_t bits)
{
	bf16 below = (bf16)(bits >> 16), above = (bf16)(below + 1);
	float x;
	memcpy(&x, &bits, sizeof x);
	if (isinf(x))
		return below;
	/* Beyond the greatest number the next would be 2^128, and stands for infinity. */
	double high = isinf(bf16_to_float(above)) ? copysign(ldexp(1.0, 128), (double)x) : (double)bf16_to_float(above);
	double to_below = fabs((double)x - (double)bf16_to_float(below)), to_above = fabs(high - (double)x);
	if (to_below == to_above)
		return below % 2 == 0 ? below : above;
	return to_below < to_above ? below : above;
}

static bool is_nan_bf16(bf16 x)
{
	return (x & 0x7fffu) > 0x7f80u;
}

/* Processors that round to bf16 themselves make zeros of subnormal numbers. */
static void check_rounded(const struct kernels *k, uint32_t bits, bf16 found)
{
	const bool may_flush = strcmp(k->name, "avx512bf16") == 0 && (bits & 0x7f800000u) == 0;
	if ((bits & 0x7fffffffu) > 0x7f800000u ? is_nan_bf16(found) : found == nearest(bits))
		return;
	if (may_flush && found == (bf16)(bits >> 16 & 0x8000u))
		return;
	fail_msg("%s: %08x is rounded to %04x", k->name, bits, found);
}

/* Every bf16 number, and numbers about it and half way to the next. */
static void check_rounding(const struct kernels *k)
{
	enum { ALL = 1 << 16, LOWER = 7 };
	const uint32_t lower[LOWER] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x4000};
	struct block from = block_poisoned(ELEMENT_FP32, ALL * LOWER), to = block_poisoned(ELEMENT_BF16, ALL * LOWER);
	uint32_t *bits = from.tensor.data;
	for (uint32_t i = 0; i < ALL * LOWER; i++)
		bits[i] = i / LOWER << 16 | lower[i % LOWER];
	k->passes->convert(to.tensor, from.tensor, ALL * LOWER);
	for (size_t i = 0; i < ALL * LOWER; i++)
		check_rounded(k, bits[i], ((const bf16 *)to.tensor.data)[i]);
	block_free("convert", &from);
	block_free("convert", &to);
}

/* Widening is a shift, whatever the number, and to the same type is a copy. */
static void check_widening(const struct kernels *k)
{
	enum { ALL = 1 << 16 };
	struct block from = block_poisoned(ELEMENT_BF16, ALL), to = block_poisoned(ELEMENT_FP32, ALL);
	struct block same = block_poisoned(ELEMENT_BF16, ALL);
	for (uint32_t i = 0; i < ALL; i++)
		((bf16 *)from.tensor.data)[i] = (bf16)i;
	k->passes->convert(to.tensor, from.tensor, ALL);
	k->passes->convert(same.tensor, from.tensor, ALL);
	for (uint32_t i = 0; i < ALL; i++) {
		assert_int_equal(((const uint32_t *)to.tensor.data)[i], i << 16);
		/* The reference goes by way of a float, which may turn a signalling NaN into a quiet one. */
		bf16 copy = ((const bf16 *)same.tensor.data)[i];
		assert_true(copy == i || (is_nan_bf16((bf16)i) && copy == (i | 0x40u)));
	}
	block_free("convert", &from);
	block_free("convert", &to);
	block_free("convert", &same);
}

static void test_rounding(void **state)
{
	(void)state;
	block_each_table(check_rounding, true);
	block_each_table(check_widening, true);
}

enum { NAN_CHANNELS = 21 };

static bool is_nan_channel(size_t c)
{
	return c % 3 == 1;
}

/* Every third number is NaN, the others are `rest`. */
static struct block some_nan(enum element element, float rest)
{
	struct block block = block_poisoned(element, NAN_CHANNELS);
	for (size_t c = 0; c < NAN_CHANNELS; c++)
		element_set(block.tensor.data, element, c, is_nan_channel(c) ? NAN : rest);
	return block;
}

static void expect_nan(const char *table, const char *what, struct block *block, float rest)
{
	for (size_t c = 0; c < NAN_CHANNELS; c++) {
		float x = element_get(block->tensor.data, block->tensor.element, c);
		if (is_nan_channel(c) ? !isnan(x) : x != rest)
			fail_msg("%s: %s: number %zu is %g", table, what, c, (double)x);
	}
	block_free(what, block);
}

/* A NaN is seen in what is made of it, rather than turned into zero by a ReLU, and masks nothing. */
static void check_nan_element(const struct kernels *k, enum element element)
{
	float zero[NAN_CHANNELS] = {0}, one[NAN_CHANNELS], s[3][NAN_CHANNELS];
	for (size_t c = 0; c < NAN_CHANNELS; c++)
		one[c] = 1.0f;
	const struct bn_forward bn = {zero, one, zero};
	const struct passes *p = k->passes;
	struct block y = some_nan(element, -1.0f), low = block_random(element, NAN_CHANNELS, 1, -2.0f, -1.0f), z[7];
	for (int i = 0; i < 7; i++)
		z[i] = block_poisoned(element, NAN_CHANNELS);
	p->bn_relu(z[0].tensor, y.tensor, bn, 1, NAN_CHANNELS);
	p->join(z[1].tensor, y.tensor, bn, low.tensor, 1, NAN_CHANNELS);
	p->join(z[2].tensor, low.tensor, bn, y.tensor, 1, NAN_CHANNELS);
	p->join2(z[3].tensor, low.tensor, bn, y.tensor, bn, 1, NAN_CHANNELS);
	p->pool_max(z[4].tensor, (struct tensor[]){low.tensor, y.tensor}, 2, bn, NAN_CHANNELS);
	const char *names[] = {"bn_relu", "join", "join", "join2", "pool_max"};
	for (int i = 0; i < 5; i++)
		expect_nan(k->name, names[i], &z[i], 0.0f);

	struct block nan_g = some_nan(ELEMENT_FP32, 0.0f);
	struct finish_job job = {block_floats(&nan_g), z[5].tensor, .y = y.tensor, .bn = bn, .mean = zero, .s1 = s[0],
		.s2 = s[1], .s3 = s[2], .pixels = 1, .channels = NAN_CHANNELS};
	p->finish(&job);
	job.dx = z[6].tensor;
	job.z = y.tensor;
	job.bn = (struct bn_forward){NULL, NULL, NULL};
	p->finish(&job);
	expect_nan(k->name, "finish, relu", &z[5], 0.0f);
	expect_nan(k->name, "finish, join", &z[6], 0.0f);
	block_free("finish", &nan_g);
	block_free("a pass", &y);
	block_free("a pass", &low);
}

static void check_nan(const struct kernels *k)
{
	check_nan_element(k, ELEMENT_FP32);
	check_nan_element(k, ELEMENT_BF16);
}

static void test_nan(void **state)
{
	(void)state;
	block_each_table(check_nan, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes),
		cmocka_unit_test(test_rounding),
		cmocka_unit_test(test_nan),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
