/* SPDX-License-Identifier: Apache-2.0 */
/* A net's convolutions one by one, for benchmarks and reports: what each is, what it moves, and each pass alone. */
#include "model/net_steps.h"

/* Convolution number `index`, in the order of forward. */
static const struct step *conv_step(const struct net *net, size_t index)
{
	const struct step *step = net->steps;
	for (;; step++) {
		if (step->kind == STEP_CONV && index-- == 0)
			return step;
	}
}

size_t net_layer_count(const struct net *net)
{
	size_t count = 0;
	for (size_t i = 0; i < net->step_count; i++)
		count += net->steps[i].kind == STEP_CONV;
	return count;
}

static uint64_t value_bytes(const struct value *value)
{
	return (uint64_t)value->height * value->width * value->channels * element_bytes(value->data.element);
}

struct net_layer net_layer(const struct net *net, size_t index)
{
	const struct step *step = conv_step(net, index);
	const struct conv *conv = &step->conv;
	const struct conv_shape *s = &conv->config.shape;
	uint64_t in = value_bytes(step->in), out = value_bytes(step->out);
	struct net_layer layer = {
		.name = net->params[step->weight].name,
		.in_h = s->in_h,
		.in_w = s->in_w,
		.in_c = s->in_c,
		.out_h = s->out_h,
		.out_w = s->out_w,
		.out_c = s->out_c,
		.kernel = s->kernel,
		.stride = s->stride,
		.flops = 2ull * s->kernel * s->kernel * s->in_c * s->out_c * s->out_h * s->out_w,
		.path = {conv_path_name(conv->forward.path, conv->forward.element)},
		.bytes = {in + out},
	};
	if (step->in->grad.data != NULL) {
		layer.path[NET_DATA_GRADIENT] = conv_path_name(conv->data.path, conv->data.element);
		layer.bytes[NET_DATA_GRADIENT] = 2 * out + in + (step->add ? in : 0) + (step->finishes ? in : 0);
	}
	if (net->config.training) {
		layer.path[NET_WEIGHT_GRADIENT] = conv_path_name(conv->weights.path, conv->weights.element);
		layer.bytes[NET_WEIGHT_GRADIENT] = 2 * out + in;
	}
	return layer;
}

void net_run_layer(struct net *net, struct team *team, size_t index, enum net_pass pass, uint32_t rows)
{
	const struct step *step = conv_step(net, index);
	struct param *weight = &net->params[step->weight];
	struct conv_operand source = {.x = step->in->data, .bn = step->in->bn};
	struct conv_operand gradient = {step->out->grad, step->out->data, step->out->bn};
	struct value_finish finish = {step->in, &net->workspace, step->add, step->finishes};
	net->workspace.team = team;
	switch (pass) {
	case NET_FORWARD:
		conv_forward(&step->conv, &net->workspace, source, weight->value, step->out->data, rows);
		break;
	case NET_DATA_GRADIENT:
		conv_backward_data(
			&step->conv, &net->workspace, gradient, weight->value, rows, value_finish_tile, &finish);
		break;
	case NET_WEIGHT_GRADIENT:
		conv_backward_weights(&step->conv, &net->workspace, gradient, source, weight->grad, rows);
		break;
	}
}
