/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page of a sweep: its figure beside the paper's, which is of another data set and another scale, so that shapes
 * are compared and not heights; the same figure of everything else that was measured; every cell; every run.
 *
 * study.json says what the figure is (kind, axes, value), rows.jsonl has a line for each run that ended.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/html_report.h"
#include "tools/report_figure.h"
#include "tools/report_grid.h"
#include "tools/report_page.h"
#include "tools/report_read.h"
#include "tools/sweep_plan.h"

enum { VALUES_MOST = SWEEP_MEASURES, TEXT_BYTES = 512 };

struct value {
	const char *name, *label;
	struct grid grid;
};

struct study_page {
	struct html html;
	const char *folder;
	cJSON *record, *rows;
	const cJSON *axes;
	struct figure figure;
	struct value values[VALUES_MOST]; /* the figure's first */
	unsigned value_count;
	struct grid paper; /* no places: the paper has no such numbers */
};

static bool is_done(const cJSON *row)
{
	return strcmp(report_text(row, "status", ""), "done") == 0;
}

/* ---- Reading ---- */

static int read_figure(struct study_page *study, struct error *err)
{
	static const char *const kinds[] = {"lines", "bars", "heatmap"};
	const cJSON *figure = cJSON_GetObjectItemCaseSensitive(study->record, "figure");
	const char *kind = report_text(figure, "kind", "");
	unsigned k = 0;
	while (k < sizeof kinds / sizeof kinds[0] && strcmp(kind, kinds[k]) != 0)
		k++;
	if (k == sizeof kinds / sizeof kinds[0])
		return error_set(err, ERROR_FORMAT,
			"%s/study.json: figure.kind is \"%.40s\"; it must be lines, bars or heatmap", study->folder,
			kind);
	study->axes = cJSON_GetObjectItemCaseSensitive(study->record, "axes");
	if (!cJSON_IsArray(study->axes) || cJSON_GetArraySize(study->axes) == 0)
		return error_set(err, ERROR_FORMAT, "%s/study.json: has no axes", study->folder);
	study->figure = (struct figure){.kind = (enum figure_kind)k,
		.x = report_text(figure, "x", report_text(study->axes->child, "name", "")),
		.y = report_text(figure, "y", NULL),
		.x_label = report_text(figure, "x_label", NULL),
		.log_x = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(figure, "log_x"))};
	const char *main = report_text(figure, "value", "linear");
	study->values[study->value_count++] =
		(struct value){.name = main, .label = report_text(figure, "value_label", main)};
	const cJSON *item;
	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(study->record, "values"))
	{
		const char *name = report_text(item, "name", "");
		if (strcmp(name, main) != 0 && name[0] && study->value_count < VALUES_MOST)
			study->values[study->value_count++] =
				(struct value){.name = name, .label = report_text(item, "label", name)};
	}
	return 0;
}

static int check_rows(const struct study_page *study, struct error *err)
{
	const cJSON *row;
	unsigned number = 0;
	cJSON_ArrayForEach(row, study->rows)
	{
		number++;
		if (!cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(row, "cell")))
			return error_set(err, ERROR_FORMAT, "%s/rows.jsonl:%u: has no \"cell\"; is it a sweep's?",
				study->folder, number);
	}
	return 0;
}

static int make_grids(struct study_page *study, struct error *err)
{
	const cJSON *row, *paper = cJSON_GetObjectItemCaseSensitive(
				  cJSON_GetObjectItemCaseSensitive(study->record, "paper"), "points");
	size_t rows = (size_t)cJSON_GetArraySize(study->rows), of_paper = (size_t)cJSON_GetArraySize(paper), n;
	struct grid_point *points = calloc(rows + of_paper + 1, sizeof *points);
	if (!points)
		return error_set(err, ERROR_MEMORY, "out of memory for a report");
	int code = 0;
	for (unsigned v = 0; code == 0 && v < study->value_count; v++) {
		n = 0;
		cJSON_ArrayForEach(row, study->rows)
		{
			const cJSON *values = cJSON_GetObjectItemCaseSensitive(row, "values");
			if (is_done(row))
				points[n++] = (struct grid_point){cJSON_GetObjectItemCaseSensitive(row, "cell"),
					report_number(values, study->values[v].name)};
		}
		code = grid_make(&study->values[v].grid, study->axes, points, n, false, err);
	}
	n = 0;
	cJSON_ArrayForEach(row, paper)
	{
		points[n++] = (struct grid_point){row, report_number(row, "value")};
	}
	if (code == 0 && n > 0)
		code = grid_make(&study->paper, study->axes, points, n, true, err);
	free(points);
	return code;
}

/* ---- Against the paper ---- */

/* The paper's number for a place of the study's grid, or NAN. */
static double paper_at(const struct study_page *study, const struct grid *grid, size_t place)
{
	size_t at = 0;
	if (study->paper.places == 0 || study->paper.axis_count == 0)
		return NAN;
	for (unsigned p = 0; p < study->paper.axis_count; p++) {
		const struct grid_axis *theirs = &study->paper.axis[p];
		int a = grid_find(grid, theirs->name);
		if (a < 0)
			return NAN;
		const char *value = grid->axis[a].names[grid_value(grid, place, (unsigned)a)];
		unsigned v = 0;
		while (v < theirs->count && strcmp(theirs->names[v], value) != 0)
			v++;
		if (v == theirs->count)
			return NAN;
		at += v * grid_stride(&study->paper, p);
	}
	return study->paper.mean[at];
}

/* Ranks from 0, equal values at the middle of theirs. */
static double rank_of(const double *values, size_t count, size_t which)
{
	double below = 0, equal = 0;
	for (size_t i = 0; i < count; i++) {
		below += values[i] < values[which];
		equal += values[i] == values[which];
	}
	return below + (equal - 1) / 2;
}

/* Spearman's: the correlation of the ranks. NAN where all of one are equal. */
static double rank_correlation(const double *a, const double *b, size_t count)
{
	double ab = 0, aa = 0, bb = 0, middle = ((double)count - 1) / 2;
	for (size_t i = 0; i < count; i++) {
		double x = rank_of(a, count, i) - middle, y = rank_of(b, count, i) - middle;
		ab += x * y;
		aa += x * x;
		bb += y * y;
	}
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : NAN;
}

static int put_agreement(struct study_page *study, struct error *err)
{
	const struct grid *grid = &study->values[0].grid;
	double *ours = calloc(2 * grid->places + 1, sizeof *ours);
	if (!ours)
		return error_set(err, ERROR_MEMORY, "out of memory for a report");
	double *theirs = ours + grid->places;
	size_t count = 0;
	for (size_t place = 0; place < grid->places; place++) {
		double paper = grid->axis_count ? paper_at(study, grid, place) : NAN;
		if (!isnan(paper) && !isnan(grid->mean[place])) {
			ours[count] = grid->mean[place];
			theirs[count++] = paper;
		}
	}
	double correlation = count >= 3 ? rank_correlation(ours, theirs, count) : NAN;
	if (!isnan(correlation))
		fprintf(study->html.out,
			"<p>Rank correlation with the paper's numbers, over the %zu cells that both have: %.2f.</p>",
			count, correlation);
	free(ours);
	return 0;
}

static int put_verdict(struct study_page *study, struct error *err)
{
	const struct grid *grid = &study->values[0].grid;
	unsigned done = 0, all = 0;
	const cJSON *row;
	double hours = 0;
	cJSON_ArrayForEach(row, study->rows)
	{
		double seconds = report_number(row, "seconds");
		if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(row, "mirrored")))
			continue; /* another cell's run, shown twice */
		all++;
		done += is_done(row);
		hours += isnan(seconds) ? 0 : seconds / 3600;
	}
	size_t best = grid->places;
	for (size_t place = 0; place < grid->places; place++)
		if (grid->samples[place] && (best == grid->places || grid->mean[place] > grid->mean[best]))
			best = place;
	fprintf(study->html.out, "<div class=\"verdict\"><p>%u runs done, %u failed, in %.3g hours of training.</p>",
		done, all - done, hours);
	if (best < grid->places) {
		fputs("<p>Highest ", study->html.out);
		html_text(study->html.out, study->values[0].label);
		fprintf(study->html.out, ": %.2f, at ", grid->mean[best]);
		for (unsigned a = 0; a < grid->axis_count; a++) {
			char text[2 * GRID_TEXT + 8];
			snprintf(text, sizeof text, "%s%s %s", a ? ", " : "", grid->axis[a].label,
				grid->axis[a].names[grid_value(grid, best, a)]);
			html_text(study->html.out, text);
		}
		fputs(".</p>", study->html.out);
	}
	int code = put_agreement(study, err);
	fputs("</div>\n", study->html.out);
	return code;
}

/* ---- Tables ---- */

static void put_cells(struct study_page *study)
{
	struct html *html = &study->html;
	const struct grid *grid = &study->values[0].grid;
	bool paper = study->paper.places > 0;
	html_card_begin(html, "Cells", "Means over seeds; in brackets the least and the greatest.", true);
	html_table_head_begin(html);
	for (unsigned a = 0; a < grid->axis_count; a++)
		html_head_cell(html, false, grid->axis[a].label);
	html_head_cell(html, true, "seeds");
	for (unsigned v = 0; v < study->value_count; v++)
		html_head_cell(html, true, study->values[v].label);
	if (paper)
		html_head_cell(html, true, "paper");
	html_table_head_end(html);
	for (size_t place = 0; place < grid->places; place++) {
		if (grid->samples[place] == 0)
			continue;
		html_row_begin(html);
		for (unsigned a = 0; a < grid->axis_count; a++)
			html_cell(html, false, "%s", grid->axis[a].names[grid_value(grid, place, a)]);
		html_cell(html, true, "%u", grid->samples[place]);
		for (unsigned v = 0; v < study->value_count; v++) {
			const struct grid *of = &study->values[v].grid;
			if (of->places != grid->places || of->samples[place] == 0)
				html_cell(html, true, "-");
			else if (of->samples[place] > 1)
				html_cell(html, true, "%.5g (%.5g to %.5g)", of->mean[place], of->low[place],
					of->high[place]);
			else
				html_cell(html, true, "%.5g", of->mean[place]);
		}
		double theirs = paper ? paper_at(study, grid, place) : NAN;
		if (paper)
			html_cell(html, true, isnan(theirs) ? "-" : "%.5g", theirs);
		html_row_end(html);
	}
	html_table_end(html);
	html_card_end(html);
}

static void put_run_row(struct study_page *study, const cJSON *row)
{
	struct html *html = &study->html;
	const cJSON *axis, *cell = cJSON_GetObjectItemCaseSensitive(row, "cell");
	const cJSON *values = cJSON_GetObjectItemCaseSensitive(row, "values");
	char text[TEXT_BYTES];
	html_row_begin(html);
	html_cell(html, false, "%s", report_text(row, "run", ""));
	cJSON_ArrayForEach(axis, study->axes)
	{
		html_cell(html, false, "%s",
			report_item_text(cJSON_GetObjectItemCaseSensitive(cell, report_text(axis, "name", "")), text,
				sizeof text));
	}
	html_cell(html, true, "%s", report_item_text(cJSON_GetObjectItemCaseSensitive(row, "seed"), text, sizeof text));
	html_cell(html, false, "%s", report_text(row, "status", "?"));
	for (unsigned v = 0; v < study->value_count; v++)
		html_cell(html, true, "%s",
			report_item_text(
				cJSON_GetObjectItemCaseSensitive(values, study->values[v].name), text, sizeof text));
	double seconds = report_number(row, "seconds");
	html_cell(html, true, isnan(seconds) ? "-" : "%.1f", seconds);
	html_row_end(html);
}

static void put_runs(struct study_page *study)
{
	struct html *html = &study->html;
	const cJSON *item;
	fputs("<section class=\"card wide\"><details><summary>Every run</summary>\n", html->out);
	html_table_head_begin(html);
	html_head_cell(html, false, "run");
	cJSON_ArrayForEach(item, study->axes)
	{
		html_head_cell(html, false, report_text(item, "label", report_text(item, "name", "")));
	}
	html_head_cell(html, true, "seed");
	html_head_cell(html, false, "status");
	for (unsigned v = 0; v < study->value_count; v++)
		html_head_cell(html, true, study->values[v].label);
	html_head_cell(html, true, "seconds");
	html_table_head_end(html);
	cJSON_ArrayForEach(item, study->rows)
	{
		put_run_row(study, item);
	}
	html_table_end(html);
	fputs("</details></section>\n", html->out);
}

static void put_failures(struct study_page *study)
{
	struct html *html = &study->html;
	const cJSON *row;
	bool any = false;
	cJSON_ArrayForEach(row, study->rows)
	{
		any = any || !is_done(row);
	}
	if (!any)
		return;
	html_card_begin(html, "Failed", "Missing above.", true);
	html_table_begin(html, "run|cell|>seed|status|why");
	cJSON_ArrayForEach(row, study->rows)
	{
		char cell[TEXT_BYTES], seed[64];
		if (is_done(row))
			continue;
		html_row_begin(html);
		html_cell(html, false, "%s", report_text(row, "run", ""));
		html_cell(html, false, "%s",
			report_item_text(cJSON_GetObjectItemCaseSensitive(row, "cell"), cell, sizeof cell));
		html_cell(html, true, "%s",
			report_item_text(cJSON_GetObjectItemCaseSensitive(row, "seed"), seed, sizeof seed));
		html_cell(html, false, "%s", report_text(row, "status", "?"));
		html_cell(html, false, "%s", report_text(row, "error", report_text(row, "message", "")));
		html_row_end(html);
	}
	html_table_end(html);
	html_card_end(html);
}

/* Of the first run that has a record. */
static void put_options(struct study_page *study)
{
	const cJSON *row;
	cJSON_ArrayForEach(row, study->rows)
	{
		char folder[4096], heading[TEXT_BYTES];
		const char *run = report_text(row, "run", NULL);
		struct error err = {0};
		if (!run || snprintf(folder, sizeof folder, "%s/%s", study->folder, run) >= (int)sizeof folder)
			continue;
		cJSON *record =
			report_has_file(folder, "run.json") ? report_read_object(folder, "run.json", &err) : NULL;
		if (!record)
			continue;
		snprintf(
			heading, sizeof heading, "Options and machine of %.400s; the others differ by their cell", run);
		html_settings_of(&study->html, heading, cJSON_GetObjectItemCaseSensitive(record, "machine"),
			cJSON_GetObjectItemCaseSensitive(record, "options"));
		cJSON_Delete(record);
		return;
	}
}

/* ---- The page ---- */

static int put_figures(struct study_page *study, struct error *err)
{
	struct html *html = &study->html;
	const cJSON *paper = cJSON_GetObjectItemCaseSensitive(study->record, "paper");
	char heading[TEXT_BYTES];
	html_grid_begin(html);
	for (unsigned v = 0; v < study->value_count; v++) {
		struct figure figure = study->figure;
		const struct grid *grid = &study->values[v].grid;
		bool any = v == 0;
		for (size_t place = 0; place < grid->places; place++)
			any = any || grid->samples[place] > 0;
		if (!any)
			continue;
		snprintf(heading, sizeof heading, "%s%.200s", v == 0 ? "This sweep: " : "", study->values[v].label);
		if (figure_put(html, &figure, grid, NULL, heading,
			    v == 0 ? "Means over seeds, with their spread." : NULL, err) < 0)
			return err->code;
		if (v == 0 && study->paper.places > 0 &&
			figure_put(html, &figure, &study->paper, grid, "The paper's numbers",
				report_text(paper, "caption", "Another data set and scale: compare the shapes."),
				err) < 0)
			return err->code;
	}
	html_grid_end(html);
	return 0;
}

static int put_study(struct study_page *study, struct error *err)
{
	int code = put_verdict(study, err);
	if (code == 0)
		code = put_figures(study, err);
	if (code < 0)
		return code;
	html_grid_begin(&study->html);
	put_cells(study);
	put_failures(study);
	put_runs(study);
	put_options(study);
	html_grid_end(&study->html);
	return 0;
}

static int read_study(struct study_page *study, struct error *err)
{
	study->record = report_read_object(study->folder, "study.json", err);
	study->rows = study->record ? report_read_lines(study->folder, "rows.jsonl", false, err) : NULL;
	if (!study->rows)
		return err->code;
	int code = read_figure(study, err);
	if (code == 0)
		code = check_rows(study, err);
	return code == 0 ? make_grids(study, err) : code;
}

int report_study_write(const char *folder, const char *output, const char *title, struct error *err)
{
	struct study_page *study = calloc(1, sizeof *study);
	if (!study)
		return error_set(err, ERROR_MEMORY, "out of memory for a report");
	study->folder = folder;
	int code = read_study(study, err);
	if (code == 0) {
		char heading[TEXT_BYTES];
		const char *own = report_text(study->record, "title", report_text(study->record, "name", folder));
		snprintf(heading, sizeof heading, "ringclr: %.400s", own);
		code = html_begin(&study->html, title ? title : heading, err);
		if (code == 0 && put_study(study, err) < 0) {
			code = err->code;
			html_abandon(&study->html);
		} else if (code == 0) {
			code = html_finish(&study->html, output, err);
		}
	}
	for (unsigned v = 0; v < study->value_count; v++)
		grid_free(&study->values[v].grid);
	grid_free(&study->paper);
	cJSON_Delete(study->record);
	cJSON_Delete(study->rows);
	free(study);
	return code;
}
