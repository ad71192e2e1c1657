/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drawing the parameters of a view.
 *
 * Each parameter is made from a 32-bit word at a fixed place of the view's stream (enum word), whatever else the policy
 * asks for. So the crop is the same whether or not colours are jittered, the ten tries of the crop shift nothing, and
 * an operation added to a policy changes the draws of no other. An operation that a policy has a second time takes the
 * same places one page later, a third time two pages. The places and the formulas are part of every result: do not
 * change them; a new operation takes spare words.
 *
 * A word w gives the real number u = w / 2^32 in [0,1), and the integer floor(w * n / 2^32) in [0,n). The latter
 * favours some values by n / 2^32, at most 1.6e-5 for the sides of an image: far below what any training could notice,
 * and worth a fixed number of words.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "stages/views.h"

enum { CROP_TRIES = 10, WORDS_PER_TRY = 4 };

enum word {
	WORD_AREA = 0, /* of try t: WORDS_PER_TRY * t later; so for the next three */
	WORD_ASPECT = 1,
	WORD_X = 2,
	WORD_Y = 3,
	WORD_FLIP = CROP_TRIES * WORDS_PER_TRY,
	WORD_COLOR,
	WORD_ORDER,
	WORD_FACTOR, /* four: brightness, contrast, saturation, hue */
	WORD_GRAY = WORD_FACTOR + 4,
	WORD_BLUR,
	WORD_SIGMA,
	WORD_VFLIP = 52,
	WORD_ROTATE,
	WORD_QUARTERS,
	WORD_ALONE, /* brightness, contrast, saturation, hue: whether and how much of each */
	WORD_SOLARIZE = WORD_ALONE + 8,
	WORD_CUTOUT,
	WORD_CUTOUT_X,
	WORD_CUTOUT_Y,
	WORD_SOBEL,
	WORD_NOISE,
	WORD_NOISE_KEY, /* two */
	WORD_SPARE = WORD_NOISE_KEY + 2,
	PAGE_WORDS = 128,
};
_Static_assert((int)WORD_SPARE <= PAGE_WORDS, "every word has a place");

/* The word that says whether a step is applied; the words behind it say how. */
static const uint8_t places[VIEW_OPS] = {
	[VIEW_OP_CROP] = WORD_AREA,
	[VIEW_OP_FLIP] = WORD_FLIP,
	[VIEW_OP_VFLIP] = WORD_VFLIP,
	[VIEW_OP_ROTATE90] = WORD_ROTATE,
	[VIEW_OP_COLOR] = WORD_COLOR,
	[VIEW_OP_BRIGHTNESS] = WORD_ALONE,
	[VIEW_OP_CONTRAST] = WORD_ALONE + 2,
	[VIEW_OP_SATURATION] = WORD_ALONE + 4,
	[VIEW_OP_HUE] = WORD_ALONE + 6,
	[VIEW_OP_GRAY] = WORD_GRAY,
	[VIEW_OP_BLUR] = WORD_BLUR,
	[VIEW_OP_SOLARIZE] = WORD_SOLARIZE,
	[VIEW_OP_CUTOUT] = WORD_CUTOUT,
	[VIEW_OP_SOBEL] = WORD_SOBEL,
	[VIEW_OP_NOISE] = WORD_NOISE,
};

/* How many words from there on an operation may take. */
static const uint8_t lengths[VIEW_OPS] = {
	[VIEW_OP_CROP] = CROP_TRIES * WORDS_PER_TRY,
	[VIEW_OP_FLIP] = 1,
	[VIEW_OP_VFLIP] = 1,
	[VIEW_OP_ROTATE90] = 2,
	[VIEW_OP_COLOR] = 6,
	[VIEW_OP_BRIGHTNESS] = 2,
	[VIEW_OP_CONTRAST] = 2,
	[VIEW_OP_SATURATION] = 2,
	[VIEW_OP_HUE] = 2,
	[VIEW_OP_GRAY] = 1,
	[VIEW_OP_BLUR] = 2,
	[VIEW_OP_SOLARIZE] = 1,
	[VIEW_OP_CUTOUT] = 3,
	[VIEW_OP_SOBEL] = 1,
	[VIEW_OP_NOISE] = 3,
};

static double unit(uint32_t word)
{
	return word * 0x1p-32;
}

static double between(uint32_t word, double low, double high)
{
	return low + (high - low) * unit(word);
}

static uint32_t below(uint32_t word, uint32_t bound)
{
	return (uint32_t)((uint64_t)word * bound >> 32);
}

static void set_crop(struct view_params *params, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	params->x = x;
	params->y = y;
	params->width = width;
	params->height = height;
}

static void set_centre_crop(
	struct view_params *params, uint32_t image_width, uint32_t image_height, uint32_t width, uint32_t height)
{
	set_crop(params, (image_width - width) / 2, (image_height - height) / 2, width, height);
}

static uint32_t at_least_1(double pixels)
{
	return pixels < 1 ? 1 : (uint32_t)rint(pixels);
}

/* RandomResizedCrop.get_params: rint() rounds halves to even, as Python's round() does. */
static void draw_crop(struct view_params *params, const struct view_step *step, uint32_t image_width,
	uint32_t image_height, const uint32_t *words)
{
	const double area_min = step->args[0], area_max = step->args[1];
	const double aspect_min = step->args[2], aspect_max = step->args[3];
	const double image_area = (double)image_width * image_height;
	for (int t = 0; t < CROP_TRIES; t++, words += WORDS_PER_TRY) {
		const double area = image_area * between(words[WORD_AREA], area_min, area_max);
		const double aspect = exp(between(words[WORD_ASPECT], log(aspect_min), log(aspect_max)));
		const double width = rint(sqrt(area * aspect));
		const double height = rint(sqrt(area / aspect));
		if (width < 1 || height < 1 || width > image_width || height > image_height)
			continue;
		set_crop(params, below(words[WORD_X], image_width - (uint32_t)width + 1),
			below(words[WORD_Y], image_height - (uint32_t)height + 1), (uint32_t)width, (uint32_t)height);
		return;
	}
	uint32_t width = image_width, height = image_height;
	const double aspect = (double)image_width / image_height;
	if (aspect < aspect_min)
		height = at_least_1(width / aspect_min);
	else if (aspect > aspect_max)
		width = at_least_1(height * aspect_max);
	set_centre_crop(params, image_width, image_height, width, height);
}

static void choose_center(
	struct view_params *params, const struct view_step *step, uint32_t image_width, uint32_t image_height)
{
	const uint32_t shorter = image_width < image_height ? image_width : image_height;
	const uint32_t side = at_least_1(shorter * step->args[0]);
	set_centre_crop(params, image_width, image_height, side, side);
}

/* The permutation of that number (0..23) in lexicographic order. */
static void set_order(uint8_t order[4], uint32_t number)
{
	uint8_t rest[4] = {0, 1, 2, 3};
	static const uint32_t place[4] = {6, 2, 1, 1};
	for (unsigned i = 0; i < 4; i++) {
		const unsigned pick = number / place[i];
		number %= place[i];
		order[i] = rest[pick];
		for (unsigned j = pick; j + 1 < 4 - i; j++)
			rest[j] = rest[j + 1];
	}
}

static struct view_drawn *add(struct view_params *params, enum view_op op, float value)
{
	struct view_drawn *drawn = &params->drawn[params->count++];
	*drawn = (struct view_drawn){.op = op, .value = value};
	return drawn;
}

/* op: one of the four colours; spread: how far the factor may be from 1 (hue: the shift from 0). */
static void add_colour(struct view_params *params, enum view_op op, double spread, uint32_t word)
{
	const double low = op == VIEW_OP_HUE ? -spread : fmax(0, 1 - spread);
	const double high = op == VIEW_OP_HUE ? spread : 1 + spread;
	add(params, op, (float)between(word, low, high));
}

static void add_jitter(struct view_params *params, const struct view_step *step, const uint32_t *words)
{
	uint8_t order[4];
	set_order(order, below(words[WORD_ORDER - WORD_COLOR], 24));
	for (unsigned i = 0; i < 4; i++)
		add_colour(params, (enum view_op)(VIEW_OP_BRIGHTNESS + order[i]), step->args[order[i]],
			words[WORD_FACTOR - WORD_COLOR + order[i]]);
}

/* A square around a random pixel, as far as it lies in the output (DeVries and Taylor, 2017). */
static void add_cutout(struct view_params *params, double share, uint32_t size, const uint32_t *words)
{
	const uint32_t side = at_least_1(share * size), half = side / 2;
	const uint32_t x = below(words[0], size), y = below(words[1], size);
	const uint32_t left = x > half ? x - half : 0, top = y > half ? y - half : 0;
	const uint32_t right = x + side - half, bottom = y + side - half;
	struct view_drawn *drawn = add(params, VIEW_OP_CUTOUT, 0);
	drawn->hole.x = left;
	drawn->hole.y = top;
	drawn->hole.width = (right < size ? right : size) - left;
	drawn->hole.height = (bottom < size ? bottom : size) - top;
}

/* words: the operation's; the first says whether. */
static void draw_step(struct view_params *params, const struct view_step *step, uint32_t size, const uint32_t *words)
{
	const double *args = step->args;
	if (unit(words[0]) >= step->probability)
		return;
	switch (step->op) {
	case VIEW_OP_COLOR:
		add_jitter(params, step, words);
		break;
	case VIEW_OP_BRIGHTNESS:
	case VIEW_OP_CONTRAST:
	case VIEW_OP_SATURATION:
	case VIEW_OP_HUE:
		add_colour(params, step->op, args[0], words[1]);
		break;
	case VIEW_OP_ROTATE90:
		if (below(words[1], 4) > 0)
			add(params, step->op, 0)->quarters = below(words[1], 4);
		break;
	case VIEW_OP_BLUR:
		add(params, step->op, (float)between(words[1], args[0], args[1]));
		break;
	case VIEW_OP_CUTOUT:
		add_cutout(params, args[0], size, words + 1);
		break;
	case VIEW_OP_NOISE: {
		struct view_drawn *drawn = add(params, step->op, (float)args[0]);
		drawn->key[0] = words[1];
		drawn->key[1] = words[2];
		break;
	}
	default: /* solarize has its threshold; the others nothing */
		add(params, step->op, (float)args[0]);
	}
}

/* The first words of the stream that a page of an operation takes. */
static void read_words(
	uint32_t words[CROP_TRIES * WORDS_PER_TRY], const struct philox *stream, enum view_op op, unsigned page)
{
	const uint32_t first = page * PAGE_WORDS + places[op];
	struct philox at = *stream;
	at.counter[0] += first / 4;
	for (uint32_t i = 0; i < first % 4; i++)
		philox_u32(&at);
	for (uint32_t i = 0; i < lengths[op]; i++)
		words[i] = philox_u32(&at);
}

void view_params_draw(struct view_params *params, const struct view_policy *policy, uint32_t image_width,
	uint32_t image_height, const struct philox *stream)
{
	uint8_t pages[VIEW_OPS] = {0};
	uint32_t words[CROP_TRIES * WORDS_PER_TRY] = {0};
	const struct view_step *steps = policy->steps;
	params->count = 0;
	if (steps[0].op == VIEW_OP_CROP) {
		read_words(words, stream, VIEW_OP_CROP, 0);
		draw_crop(params, &steps[0], image_width, image_height, words);
	} else if (steps[0].op == VIEW_OP_CENTER) {
		choose_center(params, &steps[0], image_width, image_height);
	} else {
		set_crop(params, 0, 0, image_width, image_height);
	}
	for (uint32_t i = 1; i < policy->count; i++) {
		read_words(words, stream, steps[i].op, pages[steps[i].op]++);
		draw_step(params, &steps[i], policy->size, words);
	}
}

__attribute__((format(printf, 4, 5))) static size_t append(
	char *text, size_t capacity, size_t used, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	const int wanted = used < capacity ? vsnprintf(text + used, capacity - used, format, arguments) : 0;
	va_end(arguments);
	return used + (size_t)wanted;
}

void view_params_describe(const struct view_params *params, char *text, size_t capacity)
{
	size_t used = append(text, capacity, 0, "crop %" PRIu32 ",%" PRIu32 " %" PRIu32 "x%" PRIu32, params->x,
		params->y, params->width, params->height);
	for (uint32_t i = 0; i < params->count; i++) {
		const struct view_drawn *drawn = &params->drawn[i];
		const double value = (double)drawn->value;
		switch (drawn->op) {
		case VIEW_OP_BRIGHTNESS:
		case VIEW_OP_CONTRAST:
		case VIEW_OP_SATURATION:
		case VIEW_OP_HUE:
			used = append(text, capacity, used, " %c%.2f", "bcsh"[drawn->op - VIEW_OP_BRIGHTNESS], value);
			break;
		case VIEW_OP_ROTATE90:
			used = append(text, capacity, used, " rotate %" PRIu32, 90 * drawn->quarters);
			break;
		case VIEW_OP_BLUR:
			used = append(text, capacity, used, " blur %.1f", value);
			break;
		case VIEW_OP_SOLARIZE:
			used = append(text, capacity, used, " solarize %.2f", value);
			break;
		case VIEW_OP_CUTOUT:
			used = append(text, capacity, used, " cutout %" PRIu32 ",%" PRIu32 " %" PRIu32 "x%" PRIu32,
				drawn->hole.x, drawn->hole.y, drawn->hole.width, drawn->hole.height);
			break;
		case VIEW_OP_NOISE:
			used = append(text, capacity, used, " noise %.3f", value);
			break;
		default: {
			static const char *const names[VIEW_OPS] = {[VIEW_OP_FLIP] = "flip",
				[VIEW_OP_VFLIP] = "vflip",
				[VIEW_OP_GRAY] = "gray",
				[VIEW_OP_SOBEL] = "sobel"};
			used = append(text, capacity, used, " %s", names[drawn->op]);
		}
		}
	}
}
