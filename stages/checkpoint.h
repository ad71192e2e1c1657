/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: one safetensors file with the encoder in torchvision's names and layouts ("conv1.weight",
 * "layer1.0.bn1.running_mean"
 * ...), the head ("head.*") or classifier ("fc.*"), the optimizer's state ("momentum.*"), the online probe ("probe.*"),
 * and in its metadata the shape of the net, the position of the run and the fingerprint of the data. Written
 * atomically; the same state gives the same bytes.
 */
#ifndef RINGCLR_STAGES_CHECKPOINT_H
#define RINGCLR_STAGES_CHECKPOINT_H

#include "io/safetensors.h"
#include "model/net.h"
#include "model/optimizer.h"
#include "stages/forward_backward.h"

/* A tensor of a part of the run that is neither net nor optimizer: the online probe's. */
struct checkpoint_tensor {
	const char *name;
	unsigned dims; /* 1 or 2 */
	uint64_t shape[2];
	float *value;
};

/* What a checkpoint says of itself besides tensors. */
struct checkpoint_about {
	struct net_config net; /* depth, width, size, stem, head, head_dim, precision, conv, input_mean and
				  input_deviation; the rest is the reader's to choose */
	struct train_progress progress;
	uint64_t fingerprint;		       /* of the training data */
	const struct checkpoint_tensor *extra; /* saved behind the rest; not set by checkpoint_about() */
	size_t extra_count;
};

/* Saves to path. optimizer may be NULL (weights only). */
int checkpoint_save(const char *path, struct net *net, struct optimizer *optimizer,
	const struct checkpoint_about *about, struct error *err);

/* Reads what the file says. A file without ringclr's metadata (torchvision's weights) is recognised by its tensors:
 * depth, width and stem; size is then 32 for the CIFAR stem and 224 otherwise, unless the file is ringclr's own export,
 * the head none or, with an "fc", a classifier, progress and fingerprint 0. */
int checkpoint_about(
	const char *path, const struct safetensors *file, struct checkpoint_about *about, struct error *err);

/* A number for each colour as metadata has them, "0.485,0.456,0.406", and back; false: it is no such text. */
enum { CHECKPOINT_COLOURS = 64 };
void checkpoint_colours(const float colours[3], char text[CHECKPOINT_COLOURS]);
bool checkpoint_parse_colours(const char *text, float colours[3]);

/* Copies parameters and running statistics into the net. Every tensor of the encoder must be there with its shape; of
 * the head too, unless the net has none. ERROR_MISMATCH names file and tensor. */
int checkpoint_load_net(const char *path, const struct safetensors *file, struct net *net, struct error *err);

/* The start of another training: the encoder's parameters and running statistics, with `hidden` also those of the
 * head's first hidden layer ("head.0", "head.1"). The rest of the net is left as it is. ERROR_MISMATCH as above. */
int checkpoint_load_encoder(
	const char *path, const struct safetensors *file, struct net *net, bool hidden, struct error *err);

int checkpoint_load_optimizer(
	const char *path, const struct safetensors *file, struct optimizer *optimizer, struct error *err);
int checkpoint_load_extra(const char *path, const struct safetensors *file, const struct checkpoint_tensor *extra,
	size_t count, struct error *err);

#endif
