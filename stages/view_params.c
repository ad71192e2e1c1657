/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drawing the parameters of a view.
 *
 * One view takes VIEW_DRAW_WORDS 32-bit words from its stream, whatever comes out, and each parameter is made from a
 * word at a fixed place (enum word). So the crop is the same whether or not colours are jittered, the ten tries of the
 * crop shift nothing, and a parameter added later takes a spare word without changing the others. The places and the
 * formulas are part of every result: do not change them.
 *
 * A word w gives the real number u = w / 2^32 in [0,1), and the integer floor(w * n / 2^32) in [0,n). The latter
 * favours some values by n / 2^32, at most 1.6e-5 for the sides of an image: far below what any training could notice,
 * and worth a fixed number of words.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "stages/views.h"

enum { CROP_TRIES = 10, WORDS_PER_TRY = 4 };

enum word {
	WORD_AREA = 0, /* of try t: WORDS_PER_TRY * t later; so for the next three */
	WORD_ASPECT = 1,
	WORD_X = 2,
	WORD_Y = 3,
	WORD_FLIP = CROP_TRIES * WORDS_PER_TRY,
	WORD_JITTER,
	WORD_ORDER,
	WORD_FACTOR, /* four, by enum view_colour_op */
	WORD_GRAY = WORD_FACTOR + 4,
	WORD_BLUR,
	WORD_SIGMA,
	WORD_SPARE,
};
_Static_assert((int)WORD_SPARE <= VIEW_DRAW_WORDS, "every word has a place");

void view_policy_init(struct view_policy *policy, enum view_policy_kind kind, uint32_t size, float strength)
{
	*policy = (struct view_policy){
		.kind = kind,
		.size = size,
		.strength = strength,
		.blur_probability = size <= 32 ? 0.0F : 0.5F,
		.area_min = 0.08F,
		.area_max = 1.0F,
	};
}

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

/* RandomResizedCrop.get_params: rint() rounds halves to even, as Python's round() does. */
static void draw_crop(struct view_params *params, const struct view_policy *policy, uint32_t image_width,
	uint32_t image_height, const uint32_t *words)
{
	static const double aspect_min = 3.0 / 4.0, aspect_max = 4.0 / 3.0;
	const double image_area = (double)image_width * image_height;
	for (int t = 0; t < CROP_TRIES; t++, words += WORDS_PER_TRY) {
		const double area =
			image_area * between(words[WORD_AREA], (double)policy->area_min, (double)policy->area_max);
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
		height = (uint32_t)rint(width / aspect_min);
	else if (aspect > aspect_max)
		width = (uint32_t)rint(height * aspect_max);
	set_centre_crop(params, image_width, image_height, width, height);
}

/* The centre square of the short side; above 32 pixels of output, its inner 87.5%. */
static void choose_evaluation_crop(
	struct view_params *params, const struct view_policy *policy, uint32_t image_width, uint32_t image_height)
{
	uint32_t side = image_width < image_height ? image_width : image_height;
	if (policy->size > 32)
		side = (uint32_t)rint(side * 0.875);
	set_centre_crop(params, image_width, image_height, side, side);
}

/* The permutation of that number (0..23) in lexicographic order. */
static void set_order(uint8_t order[4], uint32_t number)
{
	uint8_t rest[4] = {VIEW_BRIGHTNESS, VIEW_CONTRAST, VIEW_SATURATION, VIEW_HUE};
	static const uint32_t place[4] = {6, 2, 1, 1};
	for (unsigned i = 0; i < 4; i++) {
		const unsigned pick = number / place[i];
		number %= place[i];
		order[i] = rest[pick];
		for (unsigned j = pick; j + 1 < 4 - i; j++)
			rest[j] = rest[j + 1];
	}
}

static void draw_colours(struct view_params *params, const struct view_policy *policy, const uint32_t *words)
{
	params->jitter = unit(words[WORD_JITTER]) < 0.8;
	params->gray = unit(words[WORD_GRAY]) < 0.2;
	if (unit(words[WORD_BLUR]) < (double)policy->blur_probability)
		params->blur_sigma = (float)between(words[WORD_SIGMA], 0.1, 2.0);
	if (!params->jitter)
		return;
	const double spread = 0.8 * (double)policy->strength;
	const double hue = fmin(0.2 * (double)policy->strength, 0.5);
	set_order(params->order, below(words[WORD_ORDER], 24));
	for (unsigned op = VIEW_BRIGHTNESS; op <= VIEW_SATURATION; op++)
		params->factor[op] = (float)between(words[WORD_FACTOR + op], fmax(0, 1 - spread), 1 + spread);
	params->factor[VIEW_HUE] = (float)between(words[WORD_FACTOR + VIEW_HUE], -hue, hue);
}

void view_params_draw(struct view_params *params, const struct view_policy *policy, uint32_t image_width,
	uint32_t image_height, struct philox *stream)
{
	*params = (struct view_params){.factor = {1, 1, 1, 0}};
	set_order(params->order, 0);
	if (policy->kind == VIEW_CENTER) {
		choose_evaluation_crop(params, policy, image_width, image_height);
		return;
	}
	uint32_t words[VIEW_DRAW_WORDS];
	for (unsigned i = 0; i < VIEW_DRAW_WORDS; i++)
		words[i] = philox_u32(stream);
	draw_crop(params, policy, image_width, image_height, words);
	params->flip = unit(words[WORD_FLIP]) < 0.5;
	if (policy->kind == VIEW_SIMCLR)
		draw_colours(params, policy, words);
}

void view_params_describe(const struct view_params *params, char *text, size_t capacity)
{
	char colours[64] = "", blur[24] = "";
	size_t used = 0;
	for (unsigned i = 0; params->jitter && i < 4; i++) {
		const unsigned op = params->order[i];
		used += (size_t)snprintf(
			colours + used, sizeof colours - used, " %c%.2f", "bcsh"[op], (double)params -> factor[op]);
	}
	if (params->blur_sigma > 0)
		snprintf(blur, sizeof blur, " blur %.1f", (double)params->blur_sigma);
	snprintf(text, capacity, "crop %" PRIu32 ",%" PRIu32 " %" PRIu32 "x%" PRIu32 "%s%s%s%s", params->x, params->y,
		params->width, params->height, params->flip ? " flip" : "", colours, params->gray ? " gray" : "", blur);
}
