/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every report becomes one event: of a step under train/, of an epoch under epoch/ (means over the epoch) and eval/.
 * A full disk does not end the run, whose results are elsewhere: the file then ends early, and the end of the run says
 * so.
 */
#include "tools/train_events.h"

#include <stdio.h>
#include <string.h>

#include "tools/command.h"
#include "tools/event_file.h"

struct train_events {
	struct event_file *file;
	bool supervised;
	struct error failure; /* the first; code 0: none. Written by the report stage's thread, read after the run */
};

/* What an item holds under which tag. NAN is left out. */
struct tagged {
	const char *step_tag, *epoch_tag; /* NULL: not of these */
	size_t offset;			  /* of a double in struct report_item */
	double unit;			  /* times this, it is as metrics.jsonl has it */
	enum { ANY_LOSS, CONTRASTIVE, SUPERVISED } loss;
};

static const struct tagged tags[] = {
	{"train/loss", "epoch/loss", offsetof(struct report_item, loss), 1, ANY_LOSS},
	{"train/contrast_acc", "epoch/contrast_acc", offsetof(struct report_item, accuracy), 1, CONTRASTIVE},
	{"train/accuracy", "epoch/accuracy", offsetof(struct report_item, accuracy), 100, SUPERVISED},
	{"train/entropy", "epoch/entropy", offsetof(struct report_item, entropy), 1, CONTRASTIVE},
	{"train/alignment", "epoch/alignment", offsetof(struct report_item, alignment), 1, CONTRASTIVE},
	{"train/uniformity", "epoch/uniformity", offsetof(struct report_item, uniformity), 1, CONTRASTIVE},
	{"train/probe", "epoch/probe", offsetof(struct report_item, probe), 1, ANY_LOSS},
	{"train/lr", "epoch/lr", offsetof(struct report_item, rate), 1, ANY_LOSS},
	{NULL, "eval/knn", offsetof(struct report_item, knn), 1, ANY_LOSS},
	{NULL, "eval/linear", offsetof(struct report_item, linear), 1, ANY_LOSS},
	{NULL, "eval/top1", offsetof(struct report_item, top1), 1, SUPERVISED},
};

enum { TAGS = sizeof tags / sizeof tags[0] };

static void see(void *ctx, const struct report_item *item)
{
	struct train_events *events = ctx;
	struct event_scalar scalars[TAGS];
	size_t count = 0;
	for (size_t i = 0; i < TAGS; i++) {
		const char *tag = item->kind == REPORT_STEP ? tags[i].step_tag : tags[i].epoch_tag;
		if (!tag || tags[i].loss == (events->supervised ? CONTRASTIVE : SUPERVISED))
			continue;
		double value;
		memcpy(&value, (const char *)item + tags[i].offset, sizeof value);
		scalars[count++] = (struct event_scalar){tag, value * tags[i].unit};
	}
	if (events->failure.code < 0)
		return;
	int code = event_file_add(events->file, item->step, scalars, count, &events->failure);
	if (code == 0 && item->kind == REPORT_EPOCH)
		event_file_sync(events->file, &events->failure);
}

int train_events_create(struct train_job *job, struct error *err)
{
	char path[4096];
	if (snprintf(path, sizeof path, "%s/%s", job->options.output, EVENT_FILE_NAME) >= (int)sizeof path)
		return error_set(err, ERROR_USAGE, "%s: the path is too long", job->options.output);
	struct train_events *events = arena_alloc(job->runtime.arena, "graph", 1, sizeof *events, 0, err);
	if (!events)
		return err->code;
	events->supervised = job->options.loss == LOSS_CROSS_ENTROPY;
	events->file = event_file_open(path, job->about.progress.step, TAGS, err);
	if (!events->file)
		return err->code;
	job->events = events;
	return report_observe(&job->trainer->report, see, events, err);
}

void train_events_end(const struct train_job *job)
{
	struct train_events *events = job->events;
	if (!events)
		return;
	if (events->failure.code < 0)
		command_note(job->parsed.table->command, "%s; TensorBoard sees the run up to there",
			events->failure.message);
	event_file_close(events->file);
	events->file = NULL;
}
