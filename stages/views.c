/* SPDX-License-Identifier: Apache-2.0 */
/* A view from its parameters: the crop resized to a square, then each drawn step on it, in order. */
#include "stages/views.h"

uint32_t pixels_blur_taps(uint32_t size)
{
	const uint32_t taps = size / 10 / 2 * 2 + 1;
	return taps > 1 || size == 1 ? taps : 3; /* a kernel of one pixel would be no blur */
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

size_t view_scratch_floats(const struct view_policy *policy, uint32_t max_width, uint32_t max_height)
{
	const uint32_t size = policy->size;
	size_t floats = pixels_resized_crop_scratch_floats(max_width, max_height, size, size);
	for (uint32_t i = 1; i < policy->count; i++)
		if (policy->steps[i].op == VIEW_OP_BLUR)
			floats = larger(floats, pixels_blur_scratch_floats(size, size, pixels_blur_taps(size)));
		else if (policy->steps[i].op == VIEW_OP_SOBEL)
			floats = larger(floats, (size_t)size * size * 3);
	return floats;
}

size_t view_policies_scratch_floats(const struct view_policies *policies, uint32_t max_width, uint32_t max_height)
{
	size_t floats = 0;
	for (uint32_t view = 0; view < policies->count; view++)
		floats = larger(floats, view_scratch_floats(&policies->view[view], max_width, max_height));
	return floats;
}

void view_apply_step(const struct view_drawn *drawn, uint32_t size, float *scratch, float *out)
{
	const size_t pixels = (size_t)size * size;
	switch (drawn->op) {
	case VIEW_OP_FLIP:
		pixels_flip(out, size, size);
		break;
	case VIEW_OP_VFLIP:
		pixels_vflip(out, size, size);
		break;
	case VIEW_OP_ROTATE90:
		pixels_rotate90(out, size, drawn->quarters);
		break;
	case VIEW_OP_BRIGHTNESS:
		pixels_brightness(out, pixels, drawn->value);
		break;
	case VIEW_OP_CONTRAST:
		pixels_contrast(out, pixels, drawn->value);
		break;
	case VIEW_OP_SATURATION:
		pixels_saturation(out, pixels, drawn->value);
		break;
	case VIEW_OP_HUE:
		pixels_hue(out, pixels, drawn->value);
		break;
	case VIEW_OP_GRAY:
		pixels_gray(out, pixels);
		break;
	case VIEW_OP_BLUR:
		pixels_blur(out, size, size, pixels_blur_taps(size), drawn->value, scratch);
		break;
	case VIEW_OP_SOLARIZE:
		pixels_solarize(out, pixels, drawn->value);
		break;
	case VIEW_OP_CUTOUT:
		pixels_cutout(out, size, drawn->hole.x, drawn->hole.y, drawn->hole.width, drawn->hole.height);
		break;
	case VIEW_OP_SOBEL:
		pixels_sobel(out, size, size, scratch);
		break;
	case VIEW_OP_NOISE:
		pixels_noise(out, pixels, drawn->value, drawn->key);
		break;
	default: /* crops are done, and color is drawn as its four */
		break;
	}
}

void view_apply_steps(const struct view_params *params, uint32_t size, float *scratch, float *out)
{
	for (uint32_t i = 0; i < params->count; i++)
		view_apply_step(&params->drawn[i], size, scratch, out);
}

void view_apply(const struct view_policy *policy, const struct view_params *params, const uint8_t *rgb,
	uint32_t image_width, uint32_t image_height, float *scratch, float *out)
{
	pixels_resized_crop(rgb, image_width, image_height, params->x, params->y, params->width, params->height,
		policy->size, policy->size, scratch, out);
	view_apply_steps(params, policy->size, scratch, out);
}
