/* SPDX-License-Identifier: Apache-2.0 */
/* Protocol buffers' wire format, written field by field into memory: what ONNX files and TensorBoard's events are made
 * of. */
#ifndef RINGCLR_TOOLS_PROTOBUF_WIRE_H
#define RINGCLR_TOOLS_PROTOBUF_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message so far; all zero is an empty one. `failed`: memory ran out, and data is not to be used. */
struct wire {
	unsigned char *data;
	size_t bytes, capacity;
	bool failed;
};

/* Each appends one field; a repeated one is appended again. Signed numbers go as (uint64_t) of their int64_t. */
void wire_varint_field(struct wire *wire, unsigned field, uint64_t value);
void wire_float_field(struct wire *wire, unsigned field, float value);
void wire_double_field(struct wire *wire, unsigned field, double value);
void wire_bytes_field(struct wire *wire, unsigned field, const void *data, size_t bytes);
void wire_text_field(struct wire *wire, unsigned field, const char *text);
void wire_message_field(struct wire *wire, unsigned field, const struct wire *inner); /* inner failed: so has wire */

void wire_free(struct wire *wire); /* and makes it an empty one */

#endif
