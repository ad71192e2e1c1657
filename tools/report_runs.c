/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page of one run or several. Every number that metrics.jsonl and timings.jsonl hold gets a chart over epochs: the
 * known ones first, with what they mean, then whatever else there is, by its name. Runs share the charts.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/html_plot.h"
#include "tools/html_report.h"
#include "tools/report_features.h"
#include "tools/report_page.h"
#include "tools/report_read.h"

enum { QUANTITIES_MOST = 40, TEXT_BYTES = 512 };

struct quantity {
	const char *field, *name, *note;
	double factor;
	const char *format; /* of a final value */
	bool timing;	    /* from timings.jsonl */
	bool best;	    /* a score: its best epoch is told too */
	bool zero;	    /* the axis starts at 0 */
};

static const struct quantity known[] = {
	{"loss", "Loss", "Mean over the epoch's steps.", 1, "%.4f", false, false, false},
	{"contrast_acc", "Contrastive accuracy, %", "How often the other view of the same image is the nearest.", 100,
		"%.2f", false, false, false},
	{"accuracy", "Training accuracy, %", "Of the supervised classifier, on augmented images.", 1, "%.2f", false,
		false, false},
	{"top1", "Test accuracy, %", "Of the supervised classifier.", 1, "%.2f", false, true, false},
	{"linear", "Linear probe, %", "Top-1 on the test images: logistic regression on frozen features h.", 1, "%.2f",
		false, true, false},
	{"knn", "kNN, %", "Top-1 on the test images: nearest neighbours by cosine on h.", 1, "%.2f", false, true,
		false},
	{"probe", "Online probe, %",
		"Accuracy of a linear classifier that learns on h beside the encoder, over the epoch's batches.", 1,
		"%.2f", false, true, false},
	{"entropy", "Entropy, nats", "Of the softmax over the positive and the negatives (the paper's Table 5).", 1,
		"%.4f", false, false, false},
	{"alignment", "Alignment", "Mean squared distance of the two views' z; lower is closer (Wang & Isola 2020).", 1,
		"%.4f", false, false, false},
	{"uniformity", "Uniformity",
		"Log of the mean Gaussian potential between images' z; lower is more even (Wang & Isola 2020).", 1,
		"%.4f", false, false, false},
	{"lr", "Learning rate", "At the epoch's last step.", 1, "%.6g", false, false, true},
	{"images_per_s", "Images/s", "Over each epoch, evaluation included.", 1, "%.1f", true, false, true},
};

struct page {
	struct html html;
	const struct report_options *options;
	struct report_run runs[REPORT_RUNS_MOST];
	unsigned count;
	struct quantity quantities[QUANTITIES_MOST];
	size_t quantity_count;
	double last_epoch; /* of any run: all charts end there */
};

static const cJSON *lines_of(const struct report_run *run, const struct quantity *quantity)
{
	return quantity->timing ? run->timings : run->metrics;
}

static bool any_has(const struct page *page, const struct quantity *quantity)
{
	for (unsigned i = 0; i < page->count; i++) {
		const cJSON *line;
		cJSON_ArrayForEach(line, lines_of(&page->runs[i], quantity))
		{
			if (!isnan(report_number(line, quantity->field)))
				return true;
		}
	}
	return false;
}

static bool listed(const struct page *page, const char *field)
{
	static const char *const others[] = {"epoch", "step", "seconds"};
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		if (strcmp(field, others[i]) == 0)
			return true;
	for (size_t i = 0; i < page->quantity_count; i++)
		if (strcmp(field, page->quantities[i].field) == 0)
			return true;
	return false;
}

static void find_quantities(struct page *page)
{
	for (unsigned i = 0; i < page->count; i++) {
		const cJSON *line;
		cJSON_ArrayForEach(line, page->runs[i].metrics)
		{
			page->last_epoch = fmax(page->last_epoch, report_number(line, "epoch"));
		}
	}
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (any_has(page, &known[i]))
			page->quantities[page->quantity_count++] = known[i];
	for (unsigned i = 0; i < page->count; i++) {
		const cJSON *line, *item;
		cJSON_ArrayForEach(line, page->runs[i].metrics)
		{
			cJSON_ArrayForEach(item, line)
			{
				if (cJSON_IsNumber(item) && !listed(page, item->string) &&
					page->quantity_count < QUANTITIES_MOST)
					page->quantities[page->quantity_count++] = (struct quantity){
						item->string, item->string, NULL, 1, "%.6g", false, false, false};
			}
		}
	}
}

/* ---- Curves ---- */

static int put_curve(struct page *page, const struct quantity *quantity, struct error *err)
{
	struct plot_series series[REPORT_RUNS_MOST];
	size_t lines = 0, used = 0;
	for (unsigned i = 0; i < page->count; i++)
		lines += (size_t)cJSON_GetArraySize(lines_of(&page->runs[i], quantity));
	double *memory = calloc(2 * lines + 1, sizeof *memory), *next = memory;
	if (!memory)
		return error_set(err, ERROR_MEMORY, "out of memory for a chart");
	for (unsigned i = 0; i < page->count; i++) {
		const cJSON *line, *all = lines_of(&page->runs[i], quantity);
		size_t room = (size_t)cJSON_GetArraySize(all), count = 0;
		double *x = next, *y = next + room;
		next += 2 * room;
		cJSON_ArrayForEach(line, all)
		{
			double value = report_number(line, quantity->field), epoch = report_number(line, "epoch");
			if (isnan(value) || isnan(epoch))
				continue;
			x[count] = epoch;
			y[count++] = quantity->factor * value;
		}
		if (count > 0)
			series[used++] = (struct plot_series){
				.name = page->runs[i].name, .count = count, .x = x, .y = y, .colour = i};
	}
	struct plot plot = {.x = {.label = "epoch"},
		.x_low = 1,
		.x_high = page->last_epoch,
		.series = series,
		.series_count = used,
		.from_zero = quantity->zero,
		.integer_x = true};
	html_card_begin(&page->html, quantity->name, quantity->note, false);
	plot_lines(page->html.out, &plot);
	html_card_end(&page->html);
	free(memory);
	return 0;
}

/* ---- Tables ---- */

static double last_value(const struct report_run *run, const struct quantity *quantity)
{
	double last = NAN;
	const cJSON *line;
	cJSON_ArrayForEach(line, lines_of(run, quantity))
	{
		double value = report_number(line, quantity->field);
		last = isnan(value) ? last : quantity->factor * value;
	}
	return last;
}

static double best_value(const struct report_run *run, const struct quantity *quantity, double *epoch)
{
	double best = NAN;
	const cJSON *line;
	cJSON_ArrayForEach(line, lines_of(run, quantity))
	{
		double value = quantity->factor * report_number(line, quantity->field);
		if (!isnan(value) && !(value <= best)) {
			best = value;
			*epoch = report_number(line, "epoch");
		}
	}
	return best;
}

static void number_text(double value, const char *format, char *text, size_t capacity)
{
	if (isnan(value))
		snprintf(text, capacity, "-");
	else if (strcmp(format, "%.4f") == 0)
		snprintf(text, capacity, "%.4f", value);
	else if (strcmp(format, "%.2f") == 0)
		snprintf(text, capacity, "%.2f", value);
	else if (strcmp(format, "%.1f") == 0)
		snprintf(text, capacity, "%.1f", value);
	else
		snprintf(text, capacity, "%.6g", value);
}

static double total_seconds(const struct report_run *run)
{
	double sum = 0;
	const cJSON *line;
	cJSON_ArrayForEach(line, run->timings)
	{
		double seconds = report_number(line, "seconds");
		sum += isnan(seconds) ? 0 : seconds;
	}
	return sum;
}

static void put_values(struct page *page)
{
	struct html *html = &page->html;
	html_card_begin(html, "Final values",
		"Of the last epoch that has them; in brackets the best epoch, where it is another.", true);
	html_table_head_begin(html);
	html_head_cell(html, false, "run");
	html_head_cell(html, true, "epochs");
	for (size_t q = 0; q < page->quantity_count; q++)
		html_head_cell(html, true, page->quantities[q].name);
	html_head_cell(html, true, "hours");
	html_table_head_end(html);
	for (unsigned i = 0; i < page->count; i++) {
		const struct report_run *run = &page->runs[i];
		char text[64], best_text[64], epochs[64] = "";
		html_row_begin(html);
		html_cell(html, false, "%s", run->name);
		const cJSON *wanted = report_option(run->record, "epochs");
		double done =
			report_number(cJSON_GetArrayItem(run->metrics, cJSON_GetArraySize(run->metrics) - 1), "epoch");
		if (cJSON_IsNumber(wanted) && wanted->valuedouble > done)
			snprintf(epochs, sizeof epochs, " of %.10g", wanted->valuedouble);
		html_cell(html, true, "%.10g%s", isnan(done) ? 0 : done, epochs);
		for (size_t q = 0; q < page->quantity_count; q++) {
			const struct quantity *quantity = &page->quantities[q];
			double epoch = 0, last = last_value(run, quantity), best = best_value(run, quantity, &epoch);
			number_text(last, quantity->format, text, sizeof text);
			number_text(best, quantity->format, best_text, sizeof best_text);
			if (quantity->best && best > last)
				html_cell(html, true, "%s (%s, %.10g)", text, best_text, epoch);
			else
				html_cell(html, true, "%s", text);
		}
		double hours = total_seconds(run) / 3600;
		html_cell(html, true, hours > 0 ? "%.3g" : "-", hours);
		html_row_end(html);
	}
	html_table_end(html);
	html_card_end(html);
}

/* Whether the option's values are not all the same; an option that one run does not know counts. */
static bool differs(const struct page *page, const char *name)
{
	for (unsigned i = 1; i < page->count; i++)
		if (!cJSON_Compare(
			    report_option(page->runs[0].record, name), report_option(page->runs[i].record, name), true))
			return true;
	return false;
}

static void put_differences(struct page *page)
{
	struct html *html = &page->html;
	static const char *const own[] = {"output", "resume", "report", "trace", "quiet", "json", "config"};
	html_card_begin(html, "Options that differ", NULL, true);
	html_table_head_begin(html);
	html_head_cell(html, false, "option");
	for (unsigned i = 0; i < page->count; i++)
		html_head_cell(html, false, page->runs[i].name);
	html_table_head_end(html);
	size_t shown = 0;
	for (unsigned r = 0; r < page->count; r++) {
		const cJSON *option, *options = cJSON_GetObjectItemCaseSensitive(page->runs[r].record, "options");
		cJSON_ArrayForEach(option, options)
		{
			bool skip = !differs(page, option->string);
			for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
				skip = skip || strcmp(own[i], option->string) == 0;
			for (unsigned k = 0; k < r; k++) /* listed with an earlier run's */
				skip = skip || report_option(page->runs[k].record, option->string);
			if (skip)
				continue;
			html_row_begin(html);
			html_cell(html, false, "--%s", option->string);
			for (unsigned i = 0; i < page->count; i++) {
				char text[TEXT_BYTES];
				html_cell(html, false, "%s",
					report_item_text(report_option(page->runs[i].record, option->string), text,
						sizeof text));
			}
			html_row_end(html);
			shown++;
		}
	}
	html_table_end(html);
	if (shown == 0)
		html_note(html, "None: the runs were asked for the same.");
	html_card_end(html);
}

static void put_tiles(struct page *page)
{
	static const char *const wanted[] = {"top1", "linear", "knn", "probe", "contrast_acc", "loss"};
	struct html *html = &page->html;
	const struct report_run *run = &page->runs[0];
	char text[64];
	html_tiles_begin(html);
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
		for (size_t q = 0; q < page->quantity_count; q++) {
			const struct quantity *quantity = &page->quantities[q];
			if (strcmp(quantity->field, wanted[i]) != 0)
				continue;
			number_text(last_value(run, quantity), quantity->format, text, sizeof text);
			html_tile(html, text, quantity->name);
		}
	double hours = total_seconds(run) / 3600;
	if (hours < 1.0 / 60)
		snprintf(text, sizeof text, "%.1f s", 3600 * hours);
	else if (hours < 1)
		snprintf(text, sizeof text, "%.1f min", 60 * hours);
	else
		snprintf(text, sizeof text, "%.2f h", hours);
	html_tile(html, text, "of training");
	html_tiles_end(html);
}

static int put_page(struct page *page, struct error *err)
{
	struct html *html = &page->html;
	int code = 0;
	if (page->count == 1)
		put_tiles(page);
	html_grid_begin(html);
	put_values(page);
	if (page->count > 1)
		put_differences(page);
	for (size_t q = 0; code == 0 && q < page->quantity_count; q++)
		code = put_curve(page, &page->quantities[q], err);
	html_grid_end(html);
	for (unsigned i = 0; code == 0 && page->options->pictures && i < page->count; i++) {
		if (page->count > 1)
			html_heading(html, page->runs[i].name);
		html_grid_begin(html);
		code = report_features(html, page->options, &page->runs[i], page->count == 1, err);
		html_grid_end(html);
	}
	html_grid_begin(html);
	for (unsigned i = 0; i < page->count; i++) {
		char heading[TEXT_BYTES];
		snprintf(heading, sizeof heading, "Options and machine%s%s", page->count > 1 ? ": " : "",
			page->count > 1 ? page->runs[i].name : "");
		html_settings_of(html, heading, cJSON_GetObjectItemCaseSensitive(page->runs[i].record, "machine"),
			cJSON_GetObjectItemCaseSensitive(page->runs[i].record, "options"));
	}
	html_grid_end(html);
	return code;
}

int report_runs_write(
	const struct report_options *options, const char *const *folders, unsigned count, struct error *err)
{
	struct page *page = calloc(1, sizeof *page);
	if (!page)
		return error_set(err, ERROR_MEMORY, "out of memory for a report");
	page->options = options;
	int code = 0;
	for (unsigned i = 0; code == 0 && i < count && i < REPORT_RUNS_MOST; i++) {
		page->count = i + 1;
		code = report_run_read(&page->runs[i], folders[i], err);
	}
	if (code == 0) {
		char title[TEXT_BYTES];
		report_name_runs(page->runs, page->count);
		find_quantities(page);
		if (options->title)
			snprintf(title, sizeof title, "%s", options->title);
		else if (count == 1)
			snprintf(title, sizeof title, "ringclr: %s", page->runs[0].name);
		else
			snprintf(title, sizeof title, "ringclr: %u runs compared", count);
		code = html_begin(&page->html, title, err);
		if (code == 0) {
			code = put_page(page, err);
			if (code == 0)
				code = html_finish(&page->html, options->output, err);
			else
				html_abandon(&page->html);
		}
	}
	for (unsigned i = 0; i < page->count; i++)
		report_run_free(&page->runs[i]);
	free(page);
	return code;
}
