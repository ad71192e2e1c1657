/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loss of every step is kept as means over as many neighbouring steps as it takes for the whole run to fit the
 * chart: when the places are used up, neighbours are put together two by two.
 */
#include "tools/train_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "tools/command.h"
#include "tools/html_chart.h"
#include "tools/report_parts.h"

enum { PLACES = 2 * (CHART_POINTS / 2) };

/* A quantity over steps. Written by the report stage's thread, read after the run. */
struct curve {
	size_t count;	     /* whole places */
	uint64_t width;	     /* steps of a place */
	double step[PLACES]; /* mean, as is */
	double value[PLACES];
	double step_sum, value_sum; /* of the place that is being filled */
	uint64_t filled;
};

struct train_watch {
	struct sampler sampler;
	struct measures measures;
	struct curve loss, accuracy;
	struct chart_series series;
};

static void curve_add(struct curve *curve, uint64_t step, double value)
{
	curve->step_sum += (double)step;
	curve->value_sum += value;
	if (++curve->filled < curve->width)
		return;
	curve->step[curve->count] = curve->step_sum / (double)curve->width;
	curve->value[curve->count++] = curve->value_sum / (double)curve->width;
	curve->step_sum = curve->value_sum = 0;
	curve->filled = 0;
	if (curve->count < PLACES)
		return;
	for (size_t i = 0; i < PLACES / 2; i++) {
		curve->step[i] = (curve->step[2 * i] + curve->step[2 * i + 1]) / 2;
		curve->value[i] = (curve->value[2 * i] + curve->value[2 * i + 1]) / 2;
	}
	curve->count = PLACES / 2;
	curve->width *= 2;
}

static void observe(void *ctx, const struct report_item *item)
{
	struct train_watch *watch = ctx;
	if (item->kind != REPORT_STEP)
		return;
	curve_add(&watch->loss, item->step, item->loss);
	curve_add(&watch->accuracy, item->step, 100 * item->accuracy);
}

int train_watch_create(struct train_job *job, struct error *err)
{
	struct train_watch *watch = arena_alloc(job->runtime.arena, "graph", 1, sizeof *watch, 0, err);
	if (!watch)
		return err->code;
	const struct forward_backward_stage *stage = &job->trainer->forward_backward;
	const struct ring *rings[] = {
		loader_blocks(job->loader), loader_samples(job->loader), loader_batches(job->loader), stage->gradients};
	watch->sampler.ring_count = sizeof rings / sizeof rings[0];
	for (unsigned i = 0; i < watch->sampler.ring_count; i++)
		watch->sampler.rings[i] = rings[i];
	watch->sampler.counted = loader_samples(job->loader);
	watch->loss.width = watch->accuracy.width = 1;
	job->watch = watch;
	return report_observe(&job->trainer->report, observe, watch, err);
}

int train_watch_start(struct train_watch *watch, struct error *err)
{
	return watch ? sampler_start(&watch->sampler, err) : 0;
}

/* ---- Writing ---- */

static void put_curve(
	struct html *html, struct train_watch *watch, const struct curve *curve, const char *name, const char *note)
{
	struct chart_series *series = &watch->series;
	series->name = name;
	series->count = curve->count;
	for (size_t i = 0; i < curve->count; i++) {
		series->x[i] = curve->step[i];
		series->y[i] = curve->value[i];
	}
	html_card_begin(html, name, note, false);
	chart_lines(html->out, series, 1, "", 1);
	html_card_end(html);
}

static void put_verdict(struct html *html, const struct train_job *job)
{
	const struct train_progress *progress = &job->trainer->forward_backward.progress;
	const struct measures *measures = &job->watch->measures;
	const struct measure_row *compute = measure_find(measures, "forward_backward");
	char text[512];
	double starved = compute ? compute->upstream : 0, waited = compute ? compute->downstream : 0;
	fputs("<div class=\"verdict\"><p>", html->out);
	snprintf(text, sizeof text, "Trained to step %" PRIu64 " of %" PRIu64 ".", progress->step,
		job->trainer->forward_backward.end_step);
	html_text(html->out, text);
	fputs("</p><p>", html->out);
	if (starved > 0.05)
		snprintf(text, sizeof text,
			"The loader is too slow: computing waited %.1f%% of the time for batches. ringclr profile says "
			"what "
			"would help.",
			100 * starved);
	else
		snprintf(text, sizeof text,
			"The loader keeps up: computing waited %.1f%% of the time for batches, and %.1f%% for the "
			"optimizer.",
			100 * starved, 100 * waited);
	html_text(html->out, text);
	fputs("</p></div>\n", html->out);
}

static bool is_supervised(const struct train_job *job)
{
	return job->trainer->forward_backward.loss_config.kind == LOSS_CROSS_ENTROPY;
}

/* Nothing for what was not evaluated. */
static void put_score(struct html *html, const char *name, double score)
{
	char text[48];
	if (isnan(score))
		return;
	snprintf(text, sizeof text, "%.1f%%", score);
	html_tile(html, text, name);
}

static void put_tiles(struct html *html, const struct train_job *job)
{
	const struct sampler *sampler = &job->watch->sampler;
	const struct sampler_point *last = &sampler->points[sampler->count - 1];
	char text[48], number[24];
	html_tiles_begin(html);
	html_tile(
		html, chart_number((double)last->items / fmax((double)last->seconds, 1e-9), number), "images/s, mean");
	if (job->last_epoch.step > 0) {
		html_tile(html, chart_number(job->last_epoch.loss, number), "loss, last epoch");
		snprintf(text, sizeof text, "%.1f%%", 100 * job->last_epoch.accuracy);
		html_tile(html, text, is_supervised(job) ? "training accuracy" : "contrastive accuracy");
		if (!isnan(job->last_epoch.entropy))
			html_tile(html, chart_number(job->last_epoch.entropy, number), "entropy, nats");
		put_score(html, "top-1", job->last_epoch.top1);
		put_score(html, "kNN", job->last_epoch.knn);
		put_score(html, "linear", job->last_epoch.linear);
	}
	snprintf(text, sizeof text, "%.0f MiB", (double)arena_used_bytes(job->runtime.arena) / (1 << 20));
	html_tile(html, text, "memory planned");
	html_tiles_end(html);
}

static void put_steps(struct html *html, const struct measures *measures)
{
	const struct measure_row *compute = measure_find(measures, "forward_backward");
	if (!compute)
		return;
	html_card_begin(html, "Time of a step", "Forward, loss and backward of one batch.", false);
	chart_times(html->out, &compute->times);
	html_card_end(html);
}

static void put_curves(struct html *html, const struct train_job *job)
{
	struct train_watch *watch = job->watch;
	char note[64];
	snprintf(note, sizeof note, "%s, over steps.", loss_name(job->trainer->forward_backward.loss_config.kind));
	put_curve(html, watch, &watch->loss, "Loss", note);
	if (is_supervised(job))
		put_curve(html, watch, &watch->accuracy, "Training accuracy, percent",
			"How often the classifier's first choice is the image's label; over steps.");
	else
		put_curve(html, watch, &watch->accuracy, "Contrastive accuracy, percent",
			"How often the other view of the same image is the nearest; over steps.");
}

static int write_report(struct train_job *job, const cJSON *options, struct error *err)
{
	struct train_watch *watch = job->watch;
	struct html html;
	char title[512];
	snprintf(title, sizeof title, "ringclr %s: %s", job->parsed.table->command, job->options.output);
	if (html_begin(&html, title, err) < 0)
		return err->code;
	put_verdict(&html, job);
	put_tiles(&html, job);
	html_grid_begin(&html);
	put_curves(&html, job);
	report_shares(&html, &watch->measures);
	report_rate(&html, &watch->sampler);
	report_rings(&html, &watch->sampler);
	put_steps(&html, &watch->measures);
	report_times(&html, &watch->measures);
	html_settings(&html, options);
	html_grid_end(&html);
	return html_finish(&html, job->options.report, err);
}

int train_watch_end(struct train_job *job, struct error *err)
{
	sampler_stop(&job->watch->sampler);
	measure_graph(&job->watch->measures, &job->trainer->graph, NULL);
	struct error own = {0}; /* so that the run's own failure is not taken for this one's */
	cJSON *options = options_record(&job->parsed);
	int code = write_report(job, options, &own);
	cJSON_Delete(options);
	if (code < 0)
		return error_copy(err, &own);
	if (!job->options.quiet)
		command_note(job->parsed.table->command, "report: %s", job->options.report);
	return 0;
}
