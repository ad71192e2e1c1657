/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run's encoder makes of its data. A fixed random subset of the training images (the bank) and one of the test
 * images go through it once, in the centre view; their features h, whatever their length, are what
 * everything here is of: each test image's nearest in the bank, the classes they vote for, and the map.
 */
#include "tools/report_features.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/neighbours.h"
#include "model/tsne.h"
#include "stages/encode.h"
#include "tools/command.h"
#include "tools/encoder.h"
#include "tools/evaluate.h"
#include "tools/html_plot.h"
#include "tools/report_pictures.h"
#include "tools/views_option.h"

enum { ENCODE_ROWS = 256, NEIGHBOURS = 200, SHOWN = 6, SETS_MOST = 1024, CONFUSION_MOST = 20, PICTURE_SIDE = 96 };
enum { BANK, TEST, SIDES };

struct side {
	struct shard_set *set; /* NULL: not at hand */
	struct epoch_plan *plan;
	struct loader *loader;
	struct encode_table table;
};

struct features {
	struct html *html;
	const struct report_options *options;
	const struct report_run *run;
	struct runtime runtime;
	struct side side[SIDES];
	struct encoder encoder, untrained;
	double floor; /* percent that kNN knows by the untrained net; NAN: no classes */
	struct codec_context *codec;
	unsigned k, classes;	   /* classes 0: none, or not the same in both sets */
	struct neighbour *nearest; /* [test][k] */
	const char **class_names;
};

/* ---- Data ---- */

static void say_missing(struct features *f, const char *what, const char *why)
{
	html_card_begin(f->html, what, NULL, true);
	char text[1200];
	snprintf(text, sizeof text, "Left out: %.1100s.", why);
	html_note(f->html, text);
	html_card_end(f->html);
}

/* Those of the option, or those of the record. NULL with *err set. */
static struct shard_set *open_set(struct features *f, const char *given, const char *field, struct error *err)
{
	if (given)
		return runtime_open_shards(&f->runtime, &given, 1, err);
	const cJSON *item, *shards = cJSON_GetObjectItemCaseSensitive(
				   cJSON_GetObjectItemCaseSensitive(f->run->record, field), "shards");
	static const char *paths[SETS_MOST];
	unsigned count = 0;
	cJSON_ArrayForEach(item, shards)
	{
		if (cJSON_IsString(item) && count < SETS_MOST)
			paths[count++] = item->valuestring;
	}
	if (count == 0) {
		error_set(err, ERROR_USAGE, "run.json names no %s images; name some with --%s SHARD",
			strcmp(field, "test") == 0 ? "test" : "training", field);
		return NULL;
	}
	return runtime_open_shards(&f->runtime, paths, count, err);
}

static int keep(void *ctx, uint64_t first, const struct batch *batch, const float *features, struct error *err)
{
	if (command_interrupted())
		return error_set(err, ERROR_INTERRUPTED, "interrupted; nothing written");
	return encode_keep(ctx, first, batch, features, err);
}

static int prepare_side(struct features *f, unsigned which, uint64_t limit, struct error *err)
{
	struct side *side = &f->side[which];
	uint64_t records = shard_set_records(side->set);
	struct epoch_plan_config plan = {
		.order = EPOCH_SEQUENTIAL, .limit = limit < records ? limit : 0, .subset_seed = EVALUATE_SUBSET_SEED};
	side->plan = epoch_plan_create(side->set, &plan, err);
	if (!side->plan)
		return err->code;
	struct loader_config config = runtime_loader_config(&f->runtime);
	config.set = side->set;
	config.plan = side->plan;
	config.batch = ENCODE_ROWS;
	view_policies_init(&config.policies, 1, VIEW_CENTER, f->encoder.size, 0);
	side->loader = loader_create(f->runtime.arena, &config, err);
	if (!side->loader)
		return err->code;
	uint64_t count = epoch_plan_length(side->plan);
	side->table.dim = f->encoder.dim;
	side->table.features = arena_alloc(f->runtime.arena, "features", count * f->encoder.dim, sizeof(float), 0, err);
	side->table.labels = arena_alloc(f->runtime.arena, "features", count, sizeof(int32_t), 0, err);
	side->table.records = arena_alloc(f->runtime.arena, "features", count, sizeof(uint64_t), 0, err);
	return side->table.features && side->table.labels && side->table.records ? 0 : err->code;
}

static void keep_neighbours(void *ctx, size_t query, const struct neighbour *nearest, unsigned thread)
{
	(void)thread;
	const struct features *f = ctx;
	memcpy(f->nearest + query * f->k, nearest, f->k * sizeof *nearest);
}

/* Features of both sides, and the nearest of each test image. */
static int measure(struct features *f, const struct encoder *encoder, struct error *err)
{
	int code = 0;
	for (unsigned which = 0; code == 0 && which < SIDES; which++) {
		loader_once(f->side[which].loader);
		code = encode_images(f->side[which].loader, encoder->net, f->runtime.team, f->runtime.placement, keep,
			&f->side[which].table, err);
	}
	const struct encode_table *bank = &f->side[BANK].table, *test = &f->side[TEST].table;
	return code < 0 ? code
			: neighbours_find(f->runtime.team, encoder->dim, bank->features, bank->count, test->features,
				  test->count, f->k, keep_neighbours, f, err);
}

static const char *unlabelled(const struct features *f)
{
	if (f->classes == 0)
		return "training and test images do not have the same classes, or have none";
	for (unsigned which = 0; which < SIDES; which++)
		for (uint64_t i = 0; i < f->side[which].table.count; i++)
			if (f->side[which].table.labels[i] < 0)
				return "some of the images have no label";
	return NULL;
}

/* What the neighbours of test image i vote for. votes: [classes], scratch. */
static int32_t voted(const struct features *f, uint64_t i, double *votes)
{
	return neighbours_vote(
		f->nearest + i * f->k, f->k, f->side[BANK].table.labels, f->classes, EVALUATE_KNN_TEMPERATURE, votes);
}

/* The floor (RECIPE: a random encoder's kNN). Leaves the tables for others to fill. */
static int measure_floor(struct features *f, struct error *err)
{
	int code = measure(f, &f->untrained, err);
	f->floor = NAN;
	if (code < 0 || unlabelled(f))
		return code;
	double *votes = calloc(f->classes, sizeof *votes);
	if (!votes)
		return error_set(err, ERROR_MEMORY, "no memory for the votes of %u classes", f->classes);
	uint64_t right = 0, count = f->side[TEST].table.count;
	for (uint64_t i = 0; i < count; i++)
		right += voted(f, i, votes) == f->side[TEST].table.labels[i];
	free(votes);
	f->floor = 100 * (double)right / (double)count;
	return 0;
}

/* The classes of both sets, if they are the same ones. */
static unsigned common_classes(const struct features *f)
{
	const struct shard *bank = shard_set_at(f->side[BANK].set, 0), *test = shard_set_at(f->side[TEST].set, 0);
	return shard_same_classes(bank, test) ? shard_classes(bank) : 0;
}

static int encode_both(struct features *f, struct error *err)
{
	static const struct encoder_options as_file = {.kind = ENCODER_TRAINED, .model = "resnet18"},
					    untrained = {.kind = ENCODER_RANDOM, .model = "resnet18", .seed = 1};
	int code = encoder_open(&f->encoder, &f->runtime, &as_file, f->run->folder, ENCODE_ROWS, err);
	if (code == 0)
		code = encoder_open(&f->untrained, &f->runtime, &untrained, f->run->folder, ENCODE_ROWS, err);
	const cJSON *limit = report_option(f->run->record, "limit-images");
	uint64_t bank = f->options->bank_images;
	if (cJSON_IsNumber(limit) && limit->valuedouble >= 1 && limit->valuedouble < (double)bank)
		bank = (uint64_t)limit->valuedouble;
	if (code == 0)
		code = prepare_side(f, BANK, bank, err);
	if (code == 0)
		code = prepare_side(f, TEST, f->options->test_images, err);
	if (code < 0)
		return code;
	uint64_t count = epoch_plan_length(f->side[BANK].plan), queries = epoch_plan_length(f->side[TEST].plan);
	f->k = count < NEIGHBOURS ? (unsigned)count : NEIGHBOURS;
	f->classes = common_classes(f);
	f->nearest = calloc(queries * f->k + 1, sizeof *f->nearest);
	f->class_names = calloc(f->classes + 1, sizeof *f->class_names);
	if (!f->nearest || !f->class_names)
		return error_set(err, ERROR_MEMORY, "no memory for the neighbours of %" PRIu64 " images", queries);
	for (unsigned c = 0; c < f->classes; c++)
		f->class_names[c] = shard_class(shard_set_at(f->side[BANK].set, 0), c);
	code = measure_floor(f, err);
	return code < 0 ? code : measure(f, &f->encoder, err);
}

/* ---- Cards ---- */

static int put_views(struct features *f, struct error *err)
{
	const cJSON *record = f->run->record;
	const cJSON *views = report_option(record, "views"), *size = report_option(record, "size");
	const cJSON *strength = report_option(record, "strength"), *area = report_option(record, "area-min");
	const cJSON *seed = report_option(record, "seed"), *loss = report_option(record, "loss");
	if (!cJSON_IsNumber(size) || size->valuedouble < 8 || size->valuedouble > 1024) {
		say_missing(f, "Sample views", "run.json does not say how large the views were");
		return 0;
	}
	bool supervised = cJSON_IsString(loss) && strcmp(loss->valuestring, "cross-entropy") == 0;
	struct view_defaults defaults = {.size = (uint32_t)size->valuedouble,
		.views = supervised ? 1 : 2,
		.strength = cJSON_IsNumber(strength) ? (float)strength->valuedouble : 0.5F,
		.area_min = cJSON_IsNumber(area) ? (float)area->valuedouble : 0.08F};
	static struct view_policies policies; /* large */
	const char *text = cJSON_IsString(views) ? views->valuestring : "simclr";
	if (views_option_parse(&policies, text, &defaults, 0, err) < 0) {
		say_missing(f, "Sample views", err->message);
		*err = (struct error){0};
		return 0;
	}
	/* Over 2^53 a seed is kept as text. */
	uint64_t number = cJSON_IsString(seed)	 ? strtoull(seed->valuestring, NULL, 10)
			  : cJSON_IsNumber(seed) ? (uint64_t)seed->valuedouble
						 : 1;
	char note[400];
	snprintf(note, sizeof note,
		"Images of the training set with the crops outlined, and the views that a first epoch makes of them: "
		"--views '%.200s', seed %" PRIu64 ".",
		text, number);
	html_card_begin(f->html, "Sample views", note, true);
	int code = picture_put_views(f->html, f->codec, f->side[BANK].set, &policies, number, f->options->samples, err);
	html_card_end(f->html);
	return code;
}

static int put_neighbour(struct features *f, size_t query, unsigned place, struct error *err)
{
	const struct encode_table *bank = &f->side[BANK].table, *test = &f->side[TEST].table;
	struct neighbour neighbour = f->nearest[query * f->k + place];
	uint32_t row = neighbour.row;
	const char *mark = f->classes == 0 || test->labels[query] < 0 ? NULL
			   : bank->labels[row] == test->labels[query] ? "right"
								      : "wrong";
	fputs("<figure>", f->html->out);
	int code = picture_put_record(
		f->html->out, f->codec, f->side[BANK].set, bank->records[row], PICTURE_SIDE, mark, err);
	fputs("<figcaption>", f->html->out);
	html_text(f->html->out, picture_caption(f->side[BANK].set, bank->records[row]));
	fprintf(f->html->out, "<br>%.3f</figcaption></figure>\n", (double)neighbour.similarity);
	return code;
}

static int put_neighbours(struct features *f, struct error *err)
{
	const struct encode_table *test = &f->side[TEST].table;
	size_t queries = f->options->queries < test->count ? (size_t)f->options->queries : test->count;
	if (queries == 0)
		return 0;
	char note[300];
	snprintf(note, sizeof note,
		"Left a test image, then the %u nearest of %" PRIu64
		" training images by cosine on h, with the cosine.%s",
		f->k < SHOWN ? f->k : SHOWN, f->side[BANK].table.count,
		f->classes ? " Green: the same class; red: another." : "");
	html_card_begin(f->html, "Nearest neighbours", note, true);
	fputs("<div class=\"columns\">\n", f->html->out);
	int code = 0;
	for (size_t i = 0; code == 0 && i < queries; i++) {
		size_t query = i * test->count / queries;
		fputs("<div class=\"pictures row\"><figure class=\"query\">", f->html->out);
		code = picture_put_record(
			f->html->out, f->codec, f->side[TEST].set, test->records[query], PICTURE_SIDE, NULL, err);
		fputs("<figcaption>", f->html->out);
		html_text(f->html->out, picture_caption(f->side[TEST].set, test->records[query]));
		fputs("</figcaption></figure>\n", f->html->out);
		for (unsigned place = 0; code == 0 && place < SHOWN && place < f->k; place++)
			code = put_neighbour(f, query, place, err);
		fputs("</div>\n", f->html->out);
	}
	fputs("</div>\n", f->html->out);
	html_card_end(f->html);
	return code;
}

/* to: row scaled to length 1; zeros stay. */
static void copy_unit(float *to, const float *row, unsigned dim)
{
	double sum = 0;
	for (unsigned c = 0; c < dim; c++)
		sum += (double)row[c] * (double)row[c];
	double scale = sum > 0 ? 1 / sqrt(sum) : 0;
	for (unsigned c = 0; c < dim; c++)
		to[c] = (float)((double)row[c] * scale);
}

/* rows: [count][dim], map: [count][2], labels: [count], scratch. */
static int draw_map(struct features *f, size_t count, float *rows, float *map, int32_t *labels, struct error *err)
{
	const struct encode_table *test = &f->side[TEST].table;
	struct tsne_config config = {
		.perplexity = f->options->perplexity, .seed = f->options->seed, .stopped = command_interrupted};
	double divergence = 0;
	for (size_t i = 0; i < count; i++) {
		size_t row = i * test->count / count;
		copy_unit(rows + i * test->dim, test->features + row * test->dim, test->dim);
		labels[i] = f->classes ? test->labels[row] : -1;
	}
	int code = tsne_map(f->runtime.team, rows, count, test->dim, &config, map, &divergence, err);
	if (code < 0)
		return code;
	char note[300];
	snprintf(note, sizeof note,
		"t-SNE of h of %zu test images%s; perplexity %g, KL divergence %.3f. Near is alike; distances "
		"between groups mean little.",
		count, f->classes ? ", by class" : "", fmin(f->options->perplexity, (double)(count - 1) / 3),
		divergence);
	html_card_begin(f->html, "Map of the features", note, false);
	plot_points(f->html->out, map, labels, count, f->class_names, f->classes);
	html_card_end(f->html);
	return 0;
}

static int put_map(struct features *f, struct error *err)
{
	const struct encode_table *test = &f->side[TEST].table;
	size_t wanted = (size_t)f->options->map_images, count = test->count < wanted ? test->count : wanted;
	if (wanted == 0)
		return 0;
	if (count < 4) {
		say_missing(f, "Map of the features", "there are fewer than 4 test images");
		return 0;
	}
	float *rows = malloc(count * test->dim * sizeof *rows), *map = malloc(2 * count * sizeof *map);
	int32_t *labels = malloc(count * sizeof *labels);
	int code;
	if (rows && map && labels)
		code = draw_map(f, count, rows, map, labels, err);
	else
		code = error_set(err, ERROR_MEMORY, "no memory for a map of %zu images", count);
	free(rows);
	free(map);
	free(labels);
	return code;
}

struct confused {
	unsigned truth, taken;
	double count;
};

static int compare_confused(const void *a, const void *b)
{
	const struct confused *x = a, *y = b;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	if (x->truth != y->truth)
		return x->truth < y->truth ? -1 : 1;
	return (x->taken > y->taken) - (x->taken < y->taken);
}

/* Of many classes only the pairs that are confused most. */
static int put_confused(struct features *f, const double *counts, struct error *err)
{
	size_t cells = (size_t)f->classes * f->classes, some = 0;
	struct confused *list = calloc(cells, sizeof *list);
	if (!list)
		return error_set(err, ERROR_MEMORY, "no memory for the confusion of %u classes", f->classes);
	for (size_t i = 0; i < cells; i++)
		if (counts[i] > 0 && i / f->classes != i % f->classes)
			list[some++] =
				(struct confused){(unsigned)(i / f->classes), (unsigned)(i % f->classes), counts[i]};
	qsort(list, some, sizeof *list, compare_confused);
	html_table_begin(f->html, "class|taken for|>times");
	for (size_t i = 0; i < some && i < CONFUSION_MOST; i++) {
		html_row_begin(f->html);
		html_cell(f->html, false, "%s", f->class_names[list[i].truth]);
		html_cell(f->html, false, "%s", f->class_names[list[i].taken]);
		html_cell(f->html, true, "%.0f", list[i].count);
		html_row_end(f->html);
	}
	html_table_end(f->html);
	free(list);
	return 0;
}

/* counts, shares: [classes][classes], true class by the one taken for it. Returns how many were right. */
static size_t count_votes(const struct features *f, double *counts, double *shares, double *votes)
{
	const struct encode_table *test = &f->side[TEST].table;
	size_t right = 0;
	for (size_t i = 0; i < test->count; i++) {
		int32_t taken = voted(f, i, votes);
		counts[(size_t)test->labels[i] * f->classes + (size_t)taken] += 1;
		right += taken == test->labels[i];
	}
	for (unsigned r = 0; r < f->classes; r++) {
		double sum = 0;
		for (unsigned c = 0; c < f->classes; c++)
			sum += counts[(size_t)r * f->classes + c];
		for (unsigned c = 0; c < f->classes; c++)
			shares[(size_t)r * f->classes + c] = sum > 0 ? counts[(size_t)r * f->classes + c] / sum : 0;
	}
	return right;
}

static int put_confusion(struct features *f, struct error *err)
{
	const char *why = unlabelled(f);
	if (why) {
		say_missing(f, "Confusion of kNN", why);
		return 0;
	}
	size_t cells = (size_t)f->classes * f->classes;
	double *counts = calloc(2 * cells + f->classes, sizeof *counts);
	if (!counts)
		return error_set(err, ERROR_MEMORY, "no memory for the confusion of %u classes", f->classes);
	size_t right = count_votes(f, counts, counts + cells, counts + 2 * cells);
	char note[300];
	snprintf(note, sizeof note,
		"%u neighbours of %" PRIu64 " training images vote for each of %" PRIu64
		" test images: %.2f%% right, and %.2f%% by the same net before training. Rows: the true class; "
		"columns: what was voted%s.",
		f->k, f->side[BANK].table.count, f->side[TEST].table.count,
		100 * (double)right / (double)f->side[TEST].table.count, f->floor,
		f->classes > CONFUSION_MOST ? "; the pairs that are confused most" : "; images");
	html_card_begin(f->html, "Confusion of kNN", note, false);
	int code = 0;
	struct plot_heat heat = {.row_label = "true",
		.column_label = "voted",
		.unit = " images",
		.row_names = f->class_names,
		.column_names = f->class_names,
		.rows = f->classes,
		.columns = f->classes,
		.value = counts,
		.shade = counts + cells};
	if (f->classes > CONFUSION_MOST)
		code = put_confused(f, counts, err);
	else
		plot_heat(f->html->out, &heat);
	html_card_end(f->html);
	free(counts);
	return code;
}

/* ---- All of it ---- */

/* Whether a failure is of this run alone: then the page goes on without. */
static bool passable(const struct error *err)
{
	return err->code != ERROR_INTERRUPTED && err->code != ERROR_MEMORY;
}

static int put_all(struct features *f, bool with_views, struct error *err)
{
	f->side[BANK].set = open_set(f, f->options->data, "data", err);
	if (!f->side[BANK].set) {
		say_missing(f, "Pictures of the data", err->message);
		*err = (struct error){0};
		return 0;
	}
	f->codec = codec_context_create(f->runtime.isa, err);
	if (!f->codec)
		return err->code;
	if (with_views && f->options->samples > 0 && put_views(f, err) < 0)
		return err->code;
	f->side[TEST].set = open_set(f, f->options->test, "test", err);
	int code = f->side[TEST].set ? encode_both(f, err) : err->code;
	if (code < 0 && passable(err)) {
		say_missing(f, "Neighbours, map and confusion", err->message);
		*err = (struct error){0};
		return 0;
	}
	if (code == 0)
		code = put_map(f, err);
	if (code == 0)
		code = put_confusion(f, err);
	return code == 0 ? put_neighbours(f, err) : code;
}

int report_features(struct html *html, const struct report_options *options, const struct report_run *run,
	bool with_views, struct error *err)
{
	struct features *f = calloc(1, sizeof *f);
	if (!f)
		return error_set(err, ERROR_MEMORY, "out of memory for a report");
	f->html = html;
	f->options = options;
	f->run = run;
	int code = runtime_start(&f->runtime, &options->runtime, err);
	if (code == 0)
		code = put_all(f, with_views, err);
	for (unsigned which = 0; which < SIDES; which++) {
		loader_destroy(f->side[which].loader);
		epoch_plan_destroy(f->side[which].plan);
		shard_set_close(f->side[which].set);
	}
	codec_context_destroy(f->codec);
	free(f->nearest);
	free(f->class_names);
	runtime_stop(&f->runtime);
	free(f);
	return code;
}
