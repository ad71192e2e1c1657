/* SPDX-License-Identifier: Apache-2.0 */
/* A net with its arena and team, for tests: made, run and compared. */
#ifndef RINGCLR_TESTS_HELPER_NET_H
#define RINGCLR_TESTS_HELPER_NET_H

#include <stddef.h>
#include <stdint.h>

#include "model/net.h"
#include "pipeline/arena.h"
#include "pipeline/team.h"

struct net_fixture {
	struct arena *arena;
	struct team *team;
	struct net *net;
};

/* Fails the test when anything cannot be made. */
void net_fixture_create(struct net_fixture *fixture, const struct net_config *config, unsigned threads);
void net_fixture_destroy(struct net_fixture *fixture);

/* Random images, and a target for z: the loss is sum of (z - target)^2 / (2 rows). */
struct net_data {
	float *x, *target, *dz;
	size_t x_count, z_count;
};

void net_data_make(struct net_data *data, const struct net *net, const struct net_config *config);
void net_data_free(struct net_data *data);

/* Forward in training; returns the loss and fills dz with its gradient. */
double net_data_loss(struct net_fixture *f, struct net_data *data, uint32_t rows);

/* FNV-1a over bits: of numbers, from another's hash on; of everything a step leaves behind. */
uint64_t net_digest_floats(uint64_t hash, const float *values, size_t count);
uint64_t net_digest(struct net *net, uint32_t rows);

/* Random numbers from a stream of the test's own: uniform in [low, high). */
void helper_net_fill(float *out, size_t count, uint64_t stream, float low, float high);

/* Random weights that keep activations of every layer near unit size: net_init()'s for convolutions and dense layers
 * 1/sqrt(in), gamma in [0.5, 1.5), beta in [-0.5, 0.5). */
void helper_randomise(struct net *net, uint64_t seed);

/* |a - b| / |b| in the Euclidean norm; |a| when b is zero. */
double helper_distance(const float *a, const double *b, size_t count);

#endif
