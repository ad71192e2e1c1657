/* SPDX-License-Identifier: Apache-2.0 */
/* Both read engines, with the kernel at its worst: short reads, interruptions, errors, refusals. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/engine.h"
#include "io/engine_calls.h"
#include "pipeline/philox.h"
#include "tests/helper_files.h"

enum { FILES = 2, BUFFERS = 8, BUFFER_BYTES = 64 << 10 };
static const size_t file_bytes[FILES] = {300001, 81920};

struct place {
	char *folder, *paths[FILES];
	const char *names[FILES];
	unsigned char *content[FILES];
	int files[FILES];
	struct iovec buffers[BUFFERS];
	struct engine_calls real;
};

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof *place);
	struct philox random = philox_stream(1, 0, 0, 0, PHILOX_TEST);
	place->folder = helper_folder_make();
	place->real = engine_calls;
	for (int i = 0; i < FILES; i++) {
		place->paths[i] = helper_path(place->folder, i == 0 ? "odd" : "even");
		place->names[i] = place->paths[i];
		place->content[i] = malloc(file_bytes[i]);
		for (size_t j = 0; j < file_bytes[i]; j++)
			place->content[i][j] = (unsigned char)philox_u32(&random);
		helper_file_write(place->paths[i], place->content[i], file_bytes[i]);
		place->files[i] = open(place->paths[i], O_RDONLY | O_CLOEXEC);
		assert_true(place->files[i] >= 0);
	}
	for (int i = 0; i < BUFFERS; i++)
		place->buffers[i] =
			(struct iovec){.iov_base = aligned_alloc(4096, BUFFER_BYTES), .iov_len = BUFFER_BYTES};
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;
	engine_calls = place->real;
	for (int i = 0; i < FILES; i++) {
		close(place->files[i]);
		free(place->content[i]);
		free(place->paths[i]);
	}
	for (int i = 0; i < BUFFERS; i++)
		free(place->buffers[i].iov_base);
	helper_folder_remove(place->folder);
	free(place);
	return 0;
}

static struct engine_config config_of(const struct place *place, enum engine_kind kind, bool buffers)
{
	return (struct engine_config){
		.kind = kind,
		.depth = 6,
		.files = place->files,
		.file_count = FILES,
		.paths = place->names,
		.buffers = buffers ? place->buffers : NULL,
		.buffer_count = buffers ? BUFFERS : 0,
	};
}

/* Skips a test of io_uring where the kernel has none. */
static bool uring_here(const struct place *place)
{
	struct error err = {0};
	struct engine_config config = config_of(place, ENGINE_URING, false);
	struct engine *engine = engine_create(&config, &err);
	engine_destroy(engine);
	if (engine == NULL)
		print_message("%s\n", err.message);
	return engine != NULL;
}

/* ---- injected faults ---- */

static struct {
	const struct engine_calls *real;
	struct philox random;
	unsigned reads, interrupts, shorts; /* counted */
	unsigned fail_at;		    /* this read gives EIO; 0: none */
	bool shorten, interrupt;
} fault;

static ssize_t faulty_pread(int fd, void *memory, size_t bytes, off_t offset)
{
	fault.reads++;
	if (fault.interrupt && philox_below(&fault.random, 3) == 0) {
		fault.interrupts++;
		errno = philox_below(&fault.random, 2) == 0 ? EINTR : EAGAIN;
		return -1;
	}
	if (fault.fail_at != 0 && fault.reads == fault.fail_at) {
		errno = EIO;
		return -1;
	}
	if (fault.shorten && bytes > 1 && philox_below(&fault.random, 4) != 0) {
		bytes = 1 + philox_below(&fault.random, (uint32_t)bytes - 1);
		fault.shorts++;
	}
	return fault.real->pread(fd, memory, bytes, offset);
}

/* The kernel is asked for less than the engine wanted: a true short read. */
static int faulty_submit(struct io_uring *ring)
{
	for (unsigned at = ring->sq.sqe_head; fault.shorten && at != ring->sq.sqe_tail; at++) {
		struct io_uring_sqe *entry = &ring->sq.sqes[at & *ring->sq.kring_mask];
		if (entry->len > 1 && philox_below(&fault.random, 4) != 0) {
			entry->len = 1 + philox_below(&fault.random, entry->len - 1);
			fault.shorts++;
		}
	}
	return fault.interrupt && philox_below(&fault.random, 5) == 0 ? -EINTR : fault.real->ring_submit(ring);
}

static int faulty_wait(struct io_uring *ring, struct io_uring_cqe **entry)
{
	if (fault.interrupt && philox_below(&fault.random, 4) == 0)
		return -EINTR;
	int rc = fault.real->ring_wait(ring, entry);
	if (rc != 0)
		return rc;
	fault.reads++;
	if (fault.interrupt && philox_below(&fault.random, 3) == 0) {
		fault.interrupts++;
		(*entry)->res = philox_below(&fault.random, 2) == 0 ? -EINTR : -EAGAIN;
	} else if (fault.fail_at != 0 && fault.reads == fault.fail_at) {
		(*entry)->res = -EIO;
	}
	return 0;
}

static void faults_install(const struct place *place, uint32_t seed)
{
	memset(&fault, 0, sizeof fault);
	fault.real = &place->real;
	fault.random = philox_stream(seed, 1, 0, 0, PHILOX_TEST);
	engine_calls.pread = faulty_pread;
	engine_calls.ring_submit = faulty_submit;
	engine_calls.ring_wait = faulty_wait;
}

/* ---- random reads, as many in flight as it takes ---- */

struct pending {
	struct engine_read read;
	bool used;
};

static void pending_start(struct engine *engine, const struct place *place, struct pending *pending, unsigned buffer,
	struct philox *random, bool fixed)
{
	struct error err = {0};
	unsigned file = philox_below(random, FILES);
	size_t bytes = 1 + philox_below(random, BUFFER_BYTES);
	pending->used = true;
	pending->read = (struct engine_read){
		.file = file,
		.buffer = fixed ? (int)buffer : -1,
		.memory = place->buffers[buffer].iov_base,
		.bytes = bytes,
		.offset = philox_below(random, (uint32_t)(file_bytes[file] - bytes + 1)),
		.tag = buffer,
	};
	memset(pending->read.memory, 0xee, BUFFER_BYTES);
	if (engine_submit(engine, &pending->read, &err) != 0)
		fail_msg("%s", err.message);
}

static void pending_finish(struct engine *engine, const struct place *place, struct pending *all)
{
	struct error err = {0};
	uint64_t tag = 99;
	if (engine_wait(engine, &tag, &err) != 0)
		fail_msg("%s", err.message);
	assert_true(tag < BUFFERS && all[tag].used);
	const struct engine_read *read = &all[tag].read;
	assert_memory_equal(read->memory, place->content[read->file] + read->offset, read->bytes);
	if (read->bytes < BUFFER_BYTES) /* and nothing behind it */
		assert_int_equal(((unsigned char *)read->memory)[read->bytes], 0xee);
	all[tag].used = false;
}

static void random_reads(struct engine *engine, const struct place *place, uint32_t seed, unsigned rounds, bool fixed)
{
	struct pending all[BUFFERS] = {0};
	struct philox random = philox_stream(seed, 2, 0, 0, PHILOX_TEST);
	unsigned flying = 0;
	for (unsigned round = 0; round < rounds; round++) {
		unsigned free_buffer = 0;
		while (free_buffer < BUFFERS && all[free_buffer].used)
			free_buffer++;
		if (flying < engine_depth(engine) && philox_below(&random, 3) != 0) {
			pending_start(engine, place, &all[free_buffer], free_buffer, &random, fixed);
			flying++;
		} else if (flying > 0) {
			pending_finish(engine, place, all);
			flying--;
		}
		assert_int_equal(engine_in_flight(engine), flying);
	}
	while (flying-- > 0)
		pending_finish(engine, place, all);
	assert_int_equal(engine_in_flight(engine), 0);
}

static void exercise(struct place *place, enum engine_kind kind)
{
	for (int variant = 0; variant < 8; variant++) {
		struct error err = {0};
		bool buffers = (variant & 1) != 0;
		struct engine_config config = config_of(place, kind, buffers);
		struct engine *engine = engine_create(&config, &err);
		if (engine == NULL)
			fail_msg("%s", err.message);
		assert_string_equal(engine_name(engine), kind == ENGINE_PREAD ? "pread" : "uring");
		assert_int_equal(engine_depth(engine), 6);
		faults_install(place, (uint32_t)variant);
		fault.shorten = (variant & 2) != 0;
		fault.interrupt = (variant & 4) != 0;
		random_reads(engine, place, (uint32_t)variant, 400, buffers);
		assert_true(fault.shorten == (fault.shorts > 100));
		assert_true(fault.interrupt == (fault.interrupts > 50));
		engine_calls = place->real;
		engine_destroy(engine);
	}
}

static void test_pread(void **state)
{
	exercise(*state, ENGINE_PREAD);
}

static void test_uring(void **state)
{
	if (!uring_here(*state))
		skip();
	exercise(*state, ENGINE_URING);
}

static int refuse_buffers(struct io_uring *ring, const struct iovec *buffers, unsigned count)
{
	(void)ring;
	(void)buffers;
	(void)count;
	return -ENOMEM;
}

/* Locked memory may be short: the engine then reads into the same memory, unregistered. */
static void test_registering(void **state)
{
	struct place *place = *state;
	struct error err = {0};
	if (!uring_here(place))
		skip();
	struct engine_config config = config_of(place, ENGINE_URING, true);
	engine_calls.ring_register_buffers = refuse_buffers;
	struct engine *engine = engine_create(&config, &err);
	assert_non_null(engine);
	assert_false(engine_registered(engine));
	random_reads(engine, place, 3, 100, true);
	engine_destroy(engine);
	engine_calls = place->real;
	engine = engine_create(&config, &err);
	assert_non_null(engine);
	random_reads(engine, place, 4, 100, true); /* registered or not: the machine decides */
	engine_destroy(engine);
	/* Memory that is not there cannot be registered, which is no error either. */
	struct iovec nowhere = {.iov_base = (void *)4096, .iov_len = 1 << 20};
	config.buffers = &nowhere;
	config.buffer_count = 1;
	engine = engine_create(&config, &err);
	assert_non_null(engine);
	assert_false(engine_registered(engine));
	engine_destroy(engine);
}

/* Every read may be the one that fails: the message names file and byte, the others are right. */
static void read_failure(struct place *place, enum engine_kind kind)
{
	for (unsigned fail_at = 1; fail_at <= 6; fail_at++) {
		struct error err = {0};
		struct engine_config config = config_of(place, kind, true);
		struct engine *engine = engine_create(&config, &err);
		assert_non_null(engine);
		faults_install(place, fail_at);
		fault.fail_at = fail_at;
		unsigned failures = 0;
		for (unsigned i = 0; i < 6; i++) {
			struct engine_read read = {.file = 0,
				.buffer = (int)i,
				.memory = place->buffers[i].iov_base,
				.bytes = 5000,
				.offset = 10000 * (uint64_t)i,
				.tag = i};
			assert_int_equal(engine_submit(engine, &read, &err), 0);
		}
		for (unsigned i = 0; i < 6; i++) {
			uint64_t tag = 99;
			int rc = engine_wait(engine, &tag, &err);
			assert_true(tag < 6);
			if (rc == 0) {
				assert_memory_equal(
					place->buffers[tag].iov_base, place->content[0] + 10000 * tag, 5000);
				continue;
			}
			char byte[40];
			failures++;
			snprintf(byte, sizeof byte, "at byte %u: Input/output error", 10000 * (unsigned)tag);
			assert_int_equal(rc, ERROR_IO);
			assert_non_null(strstr(err.message, place->paths[0]));
			assert_non_null(strstr(err.message, byte));
		}
		assert_int_equal(failures, 1);
		engine_calls = place->real;
		random_reads(engine, place, fail_at, 50, true); /* and it goes on working */
		engine_destroy(engine);
	}
}

static void test_read_failure_pread(void **state)
{
	read_failure(*state, ENGINE_PREAD);
}

static void test_read_failure_uring(void **state)
{
	if (!uring_here(*state))
		skip();
	read_failure(*state, ENGINE_URING);
}

static int interrupted_for_ever(struct io_uring *ring, struct io_uring_cqe **entry)
{
	int rc = fault.real->ring_wait(ring, entry);
	if (rc == 0)
		(*entry)->res = -EAGAIN;
	return rc;
}

static ssize_t interrupted_pread(int fd, void *memory, size_t bytes, off_t offset)
{
	(void)fd;
	(void)memory;
	(void)bytes;
	(void)offset;
	errno = EAGAIN;
	return -1;
}

/* Trying again has an end. */
static void test_no_endless_retries(void **state)
{
	struct place *place = *state;
	bool both = uring_here(place);
	for (int kind = both ? ENGINE_URING : ENGINE_PREAD; kind <= ENGINE_PREAD; kind++) {
		struct error err = {0};
		struct engine_config config = config_of(place, (enum engine_kind)kind, false);
		struct engine *engine = engine_create(&config, &err);
		struct engine_read read = {.buffer = -1, .memory = place->buffers[0].iov_base, .bytes = 100, .tag = 5};
		uint64_t tag = 0;
		faults_install(place, 0);
		engine_calls.ring_wait = interrupted_for_ever;
		engine_calls.pread = interrupted_pread;
		assert_int_equal(engine_submit(engine, &read, &err), 0);
		assert_int_equal(engine_wait(engine, &tag, &err), ERROR_IO);
		assert_int_equal(tag, 5);
		assert_non_null(strstr(err.message, "temporarily"));
		engine_calls = place->real;
		engine_destroy(engine);
	}
}

static int broken_submit(struct io_uring *ring)
{
	(void)ring;
	return -ENXIO;
}

/* A read that could not be started must not run later, into memory that the caller has taken back. */
static void test_submit_failure(void **state)
{
	struct place *place = *state;
	struct error err = {0};
	if (!uring_here(place))
		skip();
	struct engine_config config = config_of(place, ENGINE_URING, false);
	struct engine *engine = engine_create(&config, &err);
	struct engine_read read = {.buffer = -1, .memory = place->buffers[0].iov_base, .bytes = 100};
	memset(read.memory, 0xee, 100);
	engine_calls.ring_submit = broken_submit;
	assert_int_equal(engine_submit(engine, &read, &err), ERROR_IO);
	assert_non_null(strstr(err.message, place->paths[0]));
	assert_int_equal(engine_in_flight(engine), 0);
	engine_calls = place->real;
	read.memory = place->buffers[1].iov_base;
	uint64_t tag = 0;
	err = (struct error){0};
	for (int i = 0; i < 3; i++) {
		assert_int_equal(engine_submit(engine, &read, &err), 0);
		assert_int_equal(engine_wait(engine, &tag, &err), 0);
	}
	assert_int_equal(((unsigned char *)place->buffers[0].iov_base)[0], 0xee);
	assert_memory_equal(read.memory, place->content[0], 100);
	engine_destroy(engine);
}

/* Past the end of the file: an error, unless what is missing is within the slack; then the rest is zeros. */
static void end_of_file(struct place *place, enum engine_kind kind, bool shorten)
{
	struct error err = {0};
	struct engine_config config = config_of(place, kind, true);
	struct engine *engine = engine_create(&config, &err);
	assert_non_null(engine);
	faults_install(place, 7);
	fault.shorten = shorten;
	struct engine_read read = {.file = 0, .buffer = 0, .memory = place->buffers[0].iov_base, .bytes = 4096};
	uint64_t tag = 0;
	unsigned char *memory = read.memory;
	read.offset = 299008; /* 993 bytes are there */
	read.slack = 4095;
	memset(memory, 0xee, 4096);
	assert_int_equal(engine_submit(engine, &read, &err), 0);
	assert_int_equal(engine_wait(engine, &tag, &err), 0);
	assert_memory_equal(memory, place->content[0] + read.offset, 993);
	for (int i = 993; i < 4096; i++)
		assert_int_equal(memory[i], 0);
	read.slack = 3102; /* one byte less than is missing */
	assert_int_equal(engine_submit(engine, &read, &err), 0);
	assert_int_equal(engine_wait(engine, &tag, &err), ERROR_IO);
	assert_non_null(strstr(err.message, place->paths[0]));
	assert_non_null(strstr(err.message, "ends at byte 300001"));
	err = (struct error){0};
	read.offset = 400000;
	read.slack = 0;
	assert_int_equal(engine_submit(engine, &read, &err), 0);
	assert_int_equal(engine_wait(engine, &tag, &err), ERROR_IO);
	engine_calls = place->real;
	engine_destroy(engine);
}

static void test_end_of_file(void **state)
{
	bool uring = uring_here(*state);
	for (int shorten = 0; shorten < 2; shorten++) {
		end_of_file(*state, ENGINE_PREAD, shorten);
		if (uring)
			end_of_file(*state, ENGINE_URING, shorten);
	}
}

/* O_DIRECT: whole pages; a short read goes on at a page, and the tail of the file is short. */
static void direct_reads(struct place *place, enum engine_kind kind)
{
	struct error err = {0};
	struct engine_config config = config_of(place, kind, true);
	struct engine *engine = engine_create(&config, &err);
	assert_non_null(engine);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t tag = 0;
		struct engine_read read = {
			.file = 0,
			.buffer = 0,
			.memory = place->buffers[0].iov_base,
			.bytes = 4096 * (1 + (size_t)philox_below(&fault.random, 16)),
			.slack = 4095,
		};
		uint64_t last = (file_bytes[0] + 4095) / 4096 - read.bytes / 4096;
		read.offset = 4096 * (i % 4 == 0 ? last : philox_below(&fault.random, (uint32_t)last));
		assert_int_equal(engine_submit(engine, &read, &err), 0);
		if (engine_wait(engine, &tag, &err) != 0)
			fail_msg("%s", err.message);
		uint64_t there = file_bytes[0] - read.offset < read.bytes ? file_bytes[0] - read.offset : read.bytes;
		assert_memory_equal(read.memory, place->content[0] + read.offset, there);
	}
	engine_destroy(engine);
}

/* The disk gives short reads of whole sectors only. */
static ssize_t short_direct_pread(int fd, void *memory, size_t bytes, off_t offset)
{
	/* Some disks take 512, all take pages: so it must be pages. */
	assert_int_equal(((uintptr_t)memory | bytes | (uintptr_t)offset) % 4096, 0);
	if (bytes > 512 && philox_below(&fault.random, 2) == 0)
		bytes = 512 + 512 * philox_below(&fault.random, (uint32_t)(bytes - 512) / 512);
	return fault.real->pread(fd, memory, bytes, offset);
}

static void test_direct(void **state)
{
	struct place *place = *state;
	unsigned char *page = aligned_alloc(4096, 4096);
	int direct = open(place->paths[0], O_RDONLY | O_CLOEXEC | O_DIRECT);
	bool here = direct >= 0 && pread(direct, page, 4096, 0) == 4096;
	free(page);
	if (!here) {
		if (direct >= 0)
			close(direct);
		print_message("no O_DIRECT in %s\n", place->folder);
		skip();
	}
	close(place->files[0]);
	place->files[0] = direct;
	faults_install(place, 0);
	engine_calls = place->real;
	direct_reads(place, ENGINE_PREAD);
	if (uring_here(place))
		direct_reads(place, ENGINE_URING);
	engine_calls.pread = short_direct_pread;
	direct_reads(place, ENGINE_PREAD);
}

/* ---- choosing ---- */

static int refuse_ring(unsigned entries, struct io_uring *ring, unsigned flags)
{
	(void)entries;
	(void)ring;
	(void)flags;
	return -EPERM;
}

static void fall_back(void *ctx)
{
	struct place *place = ctx;
	for (int i = 0; i < 3; i++) {
		struct error err = {0};
		struct engine_config config = config_of(place, ENGINE_AUTO, true);
		struct engine *engine = engine_create(&config, &err);
		assert_non_null(engine);
		assert_string_equal(engine_name(engine), "pread");
		assert_false(engine_registered(engine));
		random_reads(engine, place, 9, 50, true);
		engine_destroy(engine);
	}
}

static void test_refused_by_the_kernel(void **state)
{
	struct place *place = *state;
	struct error err = {0};
	engine_calls.ring_init = refuse_ring;
	char *said = helper_stderr_of(fall_back, place);
	assert_non_null(strstr(said, "Operation not permitted"));
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* one line for three engines */
	free(said);
	struct engine_config config = config_of(place, ENGINE_URING, false);
	assert_null(engine_create(&config, &err));
	assert_int_equal(err.code, ERROR_UNSUPPORTED);
	assert_non_null(strstr(err.message, "io_uring_disabled"));
	assert_non_null(strstr(err.message, "pread"));
}

static void test_misuse(void **state)
{
	struct place *place = *state;
	struct error err = {0};
	struct engine_config config = config_of(place, ENGINE_PREAD, true);
	config.depth = 0;
	struct engine *engine = engine_create(&config, &err);
	assert_int_equal(engine_depth(engine), 32);
	engine_destroy(engine);
	config.depth = 2;
	engine = engine_create(&config, &err);
	uint64_t tag;
	assert_int_equal(engine_wait(engine, &tag, NULL), ERROR_USAGE);
	struct engine_read good = {.buffer = 0, .memory = place->buffers[0].iov_base, .bytes = 10}, bad = good;
	bad.file = FILES;
	assert_int_equal(engine_submit(engine, &bad, NULL), ERROR_USAGE);
	bad = good;
	bad.buffer = BUFFERS;
	assert_int_equal(engine_submit(engine, &bad, NULL), ERROR_USAGE);
	bad = good;
	bad.bytes = 0;
	assert_int_equal(engine_submit(engine, &bad, NULL), ERROR_USAGE);
	assert_int_equal(engine_submit(engine, &good, NULL), 0);
	assert_int_equal(engine_submit(engine, &good, NULL), 0);
	assert_int_equal(engine_submit(engine, &good, NULL), ERROR_USAGE); /* over the depth */
	engine_destroy(engine);						   /* with two in flight */
	engine_destroy(NULL);

	config.depth = 1000000;
	assert_null(engine_create(&config, NULL));
	config.depth = 1;
	config.file_count = 0;
	assert_null(engine_create(&config, NULL));
	int closed = -1;
	config.file_count = 1;
	config.files = &closed;
	err = (struct error){0};
	assert_null(engine_create(&config, &err));
	assert_non_null(strstr(err.message, place->paths[0]));
}

struct late {
	int fd;
	atomic_bool written;
};

static void *write_late(void *ctx)
{
	struct late *late = ctx;
	usleep(50000);
	atomic_store(&late->written, true);
	return write(late->fd, "late", 4) == 4 ? NULL : ctx;
}

/* Destroying waits for the kernel, which would write into memory that is given back. A pipe makes it wait long. */
static void test_destroy_in_flight(void **state)
{
	struct place *place = *state;
	int ends[2];
	const char *name = "a pipe";
	struct error err = {0};
	pthread_t thread;
	void *failed = NULL;
	if (!uring_here(place))
		skip();
	assert_int_equal(pipe(ends), 0);
	struct late late = {.fd = ends[1]};
	struct engine_config config = {.kind = ENGINE_URING, .files = &ends[0], .file_count = 1, .paths = &name};
	struct engine *engine = engine_create(&config, &err);
	char memory[4] = "";
	struct engine_read read = {.buffer = -1, .memory = memory, .bytes = 4};
	assert_int_equal(engine_submit(engine, &read, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, write_late, &late), 0);
	engine_destroy(engine);
	assert_true(atomic_load(&late.written));
	assert_memory_equal(memory, "late", 4);
	pthread_join(thread, &failed);
	assert_null(failed);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uring, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registering, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_failure_pread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_failure_uring, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_endless_retries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_submit_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_of_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_direct, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_by_the_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_misuse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destroy_in_flight, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
