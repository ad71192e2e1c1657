/* SPDX-License-Identifier: Apache-2.0 */
/* Groups that lie wholly outside the span (before a resumed position, or in an epoch's dropped tail) are stepped over.
 */
#include "stages/span.h"

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Reads the extent of the cursor's group and cuts it to the span. Returns whether any sample is left. */
static bool enter_group(struct span_cursor *cursor)
{
	const struct span *span = cursor->span;
	epoch_plan_group(span->plan, cursor->epoch, cursor->group, &cursor->extent);
	uint64_t base = (uint64_t)cursor->epoch * span->epoch_samples;
	uint64_t last = min_u64(cursor->extent.first + cursor->extent.count, span->epoch_samples);
	cursor->first = max_u64(base + cursor->extent.first, span->first);
	cursor->end = min_u64(base + last, span->end);
	return cursor->first < cursor->end;
}

/* From the cursor's group on, finds the first that holds samples of the span. */
static bool settle(struct span_cursor *cursor)
{
	const struct span *span = cursor->span;
	uint64_t groups = epoch_plan_groups(span->plan);
	for (;;) {
		if (cursor->group == groups) {
			cursor->group = 0;
			cursor->epoch++;
		}
		if ((uint64_t)cursor->epoch * span->epoch_samples >= span->end)
			return false;
		if (enter_group(cursor))
			return true;
		cursor->group++;
	}
}

bool span_begin(const struct span *span, struct span_cursor *cursor)
{
	*cursor = (struct span_cursor){.span = span};
	if (span->first >= span->end)
		return false;
	cursor->epoch = (uint32_t)(span->first / span->epoch_samples);
	return settle(cursor);
}

bool span_next(struct span_cursor *cursor)
{
	cursor->ticket++;
	cursor->block_base += cursor->extent.blocks;
	cursor->group++;
	return settle(cursor);
}
