/* SPDX-License-Identifier: Apache-2.0 */
/* A map of features: exact t-SNE (van der Maaten & Hinton 2008) to two dimensions. */
#ifndef RINGCLR_MODEL_TSNE_H
#define RINGCLR_MODEL_TSNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"
#include "pipeline/team.h"

struct tsne_config {
	double perplexity;   /* is cut to (count - 1) / 3 */
	unsigned iterations; /* 0: 1000, the first quarter of them with the attraction exaggerated */
	uint64_t seed;
	bool (*stopped)(void); /* asked between iterations; NULL: never */
};

/* x: [count][dim], map: [count][2], count >= 4. *divergence: KL(P || Q) of the map, natural logarithm. Memory: 4
 * count^2 bytes; time: O(count^2) an iteration. The same bytes for any team. ERROR_INTERRUPTED when stopped. */
int tsne_map(struct team *team, const float *x, size_t count, unsigned dim, const struct tsne_config *config,
	float *map, double *divergence, struct error *err);

#endif
