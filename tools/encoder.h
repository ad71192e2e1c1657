/* SPDX-License-Identifier: Apache-2.0 */
/* A frozen encoder from a run's folder or a safetensors file, or a random one: what eval and embed share. */
#ifndef RINGCLR_TOOLS_ENCODER_H
#define RINGCLR_TOOLS_ENCODER_H

#include "model/net.h"
#include "tools/options.h"
#include "tools/runtime.h"

enum encoder_kind { ENCODER_TRAINED, ENCODER_RANDOM, ENCODER_PIXELS };

struct encoder_options {
	unsigned kind;	   /* enum encoder_kind */
	const char *model; /* these three only where no file says */
	double width;
	uint64_t size, seed;
	unsigned features;	  /* enum net_tap */
	unsigned precision, conv; /* 0: the file's; else 1 + a place in struct model_options' choices */
};

#define ENCODER_OPTIONS(S, m)                                                                                          \
	OPTION_GROUP("Encoder"),                                                                                       \
		OPTION_CHOICE(S, m.kind, "encoder", "trained|random|pixels", "trained",                                \
			"the file's weights; the same net with random weights; or no net, the pixels themselves"),     \
		OPTION_CHOICE(S, m.features, "features", "h|head1|z", "h",                                             \
			"what counts as the encoder's output: h, before the projection head; the head's first "        \
			"hidden layer after BN and ReLU; or z, the head's output"),                                    \
		OPTION_STRING(S, m.model, "model", "NAME", "resnet18", "for --encoder random without a file"),         \
		OPTION_DOUBLE(S, m.width, "width", "F", "1", 0.01, 16, "for --encoder random without a file"),         \
		OPTION_U64(S, m.size, "size", "PIXELS", "0", 0, 1024, "side of the input; 0: the file's, or 32"),      \
		OPTION_U64(S, m.seed, "seed", "N", "1", 0, UINT64_MAX, "of random weights, order and views"),          \
		OPTION_CHOICE(S, m.precision, "precision", "file|fp32|bf16|auto", "file",                              \
			"of activations and products; file: as the weights were trained, or fp32"),                    \
		OPTION_CHOICE(S, m.conv, "conv", "file|auto|direct|winograd", "file",                                  \
			"how 3x3 convolutions are computed; file: as in training, or auto")

struct encoder {
	struct net *net;    /* NULL: pixels */
	unsigned size, dim; /* of the input in pixels; of the features */
	enum net_tap tap;
	char source[4096]; /* the file, or "random", "pixels" */
};

/* path: a run's folder, a .safetensors file, or NULL (random and pixels only). The net is drawn from the runtime's
 * arena for at most max_rows images; its head is there
 * when the features are the head's. */
int encoder_open(struct encoder *encoder, struct runtime *runtime, const struct encoder_options *options,
	const char *path, uint32_t max_rows, struct error *err);

/* XXH3-64 over every parameter and running statistic: a frozen protocol must leave it as it was. */
uint64_t encoder_hash(const struct encoder *encoder);

#endif
