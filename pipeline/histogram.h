/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A histogram of times, log-linear: each power of two is cut into 16 equal buckets, so that a percentile is right to
 * one part in 32 from 16 ns to 18 minutes (below that exactly; above that the last bucket takes all). Fixed size, one
 * writer; anyone may read, and sees a slightly stale count (relaxed atomics).
 */
#ifndef RINGCLR_PIPELINE_HISTOGRAM_H
#define RINGCLR_PIPELINE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum { HISTOGRAM_PARTS_LOG2 = 4, HISTOGRAM_TOP_LOG2 = 40 };
enum { HISTOGRAM_BUCKETS = (HISTOGRAM_TOP_LOG2 - HISTOGRAM_PARTS_LOG2 + 1) << HISTOGRAM_PARTS_LOG2 };

struct histogram {
	/* Raised by the writer alone, which stops a bucket at UINT32_MAX. */
	_Atomic uint32_t count[HISTOGRAM_BUCKETS];
	_Atomic uint64_t most;
};

/* By the writer. */
void histogram_add(struct histogram *histogram, uint64_t value);

/* Adds all that `from` holds; by `to`'s writer. */
void histogram_merge(struct histogram *to, const struct histogram *from);

uint64_t histogram_total(const struct histogram *histogram);

/* The value that `share` (0..1) of all values do not exceed: the middle of its bucket, never above the largest value
 * seen. 0 when there are none. */
uint64_t histogram_percentile(const struct histogram *histogram, double share);

/* Bucket of a value; first value of a bucket (that of HISTOGRAM_BUCKETS is the first beyond all). */
unsigned histogram_bucket(uint64_t value);
uint64_t histogram_bucket_start(unsigned bucket);

#endif
