/* SPDX-License-Identifier: Apache-2.0 */
/* A trace of training as a file for Perfetto (ui.perfetto.dev) and chrome://tracing, and as a table. */
#ifndef RINGCLR_TOOLS_TRACE_FILE_H
#define RINGCLR_TOOLS_TRACE_FILE_H

#include <stdio.h>

#include "pipeline/trace.h"

/* Writes Chrome's trace event format: a track a thread, the threads in order of their names' places in the pipeline.
 * The trace must be sorted. */
int trace_file_write(const struct trace *trace, const char *path, struct error *err);

/* Where the steps' time went: shares of the compute thread's time by category, and how much of the optimizer's time lay
 * within the backward pass of the same step. The trace must be sorted. */
void trace_file_table(const struct trace *trace, FILE *out);

#endif
