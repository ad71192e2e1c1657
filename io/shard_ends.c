/* SPDX-License-Identifier: Apache-2.0 */
/* What a shard's writer puts before its blocks (header, class table, dictionary, field table) and behind them (index,
 * footer). */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "io/shard_writer_internal.h"

static int append_padded(struct shard_buffer *out, const void *data, size_t bytes, struct error *err)
{
	size_t padded = shard_align(bytes);
	int rc = shard_buffer_reserve(out, out->bytes + padded, err);
	if (rc != 0 || bytes == 0)
		return rc;
	shard_buffer_append(out, data, bytes);
	memset(out->data + out->bytes, 0, padded - bytes);
	out->bytes += padded - bytes;
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

static int class_table_make(const struct shard_writer_config *config, struct shard_buffer *table, struct error *err)
{
	for (uint32_t i = 0; i < config->class_count; i++) {
		uint16_t bytes = (uint16_t)strlen(config->classes[i]);
		int rc = shard_buffer_reserve(table, table->bytes + sizeof bytes + bytes, err);
		if (rc != 0)
			return rc;
		shard_buffer_append(table, &bytes, sizeof bytes);
		shard_buffer_append(table, config->classes[i], bytes);
	}
	return 0;
}

/* The one field there is. */
static size_t field_table_make(unsigned char *table)
{
	static const char name[] = SHARD_FIELD_META_NAME, value[] = SHARD_FIELD_META_VALUE;
	struct shard_field_disk field = {
		.id = SHARD_FIELD_META, .name_bytes = sizeof name - 1, .value_bytes = sizeof value - 1};
	memcpy(table, &field, sizeof field);
	memcpy(table + sizeof field, name, sizeof name - 1);
	memcpy(table + sizeof field + sizeof name - 1, value, sizeof value - 1);
	return sizeof field + sizeof name - 1 + sizeof value - 1;
}

static void header_make(struct shard_writer *writer, const struct shard_writer_config *config,
	const struct shard_buffer *classes, const unsigned char *fields, size_t field_bytes)
{
	struct shard_header_disk *header = &writer->header;
	memcpy(header->magic, SHARD_MAGIC, sizeof header->magic);
	header->version_major = SHARD_VERSION_MAJOR;
	header->header_bytes = SHARD_HEADER_BYTES;
	header->block_bytes = (uint32_t)writer->block_bytes;
	header->class_count = config->class_count;
	header->class_bytes = classes->bytes;
	header->class_hash = XXH3_64bits(classes->data, classes->bytes);
	if (config->dictionary != NULL) {
		header->version_minor =
			config->single_dictionary ? SHARD_VERSION_MINOR_DICTIONARY : SHARD_VERSION_MINOR_COPIES;
		header->required_flags |= SHARD_NEEDS_DICTIONARY | (config->single_dictionary ? 0 : SHARD_NEEDS_COPIES);
		header->dictionary_bytes = (uint32_t)config->dictionary_bytes;
		header->dictionary_hash = XXH3_64bits(config->dictionary, config->dictionary_bytes);
	}
	if (field_bytes > 0) {
		header->version_minor = SHARD_VERSION_MINOR_FIELDS;
		header->required_flags |= SHARD_NEEDS_FIELDS;
		header->field_table_bytes = (uint32_t)field_bytes;
		header->field_table_hash = XXH3_64bits(fields, field_bytes);
	}
	if (config->origin != NULL)
		origin_set(header, config->origin);
	header->hash = XXH3_64bits(header, offsetof(struct shard_header_disk, hash));
}

int shard_front_make(struct shard_writer *writer, const struct shard_writer_config *config, struct error *err)
{
	struct shard_buffer classes = {0};
	unsigned char fields[64];
	size_t field_bytes = config->meta ? field_table_make(fields) : 0;
	int rc = class_table_make(config, &classes, err);
	if (rc == 0) {
		header_make(writer, config, &classes, fields, field_bytes);
		rc = append_padded(&writer->front, &writer->header, sizeof writer->header, err);
	}
	if (rc == 0)
		rc = append_padded(&writer->front, classes.data, classes.bytes, err);
	if (rc == 0 && config->dictionary != NULL)
		rc = append_padded(&writer->front, config->dictionary, config->dictionary_bytes, err);
	if (rc == 0)
		rc = append_padded(&writer->front, fields, field_bytes, err);
	free(classes.data);
	return rc;
}

int shard_front_read(
	const struct shard *shard, struct shard_writer_config *config, unsigned char **dictionary, struct error *err)
{
	struct shard_header_disk header;
	const char *path = shard_path(shard);
	*dictionary = NULL;
	int rc = shard_pread(shard_fd(shard), path, &header, sizeof header, 0, err);
	if (rc != 0)
		return rc;
	config->block_bytes = header.block_bytes;
	config->origin = shard_origin(shard);
	config->meta = (header.required_flags & SHARD_NEEDS_FIELDS) != 0;
	config->dictionary_bytes = header.dictionary_bytes;
	config->single_dictionary = (header.required_flags & SHARD_NEEDS_COPIES) == 0;
	if (header.dictionary_bytes == 0)
		return 0;
	*dictionary = malloc(header.dictionary_bytes);
	config->dictionary = *dictionary;
	if (*dictionary == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for the dictionary of '%s'", path);
	return shard_pread(shard_fd(shard), path, *dictionary, header.dictionary_bytes,
		SHARD_HEADER_BYTES + shard_align(header.class_bytes), err);
}

/* The two halves of the index as one zstd frame in `out`; false where that is not worthwhile or not possible. */
static bool index_compress(
	const struct shard_writer *writer, const unsigned char *records, size_t record_bytes, struct shard_buffer *out)
{
	const struct shard_buffer *blocks = &writer->index_blocks;
	size_t raw_bytes = blocks->bytes + record_bytes, left = 1;
	ZSTD_inBuffer first = {blocks->data, blocks->bytes, 0}, second = {records, record_bytes, 0};
	ZSTD_outBuffer to = {out->data, out->capacity, 0};
	ZSTD_CCtx *cctx = ZSTD_createCCtx(); /* not the writer's: the index can be read before the dictionary */
	if (cctx == NULL)
		return false;
	ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, writer->zstd_level);
	ZSTD_CCtx_setPledgedSrcSize(cctx, raw_bytes);
	while (first.pos < first.size && to.pos < to.size)
		if (ZSTD_isError(ZSTD_compressStream2(cctx, &to, &first, ZSTD_e_continue)))
			break;
	if (first.pos == first.size)
		left = ZSTD_compressStream2(cctx, &to, &second, ZSTD_e_end);
	ZSTD_freeCCtx(cctx);
	out->bytes = to.pos;
	return left == 0 && shard_worthwhile(SHARD_ZSTD, to.pos, raw_bytes);
}

/* Zeros, and the footer as the last 128 bytes of the last 4 KiB. */
static int footer_write(struct shard_writer *writer, struct shard_footer_disk *footer, struct error *err)
{
	static const unsigned char zeros[2 * SHARD_BLOCK_ALIGN];
	memcpy(footer->magic, SHARD_FOOTER_MAGIC, sizeof footer->magic);
	uint64_t end = shard_align(footer->index_disk_bytes + sizeof *footer);
	footer->file_bytes = footer->index_offset + end;
	footer->hash = XXH3_64bits(footer, offsetof(struct shard_footer_disk, hash));
	int rc = shard_writer_write(writer, zeros, (size_t)(end - footer->index_disk_bytes - sizeof *footer), err);
	return rc == 0 ? shard_writer_write(writer, footer, sizeof *footer, err) : rc;
}

int shard_back_write(struct shard_writer *writer, struct error *err)
{
	const struct shard_header_disk *header = &writer->header;
	struct shard_footer_disk footer = {
		.index_offset = writer->offset,
		.header_hash = header->hash,
		.class_bytes = header->class_bytes,
		.class_hash = header->class_hash,
		.class_count = header->class_count,
		.dictionary_bytes = header->dictionary_bytes,
		.dictionary_hash = header->dictionary_hash,
		.field_table_bytes = header->field_table_bytes,
		.field_table_hash = header->field_table_hash,
		.block_count = writer->block_count,
		.record_count = writer->record_count,
	};
	const struct shard_buffer *blocks = &writer->index_blocks;
	struct shard_buffer *out = &writer->disk;
	size_t record_bytes = (size_t)spill_bytes(writer->index_records);
	const unsigned char *records = spill_map(writer->index_records, err);
	if (records == NULL)
		return err->code;
	footer.index_raw_bytes = blocks->bytes + record_bytes;
	int rc = writer->zstd_level == 0 ? 0 : shard_buffer_reserve(out, footer.index_raw_bytes, err);
	if (rc != 0)
		return rc;
	if (writer->zstd_level != 0 && index_compress(writer, records, record_bytes, out)) {
		footer.index_compression = SHARD_ZSTD;
		footer.index_disk_bytes = out->bytes;
		footer.index_hash = XXH3_64bits(out->data, out->bytes);
		rc = shard_writer_write(writer, out->data, out->bytes, err);
	} else {
		XXH3_state_t *state = XXH3_createState();
		if (state == NULL)
			return error_set(err, ERROR_MEMORY, "out of memory for the index of '%s'", writer->path);
		XXH3_64bits_reset(state);
		XXH3_64bits_update(state, blocks->data, blocks->bytes);
		XXH3_64bits_update(state, records, record_bytes);
		footer.index_hash = XXH3_64bits_digest(state);
		XXH3_freeState(state);
		footer.index_compression = SHARD_STORED;
		footer.index_disk_bytes = footer.index_raw_bytes;
		rc = shard_writer_write(writer, blocks->data, blocks->bytes, err);
		if (rc == 0)
			rc = shard_writer_write(writer, records, record_bytes, err);
	}
	return rc == 0 ? footer_write(writer, &footer, err) : rc;
}
