/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head study asks about what is in the pixels: of a whole `ringclr eval --method head-study` in this process, the
 * images that the net gets and the answers that the regressions are fitted to are seen on their way (the linker's
 * --wrap, see the Makefile). Of one image there are four views; what each shows is worked out from the others.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/net.h"
#include "model/probe.h"
#include "stages/views.h"
#include "tests/helper_files.h"
#include "tools/command.h"

enum { GRAY, ROTATION, NOISE, SOBEL, QUESTIONS };
enum { TRAIN = 300, TEST = 40, IMAGES = TRAIN + TEST, SIDE = 16, PIXELS = SIDE * SIDE, FLOATS = 3 * PIXELS };

/* What was seen: views[question][image], training images first, and the answers. */
static float (*views)[IMAGES][FLOATS];
static int32_t answers[QUESTIONS][IMAGES];
static size_t forwards, first_image, fits;

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names */
void __real_net_forward(
	struct net *net, struct team *team, const float *x, uint32_t rows, enum net_mode mode, bool with_head);
void __wrap_net_forward(
	struct net *net, struct team *team, const float *x, uint32_t rows, enum net_mode mode, bool with_head);
int __real_probe_logistic_lbfgs(struct team *team, const struct probe_data *train, const struct probe_data *validation,
	const struct probe_data *test, unsigned dim, unsigned classes, const double *ridges, size_t ridge_count,
	struct probe_score *score, struct error *err);
int __wrap_probe_logistic_lbfgs(struct team *team, const struct probe_data *train, const struct probe_data *validation,
	const struct probe_data *test, unsigned dim, unsigned classes, const double *ridges, size_t ridge_count,
	struct probe_score *score, struct error *err);

/* Four views of a batch, one after the other. */
void __wrap_net_forward(
	struct net *net, struct team *team, const float *x, uint32_t rows, enum net_mode mode, bool with_head)
{
	assert_int_equal(mode, NET_EVAL);
	assert_true(first_image + rows <= IMAGES);
	memcpy(views[forwards % QUESTIONS][first_image], x, (size_t)rows * sizeof views[0][0]);
	if (++forwards % QUESTIONS == 0)
		first_image += rows;
	__real_net_forward(net, team, x, rows, mode, with_head);
}

/* A question's fit from h, then its fit from z, which must be told the same answers. */
int __wrap_probe_logistic_lbfgs(struct team *team, const struct probe_data *train, const struct probe_data *validation,
	const struct probe_data *test, unsigned dim, unsigned classes, const double *ridges, size_t ridge_count,
	struct probe_score *score, struct error *err)
{
	int32_t *told = answers[fits / 2];
	assert_true(fits < 2 * QUESTIONS);
	assert_int_equal(train->count, TRAIN);
	assert_int_equal(test->count, TEST);
	assert_int_equal(classes, fits / 2 == ROTATION ? 4 : 2);
	if (fits % 2 == 1) {
		assert_memory_equal(told, train->labels, TRAIN * sizeof *told);
		assert_memory_equal(told + TRAIN, test->labels, TEST * sizeof *told);
	}
	memcpy(told, train->labels, TRAIN * sizeof *told);
	memcpy(told + TRAIN, test->labels, TEST * sizeof *told);
	fits++;
	return __real_probe_logistic_lbfgs(
		team, train, validation, test, dim, classes, ridges, ridge_count, score, err);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void run(int (*command)(int argc, char **argv), const char *line)
{
	char text[2048], *argv[64];
	int argc = 0;
	snprintf(text, sizeof text, "%s", line);
	for (char *rest = text, *word; (word = strtok_r(rest, " ", &rest)) != NULL;)
		argv[argc++] = word;
	argv[argc] = NULL;
	assert_int_equal(command(argc, argv), EXIT_OK);
}

static double distance(const float *a, const float *b)
{
	double most = 0;
	for (int i = 0; i < FLOATS; i++)
		most = fmax(most, fabs((double)a[i] - (double)b[i]));
	return most;
}

static bool is_gray(const float *view)
{
	for (int i = 0; i < PIXELS; i++)
		if (view[3 * i] != view[3 * i + 1] || view[3 * i] != view[3 * i + 2])
			return false;
	return true;
}

/* The original: what stands in the view that is turned, turned back. */
static void check_image(size_t image)
{
	float original[FLOATS], expected[FLOATS], scratch[FLOATS];
	memcpy(original, views[ROTATION][image], sizeof original);
	assert_in_range(answers[ROTATION][image], 0, 3);
	if (answers[ROTATION][image] > 0)
		pixels_rotate90(original, SIDE, 4 - (uint32_t)answers[ROTATION][image]);

	const float *gray = views[GRAY][image], *noise = views[NOISE][image], *sobel = views[SOBEL][image];
	assert_int_equal(answers[GRAY][image], is_gray(gray));
	assert_int_equal(answers[NOISE][image], distance(noise, original) > 1e-4);
	assert_int_equal(answers[SOBEL][image], distance(sobel, original) > 1e-4);

	memcpy(expected, original, sizeof expected);
	if (answers[GRAY][image])
		pixels_gray(expected, PIXELS);
	assert_true(distance(gray, expected) < 1e-4);
	memcpy(expected, original, sizeof expected);
	if (answers[SOBEL][image])
		pixels_sobel(expected, SIDE, SIDE, scratch);
	assert_true(distance(sobel, expected) < 1e-4);
}

static void test_answers(void **state)
{
	(void)state;
	char line[1024], *folder = helper_folder_make();
	views = calloc(QUESTIONS, sizeof *views);
	assert_non_null(views);
	snprintf(line, sizeof line, "synth %s/images --train %d --test %d --size %d", folder, TRAIN, TEST, SIDE);
	run(command_synth, line);
	snprintf(line, sizeof line, "pack %s/images --root train -o %s/train.ring", folder, folder);
	run(command_pack, line);
	snprintf(line, sizeof line, "pack %s/images --root test -o %s/test.ring", folder, folder);
	run(command_pack, line);
	snprintf(line, sizeof line,
		"eval --encoder random --width 0.125 --size %d --method head-study --train %s/train.ring --test "
		"%s/test.ring",
		SIDE, folder, folder);
	run(command_eval, line);
	assert_int_equal(first_image, IMAGES);
	assert_int_equal(fits, 2 * QUESTIONS);
	size_t counts[QUESTIONS][4] = {{0}}, same = 0;
	for (size_t image = 0; image < IMAGES; image++) {
		check_image(image);
		for (int q = 0; q < QUESTIONS; q++)
			counts[q][answers[q][image]]++;
		same += image < TEST && answers[NOISE][image] == answers[NOISE][TRAIN + image];
	}
	/* Four standard deviations of the chances 0.2, 1/4, 1/2, 1/2, and of the two sets' draws being unlike. */
	assert_in_range(counts[GRAY][1], IMAGES / 5 - 30, IMAGES / 5 + 30);
	for (int turn = 0; turn < 4; turn++)
		assert_in_range(counts[ROTATION][turn], IMAGES / 4 - 32, IMAGES / 4 + 32);
	assert_in_range(counts[NOISE][1], IMAGES / 2 - 37, IMAGES / 2 + 37);
	assert_in_range(counts[SOBEL][1], IMAGES / 2 - 37, IMAGES / 2 + 37);
	assert_in_range(same, TEST / 2 - 13, TEST / 2 + 13);
	free(views);
	helper_folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
