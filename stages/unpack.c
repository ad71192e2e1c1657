/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker takes a whole group: it acquires the group's blocks in order, decompresses each into memory of its own and
 * gives the slot back at once, then copies the group's records to the sample ring in the order of the epoch plan.
 * Because a group's blocks come before the next group's in the block ring, and a worker holds no slot while it waits
 * for another, any number of workers and any ring size make progress.
 */
#include "stages/unpack.h"

#include <string.h>

#include "pipeline/trace.h"
#include "stages/items.h"

/* Acquires block number seq of the run and decompresses it to place i of the bench. */
static int take_block(
	struct unpack_stage *stage, struct worker *worker, struct unpack_bench *bench, uint64_t seq, uint32_t i)
{
	void *memory;
	int result = ring_acquire(stage->blocks, seq, &memory, NULL);
	if (result != RING_OK)
		return result;
	uint64_t traced_ns = trace_begin(), start_ns = meter_now_ns();
	const struct block_item *item = block_item_of(memory, stage->capacity);
	struct error *err = worker->err;
	struct error ignored = {0};
	int code = shard_unpack(shard_set_at(stage->set, item->shard), item->block, memory, item->disk_bytes,
		bench->unpacker, bench->raw + i * stage->raw_capacity, stage->raw_capacity, stage->check_hash,
		stage->tolerate ? &ignored : err);
	bench->block_key[i] = (uint64_t)item->shard << 32 | item->block;
	bench->block_status[i] = code;
	meter_add(worker->meter, 0, item->disk_bytes);
	ring_release(stage->blocks, seq);
	meter_phase(worker->meter, UNPACK_PHASE_UNPACK, start_ns);
	trace_end_numbered("stage", "unpack", seq, traced_ns);
	return code < 0 && !stage->tolerate ? code : RING_OK;
}

static uint32_t find_block(const struct unpack_bench *bench, uint32_t count, uint64_t key)
{
	uint32_t i = 0;
	while (i + 1 < count && bench->block_key[i] != key)
		i++;
	return i;
}

/* Copies sample seq from the bench to its slot. */
static int give_sample(struct unpack_stage *stage, struct worker *worker, const struct unpack_bench *bench,
	const struct span_cursor *group, uint64_t seq)
{
	void *memory;
	int result = ring_claim(stage->samples, seq, &memory);
	if (result != RING_OK)
		return result;
	uint64_t traced_ns = trace_begin(), start_ns = meter_now_ns();
	uint64_t position = seq - (uint64_t)group->epoch * stage->span->epoch_samples;
	uint64_t number = epoch_plan_record(stage->span->plan, group->epoch, position);
	unsigned shard;
	uint32_t local;
	shard_set_locate(stage->set, number, &shard, &local);
	const struct shard_record *record = shard_record(shard_set_at(stage->set, shard), local);
	uint32_t i = find_block(bench, group->extent.blocks, (uint64_t)shard << 32 | record->block);

	struct sample_item *sample = memory;
	sample->record = number;
	sample->epoch = group->epoch;
	sample->bytes = record->bytes;
	if (bench->block_status[i] == 0)
		memcpy(sample->data, bench->raw + i * stage->raw_capacity + record->offset, record->bytes);
	meter_add(worker->meter, 1, 0);
	meter_phase(worker->meter, UNPACK_PHASE_COPY, start_ns);
	trace_end_numbered("stage", "copy", seq, traced_ns);
	ring_publish(stage->samples, seq, bench->block_status[i]);
	return RING_OK;
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
		int result = RING_OK;
		for (uint32_t i = 0; more && result == RING_OK && i < group.extent.blocks; i++)
			result = take_block(stage, worker, bench, group.block_base + i, i);
		for (uint64_t seq = group.first; more && result == RING_OK && seq < group.end; seq++)
			result = give_sample(stage, worker, bench, &group, seq);
		if (result == RING_END)
			return 0;
		if (result < 0)
			return result;
	}
	ring_close(stage->samples, stage->span->end);
	return 0;
}
