/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at rings a hundred times a second while a pipeline runs: how full each is, and how many items have been taken
 * from one of them. At most SAMPLER_POINTS points: when they are used up, every other one is dropped and the looks come
 * half as often. All memory is in the struct.
 */
#ifndef RINGCLR_TOOLS_SAMPLER_H
#define RINGCLR_TOOLS_SAMPLER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "pipeline/ring.h"

enum { SAMPLER_POINTS = 2000, SAMPLER_RINGS = 8, SAMPLER_INTERVAL_NS = 10000000 };

struct sampler_point {
	float seconds;	/* since the start */
	uint64_t items; /* taken from `counted` so far */
	uint32_t full[SAMPLER_RINGS];
};

struct sampler {
	/* By the caller, before sampler_start(). */
	const struct ring *rings[SAMPLER_RINGS];
	unsigned ring_count;
	const struct ring *counted;
	/* Written by the sampling thread; read after sampler_stop(). */
	unsigned count, looks;
	uint64_t looking_ns; /* spent on it */
	struct sampler_point points[SAMPLER_POINTS];
	/* Private. */
	pthread_t thread;
	bool running;
	_Atomic bool stop; /* set by sampler_stop(), read by the thread; orders nothing */
};

int sampler_start(struct sampler *sampler, struct error *err);
void sampler_stop(struct sampler *sampler); /* nothing, unless it runs */

#endif
