/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --autotune: how many threads, reads in flight and batches ahead the loader gets, from a short measured run of it on
 * the first images. Nothing of it changes a batch's bytes.
 */
#ifndef RINGCLR_TOOLS_AUTOTUNE_H
#define RINGCLR_TOOLS_AUTOTUNE_H

#include <stdbool.h>

#include "tools/profile_model.h"
#include "tools/runtime.h"

/* What the choice depends on. */
struct autotune_input {
	struct profile_model model;	   /* threads in it do not matter */
	double reads_per_image, latency_s; /* of a slow read (p99) */
	double slow_image_s;		   /* decoding and augmenting of the slowest image seen */
	uint32_t batch;			   /* images */
	bool one_read;			   /* pread: reads come one after another */
	bool cached;			   /* nearly all of the data is in the page cache */
	uint32_t group_blocks;		   /* blocks that must be in memory together; at least 1 */
	/* Memory: of one of each, and what there is; room_bytes 0: no limit. */
	size_t thread_bytes, unpacker_bytes, read_bytes, sample_bytes, batch_bytes, room_bytes;
};

struct autotune_choice {
	unsigned loader_threads, unpackers, depth, batches;
	bool cut;	     /* by memory */
	double images_per_s; /* that the model promises */
};

struct autotune_choice autotune_choose(const struct autotune_input *input);

/* Runs the loader of `config` (complete but for what is to be chosen) for about a second and sets the runtime's
 * choices, from which runtime_loader_config() then makes the loader. text: what was chosen and why, a few lines without
 * a newline at the end. */
int autotune(
	struct runtime *runtime, const struct loader_config *config, char *text, size_t capacity, struct error *err);

#endif
