/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pipeline/cpu.h"
#include "pipeline/team.h"
#include "tests/helper_threads.h"

enum { MOST_TASKS = 5000, MOST_THREADS = 8 };

static int start(void **state)
{
	(void)state;
	alarm(240);
	return 0;
}

struct job {
	unsigned threads;
	_Atomic uint32_t runs[MOST_TASKS];
	_Atomic uint32_t by_thread[MOST_THREADS];
	_Atomic uint32_t inside[MOST_THREADS]; /* tasks that the thread is in: never above 1 */
	uint64_t input, output[MOST_TASKS];    /* plain memory: the team must order it */
};

static struct team *create(unsigned threads)
{
	struct error err = {0};
	struct team *team = team_create(threads, NULL, &err);
	if (team == NULL)
		fail_msg("%s", err.message);
	assert_int_equal(team_threads(team), threads);
	return team;
}

static void run_task(void *ctx, size_t task, unsigned thread)
{
	struct job *job = ctx;
	if (!THREAD_CHECK(thread < job->threads) || !THREAD_CHECK(task < MOST_TASKS))
		return;
	THREAD_CHECK(atomic_fetch_add(&job->inside[thread], 1) == 0);
	atomic_fetch_add(&job->runs[task], 1);
	atomic_fetch_add(&job->by_thread[thread], 1);
	job->output[task] = job->input * 31 + task;
	if (task % 7 == 0)
		threads_jitter((unsigned)task);
	atomic_fetch_sub(&job->inside[thread], 1);
}

static void test_each_task_once(void **state)
{
	(void)state;
	static struct job job;
	static const size_t tasks[] = {0, 1, 2, 3, 7, 8, 9, 100, MOST_TASKS};
	for (unsigned threads = 1; threads <= MOST_THREADS; threads++) {
		struct team *team = create(threads);
		for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
			memset(&job, 0, sizeof(job));
			job.threads = threads;
			job.input = i + threads;
			team_for(team, tasks[i], run_task, &job);
			threads_assert_clean();
			uint32_t sum = 0;
			for (size_t task = 0; task < MOST_TASKS; task++) {
				assert_int_equal(job.runs[task], task < tasks[i]);
				if (task < tasks[i])
					assert_int_equal(job.output[task], job.input * 31 + task);
			}
			for (int thread = 0; thread < MOST_THREADS; thread++)
				sum += job.by_thread[thread];
			assert_int_equal(sum, tasks[i]);
		}
		team_destroy(team);
	}
	team_destroy(NULL);
}

struct small_job {
	uint64_t input;
	uint64_t output[32];
};

static void run_small(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	struct small_job *job = ctx;
	job->output[task] += job->input + task;
}

/* Late helpers of one job meet the next one. The job lies on the stack, at another place each time. */
static void run_many(struct team *team, unsigned rounds)
{
	for (unsigned round = 0; round < rounds; round++) {
		struct small_job job = {.input = round};
		size_t tasks = round % 33;
		team_for(team, tasks, run_small, &job);
		for (size_t task = 0; task < 32; task++)
			if (job.output[task] != (task < tasks ? round + task : 0))
				fail_msg("round %u, task %zu", round, task);
		if (round % 1000 == 999)
			threads_pause_ms(1); /* let the helpers fall asleep */
	}
}

static void test_reuse(void **state)
{
	(void)state;
	static const unsigned threads[] = {1, 2, 3, 8};
	for (size_t i = 0; i < 4; i++) {
		struct team *team = create(threads[i]);
		run_many(team, 10000);
		team_destroy(team);
	}
}

static void test_short_lives(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		struct team *team = create(1 + i % 8);
		if (i % 3 != 0)
			run_many(team, i % 5);
		team_destroy(team);
	}
}

/* Another thread than the one that made the team may call it, in turn. */
static void call_from_here(void *ctx, unsigned index)
{
	struct small_job job = {.input = index};
	team_for(ctx, 32, run_small, &job);
	for (size_t task = 0; task < 32; task++)
		THREAD_CHECK(job.output[task] == index + task);
}

static void test_called_from_another_thread(void **state)
{
	(void)state;
	struct team *team = create(3);
	for (int i = 0; i < 20; i++)
		threads_run(1, call_from_here, team);
	team_destroy(team);
}

/* Tasks that wait for each other finish only if as many threads take part. */
static void meet(void *ctx, size_t task, unsigned thread)
{
	(void)task, (void)thread;
	pthread_barrier_wait(ctx);
}

static void test_all_threads_take_part(void **state)
{
	(void)state;
	for (unsigned threads = 2; threads <= MOST_THREADS; threads++) {
		pthread_barrier_t barrier;
		pthread_barrier_init(&barrier, NULL, threads);
		struct team *team = create(threads);
		for (int i = 0; i < 20; i++) {
			if (i == 10)
				threads_pause_ms(5);
			team_for(team, threads, meet, &barrier);
		}
		team_destroy(team);
		pthread_barrier_destroy(&barrier);
	}
}

/* One task is held up until the others are done: they must not wait behind it. */
struct slow_first {
	_Atomic unsigned done;
};

static void run_slow_first(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	struct slow_first *job = ctx;
	if (task == 0)
		while (atomic_load(&job->done) < 99)
			sched_yield();
	atomic_fetch_add(&job->done, 1);
}

static void test_tasks_are_dealt_dynamically(void **state)
{
	(void)state;
	struct team *team = create(2);
	struct slow_first job = {0};
	team_for(team, 100, run_slow_first, &job);
	assert_int_equal(job.done, 100);
	team_destroy(team);
}

struct where {
	cpu_set_t sets[MOST_THREADS];
	char names[MOST_THREADS][16];
	pthread_barrier_t barrier;
};

static void look_where(void *ctx, size_t task, unsigned thread)
{
	(void)task;
	struct where *where = ctx;
	pthread_barrier_wait(&where->barrier);
	sched_getaffinity(0, sizeof(where->sets[0]), &where->sets[thread]);
	pthread_getname_np(pthread_self(), where->names[thread], sizeof(where->names[0]));
}

static void test_helpers_are_pinned(void **state)
{
	(void)state;
	unsigned threads = cpu_allowed() < MOST_THREADS ? cpu_allowed() : MOST_THREADS;
	if (threads < 2)
		skip();
	struct error err = {0};
	struct placement *placement = placement_create("auto", &err);
	assert_non_null(placement);
	/* Twice: a destroyed team gives its processors back. */
	for (int i = 0; i < 2; i++) {
		struct team *team = team_create(threads, placement, &err);
		assert_non_null(team);
		struct where where;
		pthread_barrier_init(&where.barrier, NULL, threads);
		team_for(team, threads, look_where, &where);
		cpu_set_t together = where.sets[1];
		for (unsigned t = 1; t < threads; t++) {
			char name[16];
			snprintf(name, sizeof(name), "team-%u", t);
			assert_string_equal(where.names[t], name);
			assert_int_equal(CPU_COUNT(&where.sets[t]), 1);
			CPU_OR(&together, &together, &where.sets[t]);
		}
		assert_int_equal(CPU_COUNT(&together), threads - 1);
		assert_int_equal(CPU_COUNT(&where.sets[0]), cpu_allowed());
		pthread_barrier_destroy(&where.barrier);
		team_destroy(team);
	}
	placement_destroy(placement);
}

static void test_no_threads(void **state)
{
	(void)state;
	struct error err = {0};
	assert_null(team_create(0, NULL, &err));
	assert_int_equal(err.code, ERROR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_task_once),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_short_lives),
		cmocka_unit_test(test_called_from_another_thread),
		cmocka_unit_test(test_all_threads_take_part),
		cmocka_unit_test(test_tasks_are_dealt_dynamically),
		cmocka_unit_test(test_helpers_are_pinned),
		cmocka_unit_test(test_no_threads),
	};
	return cmocka_run_group_tests_name("team", tests, start, NULL);
}
