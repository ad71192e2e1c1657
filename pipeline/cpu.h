/* SPDX-License-Identifier: Apache-2.0 */
/* Which instruction set the kernels may use. Detected once; `--isa` forces a lower one. */
#ifndef RINGCLR_PIPELINE_CPU_H
#define RINGCLR_PIPELINE_CPU_H

#include "pipeline/error.h"

enum cpu_isa { CPU_PORTABLE = 0, CPU_AVX2 = 1, CPU_AVX512 = 2, CPU_AVX512BF16 = 3 };

/* The best this processor has: AVX2 means AVX2 and FMA; AVX-512 means F, BW, VL, DQ; AVX512BF16 adds products of bf16.
 */
enum cpu_isa cpu_detect(void);

/* Parses "auto", "portable", "avx2", "avx512", "avx512bf16". ERROR_USAGE on other words, ERROR_UNSUPPORTED when the
 * processor lacks it. */
int cpu_parse(const char *text, enum cpu_isa *isa, struct error *err);

const char *cpu_isa_name(enum cpu_isa isa);

/* Processors this process may run on (the cpuset, not the machine). At least 1. */
unsigned cpu_allowed(void);

#endif
