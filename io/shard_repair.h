/* SPDX-License-Identifier: Apache-2.0 */
/* Making a sound shard of what is whole in a damaged one. */
#ifndef RINGCLR_IO_SHARD_REPAIR_H
#define RINGCLR_IO_SHARD_REPAIR_H

#include "io/shard.h"

struct shard_lost {
	uint32_t block;
	uint64_t first_record, record_count;
	const char *key; /* of a single record, where the index survived; else NULL */
};

struct shard_repair_report {
	void (*note)(void *ctx, const char *line); /* a part that is damaged, and what that means */
	void (*lost)(void *ctx, const struct shard_lost *lost);
	int (*poll)(void *ctx, struct error *err); /* between blocks: another result than 0 ends it. NULL: never */
	void *ctx;
};

struct shard_repaired {
	uint64_t blocks, blocks_lost, records, records_lost; /* blocks, records: salvaged */
	bool index_rebuilt;				     /* there was none, and not a trace of it */
	bool end_unknown; /* more records may have followed: neither footer nor index is there to say */
	bool classes_lost, metadata_lost;
};

/* Class names by label, for where the shard's are lost. count 0: there are none. */
struct shard_class_names {
	const char *const *names;
	uint32_t count;
};

/* Whether nothing was lost. */
bool shard_repaired_whole(const struct shard_repaired *repaired);

/* Reads `in`, which is never changed, and writes all whole records to `out`, atomically. 0: some were salvaged.
 * ERROR_DAMAGED: none, and `out` is not there. ERROR_USAGE: in and out are the same file. ERROR_MISMATCH: class names
 * are lost, and `names` has fewer than there are labels; it may be NULL. What report->poll says, which leaves no
 * output. */
int shard_repair(const char *in, const char *out, const struct shard_class_names *names,
	const struct shard_repair_report *report, struct shard_repaired *repaired, struct error *err);

#endif
