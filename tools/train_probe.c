/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr train --probe. The rate is the linear evaluation's (RECIPE: Evaluation), 0.1 N/256 for a batch of N images,
 * with a cosine over the whole run and no warm-up.
 */
#include "tools/train_job.h"

#define PROBE_RATE 0.1

int train_probe_create(struct train_job *job, struct error *err)
{
	const struct train_options *o = &job->options;
	struct train_probe *probe = &job->probe;
	const struct shard *first = shard_set_at(job->data, 0);
	unsigned classes = shard_classes(first), dim = net_feature_dim(job->net);
	if (classes == 0)
		return error_set(err, ERROR_MISMATCH,
			"%s: the images have no classes, so --probe has nothing to learn; pack class folders, or leave "
			"--probe out",
			shard_path(first));
	uint64_t images = epoch_plan_length(job->plan);
	schedule_init(&probe->schedule, PROBE_RATE, SCHEDULE_LINEAR, o->batch, images, (double)o->epochs, 0);
	uint32_t rows = (uint32_t)o->batch * job->policies.count;
	probe->online = online_probe_create(job->runtime.arena, dim, classes, rows, &probe->schedule, err);
	if (!probe->online)
		return err->code;
	struct probe_sgd_state state = online_probe_state(probe->online);
	probe->tensors[0] = (struct checkpoint_tensor){"probe.weight", 2, {classes, dim}, state.weight};
	probe->tensors[1] = (struct checkpoint_tensor){"probe.bias", 1, {classes}, state.bias};
	uint64_t count = (uint64_t)classes * (dim + (uint64_t)1);
	probe->tensors[2] = (struct checkpoint_tensor){"probe.momentum", 1, {count}, state.momentum};
	job->about.extra = probe->tensors;
	job->about.extra_count = sizeof probe->tensors / sizeof probe->tensors[0];
	return 0;
}
