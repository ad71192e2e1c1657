/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helper_block.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pipeline/cpu.h"
#include "tests/helper_net.h"

#if defined(__has_include) && __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

enum { GUARD = 160, MARK = 0x5a }; /* bytes on either side, and what they hold */

static const double RELATIVE = 0x1p-23; /* a unit in the last place, or two */

static const char *table_name = "";

static size_t bytes_of(const struct block *block)
{
	return block->count * element_bytes(block->tensor.element);
}

/* The block's bytes start `before` bytes into the memory. */
static struct block allocate(enum element element, size_t count, size_t before)
{
	struct block block = {NULL, {NULL, element}, count};
	size_t bytes = bytes_of(&block);
	block.memory = malloc(bytes + 2 * GUARD);
	assert_non_null(block.memory);
	memset(block.memory, MARK, bytes + 2 * GUARD);
	block.tensor.data = block.memory + before;
	memset(block.tensor.data, 0xff, bytes);
	ASAN_POISON_MEMORY_REGION(block.memory, before);
	ASAN_POISON_MEMORY_REGION(block.memory + before + bytes, 2 * GUARD - before);
	return block;
}

struct block block_poisoned(enum element element, size_t count)
{
	return allocate(element, count, GUARD - 3 * element_bytes(element));
}

static void fill(struct block *block, uint64_t stream, float low, float high)
{
	float *numbers = malloc(block->count * sizeof(float));
	assert_non_null(numbers);
	helper_net_fill(numbers, block->count, stream, low, high);
	for (size_t i = 0; i < block->count; i++)
		element_set(block->tensor.data, block->tensor.element, i, numbers[i]);
	free(numbers);
}

struct block block_random(enum element element, size_t count, uint64_t stream, float low, float high)
{
	struct block block = block_poisoned(element, count);
	fill(&block, stream, low, high);
	return block;
}

struct block block_units(enum element element, size_t count, uint64_t stream)
{
	struct block block = allocate(element, element == ELEMENT_BF16 ? 2 * count : count, GUARD - 12);
	fill(&block, stream, -1.0f, 1.0f);
	return block;
}

static bool poisoned(const struct block *block, size_t i)
{
	const size_t bytes = element_bytes(block->tensor.element);
	return memcmp((char *)block->tensor.data + i * bytes, "\xff\xff\xff\xff", bytes) == 0;
}

struct block block_as(const struct block *from, enum element element)
{
	struct block to = block_poisoned(element, from->count);
	for (size_t i = 0; i < from->count; i++) {
		if (!poisoned(from, i))
			element_set(
				to.tensor.data, element, i, element_get(from->tensor.data, from->tensor.element, i));
	}
	return to;
}

float *block_floats(const struct block *block)
{
	assert_int_equal(block->tensor.element, ELEMENT_FP32);
	return block->tensor.data;
}

void block_free(const char *what, struct block *block)
{
	const unsigned char *data = block->tensor.data, *end = data + bytes_of(block);
	ASAN_UNPOISON_MEMORY_REGION(block->memory, bytes_of(block) + 2 * GUARD);
	for (const unsigned char *p = block->memory; p < block->memory + bytes_of(block) + 2 * GUARD; p++) {
		if ((p < data || p >= end) && *p != MARK)
			fail_msg("%s: %s wrote %td bytes from the start of a block of %zu", table_name, what, p - data,
				bytes_of(block));
	}
	free(block->memory);
	block->memory = NULL;
}

static bool near(const struct block *found, size_t i, float expected, double tolerance)
{
	double x = (double)element_get(found->tensor.data, found->tensor.element, i);
	double allowed = tolerance == 0.0 ? 0.0 : tolerance + RELATIVE * fabs((double)expected);
	double low = (double)expected - allowed, high = (double)expected + allowed;
	if (found->tensor.element == ELEMENT_BF16) {
		low = (double)bf16_to_float(bf16_from_float((float)low));
		high = (double)bf16_to_float(bf16_from_float((float)high));
	}
	return low <= x && x <= high;
}

void block_compare(const char *what, struct block *found, struct block *expected, double tolerance)
{
	assert_int_equal(found->count, expected->count);
	for (size_t i = 0; i < found->count; i++) {
		float right = block_floats(expected)[i];
		if (poisoned(expected, i) ? poisoned(found, i) : near(found, i, right, tolerance))
			continue;
		fail_msg("%s: %s: element %zu of %zu is %.9g, the reference says %.9g, tolerance %.3g", table_name,
			what, i, found->count, (double)element_get(found->tensor.data, found->tensor.element, i),
			(double)right, tolerance);
	}
	block_free(what, found);
	block_free(what, expected);
}

void block_each_table(void (*check)(const struct kernels *kernels), bool reference)
{
	for (enum cpu_isa isa = CPU_PORTABLE; isa <= cpu_detect(); isa++) {
		table_name = kernels_for(isa)->name;
		check(kernels_for(isa));
	}
	if (reference) {
		table_name = kernels_reference.name;
		check(&kernels_reference);
	}
}
