/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network: a ResNet encoder f and a projection head g, or a classifier in its place, forward and backward over a
 * whole batch, on a team.
 *
 * Activations are NHWC float32; images come in as [rows][size][size][3]. Parameters carry torchvision's names
 * ("layer1.0.conv1.weight"), the head's are "head.0.weight" and so on, a classifier's "fc.weight" and "fc.bias".
 * Convolution weights lie in memory as [out][kernel h][kernel w][in] and are written to files in torchvision's
 * [out][in][kh][kw].
 */
#ifndef RINGCLR_MODEL_NET_H
#define RINGCLR_MODEL_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/arena.h"
#include "pipeline/cpu.h"
#include "pipeline/error.h"
#include "pipeline/team.h"

enum net_stem {
	NET_STEM_AUTO,
	NET_STEM_CIFAR /* 3x3 stride 1, no pool */,
	NET_STEM_IMAGENET /* 7x7 stride 2, max-pool */
};

/* The numbers are those of checkpoints. The classifiers' output is logits: fc on h, or on the hidden layer that a
 * projection head began with (dense, BN, ReLU: "head.0", "head.1"; SimCLRv2, arXiv 2006.10029, section 3). */
enum net_head {
	NET_HEAD_NONE,
	NET_HEAD_LINEAR,
	NET_HEAD_MLP2,
	NET_HEAD_MLP3,
	NET_HEAD_CLASSIFIER,
	NET_HEAD_HIDDEN_CLASSIFIER
};

/* What activations and products are kept in; sums, statistics, weights and everything small are fp32 either way. */
enum precision { PRECISION_FP32, PRECISION_BF16 };

/* How 3x3 stride-1 convolutions are computed; AUTO: Winograd where it is the faster. */
enum conv_choice { CONV_CHOICE_AUTO, CONV_CHOICE_DIRECT, CONV_CHOICE_WINOGRAD };

/* Training: whether activations that are cheap to make again are kept for backward. The results are the same. */
enum net_recompute {
	NET_RECOMPUTE_AUTO, /* they are where all tensors fit 512 MiB */
	NET_KEEP_ALL,	    /* all stay until backward is done, and can be looked at */
	NET_RECOMPUTE,
};

struct net_config {
	unsigned depth;	    /* 18, 34, 50, 101 or 152 */
	float width;	    /* channels are max(8, round(base * width)) */
	unsigned size;	    /* input side in pixels */
	enum net_stem stem; /* AUTO: CIFAR when size <= 32 */
	enum net_head head;
	unsigned head_dim; /* width of z, 0: 128; of a classifier: how many classes */
	uint32_t max_rows; /* most rows of one forward (2N in training) */
	bool training;	   /* false: no gradients and no kept activations are planned */
	enum cpu_isa isa;  /* which kernels */
	bool reference; /* instead of isa's: the scalar kernels, direct and fp32, that the others are tested against */
	enum precision precision;
	enum conv_choice conv;
	enum net_recompute recompute;
	/* The net normalises its images itself: (x - mean) / deviation of red, green and blue; deviation all 0: it
	 * takes them as they are. So what pads an image is the mean colour, as where others normalise before the net.
	 */
	float input_mean[3], input_deviation[3];
};

enum param_kind { PARAM_CONV, PARAM_DENSE, PARAM_GAMMA, PARAM_BETA, PARAM_BIAS };

struct param {
	char name[64];
	enum param_kind kind;
	unsigned dims;	   /* of shape */
	uint32_t shape[4]; /* in memory: conv [out][kh][kw][in]; dense [out][in]; others [channels] */
	size_t count;
	float *value;
	float *grad; /* NULL when not training */
};

struct net_buffer {    /* BatchNorm's running statistics */
	char name[64]; /* "bn1.running_mean" */
	size_t count;
	float *value;
};

struct net;

/* Draws everything from the arena: parameters, gradients, activations, scratch. ERROR_USAGE for options that make no
 * net. */
struct net *net_create(struct arena *arena, const struct net_config *config, unsigned team_threads, struct error *err);

/* Convolutions: truncated normal, fan-in, scale 1; dense N(0, 0.01); gamma 1 (0 for the last BN of each residual
 * block); beta 0; running mean 0, variance 1. A function of seed and parameter name alone. RECIPE: Networks. */
void net_init(struct net *net, uint64_t seed);

size_t net_param_count(const struct net *net);
struct param *net_param(struct net *net, size_t index);
size_t net_buffer_count(const struct net *net);
struct net_buffer *net_buffer(struct net *net, size_t index);
struct param *net_find_param(struct net *net, const char *name); /* NULL: none */
struct net_buffer *net_find_buffer(struct net *net, const char *name);

unsigned net_feature_dim(const struct net *net); /* columns of h */
unsigned net_output_dim(const struct net *net);	 /* columns of z; net_feature_dim() when the head is none */
uint64_t net_flops(const struct net *net);	 /* forward multiply-adds times two, of one row */

enum net_mode {
	NET_TRAIN, /* BN over all rows of the call; running statistics updated; activations kept for net_backward() */
	NET_EVAL,  /* BN by running statistics; nothing is changed */
};

/* x: [rows][size][size][3], rows <= max_rows; net_backward() reads it again. Afterwards net_features() is h
 * [rows][feature_dim] and net_output() is z [rows][output_dim], both owned by the net and valid until the next call.
 * with_head false skips g. */
void net_forward(struct net *net, struct team *team, const float *x, uint32_t rows, enum net_mode mode, bool with_head);
const float *net_features(const struct net *net);
const float *net_output(const struct net *net);

/* After net_forward() in NET_EVAL without the head: g on the same rows. Afterwards net_output() is z. */
void net_forward_head(struct net *net, struct team *team);

/* What of the net is looked at: h; the head's first hidden layer after BN and ReLU (SimCLRv2, section 4); z. */
enum net_tap { NET_TAP_H, NET_TAP_HEAD1, NET_TAP_Z };

/* Its columns; 0: this net has no such layer. HEAD1 is there in nets that are not for training, with a head of two
 * layers or three. */
unsigned net_tap_dim(const struct net *net, enum net_tap tap);
/* [rows][net_tap_dim()], after net_forward() with the head; valid as net_features(). */
const float *net_tap(const struct net *net, enum net_tap tap);

/* Called by net_backward() on the calling thread as soon as that parameter's grad is complete. Non-zero stops backward.
 */
typedef int net_grad_fn(void *ctx, size_t param_index);

/* Backward of the last NET_TRAIN forward, once: it overwrites activations, but for NET_KEEP_ALL. dz:
 * [rows][output_dim]. Overwrites every param's grad, in the order of net_backward_order(). Reads no parameter's value
 * after it has announced that parameter's gradient (the optimizer may then change it). Returns 0 or what fn returned.
 */
int net_backward(struct net *net, struct team *team, const float *dz, net_grad_fn *fn, void *ctx);

bool net_is_classifier(enum net_head head);

/* Parameter indices in the order that backward completes them; net_param_count() of them. */
const uint32_t *net_backward_order(const struct net *net);

/* For tests: outputs of the stem and of each residual block after NET_TRAIN or NET_EVAL: [rows][h][w][c]. NULL past the
 * last, and unless the net is for training in fp32 with NET_KEEP_ALL. name "stem", then like "layer1.0". */
const float *net_block_output(
	const struct net *net, size_t index, const char **name, unsigned *height, unsigned *width, unsigned *channels);

/* The convolutions and dense layers, in the order of forward; for benchmarks and reports. */
enum net_pass { NET_FORWARD, NET_DATA_GRADIENT, NET_WEIGHT_GRADIENT };

struct net_layer {
	const char *name; /* of its weight: "layer1.0.conv1.weight" */
	unsigned in_h, in_w, in_c, out_h, out_w, out_c, kernel, stride;
	uint64_t flops;	     /* of one pass over one row, counted as a direct convolution: multiply-adds times two */
	const char *path[3]; /* by pass: how it is computed, such as "winograd4 fp32"; NULL: the pass does not exist */
	uint64_t bytes[3];   /* by pass: activations and gradients of one row that it reads and writes */
};

size_t net_layer_count(const struct net *net);
struct net_layer net_layer(const struct net *net, size_t index);

/* Runs one pass of one layer over `rows` rows of whatever the net's buffers hold (after a forward and a backward:
 * finite numbers). Changes activations and gradients: for benchmarks. */
void net_run_layer(struct net *net, struct team *team, size_t index, enum net_pass pass, uint32_t rows);

static inline bool net_normalizes(const struct net_config *config)
{
	return config->input_deviation[0] > 0;
}

/* By ImageNet's mean and deviation, which torchvision's weights expect. */
void net_normalize_imagenet(struct net_config *config);

/* Names: "resnet18"... to depth; "auto|cifar|imagenet"; "none|linear|mlp2|mlp3". ERROR_USAGE lists what is known. */
int net_parse_model(const char *text, unsigned *depth, struct error *err);
int net_parse_stem(const char *text, enum net_stem *stem, struct error *err);
int net_parse_head(const char *text, enum net_head *head, struct error *err);

/* Conversion between memory order and torchvision's file order (a transpose for conv, a copy for the rest). */
void param_to_file_order(const struct param *param, float *out);
void param_from_file_order(struct param *param, const float *in);
unsigned param_file_shape(const struct param *param, uint64_t shape[4]); /* returns dims */

#endif
