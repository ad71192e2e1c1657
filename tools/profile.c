/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr profile: the loader without training, and where its time goes.
 *
 * A stage's threads are busy, or stalled on their input ring (waiting upstream), or stalled on their output ring
 * (waiting downstream). The stage that is busy most of its time is the bottleneck: all the others wait for it. Where
 * one stage does several kinds of work on an image, the kind that takes most of its time is named.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/command.h"
#include "tools/evaluate.h" /* EVALUATE_SUBSET_SEED */
#include "tools/json.h"
#include "tools/runtime.h"
#include "tools/views_option.h"

struct profile_options {
	uint64_t size, batch, seed, limit_images, window, images;
	double seconds, strength;
	const char *views;
	unsigned order;
	bool json;
	struct runtime_options runtime;
};

static const struct option_spec spec[] = {
	OPTION_GROUP("Work"),
	OPTION_U64(struct profile_options, size, "size", "PIXELS", "32", 8, 1024, "side of the views"),
	OPTION_STRING(struct profile_options, views, "views", "TEXT", "simclr",
		"what views of each image are made, as listed below; two where it says no number"),
	OPTION_DOUBLE(struct profile_options, strength, "strength", "S", "0.5", 0, 4,
		"of simclr's colour jitter; 1 when views are over 32 pixels"),
	OPTION_U64(
		struct profile_options, batch, "batch", "N", "256", 1, 65536, "images of one batch; cut to the data"),
	OPTION_CHOICE(struct profile_options, order, "order", "auto|full|window", "auto", "as in train"),
	OPTION_U64(struct profile_options, window, "window", "BLOCKS", "64", 1, 65536, "blocks of a window"),
	OPTION_U64(
		struct profile_options, limit_images, "limit-images", "N", "0", 0, UINT64_MAX, "as in train; 0: all"),
	OPTION_U64(struct profile_options, seed, "seed", "N", "1", 0, UINT64_MAX, "of order and views"),
	OPTION_GROUP("Length and output"),
	OPTION_DOUBLE(struct profile_options, seconds, "seconds", "S", "10", 0.1, 86400, "stop after so long"),
	OPTION_U64(struct profile_options, images, "images", "N", "0", 0, UINT64_MAX,
		"or after so many images; 0: --seconds alone"),
	OPTION_FLAG(struct profile_options, json, "json", "no", "print the result as one JSON object"),
	RUNTIME_OPTIONS(struct profile_options, runtime),
};

static const struct option_table table = {
	.command = "profile",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Runs the loader as training would, throws the batches away, and says how long each stage was busy, "
		 "how long it waited for the "
		 "stage before it (upstream) and after it (downstream), how full the rings were, and which stage is "
		 "the bottleneck.",
	.operands = "F",
	.operand_help = "shards to load",
	.operand_min = 1,
	.operand_max = 1024,
	.notes = views_option_help,
	.examples = "ringclr profile train.ring\n"
		    "ringclr profile photos.ring --size 224 --loader-threads 2 --json\n"
		    "ringclr profile photos.ring --views '1x crop flip'\n",
};

struct profile_job {
	struct profile_options options;
	struct options parsed;
	struct runtime runtime;
	struct shard_set *set;
	struct epoch_plan *plan;
	struct view_policies policies;
	struct loader *loader;
	struct graph *graph;
	const char *order, *order_reason; /* reason NULL: it was asked for */
	uint64_t images;		  /* that came through */
	double seconds;
};

/* One line of the result: a stage, or one kind of a stage's work. */
struct profile_row {
	const char *name;
	size_t stage; /* rows of one stage share their waits */
	unsigned threads;
	uint64_t items;
	double busy, upstream, downstream; /* shares of the threads' time */
};

enum { PROFILE_MAX_ROWS = 16 };

/* Stands in for training: takes batches and gives them back at once. */
static int consume_run(void *ctx, struct worker *worker)
{
	struct profile_job *job = ctx;
	struct ring *batches = loader_batches(job->loader);
	uint64_t start_ns = meter_now_ns(), most = job->options.images;
	for (uint64_t seq = 0;; seq++) {
		void *memory;
		int result = ring_acquire(batches, seq, &memory, NULL);
		if (result < 0)
			return result;
		if (result == RING_END)
			return 0;
		job->images += loader_batch(job->loader, seq, memory).images;
		ring_release(batches, seq);
		meter_add(worker->meter, 1, 0);
		job->seconds = (double)(meter_now_ns() - start_ns) * 1e-9;
		bool enough =
			job->seconds >= job->options.seconds || (most && job->images >= most) || command_interrupted();
		if (enough) {
			ring_close(batches, seq + 1);
			return 0;
		}
	}
}

static int prepare(struct profile_job *job, struct error *err)
{
	struct profile_options *o = &job->options;
	if (o->size > 32 && !options_given(&job->parsed, "strength"))
		o->strength = 1;
	const struct view_defaults views = {
		.size = (uint32_t)o->size, .views = 2, .strength = (float)o->strength, .area_min = 0.08F};
	int code = views_option_parse(&job->policies, o->views, &views, 0, err);
	if (code == 0)
		code = runtime_start(&job->runtime, &o->runtime, err);
	if (code < 0)
		return code;
	job->set = runtime_open_shards(&job->runtime, job->parsed.operands, job->parsed.operand_count, err);
	if (!job->set)
		return err->code;
	enum epoch_order order = (enum epoch_order)o->order; /* auto stands where EPOCH_SEQUENTIAL does */
	if (o->order == 0)
		order = runtime_choose_order(&o->runtime, job->set, &job->order_reason);
	job->order = order == EPOCH_FULL ? "full" : "window";
	struct epoch_plan_config plan = {
		.order = order,
		.seed = o->seed,
		.limit = o->limit_images < shard_set_records(job->set) ? o->limit_images : 0,
		.subset_seed = EVALUATE_SUBSET_SEED,
		.window = (uint32_t)o->window,
	};
	job->plan = epoch_plan_create(job->set, &plan, err);
	if (!job->plan)
		return err->code;
	uint64_t images = epoch_plan_length(job->plan);
	struct loader_config config = runtime_loader_config(&job->runtime);
	config.set = job->set;
	config.plan = job->plan;
	config.batch = (uint32_t)(o->batch < images ? o->batch : images);
	config.whole_batches = true;
	config.seed = o->seed;
	config.policies = job->policies;
	job->loader = loader_create(job->runtime.arena, &config, err);
	if (!job->loader || runtime_add_cache(&job->runtime, job->loader, o->runtime.mem, err) < 0)
		return err->code;
	arena_seal(job->runtime.arena);
	return 0;
}

static int run_job(struct profile_job *job, struct error *err)
{
	int code = prepare(job, err);
	if (code < 0)
		return code;
	job->graph = calloc(1, sizeof *job->graph);
	if (!job->graph)
		return error_set(err, ERROR_MEMORY, "out of memory for the graph");
	struct stage consume = {
		.name = "consume",
		.run = consume_run,
		.ctx = job,
		.workers = 1,
		.in = loader_batches(job->loader),
		.placement = PLACEMENT_OTHER,
		.caller_runs = 1,
	};
	/* As many epochs as time allows: epoch numbers have 24 bits. */
	loader_span(job->loader, 0, loader_batches_per_epoch(job->loader) << 23);
	if (loader_join(job->loader, job->graph, err) < 0 || graph_add_stage(job->graph, &consume, err) < 0)
		return err->code;
	return graph_run(job->graph, job->runtime.placement, err);
}

static double stalled_ns(const struct ring *ring, enum ring_side side)
{
	struct ring_stats stats;
	if (!ring)
		return 0;
	ring_stats(ring, &stats);
	return (double)stats.side[side].stalled_ns;
}

/* Appends the stage's row, or one row for each kind of its work. */
static size_t add_rows(const struct graph *graph, size_t index, struct profile_row *rows, size_t count)
{
	const struct stage *stage = &graph->stages[index];
	unsigned threads = stage->workers ? stage->workers : 1;
	double wall_ns = 1, phase_ns[METER_PHASES] = {0}, phases_ns = 1;
	uint64_t items = 0;
	for (unsigned i = 0; i < threads; i++) {
		const struct meter *meter = &graph->meters[graph_first_meter(graph, index) + i];
		wall_ns += (double)atomic_load_explicit(&meter->wall_ns, memory_order_relaxed);
		items += atomic_load_explicit(&meter->items, memory_order_relaxed);
		for (unsigned p = 0; p < METER_PHASES; p++) {
			double ns = (double)atomic_load_explicit(&meter->phase_ns[p], memory_order_relaxed);
			phase_ns[p] += ns;
			phases_ns += ns;
		}
	}
	double upstream = stalled_ns(stage->in, RING_CONSUMER) / wall_ns;
	double downstream = stalled_ns(stage->out, RING_PRODUCER) / wall_ns;
	double busy = 1 - upstream - downstream;
	busy = busy < 0 ? 0 : busy;
	unsigned phases = 1;
	while (phases < METER_PHASES && stage->phases[0] && stage->phases[phases])
		phases++;
	for (unsigned p = 0; p < phases && count < PROFILE_MAX_ROWS; p++)
		rows[count++] = (struct profile_row){
			.name = stage->phases[0] ? stage->phases[p] : stage->name,
			.stage = index,
			.threads = threads,
			.items = items,
			.busy = phases > 1 ? busy * phase_ns[p] / phases_ns : busy,
			.upstream = upstream,
			.downstream = downstream,
		};
	return count;
}

/* The stage whose threads are busiest; of its kinds of work, the one that takes longest. `consume` is no work. */
static const struct profile_row *find_bottleneck(const struct profile_row *rows, size_t count)
{
	const struct profile_row *most = &rows[0];
	for (size_t i = 1; i < count; i++) {
		/* Rows of one stage share their waits: compare stages by what is left of the time. */
		double most_busy = 1 - most->upstream - most->downstream,
		       busy = 1 - rows[i].upstream - rows[i].downstream;
		bool same_stage = most->upstream == rows[i].upstream && most->downstream == rows[i].downstream;
		if (same_stage ? rows[i].busy > most->busy : busy > most_busy)
			most = &rows[i];
	}
	return most;
}

struct profile_totals {
	double images_per_s, mb_per_s;
	const struct profile_row *bottleneck;
};

static void print_table(const struct profile_job *job, const struct profile_row *rows, size_t count,
	const struct profile_totals *totals)
{
	printf("%-10s %7s %10s %7s %9s %11s\n", "stage", "threads", "items", "busy", "upstream", "downstream");
	for (size_t i = 0; i < count; i++)
		printf("%-10s %7u %10" PRIu64 " %6.1f%% %8.1f%% %10.1f%%\n", rows[i].name, rows[i].threads,
			rows[i].items, 100 * rows[i].busy, 100 * rows[i].upstream, 100 * rows[i].downstream);
	char cache[128];
	runtime_describe_cache(job->loader, cache, sizeof cache);
	printf("\norder: %s%s%s%s\ncache: %s\n", job->order, job->order_reason ? " (" : "",
		job->order_reason ? job->order_reason : "", job->order_reason ? ")" : "", cache);
	printf("\n%-12s %6s %10s\n", "ring", "slots", "mean full");
	for (size_t i = 0; i < job->graph->ring_count; i++) {
		struct ring_stats stats;
		ring_stats(job->graph->rings[i], &stats);
		printf("%-12s %6u %10.1f\n", ring_name(job->graph->rings[i]), stats.slots, stats.mean_full);
	}
	printf("\n%.1f images/s (%" PRIu32 " views each), %.1f MB/s read by %s; %" PRIu64
	       " images in %.2f s\nbottleneck: %s\n",
		totals->images_per_s, job->policies.count, totals->mb_per_s, loader_engine_name(job->loader),
		job->images, job->seconds, totals->bottleneck->name);
}

static void add_cache(const struct profile_job *job, cJSON *result)
{
	static const char *const names[] = {
		[CACHE_NONE] = "none", [CACHE_PACKED] = "packed", [CACHE_DECODED] = "decoded"};
	const struct record_cache_plan *plan = loader_cache_plan(job->loader);
	cJSON_AddStringToObject(result, "order", job->order);
	cJSON_AddStringToObject(result, "cache", names[plan->kind]);
	cJSON_AddNumberToObject(
		result, "cache_bytes", (double)(plan->block_bytes + plan->pixel_bytes + plan->table_bytes));
}

static int print_json(const struct profile_job *job, const struct profile_row *rows, size_t count,
	const struct profile_totals *totals)
{
	cJSON *result = cJSON_CreateObject();
	cJSON_AddNumberToObject(result, "images_per_s", totals->images_per_s);
	cJSON_AddNumberToObject(result, "mb_per_s", totals->mb_per_s);
	cJSON_AddNumberToObject(result, "images", (double)job->images);
	cJSON_AddNumberToObject(result, "seconds", job->seconds);
	cJSON_AddStringToObject(result, "engine", loader_engine_name(job->loader));
	add_cache(job, result);
	cJSON_AddStringToObject(result, "bottleneck", totals->bottleneck->name);
	cJSON *stages = cJSON_AddArrayToObject(result, "stages");
	for (size_t i = 0; i < count; i++) {
		cJSON *row = cJSON_CreateObject();
		cJSON_AddStringToObject(row, "name", rows[i].name);
		cJSON_AddNumberToObject(row, "threads", rows[i].threads);
		cJSON_AddNumberToObject(row, "items", (double)rows[i].items);
		cJSON_AddNumberToObject(row, "busy", rows[i].busy);
		cJSON_AddNumberToObject(row, "waiting_upstream", rows[i].upstream);
		cJSON_AddNumberToObject(row, "waiting_downstream", rows[i].downstream);
		cJSON_AddItemToArray(stages, row);
	}
	cJSON *rings = cJSON_AddArrayToObject(result, "rings");
	for (size_t i = 0; i < job->graph->ring_count; i++) {
		struct ring_stats stats;
		ring_stats(job->graph->rings[i], &stats);
		cJSON *ring = cJSON_CreateObject();
		cJSON_AddStringToObject(ring, "name", ring_name(job->graph->rings[i]));
		cJSON_AddNumberToObject(ring, "slots", stats.slots);
		cJSON_AddNumberToObject(ring, "mean_full", stats.mean_full);
		cJSON_AddItemToArray(rings, ring);
	}
	return json_print(result);
}

static int print_result(const struct profile_job *job)
{
	struct profile_row rows[PROFILE_MAX_ROWS] = {0};
	size_t count = 0;
	for (size_t i = 0; i + 1 < job->graph->stage_count; i++) /* without the last, consume */
		count = add_rows(job->graph, i, rows, count);
	const struct meter *reader = &job->graph->meters[graph_first_meter(job->graph, 0)];
	struct profile_totals totals = {
		.images_per_s = (double)job->images / job->seconds,
		.mb_per_s = 1e-6 * (double)atomic_load_explicit(&reader->bytes, memory_order_relaxed) / job->seconds,
		.bottleneck = find_bottleneck(rows, count),
	};
	if (job->options.json)
		return print_json(job, rows, count, &totals);
	print_table(job, rows, count, &totals);
	return EXIT_OK;
}

int command_profile(int argc, char **argv)
{
	static struct profile_job job;
	job = (struct profile_job){0};
	int status = options_parse(&job.parsed, &table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct error err = {0};
	status = run_job(&job, &err) < 0 ? command_fail("profile", &err) : print_result(&job);
	free(job.graph);
	loader_destroy(job.loader);
	epoch_plan_destroy(job.plan);
	shard_set_close(job.set);
	runtime_stop(&job.runtime);
	options_free(&job.parsed);
	return status;
}
