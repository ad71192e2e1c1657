/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr verify: shards against their hashes, in three depths. io/shard_verify.c walks through the file; here is what
 * a record must pass (an image that decodes to the size that the index states, metadata that is a JSON object), and how
 * it is told.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/shard.h"
#include "io/shard_manifest.h"
#include "pipeline/cpu.h"
#include "pipeline/escape.h"
#include "pipeline/meter.h"
#include "stages/codec.h"
#include "tools/command.h"
#include "tools/json.h"
#include "tools/options.h"

enum { MAX_JOBS = 240 };

struct verify_options {
	uint64_t jobs;
	bool index, full, json;
};

static const struct option_spec spec[] = {
	OPTION_FLAG(struct verify_options, index, "index", NULL,
		"read header, class table, dictionary, index and footer only: milliseconds, whatever the size"),
	OPTION_FLAG(struct verify_options, full, "full", NULL,
		"also decompress every block, check each record's hash and that no key stands there twice, and decode "
		"every "
		"image"),
	OPTION_U64(struct verify_options, jobs, "jobs", "N", "0", 0, MAX_JOBS, "threads; 0: one per processor",
		.incidental = true),
	OPTION_FLAG(struct verify_options, json, "json", NULL, "print one JSON object instead", .incidental = true),
};

const struct option_table command_verify_table = {
	.command = "verify",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Checks shards. By default every byte is read and compared with its hash, about as fast as the file "
		 "can be "
		 "read: what the disk changed or a copy lost is found. --full also finds what was packed wrong. Prints "
		 "a "
		 "line for each damage, naming the block or the record. Exit code 0: all are sound; 1: some are not.",
	.operands = "SHARD",
	.operand_help = "a shard, or the manifest of a set of shards (.json)",
	.operand_min = 1,
	.operand_max = OPTIONS_ANY,
	.examples = "ringclr verify train.ring test.ring\n"
		    "ringclr verify --full train.ring\n"
		    "ringclr verify --json data/*.ring | jq '.files[] | select(.sound | not)'\n",
};

static const char *const level_names[] = {
	[SHARD_VERIFY_INDEX] = "index", [SHARD_VERIFY_BYTES] = "bytes", [SHARD_VERIFY_FULL] = "full"};

struct verify {
	struct shard_verify_options level;
	struct codec_context *codecs[MAX_JOBS];
	const char *path;
	cJSON *damages; /* NULL: print lines */
	bool show_progress;
	uint64_t started_ns, drawn_ns;
};

/* The limit is that of packing: without it a file of a few bytes could ask a decoder for gigabytes. */
static int check_record(void *ctx, unsigned job, const struct shard_record_in *record, struct error *err)
{
	struct verify *verify = ctx;
	struct error why = {0};
	if ((uint64_t)record->width * record->height > CODEC_MAX_PIXELS)
		return error_set(err, ERROR_DECODE, "%ux%u pixels; %d million are the most that are decoded",
			record->width, record->height, CODEC_MAX_PIXELS >> 20);
	if (codec_check(verify->codecs[job], record->codec, record->data, record->bytes, record->width, record->height,
		    NULL, &why) != 0)
		return error_set(err, why.code, "the image does not decode: %s", why.message);
	cJSON *meta = record->meta != NULL ? json_object(record->meta, record->meta_bytes) : NULL;
	const bool sound = record->meta == NULL || meta != NULL;
	cJSON_Delete(meta);
	return sound ? 0 : error_set(err, ERROR_FORMAT, "its metadata is no JSON object");
}

static void clear_progress(struct verify *verify)
{
	if (verify->drawn_ns != 0)
		fputs("\r\033[K", stderr);
	verify->drawn_ns = 0;
}

static void note_damage(void *ctx, const char *line)
{
	struct verify *verify = ctx;
	clear_progress(verify);
	if (verify->damages != NULL)
		cJSON_AddItemToArray(verify->damages, cJSON_CreateString(line));
	else {
		escape_print(stdout, line);
		putchar('\n');
	}
}

static void draw_progress(void *ctx, uint64_t done_bytes, uint64_t file_bytes)
{
	struct verify *verify = ctx;
	const uint64_t now = meter_now_ns();
	if (!verify->show_progress || now - verify->started_ns < 200000000 || now - verify->drawn_ns < 200000000)
		return;
	verify->drawn_ns = now;
	const double seconds = (double)(now - verify->started_ns) * 1e-9, rate = (double)done_bytes / seconds;
	fprintf(stderr, "\r%s: %.0f%%  %.1f MB/s  %.0f s left \033[K", verify->path,
		100.0 * (double)done_bytes / (double)file_bytes, rate * 1e-6, (double)(file_bytes - done_bytes) / rate);
}

/* Ends what is told of a file: damages, or a negative code with err. Returns whether it is sound. */
static bool file_told(struct verify *verify, const char *path, cJSON *entry, int64_t damages, const struct error *err)
{
	clear_progress(verify);
	if (damages < 0)
		note_damage(verify, err->message);
	if (entry != NULL)
		cJSON_AddBoolToObject(entry, "sound", damages == 0);
	else if (damages >= 0)
		escape_print(stdout, path); /* a manifest may have named it */
	if (entry == NULL && damages == 0)
		printf(": sound%s\n", verify->level.level == SHARD_VERIFY_INDEX
					      ? " as far as its index says; images were not read"
					      : "");
	else if (entry == NULL && damages > 0)
		printf(": %" PRId64 " damage%s\n", damages, damages > 1 ? "s" : "");
	return damages == 0;
}

/* The file's object in files, or NULL where lines are printed. */
static cJSON *file_begun(struct verify *verify, const char *path, cJSON *files)
{
	verify->path = path;
	verify->started_ns = meter_now_ns();
	if (files == NULL)
		return NULL;
	cJSON *entry = cJSON_CreateObject();
	cJSON_AddStringToObject(entry, "path", path);
	verify->damages = cJSON_AddArrayToObject(entry, "damages");
	cJSON_AddItemToArray(files, entry);
	return entry;
}

/* Returns whether the file is sound. files is NULL, or the JSON array that gets the file's object. */
static bool verify_file(struct verify *verify, const char *path, cJSON *files)
{
	struct error err = {0};
	cJSON *entry = file_begun(verify, path, files);
	const int64_t damages = shard_verify(path, &verify->level, &err);
	return file_told(verify, path, entry, damages, &err);
}

/* The shards that a manifest names, and whether they are those that it means. */
static bool verify_set(struct verify *verify, const char *path, cJSON *files)
{
	struct shard_manifest manifest;
	struct error err = {0};
	bool sound = shard_manifest_read(path, &manifest, &err) == 0;
	for (unsigned i = 0; i < manifest.count && err.code == 0; i++) {
		char *file = shard_manifest_beside(path, manifest.parts[i].file);
		if (file == NULL)
			error_set(&err, ERROR_MEMORY, "out of memory for the set '%s'", path);
		else
			sound = verify_file(verify, file, files) && sound;
		free(file);
	}
	shard_manifest_free(&manifest);
	if (!sound && err.code == 0)
		return false;
	/* What is still to be said concerns the set alone. */
	if (err.code == 0)
		shard_set_close(shard_set_open(&path, 1, false, &err));
	return file_told(verify, path, file_begun(verify, path, files), err.code, &err);
}

static int verify_files(struct verify *verify, const struct options *options, cJSON *object)
{
	cJSON *files = object != NULL ? cJSON_AddArrayToObject(object, "files") : NULL;
	bool sound = true;
	for (unsigned i = 0; i < options->operand_count; i++)
		sound = (shard_manifest_named(options->operands[i]) ? verify_set : verify_file)(
				verify, options->operands[i], files) &&
			sound;
	if (object != NULL) {
		cJSON_AddStringToObject(object, "level", level_names[verify->level.level]);
		cJSON_AddBoolToObject(object, "sound", sound);
		if (json_print(object) != EXIT_OK)
			return EXIT_FAILED;
	}
	return sound ? EXIT_OK : EXIT_FAILED;
}

int command_verify(int argc, char **argv)
{
	struct options options;
	struct verify_options given;
	struct error err = {0};
	int status = options_parse(&options, &command_verify_table, &given, argc, argv);
	if (status != OPTIONS_GO)
		return status;
	struct verify verify = {.show_progress = isatty(STDERR_FILENO) != 0};
	verify.level = (struct shard_verify_options){.level = given.full    ? SHARD_VERIFY_FULL
							      : given.index ? SHARD_VERIFY_INDEX
									    : SHARD_VERIFY_BYTES,
		.jobs = given.jobs > 0 ? (unsigned)given.jobs : cpu_allowed(),
		.check = check_record,
		.report = note_damage,
		.progress = draw_progress,
		.ctx = &verify};
	if (verify.level.jobs > MAX_JOBS)
		verify.level.jobs = MAX_JOBS;
	if (given.full && given.index)
		error_set(&err, ERROR_USAGE, "--index and --full: one of them");
	for (unsigned i = 0; given.full && i < verify.level.jobs && err.code == 0; i++)
		verify.codecs[i] = codec_context_create(cpu_detect(), &err);
	status = err.code != 0 ? command_fail("verify", &err)
			       : verify_files(&verify, &options, given.json ? cJSON_CreateObject() : NULL);
	for (unsigned i = 0; i < MAX_JOBS; i++)
		codec_context_destroy(verify.codecs[i]);
	options_free(&options);
	return status;
}
