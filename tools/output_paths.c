/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names are put together only where they are written or compared, so that a list of them costs 32 bytes each, whatever
 * their length. Sorted with '/' before all other bytes, a name that is a file and a folder stands right before the
 * first name in that folder.
 */
#include "tools/output_paths.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const jpeg_extensions[] = {".jpg", ".jpeg", ".jpe", ".jfif", NULL};
static const char *const png_extensions[] = {".png", NULL};
static const char *const webp_extensions[] = {".webp", NULL};
static const char *const ppm_extensions[] = {".ppm", ".pnm", NULL};
/* Of other files that packing turns into one of the above. */
static const char *const other_extensions[] = {".bmp", ".gif", ".pgm", ".tif", ".tiff", NULL};

static const char *const *extensions_of(enum shard_codec codec, enum output_raw raw)
{
	switch (codec) {
	case SHARD_JPEG:
		return jpeg_extensions;
	case SHARD_WEBP:
		return webp_extensions;
	case SHARD_PNG:
		return png_extensions;
	case SHARD_RAW:
		break;
	}
	return raw == OUTPUT_PPM ? ppm_extensions : png_extensions;
}

/* Where the last part's extension begins; at its end when there is none. A leading dot begins none. */
static size_t extension_at(const char *key)
{
	const char *slash = strrchr(key, '/');
	const char *last = slash == NULL ? key : slash + 1;
	const char *dot = strrchr(last, '.');
	return dot == NULL || dot == last ? strlen(key) : (size_t)(dot - key);
}

static bool is_one_of(const char *extension, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcasecmp(extension, *list) == 0)
			return true;
	return false;
}

struct output_path output_path_of(const char *key, enum shard_codec codec, enum output_raw raw)
{
	const char *const *extensions = extensions_of(codec, raw);
	bool fits = is_one_of(key + extension_at(key), extensions);
	return (struct output_path){
		.key = key, .key_bytes = (uint32_t)strlen(key), .suffix = fits ? "" : extensions[0]};
}

struct output_path output_path_stem(const char *key, enum shard_codec codec, enum output_raw raw)
{
	size_t at = extension_at(key);
	const char *extension = key + at;
	bool image = is_one_of(extension, jpeg_extensions) || is_one_of(extension, png_extensions) ||
		     is_one_of(extension, webp_extensions) || is_one_of(extension, ppm_extensions) ||
		     is_one_of(extension, other_extensions);
	return (struct output_path){
		.key = key, .key_bytes = (uint32_t)(image ? at : strlen(key)), .suffix = extensions_of(codec, raw)[0]};
}

struct output_path output_path_beside(const struct output_path *path, const char *suffix)
{
	struct output_path beside = *path;
	if (*path->suffix == '\0')
		beside.key_bytes = (uint32_t)extension_at(path->key);
	beside.suffix = suffix;
	return beside;
}

bool output_path_write(const struct output_path *path, char name[ATOMIC_FOLDER_MAX_PATH + 1])
{
	size_t folder_bytes = path->folder == NULL ? 0 : strlen(path->folder) + 1, suffix_bytes = strlen(path->suffix);
	if (folder_bytes + path->key_bytes + suffix_bytes > ATOMIC_FOLDER_MAX_PATH)
		return false;
	char *at = name;
	if (path->folder != NULL) {
		memcpy(at, path->folder, folder_bytes - 1);
		at[folder_bytes - 1] = '/';
	}
	at += folder_bytes;
	memcpy(at, path->key, path->key_bytes);
	at[path->key_bytes] = '\0';
	if (path->no_dots) {
		char *slash = strrchr(at, '/');
		for (char *dot = slash == NULL ? at : slash + 1; (dot = strchr(dot, '.')) != NULL; dot++)
			*dot = '_';
	}
	memcpy(at + path->key_bytes, path->suffix, suffix_bytes + 1);
	return true;
}

int output_paths_add(struct output_paths *paths, const struct output_path *path, struct error *err)
{
	char name[ATOMIC_FOLDER_MAX_PATH + 1];
	const char *fault = output_path_write(path, name) ? atomic_folder_fault(name) : "is too long for a file's name";
	/* A class is one folder, and dots that became harmless in the name are not so in the key. */
	if (fault == NULL && path->folder != NULL && strchr(path->folder, '/') != NULL)
		fault = "has a class in it that is no folder's name";
	if (fault == NULL && atomic_folder_fault(path->key) != NULL)
		fault = atomic_folder_fault(path->key);
	if (fault != NULL)
		return error_set(err, ERROR_FORMAT,
			"the record '%.300s' makes no file: its name %s; nothing was written", path->key, fault);
	if (paths->count == paths->capacity) {
		uint64_t capacity = paths->capacity * 2 + 1024;
		struct output_path *larger = realloc(paths->paths, capacity * sizeof(*larger));
		if (larger == NULL)
			return error_set(err, ERROR_MEMORY, "out of memory for the names of files");
		paths->paths = larger;
		paths->capacity = capacity;
	}
	paths->paths[paths->count++] = *path;
	return 0;
}

/* Of a byte in the order of names: the end, '/', all others. */
static int rank_of(char byte)
{
	return byte == '\0' ? 0 : byte == '/' ? 1 : (unsigned char)byte + 2;
}

static int compare_paths(const void *a, const void *b)
{
	const struct output_path *x = a, *y = b;
	if (x->folder == y->folder && !x->no_dots && !y->no_dots) { /* mostly the keys alone decide */
		uint32_t common = x->key_bytes < y->key_bytes ? x->key_bytes : y->key_bytes;
		for (uint32_t i = 0; i < common; i++)
			if (x->key[i] != y->key[i])
				return rank_of(x->key[i]) - rank_of(y->key[i]);
	}
	char one[ATOMIC_FOLDER_MAX_PATH + 1], other[ATOMIC_FOLDER_MAX_PATH + 1];
	output_path_write(x, one);
	output_path_write(y, other);
	size_t at = 0;
	while (one[at] == other[at] && one[at] != '\0')
		at++;
	return rank_of(one[at]) - rank_of(other[at]);
}

int output_paths_check(struct output_paths *paths, struct error *err)
{
	if (paths->count > 1)
		qsort(paths->paths, paths->count, sizeof(*paths->paths), compare_paths);
	for (uint64_t i = 1; i < paths->count; i++) {
		char before[ATOMIC_FOLDER_MAX_PATH + 1], name[ATOMIC_FOLDER_MAX_PATH + 1];
		const struct output_path *first = &paths->paths[i - 1], *second = &paths->paths[i];
		output_path_write(first, before);
		output_path_write(second, name);
		size_t bytes = strlen(before);
		if (strcmp(before, name) == 0)
			return error_set(err, ERROR_FORMAT,
				"the records '%.300s' and '%.300s' would both be the file '%.300s'; nothing was "
				"written",
				first->key, second->key, name);
		if (strncmp(before, name, bytes) == 0 && name[bytes] == '/')
			return error_set(err, ERROR_FORMAT,
				"the record '%.300s' is a file that the record '%.300s' needs as a folder; nothing was "
				"written",
				first->key, second->key);
	}
	return 0;
}

void output_paths_free(struct output_paths *paths)
{
	free(paths->paths);
	*paths = (struct output_paths){.count = 0};
}
