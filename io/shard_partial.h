/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of a set being written (shard_set_writer.c says what lies in it), and its end: the commit.
 * Inside of io/. */
#ifndef RINGCLR_IO_SHARD_PARTIAL_H
#define RINGCLR_IO_SHARD_PARTIAL_H

#include <stdbool.h>

#include "io/shard.h"
#include "io/shard_set_writer.h"

struct atomic_file;

struct shard_partial {
	char *path;	/* of the set, as it was asked for */
	char *target;	/* what will be renamed to: the shard, or the manifest */
	char *folder;	/* target.partial: one for all ways of naming the target */
	bool many;	/* a manifest and its shards */
	unsigned first; /* number of the first shard that is made here: those before are the set's already */
	bool unchanged; /* the set that was made is the one that stands there, byte for byte */
	int lock;	/* the folder, open and locked; -1: it is not there */
};

/* Makes the folder if need be, and locks it. Close in any case. Refuses a target that is no file of ours, and folders
 * of earlier versions that hold a commit, or, with `resume`, unfinished work. */
int shard_partial_open(struct shard_partial *partial, const char *path, bool many, bool resume, struct error *err);
void shard_partial_close(struct shard_partial *partial);

/* Empties the folder; a commit that was under way is carried out first. Foreign files stay and are an error. */
int shard_partial_clear(struct shard_partial *partial, struct error *err);
/* Empties and removes it. */
int shard_partial_remove(struct shard_partial *partial, struct error *err);

int shard_partial_save(const struct shard_partial *partial, const struct shard_writer_config *config,
	const struct shard_choice *choice, uint64_t identity, struct error *err);
/* 1: *config's block size, level and dictionary (*dictionary is malloc'd) and *choice are as saved; 0: nothing was.
 * ERROR_MISMATCH: of another identity, or nobody knows of which. */
int shard_partial_load(const struct shard_partial *partial, struct shard_writer_config *config,
	unsigned char **dictionary, struct shard_choice *choice, uint64_t identity, struct error *err);

/* The unfinished shard; keep: as it is. Its commit completes it. */
struct atomic_file *shard_partial_file(
	const struct shard_partial *partial, unsigned number, bool keep, struct error *err);
bool shard_partial_has_part(const struct shard_partial *partial, unsigned number);
unsigned shard_partial_complete(const struct shard_partial *partial); /* the first number that is not */
bool shard_partial_committing(const struct shard_partial *partial);

/* Opens every complete shard in turn, and before them those appended to, wherever they lie. A result of `each` other
 * than 0 ends it. */
int shard_partial_each(const struct shard_partial *partial,
	int (*each)(void *ctx, const struct shard *shard, struct error *err), void *ctx, struct error *err);

/* All shards are complete: looks for keys that are in two of them, and writes commit.json. */
int shard_partial_prepare(struct shard_partial *partial, struct error *err);
/* Carries it out, removes the folder. *result: all but the choice. */
int shard_partial_commit(struct shard_partial *partial, struct shard_set_result *result, struct error *err);

#endif
