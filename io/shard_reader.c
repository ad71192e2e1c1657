/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open shard: the index in memory (about 40 bytes and the key for each record, 40 for each block), and a descriptor
 * that blocks are read from, with O_DIRECT where asked for and possible. shard_load.c fills it.
 */
#include "io/shard_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

struct shard {
	char *path;
	int fd;
	uint64_t file_bytes;
	char *origin;
	char **classes;
	uint32_t class_count;
	struct shard_index index;
	struct shard_fields fields;
	ZSTD_DDict *dictionary; /* read-only from here on, so that all unpackers share it */
	uint32_t dictionary_bytes;
	uint16_t version_minor;
	uint64_t fingerprint;
};

struct shard_unpacker {
	ZSTD_DCtx *dctx;
};

/* Some file systems accept the flag and refuse the read, so one block is read to be sure. */
static void direct_try(const struct shard *shard)
{
	int flags = fcntl(shard->fd, F_GETFL);
	void *page = aligned_alloc(SHARD_BLOCK_ALIGN, SHARD_BLOCK_ALIGN);
	int reason = page == NULL ? ENOMEM : 0;
	if (reason == 0 && fcntl(shard->fd, F_SETFL, flags | O_DIRECT) != 0)
		reason = errno;
	if (reason == 0 && pread(shard->fd, page, SHARD_BLOCK_ALIGN, 0) != SHARD_BLOCK_ALIGN) {
		reason = errno == 0 ? EIO : errno;
		fcntl(shard->fd, F_SETFL, flags);
	}
	if (reason != 0)
		fprintf(stderr, "ringclr: '%s' is read through the page cache: no O_DIRECT here (%s)\n", shard->path,
			strerror(reason));
	free(page);
}

static int shard_load(struct shard *shard, struct error *err)
{
	struct shard_header_disk header;
	struct shard_footer_disk footer;
	struct stat status;
	if (fstat(shard->fd, &status) != 0)
		return error_set_errno(err, ERROR_IO, errno, "cannot open '%s'", shard->path);
	if (!S_ISREG(status.st_mode))
		return error_set(err, ERROR_IO, "cannot open '%s': it is no regular file", shard->path);
	shard->file_bytes = (uint64_t)status.st_size;
	int rc = shard_load_header(shard->fd, shard->path, shard->file_bytes, &header, err);
	if (rc == 0)
		rc = shard_load_footer(shard->fd, shard->path, shard->file_bytes, &footer, err);
	if (rc != 0)
		return rc;
	if (!shard_ends_agree(&header, &footer))
		return error_set(err, ERROR_DAMAGED, "'%s': header and footer are not of one file", shard->path);
	rc = shard_load_classes(shard->fd, shard->path, &footer, &shard->classes, err);
	if (rc == 0)
		rc = shard_load_dictionary(shard->fd, shard->path, &footer, &shard->dictionary, err);
	if (rc == 0)
		rc = shard_load_fields(shard->fd, shard->path, &footer, &shard->fields, err);
	if (rc == 0)
		rc = shard_load_index(shard->fd, shard->path, &footer, &shard->index, err);
	if (rc != 0)
		return rc;
	shard->class_count = footer.class_count;
	shard->dictionary_bytes = footer.dictionary_bytes;
	shard->version_minor = header.version_minor;
	shard->origin =
		strndup((const char *)&header + offsetof(struct shard_header_disk, origin), header.origin_bytes);
	if (shard->origin == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory for '%s'", shard->path);
	uint64_t parts[2] = {footer.class_hash, shard->index.hash};
	shard->fingerprint = XXH3_64bits(parts, sizeof parts);
	return 0;
}

static unsigned long long open_files_limit(void)
{
	struct rlimit limit = {0};
	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

struct shard *shard_open(const char *path, bool direct, struct error *err)
{
	struct error own = {0};
	struct shard *shard = calloc(1, sizeof *shard);
	if (shard == NULL || (shard->path = strdup(path)) == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for '%s'", path);
		free(shard);
		return NULL;
	}
	/* O_NONBLOCK so that a named pipe is refused instead of waited for; it means nothing for a regular file. */
	shard->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (shard->fd < 0 && errno == EMFILE)
		error_set_errno(&own, ERROR_IO, errno,
			"cannot open '%s': a set has all its shards open, and 'ulimit -n' allows %llu files", path,
			open_files_limit());
	else if (shard->fd < 0)
		error_set_errno(&own, ERROR_IO, errno, "cannot open '%s'", path);
	else
		shard_load(shard, &own);
	if (own.code != 0) {
		error_copy(err, &own);
		shard_close(shard);
		return NULL;
	}
	if (direct)
		direct_try(shard);
	return shard;
}

void shard_close(struct shard *shard)
{
	if (shard == NULL)
		return;
	if (shard->fd >= 0)
		close(shard->fd);
	shard_index_free(&shard->index);
	ZSTD_freeDDict(shard->dictionary);
	free(shard->classes);
	free(shard->origin);
	free(shard->path);
	free(shard);
}

const char *shard_path(const struct shard *shard)
{
	return shard->path;
}

int shard_fd(const struct shard *shard)
{
	return shard->fd;
}

uint64_t shard_file_bytes(const struct shard *shard)
{
	return shard->file_bytes;
}

uint32_t shard_records(const struct shard *shard)
{
	return shard->index.record_count;
}

uint32_t shard_blocks(const struct shard *shard)
{
	return shard->index.block_count;
}

uint32_t shard_classes(const struct shard *shard)
{
	return shard->class_count;
}

const char *shard_class(const struct shard *shard, uint32_t label)
{
	return label < shard->class_count ? shard->classes[label] : NULL;
}

const char *shard_origin(const struct shard *shard)
{
	return shard->origin;
}

const struct shard_block *shard_block(const struct shard *shard, uint32_t block)
{
	return &shard->index.blocks[block];
}

const struct shard_record *shard_record(const struct shard *shard, uint32_t record)
{
	return &shard->index.records[record];
}

bool shard_same_classes(const struct shard *a, const struct shard *b)
{
	bool same = shard_classes(a) == shard_classes(b);
	for (uint32_t i = 0; same && i < shard_classes(a); i++)
		same = strcmp(shard_class(a, i), shard_class(b, i)) == 0;
	return same;
}

uint64_t shard_fingerprint(const struct shard *shard)
{
	return shard->fingerprint;
}

size_t shard_max_disk_bytes(const struct shard *shard)
{
	return (size_t)shard_align(shard->index.max_disk_bytes);
}

uint32_t shard_max_raw_bytes(const struct shard *shard)
{
	return shard->index.max_raw_bytes;
}

uint32_t shard_max_record_bytes(const struct shard *shard)
{
	return shard->index.max_record_bytes;
}

uint32_t shard_dictionary_bytes(const struct shard *shard)
{
	return shard->dictionary_bytes;
}

size_t shard_dictionary_memory(const struct shard *shard)
{
	return ZSTD_sizeof_DDict(shard->dictionary);
}

bool shard_has_meta(const struct shard *shard)
{
	return shard->fields.meta_id != 0;
}

const struct shard_fields *shard_fields(const struct shard *shard)
{
	return &shard->fields;
}

unsigned shard_version_minor(const struct shard *shard)
{
	return shard->version_minor;
}

int shard_read_block(const struct shard *shard, uint32_t block, void *memory, size_t *bytes, struct error *err)
{
	/* The file goes on behind every block: behind the last one lie index and footer. */
	*bytes = (size_t)shard_align(shard->index.blocks[block].disk_bytes);
	return shard_pread(shard->fd, shard->path, memory, *bytes, shard->index.blocks[block].offset, err);
}

struct shard_unpacker *shard_unpacker_create(struct error *err)
{
	struct shard_unpacker *unpacker = calloc(1, sizeof *unpacker);
	if (unpacker != NULL && (unpacker->dctx = ZSTD_createDCtx()) != NULL)
		return unpacker;
	free(unpacker);
	error_set(err, ERROR_MEMORY, "out of memory for a decompressor");
	return NULL;
}

void shard_unpacker_destroy(struct shard_unpacker *unpacker)
{
	if (unpacker == NULL)
		return;
	ZSTD_freeDCtx(unpacker->dctx);
	free(unpacker);
}

int shard_unpack(const struct shard *shard, uint32_t block, const void *disk, size_t disk_bytes,
	struct shard_unpacker *unpacker, void *raw, size_t raw_capacity, bool check_hash, struct error *err)
{
	if (block >= shard->index.block_count || raw_capacity < shard->index.blocks[block].raw_bytes)
		return error_set(err, ERROR_USAGE, "'%s': block %u of %u does not fit %zu bytes", shard->path, block,
			shard->index.block_count, raw_capacity);
	const struct shard_block *expected = &shard->index.blocks[block];
	int rc = shard_check_block(shard->path, &shard->index, block, disk, disk_bytes, check_hash, err);
	if (rc != 0)
		return rc;
	const char *fault = shard_expand(unpacker->dctx, expected->compression, shard->dictionary,
		(const unsigned char *)disk + SHARD_BLOCK_HEADER_BYTES, expected->disk_bytes - SHARD_BLOCK_HEADER_BYTES,
		raw, expected->raw_bytes);
	if (fault != NULL)
		return shard_damaged_block(shard->path, &shard->index, block, fault, err);
	return 0;
}
