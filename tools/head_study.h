/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What h and z = g(h) know of a transformation that was applied to the input: linear classifiers on each predict it
 * (SimCLR, section 4.2 and Table 3). Contrastive learning makes z blind to what its views differ by, and h keeps it.
 * Classes of the images are not looked at.
 */
#ifndef RINGCLR_TOOLS_HEAD_STUDY_H
#define RINGCLR_TOOLS_HEAD_STUDY_H

#include "stages/encode.h"
#include "tools/encoder.h"
#include "tools/runtime.h"

enum { HEAD_STUDY_QUESTIONS = 4 };

struct head_study_answer {
	const char *what;	       /* "colour or grayscale" */
	const char *name;	       /* "gray", for programs */
	double paper_chance, paper[2]; /* Table 3, percent: guessing, from h, from z */
	double chance;		       /* percent: the share of the test set's most frequent answer */
	double accuracy[2], ridge[2];  /* percent on the test set; from h, from z */
};

struct head_study_config {
	const struct shard_set *sets[2]; /* train, test */
	uint64_t limit;			 /* --limit-images, of train; 0: all */
	uint64_t seed;			 /* of the transformations */
};

struct head_study {
	struct head_study_config config;
	struct runtime *runtime;
	struct encoder *encoder;
	struct epoch_plan *plans[2];
	struct loader *loaders[2];
	struct augment augment[2]; /* to draw again what the loaders drew */
	/* [train, test][question]: rows in the plan's order */
	struct {
		float *features[2]; /* of h and z, [images][dim[i]] */
		int32_t *answers;   /* [images] */
	} tables[2][HEAD_STUDY_QUESTIONS];
	unsigned dim[2];
	struct head_study_answer answers[HEAD_STUDY_QUESTIONS];
};

/* Images of one forward that the encoder must take. */
enum { HEAD_STUDY_ROWS = 128 };

/* Loaders and tables from the runtime's arena. The encoder was opened with its head. head_study_destroy() also after a
 * failure. */
int head_study_create(struct head_study *study, struct runtime *runtime, struct encoder *encoder,
	const struct head_study_config *config, struct error *err);
int head_study_run(struct head_study *study, struct error *err);
void head_study_destroy(struct head_study *study);

/* On stdout; json: one object. Returns the exit code. */
int head_study_print(const struct head_study *study, bool json);

#endif
