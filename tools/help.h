/* SPDX-License-Identifier: Apache-2.0 */
/* What --help and the manual pages are written with: the same pieces, as text for a terminal or as man(7) macros. */
#ifndef RINGCLR_TOOLS_HELP_H
#define RINGCLR_TOOLS_HELP_H

#include <stdbool.h>
#include <stdio.h>

struct help {
	FILE *out;
	bool man; /* macros; else text */
};

/* .SH; nothing in text, whose parts are told apart by their headings alone. */
void help_section(const struct help *help, const char *name);

/* "Heading:", or .SS. */
void help_heading(const struct help *help, const char *heading);

/* Of any length, in one line: wrapped here, or by man. */
void help_paragraph(const struct help *help, const char *text);

/* `left` is a term as one types it, with what stands for something in capitals ("-o, --output FILE"); `text` stands
 * beside it, wrapped. */
void help_entry(const struct help *help, const char *left, const char *text);

/* The usage of a command. In man: capitals are italic, `command` and options bold. */
void help_usage(const struct help *help, const char *command, const char *arguments);

/* Lines, each ending in \n, to be typed as they stand. */
void help_lines(const struct help *help, const char *lines);

/* A piece of text with all that roff would take for its own escaped. */
void help_roff(FILE *out, const char *text, size_t bytes);

#endif
