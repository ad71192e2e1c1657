/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr bench: how fast the machine is (peak), a whole training step (step), each layer (kernels), reads
 * (read), and views (views).
 *
 * Every mode is a file of its own, with its own options. What they share is here: a net with synthetic views, fed as
 * the loader would feed it, so that nothing but computing is measured.
 */
#include "tools/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/philox.h"
#include "tools/command.h"
#include "tools/options.h"

static const struct command modes[] = {
	{"peak", "what the processor and its memory can do at most", bench_peak, &bench_peak_table},
	{"step", "a whole training step: views/s, memory, and a check of the kernels", bench_step, &bench_step_table},
	{"kernels", "every layer and pass: time, GFLOP/s, share of the peak, GB/s", bench_kernels,
		&bench_kernels_table},
	{"read", "a shard's blocks off the disk in the order of training: MB/s, latency, depth", bench_read,
		&bench_read_table},
	{"views", "the loader on so many processors: images/s with all their views", bench_views, &bench_views_table},
};

const struct option_table command_bench_table = {
	.command = "bench",
	.about = "Measures the machine, the training step on it without data, and reading and loading without "
		 "training.",
	.operands = "MODE",
	.modes = modes,
	.mode_count = sizeof modes / sizeof modes[0],
	.examples = "ringclr bench peak\n"
		    "ringclr bench step --model resnet18 --size 32 --views 256\n"
		    "ringclr bench kernels --model resnet50 --size 224 --views 64\n"
		    "ringclr bench read photos.ring --direct --depth 32\n"
		    "ringclr bench views photos.ring --size 224 --threads 1\n",
};

int command_bench(int argc, char **argv)
{
	if (argc < 2) {
		options_help(&command_bench_table, stderr);
		return EXIT_USAGE;
	}
	const char *name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		options_help(&command_bench_table, stdout);
		return EXIT_OK;
	}
	const struct command *mode = command_find(&command_bench_table, name);
	if (mode != NULL)
		return mode->run(argc - 1, argv + 1);
	const char *near = command_nearest(&command_bench_table, name);
	if (near != NULL)
		fprintf(stderr, "ringclr bench: no mode '%s'; did you mean %s?\n\n", name, near);
	else
		fprintf(stderr, "ringclr bench: no mode '%s'; choose one of these\n\n", name);
	options_help(&command_bench_table, stderr);
	return EXIT_USAGE;
}

int bench_start(struct runtime *runtime, const struct bench_options *options, struct error *err)
{
	struct runtime_options shared = {
		.threads = options->threads,
		.pin = options->pin,
		.isa = options->isa ? options->isa : "auto",
		.mem = options->mem,
	};
	return runtime_start(runtime, &shared, err);
}

void bench_pin_caller(struct runtime *runtime)
{
	placement_pin_self(runtime->placement, placement_next(runtime->placement, PLACEMENT_COMPUTE));
}

int bench_net_config(const struct bench_options *options, const struct runtime *runtime, struct net_config *config,
	struct error *err)
{
	if (options->views % 2 != 0)
		return error_set(err, ERROR_USAGE,
			"--views %" PRIu64 " is odd: every image has two views; give an even number", options->views);
	*config = (struct net_config){
		.width = (float)options->width,
		.size = (unsigned)options->size,
		.stem = (enum net_stem)options->stem,
		.head = (enum net_head)options->head,
		.head_dim = (unsigned)options->head_dim,
		.max_rows = (uint32_t)options->views,
		.training = true,
		.isa = runtime->isa,
		.precision = model_precision(options->compute.precision, runtime->isa),
		.conv = (enum conv_choice)options->compute.conv,
		.recompute = (enum net_recompute)options->compute.recompute,
	};
	if (config->stem == NET_STEM_AUTO)
		config->stem = config->size <= 32 ? NET_STEM_CIFAR : NET_STEM_IMAGENET;
	return net_parse_model(options->model, &config->depth, err);
}

int bench_net_create(struct bench_net *bench, struct arena *arena, const struct net_config *config, unsigned threads,
	uint64_t seed, struct error *err)
{
	uint32_t rows = config->max_rows;
	size_t pixels = (size_t)config->size * config->size;
	*bench = (struct bench_net){.rows = rows};
	bench->net = net_create(arena, config, threads, err);
	if (!bench->net)
		return err->code;
	unsigned dim = net_output_dim(bench->net);
	bench->x = arena_alloc(arena, "views", rows * pixels * 3, sizeof(float), 0, err);
	bench->dz = bench->x ? arena_alloc(arena, "loss", (size_t)rows * dim, sizeof(float), 0, err) : NULL;
	static const struct loss_config loss = {
		.kind = LOSS_NT_XENT, .normalize = true, .temperature = BENCH_TEMPERATURE};
	bench->loss = bench->dz ? contrastive_loss_create(arena, &loss, rows, dim, err) : NULL;
	if (!bench->loss)
		return err->code;
	net_init(bench->net, seed);
	for (uint32_t row = 0; row < rows; row++) {
		struct philox random = philox_stream(seed, 0, row, 0, PHILOX_SYNTH);
		float *view = bench->x + row * pixels * 3;
		for (size_t i = 0; i < pixels * 3; i++)
			view[i] = philox_uniform(&random, 0.0f, 1.0f);
	}
	return 0;
}

int bench_net_run(struct bench_net *bench, struct team *team, struct loss_result *result, net_grad_fn *fn, void *ctx)
{
	net_forward(bench->net, team, bench->x, bench->rows, NET_TRAIN, true);
	contrastive_loss_forward_backward(bench->loss, team, net_output(bench->net), bench->rows, bench->dz, result);
	return net_backward(bench->net, team, bench->dz, fn, ctx);
}

int bench_announce_nothing(void *ctx, size_t param_index)
{
	(void)ctx;
	(void)param_index;
	return 0;
}

const char *bench_precision_name(enum precision precision)
{
	return precision == PRECISION_BF16 ? "bf16" : "fp32";
}

const char *bench_conv_name(enum conv_choice conv)
{
	static const char *const names[] = {"auto", "direct", "winograd"};
	return names[conv];
}

uint64_t bench_flops_per_view(const struct net *net)
{
	uint64_t flops = 0;
	for (size_t i = 0; i < net_layer_count(net); i++) {
		struct net_layer layer = net_layer(net, i);
		for (int pass = NET_FORWARD; pass <= NET_WEIGHT_GRADIENT; pass++)
			flops += layer.path[pass] ? layer.flops : 0;
	}
	return flops;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double bench_median(double *values, size_t count)
{
	qsort(values, count, sizeof *values, compare_doubles);
	return (values[(count - 1) / 2] + values[count / 2]) / 2;
}
