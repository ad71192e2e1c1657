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
};

int read_run(void *ctx, struct worker *worker);

#endif
