/* SPDX-License-Identifier: Apache-2.0 */
/* What ring.c and team.c wait with: the processor's pause, and sleeping in the kernel on a 32-bit word (futex(2)). */
#ifndef RINGCLR_PIPELINE_WAIT_H
#define RINGCLR_PIPELINE_WAIT_H

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline void wait_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* Sleeps if *word still is `value`, the two as one step. May return at any time for any reason: the caller tests again.
 */
static inline void wait_sleep(_Atomic uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

/* Wakes all that sleep on word. */
static inline void wait_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

#endif
