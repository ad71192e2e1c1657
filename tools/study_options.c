/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/study_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stages/view_policy.h"
#include "tools/options_internal.h"

/* What the sweep itself says to its runs, or what would have them do something else. */
static const char *const reserved[] = {
	"output", "resume", "seed", "train", "test", "dry-run", "json", "quiet", "trace", "report", "help", "config"};

int study_options_set(struct study_options *options, const char *name, const char *value, struct error *err)
{
	for (size_t i = 0; i < options->count; i++) {
		if (strcmp(options->list[i].name, name) == 0) {
			options->list[i].value = value;
			return 0;
		}
	}
	if (options->count == options->capacity) {
		size_t wanted = options->capacity ? 2 * options->capacity : 16;
		struct study_option *list = reallocarray(options->list, wanted, sizeof *list);
		if (!list)
			return error_set(err, ERROR_MEMORY, "out of memory while reading a study");
		options->list = list;
		options->capacity = wanted;
	}
	options->list[options->count++] = (struct study_option){name, value};
	return 0;
}

int study_options_add(struct study_options *options, const struct study_options *more, struct error *err)
{
	int code = 0;
	for (size_t i = 0; i < more->count && code == 0; i++)
		code = study_options_set(options, more->list[i].name, more->list[i].value, err);
	return code;
}

const char *study_options_get(const struct study_options *options, const char *name)
{
	for (size_t i = 0; i < options->count; i++)
		if (strcmp(options->list[i].name, name) == 0)
			return options->list[i].value;
	return NULL;
}

void study_options_clear(struct study_options *options)
{
	free(options->list);
	*options = (struct study_options){0};
}

int study_option_check(
	const struct option_table *table, const char *name, const char *value, const char *source, struct error *err)
{
	for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
		if (strcmp(reserved[i], name) == 0)
			return error_set(
				err, ERROR_USAGE, "%s: --%s is the sweep's own to give; leave it out", source, name);
	const struct option_spec *spec = option_find(table, name, strlen(name));
	char text[1024];
	snprintf(text, sizeof text, "%s: --%s", source, name);
	if (!spec)
		return options_unknown(table, text, name, "--", err);
	if (strchr(value, '{'))
		return 0;
	/* A command's struct, of which this knows the fields alone. */
	_Alignas(max_align_t) static unsigned char values[1 << 14];
	if (spec->offset + sizeof(max_align_t) > sizeof values)
		return error_set(err, ERROR_UNSUPPORTED, "%s: the options of %s are too many", source, table->command);
	struct options scratch = {.table = table, .values = values};
	snprintf(text, sizeof text, "%s: --%s %s", source, name, value);
	return option_set(&scratch, spec, value, OPTION_FROM_FILE, text, err);
}

int study_options_check(
	const struct study_options *options, const struct option_table *table, const char *source, struct error *err)
{
	int code = 0;
	for (size_t i = 0; i < options->count && code == 0; i++) {
		const struct study_option *option = &options->list[i];
		code = study_option_check(table, option->name, option->value, source, err);
		if (code < 0 || strcmp(option->name, "views") != 0)
			continue;
		static struct view_policies policies;
		const struct view_defaults defaults = view_defaults_of(32, 2);
		char what[512];
		snprintf(what, sizeof what, "%s: --views", source);
		code = view_policies_parse(&policies, option->value, &defaults, what, err);
	}
	return code;
}

bool study_option_incidental(const struct option_table *table, const char *name)
{
	const struct option_spec *spec = option_find(table, name, strlen(name));
	return spec && spec->incidental;
}

/* One word as a shell would take it, without variables and backslashes. */
static const char *next_word(struct study *study, const char **rest, const char *source, struct error *err)
{
	const char *at = *rest + strspn(*rest, " \t");
	char word[1024], quote = '\0';
	size_t used = 0;
	if (*at == '\0')
		return NULL;
	for (; *at != '\0' && (quote != '\0' || (*at != ' ' && *at != '\t')); at++) {
		if (quote != '\0' && *at == quote)
			quote = '\0';
		else if (quote == '\0' && (*at == '"' || *at == '\''))
			quote = *at;
		else if (used + 1 < sizeof word)
			word[used++] = *at;
	}
	*rest = at;
	if (quote != '\0') {
		error_set(err, ERROR_USAGE, "%s: a %c is not closed", source, quote);
		return NULL;
	}
	return study_keep(study, word, used, err);
}

/* The option that `word` begins, with its value. */
static int parse_one(struct study_options *options, struct study *study, const struct option_table *table,
	const char *word, const char **rest, const char *source, struct error *err)
{
	if (strncmp(word, "--", 2) != 0 || word[2] == '\0')
		return error_set(err, ERROR_USAGE, "%s: '%s' stands where an option (--name) should", source, word);
	size_t bytes = strcspn(word + 2, "=");
	const char *name = study_keep(study, word + 2, bytes, err);
	if (!name)
		return err->code;
	const char *value = word[2 + bytes] == '=' ? word + 3 + bytes : NULL;
	const struct option_spec *spec = option_find(table, name, bytes);
	if (!spec && !value && strncmp(name, "no-", 3) == 0) {
		spec = option_find(table, name + 3, bytes - 3);
		if (spec && spec->type == OPTION_TYPE_FLAG) {
			name += 3;
			value = "no";
		} else {
			spec = NULL;
		}
	}
	if (!value && spec && spec->type == OPTION_TYPE_FLAG)
		value = "yes";
	if (!value && spec && !(value = next_word(study, rest, source, err)))
		return err->code < 0 ? err->code : error_set(err, ERROR_USAGE, "%s: --%s needs a value", source, name);
	int code = study_option_check(table, name, value ? value : "", source, err);
	return code < 0 ? code : study_options_set(options, name, value, err);
}

int study_options_parse(struct study_options *options, struct study *study, const struct option_table *table,
	const char *text, const char *source, struct error *err)
{
	const char *word;
	while ((word = next_word(study, &text, source, err)) != NULL) {
		int code = parse_one(options, study, table, word, &text, source, err);
		if (code < 0)
			return code;
	}
	return err->code < 0 ? err->code : 0;
}

cJSON *study_options_json(const struct study_options *options)
{
	cJSON *object = cJSON_CreateObject();
	for (size_t i = 0; i < options->count; i++)
		cJSON_AddStringToObject(object, options->list[i].name, options->list[i].value);
	return object;
}
