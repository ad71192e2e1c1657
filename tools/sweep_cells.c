/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cells: every combination of values, or those that [cells] lists, each line a block of them ("l2 x 0.1, 0.5": the
 * values of each axis in order, * for all). A cell's options are those of [base], overridden by the values' in the
 * order of the axes, with its values' texts in the places {axis}.
 *
 * Where two axes make pairs without order, (a, b) with a listed before b is run, (b, a) is its mirror, and in (a, a)
 * the second axis has no text and no options.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sweep_plan.h"

/* The text of {name}; NULL with no error: no such place. */
static const char *text_of(struct sweep_plan *plan, const struct sweep_cell *cell, const char *name)
{
	int axis = cell ? sweep_plan_axis(plan, name) : -1;
	if (axis < 0)
		return NULL;
	if (axis == plan->pair[1] && cell->place[plan->pair[0]] == cell->place[axis])
		return "";
	return plan->axes[axis].values[cell->place[axis]].text;
}

static bool is_prepared(const struct sweep_plan *plan, const char *name)
{
	for (unsigned i = 0; i < plan->prepared_count; i++)
		if (strcmp(plan->prepared[i].name, name) == 0)
			return true;
	return false;
}

/* Texts may be empty: blanks at the end go. */
static void trim(char *text)
{
	for (size_t bytes = strlen(text); bytes > 0 && text[bytes - 1] == ' '; bytes--)
		text[bytes - 1] = '\0';
}

const char *sweep_plan_fill(struct sweep_plan *plan, struct study *study, const char *text,
	const struct sweep_cell *cell, const char *(*prepared)(void *ctx, const char *name), void *ctx,
	const char *source, struct error *err)
{
	char filled[4096];
	size_t used = 0;
	if (!strchr(text, '{'))
		return text;
	while (*text != '\0') {
		const char *end = *text == '{' ? strchr(text, '}') : NULL;
		char name[64] = "";
		const char *piece = NULL;
		size_t bytes = 1;
		if (end && (size_t)(end - text) < sizeof name) {
			memcpy(name, text + 1, (size_t)(end - text) - 1);
			bytes = (size_t)(end - text) + 1;
			piece = text_of(plan, cell, name);
			if (!piece && is_prepared(plan, name))
				piece = prepared ? prepared(ctx, name) : NULL;
			else if (!piece) {
				if (sweep_plan_axis(plan, name) >= 0)
					error_set(err, ERROR_USAGE,
						"%s: {%s} is an axis, and this run is of no cell: give it a value here",
						source, name);
				else
					error_set(err, ERROR_USAGE,
						"%s: {%s} is no axis and no run to prepare ([prepare %s])", source,
						name, name);
				return NULL;
			}
		}
		const char *from = piece ? piece : text;
		size_t length = piece ? strlen(piece) : bytes;
		if (used + length >= sizeof filled) {
			error_set(err, ERROR_USAGE, "%s: is too long when filled in", source);
			return NULL;
		}
		memcpy(filled + used, from, length);
		used += length;
		text += bytes;
	}
	filled[used] = '\0';
	trim(filled);
	return study_keep(study, filled, strlen(filled), err);
}

/* A name that can be a folder's: other characters become '-'. */
static const char *name_cell(struct sweep_plan *plan, const struct sweep_cell *cell, struct error *err)
{
	char name[256] = "";
	size_t used = 0;
	for (unsigned i = 0; i < plan->axis_count; i++) {
		int bytes = snprintf(name + used, sizeof name - used, "%s%s=%s", i > 0 ? "," : "", plan->axes[i].name,
			plan->axes[i].values[cell->place[i]].name);
		if (bytes < 0 || used + (size_t)bytes >= 200) {
			error_set(err, ERROR_USAGE, "%s: the names of a cell's values are too long for a folder's name",
				plan->study.path);
			return NULL;
		}
		used += (size_t)bytes;
	}
	for (char *at = name; *at; at++)
		if (strchr("/\\ \t\"'*?<>|:&;$()[]{}!#~", *at))
			*at = '-';
	return study_keep(&plan->study, name, used, err);
}

static int make_options(
	struct sweep_plan *plan, struct sweep_cell *cell, const struct study_options *base, struct error *err)
{
	char source[512];
	int code = study_options_add(&cell->options, base, err);
	for (unsigned i = 0; i < plan->axis_count && code == 0; i++)
		if ((int)i != plan->pair[1] || cell->place[i] != cell->place[plan->pair[0]])
			code = study_options_add(&cell->options, &plan->axes[i].values[cell->place[i]].options, err);
	for (size_t i = 0; i < cell->options.count && code == 0; i++) {
		struct study_option *option = &cell->options.list[i];
		snprintf(source, sizeof source, "%s: --%s of cell %s", plan->study.path, option->name, cell->name);
		option->value = sweep_plan_fill(plan, &plan->study, option->value, cell, NULL, NULL, source, err);
		code = option->value ? 0 : err->code;
	}
	snprintf(source, sizeof source, "%s: cell %s", plan->study.path, cell->name);
	return code < 0 ? code : study_options_check(&cell->options, plan->train, source, err);
}

static int find_cell(const struct sweep_plan *plan, const unsigned place[SWEEP_AXES])
{
	for (unsigned i = 0; i < plan->cell_count; i++)
		if (memcmp(plan->cells[i].place, place, sizeof plan->cells[i].place) == 0)
			return (int)i;
	return -1;
}

/* Adds the cell unless it is there, and one that is a mirror's after the one that it shows. */
static int add_cell(struct sweep_plan *plan, const unsigned place[SWEEP_AXES], struct error *err)
{
	int mirror_of = -1;
	if (find_cell(plan, place) >= 0)
		return 0;
	if (plan->pair[0] >= 0 && place[plan->pair[0]] > place[plan->pair[1]]) {
		unsigned other[SWEEP_AXES];
		memcpy(other, place, sizeof other);
		other[plan->pair[0]] = place[plan->pair[1]];
		other[plan->pair[1]] = place[plan->pair[0]];
		int code = add_cell(plan, other, err);
		if (code < 0)
			return code;
		mirror_of = find_cell(plan, other);
	}
	if (plan->cell_count == SWEEP_CELLS)
		return error_set(err, ERROR_USAGE, "%s: more than %d cells", plan->study.path, (int)SWEEP_CELLS);
	struct sweep_cell *cell = &plan->cells[plan->cell_count++];
	*cell = (struct sweep_cell){.mirror_of = mirror_of};
	memcpy(cell->place, place, sizeof cell->place);
	cell->name = name_cell(plan, cell, err);
	if (!cell->name)
		return err->code;
	for (unsigned i = 0; i + 1 < plan->cell_count; i++)
		if (strcmp(plan->cells[i].name, cell->name) == 0)
			return error_set(err, ERROR_USAGE,
				"%s: two cells would have the same folder, %s; give their values names that differ in "
				"letters, digits, '.' or '-'",
				plan->study.path, cell->name);
	return 0;
}

/* All cells with chosen[axis][value], the last axis fastest. */
static int add_block(struct sweep_plan *plan, bool chosen[SWEEP_AXES][SWEEP_VALUES], struct error *err)
{
	unsigned place[SWEEP_AXES] = {0};
	for (;;) {
		bool wanted = true;
		for (unsigned i = 0; i < plan->axis_count; i++)
			wanted = wanted && chosen[i][place[i]];
		int code = wanted ? add_cell(plan, place, err) : 0;
		if (code < 0)
			return code;
		unsigned axis = plan->axis_count;
		while (axis > 0 && ++place[axis - 1] == plan->axes[axis - 1].count)
			place[--axis] = 0;
		if (axis == 0)
			return 0;
	}
}

static int read_block(struct sweep_plan *plan, const struct study_line *line, struct error *err)
{
	struct study *study = &plan->study;
	bool chosen[SWEEP_AXES][SWEEP_VALUES] = {{false}};
	const char *rest = line->value, *list;
	unsigned axis = 0;
	for (; (list = study_piece(study, &rest, " x ", err)) != NULL; axis++) {
		const char *names = list, *name;
		while (axis < plan->axis_count && (name = study_piece(study, &names, ",", err)) != NULL) {
			int place = sweep_plan_value(&plan->axes[axis], name);
			if (place < 0 && strcmp(name, "*") != 0)
				return error_set(err, ERROR_USAGE, "%s:%u: [cells] %s: axis %s has no value '%s'",
					study->path, line->line, line->value, plan->axes[axis].name, name);
			for (unsigned i = 0; i < plan->axes[axis].count; i++)
				chosen[axis][i] = chosen[axis][i] || place < 0 || (unsigned)place == i;
		}
	}
	if (err->code < 0)
		return err->code;
	if (axis != plan->axis_count)
		return error_set(err, ERROR_USAGE,
			"%s:%u: [cells] %s: must list values of each of the %u axes, with ' x ' between axes and * for "
			"all",
			study->path, line->line, line->value, plan->axis_count);
	return add_block(plan, chosen, err);
}

int sweep_plan_cells(struct sweep_plan *plan, const struct study_options *base, struct error *err)
{
	plan->cells = calloc(SWEEP_CELLS, sizeof *plan->cells);
	if (!plan->cells)
		return error_set(err, ERROR_MEMORY, "out of memory while reading %s", plan->study.path);
	const struct study_line *line;
	size_t place = 0;
	int code = 0;
	while (code == 0 && (line = study_each(&plan->study, &place, "cells", "", plan->size)) != NULL)
		code = read_block(plan, line, err);
	if (code == 0 && plan->cell_count == 0) {
		bool chosen[SWEEP_AXES][SWEEP_VALUES];
		memset(chosen, true, sizeof chosen);
		code = add_block(plan, chosen, err);
	}
	for (unsigned i = 0; i < plan->cell_count && code == 0; i++)
		code = plan->cells[i].mirror_of < 0 ? make_options(plan, &plan->cells[i], base, err) : 0;
	return code;
}
