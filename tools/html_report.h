/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report: one HTML file that needs no other (styles inside, charts as inline SVG, no scripts), light or dark as the
 * reader's system is. The text gathers in memory and the file appears whole.
 */
#ifndef RINGCLR_TOOLS_HTML_REPORT_H
#define RINGCLR_TOOLS_HTML_REPORT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

#include "pipeline/error.h"

struct html {
	FILE *out; /* write to it between the calls below; text that is not ours through html_text() */
	char *text;
	size_t bytes;
};

int html_begin(struct html *html, const char *title, struct error *err);

/* Ends the document, writes it and frees, whatever the result. */
int html_finish(struct html *html, const char *path, struct error *err);

/* Frees, and writes nothing. */
void html_abandon(struct html *html);

/* Escapes what HTML gives a meaning to, and shows control characters and broken UTF-8 as U+FFFD. */
void html_text(FILE *out, const char *text);

/* A card with a heading and, where not NULL, a line on what is seen; `wide`: over both columns. */
void html_card_begin(struct html *html, const char *heading, const char *note, bool wide);
void html_card_end(struct html *html);

void html_note(struct html *html, const char *text);	/* a small line */
void html_heading(struct html *html, const char *text); /* between grids */

/* Cards go into a grid; tiles into a row of them. */
void html_grid_begin(struct html *html);
void html_grid_end(struct html *html);
void html_tiles_begin(struct html *html);
void html_tile(struct html *html, const char *value, const char *name);
void html_tiles_end(struct html *html);

/* columns: headings, separated by '|'; one that starts with '>' is for numbers. Then html_cell() for each cell. */
void html_table_begin(struct html *html, const char *columns);
/* The same where headings are not ours: html_head_cell() for each between the two. */
void html_table_head_begin(struct html *html);
void html_head_cell(struct html *html, bool number, const char *text);
void html_table_head_end(struct html *html);
void html_row_begin(struct html *html);
__attribute__((format(printf, 3, 4))) void html_cell(struct html *html, bool number, const char *format, ...);
void html_row_end(struct html *html);
void html_table_end(struct html *html);

/* A folded card that lists options, as options_record() gives them, and the machine. options may be NULL. */
void html_settings(struct html *html, const cJSON *options);
/* The same under another heading, of a machine that a record tells of; NULL: none is listed. */
void html_settings_of(struct html *html, const char *heading, const cJSON *machine, const cJSON *options);

#endif
