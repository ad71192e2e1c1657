/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tensor over the batch is kept in: 32-bit floats, or bf16, the upper half of one (8 exponent bits, 8 of
 * significand). A bf16 number is widened exactly by a shift, and made by rounding to nearest, ties to even.
 */
#ifndef RINGCLR_MODEL_ELEMENT_H
#define RINGCLR_MODEL_ELEMENT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum element { ELEMENT_FP32, ELEMENT_BF16 };

typedef uint16_t bf16;

static inline size_t element_bytes(enum element element)
{
	return element == ELEMENT_BF16 ? sizeof(bf16) : sizeof(float);
}

/* The address of element number `index`. */
static inline void *element_at(const void *data, enum element element, size_t index)
{
	return (char *)data + index * element_bytes(element);
}

static inline float bf16_to_float(bf16 x)
{
	uint32_t bits = (uint32_t)x << 16;
	float out;
	memcpy(&out, &bits, sizeof out);
	return out;
}

static inline bf16 bf16_from_float(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	if ((bits & 0x7fffffffu) > 0x7f800000u) /* a NaN stays one */
		return (bf16)(bits >> 16 | 0x40u);
	return (bf16)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline float element_get(const void *data, enum element element, size_t index)
{
	return element == ELEMENT_BF16 ? bf16_to_float(((const bf16 *)data)[index]) : ((const float *)data)[index];
}

static inline void element_set(void *data, enum element element, size_t index, float x)
{
	if (element == ELEMENT_BF16)
		((bf16 *)data)[index] = bf16_from_float(x);
	else
		((float *)data)[index] = x;
}

/* Numbers with their type: [rows][height][width][channels] unless said otherwise. */
struct tensor {
	void *data;
	enum element element;
};

static inline struct tensor tensor_at(struct tensor tensor, size_t index)
{
	return (struct tensor){element_at(tensor.data, tensor.element, index), tensor.element};
}

#endif
