/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/profile_run.h"

#include <stdlib.h>

#include "pipeline/cpu.h"
#include "tools/command.h"
#include "stages/loader_choices.h"

enum { TRACE_SLICES = 1 << 17 };

/* Stands in for training: takes batches and gives them back at once. */
static int consume_run(void *ctx, struct worker *worker)
{
	struct profile_run *run = ctx;
	struct ring *batches = loader_batches(run->loader);
	uint64_t start_ns = meter_now_ns();
	uint64_t first = run->warm ? loader_batches_per_epoch(run->loader) : 0;
	for (uint64_t seq = 0;; seq++) {
		void *memory;
		int result = ring_acquire(batches, seq, &memory, NULL);
		if (result < 0)
			return result;
		if (result == RING_END)
			return 0;
		run->images += loader_batch(run->loader, seq, memory).images;
		if (seq < first) {
			run->images = 0;
			start_ns = meter_now_ns();
		}
		ring_release(batches, seq);
		meter_add(worker->meter, 1, 0);
		run->took_s = (double)(meter_now_ns() - start_ns) * 1e-9;
		bool enough = (seq >= first && run->took_s >= run->seconds) ||
			      (run->most_images && run->images >= run->most_images) || command_interrupted();
		if (enough) {
			ring_close(batches, seq + 1);
			return 0;
		}
	}
}

static int prepare(struct profile_run *run, struct error *err)
{
	run->arena = arena_create(run->mem, err);
	if (!run->arena)
		return err->code;
	run->loader = loader_create(run->arena, &run->config, err);
	run->graph = run->loader ? arena_alloc(run->arena, "graph", 1, sizeof *run->graph, 0, err) : NULL;
	if (!run->graph)
		return err->code;
	if (run->traced) {
		unsigned threads =
			run->config.workers + run->config.unpackers + 2 /* read, consume */ + run->other_threads;
		run->trace = trace_create(run->arena, threads, TRACE_SLICES, err);
		if (!run->trace)
			return err->code;
	}
	size_t budget = loader_cache_budget(run->arena, run->mem);
	if (loader_add_cache(run->loader, run->arena, run->cache, budget, err) < 0)
		return err->code;
	arena_seal(run->arena);
	return 0;
}

static int join(struct profile_run *run, struct error *err)
{
	struct stage consume = {
		.name = "consume",
		.run = consume_run,
		.ctx = run,
		.workers = 1,
		.in = loader_batches(run->loader),
		.placement = PLACEMENT_OTHER,
		.caller_runs = 1,
	};
	/* As many epochs as time allows: epoch numbers have 24 bits. */
	loader_span(run->loader, 0, loader_batches_per_epoch(run->loader) << 23);
	if (loader_join(run->loader, run->graph, err) < 0 || graph_add_stage(run->graph, &consume, err) < 0)
		return err->code;
	run->sampler.ring_count = (unsigned)run->graph->ring_count;
	for (size_t i = 0; i < run->graph->ring_count; i++)
		run->sampler.rings[i] = run->graph->rings[i];
	run->sampler.counted = loader_samples(run->loader);
	return 0;
}

int profile_run(struct profile_run *run, struct placement *placement, struct error *err)
{
	if (prepare(run, err) < 0 || join(run, err) < 0 || sampler_start(&run->sampler, err) < 0)
		return err->code;
	if (run->trace)
		trace_start(run->trace);
	int code = graph_run(run->graph, placement, err);
	if (run->trace)
		trace_stop();
	sampler_stop(&run->sampler);
	if (code < 0)
		return code;
	measure_graph(&run->measures, run->graph, "consume");
	run->images_per_s = (double)run->images / run->took_s;
	const struct measure_row *copy = measure_find(&run->measures, "copy");
	uint64_t bytes = 0;
	const struct meter *unpackers = &run->graph->meters[graph_first_meter(run->graph, copy->stage)];
	for (unsigned i = 0; i < copy->threads; i++)
		bytes += atomic_load_explicit(&unpackers[i].bytes, memory_order_relaxed);
	run->disk_bytes_per_image = (double)bytes / (double)(copy->items ? copy->items : 1);
	return 0;
}

void profile_run_free(struct profile_run *run)
{
	loader_destroy(run->loader);
	arena_destroy(run->arena);
	run->loader = NULL;
	run->arena = NULL;
}

/* Reading is waiting for the disk: its cost is the thread's time. The others compute: their cost is processor time, so
 * that a thread that had to share its processor does not look slower than it is. */
struct profile_model profile_run_model(const struct profile_run *run)
{
	struct profile_model model = {.processors = cpu_allowed()};
	const struct measure_row *read = measure_find(&run->measures, "read");
	const struct measure_row *unpack = measure_find(&run->measures, "unpack");
	const struct measure_row *copy = measure_find(&run->measures, "copy");
	const struct measure_row *decode = measure_find(&run->measures, "decode");
	const struct measure_row *augment = measure_find(&run->measures, "augment");
	double copied = (double)(copy->items ? copy->items : 1), decoded = (double)(decode->items ? decode->items : 1);
	/* What was read ahead counts for the images that are still to come. */
	double blocks = (double)(unpack->items ? unpack->items : 1), ahead = (double)read->items / blocks;
	double images_read = copied * (ahead > 1 ? ahead : 1);
	model.stage[MODEL_READ].threads = 1;
	model.stage[MODEL_READ].cost_s = read->wall_s / images_read;
	model.stage[MODEL_READ].cpu_s = read->cpu_s / images_read;
	model.stage[MODEL_UNPACK].threads = unpack->threads;
	model.stage[MODEL_UNPACK].cost_s = model.stage[MODEL_UNPACK].cpu_s = (unpack->cpu_s + copy->cpu_s) / copied;
	model.stage[MODEL_DECODE].threads = decode->threads;
	model.stage[MODEL_DECODE].cost_s = model.stage[MODEL_DECODE].cpu_s = (decode->cpu_s + augment->cpu_s) / decoded;
	model.decode_share = decode->cpu_s / (decode->cpu_s + augment->cpu_s + 1e-12);
	return model;
}
