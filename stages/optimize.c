/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LARS, SGD and Adam look at one tensor at a time, so updating a tensor early is exact. Releasing its slot is what
 * tells forward_backward that the weight is up to date.
 */
#include "stages/optimize.h"

int optimize_run(void *ctx, struct worker *worker)
{
	struct optimize_stage *stage = ctx;
	uint64_t params = net_param_count(stage->net);
	const uint32_t *order = net_backward_order(stage->net);
	for (;;) {
		uint64_t seq = ring_ticket(stage->gradients, RING_CONSUMER);
		int result = ring_acquire(stage->gradients, seq, NULL, NULL);
		if (result != RING_OK)
			return result == RING_END ? 0 : result;
		uint64_t start_ns = meter_now_ns();
		uint64_t step = seq / params;
		optimizer_apply(stage->optimizer, order[seq % params], schedule_rate(stage->schedule, step), step);
		ring_release(stage->gradients, seq);
		meter_add(worker->meter, 1, 0);
		meter_phase(worker->meter, 0, start_ns);
	}
}
