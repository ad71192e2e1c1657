/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PGM or PPM image is a header of words, then samples row by row:
 *
 *	P2|P3|P5|P6  width  height  maxval
 *
 * Words are parted by white space; `#` starts a comment that ends with its line. Behind maxval stands one white
 * character, then binary samples (P5, P6: one byte each, or two, the high one first, where maxval > 255), or more words
 * (P2, P3). P2 and P5 have one sample a pixel, P3 and P6 red, green and blue. Samples run from 0 to maxval and become
 * 0 to 255, rounded.
 *
 * A file may hold several images one behind the other; only one is an image to pack, so what follows it must be white.
 */
#include "tools/pack_pnm.h"

#include <stdlib.h>
#include <string.h>

#include "io/shard.h"

struct text {
	const unsigned char *data;
	size_t bytes, at;
};

struct pnm {
	bool plain; /* samples are words */
	unsigned channels;
	uint32_t width, height, maxval;
};

static bool is_white(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

bool pack_pnm_probe(const unsigned char *data, size_t bytes)
{
	return bytes >= 3 && data[0] == 'P' && strchr("2356", data[1]) != NULL && data[1] != '\0' &&
	       (is_white(data[2]) || data[2] == '#');
}

static void skip_white(struct text *text)
{
	while (text->at < text->bytes && (is_white(text->data[text->at]) || text->data[text->at] == '#')) {
		if (text->data[text->at] == '#') {
			while (text->at < text->bytes && text->data[text->at] != '\n' && text->data[text->at] != '\r')
				text->at++;
		} else {
			text->at++;
		}
	}
}

/* The next word, a decimal number up to `most`. */
static bool next_number(struct text *text, uint32_t most, uint32_t *number)
{
	skip_white(text);
	size_t start = text->at;
	*number = 0;
	while (text->at < text->bytes && text->data[text->at] >= '0' && text->data[text->at] <= '9') {
		*number = *number * 10 + (uint32_t)(text->data[text->at++] - '0');
		if (*number > most)
			return false;
	}
	return text->at > start &&
	       (text->at == text->bytes || is_white(text->data[text->at]) || text->data[text->at] == '#');
}

static int read_header(struct text *text, uint64_t max_pixels, struct pnm *pnm, struct error *err)
{
	if (!pack_pnm_probe(text->data, text->bytes))
		return error_set(err, ERROR_DECODE, "not a PGM or PPM image");
	pnm->plain = text->data[1] == '2' || text->data[1] == '3';
	pnm->channels = text->data[1] == '3' || text->data[1] == '6' ? 3 : 1;
	text->at = 2;
	if (!next_number(text, SHARD_MAX_SIDE, &pnm->width) || !next_number(text, SHARD_MAX_SIDE, &pnm->height) ||
		pnm->width == 0 || pnm->height == 0)
		return error_set(err, ERROR_DECODE, "PPM header: sides must be 1 to %d pixels", SHARD_MAX_SIDE);
	if (!next_number(text, 65535, &pnm->maxval) || pnm->maxval == 0 || text->at >= text->bytes)
		return error_set(err, ERROR_DECODE, "PPM header: the largest sample must be 1 to 65535");
	if ((uint64_t)pnm->width * pnm->height > max_pixels)
		return error_set(err, ERROR_DECODE,
			"an image of %ux%u pixels; %llu million are the most that are packed", pnm->width, pnm->height,
			(unsigned long long)(max_pixels >> 20));
	text->at += !pnm->plain; /* the one white character before binary samples */
	return 0;
}

/* Whether so many samples can be there at all: checked before memory is taken for them. */
static bool long_enough(const struct text *text, const struct pnm *pnm)
{
	uint64_t samples = (uint64_t)pnm->width * pnm->height * pnm->channels;
	uint64_t least = pnm->plain ? 2 * samples - 1 : samples * (pnm->maxval > 255 ? 2 : 1);
	return text->bytes - text->at >= least;
}

static bool next_sample(struct text *text, const struct pnm *pnm, uint32_t *sample)
{
	if (pnm->plain)
		return next_number(text, pnm->maxval, sample);
	*sample = text->data[text->at++];
	if (pnm->maxval > 255)
		*sample = *sample << 8 | text->data[text->at++];
	return *sample <= pnm->maxval;
}

static int read_samples(struct text *text, const struct pnm *pnm, unsigned char *rgb, struct error *err)
{
	uint64_t pixels = (uint64_t)pnm->width * pnm->height;
	for (uint64_t i = 0; i < pixels; i++) {
		uint32_t sample = 0;
		for (unsigned c = 0; c < 3; c++) {
			if (c < pnm->channels && !next_sample(text, pnm, &sample))
				return error_set(err, ERROR_DECODE,
					"PPM image: pixel %llu of %llu is missing or larger than %u",
					(unsigned long long)i + 1, (unsigned long long)pixels, pnm->maxval);
			rgb[3 * i + c] = (unsigned char)((sample * 255 + pnm->maxval / 2) / pnm->maxval);
		}
	}
	while (text->at < text->bytes && is_white(text->data[text->at]))
		text->at++;
	return text->at == text->bytes
		       ? 0
		       : error_set(err, ERROR_DECODE, "PPM image: %zu bytes behind its last pixel; one image a file",
				 text->bytes - text->at);
}

int pack_pnm_decode(const unsigned char *data, size_t bytes, uint64_t max_pixels, unsigned char **rgb, uint32_t *width,
	uint32_t *height, struct error *err)
{
	struct text text = {.data = data, .bytes = bytes};
	struct pnm pnm = {0};
	*rgb = NULL;
	int rc = read_header(&text, max_pixels, &pnm, err);
	if (rc < 0)
		return rc;
	if (!long_enough(&text, &pnm))
		return error_set(err, ERROR_DECODE, "PPM image of %ux%u pixels is truncated", pnm.width, pnm.height);
	*rgb = malloc((size_t)pnm.width * pnm.height * 3);
	if (*rgb == NULL)
		return error_set(
			err, ERROR_MEMORY, "out of memory for an image of %ux%u pixels", pnm.width, pnm.height);
	rc = read_samples(&text, &pnm, *rgb, err);
	if (rc < 0) {
		free(*rgb);
		*rgb = NULL;
	}
	*width = pnm.width;
	*height = pnm.height;
	return rc;
}
