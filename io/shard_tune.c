/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing block size, level and dictionary by measurement, before the first block is written.
 *
 * The first records, up to 8 MiB, are held. Those of even number train a dictionary; those of odd number go through dry
 * writers of the candidates, which gives the exact bytes, padding and index included, that each would make of them.
 * Times never count: the same records give the same choice on any machine. What decides:
 *
 *	block       the smallest of 16, 32 and 64 KiB whose file is at most 3% larger than the smallest file: a record
 *	            alone costs the reading and decompression of its block
 *	dictionary  where it makes the file 3% smaller, its own bytes included, or allows smaller blocks in a file that
 *	            is at most 1% larger than without
 *	level       the lowest of 3, 6 and 9 whose file is at most 1% larger than the smallest: each step halves the
 *	            speed of packing, and decompression is as fast at all of them
 *
 * Then the held records are written, and all others go straight to the writer. What is not left to measurement stays as
 * it was asked for.
 */
#include "io/shard_internal.h"

#include <stdlib.h>
#include <string.h>
#include <zdict.h>

enum {
	SAMPLE_BYTES = 8 << 20,
	SAMPLE_RECORDS = 1 << 15,
	SMALL_RECORD = 16 << 10, /* in larger ones the beginnings, which are alike, do not matter */
	DICTIONARY_SHARE = 4096, /* a dictionary is that part of the images, within these bounds: */
	DICTIONARY_LEAST = 4 << 10,
	DICTIONARY_MOST = 32 << 10,
	MEASURED_LEVEL = 6, /* for block and dictionary */
};

struct held {
	size_t key_at, data_at; /* in the tuner's bytes */
	struct shard_record_in record;
};

struct shard_tuner {
	struct shard_tuner_config config;
	struct shard_writer *writer; /* NULL as long as records are held */
	struct held *held;
	unsigned char *bytes; /* of keys and images */
	size_t held_count, held_capacity, byte_count, byte_capacity;
	unsigned char *dictionary;
	size_t dictionary_bytes;
	struct shard_choice choice;
};

static int out_of_memory(const struct shard_tuner *tuner, struct error *err)
{
	return error_set(
		err, ERROR_MEMORY, "out of memory for a sample of the records of '%s'", tuner->config.writer.path);
	return ERROR_MEMORY;
}

struct shard_tuner *shard_tuner_create(const struct shard_tuner_config *config, struct error *err)
{
	struct shard_tuner *tuner = calloc(1, sizeof *tuner);
	if (tuner == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", config->writer.path);
		return NULL;
	}
	tuner->config = *config;
	tuner->choice.block_bytes = config->writer.block_bytes;
	tuner->choice.zstd_level = config->writer.zstd_level;
	bool fixed = !config->tune_block && !config->tune_level && config->dictionary == SHARD_DICTIONARY_NONE;
	/* The dry one finds out early what is wrong with the configuration. */
	struct shard_writer *writer =
		fixed ? shard_writer_create(&config->writer, err) : shard_writer_create_dry(&config->writer, err);
	if (writer == NULL) {
		free(tuner);
		return NULL;
	}
	if (fixed)
		tuner->writer = writer;
	else
		shard_writer_abandon(writer);
	return tuner;
}

void shard_tuner_abandon(struct shard_tuner *tuner)
{
	if (tuner == NULL)
		return;
	shard_writer_abandon(tuner->writer);
	free(tuner->held);
	free(tuner->bytes);
	free(tuner->dictionary);
	free(tuner);
}

/* Room for `more` further elements of one byte or of a struct. */
static bool grow(void *array, size_t count, size_t more, size_t *capacity, size_t size)
{
	if (count + more <= *capacity)
		return true;
	size_t wanted = (count + more) * 2;
	void *memory = realloc(*(void **)array, wanted * size);
	if (memory == NULL)
		return false;
	*(void **)array = memory;
	*capacity = wanted;
	return true;
}

static int hold(struct shard_tuner *tuner, const struct shard_record_in *record, struct error *err)
{
	const char *key = record->key == NULL ? "" : record->key;
	size_t key_bytes = strlen(key);
	const char *fault = shard_record_fault(key, key_bytes, record->label, tuner->config.writer.class_count,
		record->width, record->height, (unsigned)record->codec, record->bytes);
	if (fault != NULL)
		return error_set(
			err, ERROR_USAGE, "cannot add '%.200s' to '%s': %s", key, tuner->config.writer.path, fault);
	if (!grow(&tuner->held, tuner->held_count, 1, &tuner->held_capacity, sizeof *tuner->held) ||
		!grow(&tuner->bytes, tuner->byte_count, key_bytes + 1 + record->bytes, &tuner->byte_capacity, 1))
		return out_of_memory(tuner, err);
	struct held *held = &tuner->held[tuner->held_count++];
	*held = (struct held){tuner->byte_count, tuner->byte_count + key_bytes + 1, *record};
	memcpy(tuner->bytes + held->key_at, key, key_bytes + 1);
	memcpy(tuner->bytes + held->data_at, record->data, record->bytes);
	tuner->byte_count += key_bytes + 1 + record->bytes;
	return 0;
}

/* Adds each step-th record that is held, from `first`. */
static int add_held(
	struct shard_tuner *tuner, size_t first, size_t step, struct shard_writer *writer, struct error *err)
{
	int rc = 0;
	for (size_t i = first; i < tuner->held_count && rc == 0; i += step) {
		struct shard_record_in record = tuner->held[i].record;
		record.key = (const char *)tuner->bytes + tuner->held[i].key_at;
		record.data = tuner->bytes + tuner->held[i].data_at;
		rc = shard_writer_add(writer, &record, err);
	}
	return rc;
}

struct candidate {
	size_t block_bytes;
	int zstd_level;
	bool dictionary;
	double bytes; /* of the file that it would make of all records */
};

static struct shard_writer_config config_of(const struct shard_tuner *tuner, const struct candidate *candidate)
{
	struct shard_writer_config config = tuner->config.writer;
	config.block_bytes = candidate->block_bytes;
	config.zstd_level = candidate->zstd_level;
	config.fill_pages = tuner->config.tune_block;
	config.dictionary = candidate->dictionary ? tuner->dictionary : NULL;
	config.dictionary_bytes = candidate->dictionary ? tuner->dictionary_bytes : 0;
	return config;
}

static int measure(struct shard_tuner *tuner, struct candidate *candidate, struct error *err)
{
	struct shard_writer_config config = config_of(tuner, candidate);
	struct shard_writer *writer = shard_writer_create_dry(&config, err);
	if (writer == NULL)
		return err->code;
	/* A single record measures itself. */
	size_t first = tuner->held_count > 1 ? 1 : 0, measured = (tuner->held_count + 1 - first) / 2;
	int rc = add_held(tuner, first, 2, writer, err);
	if (rc != 0) {
		shard_writer_abandon(writer);
		return rc;
	}
	uint64_t bytes = 0;
	rc = shard_writer_finish_dry(writer, &bytes, err);
	double fixed = (double)shard_align(config.dictionary_bytes);
	candidate->bytes = ((double)bytes - fixed) * (double)tuner->config.records / (double)measured + fixed;
	return rc;
}

/* Block size for one way of compressing; *best is measured at MEASURED_LEVEL, or at the level asked for. */
static int choose_block(struct shard_tuner *tuner, bool dictionary, struct candidate *best, struct error *err)
{
	static const size_t sizes[] = {16 << 10, 32 << 10, 64 << 10};
	enum { SIZES = sizeof sizes / sizeof *sizes };
	struct candidate tried[SIZES] = {{0}};
	double smallest = 0;
	unsigned count = tuner->config.tune_block ? SIZES : 1;
	for (unsigned i = 0; i < count; i++) {
		tried[i] = (struct candidate){
			.block_bytes = tuner->config.tune_block ? sizes[i] : tuner->config.writer.block_bytes,
			.zstd_level = tuner->config.tune_level ? MEASURED_LEVEL : tuner->config.writer.zstd_level,
			.dictionary = dictionary};
		int rc = measure(tuner, &tried[i], err);
		if (rc != 0)
			return rc;
		if (i == 0 || tried[i].bytes < smallest)
			smallest = tried[i].bytes;
	}
	unsigned chosen = 0;
	while (tried[chosen].bytes > smallest * 1.03)
		chosen++;
	*best = tried[chosen];
	return 0;
}

static int choose_level(struct shard_tuner *tuner, struct candidate *best, struct error *err)
{
	static const int levels[] = {3, MEASURED_LEVEL, 9};
	enum { LEVELS = sizeof levels / sizeof *levels };
	struct candidate tried[LEVELS] = {{0}};
	double smallest = best->bytes;
	for (unsigned i = 0; i < LEVELS; i++) {
		tried[i] = *best;
		tried[i].zstd_level = levels[i];
		int rc = levels[i] == best->zstd_level ? 0 : measure(tuner, &tried[i], err);
		if (rc != 0)
			return rc;
		if (tried[i].bytes < smallest)
			smallest = tried[i].bytes;
	}
	unsigned chosen = 0;
	while (tried[chosen].bytes > smallest * 1.01)
		chosen++;
	*best = tried[chosen];
	return 0;
}

/* Leaves dictionary_bytes 0 where the sample does not serve for one. */
static int train(struct shard_tuner *tuner, struct error *err)
{
	const struct shard_tuner_config *config = &tuner->config;
	size_t capacity = config->dictionary, count = 0, bytes = 0;
	size_t mean = tuner->byte_count / tuner->held_count;
	bool automatic = capacity == SHARD_DICTIONARY_AUTO;
	if (automatic && (mean > SMALL_RECORD || config->writer.zstd_level == 0))
		return 0;
	if (automatic) {
		uint64_t share = mean * config->records / DICTIONARY_SHARE;
		capacity = share < DICTIONARY_LEAST  ? DICTIONARY_LEAST
			   : share > DICTIONARY_MOST ? DICTIONARY_MOST
						     : (size_t)share;
	}
	unsigned char *samples = malloc(tuner->byte_count);
	size_t *sizes = calloc(tuner->held_count, sizeof *sizes);
	tuner->dictionary = malloc(capacity);
	int rc = 0;
	if (samples == NULL || sizes == NULL || tuner->dictionary == NULL) {
		rc = out_of_memory(tuner, err);
	} else {
		for (size_t i = 0; i < tuner->held_count; i += 2) {
			sizes[count] = tuner->held[i].record.bytes;
			memcpy(samples + bytes, tuner->bytes + tuner->held[i].data_at, sizes[count]);
			bytes += sizes[count++];
		}
		size_t got = ZDICT_trainFromBuffer(tuner->dictionary, capacity, samples, sizes, (unsigned)count);
		if (!ZDICT_isError(got))
			tuner->dictionary_bytes = got;
		else if (!automatic)
			rc = error_set(err, ERROR_USAGE,
				"cannot train a dictionary of %zu bytes for '%s' on %zu records: %s", capacity,
				config->writer.path, count, ZDICT_getErrorName(got));
	}
	free(samples);
	free(sizes);
	return rc;
}

static uint64_t held_images(const struct shard_tuner *tuner)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < tuner->held_count; i++)
		bytes += tuner->held[i].record.bytes;
	return bytes;
}

static int choose(struct shard_tuner *tuner, struct candidate *best, struct error *err)
{
	struct candidate with = {0};
	int rc = 0;
	if (tuner->config.dictionary != SHARD_DICTIONARY_NONE)
		rc = train(tuner, err);
	if (rc == 0)
		rc = choose_block(tuner, false, best, err);
	double images = (double)held_images(tuner) / (double)tuner->held_count * (double)tuner->config.records;
	tuner->choice.share_without = best->bytes / images;
	if (rc == 0 && tuner->dictionary_bytes > 0) {
		rc = choose_block(tuner, true, &with, err);
		if (rc == 0 && (tuner->config.dictionary != SHARD_DICTIONARY_AUTO || with.bytes <= best->bytes * 0.97 ||
				       (with.bytes <= best->bytes * 1.01 && with.block_bytes < best->block_bytes)))
			*best = with;
	}
	if (rc == 0 && tuner->config.tune_level)
		rc = choose_level(tuner, best, err);
	tuner->choice.measured = true;
	tuner->choice.block_bytes = best->block_bytes;
	tuner->choice.zstd_level = best->zstd_level;
	tuner->choice.dictionary_bytes = best->dictionary ? tuner->dictionary_bytes : 0;
	tuner->choice.sample_records = (uint32_t)tuner->held_count;
	tuner->choice.share = best->bytes / images;
	return rc;
}

/* The end of holding. */
static int settle(struct shard_tuner *tuner, struct error *err)
{
	struct candidate best = {
		.block_bytes = tuner->config.writer.block_bytes, .zstd_level = tuner->config.writer.zstd_level};
	int rc = tuner->held_count == 0 ? 0 : choose(tuner, &best, err);
	if (rc != 0)
		return rc;
	struct shard_writer_config config = config_of(tuner, &best);
	tuner->writer = shard_writer_create(&config, err);
	if (tuner->writer == NULL)
		return err->code;
	rc = add_held(tuner, 0, 1, tuner->writer, err);
	free(tuner->held);
	free(tuner->bytes);
	tuner->held = NULL;
	tuner->bytes = NULL;
	return rc;
}

int shard_tuner_add(struct shard_tuner *tuner, const struct shard_record_in *record, struct error *err)
{
	if (tuner->writer != NULL)
		return shard_writer_add(tuner->writer, record, err);
	int rc = hold(tuner, record, err);
	if (rc == 0 && (tuner->byte_count >= SAMPLE_BYTES || tuner->held_count >= SAMPLE_RECORDS))
		rc = settle(tuner, err);
	return rc;
}

int shard_tuner_finish(struct shard_tuner *tuner, struct shard_choice *choice, struct error *err)
{
	int rc = tuner->writer == NULL ? settle(tuner, err) : 0;
	if (rc == 0) {
		rc = shard_writer_finish(tuner->writer, err);
		tuner->writer = NULL;
	}
	*choice = tuner->choice;
	shard_tuner_abandon(tuner);
	return rc;
}
