/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The completion for zsh: a function for each command ("_ringclr_pack", "_ringclr_bench_read"), which hands its options
 * and operands to _arguments; and for each command made of modes one that chooses among those.
 */
#include <string.h>

#include "tools/command.h"
#include "tools/completion.h"
#include "tools/options_internal.h"

static const char opening[] =
	"#compdef ringclr\n"
	"# Completion of ringclr for zsh, made by `ringclr completion zsh`.\n"
	"\n"
	"# A value: one of the words $1, a file with one of the extensions $2 (any: every file), or a folder if $3 "
	"says so.\n"
	"_ringclr_value() {\n"
	"\tlocal expl ret=1\n"
	"\tif [[ -n $1 ]]; then _wanted values expl value compadd -- ${=1} && ret=0; fi\n"
	"\tif [[ $2 == any ]]; then\n"
	"\t\t_files && ret=0\n"
	"\telif [[ -n $2 ]]; then\n"
	"\t\t_files -g \"*.(${2// /|})\" && ret=0\n"
	"\telif [[ -n $3 ]]; then\n"
	"\t\t_files -/ && ret=0\n"
	"\tfi\n"
	"\treturn ret\n"
	"}\n"
	"\n"
	"# Chooses among modes 'name:summary' ($2...), whose functions are called $1_name.\n"
	"_ringclr_modes() {\n"
	"\tlocal curcontext=$curcontext state line prefix=$1\n"
	"\tlocal -a modes\n"
	"\tshift\n"
	"\tmodes=(\"$@\")\n"
	"\t_arguments -C '(- *)'{-h,--help}'[print help]' $extra '1: :->mode' '*:: :->rest' && return\n"
	"\tcase $state in\n"
	"\tmode) _describe -t commands command modes ;;\n"
	"\trest) (( $+functions[${prefix}_$words[1]] )) && ${prefix}_$words[1] ;;\n"
	"\tesac\n"
	"}\n";

static const char closing[] = "\n"
			      "# Called by the shell when it loads this file to complete; or read with `source`.\n"
			      "if [[ $funcstack[1] == _ringclr ]]; then\n"
			      "\t_ringclr \"$@\"\n"
			      "else\n"
			      "\tcompdef _ringclr ringclr\n"
			      "fi\n";

/* Text within single quotes, with a backslash before each of `special` and before backslashes. */
static void print_quoted(FILE *out, const char *text, size_t bytes, const char *special)
{
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] == '\'') {
			fputs("'\\''", out);
			continue;
		}
		if (text[i] == '\\' || strchr(special, text[i]) != NULL)
			fputc('\\', out);
		fputc(text[i], out);
	}
}

/* The first sentence, or clause, of a help text. */
static size_t first_clause(const char *text)
{
	size_t bytes = strcspn(text, ";");
	const char *stop = strstr(text, ". ");
	if (stop != NULL && (size_t)(stop - text) < bytes)
		bytes = (size_t)(stop - text);
	return bytes;
}

static void print_action(FILE *out, const char *metavar, const struct completion_value *value)
{
	fputc(':', out);
	print_quoted(out, metavar, strlen(metavar), ":");
	if (value->words[0] == '\0' && value->extensions[0] == '\0' && !value->folders)
		fputs(": ", out); /* only says what is wanted */
	else
		fprintf(out, ": _ringclr_value \"%s\" \"%s\" \"%s\"", value->words, value->extensions,
			value->folders ? "yes" : "");
}

/* One spelling of an option: "--output=", "-o+", "--no-pin". */
static void print_spelling(FILE *out, const struct option_spec *spec, const char *spelling)
{
	fputs(" \\\n\t\t'", out);
	if (spec->letter != 0)
		fprintf(out, "(-%c --%s)", spec->letter, spec->name);
	fprintf(out, "%s[", spelling);
	print_quoted(out, spec->help, first_clause(spec->help), "[]:");
	fputc(']', out);
	if (spec->type != OPTION_TYPE_FLAG) {
		struct completion_value value;
		completion_value_of(spec, &value);
		print_action(out, spec->metavar != NULL ? spec->metavar : spec->name, &value);
	}
	fputc('\'', out);
}

static void print_option(FILE *out, const struct option_spec *spec)
{
	char spelling[128];
	if (spec->type == OPTION_TYPE_GROUP)
		return;
	bool flag = spec->type == OPTION_TYPE_FLAG;
	if (spec->letter != 0) {
		snprintf(spelling, sizeof(spelling), "-%c%s", spec->letter, flag ? "" : "+");
		print_spelling(out, spec, spelling);
	}
	snprintf(spelling, sizeof(spelling), "--%s%s", spec->name, flag ? "" : "=");
	print_spelling(out, spec, spelling);
	if (option_is_on(spec)) {
		snprintf(spelling, sizeof(spelling), "--no-%s", spec->name);
		print_spelling(out, spec, spelling);
	}
}

/* "_ringclr_bench_read". */
static void print_function_name(FILE *out, const struct option_table *table)
{
	fputs("_ringclr", out);
	if (*table->command != '\0')
		fputc('_', out);
	for (const char *c = table->command; *c != '\0'; c++)
		fputc(*c == ' ' ? '_' : *c, out);
}

static void print_modes(FILE *out, const struct option_table *table)
{
	bool root = table == &command_root_table;
	fprintf(out, "\tlocal -a extra=(%s)\n\t_ringclr_modes ", root ? "'(- *)--version[print the version]'" : "");
	print_function_name(out, table);
	for (unsigned i = 0; i < table->mode_count; i++) {
		fprintf(out, " \\\n\t\t'%s:", table->modes[i].name);
		print_quoted(out, table->modes[i].summary, strlen(table->modes[i].summary), ":");
		fputc('\'', out);
	}
	fputs(root ? " \\\n\t\t'help:explain a command'\n" : "\n", out);
}

static void print_command(FILE *out, const struct option_table *table)
{
	fputc('\n', out);
	print_function_name(out, table);
	fputs("() {\n", out);
	if (table->modes != NULL) {
		print_modes(out, table);
	} else {
		fputs("\t_arguments -S", out);
		for (size_t i = 0; i < table->count; i++)
			print_option(out, &table->spec[i]);
		for (size_t i = 0; i < OPTIONS_GENERAL; i++)
			print_option(out, &options_general[i]);
		if (table->operands != NULL) {
			struct completion_value operands;
			completion_operands_of(table, &operands);
			fputs(" \\\n\t\t'*", out);
			print_action(out, table->operands, &operands);
			fputc('\'', out);
		}
		fputc('\n', out);
	}
	fputs("}\n", out);
	for (unsigned i = 0; table->modes != NULL && i < table->mode_count; i++)
		print_command(out, table->modes[i].table);
}

void completion_zsh(FILE *out)
{
	struct completion_value commands;
	completion_operands_of(&command_root_table, &commands);
	fputs(opening, out);
	print_command(out, &command_root_table);
	fprintf(out, "\n_ringclr_help() {\n\t_arguments '1:COMMAND: _ringclr_value \"%s\"'\n}\n", commands.words);
	fputs(closing, out);
}
