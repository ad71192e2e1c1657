/* SPDX-License-Identifier: Apache-2.0 */
/* Contrastive losses, their gradient and their metrics by their definitions, with whole matrices, in float64. */
#ifndef RINGCLR_TESTS_HELPER_LOSS64_H
#define RINGCLR_TESTS_HELPER_LOSS64_H

#include "model/loss.h"

/* z, gradient: [rows][dim]. *edge: the least distance of a similarity from where the loss, or its derivative, jumps. */
struct loss_result helper_loss64(
	const struct loss_config *config, size_t rows, size_t dim, const double *z, double *gradient, double *edge);

double helper_softplus(double x); /* log(1 + exp(x)) */

#endif
