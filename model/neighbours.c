/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task takes QUERY_TILE queries and walks the bank in tiles of BANK_TILE rows, one sgemm each. A query keeps its k
 * best so far sorted; a newcomer that beats the last is put in its place. After the first few tiles that is rare.
 */
#include "model/neighbours.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "model/blas.h"

enum { QUERY_TILE = 64, BANK_TILE = 512 };

struct find_call {
	const float *bank, *queries;
	size_t bank_count, query_count;
	unsigned dim, k;
	uint32_t *index;
	float *similarity;
	float *tiles; /* [threads][QUERY_TILE][BANK_TILE] */
};

int neighbours_normalize(float *rows, size_t count, unsigned dim, struct error *err)
{
	for (size_t row = 0; row < count; row++) {
		float *x = rows + row * dim;
		double sum = 0;
		for (unsigned c = 0; c < dim; c++)
			sum += (double)x[c] * (double)x[c];
		if (!isfinite(sum))
			return error_set(err, ERROR_NUMERIC, "the features of image %zu are not finite", row);
		double scale = sum > 0 ? 1 / sqrt(sum) : 0;
		for (unsigned c = 0; c < dim; c++)
			x[c] = (float)((double)x[c] * scale);
	}
	return 0;
}

/* Rows come in rising order, so an equal one belongs behind. filled: how many of the k places are. */
static void enter(uint32_t *index, float *similarity, unsigned k, size_t filled, uint32_t row, float value)
{
	size_t low = 0, high = filled;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (similarity[middle] >= value)
			low = middle + 1;
		else
			high = middle;
	}
	if (low >= k)
		return;
	size_t moved = (filled < k ? filled : k - 1) - low;
	memmove(index + low + 1, index + low, moved * sizeof *index);
	memmove(similarity + low + 1, similarity + low, moved * sizeof *similarity);
	index[low] = row;
	similarity[low] = value;
}

static void find_task(void *ctx, size_t task, unsigned thread)
{
	const struct find_call *call = ctx;
	size_t first = task * QUERY_TILE, rest = call->query_count - first;
	size_t queries = rest < QUERY_TILE ? rest : QUERY_TILE;
	float *tile = call->tiles + (size_t)thread * QUERY_TILE * BANK_TILE;
	for (size_t left = 0; left < call->bank_count; left += BANK_TILE) {
		size_t width = call->bank_count - left < BANK_TILE ? call->bank_count - left : BANK_TILE;
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)queries, (int)width, (int)call->dim, 1,
			call->queries + first * call->dim, (int)call->dim, call->bank + left * call->dim,
			(int)call->dim, 0, tile, BANK_TILE);
		for (size_t q = 0; q < queries; q++) {
			uint32_t *index = call->index + (first + q) * call->k;
			float *similarity = call->similarity + (first + q) * call->k;
			for (size_t c = 0; c < width; c++) {
				size_t filled = left + c < call->k ? left + c : call->k;
				float value = tile[q * BANK_TILE + c];
				if (filled < call->k || value > similarity[call->k - 1])
					enter(index, similarity, call->k, filled, (uint32_t)(left + c), value);
			}
		}
	}
}

int neighbours_find(struct team *team, const float *bank, size_t bank_count, const float *queries, size_t query_count,
	unsigned dim, unsigned k, uint32_t *index, float *similarity, struct error *err)
{
	if (k == 0 || k > bank_count || bank_count > UINT32_MAX)
		return error_set(err, ERROR_USAGE, "neighbours: k = %u of %zu rows", k, bank_count);
	if (blas_prepare(err) < 0)
		return err->code;
	struct find_call call = {.bank = bank,
		.queries = queries,
		.bank_count = bank_count,
		.query_count = query_count,
		.dim = dim,
		.k = k,
		.index = index,
		.similarity = similarity};
	call.tiles = malloc((size_t)team_threads(team) * QUERY_TILE * BANK_TILE * sizeof(float));
	if (!call.tiles)
		return error_set(err, ERROR_MEMORY, "neighbours: no memory for %u threads", team_threads(team));
	team_for(team, (query_count + QUERY_TILE - 1) / QUERY_TILE, find_task, &call);
	free(call.tiles);
	return 0;
}

int32_t neighbours_vote(const uint32_t *index, const float *similarity, unsigned k, const int32_t *labels,
	unsigned classes, double temperature, double *votes)
{
	for (unsigned c = 0; c < classes; c++)
		votes[c] = 0;
	/* Relative to the nearest: the same ranks, and no overflow at low temperatures. */
	for (unsigned i = 0; i < k; i++)
		votes[labels[index[i]]] += exp(((double)similarity[i] - (double)similarity[0]) / temperature);
	unsigned best = 0;
	for (unsigned c = 1; c < classes; c++)
		best = votes[c] > votes[best] ? c : best;
	return (int32_t)best;
}
