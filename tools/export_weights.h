/* SPDX-License-Identifier: Apache-2.0 */
/* The formats of `ringclr export` that weights go to. Each writes one file, which appears whole or not at all. */
#ifndef RINGCLR_TOOLS_EXPORT_WEIGHTS_H
#define RINGCLR_TOOLS_EXPORT_WEIGHTS_H

#include "tools/weights_file.h"

struct export_result {
	size_t tensors;
	uint64_t bytes; /* of the tensors */
};

/* The classifier that a checkpoint may have: fc.weight [classes][features], fc.bias [classes]. Both NULL: it has none.
 */
struct export_classifier {
	const struct safetensor *weight, *bias;
};
int export_find_classifier(const struct weights *weights, struct export_classifier *classifier, struct error *err);

/* A state dict of torchvision's ResNet: its keys in its order. */
int export_torchvision(
	const struct weights *weights, const char *output, struct export_result *result, struct error *err);

/* An ONNX graph from images to features, and with_head to z (of a projection head) or logits (of a classifier). The
 * weights were loaded with_head. */
int export_onnx(const struct weights *weights, bool with_head, const char *output, struct export_result *result,
	struct error *err);

#endif
