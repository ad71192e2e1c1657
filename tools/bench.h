/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the modes of `ringclr bench` share: options, the threads and memory made from them, a net with synthetic views,
 * and the ceilings that speeds are held against.
 */
#ifndef RINGCLR_TOOLS_BENCH_H
#define RINGCLR_TOOLS_BENCH_H

#include "model/loss.h"
#include "model/net.h"
#include "model/peak.h"
#include "tools/model_options.h"
#include "tools/runtime.h"

struct bench_options {
	uint64_t threads, mem;
	const char *pin, *isa;
	bool json;
	/* step and kernels */
	const char *model;
	double width;
	uint64_t size, views, head_dim, seed;
	unsigned stem, head; /* places in their choices, which are the enums' */
	struct model_options compute;
	/* one mode's own */
	uint64_t steps, turns, buffer;
	bool check;
};

#define BENCH_THREAD_OPTIONS                                                                                           \
	OPTION_GROUP("Threads and output"),                                                                            \
		OPTION_U64(struct bench_options, threads, "threads", "N", "0", 0, 1024,                                \
			"compute threads; 0: one per processor"),                                                      \
		OPTION_STRING(struct bench_options, pin, "pin", "auto|none|LIST", "auto",                              \
			"processors to pin threads to, e.g. 0,2,4-7"),                                                 \
		OPTION_FLAG(struct bench_options, json, "json", "no", "print the result as one JSON object")

#define BENCH_NET_OPTIONS                                                                                              \
	OPTION_GROUP("Net"),                                                                                           \
		OPTION_STRING(                                                                                         \
			struct bench_options, model, "model", "NAME", "resnet18", "resnet18, 34, 50, 101 or 152"),     \
		OPTION_DOUBLE(struct bench_options, width, "width", "F", "1", 0.01, 16,                                \
			"channels, times those of the paper's net"),                                                   \
		OPTION_U64(struct bench_options, size, "size", "PIXELS", "32", 8, 1024, "side of the views"),          \
		OPTION_U64(struct bench_options, views, "views", "N", "256", 2, 131072,                                \
			"rows of a step: two for each image, so an even number"),                                      \
		OPTION_CHOICE(struct bench_options, stem, "stem", "auto|cifar|imagenet", "auto",                       \
			"3x3 without pooling, or 7x7 with; auto: cifar up to 32 pixels"),                              \
		OPTION_CHOICE(struct bench_options, head, "head", "none|linear|mlp2|mlp3", "mlp2", "projection head"), \
		OPTION_U64(struct bench_options, head_dim, "head-dim", "N", "128", 1, 65535, "columns of z"),          \
		OPTION_U64(struct bench_options, seed, "seed", "N", "1", 0, UINT64_MAX, "of weights and views"),       \
		OPTION_GROUP("Kernels"), MODEL_OPTIONS(struct bench_options, compute),                                 \
		OPTION_STRING(struct bench_options, isa, "isa", "NAME", "auto",                                        \
			"kernels: auto, portable, avx2, avx512 or avx512bf16"),                                        \
		OPTION_SIZE(struct bench_options, mem, "mem", "0", 0, UINT64_MAX,                                      \
			"refuse to start when the plan needs more; 0: no limit")

#define BENCH_TEMPERATURE 0.5 /* of CIFAR-10; it changes nothing that is measured */

/* One mode of the command. argv[0] is the mode's name; the result is the exit code. */
int bench_peak(int argc, char **argv);
int bench_step(int argc, char **argv);
int bench_kernels(int argc, char **argv);
int bench_read(int argc, char **argv);
int bench_views(int argc, char **argv);
extern const struct option_table bench_peak_table, bench_step_table, bench_kernels_table, bench_read_table,
	bench_views_table;

/* Threads and an arena, by the options; runtime_stop() in any case. */
int bench_start(struct runtime *runtime, const struct bench_options *options, struct error *err);

/* Gives the calling thread a processor of its own, as training has it. A graph does it by itself. */
void bench_pin_caller(struct runtime *runtime);

/* The net that the options ask for. ERROR_USAGE when they make none. */
int bench_net_config(const struct bench_options *options, const struct runtime *runtime, struct net_config *config,
	struct error *err);

/* Everything between views and gradients. It lives as long as the arena. */
struct bench_net {
	struct net *net;
	struct contrastive_loss *loss;
	float *x;  /* [rows][size][size][3]: uniform in [0, 1), as views are */
	float *dz; /* [rows][net_output_dim()] */
	uint32_t rows;
};

/* rows are config's max_rows. Weights as at the start of training. */
int bench_net_create(struct bench_net *bench, struct arena *arena, const struct net_config *config, unsigned threads,
	uint64_t seed, struct error *err);

/* Forward, loss, gradient of z, backward. Returns 0 or what fn returned. */
int bench_net_run(struct bench_net *bench, struct team *team, struct loss_result *result, net_grad_fn *fn, void *ctx);

/* For a backward whose gradients nobody waits for. */
int bench_announce_nothing(void *ctx, size_t param_index);

const char *bench_precision_name(enum precision precision);
const char *bench_conv_name(enum conv_choice conv);

/* Sorts the values; count is at least 1. */
double bench_median(double *values, size_t count);

/* Multiplications and additions of forward and backward for one view, every convolution counted as a direct one. */
uint64_t bench_flops_per_view(const struct net *net);

/* The most GFLOP/s seen in a few short turns of every thread of the team: in fp32, and of bf16 products (0 where the
 * processor has none). */
double bench_peak_fp32(struct team *team, enum cpu_isa isa);
double bench_peak_bf16(struct team *team);

/* Computes a small net of this kind by the reference kernels and by the chosen ones, from the same weights and views.
 */
struct bench_check {
	unsigned size, views;	      /* of the small net */
	double loss, z, gradient;     /* relative errors; the gradient's is the largest of all parameters */
	double z_most, gradient_most; /* what is allowed; z_most holds for the loss too */
	char worst[64];		      /* the parameter with the largest error */
};

/* ERROR_MISMATCH when an error is over its bound; *check is filled then too. */
int bench_check_run(const struct net_config *config, struct team *team, struct bench_check *check, struct error *err);

#endif
