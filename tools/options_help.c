/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <inttypes.h>
#include <string.h>

#include "tools/options_internal.h"

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

static void print_option(FILE *out, const struct option_spec *spec)
{
	char left[256], range[96], text[2048];
	bool is_flag = spec->type == OPTION_TYPE_FLAG;
	bool on = is_flag && spec->fallback != NULL && strcmp(spec->fallback, "yes") == 0;
	char letter[8] = "    ";
	if (spec->letter != 0)
		snprintf(letter, sizeof(letter), "-%c, ", spec->letter);
	const char *metavar = spec->type == OPTION_TYPE_CHOICE ? spec->choices : spec->metavar;
	const char *words = spec->type != OPTION_TYPE_CHOICE && spec->choices != NULL ? spec->choices : "";
	int column = snprintf(left, sizeof(left), "  %s--%s%s%s%s%s%s", letter, on ? "[no-]" : "", spec->name,
		is_flag ? "" : " ", words, *words != '\0' ? "|" : "", is_flag ? "" : metavar);
	fputs(left, out);
	if (column + 2 > HELP_COLUMN) {
		fputc('\n', out);
		column = 0;
	}
	fprintf(out, "%*s", HELP_COLUMN - column, "");

	describe_range(spec, range, sizeof(range));
	const char *fallback = is_flag ? (on ? "yes" : NULL) : spec->fallback;
	const char *need = spec->required ? "required" : "";
	snprintf(text, sizeof(text), "%s%s%s%s%s%s%s%s", spec->help,
		fallback != NULL || *range != '\0' || spec->required ? " [" : "", need,
		fallback != NULL ? "default " : "", fallback != NULL ? fallback : "",
		*range != '\0' && (fallback != NULL || spec->required) ? "; " : "", range,
		fallback != NULL || *range != '\0' || spec->required ? "]" : "");
	print_wrapped(out, text, HELP_COLUMN, HELP_COLUMN);
}

static void print_usage(const struct option_table *table, FILE *out)
{
	fprintf(out, "usage: ringclr %s [OPTION]...", table->command);
	if (table->operands != NULL)
		fprintf(out, " %s%s%s%s", table->operand_min == 0 ? "[" : "", table->operands,
			table->operand_max > 1 ? "..." : "", table->operand_min == 0 ? "]" : "");
	for (size_t i = 0; i < table->count; i++) {
		if (table->spec[i].required)
			fprintf(out, " --%s %s", table->spec[i].name, table->spec[i].metavar);
	}
	fputs("\n\n", out);
}

void options_help(const struct option_table *table, FILE *out)
{
	static const struct option_spec general[] = {
		{.name = "config",
			.type = OPTION_TYPE_STRING,
			.metavar = "FILE",
			.help = "read options from a file of 'name = value' lines (same names, [subcommand] sections "
				"allowed, # comments); flags override it"},
		{.name = "help", .type = OPTION_TYPE_FLAG, .letter = 'h', .help = "print this text"},
	};
	print_usage(table, out);
	print_wrapped(out, table->about, 0, 0);
	if (table->operand_help != NULL) {
		int column = fprintf(out, "\n  %s", table->operands) - 1;
		fprintf(out, "%*s", HELP_COLUMN - column, "");
		print_wrapped(out, table->operand_help, HELP_COLUMN, HELP_COLUMN);
	}
	if (table->count > 0 && table->spec[0].type != OPTION_TYPE_GROUP)
		fputs("\nOptions:\n", out);
	for (size_t i = 0; i < table->count; i++) {
		if (table->spec[i].type == OPTION_TYPE_GROUP)
			fprintf(out, "\n%s:\n", table->spec[i].name);
		else
			print_option(out, &table->spec[i]);
	}
	fputs("\nGeneral:\n", out);
	for (size_t i = 0; i < sizeof(general) / sizeof(general[0]); i++)
		print_option(out, &general[i]);
	if (table->examples == NULL)
		return;
	fputs("\nExamples:\n", out);
	for (const char *line = table->examples; *line != '\0';) {
		int bytes = (int)strcspn(line, "\n");
		fprintf(out, "  %.*s\n", bytes, line);
		line += bytes + (line[bytes] == '\n');
	}
}
