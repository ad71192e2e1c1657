/* SPDX-License-Identifier: Apache-2.0 */
/* The nearest rows themselves, by cosine, where probe.h only scores. */
#ifndef RINGCLR_MODEL_NEIGHBOURS_H
#define RINGCLR_MODEL_NEIGHBOURS_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"
#include "pipeline/team.h"

/* Scales every row of [count][dim] to length 1; rows of zeros stay. ERROR_NUMERIC when one is not finite. */
int neighbours_normalize(float *rows, size_t count, unsigned dim, struct error *err);

/* For each query the k rows of the bank with the largest products, largest first; of equal ones the lower number first.
 * index, similarity: [query_count][k]. 0 < k <= bank_count < 2^32. Rows of length 1 make products cosines. */
int neighbours_find(struct team *team, const float *bank, size_t bank_count, const float *queries, size_t query_count,
	unsigned dim, unsigned k, uint32_t *index, float *similarity, struct error *err);

/* The class with the most votes, exp(similarity / temperature) from each of k neighbours; of equal ones the lower. The
 * rule of probe_knn(). votes: [classes], scratch. labels: of the bank, 0..classes-1. */
int32_t neighbours_vote(const uint32_t *index, const float *similarity, unsigned k, const int32_t *labels,
	unsigned classes, double temperature, double *votes);

#endif
