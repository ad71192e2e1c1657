/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "stages/codec_backend.h"

static int check_bytes(size_t bytes, uint32_t width, uint32_t height, struct error *err)
{
	const uint64_t need_bytes = (uint64_t)width * height * 3;
	if (bytes != need_bytes)
		return error_set(err, ERROR_DECODE, "raw: %zu bytes, but %" PRIu32 "x%" PRIu32 " RGB is %" PRIu64,
			bytes, width, height, need_bytes);
	return 0;
}

static int raw_decode(
	void *state, const void *data, size_t bytes, uint32_t width, uint32_t height, uint8_t *rgb, struct error *err)
{
	(void)state;
	const int result = check_bytes(bytes, width, height, err);
	if (result == 0)
		memcpy(rgb, data, bytes);
	return result;
}

static int raw_decode_region(void *state, const void *data, size_t bytes, uint32_t width, uint32_t height,
	const struct codec_region *region, uint8_t *buffer, size_t capacity_bytes, struct codec_pixels *out,
	struct error *err)
{
	(void)state;
	(void)buffer;
	(void)capacity_bytes;
	*out = (struct codec_pixels){.pixels = (const uint8_t *)data + ((size_t)region->y * width + region->x) * 3,
		.stride_bytes = (size_t)width * 3,
		.channels = 3,
		.x = region->x,
		.y = region->y,
		.width = region->width,
		.height = region->height,
		.scale = 1,
		.image_width = width,
		.image_height = height};
	return check_bytes(bytes, width, height, err);
}

const struct codec_backend codec_backend_raw = {
	.name = "raw", .decode = raw_decode, .decode_region = raw_decode_region};
