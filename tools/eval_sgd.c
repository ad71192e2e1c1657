/* SPDX-License-Identifier: Apache-2.0 */
/* The paper's linear protocol: a new random crop and flip of every image in every epoch, through the frozen encoder,
 * and a step of SGD on each batch of features. */
#include <inttypes.h>
#include <stdio.h>

#include "tools/command.h"
#include "tools/eval_job.h"
#include "tools/views_option.h"

static int sgd_step(void *ctx, uint64_t first, const struct batch *batch, const float *features, struct error *err)
{
	struct eval_job *job = ctx;
	(void)first;
	const struct probe_data rows = {.features = features, .labels = batch->label, .count = batch->images};
	double rate = schedule_rate(&job->schedule, job->step++);
	double loss = probe_sgd_step(job->probe, job->runtime.team, &rows, rate);
	if (job->step % 100 == 0 || job->step == job->steps)
		fprintf(stderr, "probe: step %" PRIu64 "/%" PRIu64 "  loss %.4f\n", job->step, job->steps, loss);
	return command_interrupted() ? error_set(err, ERROR_INTERRUPTED, "stopped") : 0;
}

int eval_sgd_create(struct eval_job *job, struct error *err)
{
	const struct eval_options *o = &job->options;
	struct loader_config config = runtime_loader_config(&job->runtime);
	config.set = job->train;
	config.plan = evaluator_plan(&job->evaluator, EPOCH_FULL, o->encoder.seed, err);
	if (!config.plan)
		return err->code;
	config.batch = (uint32_t)o->batch;
	config.whole_batches = true;
	config.seed = o->encoder.seed;
	const struct view_defaults defaults = view_defaults_of(job->encoder.size, 1);
	if (views_option_parse(&config.policies, o->views, &defaults, 1, err) < 0)
		return err->code;
	job->loader = loader_create(job->runtime.arena, &config, err);
	if (!job->loader)
		return err->code;
	job->steps = o->epochs * loader_batches_per_epoch(job->loader);
	schedule_init(
		&job->schedule, o->lr, SCHEDULE_LINEAR, o->batch, epoch_plan_length(config.plan), (double)o->epochs, 0);
	loader_span(job->loader, 0, job->steps);
	job->probe = probe_sgd_create(NULL, job->encoder.dim, job->evaluator.classes, err);
	return job->probe ? 0 : err->code;
}

int eval_sgd_run(struct eval_job *job, struct error *err)
{
	int code = encode_tap(job->loader, job->encoder.net, job->encoder.tap, job->runtime.team,
		job->runtime.placement, sgd_step, job, err);
	if (code == 0)
		code = evaluator_encode(&job->evaluator, 1, job->encoder.net, err);
	if (code < 0)
		return code;
	job->data.train.count = epoch_plan_length(job->evaluator.plans[2]);
	job->data.test = evaluator_data(&job->evaluator, 1);
	probe_sgd_score(job->probe, job->runtime.team, &job->data.test, &job->score);
	return 0;
}

void eval_sgd_destroy(struct eval_job *job)
{
	probe_sgd_destroy(job->probe);
	loader_destroy(job->loader);
}
