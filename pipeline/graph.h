/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The graph: a table of stages joined by rings. graph_run() starts every stage's workers on their threads, waits for
 * them all, and returns the first error.
 *
 *   - When a worker's run function returns a negative code, the graph keeps the first such error and poisons every ring
 *     with its code, so that no thread is left waiting.
 *   - When the last worker of a stage returns 0, the graph closes the stage's input ring at 0 (nobody will consume:
 *     producers upstream get RING_END and return), and with it the inputs of the stages that fill that ring, and so on
 *     upstream. It leaves the output ring open up to the numbers that were published: a stage that ends early closes
 *     its output itself with ring_close(out, end) before it returns.
 *   - A run function treats RING_END as "finished": it returns 0. A negative result from a ring it just returns: the
 *     graph knows that this is the echo of an earlier error.
 */
#ifndef RINGCLR_PIPELINE_GRAPH_H
#define RINGCLR_PIPELINE_GRAPH_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"
#include "pipeline/meter.h"
#include "pipeline/placement.h"
#include "pipeline/ring.h"

enum { GRAPH_MAX_STAGES = 16, GRAPH_MAX_RINGS = 16, GRAPH_MAX_WORKERS = 256 };

struct worker {
	unsigned index;	     /* 0..workers-1 within the stage */
	struct meter *meter; /* this worker's own */
	struct error *err;   /* this worker's own */
};

struct stage {
	const char *name;
	int (*run)(void *ctx, struct worker *worker);
	void *ctx;
	unsigned workers;		  /* threads; 0 counts as 1. caller_runs: must be 1 */
	struct ring *in, *out;		  /* NULL where the stage has none */
	const char *phases[METER_PHASES]; /* names of kinds of work; phases[0] NULL: one, named as the stage */
	enum placement_kind placement;
	int caller_runs; /* this stage's single worker is the thread that called graph_run() (at most one stage) */
};

struct graph {
	struct stage stages[GRAPH_MAX_STAGES];
	size_t stage_count;
	struct ring *rings[GRAPH_MAX_RINGS]; /* all of them, also those that are no stage's in or out */
	size_t ring_count;
	/* Filled by graph_run(), readable while it runs (meters) and after it: */
	struct meter meters[GRAPH_MAX_WORKERS]; /* in order of stages, then workers */
	uint64_t wall_ns;
	struct graph_run *running; /* private: NULL but while graph_run() runs */
};

/* Appends a stage or ring. They return the index, or abort the build of the graph with a negative code when the table
 * is full. */
int graph_add_stage(struct graph *graph, const struct stage *stage, struct error *err);
int graph_add_ring(struct graph *graph, struct ring *ring, struct error *err);

/* Runs to the end. placement may be NULL. Threads in total beyond cpu_allowed() switch spinning off. 0 or the first
 * error. */
int graph_run(struct graph *graph, struct placement *placement, struct error *err);

/* From any thread or stage while graph_run() runs: fails the whole graph with this error. */
void graph_fail(struct graph *graph, const struct error *err);

/* Index in meters of a stage's first worker. */
size_t graph_first_meter(const struct graph *graph, size_t stage);

#endif
