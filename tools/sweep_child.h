/* SPDX-License-Identifier: Apache-2.0 */
/* This program again, as a child process. */
#ifndef RINGCLR_TOOLS_SWEEP_CHILD_H
#define RINGCLR_TOOLS_SWEEP_CHILD_H

#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

#include "pipeline/error.h"

/* Starts `ringclr words...` (NULL-terminated, words[0] is the subcommand), on the processors of `cpus` (NULL: all).
 * Standard output goes to the file `output`, standard error is added to `log` (NULL: stays where it is). The child is a
 * process group of its own, so that Ctrl-C in a terminal reaches the sweep alone, and is killed should the sweep die.
 */
pid_t sweep_child_start(
	char *const *words, const cpu_set_t *cpus, const char *output, const char *log, struct error *err);

/* True when it has ended: *status is its exit code, or 128 and the signal. */
bool sweep_child_ended(pid_t pid, int *status);

/* The processors that this process may run on, in `count` parts of neighbours (hardware threads of a core stay
 * together); with fewer processors than parts, some have the same one. False: unknown, leave them as they are. */
bool sweep_child_split(cpu_set_t *parts, unsigned count);

#endif
