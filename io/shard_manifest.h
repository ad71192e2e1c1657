/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest of a set of shards, a JSON file beside them (docs/SHARD_FORMAT.md, "Sets"): which files make the set, in
 * which order. What is replaced is the manifest, in one step, so that it always names a whole set.
 */
#ifndef RINGCLR_IO_SHARD_MANIFEST_H
#define RINGCLR_IO_SHARD_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "pipeline/error.h"

struct shard_manifest_part {
	char *file; /* a name in the manifest's folder, without slashes */
	uint64_t records, bytes, fingerprint;
};

struct shard_manifest {
	unsigned count;
	struct shard_manifest_part *parts;
	/* Files of the set that this one replaced: not needed any more, and removed once this manifest stands. */
	unsigned superseded_count;
	char **superseded;
};

/* By its name: "*.json". */
bool shard_manifest_named(const char *path);

/* ERROR_FORMAT: no manifest, or one that makes no sense; ERROR_VERSION: of a newer program. Free in any case. */
int shard_manifest_read(const char *path, struct shard_manifest *manifest, struct error *err);
int shard_manifest_write(const char *path, const struct shard_manifest *manifest, struct error *err);
void shard_manifest_free(struct shard_manifest *manifest);

/* file, in the folder of path; malloc'd, NULL when memory is out. */
char *shard_manifest_beside(const char *path, const char *file);

/* Both copy the name; false when memory is out. */
bool shard_manifest_add(struct shard_manifest *manifest, const struct shard_manifest_part *part);
bool shard_manifest_supersede(struct shard_manifest *manifest, const char *file);
bool shard_manifest_names(const struct shard_manifest *manifest, const char *file);

#endif
