/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going on with a shard that was never finished: it has its front and some blocks, but neither index nor footer. Blocks
 * describe themselves, so each is read, checked as a reader would (hashes, sizes, records), and noted for the index.
 * The first that is not whole is where the writer goes on.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "io/shard_writer_internal.h"

struct walk {
	struct shard_writer *writer;
	int fd;
	uint64_t file_bytes;
	ZSTD_DCtx *dctx;
	ZSTD_DDict *dictionary;
	struct shard_buffer disk, raw;
};

static int walk_open(struct walk *walk, struct error *err)
{
	const struct shard_header_disk *header = &walk->writer->header;
	size_t dictionary_at = SHARD_HEADER_BYTES + shard_align(header->class_bytes);
	struct stat status;
	if (fstat(walk->fd, &status) != 0)
		return error_set(err, ERROR_IO, "cannot read the unfinished '%s'", walk->writer->path);
	walk->file_bytes = (uint64_t)status.st_size;
	walk->dctx = ZSTD_createDCtx();
	if (header->dictionary_bytes > 0)
		walk->dictionary = ZSTD_createDDict(walk->writer->front.data + dictionary_at, header->dictionary_bytes);
	if (walk->dctx == NULL || (header->dictionary_bytes > 0 && walk->dictionary == NULL))
		return error_set(err, ERROR_MEMORY, "out of memory for the unfinished '%s'", walk->writer->path);
	return 0;
}

static void walk_close(struct walk *walk)
{
	ZSTD_freeDCtx(walk->dctx);
	ZSTD_freeDDict(walk->dictionary);
	free(walk->disk.data);
	free(walk->raw.data);
}

/* 1: the file begins as this writer's do; 0: it is too short for that. */
static int front_compare(struct walk *walk, struct error *err)
{
	const struct shard_buffer *front = &walk->writer->front;
	if (walk->file_bytes < front->bytes)
		return 0;
	int rc = shard_buffer_reserve(&walk->raw, front->bytes, err);
	if (rc == 0)
		rc = shard_pread(walk->fd, walk->writer->path, walk->raw.data, front->bytes, 0, err);
	if (rc != 0)
		return rc;
	if (memcmp(walk->raw.data, front->data, front->bytes) != 0)
		return error_set(err, ERROR_MISMATCH,
			"the unfinished '%s' was begun with other classes or options: start anew", walk->writer->path);
	return 1;
}

/* The bytes of the record table at the beginning of the payload; 0 where it makes no sense. */
static size_t record_table_bytes(const struct walk *walk, const struct shard_block_disk *header)
{
	size_t at = 0;
	uint64_t images = 0;
	for (uint32_t i = 0; i < header->record_count; i++) {
		struct shard_record_disk entry;
		if (header->raw_bytes - at < sizeof entry)
			return 0;
		memcpy(&entry, walk->raw.data + at, sizeof entry);
		at += sizeof entry;
		if (header->raw_bytes - at < entry.key_bytes ||
			shard_record_fault((const char *)walk->raw.data + at, entry.key_bytes, entry.label,
				walk->writer->header.class_count, entry.width, entry.height, entry.codec,
				entry.bytes) != NULL)
			return 0;
		at += entry.key_bytes;
		images += entry.bytes;
	}
	bool fields = walk->writer->pending.has_fields;
	return images <= header->raw_bytes - at && (fields || images == header->raw_bytes - at) ? at : 0;
}

/* 1: walk->raw holds the payload of the next block; 0: there is no whole one. */
static int block_read(struct walk *walk, struct shard_block_disk *header, struct error *err)
{
	struct shard_writer *writer = walk->writer;
	if (walk->file_bytes < writer->offset + SHARD_BLOCK_ALIGN)
		return 0;
	int rc = shard_pread(walk->fd, writer->path, header, sizeof *header, writer->offset, err);
	if (rc != 0)
		return rc;
	if (memcmp(header->magic, SHARD_BLOCK_MAGIC, sizeof header->magic) != 0 ||
		header->hash != XXH3_64bits(header, offsetof(struct shard_block_disk, hash)) ||
		header->number != writer->block_count || header->first_record != writer->record_count ||
		header->record_count == 0 || header->disk_bytes <= sizeof *header ||
		header->raw_bytes > SHARD_MAX_RAW_BYTES ||
		shard_align(header->disk_bytes) > walk->file_bytes - writer->offset ||
		shard_sizes_fault(header->compression, walk->dictionary != NULL, header->disk_bytes - sizeof *header,
			header->raw_bytes) != NULL)
		return 0;
	size_t padded = shard_align(header->disk_bytes);
	rc = shard_buffer_reserve(&walk->disk, padded, err);
	if (rc == 0)
		rc = shard_buffer_reserve(&walk->raw, header->raw_bytes, err);
	if (rc == 0)
		rc = shard_pread(walk->fd, writer->path, walk->disk.data, padded, writer->offset, err);
	if (rc != 0)
		return rc;
	const unsigned char *payload = walk->disk.data + sizeof *header;
	size_t payload_bytes = header->disk_bytes - sizeof *header;
	for (size_t i = header->disk_bytes; i < padded; i++)
		if (walk->disk.data[i] != 0)
			return 0;
	return header->payload_hash == XXH3_64bits(payload, payload_bytes) &&
	       shard_expand(walk->dctx, header->compression, walk->dictionary, payload, payload_bytes, walk->raw.data,
		       header->raw_bytes) == NULL;
}

/* 1: there is no copy of the dictionary here, or a whole one, which is kept; 0: one should be, and is not whole. */
static int copy_keep(struct walk *walk)
{
	struct shard_writer *writer = walk->writer;
	uint32_t bytes = 0;
	if (writer->block_count == 0 || writer->offset < writer->next_copy)
		return 1;
	unsigned char *copy = shard_copy_read(walk->fd, writer->path, writer->offset, walk->file_bytes, &bytes);
	bool same = copy != NULL && bytes == writer->header.dictionary_bytes &&
		    XXH3_64bits(copy + SHARD_BLOCK_HEADER_BYTES, bytes) == writer->header.dictionary_hash;
	free(copy);
	if (!same)
		return 0;
	writer->next_copy = shard_copy_after(writer->offset);
	writer->offset += shard_copy_bytes(bytes);
	return 1;
}

/* 1: a block was kept; 0: none is left. */
static int block_keep(struct walk *walk, struct error *err)
{
	struct shard_writer *writer = walk->writer;
	struct shard_block_disk header;
	const uint64_t offset = writer->offset, next_copy = writer->next_copy;
	int rc = copy_keep(walk) == 1 ? block_read(walk, &header, err) : 0;
	size_t table = rc == 1 ? record_table_bytes(walk, &header) : 0;
	if (rc < 0 || table == 0) {
		/* A copy without the block behind it goes, too: whether the file is full was asked before it was
		 * written. */
		writer->offset = offset;
		writer->next_copy = next_copy;
		return rc < 0 ? rc : 0;
	}
	const struct shard_index_block_disk entry = {
		.offset = writer->offset,
		.hash = header.hash,
		.disk_bytes = header.disk_bytes,
		.raw_bytes = header.raw_bytes,
		.record_count = header.record_count,
		.compression = header.compression,
	};
	rc = shard_buffer_reserve(&writer->index_blocks, writer->index_blocks.bytes + sizeof entry, err);
	if (rc == 0)
		rc = spill_append(writer->index_records, walk->raw.data, table, NULL, err);
	if (rc != 0)
		return rc;
	shard_buffer_append(&writer->index_blocks, &entry, sizeof entry);
	writer->offset += shard_align(header.disk_bytes);
	writer->block_count++;
	writer->record_count += header.record_count;
	return 1;
}

int shard_writer_resume(struct shard_writer *writer, unsigned number, struct atomic_file *file, struct error *err)
{
	struct walk walk = {.writer = writer, .fd = atomic_file_fd(file)};
	writer->number = number;
	writer->file = file;
	writer->next_copy = shard_writer_first_copy(writer);
	int rc = walk_open(&walk, err), begun = 0;
	if (rc == 0)
		begun = rc = front_compare(&walk, err);
	writer->offset = begun == 1 ? writer->front.bytes : 0;
	while (rc == 1)
		rc = block_keep(&walk, err);
	walk_close(&walk);
	if (rc < 0)
		return rc;
	rc = atomic_file_cut(file, writer->offset, err);
	if (rc == 0 && begun == 0)
		rc = shard_writer_write(writer, writer->front.data, writer->front.bytes, err);
	return rc == 0 && shard_writer_full(writer) ? shard_writer_next_file(writer, err) : rc;
}
