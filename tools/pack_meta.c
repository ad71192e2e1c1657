/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata of images from a file of JSON objects, one a line: {"key": "ant/1.jpg", "photographer": "..."}. The line's
 * text becomes the record's metadata as it is, "key" included, so that numbers keep all their digits.
 *
 * Two walks over the file, because the plan's texts cannot be looked at while some are appended: the first finds the
 * entry of each line by the hash of its key (12 bytes a record, padded to 16, while it runs) and leaves the line's
 * offset in it; the second copies the lines.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tools/pack.h"

int pack_meta_check(const char *key, const char *text, size_t bytes, struct error *err)
{
	if (bytes > PACK_MAX_META_BYTES)
		return error_set(err, ERROR_FORMAT,
			"%s: its metadata is larger than %d KiB; --no-meta leaves all metadata out", key,
			PACK_MAX_META_BYTES >> 10);
	bool sound = strlen(text) == bytes;
	for (const char *at = text; sound && *at != '\0';) {
		size_t length = pack_utf8_length((const unsigned char *)at);
		sound = length > 0;
		at += length;
	}
	cJSON *json = sound ? cJSON_ParseWithOpts(text, NULL, true) : NULL;
	bool object = cJSON_IsObject(json);
	cJSON_Delete(json);
	return object ? 0
		      : error_set(err, ERROR_FORMAT,
				"%s: its metadata must be one JSON object, and is not; --no-meta leaves all metadata "
				"out",
				key);
}

struct hashed_key {
	uint64_t hash;
	uint32_t entry;
};

static int compare_hashes(const void *a, const void *b)
{
	uint64_t x = ((const struct hashed_key *)a)->hash, y = ((const struct hashed_key *)b)->hash;
	return x < y ? -1 : x > y;
}

static struct hashed_key *hash_keys(const struct pack_plan *plan, struct error *err)
{
	struct hashed_key *keys = calloc(plan->count + 1, sizeof(*keys));
	if (keys == NULL) {
		pack_out_of_memory(err);
		return NULL;
	}
	for (size_t i = 0; i < plan->count; i++) {
		const char *key = pack_plan_key(plan, &plan->entries[i]);
		keys[i] = (struct hashed_key){.hash = XXH3_64bits(key, strlen(key)), .entry = (uint32_t)i};
	}
	qsort(keys, plan->count, sizeof(*keys), compare_hashes);
	return keys;
}

static struct pack_entry *find_entry(const struct pack_plan *plan, const struct hashed_key *keys, const char *key)
{
	uint64_t hash = XXH3_64bits(key, strlen(key));
	size_t low = 0, high = plan->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (keys[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < plan->count && keys[low].hash == hash; low++) {
		struct pack_entry *entry = &plan->entries[keys[low].entry];
		if (strcmp(pack_plan_key(plan, entry), key) == 0)
			return entry;
	}
	return NULL;
}

/* Without its end of line. 1: a line; 0: the end of the file. */
static int next_line(FILE *file, const char *path, char *line, size_t *bytes, uint64_t number, struct error *err)
{
	/* fgets, not getline: a file without ends of lines must not fill the memory. */
	if (fgets(line, PACK_MAX_META_BYTES + 3, file) == NULL)
		return ferror(file) ? error_set_errno(err, ERROR_IO, errno, "cannot read %s", path) : 0;
	*bytes = strlen(line);
	while (*bytes > 0 && (line[*bytes - 1] == '\n' || line[*bytes - 1] == '\r'))
		line[--*bytes] = '\0';
	if (*bytes > PACK_MAX_META_BYTES)
		return error_set(err, ERROR_FORMAT, "%s: line %llu is longer than %d KiB", path,
			(unsigned long long)number, PACK_MAX_META_BYTES >> 10);
	return 1;
}

static int take_line(struct pack_plan *plan, const struct hashed_key *keys, const char *where, const char *line,
	size_t bytes, uint64_t offset, uint64_t *unknown, struct error *err)
{
	int rc = pack_meta_check(where, line, bytes, err);
	if (rc < 0)
		return rc;
	cJSON *json = cJSON_Parse(line);
	const char *key = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "key"));
	char *clean = key != NULL ? strdup(key) : NULL;
	cJSON_Delete(json);
	if (clean == NULL)
		return error_set(err, ERROR_FORMAT, "%s: has no \"key\" that says which image it is for", where);
	pack_clean_path(clean);
	struct pack_entry *entry = find_entry(plan, keys, clean);
	if (entry == NULL)
		++*unknown;
	else if (entry->flags & PACK_META_LINE)
		rc = error_set(err, ERROR_FORMAT, "%s: a second line for %s", where, clean);
	free(clean);
	if (entry != NULL && rc == 0) {
		entry->flags |= PACK_META_LINE;
		entry->meta = offset;
	}
	return rc;
}

static int find_lines(
	struct pack_plan *plan, FILE *file, const char *path, char *line, uint64_t *unknown, struct error *err)
{
	struct hashed_key *keys = hash_keys(plan, err);
	int rc = keys == NULL ? err->code : 1;
	for (uint64_t number = 1; rc > 0; number++) {
		char where[4096];
		size_t bytes = 0;
		off_t offset = ftello(file);
		rc = next_line(file, path, line, &bytes, number, err);
		snprintf(where, sizeof(where), "%s: line %llu", path, (unsigned long long)number);
		if (rc > 0 && bytes > 0) {
			rc = take_line(plan, keys, where, line, bytes, (uint64_t)offset, unknown, err);
			rc = rc == 0 ? 1 : rc;
		}
	}
	free(keys);
	return rc;
}

static int copy_lines(struct pack_plan *plan, FILE *file, const char *path, char *line, struct error *err)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct pack_entry *entry = &plan->entries[i];
		if (!(entry->flags & PACK_META_LINE))
			continue;
		size_t bytes = 0;
		if (fseeko(file, (off_t)entry->meta, SEEK_SET) != 0)
			return error_set_errno(err, ERROR_IO, errno, "cannot read %s", path);
		int rc = next_line(file, path, line, &bytes, 0, err);
		if (rc == 0)
			rc = error_set(err, ERROR_IO, "%s changed while it was read", path);
		if (rc > 0)
			rc = spill_append(plan->spill, line, bytes + 1, &entry->meta, err);
		if (rc < 0)
			return rc;
		entry->flags &= ~(uint32_t)PACK_META_LINE;
		plan->has_meta = true;
	}
	plan->texts = spill_map(plan->spill, err);
	return plan->texts != NULL ? 0 : err->code;
}

int pack_plan_read_meta(struct pack_plan *plan, const char *path, uint64_t *unknown, struct error *err)
{
	char *line = malloc(PACK_MAX_META_BYTES + 3);
	FILE *file = fopen(path, "re");
	int rc = line == NULL ? pack_out_of_memory(err) : 0;
	if (file == NULL)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot open %s", path);
	*unknown = 0;
	if (rc == 0)
		rc = find_lines(plan, file, path, line, unknown, err);
	if (rc == 0)
		rc = copy_lines(plan, file, path, line, err);
	if (file != NULL)
		fclose(file);
	free(line);
	return rc;
}
