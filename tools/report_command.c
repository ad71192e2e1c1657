/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr report: one page of one run, of several side by side, or of a sweep. */
#include "tools/report_page.h"

#include "tools/command.h"
#include "tools/json.h"
#include "tools/report_read.h"

static const struct option_spec spec[] = {
	OPTION_STRING(struct report_options, output, "output", "FILE.html", NULL, "page to write", .letter = 'o',
		.required = true),
	OPTION_STRING(struct report_options, title, "title", "TEXT", NULL, "heading of the page"),
	OPTION_FLAG(struct report_options, quiet, "quiet", "no", "do not say what is done", .incidental = true),
	OPTION_FLAG(
		struct report_options, json, "json", "no", "print the result as one JSON object", .incidental = true),
	OPTION_GROUP("Pictures of a run"),
	OPTION_FLAG(struct report_options, pictures, "pictures", "yes",
		"also what needs the images: sample views, nearest neighbours, a map of the features, the confusion of "
		"kNN"),
	OPTION_STRING(struct report_options, data, "data", "SHARD", NULL,
		"training images, where they no longer lie where run.json says"),
	OPTION_STRING(struct report_options, test, "test", "SHARD", NULL, "test images, likewise"),
	OPTION_U64(struct report_options, samples, "samples", "N", "6", 0, 100, "images whose views are shown"),
	OPTION_U64(struct report_options, queries, "queries", "N", "12", 0, 100,
		"test images whose nearest neighbours are shown"),
	OPTION_U64(struct report_options, test_images, "test-images", "N", "2000", 1, 100000,
		"test images that are encoded, a fixed random subset; all where there are fewer"),
	OPTION_U64(struct report_options, bank_images, "bank-images", "N", "10000", 1, 10000000,
		"training images that are encoded for kNN, a fixed random subset"),
	OPTION_U64(struct report_options, map_images, "map-images", "N", "1500", 0, 5000,
		"test images on the map; time grows with its square; 0: no map"),
	OPTION_DOUBLE(struct report_options, perplexity, "perplexity", "P", "30", 2, 500,
		"of t-SNE: how many neighbours count"),
	OPTION_U64(struct report_options, seed, "seed", "N", "1", 0, UINT64_MAX, "of the map"),
	RUNTIME_OPTIONS(struct report_options, runtime),
};

const struct option_table command_report_table = {
	.command = "report",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Writes one HTML page, which needs no other file and no network. Of runs: curves, final values, "
		 "options "
		 "that differ, and of each whose data are at hand sample views, nearest neighbours by cosine on the "
		 "features, a 2-D map of them (t-SNE) and the confusion of kNN. Of a sweep: its figure beside the "
		 "paper's "
		 "numbers, and every cell. What is missing is left out, and the page says why.",
	.operands = "RUN|SWEEP",
	.operand_help = "folders of ringclr train, 8 at most, or the folder of one ringclr sweep",
	.operand_min = 1,
	.operand_max = REPORT_RUNS_MOST,
	.examples = "ringclr report run -o run.html\n"
		    "ringclr report run-a run-b -o compared.html --no-pictures\n"
		    "ringclr report run -o run.html --data train.ring --test test.ring\n"
		    "ringclr report sweep -o sweep.html\n",
};

static int write_page(const struct report_options *o, const struct options *parsed, struct error *err)
{
	const struct command_output outputs[] = {{"--output", o->output}};
	if (command_check_outputs(outputs, 1, err) < 0)
		return err->code;
	unsigned count = parsed->operand_count;
	for (unsigned i = 0; i < count; i++)
		if (report_has_file(parsed->operands[i], "study.json")) {
			if (count > 1)
				return error_set(err, ERROR_USAGE,
					"%s: is a sweep, which has a page of its own; name it alone",
					parsed->operands[i]);
			return report_study_write(parsed->operands[0], o->output, o->title, err);
		}
	return report_runs_write(o, parsed->operands, count, err);
}

int command_report(int argc, char **argv)
{
	static struct report_options given;
	given = (struct report_options){0};
	struct options parsed;
	int status = options_parse(&parsed, &command_report_table, &given, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct error err = {0};
	if (write_page(&given, &parsed, &err) < 0) {
		status = command_fail("report", &err);
	} else if (given.json) {
		cJSON *result = cJSON_CreateObject();
		cJSON_AddStringToObject(result, "output", given.output);
		status = json_print(result);
	} else {
		if (!given.quiet)
			command_note("report", "%s", given.output);
		status = EXIT_OK;
	}
	options_free(&parsed);
	return status;
}
