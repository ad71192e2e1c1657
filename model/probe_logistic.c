/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multinomial logistic regression on frozen features, with a choice among ridge weights.
 *
 * All rows that are fitted in the end are copied once, standardised, into one matrix: first those that the choice of
 * the ridge fits, then those it is judged on. The choice uses the two parts, the refit the whole.
 */
#include "model/probe_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STRIPES = 16 };

struct fit {
	struct team *team;
	struct softmax *softmax;
	unsigned dim, classes;
	size_t count;	    /* weights and bias: classes * (dim + 1) */
	float *features;    /* [rows][dim], standardised */
	int32_t *labels;    /* the same rows */
	size_t choice_rows; /* rows the choice fits: the first of features */
	size_t rows;	    /* all */
	double *mean;	    /* [dim] */
	double *inverse;    /* [dim], 1 / (deviation + 1e-6) */
	double *weights;    /* the last fit, and where the next one starts */
};

void probe_ridge_grid(double ridges[45])
{
	for (int i = 0; i < 45; i++)
		ridges[i] = pow(10, -6 + 0.25 * i);
}

/* Moves the weights to the minimum over the first `rows` rows. */
static int fit_rows(struct fit *fit, size_t rows, double ridge, struct error *err)
{
	struct probe_data data = {.features = fit->features, .labels = fit->labels, .count = rows};
	return softmax_minimise(fit->softmax, fit->team, &data, ridge, fit->weights, err);
}

struct stripe_call {
	struct fit *fit;
	float *features; /* [rows][dim] */
	size_t rows;
	double *sum; /* [STRIPES][dim] */
};

static void stripe_rows(size_t rows, size_t task, size_t *first, size_t *end)
{
	*first = rows * task / STRIPES;
	*end = rows * (task + 1) / STRIPES;
}

static void mean_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct stripe_call *call = ctx;
	unsigned dim = call->fit->dim;
	double *sum = call->sum + task * dim;
	size_t row, end;
	memset(sum, 0, dim * sizeof *sum);
	for (stripe_rows(call->rows, task, &row, &end); row < end; row++)
		for (unsigned c = 0; c < dim; c++)
			sum[c] += (double)call->features[row * dim + c];
}

static void deviation_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct stripe_call *call = ctx;
	unsigned dim = call->fit->dim;
	double *sum = call->sum + task * dim;
	size_t row, end;
	memset(sum, 0, dim * sizeof *sum);
	for (stripe_rows(call->rows, task, &row, &end); row < end; row++)
		for (unsigned c = 0; c < dim; c++) {
			double distance = (double)call->features[row * dim + c] - call->fit->mean[c];
			sum[c] += distance * distance;
		}
}

static void standardise_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct stripe_call *call = ctx;
	unsigned dim = call->fit->dim;
	size_t row, end;
	for (stripe_rows(call->rows, task, &row, &end); row < end; row++)
		for (unsigned c = 0; c < dim; c++) {
			float *x = &call->features[row * dim + c];
			*x = (float)(((double)*x - call->fit->mean[c]) * call->fit->inverse[c]);
		}
}

static void standardise(struct fit *fit, float *features, size_t rows)
{
	struct stripe_call call = {.fit = fit, .features = features, .rows = rows};
	team_for(fit->team, STRIPES, standardise_task, &call);
}

/* Mean and deviation of fit->features, the deviation with n - 1 below, as torch's std(). */
static int statistics(struct fit *fit, struct error *err)
{
	struct stripe_call call = {.fit = fit, .features = fit->features, .rows = fit->rows};
	call.sum = calloc((size_t)STRIPES * fit->dim, sizeof(double));
	if (!call.sum)
		return error_set(err, ERROR_MEMORY, "probe: no memory for the statistics of %u features", fit->dim);
	team_for(fit->team, STRIPES, mean_task, &call);
	for (unsigned c = 0; c < fit->dim; c++) {
		double sum = 0;
		for (size_t s = 0; s < STRIPES; s++)
			sum += call.sum[s * fit->dim + c];
		fit->mean[c] = sum / (double)fit->rows;
	}
	team_for(fit->team, STRIPES, deviation_task, &call);
	int code = 0;
	for (unsigned c = 0; c < fit->dim; c++) {
		double sum = 0;
		for (size_t s = 0; s < STRIPES; s++)
			sum += call.sum[s * fit->dim + c];
		double variance = fit->rows > 1 ? sum / (double)(fit->rows - 1) : 0;
		fit->inverse[c] = 1 / (sqrt(variance) + 1e-6);
		if (!isfinite(sum) && code == 0)
			code = error_set(err, ERROR_NUMERIC, "probe: column %u of the features is not finite", c);
	}
	free(call.sum);
	return code;
}

static void append_row(struct fit *fit, size_t *at, const struct probe_data *data, size_t row)
{
	memcpy(fit->features + *at * fit->dim, data->features + row * fit->dim, fit->dim * sizeof(float));
	fit->labels[*at] = data->labels[row];
	++*at;
}

/* Copies the rows: those the choice fits, then those it is judged on. */
static void gather(struct fit *fit, const struct probe_data *train, const struct probe_data *validation)
{
	size_t at = 0;
	for (size_t i = 0; i < train->count; i++)
		if (validation || i % 10 != 9)
			append_row(fit, &at, train, i);
	fit->choice_rows = at;
	if (validation)
		for (size_t i = 0; i < validation->count; i++)
			append_row(fit, &at, validation, i);
	else
		for (size_t i = 9; i < train->count; i += 10)
			append_row(fit, &at, train, i);
}

static int compare_descending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x < y) - (x > y);
}

/* The ridge with the best accuracy on the judged rows. Leaves the weights at the last fit. */
static int choose_ridge(struct fit *fit, const double *ridges, size_t ridge_count, double *chosen, struct error *err)
{
	struct probe_data judged = {.features = fit->features + fit->choice_rows * fit->dim,
		.labels = fit->labels + fit->choice_rows,
		.count = fit->rows - fit->choice_rows};
	double *sorted = malloc(ridge_count * sizeof *sorted), best = -1;
	if (!sorted)
		return error_set(err, ERROR_MEMORY, "probe: no memory for %zu ridge weights", ridge_count);
	memcpy(sorted, ridges, ridge_count * sizeof *sorted);
	qsort(sorted, ridge_count, sizeof *sorted, compare_descending);
	int code = 0;
	for (size_t i = 0; i < ridge_count && code == 0; i++) {
		struct probe_score score;
		code = fit_rows(fit, fit->choice_rows, sorted[i], err);
		if (code != 0)
			break;
		softmax_score(fit->softmax, fit->team, &judged, fit->weights, &score);
		if (score.top1 > best) {
			best = score.top1;
			*chosen = sorted[i];
		}
	}
	free(sorted);
	return code;
}

static int check(const struct probe_data *train, const struct probe_data *validation, const struct probe_data *test,
	unsigned dim, unsigned classes, const double *ridges, size_t ridge_count, struct error *err)
{
	if (dim == 0 || classes == 0 || ridge_count == 0)
		return error_set(err, ERROR_USAGE, "probe: %u features, %u classes, %zu ridge weights: none may be 0",
			dim, classes, ridge_count);
	if ((uint64_t)classes * ((uint64_t)dim + 1) > INT32_MAX / 2)
		return error_set(err, ERROR_UNSUPPORTED, "probe: %u classes of %u features are too many for L-BFGS",
			classes, dim);
	for (size_t i = 0; i < ridge_count; i++)
		if (!(ridges[i] >= 0) || !isfinite(ridges[i]))
			return error_set(err, ERROR_USAGE, "probe: ridge weight %g: use 0 or more", ridges[i]);
	int code = probe_check(train, "train", classes, err);
	if (code == 0 && validation)
		code = probe_check(validation, "validation", classes, err);
	if (code == 0)
		code = probe_check(test, "test", classes, err);
	if (code == 0 && !validation && ridge_count > 1 && train->count < 10)
		code = error_set(err, ERROR_USAGE,
			"probe: %zu training samples: 10 are needed to choose among %zu ridge weights", train->count,
			ridge_count);
	return code;
}

static int fit_create(struct fit *fit, size_t rows, struct error *err)
{
	fit->rows = rows;
	fit->count = (size_t)fit->classes * ((size_t)fit->dim + 1);
	fit->softmax = softmax_create(fit->dim, fit->classes, err);
	fit->features = malloc(rows * fit->dim * sizeof(float));
	fit->labels = malloc(rows * sizeof(int32_t));
	fit->mean = calloc(fit->dim, sizeof(double));
	fit->inverse = calloc(fit->dim, sizeof(double));
	fit->weights = calloc(fit->count, sizeof(double));
	if (!fit->softmax || !fit->features || !fit->labels || !fit->mean || !fit->inverse || !fit->weights)
		return error_set(err, ERROR_MEMORY, "probe: no memory for %zu rows of %u features", rows, fit->dim);
	return 0;
}

static void fit_destroy(struct fit *fit)
{
	softmax_destroy(fit->softmax);
	free(fit->features);
	free(fit->labels);
	free(fit->mean);
	free(fit->inverse);
	free(fit->weights);
}

/* Scores fit->weights on a standardised copy of test. */
static int score_test(struct fit *fit, const struct probe_data *test, struct probe_score *score, struct error *err)
{
	float *features = malloc(test->count * fit->dim * sizeof *features);
	if (!features)
		return error_set(
			err, ERROR_MEMORY, "probe: no memory for %zu rows of %u features", test->count, fit->dim);
	memcpy(features, test->features, test->count * fit->dim * sizeof *features);
	standardise(fit, features, test->count);
	struct probe_data data = *test;
	data.features = features;
	softmax_score(fit->softmax, fit->team, &data, fit->weights, score);
	free(features);
	return 0;
}

int probe_logistic_lbfgs(struct team *team, const struct probe_data *train, const struct probe_data *validation,
	const struct probe_data *test, unsigned dim, unsigned classes, const double *ridges, size_t ridge_count,
	struct probe_score *score, struct error *err)
{
	int code = check(train, validation, test, dim, classes, ridges, ridge_count, err);
	if (code != 0)
		return code;
	struct fit fit = {.team = team, .dim = dim, .classes = classes};
	double ridge = ridges[0];
	code = fit_create(&fit, train->count + (validation ? validation->count : 0), err);
	if (code != 0)
		goto out;
	gather(&fit, train, validation);
	code = statistics(&fit, err);
	if (code != 0)
		goto out;
	standardise(&fit, fit.features, fit.rows);
	if (ridge_count > 1) {
		code = choose_ridge(&fit, ridges, ridge_count, &ridge, err);
		if (code != 0)
			goto out;
		/* From zero, so that the result depends on the ridge alone and not on how it was chosen. */
		memset(fit.weights, 0, fit.count * sizeof *fit.weights);
	}
	code = fit_rows(&fit, fit.rows, ridge, err);
	if (code == 0)
		code = score_test(&fit, test, score, err);
	if (code == 0)
		score->ridge = ridge;
out:
	fit_destroy(&fit);
	return code;
}
