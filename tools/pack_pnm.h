/* SPDX-License-Identifier: Apache-2.0 */
/* Netpbm's PGM and PPM images: P2, P3 (text), P5, P6 (binary), 8 and 16 bits. */
#ifndef RINGCLR_TOOLS_PACK_PNM_H
#define RINGCLR_TOOLS_PACK_PNM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"

/* Whether the bytes (3 are enough) start such an image. */
bool pack_pnm_probe(const unsigned char *data, size_t bytes);

/* *rgb is malloc'd: [height][width][3]. ERROR_DECODE for a damaged image, or one of more than max_pixels. */
int pack_pnm_decode(const unsigned char *data, size_t bytes, uint64_t max_pixels, unsigned char **rgb, uint32_t *width,
	uint32_t *height, struct error *err);

#endif
