/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many reads in flight, completed in any order.
 *
 * A read that was submitted holds one of `depth` slots until its completion is handed out. With io_uring a slot is one
 * entry in the kernel's queue at a time; with pread the read is done at once and the slot waits in a list. Both give
 * each result of the kernel to advance(), which alone decides what it means: done, go on behind what came (a short
 * read), try again (EINTR, EAGAIN), or failed.
 *
 * A short read goes on where it stopped; with O_DIRECT at the last multiple of 4096 before that, because the kernel
 * takes nothing else. At the end of the file a read may lack `slack` bytes, which then are zeros.
 */
#include "io/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/engine_calls.h"
#include "pipeline/meter.h"

enum {
	DEFAULT_DEPTH = 32,
	MAX_DEPTH = 4096,
	PAGE = 4096,
	MAX_CHUNK = 1 << 30, /* bytes the kernel is asked for at once; it reads at most 2^31 - 4096 */
	MAX_RETRIES = 1000,  /* of one read without any progress */
};
#define NO_SLOT UINT64_MAX /* of an entry that could not be submitted, and was made a no-op */

struct engine_calls engine_calls = {
	.pread = pread,
	.ring_init = io_uring_queue_init,
	.ring_register_buffers = io_uring_register_buffers,
	.ring_submit = io_uring_submit,
	.ring_wait = io_uring_wait_cqe,
};

struct slot {
	struct engine_read read;
	size_t done;		   /* bytes that have arrived */
	unsigned retries;	   /* since there was progress */
	int failure;		   /* errno; 0: none */
	bool short_file;	   /* failed because the file ends */
	uint64_t start_ns, end_ns; /* end_ns: set where it is known before the read is handed out, else 0 */
};

struct implementation {
	const char *name;
	int (*start)(struct engine *engine, unsigned slot, struct error *err);
	/* Waits for a result of the kernel: its slot in *slot, bytes or -errno in *result. */
	int (*next)(struct engine *engine, unsigned *slot, int64_t *result, struct error *err);
};

struct engine {
	const struct implementation *implementation;
	struct io_uring ring;
	bool ring_ready, files_registered, registered;
	unsigned depth, in_flight;
	unsigned file_count, buffer_count;
	int *files;
	bool *direct; /* per file: opened with O_DIRECT */
	const char *const *paths;
	struct slot *slots;
	unsigned *free_slots; /* a stack: depth - in_flight entries */
	/* pread: slots that were read, first in first out, with what the kernel said */
	unsigned *ready;
	int64_t *ready_result;
	unsigned ready_head, ready_count;
	struct histogram latencies;
	uint64_t changed_ns;	      /* when in_flight last changed */
	double busy_ns, in_flight_ns; /* time with reads in flight; the same times how many */
};

/* ---- pread ---- */

static size_t chunk(const struct slot *slot)
{
	size_t left = slot->read.bytes - slot->done;
	return left < MAX_CHUNK ? left : MAX_CHUNK;
}

static int pread_start(struct engine *engine, unsigned number, struct error *err)
{
	(void)err;
	struct slot *slot = &engine->slots[number];
	ssize_t got = engine_calls.pread(engine->files[slot->read.file], (char *)slot->read.memory + slot->done,
		chunk(slot), (off_t)(slot->read.offset + slot->done));
	slot->end_ns = meter_now_ns();
	unsigned tail = (engine->ready_head + engine->ready_count++) % engine->depth;
	engine->ready[tail] = number;
	engine->ready_result[tail] = got < 0 ? -errno : got;
	return 0;
}

static int pread_next(struct engine *engine, unsigned *slot, int64_t *result, struct error *err)
{
	(void)err;
	*slot = engine->ready[engine->ready_head];
	*result = engine->ready_result[engine->ready_head];
	engine->ready_head = (engine->ready_head + 1) % engine->depth;
	engine->ready_count--;
	return 0;
}

/* ---- io_uring ---- */

static int uring_start(struct engine *engine, unsigned number, struct error *err)
{
	struct slot *slot = &engine->slots[number];
	struct io_uring_sqe *entry = io_uring_get_sqe(&engine->ring);
	if (entry == NULL) /* cannot be: the queue has depth entries and every one is submitted at once */
		return error_set(err, ERROR_SYSTEM, "io_uring's queue is full with %u reads", engine->in_flight);
	unsigned file = slot->read.file;
	int fd = engine->files_registered ? (int)file : engine->files[file];
	char *memory = (char *)slot->read.memory + slot->done;
	uint64_t offset = slot->read.offset + slot->done;
	if (engine->registered && slot->read.buffer >= 0)
		io_uring_prep_read_fixed(entry, fd, memory, (unsigned)chunk(slot), offset, slot->read.buffer);
	else
		io_uring_prep_read(entry, fd, memory, (unsigned)chunk(slot), offset);
	if (engine->files_registered)
		io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data64(entry, number);
	for (unsigned tries = 0;; tries++) {
		int rc = engine_calls.ring_submit(&engine->ring);
		if (rc >= 0)
			return 0;
		if ((rc != -EINTR && rc != -EAGAIN && rc != -EBUSY) || tries == MAX_RETRIES) {
			/* The entry stays queued: it must not read into memory that the caller takes back. */
			io_uring_prep_nop(entry);
			io_uring_sqe_set_data64(entry, NO_SLOT);
			return error_set_errno(err, ERROR_IO, -rc, "cannot start a read of '%s'", engine->paths[file]);
		}
	}
}

static int uring_next(struct engine *engine, unsigned *slot, int64_t *result, struct error *err)
{
	for (;;) {
		struct io_uring_cqe *entry = NULL;
		int rc = engine_calls.ring_wait(&engine->ring, &entry);
		if (rc == -EINTR || rc == -EAGAIN)
			continue;
		if (rc < 0)
			return error_set_errno(err, ERROR_SYSTEM, -rc, "io_uring failed while waiting for a read");
		uint64_t number = io_uring_cqe_get_data64(entry);
		*result = entry->res;
		io_uring_cqe_seen(&engine->ring, entry);
		if (number == NO_SLOT)
			continue;
		*slot = (unsigned)number;
		return 0;
	}
}

static const struct implementation uring = {"uring", uring_start, uring_next};
static const struct implementation blocking = {"pread", pread_start, pread_next};

/* 0, or the errno that says why io_uring cannot be had. Kernels before 5.6 have it without plain reads. */
static int uring_open(struct engine *engine)
{
	int rc = engine_calls.ring_init(engine->depth, &engine->ring, 0);
	if (rc < 0)
		return -rc;
	engine->ring_ready = true;
	struct io_uring_probe *probe = io_uring_get_probe_ring(&engine->ring);
	int reason = probe != NULL && io_uring_opcode_supported(probe, IORING_OP_READ) &&
				     io_uring_opcode_supported(probe, IORING_OP_READ_FIXED)
			     ? 0
			     : EOPNOTSUPP;
	io_uring_free_probe(probe);
	if (reason != 0) {
		io_uring_queue_exit(&engine->ring);
		engine->ring_ready = false;
	}
	return reason;
}

/* Registering saves work per read; the kernel may refuse it (locked memory, 1 GiB a buffer, 16384 buffers). */
static void uring_register(struct engine *engine, const struct engine_config *config)
{
	engine->files_registered = io_uring_register_files(&engine->ring, engine->files, engine->file_count) == 0;
	if (config->buffers != NULL && config->buffer_count > 0)
		engine->registered =
			engine_calls.ring_register_buffers(&engine->ring, config->buffers, config->buffer_count) == 0;
}

/* ---- both ---- */

static int implementation_choose(struct engine *engine, const struct engine_config *config, struct error *err)
{
	static atomic_flag said = ATOMIC_FLAG_INIT; /* one line for a process, however many engines it makes */
	engine->implementation = &blocking;
	if (config->kind == ENGINE_PREAD)
		return 0;
	int reason = uring_open(engine);
	if (reason == 0) {
		uring_register(engine, config);
		engine->implementation = &uring;
		return 0;
	}
	if (config->kind == ENGINE_URING)
		return error_set_errno(err, ERROR_UNSUPPORTED, reason,
			"io_uring was asked for and is refused: take the engine 'auto' or 'pread', or allow io_uring "
			"(sysctl kernel.io_uring_disabled=0; a container's seccomp profile may forbid it)");
	if (!atomic_flag_test_and_set(&said))
		fprintf(stderr, "ringclr: reading with pread, because io_uring is not to be had here (%s)\n",
			strerror(reason));
	return 0;
}

static int config_check(const struct engine_config *config, struct error *err)
{
	if (config->depth > MAX_DEPTH)
		return error_set(
			err, ERROR_USAGE, "a read engine has a depth of 1 to %d, not %u", MAX_DEPTH, config->depth);
	if (config->file_count == 0 || config->files == NULL || config->paths == NULL)
		return error_set(err, ERROR_USAGE, "a read engine needs at least one file");
	return 0;
}

static int engine_allocate(struct engine *engine, const struct engine_config *config, struct error *err)
{
	engine->files = calloc(config->file_count, sizeof *engine->files);
	engine->direct = calloc(config->file_count, sizeof *engine->direct);
	engine->slots = calloc(engine->depth, sizeof *engine->slots);
	engine->free_slots = calloc(engine->depth, sizeof *engine->free_slots);
	engine->ready = calloc(engine->depth, sizeof *engine->ready);
	engine->ready_result = calloc(engine->depth, sizeof *engine->ready_result);
	if (engine->files == NULL || engine->direct == NULL || engine->slots == NULL || engine->free_slots == NULL ||
		engine->ready == NULL || engine->ready_result == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for a read engine");
	for (unsigned i = 0; i < engine->depth; i++)
		engine->free_slots[i] = i;
	for (unsigned i = 0; i < config->file_count; i++) {
		int flags = fcntl(config->files[i], F_GETFL);
		if (flags < 0)
			return error_set_errno(err, ERROR_IO, errno, "cannot read '%s'", config->paths[i]);
		engine->files[i] = config->files[i];
		engine->direct[i] = (flags & O_DIRECT) != 0;
	}
	return 0;
}

struct engine *engine_create(const struct engine_config *config, struct error *err)
{
	if (config_check(config, err) != 0)
		return NULL;
	struct engine *engine = calloc(1, sizeof *engine);
	if (engine == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for a read engine");
		return NULL;
	}
	engine->depth = config->depth == 0 ? DEFAULT_DEPTH : config->depth;
	engine->file_count = config->file_count;
	engine->buffer_count = config->buffers == NULL ? 0 : config->buffer_count;
	engine->paths = config->paths;
	if (engine_allocate(engine, config, err) == 0 && implementation_choose(engine, config, err) == 0)
		return engine;
	engine_destroy(engine);
	return NULL;
}

void engine_destroy(struct engine *engine)
{
	if (engine == NULL)
		return;
	/* The kernel still writes to the caller's memory: it must be done before the caller may free it. Reads that
	 * came up short are not continued. */
	while (engine->in_flight > 0) {
		unsigned slot;
		int64_t result;
		if (engine->implementation->next(engine, &slot, &result, NULL) != 0)
			break;
		engine->in_flight--;
	}
	if (engine->ring_ready)
		io_uring_queue_exit(&engine->ring);
	free(engine->files);
	free(engine->direct);
	free(engine->slots);
	free(engine->free_slots);
	free(engine->ready);
	free(engine->ready_result);
	free(engine);
}

const char *engine_name(const struct engine *engine)
{
	return engine->implementation->name;
}

bool engine_registered(const struct engine *engine)
{
	return engine->registered;
}

unsigned engine_in_flight(const struct engine *engine)
{
	return engine->in_flight;
}

unsigned engine_depth(const struct engine *engine)
{
	return engine->depth;
}

/* in_flight is about to change. */
static void count_time(struct engine *engine, uint64_t now_ns)
{
	double passed_ns = (double)(now_ns - engine->changed_ns);
	engine->busy_ns += engine->in_flight > 0 ? passed_ns : 0;
	engine->in_flight_ns += engine->in_flight * passed_ns;
	engine->changed_ns = now_ns;
}

int engine_submit(struct engine *engine, const struct engine_read *read, struct error *err)
{
	if (read->file >= engine->file_count || read->bytes == 0 || read->slack > read->bytes ||
		read->buffer >= (int)engine->buffer_count)
		return error_set(err, ERROR_USAGE, "a read of %zu bytes of file %u into buffer %d makes no sense",
			read->bytes, read->file, read->buffer);
	if (engine->in_flight == engine->depth)
		return error_set(
			err, ERROR_USAGE, "%u reads are in flight, and the engine takes no more", engine->depth);
	unsigned number = engine->free_slots[engine->depth - engine->in_flight - 1];
	uint64_t now_ns = meter_now_ns();
	engine->slots[number] = (struct slot){.read = *read, .start_ns = now_ns};
	int rc = engine->implementation->start(engine, number, err);
	if (rc == 0) {
		count_time(engine, now_ns);
		engine->in_flight++;
	}
	return rc;
}

/* Bytes of the file from `offset` on; 0 when it cannot be asked, which then counts as its end. */
static uint64_t file_left(const struct engine *engine, unsigned file, uint64_t offset)
{
	struct stat status;
	if (fstat(engine->files[file], &status) != 0 || (uint64_t)status.st_size <= offset)
		return 0;
	return (uint64_t)status.st_size - offset;
}

/* Takes in what the kernel said about a slot. True: the slot is finished; false: it must be started again. */
static bool advance(const struct engine *engine, struct slot *slot, int64_t result)
{
	struct engine_read *read = &slot->read;
	if (result == -EINTR || result == -EAGAIN) {
		slot->failure = (int)-result;
		return slot->retries++ == MAX_RETRIES;
	}
	slot->failure = result < 0 ? (int)-result : 0;
	if (result < 0)
		return true;
	size_t before = slot->done;
	slot->done += (size_t)result;
	if (slot->done == read->bytes)
		return true;
	if (result == 0 || file_left(engine, read->file, read->offset + slot->done) == 0) {
		slot->short_file = read->bytes - slot->done > read->slack;
		memset((char *)read->memory + slot->done, 0, read->bytes - slot->done);
		return true;
	}
	if (engine->direct[read->file])
		slot->done = slot->done / PAGE * PAGE;
	slot->retries = slot->done > before ? 0 : slot->retries + 1;
	slot->failure = EIO; /* unless a later try gets further */
	return slot->retries > MAX_RETRIES;
}

static int slot_report(const struct engine *engine, const struct slot *slot, struct error *err)
{
	const struct engine_read *read = &slot->read;
	const char *path = engine->paths[read->file];
	unsigned long long offset = read->offset + slot->done;
	if (slot->failure != 0)
		return error_set_errno(err, ERROR_IO, slot->failure, "cannot read '%s' at byte %llu", path, offset);
	if (slot->short_file)
		return error_set(err, ERROR_IO, "cannot read '%s': it ends at byte %llu, %zu bytes too early", path,
			offset, read->bytes - slot->done);
	return 0;
}

int engine_wait(struct engine *engine, uint64_t *tag, struct error *err)
{
	if (engine->in_flight == 0)
		return error_set(err, ERROR_USAGE, "no read is in flight");
	for (;;) {
		unsigned number;
		int64_t result;
		int rc = engine->implementation->next(engine, &number, &result, err);
		if (rc != 0)
			return rc;
		struct slot *slot = &engine->slots[number];
		bool finished = advance(engine, slot, result);
		if (!finished) {
			rc = engine->implementation->start(engine, number, err);
			if (rc == 0)
				continue;
		}
		*tag = slot->read.tag;
		if (rc == 0)
			rc = slot_report(engine, slot, err);
		uint64_t now_ns = meter_now_ns();
		histogram_add(&engine->latencies, (slot->end_ns ? slot->end_ns : now_ns) - slot->start_ns);
		count_time(engine, now_ns);
		engine->free_slots[engine->depth - engine->in_flight] = number;
		engine->in_flight--;
		return rc;
	}
}

const struct histogram *engine_latencies(const struct engine *engine)
{
	return &engine->latencies;
}

double engine_mean_depth(const struct engine *engine)
{
	return engine->busy_ns > 0 ? engine->in_flight_ns / engine->busy_ns : 0;
}
