/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images of other makers (tests/odd_images.py: ImageMagick, libwebp's cwebp, TurboJPEG, Pillow), against the pixels and
 * orientations that Pillow finds in them; and what we write, read by Pillow. Exact, but for inks: CMYK becomes RGB by
 * products of which Pillow rounds others, by one level. Skipped where Python has no Pillow.
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

#include "pipeline/cpu.h"
#include "stages/codec.h"
#include "stages/exif.h"
#include "tests/helper_files.h"

struct odd {
	char name[64];
	enum shard_codec codec;
	uint32_t width, height;
	int tolerance;
	unsigned orientation;
	char lossless[4]; /* a turn without loss: yes, no, - */
	unsigned char *data;
	size_t bytes;
};

enum { ODD_MAX = 256 };

static struct odd odds[ODD_MAX];
static unsigned odd_count;
static char *folder;
static struct codec_context *context;

static bool python(const char *what)
{
	char command[1024];
	snprintf(command, sizeof command, "/usr/bin/python3 tests/odd_images.py %s %s", what, folder);
	return system(command) == 0; /* NOLINT(cert-env33-c): the program is named by its path */
}

static unsigned char *read_beside(const char *name, const char *suffix, size_t *bytes)
{
	char full[96];
	snprintf(full, sizeof full, "%s%s", name, suffix);
	char *path = helper_path(folder, full);
	unsigned char *data = helper_file_read(path, bytes);
	free(path);
	return data;
}

static void write_beside(const char *name, const void *data, size_t bytes)
{
	char *path = helper_path(folder, name);
	helper_file_write(path, data, bytes);
	free(path);
}

static int load(void **state)
{
	(void)state;
	folder = helper_folder_make();
	context = codec_context_create(cpu_detect(), NULL);
	/* NOLINTNEXTLINE(cert-env33-c): the program is named by its path */
	if (system("/usr/bin/python3 -c 'import numpy, PIL' 2>/dev/null") != 0)
		return 0;
	assert_true(python("make"));
	size_t bytes;
	char *list = (char *)read_beside("list.txt", "", &bytes), codec[8], *rest = list;
	list = realloc(list, bytes + 1);
	list[bytes] = '\0';
	rest = list;
	for (char *line; (line = strtok_r(rest, "\n", &rest)) != NULL; odd_count++) {
		assert_in_range(odd_count, 0, ODD_MAX - 1);
		struct odd *odd = &odds[odd_count];
		assert_int_equal(sscanf(line, "%63s %7s %u %u %d %u %3s", odd->name, codec, &odd->width, &odd->height,
					 &odd->tolerance, &odd->orientation, odd->lossless),
			7);
		odd->codec = codec[0] == 'j' ? SHARD_JPEG : codec[0] == 'w' ? SHARD_WEBP : SHARD_PNG;
		odd->data = read_beside(odd->name, "", &odd->bytes);
	}
	free(list);
	assert_true(odd_count > 100);
	return 0;
}

static int unload(void **state)
{
	(void)state;
	for (unsigned i = 0; i < odd_count; i++)
		free(odds[i].data);
	codec_context_destroy(context);
	helper_folder_remove(folder);
	return 0;
}

static void need_images(void)
{
	if (odd_count > 0)
		return;
	print_message("no Pillow\n");
	skip();
}

static uint8_t *decode(
	const char *name, enum shard_codec codec, const void *data, size_t bytes, uint32_t width, uint32_t height)
{
	struct error err = {0};
	const size_t need = (size_t)width * height * 3;
	uint8_t *rgb = malloc(need);
	if (codec_decode(context, codec, data, bytes, width, height, rgb, need, &err) != 0)
		fail_msg("%s: %s", name, err.message);
	return rgb;
}

static int worst_difference(const uint8_t *a, const uint8_t *b, size_t bytes)
{
	int worst = 0;
	for (size_t i = 0; i < bytes; i++)
		worst = abs(a[i] - b[i]) > worst ? abs(a[i] - b[i]) : worst;
	return worst;
}

static void expect(const struct odd *odd, const uint8_t *rgb, const char *suffix, const char *what)
{
	size_t bytes;
	uint8_t *expected = read_beside(odd->name, suffix, &bytes);
	assert_int_equal(bytes, (size_t)odd->width * odd->height * 3);
	const int worst = worst_difference(rgb, expected, bytes);
	if (worst > odd->tolerance)
		fail_msg("%s, %s: %d levels off", odd->name, what, worst);
	free(expected);
}

/* The region that is the whole image. */
static void check_region(const struct odd *odd, const uint8_t *rgb)
{
	const size_t capacity = codec_region_bytes(odd->width, odd->height);
	uint8_t *buffer = malloc(capacity);
	struct codec_pixels made;
	const struct codec_region whole = {.width = odd->width, .height = odd->height, .scale = 1};
	assert_int_equal(codec_decode_region(context, odd->codec, odd->data, odd->bytes, odd->width, odd->height,
				 &whole, buffer, capacity, &made, NULL),
		0);
	for (uint32_t y = 0; y < odd->height; y++)
		for (uint32_t x = 0; x < odd->width; x++)
			if (memcmp(made.pixels + y * made.stride_bytes + (size_t)x * made.channels,
				    rgb + ((size_t)y * odd->width + x) * 3, 3) != 0)
				fail_msg("%s: the region's pixel %u, %u is another", odd->name, x, y);
	free(buffer);
}

static void decodes_like_pillow(void **state)
{
	(void)state;
	need_images();
	for (unsigned i = 0; i < odd_count; i++) {
		const struct odd *odd = &odds[i];
		struct codec_info info;
		struct error err = {0};
		if (odd->width == 0) {
			assert_int_equal(codec_probe(odd->data, odd->bytes, &info, &err), ERROR_DECODE);
			assert_non_null(strstr(err.message, "animation"));
			continue;
		}
		if (codec_probe(odd->data, odd->bytes, &info, &err) != 0)
			fail_msg("%s: %s", odd->name, err.message);
		assert_true(info.codec == odd->codec && info.width == odd->width && info.height == odd->height);
		uint8_t *rgb = decode(odd->name, odd->codec, odd->data, odd->bytes, odd->width, odd->height);
		expect(odd, rgb, ".rgb", "decoded");
		check_region(odd, rgb);
		if (codec_check(context, odd->codec, odd->data, odd->bytes, odd->width, odd->height, NULL, &err) != 0)
			fail_msg("%s: %s", odd->name, err.message);
		free(rgb);
	}
}

static void turns_like_pillow(void **state)
{
	(void)state;
	need_images();
	unsigned seen[9] = {0};
	for (unsigned i = 0; i < odd_count; i++) {
		const struct odd *odd = &odds[i];
		const unsigned orientation = exif_orientation(odd->codec, odd->data, odd->bytes);
		if (orientation != odd->orientation)
			fail_msg("%s: orientation %u, not %u", odd->name, orientation, odd->orientation);
		seen[orientation]++;
		if (odd->width == 0)
			continue;
		uint32_t width = odd->width, height = odd->height;
		uint8_t *rgb = decode(odd->name, odd->codec, odd->data, odd->bytes, width, height);
		uint8_t *turned = malloc((size_t)width * height * 3);
		exif_apply(rgb, &width, &height, orientation, turned);
		assert_int_equal(width, orientation > 4 ? odd->height : odd->width);
		expect(odd, turned, ".up", "turned");
		free(turned);
		free(rgb);
	}
	for (unsigned orientation = 1; orientation <= 8; orientation++)
		assert_in_range(seen[orientation], 10, ODD_MAX);
}

/* Turned without loss and back again, a JPEG decodes to the same pixels; turned, to nearly those that turning its
 * pixels gives: the inverse transform and the widening of chroma round differently from the other side. */
static void check_turn(const struct odd *odd, FILE *written)
{
	static const unsigned back[9] = {0, 1, 2, 3, 4, 5, 8, 7, 6};
	enum { ROUNDING = 5 };
	uint32_t width = odd->width, height = odd->height;
	void *turned, *again;
	size_t turned_bytes, again_bytes;
	const int code = codec_turn_jpeg(odd->data, odd->bytes, odd->orientation, &turned, &turned_bytes, NULL);
	if (code != (odd->lossless[0] == 'y' ? 0 : CODEC_TURN_LOSSY))
		fail_msg("%s: turning gave %d", odd->name, code);
	if (code != 0)
		return;
	uint8_t *rgb = decode(odd->name, SHARD_JPEG, odd->data, odd->bytes, width, height);
	uint8_t *up = malloc((size_t)width * height * 3);
	exif_apply(rgb, &width, &height, odd->orientation, up);
	uint8_t *decoded = decode(odd->name, SHARD_JPEG, turned, turned_bytes, width, height);
	const int worst = worst_difference(decoded, up, (size_t)width * height * 3);
	if (worst > (odd->orientation == 1 ? 0 : ROUNDING))
		fail_msg("%s: turned, %d levels off", odd->name, worst);
	assert_int_equal(exif_orientation(SHARD_JPEG, turned, turned_bytes), 1);
	assert_int_equal(codec_turn_jpeg(turned, turned_bytes, back[odd->orientation], &again, &again_bytes, NULL), 0);
	uint8_t *same = decode(odd->name, SHARD_JPEG, again, again_bytes, odd->width, odd->height);
	assert_memory_equal(same, rgb, (size_t)width * height * 3);
	char name[80];
	snprintf(name, sizeof name, "up_%.63s", odd->name);
	write_beside(name, turned, turned_bytes);
	fprintf(written, "%s\n", name);
	free(same);
	free(decoded);
	free(up);
	free(rgb);
	free(again);
	free(turned);
}

/* Every quality's file decodes near the picture, the better the nearer. */
static void write_encoded(FILE *written)
{
	static const uint32_t sizes[][2] = {{1, 1}, {37, 23}, {640, 3}, {65500, 2}};
	static const int qualities[] = {1, 50, 89, 90, 95, 100};
	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		const uint32_t width = sizes[i][0], height = sizes[i][1];
		const size_t need = (size_t)width * height * 3;
		uint8_t *rgb = malloc(need);
		for (size_t at = 0; at < need; at++)
			rgb[at] = (uint8_t)(30 + at / 3 % width * 180 / width + at % 3 * 20);
		for (unsigned q = 0; q < sizeof qualities / sizeof *qualities; q++) {
			void *data;
			size_t bytes;
			char name[80];
			assert_int_equal(codec_encode_jpeg(rgb, width, height, qualities[q], &data, &bytes, NULL), 0);
			uint8_t *decoded = decode("encoded", SHARD_JPEG, data, bytes, width, height);
			assert_in_range(
				worst_difference(rgb, decoded, need), 0, qualities[q] < 50 ? 60 : 102 - qualities[q]);
			snprintf(name, sizeof name, "quality%d_%ux%u.jpg", qualities[q], width, height);
			write_beside(name, data, bytes);
			fprintf(written, "%s\n", name);
			free(decoded);
			free(data);
		}
		free(rgb);
	}
}

/* What was written, as Pillow reads it. */
static void check_written(char *list)
{
	unsigned count = 0;
	for (char *line, *rest = list; (line = strtok_r(rest, "\n", &rest)) != NULL; count++) {
		char name[80];
		uint32_t width, height;
		unsigned orientation;
		int sampling, quality;
		assert_int_equal(sscanf(line, "%79s %u %u %u %d", name, &width, &height, &orientation, &sampling), 5);
		assert_int_equal(orientation, 1);
		if (sscanf(name, "quality%d", &quality) == 1)
			assert_int_equal(sampling, quality < 90 ? 2 : 0); /* 4:2:0, 4:4:4 */
		size_t bytes, pixel_bytes;
		unsigned char *data = read_beside(name, "", &bytes);
		uint8_t *pixels = read_beside(name, ".rgb", &pixel_bytes);
		uint8_t *rgb = decode(name, SHARD_JPEG, data, bytes, width, height);
		assert_int_equal(pixel_bytes, (size_t)width * height * 3);
		assert_in_range(worst_difference(rgb, pixels, pixel_bytes), 0, strstr(name, "cmyk") ? 1 : 0);
		free(rgb);
		free(pixels);
		free(data);
	}
	assert_in_range(count, 50, 1000);
}

static void pillow_reads_what_is_written(void **state)
{
	(void)state;
	need_images();
	char *path = helper_path(folder, "written.txt");
	FILE *written = fopen(path, "w");
	assert_non_null(written);
	for (unsigned i = 0; i < odd_count; i++)
		if (odds[i].lossless[0] != '-')
			check_turn(&odds[i], written);
	write_encoded(written);
	fclose(written);
	free(path);
	assert_true(python("read"));
	size_t bytes;
	char *list = (char *)read_beside("read.txt", "", &bytes);
	list = realloc(list, bytes + 1);
	list[bytes] = '\0';
	check_written(list);
	free(list);
}

/* Flipped bits and cuts of Exif data: any of the eight orientations, and no byte read that is not there. */
static void damaged_exif(void **state)
{
	(void)state;
	need_images();
	uint32_t random = 7;
	for (unsigned i = 0; i < odd_count; i++) {
		const struct odd *odd = &odds[i];
		if (odd->orientation == 1)
			continue;
		for (unsigned trial = 0; trial < 300; trial++) {
			random = random * 1664525 + 1013904223;
			const size_t bytes = trial % 3 == 0 ? random % odd->bytes : odd->bytes;
			unsigned char *hurt = malloc(bytes ? bytes : 1);
			memcpy(hurt, odd->data, bytes);
			for (unsigned flips = 0; flips < 3 && bytes > 0; flips++) {
				random = random * 1664525 + 1013904223;
				const size_t near = odd->codec == SHARD_JPEG ? 90 : odd->bytes;
				hurt[(random >> 3) % (near < bytes ? near : bytes)] ^=
					(unsigned char)(1U << (random & 7));
			}
			assert_in_range(exif_orientation(odd->codec, hurt, bytes), 1, 8);
			exif_reset_jpeg(hurt, bytes);
			free(hurt);
		}
	}
	/* A chunk of an odd length is padded. */
	static const unsigned char webp[] = "RIFF....WEBPVP8X\1\0\0\0-.EXIF\26\0\0\0II*\0\10\0\0\0\1\0"
					    "\22\1\3\0\1\0\0\0\6\0\0";
	assert_int_equal(exif_orientation(SHARD_WEBP, webp, sizeof webp), 6);
	static const unsigned char tiny[] = "\xff\xd8\xff\xe1\0\x10"
					    "Exif\0\0II*\0\xff\xff\xff\xff";
	for (size_t bytes = 0; bytes < sizeof tiny; bytes++) {
		unsigned char *tight = malloc(bytes ? bytes : 1);
		memcpy(tight, tiny, bytes);
		for (unsigned codec = 0; codec < SHARD_CODECS; codec++)
			assert_int_equal(exif_orientation((enum shard_codec)codec, tight, bytes), 1);
		free(tight);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_like_pillow),
		cmocka_unit_test(turns_like_pillow),
		cmocka_unit_test(pillow_reads_what_is_written),
		cmocka_unit_test(damaged_exif),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
