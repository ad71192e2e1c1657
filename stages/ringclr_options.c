/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program hands over the struct as large as it knew it when it was compiled. What it knew less than this library has
 * its default; what it knew more must be zero, which is how a field that was never set looks.
 */
#include "stages/ringclr_options.h"

#include <string.h>

#include "pipeline/cpu.h"
#include "stages/loader_choices.h"
#include "stages/view_policy.h"

/* The struct of version 0.1.0: no program has a smaller one. */
enum { BYTES_LEAST = offsetof(struct ringclr_options, short_last) + sizeof(int32_t) };

enum {
	SIZE_LEAST = 8,
	SIZE_MOST = 1024,
	BATCH_MOST = 65536,
	SLOTS_MOST = 1024,
	THREADS_MOST = 200,
	WINDOW_MOST = 65536,
	DEPTH_MOST = 4096,
};
static const uint64_t epochs_most = 1000000000; /* sample numbers stay far below 2^64 */

static struct ringclr_options defaults(void)
{
	return (struct ringclr_options){
		.bytes = sizeof(struct ringclr_options),
		.views = "simclr",
		.isa = "auto",
		.strength = -1,
		.area_min = 0.08,
		.seed = 1,
		.size = 32,
		.batch = 256,
		.slots = 3,
		.window = 64,
		.depth = 32,
		.check_hashes = 1,
	};
}

void ringclr_options_init(struct ringclr_options *options, size_t bytes)
{
	const struct ringclr_options all = defaults();
	memset(options, 0, bytes);
	memcpy(options, &all, bytes < sizeof all ? bytes : sizeof all);
	if (bytes >= sizeof options->bytes)
		options->bytes = bytes;
}

static int take_given(struct ringclr_options *options, const struct ringclr_options *given, struct error *err)
{
	*options = defaults();
	if (!given)
		return 0;
	if (given->bytes < BYTES_LEAST)
		return error_set(err, ERROR_USAGE,
			"options.bytes is %zu and cannot be: begin the options with ringclr_options_init()",
			given->bytes);
	size_t known = given->bytes < sizeof *options ? given->bytes : sizeof *options;
	for (size_t i = known; i < given->bytes; i++)
		if (((const unsigned char *)given)[i] != 0)
			return error_set(err, ERROR_USAGE,
				"options has a field that this library (version " RINGCLR_VERSION
				") does not know: update the library");
	memcpy(options, given, known);
	options->bytes = sizeof *options;
	if (!options->views)
		options->views = "simclr";
	if (!options->isa)
		options->isa = "auto";
	return 0;
}

struct range {
	const char *name;
	uint64_t value, least, most;
};

static int check_ranges(const struct ringclr_options *o, struct error *err)
{
	/* Negative numbers of the last eight come out larger than any limit. */
	const struct range ranges[] = {
		{"size", o->size, SIZE_LEAST, SIZE_MOST},
		{"batch", o->batch, 1, BATCH_MOST},
		{"slots", o->slots, 1, SLOTS_MOST},
		{"threads", o->threads, 0, THREADS_MOST},
		{"window", o->window, 1, WINDOW_MOST},
		{"depth", o->depth, 1, DEPTH_MOST},
		{"epochs", o->epochs, 0, epochs_most},
		{"order", (uint64_t)o->order, 0, RINGCLR_ORDER_SEQUENTIAL},
		{"cache", (uint64_t)o->cache, 0, RINGCLR_CACHE_DECODED},
		{"decode", (uint64_t)o->decode, 0, RINGCLR_DECODE_FULL},
		{"bad", (uint64_t)o->bad, 0, RINGCLR_BAD_SKIP},
		{"engine", (uint64_t)o->engine, 0, RINGCLR_ENGINE_PREAD},
		{"direct", (uint64_t)o->direct, 0, 1},
		{"check_hashes", (uint64_t)o->check_hashes, 0, 1},
		{"short_last", (uint64_t)o->short_last, 0, 1},
	};
	for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
		if (ranges[i].value < ranges[i].least || ranges[i].value > ranges[i].most)
			return error_set(err, ERROR_USAGE, "options.%s is %lld and must be from %llu to %llu",
				ranges[i].name, (long long)ranges[i].value, (unsigned long long)ranges[i].least,
				(unsigned long long)ranges[i].most);
	return 0;
}

int ringclr_options_settle(struct ringclr_options *options, const struct ringclr_options *given, struct error *err)
{
	if (take_given(options, given, err) < 0 || check_ranges(options, err) < 0)
		return err->code;
	if (options->strength < 0)
		options->strength = options->size > 32 ? 1 : 0.5;
	if (!(options->strength >= 0 && options->strength <= 4)) /* also for NaN */
		return error_set(err, ERROR_USAGE, "options.strength is %g and must be from 0 to 4", options->strength);
	if (!(options->area_min >= 0.001 && options->area_min <= 1))
		return error_set(
			err, ERROR_USAGE, "options.area_min is %g and must be from 0.001 to 1", options->area_min);
	if (options->short_last && (options->epochs != 1 || options->first_batch != 0))
		return error_set(
			err, ERROR_USAGE, "options.short_last asks for options.epochs 1 and options.first_batch 0");
	if (options->epochs == 0)
		options->epochs = epochs_most;
	if (options->threads == 0)
		options->threads = cpu_allowed() > 1 ? cpu_allowed() / 2 : 1;
	if (options->threads > THREADS_MOST)
		options->threads = THREADS_MOST;
	return 0;
}

int ringclr_options_loader(const struct ringclr_options *options, struct loader_config *config, struct error *err)
{
	const struct view_defaults views = {.size = options->size,
		.views = 2,
		.strength = (float)options->strength,
		.area_min = (float)options->area_min};
	*config = (struct loader_config){
		.batch = options->batch,
		.whole_batches = !options->short_last,
		.seed = options->seed,
		.workers = options->threads,
		.unpackers = 1,
		.depth = options->depth,
		.batches = options->slots,
		.engine = (enum engine_kind)options->engine,
		.check_hash = options->check_hashes,
		.bad = (enum decode_bad)options->bad,
		.decode = (enum decode_mode)options->decode,
	};
	int code = view_policies_parse(&config->policies, options->views, &views, "options.views", err);
	return code < 0 ? code : cpu_parse(options->isa, &config->isa, err);
}

int ringclr_options_plan(const struct ringclr_options *options, const struct shard_set *set,
	struct epoch_plan_config *config, struct error *err)
{
	static const enum epoch_order orders[] = {[RINGCLR_ORDER_FULL] = EPOCH_FULL,
		[RINGCLR_ORDER_WINDOW] = EPOCH_WINDOW,
		[RINGCLR_ORDER_SEQUENTIAL] = EPOCH_SEQUENTIAL};
	uint64_t records = shard_set_records(set);
	const char *reason;
	if (records == 0)
		return error_set(err, ERROR_MISMATCH, "the shards hold no image");
	if (options->limit_images > records)
		return error_set(err, ERROR_USAGE, "options.limit_images is %llu, and the shards hold %llu images",
			(unsigned long long)options->limit_images, (unsigned long long)records);
	*config = (struct epoch_plan_config){
		.order = options->order == RINGCLR_ORDER_AUTO ? loader_choose_order(set, options->mem_bytes, &reason)
							      : orders[options->order],
		.seed = options->seed,
		.limit = options->limit_images, /* of the subset that every command takes: subset_seed 0 */
		.window = options->window,
	};
	return 0;
}
