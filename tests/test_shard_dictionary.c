/* SPDX-License-Identifier: Apache-2.0 */
/* Shards with a dictionary, and the choice of block size, level and dictionary. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <xxhash.h>

#include "io/shard.h"
#include "io/shard_format.h"
#include "io/shard_set_writer.h"
#include "tests/helper_files.h"
#include "tests/helper_shard.h"
#include "tests/hostile_shard.h"

enum { HEAD = 600, MOST = 1100 };

/* Like small JPEGs: all begin with the same 600 bytes, and go on with noise. Every ninth is noise alone with `odd`. */
static struct helper_records alike(uint32_t count, bool odd)
{
	struct philox random = philox_stream(11, 0, 0, 0, PHILOX_TEST);
	struct helper_records set = helper_records_make(&random, "train/class", count, 2, 100);
	unsigned char head[HEAD];
	for (size_t i = 0; i < HEAD; i++)
		head[i] = (unsigned char)philox_u32(&random);
	for (uint32_t r = 0; r < count; r++) {
		struct shard_record_in *record = &set.records[r];
		size_t bytes = HEAD + 100 + philox_below(&random, MOST - HEAD - 100);
		unsigned char *data = malloc(bytes);
		for (size_t i = 0; i < bytes; i++)
			data[i] = i < HEAD && !(odd && r % 9 == 8) ? head[i] : (unsigned char)philox_u32(&random);
		free((void *)record->data);
		record->data = data;
		record->bytes = bytes;
		record->codec = SHARD_JPEG;
	}
	return set;
}

/* As pack does. dictionary: of struct shard_tuner_config. */
static struct shard_choice tune(const char *path, const struct helper_records *records, bool automatic,
	const struct shard_writer_config *writer, size_t dictionary)
{
	struct error err = {0};
	struct shard_set_result result;
	struct shard_set_writer_config config = {.tuner = {.writer = *writer,
							 .tune_block = automatic,
							 .tune_level = automatic,
							 .dictionary = dictionary,
							 .records = records->count}};
	config.tuner.writer.path = path;
	config.tuner.writer.classes = (const char *const *)records->classes;
	config.tuner.writer.class_count = records->class_count;
	struct shard_set_writer *set = shard_set_writer_create(&config, &err);
	assert_non_null(set);
	for (uint32_t i = 0; i < records->count; i++)
		if (shard_set_writer_add(set, &records->records[i], &err) != 0)
			fail_msg("%s", err.message);
	if (shard_set_writer_finish(set, &result, &err) != 0)
		fail_msg("%s", err.message);
	free(result.path);
	helper_assert_sound(path);
	return result.choice;
}

static uint64_t file_bytes(const char *path)
{
	size_t bytes = 0;
	free(helper_file_read(path, &bytes));
	return bytes;
}

static void assert_records(const struct shard *shard, const struct helper_records *records)
{
	struct error err = {0};
	assert_int_equal(shard_records(shard), records->count);
	for (uint32_t i = 0; i < records->count; i++) {
		unsigned char *data = NULL;
		size_t bytes = 0;
		assert_string_equal(shard_record(shard, i)->key, records->records[i].key);
		if (shard_read_record(shard, i, &data, &bytes, &err) != 0)
			fail_msg("%s", err.message);
		assert_int_equal(bytes, records->records[i].bytes);
		assert_memory_equal(data, records->records[i].data, bytes);
		free(data);
	}
}

static void test_round_trip(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	struct helper_records records = alike(600, true);
	struct shard_writer_config writer = {.block_bytes = 2000, .zstd_level = 3};
	tune(place->path, &records, false, &writer, 2048);
	struct shard *shard = shard_open(place->path, false, &err);
	assert_non_null(shard);
	assert_int_equal(shard_version_minor(shard), 2); /* with copies of the dictionary */
	assert_true(shard_dictionary_bytes(shard) > 256 && shard_dictionary_bytes(shard) <= 2048);
	assert_true(shard_dictionary_memory(shard) > shard_dictionary_bytes(shard));
	assert_records(shard, &records);
	unsigned counts[3] = {0};
	for (uint32_t b = 0; b < shard_blocks(shard); b++)
		counts[shard_block(shard, b)->compression]++;
	assert_int_equal(counts[SHARD_ZSTD], 0);
	assert_true(counts[SHARD_STORED] > 10 && counts[SHARD_ZSTD_DICTIONARY] > 100);
	shard_close(shard);
	helper_records_free(&records);
}

/* Decompressing takes no memory: what malloc has given out is the same before and after all blocks. */
static void test_unpack_allocates_nothing(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	size_t size = 0;
	struct helper_records records = alike(300, false);
	struct shard_writer_config writer = {.block_bytes = 4096, .zstd_level = 3};
	tune(place->path, &records, false, &writer, 2048);
	helper_records_free(&records);
	unsigned char *file = helper_file_read(place->path, &size), *raw = malloc(1 << 16);
	struct shard *shard = shard_open(place->path, false, &err);
	struct shard_unpacker *unpacker = shard_unpacker_create(&err);
	struct mallinfo2 before = mallinfo2();
	for (uint32_t b = 0; b < shard_blocks(shard); b++) {
		const struct shard_block *block = shard_block(shard, b);
		assert_int_equal(shard_unpack(shard, b, file + block->offset, block->disk_bytes, unpacker, raw, 1 << 16,
					 true, &err),
			0);
		struct mallinfo2 after = mallinfo2();
		assert_int_equal(after.uordblks + after.hblkhd, before.uordblks + before.hblkhd);
	}
	shard_unpacker_destroy(unpacker);
	shard_close(shard);
	free(raw);
	free(file);
}

/* With everything given, the tuner writes what the writer writes: no dictionary, version 1.0, the same bytes. */
static void test_fixed(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	struct helper_records records = alike(300, true);
	struct shard_writer_config writer = {.path = place->path, .block_bytes = 16384, .zstd_level = 3};
	assert_int_equal(helper_shard_write(&records, &writer, &err), 0);
	size_t bytes[2];
	unsigned char *plain = helper_file_read(place->path, &bytes[0]);
	struct shard_choice choice = tune(place->path, &records, false, &writer, SHARD_DICTIONARY_NONE);
	unsigned char *tuned = helper_file_read(place->path, &bytes[1]);
	assert_int_equal(bytes[0], bytes[1]);
	assert_memory_equal(plain, tuned, bytes[0]);
	assert_int_equal(tuned[10], 0); /* version_minor */
	for (int i = 12; i < 16; i++)
		assert_int_equal(tuned[i], 0); /* required_flags */
	assert_false(choice.measured);
	free(plain);
	free(tuned);
	helper_records_free(&records);
}

/* Small alike records: a dictionary, and with it blocks that are smaller at no more bytes. Twice, the same file. */
static void test_choice_small_records(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	struct helper_records records = alike(6000, false);
	const struct shard_writer_config automatic = {.zstd_level = 3};
	struct shard_choice choice = tune(place->path, &records, true, &automatic, SHARD_DICTIONARY_AUTO);
	assert_true(choice.measured && choice.dictionary_bytes > 0 && choice.sample_records == 6000);
	assert_true(choice.block_bytes < 65536);
	assert_true(choice.share <= choice.share_without * 1.01);
	size_t bytes[2];
	unsigned char *first = helper_file_read(place->path, &bytes[0]);
	struct shard *shard = shard_open(place->path, false, &err);
	assert_records(shard, &records);
	assert_true(shard_max_raw_bytes(shard) <= choice.block_bytes);
	shard_close(shard);
	tune(place->path, &records, true, &automatic, SHARD_DICTIONARY_AUTO);
	unsigned char *second = helper_file_read(place->path, &bytes[1]);
	assert_int_equal(bytes[0], bytes[1]);
	assert_memory_equal(first, second, bytes[0]);

	/* What it chose is smaller than the fixed settings, and its own bytes stay below what it expected, nearly. */
	const struct shard_writer_config fixed = {.block_bytes = 65536, .zstd_level = 3};
	tune(place->path, &records, false, &fixed, SHARD_DICTIONARY_NONE);
	assert_true(bytes[0] < file_bytes(place->path));
	free(first);
	free(second);
	helper_records_free(&records);
}

/* Noise, and few records: nothing is gained, and nothing is taken. */
static void test_choice_without_dictionary(void **state)
{
	struct helper_place *place = *state;
	struct philox random = philox_stream(12, 0, 0, 0, PHILOX_TEST);
	const struct shard_writer_config automatic = {.zstd_level = 3};
	struct helper_records noise = helper_records_make(&random, "x", 300, 0, 2000);
	for (uint32_t r = 0; r < noise.count; r++)
		for (size_t i = 0; i < noise.records[r].bytes; i++)
			((unsigned char *)noise.records[r].data)[i] = (unsigned char)philox_u32(&random);
	struct shard_choice choice = tune(place->path, &noise, true, &automatic, SHARD_DICTIONARY_AUTO);
	assert_int_equal(choice.dictionary_bytes, 0);
	assert_int_equal(choice.zstd_level, 3);
	helper_records_free(&noise);
	struct helper_records few = alike(1, false);
	choice = tune(place->path, &few, true, &automatic, SHARD_DICTIONARY_AUTO);
	assert_int_equal(choice.dictionary_bytes, 0);
	helper_records_free(&few);
}

/* More than is held: what comes behind the sample is written too, and in order. */
static void test_beyond_sample(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	struct helper_records records = alike(11000, true);
	const struct shard_writer_config automatic = {.zstd_level = 3};
	struct shard_choice choice = tune(place->path, &records, true, &automatic, SHARD_DICTIONARY_AUTO);
	assert_true(choice.sample_records > 5000 && choice.sample_records < 11000);
	struct shard *shard = shard_open(place->path, false, &err);
	assert_non_null(shard);
	assert_int_equal(shard_records(shard), records.count);
	for (uint32_t i = 0; i < records.count; i++)
		assert_true(
			shard_record(shard, i)->hash == XXH3_64bits(records.records[i].data, records.records[i].bytes));
	/* The share that it expects is that of the file, whose records are all alike. */
	uint64_t images = 0;
	for (uint32_t i = 0; i < records.count; i++)
		images += records.records[i].bytes;
	double share = (double)shard_file_bytes(shard) / (double)images;
	assert_true(choice.share > share * 0.98 && choice.share < share * 1.02);
	shard_close(shard);
	helper_records_free(&records);
}

/* Blocks that end where pages are full have less padding, and no block is larger than asked for. */
static void test_fill_pages(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	struct helper_records records = alike(1500, false);
	uint64_t padding[2];
	for (int fill = 0; fill < 2; fill++) {
		struct shard_writer_config config = {
			.path = place->path, .block_bytes = 30000, .zstd_level = 3, .fill_pages = fill == 1};
		assert_int_equal(helper_shard_write(&records, &config, &err), 0);
		helper_assert_sound(place->path);
		struct shard *shard = shard_open(place->path, false, &err);
		assert_records(shard, &records);
		assert_true(shard_max_raw_bytes(shard) <= 30000);
		padding[fill] = 0;
		for (uint32_t b = 0; b < shard_blocks(shard); b++)
			padding[fill] += -shard_block(shard, b)->disk_bytes % 4096;
		padding[fill] /= shard_blocks(shard);
		shard_close(shard);
	}
	assert_true(padding[0] > 1500 && padding[1] < 600);
	helper_records_free(&records);
}

static void test_refused(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	struct helper_records few = alike(2, false);
	struct shard_writer_config writer = {.path = place->path, .zstd_level = 3};
	assert_int_equal(helper_shard_tune(&few, &writer, 4096, &err), ERROR_USAGE);
	assert_non_null(strstr(err.message, "cannot train a dictionary of 4096 bytes"));
	err = (struct error){0};
	writer.dictionary = "this is content, and no dictionary";
	writer.dictionary_bytes = 34;
	assert_null(shard_writer_create(&writer, &err));
	assert_int_equal(err.code, ERROR_USAGE);
	writer.dictionary = NULL;
	writer.zstd_level = 1000;
	struct shard_set_writer_config config = {.tuner = {.writer = writer, .tune_block = true}};
	assert_null(shard_set_writer_create(&config, &err)); /* at once, not when the sample is full */
	config.tuner.writer.zstd_level = 3;
	struct shard_set_writer *set = shard_set_writer_create(&config, &err);
	err = (struct error){0};
	struct shard_record_in bad = few.records[0];
	bad.key = "";
	assert_int_equal(shard_set_writer_add(set, &bad, &err), ERROR_USAGE);
	assert_non_null(strstr(err.message, "key is empty"));
	struct shard_set_result result;
	err = (struct error){0};
	assert_int_equal(shard_set_writer_finish(set, &result, &err), ERROR_USAGE); /* no record */
	shard_set_writer_abandon(shard_set_writer_create(&config, &err), true);
	shard_set_writer_abandon(NULL, true);
	assert_int_equal(helper_folder_entries(place->folder), 0);
	helper_records_free(&few);
}

/* A full disk at any point of the file: an error, and no file. */
static void test_write_failure(void **state)
{
	struct helper_place *place = *state;
	struct rlimit old, tight;
	struct helper_records records = alike(200, false);
	struct shard_writer_config writer = {.path = place->path, .block_bytes = 4096, .zstd_level = 3};
	struct error err = {0};
	assert_int_equal(helper_shard_tune(&records, &writer, 2048, &err), 0);
	uint64_t whole = file_bytes(place->path);
	unlink(place->path);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (uint64_t limit = 4096; limit <= whole; limit += 4096) {
		tight = old;
		tight.rlim_cur = limit;
		err = (struct error){0};
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
		int rc = helper_shard_tune(&records, &writer, 2048, &err);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		assert_int_equal(rc, limit < whole ? ERROR_IO : 0);
		assert_int_equal(helper_folder_entries(place->folder), limit < whole ? 0 : 1);
	}
	helper_records_free(&records);
}

/* ---- damage and harm ---- */

/* 60 records, a dictionary of at most 1 KiB at byte 8192. */
static unsigned char *small_make(const char *path, size_t *size, struct shard_header_disk *header)
{
	struct error err = {0};
	struct helper_records records = alike(60, true);
	struct shard_writer_config writer = {.path = path, .block_bytes = 4096, .zstd_level = 3};
	assert_int_equal(helper_shard_tune(&records, &writer, 1024, &err), 0);
	helper_records_free(&records);
	helper_assert_sound(path);
	unsigned char *bytes = helper_file_read(path, size);
	memcpy(header, bytes, sizeof *header);
	assert_int_equal(header->required_flags, SHARD_NEEDS_DICTIONARY | SHARD_NEEDS_COPIES);
	assert_true(header->dictionary_bytes > 256);
	return bytes;
}

static void test_damaged(void **state)
{
	struct helper_place *place = *state;
	struct helper_report report;
	struct error err = {0};
	struct shard_header_disk header;
	size_t size = 0;
	unsigned char *bytes = small_make(place->path, &size, &header);
	int fd = open(place->path, O_WRONLY);
	for (size_t at = 8192; at < 12288; at++) { /* every byte of the dictionary and its padding */
		unsigned char flipped = bytes[at] ^ 4;
		assert_int_equal(pwrite(fd, &flipped, 1, (off_t)at), 1);
		bool content = at < 8192 + header.dictionary_bytes;
		assert_true(helper_verify(place->path, &report) > 0);
		if (strstr(report.text, content ? "dictionary: " : "padding of the dictionary") == NULL)
			fail_msg("byte %zu: %s", at, report.text);
		err = (struct error){0};
		struct shard *shard = shard_open(place->path, false, &err);
		assert_int_equal(err.code, content ? ERROR_DAMAGED : 0);
		shard_close(shard);
		assert_int_equal(pwrite(fd, bytes + at, 1, (off_t)at), 1);
	}
	close(fd);
	/* Without the header the footer tells where the dictionary is, and the other way round. */
	memset(bytes, 0, 4096);
	helper_file_write(place->path, bytes, size);
	assert_int_equal(helper_verify(place->path, &report), 1);
	memcpy(bytes, &header, sizeof header);
	memset(bytes + size - 128, 0, 128);
	helper_file_write(place->path, bytes, size);
	assert_int_equal(helper_verify(place->path, &report), 1);
	assert_non_null(strstr(report.text, "footer: "));
	/* Block 0 now wants another dictionary than there is. */
	struct shard_block_disk block;
	memcpy(&block, bytes + 12288, sizeof block);
	assert_int_equal(block.compression, SHARD_ZSTD_DICTIONARY);
	block.dictionary_hash ^= 1;
	block.hash = XXH3_64bits(&block, offsetof(struct shard_block_disk, hash));
	memcpy(bytes + 12288, &block, sizeof block);
	helper_file_write(place->path, bytes, size);
	assert_int_equal(helper_verify(place->path, &report), 2);
	assert_non_null(strstr(report.text, "block 0"));
	assert_non_null(strstr(report.text, "it needs another dictionary than the file has"));
	assert_null(strstr(report.text, "is lost"));
	free(bytes);
}

/* Numbers of header and footer that cannot be, under right hashes. */
static void test_impossible_numbers(void **state)
{
	struct helper_place *place = *state;
	struct shard_header_disk header;
	size_t size = 0;
	unsigned char *bytes = small_make(place->path, &size, &header), *patched = malloc(size);
	const size_t footer = size - sizeof(struct shard_footer_disk), footer_bytes = footer + 96;
	const struct {
		size_t at;
		uint32_t value;
		int code;
		const char *why;
	} cases[] = {
		{12, 0, ERROR_FORMAT, "header makes no sense"}, /* no flag, but a dictionary */
		{12, 9, ERROR_VERSION, "feature number 3"},
		{12, 4, ERROR_FORMAT, "header makes no sense"}, /* copies of no dictionary */
		{52, 0, ERROR_FORMAT, "header makes no sense"}, /* a flag, but none */
		{52, (1 << 20) + 1, ERROR_FORMAT, "header makes no sense"},
		{52, 0xffffffff, ERROR_FORMAT, "header makes no sense"},
		{52, header.dictionary_bytes - 1, ERROR_DAMAGED, "not of one file"},
		{footer_bytes, 0, ERROR_FORMAT, "dictionary"},
		{footer_bytes, (1 << 20) + 1, ERROR_FORMAT, "dictionary"},
		{footer_bytes, 0xffffffff, ERROR_FORMAT, "dictionary"},
		{footer_bytes, 1 << 20, ERROR_FORMAT, "place of the index"},
		{footer_bytes, header.dictionary_bytes + 1, ERROR_DAMAGED, "not of one file"},
		{footer + 52, 2, ERROR_FORMAT, "dictionary"},			   /* the index has none */
		{8192, 0, ERROR_FORMAT, "the dictionary makes no sense"},	   /* mere content */
		{8196, 0, ERROR_FORMAT, "the dictionary makes no sense"},	   /* no ID */
		{8200, 0xffffffff, ERROR_FORMAT, "the dictionary makes no sense"}, /* entropy tables */
	};
	const struct shard_verify_options full = {.level = SHARD_VERIFY_FULL};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error err = {0};
		memcpy(patched, bytes, size);
		memcpy(patched + cases[i].at, &cases[i].value, 4);
		shard_sign(patched, size);
		helper_file_write(place->path, patched, size);
		struct shard *shard = shard_open(place->path, false, &err);
		if (shard != NULL || err.code != cases[i].code || strstr(err.message, cases[i].why) == NULL)
			fail_msg("case %zu: '%s' does not say '%s'", i, err.message, cases[i].why);
		hostile_sink += (size_t)shard_verify(place->path, &full, &err);
	}
	/* Another ID: frames name theirs, and zstd says so. */
	struct error err = {0};
	unsigned char *data = NULL;
	size_t got = 0;
	memcpy(patched, bytes, size);
	patched[8197] ^= 1;
	for (int i = 0; i < 2; i++) /* the index has the old hashes of the blocks, so that opening works, reading not */
		shard_sign(patched, size);
	helper_file_write(place->path, patched, size);
	struct shard *shard = shard_open(place->path, false, &err);
	assert_non_null(shard);
	assert_int_equal(shard_read_record(shard, 0, &data, &got, &err), ERROR_DAMAGED);
	shard_close(shard);
	patched[size - 20] ^= 1; /* without footer the blocks are taken as they are */
	helper_file_write(place->path, patched, size);
	struct helper_report report;
	assert_true(helper_verify(place->path, &report) > 1);
	assert_non_null(strstr(report.text, "Dictionary mismatch"));
	free(patched);
	free(bytes);
}

/* Bytes of header, dictionary, blocks and footer at random, hashes made right again: no crash. */
static void test_hostile(void **state)
{
	struct helper_place *place = *state;
	struct shard_header_disk header;
	size_t size = 0, opened = 0, refused = 0;
	unsigned char *bytes = small_make(place->path, &size, &header), *hostile = malloc(size);
	for (uint32_t seed = 0; seed < 3000; seed++) {
		struct philox random = philox_stream(seed, 1, 0, 0, PHILOX_TEST);
		const size_t starts[] = {8, 8192, 8192, 12288, size - 128},
			     lengths[] = {56, 200, header.dictionary_bytes, size - 12288, 120};
		memcpy(hostile, bytes, size);
		for (uint32_t n = 1 + philox_below(&random, 3); n > 0; n--) {
			uint32_t part = philox_below(&random, 5);
			hostile[starts[part] + philox_below(&random, (uint32_t)lengths[part])] ^=
				(unsigned char)(1u << philox_below(&random, 8));
		}
		shard_sign(hostile, size);
		if (seed % 3 == 0) /* so that blocks are read by themselves, with the dictionary as it is */
			hostile[size - 20] ^= 1;
		helper_file_write(place->path, hostile, size);
		int rc = shard_exercise(place->path);
		opened += rc == 0;
		refused += rc != 0;
	}
	assert_true(opened > 100 && refused > 100);
	free(hostile);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_unpack_allocates_nothing, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_fixed, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_choice_small_records, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_choice_without_dictionary, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_beyond_sample, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_fill_pages, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_refused, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_write_failure, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_damaged, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_impossible_numbers, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_hostile, helper_place_make, helper_place_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
