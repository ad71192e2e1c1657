/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/html_plot.h"

#include <math.h>
#include <string.h>

#include "tools/html_chart.h"
#include "tools/html_report.h"
#include "tools/html_svg.h"

enum { WIDTH = 520, LEFT = 50, RIGHT = 14, TOP = 26, FLOOR = 220, TICK_ROOM = 20, LABEL_ROOM = 18, TURNED_ROOM = 62 };
enum { LETTER = 7 /* about the width of one */, TICKS = 5, MOST_MARKS = 60, BAR_MOST = 56 };

static const char *colour_name(unsigned colour)
{
	static const char *const names[PLOT_COLOURS] = {"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"};
	return names[colour % PLOT_COLOURS];
}

static void legend(FILE *out, const struct plot *plot)
{
	if (plot->series_count < 2)
		return;
	fputs("<p class=\"legend\">", out);
	for (size_t s = 0; s < plot->series_count; s++)
		svg_key(out, colour_name(plot->series[s].colour), plot->series[s].name);
	fputs("</p>", out);
}

/* ---- Axes ---- */

struct frame {
	struct svg_axis x, y;
	bool log;
};

static double x_at(const struct frame *frame, double x)
{
	return svg_place(&frame->x, frame->log ? log(x) : x, LEFT, WIDTH - RIGHT);
}

static double y_at(const struct frame *frame, double y)
{
	return svg_place(&frame->y, y, FLOOR, TOP);
}

/* False when there is nothing to show. */
static bool make_frame(const struct plot *plot, bool zero, struct frame *frame)
{
	double x_low = INFINITY, x_high = -INFINITY, y_low = zero ? 0 : INFINITY, y_high = -INFINITY;
	for (size_t s = 0; s < plot->series_count; s++) {
		const struct plot_series *series = &plot->series[s];
		for (size_t i = 0; i < series->count; i++) {
			if (!isfinite(series->y[i]))
				continue;
			double x = plot->x.log ? log(series->x[i]) : series->x[i];
			x_low = fmin(x_low, x);
			x_high = fmax(x_high, x);
			y_low = fmin(y_low, series->low ? fmin(series->low[i], series->y[i]) : series->y[i]);
			y_high = fmax(y_high, series->high ? fmax(series->high[i], series->y[i]) : series->y[i]);
		}
	}
	if (!(x_high >= x_low) || !isfinite(x_low) || !isfinite(x_high) || !isfinite(y_low))
		return false;
	frame->log = plot->x.log;
	frame->y = svg_nice_axis(y_low, y_high, TICKS);
	if (plot->x_high > plot->x_low) {
		x_low = fmin(x_low, plot->x_low);
		x_high = fmax(x_high, plot->x_high);
	}
	double alone = x_high > x_low ? 0 : 0.5; /* one place stands in the middle */
	frame->x = (struct svg_axis){x_low - alone, x_high + alone, 0};
	return true;
}

/* Decimals that a step of the axis needs. */
static const char *tick_text(double value, double step, char text[24])
{
	if (fabs(value) >= 1e4 || (value != 0 && fabs(value) < 1e-3))
		return chart_number(value, text);
	int decimals = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
	snprintf(text, 24, "%.*f", decimals < 6 ? decimals : 6, fabs(value) < step * 1e-6 ? 0.0 : value);
	return text;
}

static void put_y_axis(FILE *out, const struct svg_axis *axis, const char *label)
{
	char text[24];
	unsigned steps = (unsigned)lround((axis->high - axis->low) / axis->step);
	for (unsigned i = 0; i <= steps; i++) {
		double value = axis->low + i * axis->step, y = svg_place(axis, value, FLOOR, TOP);
		svg_line(out, LEFT, y, WIDTH - RIGHT, y, "axis");
		svg_label(out, LEFT - 6, y + 4, "end", NULL, tick_text(value, axis->step, text));
	}
	if (label)
		svg_label(out, 0, 12, "start", NULL, label);
}

static size_t longest(const char *const *names, size_t count)
{
	size_t most = 0;
	for (size_t i = 0; i < count; i++)
		most = strlen(names[i]) > most ? strlen(names[i]) : most;
	return most;
}

/* Names too long to stand side by side are turned. */
static bool turned(const struct plot_axis *axis, size_t places)
{
	return axis->ticks && places > 0 &&
	       (double)(longest(axis->names, axis->tick_count) * LETTER + LETTER) >
		       (double)(WIDTH - LEFT - RIGHT) / (double)places;
}

static int chart_height(const struct plot_axis *axis, bool turn)
{
	return FLOOR + (turn ? TURNED_ROOM : TICK_ROOM) + (axis->label ? LABEL_ROOM : 0);
}

static void begin(FILE *out, int height)
{
	fprintf(out, "<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH, height);
}

static void put_tick(FILE *out, double x, bool turn, const char *text)
{
	enum { SHOWN = 15 };
	char cut[4 * SHOWN + 8];
	if (!turn) {
		bool over = x + (double)(strlen(text) * LETTER) / 2 > WIDTH;
		svg_label(out, over ? WIDTH : x, FLOOR + 16, over ? "end" : "middle", NULL, text);
		return;
	}
	snprintf(cut, sizeof cut, strlen(text) > SHOWN ? "%.*s\xE2\x80\xA6" : "%.*s",
		SHOWN - 1 + (strlen(text) <= SHOWN), text);
	fprintf(out, "<g transform=\"translate(%.1f %d) rotate(-32)\">", x + 4, FLOOR + 14);
	svg_label(out, 0, 0, "end", NULL, cut);
	fputs("</g>\n", out);
}

static void put_x_axis(FILE *out, const struct plot *plot, const struct frame *frame, bool turn)
{
	const struct plot_axis *axis = &plot->x;
	if (axis->ticks) {
		double last = -INFINITY; /* on a log axis neighbours may come too close */
		for (size_t i = 0; i < axis->tick_count; i++) {
			double x = x_at(frame, axis->ticks[i]);
			if (!turn && x - last < (double)(strlen(axis->names[i]) * LETTER))
				continue;
			put_tick(out, x, turn, axis->names[i]);
			last = x;
		}
	} else {
		struct svg_axis ticks = svg_nice_axis(frame->x.low, frame->x.high, 7);
		if (plot->integer_x && ticks.step < 1)
			ticks = (struct svg_axis){floor(ticks.low), ceil(ticks.high), 1};
		unsigned steps = (unsigned)lround((ticks.high - ticks.low) / ticks.step);
		for (unsigned i = 0; i <= steps; i++) {
			double value = ticks.low + i * ticks.step;
			char text[24];
			if (value >= frame->x.low - 1e-9 && value <= frame->x.high + 1e-9)
				put_tick(out, x_at(frame, value), false, tick_text(value, ticks.step, text));
		}
	}
	if (axis->label)
		svg_label(out, (LEFT + WIDTH - RIGHT) / 2.0, chart_height(axis, turn) - 5, "middle", NULL, axis->label);
}

/* "name, 0.1: 87.8 (87.1 to 88.4)" */
static void hint(const struct plot *plot, const struct plot_series *series, size_t i, char *text, size_t capacity)
{
	char at[64];
	snprintf(at, sizeof at, "%.6g", series->x[i]);
	const char *name = at;
	for (size_t k = 0; plot->x.ticks && k < plot->x.tick_count; k++)
		name = plot->x.ticks[k] == series->x[i] ? plot->x.names[k] : name;
	int length = snprintf(text, capacity, "%.100s, %.100s: %.6g", series->name, name, series->y[i]);
	if (series->low && length > 0 && (size_t)length < capacity && series->high[i] > series->low[i])
		snprintf(text + length, capacity - (size_t)length, " (%.6g to %.6g)", series->low[i], series->high[i]);
}

/* ---- Lines ---- */

static void put_band(FILE *out, const struct plot_series *series, const struct frame *frame)
{
	if (!series->low || series->count < 2)
		return;
	for (size_t i = 0; i < series->count; i++)
		if (!isfinite(series->y[i]))
			return;
	fprintf(out, "<path class=\"band\" style=\"fill:var(--%s)\" d=\"", colour_name(series->colour));
	for (size_t i = 0; i < series->count; i++)
		fprintf(out, "%c%.1f %.1f", i == 0 ? 'M' : 'L', x_at(frame, series->x[i]),
			y_at(frame, series->high[i]));
	for (size_t i = series->count; i-- > 0;)
		fprintf(out, "L%.1f %.1f", x_at(frame, series->x[i]), y_at(frame, series->low[i]));
	fputs("Z\"/>\n", out);
}

static void put_whisker(FILE *out, const struct frame *frame, double x, double low, double high)
{
	double top = y_at(frame, high), bottom = y_at(frame, low);
	if (bottom - top < 1)
		return;
	svg_line(out, x, top, x, bottom, "whisker");
	svg_line(out, x - 3, top, x + 3, top, "whisker");
	svg_line(out, x - 3, bottom, x + 3, bottom, "whisker");
}

static void put_line(FILE *out, const struct plot *plot, const struct plot_series *series, const struct frame *frame)
{
	const char *colour = colour_name(series->colour);
	size_t shown = 0;
	fprintf(out, "<path style=\"stroke:var(--%s)\" d=\"", colour);
	for (size_t i = 0; i < series->count; i++)
		if (isfinite(series->y[i]))
			fprintf(out, "%c%.1f %.1f", shown++ == 0 ? 'M' : 'L', x_at(frame, series->x[i]),
				y_at(frame, series->y[i]));
	fputs("\"><title>", out);
	html_text(out, series->name);
	fputs("</title></path>\n", out);
	/* Each point can be read off, as long as they do not run together. */
	for (size_t i = 0; shown <= MOST_MARKS && i < series->count; i++) {
		char text[320];
		if (!isfinite(series->y[i]))
			continue;
		hint(plot, series, i, text, sizeof text);
		fprintf(out, "<circle r=\"3\" cx=\"%.1f\" cy=\"%.1f\" fill=\"var(--%s)\"><title>",
			x_at(frame, series->x[i]), y_at(frame, series->y[i]), colour);
		html_text(out, text);
		fputs("</title></circle>\n", out);
	}
}

void plot_lines(FILE *out, const struct plot *plot)
{
	struct frame frame;
	bool some = make_frame(plot, plot->from_zero, &frame), turn = turned(&plot->x, plot->x.tick_count);
	legend(out, plot);
	begin(out, chart_height(&plot->x, turn));
	if (some) {
		put_y_axis(out, &frame.y, plot->y_label);
		put_x_axis(out, plot, &frame, turn);
		for (size_t s = 0; s < plot->series_count; s++)
			put_band(out, &plot->series[s], &frame);
		for (size_t s = 0; s < plot->series_count; s++)
			put_line(out, plot, &plot->series[s], &frame);
	}
	fputs("</svg>\n", out);
}

/* ---- Bars ---- */

static void put_bar(FILE *out, const struct plot *plot, const struct plot_series *series, size_t i, double x,
	double width, const struct frame *frame)
{
	char text[320], number[32];
	double y = y_at(frame, series->y[i]), zero = y_at(frame, fmax(frame->y.low, 0));
	hint(plot, series, i, text, sizeof text);
	svg_rectangle(out, x, fmin(y, zero), width - 1, fmax(fabs(zero - y), 0.5), colour_name(series->colour), text);
	double top = y;
	if (series->low) {
		put_whisker(out, frame, x + width / 2 - 0.5, series->low[i], series->high[i]);
		top = fmin(top, y_at(frame, series->high[i]));
	}
	snprintf(number, sizeof number, "%.1f", series->y[i]);
	if ((double)(strlen(number) * 6) <= width) {
		svg_label(out, x + width / 2, top - 4, "middle", "small", number);
	} else if (width > 10 && zero - y > 44) { /* upright, within the bar, below the spread */
		double below = series->low ? y_at(frame, series->low[i]) : y;
		fprintf(out, "<g transform=\"translate(%.1f %.1f) rotate(-90)\">", x + width / 2 + 3, below + 5);
		svg_label(out, 0, 0, "end", "over small", number);
		fputs("</g>\n", out);
	}
}

/* Bars start at 0, unless all are so high that their differences would not be seen; the axis's label then says so. */
static void bars_from(struct svg_axis *axis)
{
	double low = axis->low, high = axis->high;
	if (low > 0.5 * high)
		low = fmax(low - 0.5 * (high - low), 0);
	else
		low = fmin(low, 0);
	*axis = svg_nice_axis(low, high, TICKS);
}

void plot_bars(FILE *out, const struct plot *plot)
{
	struct frame frame;
	size_t groups = plot->x.tick_count;
	bool some = groups > 0 && make_frame(plot, false, &frame), turn = turned(&plot->x, groups);
	char label[160];
	if (some)
		bars_from(&frame.y);
	snprintf(label, sizeof label, some && frame.y.low > 0 ? "%.80s (the axis starts at %g)" : "%.80s",
		plot->y_label ? plot->y_label : "", some ? frame.y.low : 0);
	legend(out, plot);
	begin(out, chart_height(&plot->x, turn));
	if (some) {
		frame.log = false;
		frame.x = (struct svg_axis){-0.5, (double)groups - 0.5, 0};
		double group = (double)(WIDTH - LEFT - RIGHT) / (double)groups;
		double width = fmin(group * 0.8 / (double)plot->series_count, BAR_MOST);
		put_y_axis(out, &frame.y, label);
		put_x_axis(out, plot, &frame, turn);
		for (size_t s = 0; s < plot->series_count; s++) {
			const struct plot_series *series = &plot->series[s];
			double from = ((double)s - (double)plot->series_count / 2) * width;
			for (size_t i = 0; i < series->count; i++)
				if (isfinite(series->y[i]))
					put_bar(out, plot, series, i, x_at(&frame, series->x[i]) + from, width, &frame);
		}
	}
	fputs("</svg>\n", out);
}

/* ---- Heat maps ---- */

static void put_cell(FILE *out, const struct plot_heat *heat, size_t row, size_t column, double x, double y,
	double width, double height, double share)
{
	size_t at = row * heat->columns + column;
	char number[32];
	snprintf(number, sizeof number, "%.*f", (int)heat->decimals, heat->value[at]);
	fprintf(out,
		"<g><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\" fill=\"var(--c0)\" "
		"fill-opacity=\"%.3f\"/>",
		x, y, width - 2, height - 2, 0.06 + 0.94 * share);
	bool spread = heat->low && heat->high[at] > heat->low[at], two = spread && height >= 30;
	const char *over = share > 0.68 ? "over" : "name";
	bool small = width < 34;
	char class[24];
	snprintf(class, sizeof class, "%s%s", over, small ? " small" : "");
	if ((double)(strlen(number) * (small ? 5 : LETTER)) <= width)
		svg_label(out, x + width / 2 - 1, y + height / 2 + (two ? -2 : 3), "middle", class, number);
	if (two) {
		char half[40];
		snprintf(half, sizeof half, "\xC2\xB1%.*f", (int)heat->decimals, (heat->high[at] - heat->low[at]) / 2);
		snprintf(class, sizeof class, "%s small", over);
		svg_label(out, x + width / 2 - 1, y + height / 2 + 11, "middle", class, half);
	}
	fputs("<title>", out);
	html_text(out, heat->row_names[row]);
	fputs(", ", out);
	html_text(out, heat->column_names[column]);
	fprintf(out, ": %.*f", (int)heat->decimals, heat->value[at]);
	html_text(out, heat->unit ? heat->unit : "");
	if (spread)
		fprintf(out, " (%.*f to %.*f)", (int)heat->decimals, heat->low[at], (int)heat->decimals,
			heat->high[at]);
	fputs("</title></g>\n", out);
}

static void heat_range(const struct plot_heat *heat, const double *shade, double *low, double *high)
{
	*low = INFINITY;
	*high = -INFINITY;
	for (size_t i = 0; i < heat->rows * heat->columns; i++)
		if (isfinite(heat->value[i]) && isfinite(shade[i])) {
			*low = fmin(*low, shade[i]);
			*high = fmax(*high, shade[i]);
		}
}

/* A name of at most so many letters. */
static void put_name(FILE *out, double x, double y, const char *anchor, const char *text, size_t letters)
{
	char cut[64];
	snprintf(cut, sizeof cut, strlen(text) > letters ? "%.*s\xE2\x80\xA6" : "%.*s",
		(int)(strlen(text) > letters ? letters - 1 : letters), text);
	svg_label(out, x, y, anchor, "name", cut);
}

void plot_heat(FILE *out, const struct plot_heat *heat)
{
	enum { NAMES_MOST = 16, EDGE = 4, HEADING = 18 };
	const double *shade = heat->shade ? heat->shade : heat->value;
	size_t row_letters = longest(heat->row_names, heat->rows);
	size_t column_letters = longest(heat->column_names, heat->columns);
	row_letters = row_letters < NAMES_MOST ? row_letters : NAMES_MOST;
	column_letters = column_letters < NAMES_MOST ? column_letters : NAMES_MOST;
	double left = (double)(row_letters * LETTER + 10);
	double width = (WIDTH - left - EDGE) / (double)(heat->columns ? heat->columns : 1);
	bool turn = (double)(column_letters * LETTER + 4) > width;
	if (turn && heat->columns > 0) { /* the last name leans over the edge */
		double over = fmin((double)strlen(heat->column_names[heat->columns - 1]), (double)column_letters) *
			      LETTER * 0.8;
		width -= fmax(over - width / 2 - EDGE, 0) / (double)heat->columns;
	}
	double height = fmin(fmax(width * 0.85, 22), 44);
	double head = HEADING + (turn ? (double)column_letters * LETTER * 0.6 + 12 : 18), low, high;
	heat_range(heat, shade, &low, &high);
	begin(out, (int)(head + height * (double)heat->rows) + EDGE);
	char corner[200];
	snprintf(corner, sizeof corner, "%.80s \xE2\x86\x93   %.80s \xE2\x86\x92", heat->row_label, heat->column_label);
	svg_label(out, 0, 12, "start", NULL, corner);
	for (size_t c = 0; c < heat->columns; c++) {
		double x = left + ((double)c + 0.5) * width;
		if (turn)
			fprintf(out, "<g transform=\"translate(%.1f %.1f) rotate(-37)\">", x, head - 6);
		put_name(out, turn ? 0 : x, turn ? 0 : head - 6, turn ? "start" : "middle", heat->column_names[c],
			column_letters);
		if (turn)
			fputs("</g>\n", out);
	}
	for (size_t r = 0; r < heat->rows; r++) {
		double y = head + (double)r * height;
		put_name(out, left - 8, y + height / 2 + 3, "end", heat->row_names[r], row_letters);
		for (size_t c = 0; c < heat->columns; c++) {
			size_t at = r * heat->columns + c;
			if (isfinite(heat->value[at]) && isfinite(shade[at]))
				put_cell(out, heat, r, c, left + (double)c * width, y, width, height,
					high > low ? (shade[at] - low) / (high - low) : 0.5);
		}
	}
	fputs("</svg>\n", out);
}

/* ---- Points ---- */

static void put_point(FILE *out, unsigned shape, double x, double y)
{
	if (shape == 0)
		fprintf(out, "<circle r=\"2.6\" cx=\"%.1f\" cy=\"%.1f\"/>", x, y);
	else if (shape == 1)
		fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"4.6\" height=\"4.6\"/>", x - 2.3, y - 2.3);
	else
		fprintf(out, "<path class=\"solid\" d=\"M%.1f %.1fl3.2 5.6h-6.4z\"/>", x, y - 3.4);
}

void plot_points(
	FILE *out, const float *xy, const int32_t *labels, size_t count, const char *const *classes, size_t class_count)
{
	enum { SIDE = 500, MOST_KEYS = 3 * PLOT_COLOURS, EDGE = 6 };
	double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
	for (size_t i = 0; i < 2 * count; i++) {
		low[i % 2] = fmin(low[i % 2], (double)xy[i]);
		high[i % 2] = fmax(high[i % 2], (double)xy[i]);
	}
	/* One scale for both: distances are what the map is of. */
	double span = fmax(fmax(high[0] - low[0], high[1] - low[1]), 1e-30);
	fputs("<p class=\"legend\">", out);
	for (size_t c = 0; c < class_count && class_count <= MOST_KEYS; c++)
		svg_key(out, colour_name((unsigned)c), classes[c]);
	fputs("</p>", out);
	fprintf(out, "<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\">\n", SIDE, SIDE);
	for (size_t c = 0; c <= class_count; c++) {
		bool none = c == class_count;
		fprintf(out, "<g fill=\"var(--%s)\" fill-opacity=\"0.75\"><title>",
			none ? "soft" : colour_name((unsigned)c));
		html_text(out, none ? "no class" : classes[c]);
		fputs("</title>", out);
		for (size_t i = 0; i < count; i++) {
			if ((none ? class_count : (size_t)(unsigned)labels[i]) != c || (none && labels[i] >= 0))
				continue;
			double x = ((double)xy[2 * i] - (low[0] + high[0]) / 2) / span + 0.5;
			double y = ((double)xy[2 * i + 1] - (low[1] + high[1]) / 2) / span + 0.5;
			put_point(out, none ? 0 : (unsigned)(c / PLOT_COLOURS % 3), EDGE + x * (SIDE - 2 * EDGE),
				SIDE - EDGE - y * (SIDE - 2 * EDGE));
		}
		fputs("</g>\n", out);
	}
	fputs("</svg>\n", out);
}
