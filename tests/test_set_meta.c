/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata goes through every tool on sets as it was, and a change of it is seen. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/shard.h"
#include "tests/helper_files.h"
#include "tools/command.h"

enum { RECORDS = 60, CHANGED = 7, WITHOUT = 5 /* every fifth has none */ };

/* A number that no double holds, and members that an export would add. */
static void make_meta(unsigned i, bool changed, char text[128])
{
	if (i % 3 == 0)
		snprintf(text, 128, "{ \"id\": 90071992547409%04u%s } ", i, changed ? ", \"new\": 1" : "");
	else
		snprintf(text, 128, "{\"key\":\"%u\",\"class\":null%s}", i, changed ? ",\"new\":1" : "");
}

static void write_shard(const char *path, unsigned changed)
{
	struct error err = {0};
	const char *const classes[] = {"even", "odd"};
	const struct shard_writer_config config = {
		.path = path, .classes = classes, .class_count = 2, .block_bytes = 4096, .meta = true};
	struct shard_writer *writer = shard_writer_create(&config, &err);
	assert_non_null(writer);
	for (unsigned i = 0; i < RECORDS; i++) {
		char key[32], meta[128];
		unsigned char image[16 * 16 * 3];
		memset(image, (int)i, sizeof(image));
		snprintf(key, sizeof(key), "%s/%03u.png", classes[i % 2], i);
		make_meta(i, i == changed, meta);
		const struct shard_record_in record = {.key = key,
			.label = (int32_t)(i % 2),
			.width = 16,
			.height = 16,
			.codec = SHARD_RAW,
			.data = image,
			.bytes = sizeof(image),
			.meta = i % WITHOUT == 0 ? NULL : meta,
			.meta_bytes = i % WITHOUT == 0 ? 0 : strlen(meta)};
		assert_int_equal(shard_writer_add(writer, &record, &err), 0);
	}
	assert_int_equal(shard_writer_finish(writer, &err), 0);
}

static int run(int (*command)(int, char **), const char *name, const char *const *arguments)
{
	char *argv[12] = {(char *)name};
	int argc = 1;
	for (; arguments[argc - 1] != NULL; argc++)
		argv[argc] = (char *)arguments[argc - 1];
	return command(argc, argv);
}
#define RUN(name, ...) run(command_##name, #name, (const char *const[]){__VA_ARGS__, NULL})

struct files {
	char *folder, *in, *changed, *out, *parts, *part0, *part1;
};

static struct files make_files(void)
{
	struct files files = {.folder = helper_folder_make()};
	files.in = helper_path(files.folder, "in.ring");
	files.changed = helper_path(files.folder, "changed.ring");
	files.out = helper_path(files.folder, "out.ring");
	files.parts = helper_path(files.folder, "parts");
	files.part0 = helper_path(files.parts, "part-0.ring");
	files.part1 = helper_path(files.parts, "part-1.ring");
	write_shard(files.in, RECORDS);
	write_shard(files.changed, CHANGED);
	return files;
}

static void free_files(struct files *files)
{
	helper_folder_remove(files->folder);
	free(files->in);
	free(files->changed);
	free(files->out);
	free(files->parts);
	free(files->part0);
	free(files->part1);
}

static void test_diff(void **state)
{
	(void)state;
	struct files files = make_files();
	assert_int_equal(RUN(diff, files.in, files.in), 0);
	assert_int_equal(RUN(diff, files.in, files.changed), 1);
	free_files(&files);
}

/* After each of the tools diff finds nothing, and it has just shown that it would. */
static void test_copies(void **state)
{
	(void)state;
	struct files files = make_files();
	assert_int_equal(RUN(reshuffle, files.in, "--seed", "3", "-o", files.out), 0);
	assert_int_equal(RUN(diff, files.in, files.out), 0);
	assert_int_equal(RUN(filter, files.out, "--key", "*", "-o", files.out), 0); /* onto its input */
	assert_int_equal(RUN(diff, files.in, files.out), 0);
	assert_int_equal(RUN(split, files.out, "--fractions", "0.5,0.5", "-o", files.parts), 0);
	assert_int_equal(RUN(merge, files.part0, files.part1, "-o", files.out), 0);
	assert_int_equal(RUN(diff, files.in, files.out), 0);
	assert_int_equal(RUN(diff, files.changed, files.out), 1);
	free_files(&files);
}

static void test_extract(void **state)
{
	(void)state;
	struct files files = make_files();
	assert_int_equal(RUN(extract, files.in, "--meta", "-o", files.parts), 0);
	for (unsigned i = 0; i < RECORDS; i++) {
		char name[64], meta[128];
		snprintf(name, sizeof(name), "%s/%03u.json", i % 2 == 0 ? "even" : "odd", i);
		char *path = helper_path(files.parts, name);
		make_meta(i, false, meta);
		if (i % WITHOUT != 0) {
			size_t bytes = 0;
			unsigned char *text = helper_file_read(path, &bytes);
			assert_int_equal(bytes, strlen(meta));
			assert_memory_equal(text, meta, bytes);
			free(text);
		}
		free(path);
	}
	char *even = helper_path(files.parts, "even");
	assert_int_equal(helper_folder_entries(even), 30 + 24);
	free(even);
	free_files(&files);
}

static void assert_holds(const unsigned char *data, size_t bytes, const char *text)
{
	if (memmem(data, bytes, text, strlen(text)) == NULL)
		fail_msg("missing: %s", text);
}

static void test_export(void **state)
{
	(void)state;
	struct files files = make_files();
	assert_int_equal(RUN(export, files.in, "-o", files.parts), 0);
	char *tar = helper_path(files.parts, "shard-000000.tar");
	size_t bytes = 0;
	unsigned char *data = helper_file_read(tar, &bytes);
	/* Without metadata, with members added, and with members that stay as they are. */
	assert_holds(data, bytes, "{\"key\":\"even/000.png\",\"class\":\"even\"}");
	assert_holds(data, bytes, "{ \"id\": 900719925474090003 ,\"key\":\"odd/003.png\",\"class\":\"odd\"}");
	assert_holds(data, bytes, "{\"key\":\"7\",\"class\":null}");
	free(data);
	free(tar);
	free_files(&files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_extract),
		cmocka_unit_test(test_export),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
