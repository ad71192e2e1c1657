/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/profile_sample.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "pipeline/meter.h"
#include "stages/codec.h"
#include "stages/view_render.h"

enum { MOST_BYTES = 256 << 20 /* decoded */, REPEATS = 3, WEBP_QUALITY = 90, ALIGN = 64 };

const char *profile_keep_name(enum profile_keep keep)
{
	static const char *const names[] = {"raw", "png", "webp", "webp-lossless"};
	return names[keep];
}

enum shard_codec profile_keep_codec(enum profile_keep keep)
{
	static const enum shard_codec codecs[] = {SHARD_RAW, SHARD_PNG, SHARD_WEBP, SHARD_WEBP};
	return codecs[keep];
}

int profile_keep_encode(enum profile_keep keep, const uint8_t *rgb, uint32_t width, uint32_t height, void **data,
	size_t *bytes, struct error *err)
{
	switch (keep) {
	case KEEP_PNG:
		return codec_encode_png(rgb, width, height, data, bytes, err);
	case KEEP_WEBP:
	case KEEP_WEBP_LOSSLESS:
		return codec_encode_webp(
			rgb, width, height, keep == KEEP_WEBP_LOSSLESS, WEBP_QUALITY, data, bytes, err);
	default:
		*bytes = (size_t)width * height * 3;
		*data = malloc(*bytes);
		if (!*data)
			return error_set(err, ERROR_MEMORY, "out of memory for an image");
		memcpy(*data, rgb, *bytes);
		return 0;
	}
}

/* ---- Taking ---- */

/* 0; 1: the record is no good; or a negative code. */
static int take_record(
	struct profile_sample *sample, const struct shard_set *set, uint64_t number, size_t *room, struct error *err)
{
	const struct shard_record *record = shard_set_record(set, number);
	struct profile_image *image = &sample->image[sample->count];
	size_t pixels = (size_t)record->width * record->height;
	struct error ignored = {0};
	unsigned shard;
	uint32_t local;
	if (pixels * 3 > *room)
		return 1;
	*image = (struct profile_image){.record = number,
		.codec = (enum shard_codec)record->codec,
		.width = record->width,
		.height = record->height,
		.rgb = malloc(pixels * 3)};
	if (!image->rgb)
		return error_set(err, ERROR_MEMORY, "out of memory for a sample of the images");
	shard_set_locate(set, number, &shard, &local);
	int code = shard_read_record(shard_set_at(set, shard), local, &image->data, &image->bytes, &ignored);
	if (code == 0)
		code = codec_decode(sample->codecs, image->codec, image->data, image->bytes, image->width,
			image->height, image->rgb, pixels * 3, &ignored);
	if (code < 0) {
		free(image->rgb);
		free(image->data);
		return 1;
	}
	*room -= pixels * 3;
	sample->count++;
	sample->bytes += image->bytes;
	sample->max_width = image->width > sample->max_width ? image->width : sample->max_width;
	sample->max_height = image->height > sample->max_height ? image->height : sample->max_height;
	return 0;
}

int profile_sample_take(
	struct profile_sample *sample, const struct shard_set *set, const struct augment *augment, struct error *err)
{
	*sample = (struct profile_sample){.codecs = codec_context_create(cpu_detect(), err), .augment = *augment};
	if (!sample->codecs)
		return err->code;
	uint64_t records = shard_set_records(set), wanted = records < PROFILE_SAMPLE_MAX ? records : PROFILE_SAMPLE_MAX;
	size_t room = MOST_BYTES;
	for (uint64_t i = 0; i < wanted; i++) {
		int code = take_record(sample, set, i * records / wanted, &room, err);
		if (code < 0)
			return code;
	}
	return sample->count > 0 ? 0 : error_set(err, ERROR_DECODE, "no image of a sample decodes");
}

void profile_sample_free(struct profile_sample *sample)
{
	for (unsigned i = 0; i < sample->count; i++) {
		free(sample->image[i].data);
		free(sample->image[i].rgb);
	}
	codec_context_destroy(sample->codecs);
	*sample = (struct profile_sample){0};
}

/* ---- Timing ---- */

/* Processor seconds of one decoding: the least of a few, since what disturbs only adds. */
static int time_decode(const struct profile_sample *sample, const struct profile_image *image, enum shard_codec codec,
	const void *data, size_t bytes, uint8_t *to, double *seconds, struct error *err)
{
	struct view_params params[VIEW_MAX_VIEWS];
	struct codec_pixels pixels;
	augment_draw(&sample->augment, image->width, image->height, 0, image->record, params);
	const struct codec_region region = augment_region(&sample->augment, params, image->width, image->height);
	uint64_t least_ns = UINT64_MAX;
	for (unsigned i = 0; i < REPEATS; i++) {
		uint64_t start_ns = meter_cpu_ns();
		int code = codec_decode_region(sample->codecs, codec, data, bytes, image->width, image->height, &region,
			to, codec_region_bytes(image->width, image->height), &pixels, err);
		uint64_t took_ns = meter_cpu_ns() - start_ns;
		if (code < 0)
			return code;
		least_ns = took_ns < least_ns ? took_ns : least_ns;
	}
	*seconds += (double)least_ns * 1e-9;
	return 0;
}

/* What unpacking does with the bytes of a stored block: hashes them and copies them to the sample ring. */
static double time_unpack(const void *data, size_t bytes, void *to)
{
	uint64_t start_ns = meter_cpu_ns();
	volatile uint64_t hash = XXH3_64bits(data, bytes);
	(void)hash;
	memcpy(to, data, bytes);		   /* out of the block */
	memcpy(to, data, bytes);		   /* into the ring */
	__asm__ volatile("" ::"r"(to) : "memory"); /* keeps both */
	return (double)(meter_cpu_ns() - start_ns) * 1e-9;
}

static int time_image(const struct profile_sample *sample, const struct profile_image *image, enum profile_keep keep,
	uint8_t *to, struct profile_codec_times *times, struct error *err)
{
	void *data = NULL;
	size_t bytes = 0;
	int code = profile_keep_encode(keep, image->rgb, image->width, image->height, &data, &bytes, err);
	if (code < 0)
		return code;
	code = time_decode(sample, image, image->codec, image->data, image->bytes, to, &times->now_s, err);
	if (code == 0)
		code = time_decode(sample, image, profile_keep_codec(keep), data, bytes, to, &times->then_s, err);
	size_t pixels = (size_t)image->width * image->height;
	void *copy = malloc(bytes > pixels * 3 ? bytes : pixels * 3);
	if (copy)
		times->unpack_s += time_unpack(data, bytes, copy);
	times->images++;
	times->now_bytes += image->bytes;
	times->then_bytes += bytes;
	free(copy);
	free(data);
	return code;
}

int profile_sample_codec(const struct profile_sample *sample, enum profile_keep keep, double seconds,
	struct profile_codec_times *times, struct error *err)
{
	*times = (struct profile_codec_times){0};
	uint8_t *to = malloc(codec_region_bytes(sample->max_width, sample->max_height));
	if (!to)
		return error_set(err, ERROR_MEMORY, "out of memory for an image");
	uint64_t start_ns = meter_now_ns();
	int code = 0;
	for (unsigned i = 0; i < sample->count && code == 0; i++) {
		if (i > 0 && (double)(meter_now_ns() - start_ns) * 1e-9 > seconds)
			break;
		code = time_image(sample, &sample->image[i], keep, to, times, err);
	}
	free(to);
	return code;
}

static void make_views(
	const struct augment *augment, const struct profile_image *image, uint32_t epoch, float *scratch, float *x)
{
	struct view_params params[VIEW_MAX_VIEWS];
	const struct codec_pixels whole = codec_pixels_whole(image->rgb, image->width, image->height);
	augment_draw(augment, image->width, image->height, epoch, image->record, params);
	augment_image(augment, params, &whole, 0, scratch, x);
}

int profile_sample_views(const struct profile_sample *sample, const struct augment *augment, unsigned rounds,
	double *seconds, struct error *err)
{
	size_t size = augment->policies.view[0].size, row_floats = size * size * 3;
	size_t scratch_floats = view_render_scratch_floats(&augment->policies, sample->max_width, sample->max_height);
	size_t x_bytes = (augment->policies.count * row_floats * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
	float *x = aligned_alloc(ALIGN, x_bytes);
	float *scratch = aligned_alloc(ALIGN, (scratch_floats * sizeof(float) + ALIGN) / ALIGN * ALIGN);
	int code = x && scratch ? 0 : error_set(err, ERROR_MEMORY, "out of memory for views");
	struct augment one = *augment;
	one.capacity = 1;
	/* One image before the clock runs: memory comes at the first touch. */
	if (code == 0)
		make_views(&one, &sample->image[0], 0, scratch, x);
	uint64_t start_ns = meter_cpu_ns();
	for (unsigned round = 0; round < rounds && code == 0; round++)
		for (unsigned i = 0; i < sample->count; i++)
			make_views(&one, &sample->image[i], round, scratch, x);
	*seconds = (double)(meter_cpu_ns() - start_ns) * 1e-9;
	free(x);
	free(scratch);
	return code;
}
