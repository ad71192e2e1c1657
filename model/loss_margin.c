/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The margin loss over triplets of a row, its positive and a negative. A triplet whose negative is the margin farther
 * than the positive, or more, is done with; the derivative of any other is 1 by its c_in and -1 by its c_ip. Distances
 * are compared as s, with m / t; the loss comes back to units of c by t.
 */
#include "model/loss_internal.h"

static void margin_add(const struct loss_call *call, uint32_t i, const float *s, uint32_t count, struct loss_row *row)
{
	float positive = call->loss->row_positive[i], limit = call->loss->row_limit[i], reach = call->reach;
	_Alignas(64) float taken[LOSS_COLUMN_TILE], excess[LOSS_COLUMN_TILE];
	for (uint32_t c = 0; c < count; c++) {
		taken[c] = loss_takes(s[c], positive, limit, reach);
		excess[c] = taken[c] != 0.0f ? s[c] - positive + reach : 0.0f;
	}
	row->negative_sum += loss_sum(excess, count);
	row->taken += loss_sum(taken, count);
}

static void margin_finish(const struct loss_call *call, uint32_t i, const struct loss_row *row)
{
	struct contrastive_loss *loss = call->loss;
	double weight = loss_negative_weight(call, row);
	loss->row_weight[i] = (float)weight;
	loss->row_pull[i] = (float)(row->taken * weight);
	loss->row_loss[i] = row->negative_sum * weight * loss->config.temperature;
}

static void margin_coefficients(const struct loss_call *call, uint32_t i, float *s, uint32_t left, uint32_t width)
{
	const struct contrastive_loss *loss = call->loss;
	const float *restrict positive = loss->row_positive + left, *restrict limit = loss->row_limit + left;
	const float *restrict weight = loss->row_weight + left;
	float own_positive = loss->row_positive[i], own_limit = loss->row_limit[i], own_weight = loss->row_weight[i];
	float reach = call->reach;
	for (uint32_t c = 0; c < width; c++)
		s[c] = own_weight * loss_takes(s[c], own_positive, own_limit, reach) +
		       weight[c] * loss_takes(s[c], positive[c], limit[c], reach);
}

const struct loss_kernel loss_margin = {
	.name = "margin",
	.by_similarity = true,
	.has_reach = true,
	.add = margin_add,
	.finish = margin_finish,
	.coefficients = margin_coefficients,
};
