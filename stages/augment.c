/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/augment.h"

#include "stages/view_render.h"

void augment_draw(const struct augment *augment, uint32_t width, uint32_t height, uint32_t epoch, uint64_t record,
	struct view_params *params)
{
	for (uint32_t view = 0; view < augment->policies.count; view++) {
		struct philox stream = philox_stream(augment->seed, epoch, record, view, PHILOX_AUGMENT);
		view_params_draw(&params[view], &augment->policies.view[view], width, height, &stream);
	}
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* The union of the crops. The scale is the coarsest at which the smallest crop still has a pixel for each of the
 * view's: less would blur it. */
struct codec_region augment_region(
	const struct augment *augment, const struct view_params *params, uint32_t width, uint32_t height)
{
	struct codec_region region = {.width = width, .height = height, .scale = 1};
	if (augment->mode == DECODE_FULL)
		return region;
	uint32_t x = width, y = height, end_x = 0, end_y = 0, side = UINT32_MAX;
	for (uint32_t view = 0; view < augment->policies.count; view++) {
		const struct view_params *crop = &params[view];
		x = least(x, crop->x);
		y = least(y, crop->y);
		end_x = most(end_x, crop->x + crop->width);
		end_y = most(end_y, crop->y + crop->height);
		side = least(side, least(crop->width, crop->height));
	}
	region = (struct codec_region){.x = x, .y = y, .width = end_x - x, .height = end_y - y, .scale = 1};
	while (region.scale < 8 && side / (2 * region.scale) >= augment->policies.view[0].size)
		region.scale *= 2;
	return region;
}

void augment_image(const struct augment *augment, const struct view_params *params, const struct codec_pixels *image,
	uint32_t row, float *scratch, float *x)
{
	const uint32_t size = augment->policies.view[0].size;
	for (uint32_t view = 0; view < augment->policies.count; view++) {
		const size_t at = (size_t)view * augment->capacity + row;
		view_render(augment->kernels, &params[view], size, image, scratch, x + at * size * size * 3);
	}
}
