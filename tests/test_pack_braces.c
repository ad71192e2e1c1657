/* SPDX-License-Identifier: Apache-2.0 */
/* Brace ranges in names of inputs: the same names, in the same order, as bash makes of them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/pack_braces.h"

static const char *const patterns[] = {"train-{000000..000146}.tar", "{a,b}/x-{1..3}.tar", "x{a,b{1..2}}y{3,4}",
	"{10..1..3}", "{01..100..33}", "{-2..2}", "{c..a}", "{a..e..2}", "plain.tar", "{one}", "{}", "{a", "a}", "{a,b",
	"{{a,b}", "{x{a,b}y}", "{,a}z", "{a,}x{b,}", "{1..3}{1..3}", "{{1..3},{7..9}}", "{a,{b,{c,{d,e}}}}", "{1...3}",
	"{1..x}", "{..}", "{0..0}", "{008..011}"};

static void expands_as_bash(void **state)
{
	(void)state;
	if (system("command -v bash >/dev/null") != 0) {
		print_message("no bash\n");
		skip();
	}
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		struct pack_inputs inputs = {0};
		char command[200], line[200];
		assert_int_equal(pack_braces_expand(&inputs, patterns[i], NULL), 0);
		snprintf(command, sizeof(command), "exec bash -c 'printf \"%%s\\n\" %s'", patterns[i]);
		FILE *bash = popen(command, "r");
		assert_non_null(bash);
		size_t count = 0;
		while (fgets(line, sizeof(line), bash) != NULL) {
			line[strcspn(line, "\n")] = '\0';
			assert_true(count < inputs.count);
			assert_string_equal(inputs.names[count++], line);
		}
		assert_int_equal(pclose(bash), 0);
		assert_int_equal(count, inputs.count);
		pack_inputs_free(&inputs);
	}
}

static void is_bounded(void **state)
{
	(void)state;
	char doubled[120] = ""; /* 2 to the 21st words */
	for (int i = 0; i < 21; i++)
		memcpy(doubled + 5 * i, "{a,b}", 6);
	const char *const too_many[] = {"{1..999999999999}", "{1..1000}{1..1000}", doubled};
	for (size_t i = 0; i < sizeof(too_many) / sizeof(too_many[0]); i++) {
		struct pack_inputs inputs = {0};
		struct error err = {0};
		assert_int_equal(pack_braces_expand(&inputs, too_many[i], &err), ERROR_USAGE);
		assert_non_null(strstr(err.message, "100000"));
		pack_inputs_free(&inputs);
	}
	char deep[5000];
	memset(deep, '{', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	struct pack_inputs inputs = {0};
	assert_int_equal(pack_braces_expand(&inputs, deep, NULL), ERROR_USAGE);
	deep[PACK_BRACES_MAX_LENGTH] = '\0';
	assert_int_equal(pack_braces_expand(&inputs, deep, NULL), 0);
	assert_int_equal(inputs.count, 1);
	pack_inputs_free(&inputs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(expands_as_bash), cmocka_unit_test(is_bounded)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
