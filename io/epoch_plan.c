/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which record stands at which position of an epoch.
 *
 * A permutation of 0..n-1 without a table: a Feistel network permutes 0..4^h-1, the smallest such domain that holds n
 * (and at least 256, because few bits mix badly); a value that lands outside is permuted again until it lands inside
 * (cycle walking: under 4 steps on average for n over 64). The round function is Philox, keyed by (seed, epoch).
 *
 *   full        record = permutation of position; with a limit, that permutes 0..limit-1 and the fixed subset
 *               permutation maps it to a record. With a list, "record" is a place in it.
 *   sequential  with a limit or a list, the subset's records are sorted into an array (8 bytes each), so that reads run
 *               forward.
 *
 *   window      blocks are permuted, cut into groups of `window`, and the positions of a group are permuted among
 *               themselves. Blocks differ in how many records they hold, so where a group begins depends on the blocks
 *               before it: a table of 12 bytes a block, made once per epoch. Two epochs are kept, because a reader runs
 *               into the next epoch while the last batches of the one before are decoded.
 *
 * Memory: sequential and window 8 bytes a block; with a limit or a list 8 more, and 8 for each kept record; window 24 a
 * block. Everything is allocated by epoch_plan_create().
 */
#include "io/epoch_plan.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/philox.h"

enum { FEISTEL_ROUNDS = 8, FEISTEL_MIN_HALF_BITS = 4, DEFAULT_WINDOW = 64, TABLES = 2 };

/* The view number of philox_stream() tells the plan's uses of PHILOX_PERMUTE apart. Part of every result. */
enum { KEY_RECORDS = 0, KEY_BLOCKS = 1, KEY_GROUP = 2 };

/* Window order, one epoch: slot s holds kept block order[s], whose positions begin at first[s]. */
struct epoch_table {
	bool filled;
	uint32_t epoch;
	uint32_t *order; /* kept_blocks */
	uint64_t *first; /* kept_blocks + 1 */
};

struct epoch_plan {
	const struct shard_set *set;
	enum epoch_order order;
	uint64_t seed;
	uint64_t *list;	  /* the records that there are; NULL: those of the set */
	uint64_t records; /* of the list, or the set */
	uint64_t length;
	bool limited; /* fewer than that */
	uint32_t subset_key[4];
	uint32_t window;
	uint64_t *shard_first_block; /* shards + 1: the set's number of a shard's first block */

	/* Sequential and window. "Kept" blocks have at least one record of the subset; all blocks without one. */
	uint32_t kept_blocks;
	uint64_t *kept_first;	/* kept_blocks + 1: how many kept records lie before a kept block's */
	uint64_t *kept_block;	/* the set's number of a kept block; NULL when all are kept: the same number */
	uint64_t *kept_records; /* sorted record numbers; NULL when all are kept: the same number */

	/* Window. Readers hold `lock` for reading while they look something up; a new epoch's table is made under it
	 * for writing. `next` is the table made longer ago. */
	pthread_rwlock_t lock;
	struct epoch_table tables[TABLES];
	unsigned next;
	uint64_t max_positions;
};

static uint32_t feistel_round(uint32_t half, uint32_t round, const uint32_t key[4])
{
	const uint32_t counter[4] = {half, round, key[2], key[3]};
	uint32_t out[4];
	philox4x32(counter, key, out);
	return out[0];
}

uint64_t epoch_permute(uint64_t x, uint64_t n, const uint32_t key[4])
{
	if (n <= 1)
		return 0;
	unsigned bits = 64 - (unsigned)__builtin_clzll(n - 1);
	unsigned half_bits = (bits + 1) / 2 < FEISTEL_MIN_HALF_BITS ? FEISTEL_MIN_HALF_BITS : (bits + 1) / 2;
	uint32_t mask = (uint32_t)((UINT64_C(1) << half_bits) - 1);
	do {
		uint32_t left = (uint32_t)(x >> half_bits) & mask, right = (uint32_t)x & mask;
		for (uint32_t round = 0; round < FEISTEL_ROUNDS; round++) {
			uint32_t next = left ^ (feistel_round(right, round, key) & mask);
			left = right;
			right = next;
		}
		x = (uint64_t)left << half_bits | right;
	} while (x >= n);
	return x;
}

static void key_draw(
	uint64_t seed, uint32_t epoch, uint64_t sample, uint32_t view, enum philox_use use, uint32_t key[4])
{
	struct philox stream = philox_stream(seed, epoch, sample, view, use);
	for (int i = 0; i < 4; i++)
		key[i] = philox_u32(&stream);
}

static uint64_t permuted(
	const struct epoch_plan *plan, uint32_t epoch, uint64_t sample, uint32_t view, uint64_t x, uint64_t n)
{
	uint32_t key[4];
	key_draw(plan->seed, epoch, sample, view, PHILOX_PERMUTE, key);
	return epoch_permute(x, n, key);
}

/* The last i in [low, high) with first[i] <= value; first ascends and first[low] <= value. */
static uint64_t find(const uint64_t *first, uint64_t low, uint64_t high, uint64_t value)
{
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;
		if (first[middle] <= value)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static void block_locate(const struct epoch_plan *plan, uint64_t set_block, unsigned *shard, uint32_t *block)
{
	*shard = (unsigned)find(plan->shard_first_block, 0, shard_set_count(plan->set), set_block);
	*block = (uint32_t)(set_block - plan->shard_first_block[*shard]);
}

/* Record number `place` of those that there are. */
static uint64_t listed(const struct epoch_plan *plan, uint64_t place)
{
	return plan->list == NULL ? place : plan->list[place];
}

static bool is_subset(const struct epoch_plan *plan)
{
	return plan->limited || plan->list != NULL;
}

static uint64_t kept_record(const struct epoch_plan *plan, uint64_t ordinal)
{
	return plan->kept_records == NULL ? ordinal : plan->kept_records[ordinal];
}

/* ---- creation ---- */

static int number_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static int subset_sort(struct epoch_plan *plan, struct error *err)
{
	plan->kept_records = calloc(plan->length + 1, sizeof *plan->kept_records);
	if (plan->kept_records == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for a subset of %llu records",
			(unsigned long long)plan->length);
	for (uint64_t i = 0; i < plan->length; i++)
		plan->kept_records[i] =
			listed(plan, plan->limited ? epoch_permute(i, plan->records, plan->subset_key) : i);
	qsort(plan->kept_records, plan->length, sizeof *plan->kept_records, number_order);
	return 0;
}

/* Fills kept_first, kept_block and kept_blocks, walking blocks and kept records side by side. */
static void blocks_keep(struct epoch_plan *plan)
{
	uint64_t ordinal = 0, set_block = 0, record_end = 0;
	uint32_t kept = 0;
	for (unsigned s = 0; s < shard_set_count(plan->set); s++) {
		const struct shard *shard = shard_set_at(plan->set, s);
		for (uint32_t b = 0; b < shard_blocks(shard); b++, set_block++) {
			uint64_t before = ordinal;
			record_end += shard_block(shard, b)->record_count;
			if (plan->kept_records == NULL)
				ordinal = record_end;
			else
				while (ordinal < plan->length && plan->kept_records[ordinal] < record_end)
					ordinal++;
			if (ordinal == before)
				continue;
			plan->kept_first[kept] = before;
			if (plan->kept_block != NULL)
				plan->kept_block[kept] = set_block;
			kept++;
		}
	}
	plan->kept_first[kept] = ordinal;
	plan->kept_blocks = kept;
}

static int blocks_plan(struct epoch_plan *plan, uint64_t blocks, struct error *err)
{
	if (blocks > UINT32_MAX)
		return error_set(err, ERROR_USAGE, "%llu blocks are more than an epoch plan can order",
			(unsigned long long)blocks);
	bool subset = is_subset(plan);
	if (subset && subset_sort(plan, err) != 0)
		return err == NULL ? ERROR_MEMORY : err->code;
	uint64_t most = subset && plan->length < blocks ? plan->length : blocks;
	plan->kept_first = calloc(most + 1, sizeof *plan->kept_first);
	if (subset)
		plan->kept_block = calloc(most + 1, sizeof *plan->kept_block);
	if (plan->kept_first == NULL || (subset && plan->kept_block == NULL))
		return error_set(
			err, ERROR_MEMORY, "out of memory for a plan of %llu blocks", (unsigned long long)blocks);
	blocks_keep(plan);
	return 0;
}

/* The most positions that `window` blocks can have together: the largest ones. first[] serves as scratch. */
static void max_positions_find(struct epoch_plan *plan)
{
	uint64_t *counts = plan->tables[0].first;
	for (uint32_t k = 0; k < plan->kept_blocks; k++)
		counts[k] = plan->kept_first[k + 1] - plan->kept_first[k];
	qsort(counts, plan->kept_blocks, sizeof *counts, number_order);
	plan->max_positions = 0;
	for (uint32_t i = 0; i < plan->window && i < plan->kept_blocks; i++)
		plan->max_positions += counts[plan->kept_blocks - 1 - i];
}

static int window_plan(struct epoch_plan *plan, struct error *err)
{
	for (int i = 0; i < TABLES; i++) {
		struct epoch_table *table = &plan->tables[i];
		table->order = calloc((size_t)plan->kept_blocks + 1, sizeof *table->order);
		table->first = calloc((size_t)plan->kept_blocks + 1, sizeof *table->first);
		if (table->order == NULL || table->first == NULL)
			return error_set(err, ERROR_MEMORY, "out of memory for a plan of %u blocks", plan->kept_blocks);
	}
	max_positions_find(plan);
	return 0;
}

static int list_copy(struct epoch_plan *plan, const struct epoch_plan_config *config, struct error *err)
{
	plan->list = calloc(config->record_count + 1, sizeof *plan->list);
	if (plan->list == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for a list of %llu records",
			(unsigned long long)config->record_count);
	for (uint64_t i = 0; i < config->record_count; i++) {
		plan->list[i] = config->records[i];
		if (plan->list[i] >= plan->records || (i > 0 && plan->list[i] <= plan->list[i - 1]))
			return error_set(err, ERROR_USAGE, "a list of records must have ascending numbers below %llu",
				(unsigned long long)plan->records);
	}
	plan->records = config->record_count;
	return 0;
}

static int plan_fill(struct epoch_plan *plan, const struct epoch_plan_config *config, struct error *err)
{
	int rc = config->records == NULL ? 0 : list_copy(plan, config, err);
	if (rc < 0)
		return rc;
	unsigned shards = shard_set_count(plan->set);
	if (config->limit > plan->records)
		return error_set(err, ERROR_USAGE, "the limit of %llu images is more than the %llu that there are",
			(unsigned long long)config->limit, (unsigned long long)plan->records);
	plan->limited = config->limit != 0 && config->limit != plan->records;
	plan->length = plan->limited ? config->limit : plan->records;
	key_draw(config->subset_seed, 0, 0, 0, PHILOX_SUBSET, plan->subset_key);
	plan->shard_first_block = calloc((size_t)shards + 1, sizeof *plan->shard_first_block);
	if (plan->shard_first_block == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for a plan of %u shards", shards);
	for (unsigned s = 0; s < shards; s++)
		plan->shard_first_block[s + 1] = plan->shard_first_block[s] + shard_blocks(shard_set_at(plan->set, s));
	plan->max_positions = 1;
	if (plan->order == EPOCH_FULL)
		return 0;
	rc = blocks_plan(plan, plan->shard_first_block[shards], err);
	if (rc == 0 && plan->order == EPOCH_WINDOW)
		rc = window_plan(plan, err);
	if (rc == 0 && plan->order == EPOCH_SEQUENTIAL)
		for (uint32_t k = 0; k < plan->kept_blocks; k++)
			if (plan->kept_first[k + 1] - plan->kept_first[k] > plan->max_positions)
				plan->max_positions = plan->kept_first[k + 1] - plan->kept_first[k];
	return rc;
}

struct epoch_plan *epoch_plan_create(
	const struct shard_set *set, const struct epoch_plan_config *config, struct error *err)
{
	struct epoch_plan *plan = calloc(1, sizeof *plan);
	if (plan == NULL || pthread_rwlock_init(&plan->lock, NULL) != 0) {
		error_set(err, ERROR_MEMORY, "out of memory for an epoch plan");
		free(plan);
		return NULL;
	}
	plan->set = set;
	plan->order = config->order;
	plan->seed = config->seed;
	plan->records = shard_set_records(set);
	plan->window = config->window == 0 ? DEFAULT_WINDOW : config->window;
	if (plan_fill(plan, config, err) == 0)
		return plan;
	epoch_plan_destroy(plan);
	return NULL;
}

void epoch_plan_destroy(struct epoch_plan *plan)
{
	if (plan == NULL)
		return;
	for (int i = 0; i < TABLES; i++) {
		free(plan->tables[i].order);
		free(plan->tables[i].first);
	}
	pthread_rwlock_destroy(&plan->lock);
	free(plan->shard_first_block);
	free(plan->list);
	free(plan->kept_first);
	free(plan->kept_block);
	free(plan->kept_records);
	free(plan);
}

/* ---- window order ---- */

static const struct epoch_table *table_find(const struct epoch_plan *plan, uint32_t epoch)
{
	for (int i = 0; i < TABLES; i++)
		if (plan->tables[i].filled && plan->tables[i].epoch == epoch)
			return &plan->tables[i];
	return NULL;
}

static void table_fill(const struct epoch_plan *plan, struct epoch_table *table, uint32_t epoch)
{
	uint32_t key[4];
	uint64_t at = 0;
	key_draw(plan->seed, epoch, 0, KEY_BLOCKS, PHILOX_PERMUTE, key);
	for (uint32_t s = 0; s < plan->kept_blocks; s++) {
		uint32_t k = (uint32_t)epoch_permute(s, plan->kept_blocks, key);
		table->order[s] = k;
		table->first[s] = at;
		at += plan->kept_first[k + 1] - plan->kept_first[k];
	}
	table->first[plan->kept_blocks] = at;
	table->epoch = epoch;
	table->filled = true;
}

/*
 * Returns the epoch's table with the lock held for reading. The plan is const to callers: the tables are a cache, and
 * what they hold is a function of the plan and the epoch alone.
 */
static const struct epoch_table *table_lock(const struct epoch_plan *plan, uint32_t epoch)
{
	struct epoch_plan *cache = (struct epoch_plan *)plan;
	for (;;) {
		pthread_rwlock_rdlock(&cache->lock);
		const struct epoch_table *table = table_find(plan, epoch);
		if (table != NULL)
			return table;
		pthread_rwlock_unlock(&cache->lock);
		pthread_rwlock_wrlock(&cache->lock);
		if (table_find(plan, epoch) == NULL) {
			table_fill(plan, &cache->tables[cache->next], epoch);
			cache->next = (cache->next + 1) % TABLES;
		}
		pthread_rwlock_unlock(&cache->lock);
	}
}

static void table_unlock(const struct epoch_plan *plan)
{
	pthread_rwlock_unlock(&((struct epoch_plan *)plan)->lock);
}

/* Slots [*low, *high) of a group. */
static void group_slots(const struct epoch_plan *plan, uint64_t group, uint64_t *low, uint64_t *high)
{
	*low = group * plan->window;
	*high = *low + plan->window < plan->kept_blocks ? *low + plan->window : plan->kept_blocks;
}

static uint64_t window_record(const struct epoch_plan *plan, uint32_t epoch, uint64_t position)
{
	uint64_t low, high;
	const struct epoch_table *table = table_lock(plan, epoch);
	uint64_t group = find(table->first, 0, plan->kept_blocks, position) / plan->window;
	group_slots(plan, group, &low, &high);
	uint64_t first = table->first[low], count = table->first[high] - first;
	uint64_t shuffled = first + permuted(plan, epoch, group, KEY_GROUP, position - first, count);
	uint64_t slot = find(table->first, low, high, shuffled);
	uint64_t ordinal = plan->kept_first[table->order[slot]] + (shuffled - table->first[slot]);
	table_unlock(plan);
	return kept_record(plan, ordinal);
}

/* ---- what a reader asks ---- */

uint64_t epoch_plan_length(const struct epoch_plan *plan)
{
	return plan->length;
}

uint64_t epoch_plan_record(const struct epoch_plan *plan, uint32_t epoch, uint64_t position)
{
	if (plan->order == EPOCH_SEQUENTIAL)
		return kept_record(plan, position);
	if (plan->order == EPOCH_WINDOW)
		return window_record(plan, epoch, position);
	uint64_t x = permuted(plan, epoch, 0, KEY_RECORDS, position, plan->length);
	return listed(plan, plan->limited ? epoch_permute(x, plan->records, plan->subset_key) : x);
}

uint64_t epoch_plan_groups(const struct epoch_plan *plan)
{
	if (plan->order == EPOCH_FULL)
		return plan->length;
	if (plan->order == EPOCH_SEQUENTIAL)
		return plan->kept_blocks;
	return ((uint64_t)plan->kept_blocks + plan->window - 1) / plan->window;
}

void epoch_plan_group(const struct epoch_plan *plan, uint32_t epoch, uint64_t group, struct epoch_group *out)
{
	if (plan->order == EPOCH_FULL) {
		*out = (struct epoch_group){.first = group, .count = 1, .blocks = 1};
	} else if (plan->order == EPOCH_SEQUENTIAL) {
		out->first = plan->kept_first[group];
		out->count = plan->kept_first[group + 1] - out->first;
		out->blocks = 1;
	} else {
		uint64_t low, high;
		group_slots(plan, group, &low, &high);
		const struct epoch_table *table = table_lock(plan, epoch);
		out->first = table->first[low];
		out->count = table->first[high] - out->first;
		table_unlock(plan);
		out->blocks = (uint32_t)(high - low);
	}
}

void epoch_plan_block(
	const struct epoch_plan *plan, uint32_t epoch, uint64_t group, uint32_t i, unsigned *shard, uint32_t *block)
{
	if (plan->order == EPOCH_FULL) {
		uint32_t local;
		shard_set_locate(plan->set, epoch_plan_record(plan, epoch, group), shard, &local);
		*block = shard_record(shard_set_at(plan->set, *shard), local)->block;
		return;
	}
	uint64_t kept = group;
	if (plan->order == EPOCH_WINDOW) {
		const struct epoch_table *table = table_lock(plan, epoch);
		kept = table->order[group * plan->window + i];
		table_unlock(plan);
	}
	block_locate(plan, plan->kept_block == NULL ? kept : plan->kept_block[kept], shard, block);
}

uint32_t epoch_plan_max_blocks(const struct epoch_plan *plan)
{
	if (plan->order != EPOCH_WINDOW)
		return 1;
	return plan->window < plan->kept_blocks ? plan->window : plan->kept_blocks;
}

uint64_t epoch_plan_max_positions(const struct epoch_plan *plan)
{
	return plan->max_positions;
}
