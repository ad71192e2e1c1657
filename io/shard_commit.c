/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of writing a set: names. shard_set_writer.c says in which order, and why a reader sees the old set or the new
 * one. Each step is repeatable, so that whoever finds commit.json can carry it out from the beginning.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "io/atomic_file.h"
#include "io/shard_internal.h"
#include "io/shard_manifest.h"
#include "io/shard_partial.h"

enum { MOST_GENERATIONS = 1000 };

static int out_of_memory(const struct shard_partial *partial, struct error *err)
{
	return error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", partial->path);
}

static char *commit_path(const struct shard_partial *partial)
{
	char *path = NULL;
	return asprintf(&path, "%s/commit.json", partial->folder) < 0 ? NULL : path;
}

static char *complete_path(const struct shard_partial *partial, unsigned number)
{
	char *path = NULL;
	return asprintf(&path, "%s/%05u.ring", partial->folder, number) < 0 ? NULL : path;
}

/* Where the shard lies now: in the folder, or, if it was appended to or a commit has begun, at its place. malloc'd. */
static char *shard_place(const struct shard_partial *partial, const struct shard_manifest *manifest, unsigned number)
{
	char *path = complete_path(partial, number);
	if (path == NULL || number >= manifest->count || access(path, F_OK) == 0)
		return path;
	free(path);
	return shard_manifest_beside(partial->target, manifest->parts[number].file);
}

/* commit.json, or the manifest of the set that is appended to; nothing, if there is neither. */
static int manifest_read(const struct shard_partial *partial, struct shard_manifest *manifest, struct error *err)
{
	*manifest = (struct shard_manifest){0};
	if (partial->first > 0 && !shard_partial_committing(partial))
		return shard_manifest_read(partial->target, manifest, err);
	if (!shard_partial_committing(partial))
		return 0;
	char *path = commit_path(partial);
	int rc = path == NULL ? out_of_memory(partial, err) : shard_manifest_read(path, manifest, err);
	free(path);
	return rc;
}

int shard_partial_each(const struct shard_partial *partial,
	int (*each)(void *ctx, const struct shard *shard, struct error *err), void *ctx, struct error *err)
{
	struct shard_manifest manifest;
	int rc = manifest_read(partial, &manifest, err);
	unsigned count = shard_partial_committing(partial) ? manifest.count : shard_partial_complete(partial);
	for (unsigned i = 0; i < count && rc == 0; i++) {
		char *path = shard_place(partial, &manifest, i);
		struct shard *shard = path == NULL ? NULL : shard_open(path, false, err);
		rc = path == NULL ? out_of_memory(partial, err) : shard == NULL ? err->code : each(ctx, shard, err);
		shard_close(shard);
		free(path);
	}
	shard_manifest_free(&manifest);
	return rc;
}

/* ---- keys that two shards have ---- */

struct key_hash {
	uint64_t hash;
	uint32_t shard, record;
};

struct gather {
	struct shard_manifest *manifest;
	struct key_hash *keys;
	size_t count;
};

static int gather_shard(void *ctx, const struct shard *shard, struct error *err)
{
	struct gather *gather = ctx;
	uint32_t records = shard_records(shard);
	const char *slash = strrchr(shard_path(shard), '/');
	/* Its name, for what was there before; names_choose() gives the new ones theirs. */
	char *file = strdup(slash != NULL ? slash + 1 : shard_path(shard));
	const struct shard_manifest_part part = {.file = file,
		.records = records,
		.bytes = shard_file_bytes(shard),
		.fingerprint = shard_fingerprint(shard)};
	struct key_hash *keys = reallocarray(gather->keys, gather->count + records, sizeof *keys);
	if (keys != NULL)
		gather->keys = keys;
	bool room = keys != NULL && file != NULL && shard_manifest_add(gather->manifest, &part);
	free(file);
	if (!room)
		return error_set(err, ERROR_MEMORY, "out of memory for the keys of '%s'", shard_path(shard));
	for (uint32_t i = 0; i < records; i++) {
		const char *key = shard_record(shard, i)->key;
		keys[gather->count++] =
			(struct key_hash){XXH3_64bits(key, strlen(key)), gather->manifest->count - 1, i};
	}
	return 0;
}

static int hash_order(const void *a, const void *b)
{
	const struct key_hash *x = a, *y = b;
	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Two keys of one hash: almost surely the same, but looked at. */
static int pair_check(const struct shard_partial *partial, const struct shard_manifest *manifest,
	const struct key_hash *pair, struct error *err)
{
	struct shard *shards[2] = {NULL, NULL};
	int rc = 0;
	for (unsigned i = 0; i < 2 && rc == 0; i++) {
		char *path = shard_place(partial, manifest, pair[i].shard);
		shards[i] = path == NULL ? NULL : shard_open(path, false, err);
		rc = shards[i] != NULL ? 0 : path == NULL ? out_of_memory(partial, err) : err->code;
		free(path);
	}
	if (rc == 0) {
		const char *key = shard_record(shards[0], pair[0].record)->key;
		if (strcmp(key, shard_record(shards[1], pair[1].record)->key) == 0)
			rc = error_set(err, ERROR_USAGE,
				"cannot write '%s': two records have the key '%.400s' (shards %u and %u)",
				partial->path, key, pair[0].shard, pair[1].shard);
	}
	shard_close(shards[0]);
	shard_close(shards[1]);
	return rc;
}

static int keys_check(const struct shard_partial *partial, struct gather *gather, struct error *err)
{
	int rc = 0;
	qsort(gather->keys, gather->count, sizeof *gather->keys, hash_order);
	for (size_t i = 0; i + 1 < gather->count && rc == 0; i++)
		if (gather->keys[i].hash == gather->keys[i + 1].hash &&
			gather->keys[i].shard != gather->keys[i + 1].shard)
			rc = pair_check(partial, gather->manifest, &gather->keys[i], err);
	return rc;
}

/* ---- names ---- */

/* "train-00000-of-00012.ring", or "train-r1-00000-of-00012.ring" where those are taken. */
static char *part_name(const struct shard_partial *partial, unsigned generation, unsigned number, unsigned count)
{
	const char *slash = strrchr(partial->target, '/'), *name = slash != NULL ? slash + 1 : partial->target;
	int bytes = (int)strlen(name) - 5;
	char infix[16] = "", *file = NULL;
	if (generation > 0)
		snprintf(infix, sizeof infix, "-r%u", generation);
	return asprintf(&file, "%.*s%s-%05u-of-%05u.ring", bytes, name, infix, number, count) < 0 ? NULL : file;
}

/* 1: all files of the generation are free, and named in the manifest. */
static int names_try(
	const struct shard_partial *partial, struct shard_manifest *manifest, unsigned generation, struct error *err)
{
	unsigned made = manifest->count - partial->first;
	for (unsigned i = 0; i < made; i++) {
		char *file = part_name(partial, generation, i, made);
		char *path = file == NULL ? NULL : shard_manifest_beside(partial->target, file);
		if (path == NULL) {
			free(file);
			return out_of_memory(partial, err);
		}
		free(manifest->parts[partial->first + i].file);
		manifest->parts[partial->first + i].file = file;
		struct stat status;
		bool taken = lstat(path, &status) == 0;
		free(path);
		if (taken)
			return 0;
	}
	return 1;
}

static int names_choose(const struct shard_partial *partial, struct shard_manifest *manifest, struct error *err)
{
	int rc = 0;
	for (unsigned generation = 0; generation < MOST_GENERATIONS && rc == 0; generation++)
		rc = names_try(partial, manifest, generation, err);
	if (rc == 0)
		rc = error_set(err, ERROR_IO, "cannot name the shards of '%s': %d generations of files lie there",
			partial->target, MOST_GENERATIONS);
	return rc < 0 ? rc : 0;
}

/* Whether the name is a shard's, and the file, too. Old manifests come from anywhere: no other file is removed. */
static bool is_shard(const char *path)
{
	const size_t bytes = strlen(path);
	char magic[8] = "";
	int fd = bytes > 5 && strcmp(path + bytes - 5, ".ring") == 0
			 ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
			 : -1;
	bool is = fd >= 0 && pread(fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
		  memcmp(magic, SHARD_MAGIC, sizeof magic) == 0;
	if (fd >= 0)
		close(fd);
	return is;
}

/* Whether it is the very shard that the manifest means. */
static bool is_part(const char *path, const struct shard_manifest_part *part)
{
	struct error ignored = {0};
	struct shard *shard = is_shard(path) ? shard_open(path, false, &ignored) : NULL;
	bool is = shard != NULL && shard_fingerprint(shard) == part->fingerprint;
	shard_close(shard);
	return is;
}

/* Whether a manifest may begin so: other JSON that lies there, of whatever size, is not parsed. */
static bool begins_as_manifest(const char *path)
{
	char head[4097] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool read = fd >= 0 && pread(fd, head, sizeof head - 1, 0) > 0;
	if (fd >= 0)
		close(fd);
	return read && strstr(head, "\"ringclr set\"") != NULL;
}

/* Adds the shards of all other manifests beside the target: two sets may share some. False when memory is out. */
static bool others_gather(const struct shard_partial *partial, struct shard_manifest *others)
{
	const char *slash = strrchr(partial->target, '/'), *own = slash != NULL ? slash + 1 : partial->target;
	char *folder = shard_manifest_beside(partial->target, ".");
	DIR *list = folder == NULL ? NULL : opendir(folder);
	bool room = folder != NULL;
	const struct dirent *entry;
	while (room && list != NULL && (entry = readdir(list)) != NULL) {
		struct shard_manifest other = {0};
		struct error ignored = {0};
		if (!shard_manifest_named(entry->d_name) || strcmp(entry->d_name, own) == 0)
			continue;
		char *path = shard_manifest_beside(partial->target, entry->d_name);
		room = path != NULL;
		if (room && begins_as_manifest(path) && shard_manifest_read(path, &other, &ignored) == 0)
			for (unsigned i = 0; i < other.count && room; i++)
				room = shard_manifest_add(others, &other.parts[i]);
		shard_manifest_free(&other);
		free(path);
	}
	if (list != NULL)
		closedir(list);
	free(folder);
	return room;
}

/* What the set there names, and what it should have removed; but nothing that another set beside it names, too. */
static int supersede(const struct shard_partial *partial, struct shard_manifest *manifest, struct error *err)
{
	struct shard_manifest old = {0}, others = {0};
	if (access(partial->target, F_OK) != 0)
		return 0;
	int rc = shard_manifest_read(partial->target, &old, err);
	bool room = others_gather(partial, &others);
	for (unsigned i = 0; i < old.count && room; i++) {
		char *path = shard_manifest_beside(partial->target, old.parts[i].file);
		room = path != NULL;
		if (room && !shard_manifest_names(manifest, old.parts[i].file) &&
			!shard_manifest_names(&others, old.parts[i].file) && is_part(path, &old.parts[i]))
			room = shard_manifest_supersede(manifest, old.parts[i].file);
		free(path);
	}
	for (unsigned i = 0; i < old.superseded_count && room; i++) {
		char *path = shard_manifest_beside(partial->target, old.superseded[i]);
		room = path != NULL;
		if (room && !shard_manifest_names(manifest, old.superseded[i]) &&
			!shard_manifest_names(&others, old.superseded[i]) && is_shard(path))
			room = shard_manifest_supersede(manifest, old.superseded[i]);
		free(path);
	}
	shard_manifest_free(&old);
	shard_manifest_free(&others);
	return rc == 0 && !room ? out_of_memory(partial, err) : rc;
}

/* The footer's hash covers all that header, index and, through it, blocks say of the bytes. */
static bool same_file(const char *a, const char *b)
{
	const char *paths[] = {a, b};
	struct shard_footer_disk footers[2];
	bool read = true;
	for (unsigned i = 0; i < 2 && read; i++) {
		struct error ignored = {0};
		struct shard *shard = shard_open(paths[i], false, &ignored);
		read = shard != NULL && shard_pread(shard_fd(shard), paths[i], &footers[i], sizeof footers[i],
						shard_file_bytes(shard) - sizeof footers[i], &ignored) == 0;
		shard_close(shard);
	}
	return read && memcmp(&footers[0], &footers[1], sizeof footers[0]) == 0;
}

/* A run that was killed when all was done, or the same command twice: no second generation of names for that. */
static bool same_set(const struct shard_partial *partial, const struct shard_manifest *made)
{
	struct shard_manifest there = {0};
	struct error ignored = {0};
	bool same = shard_manifest_read(partial->target, &there, &ignored) == 0 && there.count == made->count;
	for (unsigned i = 0; i < made->count && same; i++) {
		char *old = shard_manifest_beside(partial->target, there.parts[i].file);
		char *new = complete_path(partial, i);
		same = old != NULL &&
		       new != NULL &&there.parts[i].fingerprint == made->parts[i].fingerprint &&same_file(old, new);
		free(old);
		free(new);
	}
	shard_manifest_free(&there);
	return same;
}

int shard_partial_prepare(struct shard_partial *partial, struct error *err)
{
	struct shard_manifest manifest = {0};
	struct gather gather = {.manifest = &manifest};
	if (!partial->many)
		return 0;
	int rc = shard_partial_each(partial, gather_shard, &gather, err);
	if (rc == 0 && manifest.count > 1)
		rc = keys_check(partial, &gather, err);
	partial->unchanged = rc == 0 && same_set(partial, &manifest);
	if (rc == 0 && !partial->unchanged)
		rc = names_choose(partial, &manifest, err);
	if (rc == 0 && !partial->unchanged)
		rc = supersede(partial, &manifest, err);
	if (rc == 0 && !partial->unchanged) {
		char *path = commit_path(partial);
		rc = path == NULL ? out_of_memory(partial, err) : shard_manifest_write(path, &manifest, err);
		free(path);
	}
	free(gather.keys);
	shard_manifest_free(&manifest);
	return rc;
}

/* ---- carrying it out ---- */

static int folder_sync(const char *path, struct error *err)
{
	char *folder = shard_manifest_beside(path, ".");
	int fd = folder == NULL ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;
	/* A folder may be written but not listed; some file systems cannot sync one and say EINVAL. */
	if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot sync the folder of '%s'", path);
	if (fd >= 0)
		close(fd);
	free(folder);
	return rc;
}

static int move(const char *from, const char *to, struct error *err)
{
	return rename(from, to) == 0 ? 0
				     : error_set_errno(err, ERROR_IO, errno, "cannot rename '%s' to '%s'", from, to);
}

static int move_shards(const struct shard_partial *partial, const struct shard_manifest *manifest, struct error *err)
{
	int rc = 0;
	for (unsigned i = 0; i < manifest->count && rc == 0; i++) {
		char *from = complete_path(partial, i);
		char *to = shard_manifest_beside(partial->target, manifest->parts[i].file);
		if (from == NULL || to == NULL)
			rc = out_of_memory(partial, err);
		else if (access(from, F_OK) == 0)
			rc = move(from, to, err);
		else if (access(to, F_OK) != 0)
			rc = error_set(err, ERROR_DAMAGED,
				"cannot write '%s': its shard '%s' is neither there nor in '%s'; remove that folder to "
				"start anew",
				partial->target, to, partial->folder);
		free(from);
		free(to);
	}
	return rc == 0 ? folder_sync(partial->target, err) : rc;
}

/* Files that only the old set named. One that cannot be removed does no harm: the next set tries again. */
static void remove_superseded(const struct shard_partial *partial, const struct shard_manifest *manifest)
{
	for (unsigned i = 0; i < manifest->superseded_count; i++) {
		char *path = shard_manifest_beside(partial->target, manifest->superseded[i]);
		if (path != NULL && !shard_manifest_names(manifest, manifest->superseded[i]) && is_shard(path))
			unlink(path);
		free(path);
	}
}

static int commit_set(const struct shard_partial *partial, struct shard_set_result *result, struct error *err)
{
	struct shard_manifest manifest;
	char *commit = commit_path(partial);
	if (commit == NULL)
		return out_of_memory(partial, err);
	int rc = shard_manifest_read(partial->unchanged ? partial->target : commit, &manifest, err);
	if (rc == 0 && !partial->unchanged)
		rc = move_shards(partial, &manifest, err);
	if (rc == 0 && !partial->unchanged) {
		atomic_file_keep_mode_of(commit, partial->target);
		rc = move(commit, partial->target, err);
	}
	if (rc == 0)
		rc = folder_sync(partial->target, err);
	if (rc == 0)
		remove_superseded(partial, &manifest);
	uint64_t *prints = calloc(manifest.count + (size_t)1, sizeof *prints);
	if (prints == NULL && rc == 0)
		rc = out_of_memory(partial, err);
	for (unsigned i = 0; i < manifest.count && prints != NULL; i++) {
		result->records += manifest.parts[i].records;
		result->file_bytes += manifest.parts[i].bytes;
		prints[i] = manifest.parts[i].fingerprint;
	}
	result->shards = manifest.count;
	result->fingerprint = prints != NULL ? shard_fingerprint_join(prints, manifest.count) : 0;
	free(prints);
	shard_manifest_free(&manifest);
	free(commit);
	return rc;
}

static int note_single(void *ctx, const struct shard *shard, struct error *err)
{
	struct shard_set_result *result = ctx;
	(void)err;
	result->records = shard_records(shard);
	result->file_bytes = shard_file_bytes(shard);
	result->shards = 1;
	result->fingerprint = shard_fingerprint(shard);
	return 0;
}

static int commit_single(const struct shard_partial *partial, struct shard_set_result *result, struct error *err)
{
	int rc = shard_partial_each(partial, note_single, result, err);
	char *path = complete_path(partial, 0);
	if (rc == 0)
		rc = path == NULL ? out_of_memory(partial, err) : move(path, partial->target, err);
	free(path);
	return rc == 0 ? folder_sync(partial->target, err) : rc;
}

int shard_partial_commit(struct shard_partial *partial, struct shard_set_result *result, struct error *err)
{
	result->records = 0;
	result->file_bytes = 0;
	result->path = strdup(partial->target);
	int rc = result->path == NULL ? out_of_memory(partial, err) : 0;
	if (rc == 0)
		rc = partial->many ? commit_set(partial, result, err) : commit_single(partial, result, err);
	if (rc == 0)
		rc = shard_partial_remove(partial, err);
	if (rc != 0) {
		free(result->path);
		result->path = NULL;
	}
	return rc;
}
