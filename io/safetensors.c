/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Safetensors: a 64-bit little-endian length N, N bytes of JSON, then the tensors' bytes, one after the other.
 *
 *   {"__metadata__": {"key": "value"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 *
 * Offsets count from the end of the JSON. Written: the JSON is filled up with blanks so that the tensors begin at
 * a multiple of 64; order and bytes follow from the input alone. Read: nothing is believed. Names are unique, the
 * tensors fill the data from its first byte to its last without hole or overlap, and each has the bytes that its type
 * and shape say.
 */
#include "io/safetensors.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic_file.h"

enum { DATA_ALIGN = 64, MAX_HEADER_BYTES = 100000000 /* the reference implementation's limit */ };
#define MAX_INTEGER 999999999999999.0 /* 15 digits: exact in a double, and printed without an exponent */

static const struct {
	const char *name;
	uint64_t bytes;
} types[] = {
	[SAFETENSORS_F32] = {"F32", 4},
	[SAFETENSORS_F64] = {"F64", 8},
	[SAFETENSORS_F16] = {"F16", 2},
	[SAFETENSORS_BF16] = {"BF16", 2},
	[SAFETENSORS_I64] = {"I64", 8},
	[SAFETENSORS_I32] = {"I32", 4},
	[SAFETENSORS_U8] = {"U8", 1},
	[SAFETENSORS_BOOL] = {"BOOL", 1},
};
enum { TYPES = sizeof types / sizeof *types };

struct safetensors {
	const char *path;      /* only while opening */
	char *memory;	       /* the whole file */
	unsigned char *data;   /* the tensors' part, 64-aligned copy */
	float *floats;	       /* what safetensors_to_f32() made */
	cJSON *header;	       /* owns the names */
	const cJSON *metadata; /* inside header; may be NULL */
	struct safetensor *tensors;
	uint64_t *begins; /* of the data, per tensor */
	size_t count;
};

/* Bytes that type and shape ask for; false if that is too much to write down. */
static bool bytes_of(enum safetensors_type type, unsigned dims, const uint64_t *shape, uint64_t *bytes)
{
	*bytes = types[type].bytes;
	for (unsigned i = 0; i < dims; i++)
		if ((double)shape[i] > MAX_INTEGER || __builtin_mul_overflow(*bytes, shape[i], bytes))
			return false;
	return (double)*bytes <= MAX_INTEGER;
}

/* ---- writing ---- */

static int name_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Returns a name that stands there twice, or NULL. Sorts names. */
static const char *duplicate_name(const char **names, size_t count)
{
	qsort(names, count, sizeof *names, name_order);
	for (size_t i = 0; i + 1 < count; i++)
		if (strcmp(names[i], names[i + 1]) == 0)
			return names[i];
	return NULL;
}

static int tensors_check(const char *path, const struct safetensor *tensors, size_t count,
	const struct safetensors_pair *metadata, size_t pairs, struct error *err)
{
	const char **names = calloc((count > pairs ? count : pairs) + 1, sizeof *names);
	int rc = 0;
	if (names == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", path);
	for (size_t i = 0; i < count && rc == 0; i++) {
		const struct safetensor *tensor = &tensors[i];
		uint64_t bytes = 0;
		names[i] = tensor->name;
		if (strcmp(tensor->name, "__metadata__") == 0 || (unsigned)tensor->type >= TYPES ||
			tensor->dims > SAFETENSORS_MAX_DIMS ||
			!bytes_of(tensor->type, tensor->dims, tensor->shape, &bytes) || bytes != tensor->bytes)
			rc = error_set(err, ERROR_USAGE,
				"cannot write '%s': tensor '%s' has %zu bytes, which its type and shape do not say",
				path, tensor->name, tensor->bytes);
	}
	const char *twice = rc == 0 ? duplicate_name(names, count) : NULL;
	if (twice != NULL)
		rc = error_set(err, ERROR_USAGE, "cannot write '%s': two tensors are named '%s'", path, twice);
	for (size_t i = 0; i < pairs; i++)
		names[i] = metadata[i].key;
	twice = rc == 0 ? duplicate_name(names, pairs) : NULL;
	if (twice != NULL)
		rc = error_set(err, ERROR_USAGE, "cannot write '%s': two metadata entries are named '%s'", path, twice);
	free(names);
	return rc;
}

static bool tensor_describe(cJSON *root, const struct safetensor *tensor, uint64_t begin)
{
	cJSON *entry = cJSON_AddObjectToObject(root, tensor->name);
	cJSON *type = cJSON_AddStringToObject(entry, "dtype", types[tensor->type].name);
	cJSON *shape = cJSON_AddArrayToObject(entry, "shape");
	cJSON *offsets = cJSON_AddArrayToObject(entry, "data_offsets");
	if (type == NULL || shape == NULL || offsets == NULL)
		return false;
	for (unsigned i = 0; i < tensor->dims; i++)
		if (!cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)tensor->shape[i])))
			return false;
	return cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)begin)) &&
	       cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)(begin + tensor->bytes)));
}

/* The JSON with its blanks; malloc'd, *bytes long. NULL: out of memory. */
static char *header_make(const struct safetensor *tensors, size_t count, const struct safetensors_pair *metadata,
	size_t pairs, size_t *bytes)
{
	cJSON *root = cJSON_CreateObject();
	bool sound = root != NULL;
	if (sound && pairs > 0) {
		cJSON *entry = cJSON_AddObjectToObject(root, "__metadata__");
		for (size_t i = 0; i < pairs && sound; i++)
			sound = cJSON_AddStringToObject(entry, metadata[i].key, metadata[i].value) != NULL;
	}
	uint64_t begin = 0;
	for (size_t i = 0; i < count && sound; i++) {
		sound = tensor_describe(root, &tensors[i], begin);
		begin += tensors[i].bytes;
	}
	char *text = sound ? cJSON_PrintUnformatted(root) : NULL;
	cJSON_Delete(root);
	if (text == NULL)
		return NULL;
	size_t length = strlen(text);
	*bytes = (length + sizeof(uint64_t) + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN - sizeof(uint64_t);
	char *padded = malloc(*bytes);
	if (padded != NULL) {
		/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): the header has a length, no end mark */
		memcpy(padded, text, length);
		memset(padded + length, ' ', *bytes - length);
	}
	cJSON_free(text);
	return padded;
}

int safetensors_write(const char *path, const struct safetensor *tensors, size_t count,
	const struct safetensors_pair *metadata, size_t pairs, struct error *err)
{
	size_t header_bytes = 0;
	int rc = tensors_check(path, tensors, count, metadata, pairs, err);
	if (rc != 0)
		return rc;
	char *header = header_make(tensors, count, metadata, pairs, &header_bytes);
	if (header == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", path);
	struct error own = {0};
	struct atomic_file *file = atomic_file_create(path, &own);
	uint64_t length = header_bytes;
	if (file != NULL)
		atomic_file_write(file, &length, sizeof length, &own);
	if (own.code == 0)
		atomic_file_write(file, header, header_bytes, &own);
	for (size_t i = 0; i < count && own.code == 0; i++)
		atomic_file_write(file, tensors[i].data, tensors[i].bytes, &own);
	free(header);
	if (own.code == 0)
		return atomic_file_commit(file, err);
	atomic_file_abandon(file);
	return error_copy(err, &own);
}

/* ---- reading ---- */

static bool integer(const cJSON *item, uint64_t *value)
{
	if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > MAX_INTEGER)
		return false;
	*value = (uint64_t)item->valuedouble;
	return (double)*value == item->valuedouble;
}

static bool type_parse(const cJSON *item, enum safetensors_type *type)
{
	for (unsigned i = 0; cJSON_IsString(item) && i < TYPES; i++)
		if (strcmp(item->valuestring, types[i].name) == 0) {
			*type = (enum safetensors_type)i;
			return true;
		}
	return false;
}

/* One tensor's entry. NULL, or what is wrong with it. */
static const char *tensor_parse(const cJSON *item, uint64_t data_bytes, struct safetensor *tensor, uint64_t *begin)
{
	const cJSON *shape = cJSON_GetObjectItemCaseSensitive(item, "shape");
	const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
	const cJSON *side;
	uint64_t end = 0, bytes = 0;
	tensor->name = item->string;
	if (!cJSON_IsObject(item))
		return "is no object";
	if (!type_parse(cJSON_GetObjectItemCaseSensitive(item, "dtype"), &tensor->type))
		return "has a type that is unknown here";
	if (!cJSON_IsArray(shape))
		return "has no shape";
	cJSON_ArrayForEach(side, shape)
	{
		if (tensor->dims == SAFETENSORS_MAX_DIMS)
			return "has more than 8 dimensions";
		if (!integer(side, &tensor->shape[tensor->dims++]))
			return "has a shape that is not made of whole numbers";
	}
	if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
		!integer(cJSON_GetArrayItem(offsets, 0), begin) || !integer(cJSON_GetArrayItem(offsets, 1), &end))
		return "has no two data offsets";
	if (*begin > end || end > data_bytes)
		return "does not lie inside the file";
	if (!bytes_of(tensor->type, tensor->dims, tensor->shape, &bytes) || bytes != end - *begin)
		return "has another number of bytes than its type and shape say";
	tensor->bytes = (size_t)bytes;
	return NULL;
}

struct span {
	uint64_t begin, end;
	const char *name;
};

static int span_order(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

/* Side by side from 0 to the end of the data: no overlap, no hole. */
static int spans_check(const struct safetensors *file, uint64_t data_bytes, struct error *err)
{
	struct span *spans = calloc(file->count + 1, sizeof *spans);
	uint64_t at = 0;
	int rc = 0;
	if (spans == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for '%s'", file->path);
	for (size_t i = 0; i < file->count; i++)
		spans[i] =
			(struct span){file->begins[i], file->begins[i] + file->tensors[i].bytes, file->tensors[i].name};
	qsort(spans, file->count, sizeof *spans, span_order);
	for (size_t i = 0; i < file->count && rc == 0; i++) {
		if (spans[i].begin != at)
			rc = error_set(err, ERROR_FORMAT, "'%s': tensor '%.200s' %s", file->path, spans[i].name,
				spans[i].begin < at ? "overlaps another" : "begins behind a hole in the data");
		at = spans[i].end;
	}
	if (rc == 0 && at != data_bytes)
		rc = error_set(err, ERROR_FORMAT, "'%s' has %llu bytes that belong to no tensor", file->path,
			(unsigned long long)(data_bytes - at));
	free(spans);
	return rc;
}

static int metadata_check(const struct safetensors *file, struct error *err)
{
	const cJSON *pair;
	if (file->metadata != NULL && !cJSON_IsObject(file->metadata))
		return error_set(err, ERROR_FORMAT, "'%s': its metadata is no object", file->path);
	cJSON_ArrayForEach(pair, file->metadata)
	{
		if (!cJSON_IsString(pair))
			return error_set(
				err, ERROR_FORMAT, "'%s': metadata '%.200s' is no text", file->path, pair->string);
	}
	return 0;
}

/* Names, of tensors or of metadata. */
static int names_check(const struct safetensors *file, const cJSON *object, struct error *err)
{
	size_t count = 0;
	const cJSON *item;
	const char **names = calloc((size_t)cJSON_GetArraySize(object) + 1, sizeof *names);
	if (names == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for '%s'", file->path);
	cJSON_ArrayForEach(item, object) names[count++] = item->string;
	const char *twice = duplicate_name(names, count);
	int rc = 0;
	if (twice != NULL)
		rc = error_set(err, ERROR_FORMAT, "'%s': the name '%.200s' stands there twice", file->path, twice);
	free(names);
	return rc;
}

static int header_parse(struct safetensors *file, uint64_t data_bytes, struct error *err)
{
	size_t entries = (size_t)cJSON_GetArraySize(file->header);
	const cJSON *item;
	file->tensors = calloc(entries + 1, sizeof *file->tensors);
	file->begins = calloc(entries + 1, sizeof *file->begins);
	if (file->tensors == NULL || file->begins == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for '%s'", file->path);
	int rc = names_check(file, file->header, err);
	if (rc != 0)
		return rc;
	cJSON_ArrayForEach(item, file->header)
	{
		if (strcmp(item->string, "__metadata__") == 0) {
			file->metadata = item;
			continue;
		}
		const char *fault =
			tensor_parse(item, data_bytes, &file->tensors[file->count], &file->begins[file->count]);
		if (fault != NULL)
			return error_set(
				err, ERROR_FORMAT, "'%s': tensor '%.200s' %s", file->path, item->string, fault);
		file->count++;
	}
	rc = metadata_check(file, err);
	if (rc == 0 && file->metadata != NULL)
		rc = names_check(file, file->metadata, err);
	return rc == 0 ? spans_check(file, data_bytes, err) : rc;
}

/*
 * Places every tensor at a multiple of 64 in a new block of memory: in the file they stand wall to wall, so that after
 * an odd number of bytes a float would lie where it must not.
 */
static int data_place(struct safetensors *file, const char *data, struct error *err)
{
	size_t total = DATA_ALIGN;
	for (size_t i = 0; i < file->count; i++)
		total += (file->tensors[i].bytes + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
	file->data = aligned_alloc(DATA_ALIGN, total);
	if (file->data == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory: %zu bytes for '%s'", total, file->path);
	unsigned char *to = file->data;
	for (size_t i = 0; i < file->count; i++) {
		struct safetensor *tensor = &file->tensors[i];
		memcpy(to, data + file->begins[i], tensor->bytes);
		tensor->data = to;
		to += (tensor->bytes + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
	}
	return 0;
}

/* What torch.save() writes: a zip archive, or in old files a pickle that begins with a long integer. */
static bool is_pickle(const char *memory, size_t bytes)
{
	return bytes >= 8 && (memcmp(memory, "PK\3\4", 4) == 0 || memcmp(memory, "\x80\2\x8a\n", 4) == 0);
}

#define PICKLE_TEXT                                                                                                    \
	"was written by torch.save(), and such files can run programs when they are read; convert it with Python: "    \
	"import torch; from safetensors.torch import save_file; d = torch.load('IN.pth', map_location='cpu', "         \
	"weights_only=True); "                                                                                         \
	"d = d.get('state_dict', d); save_file({k: v.clone() for k, v in d.items() if torch.is_tensor(v)}, "           \
	"'OUT.safetensors')"

static int file_parse(struct safetensors *file, size_t file_bytes, struct error *err)
{
	uint64_t header_bytes = 0;
	const char *end = NULL;
	if (file_bytes < sizeof header_bytes)
		return error_set(
			err, ERROR_FORMAT, "'%s' is too short for safetensors: %zu bytes", file->path, file_bytes);
	memcpy(&header_bytes, file->memory, sizeof header_bytes);
	if (is_pickle(file->memory, file_bytes))
		return error_set(err, ERROR_FORMAT, "'%s' " PICKLE_TEXT, file->path);
	if (header_bytes > file_bytes - sizeof header_bytes || header_bytes > MAX_HEADER_BYTES)
		return error_set(err, ERROR_FORMAT,
			"'%s' is no safetensors file, or was cut off: a header of %llu bytes in a file of %zu",
			file->path, (unsigned long long)header_bytes, file_bytes);
	const char *text = file->memory + sizeof header_bytes, *data = text + header_bytes;
	if (header_bytes == 0 || *text != '{')
		return error_set(
			err, ERROR_FORMAT, "'%s' is no safetensors file: its header is no JSON object", file->path);
	file->header = cJSON_ParseWithLengthOpts(text, header_bytes, &end, 0);
	if (file->header == NULL)
		return error_set(err, ERROR_FORMAT, "'%s': its header is no JSON (near byte %td)", file->path,
			end == NULL ? 0 : end - file->memory);
	for (; end < data; end++)
		if (*end != ' ')
			return error_set(
				err, ERROR_FORMAT, "'%s': something stands behind the JSON of its header", file->path);
	uint64_t data_bytes = file_bytes - sizeof header_bytes - header_bytes;
	int rc = header_parse(file, data_bytes, err);
	return rc == 0 ? data_place(file, data, err) : rc;
}

struct safetensors *safetensors_open(const char *path, struct error *err)
{
	struct safetensors *file = calloc(1, sizeof *file);
	size_t bytes = 0;
	if (file == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for '%s'", path);
		return NULL;
	}
	file->path = path;
	file->memory = atomic_file_read_all(path, SIZE_MAX / 4, &bytes, err);
	if (file->memory == NULL || file_parse(file, bytes, err) != 0) {
		safetensors_close(file);
		return NULL;
	}
	free(file->memory); /* names live in the JSON tree, data in its own block */
	file->memory = NULL;
	file->path = NULL;
	return file;
}

void safetensors_close(struct safetensors *file)
{
	if (file == NULL)
		return;
	cJSON_Delete(file->header);
	free(file->memory);
	free(file->data);
	free(file->floats);
	free(file->tensors);
	free(file->begins);
	free(file);
}

size_t safetensors_count(const struct safetensors *file)
{
	return file->count;
}

const struct safetensor *safetensors_at(const struct safetensors *file, size_t index)
{
	return &file->tensors[index];
}

const struct safetensor *safetensors_find(const struct safetensors *file, const char *name)
{
	for (size_t i = 0; i < file->count; i++)
		if (strcmp(file->tensors[i].name, name) == 0)
			return &file->tensors[i];
	return NULL;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
	const cJSON *pair = cJSON_GetObjectItemCaseSensitive(file->metadata, key);
	return pair == NULL ? NULL : pair->valuestring;
}

size_t safetensors_strip(struct safetensors *file, const char *prefix)
{
	size_t length = strlen(prefix), kept = 0;
	for (size_t i = 0; i < file->count; i++) {
		struct safetensor tensor = file->tensors[i];
		if (strncmp(tensor.name, prefix, length) != 0)
			continue;
		tensor.name += length;
		file->tensors[kept++] = tensor;
	}
	file->count = kept;
	return kept;
}

/* IEEE binary16: 1 bit of sign, 5 of exponent, 10 of fraction. Every one is a float. */
static float half_to_float(uint16_t half)
{
	uint32_t exponent = half >> 10 & 31, fraction = half & 1023;
	float magnitude;
	if (exponent == 31)
		magnitude = fraction == 0 ? INFINITY : NAN;
	else if (exponent == 0)
		magnitude = (float)fraction * 0x1p-24F;
	else
		magnitude = ldexpf((float)(1024 + fraction), (int)exponent - 25);
	return half >> 15 != 0 ? -magnitude : magnitude;
}

/* The upper half of a float. */
static float bfloat_to_float(uint16_t bits)
{
	uint32_t whole = (uint32_t)bits << 16;
	float value;
	memcpy(&value, &whole, sizeof value);
	return value;
}

static void convert(const struct safetensor *tensor, float *out)
{
	size_t count = tensor->bytes / types[tensor->type].bytes;
	for (size_t i = 0; i < count; i++)
		if (tensor->type == SAFETENSORS_F64)
			out[i] = (float)((const double *)tensor->data)[i];
		else if (tensor->type == SAFETENSORS_F16)
			out[i] = half_to_float(((const uint16_t *)tensor->data)[i]);
		else
			out[i] = bfloat_to_float(((const uint16_t *)tensor->data)[i]);
}

static bool convertible(enum safetensors_type type)
{
	return type == SAFETENSORS_F64 || type == SAFETENSORS_F16 || type == SAFETENSORS_BF16;
}

int safetensors_to_f32(struct safetensors *file, size_t *converted, struct error *err)
{
	size_t floats = 0;
	*converted = 0;
	for (size_t i = 0; i < file->count; i++)
		if (convertible(file->tensors[i].type))
			floats += file->tensors[i].bytes / types[file->tensors[i].type].bytes;
	if (floats == 0)
		return 0;
	float *to = malloc(floats * sizeof *to);
	if (to == NULL)
		return error_set(
			err, ERROR_MEMORY, "out of memory: %zu bytes for weights in float32", floats * sizeof *to);
	file->floats = to; /* was NULL: after one call nothing is left to convert */
	for (size_t i = 0; i < file->count; i++) {
		struct safetensor *tensor = &file->tensors[i];
		if (!convertible(tensor->type))
			continue;
		size_t count = tensor->bytes / types[tensor->type].bytes;
		convert(tensor, to);
		tensor->type = SAFETENSORS_F32;
		tensor->data = to;
		tensor->bytes = count * sizeof *to;
		to += count;
		++*converted;
	}
	return 0;
}

struct safetensors_pair safetensors_metadata_at(const struct safetensors *file, size_t index)
{
	const cJSON *pair = file->metadata == NULL ? NULL : file->metadata->child;
	for (; pair != NULL && index > 0; index--)
		pair = pair->next;
	return pair == NULL ? (struct safetensors_pair){NULL, NULL}
			    : (struct safetensors_pair){pair->string, pair->valuestring};
}
