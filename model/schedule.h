/* SPDX-License-Identifier: Apache-2.0 */
/* The learning rate at every step: linear warm-up, then half a cosine (RECIPE: Optimizer and schedule). */
#ifndef RINGCLR_MODEL_SCHEDULE_H
#define RINGCLR_MODEL_SCHEDULE_H

#include <stdint.h>

#include "pipeline/error.h"

enum schedule_scaling { SCHEDULE_LINEAR /* lr B/256 */, SCHEDULE_SQRT /* lr sqrt(B) */, SCHEDULE_CONSTANT /* lr */ };

struct schedule {
	double peak;	       /* rate after warm-up, scaled by batch */
	uint64_t warmup_steps; /* W = round(warmup_epochs n / B), n and B as integers: python's round(w * n // B) */
	uint64_t total_steps;  /* T = n epochs / B + 1 */
};

void schedule_init(struct schedule *schedule, double rate, enum schedule_scaling scaling, uint64_t batch,
	uint64_t images, double epochs, double warmup_epochs);

/* s < W: peak s / W; then peak 0.5 (1 + cos(pi (s - W) / (T - W))); 0 from T on. */
double schedule_rate(const struct schedule *schedule, uint64_t step);

int schedule_parse_scaling(
	const char *text, enum schedule_scaling *scaling, struct error *err); /* linear, sqrt, constant */

#endif
