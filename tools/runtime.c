/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/runtime.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
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
		.decode = (enum decode_mode)runtime->options.decode,
		.isa = runtime->isa,
	};
}

/* The number behind `key` in a file like /proc/meminfo, or the file's only number (key ""); 0: there is none. */
static uint64_t read_number(const char *path, const char *key)
{
	char line[256];
	uint64_t number = 0;
	FILE *file = fopen(path, "re");
	while (file && number == 0 && fgets(line, sizeof line, file))
		if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%" SCNu64, &number) != 1)
			number = 0;
	if (file)
		fclose(file);
	return number;
}

struct runtime_memory runtime_memory(void)
{
	struct runtime_memory memory = {
		.machine_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE),
		.available_bytes = read_number("/proc/meminfo", "MemAvailable:") * 1024,
	};
	if (memory.available_bytes == 0)
		memory.available_bytes = memory.machine_bytes;
	uint64_t most = read_number("/sys/fs/cgroup/memory.max", "");
	if (most == 0 || most >= memory.machine_bytes)
		return memory;
	uint64_t used = read_number("/sys/fs/cgroup/memory.current", ""), left = used < most ? most - used : 0;
	memory.machine_bytes = most;
	if (left < memory.available_bytes)
		memory.available_bytes = left;
	return memory;
}

enum epoch_order runtime_choose_order(
	const struct runtime_options *options, const struct shard_set *set, const char **reason)
{
	uint64_t bytes = 0, records = shard_set_records(set);
	for (unsigned i = 0; i < shard_set_count(set); i++)
		bytes += shard_file_bytes(shard_set_at(set, i));
	*reason = "images are large: reading one costs about a block";
	if (bytes / records >= LARGE_RECORD_BYTES)
		return EPOCH_FULL;
	uint64_t memory = options->mem ? options->mem : runtime_memory().machine_bytes;
	*reason = "small images, which fit half the memory";
	if (record_cache_packed_bytes(set) <= memory / 2)
		return EPOCH_FULL;
	*reason = "small images, more than half the memory: each block is read once an epoch";
	return EPOCH_WINDOW;
}

uint64_t runtime_cache_budget(uint64_t limit_bytes, uint64_t drawn_bytes)
{
	if (limit_bytes > 0)
		return limit_bytes > drawn_bytes ? limit_bytes - drawn_bytes : 0;
	uint64_t available = runtime_memory().available_bytes;
	return available > drawn_bytes ? (available - drawn_bytes) / 2 : 0;
}

int runtime_add_cache(struct runtime *runtime, struct loader *loader, uint64_t limit_bytes, struct error *err)
{
	uint64_t budget = runtime_cache_budget(limit_bytes, arena_used_bytes(runtime->arena));
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
