/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr man: manual pages, from the tables of options.
 *
 * A page is what --help says, in man(7) macros: ringclr(1) lists the commands, ringclr-pack(1) has one, and of a
 * command made of modes each mode has a page of its own, ringclr-bench-read(1). Pages bear the version and no date, so
 * that they are the same bytes whenever they are made.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/atomic_file.h"
#include "tools/command.h"
#include "tools/options_internal.h"

struct man_options {
	const char *output;
};

static const struct option_spec spec[] = {
	OPTION_STRING(struct man_options, output, "output", "DIR", NULL,
		"write every page into this folder: ringclr.1, ringclr-pack.1, ...", .letter = 'o'),
};

const struct option_table command_man_table = {
	.command = "man",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Prints the manual page of the program, of a command, or of a command's mode, for man to show. "
		 "'make install' puts all pages where man looks for them.",
	.operands = "COMMAND",
	.operand_help = "a command, and a mode of it; without: the page of ringclr",
	.operand_min = 0,
	.operand_max = 2,
	.examples = "ringclr man pack | man -l -\n"
		    "ringclr man bench read | man -l -\n"
		    "ringclr man -o /usr/local/share/man/man1\n",
};

/* "ringclr-bench-read" for the table of "bench read". */
enum { PAGE_NAME_BYTES = 64 };
static void page_name(const struct option_table *table, char name[PAGE_NAME_BYTES])
{
	snprintf(name, PAGE_NAME_BYTES, "ringclr%s%s", *table->command != '\0' ? "-" : "", table->command);
	for (char *c = name; *c != '\0'; c++)
		*c = (char)(*c == ' ' ? '-' : *c);
}

static void print_reference(FILE *out, const char *page, bool last)
{
	fputs(".BR ", out);
	help_roff(out, page, strlen(page));
	fputs(last ? " (1)\n" : " (1),\n", out);
}

/* True where the examples of a table call that command. */
static bool examples_call(const struct option_table *table, const char *command)
{
	char call[PAGE_NAME_BYTES];
	int bytes = snprintf(call, sizeof(call), "ringclr %s", command);
	const char *at = table->examples == NULL ? NULL : strstr(table->examples, call);
	for (; at != NULL; at = strstr(at, call)) {
		at += bytes;
		if (*at == ' ' || *at == '\n')
			return true;
	}
	return false;
}

/* The pages of the modes, of the commands that the examples call, and the page above. parent is NULL for the root. */
static void see_also(FILE *out, const struct option_table *table, const struct option_table *parent)
{
	const struct option_table *root = &command_root_table;
	char name[PAGE_NAME_BYTES];
	for (unsigned i = 0; i < table->mode_count; i++) {
		page_name(table->modes[i].table, name);
		print_reference(out, name, parent == NULL && i + 1 == table->mode_count);
	}
	for (unsigned i = 0; parent != NULL && i < root->mode_count; i++) {
		const struct option_table *other = root->modes[i].table;
		page_name(other, name);
		if (other != table && other != parent && examples_call(table, other->command))
			print_reference(out, name, false);
	}
	if (parent != NULL) {
		page_name(parent, name);
		print_reference(out, name, true);
	}
}

static void print_page(
	FILE *out, const struct option_table *table, const struct option_table *parent, const char *summary)
{
	const struct help help = {.out = out, .man = true};
	char name[PAGE_NAME_BYTES];
	page_name(table, name);
	fputs(".TH ", out);
	for (const char *c = name; *c != '\0'; c++)
		fputc(toupper((unsigned char)*c), out);
	fputs(" 1 \"\" \"ringclr " RINGCLR_VERSION "\" \"ringclr manual\"\n", out);
	help_section(&help, "NAME");
	help_roff(out, name, strlen(name));
	fputs(" \\- ", out);
	help_paragraph(&help, summary);
	help_section(&help, "SYNOPSIS");
	options_describe_usage(&help, table);
	options_describe(&help, table);
	help_section(&help, "EXIT STATUS");
	for (const struct command_exit *exit = command_exits; exit->meaning != NULL; exit++) {
		char code[16];
		snprintf(code, sizeof(code), "%d", exit->code);
		help_entry(&help, code, exit->meaning);
	}
	if (table->examples != NULL) {
		help_section(&help, "EXAMPLES");
		help_lines(&help, table->examples);
	}
	help_section(&help, "SEE ALSO");
	see_also(out, table, parent);
}

/* A page and those of its modes. */
static int write_pages(const char *folder, const struct option_table *table, const struct option_table *parent,
	const char *summary, struct error *err)
{
	char name[PAGE_NAME_BYTES], path[4096];
	page_name(table, name);
	if (snprintf(path, sizeof(path), "%s/%s.1", folder, name) >= (int)sizeof(path))
		return error_set(err, ERROR_USAGE, "--output: the name of the folder is too long");
	char *page = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&page, &bytes);
	if (out == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory while writing %s", path);
	print_page(out, table, parent, summary);
	int code = fclose(out) == 0 ? 0 : error_set(err, ERROR_MEMORY, "out of memory while writing %s", path);
	if (code == 0)
		code = atomic_file_replace(path, page, bytes, err);
	free(page);
	for (unsigned i = 0; code == 0 && i < table->mode_count; i++)
		code = write_pages(folder, table->modes[i].table, table, table->modes[i].summary, err);
	return code;
}

static const char root_summary[] = "pre-train image encoders with SimCLR, and pack what they learn from";

static int show_page(const struct options *parsed, struct error *err)
{
	const struct option_table *table = &command_root_table, *parent = NULL;
	const char *summary = root_summary;
	for (unsigned i = 0; i < parsed->operand_count; i++) {
		const struct command *command = command_find(table, parsed->operands[i]);
		if (command == NULL)
			return error_set(err, ERROR_USAGE, "no page of '%s%s%s'; 'ringclr --help' lists the commands",
				table->command, i > 0 ? " " : "", parsed->operands[i]);
		parent = table;
		table = command->table;
		summary = command->summary;
	}
	print_page(stdout, table, parent, summary);
	return 0;
}

int command_man(int argc, char **argv)
{
	struct options parsed;
	struct man_options man;
	struct error err = {0};
	int status = options_parse(&parsed, &command_man_table, &man, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	int code;
	if (man.output == NULL)
		code = show_page(&parsed, &err);
	else if (parsed.operand_count > 0)
		code = error_set(&err, ERROR_USAGE, "--output writes all pages; leave out '%s'", parsed.operands[0]);
	else if (mkdir(man.output, 0777) != 0 && errno != EEXIST)
		code = error_set(&err, ERROR_IO, "cannot make the folder %s: %s", man.output, strerror(errno));
	else
		code = write_pages(man.output, &command_root_table, NULL, root_summary, &err);
	options_free(&parsed);
	return code < 0 ? command_fail("man", &err) : EXIT_OK;
}
