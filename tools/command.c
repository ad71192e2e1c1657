/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/command.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define COMMAND_NAME(name, summary) #name,
static const char *const names[] = {COMMAND_TABLE(COMMAND_NAME)};
#undef COMMAND_NAME

bool command_known(const char *name)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
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
	va_start(arguments, format);
	fprintf(stderr, "ringclr %s: ", command);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
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

enum { NEAREST_BYTES = 48 };

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Edits that turn a into b: insertion, deletion, substitution, swap of neighbours (optimal string alignment). */
static unsigned edit_distance(const char *a, const char *b)
{
	size_t rows = strlen(a), columns = strlen(b);
	unsigned cost[NEAREST_BYTES + 1][NEAREST_BYTES + 1];
	for (unsigned i = 0; i <= rows; i++)
		cost[i][0] = i;
	for (unsigned j = 0; j <= columns; j++)
		cost[0][j] = j;
	for (size_t i = 1; i <= rows; i++) {
		for (size_t j = 1; j <= columns; j++) {
			unsigned change = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			cost[i][j] = least(change, least(cost[i - 1][j], cost[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				cost[i][j] = least(cost[i][j], cost[i - 2][j - 2] + 1);
		}
	}
	return cost[rows][columns];
}

const char *command_nearest(const char *name, const char *const *words, unsigned count)
{
	size_t bytes = strlen(name);
	if (bytes < 2 || bytes > NEAREST_BYTES)
		return NULL;
	const char *nearest = NULL;
	unsigned best = (unsigned)(bytes + 2) / 3 + 1;
	for (unsigned i = 0; i < count; i++) {
		if (strlen(words[i]) > NEAREST_BYTES)
			continue;
		/* A name cut short ("out" for "output") is nearer than its distance says. */
		unsigned distance = strncmp(words[i], name, bytes) == 0 ? 1 : edit_distance(name, words[i]);
		if (distance < best) {
			best = distance;
			nearest = words[i];
		}
	}
	return nearest;
}
