/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run's record: a JSON object with every option's value and where it came from. To restore or compare, a recorded
 * value becomes text again and passes through option_set() like any other.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/options_internal.h"

static const char *const origins[] = {"default", "record", "file", "flag"};

static bool in_list(const char *name, const char *const *list)
{
	for (; list != NULL && *list != NULL; list++) {
		if (strcmp(*list, name) == 0)
			return true;
	}
	return false;
}

static cJSON *value_to_json(const struct options *options, const struct option_spec *spec)
{
	const void *field = option_value(options, spec);
	char text[32];
	switch (spec->type) {
	case OPTION_TYPE_FLAG:
		return cJSON_CreateBool(*(const bool *)field);
	case OPTION_TYPE_U64:
	case OPTION_TYPE_SIZE:
		if (spec->choices != NULL && OPTION_WORD(0) - *(const uint64_t *)field < OPTIONS_MAX) {
			size_t bytes = 0;
			const char *word = option_choice(
				spec->choices, (unsigned)(OPTION_WORD(0) - *(const uint64_t *)field), &bytes);
			snprintf(text, sizeof(text), "%.*s", (int)bytes, word);
			return cJSON_CreateString(text);
		}
		if (*(const uint64_t *)field <= UINT64_C(1) << 53)
			return cJSON_CreateNumber((double)*(const uint64_t *)field);
		snprintf(text, sizeof(text), "%" PRIu64, *(const uint64_t *)field);
		return cJSON_CreateString(text);
	case OPTION_TYPE_DOUBLE:
		return cJSON_CreateNumber(*(const double *)field);
	case OPTION_TYPE_CHOICE: {
		size_t bytes = 0;
		const char *word = option_choice(spec->choices, *(const unsigned *)field, &bytes);
		snprintf(text, sizeof(text), "%.*s", (int)bytes, word);
		return cJSON_CreateString(text);
	}
	default: {
		const char *string = *(const char *const *)field;
		return string != NULL ? cJSON_CreateString(string) : cJSON_CreateNull();
	}
	}
}

cJSON *options_record(const struct options *options)
{
	cJSON *record = cJSON_CreateObject();
	for (size_t i = 0; i < options->table->count; i++) {
		const struct option_spec *spec = &options->table->spec[i];
		if (spec->type == OPTION_TYPE_GROUP)
			continue;
		cJSON *entry = cJSON_AddObjectToObject(record, spec->name);
		cJSON_AddItemToObject(entry, "value", value_to_json(options, spec));
		cJSON_AddStringToObject(entry, "origin", origins[options->origin[i]]);
	}
	return record;
}

/* The recorded value as the user would have typed it, malloc'd; NULL for null and for what is no value. */
static char *json_to_text(const cJSON *value)
{
	if (cJSON_IsString(value))
		return strdup(value->valuestring);
	if (cJSON_IsBool(value))
		return strdup(cJSON_IsTrue(value) ? "yes" : "no");
	if (!cJSON_IsNumber(value))
		return NULL;
	char text[40];
	double number = value->valuedouble;
	if (number >= 0 && number <= 9007199254740992.0 && number == (double)(uint64_t)number)
		snprintf(text, sizeof(text), "%" PRIu64, (uint64_t)number);
	else
		snprintf(text, sizeof(text), "%.17g", number);
	return strdup(text);
}

int options_restore(struct options *options, const cJSON *record, const char *const *except, struct error *err)
{
	for (size_t i = 0; i < options->table->count; i++) {
		const struct option_spec *spec = &options->table->spec[i];
		const cJSON *entry = cJSON_GetObjectItemCaseSensitive(record, spec->name);
		if (spec->type == OPTION_TYPE_GROUP || spec->incidental || entry == NULL ||
			in_list(spec->name, except) || options->origin[i] >= OPTION_FROM_FILE)
			continue;
		char *text = json_to_text(cJSON_GetObjectItemCaseSensitive(entry, "value"));
		if (text == NULL)
			continue;
		const char *kept = options_keep(options, text, err);
		free(text);
		if (kept == NULL)
			return ERROR_MEMORY;
		char source[256];
		snprintf(source, sizeof(source), "the record of the run: %s = %s", spec->name, kept);
		struct error refused = {0};
		if (option_set(options, spec, kept, OPTION_FROM_RECORD, source, &refused) < 0)
			return error_set(err, ERROR_MISMATCH, "%s", refused.message);
	}
	return 0;
}

int options_compare(const struct options *options, const cJSON *record, const char *const *except, struct error *err)
{
	for (size_t i = 0; i < options->table->count; i++) {
		const struct option_spec *spec = &options->table->spec[i];
		const cJSON *entry = cJSON_GetObjectItemCaseSensitive(record, spec->name);
		if (spec->type == OPTION_TYPE_GROUP || spec->incidental || entry == NULL || in_list(spec->name, except))
			continue;
		const cJSON *then = cJSON_GetObjectItemCaseSensitive(entry, "value");
		cJSON *now = value_to_json(options, spec);
		int rc = 0;
		if (!cJSON_Compare(then, now, true)) {
			char *was = json_to_text(then), *is = json_to_text(now);
			rc = error_set(err, ERROR_MISMATCH,
				"--%s is %s now, but was %s when this run began: give it the same value, or start a "
				"new run",
				spec->name, is != NULL ? is : "not set", was != NULL ? was : "not set");
			free(was);
			free(is);
		}
		cJSON_Delete(now);
		if (rc < 0)
			return rc;
	}
	return 0;
}
