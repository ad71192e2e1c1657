/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line, read against a table of options.
 *
 * Values come from four places, later ones winning: the table's defaults, a run's record (options_record.c), the file
 * of --config (options_file.c), the flags. All four are text that passes through option_set(), so that a range holds
 * wherever the value came from.
 *
 * The command line is walked twice: first to find --config, whose values must be there before the flags override them,
 * then to apply the flags.
 */
#include "pipeline/nearest.h"
#include "tools/options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"
#include "tools/options_internal.h"

struct kept_text {
	struct kept_text *next;
	char text[];
};

const char *options_keep(struct options *options, const char *text, struct error *err)
{
	size_t bytes = strlen(text) + 1;
	struct kept_text *kept = malloc(sizeof(*kept) + bytes);
	if (kept == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory while reading options");
		return NULL;
	}
	memcpy(kept->text, text, bytes);
	kept->next = options->owned;
	options->owned = kept;
	return kept->text;
}

const struct option_spec *option_find(const struct option_table *table, const char *name, size_t bytes)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option_spec *spec = &table->spec[i];
		if (spec->type != OPTION_TYPE_GROUP && strlen(spec->name) == bytes &&
			memcmp(spec->name, name, bytes) == 0)
			return spec;
	}
	return NULL;
}

static const struct option_spec *find_letter(const struct option_table *table, char letter)
{
	for (size_t i = 0; i < table->count; i++) {
		if (table->spec[i].letter == letter)
			return &table->spec[i];
	}
	return NULL;
}

int options_unknown(
	const struct option_table *table, const char *source, const char *name, const char *dashes, struct error *err)
{
	const char *words[OPTIONS_MAX + 2];
	unsigned count = 0;
	for (size_t i = 0; i < table->count; i++) {
		if (table->spec[i].type != OPTION_TYPE_GROUP)
			words[count++] = table->spec[i].name;
	}
	words[count++] = "config";
	words[count++] = "help";
	const char *near = nearest_word(name, words, count);
	if (near == NULL)
		return error_set(
			err, ERROR_USAGE, "%s: no such option; 'ringclr %s --help' lists them", source, table->command);
	return error_set(err, ERROR_USAGE, "%s: no such option; did you mean %s%s?", source, dashes, near);
}

const char *option_choice(const char *choices, unsigned index, size_t *bytes)
{
	for (; index > 0; index--) {
		choices = strchr(choices, '|');
		if (choices == NULL)
			return NULL;
		choices++;
	}
	*bytes = strcspn(choices, "|");
	return choices;
}

/* Digits only: strtoull alone would take "-1" and " 7". */
static bool parse_digits(const char *text, uint64_t *value)
{
	if (*text == '\0' || text[strspn(text, "0123456789")] != '\0')
		return false;
	errno = 0;
	*value = strtoull(text, NULL, 10);
	return errno == 0;
}

static bool parse_double(const char *text, double *value, const char **end)
{
	if (*text == '\0' || text[strspn(text, "0123456789+-.eE")] == 'x' || isspace((unsigned char)*text))
		return false;
	char *stop;
	*value = strtod(text, &stop);
	*end = stop;
	return stop != text && isfinite(*value);
}

/* "64K", "1.5M", "2GiB", "4096". */
static bool parse_size(const char *text, uint64_t *value)
{
	static const char suffixes[] = "KMGT";
	if (parse_digits(text, value))
		return true;
	double number;
	const char *end;
	if (!parse_double(text, &number, &end) || number < 0 || *end == '\0')
		return false;
	const char *suffix = strchr(suffixes, toupper((unsigned char)*end));
	if (suffix == NULL)
		return false;
	end++;
	if (strcmp(end, "") != 0 && strcmp(end, "B") != 0 && strcmp(end, "iB") != 0)
		return false;
	double bytes = ldexp(number, 10 * (int)(suffix - suffixes + 1));
	if (bytes != floor(bytes) || bytes >= 18446744073709551616.0)
		return false;
	*value = (uint64_t)bytes;
	return true;
}

static bool parse_flag(const char *text, bool *value)
{
	static const char *const words[] = {"yes", "true", "on", "1", "no", "false", "off", "0"};
	for (unsigned i = 0; i < 8; i++) {
		if (strcasecmp(text, words[i]) == 0) {
			*value = i < 4;
			return true;
		}
	}
	return false;
}

static int set_number(
	void *field, const struct option_spec *spec, const char *text, const char *source, struct error *err)
{
	if (spec->type == OPTION_TYPE_DOUBLE) {
		double number;
		const char *end;
		if (!parse_double(text, &number, &end) || *end != '\0')
			return error_set(err, ERROR_USAGE, "%s: must be a number", source);
		if (number < spec->double_min || number > spec->double_max)
			return error_set(err, ERROR_USAGE, "%s: out of range, must be %.10g to %.10g", source,
				spec->double_min, spec->double_max);
		*(double *)field = number;
		return 0;
	}
	const char *word;
	size_t bytes;
	for (unsigned i = 0; spec->choices != NULL && (word = option_choice(spec->choices, i, &bytes)) != NULL; i++) {
		if (strlen(text) == bytes && memcmp(text, word, bytes) == 0) {
			*(uint64_t *)field = OPTION_WORD(i);
			return 0;
		}
	}
	uint64_t number;
	bool is_size = spec->type == OPTION_TYPE_SIZE;
	if (!(is_size ? parse_size(text, &number) : parse_digits(text, &number)))
		return error_set(err, ERROR_USAGE, "%s: must be %s%s%s", source,
			is_size ? "a size in bytes, such as 4096, 64K, 1.5M or 2G" : "a whole number",
			spec->choices != NULL ? ", or one of " : "", spec->choices != NULL ? spec->choices : "");
	if (number < spec->u64_min || number > spec->u64_max)
		return error_set(err, ERROR_USAGE, "%s: out of range, must be %" PRIu64 " to %" PRIu64 "%s", source,
			spec->u64_min, spec->u64_max, is_size ? " bytes" : "");
	*(uint64_t *)field = number;
	return 0;
}

static int set_choice(
	unsigned *field, const struct option_spec *spec, const char *text, const char *source, struct error *err)
{
	const char *word;
	size_t bytes;
	for (unsigned i = 0; (word = option_choice(spec->choices, i, &bytes)) != NULL; i++) {
		if (strlen(text) == bytes && memcmp(text, word, bytes) == 0) {
			*field = i;
			return 0;
		}
	}
	return error_set(err, ERROR_USAGE, "%s: must be one of %s", source, spec->choices);
}

/* What was said before and what is said now. NULL when memory is out. */
static const char *add_text(struct options *options, const char *before, const char *text, struct error *err)
{
	char *both = NULL;
	if (before == NULL)
		return text;
	if (asprintf(&both, "%s %s", before, text) < 0) {
		error_set(err, ERROR_MEMORY, "out of memory while reading options");
		return NULL;
	}
	const char *kept = options_keep(options, both, err);
	free(both);
	return kept;
}

int option_set(struct options *options, const struct option_spec *spec, const char *text, enum option_origin origin,
	const char *source, struct error *err)
{
	void *field = option_value(options, spec);
	int rc = 0;
	switch (spec->type) {
	case OPTION_TYPE_GROUP:
		break;
	case OPTION_TYPE_FLAG:
		if (!parse_flag(text, field))
			rc = error_set(err, ERROR_USAGE, "%s: must be yes or no", source);
		break;
	case OPTION_TYPE_U64:
	case OPTION_TYPE_SIZE:
	case OPTION_TYPE_DOUBLE:
		rc = set_number(field, spec, text, source, err);
		break;
	case OPTION_TYPE_STRING:
		if (spec->repeats && options->origin[spec - options->table->spec] == (unsigned char)origin)
			text = add_text(options, *(const char *const *)field, text, err);
		*(const char **)field = text;
		rc = text == NULL && spec->repeats ? ERROR_MEMORY : 0;
		break;
	case OPTION_TYPE_CHOICE:
		rc = set_choice(field, spec, text, source, err);
		break;
	}
	if (rc == 0)
		options->origin[spec - options->table->spec] = (unsigned char)origin;
	return rc;
}

static void clear_value(void *field, enum option_type type)
{
	switch (type) {
	case OPTION_TYPE_GROUP:
		break;
	case OPTION_TYPE_FLAG:
		*(bool *)field = false;
		break;
	case OPTION_TYPE_U64:
	case OPTION_TYPE_SIZE:
		*(uint64_t *)field = 0;
		break;
	case OPTION_TYPE_DOUBLE:
		*(double *)field = 0;
		break;
	case OPTION_TYPE_STRING:
		*(const char **)field = NULL;
		break;
	case OPTION_TYPE_CHOICE:
		*(unsigned *)field = 0;
		break;
	}
}

struct option_spec option_with_preset(const struct option_table *table, const struct option_spec *spec)
{
	struct option_spec with = *spec;
	const struct option_preset *preset = table->presets;
	while (preset != NULL && preset->name != NULL && (spec->name == NULL || strcmp(preset->name, spec->name) != 0))
		preset++;
	if (preset != NULL && preset->name != NULL) {
		with.fallback = preset->fallback;
		with.help = preset->help != NULL ? preset->help : spec->help;
	}
	return with;
}

static int set_defaults(struct options *options, struct error *err)
{
	const struct option_table *table = options->table;
	if (table->count > OPTIONS_MAX)
		return error_set(
			err, ERROR_USAGE, "the table of %s has more than %d options", table->command, OPTIONS_MAX);
	for (size_t i = 0; i < table->count; i++) {
		const struct option_spec *spec = &table->spec[i];
		if (spec->type == OPTION_TYPE_GROUP)
			continue;
		clear_value(option_value(options, spec), spec->type);
		const char *fallback = option_with_preset(table, spec).fallback;
		if (fallback == NULL)
			continue;
		int rc = option_set(options, spec, fallback, OPTION_DEFAULT, spec->name, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* One argument of the command line, taken apart. */
struct token {
	const struct option_spec *spec; /* NULL: an operand, or --config */
	bool is_config;
	bool is_end;	   /* "--" */
	const char *value; /* the option's value, or the operand */
	char source[256];  /* the option as typed, for messages */
};

/* The value of an option that needs one: what stands behind '=', or the next argument. */
static int take_value(struct token *token, const char *inline_value, int argc, char **argv, int *at, struct error *err)
{
	if (inline_value != NULL) {
		token->value = inline_value;
		return 0;
	}
	if (*at + 1 >= argc)
		return error_set(err, ERROR_USAGE, "%s: needs a value", token->source);
	const char *next = argv[*at + 1];
	if (strncmp(next, "--", 2) == 0)
		return error_set(err, ERROR_USAGE,
			"%s: needs a value, but %s follows (write %s=%s if that is the value)", token->source, next,
			token->source, next);
	token->value = next;
	*at += 1;
	size_t used = strlen(token->source);
	snprintf(token->source + used, sizeof(token->source) - used, " %s", next);
	return 0;
}

static int read_long(
	const struct option_table *table, struct token *token, int argc, char **argv, int *at, struct error *err)
{
	const char *name = argv[*at] + 2;
	size_t bytes = strcspn(name, "=");
	const char *inline_value = name[bytes] == '=' ? name + bytes + 1 : NULL;
	token->is_config = bytes == 6 && memcmp(name, "config", 6) == 0;
	token->spec = option_find(table, name, bytes);
	if (token->spec == NULL && bytes > 3 && memcmp(name, "no-", 3) == 0 && inline_value == NULL) {
		token->spec = option_find(table, name + 3, bytes - 3);
		if (token->spec != NULL && token->spec->type == OPTION_TYPE_FLAG) {
			token->value = "no";
			return 0;
		}
		token->spec = NULL;
	}
	if (token->spec == NULL && !token->is_config) {
		char wanted[128];
		snprintf(wanted, sizeof(wanted), "%.*s", (int)(bytes < 120 ? bytes : 120), name);
		return options_unknown(table, token->source, wanted, "--", err);
	}
	if (token->spec != NULL && token->spec->type == OPTION_TYPE_FLAG) {
		token->value = inline_value != NULL ? inline_value : "yes";
		return 0;
	}
	return take_value(token, inline_value, argc, argv, at, err);
}

static int read_token(
	const struct option_table *table, struct token *token, int argc, char **argv, int *at, struct error *err)
{
	const char *argument = argv[*at];
	*token = (struct token){.value = argument};
	snprintf(token->source, sizeof(token->source), "%s", argument);
	if (argument[0] != '-' || argument[1] == '\0')
		return 0;
	if (argument[1] == '-') {
		token->is_end = argument[2] == '\0';
		return token->is_end ? 0 : read_long(table, token, argc, argv, at, err);
	}
	token->spec = find_letter(table, argument[1]);
	if (token->spec == NULL)
		return options_unknown(table, token->source, argument + 1, "--", err);
	if (token->spec->type == OPTION_TYPE_FLAG && argument[2] == '\0') {
		token->value = "yes";
		return 0;
	}
	return take_value(token, argument[2] != '\0' ? argument + 2 : NULL, argc, argv, at, err);
}

/* apply false: only finds --config. */
static int walk(struct options *options, int argc, char **argv, bool apply, const char **config, struct error *err)
{
	bool ended = false;
	for (int at = 1; at < argc; at++) {
		struct token token = {.value = argv[at]};
		int rc = ended ? 0 : read_token(options->table, &token, argc, argv, &at, err);
		if (rc < 0)
			return rc;
		if (token.is_end)
			ended = true;
		else if (token.is_config)
			*config = token.value;
		else if (apply && token.spec == NULL)
			options->operands[options->operand_count++] = token.value;
		else if (apply)
			rc = option_set(options, token.spec, token.value, OPTION_FROM_FLAG, token.source, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_complete(const struct options *options, struct error *err)
{
	const struct option_table *table = options->table;
	for (size_t i = 0; i < table->count; i++) {
		const struct option_spec *spec = &table->spec[i];
		if (spec->required && options->origin[i] == OPTION_DEFAULT)
			return error_set(err, ERROR_USAGE, "--%s %s is needed; see 'ringclr %s --help'", spec->name,
				spec->metavar != NULL ? spec->metavar : "", table->command);
	}
	unsigned given = options->operand_count;
	if (table->operands == NULL && given > 0)
		return error_set(err, ERROR_USAGE, "'%s': %s takes no arguments besides options", options->operands[0],
			table->command);
	if (table->operands != NULL && given < table->operand_min)
		return error_set(
			err, ERROR_USAGE, "%s is missing; see 'ringclr %s --help'", table->operands, table->command);
	if (table->operands != NULL && given > table->operand_max)
		return error_set(err, ERROR_USAGE, "'%s': only %u %s can be given",
			options->operands[table->operand_max], table->operand_max, table->operands);
	return 0;
}

static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	}
	return false;
}

int options_read(struct options *options, const struct option_table *table, void *values, int argc, char **argv,
	struct error *err)
{
	*options = (struct options){.table = table, .values = values};
	int rc = set_defaults(options, err);
	if (rc < 0)
		return rc;
	if (asks_for_help(argc, argv))
		return 1;
	options->operands = calloc((size_t)argc + 1, sizeof(*options->operands));
	if (options->operands == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory while reading options");
	const char *config = NULL;
	rc = walk(options, argc, argv, false, &config, err);
	if (rc == 0 && config != NULL)
		rc = options_read_file(options, config, err);
	if (rc == 0)
		rc = walk(options, argc, argv, true, &config, err);
	if (rc == 0)
		rc = check_complete(options, err);
	return rc;
}

int options_parse(struct options *options, const struct option_table *table, void *values, int argc, char **argv)
{
	struct error err = {0};
	int rc = options_read(options, table, values, argc, argv, &err);
	if (rc == 0)
		return OPTIONS_GO;
	options_free(options);
	if (rc == 1) {
		options_help(table, stdout);
		return EXIT_OK;
	}
	return command_fail(table->command, &err);
}

void options_free(struct options *options)
{
	free(options->operands);
	for (struct kept_text *kept = options->owned; kept != NULL;) {
		struct kept_text *next = kept->next;
		free(kept);
		kept = next;
	}
	options->operands = NULL;
	options->operand_count = 0;
	options->owned = NULL;
}

enum option_origin options_origin(const struct options *options, const char *name)
{
	const struct option_spec *spec = option_find(options->table, name, strlen(name));
	return spec == NULL ? OPTION_DEFAULT : (enum option_origin)options->origin[spec - options->table->spec];
}

bool options_given(const struct options *options, const char *name)
{
	return options_origin(options, name) >= OPTION_FROM_FILE;
}
