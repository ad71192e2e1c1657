/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/runtime.h"

#include <inttypes.h>
#include <stdio.h>

#include "stages/loader_choices.h"

int runtime_start(struct runtime *runtime, const struct runtime_options *options, struct error *err)
{
	unsigned processors = cpu_allowed();
	*runtime = (struct runtime){.options = *options};
	runtime->loader_threads =
		options->loader_threads ? (unsigned)options->loader_threads : (processors > 1 ? processors / 2 : 1);
	if (cpu_parse(options->isa, &runtime->isa, err) < 0)
		return err->code;
	runtime->placement = placement_create(options->pin, err);
	if (!runtime->placement)
		return err->code;
	unsigned threads = options->threads ? (unsigned)options->threads : processors;
	runtime->team = team_create(threads, runtime->placement, err);
	if (!runtime->team)
		return err->code;
	runtime->arena = arena_create(options->mem, err);
	return runtime->arena ? 0 : err->code;
}

void runtime_stop(struct runtime *runtime)
{
	arena_destroy(runtime->arena);
	team_destroy(runtime->team);
	placement_destroy(runtime->placement);
	*runtime = (struct runtime){0};
}

struct loader_config runtime_loader_config(const struct runtime *runtime)
{
	return (struct loader_config){
		.workers = runtime->loader_threads,
		.unpackers = (unsigned)runtime->options.unpackers,
		.depth = (unsigned)runtime->options.depth,
		.batches = (unsigned)runtime->options.batch_slots,
		.engine = (enum engine_kind)runtime->options.io,
		.check_hash = runtime->options.check_hashes,
		.bad = (enum decode_bad)runtime->options.bad,
		.decode = (enum decode_mode)runtime->options.decode,
		.isa = runtime->isa,
	};
}

enum epoch_order runtime_choose_order(
	const struct runtime_options *options, const struct shard_set *set, const char **reason)
{
	return loader_choose_order(set, options->mem, reason);
}

int runtime_add_cache(struct runtime *runtime, struct loader *loader, uint64_t limit_bytes, struct error *err)
{
	size_t budget = loader_cache_budget(runtime->arena, limit_bytes);
	return loader_add_cache(loader, runtime->arena, (enum cache_kind)runtime->options.cache, budget, err);
}

void runtime_describe_cache(const struct loader *loader, char *text, size_t capacity)
{
	static const char *const names[] = {[CACHE_PACKED] = "packed", [CACHE_DECODED] = "decoded"};
	const struct record_cache_plan *plan = loader_cache_plan(loader);
	double mib = (double)(plan->block_bytes + plan->pixel_bytes + plan->table_bytes) / (1 << 20);
	if (plan->kind == CACHE_NONE)
		snprintf(text, capacity, "none");
	else if (plan->kind == CACHE_PACKED)
		snprintf(text, capacity, "%s, %.1f MiB, %" PRIu64 " of %" PRIu64 " blocks", names[plan->kind], mib,
			plan->kept_blocks, plan->blocks);
	else
		snprintf(text, capacity,
			"%s, %.1f MiB, %" PRIu64 " of %" PRIu64 " images, %" PRIu64 " of %" PRIu64 " blocks",
			names[plan->kind], mib, plan->kept_images, plan->images, plan->kept_blocks, plan->blocks);
}

struct shard_set *runtime_open_shards(
	const struct runtime *runtime, const char *const *paths, unsigned count, struct error *err)
{
	return shard_set_open(paths, count, runtime->options.direct, err);
}
