/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NT-Xent. The derivative of row i's loss with respect to s_ij is P_ij - [j = p(i)], P being the softmax of row i
 * without its diagonal: what it takes is gathered for the entropy anyway.
 */
#include "model/loss_internal.h"

#include <math.h>

#include "model/fast_exp.h"

static void ntxent_finish(const struct loss_call *call, uint32_t i, const struct loss_row *row)
{
	struct contrastive_loss *loss = call->loss;
	loss->row_max[i] = row->max;
	loss->row_inverse[i] = (float)(1 / row->exp_sum);
	/* P - 1 of a pair that is well matched would lose every digit in float32. */
	loss->row_pull[i] = (float)((row->exp_sum - (double)fast_exp(row->positive - row->max)) / row->exp_sum);
	loss->row_loss[i] = (double)row->max - (double)row->positive + log(row->exp_sum);
}

static void ntxent_coefficients(const struct loss_call *call, uint32_t i, float *s, uint32_t left, uint32_t width)
{
	const float *restrict column_max = call->loss->row_max + left;
	const float *restrict column_inverse = call->loss->row_inverse + left;
	float own_max = call->loss->row_max[i], own_inverse = call->loss->row_inverse[i];
	for (uint32_t c = 0; c < width; c++)
		s[c] = fast_exp(s[c] - own_max) * own_inverse + fast_exp(s[c] - column_max[c]) * column_inverse[c];
}

const struct loss_kernel loss_ntxent = {
	.name = "NT-Xent",
	.finish = ntxent_finish,
	.coefficients = ntxent_coefficients,
};
