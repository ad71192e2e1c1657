/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codecs against files that other programs wrote and Pillow decoded (tests/golden/make_images.py), and against
 * damage: every truncation must be refused, no flipped bit may crash or write outside the buffer.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "pipeline/cpu.h"
#include "stages/codec.h"

#define FOLDER "tests/golden/images/"

struct golden {
	char name[64];
	enum shard_codec codec;
	uint32_t width, height;
	bool refuse;
	unsigned char *data;
	size_t bytes;
	const uint8_t *pixels;
};

static struct golden goldens[64];
static unsigned golden_count;
static unsigned char *golden_pixels;

static unsigned char *read_file(const char *path, size_t *bytes)
{
	FILE *file = fopen(path, "rb");
	if (file == NULL)
		fail_msg("%s: cannot open (run from the root of the checkout)", path);
	fseek(file, 0, SEEK_END);
	*bytes = (size_t)ftell(file);
	rewind(file);
	unsigned char *data = malloc(*bytes);
	assert_non_null(data);
	assert_int_equal(fread(data, 1, *bytes, file), *bytes);
	fclose(file);
	return data;
}

static int load(void **state)
{
	(void)state;
	size_t pixel_bytes, used = 0;
	golden_pixels = read_file(FOLDER "pixels.rgb", &pixel_bytes);
	FILE *list = fopen(FOLDER "list.txt", "r");
	assert_non_null(list);
	char codec[8], verdict[8], path[128];
	struct golden *golden = goldens;
	while (fscanf(list, "%63s %7s %u %u %7s", golden->name, codec, &golden->width, &golden->height, verdict) == 5) {
		golden->codec = codec[0] == 'j' ? SHARD_JPEG : codec[0] == 'w' ? SHARD_WEBP : SHARD_PNG;
		golden->refuse = strcmp(verdict, "refuse") == 0;
		snprintf(path, sizeof path, FOLDER "%.63s", golden->name);
		golden->data = read_file(path, &golden->bytes);
		golden->pixels = golden_pixels + used;
		used += golden->refuse ? 0 : (size_t)golden->width * golden->height * 3;
		golden++;
	}
	golden_count = (unsigned)(golden - goldens);
	fclose(list);
	assert_int_equal(used, pixel_bytes);
	assert_true(golden_count > 30);
	return 0;
}

static int unload(void **state)
{
	(void)state;
	for (unsigned i = 0; i < golden_count; i++)
		free(goldens[i].data);
	free(golden_pixels);
	return 0;
}

/* The other ways to decode an image must say what codec_decode() says, the lenient one where it is content. */
static void check_verdicts(struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes,
	uint32_t width, uint32_t height, const uint8_t *rgb, const struct error *verdict)
{
	struct error err = {0};
	bool cut, seen_cut;
	const size_t need = (size_t)width * height * 3;
	assert_int_equal(codec_check(context, codec, data, bytes, width, height, NULL, &err), verdict->code);
	assert_string_equal(err.message, verdict->message);
	uint8_t *again = malloc(need);
	err = (struct error){0};
	const int lenient = codec_decode_cut(context, codec, data, bytes, width, height, again, need, &cut, &err);
	struct error check_err = {0};
	assert_int_equal(codec_check(context, codec, data, bytes, width, height, &seen_cut, &check_err), lenient);
	assert_string_equal(err.message, check_err.message);
	assert_int_equal(cut, seen_cut);
	assert_true(lenient != 0 || cut == (verdict->code != 0));
	assert_true(lenient == 0 || verdict->code == lenient);
	if (verdict->code == 0)
		assert_memory_equal(again, rgb, need);
	free(again);
}

/* Decodes into a buffer of exactly the right size, so that AddressSanitizer sees the first byte too many; the copy of
 * the input is as tight. */
static int decode(struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes, uint32_t width,
	uint32_t height, uint8_t **rgb, struct error *err)
{
	const size_t need = (size_t)width * height * 3;
	unsigned char *input = malloc(bytes ? bytes : 1);
	*rgb = malloc(need);
	assert_true(input != NULL && *rgb != NULL);
	if (bytes > 0)
		memcpy(input, data, bytes);
	memset(*rgb, 0x5a, need);
	*err = (struct error){0};
	const int result = codec_decode(context, codec, input, bytes, width, height, *rgb, need, err);
	assert_int_equal(result, err->code);
	check_verdicts(context, codec, input, bytes, width, height, *rgb, err);
	free(input);
	return result;
}

static void decodes_like_pillow(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	assert_non_null(context);
	for (unsigned i = 0; i < golden_count; i++) {
		const struct golden *golden = &goldens[i];
		uint8_t *rgb;
		if (golden->refuse)
			continue;
		if (decode(context, golden->codec, golden->data, golden->bytes, golden->width, golden->height, &rgb,
			    &err) != 0)
			fail_msg("%s: %s", golden->name, err.message);
		const size_t bytes = (size_t)golden->width * golden->height * 3;
		for (size_t at = 0; at < bytes; at++)
			if (rgb[at] != golden->pixels[at])
				fail_msg("%s: pixel %zu channel %zu is %d, Pillow says %d", golden->name, at / 3,
					at % 3, rgb[at], golden->pixels[at]);
		free(rgb);
	}
	codec_context_destroy(context);
}

/* Regions hold the pixels that the whole image has; raw ones point into the data. */
static void regions_are_parts(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	uint32_t random = 99;
	for (unsigned i = 0; i < 2 * golden_count; i++) {
		const struct golden *golden = &goldens[i / 2];
		const bool raw = i % 2 == 1;
		const uint32_t width = golden->width, height = golden->height;
		const uint8_t *data = raw ? golden->pixels : golden->data;
		const size_t bytes = raw ? (size_t)width * height * 3 : golden->bytes;
		for (unsigned trial = 0; trial < 40 && !golden->refuse; trial++) {
			uint32_t part[4];
			for (unsigned j = 0; j < 4; j++) {
				random = random * 1664525 + 1013904223;
				part[j] = random >> 8;
			}
			struct codec_region region = {.x = part[0] % width, .y = part[1] % height, .scale = 1};
			region.width = 1 + part[2] % (width - region.x);
			region.height = 1 + part[3] % (height - region.y);
			const size_t capacity = codec_region_bytes(width, height);
			uint8_t *buffer = malloc(capacity);
			struct codec_pixels made;
			if (codec_decode_region(context, raw ? SHARD_RAW : golden->codec, data, bytes, width, height,
				    &region, buffer, capacity, &made, &err) != 0)
				fail_msg("%s: %s", golden->name, err.message);
			assert_true(made.scale == 1 && made.image_width == width && made.image_height == height);
			assert_true(made.x <= region.x && made.x + made.width >= region.x + region.width);
			assert_true(made.y <= region.y && made.y + made.height >= region.y + region.height);
			for (uint32_t y = 0; y < made.height; y++)
				for (uint32_t x = 0; x < made.width; x++)
					assert_memory_equal(made.pixels + y * made.stride_bytes + x * made.channels,
						golden->pixels + ((size_t)(y + made.y) * width + x + made.x) * 3, 3);
			free(buffer);
		}
	}
	codec_context_destroy(context);
}

static void refuses_impossible_regions(void **state)
{
	(void)state;
	static const struct codec_region regions[] = {{0, 0, 0, 1, 1}, {0, 0, 1, 0, 1}, {5, 0, 1, 1, 1},
		{0, 3, 1, 1, 1}, {1, 0, 5, 1, 1}, {0, 1, 1, 3, 1}, {1, 0, UINT32_MAX, 1, 1}, {0, 0, 1, 1, 0},
		{0, 0, 1, 1, 3}, {0, 0, 1, 1, 16}};
	struct codec_context *context = codec_context_create(cpu_detect(), NULL);
	uint8_t pixels[5 * 3 * 3] = {0}, buffer[64 * 4 * 3];
	struct codec_pixels made;
	for (unsigned i = 0; i < sizeof regions / sizeof *regions; i++) {
		struct error err = {0};
		assert_int_equal(codec_decode_region(context, SHARD_RAW, pixels, sizeof pixels, 5, 3, &regions[i],
					 buffer, sizeof buffer, &made, &err),
			ERROR_DECODE);
		assert_non_null(strstr(err.message, "region"));
	}
	const struct codec_region whole = {0, 0, 5, 3, 1};
	assert_int_equal(codec_decode_region(context, SHARD_RAW, pixels, sizeof pixels, 5, 3, &whole, buffer,
				 sizeof buffer - 1, &made, NULL),
		ERROR_MEMORY);
	codec_context_destroy(context);
}

static void probes(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_info info;
	for (unsigned i = 0; i < golden_count; i++) {
		const struct golden *golden = &goldens[i];
		if (golden->refuse)
			continue;
		assert_int_equal(codec_probe(golden->data, golden->bytes, &info, &err), 0);
		assert_int_equal(info.codec, golden->codec);
		assert_int_equal(info.width, golden->width);
		assert_int_equal(info.height, golden->height);
	}
	static const char *const strange[] = {"", "\xff\xd8", "GIF89a..........", "RIFF....WAVEfmt ", "\x89PNG"};
	for (unsigned i = 0; i < sizeof strange / sizeof *strange; i++) {
		err = (struct error){0};
		assert_int_equal(codec_probe(strange[i], strlen(strange[i]), &info, &err), ERROR_DECODE);
		assert_non_null(strstr(err.message, "not a JPEG, WebP or PNG"));
	}
}

static void refuses_animations(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	struct codec_info info;
	unsigned seen = 0;
	for (unsigned i = 0; i < golden_count; i++) {
		const struct golden *golden = &goldens[i];
		uint8_t *rgb;
		if (!golden->refuse)
			continue;
		seen++;
		assert_int_equal(decode(context, golden->codec, golden->data, golden->bytes, golden->width,
					 golden->height, &rgb, &err),
			ERROR_DECODE);
		assert_non_null(strstr(err.message, "animation"));
		free(rgb);
		err = (struct error){0};
		assert_int_equal(codec_probe(golden->data, golden->bytes, &info, &err), ERROR_DECODE);
	}
	assert_int_equal(seen, 1);
	codec_context_destroy(context);
}

static void refuses_every_truncation(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	for (unsigned i = 0; i < golden_count; i++) {
		const struct golden *golden = &goldens[i];
		uint8_t *rgb;
		for (size_t bytes = 0; bytes < golden->bytes; bytes++) {
			struct codec_info info;
			struct error probe_err = {0};
			codec_probe(golden->data, bytes, &info, &probe_err);
			if (decode(context, golden->codec, golden->data, bytes, golden->width, golden->height, &rgb,
				    &err) != ERROR_DECODE)
				fail_msg("%s cut to %zu of %zu bytes gave %d", golden->name, bytes, golden->bytes,
					err.code);
			assert_true(strlen(err.message) > 8);
			free(rgb);
		}
	}
	codec_context_destroy(context);
}

/* libjpeg's picture of a JPEG, whatever it says about the data. */
static void be_quiet(j_common_ptr decoder, int level)
{
	(void)decoder;
	(void)level;
}

static void decode_anyhow(const void *data, size_t bytes, uint32_t width, uint8_t *rgb)
{
	struct jpeg_decompress_struct decoder;
	struct jpeg_error_mgr errors;
	decoder.err = jpeg_std_error(&errors);
	errors.emit_message = be_quiet;
	jpeg_create_decompress(&decoder);
	jpeg_mem_src(&decoder, data, bytes);
	jpeg_read_header(&decoder, TRUE);
	decoder.out_color_space = JCS_RGB;
	jpeg_start_decompress(&decoder);
	while (decoder.output_scanline < decoder.output_height) {
		JSAMPROW row = rgb + (size_t)decoder.output_scanline * width * 3;
		jpeg_read_scanlines(&decoder, &row, 1);
	}
	jpeg_destroy_decompress(&decoder);
}

/* Of a JPEG that is cut behind its first rows, or has its end-of-image marker too early, the lenient decoder makes what
 * libjpeg makes; of no other format it makes anything. */
static void cut_images_decode_if_asked(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	unsigned taken = 0;
	for (unsigned i = 0; i < golden_count; i++) {
		const struct golden *golden = &goldens[i];
		if (golden->refuse)
			continue;
		const uint32_t width = golden->width, height = golden->height;
		const size_t need = (size_t)width * height * 3;
		uint8_t *rgb = malloc(need), *expected = malloc(need);
		unsigned char *data = malloc(golden->bytes + 2);
		bool cut, before = false;
		for (size_t bytes = 0; bytes < golden->bytes; bytes++) {
			memcpy(data, golden->data, bytes);
			memcpy(data + bytes, "\xff\xd9", 2);
			const size_t with_marker = bytes + (golden->codec == SHARD_JPEG ? bytes % 2 * 2 : 0);
			err = (struct error){0};
			const int result = codec_decode_cut(
				context, golden->codec, data, with_marker, width, height, rgb, need, &cut, &err);
			assert_true(result == 0 || result == ERROR_DECODE);
			if (result == 0 && golden->codec != SHARD_JPEG)
				fail_msg("%s cut to %zu of %zu bytes was taken", golden->name, bytes, golden->bytes);
			/* Once there is enough of the picture, more is enough too; but for tables between scans. */
			if (before && result != 0 && strcmp(golden->name, "progressive.jpg") != 0)
				fail_msg("%s cut to %zu of %zu bytes: %s", golden->name, bytes, golden->bytes,
					err.message);
			before = result == 0;
			taken += result == 0 && cut;
			if (result != 0 || strstr(golden->name, "cmyk") || strstr(golden->name, "ycck"))
				continue;
			decode_anyhow(data, with_marker, width, expected);
			assert_memory_equal(rgb, expected, need);
		}
		free(data);
		free(expected);
		free(rgb);
	}
	assert_true(taken > 1000);
	codec_context_destroy(context);
}

/* Any outcome but a crash; then the same context must still decode a sound image rightly. */
static void survives_flipped_bits(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	uint32_t random = 12345;
	for (unsigned i = 0; i < golden_count; i++) {
		const struct golden *golden = &goldens[i];
		uint8_t *rgb;
		for (unsigned trial = 0; trial < 200; trial++) {
			unsigned char *hurt = malloc(golden->bytes);
			memcpy(hurt, golden->data, golden->bytes);
			for (unsigned flips = 0; flips < 1 + trial % 3; flips++) {
				random = random * 1664525 + 1013904223;
				hurt[(random >> 3) % golden->bytes] ^= (unsigned char)(1U << (random & 7));
			}
			struct codec_info info;
			struct error probe_err = {0};
			codec_probe(hurt, golden->bytes, &info, &probe_err);
			decode(context, golden->codec, hurt, golden->bytes, golden->width, golden->height, &rgb, &err);
			free(rgb);
			free(hurt);
		}
		if (golden->refuse)
			continue;
		assert_int_equal(decode(context, golden->codec, golden->data, golden->bytes, golden->width,
					 golden->height, &rgb, &err),
			0);
		assert_memory_equal(rgb, golden->pixels, (size_t)golden->width * golden->height * 3);
		free(rgb);
	}
	codec_context_destroy(context);
}

/* Every bit of this file is under a checksum, or is the signature: no change to it may pass. */
static void png_checksums_count(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	struct golden *golden = goldens;
	while (strcmp(golden->name, "rgb.png") != 0)
		golden++;
	for (size_t at = 0; at < golden->bytes; at++) {
		uint8_t *rgb;
		golden->data[at] ^= 4;
		if (decode(context, SHARD_PNG, golden->data, golden->bytes, golden->width, golden->height, &rgb,
			    &err) == 0)
			fail_msg("byte %zu of rgb.png was changed and nobody saw it", at);
		golden->data[at] ^= 4;
		free(rgb);
	}
	codec_context_destroy(context);
}

static void refuses_another_size(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	for (unsigned i = 0; i < golden_count; i++) {
		const struct golden *golden = &goldens[i];
		uint8_t *rgb;
		for (int change = 0; change < 4 && !golden->refuse; change++) {
			const uint32_t width = change < 2 ? golden->width + 1 - 2 * (uint32_t)change : golden->width;
			const uint32_t height = change < 2 ? golden->height : golden->height + 5 - 2 * (uint32_t)change;
			if (width == 0 || height == 0)
				continue;
			assert_int_equal(
				decode(context, golden->codec, golden->data, golden->bytes, width, height, &rgb, &err),
				ERROR_DECODE);
			assert_non_null(strstr(err.message, "its record says"));
			for (size_t at = 0; at < (size_t)width * height * 3; at++)
				assert_int_equal(rgb[at], 0x5a);
			free(rgb);
		}
		uint8_t small[3];
		err = (struct error){0};
		assert_int_equal(codec_decode(context, golden->codec, golden->data, golden->bytes, golden->width,
					 golden->height, small, 2, &err),
			ERROR_MEMORY);
	}
	codec_context_destroy(context);
}

static void raw_is_copied(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	uint8_t pixels[5 * 3 * 3], out[sizeof pixels] = {0};
	for (unsigned i = 0; i < sizeof pixels; i++)
		pixels[i] = (uint8_t)(i * 7);
	assert_int_equal(codec_decode(context, SHARD_RAW, pixels, sizeof pixels, 5, 3, out, sizeof out, &err), 0);
	assert_memory_equal(out, pixels, sizeof pixels);
	assert_int_equal(
		codec_decode(context, SHARD_RAW, pixels, sizeof pixels - 1, 5, 3, out, sizeof out, &err), ERROR_DECODE);
	err = (struct error){0};
	assert_int_equal(
		codec_decode(context, SHARD_RAW, pixels, sizeof pixels, 4, 3, out, sizeof out, &err), ERROR_DECODE);
	err = (struct error){0};
	assert_int_equal(codec_decode(context, SHARD_RAW, pixels, 0, 0, 3, out, sizeof out, &err), ERROR_DECODE);
	err = (struct error){0};
	assert_int_equal(codec_decode(context, SHARD_RAW, pixels, 0, 65536, 1, out, sizeof out, &err), ERROR_DECODE);
	err = (struct error){0};
	assert_int_equal(
		codec_decode(context, (enum shard_codec)9, pixels, 3, 1, 1, out, sizeof out, &err), ERROR_DECODE);
	codec_context_destroy(context);
}

/* A JPEG without its own tables must not borrow those of the image before it. */
static void jpeg_tables_do_not_leak(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	uint8_t *rgb;
	const struct golden *golden = &goldens[0];
	assert_int_equal(golden->codec, SHARD_JPEG);
	assert_int_equal(
		decode(context, SHARD_JPEG, golden->data, golden->bytes, golden->width, golden->height, &rgb, &err), 0);
	free(rgb);
	/* Rename the quantisation table's marker (DQT) to a comment's. */
	unsigned char *bare = malloc(golden->bytes);
	memcpy(bare, golden->data, golden->bytes);
	unsigned renamed = 0;
	for (size_t at = 0; at + 1 < golden->bytes; at++)
		if (bare[at] == 0xff && bare[at + 1] == 0xdb) {
			bare[at + 1] = 0xfe;
			renamed++;
		}
	assert_true(renamed > 0);
	assert_int_equal(decode(context, SHARD_JPEG, bare, golden->bytes, golden->width, golden->height, &rgb, &err),
		ERROR_DECODE);
	assert_non_null(strstr(err.message, "uantization table"));
	free(rgb);
	free(bare);
	codec_context_destroy(context);
}

/* What only libjpeg's rules refuse: our parser must leave it to libjpeg (decode() compares the verdicts). */
static void checks_are_as_strict_as_libjpeg(void **state)
{
	(void)state;
	/* Behind the last block: a marker without content, one that is unknown, a second image's. */
	static const char *const tails[] = {"\xff\x01\0\x05\xff\xd8\0", "\xff\x02\0\x02", "\xff\xc0\0\x02"};
	enum { TAIL_MAX = 16, WIDE = 65500, WIDER = 65504 };
	static const size_t tail_bytes[] = {7, 4, 4};
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	const struct golden *golden = goldens;
	while (strcmp(golden->name, "444.jpg") != 0)
		golden++;
	uint8_t *rgb;
	unsigned char *data = malloc(golden->bytes + TAIL_MAX);
	for (unsigned i = 0; i < sizeof tails / sizeof *tails; i++) {
		memcpy(data, golden->data, golden->bytes - 2);
		memcpy(data + golden->bytes - 2, tails[i], tail_bytes[i]);
		memcpy(data + golden->bytes - 2 + tail_bytes[i], "\xff\xd9", 2);
		assert_int_equal(decode(context, SHARD_JPEG, data, golden->bytes + tail_bytes[i], golden->width,
					 golden->height, &rgb, &err),
			ERROR_DECODE);
		free(rgb);
	}
	free(data);
	/* As many blocks, but a side too long. */
	rgb = calloc(WIDE, 8 * 3);
	size_t bytes;
	void *long_image;
	assert_int_equal(codec_encode_jpeg(rgb, WIDE, 8, 95, &long_image, &bytes, &err), 0);
	free(rgb);
	assert_int_equal(decode(context, SHARD_JPEG, long_image, bytes, WIDE, 8, &rgb, &err), 0);
	free(rgb);
	unsigned char *width = memmem(long_image, bytes, "\xff\xdc", 2);
	assert_non_null(width);
	width[1] = WIDER & 255;
	assert_int_equal(decode(context, SHARD_JPEG, long_image, bytes, WIDER, 8, &rgb, &err), ERROR_DECODE);
	free(rgb);
	free(long_image);
	codec_context_destroy(context);
}

/* A small file that claims to be huge: the claim is found without decoding, for the caller to refuse; and who does not
 * is told that there is no such picture, not out of memory. */
static void claims_are_cheap(void **state)
{
	(void)state;
	enum { HUGE_SIDE = 65500 };
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	for (unsigned i = 0; i < golden_count; i++) {
		const struct golden *golden = &goldens[i];
		unsigned char *frame = memmem(golden->data, golden->bytes, "\xff\xc0", 2);
		struct codec_info info;
		bool cut;
		if (golden->codec != SHARD_JPEG || frame == NULL)
			continue;
		unsigned char kept[4];
		memcpy(kept, frame + 5, sizeof kept);
		memcpy(frame + 5, "\xff\xdc\xff\xdc", sizeof kept);
		assert_int_equal(codec_probe(golden->data, golden->bytes, &info, &err), 0);
		assert_true(info.width == HUGE_SIDE && info.height == HUGE_SIDE);
		for (unsigned lenient = 0; lenient < 2; lenient++)
			assert_int_equal(codec_check(context, SHARD_JPEG, golden->data, golden->bytes, HUGE_SIDE,
						 HUGE_SIDE, lenient ? &cut : NULL, &err),
				ERROR_DECODE);
		memcpy(frame + 5, kept, sizeof kept);
	}
	codec_context_destroy(context);
}

/* A progressive JPEG with a scan for every AC coefficient of every component, once or (refined) twice. */
static unsigned char *jpeg_of_many_scans(bool refined, unsigned long *bytes)
{
	enum { SIDE = 24 };
	static jpeg_scan_info scans[1 + 2 * 3 * 63];
	int count = 0;
	scans[count++] = (jpeg_scan_info){.comps_in_scan = 3, .component_index = {0, 1, 2}};
	for (int pass = 0; pass < (refined ? 2 : 1); pass++)
		for (int component = 0; component < 3; component++)
			for (int k = 1; k < 64; k++)
				scans[count++] = (jpeg_scan_info){.comps_in_scan = 1,
					.component_index = {component},
					.Ss = k,
					.Se = k,
					.Ah = pass,
					.Al = refined && pass == 0};
	struct jpeg_compress_struct encoder;
	struct jpeg_error_mgr errors;
	unsigned char *data = NULL;
	encoder.err = jpeg_std_error(&errors);
	jpeg_create_compress(&encoder);
	jpeg_mem_dest(&encoder, &data, bytes);
	encoder.image_width = encoder.image_height = SIDE;
	encoder.input_components = 3;
	encoder.in_color_space = JCS_RGB;
	jpeg_set_defaults(&encoder);
	encoder.scan_info = scans;
	encoder.num_scans = count;
	jpeg_start_compress(&encoder, TRUE);
	for (unsigned y = 0; y < SIDE; y++) {
		JSAMPLE line[SIDE * 3];
		JSAMPROW row = line;
		for (unsigned i = 0; i < sizeof line; i++)
			line[i] = (JSAMPLE)(y * i * 37);
		jpeg_write_scanlines(&encoder, &row, 1);
	}
	jpeg_finish_compress(&encoder);
	jpeg_destroy_compress(&encoder);
	return data;
}

static void refuses_hundreds_of_scans(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	for (int refined = 0; refined < 2; refined++) {
		unsigned long bytes = 0;
		uint8_t *rgb;
		unsigned char *data = jpeg_of_many_scans(refined, &bytes);
		const int result = decode(context, SHARD_JPEG, data, bytes, 24, 24, &rgb, &err);
		assert_int_equal(result, refined ? ERROR_DECODE : 0); /* 379 and 190 scans */
		if (refined)
			assert_non_null(strstr(err.message, "progressive scans"));
		free(rgb);
		free(data);
	}
	codec_context_destroy(context);
}

static void encoders_round_trip(void **state)
{
	(void)state;
	static const uint32_t sizes[][2] = {{1, 1}, {3, 2}, {17, 31}, {640, 3}, {128, 96}};
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		const uint32_t width = sizes[i][0], height = sizes[i][1];
		const size_t bytes = (size_t)width * height * 3;
		uint8_t *pixels = malloc(bytes), *rgb;
		for (size_t at = 0; at < bytes; at++)
			pixels[at] = (uint8_t)(40 + at / 3 % width * 150 / width + at % 3 * 20);
		for (int kind = 0; kind < 3; kind++) {
			void *encoded = NULL;
			size_t encoded_bytes = 0;
			const enum shard_codec codec = kind == 0 ? SHARD_PNG : SHARD_WEBP;
			const int result =
				kind == 0 ? codec_encode_png(pixels, width, height, &encoded, &encoded_bytes, &err)
					  : codec_encode_webp(pixels, width, height, kind == 1, 90, &encoded,
						    &encoded_bytes, &err);
			assert_int_equal(result, 0);
			struct codec_info info;
			assert_int_equal(codec_probe(encoded, encoded_bytes, &info, &err), 0);
			assert_true(info.codec == codec && info.width == width && info.height == height);
			assert_int_equal(decode(context, codec, encoded, encoded_bytes, width, height, &rgb, &err), 0);
			long worst = 0;
			for (size_t at = 0; at < bytes; at++) {
				const long off = labs((long)rgb[at] - pixels[at]);
				worst = off > worst ? off : worst;
			}
			assert_in_range(worst, 0, kind < 2 ? 0 : 24);
			free(rgb);
			free(encoded);
		}
		free(pixels);
	}
	void *encoded = NULL;
	size_t encoded_bytes;
	uint8_t pixel[3] = {0};
	assert_int_equal(codec_encode_webp(pixel, 20000, 1, 0, 80, &encoded, &encoded_bytes, &err), ERROR_UNSUPPORTED);
	err = (struct error){0};
	assert_int_equal(codec_encode_webp(pixel, 1, 1, 0, 101, &encoded, &encoded_bytes, &err), ERROR_USAGE);
	err = (struct error){0};
	assert_int_equal(codec_encode_png(pixel, 0, 1, &encoded, &encoded_bytes, &err), ERROR_DECODE);
	codec_context_destroy(context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_like_pillow),
		cmocka_unit_test(regions_are_parts),
		cmocka_unit_test(refuses_impossible_regions),
		cmocka_unit_test(probes),
		cmocka_unit_test(refuses_animations),
		cmocka_unit_test(refuses_every_truncation),
		cmocka_unit_test(cut_images_decode_if_asked),
		cmocka_unit_test(survives_flipped_bits),
		cmocka_unit_test(png_checksums_count),
		cmocka_unit_test(refuses_another_size),
		cmocka_unit_test(raw_is_copied),
		cmocka_unit_test(jpeg_tables_do_not_leak),
		cmocka_unit_test(checks_are_as_strict_as_libjpeg),
		cmocka_unit_test(claims_are_cheap),
		cmocka_unit_test(refuses_hundreds_of_scans),
		cmocka_unit_test(encoders_round_trip),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
