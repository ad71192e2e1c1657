/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where threads run: hwloc's view of the processors that the cpuset allows.
 *
 * `auto` pins the compute team's threads each to a processor of its own (one per core first, then the second hardware
 * threads) and lets every other thread float over the cpuset, or gives it a processor of its own while there are spare
 * ones. `none` pins nothing. A LIST ("0,2,4-7") is used in order, compute threads first, and wraps around.
 */
#ifndef RINGCLR_PIPELINE_PLACEMENT_H
#define RINGCLR_PIPELINE_PLACEMENT_H

#include "pipeline/error.h"

struct placement;

/* spec: "auto", "none" or a list. ERROR_USAGE for a list that does not parse or names a processor outside the cpuset.
 */
struct placement *placement_create(const char *spec, struct error *err);
void placement_destroy(struct placement *placement); /* NULL is allowed */

enum placement_kind { PLACEMENT_COMPUTE, PLACEMENT_OTHER };

/* Reserves a processor for the next thread of that kind; -1: the thread floats. Call from one thread. */
int placement_next(struct placement *placement, enum placement_kind kind);

/* Gives back one reservation that placement_next() made; cpu -1 does nothing. */
void placement_release(struct placement *placement, enum placement_kind kind, int cpu);

/* Pins the calling thread; with cpu -1 lets it float over the cpuset, also when the thread that started it was pinned.
 * Failure to pin is not an error. */
void placement_pin_self(const struct placement *placement, int cpu);

#endif
