/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A value below 16 is its own bucket. Above, the position e >= 4 of its highest bit and the 4 bits behind that make the
 * number of the bucket, (e - 3) * 16 + bits: a bucket is 2^(e - 4) wide. A floating-point number with a 4-bit mantissa,
 * read as an integer.
 */
#include "pipeline/histogram.h"

enum { PARTS = 1 << HISTOGRAM_PARTS_LOG2 };

unsigned histogram_bucket(uint64_t value)
{
	if (value < PARTS)
		return (unsigned)value;
	unsigned top = 63U - (unsigned)__builtin_clzll(value), shift = top - HISTOGRAM_PARTS_LOG2;
	unsigned bucket = (shift + 1) * PARTS + (unsigned)(value >> shift & (PARTS - 1));
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

uint64_t histogram_bucket_start(unsigned bucket)
{
	if (bucket < PARTS)
		return bucket;
	return (uint64_t)(PARTS + bucket % PARTS) << (bucket / PARTS - 1);
}

static void raise(struct histogram *histogram, unsigned bucket, uint32_t by)
{
	uint32_t count = atomic_load_explicit(&histogram->count[bucket], memory_order_relaxed);
	uint32_t sum = by > UINT32_MAX - count ? UINT32_MAX : count + by;
	atomic_store_explicit(&histogram->count[bucket], sum, memory_order_relaxed);
}

static void raise_most(struct histogram *histogram, uint64_t value)
{
	if (value > atomic_load_explicit(&histogram->most, memory_order_relaxed))
		atomic_store_explicit(&histogram->most, value, memory_order_relaxed);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	raise(histogram, histogram_bucket(value), 1);
	raise_most(histogram, value);
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint32_t count = atomic_load_explicit(&from->count[i], memory_order_relaxed);
		if (count > 0)
			raise(to, i, count);
	}
	raise_most(to, atomic_load_explicit(&from->most, memory_order_relaxed));
}

uint64_t histogram_total(const struct histogram *histogram)
{
	uint64_t total = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += atomic_load_explicit(&histogram->count[i], memory_order_relaxed);
	return total;
}

uint64_t histogram_percentile(const struct histogram *histogram, double share)
{
	uint64_t total = histogram_total(histogram), seen = 0;
	uint64_t most = atomic_load_explicit(&histogram->most, memory_order_relaxed);
	double wanted = share * (double)total;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint32_t count = atomic_load_explicit(&histogram->count[i], memory_order_relaxed);
		seen += count;
		if (count == 0 || (double)seen < wanted)
			continue;
		uint64_t start = histogram_bucket_start(i), middle = (start + histogram_bucket_start(i + 1) - 1) / 2;
		return middle < most ? middle : most;
	}
	return most;
}
