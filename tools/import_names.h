/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a ResNet's encoder among a file's tensors by their names. */
#ifndef RINGCLR_TOOLS_IMPORT_NAMES_H
#define RINGCLR_TOOLS_IMPORT_NAMES_H

#include "io/safetensors.h"
#include "model/net.h"

enum { IMPORT_PREFIX = 256 };

/* What stands before "conv1.weight" and "layer1.0.conv1.weight". ERROR_FORMAT: nowhere do both (names the kind of net,
 * where it is a known one); ERROR_USAGE: at several places (names them). wanted: the user's choice, or NULL. */
int import_find_prefix(char prefix[IMPORT_PREFIX], const char *path, const struct safetensors *file, const char *wanted,
	struct error *err);

/* Does the net have a place for a tensor of that name? Counters of batches have one. */
bool import_has_place(struct net *net, const char *name);

/* Is it of an encoder's layers? Such a tensor without a place makes the file another net. */
bool import_in_encoder(const char *name);

#endif
