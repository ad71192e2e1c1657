/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader against a plain loop that does the same without rings or threads, under every number of threads, engine
 * order and cache; spans that start in the middle; short last batches; bad images.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/engine_calls.h"
#include "stages/augment.h"
#include "stages/codec.h"
#include "stages/loader.h"
#include "stages/view_policy.h"
#include "stages/view_render.h"
#include "tests/helper_files.h"
#include "tests/helper_jpeg.h"

enum { RECORDS = 103, SIZE = 16, BATCH = 8 };

/* One packed set of raw images of many sizes, in two shards. */
struct fixture {
	char *folder;
	char *paths[2];
	struct shard_set *set;
};

/* The image that record number `record` of the set holds; pixel values by formula. */
static unsigned char *make_image(uint64_t record, uint32_t *width, uint32_t *height)
{
	*width = 9 + (uint32_t)(record * 7 % 23);
	*height = 11 + (uint32_t)(record * 5 % 17);
	size_t bytes = (size_t)*width * *height * 3;
	unsigned char *rgb = malloc(bytes);
	assert_non_null(rgb);
	for (size_t i = 0; i < bytes; i++)
		rgb[i] = (unsigned char)((i * i + record * 31 + i / 3) & 0xff);
	return rgb;
}

static uint64_t cut_record = UINT64_MAX;

static void write_shard(const char *path, uint64_t first, uint64_t end, uint64_t bad)
{
	static const char *const classes[] = {"a", "b", "c"};
	struct error err = {0};
	struct shard_writer_config config = {
		.path = path, .classes = classes, .class_count = 3, .block_bytes = 4096, .zstd_level = 3};
	struct shard_writer *writer = shard_writer_create(&config, &err);
	assert_non_null(writer);
	for (uint64_t i = first; i < end; i++) {
		char key[32];
		snprintf(key, sizeof key, "image-%03d", (int)i);
		struct shard_record_in record = {.key = key, .label = (int32_t)(i % 3), .codec = SHARD_RAW};
		unsigned char *rgb = make_image(i, &record.width, &record.height);
		record.data = rgb;
		record.bytes = (size_t)record.width * record.height * 3;
		void *png = NULL;
		if (i % 4 == 1) {
			assert_int_equal(
				codec_encode_png(rgb, record.width, record.height, &png, &record.bytes, &err), 0);
			record.codec = SHARD_PNG;
			record.data = png;
		}
		if (i == cut_record) {
			free(png);
			png = helper_cut_jpeg(rgb, record.width, record.height, &record.bytes);
			record.codec = SHARD_JPEG;
			record.data = png;
		}
		if (i == bad)
			record.codec = SHARD_JPEG; /* bytes that are no JPEG */
		assert_int_equal(shard_writer_add(writer, &record, &err), 0);
		free(rgb);
		free(png);
	}
	assert_int_equal(shard_writer_finish(writer, &err), 0);
}

static void fixture_make(struct fixture *fixture, uint64_t bad)
{
	struct error err = {0};
	fixture->folder = helper_folder_make();
	fixture->paths[0] = helper_path(fixture->folder, "one.ring");
	fixture->paths[1] = helper_path(fixture->folder, "two.ring");
	write_shard(fixture->paths[0], 0, 60, bad);
	write_shard(fixture->paths[1], 60, RECORDS, bad);
	const char *const paths[] = {fixture->paths[0], fixture->paths[1]};
	fixture->set = shard_set_open(paths, 2, false, &err);
	assert_non_null(fixture->set);
}

static void fixture_free(struct fixture *fixture)
{
	shard_set_close(fixture->set);
	free(fixture->paths[0]);
	free(fixture->paths[1]);
	helper_folder_remove(fixture->folder);
}

/* What a run gave: every row of every batch, in order. */
struct taken {
	float *x;	  /* [images][views][SIZE][SIZE][3] */
	uint64_t *record; /* [images] */
	int32_t *label;
	uint64_t images, batches;
	uint64_t reads; /* blocks, by all runs */
	struct record_cache_plan cache;
};

static const size_t row_floats = (size_t)SIZE * SIZE * 3;

static void taken_free(struct taken *taken)
{
	free(taken->x);
	free(taken->record);
	free(taken->label);
}

struct consumer {
	struct loader *loader;
	unsigned views;
	struct taken *taken;
	uint64_t stop_after; /* batches; 0: all */
};

static int consume(void *ctx, struct worker *worker)
{
	struct consumer *consumer = ctx;
	struct taken *taken = consumer->taken;
	struct ring *batches = loader_batches(consumer->loader);
	(void)worker;
	for (uint64_t seq = loader_first_batch(consumer->loader);; seq++) {
		void *memory;
		int result = ring_acquire(batches, seq, &memory, NULL);
		if (result != RING_OK)
			return result == RING_END ? 0 : result;
		struct batch batch = loader_batch(consumer->loader, seq, memory);
		for (uint32_t i = 0; i < batch.images; i++, taken->images++) {
			for (unsigned v = 0; v < consumer->views; v++)
				memcpy(taken->x + (taken->images * consumer->views + v) * row_floats,
					batch.x + ((size_t)v * BATCH + i) * row_floats, row_floats * sizeof(float));
			taken->record[taken->images] = batch.record[i];
			taken->label[taken->images] = batch.label[i];
		}
		ring_release(batches, seq);
		if (++taken->batches == consumer->stop_after) {
			ring_close(batches, seq + 1);
			return 0;
		}
	}
}

struct how {
	struct epoch_plan_config plan;
	struct loader_config loader; /* set, plan, policies and batch are filled in */
	const char *views;
	uint64_t first, end; /* batches; end 0: loader_once() */
	uint64_t stop_after;
	uint64_t room; /* images that may come */
	enum cache_kind cache;
	size_t budget;	     /* of the cache */
	unsigned runs_ahead; /* runs of the same loader before the one that is looked at, each stopped after a batch */
};

static void parse_views(struct view_policies *policies, const char *text)
{
	static const struct view_defaults defaults = {.size = SIZE, .views = 2, .strength = 0.5F, .area_min = 0.08F};
	struct error err = {0};
	if (view_policies_parse(policies, text, &defaults, "views", &err) < 0)
		fail_msg("%s", err.message);
}

static int run_once(struct loader *loader, const struct how *how, struct consumer *consumer, struct error *err)
{
	struct stage stage = {
		.name = "consume", .run = consume, .ctx = consumer, .in = loader_batches(loader), .caller_runs = 1};
	struct graph *graph = calloc(1, sizeof *graph);
	assert_non_null(graph);
	if (how->end > 0)
		loader_span(loader, how->first, how->end);
	else
		loader_once(loader);
	assert_int_equal(loader_join(loader, graph, err), 0);
	assert_true(graph_add_stage(graph, &stage, err) >= 0);
	int code = graph_run(graph, NULL, err);
	consumer->taken->reads += atomic_load(&graph->meters[graph_first_meter(graph, 0)].items);
	free(graph);
	return code;
}

/* Runs the loader; returns the graph's result. */
static int take(const struct fixture *fixture, const struct how *how, struct taken *taken, uint64_t *replaced,
	struct error *err)
{
	struct arena *arena = arena_create(0, err);
	assert_non_null(arena);
	struct epoch_plan *plan = epoch_plan_create(fixture->set, &how->plan, err);
	assert_non_null(plan);
	struct loader_config config = how->loader;
	config.set = fixture->set;
	config.plan = plan;
	config.batch = BATCH;
	config.whole_batches = how->end > 0;
	config.check_hash = true;
	config.seed = 5;
	parse_views(&config.policies, how->views);
	struct loader *loader = loader_create(arena, &config, err);
	assert_non_null(loader);
	size_t drawn = arena_used_bytes(arena);
	*taken = (struct taken){
		.x = calloc(how->room * config.policies.count * row_floats, sizeof(float)),
		.record = calloc(how->room, sizeof(uint64_t)),
		.label = calloc(how->room, sizeof(int32_t)),
	};
	assert_int_equal(loader_add_cache(loader, arena, how->cache, how->budget, err), 0);
	assert_true(arena_used_bytes(arena) <= drawn + how->budget);
	taken->cache = *loader_cache_plan(loader);
	struct consumer consumer = {loader, config.policies.count, taken, 1};
	for (unsigned i = 0; i < how->runs_ahead; i++) {
		taken->images = taken->batches = 0;
		assert_int_equal(run_once(loader, how, &consumer, err), 0);
	}
	taken->images = taken->batches = 0;
	consumer.stop_after = how->stop_after;
	int code = run_once(loader, how, &consumer, err);
	if (replaced)
		*replaced = loader_bad_images(loader);
	loader_destroy(loader);
	epoch_plan_destroy(plan);
	arena_destroy(arena);
	return code;
}

/* Image number i of a run from epoch_samples a epoch, made without the pipeline, must be what came. */
static void check_image(const struct epoch_plan *plan, const struct view_policies *policies, uint64_t seq,
	uint64_t epoch_samples, const struct taken *taken, uint64_t i)
{
	uint32_t epoch = (uint32_t)(seq / epoch_samples), width, height;
	uint64_t record = epoch_plan_record(plan, epoch, seq % epoch_samples);
	assert_int_equal(taken->record[i], record);
	assert_int_equal(taken->label[i], record % 3);
	unsigned char *rgb = make_image(record, &width, &height);
	float *scratch =
		aligned_alloc(64, (view_render_scratch_floats(policies, width, height) * sizeof(float) + 63) / 64 * 64);
	float *expected = calloc(row_floats, sizeof(float));
	const struct codec_pixels image = codec_pixels_whole(rgb, width, height);
	for (uint32_t v = 0; v < policies->count; v++) {
		struct philox stream = philox_stream(5, epoch, record, v, PHILOX_AUGMENT);
		struct view_params params;
		view_params_draw(&params, &policies->view[v], width, height, &stream);
		view_render(pixel_kernels_for(CPU_PORTABLE), &params, SIZE, &image, scratch, expected);
		assert_memory_equal(
			expected, taken->x + (i * policies->count + v) * row_floats, row_floats * sizeof(float));
	}
	free(expected);
	free(scratch);
	free(rgb);
}

static void check_run(const struct fixture *fixture, const struct how *how, const struct taken *taken,
	uint64_t first_image, uint64_t images)
{
	struct error err = {0};
	struct view_policies policies;
	uint64_t length = how->plan.limit ? how->plan.limit : RECORDS;
	uint64_t epoch_samples = how->end > 0 ? length / BATCH * BATCH : length;
	parse_views(&policies, how->views);
	struct epoch_plan *plan = epoch_plan_create(fixture->set, &how->plan, &err);
	assert_non_null(plan);
	assert_int_equal(taken->images, images);
	for (uint64_t i = 0; i < images; i++)
		check_image(plan, &policies, first_image + i, epoch_samples, taken, i);
	epoch_plan_destroy(plan);
}

static void any_threads_engine_and_order_give_the_same_batches(void **state)
{
	(void)state;
	struct fixture fixture;
	fixture_make(&fixture, UINT64_MAX);
	static const enum epoch_order orders[] = {EPOCH_FULL, EPOCH_WINDOW, EPOCH_SEQUENTIAL};
	static const unsigned threads[][2] = {{1, 1}, {2, 1}, {5, 3}};
	static const char *const views[] = {"simclr", "simclr cutout(0.25) noise | crop flip rotate90 sobel",
		"simclr solarize | 3x crop(0.1,0.4) blur vflip | center"};
	static const enum engine_kind engines[] = {ENGINE_AUTO, ENGINE_PREAD};
	for (unsigned o = 0; o < 3; o++)
		for (unsigned t = 0; t < 3; t++)
			for (unsigned e = 0; e < 2; e++)
				for (uint64_t limit = 0; limit <= 40; limit += 40) {
					struct how how = {
						.plan = {.order = orders[o], .seed = 9, .window = 3, .limit = limit},
						.loader = {.workers = threads[t][0],
							.unpackers = threads[t][1],
							.engine = engines[e],
							.depth = 1 + 3 * t,
							.batches = 1 + t},
						.views = views[t],
						.end = 29,
						.room = 29 * BATCH,
					};
					struct error err = {0};
					struct taken taken;
					assert_int_equal(take(&fixture, &how, &taken, NULL, &err), 0);
					check_run(&fixture, &how, &taken, 0, 29 * BATCH);
					taken_free(&taken);
				}
	fixture_free(&fixture);
}

enum { PLENTY = 1 << 26 };

static uint64_t count_blocks(const struct fixture *fixture)
{
	return shard_blocks(shard_set_at(fixture->set, 0)) + shard_blocks(shard_set_at(fixture->set, 1));
}

static void any_cache_and_budget_gives_the_same_batches(void **state)
{
	(void)state;
	struct fixture fixture;
	fixture_make(&fixture, UINT64_MAX);
	static const enum epoch_order orders[] = {EPOCH_FULL, EPOCH_WINDOW};
	static const enum cache_kind kinds[] = {CACHE_NONE, CACHE_AUTO, CACHE_PACKED, CACHE_DECODED};
	size_t packed = record_cache_packed_bytes(fixture.set);
	const size_t budgets[] = {0, 100, packed / 3, packed + 8192, PLENTY};
	for (unsigned o = 0; o < 2; o++)
		for (unsigned k = 0; k < 4; k++)
			for (unsigned b = 0; b < 5; b++)
				for (unsigned unpackers = 1; unpackers <= 8; unpackers += b == 4 ? 1 : 4) {
					struct how how = {
						.plan = {.order = orders[o], .seed = 9, .window = 3},
						.views = "simclr",
						.loader = {.workers = 1 + unpackers % 3,
							.unpackers = unpackers,
							.depth = 1 + 7 * (unpackers % 2),
							.batches = 1},
						.end = 40,
						.room = 40 * BATCH,
						.cache = kinds[k],
						.budget = budgets[b],
						.runs_ahead = unpackers % 3,
					};
					struct error err = {0};
					struct taken taken;
					assert_int_equal(take(&fixture, &how, &taken, NULL, &err), 0);
					check_run(&fixture, &how, &taken, 0, 40 * BATCH);
					bool partial = taken.cache.kept_blocks > 0 &&
						       taken.cache.kept_blocks < taken.cache.blocks;
					if (kinds[k] == CACHE_NONE || b < 2)
						assert_int_equal(taken.cache.kind, CACHE_NONE);
					else if (b == 2)
						assert_true(partial);
					else if (b == 4)
						assert_int_equal(taken.cache.kind,
							kinds[k] == CACHE_PACKED ? CACHE_PACKED : CACHE_DECODED);
					if (b == 4 && kinds[k] != CACHE_NONE)
						assert_int_equal(taken.cache.kept_blocks, count_blocks(&fixture));
					/* Of 13 blocks or more, in more than three epochs: each is read once. Runs that
					 * are stopped may leave reads unused. */
					if (b == 4 && kinds[k] != CACHE_NONE && how.runs_ahead == 0)
						assert_int_equal(taken.reads, count_blocks(&fixture));
					if (kinds[k] == CACHE_NONE && how.runs_ahead == 0)
						assert_true(taken.reads >= 3 * count_blocks(&fixture));
					taken_free(&taken);
				}
	fixture_free(&fixture);
}

static void a_cache_keeps_what_the_subset_needs(void **state)
{
	(void)state;
	struct fixture fixture;
	fixture_make(&fixture, UINT64_MAX);
	struct how how = {
		.plan = {.order = EPOCH_FULL, .seed = 4, .limit = 9},
		.views = "simclr",
		.loader = {.workers = 2, .unpackers = 2},
		.end = 12,
		.room = 12 * BATCH,
		.cache = CACHE_DECODED,
		.budget = PLENTY,
	};
	struct error err = {0};
	struct taken taken;
	assert_int_equal(take(&fixture, &how, &taken, NULL, &err), 0);
	check_run(&fixture, &how, &taken, 0, 12 * BATCH);
	assert_true(taken.cache.blocks <= 9 && taken.cache.images <= 9);
	assert_int_equal(taken.cache.kept_blocks, taken.cache.blocks);
	assert_int_equal(taken.cache.kept_images, taken.cache.images);
	assert_true(taken.reads <= taken.cache.blocks);
	taken_free(&taken);
	fixture_free(&fixture);
}

static void a_run_may_start_and_stop_anywhere(void **state)
{
	(void)state;
	struct fixture fixture;
	fixture_make(&fixture, UINT64_MAX);
	for (uint64_t first = 0; first < 27; first += 5)
		for (unsigned window = 0; window < 2; window++) {
			struct how how = {
				.plan = {.order = window ? EPOCH_WINDOW : EPOCH_FULL, .seed = 3, .window = 2},
				.loader = {.workers = 2, .unpackers = 2},
				.views = "simclr",
				.first = first,
				.end = 30,
				.stop_after = first % 2 ? 2 : 0,
				.room = 30 * BATCH,
			};
			struct error err = {0};
			struct taken taken;
			assert_int_equal(take(&fixture, &how, &taken, NULL, &err), 0);
			check_run(&fixture, &how, &taken, first * BATCH, (first % 2 ? 2 : 30 - first) * BATCH);
			taken_free(&taken);
		}
	fixture_free(&fixture);
}

static void evaluation_sees_every_image_once_in_order(void **state)
{
	(void)state;
	struct fixture fixture;
	fixture_make(&fixture, UINT64_MAX);
	for (unsigned workers = 1; workers <= 4; workers++) {
		struct how how = {
			.plan = {.order = EPOCH_SEQUENTIAL},
			.loader = {.workers = workers, .unpackers = 1},
			.views = "1x center",
			.room = RECORDS,
		};
		struct error err = {0};
		struct taken taken;
		assert_int_equal(take(&fixture, &how, &taken, NULL, &err), 0);
		assert_int_equal(taken.batches, (RECORDS + BATCH - 1) / BATCH);
		check_run(&fixture, &how, &taken, 0, RECORDS);
		for (uint64_t i = 0; i < RECORDS; i++)
			assert_int_equal(taken.record[i], i);
		taken_free(&taken);
	}
	fixture_free(&fixture);
}

static void a_bad_image_fails_by_name_or_is_replaced(void **state)
{
	(void)state;
	struct fixture fixture;
	fixture_make(&fixture, 77);
	struct how how = {
		.plan = {.order = EPOCH_SEQUENTIAL},
		.loader = {.workers = 2, .unpackers = 1, .bad = DECODE_BAD_FAIL},
		.views = "1x center",
		.room = RECORDS,
	};
	struct error err = {0};
	struct taken taken;
	uint64_t replaced;
	assert_int_equal(take(&fixture, &how, &taken, &replaced, &err), ERROR_DECODE);
	assert_non_null(strstr(err.message, "image-077"));
	assert_non_null(strstr(err.message, "two.ring"));
	taken_free(&taken);

	how.loader.bad = DECODE_BAD_SKIP;
	err = (struct error){0};
	assert_int_equal(take(&fixture, &how, &taken, &replaced, &err), 0);
	assert_int_equal(replaced, 1);
	assert_int_equal(taken.images, RECORDS);
	assert_int_equal(taken.record[77], 78);
	assert_memory_equal(taken.x + 77 * row_floats, taken.x + 78 * row_floats, row_floats * sizeof(float));
	taken_free(&taken);
	fixture_free(&fixture);
}

/* Flips a byte in the middle of a block. */
static void damage(const char *path, const struct shard_block *block)
{
	size_t bytes;
	unsigned char *data = helper_file_read(path, &bytes);
	data[block->offset + block->disk_bytes / 2] ^= 0x10;
	helper_file_write(path, data, bytes);
	free(data);
}

static void a_damaged_block_fails_by_name_or_its_images_are_replaced(void **state)
{
	(void)state;
	struct fixture fixture;
	fixture_make(&fixture, UINT64_MAX);
	damage(fixture.paths[1], shard_block(shard_set_at(fixture.set, 1), 0));
	struct how how = {
		.plan = {.order = EPOCH_SEQUENTIAL},
		.loader = {.workers = 2, .unpackers = 1, .bad = DECODE_BAD_FAIL},
		.views = "1x center",
		.room = RECORDS,
	};
	struct error err = {0};
	struct taken taken;
	uint64_t replaced;
	assert_int_equal(take(&fixture, &how, &taken, &replaced, &err), ERROR_DAMAGED);
	assert_non_null(strstr(err.message, "two.ring"));
	taken_free(&taken);

	how.loader.bad = DECODE_BAD_SKIP;
	err = (struct error){0};
	assert_int_equal(take(&fixture, &how, &taken, &replaced, &err), 0);
	uint32_t lost = shard_block(shard_set_at(fixture.set, 1), 0)->record_count;
	assert_int_equal(replaced, lost);
	for (uint64_t i = 60; i < 60 + lost; i++)
		assert_int_equal(taken.record[i], 60 + lost);
	taken_free(&taken);
	fixture_free(&fixture);
}

/* Whether an image that is cut may be used depends on what its crops need, and on nothing else: not on whether the
 * cache would have kept all of it. */
static void a_cut_image_is_the_same_with_a_cache(void **state)
{
	(void)state;
	struct fixture fixture;
	enum { CUT = 42, EPOCHS = 40 };
	cut_record = CUT;
	fixture_make(&fixture, UINT64_MAX);
	cut_record = UINT64_MAX;
	struct how how = {
		.plan = {.order = EPOCH_FULL, .seed = 2},
		.views = "1x crop(0.02,0.2)",
		.loader = {.workers = 2, .unpackers = 2, .bad = DECODE_BAD_SKIP},
		.end = EPOCHS * (RECORDS / BATCH),
		.room = (uint64_t)EPOCHS * (RECORDS / BATCH) * BATCH,
		.budget = PLENTY,
	};
	struct error err = {0};
	struct taken plain, kept;
	uint64_t replaced, expected;
	how.cache = CACHE_NONE;
	assert_int_equal(take(&fixture, &how, &plain, &expected, &err), 0);
	how.cache = CACHE_DECODED;
	assert_int_equal(take(&fixture, &how, &kept, &replaced, &err), 0);
	assert_true(expected > 0 && expected < EPOCHS); /* some epochs use it, some cannot */
	assert_int_equal(replaced, expected);
	assert_memory_equal(kept.record, plain.record, how.room * sizeof(uint64_t));
	assert_memory_equal(kept.x, plain.x, how.room * row_floats * sizeof(float));
	taken_free(&plain);
	taken_free(&kept);
	fixture_free(&fixture);
}

static void bad_images_are_replaced_alike_with_a_cache(void **state)
{
	(void)state;
	struct fixture fixture;
	fixture_make(&fixture, 77);
	damage(fixture.paths[1], shard_block(shard_set_at(fixture.set, 1), 0));
	for (unsigned o = 0; o < 2; o++) {
		struct how how = {
			.plan = {.order = o ? EPOCH_WINDOW : EPOCH_FULL, .seed = 2, .window = 2},
			.views = "simclr",
			.loader = {.workers = 2, .unpackers = 3, .bad = DECODE_BAD_SKIP},
			.end = 36,
			.room = 36 * BATCH,
			.cache = CACHE_NONE,
			.budget = PLENTY,
		};
		struct error err = {0};
		struct taken plain;
		uint64_t replaced, expected;
		assert_int_equal(take(&fixture, &how, &plain, &expected, &err), 0);
		assert_true(expected > 3);
		for (how.cache = CACHE_PACKED; how.cache <= CACHE_DECODED; how.cache++) {
			struct taken taken;
			assert_int_equal(take(&fixture, &how, &taken, &replaced, &err), 0);
			assert_int_equal(replaced, expected);
			assert_memory_equal(taken.record, plain.record, how.room * sizeof(uint64_t));
			assert_memory_equal(taken.x, plain.x, how.room * 2 * row_floats * sizeof(float));
			taken_free(&taken);
			how.loader.bad = DECODE_BAD_FAIL;
			assert_true(take(&fixture, &how, &taken, NULL, &err) < 0);
			err = (struct error){0};
			how.loader.bad = DECODE_BAD_SKIP;
			taken_free(&taken);
		}
		taken_free(&plain);
	}
	fixture_free(&fixture);
}

static int reads_left;

/* Comes up short at every other call, and fails when reads_left runs out. */
static ssize_t failing_pread(int fd, void *memory, size_t bytes, off_t offset)
{
	if (--reads_left == 0) {
		errno = EIO;
		return -1;
	}
	return pread(fd, memory, reads_left % 2 && bytes > SHARD_BLOCK_ALIGN ? SHARD_BLOCK_ALIGN : bytes, offset);
}

static void a_failed_read_ends_the_run_with_a_cache_too(void **state)
{
	(void)state;
	struct fixture fixture;
	fixture_make(&fixture, UINT64_MAX);
	engine_calls.pread = failing_pread;
	for (int at = 0; at < 40; at++) {
		struct how how = {
			.plan = {.order = EPOCH_FULL, .seed = 2},
			.views = "simclr",
			.loader = {.workers = 2, .unpackers = 1 + (unsigned)at % 8, .depth = 4, .engine = ENGINE_PREAD},
			.end = 36,
			.room = 36 * BATCH,
			.cache = CACHE_PACKED,
			.budget = PLENTY,
		};
		struct error err = {0};
		struct taken taken;
		reads_left = at;
		int code = take(&fixture, &how, &taken, NULL, &err);
		if (code == 0)
			check_run(&fixture, &how, &taken, 0, 36 * BATCH);
		else
			assert_int_equal(code, ERROR_IO);
		assert_true(at == 0 || at > 20 || code == ERROR_IO);
		taken_free(&taken);
	}
	engine_calls.pread = pread;
	fixture_free(&fixture);
}

static void a_batch_larger_than_the_data_is_refused(void **state)
{
	(void)state;
	struct fixture fixture;
	fixture_make(&fixture, UINT64_MAX);
	struct error err = {0};
	struct arena *arena = arena_create(0, &err);
	struct epoch_plan_config plan_config = {.order = EPOCH_FULL};
	struct epoch_plan *plan = epoch_plan_create(fixture.set, &plan_config, &err);
	struct loader_config config = {.set = fixture.set,
		.plan = plan,
		.batch = RECORDS + 1,
		.whole_batches = true,
		.workers = 1,
		.unpackers = 1};
	parse_views(&config.policies, "simclr");
	assert_null(loader_create(arena, &config, &err));
	assert_int_equal(err.code, ERROR_MISMATCH);
	assert_non_null(strstr(err.message, "--batch 104"));
	epoch_plan_destroy(plan);
	arena_destroy(arena);
	fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_threads_engine_and_order_give_the_same_batches),
		cmocka_unit_test(any_cache_and_budget_gives_the_same_batches),
		cmocka_unit_test(a_cache_keeps_what_the_subset_needs),
		cmocka_unit_test(bad_images_are_replaced_alike_with_a_cache),
		cmocka_unit_test(a_cut_image_is_the_same_with_a_cache),
		cmocka_unit_test(a_failed_read_ends_the_run_with_a_cache_too),
		cmocka_unit_test(a_run_may_start_and_stop_anywhere),
		cmocka_unit_test(evaluation_sees_every_image_once_in_order),
		cmocka_unit_test(a_bad_image_fails_by_name_or_is_replaced),
		cmocka_unit_test(a_damaged_block_fails_by_name_or_its_images_are_replaced),
		cmocka_unit_test(a_batch_larger_than_the_data_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
