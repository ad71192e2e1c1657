/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By chance means: the records of a class are sorted by a hash of their key and the seed, and the first fraction of
 * them goes to the first part, and so on; ends are rounded to whole records. So the order of records does not matter.
 * That takes 24 bytes a record for the time; the result is 4 bytes a record.
 */
#include "tools/split_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "io/atomic_folder.h"

static int out_of_memory(struct error *err)
{
	return error_set(err, ERROR_MEMORY, "out of memory for the parts");
}

static int make_parts(struct split_parts *parts, const struct input_sets *sets, uint64_t count, struct error *err)
{
	if (count > SPLIT_MAX_PARTS)
		return error_set(err, ERROR_USAGE, "%" PRIu64 " parts; at most %d are made", count, SPLIT_MAX_PARTS);
	parts->count = (uint32_t)count;
	parts->parts = calloc(count + 1, sizeof(*parts->parts));
	parts->of = calloc(input_sets_records(sets) + 1, sizeof(*parts->of));
	if (parts->parts == NULL || parts->of == NULL)
		return out_of_memory(err);
	for (uint32_t i = 0; i < count; i++) {
		if (asprintf(&parts->parts[i].name, "part-%u", i) < 0) {
			parts->parts[i].name = NULL;
			return out_of_memory(err);
		}
	}
	return 0;
}

static void put(struct split_parts *parts, uint64_t record, uint32_t part)
{
	parts->of[record] = part;
	if (part == SPLIT_LEFT_OUT)
		parts->left_out++;
	else
		parts->parts[part].records++;
}

int split_in_order(struct split_parts *parts, const struct input_sets *sets, uint64_t count, struct error *err)
{
	uint64_t records = input_sets_records(sets);
	int rc = make_parts(parts, sets, count, err);
	for (uint64_t i = 0, part = 0; i < records && rc == 0; i++) {
		while (i >= records * (part + 1) / count)
			part++;
		put(parts, i, (uint32_t)part);
	}
	return rc;
}

/* ---- by chance ---- */

struct drawn {
	uint64_t hash, record;
	int32_t label;
};

static int compare_drawn(const void *a, const void *b)
{
	const struct drawn *x = a, *y = b;
	if (x->label != y->label)
		return x->label < y->label ? -1 : 1;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->record > y->record) - (x->record < y->record);
}

static int draw(struct split_parts *parts, const struct input_sets *sets, uint64_t seed, struct error *err)
{
	uint64_t records = input_sets_records(sets);
	struct drawn *drawn = calloc(records + 1, sizeof(*drawn));
	if (drawn == NULL)
		return out_of_memory(err);
	for (uint64_t i = 0; i < records; i++) {
		struct input_record record;
		input_sets_locate(sets, i, &record);
		const char *key = record.entry->key;
		drawn[i] = (struct drawn){
			.label = record.label, .hash = XXH3_64bits_withSeed(key, strlen(key), seed), .record = i};
	}
	if (records > 1)
		qsort(drawn, records, sizeof(*drawn), compare_drawn);
	for (uint64_t first = 0, end = 0; first < records; first = end) {
		while (end < records && drawn[end].label == drawn[first].label)
			end++;
		uint32_t part = 0;
		double until = parts->parts[0].fraction; /* of the class, up to this part's end */
		for (uint64_t i = first; i < end; i++) {
			while (part < parts->count && (double)(i - first) >= floor(until * (double)(end - first) + 0.5))
				until += ++part < parts->count ? parts->parts[part].fraction : 0;
			put(parts, drawn[i].record, part < parts->count ? part : SPLIT_LEFT_OUT);
		}
	}
	free(drawn);
	return 0;
}

int split_by_fractions(struct split_parts *parts, const struct input_sets *sets, const char *fractions, uint64_t seed,
	struct error *err)
{
	uint64_t count = 1;
	for (const char *at = fractions; *at != '\0'; at++)
		count += *at == ',';
	int rc = make_parts(parts, sets, count, err);
	double sum = 0;
	const char *at = fractions;
	for (uint32_t i = 0; i < count && rc == 0; i++) {
		char *end = NULL;
		double fraction = strtod(at, &end);
		if (end == at || (*end != ',' && *end != '\0') || !(fraction > 0 && fraction <= 1))
			rc = error_set(err, ERROR_USAGE,
				"--fractions %s: must be numbers over 0 and up to 1, with commas between them",
				fractions);
		parts->parts[i].fraction = fraction;
		sum += fraction;
		at = end + 1;
	}
	if (rc == 0 && sum > 1 + 1e-9)
		rc = error_set(err, ERROR_USAGE, "--fractions %s: they are more than 1 together", fractions);
	return rc == 0 ? draw(parts, sets, seed, err) : rc;
}

int split_evenly(
	struct split_parts *parts, const struct input_sets *sets, uint64_t count, uint64_t seed, struct error *err)
{
	int rc = make_parts(parts, sets, count, err);
	for (uint32_t i = 0; i < count && rc == 0; i++)
		parts->parts[i].fraction = 1.0 / (double)count;
	return rc == 0 ? draw(parts, sets, seed, err) : rc;
}

/* ---- by class ---- */

/* Classes without a record make no part. */
int split_by_class(struct split_parts *parts, const struct input_sets *sets, struct error *err)
{
	uint32_t classes = input_sets_classes(sets), used = 0;
	uint32_t *part_of = calloc((size_t)classes + 1, sizeof(*part_of)); /* by label + 1; 1 from the first on */
	int rc = part_of == NULL ? out_of_memory(err) : 0;
	uint64_t records = input_sets_records(sets);
	struct input_record record;
	for (uint64_t i = 0; i < records && rc == 0; i++) {
		input_sets_locate(sets, i, &record);
		part_of[record.label + 1] = 1;
	}
	for (uint32_t i = 0; i <= classes && rc == 0; i++)
		part_of[i] = part_of[i] != 0 ? ++used : 0;
	if (rc == 0)
		rc = make_parts(parts, sets, used, err);
	for (uint64_t i = 0; i < records && rc == 0; i++) {
		input_sets_locate(sets, i, &record);
		put(parts, i, part_of[record.label + 1] - 1);
	}
	for (uint32_t i = 0; i <= classes && rc == 0; i++) {
		if (part_of[i] == 0)
			continue;
		struct split_part *part = &parts->parts[part_of[i] - 1];
		free(part->name);
		part->name = strdup(i == 0 ? "unlabelled" : input_sets_class(sets, (int32_t)i - 1));
		rc = part->name == NULL ? out_of_memory(err) : 0;
	}
	free(part_of);
	return rc;
}

/* ---- names ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int check_names(const struct split_parts *parts, struct error *err)
{
	const char **names = calloc((size_t)parts->count + 1, sizeof(*names));
	int rc = names == NULL ? out_of_memory(err) : 0;
	for (uint32_t i = 0; i < parts->count && rc == 0; i++) {
		const char *name = names[i] = parts->parts[i].name, *fault = atomic_folder_fault(name);
		if (fault == NULL && strchr(name, '/') != NULL)
			fault = "has a folder in it";
		if (fault == NULL && strlen(name) > 200)
			fault = "is too long";
		if (fault != NULL)
			rc = error_set(err, ERROR_FORMAT,
				"a part cannot be called '%.300s': the name %s (--names gives others)", name, fault);
		else if (parts->parts[i].records == 0)
			rc = error_set(err, ERROR_MISMATCH, "the part '%.300s' would have no record", name);
	}
	if (rc == 0 && parts->count > 1)
		qsort(names, parts->count, sizeof(*names), compare_names);
	for (uint32_t i = 1; i < parts->count && rc == 0; i++)
		if (strcmp(names[i - 1], names[i]) == 0)
			rc = error_set(err, ERROR_USAGE, "two parts would be called '%.300s'", names[i]);
	free(names);
	return rc;
}

int split_name(struct split_parts *parts, const char *names, struct error *err)
{
	char *copy = names == NULL ? NULL : strdup(names), *rest = copy;
	uint32_t given = 0;
	for (char *name; (name = strsep(&rest, ",")) != NULL; given++) {
		if (given >= parts->count)
			continue;
		free(parts->parts[given].name);
		parts->parts[given].name = strdup(name);
		if (parts->parts[given].name == NULL) {
			free(copy);
			return out_of_memory(err);
		}
	}
	free(copy);
	if (names != NULL && given != parts->count)
		return error_set(err, ERROR_USAGE, "--names %s: %u names for %u parts", names, given, parts->count);
	return check_names(parts, err);
}

void split_parts_free(struct split_parts *parts)
{
	for (uint32_t i = 0; parts->parts != NULL && i < parts->count; i++)
		free(parts->parts[i].name);
	free(parts->parts);
	free(parts->of);
	*parts = (struct split_parts){.count = 0};
}
