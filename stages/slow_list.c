/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/slow_list.h"

#include <stdbool.h>

static uint64_t sum_ns(const struct slow_record *record)
{
	return record->decode_ns + record->augment_ns;
}

static bool comes_before(const struct slow_record *a, const struct slow_record *b)
{
	uint64_t a_ns = sum_ns(a), b_ns = sum_ns(b);
	return a_ns != b_ns ? a_ns > b_ns : a->record < b->record;
}

void slow_list_note(struct slow_list *list, uint64_t record, uint64_t decode_ns, uint64_t augment_ns)
{
	struct slow_record noted = {record, decode_ns, augment_ns};
	/* Nearly every call ends here. */
	if (list->count == SLOW_LIST_MAX && !comes_before(&noted, &list->worst[SLOW_LIST_MAX - 1]))
		return;
	unsigned at = 0; /* the record's old place, or the last */
	while (at < list->count && list->worst[at].record != record)
		at++;
	if (at < list->count && !comes_before(&noted, &list->worst[at]))
		return;
	if (at == list->count && list->count < SLOW_LIST_MAX)
		list->count++;
	at = at < SLOW_LIST_MAX ? at : SLOW_LIST_MAX - 1;
	for (; at > 0 && comes_before(&noted, &list->worst[at - 1]); at--)
		list->worst[at] = list->worst[at - 1];
	list->worst[at] = noted;
}
