/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr train: the options; starts or resumes a run and sees it to its end. */
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
	OPTION_CHOICE(struct train_options, head, "head", "none|linear|mlp2|mlp3", "mlp2", "projection head"),
	OPTION_U64(struct train_options, head_dim, "head-dim", "N", "128", 1, 65535, "columns of z"),
	MODEL_OPTIONS(struct train_options, compute),
	OPTION_GROUP("Training"),
	OPTION_U64(struct train_options, batch, "batch", "N", "256", 1, 65536, "images of one step (2N views)"),
	OPTION_U64(struct train_options, epochs, "epochs", "N", "100", 1, 1000000, "passes over the data"),
	OPTION_DOUBLE(struct train_options, temperature, "temperature", "T", "0.5", 1e-3, 100,
		"of NT-Xent; 0.1 when views are over 32 pixels"),
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
	OPTION_CHOICE(struct train_options, order, "order", "auto|full|window", "auto",
		"full: a permutation of all images; window: whole blocks in random order, shuffled within a window. "
		"auto: "
		"full where images are large (32K on average: reading one costs about a block) or decompressed blocks "
		"fit "
		"half of --mem, or of the machine's memory; else window"),
	OPTION_U64(struct train_options, window, "window", "BLOCKS", "64", 1, 65536, "blocks of a window"),
	OPTION_STRING(struct train_options, views, "views", "TEXT", "simclr",
		"how the two views of an image are made: one policy for both, or two, as listed below"),
	OPTION_DOUBLE(struct train_options, strength, "strength", "S", "0.5", 0, 4,
		"of simclr's colour jitter; 1 when views are over 32 pixels"),
	OPTION_DOUBLE(struct train_options, area_min, "area-min", "A", "0.08", 0.001, 1,
		"smallest share of the image that a crop without arguments keeps"),
	OPTION_GROUP("Evaluation"),
	OPTION_STRING(struct train_options, test, "test", "SHARD", NULL, "shard to test on, by kNN and linear probe"),
	OPTION_U64(struct train_options, eval_every, "eval-every", "EPOCHS", "0", 0, 1000000,
		"evaluate so often; 0: at the end only"),
	OPTION_U64(struct train_options, knn_k, "knn-k", "K", "200", 1, 100000, "neighbours that vote"),
	RUNTIME_OPTIONS(struct train_options, runtime),
	AUTOTUNE_OPTION(struct train_options, runtime),
};

const struct option_table command_train_table = {
	.command = "train",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Pre-trains a ResNet with SimCLR from packed shards: two random views of each image, NT-Xent, LARS. "
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
		    "ringclr train train.ring -o run --resume\n",
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
		command_note("train", "trace: %s, for ui.perfetto.dev or chrome://tracing", job->options.trace);
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
		command_note("train", "%" PRIu64 " times an image was replaced because it is damaged",
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
		return command_fail("train", &err);
	int status = job->options.json ? train_plan_json(job, &plan) : train_plan_print(job, &plan);
	if (status == EXIT_OK && train_plan_check(job, &plan, &err) < 0) {
		advise_memory(job, &err);
		return command_fail("train", &err);
	}
	return status;
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
		cJSON_AddNumberToObject(result, "contrast_acc", last->accuracy);
		if (!isnan(last->knn)) {
			cJSON_AddNumberToObject(result, "knn", last->knn);
			cJSON_AddNumberToObject(result, "linear", last->linear);
		}
	}
	return json_print(result);
}

int command_train(int argc, char **argv)
{
	static struct train_job job; /* large: paths and options */
	job = (struct train_job){.files = {.metrics_fd = -1, .timings_fd = -1}};
	int status = options_parse(&job.parsed, &command_train_table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct error err = {0};
	if (job.options.dry_run) {
		status = run_dry(&job);
	} else if (run_job(&job, &err) < 0) {
		status = command_fail("train", &err);
	} else {
		bool interrupted = command_interrupted() &&
				   job.trainer->forward_backward.progress.step < job.trainer->forward_backward.end_step;
		status = job.options.json ? print_result(&job, interrupted) : EXIT_OK;
		if (interrupted) {
			command_note("train", "stopped after step %" PRIu64 "; go on with --resume",
				job.trainer->forward_backward.progress.step);
			status = EXIT_INTERRUPTED;
		} else if (!job.options.quiet) {
			command_note("train", "done: %s", job.files.checkpoint);
		}
	}
	train_clean_up(&job);
	return status;
}
