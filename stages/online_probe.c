/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch has one label an image and its views one after the other, so the labels are written once for each view. Where
 * some images have no label, the features of the others are moved together first, into memory of the probe's own: h
 * itself is the net's, and is only read.
 */
#include "stages/online_probe.h"

#include <string.h>

struct online_probe {
	struct probe_sgd *sgd;
	const struct schedule *schedule;
	unsigned dim;
	float *features;	     /* [max_rows][dim] */
	int32_t *labels, *predicted; /* [max_rows] */
};

struct online_probe *online_probe_create(struct arena *arena, unsigned dim, unsigned classes, uint32_t max_rows,
	const struct schedule *schedule, struct error *err)
{
	struct online_probe *probe = arena_alloc(arena, "online probe", 1, sizeof *probe, 0, err);
	if (!probe)
		return NULL;
	*probe = (struct online_probe){.schedule = schedule, .dim = dim};
	probe->features = arena_alloc(arena, "online probe", (size_t)max_rows * dim, sizeof(float), 0, err);
	probe->labels = arena_alloc(arena, "online probe", max_rows, sizeof(int32_t), 0, err);
	probe->predicted = arena_alloc(arena, "online probe", max_rows, sizeof(int32_t), 0, err);
	if (!probe->features || !probe->labels || !probe->predicted)
		return NULL;
	probe->sgd = probe_sgd_create(arena, dim, classes, err);
	return probe->sgd ? probe : NULL;
}

struct online_probe_step online_probe_learn(
	struct online_probe *probe, struct team *team, const float *features, const struct batch *batch, uint64_t step)
{
	size_t rows = 0, labelled = 0, dim = probe->dim;
	for (uint32_t i = 0; i < batch->images; i++)
		labelled += batch->label[i] >= 0;
	bool all = labelled == batch->capacity;
	for (uint32_t view = 0; view < batch->views && labelled > 0; view++)
		for (uint32_t i = 0; i < batch->images; i++) {
			if (batch->label[i] < 0)
				continue;
			const float *h = features + ((size_t)view * batch->capacity + i) * dim;
			if (!all)
				memcpy(probe->features + rows * dim, h, dim * sizeof(float));
			probe->labels[rows++] = batch->label[i];
		}
	struct online_probe_step result = {.rows = rows};
	if (rows == 0)
		return result;
	struct probe_data data = {
		.features = all ? features : probe->features,
		.labels = probe->labels,
		.count = rows,
		.predicted = probe->predicted,
	};
	probe_sgd_step(probe->sgd, team, &data, schedule_rate(probe->schedule, step));
	for (size_t row = 0; row < rows; row++)
		result.hits += probe->predicted[row] == probe->labels[row];
	return result;
}

struct probe_sgd_state online_probe_state(struct online_probe *probe)
{
	return probe_sgd_state(probe->sgd);
}
