/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of an unfinished set. shard_set_writer.c has the plan of it; shard_commit.c is its end. */
#include "io/shard_partial.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "io/atomic_file.h"
#include "io/atomic_folder.h"
#include "io/shard_format.h"
#include "io/shard_manifest.h"

enum { STATE_VERSION = 1 };

static int out_of_memory(const char *path, struct error *err)
{
	return error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", path);
}

/* "train.ring", "train.json" and "train" -> "train.json", if `many` asks for a manifest. */
static char *target_of(const char *path, bool many)
{
	size_t bytes = strlen(path);
	if (!many || shard_manifest_named(path))
		return strdup(path);
	char *target = NULL;
	if (bytes > 5 && strcmp(path + bytes - 5, ".ring") == 0)
		bytes -= 5;
	return asprintf(&target, "%.*s.json", (int)bytes, path) < 0 ? NULL : target;
}

/* A rename would replace whatever stands there. */
static int target_check(const struct shard_partial *partial, struct error *err)
{
	struct stat status;
	if (stat(partial->target, &status) != 0)
		return 0;
	if (!S_ISREG(status.st_mode))
		return error_set(err, ERROR_IO, "cannot write '%s': it is %s", partial->target,
			S_ISDIR(status.st_mode) ? "a folder" : "no regular file");
	struct shard_manifest manifest = {0};
	struct error fault = {0};
	if (partial->many && shard_manifest_read(partial->target, &manifest, &fault) != 0)
		error_set(err, fault.code, "cannot write '%s' in its place: %s", partial->target, fault.message);
	shard_manifest_free(&manifest);
	return fault.code;
}

/* Makes, opens and locks the folder. */
static int folder_enter(struct shard_partial *partial, struct error *err)
{
	if (mkdir(partial->folder, 0777) != 0 && errno != EEXIST)
		return error_set_errno(err, ERROR_IO, errno, "cannot write '%s': cannot make the folder '%s'",
			partial->path, partial->folder);
	int fd = open(partial->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, ERROR_IO, errno, "cannot write '%s': cannot open the folder '%s'",
			partial->path, partial->folder);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && atomic_folder_still(partial->folder, fd)) {
		partial->lock = fd;
		return 0;
	}
	close(fd);
	return error_set(err, ERROR_IO, "cannot write '%s': another program is writing it, in '%s'", partial->path,
		partial->folder);
}

/* ---- folders of earlier versions, which were named after what was asked for ---- */

static bool holds(const char *folder, const char *name)
{
	char *path = NULL;
	if (asprintf(&path, "%s/%s", folder, name) < 0)
		return false;
	bool there = access(path, F_OK) == 0;
	free(path);
	return there;
}

/* What lies in `folder` is a set's, and this one's only if the user says so: by the name that it has today. */
static int older_refuse(const struct shard_partial *partial, const char *folder, const char *what, struct error *err)
{
	char *target = target_of(partial->path, true);
	error_set(err, ERROR_MISMATCH,
		"cannot write '%s': '%s' holds %s. Rename that folder to '%s.partial' to go on with it, or remove it",
		partial->path, folder, what, target != NULL ? target : partial->target);
	free(target);
	return ERROR_MISMATCH;
}

static int older_check(const struct shard_partial *partial, bool resume, struct error *err)
{
	static const char commit[] = "shards that an earlier version of ringclr was about to give their names";
	static const char begun[] = "unfinished work of an earlier version of ringclr, or of a single shard";
	static const char *const endings[] = {".ring", ""};
	int rc = 0;
	if (!partial->many)
		return holds(partial->folder, "commit.json") ? older_refuse(partial, partial->folder, commit, err) : 0;
	for (unsigned i = 0; i < sizeof endings / sizeof *endings && rc == 0; i++) {
		char *folder = NULL;
		if (asprintf(&folder, "%.*s%s.partial", (int)strlen(partial->target) - 5, partial->target, endings[i]) <
			0)
			return out_of_memory(partial->path, err);
		if (holds(folder, "commit.json"))
			rc = older_refuse(partial, folder, commit, err);
		free(folder);
	}
	/* To begin anew would not be what --resume asks for. */
	char *folder = NULL;
	if (asprintf(&folder, "%s.partial", partial->path) < 0)
		return out_of_memory(partial->path, err);
	if (rc == 0 && resume && access(partial->folder, F_OK) != 0 && holds(folder, "state.json"))
		rc = older_refuse(partial, folder, begun, err);
	free(folder);
	return rc;
}

int shard_partial_open(struct shard_partial *partial, const char *path, bool many, bool resume, struct error *err)
{
	*partial = (struct shard_partial){.path = strdup(path), .target = target_of(path, many), .many = many};
	partial->many = many || shard_manifest_named(path);
	partial->lock = -1;
	if (partial->target == NULL || asprintf(&partial->folder, "%s.partial", partial->target) < 0)
		partial->folder = NULL;
	if (partial->path == NULL || partial->folder == NULL)
		return out_of_memory(path, err);
	int rc = target_check(partial, err);
	if (rc == 0)
		rc = older_check(partial, resume, err);
	return rc == 0 ? folder_enter(partial, err) : rc;
}

void shard_partial_close(struct shard_partial *partial)
{
	if (partial->lock >= 0)
		close(partial->lock);
	free(partial->path);
	free(partial->folder);
	free(partial->target);
	*partial = (struct shard_partial){.lock = -1};
}

/* ---- what lies there ---- */

static bool exists(const struct shard_partial *partial, const char *name)
{
	return faccessat(partial->lock, name, F_OK, 0) == 0;
}

bool shard_partial_has_part(const struct shard_partial *partial, unsigned number)
{
	char name[32];
	snprintf(name, sizeof name, "%05u.part", number);
	return exists(partial, name);
}

unsigned shard_partial_complete(const struct shard_partial *partial)
{
	for (unsigned number = partial->first;; number++) {
		char name[32];
		snprintf(name, sizeof name, "%05u.ring", number);
		if (!exists(partial, name))
			return number;
	}
}

bool shard_partial_committing(const struct shard_partial *partial)
{
	return exists(partial, "commit.json");
}

struct atomic_file *shard_partial_file(
	const struct shard_partial *partial, unsigned number, bool keep, struct error *err)
{
	char *part = NULL, *complete = NULL;
	struct atomic_file *file = NULL;
	if (asprintf(&part, "%s/%05u.part", partial->folder, number) < 0)
		part = NULL;
	if (asprintf(&complete, "%s/%05u.ring", partial->folder, number) < 0)
		complete = NULL;
	if (part == NULL || complete == NULL)
		out_of_memory(partial->path, err);
	else
		file = atomic_file_create_as(complete, part, keep, err);
	if (file != NULL)
		atomic_file_keep_mode_of(part, partial->target);
	free(part);
	free(complete);
	return file;
}

static bool is_ours(const char *name)
{
	size_t digits = strspn(name, "0123456789");
	return strcmp(name, "state.json") == 0 || strcmp(name, "dictionary") == 0 || strcmp(name, "commit.json") == 0 ||
	       (digits >= 5 && (strcmp(name + digits, ".ring") == 0 || strcmp(name + digits, ".part") == 0)) ||
	       strstr(name, ".tmp-") != NULL;
}

static int empty_folder(struct shard_partial *partial, struct error *err)
{
	int fd = dup(partial->lock), rc = 0;
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	if (folder == NULL) {
		if (fd >= 0)
			close(fd);
		return error_set_errno(err, ERROR_IO, errno, "cannot list the folder '%s'", partial->folder);
	}
	rewinddir(folder);
	for (const struct dirent *entry = readdir(folder); entry != NULL && rc == 0; entry = readdir(folder)) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (!is_ours(entry->d_name))
			rc = error_set(err, ERROR_IO,
				"'%s' holds '%s', which is not of an unfinished set: move it elsewhere",
				partial->folder, entry->d_name);
		else if (unlinkat(partial->lock, entry->d_name, 0) != 0)
			rc = error_set_errno(
				err, ERROR_IO, errno, "cannot remove '%s/%s'", partial->folder, entry->d_name);
	}
	closedir(folder);
	return rc;
}

int shard_partial_clear(struct shard_partial *partial, struct error *err)
{
	struct shard_set_result ignored;
	if (shard_partial_committing(partial)) {
		int rc = shard_partial_commit(partial, &ignored, err);
		if (rc == 0)
			free(ignored.path);
		if (rc == 0)
			rc = folder_enter(partial, err);
		if (rc != 0)
			return rc;
	}
	return empty_folder(partial, err);
}

int shard_partial_remove(struct shard_partial *partial, struct error *err)
{
	if (partial->lock < 0)
		return 0;
	int rc = empty_folder(partial, err);
	if (rc == 0 && rmdir(partial->folder) != 0)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot remove the folder '%s'", partial->folder);
	close(partial->lock);
	partial->lock = -1;
	return rc;
}

/* ---- state ---- */

static char *inside(const struct shard_partial *partial, const char *name)
{
	char *path = NULL;
	return asprintf(&path, "%s/%s", partial->folder, name) < 0 ? NULL : path;
}

static int replace(
	const struct shard_partial *partial, const char *name, const void *data, size_t bytes, struct error *err)
{
	char *path = inside(partial, name);
	int rc = path == NULL ? out_of_memory(partial->path, err) : atomic_file_replace(path, data, bytes, err);
	free(path);
	return rc;
}

int shard_partial_save(const struct shard_partial *partial, const struct shard_writer_config *config,
	const struct shard_choice *choice, uint64_t identity, struct error *err)
{
	char text[32];
	cJSON *state = cJSON_CreateObject();
	cJSON_AddStringToObject(state, "format", "ringclr unfinished set");
	cJSON_AddNumberToObject(state, "version", STATE_VERSION);
	snprintf(text, sizeof text, "%016" PRIx64, identity);
	cJSON_AddStringToObject(state, "identity", text);
	cJSON_AddNumberToObject(state, "block_bytes", (double)config->block_bytes);
	cJSON_AddNumberToObject(state, "zstd_level", config->zstd_level);
	cJSON_AddBoolToObject(state, "fill_pages", config->fill_pages);
	cJSON_AddNumberToObject(state, "dictionary_bytes", (double)config->dictionary_bytes);
	cJSON_AddBoolToObject(state, "measured", choice->measured);
	cJSON_AddNumberToObject(state, "sample_records", choice->sample_records);
	cJSON_AddNumberToObject(state, "share", choice->share);
	cJSON_AddNumberToObject(state, "share_without", choice->share_without);
	char *line = cJSON_Print(state);
	cJSON_Delete(state);
	int rc = line == NULL ? out_of_memory(partial->path, err) : 0;
	if (rc == 0 && config->dictionary != NULL)
		rc = replace(partial, "dictionary", config->dictionary, config->dictionary_bytes, err);
	if (rc == 0)
		rc = replace(partial, "state.json", line, strlen(line), err);
	free(line);
	return rc;
}

static char *read_inside(const struct shard_partial *partial, const char *name, size_t *bytes, struct error *err)
{
	char *path = inside(partial, name), *data = NULL;
	if (path == NULL)
		out_of_memory(partial->path, err);
	else
		data = atomic_file_read_all(path, SHARD_MAX_DICTIONARY, bytes, err);
	free(path);
	return data;
}

static int number(const cJSON *state, const char *name)
{
	const cJSON *value = cJSON_GetObjectItem(state, name);
	return cJSON_IsNumber(value) ? value->valueint : 0;
}

static double real(const cJSON *state, const char *name)
{
	const cJSON *value = cJSON_GetObjectItem(state, name);
	return cJSON_IsNumber(value) ? value->valuedouble : 0;
}

static void choice_load(const cJSON *state, struct shard_choice *choice)
{
	*choice = (struct shard_choice){.block_bytes = (size_t)number(state, "block_bytes"),
		.dictionary_bytes = (size_t)number(state, "dictionary_bytes"),
		.zstd_level = number(state, "zstd_level"),
		.measured = cJSON_IsTrue(cJSON_GetObjectItem(state, "measured")),
		.sample_records = (uint32_t)number(state, "sample_records"),
		.share = real(state, "share"),
		.share_without = real(state, "share_without")};
}

int shard_partial_load(const struct shard_partial *partial, struct shard_writer_config *config,
	unsigned char **dictionary, struct shard_choice *choice, uint64_t identity, struct error *err)
{
	char expected[32];
	size_t bytes;
	*dictionary = NULL;
	if (!exists(partial, "state.json") && !shard_partial_committing(partial))
		return 0;
	if (!exists(partial, "state.json"))
		return error_set(err, ERROR_MISMATCH,
			"'%s' holds a finished set of another command, which only needs its names: without --resume it "
			"gets them, and is then replaced by what this command makes",
			partial->folder);
	char *text = read_inside(partial, "state.json", &bytes, err);
	if (text == NULL)
		return err->code;
	cJSON *state = cJSON_ParseWithLength(text, bytes);
	free(text);
	snprintf(expected, sizeof expected, "%016" PRIx64, identity);
	const char *found = cJSON_GetStringValue(cJSON_GetObjectItem(state, "identity"));
	int rc = 1;
	if (found == NULL || number(state, "version") != STATE_VERSION)
		rc = error_set(err, ERROR_FORMAT, "'%s/state.json' makes no sense: remove the folder and start anew",
			partial->folder);
	else if (strcmp(found, expected) != 0)
		rc = error_set(err, ERROR_MISMATCH,
			"'%s' was begun with other inputs or options: give the same, or start anew without --resume",
			partial->folder);
	if (rc == 1) {
		choice_load(state, choice);
		config->block_bytes = choice->block_bytes;
		config->zstd_level = choice->zstd_level;
		config->fill_pages = cJSON_IsTrue(cJSON_GetObjectItem(state, "fill_pages"));
	}
	if (rc == 1 && choice->dictionary_bytes > 0) {
		*dictionary = (unsigned char *)read_inside(partial, "dictionary", &config->dictionary_bytes, err);
		config->dictionary = *dictionary;
		rc = *dictionary == NULL ? err->code : 1;
	}
	cJSON_Delete(state);
	return rc;
}
