/* SPDX-License-Identifier: Apache-2.0 */
/* Which records of the inputs a command takes. Only the indexes are looked at. */
#ifndef RINGCLR_TOOLS_RECORD_FILTER_H
#define RINGCLR_TOOLS_RECORD_FILTER_H

#include "tools/input_sets.h"
#include "tools/options.h"

/* Part of a command's struct, all zero at first: what is NULL or 0 filters nothing, and not every command sets all. */
struct record_filter {
	const char *classes, *not_classes; /* globs with commas between them; "-": records without a class */
	const char *key, *match;	   /* glob, regular expression */
	const char *list;		   /* file of keys */
	uint64_t min_side, max_side, limit, limit_per_class;
};

/* The options that all commands with a filter have. */
#define RECORD_FILTER_OPTIONS(S, field)                                                                                \
	OPTION_STRING(S, field.classes, "class", "NAMES", NULL,                                                        \
		"take only these classes: names or patterns as of a shell, with commas between them; - stands for no " \
		"class"),                                                                                              \
		OPTION_STRING(S, field.key, "key", "GLOB", NULL,                                                       \
			"take only records whose key fits this pattern, in which * also stands for /"),                \
		OPTION_STRING(S, field.list, "list", "FILE", NULL,                                                     \
			"take only records whose keys this file has, one a line; each must be there"),                 \
		OPTION_U64(S, field.limit, "limit", "N", "0", 0, UINT64_MAX, "take only the first N of these; 0: all")

struct record_selection {
	uint64_t count;	    /* that are taken */
	uint64_t records;   /* of all inputs */
	unsigned char *set; /* a bit a record */
};

/* ERROR_MISMATCH where a class, pattern or key of the filter fits nothing at all. So is a selection of nothing. */
int record_filter_select(const struct record_filter *filter, const struct input_sets *sets,
	struct record_selection *selection, struct error *err);
void record_selection_free(struct record_selection *selection);

/* The first selected record at or behind `record`; the number of all records if there is none. */
uint64_t record_selection_next(const struct record_selection *selection, uint64_t record);

/* Calls `each` for the selected records in order, with their bytes, and draws a line of progress ("extracting"). A
 * result other than 0 ends it, and so does Ctrl-C; `seconds` gets the time it took. */
typedef int (*record_selection_call)(
	void *ctx, uint64_t number, const struct shard_record_in *record, struct error *err);
int record_selection_walk(const struct record_selection *selection, const struct input_sets *sets, const char *verb,
	record_selection_call each, void *ctx, double *seconds, struct error *err);

#endif
