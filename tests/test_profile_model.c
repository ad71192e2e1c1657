/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of predictions and of --autotune, on pipelines whose rates are plain to see. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>

#include "tools/autotune.h"
#include "tools/profile_model.h"

static void assert_near(double found, double wanted)
{
	assert_true(fabs(found - wanted) <= 1e-9 * fabs(wanted));
}

/* Reading 1 ms, unpacking 2 ms, decoding 6 + augmenting 4 ms; a read costs the processor a tenth of its time. */
static struct profile_model plain(unsigned decode_threads, unsigned processors)
{
	struct profile_model model = {.processors = processors, .decode_share = 0.6};
	model.stage[MODEL_READ].threads = 1;
	model.stage[MODEL_READ].cost_s = 1e-3;
	model.stage[MODEL_READ].cpu_s = 1e-4;
	model.stage[MODEL_UNPACK].threads = 1;
	model.stage[MODEL_UNPACK].cost_s = model.stage[MODEL_UNPACK].cpu_s = 2e-3;
	model.stage[MODEL_DECODE].threads = decode_threads;
	model.stage[MODEL_DECODE].cost_s = model.stage[MODEL_DECODE].cpu_s = 10e-3;
	return model;
}

static void check(struct profile_model model, double rate, enum profile_model_stage limit)
{
	enum profile_model_stage found;
	assert_near(profile_model_rate(&model, &found), rate);
	assert_int_equal(found, limit);
}

static void test_rate(void **state)
{
	(void)state;
	check(plain(1, 64), 100, MODEL_DECODE);
	check(plain(4, 64), 400, MODEL_DECODE);
	/* Two of equal rate: the later one. */
	check(plain(5, 64), 500, MODEL_DECODE);
	check(plain(6, 64), 500, MODEL_UNPACK);
	check(plain(2, 2), 2 / 12.1e-3, MODEL_PROCESSORS);
	check(plain(1, 2), 100, MODEL_DECODE);
	struct profile_model disk = plain(4, 64);
	disk.stage[MODEL_READ].cost_s = 5e-3;
	check(disk, 200, MODEL_READ);
}

static void test_changes(void **state)
{
	(void)state;
	struct profile_model model = plain(1, 64);
	check(profile_model_threads(&model, MODEL_DECODE, 3), 300, MODEL_DECODE);
	check(profile_model_threads(&model, MODEL_UNPACK, 3), 100, MODEL_DECODE);
	/* Decoding in half the time: 3 + 4 ms. Views in three times the time: 6 + 12. */
	check(profile_model_scale(&model, 0.5, 1), 1 / 7e-3, MODEL_DECODE);
	check(profile_model_scale(&model, 1, 3), 1 / 18e-3, MODEL_DECODE);
	assert_near(profile_model_scale(&model, 0.5, 1).decode_share, 3.0 / 7);
	/* One after the other is both. */
	struct profile_model half = profile_model_scale(&model, 0.5, 1);
	check(profile_model_scale(&half, 1, 3), 1 / 15e-3, MODEL_DECODE);
	/* Twelve times the bytes from disk. */
	check(profile_model_bytes(&model, 12, 1e-3), 1 / 12e-3, MODEL_READ);
	check(profile_model_bytes(&model, 1, 20e-3), 50, MODEL_UNPACK);
	/* Decoded: 4 ms of views are left, and nothing else costs anything. */
	check(profile_model_decoded(&model), 250, MODEL_DECODE);
	struct profile_model four = plain(4, 2);
	check(profile_model_decoded(&four), 500, MODEL_PROCESSORS);
	/* What was measured below the model stays below it. */
	struct profile_model three = profile_model_threads(&model, MODEL_DECODE, 3);
	assert_near(profile_model_predict(&model, &three, 80), 240);
}

static struct autotune_input input(unsigned processors)
{
	return (struct autotune_input){
		.model = plain(1, processors),
		.reads_per_image = 1,
		.latency_s = 1e-3,
		.slow_image_s = 20e-3,
		.batch = 64,
		.cached = true,
		.group_blocks = 1,
		.thread_bytes = 1000,
		.unpacker_bytes = 100,
		.read_bytes = 10,
		.sample_bytes = 1,
		.batch_bytes = 5000,
	};
}

static void test_choice(void **state)
{
	(void)state;
	struct autotune_input in = input(2);
	struct autotune_choice choice = autotune_choose(&in);
	assert_int_equal(choice.loader_threads, 2);
	assert_int_equal(choice.unpackers, 1);
	assert_int_equal(choice.depth, 8);
	assert_int_equal(choice.batches, 3);
	assert_false(choice.cut);
	/* Ten threads would give 1000 images/s, but reading and 16 processors allow 1000 too; unpacking needs 1.1 times
	 * 2 ms x 1000/s: three threads. */
	in = input(16);
	choice = autotune_choose(&in);
	assert_int_equal(choice.loader_threads, 10);
	assert_int_equal(choice.unpackers, 3);
	assert_near(choice.images_per_s, 1000);
	/* Four processors: 4 / 12.1 ms = 330 images/s; four threads give it. */
	in = input(4);
	choice = autotune_choose(&in);
	assert_int_equal(choice.loader_threads, 4);
	/* Reads of 40 ms: 2 x 330.58 x 0.04 in flight. */
	in.latency_s = 40e-3;
	assert_int_equal(autotune_choose(&in).depth, 27);
	in.cached = false;
	assert_int_equal(autotune_choose(&in).depth, 32);
	in.one_read = true;
	assert_int_equal(autotune_choose(&in).depth, 8);
	/* An image that takes as long as 3.1 batches. */
	in.slow_image_s = 0.6;
	assert_int_equal(autotune_choose(&in).batches, 5);
}

/* Memory: batches go first, then reads, then unpackers, then threads; the least there can be is taken at last. */
static void test_memory(void **state)
{
	(void)state;
	struct autotune_input in = input(4);
	struct autotune_choice whole = autotune_choose(&in);
	size_t need = 4 * 1000 + whole.unpackers * 100 + 16 * 10 + 32 * 1 + 3 * 5000;
	in.room_bytes = need;
	assert_false(autotune_choose(&in).cut);
	in.room_bytes = need - 1;
	struct autotune_choice choice = autotune_choose(&in);
	assert_true(choice.cut);
	assert_int_equal(choice.batches, 2);
	assert_int_equal(choice.depth, 8);
	in.room_bytes = need - 5000 - 81;
	choice = autotune_choose(&in);
	assert_int_equal(choice.depth, 2);
	assert_int_equal(choice.loader_threads, 4);
	in.room_bytes = 2 * 5000 + 2000 + 100 + 40 + 32;
	choice = autotune_choose(&in);
	assert_int_equal(choice.loader_threads, 2);
	assert_int_equal(choice.unpackers, 1);
	in.room_bytes = 1;
	choice = autotune_choose(&in);
	assert_int_equal(choice.loader_threads, 1);
	assert_int_equal(choice.batches, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_memory),
	};
	return cmocka_run_group_tests_name("profile model", tests, NULL, NULL);
}
