/* SPDX-License-Identifier: Apache-2.0 */
/* Frozen-encoder evaluation of one pair of shard sets (training bank, test): features by streaming, then kNN and
 * L-BFGS. */
#ifndef RINGCLR_TOOLS_EVALUATE_H
#define RINGCLR_TOOLS_EVALUATE_H

#include "model/probe.h"
#include "stages/encode.h"
#include "tools/runtime.h"

struct evaluate_config {
	const struct shard_set *train, *test;
	uint64_t limit;		 /* --limit-images, of train; 0: all */
	const uint64_t *records; /* of train, ascending, copied; NULL: all */
	uint64_t record_count;
	unsigned size;	  /* side of the net's input, pixels */
	uint32_t batch;	  /* images of one forward */
	unsigned dim;	  /* columns of the features */
	enum net_tap tap; /* which features: h, unless said */
	unsigned knn_k;
	bool train_streams; /* the training images go by, through evaluator_plan()'s loader: no table of them */
};

struct evaluator {
	struct evaluate_config config;
	struct runtime *runtime;
	struct epoch_plan *plans[3]; /* train, test, and evaluator_plan()'s */
	struct loader *loaders[2];
	struct encode_table tables[2];
	int32_t *predicted; /* [test images] */
	unsigned classes;
};

/* ERROR_MISMATCH, naming the first, when an image of the plan (NULL: of the set) has no label: it teaches a classifier
 * nothing and cannot be scored. needed_by: "evaluation". */
int evaluate_check_labels(
	const struct shard_set *set, const struct epoch_plan *plan, const char *needed_by, struct error *err);

/* Loaders and tables from the runtime's arena. ERROR_MISMATCH when classes differ or an image has no label: what would
 * fail a run at its end is said at its beginning. */
int evaluator_create(
	struct evaluator *evaluator, struct runtime *runtime, const struct evaluate_config *config, struct error *err);
void evaluator_destroy(struct evaluator *evaluator);

/* Fills a table (0 train, 1 test): centre view of every image through the net (NULL: pixels). The net's tensors are not
 * changed. */
int evaluator_encode(struct evaluator *evaluator, int side, struct net *net, struct error *err);

/* Fills the test table like that, through a net whose head is a classifier, and scores what it says itself: top1 in
 * percent. */
int evaluator_classify(struct evaluator *evaluator, struct net *net, double *top1, struct error *err);

int evaluator_knn(struct evaluator *evaluator, struct probe_score *score, struct error *err);

/* ridges: weights to choose from (RECIPE: transfer). */
int evaluator_linear(
	struct evaluator *evaluator, const double *ridges, size_t count, struct probe_score *score, struct error *err);

/* A plan of the training images that are evaluated on, in another order; the evaluator owns it. Once. */
const struct epoch_plan *evaluator_plan(
	struct evaluator *evaluator, enum epoch_order order, uint64_t seed, struct error *err);

/* Of the test set, `predicted` is filled in by whatever scores it. */
struct probe_data evaluator_data(const struct evaluator *evaluator, int side);

/* The subsets of --limit-images and --label-fraction are drawn from this, for every run the same. */
enum { EVALUATE_SUBSET_SEED = 0 };

/* Neighbours vote with exp(cosine / this). */
#define EVALUATE_KNN_TEMPERATURE 0.1

#endif
