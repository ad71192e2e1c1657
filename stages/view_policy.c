/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of operations: what each is called, takes, is by default and does. Parser, printer and --help read it here.
 * Below it the named policies, and policies as text again.
 */
#include "stages/view_policy_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGS_NONE = 1 << 0, ARGS_ONE = 1 << 1, ARGS_TWO = 1 << 2, ARGS_FOUR = 1 << 4 };

const struct view_operation view_operations[VIEW_OPS] = {
	[VIEW_OP_CROP] = {"crop", "crop[(area_min,area_max[,aspect_min,aspect_max])]", 1,
		ARGS_NONE | ARGS_TWO | ARGS_FOUR,
		{{"area_min", 0.001, 1, NAN}, {"area_max", 0.001, 1, 1}, {"aspect_min", 0.01, 100, 3.0 / 4.0},
			{"aspect_max", 0.01, 100, 4.0 / 3.0}},
		"a random part of the image, resized: its share of the image's area, and width to height "
		"(RandomResizedCrop)"},
	[VIEW_OP_CENTER] = {"center", "center[(share)]", 1, ARGS_NONE | ARGS_ONE, {{"share", 0.001, 1, NAN}},
		"the square in the middle, that share of the short side; 0.875, and 1 up to 32 pixels"},
	[VIEW_OP_WHOLE] = {"whole", "whole", 1, ARGS_NONE, {{0}}, "the whole image, resized to a square"},
	[VIEW_OP_FLIP] = {"flip", "flip", 0.5, ARGS_NONE, {{0}}, "left and right change places"},
	[VIEW_OP_VFLIP] = {"vflip", "vflip", 0.5, ARGS_NONE, {{0}}, "top and bottom change places"},
	[VIEW_OP_ROTATE90] = {"rotate90", "rotate90", 1, ARGS_NONE, {{0}},
		"turned by 0, 90, 180 or 270 degrees, each as likely (SimCLR, section 3)"},
	[VIEW_OP_COLOR] = {"color", "color[(spread,hue)] or color(brightness,contrast,saturation,hue)", 0.8,
		ARGS_NONE | ARGS_TWO | ARGS_FOUR,
		{{"brightness", 0, 4, NAN}, {"contrast", 0, 4, NAN}, {"saturation", 0, 4, NAN}, {"hue", 0, 0.5, NAN}},
		"brightness, contrast, saturation and hue in random order (ColorJitter); of two arguments the first is "
		"for the first three. Without: 0.8 S, 0.2 S of --strength S (SimCLR, appendix A)"},
	[VIEW_OP_BRIGHTNESS] = {"brightness", "brightness[(spread)]", 1, ARGS_NONE | ARGS_ONE, {{"spread", 0, 4, NAN}},
		"times a factor of 1 - spread to 1 + spread; likewise the next two"},
	[VIEW_OP_CONTRAST] = {"contrast", "contrast[(spread)]", 1, ARGS_NONE | ARGS_ONE, {{"spread", 0, 4, NAN}},
		"around the mean of the gray image"},
	[VIEW_OP_SATURATION] = {"saturation", "saturation[(spread)]", 1, ARGS_NONE | ARGS_ONE, {{"spread", 0, 4, NAN}},
		"around the gray of the pixel"},
	[VIEW_OP_HUE] = {"hue", "hue[(shift)]", 1, ARGS_NONE | ARGS_ONE, {{"shift", 0, 0.5, NAN}},
		"shifted by at most so many turns"},
	[VIEW_OP_GRAY] = {"gray", "gray", 0.2, ARGS_NONE, {{0}}, "no colours (SimCLR, appendix A)"},
	[VIEW_OP_BLUR] = {"blur", "blur[(sigma_min,sigma_max)]", 0.5, ARGS_NONE | ARGS_TWO,
		{{"sigma_min", 0.01, 100, 0.1}, {"sigma_max", 0.01, 100, 2}},
		"Gaussian, in pixels; the kernel is a tenth of the side, 3 pixels at least (SimCLR, appendix A)"},
	[VIEW_OP_SOLARIZE] = {"solarize", "solarize[(threshold)]", 0.2, ARGS_NONE | ARGS_ONE,
		{{"threshold", 0, 1, 0.5}},
		"values from the threshold up become 1 minus themselves (BYOL: of one of the views)"},
	[VIEW_OP_CUTOUT] = {"cutout", "cutout[(share)]", 1, ARGS_NONE | ARGS_ONE, {{"share", 0.001, 1, 0.5}},
		"zeros in a square of that share of the side around a random pixel (DeVries and Taylor)"},
	[VIEW_OP_SOBEL] = {"sobel", "sobel", 1, ARGS_NONE, {{0}},
		"each channel's gradient by the 3x3 Sobel kernels, its length (SimCLR, section 3)"},
	[VIEW_OP_NOISE] = {"noise", "noise[(sigma)]", 1, ARGS_NONE | ARGS_ONE, {{"sigma", 0, 1, 0.1}},
		"plus a normal number of that deviation for each value (SimCLR, section 3)"},
};

/* ---- named policies ---- */

const char *const view_shorthands[VIEW_SHORTHANDS] = {[VIEW_SIMCLR] = "simclr", [VIEW_CROP_FLIP] = "crop-flip"};

unsigned view_operation_arguments(const struct view_operation *operation)
{
	unsigned count = VIEW_MAX_ARGS;
	while (!(operation->counts >> count & 1))
		count--;
	return count;
}

static double fallback(enum view_op op, unsigned argument, const struct view_defaults *defaults)
{
	const double strength = (double)defaults->strength;
	switch (op) {
	case VIEW_OP_CENTER:
		return defaults->size <= 32 ? 1 : 0.875;
	case VIEW_OP_CROP:
		return argument == 0 ? (double)defaults->area_min : view_operations[op].arguments[argument].fallback;
	case VIEW_OP_COLOR:
		return argument < 3 ? 0.8 * strength : fmin(0.2 * strength, 0.5);
	case VIEW_OP_BRIGHTNESS:
	case VIEW_OP_CONTRAST:
	case VIEW_OP_SATURATION:
		return 0.8 * strength;
	case VIEW_OP_HUE:
		return fmin(0.2 * strength, 0.5);
	default:
		return view_operations[op].arguments[argument].fallback;
	}
}

struct view_step view_step_default(enum view_op op, const struct view_defaults *defaults)
{
	struct view_step step = {.op = op, .probability = view_operations[op].probability};
	for (unsigned i = 0; i < view_operation_arguments(&view_operations[op]); i++)
		step.args[i] = fallback(op, i, defaults);
	return step;
}

unsigned view_shorthand_expand(
	struct view_step steps[VIEW_MAX_STEPS], enum view_policy_kind kind, const struct view_defaults *defaults)
{
	static const enum view_op recipe[] = {VIEW_OP_CROP, VIEW_OP_FLIP, VIEW_OP_COLOR, VIEW_OP_GRAY, VIEW_OP_BLUR};
	const unsigned count = kind == VIEW_CROP_FLIP ? 2 : defaults->size <= 32 ? 4 : 5;
	for (unsigned i = 0; i < count; i++)
		steps[i] = view_step_default(recipe[i], defaults);
	return count;
}

struct view_defaults view_defaults_of(uint32_t size, unsigned views)
{
	return (struct view_defaults){
		.size = size, .views = views, .strength = size <= 32 ? 0.5F : 1, .area_min = 0.08F};
}

void view_policy_init(struct view_policy *policy, enum view_policy_kind kind, uint32_t size, float strength)
{
	struct view_defaults defaults = view_defaults_of(size, 1);
	defaults.strength = strength;
	*policy = (struct view_policy){.size = size, .count = 1};
	if (kind == VIEW_CENTER)
		policy->steps[0] = view_step_default(VIEW_OP_CENTER, &defaults);
	else
		policy->count = view_shorthand_expand(policy->steps, kind, &defaults);
}

void view_policies_init(
	struct view_policies *policies, unsigned views, enum view_policy_kind kind, uint32_t size, float strength)
{
	policies->count = views;
	for (unsigned view = 0; view < views; view++)
		view_policy_init(&policies->view[view], kind, size, strength);
}

/* ---- printing ---- */

struct printer {
	char *text;
	size_t used;
};

__attribute__((format(printf, 2, 3))) static void print(struct printer *printer, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	const size_t left = VIEW_POLICIES_TEXT_BYTES - printer->used;
	const int wanted = vsnprintf(printer->text + printer->used, left, format, arguments);
	va_end(arguments);
	printer->used += (size_t)wanted < left ? (size_t)wanted : left - 1;
}

/* The shortest decimal that is read as that number again. is_float: rounded to single precision. */
static void print_number(struct printer *printer, double number, bool is_float)
{
	char text[40];
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, number);
		const double again = strtod(text, NULL);
		if (is_float ? (float)again == (float)number : again == number)
			break;
	}
	print(printer, "%s", text);
}

static void print_step(struct printer *printer, const struct view_step *step)
{
	const struct view_operation *operation = &view_operations[step->op];
	const double *args = step->args;
	unsigned count = view_operation_arguments(operation);
	print(printer, "%s", operation->name);
	if (step->op == VIEW_OP_CROP && args[2] == 3.0 / 4.0 && args[3] == 4.0 / 3.0)
		count = 2;
	const bool one_spread = step->op == VIEW_OP_COLOR && args[0] == args[1] && args[0] == args[2];
	for (unsigned i = 0; i < count; i++) {
		if (one_spread && (i == 1 || i == 2))
			continue;
		print(printer, i == 0 ? "(" : ",");
		print_number(printer, args[i], step->op == VIEW_OP_CROP && i < 2);
	}
	print(printer, count > 0 ? ")" : "");
	if (step->probability != operation->probability) {
		print(printer, "@");
		print_number(printer, step->probability, false);
	}
}

static void print_policy(struct printer *printer, const struct view_policy *policy)
{
	for (uint32_t i = 0; i < policy->count; i++) {
		print(printer, i == 0 ? "" : " ");
		print_step(printer, &policy->steps[i]);
	}
}

void view_policy_print(const struct view_policy *policy, char text[VIEW_POLICIES_TEXT_BYTES])
{
	struct printer printer = {.text = text};
	print_policy(&printer, policy);
}

static bool same_step(const struct view_step *a, const struct view_step *b)
{
	bool same = a->op == b->op && a->probability == b->probability;
	for (unsigned i = 0; i < VIEW_MAX_ARGS; i++)
		same = same && a->args[i] == b->args[i];
	return same;
}

bool view_policy_same(const struct view_policy *a, const struct view_policy *b)
{
	bool same = a->size == b->size && a->count == b->count;
	for (uint32_t i = 0; same && i < a->count; i++)
		same = same_step(&a->steps[i], &b->steps[i]);
	return same;
}

void view_policies_print(const struct view_policies *policies, char text[VIEW_POLICIES_TEXT_BYTES])
{
	struct printer printer = {.text = text};
	for (uint32_t view = 0, end; view < policies->count; view = end) {
		for (end = view + 1; end < policies->count; end++)
			if (!view_policy_same(&policies->view[view], &policies->view[end]))
				break;
		print(&printer, "%s%" PRIu32 "x ", view == 0 ? "" : " | ", end - view);
		print_policy(&printer, &policies->view[view]);
	}
}

const char *view_operation_help(unsigned number, const char **usage, double *probability)
{
	if (number >= VIEW_OPS)
		return NULL;
	*usage = view_operations[number].usage;
	*probability = view_operations[number].probability;
	return view_operations[number].help;
}
