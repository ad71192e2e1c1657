/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file has no name from the start (O_TMPFILE), or, where the file system cannot do that, loses it at once. Appended
 * bytes gather in a buffer of 64 KiB; larger pieces go straight to write(2). The first byte is a filler, so that place
 * 0 can mean "nothing".
 */
#include "tools/pack_spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BUFFER_BYTES = 64 << 10 };

struct pack_spill {
	int fd;
	char *folder;
	unsigned char *map;
	size_t mapped_bytes;
	uint64_t written; /* bytes in the file */
	size_t buffered;
	unsigned char buffer[BUFFER_BYTES];
};

static int spill_failed(const struct pack_spill *spill, const char *what, struct error *err)
{
	return error_set_errno(
		err, ERROR_IO, errno, "cannot %s a temporary file in the folder %s", what, spill->folder);
}

static int open_unnamed(const char *folder)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	char *name = NULL;
	if (asprintf(&name, "%s/.ringclr-spill-XXXXXX", folder) < 0)
		return -1;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	free(name);
	return fd;
}

struct pack_spill *pack_spill_create(const char *beside, struct error *err)
{
	struct pack_spill *spill = calloc(1, sizeof(*spill));
	const char *slash = strrchr(beside, '/');
	if (spill != NULL) {
		spill->fd = -1;
		spill->folder = slash == NULL ? strdup(".") : strndup(beside, (size_t)(slash - beside) + 1);
	}
	if (spill == NULL || spill->folder == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for a temporary file");
		free(spill);
		return NULL;
	}
	spill->fd = open_unnamed(spill->folder);
	if (spill->fd >= 0 && pack_spill_add(spill, "", 1, NULL, err) == 0)
		return spill;
	if (spill->fd < 0)
		spill_failed(spill, "make", err);
	pack_spill_destroy(spill);
	return NULL;
}

void pack_spill_destroy(struct pack_spill *spill)
{
	if (spill == NULL)
		return;
	if (spill->map != NULL)
		munmap(spill->map, spill->mapped_bytes);
	if (spill->fd >= 0)
		close(spill->fd);
	free(spill->folder);
	free(spill);
}

static int write_out(struct pack_spill *spill, const unsigned char *data, size_t bytes, struct error *err)
{
	while (bytes > 0) {
		ssize_t done = write(spill->fd, data, bytes);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return spill_failed(spill, "write", err);
		data += done;
		bytes -= (size_t)done;
		spill->written += (uint64_t)done;
	}
	return 0;
}

static int flush(struct pack_spill *spill, struct error *err)
{
	size_t bytes = spill->buffered;
	spill->buffered = 0;
	return write_out(spill, spill->buffer, bytes, err);
}

int pack_spill_add(struct pack_spill *spill, const void *data, size_t bytes, uint64_t *place, struct error *err)
{
	if (place != NULL)
		*place = spill->written + spill->buffered;
	if (bytes > BUFFER_BYTES - spill->buffered) {
		int rc = flush(spill, err);
		if (rc < 0)
			return rc;
	}
	if (bytes > BUFFER_BYTES)
		return write_out(spill, data, bytes, err);
	memcpy(spill->buffer + spill->buffered, data, bytes);
	spill->buffered += bytes;
	return 0;
}

int pack_spill_map(struct pack_spill *spill, struct error *err)
{
	int rc = flush(spill, err);
	if (rc < 0 || spill->mapped_bytes == spill->written)
		return rc;
	if (spill->map != NULL)
		munmap(spill->map, spill->mapped_bytes);
	spill->mapped_bytes = spill->written;
	void *map = mmap(NULL, spill->mapped_bytes, PROT_READ, MAP_SHARED, spill->fd, 0);
	spill->map = map == MAP_FAILED ? NULL : map;
	return map == MAP_FAILED ? spill_failed(spill, "map", err) : 0;
}

const void *pack_spill_at(const struct pack_spill *spill, uint64_t place)
{
	return spill->map + place;
}

int pack_spill_read(const struct pack_spill *spill, uint64_t place, void *data, size_t bytes, struct error *err)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t got = pread(spill->fd, (char *)data + done, bytes - done, (off_t)(place + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			errno = got == 0 ? EIO : errno;
			return spill_failed(spill, "read", err);
		}
		done += (size_t)got;
	}
	return 0;
}
