/* SPDX-License-Identifier: Apache-2.0 */
/* What a finished run measured: every number of the last line of metrics.jsonl but epoch,
 * step and rate, and what `ringclr eval --json` said. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/atomic_file.h"
#include "io/safetensors.h"
#include "tools/json.h"
#include "tools/sweep_job.h"

enum { METRICS_LIMIT_BYTES = 1 << 30, RESULT_LIMIT_BYTES = 1 << 20 };

static int join(char path[SWEEP_PATH_BYTES], const char *run, const char *name, struct error *err)
{
	if (snprintf(path, SWEEP_PATH_BYTES, "%s/%s", run, name) >= SWEEP_PATH_BYTES)
		return error_set(err, ERROR_USAGE, "%.200s...: the path is too long", run);
	return 0;
}

/* The last line of a file as an object; NULL with *err set. */
static cJSON *read_last(const char *path, size_t limit, struct error *err)
{
	size_t bytes = 0;
	char *text = atomic_file_read_all(path, limit, &bytes, err);
	if (!text)
		return NULL;
	while (bytes > 0 && text[bytes - 1] == '\n')
		text[--bytes] = '\0';
	char *line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	cJSON *object = json_object(line, bytes - (size_t)(line - text));
	free(text);
	if (!object)
		error_set(err, ERROR_FORMAT, "%s: its last line is no JSON object", path);
	return object;
}

static void take_numbers(cJSON *values, const cJSON *metrics)
{
	static const char *const left_out[] = {"epoch", "step", "lr"};
	const cJSON *field;
	cJSON_ArrayForEach(field, metrics)
	{
		bool taken = cJSON_IsNumber(field);
		for (unsigned i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
			taken = taken && strcmp(field->string, left_out[i]) != 0;
		if (taken)
			cJSON_AddNumberToObject(values, field->string, field->valuedouble);
	}
}

/* The first of the fields ("top1 linear") that is there and a number. */
static const cJSON *first_field(const cJSON *object, const char *fields)
{
	char name[128];
	while (*fields != '\0') {
		size_t bytes = strcspn(fields, " ");
		snprintf(name, sizeof name, "%.*s", (int)bytes, fields);
		const cJSON *field = cJSON_GetObjectItemCaseSensitive(object, name);
		if (cJSON_IsNumber(field))
			return field;
		fields += bytes + (fields[bytes] == ' ');
	}
	return NULL;
}

static int take_measure(
	const struct sweep_measure *measure, const char *run, const cJSON *metrics, cJSON *values, struct error *err)
{
	char path[SWEEP_PATH_BYTES], name[128];
	snprintf(name, sizeof name, measure->eval ? "eval-%s.json" : "metrics.jsonl", measure->name);
	if (join(path, run, name, err) < 0)
		return err->code;
	cJSON *result = measure->eval ? read_last(path, RESULT_LIMIT_BYTES, err) : NULL;
	if (measure->eval && !result)
		return err->code;
	const cJSON *field = first_field(measure->eval ? result : metrics, measure->fields);
	double number = field ? field->valuedouble : 0;
	cJSON_Delete(result);
	if (!field)
		return error_set(err, ERROR_FORMAT, "%s: has no '%s', which [evaluate] %s wants", path, measure->fields,
			measure->name);
	cJSON_DeleteItemFromObjectCaseSensitive(values, measure->name);
	cJSON_AddNumberToObject(values, measure->name, number);
	return 0;
}

int sweep_collect(struct sweep *sweep, const char *run, struct sweep_row *row, struct error *err)
{
	char path[SWEEP_PATH_BYTES];
	cJSON *metrics = join(path, run, "metrics.jsonl", err) < 0 ? NULL : read_last(path, METRICS_LIMIT_BYTES, err);
	if (!metrics)
		return err->code;
	cJSON_Delete(row->values);
	row->values = cJSON_CreateObject();
	take_numbers(row->values, metrics);
	int code = 0;
	for (unsigned i = 0; i < sweep->plan.measure_count && code == 0; i++)
		code = take_measure(&sweep->plan.measures[i], run, metrics, row->values, err);
	cJSON_Delete(metrics);
	return code;
}

static bool is_optimizer(const char *name)
{
	static const char *const prefixes[] = {"momentum.", "adam_m.", "adam_v."};
	for (unsigned i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

/* The same file without the optimizer's tensors. */
static int drop_optimizer(const char *path, struct error *err)
{
	enum { PAIRS = 64 };
	struct safetensors *file = safetensors_open(path, err);
	if (!file)
		return err->code;
	size_t count = 0, pairs = 0;
	struct safetensors_pair metadata[PAIRS];
	struct safetensor *tensors = calloc(safetensors_count(file) + 1, sizeof *tensors);
	for (size_t i = 0; tensors && i < safetensors_count(file); i++)
		if (!is_optimizer(safetensors_at(file, i)->name))
			tensors[count++] = *safetensors_at(file, i);
	while (pairs < PAIRS && (metadata[pairs] = safetensors_metadata_at(file, pairs)).key != NULL)
		pairs++;
	int code = tensors ? 0 : error_set(err, ERROR_MEMORY, "%s: out of memory", path);
	if (code == 0 && count < safetensors_count(file))
		code = safetensors_write(path, tensors, count, metadata, pairs, err);
	free(tensors);
	safetensors_close(file);
	return code;
}

int sweep_shrink(const struct sweep *sweep, const char *run, struct error *err)
{
	char path[SWEEP_PATH_BYTES];
	if (sweep->options.keep == SWEEP_KEEP_ALL)
		return 0;
	if (join(path, run, "checkpoint.safetensors", err) < 0)
		return err->code;
	if (sweep->options.keep == SWEEP_KEEP_ENCODER)
		return drop_optimizer(path, err);
	unlink(path);
	return 0;
}
