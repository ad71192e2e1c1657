/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr: one program, a file per subcommand. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/nearest.h"
#include "tools/command.h"

#define COMMAND_ENTRY(name, summary) {#name, summary, command_##name},
static const struct command commands[] = {COMMAND_TABLE(COMMAND_ENTRY)};
#undef COMMAND_ENTRY
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_help(FILE *out)
{
	fputs("usage: ringclr COMMAND [OPTION]...\n\n"
	      "Pre-trains image encoders with SimCLR on one machine's processors.\n\n",
		out);
	for (int i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fputs("\n'ringclr COMMAND --help' explains one of them; 'ringclr --version' prints the version.\n"
	      "Exit codes: 0 success, 1 failure, 2 wrong usage, 3 a loader slower than profile --target,\n130 "
	      "interrupted.\n",
		out);
}

static const struct command *find_command(const char *name)
{
	for (int i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	const char *words[COMMANDS];
	for (int i = 0; i < COMMANDS; i++)
		words[i] = commands[i].name;
	const char *near = nearest_word(name, words, COMMANDS);
	if (near != NULL)
		fprintf(stderr, "ringclr: no command '%s'; did you mean %s?\n", name, near);
	else
		fprintf(stderr, "ringclr: no command '%s'; 'ringclr --help' lists them\n", name);
	return NULL;
}

static int dispatch(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	const char *name = argv[1];
	bool help = strcmp(name, "help") == 0;
	if (strcmp(name, "--version") == 0) {
		puts("ringclr " RINGCLR_VERSION);
		return EXIT_OK;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (help && argc == 2)) {
		print_help(stdout);
		return EXIT_OK;
	}
	const struct command *command = find_command(help ? argv[2] : name);
	if (command == NULL)
		return EXIT_USAGE;
	if (!help)
		return command->run(argc - 1, argv + 1);
	char option[] = "--help";
	char *arguments[] = {argv[2], option, NULL};
	return command->run(2, arguments);
}

int main(int argc, char **argv)
{
	/* A closed pipe and a full quota then are errors of write(), with a message and a clean end. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	int status = dispatch(argc, argv);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	if (errno != EPIPE)
		fprintf(stderr, "ringclr: cannot write to the standard output: %s\n", strerror(errno));
	return status == EXIT_OK ? EXIT_FAILED : status;
}
