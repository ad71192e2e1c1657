/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data sets that a run makes, and where an earlier run of the same was killed: its records are matched, in order,
 * with the plan's entries for that output. Entries that match are done. Those that were passed over on the way cannot
 * have been missed: they were bad or duplicates, and must be so again.
 */
#include <string.h>

#include "tools/pack.h"

int pack_outputs_open(struct pack_outputs *outputs, const struct shard_set_writer_config *configs, struct error *err)
{
	*outputs = (struct pack_outputs){.writers = {NULL}};
	for (unsigned i = 0; i < PACK_OUTPUTS; i++) {
		if (configs[i].tuner.writer.path == NULL)
			continue;
		outputs->writers[i] = shard_set_writer_create(&configs[i], err);
		if (outputs->writers[i] == NULL)
			return err->code;
	}
	return 0;
}

struct matching {
	struct pack_plan *plan;
	uint32_t output; /* PACK_VALIDATION or 0 */
	uint64_t next;	 /* of the plan's order */
	struct error *err;
};

static int match_record(void *ctx, uint64_t record, const char *key, size_t key_bytes, uint64_t hash)
{
	struct matching *matching = ctx;
	for (; matching->next < matching->plan->count; matching->next++) {
		struct pack_entry *entry = pack_plan_at(matching->plan, matching->next);
		if ((entry->flags & PACK_LEFT_OUT) || (entry->flags & PACK_VALIDATION) != matching->output)
			continue;
		const char *mine = pack_plan_key(matching->plan, entry);
		if (strlen(mine) == key_bytes && memcmp(mine, key, key_bytes) == 0) {
			matching->next++;
			entry->flags |= PACK_WRITTEN;
			entry->ordinal = hash;
			return 0;
		}
		entry->flags |= PACK_JUDGED;
	}
	return error_set(matching->err, ERROR_MISMATCH,
		"the earlier run's record %llu, %.*s, is not among the inputs any more: they have changed; start again "
		"without --resume",
		(unsigned long long)record, (int)key_bytes, key);
}

int pack_outputs_resume(const struct pack_outputs *outputs, struct pack_plan *plan, struct error *err)
{
	for (uint32_t i = 0; i < PACK_OUTPUTS; i++) {
		struct matching matching = {.plan = plan, .output = i * PACK_VALIDATION, .err = err};
		int rc = outputs->writers[i] == NULL
				 ? 0
				 : shard_set_writer_each_resumed(outputs->writers[i], match_record, &matching, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* All that can fail for want of space or by the disk has been written before the first gets its name. */
int pack_outputs_finish(struct pack_outputs *outputs, struct shard_set_result *results, struct error *err)
{
	int rc = 0;
	for (unsigned i = 0; i < PACK_OUTPUTS && rc == 0; i++) {
		if (outputs->writers[i] != NULL)
			rc = shard_set_writer_finish(outputs->writers[i], &results[i], err);
		outputs->writers[i] = NULL;
	}
	return rc;
}

void pack_outputs_abandon(struct pack_outputs *outputs, bool keep)
{
	for (unsigned i = 0; i < PACK_OUTPUTS; i++) {
		shard_set_writer_abandon(outputs->writers[i], keep);
		outputs->writers[i] = NULL;
	}
}
