/* SPDX-License-Identifier: Apache-2.0 */
/* A line on the terminal that says how far long work is: "copying: 1200 of 60000, 8000/s, 31 MB/s, 7 s left". */
#ifndef RINGCLR_TOOLS_PROGRESS_H
#define RINGCLR_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *verb;
	uint64_t total, started_ns, drawn_ns;
	bool show; /* stderr is a terminal */
};

void progress_start(struct progress *progress, const char *verb, uint64_t total);
void progress_draw(struct progress *progress, uint64_t done, uint64_t bytes); /* at most five times a second */
double progress_end(struct progress *progress); /* removes the line; returns the seconds since the start */

#endif
