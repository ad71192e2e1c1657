/* SPDX-License-Identifier: Apache-2.0 */
/* The nearest rows of a bank by cosine, and the class they vote for (RECIPE: Evaluation, kNN). */
#ifndef RINGCLR_MODEL_NEIGHBOURS_H
#define RINGCLR_MODEL_NEIGHBOURS_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"
#include "pipeline/team.h"

struct neighbour {
	float similarity; /* cosine */
	uint32_t row;	  /* of the bank */
};

/* nearest: [k], the nearest first; of equal ones the lower row first. Called once a query, by several threads of the
 * team at once; thread: which. */
typedef void neighbours_see(void *ctx, size_t query, const struct neighbour *nearest, unsigned thread);

/* bank: [bank_count][dim], queries: [query_count][dim], of any length; 0 < k <= bank_count < 2^32. Memory: tiles of a
 * thread, and four bytes a row. ERROR_NUMERIC when a row is not finite or longer than 1e18 (messages call the bank
 * "train", the queries "test"), ERROR_USAGE, ERROR_MEMORY. The same neighbours for any team. */
int neighbours_find(struct team *team, unsigned dim, const float *bank, size_t bank_count, const float *queries,
	size_t query_count, unsigned k, neighbours_see *see, void *ctx, struct error *err);

/* The class with the most votes, exp(similarity / temperature) from each of k neighbours; of equal ones the lower.
 * nearest: the nearest first. labels: of the bank, 0..classes-1. votes: [classes], out, up to a common factor. */
int32_t neighbours_vote(const struct neighbour *nearest, unsigned k, const int32_t *labels, unsigned classes,
	double temperature, double *votes);

#endif
