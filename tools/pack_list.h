/* SPDX-License-Identifier: Apache-2.0 */
/* A list of images: one a line, its path, and after tabs its label and what else is known of it. */
#ifndef RINGCLR_TOOLS_PACK_LIST_H
#define RINGCLR_TOOLS_PACK_LIST_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "pipeline/error.h"

enum { PACK_LIST_MAX_LINE = 1 << 20, PACK_LIST_MAX_COLUMNS = 1024 };

struct pack_list_line {
	uint64_t number;   /* of the line in the list, from 1 */
	const char *path;  /* as written; this and the rest valid until the next call */
	const char *label; /* NULL: none */
	const char *meta;  /* a JSON object of the other columns; NULL: none */
};

struct pack_list;

/* in stays the caller's; name is what errors call the list. */
struct pack_list *pack_list_create(FILE *in, const char *name, struct error *err);
/* 1: a line; 0: the end; or a negative code. */
int pack_list_next(struct pack_list *list, struct pack_list_line *line, struct error *err);
void pack_list_destroy(struct pack_list *list); /* NULL is allowed */

#endif
