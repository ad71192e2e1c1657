/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What model/loss.c, which walks the tiles, and the losses themselves share. s_ij = c_ij / t everywhere below.
 *
 * A loss says three things: what a row adds up over its negatives while the tiles of s pass by, what its loss is once
 * they all have, and the derivative of the sum of all rows' losses with respect to s_ij.
 */
#ifndef RINGCLR_MODEL_LOSS_INTERNAL_H
#define RINGCLR_MODEL_LOSS_INTERNAL_H

#include "model/loss.h"

/* LOSS_LANES: sums of a row are that many side by side, so that a loop over them is vector code. */
enum { LOSS_ROW_TILE = 64, LOSS_COLUMN_TILE = 512, LOSS_LANES = 16 };

/* What one row knows after the columns so far. */
struct loss_row {
	double exp_sum;	     /* of exp(s - max) */
	double exp_weighted; /* of exp(s - max) (s - max) */
	double pair_sum;     /* of exp(-2 |u_i - u_j|^2) over the columns j > i */
	double negative_sum; /* of the loss's terms of negatives */
	double taken;	     /* how many negatives had a part in it */
	float max;
	float positive;	    /* s of the positive pair, as the product gave it */
	uint32_t max_index; /* the first column with s = max */
};

struct contrastive_loss {
	struct loss_config config;
	const struct loss_kernel *kernel;
	uint32_t max_rows;
	unsigned dim;
	/* Of rows, [max_rows] unless said otherwise. Set by normalising: */
	float *unit;	       /* [max_rows][dim], u; NULL without normalisation: u is z */
	double *norm;	       /* |z| */
	float *to_cosine;      /* c_ij times those of i and j is the cosine; 1 for normalised rows */
	float *double_squares; /* 2 |z / |z||^2: 2 but for norms below the floor */
	/* Before the sweep over a row's tiles: */
	float *row_positive;  /* s of the positive pair, rounded once: the same for both of its rows */
	float *row_limit;     /* negatives with a larger s are not taken: row_positive, or infinity */
	double *row_distance; /* |u_i - u_p(i)|^2 */
	/* After it, by the loss: */
	double *row_loss;
	float *row_max, *row_inverse; /* NT-Xent: the largest s_ij of row i, j != i; 1 / sum of exp(s_ij - row_max) */
	float *row_weight;	      /* the others: weight of one negative, 0 where the row has none */
	float *row_pull;	      /* -(derivative of row i's loss with respect to s_ip(i)) */
	/* and the metrics: */
	double *row_entropy, *row_pairs;
	unsigned char *hit; /* 1: the positive is the first largest */
	double *gradient;   /* [max_rows][dim], sum over columns of (...) u_j, not scaled */
};

struct loss_call {
	struct contrastive_loss *loss;
	const float *z;
	const float *u; /* [rows][dim] */
	float *dz;
	uint32_t rows;
	double divisor; /* of the gradient with respect to u */
	/* s - row_positive + reach > 0 for negatives that are taken: m / t, or infinity. */
	float reach;
};

struct loss_kernel {
	const char *name;
	bool by_similarity; /* the loss is in units of c, not of s */
	bool has_reach;	    /* of all negatives only those within the margin count */
	/* s: [count] of row i, a multiple of LOSS_LANES; what is no negative is -infinity. NULL: nothing to add up. */
	void (*add)(const struct loss_call *call, uint32_t i, const float *s, uint32_t count, struct loss_row *row);
	void (*finish)(const struct loss_call *call, uint32_t i, const struct loss_row *row);
	/* s of row i, columns left to left + width, becomes the derivative with respect to s_ij + s_ji; the diagonal
	 * is -infinity and becomes 0. The positive's place is set by the caller, from row_pull. */
	void (*coefficients)(const struct loss_call *call, uint32_t i, float *s, uint32_t left, uint32_t width);
};

extern const struct loss_kernel loss_ntxent, loss_logistic, loss_margin;

/* Of `count` numbers, a multiple of LOSS_LANES. */
double loss_sum(const float *value, uint32_t count);

/* Whether a negative is taken: the one place where that is said. 1 or 0; -infinity is not. */
static inline float loss_takes(float s, float positive, float limit, float reach)
{
	return (float)((s < limit) & (s - positive + reach > 0.0f));
}

/* Weight of one of the row's negatives. */
static inline double loss_negative_weight(const struct loss_call *call, const struct loss_row *row)
{
	bool all = call->loss->config.negatives == LOSS_NEGATIVES_ALL;
	double count = all ? (double)call->rows - 2 : row->taken;
	return count > 0 ? 1 / count : 0;
}

#endif
