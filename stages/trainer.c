/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/trainer.h"

enum { TRAINER_REPORT_SLOTS = 8 };

int trainer_prepare(struct trainer *trainer, struct arena *arena, struct error *err)
{
	struct forward_backward_stage *stage = &trainer->forward_backward;
	uint64_t params = net_param_count(stage->net), step = stage->progress.step;
	unsigned dim = net_output_dim(stage->net);
	struct ring_config gradients = {.name = "gradient ring", .slots = (uint32_t)params, .first = step * params};
	struct ring_config reports = {
		.name = "report ring", .slots = TRAINER_REPORT_SLOTS, .slot_bytes = sizeof(struct report_item)};
	stage->dz = arena_alloc(arena, "loss", (size_t)2 * stage->batch * dim, sizeof(float), 0, err);
	stage->loss =
		stage->dz ? contrastive_loss_create(arena, &stage->loss_config, 2 * stage->batch, dim, err) : NULL;
	stage->gradients = stage->loss ? ring_create(arena, &gradients, err) : NULL;
	stage->reports = stage->gradients ? ring_create(arena, &reports, err) : NULL;
	if (!stage->reports)
		return err->code;

	trainer->optimize.net = stage->net;
	trainer->optimize.schedule = stage->schedule;
	trainer->optimize.gradients = stage->gradients;
	trainer->report.reports = stage->reports;
	trainer->report.batches = loader_batches(stage->loader);
	trainer->report.batch = stage->batch;
	trainer->report.epoch_steps = stage->epoch_steps;
	trainer->report.end_step = stage->end_step;
	trainer->report.first_step = step;
	return 0;
}

int trainer_run(struct trainer *trainer, struct placement *placement, struct error *err)
{
	struct forward_backward_stage *compute = &trainer->forward_backward;
	struct graph *graph = &trainer->graph;
	struct stage forward_backward = {.name = "forward_backward",
		.run = forward_backward_run,
		.ctx = compute,
		.workers = 1,
		.in = loader_batches(compute->loader),
		.out = compute->gradients,
		.placement = PLACEMENT_COMPUTE,
		.caller_runs = 1};
	struct stage optimize = {.name = "optimize",
		.run = optimize_run,
		.ctx = &trainer->optimize,
		.workers = 1,
		.in = compute->gradients,
		.placement = PLACEMENT_OTHER};
	struct stage report = {.name = "report",
		.run = report_run,
		.ctx = &trainer->report,
		.workers = 1,
		.in = compute->reports,
		.placement = PLACEMENT_OTHER};
	loader_span(compute->loader, compute->progress.step, compute->end_step);
	if (loader_join(compute->loader, graph, err) < 0 || graph_add_ring(graph, compute->gradients, err) < 0 ||
		graph_add_ring(graph, compute->reports, err) < 0 ||
		graph_add_stage(graph, &forward_backward, err) < 0 || graph_add_stage(graph, &optimize, err) < 0 ||
		graph_add_stage(graph, &report, err) < 0)
		return err->code;
	return graph_run(graph, placement, err);
}
