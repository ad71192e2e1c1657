/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a data set: one shard, or many with a manifest. It appears whole or not at all, and a killed run can be taken
 * up where it was.
 *
 *	train.ring                      one shard (shard_bytes 0), at `path` itself
 *	train.json                      the manifest of many: `path` with .json for .ring
 *	train-00000-of-00012.ring ...   its shards, in order
 *
 * All is written in a folder beside it, train.ring.partial or train.json.partial. At the end shards get their names,
 * under which no file stands yet, and only then is the manifest renamed over the old one: a manifest names the old set
 * or the new one at any moment. Shards of the old set that the new one does not name are removed after that.
 *
 * A run that was killed leaves the folder. With `resume` the next one keeps every whole block of it, if `identity` is
 * the same, and the file ends in the same bytes as if nothing had happened.
 */
#ifndef RINGCLR_IO_SHARD_SET_WRITER_H
#define RINGCLR_IO_SHARD_SET_WRITER_H

#include "io/shard.h"

struct shard_set_writer_config {
	/* tuner.writer.path: of the set, see above. What is chosen by measurement is chosen once, for all shards. */
	struct shard_tuner_config tuner;
	uint64_t shard_bytes; /* a shard ends with the block that reaches this; 0: one shard, no manifest */
	bool resume;
	/* Records are added to the set that stands at `path`, which then appears with them: to a shard in the same
	 * file, of which blocks are copied, to a set as further shards. Classes must be the set's. Excludes resume. */
	bool append;
	uint64_t identity; /* a hash of all that decides which records come: inputs, options */
};

struct shard_set_writer;

/* Where there is unfinished work and no `resume`, it is removed. With `resume` and another identity: ERROR_MISMATCH. */
struct shard_set_writer *shard_set_writer_create(const struct shard_set_writer_config *config, struct error *err);

/* Calls `call` for every record that an earlier run has left, or that is appended to, in order; a result other than 0
 * ends it and is returned. add() goes on behind them. */
int shard_set_writer_each_resumed(const struct shard_set_writer *writer,
	int (*call)(void *ctx, uint64_t record, const char *key, size_t key_bytes, uint64_t hash), void *ctx,
	struct error *err);

/* Copies the record. */
int shard_set_writer_add(struct shard_set_writer *writer, const struct shard_record_in *record, struct error *err);

struct shard_set_result {
	struct shard_choice choice;
	uint64_t records, file_bytes; /* of all shards */
	unsigned shards;
	uint64_t fingerprint; /* as shard_set_fingerprint() has it */
	char *path;	      /* what to open: the shard or the manifest; malloc'd */
};

/* Syncs and gives all files their names. Frees, whatever the result. After a failure the old set is untouched. */
int shard_set_writer_finish(struct shard_set_writer *writer, struct shard_set_result *result, struct error *err);
/* keep: unfinished work stays for `resume`, if it is worth it (a block was written) and no `append`, which cannot be
 * taken up; else it is removed. NULL is allowed. */
void shard_set_writer_abandon(struct shard_set_writer *writer, bool keep);

#endif
