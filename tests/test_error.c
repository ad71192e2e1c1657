/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "pipeline/error.h"

static void test_sets_code_and_message(void **state)
{
	(void)state;
	struct error err = {0};
	assert_int_equal(error_set(&err, ERROR_FORMAT, "%s: record %d is odd", "a.ring", 7), ERROR_FORMAT);
	assert_int_equal(err.code, ERROR_FORMAT);
	assert_string_equal(err.message, "a.ring: record 7 is odd");
}

static void test_first_error_wins(void **state)
{
	(void)state;
	struct error err = {0};
	error_set(&err, ERROR_IO, "first");
	/* The code of the call comes back, so that `return error_set(...)` stays negative; the struct keeps the first.
	 */
	assert_int_equal(error_set(&err, ERROR_MEMORY, "second"), ERROR_MEMORY);
	assert_int_equal(error_set_errno(&err, ERROR_SYSTEM, ENOENT, "third"), ERROR_SYSTEM);
	struct error other = {.code = ERROR_DECODE, .message = "fourth"};
	assert_int_equal(error_copy(&err, &other), ERROR_DECODE);
	assert_int_equal(err.code, ERROR_IO);
	assert_string_equal(err.message, "first");
}

static void test_copy(void **state)
{
	(void)state;
	struct error from = {.code = ERROR_DAMAGED, .message = "block 3"};
	struct error to = {0};
	assert_int_equal(error_copy(&to, &from), ERROR_DAMAGED);
	assert_int_equal(to.code, ERROR_DAMAGED);
	assert_string_equal(to.message, "block 3");
}

static void test_null_is_allowed(void **state)
{
	(void)state;
	struct error from = {.code = ERROR_USAGE, .message = "x"};
	assert_int_equal(error_set(NULL, ERROR_USAGE, "x"), ERROR_USAGE);
	assert_int_equal(error_set_errno(NULL, ERROR_IO, ENOENT, "x"), ERROR_IO);
	assert_int_equal(error_copy(NULL, &from), ERROR_USAGE);
}

static void test_errno_is_appended(void **state)
{
	(void)state;
	struct error err = {0};
	error_set_errno(&err, ERROR_IO, ENOENT, "cannot open %s", "a.ring");
	assert_string_equal(err.message, "cannot open a.ring: No such file or directory");
}

static void test_long_messages(void **state)
{
	(void)state;
	char text[3000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';

	struct error err = {0};
	error_set(&err, ERROR_IO, "%s", text);
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);

	/* The reason survives at the end. */
	struct error with_reason = {0};
	error_set_errno(&with_reason, ERROR_IO, EACCES, "%s", text);
	assert_int_equal(strlen(with_reason.message), sizeof(err.message) - 1);
	const char *reason = ": Permission denied";
	assert_string_equal(with_reason.message + sizeof(err.message) - 1 - strlen(reason), reason);
}

static void test_one_line(void **state)
{
	(void)state;
	struct error err = {0};
	error_set(&err, ERROR_IO, "a file called \"%s\"", "one\ntwo\r");
	assert_string_equal(err.message, "a file called \"one two \"");
}

static void test_names(void **state)
{
	(void)state;
#define CHECK_NAME(name, number, text)                                                                                 \
	assert_int_equal(ERROR_##name, number);                                                                        \
	assert_true((number) < 0);                                                                                     \
	assert_string_equal(error_name(ERROR_##name), text);
	ERROR_TABLE(CHECK_NAME)
	assert_string_equal(error_name(0), "unknown");
	assert_string_equal(error_name(-1000), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sets_code_and_message),
		cmocka_unit_test(test_first_error_wins),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_null_is_allowed),
		cmocka_unit_test(test_errno_is_appended),
		cmocka_unit_test(test_long_messages),
		cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
