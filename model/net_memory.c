/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives parameters, values and gradients their memory.
 *
 * Every tensor lives from the step that first writes it to the step that last reads it. Tensors whose lives do not meet
 * share a slot (first fit, by time): an evaluation net runs in a handful of buffers, and backward in as many gradients
 * as a block has open at once. A training net's values live for ever, for backward reads them.
 *
 * Gradients follow the readers: a join hands its own gradient to both of its inputs, so these share one buffer, and the
 * convolution that reads the block's input first adds to it last.
 */
#include "model/net_steps.h"

static const size_t FOR_EVER = SIZE_MAX;

struct slot {
	size_t bytes, busy_until;
	void *data;
};

struct life {
	size_t bytes, first, last;
	size_t slot;
};

static size_t value_bytes(const struct net *net, const struct value *value)
{
	return (size_t)net->config.max_rows * value->height * value->width * value->channels *
	       element_bytes(value->data.element);
}

/* lives come in order of `first`. */
static int assign_slots(struct life *lives, size_t count, struct slot *slots, const char *class_name,
	struct arena *arena, struct error *err)
{
	size_t slot_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct life *life = &lives[i];
		size_t best = slot_count;
		for (size_t s = 0; s < slot_count; s++) {
			if (slots[s].busy_until >= life->first)
				continue;
			/* The smallest that holds it; failing that, the largest, to be enlarged. */
			bool fits = slots[s].bytes >= life->bytes;
			if (best == slot_count ||
				(slots[best].bytes >= life->bytes ? fits && slots[s].bytes < slots[best].bytes
								  : slots[s].bytes > slots[best].bytes))
				best = s;
		}
		if (best == slot_count)
			slots[slot_count++] = (struct slot){0, 0, NULL};
		if (slots[best].bytes < life->bytes)
			slots[best].bytes = life->bytes;
		slots[best].busy_until = life->last;
		life->slot = best;
	}
	for (size_t s = 0; s < slot_count; s++) {
		slots[s].data = arena_alloc(arena, class_name, slots[s].bytes, 1, 0, err);
		if (slots[s].data == NULL)
			return ERROR_MEMORY;
	}
	return 0;
}

static size_t value_index(const struct net *net, const struct value *value)
{
	return (size_t)(value - net->values);
}

/* Values are numbered in the order of the steps that make them; values[0], the images, has no memory here. */
static int allocate_values(struct net *net, struct arena *arena, struct error *err)
{
	struct life lives[NET_STEPS_MAX];
	struct slot slots[NET_STEPS_MAX];
	for (size_t i = 0; i < net->step_count; i++) {
		const struct step *step = &net->steps[i];
		lives[value_index(net, step->out)] =
			(struct life){value_bytes(net, step->out), i, net->config.training ? FOR_EVER : i, 0};
		size_t in = value_index(net, step->in), skip = step->skip == NULL ? 0 : value_index(net, step->skip);
		if (in != 0 && lives[in].last < i)
			lives[in].last = i;
		if (skip != 0 && lives[skip].last < i)
			lives[skip].last = i;
	}
	lives[value_index(net, net->features)].last = FOR_EVER;
	lives[value_index(net, net->output)].last = FOR_EVER;
	int code = assign_slots(lives + 1, net->value_count - 1, slots, "activations", arena, err);
	for (size_t v = 1; code == 0 && v < net->value_count; v++)
		net->values[v].data.data = slots[lives[v].slot].data;
	return code;
}

/* The life of each value's gradient, by steps of backward; 0 is before any. */
struct gradient_plan {
	struct life lives[NET_STEPS_MAX];
	size_t life_count;
	size_t life_of[NET_STEPS_MAX]; /* per value; SIZE_MAX: none */
};

static void begin_gradient(struct gradient_plan *plan, const struct net *net, const struct value *value, size_t now)
{
	plan->life_of[value_index(net, value)] = plan->life_count;
	plan->lives[plan->life_count++] = (struct life){value_bytes(net, value), now, now, 0};
}

static void plan_step(struct gradient_plan *plan, struct net *net, struct step *step, size_t now)
{
	size_t out = plan->life_of[value_index(net, step->out)], in = value_index(net, step->in);
	if (out != SIZE_MAX)
		plan->lives[out].last = now;
	if (step->kind == STEP_JOIN) {
		plan->life_of[in] = out;
		if (step->skip != NULL)
			plan->life_of[value_index(net, step->skip)] = out;
		return;
	}
	if (step->in->producer == NULL)
		return; /* nobody wants the images' gradient */
	step->add = plan->life_of[in] != SIZE_MAX;
	if (!step->add)
		begin_gradient(plan, net, step->in, now);
}

static int allocate_gradients(struct net *net, struct arena *arena, struct error *err)
{
	struct gradient_plan plan = {.life_count = 0};
	struct slot slots[NET_STEPS_MAX];
	bool read[NET_STEPS_MAX] = {false};
	for (size_t v = 0; v < net->value_count; v++)
		plan.life_of[v] = SIZE_MAX;
	if (net->output == net->features)
		begin_gradient(&plan, net, net->features, 0);
	for (size_t i = net->step_count; i-- > 0;)
		plan_step(&plan, net, &net->steps[i], net->step_count - i);
	for (size_t i = 0; i < net->step_count;
		i++) { /* the first to read a value is the last to add to its gradient */
		size_t in = value_index(net, net->steps[i].in);
		net->steps[i].finishes = in != 0 && net->steps[i].kind != STEP_JOIN && !read[in];
		read[in] = true;
	}
	int code = assign_slots(plan.lives, plan.life_count, slots, "activation gradients", arena, err);
	for (size_t v = 0; code == 0 && v < net->value_count; v++) {
		if (plan.life_of[v] != SIZE_MAX)
			net->values[v].grad = (struct tensor){
				slots[plan.lives[plan.life_of[v]].slot].data, net->values[v].data.element};
	}
	return code;
}

static int allocate_params(struct net *net, struct arena *arena, struct error *err)
{
	for (size_t i = 0; i < net->param_count; i++) {
		struct param *param = &net->params[i];
		param->value = arena_alloc(arena, "parameters", param->count, sizeof(float), 0, err);
		if (param->value == NULL)
			return ERROR_MEMORY;
		if (!net->config.training)
			continue;
		param->grad = arena_alloc(arena, "parameter gradients", param->count, sizeof(float), 0, err);
		if (param->grad == NULL)
			return ERROR_MEMORY;
	}
	for (size_t i = 0; i < net->buffer_count; i++) {
		net->buffers[i].value = arena_alloc(arena, "parameters", net->buffers[i].count, sizeof(float), 0, err);
		if (net->buffers[i].value == NULL)
			return ERROR_MEMORY;
	}
	return 0;
}

int net_allocate(struct net *net, struct arena *arena, struct error *err)
{
	int code = allocate_params(net, arena, err);
	if (code == 0)
		code = allocate_values(net, arena, err);
	if (code == 0 && net->config.training)
		code = allocate_gradients(net, arena, err);
	return code;
}
