/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics: what a stage's workers did. Each worker owns one meter on its own cache line and is its only writer; anyone
 * may read a slightly stale value (relaxed atomics).
 *
 * A stage that does several kinds of work on one item names each as a phase ("decode", "augment"), so that a profile
 * can tell them apart without a ring between them. Of each phase a meter keeps the sum of its times and their
 * histogram.
 */
#ifndef RINGCLR_PIPELINE_METER_H
#define RINGCLR_PIPELINE_METER_H

#include <stdatomic.h>
#include <stdint.h>

#include "pipeline/histogram.h"

enum { METER_PHASES = 4 };

struct meter {
	_Alignas(64) _Atomic uint64_t items; /* finished items */
	_Atomic uint64_t bytes;		     /* bytes that came in */
	_Atomic uint64_t phase_ns[METER_PHASES];
	/* Life of the worker's run function, and the processor time that it took; written when it ends. */
	_Atomic uint64_t wall_ns, cpu_ns;
	struct histogram phase_times[METER_PHASES];
};

uint64_t meter_now_ns(void); /* CLOCK_MONOTONIC */
uint64_t meter_cpu_ns(void); /* processor time of the calling thread */
void meter_add(struct meter *meter, uint64_t items, uint64_t bytes);

/* Adds now - since_ns, the time of one item, to the phase and returns now, so that phases chain: t = meter_phase(m,
 * DECODE, t); */
uint64_t meter_phase(struct meter *meter, unsigned phase, uint64_t since_ns);

#endif
