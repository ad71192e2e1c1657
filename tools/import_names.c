/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files name a ResNet's tensors as torchvision does, behind what the program that trained them put in front: "module."
 * of DataParallel, "encoder_q." of MoCo, "backbone."... Whatever stands in front of both the first convolution and the
 * first block's is taken for it. What else the file holds belongs to heads; but a further tensor among the layers means
 * that the layers compute something else than a ResNet's, and the file is refused.
 */
#include "tools/import_names.h"

#include <stdio.h>
#include <string.h>

static const char first_block[] = "layer1.0.conv1.weight";

static bool has(const struct safetensors *file, const char *prefix, const char *name)
{
	char whole[IMPORT_PREFIX + 64];
	snprintf(whole, sizeof whole, "%s%s", prefix, name);
	return safetensors_find(file, whole) != NULL;
}

static bool any_with(const struct safetensors *file, const char *part)
{
	for (size_t i = 0; i < safetensors_count(file); i++)
		if (strstr(safetensors_at(file, i)->name, part) != NULL)
			return true;
	return false;
}

/* What a net that is not ours is called, by a part of a name that only it has. */
static const char *known_net(const struct safetensors *file)
{
	static const struct {
		const char *part, *net;
	} known[] = {
		{"conv1.0.weight", "a ResNet with a deep stem of three convolutions (timm's resnet18d to resnet152d)"},
		{"embedder.embedder.convolution",
			"a ResNet in the names of Hugging Face's transformers; timm has the same nets in "
			"torchvision's names"},
		{"patch_embed", "a vision transformer"},
		{"encoder.layers.encoder_layer_0", "a vision transformer"},
		{"visual.conv1.weight", "CLIP's image encoder"},
		{"denseblock1", "a DenseNet"},
		{"stages.0.blocks", "a ConvNeXt or RegNet"},
		{"features.0.0.weight", "a MobileNet, EfficientNet or ConvNeXt"},
		{"features.0.weight", "an AlexNet or VGG"},
		{"Mixed_5b", "an Inception"},
		{"blocks.0.0.conv_pw", "an EfficientNet"},
		{"resnet_model/", "TensorFlow's official SimCLR or ResNet; convert it to PyTorch's names first"},
	};
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (any_with(file, known[i].part))
			return known[i].net;
	return NULL;
}

static int nothing_found(const char *path, const struct safetensors *file, const char *wanted, struct error *err)
{
	const char *net = known_net(file);
	if (wanted)
		return error_set(err, ERROR_FORMAT,
			"%s: no tensors '%sconv1.weight' and '%s%s'; leave --prefix out to find it", path, wanted,
			wanted, first_block);
	if (net)
		return error_set(err, ERROR_FORMAT,
			"%s: this is %s; ringclr has torchvision's ResNet-18, 34, 50, 101 and 152", path, net);
	return error_set(err, ERROR_FORMAT,
		"%s: no ResNet in torchvision's names: of its %zu tensors ('%.100s'...) none are 'conv1.weight' and "
		"'%s', with or "
		"without something in front",
		path, safetensors_count(file), safetensors_count(file) ? safetensors_at(file, 0)->name : "",
		first_block);
}

/* Tensor i's prefix, if it is the first block's and the first convolution has the same. */
static bool prefix_of(const struct safetensors *file, size_t i, char prefix[IMPORT_PREFIX])
{
	const char *name = safetensors_at(file, i)->name;
	size_t length = strlen(name), tail = sizeof first_block - 1;
	if (length < tail || strcmp(name + length - tail, first_block) != 0 || length - tail >= IMPORT_PREFIX)
		return false;
	snprintf(prefix, IMPORT_PREFIX, "%.*s", (int)(length - tail), name);
	return has(file, prefix, "conv1.weight");
}

int import_find_prefix(char prefix[IMPORT_PREFIX], const char *path, const struct safetensors *file, const char *wanted,
	struct error *err)
{
	unsigned found = 0;
	char other[IMPORT_PREFIX];
	if (wanted) {
		snprintf(prefix, IMPORT_PREFIX, "%s", wanted);
		bool fits = strlen(wanted) < IMPORT_PREFIX && has(file, prefix, "conv1.weight") &&
			    has(file, prefix, first_block);
		return fits ? 0 : nothing_found(path, file, wanted, err);
	}
	for (size_t i = 0; i < safetensors_count(file); i++) {
		if (!prefix_of(file, i, found == 0 ? prefix : other))
			continue;
		if (++found == 2)
			return error_set(err, ERROR_USAGE,
				"%s holds two encoders, behind '%s' and behind '%s': choose by --prefix", path, prefix,
				other);
	}
	return found == 1 ? 0 : nothing_found(path, file, NULL, err);
}

bool import_in_encoder(const char *name)
{
	static const char *const modules[] = {"conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4."};
	for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++)
		if (strncmp(name, modules[i], strlen(modules[i])) == 0)
			return true;
	return false;
}

bool import_has_place(struct net *net, const char *name)
{
	static const char counter[] = ".num_batches_tracked";
	size_t length = strlen(name), tail = sizeof counter - 1;
	char gamma[96];
	if (net_find_param(net, name) || net_find_buffer(net, name))
		return true;
	if (length < tail || strcmp(name + length - tail, counter) != 0 || length >= sizeof gamma)
		return false;
	snprintf(gamma, sizeof gamma, "%.*s.weight", (int)(length - tail), name);
	return net_find_param(net, gamma) != NULL;
}
