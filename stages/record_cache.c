/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two tables, of blocks and of records, each entry a place in one large piece of the arena and a state that only grows:
 *
 *   block    EMPTY -> READY or FAILED     filled by the unpacker to whom the block's one read came
 *   pixels   EMPTY -> FILLING -> READY    whoever turns EMPTY into FILLING decodes; others meanwhile decode for
 *                                         themselves, so nobody waits. A record that does not decode goes back to EMPTY
 *
 * A block is read once although many samples want it. The reader asks for it where it first comes by; each later time
 * it publishes the slot empty, and the unpacker that gets the empty slot waits until the block is READY.
 *
 * Why that wait ends. Groups are taken in order of their tickets, and the block's read has a lower number than the
 * empty slot, so the worker that fills the block holds an earlier group. Look at the earliest group that is not
 * finished. Its worker waits for one of three things: (1) a block slot: the reader waits only for slots that blocks
 * before that one must give back, those belong to this group or to finished ones, and a worker gives each back as soon
 * as it has unpacked it or seen it to be empty, before it waits here; (2) a block of the cache: its filler has an
 * earlier group, which is finished; (3) a sample slot: the samples before it are of this group or finished ones, so
 * published, and decoders take them in order and wait for no later one. So the earliest group always gets on, and by
 * induction all do. The one exception is a worker that leaves early, on RING_END or an error: it calls
 * record_cache_stop(), which ends every wait; nobody wants the samples any more then.
 */
#include "stages/record_cache.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "pipeline/wait.h"

#define NO_PLACE UINT64_MAX

enum { BLOCK_EMPTY, BLOCK_READY }; /* and negative: why the block cannot be used */
enum { PIXELS_EMPTY, PIXELS_FILLING, PIXELS_READY };

struct cached_block {
	uint64_t place; /* in block_memory */
	/* Written by the filler with release, after the bytes; read by waiting unpackers with acquire, before them. */
	_Atomic int32_t state;
	bool asked; /* the reader's alone: its read was started, or is not needed */
};

struct record_cache {
	const struct shard_set *set;
	uint32_t *shard_first_block; /* [shards]: the set's number of a shard's first block */
	struct cached_block *blocks; /* [blocks of the set] */
	uint64_t block_count;
	unsigned char *block_memory;

	uint64_t *pixel_place; /* [records of the set]; NULL: no pixels are kept */
	/* READY is stored with release after the pixels and loaded with acquire before them. */
	_Atomic uint8_t *pixel_state;
	uint8_t *pixel_memory;

	/* An event count: `turn` grows with each block that is filled, and with a stop. Whoever waits first counts
	 * itself in `waiters`, then reads `turn`, then looks; whoever fills first writes, then moves `turn`, then looks
	 * for waiters. All sequentially consistent, so at least one of the two sees the other. */
	_Atomic uint32_t turn, waiters;
	_Atomic bool stopped;
};

static size_t round_up(size_t bytes, size_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

/* ---- planning ---- */

enum { BLOCK_ALIGN = 64, PIXEL_ALIGN = 64 };

static size_t block_need(const struct shard_block *block)
{
	return round_up(block->raw_bytes, BLOCK_ALIGN) + sizeof(struct cached_block);
}

static size_t pixel_need(const struct shard_record *record)
{
	return record->codec == SHARD_RAW ? 0 : round_up((size_t)record->width * record->height * 3, PIXEL_ALIGN);
}

size_t record_cache_packed_bytes(const struct shard_set *set)
{
	size_t bytes = 0;
	for (unsigned s = 0; s < shard_set_count(set); s++)
		for (uint32_t b = 0; b < shard_blocks(shard_set_at(set, s)); b++)
			bytes += block_need(shard_block(shard_set_at(set, s), b));
	return bytes;
}

/* While the cache is planned: which records and blocks the plan's epochs go through. */
struct wanted {
	bool *records; /* [records of the set] */
	bool *blocks;  /* [blocks of the set] */
	uint64_t block_count;
	size_t block_bytes, pixel_bytes;
};

static int wanted_find(struct wanted *wanted, const struct shard_set *set, const struct epoch_plan *plan,
	struct record_cache_plan *out)
{
	uint64_t records = shard_set_records(set), length = epoch_plan_length(plan);
	for (unsigned s = 0; s < shard_set_count(set); s++)
		wanted->block_count += shard_blocks(shard_set_at(set, s));
	wanted->records = calloc(records + 1, 1);
	wanted->blocks = calloc(wanted->block_count + 1, 1);
	if (wanted->records == NULL || wanted->blocks == NULL)
		return ERROR_MEMORY;
	/* Every epoch has the same records, so the first one's positions name them all. */
	for (uint64_t i = 0; i < length; i++)
		wanted->records[length == records ? i : epoch_plan_record(plan, 0, i)] = true;
	uint64_t number = 0, set_block = 0;
	for (unsigned s = 0; s < shard_set_count(set); s++) {
		const struct shard *shard = shard_set_at(set, s);
		for (uint32_t r = 0; r < shard_records(shard); r++, number++) {
			const struct shard_record *record = shard_record(shard, r);
			if (!wanted->records[number])
				continue;
			out->images += record->codec != SHARD_RAW;
			wanted->pixel_bytes += pixel_need(record);
			wanted->blocks[set_block + record->block] = true;
		}
		for (uint32_t b = 0; b < shard_blocks(shard); b++, set_block++)
			if (wanted->blocks[set_block]) {
				out->blocks++;
				wanted->block_bytes += block_need(shard_block(shard, b)) - sizeof(struct cached_block);
			}
	}
	return 0;
}

static void *draw(struct arena *arena, size_t count, size_t bytes, struct record_cache_plan *out, struct error *err)
{
	out->table_bytes += count * bytes;
	return arena_alloc(arena, "cache tables", count, bytes, 0, err);
}

/* Gives blocks their places, in order, as long as they fit `budget`. */
static int blocks_place(struct record_cache *cache, struct arena *arena, const struct wanted *wanted, size_t budget,
	struct record_cache_plan *out, struct error *err)
{
	unsigned shards = shard_set_count(cache->set);
	cache->shard_first_block = draw(arena, shards, sizeof *cache->shard_first_block, out, err);
	cache->blocks = draw(arena, wanted->block_count, sizeof *cache->blocks, out, err);
	if (!cache->shard_first_block || !cache->blocks)
		return err->code;
	cache->block_count = wanted->block_count;
	uint64_t set_block = 0;
	for (unsigned s = 0; s < shards; s++) {
		cache->shard_first_block[s] = (uint32_t)set_block;
		for (uint32_t b = 0; b < shard_blocks(shard_set_at(cache->set, s)); b++, set_block++) {
			size_t bytes = round_up(shard_block(shard_set_at(cache->set, s), b)->raw_bytes, BLOCK_ALIGN);
			bool fits = wanted->blocks[set_block] && bytes <= budget - out->block_bytes;
			cache->blocks[set_block].place = fits ? out->block_bytes : NO_PLACE;
			out->block_bytes += fits ? bytes : 0;
			out->kept_blocks += fits;
		}
	}
	cache->block_memory = arena_alloc(arena, "packed cache", 1, out->block_bytes, SHARD_BLOCK_ALIGN, err);
	return cache->block_memory ? 0 : err->code;
}

static int pixels_place(struct record_cache *cache, struct arena *arena, const struct wanted *wanted, size_t budget,
	struct record_cache_plan *out, struct error *err)
{
	uint64_t records = shard_set_records(cache->set);
	cache->pixel_place = draw(arena, records, sizeof *cache->pixel_place, out, err);
	cache->pixel_state = draw(arena, records, sizeof *cache->pixel_state, out, err);
	if (!cache->pixel_place || !cache->pixel_state)
		return err->code;
	for (uint64_t r = 0; r < records; r++) {
		size_t bytes = pixel_need(shard_set_record(cache->set, r));
		bool fits = bytes > 0 && wanted->records[r] && bytes <= budget - out->pixel_bytes;
		cache->pixel_place[r] = fits ? out->pixel_bytes : NO_PLACE;
		out->pixel_bytes += fits ? bytes : 0;
		out->kept_images += fits;
	}
	cache->pixel_memory = arena_alloc(arena, "decoded cache", 1, out->pixel_bytes, 0, err);
	return cache->pixel_memory ? 0 : err->code;
}

static struct record_cache *place_all(struct arena *arena, const struct shard_set *set, const struct wanted *wanted,
	enum cache_kind kind, size_t budget, struct record_cache_plan *out, struct error *err)
{
	size_t tables = sizeof(struct record_cache) + shard_set_count(set) * sizeof(uint32_t) +
			wanted->block_count * sizeof(struct cached_block);
	size_t pixel_tables = shard_set_records(set) * (sizeof(uint64_t) + 1);
	bool decoded = out->images > 0 && budget >= tables && budget - tables >= pixel_tables &&
		       budget - tables - pixel_tables >= wanted->block_bytes;
	if (kind == CACHE_AUTO && decoded)
		decoded = budget - tables - pixel_tables - wanted->block_bytes >= wanted->pixel_bytes;
	if (kind == CACHE_NONE || budget <= tables)
		return NULL;
	struct record_cache *cache = draw(arena, 1, sizeof *cache, out, err);
	if (!cache)
		return NULL;
	cache->set = set;
	if (blocks_place(cache, arena, wanted, budget - tables, out, err) < 0)
		return NULL;
	if (out->kept_blocks == 0)
		return NULL;
	out->kind = CACHE_PACKED;
	if (kind != CACHE_PACKED && decoded) {
		out->kind = CACHE_DECODED;
		size_t left = budget - tables - pixel_tables - out->block_bytes;
		if (pixels_place(cache, arena, wanted, left, out, err) < 0)
			return NULL;
	}
	return cache;
}

struct record_cache *record_cache_create(struct arena *arena, const struct shard_set *set,
	const struct epoch_plan *plan, enum cache_kind kind, size_t budget_bytes, struct record_cache_plan *settled,
	struct error *err)
{
	struct wanted wanted = {0};
	struct record_cache *cache = NULL;
	size_t mark = arena_mark(arena);
	*settled = (struct record_cache_plan){.kind = CACHE_NONE};
	if (wanted_find(&wanted, set, plan, settled) < 0)
		error_set(err, ERROR_MEMORY, "out of memory for the plan of a cache");
	else
		cache = place_all(arena, set, &wanted, kind, budget_bytes, settled, err);
	if (!cache) {
		arena_rewind(arena, mark);
		settled->table_bytes = 0;
	}
	free(wanted.records);
	free(wanted.blocks);
	return cache;
}

void record_cache_begin(struct record_cache *cache)
{
	if (!cache)
		return;
	/* What a run asked for and never got, because it was stopped, is asked for anew. */
	for (uint64_t b = 0; b < cache->block_count; b++)
		cache->blocks[b].asked =
			atomic_load_explicit(&cache->blocks[b].state, memory_order_relaxed) != BLOCK_EMPTY;
	atomic_store_explicit(&cache->stopped, false, memory_order_relaxed);
}

/* ---- blocks ---- */

static struct cached_block *find_block(struct record_cache *cache, unsigned shard, uint32_t block)
{
	if (!cache)
		return NULL;
	struct cached_block *entry = &cache->blocks[cache->shard_first_block[shard] + block];
	return entry->place == NO_PLACE ? NULL : entry;
}

bool record_cache_will_read(struct record_cache *cache, unsigned shard, uint32_t block)
{
	const struct cached_block *entry = find_block(cache, shard, block);
	return !entry || !entry->asked;
}

bool record_cache_must_read(struct record_cache *cache, unsigned shard, uint32_t block)
{
	struct cached_block *entry = find_block(cache, shard, block);
	if (!entry)
		return true;
	bool asked = entry->asked;
	entry->asked = true;
	return !asked;
}

unsigned char *record_cache_block_begin(struct record_cache *cache, unsigned shard, uint32_t block)
{
	struct cached_block *entry = find_block(cache, shard, block);
	return entry ? cache->block_memory + entry->place : NULL;
}

/* Pairs with the loads of block_wait(). */
static void announce(struct record_cache *cache)
{
	atomic_fetch_add(&cache->turn, 1);
	if (atomic_load(&cache->waiters) > 0)
		wait_wake(&cache->turn);
}

void record_cache_block_end(struct record_cache *cache, unsigned shard, uint32_t block, int status)
{
	struct cached_block *entry = find_block(cache, shard, block);
	if (!entry)
		return;
	atomic_store(&entry->state, status < 0 ? status : BLOCK_READY);
	announce(cache);
}

bool record_cache_block_wait(
	struct record_cache *cache, unsigned shard, uint32_t block, const unsigned char **data, int *status)
{
	struct cached_block *entry = find_block(cache, shard, block);
	int32_t state = atomic_load_explicit(&entry->state, memory_order_acquire);
	if (state == BLOCK_EMPTY) {
		atomic_fetch_add(&cache->waiters, 1);
		for (;;) {
			uint32_t turn = atomic_load(&cache->turn);
			state = atomic_load(&entry->state);
			if (state != BLOCK_EMPTY || atomic_load(&cache->stopped))
				break;
			wait_sleep(&cache->turn, turn);
		}
		atomic_fetch_sub(&cache->waiters, 1);
	}
	*data = cache->block_memory + entry->place;
	*status = state < 0 ? state : 0;
	return state != BLOCK_EMPTY;
}

void record_cache_stop(struct record_cache *cache)
{
	if (!cache)
		return;
	atomic_store(&cache->stopped, true);
	announce(cache);
}

/* ---- pixels ---- */

const uint8_t *record_cache_pixels(struct record_cache *cache, uint64_t record)
{
	if (!cache || !cache->pixel_place || cache->pixel_place[record] == NO_PLACE ||
		atomic_load_explicit(&cache->pixel_state[record], memory_order_acquire) != PIXELS_READY)
		return NULL;
	return cache->pixel_memory + cache->pixel_place[record];
}

uint8_t *record_cache_pixels_begin(struct record_cache *cache, uint64_t record)
{
	if (!cache || !cache->pixel_place || cache->pixel_place[record] == NO_PLACE)
		return NULL;
	uint8_t empty = PIXELS_EMPTY;
	/* Acquire: a thread that gave up on the record may have written here before. Pairs with pixels_end(). */
	if (!atomic_compare_exchange_strong_explicit(
		    &cache->pixel_state[record], &empty, PIXELS_FILLING, memory_order_acquire, memory_order_relaxed))
		return NULL;
	return cache->pixel_memory + cache->pixel_place[record];
}

void record_cache_pixels_end(struct record_cache *cache, uint64_t record, bool decoded)
{
	atomic_store_explicit(&cache->pixel_state[record], decoded ? PIXELS_READY : PIXELS_EMPTY, memory_order_release);
}
