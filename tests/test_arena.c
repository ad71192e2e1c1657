/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pipeline/arena.h"
#include "pipeline/philox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static const size_t MIB = (size_t)1 << 20;

static struct arena *create(size_t limit_bytes)
{
	struct error err = {0};
	struct arena *arena = arena_create(limit_bytes, &err);
	if (arena == NULL)
		fail_msg("%s", err.message);
	return arena;
}

static void *draw(struct arena *arena, const char *name, size_t count, size_t size_bytes, size_t align)
{
	struct error err = {0};
	void *memory = arena_alloc(arena, name, count, size_bytes, align, &err);
	if (memory == NULL)
		fail_msg("%s", err.message);
	return memory;
}

static int is_zero(const unsigned char *memory, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (memory[i] != 0)
			return 0;
	return 1;
}

static void test_aligned_zeroed_and_apart(void **state)
{
	(void)state;
	static const size_t aligns[] = {0, 1, 8, 64, 4096, 65536};
	enum { COUNT = 300 };
	unsigned char *memory[COUNT];
	size_t bytes[COUNT];
	struct arena *arena = create(0);
	struct philox random = philox_stream(1, 0, 0, 0, PHILOX_TEST);
	for (int i = 0; i < COUNT; i++) {
		size_t align = aligns[philox_below(&random, 6)];
		bytes[i] = philox_below(&random, 20000);
		memory[i] = draw(arena, "some", bytes[i], 1, align);
		assert_int_equal((uintptr_t)memory[i] % (align == 0 ? 64 : align), 0);
		assert_true(is_zero(memory[i], bytes[i]));
		memset(memory[i], i % 255 + 1, bytes[i]);
	}
	for (int i = 0; i < COUNT; i++)
		for (size_t b = 0; b < bytes[i]; b++)
			assert_int_equal(memory[i][b], i % 255 + 1);
	arena_destroy(arena);
}

static void test_addresses_cost_nothing(void **state)
{
	(void)state;
	struct arena *arena = create(0);
#ifdef SANITIZED
	const size_t plan_mib = 512; /* sanitizers keep notes on every byte */
#else
	const size_t plan_mib = 256 * 1024;
#endif
	/* More than the machine's memory may be planned. */
	unsigned char *memory = draw(arena, "plan", plan_mib, MIB, 0);
	memory[0] = 1;
	memory[plan_mib * MIB - 1] = 1;
	assert_int_equal(arena_used_bytes(arena), plan_mib * MIB);
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	assert_true(usage.ru_maxrss < 256 * 1024); /* KiB */
	arena_destroy(arena);
}

static void test_limit(void **state)
{
	(void)state;
	struct arena *arena = create(10 * MIB);
	draw(arena, "weights", 4, MIB, 0);
	struct error err = {0};
	assert_null(arena_alloc(arena, "activations", 6 * MIB + 1, 1, 0, &err));
	assert_int_equal(err.code, ERROR_MEMORY);
	assert_non_null(strstr(err.message, "activations needs 7 MiB"));
	assert_non_null(strstr(err.message, "4 MiB drawn"));
	assert_non_null(strstr(err.message, "limit of 10 MiB"));
	assert_non_null(strstr(err.message, "--batch"));
	assert_non_null(strstr(err.message, "--mem"));
	/* The refusal took nothing: exactly the rest still fits, and then not one byte. */
	assert_int_equal(arena_used_bytes(arena), 4 * MIB);
	draw(arena, "activations", 6, MIB, 0);
	assert_null(arena_alloc(arena, "activations", 1, 1, 0, NULL));
	assert_non_null(arena_alloc(arena, "activations", 0, 1, 0, NULL));
	arena_destroy(arena);
}

static void test_impossible_sizes(void **state)
{
	(void)state;
	struct arena *arena = create(0);
	struct error overflow = {0}, huge = {0}, most = {0}, align = {0}, wide = {0};
	assert_null(arena_alloc(arena, "a", SIZE_MAX / 2, 3, 0, &overflow));
	assert_int_equal(overflow.code, ERROR_MEMORY);
	assert_null(arena_alloc(arena, "a", 4, (size_t)1 << 40, 0, &huge));
	assert_int_equal(huge.code, ERROR_MEMORY);
	assert_null(arena_alloc(arena, "a", SIZE_MAX, 1, 0, &most));
	assert_int_equal(most.code, ERROR_MEMORY);
	assert_null(arena_alloc(arena, "a", 1, 1, 48, &align));
	assert_int_equal(align.code, ERROR_USAGE);
	assert_null(arena_alloc(arena, "a", 1, 1, (size_t)1 << 40, &wide));
	assert_int_equal(wide.code, ERROR_USAGE);
	assert_int_equal(arena_used_bytes(arena), 0);
	arena_destroy(arena);
}

static void test_seal(void **state)
{
	(void)state;
	struct arena *arena = create(0);
	unsigned char *memory = draw(arena, "a", 100, 1, 0);
	size_t mark = arena_mark(arena);
	draw(arena, "a", 100, 1, 0);
	arena_seal(arena);
	struct error err = {0};
	assert_null(arena_alloc(arena, "late", 1, 1, 0, &err));
	assert_int_equal(err.code, ERROR_MEMORY);
	assert_non_null(strstr(err.message, "late"));
	arena_rewind(arena, mark); /* does nothing any more */
	assert_int_equal(arena_used_bytes(arena), 200);
	memory[99] = 1;
	arena_destroy(arena);
}

struct seen {
	char names[256];
	size_t bytes[8];
	size_t count;
};

static void see_class(void *ctx, const char *class_name, size_t bytes)
{
	struct seen *seen = ctx;
	size_t used = strlen(seen->names);
	snprintf(seen->names + used, sizeof(seen->names) - used, "%s;", class_name);
	seen->bytes[seen->count++] = bytes;
}

static void test_classes(void **state)
{
	(void)state;
	struct arena *arena = create(0);
	char again[] = "weights"; /* equal by content, not by address */
	draw(arena, "weights", 10, 4, 0);
	draw(arena, "block ring", 3, 100, 4096);
	draw(arena, again, 1, 2, 0);
	struct seen seen = {0};
	arena_classes(arena, see_class, &seen);
	assert_string_equal(seen.names, "weights;block ring;");
	assert_int_equal(seen.bytes[0], 42);
	assert_int_equal(seen.bytes[1], 300);
	assert_int_equal(arena_used_bytes(arena), 342); /* padding is not counted */
	arena_destroy(arena);
}

static void test_rewind(void **state)
{
	(void)state;
	static const size_t sizes[] = {1, 100, 4096, 5000, 70000, 3 << 20};
	struct arena *arena = create(64 * MIB);
	unsigned char *kept = draw(arena, "kept", 777, 1, 0);
	memset(kept, 0xAA, 777);
	size_t mark = arena_mark(arena);
	for (size_t round = 0; round < 60; round++) {
		size_t bytes = sizes[round % 6];
		unsigned char *first = draw(arena, "scratch", bytes, 1, 0);
		unsigned char *second = draw(arena, "more", bytes, 1, 4096);
		assert_true(is_zero(first, bytes));
		assert_true(is_zero(second, bytes));
		memset(first, 0xFF, bytes);
		memset(second, 0xFF, bytes);
		arena_rewind(arena, mark);
		assert_int_equal(arena_mark(arena), mark);
		assert_int_equal(arena_used_bytes(arena), 777);
	}
	struct seen seen = {0};
	arena_classes(arena, see_class, &seen);
	assert_string_equal(seen.names, "kept;scratch;more;");
	assert_int_equal(seen.bytes[0], 777);
	assert_int_equal(seen.bytes[1] + seen.bytes[2], 0);
	for (int i = 0; i < 777; i++)
		assert_int_equal(kept[i], 0xAA);
	arena_destroy(arena);
}

static void test_nested_rewinds(void **state)
{
	(void)state;
	struct arena *arena = create(0);
	size_t outer = arena_mark(arena);
	draw(arena, "a", 1000, 1, 0);
	size_t inner = arena_mark(arena);
	draw(arena, "b", 1000, 1, 0);
	arena_rewind(arena, inner);
	assert_int_equal(arena_used_bytes(arena), 1000);
	draw(arena, "b", 50, 1, 0);
	arena_rewind(arena, outer);
	assert_int_equal(arena_used_bytes(arena), 0);
	arena_rewind(arena, inner); /* a mark above the position: nothing */
	assert_int_equal(arena_used_bytes(arena), 0);
	arena_destroy(arena);
}

/* With `ulimit -v` the reservation shrinks; what does not fit is refused with words. */
static void test_little_address_space(void **state)
{
	(void)state;
#ifdef SANITIZED
	skip(); /* sanitizers need terabytes of addresses themselves */
#endif
	pid_t child = fork();
	if (child == 0) {
		struct rlimit limit = {.rlim_cur = 1024 * MIB, .rlim_max = 1024 * MIB};
		setrlimit(RLIMIT_AS, &limit);
		struct error err = {0};
		struct arena *arena = arena_create(0, &err);
		if (arena == NULL)
			_exit(1);
		if (arena_alloc(arena, "small", 16, MIB, 0, &err) == NULL)
			_exit(2);
		if (arena_alloc(arena, "big", 2048, MIB, 0, &err) != NULL || err.code != ERROR_MEMORY)
			_exit(3);
		_exit(strstr(err.message, "big needs 2048 MiB") != NULL ? 0 : 4);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>

static void test_red_zones(void **state)
{
	(void)state;
	struct arena *arena = create(0);
	char *first = draw(arena, "a", 13, 1, 0);
	size_t mark = arena_mark(arena);
	char *second = draw(arena, "a", 64, 1, 0);
	assert_null(__asan_region_is_poisoned(first, 13));
	assert_ptr_equal(__asan_region_is_poisoned(first, 14), first + 13);
	assert_null(__asan_region_is_poisoned(second, 64));
	assert_true(__asan_address_is_poisoned(second - 1));
	assert_true(__asan_address_is_poisoned(second + 64));
	arena_rewind(arena, mark);
	assert_true(__asan_address_is_poisoned(second));
	assert_null(__asan_region_is_poisoned(first, 13));
	arena_destroy(arena);
	arena_destroy(create(0)); /* the same addresses again, most likely: no poison is left behind */
}
#else
static void test_red_zones(void **state)
{
	(void)state;
	skip();
}
#endif

static void test_destroy_null(void **state)
{
	(void)state;
	arena_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_cost_nothing),
		cmocka_unit_test(test_aligned_zeroed_and_apart),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_impossible_sizes),
		cmocka_unit_test(test_seal),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_rewind),
		cmocka_unit_test(test_nested_rewinds),
		cmocka_unit_test(test_little_address_space),
		cmocka_unit_test(test_red_zones),
		cmocka_unit_test(test_destroy_null),
	};
	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
