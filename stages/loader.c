/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory plan of the loader. Ring slots have one size each, taken from the shards' indexes: the largest block on disk,
 * the largest record, one batch. Large slots cost addresses, not memory, until data of that size comes by.
 */
#include "stages/loader.h"

#include <stdlib.h>

#include "stages/items.h"
#include "stages/read.h"
#include "stages/unpack.h"
#include "stages/view_render.h"

struct loader {
	struct loader_config config;
	struct span span;
	uint64_t first_batch, end_batch;
	struct ring *blocks, *samples, *batches;
	struct engine *engine;
	struct read_stage read;
	struct unpack_stage unpack;
	struct decode_stage decode;
	struct record_cache *cache; /* NULL: none */
	struct record_cache_plan cache_plan;
};

/* Largest sizes over all shards. */
struct extremes {
	size_t raw_bytes, record_bytes;
	uint32_t width, height;
	size_t pixels_bytes;
	uint32_t width_of[SHARD_CODECS]; /* widest image and longest record of each codec; 0: there is none */
	size_t bytes_of[SHARD_CODECS];
};

static struct extremes find_extremes(const struct shard_set *set)
{
	struct extremes most = {0};
	for (unsigned i = 0; i < shard_set_count(set); i++) {
		const struct shard *shard = shard_set_at(set, i);
		size_t raw = shard_max_raw_bytes(shard);
		size_t record_bytes = shard_max_record_bytes(shard);
		most.raw_bytes = raw > most.raw_bytes ? raw : most.raw_bytes;
		most.record_bytes = record_bytes > most.record_bytes ? record_bytes : most.record_bytes;
		for (uint32_t r = 0; r < shard_records(shard); r++) {
			const struct shard_record *record = shard_record(shard, r);
			size_t pixels = codec_region_bytes(record->width, record->height);
			uint32_t *width = &most.width_of[record->codec];
			size_t *bytes = &most.bytes_of[record->codec];
			*width = record->width > *width ? record->width : *width;
			*bytes = record->bytes > *bytes ? record->bytes : *bytes;
			most.width = record->width > most.width ? record->width : most.width;
			most.height = record->height > most.height ? record->height : most.height;
			most.pixels_bytes = pixels > most.pixels_bytes ? pixels : most.pixels_bytes;
		}
	}
	return most;
}

/* Every group is one sample: its block is decompressed right into the sample's slot. */
static bool is_straight(const struct epoch_plan *plan)
{
	return epoch_plan_max_blocks(plan) == 1 && epoch_plan_max_positions(plan) == 1;
}

static int create_rings(struct loader *loader, struct arena *arena, const struct extremes *most, struct error *err)
{
	const struct loader_config *config = &loader->config;
	uint32_t ahead = 4 * config->workers;
	struct ring_config samples = {
		.name = "sample ring",
		.slots = ahead > 32 ? ahead : 32,
		.slot_bytes =
			sizeof(struct sample_item) + (is_straight(config->plan) ? most->raw_bytes : most->record_bytes),
	};
	struct ring_config batches = {
		.name = "batch ring",
		.slots = config->batches ? config->batches : 3,
		.parts = config->batch,
		.slot_bytes = batch_slot_bytes(&loader->decode.augment),
	};
	loader->samples = ring_create(arena, &samples, err);
	loader->batches = loader->samples ? ring_create(arena, &batches, err) : NULL;
	return loader->batches ? 0 : err->code;
}

static int create_reader(struct loader *loader, struct arena *arena, struct error *err)
{
	const struct loader_config *config = &loader->config;
	struct read_config reading = {
		.set = config->set, .span = &loader->span, .depth = config->depth, .kind = config->engine};
	int code = read_create(&loader->read, arena, &reading, err);
	loader->blocks = loader->read.blocks;
	loader->engine = loader->read.engine;
	return code;
}

static int create_unpack(struct loader *loader, struct arena *arena, const struct extremes *most, struct error *err)
{
	const struct loader_config *config = &loader->config;
	struct unpack_stage *stage = &loader->unpack;
	uint32_t blocks = epoch_plan_max_blocks(config->plan);
	stage->set = config->set;
	stage->span = &loader->span;
	stage->blocks = loader->blocks;
	stage->capacity = loader->read.capacity;
	stage->samples = loader->samples;
	stage->straight = is_straight(config->plan);
	stage->raw_capacity = stage->straight ? most->raw_bytes : (most->raw_bytes + 63) & ~(size_t)63;
	stage->check_hash = config->check_hash;
	stage->tolerate = config->bad == DECODE_BAD_SKIP;
	stage->benches = arena_alloc(arena, "loader", config->unpackers, sizeof *stage->benches, 0, err);
	if (!stage->benches)
		return err->code;
	for (unsigned i = 0; i < config->unpackers; i++) {
		struct unpack_bench *bench = &stage->benches[i];
		bench->raw = arena_alloc(
			arena, "unpacked blocks", stage->straight ? 0 : blocks, stage->raw_capacity, 0, err);
		bench->blocks = arena_alloc(arena, "loader", blocks, sizeof *bench->blocks, 0, err);
		bench->unpacker = shard_unpacker_create(err);
		if (!bench->raw || !bench->blocks || !bench->unpacker)
			return err->code;
	}
	return 0;
}

static int create_decode(struct loader *loader, struct arena *arena, const struct extremes *most, struct error *err)
{
	const struct loader_config *config = &loader->config;
	struct decode_stage *stage = &loader->decode;
	stage->set = config->set;
	stage->span = &loader->span;
	stage->samples = loader->samples;
	stage->batches = loader->batches;
	stage->bad = config->bad;
	pthread_mutex_init(&stage->bad_list.lock, NULL);
	stage->pixels_bytes = most->pixels_bytes;
	size_t scratch = view_render_scratch_floats(&config->policies, most->width, most->height);
	stage->benches = arena_alloc(arena, "loader", config->workers, sizeof *stage->benches, 0, err);
	if (!stage->benches)
		return err->code;
	for (unsigned i = 0; i < config->workers; i++) {
		struct decode_bench *bench = &stage->benches[i];
		bench->pixels = arena_alloc(arena, "decoded images", stage->pixels_bytes, 1, 0, err);
		bench->scratch = arena_alloc(arena, "view scratch", scratch, sizeof(float), 0, err);
		bench->codecs = codec_context_create(config->isa, err);
		if (!bench->pixels || !bench->scratch || !bench->codecs)
			return err->code;
		for (unsigned codec = 0; codec < SHARD_CODECS; codec++) {
			if (most->width_of[codec] == 0)
				continue;
			int code = codec_context_reserve(bench->codecs, (enum shard_codec)codec, most->width_of[codec],
				most->bytes_of[codec], err);
			if (code < 0)
				return code;
		}
	}
	return 0;
}

struct augment loader_augment(const struct loader_config *config)
{
	return (struct augment){
		.policies = config->policies,
		.capacity = config->batch,
		.seed = config->seed,
		.mode = config->decode,
		.kernels = pixel_kernels_for(config->isa),
	};
}

struct loader *loader_create(struct arena *arena, const struct loader_config *config, struct error *err)
{
	uint64_t images = epoch_plan_length(config->plan);
	if (config->whole_batches && config->batch > images) {
		error_set(err, ERROR_MISMATCH,
			"--batch %u is larger than the data (%llu images); use a smaller --batch", config->batch,
			(unsigned long long)images);
		return NULL;
	}
	struct loader *loader = arena_alloc(arena, "loader", 1, sizeof *loader, 0, err);
	if (!loader)
		return NULL;
	loader->config = *config;
	loader->decode.augment = loader_augment(config);
	loader->span.plan = config->plan;
	loader->span.epoch_samples = config->whole_batches ? images / config->batch * config->batch : images;

	struct extremes most = find_extremes(config->set);
	if (create_reader(loader, arena, err) < 0 || create_rings(loader, arena, &most, err) < 0 ||
		create_unpack(loader, arena, &most, err) < 0 || create_decode(loader, arena, &most, err) < 0) {
		loader_destroy(loader);
		return NULL;
	}
	return loader;
}

int loader_add_cache(
	struct loader *loader, struct arena *arena, enum cache_kind kind, size_t budget_bytes, struct error *err)
{
	struct error own = {0};
	loader->cache = record_cache_create(
		arena, loader->config.set, loader->config.plan, kind, budget_bytes, &loader->cache_plan, &own);
	loader->read.cache = loader->cache;
	loader->unpack.cache = loader->cache;
	loader->decode.cache = loader->cache;
	return own.code == 0 ? 0 : error_copy(err, &own);
}

const struct record_cache_plan *loader_cache_plan(const struct loader *loader)
{
	return &loader->cache_plan;
}

void loader_destroy(struct loader *loader)
{
	if (!loader)
		return;
	engine_destroy(loader->engine);
	for (unsigned i = 0; loader->unpack.benches && i < loader->config.unpackers; i++)
		shard_unpacker_destroy(loader->unpack.benches[i].unpacker);
	for (unsigned i = 0; loader->decode.benches && i < loader->config.workers; i++) {
		codec_context_destroy(loader->decode.benches[i].codecs);
		free(loader->decode.benches[i].replacement);
	}
}

/* Samples from `first` on, batches first_batch <= b < end_batch; rings stand empty at their first numbers. */
static void prepare(struct loader *loader, uint64_t first_batch, uint64_t end_batch, uint64_t end_sample)
{
	loader->first_batch = first_batch;
	loader->end_batch = end_batch;
	record_cache_begin(loader->cache);
	loader->span.first = first_batch * loader->config.batch;
	loader->span.end = end_sample;
	ring_reset(loader->blocks, 0);
	ring_reset(loader->samples, loader->span.first);
	ring_reset(loader->batches, first_batch);
}

void loader_span(struct loader *loader, uint64_t first, uint64_t end)
{
	prepare(loader, first, end, end * loader->config.batch);
}

void loader_once(struct loader *loader)
{
	prepare(loader, 0, loader_batches_per_epoch(loader), loader->span.epoch_samples);
}

int loader_join(struct loader *loader, struct graph *graph, struct error *err)
{
	struct stage read = {.name = "read",
		.run = read_run,
		.ctx = &loader->read,
		.workers = 1,
		.out = loader->blocks,
		.placement = PLACEMENT_OTHER};
	struct stage unpack = {.name = "unpack",
		.run = unpack_run,
		.ctx = &loader->unpack,
		.workers = loader->config.unpackers,
		.in = loader->blocks,
		.out = loader->samples,
		.phases = {"unpack", "copy"},
		.placement = PLACEMENT_OTHER};
	struct stage decode = {.name = "decode",
		.run = decode_run,
		.ctx = &loader->decode,
		.workers = loader->config.workers,
		.in = loader->samples,
		.out = loader->batches,
		.phases = {"decode", "augment"},
		.placement = PLACEMENT_OTHER};
	if (graph_add_ring(graph, loader->blocks, err) < 0 || graph_add_ring(graph, loader->samples, err) < 0 ||
		graph_add_ring(graph, loader->batches, err) < 0 || graph_add_stage(graph, &read, err) < 0 ||
		graph_add_stage(graph, &unpack, err) < 0 || graph_add_stage(graph, &decode, err) < 0)
		return err->code;
	return 0;
}

struct ring *loader_batches(const struct loader *loader)
{
	return loader->batches;
}

uint64_t loader_batches_per_epoch(const struct loader *loader)
{
	return (loader->span.epoch_samples + loader->config.batch - 1) / loader->config.batch;
}

uint64_t loader_images_per_epoch(const struct loader *loader)
{
	return loader->span.epoch_samples;
}

uint64_t loader_first_batch(const struct loader *loader)
{
	return loader->first_batch;
}

uint64_t loader_end_batch(const struct loader *loader)
{
	return loader->end_batch;
}

struct batch loader_batch(const struct loader *loader, uint64_t seq, void *memory)
{
	return batch_view(&loader->decode.augment, &loader->span, seq, memory);
}

const char *loader_engine_name(const struct loader *loader)
{
	return engine_name(loader->engine);
}

uint64_t loader_bad_images(const struct loader *loader)
{
	return atomic_load_explicit(&loader->decode.bad_list.replaced, memory_order_relaxed);
}

const struct engine *loader_engine(const struct loader *loader)
{
	return loader->engine;
}

struct slow_list loader_slowest(const struct loader *loader)
{
	struct slow_list all = {0};
	for (unsigned i = 0; i < loader->config.workers; i++) {
		const struct slow_list *own = &loader->decode.benches[i].slow;
		for (unsigned k = 0; k < own->count; k++)
			slow_list_note(&all, own->worst[k].record, own->worst[k].decode_ns, own->worst[k].augment_ns);
	}
	return all;
}

const struct ring *loader_samples(const struct loader *loader)
{
	return loader->samples;
}

const struct ring *loader_blocks(const struct loader *loader)
{
	return loader->blocks;
}
