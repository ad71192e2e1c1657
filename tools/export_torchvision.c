/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr export --to torchvision: the tensors of a checkpoint that torchvision's ResNet has, in the order of its state
 * dict, each BatchNorm with its counter of batches. load_state_dict(strict=True) takes them on a net with the
 * checkpoint's stem, and without fc unless the checkpoint has a classifier. What says how the net is to be made and fed
 * stands in the metadata, and is read again by ringclr itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/net_graph.h"
#include "stages/ringclr.h" /* RINGCLR_VERSION */
#include "tools/export_weights.h"

enum { NAME_BYTES = 96, TENSORS_OF_NODE = 6, PAIRS_MAX = 8 };

struct state_dict {
	const struct weights *weights;
	struct safetensor *tensors;
	char (*counters)[NAME_BYTES]; /* names of num_batches_tracked, one a node */
	size_t count, nodes;
	int64_t zero; /* what a counter is where the file has none */
};

int export_find_classifier(const struct weights *weights, struct export_classifier *classifier, struct error *err)
{
	const struct safetensor *weight = safetensors_find(weights->file, "fc.weight");
	const struct safetensor *bias = safetensors_find(weights->file, "fc.bias");
	*classifier = (struct export_classifier){weight, bias};
	if (!weight && !bias)
		return 0;
	if (!weight || !bias || weight->type != SAFETENSORS_F32 || bias->type != SAFETENSORS_F32 || weight->dims != 2 ||
		bias->dims != 1 || weight->shape[0] != bias->shape[0] ||
		weight->shape[1] != net_feature_dim(weights->net))
		return error_set(err, ERROR_MISMATCH,
			"%s: 'fc.weight' and 'fc.bias' are no classifier of %u features: they must be float32 "
			"[classes][%u] and "
			"[classes]",
			weights->path, net_feature_dim(weights->net), net_feature_dim(weights->net));
	return 0;
}

/* The net was loaded, so the tensor is there and as it should be. */
static void add(struct state_dict *dict, const char *name)
{
	dict->tensors[dict->count++] = *safetensors_find(dict->weights->file, name);
}

static void add_counter(struct state_dict *dict, const char *gamma)
{
	char *name = dict->counters[dict->nodes++];
	snprintf(name, NAME_BYTES, "%.*s.num_batches_tracked", (int)(strlen(gamma) - strlen(".weight")), gamma);
	const struct safetensor *counter = safetensors_find(dict->weights->file, name);
	if (counter && counter->type == SAFETENSORS_I64 && counter->dims == 0)
		dict->tensors[dict->count++] = *counter;
	else
		dict->tensors[dict->count++] = (struct safetensor){
			.name = name, .type = SAFETENSORS_I64, .data = &dict->zero, .bytes = sizeof dict->zero};
}

static void add_encoder(struct state_dict *dict)
{
	const struct net *net = dict->weights->net;
	for (size_t i = 0; i < net_encoder_node_count(net); i++) {
		struct net_node node = net_node(net, i);
		if (node.kind != NET_NODE_CONV)
			continue;
		add(dict, node.weight->name);
		add(dict, node.gamma->name);
		add(dict, node.beta->name);
		add(dict, node.mean->name);
		add(dict, node.variance->name);
		add_counter(dict, node.gamma->name);
	}
}

static int write_dict(const struct state_dict *dict, const char *output, struct error *err)
{
	const struct net_config *config = &dict->weights->about.net;
	char model[32], width[32], size[32], mean[CHECKPOINT_COLOURS], deviation[CHECKPOINT_COLOURS];
	snprintf(model, sizeof model, "resnet%u", config->depth);
	snprintf(width, sizeof width, "%.9g", (double)config->width);
	snprintf(size, sizeof size, "%u", config->size);
	checkpoint_colours(config->input_mean, mean);
	checkpoint_colours(config->input_deviation, deviation);
	const struct safetensors_pair pairs[PAIRS_MAX] = {
		{"format", "pt"}, /* what PyTorch's own writer says */
		{"producer", "ringclr " RINGCLR_VERSION},
		{"model", model},
		{"width", width},
		{"stem", config->stem == NET_STEM_CIFAR ? "cifar" : "imagenet"},
		{"size", size},
		{"input_mean", mean},
		{"input_deviation", deviation},
	};
	return safetensors_write(
		output, dict->tensors, dict->count, pairs, net_normalizes(config) ? PAIRS_MAX : PAIRS_MAX - 2, err);
}

int export_torchvision(
	const struct weights *weights, const char *output, struct export_result *result, struct error *err)
{
	size_t nodes = net_node_count(weights->net);
	struct state_dict dict = {
		.weights = weights,
		.tensors = calloc(nodes * TENSORS_OF_NODE + 2, sizeof *dict.tensors),
		.counters = calloc(nodes, sizeof *dict.counters),
	};
	struct export_classifier classifier;
	int code = export_find_classifier(weights, &classifier, err);
	if (!dict.tensors || !dict.counters) {
		code = error_set(err, ERROR_MEMORY, "%s: out of memory for the table of tensors", output);
	} else if (code == 0) {
		add_encoder(&dict);
		/* One on the head's hidden layer means nothing without that. */
		if (classifier.weight && weights->about.net.head != NET_HEAD_HIDDEN_CLASSIFIER) {
			dict.tensors[dict.count++] = *classifier.weight;
			dict.tensors[dict.count++] = *classifier.bias;
		}
		code = write_dict(&dict, output, err);
	}
	*result = (struct export_result){.tensors = dict.count};
	for (size_t i = 0; i < dict.count; i++)
		result->bytes += dict.tensors[i].bytes;
	free(dict.counters);
	free(dict.tensors);
	return code;
}
