/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr bench step: whole steps of training, but for the loader.
 *
 * Two stages joined by the gradient ring, as in training: one runs forward, loss and backward, and publishes each
 * gradient as it completes; the other is training's own optimizer stage. A step ends when every weight is up to date:
 * that is when the next step's slots of the ring can be claimed. The first step is a warm-up: it touches memory for the
 * first time.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/graph.h"
#include "stages/optimize.h"
#include "tools/bench.h"
#include "tools/command.h"
#include "tools/json.h"

static const struct option_spec spec[] = {
	BENCH_NET_OPTIONS,
	OPTION_GROUP("Length"),
	OPTION_U64(struct bench_options, steps, "steps", "N", "8", 1, 100000, "timed steps, after one that is not"),
	OPTION_FLAG(struct bench_options, check, "check", "yes",
		"first compare a small net's loss, z and gradients with the reference kernels'"),
	BENCH_THREAD_OPTIONS,
};

const struct option_table bench_step_table = {
	.command = "bench step",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Times whole steps of training on random views: forward, NT-Xent, backward, and LARS on a thread of "
		 "its "
		 "own while backward goes on. Says views/s (median and best step), the last step's loss, the memory "
		 "plan and the memory that was used.",
	.examples = "ringclr bench step --model resnet18 --size 32 --views 256\n"
		    "ringclr bench step --model resnet50 --size 224 --views 64 --precision bf16 --json\n",
};

struct step_job {
	struct bench_options options;
	struct options parsed;
	struct runtime runtime;
	struct net_config config;
	struct bench_check check;
	struct bench_net bench;
	struct schedule schedule;
	struct ring *gradients;
	struct optimize_stage optimize;
	struct graph *graph;
	double *seconds; /* by timed step */
	double least_seconds;
	struct loss_result last;
	uint64_t next_gradient; /* number of the next gradient to publish */
};

static int publish_gradient(void *ctx, size_t param_index)
{
	(void)param_index; /* the order is net_backward_order()'s, which the optimizer knows */
	struct step_job *job = ctx;
	ring_publish(job->gradients, job->next_gradient++, 0);
	return 0;
}

/* Waits until the optimizer has applied every gradient of the steps before. */
static int claim_gradients(struct step_job *job)
{
	int result = RING_OK;
	for (size_t i = 0; i < net_param_count(job->bench.net) && result == RING_OK; i++)
		result = ring_claim(job->gradients, job->next_gradient + i, NULL);
	return result;
}

static int compute_run(void *ctx, struct worker *worker)
{
	struct step_job *job = ctx;
	int result = claim_gradients(job);
	for (uint64_t step = 0; step <= job->options.steps && result == RING_OK; step++) {
		if (command_interrupted())
			return error_set(worker->err, ERROR_INTERRUPTED, "interrupted in step %" PRIu64, step);
		uint64_t start_ns = meter_now_ns();
		bench_net_run(&job->bench, job->runtime.team, &job->last, publish_gradient, job);
		if (!isfinite(job->last.loss))
			return error_set(worker->err, ERROR_NUMERIC,
				"the loss of step %" PRIu64 " is not a finite number: these kernels are wrong, see "
				"--conv, --precision and --isa",
				step);
		result = claim_gradients(job);
		double seconds = 1e-9 * (double)(meter_now_ns() - start_ns);
		if (step == 0)
			continue;
		job->seconds[step - 1] = seconds;
		job->least_seconds = step == 1 ? seconds : fmin(seconds, job->least_seconds);
	}
	if (result < 0)
		return result;
	ring_close(job->gradients, job->next_gradient);
	return 0;
}

/* A value of /proc/self/status in KiB; 0 where there is none. */
static uint64_t status_kib(const char *name)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	uint64_t kib = 0;
	size_t length = strlen(name);
	while (file && kib == 0 && fgets(line, sizeof line, file))
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			kib = strtoull(line + length + 1, NULL, 10);
	if (file)
		fclose(file);
	return kib;
}

/* What the check used is not the step's: the kernel is asked to count the peak from here on. Where it cannot, the peak
 * is that of both. */
static void reset_peak(void)
{
	FILE *file = fopen("/proc/self/clear_refs", "w");
	if (!file)
		return;
	fputs("5\n", file);
	fclose(file);
}

static int plan(struct step_job *job, struct error *err)
{
	struct arena *arena = job->runtime.arena;
	unsigned threads = team_threads(job->runtime.team);
	if (bench_net_create(&job->bench, arena, &job->config, threads, job->options.seed, err) < 0)
		return err->code;
	struct optimizer_config lars = {.kind = OPTIMIZER_LARS, .momentum = 0.9, .weight_decay = 1e-4, .trust = 0.001};
	struct ring_config ring = {.name = "gradient ring", .slots = (uint32_t)net_param_count(job->bench.net)};
	uint64_t images = job->options.views / 2;
	schedule_init(&job->schedule, 0.1, SCHEDULE_CONSTANT, images, images, 1e6, 0);
	job->optimize.net = job->bench.net;
	job->optimize.schedule = &job->schedule;
	job->optimize.optimizer = optimizer_create(arena, job->bench.net, &lars, err);
	job->gradients = job->optimize.optimizer ? ring_create(arena, &ring, err) : NULL;
	job->optimize.gradients = job->gradients;
	job->graph = job->gradients ? arena_alloc(arena, "graph", 1, sizeof *job->graph, 0, err) : NULL;
	job->seconds =
		job->graph ? arena_alloc(arena, "graph", job->options.steps, sizeof *job->seconds, 0, err) : NULL;
	if (!job->seconds)
		return err->code;
	arena_seal(arena);
	return 0;
}

static int run_job(struct step_job *job, struct error *err)
{
	int code = bench_start(&job->runtime, &job->options, err);
	if (code == 0)
		code = bench_net_config(&job->options, &job->runtime, &job->config, err);
	if (code == 0 && job->options.check)
		code = bench_check_run(&job->config, job->runtime.team, &job->check, err);
	reset_peak();
	if (code == 0)
		code = plan(job, err);
	if (code < 0)
		return code;
	struct stage compute = {.name = "forward_backward",
		.run = compute_run,
		.ctx = job,
		.workers = 1,
		.out = job->gradients,
		.placement = PLACEMENT_COMPUTE,
		.caller_runs = 1};
	struct stage optimize = {.name = "optimize",
		.run = optimize_run,
		.ctx = &job->optimize,
		.workers = 1,
		.in = job->gradients,
		.placement = PLACEMENT_OTHER};
	if (graph_add_ring(job->graph, job->gradients, err) < 0 || graph_add_stage(job->graph, &compute, err) < 0 ||
		graph_add_stage(job->graph, &optimize, err) < 0)
		return err->code;
	return graph_run(job->graph, job->runtime.placement, err);
}

struct step_result {
	double median, best; /* views/s */
	double peak_mib, plan_mib, gflops;
	uint64_t flops_per_view;
};

static struct step_result summarise(struct step_job *job)
{
	uint64_t steps = job->options.steps;
	double views = (double)job->options.views;
	double median = bench_median(job->seconds, steps);
	struct step_result result = {
		.median = views / median,
		.best = views / job->least_seconds,
		.peak_mib = (double)status_kib("VmHWM") / 1024,
		.plan_mib = (double)arena_used_bytes(job->runtime.arena) / (1 << 20),
		.flops_per_view = bench_flops_per_view(job->bench.net),
	};
	result.gflops = 1e-9 * result.median * (double)result.flops_per_view;
	return result;
}

static void print_text(const struct step_job *job, const struct step_result *result)
{
	const struct bench_options *o = &job->options;
	const struct bench_check *check = &job->check;
	printf("%s x%g, %" PRIu64 " px, %" PRIu64 " views a step, %s, convolutions %s, %u threads, %s\n", o->model,
		o->width, o->size, o->views, bench_precision_name(job->config.precision),
		bench_conv_name(job->config.conv), team_threads(job->runtime.team), cpu_isa_name(job->runtime.isa));
	if (o->check)
		printf("check: relative errors to the reference: loss %.1e, z %.1e (at most %.0e), gradients %.1e "
		       "(%s; at most %.0e)\n",
			check->loss, check->z, check->z_most, check->gradient, check->worst, check->gradient_most);
	printf("%.1f views/s median, %.1f best of %" PRIu64 " steps\n", result->median, result->best, o->steps);
	printf("%.1f GFLOP/s: %.3f GFLOP a view, every convolution counted as direct\n", result->gflops,
		1e-9 * (double)result->flops_per_view);
	printf("memory: %.1f MiB used at most, %.1f MiB planned\nloss %.6f\n", result->peak_mib, result->plan_mib,
		job->last.loss);
}

static int print_json(const struct step_job *job, const struct step_result *result)
{
	const struct bench_options *o = &job->options;
	cJSON *object = cJSON_CreateObject();
	cJSON_AddNumberToObject(object, "views_per_s_median", result->median);
	cJSON_AddNumberToObject(object, "views_per_s_best", result->best);
	cJSON_AddNumberToObject(object, "gflops_effective", result->gflops);
	cJSON_AddNumberToObject(object, "flops_per_view", (double)result->flops_per_view);
	cJSON_AddNumberToObject(object, "peak_mib", result->peak_mib);
	cJSON_AddNumberToObject(object, "plan_mib", result->plan_mib);
	cJSON_AddNumberToObject(object, "loss", job->last.loss);
	cJSON_AddStringToObject(object, "model", o->model);
	cJSON_AddNumberToObject(object, "width", o->width);
	cJSON_AddNumberToObject(object, "size", (double)o->size);
	cJSON_AddNumberToObject(object, "views", (double)o->views);
	cJSON_AddNumberToObject(object, "steps", (double)o->steps);
	cJSON_AddNumberToObject(object, "threads", team_threads(job->runtime.team));
	cJSON_AddStringToObject(object, "isa", cpu_isa_name(job->runtime.isa));
	cJSON_AddStringToObject(object, "precision", bench_precision_name(job->config.precision));
	cJSON_AddStringToObject(object, "conv", bench_conv_name(job->config.conv));
	if (o->check) {
		cJSON *check = cJSON_AddObjectToObject(object, "check");
		cJSON_AddNumberToObject(check, "loss_error", job->check.loss);
		cJSON_AddNumberToObject(check, "z_error", job->check.z);
		cJSON_AddNumberToObject(check, "z_error_most", job->check.z_most);
		cJSON_AddNumberToObject(check, "gradient_error", job->check.gradient);
		cJSON_AddNumberToObject(check, "gradient_error_most", job->check.gradient_most);
		cJSON_AddStringToObject(check, "gradient_worst", job->check.worst);
	}
	return json_print(object);
}

int bench_step(int argc, char **argv)
{
	static struct step_job job; /* large: names of the check */
	job = (struct step_job){0};
	int status = options_parse(&job.parsed, &bench_step_table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct error err = {0};
	if (run_job(&job, &err) < 0) {
		status = command_fail("bench step", &err);
	} else {
		struct step_result result = summarise(&job);
		status = EXIT_OK;
		if (job.options.json)
			status = print_json(&job, &result);
		else
			print_text(&job, &result);
	}
	runtime_stop(&job.runtime);
	options_free(&job.parsed);
	return status;
}
