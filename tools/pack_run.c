/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second pass, as a graph of the project's own:
 *
 *	reader --read ring--> workers (decode to check, resize, encode) --done ring--> writer (the calling thread)
 *
 * Files differ in size by orders of magnitude, so a slot does not hold the bytes but owns them: struct pack_item has a
 * malloc'd buffer that travels with the slot. Whoever takes the buffer out sets the pointer to NULL; what is left after
 * a failure is freed with the rings. Memory is bounded by slots times PACK_MAX_FILE_BYTES, in practice by the slots
 * times an image; pack_work.c says what a worker has beside that.
 *
 * Items are numbered in the order of reading, so the writer sees them in that order, and the file's bytes are the same
 * for any number of workers. A bad image is an item with a negative status and a reason: it is the writer that decides,
 * in order, which bad image is the first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"
#include "tools/pack_run.h"

enum { SLOTS_PER_WORKER = 4, MAX_OPEN_INPUTS = 256 };

void pack_item_clear(struct pack_item *item)
{
	free(item->data);
	*item = (struct pack_item){.data = NULL};
}

int pack_interrupted(const struct pack_plan *plan, struct error *err)
{
	return command_interrupted()
		       ? error_set(err, ERROR_INTERRUPTED, "interrupted; no output was changed%s",
				 plan->append ? "" : ". The same command with --resume goes on with what is done")
		       : 0;
}

static void free_items(struct ring *ring)
{
	for (uint32_t i = 0; ring != NULL && i < ring_slots(ring); i++)
		pack_item_clear(ring_slot_memory(ring, i));
}

static int build(struct pack_pass *pass, struct arena *arena, struct graph *graph, struct error *err)
{
	unsigned jobs = pass->settings->jobs;
	struct ring_config config = {
		.name = "read", .slots = jobs * SLOTS_PER_WORKER, .slot_bytes = sizeof(struct pack_item)};
	pass->read = ring_create(arena, &config, err);
	config.name = "done";
	pass->done = ring_create(arena, &config, err);
	if (pass->read == NULL || pass->done == NULL)
		return err->code;
	const struct stage stages[] = {
		{.name = "read", .run = pack_read_stage, .ctx = pass, .out = pass->read, .placement = PLACEMENT_OTHER},
		{.name = "work",
			.run = pack_work_stage,
			.ctx = pass,
			.workers = jobs,
			.in = pass->read,
			.out = pass->done,
			.placement = PLACEMENT_OTHER},
		{.name = "write", .run = pack_write_stage, .ctx = pass, .in = pass->done, .caller_runs = 1},
	};
	int rc = graph_add_ring(graph, pass->read, err);
	if (rc >= 0)
		rc = graph_add_ring(graph, pass->done, err);
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]) && rc >= 0; i++)
		rc = graph_add_stage(graph, &stages[i], err);
	return rc < 0 ? rc : 0;
}

/* Whether shuffled records have to wait for others: an archive is only read from front to back, and very many inputs
 * are not open at once. */
static bool must_spill(const struct pack_settings *settings, const struct pack_plan *plan)
{
	bool any_order = settings->input_count <= MAX_OPEN_INPUTS;
	for (unsigned i = 0; i < settings->input_count; i++)
		any_order = any_order && settings->sources[i]->any_order;
	return plan->shuffled && !any_order;
}

static uint64_t count_items(const struct pack_plan *plan)
{
	uint64_t count = 0;
	for (size_t i = 0; i < plan->count; i++)
		count += (plan->entries[i].flags & (PACK_LEFT_OUT | PACK_WRITTEN)) == 0;
	return count;
}

int pack_run(const struct pack_settings *settings, struct pack_plan *plan, struct pack_bad *bad,
	const struct pack_outputs *outputs, struct pack_result *result, struct error *err)
{
	struct pack_pass pass = {.settings = settings,
		.plan = plan,
		.bad = bad,
		.outputs = outputs,
		.result = result,
		.count = count_items(plan),
		.spills = must_spill(settings, plan),
		.started_ns = meter_now_ns()};
	struct graph *graph = aligned_alloc(_Alignof(struct graph), sizeof(*graph));
	struct arena *arena = arena_create(0, err);
	int rc = 0;
	if (graph == NULL)
		rc = pack_out_of_memory(err);
	else if (arena == NULL)
		rc = err->code;
	if (rc == 0) {
		memset(graph, 0, sizeof(*graph));
		rc = build(&pass, arena, graph, err);
	}
	if (rc == 0)
		rc = graph_run(graph, NULL, err);
	if (settings->show_progress && rc < 0)
		fputs("\r\033[K", stderr);
	free_items(pass.read);
	free_items(pass.done);
	arena_destroy(arena);
	free(graph);
	result->seconds = (double)(meter_now_ns() - pass.started_ns) * 1e-9;
	return rc;
}
