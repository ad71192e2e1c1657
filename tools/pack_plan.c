/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From names to a plan. An image's class is, in this order:
 *
 *   - what the source knows (CIFAR);
 *   - the text of "key.cls" beside "key.jpg", in an input that has any .cls file (WebDataset);
 *   - the first folder of its path, below --root;
 *   - none (label -1) for images right at the root.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/pack.h"

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
	return has_extension(clean, "cls") ? PACK_LABEL : PACK_LOOK;
}

static bool is_image(const char *key, const unsigned char *head, size_t bytes)
{
	static const char *const extensions[] = {"jpg", "jpeg", "png", "webp"};
	if (bytes >= 3 && memcmp(head, "\xff\xd8\xff", 3) == 0)
		return true;
	if (bytes >= 8 && memcmp(head, "\x89PNG\r\n\x1a\n", 8) == 0)
		return true;
	if (bytes >= 12 && memcmp(head, "RIFF", 4) == 0 && memcmp(head + 8, "WEBP", 4) == 0)
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

/* Length of the UTF-8 character at text, 0 when it is none. */
static size_t utf8_length(const unsigned char *text)
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
		size_t bytes = utf8_length((const unsigned char *)at);
		if (bytes == 0)
			return error_set(err, ERROR_FORMAT, "%.*s...: file name is not UTF-8 from here on; rename it",
				(int)(at - key < 200 ? at - key : 200), key);
		at += bytes;
	}
	return 0;
}

static int append(
	struct pack_plan *plan, char *key, char *class_name, uint64_t ordinal, uint64_t bytes, struct error *err)
{
	int rc = check_key(key, err);
	if (rc == 0 && !pack_grow(&plan->entries, plan->count, &plan->capacity, sizeof(*plan->entries)))
		rc = pack_out_of_memory(err);
	if (rc == 0 && plan->count >= UINT32_MAX)
		rc = error_set(err, ERROR_UNSUPPORTED, "a shard holds at most %u images: make several", UINT32_MAX);
	if (rc < 0) {
		free(key);
		free(class_name);
		return rc;
	}
	plan->entries[plan->count++] = (struct pack_entry){.key = key,
		.class_name = class_name,
		.label = -1,
		.input = plan->input,
		.ordinal = ordinal,
		.bytes = bytes};
	plan->bytes += bytes;
	return 0;
}

int pack_plan_add(struct pack_plan *plan, char *key, const void *head, size_t head_bytes, uint64_t ordinal,
	uint64_t bytes, struct error *err)
{
	if (!is_image(key, head, head_bytes)) {
		plan->ignored++;
		free(key);
		return 0;
	}
	return append(plan, key, NULL, ordinal, bytes, err);
}

int pack_plan_add_known(
	struct pack_plan *plan, char *key, const char *class_name, uint64_t ordinal, uint64_t bytes, struct error *err)
{
	char *copy = strdup(class_name);
	if (copy == NULL) {
		free(key);
		return pack_out_of_memory(err);
	}
	return append(plan, key, copy, ordinal, bytes, err);
}

/* Cuts a path at the first dot of its file name: "a/b.left.jpg" -> "a/b". */
static void cut_to_stem(char *path)
{
	char *name = (char *)file_name(path);
	name[strcspn(name, ".")] = '\0';
}

int pack_plan_add_label(struct pack_plan *plan, char *key, const char *text, size_t bytes, struct error *err)
{
	while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1]) != NULL)
		bytes--;
	int rc = 0;
	if (bytes == 0 || bytes >= PACK_MAX_LABEL_BYTES || memchr(text, '\n', bytes) || memchr(text, '\0', bytes))
		rc = error_set(err, ERROR_FORMAT, "%s: must hold one class, a number or a name in one line", key);
	char *copy = rc == 0 ? strndup(text, bytes) : NULL;
	if (rc == 0 && (copy == NULL || !pack_grow(&plan->labels, plan->label_count, &plan->label_capacity,
						sizeof(*plan->labels))))
		rc = pack_out_of_memory(err);
	if (rc < 0) {
		free(copy);
		free(key);
		return rc;
	}
	cut_to_stem(key);
	plan->labels[plan->label_count++] = (struct pack_label){.stem = key, .text = copy};
	return 0;
}

static int compare_labels(const void *a, const void *b)
{
	return strcmp(((const struct pack_label *)a)->stem, ((const struct pack_label *)b)->stem);
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(((const struct pack_entry *)a)->key, ((const struct pack_entry *)b)->key);
}

/* The .cls text of an entry, copied; *found false when it has none. "-1" says: no label. */
static int class_from_label(const struct pack_plan *plan, struct pack_entry *entry, struct error *err)
{
	struct pack_label wanted = {.stem = strdup(entry->key)};
	if (wanted.stem == NULL)
		return pack_out_of_memory(err);
	cut_to_stem(wanted.stem);
	const struct pack_label *label =
		bsearch(&wanted, plan->labels, plan->label_count, sizeof(wanted), compare_labels);
	free(wanted.stem);
	if (label == NULL || strcmp(label->text, "-1") == 0)
		return 0;
	entry->class_name = strdup(label->text);
	return entry->class_name != NULL ? 0 : pack_out_of_memory(err);
}

static int class_from_folder(struct pack_plan *plan, struct pack_entry *entry, struct error *err)
{
	const char *below = below_root(plan, entry->key);
	size_t bytes = strcspn(below, "/");
	if (below[bytes] == '\0')
		return 0;
	entry->class_name = strndup(below, bytes);
	plan->folder_classes = true;
	if (entry->class_name != NULL && plan->deep_key == NULL && strchr(below + bytes + 1, '/') != NULL)
		plan->deep_key = strdup(entry->key);
	return entry->class_name != NULL ? 0 : pack_out_of_memory(err);
}

int pack_plan_end_input(struct pack_plan *plan, bool sorted, struct error *err)
{
	struct pack_entry *entries = plan->entries + plan->input_first;
	size_t count = plan->count - plan->input_first;
	int rc = 0;
	if (sorted && count > 0)
		qsort(entries, count, sizeof(*entries), compare_keys);
	if (plan->label_count > 0)
		qsort(plan->labels, plan->label_count, sizeof(*plan->labels), compare_labels);
	for (size_t i = 0; i < count && rc == 0; i++) {
		if (entries[i].class_name == NULL)
			rc = plan->label_count > 0 ? class_from_label(plan, &entries[i], err)
						   : class_from_folder(plan, &entries[i], err);
	}
	for (size_t i = 0; i < plan->label_count; i++) {
		free(plan->labels[i].stem);
		free(plan->labels[i].text);
	}
	plan->label_count = 0;
	plan->input_first = plan->count;
	plan->input++;
	return rc;
}

void pack_plan_free(struct pack_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		free(plan->entries[i].key);
		free(plan->entries[i].class_name);
	}
	for (size_t i = 0; i < plan->label_count; i++) {
		free(plan->labels[i].stem);
		free(plan->labels[i].text);
	}
	for (uint32_t i = 0; i < plan->class_count; i++)
		free(plan->classes[i]);
	free(plan->entries);
	free(plan->labels);
	free(plan->classes);
	free(plan->deep_key);
	*plan = (struct pack_plan){0};
}
