/* SPDX-License-Identifier: Apache-2.0 */
/* What a frozen encoder's features know: weighted kNN and logistic regression (RECIPE: Evaluation). */
#ifndef RINGCLR_MODEL_PROBE_H
#define RINGCLR_MODEL_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/arena.h"
#include "pipeline/error.h"
#include "pipeline/team.h"

struct probe_data {
	const float *features; /* [count][dim] */
	const int32_t *labels; /* [count], 0..classes-1 */
	size_t count;
	int32_t *
		predicted; /* [count]; out: the foremost class of each row that is scored, -1: none. NULL: not wanted */
};

struct probe_score {
	double top1, top5; /* percent; top5 is 100 when there are at most 5 classes */
	double ridge;	   /* the regression's chosen weight; 0 otherwise */
};

/* Cosine similarity; the k nearest of the bank vote exp(similarity / temperature). k is cut to the bank's size. Equal
 * similarities: the lower index is nearer; equal votes: the lower class is ahead. A class without a vote is no hit in
 * top5. In tiles: memory O(threads * tile), and four bytes a record of the bank. Recipe: k 200, temperature 0.1. */
int probe_knn(struct team *team, const struct probe_data *bank, const struct probe_data *test, unsigned dim,
	unsigned classes, unsigned k, double temperature, struct probe_score *score, struct error *err);

/* Multinomial logistic regression with bias, by L-BFGS (liblbfgs): minimises mean cross-entropy + ridge |W|^2 on
 * features standardised by the mean and deviation (+1e-6) of train and validation together. The ridge with the best
 * accuracy on `validation` (the strongest of equals) is refitted on train and validation together and scored on test.
 * Fits go from the strongest ridge to the weakest, each from where the one before ended; the order of `ridges` is of no
 * account. validation NULL: every tenth sample of train is held out for the choice. One ridge: there is no choice to
 * make. */
int probe_logistic_lbfgs(struct team *team, const struct probe_data *train, const struct probe_data *validation,
	const struct probe_data *test, unsigned dim, unsigned classes, const double *ridges, size_t ridge_count,
	struct probe_score *score, struct error *err);

/* 45 ridge weights, logarithmically spaced from 1e-6 to 1e5 (RECIPE: transfer). */
void probe_ridge_grid(double ridges[45]);

/* The SGD protocol's classifier: weights [classes][dim] and bias from zero, Nesterov momentum 0.9, no decay. */
struct probe_sgd;
/* From the arena, and then the arena's; arena NULL: for probe_sgd_destroy(). */
struct probe_sgd *probe_sgd_create(struct arena *arena, unsigned dim, unsigned classes, struct error *err);
void probe_sgd_destroy(struct probe_sgd *probe);
/* One step on a batch; returns the mean cross-entropy before the step. predicted: by the weights before the step.
 * Allocates nothing. */
double probe_sgd_step(struct probe_sgd *probe, struct team *team, const struct probe_data *batch, double rate);
void probe_sgd_score(
	struct probe_sgd *probe, struct team *team, const struct probe_data *test, struct probe_score *score);

/* What it knows, to be saved and put back; the arrays stay the probe's. */
struct probe_sgd_state {
	float *weight;	 /* [classes][dim] */
	float *bias;	 /* [classes] */
	float *momentum; /* [classes * (dim + 1)], in the order of weight and bias */
};
struct probe_sgd_state probe_sgd_state(struct probe_sgd *probe);

#endif
