/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws by chance within classes: validation parts and class-balanced subsets, of records that are still to be packed
 * and of those in shards alike.
 */
#ifndef RINGCLR_IO_CLASS_DRAW_H
#define RINGCLR_IO_CLASS_DRAW_H

#include <stddef.h>
#include <stdint.h>

#include "io/shard.h"

/* What is drawn; part of every draw. */
enum class_draw_use { CLASS_DRAW_VALIDATION = 1, CLASS_DRAW_SUBSET = 2 };

struct class_drawn { /* small, because a record has 64 bytes in all, and sorting doubles these */
	uint32_t hash;
	uint32_t entry;
	int32_t label; /* -1: none */
};

uint32_t class_draw_hash(const char *key, uint64_t seed, enum class_draw_use use);

/* Class by class, each in the order of its draws. */
void class_draw_sort(struct class_drawn *drawn, size_t count);

/* One behind the last of the class that begins at `first`; sorted. */
size_t class_draw_end(const struct class_drawn *drawn, size_t count, size_t first);

/* How many of every class `fraction` of all labelled entries comes to, at least one; sorted. 0: no entry has a class.
 */
size_t class_draw_share(const struct class_drawn *drawn, size_t count, double fraction);

/* The records of the set that `pack --label-fraction` with that --split-seed would have kept of the same images:
 * ascending numbers, malloc'd. As many of every class, or all where it has fewer; none without a label. ERROR_MISMATCH
 * when none has one. */
int class_draw_subset(const struct shard_set *set, double fraction, uint64_t seed, uint64_t **records, uint64_t *count,
	struct error *err);

#endif
