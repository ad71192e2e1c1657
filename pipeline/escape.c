/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/escape.h"

#include <stdbool.h>

/* Bytes of the control character that `text` begins with; 0: it begins with none. U+0080 to U+009F are two bytes in
 * UTF-8, and terminals obey them, too. */
static int control_bytes(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f)
		return 2;
	return (at[0] != '\0' && at[0] < 0x20) || at[0] == 0x7f;
}

void escape_print(FILE *out, const char *text)
{
	while (*text != '\0') {
		static const char named[] = "\t\n\r\\", letters[] = "tnr\\";
		const char *name = named;
		while (*name != '\0' && *name != *text)
			name++;
		int bytes = control_bytes(text);
		if (*name != '\0') {
			fprintf(out, "\\%c", letters[name - named]);
			text++;
		} else if (bytes == 0) {
			putc(*text++, out);
		}
		for (; *name == '\0' && bytes > 0; bytes--)
			fprintf(out, "\\x%02x", (unsigned char)*text++);
	}
}

void escape_line(char *text)
{
	for (; *text != '\0'; text++) {
		bool blank = *text == '\t' || *text == '\n' || *text == '\r';
		for (int bytes = control_bytes(text); bytes > 0; bytes--)
			text[bytes - 1] = blank ? ' ' : '?';
	}
}
