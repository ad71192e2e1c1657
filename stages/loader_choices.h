/* SPDX-License-Identifier: Apache-2.0 */
/* What is settled about a loader where nobody says it: the order of images, and how much memory its cache may take. */
#ifndef RINGCLR_STAGES_LOADER_CHOICES_H
#define RINGCLR_STAGES_LOADER_CHOICES_H

#include <stddef.h>
#include <stdint.h>

#include "io/epoch_plan.h"
#include "io/shard.h"
#include "pipeline/arena.h"

/* The machine's memory, or the control group's where that has less. */
struct loader_memory {
	uint64_t machine_bytes, available_bytes;
};
struct loader_memory loader_memory(void);

/* Full where records are large (on average half a block or more: reading one costs about a block), or where the
 * decompressed blocks fit half of mem_bytes, without it (0) half of the machine's memory: a cache of that size is
 * filled once. Else window. It asks neither for the cache that was chosen nor for what is free at the moment, so that
 * the same command gives the same order. *reason is a phrase for the user. */
enum epoch_order loader_choose_order(const struct shard_set *set, uint64_t mem_bytes, const char **reason);

/* For loader_add_cache(), once all else is drawn: what mem_bytes leaves over; without it (0) half of the memory that is
 * available. */
size_t loader_cache_budget(const struct arena *arena, uint64_t mem_bytes);

#endif
