/* SPDX-License-Identifier: Apache-2.0 */
/* The compiler's cpuid tables also ask whether the operating system saves the wide registers, which the flags alone do
 * not say. */
#include "pipeline/cpu.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

static const char *const isa_names[] = {
	[CPU_PORTABLE] = "portable",
	[CPU_AVX2] = "avx2",
	[CPU_AVX512] = "avx512",
	[CPU_AVX512BF16] = "avx512bf16",
};
enum { ISA_COUNT = sizeof(isa_names) / sizeof(isa_names[0]) };

enum cpu_isa cpu_detect(void)
{
#if defined(__x86_64__)
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
		return CPU_PORTABLE;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
		return __builtin_cpu_supports("avx512bf16") ? CPU_AVX512BF16 : CPU_AVX512;
	return CPU_AVX2;
#else
	return CPU_PORTABLE;
#endif
}

int cpu_parse(const char *text, enum cpu_isa *isa, struct error *err)
{
	enum cpu_isa best = cpu_detect();
	if (strcmp(text, "auto") == 0) {
		*isa = best;
		return 0;
	}
	for (int i = 0; i < ISA_COUNT; i++) {
		if (strcmp(text, isa_names[i]) != 0)
			continue;
		if (i > (int)best)
			return error_set(err, ERROR_UNSUPPORTED,
				"this processor lacks %s: it has %s (--isa auto picks that)", text, isa_names[best]);
		*isa = (enum cpu_isa)i;
		return 0;
	}
	return error_set(err, ERROR_USAGE,
		"no instruction set is called \"%s\": auto, portable, avx2, avx512 or avx512bf16", text);
}

const char *cpu_isa_name(enum cpu_isa isa)
{
	return isa_names[isa];
}

/* The kernel refuses a set smaller than its own: larger ones are tried until it fits. 0: it cannot be known. */
static unsigned count_allowed(void)
{
	for (size_t cpus = 1024; cpus <= 1U << 20; cpus *= 2) {
		cpu_set_t *set = CPU_ALLOC(cpus);
		if (set == NULL)
			return 0;
		size_t set_bytes = CPU_ALLOC_SIZE(cpus);
		int failed = sched_getaffinity(0, set_bytes, set);
		unsigned count = failed ? 0 : (unsigned)CPU_COUNT_S(set_bytes, set);
		int too_small = failed && errno == EINVAL;
		CPU_FREE(set);
		if (!too_small)
			return count;
	}
	return 0;
}

/* Read once: later the calling thread may be pinned to one processor, which says nothing of the process. */
unsigned cpu_allowed(void)
{
	static _Atomic unsigned allowed;
	unsigned count = atomic_load_explicit(&allowed, memory_order_relaxed);
	if (count == 0) {
		count = count_allowed();
		if (count == 0)
			count = 1;
		atomic_store_explicit(&allowed, count, memory_order_relaxed);
	}
	return count;
}
