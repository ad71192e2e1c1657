/* SPDX-License-Identifier: Apache-2.0 */
/* Shards whose keys and classes would like to be files elsewhere: extract and export name them and write nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/shard.h"
#include "tests/helper_files.h"
#include "tools/command.h"

static const unsigned char pixels[3] = {1, 2, 3};

struct shard_spec {
	const char *keys[3];
	const char *class_name;
	const char *meta;
};

static void write_shard(const char *path, const struct shard_spec *spec)
{
	struct error err = {0};
	const char *const classes[1] = {spec->class_name != NULL ? spec->class_name : "class"};
	const struct shard_writer_config config = {
		.path = path, .classes = classes, .class_count = 1, .meta = spec->meta != NULL};
	struct shard_writer *writer = shard_writer_create(&config, &err);
	assert_non_null(writer);
	for (unsigned i = 0; i < 3 && spec->keys[i] != NULL; i++) {
		const struct shard_record_in record = {.key = spec->keys[i],
			.label = 0,
			.width = 1,
			.height = 1,
			.codec = SHARD_RAW,
			.data = pixels,
			.bytes = sizeof(pixels),
			.meta = spec->meta,
			.meta_bytes = spec->meta != NULL ? strlen(spec->meta) : 0};
		assert_int_equal(shard_writer_add(writer, &record, &err), 0);
	}
	assert_int_equal(shard_writer_finish(writer, &err), 0);
}

struct run {
	int (*command)(int argc, char **argv);
	char *argv[8];
	int status;
};

static void run(void *ctx)
{
	struct run *it = ctx;
	int argc = 0;
	while (it->argv[argc] != NULL)
		argc++;
	it->status = it->command(argc, it->argv);
}

/* Runs the command on such a shard with the output a/b/out (so that there is room for "../.."), and expects that it
 * says `words` and leaves nothing; words NULL: that it goes well. */
static void check(const struct shard_spec *spec, const char *to, const char *output, const char *words)
{
	char *folder = helper_folder_make();
	char *shard = helper_path(folder, "in.ring"), *path = helper_path(folder, output);
	write_shard(shard, spec);
	struct run it = {.command = to == NULL ? command_extract : command_export,
		.argv = {to == NULL ? "extract" : "export", shard, "-o", path, to == NULL ? "--meta" : "--to",
			(char *)to}};
	char *said = helper_stderr_of(run, &it);
	if (words == NULL) {
		if (it.status != EXIT_OK)
			fail_msg("%s", said);
		assert_int_equal(helper_folder_entries(folder), 2);
	} else {
		assert_int_equal(it.status, EXIT_FAILED);
		if (strstr(said, words) == NULL)
			fail_msg("'%s' is not in: %s", words, said);
		assert_int_equal(helper_folder_entries(folder), 1);
	}
	free(said);
	free(shard);
	free(path);
	helper_folder_remove(folder);
}

static void check_everywhere(const struct shard_spec *spec, const char *words)
{
	check(spec, NULL, "out", words);
	check(spec, NULL, "out.tar", words);
	check(spec, "webdataset", "out", words);
	check(spec, "folder", "out", words);
}

static void test_bad_keys(void **state)
{
	(void)state;
	static const char *const keys[] = {"/tmp/ringclr-evil.png", "../evil.png", "a/../../evil.png", "..", "a//b.png",
		"./a.png", "a/./b.png", "a/", "a/..", "..png/../../x.png"};
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char quoted[64];
		snprintf(quoted, sizeof(quoted), "'%s'", keys[i]);
		check_everywhere(&(struct shard_spec){.keys = {"good.png", keys[i]}}, quoted);
	}
	check_everywhere(&(struct shard_spec){.keys = {"good.png", "a\nb.png"}}, "control character");
	check_everywhere(&(struct shard_spec){.keys = {"good.png", "a\x1b[2Jb.png"}}, "control character");
	char wide[300] = "";
	memset(wide, 'w', sizeof(wide) - 1);
	check_everywhere(&(struct shard_spec){.keys = {wide}}, "more than 255 bytes");
	check_everywhere(&(struct shard_spec){.keys = {"good.png", "a/...png", "-rf.png"}}, NULL);
}

static void test_file_and_folder(void **state)
{
	(void)state;
	const struct shard_spec both = {.keys = {"a.png", "a.png!", "a.png/b.png"}};
	check(&both, NULL, "out", "'a.png/b.png' needs as a folder");
	check(&both, NULL, "out.tar", "'a.png/b.png' needs as a folder");
	check(&both, "folder", "out", "'a.png/b.png' needs as a folder");
	/* Names that become the same: by an extension, by a.json, by the dots that WebDataset cannot have. */
	check(&(struct shard_spec){.keys = {"a", "a.png"}}, NULL, "out", "both be the file 'a.png'");
	check(&(struct shard_spec){.keys = {"a", "a.ppm"}, .meta = "{}"}, NULL, "out", NULL);
	check(&(struct shard_spec){.keys = {"a.PNG", "a.png"}, .meta = "{}"}, NULL, "out", "both be the file 'a.json'");
	check(&(struct shard_spec){.keys = {"a.b.png", "a_b.png"}}, "webdataset", "out", "both be the file 'a_b.");
	check(&(struct shard_spec){.keys = {"x.y/a.b.png", "x_y/a_b.png"}}, "webdataset", "out", NULL);
}

static void test_bad_classes(void **state)
{
	(void)state;
	static const char *const classes[] = {"..", "/etc", "a/b", ".", "a\nb"};
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		check(&(struct shard_spec){.keys = {"good.png"}, .class_name = classes[i]}, "folder", "out",
			"'good.png' makes no file");
	check(&(struct shard_spec){.keys = {"good.png"}, .class_name = "a\nb"}, "mds", "out", "line break");
	/* Not even where the key begins like the class. */
	check(&(struct shard_spec){.keys = {"../x.png"}, .class_name = ".."}, "folder", "out", "'../x.png'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_keys),
		cmocka_unit_test(test_file_and_folder),
		cmocka_unit_test(test_bad_classes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
