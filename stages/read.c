/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks the span's groups and their blocks in order. Block b of the run goes to slot b of the block ring: the slot is
 * claimed, the read is started into its memory, and the slot is published when the read ends, in whatever order the
 * disk answers. A block that the record cache has, or will have from an earlier read, is not read: its slot is
 * published at once, empty. While the ring is full the thread reaps completions; it blocks on the ring only when
 * nothing is in flight.
 *
 * Through the page cache the kernel would read ahead by guess, behind each of the reads in flight: it is told not to
 * (POSIX_FADV_RANDOM), because the plan says what comes next, and `depth` reads of it are under way at any time. Where
 * reads block (pread) that depth is made by advice: a second cursor runs `depth` blocks ahead of the reads and names
 * their blocks (POSIX_FADV_WILLNEED).
 */
#include "stages/read.h"

#include <fcntl.h>
#include <string.h>

#include "pipeline/trace.h"
#include "stages/items.h"

enum { DEFAULT_DEPTH = 32 };

/* The engine reads into the ring's own slots. Its tables lie in the arena: it keeps the paths for messages. */
static int create_engine(
	struct read_stage *stage, struct arena *arena, const struct read_config *config, struct error *err)
{
	unsigned files = shard_set_count(config->set), slots = ring_slots(stage->blocks);
	int *fds = arena_alloc(arena, "loader", files, sizeof *fds, 0, err);
	const char **paths = arena_alloc(arena, "loader", files, sizeof *paths, 0, err);
	struct iovec *buffers = arena_alloc(arena, "loader", slots, sizeof *buffers, 0, err);
	bool direct = false;
	if (!fds || !paths || !buffers)
		return err->code;
	for (unsigned i = 0; i < files; i++) {
		fds[i] = shard_fd(shard_set_at(config->set, i));
		paths[i] = shard_path(shard_set_at(config->set, i));
		direct = direct || (fcntl(fds[i], F_GETFL) & O_DIRECT) != 0;
		/* Advice: where it is refused, reads go on without. O_DIRECT has no use for it. */
		(void)posix_fadvise(fds[i], 0, 0, POSIX_FADV_RANDOM);
	}
	for (unsigned i = 0; i < slots; i++)
		buffers[i] = (struct iovec){ring_slot_memory(stage->blocks, i), stage->capacity};
	struct engine_config engine = {
		.kind = config->kind,
		.depth = config->depth,
		.files = fds,
		.file_count = files,
		.paths = paths,
		.buffers = buffers,
		.buffer_count = slots,
	};
	stage->engine = engine_create(&engine, err);
	if (!stage->engine)
		return err->code;
	if (!direct && strcmp(engine_name(stage->engine), "pread") == 0)
		stage->ahead = engine_depth(stage->engine);
	return 0;
}

int read_create(struct read_stage *stage, struct arena *arena, const struct read_config *config, struct error *err)
{
	uint32_t depth = config->depth ? config->depth : DEFAULT_DEPTH;
	uint32_t most_blocks = epoch_plan_max_blocks(config->span->plan);
	size_t largest = 0;
	for (unsigned i = 0; i < shard_set_count(config->set); i++) {
		size_t bytes = shard_max_disk_bytes(shard_set_at(config->set, i));
		largest = bytes > largest ? bytes : largest;
	}
	*stage = (struct read_stage){.set = config->set, .span = config->span};
	stage->capacity = (largest + SHARD_BLOCK_ALIGN - 1) / SHARD_BLOCK_ALIGN * SHARD_BLOCK_ALIGN;
	/* Twice the depth: a slot is free again only when every earlier block has gone by too, so with as many slots as
	 * reads the slowest read in flight would hold back all that could start behind it. */
	uint32_t enough = most_blocks > 2 * depth ? most_blocks : 2 * depth;
	struct ring_config ring = {
		.name = "block ring",
		.slots = config->slots ? config->slots : enough,
		/* Whole pages, so that the next slot's block is aligned too. */
		.slot_bytes = stage->capacity + SHARD_BLOCK_ALIGN,
		.slot_align = SHARD_BLOCK_ALIGN,
	};
	stage->blocks = ring_create(arena, &ring, err);
	return stage->blocks ? create_engine(stage, arena, config, err) : err->code;
}

/* Waits for one read and hands its slot on. */
static int publish_one(struct read_stage *stage, struct worker *worker)
{
	uint64_t seq;
	uint64_t traced_ns = trace_begin(), start_ns = meter_now_ns();
	int code = engine_wait(stage->engine, &seq, worker->err);
	if (code < 0)
		return code;
	meter_phase(worker->meter, 0, start_ns);
	struct block_item *item = block_item_of(
		ring_slot_memory(stage->blocks, (uint32_t)(seq % ring_slots(stage->blocks))), stage->capacity);
	item->read_ns = meter_now_ns() - item->read_ns;
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
	/* Whole pages, as O_DIRECT wants: by the layout every block's padding is in the file. */
	size_t pages = ((size_t)extent->disk_bytes + SHARD_BLOCK_ALIGN - 1) / SHARD_BLOCK_ALIGN;
	struct engine_read read = {
		.file = shard,
		.buffer = engine_registered(stage->engine) ? (int)(seq % ring_slots(stage->blocks)) : -1,
		.memory = memory,
		.bytes = pages * SHARD_BLOCK_ALIGN,
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
	block_item_of(memory, stage->capacity)->read_ns = meter_now_ns();
	return engine_submit(stage->engine, &read, worker->err);
}

/* Runs ahead of the reads. */
struct scout {
	struct span_cursor cursor;
	bool more;
	uint32_t i;   /* block of the cursor's group */
	uint64_t seq; /* of the run */
};

/* Names blocks to the kernel up to `end` of the run. */
static void look_ahead(const struct read_stage *stage, struct scout *scout, uint64_t end)
{
	while (scout->more && scout->seq < end) {
		unsigned shard;
		uint32_t block;
		epoch_plan_block(stage->span->plan, scout->cursor.epoch, scout->cursor.group, scout->i, &shard, &block);
		const struct shard *file = shard_set_at(stage->set, shard);
		if (record_cache_will_read(stage->cache, shard, block))
			(void)posix_fadvise(shard_fd(file), (off_t)shard_block(file, block)->offset,
				shard_block(file, block)->disk_bytes, POSIX_FADV_WILLNEED);
		scout->seq++;
		if (++scout->i == scout->cursor.extent.blocks) {
			scout->i = 0;
			scout->more = span_next(&scout->cursor);
		}
	}
}

int read_run(void *ctx, struct worker *worker)
{
	struct read_stage *stage = ctx;
	struct scout scout = {0};
	scout.more = stage->ahead > 0 && span_begin(stage->span, &scout.cursor);
	struct span_cursor cursor;
	uint64_t seq = 0;
	for (bool more = span_begin(stage->span, &cursor); more; more = span_next(&cursor)) {
		for (uint32_t i = 0; i < cursor.extent.blocks; i++, seq++) {
			unsigned shard;
			uint32_t block;
			void *memory;
			epoch_plan_block(stage->span->plan, cursor.epoch, cursor.group, i, &shard, &block);
			look_ahead(stage, &scout, seq + stage->ahead);
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
