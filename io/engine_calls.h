/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of the read engine, as a table, so that a test can make them fail: reads that come up short, EINTR,
 * EIO, a kernel without io_uring, a limit on locked memory. Nothing else changes it.
 */
#ifndef RINGCLR_IO_ENGINE_CALLS_H
#define RINGCLR_IO_ENGINE_CALLS_H

#include <liburing.h>
#include <sys/types.h>

struct engine_calls {
	ssize_t (*pread)(int fd, void *memory, size_t bytes, off_t offset);
	int (*ring_init)(unsigned entries, struct io_uring *ring, unsigned flags);
	int (*ring_register_buffers)(struct io_uring *ring, const struct iovec *buffers, unsigned count);
	int (*ring_submit)(struct io_uring *ring);
	int (*ring_wait)(struct io_uring *ring, struct io_uring_cqe **entry);
};

extern struct engine_calls engine_calls;

#endif
