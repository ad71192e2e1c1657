/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our JPEG decoder against libjpeg-turbo: random images, samplings, qualities, restart intervals, regions and scales,
 * by every instruction set, must give equal pixels; so must whatever libjpeg-turbo decodes without a complaint of files
 * with changed bits. Damaged files may fail but not harm. With JPEG_SAMPLES=FOLDER, every *.jpg and *.JPEG in it too.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "pipeline/cpu.h"
#include "stages/codec.h"
#include "stages/jpeg_decode.h"
#include "stages/jpeg_huffman.h"

struct file {
	unsigned char *data;
	unsigned long bytes;
	uint32_t width, height;
};

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t limit)
{
	random_state = random_state * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)(random_state >> 4) * limit >> 28);
}

static unsigned isa_count(void)
{
	return (unsigned)cpu_detect() + 1;
}

/* ---------------------------------------------------------------------------------------------------- libjpeg-turbo */

struct guard {
	struct jpeg_error_mgr errors;
	jmp_buf escape;
};

__attribute__((noreturn)) static void give_up(j_common_ptr info)
{
	longjmp(((struct guard *)info->err)->escape, 1);
}

static void complain(j_common_ptr info, int level)
{
	const int code = info->err->msg_code;
	if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_NOT_SEQUENTIAL && code != JWRN_ADOBE_XFORM &&
		code != JWRN_JFIF_MAJOR && code != JWRN_TOO_MUCH_DATA)
		give_up(info);
}

/* RGBX of the whole image; NULL when libjpeg-turbo has anything to say against the file, or it has another size. */
static uint8_t *reference(const struct file *file, unsigned scale)
{
	struct jpeg_decompress_struct decoder;
	struct guard guard;
	uint8_t *volatile pixels = NULL;
	decoder.err = jpeg_std_error(&guard.errors);
	guard.errors.error_exit = give_up;
	guard.errors.emit_message = complain;
	if (setjmp(guard.escape) != 0) {
		jpeg_destroy_decompress(&decoder);
		free(pixels);
		return NULL;
	}
	jpeg_create_decompress(&decoder);
	jpeg_mem_src(&decoder, file->data, file->bytes);
	jpeg_read_header(&decoder, TRUE);
	if (decoder.image_width != file->width || decoder.image_height != file->height || decoder.num_components == 4)
		give_up((j_common_ptr)&decoder);
	decoder.scale_num = 8 / scale;
	decoder.scale_denom = 8;
	decoder.out_color_space = JCS_EXT_RGBX;
	jpeg_start_decompress(&decoder);
	const size_t row_bytes = (size_t)decoder.output_width * 4;
	pixels = malloc(row_bytes * decoder.output_height);
	while (decoder.output_scanline < decoder.output_height) {
		JSAMPROW row = pixels + decoder.output_scanline * row_bytes;
		jpeg_read_scanlines(&decoder, &row, 1);
	}
	jpeg_finish_decompress(&decoder);
	jpeg_destroy_decompress(&decoder);
	return pixels;
}

struct recipe {
	uint32_t width, height;
	int components, horizontal, vertical; /* luma's sampling */
	int quality, restart;		      /* restart: MCUs, or -1: each row */
	int optimised, progressive;
	uint32_t noise;
};

static struct file encode(const struct recipe *recipe)
{
	struct file file = {.width = recipe->width, .height = recipe->height};
	struct jpeg_compress_struct encoder;
	struct jpeg_error_mgr errors;
	encoder.err = jpeg_std_error(&errors);
	jpeg_create_compress(&encoder);
	jpeg_mem_dest(&encoder, &file.data, &file.bytes);
	encoder.image_width = recipe->width;
	encoder.image_height = recipe->height;
	encoder.input_components = recipe->components;
	encoder.in_color_space = recipe->components == 1 ? JCS_GRAYSCALE : JCS_RGB;
	jpeg_set_defaults(&encoder);
	jpeg_set_quality(&encoder, recipe->quality, TRUE);
	encoder.comp_info[0].h_samp_factor = recipe->horizontal;
	encoder.comp_info[0].v_samp_factor = recipe->vertical;
	encoder.optimize_coding = recipe->optimised;
	if (recipe->progressive)
		jpeg_simple_progression(&encoder);
	if (recipe->restart < 0)
		encoder.restart_in_rows = 1;
	else
		encoder.restart_interval = (unsigned)recipe->restart;
	jpeg_start_compress(&encoder, TRUE);
	const size_t row_bytes = (size_t)recipe->width * (size_t)recipe->components;
	uint8_t *line = malloc(row_bytes);
	for (uint32_t y = 0; y < recipe->height; y++) {
		JSAMPROW row = line;
		for (size_t i = 0; i < row_bytes; i++)
			line[i] = (uint8_t)((i * 3 + y * 5 + (i / 24 + y / 9) % 2 * 90) +
					    random_below(recipe->noise + 1));
		jpeg_write_scanlines(&encoder, &row, 1);
	}
	free(line);
	jpeg_finish_compress(&encoder);
	jpeg_destroy_compress(&encoder);
	return file;
}

static struct recipe random_recipe(uint32_t side)
{
	static const int samplings[][3] = {{1, 1, 1}, {1, 2, 2}, {3, 1, 1}, {3, 2, 1}, {3, 2, 2}};
	const int *sampling = samplings[random_below(5)];
	static const int restarts[] = {0, 0, -1, 1, 2, 3, 7};
	return (struct recipe){.width = 1 + random_below(side),
		.height = 1 + random_below(side),
		.components = sampling[0],
		.horizontal = sampling[1],
		.vertical = sampling[2],
		.quality = (int)(1 + random_below(100)),
		.restart = restarts[random_below(7)],
		.optimised = random_below(2) == 0,
		.noise = random_below(2) == 0 ? 255 : random_below(40)};
}

/* ------------------------------------------------------------------------------------------------------ comparisons */

static struct codec_region random_region(const struct file *file, unsigned scale)
{
	struct codec_region region = {.x = random_below(file->width), .y = random_below(file->height), .scale = scale};
	region.width = 1 + random_below(file->width - region.x);
	region.height = 1 + random_below(file->height - region.y);
	return region;
}

/* The pixels made are `pixels`'s, and hold the region. */
static void check_pixels(const struct codec_pixels *made, const struct codec_region *region, const struct file *file,
	const uint8_t *pixels, const char *what)
{
	const uint32_t scale = region->scale;
	assert_int_equal(made->scale, scale);
	assert_int_equal(made->image_width, (file->width + scale - 1) / scale);
	assert_int_equal(made->image_height, (file->height + scale - 1) / scale);
	assert_true(made->x <= region->x / scale && made->y <= region->y / scale);
	assert_true(made->x + made->width >= (region->x + region->width + scale - 1) / scale);
	assert_true(made->y + made->height >= (region->y + region->height + scale - 1) / scale);
	for (uint32_t y = 0; y < made->height; y++)
		for (uint32_t x = 0; x < made->width; x++) {
			const uint8_t *ours = made->pixels + y * made->stride_bytes + (size_t)x * made->channels;
			const uint8_t *theirs = pixels + ((size_t)(y + made->y) * made->image_width + x + made->x) * 4;
			if (memcmp(ours, theirs, 3) != 0)
				fail_msg("%s: 1/%u of %ux%u, region %u,%u %ux%u: pixel %u,%u is %u %u %u, not %u %u %u",
					what, scale, file->width, file->height, region->x, region->y, region->width,
					region->height, x + made->x, y + made->y, ours[0], ours[1], ours[2], theirs[0],
					theirs[1], theirs[2]);
		}
}

/* Whether files may be of kinds that are not ours, and how many calls were. */
static bool may_leave;
static unsigned left_to_libjpeg;

/* By our own decoder, into a buffer without a byte to spare. */
static void check_own(struct jpeg_decoder *decoder, const struct file *file, const struct codec_region *region,
	const uint8_t *pixels, const char *what)
{
	struct codec_pixels made;
	struct error err = {0};
	const size_t capacity = codec_region_bytes(file->width, file->height);
	uint8_t *buffer = malloc(capacity);
	const int result = jpeg_decode_region(
		decoder, file->data, file->bytes, file->width, file->height, region, buffer, capacity, &made, &err);
	if (result != 0 && (result != JPEG_NOT_OURS || !may_leave))
		fail_msg("%s: %ux%u: %s", what, file->width, file->height,
			result == JPEG_NOT_OURS ? "left to libjpeg" : err.message);
	if (result == 0)
		check_pixels(&made, region, file, pixels, what);
	left_to_libjpeg += result != 0;
	free(buffer);
}

/* The whole image and some regions, at all scales. */
static void check_file(
	struct jpeg_decoder *const decoders[], const struct file *file, unsigned regions, const char *what)
{
	for (unsigned scale = 1; scale <= 8; scale *= 2) {
		uint8_t *pixels = reference(file, scale);
		assert_non_null(pixels);
		for (unsigned i = 0; i < isa_count(); i++) {
			struct codec_region region = {.width = file->width, .height = file->height, .scale = scale};
			check_own(decoders[i], file, &region, pixels, what);
			for (unsigned r = 0; r < regions; r++) {
				region = random_region(file, scale);
				check_own(decoders[i], file, &region, pixels, what);
			}
		}
		free(pixels);
	}
}

static int make_decoders(void **state)
{
	static struct jpeg_decoder *decoders[4];
	for (unsigned i = 0; i < isa_count(); i++) {
		decoders[i] = jpeg_decoder_create((enum cpu_isa)i);
		if (decoders[i] == NULL)
			return -1;
	}
	*state = (void *)decoders;
	return 0;
}

static int free_decoders(void **state)
{
	struct jpeg_decoder **decoders = *state;
	for (unsigned i = 0; i < isa_count(); i++)
		jpeg_decoder_destroy(decoders[i]);
	return 0;
}

/* ------------------------------------------------------------------------------------------------------------ tests */

static void all_small_sizes(void **state)
{
	struct jpeg_decoder **decoders = *state;
	static const int samplings[][3] = {{1, 1, 1}, {3, 1, 1}, {3, 2, 1}, {3, 2, 2}};
	for (unsigned s = 0; s < 4; s++)
		for (uint32_t width = 1; width <= 40; width++)
			for (uint32_t height = 1; height <= 40; height += width % 8 < 2 ? 1 : 7) {
				const struct recipe recipe = {.width = width,
					.height = height,
					.components = samplings[s][0],
					.horizontal = samplings[s][1],
					.vertical = samplings[s][2],
					.quality = 90,
					.noise = 100};
				struct file file = encode(&recipe);
				check_file(decoders, &file, 0, "small");
				free(file.data);
			}
}

static void random_images(void **state)
{
	for (unsigned i = 0; i < 500; i++) {
		const struct recipe recipe = random_recipe(i < 450 ? 70 : 400);
		struct file file = encode(&recipe);
		check_file(*state, &file, 2, "random");
		free(file.data);
	}
}

/* What our decoder leaves to libjpeg comes out right as well. */
static void others_go_to_libjpeg(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_context *context = codec_context_create(cpu_detect(), &err);
	for (unsigned i = 0; i < 60; i++) {
		struct recipe recipe = random_recipe(70);
		recipe.progressive = i % 2 == 0;
		if (!recipe.progressive && recipe.components == 3) {
			recipe.horizontal = 1;
			recipe.vertical = 2;
		}
		struct file file = encode(&recipe);
		for (unsigned scale = 1; scale <= 8; scale *= 2) {
			uint8_t *pixels = reference(&file, scale);
			const struct codec_region region = random_region(&file, scale);
			const size_t capacity = codec_region_bytes(file.width, file.height);
			uint8_t *buffer = malloc(capacity);
			struct codec_pixels made;
			assert_int_equal(codec_decode_region(context, SHARD_JPEG, file.data, file.bytes, file.width,
						 file.height, &region, buffer, capacity, &made, &err),
				0);
			check_pixels(&made, &region, &file, pixels, "libjpeg");
			free(buffer);
			free(pixels);
		}
		free(file.data);
	}
	codec_context_destroy(context);
}

static void damage(struct file *file, unsigned kind)
{
	if (kind % 8 == 0) {
		file->bytes = random_below((uint32_t)file->bytes);
		return;
	}
	/* Mostly behind the headers, whose damage both refuse. */
	const uint32_t start = kind % 4 == 1 || file->bytes < 700 ? 0 : 620;
	for (unsigned i = 0; i <= kind % 3; i++) {
		unsigned char *at = file->data + start + random_below((uint32_t)file->bytes - start);
		const uint32_t value = kind % 16 == 3 ? random_below(256) : *at ^ 1U << random_below(8);
		*at = (unsigned char)value;
	}
}

/* Whatever libjpeg-turbo takes, equals; the rest may be an error; the same call again gives the same. */
static void damaged_files(void **state)
{
	(void)state;
	struct error err = {0};
	struct codec_context *contexts[4];
	for (unsigned i = 0; i < isa_count(); i++)
		contexts[i] = codec_context_create((enum cpu_isa)i, &err);
	unsigned decoded = 0, refused = 0;
	for (unsigned i = 0; i < 6000; i++) {
		struct recipe recipe = random_recipe(48);
		struct file file = encode(&recipe), tight;
		damage(&file, i);
		tight = file;
		tight.data = malloc(file.bytes + 1);
		memcpy(tight.data, file.data, file.bytes);
		tight.data = realloc(tight.data, file.bytes == 0 ? 1 : file.bytes);
		const unsigned scale = 1U << (i / 3 % 4);
		uint8_t *pixels = reference(&tight, scale);
		const size_t capacity = codec_region_bytes(file.width, file.height);
		uint8_t *buffer = malloc(capacity);
		const struct codec_region regions[2] = {
			{.width = file.width, .height = file.height, .scale = scale}, random_region(&file, scale)};
		for (unsigned r = 0; r < 2; r++) {
			int first = 0;
			for (unsigned c = 0; c < isa_count(); c++) {
				struct codec_pixels made;
				err = (struct error){0};
				const int result = codec_decode_region(contexts[c], SHARD_JPEG, tight.data, tight.bytes,
					file.width, file.height, &regions[r], buffer, capacity, &made, &err);
				assert_true(result == 0 || result == ERROR_DECODE);
				assert_true(c == 0 || result == first);
				first = result;
				if (pixels != NULL && result != 0)
					fail_msg("file %u: libjpeg takes it, but: %s", i, err.message);
				if (pixels != NULL)
					check_pixels(&made, &regions[r], &file, pixels, "damaged");
				/* Nothing cut or garbled goes through where everything is looked at. */
				if (r == 0 && pixels == NULL && result == 0)
					fail_msg("file %u: libjpeg refuses it, ours does not", i);
			}
		}
		err = (struct error){0};
		const int verdict = codec_check(
			contexts[0], SHARD_JPEG, tight.data, tight.bytes, file.width, file.height, NULL, &err);
		if ((verdict == 0) != (pixels != NULL))
			fail_msg("file %u: libjpeg %s it, the check says: %s", i, pixels != NULL ? "takes" : "refuses",
				verdict == 0 ? "sound" : err.message);
		decoded += pixels != NULL;
		refused += pixels == NULL;
		free(pixels);
		free(buffer);
		free(tight.data);
		free(file.data);
	}
	assert_true(decoded > 500 && refused > 500);
	for (unsigned i = 0; i < isa_count(); i++)
		codec_context_destroy(contexts[i]);
}

/* As libjpeg has it: a code may not be all ones, and there must be room for all. */
static void huffman_codes(void **state)
{
	(void)state;
	struct jpeg_huffman table;
	uint8_t definition[16 + 256] = {1};
	assert_true(jpeg_huffman_make(&table, true, definition));
	definition[0] = 2;
	assert_false(jpeg_huffman_make(&table, true, definition));
	definition[0] = 1;
	definition[1] = 1;
	assert_true(jpeg_huffman_make(&table, true, definition));
	definition[1] = 2;
	assert_false(jpeg_huffman_make(&table, true, definition));
	definition[1] = 0;
	definition[15] = 255;
	assert_true(jpeg_huffman_make(&table, true, definition));
	definition[16] = 16;
	assert_false(jpeg_huffman_make(&table, false, definition));
}

static void samples_of_a_folder(void **state)
{
	const char *folder = getenv("JPEG_SAMPLES");
	if (folder == NULL) {
		print_message("JPEG_SAMPLES is not set\n");
		skip();
	}
	char pattern[1024];
	glob_t found;
	snprintf(pattern, sizeof pattern, "%s/*.[jJ][pP]*[gG]", folder);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	may_leave = true;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		FILE *stream = fopen(found.gl_pathv[i], "rb");
		struct file file = {.data = malloc(64 << 20)};
		assert_true(stream != NULL && file.data != NULL);
		file.bytes = fread(file.data, 1, 64 << 20, stream);
		fclose(stream);
		struct codec_info info;
		struct error err = {0};
		assert_int_equal(codec_probe(file.data, file.bytes, &info, &err), 0);
		file.width = info.width;
		file.height = info.height;
		check_file(*state, &file, 1, found.gl_pathv[i]);
		free(file.data);
	}
	may_leave = false;
	print_message("%zu files, %u of %zu calls left to libjpeg\n", found.gl_pathc, left_to_libjpeg,
		found.gl_pathc * isa_count() * 4 * 2);
	assert_true(left_to_libjpeg < found.gl_pathc * isa_count());
	globfree(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_small_sizes),
		cmocka_unit_test(random_images),
		cmocka_unit_test(others_go_to_libjpeg),
		cmocka_unit_test(damaged_files),
		cmocka_unit_test(huffman_codes),
		cmocka_unit_test(samples_of_a_folder),
	};
	return cmocka_run_group_tests(tests, make_decoders, free_decoders);
}
