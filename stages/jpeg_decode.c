/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region of a baseline JPEG, by MCU rows (an MCU is the smallest unit of all components: 8x8 pixels, or 16x8 or 16x16
 * where chroma is subsampled).
 *
 * Huffman codes have no index, so every MCU before the region's last one must be read; but those outside are only
 * parsed. Where restart markers cut the data into intervals, whole intervals outside are jumped over. Nothing behind
 * the region's last MCU is looked at.
 *
 *	bytes --unstuff--> bits --Huffman--> coefficients of an MCU row --IDCT--> samples --widen, colour--> pixels
 *
 * Samples live in a ring of RING_ROWS rows per component: two MCU rows of the tallest kind, because smooth upsampling
 * of a row wants the chroma row above and below, and the one below may belong to the next MCU row. At the image's edges
 * the outermost sample is repeated.
 *
 * A file that has only to be checked is parsed to its end, all intervals of it, into nothing.
 *
 * At 1/2, 1/4 and 1/8 of the size the IDCT makes fewer samples. Subsampled chroma is then transformed at twice luma's
 * size instead of being upsampled, where that works out in both directions.
 */
#include "stages/jpeg_decode.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "stages/jpeg_header.h"
#include "stages/jpeg_huffman.h"
#include "stages/jpeg_kernels.h"

/* Coefficients of CHUNK_MCUS stay in the first-level cache beside the tables; a multiple of JPEG_LANES_MAX. */
enum { RING_ROWS = 32, MARGIN = 64, KEPT_TABLES = 8, CHUNK_MCUS = 16, MCU_SIDE = 16 /* at most */ };

struct memory {
	void *data;
	size_t bytes;
};

struct jpeg_decoder {
	const struct jpeg_kernels *kernels;
	uint16_t zigzag[JPEG_ZIGZAG_ENTRIES];
	/* Tables made before: many data sets use the same ones in every file. */
	struct jpeg_huffman tables[2][KEPT_TABLES];
	uint64_t table_used[2][KEPT_TABLES]; /* the number of the image that wanted it last */
	uint64_t images;
	struct memory stream, coefficients, samples;
};

struct component {
	unsigned horizontal, vertical; /* blocks in an MCU */
	unsigned size, size_log2;      /* samples a side that the IDCT makes of a block */
	uint32_t width, height;	       /* samples that are of the image */
	uint32_t origin;	       /* column of the first sample kept */
	size_t groups;		       /* of blocks in a chunk's block row */
	int16_t *coefficients;	       /* [vertical][groups] */
	uint8_t *samples;	       /* [RING_ROWS][stride]; column -1 exists */
	size_t stride;
	int16_t quantisation[64];
};

struct decoding {
	struct jpeg_decoder *decoder;
	struct jpeg_header header;
	struct jpeg_bits bits;
	struct jpeg_mcu mcu;
	const uint8_t *marker; /* the end of the current interval */
	uint32_t left;	       /* MCUs of the current interval */
	unsigned restarts;     /* markers seen */
	uint64_t pending;      /* MCUs to go past before the next that is kept */
	bool thorough;	       /* they are parsed, even where they could be jumped over */
	uint32_t mcu_columns, mcu_rows;
	uint32_t first_column, last_column, first_row, last_row; /* MCUs kept */
	uint32_t x, y, x_end, y_end;				 /* pixels made, of the scaled image */
	struct component component[JPEG_COMPONENTS];
	unsigned mcu_height; /* pixels of the scaled image */
	bool wide, tall;     /* chroma is upsampled in this direction */
	bool smooth;
	uint8_t *chroma[2]; /* rows upsampled */
};

/* Coefficients of a group of blocks and what lies behind them. */
static size_t group_stride(unsigned lanes)
{
	return (size_t)lanes * 64 + JPEG_GROUP_GAP;
}

static uint32_t ceil_div(uint64_t a, uint64_t b)
{
	return (uint32_t)((a + b - 1) / b);
}

static size_t round_up(size_t a, size_t unit)
{
	return (a + unit - 1) / unit * unit;
}

struct jpeg_decoder *jpeg_decoder_create(enum cpu_isa isa)
{
	struct jpeg_decoder *decoder = calloc(1, sizeof *decoder);
	if (decoder == NULL)
		return NULL;
	decoder->kernels = jpeg_kernels_for(isa);
	jpeg_huffman_zigzag(decoder->zigzag, decoder->kernels->lanes);
	return decoder;
}

void jpeg_decoder_destroy(struct jpeg_decoder *decoder)
{
	if (decoder == NULL)
		return;
	free(decoder->stream.data);
	free(decoder->coefficients.data);
	free(decoder->samples.data);
	free(decoder);
}

size_t jpeg_decode_stride(uint32_t width)
{
	return round_up(width, JPEG_COLOUR_STEP) * 4;
}

/* At least `bytes`, and if that is more than ever, with `spare` bytes more. NULL: no memory. */
static void *memory_with(struct memory *memory, size_t bytes, size_t spare)
{
	if (bytes <= memory->bytes)
		return memory->data;
	const size_t larger = round_up(bytes + spare, 64);
	free(memory->data);
	memory->data = aligned_alloc(64, larger);
	memory->bytes = memory->data == NULL ? 0 : larger;
	if (memory->data != NULL)
		memset(memory->data, 0, larger);
	return memory->data;
}

/* A quarter to spare, so that slowly growing images do not each allocate. */
static void *memory_of(struct memory *memory, size_t bytes)
{
	return memory_with(memory, bytes, bytes / 4);
}

/* As plan_memory() adds up for the whole width, where an MCU row is longest. */
int jpeg_decoder_reserve(struct jpeg_decoder *decoder, uint32_t width, size_t file_bytes, struct error *err)
{
	const unsigned lanes = decoder->kernels->lanes;
	const size_t groups = (size_t)CHUNK_MCUS * JPEG_BLOCKS_MAX / lanes;
	const size_t stride = round_up(width, (size_t)CHUNK_MCUS * MCU_SIDE) + 2 * MARGIN + JPEG_COLOUR_STEP;
	const size_t row_bytes = round_up(width, JPEG_COLOUR_STEP) + JPEG_COLOUR_STEP;
	if (memory_with(&decoder->stream, file_bytes + JPEG_PADDING, 0) == NULL ||
		memory_with(&decoder->coefficients, groups * group_stride(lanes) * sizeof(int16_t), 0) == NULL ||
		memory_with(&decoder->samples, (size_t)JPEG_COMPONENTS * RING_ROWS * stride + 2 * row_bytes, 0) == NULL)
		return error_set(err, ERROR_MEMORY, "JPEG: no memory to decode images %" PRIu32 " pixels wide", width);
	return 0;
}

/* The table of a definition, made now or before. The image's own tables, at most three of a class, are never evicted.
 */
static const struct jpeg_huffman *table_of(struct jpeg_decoder *decoder, unsigned class, const uint8_t *definition)
{
	unsigned bytes = 16, oldest = 0;
	for (unsigned i = 0; i < 16; i++)
		bytes += definition[i];
	uint64_t *used = decoder->table_used[class];
	for (unsigned i = 0; i < KEPT_TABLES; i++) {
		const struct jpeg_huffman *table = &decoder->tables[class][i];
		if (table->definition_bytes == bytes && memcmp(table->definition, definition, bytes) == 0) {
			used[i] = decoder->images;
			return table;
		}
		if (used[i] < used[oldest])
			oldest = i;
	}
	struct jpeg_huffman *table = &decoder->tables[class][oldest];
	used[oldest] = decoder->images;
	return jpeg_huffman_make(table, class == 1, definition) ? table : NULL;
}

/* ------------------------------------------------------------------------------------------------------- planning */

/* Sizes of the components and how far chroma is upsampled. */
static void plan_components(struct decoding *decoding, unsigned scale)
{
	const struct jpeg_header *header = &decoding->header;
	const unsigned h_max = header->component[0].horizontal, v_max = header->component[0].vertical;
	const unsigned luma_log2 = 3 - (unsigned)__builtin_ctz(scale);
	/* Twice the size for chroma, if that takes the place of upsampling in all directions. */
	const bool doubled = scale > 1 && h_max == 2 && v_max == 2;
	for (unsigned i = 0; i < header->components; i++) {
		struct component *c = &decoding->component[i];
		c->horizontal = header->component[i].horizontal;
		c->vertical = header->component[i].vertical;
		c->size_log2 = luma_log2 + (i > 0 && doubled ? 1 : 0);
		c->size = 1U << c->size_log2;
		c->width = ceil_div((uint64_t)header->width * c->horizontal * c->size, (uint64_t)h_max * 8);
		c->height = ceil_div((uint64_t)header->height * c->vertical * c->size, (uint64_t)v_max * 8);
		const unsigned table = header->component[i].quantisation;
		const uint8_t *q = header->quantisation[table];
		for (unsigned k = 0; k < 64; k++)
			c->quantisation[jpeg_place_of[k]] =
				(int16_t)(header->quantisation_wide[table] ? q[2 * k] << 8 | q[2 * k + 1] : q[k]);
	}
	decoding->wide = header->components == 3 && h_max == 2 && !doubled;
	decoding->tall = header->components == 3 && v_max == 2 && !doubled;
	decoding->smooth = luma_log2 > 0 && decoding->component[header->components - 1].width > 2;
	decoding->mcu_height = v_max << luma_log2;
	decoding->mcu_columns = ceil_div(header->width, (uint64_t)h_max * 8);
	decoding->mcu_rows = ceil_div(header->height, (uint64_t)v_max * 8);
}

/* Which MCUs hold samples first .. end - 1 of the image in one direction, and their neighbours in upsampled chroma. */
static void plan_side(uint32_t first, uint32_t end, unsigned mcu_side, bool upsampled, uint32_t mcus,
	uint32_t *first_mcu, uint32_t *last_mcu)
{
	const uint32_t before = upsampled && first >= 2 ? 2 : 0, after = upsampled ? 2 : 0;
	*first_mcu = (first - before) / mcu_side;
	*last_mcu = (end - 1 + after) / mcu_side;
	if (*last_mcu >= mcus)
		*last_mcu = mcus - 1;
}

static void plan_region(struct decoding *decoding, const struct codec_region *region)
{
	const unsigned scale = region->scale;
	const unsigned luma = decoding->component[0].size;
	decoding->x = region->x / scale;
	if (decoding->wide)
		decoding->x &= ~1U;
	decoding->y = region->y / scale;
	decoding->x_end = ceil_div((uint64_t)region->x + region->width, scale);
	decoding->y_end = ceil_div((uint64_t)region->y + region->height, scale);
	plan_side(decoding->x, decoding->x_end, decoding->component[0].horizontal * luma, decoding->wide,
		decoding->mcu_columns, &decoding->first_column, &decoding->last_column);
	plan_side(decoding->y, decoding->y_end, decoding->mcu_height, decoding->tall, decoding->mcu_rows,
		&decoding->first_row, &decoding->last_row);
}

/* Memory for a chunk's coefficients and for the samples. False: there is none. */
static bool plan_memory(struct decoding *decoding, size_t bytes)
{
	struct jpeg_decoder *decoder = decoding->decoder;
	const unsigned lanes = decoder->kernels->lanes;
	const size_t mcus = decoding->last_column - decoding->first_column + 1;
	const size_t stride = group_stride(lanes);
	size_t coefficients = 0, samples = 0;
	for (unsigned i = 0; i < decoding->header.components; i++) {
		struct component *c = &decoding->component[i];
		c->groups = (size_t)CHUNK_MCUS * c->horizontal / lanes;
		c->stride = round_up(mcus, CHUNK_MCUS) * c->horizontal * c->size + 2 * MARGIN + JPEG_COLOUR_STEP;
		c->origin = decoding->first_column * c->horizontal * c->size;
		coefficients += c->vertical * c->groups * stride;
		samples += RING_ROWS * c->stride;
	}
	const size_t row_bytes = round_up(decoding->x_end - decoding->x, JPEG_COLOUR_STEP) + JPEG_COLOUR_STEP;
	uint8_t *stream = memory_of(&decoder->stream, bytes + JPEG_PADDING);
	int16_t *block = memory_of(&decoder->coefficients, coefficients * sizeof *block);
	uint8_t *sample = memory_of(&decoder->samples, samples + 2 * row_bytes);
	if (stream == NULL || block == NULL || sample == NULL)
		return false;
	for (unsigned i = 0; i < decoding->header.components; i++) {
		struct component *c = &decoding->component[i];
		c->coefficients = block;
		c->samples = sample + MARGIN;
		block += c->vertical * c->groups * stride;
		sample += RING_ROWS * c->stride;
	}
	decoding->chroma[0] = sample;
	decoding->chroma[1] = sample + row_bytes;
	return true;
}

static bool plan_tables(struct decoding *decoding)
{
	struct jpeg_decoder *decoder = decoding->decoder;
	struct jpeg_mcu *mcu = &decoding->mcu;
	decoder->images++;
	mcu->lanes_log2 = (unsigned)__builtin_ctz(decoder->kernels->lanes);
	mcu->zigzag = decoder->zigzag;
	for (unsigned i = 0; i < decoding->header.components; i++) {
		const struct jpeg_component *c = &decoding->header.component[i];
		const struct jpeg_huffman *dc = table_of(decoder, 0, decoding->header.huffman[0][c->dc_table]);
		const struct jpeg_huffman *ac = table_of(decoder, 1, decoding->header.huffman[1][c->ac_table]);
		if (dc == NULL || ac == NULL)
			return false;
		for (unsigned b = 0; b < (unsigned)c->horizontal * c->vertical; b++)
			mcu->block[mcu->blocks++] =
				(struct jpeg_block){.dc = dc, .ac = ac, .component = i, .step = c->horizontal};
	}
	return true;
}

/* ------------------------------------------------------------------------------------------------ entropy decoding */

static void start_interval(struct decoding *decoding, const uint8_t *from)
{
	decoding->marker =
		jpeg_bits_unstuff(&decoding->bits, decoding->decoder->stream.data, from, decoding->header.end);
	memset(decoding->mcu.prediction, 0, sizeof decoding->mcu.prediction);
	decoding->left = decoding->header.restart_interval;
}

/* Where the next interval's bytes begin; NULL when its marker is not the one to be expected. */
static const uint8_t *next_interval(struct decoding *decoding)
{
	const uint8_t *at = decoding->marker, *end = decoding->header.end;
	while (end - at >= 2 && at[1] == 0xff)
		at++;
	if (end - at < 2 || at[1] != 0xd0 + (decoding->restarts++ & 7))
		return NULL;
	return at + 2;
}

static bool take_mcus(struct decoding *decoding, uint64_t count, bool keep)
{
	const uint32_t interval = decoding->header.restart_interval;
	while (count > 0) {
		if (interval != 0 && decoding->left == 0) {
			const uint8_t *from = next_interval(decoding);
			if (from == NULL)
				return false;
			if (!keep && !decoding->thorough && count >= interval) {
				decoding->marker = jpeg_bits_skip(from, decoding->header.end);
				count -= interval;
				continue;
			}
			start_interval(decoding, from);
		}
		uint32_t now = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
		if (interval != 0 && now > decoding->left)
			now = decoding->left;
		if (!jpeg_huffman_decode(&decoding->bits, &decoding->mcu, now, keep))
			return false;
		count -= now;
		decoding->left -= interval != 0 ? now : 0;
	}
	return true;
}

/* `mcus` MCUs of a row, the first of them `skipped` behind the region's first, to samples. */
static bool decode_chunk(struct decoding *decoding, uint32_t row, uint32_t skipped, uint32_t mcus)
{
	const struct jpeg_kernels *kernels = decoding->decoder->kernels;
	const unsigned lanes = kernels->lanes;
	const size_t stride = group_stride(lanes);
	struct jpeg_block *block = decoding->mcu.block;
	for (unsigned i = 0; i < decoding->header.components; i++) {
		struct component *c = &decoding->component[i];
		c->groups = (mcus * c->horizontal + lanes - 1) / lanes;
		memset(c->coefficients, 0, c->vertical * c->groups * stride * sizeof *c->coefficients);
		for (unsigned b = 0; b < c->vertical * c->horizontal; b++, block++) {
			block->coefficients = c->coefficients + b / c->horizontal * c->groups * stride;
			block->index = b % c->horizontal;
		}
	}
	if (!take_mcus(decoding, mcus, true))
		return false;
	for (unsigned i = 0; i < decoding->header.components; i++) {
		struct component *c = &decoding->component[i];
		for (uint32_t v = 0; v < c->vertical; v++) {
			const size_t first = (row * c->vertical + v) * c->size % RING_ROWS;
			kernels->idct[c->size_log2](
				c->samples + first * c->stride + (size_t)skipped * c->horizontal * c->size, c->stride,
				c->coefficients + v * c->groups * stride, c->quantisation, c->groups);
		}
	}
	return true;
}

/* The region's part of an MCU row. */
static bool decode_row(struct decoding *decoding, uint32_t row)
{
	const uint32_t columns = decoding->last_column - decoding->first_column + 1;
	if (!take_mcus(decoding, decoding->pending, false))
		return false;
	decoding->pending = decoding->mcu_columns - columns;
	for (uint32_t done = 0; done < columns; done += CHUNK_MCUS)
		if (!decode_chunk(decoding, row, done, columns - done < CHUNK_MCUS ? columns - done : CHUNK_MCUS))
			return false;
	return true;
}

/* ---------------------------------------------------------------------------------------------------------- pixels */

/* The component's row y, its outermost samples repeated once beyond the image's sides. */
static uint8_t *sample_row(const struct decoding *decoding, struct component *c, uint32_t y)
{
	uint8_t *row = c->samples + y % RING_ROWS * c->stride;
	if (c->origin == 0)
		row[-1] = row[0];
	if (decoding->last_column == decoding->mcu_columns - 1)
		row[c->width - c->origin] = row[c->width - c->origin - 1];
	return row;
}

/* The chroma row that belongs to pixel row y, from column decoding->x on. */
static const uint8_t *chroma_row(struct decoding *decoding, unsigned i, uint32_t y)
{
	const struct jpeg_kernels *kernels = decoding->decoder->kernels;
	struct component *c = &decoding->component[i];
	const uint32_t near = decoding->tall ? y / 2 : y;
	const uint8_t *row = sample_row(decoding, c, near);
	if (!decoding->wide)
		return row + (decoding->x - c->origin);
	uint8_t *out = decoding->chroma[i - 1];
	const size_t first = decoding->x / 2 - c->origin, count = (decoding->x_end - decoding->x + 1) / 2;
	if (!decoding->smooth) {
		for (size_t k = 0; k < count; k++)
			out[2 * k] = out[2 * k + 1] = row[first + k];
	} else if (!decoding->tall) {
		kernels->widen(out, row + first, count);
	} else {
		uint32_t far = y % 2 == 1 ? near + 1 : near - 1;
		if (near == 0 && y == 0)
			far = 0;
		if (far == c->height)
			far = near;
		kernels->widen_between(out, row + first, sample_row(decoding, c, far) + first, count);
	}
	return out;
}

static void pixel_row(struct decoding *decoding, uint32_t y, uint8_t *out)
{
	const struct jpeg_kernels *kernels = decoding->decoder->kernels;
	const struct component *c = decoding->component;
	const uint8_t *luma = c->samples + y % RING_ROWS * c->stride + (decoding->x - c->origin);
	const size_t count = decoding->x_end - decoding->x;
	if (decoding->header.components == 1) {
		kernels->gray(out, luma, count);
		return;
	}
	const uint8_t *cb = chroma_row(decoding, 1, y), *cr = chroma_row(decoding, 2, y);
	kernels->colour(out, luma, cb, cr, count);
}

static bool decode_rows(struct decoding *decoding, uint8_t *out, size_t stride)
{
	uint32_t y = decoding->y;
	start_interval(decoding, decoding->header.scan);
	decoding->pending = (uint64_t)decoding->first_row * decoding->mcu_columns + decoding->first_column;
	for (uint32_t row = decoding->first_row; row <= decoding->last_row; row++) {
		if (!decode_row(decoding, row))
			return false;
		/* The last row may still lack the chroma below it. */
		uint32_t end = (row + 1) * decoding->mcu_height - (decoding->tall && decoding->smooth ? 1 : 0);
		if (row == decoding->last_row || end > decoding->y_end)
			end = decoding->y_end;
		for (; y < end; y++, out += stride)
			pixel_row(decoding, y, out);
	}
	const bool to_the_end =
		decoding->last_row == decoding->mcu_rows - 1 && decoding->last_column == decoding->mcu_columns - 1;
	return !to_the_end || jpeg_header_ends(decoding->marker, decoding->header.end);
}

int jpeg_decode_region(struct jpeg_decoder *decoder, const void *data, size_t bytes, uint32_t width, uint32_t height,
	const struct codec_region *region, uint8_t *buffer, size_t capacity_bytes, struct codec_pixels *out,
	struct error *err)
{
	struct decoding decoding = {.decoder = decoder};
	if (!jpeg_header_read(data, bytes, &decoding.header) || decoding.header.width != width ||
		decoding.header.height != height || !plan_tables(&decoding))
		return JPEG_NOT_OURS;
	plan_components(&decoding, region->scale);
	plan_region(&decoding, region);
	*out = (struct codec_pixels){
		.pixels = buffer,
		.stride_bytes = jpeg_decode_stride(decoding.x_end - decoding.x),
		.channels = 4,
		.x = decoding.x,
		.y = decoding.y,
		.width = decoding.x_end - decoding.x,
		.height = decoding.y_end - decoding.y,
		.scale = region->scale,
		.image_width = ceil_div(width, region->scale),
		.image_height = ceil_div(height, region->scale),
	};
	if (out->stride_bytes * out->height > capacity_bytes)
		return error_set(err, ERROR_MEMORY, "JPEG: the region needs %zu bytes, its buffer has %zu",
			out->stride_bytes * out->height, capacity_bytes);
	if (!plan_memory(&decoding, bytes))
		return error_set(err, ERROR_MEMORY, "JPEG: no memory for a decoder");
	return decode_rows(&decoding, buffer, out->stride_bytes) ? 0 : JPEG_NOT_OURS;
}

int jpeg_decode_check(struct jpeg_decoder *decoder, const void *data, size_t bytes, uint32_t width, uint32_t height,
	struct error *err)
{
	struct decoding decoding = {.decoder = decoder, .thorough = true};
	if (!jpeg_header_read(data, bytes, &decoding.header) || decoding.header.width != width ||
		decoding.header.height != height || !plan_tables(&decoding))
		return JPEG_NOT_OURS;
	plan_components(&decoding, 1);
	if (memory_of(&decoder->stream, bytes + JPEG_PADDING) == NULL)
		return error_set(err, ERROR_MEMORY, "JPEG: no memory for a decoder");
	start_interval(&decoding, decoding.header.scan);
	if (!take_mcus(&decoding, (uint64_t)decoding.mcu_columns * decoding.mcu_rows, false))
		return JPEG_NOT_OURS;
	return jpeg_header_ends(decoding.marker, decoding.header.end) ? 0 : JPEG_NOT_OURS;
}
