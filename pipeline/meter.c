/* SPDX-License-Identifier: Apache-2.0 */
/* A meter has one writer, so that a relaxed load and store replace the locked addition; readers see whole values. */
#include "pipeline/meter.h"

#include <time.h>

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t meter_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t meter_cpu_ns(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

static void add(_Atomic uint64_t *counter, uint64_t amount)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

void meter_add(struct meter *meter, uint64_t items, uint64_t bytes)
{
	add(&meter->items, items);
	add(&meter->bytes, bytes);
}

uint64_t meter_phase(struct meter *meter, unsigned phase, uint64_t since_ns)
{
	uint64_t now_ns = meter_now_ns();
	add(&meter->phase_ns[phase], now_ns - since_ns);
	histogram_add(&meter->phase_times[phase], now_ns - since_ns);
	return now_ns;
}
