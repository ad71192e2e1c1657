/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 4: batch ring -> gradient ring. Forward of all views through encoder and head, the loss, backward; each
 * parameter's gradient goes to the optimizer as soon as backward has completed it.
 *
 * With a contrastive loss an image has two views, each the other's target. With cross-entropy it has one, and the head
 * is a classifier whose logits are held against the image's label.
 */
#ifndef RINGCLR_STAGES_FORWARD_BACKWARD_H
#define RINGCLR_STAGES_FORWARD_BACKWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "model/cross_entropy.h"
#include "model/loss.h"
#include "model/net.h"
#include "model/schedule.h"
#include "pipeline/graph.h"
#include "stages/loader.h"
#include "stages/online_probe.h"
#include "stages/report.h"

/* Where a run stands: all that a checkpoint must hold besides tensors. */
struct train_progress {
	uint64_t step;	       /* steps done */
	double epoch_loss_sum; /* over the steps of the epoch so far */
	double epoch_accuracy_sum;
	double epoch_entropy_sum, epoch_alignment_sum, epoch_uniformity_sum; /* NAN: not known */
	uint64_t epoch_probe_hits, epoch_probe_rows;			     /* of the online probe, likewise */
};

/* What the owner of the run does between two steps: evaluate, save. All weights are at rest. */
struct train_boundary {
	uint64_t checkpoint_steps; /* a boundary every so many steps, besides every epoch's end; 0: epochs only */
	/* report: filled in when the epoch ends here (knn, linear); it is published afterwards. */
	int (*evaluate)(
		void *ctx, const struct train_progress *progress, struct report_item *report, struct error *err);
	/* Every report up to here has been written by the report stage. */
	int (*save)(void *ctx, const struct train_progress *progress, struct error *err);
	void *ctx;
};

struct forward_backward_stage {
	struct loader *loader;
	struct net *net;
	struct team *team;
	struct loss_config loss_config;
	struct contrastive_loss *loss;	     /* of a contrastive kind, else NULL */
	struct cross_entropy *cross_entropy; /* of that kind, else NULL */
	struct online_probe *probe;	     /* NULL: none */
	uint32_t batch;			     /* N images */
	uint32_t views;			     /* of an image */
	float *dz;			     /* [views * batch][output_dim] */
	const struct schedule *schedule;
	struct ring *gradients; /* out: number step * parameters + i is the i-th gradient of net_backward_order() */
	struct ring *reports;	/* out */
	uint64_t next_report;	/* number of the next report */
	uint64_t end_step;
	uint64_t epoch_steps;
	struct train_progress progress;
	struct train_boundary boundary;
	bool (*stopped)(void); /* asked after each step: true ends the run there, at a boundary; may be NULL */
};

/* The arithmetic of one step on `rows` views, x: [rows][size][size][3], first views before second ones; rows is a
 * multiple of views and at most views * batch. labels: [rows], for cross-entropy alone. Needs net, team, dz and the
 * loss that loss_config names. announce as net_backward()'s fn; rate is for the message of a loss that is not finite
 * (ERROR_NUMERIC). */
int forward_backward_compute(struct forward_backward_stage *stage, const float *x, const int32_t *labels, uint32_t rows,
	double rate, net_grad_fn *announce, void *ctx, struct loss_result *loss, struct error *err);

int forward_backward_run(void *ctx, struct worker *worker);

#endif
