/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 1: shard file -> block ring. One thread keeps `depth` reads in flight, straight into the ring's slots. */
#ifndef RINGCLR_STAGES_READ_H
#define RINGCLR_STAGES_READ_H

#include "io/engine.h"
#include "io/shard.h"
#include "pipeline/graph.h"
#include "pipeline/ring.h"
#include "stages/record_cache.h"
#include "stages/span.h"

struct read_stage {
	const struct shard_set *set;
	const struct span *span;
	struct engine *engine; /* its buffers are the ring's slots, in order; its files the set's shards, in order */
	struct ring *blocks;   /* out */
	size_t capacity;       /* of a slot's block, a multiple of SHARD_BLOCK_ALIGN */
	struct record_cache *cache; /* NULL: none */
	unsigned ahead;		    /* blocks that the kernel is told of before they are read; 0: it is not */
};

struct read_config {
	const struct shard_set *set;
	const struct span *span; /* its plan sizes the ring */
	unsigned depth;		 /* reads in flight; 0: 32 */
	unsigned slots;		 /* of the block ring; 0: enough to keep that many in flight */
	enum engine_kind kind;
};

/* Tells the kernel how the set's files will be read. Draws the block ring from the arena, makes the engine that reads
 * into it, and fills *stage; its cache is none. On failure there may be an engine in it all the same.
 * engine_destroy(stage->engine) is the caller's. */
int read_create(struct read_stage *stage, struct arena *arena, const struct read_config *config, struct error *err);

int read_run(void *ctx, struct worker *worker);

#endif
