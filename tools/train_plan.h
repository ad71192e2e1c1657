/* SPDX-License-Identifier: Apache-2.0 */
/* What a run that is set up comes to: memory by class, parameters, work, and how long it will take. */
#ifndef RINGCLR_TOOLS_TRAIN_PLAN_H
#define RINGCLR_TOOLS_TRAIN_PLAN_H

#include <stdint.h>

#include "pipeline/error.h"

struct train_job;

struct train_plan {
	uint64_t parameters;
	uint64_t view_flops; /* forward and backward of one view */
	uint64_t step_flops, epoch_flops;
	uint64_t images_per_epoch, steps_per_epoch;
	uint64_t first_step, end_step;	   /* of the run; first is not 0 when it goes on from a checkpoint */
	uint64_t total_bytes, limit_bytes; /* limit 0: none */
	uint64_t machine_bytes, available_bytes;
	/* The prediction: timed_steps steps of timed_rows views took step_s each, brought to all of a step's. */
	uint32_t views; /* of an image */
	uint32_t rows, timed_rows;
	unsigned timed_steps;
	double step_s;
};

/* Counts, and predicts: runs a few steps of the net on random input, whose weights and batch ring it spoils. */
int train_plan_make(struct train_job *job, struct train_plan *plan, struct error *err);

/* On stdout; the result is an exit code. */
int train_plan_print(const struct train_job *job, const struct train_plan *plan);
int train_plan_json(const struct train_job *job, const struct train_plan *plan);

/* ERROR_MEMORY when the plan is over --mem. */
int train_plan_check(const struct train_job *job, const struct train_plan *plan, struct error *err);

/* A few lines on stderr, for a run that starts. */
void train_plan_summary(const struct train_job *job);

#endif
