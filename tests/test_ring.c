/* SPDX-License-Identifier: Apache-2.0 */
/* The ring's contract, with one thread or a few in a known order. test_ring_stress.c has the races. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "pipeline/ring.h"
#include "tests/helper_threads.h"

static struct arena *arena;

static int start_arena(void **state)
{
	(void)state;
	alarm(120); /* a lost wake-up must not hang the whole suite */
	arena = arena_create(0, NULL);
	return arena == NULL;
}

static int end_arena(void **state)
{
	(void)state;
	alarm(0);
	ring_set_spinning(true);
	arena_destroy(arena);
	return 0;
}

static struct ring *create(uint32_t slots, uint32_t parts, uint64_t first)
{
	struct error err = {0};
	struct ring_config config = {
		.name = "test ring", .slots = slots, .parts = parts, .slot_bytes = sizeof(uint64_t), .first = first};
	struct ring *ring = ring_create(arena, &config, &err);
	if (ring == NULL)
		fail_msg("%s", err.message);
	return ring;
}

static void put(struct ring *ring, uint64_t seq, int status)
{
	void *memory = NULL;
	assert_int_equal(ring_claim(ring, seq, &memory), RING_OK);
	*(uint64_t *)memory = seq ^ 0xABCD;
	ring_publish(ring, seq, status);
}

static void get(struct ring *ring, uint64_t seq, int status)
{
	void *memory = NULL;
	int seen = 99;
	assert_int_equal(ring_acquire(ring, seq, &memory, &seen), RING_OK);
	assert_int_equal(seen, status);
	assert_true(*(uint64_t *)memory == (seq ^ 0xABCD));
	ring_release(ring, seq);
}

/* ---- One thread ---- */

static void test_create(void **state)
{
	(void)state;
	struct error err = {0};
	struct ring_config config = {
		.name = "block ring", .slots = 3, .slot_bytes = 1000, .slot_align = 4096, .first = 7};
	struct ring *ring = ring_create(arena, &config, &err);
	assert_non_null(ring);
	assert_int_equal(ring_slots(ring), 3);
	assert_int_equal(ring_slot_bytes(ring), 1000);
	assert_int_equal(ring_first(ring), 7);
	assert_string_equal(ring_name(ring), "block ring");
	for (uint32_t i = 0; i < 3; i++) {
		char *memory = ring_slot_memory(ring, i);
		assert_int_equal((uintptr_t)memory % 4096, 0);
		for (uint32_t j = 0; j < i; j++)
			assert_true(memory >= (char *)ring_slot_memory(ring, j) + 1000);
		memset(memory, 1, 1000);
	}
	void *memory;
	assert_int_equal(ring_claim(ring, 7, &memory), RING_OK);
	assert_ptr_equal(memory, ring_slot_memory(ring, 7 % 3));
}

static void test_create_refused(void **state)
{
	(void)state;
	struct error none = {0}, big = {0};
	struct ring_config config = {.name = "empty ring"};
	assert_null(ring_create(arena, &config, &none));
	assert_int_equal(none.code, ERROR_USAGE);
	/* What had been drawn goes back. */
	struct arena *small = arena_create(1 << 20, NULL);
	config = (struct ring_config){.name = "big ring", .slots = 4, .slot_bytes = 400000};
	assert_null(ring_create(small, &config, &big));
	assert_int_equal(big.code, ERROR_MEMORY);
	assert_non_null(strstr(big.message, "big ring"));
	assert_int_equal(arena_used_bytes(small), 0);
	arena_destroy(small);
}

static void test_no_memory(void **state)
{
	(void)state;
	struct ring_config config = {.name = "tokens", .slots = 2};
	struct ring *ring = ring_create(arena, &config, NULL);
	void *memory = &memory;
	assert_int_equal(ring_claim(ring, 0, &memory), RING_OK);
	assert_null(memory);
	ring_publish(ring, 0, -5);
	assert_int_equal(ring_acquire(ring, 0, NULL, NULL), RING_OK);
	ring_release(ring, 0);
}

/* The states that one slot goes through. */
static void go_round(struct ring *ring, uint64_t seq)
{
	uint32_t slots = ring_slots(ring);
	void *memory;
	int status;
	assert_int_equal(ring_try_acquire(ring, seq, &memory, &status), RING_AGAIN);
	assert_int_equal(ring_try_claim(ring, seq + slots, &memory), RING_AGAIN);
	assert_int_equal(ring_try_claim(ring, seq, &memory), RING_OK);
	assert_ptr_equal(memory, ring_slot_memory(ring, (uint32_t)(seq % slots)));
	assert_int_equal(ring_try_acquire(ring, seq, &memory, &status), RING_AGAIN);
	ring_publish(ring, seq, -3);
	assert_int_equal(ring_try_claim(ring, seq, &memory), RING_AGAIN);
	assert_int_equal(ring_try_claim(ring, seq + slots, &memory), RING_AGAIN);
	assert_int_equal(ring_try_acquire(ring, seq + slots, &memory, &status), RING_AGAIN);
	assert_int_equal(ring_try_acquire(ring, seq, &memory, &status), RING_OK);
	assert_int_equal(status, -3);
	ring_release(ring, seq);
	assert_int_equal(ring_try_acquire(ring, seq, &memory, &status), RING_AGAIN);
	assert_int_equal(ring_try_acquire(ring, seq + slots, &memory, &status), RING_AGAIN);
	assert_int_equal(ring_try_claim(ring, seq, &memory), RING_AGAIN);
}

static const uint64_t two28 = (uint64_t)1 << 28, two32 = (uint64_t)1 << 32;

static void test_states_and_wraps(void **state)
{
	(void)state;
	static const uint32_t slots[] = {1, 2, 3, 5, 8};
	for (size_t i = 0; i < 5; i++) {
		uint64_t n = slots[i];
		/* Half laps wrap when the lap reaches 2^28; also number 2^32, several wraps on, and the last numbers.
		 */
		const uint64_t firsts[] = {0, 1, n * two28 - 3 * n - 1, two32 - 2 * n, n * two28 * 5 - n,
			n * two28 * 1000 + 1, UINT64_MAX - 10 * n};
		for (size_t f = 0; f < sizeof(firsts) / sizeof(firsts[0]); f++) {
			struct ring *ring = create(slots[i], 1, firsts[f]);
			for (uint64_t k = 0; k < 8 * n; k++)
				go_round(ring, firsts[f] + k);
		}
	}
}

static void test_fills_and_drains(void **state)
{
	(void)state;
	struct ring *ring = create(5, 1, 1003);
	for (int lap = 0; lap < 4; lap++) {
		for (uint64_t i = 0; i < 5; i++)
			put(ring, 1003 + (uint64_t)lap * 5 + i, -(int)i);
		assert_int_equal(ring_try_claim(ring, 1003 + (uint64_t)lap * 5 + 5, NULL), RING_AGAIN);
		for (uint64_t i = 0; i < 5; i++)
			get(ring, 1003 + (uint64_t)lap * 5 + i, -(int)i);
	}
}

/* Numbers may be taken, published and released in any order within a lap. */
static void test_out_of_order(void **state)
{
	(void)state;
	struct ring *ring = create(4, 1, 0);
	put(ring, 2, 0);
	put(ring, 0, 0);
	get(ring, 2, 0);
	put(ring, 3, 0);
	put(ring, 6, 0); /* slot 2, one lap on, while 1 is not there yet */
	assert_int_equal(ring_try_acquire(ring, 1, NULL, NULL), RING_AGAIN);
	put(ring, 1, 0);
	get(ring, 1, 0);
	get(ring, 6, 0);
	get(ring, 0, 0);
	get(ring, 3, 0);
}

static void test_tickets(void **state)
{
	(void)state;
	struct ring *ring = create(4, 1, two32 - 1);
	for (uint64_t i = 0; i < 5; i++) {
		assert_true(ring_ticket(ring, RING_PRODUCER) == two32 - 1 + i);
		assert_true(ring_ticket(ring, RING_CONSUMER) == two32 - 1 + i);
	}
	struct ring *fan_in = create(4, 3, 10);
	assert_int_equal(ring_ticket(fan_in, RING_PRODUCER), 30);
	assert_int_equal(ring_ticket(fan_in, RING_PRODUCER), 31);
	assert_int_equal(ring_ticket(fan_in, RING_CONSUMER), 10);
}

static void test_parts(void **state)
{
	(void)state;
	static const int statuses[4][3] = {{0, -4, -2}, {0, 0, 0}, {-9, 0, -1}, {0, 0, -7}};
	static const int least[4] = {-4, 0, -9, -7};
	struct ring *ring = create(2, 3, 5);
	for (uint64_t seq = 5; seq < 5 + 12; seq++) {
		const int *status = statuses[seq % 4];
		for (int part = 0; part < 3; part++) {
			assert_int_equal(ring_try_acquire(ring, seq, NULL, NULL), RING_AGAIN);
			assert_int_equal(ring_try_claim(ring, seq, NULL), RING_OK);
			ring_publish(ring, seq, status[part]);
		}
		int seen;
		assert_int_equal(ring_try_claim(ring, seq, NULL), RING_AGAIN);
		assert_int_equal(ring_try_acquire(ring, seq, NULL, &seen), RING_OK);
		assert_int_equal(seen, least[seq % 4]);
		ring_release(ring, seq);
	}
}

static void test_close(void **state)
{
	(void)state;
	struct ring *ring = create(4, 1, 0);
	put(ring, 0, 0);
	put(ring, 1, 0);
	put(ring, 3, 0);
	ring_close(ring, 3);
	/* Lower ones go on. */
	get(ring, 0, 0);
	assert_int_equal(ring_try_acquire(ring, 2, NULL, NULL), RING_AGAIN);
	put(ring, 2, -1);
	/* 3 was published, but is not wanted any more. */
	assert_int_equal(ring_acquire(ring, 3, NULL, NULL), RING_END);
	assert_int_equal(ring_claim(ring, 3, NULL), RING_END);
	assert_int_equal(ring_try_claim(ring, 4, NULL), RING_END);
	assert_int_equal(ring_try_acquire(ring, UINT64_MAX, NULL, NULL), RING_END);
	/* A higher end changes nothing, a lower one does. */
	ring_close(ring, 100);
	assert_int_equal(ring_claim(ring, 3, NULL), RING_END);
	get(ring, 1, 0);
	ring_close(ring, 2);
	assert_int_equal(ring_acquire(ring, 2, NULL, NULL), RING_END);
	ring_close(ring, 0);
	assert_int_equal(ring_claim(ring, 0, NULL), RING_END);
}

static void test_close_while_claimed(void **state)
{
	(void)state;
	struct ring *ring = create(2, 1, 0);
	assert_int_equal(ring_claim(ring, 0, NULL), RING_OK);
	ring_close(ring, 0);
	ring_publish(ring, 0, 0); /* harmless */
	assert_int_equal(ring_acquire(ring, 0, NULL, NULL), RING_END);
}

static void test_fail(void **state)
{
	(void)state;
	struct ring *ring = create(2, 1, 0);
	put(ring, 0, 0);
	assert_int_equal(ring_claim(ring, 1, NULL), RING_OK);
	ring_close(ring, 1);
	ring_fail(ring, ERROR_DAMAGED);
	ring_fail(ring, ERROR_IO); /* too late */
	for (uint64_t seq = 0; seq < 4; seq++) {
		assert_int_equal(ring_claim(ring, seq, NULL), ERROR_DAMAGED);
		assert_int_equal(ring_acquire(ring, seq, NULL, NULL), ERROR_DAMAGED);
		assert_int_equal(ring_try_claim(ring, seq, NULL), ERROR_DAMAGED);
		assert_int_equal(ring_try_acquire(ring, seq, NULL, NULL), ERROR_DAMAGED);
	}
	ring_publish(ring, 1, 0); /* whoever held a slot may still give it up */
	ring_close(ring, 0);
	assert_int_equal(ring_acquire(ring, 1, NULL, NULL), ERROR_DAMAGED);
}

static void test_reset(void **state)
{
	(void)state;
	struct ring *ring = create(3, 2, 0);
	assert_int_equal(ring_claim(ring, 0, NULL), RING_OK);
	ring_publish(ring, 0, -8); /* half a slot */
	assert_int_equal(ring_claim(ring, 1, NULL), RING_OK);
	ring_ticket(ring, RING_PRODUCER);
	ring_close(ring, 1);
	ring_fail(ring, ERROR_IO);
	ring_reset(ring, 100);
	assert_int_equal(ring_first(ring), 100);
	assert_int_equal(ring_ticket(ring, RING_PRODUCER), 200);
	assert_int_equal(ring_ticket(ring, RING_CONSUMER), 100);
	struct ring_stats stats;
	ring_stats(ring, &stats);
	assert_int_equal(stats.side[RING_PRODUCER].ops, 0);
	for (uint64_t seq = 100; seq < 110; seq++) {
		put(ring, seq, 0);
		assert_int_equal(ring_try_acquire(ring, seq, NULL, NULL), RING_AGAIN);
		put(ring, seq, 0);
		get(ring, seq, 0);
	}
}

static void test_stats(void **state)
{
	(void)state;
	struct ring *ring = create(8, 1, 0);
	struct ring_stats stats;
	ring_stats(ring, &stats);
	assert_true(stats.mean_full == 0);
	for (uint64_t seq = 0; seq < 8; seq++)
		put(ring, seq, 0);
	assert_int_equal(ring_try_claim(ring, 8, NULL), RING_AGAIN);
	for (uint64_t seq = 0; seq < 6; seq++)
		assert_int_equal(ring_acquire(ring, seq, NULL, NULL), RING_OK);
	ring_stats(ring, &stats);
	assert_int_equal(stats.slots, 8);
	assert_int_equal(stats.side[RING_PRODUCER].ops, 8);
	assert_int_equal(stats.side[RING_CONSUMER].ops, 6);
	assert_int_equal(stats.side[RING_PRODUCER].waits + stats.side[RING_CONSUMER].waits, 0);
	assert_true(stats.mean_full == 8); /* all were full each time */
	/* One full slot at each acquire: the sampled mean comes near 1. */
	ring_reset(ring, 0);
	for (uint64_t seq = 0; seq < 20000; seq++) {
		put(ring, seq, 0);
		get(ring, seq, 0);
	}
	ring_stats(ring, &stats);
	assert_true(stats.mean_full > 0.9 && stats.mean_full < 1.1);
	/* Five of eight. */
	ring_reset(ring, 0);
	for (uint64_t seq = 0; seq < 20000; seq++) {
		put(ring, seq, 0);
		if (seq >= 4)
			get(ring, seq - 4, 0);
	}
	ring_stats(ring, &stats);
	assert_true(stats.mean_full > 4.9 && stats.mean_full < 5.1);
}

/* ---- A second thread that waits ---- */

struct waiter {
	struct ring *ring;
	uint64_t seq;
	enum ring_side side;
	int rc;
	pthread_t thread;
};

static void *wait_main(void *argument)
{
	struct waiter *waiter = argument;
	waiter->rc = waiter->side == RING_PRODUCER ? ring_claim(waiter->ring, waiter->seq, NULL)
						   : ring_acquire(waiter->ring, waiter->seq, NULL, NULL);
	return NULL;
}

static void start_waiter(struct waiter *waiter, struct ring *ring, uint64_t seq, enum ring_side side)
{
	*waiter = (struct waiter){.ring = ring, .seq = seq, .side = side, .rc = 99};
	assert_int_equal(pthread_create(&waiter->thread, NULL, wait_main, waiter), 0);
}

static int end_waiter(struct waiter *waiter)
{
	pthread_join(waiter->thread, NULL);
	return waiter->rc;
}

static int still_waits(struct waiter *waiter)
{
	threads_pause_ms(20);
	return pthread_tryjoin_np(waiter->thread, NULL) != 0;
}

/* Every way to be woken, spinning or not; each pause is long enough for the waiter to fall asleep. */
static void check_wake_ups(void)
{
	struct waiter a, b;
	struct ring *ring = create(1, 1, 0);
	assert_int_equal(ring_claim(ring, 0, NULL), RING_OK);
	/* A consumer of this lap and a producer of the next sleep on one slot. */
	start_waiter(&a, ring, 0, RING_CONSUMER);
	start_waiter(&b, ring, 1, RING_PRODUCER);
	assert_true(still_waits(&a));
	assert_true(still_waits(&b));
	ring_publish(ring, 0, 0);
	assert_int_equal(end_waiter(&a), RING_OK);
	assert_true(still_waits(&b));
	ring_release(ring, 0);
	assert_int_equal(end_waiter(&b), RING_OK);

	/* A close above leaves it waiting, the next one below wakes it; then the other side. */
	start_waiter(&a, ring, 1, RING_CONSUMER);
	start_waiter(&b, ring, 2, RING_PRODUCER);
	assert_true(still_waits(&a));
	ring_close(ring, 10);
	assert_true(still_waits(&a));
	assert_true(still_waits(&b));
	ring_close(ring, 2);
	assert_int_equal(end_waiter(&b), RING_END);
	assert_true(still_waits(&a));
	ring_publish(ring, 1, 0);
	assert_int_equal(end_waiter(&a), RING_OK);

	ring_reset(ring, 0);
	start_waiter(&a, ring, 0, RING_CONSUMER);
	start_waiter(&b, ring, 1, RING_PRODUCER);
	assert_true(still_waits(&a));
	assert_true(still_waits(&b));
	ring_fail(ring, ERROR_NUMERIC);
	assert_int_equal(end_waiter(&a), ERROR_NUMERIC);
	assert_int_equal(end_waiter(&b), ERROR_NUMERIC);
}

static void test_wake_ups(void **state)
{
	(void)state;
	ring_set_spinning(true);
	check_wake_ups();
	ring_set_spinning(false);
	check_wake_ups();
}

static void test_wait_stats(void **state)
{
	(void)state;
	struct waiter waiter;
	struct ring *ring = create(2, 1, 0);
	struct ring_stats stats;
	ring_set_spinning(false);
	start_waiter(&waiter, ring, 0, RING_CONSUMER);
	assert_true(still_waits(&waiter));
	put(ring, 0, 0);
	assert_int_equal(end_waiter(&waiter), RING_OK);
	ring_stats(ring, &stats);
	assert_int_equal(stats.side[RING_CONSUMER].ops, 1);
	assert_int_equal(stats.side[RING_CONSUMER].waits, 1);
	assert_int_equal(stats.side[RING_CONSUMER].parks, 1);
	assert_true(
		stats.side[RING_CONSUMER].stalled_ns > 10000000 && stats.side[RING_CONSUMER].stalled_ns < 10000000000);
	assert_int_equal(stats.side[RING_PRODUCER].stalled_ns, 0);
	/* A wait that ends with the ring is time stalled, but no operation. */
	start_waiter(&waiter, ring, 2, RING_PRODUCER);
	assert_true(still_waits(&waiter));
	ring_close(ring, 1);
	assert_int_equal(end_waiter(&waiter), RING_END);
	ring_stats(ring, &stats);
	assert_int_equal(stats.side[RING_PRODUCER].ops, 1);
	assert_int_equal(stats.side[RING_PRODUCER].waits, 0);
	assert_int_equal(stats.side[RING_PRODUCER].parks, 1);
	assert_true(stats.side[RING_PRODUCER].stalled_ns > 10000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_create_refused),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_states_and_wraps),
		cmocka_unit_test(test_fills_and_drains),
		cmocka_unit_test(test_out_of_order),
		cmocka_unit_test(test_tickets),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_close_while_claimed),
		cmocka_unit_test(test_fail),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_stats),
		cmocka_unit_test(test_wake_ups),
		cmocka_unit_test(test_wait_stats),
	};
	return cmocka_run_group_tests_name("ring", tests, start_arena, end_arena);
}
