/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of images, links followed (fts notices loops). The first pass opens each file for its first bytes only; a
 * file that cannot be opened counts as a bad image when its name is one's.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/atomic_file.h"
#include "tools/pack.h"

static size_t read_head(const char *path, unsigned char *head)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t bytes = read(fd, head, PACK_HEAD_BYTES);
	close(fd);
	return bytes < 0 ? 0 : (size_t)bytes;
}

static int scan_label(const FTSENT *node, const char *key, struct pack_plan *plan, struct error *err)
{
	size_t bytes;
	char *text = atomic_file_read_all(node->fts_path, PACK_MAX_LABEL_BYTES, &bytes, err);
	int rc = text != NULL ? pack_plan_add_label(plan, key, text, bytes, err) : err->code;
	free(text);
	return rc;
}

static int scan_file(const FTSENT *node, const char *below, struct pack_plan *plan, struct error *err)
{
	char *key = NULL;
	unsigned char head[PACK_HEAD_BYTES];
	int rc = pack_plan_offer(plan, below, &key, err);
	if (rc == PACK_LOOK) {
		size_t bytes = read_head(node->fts_path, head);
		rc = pack_plan_add(plan, key, head, bytes, 0, (uint64_t)node->fts_statp->st_size, err);
	} else if (rc == PACK_LABEL) {
		rc = scan_label(node, key, plan, err);
	}
	free(key);
	return rc;
}

static int scan_node(FTS *tree, FTSENT *node, size_t root_bytes, struct pack_plan *plan, struct error *err)
{
	const char *below = node->fts_path + root_bytes;
	switch (node->fts_info) {
	case FTS_D:
		if (node->fts_level > 0 && node->fts_name[0] == '.')
			fts_set(tree, node, FTS_SKIP);
		return 0;
	case FTS_DP:
		return 0;
	case FTS_DC:
		return error_set(
			err, ERROR_IO, "%s: links to a folder that it lies in: remove the link", node->fts_path);
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		return error_set_errno(err, ERROR_IO, node->fts_errno, "cannot read %s", node->fts_path);
	case FTS_F:
	case FTS_SLNONE: /* a link to nothing: a bad image, should its name be one's */
		return scan_file(node, below, plan, err);
	default:
		plan->ignored++;
		return 0;
	}
}

static int scan_folder(const char *path, struct pack_plan *plan, struct error *err)
{
	char *roots[] = {(char *)path, NULL};
	FTS *tree = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
	if (tree == NULL)
		return error_set_errno(err, ERROR_IO, errno, "cannot read the folder %s", path);
	int rc = 0;
	FTSENT *node;
	errno = 0;
	while (rc == 0 && (node = fts_read(tree)) != NULL) {
		rc = scan_node(tree, node, strlen(path), plan, err);
		errno = 0;
	}
	if (rc == 0 && errno != 0)
		rc = error_set_errno(err, ERROR_IO, errno, "cannot read the folder %s", path);
	fts_close(tree);
	return rc == 0 ? pack_plan_end_input(plan, true, err) : rc;
}

struct folder {
	int fd;
};

static void *open_folder(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		error_set_errno(err, ERROR_IO, errno, "cannot read the folder %s", path);
		return NULL;
	}
	struct folder *folder = malloc(sizeof(*folder));
	if (folder == NULL) {
		close(fd);
		pack_out_of_memory(err);
		return NULL;
	}
	folder->fd = fd;
	return folder;
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

static int read_file(void *state, const struct pack_plan *plan, const struct pack_entry *entry,
	struct pack_contents *out, struct error *err)
{
	const struct folder *folder = state;
	int fd = openat(folder->fd, pack_plan_key(plan, entry), O_RDONLY | O_CLOEXEC);
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

static void close_folder(void *state)
{
	struct folder *folder = state;
	close(folder->fd);
	free(folder);
}

const struct pack_source pack_source_folder = {.name = "folder",
	.scan = scan_folder,
	.open = open_folder,
	.read = read_file,
	.close = close_folder,
	.any_order = true};
