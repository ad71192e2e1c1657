/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A .npz file: a zip of .npy members, compressed or not. The images are the uint8 array of three or four dimensions
 * whose name comes first in a list, the labels the array of whole numbers, one for each image, likewise; what was taken
 * is said. Both passes stream the images front to back, and the first counts them by their bytes: a header that claims
 * more than there is costs nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"
#include "tools/pack_npy.h"
#include "tools/pack_walk.h"

enum { MAX_ARRAYS = 256, MAX_NAME = 100 };

/* Splits come train first; names in pairs have the same place in both lists. */
static const char *const image_names[] = {"images", "image", "x", "X", "data", "arr_0", "x_train", "X_train",
	"train_images", "train_data", "x_val", "val_images", "x_test", "X_test", "test_images"};
static const char *const label_names[] = {"labels", "label", "y", "Y", "targets", "arr_1", "y_train", "Y_train",
	"train_labels", "target", "y_val", "val_labels", "y_test", "Y_test", "test_labels", "fine_labels"};

struct member {
	char name[MAX_NAME]; /* without ".npy" */
	uint64_t ordinal;    /* in the archive */
	struct npy_array array;
};

struct contents {
	struct member members[MAX_ARRAYS];
	size_t count;
	const struct member *images, *labels; /* labels may be NULL */
	struct pack_npy_images shape;
};

static bool is_npz(const char *path, const struct stat *status)
{
	const char *dot = strrchr(path, '.');
	return status != NULL && S_ISREG(status->st_mode) && dot != NULL && strcmp(dot, ".npz") == 0;
}

/* Reads the header of the member that the walk stands at; *sound false when it is no array that can be understood. */
static int read_header(struct pack_walk *walk, struct npy_array *array, bool *sound, struct error *err)
{
	unsigned char header[NPY_MAX_HEADER_BYTES];
	size_t got = 0;
	*sound = false;
	int rc = pack_walk_read(walk, header, NPY_PREFIX_BYTES, &got, err);
	if (rc < 0 || got < NPY_PREFIX_BYTES)
		return rc;
	uint32_t bytes = npy_header_bytes(header);
	if (bytes < NPY_PREFIX_BYTES)
		return 0;
	rc = pack_walk_read(walk, header + NPY_PREFIX_BYTES, bytes - NPY_PREFIX_BYTES, &got, err);
	*sound = rc == 0 && npy_parse(array, header, NPY_PREFIX_BYTES + got, NULL) == 0;
	return rc;
}

static int list_members(struct contents *contents, const char *path, struct error *err)
{
	struct pack_walk walk;
	int rc = pack_walk_open(&walk, path, err);
	if (rc < 0)
		return rc;
	while ((rc = pack_walk_next(&walk, err)) == 1) {
		const char *name = pack_walk_name(&walk);
		size_t bytes = name != NULL ? strlen(name) : 0;
		if (bytes < 5 || bytes >= MAX_NAME || strcmp(name + bytes - 4, ".npy") != 0 ||
			contents->count == MAX_ARRAYS)
			continue;
		struct member *member = &contents->members[contents->count];
		snprintf(member->name, sizeof(member->name), "%.*s", (int)bytes - 4, name);
		member->ordinal = walk.ordinal - 1;
		bool sound;
		rc = read_header(&walk, &member->array, &sound, err);
		if (rc < 0)
			break;
		contents->count += sound;
	}
	pack_walk_close(&walk);
	return rc;
}

static size_t rank(const char *name, const char *const *names, size_t count)
{
	size_t i = 0;
	while (i < count && strcmp(names[i], name) != 0)
		i++;
	return i;
}

/* One array of so many whole numbers. */
static bool may_be_labels(const struct npy_array *array)
{
	return (array->type == 'i' || array->type == 'u' || array->type == 'b') && array->item_bytes <= 8 &&
	       (array->dims == 1 || (array->dims == 2 && array->shape[1] == 1));
}

static void list_arrays(const struct contents *contents, char *text, size_t capacity)
{
	size_t used = 0;
	text[0] = '\0';
	for (size_t i = 0; i < contents->count && used < capacity; i++) {
		char what[200];
		pack_npy_describe(what, sizeof(what), &contents->members[i].array);
		int more = snprintf(
			text + used, capacity - used, "%s%s: %s", i > 0 ? "; " : "", contents->members[i].name, what);
		used += (size_t)more;
	}
}

static int choose_images(struct contents *contents, const char *path, struct error *err)
{
	size_t names = sizeof(image_names) / sizeof(image_names[0]), candidates = 0;
	for (size_t i = 0; i < contents->count; i++) {
		const struct member *member = &contents->members[i];
		const struct npy_array *array = &member->array;
		if (array->type != 'u' || array->item_bytes != 1 || array->dims < 3 || array->dims > 4)
			continue;
		candidates++;
		if (contents->images == NULL ||
			rank(member->name, image_names, names) < rank(contents->images->name, image_names, names))
			contents->images = member;
	}
	char all[600];
	list_arrays(contents, all, sizeof(all));
	if (contents->images == NULL) {
		error_set(err, ERROR_FORMAT,
			"%s: no uint8 array of shape [N,H,W,3], [N,3,H,W], [N,H,W] or [H,W,3] in it (%s)", path, all);
		return ERROR_FORMAT;
	}
	if (candidates > 1 && rank(contents->images->name, image_names, names) == names)
		return error_set(err, ERROR_FORMAT,
			"%s: %zu arrays may be the images; call one 'images' and its labels 'labels' (%s)", path,
			candidates, all);
	char name[600];
	snprintf(name, sizeof(name), "%s, array %s", path, contents->images->name);
	return pack_npy_images(&contents->images->array, &contents->shape, name, err);
}

static int choose_labels(struct contents *contents, const char *path, struct error *err)
{
	size_t names = sizeof(label_names) / sizeof(label_names[0]);
	const struct member *other = NULL;
	for (size_t i = 0; i < contents->count; i++) {
		const struct member *member = &contents->members[i];
		size_t place = rank(member->name, label_names, names);
		if (place == names || !may_be_labels(&member->array))
			continue;
		if (member->array.items != contents->shape.count)
			other = member;
		else if (contents->labels == NULL || place < rank(contents->labels->name, label_names, names))
			contents->labels = member;
	}
	if (contents->labels == NULL && other != NULL)
		return error_set(err, ERROR_FORMAT, "%s: %s has %" PRIu64 " labels, but %s has %" PRIu64 " images",
			path, other->name, other->array.items, contents->images->name, contents->shape.count);
	if (contents->labels != NULL && contents->labels->array.big_endian && contents->labels->array.item_bytes > 1)
		return error_set(err, ERROR_FORMAT, "%s: %s is big-endian; save it as .astype('<i8')", path,
			contents->labels->name);
	char what[200];
	pack_npy_describe(what, sizeof(what), &contents->images->array);
	command_note("pack", "%s: images are %s (%s), labels %s", path, contents->images->name, what,
		contents->labels != NULL ? contents->labels->name : "none (no array is called labels or y)");
	return 0;
}

static struct contents *read_contents(const char *path, struct error *err)
{
	struct contents *contents = calloc(1, sizeof(*contents));
	if (contents == NULL) {
		pack_out_of_memory(err);
		return NULL;
	}
	int rc = list_members(contents, path, err);
	if (rc == 0)
		rc = choose_images(contents, path, err);
	if (rc == 0)
		return contents;
	free(contents);
	return NULL;
}

/* Opens the archive at the first element of an array. */
static int open_array(struct pack_walk *walk, const char *path, const struct member *member, struct error *err)
{
	struct npy_array array;
	bool sound = false;
	int rc = pack_walk_open(walk, path, err);
	if (rc < 0)
		return rc;
	while ((rc = pack_walk_next(walk, err)) == 1 && walk->ordinal <= member->ordinal)
		;
	if (rc == 1)
		rc = read_header(walk, &array, &sound, err);
	if (rc == 0 && (!sound || array.items != member->array.items || array.bytes != member->array.bytes))
		rc = error_set(err, ERROR_IO, "%s changed while it was read", path);
	if (rc < 0)
		pack_walk_close(walk);
	return rc;
}

static int read_exactly(struct pack_walk *walk, unsigned char *data, size_t bytes, const char *path,
	const struct member *member, struct error *err)
{
	size_t got;
	int rc = pack_walk_read(walk, data, bytes, &got, err);
	return rc < 0 || got == bytes ? rc
				      : error_set(err, ERROR_DAMAGED,
						"%s: array %s ends before the %" PRIu64 " bytes that its header says",
						path, member->name, member->array.bytes);
}

/* ---- the first pass ---- */

struct scan {
	const char *path;
	struct pack_plan *plan;
	const struct contents *contents;
	struct pack_walk images, labels; /* labels: open if there are any */
	unsigned char *image;
};

static int read_label(struct scan *scan, char text[32], struct error *err)
{
	const struct npy_array *array = &scan->contents->labels->array;
	unsigned char bytes[8] = {0};
	int rc = read_exactly(&scan->labels, bytes, array->item_bytes, scan->path, scan->contents->labels, err);
	uint64_t bits = 0;
	for (unsigned i = 0; i < 8; i++)
		bits |= (uint64_t)bytes[i] << 8 * i;
	unsigned shift = 64 - 8 * array->item_bytes;
	int64_t number = array->type == 'i' ? (int64_t)(bits << shift) >> shift : (int64_t)bits;
	/* Negative: no label. */
	if (rc == 0 && number < 0)
		*text = '\0';
	else
		snprintf(text, 32, "%" PRId64, number);
	return rc;
}

static int scan_image(struct scan *scan, uint64_t number, struct error *err)
{
	const struct contents *contents = scan->contents;
	char name[300], label[32] = "", *key = NULL;
	int rc = read_exactly(&scan->images, scan->image, contents->shape.bytes, scan->path, contents->images, err);
	if (rc == 0 && contents->labels != NULL)
		rc = read_label(scan, label, err);
	if (rc < 0)
		return rc;
	pack_npy_key(name, sizeof(name), scan->path, number);
	rc = pack_plan_offer(scan->plan, name, &key, err);
	if (rc == PACK_IGNORE || rc < 0)
		return rc;
	const struct pack_known known = {.key = key,
		.class_name = *label != '\0' ? label : NULL,
		.ordinal = number,
		.bytes = contents->shape.bytes};
	rc = pack_plan_add_known(scan->plan, &known, err);
	free(key);
	return rc;
}

static int scan_images(struct scan *scan, struct error *err)
{
	const struct contents *contents = scan->contents;
	int rc = open_array(&scan->images, scan->path, contents->images, err);
	if (rc < 0)
		return rc;
	if (contents->labels != NULL)
		rc = open_array(&scan->labels, scan->path, contents->labels, err);
	bool labels = contents->labels != NULL && rc == 0;
	for (uint64_t i = 0; i < contents->shape.count && rc == 0; i++)
		rc = scan_image(scan, i, err);
	if (labels)
		pack_walk_close(&scan->labels);
	pack_walk_close(&scan->images);
	return rc;
}

static int scan_npz(const char *path, struct pack_plan *plan, struct error *err)
{
	struct contents *contents = read_contents(path, err);
	if (contents == NULL)
		return err->code;
	struct scan scan = {.path = path, .plan = plan, .contents = contents};
	int rc = choose_labels(contents, path, err);
	if (rc == 0 && (scan.image = malloc(contents->shape.bytes)) == NULL)
		rc = pack_out_of_memory(err);
	if (rc == 0)
		rc = scan_images(&scan, err);
	free(scan.image);
	free(contents);
	return rc == 0 ? pack_plan_end_input(plan, false, err) : rc;
}

/* ---- the second pass ---- */

struct reader {
	char *path;
	struct contents *contents;
	struct pack_walk walk; /* in the images' array */
	bool walking;
	uint64_t next; /* number of the image there */
	unsigned char *image;
};

static void close_npz(void *state)
{
	struct reader *reader = state;
	if (reader->walking)
		pack_walk_close(&reader->walk);
	free(reader->contents);
	free(reader->image);
	free(reader->path);
	free(reader);
}

static void *open_npz(const char *path, struct error *err)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	if (reader == NULL || (reader->path = strdup(path)) == NULL) {
		free(reader);
		pack_out_of_memory(err);
		return NULL;
	}
	reader->contents = read_contents(path, err);
	int rc = reader->contents == NULL ? err->code : 0;
	if (rc == 0 && (reader->image = malloc(reader->contents->shape.bytes)) == NULL)
		rc = pack_out_of_memory(err);
	if (rc == 0)
		rc = open_array(&reader->walk, reader->path, reader->contents->images, err);
	reader->walking = rc == 0;
	if (rc == 0)
		return reader;
	close_npz(reader);
	return NULL;
}

static int read_npz(void *state, const struct pack_plan *plan, const struct pack_entry *entry,
	struct pack_contents *out, struct error *err)
{
	struct reader *reader = state;
	const struct contents *contents = reader->contents;
	(void)plan;
	for (; reader->next <= entry->ordinal; reader->next++) {
		int rc = read_exactly(
			&reader->walk, reader->image, contents->shape.bytes, reader->path, contents->images, err);
		if (rc < 0)
			return rc;
	}
	return pack_npy_pixels(&contents->shape, reader->image, out, err);
}

const struct pack_source pack_source_npz = {.name = "NumPy archive",
	.probe = is_npz,
	.scan = scan_npz,
	.open = open_npz,
	.read = read_npz,
	.close = close_npz,
	.any_order = false};
