/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/report_read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/atomic_file.h"
#include "tools/json.h"

enum { READ_LIMIT_BYTES = 1 << 28, PATH_BYTES = 4096 };

static int join(char path[PATH_BYTES], const char *folder, const char *name, struct error *err)
{
	if (snprintf(path, PATH_BYTES, "%s/%s", folder, name) >= PATH_BYTES)
		return error_set(err, ERROR_USAGE, "%.200s...: the path is too long", folder);
	return 0;
}

bool report_has_file(const char *folder, const char *name)
{
	char path[PATH_BYTES];
	struct error err = {0};
	return join(path, folder, name, &err) == 0 && access(path, F_OK) == 0;
}

cJSON *report_read_object(const char *folder, const char *name, struct error *err)
{
	char path[PATH_BYTES];
	size_t bytes = 0;
	if (join(path, folder, name, err) < 0)
		return NULL;
	char *text = atomic_file_read_all(path, READ_LIMIT_BYTES, &bytes, err);
	if (!text)
		return NULL;
	cJSON *object = json_object(text, bytes);
	free(text);
	if (!object)
		error_set(err, ERROR_FORMAT, "%s: does not hold one JSON object", path);
	return object;
}

static cJSON *parse_lines(const char *path, const char *text, size_t bytes, struct error *err)
{
	cJSON *lines = cJSON_CreateArray();
	const char *line = text, *end = text + bytes;
	for (unsigned long number = 1; lines && line < end; number++) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		stop = stop ? stop : end;
		cJSON *object = json_object(line, (size_t)(stop - line));
		if (!object) {
			error_set(err, ERROR_FORMAT,
				"%s:%lu: not a JSON object%s; go on with what wrote it and was cut off, which mends "
				"the "
				"file: 'ringclr train --resume', or the same 'ringclr sweep'",
				path, number, stop == end ? " (the line is not whole)" : "");
			cJSON_Delete(lines);
			return NULL;
		}
		cJSON_AddItemToArray(lines, object);
		line = stop + 1;
	}
	if (!lines)
		error_set(err, ERROR_MEMORY, "%s: out of memory", path);
	return lines;
}

cJSON *report_read_lines(const char *folder, const char *name, bool missing_ok, struct error *err)
{
	char path[PATH_BYTES];
	size_t bytes = 0;
	if (join(path, folder, name, err) < 0)
		return NULL;
	if (missing_ok && access(path, F_OK) != 0)
		return cJSON_CreateArray();
	char *text = atomic_file_read_all(path, READ_LIMIT_BYTES, &bytes, err);
	if (!text)
		return NULL;
	cJSON *lines = parse_lines(path, text, bytes, err);
	free(text);
	return lines;
}

int report_run_read(struct report_run *run, const char *folder, struct error *err)
{
	*run = (struct report_run){.folder = folder};
	if (!report_has_file(folder, "run.json"))
		return error_set(err, ERROR_USAGE,
			"%s: neither a run (no run.json in it) nor a sweep (no study.json); name a folder of ringclr "
			"train or ringclr sweep",
			folder);
	run->record = report_read_object(folder, "run.json", err);
	if (!run->record)
		return err->code;
	if (!cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(run->record, "options")))
		return error_set(err, ERROR_FORMAT, "%s/run.json: not a run's record: it has no \"options\"", folder);
	run->metrics = report_read_lines(folder, "metrics.jsonl", false, err);
	if (!run->metrics)
		return err->code;
	if (cJSON_GetArraySize(run->metrics) == 0)
		return error_set(err, ERROR_FORMAT,
			"%s/metrics.jsonl: is empty: no epoch has ended yet, so there is nothing to show", folder);
	run->timings = report_read_lines(folder, "timings.jsonl", true, err);
	return run->timings ? 0 : err->code;
}

void report_run_free(struct report_run *run)
{
	cJSON_Delete(run->record);
	cJSON_Delete(run->metrics);
	cJSON_Delete(run->timings);
	run->record = run->metrics = run->timings = NULL;
}

/* The last `parts` parts of a path, without slashes at its end. */
static void last_parts(const char *path, unsigned parts, char *name, size_t capacity)
{
	size_t end = strlen(path);
	while (end > 1 && path[end - 1] == '/')
		end--;
	size_t start = end;
	while (start > 0 && (path[start - 1] != '/' || --parts > 0))
		start--;
	snprintf(name, capacity, "%.*s", (int)(end - start), path + start);
}

void report_name_runs(struct report_run *runs, unsigned count)
{
	enum { PARTS_MOST = 8 };
	for (unsigned parts = 1; parts <= PARTS_MOST; parts++) {
		bool alike = false;
		for (unsigned i = 0; i < count; i++)
			last_parts(runs[i].folder, parts, runs[i].name, sizeof runs[i].name);
		for (unsigned i = 0; i < count; i++)
			for (unsigned k = 0; k < i; k++)
				alike = alike || strcmp(runs[i].name, runs[k].name) == 0;
		if (!alike)
			return;
	}
}

double report_number(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
	return cJSON_IsNumber(item) && isfinite(item->valuedouble) ? item->valuedouble : NAN;
}

const char *report_text(const cJSON *object, const char *name, const char *fallback)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
	return cJSON_IsString(item) ? item->valuestring : fallback;
}

const cJSON *report_option(const cJSON *record, const char *name)
{
	const cJSON *options = cJSON_GetObjectItemCaseSensitive(record, "options");
	return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(options, name), "value");
}

const char *report_item_text(const cJSON *item, char *text, size_t capacity)
{
	if (cJSON_IsString(item))
		snprintf(text, capacity, "%s", item->valuestring);
	else if (cJSON_IsNumber(item))
		snprintf(text, capacity, "%.10g", item->valuedouble);
	else if (cJSON_IsBool(item))
		snprintf(text, capacity, "%s", cJSON_IsTrue(item) ? "yes" : "no");
	else {
		char *printed = item && !cJSON_IsNull(item) ? cJSON_PrintUnformatted(item) : NULL;
		snprintf(text, capacity, "%s", printed ? printed : "");
		cJSON_free(printed);
	}
	return text;
}
