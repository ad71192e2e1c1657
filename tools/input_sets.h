/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What commands on shards read: any number of shards and sets, as one list of records. Class tables need not agree:
 * they are united by name (the first input's classes, then what others add, in their order), and labels are those of
 * the united table.
 */
#ifndef RINGCLR_TOOLS_INPUT_SETS_H
#define RINGCLR_TOOLS_INPUT_SETS_H

#include "io/shard.h"

struct input_sets;

/* One path is a shard or a set's manifest. */
struct input_sets *input_sets_open(const char *const *paths, unsigned count, struct error *err);
void input_sets_close(struct input_sets *sets); /* NULL is allowed */

uint64_t input_sets_records(const struct input_sets *sets);
uint32_t input_sets_classes(const struct input_sets *sets);
const char *const *input_sets_class_names(const struct input_sets *sets);
const char *input_sets_class(const struct input_sets *sets, int32_t label); /* NULL of a label below 0 */
bool input_sets_have_meta(const struct input_sets *sets);		    /* false: surely no record has any */

struct input_record {
	const struct shard_record *entry; /* its label is the shard's own */
	int32_t label;			  /* of the united table, or -1 */
	unsigned input;			  /* which path */
	const struct shard *shard;
	uint32_t local; /* its number in the shard */
};
void input_sets_locate(const struct input_sets *sets, uint64_t record, struct input_record *out);

/* Records with their bytes. Best in order, because a block is kept at a time. */
struct input_reader;
struct input_reader *input_reader_create(const struct input_sets *sets, struct error *err);
void input_reader_destroy(struct input_reader *reader); /* NULL is allowed */
/* *out is good until the next call; its label is of the united table. */
int input_reader_get(struct input_reader *reader, uint64_t record, struct shard_record_in *out, struct error *err);

#endif
