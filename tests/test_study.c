/* SPDX-License-Identifier: Apache-2.0 */
/* Studies: lines and sizes, options taken apart, axes and what values mean, cells, mirrors, and what may not change. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"
#include "tools/sweep_job.h"

static char folder[256], path[300];

static void write_text(const char *text)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

/* A plan of the text, which must be sound. */
static struct sweep_plan *plan_of(const char *text, enum study_size size, const char *set)
{
	static struct sweep_plan plan;
	struct error err = {0};
	write_text(text);
	if (sweep_plan_make(&plan, path, size, set, NULL, &err) < 0)
		fail_msg("%s", err.message);
	return &plan;
}

static void refused(const char *text, const char *message)
{
	static struct sweep_plan plan;
	struct error err = {0};
	write_text(text);
	assert_int_equal(sweep_plan_make(&plan, path, STUDY_TINY, NULL, NULL, &err), ERROR_USAGE);
	if (!strstr(err.message, message))
		fail_msg("'%s' is not in '%s'", message, err.message);
	sweep_plan_free(&plan);
}

static void lines_and_sizes(void **state)
{
	(void)state;
	struct study study;
	struct error err = {0};
	write_text("[base]\nepochs = 5\n  batch = 32   ; of one step\n# no\n[tiny]\nwidth = 0.5\nepochs = 2\n"
		   "[paper]\nbatch = 4096\n[axis look tiny]\na = --lr 1\n[prepare start paper]\nlr = 3\n");
	assert_int_equal(study_read(&study, path, &err), 0);
	assert_int_equal(study.count, 7);
	assert_string_equal(study.name, "study");
	assert_string_equal(study_find(&study, "base", "", "epochs", STUDY_TINY)->value, "2");
	assert_string_equal(study_find(&study, "base", "", "epochs", STUDY_PAPER)->value, "5");
	assert_string_equal(study_find(&study, "base", "", "batch", STUDY_TINY)->value, "32");
	assert_string_equal(study_find(&study, "base", "", "batch", STUDY_PAPER)->value, "4096");
	assert_null(study_find(&study, "base", "", "width", STUDY_PAPER));
	assert_int_equal(study_find(&study, "axis", "look", "a", STUDY_TINY)->line, 11);
	assert_null(study_find(&study, "axis", "look", "a", STUDY_PAPER));
	assert_non_null(study_find(&study, "prepare", "start", "lr", STUDY_PAPER));
	/* Each once, in the order of the file, by the line that holds. */
	static const char *const names[] = {"epochs", "batch", "width"};
	static const char *const values[] = {"2", "32", "0.5"};
	size_t place = 0;
	for (unsigned i = 0; i < 3; i++) {
		const struct study_line *line = study_each(&study, &place, "base", "", STUDY_TINY);
		assert_non_null(line);
		assert_string_equal(line->name, names[i]);
		assert_string_equal(line->value, values[i]);
	}
	assert_null(study_each(&study, &place, "base", "", STUDY_TINY));
	study_free(&study);
}

static void pieces(void **state)
{
	(void)state;
	struct study study = {.path = ""};
	struct error err = {0};
	const char *rest = "  a b,c ,, d";
	assert_string_equal(study_piece(&study, &rest, ",", &err), "a b");
	assert_string_equal(study_piece(&study, &rest, ",", &err), "c");
	assert_string_equal(study_piece(&study, &rest, ",", &err), "");
	assert_string_equal(study_piece(&study, &rest, ",", &err), "d");
	assert_null(study_piece(&study, &rest, ",", &err));
	rest = "0.1, 1 x l2";
	assert_string_equal(study_piece(&study, &rest, " x ", &err), "0.1, 1");
	assert_string_equal(study_piece(&study, &rest, " x ", &err), "l2");
	assert_null(study_piece(&study, &rest, " x ", &err));
	assert_int_equal(err.code, 0);
	study_free(&study);
}

static void options_taken_apart(void **state)
{
	(void)state;
	struct study study = {.path = ""};
	struct study_options options = {0};
	struct error err = {0};
	const char *text = "--views \"crop | 'x'\" --lr=0.5  --direct --no-check-hashes --lr 2 --temperature {t}";
	assert_int_equal(study_options_parse(&options, &study, &command_train_table, text, "here", &err), 0);
	assert_int_equal(options.count, 5);
	assert_string_equal(study_options_get(&options, "views"), "crop | 'x'");
	assert_string_equal(study_options_get(&options, "lr"), "2");
	assert_string_equal(study_options_get(&options, "direct"), "yes");
	assert_string_equal(study_options_get(&options, "check-hashes"), "no");
	assert_string_equal(study_options_get(&options, "temperature"), "{t}");
	assert_null(study_options_get(&options, "batch"));
	static const char *const wrong[][2] = {
		{"--lr", "here: --lr needs a value"},
		{"lr 1", "here: 'lr' stands where an option"},
		{"--lr fast", "here: --lr fast: must be a number"},
		{"--views 'crop", "here: a ' is not closed"},
		{"--output x", "here: --output is the sweep's own"},
		{"--no-lr", "here: --no-lr: no such option"},
	};
	for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		err = (struct error){0};
		assert_int_equal(study_options_parse(&options, &study, &command_train_table, wrong[i][0], "here", &err),
			ERROR_USAGE);
		if (!strstr(err.message, wrong[i][1]))
			fail_msg("'%s' is not in '%s'", wrong[i][1], err.message);
	}
	assert_true(study_option_incidental(&command_train_table, "threads"));
	assert_false(study_option_incidental(&command_train_table, "lr"));
	study_options_clear(&options);
	study_free(&study);
}

static void values_and_cells(void **state)
{
	(void)state;
	struct sweep_plan *plan =
		plan_of("[study]\nseeds = 4, 7\n[base]\nlr = 0.25\nviews = crop {how} {more}\nepochs = 9\n"
			"[grid]\nbatch = 8, big\nhow = gray, none\nmore = a, b\n"
			"[axis batch]\nbig = --batch 64 --lr 1\n[axis how]\nnone =\n"
			"[axis more]\na = flip@1\nb = blur\n",
			STUDY_TINY, "epochs=3 \"window=8\"");
	assert_int_equal(plan->axis_count, 3);
	assert_int_equal(plan->cell_count, 8);
	assert_int_equal(plan->seed_count, 2);
	assert_int_equal(plan->seeds[1], 7);
	assert_int_equal(sweep_plan_run_count(plan), 16);
	/* The last axis runs fastest. */
	assert_string_equal(plan->cells[0].name, "batch=8,how=gray,more=a");
	assert_string_equal(plan->cells[1].name, "batch=8,how=gray,more=b");
	assert_string_equal(plan->cells[7].name, "batch=big,how=none,more=b");
	assert_string_equal(study_options_get(&plan->cells[0].options, "views"), "crop gray flip@1");
	assert_string_equal(study_options_get(&plan->cells[0].options, "batch"), "8");
	assert_string_equal(study_options_get(&plan->cells[0].options, "lr"), "0.25");
	assert_string_equal(study_options_get(&plan->cells[7].options, "batch"), "64");
	assert_string_equal(study_options_get(&plan->cells[7].options, "lr"), "1");
	assert_string_equal(study_options_get(&plan->cells[7].options, "views"), "crop  blur");
	assert_string_equal(study_options_get(&plan->cells[7].options, "epochs"), "3");
	assert_string_equal(study_options_get(&plan->cells[7].options, "window"), "8");
	/* Without [evaluate] and [figure]. */
	assert_int_equal(plan->measure_count, 2);
	assert_string_equal(plan->measures[0].name, "linear");
	assert_string_equal(plan->figure.x, "batch");
	sweep_plan_free(plan);
}

static void blocks(void **state)
{
	(void)state;
	struct sweep_plan *plan =
		plan_of("[grid]\ntemperature = 0.1, 0.5, 1\nmodel = resnet18, resnet34\n"
			"[cells]\nall = * x resnet34\none = 0.5, 1 x resnet18, resnet34\n"
			"[evaluate]\nbest = metrics.top1 | metrics.linear\nfive = eval.top5 --method linear\n",
			STUDY_TINY, NULL);
	assert_int_equal(plan->cell_count, 5);
	assert_string_equal(plan->cells[0].name, "temperature=0.1,model=resnet34");
	assert_string_equal(plan->cells[3].name, "temperature=0.5,model=resnet18");
	assert_string_equal(plan->measures[0].fields, "top1 linear");
	assert_false(plan->measures[0].eval);
	assert_true(plan->measures[1].eval);
	assert_string_equal(plan->measures[1].fields, "top5");
	assert_string_equal(study_options_get(&plan->measures[1].options, "method"), "linear");
	assert_ptr_equal(sweep_step_measure(plan, 1), &plan->measures[1]);
	assert_null(sweep_step_measure(plan, 2));
	sweep_plan_free(plan);
	refused("[grid]\nlr = 1, 2\nbatch = 8\n[cells]\na = 1 x 9\n", "axis batch has no value '9'");
	refused("[grid]\nlr = 1, 2\nbatch = 8\n[cells]\na = 1\n", "each of the 2 axes");
	refused("[grid]\nlr = a/b, a-b\n[axis lr]\na/b = 1\na-b = 2\n", "the same folder, lr=a-b");
	refused("[base]\nlr = 1\n", "has no axis");
}

static void mirrors(void **state)
{
	(void)state;
	struct sweep_plan *plan = plan_of("[study]\npairs = one, two\n[base]\nviews = center {one} {two}\n"
					  "[grid]\none = gray, flip, blur\ntwo = gray, flip, blur\nlr = 1, 2\n",
		STUDY_TINY, NULL);
	assert_int_equal(plan->cell_count, 18);
	assert_int_equal(sweep_plan_run_count(plan), 12);
	for (unsigned i = 0; i < plan->cell_count; i++) {
		const struct sweep_cell *cell = &plan->cells[i];
		assert_int_equal(cell->mirror_of >= 0, cell->place[0] > cell->place[1]);
		if (cell->mirror_of < 0)
			continue;
		const struct sweep_cell *run = &plan->cells[cell->mirror_of];
		assert_int_equal(run->place[0], cell->place[1]);
		assert_int_equal(run->place[1], cell->place[0]);
		assert_int_equal(run->place[2], cell->place[2]);
	}
	assert_string_equal(study_options_get(&plan->cells[0].options, "views"), "center gray");
	assert_string_equal(study_options_get(&plan->cells[2].options, "views"), "center gray flip");
	sweep_plan_free(plan);
	refused("[study]\npairs = one, two\n[base]\nviews = center {one} {two}\n[grid]\none = gray, flip\ntwo = flip, "
		"gray\n",
		"must list the same values in the same order");
}

static void comparison(void **state)
{
	(void)state;
	static const char *const text = "[study]\nseeds = 1, 2\n[base]\nlr = 1\n[grid]\nbatch = 8, 16\n";
	struct error err = {0};
	struct sweep_plan *plan = plan_of(text, STUDY_TINY, "threads=3");
	cJSON *then = sweep_plan_json(plan, &err);
	sweep_plan_free(plan);
	static const struct {
		const char *text, *set, *message; /* NULL: nothing is wrong with it */
	} cases[] = {
		{"[study]\nseeds = 1, 2\n[base]\nlr = 1\n[grid]\nbatch = 8, 16\n", "threads=1", NULL},
		{"[study]\nseeds = 2, 1, 3\ntitle = T\n[base]\nlr = 1\n[grid]\nbatch = 4, 8, 16\n", NULL, NULL},
		{"[study]\nseeds = 1, 2\n[base]\nlr = 2\n[grid]\nbatch = 8, 16\n", NULL, "--lr is 2 now, but was 1"},
		{"[study]\nseeds = 1, 2\n[base]\n[grid]\nbatch = 8, 16\n", NULL, "--lr is not set now, but was 1"},
		{"[study]\nseeds = 1, 2\n[base]\nlr = 1\nwidth = 2\n[grid]\nbatch = 8, 16\n", NULL,
			"--width is 2 now, but was not set"},
		{"[study]\nseeds = 1, 2\n[base]\nlr = 1\n[grid]\nbatch = 8, 32\n", NULL, "cell batch=16 was part"},
		{"[study]\nseeds = 1\n[base]\nlr = 1\n[grid]\nbatch = 8, 16\n", NULL, "seed 2 was one"},
		{"[study]\nseeds = 1, 2\n[base]\nlr = 1\n[grid]\nbatch = 8, 16\n[evaluate]\nlinear =\nknn =\nloss =\n",
			NULL, "[evaluate] loss is not as it was"},
	};
	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		plan = plan_of(cases[i].text, STUDY_TINY, cases[i].set);
		cJSON *now = sweep_plan_json(plan, &err);
		err = (struct error){0};
		int code = sweep_folder_compare(plan, then, now, &err);
		assert_int_equal(code, cases[i].message ? ERROR_MISMATCH : 0);
		if (cases[i].message && !strstr(err.message, cases[i].message))
			fail_msg("'%s' is not in '%s'", cases[i].message, err.message);
		err = (struct error){0};
		cJSON_Delete(now);
		sweep_plan_free(plan);
	}
	cJSON_Delete(then);
}

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof folder, "%s/ringclr-study.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/study.ini", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	remove(path);
	return remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_and_sizes),
		cmocka_unit_test(pieces),
		cmocka_unit_test(options_taken_apart),
		cmocka_unit_test(values_and_cells),
		cmocka_unit_test(blocks),
		cmocka_unit_test(mirrors),
		cmocka_unit_test(comparison),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
