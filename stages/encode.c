/* SPDX-License-Identifier: Apache-2.0 */
#include "stages/encode.h"

#include <stdlib.h>
#include <string.h>

struct encode_stage {
	struct loader *loader;
	struct net *net;
	enum net_tap tap;
	struct team *team;
	encode_sink *sink;
	void *ctx;
};

/* View after view, so that the net need not be as wide as all of them. */
static int encode_batch(struct encode_stage *stage, uint64_t first, const struct batch *batch, struct error *err)
{
	int code = 0;
	for (uint32_t view = 0; view < batch->views && code == 0; view++) {
		struct batch one = *batch;
		one.x += (size_t)view * batch->capacity * batch->size * batch->size * 3;
		one.views = 1;
		const float *features = one.x;
		if (stage->net) {
			net_forward(stage->net, stage->team, one.x, one.images, NET_EVAL, stage->tap != NET_TAP_H);
			features = net_tap(stage->net, stage->tap);
		}
		code = stage->sink(stage->ctx, first, &one, features, err);
	}
	return code;
}

static int encode_run(void *ctx, struct worker *worker)
{
	struct encode_stage *stage = ctx;
	struct ring *batches = loader_batches(stage->loader);
	uint64_t done = 0;
	for (uint64_t seq = loader_first_batch(stage->loader); seq < loader_end_batch(stage->loader); seq++) {
		void *memory;
		int result = ring_acquire(batches, seq, &memory, NULL);
		if (result != RING_OK)
			return result == RING_END ? 0 : result;
		uint64_t start_ns = meter_now_ns();
		struct batch batch = loader_batch(stage->loader, seq, memory);
		int code = encode_batch(stage, done, &batch, worker->err);
		if (code < 0)
			return code;
		done += batch.images;
		ring_release(batches, seq);
		meter_phase(worker->meter, 0, start_ns);
		meter_add(worker->meter, batch.images, 0);
	}
	return 0;
}

int encode_images(struct loader *loader, struct net *net, struct team *team, struct placement *placement,
	encode_sink *sink, void *ctx, struct error *err)
{
	return encode_tap(loader, net, NET_TAP_H, team, placement, sink, ctx, err);
}

int encode_tap(struct loader *loader, struct net *net, enum net_tap tap, struct team *team, struct placement *placement,
	encode_sink *sink, void *ctx, struct error *err)
{
	struct encode_stage stage = {.loader = loader, .net = net, .tap = tap, .team = team, .sink = sink, .ctx = ctx};
	struct stage encode = {.name = "encode",
		.run = encode_run,
		.ctx = &stage,
		.workers = 1,
		.in = loader_batches(loader),
		.placement = PLACEMENT_COMPUTE,
		.caller_runs = 1};
	struct graph *graph = calloc(1, sizeof *graph);
	if (!graph)
		return error_set(err, ERROR_MEMORY, "out of memory for the evaluation's graph");
	int code = loader_join(loader, graph, err);
	if (code == 0)
		code = graph_add_stage(graph, &encode, err);
	if (code >= 0)
		code = graph_run(graph, placement, err);
	free(graph);
	return code;
}

int encode_keep(void *ctx, uint64_t first, const struct batch *batch, const float *features, struct error *err)
{
	struct encode_table *table = ctx;
	(void)err;
	memcpy(table->features + first * table->dim, features, (size_t)batch->images * table->dim * sizeof(float));
	memcpy(table->labels + first, batch->label, batch->images * sizeof(int32_t));
	if (table->records)
		memcpy(table->records + first, batch->record, batch->images * sizeof(uint64_t));
	table->count = first + batch->images;
	return 0;
}
