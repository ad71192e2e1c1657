/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 2: block ring -> sample ring. Checks and decompresses blocks, and puts their records into the epoch's order. */
#ifndef RINGCLR_STAGES_UNPACK_H
#define RINGCLR_STAGES_UNPACK_H

#include <stdbool.h>

#include "io/shard.h"
#include "pipeline/graph.h"
#include "pipeline/ring.h"
#include "stages/record_cache.h"
#include "stages/span.h"

/* Phases of the stage's meters: one a block, one a record. */
enum { UNPACK_PHASE_UNPACK, UNPACK_PHASE_COPY };

/* A block of the group that a worker is at. */
struct unpack_block {
	uint64_t key;		   /* shard << 32 | block */
	const unsigned char *data; /* decompressed: on the bench, in a sample slot or in the cache */
	int status;		   /* 0, or why the block cannot be used */
	bool cached;
};

/* One worker's own memory. */
struct unpack_bench {
	struct shard_unpacker *unpacker;
	unsigned char *raw;	     /* [max blocks of a group][raw_capacity]; nothing when straight */
	struct unpack_block *blocks; /* [max blocks of a group] */
};

struct unpack_stage {
	const struct shard_set *set;
	const struct span *span;
	struct ring *blocks;  /* in; one number a block */
	struct ring *samples; /* out; one number a sample */
	size_t capacity;      /* of a block slot's bytes */
	size_t raw_capacity;  /* largest block, decompressed */
	bool check_hash;
	bool straight;		      /* groups of one sample: blocks are decompressed into sample slots */
	struct record_cache *cache;   /* NULL: none */
	bool tolerate;		      /* a damaged block fails its records, not the run */
	struct unpack_bench *benches; /* [workers] */
};

int unpack_run(void *ctx, struct worker *worker);

#endif
