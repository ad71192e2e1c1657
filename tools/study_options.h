/* SPDX-License-Identifier: Apache-2.0 */
/* Options of `ringclr train` and `ringclr eval` as a study writes them: each checked against that command's table. */
#ifndef RINGCLR_TOOLS_STUDY_OPTIONS_H
#define RINGCLR_TOOLS_STUDY_OPTIONS_H

#include <cjson/cJSON.h>

#include "tools/options.h"
#include "tools/study.h"

struct study_option {
	const char *name, *value; /* without dashes; of a flag yes or no. Kept by the study */
};

struct study_options {
	struct study_option *list;
	size_t count, capacity;
};

/* Adds it, or changes the value that is there. */
int study_options_set(struct study_options *options, const char *name, const char *value, struct error *err);
int study_options_add(struct study_options *options, const struct study_options *more, struct error *err);
const char *study_options_get(const struct study_options *options, const char *name); /* NULL: not there */
void study_options_clear(struct study_options *options);

/* Takes "--name value --name=value --flag --no-flag" apart and adds it; quotes, single or double, keep blanks.
 * ERROR_USAGE, opened by `source` ("study.ini:7: [axis norm] none"), for what the table refuses, and for an option that
 * the sweep itself gives. */
int study_options_parse(struct study_options *options, struct study *study, const struct option_table *table,
	const char *text, const char *source, struct error *err);

/* Whether the table takes this value. One that has {placeholders} is looked at when they are filled in. */
int study_option_check(
	const struct option_table *table, const char *name, const char *value, const char *source, struct error *err);

/* All of one cell, whose placeholders are filled in; --views is read too. */
int study_options_check(
	const struct study_options *options, const struct option_table *table, const char *source, struct error *err);

/* Changes no result: need not be the same when a sweep goes on. */
bool study_option_incidental(const struct option_table *table, const char *name);

cJSON *study_options_json(const struct study_options *options);

#endif
