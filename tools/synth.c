/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr synth: writes the generated data set, DIR/train/<class>/<nnnnn>.png and DIR/test/<class>/<nnnnn>.png.
 *
 * Image i of a split is of class i % SYNTH_CLASSES and is number i / SYNTH_CLASSES of it; its pixels depend on nothing
 * but (seed, split, i, size). So a team of threads draws them in any order, and a run that was cut short is finished by
 * writing all of it again.
 *
 * DIR/.synth.json says which options the folder was made with, and whether it is complete. It is written before the
 * first image and again after the last: a folder with images that no such file explains is never touched.
 */
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/atomic_file.h"
#include "pipeline/cpu.h"
#include "pipeline/team.h"
#include "stages/codec.h"
#include "tools/command.h"
#include "tools/json.h"
#include "tools/options.h"
#include "tools/synth_draw.h"

struct synth_options {
	uint64_t train, test, size, seed, threads;
	bool json;
};

static const struct option_spec spec[] = {
	OPTION_U64(struct synth_options, train, "train", "N", "6000", 1, 1000000, "training images"),
	OPTION_U64(struct synth_options, test, "test", "N", "1500", 0, 1000000, "test images"),
	OPTION_U64(
		struct synth_options, size, "size", "PIXELS", "32", SYNTH_MIN_SIZE, SYNTH_MAX_SIZE, "side of an image"),
	OPTION_U64(struct synth_options, seed, "seed", "N", "1", 0, UINT64_MAX, "another seed, other images"),
	OPTION_U64(struct synth_options, threads, "threads", "N", "0", 0, 256, "drawing threads; 0: one per processor",
		.incidental = true),
	OPTION_FLAG(
		struct synth_options, json, "json", "no", "print the result as one line of JSON", .incidental = true),
};

const struct option_table command_synth_table = {
	.command = "synth",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Generates a labelled data set: ten classes of shapes (disc, ring, square, triangle, star, cross, "
		 "crescent, stripes, zigzag, dots) under random colour, place, scale, rotation, background and light. "
		 "The same options give the same bytes. Running it again finishes what was interrupted.",
	.operands = "DIR",
	.operand_help = "folder to make; DIR/train and DIR/test hold a folder of PNG files per class",
	.operand_min = 1,
	.operand_max = 1,
	.examples = "ringclr synth shapes\n"
		    "ringclr pack shapes/train -o train.ring\n",
};

enum { SYNTH_VERSION = 1, MARKER_MAX_BYTES = 64 * 1024, PATH_BYTES = 4096 };
static const char *const split_names[] = {[SYNTH_TRAIN] = "train", [SYNTH_TEST] = "test"};

/* What one run of the team shares. */
struct synth_run {
	const struct synth_options *options;
	const char *folder;
	float **scratch; /* by thread: [size][size][3] */
	uint8_t **rgb;	 /* by thread: [size][size][3] */
	/* The task that failed takes the error by turning `failed` from false to true; team_for()'s return orders its
	 * write to `error` before the caller's read. */
	atomic_bool failed;
	struct error error;
};

/* ---- the folder and its marker ---- */

static int make_path(char *path, struct error *err, const char *folder, const char *rest)
{
	if (snprintf(path, PATH_BYTES, "%s/%s", folder, rest) >= PATH_BYTES)
		return error_set(err, ERROR_USAGE, "the path %.60s... is too long", folder);
	return 0;
}

static int make_folder(const char *path, struct error *err)
{
	if (mkdir(path, 0777) == 0 || errno == EEXIST)
		return 0;
	return error_set_errno(err, ERROR_IO, errno, "cannot make the folder %s", path);
}

/* 1: holds something, 0: empty or not there. */
static int folder_holds_something(const char *path, struct error *err)
{
	DIR *dir = opendir(path);
	if (dir == NULL) {
		if (errno == ENOENT)
			return 0;
		return error_set_errno(err, ERROR_IO, errno, "cannot open the folder %s", path);
	}
	int found = 0;
	for (const struct dirent *entry = readdir(dir); entry != NULL && !found; entry = readdir(dir))
		found = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return found;
}

static int write_marker(const struct synth_run *run, const struct options *options, bool complete, struct error *err)
{
	char path[PATH_BYTES];
	int status = make_path(path, err, run->folder, ".synth.json");
	if (status != 0)
		return status;
	cJSON *marker = cJSON_CreateObject();
	cJSON_AddStringToObject(marker, "format", "ringclr synth");
	cJSON_AddNumberToObject(marker, "version", SYNTH_VERSION);
	cJSON_AddBoolToObject(marker, "complete", complete);
	cJSON_AddItemToObject(marker, "options", options_record(options));
	char *text = cJSON_Print(marker);
	cJSON_Delete(marker);
	if (text == NULL)
		return error_set(err, ERROR_MEMORY, "no memory to write %s", path);
	status = atomic_file_replace(path, text, strlen(text), err);
	free(text);
	return status;
}

enum folder_state { FOLDER_FRESH, FOLDER_UNFINISHED, FOLDER_COMPLETE };

/* Judges the marker of a folder that holds something. */
static int judge_marker(
	const char *folder, const char *path, const cJSON *marker, const struct options *options, struct error *err)
{
	const cJSON *version = cJSON_GetObjectItem(marker, "version");
	const cJSON *record = cJSON_GetObjectItem(marker, "options");
	if (!cJSON_IsNumber(version) || !cJSON_IsObject(record))
		return error_set(err, ERROR_FORMAT, "%s is damaged; give a new folder, or remove %s", path, folder);
	if (version->valueint != SYNTH_VERSION)
		return error_set(err, ERROR_VERSION,
			"%s was made by version %d of the generator, this is version %d; give a new folder", folder,
			version->valueint, SYNTH_VERSION);
	struct error difference = {0};
	if (options_compare(options, record, NULL, &difference) != 0)
		return error_set(err, ERROR_MISMATCH, "%s was made with other options, give a new folder: %s", folder,
			difference.message);
	return cJSON_IsTrue(cJSON_GetObjectItem(marker, "complete")) ? FOLDER_COMPLETE : FOLDER_UNFINISHED;
}

/* enum folder_state, or why the folder must not be written to. */
static int inspect_folder(const char *folder, const struct options *options, struct error *err)
{
	int status = folder_holds_something(folder, err);
	if (status <= 0)
		return status == 0 ? (int)FOLDER_FRESH : status;
	char path[PATH_BYTES];
	status = make_path(path, err, folder, ".synth.json");
	if (status != 0)
		return status;
	if (access(path, F_OK) != 0)
		return error_set(err, ERROR_USAGE,
			"the folder %s is not empty and was not made by ringclr synth; give a new folder", folder);
	size_t bytes;
	char *text = atomic_file_read_all(path, MARKER_MAX_BYTES, &bytes, err);
	if (text == NULL)
		return err->code;
	cJSON *marker = cJSON_ParseWithLength(text, bytes);
	status = judge_marker(folder, path, marker, options, err);
	cJSON_Delete(marker);
	free(text);
	return status;
}

/* DIR with its parents, DIR/train/<class>, DIR/test/<class>. */
static int make_parents(const char *folder, struct error *err)
{
	char path[PATH_BYTES];
	int status = make_path(path, err, folder, "");
	for (char *slash = strchr(path + 1, '/'); slash != NULL && status == 0; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		status = make_folder(path, err);
		*slash = '/';
	}
	return status;
}

static int make_class_folders(const struct synth_run *run, struct error *err)
{
	char path[PATH_BYTES], rest[64];
	for (unsigned split = 0; split < 2; split++) {
		for (unsigned label = 0; label <= SYNTH_CLASSES; label++) {
			/* The split's own folder first. */
			if (label == 0)
				snprintf(rest, sizeof rest, "%s", split_names[split]);
			else
				snprintf(rest, sizeof rest, "%s/%s", split_names[split], synth_class_name(label - 1));
			int status = make_path(path, err, run->folder, rest);
			if (status == 0)
				status = make_folder(path, err);
			if (status != 0)
				return status;
		}
	}
	return 0;
}

/* ---- the images ---- */

static int write_file(const char *path, const void *data, size_t bytes, struct error *err)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return error_set_errno(err, ERROR_IO, errno, "cannot create %s", path);
	int problem = 0;
	for (size_t done = 0; done < bytes && problem == 0;) {
		const ssize_t wrote = write(fd, (const char *)data + done, bytes - done);
		if (wrote > 0)
			done += (size_t)wrote;
		else if (wrote == 0 || errno != EINTR)
			problem = wrote == 0 ? ENOSPC : errno;
	}
	if (close(fd) != 0 && problem == 0)
		problem = errno;
	if (problem != 0)
		return error_set_errno(err, ERROR_IO, problem,
			"run the same command again once this is solved: cannot write %s", path);
	return 0;
}

static int write_image(struct synth_run *run, uint64_t task, unsigned thread, struct error *err)
{
	const struct synth_options *options = run->options;
	const enum synth_split split = task < options->train ? SYNTH_TRAIN : SYNTH_TEST;
	const uint64_t index = split == SYNTH_TRAIN ? task : task - options->train;
	const uint32_t size = (uint32_t)options->size;
	char path[PATH_BYTES], rest[64];
	snprintf(rest, sizeof rest, "%s/%s/%05" PRIu64 ".png", split_names[split],
		synth_class_name((unsigned)(index % SYNTH_CLASSES)), index / SYNTH_CLASSES);
	int status = make_path(path, err, run->folder, rest);
	if (status != 0)
		return status;
	synth_draw(options->seed, split, index, size, run->scratch[thread], run->rgb[thread]);
	void *png = NULL;
	size_t bytes = 0;
	status = codec_encode_png(run->rgb[thread], size, size, &png, &bytes, err);
	if (status == 0)
		status = write_file(path, png, bytes, err);
	free(png);
	return status;
}

static void image_task(void *ctx, size_t task, unsigned thread)
{
	struct synth_run *run = ctx;
	/* Relaxed: only saves work; the result is read after team_for(). */
	if (command_interrupted() || atomic_load_explicit(&run->failed, memory_order_relaxed))
		return;
	struct error err = {0};
	if (write_image(run, task, thread, &err) != 0 && !atomic_exchange(&run->failed, true))
		error_copy(&run->error, &err);
}

static int write_images(struct synth_run *run, unsigned threads, struct error *err)
{
	struct team *team = team_create(threads, NULL, err);
	if (team == NULL)
		return err->code;
	const size_t values = (size_t)run->options->size * run->options->size * 3;
	run->scratch = calloc(threads, sizeof *run->scratch);
	run->rgb = calloc(threads, sizeof *run->rgb);
	bool enough = run->scratch != NULL && run->rgb != NULL;
	for (unsigned i = 0; i < threads && enough; i++) {
		run->scratch[i] = malloc(values * sizeof(float));
		run->rgb[i] = malloc(values);
		enough = run->scratch[i] != NULL && run->rgb[i] != NULL;
	}
	if (enough)
		team_for(team, run->options->train + run->options->test, image_task, run);
	else
		error_set(
			err, ERROR_MEMORY, "no memory to draw images of %" PRIu64 " pixels a side", run->options->size);
	team_destroy(team);
	for (unsigned i = 0; i < threads; i++) {
		if (run->scratch != NULL)
			free(run->scratch[i]);
		if (run->rgb != NULL)
			free(run->rgb[i]);
	}
	free(run->scratch);
	free(run->rgb);
	if (atomic_load(&run->failed))
		error_copy(err, &run->error);
	if (err->code == 0 && command_interrupted())
		error_set(err, ERROR_INTERRUPTED, "interrupted; the same command finishes %s", run->folder);
	return err->code;
}

/* Images reach the disk before the marker says that they are complete. */
static int sync_folder(const char *folder, struct error *err)
{
	const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, ERROR_IO, errno, "cannot open %s", folder);
	const int problem = syncfs(fd) == 0 ? 0 : errno;
	close(fd);
	return problem == 0 ? 0 : error_set_errno(err, ERROR_IO, problem, "cannot sync the images in %s", folder);
}

static int make_data_set(struct synth_run *run, const struct options *options, struct error *err)
{
	uint64_t threads = run->options->threads == 0 ? cpu_allowed() : run->options->threads;
	int status = make_parents(run->folder, err);
	if (status == 0)
		status = write_marker(run, options, false, err);
	if (status == 0)
		status = make_class_folders(run, err);
	if (status == 0)
		status = write_images(run, (unsigned)threads, err);
	if (status == 0)
		status = sync_folder(run->folder, err);
	if (status == 0)
		status = write_marker(run, options, true, err);
	return status;
}

/* ---- the command ---- */

static int print_result(const struct synth_run *run, bool already, double seconds)
{
	const struct synth_options *options = run->options;
	if (!options->json) {
		if (already)
			printf("%s: already complete, nothing written\n", run->folder);
		else
			printf("%s: %" PRIu64 " training and %" PRIu64 " test images of %" PRIu64 "x%" PRIu64
			       " pixels in %d classes, %.1f s\n",
				run->folder, options->train, options->test, options->size, options->size, SYNTH_CLASSES,
				seconds);
		return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
	}
	cJSON *json = cJSON_CreateObject();
	cJSON_AddStringToObject(json, "folder", run->folder);
	cJSON_AddNumberToObject(json, "train", (double)options->train);
	cJSON_AddNumberToObject(json, "test", (double)options->test);
	cJSON_AddNumberToObject(json, "size", (double)options->size);
	/* Not through a double, which holds 53 bits. */
	char seed[32];
	snprintf(seed, sizeof seed, "%" PRIu64, options->seed);
	cJSON_AddRawToObject(json, "seed", seed);
	cJSON *classes = cJSON_AddArrayToObject(json, "classes");
	for (unsigned label = 0; label < SYNTH_CLASSES; label++)
		cJSON_AddItemToArray(classes, cJSON_CreateString(synth_class_name(label)));
	cJSON_AddBoolToObject(json, "already_complete", already);
	cJSON_AddNumberToObject(json, "seconds", seconds);
	return json_print(json);
}

static double now_seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int command_synth(int argc, char **argv)
{
	struct options options;
	struct synth_options synth = {0};
	int code = options_parse(&options, &command_synth_table, &synth, argc, argv);
	if (code != OPTIONS_GO)
		return code;
	command_catch_interrupts();
	struct synth_run run = {.options = &synth, .folder = options.operands[0]};
	struct error err = {0};
	const double started = now_seconds();
	int status = inspect_folder(run.folder, &options, &err);
	const bool already = status == FOLDER_COMPLETE;
	if (status >= 0 && !already)
		status = make_data_set(&run, &options, &err);
	if (status >= 0)
		code = print_result(&run, already, now_seconds() - started);
	else
		code = command_fail("synth", &err);
	options_free(&options);
	return code;
}
