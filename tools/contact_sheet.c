/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A contact sheet drawn with libgd. libgd works in int coordinates, and an image of its own must be made of any pixels
 * before they can be placed; the built-in fonts are of fixed width and know Latin-2 only, so that text is wrapped by
 * counting bytes and anything beyond ASCII is replaced.
 */
#include <gd.h>
#include <gdfontmb.h>
#include <gdfonts.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic_file.h"
#include "tools/contact_sheet.h"

struct contact_sheet {
	gdImagePtr image;
};

enum { LINE_BYTES = 512, LINE_GAP = 2, PAPER = 0xfafaf7, CELL = 0xe9e9e4 };

struct contact_sheet *contact_sheet_create(uint32_t width, uint32_t height, struct error *err)
{
	struct contact_sheet *sheet = calloc(1, sizeof *sheet);
	if (sheet != NULL)
		sheet->image = gdImageCreateTrueColor((int)width, (int)height);
	if (sheet == NULL || sheet->image == NULL) {
		error_set(
			err, ERROR_MEMORY, "no memory for a sheet of %ux%u pixels; ask for fewer rows", width, height);
		free(sheet);
		return NULL;
	}
	gdImageFilledRectangle(sheet->image, 0, 0, (int)width - 1, (int)height - 1, PAPER);
	return sheet;
}

void contact_sheet_destroy(struct contact_sheet *sheet)
{
	if (sheet == NULL)
		return;
	gdImageDestroy(sheet->image);
	free(sheet);
}

static gdFontPtr font_of(enum sheet_font font)
{
	return font == SHEET_BOLD ? gdFontGetMediumBold() : gdFontGetSmall();
}

static uint32_t columns_of(enum sheet_font font, uint32_t width)
{
	const uint32_t columns = width / (uint32_t)font_of(font)->w;
	return columns < 1 ? 1 : columns < LINE_BYTES - 1 ? columns : LINE_BYTES - 1;
}

/* Bytes of the line that `text` starts with: up to the last space that leaves it within columns, else cut at columns.
 */
static size_t line_bytes(const char *text, uint32_t columns)
{
	const size_t bytes = strlen(text);
	if (bytes <= columns)
		return bytes;
	for (size_t at = columns; at > 0; at--)
		if (text[at] == ' ')
			return at;
	return columns;
}

static const char *skip_spaces(const char *text)
{
	while (*text == ' ')
		text++;
	return text;
}

uint32_t contact_sheet_text_height(enum sheet_font font, const char *text, uint32_t width)
{
	const uint32_t columns = columns_of(font, width);
	uint32_t lines = 0;
	for (text = skip_spaces(text); *text != '\0'; text = skip_spaces(text + line_bytes(text, columns)))
		lines++;
	return lines * (uint32_t)(font_of(font)->h + LINE_GAP);
}

void contact_sheet_text(struct contact_sheet *sheet, enum sheet_font font, const char *text, uint32_t x, uint32_t y,
	uint32_t width, uint32_t colour)
{
	const uint32_t columns = columns_of(font, width);
	unsigned char line[LINE_BYTES];
	text = skip_spaces(text);
	while (*text != '\0') {
		const size_t bytes = line_bytes(text, columns);
		for (size_t i = 0; i < bytes; i++)
			line[i] = text[i] >= ' ' && text[i] <= '~' ? (unsigned char)text[i] : '?';
		line[bytes] = '\0';
		gdImageString(sheet->image, font_of(font), (int)x, (int)y, line, (int)colour);
		y += (uint32_t)(font_of(font)->h + LINE_GAP);
		text = skip_spaces(text + bytes);
	}
}

int contact_sheet_picture(struct contact_sheet *sheet, const uint8_t *rgb, uint32_t width, uint32_t height, uint32_t x,
	uint32_t y, uint32_t cell, struct sheet_place *place, struct error *err)
{
	gdImagePtr picture = gdImageCreateTrueColor((int)width, (int)height);
	if (picture == NULL)
		return error_set(err, ERROR_MEMORY, "no memory to draw an image of %ux%u pixels", width, height);
	for (uint32_t row = 0; row < height; row++)
		for (uint32_t column = 0; column < width; column++) {
			const uint8_t *p = rgb + 3 * ((size_t)row * width + column);
			gdImageTrueColorPixel(picture, column, row) = p[0] << 16 | p[1] << 8 | p[2];
		}
	const uint32_t longest = width > height ? width : height;
	const double scale = longest <= cell ? floor((double)cell / longest) : (double)cell / longest;
	const uint32_t shown_width = (uint32_t)fmax(1.0, round(width * scale));
	const uint32_t shown_height = (uint32_t)fmax(1.0, round(height * scale));
	*place = (struct sheet_place){x + (cell - shown_width) / 2, y + (cell - shown_height) / 2, scale};
	gdImageFilledRectangle(sheet->image, (int)x, (int)y, (int)(x + cell) - 1, (int)(y + cell) - 1, CELL);
	(scale >= 1.0 ? gdImageCopyResized : gdImageCopyResampled)(sheet->image, picture, (int)place->x, (int)place->y,
		0, 0, (int)shown_width, (int)shown_height, (int)width, (int)height);
	gdImageDestroy(picture);
	return 0;
}

void contact_sheet_frame(struct contact_sheet *sheet, const struct sheet_place *place, uint32_t x, uint32_t y,
	uint32_t width, uint32_t height, uint32_t colour)
{
	const int left = (int)place->x + (int)lround(x * place->scale);
	const int top = (int)place->y + (int)lround(y * place->scale);
	const int right = (int)place->x + (int)lround((x + width) * place->scale) - 1;
	const int bottom = (int)place->y + (int)lround((y + height) * place->scale) - 1;
	gdImageRectangle(sheet->image, left, top, right, bottom, (int)colour);
	if (right - left > 2 && bottom - top > 2)
		gdImageRectangle(sheet->image, left + 1, top + 1, right - 1, bottom - 1, (int)colour);
}

void contact_sheet_line(struct contact_sheet *sheet, uint32_t x, uint32_t y, uint32_t width, uint32_t colour)
{
	gdImageLine(sheet->image, (int)x, (int)y, (int)(x + width) - 1, (int)y, (int)colour);
}

int contact_sheet_write(const struct contact_sheet *sheet, const char *path, struct error *err)
{
	int bytes = 0;
	void *png = gdImagePngPtr(sheet->image, &bytes);
	if (png == NULL)
		return error_set(err, ERROR_MEMORY, "no memory to compress the sheet; ask for fewer rows");
	const int status = atomic_file_replace(path, png, (size_t)bytes, err);
	gdFree(png);
	return status;
}
