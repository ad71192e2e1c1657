/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prediction times real steps of this very net, which is in its place in memory already: forward, loss, backward
 * and update on random input that lies in a slot of the batch ring. Memory is given at the first touch, and a step of
 * fewer rows touches less of it, so a plan that is larger than the machine can be timed too: on as many rows as fit,
 * and as a reasonable time allows. A first look at a few rows says how many those are. The time of a step is then taken
 * to grow with the rows.
 */
#include "tools/train_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "stages/loader_choices.h"
#include "tools/command.h"
#include "tools/json.h"
#include "tools/train_job.h"

enum { LOOK_ROWS = 16, TIMED_STEPS = 2, RANDOM_ROWS = 32 };
static const double TIMED_MOST_S = 12;	     /* all steps of the prediction together, about */
static const double COMFORTABLE_SHARE = 0.6; /* of the memory that is available */
static const double MIB = 1 << 20;

/* ---- Counting ---- */

/* Forward and backward of one view: every convolution's and dense layer's passes, where they exist. */
static uint64_t count_view_flops(const struct net *net)
{
	uint64_t flops = 0;
	for (size_t i = 0; i < net_layer_count(net); i++) {
		struct net_layer layer = net_layer(net, i);
		for (unsigned pass = 0; pass < 3; pass++)
			flops += layer.path[pass] ? layer.flops : 0;
	}
	return flops;
}

static void count(const struct train_job *job, struct train_plan *plan)
{
	const struct forward_backward_stage *stage = &job->trainer->forward_backward;
	*plan = (struct train_plan){
		.view_flops = count_view_flops(job->net),
		.images_per_epoch = loader_images_per_epoch(job->loader),
		.steps_per_epoch = stage->epoch_steps,
		.first_step = stage->progress.step,
		.end_step = stage->end_step,
		.total_bytes = arena_used_bytes(job->runtime.arena),
		.limit_bytes = job->options.runtime.mem,
		.rows = stage->views * stage->batch,
	};
	plan->views = stage->views;
	for (size_t i = 0; i < net_param_count(job->net); i++)
		plan->parameters += net_param(job->net, i)->count;
	plan->step_flops = plan->view_flops * plan->rows;
	plan->epoch_flops = plan->step_flops * plan->steps_per_epoch;
	struct loader_memory memory = loader_memory();
	plan->machine_bytes = memory.machine_bytes;
	plan->available_bytes = memory.available_bytes;
}

/* ---- Predicting ---- */

/* In a run this is done by the optimizer's thread meanwhile. */
static int update_param(void *ctx, size_t param_index)
{
	struct train_job *job = ctx;
	optimizer_apply(job->optimizer, param_index, schedule_rate(&job->schedule, 0), 0);
	return command_interrupted() ? ERROR_INTERRUPTED : 0;
}

/* Seconds of one step on the first `rows` rows of x. */
static int time_step(struct train_job *job, const float *x, uint32_t rows, double *seconds, struct error *err)
{
	struct loss_result loss;
	uint64_t start_ns = meter_now_ns();
	/* The batch's labels, as they are: zeros. */
	struct batch batch = loader_batch(job->loader, 0, ring_slot_memory(loader_batches(job->loader), 0));
	int code = forward_backward_compute(
		&job->trainer->forward_backward, x, batch.label, rows, 0, update_param, job, &loss, err);
	*seconds = (double)(meter_now_ns() - start_ns) * 1e-9;
	return code == ERROR_INTERRUPTED ? error_set(err, code, "stopped") : code;
}

/* One step to warm up, then the mean of `steps`. */
static int time_steps(
	struct train_job *job, const float *x, uint32_t rows, unsigned steps, double *seconds, struct error *err)
{
	double sum = 0, one = 0;
	for (unsigned i = 0; i <= steps; i++) {
		int code = time_step(job, x, rows, &one, err);
		if (code < 0)
			return code;
		sum += i == 0 ? 0 : one;
	}
	*seconds = sum / steps;
	return 0;
}

static void fill_rows(const struct train_job *job, float *x, uint32_t first, uint32_t rows)
{
	size_t row_floats = (size_t)job->options.size * job->options.size * 3;
	struct philox stream = philox_stream(job->options.seed, 0, 0, 0, PHILOX_TEST);
	for (uint32_t row = first; row < rows; row++) {
		float *to = x + row * row_floats;
		if (row >= RANDOM_ROWS)
			memcpy(to, x + row % RANDOM_ROWS * row_floats, row_floats * sizeof(float));
		else
			for (size_t i = 0; i < row_floats; i++)
				to[i] = philox_uniform(&stream, 0, 1);
	}
}

/* Rows to time: all, unless memory or time says otherwise; an even number. row_s: seconds of one row, about. */
static uint32_t choose_rows(const struct train_plan *plan, double row_s)
{
	double share = 1, room = COMFORTABLE_SHARE * (double)plan->available_bytes;
	double full_s = row_s * plan->rows * (TIMED_STEPS + 1);
	if ((double)plan->total_bytes > room)
		share = room / (double)plan->total_bytes;
	if (full_s * share > TIMED_MOST_S)
		share = TIMED_MOST_S / full_s;
	uint32_t images = plan->rows / plan->views;
	return plan->views * (uint32_t)(images * share);
}

static int predict(struct train_job *job, struct train_plan *plan, struct error *err)
{
	float *x = ring_slot_memory(loader_batches(job->loader), 0);
	uint32_t look = plan->rows < LOOK_ROWS ? plan->rows : LOOK_ROWS;
	double seconds;
	fill_rows(job, x, 0, look);
	int code = time_steps(job, x, look, 1, &seconds, err);
	if (code < 0)
		return code;
	plan->timed_rows = look;
	plan->timed_steps = 1;
	uint32_t rows = choose_rows(plan, seconds / look);
	if (rows > look) {
		plan->timed_rows = rows;
		plan->timed_steps = TIMED_STEPS;
		fill_rows(job, x, look, rows);
		code = time_steps(job, x, rows, TIMED_STEPS, &seconds, err);
	}
	plan->step_s = seconds * plan->rows / plan->timed_rows;
	return code;
}

int train_plan_make(struct train_job *job, struct train_plan *plan, struct error *err)
{
	count(job, plan);
	return predict(job, plan, err);
}

int train_plan_check(const struct train_job *job, const struct train_plan *plan, struct error *err)
{
	if (plan->limit_bytes == 0 || plan->total_bytes <= plan->limit_bytes)
		return 0;
	return error_set(err, ERROR_MEMORY,
		"the plan of --batch %" PRIu64 " needs %.0f MiB, over the limit of %.0f MiB: lower --batch or raise "
		"--mem",
		job->options.batch, (double)plan->total_bytes / MIB, (double)plan->limit_bytes / MIB);
}

/* ---- Showing ---- */

static const char *precision_name(const struct train_job *job)
{
	return job->about.net.precision == PRECISION_BF16 ? "bf16" : "fp32";
}

static const char *conv_name(const struct train_job *job)
{
	static const char *const names[] = {"auto", "direct", "winograd"};
	return names[job->about.net.conv];
}

static void print_heading(FILE *out, const struct train_job *job)
{
	const struct train_options *o = &job->options;
	fprintf(out,
		"%s x%g, %" PRIu64 " px, %.3f GFLOP a view, %s, %s convolutions; %" PRIu64 " images an epoch, %" PRIu64
		" steps of %" PRIu64 " images, peak rate %g\n",
		o->model, o->width, o->size, 1e-9 * (double)count_view_flops(job->net), precision_name(job),
		conv_name(job), loader_images_per_epoch(job->loader), job->trainer->forward_backward.end_step, o->batch,
		job->schedule.peak);
	char cache[128];
	runtime_describe_cache(job->loader, cache, sizeof cache);
	fprintf(out, "%u compute threads, %u loader threads, %s, reading by %s, cache: %s\n",
		team_threads(job->runtime.team), job->runtime.loader_threads, cpu_isa_name(job->runtime.isa),
		loader_engine_name(job->loader), cache);
}

static void summarise_class(void *ctx, const char *class_name, size_t bytes)
{
	(void)ctx;
	if (bytes >= 1 << 20)
		fprintf(stderr, "  %-20s %8.1f MiB\n", class_name, (double)bytes / MIB);
}

void train_plan_summary(const struct train_job *job)
{
	print_heading(stderr, job);
	fprintf(stderr, "memory plan: %.1f MiB\n", (double)arena_used_bytes(job->runtime.arena) / MIB);
	arena_classes(job->runtime.arena, summarise_class, NULL);
}

static void print_class(void *ctx, const char *class_name, size_t bytes)
{
	(void)ctx;
	printf("  %-22s %10.2f MiB\n", class_name, (double)bytes / MIB);
}

/* "2h05m", "3m20s", "12.3 s". */
static void format_time(double seconds, char *text, size_t capacity)
{
	double minutes = seconds / 60;
	if (minutes >= 60)
		snprintf(text, capacity, "%.0fh%02.0fm", (double)(uint64_t)(minutes / 60),
			(double)((uint64_t)minutes % 60));
	else if (minutes >= 2)
		snprintf(text, capacity, "%.0fm%02.0fs", (double)(uint64_t)minutes, (double)((uint64_t)seconds % 60));
	else
		snprintf(text, capacity, "%.3g s", seconds);
}

static void describe_prediction(const struct train_plan *plan, char *text, size_t capacity)
{
	const char *steps = plan->timed_steps == 1 ? "1 step" : "2 steps";
	if (plan->timed_rows == plan->rows)
		snprintf(text, capacity, "%s of the whole batch on random input", steps);
	else
		snprintf(text, capacity,
			"%s of %" PRIu32 " of the batch's %" PRIu32 " views on random input, scaled up", steps,
			plan->timed_rows, plan->rows);
}

int train_plan_print(const struct train_job *job, const struct train_plan *plan)
{
	char how[128], epoch[32], run[32];
	print_heading(stdout, job);
	printf("\nmemory\n");
	arena_classes(job->runtime.arena, print_class, NULL);
	printf("  %-22s %10.2f MiB", "total", (double)plan->total_bytes / MIB);
	if (plan->limit_bytes > 0)
		printf(" of --mem's %.0f", (double)plan->limit_bytes / MIB);
	printf("; this machine has %.0f, of which %.0f are available\n", (double)plan->machine_bytes / MIB,
		(double)plan->available_bytes / MIB);
	printf("\nwork\n  parameters     %" PRIu64 "\n  steps          %" PRIu64 " an epoch, %" PRIu64
	       " to go\n  a step         %.4g GFLOP\n  an epoch       %.4g GFLOP\n",
		plan->parameters, plan->steps_per_epoch, plan->end_step - plan->first_step,
		1e-9 * (double)plan->step_flops, 1e-9 * (double)plan->epoch_flops);
	describe_prediction(plan, how, sizeof how);
	format_time(plan->step_s * (double)plan->steps_per_epoch, epoch, sizeof epoch);
	format_time(plan->step_s * (double)(plan->end_step - plan->first_step), run, sizeof run);
	printf("\npredicted from %s (loading and evaluation not counted)\n"
	       "  views/s        %.1f\n  GFLOP/s        %.1f\n  an epoch       %s\n  the run        %s\n",
		how, plan->rows / plan->step_s, 1e-9 * (double)plan->step_flops / plan->step_s, epoch, run);
	return EXIT_OK;
}

static void add_class(void *ctx, const char *class_name, size_t bytes)
{
	cJSON_AddNumberToObject(ctx, class_name, (double)bytes);
}

int train_plan_json(const struct train_job *job, const struct train_plan *plan)
{
	char how[128];
	cJSON *result = cJSON_CreateObject();
	cJSON_AddBoolToObject(result, "dry_run", true);
	cJSON_AddStringToObject(result, "precision", precision_name(job));
	cJSON_AddStringToObject(result, "conv", conv_name(job));
	cJSON_AddStringToObject(result, "kernels", cpu_isa_name(job->runtime.isa));
	cJSON_AddNumberToObject(result, "threads", team_threads(job->runtime.team));
	cJSON_AddNumberToObject(result, "parameters", (double)plan->parameters);
	cJSON_AddNumberToObject(result, "images_per_epoch", (double)plan->images_per_epoch);
	cJSON_AddNumberToObject(result, "steps_per_epoch", (double)plan->steps_per_epoch);
	cJSON_AddNumberToObject(result, "first_step", (double)plan->first_step);
	cJSON_AddNumberToObject(result, "steps", (double)plan->end_step);
	cJSON_AddNumberToObject(result, "flops_per_view", (double)plan->view_flops);
	cJSON_AddNumberToObject(result, "flops_per_step", (double)plan->step_flops);
	cJSON_AddNumberToObject(result, "flops_per_epoch", (double)plan->epoch_flops);
	cJSON *memory = cJSON_AddObjectToObject(result, "memory");
	arena_classes(job->runtime.arena, add_class, cJSON_AddObjectToObject(memory, "class_bytes"));
	cJSON_AddNumberToObject(memory, "total_bytes", (double)plan->total_bytes);
	if (plan->limit_bytes > 0)
		cJSON_AddNumberToObject(memory, "limit_bytes", (double)plan->limit_bytes);
	cJSON_AddNumberToObject(memory, "machine_bytes", (double)plan->machine_bytes);
	cJSON_AddNumberToObject(memory, "available_bytes", (double)plan->available_bytes);
	cJSON *predicted = cJSON_AddObjectToObject(result, "predicted");
	describe_prediction(plan, how, sizeof how);
	cJSON_AddStringToObject(predicted, "from", how);
	cJSON_AddNumberToObject(predicted, "views_timed", plan->timed_rows);
	cJSON_AddNumberToObject(predicted, "step_s", plan->step_s);
	cJSON_AddNumberToObject(predicted, "views_per_s", plan->rows / plan->step_s);
	cJSON_AddNumberToObject(predicted, "epoch_s", plan->step_s * (double)plan->steps_per_epoch);
	cJSON_AddNumberToObject(predicted, "run_s", plan->step_s * (double)(plan->end_step - plan->first_step));
	return json_print(result);
}
