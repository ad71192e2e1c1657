/* SPDX-License-Identifier: Apache-2.0 */
/* ringclr train: plans a run, starts or resumes it, and sees it to its end. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stages/checkpoint.h"
#include "stages/trainer.h"
#include "tools/command.h"
#include "tools/evaluate.h"
#include "tools/json.h"
#include "tools/model_options.h"
#include "tools/run_files.h"

struct train_options {
	const char *output, *test, *model;
	double width, temperature, lr, weight_decay, momentum, warmup_epochs, strength, area_min;
	uint64_t size, head_dim, batch, epochs, seed, limit_images, window, eval_every, checkpoint_every, knn_k;
	unsigned stem, head, optimizer, lr_scaling, order; /* places in their choices, which are the enums' */
	bool resume, quiet, json;
	struct model_options compute;
	struct runtime_options runtime;
};

static const struct option_spec spec[] = {
	OPTION_GROUP("Run"),
	OPTION_STRING(struct train_options, output, "output", "RUN", NULL, "folder of the run", .letter = 'o',
		.required = true, .incidental = true),
	OPTION_FLAG(struct train_options, resume, "resume", "no", "go on from RUN's checkpoint, with its options",
		.incidental = true),
	OPTION_U64(struct train_options, seed, "seed", "N", "1", 0, UINT64_MAX, "of weights, order and views"),
	OPTION_U64(struct train_options, checkpoint_every, "checkpoint-every", "STEPS", "0", 0, UINT32_MAX,
		"also save after every so many steps; 0: at every epoch's end", .incidental = true),
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
		"full: a permutation of all records; window: whole blocks in random order, shuffled within a window"),
	OPTION_U64(struct train_options, window, "window", "BLOCKS", "64", 1, 65536, "blocks of a window"),
	OPTION_DOUBLE(struct train_options, strength, "strength", "S", "0.5", 0, 4,
		"of the colour jitter; 1 when views are over 32 pixels"),
	OPTION_DOUBLE(struct train_options, area_min, "area-min", "A", "0.08", 0.001, 1,
		"smallest share of the image that a crop keeps"),
	OPTION_GROUP("Evaluation"),
	OPTION_STRING(struct train_options, test, "test", "G", NULL, "shard to test on, by kNN and linear probe"),
	OPTION_U64(struct train_options, eval_every, "eval-every", "EPOCHS", "0", 0, 1000000,
		"evaluate so often; 0: at the end only"),
	OPTION_U64(struct train_options, knn_k, "knn-k", "K", "200", 1, 100000, "neighbours that vote"),
	RUNTIME_OPTIONS(struct train_options, runtime),
};

static const struct option_table table = {
	.command = "train",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Pre-trains a ResNet with SimCLR from packed shards: two random views of each image, NT-Xent, LARS. "
		 "Writes RUN/run.json, "
		 "RUN/metrics.jsonl (a line an epoch; the same for the same options and data), RUN/timings.jsonl and "
		 "RUN/checkpoint.safetensors. Ctrl-C finishes the step, saves and exits 130; --resume goes on to the "
		 "same bytes as if "
		 "never stopped.",
	.operands = "F",
	.operand_help = "shards to train on",
	.operand_min = 1,
	.operand_max = 1024,
	.examples = "ringclr train train.ring --test test.ring -o run\n"
		    "ringclr train train.ring -o small --width 0.25 --epochs 20 --warmup-epochs 2\n"
		    "ringclr train train.ring -o run --resume\n",
};

/* Everything that one run holds. */
struct train_job {
	struct train_options options;
	struct options parsed;
	struct runtime runtime;
	struct run_files files;
	struct shard_set *data, *test;
	struct epoch_plan *plan;
	struct net *net;
	struct optimizer *optimizer;
	struct schedule schedule;
	struct loader *loader;
	struct evaluator evaluator;
	struct trainer *trainer;
	struct checkpoint_about about;
	struct report_item last_epoch;
	bool saved;
};

/* The paper's ImageNet values where the user gave none and views are large. */
static void apply_size_defaults(struct train_options *o, const struct options *parsed)
{
	if (o->size <= 32)
		return;
	struct {
		const char *name;
		double *value, large;
	} defaults[] = {{"temperature", &o->temperature, 0.1}, {"lr", &o->lr, 0.3},
		{"weight-decay", &o->weight_decay, 1e-6}, {"strength", &o->strength, 1.0}};
	for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
		if (options_origin(parsed, defaults[i].name) == OPTION_DEFAULT)
			*defaults[i].value = defaults[i].large;
}

/* The record says what `auto` came to, so that a run goes on as it began. */
static int settle_precision(struct train_options *o, struct error *err)
{
	enum cpu_isa isa;
	if (cpu_parse(o->runtime.isa, &isa, err) < 0)
		return err->code;
	o->compute.precision = (unsigned)model_precision(o->compute.precision, isa);
	return 0;
}

/* Decides between a fresh start and going on; on going on, takes the run's options from its record. */
static int settle_options(struct train_job *job, bool *go_on, struct error *err)
{
	struct train_options *o = &job->options;
	int code = run_files_locate(&job->files, o->output, false, err);
	if (code < 0)
		return code;
	*go_on = o->resume && run_files_resumable(&job->files);
	if (!o->resume && run_files_used(&job->files))
		return error_set(err, ERROR_USAGE,
			"%s: holds a run already; go on with --resume, or choose another folder", o->output);
	if (*go_on) {
		cJSON *record = run_files_read_record(&job->files, err);
		if (!record)
			return err->code;
		const cJSON *options = cJSON_GetObjectItemCaseSensitive(record, "options");
		code = options_restore(&job->parsed, options, NULL, err);
		if (code == 0)
			code = settle_precision(o, err);
		if (code == 0)
			code = options_compare(&job->parsed, options, NULL, err);
		cJSON_Delete(record);
		if (code < 0)
			return code;
	} else if (o->resume) {
		command_note("train", "%s: nothing to resume yet; starting", o->output);
	}
	apply_size_defaults(o, &job->parsed);
	return settle_precision(o, err);
}

static int open_data(struct train_job *job, struct error *err)
{
	struct train_options *o = &job->options;
	job->data = runtime_open_shards(&job->runtime, job->parsed.operands, job->parsed.operand_count, err);
	if (!job->data)
		return err->code;
	if (o->test) {
		job->test = runtime_open_shards(&job->runtime, &o->test, 1, err);
		if (!job->test)
			return err->code;
	}
	enum epoch_order order = (enum epoch_order)o->order; /* auto stands where EPOCH_SEQUENTIAL does */
	struct epoch_plan_config plan = {
		.order = o->order == 0 ? runtime_choose_order(job->data) : order,
		.seed = o->seed,
		.limit = o->limit_images,
		.subset_seed = EVALUATE_SUBSET_SEED,
		.window = (uint32_t)o->window,
	};
	o->order = (unsigned)plan.order; /* the record says what was taken */
	if (o->limit_images > shard_set_records(job->data))
		return error_set(err, ERROR_USAGE,
			"--limit-images %" PRIu64 " is more than the data holds (%" PRIu64 " images)", o->limit_images,
			shard_set_records(job->data));
	job->plan = epoch_plan_create(job->data, &plan, err);
	return job->plan ? 0 : err->code;
}

static int create_model(struct train_job *job, struct error *err)
{
	const struct train_options *o = &job->options;
	struct net_config net = {
		.width = (float)o->width,
		.size = (unsigned)o->size,
		.stem = (enum net_stem)o->stem,
		.head = (enum net_head)o->head,
		.head_dim = (unsigned)o->head_dim,
		.max_rows = (uint32_t)(2 * o->batch),
		.training = true,
		.isa = job->runtime.isa,
		.precision = (enum precision)o->compute.precision,
		.conv = (enum conv_choice)o->compute.conv,
	};
	if (net_parse_model(o->model, &net.depth, err) < 0)
		return err->code;
	if (net.stem == NET_STEM_AUTO)
		net.stem = net.size <= 32 ? NET_STEM_CIFAR : NET_STEM_IMAGENET;
	job->about.net = net;
	job->about.fingerprint = shard_set_fingerprint(job->data);
	job->net = net_create(job->runtime.arena, &net, team_threads(job->runtime.team), err);
	if (!job->net)
		return err->code;
	struct optimizer_config optimizer = {
		.kind = (enum optimizer_kind)o->optimizer,
		.momentum = o->momentum,
		.weight_decay = o->weight_decay,
		.trust = 0.001,
	};
	job->optimizer = optimizer_create(job->runtime.arena, job->net, &optimizer, err);
	return job->optimizer ? 0 : err->code;
}

static int create_loader(struct train_job *job, struct error *err)
{
	const struct train_options *o = &job->options;
	struct loader_config config = runtime_loader_config(&job->runtime);
	config.set = job->data;
	config.plan = job->plan;
	config.views = 2;
	config.batch = (uint32_t)o->batch;
	config.whole_batches = true;
	config.seed = o->seed;
	view_policy_init(&config.policy, VIEW_SIMCLR, (uint32_t)o->size, (float)o->strength);
	config.policy.area_min = (float)o->area_min;
	job->loader = loader_create(job->runtime.arena, &config, err);
	if (!job->loader)
		return err->code;
	if (!job->test)
		return 0;
	struct evaluate_config evaluation = {
		.train = job->data,
		.test = job->test,
		.limit = o->limit_images,
		.size = (unsigned)o->size,
		.batch = (uint32_t)(o->batch < 128 ? 2 * o->batch : 256),
		.dim = net_feature_dim(job->net),
		.knn_k = (unsigned)o->knn_k,
	};
	return evaluator_create(&job->evaluator, &job->runtime, &evaluation, err);
}

/* Initial weights, or the checkpoint's. */
static int load_state(struct train_job *job, bool go_on, struct error *err)
{
	net_init(job->net, job->options.seed);
	if (!go_on)
		return 0;
	struct checkpoint_about about = {0};
	struct safetensors *file = safetensors_open(job->files.checkpoint, err);
	if (!file)
		return err->code;
	int code = checkpoint_about(job->files.checkpoint, file, &about, err);
	if (code == 0 && about.fingerprint != job->about.fingerprint)
		code = error_set(err, ERROR_MISMATCH,
			"%s: was trained on other data than %s%s; resume with the same shards", job->files.checkpoint,
			job->parsed.operands[0], job->parsed.operand_count > 1 ? " and the others" : "");
	if (code == 0)
		code = checkpoint_load_net(job->files.checkpoint, file, job->net, err);
	if (code == 0)
		code = checkpoint_load_optimizer(job->files.checkpoint, file, job->optimizer, err);
	job->about.progress = about.progress;
	safetensors_close(file);
	return code;
}

static int on_evaluate(void *ctx, const struct train_progress *progress, struct report_item *report, struct error *err)
{
	struct train_job *job = ctx;
	uint64_t epoch = progress->step / job->trainer->forward_backward.epoch_steps;
	uint64_t every = job->options.eval_every;
	bool due = epoch == job->options.epochs || (every > 0 && epoch % every == 0);
	if (job->test && due) {
		/* A short path of weights: the full 45 are `ringclr eval`'s. */
		static const double ridges[] = {1e-2, 1e-3, 1e-4, 1e-5};
		struct probe_score knn = {0}, linear = {0};
		int code = evaluator_encode(&job->evaluator, 0, job->net, err);
		if (code == 0)
			code = evaluator_encode(&job->evaluator, 1, job->net, err);
		if (code == 0)
			code = evaluator_knn(&job->evaluator, &knn, err);
		if (code == 0)
			code = evaluator_linear(
				&job->evaluator, ridges, sizeof ridges / sizeof ridges[0], &linear, err);
		if (code < 0)
			return code;
		report->knn = knn.top1;
		report->linear = linear.top1;
	}
	job->last_epoch = *report;
	return 0;
}

static int on_save(void *ctx, const struct train_progress *progress, struct error *err)
{
	struct train_job *job = ctx;
	job->about.progress = *progress;
	int code = checkpoint_save(job->files.checkpoint, job->net, job->optimizer, &job->about, err);
	job->saved = job->saved || code == 0;
	return code;
}

static int prepare_trainer(struct train_job *job, struct error *err)
{
	const struct train_options *o = &job->options;
	uint64_t images = epoch_plan_length(job->plan), steps = images / o->batch;
	schedule_init(&job->schedule, o->lr, (enum schedule_scaling)o->lr_scaling, o->batch, images, (double)o->epochs,
		o->warmup_epochs);
	job->trainer = arena_alloc(job->runtime.arena, "graph", 1, sizeof *job->trainer, 0, err);
	if (!job->trainer)
		return err->code;
	job->trainer->forward_backward = (struct forward_backward_stage){
		.loader = job->loader,
		.net = job->net,
		.team = job->runtime.team,
		.temperature = o->temperature,
		.batch = (uint32_t)o->batch,
		.schedule = &job->schedule,
		.end_step = steps * o->epochs,
		.epoch_steps = steps,
		.progress = job->about.progress,
		.boundary = {.checkpoint_steps = o->checkpoint_every,
			.evaluate = on_evaluate,
			.save = on_save,
			.ctx = job},
		.stopped = command_interrupted,
	};
	job->trainer->optimize.optimizer = job->optimizer;
	job->trainer->report = (struct report_stage){
		.metrics_fd = job->files.metrics_fd,
		.timings_fd = job->files.timings_fd,
		.metrics_path = job->files.metrics,
		.timings_path = job->files.timings,
		.quiet = o->quiet,
	};
	return trainer_prepare(job->trainer, job->runtime.arena, err);
}

static void print_class(void *ctx, const char *class_name, size_t bytes)
{
	(void)ctx;
	if (bytes >= 1 << 20)
		fprintf(stderr, "  %-20s %8.1f MiB\n", class_name, (double)bytes / (1 << 20));
}

static void print_plan(const struct train_job *job)
{
	const struct train_options *o = &job->options;
	uint64_t images = loader_images_per_epoch(job->loader);
	fprintf(stderr,
		"%s x%g, %" PRIu64 " px, %.3f GFLOP a view; %" PRIu64 " images an epoch, %" PRIu64 " steps of %" PRIu64
		" images, peak rate %g\n",
		o->model, o->width, o->size, 3e-9 * (double)net_flops(job->net), images,
		job->trainer->forward_backward.end_step, o->batch, job->schedule.peak);
	fprintf(stderr, "%u compute threads, %u loader threads, %s, reading by %s\n", team_threads(job->runtime.team),
		job->runtime.loader_threads, cpu_isa_name(job->runtime.isa), loader_engine_name(job->loader));
	fprintf(stderr, "memory plan: %.1f MiB\n", (double)arena_used_bytes(job->runtime.arena) / (1 << 20));
	arena_classes(job->runtime.arena, print_class, NULL);
}

static int write_record(struct train_job *job, struct error *err)
{
	cJSON *record = run_files_make_record(
		options_record(&job->parsed), job->data, job->test, cpu_isa_name(job->runtime.isa));
	int code = run_files_write_record(&job->files, record, err);
	cJSON_Delete(record);
	return code;
}

/* Makes the whole plan, then trains. */
static int run_job(struct train_job *job, struct error *err)
{
	bool go_on;
	int code = settle_options(job, &go_on, err);
	if (code == 0)
		code = runtime_start(&job->runtime, &job->options.runtime, err);
	if (code == 0)
		code = open_data(job, err);
	if (code == 0)
		code = create_model(job, err);
	if (code == 0)
		code = create_loader(job, err);
	if (code == 0)
		code = load_state(job, go_on, err);
	if (code == 0 && !go_on)
		code = write_record(job, err);
	if (code == 0)
		code = run_files_open_logs(&job->files, job->about.progress.step, err);
	if (code == 0)
		code = prepare_trainer(job, err);
	if (code < 0)
		return code;
	arena_seal(job->runtime.arena);
	if (!job->options.quiet)
		print_plan(job);
	code = trainer_run(job->trainer, job->runtime.placement, err);
	if (code == 0 && loader_bad_images(job->loader) > 0)
		command_note("train", "%" PRIu64 " times an image was replaced because it is damaged",
			loader_bad_images(job->loader));
	return code;
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

static void clean_up(struct train_job *job)
{
	run_files_close_logs(&job->files);
	evaluator_destroy(&job->evaluator);
	loader_destroy(job->loader);
	epoch_plan_destroy(job->plan);
	shard_set_close(job->test);
	shard_set_close(job->data);
	runtime_stop(&job->runtime);
	options_free(&job->parsed);
}

int command_train(int argc, char **argv)
{
	static struct train_job job; /* large: paths and options */
	job = (struct train_job){.files = {.metrics_fd = -1, .timings_fd = -1}};
	int status = options_parse(&job.parsed, &table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct error err = {0};
	int code = run_job(&job, &err);
	status = EXIT_OK;
	if (code < 0) {
		status = command_fail("train", &err);
	} else {
		bool interrupted = command_interrupted() &&
				   job.trainer->forward_backward.progress.step < job.trainer->forward_backward.end_step;
		if (job.options.json)
			status = print_result(&job, interrupted);
		if (interrupted) {
			command_note("train", "stopped after step %" PRIu64 "; go on with --resume",
				job.trainer->forward_backward.progress.step);
			status = EXIT_INTERRUPTED;
		} else if (!job.options.quiet) {
			command_note("train", "done: %s", job.files.checkpoint);
		}
	}
	clean_up(&job);
	return status;
}
