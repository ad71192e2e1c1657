/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring: a fixed number of slots, addressed by sequence number, between any number of producers and consumers.
 *
 * Every item of a run has a sequence number; item `seq` lives in slot `seq % slots`, and the slot owns its memory.
 * Nothing is queued: a producer that holds number s claims slot s, fills it and publishes it; the consumer that holds
 * number s acquires it, uses it and releases it. With N workers on a stage each takes the next number by
 * ring_ticket(), acquires in[s], claims out[s], works, publishes, releases: the output is in order whatever the number
 * of workers, with no reorder buffer.
 *
 * A slot has one 32-bit word [lap | FAILED | CLOSED | WAITER]. The upper 29 bits count half laps of the slot, modulo
 * 2^29: even, free for the lap; odd, full. Whoever has to wait sets WAITER and sleeps (futex) on a count
 * beside the word, raised by whoever takes WAITER out: no wake-up is lost between the test and the sleep.
 *
 * Fan-in: with parts > 1 that many producers claim the same number, each writes its own part of the slot's memory, and
 * the last to publish makes the slot full.
 *
 * Results: RING_OK; RING_END when no item with that number will come or be wanted (closed); RING_AGAIN (try_ only) when
 * it would have to wait; or the negative code that ring_fail() gave.
 */
#ifndef RINGCLR_PIPELINE_RING_H
#define RINGCLR_PIPELINE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/arena.h"
#include "pipeline/error.h"

enum ring_result { RING_OK = 0, RING_END = 1, RING_AGAIN = 2 };

enum ring_side { RING_PRODUCER = 0, RING_CONSUMER = 1 };

struct ring_config {
	const char *name;  /* for messages and statistics; must outlive the ring */
	uint32_t slots;	   /* at least 1; any number */
	uint32_t parts;	   /* publishes that fill a slot; 0 counts as 1 */
	size_t slot_bytes; /* memory of one slot; 0: the slot carries only its status */
	size_t slot_align; /* power of two; 0: a cache line */
	uint64_t first;	   /* sequence number of the first item */
};

/* What one side of a ring saw. Taken on the slow path only: an operation that need not wait costs one counter. */
struct ring_side_stats {
	uint64_t ops;	     /* claims or acquires that succeeded */
	uint64_t waits;	     /* of those, the ones that found the slot not ready */
	uint64_t parks;	     /* sleeps in the kernel */
	uint64_t stalled_ns; /* time spent waiting, spinning or asleep, summed over threads */
};

struct ring_stats {
	struct ring_side_stats side[2]; /* by enum ring_side */
	uint32_t slots;
	double mean_full; /* mean number of full slots that consumers found, sampled at each acquire */
};

struct ring;

/* Draws the ring and its slots from the arena, or returns NULL with *err set. The ring lives as long as the arena. */
struct ring *ring_create(struct arena *arena, const struct ring_config *config, struct error *err);

/* Destroys nothing and frees nothing; puts the ring back to empty with `first` as its first number. No thread may use
 * it. */
void ring_reset(struct ring *ring, uint64_t first);

/* The next sequence number of that side, each given out once. With parts > 1 the producer's tickets count parts:
 * ticket t is part t % parts of item t / parts, both counted from first; ring_ticket() then returns t, starting at
 * first * parts. */
uint64_t ring_ticket(struct ring *ring, enum ring_side side);

/* Waits until slot seq is free for this lap; *memory (may be NULL) is the slot's. */
int ring_claim(struct ring *ring, uint64_t seq, void **memory);
int ring_try_claim(struct ring *ring, uint64_t seq, void **memory);

/* Hands the slot to the consumers. status travels with the item: 0, or a negative error code that concerns this item
 * alone (an image that does not decode); with parts, the least of theirs. */
void ring_publish(struct ring *ring, uint64_t seq, int status);

/* Waits until item seq is published. status may be NULL. */
int ring_acquire(struct ring *ring, uint64_t seq, void **memory, int *status);
int ring_try_acquire(struct ring *ring, uint64_t seq, void **memory, int *status);

/* Gives the slot back to the producers. */
void ring_release(struct ring *ring, uint64_t seq);

/* No item numbered end or above will be published or wanted: claims and acquires of such numbers return RING_END; lower
 * ones go on as before. Callable from either side, any number of times; the least end holds. */
void ring_close(struct ring *ring, uint64_t end);

/* Poisons the ring: every present and future claim and acquire returns `code` (negative). The first code wins. */
void ring_fail(struct ring *ring, int code);

/* The slot's memory, whatever its state: for registering buffers and for set-up. index < slots. */
void *ring_slot_memory(const struct ring *ring, uint32_t index);
uint32_t ring_slots(const struct ring *ring);
size_t ring_slot_bytes(const struct ring *ring);
uint64_t ring_first(const struct ring *ring);
const char *ring_name(const struct ring *ring);

/* A snapshot; may be taken while threads run. */
void ring_stats(const struct ring *ring, struct ring_stats *stats);

/* Slots that are full now: published, and not yet released. May be called while threads run. */
uint32_t ring_full(const struct ring *ring);

/* Process-wide: whether waits may spin before they sleep. Set by the graph: false when threads outnumber processors. */
void ring_set_spinning(bool spin);

#endif
