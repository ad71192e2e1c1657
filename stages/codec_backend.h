/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What codec.c asks of one image format. Only codec*.c include this.
 *
 * Every message begins with the format's name and says what is wrong with the image, in the library's own words where
 * it has some; which record it was, the caller adds.
 */
#ifndef RINGCLR_STAGES_CODEC_BACKEND_H
#define RINGCLR_STAGES_CODEC_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/cpu.h"
#include "pipeline/error.h"
#include "stages/codec.h"

/* Rows of a region may be padded to a multiple of this. */
enum { CODEC_ROW_PIXELS = 64 };

struct codec_backend {
	const char *name;
	/* By the first bytes alone; NULL: this format has no signature. */
	bool (*matches)(const uint8_t *data, size_t bytes);
	int (*probe)(const void *data, size_t bytes, uint32_t *width, uint32_t *height, struct error *err);
	/* State that lives as long as its thread; NULL: the format needs none. */
	void *(*state_create)(enum cpu_isa isa);
	void (*state_destroy)(void *state);
	/* As codec_context_reserve(); NULL: the state does not grow. */
	int (*reserve)(void *state, uint32_t width, size_t image_bytes, struct error *err);
	/* rgb has room for width * height * 3 bytes, width and height are 1..SHARD_MAX_SIDE. Nothing may be allocated
	 * for an image before its header has been found to say width x height (codec_same_size). cut: NULL, or false
	 * and to be set as codec_decode_cut() says. */
	int (*decode)(void *state, const void *data, size_t bytes, uint32_t width, uint32_t height, uint8_t *rgb,
		bool *cut, struct error *err);
	/* What decode() would return. */
	int (*check)(void *state, const void *data, size_t bytes, uint32_t width, uint32_t height, bool *cut,
		struct error *err);
	/* A part of the image, which lies in it; NULL: this format is decoded whole. `buffer` has room for
	 * codec_region_bytes(). */
	int (*decode_region)(void *state, const void *data, size_t bytes, uint32_t width, uint32_t height,
		const struct codec_region *region, uint8_t *buffer, size_t capacity_bytes, struct codec_pixels *out,
		struct error *err);
};

extern const struct codec_backend codec_backend_jpeg, codec_backend_webp, codec_backend_png, codec_backend_raw;

/* 0, or ERROR_DECODE when the image's header says another size than the index. */
int codec_same_size(const char *name, uint32_t image_width, uint32_t image_height, uint32_t width, uint32_t height,
	struct error *err);

/* A region as it is, in full size and 3 channels; its first pixel and the bytes of a row there. */
struct codec_pixels codec_pixels_part(
	const uint8_t *pixels, size_t stride_bytes, const struct codec_region *region, uint32_t width, uint32_t height);

#endif
