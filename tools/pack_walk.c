/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/pack_walk.h"

#include "tools/pack.h"

static int archive_failed(struct pack_walk *walk, struct error *err)
{
	const char *text = archive_error_string(walk->archive);
	return error_set(err, ERROR_FORMAT, "cannot read %s as tar or zip: %s", walk->path,
		text != NULL ? text : "unknown error");
}

int pack_walk_open(struct pack_walk *walk, const char *path, struct error *err)
{
	*walk = (struct pack_walk){.archive = archive_read_new(), .path = path};
	if (walk->archive == NULL)
		return pack_out_of_memory(err);
	archive_read_support_filter_all(walk->archive);
	archive_read_support_format_tar(walk->archive);
	archive_read_support_format_zip(walk->archive);
	if (archive_read_open_filename(walk->archive, path, 1 << 20) == ARCHIVE_OK)
		return 0;
	archive_failed(walk, err);
	archive_read_free(walk->archive);
	walk->archive = NULL;
	return err->code;
}

void pack_walk_close(struct pack_walk *walk)
{
	archive_read_free(walk->archive);
}

int pack_walk_next(struct pack_walk *walk, struct error *err)
{
	int rc = archive_read_next_header(walk->archive, &walk->member);
	if (rc == ARCHIVE_EOF)
		return 0;
	/* A warning concerns attributes (times, owners, character sets) that do not matter here. */
	if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
		return archive_failed(walk, err);
	walk->ordinal++;
	return 1;
}

const char *pack_walk_name(const struct pack_walk *walk)
{
	struct archive_entry *member = walk->member;
	/* archive_entry_pathname() is NULL for names that the C locale cannot say. */
	const char *name = archive_entry_pathname_utf8(member);
	return name != NULL ? name : archive_entry_pathname(member);
}

int pack_walk_read(struct pack_walk *walk, unsigned char *data, size_t capacity, size_t *bytes, struct error *err)
{
	*bytes = 0;
	while (*bytes < capacity) {
		la_ssize_t got = archive_read_data(walk->archive, data + *bytes, capacity - *bytes);
		if (got == 0)
			return 0;
		if (got == ARCHIVE_RETRY)
			continue;
		if (got < 0 && got != ARCHIVE_WARN)
			return archive_failed(walk, err);
		*bytes += got > 0 ? (size_t)got : 0;
	}
	return 0;
}
