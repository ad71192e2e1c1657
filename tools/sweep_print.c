/* SPDX-License-Identifier: Apache-2.0 */
/* What a sweep says: its commands (--dry-run), and at the end a table of means over seeds with the least and the most.
 */
#include <stdio.h>
#include <string.h>

#include "tools/command.h"
#include "tools/json.h"
#include "tools/sweep_job.h"

/* A word as a shell takes it. */
static void print_word(const char *word)
{
	if (*word != '\0' &&
		word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,:+")] == '\0') {
		printf(" %s", word);
		return;
	}
	fputs(" '", stdout);
	for (; *word; word++) {
		if (*word == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*word);
	}
	putchar('\'');
}

/* Every command of one run, printed, or added to `list` as arrays of words. */
static int show_run(struct sweep *sweep, int cell, unsigned seed, cJSON *list, struct error *err)
{
	for (unsigned step = 0; err->code == 0; step++) {
		struct study words = {.path = ""};
		char **command = sweep_command(sweep, &words, cell, seed, step, err);
		cJSON *array = list && command ? cJSON_CreateArray() : NULL;
		if (command && !list)
			fputs("ringclr", stdout);
		for (unsigned i = 0; command && command[i]; i++) {
			if (list)
				cJSON_AddItemToArray(array, cJSON_CreateString(command[i]));
			else
				print_word(command[i]);
		}
		if (command && !list)
			putchar('\n');
		if (array)
			cJSON_AddItemToArray(list, array);
		study_free(&words);
		if (!command)
			break;
	}
	return err->code;
}

int sweep_print_dry(struct sweep *sweep)
{
	const struct sweep_plan *plan = &sweep->plan;
	struct error err = {0};
	cJSON *list = sweep->options.json ? cJSON_CreateArray() : NULL;
	for (unsigned i = 0; i < plan->prepared_count; i++)
		for (unsigned seed = 0; seed < plan->seed_count; seed++)
			show_run(sweep, -1 - (int)i, seed, list, &err);
	for (unsigned seed = 0; seed < plan->seed_count; seed++)
		for (unsigned i = 0; i < plan->cell_count; i++)
			if (plan->cells[i].mirror_of < 0)
				show_run(sweep, (int)i, seed, list, &err);
	unsigned runs = sweep_plan_run_count(plan), own = 0;
	for (unsigned i = 0; i < plan->cell_count; i++)
		own += plan->cells[i].mirror_of < 0;
	if (err.code < 0) {
		cJSON_Delete(list);
		return command_fail("sweep", &err);
	}
	if (!list) {
		printf("# %s, size %s: %u cells (%u are run), %u seed%s, %u runs", plan->study.name,
			sweep_plan_size_name(plan->size), plan->cell_count, own, plan->seed_count,
			plan->seed_count == 1 ? "" : "s", runs);
		if (plan->prepared_count > 0)
			printf(" and %u to start from", plan->prepared_count * plan->seed_count);
		putchar('\n');
		return EXIT_OK;
	}
	cJSON *object = sweep_plan_json(&sweep->plan, &err);
	cJSON_AddNumberToObject(object, "cells", plan->cell_count);
	cJSON_AddNumberToObject(object, "run_count", runs);
	cJSON_AddItemToObject(object, "commands", list);
	return json_print(object);
}

/* ---- the end ---- */

enum { TEXT_BYTES = 64 };

/* "41.2 (40.8 to 41.6)" */
static void summarize(
	const struct sweep *sweep, unsigned cell, const struct sweep_measure *measure, char text[TEXT_BYTES])
{
	double sum = 0, least = 0, most = 0;
	unsigned count = 0, failed = 0;
	for (unsigned seed = 0; seed < sweep->plan.seed_count; seed++) {
		const struct sweep_row *row = sweep_row_of(sweep, cell, seed);
		const cJSON *value = cJSON_GetObjectItemCaseSensitive(row->values, measure->name);
		failed += row->status == SWEEP_FAILED;
		if (!cJSON_IsNumber(value))
			continue;
		double number = value->valuedouble;
		least = count == 0 || number < least ? number : least;
		most = count == 0 || number > most ? number : most;
		sum += number;
		count++;
	}
	if (count == 0)
		snprintf(text, TEXT_BYTES, "%s", failed > 0 ? "failed" : "-");
	else if (count == 1)
		snprintf(text, TEXT_BYTES, "%.4g", sum);
	else
		snprintf(text, TEXT_BYTES, "%.4g (%.4g to %.4g)", sum / count, least, most);
}

static size_t widest(size_t width, const char *text)
{
	size_t bytes = strlen(text);
	return bytes > width ? bytes : width;
}

static void print_entry(const char *text, size_t width, bool last)
{
	if (last)
		puts(text);
	else
		printf("%-*s  ", (int)width, text);
}

static void print_table(const struct sweep *sweep)
{
	const struct sweep_plan *plan = &sweep->plan;
	size_t axis_width[SWEEP_AXES], width[SWEEP_MEASURES];
	char text[TEXT_BYTES];
	for (unsigned i = 0; i < plan->axis_count; i++) {
		axis_width[i] = strlen(plan->axes[i].name);
		for (unsigned j = 0; j < plan->axes[i].count; j++)
			axis_width[i] = widest(axis_width[i], plan->axes[i].values[j].name);
		printf("%-*s  ", (int)axis_width[i], plan->axes[i].name);
	}
	for (unsigned i = 0; i < plan->measure_count; i++) {
		width[i] = strlen(plan->measures[i].name);
		for (unsigned cell = 0; cell < plan->cell_count; cell++) {
			summarize(sweep, cell, &plan->measures[i], text);
			width[i] = widest(width[i], text);
		}
		print_entry(plan->measures[i].name, width[i], i + 1 == plan->measure_count);
	}
	for (unsigned cell = 0; cell < plan->cell_count; cell++) {
		if (plan->cells[cell].mirror_of >= 0)
			continue;
		for (unsigned i = 0; i < plan->axis_count; i++)
			printf("%-*s  ", (int)axis_width[i], plan->axes[i].values[plan->cells[cell].place[i]].name);
		for (unsigned i = 0; i < plan->measure_count; i++) {
			summarize(sweep, cell, &plan->measures[i], text);
			print_entry(text, width[i], i + 1 == plan->measure_count);
		}
	}
}

int sweep_print_result(struct sweep *sweep)
{
	const struct sweep_plan *plan = &sweep->plan;
	unsigned done = 0, failed = 0;
	for (unsigned i = 0; i < plan->cell_count * plan->seed_count; i++) {
		done += sweep->rows[i].status == SWEEP_DONE;
		failed += sweep->rows[i].status == SWEEP_FAILED;
	}
	int status = sweep->interrupted ? EXIT_INTERRUPTED : failed > 0 ? EXIT_FAILED : EXIT_OK;
	if (!sweep->options.json) {
		print_table(sweep);
		if (failed > 0)
			command_note("sweep",
				"%u of %u runs failed; rows.jsonl says why, and the same command tries them again",
				failed, sweep_plan_run_count(plan));
		return status;
	}
	cJSON *object = cJSON_CreateObject();
	cJSON_AddStringToObject(object, "study", plan->study.name);
	cJSON_AddStringToObject(object, "size", sweep_plan_size_name(plan->size));
	cJSON_AddStringToObject(object, "output", sweep->options.output);
	cJSON_AddNumberToObject(object, "runs", sweep_plan_run_count(plan));
	cJSON_AddNumberToObject(object, "done", done);
	cJSON_AddNumberToObject(object, "failed", failed);
	cJSON_AddBoolToObject(object, "interrupted", sweep->interrupted);
	cJSON_AddItemToObject(
		object, "report", *sweep->report ? cJSON_CreateString(sweep->report) : cJSON_CreateNull());
	int printed = json_print(object);
	return printed == EXIT_OK ? status : printed;
}
