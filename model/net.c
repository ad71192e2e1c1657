/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the list of steps: forwards in order, backwards in reverse.
 *
 * Each step is one sweep of the team over the batch; between two steps the statistics of a BN close. Forward, a
 * convolution's sweep ends with the moments of its output, and whoever reads that output normalises it. Backward, the
 * sweep that completes a value's gradient undoes the ReLU in front of it and sums for its BN, and whoever reads that
 * gradient applies BN's backward to it. So an activation or gradient crosses memory once each way.
 *
 * A parameter's value is last read before its gradient is announced: gamma and beta are copied at forward, and a
 * convolution's data gradient comes before its weight gradient.
 */
#include "model/net_steps.h"

#include <stdio.h>
#include <string.h>

#include "pipeline/trace.h"

static int check_config(struct net_config *config, struct error *err)
{
	unsigned depth;
	char name[24];
	snprintf(name, sizeof name, "resnet%u", config->depth);
	if (net_parse_model(name, &depth, err) < 0)
		return ERROR_USAGE;
	if (!(config->width > 0.0f && config->width <= 16.0f))
		return error_set(err, ERROR_USAGE, "width %g: the model's width must be above 0 and at most 16",
			(double)config->width);
	if (config->size == 0 || config->size > 4096)
		return error_set(err, ERROR_USAGE, "input side %u: must be 1 to 4096 pixels", config->size);
	if (config->max_rows == 0)
		return error_set(err, ERROR_USAGE, "a net for 0 images: the batch must have at least one");
	if (config->head_dim > 65536)
		return error_set(err, ERROR_USAGE, "head of %u outputs: must be at most 65536", config->head_dim);
	if (config->head_dim == 0 && net_is_classifier(config->head))
		return error_set(err, ERROR_USAGE, "a classifier of 0 classes: the training images need classes");
	if (net_input_check(config, err) < 0)
		return ERROR_USAGE;
	if (config->head_dim == 0)
		config->head_dim = 128;
	if (config->stem == NET_STEM_AUTO)
		config->stem = config->size <= 32 ? NET_STEM_CIFAR : NET_STEM_IMAGENET;
	return 0;
}

static int alloc_tables(struct net *net, struct arena *arena, struct error *err)
{
	net->params = arena_alloc(arena, "plan", NET_PARAMS_MAX, sizeof(struct param), 0, err);
	net->buffers = arena_alloc(arena, "plan", NET_PARAMS_MAX, sizeof(struct net_buffer), 0, err);
	net->bns = arena_alloc(arena, "plan", NET_STEPS_MAX, sizeof(struct batchnorm), 0, err);
	net->values = arena_alloc(arena, "plan", NET_STEPS_MAX, sizeof(struct value), 0, err);
	net->steps = arena_alloc(arena, "plan", NET_STEPS_MAX, sizeof(struct step), 0, err);
	net->blocks = arena_alloc(arena, "plan", NET_BLOCKS_MAX, sizeof(struct block), 0, err);
	net->operations = arena_alloc(arena, "plan", NET_OPERATIONS_MAX, sizeof(struct operation), 0, err);
	net->backward_order = arena_alloc(arena, "plan", NET_PARAMS_MAX, sizeof(uint32_t), 0, err);
	bool ok = net->params != NULL && net->buffers != NULL && net->bns != NULL && net->values != NULL &&
		  net->steps != NULL && net->blocks != NULL && net->operations != NULL && net->backward_order != NULL;
	return ok ? 0 : ERROR_MEMORY;
}

/* The BNs whose sums close when the gradient of `value` is finished: at most two. */
static unsigned closing_bns(const struct value *value, struct batchnorm *bns[2])
{
	const struct step *producer = value->producer;
	unsigned count = 0;
	if (producer->kind == STEP_CONV)
		bns[count++] = value->bn;
	if (producer->kind == STEP_JOIN)
		bns[count++] = producer->in->bn;
	if (producer->kind == STEP_JOIN && producer->skip != NULL && producer->skip->bn != NULL)
		bns[count++] = producer->skip->bn;
	return count;
}

/* The order of announcements: what each step's backward completes, in the order that net_backward() runs. */
static void plan_order(struct net *net)
{
	size_t n = 0;
	for (size_t i = net->step_count; i-- > 0;) {
		struct step *step = &net->steps[i];
		size_t before = n;
		struct batchnorm *bns[2];
		unsigned count = step->finishes ? closing_bns(step->in, bns) : 0;
		for (unsigned k = 0; k < count; k++) {
			if (bns[k]->gamma != NULL)
				net->backward_order[n++] = (uint32_t)(bns[k]->gamma - net->params);
			if (bns[k]->beta != NULL)
				net->backward_order[n++] = (uint32_t)(bns[k]->beta - net->params);
		}
		if (step->kind == STEP_CONV)
			net->backward_order[n++] = (uint32_t)step->weight;
		step->announced = (unsigned)(n - before);
	}
}

struct net *net_create(struct arena *arena, const struct net_config *config, unsigned team_threads, struct error *err)
{
	struct net_config checked = *config;
	if (check_config(&checked, err) < 0)
		return NULL;
	struct net *net = arena_alloc(arena, "plan", 1, sizeof *net, 0, err);
	if (net == NULL || alloc_tables(net, arena, err) < 0)
		return NULL;
	net->config = checked;
	net->workspace.kernels = checked.reference ? &kernels_reference : kernels_for(checked.isa);
	if (net_build(net, arena, err) < 0 || net_allocate(net, arena, err) < 0)
		return NULL;
	if (workspace_alloc(&net->workspace, arena, team_threads, err) < 0 || net_input_alloc(net, arena, err) < 0)
		return NULL;
	if (checked.training)
		plan_order(net);
	return net;
}

static struct conv_operand source_of(const struct value *value)
{
	return (struct conv_operand){.x = value->data, .bn = value->bn};
}

/* Ends the slice of a step that runs no convolution. */
static void trace_step(const struct net *net, const struct step *step, uint64_t start_ns)
{
	static const char *const kinds[][2] = {
		[STEP_JOIN] = {"join", "join"},
		[STEP_POOL_MAX] = {"pool", "max-pool"},
		[STEP_POOL_MEAN] = {"pool", "mean"},
		[STEP_OUTPUT] = {"batchnorm", "output"},
	};
	const char *name = kinds[step->kind][1];
	for (size_t i = 0; start_ns != 0 && i < net->block_count; i++)
		if (net->blocks[i].out == step->out)
			name = net->blocks[i].name;
	trace_end(kinds[step->kind][0], name, start_ns);
}

/* Makes the output of a step; returns the number of tasks with moments of a convolution's. */
static size_t forward_step(struct net *net, const struct step *step)
{
	if (step->kind == STEP_CONV)
		return conv_forward(&step->conv, &net->workspace, source_of(step->in), net->params[step->weight].value,
			step->out->data, net->rows);
	pool_step_forward(step, &net->workspace, net->rows);
	return 0;
}

static void trace_forward(const struct net *net, const struct step *step, uint64_t start_ns)
{
	if (step->kind == STEP_CONV)
		trace_end("forward convolution", net->params[step->weight].name, start_ns);
	else
		trace_step(net, step, start_ns);
}

static void forward_steps(struct net *net, size_t first, size_t end, enum net_mode mode)
{
	for (size_t i = first; i < end; i++) {
		const struct step *step = &net->steps[i];
		uint64_t traced_ns = trace_begin();
		step->out->data.data = step->out->forward_data;
		size_t tasks = forward_step(net, step);
		if (mode == NET_TRAIN && step->kind == STEP_CONV)
			batchnorm_close(step->out->bn, &net->workspace, tasks);
		trace_forward(net, step, traced_ns);
	}
}

void net_forward(struct net *net, struct team *team, const float *x, uint32_t rows, enum net_mode mode, bool with_head)
{
	net->workspace.team = team;
	net->rows = rows;
	net->values[0].data.data = (void *)net_input(net, x); /* only ever read */
	for (size_t i = 0; mode == NET_EVAL && i < net->bn_count; i++)
		batchnorm_use_running(&net->bns[i]);
	forward_steps(net, 0, with_head ? net->step_count : net->encoder_steps, mode);
}

void net_forward_head(struct net *net, struct team *team)
{
	net->workspace.team = team;
	forward_steps(net, net->encoder_steps, net->step_count, NET_EVAL);
}

/* Makes a dropped value again. Its BN is closed: the same numbers come out. */
static void make_again(struct net *net, const struct operation *operation)
{
	uint64_t traced_ns = trace_begin();
	operation->step->out->data.data = operation->data;
	forward_step(net, operation->step);
	trace_forward(net, operation->step, traced_ns);
}

/* Closes the BNs behind a value whose gradient is finished. */
static void close_value(const struct net *net, const struct value *value, size_t tasks)
{
	struct batchnorm *bns[2];
	unsigned count = closing_bns(value, bns);
	double pixels = (double)net->rows * value->height * value->width;
	for (unsigned i = 0; i < count; i++)
		batchnorm_close_backward(bns[i], &net->workspace, tasks, i + 1, pixels);
}

static void conv_step_backward(struct net *net, const struct step *step)
{
	struct workspace *workspace = &net->workspace;
	struct param *weight = &net->params[step->weight];
	struct conv_operand gradient = {step->out->grad, step->out->data, step->out->bn};
	uint64_t traced_ns = trace_begin();
	if (step->in->grad.data != NULL) {
		struct value_finish finish = {step->in, workspace, step->add, step->finishes};
		size_t tasks = conv_backward_data(
			&step->conv, workspace, gradient, weight->value, net->rows, value_finish_tile, &finish);
		if (step->finishes)
			close_value(net, step->in, tasks);
		trace_end("data gradient", weight->name, traced_ns);
		traced_ns = trace_begin();
	}
	conv_backward_weights(&step->conv, workspace, gradient, source_of(step->in), weight->grad, net->rows);
	trace_end("weight gradient", weight->name, traced_ns);
}

static void step_backward(struct net *net, const struct step *step, const float *dz)
{
	size_t tasks;
	uint64_t traced_ns;
	switch (step->kind) {
	case STEP_CONV:
		conv_step_backward(net, step);
		break;
	case STEP_OUTPUT:
		traced_ns = trace_begin();
		tasks = output_step_backward(step, &net->workspace, dz, net->rows);
		close_value(net, step->in, tasks);
		trace_step(net, step, traced_ns);
		break;
	case STEP_POOL_MAX:
	case STEP_POOL_MEAN:
		traced_ns = trace_begin();
		tasks = pool_step_backward(step, &net->workspace, net->rows);
		close_value(net, step->in, tasks);
		trace_step(net, step, traced_ns);
		break;
	case STEP_JOIN:
		break; /* its inputs read its own gradient */
	}
}

int net_backward(struct net *net, struct team *team, const float *dz, net_grad_fn *fn, void *ctx)
{
	const uint32_t *order = net->backward_order;
	net->workspace.team = team;
	if (net->output == net->features)
		memcpy(net->features->grad.data, dz, (size_t)net->rows * net->features->channels * sizeof(float));
	for (size_t i = 0; i < net->operation_count; i++) {
		const struct step *step = net->operations[i].step;
		if (net->operations[i].again) {
			make_again(net, &net->operations[i]);
			continue;
		}
		step_backward(net, step, dz);
		for (unsigned k = 0; fn != NULL && k < step->announced; k++) {
			int stop = fn(ctx, *order++);
			if (stop != 0)
				return stop;
		}
	}
	return 0;
}

size_t net_param_count(const struct net *net)
{
	return net->param_count;
}

struct param *net_param(struct net *net, size_t index)
{
	return &net->params[index];
}

size_t net_buffer_count(const struct net *net)
{
	return net->buffer_count;
}

struct net_buffer *net_buffer(struct net *net, size_t index)
{
	return &net->buffers[index];
}

struct param *net_find_param(struct net *net, const char *name)
{
	for (size_t i = 0; i < net->param_count; i++) {
		if (strcmp(net->params[i].name, name) == 0)
			return &net->params[i];
	}
	return NULL;
}

struct net_buffer *net_find_buffer(struct net *net, const char *name)
{
	for (size_t i = 0; i < net->buffer_count; i++) {
		if (strcmp(net->buffers[i].name, name) == 0)
			return &net->buffers[i];
	}
	return NULL;
}

unsigned net_feature_dim(const struct net *net)
{
	return net->features->channels;
}

unsigned net_output_dim(const struct net *net)
{
	return net->output->channels;
}

bool net_is_classifier(enum net_head head)
{
	return head == NET_HEAD_CLASSIFIER || head == NET_HEAD_HIDDEN_CLASSIFIER;
}

uint64_t net_flops(const struct net *net)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < net->step_count; i++) {
		const struct conv_shape *s = &net->steps[i].conv.config.shape;
		sum += 2ull * s->kernel * s->kernel * s->in_c * s->out_c * s->out_h * s->out_w;
	}
	return sum;
}

const float *net_features(const struct net *net)
{
	return net->features->data.data;
}

const float *net_output(const struct net *net)
{
	return net->output->data.data;
}

static const struct value *tapped(const struct net *net, enum net_tap tap)
{
	if (tap == NET_TAP_H)
		return net->features;
	if (tap == NET_TAP_HEAD1)
		return net->hidden;
	return net->output != net->features && !net_is_classifier(net->config.head) ? net->output : NULL;
}

unsigned net_tap_dim(const struct net *net, enum net_tap tap)
{
	const struct value *value = tapped(net, tap);
	return value ? value->channels : 0;
}

const float *net_tap(const struct net *net, enum net_tap tap)
{
	return tapped(net, tap)->data.data;
}

const uint32_t *net_backward_order(const struct net *net)
{
	return net->backward_order;
}

const float *net_block_output(
	const struct net *net, size_t index, const char **name, unsigned *height, unsigned *width, unsigned *channels)
{
	if (index >= net->block_count || !net->config.training || net->config.recompute != NET_KEEP_ALL ||
		net->config.precision != PRECISION_FP32)
		return NULL;
	const struct block *block = &net->blocks[index];
	*name = block->name;
	*height = block->out->height;
	*width = block->out->width;
	*channels = block->out->channels;
	return block->out->data.data;
}
