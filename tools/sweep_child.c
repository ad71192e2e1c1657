/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sweep_child.h"

#include <errno.h>
#include <fcntl.h>
#include <hwloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void redirect(const char *path, int flags, int to)
{
	int fd = open(path, flags | O_CLOEXEC, 0666);
	if (fd < 0 || dup2(fd, to) < 0)
		_exit(127);
}

pid_t sweep_child_start(
	char *const *words, const cpu_set_t *cpus, const char *output, const char *log, struct error *err)
{
	size_t count = 0;
	while (words[count])
		count++;
	char **argv = calloc(count + 2, sizeof *argv);
	if (!argv)
		return error_set(err, ERROR_MEMORY, "out of memory for a run");
	static char program[] = "ringclr";
	argv[0] = program;
	memcpy(argv + 1, words, count * sizeof *argv);
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		/* Nothing here but system calls. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		setpgid(0, 0);
		if (cpus)
			sched_setaffinity(0, sizeof *cpus, cpus);
		redirect("/dev/null", O_RDONLY, STDIN_FILENO);
		redirect(output, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
		if (log)
			redirect(log, O_WRONLY | O_CREAT | O_APPEND, STDERR_FILENO);
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	int failed = errno;
	free(argv);
	return pid < 0 ? error_set_errno(err, ERROR_SYSTEM, failed, "cannot start a run") : pid;
}

bool sweep_child_ended(pid_t pid, int *status)
{
	int raw = 0;
	pid_t ended = waitpid(pid, &raw, WNOHANG);
	if (ended == 0 || (ended < 0 && errno == EINTR))
		return false;
	*status = ended < 0 ? 127 : WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
	return true;
}

/* Operating system's numbers of the allowed processors, neighbours side by side. */
static unsigned list_processors(unsigned *list, const cpu_set_t *allowed)
{
	unsigned count = 0;
	hwloc_topology_t topology;
	if (hwloc_topology_init(&topology) == 0) {
		if (hwloc_topology_load(topology) == 0) {
			hwloc_obj_t unit = NULL;
			while ((unit = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_PU, unit)) != NULL)
				if (unit->os_index < CPU_SETSIZE && CPU_ISSET(unit->os_index, allowed))
					list[count++] = unit->os_index;
		}
		hwloc_topology_destroy(topology);
	}
	for (unsigned i = 0; count == 0 && i < CPU_SETSIZE; i++) /* hwloc knows nothing: in the system's order */
		if (CPU_ISSET(i, allowed))
			list[count++] = i;
	return count;
}

bool sweep_child_split(cpu_set_t *parts, unsigned count)
{
	cpu_set_t allowed;
	static unsigned list[CPU_SETSIZE];
	if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
		return false;
	unsigned processors = list_processors(list, &allowed);
	if (processors == 0)
		return false;
	for (unsigned part = 0; part < count; part++) {
		CPU_ZERO(&parts[part]);
		unsigned first = part * processors / count, end = (part + 1) * processors / count;
		for (unsigned i = first; i < end; i++)
			CPU_SET(list[i], &parts[part]);
		if (first == end)
			CPU_SET(list[part % processors], &parts[part]);
	}
	return true;
}
