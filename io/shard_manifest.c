/* SPDX-License-Identifier: Apache-2.0 */
#include "io/shard_manifest.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic_file.h"

enum { MANIFEST_VERSION = 1, MANIFEST_MAX_BYTES = 64 << 20, MANIFEST_MAX_PARTS = 1 << 20 };
static const char manifest_format[] = "ringclr set";

bool shard_manifest_named(const char *path)
{
	size_t bytes = strlen(path);
	return bytes > 5 && strcmp(path + bytes - 5, ".json") == 0;
}

char *shard_manifest_beside(const char *path, const char *file)
{
	const char *slash = strrchr(path, '/');
	char *beside = NULL;
	if (asprintf(&beside, "%.*s%s", slash == NULL ? 0 : (int)(slash - path) + 1, path, file) < 0)
		return NULL;
	return beside;
}

bool shard_manifest_add(struct shard_manifest *manifest, const struct shard_manifest_part *part)
{
	struct shard_manifest_part *parts =
		reallocarray(manifest->parts, manifest->count + (size_t)1, sizeof *manifest->parts);
	if (parts == NULL)
		return false;
	manifest->parts = parts;
	parts[manifest->count] = *part;
	parts[manifest->count].file = strdup(part->file);
	if (parts[manifest->count].file == NULL)
		return false;
	manifest->count++;
	return true;
}

bool shard_manifest_supersede(struct shard_manifest *manifest, const char *file)
{
	char **names = reallocarray(
		manifest->superseded, manifest->superseded_count + (size_t)1, sizeof *manifest->superseded);
	char *copy = strdup(file);
	if (names != NULL)
		manifest->superseded = names;
	if (names == NULL || copy == NULL) {
		free(copy);
		return false;
	}
	names[manifest->superseded_count++] = copy;
	return true;
}

bool shard_manifest_names(const struct shard_manifest *manifest, const char *file)
{
	for (unsigned i = 0; i < manifest->count; i++)
		if (strcmp(manifest->parts[i].file, file) == 0)
			return true;
	return false;
}

void shard_manifest_free(struct shard_manifest *manifest)
{
	for (unsigned i = 0; i < manifest->count; i++)
		free(manifest->parts[i].file);
	for (unsigned i = 0; i < manifest->superseded_count; i++)
		free(manifest->superseded[i]);
	free(manifest->parts);
	free(manifest->superseded);
	*manifest = (struct shard_manifest){0};
}

/* ---- reading ---- */

/* A manifest may come from anywhere: its files lie beside it and nowhere else. */
static bool plain_name(const cJSON *value)
{
	const char *name = cJSON_GetStringValue(value);
	return name != NULL && *name != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

static bool count_read(const cJSON *object, const char *name, uint64_t *count)
{
	const cJSON *value = cJSON_GetObjectItem(object, name);
	if (!cJSON_IsNumber(value) || !(value->valuedouble >= 0 && value->valuedouble < 9007199254740992.0))
		return false;
	*count = (uint64_t)value->valuedouble;
	return true;
}

static bool part_read(const cJSON *object, struct shard_manifest_part *part)
{
	const char *print = cJSON_GetStringValue(cJSON_GetObjectItem(object, "fingerprint"));
	const cJSON *file = cJSON_GetObjectItem(object, "file");
	char *end = NULL;
	if (!plain_name(file) || print == NULL || strlen(print) != 16)
		return false;
	part->file = file->valuestring;
	part->fingerprint = strtoull(print, &end, 16);
	return *end == '\0' && count_read(object, "records", &part->records) &&
	       count_read(object, "bytes", &part->bytes);
}

/* NULL, or what makes no sense. */
static const char *manifest_parse(const cJSON *root, struct shard_manifest *manifest)
{
	const cJSON *shards = cJSON_GetObjectItem(root, "shards"), *item;
	if (!cJSON_IsArray(shards) || cJSON_GetArraySize(shards) < 1 || cJSON_GetArraySize(shards) > MANIFEST_MAX_PARTS)
		return "\"shards\" must list 1 to 1048576 of them";
	cJSON_ArrayForEach(item, shards)
	{
		struct shard_manifest_part part;
		if (!part_read(item, &part))
			return "each of \"shards\" needs file (a name without slashes), records, bytes, fingerprint";
		if (!shard_manifest_add(manifest, &part))
			return "out of memory";
	}
	cJSON_ArrayForEach(item, cJSON_GetObjectItem(root, "supersedes"))
	{
		if (!plain_name(item))
			return "\"supersedes\" must list names without slashes";
		if (!shard_manifest_supersede(manifest, item->valuestring))
			return "out of memory";
	}
	return NULL;
}

int shard_manifest_read(const char *path, struct shard_manifest *manifest, struct error *err)
{
	*manifest = (struct shard_manifest){0};
	size_t bytes;
	char *text = atomic_file_read_all(path, MANIFEST_MAX_BYTES, &bytes, err);
	if (text == NULL)
		return err->code;
	cJSON *root = cJSON_ParseWithLength(text, bytes);
	free(text);
	const char *format = cJSON_GetStringValue(cJSON_GetObjectItem(root, "format"));
	const cJSON *version = cJSON_GetObjectItem(root, "version");
	int rc = 0;
	if (format == NULL || strcmp(format, manifest_format) != 0 || !cJSON_IsNumber(version)) {
		rc = error_set(err, ERROR_FORMAT, "'%s' is no manifest of a set of shards (\"format\": \"%s\")", path,
			manifest_format);
	} else if (version->valuedouble > MANIFEST_VERSION) {
		rc = error_set(err, ERROR_VERSION, "'%s' has version %g, this program reads %d: use a newer ringclr",
			path, version->valuedouble, MANIFEST_VERSION);
	} else {
		const char *fault = manifest_parse(root, manifest);
		if (fault != NULL)
			rc = error_set(err, ERROR_FORMAT, "'%s': the manifest makes no sense: %s", path, fault);
	}
	cJSON_Delete(root);
	return rc;
}

/* ---- writing ---- */

/* All return false when memory is out: a manifest that lacks a shard would be taken for whole. */
static bool part_write(cJSON *shards, const struct shard_manifest_part *part)
{
	char print[17];
	cJSON *object = cJSON_CreateObject();
	snprintf(print, sizeof print, "%016" PRIx64, part->fingerprint);
	if (cJSON_AddStringToObject(object, "file", part->file) != NULL &&
		cJSON_AddNumberToObject(object, "records", (double)part->records) != NULL &&
		cJSON_AddNumberToObject(object, "bytes", (double)part->bytes) != NULL &&
		cJSON_AddStringToObject(object, "fingerprint", print) != NULL && cJSON_AddItemToArray(shards, object))
		return true;
	cJSON_Delete(object);
	return false;
}

static bool name_write(cJSON *names, const char *name)
{
	cJSON *text = cJSON_CreateString(name);
	if (cJSON_AddItemToArray(names, text))
		return true;
	cJSON_Delete(text);
	return false;
}

static bool manifest_write(cJSON *root, const struct shard_manifest *manifest)
{
	uint64_t records = 0, bytes = 0;
	for (unsigned i = 0; i < manifest->count; i++) {
		records += manifest->parts[i].records;
		bytes += manifest->parts[i].bytes;
	}
	bool whole = cJSON_AddStringToObject(root, "format", manifest_format) != NULL &&
		     cJSON_AddNumberToObject(root, "version", MANIFEST_VERSION) != NULL &&
		     cJSON_AddNumberToObject(root, "records", (double)records) != NULL &&
		     cJSON_AddNumberToObject(root, "bytes", (double)bytes) != NULL;
	cJSON *shards = cJSON_AddArrayToObject(root, "shards");
	for (unsigned i = 0; i < manifest->count && whole; i++)
		whole = part_write(shards, &manifest->parts[i]);
	cJSON *superseded = cJSON_AddArrayToObject(root, "supersedes");
	for (unsigned i = 0; i < manifest->superseded_count && whole; i++)
		whole = name_write(superseded, manifest->superseded[i]);
	return whole && shards != NULL && superseded != NULL;
}

int shard_manifest_write(const char *path, const struct shard_manifest *manifest, struct error *err)
{
	cJSON *root = cJSON_CreateObject();
	char *text = manifest_write(root, manifest) ? cJSON_Print(root) : NULL, *line = NULL;
	cJSON_Delete(root);
	int written = text == NULL ? -1 : asprintf(&line, "%s\n", text);
	free(text);
	if (written < 0)
		return error_set(err, ERROR_MEMORY, "out of memory for the manifest '%s'", path);
	int rc = atomic_file_replace(path, line, (size_t)written, err);
	free(line);
	return rc;
}
