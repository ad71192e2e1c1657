/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/html_svg.h"

#include <math.h>

#include "tools/html_report.h"

void svg_label(FILE *out, double x, double y, const char *anchor, const char *class, const char *text)
{
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s%s%s>", x, y, anchor, class ? " class=\"" : "",
		class ? class : "", class ? "\"" : "");
	html_text(out, text);
	fputs("</text>\n", out);
}

void svg_rectangle(FILE *out, double x, double y, double width, double height, const char *colour, const char *hint)
{
	if (width < 0.05 || height < 0.05)
		return;
	fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.2f\" height=\"%.2f\" fill=\"var(--%s)\"><title>", x, y,
		width, height, colour);
	html_text(out, hint);
	fputs("</title></rect>\n", out);
}

void svg_line(FILE *out, double x1, double y1, double x2, double y2, const char *class)
{
	fprintf(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2, y2);
}

void svg_key(FILE *out, const char *colour, const char *name)
{
	fprintf(out, "<span><i style=\"background:var(--%s)\"></i>", colour);
	html_text(out, name);
	fputs("</span>", out);
}

struct svg_axis svg_nice_axis(double low, double high, unsigned ticks)
{
	double span = high > low ? high - low : fabs(high) > 0 ? fabs(high) : 1;
	double power = pow(10, floor(log10(span / ticks))), part = span / ticks / power;
	double step = power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
	struct svg_axis axis = {.low = floor(low / step) * step, .high = ceil(high / step) * step, .step = step};
	if (axis.high <= axis.low)
		axis.high = axis.low + step;
	return axis;
}

double svg_place(const struct svg_axis *axis, double value, double from, double to)
{
	double share = (value - axis->low) / (axis->high - axis->low);
	return from + (to - from) * (share < 0 ? 0 : share > 1 ? 1 : share);
}
