/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of `ringclr sweep` share: its options and everything that one sweep holds.
 *
 *   sweep.c         the option table; from the study to the end
 *   study.c, study_options.c, sweep_plan.c, sweep_axes.c, sweep_cells.c, sweep_figure.c   from the file to the plan
 *   sweep_folder.c  the folder: lock, study.json, what must not change when a sweep goes on
 *   sweep_rows.c    rows.jsonl and rows.csv
 *   sweep_run.c     runs the cells, as child processes (sweep_child.c)
 *   sweep_collect.c what a finished run measured
 *   sweep_print.c   --dry-run, the table at the end, --json
 */
#ifndef RINGCLR_TOOLS_SWEEP_JOB_H
#define RINGCLR_TOOLS_SWEEP_JOB_H

#include "tools/sweep_plan.h"

enum sweep_keep { SWEEP_KEEP_ALL, SWEEP_KEEP_ENCODER, SWEEP_KEEP_NONE };

struct sweep_options {
	const char *train, *test, *output, *seeds, *set;
	uint64_t jobs;
	unsigned size, keep; /* enum study_size, enum sweep_keep */
	bool dry_run, json, quiet;
};

enum sweep_status { SWEEP_OPEN, SWEEP_DONE, SWEEP_FAILED };

struct sweep_row {
	enum sweep_status status;
	cJSON *values; /* {"linear": 41.2, ...} */
	char *message; /* of one that failed; malloc'd */
	double seconds;
};

struct sweep {
	struct sweep_options options;
	struct options parsed;
	struct sweep_plan plan;
	struct sweep_row *rows; /* [cell][seed]; of mirrors: not used */
	int lock_fd, rows_fd;	/* -1: not open */
	char report[4096];	/* path of report.html; "": none was written */
	bool interrupted;
};

static inline struct sweep_row *sweep_row_of(const struct sweep *sweep, unsigned cell, unsigned seed)
{
	return &sweep->rows[cell * sweep->plan.seed_count + seed];
}

enum { SWEEP_PATH_BYTES = 4096 };
/* DIR/name. ERROR_USAGE when that is too long. */
int sweep_path(const struct sweep *sweep, char path[SWEEP_PATH_BYTES], const char *name, struct error *err);

/* Makes DIR, or finds that it holds this sweep as far as it came: ERROR_MISMATCH names what has changed. Writes
 * study.json. */
int sweep_folder_open(struct sweep *sweep, struct error *err);
/* Compares study.json as it was (`then`) with that of now; pure, for tests. */
int sweep_folder_compare(const struct sweep_plan *plan, const cJSON *then, const cJSON *now, struct error *err);

/* Takes over the rows of cells that are done, and rewrites rows.jsonl with them alone. */
int sweep_rows_open(struct sweep *sweep, struct error *err);
/* Appends the row, and that of the cell's mirror, in one write, and syncs. */
int sweep_rows_append(struct sweep *sweep, unsigned cell, unsigned seed, struct error *err);
/* Both files anew, in the plan's order. */
int sweep_rows_finish(struct sweep *sweep, struct error *err);
void sweep_rows_close(struct sweep *sweep);

/* Runs what has no row yet. Failures of cells are rows; the result is of the sweep's own. */
int sweep_run(struct sweep *sweep, struct error *err);

/* The words of the command that step `step` of a cell's run is: training first, then each evaluation that needs a
 * command. NULL-terminated, kept by `words`; NULL at the end of the steps, or with *err set. cell < 0: prepared run
 * number -1 - cell. */
char **sweep_command(
	struct sweep *sweep, struct study *words, int cell, unsigned seed, unsigned step, struct error *err);
/* "temperature=0.1,seed=1", or "pretrain,seed=1". */
const char *sweep_run_name(struct sweep *sweep, struct study *words, int cell, unsigned seed, struct error *err);
/* What step `step` > 0 of a run wrote, eval-<value>.json. */
const struct sweep_measure *sweep_step_measure(const struct sweep_plan *plan, unsigned step);

/* Reads what the run in folder `run` measured into row->values. */
int sweep_collect(struct sweep *sweep, const char *run, struct sweep_row *row, struct error *err);
/* --keep: makes the checkpoint small, or removes it. */
int sweep_shrink(const struct sweep *sweep, const char *run, struct error *err);

int sweep_print_dry(struct sweep *sweep);
int sweep_print_result(struct sweep *sweep);

#endif
