/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From class names to labels. Labels number the class names in the order of their bytes, or in the order of the file of
 * --classes. Where all classes are whole numbers (.cls files, CIFAR without its names), the labels are those numbers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tools/class_file.h"
#include "tools/pack.h"

void pack_names_free(struct pack_names *names)
{
	for (uint32_t i = 0; i < names->count; i++)
		free(names->names[i]);
	free(names->names);
	free(names->slots);
	*names = (struct pack_names){.names = NULL};
}

/* The slot that has the name, or is free for it. */
static size_t find_slot(const struct pack_names *names, const char *name)
{
	size_t slot = XXH3_64bits(name, strlen(name)) & (names->slot_count - 1);
	while (names->slots[slot] != 0 && strcmp(names->names[names->slots[slot] - 1], name) != 0)
		slot = (slot + 1) & (names->slot_count - 1);
	return slot;
}

/* Keeps at least half of the slots free. */
static bool grow_slots(struct pack_names *names)
{
	if (names->slot_count >= 2 * ((size_t)names->count + 1))
		return true;
	struct pack_names larger = *names;
	larger.slot_count = names->slot_count == 0 ? 256 : names->slot_count * 2;
	larger.slots = calloc(larger.slot_count, sizeof(*larger.slots));
	if (larger.slots == NULL)
		return false;
	for (uint32_t i = 0; i < names->count; i++)
		larger.slots[find_slot(&larger, names->names[i])] = i + 1;
	uint32_t *old = names->slots;
	names->slots = larger.slots;
	names->slot_count = larger.slot_count;
	free(old);
	return true;
}

int32_t pack_names_number(struct pack_names *names, const char *name, struct error *err)
{
	if (!grow_slots(names))
		return pack_out_of_memory(err);
	size_t slot = find_slot(names, name);
	if (names->slots[slot] != 0)
		return (int32_t)(names->slots[slot] - 1);
	if (names->count >= SHARD_MAX_CLASSES)
		return error_set(err, ERROR_UNSUPPORTED, "more than %d classes, which is as many as a shard names",
			SHARD_MAX_CLASSES);
	char *copy = strdup(name);
	if (copy == NULL || !pack_grow(&names->names, names->count, &names->capacity, sizeof(*names->names))) {
		free(copy);
		return pack_out_of_memory(err);
	}
	names->names[names->count++] = copy;
	names->slots[slot] = names->count;
	return (int32_t)names->count - 1;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A whole number below SHARD_MAX_CLASSES as it is usually written, or -1. */
static int32_t class_number(const char *name)
{
	if (*name == '\0' || strlen(name) > 7 || name[strspn(name, "0123456789")] != '\0')
		return -1;
	if (name[0] == '0' && name[1] != '\0')
		return -1;
	int32_t number = (int32_t)strtol(name, NULL, 10);
	return number < SHARD_MAX_CLASSES ? number : -1;
}

/* The highest class number when every class is one, else -1. */
static int32_t highest_number(const struct pack_plan *plan)
{
	int32_t highest = -1;
	for (uint32_t i = 0; i < plan->names.count && !plan->folder_classes; i++) {
		int32_t number = class_number(plan->names.names[i]);
		if (number < 0)
			return -1;
		highest = number > highest ? number : highest;
	}
	return highest;
}

/* A table of the numbers themselves: "0", "1", ... */
static int name_by_number(struct pack_plan *plan, int32_t highest, struct error *err)
{
	plan->classes = calloc((size_t)highest + 1, sizeof(*plan->classes));
	if (plan->classes == NULL)
		return pack_out_of_memory(err);
	for (int32_t i = 0; i <= highest; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%d", i);
		plan->classes[i] = strdup(name);
		if (plan->classes[i] == NULL)
			return pack_out_of_memory(err);
		plan->class_count++;
	}
	return 0;
}

/* labels: of each name, to be filled. */
static int label_by_number(
	struct pack_plan *plan, int32_t highest, const char *classes_path, int32_t *labels, struct error *err)
{
	int rc = classes_path == NULL ? name_by_number(plan, highest, err) : 0;
	if (rc == 0 && (uint32_t)highest >= plan->class_count)
		rc = error_set(err, ERROR_MISMATCH, "%s: names %u classes, but the inputs have a class number %d",
			classes_path, plan->class_count, highest);
	for (uint32_t i = 0; i < plan->names.count && rc == 0; i++)
		labels[i] = class_number(plan->names.names[i]);
	return rc;
}

static int collect_classes(struct pack_plan *plan, struct error *err)
{
	uint32_t count = plan->names.count;
	plan->classes = calloc(count + (size_t)1, sizeof(*plan->classes));
	if (plan->classes == NULL)
		return pack_out_of_memory(err);
	for (uint32_t i = 0; i < count; i++) {
		plan->classes[i] = strdup(plan->names.names[i]);
		if (plan->classes[i] == NULL)
			return pack_out_of_memory(err);
		plan->class_count++;
	}
	qsort(plan->classes, count, sizeof(*plan->classes), compare_names);
	return 0;
}

static int read_classes(struct pack_plan *plan, const char *path, struct error *err)
{
	struct class_file classes;
	int rc = class_file_read(&classes, path, err);
	plan->classes = classes.names;
	plan->class_count = classes.count;
	return rc;
}

struct named_label {
	const char *name;
	int32_t label;
};

static int compare_named(const void *a, const void *b)
{
	return strcmp(((const struct named_label *)a)->name, ((const struct named_label *)b)->name);
}

/* The first entry of a class, for a message. */
static const char *example_key(const struct pack_plan *plan, uint32_t name)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->entries[i].label == (int32_t)name)
			return pack_plan_key(plan, &plan->entries[i]);
	}
	return "?";
}

/* Finds every name in the table, whatever the table's order. */
static int look_up_labels(struct pack_plan *plan, const char *classes_path, int32_t *labels, struct error *err)
{
	struct named_label *table = calloc(plan->class_count + (size_t)1, sizeof(*table));
	if (table == NULL)
		return pack_out_of_memory(err);
	for (uint32_t i = 0; i < plan->class_count; i++)
		table[i] = (struct named_label){.name = plan->classes[i], .label = (int32_t)i};
	qsort(table, plan->class_count, sizeof(*table), compare_named);
	int rc = 0;
	for (uint32_t i = 1; i < plan->class_count && rc == 0; i++) {
		if (strcmp(table[i].name, table[i - 1].name) == 0)
			rc = error_set(err, ERROR_FORMAT, "%s: names class '%s' twice", classes_path, table[i].name);
	}
	for (uint32_t i = 0; i < plan->names.count && rc == 0; i++) {
		struct named_label wanted = {.name = plan->names.names[i]};
		const struct named_label *found =
			bsearch(&wanted, table, plan->class_count, sizeof(*table), compare_named);
		if (found == NULL)
			rc = error_set(err, ERROR_MISMATCH, "%s: its class '%s' is not in %s", example_key(plan, i),
				wanted.name, classes_path);
		else
			labels[i] = found->label;
	}
	free(table);
	return rc;
}

static int compare_hashes(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static uint64_t hash_key(const struct pack_plan *plan, size_t entry)
{
	const char *key = pack_plan_key(plan, &plan->entries[entry]);
	return XXH3_64bits(key, strlen(key));
}

/* Whether two keys with that hash are the same, and not only their hashes. */
static int compare_hashed(const struct pack_plan *plan, uint64_t hash, struct error *err)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (hash_key(plan, i) != hash)
			continue;
		const char *key = pack_plan_key(plan, &plan->entries[i]);
		for (size_t j = i + 1; j < plan->count; j++) {
			if (strcmp(key, pack_plan_key(plan, &plan->entries[j])) == 0)
				return error_set(err, ERROR_FORMAT,
					"two images are called %s, in %s and in %s: names must be unique in a shard "
					"(inputs that share names: put them below one folder, or pack each into its "
					"own shard)",
					key, plan->inputs[plan->entries[i].input],
					plan->inputs[plan->entries[j].input]);
		}
	}
	return 0;
}

/* By their hashes: 8 bytes a record while it runs, and as many for sorting. */
static int check_unique(const struct pack_plan *plan, struct error *err)
{
	uint64_t *hashes = calloc(plan->count + 1, sizeof(*hashes));
	if (hashes == NULL)
		return pack_out_of_memory(err);
	for (size_t i = 0; i < plan->count; i++)
		hashes[i] = hash_key(plan, i);
	qsort(hashes, plan->count, sizeof(*hashes), compare_hashes);
	int rc = 0;
	for (size_t i = 1; i < plan->count && rc == 0; i++) {
		if (hashes[i] == hashes[i - 1])
			rc = compare_hashed(plan, hashes[i], err);
	}
	free(hashes);
	return rc;
}

int pack_plan_end(struct pack_plan *plan, const char *classes_path, struct error *err)
{
	int rc = check_unique(plan, err);
	if (rc == 0 && classes_path != NULL && plan->class_count == 0)
		rc = read_classes(plan, classes_path, err);
	int32_t highest = highest_number(plan);
	int32_t *labels = calloc(plan->names.count + (size_t)1, sizeof(*labels));
	if (rc == 0 && labels == NULL)
		rc = pack_out_of_memory(err);
	if (rc == 0 && highest < 0 && classes_path == NULL)
		rc = collect_classes(plan, err);
	if (rc == 0)
		rc = highest >= 0 ? label_by_number(plan, highest, classes_path, labels, err)
				  : look_up_labels(plan, classes_path, labels, err);
	for (size_t i = 0; i < plan->count && rc == 0; i++) {
		struct pack_entry *entry = &plan->entries[i];
		entry->label = entry->label >= 0 ? labels[entry->label] : -1;
	}
	free(labels);
	return rc;
}
