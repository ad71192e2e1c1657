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

/* Random numbers from a stream of the test's own: uniform in [low, high). */
void helper_net_fill(float *out, size_t count, uint64_t stream, float low, float high);

/* Random weights that keep activations of every layer near unit size: net_init()'s for convolutions and dense layers
 * 1/sqrt(in), gamma in [0.5, 1.5), beta in [-0.5, 0.5). */
void helper_randomise(struct net *net, uint64_t seed);

/* |a - b| / |b| in the Euclidean norm; |a| when b is zero. */
double helper_distance(const float *a, const double *b, size_t count);

#endif
