/* SPDX-License-Identifier: Apache-2.0 */
/* A file appears whole or not at all: when all goes well, when the program dies, when the disk is full. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/atomic_file.h"
#include "tests/helper_files.h"

static void assert_content(const char *path, const char *text)
{
	size_t bytes = 0;
	struct error err = {0};
	char *got = atomic_file_read_all(path, 1 << 20, &bytes, &err);
	assert_non_null(got);
	assert_string_equal(got, text);
	assert_int_equal(bytes, strlen(text));
	free(got);
}

static void test_commit(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	struct atomic_file *file = atomic_file_create(place->path, &err);
	assert_non_null(file);
	assert_int_equal(atomic_file_write(file, "hello ", 6, &err), 0);
	assert_int_equal(access(place->path, F_OK), -1); /* not before the commit */
	assert_int_equal(atomic_file_write(file, "world", 5, &err), 0);
	assert_int_equal(atomic_file_write_at(file, 0, "J", 1, &err), 0);
	assert_int_equal(atomic_file_write(file, "!", 1, &err), 0);
	assert_int_equal(atomic_file_commit(file, &err), 0);
	assert_content(place->path, "Jello world!");
	assert_int_equal(helper_folder_entries(place->folder), 1);
}

static void test_replace_and_abandon(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	assert_int_equal(atomic_file_replace(place->path, "old", 3, &err), 0);
	struct atomic_file *file = atomic_file_create(place->path, &err);
	assert_non_null(file);
	assert_int_equal(atomic_file_write(file, "new and longer", 14, &err), 0);
	assert_content(place->path, "old");
	atomic_file_abandon(file);
	atomic_file_abandon(NULL);
	assert_content(place->path, "old");
	assert_int_equal(helper_folder_entries(place->folder), 1);
	assert_int_equal(atomic_file_replace(place->path, "new", 3, &err), 0);
	assert_content(place->path, "new");
	assert_int_equal(atomic_file_replace(place->path, "", 0, &err), 0);
	assert_content(place->path, "");
}

/* A name as long as the file system takes, and one without a folder. */
static void test_names(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	char name[256];
	memset(name, 'n', 255);
	name[255] = '\0';
	char *path = helper_path(place->folder, name);
	assert_int_equal(atomic_file_replace(path, "long", 4, &err), 0);
	assert_content(path, "long");
	free(path);
	char *before = getcwd(NULL, 0);
	assert_int_equal(chdir(place->folder), 0);
	assert_int_equal(atomic_file_replace("plain", "plain", 5, &err), 0);
	assert_content("plain", "plain");
	assert_int_equal(chdir(before), 0);
	free(before);
}

/* The child dies at each stage before the rename: the old file stays, whole. */
static void test_killed_before_commit(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	assert_int_equal(atomic_file_replace(place->path, "old", 3, &err), 0);
	for (int stage = 0; stage < 3; stage++) {
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			struct atomic_file *file = atomic_file_create(place->path, &err);
			if (stage > 0)
				atomic_file_write(file, "half of the new", 15, &err);
			if (stage > 1)
				raise(SIGKILL);
			_exit(err.code == 0 ? 7 : 1);
		}
		int status = 0;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(stage > 1 ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 7);
		assert_content(place->path, "old");
	}
	assert_int_equal(atomic_file_replace(place->path, "new", 3, &err), 0); /* strays are in nobody's way */
	assert_content(place->path, "new");
}

static void test_disk_full(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	struct rlimit old, tight;
	char block[4096] = {1};
	assert_int_equal(atomic_file_replace(place->path, "old", 3, &err), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight = old;
	tight.rlim_cur = 10000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	struct atomic_file *file = atomic_file_create(place->path, &err);
	int rc = 0;
	for (int i = 0; i < 5 && rc == 0; i++)
		rc = atomic_file_write(file, block, sizeof block, &err);
	int once = atomic_file_replace(place->path, block, 4096, NULL);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(rc, ERROR_IO);
	assert_non_null(strstr(err.message, place->path));
	assert_non_null(strstr(err.message, "too large"));
	atomic_file_abandon(file);
	assert_int_equal(once, 0);
	assert_int_equal(helper_folder_entries(place->folder), 1);
}

/* A full file system, in a mount namespace of a child; needs root. 77: no such thing here. */
static int child_full_disk(const char *folder)
{
	struct error err = {0};
	char block[4096] = {1};
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		mount("tmpfs", folder, "tmpfs", 0, "size=64k") != 0)
		return 77;
	char *path = helper_path(folder, "full");
	struct atomic_file *file = atomic_file_create(path, &err);
	int rc = 0;
	for (int i = 0; i < 100 && rc == 0; i++)
		rc = atomic_file_write(file, block, sizeof block, &err);
	bool sound =
		rc == ERROR_IO && strstr(err.message, "No space left") != NULL && strstr(err.message, path) != NULL;
	atomic_file_abandon(file);
	sound = sound && helper_folder_entries(folder) == 0;
	free(path);
	return sound ? 0 : 1;
}

static void test_no_space(void **state)
{
	struct helper_place *place = *state;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(child_full_disk(place->folder));
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("no small file system can be mounted here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_commit_fails(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	struct atomic_file *file = atomic_file_create(place->path, &err);
	assert_non_null(file);
	assert_int_equal(mkdir(place->path, 0700), 0); /* a folder took the name: rename fails */
	assert_int_equal(atomic_file_commit(file, &err), ERROR_IO);
	assert_non_null(strstr(err.message, "rename"));
	assert_int_equal(helper_folder_entries(place->folder), 1);
}

static void test_refusals(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	char *missing = helper_path(place->folder, "no such folder/file");
	assert_null(atomic_file_create(missing, &err));
	assert_int_equal(err.code, ERROR_IO);
	assert_non_null(strstr(err.message, "no such folder"));
	assert_non_null(strstr(err.message, "No such file"));
	free(missing);
	err = (struct error){0};
	assert_null(atomic_file_create(place->folder, &err));
	assert_non_null(strstr(err.message, "is a folder"));
	err = (struct error){0};
	assert_null(atomic_file_create("/dev/null", &err));
	assert_non_null(strstr(err.message, "no regular file"));
	err = (struct error){0};
	char *slash = helper_path(place->folder, "x/");
	assert_null(atomic_file_create(slash, &err));
	assert_int_equal(err.code, ERROR_IO);
	free(slash);
	assert_int_equal(helper_folder_entries(place->folder), 0);
}

static void test_read_only_folder(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	if (geteuid() == 0) {
		/* Root writes everywhere; another user does not. */
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			struct error own = {0};
			if (chmod(place->folder, 0555) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
				_exit(77);
			bool refused = atomic_file_create(place->path, &own) == NULL && own.code == ERROR_IO &&
				       strstr(own.message, place->folder) != NULL &&
				       strstr(own.message, "Permission denied") != NULL;
			_exit(refused ? 0 : 1);
		}
		int status = 0;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(chmod(place->folder, 0755), 0);
		if (WEXITSTATUS(status) == 77) {
			print_message("cannot become another user\n");
			skip();
		}
		assert_int_equal(WEXITSTATUS(status), 0);
		return;
	}
	assert_int_equal(chmod(place->folder, 0555), 0);
	struct atomic_file *file = atomic_file_create(place->path, &err);
	assert_int_equal(chmod(place->folder, 0755), 0);
	assert_null(file);
	assert_non_null(strstr(err.message, "Permission denied"));
}

static void test_read_all(void **state)
{
	struct helper_place *place = *state;
	struct error err = {0};
	size_t bytes = 0;
	char *big = malloc(100000);
	memset(big, 'x', 100000);
	assert_int_equal(atomic_file_replace(place->path, big, 100000, &err), 0);
	char *got = atomic_file_read_all(place->path, 100000, &bytes, &err);
	assert_non_null(got);
	assert_int_equal(bytes, 100000);
	assert_memory_equal(got, big, 100000);
	assert_int_equal(got[100000], 0);
	free(got);
	free(big);
	assert_null(atomic_file_read_all(place->path, 99999, &bytes, &err));
	assert_int_equal(err.code, ERROR_FORMAT);
	err = (struct error){0};
	assert_null(atomic_file_read_all(place->folder, 100, &bytes, &err));
	assert_int_equal(err.code, ERROR_IO);
	err = (struct error){0};
	char *missing = helper_path(place->folder, "missing");
	assert_null(atomic_file_read_all(missing, 100, &bytes, &err));
	assert_int_equal(err.code, ERROR_IO);
	assert_non_null(strstr(err.message, missing));
	free(missing);
	err = (struct error){0};
	got = atomic_file_read_all("/proc/self/status", 1 << 20, &bytes, &err); /* fstat says 0 bytes */
	assert_non_null(got);
	assert_true(bytes > 100 && bytes == strlen(got));
	free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_commit, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_replace_and_abandon, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_names, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_killed_before_commit, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_disk_full, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_no_space, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_commit_fails, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_refusals, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_read_only_folder, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_read_all, helper_place_make, helper_place_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
