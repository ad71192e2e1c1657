/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in Protocol Buffers' wire format: what is written appends a field to a growing piece of memory. Start from
 * `struct wire wire = {0}`. When memory runs out, `failed` is set and everything further is dropped; so it is enough to
 * look once, at the end. Setting `bytes` to 0 starts anew in the same memory.
 */
#ifndef RINGCLR_TOOLS_PROTOBUF_WIRE_H
#define RINGCLR_TOOLS_PROTOBUF_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire {
	unsigned char *data;
	size_t bytes, capacity;
	bool failed;
};

void wire_varint_field(struct wire *wire, unsigned field, uint64_t value); /* int32, int64, bool, enum */
void wire_float_field(struct wire *wire, unsigned field, float value);	   /* float: 4 bytes */
void wire_double_field(struct wire *wire, unsigned field, double value);   /* double: 8 bytes */
void wire_bytes_field(struct wire *wire, unsigned field, const void *data, size_t bytes);
void wire_text_field(struct wire *wire, unsigned field, const char *text);
void wire_message_field(struct wire *wire, unsigned field, const struct wire *inner); /* fails if `inner` did */
void wire_free(struct wire *wire);

#endif
