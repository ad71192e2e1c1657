/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DIR: study.json says which study the folder holds, at which size, of which data, with the options of every cell. A
 * sweep that goes on must find all of that as it was; cells and seeds may be added, since each is a run of its own.
 * DIR/.lock keeps a second sweep out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/atomic_file.h"
#include "io/shard.h"
#include "tools/json.h"
#include "tools/sweep_job.h"

enum { STUDY_LIMIT_BYTES = 64 << 20 };

int sweep_path(const struct sweep *sweep, char path[SWEEP_PATH_BYTES], const char *name, struct error *err)
{
	if (snprintf(path, SWEEP_PATH_BYTES, "%s/%s", sweep->options.output, name) >= SWEEP_PATH_BYTES)
		return error_set(err, ERROR_USAGE, "%.200s...: the path is too long", sweep->options.output);
	return 0;
}

static int make_folder(const char *path, struct error *err)
{
	if (mkdir(path, 0777) == 0 || errno == EEXIST)
		return 0;
	return error_set_errno(
		err, ERROR_IO, errno, "%s: cannot make the folder; is its parent there and writable?", path);
}

static int lock(struct sweep *sweep, struct error *err)
{
	char path[SWEEP_PATH_BYTES];
	if (sweep_path(sweep, path, ".lock", err) < 0)
		return err->code;
	sweep->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (sweep->lock_fd < 0)
		return error_set_errno(err, ERROR_IO, errno, "%s: cannot open", path);
	if (flock(sweep->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return error_set(
			err, ERROR_USAGE, "%s: another sweep is at work in this folder", sweep->options.output);
	return 0;
}

static int add_set(cJSON *data, const char *name, const char *path, struct error *err)
{
	struct shard_set *set = shard_set_open(&path, 1, false, err);
	if (!set)
		return err->code;
	cJSON *object = cJSON_AddObjectToObject(data, name);
	cJSON_AddStringToObject(object, "path", path);
	cJSON_AddNumberToObject(object, "records", (double)shard_set_records(set));
	json_add_hash(object, "fingerprint", shard_set_fingerprint(set));
	shard_set_close(set);
	return 0;
}

static const char *text_of(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
	return text ? text : "";
}

/* Of options that change results; `where` opens the message. */
static int compare_options(
	const struct option_table *table, const char *where, const cJSON *then, const cJSON *now, struct error *err)
{
	for (int side = 0; side < 2; side++) {
		const cJSON *option, *walked = side == 0 ? then : now;
		cJSON_ArrayForEach(option, walked)
		{
			const char *name = option->string;
			const cJSON *was = cJSON_GetObjectItemCaseSensitive(then, name),
				    *is = cJSON_GetObjectItemCaseSensitive(now, name);
			if (study_option_incidental(table, name) || cJSON_Compare(was, is, true))
				continue;
			return error_set(err, ERROR_MISMATCH,
				"%s: --%s is %s now, but was %s when this sweep began: give it the same value, or "
				"another folder (-o)",
				where, name, is ? text_of(now, name) : "not set",
				was ? text_of(then, name) : "not set");
		}
	}
	return 0;
}

static const cJSON *find_named(const cJSON *list, const char *name)
{
	const cJSON *item;
	cJSON_ArrayForEach(item, list)
	{
		if (strcmp(text_of(item, "name"), name) == 0)
			return item;
	}
	return NULL;
}

static int compare_runs(const struct sweep_plan *plan, const cJSON *then, const cJSON *now, struct error *err)
{
	const cJSON *item, *cells = cJSON_GetObjectItemCaseSensitive(now, "cells");
	int code = 0;
	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(then, "cells"))
	{
		const char *name = text_of(item, "name");
		const cJSON *cell = find_named(cells, name);
		char where[256];
		snprintf(where, sizeof where, "cell %.200s", name);
		if (!cell)
			return error_set(err, ERROR_MISMATCH,
				"%s was part of the study when this sweep began: take it back in, or give another "
				"folder (-o)",
				where);
		code = compare_options(plan->train, where, cJSON_GetObjectItemCaseSensitive(item, "options"),
			cJSON_GetObjectItemCaseSensitive(cell, "options"), err);
		if (code < 0)
			return code;
	}
	const cJSON *prepared = cJSON_GetObjectItemCaseSensitive(now, "prepare");
	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(then, "prepare"))
	{
		char where[256];
		snprintf(where, sizeof where, "[prepare %.200s]", item->string);
		code = compare_options(
			plan->train, where, item, cJSON_GetObjectItemCaseSensitive(prepared, item->string), err);
		if (code < 0)
			return code;
	}
	const cJSON *was = cJSON_GetObjectItemCaseSensitive(then, "evaluate"),
		    *is = cJSON_GetObjectItemCaseSensitive(now, "evaluate");
	for (int side = 0; side < 2; side++) {
		const cJSON *walked = side == 0 ? was : is;
		cJSON_ArrayForEach(item, walked)
		{
			const cJSON *a = cJSON_GetObjectItemCaseSensitive(was, item->string),
				    *b = cJSON_GetObjectItemCaseSensitive(is, item->string);
			if (!cJSON_Compare(a, b, true))
				return error_set(err, ERROR_MISMATCH,
					"[evaluate] %s is not as it was when this sweep began: change it back, or give "
					"another folder (-o)",
					item->string);
		}
	}
	return 0;
}

static bool holds_number(const cJSON *list, double number)
{
	const cJSON *item;
	cJSON_ArrayForEach(item, list)
	{
		if (cJSON_IsNumber(item) && item->valuedouble == number)
			return true;
	}
	return false;
}

int sweep_folder_compare(const struct sweep_plan *plan, const cJSON *then, const cJSON *now, struct error *err)
{
	static const char *const words[] = {"name", "size"};
	for (unsigned i = 0; i < 2; i++)
		if (strcmp(text_of(then, words[i]), text_of(now, words[i])) != 0)
			return error_set(err, ERROR_MISMATCH,
				"the folder holds study '%s', size %s; this is '%s', size %s: give another folder (-o)",
				text_of(then, "name"), text_of(then, "size"), text_of(now, "name"),
				text_of(now, "size"));
	static const char *const sets[] = {"train", "test"};
	for (unsigned i = 0; i < 2; i++) {
		const cJSON *was = cJSON_GetObjectItemCaseSensitive(
				    cJSON_GetObjectItemCaseSensitive(then, "data"), sets[i]),
			    *is = cJSON_GetObjectItemCaseSensitive(
				    cJSON_GetObjectItemCaseSensitive(now, "data"), sets[i]);
		if (strcmp(text_of(was, "fingerprint"), text_of(is, "fingerprint")) != 0)
			return error_set(err, ERROR_MISMATCH,
				"--%s %s holds other images than %s did when this sweep began: give the same data, or "
				"another folder (-o)",
				sets[i], text_of(is, "path"), text_of(was, "path"));
	}
	const cJSON *seed, *seeds = cJSON_GetObjectItemCaseSensitive(now, "seeds");
	cJSON_ArrayForEach(seed, cJSON_GetObjectItemCaseSensitive(then, "seeds"))
	{
		if (!holds_number(seeds, cJSON_GetNumberValue(seed)))
			return error_set(err, ERROR_MISMATCH,
				"seed %.0f was one of the sweep's when it began: name it in --seeds too (others may be "
				"added)",
				cJSON_GetNumberValue(seed));
	}
	return compare_runs(plan, cJSON_GetObjectItemCaseSensitive(then, "runs"),
		cJSON_GetObjectItemCaseSensitive(now, "runs"), err);
}

static int compare_with_file(struct sweep *sweep, const char *path, const cJSON *now, struct error *err)
{
	size_t bytes = 0;
	char *text = atomic_file_read_all(path, STUDY_LIMIT_BYTES, &bytes, err);
	if (!text)
		return err->code;
	cJSON *then = json_object(text, bytes);
	free(text);
	struct error changed = {0};
	int code = 0;
	if (!then || strcmp(text_of(then, "format"), "ringclr study") != 0)
		code = error_set(err, ERROR_FORMAT, "%s: is not a sweep's; give another folder (-o)", path);
	else if (sweep_folder_compare(&sweep->plan, then, now, &changed) < 0)
		code = error_set(err, changed.code, "%s: %s", sweep->options.output, changed.message);
	cJSON_Delete(then);
	return code;
}

static int write_study(const char *path, const cJSON *study, struct error *err)
{
	char *text = cJSON_Print(study);
	if (!text)
		return error_set(err, ERROR_MEMORY, "%s: out of memory", path);
	size_t length = strlen(text);
	text[length] = '\n'; /* in place of the terminator: the file ends in a newline */
	int code = atomic_file_replace(path, text, length + 1, err);
	cJSON_free(text);
	return code;
}

int sweep_folder_open(struct sweep *sweep, struct error *err)
{
	char path[SWEEP_PATH_BYTES], rows[SWEEP_PATH_BYTES], runs[SWEEP_PATH_BYTES];
	if (sweep_path(sweep, path, "study.json", err) < 0 || sweep_path(sweep, rows, "rows.jsonl", err) < 0 ||
		sweep_path(sweep, runs, "runs", err) < 0)
		return err->code;
	cJSON *study = sweep_plan_json(&sweep->plan, err);
	cJSON *data = cJSON_AddObjectToObject(study, "data");
	int code = err->code;
	if (code == 0)
		code = add_set(data, "train", sweep->options.train, err);
	if (code == 0)
		code = add_set(data, "test", sweep->options.test, err);
	if (code == 0)
		code = make_folder(sweep->options.output, err);
	if (code == 0)
		code = lock(sweep, err);
	if (code == 0 && access(path, F_OK) == 0)
		code = compare_with_file(sweep, path, study, err);
	else if (code == 0 && (access(rows, F_OK) == 0 || access(runs, F_OK) == 0))
		code = error_set(err, ERROR_USAGE,
			"%s: holds runs, but no study.json that says of which study; give another folder (-o)",
			sweep->options.output);
	if (code == 0)
		code = make_folder(runs, err);
	if (code == 0)
		code = write_study(path, study, err);
	cJSON_Delete(study);
	return code;
}
