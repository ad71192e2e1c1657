/* SPDX-License-Identifier: Apache-2.0 */
/* The result of `ringclr profile` as a report: the verdict on top, then what it follows from. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/html_chart.h"
#include "tools/profile_result.h"
#include "tools/report_parts.h"

static const double MIB = 1 << 20;

static int put_verdict(struct html *html, const struct profile_result *result, struct error *err)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *words = open_memstream(&text, &bytes);
	if (!words)
		return error_set(err, ERROR_MEMORY, "out of memory for a report");
	profile_verdict(result, words);
	if (fclose(words) != 0) {
		free(text);
		return error_set(err, ERROR_MEMORY, "out of memory for a report");
	}
	fputs("<div class=\"verdict\">", html->out);
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
		if (!*line)
			continue;
		fputs("<p>", html->out);
		html_text(html->out, line);
		fputs("</p>", html->out);
	}
	fputs("</div>\n", html->out);
	free(text);
	return 0;
}

static void put_tiles(struct html *html, const struct profile_result *result)
{
	char text[48], number[24];
	html_tiles_begin(html);
	html_tile(html, chart_number(result->run.images_per_s, number), "images/s");
	html_tile(html, result->bottleneck->name, "bottleneck");
	if (result->target > 0) {
		snprintf(text, sizeof text, "%+.1f%%", 100 * profile_headroom(result));
		html_tile(html, text, "headroom over the target");
	}
	snprintf(text, sizeof text, "%.1f", 1e-6 * result->run.disk_bytes_per_image * result->run.images_per_s);
	html_tile(html, text, "MB/s read");
	if (result->cached >= 0) {
		snprintf(text, sizeof text, "%.0f%%", 100 * result->cached);
		html_tile(html, text, "in the page cache before");
	}
	snprintf(text, sizeof text, "%.0f MiB", (double)result->rss_bytes / MIB);
	html_tile(html, text, "memory at most");
	snprintf(text, sizeof text, "%.2f%%", 100 * result->overhead);
	html_tile(html, text, "spent on measuring");
	html_tiles_end(html);
}

static void put_predictions(struct html *html, const struct profile_result *result)
{
	const struct profile_predictions *all = &result->predictions;
	struct chart_bar bars[PROFILE_PREDICTIONS];
	bool measured = false;
	for (size_t i = 0; i < all->count; i++) {
		const struct profile_prediction *item = &all->item[i];
		bars[i] = (struct chart_bar){item->what, item->images_per_s, item->measured ? item->measured_per_s : 0};
		measured = measured || item->measured;
	}
	html_card_begin(html, "What would change it",
		"Predicted images/s; the dashed line is this run. rate = min(threads / cost of each stage, processors "
		"/ "
		"processor time of all), scaled to what was measured.",
		true);
	if (measured)
		fputs("<p class=\"legend\"><span><i style=\"background:var(--c2)\"></i>predicted</span><span><i "
		      "style=\"background:var(--c3)\"></i>measured</span></p>",
			html->out);
	chart_bars(html->out, bars, all->count, result->run.images_per_s);
	html_card_end(html);
}

static void put_phase(struct html *html, const struct measure_row *row)
{
	static const char *const of[][2] = {{"read", "each wait for a read"}, {"unpack", "one block"},
		{"copy", "one record"}, {"decode", "one image"}, {"augment", "all views of one image"}};
	char heading[64];
	const char *note = NULL;
	for (size_t i = 0; i < sizeof of / sizeof of[0]; i++)
		note = strcmp(of[i][0], row->name) == 0 ? of[i][1] : note;
	snprintf(heading, sizeof heading, "Times: %s", row->name);
	html_card_begin(html, heading, note, false);
	chart_times(html->out, &row->times);
	html_card_end(html);
}

static void put_latencies(struct html *html, const struct profile_result *result)
{
	const struct engine *engine = loader_engine(result->run.loader);
	const struct histogram *latencies = engine_latencies(engine);
	char note[128];
	snprintf(note, sizeof note, "%s: %" PRIu64 " reads, %.1f of %u in flight on average", engine_name(engine),
		histogram_total(latencies), engine_mean_depth(engine), engine_depth(engine));
	html_card_begin(html, "Read latency", note, false);
	chart_times(html->out, latencies);
	html_card_end(html);
}

static void put_slowest(struct html *html, const struct profile_result *result)
{
	char text[24];
	html_card_begin(html, "Slowest records", "By the time of decoding and augmenting together.", true);
	html_table_begin(html, "key|codec|>pixels|>bytes|>decode|>augment");
	for (unsigned i = 0; i < result->slow.count; i++) {
		const struct slow_record *slow = &result->slow.worst[i];
		const struct shard_record *record = shard_set_record(result->set, slow->record);
		html_row_begin(html);
		html_cell(html, false, "%s", record->key);
		html_cell(html, false, "%s", shard_codec_name((enum shard_codec)record->codec));
		html_cell(html, true, "%ux%u", record->width, record->height);
		html_cell(html, true, "%u", record->bytes);
		html_cell(html, true, "%s", chart_time((double)slow->decode_ns, text));
		html_cell(html, true, "%s", chart_time((double)slow->augment_ns, text));
		html_row_end(html);
	}
	html_table_end(html);
	html_card_end(html);
}

static void add_class(void *ctx, const char *class_name, size_t bytes)
{
	struct html *html = ctx;
	html_row_begin(html);
	html_cell(html, false, "%s", class_name);
	html_cell(html, true, "%.2f MiB", (double)bytes / MIB);
	html_row_end(html);
}

static void put_memory(struct html *html, const struct profile_result *result)
{
	char note[96];
	snprintf(note, sizeof note, "%.1f MiB planned before the run; %.1f MiB used by the process at most.",
		(double)arena_used_bytes(result->run.arena) / MIB, (double)result->rss_bytes / MIB);
	html_card_begin(html, "Memory", note, false);
	html_table_begin(html, "buffers|>planned");
	arena_classes(result->run.arena, add_class, html);
	html_table_end(html);
	html_card_end(html);
}

int profile_report(const struct profile_result *result, const cJSON *options, const char *path, struct error *err)
{
	struct html html;
	char title[512];
	snprintf(title, sizeof title, "ringclr profile: %s%s", shard_path(shard_set_at(result->set, 0)),
		shard_set_count(result->set) > 1 ? " and others" : "");
	if (html_begin(&html, title, err) < 0 || put_verdict(&html, result, err) < 0)
		return err->code;
	put_tiles(&html, result);
	html_grid_begin(&html);
	report_shares(&html, &result->run.measures);
	report_rate(&html, &result->run.sampler);
	report_rings(&html, &result->run.sampler);
	put_latencies(&html, result);
	put_predictions(&html, result);
	for (size_t i = 0; i < result->run.measures.count; i++)
		if (histogram_total(&result->run.measures.row[i].times) > 0)
			put_phase(&html, &result->run.measures.row[i]);
	put_memory(&html, result);
	report_times(&html, &result->run.measures);
	put_slowest(&html, result);
	html_settings(&html, options);
	html_grid_end(&html);
	return html_finish(&html, path, err);
}
