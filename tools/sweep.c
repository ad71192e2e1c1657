/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr sweep: the options; finds the study, plans, runs, and says what came of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/help.h"
#include "tools/sweep_child.h"
#include "tools/sweep_job.h"

static const struct option_spec spec[] = {
	OPTION_GROUP("Study"),
	OPTION_CHOICE(struct sweep_options, size, "size", "tiny|paper", "tiny",
		"tiny: minutes on a small machine; paper: as it was published"),
	OPTION_STRING(struct sweep_options, train, "train", "SHARD", NULL,
		"shard to train on; needed, unless with --dry-run"),
	OPTION_STRING(struct sweep_options, test, "test", "SHARD", NULL,
		"labelled shard to evaluate on; needed, unless with --dry-run"),
	OPTION_STRING(struct sweep_options, seeds, "seeds", "LIST", NULL,
		"seeds to run every cell with, such as 1,2,3, in place of the study's"),
	OPTION_STRING(struct sweep_options, set, "set", "NAME=VALUE", NULL,
		"an option of `ringclr train` for every run, over those of [base]; again for another", .repeats = true),
	OPTION_GROUP("Running"),
	OPTION_STRING(struct sweep_options, output, "output", "DIR", NULL,
		"folder of the sweep; one that is there already goes on. Needed, unless with --dry-run", .letter = 'o',
		.incidental = true),
	OPTION_U64(struct sweep_options, jobs, "jobs", "N", "1", 1, 64,
		"runs at a time; each has its share of the processors", .incidental = true),
	OPTION_CHOICE(struct sweep_options, keep, "keep", "all|encoder|none", "encoder",
		"what stays of a finished cell's checkpoint: all of it, what evaluating needs, or nothing",
		.incidental = true),
	OPTION_FLAG(struct sweep_options, dry_run, "dry-run", "no",
		"check the study and print the commands; run and write nothing", .incidental = true),
	OPTION_FLAG(struct sweep_options, quiet, "quiet", "no", "no progress lines", .incidental = true),
	OPTION_FLAG(
		struct sweep_options, json, "json", "no", "print the result as one JSON object", .incidental = true),
};

static void describe_format(const struct help *help)
{
	help_heading(help, "Studies");
	help_paragraph(help,
		"A study is a file of 'name = value' lines in sections; a line starting with # is a comment. A section "
		"can be followed by tiny or paper: [grid paper]; its lines then hold for that size alone, over those "
		"without. docs/STUDIES.md says more.");
	help_entry(help, "[study]",
		"title; seeds = 1, 2; pairs = A, B: of two axes with the same values (a, b) is the same "
		"cell as (b, a), and in (a, a) B does nothing");
	help_entry(help, "[base]",
		"options of `ringclr train`, without dashes. [tiny] and [paper] are short for [base tiny], "
		"[base paper]");
	help_entry(help, "[grid]",
		"an axis a line, with its values: temperature = 0.1, 0.5, 1. Every combination is a cell");
	help_entry(help, "[axis NAME]",
		"what a value means: options ('l2 = --normalize'), or a text that stands for it. Without a line the "
		"value is its own text. The text is given to the option called NAME, and stands wherever an option "
		"has {NAME}");
	help_entry(help, "[cells]",
		"only these cells: each line a block, values of each axis in order, with ' x ' between axes and * for "
		"all: 'l2 x 0.1, 0.5'");
	help_entry(help, "[prepare NAME]",
		"options of a run that cells start from: {NAME} in an option is its folder. One for each seed");
	help_entry(help, "[evaluate]",
		"a value a line: 'linear = metrics.linear | metrics.top1' is the first of these in the last line of "
		"metrics.jsonl, 'sgd = eval --method linear --solver sgd' is the accuracy that `ringclr eval` finds "
		"(eval.top5: another field). Without the section: linear and knn");
	help_entry(help, "[figure]",
		"kind = lines, bars or heatmap; x, y (rows of a heatmap), series: axes; value; x_label, value_label; "
		"log_x");
	help_entry(help, "[labels]", "what axes and values are called in a figure");
	help_entry(help, "[paper numbers]",
		"caption, and published numbers: values of each axis (size paper), with commas: '0.1, l2 = 64.4'");
}

const struct option_table command_sweep_table = {
	.command = "sweep",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Runs a study: `ringclr train` for every cell of a grid of options and every seed, then what is to be "
		 "evaluated. Writes DIR/rows.jsonl and DIR/rows.csv, a row for each, DIR/study.json, and the runs "
		 "in DIR/runs/. The same command goes on where it was stopped, and tries again what failed; a cell "
		 "that fails stops no other. Ctrl-C has the runs save and exits 130.",
	.operands = "FILE.ini",
	.operand_help = "the study: a file, or the name of one that comes with ringclr (temperature, composition, ...)",
	.operand_min = 1,
	.operand_max = 1,
	.notes = describe_format,
	.examples = "ringclr sweep temperature --train train.ring --test test.ring -o temperature\n"
		    "ringclr sweep composition --size paper --dry-run\n"
		    "ringclr sweep my.ini --train train.ring --test test.ring -o my --jobs 4 --seeds 1,2,3\n"
		    "ringclr sweep head --train train.ring --test test.ring -o head --set epochs=40 --set batch=128\n",
};

/* A study that comes with ringclr: beside the installed program, or in the tree that it was built in. */
static int find_study(const char *given, char path[SWEEP_PATH_BYTES], struct error *err)
{
	static const char *const places[] = {"../share/ringclr/studies", "tools/studies", "../../tools/studies"};
	char program[SWEEP_PATH_BYTES];
	ssize_t bytes = readlink("/proc/self/exe", program, sizeof program - 1);
	size_t length = strlen(given);
	bool is_name = !strchr(given, '/') && !(length > 4 && strcmp(given + length - 4, ".ini") == 0);
	snprintf(path, SWEEP_PATH_BYTES, "%s", given);
	if (!is_name || access(given, F_OK) == 0 || bytes <= 0)
		return 0;
	program[bytes] = '\0';
	char *slash = strrchr(program, '/');
	if (slash)
		*slash = '\0';
	for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++)
		if (snprintf(path, SWEEP_PATH_BYTES, "%s/%s/%s.ini", program, places[i], given) < SWEEP_PATH_BYTES &&
			access(path, F_OK) == 0)
			return 0;
	return error_set(err, ERROR_USAGE,
		"%s: no such file, and no study of that name comes with ringclr; docs/STUDIES.md lists them", given);
}

static int check_options(const struct sweep *sweep, struct error *err)
{
	const struct sweep_options *o = &sweep->options;
	const char *missing = !o->train ? "train SHARD" : !o->test ? "test SHARD" : !o->output ? "output DIR" : NULL;
	if (missing && !o->dry_run)
		return error_set(err, ERROR_USAGE, "--%s is needed; see 'ringclr sweep --help'", missing);
	return 0;
}

/* DIR/report.html, by `ringclr report`. */
static int write_report(struct sweep *sweep, struct error *err)
{
	char path[SWEEP_PATH_BYTES];
	if (sweep->interrupted)
		return 0;
	if (sweep_path(sweep, path, "report.html", err) < 0)
		return err->code;
	char report[] = "report", option[] = "--output";
	char *words[] = {report, (char *)sweep->options.output, option, path, NULL};
	pid_t pid = sweep_child_start(words, NULL, "/dev/null", NULL, err);
	int status = 0;
	const struct timespec pause = {.tv_nsec = 20000000};
	while (pid > 0 && !sweep_child_ended(pid, &status))
		nanosleep(&pause, NULL);
	if (pid > 0 && status != 0)
		error_set(err, ERROR_IO, "%s was not written; `ringclr report` said why", path);
	else if (pid > 0)
		snprintf(sweep->report, sizeof sweep->report, "%s", path);
	return err->code;
}

static int run_sweep(struct sweep *sweep, struct error *err)
{
	sweep->rows = calloc((size_t)sweep->plan.cell_count * sweep->plan.seed_count, sizeof *sweep->rows);
	if (!sweep->rows)
		return error_set(err, ERROR_MEMORY, "out of memory for %u cells", sweep->plan.cell_count);
	int code = sweep_folder_open(sweep, err);
	if (code == 0)
		code = sweep_rows_open(sweep, err);
	if (code == 0)
		code = sweep_run(sweep, err);
	if (code == 0)
		code = sweep_rows_finish(sweep, err);
	return code;
}

int command_sweep(int argc, char **argv)
{
	static struct sweep sweep; /* large: the plan */
	sweep = (struct sweep){.lock_fd = -1, .rows_fd = -1};
	int status = options_parse(&sweep.parsed, &command_sweep_table, &sweep.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct error err = {0};
	char path[SWEEP_PATH_BYTES];
	int code = check_options(&sweep, &err);
	if (code == 0)
		code = find_study(sweep.parsed.operands[0], path, &err);
	if (code == 0)
		code = sweep_plan_make(&sweep.plan, path, (enum study_size)sweep.options.size, sweep.options.set,
			sweep.options.seeds, &err);
	if (code == 0 && !sweep.options.dry_run)
		code = run_sweep(&sweep, &err);
	/* A report that cannot be written takes nothing from the rows. */
	struct error unreported = {0};
	if (code == 0 && !sweep.options.dry_run)
		write_report(&sweep, &unreported);
	if (code < 0)
		status = command_fail("sweep", &err);
	else
		status = sweep.options.dry_run ? sweep_print_dry(&sweep) : sweep_print_result(&sweep);
	if (unreported.code < 0) {
		int failed = command_fail("sweep", &unreported);
		status = status == EXIT_OK ? failed : status;
	}
	sweep_rows_close(&sweep);
	if (sweep.lock_fd >= 0)
		close(sweep.lock_fd);
	sweep_plan_free(&sweep.plan);
	options_free(&sweep.parsed);
	return status;
}
