/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the tests of loss, optimizer and probes: numbers that a Python script can make again, and dumps for it. */
#ifndef RINGCLR_TESTS_HELPER_TRAIN_H
#define RINGCLR_TESTS_HELPER_TRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "model/probe.h"

/* A linear congruential generator's next number in [-1, 1), exact in float32: state = 1664525 state + 1013904223, the
 * upper 24 bits. */
float helper_next(uint32_t *state);
void helper_fill(float *out, size_t count, uint32_t seed);

/* Writes DIR/NAME; stops the test program when it cannot. */
void helper_dump(const char *dir, const char *name, const void *data, size_t size_bytes);

/* |a - b| / |b|, norms in float64. */
double helper_relative(const float *a, const double *b, size_t count);

/* Of two rows, in float64; as of length 1e-12 where shorter. */
double helper_cosine(const float *a, const float *b, unsigned dim);

struct helper_data {
	float *features;
	int32_t *labels;
	struct probe_data probe;
};

/* Overlapping clouds: class means `spread` apart from their common centre. spread 0: labels mean nothing. `sample`
 * numbers independent draws around the same centres. */
struct helper_data helper_data_create(size_t count, unsigned dim, unsigned classes, double spread, uint64_t sample);
void helper_data_destroy(struct helper_data *data);

/* A team whose threads float. */
struct team *helper_team(unsigned threads);

#endif
