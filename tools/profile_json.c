/* SPDX-License-Identifier: Apache-2.0 */
/* The result of `ringclr profile` as one JSON object: times in milliseconds, shares as fractions of 1. */
#include "tools/profile_result.h"

static cJSON *new_in(cJSON *array)
{
	cJSON *object = cJSON_CreateObject();
	cJSON_AddItemToArray(array, object);
	return object;
}

static void add_times(cJSON *object, const struct histogram *times)
{
	cJSON_AddNumberToObject(object, "p50_ms", 1e-6 * (double)histogram_percentile(times, 0.5));
	cJSON_AddNumberToObject(object, "p90_ms", 1e-6 * (double)histogram_percentile(times, 0.9));
	cJSON_AddNumberToObject(object, "p99_ms", 1e-6 * (double)histogram_percentile(times, 0.99));
	cJSON_AddNumberToObject(
		object, "max_ms", 1e-6 * (double)atomic_load_explicit(&times->most, memory_order_relaxed));
	/* [first value of a bucket in milliseconds, values in it], without the empty ones. */
	cJSON *buckets = cJSON_AddArrayToObject(object, "histogram");
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint32_t count = atomic_load_explicit(&times->count[i], memory_order_relaxed);
		if (count == 0)
			continue;
		double pair[2] = {1e-6 * (double)histogram_bucket_start(i), count};
		cJSON_AddItemToArray(buckets, cJSON_CreateDoubleArray(pair, 2));
	}
}

static void add_stages(cJSON *result, const struct measures *measures)
{
	cJSON *stages = cJSON_AddArrayToObject(result, "stages");
	for (size_t i = 0; i < measures->count; i++) {
		const struct measure_row *row = &measures->row[i];
		cJSON *stage = new_in(stages);
		cJSON_AddStringToObject(stage, "name", row->name);
		cJSON_AddStringToObject(stage, "stage", row->stage_name);
		cJSON_AddNumberToObject(stage, "threads", row->threads);
		cJSON_AddNumberToObject(stage, "items", (double)row->items);
		cJSON_AddNumberToObject(stage, "busy", row->busy);
		cJSON_AddNumberToObject(stage, "waiting_upstream", row->upstream);
		cJSON_AddNumberToObject(stage, "waiting_downstream", row->downstream);
		cJSON_AddNumberToObject(stage, "cpu_s", row->cpu_s);
		add_times(stage, &row->times);
	}
}

static void add_rings(cJSON *result, const struct profile_run *run)
{
	cJSON *rings = cJSON_AddArrayToObject(result, "rings");
	for (size_t i = 0; i < run->graph->ring_count; i++) {
		struct ring_stats stats;
		ring_stats(run->graph->rings[i], &stats);
		cJSON *ring = new_in(rings);
		cJSON_AddStringToObject(ring, "name", ring_name(run->graph->rings[i]));
		cJSON_AddNumberToObject(ring, "slots", stats.slots);
		cJSON_AddNumberToObject(ring, "mean_full", stats.mean_full);
	}
	cJSON *over_time = cJSON_AddObjectToObject(result, "over_time");
	cJSON *seconds = cJSON_AddArrayToObject(over_time, "seconds");
	cJSON *images = cJSON_AddArrayToObject(over_time, "images");
	cJSON *full = cJSON_AddObjectToObject(over_time, "full");
	cJSON *of_ring[SAMPLER_RINGS];
	for (unsigned r = 0; r < run->sampler.ring_count; r++)
		of_ring[r] = cJSON_AddArrayToObject(full, ring_name(run->sampler.rings[r]));
	for (unsigned i = 0; i < run->sampler.count; i++) {
		const struct sampler_point *point = &run->sampler.points[i];
		cJSON_AddItemToArray(seconds, cJSON_CreateNumber((double)point->seconds));
		cJSON_AddItemToArray(images, cJSON_CreateNumber((double)point->items));
		for (unsigned r = 0; r < run->sampler.ring_count; r++)
			cJSON_AddItemToArray(of_ring[r], cJSON_CreateNumber(point->full[r]));
	}
}

static void add_class(void *ctx, const char *class_name, size_t bytes)
{
	cJSON_AddNumberToObject(ctx, class_name, (double)bytes);
}

static void add_reading(cJSON *result, const struct profile_result *from)
{
	const struct engine *engine = loader_engine(from->run.loader);
	cJSON *reading = cJSON_AddObjectToObject(result, "reading");
	cJSON_AddNumberToObject(reading, "depth", engine_depth(engine));
	cJSON_AddNumberToObject(reading, "mean_depth", engine_mean_depth(engine));
	add_times(reading, engine_latencies(engine));
	if (from->cached >= 0)
		cJSON_AddNumberToObject(reading, "page_cache", from->cached);
	cJSON *memory = cJSON_AddObjectToObject(result, "memory");
	arena_classes(from->run.arena, add_class, cJSON_AddObjectToObject(memory, "class_bytes"));
	cJSON_AddNumberToObject(memory, "planned_bytes", (double)arena_used_bytes(from->run.arena));
	cJSON_AddNumberToObject(memory, "most_bytes", (double)from->rss_bytes);
}

static void add_slowest(cJSON *result, const struct profile_result *from)
{
	cJSON *slowest = cJSON_AddArrayToObject(result, "slowest");
	for (unsigned i = 0; i < from->slow.count; i++) {
		const struct slow_record *slow = &from->slow.worst[i];
		const struct shard_record *record = shard_set_record(from->set, slow->record);
		cJSON *object = new_in(slowest);
		cJSON_AddStringToObject(object, "key", record->key);
		cJSON_AddStringToObject(object, "codec", shard_codec_name((enum shard_codec)record->codec));
		cJSON_AddNumberToObject(object, "width", record->width);
		cJSON_AddNumberToObject(object, "height", record->height);
		cJSON_AddNumberToObject(object, "bytes", record->bytes);
		cJSON_AddNumberToObject(object, "decode_ms", 1e-6 * (double)slow->decode_ns);
		cJSON_AddNumberToObject(object, "augment_ms", 1e-6 * (double)slow->augment_ns);
	}
}

static void add_predictions(cJSON *result, const struct profile_predictions *predictions)
{
	static const char *const changes[] = {"thread", "codec", "size", "decoded"};
	const struct profile_model *model = &predictions->model;
	cJSON *object = cJSON_AddObjectToObject(result, "model");
	cJSON_AddNumberToObject(object, "images_per_s", predictions->model_per_s);
	cJSON_AddStringToObject(object, "limit", profile_model_limit_name(predictions->limit));
	cJSON_AddNumberToObject(object, "processors", model->processors);
	cJSON_AddNumberToObject(object, "decode_share", model->decode_share);
	for (enum profile_model_stage i = MODEL_READ; i < MODEL_STAGES; i++) {
		cJSON *stage = cJSON_AddObjectToObject(object, profile_model_limit_name(i));
		cJSON_AddNumberToObject(stage, "threads", model->stage[i].threads);
		cJSON_AddNumberToObject(stage, "cost_s", model->stage[i].cost_s);
		cJSON_AddNumberToObject(stage, "cpu_s", model->stage[i].cpu_s);
	}
	cJSON *array = cJSON_AddArrayToObject(result, "predictions");
	for (size_t i = 0; i < predictions->count; i++) {
		const struct profile_prediction *item = &predictions->item[i];
		object = new_in(array);
		cJSON_AddStringToObject(object, "change", changes[item->change]);
		cJSON_AddStringToObject(object, "what", item->what);
		cJSON_AddNumberToObject(object, "images_per_s", item->images_per_s);
		cJSON_AddStringToObject(object, "limit", profile_model_limit_name(item->limit));
		if (item->measured)
			cJSON_AddNumberToObject(object, "measured_images_per_s", item->measured_per_s);
	}
}

static void add_cache(cJSON *result, const struct profile_result *from)
{
	static const char *const names[] = {
		[CACHE_NONE] = "none", [CACHE_PACKED] = "packed", [CACHE_DECODED] = "decoded"};
	const struct record_cache_plan *plan = loader_cache_plan(from->run.loader);
	cJSON_AddStringToObject(result, "order", from->order);
	cJSON_AddStringToObject(result, "cache", names[plan->kind]);
	cJSON_AddNumberToObject(
		result, "cache_bytes", (double)(plan->block_bytes + plan->pixel_bytes + plan->table_bytes));
}

cJSON *profile_json(const struct profile_result *from)
{
	const struct profile_run *run = &from->run;
	cJSON *result = cJSON_CreateObject();
	cJSON_AddNumberToObject(result, "images_per_s", run->images_per_s);
	cJSON_AddNumberToObject(result, "mb_per_s", 1e-6 * run->disk_bytes_per_image * run->images_per_s);
	cJSON_AddNumberToObject(result, "images", (double)run->images);
	cJSON_AddNumberToObject(result, "seconds", run->took_s);
	cJSON_AddNumberToObject(result, "views", run->config.policies.count);
	cJSON_AddStringToObject(result, "engine", loader_engine_name(run->loader));
	add_cache(result, from);
	cJSON_AddStringToObject(result, "bottleneck", from->bottleneck->name);
	cJSON_AddNumberToObject(result, "overhead", from->overhead);
	if (from->target > 0) {
		cJSON_AddNumberToObject(result, "target_images_per_s", from->target);
		cJSON_AddBoolToObject(result, "keeps_up", profile_headroom(from) >= 0);
		cJSON_AddNumberToObject(result, "headroom", profile_headroom(from));
	}
	if (from->tuned[0])
		cJSON_AddStringToObject(result, "autotune", from->tuned);
	add_stages(result, &run->measures);
	add_rings(result, run);
	add_reading(result, from);
	add_slowest(result, from);
	add_predictions(result, &from->predictions);
	return result;
}
