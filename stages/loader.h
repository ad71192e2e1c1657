/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader: shards in, batches of views out. It plans the memory of its three rings and joins its three stages to a
 * graph:
 *
 *   shards --read--> block ring --unpack--> sample ring --decode, augment--> batch ring
 */
#ifndef RINGCLR_STAGES_LOADER_H
#define RINGCLR_STAGES_LOADER_H

#include "io/engine.h"
#include "io/epoch_plan.h"
#include "io/shard.h"
#include "pipeline/arena.h"
#include "pipeline/graph.h"
#include "stages/decode.h"
#include "stages/record_cache.h"
#include "stages/views.h"

struct loader_config {
	const struct shard_set *set;
	const struct epoch_plan *plan;
	struct view_policies policies;
	uint32_t batch;	    /* images a batch */
	bool whole_batches; /* training: every epoch is cut to whole batches; else the last batch may be short */
	uint64_t seed;	    /* of the views */
	unsigned workers;   /* decode threads; at least 1 */
	unsigned unpackers; /* unpack threads; at least 1 */
	unsigned depth;	    /* reads in flight; 0: 32 */
	unsigned batches;   /* slots of the batch ring; 0: 3 */
	enum engine_kind engine;
	bool check_hash;
	enum decode_bad bad;
	enum decode_mode decode;
	enum cpu_isa isa; /* of decoders and pixel kernels */
};

/* How such a loader makes views. */
struct augment loader_augment(const struct loader_config *config);

struct loader;

/* Draws everything from the arena. ERROR_MISMATCH when the batch is larger than the data. */
struct loader *loader_create(struct arena *arena, const struct loader_config *config, struct error *err);

/* Keeps what goes by in memory, at most budget_bytes of the arena: the last thing to draw, with what the rest left
 * over. What was settled, also when it is nothing, is in loader_cache_plan(). */
int loader_add_cache(
	struct loader *loader, struct arena *arena, enum cache_kind kind, size_t budget_bytes, struct error *err);
const struct record_cache_plan *loader_cache_plan(const struct loader *loader);

void loader_destroy(struct loader *loader); /* what the arena does not own; NULL is allowed */

/* Prepares a run over batches first <= b < end, batch b being step b of a training run, over as many epochs as that
 * takes (whole_batches), or over epoch 0 from end to end, its last batch perhaps short (not whole_batches). Not while a
 * graph runs. */
void loader_span(struct loader *loader, uint64_t first, uint64_t end);
void loader_once(struct loader *loader);

/* Adds the stages and rings to the graph; a consumer of loader_batches() is the caller's to add. */
int loader_join(struct loader *loader, struct graph *graph, struct error *err);

struct ring *loader_batches(const struct loader *loader);
const struct ring *loader_samples(const struct loader *loader); /* to look at */
const struct ring *loader_blocks(const struct loader *loader);
uint64_t loader_batches_per_epoch(const struct loader *loader); /* rounded up unless whole_batches */
uint64_t loader_images_per_epoch(const struct loader *loader);
/* Numbers of the first and behind the last batch of the span. */
uint64_t loader_first_batch(const struct loader *loader);
uint64_t loader_end_batch(const struct loader *loader);

/* The parts of an acquired batch slot. */
struct batch loader_batch(const struct loader *loader, uint64_t seq, void *memory);

const char *loader_engine_name(const struct loader *loader);
const struct engine *loader_engine(const struct loader *loader); /* for its measures */
/* The slowest records so far, of all decode threads; not while a graph runs. */
struct slow_list loader_slowest(const struct loader *loader);
uint64_t loader_bad_images(const struct loader *loader); /* images replaced so far */

#endif
