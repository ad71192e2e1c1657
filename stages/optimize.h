/* SPDX-License-Identifier: Apache-2.0 */
/* Stage 5: gradient ring -> weights. Updates each parameter as its gradient arrives, while backward goes on. */
#ifndef RINGCLR_STAGES_OPTIMIZE_H
#define RINGCLR_STAGES_OPTIMIZE_H

#include "model/net.h"
#include "model/optimizer.h"
#include "model/schedule.h"
#include "pipeline/graph.h"
#include "pipeline/ring.h"

struct optimize_stage {
	struct net *net;
	struct optimizer *optimizer;
	const struct schedule *schedule;
	struct ring *gradients; /* in */
};

int optimize_run(void *ctx, struct worker *worker);

#endif
