/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/views_option.h"

#include <inttypes.h>

#include "tools/options.h"

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

void views_option_help(FILE *out)
{
	fputs("\nViews (--views TEXT): operations in order, separated by spaces; the first says which part of the\n"
	      "image. A policy for each view, separated by |; a count before one that several views share:\n"
	      "'2x crop flip'. operation@P is applied with probability P from 0 to 1; where it is not always,\n"
	      "[@P] below is the default. Arguments in [] may be left out.\n"
	      "  simclr                    crop flip color gray blur; up to 32 pixels without blur\n"
	      "  crop-flip                 crop flip\n",
		out);
	const char *usage, *help;
	double probability;
	for (unsigned i = 0; (help = view_operation_help(i, &usage, &probability)) != NULL; i++) {
		char left[128], text[512];
		snprintf(left, sizeof left, "  %s", usage);
		snprintf(text, sizeof text, probability < 1 ? "%s [@%g]" : "%s", help, probability);
		options_help_entry(out, left, text);
	}
}
