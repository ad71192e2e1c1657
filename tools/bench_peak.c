/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr bench peak: the ceilings of this machine, which no kernel can pass.
 *
 * Of several short turns the best counts: whatever else runs on the machine can only take time away. A turn is long
 * enough that starting the threads does not show.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "pipeline/meter.h"
#include "tools/bench.h"
#include "tools/command.h"
#include "tools/json.h"

static const struct option_spec spec[] = {
	BENCH_THREAD_OPTIONS,
	OPTION_GROUP("Memory"),
	OPTION_SIZE(struct bench_options, buffer, "buffer", "256M", 1 << 20, 1ull << 40,
		"what is read and what is written, each; several times the last cache, or the cache is measured"),
};

const struct option_table bench_peak_table = {
	.command = "bench peak",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Says what this machine can do at most: multiply-adds of each instruction set, with all operands in "
		 "registers, and plain reads, writes and copies of memory; by one thread and by all.",
	.examples = "ringclr bench peak\n"
		    "ringclr bench peak --threads 8 --json\n",
};

enum { TURNS = 5, TURN_NS = 20000000, CHUNK_FLOATS = 1 << 18, MAX_RATES = 8 };

/* ------------------------------------------------------------------------------------------------ multiply-adds */

struct compute_turn {
	float (*loop)(uint64_t rounds);
	uint64_t rounds;
};

static _Atomic float used; /* results go here: a loop whose result is used cannot be left out */

static void compute_task(void *ctx, size_t task, unsigned thread)
{
	(void)task;
	(void)thread;
	const struct compute_turn *turn = ctx;
	used = turn->loop(turn->rounds);
}

static double best_gflops(struct team *team, float (*loop)(uint64_t), uint64_t flops_per_round)
{
	struct compute_turn turn = {loop, 1024};
	for (uint64_t took_ns = 0; took_ns < TURN_NS / 2; turn.rounds *= 2) {
		uint64_t start_ns = meter_now_ns();
		used = loop(turn.rounds);
		took_ns = meter_now_ns() - start_ns;
	}
	double best = 0, threads = team_threads(team);
	for (int i = 0; i < TURNS; i++) {
		uint64_t start_ns = meter_now_ns();
		team_for(team, team_threads(team), compute_task, &turn);
		double gflops = threads * (double)(turn.rounds * flops_per_round) / (double)(meter_now_ns() - start_ns);
		best = gflops > best ? gflops : best;
	}
	return best;
}

double bench_peak_fp32(struct team *team, enum cpu_isa isa)
{
	const struct peak_loops *loops = peak_loops_for(isa);
	return best_gflops(team, loops->multiply_add, loops->flops_per_round);
}

double bench_peak_bf16(struct team *team)
{
	if (!peak_bf16_available())
		return 0;
	return best_gflops(team, peak_bf16_dot, peak_bf16_flops_per_round());
}

/* ------------------------------------------------------------------------------------------------------- memory */

enum memory_pass { MEMORY_READ, MEMORY_WRITE, MEMORY_COPY };

struct memory_turn {
	const struct peak_loops *loops;
	enum memory_pass pass;
	float *in, *out;
};

static void memory_task(void *ctx, size_t task, unsigned thread)
{
	(void)thread;
	const struct memory_turn *turn = ctx;
	size_t at = task * CHUNK_FLOATS;
	switch (turn->pass) {
	case MEMORY_READ:
		used = turn->loops->read(turn->in + at, CHUNK_FLOATS);
		break;
	case MEMORY_WRITE:
		turn->loops->write(turn->out + at, CHUNK_FLOATS, 1.0f);
		break;
	case MEMORY_COPY:
		turn->loops->copy(turn->out + at, turn->in + at, CHUNK_FLOATS, 1.0f);
		break;
	}
}

/* A copy counts what it reads and what it writes. */
static double best_gb_per_s(struct team *team, struct memory_turn turn, enum memory_pass pass, size_t chunks)
{
	double bytes = (pass == MEMORY_COPY ? 2.0 : 1.0) * (double)(chunks * CHUNK_FLOATS * sizeof(float)), best = 0;
	turn.pass = pass;
	for (int i = 0; i < TURNS; i++) {
		uint64_t start_ns = meter_now_ns();
		team_for(team, chunks, memory_task, &turn);
		double rate = bytes / (double)(meter_now_ns() - start_ns);
		best = rate > best ? rate : best;
	}
	return best;
}

/* ------------------------------------------------------------------------------------------------------- result */

/* By one thread and by all. */
struct rate {
	const char *name;
	double one, all;
};

struct peak_job {
	struct bench_options options;
	struct options parsed;
	struct runtime runtime;
	struct team *one;
	struct rate fp32[MAX_RATES], memory[3], bf16;
	size_t fp32_count;
};

static int measure(struct peak_job *job, struct error *err)
{
	int code = bench_start(&job->runtime, &job->options, err);
	if (code < 0)
		return code;
	struct team *all = job->runtime.team;
	bench_pin_caller(&job->runtime);
	job->one = team_create(1, NULL, err);
	if (!job->one)
		return err->code;
	static const struct peak_loops *const sets[] = {&peak_portable, &peak_avx2, &peak_avx512};
	for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
		enum cpu_isa isa = sets[i]->isa;
		if (isa <= cpu_detect())
			job->fp32[job->fp32_count++] = (struct rate){
				cpu_isa_name(isa), bench_peak_fp32(job->one, isa), bench_peak_fp32(all, isa)};
	}
	job->bf16 = (struct rate){"avx512bf16", bench_peak_bf16(job->one), bench_peak_bf16(all)};

	size_t chunks = job->options.buffer / (CHUNK_FLOATS * sizeof(float));
	struct memory_turn turn = {.loops = peak_loops_for(cpu_detect())};
	turn.in = arena_alloc(job->runtime.arena, "memory", chunks * CHUNK_FLOATS, sizeof(float), 0, err);
	turn.out = turn.in ? arena_alloc(job->runtime.arena, "memory", chunks * CHUNK_FLOATS, sizeof(float), 0, err)
			   : NULL;
	if (!turn.out)
		return err->code;
	/* Reading what was never written would read one page of zeros over and over. */
	turn.loops->write(turn.in, chunks * CHUNK_FLOATS, 1.0f);
	static const char *const names[] = {"read", "write", "copy"};
	for (int pass = MEMORY_READ; pass <= MEMORY_COPY; pass++)
		job->memory[pass] =
			(struct rate){names[pass], best_gb_per_s(job->one, turn, (enum memory_pass)pass, chunks),
				best_gb_per_s(all, turn, (enum memory_pass)pass, chunks)};
	return 0;
}

static void print_rates(const char *heading, const char *unit, const struct rate *rates, size_t count)
{
	for (size_t i = 0; i < count; i++)
		printf("%-14s %-12s %10.1f %12.1f  %s\n", i ? "" : heading, rates[i].name, rates[i].one, rates[i].all,
			unit);
}

static void print_table(const struct peak_job *job)
{
	char all[32];
	snprintf(all, sizeof all, "all (%u)", team_threads(job->runtime.team));
	printf("%-14s %-12s %10s %12s\n", "", "", "1 thread", all);
	print_rates("multiply-add", "GFLOP/s", job->fp32, job->fp32_count);
	if (job->bf16.all > 0)
		print_rates("bf16 products", "GFLOP/s", &job->bf16, 1);
	print_rates("memory", "GB/s", job->memory, 3);
}

static void add_rate(cJSON *parent, const struct rate *rate)
{
	cJSON *entry = cJSON_AddObjectToObject(parent, rate->name);
	cJSON_AddNumberToObject(entry, "one", rate->one);
	cJSON_AddNumberToObject(entry, "all", rate->all);
}

static int print_json(const struct peak_job *job)
{
	cJSON *result = cJSON_CreateObject();
	cJSON_AddNumberToObject(result, "threads", team_threads(job->runtime.team));
	cJSON *fp32 = cJSON_AddObjectToObject(result, "fp32_gflops");
	for (size_t i = 0; i < job->fp32_count; i++)
		add_rate(fp32, &job->fp32[i]);
	cJSON *bf16 = cJSON_AddObjectToObject(result, "bf16_gflops");
	if (job->bf16.all > 0)
		add_rate(bf16, &job->bf16);
	cJSON *memory = cJSON_AddObjectToObject(result, "memory_gb_per_s");
	for (int i = 0; i < 3; i++)
		add_rate(memory, &job->memory[i]);
	return json_print(result);
}

int bench_peak(int argc, char **argv)
{
	struct peak_job job = {0};
	int status = options_parse(&job.parsed, &bench_peak_table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	struct error err = {0};
	status = EXIT_OK;
	if (measure(&job, &err) < 0)
		status = command_fail("bench peak", &err);
	else if (job.options.json)
		status = print_json(&job);
	else
		print_table(&job);
	team_destroy(job.one);
	runtime_stop(&job.runtime);
	options_free(&job.parsed);
	return status;
}
