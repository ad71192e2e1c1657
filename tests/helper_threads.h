/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads in tests. cmocka's assertions jump back to the test and so belong to the main thread; other threads use
 * THREAD_CHECK, which remembers the first failure, and the test asks for it with threads_run() or
 * threads_assert_clean().
 */
#ifndef RINGCLR_TESTS_HELPER_THREADS_H
#define RINGCLR_TESTS_HELPER_THREADS_H

#include <stdbool.h>

/* Returns the condition, so that a thread may give up on it. */
#define THREAD_CHECK(condition) threads_check((condition), #condition, __FILE__, __LINE__)

bool threads_check(bool condition, const char *text, const char *file, int line);

/* Fails the test if a check failed since the last call. Main thread only. */
void threads_assert_clean(void);

/* Runs fn(ctx, 0) to fn(ctx, count - 1), each on a thread of its own, joins them and asks threads_assert_clean(). */
void threads_run(unsigned count, void (*fn)(void *ctx, unsigned index), void *ctx);

/* Sleeps. */
void threads_pause_ms(unsigned ms);

/* Gives the processor away, or spins, or does nothing, by the number: jitter for races. */
void threads_jitter(unsigned number);

#endif
