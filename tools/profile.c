/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr profile: the loader without training; where its time goes, and what would change it.
 *
 * Measured are the stages' shares of time and the times of their items, rings over time, reads, memory and the slowest
 * records (measure.h, sampler.h); predicted is what other threads, codecs and sizes would give (profile_predict.h).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tools/autotune.h"
#include "tools/command.h"
#include "tools/evaluate.h" /* EVALUATE_SUBSET_SEED */
#include "tools/json.h"
#include "tools/page_cache.h"
#include "tools/profile_result.h"
#include "tools/runtime.h"
#include "tools/trace_file.h"
#include "tools/views_option.h"

struct profile_options {
	uint64_t size, batch, seed, limit_images, window, images;
	double seconds, strength, target;
	unsigned order;
	bool json, check_predictions;
	const char *views, *trace, *report;
	struct runtime_options runtime;
};

static const struct option_spec spec[] = {
	OPTION_GROUP("Work"),
	OPTION_U64(struct profile_options, size, "size", "PIXELS", "32", 8, 1024, "side of the views"),
	OPTION_STRING(struct profile_options, views, "views", "TEXT", "simclr",
		"what views of each image are made, as listed below; two where it says no number"),
	OPTION_DOUBLE(struct profile_options, strength, "strength", "S", "0.5", 0, 4,
		"of simclr's colour jitter; 1 when views are over 32 pixels"),
	OPTION_U64(
		struct profile_options, batch, "batch", "N", "256", 1, 65536, "images of one batch; cut to the data"),
	OPTION_CHOICE(struct profile_options, order, "order", "auto|full|window", "auto", "as in train"),
	OPTION_U64(struct profile_options, window, "window", "BLOCKS", "64", 1, 65536, "blocks of a window"),
	OPTION_U64(
		struct profile_options, limit_images, "limit-images", "N", "0", 0, UINT64_MAX, "as in train; 0: all"),
	OPTION_U64(struct profile_options, seed, "seed", "N", "1", 0, UINT64_MAX, "of order and views"),
	OPTION_GROUP("Length"),
	OPTION_DOUBLE(struct profile_options, seconds, "seconds", "S", "10", 0.1, 86400,
		"stop after so long. With a --cache, the first epoch fills it and counts too: --cache none measures "
		"reading and decoding alone"),
	OPTION_U64(struct profile_options, images, "images", "N", "0", 0, UINT64_MAX,
		"or after so many images; 0: --seconds alone"),
	OPTION_GROUP("Questions and output"),
	OPTION_DOUBLE(struct profile_options, target, "target", "N", "0", 0, 1e9,
		"images/s that training takes: says whether the loader keeps up and with what headroom; exit code 3 "
		"when it "
		"does not"),
	OPTION_FLAG(struct profile_options, check_predictions, "check-predictions", "no",
		"make every predicted change, run with and without it for --seconds each, and print what came of it "
		"beside "
		"the prediction"),
	OPTION_FLAG(struct profile_options, json, "json", "no", "print the result as one JSON object"),
	OPTION_STRING(struct profile_options, report, "report", "FILE.html", NULL,
		"write a report with charts: one file that needs no other"),
	OPTION_STRING(struct profile_options, trace, "trace", "FILE.json", NULL,
		"write what every thread did when, for Perfetto (ui.perfetto.dev) or chrome://tracing"),
	RUNTIME_OPTIONS(struct profile_options, runtime),
	AUTOTUNE_OPTION(struct profile_options, runtime),
};

const struct option_table command_profile_table = {
	.command = "profile",
	.spec = spec,
	.count = sizeof spec / sizeof spec[0],
	.about = "Runs the loader as training would, throws the batches away, and says how long each stage was busy, "
		 "how long it waited for the stage before it (upstream) and after it (downstream), how long one item "
		 "takes "
		 "(percentiles), how full the rings were, which records are slowest, and which stage is the "
		 "bottleneck. Then "
		 "predicts what one thread more, another codec, another size or decoded images in memory would give. "
		 "The model: "
		 "images/s = min(threads / cost of each stage, processors / processor time of all), where a cost is "
		 "the time of one "
		 "thread for one image; other codecs and sizes are timed on a sample of the records; the prediction is "
		 "the measured "
		 "rate times the model's ratio.",
	.operands = "SHARD",
	.operand_help = "shards to load",
	.operand_min = 1,
	.operand_max = 1024,
	.notes = views_option_help,
	.examples = "ringclr profile train.ring\n"
		    "ringclr profile photos.ring --size 224 --loader-threads 2 --json\n"
		    "ringclr profile photos.ring --views '1x crop flip'\n"
		    "ringclr profile photos.ring --size 224 --target 900 --report profile.html\n",
};

struct profile_job {
	struct profile_options options;
	struct options parsed;
	struct runtime runtime;
	struct shard_set *set;
	struct epoch_plan *plan;
	struct profile_sample sample;
	struct profile_result result;
};

/* The views at that size: --views, which was found to be right at --size. */
static struct view_policies views_of(const void *ctx, uint32_t size)
{
	const struct profile_options *o = ctx;
	const struct view_defaults defaults = {
		.size = size, .views = 2, .strength = (float)o->strength, .area_min = 0.08F};
	struct view_policies policies;
	struct error ignored = {0};
	if (views_option_parse(&policies, o->views, &defaults, 0, &ignored) < 0)
		view_policies_init(&policies, 2, VIEW_SIMCLR, size, (float)o->strength);
	return policies;
}

static int open_data(struct profile_job *job, struct error *err)
{
	struct profile_options *o = &job->options;
	if (o->size > 32 && !options_given(&job->parsed, "strength"))
		o->strength = 1;
	const struct view_defaults views = {
		.size = (uint32_t)o->size, .views = 2, .strength = (float)o->strength, .area_min = 0.08F};
	struct view_policies policies;
	int code = views_option_parse(&policies, o->views, &views, 0, err);
	if (code == 0)
		code = runtime_start(&job->runtime, &o->runtime, err);
	if (code < 0)
		return code;
	job->set = runtime_open_shards(&job->runtime, job->parsed.operands, job->parsed.operand_count, err);
	if (!job->set)
		return err->code;
	if (o->limit_images > shard_set_records(job->set))
		return error_set(err, ERROR_USAGE,
			"--limit-images %" PRIu64 " is more than the data holds (%" PRIu64 " images)", o->limit_images,
			shard_set_records(job->set));
	enum epoch_order order = (enum epoch_order)o->order; /* auto stands where EPOCH_SEQUENTIAL does */
	if (o->order == 0)
		order = runtime_choose_order(&o->runtime, job->set, &job->result.order_reason);
	job->result.order = order == EPOCH_FULL ? "full" : "window";
	struct epoch_plan_config plan = {
		.order = order,
		.seed = o->seed,
		.limit = o->limit_images,
		.subset_seed = EVALUATE_SUBSET_SEED,
		.window = (uint32_t)o->window,
	};
	job->plan = epoch_plan_create(job->set, &plan, err);
	return job->plan ? 0 : err->code;
}

static struct loader_config configure(const struct profile_job *job)
{
	const struct profile_options *o = &job->options;
	uint64_t images = epoch_plan_length(job->plan);
	struct loader_config config = runtime_loader_config(&job->runtime);
	config.set = job->set;
	config.plan = job->plan;
	config.batch = (uint32_t)(o->batch < images ? o->batch : images);
	config.whole_batches = true;
	config.seed = o->seed;
	config.policies = views_of(o, (uint32_t)o->size);
	return config;
}

/* Processor seconds that one record of the meters takes: two looks at the clock, sums, a bucket, the slow list. */
static double record_cost_s(void)
{
	enum { ROUNDS = 20000 };
	static struct meter meter;
	struct slow_list slow = {0};
	uint64_t start_ns = meter_cpu_ns();
	for (uint64_t i = 0; i < ROUNDS; i++) {
		uint64_t time_ns = meter_now_ns();
		uint64_t took_ns = meter_phase(&meter, 0, time_ns) - time_ns;
		slow_list_note(&slow, i, took_ns, 0);
	}
	return 1e-9 * (double)(meter_cpu_ns() - start_ns) / ROUNDS;
}

static double find_overhead(const struct profile_run *run)
{
	double records = 0, cpu_s = 1e-9;
	for (size_t i = 0; i < run->measures.count; i++) {
		records += (double)run->measures.row[i].items;
		cpu_s += run->measures.row[i].cpu_s;
	}
	return (records * record_cost_s() + 1e-9 * (double)run->sampler.looking_ns) / cpu_s;
}

static void gather(struct profile_job *job)
{
	struct profile_result *result = &job->result;
	struct rusage usage;
	result->set = job->set;
	result->slow = loader_slowest(result->run.loader);
	result->bottleneck = measure_bottleneck(&result->run.measures);
	result->target = job->options.target;
	result->overhead = find_overhead(&result->run);
	getrusage(RUSAGE_SELF, &usage);
	result->rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
}

static int write_trace(struct profile_job *job, struct error *err)
{
	trace_sort(job->result.run.trace);
	int code = trace_file_write(job->result.run.trace, job->options.trace, err);
	if (code == 0)
		command_note("profile", "trace: %s, for ui.perfetto.dev or chrome://tracing", job->options.trace);
	return code;
}

static int predict(struct profile_job *job, struct error *err)
{
	struct profile_result *result = &job->result;
	const struct augment augment = loader_augment(&result->run.config);
	int code = profile_sample_take(&job->sample, job->set, &augment, err);
	if (code == 0)
		code = profile_predict(&result->predictions, &result->run, &job->sample, views_of, &job->options, err);
	if (code == 0 && job->options.check_predictions)
		code = profile_predict_check(
			&result->predictions, &result->run, job->runtime.placement, views_of, &job->options, err);
	return code;
}

static int run_job(struct profile_job *job, struct error *err)
{
	struct profile_result *result = &job->result;
	const struct command_output outputs[] = {{"--trace", job->options.trace}, {"--report", job->options.report}};
	int code = command_check_outputs(outputs, sizeof outputs / sizeof outputs[0], err);
	if (code == 0)
		code = open_data(job, err);
	if (code < 0)
		return code;
	result->cached = page_cache_share(job->set);
	struct loader_config config = configure(job);
	if (job->options.runtime.autotune) {
		code = autotune(&job->runtime, &config, result->tuned, sizeof result->tuned, err);
		if (code < 0)
			return code;
		config = configure(job);
	}
	result->run.config = config;
	result->run.seconds = job->options.seconds;
	result->run.most_images = job->options.images;
	result->run.mem = job->options.runtime.mem;
	result->run.cache = (enum cache_kind)job->options.runtime.cache;
	result->run.traced = job->options.trace != NULL;
	result->run.other_threads = team_threads(job->runtime.team); /* that start late */
	code = profile_run(&result->run, job->runtime.placement, err);
	if (code < 0)
		return code;
	gather(job);
	if (job->options.trace)
		code = write_trace(job, err);
	if (code == 0 && !command_interrupted())
		code = predict(job, err);
	if (code == 0 && job->options.report) {
		cJSON *options = options_record(&job->parsed);
		code = profile_report(result, options, job->options.report, err);
		cJSON_Delete(options);
	}
	return code;
}

static int show_result(const struct profile_job *job)
{
	int status = EXIT_OK;
	if (job->options.json)
		status = json_print(profile_json(&job->result));
	else
		profile_print(&job->result);
	if (status == EXIT_OK && command_interrupted())
		return EXIT_INTERRUPTED; /* what was measured until then is shown */
	bool slow = job->options.target > 0 && profile_headroom(&job->result) < 0;
	return status == EXIT_OK && slow ? EXIT_TOO_SLOW : status;
}

int command_profile(int argc, char **argv)
{
	static struct profile_job job; /* large: points and histograms */
	int status = options_parse(&job.parsed, &command_profile_table, &job.options, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	command_catch_interrupts();
	struct error err = {0};
	status = run_job(&job, &err) < 0 ? command_fail("profile", &err) : show_result(&job);
	profile_sample_free(&job.sample);
	profile_run_free(&job.result.run);
	epoch_plan_destroy(job.plan);
	shard_set_close(job.set);
	runtime_stop(&job.runtime);
	options_free(&job.parsed);
	return status;
}
