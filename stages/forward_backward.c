/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step k, in order:
 *
 *   1. acquire batch k;
 *   2. claim all of step k's slots of the gradient ring. The ring has exactly one slot a parameter, so a slot is free
 * when the optimizer has applied that parameter's gradient of step k - 1: the claims are the wait for up-to-date
 * weights;
 *   3. forward of all 2N rows at once (BatchNorm sees both views), loss, gradient of z; or of N rows and their labels;
 *   4. backward, publishing each gradient as it completes: the optimizer works while backward goes on;
 *   5. the online probe, if there is one, learns from h while the optimizer still works: the last to read the batch;
 *   6. release the batch, publish the step's report.
 *
 * At a boundary (an epoch's end, a checkpoint, a stop) the claims of the next step come first, so that evaluation and
 * saving see weights at rest.
 */
#include "stages/forward_backward.h"

#include <inttypes.h>
#include <math.h>

#include "pipeline/trace.h"

struct gradient_announcer {
	struct ring *gradients;
	uint64_t next; /* number of the next gradient */
};

static int announce_gradient(void *ctx, size_t param_index)
{
	(void)param_index; /* the order is net_backward_order()'s, which the optimizer knows */
	struct gradient_announcer *announcer = ctx;
	ring_publish(announcer->gradients, announcer->next++, 0);
	return 0;
}

/* Waits until the optimizer has applied every gradient before step `step`, whose slots are then claimed. */
static int claim_gradients(struct forward_backward_stage *stage, uint64_t step)
{
	uint64_t params = net_param_count(stage->net);
	for (uint64_t i = 0; i < params; i++) {
		int result = ring_claim(stage->gradients, step * params + i, NULL);
		if (result != RING_OK)
			return result;
	}
	return RING_OK;
}

static int publish_report(struct forward_backward_stage *stage, const struct report_item *item)
{
	void *memory;
	int result = ring_claim(stage->reports, stage->next_report, &memory);
	if (result != RING_OK)
		return result;
	*(struct report_item *)memory = *item;
	ring_publish(stage->reports, stage->next_report++, 0);
	return RING_OK;
}

/* Waits until the report stage has written everything published so far: its slots are all free again. */
static int drain_reports(struct forward_backward_stage *stage)
{
	int result = RING_OK;
	for (uint32_t i = 0; i < ring_slots(stage->reports) && result == RING_OK; i++)
		result = ring_claim(stage->reports, stage->next_report + i, NULL);
	return result;
}

/* What helps where numbers grow without bound. */
static const char *numeric_advice(const struct forward_backward_stage *stage)
{
	return stage->cross_entropy
		       ? "lower --lr or lengthen --warmup-epochs; the last checkpoint is kept"
		       : "lower --lr, lengthen --warmup-epochs or raise --temperature; the last checkpoint is kept";
}

static double probe_percent(uint64_t hits, uint64_t rows)
{
	return rows > 0 ? 100 * (double)hits / (double)rows : NAN;
}

static int check_finite(
	const struct forward_backward_stage *stage, const struct loss_result *result, double rate, struct error *err)
{
	if (isfinite(result->loss))
		return 0;
	return error_set(err, ERROR_NUMERIC, "the loss of step %" PRIu64 " is not a finite number (rate %g): %s",
		stage->progress.step, rate, numeric_advice(stage));
}

/* A finite loss can still move weights to infinity: such weights are neither evaluated nor saved. */
static int check_weights(const struct forward_backward_stage *stage, struct error *err)
{
	for (size_t i = 0; i < net_param_count(stage->net); i++) {
		const struct param *param = net_param(stage->net, i);
		/* A sum of magnitudes is finite exactly when every term is, far from the largest double. */
		double sum = 0;
		for (size_t j = 0; j < param->count; j++)
			sum += fabs((double)param->value[j]);
		if (!isfinite(sum))
			return error_set(err, ERROR_NUMERIC,
				"after step %" PRIu64 " '%s' holds values that are not a finite number: %s",
				stage->progress.step, param->name, numeric_advice(stage));
	}
	return 0;
}

/* An image that teaches a classifier nothing. The run's set-up has refused those that it found in the data. */
static int check_labels(const struct forward_backward_stage *stage, const struct batch *batch, struct error *err)
{
	unsigned classes = net_output_dim(stage->net);
	for (uint32_t i = 0; stage->cross_entropy && i < batch->images; i++)
		if (batch->label[i] < 0 || (unsigned)batch->label[i] >= classes)
			return error_set(err, ERROR_MISMATCH,
				"step %" PRIu64 ": image %" PRIu64
				" of the data set has no label; pack class folders, or leave it out",
				stage->progress.step, batch->record[i]);
	return 0;
}

/* From the head's output on `rows` rows to its gradient, dz. */
static void compute_loss(
	struct forward_backward_stage *stage, const int32_t *labels, uint32_t rows, struct loss_result *result)
{
	uint64_t traced_ns = trace_begin();
	const float *z = net_output(stage->net);
	if (stage->cross_entropy) {
		struct cross_entropy_result found;
		cross_entropy_forward_backward(stage->cross_entropy, stage->team, z, labels, rows, stage->dz, &found);
		*result = (struct loss_result){.loss = found.loss,
			.accuracy = found.accuracy,
			.entropy = NAN,
			.alignment = NAN,
			.uniformity = NAN};
	} else {
		contrastive_loss_forward_backward(stage->loss, stage->team, z, rows, stage->dz, result);
	}
	trace_end("loss", loss_name(stage->loss_config.kind), traced_ns);
}

int forward_backward_compute(struct forward_backward_stage *stage, const float *x, const int32_t *labels, uint32_t rows,
	double rate, net_grad_fn *announce, void *ctx, struct loss_result *loss, struct error *err)
{
	uint64_t traced_ns = trace_begin();
	net_forward(stage->net, stage->team, x, rows, NET_TRAIN, true);
	trace_end("pass", "forward", traced_ns);

	compute_loss(stage, labels, rows, loss);
	int code = check_finite(stage, loss, rate, err);
	if (code < 0)
		return code;

	traced_ns = trace_begin();
	code = net_backward(stage->net, stage->team, stage->dz, announce, ctx);
	trace_end("pass", "backward", traced_ns);
	return code;
}

static int step(struct forward_backward_stage *stage, struct worker *worker)
{
	uint64_t k = stage->progress.step;
	void *memory;
	struct ring *batches = loader_batches(stage->loader);
	int result = ring_acquire(batches, k, &memory, NULL);
	if (result == RING_OK)
		result = claim_gradients(stage, k);
	if (result != RING_OK)
		return result;

	trace_sequence(k);
	uint64_t traced_ns = trace_begin(), start_ns = meter_now_ns();
	struct batch batch = loader_batch(stage->loader, k, memory);
	struct gradient_announcer announcer = {stage->gradients, k * net_param_count(stage->net)};
	struct loss_result loss;
	double rate = schedule_rate(stage->schedule, k);
	int code = check_labels(stage, &batch, worker->err);
	if (code >= 0)
		code = forward_backward_compute(stage, batch.x, batch.label, stage->views * stage->batch, rate,
			announce_gradient, &announcer, &loss, worker->err);
	if (code < 0)
		return code;
	struct online_probe_step probed = {0};
	if (stage->probe)
		probed = online_probe_learn(stage->probe, stage->team, net_features(stage->net), &batch, k);
	ring_release(batches, k);
	trace_end("stage", "forward_backward", traced_ns);
	meter_phase(worker->meter, 0, start_ns);
	meter_add(worker->meter, stage->batch, 0);

	stage->progress.step++;
	stage->progress.epoch_loss_sum += loss.loss;
	stage->progress.epoch_accuracy_sum += loss.accuracy;
	stage->progress.epoch_entropy_sum += loss.entropy;
	stage->progress.epoch_alignment_sum += loss.alignment;
	stage->progress.epoch_uniformity_sum += loss.uniformity;
	stage->progress.epoch_probe_hits += probed.hits;
	stage->progress.epoch_probe_rows += probed.rows;
	struct report_item report = {
		.kind = REPORT_STEP,
		.step = k + 1,
		.loss = loss.loss,
		.accuracy = loss.accuracy,
		.entropy = loss.entropy,
		.alignment = loss.alignment,
		.uniformity = loss.uniformity,
		.probe = probe_percent(probed.hits, probed.rows),
		.rate = rate,
	};
	return publish_report(stage, &report);
}

/* Weights at rest: evaluates and reports when an epoch ends here, then saves. */
static int boundary(struct forward_backward_stage *stage, struct worker *worker)
{
	struct train_progress *progress = &stage->progress;
	int result = claim_gradients(stage, progress->step);
	if (result != RING_OK)
		return result;
	int code = check_weights(stage, worker->err);
	if (code < 0)
		return code;
	if (progress->step % stage->epoch_steps == 0) {
		double steps = (double)stage->epoch_steps;
		struct report_item report = {
			.kind = REPORT_EPOCH,
			.step = progress->step,
			.loss = progress->epoch_loss_sum / steps,
			.accuracy = progress->epoch_accuracy_sum / steps,
			.entropy = progress->epoch_entropy_sum / steps,
			.alignment = progress->epoch_alignment_sum / steps,
			.uniformity = progress->epoch_uniformity_sum / steps,
			.probe = probe_percent(progress->epoch_probe_hits, progress->epoch_probe_rows),
			.rate = schedule_rate(stage->schedule, progress->step - 1),
			.knn = NAN,
			.linear = NAN,
			.top1 = NAN,
		};
		progress->epoch_probe_hits = progress->epoch_probe_rows = 0;
		progress->epoch_loss_sum = 0;
		progress->epoch_accuracy_sum = 0;
		progress->epoch_entropy_sum = progress->epoch_alignment_sum = progress->epoch_uniformity_sum = 0;
		code = stage->boundary.evaluate(stage->boundary.ctx, progress, &report, worker->err);
		if (code < 0)
			return code;
		result = publish_report(stage, &report);
		if (result != RING_OK)
			return result;
	}
	result = drain_reports(stage);
	if (result != RING_OK)
		return result;
	return stage->boundary.save(stage->boundary.ctx, progress, worker->err);
}

int forward_backward_run(void *ctx, struct worker *worker)
{
	struct forward_backward_stage *stage = ctx;
	bool stopped = false;
	int result = RING_OK;
	while (result == RING_OK && !stopped && stage->progress.step < stage->end_step) {
		result = step(stage, worker);
		if (result != RING_OK)
			break;
		uint64_t done = stage->progress.step;
		stopped = stage->stopped && stage->stopped();
		uint64_t every = stage->boundary.checkpoint_steps;
		if (stopped || done == stage->end_step || done % stage->epoch_steps == 0 ||
			(every && done % every == 0)) {
			uint64_t traced_ns = trace_begin();
			result = boundary(stage, worker);
			trace_end("boundary", "boundary", traced_ns);
		}
	}
	if (result < 0)
		return result;
	ring_close(stage->gradients, stage->progress.step * net_param_count(stage->net));
	ring_close(stage->reports, stage->next_report);
	return 0;
}
