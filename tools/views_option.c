/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/views_option.h"

#include <inttypes.h>
#include <stdio.h>

int views_option_parse(struct view_policies *policies, const char *text, const struct view_defaults *defaults,
	unsigned exactly, struct error *err)
{
	int code = view_policies_parse(policies, text, defaults, "--views", err);
	if (code == 0 && exactly > 0 && policies->count != exactly)
		return error_set(err, ERROR_USAGE,
			"--views: \"%.300s\" makes %" PRIu32 " view%s of an image, and this command takes %s: %s", text,
			policies->count, policies->count == 1 ? "" : "s", exactly == 1 ? "one" : "exactly two",
			exactly == 1 ? "write it as '1x ...'" : "write one policy, or two with | between them");
	return code;
}

void views_option_help(const struct help *help)
{
	help_heading(help, "Views (--views TEXT)");
	help_paragraph(help,
		"Operations in order, separated by spaces; the first says which part of the image. A policy for each "
		"view, separated by |; a count before one that several views share: '2x crop flip'. operation@P is "
		"applied with probability P from 0 to 1; where it is not always, [@P] below is the default. Arguments "
		"in [] may be left out.");
	help_entry(help, "simclr", "crop flip color gray blur; up to 32 pixels without blur");
	help_entry(help, "crop-flip", "crop flip");
	const char *usage, *text;
	double probability;
	for (unsigned i = 0; (text = view_operation_help(i, &usage, &probability)) != NULL; i++) {
		char line[512];
		snprintf(line, sizeof line, probability < 1 ? "%s [@%g]" : "%s", text, probability);
		help_entry(help, usage, line);
	}
}
