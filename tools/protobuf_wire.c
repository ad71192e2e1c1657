/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protocol Buffers, the encoding: a field is a tag (number << 3 | type), then its value. Type 0 is a varint: seven bits
 * a byte, lowest first, the top bit set in all but the last. Types 1 and 5 are 8 and 4 bytes, little-endian. Type 2 is
 * a length as varint, then so many bytes: text, bytes, or a message.
 */
#include "tools/protobuf_wire.h"

#include <stdlib.h>
#include <string.h>

enum wire_type { WIRE_VARINT = 0, WIRE_8_BYTES = 1, WIRE_LENGTH = 2, WIRE_4_BYTES = 5 };
enum { WIRE_FIRST_BYTES = 256, VARINT_MOST = 10 };

/* Room for so many bytes more, or NULL. */
static unsigned char *grow(struct wire *wire, size_t bytes)
{
	if (wire->failed)
		return NULL;
	if (bytes > wire->capacity - wire->bytes) {
		size_t capacity = wire->capacity ? wire->capacity : WIRE_FIRST_BYTES;
		while (capacity - wire->bytes < bytes && capacity <= SIZE_MAX / 2)
			capacity *= 2;
		unsigned char *data = capacity - wire->bytes < bytes ? NULL : realloc(wire->data, capacity);
		if (!data) {
			wire->failed = true;
			return NULL;
		}
		wire->data = data;
		wire->capacity = capacity;
	}
	unsigned char *at = wire->data + wire->bytes;
	wire->bytes += bytes;
	return at;
}

static void put(struct wire *wire, const void *data, size_t bytes)
{
	unsigned char *at = grow(wire, bytes);
	if (at && bytes > 0)
		memcpy(at, data, bytes);
}

static void put_varint(struct wire *wire, uint64_t value)
{
	unsigned char coded[VARINT_MOST];
	size_t bytes = 0;
	do {
		coded[bytes++] = (unsigned char)((value & 0x7F) | (value > 0x7F ? 0x80 : 0));
		value >>= 7;
	} while (value > 0);
	put(wire, coded, bytes);
}

static void put_tag(struct wire *wire, unsigned field, enum wire_type type)
{
	put_varint(wire, (uint64_t)field << 3 | type);
}

static void put_little_endian(struct wire *wire, uint64_t value, unsigned bytes)
{
	unsigned char coded[8];
	for (unsigned i = 0; i < bytes; i++)
		coded[i] = (unsigned char)(value >> 8 * i);
	put(wire, coded, bytes);
}

void wire_varint_field(struct wire *wire, unsigned field, uint64_t value)
{
	put_tag(wire, field, WIRE_VARINT);
	put_varint(wire, value);
}

void wire_float_field(struct wire *wire, unsigned field, float value)
{
	uint32_t bits;
	memcpy(&bits, &value, sizeof bits);
	put_tag(wire, field, WIRE_4_BYTES);
	put_little_endian(wire, bits, sizeof bits);
}

void wire_double_field(struct wire *wire, unsigned field, double value)
{
	uint64_t bits;
	memcpy(&bits, &value, sizeof bits);
	put_tag(wire, field, WIRE_8_BYTES);
	put_little_endian(wire, bits, sizeof bits);
}

void wire_bytes_field(struct wire *wire, unsigned field, const void *data, size_t bytes)
{
	put_tag(wire, field, WIRE_LENGTH);
	put_varint(wire, bytes);
	put(wire, data, bytes);
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
