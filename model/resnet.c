/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a ResNet and its projection head down as a list of steps, with torchvision's parameter names.
 *
 * Basic blocks (18, 34) are conv3x3-BN-ReLU-conv3x3-BN; bottlenecks (50, 101, 152)
 * conv1x1-BN-ReLU-conv3x3-BN-ReLU-conv1x1-BN, the stride on the 3x3 ("v1.5"), four times wider at their end. The
 * block's input is added, through a strided 1x1 convolution and BN where shapes differ, and ReLU ends it.
 *
 * Heads, numbered as in a torch Sequential: linear is dense-BN; mlp2 dense-BN-ReLU-dense-BN; mlp3 has one more
 * dense-BN-ReLU (SimCLRv2). Dense layers have no bias, hidden ones keep the features' width, and the last BN has no
 * beta. A classifier is one dense layer with bias, torchvision's "fc"; head.0, head.1 and ReLU may come before it.
 */
#include "model/net_steps.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct builder {
	struct net *net;
	struct arena *arena;
	struct error *err;
	int code; /* of the first failure: later calls do nothing */
};

/* What follows a convolution's or dense layer's product. */
enum layer_end { END_BN, END_BN_WITHOUT_BETA, END_BIAS };

static size_t add_param(struct builder *b, const char *module, const char *part, enum param_kind kind, unsigned dims,
	const uint32_t *shape)
{
	struct net *net = b->net;
	struct param *param = &net->params[net->param_count];
	snprintf(param->name, sizeof param->name, "%.40s.%s", module, part);
	param->kind = kind;
	param->dims = dims;
	param->count = 1;
	for (unsigned i = 0; i < dims; i++) {
		param->shape[i] = shape[i];
		param->count *= shape[i];
	}
	return net->param_count++;
}

static struct net_buffer *add_buffer(struct builder *b, const char *module, const char *part, unsigned channels)
{
	struct net_buffer *buffer = &b->net->buffers[b->net->buffer_count++];
	snprintf(buffer->name, sizeof buffer->name, "%.40s.%s", module, part);
	buffer->count = channels;
	return buffer;
}

static struct batchnorm *add_bn(struct builder *b, const char *module, unsigned channels, enum layer_end end)
{
	struct net *net = b->net;
	struct batchnorm *bn = &net->bns[net->bn_count++];
	uint32_t shape[] = {channels};
	bn->channels = channels;
	if (end == END_BIAS) {
		bn->beta = &net->params[add_param(b, module, "bias", PARAM_BIAS, 1, shape)];
	} else {
		bn->gamma = &net->params[add_param(b, module, "weight", PARAM_GAMMA, 1, shape)];
		if (end == END_BN)
			bn->beta = &net->params[add_param(b, module, "bias", PARAM_BETA, 1, shape)];
		bn->running_mean = add_buffer(b, module, "running_mean", channels);
		bn->running_var = add_buffer(b, module, "running_var", channels);
	}
	if (b->code == 0)
		b->code = batchnorm_alloc(bn, b->arena, net->config.training, b->err);
	return bn;
}

static struct value *add_value(
	struct builder *b, unsigned height, unsigned width, unsigned channels, enum element element)
{
	struct value *value = &b->net->values[b->net->value_count++];
	value->data.element = element;
	value->height = height;
	value->width = width;
	value->channels = channels;
	return value;
}

static struct value *add_step(
	struct builder *b, enum step_kind kind, struct value *in, struct value *skip, struct value *out)
{
	struct step *step = &b->net->steps[b->net->step_count++];
	step->kind = kind;
	step->in = in;
	step->skip = skip;
	step->out = out;
	out->producer = step;
	return out;
}

static struct value *add_pool(struct builder *b, enum step_kind kind, struct value *in, struct value *out)
{
	struct workspace *workspace = &b->net->workspace;
	add_step(b, kind, in, NULL, out);
	size_t bytes = pool_step_scratch(out->producer);
	if (b->net->config.training && workspace->scratch_bytes < bytes)
		workspace->scratch_bytes = bytes;
	return out;
}

struct layer {
	const char *conv, *bn; /* module names */
	enum param_kind kind;
	unsigned channels, kernel, stride, pad;
	enum layer_end end;
};

static struct value *add_conv(struct builder *b, struct value *in, struct layer layer)
{
	struct net *net = b->net;
	unsigned height = (in->height + 2 * layer.pad - layer.kernel) / layer.stride + 1;
	unsigned width = (in->width + 2 * layer.pad - layer.kernel) / layer.stride + 1;
	bool dense = layer.kind == PARAM_DENSE; /* the head is fp32 always: it is small */
	enum element element = dense || net->config.precision == PRECISION_FP32 ? ELEMENT_FP32 : ELEMENT_BF16;
	struct value *out = add_step(b, STEP_CONV, in, NULL, add_value(b, height, width, layer.channels, element));
	struct step *step = out->producer;
	uint32_t conv_shape[] = {layer.channels, layer.kernel, layer.kernel, in->channels};
	uint32_t dense_shape[] = {layer.channels, in->channels};
	step->weight = add_param(b, layer.conv, "weight", layer.kind, dense ? 2 : 4, dense ? dense_shape : conv_shape);
	out->bn = add_bn(b, layer.bn, layer.channels, layer.end);
	bool training = net->config.training;
	struct conv_config config = {
		.shape = {in->height, in->width, in->channels, height, width, layer.channels, layer.kernel,
			layer.stride, layer.pad},
		.in = in->data.element,
		.out = element,
		.lazy = in->bn != NULL,
		.precision = net->config.precision,
		.choice = net->config.reference ? CONV_CHOICE_DIRECT : net->config.conv,
		.data_gradient = training && in->producer != NULL,
		.weight_gradient = training,
	};
	if (b->code == 0)
		b->code = conv_plan(&step->conv, &config, &net->workspace, b->arena, b->err);
	return out;
}

static void add_block(struct builder *b, const char *name, struct value *out)
{
	struct block *block = &b->net->blocks[b->net->block_count++];
	snprintf(block->name, sizeof block->name, "%s", name);
	block->out = out;
}

static struct value *add_join(struct builder *b, struct value *in, struct value *skip)
{
	return add_step(b, STEP_JOIN, in, skip, add_value(b, in->height, in->width, in->channels, in->data.element));
}

static struct value *build_stem(struct builder *b, struct value *image, unsigned channels)
{
	struct layer layer = {"conv1", "bn1", PARAM_CONV, channels, 3, 1, 1, END_BN};
	struct value *out;
	if (b->net->config.stem == NET_STEM_IMAGENET) {
		layer.kernel = 7;
		layer.stride = 2;
		layer.pad = 3;
		struct value *y = add_conv(b, image, layer);
		struct value *pooled =
			add_value(b, (y->height - 1) / 2 + 1, (y->width - 1) / 2 + 1, channels, y->data.element);
		out = add_pool(b, STEP_POOL_MAX, y, pooled);
	} else {
		out = add_join(b, add_conv(b, image, layer), NULL);
	}
	add_block(b, "stem", out);
	return out;
}

static struct value *build_block(
	struct builder *b, const char *name, struct value *in, unsigned planes, unsigned stride, bool bottleneck)
{
	char conv[64], bn[64];
	unsigned convs = bottleneck ? 3 : 2, channels = bottleneck ? 4 * planes : planes;
	struct value *y = in, *skip = in;
	for (unsigned i = 1; i <= convs; i++) {
		bool wide = !bottleneck || i == 2, last = i == convs, strided = i == (bottleneck ? 2u : 1u);
		snprintf(conv, sizeof conv, "%s.conv%u", name, i);
		snprintf(bn, sizeof bn, "%s.bn%u", name, i);
		y = add_conv(b, y,
			(struct layer){conv, bn, PARAM_CONV, last ? channels : planes, wide ? 3 : 1,
				strided ? stride : 1, wide ? 1 : 0, END_BN});
	}
	if (stride != 1 || in->channels != channels) {
		snprintf(conv, sizeof conv, "%s.downsample.0", name);
		snprintf(bn, sizeof bn, "%s.downsample.1", name);
		skip = add_conv(b, in, (struct layer){conv, bn, PARAM_CONV, channels, 1, stride, 0, END_BN});
	}
	struct value *out = add_join(b, y, skip);
	add_block(b, name, out);
	return out;
}

/* Dense layer number `index` of the projection head, with its BN. */
static struct value *add_head_layer(
	struct builder *b, struct value *in, unsigned index, unsigned channels, enum layer_end end)
{
	char dense[16], bn[16];
	snprintf(dense, sizeof dense, "head.%u", 3 * index);
	snprintf(bn, sizeof bn, "head.%u", 3 * index + 1);
	return add_conv(b, in, (struct layer){dense, bn, PARAM_DENSE, channels, 1, 1, 0, end});
}

static void build_head(struct builder *b, struct value *h)
{
	struct net *net = b->net;
	enum net_head head = net->config.head;
	bool classifier = net_is_classifier(head);
	unsigned layers = classifier ? 0 : (unsigned)head; /* none 0, linear 1, mlp2 2, mlp3 3 */
	unsigned hidden = head == NET_HEAD_HIDDEN_CLASSIFIER ? 1 : layers > 0 ? layers - 1 : 0;
	struct value *y = h;
	for (unsigned i = 0; i < hidden; i++) {
		y = add_head_layer(b, y, i, h->channels, END_BN);
		/* For evaluation: nobody in the net reads it. */
		if (i == 0 && !net->config.training)
			net->hidden = add_join(b, y, NULL);
	}
	if (classifier)
		y = add_conv(b, y, (struct layer){"fc", "fc", PARAM_DENSE, net->config.head_dim, 1, 1, 0, END_BIAS});
	else if (layers > 0)
		y = add_head_layer(b, y, layers - 1, net->config.head_dim, END_BN_WITHOUT_BETA);
	net->output = y == h ? h : add_step(b, STEP_OUTPUT, y, NULL, add_value(b, 1, 1, y->channels, ELEMENT_FP32));
}

/* Blocks of the four stages. */
static const struct depth {
	unsigned depth, blocks[4];
} DEPTHS[] = {
	{18, {2, 2, 2, 2}},
	{34, {3, 4, 6, 3}},
	{50, {3, 4, 6, 3}},
	{101, {3, 4, 23, 3}},
	{152, {3, 8, 36, 3}},
};

static const struct depth *find_depth(unsigned depth)
{
	for (size_t i = 0; i < sizeof DEPTHS / sizeof DEPTHS[0]; i++) {
		if (DEPTHS[i].depth == depth)
			return &DEPTHS[i];
	}
	return NULL;
}

static unsigned scaled(const struct net_config *config, unsigned channels)
{
	long width = lroundf((float)channels * config->width);
	return width < 8 ? 8 : (unsigned)width;
}

int net_build(struct net *net, struct arena *arena, struct error *err)
{
	const struct depth *depth = find_depth(net->config.depth);
	struct builder b = {net, arena, err, 0};
	struct value *x = add_value(&b, net->config.size, net->config.size, 3, ELEMENT_FP32);
	bool bottleneck = net->config.depth >= 50;
	char name[32];
	x = build_stem(&b, x, scaled(&net->config, 64));
	for (unsigned stage = 0; stage < 4; stage++) {
		for (unsigned i = 0; i < depth->blocks[stage]; i++) {
			snprintf(name, sizeof name, "layer%u.%u", stage + 1, i);
			x = build_block(&b, name, x, scaled(&net->config, 64u << stage), i == 0 && stage > 0 ? 2 : 1,
				bottleneck);
		}
	}
	net->features = add_pool(&b, STEP_POOL_MEAN, x, add_value(&b, 1, 1, x->channels, ELEMENT_FP32));
	net->encoder_steps = net->step_count;
	build_head(&b, net->features);
	return b.code;
}

int net_parse_model(const char *text, unsigned *depth, struct error *err)
{
	unsigned number = 0;
	char rest = 0;
	if (sscanf(text, "resnet%3u%c", &number, &rest) == 1 && find_depth(number) != NULL) {
		*depth = number;
		return 0;
	}
	return error_set(err, ERROR_USAGE,
		"unknown model '%s': choose resnet18, resnet34, resnet50, resnet101 or resnet152", text);
}

static int parse_word(const char *text, const char *const words[], unsigned *number)
{
	for (unsigned i = 0; words[i] != NULL; i++) {
		if (strcmp(text, words[i]) == 0) {
			*number = i;
			return 0;
		}
	}
	return -1;
}

int net_parse_stem(const char *text, enum net_stem *stem, struct error *err)
{
	static const char *const words[] = {"auto", "cifar", "imagenet", NULL};
	unsigned number;
	if (parse_word(text, words, &number) < 0)
		return error_set(err, ERROR_USAGE,
			"unknown stem '%s': choose auto, cifar (3x3 stride 1) or imagenet (7x7 stride 2, max-pool)",
			text);
	*stem = (enum net_stem)number;
	return 0;
}

int net_parse_head(const char *text, enum net_head *head, struct error *err)
{
	static const char *const words[] = {"none", "linear", "mlp2", "mlp3", NULL};
	unsigned number;
	if (parse_word(text, words, &number) < 0)
		return error_set(err, ERROR_USAGE, "unknown head '%s': choose none, linear, mlp2 or mlp3", text);
	*head = (enum net_head)number;
	return 0;
}
