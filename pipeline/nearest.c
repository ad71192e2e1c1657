/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/nearest.h"

#include <string.h>

enum { NEAREST_BYTES = 48 };

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Edits that turn a into b: insertion, deletion, substitution, swap of neighbours (optimal string alignment). */
static unsigned edit_distance(const char *a, const char *b)
{
	size_t rows = strlen(a), columns = strlen(b);
	unsigned cost[NEAREST_BYTES + 1][NEAREST_BYTES + 1];
	for (unsigned i = 0; i <= rows; i++)
		cost[i][0] = i;
	for (unsigned j = 0; j <= columns; j++)
		cost[0][j] = j;
	for (size_t i = 1; i <= rows; i++) {
		for (size_t j = 1; j <= columns; j++) {
			unsigned change = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			cost[i][j] = least(change, least(cost[i - 1][j], cost[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				cost[i][j] = least(cost[i][j], cost[i - 2][j - 2] + 1);
		}
	}
	return cost[rows][columns];
}

const char *nearest_word(const char *name, const char *const *words, unsigned count)
{
	size_t bytes = strlen(name);
	if (bytes < 2 || bytes > NEAREST_BYTES)
		return NULL;
	const char *nearest = NULL;
	unsigned best = (unsigned)(bytes + 2) / 3 + 1;
	for (unsigned i = 0; i < count; i++) {
		if (strlen(words[i]) > NEAREST_BYTES)
			continue;
		/* A name cut short ("out" for "output") is nearer than its distance says. */
		unsigned distance = strncmp(words[i], name, bytes) == 0 ? 1 : edit_distance(name, words[i]);
		if (distance < best) {
			best = distance;
			nearest = words[i];
		}
	}
	return nearest;
}
