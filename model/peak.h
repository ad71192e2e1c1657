/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops that do nothing but what the processor is best at, to hold the kernels against: multiply-adds out of registers,
 * and passes over memory. One set per instruction set, as with the kernels.
 *
 * Each call is one thread's; the caller takes the time.
 */
#ifndef RINGCLR_MODEL_PEAK_H
#define RINGCLR_MODEL_PEAK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/cpu.h"

struct peak_loops {
	enum cpu_isa isa;
	uint64_t flops_per_round; /* of multiply_add: multiplications and additions */

	/* Independent chains of acc = acc x + y. What it returns means nothing, but has to be used. */
	float (*multiply_add)(uint64_t rounds);

	/* count: floats, a multiple of 64; `out` and `in` do not overlap. read returns the sum; write stores `value`;
	 * copy stores in + value, so that no library routine with stores of its own takes the loop's place. */
	float (*read)(const float *in, size_t count);
	void (*write)(float *out, size_t count, float value);
	void (*copy)(float *out, const float *in, size_t count, float value);
};

extern const struct peak_loops peak_portable, peak_avx2, peak_avx512;

/* The loops of that instruction set, or of the next lower one that has loops of its own. */
const struct peak_loops *peak_loops_for(enum cpu_isa isa);

/* Products of bf16 summed in fp32 (vdpbf16ps). Call peak_bf16_dot() only where peak_bf16_available(). */
bool peak_bf16_available(void);
uint64_t peak_bf16_flops_per_round(void);
float peak_bf16_dot(uint64_t rounds);

#endif
