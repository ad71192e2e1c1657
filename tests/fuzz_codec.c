/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: any bytes through codec_probe() and, where they look like an image of a moderate size, through
 * codec_decode() twice with one context. The first decode's outcome must repeat. Also as if the index lied about the
 * codec. What Exif says of it, and turned without loss if it is a JPEG, which must then decode. Then a region of it,
 * chosen by the bytes, which must have the pixels of the whole where that is sound.
 *
 *	make fuzz && mkdir -p corpus
 *	build/debug-fuzzer-no-link-address-undefined-clang-14/fuzz/fuzz_codec -max_total_time=600 corpus
 * tests/golden/images
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/cpu.h"
#include "stages/codec.h"
#include "stages/exif.h"

enum { MAX_PIXELS = 1 << 18 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void decode_region(struct codec_context *context, const struct codec_info *info, const uint8_t *data,
	size_t bytes, const uint8_t *whole)
{
	const uint32_t choice =
		bytes < 4 ? 0 : (uint32_t)(data[bytes / 2] << 16 | data[bytes / 3] << 8 | data[bytes / 4]);
	struct codec_region region = {.x = choice % info->width, .y = choice / 7 % info->height};
	region.width = 1 + choice / 5 % (info->width - region.x);
	region.height = 1 + choice / 3 % (info->height - region.y);
	const size_t capacity = codec_region_bytes(info->width, info->height);
	uint8_t *buffer = malloc(capacity);
	if (buffer == NULL)
		abort();
	for (region.scale = 1; region.scale <= 8; region.scale *= 2) {
		struct codec_pixels made;
		const int result = codec_decode_region(context, info->codec, data, bytes, info->width, info->height,
			&region, buffer, capacity, &made, NULL);
		if (whole == NULL || made.scale != 1)
			continue;
		if (result != 0)
			abort();
		for (uint32_t y = 0; y < made.height; y++)
			for (uint32_t x = 0; x < made.width; x++)
				if (memcmp(made.pixels + y * made.stride_bytes + (size_t)x * made.channels,
					    whole + ((size_t)(y + made.y) * info->width + x + made.x) * 3, 3) != 0)
					abort();
	}
	free(buffer);
}

/* The checks must say what decoding says; what is lenient takes all that the strict one does. */
static void check(struct codec_context *context, const struct codec_info *info, const uint8_t *data, size_t bytes,
	int result, uint8_t *rgb)
{
	const uint32_t width = info->width, height = info->height;
	bool cut, seen_cut;
	if (codec_check(context, info->codec, data, bytes, width, height, NULL, NULL) != result)
		abort();
	const int lenient = codec_decode_cut(
		context, info->codec, data, bytes, width, height, rgb, (size_t)width * height * 3, &cut, NULL);
	if (codec_check(context, info->codec, data, bytes, width, height, &seen_cut, NULL) != lenient ||
		cut != seen_cut || (lenient == 0 && cut != (result != 0)) || (result == 0 && lenient != 0))
		abort();
}

/* Any orientation, of all eight; a turned JPEG is sound, as the file was but for its end. */
static void turn(struct codec_context *context, const struct codec_info *info, const uint8_t *data, size_t bytes)
{
	const unsigned orientation = exif_orientation(info->codec, data, bytes);
	bool cut;
	if (orientation < 1 || orientation > 8)
		abort();
	if (info->codec != SHARD_JPEG ||
		codec_check(context, SHARD_JPEG, data, bytes, info->width, info->height, &cut, NULL) != 0)
		return;
	const unsigned turned = orientation > 1 ? orientation : 1 + (unsigned)bytes % 8;
	void *out;
	size_t out_bytes;
	if (codec_turn_jpeg(context, data, bytes, turned, &out, &out_bytes, NULL) != 0)
		return;
	const uint32_t width = turned > 4 ? info->height : info->width,
		       height = turned > 4 ? info->width : info->height;
	if (codec_check(context, SHARD_JPEG, out, out_bytes, width, height, NULL, NULL) != 0 ||
		exif_orientation(SHARD_JPEG, out, out_bytes) != 1)
		abort();
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct codec_context *context;
	for (unsigned codec = 0; codec < SHARD_CODECS; codec++)
		exif_orientation((enum shard_codec)codec, data, bytes);
	if (context == NULL)
		context = codec_context_create(cpu_detect(), NULL);
	struct codec_info info;
	if (codec_probe(data, bytes, &info, NULL) != 0 || (uint64_t)info.width * info.height > MAX_PIXELS)
		return 0;
	const size_t need_bytes = (size_t)info.width * info.height * 3;
	uint8_t *rgb = malloc(need_bytes), *again = malloc(need_bytes);
	if (rgb == NULL || again == NULL)
		abort();
	const int result =
		codec_decode(context, info.codec, data, bytes, info.width, info.height, rgb, need_bytes, NULL);
	for (unsigned codec = 0; codec < SHARD_CODECS; codec++)
		codec_decode(context, (enum shard_codec)codec, data, bytes, info.width, info.height, again, need_bytes,
			NULL);
	if (codec_decode(context, info.codec, data, bytes, info.width, info.height, again, need_bytes, NULL) != result)
		abort();
	if (result == 0 && memcmp(rgb, again, need_bytes) != 0)
		abort();
	decode_region(context, &info, data, bytes, result == 0 ? rgb : NULL);
	check(context, &info, data, bytes, result, again);
	turn(context, &info, data, bytes);
	free(rgb);
	free(again);
	return 0;
}
