/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of ringclr, and what they have in common: exit codes, messages, Ctrl-C. */
#ifndef RINGCLR_TOOLS_COMMAND_H
#define RINGCLR_TOOLS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "pipeline/error.h"
#include "stages/ringclr.h" /* RINGCLR_VERSION */

struct option_table;

/* TOO_SLOW: profile --target is not reached. */
enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_TOO_SLOW = 3, EXIT_INTERRUPTED = 130 };

/* X(name, summary): declares command_<name>() and command_<name>_table, its options, and is the table of the program's
 * subcommands, of which help, manual pages and completion come. Each lives in tools/<name>.c. argv[0] is the
 * subcommand's name; the result is the exit code. */
#define COMMAND_TABLE(X)                                                                                               \
	X(pack, "pack a folder or archive of images into a shard")                                                     \
	X(append, "add images to a shard or set")                                                                      \
	X(inspect, "say what a shard holds")                                                                           \
	X(verify, "check every hash of shards")                                                                        \
	X(repair, "salvage what is whole in a damaged shard")                                                          \
	X(extract, "write the images of shards back to files")                                                         \
	X(export, "turn shards or weights into formats of other programs")                                             \
	X(import, "make a checkpoint of torchvision's or timm's weights")                                              \
	X(merge, "put several shards and sets into one")                                                               \
	X(split, "divide records among several shards")                                                                \
	X(filter, "keep some records, by class, size, key or list")                                                    \
	X(reshuffle, "put records into a random order")                                                                \
	X(diff, "compare two data sets record by record")                                                              \
	X(train, "pre-train an encoder with SimCLR")                                                                   \
	X(finetune, "train a classifier from an encoder's weights")                                                    \
	X(eval, "evaluate an encoder: kNN, linear probe")                                                              \
	X(report, "draw a page of runs or of a sweep")                                                                 \
	X(embed, "write the features of every image")                                                                  \
	X(preview, "draw the augmented views of some images")                                                          \
	X(sweep, "run a study: train and evaluate every cell of a grid")                                               \
	X(profile, "find the bottleneck of the pipeline")                                                              \
	X(bench, "measure the machine, a training step, every layer")                                                  \
	X(synth, "generate a labelled data set")                                                                       \
	X(man, "write manual pages")                                                                                   \
	X(completion, "write the completion for bash or zsh")

struct command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
	const struct option_table *table; /* tools/options.h; of its modes, for a command that has some */
};

#define COMMAND_DECLARE(name, summary)                                                                                 \
	int command_##name(int argc, char **argv);                                                                     \
	extern const struct option_table command_##name##_table;
COMMAND_TABLE(COMMAND_DECLARE)
#undef COMMAND_DECLARE

/* The program itself: its modes are the subcommands. */
extern const struct option_table command_root_table;

/* The mode of that name, or NULL. A subcommand is a mode of command_root_table. */
const struct command *command_find(const struct option_table *table, const char *name);

/* The mode whose name is nearest, for "did you mean"; NULL: none is near. */
const char *command_nearest(const struct option_table *table, const char *name);

/* What the program's exit codes mean, lowest first; {0, NULL} ends the list. */
struct command_exit {
	int code;
	const char *meaning;
};
extern const struct command_exit command_exits[];

/* Prints "ringclr <command>: <message>" on stderr and returns the exit code that the error's code asks for. */
int command_fail(const char *command, const struct error *err);

/* "ringclr <command>: <message>" on stderr, for warnings and notes. */
__attribute__((format(printf, 2, 3))) void command_note(const char *command, const char *format, ...);

/* Before a long run: every file that is to be written at its end (path NULL: it is not) can be, and no two are the
 * same. Nothing is left behind. */
struct command_output {
	const char *option; /* "--report" */
	const char *path;
};
int command_check_outputs(const struct command_output *outputs, size_t count, struct error *err);

/* Whether two paths are one file; equal ones are, also where none is there. */
bool command_same_file(const char *a, const char *b);

/* SIGINT, SIGTERM and SIGHUP from now on only set a flag; the second SIGINT kills as usual. */
void command_catch_interrupts(void);
bool command_interrupted(void);

#endif
