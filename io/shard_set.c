/* SPDX-License-Identifier: Apache-2.0 */
/* Several shards as one data set: records are numbered through, in the order of the paths. */
#include "io/shard.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct shard_set {
	unsigned count;
	struct shard **shards;
	uint64_t *first; /* count + 1: number of the shard's first record */
	uint64_t fingerprint;
};

static int classes_agree(const struct shard *a, const struct shard *b, struct error *err)
{
	if (shard_classes(a) != shard_classes(b))
		return error_set(err, ERROR_MISMATCH,
			"'%s' has %u classes and '%s' has %u: they are not of one data set", shard_path(a),
			shard_classes(a), shard_path(b), shard_classes(b));
	for (uint32_t i = 0; i < shard_classes(a); i++)
		if (strcmp(shard_class(a, i), shard_class(b, i)) != 0)
			return error_set(err, ERROR_MISMATCH,
				"class %u is '%.100s' in '%s' and '%.100s' in '%s': they are not of one data set", i,
				shard_class(a, i), shard_path(a), shard_class(b, i), shard_path(b));
	return 0;
}

struct shard_set *shard_set_open(const char *const *paths, unsigned count, bool direct, struct error *err)
{
	struct shard_set *set = calloc(1, sizeof *set);
	if (count == 0) {
		error_set(err, ERROR_USAGE, "no shard was named");
		free(set);
		return NULL;
	}
	if (set != NULL) {
		set->shards = calloc(count, sizeof(struct shard *));
		set->first = calloc((size_t)count + 1, sizeof *set->first);
	}
	uint64_t *prints = calloc(count, sizeof *prints);
	if (set == NULL || set->shards == NULL || set->first == NULL || prints == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for %u shards", count);
		goto failed;
	}
	for (unsigned i = 0; i < count; i++) {
		set->shards[i] = shard_open(paths[i], direct, err);
		if (set->shards[i] == NULL)
			goto failed;
		set->count = i + 1;
		if (classes_agree(set->shards[0], set->shards[i], err) != 0)
			goto failed;
		set->first[i + 1] = set->first[i] + shard_records(set->shards[i]);
		prints[i] = shard_fingerprint(set->shards[i]);
	}
	set->fingerprint = XXH3_64bits(prints, count * sizeof *prints);
	free(prints);
	return set;
failed:
	free(prints);
	shard_set_close(set);
	return NULL;
}

void shard_set_close(struct shard_set *set)
{
	if (set == NULL)
		return;
	for (unsigned i = 0; i < set->count; i++)
		shard_close(set->shards[i]);
	free(set->shards);
	free(set->first);
	free(set);
}

unsigned shard_set_count(const struct shard_set *set)
{
	return set->count;
}

struct shard *shard_set_at(const struct shard_set *set, unsigned index)
{
	return set->shards[index];
}

uint64_t shard_set_records(const struct shard_set *set)
{
	return set->first[set->count];
}

void shard_set_locate(const struct shard_set *set, uint64_t record, unsigned *shard, uint32_t *local)
{
	unsigned low = 0, high = set->count; /* first[low] <= record < first[high] */
	while (high - low > 1) {
		unsigned middle = low + (high - low) / 2;
		if (set->first[middle] <= record)
			low = middle;
		else
			high = middle;
	}
	*shard = low;
	*local = (uint32_t)(record - set->first[low]);
}

const struct shard_record *shard_set_record(const struct shard_set *set, uint64_t record)
{
	unsigned shard = 0;
	uint32_t local = 0;
	shard_set_locate(set, record, &shard, &local);
	return shard_record(set->shards[shard], local);
}

uint64_t shard_set_fingerprint(const struct shard_set *set)
{
	return set->fingerprint;
}
