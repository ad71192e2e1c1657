/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Help in two forms: text of HELP_WIDTH columns, and man(7) macros, which groff and mandoc read.
 *
 * In macros a paragraph is one long line, which roff fills. What it would take for its own is escaped: backslashes; a
 * dot or quote that opens a line; quotes, hyphens and the like, which it would otherwise set as typographic ones that
 * nobody can paste into a shell. Options (--name) are bold wherever they occur. In terms and usages words to be typed
 * are bold and what stands for something (in capitals) is italic.
 */
#include "tools/help.h"

#include <ctype.h>
#include <string.h>

enum { HELP_WIDTH = 96, HELP_COLUMN = 28 };

/* Prints text from `column` on, wrapped at HELP_WIDTH, further lines indented. Ends the line. */
static void print_wrapped(FILE *out, const char *text, int column, int indent)
{
	while (*text != '\0') {
		int word = (int)strcspn(text, " ");
		if (column > indent && column + 1 + word > HELP_WIDTH) {
			fprintf(out, "\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", word, text);
		column += word;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

void help_roff(FILE *out, const char *text, size_t bytes)
{
	static const struct {
		char plain;
		const char *roff;
	} escapes[] = {
		{'\\', "\\e"},
		{'-', "\\-"},
		{'\'', "\\(aq"},
		{'`', "\\(ga"},
		{'^', "\\(ha"},
		{'~', "\\(ti"},
		{'"', "\\(dq"},
	};
	for (size_t i = 0; i < bytes; i++) {
		const char *roff = NULL;
		for (size_t k = 0; k < sizeof(escapes) / sizeof(escapes[0]); k++)
			roff = escapes[k].plain == text[i] ? escapes[k].roff : roff;
		if (roff != NULL)
			fputs(roff, out);
		else
			fputc(text[i], out);
	}
}

static size_t span(const char *text, int (*is)(int))
{
	size_t bytes = 0;
	while (is((unsigned char)text[bytes]))
		bytes++;
	return bytes;
}

static int is_word(int c)
{
	return islower(c) || isdigit(c) || c == '-' || c == '_';
}

/* Starts a line of roff, so a dot must not open it. */
static void open_line(FILE *out, const char *text)
{
	if (*text == '.')
		fputs("\\&", out);
}

static void print_font(FILE *out, char font, const char *text, size_t bytes)
{
	fprintf(out, "\\f%c", font);
	help_roff(out, text, bytes);
	fputs("\\fR", out);
}

/* A term or usage: see the head of the file. */
static void print_term(FILE *out, const char *text)
{
	open_line(out, text);
	for (size_t bytes; *text != '\0'; text += bytes) {
		if ((bytes = span(text, is_word)) > 0)
			print_font(out, 'B', text, bytes);
		else if ((bytes = span(text, isupper)) > 0)
			print_font(out, 'I', text, bytes);
		else
			help_roff(out, text, bytes = 1);
	}
	fputc('\n', out);
}

static void print_prose(FILE *out, const char *text)
{
	open_line(out, text);
	for (size_t bytes; *text != '\0'; text += bytes) {
		bool option = strncmp(text, "--", 2) == 0 && islower((unsigned char)text[2]);
		bytes = option ? span(text, is_word) : 1;
		if (option)
			print_font(out, 'B', text, bytes);
		else
			help_roff(out, text, bytes);
	}
	fputc('\n', out);
}

void help_section(const struct help *help, const char *name)
{
	if (help->man)
		fprintf(help->out, ".SH %s\n", name);
}

void help_heading(const struct help *help, const char *heading)
{
	if (!help->man) {
		fprintf(help->out, "\n%s:\n", heading);
		return;
	}
	fputs(".SS ", help->out);
	help_roff(help->out, heading, strlen(heading));
	fputc('\n', help->out);
}

void help_paragraph(const struct help *help, const char *text)
{
	if (help->man)
		print_prose(help->out, text);
	else
		print_wrapped(help->out, text, 0, 0);
}

void help_entry(const struct help *help, const char *left, const char *text)
{
	if (help->man) {
		fputs(".TP\n", help->out);
		print_term(help->out, left);
		print_prose(help->out, text);
		return;
	}
	int column = fprintf(help->out, "  %s", left);
	if (column + 2 > HELP_COLUMN) {
		fputc('\n', help->out);
		column = 0;
	}
	fprintf(help->out, "%*s", HELP_COLUMN - column, "");
	print_wrapped(help->out, text, HELP_COLUMN, HELP_COLUMN);
}

void help_usage(const struct help *help, const char *command, const char *arguments)
{
	if (!help->man) {
		fprintf(help->out, "usage: %s %s\n\n", command, arguments);
		return;
	}
	print_font(help->out, 'B', command, strlen(command));
	fputc('\n', help->out);
	print_term(help->out, arguments);
}

void help_lines(const struct help *help, const char *lines)
{
	if (help->man)
		fputs(".EX\n", help->out);
	while (*lines != '\0') {
		size_t bytes = strcspn(lines, "\n");
		if (help->man) {
			open_line(help->out, lines);
			help_roff(help->out, lines, bytes);
			fputc('\n', help->out);
		} else {
			fprintf(help->out, "  %.*s\n", (int)bytes, lines);
		}
		lines += bytes + (lines[bytes] == '\n');
	}
	if (help->man)
		fputs(".EE\n", help->out);
}
