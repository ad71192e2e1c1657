/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fork-join team that kernels run on: the caller and threads - 1 pinned helpers.
 *
 * team_for() runs fn once for each task number 0..tasks-1, in any order on any thread, and returns when all are done.
 * Tasks are a property of the work (fixed tile sizes), never of the number of threads; each writes its own outputs or
 * its own partial sum, and partial sums are added in task order afterwards. That is why results are the same bits for
 * any team.
 */
#ifndef RINGCLR_PIPELINE_TEAM_H
#define RINGCLR_PIPELINE_TEAM_H

#include <stddef.h>

#include "pipeline/error.h"
#include "pipeline/placement.h"

struct team;

typedef void team_fn(void *ctx, size_t task, unsigned thread);

/* threads >= 1. placement may be NULL (threads float). The calling thread becomes thread 0 of each team_for it calls.
 */
struct team *team_create(unsigned threads, struct placement *placement, struct error *err);
void team_destroy(struct team *team); /* joins the helpers; NULL is allowed */

unsigned team_threads(const struct team *team);

/* Only one thread at a time may call this on one team; fn must not call it again on the same team. */
void team_for(struct team *team, size_t tasks, team_fn *fn, void *ctx);

#endif
