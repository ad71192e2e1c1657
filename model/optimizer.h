/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Optimizers, one tensor at a time (RECIPE: Optimizer and schedule):
 *
 *   LARS  g += wd w; trust = 0.001 |w| / |g| (1 if either is 0); v = 0.9 v + lr trust g; w -= v.
 *   SGD   g += wd w; v = 0.9 v + g; w -= lr (g + 0.9 v)                                    (Nesterov)
 *   Adam  Kingma and Ba 2015, Algorithm 1, with wd added to the gradient; 0.9, 0.999, 1e-8.
 *
 * One-dimensional tensors (BN, biases) get neither weight decay nor trust.
 */
#ifndef RINGCLR_MODEL_OPTIMIZER_H
#define RINGCLR_MODEL_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/net.h"

enum optimizer_kind { OPTIMIZER_LARS, OPTIMIZER_SGD, OPTIMIZER_ADAM };

struct optimizer_config {
	enum optimizer_kind kind;
	double momentum;     /* 0.9 */
	double weight_decay; /* 1e-6 */
	double trust;	     /* 0.001 */
};

/* One tensor and its state. */
struct optimizer_tensor {
	float *value;  /* [count], updated */
	float *grad;   /* [count], may be overwritten */
	float *first;  /* [count], momentum; Adam: first moment */
	float *second; /* [count], Adam: second moment; else NULL */
	size_t count;
	bool adapt; /* more than one dimension: weight decay and trust apply */
};

/* The formulas above on one tensor: what optimizer_apply() calls. The four arrays do not overlap. */
void optimizer_update(
	const struct optimizer_config *config, const struct optimizer_tensor *tensor, double rate, uint64_t step);

struct optimizer;

/* State (momentum; Adam: both moments) for every parameter of the net, zeroed, from the arena. */
struct optimizer *optimizer_create(
	struct arena *arena, struct net *net, const struct optimizer_config *config, struct error *err);

/* Updates one parameter from its grad, which it may overwrite. step counts from 0 (Adam's bias correction). One thread;
 * sums in a fixed order. */
void optimizer_apply(struct optimizer *optimizer, size_t param_index, double rate, uint64_t step);

/* State tensors for checkpoints: name "momentum.<param>" (Adam: "adam_m.", "adam_v."), memory order of the parameter.
 */
size_t optimizer_state_count(const struct optimizer *optimizer);
void optimizer_state(struct optimizer *optimizer, size_t index, char name[96], float **value, size_t *count);

int optimizer_parse(const char *text, enum optimizer_kind *kind, struct error *err); /* "lars", "sgd", "adam" */

#endif
