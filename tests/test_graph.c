/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs of a source, workers and a sink over rings of numbers. An alarm turns a thread left waiting into a failure. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pipeline/cpu.h"
#include "pipeline/graph.h"
#include "pipeline/team.h"
#include "tests/helper_threads.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* ---- Failing pthread_create() at will ---- */

static _Atomic int threads_left = -1; /* -1: no limit */

#ifndef SANITIZED
typedef int create_fn(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *argument);
__attribute__((visibility("default"))) int pthread_create(
	pthread_t *newthread, const pthread_attr_t *attr, void *(*start_routine)(void *), void *arg)
{
	static create_fn *real;
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	if (threads_left == 0)
		return EAGAIN;
	if (threads_left > 0)
		threads_left--;
	return real(newthread, attr, start_routine, arg);
}
#endif

/* ---- The stages ---- */

enum { ITEMS = 500 };
static const uint64_t NEVER = UINT64_MAX;

struct flow {
	struct arena *arena;
	struct graph graph;
	struct ring *raw, *cooked;
	uint64_t items;	       /* the source closes its output there; NEVER: it goes on until it is told to stop */
	uint64_t source_fails; /* fails at that number; NEVER: does not */
	uint64_t cook_fails;
	uint64_t sink_stops; /* returns 0 before that number */
	int how;	     /* of cook_fails, see fail_somehow() */
	uint64_t sum;	     /* by the sink */
	_Atomic int running; /* run functions that have not returned */
	_Atomic int started;
};

static int source(void *ctx, struct worker *worker)
{
	struct flow *flow = ctx;
	int rc = 0;
	flow->running++;
	flow->started++;
	for (uint64_t seq = 0; rc == 0; seq++) {
		void *memory;
		if (seq == flow->items) {
			ring_close(flow->raw, seq);
			break;
		}
		if (seq == flow->source_fails) {
			rc = error_set(worker->err, ERROR_IO, "source: record %d is gone", (int)seq);
			break;
		}
		rc = ring_claim(flow->raw, seq, &memory);
		if (rc == RING_OK) {
			*(uint64_t *)memory = seq;
			ring_publish(flow->raw, seq, 0);
			meter_add(worker->meter, 1, 8);
		}
	}
	flow->running--;
	return rc < 0 ? rc : 0;
}

enum { BY_RETURN, WITHOUT_WORDS, BY_RING_THEN_RETURN, BY_GRAPH_FAIL };

static int fail_somehow(struct flow *flow, struct worker *worker)
{
	struct error err = {0};
	switch (flow->how) {
	case WITHOUT_WORDS:
		return ERROR_NUMERIC;
	case BY_RING_THEN_RETURN:
		ring_fail(flow->cooked, ERROR_DECODE);
		threads_pause_ms(10); /* the others' echoes come first */
		return error_set(worker->err, ERROR_DECODE, "cook: image is bad");
	case BY_GRAPH_FAIL:
		error_set(&err, ERROR_INTERRUPTED, "stopped by the user");
		graph_fail(&flow->graph, &err);
		return 0;
	default:
		return error_set(worker->err, ERROR_DECODE, "cook: image is bad");
	}
}

static int cook(void *ctx, struct worker *worker)
{
	struct flow *flow = ctx;
	int rc = 0;
	flow->running++;
	flow->started++;
	while (rc == 0) {
		uint64_t seq = ring_ticket(flow->raw, RING_CONSUMER);
		void *in, *out;
		rc = ring_acquire(flow->raw, seq, &in, NULL);
		if (rc == RING_END) {
			ring_close(flow->cooked, seq);
			break;
		}
		if (rc == RING_OK && seq == flow->cook_fails) {
			rc = fail_somehow(flow, worker);
			break;
		}
		if (rc == RING_OK)
			rc = ring_claim(flow->cooked, seq, &out);
		if (rc == RING_OK) {
			*(uint64_t *)out = *(uint64_t *)in * 2;
			ring_publish(flow->cooked, seq, 0);
			ring_release(flow->raw, seq);
			meter_add(worker->meter, 1, 8);
		}
	}
	flow->running--;
	return rc < 0 ? rc : 0;
}

static int sink(void *ctx, struct worker *worker)
{
	struct flow *flow = ctx;
	int rc = 0;
	flow->running++;
	flow->started++;
	for (uint64_t seq = 0; rc == 0 && seq != flow->sink_stops; seq++) {
		void *memory;
		rc = ring_acquire(flow->cooked, seq, &memory, NULL);
		if (rc == RING_OK) {
			flow->sum += *(uint64_t *)memory;
			ring_release(flow->cooked, seq);
			meter_add(worker->meter, 1, 8);
		}
	}
	flow->running--;
	return rc < 0 ? rc : 0;
}

static void set_up(struct flow *flow, unsigned cooks)
{
	memset(flow, 0, sizeof(*flow));
	flow->items = ITEMS;
	flow->source_fails = flow->cook_fails = flow->sink_stops = NEVER;
	flow->arena = arena_create(0, NULL);
	struct ring_config raw = {.name = "raw", .slots = 3, .slot_bytes = 8};
	struct ring_config cooked = {.name = "cooked", .slots = 4, .slot_bytes = 8};
	flow->raw = ring_create(flow->arena, &raw, NULL);
	flow->cooked = ring_create(flow->arena, &cooked, NULL);
	struct stage stages[] = {
		{.name = "source", .run = source, .ctx = flow, .out = flow->raw},
		{.name = "cook", .run = cook, .ctx = flow, .workers = cooks, .in = flow->raw, .out = flow->cooked},
		{.name = "sink", .run = sink, .ctx = flow, .in = flow->cooked},
	};
	assert_int_equal(graph_add_ring(&flow->graph, flow->raw, NULL), 0);
	assert_int_equal(graph_add_ring(&flow->graph, flow->cooked, NULL), 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(graph_add_stage(&flow->graph, &stages[i], NULL), i);
}

static int run(struct flow *flow, struct error *err)
{
	*err = (struct error){0};
	int rc = graph_run(&flow->graph, NULL, err);
	threads_assert_clean();
	assert_int_equal(flow->running, 0);
	assert_int_equal(rc, err->code);
	return rc;
}

static void tear_down(struct flow *flow)
{
	arena_destroy(flow->arena);
}

static int start(void **state)
{
	(void)state;
	alarm(60);
	return 0;
}

/* ---- The tests ---- */

static void test_flows_to_the_end(void **state)
{
	(void)state;
	static struct flow flow;
	struct error err;
	for (unsigned cooks = 0; cooks <= 8; cooks++) {
		set_up(&flow, cooks);
		assert_int_equal(run(&flow, &err), 0);
		assert_int_equal(flow.sum, (uint64_t)ITEMS * (ITEMS - 1));
		assert_int_equal(flow.started, 2 + (cooks == 0 ? 1 : cooks));
		tear_down(&flow);
	}
}

static void test_meters(void **state)
{
	(void)state;
	static struct flow flow;
	struct error err;
	set_up(&flow, 3);
	assert_int_equal(run(&flow, &err), 0);
	assert_int_equal(graph_first_meter(&flow.graph, 0), 0);
	assert_int_equal(graph_first_meter(&flow.graph, 1), 1);
	assert_int_equal(graph_first_meter(&flow.graph, 2), 4);
	uint64_t cooked = 0;
	for (int i = 1; i < 4; i++)
		cooked += flow.graph.meters[i].items;
	assert_int_equal(flow.graph.meters[0].items, ITEMS);
	assert_int_equal(cooked, ITEMS);
	assert_int_equal(flow.graph.meters[4].items, ITEMS);
	for (int i = 0; i < 5; i++)
		assert_true(flow.graph.meters[i].wall_ns > 0 && flow.graph.meters[i].wall_ns <= flow.graph.wall_ns);

	/* A second run counts anew. */
	ring_reset(flow.raw, 0);
	ring_reset(flow.cooked, 0);
	flow.sum = 0;
	assert_int_equal(run(&flow, &err), 0);
	assert_int_equal(flow.sum, (uint64_t)ITEMS * (ITEMS - 1));
	assert_int_equal(flow.graph.meters[0].items, ITEMS);
	tear_down(&flow);
}

static void test_consumer_stops_early(void **state)
{
	(void)state;
	static struct flow flow;
	struct error err;
	static const uint64_t stops[] = {0, 1, 3, 100};
	for (size_t i = 0; i < 4; i++) {
		set_up(&flow, 3);
		flow.items = NEVER;
		flow.sink_stops = stops[i];
		assert_int_equal(run(&flow, &err), 0);
		assert_int_equal(flow.graph.meters[4].items, stops[i]);
		tear_down(&flow);
	}
}

/* The ring has one slot: worker 0 leaves with it in its hands, worker 1 waits for the item that would come next. */
static int leave_with_slot(void *ctx, struct worker *worker)
{
	struct flow *flow = ctx;
	if (worker->index == 1)
		return ring_acquire(flow->raw, 1, NULL, NULL) < 0 ? ERROR_SYSTEM : 0;
	int rc = ring_acquire(flow->raw, 0, NULL, NULL);
	THREAD_CHECK(rc == RING_OK || rc == RING_END);
	threads_pause_ms(10); /* worker 1 and the source are waiting by now */
	return 0;
}

static int leave_at_once(void *ctx, struct worker *worker)
{
	(void)ctx, (void)worker;
	threads_pause_ms(20);
	return 0;
}

static void test_worker_leaves_with_a_slot(void **state)
{
	(void)state;
	static struct flow flow;
	struct error err;
	set_up(&flow, 2);
	struct ring_config config = {.name = "narrow", .slots = 1, .slot_bytes = 8};
	flow.raw = ring_create(flow.arena, &config, NULL);
	flow.items = NEVER;
	flow.graph.rings[0] = flow.graph.stages[0].out = flow.graph.stages[1].in = flow.raw;
	flow.graph.stages[1].run = leave_with_slot;
	flow.graph.stages[2].run = leave_at_once;
	assert_int_equal(run(&flow, &err), 0);
	tear_down(&flow);
}

static void test_first_error_wins(void **state)
{
	(void)state;
	static struct flow flow;
	struct error err;
	static const uint64_t points[] = {0, 1, 5, 200};
	for (size_t i = 0; i < 4; i++) {
		for (unsigned cooks = 1; cooks <= 8; cooks += 3) {
			set_up(&flow, cooks);
			flow.source_fails = points[i];
			assert_int_equal(run(&flow, &err), ERROR_IO);
			char message[64];
			snprintf(message, sizeof(message), "source: record %d is gone", (int)points[i]);
			assert_string_equal(err.message, message);
			tear_down(&flow);

			set_up(&flow, cooks);
			flow.items = NEVER;
			flow.cook_fails = points[i];
			assert_int_equal(run(&flow, &err), ERROR_DECODE);
			assert_string_equal(err.message, "cook: image is bad");
			tear_down(&flow);
		}
	}
}

static void test_other_ways_to_fail(void **state)
{
	(void)state;
	static struct flow flow;
	struct error err;
	for (int how = WITHOUT_WORDS; how <= BY_GRAPH_FAIL; how++) {
		set_up(&flow, 3);
		flow.items = NEVER;
		flow.cook_fails = 50;
		flow.how = how;
		int rc = run(&flow, &err);
		if (how == WITHOUT_WORDS) {
			assert_int_equal(rc, ERROR_NUMERIC);
			assert_non_null(strstr(err.message, "cook"));
			assert_non_null(strstr(err.message, "numeric"));
		} else if (how == BY_RING_THEN_RETURN) {
			assert_int_equal(rc, ERROR_DECODE);
			assert_string_equal(err.message, "cook: image is bad");
		} else {
			assert_int_equal(rc, ERROR_INTERRUPTED);
			assert_string_equal(err.message, "stopped by the user");
		}
		tear_down(&flow);
	}
	/* Outside of a run nothing happens. */
	struct error late = {.code = ERROR_IO, .message = "late"};
	graph_fail(&flow.graph, &late);
}

/* A ring that is no stage's in or out: a stage waits on it alone. */
static int wait_on_side_ring(void *ctx, struct worker *worker)
{
	(void)worker;
	return ring_acquire(ctx, 0, NULL, NULL);
}

static int fail_soon(void *ctx, struct worker *worker)
{
	(void)ctx;
	threads_pause_ms(10);
	return error_set(worker->err, ERROR_MISMATCH, "shapes differ");
}

static void test_all_rings_are_poisoned(void **state)
{
	(void)state;
	static struct graph graph;
	struct error err = {0};
	struct arena *arena = arena_create(0, NULL);
	struct ring_config config = {.name = "side", .slots = 1};
	struct ring *side = ring_create(arena, &config, NULL);
	struct stage waits = {.name = "waits", .run = wait_on_side_ring, .ctx = side, .workers = 2};
	struct stage fails = {.name = "fails", .run = fail_soon};
	graph = (struct graph){0};
	graph_add_ring(&graph, side, NULL);
	graph_add_stage(&graph, &waits, NULL);
	graph_add_stage(&graph, &fails, NULL);
	assert_int_equal(graph_run(&graph, NULL, &err), ERROR_MISMATCH);
	assert_string_equal(err.message, "shapes differ");
	arena_destroy(arena);
}

/* ---- Threads ---- */

struct seen {
	pthread_t thread;
	char name[16];
	sigset_t blocked;
	cpu_set_t cpus;
};

static int look(void *ctx, struct worker *worker)
{
	struct seen *seen = (struct seen *)ctx + worker->index;
	seen->thread = pthread_self();
	pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
	pthread_sigmask(SIG_BLOCK, NULL, &seen->blocked);
	sched_getaffinity(0, sizeof(seen->cpus), &seen->cpus);
	return 0;
}

static int blocks_both(const sigset_t *set)
{
	return sigismember(set, SIGINT) && sigismember(set, SIGTERM);
}

static void test_threads_names_and_signals(void **state)
{
	(void)state;
	static struct graph graph;
	struct seen alone[1], several[2], own[1] = {0}, before[1];
	struct worker me = {0};
	look(before, &me);
	struct stage stages[] = {
		{.name = "unpack", .run = look, .ctx = alone},
		{.name = "forward and backward", .run = look, .ctx = several, .workers = 2},
		{.name = "report", .run = look, .ctx = own, .caller_runs = 1},
	};
	graph = (struct graph){0};
	for (int i = 0; i < 3; i++)
		graph_add_stage(&graph, &stages[i], NULL);
	assert_int_equal(graph_run(&graph, NULL, NULL), 0);
	assert_string_equal(alone[0].name, "unpack");
	assert_string_equal(several[0].name, "forward and-0");
	assert_string_equal(several[1].name, "forward and-1");
	assert_true(blocks_both(&alone[0].blocked) && blocks_both(&several[1].blocked));
	/* The caller is itself: its name and its signals stay. */
	assert_true(pthread_equal(own[0].thread, pthread_self()));
	assert_false(pthread_equal(alone[0].thread, pthread_self()));
	assert_string_equal(own[0].name, before[0].name);
	assert_false(sigismember(&own[0].blocked, SIGINT));
	sigset_t after;
	pthread_sigmask(SIG_BLOCK, NULL, &after);
	assert_false(sigismember(&after, SIGINT) || sigismember(&after, SIGTERM));
}

static void test_placement(void **state)
{
	(void)state;
	if (cpu_allowed() < 2)
		skip();
	static struct graph graph;
	struct seen other[1], compute[1], own[1], before[1];
	struct worker me = {0};
	struct error err = {0};
	look(before, &me);
	struct placement *placement = placement_create("auto", &err);
	/* What the first reservation is: the compute stage must get it although it comes last. */
	int first = placement_next(placement, PLACEMENT_COMPUTE);
	placement_release(placement, PLACEMENT_COMPUTE, first);
	struct stage stages[] = {
		{.name = "other", .run = look, .ctx = other, .placement = PLACEMENT_OTHER},
		{.name = "own", .run = look, .ctx = own, .placement = PLACEMENT_COMPUTE, .caller_runs = 1},
	};
	/* Twice: a run gives its processors back. */
	for (int i = 0; i < 2; i++) {
		graph = (struct graph){0};
		graph_add_stage(&graph, &stages[0], NULL);
		graph_add_stage(&graph, &stages[1], NULL);
		assert_int_equal(graph_run(&graph, placement, &err), 0);
		assert_int_equal(CPU_COUNT(&own[0].cpus), 1);
		assert_true(CPU_ISSET((size_t)first, &own[0].cpus));
		assert_int_equal(CPU_COUNT(&other[0].cpus), 1);
		assert_false(CPU_ISSET((size_t)first, &other[0].cpus));
		look(compute, &me); /* the caller floats again */
		assert_true(CPU_EQUAL(&compute[0].cpus, &before[0].cpus));
	}
	placement_destroy(placement);
}

static void test_caller_runs_a_stage(void **state)
{
	(void)state;
	static struct flow flow;
	struct error err;
	for (int stage = 0; stage < 3; stage++) {
		set_up(&flow, 1);
		flow.graph.stages[stage].caller_runs = 1;
		assert_int_equal(run(&flow, &err), 0);
		assert_int_equal(flow.sum, (uint64_t)ITEMS * (ITEMS - 1));
		tear_down(&flow);
		/* And when it fails. */
		set_up(&flow, 1);
		flow.graph.stages[stage].caller_runs = 1;
		flow.source_fails = 20;
		assert_int_equal(run(&flow, &err), ERROR_IO);
		tear_down(&flow);
	}
}

static void test_thread_creation_fails(void **state)
{
	(void)state;
#ifdef SANITIZED
	skip(); /* the sanitizer has put its own pthread_create() in place */
#endif
	static struct flow flow;
	struct error err;
	for (int started = 0; started < 4; started++) {
		for (int caller = 0; caller < 2; caller++) {
			set_up(&flow, 2);
			flow.items = NEVER;
			flow.graph.stages[0].caller_runs = caller;
			threads_left = caller && started == 3 ? 2 : started;
			assert_int_equal(run(&flow, &err), ERROR_SYSTEM);
			assert_true(flow.started <= started);
			assert_non_null(strstr(err.message, "cannot start worker"));
			assert_non_null(strstr(err.message, "temporarily unavailable"));
			threads_left = -1;
			tear_down(&flow);
		}
	}
	threads_left = 2;
	struct error team_err = {0};
	assert_null(team_create(5, NULL, &team_err));
	threads_left = -1;
	assert_int_equal(team_err.code, ERROR_SYSTEM);
}

static void test_full_tables(void **state)
{
	(void)state;
	static struct graph graph;
	struct error stage_err = {0}, ring_err = {0}, worker_err = {0}, caller_err = {0}, second_err = {0};
	struct arena *arena = arena_create(0, NULL);
	struct ring_config config = {.name = "one too many", .slots = 1};
	struct ring *ring = ring_create(arena, &config, NULL);
	struct stage stage = {.name = "many", .run = look};
	graph = (struct graph){0};
	for (int i = 0; i < GRAPH_MAX_STAGES; i++)
		assert_int_equal(graph_add_stage(&graph, &stage, &stage_err), i);
	assert_int_equal(graph_add_stage(&graph, &stage, &stage_err), ERROR_USAGE);
	assert_non_null(strstr(stage_err.message, "many"));
	for (int i = 0; i < GRAPH_MAX_RINGS; i++)
		assert_int_equal(graph_add_ring(&graph, ring, &ring_err), i);
	assert_int_equal(graph_add_ring(&graph, ring, &ring_err), ERROR_USAGE);
	assert_non_null(strstr(ring_err.message, "one too many"));

	graph = (struct graph){0};
	stage.workers = GRAPH_MAX_WORKERS - 1;
	assert_int_equal(graph_add_stage(&graph, &stage, &worker_err), 0);
	stage.workers = 2;
	assert_int_equal(graph_add_stage(&graph, &stage, &worker_err), ERROR_USAGE);
	stage.caller_runs = 1;
	assert_int_equal(graph_add_stage(&graph, &stage, &caller_err), ERROR_USAGE);
	stage.workers = 1;
	assert_int_equal(graph_add_stage(&graph, &stage, &caller_err), 1);
	graph.stages[0].workers = 1;
	assert_int_equal(graph_add_stage(&graph, &stage, &second_err), ERROR_USAGE);
	arena_destroy(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flows_to_the_end),
		cmocka_unit_test(test_meters),
		cmocka_unit_test(test_consumer_stops_early),
		cmocka_unit_test(test_worker_leaves_with_a_slot),
		cmocka_unit_test(test_first_error_wins),
		cmocka_unit_test(test_other_ways_to_fail),
		cmocka_unit_test(test_all_rings_are_poisoned),
		cmocka_unit_test(test_threads_names_and_signals),
		cmocka_unit_test(test_placement),
		cmocka_unit_test(test_caller_runs_a_stage),
		cmocka_unit_test(test_thread_creation_fails),
		cmocka_unit_test(test_full_tables),
	};
	return cmocka_run_group_tests_name("graph", tests, start, NULL);
}
