/* SPDX-License-Identifier: Apache-2.0 */
/* A view from its parameters: the order of the operations is the recipe's. */
#include "stages/views.h"

/* 10% of the output's height, made odd: 23 at 224 pixels. */
static uint32_t blur_taps(uint32_t size)
{
	return size / 10 / 2 * 2 + 1;
}

size_t view_scratch_floats(const struct view_policy *policy, uint32_t max_width, uint32_t max_height)
{
	const uint32_t size = policy->size;
	const size_t crop = pixels_resized_crop_scratch_floats(max_width, max_height, size, size);
	const size_t blur = pixels_blur_scratch_floats(size, size, blur_taps(size));
	return crop > blur ? crop : blur;
}

static void adjust_colour(float *image, size_t pixels, enum view_colour_op op, float factor)
{
	switch (op) {
	case VIEW_BRIGHTNESS:
		pixels_brightness(image, pixels, factor);
		break;
	case VIEW_CONTRAST:
		pixels_contrast(image, pixels, factor);
		break;
	case VIEW_SATURATION:
		pixels_saturation(image, pixels, factor);
		break;
	case VIEW_HUE:
		pixels_hue(image, pixels, factor);
		break;
	}
}

void view_apply(const struct view_policy *policy, const struct view_params *params, const uint8_t *rgb,
	uint32_t image_width, uint32_t image_height, float *scratch, float *out)
{
	const uint32_t size = policy->size;
	const size_t pixels = (size_t)size * size;
	pixels_resized_crop(rgb, image_width, image_height, params->x, params->y, params->width, params->height, size,
		size, scratch, out);
	if (params->flip)
		pixels_flip(out, size, size);
	for (unsigned i = 0; params->jitter && i < 4; i++)
		adjust_colour(out, pixels, (enum view_colour_op)params->order[i], params->factor[params->order[i]]);
	if (params->gray)
		pixels_gray(out, pixels);
	if (params->blur_sigma > 0)
		pixels_blur(out, size, size, blur_taps(size), params->blur_sigma, scratch);
}
