/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [grid] and [axis ...]: the axes, and what their values mean.
 *
 * A value is a label. What it means is said by its line in [axis NAME]: options ("--views simclr --lr 0.5", or nothing
 * at all), or a text. Without a line the text is the label itself. A text becomes the value of the option that is
 * called as the axis, if there is one, and stands wherever an option says {NAME}.
 */
#include <stdio.h>
#include <string.h>

#include "tools/options_internal.h"
#include "tools/sweep_plan.h"

int sweep_plan_axis(const struct sweep_plan *plan, const char *name)
{
	for (unsigned i = 0; i < plan->axis_count; i++)
		if (strcmp(plan->axes[i].name, name) == 0)
			return (int)i;
	return -1;
}

int sweep_plan_value(const struct sweep_axis *axis, const char *name)
{
	for (unsigned i = 0; i < axis->count; i++)
		if (strcmp(axis->values[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* Whether any option, of cells or of values, has {name}. */
static bool stands_somewhere(const struct study *study, const char *name)
{
	char place[80];
	snprintf(place, sizeof place, "{%s}", name);
	for (size_t i = 0; i < study->count; i++)
		if (strstr(study->lines[i].value, place))
			return true;
	return false;
}

static int read_meaning(struct sweep_plan *plan, struct sweep_axis *axis, struct sweep_value *value,
	const struct study_line *grid, struct error *err)
{
	struct study *study = &plan->study;
	const struct study_line *line = study_find(study, "axis", axis->name, value->name, plan->size);
	char source[512];
	if (line && (*line->value == '\0' || strncmp(line->value, "--", 2) == 0)) {
		value->text = "";
		snprintf(
			source, sizeof source, "%s:%u: [axis %s] %s", study->path, line->line, axis->name, value->name);
		return study_options_parse(&value->options, study, plan->train, line->value, source, err);
	}
	value->text = line ? line->value : value->name;
	const struct study_line *at = line ? line : grid;
	snprintf(source, sizeof source, "%s:%u: [%s] %s", study->path, at->line, line ? "axis" : "grid", axis->name);
	if (option_find(plan->train, axis->name, strlen(axis->name))) {
		int code = study_option_check(plan->train, axis->name, value->text, source, err);
		return code < 0 ? code : study_options_set(&value->options, axis->name, value->text, err);
	}
	if (stands_somewhere(study, axis->name))
		return 0;
	return error_set(err, ERROR_USAGE,
		"%s: '%s' does nothing: train has no option --%s, so write what it means below [axis %s] (%s = "
		"--option "
		"value), or {%s} where an option should have it",
		source, value->name, axis->name, axis->name, value->name, axis->name);
}

static int read_axis(struct sweep_plan *plan, const struct study_line *line, struct error *err)
{
	struct study *study = &plan->study;
	if (sweep_plan_check_name(plan, line, "an axis", line->name, err) < 0)
		return err->code;
	if (plan->axis_count == SWEEP_AXES)
		return error_set(
			err, ERROR_USAGE, "%s:%u: more than %d axes", study->path, line->line, (int)SWEEP_AXES);
	struct sweep_axis *axis = &plan->axes[plan->axis_count++];
	const struct study_line *label = study_find(study, "labels", "", line->name, plan->size);
	axis->name = line->name;
	axis->label = label ? label->value : line->name;
	const char *rest = line->value, *name;
	while ((name = study_piece(study, &rest, ",", err)) != NULL) {
		if (*name == '\0')
			return error_set(err, ERROR_USAGE, "%s:%u: axis %s has an empty value", study->path, line->line,
				axis->name);
		if (sweep_plan_value(axis, name) >= 0)
			return error_set(err, ERROR_USAGE, "%s:%u: axis %s has the value '%s' twice", study->path,
				line->line, axis->name, name);
		if (axis->count == SWEEP_VALUES)
			return error_set(err, ERROR_USAGE, "%s:%u: axis %s has more than %d values", study->path,
				line->line, axis->name, (int)SWEEP_VALUES);
		struct sweep_value *value = &axis->values[axis->count++];
		value->name = name;
		int code = read_meaning(plan, axis, value, line, err);
		if (code < 0)
			return code;
	}
	if (err->code < 0)
		return err->code;
	if (axis->count == 0)
		return error_set(err, ERROR_USAGE,
			"%s:%u: [grid] axis %s has no values; list them, with commas between them", study->path,
			line->line, axis->name);
	return 0;
}

/* Whether a line of [grid], for any size, lists this value. */
static bool listed(struct study *study, const char *axis, const char *value, struct error *err)
{
	for (size_t i = 0; i < study->count; i++) {
		const struct study_line *line = &study->lines[i];
		if (strcmp(line->section, "grid") != 0 || strcmp(line->name, axis) != 0)
			continue;
		const char *rest = line->value, *piece;
		while ((piece = study_piece(study, &rest, ",", err)) != NULL)
			if (strcmp(piece, value) == 0)
				return true;
	}
	return false;
}

/* Lines below [axis NAME] are about values that there are, of an axis that there is. */
static int check_meanings(struct sweep_plan *plan, struct error *err)
{
	struct study *study = &plan->study;
	for (size_t i = 0; i < study->count; i++) {
		const struct study_line *line = &study->lines[i];
		if (strcmp(line->section, "axis") == 0 && !listed(study, line->argument, line->name, err))
			return error_set(err, ERROR_USAGE,
				"%s:%u: [axis %s]: no value '%s' of such an axis is listed below [grid]", study->path,
				line->line, line->argument, line->name);
	}
	return 0;
}

static int read_pair(struct sweep_plan *plan, struct error *err)
{
	struct study *study = &plan->study;
	const struct study_line *line = study_find(study, "study", "", "pairs", plan->size);
	plan->pair[0] = plan->pair[1] = -1;
	if (!line)
		return 0;
	const char *rest = line->value;
	for (unsigned i = 0; i < 2; i++) {
		const char *name = study_piece(study, &rest, ",", err);
		plan->pair[i] = name ? sweep_plan_axis(plan, name) : -1;
	}
	if (plan->pair[0] < 0 || plan->pair[1] < 0 || plan->pair[0] == plan->pair[1] || *rest != '\0')
		return error_set(err, ERROR_USAGE, "%s:%u: pairs = %s: must be two axes of [grid]", study->path,
			line->line, line->value);
	const struct sweep_axis *a = &plan->axes[plan->pair[0]], *b = &plan->axes[plan->pair[1]];
	bool same = a->count == b->count;
	for (unsigned i = 0; same && i < a->count; i++)
		same = strcmp(a->values[i].name, b->values[i].name) == 0;
	if (!same)
		return error_set(err, ERROR_USAGE,
			"%s:%u: pairs = %s: the two axes must list the same values in the same order", study->path,
			line->line, line->value);
	return 0;
}

int sweep_plan_axes(struct sweep_plan *plan, struct error *err)
{
	const struct study_line *line;
	size_t place = 0;
	while ((line = study_each(&plan->study, &place, "grid", "", plan->size)) != NULL) {
		int code = read_axis(plan, line, err);
		if (code < 0)
			return code;
	}
	if (plan->axis_count == 0)
		return error_set(err, ERROR_USAGE, "%s: has no axis; list values below [grid]: temperature = 0.1, 0.5",
			plan->study.path);
	int code = check_meanings(plan, err);
	return code < 0 ? code : read_pair(plan, err);
}
