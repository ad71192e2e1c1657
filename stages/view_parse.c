/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies from text, by the table of operations.
 *
 *	policies   = policy { "|" policy }
 *	policy     = [ count "x" ] step { step }
 *	step       = name [ "(" number { "," number } ")" ] [ "@" probability ]
 *
 * with spaces anywhere between these. A name is an operation's or a shorthand's, which stands for its steps. A text of
 * one policy without a count gets as many views as the caller says. Where arguments are left out, all are: they come
 * from the table or from the caller's defaults (size, strength, smallest area).
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/nearest.h"
#include "stages/view_policy_internal.h"

enum { NAME_BYTES = 32, NUMBER_BYTES = 40, SHOWN_BYTES = 300 };

struct parser {
	const char *text, *at;
	const struct view_defaults *defaults;
	const char *what;
	struct error *err;
};

/* "--views: "TEXT": at 'step': ..."; place NULL: about the whole. */
__attribute__((format(printf, 3, 4))) static int refuse(
	const struct parser *parser, const char *place, const char *format, ...)
{
	char reason[640], where[96] = "";
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(reason, sizeof reason, format, arguments);
	va_end(arguments);
	if (place)
		snprintf(where, sizeof where, "character %zu: ", (size_t)(place - parser->text) + 1);
	return error_set(parser->err, ERROR_USAGE, "%s: \"%.*s%s\": %s%s", parser->what, SHOWN_BYTES, parser->text,
		strlen(parser->text) > SHOWN_BYTES ? "..." : "", where, reason);
}

static char skip_spaces(struct parser *parser)
{
	while (isspace((unsigned char)*parser->at))
		parser->at++;
	return *parser->at;
}

static bool take(struct parser *parser, char wanted)
{
	if (skip_spaces(parser) != wanted)
		return false;
	parser->at++;
	return true;
}

/* A decimal number; what strtod() would also take (inf, nan, hexadecimal) is none. */
static int take_number(struct parser *parser, const char *meaning, double least, double most, double *value)
{
	char number[NUMBER_BYTES] = "", *end = number;
	skip_spaces(parser);
	const size_t bytes = strspn(parser->at, "+-.0123456789eE");
	if (bytes < sizeof number)
		memcpy(number, parser->at, bytes);
	*value = strtod(number, &end);
	if (bytes == 0 || bytes >= sizeof number || end != number + bytes)
		return refuse(parser, parser->at, "%s must be a number", meaning);
	if (!(*value >= least && *value <= most))
		return refuse(parser, parser->at, "%s must be from %g to %g, not %s", meaning, least, most, number);
	parser->at += bytes;
	return 0;
}

static int take_arguments(struct parser *parser, struct view_step *step)
{
	const struct view_operation *operation = &view_operations[step->op];
	const char *open = parser->at, *usage = operation->usage;
	char meaning[64];
	unsigned count = 0;
	if (!take(parser, '('))
		return 0;
	if (view_operation_arguments(operation) == 0)
		return refuse(parser, open, "%s takes no arguments", operation->name);
	if (!take(parser, ')')) {
		do {
			if (count == view_operation_arguments(operation))
				return refuse(parser, open, "too many arguments: %s", usage);
			const struct view_argument *argument = &operation->arguments[count];
			snprintf(meaning, sizeof meaning, "%s of %s", argument->name, operation->name);
			double *value = &step->args[count++];
			int code = take_number(parser, meaning, argument->least, argument->most, value);
			if (code < 0)
				return code;
			/* Crops have been drawn from areas in single precision from the beginning. One at a time: gcc
			 * 12 loses the rounding of neighbours when it makes vectors of them. */
			if (step->op == VIEW_OP_CROP && count <= 2)
				*value = (double)(float)*value;
		} while (take(parser, ','));
		if (!take(parser, ')'))
			return refuse(parser, parser->at, "expected , or ) in the arguments of %s", operation->name);
	}
	if (count == 0 || !(operation->counts >> count & 1))
		return refuse(parser, open, "%s does not take %u argument%s: %s", operation->name, count,
			count == 1 ? "" : "s", usage);
	if (step->op == VIEW_OP_COLOR && count == 2) {
		step->args[3] = step->args[1];
		step->args[1] = step->args[2] = step->args[0];
		if (step->args[3] > operation->arguments[3].most)
			return refuse(
				parser, open, "hue of color must be from 0 to %g turns", operation->arguments[3].most);
	}
	return 0;
}

/* Ranges are the right way round. */
static int check_step(struct parser *parser, const char *place, struct view_step *step)
{
	const struct view_argument *arguments = view_operations[step->op].arguments;
	const unsigned pairs = step->op == VIEW_OP_CROP ? 2 : step->op == VIEW_OP_BLUR ? 1 : 0;
	for (unsigned i = 0; i < 2 * pairs; i += 2)
		if (step->args[i] > step->args[i + 1])
			return refuse(parser, place, "%s %g is more than %s %g", arguments[i].name, step->args[i],
				arguments[i + 1].name, step->args[i + 1]);
	return 0;
}

static int refuse_name(const struct parser *parser, const char *place, const char *name)
{
	const char *words[VIEW_OPS + VIEW_SHORTHANDS];
	char list[256] = "", hint[64] = "";
	size_t used = 0;
	for (unsigned i = 0; i < VIEW_OPS + VIEW_SHORTHANDS; i++) {
		words[i] = i < VIEW_OPS ? view_operations[i].name : view_shorthands[i - VIEW_OPS];
		used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", words[i]);
	}
	const char *near = nearest_word(name, words, VIEW_OPS + VIEW_SHORTHANDS);
	if (near)
		snprintf(hint, sizeof hint, " (did you mean '%s'?)", near);
	return refuse(parser, place, "no operation called '%s'%s; operations: %s", name, hint, list);
}

static bool is_first(enum view_op op)
{
	return op <= VIEW_OP_WHOLE;
}

static int add_steps(struct parser *parser, const char *place, struct view_policy *policy,
	const struct view_step *steps, unsigned count)
{
	const char *name = view_operations[steps[0].op].name;
	if (policy->count == 0 && !is_first(steps[0].op))
		return refuse(
			parser, place, "a policy begins with crop, center, whole, simclr or crop-flip, not %s", name);
	if (policy->count > 0 && is_first(steps[0].op))
		return refuse(
			parser, place, "%s comes first in a policy or not at all; between two policies goes |", name);
	if (policy->count + count > VIEW_MAX_STEPS)
		return refuse(parser, place, "more than %d operations in one policy", VIEW_MAX_STEPS);
	memcpy(policy->steps + policy->count, steps, count * sizeof *steps);
	policy->count += count;
	return 0;
}

static int take_step(struct parser *parser, struct view_policy *policy)
{
	const char *place = parser->at;
	const size_t bytes = strspn(place, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
	char name[NAME_BYTES];
	struct view_step steps[VIEW_MAX_STEPS];
	if (bytes == 0 && isgraph((unsigned char)*place))
		return refuse(parser, place, "expected an operation, not '%c'", *place);
	if (bytes == 0)
		return refuse(parser, place, "expected an operation");
	snprintf(name, sizeof name, "%.*s", (int)(bytes < sizeof name ? bytes : sizeof name - 1), place);
	parser->at += bytes;
	for (unsigned i = 0; i < VIEW_SHORTHANDS; i++)
		if (strcmp(name, view_shorthands[i]) == 0) {
			if (skip_spaces(parser) == '(' || *parser->at == '@')
				return refuse(parser, parser->at, "%s stands for several operations: it takes no %c",
					name, *parser->at);
			const unsigned count = view_shorthand_expand(steps, (enum view_policy_kind)i, parser->defaults);
			return add_steps(parser, place, policy, steps, count);
		}
	unsigned op = 0;
	while (op < VIEW_OPS && strcmp(name, view_operations[op].name) != 0)
		op++;
	if (op == VIEW_OPS)
		return refuse_name(parser, place, name);
	steps[0] = view_step_default((enum view_op)op, parser->defaults);
	int code = take_arguments(parser, &steps[0]);
	if (code == 0)
		code = check_step(parser, place, &steps[0]);
	if (code == 0 && skip_spaces(parser) == '@' && is_first(steps[0].op))
		return refuse(parser, parser->at, "%s is always done: it takes no @", name);
	if (code == 0 && take(parser, '@'))
		code = take_number(parser, "the probability behind @", 0, 1, &steps[0].probability);
	return code < 0 ? code : add_steps(parser, place, policy, steps, 1);
}

/* "3x" in front of a policy; count stays as it is without. */
static int take_count(struct parser *parser, unsigned *count)
{
	skip_spaces(parser);
	const size_t digits = strspn(parser->at, "0123456789");
	if (digits == 0)
		return 0;
	const char *place = parser->at;
	const unsigned long number = digits < 9 ? strtoul(place, NULL, 10) : VIEW_MAX_VIEWS + 1;
	parser->at += digits;
	if (!take(parser, 'x'))
		return refuse(parser, place, "expected an operation, or a count of views like 2x");
	if (number < 1 || number > VIEW_MAX_VIEWS)
		return refuse(parser, place, "the count of views must be from 1 to %d", VIEW_MAX_VIEWS);
	*count = (unsigned)number;
	return 0;
}

static int take_policy(struct parser *parser, struct view_policies *policies)
{
	struct view_policy policy = {.size = parser->defaults->size};
	skip_spaces(parser);
	const char *place = parser->at;
	unsigned count = 0;
	int code = take_count(parser, &count);
	if (code < 0)
		return code;
	do {
		skip_spaces(parser);
		code = take_step(parser, &policy);
		if (code < 0)
			return code;
	} while (skip_spaces(parser) != '|' && *parser->at != '\0');
	if (count == 0)
		count = policies->count == 0 && *parser->at == '\0' ? parser->defaults->views : 1;
	if (policies->count + count > VIEW_MAX_VIEWS)
		return refuse(parser, place, "more than %d views", VIEW_MAX_VIEWS);
	while (count-- > 0)
		policies->view[policies->count++] = policy;
	return 0;
}

int view_policies_parse(struct view_policies *policies, const char *text, const struct view_defaults *defaults,
	const char *what, struct error *err)
{
	struct parser parser = {.text = text, .at = text, .defaults = defaults, .what = what, .err = err};
	policies->count = 0;
	int code;
	do
		code = take_policy(&parser, policies);
	while (code == 0 && take(&parser, '|'));
	return code;
}
