/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures and wrapped text on one large image, for `ringclr preview`. Text is drawn in libgd's built-in fonts. */
#ifndef RINGCLR_TOOLS_CONTACT_SHEET_H
#define RINGCLR_TOOLS_CONTACT_SHEET_H

#include <stdbool.h>
#include <stdint.h>

#include "pipeline/error.h"

enum sheet_font { SHEET_SMALL, SHEET_BOLD };

struct contact_sheet;

/* A light sheet of that many pixels. */
struct contact_sheet *contact_sheet_create(uint32_t width, uint32_t height, struct error *err);
void contact_sheet_destroy(struct contact_sheet *sheet); /* NULL is allowed */

/* Pixels that a text takes, wrapped to width. */
uint32_t contact_sheet_text_height(enum sheet_font font, const char *text, uint32_t width);
/* Draws it with its upper left corner at (x, y); colour: 0xRRGGBB. Words longer than a line are broken; characters
 * beyond ASCII become '?'. */
void contact_sheet_text(struct contact_sheet *sheet, enum sheet_font font, const char *text, uint32_t x, uint32_t y,
	uint32_t width, uint32_t colour);

/* Where a picture came to lie in its cell: picture pixel p is at x + p * scale. */
struct sheet_place {
	uint32_t x, y;
	double scale;
};

/* Centres rgb [height][width][3] in the cell x, y, cell, cell: enlarged by the largest whole factor that fits, with
 * hard pixels, or shrunk smoothly. */
int contact_sheet_picture(struct contact_sheet *sheet, const uint8_t *rgb, uint32_t width, uint32_t height, uint32_t x,
	uint32_t y, uint32_t cell, struct sheet_place *place, struct error *err);

/* A frame two pixels wide around the picture's pixels [x, x + width) x [y, y + height). */
void contact_sheet_frame(struct contact_sheet *sheet, const struct sheet_place *place, uint32_t x, uint32_t y,
	uint32_t width, uint32_t height, uint32_t colour);

void contact_sheet_line(struct contact_sheet *sheet, uint32_t x, uint32_t y, uint32_t width, uint32_t colour);

/* Writes the sheet as PNG, atomically. */
int contact_sheet_write(const struct contact_sheet *sheet, const char *path, struct error *err);

#endif
