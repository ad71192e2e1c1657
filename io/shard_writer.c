/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a shard, or a series of them, front to back, in one pass.
 *
 * What stands before the blocks goes out first. Records gather until a block is full (shard_pending.c); then [entries]
 * [images][fields] is compressed as one piece, or stored where that gains less than 3%, and written with its header,
 * padded to 4 KiB. The entries are also put aside (spill.h), for the index. The end of a file looks for duplicate keys
 * and writes index and footer; only then does it get its name.
 *
 * Small blocks pay for padding: on average half a page each. With fill_pages a full block gives its last records to the
 * next one, as many as it takes for it to end just below a page: the padding is then less than one compressed record.
 *
 * A file of a series ends with the first block that brings it to the limit, and nowhere else. So a file that was left
 * with n whole blocks says which record comes next, and the blocks that follow are the same as if it had never been
 * left (shard_resume.c): records are pending by then that have not filled a block.
 *
 * A dry writer does all this and writes nothing: shard_sample.c measures with it.
 */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "io/shard_writer_internal.h"

enum { DEFAULT_BLOCK_BYTES = 64 << 10, FILL_TRIES = 4, FILL_SLACK_SHARE = 32 };
/* A block from so large on is tried by a part of it first. */
enum { TRIAL_LEAST_BYTES = 64 << 10, TRIAL_BYTES = 16 << 10, TRIAL_PERCENT = 99 };

static void writer_free(struct shard_writer *writer)
{
	if (writer == NULL)
		return;
	atomic_file_abandon(writer->file);
	ZSTD_freeCCtx(writer->cctx);
	shard_pending_free(&writer->pending);
	spill_destroy(writer->index_records);
	free(writer->front.data);
	free(writer->raw.data);
	free(writer->disk.data);
	free(writer->index_blocks.data);
	free(writer->path);
	free(writer);
}

static int config_check(const struct shard_writer_config *config, struct error *err)
{
	if (config->class_count > SHARD_MAX_CLASSES || (config->class_count > 0 && config->classes == NULL))
		return error_set(err, ERROR_USAGE, "cannot write '%s': %u classes (at most %d, with names)",
			config->path, config->class_count, SHARD_MAX_CLASSES);
	for (uint32_t i = 0; i < config->class_count; i++) {
		size_t bytes = config->classes[i] == NULL ? 0 : strlen(config->classes[i]);
		if (bytes == 0 || bytes > SHARD_MAX_CLASS_NAME)
			return error_set(err, ERROR_USAGE,
				"cannot write '%s': the name of class %u has %zu bytes, not 1 to %d", config->path, i,
				bytes, SHARD_MAX_CLASS_NAME);
	}
	if (config->block_bytes > SHARD_MAX_RAW_BYTES)
		return error_set(err, ERROR_USAGE, "cannot write '%s': blocks of %zu bytes; at most %d", config->path,
			config->block_bytes, SHARD_MAX_RAW_BYTES);
	if (config->zstd_level < ZSTD_minCLevel() || config->zstd_level > ZSTD_maxCLevel())
		return error_set(err, ERROR_USAGE, "cannot write '%s': zstd level %d is not in %d to %d", config->path,
			config->zstd_level, ZSTD_minCLevel(), ZSTD_maxCLevel());
	if (config->dictionary != NULL &&
		(config->dictionary_bytes > SHARD_MAX_DICTIONARY ||
			ZSTD_getDictID_fromDict(config->dictionary, config->dictionary_bytes) == 0))
		return error_set(err, ERROR_USAGE, "cannot write '%s': %zu bytes that are no zstd dictionary",
			config->path, config->dictionary_bytes);
	return 0;
}

int shard_writer_write(struct shard_writer *writer, const void *data, size_t bytes, struct error *err)
{
	writer->offset += bytes;
	return writer->dry ? 0 : atomic_file_write(writer->file, data, bytes, err);
}

static int compressor_make(struct shard_writer *writer, const struct shard_writer_config *config, struct error *err)
{
	writer->cctx = ZSTD_createCCtx();
	size_t rc = 0;
	if (writer->cctx != NULL)
		rc = ZSTD_CCtx_setParameter(writer->cctx, ZSTD_c_compressionLevel, config->zstd_level);
	if (writer->cctx != NULL && !ZSTD_isError(rc) && config->dictionary != NULL)
		rc = ZSTD_CCtx_loadDictionary(writer->cctx, config->dictionary, config->dictionary_bytes);
	if (writer->cctx != NULL && !ZSTD_isError(rc))
		return 0;
	error_set(err, ERROR_MEMORY, "cannot compress for '%s': %s", config->path,
		writer->cctx == NULL ? "out of memory" : ZSTD_getErrorName(rc));
	return ERROR_MEMORY;
}

static int names_set(struct shard_writer *writer, const char *path, struct error *err)
{
	char *copy = strdup(path);
	writer->path = strdup(path);
	if (copy != NULL && writer->path != NULL)
		writer->index_records = spill_create(dirname(copy), err);
	free(copy);
	if (writer->index_records != NULL)
		return 0;
	return error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", path);
}

static struct shard_writer *writer_create(const struct shard_writer_config *config, struct error *err)
{
	if (config_check(config, err) != 0)
		return NULL;
	struct shard_writer *writer = calloc(1, sizeof *writer);
	if (writer == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", config->path);
		return NULL;
	}
	writer->block_bytes = config->block_bytes == 0 ? DEFAULT_BLOCK_BYTES : config->block_bytes;
	writer->fill_pages = config->fill_pages;
	writer->zstd_level = config->zstd_level;
	writer->pending.has_fields = config->meta;
	if (names_set(writer, config->path, err) == 0 && compressor_make(writer, config, err) == 0 &&
		shard_front_make(writer, config, err) == 0)
		return writer;
	writer_free(writer);
	return NULL;
}

uint64_t shard_writer_first_copy(const struct shard_writer *writer)
{
	return (writer->header.required_flags & SHARD_NEEDS_COPIES) != 0 ? SHARD_COPY_FIRST : UINT64_MAX;
}

uint64_t shard_copy_after(uint64_t offset)
{
	uint64_t next = SHARD_COPY_FIRST;
	while (next <= offset)
		next *= SHARD_COPY_FACTOR;
	return next;
}

/* The file that the next block goes to. */
static int file_begin(struct shard_writer *writer, struct error *err)
{
	writer->offset = 0;
	writer->next_copy = shard_writer_first_copy(writer);
	if (!writer->dry) {
		writer->file = writer->series.open(writer->series.ctx, writer->number, err);
		if (writer->file == NULL)
			return err->code;
	}
	return shard_writer_write(writer, writer->front.data, writer->front.bytes, err);
}

struct shard_writer *shard_writer_create_series(
	const struct shard_writer_config *config, const struct shard_series *series, bool resume, struct error *err)
{
	struct shard_writer *writer = writer_create(config, err);
	if (writer == NULL)
		return NULL;
	writer->series = *series;
	writer->number = series->first;
	if (resume || file_begin(writer, err) == 0)
		return writer;
	writer_free(writer);
	return NULL;
}

static struct atomic_file *open_single(void *ctx, unsigned number, struct error *err)
{
	(void)number;
	return atomic_file_create(ctx, err);
}

struct shard_writer *shard_writer_create(const struct shard_writer_config *config, struct error *err)
{
	struct shard_writer *writer = writer_create(config, err);
	if (writer == NULL)
		return NULL;
	writer->series = (struct shard_series){.ctx = writer->path, .open = open_single};
	if (file_begin(writer, err) == 0)
		return writer;
	writer_free(writer);
	return NULL;
}

struct shard_writer *shard_writer_create_dry(const struct shard_writer_config *config, struct error *err)
{
	struct shard_writer *writer = writer_create(config, err);
	if (writer == NULL)
		return NULL;
	writer->dry = true;
	writer->next_copy = shard_writer_first_copy(writer);
	writer->offset = writer->front.bytes;
	return writer;
}

/* Whether a part from the middle of a large block says that the whole gains nothing, as of photos: trying all of it
 * takes longer than reading and writing it. raw->bytes of payload lie in raw; disk is scratch. */
static bool looks_incompressible(struct shard_writer *writer, const struct shard_buffer *raw, struct shard_buffer *disk)
{
	if (raw->bytes < TRIAL_LEAST_BYTES)
		return false;
	size_t packed = ZSTD_compress2(writer->cctx, disk->data + disk->bytes, ZSTD_compressBound(TRIAL_BYTES),
		raw->data + raw->bytes / 2, TRIAL_BYTES);
	return !ZSTD_isError(packed) && packed > TRIAL_BYTES / 100 * TRIAL_PERCENT;
}

/* Leaves header (still empty) and payload of the portion in writer->disk. */
static int portion_pack(
	struct shard_writer *writer, const struct shard_portion *portion, uint32_t *compression, struct error *err)
{
	const struct shard_pending *pending = &writer->pending;
	struct shard_buffer *raw = &writer->raw, *disk = &writer->disk;
	size_t raw_bytes = shard_portion_bytes(portion), bound = ZSTD_compressBound(raw_bytes);
	uint32_t how = writer->header.dictionary_bytes > 0 ? SHARD_ZSTD_DICTIONARY : SHARD_ZSTD;
	int rc = shard_buffer_reserve(raw, raw_bytes, err);
	if (rc == 0)
		rc = shard_buffer_reserve(disk, shard_align(SHARD_BLOCK_HEADER_BYTES + bound), err);
	if (rc != 0)
		return rc;
	raw->bytes = 0;
	shard_buffer_append(raw, pending->entries.data, portion->entries);
	shard_buffer_append(raw, pending->images.data, portion->images);
	if (portion->fields > 0)
		shard_buffer_append(raw, pending->fields.data, portion->fields);
	disk->bytes = SHARD_BLOCK_HEADER_BYTES;
	if (writer->zstd_level != 0 && !looks_incompressible(writer, raw, disk)) {
		size_t packed = ZSTD_compress2(writer->cctx, disk->data + disk->bytes, bound, raw->data, raw->bytes);
		if (ZSTD_isError(packed))
			return error_set(err, ERROR_MEMORY, "cannot compress a block of '%s': %s", writer->path,
				ZSTD_getErrorName(packed));
		if (shard_worthwhile(how, packed, raw->bytes)) {
			disk->bytes += packed;
			*compression = how;
			return 0;
		}
	}
	shard_buffer_append(disk, raw->data, raw->bytes);
	*compression = SHARD_STORED;
	return 0;
}

/*
 * Makes the portion smaller until it ends just below a page: first by the bytes that are too many, as its ratio so far
 * says, then by a little more with each try. Where no try fits, or the padding is little from the start, all is taken.
 */
static int portion_fill(
	struct shard_writer *writer, struct shard_portion *portion, uint32_t *compression, struct error *err)
{
	const struct shard_portion all = *portion;
	size_t disk = writer->disk.bytes, padded = shard_align(disk), raw_bytes = shard_portion_bytes(&all);
	if (padded - disk <= padded / FILL_SLACK_SHARE || padded == SHARD_BLOCK_ALIGN || all.records == 1)
		return 0;
	size_t target = padded - SHARD_BLOCK_ALIGN;
	double keep = (double)target / (double)disk;
	for (int i = 0; i < FILL_TRIES; i++) {
		*portion = shard_portion_within(&writer->pending, (size_t)((double)raw_bytes * keep));
		int rc = portion_pack(writer, portion, compression, err);
		if (rc != 0 || writer->disk.bytes <= target)
			return rc;
		keep = keep * (double)target / (double)writer->disk.bytes - 0.005;
	}
	*portion = all;
	return portion_pack(writer, portion, compression, err);
}

/* The front has the dictionary with its padding. */
static int copy_write(struct shard_writer *writer, struct error *err)
{
	static const unsigned char zeros[SHARD_BLOCK_ALIGN];
	const struct shard_header_disk *header = &writer->header;
	struct shard_block_disk copy = shard_copy_header(header->dictionary_bytes, header->dictionary_hash);
	size_t padding = (size_t)(shard_copy_bytes(header->dictionary_bytes) - copy.disk_bytes);
	writer->next_copy = shard_copy_after(writer->offset);
	int rc = shard_writer_write(writer, &copy, sizeof copy, err);
	if (rc == 0)
		rc = shard_writer_write(writer,
			writer->front.data + SHARD_HEADER_BYTES + shard_align(header->class_bytes),
			header->dictionary_bytes, err);
	return rc == 0 ? shard_writer_write(writer, zeros, padding, err) : rc;
}

/* Writes writer->disk, whose header is made, as the next block, and notes it for the index. */
static int block_write(
	struct shard_writer *writer, const struct shard_portion *portion, uint32_t compression, struct error *err)
{
	struct shard_buffer *disk = &writer->disk;
	if (writer->block_count > 0 && writer->offset >= writer->next_copy) {
		int copied = copy_write(writer, err);
		if (copied != 0)
			return copied;
	}
	struct shard_block_disk header = {
		.number = writer->block_count,
		.disk_bytes = (uint32_t)disk->bytes,
		.raw_bytes = (uint32_t)shard_portion_bytes(portion),
		.record_count = portion->records,
		.first_record = writer->record_count,
		.compression = compression,
		.dictionary_hash = compression == SHARD_ZSTD_DICTIONARY ? writer->header.dictionary_hash : 0,
		.payload_hash = XXH3_64bits(disk->data + sizeof header, disk->bytes - sizeof header),
	};
	memcpy(header.magic, SHARD_BLOCK_MAGIC, sizeof header.magic);
	header.hash = XXH3_64bits(&header, offsetof(struct shard_block_disk, hash));
	memcpy(disk->data, &header, sizeof header);
	const struct shard_index_block_disk entry = {
		.offset = writer->offset,
		.hash = header.hash,
		.disk_bytes = header.disk_bytes,
		.raw_bytes = header.raw_bytes,
		.record_count = header.record_count,
		.compression = header.compression,
	};
	size_t padded = shard_align(disk->bytes);
	int rc = shard_buffer_reserve(&writer->index_blocks, writer->index_blocks.bytes + sizeof entry, err);
	if (rc == 0) {
		memset(disk->data + disk->bytes, 0, padded - disk->bytes);
		rc = shard_writer_write(writer, disk->data, padded, err);
	}
	if (rc == 0)
		rc = spill_append(writer->index_records, writer->pending.entries.data, portion->entries, NULL, err);
	if (rc != 0)
		return rc;
	shard_buffer_append(&writer->index_blocks, &entry, sizeof entry);
	writer->block_count++;
	writer->record_count += portion->records;
	return 0;
}

/* last: no more records will come, so that nothing can be left for the next block. */
static int block_flush(struct shard_writer *writer, bool last, struct error *err)
{
	struct shard_portion portion = shard_portion_all(&writer->pending);
	uint32_t compression = SHARD_STORED;
	int rc = 0;
	if (!writer->dry && writer->file == NULL)
		rc = file_begin(writer, err);
	if (rc == 0)
		rc = portion_pack(writer, &portion, &compression, err);
	if (rc == 0 && writer->fill_pages && !last)
		rc = portion_fill(writer, &portion, &compression, err);
	if (rc == 0)
		rc = block_write(writer, &portion, compression, err);
	if (rc != 0)
		return rc;
	shard_pending_drop(&writer->pending, &portion);
	return shard_writer_full(writer) ? shard_writer_next_file(writer, err) : 0;
}

bool shard_writer_full(const struct shard_writer *writer)
{
	uint64_t index = writer->index_blocks.bytes + spill_bytes(writer->index_records);
	return writer->series.limit_bytes > 0 && writer->block_count > 0 &&
	       writer->offset + index + writer->block_bytes > writer->series.limit_bytes;
}

static const char *record_fault(const struct shard_writer *writer, const struct shard_record_in *record)
{
	if (record->meta != NULL && !writer->pending.has_fields)
		return "it has metadata, and the writer was not told that some have";
	if (record->meta != NULL && (record->meta_bytes == 0 || record->meta_bytes > SHARD_MAX_META))
		return "its metadata must have 1 byte to 1 MiB";
	const size_t key_bytes = record->key == NULL ? 0 : strlen(record->key);
	const char *fault = shard_record_fault(record->key, key_bytes, record->label, writer->header.class_count,
		record->width, record->height, (unsigned)record->codec, record->bytes);
	/* Its fields count, too: a block may hold nothing else. */
	if (fault == NULL && shard_pending_more(&writer->pending, record, key_bytes) > SHARD_MAX_RAW_BYTES)
		fault = "with its fields it is larger than the 1 GiB that a block holds";
	return fault;
}

static int add(struct shard_writer *writer, const struct shard_record_in *record, struct error *err)
{
	struct shard_pending *pending = &writer->pending;
	size_t key_bytes = strlen(record->key);
	size_t more = shard_pending_more(pending, record, key_bytes);
	int rc = 0;
	while (rc == 0 && pending->records > 0 && shard_pending_bytes(pending) + more > writer->block_bytes)
		rc = block_flush(writer, false, err);
	if (rc == 0)
		rc = shard_pending_add(pending, record, key_bytes, err);
	if (rc == 0 && shard_pending_bytes(pending) >= writer->block_bytes)
		rc = block_flush(writer, false, err);
	return rc;
}

int shard_writer_add(struct shard_writer *writer, const struct shard_record_in *record, struct error *err)
{
	if (writer->failed.code != 0)
		return error_copy(err, &writer->failed);
	const char *fault = record_fault(writer, record);
	if (fault != NULL)
		return error_set(err, ERROR_USAGE, "cannot add '%.200s' to '%s': %s",
			record->key == NULL ? "" : record->key, writer->path, fault);
	if (writer->record_count + writer->pending.records == UINT32_MAX)
		return error_set(err, ERROR_USAGE, "'%s' is full with %u records: start another shard", writer->path,
			UINT32_MAX);
	int rc = add(writer, record, &writer->failed);
	return rc == 0 ? 0 : error_copy(err, &writer->failed);
}

static int duplicates_refuse(const struct shard_writer *writer, struct error *err)
{
	struct shard_key *keys = calloc((size_t)writer->record_count + 1, sizeof *keys);
	const unsigned char *at = spill_map(writer->index_records, err);
	if (keys == NULL || at == NULL) {
		free(keys);
		return error_set(
			err, ERROR_MEMORY, "out of memory: %u keys of '%s'", writer->record_count, writer->path);
	}
	for (uint32_t i = 0; i < writer->record_count; i++) {
		const struct shard_record_disk *entry = (const void *)at;
		keys[i].key = (const char *)(entry + 1);
		keys[i].key_bytes = entry->key_bytes;
		keys[i].record = i;
		at += sizeof *entry + entry->key_bytes;
	}
	const struct shard_key *twice = shard_duplicate_key(keys, writer->record_count);
	int rc = 0;
	if (twice != NULL)
		rc = error_set(err, ERROR_USAGE, "cannot write '%s': records %u and %u have the same key '%.*s'",
			writer->path, twice[0].record, twice[1].record,
			(int)(twice->key_bytes > 400 ? 400 : twice->key_bytes), twice->key);
	free(keys);
	return rc;
}

int shard_writer_next_file(struct shard_writer *writer, struct error *err)
{
	int rc = writer->dry ? 0 : duplicates_refuse(writer, err);
	if (rc == 0)
		rc = shard_back_write(writer, err);
	if (rc == 0 && !writer->dry) {
		rc = atomic_file_commit(writer->file, err);
		writer->file = NULL;
	}
	if (rc != 0)
		return rc;
	writer->number++;
	writer->block_count = 0;
	writer->record_count = 0;
	writer->index_blocks.bytes = 0;
	spill_clear(writer->index_records);
	return 0;
}

/* Everything but freeing. */
static int end(struct shard_writer *writer, struct error *err)
{
	int rc = writer->failed.code == 0 ? 0 : error_copy(err, &writer->failed);
	while (rc == 0 && writer->pending.records > 0)
		rc = block_flush(writer, true, err);
	return rc == 0 && writer->block_count > 0 ? shard_writer_next_file(writer, err) : rc;
}

int shard_writer_finish_series(struct shard_writer *writer, struct error *err)
{
	int rc = end(writer, err);
	if (rc == 0)
		writer_free(writer);
	return rc;
}

int shard_writer_finish_dry(struct shard_writer *writer, uint64_t *bytes, struct error *err)
{
	int rc = end(writer, err);
	*bytes = writer->offset;
	writer_free(writer);
	return rc;
}

int shard_writer_finish(struct shard_writer *writer, struct error *err)
{
	if (writer->block_count == 0 && writer->pending.records == 0)
		error_set(&writer->failed, ERROR_USAGE,
			"cannot write '%s': no record was added, and a shard is never empty", writer->path);
	int rc = end(writer, err);
	writer_free(writer);
	return rc;
}

void shard_writer_leave(struct shard_writer *writer)
{
	if (writer == NULL)
		return;
	atomic_file_leave(writer->file);
	writer->file = NULL;
	writer_free(writer);
}

void shard_writer_abandon(struct shard_writer *writer)
{
	writer_free(writer);
}
