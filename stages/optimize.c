/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LARS, SGD and Adam look at one tensor at a time, so updating a tensor early is exact. Releasing its slot is what
 * tells forward_backward that the weight is up to date.
 */
#include "stages/optimize.h"

#include "pipeline/trace.h"
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
		uint64_t traced_ns = trace_begin(), start_ns = meter_now_ns();
		uint64_t step = seq / params;
		uint32_t param = order[seq % params];
		optimizer_apply(stage->optimizer, param, schedule_rate(stage->schedule, step), step);
		trace_end_numbered("optimizer", net_param(stage->net, param)->name, step, traced_ns);
		ring_release(stage->gradients, seq);
		meter_add(worker->meter, 1, 0);
		meter_phase(worker->meter, 0, start_ns);
	}
}
