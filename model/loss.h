/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NT-Xent (Chen et al. 2020, arXiv 2002.05709, equation 1 and Algorithm 1), value and gradient, in row tiles: never a
 * 2N x 2N matrix.
 */
#ifndef RINGCLR_MODEL_LOSS_H
#define RINGCLR_MODEL_LOSS_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/arena.h"
#include "pipeline/error.h"
#include "pipeline/team.h"

struct ntxent_result {
	double loss;	 /* mean over all 2N rows */
	double accuracy; /* share of rows whose positive is the first largest among the similarities, by column */
};

struct ntxent; /* scratch for up to max_rows rows, an even number */

struct ntxent *ntxent_create(struct arena *arena, uint32_t max_rows, unsigned dim, struct error *err);

/* z: [rows][dim], rows = 2N laid out as [all first views; all second views]; not normalised (this normalises).
 * dz: [rows][dim], gradient of the loss with respect to z. temperature > 0. The loss is not finite when z is not. A
 * norm below 1e-12 counts as 1e-12, as in torch.nn.functional.normalize. The same bits for any team. */
void ntxent_forward_backward(struct ntxent *loss, struct team *team, const float *z, uint32_t rows, double temperature,
	float *dz, struct ntxent_result *result);

#endif
