/* SPDX-License-Identifier: Apache-2.0 */
/* Which part of a split a record goes to. */
#ifndef RINGCLR_TOOLS_SPLIT_PARTS_H
#define RINGCLR_TOOLS_SPLIT_PARTS_H

#include "tools/input_sets.h"

enum { SPLIT_MAX_PARTS = 1 << 16 };
#define SPLIT_LEFT_OUT UINT32_MAX

struct split_part {
	char *name;
	uint64_t records;
	double fraction; /* of each class, where that decides */
};

struct split_parts {
	struct split_part *parts;
	uint32_t count;
	uint32_t *of; /* by record: its part, or SPLIT_LEFT_OUT */
	uint64_t left_out;
};

/* N parts of one size, one after the other. */
int split_in_order(struct split_parts *parts, const struct input_sets *sets, uint64_t count, struct error *err);
/* "0.9,0.1": the same fractions of each class, by chance. */
int split_by_fractions(struct split_parts *parts, const struct input_sets *sets, const char *fractions, uint64_t seed,
	struct error *err);
/* The same with equal fractions. */
int split_evenly(
	struct split_parts *parts, const struct input_sets *sets, uint64_t count, uint64_t seed, struct error *err);
int split_by_class(struct split_parts *parts, const struct input_sets *sets, struct error *err);

/* Gives the parts the names of a list "train,val" (NULL: leaves them), and checks that all are names of files, differ,
 * and none of the parts is empty. */
int split_name(struct split_parts *parts, const char *names, struct error *err);

void split_parts_free(struct split_parts *parts);

#endif
