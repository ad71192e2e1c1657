/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first brace expression of a name is replaced by each of its alternatives, and what comes of that is expanded
 * again, so that nested expressions and several ones need no more code:
 *
 *	"x{a,b{1..2}}y{3,4}"  ->  "xa" + "y{3,4}", "xb{1..2}" + "y{3,4}"
 *
 * What counts as an expression is what bash takes for one: a list with a comma outside inner braces, or a range of
 * whole numbers or of letters, with or without a step. Numbers are as wide as the wider end where an end starts with 0.
 * Other braces are characters of the name.
 */
#include "tools/pack_braces.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/pack.h"

enum { MAX_DIGITS = 15, MAX_STEPS = 1 << 20 };

struct expansion {
	struct pack_inputs *names;
	size_t steps; /* bounds the work of a pattern that has more braces than names */
};

int pack_inputs_add(struct pack_inputs *names, const char *name, struct error *err)
{
	if (names->count >= PACK_BRACES_MAX_NAMES)
		return error_set(
			err, ERROR_USAGE, "more than %d inputs: pack them in several runs", PACK_BRACES_MAX_NAMES);
	if (!pack_grow(&names->names, names->count, &names->capacity, sizeof(*names->names)))
		return pack_out_of_memory(err);
	names->names[names->count] = strdup(name);
	if (names->names[names->count] == NULL)
		return pack_out_of_memory(err);
	names->count++;
	return 0;
}

void pack_inputs_free(struct pack_inputs *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->names[i]);
	free(names->names);
	*names = (struct pack_inputs){0};
}

struct range {
	int64_t first, last, step;
	int width; /* of a number padded with zeros; 0: not padded */
	bool letters;
};

/* A whole number at *text, which is moved behind it. */
static bool read_number(const char **text, int64_t *number, int *width, bool *padded)
{
	const char *at = *text;
	bool negative = *at == '-';
	at += negative;
	size_t digits = strspn(at, "0123456789");
	if (digits == 0 || digits > MAX_DIGITS)
		return false;
	*number = strtoll(*text, NULL, 10);
	*width = (int)digits + negative;
	*padded = at[0] == '0' && digits > 1;
	*text = at + digits;
	return true;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Reads "1..9", "a..e", "00..20..5" up to `end`. */
static bool read_range(const char *text, const char *end, struct range *range)
{
	int first_width = 0, last_width = 0, ignored;
	bool first_padded = false, last_padded = false, ignored_padding;
	range->letters = is_letter(text[0]) && strncmp(text + 1, "..", 2) == 0 && is_letter(text[3]);
	if (range->letters) {
		range->first = (unsigned char)text[0];
		range->last = (unsigned char)text[3];
		text += 4;
	} else {
		if (!read_number(&text, &range->first, &first_width, &first_padded) || strncmp(text, "..", 2) != 0)
			return false;
		text += 2;
		if (!read_number(&text, &range->last, &last_width, &last_padded))
			return false;
	}
	range->width = first_padded || last_padded ? (first_width > last_width ? first_width : last_width) : 0;
	range->step = 1;
	if (text != end) {
		if (strncmp(text, "..", 2) != 0)
			return false;
		text += 2;
		if (!read_number(&text, &range->step, &ignored, &ignored_padding))
			return false;
		range->step = range->step < 0 ? -range->step : range->step == 0 ? 1 : range->step;
	}
	return text == end;
}

/* Finds the brace that closes the one at `open`, and whether a comma lies between them, outside inner braces. */
static const char *find_close(const char *open, bool *comma)
{
	size_t depth = 0;
	*comma = false;
	for (const char *at = open; *at != '\0'; at++) {
		depth += *at == '{';
		*comma |= *at == ',' && depth == 1;
		if (*at == '}' && --depth == 0)
			return at;
	}
	return NULL;
}

static int expand(struct expansion *expansion, const char *pattern, size_t from, struct error *err);

/* Goes on with the alternative in the place of the expression [open, close]. */
static int put(struct expansion *expansion, const char *pattern, const char *open, const char *close,
	const char *alternative, size_t bytes, struct error *err)
{
	if (++expansion->steps > MAX_STEPS)
		return error_set(err, ERROR_USAGE, "%.200s: too many braces", pattern);
	char *text = NULL;
	size_t before = (size_t)(open - pattern);
	if (asprintf(&text, "%.*s%.*s%s", (int)before, pattern, (int)bytes, alternative, close + 1) < 0)
		return pack_out_of_memory(err);
	int rc = expand(expansion, text, before, err);
	free(text);
	return rc;
}

static int expand_range(struct expansion *expansion, const char *pattern, const char *open, const char *close,
	const struct range *range, struct error *err)
{
	int64_t step = range->first <= range->last ? range->step : -range->step;
	int rc = 0;
	for (int64_t i = range->first; rc == 0 && (step > 0 ? i <= range->last : i >= range->last); i += step) {
		char text[MAX_DIGITS + 8];
		int bytes = range->letters ? snprintf(text, sizeof(text), "%c", (char)i)
					   : snprintf(text, sizeof(text), "%0*lld", range->width, (long long)i);
		rc = put(expansion, pattern, open, close, text, (size_t)bytes, err);
	}
	return rc;
}

static int expand_list(
	struct expansion *expansion, const char *pattern, const char *open, const char *close, struct error *err)
{
	size_t depth = 0;
	const char *start = open + 1;
	int rc = 0;
	for (const char *at = open + 1; at <= close && rc == 0; at++) {
		if (at == close || (*at == ',' && depth == 0)) {
			rc = put(expansion, pattern, open, close, start, (size_t)(at - start), err);
			start = at + 1;
		} else if (*at == '{') {
			depth++;
		} else if (*at == '}') {
			depth--;
		}
	}
	return rc;
}

/* What lies before `from` is settled. */
static int expand(struct expansion *expansion, const char *pattern, size_t from, struct error *err)
{
	for (const char *open = strchr(pattern + from, '{'); open != NULL; open = strchr(open + 1, '{')) {
		bool comma;
		struct range range;
		const char *close = find_close(open, &comma);
		if (close == NULL)
			continue; /* an inner expression may still close */
		if (comma)
			return expand_list(expansion, pattern, open, close, err);
		if (read_range(open + 1, close, &range))
			return expand_range(expansion, pattern, open, close, &range, err);
	}
	return pack_inputs_add(expansion->names, pattern, err);
}

int pack_braces_expand(struct pack_inputs *names, const char *pattern, struct error *err)
{
	if (strlen(pattern) > PACK_BRACES_MAX_LENGTH)
		return error_set(err, ERROR_USAGE, "%.200s...: a name of an input may have %d bytes", pattern,
			PACK_BRACES_MAX_LENGTH);
	struct expansion expansion = {.names = names};
	return expand(&expansion, pattern, 0, err);
}
