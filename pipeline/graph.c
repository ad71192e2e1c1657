/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run: reserve processors (compute stages first, so that others only get spare ones), start a thread per worker,
 * run the caller's own stage if there is one, join all, give the processors back.
 *
 * The first error is kept under a lock, and poisons every ring after it was kept; so a worker that is thrown out by
 * a poisoned ring always comes later. Only a worker that poisons a ring by itself can be overtaken by such an echo: a
 * negative result without a message is therefore remembered apart, and reported only if nobody says more.
 */
#include "pipeline/graph.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/cpu.h"
#include "pipeline/trace.h"

enum { THREAD_NAME_BYTES = 16 }; /* the kernel's limit, with the 0 */

/* One worker's thread. Written by graph_run() before the thread starts; then only the thread writes its err. */
struct seat {
	struct graph *graph;
	struct placement *placement;
	const struct stage *stage;
	size_t stage_index;
	struct worker worker;
	struct error err;
	pthread_t thread;
	bool started;
	int cpu; /* reserved; -1: floats */
};

struct graph_run {
	pthread_mutex_t lock; /* for first and echo */
	struct error first;
	struct error echo;
	_Atomic unsigned live[GRAPH_MAX_STAGES]; /* workers that have not returned 0; lowered by each that does */
	size_t seat_count;
	struct seat seats[GRAPH_MAX_WORKERS];
};

static unsigned workers_of(const struct stage *stage)
{
	return stage->workers == 0 ? 1 : stage->workers;
}

/* ---- Building ---- */

int graph_add_stage(struct graph *graph, const struct stage *stage, struct error *err)
{
	if (graph->stage_count == GRAPH_MAX_STAGES)
		return error_set(
			err, ERROR_USAGE, "stage %s: a graph has at most %d stages", stage->name, GRAPH_MAX_STAGES);
	if (stage->caller_runs && workers_of(stage) != 1)
		return error_set(err, ERROR_USAGE, "stage %s runs on the caller's thread: it has one worker, not %u",
			stage->name, stage->workers);
	size_t workers = workers_of(stage);
	for (size_t i = 0; i < graph->stage_count; i++) {
		workers += workers_of(&graph->stages[i]);
		if (stage->caller_runs && graph->stages[i].caller_runs)
			return error_set(err, ERROR_USAGE, "stages %s and %s cannot both run on the caller's thread",
				graph->stages[i].name, stage->name);
	}
	if (workers > GRAPH_MAX_WORKERS)
		return error_set(err, ERROR_USAGE, "stage %s makes it %zu workers: a graph has at most %d; use fewer",
			stage->name, workers, GRAPH_MAX_WORKERS);
	graph->stages[graph->stage_count] = *stage;
	return (int)graph->stage_count++;
}

int graph_add_ring(struct graph *graph, struct ring *ring, struct error *err)
{
	if (graph->ring_count == GRAPH_MAX_RINGS)
		return error_set(
			err, ERROR_USAGE, "ring %s: a graph has at most %d rings", ring_name(ring), GRAPH_MAX_RINGS);
	graph->rings[graph->ring_count] = ring;
	return (int)graph->ring_count++;
}

size_t graph_first_meter(const struct graph *graph, size_t stage)
{
	size_t first = 0;
	for (size_t i = 0; i < stage; i++)
		first += workers_of(&graph->stages[i]);
	return first;
}

/* ---- Ending ---- */

static void poison_rings(struct graph *graph, int code)
{
	for (size_t i = 0; i < graph->ring_count; i++)
		ring_fail(graph->rings[i], code);
	for (size_t i = 0; i < graph->stage_count; i++) {
		if (graph->stages[i].in != NULL)
			ring_fail(graph->stages[i].in, code);
		if (graph->stages[i].out != NULL)
			ring_fail(graph->stages[i].out, code);
	}
}

void graph_fail(struct graph *graph, const struct error *err)
{
	struct graph_run *run = graph->running;
	if (run == NULL || err->code == 0)
		return;
	pthread_mutex_lock(&run->lock);
	error_copy(&run->first, err);
	int code = run->first.code;
	pthread_mutex_unlock(&run->lock);
	poison_rings(graph, code);
}

/* A negative result that nobody put into words. */
static void keep_echo(struct graph *graph, const struct stage *stage, int code)
{
	struct graph_run *run = graph->running;
	pthread_mutex_lock(&run->lock);
	error_set(&run->echo, code, "stage %s stopped with the error \"%s\" and said no more", stage->name,
		error_name(code));
	pthread_mutex_unlock(&run->lock);
	poison_rings(graph, code);
}

/* Nobody will consume from this ring any more, so nobody needs what would have gone into it. Closing it alone is not
 * enough: a worker that is told so by its output leaves, perhaps with an input slot in its hands, and the next worker
 * may wait for an item that needs that slot. */
static void close_upstream(struct graph *graph, struct ring *ring, size_t depth)
{
	if (ring == NULL || depth == graph->stage_count) /* so deep: rings in a circle */
		return;
	ring_close(ring, 0);
	for (size_t i = 0; i < graph->stage_count; i++)
		if (graph->stages[i].out == ring)
			close_upstream(graph, graph->stages[i].in, depth + 1);
}

static void end_worker(struct seat *seat, int rc)
{
	struct graph *graph = seat->graph;
	if (rc < 0 && seat->err.code != 0) {
		graph_fail(graph, &seat->err);
	} else if (rc < 0) {
		keep_echo(graph, seat->stage, rc);
	} else if (atomic_fetch_sub_explicit(&graph->running->live[seat->stage_index], 1, memory_order_relaxed) == 1) {
		/* Relaxed: the ring's own edges order what producers upstream do about it. */
		close_upstream(graph, seat->stage->in, 0);
	}
}

/* ---- Running ---- */

static void run_worker(struct seat *seat)
{
	uint64_t start_ns = meter_now_ns(), start_cpu_ns = meter_cpu_ns();
	int rc = seat->stage->run(seat->stage->ctx, &seat->worker);
	atomic_store_explicit(&seat->worker.meter->wall_ns, meter_now_ns() - start_ns, memory_order_relaxed);
	atomic_store_explicit(&seat->worker.meter->cpu_ns, meter_cpu_ns() - start_cpu_ns, memory_order_relaxed);
	end_worker(seat, rc);
}

static void *thread_main(void *argument)
{
	struct seat *seat = argument;
	char name[THREAD_NAME_BYTES];
	if (workers_of(seat->stage) == 1)
		snprintf(name, sizeof(name), "%s", seat->stage->name);
	else
		snprintf(name, sizeof(name), "%.11s-%u", seat->stage->name, seat->worker.index);
	pthread_setname_np(pthread_self(), name);
	if (seat->placement != NULL)
		placement_pin_self(seat->placement, seat->cpu);
	run_worker(seat);
	trace_leave();
	return NULL;
}

static void fill_seats(struct graph *graph, struct graph_run *run, struct placement *placement)
{
	for (size_t s = 0; s < graph->stage_count; s++) {
		const struct stage *stage = &graph->stages[s];
		unsigned workers = workers_of(stage);
		atomic_init(&run->live[s], workers);
		for (unsigned w = 0; w < workers; w++) {
			struct seat *seat = &run->seats[run->seat_count];
			struct meter *meter = &graph->meters[run->seat_count++];
			*meter = (struct meter){0};
			seat->graph = graph;
			seat->placement = placement;
			seat->stage = stage;
			seat->stage_index = s;
			seat->worker = (struct worker){.index = w, .meter = meter, .err = &seat->err};
			seat->cpu = -1;
		}
	}
}

static void reserve_processors(struct graph_run *run, struct placement *placement, enum placement_kind kind)
{
	for (size_t i = 0; i < run->seat_count; i++)
		if (run->seats[i].stage->placement == kind)
			run->seats[i].cpu = placement_next(placement, kind);
}

/* Starts all threads but the caller's own; its seat, or NULL, goes to *own. */
static int start_threads(struct graph_run *run, struct seat **own, struct error *err)
{
	/* SIGINT and SIGTERM are for the thread that called: threads inherit the mask they are created under. */
	sigset_t for_caller, before;
	sigemptyset(&for_caller);
	sigaddset(&for_caller, SIGINT);
	sigaddset(&for_caller, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &for_caller, &before);

	int rc = 0;
	*own = NULL;
	for (size_t i = 0; i < run->seat_count && rc == 0; i++) {
		struct seat *seat = &run->seats[i];
		if (seat->stage->caller_runs) {
			*own = seat;
			continue;
		}
		int failed = pthread_create(&seat->thread, NULL, thread_main, seat);
		seat->started = failed == 0;
		if (failed)
			rc = error_set_errno(err, ERROR_SYSTEM, failed,
				"cannot start worker %u of stage %s, thread %zu of %zu: use fewer workers, or see "
				"ulimit "
				"-u",
				seat->worker.index, seat->stage->name, i + 1, run->seat_count);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

/* The caller keeps its own affinity after the run, and so do the threads that it starts later. */
static void run_on_caller(struct seat *seat)
{
	cpu_set_t before;
	bool pinned = seat->cpu >= 0 && pthread_getaffinity_np(pthread_self(), sizeof(before), &before) == 0;
	if (pinned)
		placement_pin_self(seat->placement, seat->cpu);
	trace_name_thread(seat->stage->name);
	run_worker(seat);
	if (pinned)
		pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
}

static void run_all(struct graph *graph, struct graph_run *run)
{
	struct error not_started = {0};
	struct seat *own;
	uint64_t start_ns = meter_now_ns();
	if (start_threads(run, &own, &not_started) < 0)
		graph_fail(graph, &not_started);
	else if (own != NULL)
		run_on_caller(own);
	for (size_t i = 0; i < run->seat_count; i++)
		if (run->seats[i].started)
			pthread_join(run->seats[i].thread, NULL);
	graph->wall_ns = meter_now_ns() - start_ns;
}

int graph_run(struct graph *graph, struct placement *placement, struct error *err)
{
	struct graph_run *run = calloc(1, sizeof(*run));
	if (run == NULL)
		return error_set(err, ERROR_MEMORY, "no memory for the graph's table of threads");
	pthread_mutex_init(&run->lock, NULL);
	fill_seats(graph, run, placement);
	if (placement != NULL) {
		reserve_processors(run, placement, PLACEMENT_COMPUTE);
		reserve_processors(run, placement, PLACEMENT_OTHER);
	}
	ring_set_spinning(run->seat_count <= cpu_allowed());

	graph->running = run;
	run_all(graph, run);
	graph->running = NULL;

	for (size_t i = 0; i < run->seat_count && placement != NULL; i++)
		placement_release(placement, run->seats[i].stage->placement, run->seats[i].cpu);
	error_copy(&run->first, &run->echo);
	int rc = run->first.code == 0 ? 0 : error_copy(err, &run->first);
	pthread_mutex_destroy(&run->lock);
	free(run);
	return rc;
}
