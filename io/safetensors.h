/* SPDX-License-Identifier: Apache-2.0 */
/* The safetensors file format: 8 bytes of header length, a JSON header, tensors. Written atomically, header checked on
 * reading. */
#ifndef RINGCLR_IO_SAFETENSORS_H
#define RINGCLR_IO_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"

enum { SAFETENSORS_MAX_DIMS = 8 };
enum safetensors_type {
	SAFETENSORS_F32,
	SAFETENSORS_F64,
	SAFETENSORS_F16,
	SAFETENSORS_BF16,
	SAFETENSORS_I64,
	SAFETENSORS_I32,
	SAFETENSORS_U8,
	SAFETENSORS_BOOL
};

struct safetensor {
	const char *name;
	enum safetensors_type type;
	unsigned dims;
	uint64_t shape[SAFETENSORS_MAX_DIMS]; /* dims 0: a scalar */
	const void *data;		      /* contiguous, row-major, little-endian */
	size_t bytes;
};

struct safetensors_pair {
	const char *key, *value;
}; /* __metadata__ */

/* Writes all tensors in the given order to path, atomically. Same input, same bytes. */
int safetensors_write(const char *path, const struct safetensor *tensors, size_t count,
	const struct safetensors_pair *metadata, size_t pairs, struct error *err);

struct safetensors;

/* Reads a whole file into memory and checks that tensors lie inside, do not overlap and have the bytes that type and
 * shape say. ERROR_FORMAT names the file and the tensor; of a file by torch.save() it says how to convert it. */
struct safetensors *safetensors_open(const char *path, struct error *err);
void safetensors_close(struct safetensors *file); /* NULL is allowed */
size_t safetensors_count(const struct safetensors *file);
const struct safetensor *safetensors_at(const struct safetensors *file, size_t index);
const struct safetensor *safetensors_find(const struct safetensors *file, const char *name); /* NULL: none */
/* Keeps the tensors whose names begin with `prefix`, without it; returns how many. */
size_t safetensors_strip(struct safetensors *file, const char *prefix);
/* F64, F16 and BF16 tensors become F32: the latter two exactly, F64 rounded to nearest. Returns how many were others.
 */
int safetensors_to_f32(struct safetensors *file, size_t *converted, struct error *err);

const char *safetensors_metadata(const struct safetensors *file, const char *key); /* NULL: none */
/* The pair of that number; {NULL, NULL} past the last. */
struct safetensors_pair safetensors_metadata_at(const struct safetensors *file, size_t index);

#endif
