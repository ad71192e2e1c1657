/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A .npy file with an array of images (pack_npy.h), without labels. Images lie one behind the other, so that the second
 * pass reads them from their places.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/pack_npy.h"

struct file {
	int fd;
	struct npy_array array;
	struct pack_npy_images images;
	unsigned char *image; /* a buffer for one */
};

static bool is_npy(const char *path, const struct stat *status)
{
	const char *dot = strrchr(path, '.');
	return status != NULL && S_ISREG(status->st_mode) && dot != NULL && strcmp(dot, ".npy") == 0;
}

static int read_at(int fd, uint64_t offset, unsigned char *data, size_t bytes, const char *path, struct error *err)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t got = pread(fd, data + done, bytes - done, (off_t)(offset + done));
		if (got == 0)
			return error_set(err, ERROR_FORMAT, "%s: ends too early", path);
		if (got < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_IO, errno, "cannot read %s", path);
		done += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

static int read_header(struct file *file, const char *path, struct error *err)
{
	static const struct error none;
	struct error cause = none;
	struct stat status;
	unsigned char prefix[NPY_PREFIX_BYTES];
	int rc = read_at(file->fd, 0, prefix, sizeof(prefix), path, err);
	if (rc < 0)
		return rc;
	uint32_t bytes = npy_header_bytes(prefix);
	unsigned char *header = malloc((size_t)bytes + 1);
	if (header == NULL)
		return pack_out_of_memory(err);
	rc = read_at(file->fd, 0, header, bytes, path, err);
	if (rc == 0 && npy_parse(&file->array, header, bytes, &cause) < 0)
		rc = error_set(err, cause.code, "%s: %s", path, cause.message);
	free(header);
	if (rc == 0)
		rc = pack_npy_images(&file->array, &file->images, path, err);
	if (rc == 0 && fstat(file->fd, &status) == 0 &&
		(uint64_t)status.st_size - file->array.header_bytes != file->array.bytes)
		rc = error_set(err, ERROR_DAMAGED,
			"%s: its header says %" PRIu64 " bytes of pixels, but it has %" PRIu64, path, file->array.bytes,
			(uint64_t)status.st_size - file->array.header_bytes);
	return rc;
}

static void close_file(void *state)
{
	struct file *file = state;
	if (file->fd >= 0)
		close(file->fd);
	free(file->image);
	free(file);
}

static void *open_file(const char *path, struct error *err)
{
	struct file *file = calloc(1, sizeof(*file));
	if (file == NULL) {
		pack_out_of_memory(err);
		return NULL;
	}
	file->fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = file->fd < 0 ? error_set_errno(err, ERROR_IO, errno, "cannot open %s", path)
			      : read_header(file, path, err);
	if (rc == 0 && (file->image = malloc(file->images.bytes)) == NULL)
		rc = pack_out_of_memory(err);
	if (rc == 0)
		return file;
	close_file(file);
	return NULL;
}

static int scan_npy(const char *path, struct pack_plan *plan, struct error *err)
{
	struct file *file = open_file(path, err);
	int rc = file != NULL ? 0 : err->code;
	for (uint64_t i = 0; rc == 0 && i < file->images.count; i++) {
		char name[300], *key = NULL;
		pack_npy_key(name, sizeof(name), path, i);
		rc = pack_plan_offer(plan, name, &key, err);
		if (rc == PACK_IGNORE || rc < 0)
			continue;
		const struct pack_known known = {.key = key, .ordinal = i, .bytes = file->images.bytes};
		rc = pack_plan_add_known(plan, &known, err);
		free(key);
	}
	if (file != NULL)
		close_file(file);
	return rc == 0 ? pack_plan_end_input(plan, false, err) : rc;
}

static int read_npy(void *state, const struct pack_plan *plan, const struct pack_entry *entry,
	struct pack_contents *out, struct error *err)
{
	struct file *file = state;
	uint64_t offset = file->array.header_bytes + entry->ordinal * file->images.bytes;
	int rc = read_at(file->fd, offset, file->image, file->images.bytes, pack_plan_key(plan, entry), err);
	return rc == 0 ? pack_npy_pixels(&file->images, file->image, out, err) : rc;
}

const struct pack_source pack_source_npy = {.name = "NumPy array",
	.probe = is_npy,
	.scan = scan_npy,
	.open = open_file,
	.read = read_npy,
	.close = close_file,
	.any_order = true};
