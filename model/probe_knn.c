/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weighted k-nearest-neighbour vote by cosine similarity.
 *
 * A task takes QUERY_TILE test rows and walks the bank in tiles of BANK_TILE rows: one sgemm gives the products, the
 * rows' inverse norms make cosines of them. Each query keeps up to 2 k candidates. When they are full, a quickselect
 * leaves the k best, and from then on only what beats the worst of them enters. The order (similarity downwards, then
 * index upwards) is total, so the k nearest do not depend on how they were found.
 */
#include "model/probe_internal.h"
#include "model/blas.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { QUERY_TILE = 64, BANK_TILE = 512, NORM_TASK = 1024 };

struct candidate {
	float similarity;
	uint32_t index;
};

struct query {
	struct candidate *best; /* [2 k] */
	size_t count;
	float floor; /* what a newcomer must exceed: the worst of the k best as of the last selection */
};

struct scratch {		      /* of one thread */
	float *tile;		      /* [QUERY_TILE][BANK_TILE] */
	struct candidate *candidates; /* [QUERY_TILE][2 k] */
	double *votes;		      /* [classes] */
};

struct call {
	const struct probe_data *bank, *test;
	unsigned dim, classes;
	size_t k;
	double temperature;
	float *bank_inverse, *test_inverse; /* 1 / |row| */
	struct scratch *scratch;	    /* [threads] */
	unsigned char *ahead;		    /* [test count], classes ahead of the true one, at most 255 */
};

static bool nearer(struct candidate a, struct candidate b)
{
	return a.similarity > b.similarity || (a.similarity == b.similarity && a.index < b.index);
}

/* Moves the k nearest of list[0..count) to its front, in no particular order. 0 < k < count. */
static void select_nearest(struct candidate *list, size_t count, size_t k)
{
	size_t low = 0, high = count - 1;
	while (low < high) {
		struct candidate pivot = list[low + (high - low) / 2];
		size_t i = low, j = high;
		for (;;) {
			while (nearer(list[i], pivot))
				i++;
			while (nearer(pivot, list[j]))
				j--;
			if (i >= j)
				break;
			struct candidate swap = list[i];
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
static void query_update(const struct call *call, struct query *query, float query_inverse, const float *products,
	size_t left, size_t width)
{
	const float *bank_inverse = call->bank_inverse + left;
	for (size_t c = 0; c < width; c++) {
		float similarity = products[c] * bank_inverse[c] * query_inverse;
		/* Equal to the floor is not enough: every candidate has a lower index. */
		if (!(similarity > query->floor))
			continue;
		query->best[query->count++] = (struct candidate){similarity, (uint32_t)(left + c)};
		if (query->count == 2 * call->k)
			query_select(query, call->k);
	}
}

/* Classes that are ahead of the true one; *foremost: the class with most votes, the lowest of equals. */
static unsigned char query_vote(
	const struct call *call, const struct query *query, unsigned label, double *votes, int32_t *foremost)
{
	float best = -INFINITY;
	unsigned ahead = 0;
	for (size_t i = 0; i < query->count; i++)
		best = query->best[i].similarity > best ? query->best[i].similarity : best;
	for (unsigned c = 0; c < call->classes; c++)
		votes[c] = 0;
	/* Relative to the nearest: the same ranks, and no overflow at low temperatures. */
	for (size_t i = 0; i < query->count; i++) {
		double distance = (double)query->best[i].similarity - (double)best;
		votes[call->bank->labels[query->best[i].index]] += exp(distance / call->temperature);
	}
	*foremost = 0;
	for (unsigned c = 1; c < call->classes; c++)
		*foremost = votes[c] > votes[*foremost] ? (int32_t)c : *foremost;
	if (votes[label] == 0)
		return UINT8_MAX;
	for (unsigned c = 0; c < call->classes; c++)
		ahead += c < label ? votes[c] >= votes[label] : votes[c] > votes[label];
	return ahead < UINT8_MAX ? (unsigned char)ahead : UINT8_MAX;
}

static void knn_task(void *ctx, size_t task, unsigned thread)
{
	const struct call *call = ctx;
	struct scratch *scratch = &call->scratch[thread];
	size_t first = task * QUERY_TILE, left_over = call->test->count - first;
	size_t queries = left_over < QUERY_TILE ? left_over : QUERY_TILE;
	struct query query[QUERY_TILE];
	for (size_t q = 0; q < queries; q++)
		query[q] = (struct query){.best = scratch->candidates + q * 2 * call->k, .floor = -INFINITY};
	for (size_t left = 0; left < call->bank->count; left += BANK_TILE) {
		size_t width = call->bank->count - left < BANK_TILE ? call->bank->count - left : BANK_TILE;
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)queries, (int)width, (int)call->dim, 1,
			call->test->features + first * call->dim, (int)call->dim,
			call->bank->features + left * call->dim, (int)call->dim, 0, scratch->tile, BANK_TILE);
		for (size_t q = 0; q < queries; q++)
			query_update(call, &query[q], call->test_inverse[first + q], scratch->tile + q * BANK_TILE,
				left, width);
	}
	for (size_t q = 0; q < queries; q++) {
		query_select(&query[q], call->k);
		unsigned label = (unsigned)call->test->labels[first + q];
		int32_t foremost;
		call->ahead[first + q] = query_vote(call, &query[q], label, scratch->votes, &foremost);
		if (call->test->predicted)
			call->test->predicted[first + q] = foremost;
	}
}

struct norm_call {
	const struct probe_data *data;
	unsigned dim;
	float *inverse; /* [count] */
};

static void norm_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct norm_call *call = ctx;
	size_t end = (task + 1) * NORM_TASK;
	end = end < call->data->count ? end : call->data->count;
	for (size_t row = task * NORM_TASK; row < end; row++) {
		const float *x = call->data->features + row * call->dim;
		double sum = 0;
		for (unsigned c = 0; c < call->dim; c++)
			sum += (double)x[c] * (double)x[c];
		double norm = sqrt(sum);
		call->inverse[row] = isfinite(norm) ? (float)(1 / (norm < 1e-12 ? 1e-12 : norm)) : NAN;
	}
}

/* *inverse: 1 / |row| of every row, the caller's to free. ERROR_NUMERIC when a row is not finite. */
static int inverse_norms(struct team *team, const struct probe_data *data, const char *name, unsigned dim,
	float **inverse, struct error *err)
{
	*inverse = malloc(data->count * sizeof(float));
	if (!*inverse)
		return error_set(err, ERROR_MEMORY, "knn: no memory for the norms of %zu rows", data->count);
	struct norm_call call = {.data = data, .dim = dim, .inverse = *inverse};
	team_for(team, (data->count + NORM_TASK - 1) / NORM_TASK, norm_task, &call);
	for (size_t row = 0; row < data->count; row++)
		if (!isfinite((*inverse)[row]))
			return error_set(err, ERROR_NUMERIC,
				"knn: the features of record %zu of the %s set are not finite", row, name);
	return 0;
}

static void scratch_destroy(struct scratch *scratch, unsigned threads)
{
	for (unsigned t = 0; scratch && t < threads; t++) {
		free(scratch[t].tile);
		free(scratch[t].candidates);
		free(scratch[t].votes);
	}
	free(scratch);
}

/* *scratch is scratch_destroy()'s also after a failure. */
static int scratch_create(struct scratch **scratch, unsigned threads, size_t k, unsigned classes, struct error *err)
{
	*scratch = calloc(threads, sizeof **scratch);
	bool complete = *scratch != NULL;
	for (unsigned t = 0; complete && t < threads; t++) {
		struct scratch *own = &(*scratch)[t];
		own->tile = calloc((size_t)QUERY_TILE * BANK_TILE, sizeof(float));
		own->candidates = calloc((size_t)QUERY_TILE * 2 * k, sizeof(struct candidate));
		own->votes = calloc(classes, sizeof(double));
		complete = own->tile && own->candidates && own->votes;
	}
	return complete ? 0 : error_set(err, ERROR_MEMORY, "knn: no memory for %u threads with k = %zu", threads, k);
}

static int check(const struct probe_data *bank, const struct probe_data *test, unsigned dim, unsigned classes,
	unsigned k, double temperature, struct error *err)
{
	if (dim == 0 || classes == 0 || k == 0 || !(temperature > 0))
		return error_set(err, ERROR_USAGE,
			"knn: %u features, %u classes, k = %u, temperature %g: all must be above 0", dim, classes, k,
			temperature);
	if (bank->count > UINT32_MAX)
		return error_set(err, ERROR_UNSUPPORTED, "knn: a bank of %zu rows: use fewer than 2^32", bank->count);
	int code = probe_check(bank, "train", classes, err);
	return code == 0 ? probe_check(test, "test", classes, err) : code;
}

int probe_knn(struct team *team, const struct probe_data *bank, const struct probe_data *test, unsigned dim,
	unsigned classes, unsigned k, double temperature, struct probe_score *score, struct error *err)
{
	int code = check(bank, test, dim, classes, k, temperature, err);
	if (code != 0)
		return code;
	code = blas_prepare(err);
	if (code != 0)
		return code;
	struct call call = {.bank = bank, .test = test, .dim = dim, .classes = classes, .temperature = temperature};
	call.k = k < bank->count ? k : bank->count;
	unsigned threads = team_threads(team);
	size_t top1 = 0, top5 = 0;
	code = inverse_norms(team, bank, "train", dim, &call.bank_inverse, err);
	if (code == 0)
		code = inverse_norms(team, test, "test", dim, &call.test_inverse, err);
	if (code == 0)
		code = scratch_create(&call.scratch, threads, call.k, classes, err);
	if (code != 0)
		goto out;
	call.ahead = malloc(test->count);
	if (!call.ahead) {
		code = error_set(err, ERROR_MEMORY, "knn: no memory for %zu answers", test->count);
		goto out;
	}
	team_for(team, (test->count + QUERY_TILE - 1) / QUERY_TILE, knn_task, &call);
	for (size_t i = 0; i < test->count; i++) {
		top1 += call.ahead[i] == 0;
		top5 += call.ahead[i] < 5;
	}
	*score = (struct probe_score){.top1 = 100 * (double)top1 / (double)test->count,
		.top5 = classes <= 5 ? 100 : 100 * (double)top5 / (double)test->count};
out:
	free(call.bank_inverse);
	free(call.test_inverse);
	scratch_destroy(call.scratch, threads);
	free(call.ahead);
	return code;
}
