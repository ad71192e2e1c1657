/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libinih takes the lines apart. It would cut lines over 200 bytes in two and take an indented line as more of the
 * value above it; the reader below refuses the first and unindents the second.
 */
#include "tools/ini_file.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct ini_reader {
	const char *path;
	FILE *file;
	unsigned line;
	const struct ini_handler *handler;
	struct error *err;
	int rc;
};

/* fgets for libinih: counts lines, refuses what does not fit, drops leading blanks. */
static char *read_line(char *text, int capacity, void *stream)
{
	struct ini_reader *reader = stream;
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

/* libinih's handler: non-zero is success. */
static int handle_line(void *user, const char *section, const char *name, const char *value)
{
	struct ini_reader *reader = user;
	if (reader->rc == 0)
		reader->rc =
			reader->handler->line(reader->handler->ctx, reader->line, section, name, value, reader->err);
	return reader->rc == 0;
}

int ini_file_read(const char *path, const char *what, const struct ini_handler *handler, struct error *err)
{
	struct ini_reader reader = {.path = path, .handler = handler, .err = err};
	reader.file = fopen(path, "r");
	if (reader.file == NULL)
		return error_set_errno(err, ERROR_IO, errno, "cannot open %s%s", what, path);
	int line = ini_parse_stream(read_line, &reader, handle_line, &reader);
	bool failed = ferror(reader.file) != 0;
	fclose(reader.file);
	if (reader.rc < 0)
		return reader.rc;
	if (failed)
		return error_set(err, ERROR_IO, "cannot read %s%s", what, path);
	if (line != 0)
		return error_set(err, ERROR_USAGE, "%s:%d: must be 'name = value', [section] or # comment", path, line);
	return 0;
}
