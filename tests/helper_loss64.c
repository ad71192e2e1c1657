/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "tests/helper_loss64.h"

struct dense {
	const struct loss_config *config;
	size_t rows, dim;
	double *u, *unit, *norm; /* u and unit: [rows][dim]; unit is always normalised */
	double *c, *d;		 /* [rows][rows]: u_i . u_j, and the derivative of the loss with respect to it */
	double edge;
};

double helper_softplus(double x)
{
	return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

static struct dense dense_create(const struct loss_config *config, size_t rows, size_t dim, const double *z)
{
	struct dense m = {.config = config, .rows = rows, .dim = dim, .edge = INFINITY};
	m.u = calloc(rows * dim, sizeof(double));
	m.unit = calloc(rows * dim, sizeof(double));
	m.norm = calloc(rows, sizeof(double));
	m.c = calloc(rows * rows, sizeof(double));
	m.d = calloc(rows * rows, sizeof(double));
	assert_true(m.u && m.unit && m.norm && m.c && m.d);
	for (size_t i = 0; i < rows; i++) {
		double sum = 0;
		for (size_t c = 0; c < dim; c++)
			sum += z[i * dim + c] * z[i * dim + c];
		m.norm[i] = sqrt(sum);
		for (size_t c = 0; c < dim; c++) {
			m.unit[i * dim + c] = z[i * dim + c] / fmax(m.norm[i], 1e-12);
			m.u[i * dim + c] = config->normalize ? m.unit[i * dim + c] : z[i * dim + c];
		}
	}
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < rows; j++)
			for (size_t c = 0; c < dim; c++)
				m.c[i * rows + j] += m.u[i * dim + c] * m.u[j * dim + c];
	return m;
}

static void dense_destroy(struct dense *m)
{
	free(m->u);
	free(m->unit);
	free(m->norm);
	free(m->c);
	free(m->d);
}

/* Adds row i's accuracy and entropy, and gives the log of its sum of exponentials. */
static double dense_softmax(const struct dense *m, size_t i, struct loss_result *result)
{
	size_t rows = m->rows, positive = (i + rows / 2) % rows, first = i == 0;
	double t = m->config->temperature, sum = 0, entropy = 0;
	const double *c = m->c + i * rows;
	for (size_t j = 0; j < rows; j++)
		if (j != i && c[j] > c[first])
			first = j;
	for (size_t j = 0; j < rows; j++)
		sum += j == i ? 0 : exp((c[j] - c[first]) / t);
	for (size_t j = 0; j < rows; j++) {
		double p = j == i ? 0 : exp((c[j] - c[first]) / t) / sum;
		/* cppcheck-suppress invalidFunctionArg ; a probability over 0 */
		entropy -= p > 0 ? p * log(p) : 0;
	}
	result->entropy += entropy / (double)rows;
	result->accuracy += (double)(first == positive) / (double)rows;
	/* cppcheck-suppress invalidFunctionArg ; a sum of exponentials is positive */
	return c[first] / t + log(sum);
}

/* Row i's loss, and d of row i. */
static double dense_row(struct dense *m, size_t i, double log_sum)
{
	const struct loss_config *config = m->config;
	size_t rows = m->rows, positive = (i + rows / 2) % rows;
	double t = config->temperature, margin = config->margin, loss = 0, taken = 0;
	const double *c = m->c + i * rows;
	double *d = m->d + i * rows, close = c[positive];
	bool semi_hard = config->negatives == LOSS_NEGATIVES_SEMI_HARD, hinge = config->kind == LOSS_MARGIN;
	if (config->kind == LOSS_NT_XENT) {
		for (size_t j = 0; j < rows; j++)
			d[j] = ((j == i ? 0 : exp(c[j] / t - log_sum)) - (j == positive)) / t;
		return log_sum - close / t;
	}
	for (size_t j = 0; j < rows; j++) {
		if (j == i || j == positive)
			continue;
		if (semi_hard)
			m->edge = fmin(m->edge, fabs(c[j] - close));
		if (semi_hard || hinge)
			m->edge = fmin(m->edge, fabs(c[j] - close + margin));
		if (semi_hard && !(c[j] < close && c[j] > close - margin))
			continue;
		taken++;
		loss += hinge ? fmax(0, c[j] - close + margin) : helper_softplus(c[j] / t);
		d[j] = hinge ? (double)(c[j] - close + margin > 0) : sigmoid(c[j] / t) / t;
	}
	for (size_t j = 0; j < rows; j++) {
		if (j == positive || taken == 0)
			continue;
		d[j] /= taken;
		d[positive] -= hinge ? d[j] : 0;
	}
	loss = taken > 0 ? loss / taken : 0;
	if (hinge)
		return loss;
	d[positive] = -sigmoid(-close / t) / t;
	return loss + helper_softplus(-close / t);
}

static void dense_distances(const struct dense *m, struct loss_result *result)
{
	size_t rows = m->rows;
	double sum = 0;
	for (size_t i = 0; i < rows; i++)
		for (size_t j = i + 1; j < rows; j++) {
			double distance = 0;
			for (size_t c = 0; c < m->dim; c++)
				distance += pow(m->unit[i * m->dim + c] - m->unit[j * m->dim + c], 2);
			sum += exp(-2 * distance);
			result->alignment += j == i + rows / 2 ? 2 * distance / (double)rows : 0;
		}
	/* cppcheck-suppress invalidFunctionArg ; a sum of exponentials is positive */
	result->uniformity = log(2 * sum / (double)(rows * (rows - 1)));
}

/* gradient: [rows][dim], from d. */
static void dense_gradient(const struct dense *m, double *gradient)
{
	size_t rows = m->rows, dim = m->dim;
	for (size_t i = 0; i < rows; i++) {
		double *g = gradient + i * dim, along = 0;
		for (size_t c = 0; c < dim; c++)
			g[c] = 0;
		for (size_t j = 0; j < rows; j++)
			for (size_t c = 0; c < dim; c++)
				g[c] += (m->d[i * rows + j] + m->d[j * rows + i]) * m->u[j * dim + c] / (double)rows;
		if (!m->config->normalize)
			continue;
		for (size_t c = 0; c < dim && m->norm[i] >= 1e-12; c++)
			along += g[c] * m->unit[i * dim + c];
		for (size_t c = 0; c < dim; c++)
			g[c] = (g[c] - along * m->unit[i * dim + c]) / fmax(m->norm[i], 1e-12);
	}
}

struct loss_result helper_loss64(
	const struct loss_config *config, size_t rows, size_t dim, const double *z, double *gradient, double *edge)
{
	struct loss_result result = {0};
	struct dense m = dense_create(config, rows, dim, z);
	for (size_t i = 0; i < rows; i++)
		result.loss += dense_row(&m, i, dense_softmax(&m, i, &result)) / (double)rows;
	dense_distances(&m, &result);
	dense_gradient(&m, gradient);
	*edge = m.edge;
	dense_destroy(&m);
	return result;
}
