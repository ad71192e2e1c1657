/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 3's views: what is drawn for an image before it is decoded, what of the image that needs, and, once it is
 * decoded, its rows of a batch, one a view.
 */
#ifndef RINGCLR_STAGES_AUGMENT_H
#define RINGCLR_STAGES_AUGMENT_H

#include <stdint.h>

#include "stages/codec.h"
#include "stages/pixels_kernels.h"
#include "stages/views.h"

/* How much of an image is decoded. */
enum decode_mode {
	DECODE_NEEDED, /* what the crops need, at the least of 1/1, 1/2, 1/4, 1/8 of its size that gives every view its
			  resolution */
	DECODE_FULL,   /* all of it at full size: the reference, the same pixels for every program */
};

struct augment {
	struct view_policies policies;
	uint32_t capacity; /* images of a batch: view v of row i is row v * capacity + i */
	uint64_t seed;
	enum decode_mode mode;
	const struct pixel_kernels *kernels;
};

/* params: [policies.count], for an image of that size. They depend on (seed, epoch, record, view) alone. */
void augment_draw(const struct augment *augment, uint32_t width, uint32_t height, uint32_t epoch, uint64_t record,
	struct view_params *params);

/* The part of the image that those crops lie in, and the scale. */
struct codec_region augment_region(
	const struct augment *augment, const struct view_params *params, uint32_t width, uint32_t height);

/* x: the batch, [views * capacity][size][size][3]; fills the image's rows. */
void augment_image(const struct augment *augment, const struct view_params *params, const struct codec_pixels *image,
	uint32_t row, float *scratch, float *x);

#endif
