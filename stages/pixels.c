/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on the colours of float images in [0,1], flip and blur, each with the arithmetic of torchvision's function
 * (transforms.functional, on float tensors), in the same order, in single precision.
 *
 * Images are interleaved (R G B R G B ...). Where an operation mixes the channels of a pixel, a block of pixels is
 * taken apart into three short arrays first: the arithmetic then runs along arrays, which the compiler turns into
 * vectors.
 */
#include <math.h>
#include <string.h>

#include "stages/views.h"

enum { BLOCK = 64 }; /* pixels */

struct block {
	float r[BLOCK], g[BLOCK], b[BLOCK];
};

/* Pixels beyond `count` keep what they were: results of them are computed and never stored. */
static void block_load(struct block *block, const float *image, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		block->r[i] = image[3 * i];
		block->g[i] = image[3 * i + 1];
		block->b[i] = image[3 * i + 2];
	}
}

static void block_store(const struct block *block, float *image, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		image[3 * i] = block->r[i];
		image[3 * i + 1] = block->g[i];
		image[3 * i + 2] = block->b[i];
	}
}

static size_t block_count(size_t pixels, size_t first)
{
	return pixels - first < BLOCK ? pixels - first : BLOCK;
}

/* rgb_to_grayscale's weights for float tensors. */
static void block_luma(const struct block *block, float luma[BLOCK])
{
	for (size_t i = 0; i < BLOCK; i++)
		luma[i] = 0.2989F * block->r[i] + 0.587F * block->g[i] + 0.114F * block->b[i];
}

static inline float clip(float value)
{
	return value < 0 ? 0 : value > 1 ? 1 : value;
}

void pixels_flip(float *image, uint32_t width, uint32_t height)
{
	for (uint32_t y = 0; y < height; y++) {
		float *left = image + (size_t)y * width * 3;
		float *right = left + (size_t)width * 3 - 3;
		for (; left < right; left += 3, right -= 3)
			for (unsigned c = 0; c < 3; c++) {
				const float kept = left[c];
				left[c] = right[c];
				right[c] = kept;
			}
	}
}

void pixels_brightness(float *image, size_t pixels, float factor)
{
	for (size_t i = 0; i < 3 * pixels; i++)
		image[i] = clip(factor * image[i]);
}

/* The mean is summed in double precision, in an order that depends on the number of pixels alone. */
static float mean_luma(const float *image, size_t pixels)
{
	struct block block = {0};
	float luma[BLOCK];
	double sums[BLOCK] = {0}, sum = 0;
	for (size_t at = 0; at < pixels; at += BLOCK) {
		const size_t count = block_count(pixels, at);
		block_load(&block, image + 3 * at, count);
		block_luma(&block, luma);
		for (size_t i = 0; i < count; i++)
			sums[i] += (double)luma[i];
	}
	for (size_t i = 0; i < BLOCK; i++)
		sum += sums[i];
	return (float)(sum / (double)pixels);
}

void pixels_contrast(float *image, size_t pixels, float factor)
{
	const float rest = (float)(1 - (double)factor) * mean_luma(image, pixels);
	for (size_t i = 0; i < 3 * pixels; i++)
		image[i] = clip(factor * image[i] + rest);
}

void pixels_saturation(float *image, size_t pixels, float factor)
{
	const float other = (float)(1 - (double)factor);
	struct block block = {0};
	float luma[BLOCK];
	for (size_t at = 0; at < pixels; at += BLOCK) {
		const size_t count = block_count(pixels, at);
		block_load(&block, image + 3 * at, count);
		block_luma(&block, luma);
		for (size_t i = 0; i < BLOCK; i++) {
			block.r[i] = clip(factor * block.r[i] + other * luma[i]);
			block.g[i] = clip(factor * block.g[i] + other * luma[i]);
			block.b[i] = clip(factor * block.b[i] + other * luma[i]);
		}
		block_store(&block, image + 3 * at, count);
	}
}

void pixels_gray(float *image, size_t pixels)
{
	struct block block = {0};
	float luma[BLOCK];
	for (size_t at = 0; at < pixels; at += BLOCK) {
		const size_t count = block_count(pixels, at);
		block_load(&block, image + 3 * at, count);
		block_luma(&block, luma);
		for (size_t i = 0; i < count; i++)
			image[3 * (at + i)] = image[3 * (at + i) + 1] = image[3 * (at + i) + 2] = luma[i];
	}
}

/* RGB to hue, saturation, value; shift; back. A gray pixel has no hue: its divisors are 1 instead of 0, and its
 * saturation of 0 makes any hue the same gray. */
static void block_hue(struct block *block, float shift)
{
	for (size_t i = 0; i < BLOCK; i++) {
		const float r = block->r[i], g = block->g[i], b = block->b[i];
		const float rg_high = r > g ? r : g, rg_low = r > g ? g : r;
		const float high = rg_high > b ? rg_high : b, low = rg_low < b ? rg_low : b;
		const float range = high - low;
		const float saturation = range / (range == 0 ? 1.0F : high);
		const float divisor = range == 0 ? 1.0F : range;
		const float rc = (high - r) / divisor, gc = (high - g) / divisor, bc = (high - b) / divisor;
		float hue = high == r ? bc - gc : high == g ? 2.0F + rc - bc : 4.0F + gc - rc;
		hue = hue / 6.0F + 1.0F;
		hue = (hue >= 1 ? hue - 1.0F : hue) + shift;
		hue = hue >= 1 ? hue - 1.0F : hue < 0 ? hue + 1.0F : hue;

		const float turn = hue * 6.0F; /* 0 red, 2 green, 4 blue; 6 by rounding, which is red again */
		const float fraction = turn - (float)(int)turn;
		const int sextant = (int)turn == 6 ? 0 : (int)turn;
		const float p = clip(high * (1.0F - saturation));
		const float q = clip(high * (1.0F - saturation * fraction));
		const float t = clip(high * (1.0F - saturation * (1.0F - fraction)));
		const bool falling = sextant & 1;
		const float edge = falling ? q : t; /* the channel between the highest and the lowest */
		const int pair = sextant >> 1;
		/* The highest channel by sextant: r g g b b r; the lowest: b b r r g g. */
		const float first = falling ? edge : high, second = falling ? high : edge;
		block->r[i] = pair == 0 ? first : pair == 1 ? p : second;
		block->g[i] = pair == 0 ? second : pair == 1 ? first : p;
		block->b[i] = pair == 0 ? p : pair == 1 ? second : first;
	}
}

void pixels_hue(float *image, size_t pixels, float shift)
{
	struct block block = {0};
	for (size_t at = 0; at < pixels; at += BLOCK) {
		const size_t count = block_count(pixels, at);
		block_load(&block, image + 3 * at, count);
		block_hue(&block, shift);
		block_store(&block, image + 3 * at, count);
	}
}

/* weights[d]: of the pixels d away from the centre, d = 0..taps / 2; the whole sums to 1. */
static void gaussian(float *weights, uint32_t taps, float sigma)
{
	double sum = 0;
	for (uint32_t pass = 0; pass < 2; pass++)
		for (uint32_t d = 0; d <= taps / 2; d++) {
			const double x = d / (double)sigma, density = exp(-0.5 * x * x);
			if (pass == 0)
				sum += d == 0 ? density : 2 * density;
			else
				weights[d] = (float)(density / sum);
		}
}

/* Where the pixel at `at` (up to size - 1 outside) is mirrored to; the edge itself is not repeated. */
static uint32_t reflect(int64_t at, uint32_t size)
{
	const int64_t inside = at < 0 ? -at : at;
	return (uint32_t)(inside < size ? inside : 2 * ((int64_t)size - 1) - inside);
}

static void weigh(float *restrict out, const float *restrict in, size_t floats, float weight)
{
	for (size_t i = 0; i < floats; i++)
		out[i] = weight * in[i];
}

static void weigh_pair(
	float *restrict out, const float *restrict before, const float *restrict after, size_t floats, float weight)
{
	for (size_t i = 0; i < floats; i++)
		out[i] += weight * (before[i] + after[i]);
}

size_t pixels_blur_scratch_floats(uint32_t width, uint32_t height, uint32_t taps)
{
	return (size_t)width * height * 3 + ((size_t)width + taps) * 3 + taps;
}

/* Along the rows into scratch, then along the columns back. */
void pixels_blur(float *image, uint32_t width, uint32_t height, uint32_t taps, float sigma, float *scratch)
{
	const uint32_t radius = taps / 2;
	const size_t row_floats = (size_t)width * 3;
	float *rows = scratch;				/* [height][width][3] */
	float *padded = rows + height * row_floats;	/* [radius + width + radius][3] */
	float *weights = padded + (width + taps) * 3UL; /* [radius + 1] */
	gaussian(weights, taps, sigma);
	for (uint32_t y = 0; y < height; y++) {
		const float *in = image + y * row_floats;
		float *out = rows + y * row_floats, *centre = padded + radius * 3UL;
		memcpy(centre, in, row_floats * sizeof *in);
		for (uint32_t d = 1; d <= radius; d++) {
			memcpy(centre - d * 3UL, in + reflect(-(int64_t)d, width) * 3UL, 3 * sizeof *in);
			memcpy(centre + row_floats + (d - 1) * 3UL, in + reflect((int64_t)width - 1 + d, width) * 3UL,
				3 * sizeof *in);
		}
		weigh(out, centre, row_floats, weights[0]);
		for (uint32_t d = 1; d <= radius; d++)
			weigh_pair(out, centre - d * 3UL, centre + d * 3UL, row_floats, weights[d]);
	}
	for (uint32_t y = 0; y < height; y++) {
		float *out = image + y * row_floats;
		weigh(out, rows + y * row_floats, row_floats, weights[0]);
		for (uint32_t d = 1; d <= radius; d++)
			weigh_pair(out, rows + reflect((int64_t)y - d, height) * row_floats,
				rows + reflect((int64_t)y + d, height) * row_floats, row_floats, weights[d]);
	}
}
