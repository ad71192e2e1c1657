/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stage's threads are busy, or stalled on their input ring (waiting upstream), or stalled on their output ring
 * (waiting downstream). Rings count the stalls, meters the life of the threads: what is left is busy. Where a stage
 * does several kinds of work its busy time and its processor time are divided among them as their own clocks say.
 */
#include "tools/measure.h"

#include <string.h>

static double stalled_ns(const struct ring *ring, enum ring_side side)
{
	struct ring_stats stats;
	if (!ring)
		return 0;
	ring_stats(ring, &stats);
	return (double)stats.side[side].stalled_ns;
}

static double read_ns(const _Atomic uint64_t *counter)
{
	return (double)atomic_load_explicit(counter, memory_order_relaxed);
}

static unsigned count_phases(const struct stage *stage)
{
	unsigned phases = 1;
	while (phases < METER_PHASES && stage->phases[0] && stage->phases[phases])
		phases++;
	return phases;
}

static void add_stage(struct measures *measures, const struct graph *graph, size_t index)
{
	const struct stage *stage = &graph->stages[index];
	unsigned threads = stage->workers ? stage->workers : 1, phases = count_phases(stage);
	const struct meter *meters = &graph->meters[graph_first_meter(graph, index)];
	double wall_ns = 1, cpu_ns = 0, phase_ns[METER_PHASES] = {0}, phases_ns = 1;
	uint64_t items = 0;
	for (unsigned i = 0; i < threads; i++) {
		wall_ns += read_ns(&meters[i].wall_ns);
		cpu_ns += read_ns(&meters[i].cpu_ns);
		items += atomic_load_explicit(&meters[i].items, memory_order_relaxed);
		for (unsigned p = 0; p < phases; p++) {
			phase_ns[p] += read_ns(&meters[i].phase_ns[p]);
			phases_ns += read_ns(&meters[i].phase_ns[p]);
		}
	}
	double upstream = stalled_ns(stage->in, RING_CONSUMER) / wall_ns;
	double downstream = stalled_ns(stage->out, RING_PRODUCER) / wall_ns;
	double busy = 1 - upstream - downstream;
	busy = busy < 0 ? 0 : busy;
	for (unsigned p = 0; p < phases && measures->count < MEASURE_ROWS; p++) {
		double share = phases > 1 ? phase_ns[p] / phases_ns : 1;
		struct measure_row *row = &measures->row[measures->count++];
		*row = (struct measure_row){
			.name = stage->phases[0] ? stage->phases[p] : stage->name,
			.stage = index,
			.stage_name = stage->name,
			.threads = threads,
			.busy = busy * share,
			.upstream = upstream,
			.downstream = downstream,
			.wall_s = 1e-9 * wall_ns * busy * share,
			.cpu_s = 1e-9 * cpu_ns * share,
		};
		for (unsigned i = 0; i < threads; i++)
			histogram_merge(&row->times, &meters[i].phase_times[p]);
		uint64_t timed = histogram_total(&row->times);
		row->items = timed > 0 ? timed : items;
	}
}

void measure_graph(struct measures *measures, const struct graph *graph, const char *except)
{
	measures->count = 0;
	for (size_t i = 0; i < graph->stage_count; i++)
		if (!except || strcmp(graph->stages[i].name, except) != 0)
			add_stage(measures, graph, i);
}

static double stage_busy(const struct measure_row *row)
{
	return 1 - row->upstream - row->downstream;
}

const struct measure_row *measure_bottleneck(const struct measures *measures)
{
	const struct measure_row *most = &measures->row[0];
	for (size_t i = 1; i < measures->count; i++) {
		const struct measure_row *row = &measures->row[i];
		bool more = row->stage == most->stage ? row->busy > most->busy : stage_busy(row) > stage_busy(most);
		most = more ? row : most;
	}
	return most;
}

const struct measure_row *measure_find(const struct measures *measures, const char *name)
{
	for (size_t i = 0; i < measures->count; i++)
		if (strcmp(measures->row[i].name, name) == 0)
			return &measures->row[i];
	return NULL;
}
