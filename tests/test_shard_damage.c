/* SPDX-License-Identifier: Apache-2.0 */
/* Shards that were damaged, cut off, made by newer programs or made to do harm: nothing passes, and it is told what is
 * wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/shard.h"
#include "io/shard_format.h"
#include "tests/helper_files.h"
#include "tests/helper_shard.h"
#include "tests/hostile_shard.h"

/* What a report about byte `at` must say. */
static void part_of(const struct shard *shard, const unsigned char *bytes, size_t size, size_t at, char *part, size_t n)
{
	struct shard_footer_disk footer;
	memcpy(&footer, bytes + size - sizeof footer, sizeof footer);
	if (at < 4096)
		snprintf(part, n, "header: ");
	else if (at < 4096 + footer.class_bytes)
		snprintf(part, n, "class table: ");
	else if (at < shard_block(shard, 0)->offset)
		snprintf(part, n, "padding of the class table");
	else if (at >= size - sizeof footer)
		snprintf(part, n, "footer: ");
	else if (at >= footer.index_offset + footer.index_disk_bytes)
		snprintf(part, n, "padding of the index");
	else if (at >= footer.index_offset)
		snprintf(part, n, "index: ");
	else
		for (uint32_t b = 0; b < shard_blocks(shard); b++) {
			const struct shard_block *block = shard_block(shard, b);
			if (at >= block->offset)
				snprintf(part, n,
					at < block->offset + block->disk_bytes ? ": block %u ("
									       : "padding of block %u ",
					b);
		}
}

static void test_every_byte_flipped(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	size_t size = 0;
	unsigned char *bytes = helper_shard_small(place->path, 3, &size);
	struct shard *shard = shard_open(place->path, false, &err);
	assert_non_null(shard);
	assert_int_equal(shard_blocks(shard), 3);
	assert_int_equal(shard_block(shard, 0)->compression, SHARD_ZSTD);
	assert_int_equal(shard_block(shard, 2)->compression, SHARD_STORED);
	int fd = open(place->path, O_WRONLY);
	struct philox random = philox_stream(4, 0, 0, 0, PHILOX_TEST);
	for (size_t at = 0; at < size; at++) {
		struct helper_report report;
		char part[64] = "";
		unsigned char flipped = bytes[at] ^ (unsigned char)(1u << philox_below(&random, 8));
		assert_int_equal(pwrite(fd, &flipped, 1, (off_t)at), 1);
		int64_t damages = helper_verify(place->path, &report);
		part_of(shard, bytes, size, at, part, sizeof part);
		if (damages <= 0 || strstr(report.text, part) == NULL)
			fail_msg("byte %zu: %d damages, '%s' is not in: %s", at, (int)damages, part, report.text);
		/* Without decompressing anything it is found too; among the blocks, it is not from the index alone. */
		struct helper_report bytes_alone, index_alone;
		assert_int_equal(helper_verify_as(place->path, SHARD_VERIFY_BYTES, 1, &bytes_alone), damages);
		assert_string_equal(bytes_alone.text, report.text);
		const bool in_blocks = strstr(part, "block") != NULL;
		if ((helper_verify_as(place->path, SHARD_VERIFY_INDEX, 1, &index_alone) == 0) != in_blocks)
			fail_msg("byte %zu: the index says: %s", at, index_alone.text);
		assert_int_equal(pwrite(fd, bytes + at, 1, (off_t)at), 1);
	}
	close(fd);
	shard_close(shard);
	helper_assert_sound(place->path);
	free(bytes);
}

/* Also with zeros or other bytes behind the end. */
static void test_every_truncation(void **state)
{
	struct helper_place *place = *state;
	size_t size = 0;
	unsigned char *bytes = helper_shard_small(place->path, 3, &size);
	for (size_t length = size + 8192; length-- > 0;) {
		struct error err = {0};
		struct helper_report report;
		if (length == size)
			continue;
		assert_int_equal(truncate(place->path, (off_t)length), 0);
		struct shard *shard = shard_open(place->path, false, &err);
		assert_null(shard);
		assert_int_equal(err.code, length == 0 ? ERROR_FORMAT : ERROR_DAMAGED);
		assert_non_null(strstr(err.message, place->path));
		if (length % 64 != 0 && length % 4096 > 2)
			continue;
		int64_t damages = helper_verify(place->path, &report);
		assert_true(length == 0 ? damages == ERROR_FORMAT : damages > 0);
	}
	free(bytes);
}

/* Several damages: all of them are told, and without index or footer the blocks are still checked. */
static void test_verify_goes_on(void **state)
{
	struct helper_place *place = *state;
	struct helper_report report;
	struct error err = {0};
	size_t size = 0;
	unsigned char *bytes = helper_shard_small(place->path, 3, &size);
	struct shard *shard = shard_open(place->path, false, &err);
	uint64_t offsets[3] = {
		shard_block(shard, 0)->offset, shard_block(shard, 1)->offset, shard_block(shard, 2)->offset};
	shard_close(shard);
	bytes[offsets[0] + 70] ^= 1;
	bytes[offsets[2] + 70] ^= 1;
	bytes[5000] ^= 1;
	helper_file_write(place->path, bytes, size);
	assert_int_equal(helper_verify(place->path, &report), 3);
	assert_non_null(strstr(report.text, "padding of the class table"));
	assert_non_null(strstr(report.text, "block 0 (records 0 to 1, '"));
	assert_non_null(strstr(report.text, "block 2 (records 4 to 5, '"));

	bytes[size - 20] ^= 1; /* the footer, so that the index is lost too */
	helper_file_write(place->path, bytes, size);
	assert_int_equal(helper_verify(place->path, &report), 4);
	assert_non_null(strstr(report.text, "footer: "));
	assert_non_null(strstr(report.text, "block 0 (2 records from record 0)"));
	assert_non_null(strstr(report.text, "block 2 (2 records from record 4)"));

	bytes[size - 20] ^= 1;
	bytes[offsets[2] + 0x1000 + 4096] ^= 1; /* the index; and the header of block 1 */
	bytes[offsets[1] + 9] ^= 1;
	helper_file_write(place->path, bytes, size);
	helper_verify(place->path, &report);
	assert_non_null(strstr(report.text, "index: "));
	assert_non_null(strstr(report.text, "block 1 (2 pages"));
	assert_non_null(strstr(report.text, "block 2 (2 records from record 4)"));

	memset(bytes, 0, 4096); /* no header at all: the footer knows enough */
	helper_file_write(place->path, bytes, size);
	assert_true(helper_verify(place->path, &report) > 3);
	assert_non_null(strstr(report.text, "header: "));
	free(bytes);
}

/* Damage all over a shard of many blocks, with and without its index: any number of threads tells the same in the same
 * order; a place with very many damages is told up to a limit. */
static void test_jobs(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	size_t size = 0;
	struct philox random = philox_stream(11, 0, 0, 0, PHILOX_TEST);
	struct helper_records records = helper_records_make(&random, "many", 600, 3, 40000);
	const struct shard_writer_config config = {.path = place->path, .block_bytes = 30000, .zstd_level = 1};
	assert_int_equal(helper_shard_write(&records, &config, &err), 0);
	helper_records_free(&records);
	unsigned char *bytes = helper_file_read(place->path, &size);
	assert_true(size > 4 << 20); /* of which a thread takes a MiB */
	for (size_t at = 8192; at + 8192 < size; at += 100000)
		bytes[at] ^= 1;
	for (int index_lost = 0; index_lost < 2; index_lost++) {
		bytes[size - 20] ^= (unsigned char)index_lost;
		helper_file_write(place->path, bytes, size);
		for (int level = SHARD_VERIFY_BYTES; level <= SHARD_VERIFY_FULL; level++) {
			struct helper_report one, many;
			int64_t damages = helper_verify_as(place->path, (enum shard_verify_level)level, 1, &one);
			assert_true(damages > 20);
			for (unsigned jobs = 2; jobs <= 5; jobs++) {
				assert_int_equal(
					helper_verify_as(place->path, (enum shard_verify_level)level, jobs, &many),
					damages);
				assert_string_equal(one.text, many.text);
			}
		}
	}
	free(bytes);
}

/* A block of another shard, sound in itself, is not the one that the index names. */
static void test_block_swapped(void **state)
{
	struct helper_place *place = *state;
	struct helper_report report;
	size_t size = 0;
	unsigned char *bytes = helper_shard_small(place->path, 3, &size), page[8192];
	struct error err = {0};
	struct shard *shard = shard_open(place->path, false, &err);
	uint64_t one = shard_block(shard, 1)->offset, two = shard_block(shard, 2)->offset;
	memcpy(page, bytes + one, sizeof page);
	memcpy(bytes + one, bytes + two, sizeof page);
	memcpy(bytes + two, page, sizeof page);
	shard_close(shard);
	helper_file_write(place->path, bytes, size);
	assert_int_equal(helper_verify(place->path, &report), 2);
	assert_non_null(strstr(report.text, "not the block that the index names"));
	shard = shard_open(place->path, false, &err);
	assert_non_null(shard);
	unsigned char *data = NULL;
	assert_int_equal(shard_read_record(shard, 2, &data, &size, &err), ERROR_DAMAGED);
	assert_non_null(strstr(err.message, "block 1 (records 2 to 3, '"));
	shard_close(shard);
	free(bytes);
}

/* A block as it was before its shard was written anew, in the same place with the same sizes: sound, but stale. */
static void test_block_stale(void **state)
{
	struct helper_place *place = *state;
	struct helper_report report;
	size_t size = 0;
	unsigned char *bytes = helper_shard_small(place->path, 0, &size), *other = malloc(size);
	memcpy(other, bytes, size);
	struct error err = {0};
	struct shard *shard = shard_open(place->path, false, &err);
	const struct shard_block *block = shard_block(shard, 1);
	other[block->offset + block->disk_bytes - 1] ^= 1;
	shard_sign(other, size);
	memcpy(bytes + block->offset, other + block->offset, block->disk_bytes);
	shard_close(shard);
	helper_file_write(place->path, bytes, size);
	assert_int_equal(helper_verify(place->path, &report), 1);
	assert_non_null(strstr(report.text, "block 1 (records 2 to 3, '"));
	assert_non_null(strstr(report.text, "is damaged: it is not the block that the index names"));
	free(bytes);
	free(other);
}

/* Where things lie in a small shard of level 0, whose index is stored. */
struct places {
	size_t index, index_records, footer;
	uint64_t block_offsets[3];
};

static struct places places_of(const char *path, size_t size)
{
	struct error err = {0};
	struct shard *shard = shard_open(path, false, &err);
	struct places places = {.footer = size - sizeof(struct shard_footer_disk)};
	for (uint32_t b = 0; b < 3; b++)
		places.block_offsets[b] = shard_block(shard, b)->offset;
	places.index = places.block_offsets[2] + (shard_block(shard, 2)->disk_bytes + UINT64_C(4095)) / 4096 * 4096;
	places.index_records = places.index + 3 * sizeof(struct shard_index_block_disk);
	shard_close(shard);
	return places;
}

/* Numbers in index and footer that cannot be, under right hashes: each is refused when the shard is opened. */
static void test_impossible_numbers(void **state)
{
	struct helper_place *place = *state;
	size_t size = 0;
	unsigned char *bytes = helper_shard_small(place->path, 0, &size), *patched = malloc(size);
	struct places places = places_of(place->path, size);
	const size_t block = places.index + 32, record = places.index_records, footer = places.footer;
	const struct {
		size_t at, width;
		uint64_t value;
		const char *why;
	} cases[] = {
		{block, 8, places.block_offsets[1] + 4096, "block 1"},
		{block, 8, places.block_offsets[0], "block 1"},
		{block, 8, UINT64_MAX - 4095, "block 1"},
		{block + 16, 4, 64, "block 1"},
		{block + 16, 4, 0xffffffff, "block 1"},
		{block + 16, 4, 65, "block 1"},
		{block + 20, 4, 0, "block 1"},
		{block + 20, 4, 0xffffffff, "block 1"},
		{block + 20, 4, 5000, "block 1"},
		{block + 24, 4, 0, "block 1"},
		{block + 24, 4, 0xffffffff, "block 1"},
		{block + 24, 4, 1, "do not add up"},
		{block + 28, 4, 2, "block 1"},
		{record + 8, 4, 0, "record 0"},
		{record + 8, 4, 0xffffffff, "record 0"},
		{record + 8, 4, 0x7fffffff, "record 0"},
		{record + 8, 4, 1499, "block 0"},
		{record + 12, 4, 2, "record 0"},
		{record + 12, 4, 0xfffffffe, "record 0"},
		{record + 16, 2, 0, "record 0"},
		{record + 18, 2, 0, "record 0"},
		{record + 20, 1, 4, "record 0"},
		{record + 20, 1, SHARD_RAW, "record 0"},
		{record + 22, 2, 0, "record 0"},
		{record + 22, 2, 4096, "record 0"},
		{record + 22, 2, 200, "record 0"},
		{record + 24, 1, 0, "record 0"},
		{footer + 8, 8, size + 4096, "its footer says"},
		{footer + 24, 8, 5000, "not of one file"},
		{footer + 24, 8, 10000, "class table"},
		{footer + 40, 4, 3, "not of one file"},
		{footer + 40, 4, 0xffffffff, "class table"},
		{footer + 44, 4, 0, "counts"},
		{footer + 44, 4, 100, "counts"},
		{footer + 44, 4, 2, "index"},
		{footer + 48, 4, 2, "counts"},
		{footer + 48, 4, 0xffffffff, "size of the index"},
		{footer + 48, 4, 5, "the index"},
		{footer + 52, 4, 7, "compression"},
		{footer + 52, 4, 1, "the index is damaged"},
		{footer + 56, 8, 4096, "place of the index"},
		{footer + 56, 8, UINT64_MAX, "place of the index"},
		{footer + 64, 8, UINT64_MAX, "place of the index"},
		{footer + 72, 8, UINT64_MAX, "size of the index"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error err = {0};
		memcpy(patched, bytes, size);
		memcpy(patched + cases[i].at, &cases[i].value, cases[i].width);
		shard_sign(patched, size);
		helper_file_write(place->path, patched, size);
		struct shard *shard = shard_open(place->path, false, &err);
		if (shard != NULL || strstr(err.message, cases[i].why) == NULL)
			fail_msg("case %zu: '%s' does not say '%s'", i, err.message, cases[i].why);
		assert_true(err.code == ERROR_FORMAT || err.code == ERROR_DAMAGED);
	}
	free(patched);
	free(bytes);
}

/* A block of almost 4 GiB on disk, which rounded up to pages does not fit 32 bits, in a file that has them as a hole.
 */
static void test_huge_block(void **state)
{
	struct helper_place *place = *state;
	size_t size = 0;
	unsigned char *bytes = helper_shard_small(place->path, 0, &size);
	const struct places places = places_of(place->path, size);
	const uint32_t huge = 0xfffff801, zstd = SHARD_ZSTD;
	const uint64_t index = places.block_offsets[2] + (UINT64_C(1) << 32);
	struct shard_footer_disk footer;
	memcpy(bytes + places.index + 2 * 32 + 16, &huge, sizeof huge);
	memcpy(bytes + places.index + 2 * 32 + 28, &zstd, sizeof zstd);
	memcpy(&footer, bytes + places.footer, sizeof footer);
	footer.file_bytes += index - footer.index_offset;
	footer.index_offset = index;
	footer.index_hash = XXH3_64bits(bytes + places.index, (size_t)footer.index_disk_bytes);
	footer.hash = XXH3_64bits(&footer, offsetof(struct shard_footer_disk, hash));
	memcpy(bytes + places.footer, &footer, sizeof footer);
	int fd = open(place->path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, bytes + places.index, size - places.index, (off_t)index), size - places.index);
	close(fd);
	struct error err = {0};
	assert_null(shard_open(place->path, false, &err));
	assert_int_equal(err.code, ERROR_FORMAT);
	assert_non_null(strstr(err.message, "block 2 (larger than the format allows"));
	free(bytes);
}

/* Hashes of blocks and index are right, but what they hold is wrong: only verifying the records finds that. */
static void test_wrong_inside(void **state)
{
	struct helper_place *place = *state;
	struct helper_report report;
	size_t size = 0;
	unsigned char *bytes = helper_shard_small(place->path, 0, &size), *patched = malloc(size), *data = NULL;
	struct places places = places_of(place->path, size);
	size_t entry = 24 + strlen("pictures/0.jpg"), table = places.block_offsets[0] + 64;
	struct error err = {0};

	memcpy(patched, bytes, size); /* the hash of record 1, in block and index */
	patched[table + entry] ^= 1;
	patched[places.index_records + entry] ^= 1;
	shard_sign(patched, size);
	memcpy(patched + places.index + 8, patched + places.block_offsets[0] + 56, 8);
	shard_sign(patched, size);
	helper_file_write(place->path, patched, size);
	assert_int_equal(helper_verify(place->path, &report), 1);
	assert_non_null(strstr(report.text, "record 1 ('pictures/1.jpg') in block 0 is damaged: hash"));
	struct shard *shard = shard_open(place->path, false, &err);
	assert_non_null(shard);
	assert_int_equal(shard_read_record(shard, 1, &data, &size, &err), ERROR_DAMAGED);
	assert_non_null(strstr(err.message, "record 1 ('pictures/1.jpg')"));
	shard_close(shard);
	size = places.footer + sizeof(struct shard_footer_disk);

	memcpy(patched, bytes, size); /* the label of record 0, in the index alone */
	patched[places.index_records + 12] ^= 0xff;
	memset(patched + places.index_records + 13, 0, 3);
	shard_sign(patched, size);
	helper_file_write(place->path, patched, size);
	assert_int_equal(helper_verify(place->path, &report), 1);
	assert_non_null(strstr(report.text, "record 0 ('pictures/0.jpg') differs between the index and block 0"));

	memcpy(patched, bytes, size); /* the key of record 1 becomes record 0's */
	patched[table + entry + 24 + 9] = '0';
	patched[places.index_records + entry + 24 + 9] = '0';
	shard_sign(patched, size);
	memcpy(patched + places.index + 8, patched + places.block_offsets[0] + 56, 8);
	shard_sign(patched, size);
	helper_file_write(place->path, patched, size);
	assert_int_equal(helper_verify(place->path, &report), 1);
	assert_non_null(strstr(report.text, "records 0 and 1 have the same key 'pictures/0.jpg'"));
	free(patched);
	free(bytes);
}

/* Patches the header, computes the hashes anew, and opens. */
static struct shard *open_patched(
	const char *path, const unsigned char *bytes, size_t size, size_t at, uint32_t value, struct error *err)
{
	unsigned char *patched = malloc(size);
	memcpy(patched, bytes, size);
	memcpy(patched + at, &value, at < 12 ? 2 : 4);
	shard_sign(patched, size);
	helper_file_write(path, patched, size);
	free(patched);
	*err = (struct error){0};
	return shard_open(path, false, err);
}

static void test_versions(void **state)
{
	struct helper_place *place = *state;
	struct helper_report report;
	struct error err = {0};
	size_t size = 0;
	unsigned char *bytes = helper_shard_small(place->path, 3, &size);
	assert_null(open_patched(place->path, bytes, size, 8, 2, &err)); /* major version */
	assert_int_equal(err.code, ERROR_VERSION);
	assert_non_null(strstr(err.message, "format 2.0"));
	assert_int_equal(helper_verify(place->path, &report), ERROR_VERSION);
	assert_null(open_patched(place->path, bytes, size, 12, 1u << 5, &err)); /* required flags */
	assert_int_equal(err.code, ERROR_VERSION);
	assert_non_null(strstr(err.message, "feature number 5"));
	struct shard *shard = open_patched(place->path, bytes, size, 16, 1u << 5, &err); /* optional flags */
	assert_non_null(shard);
	shard_close(shard);
	helper_assert_sound(place->path);
	shard = open_patched(place->path, bytes, size, 10, 7, &err); /* minor version */
	assert_non_null(shard);
	shard_close(shard);
	assert_null(open_patched(place->path, bytes, size, 0, 0x20202020, &err)); /* magic */
	assert_int_equal(err.code, ERROR_FORMAT);
	/* A damaged version is damage, not a newer version. */
	bytes[8] = 9;
	helper_file_write(place->path, bytes, size);
	err = (struct error){0};
	assert_null(shard_open(place->path, false, &err));
	assert_int_equal(err.code, ERROR_DAMAGED);
	free(bytes);
}

static void test_not_shards(void **state)
{
	struct helper_place *place = *state;
	const struct shard_verify_options full = {.level = SHARD_VERIFY_FULL};
	struct error err = {0};
	char text[20000];
	memset(text, 'x', sizeof text);
	helper_file_write(place->path, text, sizeof text);
	assert_null(shard_open(place->path, false, &err));
	assert_int_equal(err.code, ERROR_FORMAT);
	err = (struct error){0};
	assert_int_equal(shard_verify(place->path, &full, &err), ERROR_FORMAT);
	err = (struct error){0};
	assert_null(shard_open(place->folder, false, &err));
	assert_int_equal(err.code, ERROR_IO);
	assert_int_equal(shard_verify(place->folder, &full, NULL), ERROR_IO);
	char *missing = helper_path(place->folder, "missing.ring");
	err = (struct error){0};
	assert_null(shard_open(missing, false, &err));
	assert_int_equal(err.code, ERROR_IO);
	assert_non_null(strstr(err.message, missing));
	assert_int_equal(shard_verify(missing, &full, NULL), ERROR_IO);
	free(missing);
}

/* Fields and sizes changed at random, hashes made right again: whatever happens, it is no crash. */
static void test_hostile(void **state)
{
	struct helper_place *place = *state;
	size_t sizes[2], opened = 0, refused = 0;
	unsigned char *shards[2], *hostile = malloc(1 << 16);
	for (int stored = 0; stored < 2; stored++)
		shards[stored] = helper_shard_small(place->path, stored ? 0 : 3, &sizes[stored]);
	for (uint32_t seed = 0; seed < 6000; seed++) {
		struct philox random = philox_stream(seed, 0, 0, 0, PHILOX_TEST);
		const unsigned char *bytes = shards[seed % 2];
		const size_t size = sizes[seed % 2];
		struct shard_footer_disk footer;
		memcpy(&footer, bytes + size - sizeof footer, sizeof footer);
		size_t starts[] = {0, 4096, 8192, footer.index_offset, footer.index_offset, size - sizeof footer};
		size_t lengths[] = {64, 16, size - 8192, footer.index_disk_bytes, 128, sizeof footer};
		memcpy(hostile, bytes, size);
		for (uint32_t n = 1 + philox_below(&random, 3); n > 0; n--) {
			uint32_t part = philox_below(&random, 6);
			unsigned char *at = hostile + starts[part] + philox_below(&random, (uint32_t)lengths[part]);
			static const uint32_t values[] = {0, 1, 0xff, 0xffff, 0x7fffffff, 0xffffffff, 4096, 0x80000000};
			uint32_t value = values[philox_below(&random, 8)];
			size_t width = (size_t)1 << philox_below(&random, 3);
			if (philox_below(&random, 2) == 0)
				*at ^= (unsigned char)(1u << philox_below(&random, 8));
			else if (at + width <= hostile + size)
				memcpy(at, &value, width);
		}
		shard_sign(hostile, size);
		helper_file_write(place->path, hostile, size);
		int rc = shard_exercise(place->path);
		opened += rc == 0;
		refused += rc != 0;
	}
	assert_true(opened > 100 && refused > 100);
	free(hostile);
	free(shards[0]);
	free(shards[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_byte_flipped, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_every_truncation, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_verify_goes_on, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_jobs, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_block_swapped, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_block_stale, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_impossible_numbers, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_huge_block, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_wrong_inside, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_versions, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_not_shards, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_hostile, helper_place_make, helper_place_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
