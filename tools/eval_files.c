/* SPDX-License-Identifier: Apache-2.0 */
/* Features and labels from .npy files (tools/npy_parse.c has the format): whatever made them, they are scored by the
 * same kNN and logistic regression. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/eval_job.h"
#include "tools/npy.h"

/* The whole array as it lies in the file, the caller's to free. */
static unsigned char *read_array(const char *path, struct npy_array *array, struct error *err)
{
	unsigned char prefix[NPY_PREFIX_BYTES], *header = NULL, *data = NULL;
	FILE *file = fopen(path, "rb");
	if (!file) {
		error_set_errno(err, ERROR_IO, errno, "%s: cannot open", path);
		return NULL;
	}
	uint32_t bytes = fread(prefix, 1, sizeof prefix, file) == sizeof prefix ? npy_header_bytes(prefix) : 0;
	bool sound = false;
	if (bytes >= sizeof prefix)
		header = malloc(bytes);
	if (header) {
		memcpy(header, prefix, sizeof prefix);
		size_t rest = bytes - sizeof prefix;
		struct error why = {0};
		sound = fread(header + sizeof prefix, 1, rest, file) == rest &&
			npy_parse(array, header, bytes, &why) == 0;
	}
	if (!sound) {
		error_set(err, ERROR_FORMAT, "%s: not an array of NumPy (.npy)", path);
	} else if (array->fortran_order && array->dims > 1) {
		error_set(
			err, ERROR_FORMAT, "%s: in Fortran order; save it in C order (numpy.ascontiguousarray)", path);
	} else if (array->big_endian && array->item_bytes > 1) {
		error_set(err, ERROR_FORMAT, "%s: big-endian; save it in the machine's order", path);
	} else {
		data = malloc(array->bytes + 1);
		if (!data)
			error_set(err, ERROR_MEMORY, "%s: no memory for %" PRIu64 " bytes", path, array->bytes);
		/* One byte more than there may be: what follows the array is a fault too. */
		if (data && fread(data, 1, array->bytes + 1, file) != array->bytes) {
			error_set(err, ERROR_FORMAT, "%s: its size is not what its header says; is it whole?", path);
			free(data);
			data = NULL;
		}
	}
	free(header);
	fclose(file);
	return data;
}

static int fill_features(
	float *features, const char *path, const unsigned char *data, const struct npy_array *array, struct error *err)
{
	bool single = array->item_bytes == sizeof(float);
	for (uint64_t i = 0; i < array->items; i++) {
		double wide = 0;
		if (single)
			memcpy(&features[i], data + i * sizeof(float), sizeof(float));
		else
			features[i] = (float)*(double *)memcpy(&wide, data + i * sizeof(double), sizeof(double));
		if (!isfinite(features[i]))
			return error_set(
				err, ERROR_NUMERIC, "%s: row %" PRIu64 " is not finite", path, i / array->shape[1]);
	}
	return 0;
}

/* [rows][*dim]; a *dim of 0 becomes the file's. */
static float *read_features(const char *path, size_t *rows, unsigned *dim, struct error *err)
{
	struct npy_array array;
	unsigned char *data = read_array(path, &array, err);
	if (!data)
		return NULL;
	float *features = NULL;
	if (array.type != 'f' || (array.item_bytes != sizeof(float) && array.item_bytes != sizeof(double)) ||
		array.dims != 2 || array.items == 0 || array.shape[1] > UINT16_MAX)
		error_set(err, ERROR_FORMAT,
			"%s: features must be float32 or float64 [rows][columns], columns at most %u", path,
			UINT16_MAX);
	else if (*dim != 0 && *dim != array.shape[1])
		error_set(err, ERROR_MISMATCH, "%s: has %" PRIu64 " columns, and the training features %u", path,
			array.shape[1], *dim);
	else if (!(features = malloc(array.items * sizeof(float))))
		error_set(err, ERROR_MEMORY, "%s: no memory for its features", path);
	if (features && fill_features(features, path, data, &array, err) < 0) {
		free(features);
		features = NULL;
	}
	free(data);
	if (features) {
		*rows = array.shape[0];
		*dim = (unsigned)array.shape[1];
	}
	return features;
}

/* A signed or unsigned integer of 1, 2, 4 or 8 bytes; -1 for what is no label. */
static int64_t label_at(const unsigned char *data, const struct npy_array *array, uint64_t item)
{
	uint64_t bits = 0;
	memcpy(&bits, data + item * array->item_bytes, array->item_bytes);
	unsigned unused = 64 - 8 * array->item_bytes;
	if (array->type == 'i')
		return (int64_t)(bits << unused) >> unused;
	return bits > INT32_MAX ? -1 : (int64_t)bits;
}

static int fill_labels(int32_t *labels, const char *path, const unsigned char *data, const struct npy_array *array,
	unsigned *classes, struct error *err)
{
	for (uint64_t i = 0; i < array->items; i++) {
		int64_t label = label_at(data, array, i);
		if (label < 0 || label > UINT16_MAX)
			return error_set(err, ERROR_MISMATCH, "%s: row %" PRIu64 " has no label from 0 to %u", path, i,
				UINT16_MAX);
		labels[i] = (int32_t)label;
		*classes = (unsigned)label >= *classes ? (unsigned)label + 1 : *classes;
	}
	return 0;
}

/* *classes grows to hold every label. */
static int32_t *read_labels(const char *path, size_t rows, unsigned *classes, struct error *err)
{
	struct npy_array array;
	unsigned char *data = read_array(path, &array, err);
	if (!data)
		return NULL;
	int32_t *labels = NULL;
	if ((array.type != 'i' && array.type != 'u') || array.item_bytes > 8 || array.dims != 1)
		error_set(err, ERROR_FORMAT, "%s: labels must be integers [rows]", path);
	else if (array.items != rows)
		error_set(err, ERROR_MISMATCH, "%s: %" PRIu64 " labels for %zu rows of features", path, array.items,
			rows);
	else if (!(labels = malloc(rows * sizeof *labels)))
		error_set(err, ERROR_MEMORY, "%s: no memory for its labels", path);
	if (labels && fill_labels(labels, path, data, &array, classes, err) < 0) {
		free(labels);
		labels = NULL;
	}
	free(data);
	return labels;
}

int eval_files_read(struct eval_files *files, const struct eval_options *options, struct error *err)
{
	const char *features[] = {options->features_train, options->features_test};
	const char *labels[] = {options->labels_train, options->labels_test};
	struct probe_data *data[] = {&files->data.train, &files->data.test};
	for (int side = 0; side < 2; side++) {
		files->features[side] = read_features(features[side], &data[side]->count, &files->data.dim, err);
		if (!files->features[side])
			return err->code;
		files->labels[side] = read_labels(labels[side], data[side]->count, &files->data.classes, err);
		if (!files->labels[side])
			return err->code;
		data[side]->features = files->features[side];
		data[side]->labels = files->labels[side];
	}
	files->predicted = malloc(files->data.test.count * sizeof *files->predicted);
	if (!files->predicted)
		return error_set(err, ERROR_MEMORY, "no memory for %zu predictions", files->data.test.count);
	files->data.test.predicted = files->predicted;
	return 0;
}

void eval_files_free(struct eval_files *files)
{
	for (int side = 0; side < 2; side++) {
		free(files->features[side]);
		free(files->labels[side]);
	}
	free(files->predicted);
}
