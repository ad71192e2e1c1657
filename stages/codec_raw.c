/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "stages/codec_backend.h"

static int raw_decode(
	void *state, const void *data, size_t bytes, uint32_t width, uint32_t height, uint8_t *rgb, struct error *err)
{
	(void)state;
	const uint64_t need_bytes = (uint64_t)width * height * 3;
	if (bytes != need_bytes)
		return error_set(err, ERROR_DECODE, "raw: %zu bytes, but %" PRIu32 "x%" PRIu32 " RGB is %" PRIu64,
			bytes, width, height, need_bytes);
	memcpy(rgb, data, bytes);
	return 0;
}

const struct codec_backend codec_backend_raw = {.name = "raw", .decode = raw_decode};
