/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kernel of every instruction set against the scalar reference: odd sizes, single pixels, channels that fill no
 * vector, unaligned blocks, outputs that held NaN before, and nothing written beyond their ends. The reference itself
 * sums in double and is checked by the tests of what is made of it.
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
#include "pipeline/cpu.h"
#include "pipeline/philox.h"
#include "tests/helper_net.h"

enum { GUARD = 40 };

static const float MARK = 12345.0f;

/* A block that starts off any vector's alignment, between guards. */
struct block {
	float *memory, *data;
	size_t count;
};

static struct block make(size_t count, uint64_t stream, float low, float high)
{
	struct block b = {malloc((count + 2 * GUARD) * sizeof(float)), NULL, count};
	assert_non_null(b.memory);
	b.data = b.memory + GUARD - 3;
	for (size_t i = 0; i < count + 2 * GUARD; i++)
		b.memory[i] = MARK;
	helper_net_fill(b.data, count, stream, low, high);
	return b;
}

static struct block poisoned(size_t count)
{
	struct block b = make(count, 0, 0.0f, 1.0f);
	memset(b.data, 0xff, count * sizeof(float));
	return b;
}

static void check_guards(const char *what, const struct block *b)
{
	for (const float *p = b->memory; p < b->memory + b->count + 2 * GUARD; p++) {
		bool inside = p >= b->data && p < b->data + b->count;
		if (!inside && *p != MARK)
			fail_msg("%s wrote %td floats from its block's start", what, p - b->data);
	}
}

/* Frees both. scale: what an error of 1e-6 is relative to. */
static void compare(const char *what, struct block *found, struct block *expected, double scale)
{
	check_guards(what, found);
	for (size_t i = 0; i < found->count; i++) {
		double a = (double)found->data[i], b = (double)expected->data[i];
		if (!(fabs(a - b) <= 1e-6 * scale + 2e-7 * fabs(b)))
			fail_msg(
				"%s: element %zu of %zu is %.9g, the reference says %.9g", what, i, found->count, a, b);
	}
	free(found->memory);
	free(expected->memory);
}

static void release(struct block *blocks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(blocks[i].memory);
}

/* ------------------------------------------------------------------------------------------------ matrix products */

struct product_size {
	size_t rows, segments, length;
	unsigned cols;
	bool add;
};

static void run_gemm(const struct kernels *k, struct product_size size)
{
	size_t depth = size.segments * size.length, columns = size.cols + 5;
	struct block in[2] = {make(size.rows * 3 + depth * 2, 1, -1.0f, 1.0f), make(depth * 64, 2, -1.0f, 1.0f)};
	struct block c[2];
	uint32_t *a_offset = malloc(size.rows * sizeof *a_offset), *c_offset = malloc(size.rows * sizeof *c_offset);
	struct gemm_segment *segments = malloc(size.segments * sizeof *segments);
	for (size_t s = 0; s < size.segments; s++)
		segments[s] = (struct gemm_segment){(uint32_t)(s * size.length * 2), (uint32_t)size.length};
	for (size_t r = 0; r < size.rows; r++) {
		a_offset[r] = (uint32_t)((size.rows - 1 - r) * 3); /* rows in any order */
		c_offset[r] = (uint32_t)(((r * 7 + 3) % size.rows) * columns);
	}
	if (size.rows % 7 == 0) /* the shuffle above would repeat */
		for (size_t r = 0; r < size.rows; r++)
			c_offset[r] = (uint32_t)(r * columns);
	for (int which = 0; which < 2; which++) {
		const struct kernels *table = which == 0 ? k : &kernels_reference;
		c[which] = size.add ? make(size.rows * columns, 3, -1.0f, 1.0f) : poisoned(size.rows * columns);
		if (!size.add)
			for (size_t i = 0; i < c[which].count; i++)
				c[which].data[i] = MARK;
		struct gemm_job job = {in[0].data, a_offset, segments, size.segments, in[1].data,
			kernels_panel(k, size.cols), size.cols, c[which].data, c_offset, size.rows, size.add};
		table->gemm(&job);
	}
	compare("gemm", &c[0], &c[1], sqrt((double)depth));
	release(in, 2);
	free(a_offset);
	free(c_offset);
	free(segments);
}

static void run_outer(const struct kernels *k, struct product_size size)
{
	unsigned width = kernels_panel(k, size.cols);
	size_t pixels = size.length, stride = width + 3;
	struct block in[2] = {make(size.rows + pixels * 5, 1, -1.0f, 1.0f), make(pixels * stride, 2, -1.0f, 1.0f)};
	struct block c[2];
	uint32_t *a_offset = malloc(pixels * sizeof *a_offset);
	for (size_t p = 0; p < pixels; p++)
		a_offset[p] = (uint32_t)((pixels - 1 - p) * 5);
	for (int which = 0; which < 2; which++) {
		const struct kernels *table = which == 0 ? k : &kernels_reference;
		c[which] = size.add ? make(size.rows * width, 3, -1.0f, 1.0f) : poisoned(size.rows * width);
		struct outer_job job = {
			in[0].data, a_offset, in[1].data, stride, pixels, size.rows, width, c[which].data, size.add};
		table->outer(&job);
	}
	compare("outer", &c[0], &c[1], sqrt((double)pixels));
	release(in, 2);
	free(a_offset);
}

static void for_each_isa(void (*check)(const struct kernels *kernels))
{
	for (enum cpu_isa isa = CPU_PORTABLE; isa <= cpu_detect(); isa++)
		check(kernels_for(isa));
}

static void check_products(const struct kernels *k)
{
	const unsigned cols[] = {1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64};
	const size_t rows[] = {1, 2, 5, 6, 7, 11, 12, 13, 23, 24, 25, 50};
	const size_t lengths[] = {1, 2, 9, 64};
	for (size_t i = 0; i < sizeof cols / sizeof cols[0]; i++) {
		for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++) {
			for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
				unsigned most = kernels_panel(k, cols[i]);
				struct product_size size = {rows[j], 1 + (i + j) % 3, lengths[l],
					cols[i] < most ? cols[i] : most, l % 2 == 1};
				run_gemm(k, size);
				run_outer(k, size);
			}
		}
	}
}

static void test_products(void **state)
{
	(void)state;
	for_each_isa(check_products);
}

static void test_panels(void **state)
{
	(void)state;
	for (enum cpu_isa isa = CPU_PORTABLE; isa <= cpu_detect(); isa++) {
		const struct kernels *k = kernels_for(isa);
		for (unsigned cols = 1; cols < 300; cols++) {
			unsigned done = 0;
			while (done < cols) {
				unsigned width = kernels_panel(k, cols - done);
				assert_true(width == k->panels[0] || width == k->panels[1] || width == k->panels[2]);
				done += width;
			}
			assert_int_equal(done, kernels_padded(k, cols));
			assert_true(done - cols < k->lanes);
		}
	}
}

/* -------------------------------------------------------------------------------------------------------- passes */

struct passes {
	size_t pixels, channels, n;
	struct block y, y2, skip, g; /* inputs, [pixels][channels] */
	struct block mean, scale, beta, ka, kb, kc, mean2;
	struct bn_forward bn, bn2;
	struct bn_backward back;
};

static void make_passes(struct passes *p, size_t pixels, size_t channels)
{
	*p = (struct passes){.pixels = pixels, .channels = channels, .n = pixels * channels};
	struct block *large[] = {&p->y, &p->y2, &p->skip, &p->g};
	struct block *small[] = {&p->mean, &p->scale, &p->beta, &p->ka, &p->kb, &p->kc, &p->mean2};
	for (size_t i = 0; i < 4; i++)
		*large[i] = make(p->n, 10 + i, -2.0f, 2.0f);
	for (size_t i = 0; i < 7; i++)
		*small[i] = make(channels, 20 + i, -1.0f, 1.0f);
	p->bn = (struct bn_forward){p->mean.data, p->scale.data, p->beta.data};
	p->bn2 = (struct bn_forward){p->mean2.data, p->ka.data, p->kb.data};
	p->back = (struct bn_backward){p->mean.data, p->ka.data, p->kb.data, p->kc.data};
}

static void free_passes(struct passes *p)
{
	struct block all[] = {p->y, p->y2, p->skip, p->g, p->mean, p->scale, p->beta, p->ka, p->kb, p->kc, p->mean2};
	release(all, sizeof all / sizeof all[0]);
}

static struct block same(const struct block *b)
{
	struct block to = make(b->count, 0, 0.0f, 1.0f);
	memcpy(to.data, b->data, b->count * sizeof(float));
	return to;
}

static void check_forward_passes(const struct kernels *k, const struct passes *p)
{
	const struct kernels *tables[] = {k, &kernels_reference};
	struct block out[5][2];
	for (int w = 0; w < 2; w++) {
		for (int i = 0; i < 5; i++)
			out[i][w] = poisoned(i < 4 ? p->n : p->channels);
		tables[w]->bn_apply(out[0][w].data, p->y.data, p->bn, p->pixels, p->channels);
		tables[w]->bn_relu(out[1][w].data, p->y.data, p->bn, p->pixels, p->channels);
		tables[w]->join(out[2][w].data, p->y.data, p->bn, p->skip.data, p->pixels, p->channels);
		tables[w]->join2(out[3][w].data, p->y.data, p->bn, p->y2.data, p->bn2, p->pixels, p->channels);
		tables[w]->pool_mean(out[4][w].data, p->y.data, p->pixels, p->channels);
	}
	const char *names[] = {"bn_apply", "bn_relu", "join", "join2", "pool_mean"};
	for (int i = 0; i < 5; i++)
		compare(names[i], &out[i][0], &out[i][1], 1.0);
}

static void check_moments(const struct kernels *k, const struct passes *p)
{
	const struct kernels *tables[] = {k, &kernels_reference};
	double scale = 4.0 * (double)p->pixels; /* squares of up to 16 */
	struct block out[10][2], s[3][2];
	for (int w = 0; w < 2; w++) {
		for (int i = 0; i < 10; i++)
			out[i][w] = poisoned(p->channels);
		for (int i = 0; i < 3; i++)
			s[i][w] = same(&p->g);
		tables[w]->moments(out[0][w].data, out[1][w].data, p->y.data, p->pixels, p->channels);
		tables[w]->grad_moments(
			out[2][w].data, out[3][w].data, p->g.data, p->y.data, p->mean.data, p->pixels, p->channels);
		tables[w]->relu_moments(
			out[4][w].data, out[5][w].data, s[0][w].data, p->y.data, p->bn, p->pixels, p->channels);
		tables[w]->join_moments(out[6][w].data, out[7][w].data, NULL, s[1][w].data, p->skip.data, p->y.data,
			p->mean.data, NULL, NULL, p->pixels, p->channels);
		tables[w]->join_moments(out[6][w].data, out[8][w].data, out[9][w].data, s[2][w].data, p->skip.data,
			p->y.data, p->mean.data, p->y2.data, p->mean2.data, p->pixels, p->channels);
	}
	const char *names[] = {"moments 1", "moments 2", "grad_moments 1", "grad_moments 2", "relu_moments 1",
		"relu_moments 2", "join_moments 1", "join_moments 2", "join_moments 2 of 3", "join_moments 3 of 3"};
	for (int i = 0; i < 10; i++)
		compare(names[i], &out[i][0], &out[i][1], scale);
	for (int i = 0; i < 3; i++)
		compare("masked gradient", &s[i][0], &s[i][1], 0.0);
}

static void check_backward_passes(const struct kernels *k, const struct passes *p)
{
	const struct kernels *tables[] = {k, &kernels_reference};
	size_t used = p->channels > 2 ? p->channels - 2 : 1; /* columns of a wider block, into a wider one */
	struct block dy[2], g[2];
	for (int w = 0; w < 2; w++) {
		dy[w] = make(p->pixels * (used + 4), 7, 0.0f, 1.0f);
		g[w] = poisoned(p->n);
		tables[w]->bn_backward(
			dy[w].data, used + 4, p->g.data, p->y.data, p->channels, p->back, p->pixels, used);
		tables[w]->pool_mean_backward(g[w].data, p->mean.data, p->pixels, p->channels);
	}
	compare("bn_backward", &dy[0], &dy[1], 1.0);
	compare("pool_mean_backward", &g[0], &g[1], 0.0);
}

static void check_pool_max(const struct kernels *k, const struct passes *p, bool ties)
{
	const struct kernels *tables[] = {k, &kernels_reference};
	size_t count = p->pixels < 9 ? p->pixels : 9;
	const float *taps[9];
	float *gtaps[9];
	struct block z[2], g[2];
	for (size_t t = 0; t < count; t++)
		taps[t] = p->y.data + (ties ? t / 2 : t) * p->channels;
	for (int w = 0; w < 2; w++) {
		z[w] = poisoned(p->channels);
		g[w] = same(&p->g);
		for (size_t t = 0; t < count; t++)
			gtaps[t] = g[w].data + t * p->channels;
		tables[w]->pool_max(z[w].data, taps, count, p->bn, p->channels);
		tables[w]->pool_max_backward(gtaps, taps, count, p->skip.data, p->bn, p->channels);
	}
	compare("pool_max", &z[0], &z[1], 1.0);
	compare("pool_max_backward", &g[0], &g[1], 1.0);
}

static void check_passes(const struct kernels *k)
{
	const size_t pixels[] = {1, 2, 3, 9, 256}, channels[] = {1, 3, 7, 8, 15, 16, 17, 24, 33, 48, 64, 65, 100, 130};
	for (size_t i = 0; i < sizeof pixels / sizeof pixels[0]; i++) {
		for (size_t j = 0; j < sizeof channels / sizeof channels[0]; j++) {
			struct passes p;
			make_passes(&p, pixels[i], channels[j]);
			check_forward_passes(k, &p);
			check_moments(k, &p);
			check_backward_passes(k, &p);
			check_pool_max(k, &p, false);
			check_pool_max(k, &p, true);
			free_passes(&p);
		}
	}
}

static void test_passes(void **state)
{
	(void)state;
	for_each_isa(check_passes);
}

/* A NaN is seen in what is made of it, rather than turned into zero by a ReLU. */
static void check_nan(const struct kernels *k)
{
	float y[20], z[20], zero[20] = {0}, one[20];
	struct bn_forward bn = {zero, one, zero};
	for (size_t i = 0; i < 20; i++) {
		y[i] = i % 3 == 1 ? nanf("") : -1.0f;
		one[i] = 1.0f;
	}
	k->bn_relu(z, y, bn, 1, 20);
	for (size_t i = 0; i < 20; i++)
		assert_true(i % 3 == 1 ? isnan(z[i]) : z[i] == 0.0f);
	k->join(z, zero, bn, y, 1, 20);
	for (size_t i = 0; i < 20; i++)
		assert_true(i % 3 == 1 ? isnan(z[i]) : z[i] == 0.0f);
}

static void test_nan(void **state)
{
	(void)state;
	check_nan(&kernels_reference);
	for_each_isa(check_nan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_products),
		cmocka_unit_test(test_panels),
		cmocka_unit_test(test_passes),
		cmocka_unit_test(test_nan),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
