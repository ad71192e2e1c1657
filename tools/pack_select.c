/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which images go where. Draws are hashes of (seed, key): within a class those with the least hashes are taken, so that
 * numbers are exact, and images that join or leave a data set change the place of few others.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tools/pack.h"

enum { USE_VALIDATION = 1, USE_SUBSET = 2 };

uint64_t pack_draw(const char *key, uint64_t seed, uint32_t use)
{
	return XXH3_64bits_withSeed(key, strlen(key), XXH3_64bits_withSeed(&use, sizeof(use), seed));
}

struct drawn {
	uint64_t hash;
	uint32_t entry;
	int32_t label;
};

static int compare_drawn(const void *a, const void *b)
{
	const struct drawn *x = a, *y = b;
	if (x->label != y->label)
		return x->label < y->label ? -1 : 1;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->entry < y->entry ? -1 : x->entry > y->entry;
}

/* The entries of the first output, class by class, each class in the order of its draws. 16 bytes a record. */
static struct drawn *draw(const struct pack_plan *plan, uint64_t seed, uint32_t use, size_t *count, struct error *err)
{
	struct drawn *drawn = calloc(plan->count + 1, sizeof(*drawn));
	if (drawn == NULL) {
		pack_out_of_memory(err);
		return NULL;
	}
	*count = 0;
	for (size_t i = 0; i < plan->count; i++) {
		const struct pack_entry *entry = &plan->entries[i];
		if (entry->flags & PACK_VALIDATION)
			continue;
		drawn[(*count)++] = (struct drawn){.hash = pack_draw(pack_plan_key(plan, entry), seed, use),
			.entry = (uint32_t)i,
			.label = entry->label};
	}
	qsort(drawn, *count, sizeof(*drawn), compare_drawn);
	return drawn;
}

/* One behind the last of the class that begins at `first`. */
static size_t class_end(const struct drawn *drawn, size_t count, size_t first)
{
	size_t end = first;
	while (end < count && drawn[end].label == drawn[first].label)
		end++;
	return end;
}

static int split_fraction(struct pack_plan *plan, const struct pack_selection *selection, struct error *err)
{
	size_t count;
	struct drawn *drawn = draw(plan, selection->seed, USE_VALIDATION, &count, err);
	if (drawn == NULL)
		return err->code;
	for (size_t first = 0, end; first < count; first = end) {
		end = class_end(drawn, count, first);
		size_t taken = (size_t)llround((double)(end - first) * selection->validation);
		for (size_t i = first; i < first + taken; i++)
			plan->entries[drawn[i].entry].flags |= PACK_VALIDATION;
	}
	free(drawn);
	return 0;
}

static int split_match(struct pack_plan *plan, const char *pattern, struct error *err)
{
	regex_t regex;
	int rc = regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB);
	if (rc != 0) {
		char why[128];
		regerror(rc, &regex, why, sizeof(why));
		return error_set(err, ERROR_USAGE, "--validation-match %s: %s", pattern, why);
	}
	for (size_t i = 0; i < plan->count; i++) {
		if (regexec(&regex, pack_plan_key(plan, &plan->entries[i]), 0, NULL, 0) == 0)
			plan->entries[i].flags |= PACK_VALIDATION;
	}
	regfree(&regex);
	return 0;
}

static int split_classes(struct pack_plan *plan, const char *names, struct error *err)
{
	bool *chosen = calloc(plan->class_count + (size_t)1, sizeof(*chosen));
	char *copy = strdup(names), *rest = copy;
	int rc = chosen == NULL || copy == NULL ? pack_out_of_memory(err) : 0;
	for (char *name; rc == 0 && (name = strsep(&rest, ",")) != NULL;) {
		uint32_t label = 0;
		while (label < plan->class_count && strcmp(plan->classes[label], name) != 0)
			label++;
		if (label == plan->class_count)
			rc = error_set(err, ERROR_USAGE, "--validation-classes: there is no class '%s'", name);
		else
			chosen[label] = true;
	}
	for (size_t i = 0; i < plan->count && rc == 0; i++) {
		if (plan->entries[i].label >= 0 && chosen[plan->entries[i].label])
			plan->entries[i].flags |= PACK_VALIDATION;
	}
	free(copy);
	free(chosen);
	return rc;
}

/* As many of every class: the fraction of all labelled images, shared out evenly. */
static int take_fraction(struct pack_plan *plan, const struct pack_selection *selection, struct error *err)
{
	size_t count, classes = 0, labelled = 0;
	struct drawn *drawn = draw(plan, selection->seed, USE_SUBSET, &count, err);
	if (drawn == NULL)
		return err->code;
	for (size_t i = 0; i < count; i++) {
		labelled += drawn[i].label >= 0;
		classes += drawn[i].label >= 0 && (i == 0 || drawn[i].label != drawn[i - 1].label);
	}
	if (classes == 0) {
		free(drawn);
		return error_set(
			err, ERROR_FORMAT, "--label-fraction takes images of every class, but none has a class");
	}
	long long share = llround((double)labelled * selection->label_fraction / (double)classes);
	size_t each = share > 1 ? (size_t)share : 1;
	for (size_t first = 0, end; first < count; first = end) {
		end = class_end(drawn, count, first);
		for (size_t i = drawn[first].label < 0 ? first : first + each; i < end; i++)
			plan->entries[drawn[i].entry].flags |= PACK_LEFT_OUT;
	}
	free(drawn);
	return 0;
}

int pack_select(struct pack_plan *plan, const struct pack_selection *selection, struct error *err)
{
	int rc = 0;
	bool split = true;
	if (selection->validation_match != NULL)
		rc = split_match(plan, selection->validation_match, err);
	else if (selection->validation_classes != NULL)
		rc = split_classes(plan, selection->validation_classes, err);
	else if (selection->validation > 0)
		rc = split_fraction(plan, selection, err);
	else
		split = false;
	size_t outputs[PACK_OUTPUTS] = {0};
	for (size_t i = 0; i < plan->count; i++)
		outputs[(plan->entries[i].flags & PACK_VALIDATION) != 0]++;
	if (rc == 0 && split && (outputs[0] == 0 || outputs[1] == 0))
		rc = error_set(err, ERROR_FORMAT, "no image is left for %s: another --validation is needed",
			outputs[0] == 0 ? "training" : "validation");
	if (rc == 0 && selection->label_fraction < 1)
		rc = take_fraction(plan, selection, err);
	return rc;
}
