/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A study as a file: lines of a name and a value in sections, some for one size alone. docs/STUDIES.md has the format;
 * what the lines come to for one size is sweep_plan.h's.
 */
#ifndef RINGCLR_TOOLS_STUDY_H
#define RINGCLR_TOOLS_STUDY_H

#include <stdbool.h>
#include <stddef.h>

#include "pipeline/error.h"

enum study_size { STUDY_TINY, STUDY_PAPER, STUDY_ANY_SIZE };

/* Line "name = value" below [section argument size]. */
struct study_line {
	const char *section, *argument; /* argument: of axis and prepare, else "" */
	enum study_size size;
	const char *name, *value;
	unsigned line; /* counted from 1 */
};

struct study_text;
struct study {
	const char *path, *name; /* name: the file's, without folder and ending */
	struct study_line *lines;
	size_t count, capacity;
	struct study_text *texts; /* what study_keep() keeps */
};

/* Reads the file and checks its sections, the names in those that have fixed ones, and that nothing is said twice.
 * ERROR_USAGE names file and line. study_free() is the caller's also after a failure. */
int study_read(struct study *study, const char *path, struct error *err);
void study_free(struct study *study);

/* What holds for a size: the line below [section argument size], else that below [section argument]. NULL: neither. */
const struct study_line *study_find(
	const struct study *study, const char *section, const char *argument, const char *name, enum study_size size);

/* The lines of a section that hold for a size, each name once, in the order of the file; *place starts at 0. NULL:
 * there are no more. */
const struct study_line *study_each(
	const struct study *study, size_t *place, const char *section, const char *argument, enum study_size size);

/* A copy of `bytes` of text that lives as long as the study. NULL with *err set when memory is out. */
const char *study_keep(struct study *study, const char *text, size_t bytes, struct error *err);
__attribute__((format(printf, 3, 4))) const char *study_print(
	struct study *study, struct error *err, const char *format, ...);

/* The next piece of a list whose pieces are separated by `separator` (a comma, a blank), without blanks around it:
 * kept. *rest moves behind it. NULL at the end (*err is not set) or when memory is out (it is). */
const char *study_piece(struct study *study, const char **rest, const char *separator, struct error *err);

#endif
