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
 * Where records are larger than 64 KiB each has a block of its own, whatever a block's size, and there is nothing to
 * measure: 16 KiB and level 3. What is not left to measurement stays as it was asked for.
 */
#include "io/shard_sample.h"

#include <stdlib.h>
#include <string.h>
#include <zdict.h>

#include "io/shard_writer_internal.h"

enum {
	SAMPLE_BYTES = 8 << 20,
	SAMPLE_RECORDS = 1 << 15,
	SMALL_RECORD = 16 << 10, /* in larger ones the beginnings, which are alike, do not matter */
	LARGE_RECORD = 64 << 10,
	DICTIONARY_SHARE = 4096, /* a dictionary is that part of the images, within these bounds: */
	DICTIONARY_LEAST = 4 << 10,
	DICTIONARY_MOST = 32 << 10,
	MEASURED_LEVEL = 6, /* for block and dictionary */
	LEAST_LEVEL = 3,
	LEAST_BLOCK = 16 << 10,
};

struct held {
	size_t key_at, data_at, meta_at; /* in the sample's bytes */
	struct shard_record_in record;
};

struct shard_sample {
	struct shard_tuner_config config;
	bool fixed; /* nothing to measure: one record is enough */
	struct held *held;
	unsigned char *bytes; /* of keys, images and metadata */
	size_t held_count, held_capacity, byte_count, byte_capacity;
	unsigned char *dictionary;
	size_t dictionary_bytes;
	struct shard_choice choice;
};

static int out_of_memory(const struct shard_sample *sample, struct error *err)
{
	return error_set(
		err, ERROR_MEMORY, "out of memory for a sample of the records of '%s'", sample->config.writer.path);
}

struct shard_sample *shard_sample_create(const struct shard_tuner_config *config, struct error *err)
{
	struct shard_sample *sample = calloc(1, sizeof *sample);
	if (sample == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", config->writer.path);
		return NULL;
	}
	sample->config = *config;
	sample->choice.block_bytes = config->writer.block_bytes;
	sample->choice.zstd_level = config->writer.zstd_level;
	sample->fixed = !config->tune_block && !config->tune_level && config->dictionary == SHARD_DICTIONARY_NONE;
	/* A dry writer finds out early what is wrong with the configuration. */
	struct shard_writer *writer = shard_writer_create_dry(&config->writer, err);
	shard_writer_abandon(writer);
	if (writer != NULL)
		return sample;
	free(sample);
	return NULL;
}

void shard_sample_destroy(struct shard_sample *sample)
{
	if (sample == NULL)
		return;
	free(sample->held);
	free(sample->bytes);
	free(sample->dictionary);
	free(sample);
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

/* Copies bytes to the sample's; room must have been made. */
static size_t keep(struct shard_sample *sample, const void *data, size_t bytes)
{
	size_t at = sample->byte_count;
	if (bytes > 0)
		memcpy(sample->bytes + at, data, bytes);
	sample->byte_count += bytes;
	return at;
}

int shard_sample_add(struct shard_sample *sample, const struct shard_record_in *record, struct error *err)
{
	const char *key = record->key == NULL ? "" : record->key;
	size_t key_bytes = strlen(key);
	const char *fault = shard_record_fault(key, key_bytes, record->label, sample->config.writer.class_count,
		record->width, record->height, (unsigned)record->codec, record->bytes);
	if (fault != NULL)
		return error_set(
			err, ERROR_USAGE, "cannot add '%.200s' to '%s': %s", key, sample->config.writer.path, fault);
	size_t meta_bytes = record->meta != NULL ? record->meta_bytes : 0;
	if (!grow(&sample->held, sample->held_count, 1, &sample->held_capacity, sizeof *sample->held) ||
		!grow(&sample->bytes, sample->byte_count, key_bytes + 1 + record->bytes + meta_bytes,
			&sample->byte_capacity, 1))
		return out_of_memory(sample, err);
	struct held *held = &sample->held[sample->held_count++];
	held->record = *record;
	held->key_at = keep(sample, key, key_bytes + 1);
	held->data_at = keep(sample, record->data, record->bytes);
	held->meta_at = keep(sample, record->meta, meta_bytes);
	return 0;
}

bool shard_sample_full(const struct shard_sample *sample)
{
	return sample->byte_count >= SAMPLE_BYTES || sample->held_count >= SAMPLE_RECORDS ||
	       (sample->fixed && sample->held_count > 0);
}

size_t shard_sample_count(const struct shard_sample *sample)
{
	return sample->held_count;
}

struct shard_record_in shard_sample_record(const struct shard_sample *sample, size_t number)
{
	const struct held *held = &sample->held[number];
	struct shard_record_in record = held->record;
	record.key = (const char *)sample->bytes + held->key_at;
	record.data = sample->bytes + held->data_at;
	record.meta = record.meta != NULL ? (const char *)sample->bytes + held->meta_at : NULL;
	return record;
}

struct candidate {
	size_t block_bytes;
	int zstd_level;
	bool dictionary;
	double bytes; /* of the file that it would make of all records */
};

static struct shard_writer_config config_of(const struct shard_sample *sample, const struct candidate *candidate)
{
	struct shard_writer_config config = sample->config.writer;
	config.block_bytes = candidate->block_bytes;
	config.zstd_level = candidate->zstd_level;
	config.fill_pages = sample->config.tune_block;
	config.dictionary = candidate->dictionary ? sample->dictionary : NULL;
	config.dictionary_bytes = candidate->dictionary ? sample->dictionary_bytes : 0;
	return config;
}

static int measure(struct shard_sample *sample, struct candidate *candidate, struct error *err)
{
	struct shard_writer_config config = config_of(sample, candidate);
	config.single_dictionary = true; /* copies are not in proportion to records: they are added below */
	struct shard_writer *writer = shard_writer_create_dry(&config, err);
	if (writer == NULL)
		return err->code;
	/* A single record measures itself. */
	size_t first = sample->held_count > 1 ? 1 : 0, measured = (sample->held_count + 1 - first) / 2;
	int rc = 0;
	for (size_t i = first; i < sample->held_count && rc == 0; i += 2) {
		struct shard_record_in record = shard_sample_record(sample, i);
		rc = shard_writer_add(writer, &record, err);
	}
	if (rc != 0) {
		shard_writer_abandon(writer);
		return rc;
	}
	uint64_t bytes = 0;
	rc = shard_writer_finish_dry(writer, &bytes, err);
	double fixed = (double)shard_align(config.dictionary_bytes);
	candidate->bytes = ((double)bytes - fixed) * (double)sample->config.records / (double)measured + fixed;
	for (double at = SHARD_COPY_FIRST; candidate->dictionary && at < candidate->bytes; at *= SHARD_COPY_FACTOR)
		candidate->bytes += (double)shard_copy_bytes((uint32_t)config.dictionary_bytes);
	return rc;
}

/* Block size for one way of compressing; *best is measured at MEASURED_LEVEL, or at the level asked for. */
static int choose_block(struct shard_sample *sample, bool dictionary, struct candidate *best, struct error *err)
{
	static const size_t sizes[] = {LEAST_BLOCK, 32 << 10, 64 << 10};
	enum { SIZES = sizeof sizes / sizeof *sizes };
	struct candidate tried[SIZES] = {{0}};
	double smallest = 0;
	unsigned count = sample->config.tune_block ? SIZES : 1;
	for (unsigned i = 0; i < count; i++) {
		tried[i] = (struct candidate){
			.block_bytes = sample->config.tune_block ? sizes[i] : sample->config.writer.block_bytes,
			.zstd_level = sample->config.tune_level ? MEASURED_LEVEL : sample->config.writer.zstd_level,
			.dictionary = dictionary};
		int rc = measure(sample, &tried[i], err);
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

static int choose_level(struct shard_sample *sample, struct candidate *best, struct error *err)
{
	static const int levels[] = {LEAST_LEVEL, MEASURED_LEVEL, 9};
	enum { LEVELS = sizeof levels / sizeof *levels };
	struct candidate tried[LEVELS] = {{0}};
	double smallest = best->bytes;
	for (unsigned i = 0; i < LEVELS; i++) {
		tried[i] = *best;
		tried[i].zstd_level = levels[i];
		int rc = levels[i] == best->zstd_level ? 0 : measure(sample, &tried[i], err);
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
static int train(struct shard_sample *sample, struct error *err)
{
	const struct shard_tuner_config *config = &sample->config;
	size_t capacity = config->dictionary, count = 0, bytes = 0;
	size_t mean = sample->byte_count / sample->held_count;
	bool automatic = capacity == SHARD_DICTIONARY_AUTO;
	if (automatic && (mean > SMALL_RECORD || config->writer.zstd_level == 0))
		return 0;
	if (automatic) {
		uint64_t share = mean * config->records / DICTIONARY_SHARE;
		capacity = share < DICTIONARY_LEAST  ? DICTIONARY_LEAST
			   : share > DICTIONARY_MOST ? DICTIONARY_MOST
						     : (size_t)share;
	}
	unsigned char *samples = malloc(sample->byte_count);
	size_t *sizes = calloc(sample->held_count, sizeof *sizes);
	sample->dictionary = malloc(capacity);
	int rc = 0;
	if (samples == NULL || sizes == NULL || sample->dictionary == NULL) {
		rc = out_of_memory(sample, err);
	} else {
		for (size_t i = 0; i < sample->held_count; i += 2) {
			sizes[count] = sample->held[i].record.bytes;
			memcpy(samples + bytes, sample->bytes + sample->held[i].data_at, sizes[count]);
			bytes += sizes[count++];
		}
		size_t got = ZDICT_trainFromBuffer(sample->dictionary, capacity, samples, sizes, (unsigned)count);
		if (!ZDICT_isError(got))
			sample->dictionary_bytes = got;
		else if (!automatic)
			rc = error_set(err, ERROR_USAGE,
				"cannot train a dictionary of %zu bytes for '%s' on %zu records: %s", capacity,
				config->writer.path, count, ZDICT_getErrorName(got));
	}
	free(samples);
	free(sizes);
	return rc;
}

static uint64_t held_images(const struct shard_sample *sample)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < sample->held_count; i++)
		bytes += sample->held[i].record.bytes;
	return bytes;
}

static int choose(struct shard_sample *sample, struct candidate *best, struct error *err)
{
	struct candidate with = {0};
	int rc = 0;
	if (sample->config.dictionary != SHARD_DICTIONARY_NONE)
		rc = train(sample, err);
	if (rc == 0)
		rc = choose_block(sample, false, best, err);
	double images = (double)held_images(sample) / (double)sample->held_count * (double)sample->config.records;
	sample->choice.share_without = best->bytes / images;
	if (rc == 0 && sample->dictionary_bytes > 0) {
		rc = choose_block(sample, true, &with, err);
		if (rc == 0 &&
			(sample->config.dictionary != SHARD_DICTIONARY_AUTO || with.bytes <= best->bytes * 0.97 ||
				(with.bytes <= best->bytes * 1.01 && with.block_bytes < best->block_bytes)))
			*best = with;
	}
	if (rc == 0 && sample->config.tune_level)
		rc = choose_level(sample, best, err);
	sample->choice.measured = true;
	sample->choice.block_bytes = best->block_bytes;
	sample->choice.zstd_level = best->zstd_level;
	sample->choice.dictionary_bytes = best->dictionary ? sample->dictionary_bytes : 0;
	sample->choice.sample_records = (uint32_t)sample->held_count;
	sample->choice.share = best->bytes / images;
	return rc;
}

int shard_sample_choose(
	struct shard_sample *sample, struct shard_writer_config *writer, struct shard_choice *choice, struct error *err)
{
	struct candidate best = {
		.block_bytes = sample->config.writer.block_bytes, .zstd_level = sample->config.writer.zstd_level};
	int rc = 0;
	if (sample->held_count > 0 && sample->config.dictionary <= SHARD_DICTIONARY_AUTO &&
		sample->byte_count / sample->held_count > LARGE_RECORD) {
		best.block_bytes = sample->config.tune_block ? LEAST_BLOCK : best.block_bytes;
		best.zstd_level = sample->config.tune_level ? LEAST_LEVEL : best.zstd_level;
		sample->choice.block_bytes = best.block_bytes;
		sample->choice.zstd_level = best.zstd_level;
	} else if (sample->held_count > 0 && !sample->fixed) {
		rc = choose(sample, &best, err);
	}
	*writer = config_of(sample, &best);
	*choice = sample->choice;
	return rc;
}
