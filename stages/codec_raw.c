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

static int raw_decode(void *state, const void *data, size_t bytes, uint32_t width, uint32_t height, uint8_t *rgb,
	bool *cut, struct error *err)
{
	(void)state;
	(void)cut;
	const int result = check_bytes(bytes, width, height, err);
	if (result == 0)
		memcpy(rgb, data, bytes);
	return result;
}

static int raw_check(
	void *state, const void *data, size_t bytes, uint32_t width, uint32_t height, bool *cut, struct error *err)
{
	(void)state;
	(void)data;
	(void)cut;
	return check_bytes(bytes, width, height, err);
}

static int raw_decode_region(void *state, const void *data, size_t bytes, uint32_t width, uint32_t height,
	const struct codec_region *region, uint8_t *buffer, size_t capacity_bytes, struct codec_pixels *out,
	struct error *err)
{
	(void)state;
	(void)buffer;
	(void)capacity_bytes;
	*out = codec_pixels_part((const uint8_t *)data + ((size_t)region->y * width + region->x) * 3, (size_t)width * 3,
		region, width, height);
	return check_bytes(bytes, width, height, err);
}

const struct codec_backend codec_backend_raw = {
	.name = "raw", .decode = raw_decode, .check = raw_check, .decode_region = raw_decode_region};
