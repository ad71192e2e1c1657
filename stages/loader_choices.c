/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/loader_choices.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "stages/record_cache.h"

enum { LARGE_RECORD_BYTES = 32 * 1024 };

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

struct loader_memory loader_memory(void)
{
	struct loader_memory memory = {
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

enum epoch_order loader_choose_order(const struct shard_set *set, uint64_t mem_bytes, const char **reason)
{
	uint64_t bytes = 0, records = shard_set_records(set);
	for (unsigned i = 0; i < shard_set_count(set); i++)
		bytes += shard_file_bytes(shard_set_at(set, i));
	*reason = "images are large: reading one costs about a block";
	if (bytes / records >= LARGE_RECORD_BYTES)
		return EPOCH_FULL;
	uint64_t memory = mem_bytes ? mem_bytes : loader_memory().machine_bytes;
	*reason = "small images, which fit half the memory";
	if (record_cache_packed_bytes(set) <= memory / 2)
		return EPOCH_FULL;
	*reason = "small images, more than half the memory: each block is read once an epoch";
	return EPOCH_WINDOW;
}

size_t loader_cache_budget(const struct arena *arena, uint64_t mem_bytes)
{
	uint64_t drawn = arena_used_bytes(arena);
	if (mem_bytes > 0)
		return mem_bytes > drawn ? mem_bytes - drawn : 0;
	uint64_t available = loader_memory().available_bytes;
	return available > drawn ? (available - drawn) / 2 : 0;
}
