/* SPDX-License-Identifier: Apache-2.0 */
/* A sweep's figure, from a grid of results: a heat map, lines or bars. */
#ifndef RINGCLR_TOOLS_REPORT_FIGURE_H
#define RINGCLR_TOOLS_REPORT_FIGURE_H

#include "tools/html_report.h"
#include "tools/report_grid.h"

enum figure_kind { FIGURE_LINES, FIGURE_BARS, FIGURE_HEATMAP };

struct figure {
	enum figure_kind kind;
	const char *x, *y; /* axes by name; y: of a heat map's rows, else NULL */
	const char *x_label, *value_label;
	bool log_x;
};

/* Draws one card, or of a heat map with further axes one for each of their combinations. alike: a grid whose series of
 * the same names have the colours to take; NULL: none. */
int figure_put(struct html *html, const struct figure *figure, const struct grid *grid, const struct grid *alike,
	const char *heading, const char *note, struct error *err);

#endif
