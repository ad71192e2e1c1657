/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks the span's groups and their blocks in order. Block b of the run goes to slot b of the block ring: the slot is
 * claimed, the read is started into its memory, and the slot is published when the read ends, in whatever order the
 * disk answers. A block that the record cache has, or will have from an earlier read, is not read: its slot is
 * published at once, empty. While the ring is full the thread reaps completions; it blocks on the ring only when
 * nothing is in flight.
 */
#include "stages/read.h"

#include "pipeline/trace.h"
#include "stages/items.h"

/* Waits for one read and hands its slot on. */
static int publish_one(struct read_stage *stage, struct worker *worker)
{
	uint64_t seq;
	uint64_t traced_ns = trace_begin(), start_ns = meter_now_ns();
	int code = engine_wait(stage->engine, &seq, worker->err);
	if (code < 0)
		return code;
	meter_phase(worker->meter, 0, start_ns);
	trace_end_numbered("stage", "read", seq, traced_ns);
	ring_publish(stage->blocks, seq, 0);
	return 0;
}

/* Claims slot seq, publishing finished reads while it has to wait. RING_OK, RING_END or a negative code. */
static int claim_slot(struct read_stage *stage, struct worker *worker, uint64_t seq, void **memory)
{
	for (;;) {
		if (engine_in_flight(stage->engine) == 0)
			return ring_claim(stage->blocks, seq, memory);
		int result = RING_AGAIN;
		if (engine_in_flight(stage->engine) < engine_depth(stage->engine))
			result = ring_try_claim(stage->blocks, seq, memory);
		if (result != RING_AGAIN)
			return result;
		int code = publish_one(stage, worker);
		if (code < 0)
			return code;
	}
}

static int start_read(
	struct read_stage *stage, struct worker *worker, uint64_t seq, unsigned shard, uint32_t block, void *memory)
{
	const struct shard_block *extent = shard_block(shard_set_at(stage->set, shard), block);
	/* Whole pages, as O_DIRECT wants; the last block's padding may be missing from the file. */
	size_t pages = ((size_t)extent->disk_bytes + SHARD_BLOCK_ALIGN - 1) / SHARD_BLOCK_ALIGN;
	struct engine_read read = {
		.file = shard,
		.buffer = engine_registered(stage->engine) ? (int)(seq % ring_slots(stage->blocks)) : -1,
		.memory = memory,
		.bytes = pages * SHARD_BLOCK_ALIGN,
		.slack = pages * SHARD_BLOCK_ALIGN - extent->disk_bytes,
		.offset = extent->offset,
		.tag = seq,
	};
	*block_item_of(memory, stage->capacity) =
		(struct block_item){.shard = shard, .block = block, .disk_bytes = extent->disk_bytes};
	if (!record_cache_must_read(stage->cache, shard, block)) {
		block_item_of(memory, stage->capacity)->disk_bytes = 0;
		ring_publish(stage->blocks, seq, 0);
		return 0;
	}
	meter_add(worker->meter, 1, read.bytes);
	return engine_submit(stage->engine, &read, worker->err);
}

int read_run(void *ctx, struct worker *worker)
{
	struct read_stage *stage = ctx;
	struct span_cursor cursor;
	uint64_t seq = 0;
	for (bool more = span_begin(stage->span, &cursor); more; more = span_next(&cursor)) {
		for (uint32_t i = 0; i < cursor.extent.blocks; i++, seq++) {
			unsigned shard;
			uint32_t block;
			void *memory;
			epoch_plan_block(stage->span->plan, cursor.epoch, cursor.group, i, &shard, &block);
			int result = claim_slot(stage, worker, seq, &memory);
			if (result == RING_OK)
				result = start_read(stage, worker, seq, shard, block, memory);
			else if (result == RING_END)
				goto drain;
			if (result < 0)
				return result;
		}
	}
drain:
	while (engine_in_flight(stage->engine) > 0) {
		int code = publish_one(stage, worker);
		if (code < 0)
			return code;
	}
	ring_close(stage->blocks, seq);
	return 0;
}
