/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PNG by libspng. Of 16 bits the upper 8 are kept; palettes and 1, 2 and 4 bit grays are spread to 0..255; alpha and
 * transparent colours are dropped, gamma is not applied: the samples as stored.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <spng.h>

#include "stages/codec.h"
#include "stages/codec_backend.h"

/* Text and colour profiles are of no use here; real ones stay far below. */
enum { MAX_CHUNK_BYTES = 16 << 20, MAX_CACHE_BYTES = 32 << 20 };

static int fail(int spng_code, struct error *err)
{
	const int code = spng_code == SPNG_EMEM ? ERROR_MEMORY : ERROR_DECODE;
	return error_set(err, code, "PNG: %s", spng_strerror(spng_code));
}

static bool png_matches(const uint8_t *data, size_t bytes)
{
	return bytes >= 8 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static int png_probe(const void *data, size_t bytes, uint32_t *width, uint32_t *height, struct error *err)
{
	spng_ctx *ctx = spng_ctx_new(0);
	if (ctx == NULL)
		return fail(SPNG_EMEM, err);
	struct spng_ihdr header;
	int code = spng_set_png_buffer(ctx, data, bytes);
	if (code == 0)
		code = spng_get_ihdr(ctx, &header);
	spng_ctx_free(ctx);
	if (code != 0)
		return fail(code, err);
	*width = header.width;
	*height = header.height;
	return 0;
}

/* True when the chunks go on whole as far as the end chunk. libspng is content once it has every pixel. */
static bool is_complete(const uint8_t *data, size_t bytes)
{
	size_t at = 8;
	while (bytes - at >= 12) {
		const uint32_t length = (uint32_t)data[at] << 24 | (uint32_t)data[at + 1] << 16 |
					(uint32_t)data[at + 2] << 8 | data[at + 3];
		if (length > bytes - at - 12)
			return false;
		if (memcmp(data + at + 4, "IEND", 4) == 0)
			return true;
		at += length + 12;
	}
	return false;
}

/* All rows, of which a check keeps none; those of an interlaced image come pass by pass. */
static int read_rows(spng_ctx *ctx, uint32_t width, uint32_t height, uint8_t *rgb)
{
	if (rgb != NULL)
		return spng_decode_image(ctx, rgb, (size_t)width * height * 3, SPNG_FMT_RGB8, 0);
	const size_t row_bytes = (size_t)width * 3;
	uint8_t *row = malloc(row_bytes);
	if (row == NULL)
		return SPNG_EMEM;
	int code = spng_decode_image(ctx, NULL, 0, SPNG_FMT_RGB8, SPNG_DECODE_PROGRESSIVE);
	while (code == 0)
		code = spng_decode_row(ctx, row, row_bytes);
	free(row);
	return code == SPNG_EOI ? 0 : code;
}

/* rgb: NULL to check only. */
static int decode_with(
	spng_ctx *ctx, const void *data, size_t bytes, uint32_t width, uint32_t height, uint8_t *rgb, struct error *err)
{
	struct spng_ihdr header;
	int code = spng_set_chunk_limits(ctx, MAX_CHUNK_BYTES, MAX_CACHE_BYTES);
	if (code == 0)
		code = spng_set_png_buffer(ctx, data, bytes);
	if (code == 0)
		code = spng_get_ihdr(ctx, &header); /* reads no further than that chunk */
	if (code != 0)
		return fail(code, err);
	const int result = codec_same_size("PNG", header.width, header.height, width, height, err);
	if (result != 0)
		return result;
	if (!is_complete(data, bytes))
		return error_set(err, ERROR_DECODE, "PNG: premature end of the file");
	code = read_rows(ctx, width, height, rgb);
	if (code == 0) /* checks the last data chunk's CRC */
		code = spng_decode_chunks(ctx);
	return code == 0 ? 0 : fail(code, err);
}

static int png_decode(void *state, const void *data, size_t bytes, uint32_t width, uint32_t height, uint8_t *rgb,
	bool *cut, struct error *err)
{
	(void)state;
	(void)cut;
	spng_ctx *ctx = spng_ctx_new(0);
	if (ctx == NULL)
		return fail(SPNG_EMEM, err);
	const int result = decode_with(ctx, data, bytes, width, height, rgb, err);
	spng_ctx_free(ctx);
	return result;
}

static int png_check(
	void *state, const void *data, size_t bytes, uint32_t width, uint32_t height, bool *cut, struct error *err)
{
	return png_decode(state, data, bytes, width, height, NULL, cut, err);
}

const struct codec_backend codec_backend_png = {
	.name = "PNG",
	.matches = png_matches,
	.probe = png_probe,
	.decode = png_decode,
	.check = png_check,
};

int codec_encode_png(const uint8_t *rgb, uint32_t width, uint32_t height, void **out, size_t *bytes, struct error *err)
{
	spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
	if (ctx == NULL)
		return fail(SPNG_EMEM, err);
	struct spng_ihdr header = {
		.width = width, .height = height, .bit_depth = 8, .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
	int code = spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1);
	if (code == 0)
		code = spng_set_ihdr(ctx, &header);
	if (code == 0)
		code = spng_encode_image(ctx, rgb, (size_t)width * height * 3, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
	if (code == 0)
		*out = spng_get_png_buffer(ctx, bytes, &code);
	spng_ctx_free(ctx);
	return code == 0 ? 0 : fail(code, err);
}
