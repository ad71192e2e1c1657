/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of classes are matched once for each class, keys of a list are sorted and looked up by halving; then one
 * pass over the records decides, in their order, so that limits take the first ones. The result is a bit a record.
 */
#include "tools/record_filter.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic_file.h"
#include "tools/command.h"
#include "tools/progress.h"

enum { LIST_MAX_BYTES = 1 << 30 };

struct listed {
	const char *key;
	bool found;
};

struct filter_state {
	const struct record_filter *filter;
	const struct input_sets *sets;
	bool *classes;	     /* by label + 1: is it taken? */
	uint64_t *per_class; /* by label + 1: taken so far */
	regex_t regex;
	bool regex_set;
	char *text; /* of the list */
	struct listed *list;
	size_t list_count;
};

static int out_of_memory(struct error *err)
{
	return error_set(err, ERROR_MEMORY, "out of memory for choosing records");
}

/* Sets or clears the classes that fit the patterns. */
static int mark_classes(
	struct filter_state *state, const char *patterns, bool value, const char *option, struct error *err)
{
	char *copy = strdup(patterns), *rest = copy;
	int rc = copy == NULL ? out_of_memory(err) : 0;
	for (char *pattern; rc == 0 && (pattern = strsep(&rest, ",")) != NULL;) {
		bool fits = strcmp(pattern, "-") == 0;
		if (fits)
			state->classes[0] = value;
		for (uint32_t i = 0; i < input_sets_classes(state->sets) && strcmp(pattern, "-") != 0; i++) {
			if (fnmatch(pattern, input_sets_class(state->sets, (int32_t)i), 0) == 0) {
				state->classes[i + 1] = value;
				fits = true;
			}
		}
		if (!fits)
			rc = error_set(err, ERROR_MISMATCH, "--%s %s: there is no such class (see ringclr inspect)",
				option, pattern);
	}
	free(copy);
	return rc;
}

static int choose_classes(struct filter_state *state, struct error *err)
{
	size_t count = (size_t)input_sets_classes(state->sets) + 1;
	state->classes = calloc(count, sizeof(*state->classes));
	state->per_class = calloc(count, sizeof(*state->per_class));
	if (state->classes == NULL || state->per_class == NULL)
		return out_of_memory(err);
	for (size_t i = 0; i < count; i++)
		state->classes[i] = state->filter->classes == NULL;
	int rc = 0;
	if (state->filter->classes != NULL)
		rc = mark_classes(state, state->filter->classes, true, "class", err);
	if (rc == 0 && state->filter->not_classes != NULL)
		rc = mark_classes(state, state->filter->not_classes, false, "not-class", err);
	return rc;
}

static int compare_listed(const void *a, const void *b)
{
	return strcmp(((const struct listed *)a)->key, ((const struct listed *)b)->key);
}

static int read_list(struct filter_state *state, struct error *err)
{
	size_t bytes = 0, lines = 1;
	state->text = atomic_file_read_all(state->filter->list, LIST_MAX_BYTES, &bytes, err);
	if (state->text == NULL)
		return err->code;
	for (size_t i = 0; i < bytes; i++)
		lines += state->text[i] == '\n';
	state->list = calloc(lines, sizeof(*state->list));
	if (state->list == NULL)
		return out_of_memory(err);
	char *rest = state->text;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
		size_t length = strlen(line);
		if (length > 0 && line[length - 1] == '\r')
			line[length - 1] = '\0';
		if (*line != '\0')
			state->list[state->list_count++].key = line;
	}
	if (state->list_count == 0)
		return error_set(err, ERROR_FORMAT, "--list %s: names no key", state->filter->list);
	qsort(state->list, state->list_count, sizeof(*state->list), compare_listed);
	return 0;
}

static int state_prepare(struct filter_state *state, struct error *err)
{
	const struct record_filter *filter = state->filter;
	int rc = choose_classes(state, err);
	if (rc == 0 && filter->list != NULL)
		rc = read_list(state, err);
	if (rc == 0 && filter->match != NULL) {
		int wrong = regcomp(&state->regex, filter->match, REG_EXTENDED | REG_NOSUB);
		if (wrong != 0) {
			char text[256];
			regerror(wrong, &state->regex, text, sizeof(text));
			return error_set(err, ERROR_USAGE, "--match %s: %s", filter->match, text);
		}
		state->regex_set = true;
	}
	return rc;
}

static void state_free(struct filter_state *state)
{
	free(state->classes);
	free(state->per_class);
	free(state->text);
	free(state->list);
	if (state->regex_set)
		regfree(&state->regex);
}

/* A key that the list has twice is found at one of its places; all of them are then as good as found. */
static bool in_list(struct filter_state *state, const char *key)
{
	if (state->list == NULL)
		return true;
	struct listed wanted = {.key = key};
	struct listed *found = bsearch(&wanted, state->list, state->list_count, sizeof(*state->list), compare_listed);
	if (found == NULL)
		return false;
	while (found > state->list && strcmp(found[-1].key, key) == 0)
		found--;
	for (; found < state->list + state->list_count && strcmp(found->key, key) == 0; found++)
		found->found = true;
	return true;
}

static bool takes(struct filter_state *state, const struct input_record *record)
{
	const struct record_filter *filter = state->filter;
	const struct shard_record *entry = record->entry;
	uint32_t short_side = entry->width < entry->height ? entry->width : entry->height;
	uint32_t long_side = entry->width < entry->height ? entry->height : entry->width;
	uint64_t *taken = &state->per_class[record->label + 1];
	if (!in_list(state, entry->key) || !state->classes[record->label + 1])
		return false;
	if (filter->key != NULL && fnmatch(filter->key, entry->key, 0) != 0)
		return false;
	if (state->regex_set && regexec(&state->regex, entry->key, 0, NULL, 0) != 0)
		return false;
	if (short_side < filter->min_side || (filter->max_side > 0 && long_side > filter->max_side))
		return false;
	if (filter->limit_per_class > 0 && *taken == filter->limit_per_class)
		return false;
	(*taken)++;
	return true;
}

static int check_found(const struct filter_state *state, struct error *err)
{
	const char *first = NULL;
	uint64_t missing = 0;
	for (size_t i = 0; i < state->list_count; i++) {
		if (state->list[i].found)
			continue;
		first = first == NULL ? state->list[i].key : first;
		missing++;
	}
	if (missing == 0)
		return 0;
	return error_set(err, ERROR_MISMATCH, "--list %s: %" PRIu64 " of its keys are in no input, one is '%.300s'",
		state->filter->list, missing, first);
}

int record_filter_select(const struct record_filter *filter, const struct input_sets *sets,
	struct record_selection *selection, struct error *err)
{
	struct filter_state state = {.filter = filter, .sets = sets};
	*selection = (struct record_selection){.records = input_sets_records(sets)};
	selection->set = calloc(selection->records / 8 + 1, 1);
	int rc = selection->set == NULL ? out_of_memory(err) : state_prepare(&state, err);
	for (uint64_t i = 0; i < selection->records && rc == 0; i++) {
		struct input_record record;
		input_sets_locate(sets, i, &record);
		if (!takes(&state, &record) || (filter->limit > 0 && selection->count == filter->limit))
			continue;
		selection->set[i / 8] |= (unsigned char)(1u << i % 8);
		selection->count++;
	}
	if (rc == 0)
		rc = check_found(&state, err);
	if (rc == 0 && selection->count == 0)
		rc = error_set(err, ERROR_MISMATCH,
			selection->records == 0 ? "the inputs have no records" : "no record of the inputs is wanted");
	state_free(&state);
	if (rc != 0)
		record_selection_free(selection);
	return rc;
}

void record_selection_free(struct record_selection *selection)
{
	free(selection->set);
	selection->set = NULL;
}

uint64_t record_selection_next(const struct record_selection *selection, uint64_t record)
{
	for (; record < selection->records; record++)
		if (selection->set[record / 8] >> record % 8 & 1)
			break;
	return record;
}

int record_selection_walk(const struct record_selection *selection, const struct input_sets *sets, const char *verb,
	record_selection_call each, void *ctx, double *seconds, struct error *err)
{
	struct input_reader *reader = input_reader_create(sets, err);
	struct progress progress;
	uint64_t done = 0, bytes = 0;
	int rc = reader == NULL ? err->code : 0;
	progress_start(&progress, verb, selection->count);
	for (uint64_t i = record_selection_next(selection, 0); i < selection->records && rc == 0;
		i = record_selection_next(selection, i + 1)) {
		struct shard_record_in record;
		rc = command_interrupted() ? error_set(err, ERROR_INTERRUPTED, "interrupted; nothing was written")
					   : input_reader_get(reader, i, &record, err);
		if (rc == 0)
			rc = each(ctx, i, &record, err);
		if (rc == 0)
			progress_draw(&progress, ++done, bytes += record.bytes);
	}
	*seconds = progress_end(&progress);
	input_reader_destroy(reader);
	return rc;
}
