/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random views of an image (RECIPE: Augmentation): crop, flip, colour jitter, grayscale, blur, in this order, with
 * torchvision's semantics for float tensors in [0,1], clipped after each operation.
 *
 * Drawing the parameters and applying them are apart, so that every operation can be checked at fixed parameters.
 */
#ifndef RINGCLR_STAGES_VIEWS_H
#define RINGCLR_STAGES_VIEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/philox.h"

enum view_policy_kind {
	VIEW_SIMCLR,	/* the full recipe */
	VIEW_CROP_FLIP, /* random resized crop and flip: linear evaluation, fine-tuning */
	VIEW_CENTER, /* evaluation: the centre 87.5% of the short side, resized; at size <= 32 an image of exactly that
			size as it is (others: the whole centre square, resized) */
};

struct view_policy {
	enum view_policy_kind kind;
	uint32_t size;		  /* output side in pixels */
	float strength;		  /* s of the colour jitter */
	float blur_probability;	  /* 0.5; 0 at 32 px */
	float area_min, area_max; /* 0.08, 1 */
};

/* The recipe's values for that output size (blur off at <= 32 px). */
void view_policy_init(struct view_policy *policy, enum view_policy_kind kind, uint32_t size, float strength);

enum view_colour_op { VIEW_BRIGHTNESS, VIEW_CONTRAST, VIEW_SATURATION, VIEW_HUE };

struct view_params {
	uint32_t x, y, width, height; /* crop, in pixels of the image */
	bool flip;
	bool jitter;
	uint8_t order[4]; /* enum view_colour_op, in order of application */
	float factor[4];  /* by enum view_colour_op; hue is a shift in [-0.5, 0.5] turns */
	bool gray;
	float blur_sigma; /* 0: no blur */
};

/* torchvision's RandomResizedCrop.get_params rule (10 tries, then the centre fallback), ColorJitter and so on, from the
 * stream. A pure function of (policy, image size, stream). Takes VIEW_DRAW_WORDS words of the stream, always (none for
 * VIEW_CENTER), and every parameter has its own word: view_params.c lists them. */
enum { VIEW_DRAW_WORDS = 52 };
void view_params_draw(struct view_params *params, const struct view_policy *policy, uint32_t image_width,
	uint32_t image_height, struct philox *stream);

/* Floats of scratch that view_apply() needs for images up to this size. */
size_t view_scratch_floats(const struct view_policy *policy, uint32_t max_width, uint32_t max_height);

/* rgb: [image_height][image_width][3]. out: [size][size][3] in [0,1] (NHWC row of a batch). scratch: from above,
 * 64-byte aligned, from malloc or an arena (it will hold integers too). */
void view_apply(const struct view_policy *policy, const struct view_params *params, const uint8_t *rgb,
	uint32_t image_width, uint32_t image_height, float *scratch, float *out);

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

#endif
