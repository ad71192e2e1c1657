/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A picture of a data set: some of its images, spread over the classes, each over its class and key.
 *
 * Of C classes (records without a label are one more) and N images: where N >= C, every class gets N / C, the first
 * N % C one more, as far as it has them, evenly over its records; else N classes, evenly over all, get one. So the same
 * set gives the same sheet, and a class that looks wrong is seen.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stages/codec.h"
#include "tools/command.h"
#include "tools/contact_sheet.h"
#include "tools/inspect.h"

enum { COLUMNS = 10, CELL = 112, GAP = 10, MARGIN = 16, TITLE_BYTES = 1200 };
enum { CAPTION_BYTES = 80, LINES = 2, LINE_HEIGHT = 15 };
enum { INK = 0x20242a, FADED = 0x6a6f76, WRONG = 0xb00020 };

/* One class on its way through the records: how many it has, how many are shown, and how many went by and were taken.
 */
struct class_share {
	uint64_t records, shown, seen, taken;
};

struct pick {
	uint64_t record;
	uint32_t class; /* the number of classes: no label */
};

struct sheet {
	const struct shard_set *set;
	struct contact_sheet *paper;
	struct codec_context *codec;
	struct pick *picks;
	size_t count;
};

static int compare_picks(const void *a, const void *b)
{
	const struct pick *x = a, *y = b;
	if (x->class != y->class)
		return x->class < y->class ? -1 : 1;
	return (x->record > y->record) - (x->record < y->record);
}

static uint32_t class_of(const struct shard_set *set, uint64_t number)
{
	const int32_t label = shard_set_record(set, number)->label;
	return label < 0 ? shard_classes(shard_set_at(set, 0)) : (uint32_t)label;
}

/* How many of each class are shown. */
static void share_out(struct class_share *shares, uint32_t classes, uint64_t count)
{
	uint64_t present = 0, place = 0;
	for (uint32_t i = 0; i < classes; i++)
		present += shares[i].records > 0;
	for (uint32_t i = 0; i < classes; i++) {
		if (shares[i].records == 0)
			continue;
		uint64_t shown = count / present + (place < count % present);
		if (count < present) /* whether place is the first of its count-th part of all */
			shown = (place + 1) * count / present - place * count / present;
		shares[i].shown = shown < shares[i].records ? shown : shares[i].records;
		place++;
	}
}

static int choose(struct sheet *sheet, uint64_t count, struct error *err)
{
	const uint32_t classes = shard_classes(shard_set_at(sheet->set, 0)) + 1;
	const uint64_t records = shard_set_records(sheet->set);
	struct class_share *shares = calloc(classes, sizeof(*shares));
	sheet->picks = calloc((size_t)count, sizeof(*sheet->picks));
	if (shares == NULL || sheet->picks == NULL) {
		free(shares);
		return error_set(err, ERROR_MEMORY, "out of memory for %u classes", classes);
	}
	for (uint64_t i = 0; i < records; i++)
		shares[class_of(sheet->set, i)].records++;
	share_out(shares, classes, count);
	for (uint64_t i = 0; i < records; i++) {
		const uint32_t class = class_of(sheet->set, i);
		struct class_share *share = &shares[class];
		/* The first record of each of `shown` equal parts. */
		if (share->taken < share->shown && share->seen == share->taken * share->records / share->shown) {
			share->taken++;
			sheet->picks[sheet->count++] = (struct pick){i, class};
		}
		share->seen++;
	}
	free(shares);
	qsort(sheet->picks, sheet->count, sizeof(*sheet->picks), compare_picks);
	return 0;
}

/* Decodes the record to malloc'd rgb [height][width][3]; NULL and a reason where it does not decode. */
static uint8_t *decode(const struct sheet *sheet, uint64_t number, struct error *err)
{
	unsigned shard = 0;
	uint32_t local = 0;
	unsigned char *data = NULL;
	size_t bytes = 0;
	shard_set_locate(sheet->set, number, &shard, &local);
	const struct shard_record *record = shard_record(shard_set_at(sheet->set, shard), local);
	const size_t pixels = (size_t)record->width * record->height;
	if (pixels > CODEC_MAX_PIXELS) {
		error_set(err, ERROR_DECODE, "too large to be decoded");
		return NULL;
	}
	if (shard_read_record(shard_set_at(sheet->set, shard), local, &data, &bytes, err) != 0)
		return NULL;
	uint8_t *rgb = malloc(pixels * 3);
	if (rgb == NULL)
		error_set(err, ERROR_MEMORY, "no memory to decode it");
	else if (codec_decode(sheet->codec, (enum shard_codec)record->codec, data, bytes, record->width, record->height,
			 rgb, pixels * 3, err) != 0) {
		free(rgb);
		rgb = NULL;
	}
	free(data);
	return rgb;
}

/* The end of the key, which is what tells images of a class apart, in one line. */
static void caption_key(const char *key, char caption[CAPTION_BYTES])
{
	const size_t bytes = strlen(key);
	size_t start = bytes > CAPTION_BYTES ? bytes - CAPTION_BYTES : 0;
	while (contact_sheet_text_height(SHEET_SMALL, key + start, CELL) > LINE_HEIGHT && start < bytes)
		start++;
	/* Whole names of folders, where a slash is left. */
	const char *slash = start > 0 ? strchr(key + start, '/') : NULL;
	snprintf(caption, CAPTION_BYTES, "%s", slash != NULL && slash[1] != '\0' ? slash + 1 : key + start);
}

static void caption_class(const char *name, char caption[CAPTION_BYTES])
{
	snprintf(caption, CAPTION_BYTES, "%s", name);
	for (size_t end = CAPTION_BYTES - 1; end > 0; end--) {
		if (contact_sheet_text_height(SHEET_SMALL, caption, CELL) <= LINE_HEIGHT)
			break;
		caption[end] = '\0';
	}
}

static int draw_pick(const struct sheet *sheet, const struct pick *pick, uint32_t x, uint32_t y, struct error *err)
{
	const struct shard_record *record = shard_set_record(sheet->set, pick->record);
	const char *name = record->label < 0 ? NULL : shard_class(shard_set_at(sheet->set, 0), (uint32_t)record->label);
	char caption[CAPTION_BYTES];
	struct error why = {0};
	int rc = 0;
	uint8_t *rgb = decode(sheet, pick->record, &why);
	if (rgb != NULL) {
		struct sheet_place place;
		rc = contact_sheet_picture(sheet->paper, rgb, record->width, record->height, x, y, CELL, &place, err);
	} else {
		command_note("inspect", "record %" PRIu64 " (%.200s) cannot be shown: %s", pick->record, record->key,
			why.message);
		contact_sheet_text(
			sheet->paper, SHEET_BOLD, "does not decode", x, y + CELL / 2 - LINE_HEIGHT, CELL, WRONG);
	}
	free(rgb);
	caption_class(name != NULL ? name : "no label", caption);
	contact_sheet_text(sheet->paper, SHEET_SMALL, caption, x, y + CELL + 2, CELL, INK);
	caption_key(record->key, caption);
	contact_sheet_text(sheet->paper, SHEET_SMALL, caption, x, y + CELL + 2 + LINE_HEIGHT, CELL, FADED);
	return rc;
}

static int draw(struct sheet *sheet, const char *name, const char *path, struct error *err)
{
	const uint32_t columns = sheet->count > 0 && sheet->count < COLUMNS ? (uint32_t)sheet->count : COLUMNS;
	const uint32_t rows = ((uint32_t)sheet->count + columns - 1) / columns,
		       row_height = CELL + LINES * LINE_HEIGHT + GAP;
	const uint32_t width = 2 * MARGIN + columns * (CELL + GAP) - GAP;
	char title[TITLE_BYTES];
	snprintf(title, sizeof title, "%.1000s: %zu of %" PRIu64 " images, classes: %u", name, sheet->count,
		shard_set_records(sheet->set), shard_classes(shard_set_at(sheet->set, 0)));
	const uint32_t top = MARGIN + contact_sheet_text_height(SHEET_BOLD, title, width - 2 * MARGIN) + GAP;
	sheet->paper = contact_sheet_create(width, top + rows * row_height - GAP + MARGIN, err);
	int rc = sheet->paper == NULL ? err->code : 0;
	if (rc == 0)
		contact_sheet_text(sheet->paper, SHEET_BOLD, title, MARGIN, MARGIN, width - 2 * MARGIN, INK);
	for (uint32_t i = 0; i < sheet->count && rc == 0; i++)
		rc = draw_pick(sheet, &sheet->picks[i], MARGIN + i % columns * (CELL + GAP),
			top + i / columns * row_height, err);
	return rc == 0 ? contact_sheet_write(sheet->paper, path, err) : rc;
}

int inspect_sheet(const struct shard_set *set, const char *name, uint64_t count, const char *path, struct error *err)
{
	struct sheet sheet = {.set = set};
	const uint64_t records = shard_set_records(set);
	sheet.codec = codec_context_create(cpu_detect(), err);
	int rc = sheet.codec == NULL ? err->code : choose(&sheet, count < records ? count : records, err);
	if (rc == 0)
		rc = draw(&sheet, name, path, err);
	contact_sheet_destroy(sheet.paper);
	codec_context_destroy(sheet.codec);
	free(sheet.picks);
	return rc;
}
