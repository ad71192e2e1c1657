/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JPEG file is a list of segments: 0xff, a marker, a big-endian length that counts itself, content; some markers
 * stand alone. Tables (DQT, DHT), the frame (SOF: size and components) and the restart interval (DRI) come in any order
 * before the scan (SOS), behind which lie the entropy-coded bytes.
 *
 * This reader is strict: whatever is rare, doubtful or broken it leaves to libjpeg, which knows what to say about it.
 * Whether three components are YCbCr or RGB follows libjpeg's rules: a JFIF marker decides, else Adobe's, else the
 * components' names.
 */
#include "stages/jpeg_header.h"

#include <string.h>

enum {
	SOF0 = 0xc0,
	SOF1 = 0xc1,
	DHT = 0xc4,
	RST0 = 0xd0,
	RST7 = 0xd7,
	SOI = 0xd8,
	EOI = 0xd9,
	SOS = 0xda,
	DQT = 0xdb,
	DRI = 0xdd,
	APP0 = 0xe0,
	APP14 = 0xee,
	APP15 = 0xef,
	COM = 0xfe,
};

struct reading {
	struct jpeg_header *header;
	bool jfif, adobe;
	uint8_t adobe_transform;
};

static uint32_t be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static bool read_quantisation(struct jpeg_header *header, const uint8_t *p, size_t left)
{
	while (left > 0) {
		const unsigned wide = p[0] >> 4, index = p[0] & 15U;
		const size_t need = 1 + 64 * (size_t)(wide + 1);
		if (wide > 1 || index >= JPEG_TABLES || left < need)
			return false;
		header->quantisation[index] = p + 1;
		header->quantisation_wide[index] = wide;
		p += need;
		left -= need;
	}
	return true;
}

static bool read_huffman(struct jpeg_header *header, const uint8_t *p, size_t left)
{
	while (left > 0) {
		if (left < 17)
			return false;
		const unsigned class = p[0] >> 4, index = p[0] & 15U;
		size_t symbols = 0;
		for (unsigned i = 1; i <= 16; i++)
			symbols += p[i];
		if (class > 1 || index >= JPEG_TABLES || symbols > 256 || left < 17 + symbols)
			return false;
		header->huffman[class][index] = p + 1;
		p += 17 + symbols;
		left -= 17 + symbols;
	}
	return true;
}

static bool read_frame(struct jpeg_header *header, const uint8_t *p, size_t left)
{
	if (header->components != 0 || left < 6)
		return false;
	const unsigned components = p[5];
	if (p[0] != 8 || (components != 1 && components != 3) || left != 6 + 3 * (size_t)components)
		return false;
	header->height = be16(p + 1);
	header->width = be16(p + 3);
	header->components = components;
	for (unsigned i = 0; i < components; i++) {
		const uint8_t *c = p + 6 + 3 * (size_t)i;
		header->component[i] = (struct jpeg_component){
			.id = c[0], .horizontal = c[1] >> 4, .vertical = c[1] & 15, .quantisation = c[2]};
		if (c[2] >= JPEG_TABLES)
			return false;
		for (unsigned j = 0; j < i; j++)
			if (header->component[j].id == c[0])
				return false;
	}
	return header->width - 1U < JPEG_SIDE_MAX && header->height - 1U < JPEG_SIDE_MAX;
}

static bool read_scan(struct jpeg_header *header, const uint8_t *p, size_t left)
{
	const unsigned components = header->components;
	if (components == 0 || left != 4 + 2 * (size_t)components || p[0] != components)
		return false;
	for (unsigned i = 0; i < components; i++) {
		struct jpeg_component *component = &header->component[i];
		const uint8_t *c = p + 1 + 2 * (size_t)i;
		component->dc_table = c[1] >> 4;
		component->ac_table = c[1] & 15;
		if (c[0] != component->id || component->dc_table >= JPEG_TABLES || component->ac_table >= JPEG_TABLES ||
			header->huffman[0][component->dc_table] == NULL ||
			header->huffman[1][component->ac_table] == NULL ||
			header->quantisation[component->quantisation] == NULL)
			return false;
	}
	const uint8_t *spectral = p + 1 + 2 * (size_t)components;
	return spectral[0] == 0 && spectral[1] == 63 && spectral[2] == 0;
}

static void read_application(struct reading *reading, unsigned marker, const uint8_t *p, size_t left)
{
	if (marker == APP0 && left >= 14 && memcmp(p, "JFIF", 5) == 0)
		reading->jfif = true;
	if (marker == APP14 && left >= 12 && memcmp(p, "Adobe", 5) == 0) {
		reading->adobe = true;
		reading->adobe_transform = p[11];
	}
}

/* The colours and samplings that are not left to libjpeg. */
static bool is_supported(const struct reading *reading)
{
	struct jpeg_header *header = reading->header;
	struct jpeg_component *c = header->component;
	if (header->components == 1) {
		/* One component alone is not subsampled, whatever its factors say; but they must be possible. */
		const bool possible = c[0].horizontal - 1U < 4 && c[0].vertical - 1U < 4;
		c[0].horizontal = c[0].vertical = 1;
		return possible;
	}
	if (!reading->jfif) {
		if (reading->adobe && reading->adobe_transform == 0)
			return false;
		if (!reading->adobe && c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B')
			return false;
	}
	const unsigned luma = c[0].horizontal * 16U + c[0].vertical;
	return (luma == 0x11 || luma == 0x21 || luma == 0x22) && c[1].horizontal == 1 && c[1].vertical == 1 &&
	       c[2].horizontal == 1 && c[2].vertical == 1;
}

bool jpeg_header_read(const uint8_t *data, size_t bytes, struct jpeg_header *header)
{
	*header = (struct jpeg_header){.end = data + bytes};
	struct reading reading = {.header = header};
	if (bytes < 4 || data[0] != 0xff || data[1] != SOI)
		return false;
	const uint8_t *p = data + 2;
	for (;;) {
		while (header->end - p >= 2 && p[0] == 0xff && p[1] == 0xff)
			p++;
		if (header->end - p < 4 || p[0] != 0xff)
			return false;
		const unsigned marker = p[1];
		const size_t length = be16(p + 2);
		if (length < 2 || length > (size_t)(header->end - p) - 2)
			return false;
		const uint8_t *content = p + 4;
		const size_t left = length - 2;
		bool sound = true;
		p += 2 + length;
		if (marker == DQT)
			sound = read_quantisation(header, content, left);
		else if (marker == DHT)
			sound = read_huffman(header, content, left);
		else if (marker == SOF0 || marker == SOF1)
			sound = read_frame(header, content, left);
		else if (marker == DRI && left == 2)
			header->restart_interval = be16(content);
		else if (marker >= APP0 && marker <= APP15)
			read_application(&reading, marker, content, left);
		else if (marker == SOS) {
			header->scan = p;
			return read_scan(header, content, left) && is_supported(&reading);
		} else if (marker != COM)
			return false;
		if (!sound)
			return false;
	}
}

bool jpeg_header_ends(const uint8_t *at, const uint8_t *end)
{
	while (end - at >= 2) {
		if (at[0] != 0xff || at[1] == 0xff || at[1] == 0 || (at[1] >= RST0 && at[1] <= RST7)) {
			at += at[0] != 0xff || at[1] == 0xff ? 1 : 2;
			continue;
		}
		if (at[1] == EOI)
			return true;
		if (end - at < 4 || (at[1] != COM && (at[1] < APP0 || at[1] > APP15)) || be16(at + 2) < 2 ||
			be16(at + 2) > (size_t)(end - at) - 2)
			return false;
		at += 2 + be16(at + 2);
	}
	return false;
}
