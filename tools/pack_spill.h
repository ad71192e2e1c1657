/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that belong to many records and need not be in memory: keys and metadata of millions of images, images that
 * wait for their turn. An unnamed temporary file in a folder of the caller's choice: it vanishes with the program,
 * however that ends. Appending is buffered; reading goes through a read-only mapping, whose pages are the kernel's to
 * drop.
 */
#ifndef RINGCLR_TOOLS_PACK_SPILL_H
#define RINGCLR_TOOLS_PACK_SPILL_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"

struct pack_spill;

/* In the folder that `beside` lies or will lie in. The folder is named in messages. */
struct pack_spill *pack_spill_create(const char *beside, struct error *err);
void pack_spill_destroy(struct pack_spill *spill); /* NULL is allowed */

/* Appends; *place (may be NULL) is where the bytes begin. A place is never 0. */
int pack_spill_add(struct pack_spill *spill, const void *data, size_t bytes, uint64_t *place, struct error *err);

/* Makes everything appended so far readable. Pointers of earlier calls of pack_spill_at() end. */
int pack_spill_map(struct pack_spill *spill, struct error *err);

/* Bytes at a place that was appended before the last pack_spill_map(). Any thread. */
const void *pack_spill_at(const struct pack_spill *spill, uint64_t place);

/* Reads without the mapping, for bytes that are wanted once; they must have been appended before the last
 * pack_spill_map(). Any thread. */
int pack_spill_read(const struct pack_spill *spill, uint64_t place, void *data, size_t bytes, struct error *err);

#endif
