/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics: what a stage's workers did. Each worker owns one meter on its own cache line and is its only writer; anyone
 * may read a slightly stale value (relaxed atomics).
 *
 * A stage that does several kinds of work on one item names each as a phase ("decode", "augment"), so that a profile
 * can tell them apart without a ring between them.
 */
#ifndef RINGCLR_PIPELINE_METER_H
#define RINGCLR_PIPELINE_METER_H

#include <stdatomic.h>
#include <stdint.h>

enum { METER_PHASES = 4 };

struct meter {
	_Alignas(64) _Atomic uint64_t items; /* finished items */
	_Atomic uint64_t bytes;		     /* bytes that came in */
	_Atomic uint64_t phase_ns[METER_PHASES];
	_Atomic uint64_t wall_ns; /* life of the worker's run function so far, written when it ends */
};

uint64_t meter_now_ns(void); /* CLOCK_MONOTONIC */
void meter_add(struct meter *meter, uint64_t items, uint64_t bytes);

/* Adds now - since_ns to the phase and returns now, so that phases chain: t = meter_phase(m, DECODE, t); */
uint64_t meter_phase(struct meter *meter, unsigned phase, uint64_t since_ns);

#endif
