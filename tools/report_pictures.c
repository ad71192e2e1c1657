/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/report_pictures.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "stages/views.h"
#include "tools/command.h"

enum { VIEW_SIDE = 128, CAPTION_BYTES = 512 };

static void put_base64(FILE *out, const unsigned char *data, size_t bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < bytes; i += 3) {
		size_t left = bytes - i;
		uint32_t group = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
				 (left > 2 ? data[i + 2] : 0);
		fputc(digits[group >> 18], out);
		fputc(digits[group >> 12 & 63], out);
		fputc(left > 1 ? digits[group >> 6 & 63] : '=', out);
		fputc(left > 2 ? digits[group & 63] : '=', out);
	}
}

/* The mean of one channel over the columns [left, right) of the rows [top, bottom). */
static uint8_t mean(
	const uint8_t *rgb, size_t width, size_t left, size_t right, size_t top, size_t bottom, size_t channel)
{
	uint64_t sum = 0, count = 0;
	for (size_t v = top; v < bottom; v++)
		for (size_t u = left; u < right; u++, count++)
			sum += rgb[(v * width + u) * 3 + channel];
	if (count == 0)
		return 0;
	return (uint8_t)((sum + count / 2) / count);
}

/* Every pixel of the small picture is the mean of those it covers. */
static uint8_t *shrink(const uint8_t *rgb, uint32_t width, uint32_t height, uint32_t small_width, uint32_t small_height)
{
	uint8_t *small = malloc((size_t)small_width * small_height * 3);
	for (size_t y = 0; small && y < small_height; y++)
		for (size_t x = 0; x < small_width; x++)
			for (size_t c = 0; c < 3; c++)
				small[(y * small_width + x) * 3 + c] =
					mean(rgb, width, x * width / small_width, (x + 1) * width / small_width,
						y * height / small_height, (y + 1) * height / small_height, c);
	return small;
}

static void put_frames(FILE *out, const struct picture_frame *frames, size_t count, uint32_t longest)
{
	double thick = (double)longest / 60;
	for (size_t i = 0; i < count; i++)
		fprintf(out,
			"<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"none\" stroke=\"var(--%s)\" "
			"stroke-width=\"%.2f\"/>",
			frames[i].x + thick / 2, frames[i].y + thick / 2, frames[i].width - thick,
			frames[i].height - thick, frames[i].colour, thick);
}

int picture_put(FILE *out, const uint8_t *rgb, uint32_t width, uint32_t height, uint32_t side, const char *class,
	const struct picture_frame *frames, size_t frame_count, struct error *err)
{
	uint32_t longest = width > height ? width : height, small_width = width, small_height = height;
	uint8_t *small = NULL;
	if (longest > side) {
		small_width = (uint32_t)((uint64_t)width * side / longest);
		small_height = (uint32_t)((uint64_t)height * side / longest);
		small_width = small_width ? small_width : 1;
		small_height = small_height ? small_height : 1;
		small = shrink(rgb, width, height, small_width, small_height);
		if (!small)
			return error_set(err, ERROR_MEMORY, "no memory for a picture of %ux%u pixels", width, height);
	}
	void *png = NULL;
	size_t bytes = 0;
	int code = codec_encode_png(small ? small : rgb, small_width, small_height, &png, &bytes, err);
	free(small);
	if (code < 0)
		return code;
	/* Few pixels are shown as they are, many smoothly. */
	fprintf(out,
		"<svg class=\"%s%s\" viewBox=\"0 0 %u %u\" role=\"img\"><image width=\"%u\" height=\"%u\" "
		"href=\"data:image/png;base64,",
		longest > 64 ? "sharp " : "", class ? class : "", width, height, width, height);
	put_base64(out, png, bytes);
	fputs("\"/>", out);
	put_frames(out, frames, frame_count, longest);
	fputs("</svg>", out);
	free(png);
	return 0;
}

/* Decodes a record to malloc'd rgb [height][width][3]. */
static uint8_t *decode(struct codec_context *codec, const struct shard_set *set, uint64_t number, struct error *err)
{
	unsigned at;
	uint32_t local;
	shard_set_locate(set, number, &at, &local);
	const struct shard *shard = shard_set_at(set, at);
	const struct shard_record *record = shard_record(shard, local);
	unsigned char *data = NULL;
	size_t bytes = 0, capacity = (size_t)record->width * record->height * 3;
	if (shard_read_record(shard, local, &data, &bytes, err) != 0)
		return NULL;
	uint8_t *rgb = malloc(capacity);
	struct error cause = {0};
	if (!rgb) {
		error_set(err, ERROR_MEMORY, "no memory to decode %.200s", record->key);
	} else if (codec_decode(codec, (enum shard_codec)record->codec, data, bytes, record->width, record->height, rgb,
			   capacity, &cause) != 0) {
		error_set(err, cause.code, "%.200s: record %" PRIu32 " (%.200s): %.300s", shard_path(shard), local,
			record->key, cause.message);
		free(rgb);
		rgb = NULL;
	}
	free(data);
	return rgb;
}

/* In the place of a picture that cannot be shown; why is under the pointer. False: the page cannot go on either. */
static bool put_instead(FILE *out, struct error *err)
{
	if (err->code == ERROR_MEMORY || err->code == ERROR_INTERRUPTED)
		return false;
	fputs("<svg viewBox=\"0 0 32 32\" role=\"img\"><text x=\"16\" y=\"21\" text-anchor=\"middle\">?</text><title>",
		out);
	html_text(out, err->message);
	fputs("</title></svg>", out);
	*err = (struct error){0};
	return true;
}

int picture_put_record(FILE *out, struct codec_context *codec, const struct shard_set *set, uint64_t record,
	uint32_t side, const char *class, struct error *err)
{
	const struct shard_record *about = shard_set_record(set, record);
	uint8_t *rgb = decode(codec, set, record, err);
	if (!rgb)
		return put_instead(out, err) ? 0 : err->code;
	int code = picture_put(out, rgb, about->width, about->height, side, class, NULL, 0, err);
	free(rgb);
	return code;
}

const char *picture_caption(const struct shard_set *set, uint64_t record)
{
	const struct shard *shard = shard_set_at(set, 0);
	const struct shard_record *about = shard_set_record(set, record);
	if (about->label >= 0 && (uint32_t)about->label < shard_classes(shard))
		return shard_class(shard, (uint32_t)about->label);
	const char *slash = strrchr(about->key, '/');
	return slash ? slash + 1 : about->key;
}

/* ---- Views ---- */

static int put_view(FILE *out, const struct view_policy *policy, const struct view_params *params, const uint8_t *rgb,
	uint32_t width, uint32_t height, struct error *err)
{
	uint32_t size = policy->size;
	size_t values = (size_t)size * size * 3;
	size_t scratch_bytes = view_scratch_floats(policy, width, height) * sizeof(float);
	float *scratch = aligned_alloc(64, (scratch_bytes + 127) / 64 * 64);
	float *view = aligned_alloc(64, (values * sizeof(float) + 63) / 64 * 64);
	uint8_t *pixels = malloc(values);
	int code;
	if (!scratch || !view || !pixels) {
		code = error_set(err, ERROR_MEMORY, "no memory to make a view of %u pixels a side", size);
	} else {
		view_apply(policy, params, rgb, width, height, scratch, view);
		for (size_t i = 0; i < values; i++)
			pixels[i] = (uint8_t)(view[i] * 255.0F + 0.5F);
		code = picture_put(out, pixels, size, size, VIEW_SIDE, NULL, NULL, 0, err);
	}
	free(scratch);
	free(view);
	free(pixels);
	return code;
}

static void put_caption(FILE *out, const char *text)
{
	fputs("<figcaption>", out);
	html_text(out, text);
	fputs("</figcaption></figure>\n", out);
}

static int put_row(struct html *html, struct codec_context *codec, const struct shard_set *set,
	const struct view_policies *policies, uint64_t seed, uint64_t number, struct error *err)
{
	static const char *const colours[] = {"c1", "c0", "c2", "c3", "c4", "c5", "c6", "c7"};
	struct view_params params[VIEW_MAX_VIEWS];
	struct picture_frame frames[VIEW_MAX_VIEWS];
	const struct shard_record *record = shard_set_record(set, number);
	for (uint32_t view = 0; view < policies->count; view++) {
		struct philox stream = philox_stream(seed, 0, number, view, PHILOX_AUGMENT);
		view_params_draw(&params[view], &policies->view[view], record->width, record->height, &stream);
		frames[view] = (struct picture_frame){params[view].x, params[view].y, params[view].width,
			params[view].height, colours[view % (sizeof colours / sizeof colours[0])]};
	}
	uint8_t *rgb = decode(codec, set, number, err);
	fputs("<div class=\"pictures large row\"><figure>", html->out);
	if (!rgb) {
		bool shown = put_instead(html->out, err);
		put_caption(html->out, "cannot be decoded");
		fputs("</div>\n", html->out);
		return shown ? 0 : err->code;
	}
	int code = picture_put(
		html->out, rgb, record->width, record->height, VIEW_SIDE * 3 / 2, NULL, frames, policies->count, err);
	put_caption(html->out, picture_caption(set, number));
	for (uint32_t view = 0; code == 0 && view < policies->count; view++) {
		char caption[CAPTION_BYTES];
		fprintf(html->out, "<figure style=\"border-top:3px solid var(--%s)\">", frames[view].colour);
		code = put_view(
			html->out, &policies->view[view], &params[view], rgb, record->width, record->height, err);
		view_params_describe(&params[view], caption, sizeof caption);
		put_caption(html->out, caption);
	}
	fputs("</div>\n", html->out);
	free(rgb);
	return code;
}

int picture_put_views(struct html *html, struct codec_context *codec, const struct shard_set *set,
	const struct view_policies *policies, uint64_t seed, uint64_t rows, struct error *err)
{
	uint64_t records = shard_set_records(set);
	rows = rows < records ? rows : records;
	fputs("<div class=\"columns\">\n", html->out);
	for (uint64_t i = 0; i < rows; i++) {
		if (command_interrupted())
			return error_set(err, ERROR_INTERRUPTED, "interrupted; nothing written");
		if (put_row(html, codec, set, policies, seed, i * records / rows, err) < 0)
			return err->code;
	}
	fputs("</div>\n", html->out);
	return 0;
}
