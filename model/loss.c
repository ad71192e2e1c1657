/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NT-Xent in tiles.
 *
 * With u = z / |z|, s_ij = u_i . u_j / t and p(i) the other view of i's image, the loss is the mean over the rows i of
 *
 *	log( sum over j != i of exp(s_ij) ) - s_ip(i).
 *
 * Its derivative with respect to s_ij is (P_ij - [j = p(i)]) / rows, P being the softmax of row i without its diagonal;
 * and as s is symmetric, the gradient with respect to u_i is
 *
 *	1 / (rows t) * sum over j of (P_ij + P_ji - 2 [j = p(i)]) u_j.
 *
 * Three passes over tasks of ROW_TILE rows each. First: norms and u. Second: for each tile of COLUMN_TILE columns one
 * sgemm gives s, and every row keeps its running maximum, the sum of exp(s - maximum) and the place of the maximum.
 * Third: the same sgemm again; P_ij and P_ji both follow from s_ij and the two rows' maxima and sums, so a second sgemm
 * multiplies the tile by the columns' u at once. The gradient with respect to z follows row by row, by the derivative
 * of the normalisation.
 *
 * Memory is O(rows * dim) and one tile on the stack of each thread. Tiles are float32, sums that cross tiles float64. A
 * task writes its own rows alone and the loss is summed in row order: the result does not depend on the team.
 */
#include "model/loss.h"
#include "model/blas.h"

#include <cblas.h>
#include <math.h>

#include "model/fast_exp.h"

enum { ROW_TILE = 64, COLUMN_TILE = 512, LANES = 16 };

/* Below this a norm counts as this, and is a constant to the derivative, as in torch.nn.functional.normalize. */
static const double norm_floor = 1e-12;

struct ntxent {
	uint32_t max_rows;
	unsigned dim;
	float *unit;	    /* [max_rows][dim], u */
	double *gradient;   /* [max_rows][dim], sum over columns of (...) u_j, not scaled */
	double *norm;	    /* [max_rows], |z| */
	double *row_loss;   /* [max_rows] */
	float *row_max;	    /* [max_rows], largest s_ij of row i, j != i */
	float *row_inverse; /* [max_rows], 1 / sum over j != i of exp(s_ij - row_max) */
	float *row_miss;    /* [max_rows], 1 - P of the positive */
	unsigned char *hit; /* [max_rows], 1: the positive is the first largest */
};

struct call {
	struct ntxent *loss;
	const float *z;
	float *dz;
	uint32_t rows;
	double temperature;
};

struct ntxent *ntxent_create(struct arena *arena, uint32_t max_rows, unsigned dim, struct error *err)
{
	static const char class_name[] = "loss";
	if (max_rows < 2 || max_rows % 2 != 0 || dim == 0) {
		error_set(err, ERROR_USAGE,
			"loss: %u rows of %u columns: give an even number of rows and at least one column", max_rows,
			dim);
		return NULL;
	}
	if (blas_prepare(err) < 0)
		return NULL;
	struct ntxent *loss = arena_alloc(arena, class_name, 1, sizeof *loss, 0, err);
	if (!loss)
		return NULL;
	size_t rows = max_rows;
	*loss = (struct ntxent){.max_rows = max_rows, .dim = dim};
	loss->unit = arena_alloc(arena, class_name, rows * dim, sizeof(float), 0, err);
	loss->gradient = arena_alloc(arena, class_name, rows * dim, sizeof(double), 0, err);
	loss->norm = arena_alloc(arena, class_name, rows, sizeof(double), 0, err);
	loss->row_loss = arena_alloc(arena, class_name, rows, sizeof(double), 0, err);
	loss->row_max = arena_alloc(arena, class_name, rows, sizeof(float), 0, err);
	loss->row_inverse = arena_alloc(arena, class_name, rows, sizeof(float), 0, err);
	loss->row_miss = arena_alloc(arena, class_name, rows, sizeof(float), 0, err);
	loss->hit = arena_alloc(arena, class_name, rows, 1, 0, err);
	if (!loss->unit || !loss->gradient || !loss->norm || !loss->row_loss || !loss->row_max || !loss->row_inverse ||
		!loss->row_miss || !loss->hit)
		return NULL;
	return loss;
}

static uint32_t tile_end(uint32_t start, uint32_t width, uint32_t rows)
{
	return rows - start < width ? rows : start + width;
}

static uint32_t positive_of(uint32_t row, uint32_t rows)
{
	return row < rows / 2 ? row + rows / 2 : row - rows / 2;
}

static void normalise_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct call *call = ctx;
	unsigned dim = call->loss->dim;
	uint32_t first = (uint32_t)task * ROW_TILE;
	for (uint32_t i = first; i < tile_end(first, ROW_TILE, call->rows); i++) {
		const float *z = call->z + (size_t)i * dim;
		float *unit = call->loss->unit + (size_t)i * dim;
		double sum = 0;
		for (unsigned c = 0; c < dim; c++)
			sum += (double)z[c] * (double)z[c];
		double norm = sqrt(sum);
		call->loss->norm[i] = norm;
		double inverse = 1 / (norm < norm_floor ? norm_floor : norm);
		for (unsigned c = 0; c < dim; c++)
			unit[c] = (float)((double)z[c] * inverse);
	}
}

/* tile: [ROW_TILE][COLUMN_TILE] = s of rows first.. and columns left..; the diagonal, and what fills the last vector of
 * each row, are -infinity. */
static void similarity_tile(
	const struct call *call, uint32_t first, uint32_t first_end, uint32_t left, uint32_t left_end, float *tile)
{
	unsigned dim = call->loss->dim;
	const float *unit = call->loss->unit;
	uint32_t width = left_end - left;
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)(first_end - first), (int)width, (int)dim,
		(float)(1 / call->temperature), unit + (size_t)first * dim, (int)dim, unit + (size_t)left * dim,
		(int)dim, 0, tile, COLUMN_TILE);
	for (uint32_t i = first; i < first_end; i++) {
		float *s = tile + (size_t)(i - first) * COLUMN_TILE;
		if (i >= left && i < left_end)
			s[i - left] = -INFINITY;
		for (uint32_t c = width; c % LANES != 0; c++)
			s[c] = -INFINITY;
	}
}

/* The largest of `count` numbers, a multiple of LANES. NaN counts as small: it shows in the sums. */
static float row_maximum(const float *s, uint32_t count)
{
	float lane[LANES];
	for (unsigned l = 0; l < LANES; l++)
		lane[l] = -INFINITY;
	for (uint32_t c = 0; c < count; c += LANES)
		for (unsigned l = 0; l < LANES; l++)
			lane[l] = s[c + l] > lane[l] ? s[c + l] : lane[l];
	float largest = lane[0];
	for (unsigned l = 1; l < LANES; l++)
		largest = lane[l] > largest ? lane[l] : largest;
	return largest;
}

/* sum of exp(s - shift). Overwrites s. */
static double row_exp_sum(float *s, uint32_t count, float shift)
{
	for (uint32_t c = 0; c < count; c++)
		s[c] = fast_exp(s[c] - shift);
	double lane[LANES] = {0};
	for (uint32_t c = 0; c < count; c += LANES)
		for (unsigned l = 0; l < LANES; l++)
			lane[l] += (double)s[c + l];
	double sum = 0;
	for (unsigned l = 0; l < LANES; l++)
		sum += lane[l];
	return sum;
}

struct row_state {
	double sum; /* of exp(s - max) over the columns so far */
	float max;
	float positive;	    /* s of the positive pair */
	uint32_t max_index; /* the first column with s = max */
};

/* Takes one row's part of a tile into its running sum. s: [width rounded up to LANES] columns left.. */
static void row_update(struct row_state *state, float *s, uint32_t left, uint32_t width, uint32_t positive)
{
	if (positive >= left && positive - left < width)
		state->positive = s[positive - left];
	uint32_t padded = (width + LANES - 1) / LANES * LANES;
	float largest = row_maximum(s, padded);
	if (largest > state->max) {
		uint32_t c = 0;
		while (s[c] != largest)
			c++;
		state->max_index = left + c;
		state->sum *= exp((double)state->max - (double)largest);
		state->max = largest;
	}
	/* No finite number yet (the first tile of a row may hold the diagonal alone): any shift does. */
	state->sum += row_exp_sum(s, padded, state->max == -INFINITY ? 0.0f : state->max);
}

static void statistics_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct call *call = ctx;
	struct ntxent *loss = call->loss;
	uint32_t first = (uint32_t)task * ROW_TILE, end = tile_end(first, ROW_TILE, call->rows);
	_Alignas(64) float tile[ROW_TILE * COLUMN_TILE];
	struct row_state state[ROW_TILE];
	for (uint32_t r = 0; r < ROW_TILE; r++)
		state[r] = (struct row_state){.max = -INFINITY, .max_index = UINT32_MAX};
	for (uint32_t left = 0; left < call->rows; left += COLUMN_TILE) {
		uint32_t right = tile_end(left, COLUMN_TILE, call->rows);
		similarity_tile(call, first, end, left, right, tile);
		for (uint32_t i = first; i < end; i++)
			row_update(&state[i - first], tile + (size_t)(i - first) * COLUMN_TILE, left, right - left,
				positive_of(i, call->rows));
	}
	for (uint32_t i = first; i < end; i++) {
		const struct row_state *row = &state[i - first];
		loss->row_max[i] = row->max;
		loss->row_inverse[i] = (float)(1 / row->sum);
		loss->row_miss[i] = (float)((row->sum - (double)fast_exp(row->positive - row->max)) / row->sum);
		loss->row_loss[i] = (double)row->max - (double)row->positive + log(row->sum);
		loss->hit[i] = row->max_index == positive_of(i, call->rows);
	}
}

/* s of one row becomes P_ij + P_ji - 2 [j = p(i)]. */
static void row_coefficients(const struct call *call, uint32_t i, float *s, uint32_t left, uint32_t width)
{
	const float *restrict column_max = call->loss->row_max + left;
	const float *restrict column_inverse = call->loss->row_inverse + left;
	float own_max = call->loss->row_max[i], own_inverse = call->loss->row_inverse[i];
	for (uint32_t c = 0; c < width; c++)
		s[c] = fast_exp(s[c] - own_max) * own_inverse + fast_exp(s[c] - column_max[c]) * column_inverse[c];
	uint32_t positive = positive_of(i, call->rows);
	/* P - 1 of a pair that is well matched would lose every digit in float32. */
	if (positive >= left && positive - left < width)
		s[positive - left] = -(call->loss->row_miss[i] + call->loss->row_miss[positive]);
}

/* dz of one row, from the gradient with respect to u: the part along u is lost in the normalisation. */
static void row_denormalise(const struct call *call, uint32_t i)
{
	unsigned dim = call->loss->dim;
	const double *du = call->loss->gradient + (size_t)i * dim;
	const float *unit = call->loss->unit + (size_t)i * dim;
	float *dz = call->dz + (size_t)i * dim;
	double norm = call->loss->norm[i], along = 0;
	if (norm < norm_floor)
		norm = norm_floor;
	else
		for (unsigned c = 0; c < dim; c++)
			along += du[c] * (double)unit[c];
	double scale = 1 / ((double)call->rows * call->temperature * norm);
	for (unsigned c = 0; c < dim; c++)
		dz[c] = (float)((du[c] - along * (double)unit[c]) * scale);
}

static void gradient_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct call *call = ctx;
	unsigned dim = call->loss->dim;
	uint32_t first = (uint32_t)task * ROW_TILE, end = tile_end(first, ROW_TILE, call->rows);
	_Alignas(64) float tile[ROW_TILE * COLUMN_TILE];
	size_t count = (size_t)(end - first) * dim;
	double *sum = call->loss->gradient + (size_t)first * dim;
	float *part = call->dz + (size_t)first * dim; /* free until the rows are finished below */
	for (size_t c = 0; c < count; c++)
		sum[c] = 0;
	for (uint32_t left = 0; left < call->rows; left += COLUMN_TILE) {
		uint32_t right = tile_end(left, COLUMN_TILE, call->rows);
		similarity_tile(call, first, end, left, right, tile);
		for (uint32_t i = first; i < end; i++)
			row_coefficients(call, i, tile + (size_t)(i - first) * COLUMN_TILE, left, right - left);
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)(end - first), (int)dim,
			(int)(right - left), 1, tile, COLUMN_TILE, call->loss->unit + (size_t)left * dim, (int)dim, 0,
			part, (int)dim);
		for (size_t c = 0; c < count; c++)
			sum[c] += (double)part[c];
	}
	for (uint32_t i = first; i < end; i++)
		row_denormalise(call, i);
}

void ntxent_forward_backward(struct ntxent *loss, struct team *team, const float *z, uint32_t rows, double temperature,
	float *dz, struct ntxent_result *result)
{
	struct call call = {.loss = loss, .z = z, .dz = dz, .rows = rows, .temperature = temperature};
	size_t tasks = ((size_t)rows + ROW_TILE - 1) / ROW_TILE;
	team_for(team, tasks, normalise_task, &call);
	team_for(team, tasks, statistics_task, &call);
	team_for(team, tasks, gradient_task, &call);
	double sum = 0;
	uint32_t hits = 0;
	for (uint32_t i = 0; i < rows; i++) {
		sum += loss->row_loss[i];
		hits += loss->hit[i];
	}
	result->loss = sum / rows;
	result->accuracy = (double)hits / rows;
}
