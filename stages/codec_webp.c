/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebP by libwebp. Alpha is dropped: colours come out as stored. Animations are refused. libwebp checks nothing against
 * a hash, but knows when it runs out of bytes.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/encode.h>

#include "stages/codec.h"
#include "stages/codec_backend.h"

static const char *status_text(VP8StatusCode status)
{
	switch (status) {
	case VP8_STATUS_OUT_OF_MEMORY:
		return "out of memory";
	case VP8_STATUS_UNSUPPORTED_FEATURE:
		return "a feature that libwebp does not support";
	case VP8_STATUS_SUSPENDED:
	case VP8_STATUS_NOT_ENOUGH_DATA:
		return "premature end of the file";
	default:
		return "corrupt data";
	}
}

static int fail(VP8StatusCode status, struct error *err)
{
	const int code = status == VP8_STATUS_OUT_OF_MEMORY ? ERROR_MEMORY : ERROR_DECODE;
	return error_set(err, code, "WebP: %s", status_text(status));
}

static bool webp_matches(const uint8_t *data, size_t bytes)
{
	return bytes >= 12 && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0;
}

static int webp_probe(const void *data, size_t bytes, uint32_t *width, uint32_t *height, struct error *err)
{
	WebPBitstreamFeatures features;
	const VP8StatusCode status = WebPGetFeatures(data, bytes, &features);
	if (status != VP8_STATUS_OK)
		return fail(status, err);
	if (features.has_animation)
		return error_set(err, ERROR_DECODE, "WebP: an animation (save one frame as a still image)");
	*width = (uint32_t)features.width;
	*height = (uint32_t)features.height;
	return 0;
}

/* To config->output, set up but for the format's own checks. */
static int decode_with(
	WebPDecoderConfig *config, const void *data, size_t bytes, uint32_t width, uint32_t height, struct error *err)
{
	uint32_t image_width = 0, image_height = 0;
	int result = webp_probe(data, bytes, &image_width, &image_height, err);
	if (result == 0)
		result = codec_same_size("WebP", image_width, image_height, width, height, err);
	if (result != 0)
		return result;
	config->output.is_external_memory = 1;
	const VP8StatusCode status = WebPDecode(data, bytes, config);
	WebPFreeDecBuffer(&config->output);
	return status == VP8_STATUS_OK ? 0 : fail(status, err);
}

static int config_init(WebPDecoderConfig *config, struct error *err)
{
	if (!WebPInitDecoderConfig(config))
		return error_set(err, ERROR_DECODE, "WebP: libwebp has another version than the one compiled for");
	return 0;
}

static int webp_decode(void *state, const void *data, size_t bytes, uint32_t width, uint32_t height, uint8_t *rgb,
	bool *cut, struct error *err)
{
	(void)state;
	(void)cut;
	WebPDecoderConfig config;
	const int result = config_init(&config, err);
	if (result != 0)
		return result;
	config.output.colorspace = MODE_RGB;
	config.output.u.RGBA.rgba = rgb;
	config.output.u.RGBA.stride = (int)(width * 3);
	config.output.u.RGBA.size = (size_t)width * height * 3;
	return decode_with(&config, data, bytes, width, height, err);
}

/* libwebp crops at even columns and rows, and the crop's pixels are the whole image's, but for smooth upsampling at the
 * crop's own edges: so it is asked for two more pixels on each side. It can scale too, but smooths by its own rules. */
static int webp_decode_region(void *state, const void *data, size_t bytes, uint32_t width, uint32_t height,
	const struct codec_region *region, uint8_t *buffer, size_t capacity_bytes, struct codec_pixels *out,
	struct error *err)
{
	(void)state;
	WebPDecoderConfig config;
	const int result = config_init(&config, err);
	if (result != 0)
		return result;
	const uint32_t x = region->x < 2 ? 0 : (region->x - 2) & ~1U, y = region->y < 2 ? 0 : (region->y - 2) & ~1U;
	const uint32_t x_end = region->x + region->width, y_end = region->y + region->height;
	const uint32_t wide = (x_end + 2 < width ? x_end + 2 : width) - x;
	const uint32_t tall = (y_end + 2 < height ? y_end + 2 : height) - y;
	config.options.use_cropping = 1;
	config.options.crop_left = (int)x;
	config.options.crop_top = (int)y;
	config.options.crop_width = (int)wide;
	config.options.crop_height = (int)tall;
	config.output.colorspace = MODE_RGB;
	config.output.u.RGBA.rgba = buffer;
	config.output.u.RGBA.stride = (int)(wide * 3);
	config.output.u.RGBA.size = capacity_bytes;
	const uint32_t skip_x = region->x - x, skip_y = region->y - y;
	*out = codec_pixels_part(
		buffer + ((size_t)skip_y * wide + skip_x) * 3, (size_t)wide * 3, region, width, height);
	return decode_with(&config, data, bytes, width, height, err);
}

/* The last pixel is not reached without reading all that is before it. */
static int webp_check(
	void *state, const void *data, size_t bytes, uint32_t width, uint32_t height, bool *cut, struct error *err)
{
	(void)cut;
	const struct codec_region last = {.x = width - 1, .y = height - 1, .width = 1, .height = 1, .scale = 1};
	uint8_t buffer[4 * 4 * 3];
	struct codec_pixels ignored;
	return webp_decode_region(state, data, bytes, width, height, &last, buffer, sizeof buffer, &ignored, err);
}

const struct codec_backend codec_backend_webp = {
	.name = "WebP",
	.matches = webp_matches,
	.probe = webp_probe,
	.decode = webp_decode,
	.check = webp_check,
	.decode_region = webp_decode_region,
};

/* What WebPEncode() writes into. */
struct growing {
	uint8_t *data;
	size_t bytes, capacity;
};

static int grow(const uint8_t *data, size_t bytes, const WebPPicture *picture)
{
	struct growing *sink = picture->custom_ptr;
	if (bytes > sink->capacity - sink->bytes) {
		size_t capacity = sink->capacity * 2 + 4096;
		if (capacity - sink->bytes < bytes)
			capacity = sink->bytes + bytes;
		uint8_t *larger = realloc(sink->data, capacity);
		if (larger == NULL)
			return 0;
		sink->data = larger;
		sink->capacity = capacity;
	}
	memcpy(sink->data + sink->bytes, data, bytes);
	sink->bytes += bytes;
	return 1;
}

int codec_encode_webp(const uint8_t *rgb, uint32_t width, uint32_t height, int lossless, float quality, void **out,
	size_t *bytes, struct error *err)
{
	if (width == 0 || height == 0 || width > WEBP_MAX_DIMENSION || height > WEBP_MAX_DIMENSION)
		return error_set(err, ERROR_UNSUPPORTED,
			"WebP cannot hold an image of %" PRIu32 "x%" PRIu32 " (a side may have 1 to %d pixels)", width,
			height, WEBP_MAX_DIMENSION);
	WebPConfig config;
	WebPPicture picture;
	if (!WebPConfigInit(&config) || !WebPPictureInit(&picture))
		return error_set(err, ERROR_UNSUPPORTED, "WebP: libwebp has another version than the one compiled for");
	config.lossless = lossless ? 1 : 0;
	config.quality = lossless ? 70.0F : quality; /* lossless: effort, not loss */
	if (!WebPValidateConfig(&config))
		return error_set(err, ERROR_USAGE, "WebP: quality %g is not in 0..100", (double)quality);
	struct growing sink = {.data = NULL};
	picture.use_argb = config.lossless;
	picture.width = (int)width;
	picture.height = (int)height;
	picture.writer = grow;
	picture.custom_ptr = &sink;
	const int done = WebPPictureImportRGB(&picture, rgb, (int)(width * 3)) && WebPEncode(&config, &picture);
	const WebPEncodingError encoding_error = picture.error_code;
	WebPPictureFree(&picture);
	if (!done) {
		free(sink.data);
		return error_set(err, ERROR_MEMORY,
			"WebP: encoding %" PRIu32 "x%" PRIu32 " failed (libwebp's error %d)", width, height,
			(int)encoding_error);
	}
	*out = sink.data;
	*bytes = sink.bytes;
	return 0;
}
