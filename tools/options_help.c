/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <inttypes.h>
#include <string.h>

#include "tools/command.h"
#include "tools/options_internal.h"

/* A byte count as the user would write it: 65536 is "64K". */
static void describe_size(uint64_t bytes, char *text, size_t capacity)
{
	const char *suffix = "\0KMGT";
	while (bytes != 0 && bytes % 1024 == 0 && suffix[1] != '\0') {
		bytes /= 1024;
		suffix++;
	}
	snprintf(text, capacity, "%" PRIu64 "%.1s", bytes, suffix);
}

/* "1 to 22", "1 or more", or "" where everything is allowed. */
static void describe_range(const struct option_spec *spec, char *text, size_t capacity)
{
	char low[32], high[32];
	bool open_low = false, open_high = false;
	switch (spec->type) {
	case OPTION_TYPE_U64:
		snprintf(low, sizeof(low), "%" PRIu64, spec->u64_min);
		snprintf(high, sizeof(high), "%" PRIu64, spec->u64_max);
		break;
	case OPTION_TYPE_SIZE:
		describe_size(spec->u64_min, low, sizeof(low));
		describe_size(spec->u64_max, high, sizeof(high));
		break;
	case OPTION_TYPE_DOUBLE:
		snprintf(low, sizeof(low), "%.10g", spec->double_min);
		snprintf(high, sizeof(high), "%.10g", spec->double_max);
		open_low = spec->double_min <= -DBL_MAX;
		open_high = spec->double_max >= DBL_MAX;
		break;
	default:
		text[0] = '\0';
		return;
	}
	if (spec->type != OPTION_TYPE_DOUBLE) {
		open_low = spec->u64_min == 0;
		open_high = spec->u64_max == UINT64_MAX;
	}
	if (open_low && open_high)
		text[0] = '\0';
	else if (open_high)
		snprintf(text, capacity, "%s or more", low);
	else
		snprintf(text, capacity, "%s to %s", low, high);
}

const struct option_spec options_general[OPTIONS_GENERAL] = {
	{.name = "config",
		.type = OPTION_TYPE_STRING,
		.metavar = "FILE",
		.help = "read options from a file of 'name = value' lines (same names, [subcommand] sections "
			"allowed, # comments); flags override it"},
	{.name = "help", .type = OPTION_TYPE_FLAG, .letter = 'h', .help = "print this text"},
};

static void describe_option(const struct help *help, struct option_spec shown)
{
	const struct option_spec *spec = &shown;
	char left[256], range[96], text[2048];
	bool is_flag = spec->type == OPTION_TYPE_FLAG;
	bool on = option_is_on(spec);
	/* In text long names stand in one column; man has no column for letters. */
	char letter[8] = "    ";
	if (spec->letter != 0)
		snprintf(letter, sizeof(letter), "-%c, ", spec->letter);
	else if (help->man)
		letter[0] = '\0';
	const char *metavar = spec->type == OPTION_TYPE_CHOICE ? spec->choices : spec->metavar;
	const char *words = spec->type != OPTION_TYPE_CHOICE && spec->choices != NULL ? spec->choices : "";
	snprintf(left, sizeof(left), "%s--%s%s%s%s%s%s", letter, on ? "[no-]" : "", spec->name, is_flag ? "" : " ",
		words, *words != '\0' ? "|" : "", is_flag ? "" : metavar);
	describe_range(spec, range, sizeof(range));
	const char *fallback = is_flag ? (on ? "yes" : NULL) : spec->fallback;
	const char *need = spec->required ? "required" : "";
	snprintf(text, sizeof(text), "%s%s%s%s%s%s%s%s", spec->help,
		fallback != NULL || *range != '\0' || spec->required ? " [" : "", need,
		fallback != NULL ? "default " : "", fallback != NULL ? fallback : "",
		*range != '\0' && (fallback != NULL || spec->required) ? "; " : "", range,
		fallback != NULL || *range != '\0' || spec->required ? "]" : "");
	help_entry(help, left, text);
}

/* The longest: the operands, and --name METAVAR of each required option. */
enum { USAGE_BYTES = 1024 };

void options_describe_usage(const struct help *help, const struct option_table *table)
{
	char command[64], arguments[USAGE_BYTES];
	snprintf(command, sizeof(command), "ringclr%s%s", *table->command != '\0' ? " " : "", table->command);
	if (table->modes != NULL) {
		snprintf(arguments, sizeof(arguments), "%s [OPTION]...", table->operands);
		help_usage(help, command, arguments);
		return;
	}
	int used = snprintf(arguments, sizeof(arguments), "[OPTION]...");
	if (table->operands != NULL)
		used += snprintf(arguments + used, sizeof(arguments) - (size_t)used, " %s%s%s%s",
			table->operand_min == 0 ? "[" : "", table->operands, table->operand_max > 1 ? "..." : "",
			table->operand_min == 0 ? "]" : "");
	for (size_t i = 0; i < table->count && used < USAGE_BYTES; i++) {
		if (table->spec[i].required)
			used += snprintf(arguments + used, sizeof(arguments) - (size_t)used, " --%s %s",
				table->spec[i].name, table->spec[i].metavar);
	}
	help_usage(help, command, arguments);
}

static void describe_modes(const struct help *help, const struct option_table *table)
{
	if (!help->man)
		fputc('\n', help->out);
	for (unsigned i = 0; i < table->mode_count; i++)
		help_entry(help, table->modes[i].name, table->modes[i].summary);
	if (help->man)
		return;
	const char *space = *table->command != '\0' ? " " : "";
	fprintf(help->out, "\n'ringclr%s%s %s --help' explains one of them", space, table->command, table->operands);
	fputs(*space == '\0' ? "; 'ringclr --version' prints the version.\n" : ".\n", help->out);
}

void options_describe(const struct help *help, const struct option_table *table)
{
	help_section(help, "DESCRIPTION");
	help_paragraph(help, table->about);
	if (table->modes != NULL) {
		describe_modes(help, table);
		return;
	}
	if (table->operand_help != NULL) {
		if (!help->man)
			fputc('\n', help->out);
		help_entry(help, table->operands, table->operand_help);
	}
	help_section(help, "OPTIONS");
	if (!help->man && table->count > 0 && table->spec[0].type != OPTION_TYPE_GROUP)
		help_heading(help, "Options");
	for (size_t i = 0; i < table->count; i++) {
		if (table->spec[i].type == OPTION_TYPE_GROUP)
			help_heading(help, table->spec[i].name);
		else
			describe_option(help, option_with_preset(table, &table->spec[i]));
	}
	help_heading(help, "General");
	for (size_t i = 0; i < OPTIONS_GENERAL; i++)
		describe_option(help, options_general[i]);
	if (table->notes != NULL)
		table->notes(help);
}

/* "0 success, 1 failure, ..." */
static void print_exit_codes(const struct help *help)
{
	char text[1024] = "Exit codes: ";
	size_t used = strlen(text);
	for (const struct command_exit *exit = command_exits; exit->meaning != NULL && used < sizeof(text); exit++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%d %s%s", exit->code, exit->meaning,
			exit[1].meaning != NULL ? "; " : ".");
	help_paragraph(help, text);
}

void options_help(const struct option_table *table, FILE *out)
{
	const struct help help = {.out = out};
	options_describe_usage(&help, table);
	options_describe(&help, table);
	if (table == &command_root_table)
		print_exit_codes(&help);
	if (table->examples == NULL)
		return;
	help_heading(&help, "Examples");
	help_lines(&help, table->examples);
}
