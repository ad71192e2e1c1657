/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JPEGs made: from pixels by libjpeg, and from other JPEGs by TurboJPEG, which rearranges the quantised coefficients of
 * the blocks, so that nothing is lost. What the file says besides (Exif, colour profile) goes along; the new file is
 * baseline, also where the old one was progressive.
 *
 * Blocks can be mirrored only where they are all of the image's: its last MCU column or row, if it is padded, would
 * have to come first.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>
#include <turbojpeg.h>

#include "stages/codec.h"
#include "stages/exif.h"

enum { FULL_CHROMA_QUALITY = 90 };

struct jpeg_writing {
	struct jpeg_compress_struct encoder;
	struct jpeg_error_mgr errors;
	jmp_buf escape;
	int code;
	char message[JMSG_LENGTH_MAX];
	unsigned char *data;
	unsigned long bytes;
};

__attribute__((noreturn)) static void on_error(j_common_ptr encoder)
{
	struct jpeg_writing *writing = encoder->client_data;
	writing->code = encoder->err->msg_code == JERR_OUT_OF_MEMORY ? ERROR_MEMORY : ERROR_UNSUPPORTED;
	encoder->err->format_message(encoder, writing->message);
	longjmp(writing->escape, 1);
}

static void write_image(struct jpeg_writing *writing, const uint8_t *rgb, uint32_t width, uint32_t height, int quality)
{
	struct jpeg_compress_struct *encoder = &writing->encoder;
	jpeg_mem_dest(encoder, &writing->data, &writing->bytes);
	encoder->image_width = width;
	encoder->image_height = height;
	encoder->input_components = 3;
	encoder->in_color_space = JCS_RGB;
	jpeg_set_defaults(encoder);
	jpeg_set_quality(encoder, quality, TRUE);
	encoder->optimize_coding = TRUE;
	if (quality >= FULL_CHROMA_QUALITY)
		encoder->comp_info[0].h_samp_factor = encoder->comp_info[0].v_samp_factor = 1;
	jpeg_start_compress(encoder, TRUE);
	while (encoder->next_scanline < height) {
		/* libjpeg does not change them; its type predates const. */
		JSAMPROW row = (JSAMPROW)(uintptr_t)(rgb + (size_t)encoder->next_scanline * width * 3);
		jpeg_write_scanlines(encoder, &row, 1);
	}
	jpeg_finish_compress(encoder);
}

int codec_encode_jpeg(
	const uint8_t *rgb, uint32_t width, uint32_t height, int quality, void **out, size_t *bytes, struct error *err)
{
	if (quality < 1 || quality > 100)
		return error_set(err, ERROR_USAGE, "JPEG: quality %d is not in 1..100", quality);
	struct jpeg_writing *writing = calloc(1, sizeof *writing);
	if (writing == NULL)
		return error_set(err, ERROR_MEMORY, "JPEG: no memory for an encoder");
	writing->encoder.err = jpeg_std_error(&writing->errors);
	writing->errors.error_exit = on_error;
	writing->encoder.client_data = writing;
	int result = 0;
	if (setjmp(writing->escape) == 0) {
		jpeg_create_compress(&writing->encoder);
		write_image(writing, rgb, width, height, quality);
		*out = writing->data;
		*bytes = writing->bytes;
	} else {
		result = error_set(err, writing->code, "JPEG: encoding %" PRIu32 "x%" PRIu32 ": %s", width, height,
			writing->message);
		free(writing->data);
	}
	jpeg_destroy_compress(&writing->encoder);
	free(writing);
	return result;
}

/* TurboJPEG's memory to the caller's, its orientation now as stored. */
static int hand_over(const unsigned char *made, size_t made_bytes, void **out, size_t *bytes, struct error *err)
{
	*out = malloc(made_bytes);
	if (*out == NULL)
		return error_set(err, ERROR_MEMORY, "JPEG: no memory for a turned image");
	memcpy(*out, made, made_bytes);
	*bytes = made_bytes;
	exif_reset_jpeg(*out, *bytes);
	return 0;
}

int codec_turn_jpeg(
	const void *data, size_t bytes, unsigned orientation, void **out, size_t *out_bytes, struct error *err)
{
	static const int operations[9] = {TJXOP_NONE, TJXOP_NONE, TJXOP_HFLIP, TJXOP_ROT180, TJXOP_VFLIP,
		TJXOP_TRANSPOSE, TJXOP_ROT90, TJXOP_TRANSVERSE, TJXOP_ROT270};
	const tjhandle transformer = tjInitTransform();
	if (transformer == NULL)
		return error_set(err, ERROR_MEMORY, "JPEG: no memory for a transformer");
	tjtransform transform = {.op = operations[orientation < 9 ? orientation : 0], .options = TJXOPT_PERFECT};
	unsigned char *made = NULL;
	unsigned long made_bytes = 0;
	/* Warnings mean a file cut short, which the caller wants all the same. */
	const int code = tjTransform(
		transformer, data, (unsigned long)bytes, 1, &made, &made_bytes, &transform, TJFLAG_LIMITSCANS);
	const bool done = (code == 0 || tjGetErrorCode(transformer) == TJERR_WARNING) && made != NULL;
	const int result = done ? hand_over(made, made_bytes, out, out_bytes, err) : CODEC_TURN_LOSSY;
	tjFree(made);
	tjDestroy(transformer);
	return result;
}
