/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block is its DC coefficient (as the difference to the block before) and AC coefficients in zigzag order. Each is a
 * Huffman code for a byte: the lower four bits say how many bits of the value follow, the upper four how many zero
 * coefficients come before it. A lower half of zero ends the block, but for 0xf0: sixteen zeros.
 *
 * What limits decoding is that each lookup must wait for the length that the one before found. So one lookup by the
 * next JPEG_LOOK_BITS bits gives everything about a coefficient, if its code and value fit in them: how many bits to
 * take, how far to go, and the value. Ends of block are coefficients too, that go further than any block is long, to a
 * place behind the blocks: so the only branches of the loop are "did it fit" and "is the block done". (Two coefficients
 * from one lookup were slower: in photographs two seldom fit, and every entry has more to take apart.)
 *
 * A run of zeros may lead past the 63rd coefficient in a broken file. libjpeg then writes the 63rd, so do we.
 *
 * Bits are read from bytes without stuffing, followed by zeros; so nothing is checked while bits are taken, but after
 * each MCU whether they were there.
 */
#include "stages/jpeg_huffman.h"

#include <string.h>

#include "stages/jpeg_kernels.h" /* the layout of coefficients */

/* An entry: bits 0..5 bits to take, bit 7 set: look further, bits 8..15 how far to go, bits 16..31 the value. */
enum { SLOW = 0x80, END_OF_BLOCK = 128 };

const uint8_t jpeg_place_of[64] = {0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41,
	34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52,
	45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

void jpeg_huffman_zigzag(uint16_t zigzag[JPEG_ZIGZAG_ENTRIES], unsigned lanes)
{
	for (unsigned k = 0; k < JPEG_ZIGZAG_ENTRIES; k++) {
		const unsigned natural = jpeg_place_of[k < 63 ? k : 63];
		zigzag[k] = (uint16_t)(k < END_OF_BLOCK ? natural / 8 * 8 * lanes + natural % 8 : 64 * lanes);
	}
}

/* The value that `size` bits, the uppermost of `bits`, stand for. */
static inline int32_t extend(uint64_t bits, unsigned size)
{
	const int32_t raw = (int32_t)(bits >> 1 >> (63 - size));
	return raw - ((int64_t)bits < 0 ? 0 : (1 << size) - 1);
}

static inline uint32_t make_entry(unsigned symbol, unsigned bits, int32_t value)
{
	const unsigned size = symbol & 15, run = symbol >> 4;
	const unsigned advance = size == 0 && run != 15 ? (unsigned)END_OF_BLOCK : run + 1;
	return bits | advance << 8 | (uint32_t)value << 16;
}

/* Of a DC code: what its value takes is computed, as their differences are too large for lookups too often to foresee.
 */
static inline uint32_t make_dc_entry(unsigned symbol, unsigned length)
{
	return (length + symbol) | length << 8 | symbol << 16;
}

static void fill(struct jpeg_huffman *table, unsigned code, unsigned length, unsigned symbol)
{
	const unsigned size = symbol & 15, spare = JPEG_LOOK_BITS - length;
	uint32_t *entry = table->entry + (code << spare);
	for (unsigned i = 0; i < 1U << spare; i++) {
		if (!table->ac)
			entry[i] = make_dc_entry(symbol, length);
		else if (size > spare)
			entry[i] = SLOW | length | symbol << 16;
		else
			entry[i] = make_entry(
				symbol, length + size, size == 0 ? 0 : extend((uint64_t)i << (63 - spare) << 1, size));
	}
}

bool jpeg_huffman_make(struct jpeg_huffman *table, bool ac, const uint8_t *definition)
{
	unsigned symbols = 0, code = 0;
	table->definition_bytes = 0;
	table->ac = ac;
	for (unsigned i = 0; i < JPEG_LOOK_ENTRIES; i++)
		table->entry[i] = SLOW;
	table->limit[0] = 0;
	for (unsigned length = 1; length <= 16; length++) {
		table->offset[length] = (int32_t)symbols - (int32_t)code;
		/* No code is all ones: one more must fit behind the last. */
		const unsigned codes = definition[length - 1];
		if (codes > 0 && code + codes >= 1U << length)
			return false;
		for (unsigned i = 0; i < codes; i++, code++, symbols++) {
			const unsigned symbol = definition[16 + symbols];
			if (!ac && symbol > 15)
				return false;
			if (length <= JPEG_LOOK_BITS)
				fill(table, code, length, symbol);
		}
		table->limit[length] = code << (16 - length);
		code <<= 1;
	}
	table->limit[17] = UINT32_MAX;
	memcpy(table->definition, definition, 16 + symbols);
	table->definition_bytes = 16 + symbols;
	return true;
}

/* A code that is longer than a lookup. False: there is none such. */
static bool find_code(const struct jpeg_huffman *table, uint64_t bits, unsigned *length, unsigned *symbol)
{
	const uint32_t next = (uint32_t)(bits >> 48);
	*length = JPEG_LOOK_BITS + 1;
	while (next >= table->limit[*length])
		++*length;
	if (*length > 16)
		return false;
	*symbol = table->definition[16 + (int32_t)(next >> (16 - *length)) + table->offset[*length]];
	return true;
}

/* The entry of a coefficient that did not fit in a lookup, which gave `entry`; at least 31 of `bits` are valid.
 * Takes no bits when it is no code. */
__attribute__((noinline)) static uint32_t slow_ac_entry(const struct jpeg_huffman *table, uint64_t bits, uint32_t entry)
{
	unsigned length = entry & 63, symbol = entry >> 16;
	if (length == 0 && !find_code(table, bits, &length, &symbol))
		return END_OF_BLOCK << 8;
	const unsigned size = symbol & 15;
	return make_entry(symbol, length + size, size == 0 ? 0 : extend(bits << length, size));
}

__attribute__((noinline)) static uint32_t slow_dc_entry(const struct jpeg_huffman *table, uint64_t bits)
{
	unsigned length, symbol;
	return find_code(table, bits, &length, &symbol) ? make_dc_entry(symbol, length) : 0;
}

static inline void refill(struct jpeg_bits *bits)
{
	uint64_t word;
	memcpy(&word, bits->next, sizeof word);
	bits->bits |= __builtin_bswap64(word) >> bits->count;
	bits->next += (63 - bits->count) >> 3;
	bits->count |= 56;
}

static inline void take(struct jpeg_bits *bits, uint32_t entry)
{
	bits->bits <<= entry & 63; /* as the processor does anyway; the next lookup waits for it */
	bits->count -= (uint8_t)entry;
}

static inline uint32_t look(const struct jpeg_huffman *table, const struct jpeg_bits *bits)
{
	return table->entry[bits->bits >> (64 - JPEG_LOOK_BITS)];
}

/* Takes one block's bits. Three lookups per refill: of 56 bits the slow path takes at most 31, lookups at most
 * JPEG_LOOK_BITS each. False: an invalid code. */
static inline __attribute__((always_inline)) bool take_block(struct jpeg_bits *bits, const struct jpeg_block *block,
	const uint16_t *zigzag, int32_t *prediction, int16_t *to, const bool keep)
{
	bool sound = true;
	refill(bits);
	uint32_t entry = look(block->dc, bits);
	if (__builtin_expect(entry & SLOW, 0)) {
		entry = slow_dc_entry(block->dc, bits->bits);
		sound &= (entry & 63) != 0;
	}
	const int32_t difference = extend(bits->bits << (entry >> 8 & 63), entry >> 16 & 15);
	take(bits, entry);
	*prediction = (int32_t)((uint32_t)*prediction + (uint32_t)difference);
	if (keep)
		to[0] = (int16_t)*prediction;
	const struct jpeg_huffman *ac = block->ac;
	unsigned k = 0;
	for (;;) {
#define LOOKUP(enough)                                                                                                 \
	entry = look(ac, bits);                                                                                        \
	if (__builtin_expect(entry & SLOW, 0)) {                                                                       \
		if (!(enough))                                                                                         \
			refill(bits);                                                                                  \
		entry = slow_ac_entry(ac, bits->bits, entry);                                                          \
		sound &= (entry & 63) != 0;                                                                            \
	}                                                                                                              \
	k += entry >> 8 & 255;                                                                                         \
	if (keep)                                                                                                      \
		to[zigzag[k]] = (int16_t)(entry >> 16);                                                                \
	take(bits, entry);                                                                                             \
	if (k > 62)                                                                                                    \
	break
		refill(bits);
		LOOKUP(true);
		LOOKUP(false);
		LOOKUP(false);
#undef LOOKUP
	}
	return sound;
}

static inline __attribute__((always_inline)) bool decode(
	struct jpeg_bits *from, struct jpeg_mcu *mcu, uint32_t count, const bool keep)
{
	struct jpeg_bits bits = *from;
	const unsigned log2 = mcu->lanes_log2;
	const size_t group_stride = ((size_t)64 << log2) + JPEG_GROUP_GAP;
	const uint16_t *zigzag = mcu->zigzag;
	bool sound = true;
	for (uint32_t i = 0; i < count && sound; i++) {
		for (unsigned b = 0; b < mcu->blocks; b++) {
			struct jpeg_block *block = &mcu->block[b];
			int16_t *to = NULL;
			if (keep) {
				to = block->coefficients + (block->index >> log2) * group_stride +
				     (size_t)(block->index & ((1U << log2) - 1)) * 8;
				block->index += block->step;
			}
			sound &= take_block(&bits, block, zigzag, &mcu->prediction[block->component], to, keep);
		}
		sound &= (size_t)(bits.next - bits.start) * 8 - bits.count <= (size_t)(bits.end - bits.start) * 8;
	}
	*from = bits;
	return sound;
}

bool jpeg_huffman_decode(struct jpeg_bits *bits, struct jpeg_mcu *mcu, uint32_t count, bool keep)
{
	return keep ? decode(bits, mcu, count, true) : decode(bits, mcu, count, false);
}

/* True at a marker, false at a stuffed or repeated 0xff; *after is what follows. */
static bool is_marker(const uint8_t *at, const uint8_t *end, const uint8_t **after)
{
	const uint8_t *p = at + 1;
	while (p < end && *p == 0xff)
		p++;
	*after = p + 1;
	return p == end || *p != 0;
}

const uint8_t *jpeg_bits_unstuff(struct jpeg_bits *bits, uint8_t *to, const uint8_t *from, const uint8_t *end)
{
	*bits = (struct jpeg_bits){.start = to, .next = to};
	const uint8_t *marker = end;
	while (from < end) {
		const uint8_t *found = memchr(from, 0xff, (size_t)(end - from)), *after;
		const size_t plain = (size_t)((found == NULL ? end : found) - from);
		memcpy(to, from, plain);
		to += plain;
		if (found == NULL)
			break;
		if (is_marker(found, end, &after)) {
			marker = found;
			break;
		}
		*to++ = 0xff;
		from = after;
	}
	memset(to, 0, JPEG_PADDING);
	bits->end = to;
	return marker;
}

const uint8_t *jpeg_bits_skip(const uint8_t *from, const uint8_t *end)
{
	while (from < end) {
		const uint8_t *found = memchr(from, 0xff, (size_t)(end - from)), *after;
		if (found == NULL)
			return end;
		if (is_marker(found, end, &after))
			return found;
		from = after;
	}
	return end;
}
