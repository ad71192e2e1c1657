/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crop and resize: bicubic (a = -0.5), antialiased, as Pillow and torchvision do it.
 *
 * An output pixel is a weighted sum of the input pixels around its centre; when shrinking, the cubic is stretched by
 * the scale, so that every input pixel counts. Weights depend on the column (or row) alone, so they are computed once
 * per axis: a reach [start, start + count) of input pixels and `taps` places for weights per output pixel, which is
 * about 4 * input + 3 * output numbers.
 *
 * Columns first: each row of the crop becomes floats of four channels (three and a zero, so that a pixel is one
 * vector), then a line of the output's width. The line is added at once, weighted, to those output rows whose reach
 * holds it: no more than one line is ever kept, however large the image.
 *
 * Positions are computed in single precision where torch computes them so: on large images its weights carry that
 * rounding, and so do these.
 */
#include <math.h>

#include "stages/views.h"

typedef float pixel4 __attribute__((vector_size(16), may_alias));

struct reach {
	uint32_t start, count; /* input pixels */
};

struct axis {
	uint32_t in, out, taps;
	float scale, support;  /* input pixels per output pixel; half the width of the filter, in input pixels */
	struct reach *reaches; /* [out] */
	float *weights;	       /* [out][taps] */
};

static struct axis axis_of(uint32_t in, uint32_t out)
{
	const float scale = (float)in / (float)out;
	const float support = scale >= 1 ? 2 * scale : 2;
	return (struct axis){
		.in = in, .out = out, .taps = (uint32_t)ceilf(support) * 2 + 1, .scale = scale, .support = support};
}

static size_t axis_floats(const struct axis *axis)
{
	return (size_t)axis->out * (axis->taps + sizeof(struct reach) / sizeof(float));
}

static double cubic(float distance)
{
	static const double a = -0.5;
	const double x = fabs((double)distance);
	if (x < 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	if (x < 2)
		return (((x - 5) * x + 8) * x - 4) * a;
	return 0;
}

static void axis_fill(struct axis *axis)
{
	const float shrink = axis->scale >= 1 ? 1 / axis->scale : 1;
	for (uint32_t i = 0; i < axis->out; i++) {
		const float centre = (float)((double)axis->scale * (i + 0.5));
		const double first = (double)(centre - axis->support) + 0.5;
		const double end = (double)(centre + axis->support) + 0.5;
		const uint32_t start = first > 0 ? (uint32_t)first : 0;
		const uint32_t stop = end < axis->in ? (uint32_t)end : axis->in;
		float *weights = axis->weights + (size_t)i * axis->taps;
		float sum = 0;
		for (uint32_t j = start; j < stop; j++) {
			const double distance = ((double)((float)j - centre) + 0.5) * (double)shrink;
			weights[j - start] = (float)cubic((float)distance);
			sum += weights[j - start];
		}
		for (uint32_t j = start; j < stop; j++)
			weights[j - start] /= sum;
		axis->reaches[i] = (struct reach){.start = start, .count = stop - start};
	}
}

/* Takes the axis' arrays from scratch and returns what is left of it. */
static float *axis_place(struct axis *axis, float *scratch)
{
	axis->reaches = (struct reach *)(void *)scratch;
	scratch += (size_t)axis->out * (sizeof(struct reach) / sizeof(float));
	axis->weights = scratch;
	return scratch + (size_t)axis->out * axis->taps;
}

static void bytes_to_pixels(const uint8_t *rgb, uint32_t width, pixel4 *row)
{
	for (uint32_t x = 0; x < width; x++, rgb += 3)
		row[x] = (pixel4){rgb[0], rgb[1], rgb[2], 0} / 255.0F;
}

/* row: [in]; line: [out][3]. */
static void resize_columns(const struct axis *axis, const pixel4 *row, float *line)
{
	for (uint32_t x = 0; x < axis->out; x++) {
		const struct reach reach = axis->reaches[x];
		const float *weights = axis->weights + (size_t)x * axis->taps;
		pixel4 sum = {0};
		for (uint32_t j = 0; j < reach.count; j++)
			sum += row[reach.start + j] * weights[j];
		for (unsigned c = 0; c < 3; c++)
			line[3 * x + c] = sum[c];
	}
}

static void add_line(float *restrict out, const float *restrict line, size_t floats, float weight, bool first)
{
	if (first)
		for (size_t i = 0; i < floats; i++)
			out[i] = weight * line[i];
	else
		for (size_t i = 0; i < floats; i++)
			out[i] += weight * line[i];
}

size_t pixels_resized_crop_scratch_floats(uint32_t width, uint32_t height, uint32_t out_width, uint32_t out_height)
{
	const struct axis columns = axis_of(width, out_width), rows = axis_of(height, out_height);
	return (size_t)width * 4 + (size_t)out_width * 3 + axis_floats(&columns) + axis_floats(&rows);
}

void pixels_resized_crop(const uint8_t *rgb, uint32_t image_width, uint32_t image_height, uint32_t x, uint32_t y,
	uint32_t width, uint32_t height, uint32_t out_width, uint32_t out_height, float *scratch, float *out)
{
	(void)image_height;
	const size_t line_floats = (size_t)out_width * 3;
	struct axis columns = axis_of(width, out_width), rows = axis_of(height, out_height);
	pixel4 *row = (pixel4 *)(void *)scratch;
	float *line = axis_place(&rows, axis_place(&columns, scratch + (size_t)width * 4));
	axis_fill(&columns);
	axis_fill(&rows);
	uint32_t open = 0; /* the first output row whose reach has not ended */
	for (uint32_t r = 0; r < height; r++) {
		bytes_to_pixels(rgb + ((size_t)(y + r) * image_width + x) * 3, width, row);
		resize_columns(&columns, row, line);
		while (open < out_height && rows.reaches[open].start + rows.reaches[open].count <= r)
			open++;
		for (uint32_t i = open; i < out_height && rows.reaches[i].start <= r; i++) {
			const uint32_t at = r - rows.reaches[i].start;
			add_line(out + i * line_floats, line, line_floats, rows.weights[(size_t)i * rows.taps + at],
				at == 0);
		}
	}
	for (size_t i = 0; i < out_height * line_floats; i++)
		out[i] = out[i] < 0 ? 0 : out[i] > 1 ? 1 : out[i];
}
