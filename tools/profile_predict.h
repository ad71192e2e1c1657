/* SPDX-License-Identifier: Apache-2.0 */
/* What changes would give: by the model of profile_model.h, and by doing them. */
#ifndef RINGCLR_TOOLS_PROFILE_PREDICT_H
#define RINGCLR_TOOLS_PROFILE_PREDICT_H

#include "tools/profile_run.h"
#include "tools/profile_sample.h"

enum { PROFILE_PREDICTIONS = 12 };

enum profile_change { CHANGE_THREAD, CHANGE_CODEC, CHANGE_SIZE, CHANGE_DECODED };

struct profile_prediction {
	enum profile_change change;
	enum profile_model_stage stage; /* CHANGE_THREAD */
	enum profile_keep keep;		/* CHANGE_CODEC */
	uint32_t size;			/* CHANGE_SIZE */
	char what[96];			/* "decode: 2 threads" */
	double images_per_s;
	double bytes_factor; /* CHANGE_CODEC: new bytes on disk over old */
	enum profile_model_stage limit;
	bool measured; /* the change was made: */
	double measured_per_s;
};

struct profile_predictions {
	size_t count;
	struct profile_prediction item[PROFILE_PREDICTIONS];
	struct profile_model model; /* of the pipeline as it is */
	double model_per_s;	    /* what it says; the measured rate over this scales all predictions */
	enum profile_model_stage limit;
};

/* The views at another size. */
typedef struct view_policies (*profile_views)(const void *ctx, uint32_t size);

/* Predicts from a run and a sample of the data. */
int profile_predict(struct profile_predictions *predictions, const struct profile_run *run,
	const struct profile_sample *sample, profile_views views, const void *ctx, struct error *err);

/* Makes each change that can be made here and measures it beside the pipeline as it is, run->seconds each. */
int profile_predict_check(struct profile_predictions *predictions, const struct profile_run *run,
	struct placement *placement, profile_views views, const void *ctx, struct error *err);

#endif
