/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a study into its lines. A section's head is its name, for axis and prepare the name of what it is about, and
 * for lines of one size that size: [grid], [axis norm], [grid paper], [prepare pretrain tiny]. [tiny] and [paper] are
 * short for [base tiny] and [base paper].
 */
#include "tools/study.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/nearest.h"
#include "tools/ini_file.h"

struct study_text {
	struct study_text *next;
	char text[];
};

const char *study_keep(struct study *study, const char *text, size_t bytes, struct error *err)
{
	struct study_text *kept = malloc(sizeof *kept + bytes + 1);
	if (!kept) {
		error_set(err, ERROR_MEMORY, "out of memory while reading a study");
		return NULL;
	}
	memcpy(kept->text, text, bytes);
	kept->text[bytes] = '\0';
	kept->next = study->texts;
	study->texts = kept;
	return kept->text;
}

const char *study_print(struct study *study, struct error *err, const char *format, ...)
{
	char *text = NULL;
	va_list arguments;
	va_start(arguments, format);
	int bytes = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (bytes < 0) {
		error_set(err, ERROR_MEMORY, "out of memory while reading a study");
		return NULL;
	}
	const char *kept = study_keep(study, text, (size_t)bytes, err);
	free(text);
	return kept;
}

const char *study_piece(struct study *study, const char **rest, const char *separator, struct error *err)
{
	const char *start = *rest + strspn(*rest, " \t");
	if (*start == '\0')
		return NULL;
	const char *stop = strstr(start, separator);
	size_t bytes = stop ? (size_t)(stop - start) : strlen(start);
	*rest = start + bytes + (stop ? strlen(separator) : 0);
	while (bytes > 0 && (start[bytes - 1] == ' ' || start[bytes - 1] == '\t'))
		bytes--;
	return study_keep(study, start, bytes, err);
}

/* What sections there are. `names`: the lines' names, where only these make sense. */
struct study_section {
	const char *name;
	bool argument;
	const char *names[12];
};
static const struct study_section sections[] = {
	{.name = "study", .names = {"title", "seeds", "pairs"}},
	{.name = "figure", .names = {"kind", "x", "y", "series", "value", "x_label", "value_label", "log_x"}},
	{.name = "labels"},
	{.name = "base"},
	{.name = "grid"},
	{.name = "axis", .argument = true},
	{.name = "cells"},
	{.name = "prepare", .argument = true},
	{.name = "evaluate"},
	{.name = "paper numbers"},
};
enum { SECTIONS = sizeof sections / sizeof sections[0] };

static int unknown_section(const char *source, const char *name, struct error *err)
{
	const char *words[SECTIONS + 2] = {"tiny", "paper"};
	for (unsigned i = 0; i < SECTIONS; i++)
		words[i + 2] = sections[i].name;
	const char *near = nearest_word(name, words, SECTIONS + 2);
	return error_set(err, ERROR_USAGE, "%s: a study has no such section; %s%s%s", source,
		near ? "did you mean [" : "", near ? near : "'ringclr sweep --help' says which there are",
		near ? "]?" : "");
}

/* Takes "axis norm tiny" apart. */
static int read_head(struct study *study, const char *source, const char *head, struct study_line *line,
	const struct study_section **section, struct error *err)
{
	const char *words[4] = {"", "", "", ""}, *rest = head;
	unsigned count = 0;
	static const char numbers[] = "paper numbers";
	size_t bytes = sizeof numbers - 1;
	if (strncmp(head, numbers, bytes) == 0 && (head[bytes] == '\0' || head[bytes] == ' ')) {
		words[count++] = numbers;
		rest = head + bytes;
	}
	while (count < 4 && (words[count] = study_piece(study, &rest, " ", err)) != NULL)
		count++;
	if (err->code < 0)
		return err->code;
	const char *last = count > 0 ? words[count - 1] : "";
	line->size = strcmp(last, "tiny") == 0 ? STUDY_TINY : strcmp(last, "paper") == 0 ? STUDY_PAPER : STUDY_ANY_SIZE;
	if (line->size != STUDY_ANY_SIZE)
		count--;
	if (count == 0 && line->size != STUDY_ANY_SIZE)
		words[count++] = "base";
	line->section = count > 0 ? words[0] : "";
	line->argument = count > 1 ? words[1] : "";
	*section = NULL;
	for (unsigned i = 0; i < SECTIONS && !*section; i++)
		if (strcmp(line->section, sections[i].name) == 0)
			*section = &sections[i];
	if (!*section)
		return unknown_section(source, line->section, err);
	if (count != ((*section)->argument ? 2 : 1))
		return error_set(err, ERROR_USAGE,
			"%s: a section is %s%s, and after it tiny or paper where it is for that size", source,
			line->section, (*section)->argument ? " with a name" : " alone");
	return 0;
}

static int check_name(
	const struct study_section *section, const char *source, const struct study_line *line, struct error *err)
{
	unsigned count = 0;
	while (section->names[count]) {
		if (strcmp(section->names[count], line->name) == 0)
			return 0;
		count++;
	}
	if (count == 0)
		return 0;
	const char *near = nearest_word(line->name, section->names, count);
	char all[256] = "";
	for (unsigned i = 0; i < count; i++)
		snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i > 0 ? ", " : "", section->names[i]);
	return error_set(err, ERROR_USAGE, "%s: [%s] has %s%s%s", source, section->name,
		near ? "no such line; did you mean " : "these: ", near ? near : all, near ? "?" : "");
}

static bool same_place(const struct study_line *a, const struct study_line *b)
{
	return a->size == b->size && strcmp(a->section, b->section) == 0 && strcmp(a->argument, b->argument) == 0 &&
	       strcmp(a->name, b->name) == 0;
}

static int read_line(
	void *ctx, unsigned number, const char *head, const char *name, const char *value, struct error *err)
{
	struct study *study = ctx;
	struct study_line line = {.line = number};
	const struct study_section *section;
	char source[512];
	snprintf(source, sizeof source, "%s:%u: [%s]", study->path, number, head);
	if (*head == '\0')
		return error_set(err, ERROR_USAGE, "%s:%u: %s = %s stands above the first [section]", study->path,
			number, name, value);
	int code = read_head(study, source, head, &line, &section, err);
	if (code < 0)
		return code;
	line.name = study_keep(study, name, strlen(name), err);
	line.value = study_keep(study, value, strlen(value), err);
	if (!line.name || !line.value)
		return err->code;
	snprintf(source, sizeof source, "%s:%u: %s = %s", study->path, number, name, value);
	code = check_name(section, source, &line, err);
	if (code < 0)
		return code;
	for (size_t i = 0; i < study->count; i++)
		if (same_place(&line, &study->lines[i]))
			return error_set(err, ERROR_USAGE, "%s: already set in line %u", source, study->lines[i].line);
	if (study->count == study->capacity) {
		size_t wanted = study->capacity ? 2 * study->capacity : 64;
		struct study_line *lines = reallocarray(study->lines, wanted, sizeof *lines);
		if (!lines)
			return error_set(err, ERROR_MEMORY, "out of memory while reading %s", study->path);
		study->lines = lines;
		study->capacity = wanted;
	}
	study->lines[study->count++] = line;
	return 0;
}

int study_read(struct study *study, const char *path, struct error *err)
{
	*study = (struct study){.path = ""};
	const char *base = strrchr(path, '/');
	base = base ? base + 1 : path;
	size_t bytes = strlen(base);
	study->path = study_keep(study, path, strlen(path), err);
	study->name =
		study_keep(study, base, bytes > 4 && strcmp(base + bytes - 4, ".ini") == 0 ? bytes - 4 : bytes, err);
	if (!study->path || !study->name)
		return err->code;
	const struct ini_handler handler = {.line = read_line, .ctx = study};
	return ini_file_read(path, "the study ", &handler, err);
}

void study_free(struct study *study)
{
	for (struct study_text *text = study->texts; text;) {
		struct study_text *next = text->next;
		free(text);
		text = next;
	}
	free(study->lines);
	*study = (struct study){.path = ""};
}

static bool is_of(const struct study_line *line, const char *section, const char *argument)
{
	return strcmp(line->section, section) == 0 && strcmp(line->argument, argument) == 0;
}

const struct study_line *study_find(
	const struct study *study, const char *section, const char *argument, const char *name, enum study_size size)
{
	const struct study_line *found = NULL;
	for (size_t i = 0; i < study->count; i++) {
		const struct study_line *line = &study->lines[i];
		if (is_of(line, section, argument) && strcmp(line->name, name) == 0 &&
			(line->size == size || (line->size == STUDY_ANY_SIZE && !found)))
			found = line;
	}
	return found;
}

const struct study_line *study_each(
	const struct study *study, size_t *place, const char *section, const char *argument, enum study_size size)
{
	while (*place < study->count) {
		const struct study_line *line = &study->lines[(*place)++];
		bool seen = line->size != size && line->size != STUDY_ANY_SIZE;
		if (seen || !is_of(line, section, argument))
			continue;
		for (size_t i = 0; i + 1 < *place && !seen; i++) {
			const struct study_line *before = &study->lines[i];
			seen = is_of(before, section, argument) && strcmp(before->name, line->name) == 0 &&
			       (before->size == size || before->size == STUDY_ANY_SIZE);
		}
		if (!seen)
			return study_find(study, section, argument, line->name, size);
	}
	return NULL;
}
