/* SPDX-License-Identifier: Apache-2.0 */
/* The end of writing a set: its steps, each of which may be the last before a crash; what it may remove; what it does
 * with folders of others and of earlier versions. And manifests from anywhere. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/shard_manifest.h"
#include "tests/helper_files.h"
#include "tests/helper_set.h"

enum { MOST_FILES = 40 };

/* ---- the commit, stopped after each of its steps ---- */

/* state.json of a run with `how`, malloc'd. */
static unsigned char *state_of(const struct set_how *how, size_t *bytes)
{
	struct helper_records records = set_records(60);
	char *folder = helper_folder_make();
	set_leave(folder, &records, how, 60);
	char *partial = helper_path(folder, "t.json.partial"), *path = helper_path(partial, "state.json");
	unsigned char *state = helper_file_read(path, bytes);
	free(path);
	free(partial);
	helper_folder_remove(folder);
	helper_records_free(&records);
	return state;
}

/* Puts a finished set back to where commit.json stands in the folder of that name and `moved` of its shards have their
 * names. state: with state.json of a run with this. */
static void step_back(const char *folder, const char *partial_name, unsigned moved, const struct set_how *state)
{
	struct shard_manifest manifest;
	struct error err = {0};
	char *json = helper_path(folder, "t.json"), *partial = helper_path(folder, partial_name);
	char *commit = helper_path(partial, "commit.json"), *state_path = helper_path(partial, "state.json");
	assert_int_equal(shard_manifest_read(json, &manifest, &err), 0);
	assert_int_equal(mkdir(partial, 0777), 0);
	assert_int_equal(rename(json, commit), 0);
	for (unsigned i = moved; i < manifest.count; i++) {
		char name[32];
		snprintf(name, sizeof name, "%05u.ring", i);
		char *from = helper_path(folder, manifest.parts[i].file), *to = helper_path(partial, name);
		assert_int_equal(rename(from, to), 0);
		free(from);
		free(to);
	}
	if (state != NULL) {
		size_t bytes = 0;
		unsigned char *text = state_of(state, &bytes);
		helper_file_write(state_path, text, bytes);
		free(text);
	}
	shard_manifest_free(&manifest);
	free(json);
	free(partial);
	free(commit);
	free(state_path);
}

static void test_commit_steps(void **state)
{
	(void)state;
	struct helper_records records = set_records(60), other = set_records(30);
	const struct set_how how = {.shard_bytes = 30000};
	char *whole = helper_folder_make(), *whole_path = helper_path(whole, "t.ring");
	set_write(whole_path, &records, &how);
	unsigned files = helper_folder_entries(whole) - 1;
	assert_true(files > 2 && files < MOST_FILES);
	for (unsigned moved = 0; moved <= files; moved++) {
		char *folder = helper_folder_make(), *path = helper_path(folder, "t.ring");
		char *json = helper_path(folder, "t.json");
		set_write(path, &records, &how);
		step_back(folder, "t.json.partial", moved, &how);
		assert_int_equal(set_take_up(folder, whole, &records, how), records.count);
		/* Another run finds it: the set appears first, and then gives way to the new one. */
		step_back(folder, "t.json.partial", moved, NULL);
		struct error err = {0};
		struct shard_set_writer *writer = set_create(path, &other, &how, &err);
		assert_non_null(writer);
		set_assert_holds(json, &records);
		set_add(writer, &other, 0, other.count);
		struct shard_set_result result = set_finish(writer);
		free(result.path);
		set_assert_holds(json, &other);
		free(json);
		free(path);
		helper_folder_remove(folder);
	}
	free(whole_path);
	helper_folder_remove(whole);
	helper_records_free(&records);
	helper_records_free(&other);
}

/* A shard that is neither in the folder nor at its place: nothing is put in the old set's. */
static void test_lost_shard(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(60);
	const struct set_how how = {.shard_bytes = 30000};
	char *path = helper_path(place->folder, "t.ring"), *json = helper_path(place->folder, "t.json");
	char *partial = helper_path(place->folder, "t.json.partial"), *lost = helper_path(partial, "00001.ring");
	char *commit = helper_path(partial, "commit.json"), *one = helper_path(partial, "00002.ring");
	struct error err = {0};
	set_write(path, &records, &how);
	step_back(place->folder, "t.json.partial", 0, NULL);
	assert_int_equal(unlink(lost), 0);
	assert_null(set_create(path, &records, &how, &err));
	assert_int_equal(err.code, ERROR_DAMAGED);
	assert_non_null(strstr(err.message, "t-00001-of-"));
	assert_int_equal(access(commit, F_OK), 0);
	assert_int_equal(access(one, F_OK), 0);
	assert_int_not_equal(access(json, F_OK), 0);
	free(path);
	free(json);
	free(partial);
	free(lost);
	free(commit);
	free(one);
	helper_records_free(&records);
}

/* ---- whose folder it is ---- */

/* However the target is named: one folder, one lock. */
static void test_one_lock(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(60);
	const struct set_how how = {.shard_bytes = 30000}, plain = {0}, append = {.append = true};
	static const struct set_how again = {.shard_bytes = 20000};
	char *ring = helper_path(place->folder, "t.ring"), *json = helper_path(place->folder, "t.json");
	char *bare = helper_path(place->folder, "t");
	struct error err = {0};
	set_write(ring, &records, &how);
	struct shard_set_writer *first = set_create(ring, &records, &again, &err);
	assert_non_null(first);
	const struct {
		const char *path;
		const struct set_how *how;
	} others[] = {{ring, &how}, {json, &how}, {json, &plain}, {bare, &how}, {json, &append}};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		err = (struct error){0};
		if (set_create(others[i].path, &records, others[i].how, &err) != NULL)
			fail_msg("case %zu was let in", i);
		assert_non_null(strstr(err.message, "another program"));
	}
	/* A single shard of that name is another file. */
	err = (struct error){0};
	struct shard_set_writer *single = set_create(ring, &records, &plain, &err);
	assert_non_null(single);
	set_add(single, &records, 0, 60);
	set_add(first, &records, 0, 60);
	struct shard_set_result made = set_finish(first);
	free(made.path);
	made = set_finish(single);
	free(made.path);
	set_assert_holds(ring, &records);
	set_assert_holds(json, &records);
	free(ring);
	free(json);
	free(bare);
	helper_records_free(&records);
}

static void expect_refused(const char *path, const struct helper_records *records, const struct set_how *how)
{
	struct error err = {0};
	assert_null(set_create(path, records, how, &err));
	assert_int_equal(err.code, ERROR_MISMATCH);
	assert_non_null(strstr(err.message, "t.ring.partial"));
	assert_non_null(strstr(err.message, "Rename"));
	assert_non_null(strstr(err.message, "t.json.partial"));
}

/* A set's folder was named after what was asked for, so that a single shard's could be the same. */
static void test_older_commit(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(60), other = set_records(30);
	const struct set_how how = {.shard_bytes = 30000}, plain = {0}, append = {.append = true};
	const struct set_how resume = {.shard_bytes = 30000, .resume = true};
	char *ring = helper_path(place->folder, "t.ring"), *json = helper_path(place->folder, "t.json");
	char *old = helper_path(place->folder, "t.ring.partial"), *new = helper_path(place->folder, "t.json.partial");
	set_write(ring, &records, &how);
	set_write(ring, &other, &plain);
	step_back(place->folder, "t.ring.partial", 1, NULL);
	unsigned files = helper_folder_entries(old);
	expect_refused(ring, &other, &plain);
	expect_refused(ring, &other, &how);
	expect_refused(ring, &other, &resume);
	expect_refused(json, &other, &append);
	assert_int_equal(helper_folder_entries(old), files);
	set_assert_holds(ring, &other);
	/* Under the new name it is carried out, but not as a --resume of nobody knows what. */
	struct error err = {0};
	assert_int_equal(rename(old, new), 0);
	assert_null(set_create(ring, &records, &resume, &err));
	assert_int_equal(err.code, ERROR_MISMATCH);
	assert_non_null(strstr(err.message, "another command"));
	err = (struct error){0};
	struct shard_set_writer *writer = set_create(ring, &records, &how, &err);
	assert_non_null(writer);
	set_assert_holds(json, &records);
	set_assert_holds(ring, &other);
	shard_set_writer_abandon(writer, false);
	free(ring);
	free(json);
	free(old);
	free(new);
	helper_records_free(&records);
	helper_records_free(&other);
}

static void test_older_unfinished(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(60);
	const struct set_how how = {.shard_bytes = 30000}, resume = {.shard_bytes = 30000, .resume = true};
	char *ring = helper_path(place->folder, "t.ring"), *old = helper_path(place->folder, "t.ring.partial");
	char *new = helper_path(place->folder, "t.json.partial");
	set_leave(place->folder, &records, &how, 50);
	assert_int_equal(rename(new, old), 0);
	expect_refused(ring, &records, &resume);
	assert_int_equal(rename(old, new), 0);
	struct error err = {0};
	struct shard_set_writer *writer = set_create(ring, &records, &resume, &err);
	assert_non_null(writer);
	assert_true(set_resumed(writer) > 20);
	shard_set_writer_abandon(writer, false);
	/* Another's commit is not this run's. */
	set_write(ring, &records, &how);
	step_back(place->folder, "t.json.partial", 1, &(struct set_how){.shard_bytes = 30000, .identity = 5});
	assert_null(set_create(ring, &records, &resume, &err));
	assert_int_equal(err.code, ERROR_MISMATCH);
	assert_non_null(strstr(err.message, "other inputs or options"));
	free(ring);
	free(old);
	free(new);
	helper_records_free(&records);
}

/* Calls `check` with the path of each of the first `count` shards. */
static void each_part(
	const char *folder, const struct shard_manifest *manifest, unsigned count, void (*check)(const char *path))
{
	for (unsigned i = 0; i < count; i++) {
		char *path = helper_path(folder, manifest->parts[i].file);
		check(path);
		free(path);
	}
}

static void assert_gone(const char *path)
{
	assert_int_not_equal(access(path, F_OK), 0);
}

/* ---- what a new set removes of the old one ---- */

static void test_removed(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(60), other = set_records(30);
	const struct set_how how = {.shard_bytes = 30000};
	char *path = helper_path(place->folder, "t.ring"), *json = helper_path(place->folder, "t.json");
	static const char *const names[] = {"thesis.tex", "note.ring", "foreign.ring", "link.ring", "left.ring"};
	enum { THESIS, NOTE, FOREIGN, LINK, LEFT, NAMES };
	char *paths[NAMES];
	for (unsigned i = 0; i < NAMES; i++)
		paths[i] = helper_path(place->folder, names[i]);
	set_write(path, &records, &how);
	set_write(paths[FOREIGN], &records, &(struct set_how){0});
	set_write(paths[LEFT], &other, &(struct set_how){0});
	helper_file_write(paths[THESIS], "\x89RING\r\n\x1a of power", 17);
	helper_file_write(paths[NOTE], "about rings", 11);
	assert_int_equal(symlink("foreign.ring", paths[LINK]), 0);
	struct shard_manifest manifest;
	struct error err = {0};
	assert_int_equal(shard_manifest_read(json, &manifest, &err), 0);
	unsigned before = manifest.count;
	for (unsigned i = 0; i < LEFT; i++)
		assert_true(shard_manifest_add(
			&manifest, &(struct shard_manifest_part){.file = (char *)names[i], .records = 1, .bytes = 1}));
	for (unsigned i = 0; i < NAMES; i++)
		if (i != FOREIGN)
			assert_true(shard_manifest_supersede(&manifest, names[i]));
	assert_int_equal(shard_manifest_write(json, &manifest, &err), 0);
	set_write(path, &other, &how);
	set_assert_holds(json, &other);
	for (unsigned i = 0; i < NAMES; i++) {
		struct stat status;
		assert_int_equal(lstat(paths[i], &status), i == LEFT ? -1 : 0);
		free(paths[i]);
	}
	each_part(place->folder, &manifest, before, assert_gone);
	shard_manifest_free(&manifest);
	free(path);
	free(json);
	helper_records_free(&records);
	helper_records_free(&other);
}

/* A second manifest, made by hand, with half of the shards. */
static void test_shared(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(60), other = set_records(30);
	const struct set_how how = {.shard_bytes = 30000};
	char *path = helper_path(place->folder, "t.ring"), *json = helper_path(place->folder, "t.json");
	char *half_path = helper_path(place->folder, "half.json"), *junk = helper_path(place->folder, "junk.json");
	struct shard_manifest manifest, half = {0};
	struct error err = {0};
	set_write(path, &records, &how);
	assert_int_equal(shard_manifest_read(json, &manifest, &err), 0);
	for (unsigned i = 0; i < manifest.count; i += 2)
		assert_true(shard_manifest_add(&half, &manifest.parts[i]));
	assert_int_equal(shard_manifest_write(half_path, &half, &err), 0);
	helper_file_write(junk, "{\"ringclr set\": ", 16);
	for (unsigned round = 0; round < 2; round++) {
		set_write(path, round == 0 ? &other : &records, &how);
		const char *paths[] = {half_path};
		struct shard_set *set = shard_set_open(paths, 1, false, &err);
		if (set == NULL)
			fail_msg("%s", err.message);
		shard_set_close(set);
	}
	for (unsigned i = 1; i < manifest.count; i += 2) {
		char *part = helper_path(place->folder, manifest.parts[i].file);
		assert_int_not_equal(access(part, F_OK), 0);
		free(part);
	}
	shard_manifest_free(&manifest);
	shard_manifest_free(&half);
	free(path);
	free(json);
	free(half_path);
	free(junk);
	helper_records_free(&records);
	helper_records_free(&other);
}

static void assert_private(const char *path)
{
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

/* What only its owner could read stays so. */
static void test_permissions(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(60), other = set_records(30);
	const struct set_how how = {.shard_bytes = 30000}, plain = {0};
	char *path = helper_path(place->folder, "t.ring"), *json = helper_path(place->folder, "t.json");
	struct shard_manifest manifest;
	struct error err = {0};
	mode_t mask = umask(022);
	set_write(path, &records, &how);
	set_write(path, &records, &plain);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(chmod(json, 0600), 0);
	set_write(path, &other, &how);
	set_write(path, &other, &plain);
	umask(mask);
	assert_private(path);
	assert_private(json);
	assert_int_equal(shard_manifest_read(json, &manifest, &err), 0);
	each_part(place->folder, &manifest, manifest.count, assert_private);
	shard_manifest_free(&manifest);
	free(path);
	free(json);
	helper_records_free(&records);
	helper_records_free(&other);
}

/* ---- manifests from anywhere ---- */

static void test_bad_manifests(void **state)
{
	struct helper_place *place = *state;
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{"", "no manifest"},
		{"[]", "no manifest"},
		{"{\"format\": \"ringclr set\"}", "no manifest"},
		{"{\"format\": \"ringclr set\", \"version\": 2}", "use a newer ringclr"},
		{"{\"format\": \"ringclr set\", \"version\": 1}", "\"shards\" must list"},
		{"{\"format\": \"ringclr set\", \"version\": 1, \"shards\": []}", "\"shards\" must list"},
		{"{\"format\": \"ringclr set\", \"version\": 1, \"shards\": [{\"file\": \"../x\", \"records\": 1, "
		 "\"bytes\": 1, \"fingerprint\": \"0123456789abcdef\"}]}",
			"without slashes"},
		{"{\"format\": \"ringclr set\", \"version\": 1, \"shards\": [{\"file\": \"x.ring\", \"records\": -1, "
		 "\"bytes\": 1, \"fingerprint\": \"0123456789abcdef\"}]}",
			"needs file"},
		{"{\"format\": \"ringclr set\", \"version\": 1, \"shards\": [{\"file\": \"x.ring\", \"records\": 1, "
		 "\"bytes\": 1, \"fingerprint\": \"0123\"}]}",
			"needs file"},
		{"{\"format\": \"ringclr set\", \"version\": 1, \"shards\": [{\"file\": \"x.ring\", \"records\": 1, "
		 "\"bytes\": 1, \"fingerprint\": \"0123456789abcdef\"}], \"supersedes\": [\"/etc/passwd\"]}",
			"\"supersedes\" must list"},
		{"{\"format\": \"ringclr set\", \"version\": 1, \"shards\": [{\"file\": \"x.ring\", \"records\": 1, "
		 "\"bytes\": 1, \"fingerprint\": \"0123456789abcdef\"}]}",
			"x.ring"},
	};
	char *path = helper_path(place->folder, "m.json");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error err = {0};
		const char *paths[] = {path};
		helper_file_write(path, cases[i].text, strlen(cases[i].text));
		assert_null(shard_set_open(paths, 1, false, &err));
		if (strstr(err.message, cases[i].complaint) == NULL)
			fail_msg("case %zu: %s", i, err.message);
		assert_non_null(strstr(err.message, i + 1 < sizeof cases / sizeof *cases ? "m.json" : "x.ring"));
	}
	free(path);
}

static unsigned allocation, failing;

/* One allocation fails; those after it go well, as happens. */
static void *allocate(size_t bytes)
{
	return allocation++ == failing ? NULL : malloc(bytes);
}

/* Memory that is out at any one moment: the whole manifest is written, or none. */
static void test_manifest_memory(void **state)
{
	struct helper_place *place = *state;
	char *path = helper_path(place->folder, "m.json");
	struct shard_manifest manifest = {0}, read;
	struct error err = {0};
	for (unsigned i = 0; i < 5; i++) {
		char name[16];
		snprintf(name, sizeof name, "%u.ring", i);
		assert_true(shard_manifest_add(
			&manifest, &(struct shard_manifest_part){
					   .file = name, .records = i + 1, .bytes = 4096, .fingerprint = i}));
		assert_true(shard_manifest_supersede(&manifest, name));
	}
	cJSON_Hooks hooks = {.malloc_fn = allocate, .free_fn = free};
	int rc = ERROR_MEMORY;
	cJSON_InitHooks(&hooks);
	for (failing = 0; rc == ERROR_MEMORY && access(path, F_OK) != 0; failing++) {
		allocation = 0;
		rc = shard_manifest_write(path, &manifest, &err);
	}
	cJSON_InitHooks(NULL);
	assert_int_equal(rc, 0);
	assert_int_equal(allocation, failing - 1); /* that many were made, and each had failed once */
	assert_true(failing > 40);
	err = (struct error){0};
	assert_int_equal(shard_manifest_read(path, &read, &err), 0);
	assert_int_equal(read.count, manifest.count);
	assert_int_equal(read.superseded_count, manifest.superseded_count);
	shard_manifest_free(&manifest);
	shard_manifest_free(&read);
	free(path);
}

/* A shard that is not the one that the manifest means. */
static void test_exchanged_shard(void **state)
{
	struct helper_place *place = *state;
	struct helper_records records = set_records(60);
	char *path = helper_path(place->folder, "t.ring"), *json = helper_path(place->folder, "t.json");
	set_write(path, &records, &(struct set_how){.shard_bytes = 30000});
	struct shard_manifest manifest;
	struct error err = {0};
	const char *paths[] = {json};
	assert_int_equal(shard_manifest_read(json, &manifest, &err), 0);
	char *one = helper_path(place->folder, manifest.parts[0].file);
	manifest.parts[0].bytes += 4096;
	assert_int_equal(shard_manifest_write(json, &manifest, &err), 0);
	assert_null(shard_set_open(paths, 1, false, &err));
	assert_int_equal(err.code, ERROR_MISMATCH);
	assert_non_null(strstr(err.message, "its size is another"));
	manifest.parts[0].records++;
	err = (struct error){0};
	assert_int_equal(shard_manifest_write(json, &manifest, &err), 0);
	assert_null(shard_set_open(paths, 1, false, &err));
	assert_non_null(strstr(err.message, "its number of records is another"));
	err = (struct error){0};
	struct shard_writer_config config = {.path = one, .block_bytes = 8192, .origin = "another"};
	struct helper_records fewer = set_records(59);
	assert_int_equal(helper_shard_write(&fewer, &config, &err), 0);
	assert_null(shard_set_open(paths, 1, false, &err));
	assert_int_equal(err.code, ERROR_MISMATCH);
	assert_non_null(strstr(err.message, manifest.parts[0].file));
	assert_non_null(strstr(err.message, "its fingerprint is another"));
	shard_manifest_free(&manifest);
	free(one);
	free(path);
	free(json);
	helper_records_free(&records);
	helper_records_free(&fewer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commit_steps),
		cmocka_unit_test_setup_teardown(test_lost_shard, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_one_lock, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_older_commit, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_older_unfinished, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_removed, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_shared, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_permissions, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_bad_manifests, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_manifest_memory, helper_place_make, helper_place_remove),
		cmocka_unit_test_setup_teardown(test_exchanged_shard, helper_place_make, helper_place_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
