/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a study comes to for one size: axes with the meaning of their values, the cells of the grid with the options of
 * each, what is measured, the figure. Nothing of it depends on where it runs.
 */
#ifndef RINGCLR_TOOLS_SWEEP_PLAN_H
#define RINGCLR_TOOLS_SWEEP_PLAN_H

#include <stdint.h>

#include "tools/study_options.h"

enum {
	SWEEP_AXES = 6,
	SWEEP_VALUES = 64,
	SWEEP_MEASURES = 32,
	SWEEP_SEEDS = 64,
	SWEEP_PREPARED = 8,
	SWEEP_CELLS = 4096
};

struct sweep_value {
	const char *name, *text; /* text: what {axis} stands for */
	struct study_options options;
};

struct sweep_axis {
	const char *name, *label;
	unsigned count;
	struct sweep_value values[SWEEP_VALUES];
};

struct sweep_cell {
	unsigned place[SWEEP_AXES]; /* of its value on each axis */
	int mirror_of;		    /* the cell that it is the mirror of, and that is run; -1: is run itself */
	const char *name;	    /* "temperature=0.1,norm=l2": of its folder, with the seed */
	struct study_options options;
};

struct sweep_measure {
	const char *name, *label;
	bool eval;	    /* by `ringclr eval`, with these options; else the last line of metrics.jsonl */
	const char *fields; /* "top1 linear": the first that is there */
	struct study_options options;
};

/* A run of its own that cells start from, by {name}: one a seed. */
struct sweep_prepared {
	const char *name;
	struct study_options options;
};

struct sweep_figure {
	const char *kind, *x, *y, *series, *value, *x_label, *value_label; /* y and series may be NULL */
	bool log_x;
};

struct sweep_plan {
	struct study study;
	enum study_size size;
	const char *title;
	const struct option_table *train, *eval;
	unsigned axis_count, measure_count, seed_count, prepared_count;
	struct sweep_axis axes[SWEEP_AXES];
	int pair[2]; /* axes whose pairs have no order; -1: none */
	struct sweep_cell *cells;
	unsigned cell_count;
	struct sweep_measure measures[SWEEP_MEASURES];
	struct sweep_prepared prepared[SWEEP_PREPARED];
	uint64_t seeds[SWEEP_SEEDS];
	struct sweep_figure figure;
};

/* Reads the study at path. `set` (options, may be NULL) override those of [base]; `seeds` ("1,2", may be NULL) the
 * study's. Every option is checked against the tables of train and eval. sweep_plan_free() is the caller's also after a
 * failure; the plan is large: not for the stack. */
int sweep_plan_make(struct sweep_plan *plan, const char *path, enum study_size size, const char *set, const char *seeds,
	struct error *err);
void sweep_plan_free(struct sweep_plan *plan);

/* The parts, in the order in which sweep_plan_make() asks for them. */
int sweep_plan_axes(struct sweep_plan *plan, struct error *err); /* sweep_axes.c */
int sweep_plan_cells(struct sweep_plan *plan, const struct study_options *base, struct error *err);
int sweep_plan_figure(struct sweep_plan *plan, struct error *err); /* sweep_figure.c */

int sweep_plan_axis(const struct sweep_plan *plan, const char *name); /* its place; -1: none */
/* ERROR_USAGE when name, from that line, is none for "an axis" or what else it is of: it becomes a part of paths. */
int sweep_plan_check_name(const struct sweep_plan *plan, const struct study_line *line, const char *what,
	const char *name, struct error *err);
int sweep_plan_value(const struct sweep_axis *axis, const char *name);
const char *sweep_plan_size_name(enum study_size size);	      /* "tiny" */
unsigned sweep_plan_run_count(const struct sweep_plan *plan); /* of cells that are no mirrors, with every seed */

/* Places {name} in text are filled in: by values of the cell (NULL: none), or by `prepared`, which tells a name's text
 * or NULL (then the place stays as it is, if it names a run to prepare). Kept by `study`. NULL with *err set. */
const char *sweep_plan_fill(struct sweep_plan *plan, struct study *study, const char *text,
	const struct sweep_cell *cell, const char *(*prepared)(void *ctx, const char *name), void *ctx,
	const char *source, struct error *err);

/* {"temperature": "0.1", "norm": "l2"} */
cJSON *sweep_plan_cell_json(const struct sweep_plan *plan, const struct sweep_cell *cell);

/* study.json, but for what the sweep adds of its data. */
cJSON *sweep_plan_json(struct sweep_plan *plan, struct error *err);

#endif
