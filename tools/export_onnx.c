/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr export --to onnx: the net as a graph of ONNX's operators (opset 13), in Protocol buffers' wire format.
 *
 * A convolution is Conv, BatchNormalization (left as it is: runtimes fold it) and perhaps Relu; a dense layer is Gemm
 * in Conv's place. Weights are initializers with torchvision's names; a value is named for the module that makes it:
 * "layer1.0.bn1", "layer1.0.bn1.relu", a block's result "layer1.0". The numbers are the fields' in onnx.proto.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic_file.h"
#include "model/net_graph.h"
#include "stages/ringclr.h" /* RINGCLR_VERSION */
#include "tools/export_weights.h"
#include "tools/protobuf_wire.h"

enum {
	IR_VERSION = 7, /* the first with opset 13 */
	OPSET = 13,
	NAME_BYTES = 96,
	INPUTS_MAX = 5,
};
#define FILE_BYTES_MAX                                                                                                 \
	((UINT64_C(2) << 30) - (UINT64_C(16) << 20)) /* Protocol buffers' limit, less room for the rest */

enum {
	MODEL_IR_VERSION = 1,
	MODEL_PRODUCER = 2,
	MODEL_PRODUCER_VERSION = 3,
	MODEL_DOC = 6,
	MODEL_GRAPH = 7,
	MODEL_OPSET = 8,
	MODEL_METADATA = 14
};
enum { OPSET_VERSION = 2 };
enum { PAIR_KEY = 1, PAIR_VALUE = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_TYPE = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_F = 2, ATTRIBUTE_I = 3, ATTRIBUTE_INTS = 8, ATTRIBUTE_TYPE = 20 };
enum { TYPE_IS_FLOAT = 1, TYPE_IS_INT = 2, TYPE_IS_INTS = 7 };
enum { TENSOR_DIM = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9, TENSOR_IS_FLOAT = 1 };
enum {
	VALUE_NAME = 1,
	VALUE_TYPE = 2,
	VALUE_DOC = 3,
	TYPE_TENSOR = 1,
	TYPE_ELEMENT = 1,
	TYPE_SHAPE = 2,
	SHAPE_DIM = 1,
	DIM_VALUE = 1,
	DIM_PARAM = 2
};

struct onnx {
	const struct weights *weights;
	struct wire graph;
	char (*names)[NAME_BYTES]; /* of the net's values */
	float *values;		   /* one parameter in file order */
	struct export_result result;
};

/* ---- nodes ---- */

static void attribute_int(struct wire *node, const char *name, uint64_t value)
{
	struct wire attribute = {0};
	wire_text_field(&attribute, ATTRIBUTE_NAME, name);
	wire_varint_field(&attribute, ATTRIBUTE_I, value);
	wire_varint_field(&attribute, ATTRIBUTE_TYPE, TYPE_IS_INT);
	wire_message_field(node, NODE_ATTRIBUTE, &attribute);
	wire_free(&attribute);
}

static void attribute_float(struct wire *node, const char *name, float value)
{
	struct wire attribute = {0};
	wire_text_field(&attribute, ATTRIBUTE_NAME, name);
	wire_float_field(&attribute, ATTRIBUTE_F, value);
	wire_varint_field(&attribute, ATTRIBUTE_TYPE, TYPE_IS_FLOAT);
	wire_message_field(node, NODE_ATTRIBUTE, &attribute);
	wire_free(&attribute);
}

/* The same number `count` times: ONNX has one for each side. */
static void attribute_sides(struct wire *node, const char *name, unsigned value, unsigned count)
{
	struct wire attribute = {0};
	wire_text_field(&attribute, ATTRIBUTE_NAME, name);
	for (unsigned i = 0; i < count; i++)
		wire_varint_field(&attribute, ATTRIBUTE_INTS, value);
	wire_varint_field(&attribute, ATTRIBUTE_TYPE, TYPE_IS_INTS);
	wire_message_field(node, NODE_ATTRIBUTE, &attribute);
	wire_free(&attribute);
}

static void attribute_window(struct wire *node, unsigned kernel, unsigned stride, unsigned pad)
{
	attribute_sides(node, "kernel_shape", kernel, 2);
	attribute_sides(node, "strides", stride, 2);
	attribute_sides(node, "pads", pad, 4);
}

/* A node is named for its one output. inputs: up to the first NULL. */
static struct wire begin_node(const char *type, const char *const inputs[INPUTS_MAX], const char *output)
{
	struct wire node = {0};
	for (unsigned i = 0; i < INPUTS_MAX && inputs[i]; i++)
		wire_text_field(&node, NODE_INPUT, inputs[i]);
	wire_text_field(&node, NODE_OUTPUT, output);
	wire_text_field(&node, NODE_NAME, output);
	wire_text_field(&node, NODE_TYPE, type);
	return node;
}

static void end_node(struct onnx *onnx, struct wire *node)
{
	wire_message_field(&onnx->graph, GRAPH_NODE, node);
	wire_free(node);
}

static void add_plain(struct onnx *onnx, const char *type, const char *in, const char *in2, const char *out)
{
	struct wire node = begin_node(type, (const char *const[INPUTS_MAX]){in, in2}, out);
	end_node(onnx, &node);
}

/* ---- initializers ---- */

static void add_tensor(struct onnx *onnx, const char *name, unsigned dims, const uint64_t *shape, const float *values)
{
	struct wire tensor = {0};
	size_t bytes = sizeof *values;
	for (unsigned i = 0; i < dims; i++) {
		wire_varint_field(&tensor, TENSOR_DIM, shape[i]);
		bytes *= shape[i];
	}
	wire_varint_field(&tensor, TENSOR_TYPE, TENSOR_IS_FLOAT);
	wire_text_field(&tensor, TENSOR_NAME, name);
	wire_bytes_field(&tensor, TENSOR_RAW, values, bytes);
	wire_message_field(&onnx->graph, GRAPH_INITIALIZER, &tensor);
	wire_free(&tensor);
	onnx->result.tensors++;
	onnx->result.bytes += bytes;
}

static void add_param(struct onnx *onnx, const struct param *param)
{
	uint64_t shape[4];
	unsigned dims = param_file_shape(param, shape);
	param_to_file_order(param, onnx->values);
	add_tensor(onnx, param->name, dims, shape, onnx->values);
}

static void add_buffer(struct onnx *onnx, const struct net_buffer *buffer)
{
	uint64_t shape = buffer->count;
	add_tensor(onnx, buffer->name, 1, &shape, buffer->value);
}

/* A last BN of a head has no beta; ONNX's has one always. */
static void add_beta(struct onnx *onnx, const struct net_node *node, const char *name)
{
	uint64_t shape = node->gamma->count;
	if (node->beta) {
		add_param(onnx, node->beta);
		return;
	}
	memset(onnx->values, 0, node->gamma->count * sizeof *onnx->values);
	add_tensor(onnx, name, 1, &shape, onnx->values);
}

/* ---- the net ---- */

/* The classifier: a dense layer with a bias. */
static void add_biased(struct onnx *onnx, const struct net_node *node)
{
	const char *const inputs[INPUTS_MAX] = {onnx->names[node->in], node->weight->name, node->beta->name};
	struct wire wire = begin_node("Gemm", inputs, node->name);
	attribute_int(&wire, "transB", 1);
	end_node(onnx, &wire);
	snprintf(onnx->names[node->out], NAME_BYTES, "%s", node->name);
	add_param(onnx, node->weight);
	add_param(onnx, node->beta);
}

static void add_layer(struct onnx *onnx, const struct net_node *node)
{
	char bn[NAME_BYTES], beta[NAME_BYTES + 8], *out = onnx->names[node->out];
	snprintf(bn, sizeof bn, "%.*s", (int)(strlen(node->gamma->name) - strlen(".weight")), node->gamma->name);
	snprintf(beta, sizeof beta, "%s.bias", bn);
	const char *const inputs[INPUTS_MAX] = {onnx->names[node->in], node->weight->name};
	struct wire wire = begin_node(node->kind == NET_NODE_DENSE ? "Gemm" : "Conv", inputs, node->name);
	if (node->kind == NET_NODE_DENSE)
		attribute_int(&wire, "transB", 1);
	else
		attribute_window(&wire, node->kernel, node->stride, node->pad);
	end_node(onnx, &wire);
	const char *const statistics[INPUTS_MAX] = {
		node->name, node->gamma->name, beta, node->mean->name, node->variance->name};
	wire = begin_node("BatchNormalization", statistics, bn);
	attribute_float(&wire, "epsilon", (float)net_batchnorm_epsilon());
	end_node(onnx, &wire);
	snprintf(out, NAME_BYTES, "%.80s%s", bn, node->relu ? ".relu" : "");
	if (node->relu)
		add_plain(onnx, "Relu", bn, NULL, out);
	add_param(onnx, node->weight);
	add_param(onnx, node->gamma);
	add_beta(onnx, node, beta);
	add_buffer(onnx, node->mean);
	add_buffer(onnx, node->variance);
}

static const char *output_name(const struct onnx *onnx)
{
	return net_is_classifier(onnx->weights->about.net.head) ? "logits" : "z";
}

static void add_node(struct onnx *onnx, const struct net_node *node)
{
	const char *in = onnx->names[node->in];
	char *out = onnx->names[node->out], sum[NAME_BYTES];
	struct wire wire;
	switch (node->kind) {
	case NET_NODE_CONV:
	case NET_NODE_DENSE:
		if (node->gamma != NULL)
			add_layer(onnx, node);
		else
			add_biased(onnx, node);
		break;
	case NET_NODE_RELU:
		snprintf(out, NAME_BYTES, "%s", node->name);
		add_plain(onnx, "Relu", in, NULL, out);
		break;
	case NET_NODE_ADD:
		snprintf(out, NAME_BYTES, "%s", node->name);
		snprintf(sum, sizeof sum, "%s.add", node->name);
		add_plain(onnx, "Add", in, onnx->names[node->skip], sum);
		add_plain(onnx, "Relu", sum, NULL, out);
		break;
	case NET_NODE_MAX_POOL:
		snprintf(out, NAME_BYTES, "maxpool");
		wire = begin_node("MaxPool", (const char *const[INPUTS_MAX]){in}, out);
		attribute_window(&wire, 3, 2, 1);
		end_node(onnx, &wire);
		break;
	case NET_NODE_MEAN:
		snprintf(out, NAME_BYTES, "features");
		add_plain(onnx, "GlobalAveragePool", in, NULL, "avgpool");
		wire = begin_node("Flatten", (const char *const[INPUTS_MAX]){"avgpool"}, out);
		attribute_int(&wire, "axis", 1);
		end_node(onnx, &wire);
		break;
	case NET_NODE_OUTPUT:
		snprintf(out, NAME_BYTES, "%s", output_name(onnx));
		add_plain(onnx, "Identity", in, NULL, out);
		break;
	}
}

/* Names value 0: the images as the first convolution takes them. */
static void add_images(struct onnx *onnx)
{
	const struct net_config *config = &onnx->weights->about.net;
	static const uint64_t shape[4] = {1, 3, 1, 1};
	if (!net_normalizes(config)) {
		snprintf(onnx->names[0], NAME_BYTES, "image");
		return;
	}
	snprintf(onnx->names[0], NAME_BYTES, "image.normalized");
	add_tensor(onnx, "input_mean", 4, shape, config->input_mean);
	add_tensor(onnx, "input_deviation", 4, shape, config->input_deviation);
	add_plain(onnx, "Sub", "image", "input_mean", "image.centred");
	add_plain(onnx, "Div", "image.centred", "input_deviation", onnx->names[0]);
}

/* ---- the file ---- */

static void add_dim(struct wire *shape, uint64_t value, const char *name)
{
	struct wire dim = {0};
	if (name)
		wire_text_field(&dim, DIM_PARAM, name);
	else
		wire_varint_field(&dim, DIM_VALUE, value);
	wire_message_field(shape, SHAPE_DIM, &dim);
	wire_free(&dim);
}

/* An input or output of the graph, float32 [N][...]. */
static void add_port(
	struct onnx *onnx, unsigned field, const char *name, unsigned dims, const uint64_t *shape, const char *doc)
{
	struct wire sides = {0}, tensor = {0}, type = {0}, value = {0};
	add_dim(&sides, 0, "N");
	for (unsigned i = 0; i < dims; i++)
		add_dim(&sides, shape[i], NULL);
	wire_varint_field(&tensor, TYPE_ELEMENT, TENSOR_IS_FLOAT);
	wire_message_field(&tensor, TYPE_SHAPE, &sides);
	wire_message_field(&type, TYPE_TENSOR, &tensor);
	wire_text_field(&value, VALUE_NAME, name);
	wire_message_field(&value, VALUE_TYPE, &type);
	wire_text_field(&value, VALUE_DOC, doc);
	wire_message_field(&onnx->graph, field, &value);
	wire_free(&sides);
	wire_free(&tensor);
	wire_free(&type);
	wire_free(&value);
}

static const char INPUT_DOC[] = "RGB images, channels first, values in [0,1] (a byte divided by 255), not normalised";

static void add_graph(struct onnx *onnx, bool with_head)
{
	const struct net *net = onnx->weights->net;
	uint64_t side = onnx->weights->about.net.size, image[3] = {3, side, side};
	uint64_t features = net_feature_dim(net), z = net_output_dim(net);
	wire_text_field(&onnx->graph, GRAPH_NAME, "encoder");
	add_port(onnx, GRAPH_INPUT, "image", 3, image, INPUT_DOC);
	add_images(onnx);
	for (size_t i = 0; i < (with_head ? net_node_count(net) : net_encoder_node_count(net)); i++) {
		struct net_node node = net_node(net, i);
		add_node(onnx, &node);
	}
	add_port(onnx, GRAPH_OUTPUT, "features", 1, &features, "h: what downstream tasks use");
	if (with_head)
		add_port(onnx, GRAPH_OUTPUT, output_name(onnx), 1, &z,
			net_is_classifier(onnx->weights->about.net.head)
				? "of the classes, in their order"
				: "of the projection head, not yet of unit length");
}

static void add_pair(struct wire *model, const char *key, const char *value)
{
	struct wire pair = {0};
	wire_text_field(&pair, PAIR_KEY, key);
	wire_text_field(&pair, PAIR_VALUE, value);
	wire_message_field(model, MODEL_METADATA, &pair);
	wire_free(&pair);
}

static void add_about(struct wire *model, const struct net_config *config)
{
	char text[256], doc[512];
	weights_describe(config, text, sizeof text);
	snprintf(doc, sizeof doc, "%s, by ringclr. Input 'image': float32 [N,3,%u,%u], %s%s.", text, config->size,
		config->size, INPUT_DOC, net_normalizes(config) ? "; the graph begins by normalising them" : "");
	wire_text_field(model, MODEL_DOC, doc);
	add_pair(model, "input", INPUT_DOC);
	snprintf(text, sizeof text, "resnet%u", config->depth);
	add_pair(model, "model", text);
	snprintf(text, sizeof text, "%.9g", (double)config->width);
	add_pair(model, "width", text);
	add_pair(model, "stem", config->stem == NET_STEM_CIFAR ? "cifar" : "imagenet");
	snprintf(text, sizeof text, "%u", config->size);
	add_pair(model, "size", text);
}

static int write_model(struct onnx *onnx, const char *output, struct error *err)
{
	struct wire model = {0}, opset = {0};
	wire_varint_field(&model, MODEL_IR_VERSION, IR_VERSION);
	wire_text_field(&model, MODEL_PRODUCER, "ringclr");
	wire_text_field(&model, MODEL_PRODUCER_VERSION, RINGCLR_VERSION);
	add_about(&model, &onnx->weights->about.net);
	wire_varint_field(&opset, OPSET_VERSION, OPSET);
	wire_message_field(&model, MODEL_OPSET, &opset);
	wire_message_field(&model, MODEL_GRAPH, &onnx->graph);
	int code = model.failed ? error_set(err, ERROR_MEMORY, "%s: out of memory for the graph", output)
				: atomic_file_replace(output, model.data, model.bytes, err);
	wire_free(&opset);
	wire_free(&model);
	return code;
}

/* ERROR_UNSUPPORTED over what a file may hold. Returns the floats of the largest parameter. */
static int count_floats(struct net *net, const char *output, size_t *largest, struct error *err)
{
	uint64_t bytes = 0;
	*largest = 0;
	for (size_t i = 0; i < net_param_count(net); i++) {
		size_t count = net_param(net, i)->count;
		bytes += count * sizeof(float);
		*largest = count > *largest ? count : *largest;
	}
	if (bytes <= FILE_BYTES_MAX)
		return 0;
	return error_set(err, ERROR_UNSUPPORTED,
		"%s: %.1f GiB of weights; an ONNX file holds at most 2: --to torchvision has no limit", output,
		(double)bytes / (1 << 30));
}

int export_onnx(const struct weights *weights, bool with_head, const char *output, struct export_result *result,
	struct error *err)
{
	size_t largest = 0;
	struct export_classifier ignored; /* the net has it: but a file with a broken one is not to be trusted */
	if (export_find_classifier(weights, &ignored, err) < 0 || count_floats(weights->net, output, &largest, err) < 0)
		return err->code;
	if (with_head && net_node_count(weights->net) == net_encoder_node_count(weights->net))
		return error_set(err, ERROR_USAGE, "--with-head: %s has no head", weights->path);
	struct onnx onnx = {
		.weights = weights,
		.names = calloc(net_graph_values(weights->net), sizeof *onnx.names),
		.values = malloc(largest * sizeof *onnx.values),
	};
	int code = 0;
	if (onnx.names && onnx.values) {
		add_graph(&onnx, with_head);
		code = write_model(&onnx, output, err);
	} else {
		code = error_set(err, ERROR_MEMORY, "%s: out of memory for the graph", output);
	}
	*result = onnx.result;
	wire_free(&onnx.graph);
	free(onnx.values);
	free(onnx.names);
	return code;
}
