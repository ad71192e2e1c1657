/* SPDX-License-Identifier: Apache-2.0 */
/* --views TEXT, as every command that makes views takes it. */
#ifndef RINGCLR_TOOLS_VIEWS_OPTION_H
#define RINGCLR_TOOLS_VIEWS_OPTION_H

#include "stages/view_policy.h"
#include "tools/help.h"

/* ERROR_USAGE naming --views; also when the text does not come to `exactly` so many views of an image (0: any). */
int views_option_parse(struct view_policies *policies, const char *text, const struct view_defaults *defaults,
	unsigned exactly, struct error *err);

/* The operations, for the end of --help. */
void views_option_help(const struct help *help);

#endif
