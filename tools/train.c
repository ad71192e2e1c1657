/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr train, and finetune, which is train with other defaults: the options; starts or resumes a run and sees it to
 * its end. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/command.h"
#include "tools/json.h"
#include "tools/train_job.h"
#include "tools/trace_file.h"
#include "tools/train_plan.h"
#include "tools/train_report.h"

static const struct option_spec spec[] = {
	OPTION_GROUP("Run"),
	OPTION_STRING(struct train_options, output, "output", "RUN", NULL,
		"folder of the run; needed, unless with --dry-run", .letter = 'o', .incidental = true),
	OPTION_FLAG(struct train_options, resume, "resume", "no", "go on from RUN's checkpoint, with its options",
		.incidental = true),
	OPTION_U64(struct train_options, seed, "seed", "N", "1", 0, UINT64_MAX, "of weights, order and views"),
	OPTION_U64(struct train_options, checkpoint_every, "checkpoint-every", "STEPS", "0", 0, UINT32_MAX,
		"also save after every so many steps; 0: at every epoch's end", .incidental = true),
	OPTION_FLAG(struct train_options, dry_run, "dry-run", "no",
		"print the plan (memory, work, a prediction of the time from a few steps on random input); write "
		"nothing",
		.incidental = true),
	OPTION_STRING(struct train_options, trace, "trace", "FILE.json", NULL,
		"write what every thread did when, for Perfetto (ui.perfetto.dev) or chrome://tracing",
		.incidental = true),
	OPTION_STRING(struct train_options, report, "report", "FILE.html", NULL,
		"write a report with charts (loss, images/s, where the time went): one file that needs no other",
		.incidental = true),
	OPTION_FLAG(struct train_options, tensorboard, "tensorboard", "no",
		"write RUN/events.out.tfevents.0.ringclr, which TensorBoard shows: every step's loss, contrastive "
		"accuracy and rate, every epoch's means and scores",
		.incidental = true),
	OPTION_FLAG(struct train_options, quiet, "quiet", "no", "no progress lines", .incidental = true),
	OPTION_FLAG(
		struct train_options, json, "json", "no", "print the result as one JSON object", .incidental = true),
	OPTION_GROUP("Model"),
	OPTION_STRING(struct train_options, model, "model", "NAME", "resnet18", "resnet18, 34, 50, 101 or 152"),
	OPTION_DOUBLE(
		struct train_options, width, "width", "F", "1", 0.01, 16, "channels, times those of the paper's net"),
	OPTION_U64(struct train_options, size, "size", "PIXELS", "32", 8, 1024, "side of the views"),
	OPTION_CHOICE(struct train_options, stem, "stem", "auto|cifar|imagenet", "auto",
		"3x3 without pooling, or 7x7 with; auto: cifar up to 32 pixels"),
	OPTION_CHOICE(struct train_options, input, "input", "unit|imagenet", "unit",
		"what the net makes of views, whose values are in [0,1]: nothing, or normalised by ImageNet's mean and "
		"deviation"),
	OPTION_CHOICE(struct train_options, head, "head", "none|linear|mlp2|mlp3", "mlp2", "projection head"),
	OPTION_U64(struct train_options, head_dim, "head-dim", "N", "128", 1, 65535, "columns of z"),
	MODEL_OPTIONS(struct train_options, compute),
	OPTION_GROUP("Start"),
	OPTION_STRING(struct train_options, init, "init", "RUN|FILE.safetensors", NULL,
		"start from the encoder in this run or file (torchvision's too), and take model, width, stem and size "
		"from it; size may be given anew"),
	OPTION_CHOICE(struct train_options, init_from, "init-from", "h|head1", "h",
		"of --init, with cross-entropy, what the classifier stands on: the encoder's h, or the first hidden "
		"layer "
		"of the projection head, which is then taken over too (SimCLRv2)"),
	OPTION_GROUP("Training"),
	OPTION_CHOICE(struct train_options, loss, "loss", "nt-xent|nt-logistic|margin|cross-entropy", "nt-xent",
		"the first three are contrastive, on z (SimCLR, section 5.1). cross-entropy: supervised, a classifier "
		"on the images' labels in the head's place, one view of each "
		"image. Its defaults, where nothing is given: --views crop-flip, --optimizer sgd, --lr 0.1, "
		"--weight-decay 1e-4, --warmup-epochs 5, at any size (He et al. 2016, Goyal et al. 2017)"),
	OPTION_U64(struct train_options, batch, "batch", "N", "256", 1, 65536, "images of one step (2N views)"),
	OPTION_U64(struct train_options, epochs, "epochs", "N", "100", 1, 1000000, "passes over the data"),
	OPTION_DOUBLE(struct train_options, temperature, "temperature", "T", "0.5", 1e-3, 100,
		"divides similarities in NT-Xent, NT-Logistic and the entropy that is reported; 0.1 when views are "
		"over 32 pixels"),
	OPTION_FLAG(struct train_options, normalize, "normalize", "yes",
		"similarities are cosines; otherwise products of z as it is"),
	OPTION_CHOICE(struct train_options, negatives, "negatives", "all|semi-hard", "all",
		"of nt-logistic and margin. semi-hard: only negatives that are farther than the positive, but within "
		"--margin of it"),
	OPTION_DOUBLE(struct train_options, margin, "margin", "M", "0.8", 0, 1000,
		"of the margin loss and of semi-hard negatives: a difference of similarities"),
	OPTION_CHOICE(struct train_options, optimizer, "optimizer", "lars|sgd|adam", "lars", "how weights move"),
	OPTION_DOUBLE(
		struct train_options, lr, "lr", "RATE", "1.0", 0, 1000, "base rate; 0.3 when views are over 32 pixels"),
	OPTION_CHOICE(struct train_options, lr_scaling, "lr-scaling", "linear|sqrt|constant", "linear",
		"peak rate: lr N/256, lr sqrt(N), or lr"),
	OPTION_DOUBLE(struct train_options, weight_decay, "weight-decay", "W", "1e-4", 0, 1,
		"of weights, not of BN and biases; 1e-6 when views are over 32 pixels"),
	OPTION_DOUBLE(struct train_options, momentum, "momentum", "M", "0.9", 0, 0.9999, "of LARS and SGD"),
	OPTION_DOUBLE(struct train_options, warmup_epochs, "warmup-epochs", "E", "10", 0, 1000000,
		"linear warm-up, before the cosine"),
	OPTION_GROUP("Data and views"),
	OPTION_U64(struct train_options, limit_images, "limit-images", "N", "0", 0, UINT64_MAX,
		"train on a fixed random subset of so many images; 0: all"),
	OPTION_DOUBLE(struct train_options, label_fraction, "label-fraction", "F", "1", 1e-6, 1,
		"of cross-entropy: train on this fraction of the labelled images, as many of every class (or all, if "
		"it has fewer): those that 'pack --label-fraction' keeps. 0.01 and 0.1 are SimCLR's"),
	OPTION_U64(struct train_options, split_seed, "split-seed", "N", "0", 0, UINT64_MAX,
		"of --label-fraction: another number draws other images; as pack's, and not of --seed, so that runs "
		"of different seeds see the same"),
	OPTION_CHOICE(struct train_options, order, "order", "auto|full|window", "auto",
		"full: a permutation of all images; window: whole blocks in random order, shuffled within a window. "
		"auto: "
		"full where images are large (32K on average: reading one costs about a block) or decompressed blocks "
		"fit "
		"half of --mem, or of the machine's memory; else window"),
	OPTION_U64(struct train_options, window, "window", "BLOCKS", "64", 1, 65536, "blocks of a window"),
	OPTION_STRING(struct train_options, views, "views", "TEXT", "simclr",
		"how the views of an image are made, as listed below: one policy for both, or two; with cross-entropy "
		"the policy of the one view"),
	OPTION_DOUBLE(struct train_options, strength, "strength", "S", "0.5", 0, 4,
		"of simclr's colour jitter; 1 when views are over 32 pixels"),
	OPTION_DOUBLE(struct train_options, area_min, "area-min", "A", "0.08", 0.001, 1,
		"smallest share of the image that a crop without arguments keeps"),
	OPTION_GROUP("Evaluation"),
	OPTION_STRING(struct train_options, test, "test", "SHARD", NULL,
		"shard to test on, by kNN and linear probe, or kNN and the classifier itself"),
	OPTION_U64(struct train_options, eval_every, "eval-every", "EPOCHS", "0", 0, 1000000,
		"evaluate so often; 0: at the end only"),
	OPTION_U64(struct train_options, knn_k, "knn-k", "K", "200", 1, 100000, "neighbours that vote"),
	OPTION_FLAG(struct train_options, probe, "probe", "no",
		"also train a linear classifier on h, step by step, on the labels of the same batches; nothing of it "
		"reaches the encoder. SGD with Nesterov momentum, rate 0.1 N/256, cosine. metrics.jsonl has its "
		"accuracy"),
	RUNTIME_OPTIONS(struct train_options, runtime),
	AUTOTUNE_OPTION(struct train_options, runtime),
	/* finetune's own: FINETUNE_ONLY entries. */
	OPTION_GROUP("Labelled images"),
	OPTION_STRING(struct train_options, train, "train", "SHARD", NULL, "shard or set to train on", .required = true,
		.incidental = true),
};

enum { FINETUNE_ONLY = 2 };

/* What a file says has no default. RECIPE: Evaluation, fine-tune (Chen et al. 2020, appendix B.5); the schedule stays
 * the cosine of the paper's code. */
static const struct option_preset finetune_presets[] = {
	{"model", NULL, "RUN's; another is refused"},
	{"width", NULL, "RUN's; another is refused"},
	{"size", NULL, "side of the view; RUN's, unless given"},
	{"stem", NULL, "RUN's; another is refused"},
	{"input", NULL, "RUN's; another is refused"},
	{"head", "none", "not used: the head is a classifier"},
	{"head-dim", "128", "not used"},
	{"temperature", "0.5", "not used"},
	{"init", NULL, "not used: RUN is what to start from"},
	{"loss", "cross-entropy", "finetune is for cross-entropy"},
	{"batch", "256", "images of one step"},
	{"epochs", "30", "passes over the labelled images; 60 where --label-fraction is under 0.1"},
	{"optimizer", "sgd", NULL},
	{"lr", "0.05", "base rate"},
	{"weight-decay", "0", "of weights, not of BN and biases"},
	{"warmup-epochs", "0", NULL},
	{"views", "crop-flip", "how the view of an image is made, as listed below"},
	{NULL, NULL, NULL},
};

const struct option_table command_train_table = {
	.command = "train",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0] - FINETUNE_ONLY,
	.about = "Pre-trains a ResNet with SimCLR from packed shards: two random views of each image, a contrastive "
		 "loss, LARS. With --loss cross-entropy, trains the same net on labels. "
		 "Writes RUN/run.json, "
		 "RUN/metrics.jsonl (a line an epoch; the same for the same options and data), RUN/timings.jsonl and "
		 "RUN/checkpoint.safetensors. Ctrl-C finishes the step, saves and exits 130; --resume goes on to the "
		 "same bytes as if "
		 "never stopped.",
	.operands = "SHARD",
	.operand_help = "shards to train on",
	.operand_min = 1,
	.operand_max = 1024,
	.notes = views_option_help,
	.examples = "ringclr train train.ring --test test.ring -o run\n"
		    "ringclr train train.ring -o small --width 0.25 --epochs 20 --warmup-epochs 2\n"
		    "ringclr train train.ring --dry-run --batch 1024 --mem 8G\n"
		    "ringclr train train.ring -o run --views 'simclr | simclr solarize'\n"
		    "ringclr train train.ring --test test.ring --loss cross-entropy -o supervised\n"
		    "ringclr train train.ring -o run --resume\n",
};

const struct option_table command_finetune_table = {
	.command = "finetune",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Trains encoder and classifier on labels from the weights of RUN: 'ringclr train --init RUN --loss "
		 "cross-entropy' with the protocol of SimCLR's paper as defaults: SGD with Nesterov momentum at a rate "
		 "of 0.05 for each 256 images, crops and flips, no warm-up, no weight decay; 60 epochs for a fraction "
		 "under 0.1 of the labels, else 30. Everything else is as in 'ringclr train'. From scratch on the same "
		 "images: 'ringclr train --loss cross-entropy --label-fraction F'.",
	.operands = "RUN|FILE.safetensors",
	.operand_help = "run whose encoder to start from, or a file of weights",
	.operand_min = 1,
	.operand_max = 1,
	.presets = finetune_presets,
	.notes = views_option_help,
	.examples = "ringclr finetune run --train train.ring --test test.ring --label-fraction 0.1 -o tenth\n"
		    "ringclr finetune run --train train.ring --test test.ring --label-fraction 0.01 --init-from head1 "
		    "-o hundredth\n"
		    "ringclr finetune run --train train.ring --test test.ring -o tenth --resume\n",
};

/* The arena's message names what any command could do; bf16 is this one's own way out. */
static void advise_memory(const struct train_job *job, struct error *err)
{
	size_t length = strlen(err->message);
	if (err->code == ERROR_MEMORY)
		snprintf(err->message + length, sizeof err->message - length, "%s%s",
			job->options.compute.precision == PRECISION_FP32 ? ", or try --precision bf16" : "",
			job->options.dry_run ? "" : " (--dry-run shows the whole plan)");
}

/* Also after a run that failed: what led to it is in the trace. */
static int write_trace(struct train_job *job, struct error *err)
{
	trace_stop();
	trace_sort(job->trace);
	trace_file_table(job->trace, stderr);
	int code = trace_file_write(job->trace, job->options.trace, err);
	if (code == 0 && !job->options.quiet)
		command_note(job->parsed.table->command, "trace: %s, for ui.perfetto.dev or chrome://tracing",
			job->options.trace);
	return code;
}

/* Sets up, then trains. */
static int run_job(struct train_job *job, struct error *err)
{
	const struct command_output outputs[] = {{"--trace", job->options.trace}, {"--report", job->options.report}};
	int code = command_check_outputs(outputs, sizeof outputs / sizeof outputs[0], err);
	if (code == 0)
		code = train_set_up(job, err);
	if (code < 0) {
		advise_memory(job, err);
		return code;
	}
	if (!job->options.quiet)
		train_plan_summary(job);
	if (job->trace)
		trace_start(job->trace);
	code = train_watch_start(job->watch, err);
	if (code == 0) {
		code = trainer_run(job->trainer, job->runtime.placement, err);
		if (job->watch && train_watch_end(job, err) < 0)
			code = err->code;
	}
	if (job->trace) {
		int written = write_trace(job, err);
		code = code < 0 ? code : written;
	}
	if (code == 0 && loader_bad_images(job->loader) > 0)
		command_note(job->parsed.table->command,
			"%" PRIu64 " times an image was replaced because it is damaged",
			loader_bad_images(job->loader));
	return code;
}

static int run_dry(struct train_job *job)
{
	struct train_plan plan;
	struct error err = {0};
	int code = train_set_up(job, &err);
	if (code == 0)
		code = train_plan_make(job, &plan, &err);
	if (code < 0)
		return command_fail(job->parsed.table->command, &err);
	int status = job->options.json ? train_plan_json(job, &plan) : train_plan_print(job, &plan);
	if (status == EXIT_OK && train_plan_check(job, &plan, &err) < 0) {
		advise_memory(job, &err);
		return command_fail(job->parsed.table->command, &err);
	}
	return status;
}

/* Nothing for what was not measured. */
static void add_metric(cJSON *result, const char *name, double value)
{
	if (!isnan(value))
		cJSON_AddNumberToObject(result, name, value);
}

static int print_result(const struct train_job *job, bool interrupted)
{
	const struct train_progress *progress = &job->trainer->forward_backward.progress;
	const struct report_item *last = &job->last_epoch;
	cJSON *result = cJSON_CreateObject();
	cJSON_AddStringToObject(result, "run", job->options.output);
	cJSON_AddStringToObject(result, "checkpoint", job->files.checkpoint);
	cJSON_AddNumberToObject(result, "step", (double)progress->step);
	cJSON_AddBoolToObject(result, "interrupted", interrupted);
	if (last->step > 0) {
		cJSON_AddNumberToObject(result, "loss", last->loss);
		if (job->options.loss == LOSS_CROSS_ENTROPY)
			cJSON_AddNumberToObject(result, "accuracy", 100 * last->accuracy);
		else
			cJSON_AddNumberToObject(result, "contrast_acc", last->accuracy);
		add_metric(result, "entropy", last->entropy);
		add_metric(result, "alignment", last->alignment);
		add_metric(result, "uniformity", last->uniformity);
		add_metric(result, "probe", last->probe);
		add_metric(result, "knn", last->knn);
		add_metric(result, "linear", last->linear);
		add_metric(result, "top1", last->top1);
	}
	return json_print(result);
}

/* To the run's end; the result is the exit code. */
static int run_command(struct train_job *job)
{
	const char *command = job->parsed.table->command;
	struct error err = {0};
	int status;
	command_catch_interrupts();
	if (job->options.dry_run) {
		status = run_dry(job);
	} else if (run_job(job, &err) < 0) {
		status = command_fail(command, &err);
	} else {
		bool interrupted = command_interrupted() && job->trainer->forward_backward.progress.step <
								    job->trainer->forward_backward.end_step;
		status = job->options.json ? print_result(job, interrupted) : EXIT_OK;
		if (interrupted) {
			command_note(command, "stopped after step %" PRIu64 "; go on with --resume",
				job->trainer->forward_backward.progress.step);
			status = EXIT_INTERRUPTED;
		} else if (!job->options.quiet) {
			command_note(command, "done: %s", job->files.checkpoint);
		}
	}
	train_clean_up(job);
	return status;
}

static struct train_job job; /* large: paths and options */

int command_train(int argc, char **argv)
{
	job = (struct train_job){.files = {.metrics_fd = -1, .timings_fd = -1}};
	int status = options_parse(&job.parsed, &command_train_table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	job.shards = job.parsed.operands;
	job.shard_count = job.parsed.operand_count;
	return run_command(&job);
}

int command_finetune(int argc, char **argv)
{
	job = (struct train_job){.files = {.metrics_fd = -1, .timings_fd = -1}, .finetune = true};
	int status = options_parse(&job.parsed, &command_finetune_table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	struct error err = {0};
	if (job.options.init) {
		error_set(&err, ERROR_USAGE, "--init %s: the weights to start from are the argument RUN already",
			job.options.init);
		status = command_fail("finetune", &err);
		options_free(&job.parsed);
		return status;
	}
	job.options.init = job.parsed.operands[0];
	job.shards = &job.options.train;
	job.shard_count = 1;
	return run_command(&job);
}
