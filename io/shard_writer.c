/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a shard, front to back, in one pass.
 *
 * Header, class table and dictionary go out first. Records gather in two buffers, entries (the record table) and
 * images, until a block is full; then [entries][images] is compressed as one piece, or stored where that gains less
 * than 3%, and written with its header, padded to 4 KiB. The entries are also kept, in memory, for the index: 24 bytes
 * and the key a record. finish() looks for duplicate keys, writes index and footer, and only then does the file get its
 * name.
 *
 * Small blocks pay for padding: on average half a page each. With fill_pages a full block gives its last records to the
 * next one, as many as it takes for it to end just below a page: the padding is then less than one compressed record.
 *
 * A dry writer does all this and writes nothing: shard_tune.c measures with it.
 */
#include "io/shard_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "io/atomic_file.h"

enum { DEFAULT_BLOCK_BYTES = 64 << 10, WORTHWHILE_PERCENT = 97, FILL_TRIES = 4, FILL_SLACK_SHARE = 32 };

struct buffer {
	unsigned char *data;
	size_t bytes, capacity;
};

struct shard_writer {
	char *path;
	struct atomic_file *file; /* NULL: dry */
	uint64_t offset;	  /* bytes written, or counted */
	struct shard_header_disk header;
	size_t block_bytes;
	bool fill_pages;
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
	if (config->dictionary != NULL &&
		(config->dictionary_bytes > SHARD_MAX_DICTIONARY ||
			ZSTD_getDictID_fromDict(config->dictionary, config->dictionary_bytes) == 0))
		return error_set(err, ERROR_USAGE, "cannot write '%s': %zu bytes that are no zstd dictionary",
			config->path, config->dictionary_bytes);
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

static int write_out(struct shard_writer *writer, const void *data, size_t bytes, struct error *err)
{
	writer->offset += bytes;
	return writer->file == NULL ? 0 : atomic_file_write(writer->file, data, bytes, err);
}

static int write_padded(struct shard_writer *writer, struct buffer *data, struct error *err)
{
	size_t padded = shard_align(data->bytes);
	int rc = buffer_reserve(data, padded, err);
	if (rc != 0)
		return rc;
	memset(data->data + data->bytes, 0, padded - data->bytes);
	return write_out(writer, data->data, padded, err);
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
	header->version_minor = config->dictionary == NULL ? 0 : SHARD_VERSION_MINOR;
	header->header_bytes = SHARD_HEADER_BYTES;
	header->block_bytes = (uint32_t)writer->block_bytes;
	header->class_count = config->class_count;
	header->class_bytes = table->bytes;
	header->class_hash = XXH3_64bits(table->data, table->bytes);
	if (config->dictionary != NULL) {
		header->required_flags = SHARD_NEEDS_DICTIONARY;
		header->dictionary_bytes = (uint32_t)config->dictionary_bytes;
		header->dictionary_hash = XXH3_64bits(config->dictionary, config->dictionary_bytes);
	}
	if (config->origin != NULL)
		origin_set(header, config->origin);
	header->hash = XXH3_64bits(header, offsetof(struct shard_header_disk, hash));
	int rc = write_out(writer, header, sizeof *header, err);
	if (rc == 0 && table->bytes > 0)
		rc = write_padded(writer, table, err);
	if (rc != 0 || config->dictionary == NULL)
		return rc;
	static const unsigned char zeros[SHARD_BLOCK_ALIGN];
	rc = write_out(writer, config->dictionary, config->dictionary_bytes, err);
	size_t padding = shard_align(config->dictionary_bytes) - config->dictionary_bytes;
	return rc == 0 ? write_out(writer, zeros, padding, err) : rc;
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

static struct shard_writer *writer_create(const struct shard_writer_config *config, bool dry, struct error *err)
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
	writer->path = strdup(config->path);
	if (writer->path == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", config->path);
	} else if (compressor_make(writer, config, err) == 0) {
		if (!dry)
			writer->file = atomic_file_create(config->path, err);
		if ((dry || writer->file != NULL) && write_front(writer, config, err) == 0)
			return writer;
	}
	writer_free(writer);
	return NULL;
}

struct shard_writer *shard_writer_create(const struct shard_writer_config *config, struct error *err)
{
	return writer_create(config, false, err);
}

struct shard_writer *shard_writer_create_dry(const struct shard_writer_config *config, struct error *err)
{
	return writer_create(config, true, err);
}

/*
 * Compresses `raw` behind the bytes already in `out`, as `how` says, or copies it there where that is not worthwhile.
 * Says which in *compression.
 */
static int pack(struct shard_writer *writer, const struct buffer *raw, uint32_t how, struct buffer *out,
	uint32_t *compression, struct error *err)
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
			shard_sizes_fault(how, true, packed, raw->bytes) == NULL) {
			out->bytes += packed;
			*compression = how;
			return 0;
		}
	}
	buffer_append(out, raw->data, raw->bytes);
	*compression = SHARD_STORED;
	return 0;
}

/* The first records of those gathered. */
struct portion {
	uint32_t records;
	size_t entries, images; /* bytes */
};

static struct portion portion_all(const struct shard_writer *writer)
{
	return (struct portion){writer->block_records, writer->entries.bytes, writer->images.bytes};
}

/* The largest portion of not more than so many bytes, but one record at least. */
static struct portion portion_within(const struct shard_writer *writer, size_t bytes)
{
	struct portion portion = {0};
	while (portion.records < writer->block_records) {
		struct shard_record_disk entry;
		memcpy(&entry, writer->entries.data + portion.entries, sizeof entry);
		size_t more = sizeof entry + entry.key_bytes;
		if (portion.records > 0 && portion.entries + portion.images + more + entry.bytes > bytes)
			break;
		portion.records++;
		portion.entries += more;
		portion.images += entry.bytes;
	}
	return portion;
}

/* Leaves header (still empty) and payload of the portion in writer->disk. */
static int portion_pack(
	struct shard_writer *writer, const struct portion *portion, uint32_t *compression, struct error *err)
{
	struct buffer *raw = &writer->raw;
	int rc = buffer_reserve(raw, portion->entries + portion->images, err);
	if (rc == 0)
		rc = buffer_reserve(&writer->disk, SHARD_BLOCK_HEADER_BYTES, err);
	if (rc != 0)
		return rc;
	raw->bytes = 0;
	memcpy(raw->data, writer->entries.data, portion->entries);
	memcpy(raw->data + portion->entries, writer->images.data, portion->images);
	raw->bytes = portion->entries + portion->images;
	writer->disk.bytes = SHARD_BLOCK_HEADER_BYTES;
	return pack(writer, raw, writer->header.dictionary_bytes > 0 ? SHARD_ZSTD_DICTIONARY : SHARD_ZSTD,
		&writer->disk, compression, err);
}

/*
 * Makes the portion smaller until it ends just below a page: first by the bytes that are too many, as its ratio so far
 * says, then by a little more with each try. Where no try fits, or the padding is little from the start, all is taken.
 */
static int portion_fill(struct shard_writer *writer, struct portion *portion, uint32_t *compression, struct error *err)
{
	const struct portion all = *portion;
	size_t disk = writer->disk.bytes, padded = shard_align(disk), raw_bytes = all.entries + all.images;
	if (padded - disk <= padded / FILL_SLACK_SHARE || padded == SHARD_BLOCK_ALIGN || all.records == 1)
		return 0;
	size_t target = padded - SHARD_BLOCK_ALIGN;
	double keep = (double)target / (double)disk;
	for (int i = 0; i < FILL_TRIES; i++) {
		*portion = portion_within(writer, (size_t)((double)raw_bytes * keep));
		int rc = portion_pack(writer, portion, compression, err);
		if (rc != 0 || writer->disk.bytes <= target)
			return rc;
		keep = keep * (double)target / (double)writer->disk.bytes - 0.005;
	}
	*portion = all;
	return portion_pack(writer, portion, compression, err);
}

static void portion_drop(struct shard_writer *writer, const struct portion *portion)
{
	struct buffer *entries = &writer->entries, *images = &writer->images;
	entries->bytes -= portion->entries;
	images->bytes -= portion->images;
	memmove(entries->data, entries->data + portion->entries, entries->bytes);
	memmove(images->data, images->data + portion->images, images->bytes);
	writer->block_records -= portion->records;
}

/* last: no more records will come, so that nothing can be left for the next block. */
static int block_flush(struct shard_writer *writer, bool last, struct error *err)
{
	struct portion portion = portion_all(writer);
	struct shard_block_disk header = {
		.number = writer->block_count,
		.first_record = writer->record_count - writer->block_records,
	};
	struct shard_index_block_disk entry = {.offset = writer->offset};
	int rc = buffer_reserve(&writer->index_blocks, writer->index_blocks.bytes + sizeof entry, err);
	uint32_t compression = SHARD_STORED;
	if (rc == 0)
		rc = portion_pack(writer, &portion, &compression, err);
	if (rc == 0 && writer->fill_pages && !last)
		rc = portion_fill(writer, &portion, &compression, err);
	if (rc != 0)
		return rc;
	header.record_count = portion.records;
	header.compression = compression;
	if (compression == SHARD_ZSTD_DICTIONARY)
		header.dictionary_hash = writer->header.dictionary_hash;
	memcpy(header.magic, SHARD_BLOCK_MAGIC, sizeof header.magic);
	header.disk_bytes = (uint32_t)writer->disk.bytes;
	header.raw_bytes = (uint32_t)(portion.entries + portion.images);
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
	portion_drop(writer, &portion);
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
	while (rc == 0 && writer->block_records > 0 && held + more > writer->block_bytes) {
		rc = block_flush(writer, false, &writer->failed);
		held = writer->entries.bytes + writer->images.bytes;
	}
	if (rc == 0)
		rc = record_append(writer, record, key_bytes, &writer->failed);
	if (rc == 0 && held + more >= writer->block_bytes)
		rc = block_flush(writer, false, &writer->failed);
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
		.index_offset = writer->offset,
		.header_hash = writer->header.hash,
		.class_bytes = writer->header.class_bytes,
		.class_hash = writer->header.class_hash,
		.class_count = writer->header.class_count,
		.dictionary_bytes = writer->header.dictionary_bytes,
		.dictionary_hash = writer->header.dictionary_hash,
		.block_count = writer->block_count,
		.record_count = writer->record_count,
	};
	int rc = buffer_reserve(raw, raw->bytes + writer->index_records.bytes, err);
	if (rc != 0)
		return rc;
	buffer_append(raw, writer->index_records.data, writer->index_records.bytes);
	out->bytes = 0;
	uint32_t compression = SHARD_STORED;
	ZSTD_CCtx_loadDictionary(writer->cctx, NULL, 0); /* the index can be read before it */
	rc = pack(writer, raw, SHARD_ZSTD, out, &compression, err);
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
	return write_out(writer, out->data, end, err);
}

int shard_writer_finish_dry(struct shard_writer *writer, uint64_t *bytes, struct error *err)
{
	int rc = writer->failed.code == 0 ? 0 : error_copy(err, &writer->failed);
	if (rc == 0 && writer->block_records > 0)
		rc = block_flush(writer, true, err);
	if (rc == 0)
		rc = write_back(writer, err);
	*bytes = writer->offset;
	writer_free(writer);
	return rc;
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
		rc = block_flush(writer, true, err);
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
