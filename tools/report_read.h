/* SPDX-License-Identifier: Apache-2.0 */
/* What `ringclr report` reads: the folders of runs, and files of one JSON object a line. */
#ifndef RINGCLR_TOOLS_REPORT_READ_H
#define RINGCLR_TOOLS_REPORT_READ_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "pipeline/error.h"

struct report_run {
	const char *folder; /* as given */
	char name[256];	    /* the folder's last part, or more of it where others are called the same */
	cJSON *record;	    /* run.json */
	cJSON *metrics;	    /* array of metrics.jsonl's lines, at least one */
	cJSON *timings;	    /* array, maybe empty */
};

/* ERROR_FORMAT naming file, line and what to do when something is no run, empty or cut short. report_run_free() is the
 * caller's in any case. */
int report_run_read(struct report_run *run, const char *folder, struct error *err);
void report_run_free(struct report_run *run);

/* Names them all by as few of the folder's last parts as tell them apart. */
void report_name_runs(struct report_run *runs, unsigned count);

/* An array of the objects in folder/name, or NULL. missing_ok: an empty array where there is no such file. */
cJSON *report_read_lines(const char *folder, const char *name, bool missing_ok, struct error *err);
/* The object that folder/name holds, or NULL. */
cJSON *report_read_object(const char *folder, const char *name, struct error *err);
bool report_has_file(const char *folder, const char *name);

/* The number of that name, or NAN. */
double report_number(const cJSON *object, const char *name);
/* The text of that name, or fallback. */
const char *report_text(const cJSON *object, const char *name, const char *fallback);
/* options.<name>.value of a run's record, or NULL. */
const cJSON *report_option(const cJSON *record, const char *name);
/* An item as a reader would write it: text without quotes, numbers short. Returns text. */
const char *report_item_text(const cJSON *item, char *text, size_t capacity);

#endif
