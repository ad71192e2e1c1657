/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of --config: "name = value" lines with the same names as the flags, '#' or ';' comments, and [sections] by
 * subcommand, so that one file can serve several: lines above the first section are for whichever command reads it,
 * lines below [train] for train alone.
 *
 * libinih takes the lines apart. It would cut lines over 200 bytes in two and take an indented line as more of the
 * value above it; the reader below refuses the first and unindents the second.
 */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "tools/command.h"
#include "tools/options_internal.h"

struct file_reader {
	struct options *options;
	const char *path;
	FILE *file;
	unsigned line;
	unsigned first_line[OPTIONS_MAX]; /* where each option was set, 0: not yet */
	struct error *err;
	int rc;
};

/* fgets for libinih: counts lines, refuses what does not fit, drops leading blanks. */
static char *read_line(char *text, int capacity, void *stream)
{
	struct file_reader *reader = stream;
	if (reader->rc < 0 || fgets(text, capacity, reader->file) == NULL)
		return NULL;
	reader->line++;
	size_t bytes = strlen(text);
	if (bytes + 1 == (size_t)capacity && text[bytes - 1] != '\n') {
		reader->rc = error_set(reader->err, ERROR_USAGE, "%s:%u: line is longer than %d bytes", reader->path,
			reader->line, capacity - 2);
		return NULL;
	}
	size_t blanks = strspn(text, " \t");
	memmove(text, text + blanks, bytes - blanks + 1);
	return text;
}

static int apply_line(struct file_reader *reader, const char *section, const char *name, const char *value)
{
	struct options *options = reader->options;
	char source[512];
	if (*section != '\0' && command_find(&command_root_table, section) == NULL)
		return error_set(reader->err, ERROR_USAGE, "%s:%u: [%s] is no subcommand of ringclr", reader->path,
			reader->line, section);
	/* The modes of one subcommand ("bench step") share its section. */
	const char *command = options->table->command;
	size_t word = strcspn(command, " ");
	if (*section != '\0' && (strlen(section) != word || strncmp(section, command, word) != 0))
		return 0;
	snprintf(source, sizeof(source), "%s:%u: %s = %s", reader->path, reader->line, name, value);
	const struct option_spec *spec = option_find(options->table, name, strlen(name));
	if (spec == NULL)
		return options_unknown(options->table, source, name, "", reader->err);
	unsigned *first = &reader->first_line[spec - options->table->spec];
	if (*first != 0)
		return error_set(reader->err, ERROR_USAGE, "%s: already set in line %u of this file", source, *first);
	*first = reader->line;
	const char *kept = options_keep(options, value, reader->err);
	if (kept == NULL)
		return ERROR_MEMORY;
	return option_set(options, spec, kept, OPTION_FROM_FILE, source, reader->err);
}

/* libinih's handler: non-zero is success. */
static int handle_line(void *user, const char *section, const char *name, const char *value)
{
	struct file_reader *reader = user;
	if (reader->rc == 0)
		reader->rc = apply_line(reader, section, name, value);
	return reader->rc == 0;
}

int options_read_file(struct options *options, const char *path, struct error *err)
{
	struct file_reader reader = {.options = options, .path = path, .err = err};
	reader.file = fopen(path, "r");
	if (reader.file == NULL)
		return error_set_errno(err, ERROR_IO, errno, "cannot open the file of --config %s", path);
	int line = ini_parse_stream(read_line, &reader, handle_line, &reader);
	bool failed = ferror(reader.file) != 0;
	fclose(reader.file);
	if (reader.rc < 0)
		return reader.rc;
	if (failed)
		return error_set(err, ERROR_IO, "cannot read the file of --config %s", path);
	if (line != 0)
		return error_set(err, ERROR_USAGE, "%s:%d: must be 'name = value', [section] or # comment", path, line);
	return 0;
}
