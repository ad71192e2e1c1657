/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image codecs behind one table: bytes in, RGB out. Grayscale, CMYK and YCCK JPEG, palette, 16-bit and alpha become
 * 8-bit RGB (alpha is dropped after compositing nothing: colours as stored). A truncated image is an error unless asked
 * for (codec_decode_cut).
 */
#ifndef RINGCLR_STAGES_CODEC_H
#define RINGCLR_STAGES_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/shard.h" /* enum shard_codec */
#include "pipeline/cpu.h"
#include "pipeline/error.h"

struct codec_info {
	enum shard_codec codec;
	uint32_t width, height;
};

/* Recognises JPEG, WebP or PNG by its first bytes and reads the size from the header. ERROR_DECODE when it is none of
 * them, or its size is 0 or over SHARD_MAX_SIDE a side. */
int codec_probe(const void *data, size_t bytes, struct codec_info *info, struct error *err);

/* Decoder state of one thread. It may grow with the largest image seen, but never changes what an image decodes to; nor
 * does the instruction set. */
struct codec_context;
struct codec_context *codec_context_create(enum cpu_isa isa, struct error *err);
void codec_context_destroy(struct codec_context *context); /* NULL is allowed */

/* Takes now what decoding images of that codec and width, of no more than image_bytes encoded, will take: then baseline
 * JPEG allocates nothing more by region or check. That is 98 bytes for each pixel of width and image_bytes (unreserved
 * it grows to 5/4 of that), and all that a context holds between images. While it decodes, a library takes its own:
 * libjpeg up to 8 bytes a pixel of the image if it is progressive, libwebp up to 5, libspng and baseline JPEG a few
 * rows; and only after the header has been found to say the width and height that the caller has allowed. */
int codec_context_reserve(
	struct codec_context *context, enum shard_codec codec, uint32_t width, size_t image_bytes, struct error *err);

/* Decodes to rgb [height][width][3] (capacity_bytes at least width * height * 3). width, height: what the index
 * says; an image of another size is ERROR_DECODE. For SHARD_RAW, bytes must be exactly width * height * 3. */
int codec_decode(struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes, uint32_t width,
	uint32_t height, uint8_t *rgb, size_t capacity_bytes, struct error *err);

/* The same for pictures that may be cut short: *cut says whether it was, and what is missing is then filled as libjpeg
 * fills it (gray, or in a progressive file coarse). Cut is a JPEG whose data end, or reach the end-of-image marker,
 * before the last pixel or without that marker, but not within its first row of blocks (that is nothing to look at),
 * nor within the tables between two progressive scans. Other damage (codes that are none, a wrong restart marker before
 * the end) is an error as ever, and so is any damage to the other formats. */
int codec_decode_cut(struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes,
	uint32_t width, uint32_t height, uint8_t *rgb, size_t capacity_bytes, bool *cut, struct error *err);

/* What codec_decode() (cut == NULL) or codec_decode_cut() would return, without a picture: for less work, and in memory
 * for a few rows beside what the format's library takes. */
int codec_check(struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes, uint32_t width,
	uint32_t height, bool *cut, struct error *err);

/* What of an image to decode: a rectangle in pixels of the full image, at 1/scale of its size. */
struct codec_region {
	uint32_t x, y, width, height;
	unsigned scale; /* 1, 2, 4 or 8 */
};

/* What was decoded: the rectangle [x, x + width) x [y, y + height) of the image at 1/scale, which is image_width x
 * image_height pixels (the full size / scale, rounded up). It covers the region asked for, of which a pixel (x, y) of
 * the full image is at (x / scale, y / scale). Only JPEG is scaled; scale is 1 for the others. */
struct codec_pixels {
	const uint8_t *pixels; /* row r from r * stride_bytes on; in the buffer, or (raw) in the data */
	size_t stride_bytes;
	unsigned channels; /* bytes of a pixel: 3 (R, G, B) or 4 (a byte of no meaning behind them) */
	uint32_t x, y, width, height;
	unsigned scale;
	uint32_t image_width, image_height;
};

/* A whole image of 3 channels, its rows one after the other. */
struct codec_pixels codec_pixels_whole(const uint8_t *rgb, uint32_t width, uint32_t height);

/* Decodes at least the region, with less work than the whole image where the format allows it: raw is not even copied,
 * PNG is decoded whole. Every pixel made is the one that codec_decode() makes; a scaled JPEG's pixels are those of
 * libjpeg at that scale (islow). The buffer has codec_region_bytes().
 *
 * Damage is an error as in codec_decode() if it lies where this had to look: a file that is cut or changed below the
 * region, or between two restart markers outside it, may go unnoticed. */
int codec_decode_region(struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes,
	uint32_t width, uint32_t height, const struct codec_region *region, uint8_t *buffer, size_t capacity_bytes,
	struct codec_pixels *out, struct error *err);

/* Bytes that a buffer must have for any region of an image of that size, whatever its format. */
size_t codec_region_bytes(uint32_t width, uint32_t height);

/* Encoding, for pack and synth: PNG, WebP lossy (quality 0..100) and lossless, JPEG (quality 1..100, sides up to
 * 65,500). *out is malloc'd. JPEG's quality is libjpeg's and everyone's; below 90 chroma has half the resolution both
 * ways (4:2:0, as Pillow's default), from there on full resolution (4:4:4, as ImageMagick's). */
int codec_encode_png(const uint8_t *rgb, uint32_t width, uint32_t height, void **out, size_t *bytes, struct error *err);
int codec_encode_webp(const uint8_t *rgb, uint32_t width, uint32_t height, int lossless, float quality, void **out,
	size_t *bytes, struct error *err);
int codec_encode_jpeg(
	const uint8_t *rgb, uint32_t width, uint32_t height, int quality, void **out, size_t *bytes, struct error *err);

/* A JPEG that codec_check() takes becomes one that is the right way up as stored, if it is of that Exif orientation,
 * without loss: its coefficients are rearranged. A file cut short becomes whole, what is missing written as libjpeg
 * fills it; orientation 1 does only that. CODEC_TURN_LOSSY when the size (not a whole number of MCUs towards an edge
 * that becomes the left or upper one) or the sampling does not allow it: pixels are then to be turned and encoded. */
enum { CODEC_TURN_LOSSY = 1 };
int codec_turn_jpeg(
	const void *data, size_t bytes, unsigned orientation, void **out, size_t *out_bytes, struct error *err);

#endif
