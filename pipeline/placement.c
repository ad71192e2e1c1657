/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A placement is a list of processors in the order in which they are given out, with a count of the threads on each.
 *
 * auto: of every core (in hwloc's order, so that neighbours share caches and memory) the first hardware thread, then of
 *       every core the second, and so on. A processor is given to one thread; when all are taken, threads float.
 * LIST: as the user wrote it. The entry with the fewest threads is next, the first of several: that is in order, and
 *       wrapping around, also after some were given back.
 * none: an empty list.
 */
#include "pipeline/placement.h"

#include <errno.h>
#include <hwloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/cpu.h"

struct place {
	unsigned cpu;	     /* the operating system's number */
	unsigned threads[2]; /* reserved, by enum placement_kind */
};

struct placement {
	hwloc_topology_t topology;
	hwloc_bitmap_t allowed; /* the cgroup's cpuset and this process's affinity when the placement was made */
	struct place *places;
	size_t count, room;
	bool shares; /* a processor may be given to several threads */
};

static int add_place(struct placement *placement, unsigned cpu, struct error *err)
{
	if (placement->count == placement->room) {
		size_t wider = placement->room == 0 ? 64 : placement->room * 2;
		struct place *moved = realloc(placement->places, wider * sizeof(*moved));
		if (moved == NULL)
			return error_set(err, ERROR_MEMORY, "no memory for a list of processors");
		placement->places = moved;
		placement->room = wider;
	}
	placement->places[placement->count++] = (struct place){.cpu = cpu};
	return 0;
}

static int load_topology(struct placement *placement, struct error *err)
{
	errno = 0;
	if (hwloc_topology_init(&placement->topology) != 0) {
		placement->topology = NULL;
		return error_set_errno(err, ERROR_SYSTEM, errno ? errno : ENOMEM, "cannot start hwloc");
	}
	placement->allowed = hwloc_bitmap_alloc();
	if (placement->allowed == NULL || hwloc_topology_load(placement->topology) != 0)
		return error_set_errno(err, ERROR_SYSTEM, errno ? errno : ENOMEM,
			"cannot read the machine's topology (--pin none needs none)");
	/* taskset(1) and the like change the affinity, which hwloc leaves out of what is allowed. */
	if (hwloc_get_cpubind(placement->topology, placement->allowed, HWLOC_CPUBIND_THREAD) != 0)
		hwloc_bitmap_fill(placement->allowed);
	hwloc_bitmap_and(
		placement->allowed, placement->allowed, hwloc_topology_get_allowed_cpuset(placement->topology));
	return 0;
}

/* The number-th processor of the set, counted from 0; -1 when it has fewer. */
static int nth_of(hwloc_const_bitmap_t set, unsigned number)
{
	int cpu = hwloc_bitmap_first(set);
	while (cpu >= 0 && number-- > 0)
		cpu = hwloc_bitmap_next(set, cpu);
	return cpu;
}

static int order_by_core(struct placement *placement, struct error *err)
{
	/* Some virtual machines do not say what a core is: there every processor stands for itself. */
	hwloc_obj_type_t type = HWLOC_OBJ_CORE;
	if (hwloc_get_nbobjs_by_type(placement->topology, HWLOC_OBJ_CORE) <= 0)
		type = HWLOC_OBJ_PU;
	hwloc_bitmap_t usable = hwloc_bitmap_alloc();
	if (usable == NULL)
		return error_set(err, ERROR_MEMORY, "no memory for a set of processors");
	int rc = 0;
	bool found = true;
	for (unsigned thread = 0; found && rc == 0; thread++) {
		found = false;
		hwloc_obj_t core = NULL;
		while (rc == 0 && (core = hwloc_get_next_obj_by_type(placement->topology, type, core)) != NULL) {
			hwloc_bitmap_and(usable, core->cpuset, placement->allowed);
			int cpu = nth_of(usable, thread);
			if (cpu < 0)
				continue;
			found = true;
			rc = add_place(placement, (unsigned)cpu, err);
		}
	}
	hwloc_bitmap_free(usable);
	return rc;
}

/* Reads a processor number; moves *text behind it. */
static int parse_number(const char *spec, const char **text, unsigned *number, struct error *err)
{
	char *end;
	errno = 0;
	unsigned long value = strtoul(*text, &end, 10);
	if (**text < '0' || **text > '9' || errno != 0 || value > 1U << 20)
		return error_set(err, ERROR_USAGE,
			"processor list \"%s\": no processor number at \"%s\" (auto, none, or a list like 0,2,4-7)",
			spec, *text);
	*text = end;
	*number = (unsigned)value;
	return 0;
}

static int add_range(struct placement *placement, const char *spec, unsigned first, unsigned last, struct error *err)
{
	if (first > last)
		return error_set(
			err, ERROR_USAGE, "processor list \"%s\": the range %u-%u runs backwards", spec, first, last);
	for (unsigned cpu = first; cpu <= last; cpu++) {
		if (!hwloc_bitmap_isset(placement->allowed, cpu)) {
			char allowed[256];
			hwloc_bitmap_list_snprintf(allowed, sizeof(allowed), placement->allowed);
			return error_set(err, ERROR_USAGE,
				"processor list \"%s\": this process may not run on processor %u, only on %s", spec,
				cpu, allowed);
		}
		int rc = add_place(placement, cpu, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int parse_list(struct placement *placement, const char *spec, struct error *err)
{
	const char *text = spec;
	for (;;) {
		unsigned first = 0;
		int rc = parse_number(spec, &text, &first, err);
		if (rc < 0)
			return rc;
		unsigned last = first;
		if (*text == '-') {
			text++;
			rc = parse_number(spec, &text, &last, err);
			if (rc < 0)
				return rc;
		}
		rc = add_range(placement, spec, first, last, err);
		if (rc < 0)
			return rc;
		if (*text == '\0')
			return 0;
		if (*text != ',')
			return error_set(
				err, ERROR_USAGE, "processor list \"%s\": expected a comma at \"%s\"", spec, text);
		text++;
	}
}

struct placement *placement_create(const char *spec, struct error *err)
{
	cpu_allowed(); /* counted now, before any thread is pinned */
	struct placement *placement = calloc(1, sizeof(*placement));
	if (placement == NULL) {
		error_set(err, ERROR_MEMORY, "no memory for a placement");
		return NULL;
	}
	if (strcmp(spec, "none") == 0)
		return placement;

	int rc = load_topology(placement, err);
	if (rc == 0 && strcmp(spec, "auto") == 0) {
		rc = order_by_core(placement, err);
	} else if (rc == 0) {
		placement->shares = true;
		rc = parse_list(placement, spec, err);
	}
	if (rc < 0) {
		placement_destroy(placement);
		return NULL;
	}
	return placement;
}

void placement_destroy(struct placement *placement)
{
	if (placement == NULL)
		return;
	hwloc_bitmap_free(placement->allowed);
	if (placement->topology != NULL)
		hwloc_topology_destroy(placement->topology);
	free(placement->places);
	free(placement);
}

static unsigned threads_on(const struct place *place)
{
	return place->threads[PLACEMENT_COMPUTE] + place->threads[PLACEMENT_OTHER];
}

int placement_next(struct placement *placement, enum placement_kind kind)
{
	struct place *best = NULL;
	for (size_t i = 0; i < placement->count; i++) {
		struct place *place = &placement->places[i];
		if (best == NULL || threads_on(place) < threads_on(best))
			best = place;
	}
	if (best == NULL || (threads_on(best) > 0 && !placement->shares))
		return -1;
	best->threads[kind]++;
	return (int)best->cpu;
}

void placement_release(struct placement *placement, enum placement_kind kind, int cpu)
{
	/* The entry with the most threads, so that a processor listed twice gives back what was given last. */
	struct place *most = NULL;
	for (size_t i = 0; i < placement->count; i++) {
		struct place *place = &placement->places[i];
		if (cpu >= 0 && place->cpu == (unsigned)cpu && place->threads[kind] > 0 &&
			(most == NULL || threads_on(place) >= threads_on(most)))
			most = place;
	}
	if (most != NULL)
		most->threads[kind]--;
}

void placement_pin_self(const struct placement *placement, int cpu)
{
	if (placement->topology == NULL)
		return;
	hwloc_bitmap_t set = hwloc_bitmap_dup(placement->allowed);
	if (set == NULL)
		return;
	if (cpu >= 0)
		hwloc_bitmap_only(set, (unsigned)cpu);
	hwloc_set_cpubind(placement->topology, set, HWLOC_CPUBIND_THREAD);
	hwloc_bitmap_free(set);
}
