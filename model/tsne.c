/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t-SNE, exactly, for a few thousand points.
 *
 * P. Each point i weighs the others by exp(-|x_i - x_j|^2 / (2 s_i^2)), where bisection finds the s_i at which the
 * weights' entropy is the logarithm of the perplexity; P_ij is the mean of both directions' weights over 2 n, so that
 * it sums to one. Q_ij is 1 / (1 + |y_i - y_j|^2), over the sum Z of all. The gradient of KL(P || Q) with respect to
 * y_i,
 *
 *	4 sum_j (P_ij - Q_ij) q_ij (y_i - y_j),    q_ij = Z Q_ij = 1 / (1 + |y_i - y_j|^2)
 *
 * is an attraction and a repulsion that is divided by Z, so one pass over all pairs gives both and Z itself.
 *
 * Descent, its constants and its start are those of scikit-learn: the first two principal components, scaled to a
 * deviation of 1e-4; P times 12 and momentum 0.5 for the first quarter, then P and 0.8; a gain for each coordinate;
 * rate max(n / 48, 50).
 *
 * A task takes ROWS points. Sums over j run in LANES parts in the order of j, and Z is added up in the order of i, so
 * the map does not depend on the team. Rows of P and the coordinates are padded to whole lanes by points so far away
 * that they weigh nothing.
 */
#include "model/tsne.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/philox.h"

enum { LANES = 16, ROWS = 16, ITERATIONS = 1000, POWER_STEPS = 60, BISECTIONS = 100 };

static const double exaggeration = 12, least_gain = 0.01, start_deviation = 1e-4;
static const float far_away = 1e18F;

struct tsne {
	const float *x;
	size_t count, stride; /* stride: count, padded */
	unsigned dim;
	double perplexity;
	float *p;	      /* [count][stride] */
	float *place[2];      /* [stride] */
	float *attraction[2]; /* [stride], without the factor 4 */
	float *repulsion[2];
	double *z;	       /* [count], a row's sum */
	double *update, *gain; /* [2][count] */
};

static double lanes_sum(const float lanes[LANES])
{
	double sum = 0;
	for (unsigned l = 0; l < LANES; l++)
		sum += (double)lanes[l];
	return sum;
}

/* ---- P ---- */

static float squared_distance(const float *a, const float *b, unsigned dim)
{
	float lanes[LANES] = {0};
	unsigned c = 0;
	for (; c + LANES <= dim; c += LANES)
		for (unsigned l = 0; l < LANES; l++) {
			float d = a[c + l] - b[c + l];
			lanes[l] += d * d;
		}
	double sum = lanes_sum(lanes);
	for (; c < dim; c++)
		sum += ((double)a[c] - (double)b[c]) * ((double)a[c] - (double)b[c]);
	return (float)sum;
}

/* Turns a row of squared distances into weights of the wanted entropy that sum to one. */
static void weigh_row(const struct tsne *tsne, float *row, size_t self)
{
	double wanted = log(tsne->perplexity), beta = 1, low = 0, high = INFINITY, nearest = INFINITY;
	for (size_t j = 0; j < tsne->count; j++)
		if (j != self)
			nearest = fmin(nearest, (double)row[j]);
	double sum = 0;
	for (unsigned step = 0; step < BISECTIONS; step++) {
		double mean = 0;
		sum = 0;
		for (size_t j = 0; j < tsne->count; j++) {
			if (j == self)
				continue;
			double distance = (double)row[j] - nearest, weight = exp(-beta * distance);
			sum += weight;
			mean += weight * distance;
		}
		double entropy = log(fmax(sum, 1)) + beta * mean / sum; /* the nearest weighs 1 */
		if (fabs(entropy - wanted) < 1e-5)
			break;
		if (entropy > wanted) {
			low = beta;
			beta = isinf(high) ? 2 * beta : (beta + high) / 2;
		} else {
			high = beta;
			beta = (beta + low) / 2;
		}
	}
	for (size_t j = 0; j < tsne->count; j++)
		row[j] = j == self ? 0 : (float)(exp(-beta * ((double)row[j] - nearest)) / sum);
}

static void weigh_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct tsne *tsne = ctx;
	for (size_t i = task * ROWS; i < (task + 1) * ROWS && i < tsne->count; i++) {
		float *row = tsne->p + i * tsne->stride;
		for (size_t j = 0; j < tsne->count; j++)
			row[j] = squared_distance(tsne->x + i * tsne->dim, tsne->x + j * tsne->dim, tsne->dim);
		weigh_row(tsne, row, i);
	}
}

/* Pairs (i, j > i) of the task's rows: nobody else touches either of their two places. */
static void join_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct tsne *tsne = ctx;
	for (size_t i = task * ROWS; i < (task + 1) * ROWS && i < tsne->count; i++)
		for (size_t j = i + 1; j < tsne->count; j++) {
			float *one = &tsne->p[i * tsne->stride + j], *other = &tsne->p[j * tsne->stride + i];
			double both = ((double)*one + (double)*other) / (2 * (double)tsne->count);
			*one = *other = (float)fmax(both, 1e-12);
		}
}

/* ---- Start ---- */

/* direction [dim] becomes the next principal component of the centred rows, orthogonal to `before` (or NULL); score
 * [count]: the rows along it. */
static void principal(
	const struct tsne *tsne, const double *mean, const double *before, double *direction, double *score)
{
	unsigned dim = tsne->dim;
	for (unsigned step = 0; step <= POWER_STEPS; step++) {
		double along = 0, norm = 0;
		for (unsigned c = 0; before && c < dim; c++)
			along += direction[c] * before[c];
		for (unsigned c = 0; c < dim; c++) {
			direction[c] -= before ? along * before[c] : 0;
			norm += direction[c] * direction[c];
		}
		for (unsigned c = 0; c < dim; c++)
			direction[c] = norm > 0 ? direction[c] / sqrt(norm) : 0;
		for (size_t i = 0; i < tsne->count; i++) {
			score[i] = 0;
			for (unsigned c = 0; c < dim; c++)
				score[i] += ((double)tsne->x[i * dim + c] - mean[c]) * direction[c];
		}
		if (step == POWER_STEPS)
			return;
		memset(direction, 0, dim * sizeof *direction);
		for (size_t i = 0; i < tsne->count; i++)
			for (unsigned c = 0; c < dim; c++)
				direction[c] += score[i] * ((double)tsne->x[i * dim + c] - mean[c]);
	}
}

static int start(struct tsne *tsne, uint64_t seed, struct error *err)
{
	unsigned dim = tsne->dim;
	double *mean = calloc(3 * (size_t)dim + tsne->count, sizeof *mean);
	if (!mean)
		return error_set(err, ERROR_MEMORY, "no memory for the principal components of %u features", dim);
	double *direction[2] = {mean + dim, mean + 2 * (size_t)dim}, *score = mean + 3 * (size_t)dim, deviation = 0;
	for (size_t i = 0; i < tsne->count; i++)
		for (unsigned c = 0; c < dim; c++)
			mean[c] += (double)tsne->x[i * dim + c] / (double)tsne->count;
	for (unsigned axis = 0; axis < 2; axis++) {
		struct philox stream = philox_stream(seed, 0, axis, 0, PHILOX_INIT);
		for (unsigned c = 0; c < dim; c++)
			direction[axis][c] = philox_normal(&stream);
		principal(tsne, mean, axis ? direction[0] : NULL, direction[axis], score);
		double sum = 0;
		for (size_t i = 0; i < tsne->count; i++)
			sum += score[i] * score[i];
		if (axis == 0)
			deviation = sqrt(sum / (double)tsne->count);
		for (size_t i = 0; i < tsne->count; i++)
			tsne->place[axis][i] = (float)(deviation > 0 ? score[i] / deviation * start_deviation : 0);
	}
	/* Equal points are told apart, and rows that are all the same get a start at all. */
	for (size_t i = 0; i < tsne->count; i++) {
		struct philox stream = philox_stream(seed, 0, i, 1, PHILOX_INIT);
		for (unsigned axis = 0; axis < 2; axis++)
			tsne->place[axis][i] += (float)(0.01 * start_deviation * philox_normal(&stream));
	}
	free(mean);
	return 0;
}

/* ---- Descent ---- */

static void forces_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct tsne *tsne = ctx;
	const float *x = tsne->place[0], *y = tsne->place[1];
	for (size_t i = task * ROWS; i < (task + 1) * ROWS && i < tsne->count; i++) {
		const float *p = tsne->p + i * tsne->stride;
		float ax[LANES] = {0}, ay[LANES] = {0}, rx[LANES] = {0}, ry[LANES] = {0}, z[LANES] = {0};
		for (size_t j = 0; j < tsne->stride; j += LANES)
			for (unsigned l = 0; l < LANES; l++) {
				float dx = x[i] - x[j + l], dy = y[i] - y[j + l];
				float q = 1 / (1 + dx * dx + dy * dy), pull = p[j + l] * q, push = q * q;
				ax[l] += pull * dx;
				ay[l] += pull * dy;
				rx[l] += push * dx;
				ry[l] += push * dy;
				z[l] += q;
			}
		tsne->attraction[0][i] = (float)lanes_sum(ax);
		tsne->attraction[1][i] = (float)lanes_sum(ay);
		tsne->repulsion[0][i] = (float)lanes_sum(rx);
		tsne->repulsion[1][i] = (float)lanes_sum(ry);
		tsne->z[i] = lanes_sum(z) - 1; /* without itself */
	}
}

static size_t tasks_of(const struct tsne *tsne)
{
	return (tsne->count + ROWS - 1) / ROWS;
}

static double forces(struct tsne *tsne, struct team *team)
{
	team_for(team, tasks_of(tsne), forces_task, tsne);
	double z = 0;
	for (size_t i = 0; i < tsne->count; i++)
		z += tsne->z[i];
	return fmax(z, 1e-12);
}

static void step(struct tsne *tsne, struct team *team, double pull, double momentum, double rate)
{
	double z = forces(tsne, team);
	for (unsigned axis = 0; axis < 2; axis++)
		for (size_t i = 0; i < tsne->count; i++) {
			double gradient =
				4 * (pull * (double)tsne->attraction[axis][i] - (double)tsne->repulsion[axis][i] / z);
			double *update = &tsne->update[axis * tsne->count + i],
			       *gain = &tsne->gain[axis * tsne->count + i];
			*gain = fmax(*update * gradient < 0 ? *gain + 0.2 : *gain * 0.8, least_gain);
			*update = momentum * *update - rate * *gain * gradient;
			tsne->place[axis][i] = (float)((double)tsne->place[axis][i] + *update);
		}
}

static double divergence_of(struct tsne *tsne, struct team *team)
{
	double z = forces(tsne, team), sum = 0;
	for (size_t i = 0; i < tsne->count; i++)
		for (size_t j = 0; j < tsne->count; j++) {
			if (i == j)
				continue;
			double p = (double)tsne->p[i * tsne->stride + j];
			double dx = (double)tsne->place[0][i] - (double)tsne->place[0][j];
			double dy = (double)tsne->place[1][i] - (double)tsne->place[1][j];
			sum += p * log(p * z * (1 + dx * dx + dy * dy));
		}
	return sum;
}

static bool allocate(struct tsne *tsne)
{
	bool complete = true;
	for (unsigned axis = 0; axis < 2; axis++) {
		tsne->place[axis] = calloc(tsne->stride, sizeof(float));
		tsne->attraction[axis] = calloc(tsne->stride, sizeof(float));
		tsne->repulsion[axis] = calloc(tsne->stride, sizeof(float));
		complete = complete && tsne->place[axis] && tsne->attraction[axis] && tsne->repulsion[axis];
	}
	tsne->p = calloc(tsne->count * tsne->stride, sizeof(float));
	tsne->z = calloc(tsne->count, sizeof(double));
	tsne->update = calloc(2 * tsne->count, sizeof(double));
	tsne->gain = calloc(2 * tsne->count, sizeof(double));
	return complete && tsne->p && tsne->z && tsne->update && tsne->gain;
}

static void release(struct tsne *tsne)
{
	for (unsigned axis = 0; axis < 2; axis++) {
		free(tsne->place[axis]);
		free(tsne->attraction[axis]);
		free(tsne->repulsion[axis]);
	}
	free(tsne->p);
	free(tsne->z);
	free(tsne->update);
	free(tsne->gain);
}

static int descend(struct tsne *tsne, struct team *team, const struct tsne_config *config, struct error *err)
{
	unsigned iterations = config->iterations ? config->iterations : ITERATIONS;
	double rate = fmax((double)tsne->count / exaggeration / 4, 50);
	for (size_t i = 0; i < 2 * tsne->count; i++)
		tsne->gain[i] = 1;
	for (unsigned i = 0; i < iterations; i++) {
		bool early = i < iterations / 4;
		if (config->stopped && config->stopped())
			return error_set(err, ERROR_INTERRUPTED, "interrupted while the map was made");
		step(tsne, team, early ? exaggeration : 1, early ? 0.5 : 0.8, rate);
		if (i + 1 == iterations / 4) { /* as scikit-learn: the second part starts at rest */
			memset(tsne->update, 0, 2 * tsne->count * sizeof(double));
			for (size_t k = 0; k < 2 * tsne->count; k++)
				tsne->gain[k] = 1;
		}
	}
	return 0;
}

int tsne_map(struct team *team, const float *x, size_t count, unsigned dim, const struct tsne_config *config,
	float *map, double *divergence, struct error *err)
{
	if (count < 4 || dim == 0 || !(config->perplexity > 0))
		return error_set(
			err, ERROR_USAGE, "a map needs 4 points of one feature or more, and a perplexity above 0");
	for (size_t i = 0; i < count * dim; i++)
		if (!isfinite(x[i]))
			return error_set(err, ERROR_NUMERIC, "the features of image %zu are not finite", i / dim);
	struct tsne tsne = {.x = x, .count = count, .dim = dim, .stride = (count + LANES - 1) / LANES * LANES};
	tsne.perplexity = fmax(fmin(config->perplexity, (double)(count - 1) / 3), 1);
	int code = allocate(&tsne) ? start(&tsne, config->seed, err)
				   : error_set(err, ERROR_MEMORY, "no memory for a map of %zu points", count);
	if (code == 0) {
		for (size_t i = count; i < tsne.stride; i++)
			tsne.place[0][i] = tsne.place[1][i] = far_away;
		team_for(team, tasks_of(&tsne), weigh_task, &tsne);
		team_for(team, tasks_of(&tsne), join_task, &tsne);
		code = descend(&tsne, team, config, err);
	}
	if (code == 0) {
		*divergence = divergence_of(&tsne, team);
		for (size_t i = 0; i < count; i++)
			for (unsigned axis = 0; axis < 2; axis++)
				map[2 * i + axis] = tsne.place[axis][i];
	}
	release(&tsne);
	return code;
}
