/* SPDX-License-Identifier: Apache-2.0 */
/* The first error on a struct stays; the message is kept to one line, because it goes into logs and terminals as it is.
 */
#include "pipeline/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/escape.h"

int(error_set)(struct error *err, int code, const char *format, ...)
{
	if (err == NULL || err->code != 0)
		return code;
	va_list args;
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	escape_line(err->message);
	err->code = code;
	return code;
}

int(error_set_errno)(struct error *err, int code, int errnum, const char *format, ...)
{
	if (err == NULL || err->code != 0)
		return code;
	char reason_space[128];
	const char *reason = strerror_r(errnum, reason_space, sizeof(reason_space));

	/* The reason is what the user acts on: a message too long gives up its own end for it. */
	size_t room = sizeof(err->message) - strlen(reason) - 2;
	va_list args;
	va_start(args, format);
	vsnprintf(err->message, room, format, args);
	va_end(args);
	size_t length = strlen(err->message);
	snprintf(err->message + length, sizeof(err->message) - length, ": %s", reason);
	escape_line(err->message);
	err->code = code;
	return code;
}

int error_copy(struct error *to, const struct error *from)
{
	if (to != NULL && to->code == 0)
		*to = *from;
	return from->code;
}

const char *error_name(int code)
{
	switch (code) {
#define ERROR_CASE(name, number, text)                                                                                 \
	case number:                                                                                                   \
		return text;
		ERROR_TABLE(ERROR_CASE)
#undef ERROR_CASE
	default:
		return "unknown";
	}
}
