/* SPDX-License-Identifier: Apache-2.0 */
/* All that `ringclr profile` found out, and the ways to show it. */
#ifndef RINGCLR_TOOLS_PROFILE_RESULT_H
#define RINGCLR_TOOLS_PROFILE_RESULT_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "tools/profile_predict.h"

struct profile_result {
	struct profile_run run;
	struct profile_predictions predictions;
	struct slow_list slow;
	const struct shard_set *set;
	const struct measure_row *bottleneck;
	const char *order, *order_reason; /* reason NULL: it was asked for */
	double cached;			  /* share of the shards in the page cache before the run; -1: unknown */
	double overhead;		  /* measuring's share of the processor time of the run */
	double target;			  /* images/s wanted; 0: not asked */
	uint64_t rss_bytes;		  /* most memory that the process had */
	char tuned[512];		  /* what --autotune chose and why; "": not asked */
};

/* A fraction over 0: the loader could do so much more than the target; under 0: it lacks so much. */
double profile_headroom(const struct profile_result *result);

/* The result in words, for people: a few sentences, each ending in a newline. */
void profile_verdict(const struct profile_result *result, FILE *out);

void profile_print(const struct profile_result *result);
cJSON *profile_json(const struct profile_result *from); /* the caller owns it; NULL: out of memory */

/* One self-contained HTML file. options: of the command, as options_record() gives them. */
int profile_report(const struct profile_result *result, const cJSON *options, const char *path, struct error *err);

#endif
