/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which samples a run goes through, and in which groups they are read.
 *
 * Sample numbers count over the whole run: sample s is position s % epoch_samples of epoch s / epoch_samples. Reader
 * and unpackers walk the same groups in the same order, each with a cursor of its own, so that nothing but sequence
 * numbers passes between them.
 */
#ifndef RINGCLR_STAGES_SPAN_H
#define RINGCLR_STAGES_SPAN_H

#include <stdbool.h>
#include <stdint.h>

#include "io/epoch_plan.h"

struct span {
	const struct epoch_plan *plan;
	uint64_t epoch_samples; /* positions used of each epoch: whole batches in training, all of them elsewhere */
	uint64_t first, end;	/* sample numbers: first <= s < end */
};

struct span_cursor {
	const struct span *span;
	uint32_t epoch;
	uint64_t group;		   /* within the epoch */
	struct epoch_group extent; /* of that group */
	uint64_t first, end;	   /* its samples, cut to the span */
	uint64_t ticket;	   /* groups before this one in the span */
	uint64_t block_base;	   /* blocks before this group's in the span */
};

/* Stands on the span's first group; false when the span is empty. */
bool span_begin(const struct span *span, struct span_cursor *cursor);

/* Steps to the next group that holds samples of the span; false at the end. */
bool span_next(struct span_cursor *cursor);

#endif
