/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of `ringclr eval` share.
 *
 *   eval.c        the option table; what is evaluated, by which protocol
 *   eval_sgd.c    the linear classifier that SGD trains on random views
 *   eval_files.c  features that another program made, from .npy files
 *   eval_result.c accuracies, classes, confusion: printed
 *   head_study.c  what h and z know of the transformations
 */
#ifndef RINGCLR_TOOLS_EVAL_JOB_H
#define RINGCLR_TOOLS_EVAL_JOB_H

#include "model/schedule.h"
#include "tools/encoder.h"
#include "tools/evaluate.h"
#include "tools/head_study.h"

enum eval_method { METHOD_KNN, METHOD_LINEAR, METHOD_HEAD_STUDY };
enum eval_solver { SOLVER_LBFGS, SOLVER_SGD };

struct eval_options {
	const char *train, *test, *views;
	const char *features_train, *labels_train, *features_test, *labels_test; /* .npy */
	unsigned method, solver;
	uint64_t limit_images, knn_k, epochs, batch;
	double lr, label_fraction;
	bool json, confusion;
	struct encoder_options encoder;
	struct runtime_options runtime;
};

/* What was scored, whatever it came from. */
struct eval_data {
	struct probe_data train, test; /* test.predicted is there too */
	unsigned dim, classes;
};

/* Arrays read from files; malloc'd. */
struct eval_files {
	float *features[2]; /* train, test */
	int32_t *labels[2], *predicted;
	struct eval_data data;
};

struct eval_job {
	struct eval_options options;
	struct options parsed;
	struct runtime runtime;
	struct shard_set *train, *test; /* NULL: files */
	struct encoder encoder;
	struct evaluator evaluator;
	uint64_t *subset; /* of --label-fraction, ascending; NULL: all */
	struct eval_files files;
	struct head_study study;
	struct eval_data data;
	struct probe_score score;
	/* The sgd protocol's. */
	struct loader *loader;
	struct probe_sgd *probe;
	struct schedule schedule;
	uint64_t step, steps;
};

/* eval_sgd.c. Create before the arena is sealed; run fills in data and score. */
int eval_sgd_create(struct eval_job *job, struct error *err);
int eval_sgd_run(struct eval_job *job, struct error *err);
void eval_sgd_destroy(struct eval_job *job);

/* eval_files.c. Reads the four files of --features-train and its like: features [rows][dim] of float32 or float64,
 * labels [rows] of integers, 0 and up. */
int eval_files_read(struct eval_files *files, const struct eval_options *options, struct error *err);
void eval_files_free(struct eval_files *files);

/* eval_result.c: on stdout, as text or JSON; returns the exit code. */
int eval_result_print(const struct eval_job *job);

#endif
