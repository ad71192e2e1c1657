/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task takes QUERY_TILE queries and walks the bank in tiles of BANK_TILE rows: one sgemm gives the products, the
 * rows' inverse norms make cosines of them. Each query keeps up to 2 k candidates. When they are full, a quickselect
 * leaves the k best, and from then on only what beats the worst of them enters. The order (similarity downwards, then
 * row upwards) is total, so the k nearest do not depend on how they were found.
 */
#include "model/neighbours.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "model/blas.h"

enum { QUERY_TILE = 64, BANK_TILE = 512, NORM_TASK = 1024 };

/* Of a row: the product of two is a finite float32. */
#define LENGTH_MOST 1e18

struct query {
	struct neighbour *best; /* [2 k] */
	size_t count;
	float floor; /* what a newcomer must exceed: the worst of the k best as of the last selection */
};

struct scratch {		      /* of one thread */
	float *tile;		      /* [QUERY_TILE][BANK_TILE] */
	struct neighbour *candidates; /* [QUERY_TILE][2 k] */
};

struct rows {
	const float *features; /* [count][dim] */
	size_t count;
	unsigned dim;
	float *inverse; /* 1 / |row| */
};

struct search {
	struct rows bank, queries;
	size_t k;
	neighbours_see *see;
	void *ctx;
	struct scratch *scratch; /* [threads] */
};

static bool nearer(struct neighbour a, struct neighbour b)
{
	return a.similarity > b.similarity || (a.similarity == b.similarity && a.row < b.row);
}

static int compare(const void *a, const void *b)
{
	return nearer(*(const struct neighbour *)a, *(const struct neighbour *)b) ? -1 : 1;
}

/* Moves the k nearest of list[0..count) to its front, in no particular order. 0 < k < count. */
static void select_nearest(struct neighbour *list, size_t count, size_t k)
{
	size_t low = 0, high = count - 1;
	while (low < high) {
		struct neighbour pivot = list[low + (high - low) / 2];
		size_t i = low, j = high;
		for (;;) {
			while (nearer(list[i], pivot))
				i++;
			while (nearer(pivot, list[j]))
				j--;
			if (i >= j)
				break;
			struct neighbour swap = list[i];
			list[i++] = list[j];
			list[j--] = swap;
		}
		/* list[low..j] are not farther than pivot, list[j + 1..high] not nearer. */
		if (k <= j)
			high = j;
		else
			low = j + 1;
	}
}

/* The k nearest of what the query holds, to the front. */
static void query_select(struct query *query, size_t k)
{
	if (query->count <= k)
		return;
	select_nearest(query->best, query->count, k);
	query->count = k;
	query->floor = query->best[0].similarity;
	for (size_t i = 1; i < k; i++)
		query->floor = query->best[i].similarity < query->floor ? query->best[i].similarity : query->floor;
}

/* products: [width] of the query with bank rows left.. */
static void query_update(const struct search *search, struct query *query, float query_inverse, const float *products,
	size_t left, size_t width)
{
	const float *bank_inverse = search->bank.inverse + left;
	for (size_t c = 0; c < width; c++) {
		float similarity = products[c] * bank_inverse[c] * query_inverse;
		/* Equal to the floor is not enough: every candidate has a lower row. */
		if (!(similarity > query->floor))
			continue;
		query->best[query->count++] = (struct neighbour){similarity, (uint32_t)(left + c)};
		if (query->count == 2 * search->k)
			query_select(query, search->k);
	}
}

static void search_task(void *ctx, size_t task, unsigned thread)
{
	const struct search *search = ctx;
	const struct rows *bank = &search->bank;
	const struct scratch *scratch = &search->scratch[thread];
	int dim = (int)bank->dim;
	size_t first = task * QUERY_TILE, rest = search->queries.count - first;
	size_t queries = rest < QUERY_TILE ? rest : QUERY_TILE;
	const float *rows = search->queries.features + first * bank->dim;
	struct query query[QUERY_TILE];
	for (size_t q = 0; q < queries; q++)
		query[q] = (struct query){.best = scratch->candidates + q * 2 * search->k, .floor = -INFINITY};
	for (size_t left = 0; left < bank->count; left += BANK_TILE) {
		size_t width = bank->count - left < BANK_TILE ? bank->count - left : BANK_TILE;
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)queries, (int)width, dim, 1, rows, dim,
			bank->features + left * bank->dim, dim, 0, scratch->tile, BANK_TILE);
		for (size_t q = 0; q < queries; q++)
			query_update(search, &query[q], search->queries.inverse[first + q],
				scratch->tile + q * BANK_TILE, left, width);
	}
	for (size_t q = 0; q < queries; q++) {
		query_select(&query[q], search->k);
		qsort(query[q].best, search->k, sizeof *query[q].best, compare);
		search->see(search->ctx, first + q, query[q].best, thread);
	}
}

static void norm_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct rows *rows = ctx;
	size_t end = (task + 1) * NORM_TASK;
	end = end < rows->count ? end : rows->count;
	for (size_t row = task * NORM_TASK; row < end; row++) {
		const float *x = rows->features + row * rows->dim;
		double sum = 0;
		for (unsigned c = 0; c < rows->dim; c++)
			sum += (double)x[c] * (double)x[c];
		double norm = sqrt(sum);
		rows->inverse[row] = norm < LENGTH_MOST ? (float)(1 / (norm < 1e-12 ? 1e-12 : norm)) : NAN;
	}
}

static int rows_measure(struct rows *rows, struct team *team, const char *name, struct error *err)
{
	rows->inverse = malloc(rows->count * sizeof(float));
	if (!rows->inverse)
		return error_set(err, ERROR_MEMORY, "knn: no memory for the norms of %zu rows", rows->count);
	team_for(team, (rows->count + NORM_TASK - 1) / NORM_TASK, norm_task, rows);
	for (size_t row = 0; row < rows->count; row++)
		if (!isfinite(rows->inverse[row]))
			return error_set(err, ERROR_NUMERIC,
				"knn: the features of record %zu of the %s set are not finite, or over 1e18", row,
				name);
	return 0;
}

static void scratch_destroy(struct scratch *scratch, unsigned threads)
{
	for (unsigned t = 0; scratch && t < threads; t++) {
		free(scratch[t].tile);
		free(scratch[t].candidates);
	}
	free(scratch);
}

/* *scratch is scratch_destroy()'s also after a failure. */
static int scratch_create(struct scratch **scratch, unsigned threads, size_t k, struct error *err)
{
	*scratch = calloc(threads, sizeof **scratch);
	bool complete = *scratch != NULL;
	for (unsigned t = 0; complete && t < threads; t++) {
		struct scratch *own = &(*scratch)[t];
		own->tile = calloc((size_t)QUERY_TILE * BANK_TILE, sizeof(float));
		own->candidates = calloc((size_t)QUERY_TILE * 2 * k, sizeof(struct neighbour));
		complete = own->tile && own->candidates;
	}
	return complete ? 0 : error_set(err, ERROR_MEMORY, "knn: no memory for %u threads with k = %zu", threads, k);
}

int neighbours_find(struct team *team, unsigned dim, const float *bank, size_t bank_count, const float *queries,
	size_t query_count, unsigned k, neighbours_see *see, void *ctx, struct error *err)
{
	if (k == 0 || k > bank_count || bank_count > UINT32_MAX)
		return error_set(err, ERROR_USAGE, "knn: k = %u of a bank of %zu rows, which must be fewer than 2^32",
			k, bank_count);
	int code = blas_prepare(err);
	if (code != 0)
		return code;
	unsigned threads = team_threads(team);
	struct search search = {.bank = {.features = bank, .count = bank_count, .dim = dim},
		.queries = {.features = queries, .count = query_count, .dim = dim},
		.k = k,
		.see = see,
		.ctx = ctx};
	code = rows_measure(&search.bank, team, "train", err);
	if (code == 0)
		code = rows_measure(&search.queries, team, "test", err);
	if (code == 0)
		code = scratch_create(&search.scratch, threads, k, err);
	if (code == 0)
		team_for(team, (query_count + QUERY_TILE - 1) / QUERY_TILE, search_task, &search);
	free(search.bank.inverse);
	free(search.queries.inverse);
	scratch_destroy(search.scratch, threads);
	return code;
}

int32_t neighbours_vote(const struct neighbour *nearest, unsigned k, const int32_t *labels, unsigned classes,
	double temperature, double *votes)
{
	for (unsigned c = 0; c < classes; c++)
		votes[c] = 0;
	/* Relative to the nearest: the same ranks, and no overflow at low temperatures. */
	for (unsigned i = 0; i < k; i++)
		votes[labels[nearest[i].row]] +=
			exp(((double)nearest[i].similarity - (double)nearest[0].similarity) / temperature);
	unsigned best = 0;
	for (unsigned c = 1; c < classes; c++)
		best = votes[c] > votes[best] ? c : best;
	return (int32_t)best;
}
