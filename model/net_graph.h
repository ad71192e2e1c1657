/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A net's forward pass as a graph of plain operations, for who writes it down elsewhere (tools/export_onnx.c). It is
 * read off the very steps that net_forward() runs.
 *
 * Values are numbered; 0 is the images (normalised, where the net does that). Nodes stand in an order that they can be
 * computed in. The encoder's come first; the last of them, NET_NODE_MEAN, makes the features.
 */
#ifndef RINGCLR_MODEL_NET_GRAPH_H
#define RINGCLR_MODEL_NET_GRAPH_H

#include "model/net.h"

enum net_node_kind {
	NET_NODE_CONV,	   /* out = BN(conv(in)), then ReLU if `relu`; no bias. gamma NULL: no BN, and beta is a bias */
	NET_NODE_DENSE,	   /* the same with a dense layer, weight [out][in] */
	NET_NODE_RELU,	   /* out = relu(in) */
	NET_NODE_ADD,	   /* out = relu(in + skip) */
	NET_NODE_MAX_POOL, /* 3x3, stride 2, one pixel of padding that never wins */
	NET_NODE_MEAN,	   /* out = mean over the pixels of in: [rows][channels] */
	NET_NODE_OUTPUT,   /* out = in: the net's output, z or a classifier's logits */
};

struct net_node {
	enum net_node_kind kind;
	char name[64]; /* conv and dense: their module's ("layer1.0.conv1"); add and relu: their block's; else "" */
	unsigned in, skip, out; /* values; skip is for NET_NODE_ADD only */
	/* Of conv and dense. */
	unsigned kernel, stride, pad;
	bool relu;
	const struct param *weight, *gamma, *beta; /* NULL: none */
	const struct net_buffer *mean, *variance;
};

size_t net_node_count(const struct net *net);
size_t net_encoder_node_count(const struct net *net);
struct net_node net_node(const struct net *net, size_t index);
size_t net_graph_values(const struct net *net); /* their numbers are below this */

/* What every BN adds to its variance. */
double net_batchnorm_epsilon(void);

#endif
