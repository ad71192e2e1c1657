/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image has a view for each question: its centre, and on that the operation, or not, by the chance that makes
 * guessing as good as in the paper. What was drawn for a view is a function of (seed, record, view) and is drawn again
 * here to know the answer, so that no label travels with the pixels. An image is decoded once and encoded four times;
 * one forward gives h and z. The test set's draws come of another seed than the training set's.
 *
 * A classifier is the logistic regression of `eval --method linear` on a short path of ridge weights.
 */
#include "tools/head_study.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/probe.h"
#include "stages/view_policy.h"
#include "tools/command.h"
#include "tools/evaluate.h"
#include "tools/json.h"

enum { FROM_H, FROM_Z, MOST_ANSWERS = 4 };

static const struct question {
	const char *what, *name;
	enum view_op op;
	double probability;
	unsigned answers;
	double chance, paper[2];
} questions[HEAD_STUDY_QUESTIONS] = {
	{"colour or grayscale", "gray", VIEW_OP_GRAY, 0.2, 2, 80, {99.3, 97.4}},
	{"rotation", "rotation", VIEW_OP_ROTATE90, 1, 4, 25, {67.6, 25.6}},
	{"original or with noise", "noise", VIEW_OP_NOISE, 0.5, 2, 50, {99.5, 59.6}},
	{"original or Sobel filtered", "sobel", VIEW_OP_SOBEL, 0.5, 2, 50, {96.6, 56.3}},
};

static int parse_policies(struct view_policies *policies, uint32_t size, struct error *err)
{
	const struct view_defaults defaults = view_defaults_of(size, 1);
	int code = view_policies_parse(
		policies, "center gray | center rotate90 | center noise | center sobel", &defaults, "head-study", err);
	for (unsigned q = 0; code == 0 && q < HEAD_STUDY_QUESTIONS; q++)
		policies->view[q].steps[1].probability = questions[q].probability;
	return code;
}

static int create_side(struct head_study *study, int side, struct error *err)
{
	struct runtime *runtime = study->runtime;
	struct epoch_plan_config plan = {.order = EPOCH_SEQUENTIAL,
		.limit = side == 0 ? study->config.limit : 0,
		.subset_seed = EVALUATE_SUBSET_SEED};
	study->plans[side] = epoch_plan_create(study->config.sets[side], &plan, err);
	if (!study->plans[side])
		return err->code;
	struct loader_config config = runtime_loader_config(runtime);
	config.set = study->config.sets[side];
	config.plan = study->plans[side];
	config.batch = HEAD_STUDY_ROWS;
	config.seed = study->config.seed + (uint64_t)side;
	if (parse_policies(&config.policies, study->encoder->size, err) < 0)
		return err->code;
	study->augment[side] = loader_augment(&config);
	study->loaders[side] = loader_create(runtime->arena, &config, err);
	if (!study->loaders[side])
		return err->code;
	uint64_t images = epoch_plan_length(study->plans[side]);
	for (unsigned q = 0; q < HEAD_STUDY_QUESTIONS; q++) {
		for (int from = 0; from < 2; from++)
			study->tables[side][q].features[from] = arena_alloc(
				runtime->arena, "features", images * study->dim[from], sizeof(float), 0, err);
		study->tables[side][q].answers =
			arena_alloc(runtime->arena, "features", images, sizeof(int32_t), 0, err);
		if (!study->tables[side][q].features[FROM_H] || !study->tables[side][q].features[FROM_Z] ||
			!study->tables[side][q].answers)
			return err->code;
	}
	return 0;
}

int head_study_create(struct head_study *study, struct runtime *runtime, struct encoder *encoder,
	const struct head_study_config *config, struct error *err)
{
	*study = (struct head_study){.config = *config, .runtime = runtime, .encoder = encoder};
	study->dim[FROM_H] = net_tap_dim(encoder->net, NET_TAP_H);
	study->dim[FROM_Z] = net_tap_dim(encoder->net, NET_TAP_Z);
	int code = create_side(study, 0, err);
	return code < 0 ? code : create_side(study, 1, err);
}

void head_study_destroy(struct head_study *study)
{
	for (int side = 0; side < 2; side++) {
		loader_destroy(study->loaders[side]);
		epoch_plan_destroy(study->plans[side]);
	}
}

/* What of the operation was drawn: quarters of a turn, or whether it was applied at all. */
static int32_t answer_of(const struct view_params *params, enum view_op op)
{
	for (uint32_t i = 0; i < params->count; i++)
		if (params->drawn[i].op == op)
			return op == VIEW_OP_ROTATE90 ? (int32_t)params->drawn[i].quarters : 1;
	return 0;
}

struct encode_call {
	struct head_study *study;
	int side;
	unsigned question; /* of the next view */
};

/* Called view after view of a batch. */
static int keep(void *ctx, uint64_t first, const struct batch *batch, const float *features, struct error *err)
{
	struct encode_call *call = ctx;
	struct head_study *study = call->study;
	unsigned question = call->question, side = (unsigned)call->side;
	const float *from[2] = {net_tap(study->encoder->net, NET_TAP_H), features};
	for (int i = 0; i < 2; i++)
		memcpy(study->tables[side][question].features[i] + first * study->dim[i], from[i],
			(size_t)batch->images * study->dim[i] * sizeof(float));
	for (uint32_t i = 0; i < batch->images; i++) {
		/* The plan's record, not the batch's: under --bad skip another may be seen through its views. */
		uint64_t number = epoch_plan_record(study->plans[side], 0, first + i);
		const struct shard_record *record = shard_set_record(study->config.sets[side], number);
		struct view_params params[VIEW_MAX_VIEWS];
		augment_draw(&study->augment[side], record->width, record->height, 0, number, params);
		study->tables[side][question].answers[first + i] = answer_of(&params[question], questions[question].op);
	}
	call->question = (question + 1) % HEAD_STUDY_QUESTIONS;
	return command_interrupted() ? error_set(err, ERROR_INTERRUPTED, "stopped") : 0;
}

static struct probe_data data_of(const struct head_study *study, int side, unsigned question, int from)
{
	return (struct probe_data){.features = study->tables[side][question].features[from],
		.labels = study->tables[side][question].answers,
		.count = epoch_plan_length(study->plans[side])};
}

/* The share of the most frequent answer, percent. */
static double chance_of(const struct probe_data *data)
{
	size_t counts[MOST_ANSWERS] = {0}, most = 0;
	for (size_t i = 0; i < data->count; i++)
		counts[data->labels[i]]++;
	for (int answer = 0; answer < MOST_ANSWERS; answer++)
		most = counts[answer] > most ? counts[answer] : most;
	return 100 * (double)most / (double)data->count;
}

int head_study_run(struct head_study *study, struct error *err)
{
	static const double ridges[] = {1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6};
	struct runtime *runtime = study->runtime;
	for (int side = 0; side < 2; side++) {
		struct encode_call call = {.study = study, .side = side};
		loader_once(study->loaders[side]);
		int code = encode_tap(study->loaders[side], study->encoder->net, NET_TAP_Z, runtime->team,
			runtime->placement, keep, &call, err);
		if (code < 0)
			return code;
	}
	for (unsigned q = 0; q < HEAD_STUDY_QUESTIONS; q++) {
		const struct question *question = &questions[q];
		struct head_study_answer *answer = &study->answers[q];
		*answer = (struct head_study_answer){.what = question->what,
			.name = question->name,
			.paper_chance = question->chance,
			.paper = {question->paper[FROM_H], question->paper[FROM_Z]}};
		for (int from = 0; from < 2; from++) {
			struct probe_data train = data_of(study, 0, q, from), test = data_of(study, 1, q, from);
			struct probe_score score;
			int code = probe_logistic_lbfgs(runtime->team, &train, NULL, &test, study->dim[from],
				question->answers, ridges, sizeof ridges / sizeof ridges[0], &score, err);
			if (code < 0)
				return code;
			answer->chance = chance_of(&test);
			answer->accuracy[from] = score.top1;
			answer->ridge[from] = score.ridge;
		}
	}
	return 0;
}

static void print_text(const struct head_study *study)
{
	printf("head-study  %s  h: %u, z = g(h): %u  (%" PRIu64 " test images, %" PRIu64
	       " training images)\npercent right                chance  from h  from z  | paper: chance  from h  from "
	       "z\n",
		study->encoder->source, study->dim[FROM_H], study->dim[FROM_Z], epoch_plan_length(study->plans[1]),
		epoch_plan_length(study->plans[0]));
	for (unsigned q = 0; q < HEAD_STUDY_QUESTIONS; q++) {
		const struct head_study_answer *answer = &study->answers[q];
		printf("%-27s  %6.1f  %6.1f  %6.1f  |        %6.1f  %6.1f  %6.1f\n", answer->what, answer->chance,
			answer->accuracy[FROM_H], answer->accuracy[FROM_Z], answer->paper_chance, answer->paper[FROM_H],
			answer->paper[FROM_Z]);
	}
}

int head_study_print(const struct head_study *study, bool json)
{
	if (!json) {
		print_text(study);
		return EXIT_OK;
	}
	cJSON *result = cJSON_CreateObject();
	cJSON_AddStringToObject(result, "method", "head-study");
	cJSON_AddStringToObject(result, "encoder", study->encoder->source);
	cJSON_AddNumberToObject(result, "n", (double)epoch_plan_length(study->plans[1]));
	cJSON_AddNumberToObject(result, "train_images", (double)epoch_plan_length(study->plans[0]));
	cJSON_AddNumberToObject(result, "dim_h", study->dim[FROM_H]);
	cJSON_AddNumberToObject(result, "dim_z", study->dim[FROM_Z]);
	cJSON *rows = cJSON_AddArrayToObject(result, "rows");
	for (unsigned q = 0; q < HEAD_STUDY_QUESTIONS; q++) {
		const struct head_study_answer *answer = &study->answers[q];
		cJSON *row = cJSON_CreateObject();
		cJSON_AddStringToObject(row, "what", answer->name);
		cJSON_AddNumberToObject(row, "chance", answer->chance);
		cJSON_AddNumberToObject(row, "h", answer->accuracy[FROM_H]);
		cJSON_AddNumberToObject(row, "z", answer->accuracy[FROM_Z]);
		cJSON_AddNumberToObject(row, "ridge_h", answer->ridge[FROM_H]);
		cJSON_AddNumberToObject(row, "ridge_z", answer->ridge[FROM_Z]);
		cJSON *paper = cJSON_AddObjectToObject(row, "paper");
		cJSON_AddNumberToObject(paper, "chance", answer->paper_chance);
		cJSON_AddNumberToObject(paper, "h", answer->paper[FROM_H]);
		cJSON_AddNumberToObject(paper, "z", answer->paper[FROM_Z]);
		cJSON_AddItemToArray(rows, row);
	}
	return json_print(result);
}
