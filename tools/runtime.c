/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/runtime.h"

#include <unistd.h>

enum { LARGE_RECORD_BYTES = 32 * 1024 };

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
	};
}

enum epoch_order runtime_choose_order(const struct shard_set *set)
{
	uint64_t bytes = 0, records = shard_set_records(set);
	for (unsigned i = 0; i < shard_set_count(set); i++)
		bytes += shard_file_bytes(shard_set_at(set, i));
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	return bytes / records >= LARGE_RECORD_BYTES || bytes <= memory / 2 ? EPOCH_FULL : EPOCH_WINDOW;
}

struct shard_set *runtime_open_shards(
	const struct runtime *runtime, const char *const *paths, unsigned count, struct error *err)
{
	return shard_set_open(paths, count, runtime->options.direct, err);
}
