/* SPDX-License-Identifier: Apache-2.0 */
/* [figure] and [paper numbers], and study.json, which `ringclr report` draws from. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sweep_plan.h"

static const char *get(const struct sweep_plan *plan, const char *name, const char *fallback)
{
	const struct study_line *line = study_find(&plan->study, "figure", "", name, plan->size);
	return line && *line->value != '\0' ? line->value : fallback;
}

/* "file:12: [figure] x = ..." of a line that is there, for messages. */
static int refuse(const struct sweep_plan *plan, const char *name, const char *why, struct error *err)
{
	const struct study_line *line = study_find(&plan->study, "figure", "", name, plan->size);
	char known[512] = "";
	bool axes = strcmp(name, "value") != 0;
	for (unsigned i = 0; i < (axes ? plan->axis_count : plan->measure_count); i++)
		snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i > 0 ? ", " : "",
			axes ? plan->axes[i].name : plan->measures[i].name);
	return error_set(err, ERROR_USAGE, "%s:%u: [figure] %s = %s: %s (%s)", plan->study.path, line ? line->line : 0,
		name, line ? line->value : "", why, known);
}

static const struct sweep_measure *find_measure(const struct sweep_plan *plan, const char *name)
{
	for (unsigned i = 0; i < plan->measure_count; i++)
		if (strcmp(plan->measures[i].name, name) == 0)
			return &plan->measures[i];
	return NULL;
}

/* A line of [paper numbers]: "0.1, l2 = 64.4", of a cell of the paper's grid. */
static int read_point(
	struct sweep_plan *plan, const struct study_line *line, double *number, const char **names, struct error *err)
{
	struct study *study = &plan->study;
	const char *rest = line->name, *piece;
	unsigned axis = 0;
	while ((piece = study_piece(study, &rest, ",", err)) != NULL) {
		if (axis < plan->axis_count)
			names[axis] = piece;
		axis++;
	}
	if (err->code < 0)
		return err->code;
	char *end;
	*number = strtod(line->value, &end);
	if (axis != plan->axis_count || end == line->value || *end != '\0' || !isfinite(*number))
		return error_set(err, ERROR_USAGE,
			"%s:%u: [paper numbers] %s = %s: must be a value of each of the %u axes, with commas, and a "
			"number",
			study->path, line->line, line->name, line->value, plan->axis_count);
	for (axis = 0; axis < plan->axis_count; axis++) {
		const struct study_line *grid = study_find(study, "grid", "", plan->axes[axis].name, STUDY_PAPER);
		bool found = false;
		rest = grid ? grid->value : "";
		while (!found && (piece = study_piece(study, &rest, ",", err)) != NULL)
			found = strcmp(piece, names[axis]) == 0;
		if (!found)
			return error_set(err, ERROR_USAGE,
				"%s:%u: [paper numbers] %s: axis %s has no value '%s' at size paper", study->path,
				line->line, line->name, plan->axes[axis].name, names[axis]);
	}
	return 0;
}

static cJSON *paper_json(struct sweep_plan *plan, struct error *err)
{
	const struct study_line *line;
	size_t place = 0;
	cJSON *paper = cJSON_CreateObject(), *points = cJSON_CreateArray();
	cJSON_AddStringToObject(paper, "caption", "");
	while ((line = study_each(&plan->study, &place, "paper numbers", "", plan->size)) != NULL) {
		const char *names[SWEEP_AXES] = {"", "", "", "", "", ""};
		double number;
		if (strcmp(line->name, "caption") == 0) {
			cJSON_ReplaceItemInObjectCaseSensitive(paper, "caption", cJSON_CreateString(line->value));
			continue;
		}
		if (read_point(plan, line, &number, names, err) < 0)
			break;
		cJSON *point = cJSON_CreateObject();
		for (unsigned i = 0; i < plan->axis_count; i++)
			cJSON_AddStringToObject(point, plan->axes[i].name, names[i]);
		cJSON_AddNumberToObject(point, "value", number);
		cJSON_AddItemToArray(points, point);
	}
	bool any = cJSON_GetArraySize(points) > 0;
	cJSON_AddItemToObject(paper, "points", points);
	if (any && err->code == 0)
		return paper;
	cJSON_Delete(paper);
	return cJSON_CreateNull();
}

int sweep_plan_figure(struct sweep_plan *plan, struct error *err)
{
	struct sweep_figure *figure = &plan->figure;
	*figure = (struct sweep_figure){
		.kind = get(plan, "kind", "lines"),
		.x = get(plan, "x", plan->axes[0].name),
		.y = get(plan, "y", NULL),
		.series = get(plan, "series", NULL),
		.value = get(plan, "value", plan->measures[0].name),
	};
	const char *log_x = get(plan, "log_x", "no");
	figure->log_x = strcmp(log_x, "yes") == 0;
	if (!figure->log_x && strcmp(log_x, "no") != 0)
		return refuse(plan, "log_x", "must be yes or no", err);
	bool heatmap = strcmp(figure->kind, "heatmap") == 0;
	if (!heatmap && strcmp(figure->kind, "lines") != 0 && strcmp(figure->kind, "bars") != 0)
		return refuse(plan, "kind", "must be lines, bars or heatmap; of axes", err);
	int x = sweep_plan_axis(plan, figure->x), y = figure->y ? sweep_plan_axis(plan, figure->y) : -1;
	int series = figure->series ? sweep_plan_axis(plan, figure->series) : -1;
	if (x < 0)
		return refuse(plan, "x", "no such axis; there are", err);
	if (figure->y && (y < 0 || y == x))
		return refuse(plan, "y", y < 0 ? "no such axis; there are" : "is x already; there are", err);
	if (figure->series && (series < 0 || series == x || series == y))
		return refuse(
			plan, "series", series < 0 ? "no such axis; there are" : "is x or y already; there are", err);
	if (heatmap != (figure->y != NULL))
		return refuse(plan, "y", "the rows of a heatmap, needed for one and for nothing else; axes", err);
	const struct sweep_measure *measure = find_measure(plan, figure->value);
	if (!measure)
		return refuse(plan, "value", "is not measured; [evaluate] has", err);
	figure->x_label = get(plan, "x_label", plan->axes[x].label);
	figure->value_label = get(plan, "value_label", measure->label);
	cJSON_Delete(paper_json(plan, err)); /* for its mistakes */
	return err->code;
}

static void add_text(cJSON *object, const char *name, const char *text)
{
	cJSON_AddItemToObject(object, name, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static void add_figure(cJSON *study, const struct sweep_figure *figure)
{
	cJSON *object = cJSON_AddObjectToObject(study, "figure");
	add_text(object, "kind", figure->kind);
	add_text(object, "x", figure->x);
	add_text(object, "y", figure->y);
	add_text(object, "series", figure->series);
	add_text(object, "value", figure->value);
	add_text(object, "x_label", figure->x_label);
	add_text(object, "value_label", figure->value_label);
	cJSON_AddBoolToObject(object, "log_x", figure->log_x);
}

static void add_axes(cJSON *study, const struct sweep_plan *plan)
{
	cJSON *axes = cJSON_AddArrayToObject(study, "axes");
	for (unsigned i = 0; i < plan->axis_count; i++) {
		const struct sweep_axis *axis = &plan->axes[i];
		cJSON *object = cJSON_CreateObject();
		add_text(object, "name", axis->name);
		add_text(object, "label", axis->label);
		cJSON *values = cJSON_AddArrayToObject(object, "values");
		for (unsigned j = 0; j < axis->count; j++)
			cJSON_AddItemToArray(values, cJSON_CreateString(axis->values[j].name));
		cJSON_AddItemToArray(axes, object);
	}
}

cJSON *sweep_plan_cell_json(const struct sweep_plan *plan, const struct sweep_cell *cell)
{
	cJSON *object = cJSON_CreateObject();
	for (unsigned i = 0; i < plan->axis_count; i++)
		add_text(object, plan->axes[i].name, plan->axes[i].values[cell->place[i]].name);
	return object;
}

/* What going on with the sweep must find unchanged. */
static void add_runs(cJSON *study, const struct sweep_plan *plan)
{
	cJSON *runs = cJSON_AddObjectToObject(study, "runs"), *cells = cJSON_AddArrayToObject(runs, "cells");
	for (unsigned i = 0; i < plan->cell_count; i++) {
		if (plan->cells[i].mirror_of >= 0)
			continue;
		cJSON *cell = cJSON_CreateObject();
		add_text(cell, "name", plan->cells[i].name);
		cJSON_AddItemToObject(cell, "cell", sweep_plan_cell_json(plan, &plan->cells[i]));
		cJSON_AddItemToObject(cell, "options", study_options_json(&plan->cells[i].options));
		cJSON_AddItemToArray(cells, cell);
	}
	cJSON *prepared = cJSON_AddObjectToObject(runs, "prepare");
	for (unsigned i = 0; i < plan->prepared_count; i++)
		cJSON_AddItemToObject(prepared, plan->prepared[i].name, study_options_json(&plan->prepared[i].options));
	cJSON *evaluate = cJSON_AddObjectToObject(runs, "evaluate");
	for (unsigned i = 0; i < plan->measure_count; i++) {
		const struct sweep_measure *measure = &plan->measures[i];
		cJSON *object = cJSON_AddObjectToObject(evaluate, measure->name);
		add_text(object, "from", measure->eval ? "eval" : "metrics");
		add_text(object, "fields", measure->fields);
		cJSON_AddItemToObject(object, "options", study_options_json(&measure->options));
	}
}

cJSON *sweep_plan_json(struct sweep_plan *plan, struct error *err)
{
	cJSON *study = cJSON_CreateObject();
	add_text(study, "format", "ringclr study");
	add_text(study, "name", plan->study.name);
	add_text(study, "title", plan->title);
	add_text(study, "size", sweep_plan_size_name(plan->size));
	add_figure(study, &plan->figure);
	add_axes(study, plan);
	cJSON *pairs = plan->pair[0] >= 0 ? cJSON_AddArrayToObject(study, "pairs") : NULL;
	for (unsigned i = 0; pairs && i < 2; i++)
		cJSON_AddItemToArray(pairs, cJSON_CreateString(plan->axes[plan->pair[i]].name));
	cJSON *seeds = cJSON_AddArrayToObject(study, "seeds");
	for (unsigned i = 0; i < plan->seed_count; i++)
		cJSON_AddItemToArray(seeds, cJSON_CreateNumber((double)plan->seeds[i]));
	cJSON_AddItemToObject(study, "paper", paper_json(plan, err));
	cJSON *values = cJSON_AddArrayToObject(study, "values");
	for (unsigned i = 0; i < plan->measure_count; i++) {
		cJSON *value = cJSON_CreateObject();
		add_text(value, "name", plan->measures[i].name);
		add_text(value, "label", plan->measures[i].label);
		cJSON_AddItemToArray(values, value);
	}
	add_runs(study, plan);
	return study;
}
