/* SPDX-License-Identifier: Apache-2.0 */
/* Shards: what goes in comes out, and nothing that is broken passes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <xxhash.h>

#include "io/shard.h"
#include "io/shard_format.h"
#include "tests/helper_files.h"
#include "tests/helper_shard.h"

/* The blocks adjoin, cover the records in order, and have the sizes that the accessors claim. */
static void assert_blocks(const struct shard *shard, size_t block_bytes)
{
	uint32_t records = 0, disk = 0, raw = 0;
	uint64_t at = shard_block(shard, 0)->offset;
	for (uint32_t b = 0; b < shard_blocks(shard); b++) {
		const struct shard_block *block = shard_block(shard, b);
		assert_int_equal(block->offset, at);
		assert_int_equal(block->offset % SHARD_BLOCK_ALIGN, 0);
		assert_int_equal(block->first_record, records);
		assert_true(block->record_count > 0);
		assert_true(block->raw_bytes <= block_bytes || block->record_count == 1);
		for (uint32_t r = records; r < records + block->record_count; r++)
			assert_int_equal(shard_record(shard, r)->block, b);
		records += block->record_count;
		at += (block->disk_bytes + UINT64_C(4095)) / 4096 * 4096;
		disk = block->disk_bytes > disk ? block->disk_bytes : disk;
		raw = block->raw_bytes > raw ? block->raw_bytes : raw;
	}
	assert_int_equal(records, shard_records(shard));
	assert_int_equal(shard_max_disk_bytes(shard), (disk + 4095u) / 4096u * 4096u);
	assert_int_equal(shard_max_raw_bytes(shard), raw);
}

static void assert_record(const struct shard *shard, uint32_t number, const struct shard_record_in *expected)
{
	const struct shard_record *got = shard_record(shard, number);
	unsigned char *data = NULL;
	size_t bytes = 0;
	struct error err = {0};
	assert_string_equal(got->key, expected->key);
	assert_int_equal(got->label, expected->label);
	assert_int_equal(got->width, expected->width);
	assert_int_equal(got->height, expected->height);
	assert_int_equal(got->codec, expected->codec);
	assert_int_equal(got->bytes, expected->bytes);
	assert_true(got->hash == XXH3_64bits(expected->data, expected->bytes));
	assert_true(got->bytes <= shard_max_record_bytes(shard));
	assert_int_equal(shard_read_record(shard, number, &data, &bytes, &err), 0);
	assert_int_equal(bytes, expected->bytes);
	assert_memory_equal(data, expected->data, bytes);
	free(data);
}

static void round_trip(const char *path, const struct helper_records *records, const struct shard_writer_config *config)
{
	struct error err = {0};
	if (helper_shard_write(records, config, &err) != 0)
		fail_msg("%s", err.message);
	struct shard *shard = shard_open(path, false, &err);
	if (shard == NULL)
		fail_msg("%s", err.message);
	assert_string_equal(shard_path(shard), path);
	assert_int_equal(shard_records(shard), records->count);
	assert_int_equal(shard_classes(shard), records->class_count);
	for (uint32_t i = 0; i < records->class_count; i++)
		assert_string_equal(shard_class(shard, i), records->classes[i]);
	assert_null(shard_class(shard, records->class_count));
	assert_string_equal(shard_origin(shard), config->origin == NULL ? "" : config->origin);
	assert_blocks(shard, config->block_bytes == 0 ? 65536 : config->block_bytes);
	for (uint32_t i = 0; i < records->count; i++)
		assert_record(shard, i, &records->records[i]);
	shard_close(shard);
	helper_assert_sound(path);
}

static void test_round_trips(void **state)
{
	struct helper_place *place = *state;
	static const int levels[] = {0, 1, 3, 19, -5};
	static const size_t sizes[] = {0, 1, 500, 4096, 30000};
	for (uint32_t seed = 0; seed < 40; seed++) {
		struct philox random = philox_stream(seed, 0, 0, 0, PHILOX_TEST);
		uint32_t count = 1 + philox_below(&random, seed % 4 == 0 ? 400 : 30);
		struct helper_records records =
			helper_records_make(&random, "train", count, seed % 7, 1 + seed % 3 * 4000);
		struct shard_writer_config config = {
			.path = place->path,
			.block_bytes = sizes[seed % 5],
			.zstd_level = levels[seed / 5 % 5],
			.origin = seed % 2 == 0 ? NULL : "ringclr pack --level 3 pictures/",
		};
		round_trip(place->path, &records, &config);
		helper_records_free(&records);
	}
}

static struct shard_record_in raw_record(const char *key, const void *data, uint32_t width, uint32_t height)
{
	return (struct shard_record_in){
		.key = key,
		.label = -1,
		.width = width,
		.height = height,
		.codec = SHARD_RAW,
		.data = data,
		.bytes = 3 * (size_t)width * height,
	};
}

static struct shard_writer *writer_make(const char *path, size_t block_bytes, int level)
{
	struct error err = {0};
	struct shard_writer_config config = {.path = path, .block_bytes = block_bytes, .zstd_level = level};
	struct shard_writer *writer = shard_writer_create(&config, &err);
	assert_non_null(writer);
	return writer;
}

/* Small, larger than a block, small: three blocks. What does not compress is stored, what does is not. */
static void test_large_records_and_storing(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	enum { SIDE = 1000, BYTES = 3 * SIDE * SIDE };
	unsigned char *noise = malloc(BYTES), *flat = calloc(1, BYTES);
	struct philox random = philox_stream(1, 0, 0, 0, PHILOX_TEST);
	for (int i = 0; i < BYTES; i++)
		noise[i] = (unsigned char)philox_u32(&random);
	struct shard_record_in records[] = {
		raw_record("small", noise, 10, 10),
		raw_record("noise", noise, SIDE, SIDE),
		raw_record("small too", noise, 10, 10),
		raw_record("flat", flat, SIDE, SIDE),
	};
	struct shard_writer *writer = writer_make(place->path, 4096, 3);
	for (int i = 0; i < 4; i++)
		assert_int_equal(shard_writer_add(writer, &records[i], &err), 0);
	assert_int_equal(shard_writer_finish(writer, &err), 0);
	struct shard *shard = shard_open(place->path, false, &err);
	assert_non_null(shard);
	assert_int_equal(shard_blocks(shard), 4);
	assert_int_equal(shard_max_record_bytes(shard), BYTES);
	for (uint32_t i = 0; i < 4; i++)
		assert_record(shard, i, &records[i]);
	assert_int_equal(shard_block(shard, 1)->compression, SHARD_STORED);
	assert_int_equal(shard_block(shard, 1)->disk_bytes, shard_block(shard, 1)->raw_bytes + 64);
	/* 3 MB of zeros would compress beyond 1:1024, but within the slack's reach: both are allowed to readers. */
	assert_true(shard_block(shard, 3)->compression == SHARD_STORED ||
		    shard_block(shard, 3)->raw_bytes <= 1024u * shard_block(shard, 3)->disk_bytes + (1u << 20));
	shard_close(shard);
	helper_assert_sound(place->path);
	free(noise);
	free(flat);
}

static void test_many_records_in_a_block(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	const uint32_t count = 100000;
	struct shard_writer *writer = writer_make(place->path, 1 << 30, 1);
	char key[32];
	for (uint32_t i = 0; i < count; i++) {
		unsigned char pixel[3] = {(unsigned char)i, (unsigned char)(i >> 8), (unsigned char)(i >> 16)};
		snprintf(key, sizeof key, "%u", i);
		struct shard_record_in record = raw_record(key, pixel, 1, 1);
		assert_int_equal(shard_writer_add(writer, &record, &err), 0);
	}
	assert_int_equal(shard_writer_finish(writer, &err), 0);
	struct shard *shard = shard_open(place->path, true, &err);
	assert_non_null(shard);
	assert_int_equal(shard_blocks(shard), 1);
	assert_int_equal(shard_records(shard), count);
	for (uint32_t i = 0; i < count; i++) {
		snprintf(key, sizeof key, "%u", i);
		assert_string_equal(shard_record(shard, i)->key, key);
	}
	unsigned char pixel[3] = {0x9f, 0x86, 0x01};
	struct shard_record_in last = raw_record("99999", pixel, 1, 1);
	assert_record(shard, count - 1, &last);
	shard_close(shard);
	helper_assert_sound(place->path);
}

/* The same input gives the same bytes and fingerprint; other records give another fingerprint. */
static void test_reproducible(void **state)
{
	struct helper_place *place = *state;
	uint64_t prints[3];
	unsigned char *files[3];
	size_t bytes[3];
	for (int i = 0; i < 3; i++) {
		struct error err = {0};
		struct philox random = philox_stream(5, 0, 0, 0, PHILOX_TEST);
		struct helper_records records = helper_records_make(&random, "x", 50, 3, 2000);
		if (i == 2)
			((unsigned char *)records.records[49].data)[0] ^= 1;
		struct shard_writer_config config = {.path = place->path, .zstd_level = 3};
		assert_int_equal(helper_shard_write(&records, &config, &err), 0);
		struct shard *shard = shard_open(place->path, false, &err);
		prints[i] = shard_fingerprint(shard);
		shard_close(shard);
		files[i] = helper_file_read(place->path, &bytes[i]);
		helper_records_free(&records);
	}
	assert_int_equal(bytes[0], bytes[1]);
	assert_memory_equal(files[0], files[1], bytes[0]);
	assert_true(prints[0] == prints[1]);
	assert_true(prints[0] != prints[2]);
	for (int i = 0; i < 3; i++)
		free(files[i]);
}

static void expect_refused(struct shard_writer *writer, struct shard_record_in record, const char *why)
{
	struct error err = {0};
	assert_int_equal(shard_writer_add(writer, &record, &err), ERROR_USAGE);
	if (strstr(err.message, why) == NULL)
		fail_msg("'%s' does not say '%s'", err.message, why);
}

static void test_records_refused(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	static const char *const classes[] = {"cat", "dog"};
	struct shard_writer_config config = {
		.path = place->path, .classes = classes, .class_count = 2, .zstd_level = 3};
	struct shard_writer *writer = shard_writer_create(&config, &err);
	assert_non_null(writer);
	unsigned char pixel[3] = {1, 2, 3};
	char *key = malloc(SHARD_MAX_KEY + 2);
	memset(key, 'k', SHARD_MAX_KEY + 1);
	key[SHARD_MAX_KEY + 1] = '\0';
	struct shard_record_in good = raw_record("good", pixel, 1, 1), bad = good;
	bad.key = "";
	expect_refused(writer, bad, "key is empty");
	bad.key = NULL;
	expect_refused(writer, bad, "key is empty");
	bad.key = key;
	expect_refused(writer, bad, "longer than 4095");
	bad = good;
	bad.label = 2;
	expect_refused(writer, bad, "label");
	bad.label = -2;
	expect_refused(writer, bad, "label");
	bad = good;
	bad.width = 0;
	expect_refused(writer, bad, "width");
	bad.width = SHARD_MAX_SIDE + 1;
	expect_refused(writer, bad, "width");
	bad = good;
	bad.height = SHARD_MAX_SIDE + 1;
	expect_refused(writer, bad, "height");
	bad = good;
	bad.codec = (enum shard_codec)SHARD_CODECS;
	expect_refused(writer, bad, "codec");
	bad = good;
	bad.bytes = 2;
	expect_refused(writer, bad, "width x height x 3");
	bad.codec = SHARD_JPEG;
	bad.bytes = 0;
	expect_refused(writer, bad, "no bytes");
	bad.bytes = (size_t)1 << 30;
	expect_refused(writer, bad, "1 GiB");
	/* Of what a block holds, fields take some, if only to say that there are none: without them it would just fit.
	 */
	struct shard_writer_config with_fields = config;
	char *other = helper_path(place->folder, "fields.ring");
	with_fields.path = other;
	with_fields.meta = true;
	struct shard_writer *described = shard_writer_create(&with_fields, &err);
	assert_non_null(described);
	bad.bytes = ((size_t)1 << 30) - 24 - strlen(bad.key);
	expect_refused(described, bad, "with its fields");
	bad.bytes -= 4 + 8 + 1;
	bad.meta = "{}";
	bad.meta_bytes = 2;
	expect_refused(described, bad, "with its fields");
	shard_writer_abandon(described);
	free(other);
	/* A refused record does no harm to the others. */
	key[SHARD_MAX_KEY] = '\0';
	bad = good;
	bad.key = key;
	bad.label = 1;
	assert_int_equal(shard_writer_add(writer, &good, &err), 0);
	assert_int_equal(shard_writer_add(writer, &bad, &err), 0);
	assert_int_equal(shard_writer_finish(writer, &err), 0);
	struct shard *shard = shard_open(place->path, false, &err);
	assert_non_null(shard);
	assert_int_equal(shard_records(shard), 2);
	assert_record(shard, 1, &bad);
	shard_close(shard);
	free(key);
}

static void test_shards_refused(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	static const char *const bad_classes[] = {"cat", ""};
	struct shard_writer_config configs[] = {
		{.path = place->path, .classes = bad_classes, .class_count = 2},
		{.path = place->path, .classes = NULL, .class_count = 2},
		{.path = place->path, .zstd_level = 1000},
		{.path = place->path, .block_bytes = (size_t)2 << 30},
	};
	for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
		err = (struct error){0};
		assert_null(shard_writer_create(&configs[i], &err));
		assert_int_equal(err.code, ERROR_USAGE);
	}
	err = (struct error){0};
	assert_int_equal(shard_writer_finish(writer_make(place->path, 0, 3), &err), ERROR_USAGE);
	assert_non_null(strstr(err.message, "no record"));
	/* Far apart, in different blocks, and the name is told. */
	unsigned char pixel[3] = {1, 2, 3};
	struct shard_writer *writer = writer_make(place->path, 100, 0);
	err = (struct error){0};
	for (int i = 0; i < 200; i++) {
		char key[20];
		snprintf(key, sizeof key, "image %d", i == 190 ? 17 : i);
		struct shard_record_in record = raw_record(key, pixel, 1, 1);
		assert_int_equal(shard_writer_add(writer, &record, &err), 0);
	}
	assert_int_equal(shard_writer_finish(writer, &err), ERROR_USAGE);
	assert_non_null(strstr(err.message, "'image 17'"));
	assert_non_null(strstr(err.message, "17 and 190"));
	shard_writer_abandon(writer_make(place->path, 0, 3));
	shard_writer_abandon(NULL);
	assert_int_equal(helper_folder_entries(place->folder), 0);
}

/* The disk fills up: add or finish says so, later calls repeat it, and no file appears. */
static void test_write_failure(void **state)
{
	struct helper_place *place = *state;
	struct rlimit old, tight;
	static unsigned char noise[3 * 100 * 100];
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight = old;
	for (rlim_t limit = 4096; limit <= 163840; limit += 8192) {
		struct error err = {0}, again = {0};
		struct shard_record_in record = raw_record("a", noise, 100, 100);
		struct shard_writer *writer = writer_make(place->path, 1, 0);
		tight.rlim_cur = limit;
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
		int rc = shard_writer_add(writer, &record, &err);
		record.key = "b";
		if (rc != 0) /* room again: the hole stays */
			assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		int second = shard_writer_add(writer, &record, &again);
		struct error finish = {0};
		int end = shard_writer_finish(writer, &finish);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		if (rc != 0) {
			assert_int_equal(rc, ERROR_IO);
			assert_int_equal(second, ERROR_IO);
			assert_string_equal(err.message, again.message);
		}
		assert_int_equal(end, limit >= 4096 + 2 * 32768 + 4096 ? 0 : ERROR_IO);
		assert_int_equal(helper_folder_entries(place->folder), end == 0 ? 1 : 0);
		if (end == 0)
			unlink(place->path);
	}
}

/* check_hash false skips the hashes and nothing else. */
static void test_unpack(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	size_t size = 0;
	unsigned char *bytes = helper_shard_small(place->path, 3, &size), raw[8192];
	struct shard *shard = shard_open(place->path, false, &err);
	struct shard_unpacker *unpacker = shard_unpacker_create(&err);
	const struct shard_block *block = shard_block(shard, 2);
	unsigned char *disk = bytes + block->offset;
	assert_int_equal(shard_unpack(shard, 2, disk, 8192, unpacker, raw, sizeof raw, true, &err), 0);
	disk[block->disk_bytes - 1] ^= 1;
	assert_int_equal(shard_unpack(shard, 2, disk, 8192, unpacker, raw, sizeof raw, false, &err), 0);
	assert_int_equal(shard_unpack(shard, 2, disk, 8192, unpacker, raw, sizeof raw, true, &err), ERROR_DAMAGED);
	assert_non_null(strstr(err.message, "block 2 (records 4 to 5, '"));
	disk[block->disk_bytes - 1] ^= 1;
	err = (struct error){0};
	assert_int_equal(shard_unpack(shard, 1, disk, 8192, unpacker, raw, sizeof raw, false, &err), ERROR_DAMAGED);
	err = (struct error){0};
	assert_int_equal(shard_unpack(shard, 2, disk, block->disk_bytes - 1, unpacker, raw, sizeof raw, true, &err),
		ERROR_DAMAGED);
	err = (struct error){0};
	assert_int_equal(
		shard_unpack(shard, 2, disk, 8192, unpacker, raw, block->raw_bytes - 1, true, &err), ERROR_USAGE);
	err = (struct error){0};
	assert_int_equal(shard_unpack(shard, 3, disk, 8192, unpacker, raw, sizeof raw, true, &err), ERROR_USAGE);
	err = (struct error){0};
	unsigned char *data;
	assert_int_equal(shard_read_record(shard, 6, &data, &size, &err), ERROR_USAGE);
	shard_unpacker_destroy(unpacker);
	shard_close(shard);
	free(bytes);
}

/* ---- other ways in ---- */

static void direct_body(void *ctx)
{
	struct error err = {0};
	struct shard *shard = shard_open(ctx, true, &err);
	assert_non_null(shard);
	for (uint32_t i = 0; i < shard_records(shard); i++) {
		unsigned char *data = NULL;
		size_t bytes = 0;
		assert_int_equal(shard_read_record(shard, i, &data, &bytes, &err), 0);
		assert_true(XXH3_64bits(data, bytes) == shard_record(shard, i)->hash);
		free(data);
	}
	if ((fcntl(shard_fd(shard), F_GETFL) & O_DIRECT) == 0)
		fprintf(stderr, "not direct\n");
	shard_close(shard);
}

/* O_DIRECT reads the same; where it is refused, a line says so. /proc refuses it, whatever the disk does. */
static void test_direct(void **state)
{
	struct helper_place *place = *state;
	size_t size = 0;
	free(helper_shard_small(place->path, 3, &size));
	char *said = helper_stderr_of(direct_body, place->path);
	if (strstr(said, "not direct") != NULL)
		assert_non_null(strstr(said, "page cache"));
	else
		assert_string_equal(said, "");
	free(said);
}

static void test_sets(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	static const char *const names[] = {"0.ring", "1.ring", "2.ring"};
	static const uint32_t counts[] = {7, 1, 30};
	char *paths[4];
	struct philox random = philox_stream(9, 0, 0, 0, PHILOX_TEST);
	struct helper_records records[3];
	for (int i = 0; i < 3; i++) {
		paths[i] = helper_path(place->folder, names[i]);
		records[i] = helper_records_make(&random, names[i], counts[i], 2, 500);
		struct shard_writer_config config = {.path = paths[i], .block_bytes = 1000, .zstd_level = 3};
		assert_int_equal(helper_shard_write(&records[i], &config, &err), 0);
	}
	struct shard_set *set = shard_set_open((const char *const *)paths, 3, false, &err);
	assert_non_null(set);
	assert_int_equal(shard_set_count(set), 3);
	assert_int_equal(shard_set_records(set), 38);
	uint64_t number = 0;
	for (unsigned i = 0; i < 3; i++)
		for (uint32_t r = 0; r < counts[i]; r++, number++) {
			unsigned shard = 99;
			uint32_t local = 99;
			shard_set_locate(set, number, &shard, &local);
			assert_int_equal(shard, i);
			assert_int_equal(local, r);
			assert_string_equal(shard_set_record(set, number)->key, records[i].records[r].key);
		}
	const char *swapped[] = {paths[1], paths[0], paths[2]};
	struct shard_set *other = shard_set_open(swapped, 3, false, &err);
	assert_true(shard_set_fingerprint(set) != shard_set_fingerprint(other));
	assert_true(shard_fingerprint(shard_set_at(set, 0)) == shard_fingerprint(shard_set_at(other, 1)));
	struct shard_set *alone = shard_set_open(swapped, 1, false, &err);
	assert_true(shard_set_fingerprint(alone) == shard_fingerprint(shard_set_at(other, 0)));
	shard_set_close(alone);
	shard_set_close(other);
	shard_set_close(set);

	/* Another class table, by count and by name. */
	static const char *const classes[2][3] = {{"class 0", "class 7", "x"}, {"class 0", "class x", NULL}};
	for (uint32_t i = 0; i < 2; i++) {
		struct shard_writer_config config = {
			.path = place->path, .classes = classes[i], .class_count = 3 - i, .zstd_level = 3};
		struct shard_writer *writer = shard_writer_create(&config, &err);
		assert_int_equal(shard_writer_add(writer, &records[1].records[0], &err), 0);
		assert_int_equal(shard_writer_finish(writer, &err), 0);
		const char *mixed[] = {paths[0], place->path};
		struct error mismatch = {0};
		assert_null(shard_set_open(mixed, 2, false, &mismatch));
		assert_int_equal(mismatch.code, ERROR_MISMATCH);
		assert_non_null(strstr(mismatch.message, place->path));
	}
	assert_null(shard_set_open(NULL, 0, false, &err));
	assert_int_equal(err.code, ERROR_USAGE);
	shard_set_close(NULL);
	for (int i = 0; i < 3; i++) {
		helper_records_free(&records[i]);
		free(paths[i]);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(shard_codec_name(SHARD_RAW), "raw");
	assert_string_equal(shard_codec_name(SHARD_JPEG), "jpeg");
	assert_string_equal(shard_codec_name(SHARD_WEBP), "webp");
	assert_string_equal(shard_codec_name(SHARD_PNG), "png");
	assert_string_equal(shard_codec_name((enum shard_codec)99), "unknown");
}

/*
 * test_shard --write FOLDER: for tests of other readers, shards 0.ring, 1.ring, ... and beside each what it holds:
 * N.txt with a line for each record, as shard_reader.py prints it but without the block, and each image as N.RECORD.
 */
static int shards_write(const char *folder)
{
	static const struct {
		size_t block_bytes;
		int level;
		uint32_t records, classes;
		size_t dictionary;
	} kinds[] = {
		{0, 0, 40, 3, 0}, {3000, 3, 60, 0, 0}, {20000, 19, 80, 5, 0}, {1, 1, 5, 1, 0}, {3000, 3, 90, 2, 1024}};
	for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		struct error err = {0};
		char path[4096];
		struct philox random = philox_stream(k, 3, 0, 0, PHILOX_TEST);
		struct helper_records records = helper_records_make(
			&random, k == 1 ? "r\xff" : "r\xc3\xa9", kinds[k].records, kinds[k].classes, 3000);
		struct shard_writer_config config = {.path = path,
			.block_bytes = kinds[k].block_bytes,
			.zstd_level = kinds[k].level,
			.origin = "test_shard --write"};
		snprintf(path, sizeof path, "%s/%u.ring", folder, k);
		int rc = kinds[k].dictionary == 0 ? helper_shard_write(&records, &config, &err)
						  : helper_shard_tune(&records, &config, kinds[k].dictionary, &err);
		if (rc != 0) {
			fprintf(stderr, "%s\n", err.message);
			return 1;
		}
		snprintf(path, sizeof path, "%s/%u.txt", folder, k);
		FILE *list = fopen(path, "w");
		for (uint32_t i = 0; list != NULL && i < records.count; i++) {
			const struct shard_record_in *record = &records.records[i];
			fprintf(list, "%u %zu %d %u %u %s %s\n", i, record->bytes, record->label, record->width,
				record->height, shard_codec_name(record->codec), record->key);
			snprintf(path, sizeof path, "%s/%u.%u", folder, k, i);
			helper_file_write(path, record->data, record->bytes);
		}
		helper_records_free(&records);
		if (list == NULL || fclose(list) != 0)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--write") == 0)
		return shards_write(argv[2]);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trips, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_large_records_and_storing, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_many_records_in_a_block, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_reproducible, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_records_refused, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_shards_refused, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_write_failure, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_unpack, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_direct, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_sets, helper_place_make, helper_place_remove),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
