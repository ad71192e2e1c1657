/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder of a training run: run.json (what was asked, of which data, on which machine), metrics.jsonl,
 * timings.jsonl and checkpoint.safetensors.
 */
#ifndef RINGCLR_TOOLS_RUN_FILES_H
#define RINGCLR_TOOLS_RUN_FILES_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/shard.h"
#include "pipeline/error.h"

struct run_files {
	char checkpoint[4096], record[4096], metrics[4096], timings[4096]; /* paths */
	int metrics_fd, timings_fd;
};

/* Paths below folder; `make`: makes the folder when it is missing. */
int run_files_locate(struct run_files *files, const char *folder, bool make, struct error *err);

/* True when a checkpoint or metrics are there already; when there is a checkpoint to go on from. */
bool run_files_used(const struct run_files *files);
bool run_files_resumable(const struct run_files *files);

/* Opens both .jsonl files for appending, cut to the lines of steps up to `step` (0 empties them): what a killed run
 * wrote past its checkpoint is written again. */
int run_files_open_logs(struct run_files *files, uint64_t step, struct error *err);
void run_files_close_logs(struct run_files *files);

/* {"options", "data", "test", "machine", "versions"}; takes ownership of options. test may be NULL. NULL when out of
 * memory. */
cJSON *run_files_make_record(
	cJSON *options, const struct shard_set *data, const struct shard_set *test, const char *isa);
/* {"processor", "processors", "memory_bytes", "kernels", "system"}; the caller owns it. isa NULL: without "kernels". */
cJSON *run_files_machine(const char *isa);
int run_files_write_record(const struct run_files *files, const cJSON *record, struct error *err);
/* NULL with *err set when run.json is missing or not ours. */
cJSON *run_files_read_record(const struct run_files *files, struct error *err);

#endif
