/* SPDX-License-Identifier: Apache-2.0 */
/* Policies from text: what comes of them, canonical text and back, and what is said about mistakes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "stages/view_policy.h"

static const struct view_defaults small = {.size = 32, .views = 2, .strength = 0.5F, .area_min = 0.08F};
static const struct view_defaults large = {.size = 224, .views = 2, .strength = 1, .area_min = 0.08F};
/* Unlike both in everything, so that nothing may come from here. */
static const struct view_defaults other = {.size = 224, .views = 7, .strength = 0.3F, .area_min = 0.5F};

static struct view_policies parse(const char *text, const struct view_defaults *defaults)
{
	struct view_policies policies = {0};
	struct error err = {0};
	if (view_policies_parse(&policies, text, defaults, "--views", &err) != 0)
		fail_msg("%s", err.message);
	return policies;
}

static void canonical_text(void **state)
{
	(void)state;
	static const struct {
		const struct view_defaults *defaults;
		const char *text, *canonical;
	} cases[] = {
		{&small, "simclr", "2x crop(0.08,1) flip color(0.4,0.1) gray"},
		{&large, "simclr", "2x crop(0.08,1) flip color(0.8,0.2) gray blur(0.1,2)"},
		{&large, "1x simclr", "1x crop(0.08,1) flip color(0.8,0.2) gray blur(0.1,2)"},
		{&large, "simclr|simclr solarize",
			"1x crop(0.08,1) flip color(0.8,0.2) gray blur(0.1,2) | "
			"1x crop(0.08,1) flip color(0.8,0.2) gray blur(0.1,2) solarize(0.5)"},
		{&large, "crop-flip | crop flip", "2x crop(0.08,1) flip"},
		{&small, "center", "2x center(1)"},
		{&large, "center", "2x center(0.875)"},
		{&large, "3x whole|1x center(0.5)", "3x whole | 1x center(0.5)"},
		{&large, "  2 x\tcrop ( 0.2 , 0.5 ) flip @ 0.25 ", "2x crop(0.2,0.5) flip@0.25"},
		{&large, "crop(.2,.5,1,1) flip@0 vflip@5e-1", "2x crop(0.2,0.5,1,1) flip@0 vflip"},
		{&large, "crop(0.2,0.5,0.75,1.3333333333333333)", "2x crop(0.2,0.5)"},
		{&large, "crop color(0.1,0.2,0.3,0.4)@1", "2x crop(0.08,1) color(0.1,0.2,0.3,0.4)@1"},
		{&large, "crop color(0.4,0.1)@0.8", "2x crop(0.08,1) color(0.4,0.1)"},
		{&large, "crop brightness contrast(0.1) saturation hue gray",
			"2x crop(0.08,1) brightness(0.8) "
			"contrast(0.1) saturation(0.8) hue(0.2) gray"},
		{&large, "crop rotate90 sobel cutout cutout(0.25) noise noise(0.2)@0.5",
			"2x crop(0.08,1) rotate90 sobel cutout(0.5) cutout(0.25) noise(0.1) noise(0.2)@0.5"},
	};
	static char text[VIEW_POLICIES_TEXT_BYTES];
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct view_policies policies = parse(cases[i].text, cases[i].defaults);
		view_policies_print(&policies, text);
		assert_string_equal(text, cases[i].canonical);
		for (uint32_t view = 0; view < policies.count; view++)
			assert_int_equal(policies.view[view].size, cases[i].defaults->size);
	}
}

/* The canonical text means the same everywhere. */
static void canonical_text_comes_back(void **state)
{
	(void)state;
	static const char *const texts[] = {"simclr", "crop-flip | 3x center | whole noise(0.123456789012)",
		"crop(0.3333333333,0.7) blur(0.1000000001,7)@0.3 hue(0.3) color(0.1,0.1,0.1,0.5)@0.99999999",
		"crop brightness@0 contrast@0.1 saturation@1 vflip gray@0.9 solarize(0)@1 cutout(0.001) sobel@0.1"};
	static const float strengths[] = {0, 0.3F, 1, 4};
	static char text[VIEW_POLICIES_TEXT_BYTES], again[VIEW_POLICIES_TEXT_BYTES];
	for (unsigned i = 0; i < 16; i++) {
		const struct view_defaults defaults = {
			.size = 224, .views = 2, .strength = strengths[i % 4], .area_min = 0.123F};
		const struct view_policies policies = parse(texts[i / 4], &defaults);
		view_policies_print(&policies, text);
		const struct view_policies back = parse(text, &other);
		assert_int_equal(back.count, policies.count);
		for (uint32_t view = 0; view < policies.count; view++)
			assert_true(view_policy_same(&back.view[view], &policies.view[view]));
		view_policies_print(&back, again);
		assert_string_equal(again, text);
	}
}

static void named_policies_are_their_text(void **state)
{
	(void)state;
	static const char *const texts[] = {
		[VIEW_SIMCLR] = "1x simclr", [VIEW_CROP_FLIP] = "1x crop-flip", [VIEW_CENTER] = "1x center"};
	const struct view_defaults *defaults[] = {&small, &large};
	for (unsigned kind = VIEW_SIMCLR; kind <= VIEW_CENTER; kind++)
		for (unsigned d = 0; d < 2; d++) {
			struct view_policies named;
			view_policies_init(
				&named, 3, (enum view_policy_kind)kind, defaults[d]->size, defaults[d]->strength);
			const struct view_policies parsed = parse(texts[kind], defaults[d]);
			assert_int_equal(named.count, 3);
			for (unsigned view = 0; view < 3; view++)
				assert_true(view_policy_same(&named.view[view], &parsed.view[0]));
		}
	/* What was written by hand is the recipe to the last bit. */
	const struct view_policies hand = parse("1x crop(0.08,1) flip@0.5 color(0.4,0.1)@0.8 gray@0.2", &other);
	const struct view_policies recipe = parse("1x simclr", &small);
	assert_memory_equal(hand.view[0].steps, recipe.view[0].steps, 4 * sizeof(struct view_step));
	assert_false(view_policy_same(&hand.view[0], &recipe.view[0])); /* of another size */
}

static void mistakes_are_pointed_at(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"", "--views: \"\": character 1: expected an operation"},
		{"   ", "character 4: expected an operation"},
		{"|", "character 1: expected an operation, not '|'"},
		{"crop |", "character 7: expected an operation"},
		{"crop || crop", "character 7: expected an operation, not '|'"},
		{"crop(0.08,1) flop", "\"crop(0.08,1) flop\": character 14: no operation called 'flop' (did you mean "
				      "'flip'?); operations: crop, center, whole, flip, "},
		{"Crop", "no operation called 'Crop' (did you mean 'crop'?)"},
		{"crop zzzzzz", "no operation called 'zzzzzz'; operations"},
		{"crop a-name-of-more-than-thirty-two-characters-in-all", "character 6: no operation called"},
		{"flip", "character 1: a policy begins with crop, center, whole, simclr or crop-flip, not flip"},
		{"crop flip center", "character 11: center comes first in a policy or not at all"},
		{"simclr simclr", "character 8: crop comes first"},
		{"crop | flip", "character 8: a policy begins with"},
		{"crop(0.08)", "character 5: crop does not take 1 argument: crop[("},
		{"crop(0.08,1,2)", "crop does not take 3 arguments"},
		{"crop(0.08,1,1,1,1)", "too many arguments"},
		{"crop()", "crop does not take 0 arguments"},
		{"crop color(0.4)", "color does not take 1 argument"},
		{"crop gray(0.4)", "character 10: gray takes no arguments"},
		{"crop flip(", "flip takes no arguments"},
		{"crop(0.08,1", "character 12: expected , or ) in the arguments of crop"},
		{"crop(0.08 1)", "character 11: expected , or )"},
		{"crop(,1)", "character 6: area_min of crop must be a number"},
		{"crop(0.08,)", "character 11: area_max of crop must be a number"},
		{"crop noise(nan)", "sigma of noise must be a number"},
		{"crop noise(0x1)", "expected , or )"},
		{"crop noise(1e)", "sigma of noise must be a number"},
		{"crop noise(0.1111111111111111111111111111111111111111111)", "sigma of noise must be a number"},
		{"crop noise(1e999)", "sigma of noise must be from 0 to 1, not 1e999"},
		{"crop(0,1)", "character 6: area_min of crop must be from 0.001 to 1, not 0"},
		{"crop(0.5,1.5)", "character 10: area_max of crop must be from 0.001 to 1, not 1.5"},
		{"crop(0.5,0.1)", "character 1: area_min 0.5 is more than area_max 0.1"},
		{"crop(0.1,0.5,2,1)", "aspect_min 2 is more than aspect_max 1"},
		{"crop blur(2,1)", "character 6: sigma_min 2 is more than sigma_max 1"},
		{"crop color(0.1,0.6)", "hue of color must be from 0 to 0.5"},
		{"crop solarize(-0.1)", "threshold of solarize must be from 0 to 1, not -0.1"},
		{"crop flip@1.5", "character 11: the probability behind @ must be from 0 to 1, not 1.5"},
		{"crop flip@-1", "the probability behind @ must be from 0 to 1"},
		{"crop flip@", "the probability behind @ must be a number"},
		{"crop flip@0.5@0.5", "character 14: expected an operation, not '@'"},
		{"crop@0.5", "character 5: crop is always done: it takes no @"},
		{"crop(0.1,1)@0.5", "character 12: crop is always done"},
		{"simclr@0.5", "character 7: simclr stands for several operations: it takes no @"},
		{"simclr(1)", "character 7: simclr stands for several operations: it takes no ("},
		{"0x crop", "character 1: the count of views must be from 1 to 16"},
		{"crop | 17x crop", "character 8: the count of views must be from 1 to 16"},
		{"99999999999999999999x crop", "the count of views must be from 1 to 16"},
		{"9x crop | 8x crop", "character 11: more than 16 views"},
		{"2 crop", "character 1: expected an operation, or a count of views like 2x"},
		{"2x", "character 3: expected an operation"},
		{"crop 2x flip", "character 6: no operation called '2x'"},
		{"crop \xc3\xa9", "character 6: expected an operation"},
		{"crop flip flip flip flip flip flip flip flip flip flip flip flip flip flip flip flip",
			"character 81: more than 16 operations in one policy"},
	};
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct view_policies policies;
		struct error err = {0};
		if (view_policies_parse(&policies, cases[i][0], &small, "--views", &err) != ERROR_USAGE)
			fail_msg("\"%s\" was taken", cases[i][0]);
		if (strstr(err.message, cases[i][1]) == NULL)
			fail_msg("\"%s\": %s", cases[i][0], err.message);
		assert_true(strncmp(err.message, "--views: \"", 10) == 0 && strchr(err.message, '\n') == NULL);
	}
}

static void a_long_text_is_shown_in_part(void **state)
{
	(void)state;
	static char text[5000];
	struct view_policies policies;
	struct error err = {0};
	snprintf(text, sizeof text, "crop%3996sblor", "");
	assert_int_equal(view_policies_parse(&policies, text, &small, "--views", &err), ERROR_USAGE);
	assert_non_null(
		strstr(err.message, "...\": character 4001: no operation called 'blor' (did you mean 'blur'?)"));
}

/* The longest text that there is comes out whole. */
static void the_largest_set_is_printed_whole(void **state)
{
	(void)state;
	static char text[VIEW_POLICIES_TEXT_BYTES], again[VIEW_POLICIES_TEXT_BYTES];
	struct view_policies policies = {.count = VIEW_MAX_VIEWS};
	for (uint32_t view = 0; view < VIEW_MAX_VIEWS; view++) {
		struct view_policy *policy = &policies.view[view];
		*policy = (struct view_policy){.size = 224, .count = VIEW_MAX_STEPS};
		policy->steps[0] = (struct view_step){VIEW_OP_CROP, 1, {0.1F, 0.7F, 1.0 / 3, 7.0 / 3}};
		for (unsigned i = 1; i < VIEW_MAX_STEPS; i++)
			policy->steps[i] = (struct view_step){
				VIEW_OP_COLOR, 1.0 / (view + 3), {1 / 3e6, 1 / 7e6, 1 / 11e6, 1 / 13e6}};
	}
	view_policies_print(&policies, text);
	assert_true(strlen(text) > 16000 && strlen(text) < sizeof text - 1);
	const struct view_policies back = parse(text, &other);
	view_policies_print(&back, again);
	assert_string_equal(text, again);
	for (uint32_t view = 0; view < VIEW_MAX_VIEWS; view++)
		assert_true(view_policy_same(&back.view[view], &policies.view[view]));
}

static void every_operation_has_help(void **state)
{
	(void)state;
	const char *usage, *help;
	double probability;
	unsigned count = 0;
	for (; (help = view_operation_help(count, &usage, &probability)) != NULL; count++) {
		assert_true(strlen(help) > 5 && strlen(usage) > 2);
		assert_true(probability > 0 && probability <= 1);
	}
	assert_int_equal(count, VIEW_OPS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_text),
		cmocka_unit_test(canonical_text_comes_back),
		cmocka_unit_test(named_policies_are_their_text),
		cmocka_unit_test(mistakes_are_pointed_at),
		cmocka_unit_test(a_long_text_is_shown_in_part),
		cmocka_unit_test(the_largest_set_is_printed_whole),
		cmocka_unit_test(every_operation_has_help),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
