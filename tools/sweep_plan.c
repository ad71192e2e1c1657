/* SPDX-License-Identifier: Apache-2.0 */
/* From a study's lines to a plan: options of [base], runs to prepare, what is measured, seeds; the rest in
 * sweep_axes.c, sweep_cells.c and sweep_figure.c. */
#include "tools/sweep_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"

const char *sweep_plan_size_name(enum study_size size)
{
	return size == STUDY_TINY ? "tiny" : "paper";
}

int sweep_plan_check_name(const struct sweep_plan *plan, const struct study_line *line, const char *what,
	const char *name, struct error *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	if (*name != '\0' && name[strspn(name, letters)] == '\0')
		return 0;
	return error_set(err, ERROR_USAGE, "%s:%u: %s is called by letters, digits, - and _, not '%s'",
		plan->study.path, line->line, what, name);
}

unsigned sweep_plan_run_count(const struct sweep_plan *plan)
{
	unsigned count = 0;
	for (unsigned i = 0; i < plan->cell_count; i++)
		count += plan->cells[i].mirror_of < 0;
	return count * plan->seed_count;
}

/* Lines "option = value" of a section, added to `options`. */
static int read_options(struct sweep_plan *plan, const char *section, const char *argument,
	struct study_options *options, struct error *err)
{
	const struct study_line *line;
	size_t place = 0;
	while ((line = study_each(&plan->study, &place, section, argument, plan->size)) != NULL) {
		char source[512];
		snprintf(source, sizeof source, "%s:%u: [%s]", plan->study.path, line->line, section);
		int code = study_option_check(plan->train, line->name, line->value, source, err);
		if (code == 0)
			code = study_options_set(options, line->name, line->value, err);
		if (code < 0)
			return code;
	}
	return 0;
}

static int read_prepared(struct sweep_plan *plan, const struct study_options *base, struct error *err)
{
	struct study *study = &plan->study;
	for (size_t i = 0; i < study->count; i++) {
		const struct study_line *line = &study->lines[i];
		bool known = strcmp(line->section, "prepare") != 0;
		for (unsigned j = 0; j < plan->prepared_count && !known; j++)
			known = strcmp(plan->prepared[j].name, line->argument) == 0;
		if (known)
			continue;
		if (plan->prepared_count == SWEEP_PREPARED)
			return error_set(err, ERROR_USAGE, "%s:%u: more than %d runs to prepare", study->path,
				line->line, (int)SWEEP_PREPARED);
		if (sweep_plan_check_name(plan, line, "a run to prepare", line->argument, err) < 0)
			return err->code;
		struct sweep_prepared *prepared = &plan->prepared[plan->prepared_count++];
		prepared->name = line->argument;
		char source[512];
		snprintf(source, sizeof source, "%s: [prepare %s]", study->path, prepared->name);
		int code = study_options_add(&prepared->options, base, err);
		if (code == 0)
			code = read_options(plan, "prepare", prepared->name, &prepared->options, err);
		if (code == 0)
			code = study_options_check(&prepared->options, plan->train, source, err);
		if (code < 0)
			return code;
	}
	return 0;
}

/* "metrics.top1 | metrics.linear", "eval.top5 --method knn", or nothing: metrics.<the line's name>. */
static int read_measure(struct sweep_plan *plan, const struct study_line *line, struct error *err)
{
	struct study *study = &plan->study;
	if (sweep_plan_check_name(plan, line, "a value", line->name, err) < 0)
		return err->code;
	if (plan->measure_count == SWEEP_MEASURES)
		return error_set(
			err, ERROR_USAGE, "%s:%u: more than %d values", study->path, line->line, (int)SWEEP_MEASURES);
	struct sweep_measure *measure = &plan->measures[plan->measure_count++];
	const struct study_line *label = study_find(study, "labels", "", line->name, plan->size);
	*measure = (struct sweep_measure){
		.name = line->name, .label = label ? label->value : line->name, .fields = line->name};
	char source[512];
	snprintf(source, sizeof source, "%s:%u: [evaluate] %s", study->path, line->line, line->name);
	size_t word = strcspn(line->value, " ");
	if (word >= 4 && strncmp(line->value, "eval", 4) == 0 && (word == 4 || line->value[4] == '.')) {
		measure->eval = true;
		measure->fields = word > 5 ? study_keep(study, line->value + 5, word - 5, err) : "accuracy";
		return study_options_parse(&measure->options, study, plan->eval, line->value + word, source, err);
	}
	const char *rest = line->value, *piece, *fields = NULL;
	while ((piece = study_piece(study, &rest, "|", err)) != NULL) {
		if (strncmp(piece, "metrics.", 8) != 0 || piece[8] == '\0' || strchr(piece, ' '))
			return error_set(err, ERROR_USAGE,
				"%s: '%s' is neither 'eval OPTIONS' nor fields of metrics.jsonl, as in 'metrics.top1 | "
				"metrics.linear'",
				source, piece);
		fields = fields ? study_print(study, err, "%s %s", fields, piece + 8) : piece + 8;
	}
	if (fields)
		measure->fields = fields;
	return err->code < 0 ? err->code : 0;
}

static int read_measures(struct sweep_plan *plan, struct error *err)
{
	static const struct study_line fallback[] = {{.name = "linear", .value = ""}, {.name = "knn", .value = ""}};
	const struct study_line *line;
	size_t place = 0;
	int code = 0;
	while (code == 0 && (line = study_each(&plan->study, &place, "evaluate", "", plan->size)) != NULL)
		code = read_measure(plan, line, err);
	bool none = plan->measure_count == 0;
	for (unsigned i = 0; i < 2 && code == 0 && none; i++)
		code = read_measure(plan, &fallback[i], err);
	return code;
}

/* Every {NAME} in the options can be filled in, for that cell or for none; where: what they are of. */
static int check_places(struct sweep_plan *plan, const struct study_options *options, const struct sweep_cell *cell,
	const char *where, const char *name, struct error *err)
{
	char source[512];
	for (size_t i = 0; i < options->count; i++) {
		snprintf(source, sizeof source, "%s: --%s of %s %s", plan->study.path, options->list[i].name, where,
			name);
		if (!sweep_plan_fill(plan, &plan->study, options->list[i].value, cell, NULL, NULL, source, err))
			return err->code;
	}
	return 0;
}

/* Runs to prepare are of no cell; what is measured is of one, whichever. */
static int check_all_places(struct sweep_plan *plan, struct error *err)
{
	int code = 0;
	for (unsigned i = 0; i < plan->prepared_count && code == 0; i++)
		code = check_places(plan, &plan->prepared[i].options, NULL, "[prepare]", plan->prepared[i].name, err);
	for (unsigned i = 0; i < plan->measure_count && code == 0; i++)
		code = check_places(
			plan, &plan->measures[i].options, &plan->cells[0], "[evaluate]", plan->measures[i].name, err);
	return code;
}

static int read_seeds(struct sweep_plan *plan, const char *given, struct error *err)
{
	struct study *study = &plan->study;
	const struct study_line *line = study_find(study, "study", "", "seeds", plan->size);
	char source[300];
	if (given || !line)
		snprintf(source, sizeof source, "--seeds %.200s", given ? given : "1");
	else
		snprintf(source, sizeof source, "%s:%u: seeds = %.100s", study->path, line->line, line->value);
	const char *rest = given ? given : line ? line->value : "1", *piece;
	while ((piece = study_piece(study, &rest, ",", err)) != NULL) {
		char *end;
		errno = 0;
		uint64_t seed = strtoull(piece, &end, 10);
		if (*piece < '0' || *piece > '9' || *end != '\0' || errno != 0 || seed > UINT64_C(1) << 53)
			return error_set(err, ERROR_USAGE, "%s: '%s' is no seed; list whole numbers, as in 1,2,3",
				source, piece);
		for (unsigned i = 0; i < plan->seed_count; i++)
			if (plan->seeds[i] == seed)
				return error_set(err, ERROR_USAGE, "%s: a seed stands there twice", source);
		if (plan->seed_count == SWEEP_SEEDS)
			return error_set(err, ERROR_USAGE, "%s: more than %d seeds", source, (int)SWEEP_SEEDS);
		plan->seeds[plan->seed_count++] = seed;
	}
	if (err->code == 0 && plan->seed_count == 0)
		return error_set(err, ERROR_USAGE, "%s: lists no seed", source);
	return err->code;
}

/* --set must not be overridden in silence. */
static int check_set(const struct sweep_plan *plan, const struct study_options *set, struct error *err)
{
	for (size_t i = 0; i < set->count; i++) {
		const char *name = set->list[i].name;
		for (unsigned j = 0; j < plan->prepared_count; j++)
			if (study_find(&plan->study, "prepare", plan->prepared[j].name, name, plan->size))
				return error_set(err, ERROR_USAGE,
					"--set %s: [prepare %s] sets it; change it in a copy of the study", name,
					plan->prepared[j].name);
		for (unsigned j = 0; j < plan->axis_count; j++)
			for (unsigned k = 0; k < plan->axes[j].count; k++)
				if (study_options_get(&plan->axes[j].values[k].options, name))
					return error_set(err, ERROR_USAGE,
						"--set %s: the axis %s sets it; change it in a copy of the study", name,
						plan->axes[j].name);
	}
	return 0;
}

/* "name=value name=value" as options. */
static int read_set(struct sweep_plan *plan, const char *text, struct study_options *set, struct error *err)
{
	struct study *study = &plan->study;
	const char *dashed = "";
	while (*text != '\0' && dashed) {
		text += strspn(text, " ");
		size_t bytes = 0;
		for (char quote = '\0'; text[bytes] != '\0' && (quote != '\0' || text[bytes] != ' '); bytes++) {
			if (quote != '\0' && text[bytes] == quote)
				quote = '\0';
			else if (quote == '\0' && (text[bytes] == '"' || text[bytes] == '\''))
				quote = text[bytes];
		}
		if (bytes > 0 && !memchr(text, '=', bytes))
			return error_set(err, ERROR_USAGE, "--set %.*s: must be name=value", (int)bytes, text);
		if (bytes > 0)
			dashed = study_print(study, err, "%s --%.*s", dashed, (int)bytes, text);
		text += bytes;
	}
	return dashed ? study_options_parse(set, study, plan->train, dashed, "--set", err) : err->code;
}

static int make(struct sweep_plan *plan, struct study_options *base, struct study_options *set, const char *set_text,
	const char *seeds, struct error *err)
{
	const struct study_line *title = study_find(&plan->study, "study", "", "title", plan->size);
	plan->title = title ? title->value : plan->study.name;
	int code = read_options(plan, "base", "", base, err);
	if (code == 0 && set_text)
		code = read_set(plan, set_text, set, err);
	if (code == 0)
		code = study_options_add(base, set, err);
	if (code == 0)
		code = read_prepared(plan, base, err);
	if (code == 0)
		code = sweep_plan_axes(plan, err);
	if (code == 0)
		code = check_set(plan, set, err);
	if (code == 0)
		code = sweep_plan_cells(plan, base, err);
	if (code == 0)
		code = read_measures(plan, err);
	if (code == 0)
		code = check_all_places(plan, err);
	if (code == 0)
		code = read_seeds(plan, seeds, err);
	return code < 0 ? code : sweep_plan_figure(plan, err);
}

int sweep_plan_make(struct sweep_plan *plan, const char *path, enum study_size size, const char *set, const char *seeds,
	struct error *err)
{
	*plan = (struct sweep_plan){
		.size = size, .train = &command_train_table, .eval = &command_eval_table, .pair = {-1, -1}};
	struct study_options base = {0}, given = {0};
	int code = study_read(&plan->study, path, err);
	if (code == 0)
		code = make(plan, &base, &given, set, seeds, err);
	study_options_clear(&base);
	study_options_clear(&given);
	return code;
}

void sweep_plan_free(struct sweep_plan *plan)
{
	for (unsigned i = 0; i < plan->axis_count; i++)
		for (unsigned j = 0; j < plan->axes[i].count; j++)
			study_options_clear(&plan->axes[i].values[j].options);
	for (unsigned i = 0; i < plan->cell_count; i++)
		study_options_clear(&plan->cells[i].options);
	for (unsigned i = 0; i < plan->measure_count; i++)
		study_options_clear(&plan->measures[i].options);
	for (unsigned i = 0; i < plan->prepared_count; i++)
		study_options_clear(&plan->prepared[i].options);
	free(plan->cells);
	study_free(&plan->study);
}
