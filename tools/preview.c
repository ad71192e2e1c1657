/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringclr preview: the augmented views that training sees, as one picture.
 *
 * A row is an image as it is, with the crops of its views outlined, then the views, each over its parameters. They
 * come from the functions and the random streams of training: (seed, epoch, record, view). So the sheet shows what a
 * run with this seed and these options gets, not something like it.
 *
 * Rows are records spread evenly over the shard at epoch 0 or, with --record, one record at epochs 0, 1, 2...
 *
 * Heights are known before anything is decoded, because parameters depend on an image's size alone, which the index
 * has.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/shard.h"
#include "stages/codec.h"
#include "stages/views.h"
#include "tools/command.h"
#include "tools/contact_sheet.h"
#include "tools/json.h"
#include "tools/options.h"
#include "tools/views_option.h"

struct preview_options {
	const char *output, *views;
	uint64_t size, rows, seed, record;
	double strength;
	bool json;
};

static const struct option_spec spec[] = {
	OPTION_STRING(struct preview_options, output, "output", "FILE", NULL, "PNG file to write", .letter = 'o',
		.required = true),
	OPTION_U64(struct preview_options, rows, "rows", "N", "8", 1, 200, "images to show"),
	OPTION_U64(struct preview_options, record, "record", "I", "0", 0, UINT32_MAX,
		"show this record only, a row for each of the first epochs"),
	OPTION_FLAG(struct preview_options, json, "json", "no",
		"print the rows and their parameters as one line of JSON", .incidental = true),
	OPTION_GROUP("Views, as training makes them"),
	OPTION_U64(struct preview_options, size, "size", "PIXELS", "32", 8, 1024, "side of the views"),
	OPTION_U64(struct preview_options, seed, "seed", "N", "1", 0, UINT64_MAX, "the run's seed"),
	OPTION_DOUBLE(struct preview_options, strength, "strength", "S", "0.5", 0, 4,
		"strength of simclr's colour jitter; 1 by default where views are larger than 32 pixels"),
	OPTION_STRING(struct preview_options, views, "views", "TEXT", "simclr",
		"what views of each image are made, as listed below; two where it says no number"),
};

const struct option_table command_preview_table = {
	.command = "preview",
	.spec = spec,
	.count = sizeof(spec) / sizeof(spec[0]),
	.about = "Draws a contact sheet of the augmented views that training sees: per row an image with the crops "
		 "outlined, then the views over their parameters (crop x,y and size; b, c, s, h: brightness, "
		 "contrast, saturation, hue, in order of application; gray; blur).",
	.operands = "SHARD",
	.operand_help = "a shard",
	.operand_min = 1,
	.operand_max = 1,
	.notes = views_option_help,
	.examples = "ringclr preview train.ring -o views.png\n"
		    "ringclr preview train.ring -o views.png --record 7 --size 224\n"
		    "ringclr preview train.ring -o views.png --views 'simclr | simclr solarize | center'\n",
};

enum { MARGIN = 20, GAP = 16, MIN_CELL = 160, TEXT_GAP = 6, TITLE_BYTES = SHARD_MAX_KEY + 1024, CAPTION_BYTES = 512 };
enum { INK = 0x20242a, FADED = 0x6a6f76, RULE = 0xd0d0ca };
enum { COLOURS = 8 };
static const uint32_t view_colours[COLOURS] = {
	0xd1500f, 0x1a62b8, 0x2e8b3d, 0x9b2d9b, 0xb8860b, 0x008b8b, 0xc2185b, 0x5b5b5b};

struct preview {
	const struct preview_options *options;
	const char *path;
	struct view_policies policies;
	struct shard *shard;
	struct codec_context *codec;
	struct contact_sheet *sheet;
	cJSON *listed; /* array of what each row shows */
	uint32_t rows, cell, width, height;
	bool one_record;
};

/* One row before it is drawn. */
struct row {
	uint32_t record, epoch;
	struct view_params params[VIEW_MAX_VIEWS];
	char title[TITLE_BYTES];
	char captions[VIEW_MAX_VIEWS][CAPTION_BYTES];
	uint32_t title_height, caption_height;
};

static void plan_row(const struct preview *preview, uint32_t number, struct row *row)
{
	const uint32_t records = shard_records(preview->shard);
	row->record = preview->one_record ? (uint32_t)preview->options->record
					  : (uint32_t)((uint64_t)number * records / preview->rows);
	row->epoch = preview->one_record ? number : 0;
	const struct shard_record *record = shard_record(preview->shard, row->record);
	row->caption_height = 0;
	for (uint32_t view = 0; view < preview->policies.count; view++) {
		struct philox stream =
			philox_stream(preview->options->seed, row->epoch, row->record, view, PHILOX_AUGMENT);
		view_params_draw(
			&row->params[view], &preview->policies.view[view], record->width, record->height, &stream);
		view_params_describe(&row->params[view], row->captions[view], sizeof row->captions[view]);
		const uint32_t height = contact_sheet_text_height(SHEET_SMALL, row->captions[view], preview->cell);
		row->caption_height = height > row->caption_height ? height : row->caption_height;
	}
	const char *label = record->label < 0 ? "no label" : shard_class(preview->shard, (uint32_t)record->label);
	char at_epoch[32] = "";
	if (preview->one_record)
		snprintf(at_epoch, sizeof at_epoch, "epoch %" PRIu32 ": ", row->epoch);
	snprintf(row->title, sizeof row->title, "%srecord %" PRIu32 ", %s, %ux%u, %s", at_epoch, row->record, label,
		record->width, record->height, record->key);
	row->title_height = contact_sheet_text_height(SHEET_BOLD, row->title, preview->width - 2 * MARGIN);
}

static uint32_t row_height(const struct preview *preview, const struct row *row)
{
	return GAP + row->title_height + TEXT_GAP + preview->cell + TEXT_GAP + row->caption_height;
}

/* Decodes a record to malloc'd rgb [height][width][3]. */
static uint8_t *decode_record(const struct preview *preview, uint32_t number, struct error *err)
{
	const struct shard_record *record = shard_record(preview->shard, number);
	unsigned char *data = NULL;
	size_t bytes = 0;
	if (shard_read_record(preview->shard, number, &data, &bytes, err) != 0)
		return NULL;
	const size_t capacity = (size_t)record->width * record->height * 3;
	uint8_t *rgb = malloc(capacity);
	struct error cause = {0};
	if (rgb == NULL)
		error_set(err, ERROR_MEMORY, "no memory to decode record %" PRIu32 " of %s", number, preview->path);
	else if (codec_decode(preview->codec, (enum shard_codec)record->codec, data, bytes, record->width,
			 record->height, rgb, capacity, &cause) != 0) {
		error_set(err, cause.code, "%s: record %" PRIu32 " (%.200s): %s", preview->path, number, record->key,
			cause.message);
		free(rgb);
		rgb = NULL;
	}
	free(data);
	return rgb;
}

/* Makes one view of rgb and places it with its left upper corner at (x, y). */
static int draw_view(const struct preview *preview, const struct view_policy *policy, const struct view_params *params,
	const uint8_t *rgb, uint32_t width, uint32_t height, uint32_t x, uint32_t y, struct error *err)
{
	const uint32_t size = policy->size;
	const size_t values = (size_t)size * size * 3;
	const size_t scratch_bytes = view_scratch_floats(policy, width, height) * sizeof(float);
	float *scratch = aligned_alloc(64, (scratch_bytes + 127) / 64 * 64);
	float *view = aligned_alloc(64, (values * sizeof(float) + 63) / 64 * 64);
	uint8_t *bytes = malloc(values);
	int status = 0;
	if (scratch == NULL || view == NULL || bytes == NULL) {
		status = error_set(err, ERROR_MEMORY, "no memory to make a view of %" PRIu32 " pixels a side", size);
	} else {
		view_apply(policy, params, rgb, width, height, scratch, view);
		for (size_t i = 0; i < values; i++)
			bytes[i] = (uint8_t)(view[i] * 255.0F + 0.5F);
		struct sheet_place place;
		status = contact_sheet_picture(preview->sheet, bytes, size, size, x, y, preview->cell, &place, err);
	}
	free(scratch);
	free(view);
	free(bytes);
	return status;
}

static int draw_row(const struct preview *preview, const struct row *row, uint32_t y, struct error *err)
{
	const struct shard_record *record = shard_record(preview->shard, row->record);
	uint8_t *rgb = decode_record(preview, row->record, err);
	if (rgb == NULL)
		return err->code;
	contact_sheet_line(preview->sheet, MARGIN, y + GAP / 2, preview->width - 2 * MARGIN, RULE);
	y += GAP;
	contact_sheet_text(preview->sheet, SHEET_BOLD, row->title, MARGIN, y, preview->width - 2 * MARGIN, INK);
	y += row->title_height + TEXT_GAP;
	struct sheet_place place;
	int status = contact_sheet_picture(
		preview->sheet, rgb, record->width, record->height, MARGIN, y, preview->cell, &place, err);
	for (uint32_t view = 0; view < preview->policies.count && status == 0; view++) {
		const struct view_params *params = &row->params[view];
		const uint32_t x = MARGIN + (view + 1) * (preview->cell + GAP);
		contact_sheet_frame(preview->sheet, &place, params->x, params->y, params->width, params->height,
			view_colours[view % COLOURS]);
		status = draw_view(
			preview, &preview->policies.view[view], params, rgb, record->width, record->height, x, y, err);
		contact_sheet_text(preview->sheet, SHEET_SMALL, row->captions[view], x, y + preview->cell + TEXT_GAP,
			preview->cell, INK);
	}
	free(rgb);
	return status;
}

static void list_row(const struct preview *preview, const struct row *row)
{
	cJSON *entry = cJSON_CreateObject(), *views = cJSON_CreateArray();
	cJSON_AddNumberToObject(entry, "record", row->record);
	cJSON_AddStringToObject(entry, "key", shard_record(preview->shard, row->record)->key);
	cJSON_AddNumberToObject(entry, "epoch", row->epoch);
	for (uint32_t view = 0; view < preview->policies.count; view++)
		cJSON_AddItemToArray(views, cJSON_CreateString(row->captions[view]));
	cJSON_AddItemToObject(entry, "views", views);
	cJSON_AddItemToArray(preview->listed, entry);
}

/* Heads a view's column: its number, and its policy where not all have the same. */
static void describe_column(const struct preview *preview, uint32_t view, char text[VIEW_POLICIES_TEXT_BYTES])
{
	for (uint32_t other = 0; other < preview->policies.count; other++)
		if (!view_policy_same(&preview->policies.view[view], &preview->policies.view[other])) {
			view_policy_print(&preview->policies.view[view], text);
			return;
		}
	text[0] = '\0';
}

/* What every row has in common, and the headings of the columns. Returns the height; sheet NULL: only measures. */
static uint32_t draw_head(const struct preview *preview, struct contact_sheet *sheet)
{
	static char title[TITLE_BYTES + VIEW_POLICIES_TEXT_BYTES], text[VIEW_POLICIES_TEXT_BYTES];
	const uint32_t inner = preview->width - 2 * MARGIN, size = preview->policies.view[0].size;
	snprintf(title, sizeof title, "%.1000s: views of %" PRIu32 "x%" PRIu32 " pixels, seed %" PRIu64 "%s",
		preview->path, size, size, preview->options->seed, preview->one_record ? "" : ", epoch 0");
	describe_column(preview, 0, text);
	if (text[0] == '\0') {
		view_policy_print(&preview->policies.view[0], text);
		snprintf(title + strlen(title), sizeof title - strlen(title), ": %s", text);
	}
	const uint32_t title_height = contact_sheet_text_height(SHEET_BOLD, title, inner);
	const uint32_t headings = MARGIN + title_height + TEXT_GAP;
	const uint32_t below = headings + contact_sheet_text_height(SHEET_BOLD, "view", inner);
	uint32_t height = below;
	if (sheet != NULL) {
		contact_sheet_text(sheet, SHEET_BOLD, title, MARGIN, MARGIN, inner, INK);
		contact_sheet_text(sheet, SHEET_SMALL, "original", MARGIN, headings, preview->cell, FADED);
	}
	for (uint32_t view = 0; view < preview->policies.count; view++) {
		const uint32_t x = MARGIN + (view + 1) * (preview->cell + GAP);
		describe_column(preview, view, text);
		const uint32_t bottom = below + contact_sheet_text_height(SHEET_SMALL, text, preview->cell);
		height = bottom > height ? bottom : height;
		if (sheet == NULL)
			continue;
		contact_sheet_text(sheet, SHEET_SMALL, text, x, below, preview->cell, FADED);
		snprintf(text, sizeof text, "view %" PRIu32, view + 1);
		contact_sheet_text(sheet, SHEET_BOLD, text, x, headings, preview->cell, view_colours[view % COLOURS]);
	}
	return height;
}

static int draw_sheet(struct preview *preview, struct error *err)
{
	/* Views are enlarged by a whole factor to MIN_CELL or more. */
	const uint32_t size = preview->policies.view[0].size;
	preview->cell = size * ((MIN_CELL + size - 1) / size);
	preview->width = 2 * MARGIN + (preview->policies.count + 1) * preview->cell + preview->policies.count * GAP;
	struct row *row = malloc(sizeof *row);
	if (row == NULL)
		return error_set(err, ERROR_MEMORY, "no memory for a row's text");
	const uint32_t head = draw_head(preview, NULL);
	uint32_t height = head + MARGIN;
	for (uint32_t i = 0; i < preview->rows; i++) {
		plan_row(preview, i, row);
		height += row_height(preview, row);
	}
	preview->sheet = contact_sheet_create(preview->width, height, err);
	int status = preview->sheet == NULL ? err->code : 0;
	if (status == 0)
		draw_head(preview, preview->sheet);
	uint32_t y = head;
	for (uint32_t i = 0; i < preview->rows && status == 0; i++) {
		plan_row(preview, i, row);
		status = draw_row(preview, row, y, err);
		list_row(preview, row);
		y += row_height(preview, row);
		if (status == 0 && command_interrupted())
			status = error_set(err, ERROR_INTERRUPTED, "interrupted; nothing written");
	}
	free(row);
	if (status == 0)
		status = contact_sheet_write(preview->sheet, preview->options->output, err);
	preview->height = height;
	return status;
}

/* Says what was drawn; returns the exit code. */
static int print_result(struct preview *preview)
{
	if (!preview->options->json) {
		printf("%s: %" PRIu32 " rows, %" PRIu32 "x%" PRIu32 " pixels\n", preview->options->output,
			preview->rows, preview->width, preview->height);
		return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
	}
	cJSON *json = cJSON_CreateObject();
	cJSON_AddStringToObject(json, "output", preview->options->output);
	cJSON_AddNumberToObject(json, "width", preview->width);
	cJSON_AddNumberToObject(json, "height", preview->height);
	cJSON_AddItemToObject(json, "rows", preview->listed);
	preview->listed = NULL;
	return json_print(json);
}

static int run_preview(struct preview *preview, struct error *err)
{
	preview->shard = shard_open(preview->path, false, err);
	if (preview->shard == NULL)
		return err->code;
	const uint32_t records = shard_records(preview->shard);
	if (records == 0)
		return error_set(err, ERROR_MISMATCH, "%s holds no records: nothing to show", preview->path);
	if (preview->one_record && preview->options->record >= records)
		return error_set(err, ERROR_USAGE, "--record %" PRIu64 ": %s has records 0 to %" PRIu32,
			preview->options->record, preview->path, records - 1);
	preview->rows = (uint32_t)preview->options->rows;
	if (!preview->one_record && preview->rows > records)
		preview->rows = records;
	preview->codec = codec_context_create(cpu_detect(), err);
	if (preview->codec == NULL)
		return err->code;
	return draw_sheet(preview, err);
}

int command_preview(int argc, char **argv)
{
	struct options options;
	struct preview_options given = {0};
	int code = options_parse(&options, &command_preview_table, &given, argc, argv);
	if (code != OPTIONS_GO)
		return code;
	command_catch_interrupts();
	if (given.size > 32 && options_origin(&options, "strength") == OPTION_DEFAULT)
		given.strength = 1.0;
	struct preview preview = {.options = &given, .path = options.operands[0]};
	preview.listed = cJSON_CreateArray();
	preview.one_record = options_given(&options, "record");
	const struct view_defaults defaults = {
		.size = (uint32_t)given.size, .views = 2, .strength = (float)given.strength, .area_min = 0.08F};
	struct error err = {0};
	int status = views_option_parse(&preview.policies, given.views, &defaults, 0, &err);
	if (status == 0)
		status = run_preview(&preview, &err);
	code = status == 0 ? print_result(&preview) : command_fail("preview", &err);
	cJSON_Delete(preview.listed);
	contact_sheet_destroy(preview.sheet);
	codec_context_destroy(preview.codec);
	shard_close(preview.shard);
	options_free(&options);
	return code;
}
