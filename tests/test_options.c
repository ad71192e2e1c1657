/* SPDX-License-Identifier: Apache-2.0 */
/* The option table: flags, file, record, help, and every way to get them wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pipeline/nearest.h"
#include "tools/command.h"
#include "tools/options.h"

enum colour { RED, GREEN, BLUE };

struct paint {
	const char *output, *note, *extra;
	uint64_t epochs, seed, block;
	double rate, area;
	enum colour colour;
	bool json, shuffle;
	int untouched;
};

static const struct option_spec spec[] = {
	OPTION_GROUP("Output"),
	OPTION_STRING(struct paint, output, "output", "FILE", NULL, "where to", .letter = 'o', .required = true),
	OPTION_STRING(struct paint, note, "note", "TEXT", "none", "words"),
	OPTION_STRING(struct paint, extra, "extra", "TEXT", NULL, "more words", .repeats = true),
	OPTION_GROUP("Work"),
	OPTION_U64(struct paint, epochs, "epochs", "N", "100", 1, 1000, "how long"),
	OPTION_U64(struct paint, seed, "seed", "N", "0", 0, UINT64_MAX, "randomness"),
	OPTION_SIZE(struct paint, block, "block", "64K", 4096, 1 << 30, "of a block", .choices = "auto|none"),
	OPTION_DOUBLE(struct paint, rate, "rate", "RATE", "0.3", 0, 10, "learning rate"),
	OPTION_DOUBLE(struct paint, area, "area", "A", "0.08", -DBL_MAX, DBL_MAX, "least area"),
	OPTION_CHOICE(struct paint, colour, "colour", "red|green|blue", "green", "of the paint", .letter = 'c'),
	OPTION_FLAG(struct paint, json, "json", NULL, "one object", .letter = 'j', .incidental = true),
	OPTION_FLAG(struct paint, shuffle, "shuffle", "yes", "in random order"),
};

static const struct option_table table = {.command = "train",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Paints.",
	.operands = "IN",
	.operand_help = "what",
	.operand_min = 1,
	.operand_max = 2,
	.examples = "ringclr train x -o y\n"};

enum { MAX_ARGUMENTS = 20 };

/* Splits a line at blanks and reads it. */
static int read_line(struct options *options, struct paint *paint, const char *line, struct error *err)
{
	static char text[512];
	static char *argv[MAX_ARGUMENTS + 1];
	int argc = 0;
	snprintf(text, sizeof(text), "train %s", line);
	for (char *rest = text, *word; (word = strsep(&rest, " ")) != NULL && argc < MAX_ARGUMENTS;)
		argv[argc++] = word;
	argv[argc] = NULL;
	*err = (struct error){0};
	paint->untouched = 7;
	return options_read(options, &table, paint, argc, argv, err);
}

static void expect_good(struct options *options, struct paint *paint, const char *line)
{
	struct error err;
	int rc = read_line(options, paint, line, &err);
	if (rc != 0)
		print_error("%s: %s\n", line, err.message);
	assert_int_equal(rc, 0);
	assert_int_equal(paint->untouched, 7);
}

static void expect_bad(const char *line, const char *first, const char *second)
{
	struct options options;
	struct paint paint;
	struct error err;
	int rc = read_line(&options, &paint, line, &err);
	options_free(&options);
	if (strstr(err.message, first) == NULL || strstr(err.message, second) == NULL)
		fail_msg("'%s' says '%s', which lacks '%s' or '%s'", line, err.message, first, second);
	assert_int_equal(rc, ERROR_USAGE);
}

static void test_defaults(void **state)
{
	(void)state;
	struct options options;
	struct paint paint;
	expect_good(&options, &paint, "in -o x");
	assert_string_equal(paint.output, "x");
	assert_string_equal(paint.note, "none");
	assert_int_equal(paint.epochs, 100);
	assert_int_equal(paint.block, 65536);
	assert_true(paint.rate == 0.3);
	assert_int_equal(paint.colour, GREEN);
	assert_false(paint.json);
	assert_true(paint.shuffle);
	assert_int_equal(options_origin(&options, "epochs"), OPTION_DEFAULT);
	assert_false(options_given(&options, "epochs"));
	assert_true(options_given(&options, "output"));
	options_free(&options);
}

static void test_forms(void **state)
{
	(void)state;
	struct options options;
	struct paint paint;
	expect_good(
		&options, &paint, "-oa --epochs=5 in1 --seed 18446744073709551615 --colour blue in2 --no-shuffle -j");
	assert_string_equal(paint.output, "a");
	assert_int_equal(paint.epochs, 5);
	assert_true(paint.seed == UINT64_MAX);
	assert_int_equal(paint.colour, BLUE);
	assert_false(paint.shuffle);
	assert_true(paint.json);
	assert_int_equal(options.operand_count, 2);
	assert_string_equal(options.operands[0], "in1");
	assert_string_equal(options.operands[1], "in2");
	options_free(&options);

	/* The last one wins; values may look like options; "-" and what follows "--" are operands. */
	expect_good(&options, &paint,
		"--output=--x --note -1 --epochs 5 --epochs 6 --json=no --shuffle=off -c red - -- --y");
	assert_string_equal(paint.output, "--x");
	assert_string_equal(paint.note, "-1");
	assert_int_equal(paint.epochs, 6);
	assert_false(paint.json);
	assert_false(paint.shuffle);
	assert_int_equal(paint.colour, RED);
	assert_string_equal(options.operands[0], "-");
	assert_string_equal(options.operands[1], "--y");
	options_free(&options);
}

static void test_numbers(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {{"4096", 4096}, {"64K", 65536}, {"64k", 65536}, {"64KiB", 65536}, {"64KB", 65536},
		{"1.5M", 1572864}, {"1G", 1 << 30}, {"0.5G", 1 << 29}, {"auto", OPTION_WORD(0)},
		{"none", OPTION_WORD(1)}};
	struct options options;
	struct paint paint;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char line[64];
		snprintf(line, sizeof(line), "in -o x --block %s", sizes[i].text);
		expect_good(&options, &paint, line);
		assert_int_equal(paint.block, sizes[i].bytes);
		options_free(&options);
	}
	expect_good(&options, &paint, "in -o x --rate 1e-6 --area -.5");
	assert_true(paint.rate == 1e-6 && paint.area == -0.5);
	options_free(&options);
}

static void test_mistakes(void **state)
{
	(void)state;
	expect_bad("in -o x --epochs 0", "--epochs 0", "1 to 1000");
	expect_bad("in -o x --epochs=1001", "--epochs=1001", "1 to 1000");
	expect_bad("in -o x --epochs -1", "--epochs -1", "whole number");
	expect_bad("in -o x --epochs 1.5", "--epochs 1.5", "whole number");
	expect_bad("in -o x --epochs=", "--epochs=", "whole number");
	expect_bad("in -o x --seed 18446744073709551616", "--seed", "whole number");
	expect_bad("in -o x --rate 10.1", "--rate 10.1", "0 to 10");
	expect_bad("in -o x --rate nan", "--rate nan", "number");
	expect_bad("in -o x --rate inf", "--rate inf", "number");
	expect_bad("in -o x --rate 1x", "--rate 1x", "number");
	expect_bad("in -o x --rate 0x10", "--rate 0x10", "number");
	expect_bad("in -o x --block 4095", "--block 4095", "4096 to 1073741824");
	expect_bad("in -o x --block 64Q", "--block 64Q", "size");
	expect_bad("in -o x --block -4K", "--block -4K", "size");
	expect_bad("in -o x --block 0.0001K", "--block 0.0001K", "size");
	expect_bad("in -o x --block 99999999999G", "--block", "size");
	expect_bad("in -o x --colour gre", "--colour gre", "red|green|blue");
	expect_bad("in -o x --colour greenish", "--colour greenish", "red|green|blue");
	expect_bad("in -o x --json=maybe", "--json=maybe", "yes or no");
	expect_bad("in -o x --epoch 3", "--epoch", "did you mean --epochs?");
	expect_bad("in -o x --eopchs 3", "--eopchs", "did you mean --epochs?");
	expect_bad("in -o x --shufle", "--shufle", "did you mean --shuffle?");
	expect_bad("in -o x --confg=3", "--confg", "did you mean --config?");
	expect_bad("in -o x --zzzzzz 3", "--zzzzzz", "--help");
	expect_bad("in -o x --no-epochs", "--no-epochs", "no such option");
	expect_bad("in -o x --Output 3", "--Output", "did you mean --output?");
	expect_bad("in -o x -q", "-q", "no such option");
	expect_bad("in -o x --epochs", "--epochs", "needs a value");
	expect_bad("in -o --epochs", "-o", "needs a value");
	expect_bad("in", "--output", "FILE");
	expect_bad("-o x", "IN", "missing");
	expect_bad("a b c -o x", "'c'", "2 IN");
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static char folder[] = "/tmp/ringclr-test-options.XXXXXX";
static char config[64];

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(config, sizeof(config), "%s/a.ini", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(config);
	return rmdir(folder);
}

static void test_file(void **state)
{
	(void)state;
	struct options options;
	struct paint paint;
	char line[256];
	write_file(config, "# a comment\nepochs = 7\n  rate: 0.5\n\n; another\nblock=1M\nnote = two words\n"
			   "[train]\njson = yes\ncolour = red\n[pack]\ncodec = keep\nepochs = 9999\n");
	snprintf(line, sizeof(line), "in --epochs 8 --config %s -o x", config);
	expect_good(&options, &paint, line);
	assert_int_equal(paint.epochs, 8);
	assert_true(paint.rate == 0.5);
	assert_int_equal(paint.block, 1 << 20);
	assert_string_equal(paint.note, "two words");
	assert_true(paint.json);
	assert_int_equal(paint.colour, RED);
	assert_int_equal(options_origin(&options, "epochs"), OPTION_FROM_FLAG);
	assert_int_equal(options_origin(&options, "rate"), OPTION_FROM_FILE);
	options_free(&options);

	/* A needed option may come from the file. */
	write_file(config, "output = y\n");
	snprintf(line, sizeof(line), "in --config=%s", config);
	expect_good(&options, &paint, line);
	assert_string_equal(paint.output, "y");
	options_free(&options);
}

static void expect_bad_file(const char *text, const char *first, const char *second)
{
	char line[256];
	write_file(config, text);
	snprintf(line, sizeof(line), "in -o x --config %s", config);
	expect_bad(line, first, second);
}

static void test_file_mistakes(void **state)
{
	(void)state;
	char longest[400];
	expect_bad_file("\nepochs = 0\n", "a.ini:2: epochs = 0", "1 to 1000");
	expect_bad_file("eopchs = 3\n", "a.ini:1: eopchs = 3", "did you mean epochs?");
	expect_bad_file("epochs = 3\nrate = 1\nepochs = 3\n", "a.ini:3: epochs = 3", "line 1");
	expect_bad_file("epochs = 3\nrate\n", "a.ini:2", "name = value");
	expect_bad_file("[trian]\nepochs = 3\n", "a.ini:2", "[trian]");
	expect_bad_file("config = b.ini\n", "a.ini:1", "no such option");
	memset(longest, 'a', sizeof(longest) - 1);
	memcpy(longest, "note = ", 7);
	longest[sizeof(longest) - 1] = '\0';
	expect_bad_file(longest, "a.ini:1", "longer");

	struct options options;
	struct paint paint;
	struct error err;
	assert_int_equal(read_line(&options, &paint, "in -o x --config /nowhere/a.ini", &err), ERROR_IO);
	assert_non_null(strstr(err.message, "/nowhere/a.ini: No such file"));
	options_free(&options);
}

static void test_record(void **state)
{
	(void)state;
	struct options options, again;
	struct paint paint, other;
	struct error err = {0};
	expect_good(&options, &paint,
		"in -o x --seed 18446744073709551615 --rate 0.1 --epochs 3 --block none --colour blue --no-shuffle "
		"--json --area "
		"1e300");
	cJSON *made = options_record(&options);
	char *text = cJSON_PrintUnformatted(made);
	cJSON_Delete(made);
	assert_non_null(strstr(text, "\"epochs\":{\"value\":3,\"origin\":\"flag\"}"));
	assert_non_null(strstr(text, "\"block\":{\"value\":\"none\",\"origin\":\"flag\"}"));
	assert_non_null(strstr(text, "\"note\":{\"value\":\"none\",\"origin\":\"default\"}"));
	assert_non_null(strstr(text, "\"json\":{\"value\":true,\"origin\":\"flag\"}"));
	cJSON *record = cJSON_Parse(text);
	cJSON_free(text);
	assert_int_equal(options_compare(&options, record, NULL, &err), 0);

	/* What is given now stays, the rest comes from the record. */
	static const char *const except[] = {"colour", NULL};
	expect_good(&again, &other, "in -o y --epochs 4");
	assert_int_equal(options_restore(&again, record, except, &err), 0);
	assert_string_equal(other.output, "y");
	assert_false(other.json); /* incidental: recorded, but neither restored nor compared */
	assert_int_equal(other.epochs, 4);
	assert_true(other.seed == UINT64_MAX && other.rate == 0.1 && other.area == 1e300 && !other.shuffle);
	assert_int_equal(other.colour, GREEN);
	assert_int_equal(options_origin(&again, "seed"), OPTION_FROM_RECORD);
	assert_false(options_given(&again, "seed"));

	static const char *const three[] = {"colour", "output", "epochs", NULL};
	assert_int_equal(options_compare(&again, record, three, &err), 0);
	assert_int_equal(options_compare(&again, record, three + 1, &err), ERROR_MISMATCH);
	assert_non_null(strstr(err.message, "--colour is green now, but was blue"));
	err = (struct error){0};
	static const char *const two[] = {"colour", "output", NULL};
	assert_int_equal(options_compare(&again, record, two, &err), ERROR_MISMATCH);
	assert_non_null(strstr(err.message, "--epochs is 4 now, but was 3"));
	cJSON_Delete(record);
	options_free(&options);
	options_free(&again);

	/* A record that was tampered with does not get past the ranges. */
	err = (struct error){0};
	expect_good(&again, &other, "in -o y");
	record = cJSON_Parse("{\"epochs\":{\"value\":5000},\"rate\":{\"value\":null},\"unknown\":{\"value\":1}}");
	assert_int_equal(options_restore(&again, record, NULL, &err), ERROR_MISMATCH);
	assert_non_null(strstr(err.message, "1 to 1000"));
	cJSON_Delete(record);
	options_free(&again);
}

static void test_help(void **state)
{
	(void)state;
	struct options options;
	struct paint paint;
	struct error err;
	assert_int_equal(read_line(&options, &paint, "--epochs 0 --help", &err), 1);
	options_free(&options);
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	options_help(&table, out);
	fclose(out);
	static const char *const wanted[] = {"usage: ringclr train [OPTION]... IN... --output FILE\n", "\nPaints.\n",
		"\nOutput:\n  -o, --output FILE         where to [required]\n", "\nWork:\n",
		"how long [default 100; 1 to 1000]", "randomness [default 0]", "of a block [default 64K; 4K to 1G]",
		"learning rate [default 0.3; 0 to 10]", "least area [default 0.08]\n", "--colour red|green|blue\n",
		"--block auto|none|SIZE", "of the paint [default green]", "-j, --json                one object\n",
		"--[no-]shuffle        in random order [default yes]\n", "--config FILE", "-h, --help",
		"\nExamples:\n  ringclr train x -o y\n"};
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (strstr(text, wanted[i]) == NULL)
			fail_msg("the help lacks '%s':\n%s", wanted[i], text);
	}
	for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 96);
	free(text);
}

/* A table that shares the entries of another has defaults and texts of its own, and in all else behaves like it. */
static void test_presets(void **state)
{
	(void)state;
	static const struct option_preset presets[] = {
		{"epochs", "30", "how long, for once"}, {"colour", "blue", NULL}, {NULL, NULL, NULL}};
	struct option_table other = table;
	other.presets = presets;
	char *argv[] = {"train", "x", "-o", "y", NULL};
	struct options options;
	struct paint paint;
	struct error err = {0};
	assert_int_equal(options_read(&options, &other, &paint, 4, argv, &err), 0);
	assert_int_equal(paint.epochs, 30);
	assert_int_equal(paint.colour, BLUE);
	assert_int_equal(paint.seed, 0);
	assert_int_equal(options_origin(&options, "epochs"), OPTION_DEFAULT);
	options_free(&options);
	char *given[] = {"train", "x", "-o", "y", "--epochs", "7", NULL};
	assert_int_equal(options_read(&options, &other, &paint, 6, given, &err), 0);
	assert_int_equal(paint.epochs, 7);
	options_free(&options);
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	options_help(&other, out);
	fclose(out);
	assert_non_null(strstr(text, "how long, for once [default 30; 1 to 1000]"));
	assert_non_null(strstr(text, "of the paint [default blue]"));
	assert_non_null(strstr(text, "learning rate [default 0.3; 0 to 10]"));
	free(text);
}

static void test_nearest(void **state)
{
	(void)state;
	static const char *const words[] = {"pack", "inspect", "verify", "train"};
	assert_string_equal(nearest_word("pakc", words, 4), "pack");
	assert_string_equal(nearest_word("ins", words, 4), "inspect");
	assert_string_equal(nearest_word("trian", words, 4), "train");
	static const char *const swapped[] = {"in", "to"};
	assert_string_equal(nearest_word("ot", swapped, 2), "to");
	assert_null(nearest_word("x", words, 4));
	assert_null(nearest_word("nothing", words, 4));
	assert_null(nearest_word("a-name-longer-than-any-word-could-reasonably-be-and-more", words, 4));
}

/* Flags of an option that repeats are joined; a flag still takes the place of what the file says. */
static void test_repeats(void **state)
{
	(void)state;
	struct options options;
	struct paint paint;
	struct error err;
	assert_int_equal(read_line(&options, &paint, "a -o b --extra x=1 --extra=y=2 --note p --note q", &err), 0);
	assert_string_equal(paint.extra, "x=1 y=2");
	assert_string_equal(paint.note, "q");
	options_free(&options);
	assert_int_equal(read_line(&options, &paint, "a -o b --extra z", &err), 0);
	assert_string_equal(paint.extra, "z");
	options_free(&options);
	assert_int_equal(read_line(&options, &paint, "a -o b", &err), 0);
	assert_null(paint.extra);
	options_free(&options);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_file_mistakes),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_presets),
		cmocka_unit_test(test_repeats),
		cmocka_unit_test(test_nearest),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
