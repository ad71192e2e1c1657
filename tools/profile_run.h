/* SPDX-License-Identifier: Apache-2.0 */
/* One measured run of a loader: as training would, but the batches are thrown away. */
#ifndef RINGCLR_TOOLS_PROFILE_RUN_H
#define RINGCLR_TOOLS_PROFILE_RUN_H

#include "pipeline/trace.h"
#include "stages/loader.h"
#include "tools/measure.h"
#include "tools/profile_model.h"
#include "tools/sampler.h"

struct profile_run {
	/* What to run. */
	struct loader_config config;
	double seconds;
	uint64_t most_images; /* 0: as many as the time allows */
	size_t mem;	      /* limit of the arena; 0: none */
	enum cache_kind cache;
	bool warm; /* the clock starts after the first epoch: what is cached has been filled */
	bool traced;
	unsigned other_threads; /* of the process: they may be in the trace too */
	/* What came of it; until profile_run_free(). */
	struct arena *arena;
	struct loader *loader;
	struct graph *graph;
	struct trace *trace; /* NULL unless traced */
	struct sampler sampler;
	struct measures measures;
	uint64_t images;
	double took_s, images_per_s, disk_bytes_per_image;
};

int profile_run(struct profile_run *run, struct placement *placement, struct error *err);
void profile_run_free(struct profile_run *run);

struct profile_model profile_run_model(const struct profile_run *run);

#endif
