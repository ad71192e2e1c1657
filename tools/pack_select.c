/* SPDX-License-Identifier: Apache-2.0 */
/* Which images go where: to the validation part, to the subset, or nowhere. Draws are those of io/class_draw.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/class_draw.h"
#include "tools/pack.h"

/* The entries of the first output, class by class, each class in the order of its draws. */
static struct class_drawn *draw(
	const struct pack_plan *plan, uint64_t seed, enum class_draw_use use, size_t *count, struct error *err)
{
	struct class_drawn *drawn = calloc(plan->count + 1, sizeof(*drawn));
	if (drawn == NULL) {
		pack_out_of_memory(err);
		return NULL;
	}
	*count = 0;
	for (size_t i = 0; i < plan->count; i++) {
		const struct pack_entry *entry = &plan->entries[i];
		if (entry->flags & PACK_VALIDATION)
			continue;
		drawn[(*count)++] = (struct class_drawn){.hash = class_draw_hash(pack_plan_key(plan, entry), seed, use),
			.entry = (uint32_t)i,
			.label = entry->label};
	}
	class_draw_sort(drawn, *count);
	return drawn;
}

static int split_fraction(struct pack_plan *plan, const struct pack_selection *selection, struct error *err)
{
	size_t count;
	struct class_drawn *drawn = draw(plan, selection->seed, CLASS_DRAW_VALIDATION, &count, err);
	if (drawn == NULL)
		return err->code;
	for (size_t first = 0, end; first < count; first = end) {
		end = class_draw_end(drawn, count, first);
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
	size_t count;
	struct class_drawn *drawn = draw(plan, selection->seed, CLASS_DRAW_SUBSET, &count, err);
	if (drawn == NULL)
		return err->code;
	size_t each = class_draw_share(drawn, count, selection->label_fraction);
	if (each == 0) {
		free(drawn);
		return error_set(
			err, ERROR_FORMAT, "--label-fraction takes images of every class, but none has a class");
	}
	for (size_t first = 0, end; first < count; first = end) {
		end = class_draw_end(drawn, count, first);
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
