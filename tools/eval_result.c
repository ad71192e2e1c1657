/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The result of `ringclr eval`. Confusion is counts[true class][predicted class]; a class's accuracy is its diagonal
 * over its row. Classes without a test image have no accuracy: null, or a dash.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"
#include "tools/eval_job.h"
#include "tools/json.h"

struct tally {
	unsigned classes;
	uint64_t *images, *hits; /* [classes] of the test set */
	uint64_t *counts;	 /* [classes][classes]; NULL: not wanted */
};

static void tally_free(struct tally *tally)
{
	free(tally->images);
	free(tally->hits);
	free(tally->counts);
}

static bool tally_make(struct tally *tally, const struct eval_data *data, bool confusion)
{
	size_t classes = data->classes;
	const struct probe_data *test = &data->test;
	*tally = (struct tally){.classes = data->classes,
		.images = calloc(classes, sizeof(uint64_t)),
		.hits = calloc(classes, sizeof(uint64_t)),
		.counts = confusion ? calloc(classes * classes, sizeof(uint64_t)) : NULL};
	if (!tally->images || !tally->hits || (confusion && !tally->counts)) {
		tally_free(tally);
		return false;
	}
	for (size_t i = 0; i < test->count; i++) {
		size_t label = (size_t)test->labels[i];
		tally->images[label]++;
		tally->hits[label] += test->predicted[i] == test->labels[i];
		if (confusion && test->predicted[i] >= 0)
			tally->counts[label * classes + (size_t)test->predicted[i]]++;
	}
	return true;
}

static const char *class_name(const struct eval_job *job, unsigned label, char text[16])
{
	if (job->test)
		return shard_class(shard_set_at(job->test, 0), label);
	snprintf(text, 16, "%u", label);
	return text;
}

static double percent(uint64_t part, uint64_t whole)
{
	return 100 * (double)part / (double)whole;
}

/* A row for each true class, a column for each predicted one. */
static void print_confusion(const struct eval_job *job, const struct tally *tally)
{
	uint64_t most = tally->classes - 1;
	int name_width = 0, width;
	char text[24];
	for (size_t i = 0; i < (size_t)tally->classes * tally->classes; i++)
		most = tally->counts[i] > most ? tally->counts[i] : most;
	width = snprintf(text, sizeof text, "%" PRIu64, most);
	for (unsigned c = 0; c < tally->classes; c++) {
		int length = (int)strlen(class_name(job, c, text));
		name_width = length > name_width ? length : name_width;
	}
	name_width = name_width > 24 ? 24 : name_width;
	printf("%5s  %-*s  %6s  predicted:", "", name_width, "class", "right");
	for (unsigned c = 0; c < tally->classes; c++)
		printf(" %*u", width, c);
	printf("\n");
	for (unsigned c = 0; c < tally->classes; c++) {
		char accuracy[16] = "-";
		if (tally->images[c] > 0)
			snprintf(accuracy, sizeof accuracy, "%.1f%%", percent(tally->hits[c], tally->images[c]));
		printf("%5u  %-*.*s  %6s            ", c, name_width, name_width, class_name(job, c, text), accuracy);
		for (unsigned other = 0; other < tally->classes; other++)
			printf(" %*" PRIu64, width, tally->counts[(size_t)c * tally->classes + other]);
		printf("\n");
	}
}

static void add_classes(cJSON *result, const struct eval_job *job, const struct tally *tally)
{
	char text[16];
	cJSON *accuracies = cJSON_AddArrayToObject(result, "per_class");
	for (unsigned c = 0; c < tally->classes; c++)
		cJSON_AddItemToArray(accuracies, tally->images[c] > 0
							 ? cJSON_CreateNumber(percent(tally->hits[c], tally->images[c]))
							 : cJSON_CreateNull());
	if (!tally->counts)
		return;
	cJSON *names = cJSON_AddArrayToObject(result, "class_names");
	for (unsigned c = 0; c < tally->classes; c++)
		cJSON_AddItemToArray(names, cJSON_CreateString(class_name(job, c, text)));
	cJSON *rows = cJSON_AddArrayToObject(result, "confusion");
	for (unsigned c = 0; c < tally->classes; c++) {
		cJSON *row = cJSON_CreateArray();
		for (unsigned other = 0; other < tally->classes; other++)
			cJSON_AddItemToArray(
				row, cJSON_CreateNumber((double)tally->counts[(size_t)c * tally->classes + other]));
		cJSON_AddItemToArray(rows, row);
	}
}

static int print_json(const struct eval_job *job, const struct tally *tally)
{
	static const char *const methods[] = {"knn", "linear"}, *const solvers[] = {"lbfgs", "sgd"},
				 *const features[] = {"h", "head1", "z"};
	const struct eval_options *o = &job->options;
	const struct eval_data *data = &job->data;
	cJSON *result = cJSON_CreateObject();
	cJSON_AddStringToObject(result, "method", methods[o->method]);
	if (o->method == METHOD_LINEAR)
		cJSON_AddStringToObject(result, "solver", solvers[o->solver]);
	cJSON_AddStringToObject(result, "encoder", job->encoder.source);
	if (job->test)
		cJSON_AddStringToObject(result, "features", features[o->encoder.features]);
	cJSON_AddNumberToObject(result, "accuracy", job->score.top1);
	cJSON_AddNumberToObject(result, "top5", job->score.top5);
	cJSON_AddNumberToObject(result, "n", (double)data->test.count);
	cJSON_AddNumberToObject(result, "train_images", (double)data->train.count);
	cJSON_AddNumberToObject(result, "classes", data->classes);
	cJSON_AddNumberToObject(result, "dim", data->dim);
	if (o->method == METHOD_LINEAR && o->solver == SOLVER_LBFGS)
		cJSON_AddNumberToObject(result, "ridge", job->score.ridge);
	add_classes(result, job, tally);
	return json_print(result);
}

int eval_result_print(const struct eval_job *job)
{
	static const char *const names[][2] = {{"knn", "knn"}, {"linear lbfgs", "linear sgd"}}, *const features[] = {"",
													"  of head1",
													"  of z"};
	const struct eval_options *o = &job->options;
	struct tally tally;
	if (!tally_make(&tally, &job->data, o->confusion)) {
		fprintf(stderr, "ringclr eval: no memory for the counts of %u classes\n", job->data.classes);
		return EXIT_FAILED;
	}
	int status = EXIT_OK;
	if (o->json) {
		status = print_json(job, &tally);
	} else {
		printf("%s%s  %s  top-1 %.2f%%  top-5 %.2f%%  (%zu test images, %zu training images)\n",
			names[o->method][o->solver], features[o->encoder.features], job->encoder.source,
			job->score.top1, job->score.top5, job->data.test.count, job->data.train.count);
		if (tally.counts)
			print_confusion(job, &tally);
	}
	tally_free(&tally);
	return status;
}
