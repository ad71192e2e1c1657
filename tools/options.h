/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table per subcommand: flags (--name value, --name=value), the ini-style file of --config, --help, manual pages,
 * completion and the run's record all come from it. Flags override the file, the file overrides defaults.
 *
 *	struct pack_options {
 *		const char *output;
 *		uint64_t jobs;
 *	};
 *	static const struct option_spec spec[] = {
 *		OPTION_GROUP("Output"),
 *		OPTION_STRING(struct pack_options, output, "output", "FILE", NULL, "shard to write", .letter = 'o',
 *			.required = true),
 *		OPTION_U64(struct pack_options, jobs, "jobs", "N", "0", 0, 256, "threads; 0: one per processor"),
 *	};
 *	const struct option_table command_pack_table = {.command = "pack", .spec = spec,
 *		.count = sizeof(spec) / sizeof(spec[0]), .about = "...", .operands = "IN", .operand_min = 1,
 *		.operand_max = OPTIONS_ANY, .examples = "..."};
 *
 *	struct options options;
 *	struct pack_options pack;
 *	int status = options_parse(&options, &command_pack_table, &pack, argc, argv);
 *	if (status != OPTIONS_GO)
 *		return status;                    (0 after --help, 2 after a usage error: already told)
 *	...
 *	options_free(&options);                   (strings in `pack` live until here)
 *
 * --config and --help need no entry. A flag is --name, --no-name or --name=yes|no.
 */
#ifndef RINGCLR_TOOLS_OPTIONS_H
#define RINGCLR_TOOLS_OPTIONS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "pipeline/error.h"

struct command;
struct help;

enum option_type {
	OPTION_TYPE_GROUP,  /* a heading in --help; everything below it belongs to it */
	OPTION_TYPE_FLAG,   /* bool */
	OPTION_TYPE_U64,    /* uint64_t */
	OPTION_TYPE_DOUBLE, /* double */
	OPTION_TYPE_STRING, /* const char *; NULL when not given and without default */
	OPTION_TYPE_CHOICE, /* unsigned, or an enum counted from 0: the word's place in `choices` */
	OPTION_TYPE_SIZE,   /* uint64_t bytes; "64K", "1.5M", "2G" (powers of 1024) or a plain number */
};

struct option_spec {
	const char *name; /* without dashes, e.g. "block-size" */
	enum option_type type;
	size_t offset;	      /* of the value in the command's struct */
	const char *fallback; /* default, as the user would write it; NULL: none (false, 0, NULL) */
	/* "N", "SECONDS"; completion knows FILE, FILE.ext, DIR, RUN (a run's folder), SHARD (a .ring, or a set's
	 * .json), COMMAND, and words in lower case, several with | between them. Of operands likewise. */
	const char *metavar;
	const char *help; /* what it does; the default and the range are added by --help */
	uint64_t u64_min, u64_max;
	double double_min, double_max; /* inclusive */
	const char *choices;	       /* "keep|raw|webp"; of a number: words that may stand in its place */
	char letter;		       /* short form (-o), or 0 */
	bool required;
	bool incidental; /* changes no result (--json, --jobs): a resumed run may choose it anew */
	bool repeats;	 /* of a string: what the next flag of that name says is added to it, after a blank */
};

/* The field of struct type S, checked at compile time to be of type T. */
/* NOLINTNEXTLINE(bugprone-macro-parentheses): T is a type, which takes none */
#define OPTION_FIELD(S, field, T) (offsetof(S, field) + 0 * sizeof(_Generic(((S *)0)->field, T : 0)))

/* Further members may follow: OPTION_STRING(..., .letter = 'o', .required = true). */
#define OPTION_GROUP(heading)                                                                                          \
	{                                                                                                              \
		.name = (heading), .type = OPTION_TYPE_GROUP                                                           \
	}
#define OPTION_FLAG(S, field, long_name, fallback_text, help_text, ...)                                                \
	{                                                                                                              \
		.name = (long_name), .type = OPTION_TYPE_FLAG, .offset = OPTION_FIELD(S, field, bool),                 \
		.fallback = (fallback_text) /* "no" or "yes" */, .help = (help_text), __VA_ARGS__                      \
	}
#define OPTION_U64(S, field, long_name, meta, fallback_text, low, high, help_text, ...)                                \
	{                                                                                                              \
		.name = (long_name), .type = OPTION_TYPE_U64, .offset = OPTION_FIELD(S, field, uint64_t),              \
		.fallback = (fallback_text), .metavar = (meta), .help = (help_text), .u64_min = (low),                 \
		.u64_max = (high), __VA_ARGS__                                                                         \
	}
#define OPTION_DOUBLE(S, field, long_name, meta, fallback_text, low, high, help_text, ...)                             \
	{                                                                                                              \
		.name = (long_name), .type = OPTION_TYPE_DOUBLE, .offset = OPTION_FIELD(S, field, double),             \
		.fallback = (fallback_text), .metavar = (meta), .help = (help_text), .double_min = (low),              \
		.double_max = (high), __VA_ARGS__                                                                      \
	}
#define OPTION_STRING(S, field, long_name, meta, fallback_text, help_text, ...)                                        \
	{                                                                                                              \
		.name = (long_name), .type = OPTION_TYPE_STRING, .offset = OPTION_FIELD(S, field, const char *),       \
		.fallback = (fallback_text), .metavar = (meta), .help = (help_text), __VA_ARGS__                       \
	}
#define OPTION_CHOICE(S, field, long_name, words, fallback_text, help_text, ...)                                       \
	{                                                                                                              \
		.name = (long_name), .type = OPTION_TYPE_CHOICE, .offset = OPTION_FIELD(S, field, unsigned),           \
		.fallback = (fallback_text), .choices = (words), .help = (help_text), __VA_ARGS__                      \
	}
#define OPTION_SIZE(S, field, long_name, fallback_text, low, high, help_text, ...)                                     \
	{                                                                                                              \
		.name = (long_name), .type = OPTION_TYPE_SIZE, .offset = OPTION_FIELD(S, field, uint64_t),             \
		.fallback = (fallback_text), .metavar = "SIZE", .help = (help_text), .u64_min = (low),                 \
		.u64_max = (high), __VA_ARGS__                                                                         \
	}

/* What a number's field holds where word number i of its choices was given. */
#define OPTION_WORD(i) (UINT64_MAX - (i))

enum { OPTIONS_MAX = 128, OPTIONS_ANY = 1 << 20, OPTIONS_GO = -1 };

/* Another default for an option of a shared `spec`, and another text for it where help is not NULL. */
struct option_preset {
	const char *name, *fallback, *help;
};

struct option_table {
	const char *command; /* "pack" */
	const struct option_spec *spec;
	size_t count;
	const char *about;    /* one paragraph for --help, in one line: it is wrapped there */
	const char *operands; /* metavar of the positional arguments; NULL: none */
	const char *operand_help;
	unsigned operand_min, operand_max;	/* how many; OPTIONS_ANY: no upper limit */
	const char *examples;			/* lines, each ending in \n; indented by --help */
	const struct option_preset *presets;	/* ends with a NULL name; NULL: none */
	void (*notes)(const struct help *help); /* more, between options and examples (tools/help.h); NULL: nothing */
	/* A command made of modes, each with a table of its own, has none of the above but about, operands and
	 * examples. */
	const struct command *modes;
	unsigned mode_count;
};

enum option_origin { OPTION_DEFAULT, OPTION_FROM_RECORD, OPTION_FROM_FILE, OPTION_FROM_FLAG };

/* What options_parse() leaves. Only options.c writes it. */
struct options {
	const struct option_table *table;
	void *values;			   /* the command's struct */
	unsigned char origin[OPTIONS_MAX]; /* enum option_origin, by place in the table */
	const char **operands;		   /* positional arguments: pointers into argv */
	unsigned operand_count;
	void *owned; /* strings from the file and the record */
};

/* argv[0] is the subcommand's name. Fills `values` (a whole struct of the command; fields that no option names are left
 * alone). OPTIONS_GO: go on. Otherwise the exit code, with --help printed on stdout or the mistake on stderr. */
int options_parse(struct options *options, const struct option_table *table, void *values, int argc, char **argv);
void options_free(struct options *options);

/* The same without printing: 0; 1 when --help was asked for; or ERROR_USAGE (ERROR_IO for the file) in *err. */
int options_read(struct options *options, const struct option_table *table, void *values, int argc, char **argv,
	struct error *err);

void options_help(const struct option_table *table, FILE *out);

/* Where the value came from; true for given when by flag or file. An unknown name is a mistake of the caller: DEFAULT.
 */
enum option_origin options_origin(const struct options *options, const char *name);
bool options_given(const struct options *options, const char *name);

/* {"epochs": {"value": 100, "origin": "flag"}, ...}: every option. Choices by their word,
 * sizes in bytes, integers over 2^53 as text (JSON numbers are doubles). The caller owns it. */
cJSON *options_record(const struct options *options);

/* Takes from a record the values of options that were not given by flag or file (and are not named in `except`, a
 * NULL-terminated list that may be NULL). Names that the table does not have are skipped; a value that the table
 * refuses is ERROR_MISMATCH. */
int options_restore(struct options *options, const cJSON *record, const char *const *except, struct error *err);

/* ERROR_MISMATCH naming the first option whose value differs from the record's (but those in `except`). */
int options_compare(const struct options *options, const cJSON *record, const char *const *except, struct error *err);

#endif
