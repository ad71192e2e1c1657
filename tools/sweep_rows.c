/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.jsonl: an object a line for each cell and seed that has ended,
 *
 *   {"cell": {"temperature": "0.1"}, "seed": 1, "status": "done", "values": {"linear": 41.2, ...},
 *    "run": "runs/temperature=0.1,seed=1", "seconds": 12.3}
 *
 * "failed" has a "message"; the row of a mirror says "mirrored": true in place of seconds, which were spent once. While
 * cells run, rows are appended as they end, each synced before the next begins, and a last line that a kill cut short
 * is dropped. At the end both files are written anew in the order of the study.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/atomic_file.h"
#include "tools/json.h"
#include "tools/sweep_job.h"

enum { ROWS_LIMIT_BYTES = 256 << 20 };

static cJSON *row_json(struct sweep *sweep, unsigned shown, unsigned seed, struct error *err)
{
	const struct sweep_cell *cell = &sweep->plan.cells[shown];
	unsigned ran = cell->mirror_of >= 0 ? (unsigned)cell->mirror_of : shown;
	const struct sweep_row *row = sweep_row_of(sweep, ran, seed);
	struct study words = {.path = ""};
	const char *name = sweep_run_name(sweep, &words, (int)ran, seed, err);
	char run[400];
	snprintf(run, sizeof run, "runs/%s", name ? name : "");
	study_free(&words);
	cJSON *object = cJSON_CreateObject();
	cJSON_AddItemToObject(object, "cell", sweep_plan_cell_json(&sweep->plan, cell));
	cJSON_AddNumberToObject(object, "seed", (double)sweep->plan.seeds[seed]);
	cJSON_AddStringToObject(object, "status", row->status == SWEEP_DONE ? "done" : "failed");
	cJSON_AddItemToObject(
		object, "values", row->values ? cJSON_Duplicate(row->values, true) : cJSON_CreateObject());
	if (row->message)
		cJSON_AddStringToObject(object, "message", row->message);
	cJSON_AddStringToObject(object, "run", run);
	if (ran == shown)
		cJSON_AddNumberToObject(object, "seconds", round(row->seconds * 1000) / 1000);
	else
		cJSON_AddBoolToObject(object, "mirrored", true);
	return object;
}

static int write_row(FILE *out, struct sweep *sweep, unsigned cell, unsigned seed, struct error *err)
{
	cJSON *object = row_json(sweep, cell, seed, err);
	char *text = cJSON_PrintUnformatted(object);
	cJSON_Delete(object);
	if (!text || err->code < 0)
		error_set(err, ERROR_MEMORY, "out of memory for a row");
	else
		fprintf(out, "%s\n", text);
	cJSON_free(text);
	return err->code;
}

static bool has_ended(const struct sweep *sweep, unsigned cell, unsigned seed)
{
	int mirror_of = sweep->plan.cells[cell].mirror_of;
	return sweep_row_of(sweep, mirror_of >= 0 ? (unsigned)mirror_of : cell, seed)->status != SWEEP_OPEN;
}

/* ---- CSV ---- */

static void write_field(FILE *out, const char *text)
{
	if (!strpbrk(text, ",\"\n")) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

enum { CSV_VALUES = 64 };

/* Names of values: those of the study first, then whatever else the rows have. */
static unsigned value_names(const struct sweep *sweep, const char *names[CSV_VALUES])
{
	unsigned count = 0, rows = sweep->plan.cell_count * sweep->plan.seed_count;
	for (; count < sweep->plan.measure_count; count++)
		names[count] = sweep->plan.measures[count].name;
	for (unsigned i = 0; i < rows; i++) {
		const cJSON *value;
		cJSON_ArrayForEach(value, sweep->rows[i].values)
		{
			unsigned at = 0;
			while (at < count && strcmp(names[at], value->string) != 0)
				at++;
			if (at == count && count < CSV_VALUES)
				names[count++] = value->string;
		}
	}
	return count;
}

static void write_csv_row(
	FILE *out, const struct sweep *sweep, unsigned shown, unsigned seed, const char *const *names, unsigned count)
{
	const struct sweep_plan *plan = &sweep->plan;
	const struct sweep_cell *cell = &plan->cells[shown];
	const struct sweep_row *row =
		sweep_row_of(sweep, cell->mirror_of >= 0 ? (unsigned)cell->mirror_of : shown, seed);
	for (unsigned i = 0; i < plan->axis_count; i++) {
		write_field(out, plan->axes[i].values[cell->place[i]].name);
		fputc(',', out);
	}
	fprintf(out, "%.0f,%s", (double)plan->seeds[seed], row->status == SWEEP_DONE ? "done" : "failed");
	for (unsigned i = 0; i < count; i++) {
		const cJSON *value = cJSON_GetObjectItemCaseSensitive(row->values, names[i]);
		fputc(',', out);
		if (cJSON_IsNumber(value))
			fprintf(out, "%.10g", value->valuedouble);
	}
	if (cell->mirror_of >= 0)
		fputs(",\n", out);
	else
		fprintf(out, ",%.3f\n", row->seconds);
}

static void write_csv(FILE *out, const struct sweep *sweep)
{
	const char *names[CSV_VALUES];
	unsigned count = value_names(sweep, names);
	for (unsigned i = 0; i < sweep->plan.axis_count; i++) {
		write_field(out, sweep->plan.axes[i].name);
		fputc(',', out);
	}
	fputs("seed,status", out);
	for (unsigned i = 0; i < count; i++) {
		fputc(',', out);
		write_field(out, names[i]);
	}
	fputs(",seconds\n", out);
	for (unsigned cell = 0; cell < sweep->plan.cell_count; cell++)
		for (unsigned seed = 0; seed < sweep->plan.seed_count; seed++)
			if (has_ended(sweep, cell, seed))
				write_csv_row(out, sweep, cell, seed, names, count);
}

/* ---- files ---- */

/* Replaces DIR/name by what `write` prints. */
static int replace(struct sweep *sweep, const char *name,
	int (*write)(FILE *out, struct sweep *sweep, struct error *err), struct error *err)
{
	char path[SWEEP_PATH_BYTES], *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	int code = sweep_path(sweep, path, name, err);
	if (!out)
		return error_set(err, ERROR_MEMORY, "%s: out of memory", name);
	if (code == 0)
		code = write(out, sweep, err);
	if (fclose(out) != 0 && code == 0)
		code = error_set(err, ERROR_MEMORY, "%s: out of memory", name);
	if (code == 0)
		code = atomic_file_replace(path, text, bytes, err);
	free(text);
	return code;
}

static int write_jsonl(FILE *out, struct sweep *sweep, struct error *err)
{
	int code = 0;
	for (unsigned cell = 0; cell < sweep->plan.cell_count; cell++)
		for (unsigned seed = 0; seed < sweep->plan.seed_count && code == 0; seed++)
			if (has_ended(sweep, cell, seed))
				code = write_row(out, sweep, cell, seed, err);
	return code;
}

static int write_csv_file(FILE *out, struct sweep *sweep, struct error *err)
{
	(void)err;
	write_csv(out, sweep);
	return 0;
}

/* Takes a row over if it is of a cell that ran and is done. */
static void take_row(struct sweep *sweep, const cJSON *object)
{
	const struct sweep_plan *plan = &sweep->plan;
	const char *status = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "status"));
	const cJSON *where = cJSON_GetObjectItemCaseSensitive(object, "cell"),
		    *values = cJSON_GetObjectItemCaseSensitive(object, "values");
	double number = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, "seed"));
	for (unsigned cell = 0; cell < plan->cell_count; cell++) {
		cJSON *mine = sweep_plan_cell_json(plan, &plan->cells[cell]);
		bool same = plan->cells[cell].mirror_of < 0 && cJSON_Compare(mine, where, true);
		cJSON_Delete(mine);
		for (unsigned seed = 0; same && seed < plan->seed_count; seed++) {
			struct sweep_row *row = sweep_row_of(sweep, cell, seed);
			if ((double)plan->seeds[seed] != number || !status || strcmp(status, "done") != 0 ||
				row->status == SWEEP_DONE || !cJSON_IsObject(values))
				continue;
			row->status = SWEEP_DONE;
			row->values = cJSON_Duplicate(values, true);
			row->seconds = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, "seconds"));
		}
	}
}

static int load(struct sweep *sweep, const char *path, struct error *err)
{
	if (access(path, F_OK) != 0)
		return 0;
	size_t bytes = 0;
	char *text = atomic_file_read_all(path, ROWS_LIMIT_BYTES, &bytes, err);
	if (!text)
		return err->code;
	unsigned number = 1;
	const char *line = text;
	/* What stands after the last end of line was cut short. */
	for (const char *end; err->code == 0 && (end = memchr(line, '\n', bytes - (size_t)(line - text))) != NULL;
		line = end + 1, number++) {
		cJSON *object = json_object(line, (size_t)(end - line));
		if (object)
			take_row(sweep, object);
		else
			error_set(err, ERROR_FORMAT, "%s:%u: is no row; remove this line and run again", path, number);
		cJSON_Delete(object);
	}
	free(text);
	return err->code;
}

int sweep_rows_open(struct sweep *sweep, struct error *err)
{
	char path[SWEEP_PATH_BYTES];
	int code = sweep_path(sweep, path, "rows.jsonl", err);
	if (code == 0)
		code = load(sweep, path, err);
	if (code == 0)
		code = replace(sweep, "rows.jsonl", write_jsonl, err);
	if (code < 0)
		return code;
	sweep->rows_fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	return sweep->rows_fd < 0 ? error_set_errno(err, ERROR_IO, errno, "%s: cannot open", path) : 0;
}

int sweep_rows_append(struct sweep *sweep, unsigned cell, unsigned seed, struct error *err)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	if (!out)
		return error_set(err, ERROR_MEMORY, "out of memory for a row");
	int code = write_row(out, sweep, cell, seed, err);
	for (unsigned i = 0; i < sweep->plan.cell_count && code == 0; i++)
		if (sweep->plan.cells[i].mirror_of == (int)cell)
			code = write_row(out, sweep, i, seed, err);
	if (fclose(out) != 0 && code == 0)
		code = error_set(err, ERROR_MEMORY, "out of memory for a row");
	size_t written = 0;
	while (code == 0 && written < bytes) {
		ssize_t n = write(sweep->rows_fd, text + written, bytes - written);
		if (n < 0 && errno != EINTR)
			code = error_set_errno(
				err, ERROR_IO, errno, "%s/rows.jsonl: cannot write", sweep->options.output);
		written += n > 0 ? (size_t)n : 0;
	}
	if (code == 0 && fdatasync(sweep->rows_fd) < 0)
		code = error_set_errno(err, ERROR_IO, errno, "%s/rows.jsonl: cannot sync", sweep->options.output);
	free(text);
	return code < 0 ? code : replace(sweep, "rows.csv", write_csv_file, err);
}

int sweep_rows_finish(struct sweep *sweep, struct error *err)
{
	int code = replace(sweep, "rows.jsonl", write_jsonl, err);
	return code < 0 ? code : replace(sweep, "rows.csv", write_csv_file, err);
}

void sweep_rows_close(struct sweep *sweep)
{
	if (sweep->rows_fd >= 0)
		close(sweep->rows_fd);
	sweep->rows_fd = -1;
	for (unsigned i = 0; sweep->rows && i < sweep->plan.cell_count * sweep->plan.seed_count; i++) {
		cJSON_Delete(sweep->rows[i].values);
		free(sweep->rows[i].message);
	}
	free(sweep->rows);
	sweep->rows = NULL;
}
