/* SPDX-License-Identifier: Apache-2.0 */
/* trace.c: what is recorded, by whom, and what is not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

#include "pipeline/meter.h"
#include "pipeline/trace.h"
#include "tests/helper_threads.h"

struct fixture {
	struct arena *arena;
	struct trace *trace;
};

enum { THREADS = 4, SLICES = 50 };

static int set_up(void **state)
{
	static struct fixture fixture;
	struct error err = {0};
	fixture.arena = arena_create(0, &err);
	assert_non_null(fixture.arena);
	fixture.trace = trace_create(fixture.arena, THREADS, SLICES, &err);
	assert_non_null(fixture.trace);
	arena_seal(fixture.arena);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	trace_stop();
	arena_destroy(fixture->arena);
	return 0;
}

static void test_off(void **state)
{
	struct fixture *fixture = *state;
	assert_int_equal(trace_begin(), 0);
	trace_sequence(1);
	trace_name_thread("nobody");
	trace_end("kind", "name", 0);
	trace_leave();
	trace_start(fixture->trace);
	uint64_t start_ns = trace_begin();
	assert_true(start_ns > 0);
	trace_stop();
	/* What ends after the trace is not recorded. */
	trace_end("kind", "name", start_ns);
	size_t count;
	assert_int_equal(trace_threads(fixture->trace), 1);
	trace_slices(fixture->trace, 0, &count);
	assert_int_equal(count, 0);
}

static void test_nested(void **state)
{
	struct fixture *fixture = *state;
	uint64_t before_ns = meter_now_ns();
	trace_start(fixture->trace);
	trace_name_thread("a stage with a long name");
	trace_name_thread("another");
	uint64_t outer_ns = trace_begin();
	trace_end("none", "before a number", trace_begin());
	trace_sequence(7);
	trace_end("inner", "first", trace_begin());
	trace_end_numbered("inner", "second", 8, trace_begin());
	trace_end("outer", "all", outer_ns);
	trace_stop();

	size_t count;
	assert_string_equal(trace_thread_name(fixture->trace, 0), "a stage with a long name");
	const struct trace_slice *slices = trace_slices(fixture->trace, 0, &count);
	assert_int_equal(count, 4);
	assert_string_equal(slices[3].name, "all");
	trace_sort(fixture->trace);
	slices = trace_slices(fixture->trace, 0, &count);
	static const char *const names[] = {"all", "before a number", "first", "second"};
	static const uint64_t numbers[] = {7, TRACE_NO_SEQUENCE, 7, 8};
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(slices[i].name, names[i]);
		assert_int_equal(slices[i].sequence, numbers[i]);
		assert_true(slices[i].start_ns <= slices[i].end_ns && slices[i].end_ns <= slices[0].end_ns);
		assert_true(i == 0 || slices[i].start_ns >= slices[i - 1].start_ns);
	}
	assert_string_equal(slices[0].category, "outer");
	assert_true(
		trace_start_ns(fixture->trace) >= before_ns && slices[0].start_ns >= trace_start_ns(fixture->trace));
}

static void test_full(void **state)
{
	struct fixture *fixture = *state;
	trace_start(fixture->trace);
	for (unsigned i = 0; i < SLICES + 3; i++)
		trace_end_numbered("kind", "name", i, trace_begin());
	trace_stop();
	size_t count;
	const struct trace_slice *slices = trace_slices(fixture->trace, 0, &count);
	assert_int_equal(count, SLICES);
	assert_int_equal(slices[SLICES - 1].sequence, SLICES - 1);
	assert_int_equal(trace_dropped(fixture->trace), 3);
}

/* With a ctx the thread does not give its buffer back. */
static void record(void *ctx, unsigned index)
{
	char name[16];
	snprintf(name, sizeof name, "thread-%u", index);
	pthread_setname_np(pthread_self(), name);
	for (unsigned i = 0; i < 10; i++)
		trace_end_numbered("kind", "name", 100 * index + i, trace_begin());
	if (ctx == NULL)
		trace_leave();
}

/* Each thread has a track of its own; one that follows another of its name goes on in that one's. */
static void test_threads(void **state)
{
	struct fixture *fixture = *state;
	trace_start(fixture->trace);
	threads_run(3, record, NULL);
	threads_run(3, record, NULL);
	trace_stop();
	assert_int_equal(trace_threads(fixture->trace), 3);
	for (size_t i = 0; i < 3; i++) {
		size_t count;
		const struct trace_slice *slices = trace_slices(fixture->trace, i, &count);
		assert_int_equal(count, 20);
		unsigned index = (unsigned)(trace_thread_name(fixture->trace, i)[7] - '0');
		for (size_t k = 0; k < count; k++)
			assert_int_equal(slices[k].sequence, 100 * index + k % 10);
	}
	assert_int_equal(trace_dropped(fixture->trace), 0);
}

/* More threads than buffers: the rest is counted. */
static void test_too_many_threads(void **state)
{
	struct fixture *fixture = *state;
	trace_start(fixture->trace);
	threads_run(THREADS + 2, record, &fixture->trace /* any: they keep their buffers */);
	trace_stop();
	assert_true(trace_threads(fixture->trace) <= THREADS);
	uint64_t sum = trace_dropped(fixture->trace);
	for (size_t i = 0; i < trace_threads(fixture->trace); i++) {
		size_t count;
		trace_slices(fixture->trace, i, &count);
		sum += count;
	}
	assert_int_equal(sum, 10 * (THREADS + 2));
	assert_int_equal(trace_dropped(fixture->trace), 20);
}

/* A thread that outlives a trace takes a new track in the next. */
static void test_second_trace(void **state)
{
	struct fixture *fixture = *state;
	struct error err = {0};
	struct arena *arena = arena_create(0, &err);
	assert_non_null(arena);
	struct trace *second = trace_create(arena, 1, SLICES, &err);
	assert_non_null(second);
	trace_start(fixture->trace);
	trace_end("kind", "first", trace_begin());
	trace_stop();
	trace_start(second);
	trace_end("kind", "second", trace_begin());
	trace_stop();
	size_t count;
	assert_string_equal(trace_slices(fixture->trace, 0, &count)->name, "first");
	assert_int_equal(count, 1);
	assert_string_equal(trace_slices(second, 0, &count)->name, "second");
	assert_int_equal(count, 1);
	arena_destroy(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nested, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_many_threads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_second_trace, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
