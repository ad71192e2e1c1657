/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of --config: "name = value" lines with the same names as the flags, '#' or ';' comments, and [sections] by
 * subcommand, so that one file can serve several: lines above the first section are for whichever command reads it,
 * lines below [train] for train alone.
 */
#include <stdio.h>
#include <string.h>

#include "tools/command.h"
#include "tools/ini_file.h"
#include "tools/options_internal.h"

struct config_reader {
	struct options *options;
	const char *path;
	unsigned first_line[OPTIONS_MAX]; /* where each option was set, 0: not yet */
};

static int apply_line(
	void *ctx, unsigned line, const char *section, const char *name, const char *value, struct error *err)
{
	struct config_reader *reader = ctx;
	struct options *options = reader->options;
	char source[512];
	if (*section != '\0' && command_find(&command_root_table, section) == NULL)
		return error_set(
			err, ERROR_USAGE, "%s:%u: [%s] is no subcommand of ringclr", reader->path, line, section);
	/* The modes of one subcommand ("bench step") share its section. */
	const char *command = options->table->command;
	size_t word = strcspn(command, " ");
	if (*section != '\0' && (strlen(section) != word || strncmp(section, command, word) != 0))
		return 0;
	snprintf(source, sizeof(source), "%s:%u: %s = %s", reader->path, line, name, value);
	const struct option_spec *spec = option_find(options->table, name, strlen(name));
	if (spec == NULL)
		return options_unknown(options->table, source, name, "", err);
	unsigned *first = &reader->first_line[spec - options->table->spec];
	if (*first != 0)
		return error_set(err, ERROR_USAGE, "%s: already set in line %u of this file", source, *first);
	*first = line;
	const char *kept = options_keep(options, value, err);
	if (kept == NULL)
		return ERROR_MEMORY;
	return option_set(options, spec, kept, OPTION_FROM_FILE, source, err);
}

int options_read_file(struct options *options, const char *path, struct error *err)
{
	struct config_reader reader = {.options = options, .path = path};
	const struct ini_handler handler = {.line = apply_line, .ctx = &reader};
	return ini_file_read(path, "the file of --config ", &handler, err);
}
