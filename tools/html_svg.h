/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces that charts are made of: labels, lines, rectangles, axes. Text is escaped; colours are names of variables
 * in html_report.c's styles. */
#ifndef RINGCLR_TOOLS_HTML_SVG_H
#define RINGCLR_TOOLS_HTML_SVG_H

#include <stdio.h>

/* anchor: start, middle or end. class: NULL for none. */
void svg_label(FILE *out, double x, double y, const char *anchor, const char *class, const char *text);
/* With a hint that appears under the pointer. Nothing where it is too small to be seen. */
void svg_rectangle(FILE *out, double x, double y, double width, double height, const char *colour, const char *hint);
void svg_line(FILE *out, double x1, double y1, double x2, double y2, const char *class);
/* One entry of a legend, which is a paragraph of class "legend". */
void svg_key(FILE *out, const char *colour, const char *name);

struct svg_axis {
	double low, high, step;
};

/* Ends and ticks at 1, 2 or 5 times a power of ten; about so many. */
struct svg_axis svg_nice_axis(double low, double high, unsigned ticks);
/* Where a value lies between `from` and `to`; beyond the ends: at the nearer. */
double svg_place(const struct svg_axis *axis, double value, double from, double to);

#endif
