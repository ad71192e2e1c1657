/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax cross-entropy of a classifier's logits against labels, value and gradient: the supervised loss. */
#ifndef RINGCLR_MODEL_CROSS_ENTROPY_H
#define RINGCLR_MODEL_CROSS_ENTROPY_H

#include <stdint.h>

#include "pipeline/arena.h"
#include "pipeline/error.h"
#include "pipeline/team.h"

struct cross_entropy_result {
	double loss;	 /* mean over the rows, nats */
	double accuracy; /* share of rows whose label is the first largest among the logits, by class */
};

struct cross_entropy; /* scratch for up to max_rows rows */

struct cross_entropy *cross_entropy_create(struct arena *arena, uint32_t max_rows, unsigned classes, struct error *err);

/* logits: [rows][classes]; labels: [rows], each from 0 to classes - 1. dlogits: [rows][classes], gradient of the loss
 * with respect to the logits. The loss is not finite when a logit is NaN or +inf, or the label's own is
 * -inf. The same bits for any team. */
void cross_entropy_forward_backward(struct cross_entropy *loss, struct team *team, const float *logits,
	const int32_t *labels, uint32_t rows, float *dlogits, struct cross_entropy_result *result);

/* The first largest of a row's logits: what the classifier says. */
unsigned cross_entropy_choice(const float *logits, unsigned classes);

#endif
