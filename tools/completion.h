/* SPDX-License-Identifier: Apache-2.0 */
/* What completes on a command line: read from the tables of options, for each shell's script. */
#ifndef RINGCLR_TOOLS_COMPLETION_H
#define RINGCLR_TOOLS_COMPLETION_H

#include <stdio.h>

#include "tools/options.h"

/* What may stand as an option's value or an operand. Lists are separated by spaces. */
struct completion_value {
	char words[2048];    /* "auto none", the names of all commands */
	char extensions[64]; /* "ring json": files called so; "any": all files */
	bool folders;	     /* folders alone; with extensions they are there anyway, to go into */
};

/* What the metavar (or, of a choice, its words) stands for. Words may also come before it, as of a number that takes
 * them. */
void completion_value_of(const struct option_spec *spec, struct completion_value *value);
void completion_operands_of(const struct option_table *table, struct completion_value *value);

/* The scripts. */
void completion_bash(FILE *out);
void completion_zsh(FILE *out);

#endif
