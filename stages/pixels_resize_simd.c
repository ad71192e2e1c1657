/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crop and resize: bicubic (a = -0.5), antialiased, as pixels_resize.c does it, along rows first.
 *
 * A source line becomes floats of four channels once and stays in a ring of lines for as long as output rows need it.
 * An output row is a weighted sum of such lines (all of them vectors), in `pair`; its pixels are then weighted sums
 * along the line. There a vector holds LANES / 4 neighbouring pixels: one multiply-add takes in that many taps of all
 * channels, and the partial sums of LANES / 4 output pixels are added up together. Two output rows are made at a time,
 * which share the columns' weights.
 */
#include "stages/pixels_simd.h"

#include <math.h>

enum { LINES_AHEAD = 4, LINE_PAD = 4 * PIXELS_PAD };

static uint32_t pad_up(uint32_t n)
{
	return (n + PIXELS_PAD - 1) & ~(uint32_t)(PIXELS_PAD - 1);
}

/* Sides are below 2^16, so single precision holds every position that torch's arithmetic would give it. */
static struct resize_axis axis_of(double first, double extent, uint32_t out, uint32_t *origin)
{
	const double from = floor(first), to = ceil(first + extent);
	const float scale = (float)extent / (float)out;
	const float support = scale >= 1 ? 2 * scale : 2;
	*origin = (uint32_t)from;
	return (struct resize_axis){
		.in = (uint32_t)(to - from),
		.out = out,
		.taps = ((uint32_t)ceilf(support) * 2 + 1 + 3) / 4 * 4,
		.first = (float)(first - from),
		.scale = scale,
		.support = support,
	};
}

/* Keys' cubic of x >= 0. */
INLINE vec cubic(vec x)
{
	const vec near = (1.5F * x - 2.5F) * x * x + 1.0F;
	const vec far = -0.5F * (((x - 5.0F) * x + 8.0F) * x - 4.0F);
	return choose(is_less(x, splat(1)), near, choose(is_less(x, splat(2)), far, (vec){0}));
}

/* The `taps` weights of one output pixel, zero from `count` on; they sum to `total`. Whole vectors are written. */
static void fill_weights(
	float *weights, uint32_t start, uint32_t count, uint32_t taps, float centre, float shrink, float total)
{
	vec lane = {0}, sums = {0};
	for (int i = 0; i < LANES; i++)
		lane[i] = (float)i;
	for (uint32_t j = 0; j < taps; j += LANES) {
		const vec distance = ((lane + (float)(start + j)) - centre + 0.5F) * shrink;
		const vec weight = cubic((vec)((mask)distance & 0x7fffffff));
		const vec inside = choose(is_less(lane, splat((float)count - (float)j)), weight, (vec){0});
		sums += inside;
		store(weights + j, inside);
	}
	const vec norm = splat(total / sum_of(sums));
	for (uint32_t j = 0; j < taps; j += LANES)
		store(weights + j, load(weights + j) * norm);
}

static float centre_of(const struct resize_axis *axis, uint32_t at, bool mirror)
{
	const uint32_t i = mirror ? axis->out - 1 - at : at;
	return axis->first + (float)((double)axis->scale * (i + 0.5));
}

/* total: what the weights of an output pixel sum to. Weights are written for output pixels in order, since the last
 * vector of one's may reach into the next one's. */
static void axis_fill(struct resize_axis *axis, bool mirror, float total)
{
	const float shrink = axis->scale >= 1 ? 1 / axis->scale : 1;
	uint32_t most = 1;
	for (uint32_t at = 0; at < axis->out; at++) {
		const float centre = centre_of(axis, at, mirror);
		const double first = (double)(centre - axis->support) + 0.5;
		const double end = (double)(centre + axis->support) + 0.5;
		const uint32_t start = first > 0 ? (uint32_t)first : 0;
		const uint32_t stop = end < axis->in ? (uint32_t)end : axis->in;
		axis->start[at] = start;
		axis->count[at] = stop - start;
		most = stop - start > most ? stop - start : most;
	}
	axis->taps = (most + 3) / 4 * 4;
	for (uint32_t at = 0; at < axis->out; at++)
		fill_weights(axis->weights + (size_t)at * axis->taps, axis->start[at], axis->count[at], axis->taps,
			centre_of(axis, at, mirror), shrink, total);
	/* Pixels behind the last make whole vectors; they weigh nothing. */
	const uint32_t behind = pad_up(axis->out) - axis->out;
	for (uint32_t at = axis->out; at < axis->out + behind; at++)
		axis->start[at] = axis->start[axis->out - 1];
	memset(axis->weights + (size_t)axis->out * axis->taps, 0,
		((size_t)behind * axis->taps + PIXELS_PAD) * sizeof(float));
}

static float *axis_place(struct resize_axis *axis, float *scratch)
{
	const size_t out = pad_up(axis->out);
	axis->start = (uint32_t *)(void *)scratch;
	axis->count = axis->start + out;
	axis->weights = scratch + 2 * out;
	return axis->weights + out * axis->taps + PIXELS_PAD;
}

float *resize_begin(struct resize *resize, const struct pixels_source *source, uint32_t size, bool flip, float *scratch)
{
	uint32_t x, y;
	*resize = (struct resize){.source = *source};
	resize->columns = axis_of(source->x, source->width, size, &x);
	resize->rows = axis_of(source->y, source->height, size, &y);
	resize->source.pixels = source->pixels + y * source->stride_bytes + (size_t)x * source->channels;
	/* Behind its last pixel a line is read as far as the weights go, all zero there. */
	resize->row_floats = ((resize->columns.in + resize->columns.taps) * 4 + LINE_PAD - 1) / LINE_PAD * LINE_PAD;
	resize->ring_lines = resize->rows.taps;
	resize->pair = scratch;
	resize->ring = resize->pair + 2 * resize->row_floats;
	scratch = axis_place(&resize->columns, resize->ring + resize->ring_lines * resize->row_floats);
	scratch = axis_place(&resize->rows, scratch);
	axis_fill(&resize->columns, flip, 1);
	axis_fill(&resize->rows, false, 1 / 255.0F);
	return scratch;
}

/* LANES bytes. (Compilers take a vector of bytes apart one by one to widen it.) */
INLINE vec floats_of(const uint8_t *p)
{
#if LANES == 16
	return (vec)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i_u *)p)));
#elif LANES == 8
	return (vec)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadu_si64(p)));
#else
	return (vec){p[0], p[1], p[2], p[3]};
#endif
}

/* A source line as floats: [in][4], then zeros. */
static void convert_line(const struct resize *resize, uint32_t line, float *out)
{
	const unsigned channels = resize->source.channels;
	const uint8_t *in = resize->source.pixels + line * resize->source.stride_bytes;
	const uint32_t width = resize->columns.in;
	/* Lines of a crop lie too far apart to be foreseen. */
	if (line + LINES_AHEAD < resize->rows.in)
		for (uint32_t at = 0; at < width * channels; at += 64)
			__builtin_prefetch(in + LINES_AHEAD * resize->source.stride_bytes + at);
	uint32_t x = 0;
	if (channels == 4) {
		for (; x + PIXELS_GROUP <= width; x += PIXELS_GROUP)
			store(out + 4 * x, floats_of(in + 4 * x));
	} else {
		/* LANES bytes are read for three quarters of them. */
		for (; 3 * x + LANES <= 3 * width; x += PIXELS_GROUP) {
			const vec v = floats_of(in + 3 * x);
			store(out + 4 * x, SHUFFLE(v, v, RGBX_OF_RGB));
		}
	}
	for (; x < width; x++) {
		for (unsigned c = 0; c < 3; c++)
			out[4 * x + c] = in[channels * x + c];
		out[4 * x + 3] = 0;
	}
	memset(out + 4 * width, 0, (resize->row_floats - 4UL * width) * sizeof(float));
}

static float *line_of(const struct resize *resize, uint32_t line)
{
	return resize->ring + line % resize->ring_lines * resize->row_floats;
}

/* Output row y, at the source's width. */
static void resize_vertically(struct resize *resize, uint32_t y, float *out)
{
	const uint32_t start = resize->rows.start[y], count = resize->rows.count[y];
	const float *weights = resize->rows.weights + (size_t)y * resize->rows.taps;
	for (; resize->next_line < start + count; resize->next_line++)
		convert_line(resize, resize->next_line, line_of(resize, resize->next_line));
	const size_t floats = resize->row_floats;
	const float *const ring_end = resize->ring + resize->ring_lines * floats, *const top = line_of(resize, start);
	/* Four vectors at a time; lines are padded to them. */
	for (size_t i = 0; i < floats; i += 4 * LANES) {
		vec sum[4] = {0};
		const float *line = top + i;
		for (uint32_t t = 0; t < count; t++) {
			const vec w = splat(weights[t]);
			_Pragma("GCC unroll 4") for (unsigned j = 0; j < 4; j++) sum[j] += load(line + j * LANES) * w;
			line += floats;
			line = line >= ring_end ? line - resize->ring_lines * floats : line;
		}
		for (unsigned j = 0; j < 4; j++)
			store(out + i + j * LANES, sum[j]);
	}
}

/* sums[p]: partial sums of output pixel p, one to each pixel of the vector. */
INLINE vec add_up(const vec sums[PIXELS_GROUP])
{
#if LANES == 16
	const vec low = SHUFFLE(sums[0], sums[1], QUARTERS_EVEN) + SHUFFLE(sums[0], sums[1], QUARTERS_ODD);
	const vec high = SHUFFLE(sums[2], sums[3], QUARTERS_EVEN) + SHUFFLE(sums[2], sums[3], QUARTERS_ODD);
	return SHUFFLE(low, high, LOWER_HALVES) + SHUFFLE(low, high, UPPER_HALVES);
#elif LANES == 8
	return SHUFFLE(sums[0], sums[1], LOWER_HALVES) + SHUFFLE(sums[0], sums[1], UPPER_HALVES);
#else
	return sums[0];
#endif
}

/* LANES output pixels of both rows from column x on. taps: a constant where it is one of the usual numbers. */
INLINE void weigh_columns(const struct resize *resize, uint32_t x, const uint32_t taps, vec pixels[2][4])
{
	const struct resize_axis *columns = &resize->columns;
	const float *const upper = resize->pair, *const lower = upper + resize->row_floats;
	_Pragma("GCC unroll 4") for (unsigned q = 0; q < 4; q++)
	{
		vec sums[2][PIXELS_GROUP] = {0};
		_Pragma("GCC unroll 4") for (unsigned p = 0; p < PIXELS_GROUP; p++)
		{
			const uint32_t at = x + q * PIXELS_GROUP + p;
			const float *weights = columns->weights + (size_t)at * taps;
			const size_t from = 4UL * columns->start[at];
			for (uint32_t t = 0; t < taps; t += PIXELS_GROUP) {
				const vec four = load(weights + t), w = SHUFFLE(four, four, EACH_FOUR_TIMES);
				sums[0][p] += load(upper + from + 4 * t) * w;
				sums[1][p] += load(lower + from + 4 * t) * w;
			}
		}
		pixels[0][q] = add_up(sums[0]);
		pixels[1][q] = add_up(sums[1]);
	}
}

void resize_rows(struct resize *resize, uint32_t y, float *const planes[3], size_t stride)
{
	const unsigned rows = y + 1 < resize->rows.out ? 2 : 1;
	resize_vertically(resize, y, resize->pair);
	if (rows == 2)
		resize_vertically(resize, y + 1, resize->pair + resize->row_floats);
	for (uint32_t x = 0; x < resize->columns.out; x += LANES) {
		vec pixels[2][4];
		switch (resize->columns.taps) {
		case 4:
			weigh_columns(resize, x, 4, pixels);
			break;
		case 8:
			weigh_columns(resize, x, 8, pixels);
			break;
		default:
			weigh_columns(resize, x, resize->columns.taps, pixels);
			break;
		}
		for (unsigned row = 0; row < rows; row++) {
			const struct rgb c = split(pixels[row]);
			store(planes[0] + row * stride + x, clip(c.r));
			store(planes[1] + row * stride + x, clip(c.g));
			store(planes[2] + row * stride + x, clip(c.b));
		}
	}
}
