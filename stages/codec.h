/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image codecs behind one table: bytes in, RGB out. Grayscale, CMYK and YCCK JPEG, palette, 16-bit and alpha become
 * 8-bit RGB (alpha is dropped after compositing nothing: colours as stored). A truncated image is an error.
 */
#ifndef RINGCLR_STAGES_CODEC_H
#define RINGCLR_STAGES_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "io/shard.h" /* enum shard_codec */
#include "pipeline/error.h"

struct codec_info {
	enum shard_codec codec;
	uint32_t width, height;
};

/* Recognises JPEG, WebP or PNG by its first bytes and reads the size from the header. ERROR_DECODE when it is none of
 * them, or its size is 0 or over SHARD_MAX_SIDE a side. */
int codec_probe(const void *data, size_t bytes, struct codec_info *info, struct error *err);

/* Decoder state of one thread. */
struct codec_context;
struct codec_context *codec_context_create(struct error *err);
void codec_context_destroy(struct codec_context *context); /* NULL is allowed */

/* Decodes to rgb [height][width][3] (capacity_bytes at least width * height * 3). width, height: what the index
 * says; an image of another size is ERROR_DECODE. For SHARD_RAW, bytes must be exactly width * height * 3. */
int codec_decode(struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes, uint32_t width,
	uint32_t height, uint8_t *rgb, size_t capacity_bytes, struct error *err);

/* Encoding, for pack and synth: PNG, WebP lossy (quality 0..100) and lossless. *out is malloc'd. */
int codec_encode_png(const uint8_t *rgb, uint32_t width, uint32_t height, void **out, size_t *bytes, struct error *err);
int codec_encode_webp(const uint8_t *rgb, uint32_t width, uint32_t height, int lossless, float quality, void **out,
	size_t *bytes, struct error *err);

#endif
