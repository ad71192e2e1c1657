/* SPDX-License-Identifier: Apache-2.0 */
/* A decoder of baseline JPEG that decodes a part of an image; the same pixels as libjpeg-turbo's, in less time. */
#ifndef RINGCLR_STAGES_JPEG_DECODE_H
#define RINGCLR_STAGES_JPEG_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/cpu.h"
#include "pipeline/error.h"
#include "stages/codec.h"

/* Memory of one thread. It grows with the largest image seen; nothing in it changes results. */
struct jpeg_decoder;
struct jpeg_decoder *jpeg_decoder_create(enum cpu_isa isa); /* NULL: no memory */
void jpeg_decoder_destroy(struct jpeg_decoder *decoder);    /* NULL is allowed */

/* All the memory that files of that size and width can need. */
int jpeg_decoder_reserve(struct jpeg_decoder *decoder, uint32_t width, size_t file_bytes, struct error *err);

/* Bytes from one row to the next, of `width` pixels decoded. */
size_t jpeg_decode_stride(uint32_t width);

/* As codec_decode_region(), of a region that lies in the image. Returns JPEG_NOT_OURS, having touched nothing but the
 * buffer, when the file is of another kind, of another size than width x height, or damaged as far as this had to
 * look: libjpeg is to decode it or to say what is wrong. */
enum { JPEG_NOT_OURS = 1 };
int jpeg_decode_region(struct jpeg_decoder *decoder, const void *data, size_t bytes, uint32_t width, uint32_t height,
	const struct codec_region *region, uint8_t *buffer, size_t capacity_bytes, struct codec_pixels *out,
	struct error *err);

/* 0 when all of the file is sound, as far as the entropy-coded data of a whole image can tell: then libjpeg finds no
 * fault in it either. Else JPEG_NOT_OURS as above. */
int jpeg_decode_check(struct jpeg_decoder *decoder, const void *data, size_t bytes, uint32_t width, uint32_t height,
	struct error *err);

#endif
