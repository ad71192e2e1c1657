/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From names to a plan. Keys and metadata go to a spill, NUL-terminated; an entry holds their places. Whatever has to
 * be found by name is found by sorting places, with the texts read through the spill's mapping.
 *
 * An image's class is, in this order:
 *
 *   - what --label-regex finds in its key, where that is given;
 *   - what the source knows (CIFAR);
 *   - the text of "key.cls" beside "key.jpg", in an input that has any .cls file (WebDataset);
 *   - the first folder of its path, below --root;
 *   - none (label -1) for images right at the root.
 */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/pack.h"
#include "tools/pack_pnm.h"

void pack_clean_path(char *path)
{
	char *to = path;
	const char *from = path;
	while (*from != '\0') {
		size_t bytes = strcspn(from, "/");
		if (bytes > 0 && !(bytes == 1 && from[0] == '.')) {
			if (to != path)
				*to++ = '/';
			memmove(to, from, bytes);
			to += bytes;
		}
		from += bytes;
		from += *from == '/';
	}
	*to = '\0';
}

static bool is_hidden(const char *path)
{
	return path[0] == '.' || strstr(path, "/.") != NULL;
}

/* The part of a key below the root, or NULL when it lies elsewhere. */
static const char *below_root(const struct pack_plan *plan, const char *key)
{
	size_t bytes = strlen(plan->root);
	if (bytes == 0)
		return key;
	return strncmp(key, plan->root, bytes) == 0 && key[bytes] == '/' ? key + bytes + 1 : NULL;
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash != NULL ? slash + 1 : path;
}

static bool has_extension(const char *path, const char *extension)
{
	const char *dot = strrchr(file_name(path), '.');
	return dot != NULL && strcasecmp(dot + 1, extension) == 0;
}

int pack_plan_offer(struct pack_plan *plan, const char *path, char **key, struct error *err)
{
	int rc = plan->tick != NULL ? plan->tick(plan, err) : 0;
	if (rc < 0)
		return rc;
	char *clean = strdup(path);
	if (clean == NULL)
		return pack_out_of_memory(err);
	pack_clean_path(clean);
	const char *below = below_root(plan, clean);
	if (below == NULL || is_hidden(below)) {
		/* What lies outside the root was not asked for: only what was is counted as ignored. */
		plan->ignored += below != NULL;
		free(clean);
		return PACK_IGNORE;
	}
	*key = clean;
	if (has_extension(clean, "cls"))
		return PACK_LABEL;
	return plan->take_meta && !plan->no_meta && has_extension(clean, "json") ? PACK_META : PACK_LOOK;
}

bool pack_is_image(const char *key, const void *head, size_t bytes)
{
	static const char *const extensions[] = {"jpg", "jpeg", "png", "webp", "ppm", "pgm"};
	if (bytes >= 3 && memcmp(head, "\xff\xd8\xff", 3) == 0)
		return true;
	if (bytes >= 8 && memcmp(head, "\x89PNG\r\n\x1a\n", 8) == 0)
		return true;
	if (bytes >= 12 && memcmp(head, "RIFF", 4) == 0 && memcmp((const char *)head + 8, "WEBP", 4) == 0)
		return true;
	if (pack_pnm_probe(head, bytes))
		return true;
	/* A file that calls itself an image and is none is a bad image, not a file to pass over in silence. */
	for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
		if (has_extension(key, extensions[i]))
			return true;
	}
	return false;
}

bool pack_grow(void *array, size_t count, size_t *capacity, size_t size_bytes)
{
	if (count < *capacity)
		return true;
	size_t wanted = *capacity == 0 ? 256 : *capacity * 2;
	void *larger = reallocarray(*(void **)array, wanted, size_bytes);
	if (larger == NULL)
		return false;
	*(void **)array = larger;
	*capacity = wanted;
	return true;
}

size_t pack_utf8_length(const unsigned char *text)
{
	static const unsigned char least_second[] = {[0xe0 - 0xe0] = 0xa0, [0xf0 - 0xe0] = 0x90};
	unsigned first = text[0];
	size_t bytes = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
	for (size_t i = 1; i < bytes; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong forms, surrogates and what lies beyond U+10FFFF. */
	if ((first == 0xe0 || first == 0xf0) && text[1] < least_second[first - 0xe0])
		return 0;
	if ((first == 0xed && text[1] > 0x9f) || (first == 0xf4 && text[1] > 0x8f))
		return 0;
	return bytes;
}

static int check_key(const char *key, struct error *err)
{
	if (strlen(key) > SHARD_MAX_KEY)
		return error_set(err, ERROR_FORMAT, "%.200s...: path is longer than %d bytes", key, SHARD_MAX_KEY);
	for (const char *at = key; *at != '\0';) {
		size_t bytes = pack_utf8_length((const unsigned char *)at);
		if (bytes == 0)
			return error_set(err, ERROR_FORMAT, "%.*s...: file name is not UTF-8 from here on; rename it",
				(int)(at - key < 200 ? at - key : 200), key);
		at += bytes;
	}
	return 0;
}

int pack_plan_create(struct pack_plan *plan, const char *root, const char *beside, struct error *err)
{
	char *copy = strdup(beside);
	*plan = (struct pack_plan){.root = root};
	if (copy == NULL)
		return pack_out_of_memory(err);
	plan->spill = spill_create(dirname(copy), err);
	free(copy);
	/* A filler, so that place 0 can mean "nothing". */
	return plan->spill != NULL ? spill_append(plan->spill, "", 1, NULL, err) : err->code;
}

const char *pack_plan_key(const struct pack_plan *plan, const struct pack_entry *entry)
{
	return (const char *)plan->texts + entry->key;
}

const char *pack_plan_meta(const struct pack_plan *plan, const struct pack_entry *entry)
{
	return entry->meta != 0 ? (const char *)plan->texts + entry->meta : NULL;
}

/* Takes an entry whose key and meta are not in the spill yet. meta may be NULL. */
static int append(struct pack_plan *plan, const char *key, const char *meta, struct pack_entry entry, struct error *err)
{
	int rc = check_key(key, err);
	if (rc == 0 && !pack_grow(&plan->entries, plan->count, &plan->capacity, sizeof(*plan->entries)))
		rc = pack_out_of_memory(err);
	if (rc == 0 && plan->count >= UINT32_MAX)
		rc = error_set(err, ERROR_UNSUPPORTED, "a data set holds at most %u images: make several", UINT32_MAX);
	if (rc == 0)
		rc = spill_append(plan->spill, key, strlen(key) + 1, &entry.key, err);
	if (rc == 0 && meta != NULL)
		rc = spill_append(plan->spill, meta, strlen(meta) + 1, &entry.meta, err);
	if (rc < 0)
		return rc;
	entry.input = plan->input;
	plan->entries[plan->count++] = entry;
	return 0;
}

static uint32_t bytes_field(uint64_t bytes)
{
	return bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

int pack_plan_add(struct pack_plan *plan, const char *key, const void *head, size_t head_bytes, uint64_t ordinal,
	uint64_t bytes, struct error *err)
{
	if (!pack_is_image(key, head, head_bytes)) {
		plan->ignored++;
		return 0;
	}
	const struct pack_entry entry = {.ordinal = ordinal, .bytes = bytes_field(bytes), .label = -1};
	return append(plan, key, NULL, entry, err);
}

int pack_plan_add_known(struct pack_plan *plan, const struct pack_known *known, struct error *err)
{
	struct pack_entry entry = {.ordinal = known->ordinal,
		.bytes = bytes_field(known->bytes),
		.label = -1,
		.flags = known->class_open ? 0 : PACK_CLASS_KNOWN};
	if (known->class_name != NULL && plan->label_regex == NULL) {
		entry.label = pack_names_number(&plan->names, known->class_name, err);
		if (entry.label < 0)
			return entry.label;
	}
	const char *meta = plan->no_meta ? NULL : known->meta;
	int rc = meta != NULL ? pack_meta_check(known->key, meta, strlen(meta), err) : 0;
	if (rc < 0)
		return rc;
	plan->has_meta |= meta != NULL;
	return append(plan, known->key, meta, entry, err);
}

/* ---- files beside images ---- */

/* Cuts a path at the first dot of its file name: "a/b.left.jpg" -> "a/b". */
static size_t stem_bytes(const char *path)
{
	const char *name = file_name(path);
	return (size_t)(name - path) + strcspn(name, ".");
}

static int add_side(struct pack_plan *plan, struct pack_sides *sides, const char *key, const char *text, size_t bytes,
	struct error *err)
{
	if (!pack_grow(&sides->places, sides->count, &sides->capacity, sizeof(*sides->places)))
		return pack_out_of_memory(err);
	int rc = spill_append(plan->spill, key, stem_bytes(key), &sides->places[sides->count], err);
	if (rc == 0)
		rc = spill_append(plan->spill, "", 1, NULL, err);
	if (rc == 0)
		rc = spill_append(plan->spill, text, bytes, NULL, err);
	if (rc == 0)
		rc = spill_append(plan->spill, "", 1, NULL, err);
	sides->count += rc == 0;
	return rc;
}

int pack_plan_add_label(struct pack_plan *plan, const char *key, const char *text, size_t bytes, struct error *err)
{
	while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1]) != NULL)
		bytes--;
	if (bytes == 0 || bytes >= PACK_MAX_LABEL_BYTES || memchr(text, '\n', bytes) || memchr(text, '\0', bytes))
		return error_set(err, ERROR_FORMAT, "%s: must hold one class, a number or a name in one line", key);
	return add_side(plan, &plan->labels, key, text, bytes, err);
}

int pack_plan_add_meta(struct pack_plan *plan, const char *key, const char *text, size_t bytes, struct error *err)
{
	/* What has a NUL in it is not JSON: not even its beginning shall be taken for it. */
	return add_side(plan, &plan->metas, key, text, memchr(text, '\0', bytes) != NULL ? 0 : bytes, err);
}

static int compare_texts(const void *a, const void *b, void *texts)
{
	return strcmp((const char *)texts + *(const uint64_t *)a, (const char *)texts + *(const uint64_t *)b);
}

static int compare_keys(const void *a, const void *b, void *plan)
{
	return strcmp(pack_plan_key(plan, a), pack_plan_key(plan, b));
}

/* The place of the text beside an image, or 0. */
static uint64_t find_side(const struct pack_plan *plan, const struct pack_sides *sides, const char *key)
{
	size_t bytes = stem_bytes(key), low = 0, high = sides->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const char *stem = (const char *)plan->texts + sides->places[middle];
		int order = strncmp(stem, key, bytes);
		if (order == 0 && stem[bytes] == '\0')
			return sides->places[middle] + bytes + 1;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

static int class_from_folder(struct pack_plan *plan, struct pack_entry *entry, struct error *err)
{
	const char *key = pack_plan_key(plan, entry), *below = below_root(plan, key);
	size_t bytes = strcspn(below, "/");
	char name[SHARD_MAX_KEY + 1];
	if (below[bytes] == '\0')
		return 0;
	memcpy(name, below, bytes);
	name[bytes] = '\0';
	entry->label = pack_names_number(&plan->names, name, err);
	plan->folder_classes = true;
	if (plan->deep_key == NULL && strchr(below + bytes + 1, '/') != NULL)
		plan->deep_key = strdup(key);
	return entry->label < 0 ? entry->label : 0;
}

static int class_from_regex(struct pack_plan *plan, struct pack_entry *entry, struct error *err)
{
	const char *key = pack_plan_key(plan, entry);
	regmatch_t match[2];
	char name[SHARD_MAX_KEY + 1];
	entry->label = -1;
	if (regexec(plan->label_regex, key, 2, match, 0) != 0 || match[1].rm_so < 0) {
		plan->unmatched++;
		return 0;
	}
	size_t bytes = (size_t)(match[1].rm_eo - match[1].rm_so);
	memcpy(name, key + match[1].rm_so, bytes);
	name[bytes] = '\0';
	entry->label = pack_names_number(&plan->names, name, err);
	return entry->label < 0 ? entry->label : 0;
}

static int find_class(struct pack_plan *plan, struct pack_entry *entry, struct error *err)
{
	if (plan->label_regex != NULL)
		return class_from_regex(plan, entry, err);
	if (entry->flags & PACK_CLASS_KNOWN)
		return 0;
	if (plan->labels.count == 0)
		return class_from_folder(plan, entry, err);
	uint64_t place = find_side(plan, &plan->labels, pack_plan_key(plan, entry));
	const char *text = place != 0 ? (const char *)plan->texts + place : "-1"; /* which says: no label */
	if (strcmp(text, "-1") == 0)
		return 0;
	entry->label = pack_names_number(&plan->names, text, err);
	return entry->label < 0 ? entry->label : 0;
}

static int find_meta(struct pack_plan *plan, struct pack_entry *entry, struct error *err)
{
	if (entry->meta != 0 || plan->metas.count == 0)
		return 0;
	const char *key = pack_plan_key(plan, entry);
	entry->meta = find_side(plan, &plan->metas, key);
	plan->has_meta |= entry->meta != 0;
	const char *meta = pack_plan_meta(plan, entry);
	return meta != NULL ? pack_meta_check(key, meta, strlen(meta), err) : 0;
}

/* Metadata of no image are files like any other. */
static void count_lone_metas(struct pack_plan *plan, const struct pack_entry *entries, size_t count)
{
	plan->ignored += plan->metas.count;
	for (size_t i = 0; i < count && plan->metas.count > 0; i++) {
		/* Several images may share a stem: the first of them in a row counts. */
		bool again = i > 0 && entries[i].meta == entries[i - 1].meta;
		plan->ignored -= entries[i].meta != 0 && !again;
	}
}

int pack_plan_end_input(struct pack_plan *plan, bool sorted, struct error *err)
{
	struct pack_entry *entries = plan->entries + plan->input_first;
	size_t count = plan->count - plan->input_first;
	struct pack_sides *const sides[] = {&plan->labels, &plan->metas};
	int rc = 0;
	plan->texts = spill_map(plan->spill, err);
	if (plan->texts == NULL)
		return err->code;
	if (sorted && count > 0)
		qsort_r(entries, count, sizeof(*entries), compare_keys, plan);
	for (size_t i = 0; i < 2; i++) {
		if (sides[i]->count > 0)
			qsort_r(sides[i]->places, sides[i]->count, sizeof(*sides[i]->places), compare_texts,
				(void *)plan->texts);
	}
	for (size_t i = 0; i < count && rc == 0; i++) {
		rc = find_class(plan, &entries[i], err);
		if (rc == 0)
			rc = find_meta(plan, &entries[i], err);
	}
	count_lone_metas(plan, entries, count);
	for (size_t i = 0; i < 2; i++) {
		free(sides[i]->places);
		*sides[i] = (struct pack_sides){.places = NULL};
	}
	plan->input_first = plan->count;
	plan->input++;
	return rc;
}

void pack_plan_free(struct pack_plan *plan)
{
	for (uint32_t i = 0; i < plan->class_count; i++)
		free(plan->classes[i]);
	pack_names_free(&plan->names);
	spill_destroy(plan->spill);
	free(plan->entries);
	free(plan->labels.places);
	free(plan->metas.places);
	free(plan->classes);
	free(plan->deep_key);
	*plan = (struct pack_plan){0};
}
