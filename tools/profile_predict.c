/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Predicting. Threads need no more than the model. For a codec, records of a sample are encoded again in memory and
 * decoded both ways: what changes is the ratio. For a size, the sample's views are made at both sizes.
 *
 * Checking. Each change is run beside the pipeline as it is, one right after the other, and the ratio of the two rates
 * is what is checked: a machine that others use is not the same a minute later. For a codec, a few hundred records are
 * packed twice into temporary shards, as they are and in the other codec.
 */
#include "tools/profile_predict.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "stages/codec.h"
#include "tools/command.h"

enum { VIEW_ROUNDS = 2, CHECK_RECORDS = 256, CHECK_BYTES = 128 << 20, CHECK_BATCH = 32, SMALLEST = 8, LARGEST = 1024 };
static const double ENCODE_S = 1;	  /* of one codec's part of the sample */
static const double CHECK_ENCODE_S = 10;  /* of one codec's temporary shard */
static const double LONGEST_EPOCH_S = 60; /* that is run to fill a cache */

/* ---- Predicting ---- */

static struct profile_prediction *add(struct profile_predictions *predictions, enum profile_change change,
	const struct profile_model *changed, double rate)
{
	struct profile_prediction *item = &predictions->item[predictions->count++];
	*item = (struct profile_prediction){.change = change, .bytes_factor = 1};
	item->images_per_s = profile_model_predict(&predictions->model, changed, rate);
	profile_model_rate(changed, &item->limit);
	return item;
}

static void predict_threads(struct profile_predictions *predictions, double rate)
{
	const struct profile_model *model = &predictions->model;
	static const enum profile_model_stage stages[] = {MODEL_DECODE, MODEL_UNPACK};
	for (unsigned i = 0; i < sizeof stages / sizeof stages[0]; i++) {
		unsigned threads = model->stage[stages[i]].threads + 1;
		struct profile_model changed = profile_model_threads(model, stages[i], threads);
		struct profile_prediction *item = add(predictions, CHANGE_THREAD, &changed, rate);
		item->stage = stages[i];
		snprintf(item->what, sizeof item->what, "%s: %u threads", profile_model_limit_name(stages[i]), threads);
	}
}

static int predict_codec(struct profile_predictions *predictions, const struct profile_sample *sample,
	enum profile_keep keep, double rate, struct error *err)
{
	struct profile_codec_times times;
	int code = profile_sample_codec(sample, keep, ENCODE_S, &times, err);
	if (code < 0)
		return code;
	double bytes = (double)times.then_bytes / (double)times.now_bytes;
	struct profile_model changed = profile_model_bytes(&predictions->model, bytes, times.unpack_s / times.images);
	changed = profile_model_scale(&changed, times.then_s / times.now_s, 1);
	struct profile_prediction *item = add(predictions, CHANGE_CODEC, &changed, rate);
	item->keep = keep;
	item->bytes_factor = bytes;
	snprintf(item->what, sizeof item->what, "kept as %s, %.2fx the bytes", profile_keep_name(keep), bytes);
	return 0;
}

static int predict_size(struct profile_predictions *predictions, const struct profile_run *run,
	const struct profile_sample *sample, profile_views views, const void *ctx, uint32_t size, struct error *err)
{
	struct augment augment = loader_augment(&run->config);
	double now_s = 1, then_s = 1;
	/* As it is, twice: the first time warms up. */
	int code = profile_sample_views(sample, &augment, 1, &now_s, err);
	if (code == 0)
		code = profile_sample_views(sample, &augment, VIEW_ROUNDS, &now_s, err);
	augment.policies = views(ctx, size);
	if (code == 0)
		code = profile_sample_views(sample, &augment, VIEW_ROUNDS, &then_s, err);
	if (code < 0)
		return code;
	struct profile_model changed = profile_model_scale(&predictions->model, 1, then_s / now_s);
	struct profile_prediction *item = add(predictions, CHANGE_SIZE, &changed, run->images_per_s);
	item->size = size;
	snprintf(item->what, sizeof item->what, "views of %u pixels", size);
	return 0;
}

static bool all_kept_as(const struct profile_sample *sample, enum profile_keep keep)
{
	/* WebP of either kind is worth a look when the data is the other kind. */
	bool same = keep == KEEP_RAW || keep == KEEP_PNG;
	for (unsigned i = 0; i < sample->count; i++)
		same = same && sample->image[i].codec == profile_keep_codec(keep);
	return same;
}

int profile_predict(struct profile_predictions *predictions, const struct profile_run *run,
	const struct profile_sample *sample, profile_views views, const void *ctx, struct error *err)
{
	*predictions = (struct profile_predictions){.model = profile_run_model(run)};
	double rate = run->images_per_s;
	predictions->model_per_s = profile_model_rate(&predictions->model, &predictions->limit);
	predict_threads(predictions, rate);
	int code = 0;
	for (enum profile_keep keep = KEEP_RAW; keep < KEEP_COUNT && code == 0; keep++)
		if (!all_kept_as(sample, keep))
			code = predict_codec(predictions, sample, keep, rate, err);
	uint32_t size = run->config.policies.view[0].size;
	if (code == 0 && size / 2 >= SMALLEST)
		code = predict_size(predictions, run, sample, views, ctx, size / 2, err);
	if (code == 0 && size * 2 <= LARGEST)
		code = predict_size(predictions, run, sample, views, ctx, size * 2, err);
	if (code < 0)
		return code;
	if (loader_cache_plan(run->loader)->kind == CACHE_DECODED)
		return 0;
	struct profile_model decoded = profile_model_decoded(&predictions->model);
	struct profile_prediction *item = add(predictions, CHANGE_DECODED, &decoded, rate);
	snprintf(item->what, sizeof item->what, "decoded images kept in memory");
	return 0;
}

/* ---- Checking ---- */

/* Runs the loader with another configuration. */
static int measure(const struct profile_run *like, const struct loader_config *config, enum cache_kind cache,
	struct placement *placement, double *images_per_s, struct error *err)
{
	struct profile_run *run = calloc(1, sizeof *run);
	if (!run)
		return error_set(err, ERROR_MEMORY, "out of memory for a run");
	run->config = *config;
	run->seconds = like->seconds;
	run->mem = like->mem;
	run->cache = cache;
	run->warm = cache == CACHE_DECODED;
	int code = profile_run(run, placement, err);
	*images_per_s = run->images_per_s;
	profile_run_free(run);
	free(run);
	return code;
}

/* One record as it goes to a temporary shard; keep KEEP_COUNT: as it is. */
static int pack_one(struct shard_writer *writer, struct codec_context *codecs, const struct shard_set *set,
	uint64_t number, enum profile_keep keep, struct error *err)
{
	const struct shard_record *record = shard_set_record(set, number);
	size_t rgb_bytes = (size_t)record->width * record->height * 3;
	unsigned shard;
	uint32_t local;
	struct shard_record_in in = {.key = record->key,
		.label = -1,
		.width = record->width,
		.height = record->height,
		.codec = (enum shard_codec)record->codec};
	unsigned char *data = NULL;
	void *encoded = NULL;
	uint8_t *rgb = malloc(rgb_bytes);
	if (!rgb)
		return error_set(err, ERROR_MEMORY, "out of memory for an image");
	shard_set_locate(set, number, &shard, &local);
	int code = shard_read_record(shard_set_at(set, shard), local, &data, &in.bytes, err);
	in.data = data;
	if (code == 0 && keep != KEEP_COUNT) {
		code = codec_decode(codecs, in.codec, data, in.bytes, in.width, in.height, rgb, rgb_bytes, err);
		if (code == 0)
			code = profile_keep_encode(keep, rgb, in.width, in.height, &encoded, &in.bytes, err);
		in.codec = profile_keep_codec(keep);
		in.data = encoded;
	}
	if (code == 0)
		code = shard_writer_add(writer, &in, err);
	free(rgb);
	free(data);
	free(encoded);
	return code;
}

/* Packs the first *count of CHECK_RECORDS evenly spaced records, or as many as the time allows: *count becomes how many
 * these were. */
static int pack_some(const struct shard_set *set, enum profile_keep keep, const char *path, uint64_t *count,
	double seconds, struct error *err)
{
	struct shard_writer_config config = {.path = path};
	struct shard_writer *writer = shard_writer_create(&config, err);
	struct codec_context *codecs = codec_context_create(cpu_detect(), err);
	uint64_t records = shard_set_records(set), done = 0, bytes = 0, start_ns = meter_now_ns();
	uint64_t step = records > CHECK_RECORDS ? records / CHECK_RECORDS : 1;
	int code = writer && codecs ? 0 : err->code;
	while (code == 0 && done < *count && bytes < CHECK_BYTES) {
		if (done > 0 && (double)(meter_now_ns() - start_ns) * 1e-9 > seconds)
			break;
		const struct shard_record *record = shard_set_record(set, done * step);
		bytes += (uint64_t)record->width * record->height * 3;
		code = pack_one(writer, codecs, set, done++ * step, keep, err);
	}
	*count = done;
	codec_context_destroy(codecs);
	if (code == 0)
		return shard_writer_finish(writer, err);
	shard_writer_abandon(writer);
	return code;
}

/* images/s of a temporary shard. */
static int measure_shard(const struct profile_run *run, struct placement *placement, const char *path,
	double *images_per_s, struct error *err)
{
	struct shard_set *set = shard_set_open(&path, 1, false, err);
	if (!set)
		return err->code;
	struct epoch_plan_config order = {.order = EPOCH_FULL, .seed = run->config.seed};
	struct epoch_plan *plan = epoch_plan_create(set, &order, err);
	int code = plan ? 0 : err->code;
	if (code == 0) {
		struct loader_config config = run->config;
		config.set = set;
		config.plan = plan;
		config.batch = shard_set_records(set) < CHECK_BATCH ? (uint32_t)shard_set_records(set) : CHECK_BATCH;
		code = measure(run, &config, run->cache, placement, images_per_s, err);
	}
	epoch_plan_destroy(plan);
	shard_set_close(set);
	return code;
}

static int check_codec(
	struct profile_prediction *item, const struct profile_run *run, struct placement *placement, struct error *err)
{
	const char *folder = getenv("TMPDIR");
	char base[4096], now[4160], then[4160];
	snprintf(base, sizeof base, "%s/ringclr-profile.XXXXXX", folder && *folder ? folder : "/tmp");
	if (!mkdtemp(base))
		return error_set(err, ERROR_IO, "%s: cannot make a folder for temporary shards; set TMPDIR", base);
	snprintf(now, sizeof now, "%s/now.ring", base);
	snprintf(then, sizeof then, "%s/then.ring", base);
	uint64_t records = shard_set_records(run->config.set);
	uint64_t count = records < CHECK_RECORDS ? records : CHECK_RECORDS;
	double now_per_s = 0, then_per_s = 0;
	int code = pack_some(run->config.set, item->keep, then, &count, CHECK_ENCODE_S, err);
	/* The same records: no limit of time. */
	if (code == 0)
		code = pack_some(run->config.set, KEEP_COUNT, now, &count, 1e9, err);
	if (code == 0)
		code = measure_shard(run, placement, now, &now_per_s, err);
	if (code == 0)
		code = measure_shard(run, placement, then, &then_per_s, err);
	if (code == 0)
		item->measured_per_s = run->images_per_s * then_per_s / now_per_s;
	unlink(now);
	unlink(then);
	rmdir(base);
	return code;
}

static int check_config(struct profile_prediction *item, const struct profile_run *run,
	const struct loader_config *changed, enum cache_kind cache, struct placement *placement, struct error *err)
{
	double now_per_s = 0, then_per_s = 0;
	int code = measure(run, &run->config, run->cache, placement, &now_per_s, err);
	if (code == 0)
		code = measure(run, changed, cache, placement, &then_per_s, err);
	if (code == 0)
		item->measured_per_s = run->images_per_s * then_per_s / now_per_s;
	return code;
}

int profile_predict_check(struct profile_predictions *predictions, const struct profile_run *run,
	struct placement *placement, profile_views views, const void *ctx, struct error *err)
{
	for (size_t i = 0; i < predictions->count && !command_interrupted(); i++) {
		struct profile_prediction *item = &predictions->item[i];
		struct loader_config config = run->config;
		int code = 0;
		switch (item->change) {
		case CHANGE_THREAD:
			if (item->stage == MODEL_UNPACK)
				config.unpackers++;
			else
				config.workers++;
			break;
		case CHANGE_SIZE:
			config.policies = views(ctx, item->size);
			break;
		default:
			break;
		}
		/* The first epoch of a loader that keeps decoded images is not what was predicted: it is waited for. */
		const bool decoded = item->change == CHANGE_DECODED;
		if (decoded && (double)epoch_plan_length(config.plan) > LONGEST_EPOCH_S * run->images_per_s)
			continue;
		code = item->change == CHANGE_CODEC
			       ? check_codec(item, run, placement, err)
			       : check_config(item, run, &config, decoded ? CACHE_DECODED : run->cache, placement, err);
		if (code < 0)
			return code;
		item->measured = !command_interrupted();
	}
	return 0;
}
