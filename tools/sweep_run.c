/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs what is not done yet, at most --jobs at a time. A task is one run: of a cell with one seed, or one that cells
 * start from; its steps are commands, one after the other. The main loop looks at every place 50 times a second: has
 * its command ended, then starts the task's next one, or records the task and takes up another whose prepared run is
 * there.
 *
 * A run's folder says by itself how far it is, so nothing else is kept: train --resume goes on from its checkpoint, and
 * returns at once when it was finished.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "io/atomic_file.h"
#include "pipeline/meter.h"
#include "tools/command.h"
#include "tools/sweep_child.h"
#include "tools/sweep_job.h"

enum { MAX_JOBS = 64, LOOK_NS = 20000000, LOG_LIMIT_BYTES = 64 << 20 };
enum task_state { TASK_OPEN, TASK_RUNNING, TASK_DONE, TASK_FAILED };

struct sweep_task {
	int cell; /* below 0: prepared run -1 - cell */
	unsigned seed;
	enum task_state state;
};

struct sweep_place {
	struct sweep_task *task; /* NULL: free */
	pid_t pid;
	unsigned step;
	uint64_t start_ns;
};

struct sweep_runner {
	struct sweep *sweep;
	struct sweep_task *tasks;
	unsigned task_count, places, failed, ended, open; /* open: tasks when it began */
	struct sweep_place place[MAX_JOBS];
	cpu_set_t processors[MAX_JOBS];
	bool split;
	uint64_t start_ns;
};

static const char *task_name(const struct sweep_runner *runner, const struct sweep_task *task)
{
	return task->cell >= 0 ? runner->sweep->plan.cells[task->cell].name
			       : runner->sweep->plan.prepared[-1 - task->cell].name;
}

/* DIR/runs/NAME/file; file may be "". */
static int run_file(const struct sweep_runner *runner, const struct sweep_task *task, const char *file,
	char path[SWEEP_PATH_BYTES], struct error *err)
{
	struct study words = {.path = ""};
	char inside[512];
	const char *name = sweep_run_name(runner->sweep, &words, task->cell, task->seed, err);
	snprintf(inside, sizeof inside, "runs/%s%s%s", name ? name : "", *file ? "/" : "", file);
	study_free(&words);
	return err->code < 0 ? err->code : sweep_path(runner->sweep, path, inside, err);
}

/* The prepared run that the cell's options name, or NULL. */
static struct sweep_task *needed(const struct sweep_runner *runner, const struct sweep_task *task)
{
	const struct sweep_plan *plan = &runner->sweep->plan;
	for (unsigned i = 0; task->cell >= 0 && i < plan->prepared_count; i++) {
		const struct study_options *options = &plan->cells[task->cell].options;
		char place[80];
		snprintf(place, sizeof place, "{%.70s}", plan->prepared[i].name);
		for (size_t j = 0; j < options->count; j++)
			if (strstr(options->list[j].value, place))
				return &runner->tasks[i * plan->seed_count + task->seed];
	}
	return NULL;
}

/* Whether a cell that is still to be run needs the prepared run. */
static bool wanted(const struct sweep_runner *runner, const struct sweep_task *prepared)
{
	for (unsigned i = 0; i < runner->task_count; i++)
		if (runner->tasks[i].state == TASK_OPEN && needed(runner, &runner->tasks[i]) == prepared)
			return true;
	return false;
}

/* ---- progress ---- */

static void tell(const struct sweep_runner *runner, const struct sweep_task *task, const struct sweep_row *row)
{
	const struct sweep *sweep = runner->sweep;
	if (sweep->options.quiet)
		return;
	double elapsed = (double)(meter_now_ns() - runner->start_ns) * 1e-9;
	unsigned left = runner->open - runner->ended;
	char scores[256] = "";
	for (unsigned i = 0; row && i < sweep->plan.measure_count; i++) {
		const cJSON *value = cJSON_GetObjectItemCaseSensitive(row->values, sweep->plan.measures[i].name);
		if (cJSON_IsNumber(value))
			snprintf(scores + strlen(scores), sizeof scores - strlen(scores), "  %s %.4g",
				sweep->plan.measures[i].name, value->valuedouble);
	}
	double eta = elapsed / runner->ended * left;
	fprintf(stderr, "%u/%u  %s seed %.0f:%s  %.1f s  ETA %um%02us\n", runner->task_count - left, runner->task_count,
		task_name(runner, task), (double)sweep->plan.seeds[task->seed],
		task->state == TASK_FAILED ? "  failed" : scores, row ? row->seconds : 0, (unsigned)eta / 60,
		(unsigned)eta % 60);
	if (task->state == TASK_FAILED && row && row->message)
		fprintf(stderr, "        %s\n", row->message);
}

/* ---- the end of a task ---- */

/* The last line of the run's log, which is the message that it ended with. */
static char *last_words(const struct sweep_runner *runner, const struct sweep_task *task, int status)
{
	char path[SWEEP_PATH_BYTES], *message = NULL;
	struct error ignored = {0};
	size_t bytes = 0;
	char *text = run_file(runner, task, "log.txt", path, &ignored) < 0
			     ? NULL
			     : atomic_file_read_all(path, LOG_LIMIT_BYTES, &bytes, &ignored);
	while (text && bytes > 0 && text[bytes - 1] == '\n')
		text[--bytes] = '\0';
	const char *line = text ? strrchr(text, '\n') : NULL;
	line = line ? line + 1 : text;
	if (status > 128)
		message = asprintf(&message, "killed by signal %d (%s)", status - 128, strsignal(status - 128)) < 0
				  ? NULL
				  : message;
	else if (line && *line)
		message = strdup(line);
	else if (asprintf(&message, "ended with exit code %d and without a message", status) < 0)
		message = NULL;
	free(text);
	return message;
}

static int record(struct sweep_runner *runner, struct sweep_task *task, bool failed, char *message, double seconds,
	struct error *err)
{
	struct sweep *sweep = runner->sweep;
	task->state = failed ? TASK_FAILED : TASK_DONE;
	runner->ended++;
	if (task->cell < 0) {
		struct sweep_row row = {.seconds = seconds, .message = message};
		tell(runner, task, &row);
		free(message);
		return 0;
	}
	struct sweep_row *row = sweep_row_of(sweep, (unsigned)task->cell, task->seed);
	row->seconds = seconds;
	row->message = message;
	char run[SWEEP_PATH_BYTES];
	int code = run_file(runner, task, "", run, err);
	struct error unread = {0};
	if (code == 0 && !failed && sweep_collect(sweep, run, row, &unread) < 0) {
		task->state = TASK_FAILED;
		row->message = strdup(unread.message);
	}
	row->status = task->state == TASK_FAILED ? SWEEP_FAILED : SWEEP_DONE;
	if (row->status == SWEEP_FAILED) {
		cJSON_Delete(row->values);
		row->values = NULL;
		runner->failed++;
	}
	if (code == 0)
		code = sweep_rows_append(sweep, (unsigned)task->cell, task->seed, err);
	if (code == 0)
		tell(runner, task, row);
	/* Only now: a run without its row is resumed, from all of its checkpoint. */
	if (code == 0 && row->status == SWEEP_DONE)
		code = sweep_shrink(sweep, run, err);
	return code;
}

/* ---- commands ---- */

/* Starts the step that the place is at. */
static int start_step(struct sweep_runner *runner, unsigned number, struct error *err)
{
	struct sweep_place *place = &runner->place[number];
	struct study words = {.path = ""};
	char output[SWEEP_PATH_BYTES], log[SWEEP_PATH_BYTES], name[128] = "log.txt";
	char **command = sweep_command(runner->sweep, &words, place->task->cell, place->task->seed, place->step, err);
	const struct sweep_measure *measure =
		place->step > 0 ? sweep_step_measure(&runner->sweep->plan, place->step) : NULL;
	if (measure)
		snprintf(name, sizeof name, "eval-%s.json", measure->name);
	int code = err->code;
	if (code == 0)
		code = run_file(runner, place->task, name, output, err);
	if (code == 0)
		code = run_file(runner, place->task, "log.txt", log, err);
	if (command && code == 0)
		place->pid = sweep_child_start(command, runner->split ? &runner->processors[number] : NULL,
			measure ? output : "/dev/null", log, err);
	study_free(&words);
	return err->code;
}

/* The next task that can run, or NULL. Those whose prepared run has failed fail here. */
static struct sweep_task *take_task(struct sweep_runner *runner, struct error *err)
{
	for (unsigned i = 0; i < runner->task_count && err->code == 0; i++) {
		struct sweep_task *task = &runner->tasks[i];
		const struct sweep_task *before = needed(runner, task);
		if (task->state != TASK_OPEN)
			continue;
		if (!before || before->state == TASK_DONE)
			return task;
		if (before->state == TASK_FAILED)
			record(runner, task, true, strdup("the run that it starts from has failed"), 0, err);
	}
	return NULL;
}

static int start_task(struct sweep_runner *runner, unsigned number, struct sweep_task *task, struct error *err)
{
	char path[SWEEP_PATH_BYTES];
	if (run_file(runner, task, "", path, err) < 0)
		return err->code;
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return error_set_errno(err, ERROR_IO, errno, "%s: cannot make a run's folder", path);
	task->state = TASK_RUNNING;
	runner->place[number] = (struct sweep_place){.task = task, .start_ns = meter_now_ns()};
	return start_step(runner, number, err);
}

/* The command of that place has ended. */
static int go_on(struct sweep_runner *runner, unsigned number, int status, struct error *err)
{
	struct sweep_place *place = &runner->place[number];
	struct sweep_task *task = place->task;
	double seconds = (double)(meter_now_ns() - place->start_ns) * 1e-9;
	place->pid = 0;
	place->step++;
	bool last = task->cell < 0 || !sweep_step_measure(&runner->sweep->plan, place->step);
	if (runner->sweep->interrupted && (status != EXIT_OK || !last)) {
		task->state = TASK_OPEN; /* what it did is saved; the next sweep goes on */
		place->task = NULL;
		return 0;
	}
	if (status == EXIT_OK && !last)
		return start_step(runner, number, err);
	place->task = NULL;
	char *message = status == EXIT_OK ? NULL : last_words(runner, task, status);
	return record(runner, task, status != EXIT_OK, message, seconds, err);
}

static void signal_all(const struct sweep_runner *runner, int number)
{
	for (unsigned i = 0; i < runner->places; i++)
		if (runner->place[i].pid > 0)
			kill(runner->place[i].pid, number);
}

/* One look at every place. Returns how many are at work, or an error. */
static int look(struct sweep_runner *runner, struct error *err)
{
	int busy = 0;
	if (command_interrupted() && !runner->sweep->interrupted) {
		runner->sweep->interrupted = true;
		signal_all(runner, SIGTERM);
	}
	for (unsigned i = 0; i < runner->places && err->code == 0; i++) {
		int status;
		if (runner->place[i].task && sweep_child_ended(runner->place[i].pid, &status))
			go_on(runner, i, status, err);
		struct sweep_task *task =
			runner->place[i].task || runner->sweep->interrupted ? NULL : take_task(runner, err);
		if (task && err->code == 0)
			start_task(runner, i, task, err);
		busy += runner->place[i].task != NULL;
	}
	return err->code < 0 ? err->code : busy;
}

static int make_tasks(struct sweep_runner *runner, struct error *err)
{
	const struct sweep_plan *plan = &runner->sweep->plan;
	runner->tasks =
		calloc((size_t)(plan->prepared_count + plan->cell_count) * plan->seed_count, sizeof *runner->tasks);
	if (!runner->tasks)
		return error_set(err, ERROR_MEMORY, "out of memory for %u cells", plan->cell_count);
	for (unsigned i = 0; i < plan->prepared_count; i++)
		for (unsigned seed = 0; seed < plan->seed_count; seed++)
			runner->tasks[runner->task_count++] = (struct sweep_task){.cell = -1 - (int)i, .seed = seed};
	for (unsigned seed = 0; seed < plan->seed_count; seed++)
		for (unsigned i = 0; i < plan->cell_count; i++)
			if (plan->cells[i].mirror_of < 0)
				runner->tasks[runner->task_count++] = (struct sweep_task){
					.cell = (int)i,
					.seed = seed,
					.state = sweep_row_of(runner->sweep, i, seed)->status == SWEEP_DONE ? TASK_DONE
													    : TASK_OPEN,
				};
	for (unsigned i = 0; i < plan->prepared_count * plan->seed_count; i++)
		if (!wanted(runner, &runner->tasks[i]))
			runner->tasks[i].state = TASK_DONE;
	for (unsigned i = 0; i < runner->task_count; i++)
		runner->open += runner->tasks[i].state == TASK_OPEN;
	return 0;
}

int sweep_run(struct sweep *sweep, struct error *err)
{
	static struct sweep_runner runner;
	runner = (struct sweep_runner){
		.sweep = sweep, .places = (unsigned)sweep->options.jobs, .start_ns = meter_now_ns()};
	int code = make_tasks(&runner, err);
	if (code == 0 && runner.open < runner.task_count && !sweep->options.quiet)
		command_note(
			"sweep", "%u of %u runs are done already", runner.task_count - runner.open, runner.task_count);
	runner.split = runner.places > 1 && sweep_child_split(runner.processors, runner.places);
	int busy = 1;
	while (code == 0 && busy > 0) {
		busy = look(&runner, err);
		code = busy < 0 ? busy : 0;
		const struct timespec pause = {.tv_nsec = LOOK_NS};
		if (busy > 0)
			nanosleep(&pause, NULL);
	}
	/* After an error of the sweep's own nobody would record what still runs. */
	if (code < 0)
		signal_all(&runner, SIGTERM);
	for (unsigned i = 0; i < runner.places; i++) {
		int status;
		while (runner.place[i].pid > 0 && !sweep_child_ended(runner.place[i].pid, &status)) {
			const struct timespec pause = {.tv_nsec = LOOK_NS};
			nanosleep(&pause, NULL);
		}
	}
	free(runner.tasks);
	return code;
}
