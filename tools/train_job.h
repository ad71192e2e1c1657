/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of `ringclr train` share: its options and everything that one run holds.
 *
 *   train.c        the option table; starts the run, sees it to its end, prints the result
 *   train_setup.c  options -> data, net, loader, files, pipeline: all that is there before the first step
 *   train_report.c what --report writes
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

struct train_options {
	const char *output, *test, *model, *trace, *report, *views;
	double width, temperature, lr, weight_decay, momentum, warmup_epochs, strength, area_min;
	uint64_t size, head_dim, batch, epochs, seed, limit_images, window, eval_every, checkpoint_every, knn_k;
	unsigned stem, head, optimizer, lr_scaling, order; /* places in their choices, which are the enums' */
	bool resume, quiet, json, dry_run, tensorboard;
	struct model_options compute;
	struct runtime_options runtime;
};

/* Everything that one run holds. */
struct train_job {
	struct train_options options;
	struct options parsed;
	struct runtime runtime;
	struct run_files files;
	struct shard_set *data, *test;
	struct epoch_plan *plan;
	struct view_policies policies;
	struct net *net;
	struct optimizer *optimizer;
	struct schedule schedule;
	struct loader *loader;
	struct evaluator evaluator;
	struct trainer *trainer;
	struct trace *trace;	     /* NULL: none wanted */
	struct train_watch *watch;   /* of --report; NULL: none wanted */
	struct train_events *events; /* of --tensorboard; NULL: none wanted */
	struct checkpoint_about about;
	struct report_item last_epoch;
	bool saved;
};

/* Makes the whole plan: everything is drawn from the arena and in its place, so that trainer_run() can start. With
 * --dry-run nothing is written, and the arena has no limit: the plan is to be seen whole. On failure train_clean_up()
 * still is the caller's. */
int train_set_up(struct train_job *job, struct error *err);
void train_clean_up(struct train_job *job);

#endif
