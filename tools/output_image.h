/* SPDX-License-Identifier: Apache-2.0 */
/* A record's image as a file: its own bytes, or raw pixels as PNG or PPM. */
#ifndef RINGCLR_TOOLS_OUTPUT_IMAGE_H
#define RINGCLR_TOOLS_OUTPUT_IMAGE_H

#include "tools/output_paths.h"

/* The words of --raw-as, in the order of enum output_raw. */
#define OUTPUT_RAW_OPTION(S, field)                                                                                    \
	OPTION_CHOICE(S, field, "raw-as", "png|ppm", "png",                                                            \
		"what raw pixels become; all other images are written as they were packed, byte for byte")

struct output_image {
	const void *data; /* in the record, or owned */
	size_t bytes;
	void *owned;
};

int output_image_make(
	const struct shard_record_in *record, enum output_raw raw, struct output_image *image, struct error *err);
void output_image_free(struct output_image *image);

#endif
