/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/html_chart.h"

#include <math.h>

#include "tools/html_report.h"
#include "tools/html_svg.h"

enum { WIDTH = 520, HEIGHT = 210, LEFT = 46, RIGHT = 12, TOP = 8, BOTTOM = 24, ROW = 24, NAME = 112 };

static const char *scaled(double value, const char *const units[], const double sizes[], unsigned count, char text[24])
{
	unsigned i = 0;
	while (i + 1 < count && fabs(value) < sizes[i])
		i++;
	double shown = value / sizes[i];
	snprintf(text, 24, fabs(shown) >= 100 ? "%.0f%s" : "%.3g%s", shown, units[i]);
	return text;
}

const char *chart_number(double value, char text[24])
{
	static const char *const units[] = {"M", "k", ""};
	static const double sizes[] = {1e6, 1e4, 1};
	if (fabs(value) >= 1e4 && fabs(value) < 1e6) {
		snprintf(text, 24, "%.3gk", value / 1000);
		return text;
	}
	return scaled(value, units, sizes, 3, text);
}

const char *chart_time(double ns, char text[24])
{
	static const char *const units[] = {" s", " ms", " \xC2\xB5s", " ns"};
	static const double sizes[] = {1e9, 1e6, 1e3, 1};
	return scaled(ns, units, sizes, 4, text);
}

static void begin(FILE *out, int height)
{
	fprintf(out, "<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH, height);
}

static void end(FILE *out)
{
	fputs("</svg>\n", out);
}

/* ---- Shares ---- */

void chart_shares(FILE *out, const struct chart_share *rows, size_t count)
{
	static const char *const colours[] = {"busy", "same", "up", "down"};
	static const char *const names[] = {"working", "other work of the same threads", "waiting for the stage before",
		"waiting for the stage after"};
	fputs("<p class=\"legend\">", out);
	for (unsigned i = 0; i < 4; i++)
		svg_key(out, colours[i], names[i]);
	fputs("</p>", out);
	begin(out, (int)count * ROW + 4);
	const double room = WIDTH - NAME - 46;
	for (size_t i = 0; i < count; i++) {
		double x = NAME, y = (double)i * ROW + 4,
		       part[] = {rows[i].busy, rows[i].same, rows[i].upstream, rows[i].downstream};
		char text[96];
		svg_label(out, NAME - 8, y + 13, "end", "name", rows[i].name);
		for (unsigned p = 0; p < 4; p++) {
			snprintf(text, sizeof text, "%s: %.1f%% %s", rows[i].name, 100 * part[p], names[p]);
			svg_rectangle(out, x, y, part[p] * room, ROW - 7, colours[p], text);
			x += part[p] * room;
		}
		snprintf(text, sizeof text, "%.0f%%", 100 * part[0]);
		svg_label(out, WIDTH, y + 13, "end", NULL, text);
	}
	end(out);
}

/* ---- Lines ---- */

static void put_y_axis(FILE *out, const struct svg_axis *axis)
{
	char text[24];
	unsigned steps = (unsigned)lround((axis->high - axis->low) / axis->step);
	for (unsigned i = 0; i <= steps; i++) {
		double value = axis->low + i * axis->step;
		double y = svg_place(axis, value, HEIGHT - BOTTOM, TOP);
		svg_line(out, LEFT, y, WIDTH - RIGHT, y, "axis");
		svg_label(out, LEFT - 6, y + 4, "end", NULL, chart_number(fabs(value) < 1e-9 ? 0 : value, text));
	}
}

static void put_path(FILE *out, const struct chart_series *series, const struct svg_axis *x, const struct svg_axis *y,
	unsigned colour)
{
	fprintf(out, "<path style=\"stroke:var(--c%u)\" d=\"", colour);
	for (size_t i = 0; i < series->count; i++)
		fprintf(out, "%c%.1f %.1f", i == 0 ? 'M' : 'L', svg_place(x, series->x[i], LEFT, WIDTH - RIGHT),
			svg_place(y, series->y[i], HEIGHT - BOTTOM, TOP));
	fputs("\"><title>", out);
	html_text(out, series->name);
	fputs("</title></path>\n", out);
	if (series->count == 1) /* a path of one point draws nothing */
		fprintf(out, "<circle r=\"3\" cx=\"%.1f\" cy=\"%.1f\" fill=\"var(--c%u)\"/>\n",
			svg_place(x, series->x[0], LEFT, WIDTH - RIGHT),
			svg_place(y, series->y[0], HEIGHT - BOTTOM, TOP), colour);
}

void chart_lines(FILE *out, const struct chart_series *series, size_t count, const char *unit, int floating)
{
	double x_low = INFINITY, x_high = -INFINITY, y_low = floating ? INFINITY : 0, y_high = -INFINITY;
	for (size_t s = 0; s < count; s++)
		for (size_t i = 0; i < series[s].count; i++) {
			x_low = fmin(x_low, series[s].x[i]);
			x_high = fmax(x_high, series[s].x[i]);
			y_low = fmin(y_low, series[s].y[i]);
			y_high = fmax(y_high, series[s].y[i]);
		}
	if (count > 1) {
		fputs("<p class=\"legend\">", out);
		for (size_t s = 0; s < count; s++)
			svg_key(out, (const char *[]){"c0", "c1", "c2", "c3", "c4"}[s % CHART_SERIES], series[s].name);
		fputs("</p>", out);
	}
	begin(out, HEIGHT);
	if (x_high >= x_low) {
		/* x keeps its own ends, so that the lines fill the chart. */
		struct svg_axis y = svg_nice_axis(y_low, y_high, 4),
				x = {x_low, x_high > x_low ? x_high : x_low + 1, 0};
		struct svg_axis ticks = svg_nice_axis(x.low, x.high, 6);
		put_y_axis(out, &y);
		unsigned steps = (unsigned)lround((ticks.high - ticks.low) / ticks.step);
		for (unsigned i = 0; i <= steps; i++) {
			char number[24], text[40];
			double value = ticks.low + i * ticks.step;
			if (value < x.low - 1e-9 || value > x.high + 1e-9)
				continue;
			snprintf(text, sizeof text, "%s%s", chart_number(fabs(value) < 1e-9 ? 0 : value, number), unit);
			svg_label(out, svg_place(&x, value, LEFT, WIDTH - RIGHT), HEIGHT - 8, "middle", NULL, text);
		}
		for (size_t s = 0; s < count; s++)
			put_path(out, &series[s], &x, &y, (unsigned)s % CHART_SERIES);
	}
	end(out);
}

/* ---- Times ---- */

/* Buckets are put together by fours: a quarter of an octave each. */
enum {
	TOGETHER = 4,
	BARS = HISTOGRAM_BUCKETS / TOGETHER,
	TIMES_HEIGHT = 160,
	MARKS = 30 /* for the labels of the percentiles */
};

static double time_place(double ns, double low, double high)
{
	double share = (log(ns) - log(low)) / (log(high) - log(low));
	return LEFT + (WIDTH - RIGHT - LEFT) * (share < 0 ? 0 : share > 1 ? 1 : share);
}

static double bar_start(unsigned bar)
{
	double start = (double)histogram_bucket_start(bar * TOGETHER);
	return start < 1 ? 1 : start;
}

static void put_mark(
	FILE *out, const struct histogram *times, double share, const char *name, double low, double high, double y)
{
	char text[64], number[24];
	double ns = (double)histogram_percentile(times, share), x = time_place(ns < 1 ? 1 : ns, low, high);
	svg_line(out, x, TOP, x, TIMES_HEIGHT - BOTTOM, "base");
	snprintf(text, sizeof text, "%s %s", name, chart_time(ns, number));
	bool right = x > WIDTH - 110;
	svg_label(out, x + (right ? -4 : 4), y, right ? "end" : "start", NULL, text);
}

void chart_times(FILE *out, const struct histogram *times)
{
	double count[BARS], most = 0, total = 0;
	unsigned first = BARS, last = 0;
	for (unsigned bar = 0; bar < BARS; bar++) {
		count[bar] = 0;
		for (unsigned i = 0; i < TOGETHER; i++)
			count[bar] += atomic_load_explicit(&times->count[bar * TOGETHER + i], memory_order_relaxed);
		total += count[bar];
		most = fmax(most, count[bar]);
		if (count[bar] > 0) {
			first = bar < first ? bar : first;
			last = bar;
		}
	}
	begin(out, TIMES_HEIGHT);
	if (total > 0) {
		double low = bar_start(first > 0 ? first - 1 : 0), high = bar_start(last + 2);
		double floor_y = TIMES_HEIGHT - BOTTOM, room = floor_y - TOP - MARKS;
		char from[24], to[24], text[96];
		for (unsigned bar = first; bar <= last; bar++) {
			double x = time_place(bar_start(bar), low, high),
			       width = time_place(bar_start(bar + 1), low, high) - x;
			snprintf(text, sizeof text, "%s to %s: %.0f of %.0f", chart_time(bar_start(bar), from),
				chart_time(bar_start(bar + 1), to), count[bar], total);
			double height = fmax(count[bar] / most * room, count[bar] > 0 ? 1 : 0);
			svg_rectangle(out, x, floor_y - height, fmax(width - 1, 0.6), height, "c0", text);
		}
		svg_line(out, LEFT, floor_y, WIDTH - RIGHT, floor_y, "axis");
		int first_power = (int)ceil(log10(low)), last_power = (int)floor(log10(high));
		for (int power = first_power; power <= last_power; power++) {
			double tick = pow(10, power);
			double x = time_place(tick, low, high);
			svg_label(out, x, TIMES_HEIGHT - 8, x > WIDTH - 40 ? "end" : "middle", NULL,
				chart_time(tick, text));
		}
		put_mark(out, times, 0.5, "p50", low, high, TOP + 10);
		put_mark(out, times, 0.99, "p99", low, high, TOP + 24);
	}
	end(out);
}

/* ---- Bars ---- */

void chart_bars(FILE *out, const struct chart_bar *bars, size_t count, double base)
{
	enum { LONG_NAME = 264, VALUE = 64, WIDE = 1060 };
	double most = base;
	for (size_t i = 0; i < count; i++)
		most = fmax(most, fmax(bars[i].value, bars[i].measured));
	const double room = WIDE - LONG_NAME - VALUE;
	fprintf(out, "<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDE, (int)count * ROW + 4);
	for (size_t i = 0; i < count; i++) {
		double y = (double)i * ROW + 4, width = bars[i].value / most * room;
		char text[128], number[24], measured[24];
		svg_label(out, LONG_NAME - 8, y + 13, "end", "name", bars[i].name);
		snprintf(text, sizeof text, "%s: %s images/s", bars[i].name, chart_number(bars[i].value, number));
		bool helps = bars[i].value >= base || bars[i].measured > 0; /* beside what was measured: one colour */
		svg_rectangle(out, LONG_NAME, y, width, bars[i].measured > 0 ? (ROW - 7) / 2.0 : ROW - 7,
			helps ? "c2" : "up", text);
		if (bars[i].measured > 0) {
			snprintf(text, sizeof text, "measured: %s images/s", chart_number(bars[i].measured, measured));
			svg_rectangle(out, LONG_NAME, y + (ROW - 7) / 2.0, bars[i].measured / most * room,
				(ROW - 7) / 2.0, "c3", text);
			width = fmax(width, bars[i].measured / most * room);
		}
		svg_label(out, LONG_NAME + width + 6, y + 13, "start", NULL, chart_number(bars[i].value, number));
	}
	double x = LONG_NAME + base / most * room;
	svg_line(out, x, 0, x, (double)count * ROW + 4, "base");
	end(out);
}
