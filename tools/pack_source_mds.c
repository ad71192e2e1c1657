/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder that MosaicML's MDSWriter has written (pack_mds.h), also compressed with zstd. Of each sample
 *
 *   - the image is the column of encoding jpeg, png or pil, or the column of bytes that look like an image; of several
 *     such columns the one that is called image, img, jpg...;
 *   - the label is the column of numbers or text that is called label, class, y...; negative numbers say: none;
 *   - the key is a column of text called key, __key__ or path; without one FOLDER/NUMBER;
 *   - all other numbers, texts and JSON values are metadata.
 *
 * The second pass needs nothing but an image's place: an entry's ordinal is [63: PIL pixels | 62..32: shard | 31..0:
 * offset in the raw shard].
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/atomic_file.h"
#include "tools/command.h"
#include "tools/pack.h"
#include "tools/pack_mds.h"
#include "tools/pack_mds_file.h"

#define ORDINAL_PIL ((uint64_t)1 << 63)

static const char *const image_names[] = {"image", "img", "jpg", "jpeg", "png", "webp", "x", NULL};
static const char *const label_names[] = {"label", "class", "y", "target", "cls", "labels", "class_id", NULL};
static const char *const key_names[] = {"key", "__key__", "path", NULL};

static int read_index(const char *folder, struct mds_index *index, struct error *err)
{
	char *name = NULL;
	size_t bytes;
	if (asprintf(&name, "%s/index.json", folder) < 0)
		return pack_out_of_memory(err);
	char *text = atomic_file_read_all(name, MDS_MAX_INDEX_BYTES, &bytes, err);
	int rc = text != NULL ? mds_index_parse(index, text, bytes, name, err) : err->code;
	free(text);
	free(name);
	return rc;
}

/* Whether the folder has an index of shards; and whether all of them lie there as they are, not compressed. */
static bool probe(const char *path, const struct stat *status, bool *raw)
{
	struct mds_index index;
	char name[PATH_MAX];
	*raw = true;
	if (status == NULL || !S_ISDIR(status->st_mode) ||
		snprintf(name, sizeof(name), "%s/index.json", path) >= (int)sizeof(name))
		return false;
	size_t bytes;
	char *text = atomic_file_read_all(name, MDS_MAX_INDEX_BYTES, &bytes, NULL);
	bool is_mds = text != NULL && strstr(text, "\"shards\"") != NULL;
	if (is_mds && mds_index_parse(&index, text, bytes, name, NULL) == 0) {
		for (size_t i = 0; i < index.count; i++)
			*raw &= index.shards[i].packed_name == NULL || mds_file_is_raw(path, &index.shards[i]);
		mds_index_free(&index);
	}
	free(text);
	return is_mds;
}

static bool is_raw(const char *path, const struct stat *status)
{
	bool raw;
	return probe(path, status, &raw) && raw;
}

static bool is_packed(const char *path, const struct stat *status)
{
	bool raw;
	return probe(path, status, &raw) && !raw;
}

/* ---- which column is what ---- */

enum role { META, IMAGE, LABEL, KEY };

struct scan {
	struct pack_plan *plan;
	const char *folder;
	char name[256];		   /* of the folder, for keys */
	char *image, *label, *key; /* columns' names; label and key may be NULL */
	uint64_t samples;	   /* so far */
	unsigned char *value;	   /* of one column */
	size_t value_capacity;
};

static size_t rank(const char *name, const char *const *names)
{
	size_t i = 0;
	while (names[i] != NULL && strcmp(names[i], name) != 0)
		i++;
	return i;
}

static bool is_label(const struct mds_column *column)
{
	return column->kind == MDS_SIGNED || column->kind == MDS_UNSIGNED || column->kind == MDS_STR ||
	       column->kind == MDS_STR_NUMBER;
}

/* The column, of those that are candidates, whose name comes first in names; NULL where none is named so. */
static const struct mds_column *best(const struct mds_shard *shard, const bool *candidate, const char *const *names)
{
	const struct mds_column *found = NULL;
	for (uint32_t i = 0; i < shard->column_count; i++) {
		const struct mds_column *column = &shard->columns[i];
		if (candidate[i] && names[rank(column->name, names)] != NULL &&
			(found == NULL || rank(column->name, names) < rank(found->name, names)))
			found = column;
	}
	return found;
}

static const struct mds_column *choose_image(
	const struct mds_shard *shard, const bool *candidate, const char *folder, struct error *err)
{
	const struct mds_column *found = best(shard, candidate, image_names);
	unsigned count = 0;
	char names[300] = "";
	for (uint32_t i = 0; i < shard->column_count; i++) {
		size_t used = strlen(names);
		snprintf(names + used, sizeof(names) - used, " %.60s", shard->columns[i].name);
		count += candidate[i];
	}
	for (uint32_t i = 0; i < shard->column_count && found == NULL && count == 1; i++)
		found = candidate[i] ? &shard->columns[i] : NULL;
	if (found == NULL && count == 0)
		error_set(err, ERROR_FORMAT,
			"%s: no column of jpeg, png, pil, or bytes that look like an image (columns:%s)", folder,
			names);
	else if (found == NULL)
		error_set(err, ERROR_FORMAT, "%s: %u columns are images, and none is called 'image' (columns:%s)",
			folder, count, names);
	return found;
}

static int read_extents(struct mds_file *file, const struct mds_shard *shard, uint32_t begin, uint32_t end,
	struct mds_extent *extents, struct error *err)
{
	unsigned char sizes[4 * MDS_MAX_COLUMNS];
	size_t bytes = 4 * (size_t)shard->variable_columns;
	if (end - begin < bytes)
		return error_set(err, ERROR_DAMAGED, "it has %u bytes, too few for its columns", end - begin);
	int rc = mds_file_read(file, begin, sizes, bytes, err);
	return rc == 0 ? mds_sample_extents(shard, sizes, end - begin, extents, err) : rc;
}

/* Marks the columns of bytes whose value in the shard's first sample looks like an image. */
static int look_into_bytes(const char *folder, const struct mds_shard *shard, bool *candidate, struct error *err)
{
	struct mds_extent extents[MDS_MAX_COLUMNS] = {{0, 0}};
	unsigned char offsets[8] = {0}, head[PACK_HEAD_BYTES];
	struct mds_file *file = mds_file_open(folder, shard, err);
	int rc = file == NULL ? err->code : mds_file_read(file, 4, offsets, sizeof(offsets), err);
	uint32_t begin = mds_u32(offsets), end = mds_u32(offsets + 4);
	if (rc == 0)
		rc = end < begin ? error_set(err, ERROR_DAMAGED, "%s: its first sample ends before it begins", folder)
				 : read_extents(file, shard, begin, end, extents, err);
	for (uint32_t i = 0; i < shard->column_count && rc == 0; i++) {
		size_t bytes = extents[i].bytes < sizeof(head) ? extents[i].bytes : sizeof(head);
		if (shard->columns[i].kind != MDS_BYTES)
			continue;
		rc = mds_file_read(file, begin + extents[i].offset, head, bytes, err);
		candidate[i] = rc == 0 && pack_is_image("", head, bytes);
	}
	mds_file_close(file);
	return rc;
}

static int copy_name(char **to, const struct mds_column *column, struct error *err)
{
	*to = column != NULL ? strdup(column->name) : NULL;
	return column == NULL || *to != NULL ? 0 : pack_out_of_memory(err);
}

/* By the first shard that has a sample. */
static int choose_columns(struct scan *scan, const struct mds_shard *shard, struct error *err)
{
	bool images[MDS_MAX_COLUMNS] = {false}, labels[MDS_MAX_COLUMNS], keys[MDS_MAX_COLUMNS], any = false;
	for (uint32_t i = 0; i < shard->column_count; i++) {
		images[i] = shard->columns[i].kind == MDS_IMAGE || shard->columns[i].kind == MDS_PIL;
		any |= images[i];
	}
	int rc = any ? 0 : look_into_bytes(scan->folder, shard, images, err);
	const struct mds_column *image = rc == 0 ? choose_image(shard, images, scan->folder, err) : NULL;
	if (image == NULL)
		return err->code;
	for (uint32_t i = 0; i < shard->column_count; i++) {
		const struct mds_column *column = &shard->columns[i];
		labels[i] = column != image && is_label(column);
		keys[i] = column != image && column->kind == MDS_STR;
	}
	const struct mds_column *label = best(shard, labels, label_names), *key = best(shard, keys, key_names);
	rc = copy_name(&scan->image, image, err);
	if (rc == 0)
		rc = copy_name(&scan->label, label, err);
	if (rc == 0)
		rc = copy_name(&scan->key, key, err);
	if (rc == 0)
		command_note("pack", "%s: images are column %.100s, labels %.100s, keys %.100s", scan->folder,
			scan->image, label != NULL ? scan->label : "none (no column is called label or class)",
			key != NULL ? scan->key : "numbers");
	return rc;
}

static enum role role_of(const struct scan *scan, const struct mds_column *column)
{
	if (strcmp(column->name, scan->image) == 0)
		return IMAGE;
	if (scan->label != NULL && strcmp(column->name, scan->label) == 0)
		return LABEL;
	return scan->key != NULL && strcmp(column->name, scan->key) == 0 ? KEY : META;
}

/* ---- samples ---- */

struct sample {
	char label[PACK_MAX_LABEL_BYTES], key[SHARD_MAX_KEY + 1]; /* "": none */
	cJSON *meta;
	struct mds_extent image;
	bool pil;
};

static int take_text(char *text, size_t capacity, const struct mds_column *column, const unsigned char *data,
	size_t bytes, struct error *err)
{
	if (bytes >= capacity || memchr(data, '\0', bytes) != NULL)
		return error_set(err, ERROR_FORMAT, "column %.100s: %zu bytes of text with a NUL, or too many",
			column->name, bytes);
	memcpy(text, data, bytes);
	text[bytes] = '\0';
	return 0;
}

static int take_label(struct sample *sample, const struct mds_column *column, const unsigned char *data, size_t bytes,
	struct error *err)
{
	char number[MDS_MAX_NUMBER];
	int rc = 0;
	if (column->kind == MDS_STR || column->kind == MDS_STR_NUMBER)
		rc = take_text(sample->label, sizeof(sample->label), column, data, bytes, err);
	else if (mds_number_text(column->kind, data, bytes, number))
		snprintf(sample->label, sizeof(sample->label), "%s", number);
	bool negative = sample->label[0] == '-' && sample->label[1] != '\0' &&
			strspn(sample->label + 1, "0123456789") == strlen(sample->label + 1);
	if (negative)
		sample->label[0] = '\0';
	return rc;
}

static int take_value(struct scan *scan, struct sample *sample, const struct mds_column *column, enum role role,
	size_t bytes, struct error *err)
{
	if (role == KEY)
		return take_text(sample->key, sizeof(sample->key), column, scan->value, bytes, err);
	if (role == LABEL)
		return take_label(sample, column, scan->value, bytes, err);
	return mds_add_value(sample->meta, column, scan->value, bytes, err);
}

static int read_value(struct scan *scan, struct mds_file *file, uint64_t offset, size_t bytes,
	const struct mds_column *column, struct error *err)
{
	if (bytes > PACK_MAX_META_BYTES)
		return error_set(err, ERROR_FORMAT, "column %.100s: %zu bytes; metadata may have %d", column->name,
			bytes, PACK_MAX_META_BYTES);
	if (scan->value == NULL || bytes > scan->value_capacity) {
		free(scan->value);
		scan->value_capacity = bytes < 4096 ? 4096 : bytes;
		scan->value = malloc(scan->value_capacity);
		if (scan->value == NULL)
			return pack_out_of_memory(err);
	}
	return mds_file_read(file, offset, scan->value, bytes, err);
}

static int read_sample(struct scan *scan, struct mds_file *file, const struct mds_shard *shard, uint32_t begin,
	uint32_t end, struct sample *sample, struct error *err)
{
	struct mds_extent extents[MDS_MAX_COLUMNS] = {{0, 0}};
	int rc = read_extents(file, shard, begin, end, extents, err);
	bool found = false;
	for (uint32_t i = 0; i < shard->column_count && rc == 0; i++) {
		const struct mds_column *column = &shard->columns[i];
		enum role role = role_of(scan, column);
		if (role == IMAGE) {
			found = column->kind == MDS_IMAGE || column->kind == MDS_PIL || column->kind == MDS_BYTES;
			sample->image = extents[i];
			sample->pil = column->kind == MDS_PIL;
			continue;
		}
		/* What has no place in JSON, perhaps large, is not even read. */
		if (column->kind == MDS_OTHER || column->kind == MDS_BYTES || column->kind == MDS_IMAGE ||
			column->kind == MDS_PIL)
			continue;
		rc = read_value(scan, file, (uint64_t)begin + extents[i].offset, extents[i].bytes, column, err);
		if (rc == 0)
			rc = take_value(scan, sample, column, role, extents[i].bytes, err);
	}
	if (rc == 0 && !found)
		rc = error_set(err, ERROR_FORMAT, "its column %.100s holds no images", scan->image);
	return rc;
}

static int add_sample(struct scan *scan, const struct sample *sample, uint64_t ordinal, struct error *err)
{
	char number[300], *key = NULL, *meta = NULL;
	snprintf(number, sizeof(number), "%s/%08" PRIu64, scan->name, scan->samples);
	int rc = pack_plan_offer(scan->plan, *sample->key != '\0' ? sample->key : number, &key, err);
	if (rc == PACK_IGNORE || rc < 0)
		return rc;
	rc = 0;
	if (sample->meta->child != NULL && (meta = cJSON_PrintUnformatted(sample->meta)) == NULL)
		rc = pack_out_of_memory(err);
	const struct pack_known known = {.key = key,
		.class_name = *sample->label != '\0' ? sample->label : NULL,
		.class_open = scan->label == NULL && *sample->key != '\0',
		.meta = meta,
		.ordinal = ordinal,
		.bytes = sample->image.bytes};
	if (rc == 0)
		rc = pack_plan_add_known(scan->plan, &known, err);
	cJSON_free(meta);
	free(key);
	return rc;
}

/* offsets: u32 where the samples begin, and where the last one ends. */
static int scan_samples(struct scan *scan, struct mds_file *file, const struct mds_shard *shard, size_t number,
	const unsigned char *offsets, struct error *err)
{
	struct error cause = {0};
	int rc = 0;
	uint32_t least = 4 * (shard->samples + 2);
	for (uint32_t i = 0; i < shard->samples && rc == 0; i++) {
		struct sample sample = {.meta = cJSON_CreateObject()};
		uint32_t begin = mds_u32(offsets + 4 * (size_t)i), end = mds_u32(offsets + 4 * (size_t)i + 4);
		if (sample.meta == NULL)
			rc = pack_out_of_memory(&cause);
		else if (begin < least || end < begin || end > shard->raw_bytes)
			rc = error_set(&cause, ERROR_DAMAGED, "it lies outside the shard");
		if (rc == 0)
			rc = read_sample(scan, file, shard, begin, end, &sample, &cause);
		if (rc == 0)
			rc = add_sample(scan, &sample,
				(sample.pil ? ORDINAL_PIL : 0) | (uint64_t)number << 32 | (begin + sample.image.offset),
				&cause);
		cJSON_Delete(sample.meta);
		scan->samples++;
		if (rc < 0 && (rc == ERROR_MEMORY || rc == ERROR_INTERRUPTED))
			error_copy(err, &cause);
		else if (rc < 0)
			error_set(err, rc, "%s/%s, sample %u: %s", scan->folder, shard->raw_name, i, cause.message);
	}
	return rc;
}

static int scan_shard(struct scan *scan, const struct mds_shard *shard, size_t number, struct error *err)
{
	struct mds_file *file = mds_file_open(scan->folder, shard, err);
	if (file == NULL)
		return err->code;
	/* The index's reader has checked that the shard has room for so many. */
	size_t bytes = 4 * ((size_t)shard->samples + 1);
	unsigned char samples[4] = {0}, *offsets = malloc(bytes);
	int rc = offsets == NULL ? pack_out_of_memory(err) : mds_file_read(file, 0, samples, sizeof(samples), err);
	if (rc == 0 && mds_u32(samples) != shard->samples)
		rc = error_set(err, ERROR_DAMAGED, "%s/%s: index.json says %u samples, the shard %u", scan->folder,
			shard->raw_name, shard->samples, mds_u32(samples));
	if (rc == 0)
		rc = mds_file_read(file, sizeof(samples), offsets, bytes, err);
	if (rc == 0)
		rc = scan_samples(scan, file, shard, number, offsets, err);
	free(offsets);
	mds_file_close(file);
	return rc;
}

/* The folder's own name, also of "." and "..". */
static void name_folder(const char *path, char *name, size_t capacity)
{
	char *whole = realpath(path, NULL);
	const char *slash = whole != NULL ? strrchr(whole, '/') : NULL;
	snprintf(name, capacity, "%s", slash != NULL && slash[1] != '\0' ? slash + 1 : "mds");
	free(whole);
}

static int scan_mds(const char *path, struct pack_plan *plan, struct error *err)
{
	struct mds_index index = {0};
	struct scan scan = {.plan = plan, .folder = path};
	int rc = read_index(path, &index, err);
	if (rc < 0)
		return rc;
	name_folder(path, scan.name, sizeof(scan.name));
	for (size_t i = 0; i < index.count && rc == 0; i++) {
		if (index.shards[i].samples == 0)
			continue;
		if (scan.image == NULL)
			rc = choose_columns(&scan, &index.shards[i], err);
		if (rc == 0)
			rc = scan_shard(&scan, &index.shards[i], i, err);
	}
	free(scan.image);
	free(scan.label);
	free(scan.key);
	free(scan.value);
	mds_index_free(&index);
	return rc == 0 ? pack_plan_end_input(plan, false, err) : rc;
}

/* ---- the second pass ---- */

struct reader {
	char *folder;
	struct mds_index index;
	struct mds_file *file; /* of the shard below */
	size_t shard;
};

static void close_mds(void *state)
{
	struct reader *reader = state;
	mds_file_close(reader->file);
	mds_index_free(&reader->index);
	free(reader->folder);
	free(reader);
}

static void *open_mds(const char *path, struct error *err)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	if (reader == NULL || (reader->folder = strdup(path)) == NULL) {
		free(reader);
		pack_out_of_memory(err);
		return NULL;
	}
	if (read_index(path, &reader->index, err) < 0) {
		close_mds(reader);
		return NULL;
	}
	return reader;
}

static int go_to_shard(struct reader *reader, size_t shard, struct error *err)
{
	if (reader->file != NULL && reader->shard == shard)
		return 0;
	mds_file_close(reader->file);
	reader->file = NULL;
	if (shard >= reader->index.count)
		return error_set(err, ERROR_IO, "%s/index.json changed while it was read", reader->folder);
	reader->file = mds_file_open(reader->folder, &reader->index.shards[shard], err);
	reader->shard = shard;
	return reader->file != NULL ? 0 : err->code;
}

static int take_pil(struct pack_contents *out, struct error *err)
{
	unsigned char *rgb;
	int rc = mds_decode_pil(out->data, out->bytes, PACK_MAX_FILE_BYTES, &rgb, &out->width, &out->height, err);
	free(out->data);
	out->data = rgb;
	out->bytes = (size_t)out->width * out->height * 3;
	out->pixels = true;
	return rc;
}

static int read_image(void *state, const struct pack_plan *plan, const struct pack_entry *entry,
	struct pack_contents *out, struct error *err)
{
	struct reader *reader = state;
	(void)plan;
	int rc = go_to_shard(reader, (size_t)(entry->ordinal >> 32 & INT32_MAX), err);
	if (rc < 0)
		return rc;
	if (entry->bytes > PACK_MAX_FILE_BYTES) {
		error_set(
			err, ERROR_FORMAT, "%u bytes; an image may have %d at most", entry->bytes, PACK_MAX_FILE_BYTES);
		return PACK_BAD;
	}
	out->bytes = entry->bytes;
	out->data = malloc(out->bytes + 1);
	if (out->data == NULL)
		return error_set(err, ERROR_MEMORY, "out of memory (%zu bytes)", out->bytes);
	rc = mds_file_read(reader->file, entry->ordinal & UINT32_MAX, out->data, out->bytes, err);
	if (rc < 0) {
		free(out->data);
		out->data = NULL;
		return rc;
	}
	if (entry->ordinal & ORDINAL_PIL)
		rc = take_pil(out, err);
	return rc == 0 || rc == ERROR_MEMORY ? rc : PACK_BAD;
}

const struct pack_source pack_source_mds = {.name = "MDS folder",
	.probe = is_raw,
	.scan = scan_mds,
	.open = open_mds,
	.read = read_image,
	.close = close_mds,
	.any_order = true};

/* Decompressed as it is read, so in order only. */
const struct pack_source pack_source_mds_packed = {.name = "compressed MDS folder",
	.probe = is_packed,
	.scan = scan_mds,
	.open = open_mds,
	.read = read_image,
	.close = close_mds,
	.any_order = false};
