/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An array of uint8 in row-major order is images by its shape alone:
 *
 *	[N,H,W,3] [N,H,W,1]	channels side by side
 *	[N,3,H,W] [N,1,H,W]	channels plane by plane, unless the last dimension may be channels too
 *	[H,W,3]			one image
 *	[N,H,W]			gray images, unless the last dimension is 3
 *	[H,W]			one gray image
 */
#include "tools/pack_npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pack_npy_describe(char *text, size_t capacity, const struct npy_array *array)
{
	static const struct {
		char type;
		const char *name;
	} types[] = {{'u', "uint"}, {'i', "int"}, {'f', "float"}, {'b', "bool"}, {'c', "complex"}};
	const char *name = "type ";
	char letter[2] = {array->type, '\0'};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (types[i].type == array->type) {
			name = types[i].name;
			letter[0] = '\0';
		}
	}
	int used = snprintf(text, capacity, "%s%s%u", name, letter, 8 * array->item_bytes);
	for (unsigned i = 0; i < array->dims && (size_t)used < capacity; i++)
		used += snprintf(
			text + used, capacity - (size_t)used, "%s%" PRIu64, i == 0 ? " " : " x ", array->shape[i]);
}

static bool is_channels(uint64_t size)
{
	return size == 1 || size == 3;
}

int pack_npy_images(const struct npy_array *array, struct pack_npy_images *images, const char *name, struct error *err)
{
	char what[200];
	pack_npy_describe(what, sizeof(what), array);
	if (array->type != 'u' || array->item_bytes != 1)
		return error_set(
			err, ERROR_FORMAT, "%s: %s; images must be uint8, 0 to 255 (x.astype('uint8'))", name, what);
	if (array->fortran_order && array->dims > 1)
		return error_set(err, ERROR_FORMAT,
			"%s: %s in Fortran order; save it in C order (numpy.ascontiguousarray)", name, what);
	const uint64_t *shape = array->shape;
	uint64_t height = 0, width = 0;
	*images = (struct pack_npy_images){.count = 1, .channels = 1};
	if (array->dims == 4 && is_channels(shape[3])) {
		*images = (struct pack_npy_images){.count = shape[0], .channels = (unsigned)shape[3]};
		height = shape[1];
		width = shape[2];
	} else if (array->dims == 4 && is_channels(shape[1])) {
		*images = (struct pack_npy_images){.count = shape[0], .channels = (unsigned)shape[1], .planes = true};
		height = shape[2];
		width = shape[3];
	} else if (array->dims == 3 && shape[2] == 3) {
		images->channels = 3;
		height = shape[0];
		width = shape[1];
	} else if (array->dims == 3) {
		images->count = shape[0];
		height = shape[1];
		width = shape[2];
	} else if (array->dims == 2) {
		height = shape[0];
		width = shape[1];
	} else {
		return error_set(err, ERROR_FORMAT,
			"%s: %s; images have shape [N,H,W,3], [N,3,H,W], [N,H,W], [H,W,3] or [H,W]", name, what);
	}
	if (height == 0 || width == 0 || height > SHARD_MAX_SIDE || width > SHARD_MAX_SIDE ||
		height * width * images->channels > PACK_MAX_FILE_BYTES)
		return error_set(err, ERROR_FORMAT,
			"%s: %s, so images of %" PRIu64 " x %" PRIu64 " pixels; sides may be 1 to %d, an image %d MiB",
			name, what, width, height, SHARD_MAX_SIDE, PACK_MAX_FILE_BYTES >> 20);
	images->height = (uint32_t)height;
	images->width = (uint32_t)width;
	images->bytes = (size_t)(height * width * images->channels);
	return 0;
}

int pack_npy_pixels(
	const struct pack_npy_images *images, const unsigned char *image, struct pack_contents *out, struct error *err)
{
	size_t pixels = (size_t)images->width * images->height;
	out->bytes = 3 * pixels;
	out->data = malloc(out->bytes);
	if (out->data == NULL)
		return pack_out_of_memory(err);
	/* From a pixel to the next, and from its red to its green. */
	size_t step = images->planes ? 1 : images->channels;
	size_t channel = images->channels == 1 ? 0 : images->planes ? pixels : 1;
	for (size_t i = 0; i < pixels; i++) {
		for (size_t c = 0; c < 3; c++)
			out->data[3 * i + c] = image[i * step + c * channel];
	}
	out->pixels = true;
	out->width = images->width;
	out->height = images->height;
	return 0;
}

void pack_npy_key(char *key, size_t capacity, const char *path, uint64_t number)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	const char *dot = strrchr(name, '.');
	int bytes = (int)(dot != NULL && dot != name ? dot - name : (ptrdiff_t)strlen(name));
	snprintf(key, capacity, "%.*s/%08" PRIu64, bytes, name, number);
}
