/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order of tensors: parameters, running statistics, counters, optimizer state, each in the net's own order. Numbers in
 * the metadata that a resumed run computes with are written in hexadecimal floating point, so that they come back bit
 * for bit.
 */
#include "stages/checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "ringclr-checkpoint-1"

enum { CHECKPOINT_PAIRS = 20, CHECKPOINT_TEXT = 64 };

static const char *const precision_names[] = {[PRECISION_FP32] = "fp32", [PRECISION_BF16] = "bf16"};
static const char *const conv_names[] = {
	[CONV_CHOICE_AUTO] = "auto", [CONV_CHOICE_DIRECT] = "direct", [CONV_CHOICE_WINOGRAD] = "winograd"};

/* Tables and copies that one save needs. */
struct save_space {
	struct safetensor *tensors;
	char (*names)[96];
	float *values; /* parameters in file order, one behind the other */
	size_t count;
	int64_t step;
	char text[CHECKPOINT_PAIRS][CHECKPOINT_TEXT];
	struct safetensors_pair pairs[CHECKPOINT_PAIRS];
	size_t pair_count;
};

static void add_tensor(struct save_space *space, enum safetensors_type type, unsigned dims, const uint64_t *shape,
	const void *data, size_t bytes)
{
	struct safetensor *tensor = &space->tensors[space->count];
	*tensor = (struct safetensor){
		.name = space->names[space->count], .type = type, .dims = dims, .data = data, .bytes = bytes};
	for (unsigned i = 0; i < dims; i++)
		tensor->shape[i] = shape[i];
	space->count++;
}

__attribute__((format(printf, 3, 4))) static void add_pair(
	struct save_space *space, const char *key, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(space->text[space->pair_count], CHECKPOINT_TEXT, format, args);
	va_end(args);
	space->pairs[space->pair_count] = (struct safetensors_pair){key, space->text[space->pair_count]};
	space->pair_count++;
}

static void add_params(struct save_space *space, struct net *net)
{
	float *values = space->values;
	for (size_t i = 0; i < net_param_count(net); i++) {
		const struct param *param = net_param(net, i);
		uint64_t shape[4];
		unsigned dims = param_file_shape(param, shape);
		param_to_file_order(param, values);
		snprintf(space->names[space->count], sizeof space->names[0], "%s", param->name);
		add_tensor(space, SAFETENSORS_F32, dims, shape, values, param->count * sizeof(float));
		values += param->count;
	}
}

/* Running means and variances, and torchvision's counter of batches behind each variance. */
static void add_buffers(struct save_space *space, struct net *net)
{
	static const char variance[] = ".running_var";
	for (size_t i = 0; i < net_buffer_count(net); i++) {
		const struct net_buffer *buffer = net_buffer(net, i);
		uint64_t shape = buffer->count;
		snprintf(space->names[space->count], sizeof space->names[0], "%s", buffer->name);
		add_tensor(space, SAFETENSORS_F32, 1, &shape, buffer->value, buffer->count * sizeof(float));
		size_t length = strlen(buffer->name);
		if (length < sizeof variance || strcmp(buffer->name + length - (sizeof variance - 1), variance) != 0)
			continue;
		snprintf(space->names[space->count], sizeof space->names[0], "%.*s.num_batches_tracked",
			(int)(length - (sizeof variance - 1)), buffer->name);
		add_tensor(space, SAFETENSORS_I64, 0, NULL, &space->step, sizeof space->step);
	}
}

static void add_optimizer(struct save_space *space, struct optimizer *optimizer)
{
	for (size_t i = 0; i < optimizer_state_count(optimizer); i++) {
		float *value;
		size_t count;
		optimizer_state(optimizer, i, space->names[space->count], &value, &count);
		uint64_t shape = count;
		add_tensor(space, SAFETENSORS_F32, 1, &shape, value, count * sizeof(float));
	}
}

static size_t extra_floats(const struct checkpoint_tensor *extra)
{
	return (size_t)(extra->shape[0] * (extra->dims > 1 ? extra->shape[1] : 1));
}

static void add_extra(struct save_space *space, const struct checkpoint_about *about)
{
	for (size_t i = 0; i < about->extra_count; i++) {
		const struct checkpoint_tensor *extra = &about->extra[i];
		snprintf(space->names[space->count], sizeof space->names[0], "%s", extra->name);
		add_tensor(space, SAFETENSORS_F32, extra->dims, extra->shape, extra->value,
			extra_floats(extra) * sizeof(float));
	}
}

void checkpoint_colours(const float colours[3], char text[CHECKPOINT_COLOURS])
{
	snprintf(
		text, CHECKPOINT_COLOURS, "%.9g,%.9g,%.9g", (double)colours[0], (double)colours[1], (double)colours[2]);
}

static void add_about(struct save_space *space, const struct checkpoint_about *about)
{
	add_pair(space, "format", FORMAT);
	add_pair(space, "depth", "%u", about->net.depth);
	add_pair(space, "width", "%a", (double)about->net.width);
	add_pair(space, "size", "%u", about->net.size);
	add_pair(space, "stem", "%d", (int)about->net.stem);
	add_pair(space, "head", "%d", (int)about->net.head);
	add_pair(space, "head_dim", "%u", about->net.head_dim);
	add_pair(space, "precision", "%s", precision_names[about->net.precision]);
	add_pair(space, "conv", "%s", conv_names[about->net.conv]);
	add_pair(space, "step", "%" PRIu64, about->progress.step);
	add_pair(space, "epoch_loss_sum", "%a", about->progress.epoch_loss_sum);
	add_pair(space, "epoch_accuracy_sum", "%a", about->progress.epoch_accuracy_sum);
	add_pair(space, "epoch_entropy_sum", "%a", about->progress.epoch_entropy_sum);
	add_pair(space, "epoch_alignment_sum", "%a", about->progress.epoch_alignment_sum);
	add_pair(space, "epoch_uniformity_sum", "%a", about->progress.epoch_uniformity_sum);
	if (about->extra_count > 0) { /* files of runs without a probe stay as they were */
		add_pair(space, "epoch_probe_hits", "%" PRIu64, about->progress.epoch_probe_hits);
		add_pair(space, "epoch_probe_rows", "%" PRIu64, about->progress.epoch_probe_rows);
	}
	add_pair(space, "fingerprint", "%016" PRIx64, about->fingerprint);
	if (!net_normalizes(&about->net))
		return;
	char colours[CHECKPOINT_COLOURS];
	checkpoint_colours(about->net.input_mean, colours);
	add_pair(space, "input_mean", "%s", colours);
	checkpoint_colours(about->net.input_deviation, colours);
	add_pair(space, "input_deviation", "%s", colours);
}

int checkpoint_save(const char *path, struct net *net, struct optimizer *optimizer,
	const struct checkpoint_about *about, struct error *err)
{
	size_t params = net_param_count(net), floats = 0;
	for (size_t i = 0; i < params; i++)
		floats += net_param(net, i)->count;
	size_t most = params + 2 * net_buffer_count(net) + (optimizer ? optimizer_state_count(optimizer) : 0) +
		      about->extra_count;
	struct save_space space = {
		.tensors = calloc(most, sizeof *space.tensors),
		.names = calloc(most, sizeof *space.names),
		.values = malloc(floats * sizeof *space.values),
		.step = (int64_t)about->progress.step,
	};
	int code = 0;
	if (!space.tensors || !space.names || !space.values) {
		code = error_set(err, ERROR_MEMORY, "%s: out of memory for the checkpoint's tables", path);
		goto out;
	}
	add_params(&space, net);
	add_buffers(&space, net);
	if (optimizer)
		add_optimizer(&space, optimizer);
	add_extra(&space, about);
	add_about(&space, about);
	code = safetensors_write(path, space.tensors, space.count, space.pairs, space.pair_count, err);
out:
	free(space.values);
	free(space.names);
	free(space.tensors);
	return code;
}

/* Metadata as a number; ERROR_FORMAT when the key is missing or not a number. */
static int read_number(
	const char *path, const struct safetensors *file, const char *key, double *value, struct error *err)
{
	const char *text = safetensors_metadata(file, key);
	char *end = NULL;
	*value = text ? strtod(text, &end) : 0;
	if (!text || end == text || *end)
		return error_set(err, ERROR_FORMAT, "%s: metadata '%s' is missing or no number; the file is not whole",
			path, key);
	return 0;
}

/* A sum that files older than it lack: of an epoch that has begun it is not known. */
static int read_later_sum(
	const char *path, const struct safetensors *file, const char *key, bool begun, double *value, struct error *err)
{
	*value = begun ? NAN : 0;
	return safetensors_metadata(file, key) ? read_number(path, file, key, value, err) : 0;
}

/* Place of the metadata's word among `words`; the first where the key is missing, as in files older than it. */
static int read_word(const char *path, const struct safetensors *file, const char *key, const char *const *words,
	int count, int *place, struct error *err)
{
	const char *text = safetensors_metadata(file, key);
	*place = 0;
	while (text && *place < count && strcmp(text, words[*place]) != 0)
		++*place;
	if (*place == count)
		return error_set(err, ERROR_FORMAT, "%s: metadata '%s' is '%s', which this program does not know", path,
			key, text);
	return 0;
}

bool checkpoint_parse_colours(const char *text, float colours[3])
{
	for (unsigned c = 0; c < 3; c++) {
		char *end = NULL;
		colours[c] = strtof(text, &end);
		if (end == text || !isfinite(colours[c]) || *end != (c < 2 ? ',' : '\0'))
			return false;
		text = end + 1;
	}
	return true;
}

/* The normalisation of the net's input, where the file has one. */
static int read_input(const char *path, const struct safetensors *file, struct net_config *net, struct error *err)
{
	const char *mean = safetensors_metadata(file, "input_mean");
	const char *deviation = safetensors_metadata(file, "input_deviation");
	if (mean == NULL && deviation == NULL)
		return 0;
	if (mean == NULL || deviation == NULL || !checkpoint_parse_colours(mean, net->input_mean) ||
		!checkpoint_parse_colours(deviation, net->input_deviation) || !(net->input_deviation[0] > 0) ||
		!(net->input_deviation[1] > 0) || !(net->input_deviation[2] > 0))
		return error_set(err, ERROR_FORMAT,
			"%s: metadata 'input_mean' and 'input_deviation' must be three numbers each, the latter above "
			"0",
			path);
	return 0;
}

static int about_from_metadata(
	const char *path, const struct safetensors *file, struct checkpoint_about *about, struct error *err)
{
	static const char *const keys[] = {
		"depth", "width", "size", "stem", "head", "head_dim", "step", "epoch_loss_sum", "epoch_accuracy_sum"};
	double v[sizeof keys / sizeof keys[0]];
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		if (read_number(path, file, keys[i], &v[i], err) < 0)
			return err->code;
	int precision, conv;
	if (read_word(path, file, "precision", precision_names, 2, &precision, err) < 0 ||
		read_word(path, file, "conv", conv_names, 3, &conv, err) < 0)
		return err->code;
	const char *fingerprint = safetensors_metadata(file, "fingerprint");
	if (v[3] < 0 || v[3] > NET_STEM_IMAGENET || v[4] < 0 || v[4] > NET_HEAD_HIDDEN_CLASSIFIER || v[0] < 0 ||
		v[0] > 1000 || v[2] < 1 || v[2] > 65535 || v[5] < 0 || v[5] > 65535 || v[6] < 0 || !fingerprint)
		return error_set(err, ERROR_FORMAT, "%s: the metadata describes no net that exists", path);
	*about = (struct checkpoint_about){
		.net = {.depth = (unsigned)v[0],
			.width = (float)v[1],
			.size = (unsigned)v[2],
			.stem = (enum net_stem)v[3],
			.head = (enum net_head)v[4],
			.head_dim = (unsigned)v[5],
			.precision = (enum precision)precision,
			.conv = (enum conv_choice)conv},
		.progress = {.step = (uint64_t)v[6], .epoch_loss_sum = v[7], .epoch_accuracy_sum = v[8]},
		.fingerprint = strtoull(fingerprint, NULL, 16),
	};
	struct train_progress *progress = &about->progress;
	bool begun = progress->epoch_loss_sum != 0;
	if (read_later_sum(path, file, "epoch_entropy_sum", begun, &progress->epoch_entropy_sum, err) < 0 ||
		read_later_sum(path, file, "epoch_alignment_sum", begun, &progress->epoch_alignment_sum, err) < 0 ||
		read_later_sum(path, file, "epoch_uniformity_sum", begun, &progress->epoch_uniformity_sum, err) < 0)
		return err->code;
	const char *hits = safetensors_metadata(file, "epoch_probe_hits"),
		   *probed = safetensors_metadata(file, "epoch_probe_rows");
	about->progress.epoch_probe_hits = hits ? strtoull(hits, NULL, 10) : 0;
	about->progress.epoch_probe_rows = probed ? strtoull(probed, NULL, 10) : 0;
	return read_input(path, file, &about->net, err);
}

static unsigned count_blocks(const struct safetensors *file, unsigned layer)
{
	char name[64];
	unsigned blocks = 0;
	do
		snprintf(name, sizeof name, "layer%u.%u.conv1.weight", layer, blocks++);
	while (safetensors_find(file, name));
	return blocks - 1;
}

/* ringclr's own exports in torchvision's names say what tensors do not: the input, and a width that is no fraction
 * of 64. */
static int about_from_export(
	const char *path, const struct safetensors *file, struct checkpoint_about *about, struct error *err)
{
	double width, size;
	const char *producer = safetensors_metadata(file, "producer");
	if (!producer || strncmp(producer, "ringclr ", 8) != 0)
		return 0;
	if (read_number(path, file, "width", &width, err) < 0 || read_number(path, file, "size", &size, err) < 0)
		return err->code;
	if (!(width > 0 && width <= 16 && size >= 1 && size <= 65535))
		return error_set(err, ERROR_FORMAT, "%s: the metadata describes no net that exists", path);
	about->net.width = (float)width;
	about->net.size = (unsigned)size;
	return read_input(path, file, &about->net, err);
}

/* torchvision's files: the numbers of blocks and the kind of block give the depth. */
static int about_from_tensors(
	const char *path, const struct safetensors *file, struct checkpoint_about *about, struct error *err)
{
	static const struct {
		unsigned depth, blocks[4], bottleneck;
	} known[] = {{18, {2, 2, 2, 2}, 0}, {34, {3, 4, 6, 3}, 0}, {50, {3, 4, 6, 3}, 1}, {101, {3, 4, 23, 3}, 1},
		{152, {3, 8, 36, 3}, 1}};
	const struct safetensor *stem = safetensors_find(file, "conv1.weight");
	unsigned bottleneck = safetensors_find(file, "layer1.0.conv3.weight") != NULL;
	*about = (struct checkpoint_about){.net = {.head = NET_HEAD_NONE}};
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		int same = known[i].bottleneck == bottleneck;
		for (unsigned layer = 0; layer < 4; layer++)
			same &= known[i].blocks[layer] == count_blocks(file, layer + 1);
		if (same)
			about->net.depth = known[i].depth;
	}
	if (!stem || about->net.depth == 0 || stem->dims != 4)
		return error_set(err, ERROR_FORMAT,
			"%s: neither a checkpoint of ringclr nor a ResNet-18, 34, 50, 101 or 152 in torchvision's "
			"names; `ringclr import` takes prefixes off, and says what else it is",
			path);
	about->net.width = (float)stem->shape[0] / 64;
	about->net.stem = stem->shape[2] == 3 ? NET_STEM_CIFAR : NET_STEM_IMAGENET;
	about->net.size = about->net.stem == NET_STEM_CIFAR ? 32 : 224;
	const struct safetensor *fc = safetensors_find(file, "fc.weight");
	if (fc && fc->dims == 2 && fc->shape[0] <= 65535 && safetensors_find(file, "fc.bias")) {
		about->net.head = NET_HEAD_CLASSIFIER;
		about->net.head_dim = (unsigned)fc->shape[0];
	}
	return about_from_export(path, file, about, err);
}

int checkpoint_about(
	const char *path, const struct safetensors *file, struct checkpoint_about *about, struct error *err)
{
	const char *format = safetensors_metadata(file, "format");
	if (!format || strncmp(format, "ringclr-", 8) != 0)
		return about_from_tensors(path, file, about, err);
	if (strcmp(format, FORMAT) != 0)
		return error_set(err, ERROR_VERSION, "%s: format '%s' is newer than this program, which reads " FORMAT,
			path, format);
	return about_from_metadata(path, file, about, err);
}

/* The tensor of that name with that shape, or NULL with *err set. */
static const struct safetensor *find_tensor(const char *path, const struct safetensors *file, const char *name,
	unsigned dims, const uint64_t *shape, struct error *err)
{
	const struct safetensor *tensor = safetensors_find(file, name);
	if (!tensor) {
		error_set(err, ERROR_MISMATCH, "%s: tensor '%s' is missing; the file holds another model", path, name);
		return NULL;
	}
	int same = tensor->type == SAFETENSORS_F32 && tensor->dims == dims;
	for (unsigned i = 0; same && i < dims; i++)
		same = tensor->shape[i] == shape[i];
	if (same)
		return tensor;
	if (tensor->type == SAFETENSORS_F16 || tensor->type == SAFETENSORS_BF16 || tensor->type == SAFETENSORS_F64)
		error_set(err, ERROR_MISMATCH, "%s: tensor '%s' is not float32; `ringclr import` converts the file",
			path, name);
	error_set(err, ERROR_MISMATCH,
		"%s: tensor '%s' has another shape or type than this model's; give the options the file was made with",
		path, name);
	return NULL;
}

/* Whether a tensor of the net is asked for: all are, or the encoder's and perhaps the hidden layer's. */
struct part {
	bool whole, hidden;
};

static bool is_of_part(struct part part, const char *name)
{
	if (part.whole || (strncmp(name, "head.", 5) != 0 && strncmp(name, "fc.", 3) != 0))
		return true;
	return part.hidden && (strncmp(name, "head.0.", 7) == 0 || strncmp(name, "head.1.", 7) == 0);
}

static int load_part(
	const char *path, const struct safetensors *file, struct net *net, struct part part, struct error *err)
{
	for (size_t i = 0; i < net_param_count(net); i++) {
		struct param *param = net_param(net, i);
		uint64_t shape[4];
		unsigned dims = param_file_shape(param, shape);
		if (!is_of_part(part, param->name))
			continue;
		const struct safetensor *tensor = find_tensor(path, file, param->name, dims, shape, err);
		if (!tensor)
			return err->code;
		param_from_file_order(param, tensor->data);
	}
	for (size_t i = 0; i < net_buffer_count(net); i++) {
		struct net_buffer *buffer = net_buffer(net, i);
		uint64_t shape = buffer->count;
		if (!is_of_part(part, buffer->name))
			continue;
		const struct safetensor *tensor = find_tensor(path, file, buffer->name, 1, &shape, err);
		if (!tensor)
			return err->code;
		memcpy(buffer->value, tensor->data, tensor->bytes);
	}
	return 0;
}

int checkpoint_load_net(const char *path, const struct safetensors *file, struct net *net, struct error *err)
{
	return load_part(path, file, net, (struct part){.whole = true}, err);
}

int checkpoint_load_encoder(
	const char *path, const struct safetensors *file, struct net *net, bool hidden, struct error *err)
{
	return load_part(path, file, net, (struct part){.hidden = hidden}, err);
}

int checkpoint_load_optimizer(
	const char *path, const struct safetensors *file, struct optimizer *optimizer, struct error *err)
{
	for (size_t i = 0; i < optimizer_state_count(optimizer); i++) {
		char name[96];
		float *value;
		size_t count;
		optimizer_state(optimizer, i, name, &value, &count);
		uint64_t shape = count;
		const struct safetensor *tensor = find_tensor(path, file, name, 1, &shape, err);
		if (!tensor)
			return err->code;
		memcpy(value, tensor->data, tensor->bytes);
	}
	return 0;
}

int checkpoint_load_extra(const char *path, const struct safetensors *file, const struct checkpoint_tensor *extra,
	size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct safetensor *tensor =
			find_tensor(path, file, extra[i].name, extra[i].dims, extra[i].shape, err);
		if (!tensor)
			return err->code;
		memcpy(extra[i].value, tensor->data, tensor->bytes);
	}
	return 0;
}
