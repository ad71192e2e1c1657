/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing is allocated while steps run: whole training runs of the command line, in this process, whose malloc and
 * friends this file replaces. From the first step's forward to the end of the pipeline every allocation of every thread
 * is a fault, but for
 *
 *   - a checkpoint, which is saved between two steps (checkpoint_save);
 *   - a thread that still starts, pinning itself to its processor (placement_pin_self);
 *   - OpenBLAS, which maps a work buffer for each of its callers at their first product, and keeps it;
 *   - decode threads while they decode PNG or WebP, or JPEG that libjpeg decodes: those libraries allocate. With raw
 *     pixels and baseline JPEG, for which our own decoder's memory is reserved before, they may not either.
 *
 * Seen are calls that go through the symbols malloc, calloc, realloc, aligned_alloc, memalign, posix_memalign and mmap:
 * those of the program and of every library. Not seen is what the C library does inside itself (a thread's stack).
 *
 * The linker's --wrap leads net_forward, checkpoint_save, placement_pin_self and trainer_run here (see the Makefile).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stages/checkpoint.h"
#include "stages/codec.h"
#include "stages/trainer.h"
#include "tests/helper_files.h"
#include "tools/command.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Set by the compute thread while steps run, read by every thread's allocations. Orders nothing: a thread that sees it
 * late lets an allocation pass in the first moments. */
static atomic_bool armed;
static atomic_bool decoders_exempt; /* constant during a run */
static _Thread_local bool exempt;   /* this thread is between two steps, or starts */
static unsigned steps;		    /* compute thread's */

#ifndef SANITIZED
static atomic_uint faults, decode_allowed, blas_allowed; /* counters; read after the threads are joined */
static char first_fault[128];				 /* written by who raises faults from 0; read after the join */

/* ---- The replaced functions ---- */

static bool in_library(const void *code, const char *name)
{
	Dl_info info;
	return dladdr(code, &info) != 0 && info.dli_fname != NULL && strstr(info.dli_fname, name) != NULL;
}

static void note(const char *function, size_t bytes, const void *caller)
{
	if (!atomic_load_explicit(&armed, memory_order_relaxed) || exempt)
		return;
	char thread[16] = "";
	prctl(PR_GET_NAME, thread);
	if (atomic_load_explicit(&decoders_exempt, memory_order_relaxed) && strncmp(thread, "decode", 6) == 0) {
		atomic_fetch_add_explicit(&decode_allowed, 1, memory_order_relaxed);
		return;
	}
	if (in_library(caller, "libopenblas")) {
		atomic_fetch_add_explicit(&blas_allowed, 1, memory_order_relaxed);
		return;
	}
	if (atomic_fetch_add_explicit(&faults, 1, memory_order_relaxed) == 0)
		snprintf(first_fault, sizeof first_fault, "thread %s: %s of %zu bytes in step %u", thread, function,
			bytes, steps);
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the C library's have underscores */
/* glibc's own, under their second names. */
void *__libc_malloc(size_t bytes);		       /* NOLINT(bugprone-reserved-identifier): glibc's name */
void *__libc_calloc(size_t count, size_t bytes);       /* NOLINT(bugprone-reserved-identifier): glibc's name */
void *__libc_realloc(void *memory, size_t bytes);      /* NOLINT(bugprone-reserved-identifier): glibc's name */
void *__libc_memalign(size_t alignment, size_t bytes); /* NOLINT(bugprone-reserved-identifier): glibc's name */

__attribute__((visibility("default"))) void *malloc(size_t bytes)
{
	note("malloc", bytes, __builtin_return_address(0));
	return __libc_malloc(bytes);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t bytes)
{
	note("calloc", count * bytes, __builtin_return_address(0));
	return __libc_calloc(count, bytes);
}

__attribute__((visibility("default"))) void *realloc(void *memory, size_t bytes)
{
	note("realloc", bytes, __builtin_return_address(0));
	return __libc_realloc(memory, bytes);
}

void *memalign(size_t alignment, size_t bytes);
__attribute__((visibility("default"))) void *memalign(size_t alignment, size_t bytes)
{
	note("memalign", bytes, __builtin_return_address(0));
	return __libc_memalign(alignment, bytes);
}

__attribute__((visibility("default"))) void *aligned_alloc(size_t alignment, size_t bytes)
{
	note("aligned_alloc", bytes, __builtin_return_address(0));
	return __libc_memalign(alignment, bytes);
}

__attribute__((visibility("default"))) int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
	note("posix_memalign", bytes, __builtin_return_address(0));
	*memory = __libc_memalign(alignment, bytes);
	return *memory == NULL ? ENOMEM : 0;
}

__attribute__((visibility("default"))) void *mmap(
	void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	note("mmap", bytes, __builtin_return_address(0));
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): a system call returns a number */
	return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
#endif

/* ---- The wrapped functions ---- */

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names */
void __real_net_forward(
	struct net *net, struct team *team, const float *x, uint32_t rows, enum net_mode mode, bool with_head);
void __wrap_net_forward(
	struct net *net, struct team *team, const float *x, uint32_t rows, enum net_mode mode, bool with_head);
int __real_checkpoint_save(const char *path, struct net *net, struct optimizer *optimizer,
	const struct checkpoint_about *about, struct error *err);
int __wrap_checkpoint_save(const char *path, struct net *net, struct optimizer *optimizer,
	const struct checkpoint_about *about, struct error *err);
void __real_placement_pin_self(const struct placement *placement, int cpu);
void __wrap_placement_pin_self(const struct placement *placement, int cpu);
int __real_trainer_run(struct trainer *trainer, struct placement *placement, struct error *err);
int __wrap_trainer_run(struct trainer *trainer, struct placement *placement, struct error *err);

void __wrap_net_forward(
	struct net *net, struct team *team, const float *x, uint32_t rows, enum net_mode mode, bool with_head)
{
	steps++;
	atomic_store_explicit(&armed, true, memory_order_relaxed);
	__real_net_forward(net, team, x, rows, mode, with_head);
}

int __wrap_checkpoint_save(const char *path, struct net *net, struct optimizer *optimizer,
	const struct checkpoint_about *about, struct error *err)
{
	exempt = true;
	int code = __real_checkpoint_save(path, net, optimizer, about, err);
	exempt = false;
	return code;
}

void __wrap_placement_pin_self(const struct placement *placement, int cpu)
{
	exempt = true;
	__real_placement_pin_self(placement, cpu);
	exempt = false;
}

int __wrap_trainer_run(struct trainer *trainer, struct placement *placement, struct error *err)
{
	int code = __real_trainer_run(trainer, placement, err);
	atomic_store_explicit(&armed, false, memory_order_relaxed);
	return code;
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* ---- Runs ---- */

static char *folder, *png, *raw, *jpeg; /* a folder; shards of the same images, and of JPEGs of other sizes */

enum { LINE_BYTES = 8192, MOST_THREADS = 3 /* of a team */ };

static void run(int (*command)(int argc, char **argv), const char *line)
{
	static char text[2 * LINE_BYTES];
	char *argv[64];
	int argc = 0;
	snprintf(text, sizeof text, "%s", line);
	for (char *rest = text, *word; (word = strtok_r(rest, " ", &rest)) != NULL;)
		argv[argc++] = word;
	argv[argc] = NULL;
	assert_int_equal(command(argc, argv), EXIT_OK);
}

/* Two epochs of three steps, and checkpoints within them. */
static void train(const char *shard, const char *name, const char *more)
{
#ifdef SANITIZED
	(void)shard, (void)name, (void)more;
	printf("# the sanitizer has replaced malloc itself\n");
	skip();
#else
	char line[2 * LINE_BYTES];
	snprintf(line, sizeof line,
		"train %s -o %s/%s --size 16 --width 0.125 --batch 16 --epochs 2 --head-dim 16 --checkpoint-every 2 %s",
		shard, folder, name, more);
	steps = 0;
	atomic_store(&faults, 0);
	atomic_store(&decode_allowed, 0);
	run(command_train, line);
	assert_int_equal(steps, 6);
	if (atomic_load(&faults) > 0)
		print_error("%u allocations while steps ran; the first: %s\n", atomic_load(&faults), first_fault);
	assert_int_equal(atomic_load(&faults), 0);
	/* Not at every step. */
	assert_true(atomic_load(&blas_allowed) <= MOST_THREADS);
#endif
}

static void test_raw_pixels(void **state)
{
	(void)state;
	atomic_store(&decoders_exempt, false);
	train(raw, "raw", "--threads 2 --loader-threads 2 --tensorboard");
	train(raw, "probe", "--threads 2 --loader-threads 1 --probe --quiet");
	train(raw, "pread", "--threads 1 --loader-threads 1 --io pread --quiet");
}

/* The cache is off: it keeps whole images, which libjpeg decodes. */
static void test_baseline_jpeg(void **state)
{
	(void)state;
	atomic_store(&decoders_exempt, false);
	train(jpeg, "jpeg", "--threads 2 --loader-threads 2 --cache none");
}

/* A picture that no table or buffer is too small for by accident: noise on slopes. */
static void *make_jpeg(uint32_t width, uint32_t height, int quality, size_t *bytes)
{
	uint8_t *rgb = malloc((size_t)width * height * 3);
	assert_non_null(rgb);
	for (size_t i = 0; i < (size_t)width * height * 3; i++)
		rgb[i] = (uint8_t)(i / 3 % width + i * i % 31);
	void *data;
	assert_int_equal(codec_encode_jpeg(rgb, width, height, quality, &data, bytes, NULL), 0);
	free(rgb);
	return data;
}

/* Every sampling and scale, at the reserved width and below. */
static void test_reserved_decoder(void **state)
{
	(void)state;
#ifdef SANITIZED
	skip();
#else
	enum { WIDTHS = 5, HEIGHT = 40 };
	static const uint32_t widths[WIDTHS] = {1, 255, 256, 257, 1000};
	for (unsigned i = 0; i < WIDTHS; i++) {
		const uint32_t width = widths[i];
		const size_t capacity = codec_region_bytes(width, HEIGHT);
		uint8_t *buffer = malloc(capacity);
		for (unsigned isa = 0; isa <= (unsigned)cpu_detect(); isa++) {
			size_t bytes[2];
			void *data[2] = {
				make_jpeg(width, HEIGHT, 80, &bytes[0]), make_jpeg(width, HEIGHT, 95, &bytes[1])};
			struct codec_context *context = codec_context_create((enum cpu_isa)isa, NULL);
			assert_int_equal(codec_context_reserve(context, SHARD_JPEG, width, bytes[1], NULL), 0);
			atomic_store(&faults, 0);
			atomic_store(&armed, true);
			int failures = 0;
			for (unsigned call = 0; call < 8; call++) {
				const struct codec_region whole = {
					.width = width, .height = HEIGHT, .scale = 1U << call / 2};
				struct codec_pixels made;
				failures += codec_decode_region(context, SHARD_JPEG, data[call % 2], bytes[call % 2],
						    width, HEIGHT, &whole, buffer, capacity, &made, NULL) != 0;
				failures += codec_check(context, SHARD_JPEG, data[call % 2], bytes[call % 2], width,
						    HEIGHT, NULL, NULL) != 0;
			}
			atomic_store(&armed, false);
			assert_int_equal(failures, 0);
			if (atomic_load(&faults) > 0)
				fail_msg("width %u: %s", width, first_fault);
			codec_context_destroy(context);
			free(data[0]);
			free(data[1]);
		}
		free(buffer);
	}
#endif
}

static void test_images(void **state)
{
	(void)state;
	atomic_store(&decoders_exempt, true);
	char more[LINE_BYTES];
	snprintf(more, sizeof more, "--threads 3 --loader-threads 2 --quiet --trace %s/trace.json", folder);
	train(png, "png", more);
#ifndef SANITIZED
	/* That this test sees what it looks for: libspng does allocate. */
	assert_true(atomic_load(&decode_allowed) > 0);
#endif
}

static void test_kernels(void **state)
{
	(void)state;
	static const char *const choices[] = {"--loss cross-entropy --label-fraction 0.97",
		"--optimizer adam --head mlp3", "--optimizer sgd --isa portable", "--precision bf16 --conv direct",
		"--precision bf16 --conv winograd", "--conv winograd",
		"--model resnet50 --head linear --stem imagenet"};
	atomic_store(&decoders_exempt, false);
	for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
		char name[16], more[128];
		snprintf(name, sizeof name, "choice%zu", i);
		snprintf(more, sizeof more, "--threads 2 --quiet %s", choices[i]);
		train(raw, name, more);
	}
}

static int set_up(void **state)
{
	(void)state;
	char line[LINE_BYTES];
	folder = helper_folder_make();
	jpeg = helper_path(folder, "jpeg.ring");
	png = helper_path(folder, "png.ring");
	raw = helper_path(folder, "raw.ring");
	snprintf(line, sizeof line, "synth %s/images --train 50 --test 10 --size 16", folder);
	run(command_synth, line);
	snprintf(line, sizeof line, "pack %s/images --root train -o %s", folder, png);
	run(command_pack, line);
	snprintf(line, sizeof line, "pack %s/images --root train --codec raw -o %s", folder, raw);
	run(command_pack, line);
	char *photos = helper_path(folder, "photos/all");
	snprintf(line, sizeof line, "mkdir -p %s", photos);
	assert_int_equal(system(line), 0); /* NOLINT(cert-env33-c): a folder of the test's own */
	for (uint32_t i = 0; i < 50; i++) {
		char name[16];
		size_t bytes;
		void *data = make_jpeg(20 + i * 7, 300 - i * 5, i % 2 == 0 ? 80 : 95, &bytes);
		snprintf(name, sizeof name, "%u.jpg", i);
		char *path = helper_path(photos, name);
		helper_file_write(path, data, bytes);
		free(path);
		free(data);
	}
	free(photos);
	snprintf(line, sizeof line, "pack %s/photos -o %s", folder, jpeg);
	run(command_pack, line);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(png);
	free(raw);
	free(jpeg);
	helper_folder_remove(folder);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raw_pixels),
		cmocka_unit_test(test_baseline_jpeg),
		cmocka_unit_test(test_reserved_decoder),
		cmocka_unit_test(test_images),
		cmocka_unit_test(test_kernels),
	};
	return cmocka_run_group_tests_name("allocation", tests, set_up, tear_down);
}
