/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exif data are a TIFF file without a picture: "II" or "MM" for the byte order, 42, and where the first directory
 * lies; that is a count and entries of 12 bytes: tag, type, count, and the value if it is short. Orientation is tag
 * 0x112, one 16-bit number (some write a 32-bit one).
 *
 *	JPEG	the first application segment 1 that begins with "Exif" and two zeros; TIFF follows
 *	PNG	chunk eXIf
 *	WebP	chunk EXIF; some writers begin it as JPEG's
 *
 * Other places that repeat the orientation (XMP) are not looked at.
 *
 * The numbers 1 to 4 mirror nothing, columns, both, rows; 5 to 8 do so after exchanging rows and columns:
 *
 *	5 transposed	6 to be turned clockwise	7 transposed along the other diagonal	8 counterclockwise
 */
#include "stages/exif.h"

#include <stdbool.h>
#include <string.h>

enum { TAG_ORIENTATION = 0x112, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY_BYTES = 12 };

struct part {
	const uint8_t *data;
	size_t bytes;
};

static uint32_t number(const uint8_t *p, unsigned bytes, bool big_endian)
{
	uint32_t value = 0;
	for (unsigned i = 0; i < bytes; i++)
		value = value << 8 | p[big_endian ? i : bytes - 1 - i];
	return value;
}

static struct part find_in_jpeg(const uint8_t *data, size_t bytes)
{
	size_t at = 2;
	while (bytes - at >= 4 && data[at] == 0xff) {
		if (data[at + 1] == 0xff) { /* padding */
			at++;
			continue;
		}
		const size_t length = number(data + at + 2, 2, true);
		if (data[at + 1] == 0xda || length < 2 || length > bytes - at - 2)
			break;
		if (data[at + 1] == 0xe1 && length >= 8 && memcmp(data + at + 4, "Exif\0", 6) == 0)
			return (struct part){data + at + 4, length - 2};
		at += 2 + length;
	}
	return (struct part){NULL, 0};
}

/* Of a PNG (length, name, content, checksum) or WebP (name, length, content, padding to an even length). */
static struct part find_chunk(const uint8_t *data, size_t bytes, size_t at, bool png)
{
	while (at <= bytes && bytes - at >= 8) {
		const uint8_t *name = data + at + (png ? 4 : 0);
		const uint32_t length = number(data + at + (png ? 0 : 4), 4, png);
		if (length > bytes - at - 8)
			break;
		if (memcmp(name, png ? "eXIf" : "EXIF", 4) == 0)
			return (struct part){data + at + 8, length};
		at += 8 + (size_t)length + (png ? 4 : length % 2);
	}
	return (struct part){NULL, 0};
}

static struct part find_exif(enum shard_codec codec, const uint8_t *data, size_t bytes)
{
	struct part found = {NULL, 0};
	if (codec == SHARD_JPEG && bytes >= 4)
		found = find_in_jpeg(data, bytes);
	else if (codec == SHARD_PNG || codec == SHARD_WEBP)
		found = find_chunk(data, bytes, codec == SHARD_PNG ? 8 : 12, codec == SHARD_PNG);
	if (found.bytes >= 6 && memcmp(found.data, "Exif\0", 6) == 0)
		found = (struct part){found.data + 6, found.bytes - 6};
	return found;
}

/* The orientation's value: *bytes of it, the highest first or not. NULL: there is none. */
static const uint8_t *find_value(struct part tiff, unsigned *bytes, bool *big_endian)
{
	if (tiff.bytes < 8 || (memcmp(tiff.data, "II", 2) != 0 && memcmp(tiff.data, "MM", 2) != 0))
		return NULL;
	*big_endian = tiff.data[0] == 'M';
	const uint32_t directory = number(tiff.data + 4, 4, *big_endian);
	if (number(tiff.data + 2, 2, *big_endian) != 42 || directory > tiff.bytes - 2)
		return NULL;
	const uint8_t *entry = tiff.data + directory + 2;
	size_t left = tiff.bytes - directory - 2;
	for (unsigned i = number(entry - 2, 2, *big_endian); i > 0 && left >= ENTRY_BYTES; i--) {
		const uint32_t type = number(entry + 2, 2, *big_endian);
		if (number(entry, 2, *big_endian) == TAG_ORIENTATION && number(entry + 4, 4, *big_endian) == 1 &&
			(type == TYPE_SHORT || type == TYPE_LONG)) {
			*bytes = type == TYPE_SHORT ? 2 : 4;
			return entry + 8;
		}
		entry += ENTRY_BYTES;
		left -= ENTRY_BYTES;
	}
	return NULL;
}

unsigned exif_orientation(enum shard_codec codec, const void *data, size_t bytes)
{
	unsigned value_bytes;
	bool big_endian;
	const uint8_t *value = find_value(find_exif(codec, data, bytes), &value_bytes, &big_endian);
	const uint32_t orientation = value == NULL ? 1 : number(value, value_bytes, big_endian);
	return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

void exif_reset_jpeg(void *data, size_t bytes)
{
	unsigned value_bytes;
	bool big_endian;
	const uint8_t *value = find_value(find_exif(SHARD_JPEG, data, bytes), &value_bytes, &big_endian);
	if (value == NULL)
		return;
	uint8_t *place = (uint8_t *)data + (value - (const uint8_t *)data);
	memset(place, 0, value_bytes);
	place[big_endian ? value_bytes - 1 : 0] = 1;
}

void exif_apply(const uint8_t *rgb, uint32_t *width, uint32_t *height, unsigned orientation, uint8_t *out)
{
	const bool exchanged = orientation > 4;
	const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
	const bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
	const ptrdiff_t across = from_right ? -3 : 3, row_bytes = (ptrdiff_t)*width * 3;
	const ptrdiff_t down = from_below ? -row_bytes : row_bytes;
	const uint8_t *row = rgb + (from_below ? row_bytes * ((ptrdiff_t)*height - 1) : 0);
	row += from_right ? row_bytes - 3 : 0;
	if (exchanged) {
		const uint32_t wide = *height;
		*height = *width;
		*width = wide;
	}
	for (uint32_t y = 0; y < *height; y++, row += exchanged ? across : down) {
		const uint8_t *from = row;
		for (uint32_t x = 0; x < *width; x++, from += exchanged ? down : across, out += 3)
			memcpy(out, from, 3);
	}
}
