/* SPDX-License-Identifier: Apache-2.0 */
/* What a run that goes on takes from its own folder: options from run.json, the rest from the checkpoint. */
#include "tools/train_resume.h"

#include <stdlib.h>

#include "tools/command.h"

int train_settle_precision(struct train_options *o, struct error *err)
{
	enum cpu_isa isa;
	if (cpu_parse(o->runtime.isa, &isa, err) < 0)
		return err->code;
	o->compute.precision = (unsigned)model_precision(o->compute.precision, isa);
	return 0;
}

/* --init and --test name files, which may have another path by now: a run that goes on takes its weights from its own
 * checkpoint, and open_data() holds the test images' fingerprint against the record's. */
static int compare_paths(struct train_job *job, const cJSON *record, struct error *err)
{
	const struct train_options *o = &job->options;
	const cJSON *options = cJSON_GetObjectItemCaseSensitive(record, "options");
	const cJSON *init =
		cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(options, "init"), "value");
	const cJSON *test = cJSON_GetObjectItemCaseSensitive(record, "test");
	const char *began = cJSON_GetStringValue(init);
	if (o->init && (!began || !command_same_file(began, o->init)))
		return error_set(err, ERROR_MISMATCH,
			"%s began from %s, not from %s: give it the same, or start a new run", o->output,
			began ? began : "random weights", o->init);
	if (o->test && !cJSON_IsObject(test))
		return error_set(
			err, ERROR_MISMATCH, "%s began without --test: leave it out, or start a new run", o->output);
	const char *hash = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(test, "fingerprint"));
	job->test_fingerprint = hash ? strtoull(hash, NULL, 16) : 0;
	return 0;
}

/* How far the run is, and by what its net normalises its input, which the record does not say of --init's weights. */
static int read_checkpoint(struct train_job *job, struct error *err)
{
	struct safetensors *file = safetensors_open(job->files.checkpoint, err);
	if (!file)
		return err->code;
	int code = checkpoint_about(job->files.checkpoint, file, &job->start.about, err);
	safetensors_close(file);
	return code;
}

int train_resume_options(struct train_job *job, struct error *err)
{
	static const char *const paths[] = {"init", "test", NULL};
	cJSON *record = run_files_read_record(&job->files, err);
	if (!record)
		return err->code;
	const cJSON *options = cJSON_GetObjectItemCaseSensitive(record, "options");
	const char *operand = job->finetune ? job->options.init : NULL; /* no option, and so in nobody's way */
	int code = options_restore(&job->parsed, options, NULL, err);
	if (operand)
		job->options.init = operand;
	if (code == 0)
		code = train_settle_precision(&job->options, err);
	if (code == 0)
		code = options_compare(&job->parsed, options, paths, err);
	if (code == 0)
		code = compare_paths(job, record, err);
	cJSON_Delete(record);
	return code < 0 ? code : read_checkpoint(job, err);
}
