/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr bench read: the read stage alone. Blocks come in the order of training, through the engine, into the block
 * ring, and are given back at once, or after they were checked. What is left out is all that happens to an image.
 *
 * The mean depth is how many reads were in flight on average: the sum of all latencies over the time (Little's law).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pipeline/meter.h"
#include "stages/items.h"
#include "stages/read.h"
#include "tools/bench.h"
#include "tools/command.h"
#include "tools/json.h"

struct read_options {
	uint64_t depth, slots, window, seed, reads;
	double seconds;
	unsigned io, order;
	bool direct, cold, check, json;
};

static const struct option_spec spec[] = {
	OPTION_GROUP("Reading"),
	OPTION_FLAG(struct read_options, direct, "direct", "no", "read with O_DIRECT, past the page cache"),
	OPTION_U64(struct read_options, depth, "depth", "N", "32", 1, 4096, "reads in flight"),
	OPTION_U64(struct read_options, slots, "slots", "N", "0", 0, 65536,
		"of the block ring: how far reads may run ahead of the oldest one; 0: as in training"),
	OPTION_CHOICE(struct read_options, io, "io", "auto|uring|pread", "auto", "as in train"),
	OPTION_CHOICE(struct read_options, order, "order", "sequential|full|window", "full",
		"full: the block of a random image for each image; window: blocks in random order, each once an epoch"),
	OPTION_U64(struct read_options, window, "window", "BLOCKS", "64", 1, 65536, "blocks of a window"),
	OPTION_U64(struct read_options, seed, "seed", "N", "1", 0, UINT64_MAX, "of the order"),
	OPTION_FLAG(struct read_options, cold, "cold", "no", "drop the files from the page cache first"),
	OPTION_FLAG(struct read_options, check, "check", "no", "decompress each block and check its hash"),
	OPTION_GROUP("Length and output"),
	OPTION_DOUBLE(struct read_options, seconds, "seconds", "S", "10", 0.1, 86400, "stop after so long"),
	OPTION_U64(struct read_options, reads, "reads", "N", "0", 0, UINT64_MAX,
		"or after so many reads; 0: --seconds alone"),
	OPTION_FLAG(struct read_options, json, "json", "no", "print the result as one JSON object"),
};

const struct option_table bench_read_table = {
	.command = "bench read",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Reads a shard's blocks as training would, epoch after epoch, and throws them away. Says how many MB "
		 "and reads a second came, how long a read took from its start to its end (median and 99th of 100), "
		 "and how many reads were in flight on average.",
	.operands = "SHARD",
	.operand_help = "shards to read",
	.operand_min = 1,
	.operand_max = 1024,
	.examples = "ringclr bench read photos.ring --direct --depth 32 --json\n"
		    "ringclr bench read cifar10.ring --order window --cold\n",
};

enum {
	/* Latencies are counted in buckets an eighth of an octave wide, so a percentile is right within 9%. */
	STEPS_PER_OCTAVE = 8,
	BUCKETS = 64 * STEPS_PER_OCTAVE,
};

struct read_job {
	struct read_options options;
	struct options parsed;
	struct arena *arena;
	struct shard_set *set;
	struct epoch_plan *plan;
	struct span span;
	struct read_stage stage;
	struct shard_unpacker *unpacker;
	unsigned char *raw; /* one block, decompressed */
	size_t raw_capacity;
	uint64_t start_ns; /* before the first read, so that no latency is longer than the time that is measured */
	uint64_t reads, bytes, latency_ns, buckets[BUCKETS];
	double seconds;
};

static unsigned bucket_of(uint64_t ns)
{
	unsigned octave = 63 - (unsigned)__builtin_clzll(ns | STEPS_PER_OCTAVE);
	return octave * STEPS_PER_OCTAVE + (unsigned)(ns >> (octave - 3) & (STEPS_PER_OCTAVE - 1));
}

/* The middle of the bucket in which the share of all latencies is reached. */
static double percentile_us(const struct read_job *job, double share)
{
	uint64_t seen = 0;
	unsigned i = 0;
	while (i + 1 < BUCKETS && (double)(seen += job->buckets[i]) < share * (double)job->reads)
		i++;
	double octave = (double)(UINT64_C(1) << i / STEPS_PER_OCTAVE);
	return 1e-3 * octave * (1 + (i % STEPS_PER_OCTAVE + 0.5) / STEPS_PER_OCTAVE);
}

/* Takes blocks, and gives them back at once. */
static int consume_run(void *ctx, struct worker *worker)
{
	struct read_job *job = ctx;
	for (uint64_t seq = 0;; seq++) {
		void *memory;
		int result = ring_acquire(job->stage.blocks, seq, &memory, NULL);
		if (result != RING_OK)
			return result == RING_END ? 0 : result;
		const struct block_item item = *block_item_of(memory, job->stage.capacity);
		if (job->options.check)
			result = shard_unpack(shard_set_at(job->set, item.shard), item.block, memory, item.disk_bytes,
				job->unpacker, job->raw, job->raw_capacity, true, worker->err);
		ring_release(job->stage.blocks, seq);
		if (result < 0)
			return result;
		job->reads++;
		job->bytes += (item.disk_bytes + SHARD_BLOCK_ALIGN - 1) / SHARD_BLOCK_ALIGN * SHARD_BLOCK_ALIGN;
		job->latency_ns += item.read_ns;
		job->buckets[bucket_of(item.read_ns)]++;
		job->seconds = 1e-9 * (double)(meter_now_ns() - job->start_ns);
		if (job->seconds >= job->options.seconds || job->reads == job->options.reads || command_interrupted()) {
			ring_close(job->stage.blocks, seq + 1);
			return 0;
		}
	}
}

static int open_shards(struct read_job *job, struct error *err)
{
	const struct read_options *o = &job->options;
	job->set = shard_set_open(job->parsed.operands, job->parsed.operand_count, o->direct, err);
	if (!job->set)
		return err->code;
	for (unsigned i = 0; o->cold && i < shard_set_count(job->set); i++) {
		int fd = shard_fd(shard_set_at(job->set, i));
		if (fdatasync(fd) != 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
			command_note("bench read", "%s: cannot be dropped from the page cache",
				shard_path(shard_set_at(job->set, i)));
	}
	struct epoch_plan_config config = {
		.order = (enum epoch_order)o->order, .seed = o->seed, .window = (uint32_t)o->window};
	job->plan = epoch_plan_create(job->set, &config, err);
	if (!job->plan)
		return err->code;
	uint64_t length = epoch_plan_length(job->plan);
	job->span = (struct span){.plan = job->plan, .epoch_samples = length, .end = length << 23};
	return 0;
}

static int create_stage(struct read_job *job, struct error *err)
{
	const struct read_options *o = &job->options;
	struct read_config config = {.set = job->set,
		.span = &job->span,
		.depth = (unsigned)o->depth,
		.slots = (unsigned)o->slots,
		.kind = (enum engine_kind)o->io};
	int code = read_create(&job->stage, job->arena, &config, err);
	if (code < 0)
		return code;
	for (unsigned i = 0; i < shard_set_count(job->set); i++) {
		size_t raw = shard_max_raw_bytes(shard_set_at(job->set, i));
		job->raw_capacity = raw > job->raw_capacity ? raw : job->raw_capacity;
	}
	job->raw = arena_alloc(job->arena, "unpacked blocks", 1, job->raw_capacity, 0, err);
	job->unpacker = shard_unpacker_create(err);
	return job->raw && job->unpacker ? 0 : err->code;
}

static int run_job(struct read_job *job, struct error *err)
{
	job->arena = arena_create(0, err);
	if (!job->arena || open_shards(job, err) < 0 || create_stage(job, err) < 0)
		return err->code;
	struct graph *graph = calloc(1, sizeof *graph);
	if (!graph)
		return error_set(err, ERROR_MEMORY, "out of memory for the graph");
	struct stage read = {
		.name = "read", .run = read_run, .ctx = &job->stage, .workers = 1, .out = job->stage.blocks};
	struct stage consume = {.name = "consume",
		.run = consume_run,
		.ctx = job,
		.workers = 1,
		.in = job->stage.blocks,
		.caller_runs = 1};
	int code = 0;
	job->start_ns = meter_now_ns();
	if (graph_add_ring(graph, job->stage.blocks, err) < 0 || graph_add_stage(graph, &read, err) < 0 ||
		graph_add_stage(graph, &consume, err) < 0)
		code = err->code;
	else
		code = graph_run(graph, NULL, err);
	free(graph);
	return code;
}

static int print_result(const struct read_job *job)
{
	double mb_per_s = 1e-6 * (double)job->bytes / job->seconds, rate = (double)job->reads / job->seconds;
	double p50 = percentile_us(job, 0.5), p99 = percentile_us(job, 0.99);
	double depth = 1e-9 * (double)job->latency_ns / job->seconds;
	if (!job->options.json) {
		printf("%.1f MB/s, %.1f reads/s of %.1f KiB by %s%s\n"
		       "a read takes %.0f us (median), %.0f us (99 of 100 take less); %.1f in flight of %" PRIu64 "\n",
			mb_per_s, rate, (double)job->bytes / (double)job->reads / 1024, engine_name(job->stage.engine),
			job->options.direct ? ", O_DIRECT" : "", p50, p99, depth, job->options.depth);
		return EXIT_OK;
	}
	cJSON *result = cJSON_CreateObject();
	cJSON_AddNumberToObject(result, "mb_per_s", mb_per_s);
	cJSON_AddNumberToObject(result, "reads_per_s", rate);
	cJSON_AddNumberToObject(result, "latency_us_p50", p50);
	cJSON_AddNumberToObject(result, "latency_us_p99", p99);
	cJSON_AddNumberToObject(result, "mean_depth", depth);
	cJSON_AddNumberToObject(result, "reads", (double)job->reads);
	cJSON_AddNumberToObject(result, "bytes", (double)job->bytes);
	cJSON_AddNumberToObject(result, "seconds", job->seconds);
	cJSON_AddStringToObject(result, "engine", engine_name(job->stage.engine));
	cJSON_AddBoolToObject(result, "registered", engine_registered(job->stage.engine));
	return json_print(result);
}

int bench_read(int argc, char **argv)
{
	static struct read_job job;
	job = (struct read_job){0};
	int status = options_parse(&job.parsed, &bench_read_table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct error err = {0};
	status = run_job(&job, &err) < 0 ? command_fail("bench read", &err) : print_result(&job);
	if (status == EXIT_OK && command_interrupted())
		status = EXIT_INTERRUPTED;
	engine_destroy(job.stage.engine);
	shard_unpacker_destroy(job.unpacker);
	epoch_plan_destroy(job.plan);
	shard_set_close(job.set);
	arena_destroy(job.arena);
	options_free(&job.parsed);
	return status;
}
