/* SPDX-License-Identifier: Apache-2.0 */
/* slow_list.c against sorting everything, with many ties. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "pipeline/philox.h"
#include "stages/slow_list.h"

enum { RECORDS = 60, NOTES = 600 };

static int by_rank(const void *left, const void *right)
{
	const struct slow_record *a = left, *b = right;
	uint64_t a_ns = a->decode_ns + a->augment_ns, b_ns = b->decode_ns + b->augment_ns;
	if (a_ns != b_ns)
		return a_ns > b_ns ? -1 : 1;
	return a->record < b->record ? -1 : 1;
}

static void check(const struct slow_list *list, const struct slow_record *worst, unsigned records)
{
	unsigned wanted = records < SLOW_LIST_MAX ? records : SLOW_LIST_MAX;
	assert_int_equal(list->count, wanted);
	for (unsigned i = 0; i < wanted; i++) {
		assert_int_equal(list->worst[i].record, worst[i].record);
		assert_int_equal(
			list->worst[i].decode_ns + list->worst[i].augment_ns, worst[i].decode_ns + worst[i].augment_ns);
	}
}

/* Few different times, so that most are ties; notes go to one list, and to three that are merged. */
static void check_seed(uint64_t seed, unsigned records)
{
	struct slow_record worst[RECORDS];
	struct slow_list one = {0}, part[3] = {{0}}, merged = {0};
	struct philox stream = philox_stream(seed, 0, 0, 0, PHILOX_TEST);
	for (unsigned i = 0; i < records; i++)
		worst[i] = (struct slow_record){.record = i};
	for (unsigned i = 0; i < NOTES; i++) {
		uint64_t record = i < records ? i : (uint64_t)philox_uniform(&stream, 0, (float)records);
		uint64_t decode_ns = (uint64_t)philox_uniform(&stream, 1, 8);
		uint64_t augment_ns = (uint64_t)philox_uniform(&stream, 1, 4);
		record = record < records ? record : records - 1;
		slow_list_note(&one, record, decode_ns, augment_ns);
		slow_list_note(&part[i % 3], record, decode_ns, augment_ns);
		if (decode_ns + augment_ns > worst[record].decode_ns + worst[record].augment_ns)
			worst[record] = (struct slow_record){record, decode_ns, augment_ns};
	}
	qsort(worst, records, sizeof worst[0], by_rank);
	check(&one, worst, records);
	for (unsigned p = 0; p < 3; p++)
		for (unsigned i = 0; i < part[p].count; i++)
			slow_list_note(&merged, part[p].worst[i].record, part[p].worst[i].decode_ns,
				part[p].worst[i].augment_ns);
	check(&merged, worst, records);
}

static void test_against_sorting(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 50; seed++) {
		check_seed(seed, RECORDS);
		check_seed(seed, 11);
		check_seed(seed, 10);
		check_seed(seed, 4);
	}
}

/* Times that all are equal: the lowest records, whatever the order they came in. */
static void test_ties(void **state)
{
	(void)state;
	struct slow_list up = {0}, down = {0};
	for (uint64_t i = 0; i < 30; i++) {
		slow_list_note(&up, i, 5, 5);
		slow_list_note(&down, 29 - i, 5, 5);
	}
	for (unsigned i = 0; i < SLOW_LIST_MAX; i++) {
		assert_int_equal(up.worst[i].record, i);
		assert_int_equal(down.worst[i].record, i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_sorting),
		cmocka_unit_test(test_ties),
	};
	return cmocka_run_group_tests_name("slow list", tests, NULL, NULL);
}
