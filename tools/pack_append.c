/* SPDX-License-Identifier: Apache-2.0 */
/* What a data set that stands says about images to be added: the classes there are, and the keys that are taken. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tools/pack.h"

static uint64_t key_hash(const char *key)
{
	return XXH3_64bits(key, strlen(key));
}

int pack_append_classes(struct pack_plan *plan, const char *set_path, struct error *err)
{
	struct shard_set *set = shard_set_open(&set_path, 1, false, err);
	if (set == NULL)
		return err->code;
	const struct shard *shard = shard_set_at(set, 0);
	int rc = 0;
	plan->classes = calloc(shard_classes(shard) + (size_t)1, sizeof(*plan->classes));
	if (plan->classes == NULL)
		rc = pack_out_of_memory(err);
	for (uint32_t i = 0; i < shard_classes(shard) && rc == 0; i++) {
		plan->classes[i] = strdup(shard_class(shard, i));
		rc = plan->classes[i] == NULL ? pack_out_of_memory(err) : 0;
		plan->class_count += rc == 0;
	}
	if (rc == 0 && plan->has_meta && !shard_has_meta(shard) && shard_set_count(set) == 1)
		rc = error_set(err, ERROR_MISMATCH,
			"the images have metadata, which %s cannot take: it was made without; leave it out by "
			"--no-meta",
			set_path);
	shard_set_close(set);
	return rc;
}

static int compare_hashes(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

int pack_append_keys(struct pack_plan *plan, const char *set_path, bool skip, uint64_t *skipped, struct error *err)
{
	struct shard_set *set = shard_set_open(&set_path, 1, false, err);
	if (set == NULL)
		return err->code;
	uint64_t count = shard_set_records(set);
	uint64_t *hashes = calloc(count, sizeof(*hashes));
	int rc = hashes == NULL ? pack_out_of_memory(err) : 0;
	for (uint64_t i = 0; i < count && rc == 0; i++)
		hashes[i] = key_hash(shard_set_record(set, i)->key);
	shard_set_close(set);
	if (rc == 0)
		qsort(hashes, count, sizeof(*hashes), compare_hashes);
	*skipped = 0;
	for (size_t i = 0; i < plan->count && rc == 0; i++) {
		struct pack_entry *entry = &plan->entries[i];
		const char *key = pack_plan_key(plan, entry);
		uint64_t hash = key_hash(key);
		if (bsearch(&hash, hashes, count, sizeof(*hashes), compare_hashes) == NULL)
			continue;
		if (!skip)
			rc = error_set(err, ERROR_MISMATCH,
				"%s in %s: %s has an image of that key; leave such images out by --existing skip", key,
				plan->inputs[entry->input], set_path);
		entry->flags |= PACK_LEFT_OUT;
		(*skipped)++;
	}
	free(hashes);
	if (rc == 0 && *skipped == plan->count)
		rc = error_set(err, ERROR_MISMATCH, "nothing to add: %s has all %zu images", set_path, plan->count);
	return rc;
}
