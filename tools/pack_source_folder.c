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

#include "tools/pack_file.h"

static int scan_file(const FTSENT *node, const char *below, struct pack_plan *plan, struct error *err)
{
	char *key = NULL;
	unsigned char head[PACK_HEAD_BYTES];
	int rc = pack_plan_offer(plan, below, &key, err);
	if (rc == PACK_LOOK) {
		size_t bytes = pack_file_head(node->fts_path, head);
		rc = pack_plan_add(plan, key, head, bytes, 0, (uint64_t)node->fts_statp->st_size, err);
	} else if (rc == PACK_LABEL) {
		rc = pack_file_label(node->fts_path, key, plan, err);
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

static bool is_folder(const char *path, const struct stat *status)
{
	(void)path;
	return status != NULL && S_ISDIR(status->st_mode);
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

static int read_file(void *state, const struct pack_plan *plan, const struct pack_entry *entry,
	struct pack_contents *out, struct error *err)
{
	const struct folder *folder = state;
	return pack_file_read(folder->fd, pack_plan_key(plan, entry), out, err);
}

static void close_folder(void *state)
{
	struct folder *folder = state;
	close(folder->fd);
	free(folder);
}

const struct pack_source pack_source_folder = {.name = "folder",
	.probe = is_folder,
	.scan = scan_folder,
	.open = open_folder,
	.read = read_file,
	.close = close_folder,
	.any_order = true};
