/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker takes a whole group: it acquires the group's blocks in order, decompresses each and gives the slot back at
 * once, then hands the group's records to the sample ring in the order of the epoch plan.
 *
 * Where a block is decompressed to decides what is copied:
 *
 *   the record cache     when the block has a place there: samples point into it, and nothing is copied
 *   the sample's slot    when a group is one sample (full permutation): the sample points behind its slot's head
 *   the worker's bench   otherwise, and records are copied to their slots
 *
 * A block's slot comes empty when the record cache has the block or another worker is about to fill it.
 * Because a group's blocks come before the next group's in the block ring, and a worker holds no block slot while it
 * waits for another, any number of workers and any ring size make progress; record_cache.c says why that holds with
 * waits for the cache too. A sample slot that is claimed early is claimed in order like any other.
 */
#include "stages/unpack.h"

#include <string.h>

#include "pipeline/trace.h"
#include "stages/items.h"

/* Decompresses a slot's block to the cache, or to `own` where it has no place there. */
static int unpack_read(struct unpack_stage *stage, struct worker *worker, struct unpack_bench *bench,
	const void *memory, unsigned char *own, struct unpack_block *block)
{
	const struct block_item *item = block_item_of((void *)memory, stage->capacity);
	struct error ignored = {0};
	unsigned char *place = record_cache_block_begin(stage->cache, item->shard, item->block);
	const struct shard *shard = shard_set_at(stage->set, item->shard);
	block->cached = place != NULL;
	block->data = place ? place : own;
	block->status = shard_unpack(shard, item->block, memory, item->disk_bytes, bench->unpacker, place ? place : own,
		place ? shard_block(shard, item->block)->raw_bytes : stage->raw_capacity, stage->check_hash,
		stage->tolerate ? &ignored : worker->err);
	record_cache_block_end(stage->cache, item->shard, item->block, block->status);
	meter_add(worker->meter, 0, item->disk_bytes);
	return block->status < 0 && !stage->tolerate ? block->status : RING_OK;
}

/* Makes block number seq of the run ready to be used. */
static int take_block(struct unpack_stage *stage, struct worker *worker, struct unpack_bench *bench, uint64_t seq,
	unsigned char *own, struct unpack_block *block)
{
	void *memory;
	int result = ring_acquire(stage->blocks, seq, &memory, NULL);
	if (result != RING_OK)
		return result;
	const struct block_item item = *block_item_of(memory, stage->capacity);
	block->key = (uint64_t)item.shard << 32 | item.block;
	if (item.disk_bytes == 0) {
		ring_release(stage->blocks, seq);
		block->cached = true;
		return record_cache_block_wait(stage->cache, item.shard, item.block, &block->data, &block->status)
			       ? RING_OK
			       : RING_END;
	}
	uint64_t traced_ns = trace_begin(), start_ns = meter_now_ns();
	result = unpack_read(stage, worker, bench, memory, own, block);
	ring_release(stage->blocks, seq);
	meter_phase(worker->meter, UNPACK_PHASE_UNPACK, start_ns);
	trace_end_numbered("stage", "unpack", seq, traced_ns);
	return result;
}

static const struct unpack_block *find_block(const struct unpack_bench *bench, uint32_t count, uint64_t key)
{
	uint32_t i = 0;
	while (i + 1 < count && bench->blocks[i].key != key)
		i++;
	return &bench->blocks[i];
}

/* Fills sample seq, whose slot is claimed, and publishes it. */
static void give_sample(struct unpack_stage *stage, struct worker *worker, const struct unpack_bench *bench,
	const struct span_cursor *group, uint64_t seq, struct sample_item *sample)
{
	uint64_t traced_ns = trace_begin(), start_ns = meter_now_ns();
	uint64_t position = seq - (uint64_t)group->epoch * stage->span->epoch_samples;
	uint64_t number = epoch_plan_record(stage->span->plan, group->epoch, position);
	unsigned shard;
	uint32_t local;
	shard_set_locate(stage->set, number, &shard, &local);
	const struct shard_record *record = shard_record(shard_set_at(stage->set, shard), local);
	const struct unpack_block *block =
		find_block(bench, group->extent.blocks, (uint64_t)shard << 32 | record->block);

	sample->record = number;
	sample->epoch = group->epoch;
	sample->bytes = record->bytes;
	sample->cached = block->cached;
	sample->data_at = block->data + record->offset;
	if (block->status == 0 && !block->cached && !stage->straight) {
		memcpy(sample->data, sample->data_at, record->bytes);
		sample->data_at = sample->data;
	}
	meter_add(worker->meter, 1, 0);
	meter_phase(worker->meter, UNPACK_PHASE_COPY, start_ns);
	trace_end_numbered("stage", "copy", seq, traced_ns);
	ring_publish(stage->samples, seq, block->status);
}

/* RING_OK, RING_END or a negative code. */
static int unpack_group(
	struct unpack_stage *stage, struct worker *worker, struct unpack_bench *bench, const struct span_cursor *group)
{
	const bool straight = stage->straight;
	void *memory = NULL;
	int result = straight ? ring_claim(stage->samples, group->first, &memory) : RING_OK;
	for (uint32_t i = 0; result == RING_OK && i < group->extent.blocks; i++) {
		unsigned char *own =
			straight ? ((struct sample_item *)memory)->data : bench->raw + i * stage->raw_capacity;
		result = take_block(stage, worker, bench, group->block_base + i, own, &bench->blocks[i]);
	}
	for (uint64_t seq = group->first; result == RING_OK && seq < group->end; seq++) {
		if (!straight)
			result = ring_claim(stage->samples, seq, &memory);
		if (result == RING_OK)
			give_sample(stage, worker, bench, group, seq, memory);
	}
	return result;
}

int unpack_run(void *ctx, struct worker *worker)
{
	struct unpack_stage *stage = ctx;
	struct unpack_bench *bench = &stage->benches[worker->index];
	struct span_cursor group;
	bool more = span_begin(stage->span, &group);
	while (more) {
		uint64_t ticket = ring_ticket(stage->blocks, RING_CONSUMER);
		while (more && group.ticket < ticket)
			more = span_next(&group);
		int result = more ? unpack_group(stage, worker, bench, &group) : RING_OK;
		if (result != RING_OK) {
			record_cache_stop(stage->cache);
			return result == RING_END ? 0 : result;
		}
	}
	ring_close(stage->samples, stage->span->end);
	return 0;
}
