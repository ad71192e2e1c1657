/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps as nodes. A convolution's output is kept before its BN, and who reads it applies BN, and ReLU unless it is
 * a join or the output: here BN and that ReLU belong to the convolution, so that a value is what its name says.
 */
#include "model/net_graph.h"

#include <stdio.h>
#include <string.h>

#include "model/net_steps.h"

/* What evaluation alone looks at (net_tap()) is no part of the graph. */
static bool is_node(const struct net *net, const struct step *step)
{
	return net->hidden == NULL || step->out != net->hidden;
}

size_t net_node_count(const struct net *net)
{
	size_t count = 0;
	for (size_t i = 0; i < net->step_count; i++)
		count += is_node(net, &net->steps[i]);
	return count;
}

size_t net_encoder_node_count(const struct net *net)
{
	return net->encoder_steps;
}

size_t net_graph_values(const struct net *net)
{
	return net->value_count;
}

double net_batchnorm_epsilon(void)
{
	return BATCHNORM_EPSILON;
}

/* All readers of a convolution's output want the same: those in a block ReLU, the join at its end none. */
static bool read_rectified(const struct net *net, const struct value *value)
{
	for (size_t i = 0; i < net->step_count; i++)
		if (net->steps[i].in == value && is_node(net, &net->steps[i]))
			return net->steps[i].kind == STEP_CONV || net->steps[i].kind == STEP_POOL_MAX;
	return false;
}

static void describe_conv(const struct net *net, const struct step *step, struct net_node *node)
{
	const struct conv_shape *shape = &step->conv.config.shape;
	const struct batchnorm *bn = step->out->bn;
	node->weight = &net->params[step->weight];
	node->kind = node->weight->kind == PARAM_DENSE ? NET_NODE_DENSE : NET_NODE_CONV;
	snprintf(node->name, sizeof node->name, "%.*s", (int)(strlen(node->weight->name) - strlen(".weight")),
		node->weight->name);
	node->kernel = shape->kernel;
	node->stride = shape->stride;
	node->pad = shape->pad;
	node->gamma = bn->gamma;
	node->beta = bn->beta;
	node->mean = bn->running_mean;
	node->variance = bn->running_var;
	node->relu = read_rectified(net, step->out);
}

struct net_node net_node(const struct net *net, size_t index)
{
	const struct step *step = net->steps;
	for (; index > 0 || !is_node(net, step); step++)
		index -= is_node(net, step);
	struct net_node node = {
		.in = (unsigned)(step->in - net->values),
		.out = (unsigned)(step->out - net->values),
	};
	for (size_t i = 0; i < net->block_count; i++)
		if (net->blocks[i].out == step->out)
			snprintf(node.name, sizeof node.name, "%s", net->blocks[i].name);
	switch (step->kind) {
	case STEP_CONV:
		describe_conv(net, step, &node);
		break;
	case STEP_JOIN:
		node.kind = step->skip != NULL ? NET_NODE_ADD : NET_NODE_RELU;
		if (step->skip != NULL)
			node.skip = (unsigned)(step->skip - net->values);
		break;
	case STEP_POOL_MAX:
		node.kind = NET_NODE_MAX_POOL;
		break;
	case STEP_POOL_MEAN:
		node.kind = NET_NODE_MEAN;
		break;
	case STEP_OUTPUT:
		node.kind = NET_NODE_OUTPUT;
		break;
	}
	return node;
}
