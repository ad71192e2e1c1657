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
	workspace->sums = arena_alloc(arena, "scratch",
		(size_t)WORKSPACE_TASKS_MAX * WORKSPACE_SUMS * workspace->channels_max, sizeof(double), 0, err);
	workspace->counts = arena_alloc(arena, "scratch", WORKSPACE_TASKS_MAX, sizeof(double), 0, err);
	workspace->scratch = arena_alloc(arena, "scratch", threads * workspace->scratch_bytes, 1, 0, err);
	/* Packed weights are read in forward and data gradients, sums and points in weight gradients: never at once. */
	size_t partial_bytes = (workspace->partial_floats * sizeof(float) + 63) / 64 * 64;
	size_t bytes = partial_bytes + workspace->shared_bytes;
	if (bytes < workspace->weight_bytes)
		bytes = workspace->weight_bytes;
	void *operands = arena_alloc(arena, "weights and points", bytes, 1, 0, err);
	if (operands == NULL || workspace->sums == NULL || workspace->counts == NULL || workspace->scratch == NULL)
		return ERROR_MEMORY;
	workspace->weights = operands;
	workspace->partials = operands;
	workspace->shared = (char *)operands + partial_bytes;
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
