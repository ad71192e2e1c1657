/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace: what each thread did when, in slices of time.
 *
 *	uint64_t start_ns = trace_begin();
 *	... work ...
 *	trace_end("optimizer", "fc.weight", start_ns);
 *
 * Each thread writes to a buffer of its own, of fixed size and drawn before the run; once it is full, slices are
 * dropped and counted. While no trace runs, both calls come to one load and one branch each. Slices of one thread nest
 * or follow each other. Names and categories are pointers: the strings must live as long as the trace.
 */
#ifndef RINGCLR_PIPELINE_TRACE_H
#define RINGCLR_PIPELINE_TRACE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/arena.h"
#include "pipeline/error.h"

struct trace;

struct trace_slice {
	const char *category; /* the kind of work; "stage": one item of a stage; "wait": stalled on a ring */
	const char *name;
	uint64_t sequence;	   /* of the item or step; TRACE_NO_SEQUENCE: none */
	uint64_t start_ns, end_ns; /* meter_now_ns() */
};

#define TRACE_NO_SEQUENCE UINT64_MAX

/* Buffers for `threads` threads of `slices` slices each. Threads of one name that follow each other share a buffer. */
struct trace *trace_create(struct arena *arena, unsigned threads, size_t slices, struct error *err);

/* Process-wide: from now on all threads record to this trace; no more. Not while another one runs. */
void trace_start(struct trace *trace);
void trace_stop(void);

/* ---- Recording, from any thread ---- */

/* Set by trace_start() and trace_stop(); use the functions. */
extern _Atomic(struct trace *) trace_running;

uint64_t trace_now(struct trace *trace);
void trace_record(const char *category, const char *name, const uint64_t *sequence, uint64_t start_ns);
void trace_set_sequence(struct trace *trace, uint64_t sequence);

/* 0 while no trace runs. */
static inline uint64_t trace_begin(void)
{
	/* Acquire, with the release in trace_start(): the trace's tables. */
	struct trace *trace = atomic_load_explicit(&trace_running, memory_order_acquire);
	return __builtin_expect(trace != NULL, 0) ? trace_now(trace) : 0;
}

/* Ends what trace_begin() began; it carries the thread's current sequence number. */
static inline void trace_end(const char *category, const char *name, uint64_t start_ns)
{
	if (__builtin_expect(start_ns != 0, 0))
		trace_record(category, name, NULL, start_ns);
}

/* The same with a number of its own. */
static inline void trace_end_numbered(const char *category, const char *name, uint64_t sequence, uint64_t start_ns)
{
	if (__builtin_expect(start_ns != 0, 0))
		trace_record(category, name, &sequence, start_ns);
}

/* What the calling thread works on from now on. */
static inline void trace_sequence(uint64_t sequence)
{
	struct trace *trace = atomic_load_explicit(&trace_running, memory_order_acquire); /* as in trace_begin() */
	if (__builtin_expect(trace != NULL, 0))
		trace_set_sequence(trace, sequence);
}

/* The calling thread's track is called by this name instead of the thread's own, unless it has one already (a graph
 * that runs within another's stage adds to that one's track). name need not live on. */
void trace_name_thread(const char *name);

/* The calling thread ends; another of the same name may go on in its buffer. */
void trace_leave(void);

/* ---- Reading, after trace_stop() and when the threads have ended or rest ---- */

size_t trace_threads(const struct trace *trace);
const char *trace_thread_name(const struct trace *trace, size_t thread);

/* In the order in which they ended. trace_sort() puts them in the order in which they began, outer before inner. */
const struct trace_slice *trace_slices(const struct trace *trace, size_t thread, size_t *count);
void trace_sort(struct trace *trace);

uint64_t trace_dropped(const struct trace *trace); /* slices that had no place */
uint64_t trace_start_ns(const struct trace *trace);

#endif
