/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The online probe: a linear classifier on h that learns beside the encoder, from the same batches, and sends nothing
 * back into it. Its accuracy says during training what h knows of the classes, some points below a linear evaluation:
 * it sees augmented views, and an encoder that moves.
 */
#ifndef RINGCLR_STAGES_ONLINE_PROBE_H
#define RINGCLR_STAGES_ONLINE_PROBE_H

#include "model/probe.h"
#include "model/schedule.h"
#include "pipeline/arena.h"
#include "stages/items.h"

struct online_probe;

/* All of it from the arena. max_rows: views of a batch. The rate follows `schedule`, which outlives the probe. */
struct online_probe *online_probe_create(struct arena *arena, unsigned dim, unsigned classes, uint32_t max_rows,
	const struct schedule *schedule, struct error *err);

struct online_probe_step {
	uint64_t hits; /* of the rows, before the step */
	uint64_t rows; /* views of images with a label */
};

/* One step of SGD on a training batch. features: [batch->views * batch->capacity][dim], in the order of batch->x.
 * Images without a label (-1) are left out; where none has one, nothing is learned. Allocates nothing. */
struct online_probe_step online_probe_learn(
	struct online_probe *probe, struct team *team, const float *features, const struct batch *batch, uint64_t step);

struct probe_sgd_state online_probe_state(struct online_probe *probe);

#endif
