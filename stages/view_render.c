/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hands a view's steps to the pixel kernels in runs as long as possible. Steps that the kernels do not have (those few
 * use) are done by the reference's functions in between. A flip costs nothing while no such step came before: it
 * mirrors the columns of the resize, and neither colours nor blur mind where left is.
 */
#include "stages/view_render.h"

size_t view_render_scratch_floats(const struct view_policies *policies, uint32_t max_width, uint32_t max_height)
{
	const size_t kernels = pixels_scratch_floats(max_width, max_height, policies->view[0].size);
	const size_t reference = view_policies_scratch_floats(policies, 1, 1);
	return kernels > reference ? kernels : reference;
}

/* Where the crop lies in what was decoded. */
static struct pixels_source source_of(const struct view_params *params, const struct codec_pixels *image)
{
	const double scale = image->scale;
	struct pixels_source source = {
		.pixels = image->pixels,
		.stride_bytes = image->stride_bytes,
		.channels = image->channels,
		.x = params->x / scale - image->x,
		.y = params->y / scale - image->y,
		.width = params->width / scale,
		.height = params->height / scale,
	};
	return source;
}

static bool has_kernel(const struct view_drawn *drawn, uint32_t size, struct pixels_op *op)
{
	op->value = drawn->value;
	switch (drawn->op) {
	case VIEW_OP_BRIGHTNESS:
		op->kind = PIXELS_BRIGHTNESS;
		return true;
	case VIEW_OP_CONTRAST:
		op->kind = PIXELS_CONTRAST;
		return true;
	case VIEW_OP_SATURATION:
		op->kind = PIXELS_SATURATION;
		return true;
	case VIEW_OP_HUE:
		op->kind = PIXELS_HUE;
		return true;
	case VIEW_OP_GRAY:
		op->kind = PIXELS_GRAY;
		return true;
	case VIEW_OP_SOLARIZE:
		op->kind = PIXELS_SOLARIZE;
		return true;
	case VIEW_OP_BLUR:
		op->kind = PIXELS_BLUR;
		op->taps = pixels_blur_taps(size);
		return true;
	default:
		return false;
	}
}

void view_render(const struct pixel_kernels *kernels, const struct view_params *params, uint32_t size,
	const struct codec_pixels *image, float *scratch, float *out)
{
	const struct pixels_source source = source_of(params, image);
	const struct pixels_source *from = &source; /* until the first run has resized it */
	bool flip = false;
	uint32_t i = 0;
	while (from || i < params->count) {
		struct pixels_op ops[PIXELS_MAX_OPS];
		size_t count = 0;
		for (; i < params->count && count < PIXELS_MAX_OPS; i++) {
			if (from && params->drawn[i].op == VIEW_OP_FLIP)
				flip = !flip;
			else if (has_kernel(&params->drawn[i], size, &ops[count]))
				count++;
			else
				break;
		}
		if (from || count > 0)
			kernels->render(from, size, flip, ops, count, scratch, out);
		from = NULL;
		for (; i < params->count && !has_kernel(&params->drawn[i], size, &ops[0]); i++)
			view_apply_step(&params->drawn[i], size, scratch, out);
	}
}
