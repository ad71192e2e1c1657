/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C interface. The loader's graph runs on a thread of the handle's own, and the batch ring's consumers are the
 * threads that call ringclr_next(): they acquire and release the ring's slots themselves.
 *
 * A graph ends upstream of a stage that has ended. So that it can be ended from outside, the batch ring's consumer is,
 * for the graph, a stage whose one worker waits at a gate: a ring that carries nothing. Closing it ends that worker,
 * and with it the graph; an error poisons it like every ring.
 */
#include "stages/ringclr.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/cpu.h"
#include "pipeline/graph.h"
#include "stages/loader_choices.h"
#include "stages/ringclr_options.h"

static_assert((int)RINGCLR_USAGE == (int)ERROR_USAGE && (int)RINGCLR_IO == (int)ERROR_IO &&
		      (int)RINGCLR_FORMAT == (int)ERROR_FORMAT && (int)RINGCLR_VERSION_NEW == (int)ERROR_VERSION &&
		      (int)RINGCLR_DAMAGED == (int)ERROR_DAMAGED && (int)RINGCLR_DECODE == (int)ERROR_DECODE &&
		      (int)RINGCLR_MEMORY == (int)ERROR_MEMORY && (int)RINGCLR_MISMATCH == (int)ERROR_MISMATCH &&
		      (int)RINGCLR_UNSUPPORTED == (int)ERROR_UNSUPPORTED && (int)RINGCLR_SYSTEM == (int)ERROR_SYSTEM,
	"the codes of the C interface are those of pipeline/error.h");
static_assert((int)RINGCLR_CACHE_AUTO == (int)CACHE_AUTO && (int)RINGCLR_CACHE_NONE == (int)CACHE_NONE &&
		      (int)RINGCLR_CACHE_PACKED == (int)CACHE_PACKED &&
		      (int)RINGCLR_CACHE_DECODED == (int)CACHE_DECODED &&
		      (int)RINGCLR_DECODE_NEEDED == (int)DECODE_NEEDED &&
		      (int)RINGCLR_DECODE_FULL == (int)DECODE_FULL && (int)RINGCLR_BAD_FAIL == (int)DECODE_BAD_FAIL &&
		      (int)RINGCLR_BAD_SKIP == (int)DECODE_BAD_SKIP && (int)RINGCLR_ENGINE_AUTO == (int)ENGINE_AUTO &&
		      (int)RINGCLR_ENGINE_URING == (int)ENGINE_URING && (int)RINGCLR_ENGINE_PREAD == (int)ENGINE_PREAD,
	"the choices of the C interface are those of the loader");

enum hold_state { HOLD_FREE, HOLD_AWAITED, HOLD_HELD };

/* A slot of the batch ring, as the callers see it. */
struct hold {
	struct ringclr_batch batch;
	enum hold_state state; /* under the handle's lock */
};

struct ringclr {
	/* Constant once it is open. */
	struct arena *arena;
	struct shard_set *set;
	struct epoch_plan *plan;
	struct loader *loader;
	struct graph *graph;
	struct ring *gate; /* without items: to wait at, until it is closed */
	struct ringclr_info info;
	uint64_t epoch_batches;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* over the rest */
	pthread_cond_t ended_changed;
	bool ended;	    /* the graph is */
	struct error error; /* the graph's; constant once it has ended */
	uint64_t next;	    /* number of the next batch to give out */
	struct hold *holds; /* [slots] */
};

/* ---- Opening ---- */

static int wait_at_gate(void *ctx, struct worker *worker)
{
	struct ringclr *loader = ctx;
	(void)worker;
	int result = ring_acquire(loader->gate, 0, NULL, NULL);
	return result == RING_END ? 0 : result;
}

static void *run_graph(void *argument)
{
	struct ringclr *loader = argument;
	struct error err = {0};
	graph_run(loader->graph, NULL, &err);
	pthread_mutex_lock(&loader->lock);
	loader->error = err;
	loader->ended = true;
	pthread_cond_broadcast(&loader->ended_changed);
	pthread_mutex_unlock(&loader->lock);
	/* A graph that failed before it had a thread has woken nobody. */
	if (err.code < 0)
		ring_fail(loader_batches(loader->loader), err.code);
	return NULL;
}

static int create_graph(struct ringclr *loader, struct error *err)
{
	static const struct ring_config gate = {.name = "gate", .slots = 1};
	loader->graph = arena_alloc(loader->arena, "graph", 1, sizeof *loader->graph, 0, err);
	loader->gate = loader->graph ? ring_create(loader->arena, &gate, err) : NULL;
	loader->holds =
		loader->gate ? arena_alloc(loader->arena, "loader", loader->info.slots, sizeof *loader->holds, 0, err)
			     : NULL;
	if (!loader->holds || loader_join(loader->loader, loader->graph, err) < 0)
		return err->code;
	const struct stage caller = {
		.name = "caller", .run = wait_at_gate, .ctx = loader, .in = loader_batches(loader->loader)};
	if (graph_add_ring(loader->graph, loader->gate, err) < 0 || graph_add_stage(loader->graph, &caller, err) < 0)
		return err->code;
	return 0;
}

/* The batches that the options ask for. */
static int set_span(struct ringclr *loader, const struct ringclr_options *options, struct error *err)
{
	uint64_t an_epoch = loader_batches_per_epoch(loader->loader), end = options->epochs * an_epoch;
	if (options->first_batch > end)
		return error_set(err, ERROR_USAGE, "options.first_batch is %llu, and the run ends at batch %llu",
			(unsigned long long)options->first_batch, (unsigned long long)end);
	if (options->short_last)
		loader_once(loader->loader);
	else
		loader_span(loader->loader, options->first_batch, end);
	loader->next = options->first_batch;
	loader->epoch_batches = an_epoch;
	return 0;
}

static void describe(struct ringclr *loader, const struct loader_config *config, enum epoch_order order)
{
	static const int32_t orders[] = {[EPOCH_SEQUENTIAL] = RINGCLR_ORDER_SEQUENTIAL,
		[EPOCH_FULL] = RINGCLR_ORDER_FULL,
		[EPOCH_WINDOW] = RINGCLR_ORDER_WINDOW};
	loader->info = (struct ringclr_info){
		.records = shard_set_records(loader->set),
		.images_per_epoch = loader_images_per_epoch(loader->loader),
		.batches_per_epoch = loader_batches_per_epoch(loader->loader),
		.views = config->policies.count,
		.size = config->policies.view[0].size,
		.batch = config->batch,
		.slots = config->batches,
		.classes = shard_classes(shard_set_at(loader->set, 0)),
		.order = orders[order],
		.engine = loader_engine_name(loader->loader),
		.isa = cpu_isa_name(config->isa),
	};
}

static int build(struct ringclr *loader, const char *const *paths, unsigned count,
	const struct ringclr_options *options, struct error *err)
{
	struct loader_config config;
	struct epoch_plan_config plan;
	if (ringclr_options_loader(options, &config, err) < 0)
		return err->code;
	loader->arena = arena_create(options->mem_bytes, err);
	loader->set = loader->arena ? shard_set_open(paths, count, options->direct, err) : NULL;
	if (!loader->set || ringclr_options_plan(options, loader->set, &plan, err) < 0)
		return err->code;
	loader->plan = epoch_plan_create(loader->set, &plan, err);
	if (!loader->plan)
		return err->code;
	config.set = loader->set;
	config.plan = loader->plan;
	loader->loader = loader_create(loader->arena, &config, err);
	if (!loader->loader)
		return err->code;
	describe(loader, &config, plan.order);
	if (create_graph(loader, err) < 0)
		return err->code;
	/* What comes once need not be kept. */
	enum cache_kind cache = options->epochs == 1 ? CACHE_NONE : (enum cache_kind)options->cache;
	if (loader_add_cache(loader->loader, loader->arena, cache,
		    loader_cache_budget(loader->arena, options->mem_bytes), err) < 0)
		return err->code;
	arena_seal(loader->arena);
	if (set_span(loader, options, err) < 0)
		return err->code;
	loader->info.first_batch = loader_first_batch(loader->loader);
	loader->info.end_batch = loader_end_batch(loader->loader);
	loader->info.memory_bytes = arena_used_bytes(loader->arena);
	loader->info.cache = (int32_t)loader_cache_plan(loader->loader)->kind;
	return 0;
}

/* Signals are the program's: no thread of the loader takes any. */
static int start(struct ringclr *loader, struct error *err)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = pthread_create(&loader->thread, NULL, run_graph, loader);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	loader->started = failed == 0;
	return failed ? error_set_errno(err, ERROR_SYSTEM, failed, "cannot start the loader's thread") : 0;
}

static int check_paths(const char *const *paths, unsigned count, struct error *err)
{
	if (!paths || count == 0)
		return error_set(err, ERROR_USAGE, "no shard was named");
	for (unsigned i = 0; i < count; i++)
		if (!paths[i])
			return error_set(err, ERROR_USAGE, "path %u of %u is NULL", i, count);
	return 0;
}

struct ringclr *ringclr_open(
	const char *const *paths, unsigned count, const struct ringclr_options *given, char *error, size_t error_bytes)
{
	struct error err = {0};
	struct ringclr_options options;
	struct ringclr *loader = calloc(1, sizeof *loader);
	if (!loader) {
		error_set(&err, ERROR_MEMORY, "out of memory");
	} else {
		pthread_mutex_init(&loader->lock, NULL);
		pthread_cond_init(&loader->ended_changed, NULL);
		if (check_paths(paths, count, &err) < 0 || ringclr_options_settle(&options, given, &err) < 0 ||
			build(loader, paths, count, &options, &err) < 0 || start(loader, &err) < 0) {
			ringclr_close(loader);
			loader = NULL;
		}
	}
	if (error && error_bytes > 0)
		snprintf(error, error_bytes, "%s", err.message);
	return loader;
}

void ringclr_close(struct ringclr *loader)
{
	if (!loader)
		return;
	ringclr_stop(loader);
	if (loader->started)
		pthread_join(loader->thread, NULL);
	loader_destroy(loader->loader);
	epoch_plan_destroy(loader->plan);
	shard_set_close(loader->set);
	arena_destroy(loader->arena);
	pthread_cond_destroy(&loader->ended_changed);
	pthread_mutex_destroy(&loader->lock);
	free(loader);
}

/* ---- Batches ---- */

/* Gives out the next number and reserves its slot; RING_END; a negative code. */
static int take_number(struct ringclr *loader, uint64_t *number)
{
	int result = RING_OK;
	pthread_mutex_lock(&loader->lock);
	struct hold *hold = &loader->holds[loader->next % loader->info.slots];
	*number = loader->next;
	if (loader->next >= loader->info.end_batch)
		result = RING_END;
	else if (hold->state != HOLD_FREE) /* it would wait for the caller itself, unless the run is over */
		result = ring_try_acquire(loader_batches(loader->loader), *number, NULL, NULL);
	if (result == RING_AGAIN)
		result = RINGCLR_BUSY;
	if (result == RING_OK) {
		hold->state = HOLD_AWAITED;
		loader->next++;
	}
	pthread_mutex_unlock(&loader->lock);
	return result;
}

static void set_state(struct ringclr *loader, struct hold *hold, enum hold_state state)
{
	pthread_mutex_lock(&loader->lock);
	hold->state = state;
	pthread_mutex_unlock(&loader->lock);
}

/* A ring was poisoned: soon the graph has ended, and says why. */
static int await_error(struct ringclr *loader)
{
	pthread_mutex_lock(&loader->lock);
	while (!loader->ended)
		pthread_cond_wait(&loader->ended_changed, &loader->lock);
	int code = loader->error.code;
	pthread_mutex_unlock(&loader->lock);
	return code;
}

int ringclr_next(struct ringclr *loader, const struct ringclr_batch **batch)
{
	if (!loader || !batch)
		return RINGCLR_USAGE;
	*batch = NULL;
	uint64_t number;
	void *memory;
	int result = take_number(loader, &number);
	if (result == RINGCLR_BUSY)
		return result;
	struct hold *hold = &loader->holds[number % loader->info.slots];
	if (result == RING_OK) {
		result = ring_acquire(loader_batches(loader->loader), number, &memory, NULL);
		if (result != RING_OK)
			set_state(loader, hold, HOLD_FREE);
	}
	if (result < 0)
		return await_error(loader);
	if (result != RING_OK) /* RING_END */
		return 0;
	struct batch parts = loader_batch(loader->loader, number, memory);
	hold->batch = (struct ringclr_batch){
		.number = number,
		.epoch = number / loader->epoch_batches,
		.images = parts.images,
		.rows = loader->info.batch,
		.views = loader->info.views,
		.size = loader->info.size,
		.data = parts.x,
		.records = parts.record,
		.labels = parts.label,
	};
	set_state(loader, hold, HOLD_HELD);
	*batch = &hold->batch;
	return 1;
}

/* The hold that a caller's batch is part of; NULL: it is none of this handle's. */
static struct hold *find_hold(struct ringclr *loader, const struct ringclr_batch *batch)
{
	for (uint32_t i = 0; i < loader->info.slots; i++)
		if (&loader->holds[i].batch == batch)
			return &loader->holds[i];
	return NULL;
}

int ringclr_release(struct ringclr *loader, const struct ringclr_batch *batch)
{
	struct hold *hold = loader ? find_hold(loader, batch) : NULL;
	if (!hold)
		return RINGCLR_USAGE;
	pthread_mutex_lock(&loader->lock);
	bool held = hold->state == HOLD_HELD;
	if (held) {
		ring_release(loader_batches(loader->loader), hold->batch.number);
		hold->state = HOLD_FREE;
	}
	pthread_mutex_unlock(&loader->lock);
	return held ? 0 : RINGCLR_USAGE;
}

void ringclr_stop(struct ringclr *loader)
{
	if (!loader || !loader->gate)
		return;
	ring_close(loader->gate, 0);
	/* The graph will do so too, once the gate's worker has run: a caller who comes meanwhile is not to get a batch.
	 */
	ring_close(loader_batches(loader->loader), 0);
}

/* ---- Looking at it ---- */

const struct ringclr_info *ringclr_get_info(const struct ringclr *loader)
{
	return &loader->info;
}

const char *ringclr_error(struct ringclr *loader)
{
	pthread_mutex_lock(&loader->lock);
	const char *message = loader->ended ? loader->error.message : "";
	pthread_mutex_unlock(&loader->lock);
	return message;
}

uint64_t ringclr_bad_images(const struct ringclr *loader)
{
	return loader_bad_images(loader->loader);
}

const char *ringclr_class_name(const struct ringclr *loader, int32_t label)
{
	if (label < 0 || (uint32_t)label >= loader->info.classes)
		return NULL;
	return shard_class(shard_set_at(loader->set, 0), (uint32_t)label);
}

const char *ringclr_key(const struct ringclr *loader, uint64_t record)
{
	return record < loader->info.records ? shard_set_record(loader->set, record)->key : NULL;
}
