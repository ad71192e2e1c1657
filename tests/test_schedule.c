/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule at every step against the formula written another way, and against values that Python gave. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "model/schedule.h"

struct golden {
	double rate;
	uint64_t batch, images;
	double epochs, warmup_epochs;
	uint64_t warmup_steps, total_steps;
	unsigned count;
	struct {
		uint64_t step;
		double rate;
	} at[7];
};

/*
 * python: scaled = rate * batch / 256; warm = round(warmup_epochs * n // batch); total = n * epochs // batch + 1;
 * scaled * s / warm if s < warm else scaled * 0.5 * (1 + math.cos(math.pi * (s - warm) / (total - warm)))
 */
static const struct golden golden[] = {
	{1.0, 256, 10000, 10, 1, 39, 391, 7,
		{{0, 0}, {1, 0.02564102564102564}, {38, 0.97435897435897434}, {39, 1}, {40, 0.99998008631907065},
			{195, 0.58877659812715177}, {389, 7.9653137498358895e-05}}},
	{1.0, 256, 50000, 100, 10, 1953, 19532, 7,
		{{0, 0}, {1, 0.00051203277009728623}, {1952, 0.99948796722990274}, {1953, 1},
			{1954, 0.9999999920154321}, {9750, 0.58822194142953854}, {19499, 8.695169307848527e-06}}},
	{0.3, 4096, 1281167, 100, 10, 3127, 31279, 7,
		{{0, 0}, {1, 0.0015350175887432042}, {3126, 4.7984649824112564}, {3127, 4.7999999999999998},
			{3128, 4.7999999850561501}, {15600, 2.8270381539953138}, {31199, 9.5640001290853152e-05}}},
	{1.0, 512, 50000, 3, 0.5, 48, 293, 7,
		{{0, 0}, {1, 0.041666666666666664}, {47, 1.9583333333333333}, {48, 2}, {49, 1.9999177886783193},
			{145, 1.3211864888076457}, {290, 0.00073982079293233305}}},
	{0.5, 128, 1000, 7, 0.1, 0, 55, 4,
		{{0, 0.25}, {1, 0.24979613799076694}, {24, 0.14982380833071818}, {48, 0.0098595433606437494}}},
	{1.0, 256, 10000, 5, 0, 0, 196, 4,
		{{0, 1}, {1, 0.9999357728999656}, {97, 0.50801392381508703}, {194, 0.00025689189965605319}}},
	{0.3, 100, 1000, 2, 0.7, 7, 21, 7,
		{{0, 0}, {1, 0.016741071428571428}, {6, 0.10044642857142858}, {7, 0.1171875}, {8, 0.11571843235440372},
			{10, 0.10440418842586113}, {19, 0.0058026053963426347}}},
	{1.0, 3, 10, 4, 0.3, 1, 14, 5,
		{{0, 0}, {1, 0.01171875}, {2, 0.011548487211480774}, {6, 0.0079371380100148568},
			{11, 0.001473569834934954}}},
};

static struct schedule golden_schedule(const struct golden *g)
{
	struct schedule schedule;
	schedule_init(&schedule, g->rate, SCHEDULE_LINEAR, g->batch, g->images, g->epochs, g->warmup_epochs);
	return schedule;
}

static void test_golden(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof golden / sizeof *golden; k++) {
		struct schedule schedule = golden_schedule(&golden[k]);
		assert_int_equal(schedule.warmup_steps, golden[k].warmup_steps);
		assert_int_equal(schedule.total_steps, golden[k].total_steps);
		for (unsigned i = 0; i < golden[k].count; i++)
			assert_true(fabs(schedule_rate(&schedule, golden[k].at[i].step) - golden[k].at[i].rate) <=
				    1e-15 * schedule.peak);
	}
}

/* Warm-up as a share of the peak; then the cosine by the half-angle: (1 + cos x) / 2 = cos(x / 2)^2. */
static void test_every_step(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof golden / sizeof *golden; k++) {
		struct schedule schedule = golden_schedule(&golden[k]);
		double peak = golden[k].rate / 256 * (double)golden[k].batch, before = -1;
		double w = (double)golden[k].warmup_steps, t = (double)golden[k].total_steps;
		for (uint64_t step = 0; step < golden[k].total_steps; step++) {
			double s = (double)step, rate = schedule_rate(&schedule, step);
			double want = s < w ? s / w * peak : peak * pow(cos(acos(-1) / 2 * (s - w) / (t - w)), 2);
			assert_true(fabs(rate - want) < 1e-12 * peak);
			assert_true(s <= w ? rate > before : rate < before);
			before = rate;
		}
		assert_true(schedule_rate(&schedule, golden[k].total_steps) == 0);
		assert_true(schedule_rate(&schedule, golden[k].total_steps + 1000) == 0);
	}
}

static void test_scaling(void **state)
{
	(void)state;
	struct schedule schedule;
	schedule_init(&schedule, 0.3, SCHEDULE_LINEAR, 4096, 1281167, 100, 10);
	assert_true(fabs(schedule.peak - 4.8) < 1e-15);
	schedule_init(&schedule, 0.075, SCHEDULE_SQRT, 4096, 1281167, 100, 10);
	assert_true(fabs(schedule.peak - 4.8) < 1e-15);
	schedule_init(&schedule, 0.001, SCHEDULE_CONSTANT, 4096, 1281167, 100, 10);
	assert_true(schedule.peak == 0.001);
}

/* A whole run of warm-up, and more warm-up than run. */
static void test_warmup_only(void **state)
{
	(void)state;
	struct schedule schedule;
	schedule_init(&schedule, 1, SCHEDULE_CONSTANT, 10, 100, 2, 2);
	assert_int_equal(schedule.warmup_steps, 20);
	assert_int_equal(schedule.total_steps, 21);
	assert_true(schedule_rate(&schedule, 19) == 0.95);
	assert_true(schedule_rate(&schedule, 20) == 1);
	schedule_init(&schedule, 1, SCHEDULE_CONSTANT, 10, 100, 2, 5);
	assert_true(schedule_rate(&schedule, 19) == 0.38);
	assert_true(schedule_rate(&schedule, 60) == 0);
}

static void test_parse(void **state)
{
	(void)state;
	struct error err = {0};
	enum schedule_scaling scaling;
	assert_int_equal(schedule_parse_scaling("linear", &scaling, &err), 0);
	assert_int_equal(scaling, SCHEDULE_LINEAR);
	assert_int_equal(schedule_parse_scaling("sqrt", &scaling, &err), 0);
	assert_int_equal(scaling, SCHEDULE_SQRT);
	assert_int_equal(schedule_parse_scaling("constant", &scaling, &err), 0);
	assert_int_equal(scaling, SCHEDULE_CONSTANT);
	assert_int_equal(schedule_parse_scaling("cubic", &scaling, &err), ERROR_USAGE);
	assert_non_null(strstr(err.message, "cubic"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_every_step),
		cmocka_unit_test(test_scaling),
		cmocka_unit_test(test_warmup_only),
		cmocka_unit_test(test_parse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
