/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/command.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/atomic_file.h"
#include "pipeline/escape.h"
#include "pipeline/nearest.h"
#include "tools/options.h"

#define COMMAND_ENTRY(name, summary) {#name, summary, command_##name, &command_##name##_table},
static const struct command commands[] = {COMMAND_TABLE(COMMAND_ENTRY)};
#undef COMMAND_ENTRY

const struct option_table command_root_table = {
	.command = "",
	.about = "Pre-trains image encoders with SimCLR on one machine's processors.",
	.operands = "COMMAND",
	.modes = commands,
	.mode_count = sizeof(commands) / sizeof(commands[0]),
	.examples = "ringclr pack photos/ -o photos.ring\n"
		    "ringclr verify photos.ring\n"
		    "ringclr train photos.ring -o run --size 224\n"
		    "ringclr embed run photos.ring -o features.npy\n",
};

const struct command_exit command_exits[] = {
	{EXIT_OK, "success"},
	{EXIT_FAILED, "failure: a message on standard error says what and where, or something checked is not sound"},
	{EXIT_USAGE, "wrong usage"},
	{EXIT_TOO_SLOW, "profile: a loader slower than --target"},
	{EXIT_INTERRUPTED, "interrupted"},
	{0, NULL},
};

const struct command *command_find(const struct option_table *table, const char *name)
{
	for (unsigned i = 0; i < table->mode_count; i++) {
		if (strcmp(table->modes[i].name, name) == 0)
			return &table->modes[i];
	}
	return NULL;
}

const char *command_nearest(const struct option_table *table, const char *name)
{
	const char *words[OPTIONS_MAX];
	unsigned count = 0;
	while (count < table->mode_count && count < OPTIONS_MAX) {
		words[count] = table->modes[count].name;
		count++;
	}
	return nearest_word(name, words, count);
}

int command_fail(const char *command, const struct error *err)
{
	fprintf(stderr, "ringclr %s: %s\n", command, err->message);
	switch (err->code) {
	case ERROR_USAGE:
		return EXIT_USAGE;
	case ERROR_INTERRUPTED:
		return EXIT_INTERRUPTED;
	default:
		return EXIT_FAILED;
	}
}

void command_note(const char *command, const char *format, ...)
{
	va_list arguments;
	char *line = NULL;
	va_start(arguments, format);
	if (vasprintf(&line, format, arguments) < 0)
		line = NULL;
	va_end(arguments);
	if (line != NULL)
		escape_line(line);
	fprintf(stderr, "ringclr %s: %s\n", command, line != NULL ? line : format);
	free(line);
}

/* Lock-free, so a signal handler may store it; atomic and no sig_atomic_t, because every thread looks. Orders nothing.
 */
static atomic_int interrupted;

/* SA_RESETHAND gives the second signal its usual, deadly meaning. */
static void note_interrupt(int signal_number)
{
	(void)signal_number;
	atomic_store_explicit(&interrupted, 1, memory_order_relaxed);
}

void command_catch_interrupts(void)
{
	struct sigaction action = {.sa_handler = note_interrupt, .sa_flags = (int)SA_RESETHAND};
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* Under nohup the end of the terminal is to be ignored. */
	struct sigaction hangup;
	if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &action, NULL);
}

bool command_interrupted(void)
{
	return atomic_load_explicit(&interrupted, memory_order_relaxed) != 0;
}

bool command_same_file(const char *a, const char *b)
{
	struct stat first, second;
	return strcmp(a, b) == 0 || (stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
					    first.st_ino == second.st_ino);
}

int command_check_outputs(const struct command_output *outputs, size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (!outputs[i].path)
			continue;
		for (size_t j = 0; j < i; j++)
			if (outputs[j].path && strcmp(outputs[i].path, outputs[j].path) == 0)
				return error_set(err, ERROR_USAGE, "%s and %s are the same file, %s; name another",
					outputs[j].option, outputs[i].option, outputs[i].path);
		struct atomic_file *file = atomic_file_create(outputs[i].path, err);
		if (!file)
			return err->code;
		atomic_file_abandon(file);
	}
	return 0;
}
