/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JPEG by libjpeg (libjpeg-turbo): the exact integer IDCT ("islow") and smooth chroma upsampling, which are its
 * defaults and every other program's, so that the bytes are those that anyone else decodes.
 *
 * libjpeg reports errors by a callback that must not return: it jumps back to decode_image(), which throws the decoder
 * away. It reports lost image data only as a warning, and invents the rest of the picture; here such a warning is an
 * error, because nobody wants to train on gray halves. Warnings that leave every pixel sound are ignored.
 *
 * Four components are ink (CMYK, or YCCK which libjpeg turns into CMYK), stored inverted by the one program that ever
 * wrote many of them (Adobe's), with or without its marker. So 255 is "no ink", and R = C * K / 255 and so on.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "stages/codec_backend.h"
#include "stages/jpeg_decode.h"

enum { ROWS_AT_ONCE = 16, MAX_SCANS = 200 };

struct jpeg_state {
	struct jpeg_decoder *own;
	struct jpeg_decompress_struct decoder;
	struct jpeg_error_mgr errors;
	struct jpeg_progress_mgr progress;
	jmp_buf escape;
	int code;     /* of `message` */
	bool may_cut; /* data that end too early are no error */
	bool cut;     /* they did */
	char message[JMSG_LENGTH_MAX];
};

struct jpeg_job {
	const void *data;
	size_t bytes;
	bool probe;		/* read the header only */
	uint32_t width, height; /* wanted, or found by the probe */
	uint8_t *rgb;		/* NULL: rows are made, but not kept */
	unsigned scale;		/* 0: RGB in full size, packed; else `pixels` says what is made */
	bool *cut;		/* NULL: an image cut short is an error */
	struct codec_pixels pixels;
};

static struct jpeg_state *state_of(j_common_ptr decoder)
{
	return decoder->client_data;
}

__attribute__((noreturn)) static void on_error(j_common_ptr decoder)
{
	struct jpeg_state *state = state_of(decoder);
	state->code = decoder->err->msg_code == JERR_OUT_OF_MEMORY ? ERROR_MEMORY : ERROR_DECODE;
	decoder->err->format_message(decoder, state->message);
	longjmp(state->escape, 1);
}

/* Whether the warning says no more than that the data ended too early, or comes after one that did: from there on all
 * is invention. libjpeg reads ahead, and puts an end-of-image marker behind the last byte of a file that has none: so
 * the end of the file means little yet, the lack of bits does, if it is not in the first row. (Arithmetic coding does
 * not read ahead, and never lacks bits.) */
static bool is_cut(struct jpeg_state *state)
{
	const struct jpeg_decompress_struct *decoder = &state->decoder;
	const bool some_rows = decoder->input_scan_number > 1 || decoder->input_iMCU_row > 0;
	if (!state->may_cut)
		return false;
	if (decoder->err->msg_code == JWRN_HIT_MARKER && decoder->unread_marker == JPEG_EOI)
		state->cut = some_rows;
	else if (decoder->err->msg_code == JWRN_JPEG_EOF && decoder->input_scan_number > 0)
		state->cut = some_rows || !decoder->arith_code;
	return state->cut;
}

/* msg_level < 0 is a warning, others are trace messages. */
static void on_message(j_common_ptr decoder, int msg_level)
{
	if (msg_level >= 0)
		return;
	switch (decoder->err->msg_code) {
	case JWRN_EXTRANEOUS_DATA: /* padding before a marker: common in sound files */
	case JWRN_NOT_SEQUENTIAL:
	case JWRN_ADOBE_XFORM:
	case JWRN_JFIF_MAJOR:
	case JWRN_TOO_MUCH_DATA:
		return;
	default:
		if (!is_cut(state_of(decoder)))
			on_error(decoder);
	}
}

/* A few kilobytes can hold thousands of progressive scans, each as costly as a whole image. Real files have about 10.
 */
static void on_progress(j_common_ptr decoder)
{
	struct jpeg_state *state = state_of(decoder);
	if (state->decoder.input_scan_number <= MAX_SCANS)
		return;
	state->code = ERROR_DECODE;
	snprintf(state->message, sizeof state->message, "more than %d progressive scans", MAX_SCANS);
	longjmp(state->escape, 1);
}

/* a * b / 255, rounded. */
static uint8_t scale_255(unsigned a, unsigned b)
{
	const unsigned product = a * b + 128;
	return (uint8_t)((product + (product >> 8)) >> 8);
}

static void read_rows_rgb(struct jpeg_decompress_struct *decoder, uint8_t *rgb, size_t row_bytes)
{
	while (decoder->output_scanline < decoder->output_height) {
		JSAMPROW rows[ROWS_AT_ONCE];
		const JDIMENSION left = decoder->output_height - decoder->output_scanline;
		const JDIMENSION count = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;
		for (JDIMENSION i = 0; i < count; i++)
			rows[i] = rgb + (decoder->output_scanline + i) * row_bytes;
		jpeg_read_scanlines(decoder, rows, count);
	}
}

/* For what libjpeg says of them. */
static void read_rows_unseen(struct jpeg_decompress_struct *decoder)
{
	JSAMPARRAY row = decoder->mem->alloc_sarray((j_common_ptr)decoder, JPOOL_IMAGE,
		decoder->output_width * (JDIMENSION)decoder->out_color_components, 1);
	while (decoder->output_scanline < decoder->output_height)
		jpeg_read_scanlines(decoder, row, 1);
}

static void read_rows_cmyk(struct jpeg_decompress_struct *decoder, uint8_t *rgb, size_t row_bytes)
{
	JSAMPARRAY inks = decoder->mem->alloc_sarray(
		(j_common_ptr)decoder, JPOOL_IMAGE, decoder->output_width * (JDIMENSION)4, 1);
	while (decoder->output_scanline < decoder->output_height) {
		uint8_t *out = rgb + decoder->output_scanline * row_bytes;
		jpeg_read_scanlines(decoder, inks, 1);
		const JSAMPLE *in = inks[0];
		for (JDIMENSION x = 0; x < decoder->output_width; x++, in += 4, out += 3)
			for (unsigned c = 0; c < 3; c++)
				out[c] = (uint8_t)(in[3] - scale_255(255U - in[c], in[3]));
	}
}

/* Everything between creation and destruction of the decoder. libjpeg's errors leave it by longjmp. */
static int decode_open_image(struct jpeg_state *state, struct jpeg_job *job, struct error *err)
{
	struct jpeg_decompress_struct *decoder = &state->decoder;
	decoder->progress = &state->progress;
	jpeg_mem_src(decoder, job->data, (unsigned long)job->bytes);
	jpeg_read_header(decoder, TRUE);
	if (job->probe) {
		job->width = decoder->image_width;
		job->height = decoder->image_height;
		return 0;
	}
	const int result =
		codec_same_size("JPEG", decoder->image_width, decoder->image_height, job->width, job->height, err);
	if (result != 0)
		return result;
	decoder->dct_method = JDCT_ISLOW;
	decoder->do_fancy_upsampling = TRUE;
	decoder->out_color_space = decoder->num_components == 4 ? JCS_CMYK : JCS_RGB;
	size_t row_bytes = (size_t)job->width * 3;
	if (job->scale != 0) {
		decoder->scale_num = 8 / job->scale;
		decoder->scale_denom = 8;
		if (decoder->num_components != 4)
			decoder->out_color_space = JCS_EXT_RGBX;
		jpeg_calc_output_dimensions(decoder);
		const unsigned channels = decoder->num_components == 4 ? 3 : 4;
		row_bytes = (size_t)decoder->output_width * channels;
		job->pixels = (struct codec_pixels){.pixels = job->rgb,
			.stride_bytes = row_bytes,
			.channels = channels,
			.width = decoder->output_width,
			.height = decoder->output_height,
			.scale = job->scale,
			.image_width = decoder->output_width,
			.image_height = decoder->output_height};
	}
	jpeg_start_decompress(decoder);
	if (job->rgb == NULL)
		read_rows_unseen(decoder);
	else if (decoder->out_color_space == JCS_CMYK)
		read_rows_cmyk(decoder, job->rgb, row_bytes);
	else
		read_rows_rgb(decoder, job->rgb, row_bytes);
	/* Reads on to the end-of-image marker: a file cut right behind its last pixel is cut all the same. */
	jpeg_finish_decompress(decoder);
	return 0;
}

/* The decoder is created anew for every image: it keeps quantisation and Huffman tables from one image to the next, so
 * an image that lacks its own would come out differently by which image the thread decoded before. */
static int decode_image(struct jpeg_state *state, struct jpeg_job *job, struct error *err)
{
	state->decoder.err = jpeg_std_error(&state->errors);
	state->errors.error_exit = on_error;
	state->errors.emit_message = on_message;
	state->progress.progress_monitor = on_progress;
	state->decoder.client_data = state;
	state->may_cut = job->cut != NULL;
	state->cut = false;
	if (setjmp(state->escape) != 0) {
		jpeg_destroy_decompress(&state->decoder);
		return error_set(err, state->code, "JPEG: %s", state->message);
	}
	jpeg_create_decompress(&state->decoder);
	const int result = decode_open_image(state, job, err);
	jpeg_destroy_decompress(&state->decoder);
	if (job->cut != NULL)
		*job->cut = state->cut;
	return result;
}

static bool jpeg_matches(const uint8_t *data, size_t bytes)
{
	return bytes >= 3 && memcmp(data, "\xff\xd8\xff", 3) == 0;
}

static void jpeg_state_destroy(void *pointer)
{
	struct jpeg_state *state = pointer;
	jpeg_decoder_destroy(state->own);
	free(state);
}

static void *jpeg_state_create(enum cpu_isa isa)
{
	struct jpeg_state *state = calloc(1, sizeof *state);
	if (state == NULL)
		return NULL;
	state->own = jpeg_decoder_create(isa);
	if (state->own != NULL)
		return state;
	free(state);
	return NULL;
}

static int jpeg_reserve(void *pointer, uint32_t width, size_t image_bytes, struct error *err)
{
	const struct jpeg_state *state = pointer;
	return jpeg_decoder_reserve(state->own, width, image_bytes, err);
}

static int jpeg_probe(const void *data, size_t bytes, uint32_t *width, uint32_t *height, struct error *err)
{
	struct jpeg_state *state = calloc(1, sizeof *state);
	if (state == NULL)
		return error_set(err, ERROR_MEMORY, "JPEG: no memory for a decoder");
	struct jpeg_job job = {.data = data, .bytes = bytes, .probe = true};
	const int result = decode_image(state, &job, err);
	*width = job.width;
	*height = job.height;
	free(state);
	return result;
}

static int jpeg_decode(void *state, const void *data, size_t bytes, uint32_t width, uint32_t height, uint8_t *rgb,
	bool *cut, struct error *err)
{
	struct jpeg_job job = {.data = data, .bytes = bytes, .width = width, .height = height, .rgb = rgb, .cut = cut};
	return decode_image(state, &job, err);
}

/* Our own decoder finds sound only what libjpeg does; of the rest libjpeg decides. */
static int jpeg_check(
	void *pointer, const void *data, size_t bytes, uint32_t width, uint32_t height, bool *cut, struct error *err)
{
	struct jpeg_state *state = pointer;
	const int result = jpeg_decode_check(state->own, data, bytes, width, height, err);
	return result != JPEG_NOT_OURS ? result : jpeg_decode(state, data, bytes, width, height, NULL, cut, err);
}

/* By our own decoder; by libjpeg, whole, what that does not read or finds damaged. */
static int jpeg_region(void *pointer, const void *data, size_t bytes, uint32_t width, uint32_t height,
	const struct codec_region *region, uint8_t *buffer, size_t capacity_bytes, struct codec_pixels *out,
	struct error *err)
{
	struct jpeg_state *state = pointer;
	int result =
		jpeg_decode_region(state->own, data, bytes, width, height, region, buffer, capacity_bytes, out, err);
	if (result != JPEG_NOT_OURS)
		return result;
	struct jpeg_job job = {
		.data = data, .bytes = bytes, .width = width, .height = height, .rgb = buffer, .scale = region->scale};
	result = decode_image(state, &job, err);
	*out = job.pixels;
	return result;
}

const struct codec_backend codec_backend_jpeg = {
	.name = "JPEG",
	.matches = jpeg_matches,
	.probe = jpeg_probe,
	.state_create = jpeg_state_create,
	.state_destroy = jpeg_state_destroy,
	.reserve = jpeg_reserve,
	.decode = jpeg_decode,
	.check = jpeg_check,
	.decode_region = jpeg_region,
};
