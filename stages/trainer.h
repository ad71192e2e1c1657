/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The training pipeline: the loader's stages, then
 *
 *   batch ring --forward_backward--> gradient ring --optimize--> weights
 *                                    report ring   --report-->   progress line, metrics.jsonl
 */
#ifndef RINGCLR_STAGES_TRAINER_H
#define RINGCLR_STAGES_TRAINER_H

#include "model/optimizer.h"
#include "pipeline/arena.h"
#include "stages/forward_backward.h"
#include "stages/optimize.h"
#include "stages/report.h"

struct trainer {
	struct forward_backward_stage forward_backward;
	struct optimize_stage optimize;
	struct report_stage report;
	struct graph graph; /* after trainer_run(): meters of all stages */
};

/* Draws rings and the loss's memory from the arena. The caller has filled in: forward_backward's loader, net, team,
 * loss_config, batch, views, schedule, end_step, epoch_steps, progress, boundary and stopped; optimize's optimizer;
 * report's files and quiet. The rest is set here. */
int trainer_prepare(struct trainer *trainer, struct arena *arena, struct error *err);

/* Trains from progress.step to end_step, or until stopped() says so. */
int trainer_run(struct trainer *trainer, struct placement *placement, struct error *err);

#endif
