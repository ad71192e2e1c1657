/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the shard format that its writer, reader and verifier must agree on. */
#include "io/shard_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

const char *shard_codec_name(enum shard_codec codec)
{
	static const char *const names[SHARD_CODECS] = {"raw", "jpeg", "webp", "png"};
	return (unsigned)codec < SHARD_CODECS ? names[codec] : "unknown";
}

const char *shard_record_fault(const char *key, size_t key_bytes, int64_t label, uint32_t class_count, uint64_t width,
	uint64_t height, unsigned codec, uint64_t bytes)
{
	if (key_bytes == 0)
		return "its key is empty";
	if (key_bytes > SHARD_MAX_KEY)
		return "its key is longer than 4095 bytes";
	if (memchr(key, '\0', key_bytes) != NULL)
		return "its key contains a zero byte";
	if (label < -1 || label >= (int64_t)class_count)
		return "its label is not -1 and names no class";
	if (width == 0 || height == 0 || width > SHARD_MAX_SIDE || height > SHARD_MAX_SIDE)
		return "its width and height must be 1 to 65535";
	if (codec >= SHARD_CODECS)
		return "its codec is unknown";
	if (bytes == 0)
		return "it has no bytes";
	if (bytes > SHARD_MAX_RAW_BYTES - sizeof(struct shard_record_disk) - key_bytes)
		return "it is larger than the 1 GiB that a block holds";
	if (codec == SHARD_RAW && bytes != 3 * width * height)
		return "a raw image has width x height x 3 bytes";
	return NULL;
}

void shard_footer_repeat(struct shard_footer_disk *footer, const struct shard_header_disk *header)
{
	bool fields = (header->required_flags & SHARD_NEEDS_FIELDS) != 0; /* else an origin may lie there */
	footer->header_hash = header->hash;
	footer->class_bytes = header->class_bytes;
	footer->class_hash = header->class_hash;
	footer->class_count = header->class_count;
	footer->dictionary_bytes = header->dictionary_bytes;
	footer->dictionary_hash = header->dictionary_hash;
	footer->field_table_bytes = fields ? header->field_table_bytes : 0;
	footer->field_table_hash = fields ? header->field_table_hash : 0;
}

bool shard_ends_agree(const struct shard_header_disk *header, const struct shard_footer_disk *footer)
{
	struct shard_footer_disk repeated = *footer;
	shard_footer_repeat(&repeated, header);
	return memcmp(&repeated, footer, sizeof repeated) == 0;
}

const char *shard_sizes_fault(uint32_t compression, bool dictionary, uint64_t disk_bytes, uint64_t raw_bytes)
{
	if (compression == SHARD_ZSTD_DICTIONARY && !dictionary)
		return "compressed with a dictionary, and there is none";
	if (compression != SHARD_STORED && compression != SHARD_ZSTD && compression != SHARD_ZSTD_DICTIONARY)
		return "unknown compression";
	if (disk_bytes == 0 || raw_bytes == 0)
		return "a size is zero";
	if (compression == SHARD_STORED && disk_bytes != raw_bytes)
		return "stored, but its sizes differ";
	if (raw_bytes > SHARD_RATIO_SLACK + SHARD_MAX_RATIO * disk_bytes)
		return "compressed further than the format allows";
	if (disk_bytes > raw_bytes + raw_bytes / SHARD_GROWTH_PART + SHARD_GROWTH_SLACK)
		return "larger than the format allows for what it holds";
	return NULL;
}

struct shard_block_disk shard_copy_header(uint32_t dictionary_bytes, uint64_t dictionary_hash)
{
	struct shard_block_disk header = {
		.disk_bytes = SHARD_BLOCK_HEADER_BYTES + dictionary_bytes,
		.raw_bytes = dictionary_bytes,
		.dictionary_hash = dictionary_hash,
		.payload_hash = dictionary_hash,
	};
	memcpy(header.magic, SHARD_COPY_MAGIC, sizeof header.magic);
	header.hash = XXH3_64bits(&header, offsetof(struct shard_block_disk, hash));
	return header;
}

bool shard_copy_header_sound(const struct shard_block_disk *header)
{
	if (header->raw_bytes == 0 || header->raw_bytes > SHARD_MAX_DICTIONARY)
		return false;
	struct shard_block_disk expected = shard_copy_header(header->raw_bytes, header->dictionary_hash);
	return memcmp(header, &expected, sizeof expected) == 0;
}

unsigned char *shard_copy_read(
	int fd, const char *path, uint64_t offset, uint64_t file_bytes, uint32_t *dictionary_bytes)
{
	struct shard_block_disk header;
	struct error ignored = {0};
	if (offset >= file_bytes || file_bytes - offset < sizeof header ||
		shard_pread(fd, path, &header, sizeof header, offset, &ignored) != 0 ||
		!shard_copy_header_sound(&header) || shard_copy_bytes(header.raw_bytes) > file_bytes - offset)
		return NULL;
	size_t bytes = (size_t)shard_copy_bytes(header.raw_bytes);
	unsigned char *copy = malloc(bytes);
	bool whole = copy != NULL && shard_pread(fd, path, copy, bytes, offset, &ignored) == 0 &&
		     XXH3_64bits(copy + sizeof header, header.raw_bytes) == header.payload_hash;
	for (size_t i = header.disk_bytes; whole && i < bytes; i++)
		whole = copy[i] == 0;
	if (!whole) {
		free(copy);
		return NULL;
	}
	*dictionary_bytes = header.raw_bytes;
	return copy;
}

bool shard_worthwhile(uint32_t compression, size_t disk_bytes, size_t raw_bytes)
{
	enum { WORTHWHILE_PERCENT = 97 };
	return disk_bytes <= raw_bytes / 100 * WORTHWHILE_PERCENT &&
	       shard_sizes_fault(compression, true, disk_bytes, raw_bytes) == NULL;
}

const char *shard_expand(ZSTD_DCtx *dctx, uint32_t compression, const ZSTD_DDict *dictionary, const void *disk,
	size_t disk_bytes, void *raw, size_t raw_bytes)
{
	if (compression == SHARD_STORED) {
		if (disk_bytes != raw_bytes)
			return "stored, but its sizes differ";
		memcpy(raw, disk, raw_bytes);
		return NULL;
	}
	/* Takes no memory. A frame names its dictionary, and zstd refuses another. */
	size_t got = compression == SHARD_ZSTD_DICTIONARY
			     ? ZSTD_decompress_usingDDict(dctx, raw, raw_bytes, disk, disk_bytes, dictionary)
			     : ZSTD_decompressDCtx(dctx, raw, raw_bytes, disk, disk_bytes);
	if (ZSTD_isError(got))
		return ZSTD_getErrorName(got);
	return got == raw_bytes ? NULL : "decompressed to fewer bytes than stated";
}

static int key_order(const void *a, const void *b)
{
	const struct shard_key *x = a, *y = b;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->key_bytes != y->key_bytes)
		return x->key_bytes < y->key_bytes ? -1 : 1;
	int order = memcmp(x->key, y->key, x->key_bytes);
	if (order != 0)
		return order;
	return x->record < y->record ? -1 : x->record > y->record;
}

const struct shard_key *shard_duplicate_key(struct shard_key *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		keys[i].hash = XXH3_64bits(keys[i].key, keys[i].key_bytes);
	qsort(keys, count, sizeof *keys, key_order);
	for (size_t i = 0; i + 1 < count; i++)
		if (keys[i].hash == keys[i + 1].hash && keys[i].key_bytes == keys[i + 1].key_bytes &&
			memcmp(keys[i].key, keys[i + 1].key, keys[i].key_bytes) == 0)
			return &keys[i];
	return NULL;
}

int shard_pread(int fd, const char *path, void *memory, size_t bytes, uint64_t offset, struct error *err)
{
	unsigned char *to = memory;
	while (bytes > 0) {
		ssize_t got = pread(fd, to, bytes, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, ERROR_IO, errno, "cannot read '%s' at byte %llu", path,
				(unsigned long long)offset);
		if (got == 0)
			return error_set(err, ERROR_DAMAGED, "'%s' ends at byte %llu, %zu bytes too early", path,
				(unsigned long long)offset, bytes);
		to += got;
		bytes -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}
