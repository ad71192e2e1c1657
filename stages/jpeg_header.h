/* SPDX-License-Identifier: Apache-2.0 */
/* What jpeg_decode.c must know of a JPEG file before its first entropy-coded byte. */
#ifndef RINGCLR_STAGES_JPEG_HEADER_H
#define RINGCLR_STAGES_JPEG_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JPEG_COMPONENTS = 3, JPEG_TABLES = 4, JPEG_SIDE_MAX = 65500 /* libjpeg's */ };

struct jpeg_component {
	uint8_t id, horizontal, vertical;	  /* sampling factors */
	uint8_t quantisation, dc_table, ac_table; /* which of the tables below */
};

/* Pointers go into the file. */
struct jpeg_header {
	uint32_t width, height;
	unsigned components; /* 1: gray, 3: YCbCr */
	struct jpeg_component component[JPEG_COMPONENTS];
	const uint8_t *quantisation[JPEG_TABLES]; /* 64 values in zigzag order, of 1 or (wide) 2 bytes */
	bool quantisation_wide[JPEG_TABLES];
	const uint8_t *huffman[2][JPEG_TABLES]; /* DC, AC: 16 counts, then the symbols */
	uint32_t restart_interval;		/* MCUs; 0: none */
	const uint8_t *scan, *end;		/* the entropy-coded bytes and the file's end */
};

/* True for the files that jpeg_decode.c reads: baseline or extended sequential Huffman coding of 8 bits, gray or YCbCr
 * of 4:4:4, 4:2:2 or 4:2:0 in one scan, sound as far as the scan. Everything else, damage too, is false. */
bool jpeg_header_read(const uint8_t *data, size_t bytes, struct jpeg_header *header);

/* True when only comments and application segments lie between `at` and the end-of-image marker. */
bool jpeg_header_ends(const uint8_t *at, const uint8_t *end);

#endif
