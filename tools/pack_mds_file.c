/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compressed shard is one zstd stream, which is decompressed as it is read and from which nothing is kept: it takes
 * the memory of zstd's window (128 MiB at most), however large the shard is or claims to be.
 */
#include "tools/pack_mds_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "tools/pack.h"

enum { CHUNK_BYTES = 1 << 17 };

struct mds_file {
	char *path;
	int fd;
	uint64_t raw_bytes;
	ZSTD_DStream *stream; /* NULL: the file is raw */
	uint64_t position;    /* in the raw shard */
	ZSTD_inBuffer in;
	unsigned char in_data[CHUNK_BYTES], skipped[CHUNK_BYTES];
};

static char *join(const char *folder, const char *name)
{
	char *path = NULL;
	return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

bool mds_file_is_raw(const char *folder, const struct mds_shard *shard)
{
	char *path = join(folder, shard->raw_name);
	bool raw = path != NULL && access(path, F_OK) == 0;
	free(path);
	return raw;
}

static int open_stream(struct mds_file *file, const struct mds_shard *shard, struct error *err)
{
	if (shard->compression == NULL || strncmp(shard->compression, "zstd", 4) != 0)
		return error_set(err, ERROR_UNSUPPORTED,
			"%s: compressed with %.100s; only zstd is read. Decompress it to %.200s", file->path,
			shard->compression != NULL ? shard->compression : "something unknown", shard->raw_name);
	file->stream = ZSTD_createDStream();
	file->in.src = file->in_data;
	return file->stream != NULL ? 0 : pack_out_of_memory(err);
}

static int open_file(struct mds_file *file, const struct mds_shard *shard, bool raw, struct error *err)
{
	struct stat status;
	file->fd = open(file->path, O_RDONLY | O_CLOEXEC);
	if (file->fd < 0 || fstat(file->fd, &status) < 0)
		return error_set_errno(err, ERROR_IO, errno, "cannot read %s", file->path);
	if (!raw)
		return open_stream(file, shard, err);
	return (uint64_t)status.st_size == shard->raw_bytes
		       ? 0
		       : error_set(err, ERROR_DAMAGED, "%s: index.json says %" PRIu64 " bytes, but it has %lld",
				 file->path, shard->raw_bytes, (long long)status.st_size);
}

struct mds_file *mds_file_open(const char *folder, const struct mds_shard *shard, struct error *err)
{
	bool raw = shard->packed_name == NULL || mds_file_is_raw(folder, shard);
	struct mds_file *file = calloc(1, sizeof(*file));
	if (file != NULL) {
		file->fd = -1;
		file->raw_bytes = shard->raw_bytes;
		file->path = join(folder, raw ? shard->raw_name : shard->packed_name);
	}
	if (file == NULL || file->path == NULL)
		pack_out_of_memory(err);
	else if (open_file(file, shard, raw, err) == 0)
		return file;
	mds_file_close(file);
	return NULL;
}

void mds_file_close(struct mds_file *file)
{
	if (file == NULL)
		return;
	ZSTD_freeDStream(file->stream);
	if (file->fd >= 0)
		close(file->fd);
	free(file->path);
	free(file);
}

static int read_raw(struct mds_file *file, uint64_t offset, unsigned char *data, size_t bytes, struct error *err)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t got = pread(file->fd, data + done, bytes - done, (off_t)(offset + done));
		if (got == 0)
			return error_set(err, ERROR_IO, "%s became shorter while it was read", file->path);
		if (got < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_IO, errno, "cannot read %s", file->path);
		done += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

/* The next bytes of the raw shard, all of them. */
static int decompress(struct mds_file *file, unsigned char *data, size_t bytes, struct error *err)
{
	ZSTD_outBuffer out = {.dst = data, .size = bytes};
	while (out.pos < bytes) {
		if (file->in.pos == file->in.size) {
			ssize_t got = read(file->fd, file->in_data, CHUNK_BYTES);
			if (got < 0 && errno == EINTR)
				continue;
			if (got < 0)
				return error_set_errno(err, ERROR_IO, errno, "cannot read %s", file->path);
			file->in.size = (size_t)got;
			file->in.pos = 0;
		}
		size_t before = out.pos, end = file->in.size;
		size_t rc = ZSTD_decompressStream(file->stream, &out, &file->in);
		if (ZSTD_isError(rc))
			return error_set(err, ERROR_DAMAGED, "%s: %s", file->path, ZSTD_getErrorName(rc));
		if (end == 0 && out.pos == before)
			return error_set(err, ERROR_DAMAGED,
				"%s: ends %zu bytes too early, at %" PRIu64 " of %" PRIu64 " once decompressed",
				file->path, bytes - out.pos, file->position + out.pos, file->raw_bytes);
	}
	file->position += bytes;
	return 0;
}

int mds_file_read(struct mds_file *file, uint64_t offset, void *data, size_t bytes, struct error *err)
{
	if (offset > file->raw_bytes || bytes > file->raw_bytes - offset)
		return error_set(err, ERROR_DAMAGED,
			"%s: bytes %" PRIu64 " to %" PRIu64 " lie behind its end, %" PRIu64, file->path, offset,
			offset + bytes, file->raw_bytes);
	if (file->stream == NULL)
		return read_raw(file, offset, data, bytes, err);
	if (offset < file->position)
		return error_set(err, ERROR_DAMAGED, "%s: samples lie in another order than their numbers", file->path);
	while (file->position < offset) {
		uint64_t left = offset - file->position;
		int rc = decompress(file, file->skipped, left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES, err);
		if (rc < 0)
			return rc;
	}
	return decompress(file, data, bytes, err);
}
