/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks are dealt out by one counter of those not yet begun, `remaining`. Whoever lowers it from r > 0 owns task
 * tasks - r, and while a task is owned and not finished the job's description cannot change. So a helper reads the
 * description only after it has a task, and a helper that is late (descheduled, or still on its way out of the last
 * job) holds nobody up: at worst it draws a task of the next job, which is as good.
 *
 * A thread counts its own tasks and adds them to `finished` when there are none left; who brings that to `tasks` ends
 * the job. Helpers with nothing to do wait on `jobs`, which every team_for() raises; the caller with nothing to do
 * waits on `state`.
 *
 * Edges (each release is paired with the acquire of the same letter):
 *	A  team_for's store of remaining -> a helper's draw   the job's description, and what the caller wrote before
 *	B  adding to finished -> the adder that ends the job  what the tasks wrote
 *	C  state = DONE -> the caller                          the same, handed on
 *	D  jobs and sleepers: store, then load of the other's, on both sides, sequentially consistent. Either the
 *	   caller sees the sleeper, or the sleeper's kernel sees the new value of jobs.
 */
#include "pipeline/team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/cpu.h"
#include "pipeline/meter.h"
#include "pipeline/trace.h"
#include "pipeline/wait.h"

/* Kernels follow each other within microseconds; longer pauses are not worth keeping a processor busy. */
static const uint64_t SPIN_NS = 20000;
static const unsigned PAUSES_PER_LOOK_AT_CLOCK = 16;

enum state { RUNNING, DONE, CALLER_SLEEPS };

struct helper {
	struct team *team;
	pthread_t thread;
	unsigned index; /* 1..threads-1 */
	int cpu;	/* reserved for it; -1: floats */
};

struct team {
	/* Constant after team_create(). */
	unsigned threads;
	bool spins; /* not when threads outnumber processors */
	struct placement *placement;
	struct helper *helpers; /* threads - 1 */
	/* The job. Written by team_for() while no task of the last one is owned, read by owners of a task (A). */
	size_t tasks;
	team_fn *fn;
	void *ctx;
	/* Tasks not begun; may fall below 0 by one per thread. Set by team_for(), lowered by everyone. */
	_Alignas(64) _Atomic int64_t remaining;
	/* Tasks done. Set to 0 by team_for(), raised by everyone. */
	_Alignas(64) _Atomic size_t finished;
	/* enum state. Set to RUNNING by team_for(), to CALLER_SLEEPS by the caller, to DONE by a helper that ends the
	 * job. */
	_Alignas(64) _Atomic uint32_t state;
	/* Raised by team_for() and team_destroy(); helpers sleep on it. */
	_Alignas(64) _Atomic uint32_t jobs;
	/* Helpers that sleep or are about to. */
	_Atomic uint32_t sleepers;
	/* Set once by team_destroy() before it raises jobs. */
	_Atomic bool stops;
};

/* Runs tasks until none are left to begin. Returns whether this thread ended the job. */
static bool run_tasks(struct team *team, unsigned thread)
{
	size_t mine = 0, tasks = 0;
	uint64_t start_ns = thread == 0 ? 0 : trace_begin(); /* the caller's time is traced by who calls */
	while (atomic_load_explicit(&team->remaining, memory_order_relaxed) > 0) {
		int64_t left = atomic_fetch_sub_explicit(&team->remaining, 1, memory_order_acquire); /* A */
		if (left <= 0)
			break;
		tasks = team->tasks;
		team->fn(team->ctx, tasks - (size_t)left, thread);
		mine++;
	}
	if (mine == 0)
		return false;
	trace_end("team", "tasks", start_ns);
	/* B: release by all, acquire by the last. */
	return atomic_fetch_add_explicit(&team->finished, mine, memory_order_acq_rel) + mine == tasks;
}

static bool spin_until_changed(const struct team *team, _Atomic uint32_t *word, uint32_t value)
{
	if (!team->spins)
		return false;
	uint64_t start_ns = meter_now_ns();
	do {
		for (unsigned i = 0; i < PAUSES_PER_LOOK_AT_CLOCK; i++) {
			if (atomic_load_explicit(word, memory_order_acquire) != value)
				return true;
			wait_relax();
		}
	} while (meter_now_ns() - start_ns < SPIN_NS);
	return false;
}

static void wait_for_job(struct team *team, uint32_t seen)
{
	if (spin_until_changed(team, &team->jobs, seen))
		return;
	/* D: the kernel loads jobs after this. */
	atomic_fetch_add_explicit(&team->sleepers, 1, memory_order_seq_cst);
	while (atomic_load_explicit(&team->jobs, memory_order_seq_cst) == seen)
		wait_sleep(&team->jobs, seen);
	atomic_fetch_sub_explicit(&team->sleepers, 1, memory_order_relaxed);
}

static void announce(struct team *team)
{
	/* D: sleepers is loaded after this. */
	atomic_fetch_add_explicit(&team->jobs, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&team->sleepers, memory_order_seq_cst) > 0)
		wait_wake(&team->jobs);
}

static void *helper_main(void *argument)
{
	struct helper *helper = argument;
	struct team *team = helper->team;
	char name[16];
	snprintf(name, sizeof(name), "team-%u", helper->index);
	pthread_setname_np(pthread_self(), name);
	if (team->placement != NULL)
		placement_pin_self(team->placement, helper->cpu);

	for (;;) {
		/* Read before the look at the work, so that a job that comes after the look changes it. */
		uint32_t jobs = atomic_load_explicit(&team->jobs, memory_order_acquire);
		if (atomic_load_explicit(&team->stops, memory_order_relaxed))
			return NULL;
		if (run_tasks(team, helper->index)) {
			/* C: release, with the acquire in wait_for_end(). */
			if (atomic_exchange_explicit(&team->state, DONE, memory_order_acq_rel) == CALLER_SLEEPS)
				wait_wake(&team->state);
		}
		wait_for_job(team, jobs);
	}
}

/* The caller has run out of tasks; helpers still work on theirs. */
static void wait_for_end(struct team *team)
{
	if (spin_until_changed(team, &team->state, RUNNING))
		return;
	uint32_t running = RUNNING;
	/* C: acquire, with the exchange in helper_main(). Fails when the state is DONE by now. */
	if (!atomic_compare_exchange_strong_explicit(
		    &team->state, &running, CALLER_SLEEPS, memory_order_acquire, memory_order_acquire))
		return;
	while (atomic_load_explicit(&team->state, memory_order_acquire) == CALLER_SLEEPS)
		wait_sleep(&team->state, CALLER_SLEEPS);
}

void team_for(struct team *team, size_t tasks, team_fn *fn, void *ctx)
{
	if (team->threads == 1 || tasks <= 1) {
		for (size_t task = 0; task < tasks; task++)
			fn(ctx, task, 0);
		return;
	}
	team->tasks = tasks;
	team->fn = fn;
	team->ctx = ctx;
	atomic_store_explicit(&team->finished, 0, memory_order_relaxed);
	atomic_store_explicit(&team->state, RUNNING, memory_order_relaxed);
	atomic_store_explicit(&team->remaining, (int64_t)tasks, memory_order_release); /* A */
	announce(team);
	if (!run_tasks(team, 0))
		wait_for_end(team);
}

/* Also undoes a team_create() that got as far as `started` helpers. */
static void stop(struct team *team, unsigned started)
{
	atomic_store_explicit(&team->stops, true, memory_order_relaxed);
	announce(team);
	for (unsigned i = 0; i < started; i++)
		pthread_join(team->helpers[i].thread, NULL);
	for (unsigned i = 0; i + 1 < team->threads && team->placement != NULL; i++)
		placement_release(team->placement, PLACEMENT_COMPUTE, team->helpers[i].cpu);
	free(team->helpers);
	free(team);
}

struct team *team_create(unsigned threads, struct placement *placement, struct error *err)
{
	if (threads == 0) {
		error_set(err, ERROR_USAGE, "a team needs at least one thread");
		return NULL;
	}
	struct team *team = aligned_alloc(_Alignof(struct team), sizeof(*team));
	struct helper *helpers = calloc(threads, sizeof(*helpers));
	if (team == NULL || helpers == NULL) {
		free(team);
		free(helpers);
		error_set(err, ERROR_MEMORY, "no memory for a team of %u threads", threads);
		return NULL;
	}
	*team = (struct team){
		.threads = threads,
		.spins = threads <= cpu_allowed(),
		.placement = placement,
		.helpers = helpers,
	};
	for (unsigned i = 0; i + 1 < threads; i++)
		helpers[i] = (struct helper){
			.team = team,
			.index = i + 1,
			.cpu = placement == NULL ? -1 : placement_next(placement, PLACEMENT_COMPUTE),
		};
	for (unsigned i = 0; i + 1 < threads; i++) {
		int failed = pthread_create(&helpers[i].thread, NULL, helper_main, &helpers[i]);
		if (failed) {
			error_set_errno(err, ERROR_SYSTEM, failed,
				"cannot start thread %u of %u of the compute team: use fewer threads, or see ulimit -u",
				i + 1, threads);
			stop(team, i);
			return NULL;
		}
	}
	return team;
}

void team_destroy(struct team *team)
{
	if (team != NULL)
		stop(team, team->threads - 1);
}

unsigned team_threads(const struct team *team)
{
	return team->threads;
}
