/* SPDX-License-Identifier: Apache-2.0 */
/* The class-balanced subset of a shard is what `ringclr pack --label-fraction` keeps of the same images. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/class_draw.h"
#include "tests/helper_files.h"
#include "tools/command.h"

enum { LINE_BYTES = 4096 };

static char *folder;

__attribute__((format(printf, 2, 3))) static void run(int (*command)(int argc, char **argv), const char *format, ...)
{
	char line[LINE_BYTES], *argv[32];
	int argc = 0;
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	for (char *rest = line, *word; (word = strtok_r(rest, " ", &rest)) != NULL;)
		argv[argc++] = word;
	argv[argc] = NULL;
	assert_int_equal(command(argc, argv), EXIT_OK);
}

static struct shard_set *open_shard(const char *name)
{
	struct error err = {0};
	char *path = helper_path(folder, name);
	const char *paths[] = {path};
	struct shard_set *set = shard_set_open(paths, 1, false, &err);
	assert_non_null(set);
	free(path);
	return set;
}

/* Ten classes, one of which has few images. */
static int set_up(void **state)
{
	(void)state;
	char line[LINE_BYTES];
	folder = helper_folder_make();
	run(command_synth, "synth %s/images --train 120 --test 1 --size 16", folder);
	snprintf(line, sizeof line, "cd %s/images/train/disc && rm $(ls | tail -n 9)", folder);
	assert_int_equal(system(line), 0); /* NOLINT(cert-env33-c): a folder of the test's own */
	run(command_pack, "pack %s/images --root train -o %s/all.ring", folder, folder);
	/* In another order, and in two shards. */
	run(command_pack, "pack %s/images --root train --shuffle 5 -o %s/shuffled.ring", folder, folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	helper_folder_remove(folder);
	return 0;
}

static bool has_key(const struct shard_set *set, const char *key)
{
	for (uint64_t i = 0; i < shard_set_records(set); i++)
		if (strcmp(shard_set_record(set, i)->key, key) == 0)
			return true;
	return false;
}

static void check_same(const char *shard, double fraction, unsigned seed)
{
	struct error err = {0};
	run(command_pack, "pack %s/images --root train --label-fraction %g --split-seed %u -o %s/part.ring", folder,
		fraction, seed, folder);
	struct shard_set *all = open_shard(shard), *part = open_shard("part.ring");
	uint64_t *records, count;
	assert_int_equal(class_draw_subset(all, fraction, seed, &records, &count, &err), 0);
	assert_int_equal(count, shard_set_records(part));
	for (uint64_t i = 0; i < count; i++) {
		assert_true(i == 0 || records[i - 1] < records[i]);
		assert_true(has_key(part, shard_set_record(all, records[i])->key));
	}
	free(records);
	shard_set_close(all);
	shard_set_close(part);
}

static void test_same_as_pack(void **state)
{
	(void)state;
	static const double fractions[] = {0.001, 0.1, 0.25, 0.5, 0.9, 0.999};
	for (size_t i = 0; i < sizeof fractions / sizeof fractions[0]; i++) {
		check_same("all.ring", fractions[i], 0);
		check_same("shuffled.ring", fractions[i], 7);
	}
}

static void test_seeds(void **state)
{
	(void)state;
	struct error err = {0};
	struct shard_set *all = open_shard("all.ring");
	uint64_t *records[3], count[3];
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(class_draw_subset(all, 0.3, i / 2, &records[i], &count[i], &err), 0);
	assert_true(count[0] == count[1] && count[0] == count[2]);
	assert_memory_equal(records[0], records[1], count[0] * sizeof(uint64_t));
	assert_memory_not_equal(records[0], records[2], count[0] * sizeof(uint64_t));
	for (unsigned i = 0; i < 3; i++)
		free(records[i]);
	shard_set_close(all);
}

static void test_no_labels(void **state)
{
	(void)state;
	struct error err = {0};
	uint64_t *records, count;
	run(command_pack, "pack %s/images/train/ring -o %s/flat.ring", folder, folder);
	struct shard_set *flat = open_shard("flat.ring");
	assert_int_equal(class_draw_subset(flat, 0.5, 0, &records, &count, &err), ERROR_MISMATCH);
	assert_non_null(strstr(err.message, "flat.ring"));
	assert_null(records);
	shard_set_close(flat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_pack),
		cmocka_unit_test(test_seeds),
		cmocka_unit_test(test_no_labels),
	};
	return cmocka_run_group_tests_name("class_draw", tests, set_up, tear_down);
}
