/* SPDX-License-Identifier: Apache-2.0 */
/* Memory and the division of work that the steps of a net share. */
#include "model/workspace.h"

int workspace_alloc(struct workspace *workspace, struct arena *arena, unsigned threads, struct error *err)
{
	size_t lanes = (size_t)WORKSPACE_SUMS * workspace->channels_max * sizeof(float);
	if (workspace->scratch_bytes < lanes)
		workspace->scratch_bytes = lanes;
	/* Whole cache lines, plus one against two threads' scratch mapping to the same sets. */
	workspace->scratch_bytes = (workspace->scratch_bytes + 63) / 64 * 64 + 64;
	workspace->weights = arena_alloc(arena, "packed weights", workspace->weight_bytes, 1, 0, err);
	workspace->sums = arena_alloc(arena, "scratch",
		(size_t)WORKSPACE_TASKS_MAX * WORKSPACE_SUMS * workspace->channels_max, sizeof(double), 0, err);
	workspace->counts = arena_alloc(arena, "scratch", WORKSPACE_TASKS_MAX, sizeof(double), 0, err);
	workspace->scratch = arena_alloc(arena, "scratch", threads * workspace->scratch_bytes, 1, 0, err);
	if (workspace->weights == NULL || workspace->sums == NULL || workspace->counts == NULL ||
		workspace->scratch == NULL)
		return ERROR_MEMORY;
	if (workspace->partial_floats > 0) {
		workspace->partials =
			arena_alloc(arena, "weight sums", workspace->partial_floats, sizeof(float), 0, err);
		if (workspace->partials == NULL)
			return ERROR_MEMORY;
	}
	if (workspace->shared_bytes > 0) {
		workspace->shared = arena_alloc(arena, "winograd points", workspace->shared_bytes, 1, 0, err);
		if (workspace->shared == NULL)
			return ERROR_MEMORY;
	}
	return 0;
}

struct workspace_split workspace_split(uint32_t rows, uint32_t least)
{
	uint32_t per_task = (rows + WORKSPACE_TASKS_MAX - 1) / WORKSPACE_TASKS_MAX;
	if (per_task < least)
		per_task = least;
	return (struct workspace_split){rows, per_task, (rows + per_task - 1) / per_task};
}

struct workspace_rows workspace_task(const struct workspace_split *split, size_t task)
{
	uint32_t first = (uint32_t)task * split->rows_per_task;
	uint32_t left = split->rows - first;
	return (struct workspace_rows){first, first + (left < split->rows_per_task ? left : split->rows_per_task)};
}
