/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax regression over many rows: loss, gradient, score.
 *
 * The rows are cut into tiles of TILE_ROWS, the tiles into at most SLICES runs of neighbours. A slice is a task: it
 * walks its tiles and keeps its own sums, which are then added in slice order. Logits are kept as [classes][TILE_ROWS],
 * rows contiguous, so that what a few classes need is vector code across rows.
 *
 * All arithmetic is float64, each tile's features being widened first: with float32 products a line search cannot tell
 * two points apart long before the gradient is as small as L-BFGS is asked to make it.
 */
#include "model/probe_internal.h"
#include "model/blas.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { TILE_ROWS = 128, SLICES = 16 };

struct slice {
	double *features; /* [TILE_ROWS][dim], one tile's */
	double *logits;	  /* [classes][TILE_ROWS] */
	double *gradient; /* [classes * (dim + 1)] */
	double loss;	  /* sum, not mean */
	size_t top1, top5;
};

struct softmax {
	unsigned dim, classes;
	struct slice slice[SLICES];
};

struct call {
	struct softmax *softmax;
	const struct probe_data *data;
	const double *weights;
	size_t slices;
};

struct softmax *softmax_create(unsigned dim, unsigned classes, struct error *err)
{
	return softmax_create_in(NULL, dim, classes, err);
}

struct softmax *softmax_create_in(struct arena *arena, unsigned dim, unsigned classes, struct error *err)
{
	if (blas_prepare(err) < 0)
		return NULL;
	struct softmax *softmax = probe_alloc(arena, 1, sizeof *softmax, err);
	if (!softmax)
		return NULL;
	softmax->dim = dim;
	softmax->classes = classes;
	for (unsigned s = 0; s < SLICES; s++) {
		struct slice *slice = &softmax->slice[s];
		slice->features = probe_alloc(arena, (size_t)dim * TILE_ROWS, sizeof(double), err);
		slice->logits = probe_alloc(arena, (size_t)classes * TILE_ROWS, sizeof(double), err);
		slice->gradient = probe_alloc(arena, (size_t)classes * ((size_t)dim + 1), sizeof(double), err);
		if (slice->features && slice->logits && slice->gradient)
			continue;
		if (!arena)
			softmax_destroy(softmax);
		return NULL;
	}
	return softmax;
}

void softmax_destroy(struct softmax *softmax)
{
	if (!softmax)
		return;
	for (unsigned s = 0; s < SLICES; s++) {
		free(softmax->slice[s].features);
		free(softmax->slice[s].logits);
		free(softmax->slice[s].gradient);
	}
	free(softmax);
}

size_t softmax_weight_count(const struct softmax *softmax)
{
	return (size_t)softmax->classes * ((size_t)softmax->dim + 1);
}

size_t softmax_ridged_count(const struct softmax *softmax)
{
	return (size_t)softmax->classes * softmax->dim;
}

static size_t tile_count(size_t rows)
{
	return (rows + TILE_ROWS - 1) / TILE_ROWS;
}

static size_t slice_count(size_t rows)
{
	size_t tiles = tile_count(rows);
	return tiles < SLICES ? tiles : SLICES;
}

/* Rows of slice `task`: [*first, *end). */
static void slice_rows(const struct call *call, size_t task, size_t *first, size_t *end)
{
	size_t rows = call->data->count, tiles = tile_count(rows);
	*first = tiles * task / call->slices * TILE_ROWS;
	*end = tiles * (task + 1) / call->slices * TILE_ROWS;
	*end = *end < rows ? *end : rows;
}

/* Widens `rows` rows from `first` on and multiplies them by the weights. Columns of the logits past `rows` are left. */
static void tile_logits(const struct call *call, struct slice *slice, size_t first, unsigned rows)
{
	unsigned dim = call->softmax->dim, classes = call->softmax->classes;
	const double *bias = call->weights + (size_t)classes * dim;
	const float *features = call->data->features + first * dim;
	for (size_t i = 0; i < (size_t)rows * dim; i++)
		slice->features[i] = (double)features[i];
	for (unsigned c = 0; c < classes; c++)
		for (unsigned r = 0; r < rows; r++)
			slice->logits[(size_t)c * TILE_ROWS + r] = bias[c];
	cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)classes, (int)rows, (int)dim, 1, call->weights,
		(int)dim, slice->features, (int)dim, 1, slice->logits, TILE_ROWS);
}

/* logits become probabilities minus the one-hot labels; returns the sum of the cross-entropies. */
static double tile_softmax(double *restrict logits, const int32_t *labels, unsigned rows, unsigned classes)
{
	double largest[TILE_ROWS], sum[TILE_ROWS] = {0}, loss = 0;
	for (unsigned r = 0; r < rows; r++)
		largest[r] = logits[r];
	for (unsigned c = 1; c < classes; c++)
		for (unsigned r = 0; r < rows; r++) {
			double s = logits[(size_t)c * TILE_ROWS + r];
			largest[r] = s > largest[r] ? s : largest[r];
		}
	for (unsigned r = 0; r < rows; r++)
		loss += largest[r] - logits[(size_t)labels[r] * TILE_ROWS + r];
	for (unsigned c = 0; c < classes; c++)
		for (unsigned r = 0; r < rows; r++) {
			double e = exp(logits[(size_t)c * TILE_ROWS + r] - largest[r]);
			logits[(size_t)c * TILE_ROWS + r] = e;
			sum[r] += e;
		}
	for (unsigned r = 0; r < rows; r++) {
		loss += log(sum[r]);
		sum[r] = 1 / sum[r];
	}
	for (unsigned c = 0; c < classes; c++)
		for (unsigned r = 0; r < rows; r++)
			logits[(size_t)c * TILE_ROWS + r] *= sum[r];
	for (unsigned r = 0; r < rows; r++)
		logits[(size_t)labels[r] * TILE_ROWS + r] -= 1;
	return loss;
}

/* The class of the largest logit, the lowest of equals; -1 where one is not a number, as that makes no hit. */
static void tile_predict(const double *logits, int32_t *predicted, unsigned rows, unsigned classes)
{
	for (unsigned r = 0; r < rows; r++) {
		unsigned best = 0;
		bool numbers = true;
		for (unsigned c = 0; c < classes; c++) {
			numbers = numbers && !isnan(logits[(size_t)c * TILE_ROWS + r]);
			if (logits[(size_t)c * TILE_ROWS + r] > logits[(size_t)best * TILE_ROWS + r])
				best = c;
		}
		predicted[r] = numbers ? (int32_t)best : -1;
	}
}

static void gradient_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct call *call = ctx;
	struct slice *slice = &call->softmax->slice[task];
	unsigned dim = call->softmax->dim, classes = call->softmax->classes;
	size_t weights = (size_t)classes * dim, first, end;
	double *gradient = slice->gradient;
	slice_rows(call, task, &first, &end);
	slice->loss = 0;
	for (size_t i = 0; i < weights + classes; i++)
		gradient[i] = 0;
	for (; first < end; first += TILE_ROWS) {
		unsigned rows = end - first < TILE_ROWS ? (unsigned)(end - first) : TILE_ROWS;
		tile_logits(call, slice, first, rows);
		if (call->data->predicted)
			tile_predict(slice->logits, call->data->predicted + first, rows, classes);
		slice->loss += tile_softmax(slice->logits, call->data->labels + first, rows, classes);
		cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)classes, (int)dim, (int)rows, 1,
			slice->logits, TILE_ROWS, slice->features, (int)dim, 1, gradient, (int)dim);
		for (unsigned c = 0; c < classes; c++)
			for (unsigned r = 0; r < rows; r++)
				gradient[weights + c] += slice->logits[(size_t)c * TILE_ROWS + r];
	}
}

double softmax_gradient(struct softmax *softmax, struct team *team, const struct probe_data *data,
	const double *weights, double *gradient)
{
	struct call call = {.softmax = softmax, .data = data, .weights = weights, .slices = slice_count(data->count)};
	size_t count = softmax_weight_count(softmax);
	double loss = 0, scale = 1 / (double)data->count;
	team_for(team, call.slices, gradient_task, &call);
	for (size_t i = 0; i < count; i++)
		gradient[i] = 0;
	for (size_t s = 0; s < call.slices; s++) {
		loss += softmax->slice[s].loss;
		for (size_t i = 0; i < count; i++)
			gradient[i] += softmax->slice[s].gradient[i];
	}
	for (size_t i = 0; i < count; i++)
		gradient[i] *= scale;
	return loss * scale;
}

static void score_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct call *call = ctx;
	struct slice *slice = &call->softmax->slice[task];
	size_t first, end;
	slice_rows(call, task, &first, &end);
	slice->top1 = slice->top5 = 0;
	for (; first < end; first += TILE_ROWS) {
		unsigned rows = end - first < TILE_ROWS ? (unsigned)(end - first) : TILE_ROWS;
		tile_logits(call, slice, first, rows);
		if (call->data->predicted)
			tile_predict(slice->logits, call->data->predicted + first, rows, call->softmax->classes);
		for (unsigned r = 0; r < rows; r++) {
			unsigned label = (unsigned)call->data->labels[first + r], ahead = 0;
			double own = slice->logits[(size_t)label * TILE_ROWS + r];
			for (unsigned c = 0; c < call->softmax->classes; c++) {
				double s = slice->logits[(size_t)c * TILE_ROWS + r];
				/* Written so that a logit that is not a number makes no hit. */
				bool behind = c < label ? s < own : c == label || s <= own;
				ahead += !behind;
			}
			slice->top1 += ahead == 0;
			slice->top5 += ahead < 5;
		}
	}
}

void softmax_score(struct softmax *softmax, struct team *team, const struct probe_data *data, const double *weights,
	struct probe_score *score)
{
	struct call call = {.softmax = softmax, .data = data, .weights = weights, .slices = slice_count(data->count)};
	team_for(team, call.slices, score_task, &call);
	size_t top1 = 0, top5 = 0;
	for (size_t s = 0; s < call.slices; s++) {
		top1 += softmax->slice[s].top1;
		top5 += softmax->slice[s].top5;
	}
	score->top1 = 100 * (double)top1 / (double)data->count;
	score->top5 = softmax->classes <= 5 ? 100 : 100 * (double)top5 / (double)data->count;
	score->ridge = 0;
}
