/* SPDX-License-Identifier: Apache-2.0 */
/* What the probes share: checks of their data, and softmax regression's loss, gradient and score. */
#ifndef RINGCLR_MODEL_PROBE_INTERNAL_H
#define RINGCLR_MODEL_PROBE_INTERNAL_H

#include "model/probe.h"

/* ERROR_USAGE when data is empty or a label is not in 0..classes-1; `name` is "train", "test"... */
int probe_check(const struct probe_data *data, const char *name, unsigned classes, struct error *err);

/* Zeroed memory from the arena, or, arena NULL, for free(). NULL with *err set when there is none. */
void *probe_alloc(struct arena *arena, size_t count, size_t size_bytes, struct error *err);

/* Scratch for a linear classifier. Its weights are one array of classes * (dim + 1) numbers: W [classes][dim], then the
 * bias [classes]. */
struct softmax;
struct softmax *softmax_create(unsigned dim, unsigned classes, struct error *err);
/* The same from an arena, and then the arena's: not for softmax_destroy(). arena NULL: softmax_create(). */
struct softmax *softmax_create_in(struct arena *arena, unsigned dim, unsigned classes, struct error *err);
void softmax_destroy(struct softmax *softmax);		    /* NULL is allowed */
size_t softmax_weight_count(const struct softmax *softmax); /* classes * (dim + 1) */
size_t softmax_ridged_count(const struct softmax *softmax); /* classes * dim: without the bias */

/* Mean cross-entropy of softmax(features W^T + bias) against the labels; gradient: its derivative, in the order of the
 * weights. The same bits for any team. */
double softmax_gradient(struct softmax *softmax, struct team *team, const struct probe_data *data,
	const double *weights, double *gradient);

/* Moves weights (float64) from where they are to the minimum of that loss + ridge |W|^2, by L-BFGS. Ends early, without
 * an error, after 200 iterations or where a line search cannot tell two points apart. */
int softmax_minimise(struct softmax *softmax, struct team *team, const struct probe_data *data, double ridge,
	double *weights, struct error *err);

/* Equal logits: the lower class is ahead. */
void softmax_score(struct softmax *softmax, struct team *team, const struct probe_data *data, const double *weights,
	struct probe_score *score);

#endif
