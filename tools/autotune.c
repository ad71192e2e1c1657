/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice, from the model of profile_model.h:
 *
 *   decode threads   the fewest that come within 2% of the best rate that the allowed processors can give
 *   unpack threads   the fewest that could do a tenth more than that
 *   reads in flight  Little's law: rate x reads an image x time of a slow read, doubled; 32 at least when the data is
 *                    not in the page cache, since a second of measuring sees few slow reads
 *   batches ahead    as many as are made while one slow image holds its batch up, and 3 at least
 *
 * Under a limit of memory first batches, then reads, then threads are taken back, until the plan fits or there is
 * nothing left to take.
 */
#include "tools/autotune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/page_cache.h"
#include "tools/profile_run.h"

enum { MOST_UNPACKERS = 8, LEAST_DEPTH = 8, COLD_DEPTH = 32, MOST_DEPTH = 256, LEAST_BATCHES = 3, MOST_BATCHES = 8 };
enum { TRIAL_BATCH = 16, TRIAL_IMAGES = 4096, LEAST_SAMPLES = 32 };
static const double GOOD_ENOUGH = 0.98, UNPACK_SPARE = 1.1, MOSTLY = 0.9, TRIAL_S = 1;

static double rate_of(struct profile_model model, unsigned threads, unsigned unpackers)
{
	model.stage[MODEL_DECODE].threads = threads;
	model.stage[MODEL_UNPACK].threads = unpackers;
	return profile_model_rate(&model, NULL);
}

static size_t plan_bytes(const struct autotune_input *input, const struct autotune_choice *choice)
{
	size_t reads = 2 * (size_t)choice->depth; /* as read_create() has it */
	size_t blocks = reads > input->group_blocks ? reads : input->group_blocks;
	size_t samples =
		4 * choice->loader_threads > LEAST_SAMPLES ? 4 * (size_t)choice->loader_threads : LEAST_SAMPLES;
	return choice->loader_threads * input->thread_bytes + choice->unpackers * input->unpacker_bytes +
	       blocks * input->read_bytes + samples * input->sample_bytes + choice->batches * input->batch_bytes;
}

static unsigned clamp(double value, unsigned least, unsigned most)
{
	return value < least ? least : value > most ? most : (unsigned)ceil(value);
}

static void fit_memory(const struct autotune_input *input, struct autotune_choice *choice)
{
	while (input->room_bytes > 0 && plan_bytes(input, choice) > input->room_bytes) {
		choice->cut = true;
		if (choice->batches > 2)
			choice->batches--;
		else if (choice->depth > 2)
			choice->depth /= 2;
		else if (choice->unpackers > 1)
			choice->unpackers--;
		else if (choice->loader_threads > 1)
			choice->loader_threads--;
		else
			return;
	}
}

struct autotune_choice autotune_choose(const struct autotune_input *input)
{
	const struct profile_model *model = &input->model;
	struct autotune_choice choice = {.loader_threads = 1, .unpackers = 1};
	double best = rate_of(*model, model->processors, MOST_UNPACKERS);
	while (choice.loader_threads < model->processors &&
		rate_of(*model, choice.loader_threads, MOST_UNPACKERS) < GOOD_ENOUGH * best)
		choice.loader_threads++;
	double rate = rate_of(*model, choice.loader_threads, MOST_UNPACKERS);
	while (choice.unpackers < MOST_UNPACKERS &&
		choice.unpackers < UNPACK_SPARE * rate * model->stage[MODEL_UNPACK].cost_s)
		choice.unpackers++;
	unsigned least_depth = input->cached ? LEAST_DEPTH : COLD_DEPTH;
	choice.depth = input->one_read
			       ? LEAST_DEPTH
			       : clamp(2 * rate * input->reads_per_image * input->latency_s, least_depth, MOST_DEPTH);
	choice.batches = clamp(1 + input->slow_image_s * rate / input->batch, LEAST_BATCHES, MOST_BATCHES);
	fit_memory(input, &choice);
	choice.images_per_s = rate_of(*model, choice.loader_threads, choice.unpackers);
	return choice;
}

/* ---- Measuring ---- */

struct class_bytes {
	const char *name;
	size_t bytes;
};

static void find_class(void *ctx, const char *class_name, size_t bytes)
{
	struct class_bytes *wanted = ctx;
	if (strcmp(class_name, wanted->name) == 0)
		wanted->bytes = bytes;
}

static size_t class_bytes(const struct arena *arena, const char *name)
{
	struct class_bytes wanted = {.name = name};
	arena_classes(arena, find_class, &wanted);
	return wanted.bytes;
}

static struct autotune_input describe(
	const struct runtime *runtime, const struct loader_config *config, const struct profile_run *run, double cached)
{
	const struct engine *engine = loader_engine(run->loader);
	const struct measure_row *unpack = measure_find(&run->measures, "unpack");
	const struct measure_row *copy = measure_find(&run->measures, "copy");
	struct slow_list slow = loader_slowest(run->loader);
	struct augment augment = loader_augment(config);
	/* What is drawn after the loader's buffers (graphs and their meters, tables) has room too. */
	size_t mem = runtime->options.mem,
	       used = arena_used_bytes(runtime->arena) + 2 * sizeof(struct graph) + mem / 32;
	return (struct autotune_input){
		.model = profile_run_model(run),
		.reads_per_image = (double)unpack->items / (double)(copy->items ? copy->items : 1),
		.latency_s = 1e-9 * (double)histogram_percentile(engine_latencies(engine), 0.99),
		.slow_image_s = slow.count ? 1e-9 * (double)(slow.worst[0].decode_ns + slow.worst[0].augment_ns) : 0,
		.batch = config->batch,
		.one_read = strcmp(engine_name(engine), "pread") == 0,
		.cached = cached >= MOSTLY,
		.group_blocks = epoch_plan_max_blocks(config->plan),
		.thread_bytes = (class_bytes(run->arena, "decoded images") + class_bytes(run->arena, "view scratch")) /
				run->config.workers,
		.unpacker_bytes = class_bytes(run->arena, "unpacked blocks") / run->config.unpackers,
		.read_bytes = ring_slot_bytes(loader_blocks(run->loader)),
		.sample_bytes = ring_slot_bytes(loader_samples(run->loader)),
		.batch_bytes = batch_slot_bytes(&augment),
		.room_bytes = mem == 0	   ? 0
			      : mem > used ? mem - used
					   : 1,
	};
}

static void explain(
	const struct autotune_input *input, const struct autotune_choice *choice, char *text, size_t capacity)
{
	const struct profile_model *model = &input->model;
	snprintf(text, capacity,
		"autotune: an image costs %.3g ms in decode threads, %.3g ms in unpack threads; %u processors\n"
		"  --loader-threads %u --unpack-threads %u: %.4g images/s at most\n"
		"  --depth %u: a slow read takes %.3g ms%s\n"
		"  --batch-slots %u: the slowest image took %.3g ms%s",
		1e3 * model->stage[MODEL_DECODE].cost_s, 1e3 * model->stage[MODEL_UNPACK].cost_s, model->processors,
		choice->loader_threads, choice->unpackers, choice->images_per_s, choice->depth, 1e3 * input->latency_s,
		input->one_read ? ", one after another"
		: input->cached ? ", from the page cache"
				: "",
		choice->batches, 1e3 * input->slow_image_s, choice->cut ? "\n  cut to what --mem leaves" : "");
}

int autotune(
	struct runtime *runtime, const struct loader_config *config, char *text, size_t capacity, struct error *err)
{
	struct profile_run *run = calloc(1, sizeof *run);
	if (!run)
		return error_set(err, ERROR_MEMORY, "out of memory for a trial run");
	double cached = runtime->options.direct ? 0 : page_cache_share(config->set);
	run->config = *config;
	run->config.batch = config->batch < TRIAL_BATCH ? config->batch : TRIAL_BATCH;
	run->config.workers = run->config.unpackers = 1;
	run->config.batches = 0;
	run->cache = CACHE_NONE;
	run->seconds = TRIAL_S;
	run->most_images = TRIAL_IMAGES;
	int code = profile_run(run, runtime->placement, err);
	if (code == 0) {
		struct autotune_input input = describe(runtime, config, run, cached);
		struct autotune_choice choice = autotune_choose(&input);
		runtime->loader_threads = choice.loader_threads;
		runtime->options.unpackers = choice.unpackers;
		runtime->options.depth = choice.depth;
		runtime->options.batch_slots = choice.batches;
		explain(&input, &choice, text, capacity);
	}
	profile_run_free(run);
	free(run);
	return code;
}
