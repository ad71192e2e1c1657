/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Further operations on float images in [0,1]: mirrored and turned, solarized, cut out, edges, noise.
 *
 * Noise is counter-based: the four words of Philox4x32(counter = i, key) become, by Box-Muller, the normal numbers of
 * the floats 4 i to 4 i + 3. So every float has a number of its own, whatever is computed in which order.
 */
#include <math.h>
#include <string.h>

#include "stages/views.h"

static inline float clip(float value)
{
	return value < 0 ? 0 : value > 1 ? 1 : value;
}

static void swap_pixels(float *a, float *b)
{
	for (unsigned c = 0; c < 3; c++) {
		const float kept = a[c];
		a[c] = b[c];
		b[c] = kept;
	}
}

void pixels_vflip(float *image, uint32_t width, uint32_t height)
{
	const size_t row_floats = (size_t)width * 3;
	for (uint32_t y = 0; y < height / 2; y++) {
		float *upper = image + y * row_floats, *lower = image + (height - 1 - y) * row_floats;
		for (uint32_t x = 0; x < width; x++)
			swap_pixels(upper + 3UL * x, lower + 3UL * x);
	}
}

/* Transposed and mirrored: along the columns for one quarter, along the rows for three. */
void pixels_rotate90(float *image, uint32_t side, uint32_t quarters)
{
	if (quarters % 2 == 1)
		for (size_t y = 0; y < side; y++)
			for (size_t x = y + 1; x < side; x++)
				swap_pixels(image + (y * side + x) * 3, image + (x * side + y) * 3);
	if (quarters == 1 || quarters == 2)
		pixels_vflip(image, side, side);
	if (quarters == 2 || quarters == 3)
		pixels_flip(image, side, side);
}

void pixels_solarize(float *image, size_t pixels, float threshold)
{
	for (size_t i = 0; i < 3 * pixels; i++)
		image[i] = image[i] >= threshold ? 1 - image[i] : image[i];
}

void pixels_cutout(float *image, uint32_t image_width, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	for (uint32_t row = y; row < y + height; row++)
		memset(image + ((size_t)row * image_width + x) * 3, 0, width * 3UL * sizeof *image);
}

/* The neighbours of `at` on a line; beyond an edge, the one before it is seen again. */
static void neighbours(uint32_t at, uint32_t size, size_t *before, size_t *after)
{
	const uint32_t last = size - 1;
	*before = at > 0 ? at - 1 : last > 0 ? 1 : 0;
	*after = at < last ? at + 1 : last > 0 ? last - 1 : 0;
}

void pixels_sobel(float *image, uint32_t width, uint32_t height, float *scratch)
{
	const size_t row_floats = (size_t)width * 3;
	memcpy(scratch, image, height * row_floats * sizeof *image);
	for (uint32_t y = 0; y < height; y++) {
		size_t above, below, left, right;
		neighbours(y, height, &above, &below);
		const float *up = scratch + above * row_floats, *here = scratch + y * row_floats,
			    *down = scratch + below * row_floats;
		for (uint32_t x = 0; x < width; x++) {
			neighbours(x, width, &left, &right);
			for (size_t c = 0; c < 3; c++) {
				const size_t l = 3 * left + c, m = 3UL * x + c, r = 3 * right + c;
				const float dx = up[r] - up[l] + 2 * (here[r] - here[l]) + down[r] - down[l];
				const float dy = down[l] - up[l] + 2 * (down[m] - up[m]) + down[r] - up[r];
				image[y * row_floats + m] = clip(sqrtf(dx * dx + dy * dy));
			}
		}
	}
}

/* Two normal numbers of two words: the radius from (0,1], the angle from [0,1) turns. */
static void box_muller(uint32_t first, uint32_t second, float normal[2])
{
	const double radius = sqrt(-2 * log((first + 1.0) * 0x1p-32));
	const double angle = second * (0x1p-31 * 3.14159265358979323846);
	normal[0] = (float)(radius * cos(angle));
	normal[1] = (float)(radius * sin(angle));
}

void pixels_noise(float *image, size_t pixels, float sigma, const uint32_t key[2])
{
	for (size_t at = 0; at < 3 * pixels; at += 4) {
		const size_t left = 3 * pixels - at < 4 ? 3 * pixels - at : 4;
		const uint32_t counter[4] = {(uint32_t)(at / 4), 0, 0, 0};
		uint32_t words[4];
		float normal[4];
		philox4x32(counter, key, words);
		box_muller(words[0], words[1], normal);
		box_muller(words[2], words[3], normal + 2);
		for (size_t i = 0; i < left; i++)
			image[at + i] = clip(image[at + i] + sigma * normal[i]);
	}
}
