/* SPDX-License-Identifier: Apache-2.0 */
/* A ResNet's forward pass and loss in float64, from the same parameters, written as plainly as it can be. */
#ifndef RINGCLR_TESTS_HELPER_NET64_H
#define RINGCLR_TESTS_HELPER_NET64_H

#include "model/net.h"

struct net64 {
	struct net *net;
	struct net_config config; /* stem resolved; max_rows is the batch */
};

/* Replaces a parameter by value + step * direction. */
struct net64_move {
	const struct param *param;
	const float *direction;
	double step;
};

/* sum of (z - target)^2 / (2 rows), BN over the batch. move may be NULL. */
double net64_loss(const struct net64 *twin, const float *x, const float *target, const struct net64_move *move);

#endif
