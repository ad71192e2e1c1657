/* SPDX-License-Identifier: Apache-2.0 */
/* Protocol Buffers' wire format by its specification's examples; event files: checksums, and where one goes on. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic_file.h"
#include "tests/helper_files.h"
#include "tools/event_file.h"
#include "tools/protobuf_wire.h"

static void check_bytes(const struct wire *wire, const char *wanted, size_t bytes)
{
	assert_false(wire->failed);
	assert_int_equal(wire->bytes, bytes);
	assert_memory_equal(wire->data, wanted, bytes);
}

static void test_wire(void **state)
{
	(void)state;
	struct wire wire = {0}, inner = {0};
	/* The three examples of the specification. */
	wire_varint_field(&wire, 1, 150);
	check_bytes(&wire, "\x08\x96\x01", 3);
	wire.bytes = 0;
	wire_text_field(&wire, 2, "testing");
	check_bytes(&wire, "\x12\x07testing", 9);
	wire.bytes = 0;
	wire_varint_field(&inner, 1, 150);
	wire_message_field(&wire, 3, &inner);
	check_bytes(&wire, "\x1a\x03\x08\x96\x01", 5);
	/* Minus one takes ten bytes; a field of two bytes; floats; nothing. */
	wire.bytes = 0;
	wire_varint_field(&wire, 1, UINT64_MAX);
	check_bytes(&wire, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
	wire.bytes = 0;
	wire_varint_field(&wire, 16, 0);
	check_bytes(&wire, "\x80\x01\x00", 3);
	wire.bytes = 0;
	wire_float_field(&wire, 2, 1);
	wire_double_field(&wire, 1, -2);
	check_bytes(&wire, "\x15\x00\x00\x80\x3f\x09\x00\x00\x00\x00\x00\x00\x00\xc0", 14);
	wire.bytes = 0;
	wire_bytes_field(&wire, 1, NULL, 0);
	check_bytes(&wire, "\x0a\x00", 2);
	/* Growing keeps what is there. */
	wire.bytes = 0;
	char text[1001];
	memset(text, 'a', 1000);
	text[1000] = '\0';
	for (unsigned i = 0; i < 50; i++)
		wire_text_field(&wire, 1, text);
	assert_int_equal(wire.bytes, 50 * 1003);
	for (unsigned i = 0; i < 50; i++)
		assert_memory_equal(wire.data + (size_t)i * 1003,
			"\x0a\xe8\x07"
			"aaa",
			6);
	/* What failed inside fails outside. */
	inner.failed = true;
	wire_message_field(&wire, 1, &inner);
	assert_true(wire.failed);
	wire_free(&wire);
	wire_free(&inner);
	assert_null(wire.data);
}

static void test_checksum(void **state)
{
	(void)state;
	/* CRC-32C of "123456789" is e3069283, and the mask as TFRecord's description has it. */
	uint32_t crc = 0xE3069283U;
	assert_int_equal(event_masked_crc("123456789", 9), (uint32_t)((crc >> 15 | crc << 17) + 0xA282EAD8U));
	assert_int_equal(event_masked_crc("", 0), 0xA282EAD8U);
}

static size_t file_bytes(const char *path)
{
	struct error err = {0};
	size_t bytes = 0;
	char *data = atomic_file_read_all(path, 1 << 20, &bytes, &err);
	assert_non_null(data);
	free(data);
	return bytes;
}

static size_t write_steps(const char *path, uint64_t kept, uint64_t from, uint64_t to)
{
	struct error err = {0};
	struct event_file *file = event_file_open(path, kept, 3, &err);
	assert_non_null(file);
	for (uint64_t step = from; step <= to; step++) {
		struct event_scalar scalars[] = {{"train/loss", (double)step}, {"train/lr", NAN}, {"x", 1}};
		assert_int_equal(event_file_add(file, step, scalars, 3, &err), 0);
	}
	assert_int_equal(event_file_sync(file, &err), 0);
	event_file_close(file);
	return file_bytes(path);
}

static void test_going_on(void **state)
{
	const struct helper_place *place = *state;
	const char *path = place->path;
	size_t head = write_steps(path, 0, 1, 0), ten = write_steps(path, 0, 1, 10);
	size_t event = (ten - head) / 10; /* steps below 128 take a byte each */
	assert_int_equal(ten, head + 10 * event);
	/* Cut to a step; a step is never there twice; 0 starts anew. */
	assert_int_equal(write_steps(path, 7, 8, 7), head + 7 * event);
	assert_int_equal(write_steps(path, 7, 8, 12), head + 12 * event);
	assert_int_equal(write_steps(path, 100, 13, 13), head + 13 * event);
	/* A record that is cut, and one that is damaged, with all that is behind it. */
	struct error err = {0};
	size_t bytes = 0;
	char *data = atomic_file_read_all(path, 1 << 20, &bytes, &err);
	assert_non_null(data);
	assert_int_equal(atomic_file_replace(path, data, bytes - 3, &err), 0);
	assert_int_equal(write_steps(path, 100, 1, 0), head + 12 * event);
	data[head + 4 * event + 20] ^= 1;
	assert_int_equal(atomic_file_replace(path, data, bytes, &err), 0);
	assert_int_equal(write_steps(path, 100, 1, 0), head + 4 * event);
	data[head + 2 * event + 3] ^= 1; /* a length */
	assert_int_equal(atomic_file_replace(path, data, bytes, &err), 0);
	assert_int_equal(write_steps(path, 100, 1, 0), head + 2 * event);
	/* None of ours at all: it is written anew. */
	assert_int_equal(atomic_file_replace(path, "something else, long enough", 27, &err), 0);
	assert_int_equal(write_steps(path, 100, 1, 0), head);
	free(data);
}

static void test_refused(void **state)
{
	(void)state;
	struct error err = {0};
	assert_null(event_file_open("no/such/folder/events", 0, 1, &err));
	assert_int_equal(err.code, ERROR_IO);
	assert_non_null(strstr(err.message, "no/such/folder/events"));
	event_file_close(NULL);
	/* A full disk is told, at every call. */
	struct event_file *file = event_file_open("/dev/full", 0, 1, &err);
	assert_null(file);
	assert_int_equal(err.code, ERROR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test_setup_teardown(test_going_on, helper_place_make, helper_place_remove),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests_name("event_file", tests, NULL, NULL);
}
