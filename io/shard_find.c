/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding what nothing points to any more.
 *
 * A block begins at a page, with a magic and a hash of its header, so blocks are found by looking at every page that
 * belongs to none yet. An index has neither. But it begins at the page behind the last block, and its first entry says
 * where block 0 lies; each entry's size leads to the next block, and the chain ends exactly at the index. A page from
 * which such a chain can be read, agreeing with the hash of every block that was found, is the index. A dictionary
 * begins at a page with its magic, and the blocks that need it say its hash: its end is where the hash is right.
 */
#include "io/shard_find.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static bool block_header_sound(const struct shard_block_disk *header)
{
	return memcmp(header->magic, SHARD_BLOCK_MAGIC, sizeof header->magic) == 0 &&
	       header->hash == XXH3_64bits(header, offsetof(struct shard_block_disk, hash)) &&
	       header->disk_bytes > sizeof *header && header->record_count > 0 &&
	       header->raw_bytes <= SHARD_MAX_RAW_BYTES &&
	       shard_sizes_fault(header->compression, true, header->disk_bytes - sizeof *header, header->raw_bytes) ==
		       NULL;
}

static void copy_take(struct shard_find *find, uint64_t at)
{
	unsigned char *copy = shard_copy_read(find->fd, find->path, at, find->file_bytes, &find->dictionary_bytes);
	if (copy != NULL)
		memmove(copy, copy + SHARD_BLOCK_HEADER_BYTES, find->dictionary_bytes);
	find->dictionary = copy;
}

int shard_find_blocks(struct shard_find *find, uint64_t from, uint64_t to, struct error *err)
{
	uint32_t capacity = 0, next = 0;
	while (from < to && to - from > SHARD_BLOCK_HEADER_BYTES) {
		struct shard_block_disk header;
		int rc = shard_pread(find->fd, find->path, &header, sizeof header, from, err);
		if (rc != 0)
			return rc;
		if (memcmp(header.magic, SHARD_COPY_MAGIC, sizeof header.magic) == 0 && find->dictionary == NULL)
			copy_take(find, from);
		if (!block_header_sound(&header) || header.number < next) {
			from += SHARD_BLOCK_ALIGN;
			continue;
		}
		if (find->count == capacity) {
			capacity = capacity == 0 ? 64 : capacity * 2;
			struct shard_found_block *blocks = reallocarray(find->blocks, capacity, sizeof *find->blocks);
			if (blocks == NULL)
				return error_set(err, ERROR_MEMORY, "out of memory for the blocks of '%s'", find->path);
			find->blocks = blocks;
		}
		find->blocks[find->count++] = (struct shard_found_block){.offset = from, .header = header};
		next = header.number + 1;
		from += shard_align(header.disk_bytes);
	}
	return 0;
}

/* The index as bytes, malloc'd, if one could begin at `at`: a zstd frame, or what is there. NULL: none. */
static unsigned char *candidate_read(
	const struct shard_find *find, uint64_t at, size_t *raw_bytes, struct shard_footer_disk *footer)
{
	struct error ignored = {0};
	uint32_t magic = 0;
	uint64_t offset = 0;
	size_t bytes = (size_t)(find->file_bytes - at);
	if (bytes < sizeof(struct shard_index_block_disk) ||
		shard_pread(find->fd, find->path, &magic, sizeof magic, at, &ignored) != 0 ||
		shard_pread(find->fd, find->path, &offset, sizeof offset, at, &ignored) != 0)
		return NULL;
	bool stored = offset % SHARD_BLOCK_ALIGN == 0 && offset >= SHARD_HEADER_BYTES && offset < at;
	if (!stored && magic != ZSTD_MAGICNUMBER)
		return NULL;
	unsigned char *disk = malloc(bytes), *raw = NULL;
	if (disk == NULL || shard_pread(find->fd, find->path, disk, bytes, at, &ignored) != 0) {
		free(disk);
		return NULL;
	}
	footer->index_offset = at;
	if (stored) {
		footer->index_compression = SHARD_STORED;
		*raw_bytes = bytes;
		return disk;
	}
	size_t frame = ZSTD_findFrameCompressedSize(disk, bytes);
	unsigned long long content = ZSTD_getFrameContentSize(disk, bytes);
	ZSTD_DCtx *dctx = ZSTD_createDCtx();
	if (!ZSTD_isError(frame) && content < ZSTD_CONTENTSIZE_ERROR && dctx != NULL &&
		shard_sizes_fault(SHARD_ZSTD, false, frame, content) == NULL &&
		(raw = malloc((size_t)content)) != NULL &&
		shard_expand(dctx, SHARD_ZSTD, NULL, disk, frame, raw, (size_t)content) != NULL) {
		free(raw);
		raw = NULL;
	}
	footer->index_compression = SHARD_ZSTD;
	footer->index_disk_bytes = frame;
	footer->index_hash = raw == NULL ? 0 : XXH3_64bits(disk, frame);
	*raw_bytes = (size_t)content;
	ZSTD_freeDCtx(dctx);
	free(disk);
	return raw;
}

/* Follows the chain of block entries up to the index itself, through every block that was found. */
static bool chain_follows(const struct shard_find *find, const unsigned char *raw, size_t raw_bytes,
	struct shard_footer_disk *footer, uint64_t *first)
{
	uint64_t at = 0, records = 0;
	uint32_t count = 0, found = 0;
	struct shard_index_block_disk entry;
	do {
		if (raw_bytes / sizeof entry <= count)
			return false;
		memcpy(&entry, raw + count * sizeof entry, sizeof entry);
		if (count == 0)
			at = *first = entry.offset;
		/* A copy of the dictionary may lie before it, of a size that is not known here. */
		if (count > 0 && entry.offset > at && (entry.offset - at) % SHARD_BLOCK_ALIGN == 0 &&
			entry.offset - at <= shard_copy_bytes(SHARD_MAX_DICTIONARY))
			at = entry.offset;
		if (entry.offset != at || at < SHARD_HEADER_BYTES || at >= footer->index_offset ||
			entry.disk_bytes <= SHARD_BLOCK_HEADER_BYTES)
			return false;
		if (found < find->count && find->blocks[found].offset == at &&
			find->blocks[found++].header.hash != entry.hash)
			return false;
		at += shard_align(entry.disk_bytes);
		records += entry.record_count;
		count++;
	} while (at < footer->index_offset);
	if (at != footer->index_offset || found != find->count || records > UINT32_MAX)
		return false;
	size_t end = count * sizeof entry;
	for (uint64_t i = 0; i < records; i++) {
		struct shard_record_disk record;
		if (raw_bytes - end < sizeof record)
			return false;
		memcpy(&record, raw + end, sizeof record);
		end += sizeof record;
		if (raw_bytes - end < record.key_bytes)
			return false;
		end += record.key_bytes;
	}
	footer->block_count = count;
	footer->record_count = (uint32_t)records;
	footer->index_raw_bytes = end;
	return footer->index_compression == SHARD_STORED || end == raw_bytes;
}

bool shard_find_index(const struct shard_find *find, bool front, bool has_fields, struct shard_footer_disk *footer)
{
	if (find->count == 0)
		return false;
	const struct shard_found_block *last = &find->blocks[find->count - 1];
	for (uint64_t at = last->offset + shard_align(last->header.disk_bytes); at < find->file_bytes;
		at += SHARD_BLOCK_ALIGN) {
		struct shard_footer_disk tried = *footer;
		size_t raw_bytes = 0;
		uint64_t first = 0;
		unsigned char *raw = candidate_read(find, at, &raw_bytes, &tried);
		bool is = raw != NULL && chain_follows(find, raw, raw_bytes, &tried, &first);
		if (is && tried.index_compression == SHARD_STORED) {
			tried.index_disk_bytes = tried.index_raw_bytes;
			tried.index_hash = XXH3_64bits(raw, tried.index_raw_bytes);
		}
		free(raw);
		if (is && !front) { /* a page each for what may be there, and the rest for classes */
			uint64_t room = first - SHARD_HEADER_BYTES;
			tried.class_count = SHARD_MAX_CLASSES;
			tried.field_table_bytes = has_fields ? 1 : 0;
			tried.dictionary_bytes = find->dictionary_bytes;
			if (find->dictionary == NULL)
				tried.dictionary_bytes =
					room >= (has_fields ? 2 : 1) * (uint64_t)SHARD_BLOCK_ALIGN ? 1 : 0;
			tried.class_bytes =
				room - shard_align(tried.field_table_bytes) - shard_align(tried.dictionary_bytes);
		}
		if (is && shard_blocks_offset(&tried) == first) {
			*footer = tried;
			return true;
		}
	}
	return false;
}

/* The first bytes of `content` that have the hash; 0: none do. */
static size_t length_by_hash(const unsigned char *content, size_t bytes, uint64_t hash)
{
	XXH3_state_t *state = XXH3_createState();
	size_t length = 0;
	bool found = false;
	if (state == NULL)
		return 0;
	XXH3_64bits_reset(state);
	while (!found && length < bytes) {
		XXH3_64bits_update(state, content + length++, 1);
		found = XXH3_64bits_digest(state) == hash;
	}
	XXH3_freeState(state);
	return found ? length : 0;
}

unsigned char *shard_find_dictionary(const struct shard_find *find, uint64_t hash, size_t *bytes)
{
	if (find->count == 0)
		return NULL;
	if (find->dictionary != NULL && XXH3_64bits(find->dictionary, find->dictionary_bytes) == hash) {
		unsigned char *content = malloc(find->dictionary_bytes);
		if (content != NULL)
			memcpy(content, find->dictionary, find->dictionary_bytes);
		*bytes = find->dictionary_bytes;
		return content;
	}
	uint64_t end = find->blocks[0].offset;
	for (uint64_t at = SHARD_HEADER_BYTES; at < end; at += SHARD_BLOCK_ALIGN) {
		struct error ignored = {0};
		uint32_t magic = 0;
		size_t room = end - at < SHARD_MAX_DICTIONARY ? (size_t)(end - at) : SHARD_MAX_DICTIONARY;
		if (shard_pread(find->fd, find->path, &magic, sizeof magic, at, &ignored) != 0 ||
			magic != ZSTD_MAGIC_DICTIONARY)
			continue;
		unsigned char *content = malloc(room);
		if (content != NULL && shard_pread(find->fd, find->path, content, room, at, &ignored) == 0) {
			*bytes = length_by_hash(content, room, hash);
			if (*bytes > 0)
				return content;
		}
		free(content);
		return NULL;
	}
	return NULL;
}
