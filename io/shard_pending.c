/* SPDX-License-Identifier: Apache-2.0 */
/* Records on their way into a block, in three buffers: record table, images, fields. A block's payload is a beginning
 * of each. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "io/shard_writer_internal.h"

int shard_buffer_reserve(struct shard_buffer *buffer, size_t bytes, struct error *err)
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

void shard_buffer_append(struct shard_buffer *buffer, const void *data, size_t bytes)
{
	memcpy(buffer->data + buffer->bytes, data, bytes);
	buffer->bytes += bytes;
}

/* Of a record in the field section. */
static size_t field_bytes(const struct shard_pending *pending, const struct shard_record_in *record)
{
	if (!pending->has_fields)
		return 0;
	return sizeof(uint32_t) +
	       (record->meta != NULL ? sizeof(struct shard_record_field_disk) + record->meta_bytes : 0);
}

static void field_append(struct shard_pending *pending, const struct shard_record_in *record)
{
	struct shard_record_field_disk field = {.id = SHARD_FIELD_META, .bytes = (uint32_t)record->meta_bytes};
	uint32_t bytes = (uint32_t)(field_bytes(pending, record) - sizeof bytes);
	shard_buffer_append(&pending->fields, &bytes, sizeof bytes);
	if (record->meta == NULL)
		return;
	shard_buffer_append(&pending->fields, &field, sizeof field);
	shard_buffer_append(&pending->fields, record->meta, record->meta_bytes);
}

int shard_pending_add(
	struct shard_pending *pending, const struct shard_record_in *record, size_t key_bytes, struct error *err)
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
	int rc = shard_buffer_reserve(&pending->entries, pending->entries.bytes + sizeof entry + key_bytes, err);
	if (rc == 0)
		rc = shard_buffer_reserve(&pending->images, pending->images.bytes + record->bytes, err);
	if (rc == 0)
		rc = shard_buffer_reserve(&pending->fields, pending->fields.bytes + field_bytes(pending, record), err);
	if (rc != 0)
		return rc;
	shard_buffer_append(&pending->entries, &entry, sizeof entry);
	shard_buffer_append(&pending->entries, record->key, key_bytes);
	shard_buffer_append(&pending->images, record->data, record->bytes);
	if (pending->has_fields)
		field_append(pending, record);
	pending->records++;
	return 0;
}

size_t shard_pending_bytes(const struct shard_pending *pending)
{
	return pending->entries.bytes + pending->images.bytes + pending->fields.bytes;
}

size_t shard_pending_more(const struct shard_pending *pending, const struct shard_record_in *record, size_t key_bytes)
{
	return sizeof(struct shard_record_disk) + key_bytes + record->bytes + field_bytes(pending, record);
}

struct shard_portion shard_portion_all(const struct shard_pending *pending)
{
	return (struct shard_portion){
		pending->records, pending->entries.bytes, pending->images.bytes, pending->fields.bytes};
}

size_t shard_portion_bytes(const struct shard_portion *portion)
{
	return portion->entries + portion->images + portion->fields;
}

struct shard_portion shard_portion_within(const struct shard_pending *pending, size_t bytes)
{
	struct shard_portion portion = {0};
	while (portion.records < pending->records) {
		struct shard_record_disk entry;
		uint32_t fields = 0;
		memcpy(&entry, pending->entries.data + portion.entries, sizeof entry);
		size_t table = sizeof entry + entry.key_bytes, field = 0;
		if (pending->has_fields) {
			memcpy(&fields, pending->fields.data + portion.fields, sizeof fields);
			field = sizeof fields + fields;
		}
		if (portion.records > 0 && shard_portion_bytes(&portion) + table + entry.bytes + field > bytes)
			break;
		portion.records++;
		portion.entries += table;
		portion.images += entry.bytes;
		portion.fields += field;
	}
	return portion;
}

static void drop(struct shard_buffer *buffer, size_t bytes)
{
	buffer->bytes -= bytes;
	if (buffer->bytes > 0)
		memmove(buffer->data, buffer->data + bytes, buffer->bytes);
}

void shard_pending_drop(struct shard_pending *pending, const struct shard_portion *portion)
{
	drop(&pending->entries, portion->entries);
	drop(&pending->images, portion->images);
	drop(&pending->fields, portion->fields);
	pending->records -= portion->records;
}

void shard_pending_free(struct shard_pending *pending)
{
	free(pending->entries.data);
	free(pending->images.data);
	free(pending->fields.data);
}
