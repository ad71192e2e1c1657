/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a net: values (tensors over the batch) and the steps that make them, in order. resnet.c builds the list,
 * net_memory.c gives values their memory by lifetime, net.c runs it forwards and backwards.
 *
 * Between forward and backward only convolutions' outputs are kept; the rest is made again (net_memory.c).
 *
 * A convolution's output is kept before its BN. Whoever reads it applies BN (and ReLU) on the way: such a value has
 * `bn`.
 */
#ifndef RINGCLR_MODEL_NET_STEPS_H
#define RINGCLR_MODEL_NET_STEPS_H

#include "model/conv.h"
#include "model/net.h"
#include "model/workspace.h"

enum step_kind {
	STEP_CONV,	/* out = conv(in), closing the statistics of out's BN */
	STEP_JOIN,	/* out = relu(bn(in) + skip); skip is NULL, a finished value, or has a BN of its own */
	STEP_POOL_MAX,	/* out = 3x3 stride-2 max-pool of relu(bn(in)) */
	STEP_POOL_MEAN, /* out = mean over pixels of in */
	STEP_OUTPUT,	/* out = bn(in), or in + bias */
};

struct value {
	unsigned height, width, channels;
	struct batchnorm *bn;  /* of a convolution's output */
	struct step *producer; /* NULL: the images */
	struct tensor data;    /* [rows][height][width][channels] */
	void *forward_data;    /* where data lies in forward; made again in backward, it may lie elsewhere */
	struct tensor grad;    /* of what readers see; of bn(data) or of the join's sum once its ReLU is undone.
				* data NULL: none */
};

struct step {
	enum step_kind kind;
	struct value *in, *skip, *out;
	struct conv conv;
	size_t weight;	    /* its parameter */
	bool add;	    /* backward adds to in->grad, where another reader's gradient lies */
	bool finishes;	    /* backward is the last to add to in->grad */
	unsigned announced; /* parameters whose gradients this step's backward completes */
};

/* What backward does next: makes a step's output again, at `data`, or runs its backward. */
struct operation {
	struct step *step;
	bool again;
	void *data;
};

/* torchvision's names for the outputs that net_block_output() shows. */
struct block {
	char name[32];
	struct value *out;
};

enum {
	NET_PARAMS_MAX = 512, /* ResNet-152 with the deepest head has 475 */
	NET_STEPS_MAX = 256,
	NET_BLOCKS_MAX = 64,
	NET_OPERATIONS_MAX = 3 * NET_STEPS_MAX,
};

struct net {
	struct net_config config;
	struct workspace workspace;

	struct param *params;	    /* [NET_PARAMS_MAX] */
	struct net_buffer *buffers; /* [NET_PARAMS_MAX] */
	struct batchnorm *bns;	    /* [NET_STEPS_MAX] */
	struct value *values;	    /* [NET_STEPS_MAX]; values[0] is the images */
	struct step *steps;	    /* [NET_STEPS_MAX] */
	struct block *blocks;	    /* [NET_BLOCKS_MAX] */
	size_t param_count, buffer_count, bn_count, value_count, step_count, block_count;
	size_t encoder_steps; /* the rest is the head */
	struct value *features, *output;
	struct value *hidden; /* the head's first layer after BN and ReLU, kept to be looked at; NULL: not made */
	uint32_t *backward_order;
	struct operation *operations; /* [NET_OPERATIONS_MAX], of backward */
	size_t operation_count;

	uint32_t rows;	   /* of the last forward */
	float *normalized; /* its images, [max_rows][size][size][3]; NULL: the net does not normalise */
};

/* net_input.c: ERROR_USAGE for a mean or deviation that is none; memory, where the net normalises its images; and the
 * images as the first step reads them: x itself, or normalised. */
int net_input_check(const struct net_config *config, struct error *err);
int net_input_alloc(struct net *net, struct arena *arena, struct error *err);
const float *net_input(struct net *net, const float *x);

/* resnet.c: fills params (without memory for values), values and steps. */
int net_build(struct net *net, struct arena *arena, struct error *err);

/* net_memory.c: memory of values, gradients and parameters. Values that never live at the same time share it. */
int net_allocate(struct net *net, struct arena *arena, struct error *err);

/* pool.c: the steps that run no convolution. Rows come from the split. */
void pool_step_forward(const struct step *step, struct workspace *workspace, uint32_t rows);

/* Scratch that its backward needs, in bytes. */
size_t pool_step_scratch(const struct step *step);

/* Stores a tile of a value's gradient, adding to what lies there when `add`. When this completes the gradient it also
 * undoes the value's ReLU, and sums for its BNs into the task. The conv_epilogue of every data gradient; ctx is a
 * struct value_finish. */
struct value_finish {
	const struct value *value;
	struct workspace *workspace;
	bool add, finishes;
};

conv_epilogue value_finish_tile;

/* Backward of mean and max pooling: fills in->grad and finishes it; returns the number of tasks with sums. */
size_t pool_step_backward(const struct step *step, struct workspace *workspace, uint32_t rows);

/* Gradient of bn(in) without ReLU: copies dz to in->grad and sums for its BN; returns the number of tasks. */
size_t output_step_backward(const struct step *step, struct workspace *workspace, const float *dz, uint32_t rows);

#endif
