/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 6: what people and programs see of a run. A progress line on a terminal, plain lines otherwise; metrics.jsonl,
 * one line an epoch, which depends on data and options alone; timings.jsonl, one line an epoch, which depends on the
 * machine.
 */
#ifndef RINGCLR_STAGES_REPORT_H
#define RINGCLR_STAGES_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "pipeline/graph.h"
#include "pipeline/ring.h"

enum report_kind { REPORT_STEP, REPORT_EPOCH };

struct report_item {
	enum report_kind kind;
	uint64_t step;			       /* steps done */
	double loss, accuracy;		       /* of the step, or the epoch's means */
	double entropy, alignment, uniformity; /* likewise, of struct loss_result; NAN: not known */
	double probe;			       /* percent that the online probe knew; NAN: no probe, or no labels */
	double rate;			       /* learning rate of the last step */
	double knn, linear;		       /* percent; NAN: not evaluated. Epochs only */
	double top1;			       /* of the classifier itself; likewise */
};

enum { REPORT_OBSERVERS = 4 };

typedef void report_see(void *ctx, const struct report_item *item);

struct report_observer {
	report_see *see;
	void *ctx;
};

struct report_stage {
	struct ring *reports;	    /* in */
	const struct ring *batches; /* to say when training starves */
	uint64_t epoch_steps, end_step, first_step;
	uint32_t batch;	 /* images a step */
	bool supervised; /* accuracy is the classifier's, not the contrastive one */
	int metrics_fd;	 /* metrics.jsonl, positioned at its end */
	int timings_fd;
	const char *metrics_path; /* for messages */
	const char *timings_path;
	bool quiet;					    /* no lines on stderr */
	struct report_observer observers[REPORT_OBSERVERS]; /* report_observe() adds one */
	unsigned observer_count;
};

/* `see` gets every report, before it is written, on this stage's thread. ERROR_USAGE when there are too many. */
int report_observe(struct report_stage *stage, report_see *see, void *ctx, struct error *err);

int report_run(void *ctx, struct worker *worker);

#endif
