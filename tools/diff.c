/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr diff: two data sets, record by record, whatever their order.
 *
 * Each side becomes a list sorted by key, and both are walked together. Images are compared by the hashes in the
 * indexes, so no image is read. Metadata is not in the index: where a side may have some its blocks are read once, in
 * order, and a hash is kept for each record. Memory beyond the indexes: 24 bytes a record.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "pipeline/escape.h"
#include "tools/command.h"
#include "tools/input_sets.h"
#include "tools/json.h"
#include "tools/options.h"
#include "tools/progress.h"

/* As of diff(1) and cmp(1): a script must tell "they differ" from "could not be read". */
enum { EXIT_SAME = 0, EXIT_DIFFERENT = 1, EXIT_TROUBLE = 2 };

struct diff_options {
	uint64_t list;
	bool json;
};

static const struct option_spec spec[] = {
	OPTION_U64(struct diff_options, list, "list", "N", "100", 0, UINT64_MAX - 1,
		"name the first N differences, in order of their keys; the counts are of all", .choices = "all",
		.incidental = true),
	OPTION_FLAG(struct diff_options, json, "json", NULL, "print one JSON object instead", .incidental = true),
};

const struct option_table command_diff_table = {
	.command = "diff",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about =
		"Compares two data sets by the keys of their records: which are in one alone, and of which in both the "
		"image, size, codec, class (by name) or metadata differ. The order of records and how they are packed "
		"do "
		"not matter. Images are compared by the hashes in the index; `ringclr verify` says whether those hold. "
		"Exit code 0: the same; 1: different; 2: one could not be read, or a wrong option.",
	.operands = "SHARD",
	.operand_help = "two shards or manifests of sets",
	.operand_min = 2,
	.operand_max = 2,
	.examples = "ringclr diff train.ring train-new.ring\n"
		    "ringclr diff old.json new.json --json | jq '{only_a, only_b, changed}'\n",
};

enum { CHANGED_IMAGE = 1, CHANGED_SIZE = 2, CHANGED_CODEC = 4, CHANGED_CLASS = 8, CHANGED_META = 16, CHANGES = 5 };
static const char *const change_names[CHANGES] = {"image", "size", "codec", "class", "metadata"};

struct keyed {
	const char *key;
	uint64_t record;
};

struct side {
	const char *path;
	struct input_sets *sets;
	struct keyed *keys;
	uint64_t *meta; /* a hash for each record, 0: none; NULL: no record has any */
	uint64_t count;
};

struct comparison {
	struct side a, b;
	uint64_t equal, only_a, only_b, changed;
	uint64_t by_change[CHANGES];
	uint64_t listed, list;
	cJSON *differences; /* NULL: print lines */
};

static int compare_keyed(const void *a, const void *b)
{
	return strcmp(((const struct keyed *)a)->key, ((const struct keyed *)b)->key);
}

static int hash_meta(struct side *side, struct error *err)
{
	side->meta = calloc(side->count + 1, sizeof(*side->meta));
	if (side->meta == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for %" PRIu64 " records", side->count);
	struct input_reader *reader = input_reader_create(side->sets, err);
	struct progress progress;
	uint64_t bytes = 0;
	int rc = reader == NULL ? err->code : 0;
	progress_start(&progress, "reading metadata", side->count);
	for (uint64_t i = 0; i < side->count && rc == 0; i++) {
		struct shard_record_in record;
		rc = command_interrupted() ? error_set(err, ERROR_INTERRUPTED, "interrupted")
					   : input_reader_get(reader, i, &record, err);
		if (rc == 0 && record.meta != NULL)
			side->meta[i] = XXH3_64bits(record.meta, record.meta_bytes) | 1;
		if (rc == 0)
			progress_draw(&progress, i, bytes += record.bytes);
	}
	progress_end(&progress);
	input_reader_destroy(reader);
	return rc;
}

static int side_open(struct side *side, const char *path, struct error *err)
{
	side->path = path;
	side->sets = input_sets_open(&path, 1, err);
	if (side->sets == NULL)
		return err->code;
	side->count = input_sets_records(side->sets);
	side->keys = calloc(side->count + 1, sizeof(*side->keys));
	if (side->keys == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for %" PRIu64 " records", side->count);
	for (uint64_t i = 0; i < side->count; i++) {
		struct input_record record;
		input_sets_locate(side->sets, i, &record);
		side->keys[i] = (struct keyed){.key = record.entry->key, .record = i};
	}
	if (side->count > 1)
		qsort(side->keys, side->count, sizeof(*side->keys), compare_keyed);
	for (uint64_t i = 1; i < side->count; i++)
		if (strcmp(side->keys[i - 1].key, side->keys[i].key) == 0)
			return error_set(err, ERROR_FORMAT, "'%s' has two records '%.300s'", path, side->keys[i].key);
	return input_sets_have_meta(side->sets) ? hash_meta(side, err) : 0;
}

static void side_close(struct side *side)
{
	free(side->keys);
	free(side->meta);
	input_sets_close(side->sets);
}

static bool same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* A set of CHANGED_*. */
static unsigned find_changes(const struct comparison *job, const struct keyed *a, const struct keyed *b)
{
	struct input_record x, y;
	input_sets_locate(job->a.sets, a->record, &x);
	input_sets_locate(job->b.sets, b->record, &y);
	unsigned changes = 0;
	if (x.entry->hash != y.entry->hash || x.entry->bytes != y.entry->bytes)
		changes |= CHANGED_IMAGE;
	if (x.entry->width != y.entry->width || x.entry->height != y.entry->height)
		changes |= CHANGED_SIZE;
	if (x.entry->codec != y.entry->codec)
		changes |= CHANGED_CODEC;
	if (!same_text(input_sets_class(job->a.sets, x.label), input_sets_class(job->b.sets, y.label)))
		changes |= CHANGED_CLASS;
	if ((job->a.meta != NULL ? job->a.meta[a->record] : 0) != (job->b.meta != NULL ? job->b.meta[b->record] : 0))
		changes |= CHANGED_META;
	return changes;
}

/* One difference; changes 0: the key is in `only`, a path, alone. */
static void note_difference(struct comparison *job, const char *key, const char *only, unsigned changes)
{
	if (job->listed == job->list)
		return;
	job->listed++;
	if (job->differences == NULL) {
		if (changes == 0)
			printf("only in %s: ", only);
		else
			fputs("changed: ", stdout);
		escape_print(stdout, key);
		for (unsigned i = 0, written = 0; i < CHANGES; i++)
			if (changes >> i & 1)
				printf("%s%s", written++ > 0 ? ", " : " (", change_names[i]);
		puts(changes != 0 ? ")" : "");
		return;
	}
	cJSON *entry = cJSON_CreateObject();
	cJSON_AddStringToObject(entry, "key", key);
	if (changes == 0)
		cJSON_AddStringToObject(entry, "only", only == job->a.path ? "a" : "b");
	else {
		cJSON *list = cJSON_AddArrayToObject(entry, "changed");
		for (unsigned i = 0; i < CHANGES; i++)
			if (changes >> i & 1)
				cJSON_AddItemToArray(list, cJSON_CreateString(change_names[i]));
	}
	cJSON_AddItemToArray(job->differences, entry);
}

static void compare_sides(struct comparison *job)
{
	const struct side *a = &job->a, *b = &job->b;
	for (uint64_t i = 0, j = 0; i < a->count || j < b->count;) {
		int order = i == a->count ? 1 : j == b->count ? -1 : strcmp(a->keys[i].key, b->keys[j].key);
		if (order < 0) {
			job->only_a++;
			note_difference(job, a->keys[i++].key, a->path, 0);
		} else if (order > 0) {
			job->only_b++;
			note_difference(job, b->keys[j++].key, b->path, 0);
		} else {
			unsigned changes = find_changes(job, &a->keys[i], &b->keys[j]);
			job->changed += changes != 0;
			job->equal += changes == 0;
			for (unsigned k = 0; k < CHANGES; k++)
				job->by_change[k] += changes >> k & 1;
			if (changes != 0)
				note_difference(job, a->keys[i].key, NULL, changes);
			i++;
			j++;
		}
	}
}

static int print_counts(struct comparison *job)
{
	uint64_t all = job->only_a + job->only_b + job->changed;
	int status = all == 0 ? EXIT_SAME : EXIT_DIFFERENT;
	if (job->differences == NULL) {
		if (all > job->listed && job->listed > 0)
			printf("... and %" PRIu64 " more (--list)\n", all - job->listed);
		printf("%" PRIu64 " equal, %" PRIu64 " only in %s, %" PRIu64 " only in %s, %" PRIu64 " changed\n",
			job->equal, job->only_a, job->a.path, job->only_b, job->b.path, job->changed);
		return status;
	}
	cJSON *object = cJSON_CreateObject();
	cJSON_AddStringToObject(object, "a", job->a.path);
	cJSON_AddStringToObject(object, "b", job->b.path);
	cJSON_AddBoolToObject(object, "same", all == 0);
	cJSON_AddNumberToObject(object, "equal", (double)job->equal);
	cJSON_AddNumberToObject(object, "only_a", (double)job->only_a);
	cJSON_AddNumberToObject(object, "only_b", (double)job->only_b);
	cJSON_AddNumberToObject(object, "changed", (double)job->changed);
	cJSON *changes = cJSON_AddObjectToObject(object, "changes");
	for (unsigned i = 0; i < CHANGES; i++)
		cJSON_AddNumberToObject(changes, change_names[i], (double)job->by_change[i]);
	cJSON_AddItemToObject(object, "differences", job->differences);
	job->differences = NULL;
	return json_print(object) == EXIT_OK ? status : EXIT_TROUBLE;
}

int command_diff(int argc, char **argv)
{
	struct options options;
	struct diff_options diff;
	struct error err = {0};
	int status = options_parse(&options, &command_diff_table, &diff, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct comparison job = {.list = diff.list == OPTION_WORD(0) ? UINT64_MAX : diff.list,
		.differences = diff.json ? cJSON_CreateArray() : NULL};
	int rc = side_open(&job.a, options.operands[0], &err);
	if (rc == 0)
		rc = side_open(&job.b, options.operands[1], &err);
	if (rc == 0) {
		compare_sides(&job);
		status = print_counts(&job);
	} else {
		status = command_fail("diff", &err) == EXIT_INTERRUPTED ? EXIT_INTERRUPTED : EXIT_TROUBLE;
	}
	cJSON_Delete(job.differences);
	side_close(&job.a);
	side_close(&job.b);
	options_free(&options);
	return status;
}
