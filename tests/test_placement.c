/* SPDX-License-Identifier: Apache-2.0 */
/* The machine may have any number of processors: expectations are made from this process's own affinity. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/cpu.h"
#include "pipeline/placement.h"

static cpu_set_t allowed;
static int cpus[CPU_SETSIZE];
static int cpu_count;

static int read_affinity(void **state)
{
	(void)state;
	sched_getaffinity(0, sizeof(allowed), &allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET((size_t)cpu, &allowed))
			cpus[cpu_count++] = cpu;
	return 0;
}

static struct placement *create(const char *spec)
{
	struct error err = {0};
	struct placement *placement = placement_create(spec, &err);
	if (placement == NULL)
		fail_msg("%s", err.message);
	return placement;
}

/* Number of the processor's core within its package, to tell hardware threads of one core. */
static int core_of(int cpu)
{
	char path[128];
	int first = cpu;
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
	FILE *file = fopen(path, "r");
	if (file != NULL) {
		if (fscanf(file, "%d", &first) != 1)
			first = cpu;
		fclose(file);
	}
	return first;
}

static void test_auto_gives_each_processor_once_cores_first(void **state)
{
	(void)state;
	struct placement *placement = create("auto");
	int given[CPU_SETSIZE], cores_seen = 0, repeats = 0;
	for (int i = 0; i < cpu_count; i++) {
		given[i] = placement_next(placement, i % 2 ? PLACEMENT_OTHER : PLACEMENT_COMPUTE);
		assert_true(given[i] >= 0 && CPU_ISSET((size_t)given[i], &allowed));
		int known = 0;
		for (int j = 0; j < i; j++) {
			assert_int_not_equal(given[j], given[i]);
			known |= core_of(given[j]) == core_of(given[i]);
		}
		/* No second hardware thread before every core has its first. */
		assert_true(known || repeats == 0);
		cores_seen += !known;
		repeats += known;
	}
	assert_int_equal(cores_seen + repeats, cpu_count);
	assert_int_equal(placement_next(placement, PLACEMENT_COMPUTE), -1);
	assert_int_equal(placement_next(placement, PLACEMENT_OTHER), -1);
	placement_destroy(placement);
}

static void test_give_back(void **state)
{
	(void)state;
	struct placement *placement = create("auto");
	int compute = placement_next(placement, PLACEMENT_COMPUTE);
	int others = 0, given[CPU_SETSIZE];
	while ((given[others] = placement_next(placement, PLACEMENT_OTHER)) >= 0)
		others++;
	assert_int_equal(others, cpu_count - 1);
	for (int i = 0; i < others; i++)
		placement_release(placement, PLACEMENT_OTHER, given[i]);
	for (int i = 0; i < others; i++)
		assert_int_not_equal(placement_next(placement, PLACEMENT_OTHER), compute);
	assert_int_equal(placement_next(placement, PLACEMENT_OTHER), -1);
	placement_release(placement, PLACEMENT_OTHER, compute); /* not reserved as that kind */
	assert_int_equal(placement_next(placement, PLACEMENT_OTHER), -1);
	placement_release(placement, PLACEMENT_COMPUTE, -1);
	placement_release(placement, PLACEMENT_COMPUTE, compute);
	assert_int_equal(placement_next(placement, PLACEMENT_OTHER), compute);
	placement_destroy(placement);
}

static void test_none_floats(void **state)
{
	(void)state;
	struct placement *placement = create("none");
	assert_int_equal(placement_next(placement, PLACEMENT_COMPUTE), -1);
	assert_int_equal(placement_next(placement, PLACEMENT_OTHER), -1);
	placement_release(placement, PLACEMENT_OTHER, -1);
	placement_pin_self(placement, cpus[0]); /* nothing to pin with */
	cpu_set_t now;
	sched_getaffinity(0, sizeof(now), &now);
	assert_true(CPU_EQUAL(&now, &allowed));
	placement_destroy(placement);
	placement_destroy(NULL);
}

static void test_list_in_order_and_around(void **state)
{
	(void)state;
	if (cpu_count < 2)
		skip();
	char spec[64];
	snprintf(spec, sizeof(spec), "%d,%d", cpus[1], cpus[0]);
	struct placement *placement = create(spec);
	for (int i = 0; i < 7; i++)
		assert_int_equal(
			placement_next(placement, i < 3 ? PLACEMENT_COMPUTE : PLACEMENT_OTHER), cpus[1 - i % 2]);
	/* Three compute threads stay: 1, 0, 1. The next one is 0 again. */
	for (int i = 3; i < 7; i++)
		placement_release(placement, PLACEMENT_OTHER, cpus[1 - i % 2]);
	assert_int_equal(placement_next(placement, PLACEMENT_OTHER), cpus[0]);
	placement_destroy(placement);

	if (cpus[1] == cpus[0] + 1) {
		snprintf(spec, sizeof(spec), "%d-%d", cpus[0], cpus[1]);
		placement = create(spec);
		for (int i = 0; i < 5; i++)
			assert_int_equal(placement_next(placement, PLACEMENT_COMPUTE), cpus[i % 2]);
		placement_destroy(placement);
	}
}

static void test_bad_lists(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "x", "0,", ",0", "0;1", "0-", "-1", "1-0", "0 1", "0,,1", "0-1-2",
		"autos", "99999999999999999999", "+0", "1048575"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error err = {0};
		assert_null(placement_create(bad[i], &err));
		assert_int_equal(err.code, ERROR_USAGE);
		assert_non_null(strstr(err.message, bad[i]));
	}
}

static void test_outside_the_cpuset(void **state)
{
	(void)state;
	if (cpu_count < 2)
		skip();
	/* As under taskset. */
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET((size_t)cpus[1], &one);
	sched_setaffinity(0, sizeof(one), &one);
	char spec[32];
	snprintf(spec, sizeof(spec), "%d", cpus[0]);
	struct error err = {0};
	assert_null(placement_create(spec, &err));
	assert_int_equal(err.code, ERROR_USAGE);
	struct placement *placement = create("auto");
	assert_int_equal(placement_next(placement, PLACEMENT_COMPUTE), cpus[1]);
	assert_int_equal(placement_next(placement, PLACEMENT_COMPUTE), -1);
	placement_destroy(placement);
	sched_setaffinity(0, sizeof(allowed), &allowed);
}

static void *pin_and_look(void *argument)
{
	const struct placement *placement = argument;
	static cpu_set_t seen[3];
	placement_pin_self(placement, -1);
	sched_getaffinity(0, sizeof(seen[0]), &seen[0]);
	placement_pin_self(placement, cpus[cpu_count - 1]);
	placement_pin_self(placement, CPU_SETSIZE * 100); /* does not exist: stays where it is */
	sched_getaffinity(0, sizeof(seen[1]), &seen[1]);
	placement_pin_self(placement, -1); /* floats again: a graph may be run from a pinned thread */
	sched_getaffinity(0, sizeof(seen[2]), &seen[2]);
	return seen;
}

static void test_pin(void **state)
{
	(void)state;
	struct placement *placement = create("auto");
	pthread_t thread;
	void *result;
	assert_int_equal(pthread_create(&thread, NULL, pin_and_look, placement), 0);
	pthread_join(thread, &result);
	const cpu_set_t *seen = result;
	assert_true(CPU_EQUAL(&seen[0], &allowed));
	assert_int_equal(CPU_COUNT(&seen[1]), 1);
	assert_true(CPU_ISSET((size_t)cpus[cpu_count - 1], &seen[1]));
	assert_true(CPU_EQUAL(&seen[2], &allowed));
	placement_destroy(placement);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_auto_gives_each_processor_once_cores_first),
		cmocka_unit_test(test_give_back),
		cmocka_unit_test(test_none_floats),
		cmocka_unit_test(test_list_in_order_and_around),
		cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_outside_the_cpuset),
		cmocka_unit_test(test_pin),
	};
	return cmocka_run_group_tests_name("placement", tests, read_affinity, NULL);
}
