/* SPDX-License-Identifier: Apache-2.0 */
/* Brace ranges in names of inputs, as shells and WebDataset write them: train-{000000..000146}.tar, {a,b}/x-{1..3}.tar.
 */
#ifndef RINGCLR_TOOLS_PACK_BRACES_H
#define RINGCLR_TOOLS_PACK_BRACES_H

#include <stddef.h>

#include "pipeline/error.h"

enum { PACK_BRACES_MAX_NAMES = 100000, PACK_BRACES_MAX_LENGTH = 4096 };

struct pack_inputs {
	char **names; /* each malloc'd */
	size_t count, capacity;
};

/* Appends what the pattern stands for, in bash's order; a pattern without ranges or lists stands for itself. */
int pack_braces_expand(struct pack_inputs *names, const char *pattern, struct error *err);

int pack_inputs_add(struct pack_inputs *names, const char *name, struct error *err); /* copies it */
void pack_inputs_free(struct pack_inputs *names);

#endif
