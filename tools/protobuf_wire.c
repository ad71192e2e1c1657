/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message is its fields one behind the other. A field begins with its number and the kind of what follows, as the
 * varint number << 3 | kind: 0 a varint, 1 eight bytes, 2 a varint of length and so many bytes (texts, and messages in
 * a message), 5 four bytes. A varint has 7 bits a byte, the lowest first; the top bit says that more follow. All is
 * little-endian.
 */
#include "tools/protobuf_wire.h"

#include <stdlib.h>
#include <string.h>

enum wire_kind { KIND_VARINT = 0, KIND_64 = 1, KIND_BYTES = 2, KIND_32 = 5 };
enum { VARINT_BYTES = 10, FIRST_BYTES = 256 };

static void append(struct wire *wire, const void *data, size_t bytes)
{
	if (wire->failed || bytes == 0)
		return;
	if (bytes > wire->capacity - wire->bytes) {
		size_t capacity = wire->capacity > FIRST_BYTES ? wire->capacity : FIRST_BYTES;
		while (capacity - wire->bytes < bytes && capacity <= SIZE_MAX / 2)
			capacity *= 2;
		unsigned char *grown = capacity - wire->bytes < bytes ? NULL : realloc(wire->data, capacity);
		wire->failed = grown == NULL;
		if (wire->failed)
			return;
		wire->data = grown;
		wire->capacity = capacity;
	}
	memcpy(wire->data + wire->bytes, data, bytes);
	wire->bytes += bytes;
}

static void append_varint(struct wire *wire, uint64_t value)
{
	unsigned char bytes[VARINT_BYTES];
	size_t count = 0;
	for (; value >= 0x80; value >>= 7)
		bytes[count++] = (unsigned char)(value | 0x80);
	bytes[count++] = (unsigned char)value;
	append(wire, bytes, count);
}

static void append_key(struct wire *wire, unsigned field, enum wire_kind kind)
{
	append_varint(wire, (uint64_t)field << 3 | (unsigned)kind);
}

void wire_varint_field(struct wire *wire, unsigned field, uint64_t value)
{
	append_key(wire, field, KIND_VARINT);
	append_varint(wire, value);
}

void wire_float_field(struct wire *wire, unsigned field, float value)
{
	append_key(wire, field, KIND_32);
	append(wire, &value, sizeof value);
}

void wire_double_field(struct wire *wire, unsigned field, double value)
{
	append_key(wire, field, KIND_64);
	append(wire, &value, sizeof value);
}

void wire_bytes_field(struct wire *wire, unsigned field, const void *data, size_t bytes)
{
	append_key(wire, field, KIND_BYTES);
	append_varint(wire, bytes);
	append(wire, data, bytes);
}

void wire_text_field(struct wire *wire, unsigned field, const char *text)
{
	wire_bytes_field(wire, field, text, strlen(text));
}

void wire_message_field(struct wire *wire, unsigned field, const struct wire *inner)
{
	wire->failed = wire->failed || inner->failed;
	wire_bytes_field(wire, field, inner->data, inner->bytes);
}

void wire_free(struct wire *wire)
{
	free(wire->data);
	*wire = (struct wire){0};
}
