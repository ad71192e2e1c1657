/* SPDX-License-Identifier: Apache-2.0 */
/* What reader, workers and writer of the second pass share. pack_run.c says how they work together. */
#ifndef RINGCLR_TOOLS_PACK_RUN_H
#define RINGCLR_TOOLS_PACK_RUN_H

#include "pipeline/graph.h"
#include "pipeline/ring.h"
#include "tools/pack.h"

/* One image on its way. A slot of a ring. */
struct pack_item {
	unsigned char *data; /* owned by the slot; NULL once taken */
	size_t bytes;
	struct pack_entry *entry;
	enum shard_codec codec;
	uint32_t width, height;
	bool pixels;	       /* data is RGB, not yet encoded */
	bool truncated;	       /* and taken all the same */
	bool turned, unturned; /* by its orientation; or it has one that was ignored */
	char reason[256];      /* why it is bad */
};

struct pack_pass {
	const struct pack_settings *settings;
	struct pack_plan *plan;
	struct pack_bad *bad;
	const struct pack_outputs *outputs;
	struct pack_result *result; /* source_bytes: the reader's; all else the writer's */
	struct ring *read, *done;
	uint64_t count;	   /* items that go through the rings */
	uint64_t finished; /* of those and of those that an earlier run has written */
	bool spills;	   /* the reading order is not the order of the records */
	uint64_t started_ns, drawn_ns;
};

/* Takes the buffer that an earlier lap may have left in the slot, and empties it. */
void pack_item_clear(struct pack_item *item);

/* The stages: ctx is the struct pack_pass. */
int pack_read_stage(void *ctx, struct worker *worker);
int pack_work_stage(void *ctx, struct worker *worker);
int pack_write_stage(void *ctx, struct worker *worker);

#endif
