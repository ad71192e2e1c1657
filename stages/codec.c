/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of image formats, and the checks that all of them share: sizes, capacity, the state of a thread.
 *
 * An image's claim about its size is believed only when it agrees with the index, whose sizes the caller has bounded by
 * its buffers; so a damaged or hostile header cannot make a decoder allocate more than such an image needs.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "stages/codec.h"
#include "stages/codec_backend.h"

static const struct codec_backend *const backends[SHARD_CODECS] = {
	[SHARD_RAW] = &codec_backend_raw,
	[SHARD_JPEG] = &codec_backend_jpeg,
	[SHARD_WEBP] = &codec_backend_webp,
	[SHARD_PNG] = &codec_backend_png,
};

struct codec_context {
	void *state[SHARD_CODECS];
};

int codec_same_size(const char *name, uint32_t image_width, uint32_t image_height, uint32_t width, uint32_t height,
	struct error *err)
{
	if (image_width == width && image_height == height)
		return 0;
	return error_set(err, ERROR_DECODE,
		"%s: the image is %" PRIu32 "x%" PRIu32 ", its record says %" PRIu32 "x%" PRIu32, name, image_width,
		image_height, width, height);
}

int codec_probe(const void *data, size_t bytes, struct codec_info *info, struct error *err)
{
	for (unsigned i = 0; i < SHARD_CODECS; i++) {
		const struct codec_backend *backend = backends[i];
		if (backend->matches == NULL || !backend->matches(data, bytes))
			continue;
		uint32_t width = 0, height = 0;
		const int result = backend->probe(data, bytes, &width, &height, err);
		if (result != 0)
			return result;
		if (width == 0 || height == 0 || width > SHARD_MAX_SIDE || height > SHARD_MAX_SIDE)
			return error_set(err, ERROR_DECODE,
				"%s: an image of %" PRIu32 "x%" PRIu32 " (a side may have 1 to %d pixels)",
				backend->name, width, height, SHARD_MAX_SIDE);
		*info = (struct codec_info){.codec = (enum shard_codec)i, .width = width, .height = height};
		return 0;
	}
	return error_set(err, ERROR_DECODE, "not a JPEG, WebP or PNG image (%zu bytes)", bytes);
}

struct codec_context *codec_context_create(enum cpu_isa isa, struct error *err)
{
	struct codec_context *context = calloc(1, sizeof *context);
	if (context == NULL) {
		error_set(err, ERROR_MEMORY, "no memory for an image decoder");
		return NULL;
	}
	for (unsigned i = 0; i < SHARD_CODECS; i++) {
		if (backends[i]->state_create == NULL)
			continue;
		context->state[i] = backends[i]->state_create(isa);
		if (context->state[i] == NULL) {
			error_set(err, ERROR_MEMORY, "no memory for a %s decoder", backends[i]->name);
			codec_context_destroy(context);
			return NULL;
		}
	}
	return context;
}

void codec_context_destroy(struct codec_context *context)
{
	if (context == NULL)
		return;
	for (unsigned i = 0; i < SHARD_CODECS; i++)
		if (context->state[i] != NULL)
			backends[i]->state_destroy(context->state[i]);
	free(context);
}

int codec_context_reserve(
	struct codec_context *context, enum shard_codec codec, uint32_t width, size_t image_bytes, struct error *err)
{
	const struct codec_backend *backend = backends[codec];
	return backend->reserve == NULL ? 0 : backend->reserve(context->state[codec], width, image_bytes, err);
}

/* Sizes that the caller, or a record, got wrong. */
static int check_sizes(enum shard_codec codec, uint32_t width, uint32_t height, uint64_t need_bytes,
	size_t capacity_bytes, struct error *err)
{
	if ((unsigned)codec >= SHARD_CODECS)
		return error_set(err, ERROR_DECODE, "no codec has the number %u", (unsigned)codec);
	if (width == 0 || height == 0 || width > SHARD_MAX_SIDE || height > SHARD_MAX_SIDE)
		return error_set(err, ERROR_DECODE,
			"%s: the record's size %" PRIu32 "x%" PRIu32 " is impossible (a side may have 1 to %d pixels)",
			backends[codec]->name, width, height, SHARD_MAX_SIDE);
	if (need_bytes > capacity_bytes)
		return error_set(err, ERROR_MEMORY, "%s: the image needs %" PRIu64 " bytes, its buffer has %zu",
			backends[codec]->name, need_bytes, capacity_bytes);
	return 0;
}

int codec_decode(struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes, uint32_t width,
	uint32_t height, uint8_t *rgb, size_t capacity_bytes, struct error *err)
{
	const int result = check_sizes(codec, width, height, (uint64_t)width * height * 3, capacity_bytes, err);
	if (result != 0)
		return result;
	return backends[codec]->decode(context->state[codec], data, bytes, width, height, rgb, NULL, err);
}

int codec_decode_cut(struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes,
	uint32_t width, uint32_t height, uint8_t *rgb, size_t capacity_bytes, bool *cut, struct error *err)
{
	*cut = false;
	const int result = check_sizes(codec, width, height, (uint64_t)width * height * 3, capacity_bytes, err);
	if (result != 0)
		return result;
	return backends[codec]->decode(context->state[codec], data, bytes, width, height, rgb, cut, err);
}

int codec_check(struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes, uint32_t width,
	uint32_t height, bool *cut, struct error *err)
{
	if (cut != NULL)
		*cut = false;
	const int result = check_sizes(codec, width, height, 0, 0, err);
	if (result != 0)
		return result;
	return backends[codec]->check(context->state[codec], data, bytes, width, height, cut, err);
}

struct codec_pixels codec_pixels_part(
	const uint8_t *pixels, size_t stride_bytes, const struct codec_region *region, uint32_t width, uint32_t height)
{
	return (struct codec_pixels){.pixels = pixels,
		.stride_bytes = stride_bytes,
		.channels = 3,
		.x = region->x,
		.y = region->y,
		.width = region->width,
		.height = region->height,
		.scale = 1,
		.image_width = width,
		.image_height = height};
}

struct codec_pixels codec_pixels_whole(const uint8_t *rgb, uint32_t width, uint32_t height)
{
	const struct codec_region whole = {.width = width, .height = height, .scale = 1};
	return codec_pixels_part(rgb, (size_t)width * 3, &whole, width, height);
}

size_t codec_region_bytes(uint32_t width, uint32_t height)
{
	return ((size_t)width + CODEC_ROW_PIXELS - 1) / CODEC_ROW_PIXELS * CODEC_ROW_PIXELS * 4 * height;
}

int codec_decode_region(struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes,
	uint32_t width, uint32_t height, const struct codec_region *region, uint8_t *buffer, size_t capacity_bytes,
	struct codec_pixels *out, struct error *err)
{
	int result = check_sizes(codec, width, height, codec_region_bytes(width, height), capacity_bytes, err);
	if (result != 0)
		return result;
	const struct codec_backend *backend = backends[codec];
	const unsigned scale = region->scale;
	if (region->width == 0 || region->height == 0 || region->x >= width || region->y >= height ||
		region->width > width - region->x || region->height > height - region->y ||
		(scale != 1 && scale != 2 && scale != 4 && scale != 8))
		return error_set(err, ERROR_DECODE,
			"%s: the region is not in the image, or its scale is not 1, 2, 4 or 8", backend->name);
	if (backend->decode_region != NULL)
		return backend->decode_region(
			context->state[codec], data, bytes, width, height, region, buffer, capacity_bytes, out, err);
	*out = codec_pixels_whole(buffer, width, height);
	return backend->decode(context->state[codec], data, bytes, width, height, buffer, NULL, err);
}
