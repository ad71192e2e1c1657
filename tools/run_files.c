/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/run_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zstd.h>

#include "io/atomic_file.h"
#include "pipeline/cpu.h"
#include "tools/command.h"
#include "tools/json.h"

enum { RECORD_LIMIT_BYTES = 16 << 20, LOG_LIMIT_BYTES = 1 << 30 };

static int join(char out[4096], const char *folder, const char *name, struct error *err)
{
	if (snprintf(out, 4096, "%s/%s", folder, name) >= 4096)
		return error_set(err, ERROR_USAGE, "%s: the path is too long", folder);
	return 0;
}

int run_files_locate(struct run_files *files, const char *folder, bool make, struct error *err)
{
	*files = (struct run_files){.metrics_fd = -1, .timings_fd = -1};
	if (join(files->checkpoint, folder, "checkpoint.safetensors", err) < 0 ||
		join(files->record, folder, "run.json", err) < 0 ||
		join(files->metrics, folder, "metrics.jsonl", err) < 0 ||
		join(files->timings, folder, "timings.jsonl", err) < 0)
		return err->code;
	struct stat status;
	if (stat(folder, &status) == 0) {
		if (!S_ISDIR(status.st_mode))
			return error_set(err, ERROR_USAGE, "%s: is a file; a run needs a folder of its own", folder);
	} else if (make && mkdir(folder, 0777) < 0) {
		return error_set_errno(err, ERROR_IO, errno,
			"%s: cannot make the run's folder; is its parent there and writable?", folder);
	}
	return 0;
}

bool run_files_resumable(const struct run_files *files)
{
	return access(files->checkpoint, F_OK) == 0;
}

bool run_files_used(const struct run_files *files)
{
	return run_files_resumable(files) || access(files->metrics, F_OK) == 0;
}

/* Length of the part of a log that holds whole lines of steps up to `step`. */
static size_t kept_bytes(const char *text, uint64_t step)
{
	const char *line = text;
	for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		cJSON *object = cJSON_ParseWithLength(line, (size_t)(end - line));
		const cJSON *number = cJSON_GetObjectItemCaseSensitive(object, "step");
		bool keep = cJSON_IsNumber(number) && number->valuedouble <= (double)step;
		cJSON_Delete(object);
		if (!keep)
			break;
	}
	return (size_t)(line - text);
}

static int open_log(const char *path, uint64_t step, struct error *err)
{
	size_t kept = 0;
	if (step > 0 && access(path, F_OK) == 0) {
		char *text = atomic_file_read_all(path, LOG_LIMIT_BYTES, NULL, err);
		if (!text)
			return err->code;
		kept = kept_bytes(text, step);
		free(text);
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return error_set_errno(err, ERROR_IO, errno, "%s: cannot open", path);
	if (ftruncate(fd, (off_t)kept) < 0) {
		int saved = errno;
		close(fd);
		return error_set_errno(err, ERROR_IO, saved, "%s: cannot cut to the checkpoint's position", path);
	}
	return fd;
}

int run_files_open_logs(struct run_files *files, uint64_t step, struct error *err)
{
	files->metrics_fd = open_log(files->metrics, step, err);
	if (files->metrics_fd < 0)
		return err->code;
	files->timings_fd = open_log(files->timings, step, err);
	return files->timings_fd < 0 ? err->code : 0;
}

void run_files_close_logs(struct run_files *files)
{
	if (files->metrics_fd >= 0)
		close(files->metrics_fd);
	if (files->timings_fd >= 0)
		close(files->timings_fd);
	files->metrics_fd = files->timings_fd = -1;
}

static cJSON *describe_set(const struct shard_set *set)
{
	cJSON *object = cJSON_CreateObject(), *shards = cJSON_AddArrayToObject(object, "shards");
	json_add_hash(object, "fingerprint", shard_set_fingerprint(set));
	cJSON_AddNumberToObject(object, "records", (double)shard_set_records(set));
	for (unsigned i = 0; i < shard_set_count(set); i++)
		cJSON_AddItemToArray(shards, cJSON_CreateString(shard_path(shard_set_at(set, i))));
	return object;
}

/* "model name" of the first processor. */
static void processor_name(char *name, size_t capacity)
{
	char line[256];
	snprintf(name, capacity, "unknown");
	FILE *file = fopen("/proc/cpuinfo", "re");
	while (file && fgets(line, sizeof line, file)) {
		char *colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) == 0 && colon) {
			colon[strcspn(colon, "\n")] = 0;
			snprintf(name, capacity, "%s", colon + 2);
			break;
		}
	}
	if (file)
		fclose(file);
}

cJSON *run_files_machine(const char *isa)
{
	cJSON *machine = cJSON_CreateObject();
	struct utsname system;
	char processor[256];
	processor_name(processor, sizeof processor);
	cJSON_AddStringToObject(machine, "processor", processor);
	cJSON_AddNumberToObject(machine, "processors", cpu_allowed());
	cJSON_AddNumberToObject(
		machine, "memory_bytes", (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE));
	if (isa)
		cJSON_AddStringToObject(machine, "kernels", isa);
	if (uname(&system) == 0)
		cJSON_AddStringToObject(machine, "system", system.release);
	return machine;
}

cJSON *run_files_make_record(
	cJSON *options, const struct shard_set *data, const struct shard_set *test, const char *isa)
{
	cJSON *record = cJSON_CreateObject(), *versions = cJSON_CreateObject();
	cJSON_AddStringToObject(versions, "ringclr", RINGCLR_VERSION);
	cJSON_AddStringToObject(versions, "compiler", __VERSION__);
	cJSON_AddStringToObject(versions, "zstd", ZSTD_versionString());
	cJSON_AddItemToObject(record, "options", options);
	cJSON_AddItemToObject(record, "data", describe_set(data));
	if (test)
		cJSON_AddItemToObject(record, "test", describe_set(test));
	cJSON_AddItemToObject(record, "machine", run_files_machine(isa));
	cJSON_AddItemToObject(record, "versions", versions);
	return record;
}

int run_files_write_record(const struct run_files *files, const cJSON *record, struct error *err)
{
	char *text = cJSON_Print(record);
	if (!text)
		return error_set(err, ERROR_MEMORY, "%s: out of memory", files->record);
	size_t length = strlen(text);
	text[length] = '\n'; /* in place of the terminator: the file ends in a newline */
	int code = atomic_file_replace(files->record, text, length + 1, err);
	cJSON_free(text);
	return code;
}

cJSON *run_files_read_record(const struct run_files *files, struct error *err)
{
	char *text = atomic_file_read_all(files->record, RECORD_LIMIT_BYTES, NULL, err);
	if (!text)
		return NULL;
	cJSON *record = cJSON_Parse(text);
	free(text);
	if (!cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(record, "options"))) {
		error_set(err, ERROR_FORMAT, "%s: not a run's record", files->record);
		cJSON_Delete(record);
		return NULL;
	}
	return record;
}
