/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helper_threads.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

enum { MOST_THREADS = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char failure[512]; /* under lock; empty: none */

struct start {
	void (*fn)(void *ctx, unsigned index);
	void *ctx;
	unsigned index;
};

bool threads_check(bool condition, const char *text, const char *file, int line)
{
	if (!condition) {
		pthread_mutex_lock(&lock);
		if (failure[0] == '\0')
			snprintf(failure, sizeof(failure), "%s:%d: %s", file, line, text);
		pthread_mutex_unlock(&lock);
	}
	return condition;
}

void threads_assert_clean(void)
{
	char text[sizeof(failure)];
	pthread_mutex_lock(&lock);
	snprintf(text, sizeof(text), "%s", failure);
	failure[0] = '\0';
	pthread_mutex_unlock(&lock);
	if (text[0] != '\0')
		fail_msg("%s", text);
}

static void *thread_main(void *argument)
{
	struct start *start = argument;
	start->fn(start->ctx, start->index);
	return NULL;
}

void threads_run(unsigned count, void (*fn)(void *ctx, unsigned index), void *ctx)
{
	pthread_t threads[MOST_THREADS];
	struct start starts[MOST_THREADS];
	assert_true(count <= MOST_THREADS);
	for (unsigned i = 0; i < count; i++) {
		starts[i] = (struct start){fn, ctx, i};
		assert_int_equal(pthread_create(&threads[i], NULL, thread_main, &starts[i]), 0);
	}
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	threads_assert_clean();
}

void threads_pause_ms(unsigned ms)
{
	struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	nanosleep(&pause, NULL);
}

void threads_jitter(unsigned number)
{
	if (number % 8 == 0)
		sched_yield();
	else if (number % 8 == 1)
		for (volatile unsigned i = 0; i < number % 1000; i++)
			;
}
