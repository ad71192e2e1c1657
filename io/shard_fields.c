/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields: what a shard says beyond key, label, size and image.
 *
 * A table before the blocks names them. A field of the file has its value there; one of records has an id there, and
 * its values stand behind each block's images: for every record a u32, and so many bytes of [id, size, value]. A reader
 * passes over fields that it does not know, unless the table calls one required: then it refuses the file by the
 * field's name.
 */
#include "io/shard_internal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { FIELD_IDS = 256, MIN_ENTRY = sizeof(struct shard_field_disk) + 1 };

struct field {
	struct shard_field_disk head;
	const char *name;
};

static bool name_is(const struct field *field, const char *name)
{
	return field->head.name_bytes == strlen(name) && memcmp(field->name, name, field->head.name_bytes) == 0;
}

/* The entry at *at, which moves behind it. NULL, or what is wrong. */
static const char *field_parse(const char *table, size_t bytes, size_t *at, struct field *field)
{
	if (bytes - *at < sizeof field->head)
		return "it ends in an entry";
	memcpy(&field->head, table + *at, sizeof field->head);
	*at += sizeof field->head;
	field->name = table + *at;
	if (field->head.name_bytes == 0 || field->head.name_bytes > SHARD_MAX_FIELD_NAME)
		return "a name is empty or longer than 255 bytes";
	if (field->head.name_bytes > bytes - *at || field->head.value_bytes > bytes - *at - field->head.name_bytes)
		return "it ends in an entry";
	if (memchr(field->name, '\0', field->head.name_bytes) != NULL)
		return "a name contains a zero byte";
	if ((field->head.id == 0) != ((field->head.flags & SHARD_FIELD_OF_FILE) != 0))
		return "fields of records have an id, and those of the file have none";
	*at += (size_t)field->head.name_bytes + field->head.value_bytes;
	return NULL;
}

/* names gets one element for each entry: bytes / MIN_ENTRY are there. */
static int table_parse(const char *path, const char *table, size_t bytes, struct shard_key *names,
	struct shard_fields *fields, struct error *err)
{
	const char *fault = NULL;
	size_t at = 0, count = 0;
	while (fault == NULL && at < bytes) {
		struct field field = {0};
		fault = field_parse(table, bytes, &at, &field);
		if (fault != NULL)
			break;
		bool of_file = (field.head.flags & SHARD_FIELD_OF_FILE) != 0;
		bool meta = !of_file && name_is(&field, SHARD_FIELD_META_NAME);
		if (!meta && (field.head.flags & SHARD_FIELD_REQUIRED) != 0)
			return error_set(err, ERROR_VERSION,
				"'%s' needs its field '%.*s' to be understood, and it is unknown here: use a newer "
				"ringclr",
				path, (int)field.head.name_bytes, field.name);
		names[count++] = (struct shard_key){.key = field.name, .key_bytes = field.head.name_bytes};
		if (meta)
			fields->meta_id = field.head.id;
		if (of_file)
			continue;
		if (fields->declared[field.head.id])
			fault = "an id stands there twice";
		fields->declared[field.head.id] = true;
	}
	if (fault == NULL && shard_duplicate_key(names, count) != NULL)
		fault = "a name stands there twice";
	if (fault != NULL)
		return error_set(err, ERROR_FORMAT, "'%s': the field table makes no sense: %s", path, fault);
	return 0;
}

int shard_load_fields(int fd, const char *path, const struct shard_footer_disk *footer, struct shard_fields *fields,
	struct error *err)
{
	static_assert(sizeof fields->declared == FIELD_IDS, "an id is one byte");
	memset(fields, 0, sizeof *fields);
	size_t bytes = footer->field_table_bytes;
	fields->there = bytes > 0;
	if (bytes == 0)
		return 0;
	char *table = malloc(bytes);
	struct shard_key *names = calloc(bytes / MIN_ENTRY + 1, sizeof *names);
	int rc = table == NULL || names == NULL
			 ? error_set(err, ERROR_MEMORY, "out of memory for the field table of '%s'", path)
			 : shard_pread(fd, path, table, bytes, shard_field_table_offset(footer), err);
	if (rc == 0 && XXH3_64bits(table, bytes) != footer->field_table_hash)
		rc = error_set(err, ERROR_DAMAGED, "'%s': the field table is damaged (hash)", path);
	if (rc == 0)
		rc = table_parse(path, table, bytes, names, fields, err);
	free(names);
	free(table);
	return rc;
}

const char *shard_record_fields(const struct shard_fields *fields, const unsigned char *raw, size_t raw_bytes,
	size_t *at, const char **meta, size_t *meta_bytes)
{
	uint32_t bytes = 0;
	bool seen[FIELD_IDS] = {false};
	*meta = NULL;
	*meta_bytes = 0;
	if (raw_bytes - *at < sizeof bytes)
		return "its fields are missing";
	memcpy(&bytes, raw + *at, sizeof bytes);
	*at += sizeof bytes;
	if (bytes > raw_bytes - *at)
		return "its fields do not fit the block";
	const size_t end = *at + bytes;
	while (*at < end) {
		struct shard_record_field_disk field;
		if (end - *at < sizeof field)
			return "its fields end inside one";
		memcpy(&field, raw + *at, sizeof field);
		*at += sizeof field;
		if (field.bytes > end - *at)
			return "its fields end inside one";
		if (!fields->declared[field.id])
			return "it has a field that the field table does not name";
		if (seen[field.id])
			return "it has a field twice";
		seen[field.id] = true;
		if (field.id == fields->meta_id) {
			if (field.bytes == 0 || field.bytes > SHARD_MAX_META)
				return "its metadata is empty or larger than 1 MiB";
			*meta = (const char *)raw + *at;
			*meta_bytes = field.bytes;
		}
		*at += field.bytes;
	}
	return NULL;
}
