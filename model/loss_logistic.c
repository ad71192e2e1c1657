/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NT-Logistic. -log sigma(-s) = log(1 + exp(s)) = max(s, 0) + log(1 + exp(-|s|)). The logarithms of a row's part of a
 * tile are taken together: their sum is the logarithm of the product of numbers from 1 to 2, and a double holds the
 * product of a whole tile's width of those. The derivative with respect to s is sigma(s).
 */
#include "model/loss_internal.h"

#include <float.h>
#include <math.h>

#include "model/fast_exp.h"

_Static_assert(LOSS_COLUMN_TILE < DBL_MAX_EXP, "a double holds the product of a tile's width of numbers up to 2");

static void logistic_add(const struct loss_call *call, uint32_t i, const float *s, uint32_t count, struct loss_row *row)
{
	float positive = call->loss->row_positive[i], limit = call->loss->row_limit[i], reach = call->reach;
	_Alignas(64) float taken[LOSS_COLUMN_TILE], linear[LOSS_COLUMN_TILE], decay[LOSS_COLUMN_TILE];
	for (uint32_t c = 0; c < count; c++) {
		float takes = loss_takes(s[c], positive, limit, reach);
		taken[c] = takes;
		linear[c] = takes != 0.0f && s[c] > 0.0f ? s[c] : 0.0f;
		decay[c] = takes * fast_exp(-fabsf(s[c]));
	}
	double lane[LOSS_LANES], product = 1;
	for (unsigned l = 0; l < LOSS_LANES; l++)
		lane[l] = 1;
	for (uint32_t c = 0; c < count; c += LOSS_LANES)
		for (unsigned l = 0; l < LOSS_LANES; l++)
			lane[l] *= 1 + (double)decay[c + l];
	for (unsigned l = 0; l < LOSS_LANES; l++)
		product *= lane[l];
	row->negative_sum += loss_sum(linear, count) + log(product);
	row->taken += loss_sum(taken, count);
}

static void logistic_finish(const struct loss_call *call, uint32_t i, const struct loss_row *row)
{
	struct contrastive_loss *loss = call->loss;
	double s = (double)loss->row_positive[i], weight = loss_negative_weight(call, row);
	double decay = exp(-fabs(s));
	loss->row_weight[i] = (float)weight;
	loss->row_pull[i] = (float)((s > 0 ? decay : 1) / (1 + decay));
	loss->row_loss[i] = (s > 0 ? 0 : -s) + log1p(decay) + row->negative_sum * weight;
}

static void logistic_coefficients(const struct loss_call *call, uint32_t i, float *s, uint32_t left, uint32_t width)
{
	const struct contrastive_loss *loss = call->loss;
	const float *restrict positive = loss->row_positive + left, *restrict limit = loss->row_limit + left;
	const float *restrict weight = loss->row_weight + left;
	float own_positive = loss->row_positive[i], own_limit = loss->row_limit[i], own_weight = loss->row_weight[i];
	float reach = call->reach;
	for (uint32_t c = 0; c < width; c++) {
		float decay = fast_exp(-fabsf(s[c]));
		float sigma = (s[c] > 0.0f ? 1.0f : decay) / (1.0f + decay);
		float own = own_weight * loss_takes(s[c], own_positive, own_limit, reach);
		s[c] = sigma * (own + weight[c] * loss_takes(s[c], positive[c], limit[c], reach));
	}
}

const struct loss_kernel loss_logistic = {
	.name = "NT-Logistic",
	.add = logistic_add,
	.finish = logistic_finish,
	.coefficients = logistic_coefficients,
};
