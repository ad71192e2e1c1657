/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that appears whole or not at all.
 *
 * The bytes go to "<path>.tmp-<pid>-<random>" in the same folder (a rename across file systems would copy, and a copy
 * can be cut in half). Commit does, in this order: fsync of the temporary, so that the bytes are on the disk before a
 * name says so; close, which is where network file systems report late write errors; rename, which replaces the old
 * file in one step; fsync of the folder, so that the rename itself survives a power cut. A program killed before the
 * rename leaves the old file and a stray temporary, never half a file.
 */
#include "io/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	NAME_KEPT = 200, /* bytes of the file's name kept in the temporary's, so that it stays under NAME_MAX */
	WRITE_BACK_BYTES = 16 << 20, /* the kernel starts writing that much to the disk while more comes */
};

struct atomic_file {
	char *path;
	char *temporary;
	char *folder;
	int fd;
	uint64_t offset;
	uint64_t written_back; /* up to where the kernel was told to write to the disk */
};

static void file_free(struct atomic_file *file)
{
	if (file == NULL)
		return;
	free(file->path);
	free(file->temporary);
	free(file->folder);
	free(file);
}

/* temporary: NULL for one of a name that nobody else has. */
static bool names_set(struct atomic_file *file, const char *path, const char *temporary, struct error *err)
{
	const char *slash = strrchr(path, '/');
	int folder_bytes = slash == NULL ? 0 : (int)(slash - path) + 1;
	const char *name = path + folder_bytes;
	uint32_t suffix = 0;
	if (*name == '\0') {
		error_set(err, ERROR_IO, "cannot write '%s': it names no file", path);
		return false;
	}
	if (getrandom(&suffix, sizeof suffix, 0) != (ssize_t)sizeof suffix) {
		error_set_errno(err, ERROR_SYSTEM, errno, "cannot write '%s': no random numbers", path);
		return false;
	}
	file->path = strdup(path);
	file->folder = folder_bytes == 0 ? strdup(".") : strndup(path, (size_t)folder_bytes);
	if (temporary != NULL)
		file->temporary = strdup(temporary);
	else if (asprintf(&file->temporary, "%.*s%.*s.tmp-%ld-%08x", folder_bytes, path, NAME_KEPT, name,
			 (long)getpid(), suffix) < 0)
		file->temporary = NULL;
	if (file->path != NULL && file->folder != NULL && file->temporary != NULL)
		return true;
	error_set(err, ERROR_MEMORY, "out of memory for the name '%s'", path);
	return false;
}

/* A rename would replace a device or fail late on a folder: refuse both before any work is done. */
static int target_check(const char *path, struct error *err)
{
	struct stat status;
	if (stat(path, &status) != 0)
		return 0;
	if (S_ISDIR(status.st_mode))
		return error_set(err, ERROR_IO, "cannot write '%s': it is a folder", path);
	if (!S_ISREG(status.st_mode))
		return error_set(err, ERROR_IO, "cannot write '%s': it is no regular file", path);
	return 0;
}

/* Whoever made a file private does not want its successor to be read by others. Where it cannot be done (a file system
 * without permissions) it does not matter either. */
void atomic_file_keep_mode_of(const char *path, const char *like)
{
	struct stat status;
	if (stat(like, &status) == 0)
		(void)chmod(path, (status.st_mode & 0777) | S_IRUSR | S_IWUSR);
}

static struct atomic_file *create(const char *path, const char *temporary, int flags, struct error *err)
{
	struct atomic_file *file = calloc(1, sizeof *file);
	if (file == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", path);
		return NULL;
	}
	file->fd = -1;
	if (target_check(path, err) != 0 || !names_set(file, path, temporary, err)) {
		file_free(file);
		return NULL;
	}
	file->fd = open(file->temporary, O_CREAT | O_CLOEXEC | flags, 0666);
	if (file->fd < 0) {
		error_set_errno(err, ERROR_IO, errno, "cannot write '%s': cannot create a file in the folder '%s'",
			path, file->folder);
		file_free(file);
		return NULL;
	}
	atomic_file_keep_mode_of(file->temporary, path);
	return file;
}

struct atomic_file *atomic_file_create(const char *path, struct error *err)
{
	return create(path, NULL, O_WRONLY | O_EXCL, err);
}

struct atomic_file *atomic_file_create_as(const char *path, const char *temporary, bool keep, struct error *err)
{
	return create(path, temporary, O_RDWR | O_NOFOLLOW | (keep ? 0 : O_TRUNC), err);
}

int atomic_file_fd(const struct atomic_file *file)
{
	return file->fd;
}

int atomic_file_cut(struct atomic_file *file, uint64_t bytes, struct error *err)
{
	if (ftruncate(file->fd, (off_t)bytes) != 0)
		return error_set_errno(err, ERROR_IO, errno, "cannot cut '%s' to %llu bytes", file->temporary,
			(unsigned long long)bytes);
	file->offset = bytes;
	return 0;
}

int atomic_file_write_at(struct atomic_file *file, uint64_t offset, const void *data, size_t bytes, struct error *err)
{
	const unsigned char *from = data;
	while (bytes > 0) {
		ssize_t written = pwrite(file->fd, from, bytes, (off_t)offset);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return error_set_errno(err, ERROR_IO, written < 0 ? errno : ENOSPC,
				"cannot write '%s' at byte %llu", file->path, (unsigned long long)offset);
		from += written;
		bytes -= (size_t)written;
		offset += (uint64_t)written;
	}
	return 0;
}

int atomic_file_write(struct atomic_file *file, const void *data, size_t bytes, struct error *err)
{
	int rc = atomic_file_write_at(file, file->offset, data, bytes, err);
	if (rc == 0)
		file->offset += bytes;
	/* Only a hint: what it cannot do, the sync at the end does. */
	if (rc == 0 && file->offset - file->written_back >= WRITE_BACK_BYTES) {
		sync_file_range(file->fd, (off_t)file->written_back, (off_t)(file->offset - file->written_back),
			SYNC_FILE_RANGE_WRITE);
		file->written_back = file->offset;
	}
	return rc;
}

/* Some file systems cannot sync a folder and say EINVAL: there the rename is as safe as it gets. */
static int folder_sync(const struct atomic_file *file, struct error *err)
{
	int fd = open(file->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;
	if (fd < 0)
		return errno == EACCES
			       ? 0 /* a folder may be written but not listed */
			       : error_set_errno(err, ERROR_IO, errno, "cannot open the folder '%s'", file->folder);
	if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
		rc = error_set_errno(err, ERROR_IO, errno,
			"'%s' is written, but the folder '%s' cannot be synced: a power cut may undo it", file->path,
			file->folder);
	close(fd);
	return rc;
}

int atomic_file_commit(struct atomic_file *file, struct error *err)
{
	int rc = 0;
	if (fsync(file->fd) != 0)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot write '%s': sync failed", file->path);
	int closed = close(file->fd);
	file->fd = -1;
	if (rc == 0 && closed != 0)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot write '%s': close failed", file->path);
	if (rc == 0 && rename(file->temporary, file->path) != 0)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot write '%s': rename failed", file->path);
	if (rc != 0) {
		unlink(file->temporary);
		file_free(file);
		return rc;
	}
	rc = folder_sync(file, err);
	file_free(file);
	return rc;
}

void atomic_file_leave(struct atomic_file *file)
{
	if (file == NULL)
		return;
	close(file->fd);
	file_free(file);
}

void atomic_file_abandon(struct atomic_file *file)
{
	if (file == NULL)
		return;
	if (file->fd >= 0)
		close(file->fd);
	unlink(file->temporary);
	file_free(file);
}

int atomic_file_replace(const char *path, const void *data, size_t bytes, struct error *err)
{
	struct atomic_file *file = atomic_file_create(path, err);
	if (file == NULL)
		return err == NULL ? ERROR_IO : err->code;
	int rc = atomic_file_write(file, data, bytes, err);
	if (rc != 0) {
		atomic_file_abandon(file);
		return rc;
	}
	return atomic_file_commit(file, err);
}

/* Reads fd to its end. The size from fstat is only a first guess: pipes and /proc report 0. */
static char *read_to_end(int fd, const char *path, size_t guess, size_t limit_bytes, size_t *bytes, struct error *err)
{
	size_t capacity = (guess < limit_bytes ? guess : limit_bytes) + 2, used = 0;
	char *memory = malloc(capacity);
	while (memory != NULL) {
		ssize_t got = read(fd, memory + used, capacity - used - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			error_set_errno(err, ERROR_IO, errno, "cannot read '%s' at byte %zu", path, used);
			free(memory);
			return NULL;
		}
		if (got == 0) {
			memory[used] = '\0';
			if (bytes)
				*bytes = used;
			return memory;
		}
		used += (size_t)got;
		if (used > limit_bytes) {
			error_set(
				err, ERROR_FORMAT, "'%s' is larger than the %zu bytes allowed here", path, limit_bytes);
			free(memory);
			return NULL;
		}
		if (used + 1 == capacity) {
			char *larger = realloc(memory, capacity * 2);
			if (larger == NULL)
				free(memory);
			memory = larger;
			capacity *= 2;
		}
	}
	error_set(err, ERROR_MEMORY, "out of memory for reading '%s'", path);
	return NULL;
}

char *atomic_file_read_all(const char *path, size_t limit_bytes, size_t *bytes, struct error *err)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) != 0) {
		error_set_errno(err, ERROR_IO, errno, "cannot open '%s'", path);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	size_t guess = status.st_size > 0 ? (size_t)status.st_size : 4096;
	char *memory = read_to_end(fd, path, guess, limit_bytes, bytes, err);
	close(fd);
	return memory;
}
