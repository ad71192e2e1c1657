/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epoch plan: (seed, epoch, position) -> record, the same for every number of threads.
 *
 * An epoch is cut into groups; a group is a few blocks to read and a run of positions that those blocks serve.
 *
 *   sequential   records in order; a group is one block.
 *   full         a uniform permutation of all records, by a Feistel network walked until it lands inside (O(1) memory);
 * a group is one position and the one block that its record lies in. For data that fits memory, or large records.
 *   window       blocks in permuted order, `window` of them a group, and the records of a group shuffled among
 *                themselves: every block is read once per epoch. For data larger than memory.
 *
 * records, a list of numbers, is all that there is then: epochs go through those alone. Without a list it is every
 * record of the set.
 *
 * limit keeps a fixed random subset of that many records, the same for every epoch (drawn from subset_seed, not from
 * seed, so that runs with different seeds see the same images); all three orders work on it.
 *
 * Memory: full nothing; sequential 8 bytes a block; window 32 bytes a block; the last two with a limit or a list 8
 * bytes more for each block and each kept record; a list 8 bytes for each of its records. All of it is taken by
 * epoch_plan_create().
 */
#ifndef RINGCLR_IO_EPOCH_PLAN_H
#define RINGCLR_IO_EPOCH_PLAN_H

#include <stdint.h>

#include "io/shard.h"

enum epoch_order { EPOCH_SEQUENTIAL, EPOCH_FULL, EPOCH_WINDOW };

struct epoch_plan_config {
	enum epoch_order order;
	uint64_t seed;
	const uint64_t *records; /* [record_count], ascending and distinct, copied; NULL: all of the set */
	uint64_t record_count;
	uint64_t limit; /* 0: all records */
	uint64_t subset_seed;
	uint32_t window; /* blocks a group, EPOCH_WINDOW only; 0: 64 */
};

struct epoch_plan;

struct epoch_plan *epoch_plan_create(
	const struct shard_set *set, const struct epoch_plan_config *config, struct error *err);
void epoch_plan_destroy(struct epoch_plan *plan);

/* Positions in an epoch: the records, or the limit. */
uint64_t epoch_plan_length(const struct epoch_plan *plan);

/* The record at a position. Any thread, any order. */
uint64_t epoch_plan_record(const struct epoch_plan *plan, uint32_t epoch, uint64_t position);

/* Groups: group g of an epoch serves positions [first, first + count) and needs `blocks` blocks. */
struct epoch_group {
	uint64_t first;	 /* position */
	uint64_t count;	 /* positions */
	uint32_t blocks; /* how many blocks it reads */
};
uint64_t epoch_plan_groups(const struct epoch_plan *plan);
void epoch_plan_group(const struct epoch_plan *plan, uint32_t epoch, uint64_t group, struct epoch_group *out);
/* The i-th block of a group (i < out->blocks): shard index and block number. */
void epoch_plan_block(
	const struct epoch_plan *plan, uint32_t epoch, uint64_t group, uint32_t i, unsigned *shard, uint32_t *block);
/* Most blocks and most positions that any group can have, for sizing buffers. */
uint32_t epoch_plan_max_blocks(const struct epoch_plan *plan);
uint64_t epoch_plan_max_positions(const struct epoch_plan *plan);

/* A permutation of 0..n-1 in O(1) memory: x -> Feistel(x), cycle-walked. Bijective for every n >= 1 and key. */
uint64_t epoch_permute(uint64_t x, uint64_t n, const uint32_t key[4]);

#endif
