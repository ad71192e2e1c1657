/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws are hashes of (seed, key): within a class those with the least hashes are taken, so that numbers are exact,
 * and images that join or leave a data set change the place of few others.
 */
#include "io/class_draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

uint32_t class_draw_hash(const char *key, uint64_t seed, enum class_draw_use use)
{
	uint32_t number = use;
	return (uint32_t)XXH3_64bits_withSeed(key, strlen(key), XXH3_64bits_withSeed(&number, sizeof(number), seed));
}

static int compare_drawn(const void *a, const void *b)
{
	const struct class_drawn *x = a, *y = b;
	if (x->label != y->label)
		return x->label < y->label ? -1 : 1;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->entry < y->entry ? -1 : x->entry > y->entry;
}

void class_draw_sort(struct class_drawn *drawn, size_t count)
{
	qsort(drawn, count, sizeof(*drawn), compare_drawn);
}

size_t class_draw_end(const struct class_drawn *drawn, size_t count, size_t first)
{
	size_t end = first;
	while (end < count && drawn[end].label == drawn[first].label)
		end++;
	return end;
}

size_t class_draw_share(const struct class_drawn *drawn, size_t count, double fraction)
{
	size_t classes = 0, labelled = 0;
	for (size_t i = 0; i < count; i++) {
		labelled += drawn[i].label >= 0;
		classes += drawn[i].label >= 0 && (i == 0 || drawn[i].label != drawn[i - 1].label);
	}
	if (classes == 0)
		return 0;
	long long share = llround((double)labelled * fraction / (double)classes);
	return share > 1 ? (size_t)share : 1;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

int class_draw_subset(const struct shard_set *set, double fraction, uint64_t seed, uint64_t **records, uint64_t *count,
	struct error *err)
{
	uint64_t total = shard_set_records(set);
	if (total > UINT32_MAX)
		return error_set(err, ERROR_USAGE, "a subset of %llu records: more than can be drawn from",
			(unsigned long long)total);
	struct class_drawn *drawn = calloc(total + 1, sizeof(*drawn));
	*records = calloc(total + 1, sizeof(**records));
	int code = drawn && *records ? 0 : error_set(err, ERROR_MEMORY, "out of memory for a subset of the images");
	for (uint64_t i = 0; code == 0 && i < total; i++) {
		const struct shard_record *record = shard_set_record(set, i);
		drawn[i] = (struct class_drawn){.hash = class_draw_hash(record->key, seed, CLASS_DRAW_SUBSET),
			.entry = (uint32_t)i,
			.label = record->label};
	}
	size_t each = 0;
	if (code == 0) {
		class_draw_sort(drawn, total);
		each = class_draw_share(drawn, total, fraction);
		if (each == 0)
			code = error_set(err, ERROR_MISMATCH,
				"%s: no image has a label, so none can be drawn by class; pack class folders",
				shard_path(shard_set_at(set, 0)));
	}
	*count = 0;
	for (size_t first = 0, end; code == 0 && first < total; first = end) {
		end = class_draw_end(drawn, total, first);
		for (size_t i = first; drawn[first].label >= 0 && i < end && i < first + each; i++)
			(*records)[(*count)++] = drawn[i].entry;
	}
	if (code == 0) {
		qsort(*records, *count, sizeof(**records), ascending);
	} else {
		free(*records);
		*records = NULL;
	}
	free(drawn);
	return code;
}
