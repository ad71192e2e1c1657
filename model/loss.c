/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tiles of all contrastive losses. With s_ij = u_i . u_j / t every loss is a mean over rows of a function of row
 * i's s; as s is symmetric, the gradient with respect to u_i is
 *
 *	1 / (rows t) * sum over j of (D_ij + D_ji) u_j,		D_ij the derivative of row i's loss by s_ij.
 *
 * Three passes over tasks of LOSS_ROW_TILE rows each. First: norms and u. Second: for each tile of LOSS_COLUMN_TILE
 * columns one sgemm gives s, and every row keeps its running maximum and its place, the sum of e = exp(s - maximum),
 * and what the loss (loss_ntxent.c, loss_logistic.c, loss_margin.c) and the metrics add up. The entropy is log(sum of
 * e) - sum of e (s - maximum) / sum of e. Uniformity takes each pair once, from the half right of the diagonal: |u_i
 * - u_j|^2 = |u_i|^2 + |u_j|^2 - 2 cos. Third: the same sgemm again; D_ij and D_ji both follow from s_ij and what the
 * two rows kept, so a second sgemm multiplies the tile by the columns' u at once. The gradient with respect to z
 * follows row by row, by the derivative of the normalisation.
 *
 * Memory is O(rows * dim) and one tile on the stack of each thread. Tiles are float32, sums that cross tiles float64. A
 * task writes its own rows alone and the loss is summed in row order: the result does not depend on the team. s_ij and
 * s_ji come from different products and may differ in the last bit: a negative that lies on an edge to that bit can be
 * taken in one pass and not in the other.
 */
#include "model/loss.h"
#include "model/blas.h"

#include <cblas.h>
#include <math.h>

#include "model/fast_exp.h"
#include "model/loss_internal.h"

/* Below this a norm counts as this, and is a constant to the derivative, as in torch.nn.functional.normalize. */
static const double norm_floor = 1e-12;

static const struct loss_kernel *const loss_kernels[] = {
	[LOSS_NT_XENT] = &loss_ntxent,
	[LOSS_NT_LOGISTIC] = &loss_logistic,
	[LOSS_MARGIN] = &loss_margin,
};

/* ---- Setting up ---- */

static int check_config(const struct loss_config *config, struct error *err)
{
	if (config->kind == LOSS_CROSS_ENTROPY)
		return error_set(err, ERROR_USAGE, "loss: cross-entropy is not contrastive: it needs labels");
	if (!(config->temperature > 0) || !isfinite(config->temperature))
		return error_set(err, ERROR_USAGE, "loss: temperature %g: give a number over 0", config->temperature);
	if (!(config->margin >= 0) || !isfinite(config->margin))
		return error_set(err, ERROR_USAGE, "loss: margin %g: give 0 or more", config->margin);
	if (config->negatives == LOSS_NEGATIVES_ALL)
		return 0;
	if (config->kind == LOSS_NT_XENT)
		return error_set(err, ERROR_USAGE,
			"loss: NT-Xent weighs negatives by itself and takes all of them: leave semi-hard out, or "
			"choose NT-Logistic or margin");
	if (config->margin == 0)
		return error_set(err, ERROR_USAGE,
			"loss: no negative is semi-hard within a margin of 0: give a margin over 0, or take all");
	return 0;
}

static int allocate_rows(struct contrastive_loss *loss, struct arena *arena, struct error *err)
{
	struct {
		void **memory;
		size_t count, size;
	} parts[] = {
		{(void **)&loss->unit, loss->config.normalize ? loss->dim : 0, sizeof(float)},
		{(void **)&loss->gradient, loss->dim, sizeof(double)},
		{(void **)&loss->norm, 1, sizeof(double)},
		{(void **)&loss->to_cosine, 1, sizeof(float)},
		{(void **)&loss->double_squares, 1, sizeof(float)},
		{(void **)&loss->row_positive, 1, sizeof(float)},
		{(void **)&loss->row_limit, 1, sizeof(float)},
		{(void **)&loss->row_distance, 1, sizeof(double)},
		{(void **)&loss->row_loss, 1, sizeof(double)},
		{(void **)&loss->row_max, 1, sizeof(float)},
		{(void **)&loss->row_inverse, 1, sizeof(float)},
		{(void **)&loss->row_weight, 1, sizeof(float)},
		{(void **)&loss->row_pull, 1, sizeof(float)},
		{(void **)&loss->row_entropy, 1, sizeof(double)},
		{(void **)&loss->row_pairs, 1, sizeof(double)},
		{(void **)&loss->hit, 1, 1},
	};
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		if (parts[i].count == 0)
			continue;
		*parts[i].memory = arena_alloc(arena, "loss", loss->max_rows * parts[i].count, parts[i].size, 0, err);
		if (!*parts[i].memory)
			return err->code;
	}
	return 0;
}

struct contrastive_loss *contrastive_loss_create(
	struct arena *arena, const struct loss_config *config, uint32_t max_rows, unsigned dim, struct error *err)
{
	if (max_rows < 2 || max_rows % 2 != 0 || dim == 0) {
		error_set(err, ERROR_USAGE,
			"loss: %u rows of %u columns: give an even number of rows and at least one column", max_rows,
			dim);
		return NULL;
	}
	if (check_config(config, err) < 0 || blas_prepare(err) < 0)
		return NULL;
	struct contrastive_loss *loss = arena_alloc(arena, "loss", 1, sizeof *loss, 0, err);
	if (!loss)
		return NULL;
	*loss = (struct contrastive_loss){
		.config = *config, .kernel = loss_kernels[config->kind], .max_rows = max_rows, .dim = dim};
	return allocate_rows(loss, arena, err) == 0 ? loss : NULL;
}

const char *loss_name(enum loss_kind kind)
{
	return kind == LOSS_CROSS_ENTROPY ? "cross-entropy" : loss_kernels[kind]->name;
}

/* ---- Tiles ---- */

static uint32_t tile_end(uint32_t start, uint32_t width, uint32_t rows)
{
	return rows - start < width ? rows : start + width;
}

static uint32_t positive_of(uint32_t row, uint32_t rows)
{
	return row < rows / 2 ? row + rows / 2 : row - rows / 2;
}

/* Rounded up to whole vectors. */
static uint32_t padded(uint32_t width)
{
	return (width + LOSS_LANES - 1) / LOSS_LANES * LOSS_LANES;
}

static void normalise_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct loss_call *call = ctx;
	struct contrastive_loss *loss = call->loss;
	unsigned dim = loss->dim;
	uint32_t first = (uint32_t)task * LOSS_ROW_TILE;
	for (uint32_t i = first; i < tile_end(first, LOSS_ROW_TILE, call->rows); i++) {
		const float *z = call->z + (size_t)i * dim;
		double sum = 0;
		for (unsigned c = 0; c < dim; c++)
			sum += (double)z[c] * (double)z[c];
		double norm = sqrt(sum);
		loss->norm[i] = norm;
		double inverse = 1 / (norm < norm_floor ? norm_floor : norm);
		loss->double_squares[i] = norm < norm_floor ? (float)(2 * norm * inverse * norm * inverse) : 2.0f;
		loss->to_cosine[i] = loss->unit ? 1.0f : (float)inverse;
		if (!loss->unit)
			continue;
		float *unit = loss->unit + (size_t)i * dim;
		for (unsigned c = 0; c < dim; c++)
			unit[c] = (float)((double)z[c] * inverse);
	}
}

/* tile: [LOSS_ROW_TILE][LOSS_COLUMN_TILE] = s of rows first.. and columns left..; the diagonal, and what fills the last
 * vector of each row, are -infinity. */
static void similarity_tile(
	const struct loss_call *call, uint32_t first, uint32_t first_end, uint32_t left, uint32_t left_end, float *tile)
{
	unsigned dim = call->loss->dim;
	uint32_t width = left_end - left;
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)(first_end - first), (int)width, (int)dim,
		(float)(1 / call->loss->config.temperature), call->u + (size_t)first * dim, (int)dim,
		call->u + (size_t)left * dim, (int)dim, 0, tile, LOSS_COLUMN_TILE);
	for (uint32_t i = first; i < first_end; i++) {
		float *s = tile + (size_t)(i - first) * LOSS_COLUMN_TILE;
		if (i >= left && i < left_end)
			s[i - left] = -INFINITY;
		for (uint32_t c = width; c % LOSS_LANES != 0; c++)
			s[c] = -INFINITY;
	}
}

/* ---- Second pass: statistics ---- */

/* Written by a pointer that moves: by an index, gcc 12 adds one number at a time. */
double loss_sum(const float *value, uint32_t count)
{
	double lane[LOSS_LANES] = {0}, sum = 0;
	for (const float *end = value + count; value < end; value += LOSS_LANES)
		for (unsigned l = 0; l < LOSS_LANES; l++)
			/* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): count is in whole vectors */
			lane[l] += (double)value[l];
	for (unsigned l = 0; l < LOSS_LANES; l++)
		sum += lane[l];
	return sum;
}

/* What row i and its positive are to each other. */
static void compare_views(const struct loss_call *call, uint32_t i)
{
	struct contrastive_loss *loss = call->loss;
	uint32_t positive = positive_of(i, call->rows);
	const float *a = call->u + (size_t)i * loss->dim, *b = call->u + (size_t)positive * loss->dim;
	double product = 0, distance = 0, a_scale = 1, b_scale = 1;
	if (!loss->unit) {
		a_scale = 1 / (loss->norm[i] < norm_floor ? norm_floor : loss->norm[i]);
		b_scale = 1 / (loss->norm[positive] < norm_floor ? norm_floor : loss->norm[positive]);
	}
	for (unsigned c = 0; c < loss->dim; c++) {
		double apart = (double)a[c] * a_scale - (double)b[c] * b_scale;
		product += (double)a[c] * (double)b[c];
		distance += apart * apart;
	}
	loss->row_distance[i] = distance;
	loss->row_positive[i] = (float)(product / loss->config.temperature);
	loss->row_limit[i] = loss->config.negatives == LOSS_NEGATIVES_SEMI_HARD ? loss->row_positive[i] : INFINITY;
}

/* The largest of `count` numbers, a multiple of LOSS_LANES. NaN counts as small: it shows in the sums. */
static float row_maximum(const float *s, uint32_t count)
{
	float lane[LOSS_LANES];
	for (unsigned l = 0; l < LOSS_LANES; l++)
		lane[l] = -INFINITY;
	for (uint32_t c = 0; c < count; c += LOSS_LANES)
		for (unsigned l = 0; l < LOSS_LANES; l++)
			lane[l] = s[c + l] > lane[l] ? s[c + l] : lane[l];
	float largest = lane[0];
	for (unsigned l = 1; l < LOSS_LANES; l++)
		largest = lane[l] > largest ? lane[l] : largest;
	return largest;
}

/* Adds e = exp(s - shift) and e (s - shift). Overwrites s. */
static void row_add_exp(struct loss_row *row, float *s, uint32_t count, float shift)
{
	_Alignas(64) float weighted[LOSS_COLUMN_TILE];
	for (uint32_t c = 0; c < count; c++) {
		float below = s[c] - shift;
		s[c] = fast_exp(below);
		/* e is 0 there; so that 0 times -infinity is, too. */
		weighted[c] = s[c] * (below < -86.0f ? -86.0f : below);
	}
	row->exp_sum += loss_sum(s, count);
	row->exp_weighted += loss_sum(weighted, count);
}

/* Takes one row's part of a tile into its softmax. s: [count], a multiple of LOSS_LANES, columns left... Overwrites s.
 */
static void row_add_softmax(struct loss_row *row, float *s, uint32_t left, uint32_t count)
{
	float largest = row_maximum(s, count);
	if (largest > row->max) {
		uint32_t c = 0;
		while (s[c] != largest)
			c++;
		row->max_index = left + c;
		double change = (double)row->max - (double)largest, factor = exp(change);
		if (row->max > -INFINITY)
			row->exp_weighted = (row->exp_weighted + change * row->exp_sum) * factor;
		row->exp_sum *= factor;
		row->max = largest;
	}
	/* No finite number yet (the first tile of a row may hold the diagonal alone): any shift does. */
	row_add_exp(row, s, count, row->max == -INFINITY ? 0.0f : row->max);
}

/* exp(-2 |u_i - u_j|^2) of row i and the columns j > i of a tile. */
static double row_pair_sum(const struct loss_call *call, uint32_t i, const float *s, uint32_t left, uint32_t width)
{
	uint32_t from = i >= left ? i + 1 - left : 0;
	if (from >= width)
		return 0;
	const struct contrastive_loss *loss = call->loss;
	const float *restrict to_cosine = loss->to_cosine + left, *restrict squares = loss->double_squares + left;
	float scale = (float)(4 * loss->config.temperature) * loss->to_cosine[i], own = loss->double_squares[i];
	_Alignas(64) float e[LOSS_COLUMN_TILE];
	for (uint32_t c = from; c < width; c++)
		e[c - from] = fast_exp(s[c] * scale * to_cosine[c] - (own + squares[c]));
	uint32_t count = width - from;
	for (; count % LOSS_LANES != 0; count++)
		e[count] = 0;
	return loss_sum(e, count);
}

/* Takes one row's part of a tile into all its sums. Overwrites s. */
static void row_update(
	const struct loss_call *call, uint32_t i, struct loss_row *row, float *s, uint32_t left, uint32_t width)
{
	uint32_t positive = positive_of(i, call->rows) - left; /* wraps where it lies left of the tile */
	row->pair_sum += row_pair_sum(call, i, s, left, width);
	if (positive < width)
		row->positive = s[positive];
	if (call->loss->kernel->add) {
		if (positive < width)
			s[positive] = -INFINITY;
		call->loss->kernel->add(call, i, s, padded(width), row);
		if (positive < width)
			s[positive] = row->positive;
	}
	row_add_softmax(row, s, left, padded(width));
}

static void statistics_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct loss_call *call = ctx;
	struct contrastive_loss *loss = call->loss;
	uint32_t first = (uint32_t)task * LOSS_ROW_TILE, end = tile_end(first, LOSS_ROW_TILE, call->rows);
	_Alignas(64) float tile[LOSS_ROW_TILE * LOSS_COLUMN_TILE];
	struct loss_row rows[LOSS_ROW_TILE];
	for (uint32_t r = 0; r < LOSS_ROW_TILE; r++)
		rows[r] = (struct loss_row){.max = -INFINITY, .max_index = UINT32_MAX};
	for (uint32_t i = first; i < end; i++)
		compare_views(call, i);
	for (uint32_t left = 0; left < call->rows; left += LOSS_COLUMN_TILE) {
		uint32_t right = tile_end(left, LOSS_COLUMN_TILE, call->rows);
		similarity_tile(call, first, end, left, right, tile);
		for (uint32_t i = first; i < end; i++)
			row_update(call, i, &rows[i - first], tile + (size_t)(i - first) * LOSS_COLUMN_TILE, left,
				right - left);
	}
	for (uint32_t i = first; i < end; i++) {
		const struct loss_row *row = &rows[i - first];
		loss->kernel->finish(call, i, row);
		loss->row_entropy[i] = log(row->exp_sum) - row->exp_weighted / row->exp_sum;
		loss->row_pairs[i] = row->pair_sum;
		loss->hit[i] = row->max_index == positive_of(i, call->rows);
	}
}

/* ---- Third pass: the gradient ---- */

/* dz of one row, from the gradient with respect to u: the part along u is lost in the normalisation. */
static void row_finish_gradient(const struct loss_call *call, uint32_t i)
{
	const struct contrastive_loss *loss = call->loss;
	unsigned dim = loss->dim;
	const double *du = loss->gradient + (size_t)i * dim;
	const float *u = call->u + (size_t)i * dim;
	float *dz = call->dz + (size_t)i * dim;
	double norm = loss->unit ? loss->norm[i] : 1, along = 0;
	if (norm < norm_floor)
		norm = norm_floor;
	else if (loss->unit)
		for (unsigned c = 0; c < dim; c++)
			along += du[c] * (double)u[c];
	double scale = 1 / (call->divisor * norm);
	for (unsigned c = 0; c < dim; c++)
		dz[c] = (float)((du[c] - along * (double)u[c]) * scale);
}

static void gradient_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct loss_call *call = ctx;
	struct contrastive_loss *loss = call->loss;
	unsigned dim = loss->dim;
	uint32_t first = (uint32_t)task * LOSS_ROW_TILE, end = tile_end(first, LOSS_ROW_TILE, call->rows);
	_Alignas(64) float tile[LOSS_ROW_TILE * LOSS_COLUMN_TILE];
	size_t count = (size_t)(end - first) * dim;
	double *sum = loss->gradient + (size_t)first * dim;
	float *part = call->dz + (size_t)first * dim; /* free until the rows are finished below */
	for (size_t c = 0; c < count; c++)
		sum[c] = 0;
	for (uint32_t left = 0; left < call->rows; left += LOSS_COLUMN_TILE) {
		uint32_t right = tile_end(left, LOSS_COLUMN_TILE, call->rows);
		similarity_tile(call, first, end, left, right, tile);
		for (uint32_t i = first; i < end; i++) {
			float *s = tile + (size_t)(i - first) * LOSS_COLUMN_TILE;
			uint32_t positive = positive_of(i, call->rows);
			loss->kernel->coefficients(call, i, s, left, right - left);
			if (positive >= left && positive < right)
				s[positive - left] = -(loss->row_pull[i] + loss->row_pull[positive]);
		}
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)(end - first), (int)dim,
			(int)(right - left), 1, tile, LOSS_COLUMN_TILE, call->u + (size_t)left * dim, (int)dim, 0, part,
			(int)dim);
		for (size_t c = 0; c < count; c++)
			sum[c] += (double)part[c];
	}
	for (uint32_t i = first; i < end; i++)
		row_finish_gradient(call, i);
}

/* ---- All of it ---- */

static void sum_rows(const struct contrastive_loss *loss, uint32_t rows, struct loss_result *result)
{
	double sum = 0, entropy = 0, pairs = 0, distance = 0;
	uint32_t hits = 0;
	for (uint32_t i = 0; i < rows; i++) {
		sum += loss->row_loss[i];
		entropy += loss->row_entropy[i];
		pairs += loss->row_pairs[i];
		hits += loss->hit[i];
	}
	for (uint32_t i = 0; i < rows / 2; i++)
		distance += loss->row_distance[i];
	*result = (struct loss_result){
		.loss = sum / rows,
		.accuracy = (double)hits / rows,
		.entropy = entropy / rows,
		.alignment = distance / (0.5 * rows),
		.uniformity = log(pairs / (0.5 * rows * (rows - 1.0))),
	};
	/* Comparisons alone, which is all that the margin loss may come to, would not see a NaN. */
	if (!isfinite(entropy))
		result->loss = NAN;
}

void contrastive_loss_forward_backward(struct contrastive_loss *loss, struct team *team, const float *z, uint32_t rows,
	float *dz, struct loss_result *result)
{
	const struct loss_config *config = &loss->config;
	bool near = loss->kernel->has_reach || config->negatives == LOSS_NEGATIVES_SEMI_HARD;
	struct loss_call call = {
		.loss = loss,
		.z = z,
		.u = loss->unit ? loss->unit : z,
		.dz = dz,
		.rows = rows,
		.divisor = loss->kernel->by_similarity ? (double)rows : (double)rows * config->temperature,
		.reach = near ? (float)(config->margin / config->temperature) : INFINITY,
	};
	size_t tasks = ((size_t)rows + LOSS_ROW_TILE - 1) / LOSS_ROW_TILE;
	team_for(team, tasks, normalise_task, &call);
	team_for(team, tasks, statistics_task, &call);
	team_for(team, tasks, gradient_task, &call);
	sum_rows(loss, rows, result);
}
