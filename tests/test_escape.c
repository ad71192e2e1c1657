/* SPDX-License-Identifier: Apache-2.0 */
/* Names with control characters in them: one line, one column, nothing that a terminal obeys, and nothing lost. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/error.h"
#include "pipeline/escape.h"

static void expect_print(const char *text, const char *expected)
{
	char *got = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&got, &bytes);
	assert_non_null(out);
	escape_print(out, text);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(got, expected);
	free(got);
}

static void test_print(void **state)
{
	(void)state;
	expect_print("", "");
	expect_print("a cat/\xc3\xa9 \xe7\x8c\xab.png", "a cat/\xc3\xa9 \xe7\x8c\xab.png");
	expect_print("x\nother.ring: sound", "x\\nother.ring: sound");
	expect_print("a\tb\\c\rd", "a\\tb\\\\c\\rd");
	expect_print("\x1b[2J\x01\x7f", "\\x1b[2J\\x01\\x7f");
	expect_print("\xc2\x9b"
		     "2J \xc2\xa0 \xc2",
		"\\xc2\\x9b"
		"2J \xc2\xa0 \xc2");
	expect_print("\xff\xfe", "\xff\xfe"); /* no text, but no command either */
}

static void test_line(void **state)
{
	(void)state;
	char line[] = "a\nb\tc\rd\\ \x1b[2J \xc2\x9b"
		      "2J \xc3\xa9 \x7f";
	escape_line(line);
	assert_string_equal(line, "a b c d\\ ?[2J ??2J \xc3\xa9 ?");
	struct error err = {0};
	error_set(&err, ERROR_FORMAT, "record '%s'", "x\x1b]0;title\a\nok");
	assert_string_equal(err.message, "record 'x?]0;title? ok'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
