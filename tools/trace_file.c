/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file: {"traceEvents": [...]}, one "thread_name" event a thread and one complete event ("ph": "X") a slice, times
 * in microseconds since the trace began. An item of a stage is called by the stage and its number ("decode 17").
 *
 * The table: a slice's own time is its time less that of the slices within it, so that own times sum up to the whole.
 * Sorted slices (outer before inner) need one walk with a stack. What happens at a boundary is not a step's.
 */
#include "tools/trace_file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "io/atomic_file.h"

enum { CHUNK_BYTES = 1 << 16, EVENT_BYTES = 512, CATEGORIES = 24, DEPTH = 16 };

/* ---- The file ---- */

struct writer {
	struct atomic_file *file;
	struct error *err;
	int code;
	size_t bytes;
	char text[CHUNK_BYTES];
};

static void flush(struct writer *writer)
{
	if (writer->code == 0)
		writer->code = atomic_file_write(writer->file, writer->text, writer->bytes, writer->err);
	writer->bytes = 0;
}

/* Fits an event: names have at most 96 characters. */
__attribute__((format(printf, 2, 3))) static void put(struct writer *writer, const char *format, ...)
{
	if (writer->bytes > CHUNK_BYTES - EVENT_BYTES)
		flush(writer);
	va_list args;
	va_start(args, format);
	writer->bytes += (size_t)vsnprintf(writer->text + writer->bytes, EVENT_BYTES, format, args);
	va_end(args);
}

static void put_slice(struct writer *writer, const struct trace *trace, size_t thread, const struct trace_slice *slice)
{
	uint64_t origin_ns = trace_start_ns(trace), since_ns = slice->start_ns - origin_ns;
	uint64_t took_ns = slice->end_ns - slice->start_ns;
	bool numbered = slice->sequence != TRACE_NO_SEQUENCE;
	char number[24] = "", args[48] = "";
	if (numbered && strcmp(slice->category, "stage") == 0)
		snprintf(number, sizeof number, " %" PRIu64, slice->sequence);
	if (numbered)
		snprintf(args, sizeof args, ",\"args\":{\"sequence\":%" PRIu64 "}", slice->sequence);
	put(writer,
		",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%zu,\"name\":\"%.96s%s\",\"cat\":\"%.32s\",\"ts\":%" PRIu64
		".%03u,\"dur\":%" PRIu64 ".%03u%s}",
		thread + 1, slice->name, number, slice->category, since_ns / 1000, (unsigned)(since_ns % 1000),
		took_ns / 1000, (unsigned)(took_ns % 1000), args);
}

static void put_thread(struct writer *writer, const struct trace *trace, size_t thread)
{
	static const char *const places[] = {
		"read", "unpack", "decode", "forward_backward", "team", "optimize", "report"};
	const char *name = trace_thread_name(trace, thread);
	size_t place = 0, count;
	while (place < sizeof places / sizeof places[0] && strncmp(name, places[place], strlen(places[place])) != 0)
		place++;
	put(writer,
		",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%zu,\"name\":\"thread_name\",\"args\":{\"name\":\"%s\"}},\n"
		"{\"ph\":\"M\",\"pid\":1,\"tid\":%zu,\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":%zu}}",
		thread + 1, name, thread + 1, place * 1000 + thread);
	const struct trace_slice *slices = trace_slices(trace, thread, &count);
	for (size_t i = 0; i < count; i++)
		put_slice(writer, trace, thread, &slices[i]);
}

int trace_file_write(const struct trace *trace, const char *path, struct error *err)
{
	static struct writer writer; /* too large for a stack */
	writer = (struct writer){.err = err};
	writer.file = atomic_file_create(path, err);
	if (!writer.file)
		return err->code;
	put(&writer, "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"dropped\":%" PRIu64 "},\"traceEvents\":[\n",
		trace_dropped(trace));
	put(&writer, "{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"ringclr\"}}");
	for (size_t i = 0; i < trace_threads(trace); i++)
		put_thread(&writer, trace, i);
	put(&writer, "\n]}\n");
	flush(&writer);
	if (writer.code < 0) {
		atomic_file_abandon(writer.file);
		return writer.code;
	}
	return atomic_file_commit(writer.file, err);
}

/* ---- The table ---- */

struct shares {
	unsigned count;
	struct {
		const char *category;
		uint64_t own_ns;
	} row[CATEGORIES];
	uint64_t total_ns; /* of the rows */
	uint64_t steps;
};

static void add_own(struct shares *shares, const char *category, uint64_t own_ns)
{
	bool frame = strcmp(category, "stage") == 0 || strcmp(category, "pass") == 0;
	if (frame)
		category = "other";
	unsigned i = 0;
	while (i < shares->count && strcmp(shares->row[i].category, category) != 0)
		i++;
	if (i == CATEGORIES)
		return;
	if (i == shares->count)
		shares->row[shares->count++].category = category;
	shares->row[i].own_ns += own_ns;
	shares->total_ns += own_ns;
}

static void sum_up(struct shares *shares, const struct trace_slice *slices, size_t count)
{
	struct {
		const struct trace_slice *slice;
		uint64_t inner_ns;
	} stack[DEPTH + 1] = {{0}};
	size_t depth = 0;
	uint64_t boundary_end_ns = 0;
	for (size_t i = 0; i <= count; i++) {
		const struct trace_slice *next = i < count ? &slices[i] : NULL;
		while (depth > 0 && (!next || stack[depth].slice->end_ns <= next->start_ns)) {
			const struct trace_slice *done = stack[depth].slice;
			uint64_t ns = done->end_ns - done->start_ns;
			add_own(shares, done->category, ns - stack[depth].inner_ns);
			stack[--depth].inner_ns += ns;
		}
		if (!next || next->start_ns < boundary_end_ns)
			continue;
		if (strcmp(next->category, "boundary") == 0) {
			boundary_end_ns = next->end_ns;
			continue;
		}
		shares->steps += strcmp(next->category, "stage") == 0;
		if (depth < DEPTH) {
			stack[++depth].slice = next;
			stack[depth].inner_ns = 0;
		}
	}
}

static const struct trace_slice *slices_of(const struct trace *trace, const char *thread, size_t *count)
{
	for (size_t i = 0; i < trace_threads(trace); i++)
		if (strcmp(trace_thread_name(trace, i), thread) == 0)
			return trace_slices(trace, i, count);
	*count = 0;
	return NULL;
}

static uint64_t meet_ns(const struct trace_slice *a, const struct trace_slice *b)
{
	uint64_t start = a->start_ns > b->start_ns ? a->start_ns : b->start_ns;
	uint64_t end = a->end_ns < b->end_ns ? a->end_ns : b->end_ns;
	return end > start ? end - start : 0;
}

/* Nanoseconds of the optimizer's slices, and of these the ones during the same step's backward pass. */
static void sum_overlap(const struct trace *trace, uint64_t *total_ns, uint64_t *during_ns)
{
	size_t updates, passes, next = 0;
	const struct trace_slice *update = slices_of(trace, "optimize", &updates);
	const struct trace_slice *pass = slices_of(trace, "forward_backward", &passes);
	*total_ns = *during_ns = 0;
	for (size_t i = 0; i < updates; i++) {
		if (strcmp(update[i].category, "optimizer") != 0)
			continue;
		*total_ns += update[i].end_ns - update[i].start_ns;
		/* Both go through the steps in the same order. */
		while (next < passes &&
			(strcmp(pass[next].category, "pass") != 0 || strcmp(pass[next].name, "backward") != 0 ||
				pass[next].sequence < update[i].sequence))
			next++;
		if (next < passes && pass[next].sequence == update[i].sequence)
			*during_ns += meet_ns(&update[i], &pass[next]);
	}
}

void trace_file_table(const struct trace *trace, FILE *out)
{
	size_t count;
	struct shares shares = {0};
	const struct trace_slice *slices = slices_of(trace, "forward_backward", &count);
	sum_up(&shares, slices, count);
	if (shares.steps == 0 || shares.total_ns == 0)
		return;
	fprintf(out, "a step's %.3f ms on the compute thread, mean of %" PRIu64 ":\n",
		1e-6 * (double)shares.total_ns / (double)shares.steps, shares.steps);
	for (unsigned done = 0; done < shares.count; done++) {
		unsigned most = 0;
		for (unsigned i = 1; i < shares.count; i++)
			if (shares.row[i].own_ns > shares.row[most].own_ns)
				most = i;
		fprintf(out, "  %-20s %5.1f%%\n", shares.row[most].category,
			100 * (double)shares.row[most].own_ns / (double)shares.total_ns);
		shares.row[most].own_ns = 0;
	}
	uint64_t total_ns, during_ns;
	sum_overlap(trace, &total_ns, &during_ns);
	if (total_ns > 0)
		fprintf(out, "optimizer: %.3f ms a step, %.1f%% of it during backward\n",
			1e-6 * (double)total_ns / (double)shares.steps, 100 * (double)during_ns / (double)total_ns);
	if (trace_dropped(trace) > 0)
		fprintf(out, "the trace was full: %" PRIu64 " slices are missing\n", trace_dropped(trace));
}
