/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view in as few walks as its operations allow.
 *
 * Colours lie in three planes while they are worked on. A walk takes the rows one after the other: resize, then every
 * operation that needs no more than its own pixel, in registers, then the batch's interleaved layout. Two operations
 * end a walk: contrast needs the mean of all pixels as they are by then (the walk sums them up), blur needs its
 * neighbours. With neither of them the planes hold one pair of rows, which stays in the first cache.
 */
#include "stages/pixels_simd.h"

#include <math.h>

struct view {
	uint32_t size, padded; /* columns of a row; of a plane's row */
	float *planes;	       /* [3][size][padded] */
	float *spare;	       /* [size][padded] and a padded row: blur's */
	float *out;	       /* [size][size][3] */
	struct resize *resize; /* NULL: the planes hold the view */
	float rest;	       /* contrast's other share: (1 - factor) * mean luma */
	bool streams;	       /* the finished rows go past the caches */
};

static uint32_t pad_up(uint32_t n)
{
	return (n + PIXELS_PAD - 1) & ~(uint32_t)(PIXELS_PAD - 1);
}

/* rgb_to_grayscale's weights for float tensors. */
INLINE vec luma_of(struct rgb c)
{
	return 0.2989F * c.r + 0.587F * c.g + 0.114F * c.b;
}

/* One channel of the colour of that hue (in sixths of a turn): high, falling to low where it is more than a sixth away
 * from `at`, the middle of the third of the circle in which the channel is low. */
INLINE vec channel_of_hue(vec high, vec range, vec hue, float at)
{
	vec turn = hue + at;
	turn = choose(is_less(turn, splat(6)), turn, turn - 6.0F);
	return high - range * max_of((vec){0}, min_of(min_of(turn, 4.0F - turn), splat(1)));
}

/* Through hue, saturation, value and back: with v the largest channel and r the range, a channel is v - r f(hue), and
 * neither saturation nor a case for each sixth is needed. Grays have a range of 0, so any hue will do. */
INLINE struct rgb shift_hue(struct rgb c, float shift)
{
	const vec high = max_of(max_of(c.r, c.g), c.b), low = min_of(min_of(c.r, c.g), c.b);
	const vec range = high - low;
	const lanes red = is_equal(high, c.r), green = is_equal(high, c.g);
	const vec difference = choose(red, c.g - c.b, choose(green, c.b - c.r, c.r - c.g));
	const vec sector = choose(red, (vec){0}, choose(green, splat(2), splat(4)));
	vec hue = sector + difference / choose(is_less((vec){0}, range), range, splat(1));
	hue = choose(is_less(hue, (vec){0}), hue + 6.0F, hue) + 6 * shift;
	hue = choose(is_less(hue, (vec){0}), hue + 6.0F, hue);
	hue = choose(is_less(hue, splat(6)), hue, hue - 6.0F);
	return (struct rgb){
		.r = channel_of_hue(high, range, hue, 5),
		.g = channel_of_hue(high, range, hue, 3),
		.b = channel_of_hue(high, range, hue, 1),
	};
}

INLINE struct rgb blend(struct rgb c, float factor, vec rest)
{
	return (struct rgb){clip(c.r * factor + rest), clip(c.g * factor + rest), clip(c.b * factor + rest)};
}

INLINE vec solarized(vec v, float threshold)
{
	return choose(is_less(v, splat(threshold)), v, 1.0F - v);
}

INLINE struct rgb apply(const struct pixels_op *op, struct rgb c, float contrast_rest)
{
	switch (op->kind) {
	case PIXELS_BRIGHTNESS:
		return blend(c, op->value, (vec){0});
	case PIXELS_CONTRAST:
		return blend(c, op->value, splat(contrast_rest));
	case PIXELS_SATURATION:
		return blend(c, op->value, (1 - op->value) * luma_of(c));
	case PIXELS_HUE:
		return shift_hue(c, op->value);
	case PIXELS_GRAY:
		c.r = c.g = c.b = luma_of(c);
		return c;
	case PIXELS_SOLARIZE:
		return (struct rgb){solarized(c.r, op->value), solarized(c.g, op->value), solarized(c.b, op->value)};
	case PIXELS_BLUR:
		break;
	}
	return c;
}

/* What one walk does to a row besides the operations. */
struct walk {
	const struct pixels_op *ops;
	size_t count;
	bool sum;  /* lumas, for the contrast that comes next */
	bool last; /* the view is finished */
};

/* One row in planes, to planes or to the batch; the sum of its lumas, if it is asked for. */
static double walk_row(const struct view *view, const struct walk *walk, float *const row[3], uint32_t y)
{
	const uint32_t size = view->size;
	float *out = view->out + (size_t)y * size * 3;
	vec sums = {0};
	for (uint32_t x = 0; x < size; x += LANES) {
		struct rgb c = {load(row[0] + x), load(row[1] + x), load(row[2] + x)};
		for (size_t i = 0; i < walk->count; i++)
			c = apply(&walk->ops[i], c, view->rest);
		if (walk->sum) {
			const vec luma = luma_of(c);
			if (x + LANES <= size)
				sums += luma;
			else
				for (uint32_t i = 0; i < size - x; i++)
					sums[i] += luma[i];
		}
		if (!walk->last) {
			store(row[0] + x, c.r);
			store(row[1] + x, c.g);
			store(row[2] + x, c.b);
		} else {
			const struct interleaved pixels = interleave(c);
			if (view->streams)
				for (unsigned i = 0; i < 3; i++)
					stream(out + 3UL * x + i * LANES, pixels.v[i]);
			else
				memcpy(out + 3UL * x, &pixels,
					(x + LANES <= size ? 3UL * LANES : 3UL * (size - x)) * sizeof(float));
		}
	}
	return walk->sum ? (double)sum_of(sums) : 0;
}

/* All rows; the sum of their lumas. */
static double walk_view(struct view *view, const struct walk *walk)
{
	const uint32_t size = view->size, padded = view->padded;
	const size_t plane = (size_t)size * padded;
	const bool passing = view->resize && walk->last; /* rows go from the source to the batch, the planes hold two */
	double sum = 0;
	for (uint32_t y = 0; y < size; y += 2) {
		float *first = view->planes + (passing ? 0 : (size_t)y * padded);
		float *const rows[3] = {first, first + plane, first + 2 * plane};
		float *const second[3] = {rows[0] + padded, rows[1] + padded, rows[2] + padded};
		if (view->resize)
			resize_rows(view->resize, y, rows, padded);
		sum += walk_row(view, walk, rows, y);
		if (y + 1 < size)
			sum += walk_row(view, walk, second, y + 1);
	}
	view->resize = NULL;
	return sum;
}

/* Takes apart what the batch holds. */
static void load_planes(const struct view *view)
{
	const size_t plane = (size_t)view->size * view->padded;
	for (uint32_t y = 0; y < view->size; y++) {
		const float *in = view->out + (size_t)y * view->size * 3;
		float *row = view->planes + (size_t)y * view->padded;
		for (uint32_t x = 0; x < view->size; x++)
			for (unsigned c = 0; c < 3; c++)
				row[c * plane + x] = in[3 * x + c];
	}
}

/* ---- blur ---- */

/* weights[d]: of the pixels d away from the centre; the whole of `taps` sums to 1. Returns the distance beyond which
 * weights would be lost in rounding (below 2^-30 of the sum), at most taps / 2. */
static uint32_t gaussian(float weights[], uint32_t taps, float sigma)
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
	uint32_t radius = taps / 2;
	while (radius > 0 && weights[radius] < 0x1p-30F)
		radius--;
	return radius;
}

/* Where the pixel at `at` (up to size - 1 outside) is mirrored to; the edge itself is not repeated. */
static uint32_t reflect(int64_t at, uint32_t size)
{
	const int64_t inside = at < 0 ? -at : at;
	return (uint32_t)(inside < size ? inside : 2 * ((int64_t)size - 1) - inside);
}

/* padded: [radius + size + radius] and a vector. */
static void blur_row(const float *in, float *out, uint32_t size, const float *weights, uint32_t radius, float *padded)
{
	float *centre = padded + PIXELS_PAD * ((radius + PIXELS_PAD - 1) / PIXELS_PAD);
	memcpy(centre, in, size * sizeof *in);
	for (uint32_t d = 1; d <= radius; d++) {
		centre[-(ptrdiff_t)d] = in[reflect(-(int64_t)d, size)];
		centre[size + d - 1] = in[reflect((int64_t)size - 1 + d, size)];
	}
	for (uint32_t x = 0; x < size; x += LANES) {
		vec sum = weights[0] * load(centre + x);
		for (uint32_t d = 1; d <= radius; d++)
			sum += weights[d] * (load(centre + x - d) + load(centre + x + d));
		store(out + x, sum);
	}
}

/* in: rows of `padded` floats; the blurred row y. */
static void blur_columns(
	const float *in, float *out, uint32_t size, uint32_t padded, uint32_t y, const float *weights, uint32_t radius)
{
	for (uint32_t x = 0; x < size; x += 2 * LANES) {
		const bool two = x + LANES < padded;
		const uint32_t next = two ? LANES : 0;
		const float *row = in + (size_t)y * padded + x;
		vec sum = weights[0] * load(row), other = weights[0] * load(row + next);
		for (uint32_t d = 1; d <= radius; d++) {
			const float *above = in + (size_t)reflect((int64_t)y - d, size) * padded + x;
			const float *below = in + (size_t)reflect((int64_t)y + d, size) * padded + x;
			sum += weights[d] * (load(above) + load(below));
			other += weights[d] * (load(above + next) + load(below + next));
		}
		store(out + x, sum);
		store(out + x + next, other);
	}
}

static void blur(const struct view *view, const struct pixels_op *op)
{
	const uint32_t size = view->size, padded = view->padded;
	float *const line = view->spare + (size_t)size * padded, *const weights = line + padded + 2 * pad_up(op->taps);
	const uint32_t radius = gaussian(weights, op->taps, op->value);
	for (unsigned c = 0; c < 3; c++) {
		float *plane = view->planes + c * (size_t)size * padded;
		for (uint32_t y = 0; y < size; y++)
			blur_row(plane + (size_t)y * padded, view->spare + (size_t)y * padded, size, weights, radius,
				line);
		for (uint32_t y = 0; y < size; y++)
			blur_columns(view->spare, plane + (size_t)y * padded, size, padded, y, weights, radius);
	}
}

/* ---- the whole view ---- */

/* A batch of such views is larger than the caches: reading its lines only to write over them would be for nothing. Rows
 * must be whole, aligned vectors. */
static bool should_stream(const float *out, uint32_t size)
{
	enum { LARGE = 128 };
	return size >= LARGE && size % PIXELS_PAD == 0 && (uintptr_t)out % (PIXELS_PAD * sizeof(float)) == 0;
}

static void render(const struct pixels_source *source, uint32_t size, bool flip, const struct pixels_op *ops,
	size_t op_count, float *scratch, float *out)
{
	const uint32_t padded = pad_up(size);
	const size_t plane = (size_t)size * padded;
	struct view view = {.size = size,
		.padded = padded,
		.planes = scratch,
		.spare = scratch + 3 * plane,
		.out = out,
		.streams = should_stream(out, size)};
	struct resize resize;
	if (source) {
		resize_begin(&resize, source, size, flip, view.spare + plane + 8UL * padded);
		view.resize = &resize;
	} else {
		load_planes(&view);
	}
	bool mean_known = false; /* of the pixels as they are before operation i */
	for (size_t i = 0;;) {
		size_t end = i + mean_known;
		while (end < op_count && ops[end].kind != PIXELS_CONTRAST && ops[end].kind != PIXELS_BLUR)
			end++;
		const struct walk walk = {
			.ops = ops + i,
			.count = end - i,
			.sum = end < op_count && ops[end].kind == PIXELS_CONTRAST,
			.last = end == op_count,
		};
		const double sum = walk_view(&view, &walk);
		if (walk.last)
			break;
		mean_known = walk.sum;
		if (walk.sum) {
			const float mean = (float)(sum / ((double)size * size));
			view.rest = (float)(1 - (double)ops[end].value) * mean;
			i = end;
		} else {
			blur(&view, &ops[end]);
			i = end + 1;
		}
	}
	if (view.streams)
		stream_end();
}

#define PIXEL_KERNELS ISA_NAME(pixel_kernels_)
extern const struct pixel_kernels PIXEL_KERNELS;
#define TEXT_(x) #x
#define TEXT(x)	 TEXT_(x)
const struct pixel_kernels PIXEL_KERNELS = {.name = TEXT(ISA), .render = render};
