/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a picture is made. Everything random comes from one Philox stream of (seed, split, index); lengths are fractions
 * of the picture's side, so that every size shows the same picture.
 *
 *   1. Background: a few coloured centres, blended by inverse square distance. The colours differ inside one
 *      picture, so that the colour of one crop says little about another crop of it.
 *   2. Objects: a rotated, jittered lattice of shapes of the one class that the label names, so that nearly every crop
 *      holds one. Each has its own colour, rotation and size, and stands out from the background under it, lighter or
 *      darker. Shapes are signed distance functions; coverage = clamp(1/2 - distance in pixels) smooths their edges.
 *   3. Distractors: short strokes of any colour.
 *   4. Light: a linear gradient, a gain, noise per pixel.
 *
 * Nothing but the shape depends on the class. Objects are on average as bright as the background, so that
 * not even a shape's area shows in the mean colour.
 */
#include <math.h>
#include <stddef.h>

#include "pipeline/philox.h"
#include "tools/synth_draw.h"

struct canvas {
	float *rgb; /* [size][size][3] */
	uint32_t size;
	struct philox *stream;
};

struct colour {
	float c[3];
};

static const float pi = 3.14159265F;
/* Least difference in luminance between an object and the background under its centre. */
static const float min_contrast = 0.35F;
/* Chosen so that objects and background are equally bright on average: the area of a shape then leaves no trace in the
 * mean colour. */
static const float darkest_object = 0.15F;
static const float darkest_background = 0.32F;

static float clamp01(float x)
{
	return fminf(fmaxf(x, 0.0F), 1.0F);
}

static float uniform(struct canvas *canvas, float low, float high)
{
	return philox_uniform(canvas->stream, low, high);
}

static float luminance(const float *c)
{
	return 0.299F * c[0] + 0.587F * c[1] + 0.114F * c[2];
}

/* Any hue and saturation; value from `darkest` to bright. */
static struct colour random_colour(struct canvas *canvas, float darkest)
{
	const float hue = uniform(canvas, 0.0F, 6.0F);
	const float saturation = uniform(canvas, 0.0F, 0.9F);
	const float value = uniform(canvas, darkest, 1.0F);
	struct colour colour;
	for (int i = 0; i < 3; i++) {
		/* The hue's weight of this channel: a trapezium over the circle of six. */
		const float at = fmodf(hue + (float)(4 * i), 6.0F);
		const float weight = clamp01(fabsf(at - 3.0F) - 1.0F);
		colour.c[i] = value * (1.0F - saturation * (1.0F - weight));
	}
	return colour;
}

/* ---- shapes ---- */

static float box(float x, float y, float half_width, float half_height)
{
	return fmaxf(fabsf(x) - half_width, fabsf(y) - half_height);
}

static float circle(float x, float y, float radius)
{
	return sqrtf(x * x + y * y) - radius;
}

static float disc(float x, float y)
{
	return circle(x, y, 0.66F);
}

static float ring(float x, float y)
{
	return fabsf(circle(x, y, 0.70F)) - 0.19F;
}

static float square(float x, float y)
{
	return box(x, y, 0.60F, 0.60F);
}

static float triangle(float x, float y)
{
	const float slanted = 0.8660254F * fabsf(x) + 0.5F * y;
	return fmaxf(slanted, -y) - 0.46F;
}

/* Five points: the plane is folded onto one half of one point, whose edge is a straight line. */
static float star(float x, float y)
{
	const float outer = 1.0F;
	const float inner = 0.44F;
	const float sector = pi / 5.0F;
	float angle = fmodf(atan2f(y, x) + 2.0F * pi, 2.0F * sector);
	angle = sector - fabsf(sector - angle);
	const float radius = sqrtf(x * x + y * y);
	const float px = radius * cosf(angle);
	const float py = radius * sinf(angle);
	/* The edge runs from the point (outer, 0) to the notch at angle `sector`. */
	const float ex = inner * cosf(sector) - outer;
	const float ey = inner * sinf(sector);
	return (py * -ex + (px - outer) * ey) / sqrtf(ex * ex + ey * ey);
}

static float cross(float x, float y)
{
	return fminf(box(x, y, 0.90F, 0.24F), box(x, y, 0.24F, 0.90F));
}

static float crescent(float x, float y)
{
	return fmaxf(circle(x + 0.12F, y, 0.84F), -circle(x - 0.34F, y, 0.66F));
}

static float stripes(float x, float y)
{
	const float gap = 0.62F;
	return fmaxf(fabsf(y - gap * fminf(fmaxf(roundf(y / gap), -1.0F), 1.0F)) - 0.17F, fabsf(x) - 0.80F);
}

/* To a stroke from (x0, y0) to (x1, y1), its ends round. */
static float stroke(float x, float y, float x0, float y0, float x1, float y1, float half_width)
{
	const float dx = x1 - x0, dy = y1 - y0;
	const float along = clamp01(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy));
	return circle(x - x0 - along * dx, y - y0 - along * dy, half_width);
}

static float zigzag(float x, float y)
{
	const float width = 0.226F;
	const float outer =
		fminf(stroke(x, y, -0.9F, 0.36F, -0.3F, -0.36F, width), stroke(x, y, 0.3F, 0.36F, 0.9F, -0.36F, width));
	return fminf(outer, stroke(x, y, -0.3F, -0.36F, 0.3F, 0.36F, width));
}

static float dots(float x, float y)
{
	return circle(fabsf(x) - 0.46F, fabsf(y) - 0.46F, 0.334F);
}

static const struct {
	const char *name;
	float (*distance)(float x, float y);
} shapes[SYNTH_CLASSES] = {
	{"disc", disc},
	{"ring", ring},
	{"square", square},
	{"triangle", triangle},
	{"star", star},
	{"cross", cross},
	{"crescent", crescent},
	{"stripes", stripes},
	{"zigzag", zigzag},
	{"dots", dots},
};

const char *synth_class_name(unsigned label)
{
	return shapes[label].name;
}

float synth_shape_distance(unsigned label, float x, float y)
{
	return shapes[label].distance(x, y);
}

/* ---- drawing ---- */

/* Coloured centres, blended by inverse square distance. */
enum { CENTRES = 3 };
struct background {
	struct colour colours[CENTRES];
	float x[CENTRES], y[CENTRES];
};

static struct background random_background(struct canvas *canvas)
{
	struct background background;
	for (int i = 0; i < CENTRES; i++) {
		background.colours[i] = random_colour(canvas, darkest_background);
		background.x[i] = uniform(canvas, -0.1F, 1.1F);
		background.y[i] = uniform(canvas, -0.1F, 1.1F);
	}
	return background;
}

static struct colour background_at(const struct background *background, float x, float y)
{
	struct colour sum = {{0}};
	float weights = 0;
	for (int i = 0; i < CENTRES; i++) {
		const float dx = x - background->x[i], dy = y - background->y[i];
		const float weight = 1.0F / (dx * dx + dy * dy + 0.05F);
		for (int c = 0; c < 3; c++)
			sum.c[c] += weight * background->colours[i].c[c];
		weights += weight;
	}
	for (int c = 0; c < 3; c++)
		sum.c[c] /= weights;
	return sum;
}

static void draw_background(struct canvas *canvas, const struct background *background)
{
	const float pixel = 1.0F / (float)canvas->size;
	for (uint32_t row = 0; row < canvas->size; row++)
		for (uint32_t column = 0; column < canvas->size; column++) {
			const struct colour colour =
				background_at(background, ((float)column + 0.5F) * pixel, ((float)row + 0.5F) * pixel);
			float *out = canvas->rgb + 3 * ((size_t)row * canvas->size + column);
			for (int c = 0; c < 3; c++)
				out[c] = colour.c[c];
		}
}

/* Paints every pixel that a shape covers. label SYNTH_CLASSES: a stroke. (x, y): centre, radius: length of one unit. */
static void paint(
	struct canvas *canvas, unsigned label, float x, float y, float radius, float angle, struct colour colour)
{
	const float side = (float)canvas->size;
	const float reach = 1.45F * radius * side + 1.0F;
	const int first_row = (int)fmaxf(floorf(y * side - reach), 0.0F);
	const int last_row = (int)fminf(ceilf(y * side + reach), side);
	const int first_column = (int)fmaxf(floorf(x * side - reach), 0.0F);
	const int last_column = (int)fminf(ceilf(x * side + reach), side);
	const float cosine = cosf(angle), sine = sinf(angle);
	for (int row = first_row; row < last_row; row++)
		for (int column = first_column; column < last_column; column++) {
			const float dx = (((float)column + 0.5F) / side - x) / radius;
			const float dy = (((float)row + 0.5F) / side - y) / radius;
			const float u = cosine * dx + sine * dy;
			const float v = cosine * dy - sine * dx;
			const float distance =
				label < SYNTH_CLASSES ? shapes[label].distance(u, v) : box(u, v, 1.0F, 0.12F);
			const float coverage = clamp01(0.5F - distance * radius * side);
			float *out = canvas->rgb + 3 * ((size_t)row * canvas->size + (size_t)column);
			for (int c = 0; c < 3; c++)
				out[c] += coverage * (colour.c[c] - out[c]);
		}
}

/* A colour whose luminance is far from that of the background under it. */
static struct colour contrasting_colour(struct canvas *canvas, const struct colour *under)
{
	const float dark = luminance(under->c);
	for (int attempt = 0; attempt < 8; attempt++) {
		const struct colour colour = random_colour(canvas, darkest_object);
		if (fabsf(luminance(colour.c) - dark) >= min_contrast)
			return colour;
	}
	const float gray = dark < 0.5F ? 1.0F : 0.0F;
	return (struct colour){{gray, gray, gray}};
}

static void draw_objects(struct canvas *canvas, const struct background *background, unsigned label)
{
	const float spacing = uniform(canvas, 0.36F, 0.50F);
	const float angle = uniform(canvas, 0.0F, 2.0F * pi);
	const float shift_u = uniform(canvas, 0.0F, spacing);
	const float shift_v = uniform(canvas, 0.0F, spacing);
	const float cosine = cosf(angle), sine = sinf(angle);
	const int reach = (int)ceilf(0.75F / spacing) + 1;
	for (int i = -reach; i <= reach; i++)
		for (int j = -reach; j <= reach; j++) {
			const float u = (float)i * spacing + shift_u + uniform(canvas, -0.1F, 0.1F) * spacing;
			const float v = (float)j * spacing + shift_v + uniform(canvas, -0.1F, 0.1F) * spacing;
			const float x = 0.5F + cosine * u - sine * v;
			const float y = 0.5F + sine * u + cosine * v;
			const float radius = spacing * uniform(canvas, 0.42F, 0.54F);
			const float turn = uniform(canvas, -0.45F, 0.45F);
			const struct colour under = background_at(background, x, y);
			const struct colour colour = contrasting_colour(canvas, &under);
			paint(canvas, label, x, y, radius, turn, colour);
		}
}

static void draw_distractors(struct canvas *canvas)
{
	const uint32_t strokes = philox_below(canvas->stream, 4);
	for (uint32_t i = 0; i < strokes; i++) {
		const float x = uniform(canvas, 0.0F, 1.0F), y = uniform(canvas, 0.0F, 1.0F);
		const float length = uniform(canvas, 0.06F, 0.16F);
		const float angle = uniform(canvas, 0.0F, pi);
		paint(canvas, SYNTH_CLASSES, x, y, length, angle, random_colour(canvas, darkest_object));
	}
}

/* A gain, a gradient and noise; then rounds to bytes. */
static void light(struct canvas *canvas, uint8_t *rgb)
{
	const float gain = uniform(canvas, 0.6F, 1.1F);
	const float slope = uniform(canvas, 0.0F, 0.5F);
	const float angle = uniform(canvas, 0.0F, 2.0F * pi);
	const float noise = uniform(canvas, 0.0F, 0.03F);
	const float dx = slope * cosf(angle), dy = slope * sinf(angle);
	const float side = (float)canvas->size;
	for (uint32_t row = 0; row < canvas->size; row++)
		for (uint32_t column = 0; column < canvas->size; column++) {
			const float x = ((float)column + 0.5F) / side - 0.5F, y = ((float)row + 0.5F) / side - 0.5F;
			const float lit = gain * (1.0F + dx * x + dy * y);
			const float grain = noise * (uniform(canvas, -1.0F, 1.0F) + uniform(canvas, -1.0F, 1.0F));
			const size_t at = 3 * ((size_t)row * canvas->size + column);
			for (size_t c = at; c < at + 3; c++) {
				const float value = lit * canvas->rgb[c] + grain;
				rgb[c] = (uint8_t)(255.0F * clamp01(value) + 0.5F);
			}
		}
}

void synth_draw(uint64_t seed, enum synth_split split, uint64_t index, uint32_t size, float *scratch, uint8_t *rgb)
{
	struct philox stream = philox_stream(seed, (uint32_t)split, index, 0, PHILOX_SYNTH);
	struct canvas canvas = {.rgb = scratch, .size = size, .stream = &stream};
	const struct background background = random_background(&canvas);
	draw_background(&canvas, &background);
	draw_objects(&canvas, &background, (unsigned)(index % SYNTH_CLASSES));
	draw_distractors(&canvas);
	light(&canvas, rgb);
}
