/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One range of addresses, reserved without access (PROT_NONE), is opened from its start in steps of 2 MiB and given out
 * by moving a position. Opened pages are still lazy: the kernel gives memory at the first touch, zeroed.
 *
 *	base          position     opened                          reserved
 *	|  drawn      |  zero      |  PROT_NONE                    |
 *
 * Everything from position on reads as zero: it was never given out, or arena_rewind() made it so. A log of the
 * allocations lets a rewind take each back from its class. Bytes are counted as they were asked for: padding and red
 * zones are left out, so that a plan has the same size in every build.
 *
 * One thread at a time may use an arena; what it gave out belongs to whoever drew it.
 */
#include "pipeline/arena.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
enum { RED_ZONE_BYTES = 64 };
static void poison(const void *start, size_t bytes)
{
	ASAN_POISON_MEMORY_REGION(start, bytes);
}
static void unpoison(const void *start, size_t bytes)
{
	ASAN_UNPOISON_MEMORY_REGION(start, bytes);
}
#else
enum { RED_ZONE_BYTES = 0 };
static void poison(const void *start, size_t bytes)
{
	(void)start, (void)bytes;
}
static void unpoison(const void *start, size_t bytes)
{
	(void)start, (void)bytes;
}
#endif

static const size_t DEFAULT_ALIGN = 64;
static const size_t STEP_BYTES = (size_t)2 << 20;  /* a huge page */
static const size_t LARGE_BYTES = (size_t)4 << 20; /* holds at least one whole huge page wherever it begins */
static const size_t RESERVE_MOST_BYTES = (size_t)1 << 40;
static const size_t RESERVE_LEAST_BYTES = (size_t)64 << 20;

struct class
{
	const char *name;
	size_t bytes;
};

struct drawn {
	size_t offset; /* from base */
	size_t bytes;
	size_t class_index;
};

struct arena {
	void *mapping;
	size_t mapping_bytes;
	char *base;	 /* mapping, rounded up to STEP_BYTES */
	size_t reserved; /* bytes from base to the end of the mapping */
	size_t opened;	 /* multiple of STEP_BYTES, at most reserved */
	size_t position;
	size_t used_bytes;
	size_t limit_bytes; /* 0: none */
	bool sealed;
	struct class *classes;
	size_t class_count, class_room;
	struct drawn *log;
	size_t log_count, log_room;
};

static size_t round_up(size_t value, size_t unit)
{
	return (value + unit - 1) & ~(unit - 1);
}

static size_t mib(size_t bytes)
{
	return bytes / ((size_t)1 << 20) + (bytes % ((size_t)1 << 20) != 0);
}

struct arena *arena_create(size_t limit_bytes, struct error *err)
{
	struct arena *arena = calloc(1, sizeof(*arena));
	if (arena == NULL) {
		error_set(err, ERROR_MEMORY, "no memory for the arena's own tables");
		return NULL;
	}
	/* Sanitizers and `ulimit -v` allow less than the most. */
	void *mapping = MAP_FAILED;
	size_t bytes = RESERVE_MOST_BYTES;
	for (; bytes >= RESERVE_LEAST_BYTES; bytes /= 2) {
		/* cppcheck-suppress invalidFunctionArg ; anonymous memory has no descriptor: -1 is what mmap(2) asks
		 * for */
		mapping = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (mapping != MAP_FAILED)
			break;
	}
	if (mapping == MAP_FAILED) {
		error_set_errno(err, ERROR_MEMORY, errno, "cannot reserve even %zu MiB of addresses (see ulimit -v)",
			mib(RESERVE_LEAST_BYTES));
		free(arena);
		return NULL;
	}
	arena->mapping = mapping;
	arena->mapping_bytes = bytes;
	size_t skipped = (size_t)(round_up((uintptr_t)mapping, STEP_BYTES) - (uintptr_t)mapping);
	arena->base = (char *)mapping + skipped;
	arena->reserved = (bytes - skipped) & ~(STEP_BYTES - 1);
	arena->limit_bytes = limit_bytes;
	return arena;
}

void arena_destroy(struct arena *arena)
{
	if (arena == NULL)
		return;
	unpoison(arena->base, arena->opened);
	munmap(arena->mapping, arena->mapping_bytes);
	free(arena->classes);
	free(arena->log);
	free(arena);
}

/* Makes room for one more element of `size_bytes` in a malloc'ed table. */
static int grow(void **table, size_t count, size_t *room, size_t size_bytes, struct error *err)
{
	if (count < *room)
		return 0;
	size_t wider = *room == 0 ? 64 : *room * 2;
	void *moved = realloc(*table, wider * size_bytes);
	if (moved == NULL)
		return error_set(err, ERROR_MEMORY, "no memory for the arena's own tables");
	*table = moved;
	*room = wider;
	return 0;
}

/* Index of the class, added when it is new; negative with *err set. */
static ssize_t find_class(struct arena *arena, const char *name, struct error *err)
{
	for (size_t i = 0; i < arena->class_count; i++)
		if (strcmp(arena->classes[i].name, name) == 0)
			return (ssize_t)i;
	int rc = grow((void **)&arena->classes, arena->class_count, &arena->class_room, sizeof(struct class), err);
	if (rc < 0)
		return rc;
	arena->classes[arena->class_count] = (struct class){.name = name};
	return (ssize_t)arena->class_count++;
}

/* Gives access to everything below `end`. */
static int open_up_to(struct arena *arena, size_t end, const char *class_name, struct error *err)
{
	size_t opened = round_up(end, STEP_BYTES);
	if (opened <= arena->opened)
		return 0;
	char *start = arena->base + arena->opened;
	size_t bytes = opened - arena->opened;
	if (mprotect(start, bytes, PROT_READ | PROT_WRITE) != 0)
		return error_set_errno(err, ERROR_MEMORY, errno,
			"the system refuses %zu MiB more for %s with %zu MiB drawn: lower --batch, or see "
			"vm.overcommit_memory",
			mib(bytes), class_name, mib(arena->used_bytes));
	poison(start, bytes);
	arena->opened = opened;
	return 0;
}

/* Where an allocation would begin. */
static int place(
	struct arena *arena, const char *class_name, size_t bytes, size_t align, size_t *start, struct error *err)
{
	if (arena->sealed)
		return error_set(err, ERROR_MEMORY,
			"%s: %zu bytes asked for after set-up was over (the arena is sealed)", class_name, bytes);
	if (arena->limit_bytes != 0 && (bytes > arena->limit_bytes || arena->used_bytes > arena->limit_bytes - bytes))
		return error_set(err, ERROR_MEMORY,
			"%s needs %zu MiB beyond the %zu MiB drawn so far, over the limit of %zu MiB: lower --batch or "
			"raise --mem",
			class_name, mib(bytes), mib(arena->used_bytes), mib(arena->limit_bytes));
	/* position and align are far below half of the range, bytes may be anything. */
	*start = round_up(arena->position, align);
	if (*start > arena->reserved || bytes > arena->reserved - *start ||
		*start + bytes + RED_ZONE_BYTES > arena->reserved)
		return error_set(err, ERROR_MEMORY,
			"%s needs %zu MiB beyond the %zu MiB drawn so far, and the system reserves only %zu MiB of "
			"addresses: lower --batch, or see ulimit -v",
			class_name, mib(bytes), mib(arena->used_bytes), mib(arena->reserved));
	return 0;
}

/* Huge pages for the whole ones inside a large allocation; a kernel without them just says no. */
static void advise_huge(char *start, size_t bytes)
{
	if (bytes < LARGE_BYTES)
		return;
	size_t skipped = (size_t)(round_up((uintptr_t)start, STEP_BYTES) - (uintptr_t)start);
	madvise(start + skipped, (bytes - skipped) & ~(STEP_BYTES - 1), MADV_HUGEPAGE);
}

void *arena_alloc(
	struct arena *arena, const char *class_name, size_t count, size_t size_bytes, size_t align, struct error *err)
{
	size_t bytes, start = 0;
	if (align == 0)
		align = DEFAULT_ALIGN;
	if ((align & (align - 1)) != 0 || align > STEP_BYTES) {
		error_set(err, ERROR_USAGE, "%s: an alignment of %zu is not a power of two up to %zu", class_name,
			align, STEP_BYTES);
		return NULL;
	}
	if (__builtin_mul_overflow(count, size_bytes, &bytes)) {
		error_set(err, ERROR_MEMORY, "%s: %zu times %zu bytes is more than any memory: lower --batch",
			class_name, count, size_bytes);
		return NULL;
	}
	if (place(arena, class_name, bytes, align, &start, err) < 0)
		return NULL;
	size_t end = start + bytes;
	if (open_up_to(arena, end + RED_ZONE_BYTES, class_name, err) < 0)
		return NULL;
	if (grow((void **)&arena->log, arena->log_count, &arena->log_room, sizeof(struct drawn), err) < 0)
		return NULL;
	ssize_t class_index = find_class(arena, class_name, err);
	if (class_index < 0)
		return NULL;

	arena->log[arena->log_count++] =
		(struct drawn){.offset = start, .bytes = bytes, .class_index = (size_t)class_index};
	arena->classes[class_index].bytes += bytes;
	arena->used_bytes += bytes;
	arena->position = end + RED_ZONE_BYTES;
	unpoison(arena->base + start, bytes);
	advise_huge(arena->base + start, bytes);
	return arena->base + start;
}

size_t arena_mark(const struct arena *arena)
{
	return arena->position;
}

void arena_rewind(struct arena *arena, size_t mark)
{
	if (arena->sealed || mark >= arena->position)
		return;
	while (arena->log_count > 0 && arena->log[arena->log_count - 1].offset >= mark) {
		const struct drawn *last = &arena->log[--arena->log_count];
		arena->classes[last->class_index].bytes -= last->bytes;
		arena->used_bytes -= last->bytes;
	}
	/* Back to zero: the mark's own page by hand, whole pages by giving them back to the kernel. */
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t whole = round_up(mark, page), last = round_up(arena->position, page);
	unpoison(arena->base + mark, last - mark);
	memset(arena->base + mark, 0, (whole < arena->position ? whole : arena->position) - mark);
	if (whole < last && madvise(arena->base + whole, last - whole, MADV_DONTNEED) != 0)
		memset(arena->base + whole, 0, last - whole);
	poison(arena->base + mark, last - mark);
	arena->position = mark;
}

void arena_seal(struct arena *arena)
{
	arena->sealed = true;
}

size_t arena_used_bytes(const struct arena *arena)
{
	return arena->used_bytes;
}

void arena_classes(const struct arena *arena, void (*fn)(void *ctx, const char *class_name, size_t bytes), void *ctx)
{
	for (size_t i = 0; i < arena->class_count; i++)
		fn(ctx, arena->classes[i].name, arena->classes[i].bytes);
}
