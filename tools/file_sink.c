/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/file_sink.h"

#include <stdlib.h>
#include <string.h>

#include "io/atomic_file.h"
#include "io/atomic_folder.h"
#include "tools/tar_stream.h"

struct file_sink {
	struct atomic_folder *folder; /* or: */
	struct atomic_file *file;
	struct tar_stream *tar;
};

static int to_file(void *ctx, const void *data, size_t bytes, struct error *err)
{
	return atomic_file_write(ctx, data, bytes, err);
}

struct file_sink *file_sink_create(const char *output, struct error *err)
{
	struct file_sink *sink = calloc(1, sizeof(*sink));
	if (sink == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", output);
		return NULL;
	}
	size_t bytes = strlen(output);
	if (bytes < 4 || strcmp(output + bytes - 4, ".tar") != 0) {
		sink->folder = atomic_folder_create(output, err);
	} else {
		sink->file = atomic_file_create(output, err);
		if (sink->file != NULL)
			sink->tar = tar_stream_create(to_file, sink->file, err);
	}
	if (sink->folder != NULL || sink->tar != NULL)
		return sink;
	file_sink_abandon(sink);
	return NULL;
}

int file_sink_add(struct file_sink *sink, const char *name, const void *data, size_t bytes, struct error *err)
{
	return sink->tar != NULL ? tar_stream_add(sink->tar, name, data, bytes, err)
				 : atomic_folder_add(sink->folder, name, data, bytes, err);
}

int file_sink_commit(struct file_sink *sink, struct error *err)
{
	int rc = 0;
	if (sink->tar != NULL) {
		rc = tar_stream_end(sink->tar, err);
		sink->tar = NULL;
		if (rc == 0)
			rc = atomic_file_commit(sink->file, err);
		else
			atomic_file_abandon(sink->file);
		sink->file = NULL;
	} else {
		rc = atomic_folder_commit(sink->folder, err);
		sink->folder = NULL;
	}
	free(sink);
	return rc;
}

void file_sink_abandon(struct file_sink *sink)
{
	if (sink == NULL)
		return;
	tar_stream_abandon(sink->tar);
	atomic_file_abandon(sink->file);
	atomic_folder_abandon(sink->folder);
	free(sink);
}
