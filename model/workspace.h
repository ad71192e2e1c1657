/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the steps of a net share while one of them runs: the kernels, packed weights, partial sums and per-thread
 * scratch.
 *
 * Work is cut by rows of the batch alone, so that sums come out the same on any team: workspace_task() gives a task its
 * rows.
 */
#ifndef RINGCLR_MODEL_WORKSPACE_H
#define RINGCLR_MODEL_WORKSPACE_H

#include <stddef.h>
#include <stdint.h>

#include "model/kernels.h"
#include "pipeline/arena.h"
#include "pipeline/error.h"
#include "pipeline/team.h"

enum {
	WORKSPACE_TASKS_MAX = 64, /* tasks of one sweep over the batch */
	WORKSPACE_SUMS = 3,	  /* statistics per channel that a task keeps */
};

struct workspace {
	const struct kernels *kernels;
	struct team *team; /* of the current call */

	/* The most that any step needs; filled while steps are planned, drawn by workspace_alloc(). */
	size_t weight_bytes, partial_floats, scratch_bytes, shared_bytes;
	unsigned channels_max;

	void *weights;	 /* packed panels of the step that runs; shares its memory with partials and shared */
	void *shared;	 /* what all tasks of a weight gradient read */
	float *partials; /* weight gradients, one per split of the batch */
	double *sums;	 /* [tasks][WORKSPACE_SUMS][channels_max] */
	double *counts;	 /* [tasks]: pixels behind a task's sums */
	char *scratch;	 /* [threads][scratch_bytes] */
};

int workspace_alloc(struct workspace *workspace, struct arena *arena, unsigned threads, struct error *err);

/* Rows of one task when a task has at least `least` of them. tasks <= WORKSPACE_TASKS_MAX. */
struct workspace_split {
	uint32_t rows, rows_per_task, tasks;
};

struct workspace_split workspace_split(uint32_t rows, uint32_t least);

struct workspace_rows {
	uint32_t first, end;
};

struct workspace_rows workspace_task(const struct workspace_split *split, size_t task);

static inline void *workspace_scratch(const struct workspace *workspace, unsigned thread)
{
	return workspace->scratch + (size_t)thread * workspace->scratch_bytes;
}

static inline double *workspace_sums(const struct workspace *workspace, size_t task)
{
	return workspace->sums + task * WORKSPACE_SUMS * workspace->channels_max;
}

#endif
