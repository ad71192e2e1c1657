/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second pass's workers: every image is decoded, be it only to check it, and becomes what is stored.
 *
 *	keep                  checked without making a picture; only a picture that is cut short, or is to be turned by
 *	                      its Exif orientation, is rewritten: a JPEG by its coefficients, without loss
 *	any other --codec     decoded, turned, shrunk, encoded
 *
 * An image's size is read from its header and refused before memory for pixels is taken. A worker has at most the
 * decoded image, its turned copy, and what shrinking needs: 3, 3 and 12 bytes a pixel.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stages/codec.h"
#include "stages/exif.h"
#include "stages/views.h"
#include "tools/pack_pnm.h"
#include "tools/pack_run.h"

enum { TURNED_QUALITY = 95 /* of a JPEG that cannot be turned without loss */ };

/* What a worker keeps from image to image. */
struct work {
	const struct pack_settings *settings;
	struct codec_context *codecs;
	uint8_t *rgb;
	size_t rgb_bytes;
};

/* A PGM or PPM image becomes pixels, as which it is stored. */
static int take_pnm(const struct work *work, struct pack_item *item, struct error *err)
{
	unsigned char *rgb;
	int rc = pack_pnm_decode(
		item->data, item->bytes, work->settings->max_pixels, &rgb, &item->width, &item->height, err);
	if (rc < 0)
		return rc;
	free(item->data);
	item->data = rgb;
	item->bytes = (size_t)item->width * item->height * 3;
	item->pixels = true;
	return 0;
}

/* Sets codec and size. */
static int look_at(const struct work *work, struct pack_item *item, struct error *err)
{
	int rc = !item->pixels && pack_pnm_probe(item->data, item->bytes) ? take_pnm(work, item, err) : 0;
	struct codec_info info = {.codec = SHARD_RAW, .width = item->width, .height = item->height};
	if (rc == 0 && !item->pixels)
		rc = codec_probe(item->data, item->bytes, &info, err);
	if (rc < 0)
		return rc;
	if ((uint64_t)info.width * info.height > work->settings->max_pixels)
		return error_set(err, ERROR_DECODE,
			"an image of %ux%u pixels; --max-pixels lets %llu million through at most", info.width,
			info.height, (unsigned long long)(work->settings->max_pixels >> 20));
	if (info.width == 0 || info.height == 0 || info.width > SHARD_MAX_SIDE || info.height > SHARD_MAX_SIDE)
		return error_set(err, ERROR_DECODE, "an image of %ux%u pixels; sides have 1 to %d", info.width,
			info.height, SHARD_MAX_SIDE);
	item->codec = info.codec;
	item->width = info.width;
	item->height = info.height;
	return 0;
}

static void replace_data(struct pack_item *item, void *data, size_t bytes, enum shard_codec codec)
{
	free(item->data);
	item->data = data;
	item->bytes = bytes;
	item->codec = codec;
	item->pixels = codec == SHARD_RAW;
}

/* Decodes into work->rgb, the right way up if it is to be turned. */
static int decode_item(struct work *work, struct pack_item *item, unsigned orientation, struct error *err)
{
	size_t bytes = (size_t)item->width * item->height * 3;
	if (bytes > work->rgb_bytes) {
		free(work->rgb);
		work->rgb = malloc(bytes);
		work->rgb_bytes = work->rgb != NULL ? bytes : 0;
		if (work->rgb == NULL)
			return error_set(err, ERROR_MEMORY, "out of memory for an image of %ux%u pixels", item->width,
				item->height);
	}
	int rc = work->settings->allow_truncated
			 ? codec_decode_cut(work->codecs, item->codec, item->data, item->bytes, item->width,
				   item->height, work->rgb, work->rgb_bytes, &item->truncated, err)
			 : codec_decode(work->codecs, item->codec, item->data, item->bytes, item->width, item->height,
				   work->rgb, work->rgb_bytes, err);
	if (rc < 0 || orientation == 1)
		return rc;
	uint8_t *turned = malloc(bytes);
	if (turned == NULL)
		return pack_out_of_memory(err);
	exif_apply(work->rgb, &item->width, &item->height, orientation, turned);
	free(work->rgb);
	work->rgb = turned;
	work->rgb_bytes = bytes;
	return 0;
}

/* Shrinks work->rgb so that the short side is `side`, bicubic with antialiasing; *rgb is malloc'd [height][width][3].
 */
static int resize_item(struct work *work, struct pack_item *item, uint32_t side, uint8_t **rgb, struct error *err)
{
	uint32_t short_side = item->width < item->height ? item->width : item->height;
	double scale = (double)side / short_side;
	uint32_t width = (uint32_t)lround(item->width * scale), height = (uint32_t)lround(item->height * scale);
	size_t values = (size_t)width * height * 3;
	size_t scratch_bytes =
		pixels_resized_crop_scratch_floats(item->width, item->height, width, height) * sizeof(float);
	float *scratch = aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
	float *out = aligned_alloc(64, (values * sizeof(float) + 63) / 64 * 64);
	*rgb = malloc(values);
	int rc = 0;
	if (scratch == NULL || out == NULL || *rgb == NULL) {
		free(*rgb);
		*rgb = NULL;
		rc = error_set(err, ERROR_MEMORY, "out of memory while resizing an image of %ux%u pixels", item->width,
			item->height);
	} else {
		pixels_resized_crop(work->rgb, item->width, item->height, 0, 0, item->width, item->height, width,
			height, scratch, out);
		for (size_t i = 0; i < values; i++)
			(*rgb)[i] = (uint8_t)lrintf(fminf(fmaxf(out[i], 0.0f), 1.0f) * 255.0f);
		item->width = width;
		item->height = height;
	}
	free(scratch);
	free(out);
	return rc;
}

/* Replaces the item's bytes by its pixels in the wanted codec. rgb: item->width x item->height. */
static int encode_item(
	struct pack_item *item, enum pack_codec codec, float quality, const uint8_t *rgb, struct error *err)
{
	static const enum shard_codec stored[] = {[PACK_RAW] = SHARD_RAW,
		[PACK_WEBP] = SHARD_WEBP,
		[PACK_WEBP_LOSSLESS] = SHARD_WEBP,
		[PACK_JPEG] = SHARD_JPEG};
	void *data = NULL;
	size_t bytes = (size_t)item->width * item->height * 3;
	int rc = 0;
	if (codec == PACK_RAW) {
		data = malloc(bytes);
		if (data == NULL)
			return pack_out_of_memory(err);
		memcpy(data, rgb, bytes); /* NOLINT(clang-analyzer-core.NonNullParamChecker): decoding has filled rgb */
	} else if (codec == PACK_JPEG) {
		rc = codec_encode_jpeg(rgb, item->width, item->height, (int)quality, &data, &bytes, err);
	} else {
		rc = codec_encode_webp(
			rgb, item->width, item->height, codec == PACK_WEBP_LOSSLESS, quality, &data, &bytes, err);
	}
	if (rc == 0)
		replace_data(item, data, bytes, stored[codec]);
	return rc;
}

/* What coefficients cannot do: PNG and WebP, and JPEGs whose sizes are no whole number of blocks. */
static int turn_pixels(struct work *work, struct pack_item *item, unsigned orientation, struct error *err)
{
	int rc = decode_item(work, item, orientation, err);
	if (rc < 0 || item->codec != SHARD_PNG)
		return rc < 0 ? rc
			      : encode_item(item, item->codec == SHARD_JPEG ? PACK_JPEG : PACK_WEBP_LOSSLESS,
					TURNED_QUALITY, work->rgb, err);
	void *data;
	size_t bytes;
	rc = codec_encode_png(work->rgb, item->width, item->height, &data, &bytes, err);
	if (rc == 0)
		replace_data(item, data, bytes, SHARD_PNG);
	return rc;
}

static int keep_item(struct work *work, struct pack_item *item, unsigned orientation, struct error *err)
{
	if (item->pixels)
		return 0;
	int rc = codec_check(work->codecs, item->codec, item->data, item->bytes, item->width, item->height,
		work->settings->allow_truncated ? &item->truncated : NULL, err);
	if (rc < 0 || (orientation == 1 && !item->truncated))
		return rc;
	if (item->codec != SHARD_JPEG)
		return turn_pixels(work, item, orientation, err);
	void *data = NULL;
	size_t bytes = 0;
	rc = codec_turn_jpeg(work->codecs, item->data, item->bytes, orientation, &data, &bytes, err);
	if (rc == CODEC_TURN_LOSSY)
		return turn_pixels(work, item, orientation, err);
	if (rc < 0)
		return rc;
	replace_data(item, data, bytes, SHARD_JPEG);
	return look_at(work, item, err);
}

static int work_on(struct work *work, struct pack_item *item, struct error *err)
{
	const struct pack_settings *settings = work->settings;
	int rc = look_at(work, item, err);
	if (rc < 0)
		return rc;
	unsigned orientation = item->pixels ? 1 : exif_orientation(item->codec, item->data, item->bytes);
	item->turned = settings->apply_exif && orientation != 1;
	item->unturned = !settings->apply_exif && orientation != 1;
	orientation = settings->apply_exif ? orientation : 1;
	if (settings->codec == PACK_KEEP)
		return keep_item(work, item, orientation, err);
	rc = decode_item(work, item, orientation, err);
	uint8_t *smaller = NULL;
	uint32_t short_side = item->width < item->height ? item->width : item->height;
	if (rc == 0 && settings->resize_short > 0 && settings->resize_short < short_side)
		rc = resize_item(work, item, settings->resize_short, &smaller, err);
	if (rc == 0)
		rc = encode_item(item, settings->codec, settings->quality, smaller != NULL ? smaller : work->rgb, err);
	free(smaller);
	return rc;
}

static int work_loop(struct pack_pass *pass, struct work *work, struct worker *worker)
{
	for (;;) {
		uint64_t seq = ring_ticket(pass->read, RING_CONSUMER);
		if (seq >= pass->count)
			return 0;
		void *from, *to;
		int status;
		int rc = ring_acquire(pass->read, seq, &from, &status);
		if (rc == 0)
			rc = ring_claim(pass->done, seq, &to);
		if (rc != 0)
			return rc == RING_END ? 0 : rc;
		struct pack_item *in = from, *out = to;
		pack_item_clear(out);
		*out = *in; /* the buffer moves */
		in->data = NULL;
		size_t bytes = in->bytes;
		ring_release(pass->read, seq);
		if (status == 0) {
			struct error bad = {0};
			status = work_on(work, out, &bad);
			if (status == ERROR_MEMORY)
				return error_copy(worker->err, &bad);
			snprintf(out->reason, sizeof(out->reason), "%.250s", bad.message);
		}
		meter_add(worker->meter, 1, bytes);
		ring_publish(pass->done, seq, status);
	}
}

int pack_work_stage(void *ctx, struct worker *worker)
{
	struct pack_pass *pass = ctx;
	struct work work = {.settings = pass->settings, .codecs = codec_context_create(cpu_detect(), worker->err)};
	int rc = work.codecs == NULL ? worker->err->code : work_loop(pass, &work, worker);
	codec_context_destroy(work.codecs);
	free(work.rgb);
	return rc;
}
