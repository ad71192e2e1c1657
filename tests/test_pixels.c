/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pixel kernels of every instruction set against the scalar reference (views.h), by random rectangles, sizes,
 * operations and images, and against sums in double precision where a rectangle begins within a pixel.
 *
 * Buffers have not a byte more than promised, and what lies in scratch and output before must not matter.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/philox.h"
#include "stages/pixels_kernels.h"
#include "stages/views.h"

/* Sums in another order, fused multiply-adds: 3e-6 was the most seen, after eight operations. */
#define MOST_DIFFERENCE 5e-6

enum { MAX_SIDE = 260, CASES = 250 };

static struct philox draws;

static uint32_t below(uint32_t bound)
{
	return (uint32_t)((uint64_t)philox_u32(&draws) * bound >> 32);
}

static float between(double low, double high)
{
	return (float)(low + (high - low) * philox_u32(&draws) * 0x1p-32);
}

static void *aligned(size_t bytes)
{
	void *memory = NULL;
	assert_int_equal(posix_memalign(&memory, 64, bytes), 0);
	memset(memory, 0xff, bytes); /* NaNs */
	return memory;
}

/* An image of one of the kinds that show mistakes: noise, black and white, almost gray, a slope. */
static uint8_t *draw_image(uint32_t width, uint32_t height, unsigned channels, unsigned kind)
{
	uint8_t *image = aligned((size_t)width * height * channels);
	for (size_t i = 0; i < (size_t)width * height; i++)
		for (unsigned c = 0; c < 3; c++) {
			static const uint32_t ranges[] = {256, 2, 3, 1};
			const uint32_t value = below(ranges[kind]);
			image[channels * i + c] = (uint8_t)(kind == 1	? value * 255
							    : kind == 2 ? 100 + value
							    : kind == 3 ? i % width + i / width
									: value);
		}
	return image;
}

static uint8_t *packed(const uint8_t *rgbx, size_t pixels)
{
	uint8_t *rgb = aligned(3 * pixels);
	for (size_t i = 0; i < pixels; i++)
		memcpy(rgb + 3 * i, rgbx + 4 * i, 3);
	return rgb;
}

static size_t draw_ops(struct pixels_op *ops, uint32_t size)
{
	const size_t count = below(9);
	for (size_t i = 0; i < count; i++) {
		ops[i] = (struct pixels_op){.kind = (enum pixels_op_kind)below(PIXELS_BLUR + 1)};
		ops[i].taps = pixels_blur_taps(size);
		ops[i].value = ops[i].kind == PIXELS_HUE    ? between(-0.5, 0.5)
			       : ops[i].kind == PIXELS_BLUR ? between(0.1, 2.0)
							    : between(0.1, 1.8);
	}
	return count;
}

static void apply_reference(float *image, uint32_t size, const struct pixels_op *op)
{
	const size_t pixels = (size_t)size * size;
	switch (op->kind) {
	case PIXELS_BRIGHTNESS:
		pixels_brightness(image, pixels, op->value);
		break;
	case PIXELS_CONTRAST:
		pixels_contrast(image, pixels, op->value);
		break;
	case PIXELS_SATURATION:
		pixels_saturation(image, pixels, op->value);
		break;
	case PIXELS_HUE:
		pixels_hue(image, pixels, op->value);
		break;
	case PIXELS_GRAY:
		pixels_gray(image, pixels);
		break;
	case PIXELS_SOLARIZE:
		pixels_solarize(image, pixels, op->value);
		break;
	case PIXELS_BLUR: {
		float *scratch = aligned(pixels_blur_scratch_floats(size, size, op->taps) * sizeof(float));
		pixels_blur(image, size, size, op->taps, op->value, scratch);
		free(scratch);
		break;
	}
	}
}

/* Solarize jumps at its threshold: a pixel whose value is there to the last bits may fall either way. */
static void check_equal(const float *wanted, const float *got, size_t floats, bool jumps, const char *name)
{
	size_t jumped = 0;
	for (size_t i = 0; i < floats; i++) {
		const double difference = fabs((double)wanted[i] - (double)got[i]);
		if (difference <= MOST_DIFFERENCE)
			continue;
		jumped++;
		if (!jumps || jumped > 3 + floats / 2000)
			fail_msg("%s: float %zu of %zu is %.9g, the reference has %.9g", name, i, floats,
				(double)got[i], (double)wanted[i]);
	}
}

struct drawn_case {
	uint32_t width, height, x, y, crop_width, crop_height, size;
	bool flip, jumps;
	uint8_t *rgbx, *rgb;
	struct pixels_op ops[8];
	size_t count;
};

static struct drawn_case draw_case(void)
{
	struct drawn_case c = {.width = 1 + below(MAX_SIDE), .height = 1 + below(MAX_SIDE), .size = 8 + below(60)};
	if (below(8) == 0)
		c.size = below(2) ? 128 : 144; /* large enough to go past the caches */
	c.x = below(c.width);
	c.y = below(c.height);
	c.crop_width = 1 + below(c.width - c.x);
	c.crop_height = 1 + below(c.height - c.y);
	c.flip = below(2);
	c.rgbx = draw_image(c.width, c.height, 4, below(4));
	c.rgb = packed(c.rgbx, (size_t)c.width * c.height);
	c.count = draw_ops(c.ops, c.size);
	for (size_t i = 0; i < c.count; i++)
		c.jumps |= c.ops[i].kind == PIXELS_SOLARIZE;
	return c;
}

static float *reference_of(const struct drawn_case *c)
{
	float *scratch =
		aligned(pixels_resized_crop_scratch_floats(c->width, c->height, c->size, c->size) * sizeof(float));
	float *view = aligned((size_t)c->size * c->size * 3 * sizeof(float));
	pixels_resized_crop(c->rgb, c->width, c->height, c->x, c->y, c->crop_width, c->crop_height, c->size, c->size,
		scratch, view);
	if (c->flip)
		pixels_flip(view, c->size, c->size);
	for (size_t i = 0; i < c->count; i++)
		apply_reference(view, c->size, &c->ops[i]);
	free(scratch);
	return view;
}

static void test_views_equal_the_reference(void **state)
{
	(void)state;
	draws = philox_stream(1, 0, 0, 0, PHILOX_AUGMENT);
	for (int n = 0; n < CASES; n++) {
		const struct drawn_case c = draw_case();
		const size_t floats = (size_t)c.size * c.size * 3;
		float *wanted = reference_of(&c);
		for (int isa = 0; isa <= (int)cpu_detect(); isa++) {
			const struct pixel_kernels *kernels = pixel_kernels_for((enum cpu_isa)isa);
			for (unsigned channels = 3; channels <= 4; channels++) {
				const struct pixels_source source = {
					.pixels = channels == 3 ? c.rgb : c.rgbx,
					.stride_bytes = (size_t)c.width * channels,
					.channels = channels,
					.x = c.x,
					.y = c.y,
					.width = c.crop_width,
					.height = c.crop_height,
				};
				float *scratch = aligned(
					pixels_scratch_floats(c.crop_width, c.crop_height, c.size) * sizeof(float));
				float *view = aligned(floats * sizeof(float));
				kernels->render(&source, c.size, c.flip, c.ops, c.count, scratch, view);
				check_equal(wanted, view, floats, c.jumps, kernels->name);
				free(scratch);
				free(view);
			}
		}
		free(wanted);
		free(c.rgb);
		free(c.rgbx);
	}
}

/* Operations in two calls, the second on what the batch holds, are the operations in one. */
static void test_operations_go_on_where_they_stopped(void **state)
{
	(void)state;
	draws = philox_stream(2, 0, 0, 0, PHILOX_AUGMENT);
	for (int n = 0; n < 40; n++) {
		struct drawn_case c = draw_case();
		const size_t floats = (size_t)c.size * c.size * 3, half = c.count / 2;
		float *wanted = reference_of(&c);
		const struct pixels_source source = {c.rgb, 3UL * c.width, 3, c.x, c.y, c.crop_width, c.crop_height};
		for (int isa = 0; isa <= (int)cpu_detect(); isa++) {
			const struct pixel_kernels *kernels = pixel_kernels_for((enum cpu_isa)isa);
			float *scratch =
				aligned(pixels_scratch_floats(c.crop_width, c.crop_height, c.size) * sizeof(float));
			float *view = aligned(floats * sizeof(float));
			kernels->render(&source, c.size, c.flip, c.ops, half, scratch, view);
			kernels->render(NULL, c.size, false, c.ops + half, c.count - half, scratch, view);
			check_equal(wanted, view, floats, c.jumps, kernels->name);
			free(scratch);
			free(view);
		}
		free(wanted);
		free(c.rgb);
		free(c.rgbx);
	}
}

static double cubic(double x)
{
	x = fabs(x);
	if (x < 1)
		return (1.5 * x - 2.5) * x * x + 1;
	return x < 2 ? -0.5 * (((x - 5) * x + 8) * x - 4) : 0;
}

/* One output pixel's weighted mean along an axis, of the pixels that the rectangle touches. */
static double resample(const double *in, double first, double extent, uint32_t size, uint32_t at)
{
	const double scale = extent / size, stretch = scale > 1 ? scale : 1;
	const double centre = first + scale * (at + 0.5);
	double sum = 0, weights = 0;
	for (uint32_t j = (uint32_t)floor(first); j < (uint32_t)ceil(first + extent); j++) {
		/* Pixels whose centres round outside the filter do not count: their weight is next to nothing. */
		const double weight = cubic((j + 0.5 - centre) / stretch);
		sum += weight * in[j];
		weights += weight;
	}
	return sum / weights;
}

static void test_rectangles_may_begin_within_a_pixel(void **state)
{
	(void)state;
	enum { WIDTH = 61, HEIGHT = 47, SIZE = 16 };
	draws = philox_stream(3, 0, 0, 0, PHILOX_AUGMENT);
	uint8_t *image = draw_image(WIDTH, HEIGHT, 4, 0);
	for (int n = 0; n < 20; n++) {
		struct pixels_source source = {.pixels = image, .stride_bytes = WIDTH * 4, .channels = 4};
		source.x = below(80) / 8.0;
		source.y = below(80) / 8.0;
		source.width = 16 + below(8 * (WIDTH - 27)) / 8.0;
		source.height = 16 + below(8 * (HEIGHT - 27)) / 8.0;
		static double rows[SIZE][WIDTH], column[HEIGHT], wanted[SIZE][SIZE];
		for (uint32_t x = 0; x < WIDTH; x++) {
			for (uint32_t y = 0; y < HEIGHT; y++)
				column[y] = image[4 * (y * WIDTH + x) + 1] / 255.0;
			for (uint32_t y = 0; y < SIZE; y++)
				rows[y][x] = resample(column, source.y, source.height, SIZE, y);
		}
		for (uint32_t y = 0; y < SIZE; y++)
			for (uint32_t x = 0; x < SIZE; x++)
				wanted[y][x] = fmin(fmax(resample(rows[y], source.x, source.width, SIZE, x), 0), 1);
		float *scratch = aligned(pixels_scratch_floats(WIDTH, HEIGHT, SIZE) * sizeof(float));
		float view[SIZE * SIZE * 3];
		for (int isa = 0; isa <= (int)cpu_detect(); isa++) {
			pixel_kernels_for((enum cpu_isa)isa)->render(&source, SIZE, false, NULL, 0, scratch, view);
			for (uint32_t i = 0; i < SIZE * SIZE; i++)
				assert_true(fabs((double)view[3 * i + 1] - wanted[i / SIZE][i % SIZE]) < 2e-5);
		}
		free(scratch);
	}
	free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_views_equal_the_reference),
		cmocka_unit_test(test_operations_go_on_where_they_stopped),
		cmocka_unit_test(test_rectangles_may_begin_within_a_pixel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
