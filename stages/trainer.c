/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/trainer.h"

enum { TRAINER_REPORT_SLOTS = 8 };

/* dz and the memory of the loss of the stage's kind. */
static int create_loss(struct forward_backward_stage *stage, struct arena *arena, struct error *err)
{
	unsigned dim = net_output_dim(stage->net);
	uint32_t rows = stage->views * stage->batch;
	stage->dz = arena_alloc(arena, "loss", (size_t)rows * dim, sizeof(float), 0, err);
	if (!stage->dz)
		return err->code;
	if (stage->loss_config.kind == LOSS_CROSS_ENTROPY)
		stage->cross_entropy = cross_entropy_create(arena, rows, dim, err);
	else
		stage->loss = contrastive_loss_create(arena, &stage->loss_config, rows, dim, err);
	return stage->cross_entropy || stage->loss ? 0 : err->code;
}

int trainer_prepare(struct trainer *trainer, struct arena *arena, struct error *err)
{
	struct forward_backward_stage *stage = &trainer->forward_backward;
	uint64_t params = net_param_count(stage->net), step = stage->progress.step;
	struct ring_config gradients = {.name = "gradient ring", .slots = (uint32_t)params, .first = step * params};
	struct ring_config reports = {
		.name = "report ring", .slots = TRAINER_REPORT_SLOTS, .slot_bytes = sizeof(struct report_item)};
	if (create_loss(stage, arena, err) < 0)
		return err->code;
	stage->gradients = ring_create(arena, &gradients, err);
	stage->reports = stage->gradients ? ring_create(arena, &reports, err) : NULL;
	if (!stage->reports)
		return err->code;

	trainer->optimize.net = stage->net;
	trainer->optimize.schedule = stage->schedule;
	trainer->optimize.gradients = stage->gradients;
	trainer->report.reports = stage->reports;
	trainer->report.batches = loader_batches(stage->loader);
	trainer->report.batch = stage->batch;
	trainer->report.supervised = stage->loss_config.kind == LOSS_CROSS_ENTROPY;
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
