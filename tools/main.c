/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr: one program, a file per subcommand. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "model/blas.h"
#include "tools/command.h"
#include "tools/options.h"

static const struct command *find_command(const char *name)
{
	const struct command *command = command_find(&command_root_table, name);
	if (command != NULL)
		return command;
	const char *near = command_nearest(&command_root_table, name);
	if (near != NULL)
		fprintf(stderr, "ringclr: no command '%s'; did you mean %s?\n", name, near);
	else
		fprintf(stderr, "ringclr: no command '%s'; 'ringclr --help' lists them\n", name);
	return NULL;
}

static int dispatch(int argc, char **argv)
{
	if (argc < 2) {
		options_help(&command_root_table, stderr);
		return EXIT_USAGE;
	}
	const char *name = argv[1];
	bool help = strcmp(name, "help") == 0;
	if (strcmp(name, "--version") == 0) {
		puts("ringclr " RINGCLR_VERSION);
		return EXIT_OK;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (help && argc == 2)) {
		options_help(&command_root_table, stdout);
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

/* A set has a descriptor for each shard, and the usual soft limit of 1024 is there for programs that use select(). */
static void raise_open_files(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	raise_open_files();
	blas_end_threads();
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
