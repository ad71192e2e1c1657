/* SPDX-License-Identifier: Apache-2.0 */
/* What a graph's meters and rings say after a run: a row a stage, or a row for each kind of a stage's work. */
#ifndef RINGCLR_TOOLS_MEASURE_H
#define RINGCLR_TOOLS_MEASURE_H

#include <stdbool.h>

#include "pipeline/graph.h"

enum { MEASURE_ROWS = 16 };

struct measure_row {
	const char *name;
	size_t stage; /* its place in the graph; rows of one stage share their waits */
	const char *stage_name;
	unsigned threads;
	uint64_t items;
	double busy, upstream, downstream; /* shares of the threads' time; busy is this row's, not the stage's */
	double wall_s, cpu_s;		   /* working time and processor time of this work, over all threads */
	struct histogram times;		   /* of one item, nanoseconds */
};

struct measures {
	struct measure_row row[MEASURE_ROWS];
	size_t count;
};

/* Leaves out stages that do not work (`except`, by name; may be NULL). Not while the graph runs. */
void measure_graph(struct measures *measures, const struct graph *graph, const char *except);

/* The row that all the others wait for: the busiest stage's, and of its kinds of work the one that takes longest. */
const struct measure_row *measure_bottleneck(const struct measures *measures);

/* NULL: there is none of that name. */
const struct measure_row *measure_find(const struct measures *measures, const char *name);

#endif
