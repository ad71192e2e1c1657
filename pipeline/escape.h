/* SPDX-License-Identifier: Apache-2.0 */
/* Names from strangers (keys of records, files of archives) may hold any byte but 0. Printed as they are they could end
 * a line and begin another, part a column, or command a terminal. */
#ifndef RINGCLR_PIPELINE_ESCAPE_H
#define RINGCLR_PIPELINE_ESCAPE_H

#include <stdio.h>

/* Prints text with \t, \n, \r and \\ for those, and \x1b and the like for all other control characters: each byte can
 * be told from what was printed. */
void escape_print(FILE *out, const char *text);

/* Makes one harmless line of a message, in place: blanks and '?' for control characters. */
void escape_line(char *text);

#endif
