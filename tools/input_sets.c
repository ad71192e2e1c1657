/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several inputs as one list of records. Every input has a map from its labels to the united table's; the table is
 * looked up by a hash of the name while it is made.
 */
#include "tools/input_sets.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "io/shard_format.h"

struct input_set {
	struct shard_set *set;
	uint64_t first;	 /* number of its first record */
	int32_t *labels; /* united label by its own */
};

struct input_sets {
	unsigned count;
	struct input_set *sets;
	uint64_t records;
	uint32_t class_count;
	const char **classes; /* of the shards they came from */
	bool meta;
};

/* Open addressing; a slot is a label + 1, 0 where it is free. At most half of the slots are taken. */
struct class_lookup {
	uint32_t *slots;
	size_t mask;
};

static int32_t unite_class(struct input_sets *sets, struct class_lookup *lookup, const char *name)
{
	size_t at = XXH3_64bits(name, strlen(name)) & lookup->mask;
	for (; lookup->slots[at] != 0; at = (at + 1) & lookup->mask)
		if (strcmp(sets->classes[lookup->slots[at] - 1], name) == 0)
			return (int32_t)(lookup->slots[at] - 1);
	sets->classes[sets->class_count++] = name;
	lookup->slots[at] = sets->class_count;
	return (int32_t)(sets->class_count - 1);
}

static int unite_classes(struct input_sets *sets, struct error *err)
{
	size_t total = 0, capacity = 16;
	for (unsigned i = 0; i < sets->count; i++)
		total += shard_classes(shard_set_at(sets->sets[i].set, 0));
	while (capacity < total * 2)
		capacity *= 2;
	struct class_lookup lookup = {.slots = calloc(capacity, sizeof(*lookup.slots)), .mask = capacity - 1};
	sets->classes = calloc(total + 1, sizeof(*sets->classes));
	int rc = lookup.slots == NULL || sets->classes == NULL
			 ? error_set(err, ERROR_MEMORY, "out of memory for %zu class names", total)
			 : 0;
	for (unsigned i = 0; i < sets->count && rc == 0; i++) {
		const struct shard *shard = shard_set_at(sets->sets[i].set, 0);
		uint32_t classes = shard_classes(shard);
		int32_t *labels = sets->sets[i].labels = calloc((size_t)classes + 1, sizeof(*labels));
		if (labels == NULL)
			rc = error_set(err, ERROR_MEMORY, "out of memory for %u classes", classes);
		for (uint32_t j = 0; j < classes && rc == 0; j++)
			labels[j] = unite_class(sets, &lookup, shard_class(shard, j));
	}
	if (rc == 0 && sets->class_count > SHARD_MAX_CLASSES)
		rc = error_set(err, ERROR_UNSUPPORTED, "the inputs have %u classes together; a shard names at most %d",
			sets->class_count, SHARD_MAX_CLASSES);
	free(lookup.slots);
	return rc;
}

struct input_sets *input_sets_open(const char *const *paths, unsigned count, struct error *err)
{
	struct input_sets *sets = calloc(1, sizeof(*sets));
	if (sets != NULL)
		sets->sets = calloc(count, sizeof(*sets->sets));
	if (sets == NULL || sets->sets == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for %u inputs", count);
		free(sets);
		return NULL;
	}
	for (unsigned i = 0; i < count; i++) {
		struct shard_set *set = shard_set_open(&paths[i], 1, false, err);
		if (set == NULL)
			goto failed;
		sets->sets[i] = (struct input_set){.set = set, .first = sets->records};
		sets->count = i + 1;
		sets->records += shard_set_records(set);
		for (unsigned j = 0; j < shard_set_count(set); j++)
			sets->meta = sets->meta || shard_has_meta(shard_set_at(set, j));
	}
	if (unite_classes(sets, err) == 0)
		return sets;
failed:
	input_sets_close(sets);
	return NULL;
}

void input_sets_close(struct input_sets *sets)
{
	if (sets == NULL)
		return;
	for (unsigned i = 0; i < sets->count; i++) {
		shard_set_close(sets->sets[i].set);
		free(sets->sets[i].labels);
	}
	free(sets->classes);
	free(sets->sets);
	free(sets);
}

uint64_t input_sets_records(const struct input_sets *sets)
{
	return sets->records;
}

uint32_t input_sets_classes(const struct input_sets *sets)
{
	return sets->class_count;
}

const char *const *input_sets_class_names(const struct input_sets *sets)
{
	return sets->classes;
}

const char *input_sets_class(const struct input_sets *sets, int32_t label)
{
	return label < 0 ? NULL : sets->classes[label];
}

bool input_sets_have_meta(const struct input_sets *sets)
{
	return sets->meta;
}

void input_sets_locate(const struct input_sets *sets, uint64_t record, struct input_record *out)
{
	unsigned low = 0, high = sets->count, shard = 0; /* sets[low].first <= record */
	while (high - low > 1) {
		unsigned middle = low + (high - low) / 2;
		if (sets->sets[middle].first <= record)
			low = middle;
		else
			high = middle;
	}
	const struct input_set *input = &sets->sets[low];
	shard_set_locate(input->set, record - input->first, &shard, &out->local);
	out->input = low;
	out->shard = shard_set_at(input->set, shard);
	out->entry = shard_record(out->shard, out->local);
	out->label = out->entry->label < 0 ? -1 : input->labels[out->entry->label];
}

struct input_reader {
	const struct input_sets *sets;
	const struct shard *shard; /* that the cursor is of */
	struct shard_cursor *cursor;
};

struct input_reader *input_reader_create(const struct input_sets *sets, struct error *err)
{
	struct input_reader *reader = calloc(1, sizeof(*reader));
	if (reader == NULL)
		error_set(err, ERROR_MEMORY, "out of memory for reading records");
	else
		reader->sets = sets;
	return reader;
}

void input_reader_destroy(struct input_reader *reader)
{
	if (reader == NULL)
		return;
	shard_cursor_destroy(reader->cursor);
	free(reader);
}

int input_reader_get(struct input_reader *reader, uint64_t record, struct shard_record_in *out, struct error *err)
{
	struct input_record place;
	input_sets_locate(reader->sets, record, &place);
	if (place.shard != reader->shard) {
		shard_cursor_destroy(reader->cursor);
		reader->shard = NULL;
		reader->cursor = shard_cursor_create(place.shard, err);
		if (reader->cursor == NULL)
			return err->code;
		reader->shard = place.shard;
	}
	int rc = shard_cursor_get(reader->cursor, place.local, out, err);
	out->label = place.label;
	return rc;
}
