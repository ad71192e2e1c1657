/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/pack_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/atomic_file.h"

size_t pack_file_head(const char *path, unsigned char head[PACK_HEAD_BYTES])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t bytes = read(fd, head, PACK_HEAD_BYTES);
	close(fd);
	return bytes < 0 ? 0 : (size_t)bytes;
}

int pack_file_label(const char *path, const char *key, struct pack_plan *plan, struct error *err)
{
	size_t bytes;
	char *text = atomic_file_read_all(path, PACK_MAX_LABEL_BYTES, &bytes, err);
	int rc = text != NULL ? pack_plan_add_label(plan, key, text, bytes, err) : err->code;
	free(text);
	return rc;
}

static int read_whole(int fd, unsigned char *data, size_t bytes, struct error *err)
{
	size_t done = 0;
	while (done < bytes) {
		ssize_t got = read(fd, data + done, bytes - done);
		if (got == 0)
			return error_set(err, ERROR_IO, "became shorter while it was read");
		if (got < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_IO, errno, "cannot read it");
		done += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

int pack_file_read(int at, const char *path, struct pack_contents *out, struct error *err)
{
	int fd = openat(at, path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	if (fd < 0 || fstat(fd, &status) < 0) {
		error_set_errno(err, ERROR_IO, errno, "cannot open it");
		if (fd >= 0)
			close(fd);
		return PACK_BAD;
	}
	int rc = 0;
	out->bytes = (size_t)status.st_size;
	if (out->bytes > PACK_MAX_FILE_BYTES)
		rc = error_set(
			err, ERROR_FORMAT, "%zu bytes; an image may have %d at most", out->bytes, PACK_MAX_FILE_BYTES);
	else if ((out->data = malloc(out->bytes + 1)) == NULL)
		rc = error_set(err, ERROR_MEMORY, "out of memory (%zu bytes)", out->bytes);
	else
		rc = read_whole(fd, out->data, out->bytes, err);
	close(fd);
	if (rc < 0) {
		free(out->data);
		out->data = NULL;
		return rc == ERROR_MEMORY ? rc : PACK_BAD;
	}
	return 0;
}
