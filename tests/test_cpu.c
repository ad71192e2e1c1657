/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c and meter.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/cpu.h"
#include "pipeline/meter.h"

/* Whether the kernel lists the flag for the first processor. */
static int kernel_lists(const char *flag)
{
	static char line[8192];
	char word[32];
	int found = 0;
	FILE *file = fopen("/proc/cpuinfo", "r");
	snprintf(word, sizeof(word), " %s ", flag);
	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = ' ';
		found = strncmp(line, "flags", 5) == 0 && strstr(line, word) != NULL;
	}
	if (file != NULL)
		fclose(file);
	return found;
}

static void test_detect(void **state)
{
	(void)state;
	enum cpu_isa expected = CPU_PORTABLE;
	if (kernel_lists("avx2") && kernel_lists("fma"))
		expected = CPU_AVX2;
	if (expected == CPU_AVX2 && kernel_lists("avx512f") && kernel_lists("avx512bw") && kernel_lists("avx512vl") &&
		kernel_lists("avx512dq"))
		expected = kernel_lists("avx512_bf16") ? CPU_AVX512BF16 : CPU_AVX512;
	assert_int_equal(cpu_detect(), expected);
}

static void test_parse(void **state)
{
	(void)state;
	enum cpu_isa isa = CPU_AVX512;
	assert_int_equal(cpu_parse("auto", &isa, NULL), 0);
	assert_int_equal(isa, cpu_detect());
	for (int i = CPU_PORTABLE; i <= CPU_AVX512BF16; i++) {
		struct error err = {0};
		int rc = cpu_parse(cpu_isa_name((enum cpu_isa)i), &isa, &err);
		assert_int_equal(rc, i <= (int)cpu_detect() ? 0 : ERROR_UNSUPPORTED);
		if (rc == 0)
			assert_int_equal((int)isa, i);
		else
			assert_non_null(strstr(err.message, cpu_isa_name((enum cpu_isa)i)));
	}
	struct error err = {0};
	assert_int_equal(cpu_parse("sse2", &isa, &err), ERROR_USAGE);
	assert_non_null(strstr(err.message, "\"sse2\""));
	assert_int_equal(cpu_parse("", &isa, NULL), ERROR_USAGE);
}

static void test_allowed(void **state)
{
	(void)state;
	cpu_set_t before, one;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(cpu_allowed(), CPU_COUNT(&before));
	/* Pinning a thread says nothing of the process. */
	CPU_ZERO(&one);
	for (size_t cpu = 0; CPU_COUNT(&one) == 0; cpu++)
		if (CPU_ISSET(cpu, &before))
			CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(cpu_allowed(), CPU_COUNT(&before));
	sched_setaffinity(0, sizeof(before), &before);
}

static void test_meter(void **state)
{
	(void)state;
	struct meter meter = {0};
	assert_int_equal(_Alignof(struct meter), 64);
	meter_add(&meter, 2, 300);
	meter_add(&meter, 1, 0);
	assert_int_equal(meter.items, 3);
	assert_int_equal(meter.bytes, 300);

	uint64_t start_ns = meter_now_ns(), t = start_ns;
	while (meter_now_ns() - start_ns < 2000000)
		;
	t = meter_phase(&meter, 0, t);
	t = meter_phase(&meter, 3, t);
	/* Chained phases leave no gap. */
	assert_true(meter.phase_ns[0] >= 2000000);
	assert_int_equal(meter.phase_ns[0] + meter.phase_ns[3], t - start_ns);
	assert_int_equal(meter.phase_ns[1] + meter.phase_ns[2], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_detect),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_meter),
	};
	return cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
}
