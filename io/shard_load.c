/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a shard's header, class table, dictionary, index and footer into memory, trusting no number. (shard_fields.c
 * reads the field table.)
 *
 * A file may be damaged, cut off or made to do harm. So each part is checked in this order: where it should lie (inside
 * the file, and adjoining the part before), its hash, its fields against each other, and only then is memory taken from
 * what it states: every count is bounded by bytes that are really there, and what zstd may make of them by
 * SHARD_MAX_RATIO.
 */
#include "io/shard_internal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

static int flags_check(const char *path, const struct shard_header_disk *header, struct error *err)
{
	if (header->version_major > SHARD_VERSION_MAJOR)
		return error_set(err, ERROR_VERSION,
			"'%s' has shard format %u.%u, this program reads up to %d.x: use a newer ringclr", path,
			header->version_major, header->version_minor, SHARD_VERSION_MAJOR);
	uint32_t unknown =
		header->required_flags & ~(uint32_t)(SHARD_NEEDS_DICTIONARY | SHARD_NEEDS_FIELDS | SHARD_NEEDS_COPIES);
	if (unknown != 0)
		return error_set(err, ERROR_VERSION,
			"'%s' needs format feature number %d (required flags 0x%x), unknown here: use a newer ringclr",
			path, __builtin_ctz(unknown), header->required_flags);
	return 0;
}

/* A dictionary has bytes exactly where the flag says that there is one, and a hash; without it there are no copies. */
static bool dictionary_fault(const struct shard_header_disk *header)
{
	bool there = (header->required_flags & SHARD_NEEDS_DICTIONARY) != 0;
	bool copies = (header->required_flags & SHARD_NEEDS_COPIES) != 0;
	return header->dictionary_bytes > SHARD_MAX_DICTIONARY || there != (header->dictionary_bytes > 0) ||
	       (copies && !there) || there != (header->dictionary_hash != 0);
}

/* Without the flag an origin may lie where the field table is described. */
static bool fields_fault(const struct shard_header_disk *header)
{
	if ((header->required_flags & SHARD_NEEDS_FIELDS) == 0)
		return header->origin_bytes > SHARD_ORIGIN_CAPACITY_OLD;
	return header->origin_bytes > SHARD_ORIGIN_CAPACITY || header->field_table_bytes == 0 ||
	       header->field_table_bytes > SHARD_MAX_FIELD_TABLE;
}

int shard_load_header(
	int fd, const char *path, uint64_t file_bytes, struct shard_header_disk *header, struct error *err)
{
	size_t there = file_bytes < sizeof *header ? (size_t)file_bytes : sizeof *header;
	memset(header, 0, sizeof *header);
	int rc = shard_pread(fd, path, header, there, 0, err);
	if (rc != 0)
		return rc;
	if (there == 0)
		return error_set(err, ERROR_FORMAT, "'%s' is empty, no shard", path);
	if (memcmp(header->magic, SHARD_MAGIC, there < 8 ? there : 8) != 0)
		return error_set(err, ERROR_FORMAT, "'%s' does not start like a shard (a .ring file)", path);
	if (there < sizeof *header)
		return error_set(err, ERROR_DAMAGED, "'%s' was cut off in its header: %llu of 4096 bytes", path,
			(unsigned long long)there);
	if (header->hash != XXH3_64bits(header, offsetof(struct shard_header_disk, hash)))
		return error_set(err, ERROR_DAMAGED, "'%s': the header is damaged (hash)", path);
	rc = flags_check(path, header, err);
	if (rc != 0)
		return rc;
	if (header->version_major == 0 || header->header_bytes != sizeof *header || dictionary_fault(header) ||
		fields_fault(header))
		return error_set(err, ERROR_FORMAT, "'%s': the header makes no sense", path);
	return 0;
}

/* The parts adjoin: class table, dictionary, field table, blocks, index, footer. */
static const char *geometry_fault(const struct shard_footer_disk *footer, uint64_t file_bytes)
{
	if (footer->class_count > SHARD_MAX_CLASSES || footer->class_bytes > file_bytes ||
		footer->class_bytes < 3 * (uint64_t)footer->class_count ||
		footer->class_bytes > (2 + SHARD_MAX_CLASS_NAME) * (uint64_t)footer->class_count)
		return "class table";
	if (footer->dictionary_bytes > SHARD_MAX_DICTIONARY ||
		(footer->dictionary_bytes > 0) != (footer->dictionary_hash != 0))
		return "dictionary";
	if (footer->field_table_bytes > SHARD_MAX_FIELD_TABLE ||
		(footer->field_table_bytes == 0 && footer->field_table_hash != 0))
		return "field table";
	uint64_t first = shard_blocks_offset(footer);
	if (footer->index_offset > file_bytes || footer->index_disk_bytes > file_bytes ||
		footer->index_offset < first + SHARD_BLOCK_ALIGN || footer->index_offset % SHARD_BLOCK_ALIGN != 0 ||
		footer->index_offset + shard_align(footer->index_disk_bytes + SHARD_FOOTER_BYTES) != file_bytes)
		return "place of the index";
	if (footer->block_count == 0 || footer->block_count > (footer->index_offset - first) / SHARD_BLOCK_ALIGN ||
		footer->record_count < footer->block_count)
		return "counts";
	uint64_t blocks = footer->block_count * (uint64_t)sizeof(struct shard_index_block_disk);
	uint64_t entry = sizeof(struct shard_record_disk);
	if (footer->index_raw_bytes < blocks + footer->record_count * (entry + 1) ||
		footer->index_raw_bytes > blocks + footer->record_count * (entry + SHARD_MAX_KEY))
		return "size of the index";
	return shard_sizes_fault(footer->index_compression, false, footer->index_disk_bytes, footer->index_raw_bytes);
}

int shard_load_footer(
	int fd, const char *path, uint64_t file_bytes, struct shard_footer_disk *footer, struct error *err)
{
	if (file_bytes < SHARD_HEADER_BYTES + 2 * SHARD_BLOCK_ALIGN || file_bytes % SHARD_BLOCK_ALIGN != 0)
		return error_set(err, ERROR_DAMAGED,
			"'%s' was cut off or is not complete: %llu bytes, not a multiple of 4096 from 12288", path,
			(unsigned long long)file_bytes);
	int rc = shard_pread(fd, path, footer, sizeof *footer, file_bytes - sizeof *footer, err);
	if (rc != 0)
		return rc;
	if (memcmp(footer->magic, SHARD_FOOTER_MAGIC, sizeof footer->magic) != 0)
		return error_set(err, ERROR_DAMAGED,
			"'%s': no footer at the end: the file was cut off, or its end is damaged", path);
	if (footer->hash != XXH3_64bits(footer, offsetof(struct shard_footer_disk, hash)))
		return error_set(err, ERROR_DAMAGED, "'%s': the footer is damaged (hash)", path);
	if (footer->file_bytes != file_bytes)
		return error_set(err, ERROR_DAMAGED, "'%s' has %llu bytes, its footer says %llu", path,
			(unsigned long long)file_bytes, (unsigned long long)footer->file_bytes);
	const char *fault = geometry_fault(footer, file_bytes);
	if (fault != NULL)
		return error_set(err, ERROR_FORMAT, "'%s': the footer makes no sense (%s)", path, fault);
	return 0;
}

/* Points names[] into the table, and ends each name with a zero: its place is the length's first byte of the next. */
static int classes_parse(char **names, uint32_t count, char *table, size_t bytes)
{
	size_t at = 0;
	for (uint32_t i = 0; i < count; i++) {
		uint16_t name_bytes = 0;
		if (bytes - at < sizeof name_bytes)
			return -1;
		memcpy(&name_bytes, table + at, sizeof name_bytes);
		table[at] = '\0';
		at += sizeof name_bytes;
		if (name_bytes == 0 || name_bytes > SHARD_MAX_CLASS_NAME || name_bytes > bytes - at ||
			memchr(table + at, '\0', name_bytes) != NULL)
			return -1;
		names[i] = table + at;
		at += name_bytes;
	}
	return at == bytes ? 0 : -1;
}

int shard_load_classes(
	int fd, const char *path, const struct shard_footer_disk *footer, char ***classes, struct error *err)
{
	size_t pointers = footer->class_count * sizeof(char *), bytes = (size_t)footer->class_bytes;
	char **names = calloc(1, pointers + bytes + 1);
	if (names == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for the class names of '%s'", path);
	char *table = (char *)names + pointers;
	int rc = shard_pread(fd, path, table, bytes, SHARD_HEADER_BYTES, err);
	if (rc == 0 && XXH3_64bits(table, bytes) != footer->class_hash)
		rc = error_set(err, ERROR_DAMAGED, "'%s': the class table is damaged (hash)", path);
	if (rc == 0 && classes_parse(names, footer->class_count, table, bytes) != 0)
		rc = error_set(err, ERROR_FORMAT, "'%s': the class table makes no sense", path);
	if (rc != 0) {
		free(names);
		return rc;
	}
	*classes = names;
	return 0;
}

int shard_load_dictionary(
	int fd, const char *path, const struct shard_footer_disk *footer, ZSTD_DDict **dictionary, struct error *err)
{
	*dictionary = NULL;
	size_t bytes = footer->dictionary_bytes;
	if (bytes == 0)
		return 0;
	unsigned char *content = malloc(bytes);
	int rc = content == NULL ? error_set(err, ERROR_MEMORY, "out of memory for the dictionary of '%s'", path)
				 : shard_pread(fd, path, content, bytes, shard_dictionary_offset(footer), err);
	if (rc == 0 && XXH3_64bits(content, bytes) != footer->dictionary_hash)
		rc = error_set(err, ERROR_DAMAGED, "'%s': the dictionary is damaged (hash)", path);
	/* Mere content would have no name that frames could state. */
	if (rc == 0 && (ZSTD_getDictID_fromDict(content, bytes) == 0 ||
			       (*dictionary = ZSTD_createDDict(content, bytes)) == NULL))
		rc = error_set(err, ERROR_FORMAT, "'%s': the dictionary makes no sense", path);
	free(content);
	return rc;
}

void shard_index_free(struct shard_index *index)
{
	free(index->blocks);
	free(index->block_hashes);
	free(index->records);
	free(index->keys);
	memset(index, 0, sizeof *index);
}

/* Reads and decompresses the index; malloc'd. */
static unsigned char *index_expand(int fd, const char *path, const struct shard_footer_disk *footer, struct error *err)
{
	size_t disk_bytes = (size_t)footer->index_disk_bytes, raw_bytes = (size_t)footer->index_raw_bytes;
	unsigned char *disk = malloc(disk_bytes), *raw = malloc(raw_bytes);
	ZSTD_DCtx *dctx = ZSTD_createDCtx();
	int rc = 0;
	if (disk == NULL || raw == NULL || dctx == NULL)
		rc = error_set(err, ERROR_MEMORY, "out of memory: %zu bytes for the index of '%s'", raw_bytes, path);
	if (rc == 0)
		rc = shard_pread(fd, path, disk, disk_bytes, footer->index_offset, err);
	if (rc == 0 && XXH3_64bits(disk, disk_bytes) != footer->index_hash)
		rc = error_set(err, ERROR_DAMAGED, "'%s': the index is damaged (hash)", path);
	if (rc == 0) {
		const char *fault =
			shard_expand(dctx, footer->index_compression, NULL, disk, disk_bytes, raw, raw_bytes);
		if (fault != NULL)
			rc = error_set(err, ERROR_DAMAGED, "'%s': the index is damaged (%s)", path, fault);
	}
	ZSTD_freeDCtx(dctx);
	free(disk);
	if (rc == 0)
		return raw;
	free(raw);
	return NULL;
}

static int index_blocks_parse(const char *path, const struct shard_footer_disk *footer, const unsigned char *raw,
	struct shard_index *index, struct error *err)
{
	uint64_t expected = shard_blocks_offset(footer), records = 0;
	for (uint32_t i = 0; i < footer->block_count; i++) {
		struct shard_index_block_disk entry;
		memcpy(&entry, raw + i * sizeof entry, sizeof entry);
		/* A copy of the dictionary may lie before it. */
		if (i > 0 && footer->dictionary_bytes > 0 && entry.offset != expected)
			expected += shard_copy_bytes(footer->dictionary_bytes);
		if (entry.offset != expected || entry.disk_bytes <= SHARD_BLOCK_HEADER_BYTES ||
			entry.disk_bytes > footer->index_offset - entry.offset)
			return error_set(err, ERROR_FORMAT, "'%s': the index puts block %u at a wrong place", path, i);
		const char *fault = shard_sizes_fault(entry.compression, footer->dictionary_bytes > 0,
			entry.disk_bytes - SHARD_BLOCK_HEADER_BYTES, entry.raw_bytes);
		if (fault == NULL && (entry.raw_bytes > SHARD_MAX_RAW_BYTES || entry.record_count == 0 ||
					     entry.record_count > footer->record_count - records))
			fault = "size or count";
		if (fault != NULL)
			return error_set(
				err, ERROR_FORMAT, "'%s': the index is wrong about block %u (%s)", path, i, fault);
		index->blocks[i] = (struct shard_block){
			.offset = entry.offset,
			.disk_bytes = entry.disk_bytes,
			.raw_bytes = entry.raw_bytes,
			.first_record = (uint32_t)records,
			.record_count = entry.record_count,
			.compression = (uint8_t)entry.compression,
		};
		index->block_hashes[i] = entry.hash;
		records += entry.record_count;
		expected = entry.offset + shard_align(entry.disk_bytes);
		if (entry.disk_bytes > index->max_disk_bytes)
			index->max_disk_bytes = entry.disk_bytes;
		if (entry.raw_bytes > index->max_raw_bytes)
			index->max_raw_bytes = entry.raw_bytes;
	}
	if (records != footer->record_count || expected != footer->index_offset)
		return error_set(err, ERROR_FORMAT, "'%s': the index's blocks do not add up", path);
	return 0;
}

/*
 * One record's entry at *at of the raw index. Its key moves to `key` in the same buffer, which lies before it, so that
 * the index needs no second buffer. image_at is the record's place among the images of its block.
 */
static const char *index_record_parse(const unsigned char **at, const unsigned char *end, uint32_t class_count,
	struct shard_record *record, char *key, size_t *key_bytes)
{
	struct shard_record_disk entry;
	if ((size_t)(end - *at) < sizeof entry)
		return "the index ends before it";
	memcpy(&entry, *at, sizeof entry);
	*at += sizeof entry;
	if ((size_t)(end - *at) < entry.key_bytes)
		return "the index ends in its key";
	const char *fault = shard_record_fault((const char *)*at, entry.key_bytes, entry.label, class_count,
		entry.width, entry.height, entry.codec, entry.bytes);
	if (fault != NULL)
		return fault;
	memmove(key, *at, entry.key_bytes);
	key[entry.key_bytes] = '\0';
	*at += entry.key_bytes;
	*key_bytes = entry.key_bytes;
	*record = (struct shard_record){
		.bytes = entry.bytes,
		.label = entry.label,
		.width = entry.width,
		.height = entry.height,
		.codec = entry.codec,
		.hash = entry.hash,
	};
	return NULL;
}

/* Entries of all records, in order. Offsets inside a block follow from the sizes: record table, then the images. */
static int index_records_parse(const char *path, const struct shard_footer_disk *footer, unsigned char *raw,
	struct shard_index *index, size_t *keys_bytes, struct error *err)
{
	const unsigned char *at = raw + footer->block_count * sizeof(struct shard_index_block_disk);
	const unsigned char *end = raw + footer->index_raw_bytes;
	size_t keys = 0;
	for (uint32_t b = 0; b < footer->block_count; b++) {
		const struct shard_block *block = &index->blocks[b];
		uint64_t table = 0, images = 0;
		for (uint32_t r = block->first_record; r < block->first_record + block->record_count; r++) {
			struct shard_record *record = &index->records[r];
			size_t key_bytes = 0;
			const char *fault = index_record_parse(
				&at, end, footer->class_count, record, (char *)raw + keys, &key_bytes);
			if (fault != NULL)
				return error_set(err, ERROR_FORMAT, "'%s': the index is wrong about record %u: %s",
					path, r, fault);
			record->block = b;
			record->offset = (uint32_t)images; /* the table's size is added below */
			images += record->bytes;
			keys += key_bytes + 1;
			table += sizeof(struct shard_record_disk) + key_bytes;
			if (record->bytes > index->max_record_bytes)
				index->max_record_bytes = record->bytes;
		}
		/* Behind the images stand at least the sizes of the records' fields. */
		uint64_t fields = footer->field_table_bytes == 0 ? 0 : sizeof(uint32_t) * (uint64_t)block->record_count;
		uint64_t filled = table + images + fields;
		if (footer->field_table_bytes == 0 ? filled != block->raw_bytes : filled > block->raw_bytes)
			return error_set(err, ERROR_FORMAT, "'%s': the index's records do not fill block %u", path, b);
		for (uint32_t r = 0; r < block->record_count; r++)
			index->records[block->first_record + r].offset += (uint32_t)table;
	}
	if (at != end)
		return error_set(err, ERROR_FORMAT, "'%s': the index has bytes behind its last record", path);
	*keys_bytes = keys;
	return 0;
}

int shard_load_index(
	int fd, const char *path, const struct shard_footer_disk *footer, struct shard_index *index, struct error *err)
{
	memset(index, 0, sizeof *index);
	unsigned char *raw = index_expand(fd, path, footer, err);
	if (raw == NULL)
		return err->code;
	index->hash = XXH3_64bits(raw, (size_t)footer->index_raw_bytes);
	index->block_count = footer->block_count;
	index->record_count = footer->record_count;
	index->keys = (char *)raw;
	index->blocks = calloc(footer->block_count, sizeof *index->blocks);
	index->block_hashes = calloc(footer->block_count, sizeof *index->block_hashes);
	index->records = calloc(footer->record_count, sizeof *index->records);
	size_t keys_bytes = 0;
	if (index->blocks == NULL || index->block_hashes == NULL || index->records == NULL) {
		shard_index_free(index);
		return error_set(err, ERROR_MEMORY, "out of memory for the index of '%s'", path);
	}
	int rc = index_blocks_parse(path, footer, raw, index, err);
	if (rc == 0)
		rc = index_records_parse(path, footer, raw, index, &keys_bytes, err);
	if (rc != 0) {
		shard_index_free(index);
		return rc;
	}
	char *keys = realloc(index->keys, keys_bytes + 1);
	if (keys != NULL)
		index->keys = keys;
	const char *key = index->keys;
	for (uint32_t r = 0; r < index->record_count; r++) {
		index->records[r].key = key;
		key += strlen(key) + 1;
	}
	return 0;
}

int shard_check_block(const char *path, const struct shard_index *index, uint32_t block, const void *disk,
	size_t disk_bytes, bool check_hash, struct error *err)
{
	const struct shard_block *expected = &index->blocks[block];
	struct shard_block_disk header;
	const char *fault = NULL;
	if (disk_bytes < expected->disk_bytes) {
		fault = "too few bytes were read";
	} else {
		memcpy(&header, disk, sizeof header);
		if (memcmp(header.magic, SHARD_BLOCK_MAGIC, sizeof header.magic) != 0)
			fault = "its header has no magic";
		else if (check_hash && header.hash != XXH3_64bits(&header, offsetof(struct shard_block_disk, hash)))
			fault = "hash of its header";
		else if (header.hash != index->block_hashes[block] || header.number != block ||
			 header.disk_bytes != expected->disk_bytes || header.raw_bytes != expected->raw_bytes ||
			 header.record_count != expected->record_count ||
			 header.first_record != expected->first_record || header.compression != expected->compression)
			fault = "it is not the block that the index names";
		else if (check_hash && header.payload_hash != XXH3_64bits((const unsigned char *)disk + sizeof header,
								      expected->disk_bytes - sizeof header))
			fault = "hash of its payload";
	}
	if (fault == NULL)
		return 0;
	return shard_damaged_block(path, index, block, fault, err);
}

int shard_damaged_block(
	const char *path, const struct shard_index *index, uint32_t block, const char *fault, struct error *err)
{
	uint32_t first = index->blocks[block].first_record, last = first + index->blocks[block].record_count - 1;
	return error_set(err, ERROR_DAMAGED, "'%s': block %u (records %u to %u, '%.200s' to '%.200s') is damaged: %s",
		path, block, first, last, index->records[first].key, index->records[last].key, fault);
}
