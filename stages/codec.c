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

struct codec_context *codec_context_create(struct error *err)
{
	struct codec_context *context = calloc(1, sizeof *context);
	if (context == NULL) {
		error_set(err, ERROR_MEMORY, "no memory for an image decoder");
		return NULL;
	}
	for (unsigned i = 0; i < SHARD_CODECS; i++) {
		if (backends[i]->state_create == NULL)
			continue;
		context->state[i] = backends[i]->state_create();
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

int codec_decode(struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes, uint32_t width,
	uint32_t height, uint8_t *rgb, size_t capacity_bytes, struct error *err)
{
	if ((unsigned)codec >= SHARD_CODECS)
		return error_set(err, ERROR_DECODE, "no codec has the number %u", (unsigned)codec);
	if (width == 0 || height == 0 || width > SHARD_MAX_SIDE || height > SHARD_MAX_SIDE)
		return error_set(err, ERROR_DECODE,
			"%s: the record's size %" PRIu32 "x%" PRIu32 " is impossible (a side may have 1 to %d pixels)",
			backends[codec]->name, width, height, SHARD_MAX_SIDE);
	const uint64_t need_bytes = (uint64_t)width * height * 3;
	if (need_bytes > capacity_bytes)
		return error_set(err, ERROR_MEMORY, "%s: the image needs %" PRIu64 " bytes, its buffer has %zu",
			backends[codec]->name, need_bytes, capacity_bytes);
	return backends[codec]->decode(context->state[codec], data, bytes, width, height, rgb, err);
}
