/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures inside the page: each an SVG of its own around a PNG, so that frames can be drawn over it. */
#ifndef RINGCLR_TOOLS_REPORT_PICTURES_H
#define RINGCLR_TOOLS_REPORT_PICTURES_H

#include "stages/codec.h"
#include "stages/view_policy.h"
#include "tools/html_report.h"

struct picture_frame {
	uint32_t x, y, width, height; /* pixels of the picture */
	const char *colour;	      /* of html_report.c's styles */
};

/* rgb [height][width][3], shrunk to at most `side` pixels a side. class: of the svg, or NULL. */
int picture_put(FILE *out, const uint8_t *rgb, uint32_t width, uint32_t height, uint32_t side, const char *class,
	const struct picture_frame *frames, size_t frame_count, struct error *err);

/* A record of a set. */
int picture_put_record(FILE *out, struct codec_context *codec, const struct shard_set *set, uint64_t record,
	uint32_t side, const char *class, struct error *err);

/* `rows` images spread evenly over the set, each with its views of epoch 0: those of training with that seed. */
int picture_put_views(struct html *html, struct codec_context *codec, const struct shard_set *set,
	const struct view_policies *policies, uint64_t seed, uint64_t rows, struct error *err);

/* The class of a record; where it has none, the last part of its key. */
const char *picture_caption(const struct shard_set *set, uint64_t record);

#endif
