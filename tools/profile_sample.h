/* SPDX-License-Identifier: Apache-2.0 */
/* A few records of the data in memory, to time what another codec or another size of the views would cost. */
#ifndef RINGCLR_TOOLS_PROFILE_SAMPLE_H
#define RINGCLR_TOOLS_PROFILE_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/shard.h"
#include "stages/augment.h"

enum { PROFILE_SAMPLE_MAX = 32 };

/* How images could be kept. */
enum profile_keep { KEEP_RAW, KEEP_PNG, KEEP_WEBP, KEEP_WEBP_LOSSLESS, KEEP_COUNT };

struct profile_image {
	uint64_t record;
	enum shard_codec codec;
	uint32_t width, height;
	unsigned char *data; /* encoded */
	size_t bytes;
	uint8_t *rgb;
};

struct profile_sample {
	unsigned count;
	struct profile_image image[PROFILE_SAMPLE_MAX]; /* evenly spaced over the set */
	struct codec_context *codecs;
	struct augment augment; /* as the loader makes views: what is decoded of an image depends on them */
	uint64_t bytes;		/* sums over the images */
	uint32_t max_width, max_height;
};

/* Costs of the images that could be encoded in the time given, as they are and kept otherwise. */
struct profile_codec_times {
	unsigned images;
	double now_s, then_s, unpack_s; /* of them all: decoding as kept now, and then; unpacking then */
	uint64_t now_bytes, then_bytes;
};

/* Reads and decodes; records that do not decode are left out. Fails when there is none. */
int profile_sample_take(
	struct profile_sample *sample, const struct shard_set *set, const struct augment *augment, struct error *err);
void profile_sample_free(struct profile_sample *sample);

const char *profile_keep_name(enum profile_keep keep); /* as of pack --codec, and png */
enum shard_codec profile_keep_codec(enum profile_keep keep);

/* Encodes rgb; *data is malloc'd. */
int profile_keep_encode(enum profile_keep keep, const uint8_t *rgb, uint32_t width, uint32_t height, void **data,
	size_t *bytes, struct error *err);

/* Encodes for at most `seconds` (one image at least), then times decoding. All times are processor time. */
int profile_sample_codec(const struct profile_sample *sample, enum profile_keep keep, double seconds,
	struct profile_codec_times *times, struct error *err);

/* Processor seconds of the views of the sample's images, `rounds` epochs of them, into *seconds. */
int profile_sample_views(const struct profile_sample *sample, const struct augment *augment, unsigned rounds,
	double *seconds, struct error *err);

#endif
