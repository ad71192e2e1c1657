/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/helper_made_shard.h"

#include <stdio.h>

#include "tests/hostile_shard.h"

void made_append(struct made_bytes *to, const void *data, size_t bytes)
{
	if (bytes > sizeof to->data - to->bytes)
		abort();
	memcpy(to->data + to->bytes, data, bytes);
	to->bytes += bytes;
}

void made_field(struct made_bytes *table, uint8_t id, uint8_t flags, const char *name, const char *value)
{
	struct shard_field_disk field = {
		.id = id, .flags = flags, .name_bytes = (uint16_t)strlen(name), .value_bytes = (uint32_t)strlen(value)};
	made_append(table, &field, sizeof field);
	made_append(table, name, strlen(name));
	made_append(table, value, strlen(value));
}

void made_record_field(struct made_bytes *fields, uint8_t id, const char *value)
{
	struct shard_record_field_disk field = {.id = id, .bytes = (uint32_t)strlen(value)};
	made_append(fields, &field, sizeof field);
	made_append(fields, value, strlen(value));
}

static void pad(struct made_bytes *file)
{
	while (file->bytes % SHARD_BLOCK_ALIGN != 0)
		made_append(file, "", 1);
}

static void record_append(uint32_t number, struct made_bytes *table, struct made_bytes *images)
{
	char key[20], image[20];
	snprintf(key, sizeof key, "key %u", number);
	snprintf(image, sizeof image, "img %u", number);
	struct shard_record_disk entry = {
		.hash = XXH3_64bits(image, strlen(image)),
		.bytes = (uint32_t)strlen(image),
		.label = (int32_t)(number % 2),
		.width = 4,
		.height = 3,
		.codec = SHARD_JPEG,
		.key_bytes = (uint16_t)strlen(key),
	};
	made_append(table, &entry, sizeof entry);
	made_append(table, key, strlen(key));
	made_append(images, image, strlen(image));
}

struct parts {
	struct made_bytes file, blocks, records, table, images; /* blocks, records: of the index */
};

static void block_append(struct parts *parts, const struct made_shard *made, uint32_t number)
{
	uint32_t first = number * made->block_records;
	uint32_t end = first + made->block_records < made->count ? first + made->block_records : made->count;
	parts->table.bytes = parts->images.bytes = 0;
	for (uint32_t i = first; i < end; i++)
		record_append(i, &parts->table, &parts->images);
	made_append(&parts->records, parts->table.data, parts->table.bytes);
	made_append(&parts->table, parts->images.data, parts->images.bytes);
	for (uint32_t i = first; i < end && made->table != NULL; i++) {
		uint32_t bytes = (uint32_t)made->fields[i].bytes;
		made_append(&parts->table, &bytes, sizeof bytes);
		made_append(&parts->table, made->fields[i].data, bytes);
	}
	struct shard_block_disk header = {
		.number = number,
		.disk_bytes = (uint32_t)(sizeof header + parts->table.bytes),
		.raw_bytes = (uint32_t)parts->table.bytes,
		.record_count = end - first,
		.first_record = first,
		.payload_hash = XXH3_64bits(parts->table.data, parts->table.bytes),
	};
	memcpy(header.magic, SHARD_BLOCK_MAGIC, sizeof header.magic);
	header.hash = XXH3_64bits(&header, offsetof(struct shard_block_disk, hash));
	struct shard_index_block_disk entry = {.offset = parts->file.bytes,
		.hash = header.hash,
		.disk_bytes = header.disk_bytes,
		.raw_bytes = header.raw_bytes,
		.record_count = header.record_count};
	made_append(&parts->blocks, &entry, sizeof entry);
	made_append(&parts->file, &header, sizeof header);
	made_append(&parts->file, parts->table.data, parts->table.bytes);
	pad(&parts->file);
}

static void footer_append(struct parts *parts, const struct made_shard *made, const struct shard_header_disk *header)
{
	struct made_bytes *file = &parts->file;
	struct shard_footer_disk footer = {
		.class_bytes = header->class_bytes,
		.class_count = header->class_count,
		.block_count = (uint32_t)(parts->blocks.bytes / sizeof(struct shard_index_block_disk)),
		.record_count = made->count,
		.index_offset = file->bytes,
		.index_disk_bytes = parts->blocks.bytes + parts->records.bytes,
		.index_raw_bytes = parts->blocks.bytes + parts->records.bytes,
		.field_table_bytes = made->table == NULL ? 0 : (uint32_t)made->table->bytes,
	};
	memcpy(footer.magic, SHARD_FOOTER_MAGIC, sizeof footer.magic);
	made_append(file, parts->blocks.data, parts->blocks.bytes);
	made_append(file, parts->records.data, parts->records.bytes);
	while (file->bytes % SHARD_BLOCK_ALIGN != SHARD_BLOCK_ALIGN - sizeof footer)
		made_append(file, "", 1);
	footer.file_bytes = file->bytes + sizeof footer;
	made_append(file, &footer, sizeof footer);
}

unsigned char *made_shard(const struct made_shard *made, size_t *bytes)
{
	struct parts *parts = calloc(1, sizeof *parts);
	struct shard_header_disk header = {.version_major = 1,
		.version_minor = made->table == NULL ? 0 : 2,
		.required_flags = made->table == NULL ? 0 : SHARD_NEEDS_FIELDS,
		.header_bytes = SHARD_HEADER_BYTES,
		.class_count = 2,
		.class_bytes = 2 * 5};
	if (parts == NULL)
		abort();
	memcpy(header.magic, SHARD_MAGIC, sizeof header.magic);
	if (made->table != NULL)
		header.field_table_bytes = (uint32_t)made->table->bytes;
	made_append(&parts->file, &header, sizeof header);
	if (made->origin != NULL) {
		memcpy(parts->file.data + offsetof(struct shard_header_disk, origin), made->origin,
			strlen(made->origin));
		uint32_t origin_bytes = (uint32_t)strlen(made->origin);
		memcpy(parts->file.data + offsetof(struct shard_header_disk, origin_bytes), &origin_bytes, 4);
	}
	made_append(&parts->file, "\3\0cat\3\0dog", 10);
	pad(&parts->file);
	if (made->table != NULL)
		made_append(&parts->file, made->table->data, made->table->bytes);
	pad(&parts->file);
	for (uint32_t first = 0; first < made->count; first += made->block_records)
		block_append(parts, made, first / made->block_records);
	footer_append(parts, made, &header);
	*bytes = parts->file.bytes;
	unsigned char *file = malloc(*bytes);
	if (file == NULL)
		abort();
	memcpy(file, parts->file.data, *bytes);
	shard_sign(file, *bytes);
	free(parts);
	return file;
}
