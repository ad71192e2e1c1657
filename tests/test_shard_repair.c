/* SPDX-License-Identifier: Apache-2.0 */
/* Damaged shards, repaired: every block that is whole is in the new shard, what is not is named, and the original stays
 * as it is. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/shard_repair.h"
#include "tests/helper_files.h"
#include "tests/helper_shard.h"
#include "tests/hostile_shard.h"

/* An original, its damaged copy, and what a repair says of it. */
struct trial {
	struct helper_place *place;
	char *out;
	unsigned char *sound, *damaged;
	size_t size, damaged_size;
	struct shard_repaired repaired;
	char notes[20000], lost[20000]; /* lost: "record key\n" or "first+count\n" */
	int rc;
	struct error err;
};

static void take_note(void *ctx, const char *line)
{
	struct trial *trial = ctx;
	size_t used = strlen(trial->notes);
	snprintf(trial->notes + used, sizeof trial->notes - used, "%s\n", line);
}

static void take_lost(void *ctx, const struct shard_lost *lost)
{
	struct trial *trial = ctx;
	size_t used = strlen(trial->lost);
	if (lost->key != NULL)
		snprintf(trial->lost + used, sizeof trial->lost - used, "%u %.40s\n", (unsigned)lost->first_record,
			lost->key);
	else
		snprintf(trial->lost + used, sizeof trial->lost - used, "%u+%u\n", (unsigned)lost->first_record,
			(unsigned)lost->record_count);
}

enum kind { STORED, COMPRESSED, DICTIONARY, METADATA };

/* `count` records in 3 classes. */
static struct trial *trial_of(void **state, enum kind kind, uint32_t count)
{
	struct trial *trial = calloc(1, sizeof *trial);
	struct error err = {0};
	struct philox random = philox_stream(11, 0, 0, 0, PHILOX_TEST);
	struct helper_records records =
		helper_records_make(&random, "picture", count, 3, kind == DICTIONARY ? 900 : 4000);
	trial->place = *state;
	trial->out = helper_path(trial->place->folder, "out.ring");
	struct shard_writer_config config = {.path = trial->place->path,
		.block_bytes = kind == DICTIONARY ? 4096 : 16384,
		.zstd_level = kind == STORED ? 0 : 3,
		.origin = "test",
		.meta = kind == METADATA};
	for (uint32_t i = 0; kind == METADATA && i < records.count; i += 2) {
		records.records[i].meta = i % 4 == 0 ? "{\"side\": \"left\"}" : "{}";
		records.records[i].meta_bytes = strlen(records.records[i].meta);
	}
	for (uint32_t i = 0; kind == DICTIONARY && i < records.count; i++) /* something in common */
		memset((unsigned char *)records.records[i].data, 'c', records.records[i].bytes / 2);
	int rc = kind == DICTIONARY ? helper_shard_tune(&records, &config, 512, &err)
				    : helper_shard_write(&records, &config, &err);
	if (rc != 0)
		fail_msg("%s", err.message);
	helper_records_free(&records);
	trial->sound = helper_file_read(config.path, &trial->size);
	trial->damaged = malloc(trial->size);
	memcpy(trial->damaged, trial->sound, trial->size);
	trial->damaged_size = trial->size;
	return trial;
}

/* 40 records, in 8 blocks or so. */
static struct trial *trial_make(void **state, enum kind kind)
{
	return trial_of(state, kind, 40);
}

static void trial_free(struct trial *trial)
{
	free(trial->out);
	free(trial->sound);
	free(trial->damaged);
	free(trial);
}

static void trial_run(struct trial *trial)
{
	const struct shard_repair_report report = {.note = take_note, .lost = take_lost, .ctx = trial};
	size_t size = 0;
	trial->notes[0] = trial->lost[0] = '\0';
	trial->err = (struct error){0};
	helper_file_write(trial->place->path, trial->damaged, trial->damaged_size);
	trial->rc = shard_repair(trial->place->path, trial->out, NULL, &report, &trial->repaired, &trial->err);
	unsigned char *after = helper_file_read(trial->place->path, &size);
	assert_int_equal(size, trial->damaged_size);
	assert_memory_equal(after, trial->damaged, size);
	free(after);
}

static struct shard *sound_open(const struct trial *trial)
{
	struct error err = {0};
	char *path = helper_path(trial->place->folder, "sound.ring");
	helper_file_write(path, trial->sound, trial->size);
	struct shard *shard = shard_open(path, false, &err);
	if (shard == NULL)
		fail_msg("%s", err.message);
	free(path);
	return shard;
}

static bool block_whole(const struct trial *trial, const struct shard_block *block)
{
	return block->offset + block->disk_bytes <= trial->damaged_size &&
	       memcmp(trial->damaged + block->offset, trial->sound + block->offset, block->disk_bytes) == 0;
}

static void assert_same(const struct shard_record_in *a, const struct shard_record_in *b)
{
	assert_string_equal(a->key, b->key);
	assert_int_equal(a->label, b->label);
	assert_int_equal(a->width, b->width);
	assert_int_equal(a->height, b->height);
	assert_int_equal(a->codec, b->codec);
	assert_int_equal(a->bytes, b->bytes);
	assert_memory_equal(a->data, b->data, a->bytes);
	assert_int_equal(a->meta_bytes, b->meta_bytes);
	if (a->meta != NULL)
		assert_memory_equal(a->meta, b->meta, a->meta_bytes);
}

/* Repairs: the output has the records of all whole blocks, in order, and no others. Returns how many records were not
 * in one. Removes the output. */
static uint32_t trial_check(struct trial *trial)
{
	struct error err = {0};
	struct shard *sound = sound_open(trial), *out = NULL;
	struct shard_cursor *from = shard_cursor_create(sound, &err), *to = NULL;
	uint32_t next = 0, missing = 0;
	trial_run(trial);
	if (trial->rc == 0) {
		helper_assert_sound(trial->out);
		out = shard_open(trial->out, false, &err);
		to = shard_cursor_create(out, &err);
	} else {
		assert_int_equal(trial->rc, ERROR_DAMAGED);
		assert_int_equal(access(trial->out, F_OK), -1);
	}
	for (uint32_t i = 0; i < shard_records(sound); i++) {
		struct shard_record_in expected, got;
		if (!block_whole(trial, shard_block(sound, shard_record(sound, i)->block))) {
			missing++;
			continue;
		}
		if (out == NULL)
			fail_msg("%s, but record %u is whole", trial->err.message, i);
		assert_int_equal(shard_cursor_get(from, i, &expected, &err), 0);
		assert_int_equal(shard_cursor_get(to, next++, &got, &err), 0);
		assert_same(&expected, &got);
	}
	if (out != NULL) {
		assert_int_equal(shard_records(out), next);
		assert_int_equal(trial->repaired.records, next);
		for (uint32_t i = 0; i < shard_classes(out); i++) {
			char number[12];
			snprintf(number, sizeof number, "%u", i);
			assert_string_equal(
				shard_class(out, i), trial->repaired.classes_lost ? number : shard_class(sound, i));
		}
		assert_int_equal(unlink(trial->out), 0);
	}
	shard_cursor_destroy(from);
	shard_cursor_destroy(to);
	shard_close(sound);
	shard_close(out);
	return missing;
}

static void test_sound(void **state)
{
	for (enum kind kind = STORED; kind <= METADATA; kind++) {
		struct trial *trial = trial_make(state, kind);
		assert_int_equal(trial_check(trial), 0);
		assert_true(shard_repaired_whole(&trial->repaired));
		assert_false(trial->repaired.index_rebuilt);
		assert_string_equal(trial->notes, "");
		assert_string_equal(trial->lost, "");
		trial_free(trial);
	}
}

static void assert_lost(const struct trial *trial, const struct shard *sound, uint32_t record)
{
	char line[60];
	snprintf(line, sizeof line, "%u %.40s\n", record, shard_record(sound, record)->key);
	assert_non_null(strstr(trial->lost, line));
}

/* Random bytes over the first and the last tenth. */
static void test_both_ends(void **state)
{
	for (enum kind kind = STORED; kind <= METADATA; kind++) {
		struct trial *trial = trial_make(state, kind);
		struct philox random = philox_stream(5, 0, 0, 0, PHILOX_TEST);
		for (size_t i = 0; i < trial->size / 10; i++) {
			trial->damaged[i] = (unsigned char)philox_u32(&random);
			trial->damaged[trial->size - 1 - i] = (unsigned char)philox_u32(&random);
		}
		uint32_t missing = trial_check(trial);
		assert_int_equal(trial->rc, 0);
		assert_true(missing < 30 && (missing > 0 || kind == DICTIONARY));
		assert_false(shard_repaired_whole(&trial->repaired));
		assert_true(trial->repaired.end_unknown && trial->repaired.classes_lost);
		trial_free(trial);
	}
}

/* Where copies of the dictionary lie. */
static unsigned copies_find(const struct trial *trial, size_t places[4])
{
	unsigned count = 0;
	for (size_t at = 0; at < trial->size; at += 4096)
		if (memcmp(trial->sound + at, SHARD_COPY_MAGIC, 8) == 0 && count < 4)
			places[count++] = at;
	return count;
}

/* A dictionary whose place in front is overwritten is read from a copy between two blocks, and verify looks at that,
 * too. */
static void test_copies(void **state)
{
	struct trial *trial = trial_of(state, DICTIONARY, 4000);
	size_t places[4] = {0};
	unsigned count = copies_find(trial, places);
	assert_int_equal(count, 2); /* from 64 KiB on, and from 512 KiB on */
	assert_true(places[0] >= 65536 && places[0] < 65536 + 8192 && places[1] >= 524288 && places[1] < 524288 + 8192);
	for (unsigned copy = 0; copy < count; copy++) {
		struct helper_report report;
		for (size_t at = 0; at < 4096; at += 60) {
			trial->damaged[places[copy] + at] ^= 16;
			helper_file_write(trial->place->path, trial->damaged, trial->size);
			trial->damaged[places[copy] + at] ^= 16;
			assert_int_equal(helper_verify(trial->place->path, &report), 1);
			assert_non_null(strstr(report.text, "the copy of the dictionary before block"));
		}
	}
	struct philox random = philox_stream(6, 0, 0, 0, PHILOX_TEST);
	for (size_t i = 0; i < trial->size / 10; i++) {
		trial->damaged[i] = (unsigned char)philox_u32(&random);
		trial->damaged[trial->size - 1 - i] = (unsigned char)philox_u32(&random);
	}
	uint32_t missing = trial_check(trial);
	assert_int_equal(trial->rc, 0);
	assert_true(missing > 0 && missing < 1000);
	/* Only when the last copy goes, too, is there nothing more to be had. */
	for (unsigned copy = 0; copy < count; copy++)
		trial->damaged[places[copy] + 100] ^= 1;
	trial_run(trial);
	assert_int_equal(trial->rc, ERROR_DAMAGED);
	trial_free(trial);
}

static void test_truncations(void **state)
{
	for (enum kind kind = STORED; kind <= METADATA; kind++) {
		struct trial *trial = trial_make(state, kind);
		uint32_t last = 0;
		for (size_t cut = trial->size; cut > 0; cut = cut > 2111 ? cut - 2111 : 0) {
			trial->damaged_size = cut;
			uint32_t missing = trial_check(trial);
			assert_true(missing >= last);
			last = missing;
			if (trial->rc == 0)
				assert_true(missing == 0 || !shard_repaired_whole(&trial->repaired));
		}
		assert_int_equal(last, 40);
		trial_free(trial);
	}
}

/* The index says what there was, also without footer and header. */
static void test_index_found(void **state)
{
	for (enum kind kind = STORED; kind <= METADATA; kind++) {
		struct trial *trial = trial_make(state, kind);
		memset(trial->damaged + trial->size - 128, 0, 128); /* the footer */
		assert_int_equal(trial_check(trial), 0);
		assert_true(shard_repaired_whole(&trial->repaired));
		assert_false(trial->repaired.index_rebuilt);
		assert_non_null(strstr(trial->notes, "footer: "));
		struct shard *sound = sound_open(trial);
		uint32_t middle = shard_blocks(sound) / 2;
		const struct shard_block *block = shard_block(sound, middle);
		memset(trial->damaged + block->offset, 'x', block->disk_bytes); /* and a block */
		for (int header = 0; header < 2; header++) {
			if (header == 1)
				memset(trial->damaged, 0, 4096);
			assert_int_equal(trial_check(trial), block->record_count);
			assert_int_equal(trial->repaired.records_lost, block->record_count);
			assert_int_equal(trial->repaired.blocks_lost, 1);
			assert_false(trial->repaired.end_unknown);
			assert_int_equal(trial->repaired.classes_lost, header);
			for (uint32_t i = 0; i < block->record_count; i++)
				assert_lost(trial, sound, block->first_record + i);
		}
		shard_close(sound);
		trial_free(trial);
	}
}

static void test_index_lost(void **state)
{
	for (enum kind kind = STORED; kind <= METADATA; kind++) {
		struct trial *trial = trial_make(state, kind);
		struct shard_footer_disk footer;
		memcpy(&footer, trial->sound + trial->size - sizeof footer, sizeof footer);
		for (size_t i = 0; i < footer.index_disk_bytes; i += 7)
			trial->damaged[footer.index_offset + i] ^= 0x55;
		assert_int_equal(trial_check(trial), 0);
		assert_true(shard_repaired_whole(&trial->repaired));
		assert_true(trial->repaired.index_rebuilt);
		assert_non_null(strstr(trial->notes, "index: "));
		struct shard *sound = sound_open(trial); /* a gap is told by numbers, in the middle and at the end */
		const struct shard_block *block = shard_block(sound, 1),
					 *last = shard_block(sound, shard_blocks(sound) - 1);
		memset(trial->damaged + block->offset, 'x', block->disk_bytes);
		memset(trial->damaged + last->offset, 'x', last->disk_bytes);
		assert_int_equal(trial_check(trial), block->record_count + last->record_count);
		assert_int_equal(trial->repaired.records_lost, block->record_count + last->record_count);
		assert_int_equal(trial->repaired.blocks_lost, 2);
		char expected[60];
		snprintf(expected, sizeof expected, "%u+%u\n%u+%u\n", block->first_record, block->record_count,
			last->first_record, last->record_count);
		assert_string_equal(trial->lost, expected);
		shard_close(sound);
		trial_free(trial);
	}
}

static void test_front_lost(void **state)
{
	struct trial *trial = trial_make(state, COMPRESSED);
	memset(trial->damaged, 0, 4096); /* the header alone: the footer says the same */
	assert_int_equal(trial_check(trial), 0);
	assert_true(shard_repaired_whole(&trial->repaired));
	trial->damaged[4098] ^= 1; /* the class table */
	assert_int_equal(trial_check(trial), 0);
	assert_true(trial->repaired.classes_lost);
	assert_false(shard_repaired_whole(&trial->repaired));
	assert_non_null(strstr(trial->notes, "class names are lost: they are \"0\" to \"2\""));
	trial_free(trial);

	trial = trial_make(state, METADATA);
	trial->damaged[8192] ^= 1; /* the field table: ours is taken for it */
	assert_int_equal(trial_check(trial), 0);
	assert_non_null(strstr(trial->notes, "the field table is lost"));
	trial_free(trial);

	trial = trial_make(state, DICTIONARY);
	struct shard *sound = sound_open(trial);
	uint32_t needed = 0;
	for (uint32_t b = 0; b < shard_blocks(sound); b++)
		if (shard_block(sound, b)->compression == SHARD_ZSTD_DICTIONARY)
			needed += shard_block(sound, b)->record_count;
	assert_true(needed > 0);
	trial->damaged[8200] ^= 1;
	trial_run(trial);
	assert_non_null(strstr(trial->notes, "its dictionary is lost"));
	assert_int_equal(trial->rc, needed == shard_records(sound) ? ERROR_DAMAGED : 0);
	if (trial->rc == 0)
		assert_int_equal(trial->repaired.records_lost, needed);
	else
		assert_non_null(strstr(trial->err.message, "that needs no dictionary, and that is lost"));
	shard_close(sound);
	trial_free(trial);
}

/* Stops at the fourth call from the last: blocks have been written by then. */
struct stopping {
	unsigned calls, end;
};

static int stop(void *ctx, struct error *err)
{
	struct stopping *stopping = ctx;
	return ++stopping->calls == stopping->end ? error_set(err, ERROR_INTERRUPTED, "interrupted") : 0;
}

static void forget(void *ctx, const char *line)
{
	(void)ctx, (void)line;
}

static void test_interrupted(void **state)
{
	struct trial *trial = trial_make(state, STORED);
	struct stopping stopping = {0};
	const struct shard_repair_report report = {.note = forget, .poll = stop, .ctx = &stopping};
	struct error err = {0};
	helper_file_write(trial->place->path, trial->sound, trial->size);
	assert_int_equal(shard_repair(trial->place->path, trial->out, NULL, &report, &trial->repaired, &err), 0);
	assert_int_equal(unlink(trial->out), 0);
	assert_true(stopping.calls > 8);
	stopping = (struct stopping){.end = stopping.calls - 3};
	unsigned files = helper_folder_entries(trial->place->folder);
	assert_int_equal(
		shard_repair(trial->place->path, trial->out, NULL, &report, &trial->repaired, &err), ERROR_INTERRUPTED);
	assert_true(trial->repaired.records > 0);
	assert_int_equal(stopping.calls, stopping.end);
	assert_int_equal(helper_folder_entries(trial->place->folder), files);
	trial_free(trial);
}

static void test_refused(void **state)
{
	struct trial *trial = trial_make(state, STORED);
	const struct shard_repair_report report = {.note = take_note, .lost = take_lost, .ctx = trial};
	char *link = helper_path(trial->place->folder, "link.ring"), *gone = helper_path(trial->place->folder, "gone");
	struct error err = {0};
	assert_int_equal(shard_repair(trial->place->path, trial->place->path, NULL, &report, &trial->repaired, &err),
		ERROR_USAGE);
	assert_int_equal(symlink(trial->place->path, link), 0);
	assert_int_equal(shard_repair(trial->place->path, link, NULL, &report, &trial->repaired, NULL), ERROR_USAGE);
	assert_int_equal(shard_repair(gone, trial->out, NULL, &report, &trial->repaired, NULL), ERROR_IO);
	assert_int_equal(
		shard_repair(trial->place->folder, trial->out, NULL, &report, &trial->repaired, NULL), ERROR_IO);
	memset(trial->damaged, 'x', trial->size); /* no shard at all */
	assert_int_equal(trial_check(trial), 40);
	assert_non_null(strstr(trial->err.message, "nothing can be salvaged"));
	memcpy(trial->damaged, trial->sound, trial->size); /* a newer one */
	trial->damaged[12] |= 0x20;
	shard_sign(trial->damaged, trial->size);
	trial_run(trial);
	assert_int_equal(trial->rc, ERROR_VERSION);
	assert_int_equal(access(trial->out, F_OK), -1);
	free(link);
	free(gone);
	trial_free(trial);
}

/* A record's hash is wrong, in a block whose own is right: only the record is lost. */
static void test_record_lost(void **state)
{
	struct trial *trial = trial_make(state, STORED);
	struct shard *sound = sound_open(trial);
	const struct shard_block *block = shard_block(sound, 0);
	trial->damaged[block->offset + 64 + shard_record(sound, 1)->offset] ^= 1;
	shard_sign(trial->damaged, trial->size);
	trial->damaged[trial->size - 1] ^= 1; /* without a footer, whose index would know the block's hash */
	struct shard_footer_disk footer;
	memcpy(&footer, trial->sound + trial->size - sizeof footer, sizeof footer);
	memset(trial->damaged + footer.index_offset, 0, 64);
	trial_run(trial);
	assert_int_equal(trial->rc, 0);
	assert_int_equal(trial->repaired.records, 39);
	assert_int_equal(trial->repaired.records_lost, 1);
	assert_int_equal(trial->repaired.blocks_lost, 0);
	assert_lost(trial, sound, 1);
	helper_assert_sound(trial->out);
	shard_close(sound);
	trial_free(trial);
}

/* A key's byte, which no hash of a record covers: the block's does. */
static void test_key_changed(void **state)
{
	struct trial *trial = trial_make(state, STORED);
	struct shard *sound = sound_open(trial);
	const struct shard_block *block = shard_block(sound, 2);
	trial->damaged[block->offset + 64 + 24] ^= 1;
	assert_int_equal(trial_check(trial), block->record_count);
	assert_int_equal(trial->repaired.records_lost, block->record_count);
	assert_lost(trial, sound, block->first_record);
	shard_close(sound);
	trial_free(trial);
}

/* An image that is a shard itself, whose blocks lie at pages of the file: they are no blocks of it. */
static void test_shard_in_shard(void **state)
{
	struct trial *trial = calloc(1, sizeof *trial);
	struct error err = {0};
	size_t inner_bytes = 0, front = 4096 - (64 + 24 + 1);
	trial->place = *state;
	trial->out = helper_path(trial->place->folder, "out.ring");
	unsigned char *inner = helper_shard_small(trial->place->path, 0, &inner_bytes);
	unsigned char *image = calloc(1, front + inner_bytes);
	memcpy(image + front, inner, inner_bytes);
	struct shard_record_in records[] = {
		{.key = "a", .label = -1, .width = 1, .height = 1, .codec = SHARD_PNG, .data = "x", .bytes = 1},
		{.key = "b",
			.label = -1,
			.width = 1,
			.height = 1,
			.codec = SHARD_PNG,
			.data = image,
			.bytes = front + inner_bytes},
	};
	struct shard_writer_config config = {.path = trial->place->path, .block_bytes = 64};
	struct shard_writer *writer = shard_writer_create(&config, &err);
	for (int i = 0; i < 2; i++)
		assert_int_equal(shard_writer_add(writer, &records[i], &err), 0);
	assert_int_equal(shard_writer_finish(writer, &err), 0);
	trial->sound = helper_file_read(config.path, &trial->size);
	trial->damaged = malloc(trial->size);
	trial->damaged_size = trial->size - 4096; /* no index, no footer */
	memcpy(trial->damaged, trial->sound, trial->size);
	assert_int_equal(trial_check(trial), 0);
	assert_int_equal(trial->repaired.blocks, 2);
	free(inner);
	free(image);
	trial_free(trial);
}

/* Anything changed, hashes made right or not: no crash, and an output is sound. */
static void test_hostile(void **state)
{
	uint32_t written = 0;
	for (enum kind kind = STORED; kind <= METADATA; kind++) {
		struct trial *trial = trial_make(state, kind);
		for (uint32_t seed = 0; seed < 60; seed++) {
			struct philox random = philox_stream(seed, kind, 0, 0, PHILOX_TEST);
			memcpy(trial->damaged, trial->sound, trial->size);
			trial->damaged_size = trial->size;
			for (uint32_t n = 1 + philox_below(&random, 4); n > 0; n--) {
				uint32_t page = philox_below(&random, (uint32_t)trial->size / 4096) * 4096;
				bool footer = philox_below(&random, 4) == 0;
				uint32_t at = footer ? (uint32_t)trial->size - 128 + philox_below(&random, 120)
						     : page + philox_below(&random, 128);
				uint32_t value = philox_below(&random, 2) == 0 ? 0xffffffff : philox_u32(&random);
				memcpy(trial->damaged + at, &value, 4);
			}
			if (seed % 3 != 0)
				shard_sign(trial->damaged, trial->size);
			if (seed % 5 == 0)
				trial->damaged[trial->size - 1] ^= 1;
			trial_run(trial);
			written += trial->rc == 0;
			if (trial->rc == 0) {
				helper_assert_sound(trial->out);
				unlink(trial->out);
			}
		}
		trial_free(trial);
	}
	assert_true(written > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sound, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_both_ends, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_copies, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_truncations, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_index_found, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_index_lost, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_front_lost, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_interrupted, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_refused, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_record_lost, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_key_changed, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_shard_in_shard, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_hostile, helper_place_make, helper_place_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
