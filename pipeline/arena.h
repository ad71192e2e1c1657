/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena: every buffer of a run comes from one reserved range of addresses, drawn before the first step, then
 * sealed.
 *
 * arena_create() reserves addresses only; the kernel gives pages when they are first touched. So a plan can be made in
 * full, reported by class and refused (over --mem) before it has cost anything. After arena_seal() arena_alloc() fails:
 * the training loop allocates nothing. Under AddressSanitizer a poisoned red zone lies between neighbours.
 */
#ifndef RINGCLR_PIPELINE_ARENA_H
#define RINGCLR_PIPELINE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "pipeline/error.h"

struct arena;

/* limit_bytes: what the allocations may sum to; 0: no limit but the reservation (1 TiB, or what the system allows). */
struct arena *arena_create(size_t limit_bytes, struct error *err);
void arena_destroy(struct arena *arena); /* NULL is allowed */

/* Zeroed memory for `count` elements of `size_bytes`, aligned to `align` (power of two; 0: 64). class_name groups the
 * allocation in reports ("activations", "block ring") and must outlive the arena. NULL with *err set when the arena is
 * sealed, the product overflows or the limit is passed (the message names the class, the need and the limit). */
void *arena_alloc(
	struct arena *arena, const char *class_name, size_t count, size_t size_bytes, size_t align, struct error *err);

/* Marks: everything drawn after a mark may be given back at once, as long as the arena is not sealed. */
size_t arena_mark(const struct arena *arena);
void arena_rewind(struct arena *arena, size_t mark);

void arena_seal(struct arena *arena);
size_t arena_used_bytes(const struct arena *arena);

/* Calls fn once per class, in order of first use. */
void arena_classes(const struct arena *arena, void (*fn)(void *ctx, const char *class_name, size_t bytes), void *ctx);

#endif
