/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar or zip archive, compressed in any way that libarchive reads. Both passes walk it front to back; an entry's
 * ordinal, counted over all the archive's members, says in the second pass which were chosen in the first.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/pack.h"
#include "tools/pack_walk.h"

/* Regular files. A hard link has no contents of its own; it is taken, and found bad, only if its name is an image's. */
static bool is_file(struct archive_entry *member)
{
	return archive_entry_filetype(member) == AE_IFREG || archive_entry_hardlink(member) != NULL;
}

/* A text beside an image. */
static int scan_side(struct pack_walk *walk, struct pack_plan *plan, int verdict, const char *key, struct error *err)
{
	size_t limit = verdict == PACK_LABEL ? PACK_MAX_LABEL_BYTES : PACK_MAX_META_BYTES, bytes;
	char *text = malloc(limit + 1);
	if (text == NULL)
		return pack_out_of_memory(err);
	int rc = pack_walk_read(walk, (unsigned char *)text, limit + 1, &bytes, err);
	if (rc == 0 && verdict == PACK_LABEL)
		rc = pack_plan_add_label(plan, key, text, bytes, err);
	else if (rc == 0)
		rc = pack_plan_add_meta(plan, key, text, bytes, err);
	free(text);
	return rc;
}

static int scan_member(struct pack_walk *walk, struct pack_plan *plan, struct error *err)
{
	const char *name = pack_walk_name(walk);
	if (archive_entry_filetype(walk->member) == AE_IFDIR)
		return 0;
	if (name == NULL || !is_file(walk->member)) {
		plan->ignored++;
		return 0;
	}
	char *key = NULL;
	int verdict = pack_plan_offer(plan, name, &key, err), rc = verdict;
	if (verdict == PACK_LABEL || verdict == PACK_META) {
		rc = scan_side(walk, plan, verdict, key, err);
	} else if (verdict == PACK_LOOK) {
		unsigned char head[PACK_HEAD_BYTES];
		size_t bytes;
		int64_t size = archive_entry_size_is_set(walk->member) ? archive_entry_size(walk->member) : 0;
		rc = pack_walk_read(walk, head, sizeof(head), &bytes, err);
		if (rc == 0)
			rc = pack_plan_add(plan, key, head, bytes, walk->ordinal - 1, (uint64_t)size, err);
	}
	free(key);
	return rc;
}

/* Asked last: libarchive finds out what kind it is, and says what a file that is none lacks. */
static bool may_be_archive(const char *path, const struct stat *status)
{
	(void)path;
	return status != NULL && S_ISREG(status->st_mode);
}

static int scan_archive(const char *path, struct pack_plan *plan, struct error *err)
{
	struct pack_walk walk;
	int rc = pack_walk_open(&walk, path, err);
	if (rc < 0)
		return rc;
	while ((rc = pack_walk_next(&walk, err)) == 1) {
		plan->scanned_bytes = (uint64_t)archive_filter_bytes(walk.archive, -1);
		rc = scan_member(&walk, plan, err);
		if (rc < 0)
			break;
	}
	pack_walk_close(&walk);
	return rc < 0 ? rc : pack_plan_end_input(plan, false, err);
}

static void *open_archive(const char *path, struct error *err)
{
	struct pack_walk *walk = malloc(sizeof(*walk));
	if (walk == NULL) {
		pack_out_of_memory(err);
		return NULL;
	}
	if (pack_walk_open(walk, path, err) < 0) {
		free(walk);
		return NULL;
	}
	return walk;
}

static int find_member(struct pack_walk *walk, const struct pack_entry *entry, const char *key, struct error *err)
{
	while (walk->ordinal <= entry->ordinal) {
		int rc = pack_walk_next(walk, err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
	}
	const char *name = walk->ordinal == entry->ordinal + 1 ? pack_walk_name(walk) : NULL;
	char *clean = name != NULL ? strdup(name) : NULL;
	if (clean != NULL)
		pack_clean_path(clean);
	bool same = clean != NULL && strcmp(clean, key) == 0;
	free(clean);
	return same ? 0 : error_set(err, ERROR_IO, "%s changed while it was read (looking for %s)", walk->path, key);
}

/* A zip written to a pipe may not say how large its members are, so memory grows as the contents come. */
static int read_contents(struct pack_walk *walk, unsigned char **data, size_t *bytes, struct error *err)
{
	int64_t said = archive_entry_size_is_set(walk->member) ? archive_entry_size(walk->member) : 64 << 10;
	size_t capacity = said > PACK_MAX_FILE_BYTES ? PACK_MAX_FILE_BYTES : (size_t)said;
	size_t used = 0;
	for (;;) {
		/* One byte more than is wanted, to notice the end. */
		unsigned char *larger = realloc(*data, capacity + 1);
		if (larger == NULL)
			return error_set(err, ERROR_MEMORY, "out of memory (%zu bytes)", capacity);
		*data = larger;
		size_t got;
		int rc = pack_walk_read(walk, larger + used, capacity + 1 - used, &got, err);
		used += got;
		if (rc < 0)
			return rc;
		if (used <= capacity)
			break;
		if (capacity == PACK_MAX_FILE_BYTES) {
			error_set(err, ERROR_FORMAT, "an image may have %d bytes at most", PACK_MAX_FILE_BYTES);
			return PACK_BAD;
		}
		capacity = capacity * 2 < PACK_MAX_FILE_BYTES ? capacity * 2 + 4096 : PACK_MAX_FILE_BYTES;
	}
	*bytes = used;
	return 0;
}

static int read_member(void *state, const struct pack_plan *plan, const struct pack_entry *entry,
	struct pack_contents *out, struct error *err)
{
	struct pack_walk *walk = state;
	int rc = find_member(walk, entry, pack_plan_key(plan, entry), err);
	if (rc == 0 && archive_entry_hardlink(walk->member) != NULL) {
		error_set(err, ERROR_FORMAT, "a hard link to %s; make the archive with tar --hard-dereference",
			archive_entry_hardlink(walk->member));
		rc = PACK_BAD;
	}
	if (rc == 0)
		rc = read_contents(walk, &out->data, &out->bytes, err);
	if (rc != 0) {
		free(out->data);
		out->data = NULL;
	}
	return rc;
}

static void close_archive(void *state)
{
	struct pack_walk *walk = state;
	pack_walk_close(walk);
	free(walk);
}

const struct pack_source pack_source_archive = {.name = "archive",
	.probe = may_be_archive,
	.scan = scan_archive,
	.open = open_archive,
	.read = read_member,
	.close = close_archive,
	.side_meta = true};
