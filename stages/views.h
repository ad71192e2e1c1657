/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random views of an image: a crop resized to a square, then steps on it (flips, colours, blur...) in the order of a
 * policy, with torchvision's semantics for float tensors in [0,1], clipped after each. stages/view_policy.h makes
 * policies from text.
 *
 * Drawing the parameters and applying them are apart, so that every operation can be checked at fixed parameters, and
 * that what a view needs of an image is known before the image is decoded.
 */
#ifndef RINGCLR_STAGES_VIEWS_H
#define RINGCLR_STAGES_VIEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/philox.h"

/* view_policy.c says of each what it is called and takes. */
enum view_op {
	/* Which part of the image becomes the square: a policy's first step, always applied. */
	VIEW_OP_CROP,	/* area_min, area_max, aspect_min, aspect_max */
	VIEW_OP_CENTER, /* share of the short side */
	VIEW_OP_WHOLE,
	/* On the square, in any order. */
	VIEW_OP_FLIP,
	VIEW_OP_VFLIP,
	VIEW_OP_ROTATE90,
	VIEW_OP_COLOR,	    /* spreads of brightness, contrast, saturation; hue: the four below in random order */
	VIEW_OP_BRIGHTNESS, /* spread */
	VIEW_OP_CONTRAST,
	VIEW_OP_SATURATION,
	VIEW_OP_HUE, /* largest shift, in turns */
	VIEW_OP_GRAY,
	VIEW_OP_BLUR,	  /* sigma_min, sigma_max, in pixels of the output */
	VIEW_OP_SOLARIZE, /* threshold */
	VIEW_OP_CUTOUT,	  /* share of the side */
	VIEW_OP_SOBEL,
	VIEW_OP_NOISE, /* standard deviation */
	VIEW_OPS,
};

enum { VIEW_MAX_STEPS = 16, VIEW_MAX_VIEWS = 16, VIEW_MAX_ARGS = 4 };

struct view_step {
	enum view_op op;
	double probability;
	double args[VIEW_MAX_ARGS]; /* by op, as listed above */
};

/* How one view is made. */
struct view_policy {
	uint32_t size;	/* output side in pixels */
	uint32_t count; /* of steps; at least 1 */
	struct view_step steps[VIEW_MAX_STEPS];
};

/* How the views of each image are made: all of one size. */
struct view_policies {
	uint32_t count; /* views of an image; 1 to VIEW_MAX_VIEWS */
	struct view_policy view[VIEW_MAX_VIEWS];
};

/* A step that is applied, with what was drawn for it. VIEW_OP_COLOR never comes here: it becomes four of these. */
struct view_drawn {
	enum view_op op;
	float value; /* factor of a colour, shift of hue in [-0.5, 0.5] turns, sigma of blur and noise, threshold */
	union {
		struct {
			uint32_t x, y, width, height; /* cutout, inside the output */
		} hole;
		uint32_t quarters; /* rotate90: 1 to 3, counter-clockwise */
		uint32_t key[2];   /* noise: of its random numbers */
	};
};

struct view_params {
	uint32_t x, y, width, height; /* crop, in pixels of the image */
	uint32_t count;
	struct view_drawn drawn[4 * VIEW_MAX_STEPS]; /* [count], in order of application */
};

/* torchvision's RandomResizedCrop.get_params rule (10 tries, then the centre fallback), ColorJitter and so on, from the
 * start of the stream, which stays where it is. A pure function of (policy, image size, stream): every parameter has
 * its own word of the stream, whatever the policy's other steps: view_params.c lists them. */
void view_params_draw(struct view_params *params, const struct view_policy *policy, uint32_t image_width,
	uint32_t image_height, const struct philox *stream);

/* Floats of scratch that view_apply() needs for images up to this size; for all views of a set: the most of them. */
size_t view_scratch_floats(const struct view_policy *policy, uint32_t max_width, uint32_t max_height);
size_t view_policies_scratch_floats(const struct view_policies *policies, uint32_t max_width, uint32_t max_height);

/* rgb: [image_height][image_width][3]. out: [size][size][3] in [0,1] (NHWC row of a batch). scratch: from above,
 * 64-byte aligned, from malloc or an arena (it will hold integers too). */
void view_apply(const struct view_policy *policy, const struct view_params *params, const uint8_t *rgb,
	uint32_t image_width, uint32_t image_height, float *scratch, float *out);
/* Its second half: the drawn steps, or one of them, on the square in place. */
void view_apply_step(const struct view_drawn *drawn, uint32_t size, float *scratch, float *out);
void view_apply_steps(const struct view_params *params, uint32_t size, float *scratch, float *out);

/* One line for people: "crop 12,3 20x18 flip b1.10 c0.92 s1.30 h-0.04 gray blur 0.8". */
void view_params_describe(const struct view_params *params, char *text, size_t capacity);

/* The single operations, on [height][width][3] floats in place unless said, each equal to torchvision's function of
 * that name on a float tensor. The scalar reference of the pixel kernels. */

/* Bicubic, antialiased, then clipped to [0,1]. rgb: [image_height][image_width][3]; x, y, width, height: the crop,
 * inside the image; out: [out_height][out_width][3]; scratch as for view_apply(). */
size_t pixels_resized_crop_scratch_floats(uint32_t width, uint32_t height, uint32_t out_width, uint32_t out_height);
void pixels_resized_crop(const uint8_t *rgb, uint32_t image_width, uint32_t image_height, uint32_t x, uint32_t y,
	uint32_t width, uint32_t height, uint32_t out_width, uint32_t out_height, float *scratch, float *out);
void pixels_flip(float *image, uint32_t width, uint32_t height);
void pixels_brightness(float *image, size_t pixels, float factor);
void pixels_contrast(float *image, size_t pixels, float factor);
void pixels_saturation(float *image, size_t pixels, float factor);
void pixels_hue(float *image, size_t pixels, float shift); /* -0.5 <= shift <= 0.5 turns */
void pixels_gray(float *image, size_t pixels);		   /* the three channels become equal */

/* taps: odd, below 2 * width and 2 * height; sigma > 0, in pixels. Reflects at the edges, without repeating them. */
size_t pixels_blur_scratch_floats(uint32_t width, uint32_t height, uint32_t taps);
void pixels_blur(float *image, uint32_t width, uint32_t height, uint32_t taps, float sigma, float *scratch);
uint32_t pixels_blur_taps(uint32_t size); /* of views: 10% of the height, made odd, 3 at least; 23 at 224 */

/* pixels_effects.c */
void pixels_vflip(float *image, uint32_t width, uint32_t height);
void pixels_rotate90(float *image, uint32_t side, uint32_t quarters); /* counter-clockwise; a square */
void pixels_solarize(float *image, size_t pixels, float threshold);   /* 1 - v where v >= threshold */
/* Zeros in the rectangle, which lies inside the image. */
void pixels_cutout(float *image, uint32_t image_width, uint32_t x, uint32_t y, uint32_t width, uint32_t height);
/* Each channel becomes sqrt(dx^2 + dy^2) of its 3x3 Sobel derivatives. Reflects at the edges like blur; scratch: as
 * many floats as the image. */
void pixels_sobel(float *image, uint32_t width, uint32_t height, float *scratch);
/* Adds a normal number of that standard deviation to each float: a function of (key, place of the float) alone. */
void pixels_noise(float *image, size_t pixels, float sigma, const uint32_t key[2]);

#endif
