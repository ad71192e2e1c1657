/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr eval: what a frozen encoder's features know, by kNN, a linear classifier, or the study of the head. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/class_draw.h"
#include "tools/command.h"
#include "tools/eval_job.h"
#include "tools/views_option.h"

static const struct option_spec spec[] = {
	OPTION_GROUP("Protocol"),
	OPTION_STRING(struct eval_options, train, "train", "SHARD", NULL,
		"labelled shard: the neighbours, or the probe's training set"),
	OPTION_STRING(struct eval_options, test, "test", "SHARD", NULL, "labelled shard to score on"),
	OPTION_CHOICE(struct eval_options, method, "method", "knn|linear|head-study", "knn",
		"weighted nearest neighbours; logistic regression on the features; or what h and z = g(h) know of "
		"transformations of the input (SimCLR, Table 3): colour or grayscale, rotation, noise, Sobel, each "
		"predicted from either by logistic regression"),
	OPTION_CHOICE(struct eval_options, solver, "solver", "lbfgs|sgd", "lbfgs",
		"of linear. lbfgs: features of the centre view, standardised, best of 45 ridge weights on a held-out "
		"tenth; sgd: the "
		"paper's protocol, on random crops and flips"),
	OPTION_U64(struct eval_options, limit_images, "limit-images", "N", "0", 0, UINT64_MAX,
		"use the fixed random subset of so many images of --train that `train` uses; 0: all"),
	OPTION_DOUBLE(struct eval_options, label_fraction, "label-fraction", "F", "1", 0, 1,
		"use this fraction of the labelled images of --train, as many of every class: those that `pack "
		"--label-fraction` draws"),
	OPTION_U64(struct eval_options, knn_k, "knn-k", "K", "200", 1, 100000,
		"neighbours that vote, with weight exp(cosine / 0.1)"),
	OPTION_U64(struct eval_options, epochs, "epochs", "N", "100", 1, 100000, "sgd: passes over --train"),
	OPTION_U64(struct eval_options, batch, "batch", "N", "512", 1, 65536, "sgd: images of one step"),
	OPTION_DOUBLE(struct eval_options, lr, "lr", "RATE", "0.1", 0, 1000, "sgd: rate of 256 images; cosine to 0"),
	OPTION_STRING(struct eval_options, views, "views", "TEXT", "crop-flip",
		"sgd: the one view of each image to learn on"),
	OPTION_FLAG(struct eval_options, confusion, "confusion", "no",
		"also how often each class was taken for which, as a table, and each class's accuracy"),
	OPTION_FLAG(struct eval_options, json, "json", "no", "print the result as one JSON object"),
	OPTION_GROUP("Features from elsewhere"),
	OPTION_STRING(struct eval_options, features_train, "features-train", "FILE.npy", NULL,
		"instead of an encoder and shards: float32 or float64 [rows][columns], from any program"),
	OPTION_STRING(struct eval_options, labels_train, "labels-train", "FILE.npy", NULL,
		"their classes: integers [rows], 0 and up"),
	OPTION_STRING(struct eval_options, features_test, "features-test", "FILE.npy", NULL, "likewise, to score on"),
	OPTION_STRING(struct eval_options, labels_test, "labels-test", "FILE.npy", NULL, "likewise"),
	ENCODER_OPTIONS(struct eval_options, encoder),
	RUNTIME_OPTIONS(struct eval_options, runtime),
};

const struct option_table command_eval_table = {
	.command = "eval",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Scores a frozen encoder's features (h, before the projection head, or --features; BatchNorm in "
		 "inference mode) on labelled images. Two floors show what training added: --encoder random and "
		 "--encoder pixels. The shards need not be what it was trained on: transfer to another data set "
		 "(SimCLR, Table 8) is --method linear on that set's shards, of any number of classes, and with --size "
		 "at another size of the input.",
	.operands = "RUN|FILE.safetensors",
	.operand_help = "folder of a run, a checkpoint of ringclr, or torchvision ResNet weights",
	.operand_min = 0,
	.operand_max = 1,
	.notes = views_option_help,
	.examples =
		"ringclr eval run --train train.ring --test test.ring\n"
		"ringclr eval run --train train.ring --test test.ring --method linear --json\n"
		"ringclr eval run --encoder random --train train.ring --test test.ring\n"
		"ringclr eval run --train train.ring --test test.ring --method head-study\n"
		"ringclr eval run --train flowers.ring --test flowers-test.ring --method linear --size 64\n"
		"ringclr eval --features-train a.npy --labels-train b.npy --features-test c.npy --labels-test d.npy\n",
};

enum { EVAL_ROWS = 256 /* images of one forward without gradients */ };

static bool by_sgd(const struct eval_options *o)
{
	return o->method == METHOD_LINEAR && o->solver == SOLVER_SGD;
}

static bool from_files(const struct eval_options *o)
{
	return o->features_train || o->labels_train || o->features_test || o->labels_test;
}

/* Options that say something together that neither means. */
static int check_options(const struct eval_job *job, struct error *err)
{
	const struct eval_options *o = &job->options;
	const struct options *parsed = &job->parsed;
	if (!by_sgd(o) && options_given(parsed, "views"))
		return error_set(err, ERROR_USAGE,
			"--views is what --method linear --solver sgd trains on; the others see the centre of each "
			"image");
	if (o->method != METHOD_LINEAR && options_given(parsed, "solver"))
		return error_set(
			err, ERROR_USAGE, "--solver is of --method linear: leave it out, or choose that method");
	static const char *const of_sgd[] = {"epochs", "batch", "lr"};
	for (size_t i = 0; !by_sgd(o) && i < sizeof of_sgd / sizeof of_sgd[0]; i++)
		if (options_given(parsed, of_sgd[i]))
			return error_set(err, ERROR_USAGE,
				"--%s is of --method linear --solver sgd: leave it out, or choose that solver",
				of_sgd[i]);
	if (o->method != METHOD_KNN && options_given(parsed, "knn-k"))
		return error_set(err, ERROR_USAGE, "--knn-k is of --method knn: leave it out, or choose that method");
	if (o->label_fraction <= 0)
		return error_set(err, ERROR_USAGE, "--label-fraction must be more than 0");
	if (o->label_fraction < 1 && o->limit_images)
		return error_set(
			err, ERROR_USAGE, "--label-fraction and --limit-images both choose a subset: give one");
	if (o->method == METHOD_HEAD_STUDY && (o->label_fraction < 1 || o->confusion || o->encoder.features))
		return error_set(err, ERROR_USAGE,
			"--method head-study looks at no classes, and at h and z: without --label-fraction, "
			"--confusion and --features");
	if (!from_files(o))
		return o->train && o->test
			       ? 0
			       : error_set(err, ERROR_USAGE,
					 "--train SHARD and --test SHARD are needed, or the four files of "
					 "--features-train, --labels-train, --features-test, --labels-test");
	if (!o->features_train || !o->labels_train || !o->features_test || !o->labels_test)
		return error_set(err, ERROR_USAGE,
			"--features-train, --labels-train, --features-test and --labels-test go together");
	if (o->method == METHOD_HEAD_STUDY || by_sgd(o))
		return error_set(err, ERROR_USAGE,
			"features from files are scored by --method knn, or linear with --solver lbfgs");
	if (o->train || o->test || parsed->operand_count || o->limit_images || o->label_fraction < 1 ||
		options_given(parsed, "features"))
		return error_set(err, ERROR_USAGE,
			"features from files are scored as they are: without an encoder, --features, --train, --test, "
			"--limit-images and --label-fraction");
	return 0;
}

/* kNN or L-BFGS on job->data. */
static int score_features(struct eval_job *job, struct error *err)
{
	struct eval_data *data = &job->data;
	if (job->options.method == METHOD_KNN)
		return probe_knn(job->runtime.team, &data->train, &data->test, data->dim, data->classes,
			(unsigned)job->options.knn_k, EVALUATE_KNN_TEMPERATURE, &job->score, err);
	double ridges[45];
	probe_ridge_grid(ridges);
	return probe_logistic_lbfgs(job->runtime.team, &data->train, NULL, &data->test, data->dim, data->classes,
		ridges, sizeof ridges / sizeof ridges[0], &job->score, err);
}

static int run_files(struct eval_job *job, struct error *err)
{
	snprintf(job->encoder.source, sizeof job->encoder.source, "%s", job->options.features_test);
	int code = eval_files_read(&job->files, &job->options, err);
	if (code < 0)
		return code;
	job->data = job->files.data;
	return score_features(job, err);
}

static int run_features(struct eval_job *job, struct error *err)
{
	for (int side = 0; side < 2; side++) {
		int code = evaluator_encode(&job->evaluator, side, job->encoder.net, err);
		if (code < 0)
			return code;
	}
	job->data.train = evaluator_data(&job->evaluator, 0);
	job->data.test = evaluator_data(&job->evaluator, 1);
	return score_features(job, err);
}

static int open_encoder(struct eval_job *job, struct error *err)
{
	const struct eval_options *o = &job->options;
	struct encoder_options encoder = o->encoder;
	uint32_t rows = by_sgd(o) && o->batch > EVAL_ROWS ? (uint32_t)o->batch : EVAL_ROWS;
	if (o->method == METHOD_HEAD_STUDY)
		encoder.features = NET_TAP_Z;
	const char *path = job->parsed.operand_count ? job->parsed.operands[0] : NULL;
	return encoder_open(&job->encoder, &job->runtime, &encoder, path, rows, err);
}

static int create_protocol(struct eval_job *job, struct error *err)
{
	const struct eval_options *o = &job->options;
	if (o->method == METHOD_HEAD_STUDY) {
		const struct head_study_config study = {
			.sets = {job->train, job->test}, .limit = o->limit_images, .seed = o->encoder.seed};
		return head_study_create(&job->study, &job->runtime, &job->encoder, &study, err);
	}
	uint64_t subset_count = 0;
	if (o->label_fraction < 1 && class_draw_subset(job->train, o->label_fraction, EVALUATE_SUBSET_SEED,
					     &job->subset, &subset_count, err) < 0)
		return err->code;
	struct evaluate_config config = {
		.train = job->train,
		.test = job->test,
		.limit = o->limit_images,
		.records = job->subset,
		.record_count = subset_count,
		.size = job->encoder.size,
		.batch = EVAL_ROWS,
		.dim = job->encoder.dim,
		.tap = job->encoder.tap,
		.knn_k = (unsigned)o->knn_k,
		.train_streams = by_sgd(o),
	};
	int code = evaluator_create(&job->evaluator, &job->runtime, &config, err);
	job->data.dim = job->encoder.dim;
	job->data.classes = job->evaluator.classes;
	if (code == 0 && by_sgd(o))
		code = eval_sgd_create(job, err);
	if (code == 0 && by_sgd(o))
		code = runtime_add_cache(&job->runtime, job->loader, o->runtime.mem, err);
	return code;
}

/* The protocols that encode: what they leave of the encoder is what they were given. */
static int run_protocol(struct eval_job *job, struct error *err)
{
	uint64_t before = encoder_hash(&job->encoder);
	int code = job->options.method == METHOD_HEAD_STUDY ? head_study_run(&job->study, err)
		   : by_sgd(&job->options)		    ? eval_sgd_run(job, err)
							    : run_features(job, err);
	if (code == 0 && encoder_hash(&job->encoder) != before)
		code = error_set(
			err, ERROR_MISMATCH, "the evaluation changed the encoder; this is a bug, please report it");
	return code;
}

static int run_job(struct eval_job *job, struct error *err)
{
	const struct eval_options *o = &job->options;
	int code = check_options(job, err);
	if (code == 0)
		code = runtime_start(&job->runtime, &o->runtime, err);
	if (code < 0)
		return code;
	if (from_files(o))
		return run_files(job, err);
	job->train = runtime_open_shards(&job->runtime, &o->train, 1, err);
	job->test = job->train ? runtime_open_shards(&job->runtime, &o->test, 1, err) : NULL;
	if (!job->test)
		return err->code;
	if (o->limit_images > shard_set_records(job->train))
		return error_set(err, ERROR_USAGE,
			"--limit-images %" PRIu64 " is more than %s holds (%" PRIu64 " images)", o->limit_images,
			o->train, shard_set_records(job->train));
	code = open_encoder(job, err);
	if (code == 0)
		code = create_protocol(job, err);
	if (code < 0)
		return code;
	arena_seal(job->runtime.arena);
	return run_protocol(job, err);
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
	if (run_job(&job, &err) < 0)
		status = command_fail("eval", &err);
	else if (job.options.method == METHOD_HEAD_STUDY)
		status = head_study_print(&job.study, job.options.json);
	else
		status = eval_result_print(&job);
	eval_sgd_destroy(&job);
	eval_files_free(&job.files);
	free(job.subset);
	head_study_destroy(&job.study);
	evaluator_destroy(&job.evaluator);
	shard_set_close(job.test);
	shard_set_close(job.train);
	runtime_stop(&job.runtime);
	options_free(&job.parsed);
	return status;
}
