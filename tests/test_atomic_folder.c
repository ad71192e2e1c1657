/* SPDX-License-Identifier: Apache-2.0 */
/* A folder appears whole or not at all, and no name leads out of it: not one that says so, and no link that stands
 * where a folder is wanted. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/atomic_folder.h"
#include "tests/helper_files.h"

static void assert_content(const char *folder, const char *name, const char *text)
{
	size_t bytes = 0;
	char *path = helper_path(folder, name);
	unsigned char *got = helper_file_read(path, &bytes);
	assert_int_equal(bytes, strlen(text));
	assert_memory_equal(got, text, bytes);
	free(got);
	free(path);
}

static void assert_add(struct atomic_folder *folder, const char *name)
{
	struct error err = {0};
	if (atomic_folder_add(folder, name, name, strlen(name), &err) != 0)
		fail_msg("%s", err.message);
}

static void test_commit(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	struct atomic_folder *folder = atomic_folder_create(place->path, &err);
	assert_non_null(folder);
	assert_add(folder, "a");
	assert_add(folder, "b/c/d");
	assert_add(folder, "b/c/e");
	assert_add(folder, "b/f");
	assert_int_not_equal(access(place->path, F_OK), 0);
	assert_int_equal(atomic_folder_commit(folder, &err), 0);
	assert_content(place->path, "a", "a");
	assert_content(place->path, "b/c/d", "b/c/d");
	assert_content(place->path, "b/c/e", "b/c/e");
	assert_content(place->path, "b/f", "b/f");
	assert_int_equal(helper_folder_entries(place->folder), 1);
}

static void test_target(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	char *slashed = NULL;
	assert_true(asprintf(&slashed, "%s//", place->path) > 0);
	assert_int_equal(mkdir(place->path, 0777), 0); /* an empty one is taken */
	struct atomic_folder *folder = atomic_folder_create(slashed, &err);
	assert_non_null(folder);
	assert_add(folder, "a");
	assert_int_equal(atomic_folder_commit(folder, &err), 0);
	assert_content(place->path, "a", "a");
	assert_null(atomic_folder_create(place->path, &err)); /* now it is not */
	assert_non_null(strstr(err.message, "not empty"));
	assert_int_equal(helper_folder_entries(place->folder), 1);

	char *file = helper_path(place->path, "a"), *link = helper_path(place->folder, "link");
	err = (struct error){0};
	assert_null(atomic_folder_create(file, &err));
	assert_non_null(strstr(err.message, "no folder"));
	assert_int_equal(symlink(place->path, link), 0);
	err = (struct error){0};
	assert_null(atomic_folder_create(link, &err));
	free(file);
	free(link);
	free(slashed);
}

static void test_failures_leave_nothing(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	struct atomic_folder *folder = atomic_folder_create(place->path, &err);
	assert_non_null(folder);
	assert_add(folder, "a/b");
	assert_true(atomic_folder_add(folder, "a/b", "x", 1, &err) < 0); /* twice */
	err = (struct error){0};
	assert_true(atomic_folder_add(folder, "a/b/c", "x", 1, &err) < 0); /* a file as a folder */
	err = (struct error){0};
	assert_true(atomic_folder_add(folder, "a", "x", 1, &err) < 0); /* a folder as a file */
	atomic_folder_abandon(folder);
	assert_int_equal(helper_folder_entries(place->folder), 0);
}

static void test_names(void **state)
{
	struct helper_place *place = *state;
	static const char *const bad[] = {ATOMIC_FOLDER_MARK, "", "/etc/x", "..", "../x", "a/../../x", "a//b", "a/",
		"./a", "a/.", "a\nb", "a\x7f", "/"};
	static const char *const good[] = {"a", "a/b", "...", ".a", "a..b/..c", "\xc3\xa9", "a b", "-rf", "a\\b", "~"};
	char deep[2 * (ATOMIC_FOLDER_MAX_DEPTH + 2)], wide[ATOMIC_FOLDER_MAX_NAME + 2];
	struct error err = {0};
	struct atomic_folder *folder = atomic_folder_create(place->path, &err);
	assert_non_null(folder);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err = (struct error){0};
		if (atomic_folder_add(folder, bad[i], "x", 1, &err) != ERROR_FORMAT)
			fail_msg("'%s' was taken", bad[i]);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (strcmp(good[i], "a") != 0)
			assert_add(folder, good[i]);
	for (size_t i = 0; i < sizeof(deep); i++)
		deep[i] = i % 2 == 0 ? 'd' : '/';
	deep[2 * ATOMIC_FOLDER_MAX_DEPTH + 1] = '\0'; /* one file in as many folders as there may be */
	assert_add(folder, deep);
	deep[2 * ATOMIC_FOLDER_MAX_DEPTH + 1] = '/';
	deep[2 * ATOMIC_FOLDER_MAX_DEPTH + 3] = '\0';
	assert_non_null(atomic_folder_fault(deep));
	memset(wide, 'w', sizeof(wide) - 1);
	wide[sizeof(wide) - 1] = '\0';
	assert_non_null(atomic_folder_fault(wide));
	assert_add(folder, wide + 1);
	atomic_folder_abandon(folder);
	assert_int_equal(helper_folder_entries(place->folder), 0);
}

/* Somebody puts a link where a folder or a file is wanted. */
static void test_planted_links(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	char *outside = helper_path(place->folder, "outside"), *kept = helper_path(outside, "kept");
	assert_int_equal(mkdir(outside, 0777), 0);
	helper_file_write(kept, "kept", 4);
	struct atomic_folder *folder = atomic_folder_create(place->path, &err);
	assert_non_null(folder);
	char *link = helper_path(atomic_folder_partial(folder), "way"),
	     *file_link = helper_path(atomic_folder_partial(folder), "file");
	assert_int_equal(symlink(outside, link), 0);
	assert_int_equal(symlink(kept, file_link), 0);
	assert_true(atomic_folder_add(folder, "way/x", "x", 1, &err) < 0);
	assert_true(atomic_folder_add(folder, "way/kept", "x", 1, &err) < 0);
	assert_true(atomic_folder_add(folder, "file", "x", 1, &err) < 0);
	assert_int_equal(helper_folder_entries(outside), 1);
	assert_content(outside, "kept", "kept");
	/* Taking all away does not follow them either. */
	atomic_folder_abandon(folder);
	assert_int_equal(helper_folder_entries(place->folder), 1);
	assert_content(outside, "kept", "kept");
	free(outside);
	free(kept);
	free(link);
	free(file_link);
}

/* What a killed run has left goes with the next; what a living one is writing does not. */
static void test_leftovers(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	char *outside = helper_path(place->folder, "outside"), *kept = helper_path(outside, "kept");
	assert_int_equal(mkdir(outside, 0777), 0);
	helper_file_write(kept, "kept", 4);
	pid_t child = fork();
	if (child == 0) {
		struct atomic_folder *left = atomic_folder_create(place->path, &err);
		if (left == NULL || atomic_folder_add(left, "old/file", "x", 1, &err) != 0)
			_exit(1);
		char *link = helper_path(atomic_folder_partial(left), "old/way");
		_exit(symlink(outside, link) == 0 ? 0 : 1);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	struct atomic_folder *folder = atomic_folder_create(place->path, &err);
	assert_non_null(folder);
	assert_null(atomic_folder_create(place->path, &err));
	assert_non_null(strstr(err.message, "another run"));
	err = (struct error){0};
	assert_add(folder, "new");
	assert_int_equal(atomic_folder_commit(folder, &err), 0);
	assert_int_equal(helper_folder_entries(place->path), 1);
	assert_content(outside, "kept", "kept");
	free(outside);
	free(kept);
}

/* Somebody's own folder of that name. */
static void test_foreign(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	char *partial = helper_path(place->folder, "file.partial"), *thesis = helper_path(partial, "thesis");
	char *text = helper_path(thesis, "thesis.tex"), *mark = helper_path(place->path, ATOMIC_FOLDER_MARK);
	assert_int_equal(mkdir(partial, 0777), 0);
	assert_int_equal(mkdir(thesis, 0777), 0);
	helper_file_write(text, "kept", 4);
	assert_null(atomic_folder_create(place->path, &err));
	assert_int_equal(err.code, ERROR_IO);
	assert_non_null(strstr(err.message, "file.partial"));
	assert_content(thesis, "thesis.tex", "kept");
	assert_int_equal(helper_folder_entries(partial), 1);
	/* An empty one is nobody's: a run may have been killed before it left its mark. */
	assert_int_equal(unlink(text), 0);
	assert_int_equal(rmdir(thesis), 0);
	err = (struct error){0};
	struct atomic_folder *folder = atomic_folder_create(place->path, &err);
	assert_non_null(folder);
	assert_add(folder, "a");
	assert_int_equal(atomic_folder_commit(folder, &err), 0);
	assert_int_not_equal(access(mark, F_OK), 0);
	assert_int_equal(helper_folder_entries(place->folder), 1);
	free(partial);
	free(thesis);
	free(text);
	free(mark);
}

int main(void)
{
#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, helper_place_make, helper_place_remove)
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(test_commit),
		IN_A_FOLDER(test_target),
		IN_A_FOLDER(test_failures_leave_nothing),
		IN_A_FOLDER(test_names),
		IN_A_FOLDER(test_planted_links),
		IN_A_FOLDER(test_leftovers),
		IN_A_FOLDER(test_foreign),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
