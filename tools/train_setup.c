/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets a training run up, in the order in which one thing needs the other: options (the command line's, or on --resume
 * the record's), threads and arena, data, net and optimizer, loader, weights, files, pipeline. Nothing is allocated
 * after this.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"
#include "tools/autotune.h"
#include "tools/train_events.h"
#include "tools/train_job.h"
#include "tools/train_report.h"
#include "tools/train_resume.h"
#include "tools/train_supervised.h"

/* The paper's ImageNet values where the user gave none and views are large. finetune has its own rate and decay. */
static void apply_size_defaults(struct train_job *job)
{
	struct train_options *o = &job->options;
	if (o->size <= 32)
		return;
	struct {
		const char *name;
		double *value, large;
		bool pretrains;
	} defaults[] = {{"temperature", &o->temperature, 0.1, false}, {"lr", &o->lr, 0.3, true},
		{"weight-decay", &o->weight_decay, 1e-6, true}, {"strength", &o->strength, 1.0, false}};
	for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
		if (options_origin(&job->parsed, defaults[i].name) == OPTION_DEFAULT &&
			!(job->finetune && defaults[i].pretrains))
			*defaults[i].value = defaults[i].large;
}

static uint32_t count_views(const struct train_job *job)
{
	return job->options.loss == LOSS_CROSS_ENTROPY ? 1 : 2;
}

static int settle_views(struct train_job *job, struct error *err)
{
	const struct train_options *o = &job->options;
	const uint32_t views = count_views(job);
	const struct view_defaults defaults = {.size = (uint32_t)o->size,
		.views = views,
		.strength = (float)o->strength,
		.area_min = (float)o->area_min};
	return views_option_parse(&job->policies, o->views, &defaults, views, err);
}

/* What a run that begins can be refused for before its folder is made; settled again when all options are known. */
static int check_early(struct train_job *job, struct error *err)
{
	int code = train_start_open(job, err);
	if (code == 0)
		code = train_settle_loss(job, err);
	return code < 0 ? code : settle_views(job, err);
}

/* Decides between a fresh start and going on; on going on, takes the run's options from its record. */
static int settle_options(struct train_job *job, bool *go_on, struct error *err)
{
	struct train_options *o = &job->options;
	*go_on = false;
	if (!o->output && !o->dry_run)
		return error_set(err, ERROR_USAGE, "--output RUN is needed; see 'ringclr %s --help'",
			job->parsed.table->command);
	if (!o->resume && check_early(job, err) < 0)
		return err->code;
	int code = o->output ? run_files_locate(&job->files, o->output, !o->dry_run, err) : 0;
	if (code < 0)
		return code;
	*go_on = o->resume && o->output && run_files_resumable(&job->files);
	if (!o->resume && o->output && run_files_used(&job->files))
		return error_set(err, ERROR_USAGE,
			"%s: holds a run already; go on with --resume, or choose another folder", o->output);
	if (*go_on) {
		if (train_resume_options(job, err) < 0)
			return err->code;
	} else {
		if (o->resume && !o->dry_run)
			command_note(job->parsed.table->command, "%s: nothing to resume yet; starting", o->output);
		if (train_start_open(job, err) < 0)
			return err->code;
	}
	apply_size_defaults(job);
	if (train_settle_loss(job, err) < 0)
		return err->code;
	return train_settle_precision(o, err);
}

static int open_data(struct train_job *job, struct error *err)
{
	struct train_options *o = &job->options;
	job->data = runtime_open_shards(&job->runtime, job->shards, job->shard_count, err);
	if (!job->data || train_draw_labelled(job, err) < 0)
		return err->code;
	if (o->test) {
		job->test = runtime_open_shards(&job->runtime, &o->test, 1, err);
		if (!job->test)
			return err->code;
		if (job->test_fingerprint != 0 && shard_set_fingerprint(job->test) != job->test_fingerprint)
			return error_set(err, ERROR_MISMATCH,
				"--test %s holds other images than when this run began: give the same, or start a new "
				"run",
				o->test);
	}
	enum epoch_order order = (enum epoch_order)o->order; /* auto stands where EPOCH_SEQUENTIAL does */
	const char *reason = NULL;
	if (o->order == 0) {
		order = runtime_choose_order(&o->runtime, job->data, &reason);
		command_note(
			job->parsed.table->command, "--order %s: %s", order == EPOCH_FULL ? "full" : "window", reason);
	}
	struct epoch_plan_config plan = {
		.order = order,
		.seed = o->seed,
		.records = job->subset,
		.record_count = job->subset_count,
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
		.max_rows = (uint32_t)(count_views(job) * o->batch),
		.training = true,
		.isa = job->runtime.isa,
		.precision = (enum precision)o->compute.precision,
		.conv = (enum conv_choice)o->compute.conv,
		.recompute = (enum net_recompute)o->compute.recompute,
	};
	if (net_parse_model(o->model, &net.depth, err) < 0)
		return err->code;
	if (o->init) {
		memcpy(net.input_mean, job->start.about.net.input_mean, sizeof net.input_mean);
		memcpy(net.input_deviation, job->start.about.net.input_deviation, sizeof net.input_deviation);
	} else if (o->input == TRAIN_INPUT_IMAGENET) {
		net_normalize_imagenet(&net);
	}
	if (net.stem == NET_STEM_AUTO)
		net.stem = net.size <= 32 ? NET_STEM_CIFAR : NET_STEM_IMAGENET;
	train_choose_head(job, &net);
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
	config.batch = (uint32_t)o->batch;
	config.whole_batches = true;
	config.seed = o->seed;
	config.policies = job->policies;
	if (o->runtime.autotune && !o->dry_run) {
		char text[512];
		if (autotune(&job->runtime, &config, text, sizeof text, err) < 0)
			return err->code;
		if (!o->quiet)
			fprintf(stderr, "%s\n", text);
		struct loader_config tuned = runtime_loader_config(&job->runtime);
		config.workers = tuned.workers;
		config.unpackers = tuned.unpackers;
		config.depth = tuned.depth;
		config.batches = tuned.batches;
	}
	job->loader = loader_create(job->runtime.arena, &config, err);
	if (!job->loader)
		return err->code;
	if (!job->test)
		return 0;
	struct evaluate_config evaluation = {
		.train = job->data,
		.test = job->test,
		.limit = o->limit_images,
		.records = job->subset,
		.record_count = job->subset_count,
		.size = (unsigned)o->size,
		.batch = (uint32_t)(count_views(job) * o->batch < 256 ? count_views(job) * o->batch : 256),
		.dim = net_feature_dim(job->net),
		.knn_k = (unsigned)o->knn_k,
	};
	return evaluator_create(&job->evaluator, &job->runtime, &evaluation, err);
}

/* Initial weights (drawn, or --init's), or the checkpoint's. */
static int load_state(struct train_job *job, bool go_on, struct error *err)
{
	net_init(job->net, job->options.seed);
	if (!go_on)
		return train_start_load(job, err);
	if (job->start.about.fingerprint != job->about.fingerprint)
		return error_set(err, ERROR_MISMATCH,
			"%s: was trained on other data than %s%s; resume with the same shards", job->files.checkpoint,
			job->shards[0], job->shard_count > 1 ? " and the others" : "");
	struct safetensors *file = safetensors_open(job->files.checkpoint, err);
	if (!file)
		return err->code;
	int code = checkpoint_load_net(job->files.checkpoint, file, job->net, err);
	if (code == 0)
		code = checkpoint_load_optimizer(job->files.checkpoint, file, job->optimizer, err);
	if (code == 0)
		code = checkpoint_load_extra(
			job->files.checkpoint, file, job->about.extra, job->about.extra_count, err);
	job->about.progress = job->start.about.progress;
	safetensors_close(file);
	return code;
}

/* A classifier is scored by itself, and by the kNN of its h; there is nothing that a linear probe would add. */
static int evaluate_classifier(struct train_job *job, struct report_item *report, struct error *err)
{
	struct probe_score knn = {0};
	int code = evaluator_encode(&job->evaluator, 0, job->net, err);
	if (code == 0)
		code = evaluator_classify(&job->evaluator, job->net, &report->top1, err);
	if (code == 0)
		code = evaluator_knn(&job->evaluator, &knn, err);
	report->knn = knn.top1;
	return code;
}

static int on_evaluate(void *ctx, const struct train_progress *progress, struct report_item *report, struct error *err)
{
	struct train_job *job = ctx;
	uint64_t epoch = progress->step / job->trainer->forward_backward.epoch_steps;
	uint64_t every = job->options.eval_every;
	bool due = epoch == job->options.epochs || (every > 0 && epoch % every == 0);
	if (job->test && due && job->options.loss == LOSS_CROSS_ENTROPY) {
		int code = evaluate_classifier(job, report, err);
		if (code < 0)
			return code;
	} else if (job->test && due) {
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
	return checkpoint_save(job->files.checkpoint, job->net, job->optimizer, &job->about, err);
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
		.loss_config = {.kind = (enum loss_kind)o->loss,
			.negatives = (enum loss_negatives)o->negatives,
			.normalize = o->normalize,
			.temperature = o->temperature,
			.margin = o->margin},
		.views = count_views(job),
		.probe = job->probe.online,
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

/* Enough for some hundred steps of a large net; what is not touched costs addresses alone. */
enum { TRACE_SLICES = 1 << 17 };

static int create_trace(struct train_job *job, struct error *err)
{
	if (!job->options.trace)
		return 0;
	/* An evaluation's loader comes beside training's, which waits. */
	unsigned loaders = job->test ? 2 : 1,
		 loader = job->runtime.loader_threads + 1 + (unsigned)job->runtime.options.unpackers;
	/* forward_backward, optimize, report. The team's first thread is forward_backward's. */
	unsigned threads = loaders * loader + team_threads(job->runtime.team) - 1 + 3;
	job->trace = trace_create(job->runtime.arena, threads, TRACE_SLICES, err);
	return job->trace ? 0 : err->code;
}

static int write_record(struct train_job *job, struct error *err)
{
	cJSON *record = run_files_make_record(
		options_record(&job->parsed), job->data, job->test, cpu_isa_name(job->runtime.isa));
	int code = run_files_write_record(&job->files, record, err);
	cJSON_Delete(record);
	return code;
}

int train_set_up(struct train_job *job, struct error *err)
{
	bool go_on, dry_run = job->options.dry_run;
	int code = settle_options(job, &go_on, err);
	struct runtime_options runtime = job->options.runtime;
	if (dry_run)
		runtime.mem = 0; /* the plan is to be seen whole, also when it is over the limit */
	if (code == 0)
		code = settle_views(job, err);
	if (code == 0)
		code = runtime_start(&job->runtime, &runtime, err);
	if (code == 0)
		code = open_data(job, err);
	if (code == 0)
		code = create_model(job, err);
	if (code == 0)
		code = create_loader(job, err);
	if (code == 0 && job->options.probe)
		code = train_probe_create(job, err);
	if (code == 0)
		code = load_state(job, go_on, err);
	if (code == 0 && !go_on && !dry_run)
		code = write_record(job, err);
	if (code == 0 && !dry_run)
		code = run_files_open_logs(&job->files, job->about.progress.step, err);
	if (code == 0)
		code = prepare_trainer(job, err);
	if (code == 0)
		code = create_trace(job, err);
	if (code == 0 && job->options.report && !dry_run)
		code = train_watch_create(job, err);
	if (code == 0 && job->options.tensorboard && !dry_run)
		code = train_events_create(job, err);
	if (code == 0)
		code = runtime_add_cache(&job->runtime, job->loader, job->options.runtime.mem, err);
	if (code < 0)
		return code;
	arena_seal(job->runtime.arena);
	return 0;
}

void train_clean_up(struct train_job *job)
{
	train_events_end(job);
	run_files_close_logs(&job->files);
	evaluator_destroy(&job->evaluator);
	loader_destroy(job->loader);
	epoch_plan_destroy(job->plan);
	free(job->subset);
	shard_set_close(job->test);
	shard_set_close(job->data);
	runtime_stop(&job->runtime);
	options_free(&job->parsed);
}
