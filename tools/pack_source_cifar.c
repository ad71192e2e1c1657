/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch of the CIFAR binary distribution: records of one label byte (CIFAR-10) or a coarse and a fine one (CIFAR-100;
 * the fine one counts), then 32 x 32 red, green and blue bytes, plane by plane. Class names come from batches.meta.txt
 * or fine_label_names.txt in the same folder; without it the classes are numbers.
 *
 * Nothing in the file says what it is: it must be a whole number of records whose labels are all in range.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/atomic_file.h"
#include "tools/pack.h"

enum { PIXELS = 32 * 32, IMAGE_BYTES = 3 * PIXELS, MAX_NAMES = 100 };

struct layout {
	size_t label_bytes;
	unsigned first_limit, last_limit; /* of the first and the last label byte */
	const char *names_file;
};

static const struct layout layouts[] = {
	{.label_bytes = 1, .first_limit = 10, .last_limit = 10, .names_file = "batches.meta.txt"},
	{.label_bytes = 2, .first_limit = 20, .last_limit = 100, .names_file = "fine_label_names.txt"},
};

static size_t record_bytes(const struct layout *layout)
{
	return layout->label_bytes + IMAGE_BYTES;
}

/* Whether the file is records of that layout; *records counts them. */
static bool fits(FILE *file, uint64_t file_bytes, const struct layout *layout, uint64_t *records)
{
	size_t bytes = record_bytes(layout);
	*records = file_bytes / bytes;
	if (file_bytes == 0 || file_bytes % bytes != 0)
		return false;
	unsigned char labels[2];
	for (uint64_t i = 0; i < *records; i++) {
		if (fseeko(file, (off_t)(i * bytes), SEEK_SET) != 0 ||
			fread(labels, 1, layout->label_bytes, file) != layout->label_bytes)
			return false;
		if (labels[0] >= layout->first_limit || labels[layout->label_bytes - 1] >= layout->last_limit)
			return false;
	}
	return true;
}

static const struct layout *find_layout(FILE *file, uint64_t *records)
{
	struct stat status;
	if (fstat(fileno(file), &status) != 0)
		return NULL;
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		if (fits(file, (uint64_t)status.st_size, &layouts[i], records))
			return &layouts[i];
	}
	return NULL;
}

static bool is_batch(const char *path, const struct stat *status)
{
	const char *dot = strrchr(path, '.');
	if (status == NULL || !S_ISREG(status->st_mode) || dot == NULL || strcmp(dot, ".bin") != 0)
		return false;
	FILE *file = fopen(path, "rb");
	if (file == NULL)
		return false;
	uint64_t records;
	bool found = find_layout(file, &records) != NULL;
	fclose(file);
	return found;
}

struct class_names {
	char *text; /* the file's, cut into lines */
	const char *name[MAX_NAMES];
	char number[MAX_NAMES][4];
};

static int read_names(struct class_names *names, const char *path, const struct layout *layout, struct error *err)
{
	char beside[4096];
	const char *slash = strrchr(path, '/');
	int folder = slash != NULL ? (int)(slash - path) + 1 : 0;
	for (unsigned i = 0; i < MAX_NAMES; i++) {
		snprintf(names->number[i], sizeof(names->number[i]), "%u", i % 1000);
		names->name[i] = names->number[i];
	}
	snprintf(beside, sizeof(beside), "%.*s%s", folder, path, layout->names_file);
	struct stat status;
	if (stat(beside, &status) != 0)
		return 0;
	size_t bytes;
	names->text = atomic_file_read_all(beside, 1 << 16, &bytes, err);
	if (names->text == NULL)
		return err->code;
	unsigned count = 0;
	char *rest = names->text;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
		line[strcspn(line, "\r")] = '\0';
		if (*line != '\0' && count < layout->last_limit)
			names->name[count++] = line;
	}
	if (count != layout->last_limit)
		return error_set(err, ERROR_FORMAT, "%s: names %u classes, but %s has %u", beside, count, path,
			layout->last_limit);
	return 0;
}

/* "dir/data_batch_1.bin" -> "data_batch_1". */
static void batch_name(const char *path, char *name, size_t capacity)
{
	const char *slash = strrchr(path, '/');
	snprintf(name, capacity, "%s", slash != NULL ? slash + 1 : path);
	char *dot = strrchr(name, '.');
	if (dot != NULL)
		*dot = '\0';
}

static int scan_records(FILE *file, const char *path, struct pack_plan *plan, const struct layout *layout,
	uint64_t records, struct error *err)
{
	struct class_names names = {.text = NULL};
	char batch[256], key[300];
	batch_name(path, batch, sizeof(batch));
	int rc = read_names(&names, path, layout, err);
	for (uint64_t i = 0; i < records && rc == 0; i++) {
		off_t label_at = (off_t)(i * record_bytes(layout) + layout->label_bytes - 1);
		snprintf(key, sizeof(key), "%s/%05llu", batch, (unsigned long long)i);
		char *kept = NULL;
		rc = pack_plan_offer(plan, key, &kept, err);
		int label = 0;
		if (rc == PACK_LOOK)
			label = fseeko(file, label_at, SEEK_SET) == 0 ? getc(file) : EOF;
		if (label < 0 || (unsigned)label >= layout->last_limit) {
			rc = error_set(err, ERROR_IO, "%s changed while it was read", path);
		} else if (rc == PACK_LOOK) {
			const struct pack_known known = {
				.key = kept, .class_name = names.name[label], .ordinal = i, .bytes = IMAGE_BYTES};
			rc = pack_plan_add_known(plan, &known, err);
		}
		free(kept);
	}
	free(names.text);
	return rc;
}

static int scan_batch(const char *path, struct pack_plan *plan, struct error *err)
{
	FILE *file = fopen(path, "rb");
	if (file == NULL)
		return error_set_errno(err, ERROR_IO, errno, "cannot open %s", path);
	uint64_t records = 0;
	const struct layout *layout = find_layout(file, &records);
	int rc = layout == NULL ? error_set(err, ERROR_IO, "%s changed while it was read", path)
				: scan_records(file, path, plan, layout, records, err);
	fclose(file);
	return rc == 0 ? pack_plan_end_input(plan, false, err) : rc;
}

struct batch {
	FILE *file;
	const struct layout *layout;
};

static void *open_batch(const char *path, struct error *err)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	if (batch == NULL) {
		pack_out_of_memory(err);
		return NULL;
	}
	uint64_t records;
	batch->file = fopen(path, "rb");
	batch->layout = batch->file != NULL ? find_layout(batch->file, &records) : NULL;
	if (batch->layout != NULL)
		return batch;
	if (batch->file == NULL)
		error_set_errno(err, ERROR_IO, errno, "cannot open %s", path);
	else
		error_set(err, ERROR_IO, "%s changed while it was read", path);
	if (batch->file != NULL)
		fclose(batch->file);
	free(batch);
	return NULL;
}

static int read_record(void *state, const struct pack_plan *plan, const struct pack_entry *entry,
	struct pack_contents *out, struct error *err)
{
	struct batch *batch = state;
	unsigned char planes[IMAGE_BYTES];
	off_t at = (off_t)(entry->ordinal * record_bytes(batch->layout) + batch->layout->label_bytes);
	if (fseeko(batch->file, at, SEEK_SET) != 0 || fread(planes, 1, IMAGE_BYTES, batch->file) != IMAGE_BYTES)
		return error_set(err, ERROR_IO, "%s: cannot read it", pack_plan_key(plan, entry));
	*out = (struct pack_contents){
		.data = malloc(IMAGE_BYTES), .bytes = IMAGE_BYTES, .pixels = true, .width = 32, .height = 32};
	if (out->data == NULL)
		return pack_out_of_memory(err);
	for (size_t i = 0; i < PIXELS; i++) {
		for (size_t c = 0; c < 3; c++)
			out->data[3 * i + c] = planes[c * PIXELS + i];
	}
	return 0;
}

static void close_batch(void *state)
{
	struct batch *batch = state;
	fclose(batch->file);
	free(batch);
}

const struct pack_source pack_source_cifar = {.name = "CIFAR binary batch",
	.probe = is_batch,
	.scan = scan_batch,
	.open = open_batch,
	.read = read_record,
	.close = close_batch,
	.any_order = true};
