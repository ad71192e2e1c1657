/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slowest records of a run: those whose decoding and augmenting took longest, each record once with its worst time.
 * One writer a list; lists are merged when the threads have ended.
 */
#ifndef RINGCLR_STAGES_SLOW_LIST_H
#define RINGCLR_STAGES_SLOW_LIST_H

#include <stdint.h>

enum { SLOW_LIST_MAX = 10 };

struct slow_record {
	uint64_t record; /* number in the shard set */
	uint64_t decode_ns, augment_ns;
};

struct slow_list {
	unsigned count;
	struct slow_record worst[SLOW_LIST_MAX]; /* slowest first; among equals the lower record first */
};

void slow_list_note(struct slow_list *list, uint64_t record, uint64_t decode_ns, uint64_t augment_ns);

#endif
