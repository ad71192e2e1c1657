/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C interface against the loader it is made of: the same bytes; and its edges: errors, batches held when it is
 * closed, two handles at once, stopping, resuming, ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stages/loader.h"
#include "stages/ringclr.h"
#include "stages/view_policy.h"
#include "tests/helper_files.h"

enum { RECORDS = 50, SIZE = 16, BATCH = 8, VIEWS = 2 };

struct fixture {
	char *folder, *path, *bad_path;
};

static void write_shard(const char *path, uint32_t bad)
{
	static const char *const classes[] = {"cat", "dog", "eel"};
	struct error err = {0};
	struct shard_writer_config config = {
		.path = path, .classes = classes, .class_count = 3, .block_bytes = 4096, .zstd_level = 3};
	struct shard_writer *writer = shard_writer_create(&config, &err);
	assert_non_null(writer);
	for (uint32_t i = 0; i < RECORDS; i++) {
		char key[32];
		unsigned char rgb[40 * 40 * 3];
		snprintf(key, sizeof key, "image-%02u", i);
		struct shard_record_in record = {.key = key,
			.label = (int32_t)(i % 4) - 1,
			.width = 17 + i % 23,
			.height = 20 + i % 7,
			.data = rgb};
		record.bytes = (size_t)record.width * record.height * 3;
		record.codec = i == bad ? SHARD_JPEG : SHARD_RAW;
		for (size_t b = 0; b < record.bytes; b++)
			rgb[b] = (unsigned char)(b * b + i * 31 + b / 3);
		assert_int_equal(shard_writer_add(writer, &record, &err), 0);
	}
	assert_int_equal(shard_writer_finish(writer, &err), 0);
}

static int set_up(void **state)
{
	static struct fixture fixture;
	fixture.folder = helper_folder_make();
	fixture.path = helper_path(fixture.folder, "good.ring");
	fixture.bad_path = helper_path(fixture.folder, "bad.ring");
	write_shard(fixture.path, UINT32_MAX);
	write_shard(fixture.bad_path, 29);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	free(fixture->path);
	free(fixture->bad_path);
	helper_folder_remove(fixture->folder);
	return 0;
}

static struct ringclr_options small_options(void)
{
	struct ringclr_options options;
	ringclr_options_init(&options, sizeof options);
	options.size = SIZE;
	options.batch = BATCH;
	options.threads = 2;
	options.epochs = 3;
	return options;
}

static struct ringclr *open_one(const char *path, const struct ringclr_options *options)
{
	char message[512];
	struct ringclr *loader = ringclr_open(&path, 1, options, message, sizeof message);
	if (!loader)
		fail_msg("%s", message);
	assert_string_equal(message, "");
	return loader;
}

/* ---- The same bytes ---- */

static const size_t batch_floats = (size_t)VIEWS * BATCH * SIZE * SIZE * 3;

/* What the loader gives, taken by a stage of the graph as training does. */
struct reference {
	struct loader *loader;
	float *x; /* [batches][VIEWS][BATCH][SIZE][SIZE][3]; rows that a short batch lacks are zeros */
	uint64_t *record;
	uint32_t *images; /* [batches] */
	uint64_t batches;
};

static int keep_batches(void *ctx, struct worker *worker)
{
	struct reference *reference = ctx;
	struct ring *ring = loader_batches(reference->loader);
	(void)worker;
	for (uint64_t seq = loader_first_batch(reference->loader);; seq++) {
		void *memory;
		int result = ring_acquire(ring, seq, &memory, NULL);
		if (result != RING_OK)
			return result == RING_END ? 0 : result;
		struct batch batch = loader_batch(reference->loader, seq, memory);
		uint64_t at = reference->batches++;
		for (uint32_t view = 0; view < VIEWS; view++)
			memcpy(reference->x + at * batch_floats + view * (batch_floats / VIEWS),
				batch.x + view * (batch_floats / VIEWS),
				batch_floats / VIEWS / BATCH * batch.images * sizeof(float));
		memcpy(reference->record + at * BATCH, batch.record, batch.images * sizeof(uint64_t));
		reference->images[at] = batch.images;
		ring_release(ring, seq);
	}
}

static void reference_make(struct reference *reference, const char *path, enum epoch_order order, uint64_t limit,
	bool short_last, uint64_t batches)
{
	struct error err = {0};
	struct arena *arena = arena_create(0, &err);
	struct shard_set *set = shard_set_open(&path, 1, false, &err);
	assert_non_null(set);
	struct epoch_plan_config plan = {.order = order, .seed = 7, .window = 3, .limit = limit};
	struct loader_config config = {.set = set,
		.plan = epoch_plan_create(set, &plan, &err),
		.batch = BATCH,
		.whole_batches = !short_last,
		.seed = 7,
		.workers = 1,
		.unpackers = 1,
		.isa = cpu_detect()};
	const struct view_defaults views = {.size = SIZE, .views = VIEWS, .strength = 0.5F, .area_min = 0.08F};
	assert_int_equal(view_policies_parse(&config.policies, "simclr", &views, "views", &err), 0);
	reference->loader = loader_create(arena, &config, &err);
	assert_non_null(reference->loader);
	reference->x = calloc(batches * batch_floats, sizeof(float));
	reference->record = calloc(batches * BATCH, sizeof(uint64_t));
	reference->images = calloc(batches, sizeof(uint32_t));
	reference->batches = 0;
	struct graph *graph = arena_alloc(arena, "graph", 1, sizeof *graph, 0, &err);
	struct stage stage = {.name = "keep",
		.run = keep_batches,
		.ctx = reference,
		.in = loader_batches(reference->loader),
		.caller_runs = 1};
	if (short_last)
		loader_once(reference->loader);
	else
		loader_span(reference->loader, 0, batches);
	assert_int_equal(loader_join(reference->loader, graph, &err), 0);
	assert_true(graph_add_stage(graph, &stage, &err) >= 0);
	assert_int_equal(graph_run(graph, NULL, &err), 0);
	assert_int_equal(reference->batches, batches);
	loader_destroy(reference->loader);
	epoch_plan_destroy((struct epoch_plan *)config.plan);
	shard_set_close(set);
	arena_destroy(arena);
}

static void reference_free(struct reference *reference)
{
	free(reference->x);
	free(reference->record);
	free(reference->images);
}

static bool same_views(const struct ringclr_batch *batch, const struct reference *reference)
{
	const float *expected = reference->x + batch->number * batch_floats;
	for (uint32_t view = 0; view < VIEWS; view++)
		if (memcmp(ringclr_view(batch, view, 0), expected + view * (batch_floats / VIEWS),
			    batch->images * (batch_floats / VIEWS / BATCH) * sizeof(float)) != 0)
			return false;
	return true;
}

static void check_batch(struct ringclr *loader, const struct ringclr_batch *batch, const struct reference *reference)
{
	assert_true(batch->number < reference->batches);
	assert_int_equal(batch->images, reference->images[batch->number]);
	assert_int_equal(batch->rows, BATCH);
	assert_int_equal(batch->epoch, batch->number / ringclr_get_info(loader)->batches_per_epoch);
	assert_true(same_views(batch, reference));
	for (uint32_t i = 0; i < batch->images; i++) {
		uint64_t record = reference->record[batch->number * BATCH + i];
		char key[32];
		snprintf(key, sizeof key, "image-%02u", (unsigned)record);
		assert_int_equal(batch->records[i], record);
		assert_int_equal(batch->labels[i], (int32_t)(record % 4) - 1);
		assert_string_equal(ringclr_key(loader, record), key);
	}
}

static void batches_are_those_of_the_loader(void **state)
{
	const struct fixture *fixture = *state;
	static const struct {
		int32_t order, cache, engine, short_last;
		uint32_t threads, slots;
		uint64_t limit, batches;
	} cases[] = {
		{RINGCLR_ORDER_FULL, RINGCLR_CACHE_AUTO, RINGCLR_ENGINE_AUTO, 0, 1, 3, 0, 18},
		{RINGCLR_ORDER_AUTO, RINGCLR_CACHE_NONE, RINGCLR_ENGINE_PREAD, 0, 3, 1, 0, 18},
		{RINGCLR_ORDER_WINDOW, RINGCLR_CACHE_PACKED, RINGCLR_ENGINE_PREAD, 0, 2, 5, 29, 9},
		{RINGCLR_ORDER_SEQUENTIAL, RINGCLR_CACHE_DECODED, RINGCLR_ENGINE_AUTO, 1, 2, 2, 0, 7},
	};
	static const enum epoch_order orders[] = {EPOCH_FULL, EPOCH_FULL, EPOCH_WINDOW, EPOCH_SEQUENTIAL};
	for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
		struct reference reference;
		reference_make(&reference, fixture->path, orders[cases[c].order], cases[c].limit, cases[c].short_last,
			cases[c].batches);
		struct ringclr_options options = small_options();
		options.seed = 7;
		options.window = 3;
		options.order = cases[c].order;
		options.cache = cases[c].cache;
		options.engine = cases[c].engine;
		options.threads = cases[c].threads;
		options.slots = cases[c].slots;
		options.limit_images = cases[c].limit;
		options.short_last = cases[c].short_last;
		options.epochs = cases[c].short_last ? 1 : 3;
		struct ringclr *loader = open_one(fixture->path, &options);
		const struct ringclr_batch *batch;
		uint64_t batches = 0;
		for (; ringclr_next(loader, &batch) == 1; batches++) {
			assert_int_equal(batch->number, batches);
			check_batch(loader, batch, &reference);
			assert_int_equal(ringclr_release(loader, batch), 0);
		}
		assert_int_equal(batches, cases[c].batches);
		assert_int_equal(ringclr_next(loader, &batch), 0);
		assert_null(batch);
		assert_string_equal(ringclr_error(loader), "");
		ringclr_close(loader);
		reference_free(&reference);
	}
}

static void a_run_resumes_at_any_batch(void **state)
{
	const struct fixture *fixture = *state;
	struct reference reference;
	reference_make(&reference, fixture->path, EPOCH_FULL, 0, false, 18);
	for (uint64_t first = 0; first <= 18; first += 3) {
		struct ringclr_options options = small_options();
		options.seed = 7;
		options.first_batch = first;
		struct ringclr *loader = open_one(fixture->path, &options);
		const struct ringclr_batch *batch;
		uint64_t number = first;
		for (; ringclr_next(loader, &batch) == 1; number++) {
			assert_int_equal(batch->number, number);
			check_batch(loader, batch, &reference);
			ringclr_release(loader, batch);
		}
		assert_int_equal(number, 18);
		ringclr_close(loader);
	}
	reference_free(&reference);
}

/* ---- Holding and ending ---- */

static void batches_are_held_up_to_the_slots_and_returned_in_any_order(void **state)
{
	const struct fixture *fixture = *state;
	struct reference reference;
	reference_make(&reference, fixture->path, EPOCH_FULL, 0, false, 18);
	struct ringclr_options options = small_options();
	options.seed = 7;
	struct ringclr *loader = open_one(fixture->path, &options);
	const struct ringclr_batch *held[4];
	for (int i = 0; i < 3; i++)
		assert_int_equal(ringclr_next(loader, &held[i]), 1);
	assert_int_equal(ringclr_next(loader, &held[3]), RINGCLR_BUSY);
	assert_int_equal(ringclr_release(loader, held[2]), 0);
	assert_int_equal(ringclr_next(loader, &held[3]), RINGCLR_BUSY); /* number 3 needs the slot of 0 */
	assert_string_equal(ringclr_error(loader), "");
	check_batch(loader, held[0], &reference);
	check_batch(loader, held[1], &reference);
	held[0]->data[0] = 3; /* it is the caller's */
	assert_int_equal(ringclr_release(loader, held[0]), 0);
	assert_int_equal(ringclr_release(loader, held[0]), RINGCLR_USAGE);
	assert_int_equal(ringclr_release(loader, NULL), RINGCLR_USAGE);
	assert_int_equal(ringclr_release(loader, (const struct ringclr_batch *)&options), RINGCLR_USAGE);
	assert_int_equal(ringclr_next(loader, &held[3]), 1);
	assert_int_equal(held[3]->number, 3);
	check_batch(loader, held[1], &reference);
	check_batch(loader, held[3], &reference);
	ringclr_close(loader); /* with two held */
	reference_free(&reference);
}

static void a_handle_may_be_closed_at_any_time(void **state)
{
	const struct fixture *fixture = *state;
	for (unsigned taken = 0; taken < 6; taken++) {
		struct ringclr_options options = small_options();
		options.epochs = 0;
		options.slots = 6;
		struct ringclr *loader = open_one(fixture->path, &options);
		const struct ringclr_batch *batch;
		for (unsigned i = 0; i < taken; i++)
			assert_int_equal(ringclr_next(loader, &batch), 1);
		ringclr_close(loader);
	}
	ringclr_close(NULL);
}

static void *stop_after_a_batch(void *argument)
{
	struct ringclr *loader = argument;
	const struct ringclr_batch *batch;
	ringclr_next(loader, &batch);
	ringclr_stop(loader);
	return (void *)batch; /* NULL: it got none */
}

static void a_run_is_stopped_from_another_thread(void **state)
{
	const struct fixture *fixture = *state;
	for (int i = 0; i < 20; i++) {
		struct ringclr_options options = small_options();
		options.epochs = 0;
		struct ringclr *loader = open_one(fixture->path, &options);
		pthread_t thread;
		void *held;
		const struct ringclr_batch *batch;
		int got;
		assert_int_equal(pthread_create(&thread, NULL, stop_after_a_batch, loader), 0);
		do {
			got = ringclr_next(loader, &batch);
			if (got == 1)
				assert_int_equal(ringclr_release(loader, batch), 0);
		} while (got == 1 || got == RINGCLR_BUSY);
		assert_int_equal(got, 0);
		assert_int_equal(pthread_join(thread, &held), 0);
		assert_non_null(held);
		assert_int_equal(ringclr_next(loader, &batch), 0);
		assert_true(((const struct ringclr_batch *)held)->data[0] >= 0);
		assert_int_equal(ringclr_release(loader, held), 0);
		assert_string_equal(ringclr_error(loader), "");
		ringclr_close(loader);
	}
}

struct share {
	struct ringclr *loader;
	const struct reference *reference;
	_Atomic unsigned *seen; /* [18] times that the batch came as it should */
};

static void *take_share(void *argument)
{
	struct share *share = argument;
	const struct ringclr_batch *batch;
	while (ringclr_next(share->loader, &batch) == 1) {
		if (same_views(batch, share->reference))
			atomic_fetch_add(&share->seen[batch->number], 1);
		ringclr_release(share->loader, batch);
	}
	return NULL;
}

static void two_handles_with_two_threads_each(void **state)
{
	const struct fixture *fixture = *state;
	struct reference reference;
	reference_make(&reference, fixture->path, EPOCH_FULL, 0, false, 18);
	struct share shares[2];
	_Atomic unsigned seen[2][18] = {{0}};
	pthread_t threads[4];
	for (int h = 0; h < 2; h++) {
		struct ringclr_options options = small_options();
		options.seed = 7;
		options.slots = 4;
		shares[h] = (struct share){open_one(fixture->path, &options), &reference, seen[h]};
	}
	for (int t = 0; t < 4; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, take_share, &shares[t / 2]), 0);
	for (int t = 0; t < 4; t++)
		assert_int_equal(pthread_join(threads[t], NULL), 0);
	for (int h = 0; h < 2; h++) {
		for (int i = 0; i < 18; i++)
			assert_int_equal(seen[h][i], 1);
		ringclr_close(shares[h].loader);
	}
	reference_free(&reference);
}

/* ---- Errors ---- */

static void refuse(const char *path, const struct ringclr_options *options, const char *what)
{
	char message[512] = "";
	assert_null(ringclr_open(&path, 1, options, message, sizeof message));
	if (!strstr(message, what))
		fail_msg("\"%s\" does not say \"%s\"", message, what);
	/* Cut to whatever room there is, and no byte more. */
	for (size_t room = 0; room < 12; room++) {
		char cut[16];
		memset(cut, '#', sizeof cut);
		assert_null(ringclr_open(&path, 1, options, cut, room));
		if (room > 0)
			assert_int_equal(strlen(cut), room - 1);
		assert_memory_equal(cut, message, room > 0 ? room - 1 : 0);
		assert_int_equal(cut[room], '#');
	}
	assert_null(ringclr_open(&path, 1, options, NULL, 0));
}

static void bad_arguments_are_refused_with_a_message(void **state)
{
	const struct fixture *fixture = *state;
	char *missing = helper_path(fixture->folder, "missing.ring");
	struct ringclr_options options = small_options();
	refuse(missing, &options, "missing.ring");
	free(missing);
	refuse(NULL, &options, "NULL");
	char message[64];
	assert_null(ringclr_open(NULL, 0, &options, message, sizeof message));
	assert_string_equal(message, "no shard was named");

#define REFUSED(field, value, what)                                                                                    \
	options = small_options();                                                                                     \
	options.field = (value);                                                                                       \
	refuse(fixture->path, &options, what)
	REFUSED(views, "crop frobnicate", "options.views");
	REFUSED(isa, "mmx", "mmx");
	REFUSED(bytes, 8, "ringclr_options_init");
	REFUSED(size, 7, "options.size");
	REFUSED(batch, 0, "options.batch");
	REFUSED(batch, 51, "--batch 51 is larger");
	REFUSED(slots, 0, "options.slots");
	REFUSED(threads, 201, "options.threads");
	REFUSED(order, 4, "options.order");
	REFUSED(cache, -1, "options.cache is -1");
	REFUSED(decode, 2, "options.decode");
	REFUSED(bad, 2, "options.bad");
	REFUSED(engine, 3, "options.engine");
	REFUSED(direct, 2, "options.direct");
	REFUSED(strength, 5, "options.strength");
	REFUSED(strength, (double)NAN, "options.strength");
	REFUSED(area_min, 0, "options.area_min");
	REFUSED(limit_images, 51, "options.limit_images");
	REFUSED(first_batch, 19, "options.first_batch");
	REFUSED(short_last, 1, "options.short_last");
	REFUSED(mem_bytes, 1000, "limit");
#undef REFUSED
}

static void options_may_be_of_another_version(void **state)
{
	const struct fixture *fixture = *state;
	struct {
		struct ringclr_options known;
		uint64_t later;
	} options;
	memset(&options, 0xaa, sizeof options);
	ringclr_options_init(&options.known, sizeof options);
	assert_int_equal(options.later, 0);
	options.known.batch = 50;
	struct ringclr *loader = open_one(fixture->path, &options.known);
	assert_int_equal(ringclr_get_info(loader)->batches_per_epoch, 1);
	ringclr_close(loader);
	options.later = 1;
	refuse(fixture->path, &options.known, "update the library");
}

static void a_damaged_image_ends_the_run_or_is_replaced(void **state)
{
	const struct fixture *fixture = *state;
	struct ringclr_options options = small_options();
	struct ringclr *loader = open_one(fixture->bad_path, &options);
	const struct ringclr_batch *batch, *held = NULL;
	int got;
	while ((got = ringclr_next(loader, &batch)) == 1)
		ringclr_release(loader, batch);
	assert_int_equal(got, RINGCLR_DECODE);
	assert_non_null(strstr(ringclr_error(loader), "image-29"));
	assert_int_equal(ringclr_next(loader, &batch), RINGCLR_DECODE);
	ringclr_close(loader);

	options.bad = RINGCLR_BAD_SKIP;
	loader = open_one(fixture->bad_path, &options);
	while ((got = ringclr_next(loader, &batch)) == 1) {
		for (uint32_t i = 0; i < batch->images; i++)
			assert_int_not_equal(batch->records[i], 29);
		if (held)
			ringclr_release(loader, held);
		held = batch;
	}
	assert_int_equal(got, 0);
	assert_true(ringclr_bad_images(loader) >= 1);
	ringclr_close(loader);
}

static void a_handle_says_what_it_is(void **state)
{
	const struct fixture *fixture = *state;
	const char *const paths[] = {fixture->path, fixture->path};
	struct ringclr_options options = small_options();
	options.views = "crop | 3x center";
	options.epochs = 1;
	struct ringclr *loader = ringclr_open(paths, 2, &options, NULL, 0);
	assert_non_null(loader);
	const struct ringclr_info *info = ringclr_get_info(loader);
	assert_int_equal(info->records, 2 * RECORDS);
	assert_int_equal(info->images_per_epoch, 96);
	assert_int_equal(info->batches_per_epoch, 12);
	assert_int_equal(info->end_batch, 12);
	assert_int_equal(info->views, 4);
	assert_int_equal(info->size, SIZE);
	assert_int_equal(info->slots, 3);
	assert_int_equal(info->classes, 3);
	assert_int_equal(info->order, RINGCLR_ORDER_FULL);
	assert_int_equal(info->cache, RINGCLR_CACHE_NONE);
	assert_true(info->memory_bytes > 3UL * 4 * BATCH * SIZE * SIZE * 3 * sizeof(float));
	assert_true(strcmp(info->engine, "uring") == 0 || strcmp(info->engine, "pread") == 0);
	assert_string_equal(ringclr_class_name(loader, 2), "eel");
	assert_null(ringclr_class_name(loader, 3));
	assert_null(ringclr_class_name(loader, -1));
	assert_string_equal(ringclr_key(loader, 2 * RECORDS - 1), "image-49");
	assert_null(ringclr_key(loader, 2 * RECORDS));
	ringclr_close(loader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batches_are_those_of_the_loader),
		cmocka_unit_test(a_run_resumes_at_any_batch),
		cmocka_unit_test(batches_are_held_up_to_the_slots_and_returned_in_any_order),
		cmocka_unit_test(a_handle_may_be_closed_at_any_time),
		cmocka_unit_test(a_run_is_stopped_from_another_thread),
		cmocka_unit_test(two_handles_with_two_threads_each),
		cmocka_unit_test(bad_arguments_are_refused_with_a_message),
		cmocka_unit_test(options_may_be_of_another_version),
		cmocka_unit_test(a_damaged_image_ends_the_run_or_is_replaced),
		cmocka_unit_test(a_handle_says_what_it_is),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
