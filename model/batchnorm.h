/* SPDX-License-Identifier: Apache-2.0 */
/* Batch normalisation (Ioffe and Szegedy 2015), cut so that each half runs inside the step before or after it. */
#ifndef RINGCLR_MODEL_BATCHNORM_H
#define RINGCLR_MODEL_BATCHNORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/kernels.h"
#include "model/net.h"
#include "model/workspace.h"

#define BATCHNORM_EPSILON 1e-5 /* added to every variance; PyTorch's default too */

/* With gamma NULL it normalises nothing: a dense layer's bias, z = y + beta, which goes the same way. */
struct batchnorm {
	unsigned channels;
	struct param *gamma, *beta; /* beta NULL: none */
	struct net_buffer *running_mean, *running_var;
	float *mean, *scale,
		*shift;	  /* forward: z = (y - mean) scale + shift; copies, so that backward reads no parameter */
	float *a, *b, *c; /* backward: dy = a dz + b (y - mean) + c; NULL when not training */
	double *inv_std;
};

int batchnorm_alloc(struct batchnorm *bn, struct arena *arena, bool training, struct error *err);

static inline struct bn_forward batchnorm_forward(const struct batchnorm *bn)
{
	return (struct bn_forward){bn->mean, bn->scale, bn->shift};
}

static inline struct bn_backward batchnorm_backward(const struct batchnorm *bn)
{
	return (struct bn_backward){bn->mean, bn->a, bn->b, bn->c};
}

/* Forward statistics. A task clears its sums, and stores its tiles, [pixels][channels], to y; the caller closes after
 * the sweep: mean and biased variance over all tasks, in task order, and the running statistics (variance unbiased).
 * `lanes` is scratch for 2 channels floats. */
void batchnorm_clear(struct workspace *workspace, size_t task, unsigned channels);
void batchnorm_store_tile(struct workspace *workspace, size_t task, struct tensor y, const float *tile, size_t pixels,
	unsigned channels, float *lanes);
void batchnorm_close(struct batchnorm *bn, const struct workspace *workspace, size_t tasks);

/* Evaluation: mean and variance are the running ones. */
void batchnorm_use_running(struct batchnorm *bn);

/* Backward statistics: adds a tile's sums, floats [count][channels], to the task's. */
void batchnorm_add_sums(struct workspace *workspace, size_t task, const float *sums, unsigned count, unsigned channels);

/* Closes them: dbeta from sum 0 (of dz), dgamma from sum `cross` (of dz (y - mean)), and the coefficients of dy.
 * pixels: rows x height x width behind the sums. */
void batchnorm_close_backward(
	struct batchnorm *bn, const struct workspace *workspace, size_t tasks, unsigned cross, double pixels);

#endif
