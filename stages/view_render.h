/* SPDX-License-Identifier: Apache-2.0 */
/* A view by the kernels of an instruction set: what view_apply() says, in as few walks as the drawn steps allow. */
#ifndef RINGCLR_STAGES_VIEW_RENDER_H
#define RINGCLR_STAGES_VIEW_RENDER_H

#include "stages/codec.h"
#include "stages/pixels_kernels.h"
#include "stages/views.h"

/* Floats of scratch for images up to that size. */
size_t view_render_scratch_floats(const struct view_policies *policies, uint32_t max_width, uint32_t max_height);

/* image: holds params' crop, at any scale. scratch: 64-byte aligned. out: [size][size][3] in [0,1]. */
void view_render(const struct pixel_kernels *kernels, const struct view_params *params, uint32_t size,
	const struct codec_pixels *image, float *scratch, float *out);

#endif
