/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr eval: what a frozen encoder's features know, by kNN or a linear probe. */
#include <inttypes.h>
#include <stdio.h>

#include "model/schedule.h"
#include "tools/command.h"
#include "tools/encoder.h"
#include "tools/evaluate.h"
#include "tools/json.h"
#include "tools/views_option.h"

enum { METHOD_KNN, METHOD_LINEAR };
enum { SOLVER_LBFGS, SOLVER_SGD };

struct eval_options {
	const char *train, *test, *views;
	unsigned method, solver;
	uint64_t limit_images, knn_k, epochs, batch;
	double lr;
	bool json;
	struct encoder_options encoder;
	struct runtime_options runtime;
};

static const struct option_spec spec[] = {
	OPTION_GROUP("Protocol"),
	OPTION_STRING(struct eval_options, train, "train", "SHARD", NULL,
		"labelled shard: the neighbours, or the probe's training set", .required = true),
	OPTION_STRING(struct eval_options, test, "test", "SHARD", NULL, "labelled shard to score on", .required = true),
	OPTION_CHOICE(struct eval_options, method, "method", "knn|linear", "knn",
		"weighted nearest neighbours, or logistic regression on the features"),
	OPTION_CHOICE(struct eval_options, solver, "solver", "lbfgs|sgd", "lbfgs",
		"of linear. lbfgs: features of the centre view, standardised, best of 45 ridge weights on a held-out "
		"tenth; sgd: the "
		"paper's protocol, on random crops and flips"),
	OPTION_U64(struct eval_options, limit_images, "limit-images", "N", "0", 0, UINT64_MAX,
		"use the fixed random subset of so many images of --train that `train` uses; 0: all"),
	OPTION_U64(struct eval_options, knn_k, "knn-k", "K", "200", 1, 100000,
		"neighbours that vote, with weight exp(cosine / 0.1)"),
	OPTION_U64(struct eval_options, epochs, "epochs", "N", "100", 1, 100000, "sgd: passes over --train"),
	OPTION_U64(struct eval_options, batch, "batch", "N", "512", 1, 65536, "sgd: images of one step"),
	OPTION_DOUBLE(struct eval_options, lr, "lr", "RATE", "0.1", 0, 1000, "sgd: rate of 256 images; cosine to 0"),
	OPTION_STRING(struct eval_options, views, "views", "TEXT", "crop-flip",
		"sgd: the one view of each image to learn on"),
	OPTION_FLAG(struct eval_options, json, "json", "no", "print the result as one JSON object"),
	ENCODER_OPTIONS(struct eval_options, encoder),
	RUNTIME_OPTIONS(struct eval_options, runtime),
};

const struct option_table command_eval_table = {
	.command = "eval",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Scores a frozen encoder's features h (before the projection head; BatchNorm in inference mode) on "
		 "labelled images. Two floors "
		 "show what training added: --encoder random and --encoder pixels.",
	.operands = "RUN|FILE.safetensors",
	.operand_help = "folder of a run, a checkpoint of ringclr, or torchvision ResNet weights",
	.operand_min = 0,
	.operand_max = 1,
	.notes = views_option_help,
	.examples = "ringclr eval run --train train.ring --test test.ring\n"
		    "ringclr eval run --train train.ring --test test.ring --method linear --json\n"
		    "ringclr eval run --encoder random --train train.ring --test test.ring\n",
};

struct eval_job {
	struct eval_options options;
	struct options parsed;
	struct runtime runtime;
	struct shard_set *train, *test;
	struct encoder encoder;
	struct evaluator evaluator;
	struct probe_score score;
	/* The sgd protocol's. */
	struct epoch_plan *plan;
	struct loader *loader;
	struct probe_sgd *probe;
	struct schedule schedule;
	uint64_t step, steps;
};

enum { EVAL_ROWS = 256 /* images of one forward without gradients */ };

static int sgd_step(void *ctx, uint64_t first, const struct batch *batch, const float *features, struct error *err)
{
	struct eval_job *job = ctx;
	(void)first;
	for (uint32_t i = 0; i < batch->images; i++)
		if (batch->label[i] < 0)
			return error_set(err, ERROR_MISMATCH,
				"%s: holds images without a label; evaluation needs one for each", job->options.train);
	double rate = schedule_rate(&job->schedule, job->step++);
	double loss = probe_sgd_step(job->probe, job->runtime.team, features, batch->label, batch->images, rate);
	if (job->step % 100 == 0 || job->step == job->steps)
		fprintf(stderr, "probe: step %" PRIu64 "/%" PRIu64 "  loss %.4f\n", job->step, job->steps, loss);
	return command_interrupted() ? error_set(err, ERROR_INTERRUPTED, "stopped") : 0;
}

/* The paper's protocol: a new random crop and flip of every image in every epoch, through the frozen encoder. */
static int create_sgd(struct eval_job *job, struct error *err)
{
	const struct eval_options *o = &job->options;
	struct epoch_plan_config plan = {.order = EPOCH_FULL,
		.seed = o->encoder.seed,
		.limit = o->limit_images,
		.subset_seed = EVALUATE_SUBSET_SEED};
	job->plan = epoch_plan_create(job->train, &plan, err);
	if (!job->plan)
		return err->code;
	struct loader_config config = runtime_loader_config(&job->runtime);
	config.set = job->train;
	config.plan = job->plan;
	config.batch = (uint32_t)o->batch;
	config.whole_batches = true;
	config.seed = o->encoder.seed;
	const struct view_defaults defaults = {.size = job->encoder.size,
		.views = 1,
		.strength = job->encoder.size <= 32 ? 0.5F : 1,
		.area_min = 0.08F};
	if (views_option_parse(&config.policies, o->views, &defaults, 1, err) < 0)
		return err->code;
	job->loader = loader_create(job->runtime.arena, &config, err);
	if (!job->loader)
		return err->code;
	job->steps = o->epochs * loader_batches_per_epoch(job->loader);
	schedule_init(
		&job->schedule, o->lr, SCHEDULE_LINEAR, o->batch, epoch_plan_length(job->plan), (double)o->epochs, 0);
	loader_span(job->loader, 0, job->steps);
	job->probe = probe_sgd_create(job->encoder.dim, job->evaluator.classes, (uint32_t)o->batch, err);
	return job->probe ? 0 : err->code;
}

static int run_sgd(struct eval_job *job, struct error *err)
{
	int code = encode_images(
		job->loader, job->encoder.net, job->runtime.team, job->runtime.placement, sgd_step, job, err);
	if (code == 0)
		code = evaluator_encode(&job->evaluator, 1, job->encoder.net, err);
	if (code < 0)
		return code;
	struct probe_data test = evaluator_data(&job->evaluator, 1);
	probe_sgd_score(job->probe, job->runtime.team, &test, &job->score);
	return 0;
}

static int run_features(struct eval_job *job, struct error *err)
{
	for (int side = 0; side < 2; side++) {
		int code = evaluator_encode(&job->evaluator, side, job->encoder.net, err);
		if (code < 0)
			return code;
	}
	if (job->options.method == METHOD_KNN)
		return evaluator_knn(&job->evaluator, &job->score, err);
	double ridges[45];
	probe_ridge_grid(ridges);
	return evaluator_linear(&job->evaluator, ridges, sizeof ridges / sizeof ridges[0], &job->score, err);
}

static int run_job(struct eval_job *job, struct error *err)
{
	const struct eval_options *o = &job->options;
	bool sgd = o->method == METHOD_LINEAR && o->solver == SOLVER_SGD;
	if (!sgd && options_given(&job->parsed, "views"))
		return error_set(err, ERROR_USAGE,
			"--views is what --method linear --solver sgd trains on; the others see the centre of each "
			"image");
	uint32_t rows = sgd && o->batch > EVAL_ROWS ? (uint32_t)o->batch : EVAL_ROWS;
	int code = runtime_start(&job->runtime, &o->runtime, err);
	if (code < 0)
		return code;
	job->train = runtime_open_shards(&job->runtime, &o->train, 1, err);
	job->test = job->train ? runtime_open_shards(&job->runtime, &o->test, 1, err) : NULL;
	if (!job->test)
		return err->code;
	if (o->limit_images > shard_set_records(job->train))
		return error_set(err, ERROR_USAGE,
			"--limit-images %" PRIu64 " is more than %s holds (%" PRIu64 " images)", o->limit_images,
			o->train, shard_set_records(job->train));
	const char *path = job->parsed.operand_count ? job->parsed.operands[0] : NULL;
	code = encoder_open(&job->encoder, &job->runtime, &o->encoder, path, rows, err);
	if (code < 0)
		return code;
	struct evaluate_config config = {
		.train = job->train,
		.test = job->test,
		.limit = o->limit_images,
		.size = job->encoder.size,
		.batch = EVAL_ROWS,
		.dim = job->encoder.dim,
		.knn_k = (unsigned)o->knn_k,
	};
	code = evaluator_create(&job->evaluator, &job->runtime, &config, err);
	if (code == 0 && sgd)
		code = create_sgd(job, err);
	if (code == 0 && sgd)
		code = runtime_add_cache(&job->runtime, job->loader, o->runtime.mem, err);
	if (code < 0)
		return code;
	arena_seal(job->runtime.arena);

	uint64_t before = encoder_hash(&job->encoder);
	code = sgd ? run_sgd(job, err) : run_features(job, err);
	if (code == 0 && encoder_hash(&job->encoder) != before)
		code = error_set(
			err, ERROR_MISMATCH, "the evaluation changed the encoder; this is a bug, please report it");
	return code;
}

static int print_result(const struct eval_job *job)
{
	static const char *const methods[] = {"knn", "linear"}, *const solvers[] = {"lbfgs", "sgd"};
	const struct eval_options *o = &job->options;
	uint64_t bank = o->limit_images ? o->limit_images : shard_set_records(job->train);
	if (!o->json) {
		printf("%s%s%s  %s  top-1 %.2f%%  top-5 %.2f%%  (%" PRIu64 " test images, %" PRIu64
		       " training images)\n",
			methods[o->method], o->method == METHOD_LINEAR ? " " : "",
			o->method == METHOD_LINEAR ? solvers[o->solver] : "", job->encoder.source, job->score.top1,
			job->score.top5, shard_set_records(job->test), bank);
		return EXIT_OK;
	}
	cJSON *result = cJSON_CreateObject();
	cJSON_AddStringToObject(result, "method", methods[o->method]);
	if (o->method == METHOD_LINEAR)
		cJSON_AddStringToObject(result, "solver", solvers[o->solver]);
	cJSON_AddStringToObject(result, "encoder", job->encoder.source);
	cJSON_AddNumberToObject(result, "accuracy", job->score.top1);
	cJSON_AddNumberToObject(result, "top5", job->score.top5);
	cJSON_AddNumberToObject(result, "n", (double)shard_set_records(job->test));
	cJSON_AddNumberToObject(result, "train_images", (double)bank);
	cJSON_AddNumberToObject(result, "classes", job->evaluator.classes);
	cJSON_AddNumberToObject(result, "dim", job->encoder.dim);
	if (o->method == METHOD_LINEAR && o->solver == SOLVER_LBFGS)
		cJSON_AddNumberToObject(result, "ridge", job->score.ridge);
	return json_print(result);
}

int command_eval(int argc, char **argv)
{
	static struct eval_job job;
	job = (struct eval_job){0};
	int status = options_parse(&job.parsed, &command_eval_table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct error err = {0};
	status = run_job(&job, &err) < 0 ? command_fail("eval", &err) : print_result(&job);
	probe_sgd_destroy(job.probe);
	loader_destroy(job.loader);
	epoch_plan_destroy(job.plan);
	evaluator_destroy(&job.evaluator);
	shard_set_close(job.test);
	shard_set_close(job.train);
	runtime_stop(&job.runtime);
	options_free(&job.parsed);
	return status;
}
