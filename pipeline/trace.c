/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread takes a buffer at its first slice, under a lock, and remembers it in a thread-local variable together with
 * the number of the trace: so a thread that outlives a trace does not write to it through the next one's run. From then
 * on it writes alone. `count` is raised after the slice is whole, so that a reader sees only whole ones.
 */
#include "pipeline/trace.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/meter.h"

enum { NAME_BYTES = 32 }; /* the system's names have at most 16, stages' may be longer */

/* Taken and left under `lock`; between, its thread alone writes it. */
struct buffer {
	struct trace_slice *slices; /* [trace->capacity] */
	/* Raised by the thread that has the buffer, read by trace_slices(). */
	_Alignas(64) _Atomic size_t count;
	_Atomic uint64_t dropped;
	uint64_t sequence;
	char name[NAME_BYTES];
	bool taken;
};

struct trace {
	/* Constant after trace_create(), but for start_ns (trace_start()). */
	uint64_t number; /* no two traces of a process have the same */
	struct buffer *buffers;
	size_t buffer_room, capacity;
	uint64_t start_ns;
	/* Under `lock`. */
	size_t buffer_count;
	/* Slices of threads for which there was no buffer. Raised by those threads, read by trace_dropped(). */
	_Atomic uint64_t homeless;
};

_Atomic(struct trace *) trace_running;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all traces: who takes which buffer */
static uint64_t traces;					 /* under lock */

/* The calling thread's buffer, of the trace with that number. NULL with a number: it came too late to get one. */
static _Thread_local struct {
	uint64_t number;
	struct buffer *buffer;
} self;

struct trace *trace_create(struct arena *arena, unsigned threads, size_t slices, struct error *err)
{
	struct trace *trace = arena_alloc(arena, "trace", 1, sizeof(*trace), 0, err);
	struct buffer *buffers =
		trace ? arena_alloc(arena, "trace", threads, sizeof(*buffers), _Alignof(struct buffer), err) : NULL;
	if (buffers == NULL)
		return NULL;
	for (unsigned i = 0; i < threads; i++) {
		buffers[i].slices = arena_alloc(arena, "trace", slices, sizeof(struct trace_slice), 0, err);
		if (buffers[i].slices == NULL)
			return NULL;
	}
	trace->buffers = buffers;
	trace->buffer_room = threads;
	trace->capacity = slices;
	pthread_mutex_lock(&lock);
	trace->number = ++traces;
	pthread_mutex_unlock(&lock);
	return trace;
}

void trace_start(struct trace *trace)
{
	trace->start_ns = meter_now_ns();
	/* Release, with the acquire in trace_begin(). */
	atomic_store_explicit(&trace_running, trace, memory_order_release);
}

void trace_stop(void)
{
	/* Relaxed: a thread that sees it late records one slice more. */
	atomic_store_explicit(&trace_running, NULL, memory_order_relaxed);
}

/* ---- Recording ---- */

/* The buffer that an ended thread of that name left, or a new one; NULL when all are taken. */
static struct buffer *take_buffer(struct trace *trace, const char *name)
{
	struct buffer *buffer = NULL;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < trace->buffer_count && buffer == NULL; i++)
		if (!trace->buffers[i].taken && strcmp(trace->buffers[i].name, name) == 0)
			buffer = &trace->buffers[i];
	if (buffer == NULL && trace->buffer_count < trace->buffer_room)
		buffer = &trace->buffers[trace->buffer_count++];
	if (buffer != NULL) {
		buffer->taken = true;
		buffer->sequence = TRACE_NO_SEQUENCE;
		snprintf(buffer->name, sizeof(buffer->name), "%s", name);
	}
	pthread_mutex_unlock(&lock);
	return buffer;
}

static struct buffer *own_buffer(struct trace *trace)
{
	if (self.number != trace->number) {
		char name[NAME_BYTES] = "thread";
		pthread_getname_np(pthread_self(), name, sizeof(name));
		self.number = trace->number;
		self.buffer = take_buffer(trace, name);
	}
	return self.buffer;
}

uint64_t trace_now(struct trace *trace)
{
	own_buffer(trace); /* so that taking one is not part of the slice */
	return meter_now_ns();
}

void trace_record(const char *category, const char *name, const uint64_t *sequence, uint64_t start_ns)
{
	uint64_t end_ns = meter_now_ns();
	struct trace *trace = atomic_load_explicit(&trace_running, memory_order_acquire); /* as in trace_begin() */
	if (trace == NULL)
		return;
	struct buffer *buffer = own_buffer(trace);
	if (buffer == NULL) {
		atomic_fetch_add_explicit(&trace->homeless, 1, memory_order_relaxed);
		return;
	}
	size_t count = atomic_load_explicit(&buffer->count, memory_order_relaxed); /* our own */
	if (count == trace->capacity) {
		atomic_fetch_add_explicit(&buffer->dropped, 1, memory_order_relaxed);
		return;
	}
	buffer->slices[count] = (struct trace_slice){
		.category = category,
		.name = name,
		.sequence = sequence != NULL ? *sequence : buffer->sequence,
		.start_ns = start_ns,
		.end_ns = end_ns,
	};
	/* Release, with the acquire in trace_slices(): the slice. */
	atomic_store_explicit(&buffer->count, count + 1, memory_order_release);
}

void trace_set_sequence(struct trace *trace, uint64_t sequence)
{
	struct buffer *buffer = own_buffer(trace);
	if (buffer != NULL)
		buffer->sequence = sequence;
}

void trace_name_thread(const char *name)
{
	struct trace *trace = atomic_load_explicit(&trace_running, memory_order_acquire); /* as in trace_begin() */
	if (trace == NULL || self.number == trace->number)
		return;
	self.number = trace->number;
	self.buffer = take_buffer(trace, name);
}

void trace_leave(void)
{
	struct trace *trace = atomic_load_explicit(&trace_running, memory_order_acquire); /* as in trace_begin() */
	if (trace == NULL || self.number != trace->number)
		return;
	if (self.buffer != NULL) {
		pthread_mutex_lock(&lock);
		self.buffer->taken = false;
		pthread_mutex_unlock(&lock);
	}
	self.number = 0;
}

/* ---- Reading ---- */

size_t trace_threads(const struct trace *trace)
{
	pthread_mutex_lock(&lock);
	size_t count = trace->buffer_count;
	pthread_mutex_unlock(&lock);
	return count;
}

const char *trace_thread_name(const struct trace *trace, size_t thread)
{
	return trace->buffers[thread].name;
}

const struct trace_slice *trace_slices(const struct trace *trace, size_t thread, size_t *count)
{
	const struct buffer *buffer = &trace->buffers[thread];
	/* Acquire, with the release in trace_record(). */
	*count = atomic_load_explicit(&buffer->count, memory_order_acquire);
	return buffer->slices;
}

static int by_start(const void *left, const void *right)
{
	const struct trace_slice *a = left, *b = right;
	if (a->start_ns != b->start_ns)
		return a->start_ns < b->start_ns ? -1 : 1;
	return (a->end_ns < b->end_ns) - (a->end_ns > b->end_ns);
}

void trace_sort(struct trace *trace)
{
	for (size_t i = 0; i < trace_threads(trace); i++) {
		size_t count;
		trace_slices(trace, i, &count);
		qsort(trace->buffers[i].slices, count, sizeof(struct trace_slice), by_start);
	}
}

uint64_t trace_dropped(const struct trace *trace)
{
	uint64_t sum = atomic_load_explicit(&trace->homeless, memory_order_relaxed);
	for (size_t i = 0; i < trace_threads(trace); i++)
		sum += atomic_load_explicit(&trace->buffers[i].dropped, memory_order_relaxed);
	return sum;
}

uint64_t trace_start_ns(const struct trace *trace)
{
	return trace->start_ns;
}
