/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every protocol of `ringclr eval` holds the encoder's bytes against what they were: whole evaluations in this process,
 * where the linker's --wrap leads net_forward here (see the Makefile). Left alone they end well. When one bit of a
 * weight, or of a running statistic, changes in a forward, they fail, and say why.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/net.h"
#include "tests/helper_files.h"
#include "tools/command.h"

enum tamper { TAMPER_NOTHING, TAMPER_WEIGHT, TAMPER_STATISTIC };

static enum tamper tamper;
static char *folder;

static void flip(float *value)
{
	uint32_t bits;
	memcpy(&bits, value, sizeof bits);
	bits ^= 1;
	memcpy(value, &bits, sizeof bits);
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names */
void __real_net_forward(
	struct net *net, struct team *team, const float *x, uint32_t rows, enum net_mode mode, bool with_head);
void __wrap_net_forward(
	struct net *net, struct team *team, const float *x, uint32_t rows, enum net_mode mode, bool with_head);

void __wrap_net_forward(
	struct net *net, struct team *team, const float *x, uint32_t rows, enum net_mode mode, bool with_head)
{
	__real_net_forward(net, team, x, rows, mode, with_head);
	if (tamper == TAMPER_WEIGHT)
		flip(net_param(net, net_param_count(net) / 2)->value);
	if (tamper == TAMPER_STATISTIC)
		flip(net_buffer(net, net_buffer_count(net) - 1)->value);
	tamper = TAMPER_NOTHING; /* once */
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* Runs a command of words between blanks, %s being the folder; its exit code. */
__attribute__((format(printf, 2, 3))) static int run(int (*command)(int argc, char **argv), const char *format, ...)
{
	char text[2048], *argv[64];
	int argc = 0;
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	for (char *rest = text, *word; (word = strtok_r(rest, " ", &rest)) != NULL;)
		argv[argc++] = word;
	argv[argc] = NULL;
	return command(argc, argv);
}

struct evaluation {
	const char *more;
	int status;
};

static void evaluate(void *ctx)
{
	struct evaluation *evaluation = ctx;
	evaluation->status = run(command_eval, "eval %s/run --train %s/train.ring --test %s/test.ring --threads 2 %s",
		folder, folder, folder, evaluation->more);
}

static void check(const char *more)
{
	struct evaluation evaluation = {.more = more};
	tamper = TAMPER_NOTHING;
	evaluate(&evaluation);
	assert_int_equal(evaluation.status, EXIT_OK);
	for (enum tamper kind = TAMPER_WEIGHT; kind <= TAMPER_STATISTIC; kind++) {
		tamper = kind;
		char *said = helper_stderr_of(evaluate, &evaluation);
		assert_int_equal(evaluation.status, EXIT_FAILED);
		assert_int_equal(tamper, TAMPER_NOTHING);
		assert_non_null(strstr(said, "the evaluation changed the encoder"));
		free(said);
	}
}

static void test_knn(void **state)
{
	(void)state;
	check("--method knn");
	check("--method knn --features z");
}

static void test_lbfgs(void **state)
{
	(void)state;
	check("--method linear --limit-images 30 --features head1");
}

static void test_sgd(void **state)
{
	(void)state;
	check("--method linear --solver sgd --epochs 2 --batch 16");
}

static void test_head_study(void **state)
{
	(void)state;
	check("--method head-study");
}

static int set_up(void **state)
{
	(void)state;
	folder = helper_folder_make();
	return run(command_synth, "synth %s/images --train 60 --test 20 --size 16", folder) != EXIT_OK ||
	       run(command_pack, "pack %s/images --root train -o %s/train.ring", folder, folder) != EXIT_OK ||
	       run(command_pack, "pack %s/images --root test -o %s/test.ring", folder, folder) != EXIT_OK ||
	       run(command_train,
		       "train %s/train.ring -o %s/run --size 16 --width 0.125 --batch 16 --epochs 1 --head-dim 16 "
		       "--quiet",
		       folder, folder) != EXIT_OK;
}

static int tear_down(void **state)
{
	(void)state;
	helper_folder_remove(folder);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_knn),
		cmocka_unit_test(test_lbfgs),
		cmocka_unit_test(test_sgd),
		cmocka_unit_test(test_head_study),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
