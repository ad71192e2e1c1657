/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/html_report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic_file.h"
#include "tools/run_files.h"

/* Colours are variables, which the charts' classes use: --c0.. are the series, --busy, --up and --down the shares. */
static const char style[] =
	":root{color-scheme:light dark;--page:#f4f5f7;--card:#fff;--ink:#14171c;--soft:#5b6472;--line:#e1e4e9;"
	"--busy:#2867c9;--same:#b9cdee;--up:#cfd6e0;--down:#e8a33d;--c0:#2867c9;--c1:#d9772b;--c2:#1f9d7a;--c3:#8b5bd1;"
	"--c4:#c8456f;--c5:#7a8b1e;--c6:#0f8fb3;--c7:#8a5a3c;--c8:#d0a200;--c9:#6b7280;--over:#fff;"
	"--good:#1b7f52;--bad:#b3341f}"
	"@media(prefers-color-scheme:dark){:root{--page:#0f1216;--card:#181c22;--ink:#e8ebf0;--soft:#98a2b1;"
	"--line:#2b313a;--busy:#5b96ee;--same:#2c4468;--up:#3a4350;--down:#e0a548;--c0:#5b96ee;--c1:#e8935a;--c2:#"
	"45c19c;--c3:#ab86e6;"
	"--c4:#e5759a;--c5:#b3c34a;--c6:#4cc0df;--c7:#c2936f;--c8:#e8c64a;--c9:#9aa3b0;--over:#0f1216;--good:#4cc38a;--"
	"bad:#f0826b}}"
	"*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-"
	"system,'Segoe UI','DejaVu Sans',sans-serif}main{max-width:1120px;margin:0 auto;padding:28px 20px 48px}"
	"h1{font-size:15px;font-weight:600;color:var(--soft);margin:0 0 "
	"10px}h2{font-size:15px;font-weight:600;margin:0}"
	".verdict{font-size:19px;line-height:1.45;margin:0 0 20px;max-width:60em}.verdict p{margin:0 0 4px}"
	".note{color:var(--soft);font-size:13px;margin:1px 0 8px}"
	".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin:0 0 12px}"
	".tile,.card{background:var(--card);border:1px solid var(--line);border-radius:8px}"
	".tile{padding:12px 16px}.tile "
	"b{display:block;font-size:20px;font-weight:600;line-height:1.3;font-variant-numeric:tabular-"
	"nums}.tile span{color:var(--soft);font-size:13px}"
	".grid{display:grid;grid-template-columns:1fr 1fr;gap:12px;margin:0 0 12px}.card{padding:14px 16px;min-width:0}"
	".wide{grid-column:1/-1}@media(max-width:760px){.grid{grid-template-columns:1fr}}"
	"svg{display:block;width:100%;height:auto}svg "
	"text{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-"
	"nums}"
	"svg .name{fill:var(--ink)}svg .over{fill:var(--over)}svg .small{font-size:10px}svg "
	".band{opacity:.16;stroke:none}svg .whisker{stroke:var(--ink);stroke-width:1;opacity:.7}svg "
	".axis{stroke-width:1}svg .axis{stroke:var(--line);stroke-width:1}svg "
	".base{stroke:var(--soft);stroke-width:1;"
	"stroke-dasharray:3 3}svg path{fill:none;stroke-width:1.6;stroke-linejoin:round}svg "
	"path.solid{fill:inherit;stroke:none}"
	".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-"
	"nums}"
	"th{text-align:left;font-weight:500;color:var(--soft)}th,td{padding:4px 14px 4px 0;border-bottom:1px solid "
	"var(--line);white-space:nowrap}td:first-child{white-space:normal;overflow-wrap:anywhere;min-width:9em}"
	"tr:last-child td{border-bottom:0}.n{text-align:right}"
	".legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:13px;color:var(--soft);margin:0 0 4px}"
	".legend i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px}"
	".pictures{display:flex;flex-wrap:wrap;gap:10px}.pictures figure{margin:0;min-width:0}"
	".pictures svg{width:96px;height:96px;background:var(--page);border-radius:4px}"
	".pictures image{image-rendering:pixelated}.pictures .sharp image{image-rendering:auto}"
	".pictures figcaption{font-size:12px;color:var(--soft);max-width:96px;overflow-wrap:anywhere;line-height:1.3}"
	".large svg{width:150px;height:150px}.large figcaption{max-width:150px}"
	".right{outline:2px solid var(--good);outline-offset:-1px}.wrong{outline:2px solid "
	"var(--bad);outline-offset:-1px}"
	".columns{display:grid;grid-template-columns:1fr 1fr;gap:0 28px}.columns svg{width:62px;height:62px}"
	".columns .pictures{gap:6px;flex-wrap:nowrap}.columns "
	"figcaption{max-width:62px;font-size:10.5px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}.columns "
	".large svg{width:136px;height:136px}.columns .large figcaption{max-width:136px;white-space:normal}"
	".query{padding-right:8px;margin-right:4px!important;border-right:1px solid var(--line)}"
	"@media(max-width:900px){.columns{grid-template-columns:1fr}}"
	".row{border-top:1px solid var(--line);padding:10px 0}h2.part{font-size:17px;margin:26px 0 10px}"
	"details summary{cursor:pointer;font-weight:600}details table{margin-top:8px}";

int html_begin(struct html *html, const char *title, struct error *err)
{
	*html = (struct html){0};
	html->out = open_memstream(&html->text, &html->bytes);
	if (!html->out)
		return error_set(err, ERROR_MEMORY, "out of memory for a report");
	fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
	      "content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\"><title>",
		html->out);
	html_text(html->out, title);
	fprintf(html->out, "</title><style>%s</style></head>\n<body><main>\n<h1>", style);
	html_text(html->out, title);
	fputs("</h1>\n", html->out);
	return 0;
}

int html_finish(struct html *html, const char *path, struct error *err)
{
	fputs("</main></body></html>\n", html->out);
	bool failed = ferror(html->out) != 0;
	failed = fclose(html->out) != 0 || failed;
	int code = failed ? error_set(err, ERROR_MEMORY, "%s: out of memory for the report", path)
			  : atomic_file_replace(path, html->text, html->bytes, err);
	free(html->text);
	return code;
}

void html_abandon(struct html *html)
{
	fclose(html->out);
	free(html->text);
	*html = (struct html){0};
}

/* Bytes of the well-formed UTF-8 sequence at `at`, or 0. Surrogates, overlong forms and what lies above U+10FFFF are
 * not well-formed. */
static unsigned sequence_bytes(const unsigned char *at)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned bytes = *at >= 0xF0 ? 4 : *at >= 0xE0 ? 3 : *at >= 0xC0 ? 2 : 0;
	if (bytes == 0 || *at > 0xF4)
		return 0;
	uint32_t point = *at & (0xFFU >> (bytes + 1));
	for (unsigned i = 1; i < bytes; i++) {
		if ((at[i] & 0xC0) != 0x80)
			return 0;
		point = point << 6 | (at[i] & 0x3FU);
	}
	bool good = point >= least[bytes] && point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);
	return good ? bytes : 0;
}

void html_text(FILE *out, const char *text)
{
	for (const unsigned char *at = (const unsigned char *)text; *at;) {
		unsigned bytes = 1;
		if (*at == '&')
			fputs("&amp;", out);
		else if (*at == '<')
			fputs("&lt;", out);
		else if (*at == '>')
			fputs("&gt;", out);
		else if (*at == '"')
			fputs("&quot;", out);
		else if (*at == '\'')
			fputs("&#39;", out);
		else if ((*at >= 0x20 && *at < 0x7F) || *at == '\n')
			fputc(*at, out);
		else if ((bytes = sequence_bytes(at)) > 0)
			fwrite(at, 1, bytes, out);
		else
			fputs("\xEF\xBF\xBD", out);
		at += bytes ? bytes : 1;
	}
}

void html_card_begin(struct html *html, const char *heading, const char *note, bool wide)
{
	fprintf(html->out, "<section class=\"card%s\"><h2>", wide ? " wide" : "");
	html_text(html->out, heading);
	fputs("</h2>", html->out);
	if (note)
		html_note(html, note);
	fputc('\n', html->out);
}

void html_note(struct html *html, const char *text)
{
	fputs("<p class=\"note\">", html->out);
	html_text(html->out, text);
	fputs("</p>", html->out);
}

void html_heading(struct html *html, const char *text)
{
	fputs("<h2 class=\"part\">", html->out);
	html_text(html->out, text);
	fputs("</h2>\n", html->out);
}

void html_card_end(struct html *html)
{
	fputs("</section>\n", html->out);
}

void html_grid_begin(struct html *html)
{
	fputs("<div class=\"grid\">\n", html->out);
}

void html_grid_end(struct html *html)
{
	fputs("</div>\n", html->out);
}

void html_tiles_begin(struct html *html)
{
	fputs("<div class=\"tiles\">\n", html->out);
}

void html_tile(struct html *html, const char *value, const char *name)
{
	fputs("<div class=\"tile\"><b>", html->out);
	html_text(html->out, value);
	fputs("</b><span>", html->out);
	html_text(html->out, name);
	fputs("</span></div>\n", html->out);
}

void html_tiles_end(struct html *html)
{
	fputs("</div>\n", html->out);
}

/* ---- Tables ---- */

void html_table_begin(struct html *html, const char *columns)
{
	fputs("<div class=\"scroll\"><table><thead><tr>", html->out);
	for (const char *at = columns; *at;) {
		size_t length = strcspn(at, "|");
		bool number = *at == '>';
		fprintf(html->out, "<th%s>%.*s</th>", number ? " class=\"n\"" : "", (int)(length - number),
			at + number);
		at += length + (at[length] == '|');
	}
	fputs("</tr></thead><tbody>\n", html->out);
}

void html_table_head_begin(struct html *html)
{
	fputs("<div class=\"scroll\"><table><thead><tr>", html->out);
}

void html_head_cell(struct html *html, bool number, const char *text)
{
	fputs(number ? "<th class=\"n\">" : "<th>", html->out);
	html_text(html->out, text);
	fputs("</th>", html->out);
}

void html_table_head_end(struct html *html)
{
	fputs("</tr></thead><tbody>\n", html->out);
}

void html_row_begin(struct html *html)
{
	fputs("<tr>", html->out);
}

void html_cell(struct html *html, bool number, const char *format, ...)
{
	char text[4400]; /* a key has at most 4095 bytes */
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fputs(number ? "<td class=\"n\">" : "<td>", html->out);
	html_text(html->out, text);
	fputs("</td>", html->out);
}

void html_row_end(struct html *html)
{
	fputs("</tr>\n", html->out);
}

void html_table_end(struct html *html)
{
	fputs("</tbody></table></div>\n", html->out);
}

/* ---- Options and machine ---- */

static void put_value(struct html *html, const cJSON *value)
{
	char *text = cJSON_IsString(value) ? NULL : cJSON_PrintUnformatted(value);
	html_cell(html, false, "%s", cJSON_IsString(value) ? value->valuestring : text ? text : "");
	cJSON_free(text);
}

void html_settings(struct html *html, const cJSON *options)
{
	cJSON *machine = run_files_machine(NULL);
	html_settings_of(html, "Machine and options", machine, options);
	cJSON_Delete(machine);
}

void html_settings_of(struct html *html, const char *heading, const cJSON *machine, const cJSON *options)
{
	const cJSON *item;
	fputs("<section class=\"card wide\"><details><summary>", html->out);
	html_text(html->out, heading);
	fputs("</summary>\n", html->out);
	html_table_begin(html, "name|value|given by");
	cJSON_ArrayForEach(item, machine)
	{
		html_row_begin(html);
		html_cell(html, false, "%s", item->string);
		put_value(html, item);
		html_cell(html, false, "machine");
		html_row_end(html);
	}
	cJSON_ArrayForEach(item, options)
	{
		const cJSON *origin = cJSON_GetObjectItemCaseSensitive(item, "origin");
		html_row_begin(html);
		html_cell(html, false, "--%s", item->string);
		put_value(html, cJSON_GetObjectItemCaseSensitive(item, "value"));
		html_cell(html, false, "%s", cJSON_IsString(origin) ? origin->valuestring : "");
		html_row_end(html);
	}
	html_table_end(html);
	fputs("</details></section>\n", html->out);
}
