/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing heap of bytes that need not stay in memory: appended to an unlinked temporary file, read back through a
 * mapping whose pages the kernel may drop. What stays small (SPILL_BUFFER_BYTES) never touches the disk.
 */
#ifndef RINGCLR_IO_SPILL_H
#define RINGCLR_IO_SPILL_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"

enum { SPILL_BUFFER_BYTES = 1 << 20 };

struct spill;

/* folder: where the file is made once it is needed; copied. */
struct spill *spill_create(const char *folder, struct error *err);
void spill_destroy(struct spill *spill); /* NULL is allowed */

/* *place (may be NULL): where it begins in what spill_map() gives. Full disk: ERROR_IO naming the folder. */
int spill_append(struct spill *spill, const void *data, size_t bytes, uint64_t *place, struct error *err);
uint64_t spill_bytes(const struct spill *spill);

/* All of it, from place 0, until the next append; NULL on failure. (An empty one is not NULL.) */
const unsigned char *spill_map(struct spill *spill, struct error *err);

/* Forgets everything. */
void spill_clear(struct spill *spill);

#endif
