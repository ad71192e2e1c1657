/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The read engine: many reads in flight into memory that the caller owns, completed in any order.
 *
 * Two implementations behind one table: io_uring (fixed files; registered buffers, so that the kernel reads straight
 * into a ring's slots) and pread (a read happens in engine_submit()). One thread uses an engine. Short reads are
 * continued, EINTR and EAGAIN retried, inside: a completion is whole or an error.
 */
#ifndef RINGCLR_IO_ENGINE_H
#define RINGCLR_IO_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "pipeline/error.h"
#include "pipeline/histogram.h"

enum engine_kind { ENGINE_AUTO, ENGINE_URING, ENGINE_PREAD };

struct engine_config {
	enum engine_kind kind; /* AUTO: io_uring, or pread with one line on stderr saying why */
	unsigned depth;	       /* reads in flight at most; 0: 32 */
	const int *files;      /* descriptors; registered with io_uring. Reads name them by index */
	unsigned file_count;
	const char *const *paths;    /* file_count names, for messages; must outlive the engine */
	const struct iovec *buffers; /* memory that reads go to, to be registered; may be NULL */
	unsigned buffer_count;
};

struct engine_read {
	unsigned file; /* index into files */
	int buffer;    /* index into buffers that `memory` lies in, or -1 */
	void *memory;  /* with O_DIRECT files: memory, bytes and offset are multiples of 4096 */
	size_t bytes;  /* reading past the end of the file is an error, except that an O_DIRECT tail may be short by
			  up to `slack` bytes */
	size_t slack;
	uint64_t offset;
	uint64_t tag; /* comes back with the completion */
};

struct engine;

struct engine *engine_create(const struct engine_config *config, struct error *err);
void engine_destroy(struct engine *engine); /* waits for reads in flight; NULL is allowed */

/* "uring" or "pread": what was taken. */
const char *engine_name(const struct engine *engine);
/* True when buffers are registered (RLIMIT_MEMLOCK may forbid it: reads then go unregistered, which is no error). */
bool engine_registered(const struct engine *engine);

/* Starts a read. The caller keeps at most `depth` in flight. */
int engine_submit(struct engine *engine, const struct engine_read *read, struct error *err);

/* Waits until a read ends and gives its tag; returns 0, or the code of the failed read (message names file and offset).
 */
int engine_wait(struct engine *engine, uint64_t *tag, struct error *err);

unsigned engine_in_flight(const struct engine *engine);
unsigned engine_depth(const struct engine *engine);

/* Times from a read's submission to its completion being seen (pread: of the calls), in nanoseconds; and how many reads
 * were in flight, as a mean over the time in which any was. Both since the engine was made. */
const struct histogram *engine_latencies(const struct engine *engine);
double engine_mean_depth(const struct engine *engine);

#endif
