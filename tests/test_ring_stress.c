/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Races on rings: every item arrives exactly once with its content, whatever the numbers of threads, slots and parts,
 * and nobody is left waiting when a ring is closed or poisoned at a random point. Settings are drawn from a fixed
 * stream; the interleavings are what differs between runs. An alarm turns a hang into a failure.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pipeline/philox.h"
#include "pipeline/ring.h"
#include "tests/helper_threads.h"

enum { WORDS = 12, MOST_ITEMS = 4000, FAIL_CODE_BASE = -100 };

static const uint64_t NEVER = UINT64_MAX;

static int start(void **state)
{
	(void)state;
	alarm(240);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	alarm(0);
	ring_set_spinning(true);
	return 0;
}

/* ---- Producers and consumers on one ring ---- */

struct race {
	struct ring *ring;
	unsigned producers, consumers, parts;
	uint64_t first, items; /* items: how far ring_close() lets it go if nothing else happens */
	uint64_t lower_at;     /* the consumer that gets this item closes at lower_end */
	uint64_t lower_end;
	uint64_t fail_at; /* whoever gets this item on either side poisons the ring, each thread with its own code */
	_Atomic int first_code; /* what threads got from the poisoned ring */
	_Atomic uint32_t arrived[MOST_ITEMS];
};

static uint64_t word_of(uint64_t seq, unsigned index)
{
	return (seq * 0x9E3779B97F4A7C15U) ^ (index * 0xD1B54A32D192ED03U);
}

static int status_of(uint64_t seq, unsigned part)
{
	return (seq * 7 + part * 3) % 5 == 0 ? -(int)(seq % 9) - (int)part : 0;
}

/* True when the thread is done. */
static bool ended(struct race *race, int rc)
{
	if (rc == RING_OK)
		return false;
	if (rc != RING_END && THREAD_CHECK(rc <= FAIL_CODE_BASE && race->fail_at != NEVER)) {
		int none = 0;
		/* The first code is everybody's. */
		if (!atomic_compare_exchange_strong(&race->first_code, &none, rc))
			THREAD_CHECK(none == rc);
	}
	return true;
}

static void produce(struct race *race, unsigned index)
{
	for (;;) {
		uint64_t ticket = ring_ticket(race->ring, RING_PRODUCER);
		uint64_t seq = ticket / race->parts;
		unsigned part = (unsigned)(ticket % race->parts);
		void *memory;
		if (ended(race, ring_claim(race->ring, seq, &memory)))
			return;
		threads_jitter((unsigned)(ticket * 2654435761U >> 7));
		uint64_t *words = memory;
		for (unsigned i = part; i < WORDS; i += race->parts)
			words[i] = word_of(seq, i);
		if (seq - race->first == race->fail_at)
			ring_fail(race->ring, FAIL_CODE_BASE - (int)index);
		ring_publish(race->ring, seq, status_of(seq, part));
	}
}

static bool check_item(const struct race *race, uint64_t seq, uint64_t *words, int status)
{
	int least = 0;
	for (unsigned part = 0; part < race->parts; part++)
		if (status_of(seq, part) < least)
			least = status_of(seq, part);
	if (!THREAD_CHECK(status == least))
		return false;
	for (unsigned i = 0; i < WORDS; i++) {
		if (!THREAD_CHECK(words[i] == word_of(seq, i)))
			return false;
		words[i] = 0; /* so that an item that comes twice is seen */
	}
	return true;
}

static void consume(struct race *race, unsigned index)
{
	for (;;) {
		uint64_t seq = ring_ticket(race->ring, RING_CONSUMER);
		void *memory;
		int status;
		if (ended(race, ring_acquire(race->ring, seq, &memory, &status)))
			return;
		uint64_t item = seq - race->first;
		threads_jitter((unsigned)(item * 40503U >> 3));
		/* A failed check poisons the ring, so that the test ends instead of hanging. */
		if (!THREAD_CHECK(item < race->items) || !check_item(race, seq, memory, status)) {
			ring_fail(race->ring, FAIL_CODE_BASE);
			return;
		}
		atomic_fetch_add(&race->arrived[item], 1);
		if (item == race->lower_at)
			ring_close(race->ring, race->first + race->lower_end);
		if (item == race->fail_at)
			ring_fail(race->ring, FAIL_CODE_BASE - (int)index);
		ring_release(race->ring, seq);
	}
}

static void race_main(void *ctx, unsigned index)
{
	struct race *race = ctx;
	if (index < race->producers)
		produce(race, index);
	else
		consume(race, index);
}

static struct race *draw_race(struct philox *random, struct arena *arena)
{
	static const unsigned threads[] = {1, 2, 3, 4, 8}, slots[] = {1, 2, 3, 5, 16, 64}, parts[] = {1, 1, 2, 5};
	struct race *race = calloc(1, sizeof(*race));
	race->producers = threads[philox_below(random, 5)];
	race->consumers = threads[philox_below(random, 5)];
	race->parts = parts[philox_below(random, 4)];
	uint32_t slot_count = slots[philox_below(random, 6)];
	const uint64_t firsts[] = {0, 12345, ((uint64_t)1 << 28) * slot_count - 7, ((uint64_t)1 << 32) - 50,
		((uint64_t)1 << 28) * slot_count * 77 - 1};
	race->first = firsts[philox_below(random, 5)];
	race->lower_at = race->fail_at = NEVER;
	struct ring_config config = {.name = "race",
		.slots = slot_count,
		.parts = race->parts,
		.slot_bytes = WORDS * sizeof(uint64_t),
		.first = race->first};
	race->ring = ring_create(arena, &config, NULL);
	assert_non_null(race->ring);
	ring_set_spinning(philox_below(random, 3) == 0);
	return race;
}

static void check_stats(const struct race *race, uint64_t items)
{
	struct ring_stats stats;
	ring_stats(race->ring, &stats);
	assert_int_equal(stats.side[RING_PRODUCER].ops, items * race->parts);
	assert_int_equal(stats.side[RING_CONSUMER].ops, items);
	for (int side = 0; side < 2; side++) {
		assert_true(stats.side[side].waits <= stats.side[side].ops);
		assert_true(stats.side[side].waits == 0 || stats.side[side].stalled_ns > 0);
	}
	assert_true(stats.mean_full >= 0 && stats.mean_full <= stats.slots);
}

static void test_exactly_once(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 40; seed++) {
		struct arena *arena = arena_create(0, NULL);
		struct philox random = philox_stream(seed, 0, 0, 0, PHILOX_TEST);
		struct race *race = draw_race(&random, arena);
		race->items = 500 + philox_below(&random, 2000);
		ring_close(race->ring, race->first + race->items);
		threads_run(race->producers + race->consumers, race_main, race);
		for (uint64_t i = 0; i < race->items; i++)
			assert_int_equal(race->arrived[i], 1);
		check_stats(race, race->items);
		free(race);
		arena_destroy(arena);
	}
}

/* Below the lowest end every item arrives; above it some may, once. */
static void test_close_in_mid_flight(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 80; seed++) {
		struct arena *arena = arena_create(0, NULL);
		struct philox random = philox_stream(seed, 1, 0, 0, PHILOX_TEST);
		struct race *race = draw_race(&random, arena);
		race->items = 1000;
		race->lower_at = philox_below(&random, 900);
		race->lower_end = philox_below(&random, 1000);
		if (philox_below(&random, 2))
			ring_close(race->ring, race->first + race->items);
		else
			race->items = MOST_ITEMS; /* the first close comes in mid-flight */
		threads_run(race->producers + race->consumers, race_main, race);
		for (uint64_t i = 0; i < race->items; i++)
			assert_true(race->arrived[i] == 1 || (i >= race->lower_end && race->arrived[i] == 0));
		free(race);
		arena_destroy(arena);
	}
}

static void test_poison_at_random_points(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 150; seed++) {
		struct arena *arena = arena_create(0, NULL);
		struct philox random = philox_stream(seed, 2, 0, 0, PHILOX_TEST);
		struct race *race = draw_race(&random, arena);
		race->items = MOST_ITEMS;
		race->fail_at = philox_below(&random, 300);
		threads_run(race->producers + race->consumers, race_main, race);
		/* Every thread came back, and all with the same code. */
		assert_true(race->first_code <= FAIL_CODE_BASE);
		assert_int_equal(ring_claim(race->ring, race->first, NULL), race->first_code);
		for (uint64_t i = 0; i < race->items; i++)
			assert_true(race->arrived[i] <= 1);
		free(race);
		arena_destroy(arena);
	}
}

/* ---- A second close with a lower end, against threads on their way to sleep ---- */

struct reclose {
	struct ring *ring;
	pthread_barrier_t barrier;
	unsigned rounds;
};

static void reclose_main(void *ctx, unsigned index)
{
	struct reclose *reclose = ctx;
	for (unsigned round = 0; round < reclose->rounds; round++) {
		if (index == 0) {
			ring_reset(reclose->ring, 0);
			ring_close(reclose->ring, 100);
		}
		pthread_barrier_wait(&reclose->barrier);
		threads_jitter(round * 31 + index * 7);
		if (index == 0) {
			ring_close(reclose->ring, 1);
			ring_close(reclose->ring, 0);
		} else if (index % 2) {
			THREAD_CHECK(ring_claim(reclose->ring, 1, NULL) == RING_END);
		} else {
			THREAD_CHECK(ring_acquire(reclose->ring, 0, NULL, NULL) == RING_END);
		}
		pthread_barrier_wait(&reclose->barrier);
	}
}

static void test_lower_close_against_sleepers(void **state)
{
	(void)state;
	struct arena *arena = arena_create(0, NULL);
	struct ring_config config = {.name = "reclose", .slots = 1};
	struct reclose reclose = {.ring = ring_create(arena, &config, NULL), .rounds = 3000};
	ring_set_spinning(false);
	pthread_barrier_init(&reclose.barrier, NULL, 5);
	threads_run(5, reclose_main, &reclose);
	pthread_barrier_destroy(&reclose.barrier);
	arena_destroy(arena);
}

/* ---- A pipeline of two stages and a fan-in: the same output for any number of workers ---- */

enum { IMAGES = 1200, BATCH = 8 };

struct pipe {
	struct ring *raw, *views, *batches;
	unsigned loaders, makers;
	uint64_t digest; /* of the batches in order, by the sink */
	uint64_t bad;	 /* batches with a status */
};

static void load(struct pipe *pipe)
{
	for (;;) {
		uint64_t seq = ring_ticket(pipe->raw, RING_CONSUMER);
		void *in, *out;
		if (ring_acquire(pipe->raw, seq, &in, NULL) != RING_OK)
			return;
		if (ring_claim(pipe->views, seq, &out) != RING_OK)
			return;
		threads_jitter((unsigned)(seq * 2654435761U >> 9));
		*(uint64_t *)out = *(uint64_t *)in * 3 + 1;
		ring_publish(pipe->views, seq, 0);
		ring_release(pipe->raw, seq);
	}
}

static void make_batches(struct pipe *pipe)
{
	for (;;) {
		uint64_t ticket = ring_ticket(pipe->batches, RING_PRODUCER);
		void *in, *out;
		if (ring_acquire(pipe->views, ticket, &in, NULL) != RING_OK)
			return;
		if (ring_claim(pipe->batches, ticket / BATCH, &out) != RING_OK)
			return;
		threads_jitter((unsigned)(ticket * 40503U >> 2));
		((uint64_t *)out)[ticket % BATCH] = *(uint64_t *)in ^ ticket;
		ring_publish(pipe->batches, ticket / BATCH, ticket % 100 == 0 ? -6 : 0);
		ring_release(pipe->views, ticket);
	}
}

static void sink(struct pipe *pipe)
{
	for (uint64_t seq = 0;; seq++) {
		void *memory;
		int status;
		if (ring_acquire(pipe->batches, seq, &memory, &status) != RING_OK)
			break;
		for (int i = 0; i < BATCH; i++)
			pipe->digest = (pipe->digest ^ ((uint64_t *)memory)[i]) * 0x100000001B3U;
		pipe->bad += status == -6;
		ring_release(pipe->batches, seq);
	}
	/* Who waits for room that nobody needs any more. */
	ring_close(pipe->raw, 0);
	ring_close(pipe->views, 0);
}

static void pipe_main(void *ctx, unsigned index)
{
	struct pipe *pipe = ctx;
	if (index == 0) {
		sink(pipe);
	} else if (index == 1) {
		for (uint64_t seq = 0; seq < IMAGES; seq++) {
			void *memory;
			if (!THREAD_CHECK(ring_claim(pipe->raw, seq, &memory) == RING_OK))
				return;
			*(uint64_t *)memory = seq * seq;
			ring_publish(pipe->raw, seq, 0);
		}
	} else if (index < 2 + pipe->loaders) {
		load(pipe);
	} else {
		make_batches(pipe);
	}
}

static void test_same_output_for_any_workers(void **state)
{
	(void)state;
	uint64_t expected = 0;
	for (uint64_t seq = 0; seq < IMAGES; seq++)
		expected = (expected ^ (seq * seq * 3 + 1) ^ seq) * 0x100000001B3U;
	static const unsigned workers[][2] = {{1, 1}, {1, 2}, {2, 1}, {3, 5}, {8, 8}, {8, 1}};
	static const uint32_t slots[][3] = {{1, 1, 1}, {4, 16, 2}, {7, 3, 5}};
	for (size_t w = 0; w < 6; w++) {
		for (size_t s = 0; s < 3; s++) {
			struct arena *arena = arena_create(0, NULL);
			struct ring_config raw = {.name = "raw", .slots = slots[s][0], .slot_bytes = 8};
			struct ring_config views = {.name = "views", .slots = slots[s][1], .slot_bytes = 8};
			struct ring_config batches = {
				.name = "batches", .slots = slots[s][2], .parts = BATCH, .slot_bytes = 8 * BATCH};
			struct pipe pipe = {.raw = ring_create(arena, &raw, NULL),
				.views = ring_create(arena, &views, NULL),
				.batches = ring_create(arena, &batches, NULL),
				.loaders = workers[w][0],
				.makers = workers[w][1]};
			ring_set_spinning((w + s) % 2);
			ring_close(pipe.batches, IMAGES / BATCH);
			threads_run(2 + pipe.loaders + pipe.makers, pipe_main, &pipe);
			assert_true(pipe.digest == expected);
			assert_int_equal(pipe.bad, IMAGES / 100);
			arena_destroy(arena);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exactly_once),
		cmocka_unit_test(test_close_in_mid_flight),
		cmocka_unit_test(test_poison_at_random_points),
		cmocka_unit_test(test_lower_close_against_sleepers),
		cmocka_unit_test(test_same_output_for_any_workers),
	};
	return cmocka_run_group_tests_name("ring_stress", tests, start, stop);
}
