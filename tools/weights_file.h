/* SPDX-License-Identifier: Apache-2.0 */
/* A net with the weights of a file, for commands that turn weights into something else and compute nothing. */
#ifndef RINGCLR_TOOLS_WEIGHTS_FILE_H
#define RINGCLR_TOOLS_WEIGHTS_FILE_H

#include <cjson/cJSON.h>

#include "pipeline/arena.h"
#include "stages/checkpoint.h"

enum { WEIGHTS_PATH = 4096 };

/* The file that an operand RUN|FILE.safetensors means: a run's folder stands for the checkpoint in it. */
int weights_path(char path[WEIGHTS_PATH], const char *operand, struct error *err);

struct weights {
	char path[WEIGHTS_PATH];
	struct safetensors *file;
	struct checkpoint_about about;
	struct arena *arena;
	struct net *net; /* for one row, not for training */
};

/* Fills path and file, then about. */
int weights_open(struct weights *weights, const char *operand, struct error *err);
/* Makes the net of about.net with the file's tensors. with_head false: only the encoder is made and asked for. */
int weights_load(struct weights *weights, bool with_head, struct error *err);
void weights_close(struct weights *weights);

/* "ResNet-50, width 1, ImageNet stem" */
void weights_describe(const struct net_config *config, char *text, size_t capacity);

/* "model", "width", "stem", "size", and where the net normalises "input_mean", "input_deviation". */
void weights_add_json(cJSON *object, const struct net_config *config);

/* The first tensor that holds what is no number, or a variance below 0: ERROR_NUMERIC names it. */
int weights_check_numbers(const struct weights *weights, struct error *err);

#endif
