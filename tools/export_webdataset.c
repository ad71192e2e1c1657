/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebDataset: tars in which the files of a sample follow each other and share a name up to the first dot of its last
 * part. A sample is
 *
 *	cat/0001.jpg    the image
 *	cat/0001.cls    the class, as a number
 *	cat/0001.json   the record's metadata, with "key" and "class" (the name) added where it has no such members
 *
 * As everything behind the first dot is the extension, other dots of a key become '_' in its name; "key" has it as it
 * was. classes.txt beside the tars names the classes in the order of their numbers.
 */
#include <inttypes.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/export.h"
#include "tools/tar_stream.h"

struct tars {
	struct export_job *job;
	struct tar_stream *tar; /* NULL: none is open */
	int fd;
	char name[ATOMIC_FOLDER_MAX_NAME + 32];
};

bool export_webdataset_name(const struct export_job *job, const struct input_record *record, struct output_path *path)
{
	*path = output_path_stem(record->entry->key, (enum shard_codec)record->entry->codec, job->raw_as);
	path->no_dots = true;
	return true;
}

static int to_shard(void *ctx, const void *data, size_t bytes, struct error *err)
{
	struct tars *tars = ctx;
	return atomic_folder_write(tars->job->folder, tars->fd, tars->name, data, bytes, err);
}

static int close_tar(struct tars *tars, struct error *err)
{
	if (tars->tar == NULL)
		return 0;
	int rc = tar_stream_end(tars->tar, err);
	tars->tar = NULL;
	if (close(tars->fd) != 0 && rc == 0)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot write '%s'", tars->name);
	return rc;
}

static int open_tar(struct tars *tars, struct error *err)
{
	snprintf(tars->name, sizeof(tars->name), "%s-%06" PRIu64 ".tar", tars->job->prefix, tars->job->shards);
	tars->fd = atomic_folder_open(tars->job->folder, tars->name, err);
	if (tars->fd < 0)
		return tars->fd;
	tars->tar = tar_stream_create(to_shard, tars, err);
	if (tars->tar == NULL) {
		close(tars->fd);
		return err->code;
	}
	tars->job->shards++;
	return 0;
}

/* "name":"text", with what JSON wants escaped. */
static void print_member(FILE *out, const char *name, const char *text)
{
	cJSON *string = cJSON_CreateString(text);
	char *printed = string == NULL ? NULL : cJSON_PrintUnformatted(string);
	fprintf(out, "\"%s\":%s", name, printed == NULL ? "null" : printed);
	cJSON_free(printed);
	cJSON_Delete(string);
}

/* The members of the metadata stand as they are in its text, so that no number is rounded. */
static char *make_json(const struct tars *tars, const struct shard_record_in *record, size_t *bytes, struct error *err)
{
	const char *class_name = input_sets_class(tars->job->sets, record->label);
	cJSON *meta = NULL;
	size_t meta_bytes = 0;
	if (record->meta != NULL) {
		meta = cJSON_ParseWithLength(record->meta, record->meta_bytes);
		for (meta_bytes = record->meta_bytes; meta_bytes > 0 && record->meta[meta_bytes - 1] != '}';)
			meta_bytes--;
		if (!cJSON_IsObject(meta) || meta_bytes == 0) {
			cJSON_Delete(meta);
			error_set(err, ERROR_FORMAT, "'%.300s': its metadata is no JSON object", record->key);
			return NULL;
		}
	}
	char *text = NULL;
	FILE *out = open_memstream(&text, bytes);
	if (out != NULL) {
		bool first = meta == NULL || meta->child == NULL;
		if (meta != NULL)
			fwrite(record->meta, 1, meta_bytes - 1, out);
		else
			fputc('{', out);
		if (!cJSON_HasObjectItem(meta, "key")) {
			fputs(first ? "" : ",", out);
			print_member(out, "key", record->key);
			first = false;
		}
		if (class_name != NULL && !cJSON_HasObjectItem(meta, "class")) {
			fputs(first ? "" : ",", out);
			print_member(out, "class", class_name);
		}
		fputc('}', out);
		if (fclose(out) != 0) {
			free(text);
			text = NULL;
		}
	}
	cJSON_Delete(meta);
	if (text == NULL)
		error_set(err, ERROR_MEMORY, "out of memory for the metadata of '%.300s'", record->key);
	return text;
}

/* One file of a sample. */
static int add_file(
	struct tars *tars, const struct output_path *path, const void *data, size_t bytes, struct error *err)
{
	char name[ATOMIC_FOLDER_MAX_PATH + 1];
	if (!output_path_write(path, name))
		return error_set(
			err, ERROR_FORMAT, "the record '%.300s' makes no file: its name is too long", path->key);
	return tar_stream_add(tars->tar, name, data, bytes, err);
}

static int add_sample(
	struct tars *tars, const struct output_path *path, const struct shard_record_in *record, struct error *err)
{
	struct output_image image;
	int rc = output_image_make(record, tars->job->raw_as, &image, err);
	if (rc == 0)
		rc = add_file(tars, path, image.data, image.bytes, err);
	tars->job->bytes += image.bytes;
	output_image_free(&image);
	if (rc == 0 && record->label >= 0) {
		const struct output_path beside = output_path_beside(path, ".cls");
		char number[16];
		int digits = snprintf(number, sizeof(number), "%d", record->label);
		rc = add_file(tars, &beside, number, (size_t)digits, err);
	}
	if (rc != 0)
		return rc;
	const struct output_path beside = output_path_beside(path, ".json");
	size_t bytes = 0;
	char *text = make_json(tars, record, &bytes, err);
	rc = text == NULL ? err->code : add_file(tars, &beside, text, bytes, err);
	free(text);
	return rc;
}

static int add_record(void *ctx, uint64_t number, const struct shard_record_in *record, struct error *err)
{
	struct tars *tars = ctx;
	struct input_record place;
	struct output_path path;
	input_sets_locate(tars->job->sets, number, &place);
	export_webdataset_name(tars->job, &place, &path);
	int rc = 0;
	if (tars->tar != NULL && tar_stream_bytes(tars->tar) >= tars->job->shard_bytes)
		rc = close_tar(tars, err);
	if (rc == 0 && tars->tar == NULL)
		rc = open_tar(tars, err);
	return rc == 0 ? add_sample(tars, &path, record, err) : rc;
}

int export_webdataset(struct export_job *job, struct error *err)
{
	struct tars tars = {.job = job};
	int rc = record_selection_walk(job->selection, job->sets, "exporting", add_record, &tars, &job->seconds, err);
	if (rc == 0)
		return close_tar(&tars, err);
	if (tars.tar != NULL) {
		tar_stream_abandon(tars.tar);
		close(tars.fd);
	}
	return rc;
}
