/* SPDX-License-Identifier: Apache-2.0 */
/* Shards that were made to do harm: shared by test_shard and fuzz_shard (which links no helper). */
#ifndef RINGCLR_TESTS_HOSTILE_SHARD_H
#define RINGCLR_TESTS_HOSTILE_SHARD_H

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "io/shard.h"
#include "io/shard_format.h"

static inline void blocks_sign(unsigned char *shard, size_t bytes, uint64_t dictionary_hash)
{
	for (size_t at = 0; at + SHARD_BLOCK_ALIGN <= bytes; at += SHARD_BLOCK_ALIGN) {
		struct shard_block_disk header;
		memcpy(&header, shard + at, sizeof header);
		if (memcmp(header.magic, SHARD_BLOCK_MAGIC, sizeof header.magic) != 0)
			continue;
		if (header.compression == SHARD_ZSTD_DICTIONARY)
			header.dictionary_hash = dictionary_hash;
		if (header.disk_bytes > sizeof header && header.disk_bytes <= bytes - at)
			header.payload_hash =
				XXH3_64bits(shard + at + sizeof header, header.disk_bytes - sizeof header);
		header.hash = XXH3_64bits(&header, offsetof(struct shard_block_disk, hash));
		memcpy(shard + at, &header, sizeof header);
	}
}

/* Computes every hash of a shard in memory anew, as far as the places it states lie inside: what an attacker does. */
static inline void shard_sign(unsigned char *shard, size_t bytes)
{
	struct shard_header_disk header;
	struct shard_footer_disk footer;
	if (bytes < sizeof header + sizeof footer)
		return;
	memcpy(&header, shard, sizeof header);
	memcpy(&footer, shard + bytes - sizeof footer, sizeof footer);
	if (header.class_bytes <= bytes - sizeof header)
		header.class_hash = XXH3_64bits(shard + sizeof header, (size_t)header.class_bytes);
	size_t dictionary_at = sizeof header + ((size_t)header.class_bytes + 4095) / 4096 * 4096;
	if (header.dictionary_bytes > 0 && header.class_bytes <= bytes && dictionary_at <= bytes &&
		header.dictionary_bytes <= bytes - dictionary_at)
		header.dictionary_hash = XXH3_64bits(shard + dictionary_at, header.dictionary_bytes);
	size_t fields_at = dictionary_at + ((size_t)header.dictionary_bytes + 4095) / 4096 * 4096;
	if ((header.required_flags & SHARD_NEEDS_FIELDS) != 0 && header.class_bytes <= bytes && fields_at <= bytes &&
		header.field_table_bytes <= bytes - fields_at)
		header.field_table_hash = XXH3_64bits(shard + fields_at, header.field_table_bytes);
	blocks_sign(shard, bytes, header.dictionary_hash);
	header.hash = XXH3_64bits(&header, offsetof(struct shard_header_disk, hash));
	footer.dictionary_hash = header.dictionary_hash;
	footer.class_hash = header.class_hash;
	if ((header.required_flags & SHARD_NEEDS_FIELDS) != 0)
		footer.field_table_hash = header.field_table_hash;
	footer.header_hash = header.hash;
	if (footer.index_offset <= bytes && footer.index_disk_bytes <= bytes - footer.index_offset)
		footer.index_hash = XXH3_64bits(shard + footer.index_offset, (size_t)footer.index_disk_bytes);
	footer.hash = XXH3_64bits(&footer, offsetof(struct shard_footer_disk, hash));
	memcpy(shard, &header, sizeof header);
	memcpy(shard + bytes - sizeof footer, &footer, sizeof footer);
}

/* What was read goes here, so that no compiler leaves the reading out. */
static volatile size_t hostile_sink;

/* Uses a shard in every way there is; nothing may crash. Returns the code of opening it. */
static inline int shard_exercise(const char *path)
{
	struct error err = {0};
	shard_verify(path, NULL, NULL, &err);
	err = (struct error){0};
	struct shard *shard = shard_open(path, false, &err);
	if (shard == NULL)
		return err.code;
	struct shard_cursor *cursor = shard_cursor_create(shard, &err);
	hostile_sink += strlen(shard_origin(shard));
	for (uint32_t i = 0; i < shard_classes(shard); i++)
		hostile_sink += strlen(shard_class(shard, i));
	for (uint32_t i = 0; i < shard_records(shard); i++) {
		struct shard_record_in record;
		unsigned char *data = NULL;
		size_t bytes = 0;
		err = (struct error){0};
		hostile_sink += strlen(shard_record(shard, i)->key);
		if (i < 3 && shard_read_record(shard, i, &data, &bytes, &err) == 0)
			hostile_sink += data[0] + data[bytes - 1];
		free(data);
		err = (struct error){0};
		if (i > 50 || cursor == NULL || shard_cursor_get(cursor, i, &record, &err) != 0)
			continue;
		for (size_t j = 0; j < record.bytes; j++)
			hostile_sink += ((const unsigned char *)record.data)[j];
		for (size_t j = 0; j < record.meta_bytes; j++)
			hostile_sink += (unsigned char)record.meta[j];
	}
	shard_cursor_destroy(cursor);
	shard_close(shard);
	return 0;
}

#endif
