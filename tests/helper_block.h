/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of numbers for tests of kernels: off any vector's alignment, between guards that a kernel must not write (nor,
 * under AddressSanitizer, read), poisoned where a kernel is to write, and compared with what the reference makes.
 */
#ifndef RINGCLR_TESTS_HELPER_BLOCK_H
#define RINGCLR_TESTS_HELPER_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/kernels.h"

struct block {
	unsigned char *memory;
	struct tensor tensor;
	size_t count;
};

/* Uniform in [low, high), rounded to the element's type. */
struct block block_random(enum element element, size_t count, uint64_t stream, float low, float high);

/* `count` units of a matrix product (kernels.h), uniform in [-1, 1). Units lie at addresses that 4 divides. */
struct block block_units(enum element element, size_t count, uint64_t stream);

/* Every bit set: a NaN that no kernel makes, so that what was not written is seen. */
struct block block_poisoned(enum element element, size_t count);

/* The same numbers in another type; what is poisoned stays so. */
struct block block_as(const struct block *from, enum element element);

/* The numbers of a block of fp32. */
float *block_floats(const struct block *block);

/* Checks the guards first. */
void block_free(const char *what, struct block *block);

/*
 * Fails unless `found`, of either type, holds the numbers of `expected`, fp32: exactly, or to within a `tolerance`
 * above zero and 2^-23 of the number. A bf16 number must be the rounding of one that does. What is poisoned in one must
 * be in the other. Frees both.
 */
void block_compare(const char *what, struct block *found, struct block *expected, double tolerance);

/* Calls check() with the table of each instruction set that this processor has, and with the reference's own when
 * `reference`. Failures name the table. */
void block_each_table(void (*check)(const struct kernels *kernels), bool reference);

#endif
