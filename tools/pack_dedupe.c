/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table of entry numbers, open addressing, as large as twice the plan. Two images of one hash count as the same:
 * among a hundred million different ones the chance that any two share 64 bits is 1 in 3700.
 */
#include <stdlib.h>

#include "tools/pack.h"

struct pack_dedupe {
	const struct pack_plan *plan;
	uint64_t slot_count;
	uint32_t slots[]; /* entry + 1, or 0 */
};

struct pack_dedupe *pack_dedupe_create(struct pack_plan *plan, struct error *err)
{
	uint64_t slots = 2 * (uint64_t)plan->count + 2;
	struct pack_dedupe *dedupe = calloc(1, sizeof(*dedupe) + slots * sizeof(uint32_t));
	if (dedupe == NULL) {
		pack_out_of_memory(err);
		return NULL;
	}
	dedupe->plan = plan;
	dedupe->slot_count = slots;
	return dedupe;
}

void pack_dedupe_destroy(struct pack_dedupe *dedupe)
{
	free(dedupe);
}

const struct pack_entry *pack_dedupe_find(struct pack_dedupe *dedupe, const struct pack_entry *entry)
{
	uint64_t slot = (uint64_t)(((unsigned __int128)entry->ordinal * dedupe->slot_count) >> 64);
	for (; dedupe->slots[slot] != 0; slot = slot + 1 < dedupe->slot_count ? slot + 1 : 0) {
		const struct pack_entry *other = &dedupe->plan->entries[dedupe->slots[slot] - 1];
		if (other->ordinal == entry->ordinal)
			return other;
	}
	dedupe->slots[slot] = (uint32_t)(entry - dedupe->plan->entries) + 1;
	return NULL;
}
