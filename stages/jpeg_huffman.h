/* SPDX-License-Identifier: Apache-2.0 */
/* Entropy decoding of baseline JPEG: tables, bytes without stuffing, and blocks of coefficients. */
#ifndef RINGCLR_STAGES_JPEG_HUFFMAN_H
#define RINGCLR_STAGES_JPEG_HUFFMAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	JPEG_LOOK_BITS = 11, /* a lookup tells all of a code and its value when both have no more bits than this */
	JPEG_LOOK_ENTRIES = 1 << JPEG_LOOK_BITS,
	JPEG_ZIGZAG_ENTRIES = 256,
	JPEG_PADDING = 2048, /* zero bytes behind the entropy-coded ones: more than any MCU takes */
};

/* One table of a DHT segment, made for looking up. */
struct jpeg_huffman {
	uint8_t definition[16 + 256]; /* counts of codes by length, then the symbols */
	unsigned definition_bytes;    /* 0: this table has not been made */
	bool ac;
	uint32_t entry[JPEG_LOOK_ENTRIES];
	uint32_t limit[18]; /* limit[n]: codes of n bits, followed by whatever, are smaller, in 16 bits; [17] is over
			       all */
	int32_t offset[17]; /* a code of n bits is symbol number code + offset[n] */
};

/* Makes the table of a definition (counts and symbols as in the file). False when it is not a Huffman code. */
bool jpeg_huffman_make(struct jpeg_huffman *table, bool ac, const uint8_t *definition);

/* Entropy-coded bits, taken from the most significant on. */
struct jpeg_bits {
	uint64_t bits;
	unsigned count; /* of bits that are valid; more may be there */
	const uint8_t *next, *start, *end;
};

/* Copies an interval's bytes to `to`, without stuffing, zeros behind them. from .. end is the file; `to` has room for
 * all of them and JPEG_PADDING. Returns the marker that ends the interval, or the end of the file. */
const uint8_t *jpeg_bits_unstuff(struct jpeg_bits *bits, uint8_t *to, const uint8_t *from, const uint8_t *end);

/* The marker that ends the interval, or the end of the file. */
const uint8_t *jpeg_bits_skip(const uint8_t *from, const uint8_t *end);

/* A block of the MCU, by its place in it. */
struct jpeg_block {
	const struct jpeg_huffman *dc, *ac;
	unsigned component;    /* whose DC prediction it takes part in */
	int16_t *coefficients; /* of the block row that it lies in: groups of blocks, see jpeg_kernels.h */
	uint32_t index, step;  /* which block of them it is next, and how many further in the next MCU */
};

enum { JPEG_BLOCKS_MAX = 6 };

struct jpeg_mcu {
	unsigned blocks;
	struct jpeg_block block[JPEG_BLOCKS_MAX];
	int32_t prediction[3];
	unsigned lanes_log2;	/* blocks of a group */
	const uint16_t *zigzag; /* [JPEG_ZIGZAG_ENTRIES] */
};

/* Decodes `count` MCUs, to their blocks' coefficients if `keep`, which must be zero before. False: a code that is
 * none, or bits are missing. */
bool jpeg_huffman_decode(struct jpeg_bits *bits, struct jpeg_mcu *mcu, uint32_t count, bool keep);

/* zigzag[k] is where the k-th coefficient of a block goes among blocks that interleave their rows by `lanes`. */
void jpeg_huffman_zigzag(uint16_t zigzag[JPEG_ZIGZAG_ENTRIES], unsigned lanes);

/* Natural position of the k-th coefficient. */
extern const uint8_t jpeg_place_of[64];

#endif
