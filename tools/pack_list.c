/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of `path [TAB label [TAB more]...]`, in UTF-8, ended by LF or CRLF. Where the first line's first column is
 * `path`, that line names the columns: `label` may then stand anywhere behind the path, and the others are kept as
 * metadata under their names; without such a line they are "column3", "column4"... Empty fields say nothing; empty
 * lines neither.
 *
 * Where the first buffer has a NUL, names end with NUL instead (`find -print0`): then they may hold tabs and newlines,
 * and have no columns.
 *
 * Memory is one buffer, PACK_LIST_MAX_LINE, and the metadata of a line; the list is read once, so that it can be a
 * pipe.
 */
#include "tools/pack_list.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/pack.h"

struct pack_list {
	FILE *in;
	const char *name;
	char *buffer;	   /* PACK_LIST_MAX_LINE + 1 */
	size_t start, end; /* what of the buffer is still to be taken */
	bool at_eof;
	char delimiter;
	uint64_t lines;
	char **names; /* of the header's columns; NULL: no header */
	size_t name_count;
	size_t label; /* its column */
	char *meta;   /* of the last line */
};

/* Fills the buffer behind what it holds. */
static int refill(struct pack_list *list, struct error *err)
{
	memmove(list->buffer, list->buffer + list->start, list->end - list->start);
	list->end -= list->start;
	list->start = 0;
	size_t got = fread(list->buffer + list->end, 1, PACK_LIST_MAX_LINE - list->end, list->in);
	list->end += got;
	list->at_eof = feof(list->in) != 0;
	return ferror(list->in) ? error_set(err, ERROR_IO, "cannot read the list %s", list->name) : 0;
}

/* Cuts the next line off the buffer, as text. 1, 0 at the end, or a negative code. */
static int next_line(struct pack_list *list, char **line, size_t *bytes, struct error *err)
{
	char *end = memchr(list->buffer + list->start, list->delimiter, list->end - list->start);
	if (end == NULL && !list->at_eof) {
		int rc = refill(list, err);
		if (rc < 0)
			return rc;
		end = memchr(list->buffer, list->delimiter, list->end);
	}
	list->lines++;
	if (end == NULL && !list->at_eof)
		return error_set(err, ERROR_FORMAT, "%s, line %llu: longer than %d bytes; is it a list of paths?",
			list->name, (unsigned long long)list->lines, PACK_LIST_MAX_LINE);
	*line = list->buffer + list->start;
	*bytes = end != NULL ? (size_t)(end - *line) : list->end - list->start;
	if (end == NULL && *bytes == 0)
		return 0;
	list->start += *bytes + (end != NULL);
	(*line)[*bytes] = '\0'; /* the delimiter's place, or the one byte behind the buffer's end */
	return 1;
}

/* Cuts line into columns, in place. */
static int split(
	struct pack_list *list, char *line, char *columns[PACK_LIST_MAX_COLUMNS], size_t *count, struct error *err)
{
	*count = 0;
	for (char *rest = line, *column; (column = strsep(&rest, "\t")) != NULL;) {
		if (*count == PACK_LIST_MAX_COLUMNS)
			return error_set(err, ERROR_FORMAT, "%s, line %llu: more than %d columns", list->name,
				(unsigned long long)list->lines, PACK_LIST_MAX_COLUMNS);
		columns[(*count)++] = column;
	}
	return 0;
}

static int take_header(struct pack_list *list, char **columns, size_t count, struct error *err)
{
	list->names = calloc(count, sizeof(*list->names));
	if (list->names == NULL)
		return pack_out_of_memory(err);
	list->name_count = count;
	list->label = 0;
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < i; k++) {
			if (strcmp(columns[k], columns[i]) == 0)
				return error_set(err, ERROR_FORMAT, "%s: two columns are called '%.200s'", list->name,
					columns[i]);
		}
		if (*columns[i] == '\0')
			return error_set(
				err, ERROR_FORMAT, "%s: column %zu has no name in the first line", list->name, i + 1);
		if (strcmp(columns[i], "label") == 0)
			list->label = i;
		list->names[i] = strdup(columns[i]);
		if (list->names[i] == NULL)
			return pack_out_of_memory(err);
	}
	return 0;
}

/* The columns that are neither path nor label, as a JSON object in list->meta; NULL where all are empty. */
static int take_meta(struct pack_list *list, char **columns, size_t count, struct error *err)
{
	cJSON *object = NULL;
	for (size_t i = 1; i < count; i++) {
		char name[32];
		if (i == list->label || *columns[i] == '\0')
			continue;
		snprintf(name, sizeof(name), "column%zu", i + 1);
		if (object == NULL)
			object = cJSON_CreateObject();
		if (cJSON_AddStringToObject(object, list->names != NULL ? list->names[i] : name, columns[i]) == NULL) {
			cJSON_Delete(object);
			return pack_out_of_memory(err);
		}
	}
	cJSON_free(list->meta);
	list->meta = object != NULL ? cJSON_PrintUnformatted(object) : NULL;
	bool failed = object != NULL && list->meta == NULL;
	cJSON_Delete(object);
	return failed ? pack_out_of_memory(err) : 0;
}

static int take_columns(
	struct pack_list *list, char **columns, size_t count, struct pack_list_line *line, struct error *err)
{
	if (list->names != NULL && count > list->name_count)
		return error_set(err, ERROR_FORMAT, "%s, line %llu: %zu columns, but the first line names %zu",
			list->name, (unsigned long long)list->lines, count, list->name_count);
	if (*columns[0] == '\0')
		return error_set(err, ERROR_FORMAT, "%s, line %llu: no path before the first tab", list->name,
			(unsigned long long)list->lines);
	int rc = take_meta(list, columns, count, err);
	bool labelled = list->label > 0 && list->label < count && *columns[list->label] != '\0';
	*line = (struct pack_list_line){.number = list->lines,
		.path = columns[0],
		.label = labelled ? columns[list->label] : NULL,
		.meta = list->meta};
	return rc < 0 ? rc : 1;
}

int pack_list_next(struct pack_list *list, struct pack_list_line *line, struct error *err)
{
	char *columns[PACK_LIST_MAX_COLUMNS], *text = list->buffer;
	size_t count, bytes = 0;
	int rc;
	while ((rc = next_line(list, &text, &bytes, err)) == 1) {
		if (list->delimiter == '\0') {
			*line = (struct pack_list_line){.number = list->lines, .path = text};
			if (bytes > 0)
				return 1;
			continue;
		}
		if (memchr(text, '\0', bytes) != NULL)
			return error_set(err, ERROR_FORMAT, "%s, line %llu: a NUL byte; is it a list of paths?",
				list->name, (unsigned long long)list->lines);
		if (bytes > 0 && text[bytes - 1] == '\r')
			text[--bytes] = '\0';
		if (bytes == 0)
			continue;
		bool first = list->lines == 1;
		if (first && strncmp(text, "\xef\xbb\xbf", 3) == 0)
			text += 3; /* the byte order mark that some editors write */
		rc = split(list, text, columns, &count, err);
		if (rc == 0 && first && strcmp(columns[0], "path") == 0)
			rc = take_header(list, columns, count, err);
		else if (rc == 0)
			return take_columns(list, columns, count, line, err);
		if (rc < 0)
			return rc;
	}
	return rc;
}

struct pack_list *pack_list_create(FILE *in, const char *name, struct error *err)
{
	struct pack_list *list = calloc(1, sizeof(*list));
	if (list == NULL || (list->buffer = malloc(PACK_LIST_MAX_LINE + 1)) == NULL) {
		free(list);
		pack_out_of_memory(err);
		return NULL;
	}
	list->in = in;
	list->name = name;
	list->label = 1;
	if (refill(list, err) < 0) {
		pack_list_destroy(list);
		return NULL;
	}
	list->delimiter = memchr(list->buffer, '\0', list->end) != NULL ? '\0' : '\n';
	return list;
}

void pack_list_destroy(struct pack_list *list)
{
	if (list == NULL)
		return;
	for (size_t i = 0; i < list->name_count; i++)
		free(list->names[i]);
	free(list->names);
	free(list->buffer);
	cJSON_free(list->meta);
	free(list);
}
