/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking a shard, and going on behind each damage.
 *
 * The parts are checked one by one: header, footer, class table, dictionary, field table, index, the
 * zeros between them, and then
 * the blocks (shard_verify_spans.c). Where a part is lost the others still serve: the footer repeats what the header
 * says of class table and dictionary; without the dictionary the blocks that need it are checked by their hashes
 * alone; without an index (or a footer that tells where it is) the blocks are found by their own headers and checked
 * by their own hashes.
 */
#include "io/shard_verify_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct verifier {
	struct verify_file file;
	struct verify_report report; /* of all but the blocks */
};

/* The zeros from `from` to `to`; `to - from` is below two pages. */
static void padding_check(struct verifier *v, uint64_t from, uint64_t to, const char *part)
{
	unsigned char bytes[2 * SHARD_BLOCK_ALIGN];
	struct error err = {0};
	if (to <= from)
		return;
	if (shard_pread(v->file.fd, v->file.path, bytes, (size_t)(to - from), from, &err) != 0)
		verify_report_add(&v->report, "%s", err.message);
	else if (!verify_zero(bytes, (size_t)(to - from)))
		verify_report_add(&v->report, "'%s': the padding of %s is damaged: not zero (bytes %llu to %llu)",
			v->file.path, part, (unsigned long long)from, (unsigned long long)to - 1);
}

static void keys_check(struct verifier *v)
{
	struct shard_key *keys = calloc(v->file.index.record_count, sizeof *keys);
	if (keys == NULL) {
		verify_report_add(&v->report, "'%s': keys cannot be compared: out of memory", v->file.path);
		return;
	}
	for (uint32_t i = 0; i < v->file.index.record_count; i++)
		keys[i] = (struct shard_key){
			.key = v->file.index.records[i].key,
			.key_bytes = (uint32_t)strlen(v->file.index.records[i].key),
			.record = i,
		};
	const struct shard_key *twice = shard_duplicate_key(keys, v->file.index.record_count);
	if (twice != NULL)
		verify_report_add(&v->report, "'%s': records %u and %u have the same key '%.200s'", v->file.path,
			twice[0].record, twice[1].record, twice->key);
	free(keys);
}

/* Header and footer. Negative: not a shard, or a newer one, so that nothing can be said about its bytes. */
static int ends_check(struct verifier *v, struct error *err)
{
	struct shard_header_disk header;
	struct error header_error = {0}, footer_error = {0};
	v->file.header_sound =
		shard_load_header(v->file.fd, v->file.path, v->file.file_bytes, &header, &header_error) == 0;
	v->file.footer_sound =
		shard_load_footer(v->file.fd, v->file.path, v->file.file_bytes, &v->file.footer, &footer_error) == 0;
	if (header_error.code == ERROR_VERSION || header_error.code == ERROR_IO ||
		(header_error.code == ERROR_FORMAT && !v->file.footer_sound))
		return error_copy(err, &header_error);
	if (!v->file.header_sound)
		verify_report_add(&v->report, "header: %s", header_error.message);
	if (!v->file.footer_sound)
		verify_report_add(&v->report, "footer: %s", footer_error.message);
	if (v->file.header_sound && v->file.footer_sound && !shard_ends_agree(&header, &v->file.footer))
		verify_report_add(&v->report, "'%s': header and footer are not of one file", v->file.path);
	if (v->file.header_sound && !v->file.footer_sound) {
		shard_footer_repeat(&v->file.footer, &header);
		/* The same bounds as geometry_fault() holds for a footer. */
		if (header.class_count > SHARD_MAX_CLASSES || header.class_bytes > v->file.file_bytes ||
			header.class_bytes > (2 + SHARD_MAX_CLASS_NAME) * (uint64_t)header.class_count) {
			verify_report_add(&v->report, "'%s': the header makes no sense (class table)", v->file.path);
			v->file.header_sound = false;
		}
	}
	return 0;
}

/* Negative: the file has a field that must be understood, and is not. */
static int fields_check(struct verifier *v, struct error *err)
{
	struct verify_file *file = &v->file;
	struct error own = {0};
	uint64_t end = shard_field_table_offset(&file->footer) + file->footer.field_table_bytes;
	file->fields_known = shard_load_fields(file->fd, file->path, &file->footer, &file->fields, &own) == 0;
	if (own.code == ERROR_VERSION)
		return error_copy(err, &own);
	if (!file->fields_known)
		verify_report_add(&v->report, "field table: %s", own.message);
	padding_check(v, end, shard_align(end), "the field table");
	return 0;
}

/* The copies of the dictionary between blocks: the index leaves room of that size for nothing else. */
static void copies_check(struct verifier *v)
{
	struct verify_file *file = &v->file;
	const struct shard_footer_disk *footer = &file->footer;
	for (uint32_t b = 1; b < file->index.block_count; b++) {
		const struct shard_block *before = &file->index.blocks[b - 1];
		uint64_t end = before->offset + shard_align(before->disk_bytes);
		uint32_t bytes = 0;
		if (end == file->index.blocks[b].offset)
			continue;
		unsigned char *copy = shard_copy_read(file->fd, file->path, end, file->file_bytes, &bytes);
		struct shard_block_disk expected = shard_copy_header(footer->dictionary_bytes, footer->dictionary_hash);
		if (copy == NULL || memcmp(copy, &expected, sizeof expected) != 0)
			verify_report_add(&v->report, "'%s': the copy of the dictionary before block %u is damaged",
				file->path, b);
		free(copy);
	}
}

/* All but header, footer and blocks. Negative as above. */
static int parts_check(struct verifier *v, struct error *err)
{
	struct verify_file *file = &v->file;
	struct error own = {0};
	if (file->header_sound || file->footer_sound) {
		char **classes = NULL;
		uint64_t end = SHARD_HEADER_BYTES + file->footer.class_bytes;
		if (shard_load_classes(file->fd, file->path, &file->footer, &classes, &own) != 0)
			verify_report_add(&v->report, "class table: %s", own.message);
		free(classes);
		padding_check(v, end, shard_align(end), "the class table");
		own = (struct error){0};
		if (shard_load_dictionary(file->fd, file->path, &file->footer, &file->dictionary, &own) != 0)
			verify_report_add(&v->report, "dictionary: %s", own.message);
		end = shard_dictionary_offset(&file->footer) + file->footer.dictionary_bytes;
		padding_check(v, end, shard_align(end), "the dictionary");
		int rc = fields_check(v, err);
		if (rc != 0)
			return rc;
	}
	if (file->footer_sound) {
		own = (struct error){0};
		file->index_sound = shard_load_index(file->fd, file->path, &file->footer, &file->index, &own) == 0;
		if (!file->index_sound)
			verify_report_add(&v->report, "index: %s", own.message);
		padding_check(v, file->footer.index_offset + file->footer.index_disk_bytes,
			file->file_bytes - SHARD_FOOTER_BYTES, "the index");
	}
	if (file->index_sound && file->options->level != SHARD_VERIFY_INDEX)
		copies_check(v);
	if (file->index_sound && file->options->level == SHARD_VERIFY_FULL)
		keys_check(v);
	return 0;
}

int64_t shard_verify(const char *path, const struct shard_verify_options *options, struct error *err)
{
	struct verifier v = {.file = {.path = path, .options = options}};
	struct stat status;
	int64_t damages = 0;
	int rc = 0;
	v.file.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (v.file.fd < 0 || fstat(v.file.fd, &status) != 0) {
		rc = error_set_errno(err, ERROR_IO, errno, "cannot open '%s'", path);
	} else if (!S_ISREG(status.st_mode)) {
		rc = error_set(err, ERROR_IO, "cannot open '%s': it is no regular file", path);
	} else {
		v.file.file_bytes = (uint64_t)status.st_size;
		rc = ends_check(&v, err);
		if (rc == 0)
			rc = parts_check(&v, err);
		damages = verify_report_flush(&v.report, options);
		if (rc == 0 && options->level != SHARD_VERIFY_INDEX)
			rc = verify_blocks(&v.file, &damages, err);
	}
	if (v.file.fd >= 0)
		close(v.file.fd);
	ZSTD_freeDDict(v.file.dictionary);
	shard_index_free(&v.file.index);
	free(v.report.lines);
	return rc != 0 ? rc : damages;
}
