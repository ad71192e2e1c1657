/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a shard, front to back, in one pass.
 *
 * Header and class table go out first. Records gather in two buffers, entries (the record table) and images, until a
 * block is full; then [entries][images] is compressed as one piece, or stored where that gains less than 3%, and
 * written with its header, padded to 4 KiB. The entries are also kept, in memory, for the index: 24 bytes and the key a
 * record. finish() looks for duplicate keys, writes index and footer, and only then does the file get its name.
 */
#include "io/shard_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "io/atomic_file.h"

enum { DEFAULT_BLOCK_BYTES = 64 << 10, WORTHWHILE_PERCENT = 97 };

struct buffer {
	unsigned char *data;
	size_t bytes, capacity;
};

struct shard_writer {
	char *path;
	struct atomic_file *file;
	struct shard_header_disk header;
	size_t block_bytes;
	int zstd_level;
	ZSTD_CCtx *cctx;
	struct buffer entries, images; /* of the block being filled */
	struct buffer raw, disk;       /* scratch of one block */
	struct buffer index_blocks, index_records;
	uint32_t block_count, block_records, record_count;
	struct error failed; /* the first failure of the file: nothing goes after it */
};

static int buffer_reserve(struct buffer *buffer, size_t bytes, struct error *err)
{
	if (bytes <= buffer->capacity)
		return 0;
	size_t capacity = buffer->capacity * 2 > bytes ? buffer->capacity * 2 : bytes;
	unsigned char *data = realloc(buffer->data, capacity);
	if (data == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory: a shard's writer needs %zu bytes", capacity);
		return ERROR_MEMORY;
	}
	buffer->data = data;
	buffer->capacity = capacity;
	return 0;
}

/* Room must have been reserved. */
static void buffer_append(struct buffer *buffer, const void *data, size_t bytes)
{
	memcpy(buffer->data + buffer->bytes, data, bytes);
	buffer->bytes += bytes;
}

static void writer_free(struct shard_writer *writer)
{
	if (writer == NULL)
		return;
	atomic_file_abandon(writer->file);
	ZSTD_freeCCtx(writer->cctx);
	free(writer->entries.data);
	free(writer->images.data);
	free(writer->raw.data);
	free(writer->disk.data);
	free(writer->index_blocks.data);
	free(writer->index_records.data);
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
	return 0;
}

/* One line: longer text is cut, control characters become blanks. */
static void origin_set(struct shard_header_disk *header, const char *origin)
{
	size_t bytes = strlen(origin);
	if (bytes > SHARD_ORIGIN_CAPACITY)
		bytes = SHARD_ORIGIN_CAPACITY;
	for (size_t i = 0; i < bytes; i++)
		header->origin[i] = (unsigned char)origin[i] < ' ' ? ' ' : origin[i];
	header->origin_bytes = (uint32_t)bytes;
}

static int write_padded(struct shard_writer *writer, struct buffer *data, struct error *err)
{
	size_t padded = shard_align(data->bytes);
	int rc = buffer_reserve(data, padded, err);
	if (rc != 0)
		return rc;
	memset(data->data + data->bytes, 0, padded - data->bytes);
	return atomic_file_write(writer->file, data->data, padded, err);
}

static int write_front(struct shard_writer *writer, const struct shard_writer_config *config, struct error *err)
{
	struct shard_header_disk *header = &writer->header;
	struct buffer *table = &writer->disk;
	for (uint32_t i = 0; i < config->class_count; i++) {
		uint16_t bytes = (uint16_t)strlen(config->classes[i]);
		int rc = buffer_reserve(table, table->bytes + sizeof bytes + bytes, err);
		if (rc != 0)
			return rc;
		buffer_append(table, &bytes, sizeof bytes);
		buffer_append(table, config->classes[i], bytes);
	}
	memcpy(header->magic, SHARD_MAGIC, sizeof header->magic);
	header->version_major = SHARD_VERSION_MAJOR;
	header->version_minor = SHARD_VERSION_MINOR;
	header->header_bytes = SHARD_HEADER_BYTES;
	header->block_bytes = (uint32_t)writer->block_bytes;
	header->class_count = config->class_count;
	header->class_bytes = table->bytes;
	header->class_hash = XXH3_64bits(table->data, table->bytes);
	if (config->origin != NULL)
		origin_set(header, config->origin);
	header->hash = XXH3_64bits(header, offsetof(struct shard_header_disk, hash));
	int rc = atomic_file_write(writer->file, header, sizeof *header, err);
	if (rc == 0 && table->bytes > 0)
		rc = write_padded(writer, table, err);
	return rc;
}

struct shard_writer *shard_writer_create(const struct shard_writer_config *config, struct error *err)
{
	if (config_check(config, err) != 0)
		return NULL;
	struct shard_writer *writer = calloc(1, sizeof *writer);
	if (writer == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", config->path);
		return NULL;
	}
	writer->block_bytes = config->block_bytes == 0 ? DEFAULT_BLOCK_BYTES : config->block_bytes;
	writer->zstd_level = config->zstd_level;
	writer->path = strdup(config->path);
	writer->cctx = ZSTD_createCCtx();
	if (writer->path == NULL || writer->cctx == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", config->path);
	} else {
		ZSTD_CCtx_setParameter(writer->cctx, ZSTD_c_compressionLevel, config->zstd_level);
		writer->file = atomic_file_create(config->path, err);
		if (writer->file != NULL && write_front(writer, config, err) == 0)
			return writer;
	}
	writer_free(writer);
	return NULL;
}

/*
 * Compresses `raw` behind the bytes already in `out`, or copies it there where that is not worthwhile. Says which in
 * *compression.
 */
static int pack(struct shard_writer *writer, const struct buffer *raw, struct buffer *out, uint32_t *compression,
	struct error *err)
{
	size_t bound = ZSTD_compressBound(raw->bytes);
	int rc = buffer_reserve(out, shard_align(out->bytes + bound), err);
	if (rc != 0)
		return rc;
	if (writer->zstd_level != 0) {
		size_t packed = ZSTD_compress2(writer->cctx, out->data + out->bytes, bound, raw->data, raw->bytes);
		if (ZSTD_isError(packed))
			return error_set(err, ERROR_MEMORY, "cannot compress a block of '%s': %s", writer->path,
				ZSTD_getErrorName(packed));
		if (packed <= raw->bytes / 100 * WORTHWHILE_PERCENT &&
			shard_sizes_fault(SHARD_ZSTD, packed, raw->bytes) == NULL) {
			out->bytes += packed;
			*compression = SHARD_ZSTD;
			return 0;
		}
	}
	buffer_append(out, raw->data, raw->bytes);
	*compression = SHARD_STORED;
	return 0;
}

static int block_flush(struct shard_writer *writer, struct error *err)
{
	struct shard_block_disk header = {
		.number = writer->block_count,
		.record_count = writer->block_records,
		.first_record = writer->record_count - writer->block_records,
	};
	struct shard_index_block_disk entry = {.offset = atomic_file_offset(writer->file)};
	size_t raw_bytes = writer->entries.bytes + writer->images.bytes;
	int rc = buffer_reserve(&writer->raw, raw_bytes, err);
	if (rc == 0)
		rc = buffer_reserve(&writer->disk, sizeof header, err);
	if (rc == 0)
		rc = buffer_reserve(&writer->index_blocks, writer->index_blocks.bytes + sizeof entry, err);
	if (rc != 0)
		return rc;
	writer->raw.bytes = 0;
	buffer_append(&writer->raw, writer->entries.data, writer->entries.bytes);
	buffer_append(&writer->raw, writer->images.data, writer->images.bytes);
	writer->disk.bytes = sizeof header;
	uint32_t compression = SHARD_STORED;
	rc = pack(writer, &writer->raw, &writer->disk, &compression, err);
	if (rc != 0)
		return rc;
	header.compression = compression;
	memcpy(header.magic, SHARD_BLOCK_MAGIC, sizeof header.magic);
	header.disk_bytes = (uint32_t)writer->disk.bytes;
	header.raw_bytes = (uint32_t)raw_bytes;
	header.payload_hash = XXH3_64bits(writer->disk.data + sizeof header, writer->disk.bytes - sizeof header);
	header.hash = XXH3_64bits(&header, offsetof(struct shard_block_disk, hash));
	memcpy(writer->disk.data, &header, sizeof header);
	rc = write_padded(writer, &writer->disk, err);
	if (rc != 0)
		return rc;
	entry.hash = header.hash;
	entry.disk_bytes = header.disk_bytes;
	entry.raw_bytes = header.raw_bytes;
	entry.record_count = header.record_count;
	entry.compression = header.compression;
	buffer_append(&writer->index_blocks, &entry, sizeof entry);
	writer->block_count++;
	writer->block_records = 0;
	writer->entries.bytes = 0;
	writer->images.bytes = 0;
	return 0;
}

static int record_append(
	struct shard_writer *writer, const struct shard_record_in *record, size_t key_bytes, struct error *err)
{
	struct shard_record_disk entry = {
		.hash = XXH3_64bits(record->data, record->bytes),
		.bytes = (uint32_t)record->bytes,
		.label = record->label,
		.width = (uint16_t)record->width,
		.height = (uint16_t)record->height,
		.codec = (uint8_t)record->codec,
		.key_bytes = (uint16_t)key_bytes,
	};
	size_t entry_bytes = sizeof entry + key_bytes;
	int rc = buffer_reserve(&writer->entries, writer->entries.bytes + entry_bytes, err);
	if (rc == 0)
		rc = buffer_reserve(&writer->index_records, writer->index_records.bytes + entry_bytes, err);
	if (rc == 0)
		rc = buffer_reserve(&writer->images, writer->images.bytes + record->bytes, err);
	if (rc != 0)
		return rc;
	buffer_append(&writer->entries, &entry, sizeof entry);
	buffer_append(&writer->entries, record->key, key_bytes);
	buffer_append(&writer->index_records, &entry, sizeof entry);
	buffer_append(&writer->index_records, record->key, key_bytes);
	buffer_append(&writer->images, record->data, record->bytes);
	writer->block_records++;
	writer->record_count++;
	return 0;
}

int shard_writer_add(struct shard_writer *writer, const struct shard_record_in *record, struct error *err)
{
	if (writer->failed.code != 0)
		return error_copy(err, &writer->failed);
	size_t key_bytes = record->key == NULL ? 0 : strlen(record->key);
	const char *fault = shard_record_fault(record->key, key_bytes, record->label, writer->header.class_count,
		record->width, record->height, (unsigned)record->codec, record->bytes);
	if (fault != NULL)
		return error_set(err, ERROR_USAGE, "cannot add '%.200s' to '%s': %s",
			record->key == NULL ? "" : record->key, writer->path, fault);
	if (writer->record_count == UINT32_MAX)
		return error_set(err, ERROR_USAGE, "'%s' is full with %u records: start another shard", writer->path,
			UINT32_MAX);
	size_t held = writer->entries.bytes + writer->images.bytes;
	size_t more = sizeof(struct shard_record_disk) + key_bytes + record->bytes;
	int rc = 0;
	if (writer->block_records > 0 && held + more > writer->block_bytes)
		rc = block_flush(writer, &writer->failed);
	if (rc == 0)
		rc = record_append(writer, record, key_bytes, &writer->failed);
	if (rc == 0 && writer->entries.bytes + writer->images.bytes >= writer->block_bytes)
		rc = block_flush(writer, &writer->failed);
	return rc == 0 ? 0 : error_copy(err, &writer->failed);
}

static int duplicates_refuse(const struct shard_writer *writer, struct error *err)
{
	struct shard_key *keys = calloc((size_t)writer->record_count + 1, sizeof *keys);
	const unsigned char *at = writer->index_records.data;
	if (keys == NULL)
		return error_set(
			err, ERROR_MEMORY, "out of memory: %u keys of '%s'", writer->record_count, writer->path);
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

/* The index, zeros, and the footer as the last 128 bytes of the last 4 KiB. */
static int write_back(struct shard_writer *writer, struct error *err)
{
	struct buffer *raw = &writer->index_blocks, *out = &writer->disk;
	struct shard_footer_disk footer = {
		.index_offset = atomic_file_offset(writer->file),
		.header_hash = writer->header.hash,
		.class_bytes = writer->header.class_bytes,
		.class_hash = writer->header.class_hash,
		.class_count = writer->header.class_count,
		.block_count = writer->block_count,
		.record_count = writer->record_count,
	};
	int rc = buffer_reserve(raw, raw->bytes + writer->index_records.bytes, err);
	if (rc != 0)
		return rc;
	buffer_append(raw, writer->index_records.data, writer->index_records.bytes);
	out->bytes = 0;
	uint32_t compression = SHARD_STORED;
	rc = pack(writer, raw, out, &compression, err);
	if (rc != 0)
		return rc;
	footer.index_compression = compression;
	memcpy(footer.magic, SHARD_FOOTER_MAGIC, sizeof footer.magic);
	footer.index_disk_bytes = out->bytes;
	footer.index_raw_bytes = raw->bytes;
	footer.index_hash = XXH3_64bits(out->data, out->bytes);
	size_t end = shard_align(out->bytes + sizeof footer);
	footer.file_bytes = footer.index_offset + end;
	footer.hash = XXH3_64bits(&footer, offsetof(struct shard_footer_disk, hash));
	rc = buffer_reserve(out, end, err);
	if (rc != 0)
		return rc;
	memset(out->data + out->bytes, 0, end - out->bytes);
	memcpy(out->data + end - sizeof footer, &footer, sizeof footer);
	return atomic_file_write(writer->file, out->data, end, err);
}

int shard_writer_finish(struct shard_writer *writer, struct error *err)
{
	int rc = writer->failed.code == 0 ? 0 : error_copy(err, &writer->failed);
	if (rc == 0 && writer->record_count == 0)
		rc = error_set(err, ERROR_USAGE, "cannot write '%s': no record was added, and a shard is never empty",
			writer->path);
	if (rc == 0)
		rc = duplicates_refuse(writer, err);
	if (rc == 0 && writer->block_records > 0)
		rc = block_flush(writer, err);
	if (rc == 0)
		rc = write_back(writer, err);
	if (rc == 0) {
		rc = atomic_file_commit(writer->file, err);
		writer->file = NULL;
	}
	writer_free(writer);
	return rc;
}

void shard_writer_abandon(struct shard_writer *writer)
{
	writer_free(writer);
}
