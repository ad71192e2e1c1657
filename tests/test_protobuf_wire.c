/* SPDX-License-Identifier: Apache-2.0 */
/* Protocol buffers' wire format: the examples of its documentation, and the edges of every kind of field. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tools/protobuf_wire.h"

static void check(struct wire *wire, const char *bytes, size_t count)
{
	assert_false(wire->failed);
	assert_int_equal(wire->bytes, count);
	if (count > 0)
		assert_memory_equal(wire->data, bytes, count);
	wire_free(wire);
	assert_null(wire->data);
	assert_int_equal(wire->bytes, 0);
}
#define CHECK(wire, bytes) check(wire, bytes, sizeof(bytes) - 1)

static void test_documented(void **state)
{
	(void)state;
	struct wire wire = {0}, inner = {0};
	wire_varint_field(&wire, 1, 150);
	CHECK(&wire, "\x08\x96\x01");
	wire_text_field(&wire, 2, "testing");
	CHECK(&wire, "\x12\x07testing");
	wire_varint_field(&inner, 1, 150);
	wire_message_field(&wire, 3, &inner);
	CHECK(&wire, "\x1a\x03\x08\x96\x01");
	wire_free(&inner);
}

static void test_numbers(void **state)
{
	(void)state;
	struct wire wire = {0};
	wire_varint_field(&wire, 15, 0);
	wire_varint_field(&wire, 16, 127);
	wire_varint_field(&wire, 2047, 128);
	CHECK(&wire, "\x78\x00\x80\x01\x7f\xf8\x7f\x80\x01");
	wire_varint_field(&wire, 1, (uint64_t)-1);
	CHECK(&wire, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
	wire_varint_field(&wire, 536870911, 1); /* the last field there can be */
	CHECK(&wire, "\xf8\xff\xff\xff\x0f\x01");
	wire_float_field(&wire, 2, 1.5F);
	CHECK(&wire, "\x15\x00\x00\xc0\x3f");
	wire_double_field(&wire, 1, -2);
	CHECK(&wire, "\x09\x00\x00\x00\x00\x00\x00\x00\xc0");
}

static void test_empty(void **state)
{
	(void)state;
	struct wire wire = {0}, inner = {0};
	wire_message_field(&wire, 1, &inner);
	wire_text_field(&wire, 2, "");
	wire_bytes_field(&wire, 3, NULL, 0);
	CHECK(&wire, "\x0a\x00\x12\x00\x1a\x00");
	wire_free(&wire); /* an empty one */
}

/* Grows past every capacity and keeps what was there. */
static void test_long(void **state)
{
	(void)state;
	enum { FIELDS = 3000, LONG = 100000 };
	struct wire wire = {0};
	for (unsigned i = 0; i < FIELDS; i++)
		wire_varint_field(&wire, 1, i % 128);
	char *text = malloc(LONG);
	assert_non_null(text);
	memset(text, 'x', LONG);
	wire_bytes_field(&wire, 2, text, LONG);
	assert_false(wire.failed);
	assert_int_equal(wire.bytes, 2 * FIELDS + 4 + LONG);
	for (unsigned i = 0; i < FIELDS; i++)
		assert_int_equal(wire.data[2 * i + 1], i % 128);
	assert_memory_equal(wire.data + 2 * FIELDS, "\x12\xa0\x8d\x06", 4);
	assert_memory_equal(wire.data + 2 * FIELDS + 4, text, LONG);
	free(text);
	wire_free(&wire);
}

/* A failure anywhere below makes the whole unusable, and nothing is written any more. */
static void test_failure_passes_up(void **state)
{
	(void)state;
	struct wire wire = {0}, inner = {.failed = true};
	wire_varint_field(&wire, 1, 1);
	wire_message_field(&wire, 2, &inner);
	assert_true(wire.failed);
	wire_varint_field(&wire, 1, 1);
	assert_int_equal(wire.bytes, 2);
	wire_free(&wire);
	assert_false(wire.failed);
	wire_bytes_field(&wire, 1, "x", SIZE_MAX - 1); /* no memory has that: nothing is read from "x" */
	assert_true(wire.failed);
	wire_free(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documented),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_failure_passes_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
