/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking all blocks of a shard on several threads, with the same report for any number of them.
 *
 * Blocks that lie side by side make a span:
 *
 *	workers: read and check the blocks of span s --done ring, a report a slot--> the calling thread: tells, in order
 *
 * Where blocks lie comes from the index. Without one they are found by their own headers, 4 KiB by 4 KiB, before any is
 * checked; where the footer is lost too, what no block header starts may be the index.
 *
 * Memory: a worker holds 256 KiB or, where it is larger, a block, and the largest block decompressed; the list of found
 * blocks takes less than 3% of the file's size.
 */
#include "io/shard_verify_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "pipeline/graph.h"
#include "pipeline/ring.h"

/* Bytes of a span: large, so that the calling thread sleeps between two; smaller where decoding takes long, so that all
 * threads are busy to the end. */
enum { SPAN_BYTES = 1 << 22, SPAN_BYTES_FULL = 1 << 18 };

/* Bytes that are read at once: large enough that the call costs nothing, small enough that they still lie in a core's
 * cache when they are hashed. */
enum { READ_BYTES = 1 << 18 };

enum { REPORT_LINES = 1000, SLOTS_PER_JOB = 4 };

/* A block that was found by its header, or the end of the walk (header.number is then the block that should come, and
 * disk_bytes is 0). */
struct found {
	struct shard_block_disk header;
	uint64_t offset;
	uint64_t lost;	 /* pages before it that belong to no block */
	uint32_t number; /* that it should have */
	bool gap;	 /* blocks are missing before it */
};

struct blocks {
	const struct verify_file *file;
	struct found *found; /* NULL: by the index */
	size_t count;	     /* of blocks, or of found */
	uint64_t *spans;     /* first block of each; spans[span_count] is count */
	size_t span_count;
};

struct run {
	struct blocks blocks;
	struct verify_job *jobs;
	struct ring *done;
	int64_t damages;
};

void verify_report_add(struct verify_report *report, const char *format, ...)
{
	char line[1400];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	const size_t bytes = strlen(line) + 1;
	if (report->bytes + bytes > report->capacity) {
		const size_t capacity = 2 * report->capacity + sizeof line;
		char *lines = realloc(report->lines, capacity);
		if (lines != NULL) {
			report->lines = lines;
			report->capacity = capacity;
		}
	}
	if (report->told == REPORT_LINES || report->bytes + bytes > report->capacity) {
		report->untold++;
		return;
	}
	memcpy(report->lines + report->bytes, line, bytes);
	report->bytes += bytes;
	report->told++;
}

int64_t verify_report_flush(struct verify_report *report, const struct shard_verify_options *options)
{
	const int64_t damages = (int64_t)(report->told + report->untold);
	for (size_t at = 0; at < report->bytes && options->report != NULL; at += strlen(report->lines + at) + 1)
		options->report(options->ctx, report->lines + at);
	if (report->untold > 0 && options->report != NULL) {
		char line[100];
		snprintf(line, sizeof line, "and %llu more damages after the last one",
			(unsigned long long)report->untold);
		options->report(options->ctx, line);
	}
	report->bytes = 0;
	report->told = report->untold = 0;
	return damages;
}

/* ---- where blocks lie ---- */

/* A block header that can be believed: its own hash is right and its sizes fit between `offset` and `end`. */
static bool header_read(const struct verify_file *file, uint64_t offset, uint64_t end, struct shard_block_disk *header)
{
	struct error err = {0};
	return shard_pread(file->fd, file->path, header, sizeof *header, offset, &err) == 0 &&
	       memcmp(header->magic, SHARD_BLOCK_MAGIC, sizeof header->magic) == 0 &&
	       header->hash == XXH3_64bits(header, offsetof(struct shard_block_disk, hash)) &&
	       header->disk_bytes > sizeof *header && shard_align(header->disk_bytes) <= end - offset &&
	       header->raw_bytes <= SHARD_MAX_RAW_BYTES &&
	       shard_sizes_fault(header->compression, true, header->disk_bytes - sizeof *header, header->raw_bytes) ==
		       NULL;
}

/* Bytes of a whole copy of the dictionary at `offset`, or 0. */
static uint64_t copy_here(const struct verify_file *file, uint64_t offset)
{
	uint32_t bytes = 0;
	unsigned char *copy = shard_copy_read(file->fd, file->path, offset, file->file_bytes, &bytes);
	free(copy);
	return copy != NULL ? shard_copy_bytes(bytes) : 0;
}

static bool found_add(struct blocks *blocks, size_t *capacity, const struct found *found)
{
	if (blocks->count == *capacity) {
		*capacity = 2 * *capacity + 64;
		struct found *more = realloc(blocks->found, *capacity * sizeof *more);
		if (more == NULL)
			return false;
		blocks->found = more;
	}
	blocks->found[blocks->count++] = *found;
	return true;
}

static int blocks_find(struct blocks *blocks, struct error *err)
{
	const struct verify_file *file = blocks->file;
	const bool start_known = file->footer_sound || file->header_sound;
	uint64_t at = start_known ? shard_blocks_offset(&file->footer) : SHARD_HEADER_BYTES;
	uint64_t end = file->footer_sound ? file->footer.index_offset
					  : file->file_bytes / SHARD_BLOCK_ALIGN * SHARD_BLOCK_ALIGN;
	struct found found = {.lost = 0};
	size_t capacity = 0;
	bool stored = true;
	blocks->count = 0;
	while (at + SHARD_BLOCK_ALIGN <= end && stored) {
		uint64_t copy = copy_here(file, at);
		if (copy > 0 && found.lost == 0) {
			at += copy;
			continue;
		}
		if (!header_read(file, at, end, &found.header)) {
			at += SHARD_BLOCK_ALIGN;
			found.lost++;
			continue;
		}
		found.offset = at;
		found.gap =
			found.header.number != found.number || (found.lost > 0 && (start_known || found.number > 0));
		stored = found_add(blocks, &capacity, &found);
		at += shard_align(found.header.disk_bytes);
		found.number = found.header.number + 1;
		found.lost = 0;
	}
	found.header.disk_bytes = 0;
	found.offset = at;
	found.gap = found.lost > 0 && file->footer_sound;
	if (!stored || !found_add(blocks, &capacity, &found))
		return error_set(err, ERROR_MEMORY, "out of memory for the list of blocks of '%s'", file->path);
	return 0;
}

static uint64_t block_offset(const struct blocks *blocks, size_t i)
{
	return blocks->found != NULL ? blocks->found[i].offset : blocks->file->index.blocks[i].offset;
}

static size_t block_padded(const struct blocks *blocks, size_t i)
{
	return shard_align(
		blocks->found != NULL ? blocks->found[i].header.disk_bytes : blocks->file->index.blocks[i].disk_bytes);
}

static int spans_make(struct blocks *blocks, struct error *err)
{
	const size_t limit = blocks->file->options->level == SHARD_VERIFY_FULL ? SPAN_BYTES_FULL : SPAN_BYTES;
	uint64_t end = 0; /* of the last block */
	size_t bytes = 0; /* of the last span */
	blocks->spans = malloc((blocks->count + 1) * sizeof *blocks->spans);
	if (blocks->spans == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for the list of blocks of '%s'", blocks->file->path);
	for (size_t i = 0; i < blocks->count; i++) {
		const size_t padded = block_padded(blocks, i);
		if (i == 0 || block_offset(blocks, i) != end || bytes + padded > limit) {
			blocks->spans[blocks->span_count++] = i;
			bytes = 0;
		}
		bytes += padded;
		end = block_offset(blocks, i) + padded;
	}
	blocks->spans[blocks->span_count] = blocks->count;
	return 0;
}

/* ---- workers ---- */

static void block_check(struct verify_job *job, const struct blocks *blocks, size_t i, const unsigned char *disk)
{
	if (blocks->found == NULL) {
		verify_block_by_index(job, (uint32_t)i, disk);
		return;
	}
	const struct found *found = &blocks->found[i];
	if (found->gap)
		verify_report_add(job->report, "'%s': block %u (%llu pages before byte %llu) is damaged or lost",
			job->file->path, found->number, (unsigned long long)found->lost,
			(unsigned long long)found->offset);
	if (found->header.disk_bytes > 0)
		verify_block_by_itself(job, &found->header, disk);
}

/* Reads blocks [first, last) at once. Where that fails, one by one, so that the message names the block that cannot be
 * read and the others are still checked. */
static void blocks_read(struct verify_job *job, const struct blocks *blocks, size_t first, size_t last)
{
	const struct verify_file *file = job->file;
	const uint64_t offset = block_offset(blocks, first);
	const size_t bytes = (size_t)(block_offset(blocks, last - 1) - offset) + block_padded(blocks, last - 1);
	const uint32_t number =
		blocks->found == NULL ? (uint32_t)first : blocks->found[first].header.number; /* of a single block */
	struct error err = {0};
	if (!verify_scratch(&job->disk, &job->disk_capacity, bytes + 1))
		error_set(&err, ERROR_MEMORY, "'%s' cannot be checked here: out of memory", file->path);
	else
		shard_pread(file->fd, file->path, job->disk, bytes, offset, &err);
	if (err.code != 0 && last - first == 1) {
		verify_report_add(job->report, "block %u: %s", number, err.message);
		return;
	}
	for (size_t i = first; i < last; i++) {
		if (err.code == 0)
			block_check(job, blocks, i, job->disk + (block_offset(blocks, i) - offset));
		else
			blocks_read(job, blocks, i, i + 1);
	}
}

static void span_check(struct verify_job *job, const struct blocks *blocks, size_t span)
{
	const size_t last = blocks->spans[span + 1];
	for (size_t first = blocks->spans[span], next; first < last; first = next) {
		size_t bytes = block_padded(blocks, first);
		for (next = first + 1; next < last && bytes + block_padded(blocks, next) <= READ_BYTES; next++)
			bytes += block_padded(blocks, next);
		blocks_read(job, blocks, first, next);
	}
}

static int work_run(void *ctx, struct worker *worker)
{
	struct run *run = ctx;
	struct verify_job *job = &run->jobs[worker->index];
	for (;;) {
		const uint64_t span = ring_ticket(run->done, RING_PRODUCER);
		void *report = NULL;
		if (span >= run->blocks.span_count)
			return 0;
		int rc = ring_claim(run->done, span, &report);
		if (rc != 0)
			return rc == RING_END ? 0 : rc;
		job->report = report;
		span_check(job, &run->blocks, span);
		ring_publish(run->done, span, 0);
	}
}

/* ---- the calling thread ---- */

static void span_told(struct run *run, size_t span, struct verify_report *report)
{
	const struct blocks *blocks = &run->blocks;
	const struct shard_verify_options *options = blocks->file->options;
	const size_t last = blocks->spans[span + 1] - 1;
	run->damages += verify_report_flush(report, options);
	if (options->progress != NULL)
		options->progress(options->ctx, block_offset(blocks, last) + block_padded(blocks, last),
			blocks->file->file_bytes);
}

static int tell_run(void *ctx, struct worker *worker)
{
	struct run *run = ctx;
	(void)worker;
	for (size_t span = 0; span < run->blocks.span_count; span++) {
		void *report = NULL;
		int rc = ring_acquire(run->done, span, &report, NULL);
		if (rc != 0)
			return rc == RING_END ? 0 : rc;
		span_told(run, span, report);
		ring_release(run->done, span);
	}
	return 0;
}

static int graph_build(struct run *run, struct arena *arena, struct graph *graph, unsigned jobs, struct error *err)
{
	const struct ring_config config = {
		.name = "done", .slots = jobs * SLOTS_PER_JOB, .slot_bytes = sizeof(struct verify_report)};
	run->done = ring_create(arena, &config, err);
	if (run->done == NULL)
		return err->code;
	const struct stage stages[] = {
		{.name = "verify",
			.run = work_run,
			.ctx = run,
			.workers = jobs,
			.out = run->done,
			.placement = PLACEMENT_OTHER},
		{.name = "tell", .run = tell_run, .ctx = run, .in = run->done, .caller_runs = 1},
	};
	int rc = graph_add_ring(graph, run->done, err);
	for (size_t i = 0; i < sizeof stages / sizeof *stages && rc >= 0; i++)
		rc = graph_add_stage(graph, &stages[i], err);
	return rc < 0 ? rc : 0;
}

static int run_parallel(struct run *run, unsigned jobs, struct error *err)
{
	struct arena *arena = arena_create(0, err);
	struct graph *graph = aligned_alloc(_Alignof(struct graph), sizeof *graph);
	int rc = 0;
	if (arena != NULL && graph != NULL) {
		memset(graph, 0, sizeof *graph);
		rc = graph_build(run, arena, graph, jobs, err);
		if (rc == 0)
			rc = graph_run(graph, NULL, err);
	} else {
		error_set(err, ERROR_MEMORY, "out of memory to check '%s'", run->blocks.file->path);
		rc = ERROR_MEMORY;
	}
	for (uint32_t i = 0; run->done != NULL && i < ring_slots(run->done); i++)
		free(((struct verify_report *)ring_slot_memory(run->done, i))->lines);
	free(graph);
	arena_destroy(arena);
	return rc;
}

static void run_alone(struct run *run)
{
	struct verify_report report = {.lines = NULL};
	run->jobs[0].report = &report;
	for (size_t span = 0; span < run->blocks.span_count; span++) {
		span_check(&run->jobs[0], &run->blocks, span);
		span_told(run, span, &report);
	}
	free(report.lines);
}

static int jobs_run(struct run *run, unsigned jobs, struct error *err)
{
	const struct verify_file *file = run->blocks.file;
	run->jobs = calloc(jobs, sizeof *run->jobs);
	bool ready = run->jobs != NULL;
	for (unsigned i = 0; i < jobs && ready; i++) {
		run->jobs[i] = (struct verify_job){.file = file, .number = i};
		if (file->options->level == SHARD_VERIFY_FULL)
			ready = (run->jobs[i].dctx = ZSTD_createDCtx()) != NULL;
	}
	int rc = 0;
	if (!ready)
		rc = error_set(err, ERROR_MEMORY, "out of memory to check '%s'", file->path);
	else if (jobs > 1)
		rc = run_parallel(run, jobs, err);
	else
		run_alone(run);
	for (unsigned i = 0; i < jobs && run->jobs != NULL; i++) {
		ZSTD_freeDCtx(run->jobs[i].dctx);
		free(run->jobs[i].disk);
		free(run->jobs[i].raw);
	}
	free(run->jobs);
	return rc;
}

int verify_blocks(const struct verify_file *file, int64_t *damages, struct error *err)
{
	struct run run = {.blocks = {.file = file, .count = file->index.block_count}};
	int rc = file->index_sound ? 0 : blocks_find(&run.blocks, err);
	if (rc == 0)
		rc = spans_make(&run.blocks, err);
	if (rc == 0) {
		size_t jobs = file->options->jobs;
		if (jobs > run.blocks.span_count)
			jobs = run.blocks.span_count;
		rc = jobs_run(&run, jobs > 1 ? (unsigned)jobs : 1, err);
	}
	*damages += run.damages;
	free(run.blocks.found);
	free(run.blocks.spans);
	return rc;
}
