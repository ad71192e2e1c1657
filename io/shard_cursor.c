/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records with their bytes, one call each. The block of the last call stays decompressed, so that a walk in the file's
 * order reads and decompresses every block once. Where the shard has fields, a block's field section is walked through
 * when the block is read, and each record's metadata is remembered by its place: fields have no index.
 */
#include "io/shard_internal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct metadata {
	const char *text; /* NULL: none */
	size_t bytes;
};

struct shard_cursor {
	const struct shard *shard;
	struct shard_unpacker *unpacker;
	unsigned char *disk, *raw; /* of the shard's largest block */
	struct metadata *meta;	   /* of each record of the block; NULL where the shard has no fields */
	int64_t block;		   /* in raw; -1: none */
};

static uint32_t most_records(const struct shard *shard)
{
	uint32_t most = 0;
	for (uint32_t b = 0; b < shard_blocks(shard); b++)
		if (shard_block(shard, b)->record_count > most)
			most = shard_block(shard, b)->record_count;
	return most;
}

struct shard_cursor *shard_cursor_create(const struct shard *shard, struct error *err)
{
	struct shard_cursor *cursor = calloc(1, sizeof *cursor);
	if (cursor != NULL) {
		cursor->shard = shard;
		cursor->block = -1;
		cursor->unpacker = shard_unpacker_create(err);
		cursor->disk = aligned_alloc(SHARD_BLOCK_ALIGN, shard_max_disk_bytes(shard));
		cursor->raw = malloc(shard_max_raw_bytes(shard));
		if (shard_fields(shard)->there)
			cursor->meta = calloc(most_records(shard), sizeof *cursor->meta);
	}
	if (cursor != NULL && cursor->unpacker != NULL && cursor->disk != NULL && cursor->raw != NULL &&
		(cursor->meta != NULL || !shard_fields(shard)->there))
		return cursor;
	shard_cursor_destroy(cursor);
	error_set(err, ERROR_MEMORY, "out of memory for a block of '%s'", shard_path(shard));
	return NULL;
}

void shard_cursor_destroy(struct shard_cursor *cursor)
{
	if (cursor == NULL)
		return;
	shard_unpacker_destroy(cursor->unpacker);
	free(cursor->disk);
	free(cursor->raw);
	free(cursor->meta);
	free(cursor);
}

static int record_damaged(const struct shard *shard, uint32_t record, const char *fault, struct error *err)
{
	error_set(err, ERROR_DAMAGED, "'%s': record %u ('%.200s') is damaged: %s", shard_path(shard), record,
		shard_record(shard, record)->key, fault);
	return ERROR_DAMAGED;
}

static int fields_walk(struct shard_cursor *cursor, const struct shard_block *block, struct error *err)
{
	const uint32_t last = block->first_record + block->record_count - 1;
	const struct shard_record *end = shard_record(cursor->shard, last);
	size_t at = (size_t)end->offset + end->bytes;
	for (uint32_t i = 0; i < block->record_count; i++) {
		const char *fault = shard_record_fields(shard_fields(cursor->shard), cursor->raw, block->raw_bytes, &at,
			&cursor->meta[i].text, &cursor->meta[i].bytes);
		if (fault != NULL)
			return record_damaged(cursor->shard, block->first_record + i, fault, err);
	}
	if (at != block->raw_bytes)
		return record_damaged(cursor->shard, last, "bytes behind the fields of its block", err);
	return 0;
}

static int block_load(struct shard_cursor *cursor, uint32_t number, struct error *err)
{
	const struct shard *shard = cursor->shard;
	const struct shard_block *block = shard_block(shard, number);
	size_t disk_bytes = 0;
	cursor->block = -1;
	int rc = shard_read_block(shard, number, cursor->disk, &disk_bytes, err);
	if (rc == 0)
		rc = shard_unpack(shard, number, cursor->disk, disk_bytes, cursor->unpacker, cursor->raw,
			block->raw_bytes, true, err);
	if (rc == 0 && cursor->meta != NULL)
		rc = fields_walk(cursor, block, err);
	if (rc == 0)
		cursor->block = number;
	return rc;
}

int shard_cursor_get(struct shard_cursor *cursor, uint32_t record, struct shard_record_in *out, struct error *err)
{
	const struct shard *shard = cursor->shard;
	if (record >= shard_records(shard)) {
		error_set(err, ERROR_USAGE, "'%s' has %u records, there is no record %u", shard_path(shard),
			shard_records(shard), record);
		return ERROR_USAGE;
	}
	const struct shard_record *entry = shard_record(shard, record);
	int rc = cursor->block == entry->block ? 0 : block_load(cursor, entry->block, err);
	if (rc != 0)
		return rc;
	const unsigned char *image = cursor->raw + entry->offset;
	if (XXH3_64bits(image, entry->bytes) != entry->hash)
		return record_damaged(shard, record, "hash", err);
	*out = (struct shard_record_in){
		.key = entry->key,
		.label = entry->label,
		.width = entry->width,
		.height = entry->height,
		.codec = (enum shard_codec)entry->codec,
		.data = image,
		.bytes = entry->bytes,
	};
	if (cursor->meta != NULL) {
		uint32_t local = record - shard_block(shard, entry->block)->first_record;
		out->meta = cursor->meta[local].text;
		out->meta_bytes = cursor->meta[local].bytes;
	}
	return 0;
}

int shard_read_record(
	const struct shard *shard, uint32_t record, unsigned char **data, size_t *bytes, struct error *err)
{
	struct shard_record_in found = {0};
	struct shard_cursor *cursor = shard_cursor_create(shard, err);
	int rc = cursor == NULL ? ERROR_MEMORY : shard_cursor_get(cursor, record, &found, err);
	if (rc == 0) {
		*data = malloc(found.bytes);
		if (*data == NULL)
			rc = error_set(
				err, ERROR_MEMORY, "out of memory for record %u of '%s'", record, shard_path(shard));
		else
			memcpy(*data, found.data, found.bytes);
		*bytes = found.bytes;
	}
	shard_cursor_destroy(cursor);
	return rc;
}
