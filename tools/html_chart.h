/* SPDX-License-Identifier: Apache-2.0 */
/* Charts as inline SVG, for html_report.h: colours come from its styles. Each has class "chart". */
#ifndef RINGCLR_TOOLS_HTML_CHART_H
#define RINGCLR_TOOLS_HTML_CHART_H

#include <stddef.h>
#include <stdio.h>

#include "pipeline/histogram.h"

enum { CHART_SERIES = 5, CHART_POINTS = 240 };

/* A bar from 0 to 1 that is cut into shares. */
struct chart_share {
	const char *name;
	double busy, same, upstream, downstream; /* same: other work of the same threads */
};

void chart_shares(FILE *out, const struct chart_share *rows, size_t count);

struct chart_series {
	const char *name;
	size_t count;
	double x[CHART_POINTS], y[CHART_POINTS]; /* x rises */
};

/* Lines over one x axis; the y axis starts at 0 unless `floating`. unit: what stands behind the numbers of x. */
void chart_lines(FILE *out, const struct chart_series *series, size_t count, const char *unit, int floating);

/* Times in nanoseconds on a logarithmic axis, with lines at p50 and p99. */
void chart_times(FILE *out, const struct histogram *times);

struct chart_bar {
	const char *name;
	double value, measured; /* measured 0: none */
};

/* Bars from 0, with a dashed line at `base`. */
void chart_bars(FILE *out, const struct chart_bar *bars, size_t count, double base);

/* Up to 3 significant digits, k and M for thousands and millions. */
const char *chart_number(double value, char text[24]);
const char *chart_time(double ns, char text[24]);

#endif
