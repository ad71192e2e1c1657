/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results by the values of axes: what a sweep's charts are drawn from, both its own results and the paper's.
 *
 * An axis is a name and a list of values, which are text. A place of the grid is one value of each axis; what is put at
 * the same place (other seeds) is averaged, and its least and greatest kept.
 */
#ifndef RINGCLR_TOOLS_REPORT_GRID_H
#define RINGCLR_TOOLS_REPORT_GRID_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "pipeline/error.h"

enum { GRID_AXES = 6, GRID_VALUES = 64, GRID_TEXT = 96 };

struct grid_axis {
	char name[GRID_TEXT];
	char label[GRID_TEXT];
	unsigned count;
	const char *names[GRID_VALUES]; /* into text */
	char text[GRID_VALUES][GRID_TEXT];
};

struct grid {
	unsigned axis_count;
	struct grid_axis axis[GRID_AXES];
	size_t places;
	double *mean, *low, *high; /* [places], the first axis slowest; mean NAN: nothing there */
	unsigned *samples;	   /* [places] */
};

/* One result: an object that names its axes' values, and what is drawn. */
struct grid_point {
	const cJSON *at;
	double value; /* NAN: is left out */
};

/* axes: the study's, an array of {"name", "label", "values"}. Axes that no point names are left out. only_used: values
 * that no point has are left out too, and where points have values that an axis does not list, its order is theirs (of
 * the paper's points); otherwise points with such values are left out. ERROR_FORMAT names what cannot be shown.
 * grid_free() in any case. */
int grid_make(struct grid *grid, const cJSON *axes, const struct grid_point *points, size_t count, bool only_used,
	struct error *err);
void grid_free(struct grid *grid);

/* The axis of that name, or -1. name may be NULL. */
int grid_find(const struct grid *grid, const char *name);

/* The value number of an axis at a place. */
unsigned grid_value(const struct grid *grid, size_t place, unsigned axis);
/* How far apart two places are that differ by one in that axis alone. */
size_t grid_stride(const struct grid *grid, unsigned axis);

#endif
