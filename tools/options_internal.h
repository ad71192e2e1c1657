/* SPDX-License-Identifier: Apache-2.0 */
/* What options.c, options_file.c, options_help.c and options_record.c share, and what makes manual pages and
 * completions. */
#ifndef RINGCLR_TOOLS_OPTIONS_INTERNAL_H
#define RINGCLR_TOOLS_OPTIONS_INTERNAL_H

#include <string.h>

#include "tools/help.h"
#include "tools/options.h"

/* The entry of that name (`bytes` of it), or NULL. Headings are never found. */
const struct option_spec *option_find(const struct option_table *table, const char *name, size_t bytes);

static inline void *option_value(const struct options *options, const struct option_spec *spec)
{
	return (char *)options->values + spec->offset;
}

/* Parses text into the option's field and notes its origin. A string is kept as the pointer it is: text must outlive
 * the options (options_keep()). source opens the message: "--jobs 300", "train.ini:3: jobs = 300". */
int option_set(struct options *options, const struct option_spec *spec, const char *text, enum option_origin origin,
	const char *source, struct error *err);

/* A copy that options_free() frees. NULL with *err set when memory is out. */
const char *options_keep(struct options *options, const char *text, struct error *err);

/* ERROR_USAGE: "<source>: no such option; did you mean ...?". dashes goes before the suggested name. */
int options_unknown(
	const struct option_table *table, const char *source, const char *name, const char *dashes, struct error *err);

/* Word number `index` of "keep|raw|webp"; *bytes is its length. NULL past the last. */
const char *option_choice(const char *choices, unsigned index, size_t *bytes);

/* True of a flag that is on unless --no-name is given. */
static inline bool option_is_on(const struct option_spec *spec)
{
	return spec->type == OPTION_TYPE_FLAG && spec->fallback != NULL && strcmp(spec->fallback, "yes") == 0;
}

/* --config and --help, which every command has. */
enum { OPTIONS_GENERAL = 2 };
extern const struct option_spec options_general[OPTIONS_GENERAL];

/* The parts of help that text and manual pages share: how to call it; what it does, its options or modes, and notes. */
void options_describe_usage(const struct help *help, const struct option_table *table);
void options_describe(const struct help *help, const struct option_table *table);

/* Reads an ini-style file of the options' own names. */
int options_read_file(struct options *options, const char *path, struct error *err);

/* The entry as this table has it: with its preset's default and text. */
struct option_spec option_with_preset(const struct option_table *table, const struct option_spec *spec);

#endif
