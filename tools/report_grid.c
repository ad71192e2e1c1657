/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/report_grid.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report_read.h"

enum { PLACES_MOST = 1 << 16 };

int grid_find(const struct grid *grid, const char *name)
{
	for (unsigned a = 0; name && a < grid->axis_count; a++)
		if (strcmp(grid->axis[a].name, name) == 0)
			return (int)a;
	return -1;
}

static int find_value(const struct grid_axis *axis, const char *text)
{
	for (unsigned v = 0; v < axis->count; v++)
		if (strcmp(axis->text[v], text) == 0)
			return (int)v;
	return -1;
}

static int add_value(struct grid_axis *axis, const char *text, struct error *err)
{
	if (axis->count == GRID_VALUES)
		return error_set(err, ERROR_FORMAT, "the axis \"%s\" has more than %d values", axis->name, GRID_VALUES);
	snprintf(axis->text[axis->count], GRID_TEXT, "%s", text);
	axis->names[axis->count] = axis->text[axis->count];
	axis->count++;
	return 0;
}

/* The value of a point on an axis as text; NULL: it has none. */
static const char *value_of(const struct grid_point *point, const char *axis, char text[GRID_TEXT])
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(point->at, axis);
	return item && !isnan(point->value) ? report_item_text(item, text, GRID_TEXT) : NULL;
}

static bool any_has(const struct grid_point *points, size_t count, const char *axis, const char *wanted)
{
	char text[GRID_TEXT];
	for (size_t i = 0; i < count; i++) {
		const char *value = value_of(&points[i], axis, text);
		if (value && (!wanted || strcmp(value, wanted) == 0))
			return true;
	}
	return false;
}

/* Whether every value that the points have on an axis is one that it lists. */
static bool lists_all(const cJSON *listed, const struct grid_point *points, size_t count, const char *axis)
{
	char text[GRID_TEXT], item_text[GRID_TEXT];
	for (size_t i = 0; i < count; i++) {
		const char *value = value_of(&points[i], axis, text);
		bool known = value == NULL;
		const cJSON *item;
		cJSON_ArrayForEach(item, listed)
		{
			known = known || strcmp(report_item_text(item, item_text, sizeof item_text), value) == 0;
		}
		if (!known)
			return false;
	}
	return true;
}

static int make_axis(struct grid_axis *axis, const cJSON *from, const struct grid_point *points, size_t count,
	bool only_used, struct error *err)
{
	char text[GRID_TEXT];
	const cJSON *item;
	snprintf(axis->name, sizeof axis->name, "%s", report_text(from, "name", ""));
	snprintf(axis->label, sizeof axis->label, "%s", report_text(from, "label", axis->name));
	const cJSON *values = cJSON_GetObjectItemCaseSensitive(from, "values");
	bool others = only_used && !lists_all(values, points, count, axis->name);
	cJSON_ArrayForEach(item, values)
	{
		report_item_text(item, text, sizeof text);
		if (others || (only_used && !any_has(points, count, axis->name, text)))
			continue;
		if (find_value(axis, text) < 0 && add_value(axis, text, err) < 0)
			return err->code;
	}
	for (size_t i = 0; only_used && i < count; i++) {
		const char *value = value_of(&points[i], axis->name, text);
		if (value && find_value(axis, value) < 0 && add_value(axis, value, err) < 0)
			return err->code;
	}
	return 0;
}

/* The place of a point, or SIZE_MAX. */
static size_t place_of(const struct grid *grid, const struct grid_point *point)
{
	size_t place = 0;
	char text[GRID_TEXT];
	for (unsigned a = 0; a < grid->axis_count; a++) {
		const char *value = value_of(point, grid->axis[a].name, text);
		int at = value ? find_value(&grid->axis[a], value) : -1;
		if (at < 0)
			return SIZE_MAX;
		place = place * grid->axis[a].count + (size_t)at;
	}
	return place;
}

static int allocate(struct grid *grid, struct error *err)
{
	grid->places = 1;
	for (unsigned a = 0; a < grid->axis_count; a++) {
		grid->places *= grid->axis[a].count;
		if (grid->places > PLACES_MOST)
			return error_set(err, ERROR_FORMAT, "the axes have more than %d combinations", PLACES_MOST);
	}
	grid->mean = calloc(grid->places + 1, sizeof *grid->mean);
	grid->low = calloc(grid->places + 1, sizeof *grid->low);
	grid->high = calloc(grid->places + 1, sizeof *grid->high);
	grid->samples = calloc(grid->places + 1, sizeof *grid->samples);
	if (!grid->mean || !grid->low || !grid->high || !grid->samples)
		return error_set(err, ERROR_MEMORY, "no memory for %zu results", grid->places);
	return 0;
}

int grid_make(struct grid *grid, const cJSON *axes, const struct grid_point *points, size_t count, bool only_used,
	struct error *err)
{
	*grid = (struct grid){0};
	const cJSON *from;
	cJSON_ArrayForEach(from, axes)
	{
		const char *name = report_text(from, "name", "");
		if (count > 0 && !any_has(points, count, name, NULL))
			continue;
		if (grid->axis_count == GRID_AXES)
			return error_set(err, ERROR_FORMAT, "more than %d axes cannot be drawn", GRID_AXES);
		if (make_axis(&grid->axis[grid->axis_count++], from, points, count, only_used, err) < 0)
			return err->code;
	}
	if (allocate(grid, err) < 0)
		return err->code;
	for (size_t i = 0; i < count; i++) {
		size_t place = isnan(points[i].value) ? SIZE_MAX : place_of(grid, &points[i]);
		if (place >= grid->places)
			continue;
		double value = points[i].value;
		bool first = grid->samples[place]++ == 0;
		grid->mean[place] += value;
		grid->low[place] = first ? value : fmin(grid->low[place], value);
		grid->high[place] = first ? value : fmax(grid->high[place], value);
	}
	for (size_t place = 0; place < grid->places; place++)
		grid->mean[place] = grid->samples[place] ? grid->mean[place] / grid->samples[place] : NAN;
	return 0;
}

void grid_free(struct grid *grid)
{
	free(grid->mean);
	free(grid->low);
	free(grid->high);
	free(grid->samples);
	*grid = (struct grid){0};
}

size_t grid_stride(const struct grid *grid, unsigned axis)
{
	size_t stride = 1;
	for (unsigned a = axis + 1; a < grid->axis_count; a++)
		stride *= grid->axis[a].count;
	return stride;
}

unsigned grid_value(const struct grid *grid, size_t place, unsigned axis)
{
	return (unsigned)(place / grid_stride(grid, axis) % grid->axis[axis].count);
}
