/* SPDX-License-Identifier: Apache-2.0 */
/* Every record once an epoch, in every order, and evenly mixed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/epoch_plan.h"
#include "pipeline/philox.h"
#include "tests/helper_files.h"
#include "tests/helper_shard.h"

/* ---- the permutation ---- */

static void key_of(uint32_t seed, uint32_t key[4])
{
	struct philox random = philox_stream(seed, 0, 0, 0, PHILOX_TEST);
	for (int i = 0; i < 4; i++)
		key[i] = philox_u32(&random);
}

static void test_bijective(void **state)
{
	(void)state;
	static const uint32_t sizes[] = {1, 2, 3, 4, 5, 7, 15, 16, 17, 100, 255, 256, 257, 1023, 1024, 1025, 4097,
		50000, 65535, 65536, 65537, 262145};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (uint32_t seed = 0; seed < (sizes[i] < 10000 ? 3 : 1); seed++) {
			uint32_t key[4], n = sizes[i];
			unsigned char *seen = calloc(n, 1);
			key_of(seed, key);
			for (uint32_t x = 0; x < n; x++) {
				uint64_t y = epoch_permute(x, n, key);
				assert_true(y < n);
				assert_false(seen[y]);
				seen[y] = 1;
			}
			free(seen);
		}
}

/* All n! orders of small n are about equally likely. 99.9% quantile of chi-squared by Wilson and Hilferty. */
static double chi_squared_limit(double freedom)
{
	double t = 2.0 / (9.0 * freedom), root = 1.0 - t + 3.0902 * __builtin_sqrt(t);
	return freedom * root * root * root;
}

static void test_orders_equally_likely(void **state)
{
	(void)state;
	enum { TRIALS = 6000 };
	for (uint32_t n = 2; n <= 5; n++) {
		uint32_t orders = n == 2 ? 2 : n == 3 ? 6 : n == 4 ? 24 : 120, counts[120] = {0};
		for (uint32_t trial = 0; trial < TRIALS; trial++) {
			uint32_t key[4], code = 0, used[5] = {0};
			key_of(trial, key);
			for (uint32_t x = 0; x < n; x++) { /* Lehmer code */
				uint32_t y = (uint32_t)epoch_permute(x, n, key), rank = 0;
				for (uint32_t smaller = 0; smaller < y; smaller++)
					rank += !used[smaller];
				used[y] = 1;
				code = code * (n - x) + rank;
			}
			counts[code]++;
		}
		double expected = (double)TRIALS / orders, chi = 0;
		for (uint32_t i = 0; i < orders; i++)
			chi += (counts[i] - expected) * (counts[i] - expected) / expected;
		assert_true(chi < chi_squared_limit(orders - 1));
	}
}

/*
 * Over many keys a position goes anywhere with the same probability, and so does a neighbouring pair's distance:
 * chi-squared over 64 bins each.
 */
static void test_positions_uniform(void **state)
{
	(void)state;
	enum { BINS = 64, TRIALS = 64 * 200 };
	static const uint32_t sizes[] = {64, 255, 256, 257, 1000, 50000, 1281167};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		uint32_t n = sizes[i], places[BINS] = {0}, distances[BINS] = {0}, mass[BINS] = {0};
		/* How many of 0..n-1 fall into each bin, when n is no multiple of 64. */
		for (uint32_t y = 0; y < n; y++)
			mass[(uint64_t)y * BINS / n]++;
		for (uint32_t trial = 0; trial < TRIALS; trial++) {
			uint32_t key[4];
			key_of(trial + 1000000, key);
			uint32_t x = trial % 5 == 0 ? 0 : n / 2;
			uint64_t a = epoch_permute(x, n, key), b = epoch_permute(x + 1, n, key);
			places[a * BINS / n]++;
			distances[(a + n - b) % n * BINS / n]++;
		}
		double chi_place = 0, chi_distance = 0;
		for (int bin = 0; bin < BINS; bin++) {
			double place = (double)TRIALS * mass[bin] / n;
			/* A distance is never 0: one value less in the first bin. */
			double distance = (double)TRIALS * (mass[bin] - (bin == 0)) / (n - 1);
			chi_place += (places[bin] - place) * (places[bin] - place) / place;
			if (distance > 0)
				chi_distance += (distances[bin] - distance) * (distances[bin] - distance) / distance;
		}
		assert_true(chi_place < chi_squared_limit(BINS - 1));
		assert_true(chi_distance < chi_squared_limit(BINS - 1));
	}
}

/* Part of every result: a change here changes every training run. */
static void test_known_values(void **state)
{
	(void)state;
	static const uint32_t key[4] = {1, 2, 3, 4};
	static const uint64_t expected[8] = {91, 152, 920, 937, 584, 840, 564, 814};
	for (uint64_t x = 0; x < 8; x++)
		assert_int_equal(epoch_permute(x, 1000, key), expected[x]);
	assert_int_equal(epoch_permute(12345678901, UINT64_C(1) << 40, key), UINT64_C(442072940005));
}

/* ---- plans over shards ---- */

struct data_set {
	char *folder;
	char *paths[4];
	struct shard_set *set;
};

/* Shards whose blocks hold very different numbers of records. */
static struct data_set data_set_make(uint32_t seed, unsigned shards, uint32_t max_records)
{
	struct data_set data = {.folder = helper_folder_make()};
	struct philox random = philox_stream(seed, 1, 0, 0, PHILOX_TEST);
	struct error err = {0};
	for (unsigned i = 0; i < shards; i++) {
		char name[20];
		snprintf(name, sizeof name, "%u.ring", i);
		data.paths[i] = helper_path(data.folder, name);
		struct helper_records records =
			helper_records_make(&random, name, 1 + philox_below(&random, max_records), 0, 300);
		struct shard_writer_config config = {
			.path = data.paths[i], .block_bytes = 200 + philox_below(&random, 3000)};
		assert_int_equal(helper_shard_write(&records, &config, &err), 0);
		helper_records_free(&records);
	}
	data.set = shard_set_open((const char *const *)data.paths, shards, false, &err);
	assert_non_null(data.set);
	return data;
}

static void data_set_free(struct data_set *data)
{
	shard_set_close(data->set);
	for (int i = 0; i < 4; i++)
		free(data->paths[i]);
	helper_folder_remove(data->folder);
}

static struct epoch_plan *plan_make(const struct shard_set *set, struct epoch_plan_config config)
{
	struct error err = {0};
	struct epoch_plan *plan = epoch_plan_create(set, &config, &err);
	if (plan == NULL)
		fail_msg("%s", err.message);
	return plan;
}

/* Sorted records of an epoch, malloc'd: length of them, none twice. */
static unsigned char *records_of(const struct shard_set *set, const struct epoch_plan *plan, uint32_t epoch)
{
	unsigned char *seen = calloc(shard_set_records(set), 1);
	for (uint64_t p = 0; p < epoch_plan_length(plan); p++) {
		uint64_t record = epoch_plan_record(plan, epoch, p);
		assert_true(record < shard_set_records(set));
		assert_false(seen[record]);
		seen[record] = 1;
	}
	return seen;
}

/*
 * Groups ascend without a gap, serve every position once, and each position's record lies in a block of its group;
 * every block of a group is needed, and no block is read twice where the order promises that.
 */
static void check_groups(
	const struct shard_set *set, const struct epoch_plan *plan, enum epoch_order order, uint32_t epoch)
{
	uint64_t at = 0, most = 0;
	uint32_t most_blocks = 0;
	unsigned char *read[4] = {NULL};
	for (unsigned s = 0; s < shard_set_count(set); s++)
		read[s] = calloc(shard_blocks(shard_set_at(set, s)), 1);
	for (uint64_t g = 0; g < epoch_plan_groups(plan); g++) {
		struct epoch_group group;
		unsigned shards[64];
		uint32_t blocks[64];
		unsigned char needed[64] = {0};
		epoch_plan_group(plan, epoch, g, &group);
		assert_int_equal(group.first, at);
		assert_true(group.count > 0 && group.blocks > 0 && group.blocks <= 64);
		for (uint32_t i = 0; i < group.blocks; i++) {
			epoch_plan_block(plan, epoch, g, i, &shards[i], &blocks[i]);
			assert_true(shards[i] < shard_set_count(set));
			assert_true(blocks[i] < shard_blocks(shard_set_at(set, shards[i])));
			assert_true(order == EPOCH_FULL || !read[shards[i]][blocks[i]]);
			read[shards[i]][blocks[i]] = 1;
		}
		for (uint64_t p = at; p < at + group.count; p++) {
			unsigned shard;
			uint32_t local, i = 0;
			shard_set_locate(set, epoch_plan_record(plan, epoch, p), &shard, &local);
			uint32_t block = shard_record(shard_set_at(set, shard), local)->block;
			while (i < group.blocks && (shards[i] != shard || blocks[i] != block))
				i++;
			assert_true(i < group.blocks);
			needed[i] = 1;
		}
		for (uint32_t i = 0; i < group.blocks; i++)
			assert_true(needed[i]);
		at += group.count;
		most = group.count > most ? group.count : most;
		most_blocks = group.blocks > most_blocks ? group.blocks : most_blocks;
	}
	assert_int_equal(at, epoch_plan_length(plan));
	assert_true(most <= epoch_plan_max_positions(plan));
	assert_true(most_blocks <= epoch_plan_max_blocks(plan));
	assert_true(order != EPOCH_WINDOW || most_blocks == epoch_plan_max_blocks(plan));
	for (unsigned s = 0; s < 4; s++)
		free(read[s]);
}

static void test_plans(void **state)
{
	(void)state;
	for (uint32_t seed = 0; seed < 25; seed++) {
		struct philox random = philox_stream(seed, 2, 0, 0, PHILOX_TEST);
		struct data_set data = data_set_make(seed, 1 + seed % 4, seed % 3 == 0 ? 5 : 150);
		uint64_t records = shard_set_records(data.set);
		uint64_t limits[] = {0, 1, 1 + philox_below(&random, (uint32_t)records), records};
		for (int i = 0; i < 4; i++) {
			unsigned char *subset = NULL;
			for (int order = 0; order < 3; order++) {
				struct epoch_plan *plan = plan_make(data.set,
					(struct epoch_plan_config){
						.order = (enum epoch_order)order,
						.seed = seed + 1000u * (unsigned)order,
						.limit = limits[i],
						.subset_seed = 7,
						.window = philox_below(&random, 3) == 0 ? 0
											: 1 + philox_below(&random, 9),
					});
				assert_int_equal(epoch_plan_length(plan), limits[i] == 0 ? records : limits[i]);
				for (uint32_t epoch = 0; epoch < 3; epoch++) {
					unsigned char *seen = records_of(data.set, plan, epoch);
					/* The subset is one for all epochs, orders and seeds. */
					if (subset == NULL)
						subset = seen;
					assert_memory_equal(seen, subset, records);
					if (seen != subset)
						free(seen);
					check_groups(data.set, plan, (enum epoch_order)order, epoch);
				}
				epoch_plan_destroy(plan);
			}
			free(subset);
		}
		data_set_free(&data);
	}
	epoch_plan_destroy(NULL);
}

/* A list of every third record or so, with and without a limit: epochs go through it, or a part of it, and nothing
 * else. A list of all records is no list. */
static void test_lists(void **state)
{
	(void)state;
	for (uint32_t seed = 0; seed < 10; seed++) {
		struct philox random = philox_stream(seed, 3, 0, 0, PHILOX_TEST);
		struct data_set data = data_set_make(seed + 100, 1 + seed % 4, 150);
		uint64_t records = shard_set_records(data.set), count = 0;
		uint64_t *list = calloc(records, sizeof *list);
		unsigned char *member = calloc(records, 1);
		for (uint64_t r = 0; r < records; r++)
			if (philox_below(&random, 3) == 0 || seed == 9 || r == 0) {
				list[count++] = r;
				member[r] = 1;
			}
		for (int limited = 0; limited < 2; limited++) {
			struct epoch_plan_config config = {.seed = seed,
				.window = 3,
				.records = list,
				.record_count = count,
				.limit = limited ? (count + 1) / 2 : 0,
				.subset_seed = 7};
			unsigned char *subset = NULL;
			for (int order = 0; order < 3; order++) {
				config.order = (enum epoch_order)order;
				struct epoch_plan *plan = plan_make(data.set, config);
				assert_int_equal(epoch_plan_length(plan), limited ? (count + 1) / 2 : count);
				unsigned char *seen = records_of(data.set, plan, 1);
				for (uint64_t r = 0; r < records; r++)
					assert_true(!seen[r] || member[r]);
				subset = subset == NULL ? seen : subset;
				assert_memory_equal(seen, subset, records);
				if (seen != subset)
					free(seen);
				check_groups(data.set, plan, config.order, 1);
				if (seed == 9 && !limited) {
					config.records = NULL;
					struct epoch_plan *all = plan_make(data.set, config);
					for (uint64_t p = 0; p < records; p++)
						assert_int_equal(
							epoch_plan_record(all, 2, p), epoch_plan_record(plan, 2, p));
					config.records = list;
					epoch_plan_destroy(all);
				}
				epoch_plan_destroy(plan);
			}
			free(subset);
		}
		struct error err = {0};
		struct epoch_plan_config bad = {.records = list, .record_count = 2};
		list[1] = list[0];
		assert_null(epoch_plan_create(data.set, &bad, &err));
		assert_int_equal(err.code, ERROR_USAGE);
		list[1] = records;
		assert_null(epoch_plan_create(data.set, &bad, &err));
		free(list);
		free(member);
		data_set_free(&data);
	}
}

static uint64_t differences(const struct epoch_plan *a, uint32_t epoch_a, const struct epoch_plan *b, uint32_t epoch_b)
{
	uint64_t count = 0;
	assert_int_equal(epoch_plan_length(a), epoch_plan_length(b));
	for (uint64_t p = 0; p < epoch_plan_length(a); p++)
		count += epoch_plan_record(a, epoch_a, p) != epoch_plan_record(b, epoch_b, p);
	return count;
}

/* Sequential runs forward; the others depend on seed and epoch and on nothing else. */
static void test_seeds_and_epochs(void **state)
{
	(void)state;
	struct data_set data = data_set_make(77, 3, 400);
	uint64_t records = shard_set_records(data.set), half = records / 2;
	for (int limited = 0; limited < 2; limited++) {
		struct epoch_plan_config config = {
			.order = EPOCH_SEQUENTIAL, .limit = limited ? half : 0, .subset_seed = 5};
		struct epoch_plan *plan = plan_make(data.set, config);
		for (uint64_t p = 1; p < epoch_plan_length(plan); p++)
			assert_true(epoch_plan_record(plan, 0, p - 1) < epoch_plan_record(plan, 0, p));
		assert_int_equal(differences(plan, 0, plan, 9), 0);
		epoch_plan_destroy(plan);
		for (int order = EPOCH_FULL; order <= EPOCH_WINDOW; order++) {
			config.order = (enum epoch_order)order;
			config.window = 4;
			config.seed = 1;
			struct epoch_plan *one = plan_make(data.set, config), *again = plan_make(data.set, config);
			config.seed = 2;
			struct epoch_plan *two = plan_make(data.set, config);
			uint64_t length = epoch_plan_length(one);
			assert_int_equal(differences(one, 3, again, 3), 0);
			assert_true(differences(one, 3, two, 3) > length * 9 / 10);
			assert_true(differences(one, 3, one, 4) > length * 9 / 10);
			for (uint64_t p = 0; p < 50; p++) /* epochs in any order, more than are kept at once */
				assert_int_equal(epoch_plan_record(one, (uint32_t)(p * 7 % 5), p),
					epoch_plan_record(again, (uint32_t)(p * 7 % 5), p));
			epoch_plan_destroy(one);
			epoch_plan_destroy(again);
			epoch_plan_destroy(two);
		}
	}
	/* Another subset seed keeps other records. */
	struct epoch_plan *a = plan_make(data.set, (struct epoch_plan_config){.limit = half, .subset_seed = 1});
	struct epoch_plan *b = plan_make(data.set, (struct epoch_plan_config){.limit = half, .subset_seed = 2});
	assert_true(differences(a, 0, b, 0) > half / 2);
	epoch_plan_destroy(a);
	epoch_plan_destroy(b);
	data_set_free(&data);
}

/* Part of every result, like the known values above: the first records of epoch 3 of 200 records in blocks of one. */
static void test_known_orders(void **state)
{
	(void)state;
	static const uint64_t expected[4][6] = {{79, 151, 3, 193, 69, 22}, {5, 189, 26, 8, 34, 89},
		{71, 127, 148, 9, 153, 132}, {4, 9, 15, 18, 21, 22}};
	char *folder = helper_folder_make(), *path = helper_path(folder, "known.ring");
	struct error err = {0};
	struct shard_writer_config shard = {.path = path, .block_bytes = 1};
	struct shard_writer *writer = shard_writer_create(&shard, &err);
	for (int i = 0; i < 200; i++) {
		char key[20];
		snprintf(key, sizeof key, "%d", i);
		struct shard_record_in record = {.key = key,
			.label = -1,
			.width = 1,
			.height = 1,
			.codec = SHARD_RAW,
			.data = "rgb",
			.bytes = 3};
		assert_int_equal(shard_writer_add(writer, &record, &err), 0);
	}
	assert_int_equal(shard_writer_finish(writer, &err), 0);
	const char *paths[] = {path};
	struct shard_set *set = shard_set_open(paths, 1, false, &err);
	static const struct epoch_plan_config configs[4] = {
		{.order = EPOCH_FULL, .seed = 42},
		{.order = EPOCH_WINDOW, .seed = 42, .window = 16},
		{.order = EPOCH_FULL, .seed = 42, .limit = 50, .subset_seed = 7},
		{.order = EPOCH_SEQUENTIAL, .limit = 50, .subset_seed = 7},
	};
	for (int i = 0; i < 4; i++) {
		struct epoch_plan *plan = plan_make(set, configs[i]);
		for (uint64_t p = 0; p < 6; p++)
			assert_int_equal(epoch_plan_record(plan, 3, p), expected[i][p]);
		epoch_plan_destroy(plan);
	}
	shard_set_close(set);
	free(path);
	helper_folder_remove(folder);
}

/* A group's records are mixed among themselves: where a record stands in its group is uniform over epochs. */
static void test_window_mixes(void **state)
{
	(void)state;
	enum { BINS = 8, EPOCHS = 1600 };
	struct data_set data = data_set_make(5, 1, 100);
	struct epoch_plan *plan =
		plan_make(data.set, (struct epoch_plan_config){.order = EPOCH_WINDOW, .window = 1000});
	uint64_t records = shard_set_records(data.set), target = records / 3;
	assert_int_equal(epoch_plan_groups(plan), 1);
	uint32_t bins[BINS] = {0}, mass[BINS] = {0};
	for (uint64_t p = 0; p < records; p++)
		mass[p * BINS / records]++;
	for (uint32_t epoch = 0; epoch < EPOCHS; epoch++)
		for (uint64_t p = 0; p < records; p++)
			if (epoch_plan_record(plan, epoch, p) == target)
				bins[p * BINS / records]++;
	double chi = 0;
	for (int i = 0; i < BINS; i++) {
		double expected = (double)EPOCHS * mass[i] / (double)records;
		chi += (bins[i] - expected) * (bins[i] - expected) / expected;
	}
	assert_true(chi < chi_squared_limit(BINS - 1));
	epoch_plan_destroy(plan);
	data_set_free(&data);
}

struct asker {
	const struct epoch_plan *plan;
	uint64_t sums[6];
};

static void *ask(void *ctx)
{
	struct asker *asker = ctx;
	for (uint32_t round = 0; round < 6; round++)
		for (uint64_t p = 0; p < epoch_plan_length(asker->plan); p++)
			asker->sums[round] += epoch_plan_record(asker->plan, round + (uint32_t)(p % 2), p) * (p + 1);
	return NULL;
}

/* Threads in different epochs, with more epochs than tables: the same answers. */
static void test_threads(void **state)
{
	(void)state;
	enum { THREADS = 4 };
	struct data_set data = data_set_make(8, 2, 60);
	struct epoch_plan *plan = plan_make(data.set, (struct epoch_plan_config){.order = EPOCH_WINDOW, .window = 3});
	struct asker alone = {.plan = plan}, askers[THREADS];
	pthread_t threads[THREADS];
	ask(&alone);
	for (int i = 0; i < THREADS; i++) {
		askers[i] = (struct asker){.plan = plan};
		assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_memory_equal(askers[i].sums, alone.sums, sizeof alone.sums);
	}
	epoch_plan_destroy(plan);
	data_set_free(&data);
}

static void test_limit_refused(void **state)
{
	(void)state;
	struct data_set data = data_set_make(8, 1, 60);
	struct error err = {0};
	struct epoch_plan_config config = {.order = EPOCH_FULL, .limit = shard_set_records(data.set) + 1};
	assert_null(epoch_plan_create(data.set, &config, &err));
	assert_int_equal(err.code, ERROR_USAGE);
	assert_non_null(strstr(err.message, "limit"));
	data_set_free(&data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bijective),
		cmocka_unit_test(test_orders_equally_likely),
		cmocka_unit_test(test_positions_uniform),
		cmocka_unit_test(test_known_values),
		cmocka_unit_test(test_plans),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_seeds_and_epochs),
		cmocka_unit_test(test_known_orders),
		cmocka_unit_test(test_window_mixes),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_limit_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
