/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MDS, the format of MosaicML's StreamingDataset: index.json, and shards of samples in columns.
 *
 *	shard       u32 samples; u32 offsets[samples + 1] from the file's start; the columns as JSON; the samples
 *	sample      u32 bytes of each column whose size is not fixed; then the columns' values, in order of their names
 *
 * All little-endian. With compression a shard is a zstd frame, shard.00000.mds.zstd. The columns are
 *
 *	image       the image: encoding "jpeg" or "png" if all are (readers then give a picture), else "bytes"
 *	key         str
 *	label       int (64 bits); -1: none
 *	meta        str: the record's metadata as JSON, "" where it has none; only where a shard has metadata
 *
 * A shard's offsets stand before its samples, so one is gathered in memory: --shard-size bounds it.
 */
#include <inttypes.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "tools/export.h"

enum { MAX_COLUMNS = 4 };
#define SHARD_BYTES_MAX (UINT64_C(3) << 30) /* offsets have 32 bits */

struct mds {
	struct export_job *job;
	unsigned columns;
	const char *names[MAX_COLUMNS], *encodings[MAX_COLUMNS];
	char *config; /* the columns as JSON, as a shard holds them */
	cJSON *shards;
	uint32_t *ends; /* of the samples, from the first's start */
	uint64_t count, capacity;
	unsigned char *samples;
	uint64_t bytes, bytes_capacity;
};

static int out_of_memory(struct error *err)
{
	return error_set(err, ERROR_MEMORY, "out of memory for an MDS shard; a smaller --shard-size takes less");
}

/* "jpeg" if all images are, and so on. */
static const char *image_encoding(const struct export_job *job)
{
	const char *all = NULL;
	for (uint64_t i = record_selection_next(job->selection, 0); i < job->selection->records;
		i = record_selection_next(job->selection, i + 1)) {
		struct input_record record;
		input_sets_locate(job->sets, i, &record);
		unsigned codec = record.entry->codec;
		const char *encoding = codec == SHARD_JPEG ? "jpeg"
				       : codec == SHARD_PNG || (codec == SHARD_RAW && job->raw_as == OUTPUT_PNG)
					       ? "png"
					       : "bytes";
		if (all != NULL && strcmp(all, encoding) != 0)
			return "bytes";
		all = encoding;
	}
	return all;
}

/* What index.json says of a shard, and the shard of itself. */
static cJSON *describe_columns(const struct mds *mds)
{
	cJSON *object = cJSON_CreateObject();
	cJSON *encodings = cJSON_AddArrayToObject(object, "column_encodings");
	cJSON *names = cJSON_AddArrayToObject(object, "column_names");
	cJSON *sizes = cJSON_AddArrayToObject(object, "column_sizes");
	for (unsigned i = 0; i < mds->columns; i++) {
		bool fixed = strcmp(mds->encodings[i], "int") == 0;
		cJSON_AddItemToArray(encodings, cJSON_CreateString(mds->encodings[i]));
		cJSON_AddItemToArray(names, cJSON_CreateString(mds->names[i]));
		cJSON_AddItemToArray(sizes, fixed ? cJSON_CreateNumber(sizeof(int64_t)) : cJSON_CreateNull());
	}
	char level[24];
	snprintf(level, sizeof(level), "zstd:%d", mds->job->zstd_level);
	if (mds->job->zstd_level > 0)
		cJSON_AddStringToObject(object, "compression", level);
	else
		cJSON_AddNullToObject(object, "compression");
	cJSON_AddStringToObject(object, "format", "mds");
	cJSON_AddArrayToObject(object, "hashes");
	cJSON_AddNumberToObject(object, "size_limit", (double)mds->job->shard_bytes);
	cJSON_AddNumberToObject(object, "version", 2);
	return object;
}

static int mds_prepare(struct mds *mds, struct error *err)
{
	static const char *const names[MAX_COLUMNS] = {"image", "key", "label", "meta"};
	const char *const encodings[MAX_COLUMNS] = {image_encoding(mds->job), "str", "int", "str"};
	mds->columns = input_sets_have_meta(mds->job->sets) ? 4 : 3;
	memcpy(mds->names, names, sizeof(names));
	memcpy(mds->encodings, encodings, sizeof(encodings));
	cJSON *columns = describe_columns(mds);
	mds->config = cJSON_PrintUnformatted(columns);
	cJSON_Delete(columns);
	mds->shards = cJSON_CreateArray();
	return mds->config == NULL || mds->shards == NULL ? out_of_memory(err) : 0;
}

/* ---- a shard's end ---- */

/* The file of a shard: what is put in is written, compressed or as it is. */
struct mds_file {
	struct mds *mds;
	int fd;
	ZSTD_CCtx *zstd; /* NULL: as it is */
	char name[40];
	uint64_t bytes; /* written */
};

static int put(struct mds_file *file, const void *data, size_t bytes, struct error *err)
{
	file->bytes += bytes;
	return atomic_folder_write(file->mds->job->folder, file->fd, file->name, data, bytes, err);
}

static int put_part(struct mds_file *file, const void *data, size_t bytes, bool last, struct error *err)
{
	if (file->zstd == NULL)
		return put(file, data, bytes, err);
	char buffer[64 << 10];
	ZSTD_inBuffer in = {.src = data, .size = bytes};
	for (;;) {
		ZSTD_outBuffer out = {.dst = buffer, .size = sizeof(buffer)};
		size_t left = ZSTD_compressStream2(file->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return error_set(
				err, ERROR_MEMORY, "cannot compress '%s': %s", file->name, ZSTD_getErrorName(left));
		int rc = put(file, buffer, out.pos, err);
		if (rc != 0 || (last ? left == 0 : in.pos == in.size))
			return rc;
	}
}

/* Readers take a frame's size from its header, so it is told before. */
static int start_zstd(struct mds_file *file, uint64_t raw_bytes, struct error *err)
{
	if (file->mds->job->zstd_level == 0)
		return 0;
	file->zstd = ZSTD_createCCtx();
	if (file->zstd == NULL ||
		ZSTD_isError(ZSTD_CCtx_setParameter(file->zstd, ZSTD_c_compressionLevel, file->mds->job->zstd_level)) ||
		ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(file->zstd, raw_bytes)))
		return out_of_memory(err);
	return 0;
}

static void add_file_info(cJSON *shard, const char *member, const char *name, uint64_t bytes)
{
	cJSON *info = cJSON_AddObjectToObject(shard, member);
	cJSON_AddStringToObject(info, "basename", name);
	cJSON_AddNumberToObject(info, "bytes", (double)bytes);
	cJSON_AddObjectToObject(info, "hashes");
}

static void describe_shard(struct mds *mds, const struct mds_file *file, uint64_t raw_bytes)
{
	char raw_name[40];
	cJSON *shard = describe_columns(mds);
	snprintf(raw_name, sizeof(raw_name), "shard.%05" PRIu64 ".mds", mds->job->shards);
	add_file_info(shard, "raw_data", raw_name, raw_bytes);
	cJSON_AddNumberToObject(shard, "samples", (double)mds->count);
	if (file->zstd != NULL)
		add_file_info(shard, "zip_data", file->name, file->bytes);
	else
		cJSON_AddNullToObject(shard, "zip_data");
	cJSON_AddItemToArray(mds->shards, shard);
}

static int end_shard(struct mds *mds, struct error *err)
{
	size_t head_words = mds->count + 2, config_bytes = strlen(mds->config);
	uint64_t begin = head_words * sizeof(uint32_t) + config_bytes;
	uint32_t *head = calloc(head_words, sizeof(*head));
	struct mds_file file = {.mds = mds, .fd = -1};
	int rc = head == NULL ? out_of_memory(err) : start_zstd(&file, begin + mds->bytes, err);
	if (rc == 0) {
		head[0] = (uint32_t)mds->count;
		head[1] = (uint32_t)begin;
		for (uint64_t i = 0; i < mds->count; i++)
			head[2 + i] = (uint32_t)begin + mds->ends[i];
		snprintf(file.name, sizeof(file.name), "shard.%05" PRIu64 ".mds%s", mds->job->shards,
			file.zstd != NULL ? ".zstd" : "");
		file.fd = atomic_folder_open(mds->job->folder, file.name, err);
		rc = file.fd < 0 ? file.fd : put_part(&file, head, head_words * sizeof(*head), false, err);
	}
	if (rc == 0)
		rc = put_part(&file, mds->config, config_bytes, false, err);
	if (rc == 0)
		rc = put_part(&file, mds->samples, mds->bytes, true, err);
	if (file.fd >= 0 && close(file.fd) != 0 && rc == 0)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot write '%s'", file.name);
	if (rc == 0)
		describe_shard(mds, &file, begin + mds->bytes);
	ZSTD_freeCCtx(file.zstd);
	free(head);
	mds->job->shards++;
	mds->count = mds->bytes = 0;
	return rc;
}

/* ---- samples ---- */

/* Room for a sample of so many bytes. */
static int make_room(struct mds *mds, uint64_t bytes, struct error *err)
{
	if (mds->count == mds->capacity) {
		uint64_t capacity = mds->capacity * 2 + 1024;
		uint32_t *larger = realloc(mds->ends, capacity * sizeof(*larger));
		if (larger == NULL)
			return out_of_memory(err);
		mds->ends = larger;
		mds->capacity = capacity;
	}
	if (mds->bytes + bytes > mds->bytes_capacity) {
		uint64_t capacity = mds->bytes + bytes + mds->bytes_capacity / 2;
		unsigned char *larger = realloc(mds->samples, capacity);
		if (larger == NULL)
			return out_of_memory(err);
		mds->samples = larger;
		mds->bytes_capacity = capacity;
	}
	return 0;
}

static void append(struct mds *mds, const void *data, size_t bytes)
{
	if (bytes > 0)
		memcpy(mds->samples + mds->bytes, data, bytes);
	mds->bytes += bytes;
}

static int add_sample(
	struct mds *mds, const struct shard_record_in *record, const struct output_image *image, struct error *err)
{
	const bool meta = mds->columns == 4;
	const size_t key_bytes = strlen(record->key), meta_bytes = record->meta != NULL ? record->meta_bytes : 0;
	const uint32_t sizes[3] = {(uint32_t)image->bytes, (uint32_t)key_bytes, (uint32_t)meta_bytes};
	const size_t sizes_bytes = (meta ? 3 : 2) * sizeof(sizes[0]);
	const int64_t label = record->label;
	const uint64_t bytes = sizes_bytes + image->bytes + key_bytes + sizeof(label) + meta_bytes;
	int rc = 0;
	if (mds->count > 0 && mds->bytes + bytes > mds->job->shard_bytes)
		rc = end_shard(mds, err);
	if (rc == 0 && bytes > SHARD_BYTES_MAX)
		rc = error_set(
			err, ERROR_UNSUPPORTED, "'%.300s' is too large for MDS: %" PRIu64 " bytes", record->key, bytes);
	if (rc == 0)
		rc = make_room(mds, bytes, err);
	if (rc != 0)
		return rc;
	append(mds, sizes, sizes_bytes);
	append(mds, image->data, image->bytes);
	append(mds, record->key, key_bytes);
	append(mds, &label, sizeof(label));
	if (meta)
		append(mds, record->meta, meta_bytes);
	mds->ends[mds->count++] = (uint32_t)mds->bytes;
	mds->job->bytes += image->bytes;
	return 0;
}

static int add_record(void *ctx, uint64_t number, const struct shard_record_in *record, struct error *err)
{
	(void)number;
	struct mds *mds = ctx;
	struct output_image image;
	int rc = output_image_make(record, mds->job->raw_as, &image, err);
	if (rc == 0)
		rc = add_sample(mds, record, &image, err);
	output_image_free(&image);
	return rc;
}

static int write_index(struct mds *mds, struct error *err)
{
	cJSON *index = cJSON_CreateObject();
	cJSON_AddItemToObject(index, "shards", mds->shards);
	mds->shards = NULL;
	cJSON_AddNumberToObject(index, "version", 2);
	char *text = cJSON_PrintUnformatted(index);
	cJSON_Delete(index);
	int rc = text == NULL ? out_of_memory(err)
			      : atomic_folder_add(mds->job->folder, "index.json", text, strlen(text), err);
	cJSON_free(text);
	return rc;
}

int export_mds(struct export_job *job, struct error *err)
{
	struct mds mds = {.job = job};
	int rc = mds_prepare(&mds, err);
	if (rc == 0)
		rc = record_selection_walk(
			job->selection, job->sets, "exporting", add_record, &mds, &job->seconds, err);
	if (rc == 0)
		rc = end_shard(&mds, err);
	if (rc == 0)
		rc = write_index(&mds, err);
	cJSON_free(mds.config);
	cJSON_Delete(mds.shards);
	free(mds.ends);
	free(mds.samples);
	return rc;
}
