/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/report_parts.h"

#include <inttypes.h>
#include <math.h>

#include "tools/html_chart.h"

enum { RATE_BINS = 60 };

void report_shares(struct html *html, const struct measures *measures)
{
	struct chart_share rows[MEASURE_ROWS];
	for (size_t i = 0; i < measures->count; i++) {
		const struct measure_row *row = &measures->row[i];
		rows[i] = (struct chart_share){row->name, row->busy,
			fmax(0, 1 - row->busy - row->upstream - row->downstream), row->upstream, row->downstream};
	}
	html_card_begin(html, "Where the threads' time goes",
		"The busiest stage is the bottleneck: all the others wait for it.", false);
	chart_shares(html->out, rows, measures->count);
	html_card_end(html);
}

void report_times(struct html *html, const struct measures *measures)
{
	char text[24];
	html_card_begin(html, "Time of one item", NULL, true);
	html_table_begin(html, "work|>threads|>items|>working|>p50|>p90|>p99|>longest");
	for (size_t i = 0; i < measures->count; i++) {
		const struct measure_row *row = &measures->row[i];
		html_row_begin(html);
		html_cell(html, false, "%s", row->name);
		html_cell(html, true, "%u", row->threads);
		html_cell(html, true, "%" PRIu64, row->items);
		html_cell(html, true, "%.1f%%", 100 * row->busy);
		static const double shares[] = {0.5, 0.9, 0.99, 1};
		for (unsigned k = 0; k < sizeof shares / sizeof shares[0]; k++) {
			double ns = (double)histogram_percentile(&row->times, shares[k]);
			html_cell(html, true, "%s", ns > 0 ? chart_time(ns, text) : "-");
		}
		html_row_end(html);
	}
	html_table_end(html);
	html_card_end(html);
}

void report_rate(struct html *html, const struct sampler *sampler)
{
	static struct chart_series series;
	series = (struct chart_series){.name = "images/s"};
	unsigned step = sampler->count / RATE_BINS + 1, last = 0;
	for (unsigned i = step; i < sampler->count; i += step) {
		const struct sampler_point *from = &sampler->points[last], *to = &sampler->points[i];
		double seconds = (double)(to->seconds - from->seconds);
		if (seconds <= 0 || series.count == CHART_POINTS)
			continue;
		series.x[series.count] = (double)(to->seconds + from->seconds) / 2;
		series.y[series.count++] = (double)(to->items - from->items) / seconds;
		last = i;
	}
	html_card_begin(html, "Images a second, over the run", "Images that decode threads took up.", false);
	chart_lines(html->out, &series, 1, " s", 0);
	html_card_end(html);
}

void report_rings(struct html *html, const struct sampler *sampler)
{
	static struct chart_series series[CHART_SERIES];
	unsigned rings = sampler->ring_count < CHART_SERIES ? sampler->ring_count : CHART_SERIES;
	unsigned step = sampler->count / CHART_POINTS + 1;
	for (unsigned r = 0; r < rings; r++) {
		struct chart_series *line = &series[r];
		*line = (struct chart_series){.name = ring_name(sampler->rings[r])};
		for (unsigned i = 0; i + step <= sampler->count && line->count < CHART_POINTS; i += step) {
			double full = 0;
			for (unsigned k = i; k < i + step; k++)
				full += sampler->points[k].full[r];
			line->x[line->count] = (double)sampler->points[i].seconds;
			line->y[line->count++] = 100 * full / step / ring_slots(sampler->rings[r]);
		}
	}
	html_card_begin(html, "How full the rings are, over the run",
		"Percent of slots. Full before the bottleneck, empty behind it.", false);
	chart_lines(html->out, series, rings, " s", 0);
	html_card_end(html);
}
