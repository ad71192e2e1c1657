/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From class names to labels. Labels number the class names in the order of their bytes, or in the order of the file of
 * --classes. Where all classes are whole numbers (.cls files, CIFAR without its names), the labels are those numbers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic_file.h"
#include "tools/pack.h"

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
	for (size_t i = 0; i < plan->count && !plan->folder_classes; i++) {
		if (plan->entries[i].class_name == NULL)
			continue;
		int32_t number = class_number(plan->entries[i].class_name);
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

static int label_by_number(struct pack_plan *plan, int32_t highest, const char *classes_path, struct error *err)
{
	int rc = classes_path == NULL ? name_by_number(plan, highest, err) : 0;
	if (rc == 0 && (uint32_t)highest >= plan->class_count)
		rc = error_set(err, ERROR_MISMATCH, "%s: names %u classes, but the inputs have a class number %d",
			classes_path, plan->class_count, highest);
	for (size_t i = 0; i < plan->count && rc == 0; i++) {
		if (plan->entries[i].class_name != NULL)
			plan->entries[i].label = class_number(plan->entries[i].class_name);
	}
	return rc;
}

static int collect_classes(struct pack_plan *plan, struct error *err)
{
	const char **names = calloc(plan->count + 1, sizeof(*names));
	size_t count = 0, unique = 0;
	if (names == NULL)
		return pack_out_of_memory(err);
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->entries[i].class_name != NULL)
			names[count++] = plan->entries[i].class_name;
	}
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
			names[unique++] = names[i];
	}
	plan->classes = calloc(unique + 1, sizeof(*plan->classes));
	int rc = plan->classes == NULL ? pack_out_of_memory(err) : 0;
	if (unique > SHARD_MAX_CLASSES)
		rc = error_set(
			err, ERROR_UNSUPPORTED, "%zu classes; a shard names at most %d", unique, SHARD_MAX_CLASSES);
	for (size_t i = 0; i < unique && rc == 0; i++) {
		plan->classes[i] = strdup(names[i]);
		rc = plan->classes[i] == NULL ? pack_out_of_memory(err) : 0;
		plan->class_count += rc == 0;
	}
	free(names);
	return rc;
}

static int read_classes(struct pack_plan *plan, const char *path, struct error *err)
{
	size_t bytes, capacity = 0;
	char *text = atomic_file_read_all(path, 64 << 20, &bytes, err);
	int rc = text == NULL ? err->code : 0;
	char *rest = text;
	for (char *line; rc == 0 && (line = strsep(&rest, "\n")) != NULL;) {
		line[strcspn(line, "\r")] = '\0';
		if (*line == '\0')
			continue;
		size_t count = plan->class_count;
		char *copy = strdup(line);
		if (count >= SHARD_MAX_CLASSES)
			rc = error_set(err, ERROR_UNSUPPORTED, "%s: more than %d classes", path, SHARD_MAX_CLASSES);
		else if (copy == NULL || !pack_grow(&plan->classes, count, &capacity, sizeof(*plan->classes)))
			rc = pack_out_of_memory(err);
		if (rc == 0)
			plan->classes[plan->class_count++] = copy;
		else
			free(copy);
	}
	if (rc == 0 && plan->class_count == 0)
		rc = error_set(err, ERROR_FORMAT, "%s: names no class", path);
	free(text);
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

/* Finds every entry's class in the table, whatever the table's order. */
static int look_up_labels(struct pack_plan *plan, const char *classes_path, struct error *err)
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
	for (size_t i = 0; i < plan->count && rc == 0; i++) {
		struct pack_entry *entry = &plan->entries[i];
		if (entry->class_name == NULL)
			continue;
		struct named_label wanted = {.name = entry->class_name};
		const struct named_label *found =
			bsearch(&wanted, table, plan->class_count, sizeof(*table), compare_named);
		if (found == NULL)
			rc = error_set(err, ERROR_MISMATCH, "%s: its class '%s' is not in %s", entry->key,
				entry->class_name, classes_path);
		else
			entry->label = found->label;
	}
	free(table);
	return rc;
}

static int check_unique(const struct pack_plan *plan, struct error *err)
{
	const char **keys = calloc(plan->count + 1, sizeof(*keys));
	if (keys == NULL)
		return pack_out_of_memory(err);
	for (size_t i = 0; i < plan->count; i++)
		keys[i] = plan->entries[i].key;
	qsort(keys, plan->count, sizeof(*keys), compare_names);
	int rc = 0;
	for (size_t i = 1; i < plan->count && rc == 0; i++) {
		if (strcmp(keys[i], keys[i - 1]) == 0)
			rc = error_set(err, ERROR_FORMAT,
				"two images are called %s: names must be unique in a shard (inputs that share names: "
				"put them below one folder, or pack each into its own shard)",
				keys[i]);
	}
	free(keys);
	return rc;
}

int pack_plan_end(struct pack_plan *plan, const char *classes_path, struct error *err)
{
	int rc = check_unique(plan, err);
	if (rc == 0 && classes_path != NULL)
		rc = read_classes(plan, classes_path, err);
	int32_t highest = highest_number(plan);
	if (rc == 0 && highest >= 0)
		return label_by_number(plan, highest, classes_path, err);
	if (rc == 0 && classes_path == NULL)
		rc = collect_classes(plan, err);
	return rc < 0 ? rc : look_up_labels(plan, classes_path, err);
}
