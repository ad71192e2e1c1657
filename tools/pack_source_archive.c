/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar or zip archive, compressed in any way that libarchive reads. Both passes walk it front to back; an entry's
 * ordinal, counted over all the archive's members, says in the second pass which were chosen in the first.
 */
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/pack.h"

struct walk {
	struct archive *archive;
	struct archive_entry *member;
	const char *path; /* the archive's, the caller's string */
	uint64_t ordinal; /* of the next member */
};

static int archive_failed(struct walk *walk, struct error *err)
{
	const char *text = archive_error_string(walk->archive);
	return error_set(err, ERROR_FORMAT, "cannot read %s as tar or zip: %s", walk->path,
		text != NULL ? text : "unknown error");
}

static int walk_open(struct walk *walk, const char *path, struct error *err)
{
	*walk = (struct walk){.archive = archive_read_new(), .path = path};
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

/* 1: walk->member is the next one; 0: the end. */
static int walk_next(struct walk *walk, struct error *err)
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

static const char *member_name(struct archive_entry *member)
{
	/* archive_entry_pathname() is NULL for names that the C locale cannot say. */
	const char *name = archive_entry_pathname_utf8(member);
	return name != NULL ? name : archive_entry_pathname(member);
}

/* Reads up to `capacity` bytes of the member. */
static int read_some(struct walk *walk, unsigned char *data, size_t capacity, size_t *bytes, struct error *err)
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

/* Regular files. A hard link has no contents of its own; it is taken, and found bad, only if its name is an image's. */
static bool is_file(struct archive_entry *member)
{
	return archive_entry_filetype(member) == AE_IFREG || archive_entry_hardlink(member) != NULL;
}

/* A text beside an image. */
static int scan_side(struct walk *walk, struct pack_plan *plan, int verdict, const char *key, struct error *err)
{
	size_t limit = verdict == PACK_LABEL ? PACK_MAX_LABEL_BYTES : PACK_MAX_META_BYTES, bytes;
	char *text = malloc(limit + 1);
	if (text == NULL)
		return pack_out_of_memory(err);
	int rc = read_some(walk, (unsigned char *)text, limit + 1, &bytes, err);
	if (rc == 0 && verdict == PACK_LABEL)
		rc = pack_plan_add_label(plan, key, text, bytes, err);
	else if (rc == 0)
		rc = pack_plan_add_meta(plan, key, text, bytes, err);
	free(text);
	return rc;
}

static int scan_member(struct walk *walk, struct pack_plan *plan, struct error *err)
{
	const char *name = member_name(walk->member);
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
		rc = read_some(walk, head, sizeof(head), &bytes, err);
		if (rc == 0)
			rc = pack_plan_add(plan, key, head, bytes, walk->ordinal - 1, (uint64_t)size, err);
	}
	free(key);
	return rc;
}

static int scan_archive(const char *path, struct pack_plan *plan, struct error *err)
{
	struct walk walk;
	int rc = walk_open(&walk, path, err);
	if (rc < 0)
		return rc;
	while ((rc = walk_next(&walk, err)) == 1) {
		rc = scan_member(&walk, plan, err);
		if (rc < 0)
			break;
	}
	archive_read_free(walk.archive);
	return rc < 0 ? rc : pack_plan_end_input(plan, false, err);
}

static void *open_archive(const char *path, struct error *err)
{
	struct walk *walk = malloc(sizeof(*walk));
	if (walk == NULL) {
		pack_out_of_memory(err);
		return NULL;
	}
	if (walk_open(walk, path, err) < 0) {
		free(walk);
		return NULL;
	}
	return walk;
}

static int find_member(struct walk *walk, const struct pack_entry *entry, const char *key, struct error *err)
{
	while (walk->ordinal <= entry->ordinal) {
		int rc = walk_next(walk, err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
	}
	const char *name = walk->ordinal == entry->ordinal + 1 ? member_name(walk->member) : NULL;
	char *clean = name != NULL ? strdup(name) : NULL;
	if (clean != NULL)
		pack_clean_path(clean);
	bool same = clean != NULL && strcmp(clean, key) == 0;
	free(clean);
	return same ? 0 : error_set(err, ERROR_IO, "%s changed while it was read (looking for %s)", walk->path, key);
}

/* A zip written to a pipe may not say how large its members are, so memory grows as the contents come. */
static int read_contents(struct walk *walk, unsigned char **data, size_t *bytes, struct error *err)
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
		int rc = read_some(walk, larger + used, capacity + 1 - used, &got, err);
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
	struct walk *walk = state;
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
	struct walk *walk = state;
	archive_read_free(walk->archive);
	free(walk);
}

const struct pack_source pack_source_archive = {.name = "archive",
	.scan = scan_archive,
	.open = open_archive,
	.read = read_member,
	.close = close_archive,
	.side_meta = true};
