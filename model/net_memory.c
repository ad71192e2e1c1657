/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives parameters, values and gradients their memory, and backward its schedule.
 *
 * Time counts operations: forward's steps, then what backward does. Every tensor lives from the time that first writes
 * it to the time that last reads it, and tensors whose lives do not meet may lie in the same place: they are
 * placed one by one, each at the lowest address that is free for its whole life. So an evaluation net runs in a handful
 * of buffers, and the gradients of wide early layers lie where the activations of deep ones were.
 *
 * A training net whose tensors take more than KEEP_BYTES keeps only what convolutions made. What is cheap to make again
 * is dropped after its last use in forward, and made again, bit for bit, when backward needs it: joins and pooled
 * values (BN-apply, ReLU and an addition), and a stem of 3x3, whose kernel is thin. A join reads the one before it, so
 * the whole chain behind it comes back too. Of the widest values, which decide the peak, that chain is dropped again at
 * once; narrower ones stay until they are needed themselves.
 *
 * Gradients follow the readers: a join hands its own gradient to both of its inputs, so these share one buffer, and the
 * convolution that reads the block's input first adds to it last.
 */
#include "model/net_steps.h"

#include <stdlib.h>
#include <string.h>

static const size_t KEEP_BYTES = (size_t)512 << 20;
static const size_t NONE = SIZE_MAX;

/* One stay of a tensor in memory. Times are inclusive. */
struct life {
	size_t bytes, first, last;
	size_t offset; /* out */
};

enum {
	LIVES_MAX = 2 * NET_STEPS_MAX + NET_OPERATIONS_MAX,
	SHORT_CHAIN = 4, /* operations: three blocks and a stem */
};

struct memory_plan {
	struct net *net;
	bool drop;
	struct life lives[LIVES_MAX];
	size_t life_count;
	size_t forward_of[NET_STEPS_MAX]; /* the life of each value's data, */
	size_t again_of[NET_STEPS_MAX];	  /* of what is made again, while it is there, */
	size_t grad_of[NET_STEPS_MAX];	  /* and of its gradient; NONE: none */
	size_t made[NET_OPERATIONS_MAX];  /* the life that an operation begins by making a value again */
};

static size_t value_index(const struct net *net, const struct value *value)
{
	return (size_t)(value - net->values);
}

static size_t value_bytes(const struct net *net, const struct value *value)
{
	return (size_t)net->config.max_rows * value->height * value->width * value->channels *
	       element_bytes(value->data.element);
}

static size_t add_life(struct memory_plan *plan, const struct value *value, size_t first)
{
	size_t bytes = (value_bytes(plan->net, value) + 63) / 64 * 64;
	plan->lives[plan->life_count] = (struct life){bytes, first, first, 0};
	return plan->life_count++;
}

static void extend(struct memory_plan *plan, size_t life, size_t time)
{
	if (life != NONE && plan->lives[life].last < time)
		plan->lives[life].last = time;
}

/* --------------------------------------------------------------------------------------------------------- forward */

static bool dropped(const struct memory_plan *plan, const struct value *value)
{
	const struct step *step = value->producer;
	if (!plan->drop || step == NULL)
		return false;
	if (step->kind == STEP_CONV)
		return step->in->producer == NULL && step->conv.config.shape.kernel <= 3;
	return step->kind == STEP_JOIN || step->kind == STEP_POOL_MAX;
}

static void plan_forward(struct memory_plan *plan)
{
	struct net *net = plan->net;
	for (size_t i = 0; i < net->step_count; i++) {
		const struct step *step = &net->steps[i];
		size_t v = value_index(net, step->out);
		plan->forward_of[v] = add_life(plan, step->out, i);
		extend(plan, plan->forward_of[value_index(net, step->in)], i);
		if (step->skip != NULL)
			extend(plan, plan->forward_of[value_index(net, step->skip)], i);
		if (step->out == net->features || step->out == net->output || step->out == net->hidden ||
			net->config.recompute == NET_KEEP_ALL)
			plan->lives[plan->forward_of[v]].last = SIZE_MAX;
	}
}

/* -------------------------------------------------------------------------------------------------------- backward */

static size_t add_operation(struct memory_plan *plan, struct step *step, bool again)
{
	struct net *net = plan->net;
	net->operations[net->operation_count] = (struct operation){.step = step, .again = again};
	return net->step_count + net->operation_count++;
}

/* Backward is about to read a value: keeps it so long, or makes it again. The chain behind it is at most as long as
 * blocks are deep. */
static void need(struct memory_plan *plan, const struct value *value)
{
	struct net *net = plan->net;
	struct step *step = value->producer;
	size_t v = value_index(net, value), now = net->step_count + net->operation_count;
	if (step == NULL)
		return;
	if (!dropped(plan, value)) {
		extend(plan, plan->forward_of[v], now);
		return;
	}
	if (plan->again_of[v] != NONE) {
		extend(plan, plan->again_of[v], now);
		return;
	}
	const size_t before = net->operation_count;
	const struct value *inputs[] = {step->in, step->skip};
	bool there[2] = {false, false};
	for (size_t i = 0; i < 2 && inputs[i] != NULL; i++) {
		there[i] = plan->again_of[value_index(net, inputs[i])] != NONE;
		need(plan, inputs[i]);
	}
	now = add_operation(plan, step, true);
	plan->again_of[v] = plan->made[now - net->step_count] = add_life(plan, value, now);
	for (size_t i = 0; i < 2 && inputs[i] != NULL; i++) {
		size_t input = value_index(net, inputs[i]);
		extend(plan, dropped(plan, inputs[i]) ? plan->again_of[input] : plan->forward_of[input], now);
		if (!there[i] && net->operation_count - before <= SHORT_CHAIN)
			plan->again_of[input] = NONE;
	}
}

/* What the backward of a step reads: its input and output, and what made the value whose gradient it finishes. */
static void need_all(struct memory_plan *plan, const struct step *step)
{
	const struct step *producer = step->in->producer;
	for (int pass = 0; pass < 2; pass++) { /* twice: what the first made must last until all is there */
		need(plan, step->in);
		if (step->kind == STEP_CONV)
			need(plan, step->out);
		if (step->finishes && producer->kind == STEP_JOIN) {
			need(plan, producer->in);
			if (producer->skip != NULL && producer->skip->bn != NULL)
				need(plan, producer->skip);
		}
	}
}

static void plan_gradient(struct memory_plan *plan, struct step *step, size_t now)
{
	struct net *net = plan->net;
	size_t out = plan->grad_of[value_index(net, step->out)], in = value_index(net, step->in);
	extend(plan, out, now);
	if (step->kind == STEP_JOIN) {
		plan->grad_of[in] = out;
		if (step->skip != NULL)
			plan->grad_of[value_index(net, step->skip)] = out;
		return;
	}
	if (step->in->producer == NULL)
		return; /* nobody wants the images' gradient */
	step->add = plan->grad_of[in] != NONE;
	if (step->add)
		extend(plan, plan->grad_of[in], now);
	else
		plan->grad_of[in] = add_life(plan, step->in, now);
}

static void plan_backward(struct memory_plan *plan)
{
	struct net *net = plan->net;
	bool read[NET_STEPS_MAX] = {false};
	net->operation_count = 0;
	for (size_t i = 0; i < net->step_count; i++) {
		/* The first to read a value is the last to add to its gradient. */
		size_t in = value_index(net, net->steps[i].in);
		net->steps[i].finishes = in != 0 && net->steps[i].kind != STEP_JOIN && !read[in];
		read[in] = true;
	}
	if (net->output == net->features)
		plan->grad_of[value_index(net, net->features)] = add_life(plan, net->features, net->step_count);
	for (size_t i = net->step_count; i-- > 0;) {
		if (net->steps[i].kind != STEP_JOIN)
			need_all(plan, &net->steps[i]);
		plan_gradient(plan, &net->steps[i], add_operation(plan, &net->steps[i], false));
	}
}

/* --------------------------------------------------------------------------------------------------------- placing */

/* Compares two sizes, the larger first. */
static int falling(size_t x, size_t y)
{
	return (x < y) - (x > y);
}

static int by_size(const void *a, const void *b)
{
	const struct life *x = *(const struct life *const *)a, *y = *(const struct life *const *)b;
	int order = falling(x->bytes, y->bytes);
	if (order == 0)
		order = falling(x->last - x->first, y->last - y->first);
	return order != 0 ? order : falling(y->first, x->first);
}

static int by_stay(const void *a, const void *b)
{
	const struct life *x = *(const struct life *const *)a, *y = *(const struct life *const *)b;
	int order = falling(x->last - x->first, y->last - y->first);
	if (order == 0)
		order = falling(x->bytes, y->bytes);
	return order != 0 ? order : falling(y->first, x->first);
}

static int by_both(const void *a, const void *b)
{
	const struct life *x = *(const struct life *const *)a, *y = *(const struct life *const *)b;
	int order = falling(x->bytes / 64 * (x->last - x->first + 1), y->bytes / 64 * (y->last - y->first + 1));
	return order != 0 ? order : by_size(a, b);
}

/* The lowest offset at which `life` meets none of the `count` that are placed. */
static size_t lowest_offset(const struct life *life, struct life *const *placed, size_t count)
{
	size_t offset = 0;
	for (bool moved = true; moved;) {
		moved = false;
		for (size_t i = 0; i < count; i++) {
			const struct life *other = placed[i];
			bool meet = other->first <= life->last && life->first <= other->last;
			if (meet && other->offset < offset + life->bytes && offset < other->offset + other->bytes) {
				offset = other->offset + other->bytes;
				moved = true;
			}
		}
	}
	return offset;
}

static size_t place_by(struct memory_plan *plan, int (*compare)(const void *, const void *))
{
	struct life *order[LIVES_MAX] = {NULL};
	size_t total = 0;
	for (size_t i = 0; i < plan->life_count; i++)
		order[i] = &plan->lives[i];
	qsort(order, plan->life_count, sizeof(struct life *),
		compare); /* NOLINT(bugprone-sizeof-expression): of pointers */
	for (size_t i = 0; i < plan->life_count; i++) {
		order[i]->offset = lowest_offset(order[i], order, i);
		if (total < order[i]->offset + order[i]->bytes)
			total = order[i]->offset + order[i]->bytes;
	}
	return total;
}

/* Places by the rule that needs least: none is best for every net. Returns the bytes that all need together. */
static size_t place(struct memory_plan *plan)
{
	static int (*const rules[])(const void *, const void *) = {by_size, by_stay, by_both};
	size_t best = 0, least = SIZE_MAX;
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
		size_t total = place_by(plan, rules[i]);
		if (total < least) {
			least = total;
			best = i;
		}
	}
	return place_by(plan, rules[best]);
}

/* Returns the bytes that all need together. */
static size_t make_plan(struct memory_plan *plan, struct net *net, bool drop)
{
	*plan = (struct memory_plan){.net = net, .drop = drop};
	for (size_t v = 0; v < NET_STEPS_MAX; v++)
		plan->forward_of[v] = plan->again_of[v] = plan->grad_of[v] = NONE;
	for (size_t i = 0; i < NET_OPERATIONS_MAX; i++)
		plan->made[i] = NONE;
	plan_forward(plan);
	if (net->config.training)
		plan_backward(plan);
	return place(plan);
}

static int allocate_values(struct net *net, struct arena *arena, struct error *err)
{
	struct memory_plan plan;
	bool training = net->config.training, always = net->config.recompute == NET_RECOMPUTE;
	size_t bytes = make_plan(&plan, net, training && always);
	if (training && net->config.recompute == NET_RECOMPUTE_AUTO && bytes > KEEP_BYTES)
		bytes = make_plan(&plan, net, true);
	char *base = arena_alloc(arena, training ? "activations and their gradients" : "activations", bytes, 1, 0, err);
	if (base == NULL)
		return ERROR_MEMORY;
	for (size_t v = 1; v < net->value_count; v++) {
		struct value *value = &net->values[v];
		value->data.data = value->forward_data = base + plan.lives[plan.forward_of[v]].offset;
		value->grad.element = value->data.element;
		if (plan.grad_of[v] != NONE)
			value->grad.data = base + plan.lives[plan.grad_of[v]].offset;
	}
	for (size_t i = 0; i < net->operation_count; i++) {
		if (plan.made[i] != NONE)
			net->operations[i].data = base + plan.lives[plan.made[i]].offset;
	}
	return 0;
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
	return code == 0 ? allocate_values(net, arena, err) : code;
}
