/* SPDX-License-Identifier: Apache-2.0 */
/* Which way up a picture is: cameras store what the sensor saw, and how it was held. */
#ifndef RINGCLR_STAGES_EXIF_H
#define RINGCLR_STAGES_EXIF_H

#include <stddef.h>
#include <stdint.h>

#include "io/shard.h" /* enum shard_codec */

/* The orientation that an image's Exif data name, 1 to 8 as Exif numbers them; 1 (as stored) when there are none, or
 * damaged ones, or they say something else. Reads nothing outside data, whatever it holds, and allocates nothing. */
unsigned exif_orientation(enum shard_codec codec, const void *data, size_t bytes);

/* Writes orientation 1 into a JPEG that names one; else changes nothing. */
void exif_reset_jpeg(void *data, size_t bytes);

/* Turns rgb [height][width][3] to out, as large, so that it is the right way up. Sizes become out's. */
void exif_apply(const uint8_t *rgb, uint32_t *width, uint32_t *height, unsigned orientation, uint8_t *out);

#endif
