/* SPDX-License-Identifier: Apache-2.0 */
/* The result of `ringclr profile` as tables and in words. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/profile_result.h"
#include "tools/runtime.h"

static const double MIB = 1 << 20;

/* "850 ns", "12.3 us", "4.56 ms", "1.20 s". */
static const char *format_ns(uint64_t ns, char text[16])
{
	if (ns < 1000)
		snprintf(text, 16, "%u ns", (unsigned)ns);
	else if (ns < 1000000)
		snprintf(text, 16, "%.3g us", (double)ns * 1e-3);
	else if (ns < 1000000000)
		snprintf(text, 16, "%.3g ms", (double)ns * 1e-6);
	else
		snprintf(text, 16, "%.3g s", (double)ns * 1e-9);
	return text;
}

double profile_headroom(const struct profile_result *result)
{
	return result->run.images_per_s / result->target - 1;
}

static const struct profile_prediction *best_prediction(const struct profile_result *result)
{
	const struct profile_prediction *best = NULL;
	for (size_t i = 0; i < result->predictions.count; i++) {
		const struct profile_prediction *item = &result->predictions.item[i];
		if (item->change != CHANGE_SIZE && (!best || item->images_per_s > best->images_per_s))
			best = item;
	}
	return best;
}

static const char *explain(const char *row)
{
	static const char *const texts[][2] = {
		{"read", "waiting for the disk"},
		{"unpack", "checking and decompressing blocks"},
		{"copy", "copying records to the sample ring"},
		{"decode", "decoding images"},
		{"augment", "making the views"},
	};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (strcmp(texts[i][0], row) == 0)
			return texts[i][1];
	return row;
}

void profile_verdict(const struct profile_result *result, FILE *out)
{
	const struct measure_row *row = result->bottleneck;
	fprintf(out,
		"The loader gives %.1f images/s (%u views each). The bottleneck is %s (%s): %u thread%s of stage %s "
		"spend%s %.0f%% of the time on it.\n",
		result->run.images_per_s, result->run.config.policies.count, row->name, explain(row->name),
		row->threads, row->threads == 1 ? "" : "s", row->stage_name, row->threads == 1 ? "s" : "",
		100 * row->busy);
	const struct profile_prediction *best = best_prediction(result);
	if (best && best->images_per_s > 1.03 * result->run.images_per_s)
		fprintf(out, "Of the changes looked at, this would help most: %s, %.1f images/s (x%.2f).\n", best->what,
			best->images_per_s, best->images_per_s / result->run.images_per_s);
	if (result->target > 0) {
		double headroom = profile_headroom(result);
		if (headroom >= 0)
			fprintf(out, "It keeps up with %.1f images/s, with a headroom of %.1f%%.\n", result->target,
				100 * headroom);
		else
			fprintf(out, "It does not keep up with %.1f images/s: it lacks %.1f%%.\n", result->target,
				-100 * headroom);
	}
}

static void print_stages(const struct profile_result *result)
{
	char text[4][16];
	printf("%-10s %7s %9s %7s %9s %11s %10s %10s %10s\n", "stage", "threads", "items", "busy", "upstream",
		"downstream", "p50", "p90", "p99");
	for (size_t i = 0; i < result->run.measures.count; i++) {
		const struct measure_row *row = &result->run.measures.row[i];
		printf("%-10s %7u %9" PRIu64 " %6.1f%% %8.1f%% %10.1f%% %10s %10s %10s\n", row->name, row->threads,
			row->items, 100 * row->busy, 100 * row->upstream, 100 * row->downstream,
			format_ns(histogram_percentile(&row->times, 0.5), text[0]),
			format_ns(histogram_percentile(&row->times, 0.9), text[1]),
			format_ns(histogram_percentile(&row->times, 0.99), text[2]));
	}
}

static void print_rings(const struct graph *graph)
{
	printf("\n%-12s %6s %10s\n", "ring", "slots", "mean full");
	for (size_t i = 0; i < graph->ring_count; i++) {
		struct ring_stats stats;
		ring_stats(graph->rings[i], &stats);
		printf("%-12s %6u %10.1f\n", ring_name(graph->rings[i]), stats.slots, stats.mean_full);
	}
}

static void print_reading(const struct profile_result *result)
{
	const struct engine *engine = loader_engine(result->run.loader);
	const struct histogram *latencies = engine_latencies(engine);
	char text[3][16];
	printf("\nreading by %s: %" PRIu64 " reads, %.1f of %u in flight, latency p50 %s, p90 %s, p99 %s; %.1f MB/s",
		engine_name(engine), histogram_total(latencies), engine_mean_depth(engine), engine_depth(engine),
		format_ns(histogram_percentile(latencies, 0.5), text[0]),
		format_ns(histogram_percentile(latencies, 0.9), text[1]),
		format_ns(histogram_percentile(latencies, 0.99), text[2]),
		1e-6 * result->run.disk_bytes_per_image * result->run.images_per_s);
	if (result->cached >= 0)
		printf("; %.0f%% of the shards were in the page cache", 100 * result->cached);
	char cache[128];
	runtime_describe_cache(result->run.loader, cache, sizeof cache);
	const char *reason = result->order_reason;
	printf("\norder: %s%s%s%s\ncache: %s", result->order, reason ? " (" : "", reason ? reason : "",
		reason ? ")" : "", cache);
	printf("\nmemory: %.1f MiB planned; the process took %.1f MiB at most, program and libraries included\n",
		(double)arena_used_bytes(result->run.arena) / MIB, (double)result->rss_bytes / MIB);
}

static void print_slowest(const struct profile_result *result)
{
	printf("\n%-40s %6s %11s %9s %10s %10s\n", "slowest records", "codec", "pixels", "bytes", "decode", "augment");
	for (unsigned i = 0; i < result->slow.count; i++) {
		const struct slow_record *slow = &result->slow.worst[i];
		const struct shard_record *record = shard_set_record(result->set, slow->record);
		char pixels[16], text[2][16];
		snprintf(pixels, sizeof pixels, "%ux%u", record->width, record->height);
		printf("%-40s %6s %11s %9u %10s %10s\n", record->key, shard_codec_name((enum shard_codec)record->codec),
			pixels, record->bytes, format_ns(slow->decode_ns, text[0]),
			format_ns(slow->augment_ns, text[1]));
	}
}

static void print_predictions(const struct profile_result *result)
{
	const struct profile_predictions *all = &result->predictions;
	bool measured = false;
	for (size_t i = 0; i < all->count; i++)
		measured = measured || all->item[i].measured;
	printf("\n%-40s %10s %7s  %-10s%s\n", "what would change it", "images/s", "gain", "then limits",
		measured ? "  measured   error" : "");
	for (size_t i = 0; i < all->count; i++) {
		const struct profile_prediction *item = &all->item[i];
		printf("%-40s %10.1f %6.2fx  %-11s", item->what, item->images_per_s,
			item->images_per_s / result->run.images_per_s, profile_model_limit_name(item->limit));
		if (item->measured)
			printf("  %8.1f %+6.1f%%", item->measured_per_s,
				100 * (item->images_per_s / item->measured_per_s - 1));
		putchar('\n');
	}
	printf("(the model says %.1f images/s for what was measured as %.1f; predictions are scaled by that)\n",
		all->model_per_s, result->run.images_per_s);
}

void profile_print(const struct profile_result *result)
{
	if (result->tuned[0])
		printf("%s\n", result->tuned);
	print_stages(result);
	print_rings(result->run.graph);
	print_reading(result);
	print_slowest(result);
	print_predictions(result);
	printf("\n%.1f images/s (%u views each); %" PRIu64 " images in %.2f s; measuring took %.2f%% of the processor "
	       "time\nbottleneck: %s\n",
		result->run.images_per_s, result->run.config.policies.count, result->run.images, result->run.took_s,
		100 * result->overhead, result->bottleneck->name);
	profile_verdict(result, stdout);
}
