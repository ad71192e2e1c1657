/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that a cell is: `ringclr train`, then `ringclr eval` for each value that needs it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sweep_job.h"

/* A list of words that study_keep() keeps, as execv() wants it. */
struct word_list {
	struct study *words;
	char *list[256];
	unsigned count;
	struct error *err;
};

static void push(struct word_list *list, const char *word)
{
	if (!word)
		return;
	if (list->count + 1 == sizeof list->list / sizeof list->list[0])
		error_set(list->err, ERROR_USAGE, "a cell has too many options");
	else
		list->list[list->count++] = (char *)word; /* execv() changes nothing */
}

const char *sweep_run_name(struct sweep *sweep, struct study *words, int cell, unsigned seed, struct error *err)
{
	const struct sweep_plan *plan = &sweep->plan;
	return study_print(words, err, "%s,seed=%" PRIu64,
		cell >= 0 ? plan->cells[cell].name : plan->prepared[-1 - cell].name, plan->seeds[seed]);
}

static const char *run_path(struct sweep *sweep, struct study *words, int cell, unsigned seed, struct error *err)
{
	const char *name = sweep_run_name(sweep, words, cell, seed, err);
	return name ? study_print(words, err, "%s/runs/%s", sweep->options.output ? sweep->options.output : "DIR", name)
		    : NULL;
}

/* Where {name} of a run to prepare leads, for one seed. */
struct prepared_place {
	struct sweep *sweep;
	struct word_list *list;
	unsigned seed;
};

static const char *prepared_path(void *ctx, const char *name)
{
	const struct prepared_place *place = ctx;
	for (unsigned i = 0; i < place->sweep->plan.prepared_count; i++)
		if (strcmp(place->sweep->plan.prepared[i].name, name) == 0)
			return run_path(place->sweep, place->list->words, -1 - (int)i, place->seed, place->list->err);
	return NULL;
}

/* An option that only may be there ("--quiet") goes before, so that a study can say otherwise. */
static void push_options(struct word_list *list, struct sweep *sweep, const struct sweep_cell *cell,
	const struct study_options *options, unsigned seed)
{
	struct prepared_place place = {sweep, list, seed};
	for (size_t i = 0; i < options->count; i++) {
		const char *value = sweep_plan_fill(&sweep->plan, list->words, options->list[i].value, cell,
			prepared_path, &place, options->list[i].name, list->err);
		if (value)
			push(list, study_print(list->words, list->err, "--%s=%s", options->list[i].name, value));
	}
}

const struct sweep_measure *sweep_step_measure(const struct sweep_plan *plan, unsigned step)
{
	for (unsigned i = 0; i < plan->measure_count; i++)
		if (plan->measures[i].eval && --step == 0)
			return &plan->measures[i];
	return NULL;
}

char **sweep_command(
	struct sweep *sweep, struct study *words, int cell, unsigned seed, unsigned step, struct error *err)
{
	static struct word_list list;
	list = (struct word_list){.words = words, .err = err};
	const struct sweep_measure *measure = step > 0 ? sweep_step_measure(&sweep->plan, step) : NULL;
	if (step > 0 && (!measure || cell < 0))
		return NULL;
	const char *train = sweep->options.train ? sweep->options.train : "TRAIN.ring",
		   *test = sweep->options.test ? sweep->options.test : "TEST.ring";
	const char *run = run_path(sweep, words, cell, seed, err);
	push(&list, measure ? "eval" : "train");
	push(&list, measure ? run : train);
	if (measure) {
		push(&list, study_print(words, err, "--train=%s", train));
		push(&list, "--json");
	} else {
		push(&list, study_print(words, err, "--output=%s", run ? run : ""));
		push(&list, study_print(words, err, "--seed=%" PRIu64, sweep->plan.seeds[seed]));
		push(&list, "--resume");
		push(&list, "--quiet");
	}
	if (cell >= 0)
		push(&list, study_print(words, err, "--test=%s", test));
	push_options(&list, sweep, cell >= 0 ? &sweep->plan.cells[cell] : NULL,
		measure	    ? &measure->options
		: cell >= 0 ? &sweep->plan.cells[cell].options
			    : &sweep->plan.prepared[-1 - cell].options,
		seed);
	list.list[list.count] = NULL;
	return err->code < 0 ? NULL : list.list;
}
