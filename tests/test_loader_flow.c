/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loader does over time: a slow image holds back its own batch and no other, and memory is as large after
 * 100,000 batches as after the first 1000.
 *
 * The slow image is a PNG whose decoding waits until later batches are full: codec_decode_region() is led here by the
 * linker's
 * --wrap (see the Makefile). A loader that let one image delay others would never get there, and the wait gives up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stages/codec.h"
#include "stages/loader.h"
#include "stages/view_policy.h"
#include "tests/helper_files.h"

/* Freed memory is kept for a while by AddressSanitizer: PNG's decoder allocates for each image. */
#if defined(__SANITIZE_ADDRESS__)
#define KEEPS_FREED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEPS_FREED 1
#endif
#endif

enum { IMAGES = 24, BATCH = 4, SIDE = 12, SLOW_SIDE = 13, SLOW = 5, BATCHES_AHEAD = 3 };

static atomic_bool may_go; /* set by the consumer, once it saw the later batches; read by the slow decoder */
static atomic_int waited;  /* 1: the slow image was waited for; 2: in vain */

static void delay_if_slow(uint32_t width)
{
	int polls = 0;
	if (width == SLOW_SIDE) {
		while (!atomic_load(&may_go) && polls++ < 10000)
			usleep(1000);
		atomic_store(&waited, atomic_load(&may_go) ? 1 : 2);
	}
}

/* What the cache keeps is decoded whole, the rest by regions. */
#define WHOLE                                                                                                          \
	struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes, uint32_t width,         \
		uint32_t height, uint8_t *rgb, size_t capacity_bytes, struct error *err
#define REGION                                                                                                         \
	struct codec_context *context, enum shard_codec codec, const void *data, size_t bytes, uint32_t width,         \
		uint32_t height, const struct codec_region *region, uint8_t *buffer, size_t capacity_bytes,            \
		struct codec_pixels *out, struct error *err
/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names */
int __real_codec_decode(WHOLE);
int __wrap_codec_decode(WHOLE);
int __real_codec_decode_region(REGION);
int __wrap_codec_decode_region(REGION);

int __wrap_codec_decode(WHOLE)
{
	delay_if_slow(width);
	return __real_codec_decode(context, codec, data, bytes, width, height, rgb, capacity_bytes, err);
}

int __wrap_codec_decode_region(REGION)
{
	delay_if_slow(width);
	return __real_codec_decode_region(
		context, codec, data, bytes, width, height, region, buffer, capacity_bytes, out, err);
}

/* NOLINTEND(bugprone-reserved-identifier) */

struct fixture {
	char *folder, *path;
	struct shard_set *set;
	struct epoch_plan *plan;
	struct arena *arena;
	struct loader *loader;
	struct graph *graph;
};

static void pack(const char *path, uint32_t images, uint32_t slow)
{
	struct error err = {0};
	struct shard_writer_config config = {.path = path, .block_bytes = 4096};
	struct shard_writer *writer = shard_writer_create(&config, &err);
	assert_non_null(writer);
	for (uint32_t i = 0; i < images; i++) {
		char key[32];
		snprintf(key, sizeof key, "%u", i);
		uint32_t side = i == slow ? SLOW_SIDE : SIDE;
		uint8_t *rgb = calloc((size_t)side * side, 3);
		void *png = NULL;
		struct shard_record_in record = {
			.key = key, .label = -1, .width = side, .height = side, .codec = SHARD_PNG};
		assert_int_equal(codec_encode_png(rgb, side, side, &png, &record.bytes, &err), 0);
		record.data = png;
		assert_int_equal(shard_writer_add(writer, &record, &err), 0);
		free(rgb);
		free(png);
	}
	assert_int_equal(shard_writer_finish(writer, &err), 0);
}

static void fixture_make(struct fixture *fixture, uint32_t images, uint32_t slow, enum epoch_order order,
	const struct loader_config *how, enum cache_kind cache)
{
	struct error err = {0};
	fixture->folder = helper_folder_make();
	fixture->path = helper_path(fixture->folder, "images.ring");
	pack(fixture->path, images, slow);
	const char *const paths[] = {fixture->path};
	fixture->set = shard_set_open(paths, 1, false, &err);
	assert_non_null(fixture->set);
	struct epoch_plan_config plan = {.order = order, .seed = 1};
	fixture->plan = epoch_plan_create(fixture->set, &plan, &err);
	fixture->arena = arena_create(0, &err);
	assert_non_null(fixture->plan);
	assert_non_null(fixture->arena);
	struct loader_config config = *how;
	config.set = fixture->set;
	config.plan = fixture->plan;
	config.unpackers = 1;
	config.whole_batches = true;
	view_policies_init(&config.policies, 1, VIEW_CENTER, 8, 0);
	fixture->loader = loader_create(fixture->arena, &config, &err);
	assert_non_null(fixture->loader);
	assert_int_equal(loader_add_cache(fixture->loader, fixture->arena, cache, 1 << 24, &err), 0);
	arena_seal(fixture->arena);
	fixture->graph = calloc(1, sizeof *fixture->graph);
	assert_non_null(fixture->graph);
}

static void fixture_run(struct fixture *fixture, int (*consume)(void *, struct worker *), uint64_t batches)
{
	struct error err = {0};
	struct stage stage = {.name = "consume",
		.run = consume,
		.ctx = fixture->loader,
		.in = loader_batches(fixture->loader),
		.caller_runs = 1};
	loader_span(fixture->loader, 0, batches);
	assert_int_equal(loader_join(fixture->loader, fixture->graph, &err), 0);
	assert_true(graph_add_stage(fixture->graph, &stage, &err) >= 0);
	assert_int_equal(graph_run(fixture->graph, NULL, &err), 0);
}

static void fixture_free(struct fixture *fixture)
{
	free(fixture->graph);
	loader_destroy(fixture->loader);
	epoch_plan_destroy(fixture->plan);
	arena_destroy(fixture->arena);
	shard_set_close(fixture->set);
	free(fixture->path);
	helper_folder_remove(fixture->folder);
}

static bool slow_batch_was_empty; /* when all the others that fit the ring were full */

/* Waits for the batches behind the slow one before it lets the slow image go on. */
static int consume_out_of_order(void *ctx, struct worker *worker)
{
	struct loader *loader = ctx;
	struct ring *batches = loader_batches(loader);
	uint64_t slow = SLOW / BATCH, end = loader_end_batch(loader);
	(void)worker;
	for (uint64_t seq = 0; seq < end; seq++) {
		if (seq == slow) {
			for (uint64_t ahead = 1; ahead <= BATCHES_AHEAD; ahead++) {
				int result = ring_acquire(batches, slow + ahead, NULL, NULL);
				if (result != RING_OK)
					return result;
			}
			slow_batch_was_empty = ring_try_acquire(batches, slow, NULL, NULL) == RING_AGAIN;
			atomic_store(&may_go, true);
		}
		int result =
			seq > slow && seq <= slow + BATCHES_AHEAD ? RING_OK : ring_acquire(batches, seq, NULL, NULL);
		if (result != RING_OK)
			return result;
		ring_release(batches, seq);
	}
	return 0;
}

static void a_slow_image_delays_only_its_own_batch(void **state)
{
	(void)state;
	static const enum cache_kind caches[] = {CACHE_NONE, CACHE_DECODED};
	for (unsigned c = 0; c < 2; c++)
		for (unsigned workers = 2; workers <= 4; workers++) {
			struct fixture fixture;
			struct loader_config how = {.batch = BATCH, .workers = workers, .batches = 1 + BATCHES_AHEAD};
			atomic_store(&may_go, false);
			atomic_store(&waited, 0);
			slow_batch_was_empty = false;
			fixture_make(&fixture, IMAGES, SLOW, EPOCH_SEQUENTIAL, &how, caches[c]);
			fixture_run(&fixture, consume_out_of_order, IMAGES / BATCH);
			assert_int_equal(atomic_load(&waited), 1);
			assert_true(slow_batch_was_empty);
			fixture_free(&fixture);
		}
}

enum { MANY = 100000 };
static size_t resident_early, resident_late; /* pages */

static size_t resident_pages(void)
{
	unsigned long size = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
	fclose(file);
	return resident;
}

static int consume_many(void *ctx, struct worker *worker)
{
	struct ring *batches = loader_batches(ctx);
	(void)worker;
	for (uint64_t seq = 0;; seq++) {
		int result = ring_acquire(batches, seq, NULL, NULL);
		if (result != RING_OK)
			return result == RING_END ? 0 : result;
		ring_release(batches, seq);
		if (seq == MANY / 100)
			resident_early = resident_pages();
		if (seq == MANY - 1)
			resident_late = resident_pages();
	}
}

static void memory_stays_flat_over_many_batches(void **state)
{
	(void)state;
#ifdef KEEPS_FREED
	skip();
#endif
	static const enum cache_kind caches[] = {CACHE_NONE, CACHE_DECODED};
	for (unsigned c = 0; c < 2; c++) {
		struct fixture fixture;
		struct loader_config how = {.batch = 1, .workers = 1};
		fixture_make(&fixture, 7, UINT32_MAX, c ? EPOCH_WINDOW : EPOCH_FULL, &how, caches[c]);
		fixture_run(&fixture, consume_many, MANY);
		/* A page for each thousand batches would be 99. */
		assert_true(resident_late <= resident_early + 32);
		fixture_free(&fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slow_image_delays_only_its_own_batch),
		cmocka_unit_test(memory_stays_flat_over_many_batches),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
