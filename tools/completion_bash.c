/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The completion for bash: a function that looks up in a table what a command takes, and functions that turn the answer
 * into completions.
 *
 * The table is a case of every command ("pack", "bench read"), which sets its options, with a case of every option that
 * takes a value. Bash splits words at '=', so that --codec=we comes as three words.
 */
#include <string.h>

#include "tools/command.h"
#include "tools/completion.h"
#include "tools/options_internal.h"

static const char opening[] =
	"# Completion of ringclr for bash, made by `ringclr completion bash`.\n"
	"# shellcheck shell=bash\n"
	"\n"
	"# What may stand behind option $2 of command $1, or as its operand where $2 is empty: words, files with "
	"these\n"
	"# extensions, folders. Also sets options. Status 1: no such command, or no option that takes a value.\n"
	"_ringclr_table() {\n"
	"\toptions='' words='' extensions='' folders=''\n"
	"\tcase $1 in\n";

static const char closing[] =
	"\t*) return 1 ;;\n"
	"\tesac\n"
	"}\n"
	"\n"
	"# Adds the files and folders whose names begin with $1.\n"
	"_ringclr_files() {\n"
	"\tlocal extension\n"
	"\tcompopt -o filenames 2>/dev/null\n"
	"\tif [[ $extensions == any ]]; then\n"
	"\t\tmapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -f -- \"$1\")\n"
	"\t\treturn\n"
	"\tfi\n"
	"\tmapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -d -- \"$1\")\n"
	"\tfor extension in $extensions; do\n"
	"\t\tmapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -f -X \"!*.$extension\" -- \"$1\")\n"
	"\tdone\n"
	"}\n"
	"\n"
	"_ringclr() {\n"
	"\tlocal current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} command='' word ended=''\n"
	"\tlocal options words extensions folders\n"
	"\tCOMPREPLY=()\n"
	"\t# --option=value comes as three words.\n"
	"\tif [[ $current == '=' ]]; then\n"
	"\t\tcurrent=''\n"
	"\telif [[ $option == '=' ]] && ((COMP_CWORD > 2)); then\n"
	"\t\toption=${COMP_WORDS[COMP_CWORD - 2]}\n"
	"\tfi\n"
	"\t[[ $option == -* ]] || option=''\n"
	"\t((COMP_CWORD < 2)) || command=${COMP_WORDS[1]}\n"
	"\tif ((COMP_CWORD > 2)) && _ringclr_table \"$command ${COMP_WORDS[2]}\" ''; then\n"
	"\t\tcommand+=\" ${COMP_WORDS[2]}\"\n"
	"\tfi\n"
	"\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
	"\t\t[[ $word != -- ]] || ended=yes\n"
	"\tdone\n"
	"\tif [[ -z $option || -n $ended ]] || ! _ringclr_table \"$command\" \"$option\"; then\n"
	"\t\t_ringclr_table \"$command\" '' || return\n"
	"\t\tif [[ -z $ended && ($current == -* || -z $words$extensions$folders) ]]; then\n"
	"\t\t\tmapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$current\")\n"
	"\t\t\treturn\n"
	"\t\tfi\n"
	"\tfi\n"
	"\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
	"\t[[ -z $extensions$folders ]] || _ringclr_files \"$current\"\n"
	"}\n"
	"\n"
	"complete -F _ringclr ringclr\n";

/* What the value is, as assignments, and the end of its case. */
static void print_value(FILE *out, const struct completion_value *value)
{
	if (value->words[0] != '\0')
		fprintf(out, " words='%s'", value->words);
	if (value->extensions[0] != '\0')
		fprintf(out, " extensions='%s'", value->extensions);
	if (value->folders)
		fputs(" folders=yes", out);
	fputs(" ;;\n", out);
}

static void print_names(FILE *out, const struct option_spec *spec)
{
	if (spec->type == OPTION_TYPE_GROUP)
		return;
	fprintf(out, " --%s", spec->name);
	if (option_is_on(spec))
		fprintf(out, " --no-%s", spec->name);
	if (spec->letter != 0)
		fprintf(out, " -%c", spec->letter);
}

static void print_option_case(FILE *out, const struct option_spec *spec)
{
	if (spec->type == OPTION_TYPE_GROUP || spec->type == OPTION_TYPE_FLAG)
		return;
	struct completion_value value;
	completion_value_of(spec, &value);
	fputs("\t\t", out);
	if (spec->letter != 0)
		fprintf(out, "-%c | ", spec->letter);
	fprintf(out, "--%s)", spec->name);
	print_value(out, &value);
}

static void print_command(FILE *out, const struct option_table *table)
{
	struct completion_value operands;
	completion_operands_of(table, &operands);
	fprintf(out, "\t'%s')\n\t\toptions='--help -h", table->command);
	if (table->modes == NULL)
		fputs(" --config", out);
	for (size_t i = 0; i < table->count; i++)
		print_names(out, &table->spec[i]);
	fputs(table == &command_root_table ? " --version'\n" : "'\n", out);
	fputs("\t\tcase $2 in\n\t\t'')", out);
	print_value(out, &operands);
	for (size_t i = 0; i < table->count; i++)
		print_option_case(out, &table->spec[i]);
	if (table->modes == NULL)
		print_option_case(out, &options_general[0]);
	fputs("\t\t*) return 1 ;;\n\t\tesac\n\t\t;;\n", out);
	for (unsigned i = 0; table->modes != NULL && i < table->mode_count; i++)
		print_command(out, table->modes[i].table);
}

void completion_bash(FILE *out)
{
	struct completion_value commands;
	completion_operands_of(&command_root_table, &commands);
	fputs(opening, out);
	print_command(out, &command_root_table);
	fprintf(out, "\thelp) words='%s' ;;\n", commands.words);
	fputs(closing, out);
}
