/* SPDX-License-Identifier: Apache-2.0 */
/* Charts of results: where marks are, what they say, and what happens to what cannot be drawn. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/html_plot.h"

static char *text;
static size_t bytes;

static FILE *begin(void)
{
	free(text);
	text = NULL;
	FILE *out = open_memstream(&text, &bytes);
	assert_non_null(out);
	return out;
}

static unsigned count(const char *what)
{
	unsigned found = 0;
	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		found++;
	return found;
}

static void check_whole(void)
{
	assert_int_equal(count("<svg"), count("</svg>"));
	assert_int_equal(count("<g"), count("</g>"));
	assert_int_equal(count("nan") + count("inf"), 0);
}

/* The area is 50 to 506 across and 220 to 26 down. */
static void test_lines(void **state)
{
	(void)state;
	static const double x[] = {0.01, 0.1, 1}, y[] = {10, 30, 20}, low[] = {10, 25, 20}, high[] = {10, 35, 20},
			    gap[] = {20, NAN, 10};
	static const char *const names[] = {"0.01", "a <b>", "1"};
	const struct plot_series series[] = {
		{.name = "<one>", .count = 3, .x = x, .y = y, .low = low, .high = high, .colour = 0},
		{.name = "two", .count = 3, .x = x, .y = gap, .colour = 11},
	};
	struct plot plot = {.x = {.ticks = x, .names = names, .tick_count = 3, .log = true},
		.from_zero = true,
		.series = series,
		.series_count = 2};
	FILE *out = begin();
	plot_lines(out, &plot);
	fclose(out);
	check_whole();
	/* Decades are equally far apart; 40 is the top. */
	assert_int_equal(count("M50.0 171.5L278.0 74.5L506.0 123.0\""), 1);
	assert_int_equal(count("M50.0 123.0L506.0 171.5\""), 1); /* over the gap */
	assert_int_equal(count("class=\"band\""), 1);
	assert_int_equal(count("M50.0 171.5L278.0 50.2L506.0 123.0L506.0 123.0L278.0 98.8L50.0 171.5Z"), 1);
	assert_int_equal(count("<circle"), 5);
	assert_int_equal(count("&lt;one&gt;, a &lt;b&gt;: 30 (25 to 35)"), 1);
	assert_int_equal(count("var(--c1)"), 2 + 2); /* colour 11 is 1: legend, path, two marks */

	/* Without logarithm, a point is where its number is. */
	plot.x = (struct plot_axis){.label = "epoch"};
	plot.x_low = 0.0001;
	plot.x_high = 1;
	out = begin();
	plot_lines(out, &plot);
	fclose(out);
	assert_int_equal(count("L506.0 123.0\""), 1);
	assert_int_equal(count(">epoch</text>"), 1);
}

static void test_bars(void **state)
{
	(void)state;
	static const double x[] = {0, 1}, y[] = {50, 100}, high_up[] = {60, 64};
	static const char *const names[] = {"five", "ten"};
	struct plot_series series = {.name = "s", .count = 2, .x = x, .y = y, .low = y, .high = y};
	struct plot plot = {.x = {.ticks = x, .names = names, .tick_count = 2}, .series = &series, .series_count = 1};
	FILE *out = begin();
	plot_bars(out, &plot);
	fclose(out);
	check_whole();
	/* From 0: one is twice as high as the other. */
	assert_int_equal(count("<rect"), 2);
	assert_int_equal(count("height=\"97.00\""), 1);
	assert_int_equal(count("height=\"194.00\""), 1);
	assert_int_equal(count("the axis starts"), 0);
	assert_int_equal(count(">s, ten: 100<"), 1);
	series = (struct plot_series){.name = "s", .count = 2, .x = x, .y = high_up};
	out = begin();
	plot_bars(out, &plot);
	fclose(out);
	assert_int_equal(count("(the axis starts at 58)"), 1);
}

static void test_heat(void **state)
{
	(void)state;
	static const double value[] = {1, 2, 3, NAN}, low[] = {1, 1.5, 3, 0}, high[] = {1, 2.5, 3, 0};
	static const char *const rows[] = {"<r>", "a name that is far too long for its place"}, *const columns[] = {
													"x", "y"};
	struct plot_heat heat = {.row_label = "rows",
		.column_label = "columns",
		.row_names = rows,
		.column_names = columns,
		.rows = 2,
		.columns = 2,
		.value = value,
		.low = low,
		.high = high,
		.decimals = 1};
	FILE *out = begin();
	plot_heat(out, &heat);
	fclose(out);
	check_whole();
	assert_int_equal(count("<rect"), 3);
	/* Shares 0, 1/2 and 1 of the range. */
	assert_int_equal(count("fill-opacity=\"0.060\""), 1);
	assert_int_equal(count("fill-opacity=\"0.530\""), 1);
	assert_int_equal(count("fill-opacity=\"1.000\""), 1);
	assert_int_equal(count("&lt;r&gt;, y: 2.0 (1.5 to 2.5)"), 1);
	assert_int_equal(count("\xC2\xB1"
			       "0.5"),
		1);
	assert_int_equal(count(", x: 3.0</title>"), 1);
}

static void test_points(void **state)
{
	(void)state;
	static const float xy[] = {0, 0, 10, 5, 5, 5};
	static const int32_t labels[] = {0, 11, -1};
	static const char *const classes[] = {"<a>", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};
	FILE *out = begin();
	plot_points(out, xy, labels, 3, classes, 12);
	fclose(out);
	check_whole();
	/* One scale: 10 across is 488, so 5 down is 244, in the middle. */
	assert_int_equal(count("<circle r=\"2.6\" cx=\"6.0\" cy=\"372.0\"/>"), 1);
	assert_int_equal(count("<rect x=\"491.7\" y=\"125.7\""), 1); /* the second shape */
	assert_int_equal(count("<circle"), 2);
	assert_int_equal(count("&lt;a&gt;"), 2);
}

static void test_nothing(void **state)
{
	(void)state;
	static const double x[] = {1, 2}, none[] = {NAN, NAN}, same[] = {5, 5}, minus[] = {-1, 0};
	static const char *const names[] = {"a", "b"};
	struct plot_series series = {.name = "s", .count = 2, .x = x, .y = none};
	struct plot plot = {.series = &series, .series_count = 1};
	struct plot_heat heat = {.row_label = "",
		.column_label = "",
		.row_names = names,
		.column_names = names,
		.rows = 1,
		.columns = 2,
		.value = none};
	FILE *out = begin();
	plot_lines(out, &plot);
	plot_bars(out, &plot);
	plot_heat(out, &heat);
	plot_points(out, NULL, NULL, 0, NULL, 0);
	series.y = same;
	plot_lines(out, &plot);
	heat.value = same;
	plot_heat(out, &heat);
	/* A logarithm of what has none: nothing is drawn. */
	series.x = minus;
	plot.x.log = true;
	plot_lines(out, &plot);
	fclose(out);
	check_whole();
	assert_int_equal(count("<circle"), 2);
	assert_int_equal(count("<svg"), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_bars),
		cmocka_unit_test(test_heat),
		cmocka_unit_test(test_points),
		cmocka_unit_test(test_nothing),
	};
	int failed = cmocka_run_group_tests_name("plot", tests, NULL, NULL);
	free(text);
	return failed;
}
