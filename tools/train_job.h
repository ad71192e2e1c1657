/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of `ringclr train` share: its options and everything that one run holds.
 *
 *   train.c        the option table; starts the run, sees it to its end, prints the result
 *   train_supervised.c  what the loss and --init change of that
 *   train_setup.c  options -> data, net, loader, files, pipeline: all that is there before the first step
 *   train_report.c what --report writes
 *   train_probe.c  the online probe
 *   train_events.c what --tensorboard writes
 *   train_plan.c   what that comes to: memory, work, and a prediction
 */
#ifndef RINGCLR_TOOLS_TRAIN_JOB_H
#define RINGCLR_TOOLS_TRAIN_JOB_H

#include "pipeline/trace.h"
#include "stages/checkpoint.h"
#include "stages/trainer.h"
#include "tools/evaluate.h"
#include "tools/model_options.h"
#include "tools/run_files.h"
#include "tools/views_option.h"
#include "tools/weights_file.h"

enum { TRAIN_INPUT_UNIT, TRAIN_INPUT_IMAGENET }; /* of --input */

struct train_options {
	const char *output, *test, *model, *trace, *report, *views;
	const char *init, *train; /* train: of finetune */
	double width, temperature, lr, weight_decay, momentum, warmup_epochs, strength, area_min, margin,
		label_fraction;
	uint64_t size, head_dim, batch, epochs, seed, limit_images, window, eval_every, checkpoint_every, knn_k;
	uint64_t split_seed;
	unsigned stem, input, head, optimizer, lr_scaling, order; /* places in their choices, which are the enums' */
	unsigned loss, negatives, init_from;
	bool resume, quiet, json, dry_run, normalize, probe, tensorboard;
	struct model_options compute;
	struct runtime_options runtime;
};

/* Of --probe. */
struct train_probe {
	struct online_probe *online; /* NULL: none wanted */
	struct schedule schedule;
	struct checkpoint_tensor tensors[3]; /* its part of the checkpoint */
};

/* Where weights come from: at the start of a run --init's file, else its own checkpoint. */
struct train_start {
	char path[WEIGHTS_PATH];
	char model[16];		       /* the option's text */
	struct checkpoint_about about; /* of that file */
};

/* Everything that one run holds. */
struct train_job {
	struct train_options options;
	struct options parsed;
	struct runtime runtime;
	struct run_files files;
	const char *const *shards; /* to train on */
	unsigned shard_count;
	bool finetune; /* `ringclr finetune`, whose operand is --init */
	struct shard_set *data, *test;
	uint64_t test_fingerprint; /* of a run that goes on: what test's must be; 0: any */
	uint64_t *subset;	   /* records of --label-fraction; NULL: all */
	uint64_t subset_count;
	struct train_start start;
	struct epoch_plan *plan;
	struct view_policies policies;
	struct net *net;
	struct optimizer *optimizer;
	struct schedule schedule;
	struct loader *loader;
	struct evaluator evaluator;
	struct train_probe probe;
	struct trainer *trainer;
	struct trace *trace;	     /* NULL: none wanted */
	struct train_watch *watch;   /* of --report; NULL: none wanted */
	struct train_events *events; /* of --tensorboard; NULL: none wanted */
	struct checkpoint_about about;
	struct report_item last_epoch;
};

/* Makes the whole plan: everything is drawn from the arena and in its place, so that trainer_run() can start. With
 * --dry-run nothing is written, and the arena has no limit: the plan is to be seen whole. On failure train_clean_up()
 * still is the caller's. */
int train_set_up(struct train_job *job, struct error *err);
void train_clean_up(struct train_job *job);

/* --probe: the classifier, and its tensors as a part of checkpoints. After the loader, before the state is loaded. */
int train_probe_create(struct train_job *job, struct error *err);

#endif
