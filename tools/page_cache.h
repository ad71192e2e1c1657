/* SPDX-License-Identifier: Apache-2.0 */
/* How much of files lies in the kernel's page cache. */
#ifndef RINGCLR_TOOLS_PAGE_CACHE_H
#define RINGCLR_TOOLS_PAGE_CACHE_H

#include "io/shard.h"

/* Share (0..1) of the shards' bytes that the next reads need no disk for, as mincore(2) says; -1: it does not. */
double page_cache_share(const struct shard_set *set);

#endif
