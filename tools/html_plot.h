/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Charts of results, as inline SVG beside html_chart.h's of where the time went: lines with their spread, grouped bars,
 * heat maps, and points on a plane. What is exact about a mark appears under the pointer. Each has class "chart".
 */
#ifndef RINGCLR_TOOLS_HTML_PLOT_H
#define RINGCLR_TOOLS_HTML_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Colours there are: --c0 to --c9. */
enum { PLOT_COLOURS = 10 };

struct plot_series {
	const char *name;
	size_t count;
	const double *x, *y;	  /* [count]; x rises; y NAN: nothing there */
	const double *low, *high; /* [count], the spread around y; NULL: none */
	unsigned colour;	  /* below PLOT_COLOURS */
};

struct plot_axis {
	const char *label;
	const double *ticks;	  /* [tick_count] with names; NULL: chosen */
	const char *const *names; /* [tick_count] */
	size_t tick_count;
	bool log;
};

struct plot {
	struct plot_axis x;
	const char *y_label;
	const struct plot_series *series;
	size_t series_count;
	double x_low, x_high; /* ends of the x axis of lines; both 0: the data's */
	bool from_zero;	      /* the y axis starts at 0 */
	bool integer_x;
};

/* A legend where there is more than one series. */
void plot_lines(FILE *out, const struct plot *plot);

/* x of a point: the place of its group, 0, 1...; names of the groups are x.names. The y axis starts at 0, or says that
 * it does not. */
void plot_bars(FILE *out, const struct plot *plot);

struct plot_heat {
	const char *row_label, *column_label, *unit; /* unit: under the pointer, behind the number */
	const char *const *row_names, *const *column_names;
	size_t rows, columns;
	const double *value;	  /* [rows][columns]; NAN: nothing there */
	const double *low, *high; /* likewise, spread; NULL: none */
	const double *shade;	  /* likewise, what the colour is of; NULL: value */
	unsigned decimals;
};
void plot_heat(FILE *out, const struct plot_heat *heat);

/* Points of up to PLOT_COLOURS times 3 classes that can be told apart: by colour, then by shape. label -1: none. */
void plot_points(FILE *out, const float *xy, const int32_t *labels, size_t count, const char *const *classes,
	size_t class_count);

#endif
