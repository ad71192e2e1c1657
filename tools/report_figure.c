/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every combination of the axes that are not drawn along x (and y) is a series, or a heat map of its own. Lines and
 * bars have ten colours; what is beyond them is not drawn, and the card says so.
 */
#include "tools/report_figure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/html_plot.h"

enum { MAPS_MOST = 12, NAME_BYTES = 256 };

/* Numbers the combinations of the other axes: place -> combination. */
struct combinations {
	int x, y; /* axes left out; -1: none */
	size_t count;
};

static struct combinations combine(const struct grid *grid, int x, int y)
{
	struct combinations some = {.x = x, .y = y, .count = 1};
	for (unsigned a = 0; a < grid->axis_count; a++)
		if ((int)a != x && (int)a != y)
			some.count *= grid->axis[a].count;
	return some;
}

/* The place of a combination at the first values of x and y, and its name ("epochs 100, width 2"). */
static size_t combination(
	const struct grid *grid, const struct combinations *some, size_t number, char name[NAME_BYTES])
{
	size_t place = 0, used = 0;
	name[0] = '\0';
	for (unsigned a = grid->axis_count; a-- > 0;) {
		if ((int)a == some->x || (int)a == some->y)
			continue;
		place += number % grid->axis[a].count * grid_stride(grid, a);
		number /= grid->axis[a].count;
	}
	for (unsigned a = 0; a < grid->axis_count; a++) {
		if ((int)a == some->x || (int)a == some->y || used >= NAME_BYTES - 1)
			continue;
		int more = snprintf(name + used, NAME_BYTES - used, "%s%.60s %.60s", used ? ", " : "",
			grid->axis[a].label, grid->axis[a].names[grid_value(grid, place, a)]);
		used += more > 0 ? (size_t)more : 0;
	}
	return place;
}

/* ---- Lines and bars ---- */

struct panel {
	double position[GRID_VALUES];	/* of each value of x */
	unsigned order[GRID_VALUES];	/* values of x, positions rising */
	const char *ticks[GRID_VALUES]; /* in that order */
	double at[GRID_VALUES];
	struct plot_series series[PLOT_COLOURS];
	char names[PLOT_COLOURS][NAME_BYTES];
	double x[PLOT_COLOURS][GRID_VALUES], y[PLOT_COLOURS][GRID_VALUES];
	double low[PLOT_COLOURS][GRID_VALUES], high[PLOT_COLOURS][GRID_VALUES];
	bool numbers;
};

/* Where values of x stand: at their number, if all of them are numbers and lines are drawn; else one after the other.
 */
static void arrange(struct panel *panel, const struct grid_axis *axis, bool lines)
{
	panel->numbers = lines;
	for (unsigned v = 0; v < axis->count; v++) {
		char *end;
		panel->position[v] = strtod(axis->names[v], &end);
		panel->numbers =
			panel->numbers && end != axis->names[v] && *end == '\0' && isfinite(panel->position[v]);
	}
	for (unsigned v = 0; v < axis->count; v++) {
		unsigned at = v;
		if (!panel->numbers)
			panel->position[v] = v;
		for (; at > 0 && panel->position[panel->order[at - 1]] > panel->position[v]; at--)
			panel->order[at] = panel->order[at - 1];
		panel->order[at] = v;
	}
	for (unsigned v = 0; v < axis->count; v++) {
		panel->ticks[v] = axis->names[panel->order[v]];
		panel->at[v] = panel->position[panel->order[v]];
	}
}

/* Whether the series at a place has anything to show. */
static bool has_samples(const struct grid *grid, int x, size_t place)
{
	for (unsigned v = 0; v < grid->axis[x].count; v++)
		if (!isnan(grid->mean[place + v * grid_stride(grid, (unsigned)x)]))
			return true;
	return false;
}

/* The number, among those that have something to show, of the series of that name in another grid, or -1. */
static int series_number(const struct figure *figure, const struct grid *alike, const char *name)
{
	char other[NAME_BYTES];
	int x = alike ? grid_find(alike, figure->x) : -1;
	if (x < 0)
		return -1;
	struct combinations some = combine(alike, x, -1);
	int shown = 0;
	for (size_t s = 0; s < some.count && shown < PLOT_COLOURS; s++) {
		size_t place = combination(alike, &some, s, other);
		if (!has_samples(alike, x, place))
			continue;
		if (strcmp(other, name) == 0)
			return shown;
		shown++;
	}
	return -1;
}

/* Series that the other grid has too take its colours; the others take, in order, what is left. */
static void choose_colours(struct panel *panel, const struct figure *figure, const struct grid *alike, unsigned count)
{
	bool taken[PLOT_COLOURS] = {false};
	int number[PLOT_COLOURS];
	unsigned next = 0;
	for (unsigned s = 0; s < count; s++) {
		number[s] = series_number(figure, alike, panel->names[s]);
		if (number[s] >= 0)
			taken[number[s]] = true;
	}
	for (unsigned s = 0; s < count; s++) {
		while (number[s] < 0 && next < PLOT_COLOURS - 1 && taken[next])
			next++;
		panel->series[s].colour = number[s] >= 0 ? (unsigned)number[s] : next++;
	}
}

static void fill_series(struct panel *panel, const struct grid *grid, unsigned x, size_t place, unsigned s)
{
	struct plot_series *series = &panel->series[s];
	bool spread = false;
	for (unsigned v = 0; v < grid->axis[x].count; v++) {
		size_t at = place + panel->order[v] * grid_stride(grid, x);
		panel->x[s][v] = panel->at[v];
		panel->y[s][v] = grid->mean[at];
		panel->low[s][v] = grid->samples[at] ? grid->low[at] : NAN;
		panel->high[s][v] = grid->samples[at] ? grid->high[at] : NAN;
		spread = spread || grid->samples[at] > 1;
	}
	*series = (struct plot_series){.name = panel->names[s],
		.count = grid->axis[x].count,
		.x = panel->x[s],
		.y = panel->y[s],
		.low = spread ? panel->low[s] : NULL,
		.high = spread ? panel->high[s] : NULL};
}

static void put_panel(struct html *html, const struct figure *figure, const struct grid *grid, const struct grid *alike,
	unsigned x, struct panel *panel)
{
	struct combinations some = combine(grid, (int)x, -1);
	unsigned shown = 0;
	bool positive = true;
	arrange(panel, &grid->axis[x], figure->kind == FIGURE_LINES);
	for (size_t number = 0; number < some.count && shown < PLOT_COLOURS; number++) {
		size_t place = combination(grid, &some, number, panel->names[shown]);
		if (has_samples(grid, (int)x, place))
			fill_series(panel, grid, x, place, shown++);
	}
	choose_colours(panel, figure, alike, shown);
	for (unsigned v = 0; v < grid->axis[x].count; v++)
		positive = positive && panel->at[v] > 0;
	if (some.count > PLOT_COLOURS)
		html_note(html, "There are more series than colours; the first are drawn, and all are in the table.");
	struct plot plot = {
		.x = {.label = figure->x_label ? figure->x_label : grid->axis[x].label,
			.ticks = panel->at,
			.names = panel->ticks,
			.tick_count = grid->axis[x].count,
			.log = figure->log_x && panel->numbers && positive},
		.y_label = figure->value_label,
		.series = panel->series,
		.series_count = shown,
	};
	if (figure->kind == FIGURE_LINES)
		plot_lines(html->out, &plot);
	else
		plot_bars(html->out, &plot);
}

/* ---- Heat maps ---- */

static void put_map(struct html *html, const struct figure *figure, const struct grid *grid, unsigned x, unsigned y,
	size_t place, double *cells)
{
	const struct grid_axis *columns = &grid->axis[x], *rows = &grid->axis[y];
	size_t count = (size_t)rows->count * columns->count;
	double *mean = cells, *low = cells + count, *high = cells + 2 * count, most = 0;
	for (unsigned r = 0; r < rows->count; r++)
		for (unsigned c = 0; c < columns->count; c++) {
			size_t at = place + r * grid_stride(grid, y) + c * grid_stride(grid, x);
			mean[r * columns->count + c] = grid->mean[at];
			most = isnan(grid->mean[at]) ? most : fmax(most, fabs(grid->mean[at]));
			low[r * columns->count + c] = grid->low[at];
			high[r * columns->count + c] = grid->high[at];
		}
	struct plot_heat heat = {.row_label = rows->label,
		.column_label = figure->x_label ? figure->x_label : columns->label,
		.row_names = rows->names,
		.column_names = columns->names,
		.rows = rows->count,
		.columns = columns->count,
		.value = mean,
		.low = low,
		.high = high,
		.decimals = most < 2	? 3
			    : most < 20 ? 2
					: 1};
	plot_heat(html->out, &heat);
}

static int put_maps(struct html *html, const struct figure *figure, const struct grid *grid, unsigned x, unsigned y,
	const char *heading, const char *note, struct error *err)
{
	struct combinations some = combine(grid, (int)x, (int)y);
	double *cells = calloc(3 * (size_t)grid->axis[x].count * grid->axis[y].count, sizeof *cells);
	if (!cells)
		return error_set(err, ERROR_MEMORY, "no memory for a heat map");
	for (size_t number = 0; number < some.count && number < MAPS_MOST; number++) {
		char name[NAME_BYTES], full[2 * NAME_BYTES];
		size_t place = combination(grid, &some, number, name);
		snprintf(full, sizeof full, "%.250s%s%s", heading, name[0] ? ": " : "", name);
		html_card_begin(html, full, note, false);
		put_map(html, figure, grid, x, y, place, cells);
		if (some.count > MAPS_MOST && number + 1 == MAPS_MOST)
			html_note(html, "There are more; all results are in the table.");
		html_card_end(html);
	}
	free(cells);
	return 0;
}

int figure_put(struct html *html, const struct figure *figure, const struct grid *grid, const struct grid *alike,
	const char *heading, const char *note, struct error *err)
{
	int x = grid_find(grid, figure->x), y = figure->kind == FIGURE_HEATMAP ? grid_find(grid, figure->y) : -1;
	bool any = false;
	for (size_t place = 0; place < grid->places; place++)
		any = any || grid->samples[place] > 0;
	if (!any || x < 0) {
		html_card_begin(html, heading, note, false);
		html_note(html,
			any ? "These numbers do not lie along the figure's x axis." : "There are no results yet.");
		html_card_end(html);
		return 0;
	}
	if (y >= 0 && y != x)
		return put_maps(html, figure, grid, (unsigned)x, (unsigned)y, heading, note, err);
	struct panel *panel = calloc(1, sizeof *panel);
	if (!panel)
		return error_set(err, ERROR_MEMORY, "no memory for a chart");
	html_card_begin(html, heading, note, false);
	put_panel(html, figure, grid, alike, (unsigned)x, panel);
	html_card_end(html);
	free(panel);
	return 0;
}
