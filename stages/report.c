/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An epoch's line in metrics.jsonl is written and synced before its slot is released, and forward_backward saves a
 * checkpoint only after all slots are free: a checkpoint never knows of an epoch that metrics.jsonl lacks.
 */
#include "stages/report.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pipeline/trace.h"

enum { LINE_NS = 200000000 /* between updates of the progress line */, PLAIN_NS = 10000000000 };

struct report_state {
	struct report_stage *stage;
	bool terminal;
	uint64_t start_ns, drawn_ns, epoch_start_ns;
	uint64_t stalled_ns; /* of the batch ring's consumer, at the last line */
	uint64_t epoch_start_step;
};

static uint64_t stalled_on_batches(const struct report_stage *stage)
{
	struct ring_stats stats;
	ring_stats(stage->batches, &stats);
	return stats.side[RING_CONSUMER].stalled_ns;
}

static void format_duration(double seconds, char *text, size_t capacity)
{
	unsigned long s = seconds > 0 ? (unsigned long)(seconds + 0.5) : 0;
	if (s >= 3600)
		snprintf(text, capacity, "%luh%02lum", s / 3600, s / 60 % 60);
	else
		snprintf(text, capacity, "%lum%02lus", s / 60, s % 60);
}

static const char *accuracy_word(const struct report_stage *stage)
{
	return stage->supervised ? "accuracy" : "acc";
}

/* Adds what is a number to a line of `capacity` bytes; format has its name. */
static void add_number(char *line, size_t capacity, const char *format, double value)
{
	size_t length = strlen(line);
	if (!isnan(value))
		snprintf(line + length, capacity - length, format, value);
}

/* One line for the run as it stands after item. */
static void draw_progress(struct report_state *state, const struct report_item *item, uint64_t now_ns)
{
	const struct report_stage *stage = state->stage;
	uint64_t stalled_ns = stalled_on_batches(stage);
	double waited = (double)(stalled_ns - state->stalled_ns) / (double)(now_ns - state->drawn_ns + 1);
	double seconds = (double)(now_ns - state->start_ns) * 1e-9;
	double steps = (double)(item->step - stage->first_step);
	char eta[32], metrics[64] = "";
	add_number(metrics, sizeof metrics, "  entropy %.2f", item->entropy);
	add_number(metrics, sizeof metrics, "  probe %.1f%%", item->probe);
	format_duration(seconds / steps * (double)(stage->end_step - item->step), eta, sizeof eta);
	uint64_t epoch = (item->step - 1) / stage->epoch_steps;
	/* Which ring starves: training waits for batches, or batches wait for training. */
	fprintf(stderr,
		"%sepoch %" PRIu64 "/%" PRIu64 "  step %" PRIu64 "/%" PRIu64
		"  %.0f images/s  loss %.4f  %s %.1f%%%s  lr %.4f  ETA %s  %s%s",
		state->terminal ? "\r\033[K" : "", epoch + 1,
		(stage->end_step + stage->epoch_steps - 1) / stage->epoch_steps, item->step, stage->end_step,
		steps * stage->batch / seconds, item->loss, accuracy_word(stage), 100 * item->accuracy, metrics,
		item->rate, eta, waited > 0.05 ? "batch ring starves" : "compute-bound", state->terminal ? "" : "\n");
	state->drawn_ns = now_ns;
	state->stalled_ns = stalled_ns;
}

static void print_epoch(struct report_state *state, const struct report_item *item, double seconds, double rate)
{
	char metrics[128] = "", scores[96] = "";
	add_number(metrics, sizeof metrics, "  entropy %.3f", item->entropy);
	add_number(metrics, sizeof metrics, "  alignment %.3f", item->alignment);
	add_number(metrics, sizeof metrics, "  uniformity %.3f", item->uniformity);
	add_number(metrics, sizeof metrics, "  probe %.2f%%", item->probe);
	add_number(scores, sizeof scores, "  kNN %.2f%%", item->knn);
	add_number(scores, sizeof scores, "  linear %.2f%%", item->linear);
	add_number(scores, sizeof scores, "  top-1 %.2f%%", item->top1);
	fprintf(stderr, "%sepoch %" PRIu64 "  loss %.4f  %s %.2f%%%s  %.0f images/s  %.1f s%s\n",
		state->terminal ? "\r\033[K" : "", item->step / state->stage->epoch_steps, item->loss,
		accuracy_word(state->stage), 100 * item->accuracy, metrics, rate, seconds, scores);
}

/* Appends a line and syncs it. */
static int append(int fd, const char *path, const char *line, struct error *err)
{
	size_t left = strlen(line);
	while (left > 0) {
		ssize_t n = write(fd, line, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(
				err, ERROR_IO, errno, "%s: cannot write; free space and go on with --resume", path);
		line += n;
		left -= (size_t)n;
	}
	/* What cannot be synced (a pipe) needs no sync. */
	if (fdatasync(fd) < 0 && errno != EINVAL && errno != EROFS)
		return error_set_errno(err, ERROR_IO, errno, "%s: cannot sync", path);
	return 0;
}

static int write_epoch(struct report_state *state, const struct report_item *item, struct error *err)
{
	const struct report_stage *stage = state->stage;
	uint64_t now_ns = meter_now_ns();
	double seconds = (double)(now_ns - state->epoch_start_ns) * 1e-9;
	uint64_t images = (item->step - state->epoch_start_step) * stage->batch;
	double rate = (double)images / seconds;
	uint64_t epoch = item->step / stage->epoch_steps;
	char metrics[160] = "", scores[128] = "", line[512];
	add_number(metrics, sizeof metrics, ", \"entropy\": %.17g", item->entropy);
	add_number(metrics, sizeof metrics, ", \"alignment\": %.17g", item->alignment);
	add_number(metrics, sizeof metrics, ", \"uniformity\": %.17g", item->uniformity);
	add_number(scores, sizeof scores, ", \"probe\": %.6f", item->probe);
	add_number(scores, sizeof scores, ", \"knn\": %.6f", item->knn);
	add_number(scores, sizeof scores, ", \"linear\": %.6f", item->linear);
	add_number(scores, sizeof scores, ", \"top1\": %.6f", item->top1);
	/* 17 digits: the number read back is the number computed. */
	snprintf(line, sizeof line,
		"{\"epoch\": %" PRIu64 ", \"step\": %" PRIu64 ", \"loss\": %.17g, \"%s\": %.17g%s, \"lr\": %.17g%s}\n",
		epoch, item->step, item->loss, stage->supervised ? "accuracy" : "contrast_acc",
		stage->supervised ? 100 * item->accuracy : item->accuracy, metrics, item->rate, scores);
	int code = append(stage->metrics_fd, stage->metrics_path, line, err);
	if (code < 0)
		return code;
	snprintf(line, sizeof line,
		"{\"epoch\": %" PRIu64 ", \"step\": %" PRIu64 ", \"seconds\": %.3f, \"images_per_s\": %.2f}\n", epoch,
		item->step, seconds, rate);
	code = append(stage->timings_fd, stage->timings_path, line, err);
	if (!stage->quiet)
		print_epoch(state, item, seconds, rate);
	state->epoch_start_ns = meter_now_ns();
	state->epoch_start_step = item->step;
	return code;
}

static int show(struct report_state *state, const struct report_item *item, struct error *err)
{
	for (unsigned i = 0; i < state->stage->observer_count; i++)
		state->stage->observers[i].see(state->stage->observers[i].ctx, item);
	if (item->kind == REPORT_EPOCH)
		return write_epoch(state, item, err);
	uint64_t now_ns = meter_now_ns();
	if (!state->stage->quiet && now_ns - state->drawn_ns >= (state->terminal ? LINE_NS : PLAIN_NS))
		draw_progress(state, item, now_ns);
	return 0;
}

int report_observe(struct report_stage *stage, report_see *see, void *ctx, struct error *err)
{
	if (stage->observer_count == REPORT_OBSERVERS)
		return error_set(err, ERROR_USAGE, "the report stage has %d observers at most", REPORT_OBSERVERS);
	stage->observers[stage->observer_count++] = (struct report_observer){see, ctx};
	return 0;
}

int report_run(void *ctx, struct worker *worker)
{
	struct report_stage *stage = ctx;
	uint64_t now_ns = meter_now_ns();
	struct report_state state = {
		.stage = stage,
		.terminal = isatty(STDERR_FILENO),
		.start_ns = now_ns,
		.drawn_ns = now_ns,
		.epoch_start_ns = now_ns,
		.epoch_start_step = stage->first_step,
	};
	for (;;) {
		void *memory;
		uint64_t seq = ring_ticket(stage->reports, RING_CONSUMER);
		int result = ring_acquire(stage->reports, seq, &memory, NULL);
		if (result != RING_OK)
			return result == RING_END ? 0 : result;
		uint64_t traced_ns = trace_begin();
		int code = show(&state, memory, worker->err);
		trace_end_numbered("stage", "report", seq, traced_ns);
		if (code < 0)
			return code;
		ring_release(stage->reports, seq);
		meter_add(worker->meter, 1, 0);
	}
}
