/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map: groups stay apart, neighbours stay neighbours, the divergence falls, any team gives the same bytes, and what
 * cannot be mapped is refused. `test_tsne --map FILE COUNT DIM PERPLEXITY` maps float32 rows and prints the divergence
 * and the places, for a comparison.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/tsne.h"
#include "pipeline/philox.h"
#include "tests/helper_train.h"

enum { COUNT = 203, DIM = 19, GROUPS = 4 }; /* odd, so that lanes and tasks have ends */

static const struct tsne_config short_run = {.perplexity = 20, .iterations = 300, .seed = 1};

/* Gaussian clouds of deviation 1 with centres `spread` apart from 0; group of point i: i % GROUPS. */
static float *clouds(double spread)
{
	float *x = malloc((size_t)COUNT * DIM * sizeof *x);
	assert_non_null(x);
	for (size_t i = 0; i < COUNT; i++) {
		struct philox stream = philox_stream(1, 0, i, 0, PHILOX_TEST);
		for (unsigned c = 0; c < DIM; c++)
			x[i * DIM + c] = (float)(philox_normal(&stream) + (c % GROUPS == i % GROUPS ? spread : 0));
	}
	return x;
}

static double make(const float *x, unsigned threads, const struct tsne_config *config, float map[2 * COUNT])
{
	struct team *team = helper_team(threads);
	struct error err = {0};
	double divergence = -1;
	assert_int_equal(tsne_map(team, x, COUNT, DIM, config, map, &divergence, &err), 0);
	team_destroy(team);
	return divergence;
}

static double distance(const float *a, const float *b)
{
	return hypot((double)a[0] - (double)b[0], (double)a[1] - (double)b[1]);
}

/* Share of points whose nearest on the map is of their group. */
static double kept_together(const float *map)
{
	unsigned right = 0;
	for (size_t i = 0; i < COUNT; i++) {
		size_t nearest = i == 0;
		for (size_t j = 0; j < COUNT; j++)
			if (j != i && distance(map + 2 * i, map + 2 * j) < distance(map + 2 * i, map + 2 * nearest))
				nearest = j;
		right += nearest % GROUPS == i % GROUPS;
	}
	return (double)right / COUNT;
}

static void test_groups(void **state)
{
	(void)state;
	float *x = clouds(8), map[2 * COUNT];
	make(x, 2, &short_run, map);
	assert_true(kept_together(map) == 1);
	/* Every group lies closer to its own centre than any two centres to each other. */
	double centre[GROUPS][2] = {{0}}, widest = 0, closest = INFINITY;
	unsigned members[GROUPS] = {0};
	for (size_t i = 0; i < COUNT; i++) {
		centre[i % GROUPS][0] += (double)map[2 * i];
		centre[i % GROUPS][1] += (double)map[2 * i + 1];
		members[i % GROUPS]++;
	}
	for (unsigned g = 0; g < GROUPS; g++)
		for (unsigned axis = 0; axis < 2; axis++)
			centre[g][axis] /= members[g];
	for (size_t i = 0; i < COUNT; i++)
		widest = fmax(widest, hypot((double)map[2 * i] - centre[i % GROUPS][0],
					      (double)map[2 * i + 1] - centre[i % GROUPS][1]));
	for (unsigned g = 0; g < GROUPS; g++)
		for (unsigned h = 0; h < g; h++)
			closest = fmin(closest, hypot(centre[g][0] - centre[h][0], centre[g][1] - centre[h][1]));
	assert_true(closest > 2 * widest);
	free(x);
}

static void test_divergence_falls(void **state)
{
	(void)state;
	float *x = clouds(1), map[2 * COUNT];
	double last = INFINITY;
	static const unsigned iterations[] = {1, 60, 250, 1000};
	for (size_t i = 0; i < sizeof iterations / sizeof iterations[0]; i++) {
		struct tsne_config config = {.perplexity = 20, .iterations = iterations[i], .seed = 1};
		double divergence = make(x, 2, &config, map);
		assert_true(divergence > 0 && divergence < last);
		last = divergence;
	}
	/* All points at the start: Q is even, and the divergence that of P from it. */
	assert_true(last < 1.5);
	free(x);
}

static void test_any_team(void **state)
{
	(void)state;
	float *x = clouds(2), one[2 * COUNT], other[2 * COUNT];
	struct tsne_config config = {.perplexity = 20, .iterations = 60, .seed = 1};
	double divergence = make(x, 1, &config, one);
	for (unsigned threads = 2; threads <= 5; threads++) {
		assert_true(make(x, threads, &config, other) == divergence);
		assert_memory_equal(one, other, sizeof one);
	}
	config.seed = 2;
	make(x, 1, &config, other);
	assert_memory_not_equal(one, other, sizeof one);
	free(x);
}

static bool always(void)
{
	return true;
}

static void test_odd_input(void **state)
{
	(void)state;
	float *x = calloc((size_t)COUNT * DIM, sizeof *x), map[2 * COUNT];
	assert_non_null(x);
	/* All the same: no direction, and still a finite map. */
	make(x, 1, &short_run, map);
	for (size_t i = 0; i < (size_t)2 * COUNT; i++)
		assert_true(isfinite(map[i]));
	struct team *team = helper_team(1);
	struct error err = {0};
	double divergence;
	assert_int_equal(tsne_map(team, x, 3, DIM, &short_run, map, &divergence, &err), ERROR_USAGE);
	/* Four points, perplexity cut to what they have. */
	assert_int_equal(tsne_map(team, x, 4, DIM, &short_run, map, &divergence, &err), 0);
	struct tsne_config stopped = short_run;
	stopped.stopped = always;
	assert_int_equal(tsne_map(team, x, COUNT, DIM, &stopped, map, &divergence, &err), ERROR_INTERRUPTED);
	err = (struct error){0};
	x[5 * DIM] = NAN;
	assert_int_equal(tsne_map(team, x, COUNT, DIM, &short_run, map, &divergence, &err), ERROR_NUMERIC);
	assert_non_null(strstr(err.message, "image 5"));
	team_destroy(team);
	free(x);
}

static int map_file(char **argv)
{
	size_t count = strtoul(argv[3], NULL, 10), dim = strtoul(argv[4], NULL, 10);
	struct tsne_config config = {.perplexity = strtod(argv[5], NULL), .seed = 1};
	float *x = malloc(count * dim * sizeof *x), *map = malloc(2 * count * sizeof *map);
	FILE *file = fopen(argv[2], "re");
	struct error err = {0};
	double divergence = 0;
	bool good = x && map && file && fread(x, sizeof *x, count * dim, file) == count * dim;
	struct team *team = good ? team_create(2, NULL, &err) : NULL;
	good = team && tsne_map(team, x, count, (unsigned)dim, &config, map, &divergence, &err) == 0;
	if (good)
		printf("%.9g\n", divergence);
	for (size_t i = 0; good && i < count; i++)
		printf("%.9g %.9g\n", (double)map[2 * i], (double)map[2 * i + 1]);
	if (!good)
		fprintf(stderr, "test_tsne --map: %s\n", err.message);
	team_destroy(team);
	if (file)
		fclose(file);
	free(x);
	free(map);
	return good ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "--map") == 0)
		return map_file(argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_divergence_falls),
		cmocka_unit_test(test_any_team),
		cmocka_unit_test(test_odd_input),
	};
	return cmocka_run_group_tests_name("tsne", tests, NULL, NULL);
}
