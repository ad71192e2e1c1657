/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/tar_stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>

enum { TAR_RECORD = 512, TAR_BLOCK = 20 * TAR_RECORD, WRITE_BYTES = 128 * TAR_RECORD };

struct tar_stream {
	struct archive *archive;
	struct archive_entry *entry;
	tar_stream_sink sink;
	void *ctx;
	struct error error; /* of the sink: libarchive hands on only that there was one */
	uint64_t bytes;
};

static la_ssize_t hand_on(struct archive *archive, void *ctx, const void *data, size_t bytes)
{
	struct tar_stream *tar = ctx;
	if (tar->sink(tar->ctx, data, bytes, &tar->error) == 0)
		return (la_ssize_t)bytes;
	archive_set_error(archive, EIO, "%s", tar->error.message);
	return -1;
}

static int tar_failed(struct tar_stream *tar, const char *what, struct error *err)
{
	if (tar->error.code != 0)
		return error_copy(err, &tar->error);
	const char *reason = archive_error_string(tar->archive);
	return error_set(
		err, ERROR_IO, "cannot write %.300s to a tar: %s", what, reason != NULL ? reason : "no reason");
}

struct tar_stream *tar_stream_create(tar_stream_sink sink, void *ctx, struct error *err)
{
	struct tar_stream *tar = calloc(1, sizeof(*tar));
	if (tar != NULL) {
		tar->sink = sink;
		tar->ctx = ctx;
		tar->archive = archive_write_new();
		tar->entry = archive_entry_new();
	}
	if (tar == NULL || tar->archive == NULL || tar->entry == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for a tar");
		tar_stream_abandon(tar);
		return NULL;
	}
	/* GNU's format, because in it names are bytes, whatever the locale; pax wants to know their character set. */
	if (archive_write_set_format_gnutar(tar->archive) != ARCHIVE_OK ||
		archive_write_set_bytes_per_block(tar->archive, WRITE_BYTES) != ARCHIVE_OK ||
		archive_write_set_bytes_in_last_block(tar->archive, TAR_BLOCK) != ARCHIVE_OK ||
		archive_write_open(tar->archive, tar, NULL, hand_on, NULL) != ARCHIVE_OK) {
		tar_failed(tar, "the beginning", err);
		tar_stream_abandon(tar);
		return NULL;
	}
	return tar;
}

int tar_stream_add(struct tar_stream *tar, const char *name, const void *data, size_t bytes, struct error *err)
{
	archive_entry_clear(tar->entry);
	archive_entry_set_pathname(tar->entry, name);
	archive_entry_set_filetype(tar->entry, AE_IFREG);
	archive_entry_set_perm(tar->entry, 0644);
	archive_entry_set_size(tar->entry, (la_int64_t)bytes);
	archive_entry_set_mtime(tar->entry, 0, 0);
	if (archive_write_header(tar->archive, tar->entry) != ARCHIVE_OK ||
		archive_write_data(tar->archive, data, bytes) != (la_ssize_t)bytes)
		return tar_failed(tar, name, err);
	tar->bytes += TAR_RECORD + (bytes + TAR_RECORD - 1) / TAR_RECORD * TAR_RECORD;
	return 0;
}

uint64_t tar_stream_bytes(const struct tar_stream *tar)
{
	return tar->bytes;
}

int tar_stream_end(struct tar_stream *tar, struct error *err)
{
	int rc = archive_write_close(tar->archive) == ARCHIVE_OK ? 0 : tar_failed(tar, "the end", err);
	tar_stream_abandon(tar);
	return rc;
}

void tar_stream_abandon(struct tar_stream *tar)
{
	if (tar == NULL)
		return;
	if (tar->archive != NULL) {
		archive_write_fail(tar->archive); /* so that freeing writes no end */
		archive_write_free(tar->archive);
	}
	archive_entry_free(tar->entry);
	free(tar);
}
