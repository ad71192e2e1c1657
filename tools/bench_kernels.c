/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr bench kernels: every layer and pass of a net alone, held against what the machine can do.
 *
 * One forward and one backward of the whole net come first, so that every buffer holds finite numbers of the kind that
 * training has. Then every layer runs each of its passes a few turns, of which the median counts. Layers of one shape,
 * computed in one way, share a line that tells their mean.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/meter.h"
#include "tools/bench.h"
#include "tools/command.h"
#include "tools/json.h"

static const struct option_spec spec[] = {
	BENCH_NET_OPTIONS,
	OPTION_GROUP("Length"),
	OPTION_U64(struct bench_options, turns, "turns", "N", "5", 1, 1000, "turns of each layer and pass"),
	BENCH_THREAD_OPTIONS,
};

const struct option_table bench_kernels_table = {
	.command = "bench kernels",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Times every convolution and dense layer of a net: forward, gradient of its input, gradient of its "
		 "weights. Says GFLOP/s (counted as direct convolutions, so that a faster algorithm may pass 100% of "
		 "the peak), the share of the multiply-add peak that was measured just before, and GB/s of the "
		 "activations and gradients that must move. Times are of one layer; the sums are of all.",
	.examples = "ringclr bench kernels --model resnet18 --size 32 --views 256\n"
		    "ringclr bench kernels --model resnet50 --size 224 --views 32 --threads 1 --json\n",
};

enum { PASSES = 3 };
static const char *const pass_names[PASSES] = {"forward", "data", "weights"};

/* Layers of one shape. */
struct layer_group {
	struct net_layer first;
	unsigned layers;
	double seconds[PASSES]; /* sums over the layers */
	double bytes[PASSES];	/* of all rows */
};

struct kernels_job {
	struct bench_options options;
	struct options parsed;
	struct runtime runtime;
	struct net_config config;
	struct bench_net bench;
	struct layer_group *groups;
	size_t group_count;
	double *turns; /* seconds of each */
	double peak_fp32, peak_bf16;
};

/* What a group is worth in one pass; a row of the table. */
struct figures {
	double seconds, gflops, share, bytes, gb_per_s;
};

static bool same_path(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_shape(const struct net_layer *a, const struct net_layer *b)
{
	return a->in_h == b->in_h && a->in_w == b->in_w && a->in_c == b->in_c && a->out_h == b->out_h &&
	       a->out_w == b->out_w && a->out_c == b->out_c && a->kernel == b->kernel && a->stride == b->stride &&
	       same_path(a->path[0], b->path[0]) && same_path(a->path[1], b->path[1]) &&
	       same_path(a->path[2], b->path[2]);
}

static struct layer_group *find_group(struct kernels_job *job, const struct net_layer *layer)
{
	for (size_t i = 0; i < job->group_count; i++)
		if (same_shape(&job->groups[i].first, layer))
			return &job->groups[i];
	struct layer_group *group = &job->groups[job->group_count++];
	group->first = *layer;
	return group;
}

static double median_seconds(struct kernels_job *job, size_t layer, enum net_pass pass)
{
	uint64_t turns = job->options.turns;
	for (uint64_t i = 0; i < turns; i++) {
		uint64_t start_ns = meter_now_ns();
		net_run_layer(job->bench.net, job->runtime.team, layer, pass, job->bench.rows);
		job->turns[i] = 1e-9 * (double)(meter_now_ns() - start_ns);
	}
	return bench_median(job->turns, turns);
}

static int plan(struct kernels_job *job, struct error *err)
{
	struct arena *arena = job->runtime.arena;
	if (bench_net_create(
		    &job->bench, arena, &job->config, team_threads(job->runtime.team), job->options.seed, err) < 0)
		return err->code;
	size_t layers = net_layer_count(job->bench.net);
	job->groups = arena_alloc(arena, "figures", layers, sizeof *job->groups, 0, err);
	job->turns = job->groups ? arena_alloc(arena, "figures", job->options.turns, sizeof *job->turns, 0, err) : NULL;
	return job->turns ? 0 : err->code;
}

static int measure(struct kernels_job *job, struct error *err)
{
	int code = bench_start(&job->runtime, &job->options, err);
	if (code == 0)
		code = bench_net_config(&job->options, &job->runtime, &job->config, err);
	if (code == 0)
		code = plan(job, err);
	if (code < 0)
		return code;
	struct net *net = job->bench.net;
	struct team *team = job->runtime.team;
	bench_pin_caller(&job->runtime);
	job->peak_fp32 = bench_peak_fp32(team, job->runtime.isa);
	job->peak_bf16 = bench_peak_bf16(team);
	struct loss_result result;
	bench_net_run(&job->bench, team, &result, bench_announce_nothing, NULL);
	for (size_t i = 0; i < net_layer_count(net); i++) {
		struct net_layer layer = net_layer(net, i);
		struct layer_group *group = find_group(job, &layer);
		group->layers++;
		for (int pass = NET_FORWARD; pass < PASSES; pass++) {
			if (command_interrupted())
				return error_set(err, ERROR_INTERRUPTED, "interrupted at %s", layer.name);
			if (!layer.path[pass])
				continue;
			group->seconds[pass] += median_seconds(job, i, (enum net_pass)pass);
			group->bytes[pass] += (double)layer.bytes[pass] * job->bench.rows;
		}
	}
	return 0;
}

/* The peak that a path is held against: its name says what it multiplies. */
static double peak_of(const struct kernels_job *job, const char *path)
{
	return job->peak_bf16 > 0 && strstr(path, "bf16") ? job->peak_bf16 : job->peak_fp32;
}

/* Of the mean layer of a group. */
static struct figures figures_of(const struct kernels_job *job, const struct layer_group *group, int pass)
{
	double layers = group->layers;
	struct figures f = {.seconds = group->seconds[pass] / layers, .bytes = group->bytes[pass] / layers};
	f.gflops = 1e-9 * (double)group->first.flops * job->bench.rows / f.seconds;
	f.share = f.gflops / peak_of(job, group->first.path[pass]);
	f.gb_per_s = 1e-9 * f.bytes / f.seconds;
	return f;
}

/* Of all layers. Its share is of the time that each would take at the peak of its own path. */
static struct figures sum_pass(const struct kernels_job *job, int pass)
{
	struct figures sum = {0};
	double flops = 0, peak_seconds = 0;
	for (size_t i = 0; i < job->group_count; i++) {
		const struct layer_group *group = &job->groups[i];
		if (!group->first.path[pass])
			continue;
		double part = (double)group->first.flops * job->bench.rows * group->layers;
		flops += part;
		peak_seconds += 1e-9 * part / peak_of(job, group->first.path[pass]);
		sum.seconds += group->seconds[pass];
		sum.bytes += group->bytes[pass];
	}
	sum.gflops = 1e-9 * flops / sum.seconds;
	sum.share = peak_seconds / sum.seconds;
	sum.gb_per_s = 1e-9 * sum.bytes / sum.seconds;
	return sum;
}

static void print_figures(const char *shape, const char *count, const char *pass, struct figures f, const char *path)
{
	printf("%-31s %4s  %-8s %9.3f %9.1f %6.1f%% %9.1f %7.1f  %s\n", shape, count, pass, 1e3 * f.seconds, f.gflops,
		100 * f.share, 1e-6 * f.bytes, f.gb_per_s, path);
}

static void print_table(const struct kernels_job *job)
{
	const struct bench_options *o = &job->options;
	printf("%s x%g, %" PRIu64 " px, %" PRIu64 " views, %s, %u threads, %s; peak %.1f GFLOP/s fp32", o->model,
		o->width, o->size, o->views, bench_precision_name(job->config.precision),
		team_threads(job->runtime.team), cpu_isa_name(job->runtime.isa), job->peak_fp32);
	if (job->peak_bf16 > 0)
		printf(", %.1f bf16", job->peak_bf16);
	printf("\n\n%-31s %4s  %-8s %9s %9s %7s %9s %7s  %s\n", "layer", "", "pass", "ms", "GFLOP/s", "of peak", "MB",
		"GB/s", "path");
	for (size_t i = 0; i < job->group_count; i++) {
		const struct net_layer *layer = &job->groups[i].first;
		char shape[96], count[16];
		snprintf(shape, sizeof shape, "%ux%ux%u -> %ux%ux%u %ux%u/%u", layer->in_h, layer->in_w, layer->in_c,
			layer->out_h, layer->out_w, layer->out_c, layer->kernel, layer->kernel, layer->stride);
		snprintf(count, sizeof count, "x%u", job->groups[i].layers);
		for (int pass = 0, lines = 0; pass < PASSES; pass++)
			if (layer->path[pass]) {
				print_figures(lines ? "" : shape, lines ? "" : count, pass_names[pass],
					figures_of(job, &job->groups[i], pass), layer->path[pass]);
				lines++;
			}
	}
	double seconds = 0;
	for (int pass = 0; pass < PASSES; pass++) {
		struct figures sum = sum_pass(job, pass);
		print_figures(pass ? "" : "sum", "", pass_names[pass], sum, "");
		seconds += sum.seconds;
	}
	printf("\n%.3f ms a step in layers, %.3f ms a view\n", 1e3 * seconds, 1e3 * seconds / (double)o->views);
}

static void add_figures(cJSON *entry, struct figures f)
{
	cJSON_AddNumberToObject(entry, "ms", 1e3 * f.seconds);
	cJSON_AddNumberToObject(entry, "gflops", f.gflops);
	cJSON_AddNumberToObject(entry, "share_of_peak", f.share);
	cJSON_AddNumberToObject(entry, "bytes", f.bytes);
	cJSON_AddNumberToObject(entry, "gb_per_s", f.gb_per_s);
}

static void add_shape(cJSON *entry, const struct layer_group *group)
{
	const struct net_layer *layer = &group->first;
	const int in[] = {(int)layer->in_h, (int)layer->in_w, (int)layer->in_c};
	const int out[] = {(int)layer->out_h, (int)layer->out_w, (int)layer->out_c};
	cJSON_AddStringToObject(entry, "name", layer->name);
	cJSON_AddNumberToObject(entry, "layers", group->layers);
	cJSON_AddItemToObject(entry, "in", cJSON_CreateIntArray(in, 3));
	cJSON_AddItemToObject(entry, "out", cJSON_CreateIntArray(out, 3));
	cJSON_AddNumberToObject(entry, "kernel", layer->kernel);
	cJSON_AddNumberToObject(entry, "stride", layer->stride);
}

static int print_json(const struct kernels_job *job)
{
	const struct bench_options *o = &job->options;
	cJSON *result = cJSON_CreateObject();
	cJSON_AddStringToObject(result, "model", o->model);
	cJSON_AddNumberToObject(result, "size", (double)o->size);
	cJSON_AddNumberToObject(result, "views", (double)o->views);
	cJSON_AddNumberToObject(result, "threads", team_threads(job->runtime.team));
	cJSON_AddStringToObject(result, "isa", cpu_isa_name(job->runtime.isa));
	cJSON_AddStringToObject(result, "precision", bench_precision_name(job->config.precision));
	cJSON_AddStringToObject(result, "conv", bench_conv_name(job->config.conv));
	cJSON_AddNumberToObject(result, "peak_gflops_fp32", job->peak_fp32);
	cJSON_AddNumberToObject(result, "peak_gflops_bf16", job->peak_bf16);
	cJSON *layers = cJSON_AddArrayToObject(result, "layers");
	for (size_t i = 0; i < job->group_count; i++) {
		cJSON *entry = cJSON_CreateObject();
		add_shape(entry, &job->groups[i]);
		for (int pass = 0; pass < PASSES; pass++) {
			if (!job->groups[i].first.path[pass])
				continue;
			cJSON *figures = cJSON_AddObjectToObject(entry, pass_names[pass]);
			cJSON_AddStringToObject(figures, "path", job->groups[i].first.path[pass]);
			add_figures(figures, figures_of(job, &job->groups[i], pass));
		}
		cJSON_AddItemToArray(layers, entry);
	}
	cJSON *sums = cJSON_AddObjectToObject(result, "sums");
	double seconds = 0;
	for (int pass = 0; pass < PASSES; pass++) {
		struct figures sum = sum_pass(job, pass);
		add_figures(cJSON_AddObjectToObject(sums, pass_names[pass]), sum);
		seconds += sum.seconds;
	}
	cJSON_AddNumberToObject(result, "ms", 1e3 * seconds);
	cJSON_AddNumberToObject(result, "ms_per_view", 1e3 * seconds / (double)o->views);
	return json_print(result);
}

int bench_kernels(int argc, char **argv)
{
	struct kernels_job job = {0};
	int status = options_parse(&job.parsed, &bench_kernels_table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct error err = {0};
	status = EXIT_OK;
	if (measure(&job, &err) < 0)
		status = command_fail("bench kernels", &err);
	else if (job.options.json)
		status = print_json(&job);
	else
		print_table(&job);
	runtime_stop(&job.runtime);
	options_free(&job.parsed);
	return status;
}
