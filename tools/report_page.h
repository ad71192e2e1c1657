/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of `ringclr report` share.
 *
 *   report_command.c   the option table; runs or a sweep?
 *   report_read.c      run.json, metrics.jsonl and the like
 *   report_runs.c      the page of one run or several: curves, final values, options that differ
 *   report_features.c  what a run's encoder makes of its data: neighbours, map, confusion
 *   report_pictures.c  sample views, nearest neighbours: pictures inside the page
 *   report_study.c     the page of a sweep
 *   report_figure.c    its figure: heat map, lines or bars
 *   report_grid.c      its results, by axis
 */
#ifndef RINGCLR_TOOLS_REPORT_PAGE_H
#define RINGCLR_TOOLS_REPORT_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "pipeline/error.h"
#include "tools/runtime.h"

/* Curves that can be told apart in one chart. */
enum { REPORT_RUNS_MOST = 8 };

struct report_options {
	const char *output, *title, *data, *test;
	uint64_t samples, queries, map_images, bank_images, test_images, seed;
	double perplexity;
	bool pictures, json, quiet;
	struct runtime_options runtime;
};

/* Writes options->output. count: at most REPORT_RUNS_MOST. */
int report_runs_write(
	const struct report_options *options, const char *const *folders, unsigned count, struct error *err);

/* Writes the page of a sweep's folder (study.json, rows.jsonl) to output. title NULL: the study's. */
int report_study_write(const char *folder, const char *output, const char *title, struct error *err);

#endif
