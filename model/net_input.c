/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A net that normalises its images: (x - mean) / deviation for each colour.
 *
 * Weights of others (torchvision's, timm's) were trained on images normalised so. Dividing the first convolution's
 * weights by the deviation, and taking the mean off by a bias, is the same only inside the image: that convolution pads
 * with zeros, which in a normalised image are the mean colour and in one that is not are black. So a copy is made,
 * which backward reads again.
 */
#include "model/net_steps.h"

#include <math.h>
#include <string.h>

int net_input_check(const struct net_config *config, struct error *err)
{
	for (unsigned c = 0; c < 3; c++) {
		float mean = config->input_mean[c], deviation = config->input_deviation[c];
		bool right = net_normalizes(config) ? deviation > 0 && isfinite(deviation) && isfinite(mean)
						    : deviation == 0 && mean == 0;
		if (!right)
			return error_set(err, ERROR_USAGE,
				"the net's normalisation: mean %g and deviation %g of colour %u: all deviations must "
				"be above "
				"0, or all numbers 0",
				(double)mean, (double)deviation, c);
	}
	return 0;
}

void net_normalize_imagenet(struct net_config *config)
{
	static const float mean[3] = {0.485F, 0.456F, 0.406F}, deviation[3] = {0.229F, 0.224F, 0.225F};
	memcpy(config->input_mean, mean, sizeof mean);
	memcpy(config->input_deviation, deviation, sizeof deviation);
}

static size_t image_floats(const struct net *net)
{
	return (size_t)net->config.size * net->config.size * 3;
}

int net_input_alloc(struct net *net, struct arena *arena, struct error *err)
{
	if (!net_normalizes(&net->config))
		return 0;
	net->normalized =
		arena_alloc(arena, "activations", net->config.max_rows * image_floats(net), sizeof(float), 0, err);
	return net->normalized != NULL ? 0 : ERROR_MEMORY;
}

struct input_sweep {
	const struct net *net;
	const float *x;
	struct workspace_split split;
};

static void normalize_task(void *ctx, size_t task, unsigned thread)
{
	const struct input_sweep *sweep = ctx;
	const struct net *net = sweep->net;
	const float *mean = net->config.input_mean, *deviation = net->config.input_deviation;
	struct workspace_rows rows = workspace_task(&sweep->split, task);
	(void)thread;
	for (size_t i = rows.first * image_floats(net); i < rows.end * image_floats(net); i += 3)
		for (unsigned c = 0; c < 3; c++)
			net->normalized[i + c] = (sweep->x[i + c] - mean[c]) / deviation[c];
}

const float *net_input(struct net *net, const float *x)
{
	if (net->normalized == NULL)
		return x;
	struct input_sweep sweep = {net, x, workspace_split(net->rows, 1)};
	team_for(net->workspace.team, sweep.split.tasks, normalize_task, &sweep);
	return net->normalized;
}
