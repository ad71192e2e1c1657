/* SPDX-License-Identifier: Apache-2.0 */
/* Several shards as one data set: records are numbered through, in the order of the paths and of manifests. */
#include "io/shard.h"

#include <stdlib.h>
#include <string.h>

#include "io/shard_internal.h"
#include "io/shard_manifest.h"

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

/* Room for one more. */
static bool set_grow(struct shard_set *set)
{
	struct shard **shards = reallocarray(set->shards, set->count + (size_t)1, sizeof(struct shard *));
	if (shards == NULL)
		return false;
	set->shards = shards;
	uint64_t *first = reallocarray(set->first, set->count + (size_t)2, sizeof *set->first);
	if (first == NULL)
		return false;
	set->first = first;
	return true;
}

/* Opens one more. expected: what the manifest says of it, or NULL. */
static int set_add(struct shard_set *set, const char *path, bool direct, const struct shard_manifest_part *expected,
	struct error *err)
{
	if (!set_grow(set))
		return error_set(err, ERROR_MEMORY, "out of memory for %u shards", set->count + 1);
	struct shard *shard = shard_open(path, direct, err);
	if (shard == NULL)
		return err->code;
	if (set->count == 0)
		set->first[0] = 0;
	set->shards[set->count] = shard;
	set->first[set->count + 1] = set->first[set->count] + shard_records(shard);
	set->count++;
	const char *differs = expected == NULL					  ? NULL
			      : expected->fingerprint != shard_fingerprint(shard) ? "fingerprint"
			      : expected->records != shard_records(shard)	  ? "number of records"
			      : expected->bytes != shard_file_bytes(shard)	  ? "size"
										  : NULL;
	if (differs != NULL)
		return error_set(err, ERROR_MISMATCH,
			"'%s' is another file than the one that the manifest of its set names: its %s is another", path,
			differs);
	return classes_agree(set->shards[0], shard, err);
}

static int set_add_manifest(struct shard_set *set, const char *path, bool direct, struct error *err)
{
	struct shard_manifest manifest;
	int rc = shard_manifest_read(path, &manifest, err);
	for (unsigned i = 0; i < manifest.count && rc == 0; i++) {
		char *file = shard_manifest_beside(path, manifest.parts[i].file);
		rc = file == NULL ? error_set(err, ERROR_MEMORY, "out of memory for the set '%s'", path)
				  : set_add(set, file, direct, &manifest.parts[i], err);
		free(file);
	}
	shard_manifest_free(&manifest);
	return rc;
}

static int fingerprint_make(struct shard_set *set, struct error *err)
{
	uint64_t *prints = calloc(set->count, sizeof *prints);
	if (prints == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for %u shards", set->count);
	for (unsigned i = 0; i < set->count; i++)
		prints[i] = shard_fingerprint(set->shards[i]);
	set->fingerprint = shard_fingerprint_join(prints, set->count);
	free(prints);
	return 0;
}

struct shard_set *shard_set_open(const char *const *paths, unsigned count, bool direct, struct error *err)
{
	struct shard_set *set = calloc(1, sizeof *set);
	int rc = 0;
	if (count == 0)
		rc = error_set(err, ERROR_USAGE, "no shard was named");
	else if (set == NULL)
		rc = error_set(err, ERROR_MEMORY, "out of memory for %u shards", count);
	for (unsigned i = 0; i < count && rc == 0; i++)
		rc = shard_manifest_named(paths[i]) ? set_add_manifest(set, paths[i], direct, err)
						    : set_add(set, paths[i], direct, NULL, err);
	if (rc == 0)
		rc = fingerprint_make(set, err);
	if (rc == 0)
		return set;
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
