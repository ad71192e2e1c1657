/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr bench views: the loader alone, on so many processors and no more.
 *
 * The process is held to --threads processors, with a decode thread for each; reader, unpacker and the thread that
 * takes the batches share them. So a figure for one thread is what one processor gives, everything included, and may be
 * held against another loader's single worker. Images' encoded bytes are in memory, as they are from training's second
 * epoch on, or (--cache none) in the page cache; every image is decoded every time.
 *
 * --second-view measures the first view alone too, in turns with all of them: decoding is paid once, so a second view
 * costs less than the first. --quality makes the same views from images decoded in full and from what is decoded by
 * default, and says how far apart they are.
 */
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "stages/loader_choices.h"
#include "stages/view_render.h"
#include "tools/bench.h"
#include "tools/command.h"
#include "tools/json.h"
#include "tools/views_option.h"

enum { MAX_TURNS = 101 };

struct views_options {
	uint64_t size, threads, batch, turns, seed, quality_images;
	double seconds, strength;
	const char *views, *isa;
	unsigned decode, io, cache;
	bool second_view, quality, json;
};

static const struct option_spec spec[] = {
	OPTION_GROUP("Views"),
	OPTION_U64(struct views_options, size, "size", "PIXELS", "32", 8, 1024, "side of the views"),
	OPTION_STRING(struct views_options, views, "views", "TEXT", "simclr", "what the views of an image are"),
	OPTION_DOUBLE(struct views_options, strength, "strength", "S", "0.5", 0, 4,
		"of the colour jitter; 1 when views are over 32 pixels"),
	OPTION_CHOICE(struct views_options, decode, "decode", "needed|full", "needed", "as in train"),
	OPTION_U64(struct views_options, batch, "batch", "N", "64", 1, 65536, "images of one batch; cut to the data"),
	OPTION_U64(struct views_options, seed, "seed", "N", "1", 0, UINT64_MAX, "of order and views"),
	OPTION_GROUP("What is measured"),
	OPTION_FLAG(struct views_options, second_view, "second-view", "no",
		"what the second view costs: the first alone as well, in turns"),
	OPTION_FLAG(struct views_options, quality, "quality", "no",
		"no speed: compare views of images decoded as needed with those decoded in full"),
	OPTION_U64(struct views_options, quality_images, "quality-images", "N", "200", 1, UINT32_MAX,
		"how many images to compare"),
	OPTION_GROUP("Length, threads and output"),
	OPTION_DOUBLE(struct views_options, seconds, "seconds", "S", "2", 0.1, 3600, "of one turn"),
	OPTION_U64(struct views_options, turns, "turns", "N", "5", 1, MAX_TURNS,
		"turns to take the median of, after one over all images that fills the cache"),
	OPTION_U64(struct views_options, threads, "threads", "N", "1", 1, 200,
		"processors to run on, and threads that decode"),
	OPTION_CHOICE(struct views_options, cache, "cache", "packed|none", "packed",
		"packed: images lie in memory as stored, after the first turn; none: they are read and decompressed"),
	OPTION_CHOICE(struct views_options, io, "io", "auto|uring|pread", "auto", "as in train"),
	OPTION_STRING(struct views_options, isa, "isa", "NAME", "auto",
		"kernels: auto, portable, avx2, avx512 or avx512bf16"),
	OPTION_FLAG(struct views_options, json, "json", "no", "print the result as one JSON object"),
};

const struct option_table bench_views_table = {
	.command = "bench views",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Reads, decodes and augments as training would and throws the batches away: images/s, an image being "
		 "all "
		 "its views, on --threads processors.",
	.operands = "SHARD",
	.operand_help = "shards to load",
	.operand_min = 1,
	.operand_max = 1024,
	.examples = "ringclr bench views photos.ring --size 224 --threads 1 --json\n"
		    "ringclr bench views photos.ring --size 224 --views 'crop flip' --second-view\n"
		    "ringclr bench views photos.ring --size 224 --quality\n",
	.notes = views_option_help,
};

/* One loader that is measured: all views, or the first alone. */
struct variant {
	struct view_policies policies;
	struct loader *loader;
	uint64_t next_batch;
	double images_per_s[MAX_TURNS];
	double decode_ns, augment_ns, images; /* over all turns */
};

struct views_job {
	struct views_options options;
	struct options parsed;
	struct runtime runtime;
	struct shard_set *set;
	struct epoch_plan *plan;
	struct variant variants[2];
	unsigned variant_count;
	uint32_t batch;
	double image_bytes; /* mean, encoded */
};

/* ---- one turn ---- */

struct consumer {
	struct loader *loader;
	uint64_t first, images;
	double seconds, until_s; /* until_s 0: to the end */
};

static int consume_run(void *ctx, struct worker *worker)
{
	struct consumer *consumer = ctx;
	struct ring *batches = loader_batches(consumer->loader);
	(void)worker;
	uint64_t start_ns = meter_now_ns();
	for (uint64_t seq = consumer->first;; seq++) {
		void *memory;
		int result = ring_acquire(batches, seq, &memory, NULL);
		if (result != RING_OK)
			return result == RING_END ? 0 : result;
		consumer->images += loader_batch(consumer->loader, seq, memory).images;
		ring_release(batches, seq);
		consumer->seconds = (double)(meter_now_ns() - start_ns) * 1e-9;
		if ((consumer->until_s > 0 && consumer->seconds >= consumer->until_s) || command_interrupted()) {
			ring_close(batches, seq + 1);
			return 0;
		}
	}
}

/* Runs the variant for so long, or with until_s 0 over all images; images/s in *rate. */
static int run_turn(struct views_job *job, struct variant *variant, double until_s, double *rate, struct error *err)
{
	struct graph *graph = calloc(1, sizeof *graph);
	if (!graph)
		return error_set(err, ERROR_MEMORY, "out of memory for the graph");
	struct consumer consumer = {.loader = variant->loader, .first = variant->next_batch, .until_s = until_s};
	struct stage consume = {.name = "consume",
		.run = consume_run,
		.ctx = &consumer,
		.workers = 1,
		.in = loader_batches(variant->loader),
		.placement = PLACEMENT_OTHER,
		.caller_runs = 1};
	const uint64_t epoch = loader_batches_per_epoch(variant->loader);
	loader_span(variant->loader, variant->next_batch,
		until_s > 0 ? variant->next_batch + (epoch << 22) : variant->next_batch + epoch);
	int code = loader_join(variant->loader, graph, err);
	if (code == 0)
		code = graph_add_stage(graph, &consume, err);
	if (code >= 0)
		code = graph_run(graph, job->runtime.placement, err);
	for (size_t i = 0; code == 0 && i < graph->stage_count; i++)
		for (unsigned w = 0; graph->stages[i].run == decode_run && w < graph->stages[i].workers; w++) {
			struct meter *meter = &graph->meters[graph_first_meter(graph, i) + w];
			variant->decode_ns += (double)atomic_load(&meter->phase_ns[DECODE_PHASE_DECODE]);
			variant->augment_ns += (double)atomic_load(&meter->phase_ns[DECODE_PHASE_AUGMENT]);
			variant->images += (double)atomic_load(&meter->items);
		}
	free(graph);
	variant->next_batch += consumer.images / job->batch;
	*rate = consumer.seconds > 0 ? (double)consumer.images / consumer.seconds : 0;
	return code;
}

static int run_speed(struct views_job *job, struct error *err)
{
	double rate;
	int code = 0;
	/* Every image once, to fill the caches. */
	for (unsigned v = 0; code == 0 && v < job->variant_count; v++)
		code = run_turn(job, &job->variants[v], 0, &rate, err);
	for (unsigned v = 0; v < job->variant_count; v++)
		job->variants[v].decode_ns = job->variants[v].augment_ns = job->variants[v].images = 0;
	for (uint64_t turn = 0; code == 0 && turn < job->options.turns && !command_interrupted(); turn++)
		for (unsigned v = 0; code == 0 && v < job->variant_count; v++) {
			struct variant *variant = &job->variants[v];
			code = run_turn(job, variant, job->options.seconds, &variant->images_per_s[turn], err);
		}
	if (code == 0 && command_interrupted())
		return error_set(err, ERROR_INTERRUPTED, "stopped before the last turn; nothing was measured");
	return code;
}

static void print_speed(struct views_job *job)
{
	const struct views_options *o = &job->options;
	struct variant *all = &job->variants[0];
	const double median = bench_median(all->images_per_s, o->turns), best = all->images_per_s[o->turns - 1];
	const double decode_ms = all->decode_ns / all->images * 1e-6, augment_ms = all->augment_ns / all->images * 1e-6;
	double second = 0;
	if (job->variant_count == 2) {
		const double first = bench_median(job->variants[1].images_per_s, o->turns);
		second = first / median - 1;
	}
	static char views[VIEW_POLICIES_TEXT_BYTES];
	view_policies_print(&all->policies, views);
	if (o->json) {
		cJSON *result = cJSON_CreateObject();
		cJSON_AddNumberToObject(result, "images_per_s", median);
		cJSON_AddNumberToObject(result, "images_per_s_best", best);
		cJSON_AddNumberToObject(result, "threads", (double)o->threads);
		cJSON_AddNumberToObject(result, "size", (double)o->size);
		cJSON_AddStringToObject(result, "views", views);
		cJSON_AddNumberToObject(result, "views_per_image", all->policies.count);
		cJSON_AddNumberToObject(result, "decode_ms", decode_ms);
		cJSON_AddNumberToObject(result, "augment_ms", augment_ms);
		cJSON_AddNumberToObject(result, "image_bytes", job->image_bytes);
		cJSON_AddStringToObject(result, "isa", pixel_kernels_for(job->runtime.isa)->name);
		cJSON_AddStringToObject(result, "decode", o->decode == DECODE_FULL ? "full" : "needed");
		cJSON_AddStringToObject(result, "cache", o->cache == 0 ? "packed" : "none");
		if (job->variant_count == 2)
			cJSON_AddNumberToObject(result, "second_view_cost", second);
		json_print(result);
		return;
	}
	printf("%.1f images/s (best %.1f), an image being %u view%s of %" PRIu64 " pixels, on %" PRIu64
	       " processor%s\n",
		median, best, all->policies.count, all->policies.count == 1 ? "" : "s", o->size, o->threads,
		o->threads == 1 ? "" : "s");
	printf("a decode thread spends %.3f ms on decoding an image (%.1f KB) and %.3f ms on its views\n", decode_ms,
		job->image_bytes * 1e-3, augment_ms);
	if (job->variant_count == 2)
		printf("all views cost %.0f%% more than the first alone\n", 100 * second);
}

/* ---- quality ---- */

struct quality {
	struct view_params params[VIEW_MAX_VIEWS];
	struct codec_context *codecs;
	uint8_t *pixels;
	float *scratch, *needed, *full; /* views: [size][size][3] */
	uint64_t views, same;
	double psnr_sum, psnr_worst; /* dB, of views that differ */
};

static double psnr_db(const float *a, const float *b, size_t floats)
{
	double sum = 0;
	for (size_t i = 0; i < floats; i++)
		sum += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
	return sum == 0 ? INFINITY : -10 * log10(sum / (double)floats);
}

static int compare_image(struct views_job *job, struct quality *quality, uint64_t number, const unsigned char *data,
	size_t bytes, struct error *err)
{
	const struct shard_record *record = shard_set_record(job->set, number);
	const uint32_t size = (uint32_t)job->options.size;
	struct augment augment = {.policies = job->variants[0].policies, .seed = job->options.seed};
	const struct pixel_kernels *kernels = pixel_kernels_for(job->runtime.isa);
	augment_draw(&augment, record->width, record->height, 0, number, quality->params);
	for (uint32_t view = 0; view < augment.policies.count; view++) {
		for (int full = 0; full < 2; full++) {
			augment.mode = full ? DECODE_FULL : DECODE_NEEDED;
			const struct codec_region region =
				augment_region(&augment, quality->params, record->width, record->height);
			struct codec_pixels image;
			int code = codec_decode_region(quality->codecs, (enum shard_codec)record->codec, data, bytes,
				record->width, record->height, &region, quality->pixels,
				codec_region_bytes(record->width, record->height), &image, err);
			if (code < 0)
				return code;
			view_render(kernels, &quality->params[view], size, &image, quality->scratch,
				full ? quality->full : quality->needed);
		}
		const double psnr = psnr_db(quality->needed, quality->full, (size_t)size * size * 3);
		quality->views++;
		quality->same += psnr == INFINITY;
		if (psnr == INFINITY)
			continue;
		quality->psnr_sum += psnr;
		quality->psnr_worst = fmin(quality->psnr_worst, psnr);
	}
	return 0;
}

static int run_quality(struct views_job *job, struct quality *quality, struct error *err)
{
	const uint64_t records = shard_set_records(job->set), most = job->options.quality_images;
	const uint64_t images = records < most ? records : most;
	uint32_t width = 1, height = 1;
	size_t pixels_bytes = 1;
	for (uint64_t i = 0; i < records; i++) {
		const struct shard_record *record = shard_set_record(job->set, i);
		const size_t bytes = codec_region_bytes(record->width, record->height);
		width = record->width > width ? record->width : width;
		height = record->height > height ? record->height : height;
		pixels_bytes = bytes > pixels_bytes ? bytes : pixels_bytes;
	}
	struct arena *arena = job->runtime.arena;
	const size_t size = job->options.size, floats = size * size * 3;
	const size_t scratch = view_render_scratch_floats(&job->variants[0].policies, width, height);
	quality->psnr_worst = INFINITY;
	quality->pixels = arena_alloc(arena, "decoded images", pixels_bytes, 1, 0, err);
	quality->scratch = arena_alloc(arena, "view scratch", scratch, sizeof(float), 0, err);
	quality->needed = arena_alloc(arena, "views", floats, sizeof(float), 0, err);
	quality->full = arena_alloc(arena, "views", floats, sizeof(float), 0, err);
	quality->codecs = codec_context_create(job->runtime.isa, err);
	int code = quality->pixels && quality->scratch && quality->needed && quality->full && quality->codecs
			   ? 0
			   : err->code;
	for (uint64_t i = 0; code == 0 && i < images; i++) {
		const uint64_t number = i * records / images;
		unsigned shard;
		uint32_t local;
		unsigned char *data = NULL;
		size_t bytes;
		shard_set_locate(job->set, number, &shard, &local);
		code = shard_read_record(shard_set_at(job->set, shard), local, &data, &bytes, err);
		if (code == 0)
			code = compare_image(job, quality, number, data, bytes, err);
		free(data);
	}
	codec_context_destroy(quality->codecs);
	return code;
}

static void print_quality(const struct views_job *job, const struct quality *quality)
{
	const uint64_t differ = quality->views - quality->same;
	const double mean = differ ? quality->psnr_sum / (double)differ : 0;
	if (job->options.json) {
		cJSON *result = cJSON_CreateObject();
		cJSON_AddNumberToObject(result, "views", (double)quality->views);
		cJSON_AddNumberToObject(result, "views_equal", (double)quality->same);
		if (differ) {
			cJSON_AddNumberToObject(result, "psnr_db_mean", mean);
			cJSON_AddNumberToObject(result, "psnr_db_worst", quality->psnr_worst);
		}
		json_print(result);
		return;
	}
	printf("%" PRIu64 " views of %" PRIu64 " pixels: %" PRIu64
	       " are the same floats as from images decoded in full\n",
		quality->views, job->options.size, quality->same);
	if (differ)
		printf("the other %" PRIu64 " come from scaled JPEGs: PSNR %.1f dB on average, %.1f dB at worst\n",
			differ, mean, quality->psnr_worst);
}

/* ---- set-up ---- */

/* The first `count` of the processors that the process may run on. Threads started later inherit it. */
static int hold_to_processors(unsigned count, struct error *err)
{
	cpu_set_t allowed, chosen;
	CPU_ZERO(&chosen);
	if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
		return error_set(err, ERROR_SYSTEM, "cannot ask which processors may be used");
	unsigned found = 0;
	for (unsigned cpu = 0; cpu < CPU_SETSIZE && found < count; cpu++)
		if (CPU_ISSET(cpu, &allowed)) {
			CPU_SET(cpu, &chosen);
			found++;
		}
	if (found < count)
		return error_set(err, ERROR_USAGE,
			"--threads %u: this process may run on %u processors; give at most that", count, found);
	if (sched_setaffinity(0, sizeof chosen, &chosen) != 0)
		return error_set(err, ERROR_SYSTEM, "cannot hold the process to %u processors", count);
	return 0;
}

static int create_loader(struct views_job *job, struct variant *variant, struct error *err)
{
	struct loader_config config = runtime_loader_config(&job->runtime);
	config.set = job->set;
	config.plan = job->plan;
	config.policies = variant->policies;
	config.batch = job->batch;
	config.whole_batches = true;
	config.seed = job->options.seed;
	variant->loader = loader_create(job->runtime.arena, &config, err);
	if (!variant->loader)
		return err->code;
	return loader_add_cache(variant->loader, job->runtime.arena,
		job->options.cache == 0 ? CACHE_PACKED : CACHE_NONE, loader_cache_budget(job->runtime.arena, 0) / 2,
		err);
}

static int prepare(struct views_job *job, struct error *err)
{
	struct views_options *o = &job->options;
	if (o->size > 32 && !options_given(&job->parsed, "strength"))
		o->strength = 1;
	const struct view_defaults defaults = {
		.size = (uint32_t)o->size, .views = 2, .strength = (float)o->strength, .area_min = 0.08F};
	const struct runtime_options shared = {
		.threads = 1,
		.loader_threads = o->threads,
		.unpackers = 1,
		.depth = 32,
		.batch_slots = 3,
		.io = o->io,
		.decode = o->decode,
		.check_hashes = true,
		.pin = "none",
		.isa = o->isa,
	};
	int code = views_option_parse(&job->variants[0].policies, o->views, &defaults, 0, err);
	if (code == 0 && o->second_view && job->variants[0].policies.count < 2)
		return error_set(
			err, ERROR_USAGE, "--second-view: --views makes one view of an image; name two or more");
	if (code == 0 && o->quality && (o->second_view || options_given(&job->parsed, "decode")))
		return error_set(err, ERROR_USAGE,
			"--quality compares --decode needed with --decode full and measures no speed; leave out %s",
			o->second_view ? "--second-view" : "--decode");
	if (code == 0)
		code = hold_to_processors((unsigned)o->threads, err);
	if (code == 0)
		code = runtime_start(&job->runtime, &shared, err);
	if (code < 0)
		return code;
	job->set = runtime_open_shards(&job->runtime, job->parsed.operands, job->parsed.operand_count, err);
	if (!job->set)
		return err->code;
	const uint64_t records = shard_set_records(job->set);
	for (uint64_t i = 0; i < records; i++)
		job->image_bytes += (double)shard_set_record(job->set, i)->bytes / (double)records;
	job->batch = (uint32_t)(o->batch < records ? o->batch : records);
	job->variant_count = 1;
	if (o->second_view) {
		job->variants[1].policies = job->variants[0].policies;
		job->variants[1].policies.count = 1;
		job->variant_count = 2;
	}
	const char *reason;
	const struct epoch_plan_config plan = {
		.order = runtime_choose_order(&shared, job->set, &reason), .seed = o->seed, .window = 64};
	job->plan = epoch_plan_create(job->set, &plan, err);
	if (!job->plan)
		return err->code;
	for (unsigned v = 0; v < job->variant_count && !o->quality; v++)
		if (create_loader(job, &job->variants[v], err) < 0)
			return err->code;
	return 0;
}

int bench_views(int argc, char **argv)
{
	static struct views_job job;
	static struct quality quality;
	job = (struct views_job){0};
	quality = (struct quality){0};
	int status = options_parse(&job.parsed, &bench_views_table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct error err = {0};
	int code = prepare(&job, &err);
	if (code == 0)
		code = job.options.quality ? run_quality(&job, &quality, &err) : run_speed(&job, &err);
	if (code == 0 && job.options.quality)
		print_quality(&job, &quality);
	else if (code == 0)
		print_speed(&job);
	status = code < 0 ? command_fail("bench views", &err) : EXIT_OK;
	for (unsigned v = 0; v < job.variant_count; v++)
		loader_destroy(job.variants[v].loader);
	epoch_plan_destroy(job.plan);
	shard_set_close(job.set);
	runtime_stop(&job.runtime);
	options_free(&job.parsed);
	return status;
}
