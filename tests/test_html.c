/* SPDX-License-Identifier: Apache-2.0 */
/* The report's text: what is escaped, and charts whose numbers can be read back. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/html_chart.h"
#include "tools/html_report.h"

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

static void check_text(const char *raw, const char *wanted)
{
	FILE *out = begin();
	html_text(out, raw);
	fclose(out);
	assert_string_equal(text, wanted);
}

static void test_escape(void **state)
{
	(void)state;
	check_text("plain/0001.jpg", "plain/0001.jpg");
	check_text("<script>alert(\"a\" & 'b')</script>",
		"&lt;script&gt;alert(&quot;a&quot; &amp; &#39;b&#39;)&lt;/script&gt;");
	/* Well-formed UTF-8 of two, three and four bytes stays. */
	check_text("\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x90\x88", "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x90\x88");
	/* Control characters, a lone byte, one cut short, overlong, a surrogate, beyond the last. */
	check_text("a\x01\x7F", "a\xEF\xBF\xBD\xEF\xBF\xBD");
	check_text("\x80", "\xEF\xBF\xBD");
	check_text("\xE2\x82<", "\xEF\xBF\xBD\xEF\xBF\xBD&lt;");
	check_text("\xC0\xBC", "\xEF\xBF\xBD\xEF\xBF\xBD");
	check_text("\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
	check_text("\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

static void test_numbers(void **state)
{
	(void)state;
	static const struct {
		double value;
		const char *number, *time;
	} cases[] = {
		{0, "0", "0 ns"},
		{999, "999", "999 ns"},
		{1500, "1500", "1.5 \xC2\xB5s"},
		{15550, "15.6k", "15.6 \xC2\xB5s"},
		{2500000, "2.5M", "2.5 ms"},
		{3.25e9, "3250M", "3.25 s"},
	};
	char number[24];
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_string_equal(chart_number(cases[i].value, number), cases[i].number);
		assert_string_equal(chart_time(cases[i].value, number), cases[i].time);
	}
}

static unsigned count(const char *what)
{
	unsigned found = 0;
	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		found++;
	return found;
}

static void test_charts(void **state)
{
	(void)state;
	/* Widths of the shares add up to the bar: 520 - 112 - 46 = 362. */
	FILE *out = begin();
	struct chart_share share = {"<decode>", 0.5, 0, 0.25, 0.25};
	chart_shares(out, &share, 1);
	fclose(out);
	assert_int_equal(count("<rect"), 3);
	assert_int_equal(count("width=\"181.00\""), 1);
	assert_int_equal(count("width=\"90.50\""), 2);
	assert_int_equal(count("<decode>"), 0);
	assert_true(count("&lt;decode&gt;") >= 1);

	/* Ends of a line touch the chart's edges, and the highest value an axis line. */
	static struct chart_series series = {.name = "s", .count = 3, .x = {1, 2, 3}, .y = {0, 100, 50}};
	out = begin();
	chart_lines(out, &series, 1, " s", 0);
	fclose(out);
	assert_int_equal(count("M46.0 186.0L277.0 8.0L508.0 97.0"), 1);

	/* Nothing to show is an empty chart, no number that is none. */
	static struct chart_series none = {.name = "none"};
	static struct histogram empty, one;
	out = begin();
	chart_lines(out, &none, 1, "", 1);
	chart_times(out, &empty);
	histogram_add(&one, 0);
	chart_times(out, &one);
	chart_bars(out, NULL, 0, 1);
	fclose(out);
	assert_int_equal(count("<svg"), count("</svg>"));
	assert_int_equal(count("nan") + count("inf"), 0);
	assert_int_equal(count("<rect"), 1);
}

static void test_file(void **state)
{
	(void)state;
	struct html html;
	struct error err = {0};
	assert_int_equal(html_begin(&html, "a <b>", &err), 0);
	assert_int_equal(html_finish(&html, "no/such/folder/report.html", &err), ERROR_IO);
	assert_non_null(strstr(err.message, "no/such/folder/report.html"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_charts),
		cmocka_unit_test(test_file),
	};
	int failed = cmocka_run_group_tests_name("html", tests, NULL, NULL);
	free(text);
	return failed;
}
