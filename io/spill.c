/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A buffer that goes to the file when it is full. The whole file is mapped on the first read after an append; the
 * mapping is read-only and the file is written with write(2), so a full disk is an error of the append and never a
 * SIGBUS.
 */
#include "io/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct spill {
	char *folder;
	int fd;		       /* -1: nothing has left the buffer */
	uint64_t filed;	       /* bytes in the file */
	unsigned char *buffer; /* what comes behind them */
	size_t buffered, capacity;
	void *map;
	size_t mapped;
};

struct spill *spill_create(const char *folder, struct error *err)
{
	struct spill *spill = calloc(1, sizeof *spill);
	if (spill != NULL)
		spill->folder = strdup(*folder == '\0' ? "." : folder);
	if (spill == NULL || spill->folder == NULL) {
		free(spill);
		error_set(err, ERROR_MEMORY, "out of memory for a temporary file in '%s'", folder);
		return NULL;
	}
	spill->fd = -1;
	return spill;
}

static void unmap(struct spill *spill)
{
	if (spill->map != NULL)
		munmap(spill->map, spill->mapped);
	spill->map = NULL;
}

void spill_clear(struct spill *spill)
{
	unmap(spill);
	if (spill->fd >= 0)
		close(spill->fd);
	spill->fd = -1;
	spill->filed = 0;
	spill->buffered = 0;
}

void spill_destroy(struct spill *spill)
{
	if (spill == NULL)
		return;
	spill_clear(spill);
	free(spill->buffer);
	free(spill->folder);
	free(spill);
}

static int file_make(struct spill *spill, struct error *err)
{
	spill->fd = open(spill->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *name = NULL;
	/* Not every file system has files without a name. */
	if (spill->fd < 0 && asprintf(&name, "%s/ringclr-spill-XXXXXX", spill->folder) >= 0) {
		spill->fd = mkostemp(name, O_CLOEXEC);
		if (spill->fd >= 0)
			unlink(name);
		free(name);
	}
	if (spill->fd >= 0)
		return 0;
	return error_set_errno(err, ERROR_IO, errno, "cannot make a temporary file in '%s'", spill->folder);
}

/* Moves the buffer's contents to the file. */
static int flush(struct spill *spill, struct error *err)
{
	int rc = spill->fd < 0 ? file_make(spill, err) : 0;
	for (size_t at = 0; rc == 0 && at < spill->buffered;) {
		ssize_t written =
			pwrite(spill->fd, spill->buffer + at, spill->buffered - at, (off_t)(spill->filed + at));
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return error_set_errno(err, ERROR_IO, written < 0 ? errno : ENOSPC,
				"cannot write a temporary file in '%s'", spill->folder);
		at += (size_t)written;
	}
	if (rc == 0) {
		spill->filed += spill->buffered;
		spill->buffered = 0;
	}
	return rc;
}

static int reserve(struct spill *spill, size_t bytes, struct error *err)
{
	if (bytes <= spill->capacity)
		return 0;
	size_t capacity = spill->capacity * 2 > bytes ? spill->capacity * 2 : bytes;
	unsigned char *larger = realloc(spill->buffer, capacity);
	if (larger == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory: %zu bytes to be kept aside", capacity);
	spill->buffer = larger;
	spill->capacity = capacity;
	return 0;
}

int spill_append(struct spill *spill, const void *data, size_t bytes, uint64_t *place, struct error *err)
{
	int rc = 0;
	unmap(spill);
	if (spill->buffered > 0 && spill->buffered + bytes > SPILL_BUFFER_BYTES)
		rc = flush(spill, err);
	if (rc == 0)
		rc = reserve(spill, spill->buffered + bytes, err);
	if (rc != 0)
		return rc;
	if (place != NULL)
		*place = spill->filed + spill->buffered;
	if (bytes > 0)
		memcpy(spill->buffer + spill->buffered, data, bytes);
	spill->buffered += bytes;
	return 0;
}

uint64_t spill_bytes(const struct spill *spill)
{
	return spill->filed + spill->buffered;
}

const unsigned char *spill_map(struct spill *spill, struct error *err)
{
	static const unsigned char nothing[1];
	if (spill->fd < 0)
		return spill->buffered > 0 ? spill->buffer : nothing;
	if (spill->map != NULL)
		return spill->map;
	if (spill->buffered > 0 && flush(spill, err) != 0)
		return NULL;
	void *map = mmap(NULL, (size_t)spill->filed, PROT_READ, MAP_SHARED, spill->fd, 0);
	if (map == MAP_FAILED) {
		error_set_errno(err, ERROR_IO, errno, "cannot map a temporary file in '%s'", spill->folder);
		return NULL;
	}
	spill->map = map;
	spill->mapped = (size_t)spill->filed;
	return map;
}
