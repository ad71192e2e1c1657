/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking every byte of a shard, one block in memory at a time, and going on behind each damage.
 *
 * The parts are checked one by one: header, footer, class table, dictionary, index, blocks, and the zeros between them.
 * Where a part is lost the others still serve: the footer repeats what the header says of class table and dictionary;
 * without the dictionary the blocks that need it are checked by their hashes alone; without an index
 * (or a footer that tells where it is) the blocks are found by their own headers, 4 KiB by 4 KiB, and checked by their
 * own hashes.
 */
#include "io/shard_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

struct verifier {
	const char *path;
	int fd;
	uint64_t file_bytes;
	void (*report)(void *ctx, const char *line);
	void *ctx;
	int64_t damages;
	bool header_sound, footer_sound, index_sound;
	struct shard_footer_disk footer; /* when only the header is sound: what it repeats is filled from there */
	struct shard_index index;
	ZSTD_DCtx *dctx;
	ZSTD_DDict *dictionary;
	unsigned char *disk, *raw;
	size_t disk_capacity, raw_capacity;
};

__attribute__((format(printf, 2, 3))) static void damage(struct verifier *v, const char *format, ...)
{
	char line[1400];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	v->damages++;
	if (v->report != NULL)
		v->report(v->ctx, line);
}

/* Grows a scratch buffer. Sizes were bounded by the file's size before. */
static bool scratch(unsigned char **buffer, size_t *capacity, size_t bytes)
{
	if (bytes <= *capacity)
		return true;
	free(*buffer);
	*buffer = malloc(bytes);
	*capacity = *buffer == NULL ? 0 : bytes;
	return *buffer != NULL;
}

static bool zero(const unsigned char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

/* The zeros from `from` to `to`; `to - from` is below two pages. */
static void padding_check(struct verifier *v, uint64_t from, uint64_t to, const char *part)
{
	unsigned char bytes[2 * SHARD_BLOCK_ALIGN];
	struct error err = {0};
	if (to <= from)
		return;
	if (shard_pread(v->fd, v->path, bytes, (size_t)(to - from), from, &err) != 0)
		damage(v, "%s", err.message);
	else if (!zero(bytes, (size_t)(to - from)))
		damage(v, "'%s': the padding of %s is damaged: not zero (bytes %llu to %llu)", v->path, part,
			(unsigned long long)from, (unsigned long long)to - 1);
}

/*
 * Walks the record table of a decompressed block: sizes must add up, each image must have its hash, and, where the
 * index is at hand, each entry must be the index's.
 */
static void records_check(struct verifier *v, uint32_t block, uint32_t first, uint32_t count, size_t raw_bytes)
{
	size_t at = 0, image = 0;
	struct shard_record_disk entry;
	for (int pass = 0; pass < 2; pass++) { /* 0: find where the images begin; 1: check them */
		at = 0;
		for (uint32_t i = 0; i < count; i++) {
			if (raw_bytes - at < sizeof entry) {
				damage(v, "'%s': block %u: its record table ends in record %u", v->path, block,
					first + i);
				return;
			}
			memcpy(&entry, v->raw + at, sizeof entry);
			const char *key = (const char *)v->raw + at + sizeof entry;
			at += sizeof entry;
			if (entry.key_bytes > raw_bytes - at || (pass == 1 && entry.bytes > raw_bytes - image)) {
				damage(v, "'%s': block %u: record %u does not fit it", v->path, block, first + i);
				return;
			}
			at += entry.key_bytes;
			if (pass == 0)
				continue;
			if (XXH3_64bits(v->raw + image, entry.bytes) != entry.hash)
				damage(v, "'%s': record %u ('%.*s') in block %u is damaged: hash", v->path, first + i,
					(int)(entry.key_bytes > 200 ? 200 : entry.key_bytes), key, block);
			image += entry.bytes;
			if (!v->index_sound)
				continue;
			const struct shard_record *record = &v->index.records[first + i];
			if (record->hash != entry.hash || record->bytes != entry.bytes ||
				record->label != entry.label || record->width != entry.width ||
				record->height != entry.height || record->codec != entry.codec ||
				strlen(record->key) != entry.key_bytes ||
				memcmp(record->key, key, entry.key_bytes) != 0)
				damage(v, "'%s': record %u ('%.200s') differs between the index and block %u", v->path,
					first + i, record->key, block);
		}
		image = pass == 0 ? at : image;
	}
	if (image != raw_bytes)
		damage(v, "'%s': block %u has bytes behind its last record", v->path, block);
}

/* v->disk holds a block whose hashes are right. */
static void payload_check(
	struct verifier *v, uint32_t block, const struct shard_block_disk *header, uint32_t first_record)
{
	size_t payload_bytes = header->disk_bytes - sizeof *header;
	if (header->compression == SHARD_ZSTD_DICTIONARY &&
		(v->dictionary == NULL || header->dictionary_hash != v->footer.dictionary_hash)) {
		damage(v, "'%s': block %u (%u records from record %u) cannot be read: its dictionary is lost", v->path,
			block, header->record_count, first_record);
		return;
	}
	if (!scratch(&v->raw, &v->raw_capacity, header->raw_bytes)) {
		damage(v, "'%s': block %u cannot be checked: out of memory", v->path, block);
		return;
	}
	const char *fault = shard_expand(v->dctx, header->compression, v->dictionary, v->disk + sizeof *header,
		payload_bytes, v->raw, header->raw_bytes);
	if (fault != NULL)
		damage(v, "'%s': block %u (from record %u) is damaged: %s", v->path, block, first_record, fault);
	else
		records_check(v, block, first_record, header->record_count, header->raw_bytes);
}

static void block_padding_check(struct verifier *v, uint32_t block, size_t disk_bytes)
{
	if (!zero(v->disk + disk_bytes, shard_align(disk_bytes) - disk_bytes))
		damage(v, "'%s': the padding of block %u is damaged: not zero", v->path, block);
}

static void blocks_check_by_index(struct verifier *v)
{
	for (uint32_t b = 0; b < v->index.block_count; b++) {
		const struct shard_block *block = &v->index.blocks[b];
		size_t padded = shard_align(block->disk_bytes);
		struct error err = {0};
		if (!scratch(&v->disk, &v->disk_capacity, padded)) {
			damage(v, "'%s': block %u cannot be checked: out of memory", v->path, b);
			continue;
		}
		if (shard_pread(v->fd, v->path, v->disk, padded, block->offset, &err) != 0) {
			damage(v, "block %u: %s", b, err.message);
			continue;
		}
		if (shard_check_block(v->path, &v->index, b, v->disk, padded, true, &err) != 0) {
			damage(v, "%s", err.message);
		} else {
			struct shard_block_disk header;
			memcpy(&header, v->disk, sizeof header);
			payload_check(v, b, &header, block->first_record);
		}
		block_padding_check(v, b, block->disk_bytes);
	}
}

/* A block header that can be believed: its own hash is right and its sizes fit between `offset` and `end`. */
static bool block_header_read(struct verifier *v, uint64_t offset, uint64_t end, struct shard_block_disk *header)
{
	struct error err = {0};
	return shard_pread(v->fd, v->path, header, sizeof *header, offset, &err) == 0 &&
	       memcmp(header->magic, SHARD_BLOCK_MAGIC, sizeof header->magic) == 0 &&
	       header->hash == XXH3_64bits(header, offsetof(struct shard_block_disk, hash)) &&
	       header->disk_bytes > sizeof *header && shard_align(header->disk_bytes) <= end - offset &&
	       header->raw_bytes <= SHARD_MAX_RAW_BYTES &&
	       shard_sizes_fault(header->compression, true, header->disk_bytes - sizeof *header, header->raw_bytes) ==
		       NULL;
}

static void block_check_by_itself(struct verifier *v, uint64_t offset, const struct shard_block_disk *header)
{
	size_t padded = shard_align(header->disk_bytes);
	struct error err = {0};
	if (!scratch(&v->disk, &v->disk_capacity, padded)) {
		damage(v, "'%s': block %u cannot be checked: out of memory", v->path, header->number);
		return;
	}
	if (shard_pread(v->fd, v->path, v->disk, padded, offset, &err) != 0) {
		damage(v, "block %u: %s", header->number, err.message);
		return;
	}
	if (header->payload_hash != XXH3_64bits(v->disk + sizeof *header, header->disk_bytes - sizeof *header))
		damage(v, "'%s': block %u (%u records from record %u) is damaged: hash of its payload", v->path,
			header->number, header->record_count, header->first_record);
	else
		payload_check(v, header->number, header, header->first_record);
	block_padding_check(v, header->number, header->disk_bytes);
}

/* Without an index: from page to page. Where the footer is lost too, what no block header starts may be the index. */
static void blocks_check_by_walking(struct verifier *v)
{
	uint64_t at = SHARD_HEADER_BYTES;
	uint64_t end = v->footer_sound ? v->footer.index_offset : v->file_bytes / SHARD_BLOCK_ALIGN * SHARD_BLOCK_ALIGN;
	if (v->footer_sound || v->header_sound)
		at = shard_blocks_offset(&v->footer);
	uint64_t lost = 0; /* pages in a row that belong to no block */
	uint32_t number = 0;
	while (at + SHARD_BLOCK_ALIGN <= end) {
		struct shard_block_disk header;
		if (!block_header_read(v, at, end, &header)) {
			at += SHARD_BLOCK_ALIGN;
			lost++;
			continue;
		}
		if (header.number != number || (lost > 0 && (v->footer_sound || v->header_sound || number > 0)))
			damage(v, "'%s': block %u (%llu pages before byte %llu) is damaged or lost", v->path, number,
				(unsigned long long)lost, (unsigned long long)at);
		block_check_by_itself(v, at, &header);
		at += shard_align(header.disk_bytes);
		number = header.number + 1;
		lost = 0;
	}
	if (lost > 0 && v->footer_sound)
		damage(v, "'%s': block %u (%llu pages before byte %llu) is damaged or lost", v->path, number,
			(unsigned long long)lost, (unsigned long long)at);
}

static void keys_check(struct verifier *v)
{
	struct shard_key *keys = calloc(v->index.record_count, sizeof *keys);
	if (keys == NULL) {
		damage(v, "'%s': keys cannot be compared: out of memory", v->path);
		return;
	}
	for (uint32_t i = 0; i < v->index.record_count; i++)
		keys[i] = (struct shard_key){
			.key = v->index.records[i].key,
			.key_bytes = (uint32_t)strlen(v->index.records[i].key),
			.record = i,
		};
	const struct shard_key *twice = shard_duplicate_key(keys, v->index.record_count);
	if (twice != NULL)
		damage(v, "'%s': records %u and %u have the same key '%.200s'", v->path, twice[0].record,
			twice[1].record, twice->key);
	free(keys);
}

/* Header and footer. Negative: not a shard, or a newer one, so that nothing can be said about its bytes. */
static int ends_check(struct verifier *v, struct error *err)
{
	struct shard_header_disk header;
	struct error header_error = {0}, footer_error = {0};
	v->header_sound = shard_load_header(v->fd, v->path, v->file_bytes, &header, &header_error) == 0;
	v->footer_sound = shard_load_footer(v->fd, v->path, v->file_bytes, &v->footer, &footer_error) == 0;
	if (header_error.code == ERROR_VERSION || header_error.code == ERROR_IO ||
		(header_error.code == ERROR_FORMAT && !v->footer_sound))
		return error_copy(err, &header_error);
	if (!v->header_sound)
		damage(v, "header: %s", header_error.message);
	if (!v->footer_sound)
		damage(v, "footer: %s", footer_error.message);
	if (v->header_sound && v->footer_sound && !shard_ends_agree(&header, &v->footer))
		damage(v, "'%s': header and footer are not of one file", v->path);
	if (v->header_sound && !v->footer_sound) {
		shard_footer_repeat(&v->footer, &header);
		/* The same bounds as geometry_fault() holds for a footer. */
		if (header.class_count > SHARD_MAX_CLASSES || header.class_bytes > v->file_bytes ||
			header.class_bytes > (2 + SHARD_MAX_CLASS_NAME) * (uint64_t)header.class_count) {
			damage(v, "'%s': the header makes no sense (class table)", v->path);
			v->header_sound = false;
		}
	}
	return 0;
}

static void verify_parts(struct verifier *v)
{
	struct error err = {0};
	if (v->header_sound || v->footer_sound) {
		char **classes = NULL;
		uint64_t end = SHARD_HEADER_BYTES + v->footer.class_bytes;
		if (shard_load_classes(v->fd, v->path, &v->footer, &classes, &err) != 0)
			damage(v, "class table: %s", err.message);
		free(classes);
		padding_check(v, end, shard_align(end), "the class table");
		err = (struct error){0};
		if (shard_load_dictionary(v->fd, v->path, &v->footer, &v->dictionary, &err) != 0)
			damage(v, "dictionary: %s", err.message);
		end = shard_dictionary_offset(&v->footer) + v->footer.dictionary_bytes;
		padding_check(v, end, shard_align(end), "the dictionary");
	}
	if (v->footer_sound) {
		err = (struct error){0};
		v->index_sound = shard_load_index(v->fd, v->path, &v->footer, &v->index, &err) == 0;
		if (!v->index_sound)
			damage(v, "index: %s", err.message);
		padding_check(v, v->footer.index_offset + v->footer.index_disk_bytes,
			v->file_bytes - SHARD_FOOTER_BYTES, "the index");
	}
	if (v->index_sound) {
		keys_check(v);
		blocks_check_by_index(v);
	} else {
		blocks_check_by_walking(v);
	}
}

int64_t shard_verify(const char *path, void (*report)(void *ctx, const char *line), void *ctx, struct error *err)
{
	struct verifier v = {.path = path, .report = report, .ctx = ctx};
	struct stat status;
	int rc = 0;
	v.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (v.fd < 0 || fstat(v.fd, &status) != 0) {
		rc = error_set_errno(err, ERROR_IO, errno, "cannot open '%s'", path);
	} else if (!S_ISREG(status.st_mode)) {
		rc = error_set(err, ERROR_IO, "cannot open '%s': it is no regular file", path);
	} else if ((v.dctx = ZSTD_createDCtx()) == NULL) {
		rc = error_set(err, ERROR_MEMORY, "out of memory for '%s'", path);
	} else {
		v.file_bytes = (uint64_t)status.st_size;
		rc = ends_check(&v, err);
		if (rc == 0)
			verify_parts(&v);
	}
	if (v.fd >= 0)
		close(v.fd);
	ZSTD_freeDCtx(v.dctx);
	ZSTD_freeDDict(v.dictionary);
	shard_index_free(&v.index);
	free(v.disk);
	free(v.raw);
	return rc != 0 ? rc : v.damages;
}
