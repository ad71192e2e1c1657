/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slot protocol. Item seq lives in slot seq % slots, in lap seq / slots. A slot's word is
 *
 *	bits 31..3   half laps, modulo 2^29: 2 lap, free for that lap; 2 lap + 1, full
 *	bit 2        FAILED   the ring is poisoned; the code is in ring->fail_code
 *	bit 1        CLOSED   some numbers will not come any more; which, is in ring->end
 *	bit 0        WAITER   somebody sleeps, or is about to, until the word changes
 *
 *	claim(seq)    waits for 2 lap        publish(seq)  makes it 2 lap + 1
 *	acquire(seq)  waits for 2 lap + 1    release(seq)  makes it 2 lap + 2: free for seq + slots
 *
 * Between claim and publish the slot's memory belongs to the producer, between acquire and release to the consumer.
 * Only an owner moves the half laps; anyone may set a flag.
 *
 * Sleeping. A sleeper reads slot->wakes, then sets WAITER, tests the word that it set it in, and sleeps as long as
 * wakes has the value it read. Who changes a word that has WAITER in it takes WAITER out in the same step, then raises
 * wakes, then wakes everybody (a producer of the next lap may sleep beside the consumer of this one). All changes of a
 * word are in one order, so: if the change came first, the sleeper sees it in its test; if WAITER came first, the
 * changer sees WAITER, and raises wakes after the sleeper read it, so that the kernel refuses the sleep or ends it.
 *
 * Why not sleep on the word itself: a second close with a lower end changes ring->end but leaves the word as it was
 * (CLOSED is set already). A sleeper that read the old end could go to sleep after the second close's wake-up if
 * another thread set WAITER again in between. tests/model/ring.pml has both forms, and finds that hang.
 *
 * Edges (each release is paired with the acquire of the same letter):
 *	A  publish -> acquire   the item: memory and status
 *	B  release -> claim     the consumer has finished reading; the memory may be overwritten
 *	C  close -> claim, acquire   the new end
 *	D  fail -> claim, acquire    the code
 *	E  part's publish -> last part's publish   the other parts' memory, handed on by A
 *	F  sleeper's WAITER -> changer   wakes was read before it is raised
 */
#include "pipeline/ring.h"

#include <stdatomic.h>
#include <string.h>

#include "pipeline/meter.h"
#include "pipeline/trace.h"
#include "pipeline/wait.h"

static const uint32_t WAITER = 1, CLOSED = 2, FAILED = 4;
static const uint32_t HALF_LAP = 8;
enum { HALF_LAP_SHIFT = 3 };
static const uint32_t HALF_LAP_MASK = (UINT32_C(1) << 29) - 1;
static const uint64_t NO_END = UINT64_MAX;

/* About what a sleep and a wake-up cost: spinning for as long wastes at most as much as sleeping at once would. */
static const uint64_t SPIN_NS = 4000;
static const unsigned PAUSES_PER_LOOK_AT_CLOCK = 16;

static atomic_bool spinning = true;

/* One cache line, so that neighbours never disturb each other. An owner is who has claimed or acquired the slot. */
struct slot {
	/* Half laps: written by the owner (publish, release). Flags: WAITER by sleepers, CLOSED and FAILED by anyone.
	 * Read by everyone. */
	_Alignas(64) _Atomic uint32_t word;
	/* Raised by who takes WAITER out of word; read by sleepers, and by the kernel for them. */
	_Atomic uint32_t wakes;
	/* Parts still to be published. Lowered by producers; armed for the next lap by the last of them, before it
	 * makes the slot full: nobody else looks at it until the slot is free again. Unused with one part. */
	_Atomic uint32_t pending;
	/* The least of the parts' statuses. Written by producers before A, read by the consumer after it, and put back
	 * to 0 by the consumer before B. */
	_Atomic int32_t status;
	/* Statistics: raised by the owner, so on a line that it holds; read by ring_stats() at any time. */
	_Atomic uint64_t ops[2];    /* by side */
	_Atomic uint64_t full_seen; /* acquires whose random probe hit a full slot, see ring_acquire() */
	void *memory;		    /* constant */
};

/* Of one side's threads, on a line of its own. Raised by them, read by ring_stats(). */
struct side {
	_Alignas(64) _Atomic uint64_t ticket; /* next number to give out */
	_Atomic uint64_t waits, parks, stalled_ns;
};

struct ring {
	/* Constant after ring_create(), but for first (ring_reset(), while no thread uses the ring). */
	const char *name;
	struct slot *slot;
	uint32_t slots, parts;
	size_t slot_bytes;
	uint64_t first;
	/* Lowered by ring_close() before it sets CLOSED, read after CLOSED was seen (C). */
	_Atomic uint64_t end;
	/* Written once by ring_fail() before it sets FAILED, read after FAILED was seen (D). */
	_Atomic int fail_code;
	struct side side[2];
};

/* ---- Setting up ---- */

static void start_slot(struct ring *ring, uint32_t index)
{
	struct slot *slot = &ring->slot[index];
	uint64_t lap = ring->first / ring->slots + (index < ring->first % ring->slots);

	atomic_store_explicit(&slot->word, (uint32_t)(lap * 2) << HALF_LAP_SHIFT, memory_order_relaxed);
	atomic_store_explicit(&slot->wakes, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->pending, ring->parts, memory_order_relaxed);
	atomic_store_explicit(&slot->status, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->ops[RING_PRODUCER], 0, memory_order_relaxed);
	atomic_store_explicit(&slot->ops[RING_CONSUMER], 0, memory_order_relaxed);
	atomic_store_explicit(&slot->full_seen, 0, memory_order_relaxed);
}

static void start_side(struct side *side, uint64_t ticket)
{
	atomic_store_explicit(&side->ticket, ticket, memory_order_relaxed);
	atomic_store_explicit(&side->waits, 0, memory_order_relaxed);
	atomic_store_explicit(&side->parks, 0, memory_order_relaxed);
	atomic_store_explicit(&side->stalled_ns, 0, memory_order_relaxed);
}

void ring_reset(struct ring *ring, uint64_t first)
{
	ring->first = first;
	atomic_store_explicit(&ring->end, NO_END, memory_order_relaxed);
	atomic_store_explicit(&ring->fail_code, 0, memory_order_relaxed);
	start_side(&ring->side[RING_PRODUCER], first * ring->parts);
	start_side(&ring->side[RING_CONSUMER], first);
	for (uint32_t i = 0; i < ring->slots; i++)
		start_slot(ring, i);
}

struct ring *ring_create(struct arena *arena, const struct ring_config *config, struct error *err)
{
	if (config->slots == 0) {
		error_set(err, ERROR_USAGE, "%s: a ring needs at least one slot", config->name);
		return NULL;
	}
	size_t mark = arena_mark(arena);
	struct ring *ring = arena_alloc(arena, config->name, 1, sizeof(*ring), _Alignof(struct ring), err);
	if (ring == NULL)
		return NULL;
	ring->name = config->name;
	ring->slots = config->slots;
	ring->parts = config->parts == 0 ? 1 : config->parts;
	ring->slot_bytes = config->slot_bytes;
	ring->slot = arena_alloc(arena, config->name, config->slots, sizeof(struct slot), _Alignof(struct slot), err);
	if (ring->slot == NULL)
		goto refused;
	/* One by one, so that under AddressSanitizer a red zone follows each slot. */
	for (uint32_t i = 0; i < config->slots && config->slot_bytes > 0; i++) {
		ring->slot[i].memory = arena_alloc(arena, config->name, 1, config->slot_bytes, config->slot_align, err);
		if (ring->slot[i].memory == NULL)
			goto refused;
	}
	ring_reset(ring, config->first);
	return ring;

refused:
	arena_rewind(arena, mark);
	return NULL;
}

void ring_set_spinning(bool spin)
{
	atomic_store_explicit(&spinning, spin, memory_order_relaxed);
}

/* ---- Waiting ---- */

static struct slot *slot_of(const struct ring *ring, uint64_t seq)
{
	return &ring->slot[seq % ring->slots];
}

/* The half lap in which seq is free (producer) or full (consumer). */
static uint32_t half_lap(const struct ring *ring, uint64_t seq, enum ring_side side)
{
	return (uint32_t)(seq / ring->slots * 2 + (side == RING_CONSUMER)) & HALF_LAP_MASK;
}

/* What a word that was read by acquire means to who waits for `wanted`. end and fail_code were written before the flag
 * that leads to them. */
static int judge(const struct ring *ring, uint32_t word, uint32_t wanted, uint64_t seq)
{
	if (word & FAILED)
		return atomic_load_explicit(&ring->fail_code, memory_order_relaxed);
	if ((word & CLOSED) && seq >= atomic_load_explicit(&ring->end, memory_order_relaxed))
		return RING_END;
	return word >> HALF_LAP_SHIFT == wanted ? RING_OK : RING_AGAIN;
}

static int look(const struct ring *ring, const struct slot *slot, uint32_t wanted, uint64_t seq)
{
	/* A, B, C, D: acquire, with the release in advance() or set_flag(). */
	return judge(ring, atomic_load_explicit(&slot->word, memory_order_acquire), wanted, seq);
}

static int spin(const struct ring *ring, const struct slot *slot, uint32_t wanted, uint64_t seq, uint64_t start_ns)
{
	int rc = RING_AGAIN;
	do {
		for (unsigned i = 0; i < PAUSES_PER_LOOK_AT_CLOCK && rc == RING_AGAIN; i++) {
			wait_relax();
			rc = look(ring, slot, wanted, seq);
		}
	} while (rc == RING_AGAIN && meter_now_ns() - start_ns < SPIN_NS);
	return rc;
}

/* The slow path. */
static int wait_for(struct ring *ring, struct slot *slot, uint32_t wanted, uint64_t seq, enum ring_side side)
{
	uint64_t traced_ns = trace_begin(), start_ns = meter_now_ns();
	uint64_t parks = 0;
	int rc = RING_AGAIN;

	if (atomic_load_explicit(&spinning, memory_order_relaxed))
		rc = spin(ring, slot, wanted, seq, start_ns);
	while (rc == RING_AGAIN) {
		uint32_t wakes = atomic_load_explicit(&slot->wakes, memory_order_relaxed);
		/* F: release, so that wakes was read before the changer sees WAITER; with the acquire in advance() or
		 * set_flag(). A, B, C, D: acquire, as in look(). */
		uint32_t word = atomic_fetch_or_explicit(&slot->word, WAITER, memory_order_acq_rel);
		rc = judge(ring, word, wanted, seq);
		/* A WAITER left in the word by who need not sleep after all costs one idle wake-up. */
		if (rc != RING_AGAIN)
			break;
		wait_sleep(&slot->wakes, wakes);
		parks++;
		rc = look(ring, slot, wanted, seq);
	}
	struct side *stats = &ring->side[side];
	atomic_fetch_add_explicit(&stats->waits, rc == RING_OK, memory_order_relaxed);
	atomic_fetch_add_explicit(&stats->parks, parks, memory_order_relaxed);
	atomic_fetch_add_explicit(&stats->stalled_ns, meter_now_ns() - start_ns, memory_order_relaxed);
	trace_end_numbered("wait", ring->name, seq, traced_ns);
	return rc;
}

static void wake(struct slot *slot)
{
	/* Relaxed is enough: that it comes after the word's change is what F, through the word, and the kernel's own
	 * lock are for. */
	atomic_fetch_add_explicit(&slot->wakes, 1, memory_order_relaxed);
	wait_wake(&slot->wakes);
}

/* Ends the owner's half lap. */
static void advance(struct slot *slot)
{
	uint32_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
	uint32_t next;
	do {
		next = (word & ~WAITER) + HALF_LAP; /* the carry out of bit 31 is the modulus */
		/* A or B: release, with the acquire in look() or wait_for(). F: acquire, with the release there. */
	} while (!atomic_compare_exchange_weak_explicit(
		&slot->word, &word, next, memory_order_acq_rel, memory_order_relaxed));
	if (word & WAITER)
		wake(slot);
}

/* Sets CLOSED or FAILED in every slot and wakes who sleeps there. */
static void set_flag(struct ring *ring, uint32_t flag)
{
	for (uint32_t i = 0; i < ring->slots; i++) {
		struct slot *slot = &ring->slot[i];
		uint32_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
		/* C or D: release, with the acquire in look() or wait_for(). F: acquire, with the release there. */
		while (!atomic_compare_exchange_weak_explicit(
			&slot->word, &word, (word | flag) & ~WAITER, memory_order_acq_rel, memory_order_relaxed))
			;
		if (word & WAITER)
			wake(slot);
	}
}

/* ---- The operations ---- */

uint64_t ring_ticket(struct ring *ring, enum ring_side side)
{
	return atomic_fetch_add_explicit(&ring->side[side].ticket, 1, memory_order_relaxed);
}

/* claim and acquire, waiting or not. */
static int take(struct ring *ring, uint64_t seq, enum ring_side side, bool may_wait, void **memory)
{
	struct slot *slot = slot_of(ring, seq);
	uint32_t wanted = half_lap(ring, seq, side);
	int rc = look(ring, slot, wanted, seq);
	if (rc == RING_AGAIN && may_wait)
		rc = wait_for(ring, slot, wanted, seq, side);
	if (rc != RING_OK)
		return rc;
	/* The counter lies on the line that the owner is about to write anyway: threads share no other. */
	atomic_fetch_add_explicit(&slot->ops[side], 1, memory_order_relaxed);
	if (memory != NULL)
		*memory = slot->memory;
	return RING_OK;
}

int ring_claim(struct ring *ring, uint64_t seq, void **memory)
{
	return take(ring, seq, RING_PRODUCER, true, memory);
}

int ring_try_claim(struct ring *ring, uint64_t seq, void **memory)
{
	return take(ring, seq, RING_PRODUCER, false, memory);
}

/* One producer of several has written its part. True when it was the last. */
static bool finish_part(const struct ring *ring, struct slot *slot, int status)
{
	int32_t least = atomic_load_explicit(&slot->status, memory_order_relaxed);
	while (status < least && !atomic_compare_exchange_weak_explicit(
					 &slot->status, &least, status, memory_order_relaxed, memory_order_relaxed))
		;
	/* E: release by every part, acquire by the last. */
	if (atomic_fetch_sub_explicit(&slot->pending, 1, memory_order_acq_rel) != 1)
		return false;
	atomic_store_explicit(&slot->pending, ring->parts, memory_order_relaxed);
	return true;
}

void ring_publish(struct ring *ring, uint64_t seq, int status)
{
	struct slot *slot = slot_of(ring, seq);
	if (ring->parts == 1)
		atomic_store_explicit(&slot->status, status, memory_order_relaxed);
	else if (!finish_part(ring, slot, status))
		return;
	advance(slot); /* A */
}

/* How full the ring is, without a counter that all threads share: whether one slot drawn at random is full, times the
 * number of slots, is right on average. The random number is the golden-ratio hash of seq. */
static void sample_full(struct ring *ring, struct slot *slot, uint64_t seq)
{
	uint32_t hash = (uint32_t)(seq * UINT64_C(0x9E3779B97F4A7C15) >> 32);
	const struct slot *probe = &ring->slot[(uint64_t)hash * ring->slots >> 32];
	uint32_t word = atomic_load_explicit(&probe->word, memory_order_relaxed);
	if (word & HALF_LAP)
		atomic_fetch_add_explicit(&slot->full_seen, 1, memory_order_relaxed);
}

static int take_full(struct ring *ring, uint64_t seq, bool may_wait, void **memory, int *status)
{
	int rc = take(ring, seq, RING_CONSUMER, may_wait, memory);
	if (rc != RING_OK)
		return rc;
	struct slot *slot = slot_of(ring, seq);
	if (status != NULL)
		*status = atomic_load_explicit(&slot->status, memory_order_relaxed);
	sample_full(ring, slot, seq);
	return RING_OK;
}

int ring_acquire(struct ring *ring, uint64_t seq, void **memory, int *status)
{
	return take_full(ring, seq, true, memory, status);
}

int ring_try_acquire(struct ring *ring, uint64_t seq, void **memory, int *status)
{
	return take_full(ring, seq, false, memory, status);
}

void ring_release(struct ring *ring, uint64_t seq)
{
	struct slot *slot = slot_of(ring, seq);
	atomic_store_explicit(&slot->status, 0, memory_order_relaxed);
	advance(slot); /* B */
}

void ring_close(struct ring *ring, uint64_t end)
{
	uint64_t least = atomic_load_explicit(&ring->end, memory_order_relaxed);
	while (end < least && !atomic_compare_exchange_weak_explicit(
				      &ring->end, &least, end, memory_order_relaxed, memory_order_relaxed))
		;
	/* Also when another thread's end is lower: it may not have reached every slot yet, and who returns from here
	 * may count on the ring being closed. */
	set_flag(ring, CLOSED);
}

void ring_fail(struct ring *ring, int code)
{
	int none = 0;
	atomic_compare_exchange_strong_explicit(
		&ring->fail_code, &none, code, memory_order_relaxed, memory_order_relaxed);
	set_flag(ring, FAILED);
}

/* ---- Looking at it ---- */

void *ring_slot_memory(const struct ring *ring, uint32_t index)
{
	return ring->slot[index].memory;
}

uint32_t ring_slots(const struct ring *ring)
{
	return ring->slots;
}

size_t ring_slot_bytes(const struct ring *ring)
{
	return ring->slot_bytes;
}

uint64_t ring_first(const struct ring *ring)
{
	return ring->first;
}

const char *ring_name(const struct ring *ring)
{
	return ring->name;
}

void ring_stats(const struct ring *ring, struct ring_stats *stats)
{
	*stats = (struct ring_stats){.slots = ring->slots};
	for (int i = 0; i < 2; i++) {
		const struct side *side = &ring->side[i];
		stats->side[i].waits = atomic_load_explicit(&side->waits, memory_order_relaxed);
		stats->side[i].parks = atomic_load_explicit(&side->parks, memory_order_relaxed);
		stats->side[i].stalled_ns = atomic_load_explicit(&side->stalled_ns, memory_order_relaxed);
	}
	uint64_t full_seen = 0;
	for (uint32_t i = 0; i < ring->slots; i++) {
		const struct slot *slot = &ring->slot[i];
		for (int side = 0; side < 2; side++)
			stats->side[side].ops += atomic_load_explicit(&slot->ops[side], memory_order_relaxed);
		full_seen += atomic_load_explicit(&slot->full_seen, memory_order_relaxed);
	}
	uint64_t acquires = stats->side[RING_CONSUMER].ops;
	if (acquires > 0)
		stats->mean_full = (double)full_seen * ring->slots / (double)acquires;
}

uint32_t ring_full(const struct ring *ring)
{
	uint32_t full = 0;
	for (uint32_t i = 0; i < ring->slots; i++)
		full += (atomic_load_explicit(&ring->slot[i].word, memory_order_relaxed) & HALF_LAP) != 0;
	return full;
}
