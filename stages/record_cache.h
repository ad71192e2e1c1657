/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept in memory of the images that went by, so that later ones need not be read, decompressed or decoded.
 *
 *   packed   blocks as they are after decompression: an image's encoded bytes lie in them
 *   decoded  that, and an image's pixels as well, whole and at full size (a raw image's bytes are its pixels already)
 *
 * Which blocks and images have a place is settled when the cache is created, from the index alone; nothing is ever put
 * out. What has no place goes the way it goes without a cache, and the batches are the same bytes either way.
 */
#ifndef RINGCLR_STAGES_RECORD_CACHE_H
#define RINGCLR_STAGES_RECORD_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/epoch_plan.h"
#include "io/shard.h"
#include "pipeline/arena.h"

/* AUTO: decoded where all of it fits the budget, else packed. */
enum cache_kind { CACHE_AUTO, CACHE_NONE, CACHE_PACKED, CACHE_DECODED };

struct record_cache;

/* What was settled. Of all that the plan's epochs go through; images that are raw count in no pixel number. */
struct record_cache_plan {
	enum cache_kind kind; /* never AUTO; NONE too where nothing fits */
	uint64_t blocks, kept_blocks;
	uint64_t images, kept_images; /* by their pixels */
	size_t block_bytes, pixel_bytes, table_bytes;
};

/* Bytes that all blocks of the set take when kept, tables included. */
size_t record_cache_packed_bytes(const struct shard_set *set);

/* Draws at most budget_bytes from the arena; pages cost memory only once they are filled. NULL with *err set, or with
 * err->code 0 where nothing is to be kept. *settled is filled in any case but an error. */
struct record_cache *record_cache_create(struct arena *arena, const struct shard_set *set,
	const struct epoch_plan *plan, enum cache_kind kind, size_t budget_bytes, struct record_cache_plan *settled,
	struct error *err);

/* Before each run, while no thread uses the cache. */
void record_cache_begin(struct record_cache *cache);

/* ---- blocks. A NULL cache keeps nothing: every call may be made with it. ---- */

/* The reader's, one thread: whether the block must be read. A block with a place must be read once. */
bool record_cache_must_read(struct record_cache *cache, unsigned shard, uint32_t block);

/* The reader's: the same, but only asked. */
bool record_cache_will_read(struct record_cache *cache, unsigned shard, uint32_t block);

/* An unpacker's, for a block that was read: where to decompress it to, raw_bytes of it; NULL: it has no place. Then
 * what came of it, 0 or a negative code. */
unsigned char *record_cache_block_begin(struct record_cache *cache, unsigned shard, uint32_t block);
void record_cache_block_end(struct record_cache *cache, unsigned shard, uint32_t block, int status);

/* An unpacker's, for a block that was not read because it is here or will be: waits for its block_end(). Its bytes in
 * *data and its status in *status; false when record_cache_stop() came first. */
bool record_cache_block_wait(
	struct record_cache *cache, unsigned shard, uint32_t block, const unsigned char **data, int *status);

/* An unpacker's that leaves before its last group: blocks that others wait for may never come. */
void record_cache_stop(struct record_cache *cache);

/* ---- pixels: [height][width][3] of a record. Any thread. ---- */

/* The pixels, or NULL. */
const uint8_t *record_cache_pixels(struct record_cache *cache, uint64_t record);
/* Where to decode the record to; NULL when it has no place, or another thread is at it. Then whether it decoded. */
uint8_t *record_cache_pixels_begin(struct record_cache *cache, uint64_t record);
void record_cache_pixels_end(struct record_cache *cache, uint64_t record, bool decoded);

#endif
