/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: a negative code from one table, and a message that says what went wrong, where, and what to do.
 *
 * Every function that can fail takes a `struct error *err` as its last argument, returns 0 (or a useful non-negative
 * number) when it succeeded, and otherwise the negative code that it also left in *err. The first error set wins: later
 * calls on the same struct change nothing, so that clean-up code may report without burying the cause.
 */
#ifndef RINGCLR_PIPELINE_ERROR_H
#define RINGCLR_PIPELINE_ERROR_H

#include <stddef.h>

/* X(name, number, text): the table that the enum and error_name() are made of. */
#define ERROR_TABLE(X)                                                                                                 \
	X(USAGE, -1, "usage")		   /* an option or argument makes no sense */                                  \
	X(IO, -2, "input/output")	   /* the operating system could not read or write */                          \
	X(FORMAT, -3, "format")		   /* not the kind of file it should be */                                     \
	X(VERSION, -4, "version")	   /* a newer format than this program reads */                                \
	X(DAMAGED, -5, "damaged")	   /* a hash or size does not agree: bytes were changed or lost */             \
	X(DECODE, -6, "decode")		   /* an image that its codec refuses */                                       \
	X(MEMORY, -7, "memory")		   /* out of memory, or over the limit that the user gave */                   \
	X(MISMATCH, -8, "mismatch")	   /* two things that must agree do not (data set, model, shape) */            \
	X(NUMERIC, -9, "numeric")	   /* NaN or infinity where a number must be */                                \
	X(UNSUPPORTED, -10, "unsupported") /* the kernel or the processor does not offer it */                         \
	X(SYSTEM, -11, "system")	   /* threads, affinity, locks */                                              \
	X(INTERRUPTED, -12, "interrupted") /* the user asked to stop */

enum error_code {
#define ERROR_ENUM(name, number, text) ERROR_##name = (number),
	ERROR_TABLE(ERROR_ENUM)
#undef ERROR_ENUM
};

struct error {
	int code;	    /* 0: none */
	char message[1024]; /* one line, no newline at its end */
};

/* Sets *err unless it is set already (err may be NULL). Returns `code`. */
__attribute__((format(printf, 3, 4))) int error_set(struct error *err, int code, const char *format, ...);

/* The same, with ": " and strerror(errnum) appended. errnum is positive. */
__attribute__((format(printf, 4, 5))) int error_set_errno(
	struct error *err, int code, int errnum, const char *format, ...);

/* Copies `from` into *to unless *to is set already. Returns from->code. */
int error_copy(struct error *to, const struct error *from);

/* "usage", "input/output"...; "unknown" for a number outside the table. */
const char *error_name(int code);

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time. It is told that what comes back is the code, and so not 0. */
static inline int error_code(int returned, int code)
{
	(void)returned;
	return code;
}
#define error_set(err, code, ...)	error_code(error_set(err, code, __VA_ARGS__), code)
#define error_set_errno(err, code, ...) error_code(error_set_errno(err, code, __VA_ARGS__), code)
#endif

#endif
