/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder that appears whole or not at all.
 *
 * Files go to "<path>.partial", which is locked (flock) as long as it is written, and holds a file as a mark of whose
 * it is. One that is there already, marked and not locked, is what a killed run has left: it is emptied, but for the
 * mark, which goes last of all. What is not marked belongs to somebody else, and is left alone. At the end one syncfs()
 * puts all files on the disk (an fsync for each would take a disk's time for each), and rename(2) gives the folder its
 * name; it refuses where a folder with something in it has come there meanwhile.
 *
 * No name leads outside. Names are checked (atomic_folder_fault), and folders are entered one component after the other
 * by openat(2) with O_NOFOLLOW, so that a symbolic link that somebody plants meanwhile is an error and no way. Files
 * are made with O_EXCL, which follows no link either.
 */
#include "io/atomic_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char mark[] = ATOMIC_FOLDER_MARK;
enum {
	FOLDER_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
	TOPMOST = ATOMIC_FOLDER_MAX_DEPTH + 1, /* of the partial folder itself: how deep its tree may be */
};

struct atomic_folder {
	char *path, *partial;
	int fd;	      /* of the partial folder */
	int inner_fd; /* of the folder below it in which the last file was made; -1: none */
	size_t inner_bytes;
	char inner[ATOMIC_FOLDER_MAX_PATH + 1]; /* its name, without a slash at the end */
};

const char *atomic_folder_fault(const char *name)
{
	size_t bytes = strnlen(name, ATOMIC_FOLDER_MAX_PATH + 1);
	unsigned depth = 0;
	if (bytes == 0)
		return "is empty";
	if (bytes > ATOMIC_FOLDER_MAX_PATH)
		return "is too long for a file's name";
	if (name[0] == '/')
		return "is absolute";
	if (strcmp(name, mark) == 0)
		return "is that of the mark of unfinished folders";
	for (size_t i = 0; i < bytes; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return "has a control character in it";
	for (const char *part = name;; depth++) {
		size_t length = strcspn(part, "/");
		if (length == 0)
			return "has an empty folder in it";
		if (length == 1 && part[0] == '.')
			return "has '.' in it";
		if (length == 2 && part[0] == '.' && part[1] == '.')
			return "has '..' in it";
		if (length > ATOMIC_FOLDER_MAX_NAME)
			return "has a part of more than 255 bytes";
		if (part[length] == '\0')
			break;
		part += length + 1;
	}
	return depth > ATOMIC_FOLDER_MAX_DEPTH ? "lies in too many folders" : NULL;
}

/* ---- removing ---- */

/* Removes all that lies in the folder but the mark of the topmost; takes fd over. Links are removed, not followed.
 * False: errno says why. */
static bool empty_folder(int fd, unsigned depth)
{
	DIR *list = fdopendir(fd);
	if (list == NULL) {
		close(fd);
		return false;
	}
	bool good = true;
	for (struct dirent *entry; good && (entry = readdir(list)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			(depth == TOPMOST && strcmp(entry->d_name, mark) == 0))
			continue;
		if (unlinkat(fd, entry->d_name, 0) == 0)
			continue;
		int below = -1;
		if (errno == EISDIR || errno == EPERM)
			below = openat(fd, entry->d_name, FOLDER_FLAGS);
		if (below >= 0 && depth == 0) {
			close(below);
			below = -1;
			errno = ELOOP;
		}
		good = below >= 0 && empty_folder(below, depth - 1) && unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0;
	}
	int kept = errno;
	closedir(list);
	errno = kept;
	return good;
}

static int remove_partial(const char *partial, struct error *err)
{
	int fd = open(partial, FOLDER_FLAGS), copy = fd < 0 ? -1 : openat(fd, ".", FOLDER_FLAGS), rc = 0;
	if (copy < 0 || !empty_folder(copy, TOPMOST) || (unlinkat(fd, mark, 0) != 0 && errno != ENOENT) ||
		rmdir(partial) != 0)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot remove '%s', which a stopped run has left", partial);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* ---- the folder ---- */

static void folder_free(struct atomic_folder *folder)
{
	if (folder->inner_fd >= 0)
		close(folder->inner_fd);
	if (folder->fd >= 0)
		close(folder->fd);
	free(folder->path);
	free(folder->partial);
	free(folder);
}

/* 1: nothing lies in the folder, 0: something does, -1: errno says why that cannot be told. Takes fd over. */
static int is_empty(int fd)
{
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	unsigned entries = 0;
	if (list == NULL) {
		int kept = errno;
		if (fd >= 0)
			close(fd);
		errno = kept;
		return -1;
	}
	while (entries < 3 && readdir(list) != NULL)
		entries++;
	closedir(list);
	return entries < 3;
}

static int check_target(const char *path, struct error *err)
{
	struct stat status;
	if (lstat(path, &status) != 0)
		return errno == ENOENT ? 0
				       : error_set_errno(err, ERROR_IO, errno, "cannot write the folder '%s'", path);
	if (!S_ISDIR(status.st_mode))
		return error_set(err, ERROR_IO,
			"cannot write the folder '%s': there is something of that name that is "
			"no folder",
			path);
	int empty = is_empty(open(path, FOLDER_FLAGS));
	if (empty < 0)
		return error_set_errno(err, ERROR_IO, errno, "cannot write the folder '%s'", path);
	return empty ? 0 : error_set(err, ERROR_IO, "the folder '%s' is not empty: name a new one", path);
}

/* The folder is locked: marks it as ours. What others have put there stays as it is. */
static int partial_mark(const struct atomic_folder *folder, struct error *err)
{
	if (faccessat(folder->fd, mark, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	int empty = is_empty(openat(folder->fd, ".", FOLDER_FLAGS));
	if (empty == 0)
		return error_set(err, ERROR_IO,
			"cannot write '%s' by way of '%s': that is no folder which a stopped run of this program has "
			"left "
			"(it has no file '%s' in it); move it elsewhere, or remove it",
			folder->path, folder->partial, mark);
	int fd = empty < 0 ? -1 : openat(folder->fd, mark, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fd < 0)
		return error_set_errno(err, ERROR_IO, errno, "cannot write in '%s'", folder->partial);
	close(fd);
	return 0;
}

bool atomic_folder_still(const char *path, int fd)
{
	struct stat named, opened;
	return lstat(path, &named) == 0 && fstat(fd, &opened) == 0 && named.st_ino == opened.st_ino &&
	       named.st_dev == opened.st_dev;
}

/* Makes and locks the partial folder. */
static int partial_create(struct atomic_folder *folder, struct error *err)
{
	const char *partial = folder->partial;
	if (mkdir(partial, 0777) == 0 || errno == EEXIST) {
		folder->fd = open(partial, FOLDER_FLAGS);
		if (folder->fd >= 0 && flock(folder->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
			return error_set(err, ERROR_IO, "'%s' is being written by another run", partial);
	}
	if (folder->fd < 0)
		return error_set_errno(err, ERROR_IO, errno, "cannot make the folder '%s'", partial);
	if (!atomic_folder_still(partial, folder->fd))
		return error_set(err, ERROR_IO, "'%s' was just being written by another run", partial);
	int rc = partial_mark(folder, err);
	if (rc != 0)
		return rc;
	/* What an earlier run has left goes; the lock stays with the folder. */
	int copy = openat(folder->fd, ".", FOLDER_FLAGS);
	if (copy < 0 || !empty_folder(copy, TOPMOST))
		return error_set_errno(
			err, ERROR_IO, errno, "cannot empty '%s', which a stopped run has left", partial);
	return 0;
}

struct atomic_folder *atomic_folder_create(const char *path, struct error *err)
{
	size_t bytes = strlen(path);
	while (bytes > 1 && path[bytes - 1] == '/')
		bytes--;
	struct atomic_folder *folder = calloc(1, sizeof *folder);
	if (folder == NULL) {
		error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", path);
		return NULL;
	}
	folder->fd = folder->inner_fd = -1;
	folder->path = strndup(path, bytes);
	if (asprintf(&folder->partial, "%.*s.partial", (int)bytes, path) < 0)
		folder->partial = NULL;
	int rc = 0;
	if (folder->path == NULL || folder->partial == NULL)
		rc = error_set(err, ERROR_MEMORY, "out of memory for writing '%s'", path);
	else if (bytes == 0)
		rc = error_set(err, ERROR_IO, "cannot write a folder without a name");
	if (rc == 0)
		rc = check_target(folder->path, err);
	if (rc == 0)
		rc = partial_create(folder, err);
	if (rc == 0)
		return folder;
	folder_free(folder);
	return NULL;
}

const char *atomic_folder_partial(const struct atomic_folder *folder)
{
	return folder->partial;
}

/* Enters the folders of a name from the partial folder on, making what is missing. Returns the last one's descriptor;
 * errno says why not. */
static int enter_folders(int from, const char *name, const char *last_slash)
{
	int fd = dup(from);
	for (const char *part = name; fd >= 0 && part < last_slash;) {
		char component[ATOMIC_FOLDER_MAX_NAME + 1];
		size_t length = strcspn(part, "/");
		memcpy(component, part, length);
		component[length] = '\0';
		int next = -1;
		if (mkdirat(fd, component, 0777) == 0 || errno == EEXIST)
			next = openat(fd, component, FOLDER_FLAGS);
		int kept = errno;
		close(fd);
		errno = kept;
		fd = next;
		part += length + 1;
	}
	return fd;
}

int atomic_folder_open(struct atomic_folder *folder, const char *name, struct error *err)
{
	const char *fault = atomic_folder_fault(name);
	if (fault != NULL)
		return error_set(
			err, ERROR_FORMAT, "cannot write '%.300s' in '%s': the name %s", name, folder->path, fault);
	const char *slash = strrchr(name, '/');
	int at = folder->fd;
	if (slash != NULL) {
		size_t bytes = (size_t)(slash - name);
		if (folder->inner_fd < 0 || bytes != folder->inner_bytes || memcmp(folder->inner, name, bytes) != 0) {
			if (folder->inner_fd >= 0)
				close(folder->inner_fd);
			folder->inner_fd = enter_folders(folder->fd, name, slash);
			folder->inner_bytes = bytes;
			memcpy(folder->inner, name, bytes);
		}
		at = folder->inner_fd;
	}
	int fd = -1;
	if (at >= 0)
		fd = openat(at, slash == NULL ? name : slash + 1, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0666);
	if (fd < 0)
		return error_set_errno(err, ERROR_IO, errno, "cannot write '%.300s' in '%s'", name, folder->partial);
	return fd;
}

int atomic_folder_write(
	struct atomic_folder *folder, int fd, const char *name, const void *data, size_t bytes, struct error *err)
{
	const unsigned char *from = data;
	while (bytes > 0) {
		ssize_t written = write(fd, from, bytes);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return error_set_errno(err, ERROR_IO, written < 0 ? errno : ENOSPC,
				"cannot write '%.300s' in '%s'", name, folder->partial);
		from += written;
		bytes -= (size_t)written;
	}
	return 0;
}

int atomic_folder_add(struct atomic_folder *folder, const char *name, const void *data, size_t bytes, struct error *err)
{
	int fd = atomic_folder_open(folder, name, err);
	if (fd < 0)
		return fd;
	int rc = atomic_folder_write(folder, fd, name, data, bytes, err);
	if (close(fd) != 0 && rc == 0)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot write '%.300s' in '%s'", name, folder->partial);
	return rc;
}

/* The folder that holds the new one, so that the rename survives a power cut. */
static int sync_parent(const struct atomic_folder *folder, struct error *err)
{
	const char *slash = strrchr(folder->path, '/');
	char *parent = slash == NULL	       ? strdup(".")
		       : slash == folder->path ? strdup("/")
					       : strndup(folder->path, (size_t)(slash - folder->path));
	int fd = parent == NULL ? -1 : open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;
	/* A folder may be written but not listed; some file systems sync no folders. */
	if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
		rc = error_set_errno(err, ERROR_IO, errno,
			"'%s' is written, but the folder it is in cannot be synced: a power cut may undo it",
			folder->path);
	if (fd >= 0)
		close(fd);
	free(parent);
	return rc;
}

int atomic_folder_commit(struct atomic_folder *folder, struct error *err)
{
	int rc = 0;
	if (syncfs(folder->fd) != 0)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot write the folder '%s': sync failed", folder->path);
	/* A finished folder has no mark; without it, this one is in nobody's way but the next run's, which says so. */
	if (rc == 0 && unlinkat(folder->fd, mark, 0) != 0)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot write the folder '%s'", folder->path);
	if (rc == 0 && rename(folder->partial, folder->path) != 0)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot write the folder '%s': rename failed", folder->path);
	if (rc != 0) {
		atomic_folder_abandon(folder);
		return rc;
	}
	rc = sync_parent(folder, err);
	folder_free(folder);
	return rc;
}

void atomic_folder_abandon(struct atomic_folder *folder)
{
	if (folder == NULL)
		return;
	struct error unsaid = {0};
	remove_partial(folder->partial, &unsaid);
	folder_free(folder);
}
